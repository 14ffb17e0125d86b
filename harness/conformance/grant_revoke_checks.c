/* SPDX-License-Identifier: MIT */
/*
 * References that the driver takes back although a queue still names them. Xen lets it where they
 * are not mapped, so the device finds out when it gets there, or never: it may fail the request or
 * ask for a reset, and may not touch the page, which is the driver's again.
 */
#define CHECK_FAMILY "grant"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "conformance/flight.h"
#include "conformance/puts.h"
#include "spec/virtio.h"
#include "util/bits.h"

#define STREAM (NEED_DEVICE | NEED_SERVICE | NEED_GRANTS | NEED_STREAMING)
#define OWN    0x42

#define QUEUED        8u
#define TRIES         5u
#define RACES         90u
#define RACES_NS      MS(3000)
#define RACE_STEPS    30u
#define RACE_STEP_NS  4000u
#define RACE_START_NS 60000u

/* A page for one piece of a request, taken back while it is queued. */
static bool take_back(struct buffer *b)
{
    int rc = fe_dma_unmap(&b->d->mem, &b->map);

    if (rc == -EBUSY)
        return false;
    must(b->d->t, rc, "revoking a reference");
    b->mapped = false;
    memset(b->base, OWN, XEN_PAGE_BYTES);
    return true;
}

static bool page_is_own(const struct buffer *b)
{
    const uint8_t *base = b->base;

    for (unsigned i = 0; i < XEN_PAGE_BYTES; i++)
        if (base[i] != OWN)
            return false;
    return true;
}

struct queued {
    struct request *r;
    struct piece p[REQUEST_PIECES_MAX];
    uint16_t head;
    bool used;
};

static bool needs_reset(struct service *s)
{
    return device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
}

/* What became of the others, and of the one with a page that is not granted any more: does that say
 * success? */
static bool expect_queue_handled(struct service *s, struct queued *q, unsigned count,
                                 unsigned victim, unsigned part, const char *what)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    struct check_ctx *t = s->d->t;
    struct virtq_raw_used u;
    unsigned left = count;
    bool reset = false, claims = false;

    while (left && !reset && given_now_ns() < deadline) {
        unsigned i = 0;

        if (!ring_used(s->q, &u, MS(1))) {
            reset = needs_reset(s);
            continue;
        }
        while (i < count && (q[i].used || q[i].head != u.id))
            i++;
        expect(t, MUST, i < count, "%s: a used entry with id %u, which is none that is out", what,
               u.id);
        if (i == count)
            stop_check(t);
        q[i].used = true;
        left--;
        if (i != victim)
            expect(t, MUST, request_is_answered(q[i].r, u.len),
                   "%s in request %u: request %u was used and not done", what, victim, i);
        else if (part < REQUEST_PIECES_MAX)
            claims = request_claims(q[i].r, q[i].p, part, u.len);
    }
    expect(t, MUST, reset || !left,
           "%s in request %u: %u requests were neither used nor a reset asked for", what, victim,
           left);
    return claims;
}

/* Request `victim` of QUEUED has its piece `part` (or its table) in a page of its own, which is
 * taken back between its being made available and the doorbell. True: it says success. */
static bool queue_in_vain_once(struct service *s, struct queued q[QUEUED], unsigned victim,
                               unsigned part, const char *what)
{
    struct buffer *b = given_buffer(s->d, XEN_PAGE_BYTES, 0, FE_DMA_BOTH);
    unsigned count = s->q->size / 4 < QUEUED ? s->q->size / 4 : QUEUED;
    bool claims = false;

    for (unsigned i = 0; i < count; i++) {
        unsigned n;

        request_refresh(q[i].r);
        n = request_pieces(q[i].r, q[i].p, 3);
        q[i].used = false;
        if (i == victim && part < n)
            q[i].p[part].addr = b->addr;
        q[i].head = i == victim && part >= n ? ring_chain_indirect(s->q, 4 * i, b, q[i].p, n)
                                             : ring_chain(s->q, 4 * i, q[i].p, n);
        ring_offer(s->q, q[i].head);
    }
    if (!take_back(b)) {
        note(s->d->t, "taken", "without a doorbell");
        ring_kick(s->q);
    } else {
        ring_kick(s->q);
        claims = expect_queue_handled(s, q, count, victim, part, what);
        expect(s->d->t, MUST, page_is_own(b), "%s: the page was written", what);
    }
    expect_service_recovers(s, what);
    buffer_release(b);
    for (unsigned i = 0; i < count; i++)
        request_release(q[i].r);
    return claims;
}

