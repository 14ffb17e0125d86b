/* SPDX-License-Identifier: MIT */
#include "conformance/ring.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/trace.h"
#include "spec/virtio.h"

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
    enum virtq_format format;
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
    format = d->v->features & VIRTIO_F(VIRTIO_F_RING_PACKED) ? VIRTQ_PACKED : VIRTQ_SPLIT;
    if (virtq_layout_init(&layout, format, r->size)) {
        expect(d->t, MUST, r->size == 0, "queue %u has size %u, which is no power of two", index,
               r->size);
        stop_check(d->t);
    }
    total = virtq_layout_place(&layout, false, &r->desc_off, &r->driver_off, &r->device_off);
    must(d->t, fe_dma_alloc(&d->mem, total, &r->mem), "allocating a ring");
    r->raw = (struct virtq_raw){
        .format = format,
        .size = r->size,
        .areas = {r->mem.va + r->desc_off, r->mem.va + r->driver_off, r->mem.va + r->device_off},
    };
    if (format == VIRTQ_PACKED) {
        r->table = calloc(r->size, sizeof(*r->table));
        r->taken = calloc(r->size, sizeof(*r->taken));
        if (!r->table || !r->taken)
            error_out(d->t, "no memory");
    }
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

struct ring *given_queue_polled(struct device *d, unsigned index, unsigned size)
{
    struct ring *r = given_queue_memory(d, index, size);

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

/* The register is 1 as long as it takes (4.1.4.3.2, 4.2.2). */
static uint64_t reset_register(struct ring *r, bool begin)
{
    struct device *d = r->d;
    uint64_t value = 0;

    if (!d->mmio) {
        common_set(d, FE_VPCI_FIELD(queue_select), r->index);
        if (begin)
            common_set(d, FE_VPCI_FIELD(queue_reset), 1);
        return common_get(d, FE_VPCI_FIELD(queue_reset));
    }
    must(d->t, fe_vmmio_write(d->mmio, FE_VMMIO_REG(queue_sel), 4, r->index), "selecting a queue");
    if (begin)
        must(d->t, fe_vmmio_write(d->mmio, FE_VMMIO_REG(queue_reset), 4, 1), "resetting a queue");
    must(d->t, fe_vmmio_read(d->mmio, FE_VMMIO_REG(queue_reset), 4, &value), "reading QueueReset");
    return value;
}

void ring_reset(struct ring *r)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    uint64_t value = reset_register(r, true);

    while (value && given_now_ns() < deadline) {
        given_pause();
        value = reset_register(r, false);
    }
    expect_eq(r->d->t, MUST, value, 0, "queue_reset when the reset should be complete");
}

/* Whether a backend lets go of a ring at once is for grant.rings_are_released_by_reset to judge,
 * and fails there only; every check judges that it does at all. */
void ring_release(struct ring *r)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    int rc;

    if (r->irq)
        r->d->v->ops->irq_put(r->d->v, r->vector, r->irq);
    r->irq = 0;
    while ((rc = fe_dma_free(&r->d->mem, &r->mem)) == -EBUSY && given_now_ns() < deadline)
        given_pause();
    if (rc == -EBUSY)
        expect(r->d->t, MUST, !r->mem.va, "after a reset the backend still maps queue %u",
               r->index);
    free(r->table);
    free(r->taken);
    r->table = NULL;
    r->taken = NULL;
}

bool ring_is_packed(const struct ring *r)
{
    return r->raw.format == VIRTQ_PACKED;
}

void ring_desc_set(struct ring *r, unsigned i, struct virtq_raw_desc d)
{
    if (ring_is_packed(r))
        r->table[i] = d;
    else
        virtq_raw_desc_set(&r->raw, i, d);
}

struct virtq_raw_desc ring_desc_get(const struct ring *r, unsigned i)
{
    return ring_is_packed(r) ? r->table[i] : virtq_raw_desc_get(&r->raw, i);
}

void ring_table_set(const struct ring *r, void *table, unsigned i, struct virtq_raw_desc d)
{
    if (ring_is_packed(r))
        virtq_raw_ptable_set(table, i,
                             (struct virtq_raw_pdesc){
                                 .addr = d.addr,
                                 .len = d.len,
                                 .flags = (uint16_t)(d.flags & ~VIRTQ_DESC_F_NEXT),
                             });
    else
        virtq_raw_table_set(table, i, d);
}

unsigned ring_place(const struct ring *r, uint16_t count)
{
    return count % r->size;
}

uint16_t ring_place_event(const struct ring *r, uint16_t count)
{
    /* The wrap counter begins with 1 (2.8.1). */
    return (uint16_t)(count % r->size | (count % (2 * r->size) < r->size ? 0x8000 : 0));
}

static uint16_t place_add(const struct ring *r, uint16_t count, unsigned n)
{
    return (uint16_t)((count + n) % (2 * r->size));
}

