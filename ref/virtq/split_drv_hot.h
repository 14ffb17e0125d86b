/* SPDX-License-Identifier: MIT */
/* Split virtqueues, driver side: per-buffer code. Private to ref/virtq. */
#ifndef RP_VIRTQ_SPLIT_DRV_HOT_H
#define RP_VIRTQ_SPLIT_DRV_HOT_H

#include "virtq/drv_hot.h"
#include "virtq/split_hot.h"

/* One piece, in the ring itself. */
static RING_INLINE void split_drv_put_one(struct virtq_drv *q, const struct virtq_sg *sg,
                                          bool writable, unsigned *id)
{
    *id = q->free_head;
    q->free_head = q->slots[*id].next;
    split_desc_put(&split_descs(&q->cfg.areas)[*id], sg->addr.raw, sg->len_bytes,
                   writable ? VIRTQ_DESC_F_WRITE : 0, 0);
    ring_store(&split_avail(&q->cfg.areas)->ring[q->added & q->split.mask], (uint16_t)*id);
}

/* Write the pieces to ring descriptors off the free list. Returns how many were taken. */
static inline unsigned split_drv_put_direct(struct virtq_drv *q, const struct virtq_drv_chain *c)
{
    struct virtq_desc *descs = split_descs(&q->cfg.areas);
    unsigned i = q->free_head;

    for (unsigned k = 0; k < c->total; k++) {
        bool writable;
        const struct virtq_sg *sg = virtq_drv_piece(c, k, &writable);
        uint16_t flags = writable ? VIRTQ_DESC_F_WRITE : 0;
        unsigned next = q->slots[i].next;

        if (k + 1 < c->total)
            split_desc_put(&descs[i], sg->addr.raw, sg->len_bytes, flags | VIRTQ_DESC_F_NEXT,
                           (uint16_t)next);
        else
            split_desc_put(&descs[i], sg->addr.raw, sg->len_bytes, flags, 0);
        i = next;
    }
    q->free_head = i;
    return c->total;
}

static inline unsigned split_drv_put_indirect(struct virtq_drv *q, const struct virtq_drv_chain *c)
{
    struct virtq_desc *table = c->ind->va;
    unsigned head = q->free_head;

    for (unsigned k = 0; k < c->total; k++) {
        bool writable;
        const struct virtq_sg *sg = virtq_drv_piece(c, k, &writable);
        uint16_t flags = writable ? VIRTQ_DESC_F_WRITE : 0;

        if (k + 1 < c->total)
            split_desc_put(&table[k], sg->addr.raw, sg->len_bytes, flags | VIRTQ_DESC_F_NEXT,
                           (uint16_t)(k + 1));
        else
            split_desc_put(&table[k], sg->addr.raw, sg->len_bytes, flags, 0);
    }
    split_desc_put(&split_descs(&q->cfg.areas)[head], c->ind->addr.raw,
                   c->total * (uint32_t)sizeof(struct virtq_desc), VIRTQ_DESC_F_INDIRECT, 0);
    q->free_head = q->slots[head].next;
    return 1;
}

/* Describe the chain, without making it available. Returns the descriptors taken. */
static inline unsigned split_drv_put(struct virtq_drv *q, const struct virtq_drv_chain *c,
                                     unsigned *id)
{
    unsigned descs;

    *id = q->free_head;
    descs = c->ind != NULL ? split_drv_put_indirect(q, c) : split_drv_put_direct(q, c);
    ring_store(&split_avail(&q->cfg.areas)->ring[q->added & q->split.mask], (uint16_t)*id);
    return descs;
}

static inline void split_drv_publish(struct virtq_drv *q)
{
    ring_store_release(&split_avail(&q->cfg.areas)->idx, (uint16_t)q->added);
}

static inline bool split_drv_kick_needed(struct virtq_drv *q)
{
    uint16_t from = q->split.avail_signalled, to = (uint16_t)q->published;

    if (from == to)
        return false;
    q->split.avail_signalled = to;
    ring_full_barrier();
    if (q->cfg.event_idx)
        return virtq_need_event(ring_load(split_avail_event(&q->cfg.areas, q->cfg.size)), to, from);
    return !(ring_load(&split_used(&q->cfg.areas)->flags) & VIRTQ_USED_F_NO_NOTIFY);
}

/* Used entries that were not reaped, those of a batch counted one by one. */
static inline uint16_t split_drv_fresh(const struct virtq_drv *q)
{
    return (uint16_t)(ring_load_acquire(&split_used(&q->cfg.areas)->idx) - q->split.used_next);
}

/* The next used entry. Returns how many chains it can stand for, 0: none there, or the used index
 * is nonsense and the queue has a fault. */
static RING_INLINE unsigned split_drv_peek(struct virtq_drv *q, struct virtq_drv_used *used)
{
    uint16_t next = q->split.used_next;
    struct virtq_used_elem e;

    /* The device writes its index for each buffer: a look at it takes the cache line away. */
    if (next == q->split.used_seen) {
        uint16_t fresh = split_drv_fresh(q);

        if (fresh == 0) {
            /* The device writes it before its index: fetched beside that, not after it. */
            __builtin_prefetch(&split_used(&q->cfg.areas)->ring[next & q->split.mask]);
            return 0;
        }
        if (ring_broken(fresh > (uint16_t)((uint16_t)q->published - next))) {
            q->fault = VIRTQ_FAULT_USED_IDX;
            return 0;
        }
        q->split.used_seen = (uint16_t)(next + fresh);
    }
    e = split_used_fetch(&split_used(&q->cfg.areas)->ring[next & q->split.mask]);
    *used = (struct virtq_drv_used){.id = le32_get(e.id), .len_bytes = le32_get(e.len)};
    return (uint16_t)(q->split.used_seen - next);
}

/* Give the descriptors of the chain at `head` back to the free list. */
static inline void split_drv_free(struct virtq_drv *q, unsigned head)
{
    unsigned last = head;

    for (unsigned i = 1; i < q->slots[head].descs; i++)
        last = q->slots[last].next;
    q->slots[last].next = q->free_head;
    q->free_head = head;
}

static inline void split_drv_irq_disable(struct virtq_drv *q)
{
    /* 2.7.7.1: with EVENT_IDX flags stay 0; an event just passed comes back after 2^16. */
    if (q->cfg.event_idx)
        ring_store(split_used_event(&q->cfg.areas, q->cfg.size),
                   (uint16_t)(q->split.used_next - 1));
    else
        ring_store(&split_avail(&q->cfg.areas)->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
}

static inline bool split_drv_irq_enable(struct virtq_drv *q, unsigned after)
{
    if (q->cfg.event_idx)
        ring_store(split_used_event(&q->cfg.areas, q->cfg.size),
                   (uint16_t)(q->split.used_next + after - 1));
    else
        ring_store(&split_avail(&q->cfg.areas)->flags, 0);
    /* The device stores its index, then reads the event; here it is the other way round. */
    ring_full_barrier();
    return split_drv_fresh(q) >= after;
}

#endif
