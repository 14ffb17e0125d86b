/* SPDX-License-Identifier: MIT */
/* The driver side's per-buffer code that both formats share. Private to ref/virtq. */
#ifndef RP_VIRTQ_DRV_HOT_H
#define RP_VIRTQ_DRV_HOT_H

#include <assert.h>
#include <errno.h>

#include "util/bits.h"
#include "virtq/drv.h"
#include "virtq/ring_hot.h"

/*
 * One for each id that a used entry can carry: split: a ring descriptor, where but for `next` it is
 * the head's that counts; packed: a buffer id. `next` leads through what is free. With in_order it
 * leads from each to the one behind it for ever, and what is free is a range.
 */
struct virtq_drv_slot {
    void *cookie;      /* NULL: no chain has this id */
    uint64_t in_bytes; /* writable part */
    uint64_t seq;      /* value of `added` before it was added */
    uint32_t descs;    /* of the ring */
    uint32_t next;
};

/* A chain as it was given to virtq_drv_add. */
struct virtq_drv_chain {
    const struct virtq_sg *out, *in;
    unsigned out_count, total;
    const struct virtq_indirect *ind; /* or NULL */
};

static inline const struct virtq_sg *virtq_drv_piece(const struct virtq_drv_chain *c, unsigned k,
                                                     bool *writable)
{
    *writable = k >= c->out_count;
    return *writable ? &c->in[k - c->out_count] : &c->out[k];
}

/* A used entry as the device wrote it, looked at and not yet consumed. */
struct virtq_drv_used {
    uint32_t id, len_bytes;
};

#endif
