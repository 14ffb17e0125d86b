/* SPDX-License-Identifier: MIT */
/*
 * VIRTIO 2.8: packed virtqueues, driven by a driver that keeps the rules. What holds for rings of
 * either format is checked by the families split, blk and others, which run on both.
 */
#define CHECK_FAMILY "packed"

#include <stdlib.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/service.h"
#include "util/bits.h"

#define PACKED_SERVICE (NEED_DEVICE | NEED_PACKED | NEED_SERVICE)
#define BATCH_MAX      16u
#define PLACES_MAX     64u

/* A request in `want` descriptors or more, through the whole of its life. Returns how many. */
static unsigned serve(struct service *s, struct request *r, unsigned want)
{
    struct piece p[REQUEST_PIECES_MAX];
    unsigned n = request_pieces(r, p, want);
    uint16_t head;

    request_refresh(r);
    head = ring_chain(s->q, 0, p, n);
    ring_offer(s->q, head);
    ring_kick(s->q);
    expect_answered(r, expect_used(s->q, head));
    return n;
}

/* Put one chain into the ring by hand, its first descriptor's flags last. `ids` has one for each
 * piece; the driver expects the last. */
static void offer_with_ids(struct ring *q, const struct piece *p, unsigned n, const uint16_t *ids)
{
    for (unsigned i = n; i-- > 0;) {
        uint16_t at = (uint16_t)(q->avail + i);
        bool wrap = ring_place_event(q, at) >> 15;

        virtq_raw_pdesc_set(
            &q->raw, ring_place(q, at),
            (struct virtq_raw_pdesc){
                .addr = p[i].addr.raw,
                .len = p[i].len,
                .id = ids[i],
                .flags = (uint16_t)((p[i].writable ? VIRTQ_DESC_F_WRITE : 0) |
                                    (i + 1 < n ? VIRTQ_DESC_F_NEXT : 0) |
                                    (wrap ? VIRTQ_PACKED_DESC_F_AVAIL : VIRTQ_PACKED_DESC_F_USED)),
            });
    }
    q->taken[ids[n - 1]] = (uint16_t)n;
    q->avail = (uint16_t)((q->avail + n) % (2 * q->size));
}

/* ---- the order of descriptors ---- */

CHECK(descriptors_are_taken_in_ring_order, .judges = DEVICE,
      .proves = "packed.packed-virtqueues.device.1", .needs = PACKED_SERVICE,
      .title = "What is available behind a place that is not waits for it")
{
    struct service *s = given_service(t, 0, 16);
    struct request *r[2] = {given_request(s), given_request(s)};
    struct piece p[REQUEST_PIECES_MAX];
    unsigned n[2];

    if (s->q->size < 8)
        skip_check(t, "the queue has only %u entries", s->q->size);
    for (unsigned i = 0; i < 2; i++) {
        n[i] = request_pieces(r[i], p, 1);
        ring_chain(s->q, 4 * i, p, n[i]);
    }
    s->q->avail = (uint16_t)n[0];
    ring_offer(s->q, 4);
    ring_kick(s->q);
    expect_unused(s->q, MUST, "a buffer was used before the one in front of it was available");
    s->q->avail = 0;
    ring_offer(s->q, 0);
    s->q->avail = (uint16_t)(n[0] + n[1]);
    ring_kick(s->q);
    for (unsigned i = 0; i < 2; i++) {
        struct virtq_raw_used u;
        bool came = ring_used(s->q, &u, LIMIT_REPLY_NS);

        expect(t, MUST, came && (u.id == 0 || u.id == 4), "%u of 2 buffers were used", i);
        if (!came)
            stop_check(t);
    }
    expect(t, MUST, request_is_answered(r[0], 1) && request_is_answered(r[1], 1),
           "a request was used and not done");
    request_release(r[0]);
    request_release(r[1]);
}

