/* SPDX-License-Identifier: MIT */
/*
 * A driver that breaks the rules of its ring. The device may complete such a chain with an
 * error, ignore it, or set DEVICE_NEEDS_RESET. It may not crash, hang, or touch memory that is
 * not in the chain; and after a reset it has to work.
 */
#define CHECK_FAMILY "hostile"

#include <errno.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/service.h"
#include "spec/virtio.h"
#include "util/bits.h"

#define ISR_CONFIG 2u /* of the interrupt status: 4.1.4.5, 4.2.2 */

struct provoked {
    bool used, needs_reset;
    struct virtq_raw_used entry;
};

/* Ring the doorbell and watch for any reaction for a while; no reaction is one too. */
static struct provoked provoke(struct service *s)
{
    uint64_t deadline = given_now_ns() + MS(300);
    struct provoked seen = {0};

    ring_kick(s->q);
    while (given_now_ns() < deadline && !seen.used && !seen.needs_reset) {
        seen.used = ring_used(s->q, &seen.entry, MS(1));
        seen.needs_reset = device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    }
    note(s->d->t, "reaction", "%s", seen.needs_reset ? "needs reset" : seen.used ? "used" : "none");
    return seen;
}

/* The common end: an error is reported in some way, nothing is harmed, a reset repairs. */
static void expect_survives(struct service *s, struct provoked seen, const char *what)
{
    struct check_ctx *t = s->d->t;

    expect(t, SHOULD, seen.needs_reset || seen.used,
           "after %s the device neither used the chain nor set DEVICE_NEEDS_RESET", what);
    expect_service_recovers(s, what);
}

/* A request in three well-formed descriptors at 0, 1, 2; not offered yet. */
static struct request *good_chain(struct service *s)
{
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];

    if (s->q->size < 4)
        skip_check(s->d->t, "the queue has only %u entries", s->q->size);
    ring_chain(s->q, 0, p, request_pieces(r, p, 3));
    return r;
}

static void desc_change(struct ring *q, unsigned i, uint16_t flags_set, uint16_t flags_clear,
                        int next)
{
    struct virtq_raw_desc d = ring_desc_get(q, i);

    d.flags = (uint16_t)((d.flags | flags_set) & ~flags_clear);
    if (next >= 0)
        d.next = (uint16_t)next;
    ring_desc_set(q, i, d);
}

CHECK(chain_that_loops, .judges = DEVICE, .proves = "xen.hostile.chain.1",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE, .title = "A chain without an end")
{
    struct service *s = given_service(t, 0, 0);

    good_chain(s);
    desc_change(s->q, 2, VIRTQ_DESC_F_NEXT, 0, 1);
    ring_offer(s->q, 0);
    expect_survives(s, provoke(s), "a chain that loops");
}

CHECK(chain_to_itself, .judges = DEVICE, .proves = "xen.hostile.chain.1",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE,
      .title = "A descriptor whose next is itself")
{
    struct service *s = given_service(t, 0, 0);

    good_chain(s);
    desc_change(s->q, 0, VIRTQ_DESC_F_NEXT, 0, 0);
    ring_offer(s->q, 0);
    expect_survives(s, provoke(s), "a descriptor that leads to itself");
}

CHECK(head_out_of_range, .judges = DEVICE, .proves = "xen.hostile.index.1",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE,
      .title = "A head index at or past the queue's size")
{
    struct service *s = given_service(t, 0, 0);
    const unsigned size = s->q->size;
    const uint16_t bad[] = {(uint16_t)size, (uint16_t)(size + 1), 0x8000, 0xffff};

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct provoked seen;

        good_chain(s);
        ring_offer(s->q, bad[i]);
        seen = provoke(s);
        expect(t, MUST, !seen.used || seen.entry.id < size, "id %u was used", seen.entry.id);
        expect_survives(s, seen, "a head index out of range");
    }
}

CHECK(next_out_of_range, .judges = DEVICE, .proves = "xen.hostile.index.2",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE,
      .title = "A next index at or past the queue's size")
{
    struct service *s = given_service(t, 0, 0);
    const unsigned size = s->q->size;
    const uint16_t bad[] = {(uint16_t)size, 0x8000, 0xffff};

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        good_chain(s);
        desc_change(s->q, 0, VIRTQ_DESC_F_NEXT, 0, bad[i]);
        ring_offer(s->q, 0);
        expect_survives(s, provoke(s), "a next index out of range");
    }
}

