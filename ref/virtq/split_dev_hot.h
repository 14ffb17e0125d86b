/* SPDX-License-Identifier: MIT */
/* Split virtqueues, device side: per-buffer code. Private to ref/virtq. */
#ifndef RP_VIRTQ_SPLIT_DEV_HOT_H
#define RP_VIRTQ_SPLIT_DEV_HOT_H

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "util/bits.h"
#include "util/mutant.h"
#include "virtq/dev.h"
#include "virtq/split_hot.h"

/* Cold half, in split_dev.c: resolve and walk an indirect table. 0, -EPROTO or -errno. */
int split_dev_indirect(struct virtq_dev *q, struct virtq_chain *c, const struct split_desc *d);

static inline int virtq_dev_fault(struct virtq_dev *q, enum virtq_fault fault, uint16_t index)
{
    if (MUTANT(broken_queue_goes_on)) {
        q->avail_next++;
        return -EPROTO;
    }
    q->fault = fault;
    q->fault_index = index;
    return -EPROTO;
}

/* Append one descriptor to the chain, or say what is wrong with it. */
static inline enum virtq_fault split_dev_append(const struct virtq_dev *q, struct virtq_chain *c,
                                                const struct split_desc *d)
{
    bool writable = (d->flags & VIRTQ_DESC_F_WRITE) != 0;

    if (!writable && c->readable != c->count) {
        if (MUTANT(chain_order_asserted))
            abort();
        return VIRTQ_FAULT_CHAIN_ORDER;
    }
    if (d->len == 0) {
        if (MUTANT(empty_descriptor_asserted))
            abort();
        return VIRTQ_OK;
    }
    if (c->count == q->cfg.chain_max && !MUTANT(chain_length_unbounded))
        return VIRTQ_FAULT_CHAIN_LONG;
    if (range_wraps(d->addr, d->len)) {
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
    if (c->readable_bytes + c->writable_bytes > BIT64(32))
        return VIRTQ_FAULT_CHAIN_BYTES;
    return VIRTQ_OK;
}

static inline int split_dev_pop(struct virtq_dev *q, struct virtq_chain *c)
{
    const struct virtq_avail *avail = split_avail(&q->cfg.areas);
    const struct virtq_desc *descs = split_descs(&q->cfg.areas);
    unsigned size = q->cfg.size;
    uint16_t head, index;

    if (q->fault != VIRTQ_OK)
        return -EPROTO;
    if (q->avail_next == q->avail_seen) {
        uint16_t idx = split_load_acquire(&avail->idx);
        uint16_t taken = (uint16_t)(q->avail_next - q->used_published);
        uint16_t fresh = (uint16_t)(idx - q->avail_next);

        if (fresh == 0 || (MUTANT(avail_idx_never_wraps) && idx < q->avail_next))
            return 0;
        if (MUTANT(half_the_queue_in_flight) && fresh > size / 2)
            return virtq_dev_fault(q, VIRTQ_FAULT_AVAIL_IDX, idx);
        /* Each buffer takes a descriptor until the driver has seen it used. */
        if (fresh > size - taken && !MUTANT(avail_idx_jump_followed))
            return virtq_dev_fault(q, VIRTQ_FAULT_AVAIL_IDX, idx);
        q->avail_seen = idx;
    }
    head = split_load(&avail->ring[q->avail_next & q->mask]);
    if (head >= size && !MUTANT(head_masked))
        return virtq_dev_fault(q, VIRTQ_FAULT_HEAD_RANGE, head);

    c->count = c->readable = 0;
    c->readable_bytes = c->writable_bytes = 0;
    index = MUTANT(head_masked) ? head & q->mask : head;
    for (unsigned walked = 1;; walked++) {
        struct split_desc d = split_desc_fetch(&descs[index]);
        enum virtq_fault fault;

        if (d.flags & VIRTQ_DESC_F_INDIRECT) {
            int rc = MUTANT(indirect_only_first) && walked > 1
                         ? virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_ORDER, index)
                         : split_dev_indirect(q, c, &d);

            if (rc < 0)
                return rc;
            break;
        }
        fault = split_dev_append(q, c, &d);
        if (fault != VIRTQ_OK)
            return virtq_dev_fault(q, fault, index);
        if (!(d.flags & VIRTQ_DESC_F_NEXT))
            break;
        if ((walked == size && !MUTANT(chain_length_unbounded)) ||
            (MUTANT(chain_of_queue_size_refused) && walked + 1 == size))
            return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_LOOP, index);
        if (d.next >= size) {
            if (MUTANT(next_range_asserted))
                abort();
            return virtq_dev_fault(q, VIRTQ_FAULT_NEXT_RANGE, d.next);
        }
        index = MUTANT(chain_next_ignored) ? (index + 1) & q->mask : d.next;
    }
    if (MUTANT(desc_written_back))
        split_store(&((struct virtq_desc *)q->cfg.areas.desc)[head].flags, 0);
    c->token = (struct virtq_token){.id = head, .descs = 1};
    q->avail_next++;
    return 1;
}

static inline void split_dev_push(struct virtq_dev *q, struct virtq_token token, uint32_t written)
{
    struct virtq_used *used = split_used(&q->cfg.areas);

    assert(q->used_next != q->avail_next);
    if (MUTANT(used_id_repeated) && (uint16_t)(q->avail_next - q->used_next) > 1)
        token.id = (uint16_t)le32_get(used->ring[(q->used_next - 1) & q->mask].id);
    used->ring[q->used_next & q->mask] = (struct virtq_used_elem){
        .id = le32_make(token.id),
        .len = le32_make(written),
    };
    q->used_next++;
}

static inline unsigned split_dev_publish(struct virtq_dev *q)
{
    uint16_t count = (uint16_t)(q->used_next - q->used_published);

    if (count == 0)
        return 0;
    split_store_release(&split_used(&q->cfg.areas)->idx, q->used_next);
    q->used_published = q->used_next;
    return count;
}

static inline bool split_dev_interrupt_needed(struct virtq_dev *q)
{
    uint16_t from = q->used_signalled, to = q->used_published;

    if (from == to)
        return false;
    q->used_signalled = to;
    split_full_barrier();
    if (q->cfg.event_idx) {
        uint16_t event = split_load(split_used_event(&q->cfg.areas, q->cfg.size));

        if (MUTANT(event_idx_obeys_flags) &&
            (split_load(&split_avail(&q->cfg.areas)->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT))
            return false;
        if (MUTANT(used_event_off_by_one))
            event++;
        return virtq_need_event(event, to, from);
    }
    return !(split_load(&split_avail(&q->cfg.areas)->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT);
}

#endif