CHECK(used_entries_name_what_is_done, .judges = DEVICE,
      .proves = "packed.packed-virtqueues.device.2", .needs = PACKED_SERVICE,
      .title = "Used descriptors follow one another, each for a buffer that is done")
{
    struct service *s = given_service(t, 0, 0);
    unsigned n = s->q->size / 3 < BATCH_MAX ? s->q->size / 3 : BATCH_MAX;
    struct request *r[BATCH_MAX];

    if (n < 2)
        skip_check(t, "the queue has only %u entries", s->q->size);
    for (unsigned i = 0; i < n; i++)
        r[i] = given_small_request(s);
    for (unsigned round = 0; round < 8; round++) {
        bool seen[BATCH_MAX] = {false};

        for (unsigned i = 0; i < n; i++) {
            struct piece p[REQUEST_PIECES_MAX];

            request_refresh(r[i]);
            ring_offer(s->q, ring_chain(s->q, 3 * i, p, request_pieces(r[i], p, 1 + i % 3)));
        }
        ring_kick(s->q);
        for (unsigned i = 0; i < n; i++) {
            struct virtq_raw_used u = {0};
            bool came = ring_used(s->q, &u, LIMIT_REPLY_NS);
            bool ours = came && u.id % 3 == 0 && u.id / 3 < n && !seen[u.id / 3];

            expect(t, MUST, came, "where the next used descriptor belongs, after %u of %u, is none",
                   i, n);
            expect(t, MUST, !came || ours, "used id %u: of no buffer, or used before", u.id);
            if (!ours)
                stop_check(t);
            seen[u.id / 3] = true;
            expect_answered(r[u.id / 3], u.len);
        }
    }
    for (unsigned i = 0; i < n; i++)
        request_release(r[i]);
}

CHECK(chains_keep_their_order, .judges = DEVICE, .proves = "packed.scatter-gather-support.device.1",
      .needs = NEED_DEVICE | NEED_PACKED | NEED_BLK | NEED_WRITABLE,
      .title = "Data in chains of 1 to 12 descriptors of odd sizes")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    unsigned max = k->q->size - 2 < 12 ? k->q->size - 2 : 12;
    struct buffer *b = given_buffer(k->d, 4 * SECTOR, 0x123, FE_DMA_TO_DEVICE);
    struct piece p[12];

    if (k->q->size < 4)
        skip_check(t, "the queue has only %u entries", k->q->size);
    if ((k->d->v->features & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX)) && k->seg_max < max)
        max = k->seg_max;
    for (unsigned n = 1; n <= max; n++) {
        uint32_t at = 0;

        buffer_fill(b, 500 + n);
        for (unsigned i = 0; i < n; i++) {
            uint32_t len = i + 1 < n ? 1 + i * 13 : b->bytes - at;

            p[i] = piece_part(b, at, len, false);
            at += len;
        }
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, 0, p, n).status, VIRTIO_BLK_S_OK,
                  "the status of a write");
        expect_pattern(k, 0, 4, 500 + n, "what was written in pieces reads differently");
    }
    buffer_release(b);
}

/* ---- round the ring ---- */

CHECK(any_size_goes_round, .judges = DEVICE, .proves = "xen.packed.size.1 xen.packed.wrap.1",
      .needs = PACKED_SERVICE, .timeout_ms = 60000,
      .title = "Rings of any size, no power of two, for several laps; chains cross the end")
{
    struct service *s = given_service(t, 0, 0);
    const unsigned max = s->q->size, sizes[] = {3, 5, 7, 8, 13, max - 1, max};

    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct request *r;

        if (sizes[i] < 3 || sizes[i] > max)
            continue;
        service_restart(s, 0, sizes[i]);
        r = given_request(s);
        for (unsigned places = 0; places < 5 * sizes[i];)
            places += serve(s, r, places % 2 ? 3 : 1);
        request_release(r);
    }
    note(t, "largest", "%u", max);
}

CHECK(chain_fills_the_ring, .judges = DEVICE, .proves = "xen.packed.size.2",
      .needs = PACKED_SERVICE, .title = "A chain of as many descriptors as the ring has")
{
    struct service *s = given_service(t, 0, 0);

    for (unsigned size = 3; size <= REQUEST_PIECES_MAX && size <= queue_max(s->d, s->q->index);
         size++) {
        struct request *r;

        service_restart(s, 0, size);
        r = given_request(s);
        for (unsigned lap = 0; lap < 4; lap++)
            serve(s, r, size);
        request_release(r);
    }
}

