/* SPDX-License-Identifier: MIT */
/* Packed virtqueues, driver side: per-buffer code. Private to ref/virtq. */
#ifndef RP_VIRTQ_PACKED_DRV_HOT_H
#define RP_VIRTQ_PACKED_DRV_HOT_H

#include "virtq/drv_hot.h"
#include "virtq/packed_hot.h"

/* Write one ring descriptor; of the first since the last publish the flags stay back. */
static RING_INLINE void packed_drv_put_desc(struct virtq_drv *q, const struct virtq_sg *sg,
                                            unsigned id, uint16_t flags)
{
    struct pvirtq_desc *d = &packed_ring(&q->cfg.areas)[q->packed.avail.at];
    uint64_t word = packed_word(sg->len_bytes, (uint16_t)id, flags) | q->packed.avail.owner;

    __atomic_store_n(&d->addr.raw, sg->addr.raw, __ATOMIC_RELAXED);
    if (q->packed.unpublished == 0)
        q->packed.held_word = word;
    else
        packed_word_store(d, word);
    q->packed.unpublished++;
    packed_pos_pass(&q->packed.avail, 1, q->cfg.size);
}

/* One piece, in the ring itself. */
static RING_INLINE void packed_drv_put_one(struct virtq_drv *q, const struct virtq_sg *sg,
                                           bool writable, unsigned *id)
{
    *id = q->free_head;
    q->free_head = q->slots[*id].next;
    packed_drv_put_desc(q, sg, *id, writable ? VIRTQ_DESC_F_WRITE : 0);
}

/* Describe the chain, without making it available. Returns the descriptors taken. */
static inline unsigned packed_drv_put(struct virtq_drv *q, const struct virtq_drv_chain *c,
                                      unsigned *id)
{
    bool writable;

    *id = q->free_head;
    q->free_head = q->slots[*id].next;
    if (c->ind != NULL) {
        struct virtq_sg all = {.addr = c->ind->addr,
                               .len_bytes = c->total * (uint32_t)sizeof(struct pvirtq_desc)};
        struct pvirtq_desc *table = c->ind->va;

        for (unsigned k = 0; k < c->total; k++) {
            const struct virtq_sg *sg = virtq_drv_piece(c, k, &writable);

            /* WRITE is the only flag that an entry may have (2.8.19). */
            table[k] = (struct pvirtq_desc){
                .addr = le64_make(sg->addr.raw),
                .len = le32_make(sg->len_bytes),
                .flags = le16_make(writable ? VIRTQ_DESC_F_WRITE : 0),
            };
        }
        packed_drv_put_desc(q, &all, *id, VIRTQ_DESC_F_INDIRECT);
        return 1;
    }
    for (unsigned k = 0; k < c->total; k++) {
        const struct virtq_sg *sg = virtq_drv_piece(c, k, &writable);

        packed_drv_put_desc(q, sg, *id,
                            (uint16_t)((writable ? VIRTQ_DESC_F_WRITE : 0) |
                                       (k + 1 < c->total ? VIRTQ_DESC_F_NEXT : 0)));
    }
    return c->total;
}

static RING_INLINE void packed_drv_publish(struct virtq_drv *q)
{
    unsigned first = packed_at_before(q->packed.avail.at, q->packed.unpublished, q->cfg.size);

    packed_word_release(&packed_ring(&q->cfg.areas)[first], q->packed.held_word);
    q->packed.moved = min_u32(q->packed.moved + q->packed.unpublished, q->cfg.size);
    q->packed.unpublished = 0;
}

/* Where the first descriptor is that was not published. */
static inline struct virtq_packed_pos packed_drv_published(const struct virtq_drv *q)
{
    return packed_pos_before(&q->packed.avail, q->packed.unpublished, q->cfg.size);
}

static inline bool packed_drv_kick_needed(struct virtq_drv *q)
{
    unsigned moved = q->packed.moved;

    if (moved == 0)
        return false;
    q->packed.moved = 0;
    ring_full_barrier();
    return packed_event_wanted(packed_device_event(&q->cfg.areas), q->cfg.event_idx, q->cfg.size,
                               packed_drv_published(q), moved);
}

/* The next used entry. Returns how many chains it can stand for, 0: none there. */
static RING_INLINE unsigned packed_drv_peek(const struct virtq_drv *q, struct virtq_drv_used *used)
{
    uint64_t word;

    /* With nothing outstanding there is nothing that could be used, whatever the flags say. */
    if (q->in_ring == 0)
        return 0;
    word = packed_word_load(&packed_ring(&q->cfg.areas)[q->packed.used.at]);
    if (!packed_word_is(word, &q->packed.used))
        return 0;
    *used = (struct virtq_drv_used){
        .id = (uint16_t)(word >> 32),
        .len_bytes =
            word >> PACKED_FLAGS_SHIFT & VIRTQ_DESC_F_WRITE ? (uint32_t)word : 0, /* 2.8.4 */
    };
    return q->in_ring;
}

static inline void packed_drv_free(struct virtq_drv *q, unsigned id)
{
    q->slots[id].next = q->free_head;
    q->free_head = id;
}

static inline void packed_drv_irq_disable(struct virtq_drv *q)
{
    packed_event_store(packed_driver_event(&q->cfg.areas), 0, VIRTQ_PACKED_EVENT_DISABLE);
}

static inline bool packed_drv_irq_enable(struct virtq_drv *q, unsigned after)
{
    struct virtq_drv_used used;

    if (q->cfg.event_idx) {
        struct virtq_packed_pos at = q->packed.used;

        packed_pos_pass(&at, after - 1, q->cfg.size);
        packed_event_store(packed_driver_event(&q->cfg.areas), packed_pos_event(at),
                           VIRTQ_PACKED_EVENT_DESC);
    } else {
        packed_event_store(packed_driver_event(&q->cfg.areas), 0, VIRTQ_PACKED_EVENT_ENABLE);
    }
    /* The device stores its flags, then reads the event; here it is the other way round. */
    ring_full_barrier();
    return q->batch_left != 0 || packed_drv_peek(q, &used) != 0;
}

#endif
