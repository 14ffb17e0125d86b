/* SPDX-License-Identifier: MIT */
#include "conformance/flight.h"

#include <stdlib.h>
#include <string.h>

#include "spec/virtio.h"

#define TRIES 12u
/* Longer than a device that goes on with what it had takes for the next piece of it. */
#define LATE_NS MS(150)
/* Of the driver, in memory that is its own again. */
#define OWN 0x42

static uint64_t frames_mapped(const struct device *d)
{
    if (d->mem.addressing == FE_ADDRESSING_GRANTS || !d->subject->ask || d->gone_on_purpose)
        return 0;
    return given_ask_number(d->t, "backend.audit", NULL, "foreign_frames");
}

static void let_go(void *arg)
{
    const struct subject *s = check_subject(arg);
    char *value = NULL, why[64];

    (void)s->ask(s->ask_ctx, "device.let-go", NULL, &value, why, sizeof(why));
    free(value);
}

void flight_let_go(struct flight *f)
{
    if (f->holds)
        let_go(f->s->d->t);
}

struct flight *given_flight(struct service *s, uint64_t features)
{
    struct check_ctx *t = s->d->t;
    struct flight *f = calloc(1, sizeof(*f));

    if (!f)
        error_out(t, "no memory");
    check_defer(t, free, f);
    f->s = s;
    f->holds = s->d->subject->ask && given_ask_number(t, "device.info", NULL, "holds");
    if (f->holds)
        check_defer(t, let_go, t);
    device_reset(s->d);
    f->frames = frames_mapped(s->d);
    service_restart(s, features | VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    f->count = s->q->size / REQUEST_BUFFERS_MAX;
    if (f->count > FLIGHT_REQUESTS)
        f->count = FLIGHT_REQUESTS;
    for (unsigned i = 0; i < f->count; i++) {
        f->of[i].r = given_request(s);
        if (i % 2 && s->d->v->features & VIRTIO_F(VIRTIO_F_INDIRECT_DESC))
            f->of[i].table =
                given_buffer(s->d, REQUEST_PIECES_MAX * (uint32_t)sizeof(struct virtq_desc), 0,
                             FE_DMA_TO_DEVICE);
    }
    return f;
}

void flight_begin(struct flight *f)
{
    struct ring *q = f->s->q;

    f->tries++;
    if (f->holds)
        given_ask(f->s->d->t, "device.hold", NULL);
    for (unsigned i = 0; i < f->count; i++) {
        unsigned first = i * REQUEST_BUFFERS_MAX;
        struct piece p[REQUEST_PIECES_MAX];
        unsigned n;

        request_refresh(f->of[i].r);
        n = request_pieces(f->of[i].r, p, 1);
        if (f->of[i].table && !f->of[i].table->mapped)
            buffer_map(f->of[i].table, FE_DMA_TO_DEVICE);
        ring_offer(q, f->of[i].table ? ring_chain_indirect(q, first, f->of[i].table, p, n)
                                     : ring_chain(q, first, p, n));
    }
    ring_kick(q);
}

static unsigned in_use(struct flight *f, gref_t first, unsigned pages)
{
    unsigned n = 0;

    if (pages)
        must(f->s->d->t, fe_grants_in_use(&f->s->d->mem, first, pages, &n),
             "reading the grant table");
    return n;
}

unsigned flight_mapped(struct flight *f)
{
    struct device *d = f->s->d;
    unsigned n = 0, pool = 0;
    uint64_t frames;

    if (d->mem.addressing != FE_ADDRESSING_GRANTS) {
        frames = frames_mapped(d);
        return frames > f->frames ? (unsigned)(frames - f->frames) : 0;
    }
    must(d->t, fe_pool_in_use(&d->mem, &pool), "reading the grant table");
    n = pool + in_use(f, f->s->q->mem.map.first, f->s->q->mem.map.pages);
    for (unsigned i = 0; i < f->count; i++) {
        const struct flown *w = &f->of[i];

        for (unsigned part = 0; part < w->r->parts; part++)
            n += in_use(f, w->r->part[part].b->map.first, w->r->part[part].b->map.pages);
        if (w->table)
            n += in_use(f, w->table->map.first, w->table->map.pages);
    }
    return n;
}

static bool page_is_own(const uint8_t *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != OWN)
            return false;
    return true;
}

static bool all_is_own(const struct flight *f)
{
    const struct fe_dma *ring = &f->s->q->mem;
    bool own = page_is_own(ring->va, ring->bytes);

    for (unsigned i = 0; i < f->count && own; i++) {
        const struct flown *w = &f->of[i];

        for (unsigned part = 0; part < w->r->parts && own; part++)
            own = page_is_own(w->r->part[part].b->base,
                              (size_t)w->r->part[part].b->pages * XEN_PAGE_BYTES);
        if (w->table && own)
            own = page_is_own(w->table->base, (size_t)w->table->pages * XEN_PAGE_BYTES);
    }
    return own;
}

static void own(struct buffer *b)
{
    buffer_release(b);
    memset(b->base, OWN, (size_t)b->pages * XEN_PAGE_BYTES);
}

void flight_end(struct flight *f, const char *when, uint64_t wait_ns)
{
    struct check_ctx *t = f->s->d->t;
    struct ring *q = f->s->q;
    uint64_t until = given_now_ns() + wait_ns;
    unsigned mapped = flight_mapped(f), answered = 0;
    struct virtq_raw_used u;
    bool untouched;

    while (mapped && given_now_ns() < until) {
        given_pause();
        mapped = flight_mapped(f);
    }
    while (answered < f->count && ring_used(q, &u, 0))
        answered++;
    f->held = f->count - answered;
    expect(t, MUST, mapped == 0, "%s with %u requests in flight the backend maps %u pages", when,
           f->held, mapped);
    if (mapped)
        stop_check(t);
    memset(q->mem.va, OWN, q->mem.bytes);
    for (unsigned i = 0; i < f->count; i++) {
        for (unsigned part = 0; part < f->of[i].r->parts; part++)
            own(f->of[i].r->part[part].b);
        if (f->of[i].table)
            own(f->of[i].table);
    }
    flight_let_go(f);
    until = given_now_ns() + (f->held ? LATE_NS : 0);
    do
        given_pause();
    while ((untouched = all_is_own(f)) && given_now_ns() < until);
    expect(t, MUST, untouched, "%s with %u requests in flight memory of the driver is written",
           when, f->held);
}

bool flight_again(struct flight *f)
{
    if (f->held) {
        note(f->s->d->t, "in flight", "%u of %u", f->held, f->count);
        return false;
    }
    if (f->holds)
        error_out(f->s->d->t, "a store that holds requests back has let them go");
    if (f->tries == TRIES)
        skip_check(f->s->d->t, "the device had answered all requests in each of %u tries", TRIES);
    return true;
}
