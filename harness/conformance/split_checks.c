/* SPDX-License-Identifier: MIT */
/* VIRTIO 2.7: split virtqueues, driven by a driver that keeps the rules. */
#define CHECK_FAMILY "split"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "util/bits.h"

#define DATA_BYTES     8192u
#define PIECES_MAX     510u
#define WRAP_BATCH_MAX 128u

/* Cut `bytes` into n pieces of different sizes, none of them a multiple of a sector. */
static void cut(const struct buffer *b, unsigned n, bool writable, struct piece *p)
{
    uint32_t at = 0;

    for (unsigned i = 0; i + 1 < n; i++) {
        uint32_t len = 1 + (i * 7) % (b->bytes / n);

        p[i] = piece_part(b, at, len, writable);
        at += len;
    }
    p[n - 1] = piece_part(b, at, b->bytes - at, writable);
}

/* Data descriptors that fit a direct chain on this queue. */
static unsigned pieces_max(const struct blk *k, unsigned room)
{
    unsigned max = room - 2;

    if ((k->d->v->features & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX)) && k->seg_max < max)
        max = k->seg_max;
    return max < PIECES_MAX ? max : PIECES_MAX;
}

/* ---- chains ---- */

CHECK(chains_of_every_length, .judges = DEVICE, .proves = "split.message-framing.device.1",
      .needs = NEED_DEVICE | NEED_BLK, .timeout_ms = 60000,
      .title = "Data in 1, 2, 3 ... descriptors of odd sizes, up to the queue's size")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    unsigned max = pieces_max(k, k->q->size);
    struct piece p[PIECES_MAX];
    struct buffer *whole = given_buffer(k->d, DATA_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct buffer *b = given_buffer(k->d, DATA_BYTES, 0, FE_DMA_FROM_DEVICE);
    uint64_t last = k->capacity - DATA_BYTES / SECTOR;

    p[0] = piece_of(whole, true);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, last, p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a read into one descriptor");
    for (unsigned n = 1; n <= max; n++) {
        struct blk_reply reply;

        memset(b->va, 0x33, b->bytes);
        cut(b, n, true, p);
        reply = blk_request(k, VIRTIO_BLK_T_IN, last, p, n);
        expect(t, MUST, reply.status == VIRTIO_BLK_S_OK, "a read into %u descriptors has status %u",
               n, reply.status);
        expect(t, MUST, memcmp(b->va, whole->va, b->bytes) == 0,
               "a read into %u descriptors gives other data than one into a single one", n);
        if (reply.status != VIRTIO_BLK_S_OK)
            break;
    }
    note(t, "descriptors", "1 to %u", max);
    buffer_release(whole);
    buffer_release(b);
}

CHECK(written_chains_of_every_length, .judges = DEVICE, .proves = "split.message-framing.device.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE, .timeout_ms = 60000,
      .title = "The same for data that the device reads")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    unsigned max = pieces_max(k, k->q->size);
    struct piece p[PIECES_MAX];
    struct buffer *b = given_buffer(k->d, DATA_BYTES, 0, FE_DMA_TO_DEVICE);

    for (unsigned n = 1; n <= max; n = n < 8 ? n + 1 : n * 3 / 2) {
        struct blk_reply reply;

        buffer_fill(b, n);
        cut(b, n, false, p);
        reply = blk_request(k, VIRTIO_BLK_T_OUT, 0, p, n);
        expect(t, MUST, reply.status == VIRTIO_BLK_S_OK,
               "a write from %u descriptors has status %u", n, reply.status);
        expect_pattern(k, 0, DATA_BYTES / SECTOR, n,
                       "what was written in pieces reads differently");
    }
    buffer_release(b);
}

