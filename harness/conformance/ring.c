/* SPDX-License-Identifier: MIT */
#include "conformance/ring.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "spec/virtio_pci.h"

unsigned queue_max(struct device *d, unsigned index)
{
    uint16_t max = 0;

    must(d->t, d->v->ops->queue_size_max(d->v, index, &max), "reading queue_size");
    return max;
}

struct ring *given_queue_memory(struct device *d, unsigned index, unsigned size)
{
    struct ring *r = calloc(1, sizeof(*r));
    struct virtq_layout layout;
    uint32_t total;

    if (!r)
        error_out(d->t, "no memory");
    r->d = d;
    r->next = d->rings;
    d->rings = r;
    r->index = index;
    unsigned max = queue_max(d, index); /* writing more is the driver's fault (4.1.5.1.3.2) */
    r->size = size && size < max ? size : max;
    r->vector = FE_NO_VECTOR;
    if (virtq_layout_init(&layout, VIRTQ_SPLIT, r->size)) {
        expect(d->t, MUST, r->size == 0, "queue %u has size %u, which is no power of two", index,
               r->size);
        stop_check(d->t);
    }
    total = virtq_layout_place(&layout, false, &r->desc_off, &r->driver_off, &r->device_off);
    must(d->t, fe_dma_alloc(&d->mem, total, &r->mem), "allocating a ring");
    r->raw = (struct virtq_raw){
        .format = VIRTQ_SPLIT,
        .size = r->size,
        .areas = {r->mem.va + r->desc_off, r->mem.va + r->driver_off, r->mem.va + r->device_off},
    };
    return r;
}

void ring_program(struct ring *r)
{
    struct fe_queue_setup setup = {
        .size = (uint16_t)r->size,
        .desc = fe_dma_addr(&r->mem, r->desc_off),
        .driver = fe_dma_addr(&r->mem, r->driver_off),
        .device = fe_dma_addr(&r->mem, r->device_off),
        .vector = r->vector,
    };

    must(r->d->t, r->d->v->ops->queue_setup(r->d->v, r->index, &setup), "setting a queue up");
}

struct ring *given_queue(struct device *d, unsigned index, unsigned size)
{
    struct ring *r = given_queue_memory(d, index, size);
    int rc = d->v->ops->irq_get(d->v, d->v->vcpu, &r->vector, &r->irq);

    /* Without any interrupt the ring can still be polled. */
    if (rc && rc != -ENOTSUP)
        must(d->t, rc, "getting an interrupt");
    ring_program(r);
    return r;
}

struct ring *given_queue_intx(struct device *d, unsigned index, unsigned size)
{
    struct ring *r = given_queue_memory(d, index, size);
    struct fe_platform *p = d->subject->platform;
    const struct fe_pci_func *f = &d->pci->func;

    must(d->t, p->ops->irq_intx(p, f->sbdf, f->irq_pin, &r->irq), "getting the interrupt line");
    ring_program(r);
    return r;
}

void ring_release(struct ring *r)
{
    if (r->irq)
        r->d->v->ops->irq_put(r->d->v, r->vector, r->irq);
    r->irq = 0;
    if (fe_dma_free(&r->d->mem, &r->mem) == -EBUSY)
        expect(r->d->t, MUST, !r->mem.va, "after a reset the backend still maps queue %u",
               r->index);
}

struct piece piece_of(const struct buffer *b, bool writable)
{
    return (struct piece){b->addr, b->bytes, writable};
}

struct piece piece_part(const struct buffer *b, uint32_t offset, uint32_t len, bool writable)
{
    return (struct piece){gpa_add(b->addr, offset), len, writable};
}

static struct virtq_raw_desc ring_desc(const struct piece *p, bool last, unsigned next)
{
    return (struct virtq_raw_desc){
        .addr = p->addr.raw,
        .len = p->len,
        .flags =
            (uint16_t)((p->writable ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT)),
        .next = last ? 0 : (uint16_t)next,
    };
}

