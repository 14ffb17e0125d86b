/* SPDX-License-Identifier: MIT */
/* The device side's per-buffer code that both formats share. Private to ref/virtq. */
#ifndef RP_VIRTQ_DEV_HOT_H
#define RP_VIRTQ_DEV_HOT_H

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "spec/virtq_split.h"
#include "util/bits.h"
#include "util/mutant.h"
#include "virtq/dev.h"
#include "virtq/ring_hot.h"

static inline int virtq_dev_fault(struct virtq_dev *q, enum virtq_fault fault, uint16_t index)
{
    if (MUTANT(broken_queue_goes_on)) {
        if (q->cfg.format == VIRTQ_SPLIT)
            q->split.avail_next++;
        return -EPROTO;
    }
    q->fault = fault;
    q->fault_index = index;
    return -EPROTO;
}

static inline void virtq_chain_clear(struct virtq_chain *c)
{
    c->count = c->readable = 0;
    c->readable_bytes = c->writable_bytes = 0;
}

/* Append one descriptor to the chain, or say what is wrong with it. */
static RING_INLINE enum virtq_fault virtq_chain_append(const struct virtq_dev *q,
                                                       struct virtq_chain *c,
                                                       const struct ring_desc *d)
{
    bool writable = (d->flags & VIRTQ_DESC_F_WRITE) != 0;

    if (ring_broken(!writable && c->readable != c->count)) {
        if (MUTANT(chain_order_asserted))
            abort();
        return VIRTQ_FAULT_CHAIN_ORDER;
    }
    if (d->len == 0) {
        if (MUTANT(empty_descriptor_asserted))
            abort();
        return VIRTQ_OK;
    }
    if (ring_broken(c->count == q->cfg.chain_max && !MUTANT(chain_length_unbounded)))
        return VIRTQ_FAULT_CHAIN_LONG;
    if (ring_broken(range_wraps(d->addr, d->len))) {
        if (MUTANT(address_wrap_asserted))
            abort();
        return VIRTQ_FAULT_DESC_WRAP;
    }
    c->segs[c->count++] = (struct virtq_seg){
        .addr = gpa_make(d->addr),
        .len_bytes = d->len,
        .writable = writable,
    };
    if (writable) {
        c->writable_bytes += d->len;
    } else {
        c->readable++;
        c->readable_bytes += d->len;
    }
    if (MUTANT(chain_readable_swapped) && !writable && c->count > 2) {
        struct virtq_seg last = c->segs[c->count - 1];

        c->segs[c->count - 1] = c->segs[c->count - 2];
        c->segs[c->count - 2] = last;
    }
    if (ring_broken(c->readable_bytes + c->writable_bytes > BIT64(32)))
        return VIRTQ_FAULT_CHAIN_BYTES;
    return VIRTQ_OK;
}

/* What identifies a chain that was taken. */
static inline struct virtq_token virtq_chain_token(const struct virtq_chain *c, uint16_t id,
                                                   unsigned descs)
{
    return (struct virtq_token){id | (uint64_t)(descs & UINT16_MAX) << 16 |
                                min_u64(c->writable_bytes, UINT32_MAX) << 32};
}

static inline uint16_t virtq_token_id(struct virtq_token t)
{
    return (uint16_t)t.word;
}

static inline unsigned virtq_token_descs(struct virtq_token t)
{
    return (uint16_t)(t.word >> 16);
}

static inline uint32_t virtq_token_writable(struct virtq_token t)
{
    return (uint32_t)(t.word >> 32);
}

/*
 * What most chains are: one descriptor with nothing behind it, and nothing wrong with it. False:
 * the long way, which says what is wrong, too. `token` is set by the caller.
 */
static RING_INLINE bool virtq_chain_of_one(struct virtq_chain *c, const struct ring_desc *d)
{
    bool writable = (d->flags & VIRTQ_DESC_F_WRITE) != 0;

    if ((d->flags & (VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_INDIRECT)) || d->len == 0 ||
        ring_broken(range_wraps(d->addr, d->len)))
        return false;
    c->segs[0] =
        (struct virtq_seg){.addr = gpa_make(d->addr), .len_bytes = d->len, .writable = writable};
    c->count = 1;
    c->readable = !writable;
    c->readable_bytes = writable ? 0 : d->len;
    c->writable_bytes = writable ? d->len : 0;
    return true;
}

/*
 * Cold, in dev_indirect.c: reach the indirect table that `d` refers to. 0, with up to
 * VIRTQ_INDIRECT_IOV_MAX entries of `iov` and the number of descriptors, to be released with
 * indirect_put; -EPROTO or what indirect_get returned.
 */
int virtq_dev_table_get(struct virtq_dev *q, struct ring_desc d, struct iovec *iov,
                        unsigned *iov_count, uint32_t *entries);
/* The 16 bytes of a descriptor of the table, wherever they lie. */
void virtq_dev_table_read(const struct iovec *iov, unsigned count, uint32_t entry,
                          unsigned char bytes[sizeof(struct virtq_desc)]);

#endif