CHECK(header_in_pieces, .judges = DEVICE, .proves = "split.message-framing.device.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "A header cut anywhere, status beside the data")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, SECTOR + 1, 0x20, FE_DMA_FROM_DEVICE);

    if (k->q->size < 4)
        skip_check(t, "the queue has only %u entries", k->q->size);
    for (unsigned at = 1; at < sizeof(struct virtio_blk_req_hdr); at++) {
        struct piece p[3];
        uint16_t head;

        blk_prepare(k, VIRTIO_BLK_T_IN, 0);
        b->va[SECTOR] = 0xee;
        p[0] = piece_part(k->header, 0, at, false);
        p[1] = piece_part(k->header, at, (uint32_t)sizeof(struct virtio_blk_req_hdr) - at, false);
        p[2] = piece_of(b, true); /* the status is its last byte */
        head = ring_chain(k->q, 0, p, 3);
        ring_offer(k->q, head);
        ring_kick(k->q);
        expect_used(k->q, head);
        expect(t, MUST, b->va[SECTOR] == VIRTIO_BLK_S_OK,
               "with the header cut after %u bytes the status is %u", at, b->va[SECTOR]);
    }
    expect_canaries(t, b, "data and status");
    buffer_release(b);
}

CHECK(descriptors_in_any_order, .judges = DEVICE, .proves = "split.message-framing.device.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "Chains that jump through the table")
{
    struct blk *k = given_blk(t, 0, 0);
    struct ring *q = k->q;
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);

    if (q->size < 8)
        skip_check(t, "the queue has only %u entries", q->size);
    for (unsigned round = 0; round < 64; round++) {
        /* An odd factor permutes a table whose size is a power of two. */
        uint16_t i0 = (uint16_t)((round * 5 + 3) % q->size);
        uint16_t i1 = (uint16_t)((i0 + q->size / 2 + 1) % q->size);
        uint16_t i2 = (uint16_t)((i0 + q->size - 1) % q->size);

        blk_prepare(k, VIRTIO_BLK_T_IN, 0);
        virtq_raw_desc_set(
            &q->raw, i0,
            (struct virtq_raw_desc){k->header->addr.raw, k->header->bytes, VIRTQ_DESC_F_NEXT, i1});
        virtq_raw_desc_set(&q->raw, i1,
                           (struct virtq_raw_desc){b->addr.raw, b->bytes,
                                                   VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, i2});
        virtq_raw_desc_set(&q->raw, i2,
                           (struct virtq_raw_desc){k->status->addr.raw, 1, VIRTQ_DESC_F_WRITE, i0});
        ring_offer(q, i0);
        ring_kick(q);
        expect_used(q, i0);
        expect_eq(t, MUST, blk_finish(k), VIRTIO_BLK_S_OK, "the status of a read");
    }
    buffer_release(b);
}

CHECK(small_queues_work, .judges = DEVICE, .proves = "xen.split.size.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "Every smaller size that the driver may choose")
{
    struct blk *k = given_blk(t, 0, 0);
    unsigned max = k->q->size;

    for (unsigned size = 4; size <= max; size *= 2) {
        struct buffer *b;

        blk_restart(k, 0, size);
        b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
        /* The heads go round, so that an entry read from or written to a wrong place shows. */
        for (unsigned i = 0; i < 3 * size && i < 100; i++) {
            struct piece p[3] = {{.len = 0}, piece_of(b, true)};
            uint16_t head;

            blk_prepare(k, VIRTIO_BLK_T_IN, 0);
            p[0] = piece_of(k->header, false);
            p[2] = piece_of(k->status, true);
            head = ring_chain(k->q, i, p, 3);
            ring_offer(k->q, head);
            ring_kick(k->q);
            expect_used(k->q, head);
            expect_eq(t, MUST, blk_finish(k), VIRTIO_BLK_S_OK, "the status of a read");
        }
        buffer_release(b);
    }
}

/* ---- the used ring ---- */

CHECK(used_length_covers_what_was_written, .judges = DEVICE,
      .proves = "split.the-virtqueue-used-ring.device.1 split.the-virtqueue-used-ring.device.2",
      .needs = NEED_DEVICE | NEED_BLK,
      .title = "No more than was written, and for a read all of it")
{
    struct blk *k = given_blk(t, 0, 0);
    static const uint32_t sectors[] = {1, 2, 7, 8, 16};

    for (unsigned i = 0; i < ARRAY_LENGTH(sectors); i++) {
        struct buffer *b = given_buffer(k->d, sectors[i] * SECTOR, 0, FE_DMA_FROM_DEVICE);
        struct piece p = piece_of(b, true);
        struct blk_reply reply = blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1);

        expect(t, MUST, reply.used_len <= b->bytes + 1,
               "the used length is %u, the chain has %u writable bytes", reply.used_len,
               b->bytes + 1);
        expect_eq(t, SHOULD, reply.used_len, b->bytes + 1, "the used length of a read");
        buffer_release(b);
    }
}