CHECK(available_index_jumps, .judges = DEVICE, .proves = "xen.hostile.index.3",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE,
      .title = "An available index ahead by more than the size")
{
    struct service *s = given_service(t, 0, 0);
    const uint16_t jumps[] = {(uint16_t)(s->q->size + 1), 0x7fff, 0xffff};

    for (unsigned i = 0; i < ARRAY_LENGTH(jumps); i++) {
        struct provoked seen;

        good_chain(s);
        virtq_raw_avail_idx_set(&s->q->raw, jumps[i]);
        seen = provoke(s);
        for (unsigned used = 1; seen.used; used++) {
            expect(t, MUST, used <= s->q->size, "a queue of %u had %u buffers used", s->q->size,
                   used);
            if (used > s->q->size || !ring_used(s->q, &seen.entry, LIMIT_QUIET_NS))
                break;
        }
        expect_survives(s, seen, "a jump of the available index");
    }
}

CHECK(empty_descriptor, .judges = DEVICE, .proves = "xen.hostile.length.1",
      .needs = NEED_DEVICE | NEED_SERVICE, .title = "Descriptors of length 0")
{
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < 3; i++) {
        struct virtq_raw_desc d;

        good_chain(s);
        d = ring_desc_get(s->q, i);
        d.len = 0;
        ring_desc_set(s->q, i, d);
        ring_offer(s->q, 0);
        expect_survives(s, provoke(s), "an empty descriptor");
    }
}

CHECK(length_wraps, .judges = DEVICE, .proves = "xen.hostile.length.2",
      .needs = NEED_DEVICE | NEED_SERVICE, .title = "Address plus length passes the end of memory")
{
    struct service *s = given_service(t, 0, 0);
    const uint32_t lens[] = {0xffffffff, 0x80000000};

    for (unsigned i = 0; i < ARRAY_LENGTH(lens); i++) {
        struct virtq_raw_desc d;
        struct request *r = good_chain(s);

        d = ring_desc_get(s->q, 1);
        d.len = lens[i];
        ring_desc_set(s->q, 1, d);
        ring_offer(s->q, 0);
        expect_survives(s, provoke(s), "a descriptor longer than memory");
        for (unsigned part = 0; part < r->parts; part++)
            expect_canaries(t, r->part[part].b, "a request");
    }
}

CHECK(address_wraps, .judges = DEVICE, .proves = "xen.hostile.length.3",
      .needs = NEED_DEVICE | NEED_SERVICE, .title = "Addresses at the end of the address space")
{
    struct service *s = given_service(t, 0, 0);
    const uint64_t bad[] = {UINT64_MAX, UINT64_MAX - 255, 0x7fffffffffffffffull, 0};

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct virtq_raw_desc d;

        if (bad[i] == 0 && s->d->mem.addressing == FE_ADDRESSING_FOREIGN)
            continue; /* page 0 may be memory */
        good_chain(s);
        d = ring_desc_get(s->q, 1);
        d.addr = bad[i];
        ring_desc_set(s->q, 1, d);
        ring_offer(s->q, 0);
        expect_survives(s, provoke(s), "an address that cannot be");
    }
}

CHECK(readable_after_writable, .judges = DEVICE, .proves = "xen.hostile.order.1",
      .needs = NEED_DEVICE | NEED_SERVICE,
      .title = "Device-readable descriptors behind writable ones")
{
    struct service *s = given_service(t, 0, 0);

    good_chain(s);
    desc_change(s->q, 0, VIRTQ_DESC_F_WRITE, 0, -1);
    desc_change(s->q, 2, 0, VIRTQ_DESC_F_WRITE, -1);
    ring_offer(s->q, 0);
    expect_survives(s, provoke(s), "a readable descriptor behind a writable one");
}

CHECK(no_room_for_a_status, .judges = DEVICE, .proves = "xen.hostile.order.2",
      .needs = NEED_DEVICE | NEED_BLK, .title = "A request without a writable byte")
{
    struct service *s = given_service(t, 0, 0);

    good_chain(s);
    desc_change(s->q, 0, 0, VIRTQ_DESC_F_NEXT, -1);
    ring_offer(s->q, 0);
    expect_survives(s, provoke(s), "a request without room for its status");
}

CHECK(short_header, .judges = DEVICE, .proves = "xen.hostile.order.2",
      .needs = NEED_DEVICE | NEED_BLK, .title = "A header of fewer than 16 bytes")
{
    struct service *s = given_service(t, 0, 0);

    for (uint32_t len = 1; len < 16; len += 7) {
        struct virtq_raw_desc d;

        good_chain(s);
        d = ring_desc_get(s->q, 0);
        d.len = len;
        ring_desc_set(s->q, 0, d);
        ring_offer(s->q, 0);
        expect_survives(s, provoke(s), "a short header");
    }
}

