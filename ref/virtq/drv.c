/* SPDX-License-Identifier: MIT */
/*
 * The driver side: what both formats share, and dispatch to the format's per-buffer code.
 * Bookkeeping is private: neither what is free nor what is outstanding is read back from memory
 * that the device can see.
 */
#include "virtq/drv.h"

#include <stdlib.h>

#include "virtq/packed_drv_hot.h"
#include "virtq/split_drv_hot.h"

static bool is_packed(const struct virtq_drv *q)
{
    return q->cfg.format == VIRTQ_PACKED;
}

static void drv_start(struct virtq_drv *q)
{
    struct virtq_layout layout;
    int rc = virtq_layout_init(&layout, q->cfg.format, q->cfg.size);

    assert(rc == 0);
    (void)rc;
    memset(q->cfg.areas.desc, 0, layout.desc_bytes);
    memset(q->cfg.areas.driver, 0, layout.driver_bytes);
    memset(q->cfg.areas.device, 0, layout.device_bytes);
    *q = (struct virtq_drv){
        .cfg = q->cfg,
        .slots = q->slots,
        .free_count = q->cfg.size,
        .irq_on = true,
    };
    for (unsigned i = 0; i < q->cfg.size; i++)
        q->slots[i] = (struct virtq_drv_slot){.next = (i + 1) % q->cfg.size};
    if (is_packed(q)) {
        q->packed.avail = packed_pos_avail(0, true);
        q->packed.used = packed_pos_used(0, true);
    } else {
        q->split.mask = (uint16_t)(q->cfg.size - 1);
    }
}

int virtq_drv_init(struct virtq_drv *q, const struct virtq_drv_config *config)
{
    struct virtq_layout layout;

    *q = (struct virtq_drv){.cfg = *config};
    if (virtq_layout_init(&layout, config->format, config->size) < 0)
        return -EINVAL;
    if (!virtq_layout_fits(&layout, &config->areas))
        return -EINVAL;
    q->slots = calloc(config->size, sizeof(*q->slots));
    if (q->slots == NULL)
        return -ENOMEM;
    drv_start(q);
    return 0;
}

void virtq_drv_fini(struct virtq_drv *q)
{
    free(q->slots);
    q->slots = NULL;
}

static int pieces_sum(const struct virtq_sg *sg, unsigned count, uint64_t *bytes)
{
    *bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        if (sg[i].len_bytes == 0)
            return -EINVAL;
        *bytes += sg[i].len_bytes;
    }
    return 0;
}

/* The chain that was put under the id `own` is outstanding. */
static RING_INLINE void chain_keep(struct virtq_drv *q, unsigned own, unsigned descs,
                                   uint64_t in_bytes, void *cookie, uint16_t *id)
{
    struct virtq_drv_slot *s = &q->slots[own];

    s->cookie = cookie;
    s->in_bytes = in_bytes;
    s->seq = q->added++;
    s->descs = descs;
    q->free_count -= descs;
    if (id != NULL)
        *id = (uint16_t)own;
}

/* What most are: one piece, without a table. */
static RING_INLINE int add_one(struct virtq_drv *q, const struct virtq_sg *sg, bool writable,
                               void *cookie, uint16_t *id)
{
    unsigned own;

    if (sg->len_bytes == 0)
        return -EINVAL;
    if (q->free_count == 0)
        return -ENOSPC;
    if (is_packed(q))
        packed_drv_put_one(q, sg, writable, &own);
    else
        split_drv_put_one(q, sg, writable, &own);
    chain_keep(q, own, 1, writable ? sg->len_bytes : 0, cookie, id);
    return 0;
}

static RING_APART int add_many(struct virtq_drv *q, struct virtq_drv_chain c, unsigned in_count,
                               void *cookie, uint16_t *id)
{
    uint64_t out_bytes, in_bytes;
    unsigned descs, own;

    /* 2.7.5.3.1, 2.8.17: the limit holds for indirect tables as well. */
    if (c.out_count > q->cfg.size || in_count > q->cfg.size)
        return -EINVAL;
    c.total = c.out_count + in_count;
    if (c.total == 0 || c.total > q->cfg.size || (c.ind != NULL && c.total > c.ind->entries))
        return -EINVAL;
    if (pieces_sum(c.out, c.out_count, &out_bytes) < 0 || pieces_sum(c.in, in_count, &in_bytes) < 0)
        return -EINVAL;
    if (out_bytes + in_bytes > BIT64(32)) /* 2.7.5.2 */
        return -EINVAL;
    if (q->free_count < (c.ind != NULL ? 1 : c.total))
        return -ENOSPC;

    descs = is_packed(q) ? packed_drv_put(q, &c, &own) : split_drv_put(q, &c, &own);
    chain_keep(q, own, descs, in_bytes, cookie, id);
    return 0;
}

