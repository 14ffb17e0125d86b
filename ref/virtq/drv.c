/* SPDX-License-Identifier: MIT */
/*
 * The driver side. Bookkeeping is private: neither the free list nor what is outstanding is read
 * back from memory that the device can see.
 */
#include "virtq/drv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "util/bits.h"
#include "virtq/split_hot.h"

/* One for each ring descriptor; but for `next`, it is the head's that counts. */
struct virtq_drv_slot {
    void *cookie;      /* NULL: no chain begins here */
    uint64_t in_bytes; /* writable part */
    uint64_t seq;      /* value of `added` before it was added */
    uint16_t descs;
    uint16_t next; /* in the free list, or in the chain */
};

static void drv_start(struct virtq_drv *q)
{
    struct virtq_layout layout;
    int rc = virtq_layout_init(&layout, q->cfg.format, q->cfg.size);

    assert(rc == 0);
    (void)rc;
    memset(q->cfg.areas.desc, 0, layout.desc_bytes);
    memset(q->cfg.areas.driver, 0, layout.driver_bytes);
    memset(q->cfg.areas.device, 0, layout.device_bytes);
    memset(q->slots, 0, q->cfg.size * sizeof(*q->slots));
    for (unsigned i = 0; i < q->cfg.size; i++)
        q->slots[i].next = (uint16_t)(i + 1);
    q->free_head = 0;
    q->free_count = (uint16_t)q->cfg.size;
    q->outstanding = 0;
    q->detach_next = 0;
    q->added = q->published = 0;
    q->avail_signalled = 0;
    q->used_next = 0;
    q->irq_on = true;
    q->fault = VIRTQ_OK;
}