CHECK(id_of_the_last_descriptor_counts, .judges = DEVICE, .proves = "xen.packed.id.1",
      .needs = PACKED_SERVICE, .title = "Ids in the other descriptors of a chain mean nothing")
{
    struct service *s = given_service(t, 0, 16);
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    unsigned n = request_pieces(r, p, 3);

    if (s->q->size < n)
        skip_check(t, "the queue has only %u entries", s->q->size);
    for (unsigned i = 0; i < 10; i++) {
        uint16_t ids[REQUEST_PIECES_MAX], last = (uint16_t)(i * 5 % s->q->size);

        for (unsigned k = 0; k + 1 < n; k++)
            ids[k] = (uint16_t)(0xffff - k - i);
        ids[n - 1] = last;
        request_refresh(r);
        offer_with_ids(s->q, p, n, ids);
        ring_kick(s->q);
        expect_answered(r, expect_used(s->q, last));
    }
    request_release(r);
}

/* ---- what the device writes ---- */

/* Watch a descriptor for as long as a wrong device may take. What it is in the end. */
static struct virtq_raw_pdesc watch(struct ring *q, unsigned at,
                                    const struct virtq_raw_pdesc *before)
{
    uint64_t deadline = given_now_ns() + LIMIT_QUIET_NS;
    struct virtq_raw_pdesc now;

    do {
        now = virtq_raw_pdesc_get(&q->raw, at);
        given_pause();
    } while (memcmp(&now, before, sizeof(now)) == 0 && given_now_ns() < deadline);
    return now;
}

CHECK(descriptors_not_available_are_left, .judges = DEVICE,
      .proves = "packed.the-virtqueue-descriptor-table.device.3", .needs = PACKED_SERVICE,
      .title = "Flags that say used, of the next lap, or nothing, make nothing available")
{
    static const uint16_t flags[] = {0, VIRTQ_PACKED_DESC_F_USED,
                                     VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED};
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(flags); i++) {
        struct virtq_raw_pdesc before, after;
        struct piece p[REQUEST_PIECES_MAX];
        struct request *r;

        if (i)
            service_restart(s, 0, 0);
        r = given_small_request(s);
        request_pieces(r, p, 1);
        before = (struct virtq_raw_pdesc){
            .addr = p[0].addr.raw,
            .len = p[0].len,
            .id = 1,
            .flags = (uint16_t)(flags[i] | (p[0].writable ? VIRTQ_DESC_F_WRITE : 0)),
        };
        virtq_raw_pdesc_set(&s->q->raw, 0, before);
        ring_kick(s->q);
        ring_kick(s->q);
        after = watch(s->q, 0, &before);
        expect(t, MUST, memcmp(&before, &after, sizeof(before)) == 0,
               "a descriptor with flags 0x%x, which is not available, was changed: flags 0x%x, id "
               "%u",
               before.flags, after.flags, after.id);
        expect(t, SHOULD, !(device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET),
               "a descriptor that is not available made the device ask for a reset");
        request_release(r);
    }
}

CHECK(device_writes_only_what_is_its_own, .judges = DEVICE,
      .proves = "packed.the-virtqueue-descriptor-table.device.1",
      .needs = NEED_DEVICE | NEED_PACKED | NEED_BLK | NEED_WRITABLE,
      .title = "Readable buffers, the driver's events and free descriptors stay as they were")
{
    struct blk *k = given_blk(t, 0, 0);
    struct virtq_raw_event event = {.desc = 0x1234, .flags = VIRTQ_PACKED_EVENT_DISABLE}, now;
    unsigned places = k->q->size < PLACES_MAX ? k->q->size : PLACES_MAX;
    struct buffer *b;
    struct piece p;

    /* Writable by the device as far as the grant goes, so that nothing but the rule stops it. */
    b = given_buffer(k->d, SECTOR, 0, FE_DMA_BOTH);
    p = piece_of(b, false);
    buffer_fill(b, 77);
    virtq_raw_driver_event_set(&k->q->raw, event);
    for (unsigned i = 3; i < places; i++)
        virtq_raw_pdesc_set(&k->q->raw, i, (struct virtq_raw_pdesc){i, i, (uint16_t)i, 0});
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, 1, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a write");
    for (unsigned i = 3; i < places; i++) {
        struct virtq_raw_pdesc d = virtq_raw_pdesc_get(&k->q->raw, i);

        expect(t, MUST, d.addr == i && d.len == i && d.id == i && d.flags == 0,
               "descriptor %u, which was not available, was written to", i);
    }
    now = virtq_raw_driver_event_get(&k->q->raw);
    expect(t, MUST, now.desc == event.desc && now.flags == event.flags,
           "the driver's event suppression was written to");
    expect(t, MUST, buffer_matches(b, 77), "a buffer that the device reads was written to");
    expect_canaries(t, b, "data");
    buffer_release(b);
}