uint16_t ring_chain(struct ring *r, unsigned first, const struct piece *p, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        virtq_raw_desc_set(&r->raw, (first + i) % r->size,
                           ring_desc(&p[i], i + 1 == n, (first + i + 1) % r->size));
    return (uint16_t)(first % r->size);
}

uint16_t ring_chain_indirect(struct ring *r, unsigned first, struct buffer *table,
                             const struct piece *p, unsigned n)
{
    struct virtq_raw_desc d = {
        .addr = table->addr.raw,
        .len = n * (uint32_t)sizeof(struct virtq_desc),
        .flags = VIRTQ_DESC_F_INDIRECT,
    };

    if (d.len > table->bytes)
        error_out(r->d->t, "an indirect table of %u bytes is too small for %u entries",
                  table->bytes, n);
    for (unsigned i = 0; i < n; i++)
        virtq_raw_table_set(table->va, i, ring_desc(&p[i], i + 1 == n, i + 1));
    virtq_raw_desc_set(&r->raw, first % r->size, d);
    return (uint16_t)(first % r->size);
}

void ring_offer(struct ring *r, uint16_t head)
{
    virtq_raw_avail_set(&r->raw, r->avail % r->size, head);
    r->avail++;
    virtq_raw_avail_idx_set(&r->raw, r->avail);
}

void ring_kick(struct ring *r)
{
    must(r->d->t, fe_virtio_notify(r->d->v, r->d->v->vcpu, r->index), "ringing the doorbell");
}

bool ring_used(struct ring *r, struct virtq_raw_used *u, uint64_t timeout_ns)
{
    uint64_t deadline = given_now_ns() + timeout_ns;

    /* Most devices answer sooner than a sleep takes. */
    for (unsigned turn = 0; virtq_raw_used_idx_get(&r->raw) == r->used; turn++) {
        if (given_now_ns() >= deadline)
            return false;
        if (turn < 32)
            sched_yield();
        else
            given_pause();
    }
    *u = virtq_raw_used_get(&r->raw, r->used % r->size);
    r->used++;
    return true;
}

uint32_t expect_used(struct ring *r, uint16_t head)
{
    struct check_ctx *t = r->d->t;
    struct virtq_raw_used u = {0};
    bool came = ring_used(r, &u, LIMIT_REPLY_NS);

    if (!came) {
        expect(t, MUST, came, "chain %u was not used within %u ms; the device status is 0x%x", head,
               (unsigned)(LIMIT_REPLY_NS / MS(1)), device_status(r->d));
        stop_check(t);
    }
    expect_eq(t, MUST, u.id, head, "the id of the used entry");
    if (u.id != head)
        stop_check(t);
    return u.len;
}

void expect_unused(struct ring *r, enum check_level level, const char *why)
{
    struct virtq_raw_used u;

    expect(r->d->t, level, !ring_used(r, &u, LIMIT_QUIET_NS), "%s", why);
}

bool ring_interrupted(struct ring *r, uint64_t timeout_ns)
{
    struct fe_platform *p = r->d->subject->platform;
    uint8_t isr = 0;
    int rc;

    if (!r->irq)
        error_out(r->d->t, "queue %u has no interrupt", r->index);
    rc = p->ops->irq_wait(p, r->irq, timeout_ns);
    if (rc < 0)
        error_out(r->d->t, "waiting for an interrupt: %s", strerror(-rc));
    if (rc > 0 && r->vector == FE_NO_VECTOR)
        must(r->d->t, r->d->v->ops->isr_read(r->d->v, &isr), "reading the interrupt status");
    return rc > 0;
}

void ring_drain_irq(struct ring *r)
{
    for (unsigned i = 0; r->irq && i < 64 && ring_interrupted(r, 0); i++)
        ;
}

void expect_notified(struct ring *r, enum check_level level, const char *why)
{
    expect(r->d->t, level, ring_interrupted(r, LIMIT_REPLY_NS), "no interrupt came: %s", why);
}

void expect_quiet(struct ring *r, enum check_level level, const char *why)
{
    expect(r->d->t, level, !ring_interrupted(r, LIMIT_QUIET_NS), "an interrupt came: %s", why);
}