CHECK(used_length_of_a_write, .judges = DEVICE, .proves = "split.the-virtqueue-used-ring.device.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE,
      .title = "A write has only its status as written bytes")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_TO_DEVICE);
    struct piece p = piece_of(b, false);
    struct blk_reply reply = blk_request(k, VIRTIO_BLK_T_OUT, 0, &p, 1);

    expect(t, MUST, reply.used_len <= 1, "the used length is %u, one byte is writable",
           reply.used_len);
    buffer_release(b);
}

/* n reads at once, each with descriptors of its own. Returns how many fit. */
static unsigned offer_reads(struct blk *k, struct ring *q, struct buffer *data,
                            struct buffer *statuses, unsigned max)
{
    unsigned n = q->size / 3 < max ? q->size / 3 : max;

    for (unsigned i = 0; i < n; i++) {
        struct piece p[3] = {
            piece_of(k->header, false),
            piece_part(data, i * SECTOR, SECTOR, true),
            piece_part(statuses, i, 1, true),
        };

        statuses->va[i] = 0xee;
        ring_offer(q, ring_chain(q, 3 * i, p, 3));
    }
    return n;
}

CHECK(batch_is_used_exactly_once, .judges = DEVICE, .proves = "xen.split.batch.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "Many buffers behind one doorbell, each used once")
{
    struct blk *k = given_blk(t, 0, 0);
    unsigned n = k->q->size / 3 < 64 ? k->q->size / 3 : 64;
    struct buffer *data = given_buffer(k->d, n * SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct buffer *statuses = given_buffer(k->d, n, 0x10, FE_DMA_FROM_DEVICE);
    bool seen[64] = {false};
    struct virtq_raw_used u;

    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    offer_reads(k, k->q, data, statuses, n);
    ring_kick(k->q);
    for (unsigned i = 0; i < n; i++) {
        bool came = ring_used(k->q, &u, LIMIT_REPLY_NS);

        expect(t, MUST, came, "%u of %u buffers were used", i, n);
        if (!came)
            stop_check(t);
        expect(t, MUST, u.id % 3 == 0 && u.id / 3 < n && !seen[u.id / 3],
               "used id %u: no head, or used before", u.id);
        if (u.id / 3 < n)
            seen[u.id / 3] = true;
    }
    expect_unused(k->q, MUST, "more was used than was made available");
    expect(t, MUST, buffer_is(statuses, VIRTIO_BLK_S_OK), "not every read has status 0");
    expect_canaries(t, data, "data");
    buffer_release(data);
    buffer_release(statuses);
}

CHECK(indices_wrap, .judges = DEVICE, .proves = "xen.split.wrap.1", .needs = NEED_DEVICE | NEED_BLK,
      .timeout_ms = 60000, .title = "More than 65536 buffers through one queue")
{
    struct blk *k = given_blk(t, 0, 0);
    /* The cheapest request that there is, so that a round of the counters takes about a second:
     * the serial number, with the status behind it in one descriptor. */
    const uint32_t reply_bytes = VIRTIO_BLK_ID_BYTES + 1;
    unsigned n = k->q->size / 2 < WRAP_BATCH_MAX ? k->q->size / 2 : WRAP_BATCH_MAX;
    struct buffer *replies = given_buffer(k->d, n * reply_bytes, 0, FE_DMA_FROM_DEVICE);
    struct virtq_raw_used u;
    unsigned done = 0;

    if (n == 0)
        skip_check(t, "the queue has only %u entries", k->q->size);
    blk_prepare(k, VIRTIO_BLK_T_GET_ID, 0);
    while (done < 66000) {
        bool seen[WRAP_BATCH_MAX] = {false};

        memset(replies->va, 0xee, replies->bytes);
        for (unsigned i = 0; i < n; i++) {
            struct piece p[2] = {piece_of(k->header, false),
                                 piece_part(replies, i * reply_bytes, reply_bytes, true)};

            ring_offer(k->q, ring_chain(k->q, 2 * i, p, 2));
        }
        ring_kick(k->q);
        for (unsigned i = 0; i < n; i++) {
            bool came = ring_used(k->q, &u, LIMIT_REPLY_NS);
            bool ours = came && u.id % 2 == 0 && u.id / 2 < n && !seen[u.id / 2];

            if (!ours) {
                expect(t, MUST, came, "after %u buffers nothing is used any more", done + i);
                expect(t, MUST, !came, "after %u buffers the used id is %u", done + i, u.id);
                stop_check(t);
            }
            seen[u.id / 2] = true;
        }
        for (unsigned i = 0; i < n; i++) {
            uint8_t status = replies->va[(i + 1) * reply_bytes - 1];

            if (status != VIRTIO_BLK_S_OK) {
                expect_eq(t, MUST, status, VIRTIO_BLK_S_OK, "the status of a request");
                stop_check(t);
            }
        }
        done += n;
    }
    expect_unused(k->q, MUST, "more was used than was made available");
    expect_canaries(t, replies, "replies");
    note(t, "buffers", "%u", done);
    buffer_release(replies);
}

/* ---- what the device may not write ---- */

CHECK(device_writes_only_what_is_its_own, .judges = DEVICE,
      .proves = "split.the-virtqueue-descriptor-table.device.1 "
                "split.the-virtqueue-descriptor-table.device.4",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE,
      .title = "Descriptor table, available ring and readable buffers stay as they were")
{
    struct blk *k = given_blk(t, 0, 0);
    struct ring *q = k->q;
    struct virtq_layout layout;
    uint8_t *table, *avail;
    struct buffer *b;
    struct piece p[3];
    uint16_t head;

    virtq_layout_init(&layout, VIRTQ_SPLIT, q->size);
    /* Writable by the device as far as the grant goes, so that nothing but the rule stops it. */
    b = given_buffer(k->d, SECTOR, 0, FE_DMA_BOTH);
    buffer_fill(b, 77);
    blk_prepare(k, VIRTIO_BLK_T_OUT, 1);
    p[0] = piece_of(k->header, false);
    p[1] = piece_of(b, false);
    p[2] = piece_of(k->status, true);
    head = ring_chain(q, 0, p, 3);
    ring_offer(q, head);
    table = malloc(layout.desc_bytes);
    avail = malloc(layout.driver_bytes);
    if (!table || !avail) {
        free(table);
        free(avail);
        error_out(t, "no memory");
    }
    memcpy(table, q->raw.areas.desc, layout.desc_bytes);
    memcpy(avail, q->raw.areas.driver, layout.driver_bytes);
    check_defer(t, free, table);
    check_defer(t, free, avail);
    ring_kick(q);
    expect_used(q, head);
    expect_eq(t, MUST, blk_finish(k), VIRTIO_BLK_S_OK, "the status of a write");
    expect(t, MUST, memcmp(table, q->raw.areas.desc, layout.desc_bytes) == 0,
           "the descriptor table was written to");
    expect(t, MUST, memcmp(avail, q->raw.areas.driver, layout.driver_bytes) == 0,
           "the available ring was written to");
    expect(t, MUST, buffer_matches(b, 77), "a buffer that the device reads was written to");
    expect_canaries(t, b, "data");
    buffer_release(b);
}

/* ---- notifications ---- */

static void one_read(struct blk *k)
{
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(b, true);

    expect_eq(k->d->t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a read");
    buffer_release(b);
}

CHECK(flags_zero_notifies, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.3 "
                "split.used-buffer-notification-suppression.device.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_IRQ,
      .title = "Without EVENT_IDX each used buffer interrupts, whatever used_event says")
{
    struct blk *k = given_blk(t, 0, 0);
    bool came = true;

    for (unsigned i = 0; i < 8 && came; i++) {
        virtq_raw_used_event_set(&k->q->raw, (uint16_t)(i * 0x2001));
        one_read(k);
        came = ring_interrupted(k->q, LIMIT_REPLY_NS);
        expect(t, MUST, came, "no interrupt came: flags is 0 and a buffer was used");
        ring_drain_irq(k->q);
    }
}

CHECK(flags_one_is_quiet, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_IRQ, .title = "VIRTQ_AVAIL_F_NO_INTERRUPT")
{
    struct blk *k = given_blk(t, 0, 0);

    virtq_raw_avail_flags_set(&k->q->raw, VIRTQ_AVAIL_F_NO_INTERRUPT);
    one_read(k);
    expect_quiet(k->q, SHOULD, "the driver asked for none");
    virtq_raw_avail_flags_set(&k->q->raw, 0);
    one_read(k);
    expect_notified(k->q, MUST, "the driver asked for interrupts again");
}

CHECK(used_event_equal_notifies, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.5",
      .needs = NEED_DEVICE | NEED_BLK | NEED_EVENT_IDX | NEED_IRQ,
      .title = "The buffer whose index is used_event interrupts")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);

    virtq_raw_used_event_set(&k->q->raw, 2);
    one_read(k);
    one_read(k);
    expect_quiet(k->q, SHOULD, "used_event was not reached");
    one_read(k);
    expect_notified(k->q, MUST, "used_event was reached");
    one_read(k);
    expect_quiet(k->q, SHOULD, "used_event was passed");
}

CHECK(event_idx_ignores_flags, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.4",
      .needs = NEED_DEVICE | NEED_BLK | NEED_EVENT_IDX | NEED_IRQ,
      .title = "With EVENT_IDX the lower bit of flags has no meaning")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);

    virtq_raw_avail_flags_set(&k->q->raw, VIRTQ_AVAIL_F_NO_INTERRUPT);
    virtq_raw_used_event_set(&k->q->raw, 0);
    one_read(k);
    expect_notified(k->q, MUST, "used_event was reached, flags is 1");
}