CHECK(indirect_not_negotiated, .judges = DEVICE, .proves = "xen.hostile.indirect.1",
      .needs = NEED_DEVICE | NEED_SERVICE, .title = "INDIRECT without the feature")
{
    struct service *s = given_service(t, 0, 0);
    struct buffer *table = given_buffer(s->d, 64, 0, FE_DMA_TO_DEVICE);
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    struct provoked seen;

    ring_offer(s->q, ring_chain_indirect(s->q, 0, table, p, request_pieces(r, p, 3)));
    seen = provoke(s);
    expect(t, SHOULD, !seen.used || !request_is_answered(r, seen.entry.len),
           "the table was followed although the feature was not accepted");
    expect_survives(s, seen, "an indirect descriptor without the feature");
}

CHECK(indirect_inside_indirect, .judges = DEVICE, .proves = "xen.hostile.indirect.2",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_INDIRECT,
      .title = "A table inside a table")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct buffer *table = given_buffer(s->d, 64, 0, FE_DMA_TO_DEVICE);

    good_chain(s);
    ring_table_set(s->q, table->va, 0,
                   (struct virtq_raw_desc){table->addr.raw, 64, VIRTQ_DESC_F_INDIRECT, 0});
    ring_desc_set(s->q, 0, (struct virtq_raw_desc){table->addr.raw, 64, VIRTQ_DESC_F_INDIRECT, 0});
    ring_offer(s->q, 0);
    expect_survives(s, provoke(s), "an indirect table inside another");
}

CHECK(indirect_table_loops, .judges = DEVICE, .proves = "xen.hostile.indirect.3",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_INDIRECT,
      .title = "A loop, or a next past the end, inside a table")
{
    static const uint16_t nexts[] = {0, 1, 3, 0xffff};
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(nexts); i++) {
        struct piece p[REQUEST_PIECES_MAX];
        struct buffer *table;
        unsigned n;

        if (i)
            service_restart(s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
        table = given_buffer(s->d, REQUEST_PIECES_MAX * (uint32_t)sizeof(struct virtq_desc), 0,
                             FE_DMA_TO_DEVICE);
        n = request_pieces(given_request(s), p, 3);
        ring_chain_indirect(s->q, 0, table, p, n);
        /* The last one has a successor that cannot be. */
        ring_table_set(
            s->q, table->va, n - 1,
            (struct virtq_raw_desc){
                p[n - 1].addr.raw, p[n - 1].len,
                (uint16_t)(VIRTQ_DESC_F_NEXT | (p[n - 1].writable ? VIRTQ_DESC_F_WRITE : 0)),
                nexts[i]});
        ring_offer(s->q, 0);
        expect_survives(s, provoke(s), "an indirect table that does not end");
    }
}

CHECK(indirect_length_is_wrong, .judges = DEVICE, .proves = "xen.hostile.indirect.4",
      .needs = NEED_DEVICE | NEED_SERVICE | NEED_INDIRECT,
      .title = "Tables of 0, 15, 17 and of 2^32 - 16 bytes")
{
    static const uint32_t lens[] = {0, 15, 17, 0xfffffff0};
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(lens); i++) {
        struct buffer *table;

        if (i)
            service_restart(s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
        table = given_buffer(s->d, 64, 0, FE_DMA_TO_DEVICE);
        good_chain(s);
        ring_desc_set(s->q, 0,
                      (struct virtq_raw_desc){table->addr.raw, lens[i], VIRTQ_DESC_F_INDIRECT, 0});
        ring_offer(s->q, 0);
        expect_survives(s, provoke(s), "an indirect table of a wrong length");
    }
}

CHECK(error_state_is_announced, .judges = DEVICE,
      .proves = "basic.device-status-field.device.2 basic.device-status-field.device.3",
      .needs = NEED_DEVICE | NEED_SERVICE | NEED_IRQ,
      .title = "DEVICE_NEEDS_RESET comes with a configuration change interrupt")
{
    struct service *s = given_service(t, 0, 0);
    struct fe_platform *p = s->d->subject->platform;
    uint16_t vector;
    fe_irq_t irq;
    bool broken;

    must(t, s->d->v->ops->irq_get(s->d->v, 0, &vector, &irq), "getting a vector");
    must(t, s->d->v->ops->config_vector(s->d->v, vector), "setting the configuration vector");
    good_chain(s);
    ring_break(s->q);
    ring_kick(s->q);
    broken = device_status_wait(s->d, VIRTIO_STATUS_DEVICE_NEEDS_RESET,
                                VIRTIO_STATUS_DEVICE_NEEDS_RESET, MS(1000));
    expect(t, SHOULD, broken, "a broken ring did not set DEVICE_NEEDS_RESET");
    if (broken) {
        uint8_t isr = ISR_CONFIG;
        bool came = p->ops->irq_wait(p, irq, LIMIT_REPLY_NS) == 1;

        if (vector == FE_NO_VECTOR)
            must(t, s->d->v->ops->isr_read(s->d->v, s->d->v->vcpu, &isr),
                 "reading the interrupt status");
        expect(t, MUST, came && (isr & ISR_CONFIG),
               "no configuration change interrupt came with DEVICE_NEEDS_RESET");
        expect(t, MUST, device_status(s->d) & VIRTIO_STATUS_DRIVER_OK,
               "DRIVER_OK was lost, status 0x%x", device_status(s->d));
    }
    s->d->v->ops->irq_put(s->d->v, vector, irq);
    expect_service_recovers(s, "a broken ring");
}