int virtq_drv_add(struct virtq_drv *q, const struct virtq_sg *out, unsigned out_count,
                  const struct virtq_sg *in, unsigned in_count, const struct virtq_indirect *ind,
                  void *cookie, uint16_t *id)
{
    assert(cookie != NULL);
    if (ind == NULL && out_count == 1 && in_count == 0)
        return add_one(q, out, false, cookie, id);
    if (ind == NULL && out_count == 0 && in_count == 1)
        return add_one(q, in, true, cookie, id);
    return add_many(
        q, (struct virtq_drv_chain){.out = out, .in = in, .out_count = out_count, .ind = ind},
        in_count, cookie, id);
}

unsigned virtq_drv_publish(struct virtq_drv *q)
{
    unsigned count = (unsigned)(q->added - q->published);

    if (count == 0)
        return 0;
    if (is_packed(q))
        packed_drv_publish(q);
    else
        split_drv_publish(q);
    q->published = q->added;
    q->in_ring += count;
    return count;
}

bool virtq_drv_kick_needed(struct virtq_drv *q)
{
    return is_packed(q) ? packed_drv_kick_needed(q) : split_drv_kick_needed(q);
}

uint16_t virtq_drv_next_avail(const struct virtq_drv *q)
{
    return is_packed(q) ? packed_pos_event(packed_drv_published(q)) : (uint16_t)q->published;
}

/* The chain is the driver's again, and so are its descriptors. */
static RING_INLINE void chain_free(struct virtq_drv *q, unsigned id)
{
    struct virtq_drv_slot *s = &q->slots[id];

    if (!q->cfg.in_order) {
        if (is_packed(q))
            packed_drv_free(q, id);
        else
            split_drv_free(q, id);
    }
    q->free_count += s->descs;
    q->in_ring--;
    s->cookie = NULL;
}

/* Pass the place in the ring where the chain's used entry is, or would be. */
static RING_INLINE void used_pass(struct virtq_drv *q, unsigned descs)
{
    if (is_packed(q))
        packed_pos_pass(&q->packed.used, descs, q->cfg.size);
    else
        q->split.used_next++;
}

static RING_INLINE enum virtq_fault used_id_check(const struct virtq_drv *q, uint32_t id)
{
    if (ring_broken(id >= q->cfg.size))
        return VIRTQ_FAULT_USED_ID;
    if (ring_broken(q->slots[id].cookie == NULL || q->slots[id].seq >= q->published))
        return VIRTQ_FAULT_USED_STALE;
    return VIRTQ_OK;
}

/* 2.7.9, 2.8.8: the used entry in hand stands for all chains from `oldest` up to `id`. -EPROTO when
 * that are more than it can stand for. */
static int batch_begin(struct virtq_drv *q, const struct virtq_drv_used *used, unsigned most)
{
    uint64_t chains = q->slots[used->id].seq - q->slots[q->oldest].seq + 1;

    if (ring_broken(chains > most)) {
        q->fault = VIRTQ_FAULT_USED_IDX;
        return -EPROTO;
    }
    q->batch_left = (unsigned)chains;
    q->batch_len_bytes = used->len_bytes;
    return 0;
}

/* Consume one chain. `len_bytes` is the device's word. */
static RING_INLINE void chain_take(struct virtq_drv *q, unsigned id, uint32_t len_bytes,
                                   struct virtq_done *done)
{
    const struct virtq_drv_slot *s = &q->slots[id];

    done->cookie = s->cookie;
    done->id = id;
    done->len_bytes = len_bytes;
    done->fault = ring_broken(len_bytes > s->in_bytes) ? VIRTQ_FAULT_USED_LEN : VIRTQ_OK;
    used_pass(q, s->descs);
    chain_free(q, id);
}

