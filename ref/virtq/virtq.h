/* SPDX-License-Identifier: MIT */
/*
 * Virtqueues (VIRTIO 2.6 to 2.8): what both sides and both formats share.
 *
 * A virtqueue is three areas of memory that the driver owns and both sides map: the descriptor
 * area, the driver area (split: available ring) and the device area (split: used ring). This
 * module gets host pointers to them and knows nothing of how they were mapped; buffers stay
 * addresses (gpa_t) that its user resolves.
 *
 * The device side (virtq/dev.h) takes chains out and returns them used; the driver side
 * (virtq/drv.h) makes chains available and reaps them. Neither trusts the other: what the peer
 * wrote is fetched once, checked, then used, and a broken rule is a *named fault*, returned as
 * data. virtq/raw.h reads and writes the areas without any rule, for checks that have to break
 * them.
 *
 * The format is chosen at init. The functions of dev.h and drv.h dispatch on it; what runs per
 * buffer is in <format>_hot.h.
 */
#ifndef RP_VIRTQ_VIRTQ_H
#define RP_VIRTQ_VIRTQ_H

#include "util/types.h"

enum virtq_format {
    VIRTQ_SPLIT = 0,
    VIRTQ_PACKED = 1,
};

#define VIRTQ_SIZE_MAX 32768u /* 2.7, 2.8.10.1 */

/* Rules that a peer can break. The names (virtq_fault_name) appear in logs and results. */
enum virtq_fault {
    VIRTQ_OK = 0,

    /* Broken by the driver, seen by the device side. */
    VIRTQ_FAULT_AVAIL_IDX,          /* available index runs ahead by more than the queue size */
    VIRTQ_FAULT_HEAD_RANGE,         /* head index >= queue size */
    VIRTQ_FAULT_NEXT_RANGE,         /* next index >= table size */
    VIRTQ_FAULT_CHAIN_LOOP,         /* chain longer than the table: a loop */
    VIRTQ_FAULT_CHAIN_LONG,         /* chain longer than the device accepts */
    VIRTQ_FAULT_CHAIN_ORDER,        /* a readable descriptor after a writable one (2.7.4.2) */
    VIRTQ_FAULT_CHAIN_BYTES,        /* chain of more than 2^32 bytes (2.7.5.2) */
    VIRTQ_FAULT_DESC_WRAP,          /* address + length passes 2^64 */
    VIRTQ_FAULT_INDIRECT_UNOFFERED, /* INDIRECT without the feature (2.7.5.3.1) */
    VIRTQ_FAULT_INDIRECT_NESTED,    /* INDIRECT inside an indirect table (2.7.5.3.1) */
    VIRTQ_FAULT_INDIRECT_NEXT,      /* INDIRECT and NEXT both set (2.7.5.3.1) */
    VIRTQ_FAULT_INDIRECT_LEN,       /* indirect length 0 or not a multiple of 16 */
    VIRTQ_FAULT_INDIRECT_LONG,      /* indirect table larger than the device accepts */
    VIRTQ_FAULT_INDIRECT_ADDR,      /* indirect table cannot be reached */
    VIRTQ_FAULT_INDIRECT_MIXED,     /* packed: INDIRECT behind other descriptors (2.8.19) */
    VIRTQ_FAULT_CHAIN_PARTIAL,      /* packed: a chain goes on in descriptors not available */
    VIRTQ_FAULT_RING_OVERRUN,       /* packed: descriptors that were not used yet came again */

    /* Broken by the device, seen by the driver side. */
    VIRTQ_FAULT_USED_IDX,   /* used index or in-order batch beyond what is outstanding */
    VIRTQ_FAULT_USED_ID,    /* id >= queue size */
    VIRTQ_FAULT_USED_STALE, /* id of no outstanding chain */
    VIRTQ_FAULT_USED_LEN,   /* used length larger than the writable part */

    VIRTQ_FAULT_COUNT
};

/* "avail-idx", "chain-loop", ...; "none" for VIRTQ_OK. Never NULL. */
const char *virtq_fault_name(enum virtq_fault fault);

/* One buffer of a chain, as the driver describes it. */
struct virtq_seg {
    gpa_t addr;
    uint32_t len_bytes;
    bool writable; /* by the device */
};

/* A place in a packed ring (2.8.1): the offset, and the two flags, where the second word of a
 * descriptor has them, that a descriptor has there when it is available, or used; which of the two
 * is said at the field. */
struct virtq_packed_pos {
    unsigned at;
    uint64_t owner;
};

/* Host pointers to the three areas; borrowed from init to fini. */
struct virtq_areas {
    void *desc;
    void *driver;
    void *device;
};

/* Size and alignment of the areas of a queue (2.7, 2.8.10.1). */
struct virtq_layout {
    uint32_t desc_bytes, driver_bytes, device_bytes;
    uint32_t desc_align, driver_align, device_align;
};

/*
 * Fill `layout`. The sizes include the event fields at the end of both rings, whether or not
 * EVENT_IDX is negotiated: the areas have them in any case (2.7.6, 2.7.8).
 * Returns 0, or -EINVAL for a size that the format does not allow: 0, above 32768, or (split)
 * not a power of two.
 */
int virtq_layout_init(struct virtq_layout *layout, enum virtq_format format, unsigned size);

/*
 * 0 when the three addresses have the alignment that the format requires and no area wraps
 * around, else -EINVAL. Bit 63 and the reference of a grant address do not matter for alignment.
 */
int virtq_layout_check(const struct virtq_layout *layout, gpa_t desc, gpa_t driver, gpa_t device);

/* Are all three areas there, each aligned as the format requires? */
bool virtq_layout_fits(const struct virtq_layout *layout, const struct virtq_areas *areas);

/*
 * One allocation for all three areas: the offset of each from a base that is aligned to 4096.
 * With page_each, every area begins on a page of its own, so that they can be granted apart
 * (the descriptor and driver areas read-only). Returns the total in bytes.
 */
uint32_t virtq_layout_place(const struct virtq_layout *layout, bool page_each, uint32_t *desc_off,
                            uint32_t *driver_off, uint32_t *device_off);

/* 2.7.10, 2.8.10: does moving an index from old_idx to new_idx pass event_idx? */
static inline bool virtq_need_event(uint16_t event_idx, uint16_t new_idx, uint16_t old_idx)
{
    return (uint16_t)(new_idx - event_idx - 1) < (uint16_t)(new_idx - old_idx);
}

#endif
