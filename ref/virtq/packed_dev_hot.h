/* SPDX-License-Identifier: MIT */
/* Packed virtqueues, device side: per-buffer code. Private to ref/virtq. */
#ifndef RP_VIRTQ_PACKED_DEV_HOT_H
#define RP_VIRTQ_PACKED_DEV_HOT_H

#include "virtq/dev_hot.h"
#include "virtq/packed_hot.h"

/* Cold half, in packed_dev.c: resolve and walk an indirect table. 0, -EPROTO or -errno. */
int packed_dev_indirect(struct virtq_dev *q, struct virtq_chain *c, struct ring_desc d);

static inline bool packed_dev_is_ours(uint16_t flags, bool wrap)
{
    if (MUTANT(packed_used_bit_ignored))
        return !(flags & VIRTQ_PACKED_DESC_F_AVAIL) == !wrap;
    return packed_is_avail(flags, wrap);
}

/* The chain was taken: it ends before `pos`. */
static RING_INLINE int packed_dev_taken(struct virtq_dev *q, struct virtq_packed_pos pos,
                                        unsigned descs)
{
    q->packed.avail = pos;
    q->packed.taken++;
    q->packed.descs_out += descs;
    return 1;
}

/* Any chain, from its first descriptor on, which was fetched. */
static RING_APART int packed_dev_walk(struct virtq_dev *q, struct virtq_chain *c,
                                      struct virtq_packed_pos pos, struct ring_desc d)
{
    const struct pvirtq_desc *ring = packed_ring(&q->cfg.areas);
    unsigned size = q->cfg.size, room = size - q->packed.descs_out, walked = 0;
    uint16_t id = d.link;

    virtq_chain_clear(c);
    for (;;) {
        enum virtq_fault fault;

        /* A slot stays ours until the driver has seen it used. */
        walked++;
        if (ring_broken(walked > room)) {
            if (MUTANT(packed_overrun_asserted))
                abort();
            return virtq_dev_fault(q, VIRTQ_FAULT_RING_OVERRUN, packed_pos_at(pos));
        }
        if (d.flags & VIRTQ_DESC_F_INDIRECT) {
            if (MUTANT(packed_mixed_asserted) && (walked > 1 || (d.flags & VIRTQ_DESC_F_NEXT)))
                abort();
            if (walked > 1)
                return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_MIXED, packed_pos_at(pos));
            int rc = packed_dev_indirect(q, c, d);

            if (rc < 0)
                return rc;
            pos = packed_pos_add(pos, 1, size);
            break;
        }
        fault = virtq_chain_append(q, c, &d);
        if (fault != VIRTQ_OK)
            return virtq_dev_fault(q, fault, packed_pos_at(pos));
        pos = packed_pos_add(pos, 1, size);
        if (!(d.flags & VIRTQ_DESC_F_NEXT))
            break;
        if (walked == size && MUTANT(packed_loop_asserted))
            abort();
        if (ring_broken(walked == size ||
                        (MUTANT(chain_of_queue_size_refused) && walked + 1 == size)))
            return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_LOOP, packed_pos_at(pos));
        if (MUTANT(packed_chain_never_crosses))
            pos = packed_pos_make(packed_pos_at(pos), packed_pos_wrap(q->packed.avail));
        d = packed_desc_fetch(&ring[packed_pos_at(pos)]);
        /* The first was made available last (2.8.17): all of the chain has to be there. */
        if (ring_broken(!packed_is_avail(d.flags, packed_pos_wrap(pos)))) {
            if (MUTANT(packed_partial_asserted))
                abort();
            return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_PARTIAL, packed_pos_at(pos));
        }
        if (!MUTANT(packed_id_of_first))
            id = d.link; /* the last one's counts (2.8.6) */
    }
    if (MUTANT(packed_id_asserted) && d.link >= size)
        abort();
    c->token = virtq_chain_token(c, id, walked);
    return packed_dev_taken(q, pos, walked);
}