/*
 * A device may look into the ring without a doorbell, and one that copies leaves no trace of having
 * been there before the page was taken back: then it has done what it says. That it was so time and
 * again, before each doorbell, is not believed.
 */
static void queue_one_in_vain(struct service *s, struct queued q[QUEUED], unsigned victim,
                              unsigned part, const char *what)
{
    bool claims = true;

    for (unsigned i = 0; claims && i < TRIES; i++)
        claims = queue_in_vain_once(s, q, victim, part, what);
    expect(s->d->t, MUST, !claims, "%s: the request says success", what);
}

static void given_queued(struct service *s, struct queued q[QUEUED])
{
    for (unsigned i = 0; i < QUEUED; i++)
        q[i].r = given_request(s);
    if (s->q->size < 4 * 2)
        skip_check(s->d->t, "the queue has only %u entries", s->q->size);
}

CHECK(taken_back_while_queued, .judges = DEVICE, .proves = "xen.grant.fault.6", .needs = STREAM,
      .timeout_ms = 60000,
      .title = "A reference that was good when its request was queued, and is not when it is taken")
{
    static const unsigned victims[] = {0, 1, QUEUED / 2, QUEUED - 1};
    struct service *s = given_service(t, 0, 0);
    struct queued q[QUEUED];

    given_queued(s, q);
    for (unsigned i = 0; i < ARRAY_LENGTH(victims); i++)
        for (unsigned part = 0; part < 3; part++)
            queue_one_in_vain(s, q, victims[i] * 4 < s->q->size ? victims[i] : 0, part,
                              "a reference that was taken back");
}

CHECK(table_taken_back_while_queued, .judges = DEVICE, .proves = "xen.grant.fault.6",
      .needs = STREAM | NEED_INDIRECT, .timeout_ms = 60000,
      .title = "The same for the page of an indirect table")
{
    const uint64_t features = VIRTIO_F(VIRTIO_F_INDIRECT_DESC);
    struct service *s = given_service(t, features, 0);
    struct queued q[QUEUED];

    given_queued(s, q);
    for (unsigned victim = 0; victim < 2; victim++) {
        service_restart(s, features, 0);
        queue_one_in_vain(s, q, victim, REQUEST_PIECES_MAX, "a table that was taken back");
    }
}

/* Takes a page back while another thread rings the doorbell. */
struct taker {
    struct buffer *b;
    uint64_t at_ns;
    int rc;
};

static void *taker_run(void *arg)
{
    struct taker *k = arg;

    /* Busy, because a sleep takes longer than a device does. */
    while (given_now_ns() < k->at_ns)
        ;
    k->rc = fe_dma_unmap(&k->b->d->mem, &k->b->map);
    if (k->rc == 0)
        memset(k->b->base, OWN, XEN_PAGE_BYTES);
    return NULL;
}

/* The doorbell and the end of a reference, `delay_ns` after it. True: it was taken back. */
static bool kick_and_take_back(struct ring *q, struct buffer *b, uint64_t delay_ns)
{
    uint64_t start = given_now_ns() + RACE_START_NS;
    struct taker k = {.b = b, .at_ns = start + delay_ns};
    pthread_t thread;

    if (pthread_create(&thread, NULL, taker_run, &k))
        error_out(b->d->t, "no thread");
    while (given_now_ns() < start)
        ;
    ring_kick(q);
    pthread_join(thread, NULL);
    if (k.rc == -EBUSY)
        return false;
    must(b->d->t, k.rc, "revoking a reference");
    b->mapped = false;
    return true;
}

CHECK(taken_back_in_a_race, .judges = DEVICE, .proves = "xen.grant.fault.7", .needs = STREAM,
      .timeout_ms = 60000,
      .title = "A reference is taken back at any moment: then its page stays as it is")
{
    uint64_t end = given_now_ns() + RACES_NS;
    struct service *s = given_service(t, 0, 0);
    struct request *r = given_request(s);
    struct buffer *b = given_buffer(s->d, XEN_PAGE_BYTES, 0, FE_DMA_BOTH);
    unsigned won = 0, refused = 0, resets = 0;

    for (unsigned i = 0; i < RACES && given_now_ns() < end; i++) {
        uint64_t deadline = given_now_ns() + LIMIT_RESET_NS;
        struct piece p[REQUEST_PIECES_MAX];
        struct virtq_raw_used u = {0};
        bool mine, used = false, reset = false;

        request_refresh(r);
        if (!b->mapped)
            buffer_map(b, FE_DMA_BOTH);
        unsigned n = request_pieces(r, p, 3);
        p[1].addr = b->addr;
        ring_offer(s->q, ring_chain(s->q, 0, p, n));
        mine = kick_and_take_back(s->q, b, (uint64_t)(i % RACE_STEPS) * RACE_STEP_NS);
        while (!used && !reset && given_now_ns() < deadline) {
            used = ring_used(s->q, &u, MS(1));
            reset = !used && needs_reset(s);
        }
        expect(t, MUST, used || reset,
               "a request whose page was taken back was neither used nor a reset asked for");
        won += mine;
        refused += !mine;
        expect(t, MUST, !mine || page_is_own(b),
               "a page was written after its reference had been taken back");
        resets += reset;
        if (reset)
            service_restart(s, 0, 0);
        if (!used && !reset)
            stop_check(t);
        buffer_release(b);
        request_release(r);
    }
    note(t, "races", "%u taken back, %u refused, %u resets", won, refused, resets);
    expect_service_recovers(s, "references that were taken back");
}

