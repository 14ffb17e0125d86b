/* SPDX-License-Identifier: MIT */
/* Split virtqueues, device side: per-buffer code. Private to ref/virtq. */
#ifndef RP_VIRTQ_SPLIT_DEV_HOT_H
#define RP_VIRTQ_SPLIT_DEV_HOT_H

#include "virtq/dev_hot.h"
#include "virtq/split_hot.h"

/* Cold half, in split_dev.c: resolve and walk an indirect table. 0, -EPROTO or -errno. */
int split_dev_indirect(struct virtq_dev *q, struct virtq_chain *c, struct ring_desc d);

static RING_INLINE int split_dev_taken(struct virtq_dev *q, struct virtq_chain *c, uint16_t head)
{
    if (MUTANT(desc_written_back))
        ring_store(&((struct virtq_desc *)q->cfg.areas.desc)[head].flags, 0);
    c->token = virtq_chain_token(c, head, 1);
    q->split.avail_next++;
    return 1;
}

/* Any chain, from its first descriptor on, which was fetched. */
static RING_APART int split_dev_walk(struct virtq_dev *q, struct virtq_chain *c, uint16_t head,
                                     struct ring_desc d)
{
    const struct virtq_desc *descs = split_descs(&q->cfg.areas);
    unsigned size = q->cfg.size;
    uint16_t index = MUTANT(head_masked) ? head & q->split.mask : head;

    virtq_chain_clear(c);
    for (unsigned walked = 1;; walked++) {
        enum virtq_fault fault;

        if (d.flags & VIRTQ_DESC_F_INDIRECT) {
            int rc;

            if (MUTANT(indirect_only_first) && walked > 1)
                return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_ORDER, index);
            rc = split_dev_indirect(q, c, d);
            if (rc < 0)
                return rc;
            break;
        }
        fault = virtq_chain_append(q, c, &d);
        if (fault != VIRTQ_OK)
            return virtq_dev_fault(q, fault, index);
        if (!(d.flags & VIRTQ_DESC_F_NEXT))
            break;
        if (ring_broken((walked == size && !MUTANT(chain_length_unbounded)) ||
                        (MUTANT(chain_of_queue_size_refused) && walked + 1 == size)))
            return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_LOOP, index);
        if (ring_broken(d.link >= size)) {
            if (MUTANT(next_range_asserted))
                abort();
            return virtq_dev_fault(q, VIRTQ_FAULT_NEXT_RANGE, d.link);
        }
        index = MUTANT(chain_next_ignored) ? (index + 1) & q->split.mask : d.link;
        d = split_desc_fetch(&descs[index]);
    }
    return split_dev_taken(q, c, head);
}

/*
 * Nothing is there yet: what the driver writes before its index is fetched beside the index, not
 * after it, each by itself. The entry still has the head of a lap before, which is the next one's,
 * too, of a driver that goes round; a wrong guess costs nothing, and what is used is fetched when
 * it is there.
 */
static RING_INLINE void split_dev_expect(const struct virtq_dev *q)
{
    uint16_t guess =
        ring_load(&split_avail(&q->cfg.areas)->ring[q->split.avail_next & q->split.mask]);

    __builtin_prefetch(&split_descs(&q->cfg.areas)[guess & q->split.mask]);
}