static RING_INLINE int packed_dev_pop(struct virtq_dev *q, struct virtq_chain *c)
{
    const struct pvirtq_desc *ring = packed_ring(&q->cfg.areas);
    struct virtq_packed_pos pos = q->packed.avail;
    unsigned size = q->cfg.size;
    struct ring_desc d;

    if (q->fault != VIRTQ_OK)
        return -EPROTO;
    d = packed_desc_fetch(&ring[packed_pos_at(pos)]);
    if (MUTANT(packed_looks_ahead))
        for (unsigned i = 0; !packed_dev_is_ours(d.flags, packed_pos_wrap(pos)) && i < 4; i++) {
            pos = packed_pos_add(pos, 1, size);
            d = packed_desc_fetch(&ring[packed_pos_at(pos)]);
        }
    if (!packed_dev_is_ours(d.flags, packed_pos_wrap(pos)))
        return 0;
    if (MUTANT(packed_id_asserted) && d.link >= size)
        abort();
    if (ring_broken(q->packed.descs_out == size) || !virtq_chain_of_one(c, &d))
        return packed_dev_walk(q, c, pos, d);
    c->token = virtq_chain_token(c, d.link, 1);
    return packed_dev_taken(q, packed_pos_add(pos, 1, size), 1);
}

/* Write the used entry of a batch of chains, of one mostly. */
static RING_INLINE void packed_dev_use(struct virtq_dev *q, unsigned id, unsigned chains,
                                       unsigned descs, uint32_t written)
{
    struct pvirtq_desc *ring = packed_ring(&q->cfg.areas);
    struct virtq_packed_pos used = q->packed.used;
    uint16_t flags = packed_flags_used(packed_pos_wrap(used));
    uint64_t word;

    assert(q->packed.taken >= chains);
    /* 2.8.3, 2.8.4: without WRITE the length means nothing. */
    if (written && !MUTANT(packed_used_no_write))
        flags |= VIRTQ_DESC_F_WRITE;
    if (MUTANT(packed_used_id_repeated) && q->packed.unpublished)
        id = (uint16_t)(q->packed.held_word >> 32);
    word = packed_word(written, (uint16_t)id, flags);
    if (MUTANT(packed_used_written_twice) && q->packed.held_word && !q->packed.unpublished)
        packed_word_store(&ring[q->packed.held_at], q->packed.held_word ^ 1);
    if (q->packed.unpublished == 0) {
        q->packed.held_at = packed_pos_at(used);
        q->packed.held_word = word;
    } else {
        packed_word_store(&ring[packed_pos_at(used)], word);
    }
    used = packed_pos_add(used, descs, q->cfg.size);
    if (MUTANT(packed_writes_beyond))
        packed_word_store(&ring[packed_pos_at(used)], 0);
    q->packed.used = used;
    q->packed.taken -= chains;
    q->packed.unpublished += chains;
    q->packed.unpublished_descs += descs;
}

static RING_INLINE unsigned packed_dev_publish(struct virtq_dev *q)
{
    unsigned count = q->packed.unpublished;
    unsigned descs = q->packed.unpublished_descs;

    if (count == 0)
        return 0;
    packed_word_release(&packed_ring(&q->cfg.areas)[q->packed.held_at], q->packed.held_word);
    q->packed.published = q->packed.used;
    q->packed.descs_out -= descs;
    q->packed.moved = min_u32(q->packed.moved + descs, q->cfg.size);
    q->packed.unpublished = q->packed.unpublished_descs = 0;
    return count;
}

static inline bool packed_dev_interrupt_needed(struct virtq_dev *q)
{
    unsigned moved = q->packed.moved;

    if (moved == 0)
        return false;
    q->packed.moved = 0;
    ring_full_barrier();
    if (MUTANT(packed_event_first_missed) && q->cfg.event_idx)
        moved--;
    return packed_event_wanted(packed_driver_event(&q->cfg.areas), q->cfg.event_idx, q->cfg.size,
                               q->packed.published, moved);
}

static inline void packed_dev_kick_disable(struct virtq_dev *q)
{
    packed_event_store(packed_device_event(&q->cfg.areas), 0, VIRTQ_PACKED_EVENT_DISABLE);
}

static inline bool packed_dev_kick_enable(struct virtq_dev *q)
{
    const struct pvirtq_desc *next = &packed_ring(&q->cfg.areas)[packed_pos_at(q->packed.avail)];

    if (q->cfg.event_idx && !MUTANT(packed_device_event_stale))
        packed_event_store(packed_device_event(&q->cfg.areas), packed_pos_event(q->packed.avail),
                           VIRTQ_PACKED_EVENT_DESC);
    else if (!MUTANT(packed_device_event_stale))
        packed_event_store(packed_device_event(&q->cfg.areas), 0,
                           MUTANT(packed_device_event_reserved) ? VIRTQ_PACKED_EVENT_MASK
                                                                : VIRTQ_PACKED_EVENT_ENABLE);
    /* The driver stores its flags, then reads the event; here it is the other way round. */
    ring_full_barrier();
    return packed_is_avail(packed_desc_fetch(next).flags, packed_pos_wrap(q->packed.avail));
}

#endif