CHECK(used_descriptors_are_not_touched_again, .judges = DEVICE,
      .proves = "packed.the-virtqueue-descriptor-table.device.4", .needs = PACKED_SERVICE,
      .title = "A used descriptor stays as it is until the driver takes its place again")
{
    struct service *s = given_service(t, 0, 32);
    struct request *r = given_small_request(s);
    struct virtq_raw_pdesc used[PLACES_MAX];
    unsigned at[PLACES_MAX], count = 0;

    for (unsigned places = 0; places + 3 <= s->q->size;) {
        at[count] = places;
        places += serve(s, r, 1);
        used[count] = virtq_raw_pdesc_get(&s->q->raw, at[count]);
        count++;
        for (unsigned i = 0; i < count; i++) {
            struct virtq_raw_pdesc now = virtq_raw_pdesc_get(&s->q->raw, at[i]);

            expect(t, MUST, memcmp(&now, &used[i], sizeof(now)) == 0,
                   "the descriptor at %u changed after it was used", at[i]);
        }
    }
    request_release(r);
}

CHECK(used_descriptor_says_what_was_written, .judges = DEVICE, .proves = "xen.packed.used.1",
      .needs = PACKED_SERVICE, .title = "WRITE in a used descriptor, and its length")
{
    struct service *s = given_service(t, 0, 0);
    struct request *r = given_request(s);
    struct virtq_raw_pdesc d;
    uint32_t room = 0;

    for (unsigned i = 0; i < r->parts; i++)
        room += r->part[i].dir != FE_DMA_TO_DEVICE ? r->part[i].b->bytes : 0;
    serve(s, r, 1);
    d = virtq_raw_pdesc_get(&s->q->raw, 0);
    expect(t, MUST, !(d.flags & VIRTQ_DESC_F_WRITE) || d.len <= room,
           "the used length is %u of %u writable bytes", d.len, room);
    expect(t, SHOULD, !(d.flags & VIRTQ_DESC_F_WRITE) == (room == 0),
           "the flags of the used descriptor are 0x%x; the device wrote %s", d.flags,
           room ? "to the buffer" : "nothing");
    expect(t, SHOULD, room == 0 || d.len >= 1, "the used length is 0, and the device wrote");
    request_release(r);
}

/* ---- events ---- */

CHECK(enabled_events_interrupt, .judges = DEVICE, .proves = "xen.packed.event.1",
      .needs = PACKED_SERVICE | NEED_IRQ,
      .title = "RING_EVENT_FLAGS_ENABLE: each used buffer interrupts")
{
    struct service *s = given_service(t, 0, 0);
    struct request *r = given_small_request(s);
    bool came = true;

    for (unsigned i = 0; i < 8 && came; i++) {
        serve(s, r, 1);
        came = ring_interrupted(s->q, LIMIT_REPLY_NS);
        expect(t, MUST, came, "no interrupt came: events are enabled and a buffer was used");
        ring_drain_irq(s->q);
    }
    request_release(r);
}

CHECK(disabled_events_are_quiet, .judges = DEVICE, .proves = "xen.packed.event.2",
      .needs = PACKED_SERVICE | NEED_IRQ, .title = "RING_EVENT_FLAGS_DISABLE, and back")
{
    struct service *s = given_service(t, 0, 0);
    struct request *r = given_small_request(s);

    virtq_raw_driver_event_set(&s->q->raw,
                               (struct virtq_raw_event){.flags = VIRTQ_PACKED_EVENT_DISABLE});
    serve(s, r, 1);
    expect_quiet(s->q, SHOULD, "the driver disabled events");
    virtq_raw_driver_event_set(&s->q->raw,
                               (struct virtq_raw_event){.flags = VIRTQ_PACKED_EVENT_ENABLE});
    serve(s, r, 1);
    expect_notified(s->q, MUST, "the driver enabled events again");
    request_release(r);
}