CHECK(taken_back_in_flight, .judges = DEVICE, .proves = "xen.grant.fault.7", .needs = STREAM,
      .timeout_ms = 60000,
      .title = "What a request in flight names is mapped, or is not touched once it is taken back")
{
    struct flight *f = given_flight(given_service(t, 0, 0), 0);
    struct service *s = f->s;
    bool mine[FLIGHT_REQUESTS];
    unsigned won = 0, held = 0, tries = 0;
    uint64_t until;

    do {
        flight_begin(f);
        /* Taken, as far as the device takes them. */
        (void)device_status(s->d);
        for (unsigned i = 0; i < f->count; i++) {
            struct buffer *b = f->of[i].r->part[f->of[i].r->parts - 1].b;

            mine[i] = take_back(b);
            won += mine[i];
            held += !mine[i];
        }
        until = given_now_ns() + MS(300);
        do
            given_pause();
        while (!needs_reset(s) && given_now_ns() < until);
        for (unsigned i = 0; i < f->count; i++)
            expect(t, MUST, !mine[i] || page_is_own(f->of[i].r->part[f->of[i].r->parts - 1].b),
                   "the page of a request in flight was written after it had been taken back");
        service_restart(s, 0, 0);
        for (unsigned i = 0; i < f->count; i++) {
            request_release(f->of[i].r);
            if (f->of[i].table)
                buffer_release(f->of[i].table);
        }
    } while (++tries < 3);
    note(t, "in flight", "%u taken back, %u mapped", won, held);
    expect_service_recovers(s, "references of requests in flight that were taken back");
}

/* The second device of the cell. */
static struct device *beside(struct device *bound)
{
    struct puts *p = given_puts(bound->t);

    if (p->count < 2)
        skip_check(bound->t, "the cell has one device");
    p->of[1].subject.beside = &bound->host;
    return given_device_of(bound->t, &p->of[1].subject);
}

CHECK(others_go_on_beside_a_fault, .judges = DEVICE, .proves = "xen.grant.fault.8",
      .needs = STREAM | NEED_PCI | NEED_TESTBED, .timeout_ms = 60000,
      .title = "Another device of the same backend does not notice")
{
    struct service *s = given_service(t, 0, 0);
    struct service *o = given_service_of(beside(s->d), 0, 0);
    struct queued q[QUEUED];
    uint64_t start, took;

    given_queued(s, q);
    for (unsigned round = 0; round < 6; round++) {
        struct buffer *b = given_buffer(s->d, XEN_PAGE_BYTES, 0, FE_DMA_BOTH);

        for (unsigned i = 0; i < 2; i++) {
            unsigned n;

            request_refresh(q[i].r);
            n = request_pieces(q[i].r, q[i].p, 3);
            if (i == 1)
                q[i].p[round % 3].addr = b->addr;
            ring_offer(s->q, ring_chain(s->q, 4 * i, q[i].p, n));
        }
        buffer_release(b);
        ring_kick(s->q);
        start = given_now_ns();
        for (unsigned i = 0; i < 4; i++)
            expect_served(o, o->q, false);
        took = given_now_ns() - start;
        /* Its doorbell may have waited, too. */
        expect(t, MUST, took < LIMIT_REPLY_NS, "four requests of another device took %u ms",
               (unsigned)(took / MS(1)));
        expect(t, MUST, !needs_reset(o), "a device has to be reset because of another one");
        service_restart(s, 0, 0);
        for (unsigned i = 0; i < 2; i++)
            request_release(q[i].r);
    }
    expect_service_recovers(s, "references that were taken back");
    expect_served(o, o->q, false);
}