CHECK(broken_queue_stays_stopped, .judges = DEVICE, .proves = "xen.hostile.stop.1",
      .needs = NEED_DEVICE | NEED_SERVICE,
      .title = "With DEVICE_NEEDS_RESET nothing more is used until the reset")
{
    struct service *s = given_service(t, 0, 0);
    struct provoked seen;

    good_chain(s);
    ring_break(s->q);
    seen = provoke(s);
    if (!seen.needs_reset)
        skip_check(t, "the device did not ask for a reset");
    ring_offer(s->q, 0);
    ring_kick(s->q);
    expect_unused(s->q, SHOULD, "a buffer was used although the device needs a reset");
    expect_service_recovers(s, "a broken ring");
}

/* ---- packed rings ---- */

#define HOSTILE_PACKED (NEED_DEVICE | NEED_PACKED | NEED_SERVICE)

/* A descriptor of `r`'s first buffer at a place of the first lap. */
static void place_set(struct service *s, const struct request *r, unsigned at, uint16_t id,
                      uint16_t flags)
{
    const struct request_part *first = &r->part[0];

    virtq_raw_pdesc_set(
        &s->q->raw, at,
        (struct virtq_raw_pdesc){
            .addr = first->b->addr.raw,
            .len = first->b->bytes,
            .id = id,
            .flags = (uint16_t)(flags | (first->dir != FE_DMA_TO_DEVICE ? VIRTQ_DESC_F_WRITE : 0)),
        });
}

CHECK(packed_chain_without_its_end, .judges = DEVICE, .proves = "xen.hostile.packed.1",
      .needs = HOSTILE_PACKED, .title = "A chain that goes on in descriptors not available")
{
    static const uint16_t next_flags[] = {0, VIRTQ_PACKED_DESC_F_USED,
                                          VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED};
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(next_flags); i++) {
        struct request *r;

        if (i)
            service_restart(s, 0, 0);
        r = given_request(s);
        place_set(s, r, 1, 0, next_flags[i]);
        place_set(s, r, 0, 0, VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_DESC_F_NEXT);
        expect_survives(s, provoke(s), "a chain without its end");
    }
}

CHECK(packed_chain_round_the_ring, .judges = DEVICE, .proves = "xen.hostile.packed.2",
      .needs = HOSTILE_PACKED, .title = "Every descriptor of the ring has NEXT")
{
    struct service *s = given_service(t, 0, 4);
    struct request *r = given_request(s);

    for (unsigned i = s->q->size; i-- > 0;)
        place_set(s, r, i, (uint16_t)i, VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_DESC_F_NEXT);
    expect_survives(s, provoke(s), "a chain that does not end");
}

/* Has the device taken all that is in the ring? With EVENT_IDX it then names the next place. */
static bool all_taken(struct ring *q)
{
    uint64_t deadline = given_now_ns() + MS(100);
    uint16_t next = ring_place_event(q, q->avail);
    struct virtq_raw_event e;

    do {
        e = virtq_raw_device_event_get(&q->raw);
        if (e.flags == VIRTQ_PACKED_EVENT_DESC && e.desc == next)
            return true;
    } while (given_now_ns() < deadline);
    return false;
}

