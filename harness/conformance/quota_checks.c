/* SPDX-License-Identifier: MIT */
/*
 * A backend whose domain may map few granted pages at a time, as Xen lets a toolstack decide. It
 * finds out when a mapping fails, at whatever moment that is.
 */
#define CHECK_FAMILY "quota"

#include "conformance/blkdev.h"
#include "conformance/flight.h"
#include "spec/virtio.h"
#include "util/bits.h"

#define QUOTA (NEED_DEVICE | NEED_SERVICE | NEED_GRANTS | NEED_TESTBED | NEED_QUOTA)

#define ROUNDS 6u

static unsigned quota(struct check_ctx *t)
{
    return (unsigned)given_ask_number(t, "domain.quota", NULL, "mappings");
}

static bool needs_reset(struct device *d)
{
    return device_status(d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
}

static void expect_alive(struct check_ctx *t)
{
    expect_eq(t, MUST, given_ask_number(t, "backend.alive", NULL, "alive"), 1,
              "whether the backend runs");
}

/* A used entry, or DEVICE_NEEDS_RESET; false: neither. */
static bool heard_of(struct ring *q, struct virtq_raw_used *u, bool *used)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    bool reset = false;

    *used = false;
    while (!*used && !reset && given_now_ns() < deadline) {
        *used = ring_used(q, u, MS(1));
        reset = !*used && needs_reset(q->d);
    }
    return *used || reset;
}

CHECK(requests_beyond_the_quota, .judges = DEVICE, .proves = "xen.memory.quota.1", .needs = QUOTA,
      .timeout_ms = 60000,
      .title = "More in flight than can be mapped: it goes on or asks for a reset, time and again")
{
    struct flight *f = given_flight(given_service(t, 0, 0), 0);
    struct virtq_raw_used u;
    bool used;

    if (f->count <= quota(t) / 2)
        skip_check(t, "%u requests in flight are not too many for %u mappings", f->count, quota(t));
    for (unsigned round = 0; round < ROUNDS; round++) {
        flight_begin(f);
        expect(t, MUST, heard_of(f->s->q, &u, &used),
               "of %u requests none is used, and no reset is asked for", f->count);
        must(t, fe_virtio_reset(f->s->d->v, LIMIT_RESET_NS), "resetting the device");
        flight_end(f, "after a reset", 0);
        service_restart(f->s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
        expect_served(f->s, f->s->q, false);
    }
    expect_alive(t);
    expect_service_recovers(f->s, "requests beyond what can be mapped");
}

CHECK(request_beyond_the_quota, .judges = DEVICE, .proves = "xen.memory.quota.2",
      .needs = QUOTA | NEED_BLK, .timeout_ms = 60000,
      .title = "A request of more pages than can be mapped fails, and is not for ever on its way")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX), 0);
    unsigned pages = quota(t) + 2;

    if (pages * (XEN_PAGE_BYTES / SECTOR) > k->capacity || pages * XEN_PAGE_BYTES > k->size_max)
        skip_check(t, "no request can have %u pages", pages);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct buffer *b = given_buffer(k->d, pages * XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);
        struct virtq_raw_used u;
        struct piece p[3];
        bool used;

        blk_prepare(k, VIRTIO_BLK_T_IN, 0);
        p[0] = piece_of(k->header, false);
        p[1] = piece_of(b, true);
        p[2] = piece_of(k->status, true);
        ring_offer(k->q, ring_chain(k->q, 0, p, 3));
        ring_kick(k->q);
        expect(t, MUST, heard_of(k->q, &u, &used),
               "a request of %u pages is not used, and no reset is asked for", pages);
        note(t, "answer", "%s", used ? "used" : "a reset is asked for");
        expect_recovers(k, "a request beyond what can be mapped");
        buffer_release(b);
    }
    expect_alive(t);
}

CHECK(queues_beyond_the_quota, .judges = DEVICE, .proves = "xen.memory.quota.3",
      .needs = QUOTA | NEED_BLK | NEED_MQ, .timeout_ms = 60000,
      .title = "More rings than can be mapped: each queue serves, or a reset is asked for")
{
    struct service *s = given_service_negotiated(t, VIRTIO_F(VIRTIO_BLK_F_MQ));
    struct device *d = s->d;
    struct ring *q[16];
    unsigned queues = 0, served = 0;

    must(t, d->v->ops->num_queues(d->v, &queues), "counting the queues");
    if (queues > ARRAY_LENGTH(q))
        queues = ARRAY_LENGTH(q);
    for (unsigned i = 0; i < queues; i++) {
        q[i] = given_queue_memory(d, i, 0);
        const struct fe_queue_setup setup = {
            .size = (uint16_t)q[i]->size,
            .desc = fe_dma_addr(&q[i]->mem, q[i]->desc_off),
            .driver = fe_dma_addr(&q[i]->mem, q[i]->driver_off),
            .device = fe_dma_addr(&q[i]->mem, q[i]->device_off),
            .vector = FE_NO_VECTOR,
        };

        /* That the queue is not enabled then is one way to say it. */
        (void)d->v->ops->queue_setup(d->v, i, &setup);
    }
    device_driver_ok(d);
    for (unsigned i = 0; i < queues && !needs_reset(d); i++) {
        struct request *r = given_request(s);
        struct piece p[REQUEST_PIECES_MAX];
        struct virtq_raw_used u = {0};
        bool used;

        ring_offer(q[i], ring_chain(q[i], 0, p, request_pieces(r, p, 1)));
        ring_kick(q[i]);
        expect(t, MUST, heard_of(q[i], &u, &used),
               "queue %u of %u neither serves nor has the device ask for a reset", i, queues);
        served += used;
    }
    note(t, "queues that serve", "%u of %u", served, queues);
    expect(t, MUST, needs_reset(d) || served == queues,
           "%u of %u queues serve, and the device asks for no reset", served, queues);
    expect_alive(t);
    expect_service_recovers(s, "queues beyond what can be mapped");
}

CHECK(kept_mappings_give_way, .judges = DEVICE, .proves = "xen.memory.quota.4",
      .needs = QUOTA | NEED_POOL, .timeout_ms = 60000,
      .title = "Requests from more pages of a pool than can be mapped, one after the other")
{
    struct service *s = given_service(t, 0, 0);
    unsigned pages = 3 * quota(t);

    /* Not released before the next: each has pages of its own. */
    for (unsigned i = 0; i < pages && i < 96; i++) {
        struct request *r = given_request(s);
        struct piece p[REQUEST_PIECES_MAX];
        uint16_t head = ring_chain(s->q, 0, p, request_pieces(r, p, 1));

        ring_offer(s->q, head);
        ring_kick(s->q);
        expect_answered(r, expect_used(s->q, head));
    }
    expect_alive(t);
}