static bool place_wrap(const struct ring *r, uint16_t count)
{
    return ring_place_event(r, count) >> 15;
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
        ring_desc_set(r, (first + i) % r->size,
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
        ring_table_set(r, table->va, i, ring_desc(&p[i], i + 1 == n, i + 1));
    ring_desc_set(r, first % r->size, d);
    return (uint16_t)(first % r->size);
}

/* Copy the chain, `most` descriptors of it, from the driver's table into the ring, the flags of the
 * first last. */
static void offer_packed(struct ring *r, uint16_t head, unsigned most)
{
    struct virtq_raw_pdesc first = {0};
    unsigned i = head, n = 0;

    for (bool more = true; more && n < most; n++) {
        uint16_t at = place_add(r, r->avail, n);
        const struct virtq_raw_desc *d = &r->table[i];
        struct virtq_raw_pdesc wire = {
            .addr = d->addr,
            .len = d->len,
            .id = head,
            .flags = (uint16_t)(d->flags | (place_wrap(r, at) ? VIRTQ_PACKED_DESC_F_AVAIL
                                                              : VIRTQ_PACKED_DESC_F_USED)),
        };

        if (n)
            virtq_raw_pdesc_set(&r->raw, ring_place(r, at), wire);
        else
            first = wire;
        more = d->flags & VIRTQ_DESC_F_NEXT;
        i = d->next % r->size;
    }
    virtq_raw_pdesc_set(&r->raw, ring_place(r, r->avail), first);
    r->taken[head] = (uint16_t)n;
    r->avail = place_add(r, r->avail, n);
}

/* What is offered, for who reads the trace: as many descriptors as a line holds. */
static void trace_chain(const struct ring *r, uint16_t head)
{
    char text[72] = "";
    unsigned i = head % r->size, used = 0;

    for (unsigned n = 0; n < r->size && used < sizeof(text); n++) {
        const struct virtq_raw_desc d = ring_desc_get(r, i);

        used += (unsigned)snprintf(text + used, sizeof(text) - used, " %u%s", d.len,
                                   d.flags & VIRTQ_DESC_F_INDIRECT ? "i"
                                   : d.flags & VIRTQ_DESC_F_WRITE  ? "w"
                                                                   : "r");
        if (!(d.flags & VIRTQ_DESC_F_NEXT))
            break;
        i = d.next % r->size;
    }
    fe_trace_note(r->d->subject->platform, "queue %u offer %u:%s", r->index, head, text);
}

static void trace_used(const struct ring *r, const struct virtq_raw_used *u)
{
    fe_trace_note(r->d->subject->platform, "queue %u used %u, %u bytes", r->index, u->id, u->len);
}

void ring_offer(struct ring *r, uint16_t head)
{
    if (ring_is_packed(r)) {
        if (head >= r->size)
            error_out(r->d->t, "there is no descriptor %u", head);
        trace_chain(r, head);
        offer_packed(r, head, r->size);
        return;
    }
    trace_chain(r, head);
    virtq_raw_avail_set(&r->raw, r->avail % r->size, head);
    r->avail++;
    virtq_raw_avail_idx_set(&r->raw, r->avail);
}

void ring_break(struct ring *r)
{
    if (!ring_is_packed(r)) {
        ring_offer(r, 0xffff);
        return;
    }
    r->table[0] = (struct virtq_raw_desc){
        .addr = fe_dma_addr(&r->mem, r->desc_off).raw,
        .len = 16,
        .flags = VIRTQ_DESC_F_NEXT,
    };
    offer_packed(r, 0, 1);
}

void ring_kick(struct ring *r)
{
    uint16_t next = ring_is_packed(r) ? ring_place_event(r, r->avail) : r->avail;

    must(r->d->t, fe_virtio_notify(r->d->v, r->d->v->vcpu, r->index, next), "ringing the doorbell");
}

/* Is there a used entry? A packed one is looked at whole. */
static bool used_there(const struct ring *r, struct virtq_raw_pdesc *d)
{
    uint16_t owner = VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED;

    if (!ring_is_packed(r))
        return virtq_raw_used_idx_get(&r->raw) != r->used;
    if (r->lost)
        return false;
    *d = virtq_raw_pdesc_get(&r->raw, ring_place(r, r->used));
    return (d->flags & owner) == (place_wrap(r, r->used) ? owner : 0);
}

static void used_take_packed(struct ring *r, const struct virtq_raw_pdesc *d,
                             struct virtq_raw_used *u)
{
    *u = (struct virtq_raw_used){
        .id = d->id,
        .len = d->flags & VIRTQ_DESC_F_WRITE ? d->len : 0,
    };
    if (d->id >= r->size || r->taken[d->id] == 0) {
        r->lost = true;
        return;
    }
    r->used = place_add(r, r->used, r->taken[d->id]);
    r->taken[d->id] = 0;
}

bool ring_used(struct ring *r, struct virtq_raw_used *u, uint64_t timeout_ns)
{
    uint64_t deadline = given_now_ns() + timeout_ns;
    struct virtq_raw_pdesc d = {0};

    /* Most devices answer sooner than a sleep takes. */
    for (unsigned turn = 0; !used_there(r, &d); turn++) {
        if (given_now_ns() >= deadline)
            return false;
        if (turn < 32)
            sched_yield();
        else
            given_pause();
    }
    if (ring_is_packed(r)) {
        used_take_packed(r, &d, u);
        trace_used(r, u);
        return true;
    }
    *u = virtq_raw_used_get(&r->raw, r->used % r->size);
    r->used++;
    trace_used(r, u);
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
        must(r->d->t, r->d->v->ops->isr_read(r->d->v, r->d->v->vcpu, &isr),
             "reading the interrupt status");
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
