/* SPDX-License-Identifier: MIT */
/* Packed virtqueues, device side: per-buffer code. Private to ref/virtq. */
#ifndef RP_VIRTQ_PACKED_DEV_HOT_H
#define RP_VIRTQ_PACKED_DEV_HOT_H

#include "virtq/dev_hot.h"
#include "virtq/packed_hot.h"

/* Cold half, in packed_dev.c: resolve and walk an indirect table. 0, -EPROTO or -errno. */
int packed_dev_indirect(struct virtq_dev *q, struct virtq_chain *c, struct ring_desc d);

static inline bool packed_dev_is_ours(uint64_t word, const struct virtq_packed_pos *pos)
{
    if (MUTANT(packed_used_bit_ignored))
        return !(word >> PACKED_FLAGS_SHIFT & VIRTQ_PACKED_DESC_F_AVAIL) == !packed_pos_wrap(pos);
    return packed_word_is(word, pos);
}

/* The chain was taken. */
static RING_INLINE int packed_dev_taken(struct virtq_dev *q, unsigned descs)
{
    packed_pos_pass(&q->packed.avail, descs, q->cfg.size);
    q->packed.taken++;
    q->packed.descs_out += descs;
    return 1;
}

/* Any chain, from its first descriptor on, which was fetched. */
static RING_APART int packed_dev_walk(struct virtq_dev *q, struct virtq_chain *c,
                                      struct ring_desc d)
{
    const struct pvirtq_desc *ring = packed_ring(&q->cfg.areas);
    struct virtq_packed_pos pos = q->packed.avail;
    unsigned size = q->cfg.size, room = size - q->packed.descs_out, walked = 0;
    uint16_t id = d.link;
    uint64_t word;

    virtq_chain_clear(c);
    for (;;) {
        enum virtq_fault fault;

        /* A slot stays ours until the driver has seen it used. */
        walked++;
        if (ring_broken(walked > room)) {
            if (MUTANT(packed_overrun_asserted))
                abort();
            return virtq_dev_fault(q, VIRTQ_FAULT_RING_OVERRUN, (uint16_t)pos.at);
        }
        if (d.flags & VIRTQ_DESC_F_INDIRECT) {
            if (MUTANT(packed_mixed_asserted) && (walked > 1 || (d.flags & VIRTQ_DESC_F_NEXT)))
                abort();
            if (walked > 1)
                return virtq_dev_fault(q, VIRTQ_FAULT_INDIRECT_MIXED, (uint16_t)pos.at);
            int rc = packed_dev_indirect(q, c, d);

            if (rc < 0)
                return rc;
            break;
        }
        fault = virtq_chain_append(q, c, &d);
        if (fault != VIRTQ_OK)
            return virtq_dev_fault(q, fault, (uint16_t)pos.at);
        packed_pos_pass(&pos, 1, size);
        if (!(d.flags & VIRTQ_DESC_F_NEXT))
            break;
        if (walked == size && MUTANT(packed_loop_asserted))
            abort();
        if (ring_broken(walked == size ||
                        (MUTANT(chain_of_queue_size_refused) && walked + 1 == size)))
            return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_LOOP, (uint16_t)pos.at);
        if (MUTANT(packed_chain_never_crosses))
            pos.owner = q->packed.avail.owner;
        word = packed_word_load(&ring[pos.at]);
        d = packed_desc_rest(&ring[pos.at], word);
        /* The first was made available last (2.8.17): all of the chain has to be there. */
        if (ring_broken(!packed_word_is(word, &pos))) {
            if (MUTANT(packed_partial_asserted))
                abort();
            return virtq_dev_fault(q, VIRTQ_FAULT_CHAIN_PARTIAL, (uint16_t)pos.at);
        }
        if (!MUTANT(packed_id_of_first))
            id = d.link; /* the last one's counts (2.8.6) */
    }
    if (MUTANT(packed_id_asserted) && d.link >= size)
        abort();
    c->token = virtq_chain_token(c, id, walked);
    return packed_dev_taken(q, walked);
}