CHECK(used_event_far_away_is_quiet, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.6",
      .needs = NEED_DEVICE | NEED_BLK | NEED_EVENT_IDX | NEED_IRQ,
      .title = "No interrupt while used_event is ahead")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);

    virtq_raw_used_event_set(&k->q->raw, 0x7000);
    for (unsigned i = 0; i < 16; i++)
        one_read(k);
    expect_quiet(k->q, SHOULD, "used_event is far ahead");
}

CHECK(used_flags_are_legal, .judges = DEVICE,
      .proves = "split.available-buffer-notification-suppression.device.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "used->flags is 0 or 1")
{
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned i = 0; i < 8; i++) {
        uint16_t flags = virtq_raw_used_flags_get(&k->q->raw);

        expect(t, MUST, flags <= 1, "used->flags is 0x%x", flags);
        one_read(k);
    }
}

CHECK(used_flags_are_zero_with_event_idx, .judges = DEVICE,
      .proves = "split.available-buffer-notification-suppression.device.3",
      .needs = NEED_DEVICE | NEED_BLK | NEED_EVENT_IDX)
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);

    for (unsigned i = 0; i < 8; i++) {
        expect_eq(t, MUST, virtq_raw_used_flags_get(&k->q->raw), 0, "used->flags");
        one_read(k);
    }
}