CHECK(packed_places_taken_twice, .judges = DEVICE, .proves = "xen.hostile.packed.3",
      .needs = NEED_DEVICE | NEED_PACKED | NEED_BLK | NEED_FLUSH | NEED_WRITABLE | NEED_EVENT_IDX,
      .timeout_ms = 60000,
      .title = "A place whose buffer is in flight is made available again for the next lap")
{
    const uint64_t features = VIRTIO_F(VIRTIO_BLK_F_FLUSH) | VIRTIO_F(VIRTIO_F_EVENT_IDX);
    const struct virtio_blk_req_hdr flush = {.type = le32_make(VIRTIO_BLK_T_FLUSH)};
    struct blk *k = given_blk(t, features, 16);
    struct buffer *header = given_buffer(k->d, sizeof(flush), 0x40, FE_DMA_TO_DEVICE);
    struct buffer *statuses = given_buffer(k->d, 8, 0x80, FE_DMA_FROM_DEVICE);
    unsigned in_time = 0;

    memcpy(header->va, &flush, sizeof(flush));
    for (unsigned round = 0; round < 10; round++) {
        blk_write_pattern(k, 8 * round, 8, round);
        blk_restart(k, features, 16);
        if (k->q->size != 16)
            skip_check(t, "the queue has only %u entries", k->q->size);
        /* Flushes are slow. They fill the ring, so that place 0 is the next one. */
        for (unsigned i = 0; i < 8; i++) {
            struct piece p[2] = {piece_of(header, false), piece_part(statuses, i, 1, true)};

            ring_offer(k->q, ring_chain(k->q, 2 * i, p, 2));
        }
        ring_kick(k->q);
        in_time += all_taken(k->q);
        virtq_raw_pdesc_set(
            &k->q->raw, 0,
            (struct virtq_raw_pdesc){header->addr.raw, header->bytes, 0, VIRTQ_PACKED_DESC_F_USED});
        ring_kick(k->q);
        (void)device_status_wait(k->d, VIRTIO_STATUS_DEVICE_NEEDS_RESET,
                                 VIRTIO_STATUS_DEVICE_NEEDS_RESET, MS(50));
        expect_recovers(k, "a place that was made available twice");
    }
    note(t, "taken in time", "%u of 10", in_time);
    buffer_release(header);
    buffer_release(statuses);
}

CHECK(packed_indirect_in_a_list, .judges = DEVICE, .proves = "xen.hostile.packed.4",
      .needs = HOSTILE_PACKED | NEED_INDIRECT,
      .title = "INDIRECT with NEXT, and behind a direct descriptor")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);

    for (unsigned i = 0; i < 2; i++) {
        uint16_t direct = VIRTQ_PACKED_DESC_F_AVAIL, indirect = direct | VIRTQ_DESC_F_INDIRECT;
        struct buffer *table;
        struct request *r;

        if (i)
            service_restart(s, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
        table = given_buffer(s->d, 64, 0, FE_DMA_TO_DEVICE);
        r = given_request(s);
        place_set(s, r, 1, 0, direct);
        place_set(s, r, 0, 0, direct);
        virtq_raw_pdesc_set(
            &s->q->raw, i ? 1 : 0,
            (struct virtq_raw_pdesc){table->addr.raw, 64, 0,
                                     (uint16_t)(indirect | (i ? 0 : VIRTQ_DESC_F_NEXT))});
        if (i)
            place_set(s, r, 0, 0, direct | VIRTQ_DESC_F_NEXT);
        expect_survives(s, provoke(s), "a table inside a list");
    }
}

CHECK(packed_id_beyond_the_ring, .judges = DEVICE, .proves = "xen.hostile.packed.5",
      .needs = HOSTILE_PACKED, .title = "Buffer ids at or past the queue's size")
{
    struct service *s = given_service(t, 0, 0);
    const uint16_t bad[] = {(uint16_t)s->q->size, 0x8000, 0xffff};

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct provoked seen;

        if (i)
            service_restart(s, 0, 0);
        place_set(s, given_request(s), 0, bad[i], VIRTQ_PACKED_DESC_F_AVAIL);
        seen = provoke(s);
        expect(t, MUST, !seen.used || seen.entry.id == bad[i], "id %u was used for buffer %u",
               seen.entry.id, bad[i]);
        expect_survives(s, seen, "an id beyond the ring");
    }
}

CHECK(packed_events_beyond_the_ring, .judges = DEVICE, .proves = "xen.hostile.packed.6",
      .needs = HOSTILE_PACKED | NEED_EVENT_IDX,
      .title = "Event suppression that names no descriptor, and reserved flags")
{
    static const struct virtq_raw_event bad[] = {{0x7fff, VIRTQ_PACKED_EVENT_DESC},
                                                 {0xffff, VIRTQ_PACKED_EVENT_DESC},
                                                 {0, 3},
                                                 {0xffff, 0xffff}};
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 8);

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        virtq_raw_driver_event_set(&s->q->raw, bad[i]);
        for (unsigned k = 0; k < 4; k++)
            expect_served(s, s->q, false);
    }
    expect_service_recovers(s, "events that cannot be");
}