CHECK(event_descriptor_interrupts, .judges = DEVICE, .proves = "xen.packed.event.3",
      .needs = PACKED_SERVICE | NEED_EVENT_IDX | NEED_IRQ,
      .title = "RING_EVENT_FLAGS_DESC: the descriptor that is named, and no other")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);
    struct request *r = given_small_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    unsigned n = request_pieces(r, p, 1);

    if (s->q->size < 4 * n)
        skip_check(t, "the queue has only %u entries", s->q->size);
    virtq_raw_driver_event_set(
        &s->q->raw, (struct virtq_raw_event){.desc = ring_place_event(s->q, (uint16_t)(2 * n)),
                                             .flags = VIRTQ_PACKED_EVENT_DESC});
    serve(s, r, 1);
    serve(s, r, 1);
    expect_quiet(s->q, SHOULD, "the descriptor was not reached");
    serve(s, r, 1);
    expect_notified(s->q, MUST, "the descriptor was used");
    serve(s, r, 1);
    expect_quiet(s->q, SHOULD, "the descriptor was passed");
    request_release(r);
}

CHECK(event_wrap_counter_counts, .judges = DEVICE, .proves = "xen.packed.event.4",
      .needs = PACKED_SERVICE | NEED_EVENT_IDX | NEED_IRQ,
      .title = "The same descriptor one lap later is another event")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 8);
    struct request *r = given_small_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    unsigned n = request_pieces(r, p, 1), places = 0;

    virtq_raw_driver_event_set(
        &s->q->raw, (struct virtq_raw_event){.desc = ring_place_event(s->q, (uint16_t)s->q->size),
                                             .flags = VIRTQ_PACKED_EVENT_DESC});
    for (; places + n <= s->q->size; places += n)
        serve(s, r, 1);
    expect_quiet(s->q, SHOULD, "this is not the lap whose descriptor was named");
    serve(s, r, 1);
    expect_notified(s->q, MUST, "the descriptor was used in the lap that was named");
    request_release(r);
}

CHECK(device_event_flags_are_legal, .judges = DEVICE, .proves = "xen.packed.device-event.2",
      .needs = PACKED_SERVICE, .title = "The device's event suppression has defined values only")
{
    static const uint64_t features[] = {0, VIRTIO_F(VIRTIO_F_EVENT_IDX)};
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(features); i++) {
        bool event_idx;
        struct request *r;

        service_restart(s, features[i], 0);
        event_idx = s->d->v->features & VIRTIO_F(VIRTIO_F_EVENT_IDX);
        r = given_small_request(s);
        for (unsigned k = 0; k < 8; k++) {
            struct virtq_raw_event e;

            serve(s, r, 1);
            e = virtq_raw_device_event_get(&s->q->raw);
            expect(t, MUST, e.flags <= VIRTQ_PACKED_EVENT_DESC, "flags is 0x%x", e.flags);
            expect(t, MUST, e.flags != VIRTQ_PACKED_EVENT_DESC || event_idx,
                   "a descriptor is named without VIRTIO_F_EVENT_IDX");
            expect(t, MUST, e.flags != VIRTQ_PACKED_EVENT_DESC || (e.desc & 0x7fffu) < s->q->size,
                   "the descriptor that is named, %u, is beyond the ring", e.desc & 0x7fffu);
        }
        request_release(r);
    }
}