/* Reads with the doorbell only where the device asks for it: nothing may get stuck. */
static void reads_by_invitation(struct check_ctx *t, uint64_t features)
{
    struct blk *k = given_blk(t, features, 0);
    bool event_idx = (k->d->v->features & VIRTIO_F(VIRTIO_F_EVENT_IDX)) != 0;
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct ring *q = k->q;
    unsigned doorbells = 0;

    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < 500; i++) {
        struct piece p[3] = {piece_of(k->header, false), piece_of(b, true),
                             piece_of(k->status, true)};
        uint16_t old = q->avail, head = ring_chain(q, 0, p, 3);
        bool wanted;

        ring_offer(q, head);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (event_idx)
            wanted = virtq_need_event(virtq_raw_avail_event_get(&q->raw), q->avail, old);
        else
            wanted = !(virtq_raw_used_flags_get(&q->raw) & VIRTQ_USED_F_NO_NOTIFY);
        if (wanted) {
            ring_kick(q);
            doorbells++;
        }
        expect_used(q, head);
    }
    expect(t, MUST, k->status->va[0] == VIRTIO_BLK_S_OK, "the last read has status %u",
           k->status->va[0]);
    note(t, "doorbells", "%u for 500 buffers", doorbells);
    buffer_release(b);
}