static RING_INLINE int packed_dev_pop(struct virtq_dev *q, struct virtq_chain *c)
{
    const struct pvirtq_desc *ring = packed_ring(&q->cfg.areas);
    uint64_t word = packed_word_load(&ring[q->packed.avail.at]);
    struct ring_desc d;

    if (q->fault != VIRTQ_OK)
        return -EPROTO;
    if (MUTANT(packed_looks_ahead))
        for (unsigned i = 0; !packed_dev_is_ours(word, &q->packed.avail) && i < 4; i++) {
            packed_pos_pass(&q->packed.avail, 1, q->cfg.size);
            word = packed_word_load(&ring[q->packed.avail.at]);
        }
    if (!packed_dev_is_ours(word, &q->packed.avail))
        return 0;
    d = packed_desc_rest(&ring[q->packed.avail.at], word);
    if (MUTANT(packed_id_asserted) && d.link >= q->cfg.size)
        abort();
    if (ring_broken(q->packed.descs_out == q->cfg.size) || !virtq_chain_of_one(c, &d))
        return packed_dev_walk(q, c, d);
    c->token = virtq_chain_token(c, d.link, 1);
    return packed_dev_taken(q, 1);
}

/* Write the used entry of a batch of chains, of one mostly. */
static RING_INLINE void packed_dev_use(struct virtq_dev *q, unsigned id, unsigned chains,
                                       unsigned descs, uint32_t written)
{
    struct pvirtq_desc *ring = packed_ring(&q->cfg.areas);
    struct virtq_packed_pos *used = &q->packed.used;
    uint16_t flags = 0;
    uint64_t word;

    assert(q->packed.taken >= chains);
    /* 2.8.3, 2.8.4: without WRITE the length means nothing. */
    if (written && !MUTANT(packed_used_no_write))
        flags = VIRTQ_DESC_F_WRITE;
    if (MUTANT(packed_used_id_repeated) && q->packed.unpublished)
        id = (uint16_t)(q->packed.held_word >> 32);
    word = packed_word(written, (uint16_t)id, flags) | used->owner;
    if (MUTANT(packed_used_written_twice) && q->packed.held_word && !q->packed.unpublished)
        packed_word_store(&ring[q->packed.held_at], q->packed.held_word ^ 1);
    if (q->packed.unpublished == 0) {
        q->packed.held_at = used->at;
        q->packed.held_word = word;
    } else {
        packed_word_store(&ring[used->at], word);
    }
    packed_pos_pass(used, descs, q->cfg.size);
    if (MUTANT(packed_writes_beyond))
        packed_word_store(&ring[used->at], 0);
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
    return packed_event_wanted(
        packed_driver_event(&q->cfg.areas), q->cfg.event_idx, q->cfg.size,
        packed_pos_before(&q->packed.used, q->packed.unpublished_descs, q->cfg.size), moved);
}

static inline void packed_dev_kick_disable(struct virtq_dev *q)
{
    packed_event_store(packed_device_event(&q->cfg.areas), 0, VIRTQ_PACKED_EVENT_DISABLE);
}

static inline bool packed_dev_kick_enable(struct virtq_dev *q)
{
    const struct pvirtq_desc *next = &packed_ring(&q->cfg.areas)[q->packed.avail.at];

    if (q->cfg.event_idx && !MUTANT(packed_device_event_stale))
        packed_event_store(packed_device_event(&q->cfg.areas), packed_pos_event(q->packed.avail),
                           VIRTQ_PACKED_EVENT_DESC);
    else if (!MUTANT(packed_device_event_stale))
        packed_event_store(packed_device_event(&q->cfg.areas), 0,
                           MUTANT(packed_device_event_reserved) ? VIRTQ_PACKED_EVENT_MASK
                                                                : VIRTQ_PACKED_EVENT_ENABLE);
    /* The driver stores its flags, then reads the event; here it is the other way round. */
    ring_full_barrier();
    return packed_word_is(packed_word_load(next), &q->packed.avail);
}

#endif