int virtq_drv_init(struct virtq_drv *q, const struct virtq_drv_config *config)
{
    struct virtq_layout layout;

    *q = (struct virtq_drv){.cfg = *config};
    if (config->format != VIRTQ_SPLIT)
        return -EOPNOTSUPP;
    if (virtq_layout_init(&layout, config->format, config->size) < 0)
        return -EINVAL;
    if (config->areas.desc == NULL || config->areas.driver == NULL || config->areas.device == NULL)
        return -EINVAL;
    if (!is_aligned((uintptr_t)config->areas.desc, layout.desc_align) ||
        !is_aligned((uintptr_t)config->areas.driver, layout.driver_align) ||
        !is_aligned((uintptr_t)config->areas.device, layout.device_align))
        return -EINVAL;
    q->slots = calloc(config->size, sizeof(*q->slots));
    if (q->slots == NULL)
        return -ENOMEM;
    q->mask = (uint16_t)(config->size - 1);
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

static void desc_put(struct virtq_desc *d, const struct virtq_sg *sg, uint16_t flags, uint16_t next)
{
    *d = (struct virtq_desc){
        .addr = le64_make(sg->addr.raw),
        .len = le32_make(sg->len_bytes),
        .flags = le16_make(flags),
        .next = le16_make(next),
    };
}

/* Write the pieces to ring descriptors off the free list. Returns how many were taken. */
static unsigned put_direct(struct virtq_drv *q, const struct virtq_sg *out, unsigned out_count,
                           const struct virtq_sg *in, unsigned in_count)
{
    struct virtq_desc *descs = split_descs(&q->cfg.areas);
    unsigned total = out_count + in_count;
    uint16_t i = q->free_head;

    for (unsigned k = 0; k < total; k++) {
        const struct virtq_sg *sg = k < out_count ? &out[k] : &in[k - out_count];
        uint16_t flags = k < out_count ? 0 : VIRTQ_DESC_F_WRITE;
        uint16_t next = q->slots[i].next;

        if (k + 1 < total)
            desc_put(&descs[i], sg, flags | VIRTQ_DESC_F_NEXT, next);
        else
            desc_put(&descs[i], sg, flags, 0);
        i = next;
    }
    q->free_head = i;
    return total;
}

static unsigned put_indirect(struct virtq_drv *q, const struct virtq_sg *out, unsigned out_count,
                             const struct virtq_sg *in, unsigned in_count,
                             const struct virtq_indirect *ind)
{
    struct virtq_desc *table = ind->va;
    unsigned total = out_count + in_count;
    struct virtq_sg all = {.addr = ind->addr,
                           .len_bytes = total * (uint32_t)sizeof(struct virtq_desc)};
    uint16_t head = q->free_head;

    for (unsigned k = 0; k < total; k++) {
        const struct virtq_sg *sg = k < out_count ? &out[k] : &in[k - out_count];
        uint16_t flags = k < out_count ? 0 : VIRTQ_DESC_F_WRITE;

        if (k + 1 < total)
            desc_put(&table[k], sg, flags | VIRTQ_DESC_F_NEXT, (uint16_t)(k + 1));
        else
            desc_put(&table[k], sg, flags, 0);
    }
    desc_put(&split_descs(&q->cfg.areas)[head], &all, VIRTQ_DESC_F_INDIRECT, 0);
    q->free_head = q->slots[head].next;
    return 1;
}

int virtq_drv_add(struct virtq_drv *q, const struct virtq_sg *out, unsigned out_count,
                  const struct virtq_sg *in, unsigned in_count, const struct virtq_indirect *ind,
                  void *cookie, uint16_t *id)
{
    uint64_t out_bytes, in_bytes;
    uint16_t head = q->free_head;
    struct virtq_drv_slot *s;
    unsigned total, descs;

    assert(cookie != NULL);
    /* 2.7.5.3.1: the limit holds for indirect tables as well. */
    if (out_count > q->cfg.size || in_count > q->cfg.size)
        return -EINVAL;
    total = out_count + in_count;
    if (total == 0 || total > q->cfg.size || (ind != NULL && total > ind->entries))
        return -EINVAL;
    if (pieces_sum(out, out_count, &out_bytes) < 0 || pieces_sum(in, in_count, &in_bytes) < 0)
        return -EINVAL;
    if (out_bytes + in_bytes > BIT64(32)) /* 2.7.5.2 */
        return -EINVAL;
    if (q->free_count < (ind != NULL ? 1 : total))
        return -ENOSPC;

    if (ind != NULL)
        descs = put_indirect(q, out, out_count, in, in_count, ind);
    else
        descs = put_direct(q, out, out_count, in, in_count);
    s = &q->slots[head];
    s->cookie = cookie;
    s->in_bytes = in_bytes;
    s->seq = q->added;
    s->descs = (uint16_t)descs;
    split_store(&split_avail(&q->cfg.areas)->ring[q->added & q->mask], head);
    q->added++;
    q->free_count = (uint16_t)(q->free_count - descs);
    q->outstanding++;
    if (id != NULL)
        *id = head;
    return 0;
}

unsigned virtq_drv_publish(struct virtq_drv *q)
{
    unsigned count = (unsigned)(q->added - q->published);

    if (count == 0)
        return 0;
    split_store_release(&split_avail(&q->cfg.areas)->idx, (uint16_t)q->added);
    q->published = q->added;
    return count;
}

bool virtq_drv_kick_needed(struct virtq_drv *q)
{
    uint16_t from = q->avail_signalled, to = (uint16_t)q->published;

    if (from == to)
        return false;
    q->avail_signalled = to;
    split_full_barrier();
    if (q->cfg.event_idx)
        return virtq_need_event(split_load(split_avail_event(&q->cfg.areas, q->cfg.size)), to,
                                from);
    return !(split_load(&split_used(&q->cfg.areas)->flags) & VIRTQ_USED_F_NO_NOTIFY);
}

/* Give the descriptors of the chain at `head` back to the free list. */
static void chain_free(struct virtq_drv *q, uint16_t head)
{
    struct virtq_drv_slot *s = &q->slots[head];
    uint16_t last = head;

    for (unsigned i = 1; i < s->descs; i++)
        last = q->slots[last].next;
    q->slots[last].next = q->free_head;
    q->free_head = head;
    q->free_count = (uint16_t)(q->free_count + s->descs);
    q->outstanding--;
    s->cookie = NULL;
}

int virtq_drv_reap(struct virtq_drv *q, struct virtq_done *done)
{
    const struct virtq_used *used = split_used(&q->cfg.areas);
    struct virtq_used_elem e;
    struct virtq_drv_slot *s;
    uint16_t idx, fresh;

    if (q->fault != VIRTQ_OK)
        return -EPROTO;
    idx = split_load_acquire(&used->idx);
    fresh = (uint16_t)(idx - q->used_next);
    if (fresh == 0)
        return 0;
    if (fresh > (uint16_t)((uint16_t)q->published - q->used_next)) {
        q->fault = VIRTQ_FAULT_USED_IDX;
        return -EPROTO;
    }
    e = split_used_fetch(&used->ring[q->used_next & q->mask]);
    q->used_next++;
    *done = (struct virtq_done){.id = le32_get(e.id), .len_bytes = le32_get(e.len)};
    if (done->id >= q->cfg.size) {
        done->fault = VIRTQ_FAULT_USED_ID;
        return 1;
    }
    s = &q->slots[done->id];
    if (s->cookie == NULL || s->seq >= q->published) {
        done->fault = VIRTQ_FAULT_USED_STALE;
        return 1;
    }
    done->cookie = s->cookie;
    if (done->len_bytes > s->in_bytes)
        done->fault = VIRTQ_FAULT_USED_LEN;
    chain_free(q, (uint16_t)done->id);
    return 1;
}

bool virtq_drv_used_pending(const struct virtq_drv *q)
{
    return q->fault != VIRTQ_OK ||
           split_load_acquire(&split_used(&q->cfg.areas)->idx) != q->used_next;
}

unsigned virtq_drv_free_descs(const struct virtq_drv *q)
{
    return q->free_count;
}

unsigned virtq_drv_outstanding(const struct virtq_drv *q)
{
    return q->outstanding;
}

void virtq_drv_irq_disable(struct virtq_drv *q)
{
    if (!q->irq_on)
        return;
    q->irq_on = false;
    /* 2.7.7.1: with EVENT_IDX flags stay 0; an event just passed comes back after 2^16. */
    if (q->cfg.event_idx)
        split_store(split_used_event(&q->cfg.areas, q->cfg.size), (uint16_t)(q->used_next - 1));
    else
        split_store(&split_avail(&q->cfg.areas)->flags, VIRTQ_AVAIL_F_NO_INTERRUPT);
}

bool virtq_drv_irq_enable(struct virtq_drv *q)
{
    return virtq_drv_irq_enable_delayed(q, 1);
}

bool virtq_drv_irq_enable_delayed(struct virtq_drv *q, unsigned after)
{
    uint16_t fresh;

    if (!q->cfg.event_idx || after == 0)
        after = 1;
    else if (after > q->outstanding)
        after = q->outstanding != 0 ? q->outstanding : 1;
    q->irq_on = true;
    if (q->cfg.event_idx)
        split_store(split_used_event(&q->cfg.areas, q->cfg.size),
                    (uint16_t)(q->used_next + after - 1));
    else
        split_store(&split_avail(&q->cfg.areas)->flags, 0);
    /* The device stores its index, then reads the event; here it is the other way round. */
    split_full_barrier();
    fresh = (uint16_t)(split_load_acquire(&split_used(&q->cfg.areas)->idx) - q->used_next);
    return q->fault != VIRTQ_OK || fresh >= after;
}

bool virtq_drv_detach(struct virtq_drv *q, void **cookie, uint16_t *id)
{
    for (; q->detach_next < q->cfg.size; q->detach_next++) {
        uint16_t head = q->detach_next;

        if (q->slots[head].cookie == NULL)
            continue;
        *cookie = q->slots[head].cookie;
        if (id != NULL)
            *id = head;
        chain_free(q, head);
        return true;
    }
    q->detach_next = 0;
    return false;
}

void virtq_drv_reset(struct virtq_drv *q)
{
    assert(q->outstanding == 0);
    drv_start(q);
}