CHECK(avail_event_never_misses, .judges = DEVICE, .proves = "xen.split.avail-event.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_EVENT_IDX, .timeout_ms = 30000,
      .title = "A driver that rings only when avail_event asks is always served")
{
    reads_by_invitation(t, VIRTIO_F(VIRTIO_F_EVENT_IDX));
}

CHECK(no_notify_flag_never_misses, .judges = DEVICE, .proves = "xen.split.no-notify.1",
      .needs = NEED_DEVICE | NEED_BLK, .timeout_ms = 30000,
      .title = "A driver that rings only while used->flags is 0 is always served")
{
    reads_by_invitation(t, 0);
}

/* ---- indirect ---- */

CHECK(indirect_tables_of_every_length, .judges = DEVICE, .proves = "xen.split.indirect.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_INDIRECT, .timeout_ms = 60000,
      .title = "Requests whose descriptors are all in an indirect table")
{
    struct blk *k =
        given_blk(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC) | VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    unsigned max = pieces_max(k, k->q->size);
    struct piece p[PIECES_MAX];
    struct buffer *whole = given_buffer(k->d, DATA_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct buffer *b = given_buffer(k->d, DATA_BYTES, 0x40, FE_DMA_FROM_DEVICE);

    p[0] = piece_of(whole, true);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a direct read");
    for (unsigned n = 1; n <= max; n = n < 16 ? n + 1 : n * 3 / 2) {
        struct blk_reply reply;

        memset(b->va, 0x33, b->bytes);
        cut(b, n, true, p);
        reply = blk_request_on(k, k->q, true, VIRTIO_BLK_T_IN, 0, p, n);
        expect(t, MUST, reply.status == VIRTIO_BLK_S_OK && memcmp(b->va, whole->va, b->bytes) == 0,
               "an indirect read into %u pieces has status %u or gives other data", n,
               reply.status);
    }
    buffer_release(whole);
    buffer_release(b);
}

CHECK(indirect_write_flag_is_ignored, .judges = DEVICE,
      .proves = "split.indirect-descriptors.device.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_INDIRECT,
      .title = "The write-only flag of the descriptor that refers to a table")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct buffer *table = given_buffer(k->d, 64, 0x800, FE_DMA_TO_DEVICE);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct virtq_raw_desc desc;
    struct piece p[3];
    uint16_t head;

    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    p[0] = piece_of(k->header, false);
    p[1] = piece_of(b, true);
    p[2] = piece_of(k->status, true);
    head = ring_chain_indirect(k->q, 0, table, p, 3);
    desc = virtq_raw_desc_get(&k->q->raw, head);
    desc.flags |= VIRTQ_DESC_F_WRITE;
    virtq_raw_desc_set(&k->q->raw, head, desc);
    ring_offer(k->q, head);
    ring_kick(k->q);
    expect_used(k->q, head);
    expect_eq(t, MUST, blk_finish(k), VIRTIO_BLK_S_OK, "the status of a read");
}

