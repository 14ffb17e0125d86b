/* SPDX-License-Identifier: MIT */
/* Whatever ends a device's work, what it had in flight is the driver's again. */
#define CHECK_FAMILY "flight"

#include "conformance/backend.h"
#include "conformance/flight.h"
#include "conformance/plug.h"
#include "spec/virtio.h"

#define FLIGHT (NEED_DEVICE | NEED_SERVICE)

#define HELD_NS MS(100)

static struct flight *given_flight_of(struct check_ctx *t, uint64_t features)
{
    return given_flight(given_service(t, features, 0), features);
}

CHECK(ends_with_a_reset, .judges = DEVICE, .proves = "xen.memory.flight.1", .needs = FLIGHT,
      .timeout_ms = 30000,
      .title = "When the status reads 0 nothing is mapped, and nothing is written any more")
{
    struct flight *f = given_flight_of(t, 0);

    do {
        flight_begin(f);
        must(t, fe_virtio_reset(f->s->d->v, LIMIT_RESET_NS), "resetting the device");
        flight_end(f, "after a reset", 0);
        service_restart(f->s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    } while (flight_again(f));
    expect_service_recovers(f->s, "a reset with requests in flight");
}

CHECK(ends_with_a_queue_reset, .judges = DEVICE, .proves = "xen.memory.flight.2",
      .needs = FLIGHT | NEED_RING_RESET, .timeout_ms = 30000,
      .title = "When queue_reset reads 0 nothing is mapped, and nothing is written any more")
{
    const uint64_t features = VIRTIO_F(VIRTIO_F_RING_RESET) | VIRTIO_F(VIRTIO_F_INDIRECT_DESC);
    struct flight *f = given_flight_of(t, VIRTIO_F(VIRTIO_F_RING_RESET));

    do {
        flight_begin(f);
        ring_reset(f->s->q);
        flight_end(f, "after the queue's reset", 0);
        service_restart(f->s, features, 0);
    } while (flight_again(f));
    expect_service_recovers(f->s, "the reset of a queue with requests in flight");
}

CHECK(ends_with_a_fault, .judges = DEVICE, .proves = "xen.memory.flight.3", .needs = FLIGHT,
      .timeout_ms = 30000, .title = "A device that has to be reset holds nothing once that is done")
{
    struct flight *f = given_flight_of(t, 0);

    do {
        flight_begin(f);
        ring_break(f->s->q);
        ring_kick(f->s->q);
        expect(t, MUST,
               device_status_wait(f->s->d, VIRTIO_STATUS_DEVICE_NEEDS_RESET,
                                  VIRTIO_STATUS_DEVICE_NEEDS_RESET, LIMIT_REPLY_NS),
               "an index that no device can make sense of is not answered by DEVICE_NEEDS_RESET");
        must(t, fe_virtio_reset(f->s->d->v, LIMIT_RESET_NS), "resetting the device");
        flight_end(f, "after a fault and a reset", 0);
        service_restart(f->s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    } while (flight_again(f));
    expect_service_recovers(f->s, "a fault with requests in flight");
}

/* Feature bits that nobody has defined (6): of those, one that the device does not offer. */
static unsigned bit_not_offered(const struct device *d)
{
    for (unsigned bit = 62; bit > 52; bit--)
        if (!(d->offered & VIRTIO_F(bit)))
            return bit;
    skip_check(d->t, "the device offers every feature bit that is undefined");
}

/* Up to FEATURES_OK, which the device has to refuse. */
static void negotiate_in_vain(struct device *d)
{
    struct fe_virtio *v = d->v;
    uint64_t features = v->features | VIRTIO_F(bit_not_offered(d));
    const uint8_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

    must(d->t, v->ops->status_write(v, VIRTIO_STATUS_ACKNOWLEDGE), "writing the status");
    must(d->t, v->ops->status_write(v, status), "writing the status");
    for (unsigned word = 0; word < 2; word++)
        must(d->t, v->ops->driver_features(v, word, (uint32_t)(features >> (32 * word))),
             "writing features");
    must(d->t, v->ops->status_write(v, status | VIRTIO_STATUS_FEATURES_OK), "writing the status");
    expect(d->t, MUST, !(device_status(d) & VIRTIO_STATUS_FEATURES_OK),
           "FEATURES_OK stays, with a feature that is not offered");
}

CHECK(ends_with_refused_features, .judges = DEVICE, .proves = "xen.memory.flight.4",
      .needs = FLIGHT, .timeout_ms = 30000,
      .title = "Of a driver whose FEATURES_OK is refused nothing is mapped, then or before")
{
    struct flight *f = given_flight_of(t, 0);
    struct device *d = f->s->d;
    unsigned index;

    do {
        flight_begin(f);
        must(t, fe_virtio_reset(d->v, LIMIT_RESET_NS), "resetting the device");
        negotiate_in_vain(d);
        flight_end(f, "after a reset and features that are refused", 0);
        service_restart(f->s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    } while (flight_again(f));

    /* A driver that goes on all the same. */
    index = f->s->q->index;
    device_reset(d);
    negotiate_in_vain(d);
    f->s->q = given_queue_memory(d, index, 0);
    {
        const struct fe_queue_setup setup = {
            .size = (uint16_t)f->s->q->size,
            .desc = fe_dma_addr(&f->s->q->mem, f->s->q->desc_off),
            .driver = fe_dma_addr(&f->s->q->mem, f->s->q->driver_off),
            .device = fe_dma_addr(&f->s->q->mem, f->s->q->device_off),
            .vector = FE_NO_VECTOR,
        };

        /* Whether the device answers to that is its own affair. */
        (void)d->v->ops->queue_setup(d->v, f->s->q->index, &setup);
    }
    flight_begin(f);
    expect_unused(f->s->q, MUST, "a request is used though FEATURES_OK was refused");
    expect(t, MUST, flight_mapped(f) == 0,
           "the backend maps %u pages of a driver whose FEATURES_OK it has refused",
           flight_mapped(f));
    flight_let_go(f);
    expect_service_recovers(f->s, "features that were refused");
}

CHECK(ends_with_a_removal, .judges = DEVICE, .proves = "xen.memory.flight.5",
      .needs = FLIGHT | NEED_TESTBED, .timeout_ms = 60000,
      .title = "When a device is reported gone nothing of its requests is mapped or written")
{
    struct flight *f;

    need_pluggable(t, 0);
    f = given_flight_of(t, 0);
    do {
        flight_begin(f);
        f->s->d->gone_on_purpose = true;
        plug_out(t, 0);
        flight_end(f, "after the device's removal", 0);
        plug_in(t, 0, NULL);
        device_reattach(f->s->d);
        service_restart(f->s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    } while (flight_again(f));
    expect_service_recovers(f->s, "a removal with requests in flight");
}

CHECK(ends_with_the_backend, .judges = DEVICE, .proves = "xen.memory.flight.6",
      .needs = FLIGHT | NEED_TESTBED | NEED_SUCCESSOR, .timeout_ms = 60000,
      .title = "A backend that is told to end waits for no request, and leaves none mapped")
{
    struct flight *f = given_flight_of(t, 0);

    do {
        flight_begin(f);
        backend_stop(f->s->d);
        flight_end(f, "after the backend's end", LIMIT_REPLY_NS);
        backend_start(f->s->d);
        service_restart(f->s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    } while (flight_again(f));
    expect_service_recovers(f->s, "an end with requests in flight");
}

CHECK(ends_with_an_answer, .judges = DEVICE, .proves = "xen.memory.flight.7",
      .needs = FLIGHT | NEED_TESTBED, .timeout_ms = 30000,
      .title = "What a store has kept waiting for a while is answered as anything else is")
{
    struct flight *f = given_flight_of(t, 0);
    struct virtq_raw_used u;
    bool answered[FLIGHT_REQUESTS] = {false};

    if (!f->holds)
        skip_check(t, "the store of the device holds no requests back (hold: true)");
    flight_begin(f);
    expect(t, MUST, !ring_used(f->s->q, &u, HELD_NS),
           "a request is used that its store holds back");
    flight_let_go(f);
    for (unsigned n = 0; n < f->count; n++) {
        unsigned i;

        if (!ring_used(f->s->q, &u, LIMIT_REPLY_NS))
            break;
        i = u.id / REQUEST_BUFFERS_MAX;
        expect(t, MUST, i < f->count && !answered[i], "buffer %u is used, again or without reason",
               (unsigned)u.id);
        if (i >= f->count || answered[i])
            stop_check(t);
        answered[i] = true;
        expect_answered(f->of[i].r, u.len);
    }
    for (unsigned i = 0; i < f->count; i++)
        expect(t, MUST, answered[i], "request %u of %u is not answered", i, f->count);
    expect_service_recovers(f->s, "requests that were kept waiting");
}