static RING_INLINE int split_dev_pop(struct virtq_dev *q, struct virtq_chain *c)
{
    const struct virtq_avail *avail = split_avail(&q->cfg.areas);
    const struct virtq_desc *descs = split_descs(&q->cfg.areas);
    unsigned size = q->cfg.size;
    uint16_t head, index;
    struct ring_desc d;

    if (q->fault != VIRTQ_OK)
        return -EPROTO;
    if (q->split.avail_next == q->split.avail_seen) {
        uint16_t idx = ring_load_acquire(&avail->idx);
        uint16_t taken = (uint16_t)(q->split.avail_next - q->split.used_published);
        uint16_t fresh = (uint16_t)(idx - q->split.avail_next);

        if (fresh == 0 || (MUTANT(avail_idx_never_wraps) && idx < q->split.avail_next)) {
            split_dev_expect(q);
            return 0;
        }
        if (MUTANT(half_the_queue_in_flight) && fresh > size / 2)
            return virtq_dev_fault(q, VIRTQ_FAULT_AVAIL_IDX, idx);
        /* Each buffer takes a descriptor until the driver has seen it used. */
        if (ring_broken(fresh > size - taken && !MUTANT(avail_idx_jump_followed)))
            return virtq_dev_fault(q, VIRTQ_FAULT_AVAIL_IDX, idx);
        q->split.avail_seen = idx;
    }
    head = ring_load(&avail->ring[q->split.avail_next & q->split.mask]);
    if (ring_broken(head >= size && !MUTANT(head_masked)))
        return virtq_dev_fault(q, VIRTQ_FAULT_HEAD_RANGE, head);

    index = MUTANT(head_masked) ? head & q->split.mask : head;
    d = split_desc_fetch(&descs[index]);
    return virtq_chain_of_one(c, &d) ? split_dev_taken(q, c, head) : split_dev_walk(q, c, head, d);
}

/* Write the used entry of a batch of chains, of one mostly. */
static RING_INLINE void split_dev_use(struct virtq_dev *q, unsigned id, unsigned chains,
                                      uint32_t written)
{
    struct virtq_used *used = split_used(&q->cfg.areas);
    uint16_t next = q->split.used_next;

    assert((uint16_t)(q->split.avail_next - next) >= chains);
    if (MUTANT(used_id_repeated) && (uint16_t)(q->split.avail_next - next) > 1)
        id = (uint16_t)le32_get(used->ring[(next - 1) & q->split.mask].id);
    split_used_put(&used->ring[next & q->split.mask], id, written);
    /* 2.7.9: an entry stands for all of its batch, the places of the others are skipped. */
    q->split.used_next = (uint16_t)(next + chains);
}

static RING_INLINE unsigned split_dev_publish(struct virtq_dev *q)
{
    uint16_t count = (uint16_t)(q->split.used_next - q->split.used_published);

    if (count == 0)
        return 0;
    ring_store_release(&split_used(&q->cfg.areas)->idx, q->split.used_next);
    q->split.used_published = q->split.used_next;
    return count;
}

static inline bool split_dev_interrupt_needed(struct virtq_dev *q)
{
    uint16_t from = q->split.used_signalled, to = q->split.used_published;

    if (from == to)
        return false;
    q->split.used_signalled = to;
    ring_full_barrier();
    if (q->cfg.event_idx) {
        uint16_t event = ring_load(split_used_event(&q->cfg.areas, q->cfg.size));

        if (MUTANT(event_idx_obeys_flags) &&
            (ring_load(&split_avail(&q->cfg.areas)->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT))
            return false;
        if (MUTANT(used_event_off_by_one))
            event++;
        return virtq_need_event(event, to, from);
    }
    return !(ring_load(&split_avail(&q->cfg.areas)->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT);
}

static inline void split_dev_kick_disable(struct virtq_dev *q)
{
    /* 2.7.10.2: with EVENT_IDX flags stay 0; an event just passed comes back after 2^16. */
    if (q->cfg.event_idx)
        ring_store(split_avail_event(&q->cfg.areas, q->cfg.size),
                   (uint16_t)(q->split.avail_next - 1));
    else
        ring_store(&split_used(&q->cfg.areas)->flags, VIRTQ_USED_F_NO_NOTIFY);
}

static inline bool split_dev_kick_enable(struct virtq_dev *q)
{
    if (q->cfg.event_idx) {
        if (!MUTANT(avail_event_stale))
            ring_store(split_avail_event(&q->cfg.areas, q->cfg.size), q->split.avail_next);
        if (MUTANT(used_flags_with_event_idx))
            ring_store(&split_used(&q->cfg.areas)->flags, VIRTQ_USED_F_NO_NOTIFY);
    } else if (!MUTANT(no_notify_stays_set)) {
        ring_store(&split_used(&q->cfg.areas)->flags, MUTANT(used_flags_reserved_bit) ? 2 : 0);
    }
    /* The driver stores its index, then reads the event; here it is the other way round. */
    ring_full_barrier();
    return ring_load_acquire(&split_avail(&q->cfg.areas)->idx) != q->split.avail_next;
}

#endif