CHECK(direct_then_indirect, .judges = DEVICE, .proves = "split.indirect-descriptors.device.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_INDIRECT,
      .title = "Normal descriptors followed by one that refers to a table")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct buffer *table = given_buffer(k->d, 64, 0, FE_DMA_TO_DEVICE);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct ring *q = k->q;
    struct piece p[2];

    if (q->size < 4)
        skip_check(t, "the queue has only %u entries", q->size);
    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    p[0] = piece_of(b, true);
    p[1] = piece_of(k->status, true);
    ring_chain_indirect(q, 1, table, p, 2);
    virtq_raw_desc_set(
        &q->raw, 0,
        (struct virtq_raw_desc){k->header->addr.raw, k->header->bytes, VIRTQ_DESC_F_NEXT, 1});
    ring_offer(q, 0);
    ring_kick(q);
    expect_used(q, 0);
    expect_eq(t, MUST, blk_finish(k), VIRTIO_BLK_S_OK, "the status of a read");
}

CHECK(indirect_table_as_long_as_the_queue, .judges = DEVICE, .proves = "xen.split.indirect.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_INDIRECT,
      .title = "Each ring entry may refer to a table of its own: queue-size requests in flight")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 16);
    struct ring *q = k->q;
    struct buffer *tables = given_buffer(k->d, 16 * 64, 0, FE_DMA_TO_DEVICE);
    struct buffer *b = given_buffer(k->d, 16 * SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct buffer *statuses = given_buffer(k->d, 16, 0, FE_DMA_FROM_DEVICE);
    bool seen[16] = {false};
    struct virtq_raw_used u;

    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    memset(statuses->va, 0xee, statuses->bytes);
    for (unsigned i = 0; i < q->size && i < 16; i++) {
        const struct virtq_raw_desc entries[3] = {
            {k->header->addr.raw, k->header->bytes, VIRTQ_DESC_F_NEXT, 1},
            {b->addr.raw + (uint64_t)i * SECTOR, SECTOR, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_WRITE, 2},
            {statuses->addr.raw + i, 1, VIRTQ_DESC_F_WRITE, 0},
        };

        for (unsigned e = 0; e < 3; e++)
            virtq_raw_table_set(tables->va + (size_t)i * 64, e, entries[e]);
        virtq_raw_desc_set(
            &q->raw, i,
            (struct virtq_raw_desc){tables->addr.raw + i * 64ull, 48, VIRTQ_DESC_F_INDIRECT, 0});
        ring_offer(q, (uint16_t)i);
    }
    ring_kick(q);
    for (unsigned i = 0; i < q->size && i < 16; i++) {
        bool came = ring_used(q, &u, LIMIT_REPLY_NS);

        expect(t, MUST, came, "%u of %u requests were used", i, q->size);
        if (!came)
            stop_check(t);
        expect(t, MUST, u.id < 16 && !seen[u.id], "used id %u: no head, or used before", u.id);
        if (u.id < 16)
            seen[u.id] = true;
    }
    expect(t, MUST, q->size < 16 || buffer_is(statuses, VIRTIO_BLK_S_OK),
           "not every read has status 0");
    buffer_release(tables);
    buffer_release(b);
    buffer_release(statuses);
}
