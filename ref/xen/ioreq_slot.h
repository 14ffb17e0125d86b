/* SPDX-License-Identifier: MIT */
/*
 * Private to ref/xen: one request, taken out of its slot, checked and performed. Free of libxen,
 * so that it can be tested by itself.
 */
#ifndef RP_XEN_IOREQ_SLOT_H
#define RP_XEN_IOREQ_SLOT_H

#include "xen/ioreq.h"

/*
 * struct ioreq of xen/hvm/ioreq.h. That one has bit-fields, whose update is a read-modify-write
 * of a byte that cannot be given a memory order; here the byte is one integer.
 */
struct ioreq_slot {
    uint64_t addr;
    uint64_t data;
    uint32_t count;
    uint32_t size;
    uint32_t vp_eport;
    uint16_t pad;
    uint8_t flags; /* state 3-0, data_is_ptr 4, dir 5 (1: read), df 6 */
    uint8_t type;
};

_Static_assert(sizeof(struct ioreq_slot) == 32, "xen/hvm/ioreq.h");
_Static_assert(offsetof(struct ioreq_slot, flags) == 30, "xen/hvm/ioreq.h");

#define IOREQ_SLOT_STATE   0x0fu
#define IOREQ_SLOT_POINTER 0x10u
#define IOREQ_SLOT_READ    0x20u
#define IOREQ_SLOT_DOWN    0x40u

/* The repetitions of one request. Xen never sends more (hvmemul_rep_movs, rep_stos). */
#define IOREQ_COUNT_MAX 4096u

/* Reading and writing guest-physical memory for requests with data_is_ptr. */
struct ioreq_memory {
    int (*copy)(void *ctx, uint64_t gpa, void *buffer, uint32_t bytes, bool to_guest);
    void *ctx;
};

/* Perform a request given by value. Returns the response data, truncated to the access; all ones
 * for what is refused. */
uint64_t ioreq_slot_perform(const struct ioreq_slot *req, const struct ioreq_ops *ops, void *ctx,
                            const struct ioreq_memory *memory, struct ioreq_stats *stats);

#endif