/* Consume the oldest chain of the batch in hand. */
static void batch_take(struct virtq_drv *q, struct virtq_done *done)
{
    const struct virtq_drv_slot *s = &q->slots[q->oldest];
    unsigned id = q->oldest, next = id + (is_packed(q) ? 1u : s->descs);
    uint32_t len_bytes = q->batch_len_bytes;

    if (--q->batch_left != 0)
        len_bytes = (uint32_t)min_u64(s->in_bytes, UINT32_MAX);
    /* Not by a division: it would be the dearest step of all. */
    q->oldest = next >= q->cfg.size ? next - q->cfg.size : next;
    chain_take(q, id, len_bytes, done);
}

/* The next used entry cannot be. */
static RING_APART int reap_broken(struct virtq_drv *q, struct virtq_drv_used used,
                                  enum virtq_fault fault, struct virtq_done *done)
{
    *done = (struct virtq_done){.id = used.id, .len_bytes = used.len_bytes, .fault = fault};
    /* Where the next entry is depends on the chain of this one, but for split queues. */
    if (is_packed(q) || q->cfg.in_order)
        q->fault = fault;
    else
        used_pass(q, 1);
    return 1;
}

/* With in_order, a used entry that is not broken. */
static RING_APART int reap_batch(struct virtq_drv *q, struct virtq_drv_used used, unsigned most,
                                 struct virtq_done *done)
{
    if (q->batch_left == 0 && batch_begin(q, &used, most) < 0)
        return -EPROTO;
    batch_take(q, done);
    return 1;
}

int virtq_drv_reap(struct virtq_drv *q, struct virtq_done *done)
{
    struct virtq_drv_used used = {0};
    enum virtq_fault fault;
    unsigned most;

    if (q->fault != VIRTQ_OK)
        return -EPROTO;
    if (q->batch_left != 0)
        return reap_batch(q, used, 0, done);
    most = is_packed(q) ? packed_drv_peek(q, &used) : split_drv_peek(q, &used);
    if (most == 0)
        return q->fault == VIRTQ_OK ? 0 : -EPROTO;
    fault = used_id_check(q, used.id);
    if (fault != VIRTQ_OK)
        return reap_broken(q, used, fault, done);
    if (q->cfg.in_order)
        return reap_batch(q, used, most, done);
    chain_take(q, used.id, used.len_bytes, done);
    return 1;
}

bool virtq_drv_used_pending(const struct virtq_drv *q)
{
    struct virtq_drv_used used;

    if (q->fault != VIRTQ_OK || q->batch_left != 0)
        return true;
    if (is_packed(q))
        return packed_drv_peek(q, &used) != 0;
    return q->split.used_next != q->split.used_seen || split_drv_fresh(q) != 0;
}

unsigned virtq_drv_free_descs(const struct virtq_drv *q)
{
    return q->free_count;
}

unsigned virtq_drv_outstanding(const struct virtq_drv *q)
{
    return q->in_ring + (unsigned)(q->added - q->published);
}

void virtq_drv_irq_disable(struct virtq_drv *q)
{
    if (!q->irq_on)
        return;
    q->irq_on = false;
    if (is_packed(q))
        packed_drv_irq_disable(q);
    else
        split_drv_irq_disable(q);
}

bool virtq_drv_irq_enable(struct virtq_drv *q)
{
    return virtq_drv_irq_enable_delayed(q, 1);
}

bool virtq_drv_irq_enable_delayed(struct virtq_drv *q, unsigned after)
{
    unsigned outstanding = virtq_drv_outstanding(q);
    bool there;

    if (!q->cfg.event_idx || after == 0)
        after = 1;
    else if (after > outstanding)
        after = outstanding != 0 ? outstanding : 1;
    q->irq_on = true;
    there = is_packed(q) ? packed_drv_irq_enable(q, after) : split_drv_irq_enable(q, after);
    return q->fault != VIRTQ_OK || there;
}

bool virtq_drv_detach(struct virtq_drv *q, void **cookie, uint16_t *id)
{
    for (; q->detach_next < q->cfg.size; q->detach_next++) {
        unsigned own = q->detach_next;

        if (q->slots[own].cookie == NULL)
            continue;
        *cookie = q->slots[own].cookie;
        if (id != NULL)
            *id = (uint16_t)own;
        /* In the ring or not: what is outstanding is one less. */
        chain_free(q, own);
        return true;
    }
    q->detach_next = 0;
    return false;
}

void virtq_drv_reset(struct virtq_drv *q)
{
    assert(virtq_drv_outstanding(q) == 0);
    drv_start(q);
}