/* Requests with the doorbell only where the device asks for it: nothing may get stuck. */
static void requests_by_invitation(struct check_ctx *t, uint64_t features)
{
    struct service *s = given_service(t, features, 16);
    struct request *r = given_small_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    unsigned n = request_pieces(r, p, 1), doorbells = 0;

    for (unsigned i = 0; i < 300; i++) {
        struct virtq_raw_event e;
        uint16_t head;
        bool wanted;

        request_refresh(r);
        head = ring_chain(s->q, 0, p, n);
        ring_offer(s->q, head);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        e = virtq_raw_device_event_get(&s->q->raw);
        wanted = e.flags == VIRTQ_PACKED_EVENT_ENABLE;
        if (e.flags == VIRTQ_PACKED_EVENT_DESC) {
            /* One of the places of this chain? */
            for (unsigned k = 1; k <= n; k++)
                wanted |=
                    e.desc == ring_place_event(s->q, (uint16_t)(s->q->avail + 2 * s->q->size - k));
        }
        if (wanted) {
            ring_kick(s->q);
            doorbells++;
        }
        expect_answered(r, expect_used(s->q, head));
    }
    note(t, "doorbells", "%u for 300 buffers", doorbells);
    request_release(r);
}

CHECK(device_event_never_misses, .judges = DEVICE, .proves = "xen.packed.device-event.1",
      .needs = PACKED_SERVICE, .timeout_ms = 30000,
      .title = "A driver that rings only while the device has events enabled is always served")
{
    requests_by_invitation(t, 0);
}

CHECK(device_event_descriptor_never_misses, .judges = DEVICE, .proves = "xen.packed.device-event.1",
      .needs = PACKED_SERVICE | NEED_EVENT_IDX, .timeout_ms = 30000,
      .title = "A driver that rings only for the descriptor that the device names is always served")
{
    requests_by_invitation(t, VIRTIO_F(VIRTIO_F_EVENT_IDX));
}

/* ---- indirect ---- */

CHECK(indirect_tables_are_read_to_their_end, .judges = DEVICE, .proves = "xen.packed.indirect.1",
      .needs = PACKED_SERVICE | NEED_INDIRECT,
      .title = "The length of the table says how many descriptors there are, not NEXT")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct request *r = given_request(s);
    struct buffer *table = given_buffer(
        s->d, REQUEST_PIECES_MAX * (uint32_t)sizeof(struct pvirtq_desc), 0x40, FE_DMA_TO_DEVICE);

    for (unsigned want = 1; want <= REQUEST_PIECES_MAX; want++) {
        struct piece p[REQUEST_PIECES_MAX];
        uint16_t head = ring_chain_indirect(s->q, want, table, p, request_pieces(r, p, want));

        request_refresh(r);
        ring_offer(s->q, head);
        ring_kick(s->q);
        expect_answered(r, expect_used(s->q, head));
    }
    expect_canaries(t, table, "indirect table");
    buffer_release(table);
    request_release(r);
}

CHECK(indirect_flags_are_ignored, .judges = DEVICE, .proves = "xen.packed.indirect.2",
      .needs = PACKED_SERVICE | NEED_INDIRECT,
      .title = "Of flags and ids in a table only WRITE has a meaning; outside it has none")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct request *r = given_request(s);
    struct buffer *table = given_buffer(
        s->d, REQUEST_PIECES_MAX * (uint32_t)sizeof(struct pvirtq_desc), 0, FE_DMA_TO_DEVICE);

    for (unsigned round = 0; round < 2; round++) {
        struct piece p[REQUEST_PIECES_MAX];
        unsigned n = request_pieces(r, p, 3);
        uint16_t head = ring_chain_indirect(s->q, 0, table, p, n);
        struct virtq_raw_desc d = ring_desc_get(s->q, head);

        for (unsigned i = 0; i < n; i++)
            virtq_raw_ptable_set(
                table->va, i,
                (struct virtq_raw_pdesc){
                    .addr = p[i].addr.raw,
                    .len = p[i].len,
                    .id = (uint16_t)(0xffff - i),
                    .flags = (uint16_t)((p[i].writable ? 0xffff : 0xffff & ~VIRTQ_DESC_F_WRITE)),
                });
        if (round)
            d.flags |= VIRTQ_DESC_F_WRITE;
        ring_desc_set(s->q, head, d);
        request_refresh(r);
        ring_offer(s->q, head);
        ring_kick(s->q);
        expect_answered(r, expect_used(s->q, head));
    }
    buffer_release(table);
    request_release(r);
}
