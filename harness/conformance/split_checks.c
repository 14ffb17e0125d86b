/* SPDX-License-Identifier: MIT */
/* VIRTIO 2.7: split virtqueues, driven by a driver that keeps the rules. What 2.7 says of message
 * framing, and what holds for any queue, is checked on packed ones, too. */
#define CHECK_FAMILY "split"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/service.h"
#include "util/bits.h"

#define DATA_BYTES 8192u
#define PIECES_MAX 510u
#define BATCH_MAX  85u

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
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE,
      .title = "Chains that jump through the table")
{
    struct service *s = given_service(t, 0, 0);
    struct request *r = given_request(s);
    struct ring *q = s->q;

    if (q->size < 8)
        skip_check(t, "the queue has only %u entries", q->size);
    for (unsigned round = 0; round < 64; round++) {
        /* An odd factor permutes a table whose size is a power of two. */
        uint16_t at[3] = {(uint16_t)((round * 5 + 3) % q->size)};
        struct piece p[REQUEST_PIECES_MAX];
        unsigned n;

        at[1] = (uint16_t)((at[0] + q->size / 2 + 1) % q->size);
        at[2] = (uint16_t)((at[0] + q->size - 1) % q->size);
        request_refresh(r);
        n = request_pieces(r, p, 3);
        if (n != 3)
            error_out(t, "a request of %u pieces", n);
        for (unsigned i = 0; i < n; i++)
            virtq_raw_desc_set(
                &q->raw, at[i],
                (struct virtq_raw_desc){p[i].addr.raw, p[i].len,
                                        (uint16_t)((p[i].writable ? VIRTQ_DESC_F_WRITE : 0) |
                                                   (i + 1 < n ? VIRTQ_DESC_F_NEXT : 0)),
                                        at[(i + 1) % n]});
        ring_offer(q, at[0]);
        ring_kick(q);
        expect_answered(r, expect_used(q, at[0]));
    }
    request_release(r);
}

CHECK(small_queues_work, .judges = DEVICE, .proves = "xen.split.size.1",
      .needs = NEED_DEVICE | NEED_SERVICE, .title = "Every smaller size that the driver may choose")
{
    struct service *s = given_service(t, 0, 0);
    unsigned max = s->q->size;

    for (unsigned size = 4; size <= max; size *= 2) {
        struct request *r;

        service_restart(s, 0, size);
        r = given_request(s);
        /* The heads go round, so that an entry read from or written to a wrong place shows. */
        for (unsigned i = 0; i < 3 * size && i < 100; i++) {
            struct piece p[REQUEST_PIECES_MAX];
            uint16_t head;

            request_refresh(r);
            head = ring_chain(s->q, i, p, request_pieces(r, p, 3));
            ring_offer(s->q, head);
            ring_kick(s->q);
            expect_answered(r, expect_used(s->q, head));
        }
        request_release(r);
    }
}

/* ---- the used ring ---- */

CHECK(used_length_covers_what_was_written, .judges = DEVICE,
      .proves = "split.the-virtqueue-used-ring.device.1 split.the-virtqueue-used-ring.device.2",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_BLK,
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
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_BLK | NEED_WRITABLE,
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

/* Up to `max` requests of at most three pieces, each with descriptors of its own from 3 * i on. */
static unsigned given_requests(struct service *s, struct request **r, unsigned max, bool small)
{
    unsigned n = s->q->size / 3 < max ? s->q->size / 3 : max;

    if (n == 0)
        skip_check(s->d->t, "the queue has only %u entries", s->q->size);
    for (unsigned i = 0; i < n; i++)
        r[i] = small ? given_small_request(s) : given_request(s);
    return n;
}

/* Offer them all behind one doorbell; each has to be used once and be answered. `done` requests
 * were there before. */
static void serve_batch(struct service *s, struct request **r, unsigned n, unsigned done)
{
    struct check_ctx *t = s->d->t;
    bool seen[BATCH_MAX] = {false};
    struct virtq_raw_used u;

    for (unsigned i = 0; i < n; i++) {
        struct piece p[REQUEST_PIECES_MAX];

        request_refresh(r[i]);
        ring_offer(s->q, ring_chain(s->q, 3 * i, p, request_pieces(r[i], p, 1)));
    }
    ring_kick(s->q);
    for (unsigned i = 0; i < n; i++) {
        bool came = ring_used(s->q, &u, LIMIT_REPLY_NS);
        bool ours = came && u.id % 3 == 0 && u.id / 3 < n && !seen[u.id / 3];

        if (!ours) {
            expect(t, MUST, came, "after %u buffers nothing is used any more", done + i);
            expect(t, MUST, !came, "after %u buffers the used id is %u: no head, or used before",
                   done + i, u.id);
            stop_check(t);
        }
        seen[u.id / 3] = true;
        if (!request_is_answered(r[u.id / 3], u.len)) {
            expect_answered(r[u.id / 3], u.len);
            stop_check(t);
        }
    }
}

CHECK(batch_is_used_exactly_once, .judges = DEVICE, .proves = "xen.split.batch.1",
      .needs = NEED_DEVICE | NEED_SERVICE,
      .title = "Many buffers behind one doorbell, each used once")
{
    struct service *s = given_service(t, 0, 0);
    struct request *r[BATCH_MAX];
    unsigned n = given_requests(s, r, 64, false);

    serve_batch(s, r, n, 0);
    expect_unused(s->q, MUST, "more was used than was made available");
    for (unsigned i = 0; i < n; i++)
        request_release(r[i]);
}

CHECK(indices_wrap, .judges = DEVICE, .proves = "xen.split.wrap.1",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE, .timeout_ms = 60000,
      .title = "More than 65536 buffers through one queue")
{
    struct service *s = given_service(t, 0, 0);
    struct request *r[BATCH_MAX];
    unsigned n = given_requests(s, r, BATCH_MAX, true), done;

    for (done = 0; done < 66000; done += n)
        serve_batch(s, r, n, done);
    expect_unused(s->q, MUST, "more was used than was made available");
    note(t, "buffers", "%u", done);
    for (unsigned i = 0; i < n; i++)
        request_release(r[i]);
}

/* ---- what the device may not write ---- */

CHECK(device_writes_only_what_is_its_own, .judges = DEVICE,
      .proves = "split.the-virtqueue-descriptor-table.device.1 "
                "split.the-virtqueue-descriptor-table.device.4",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_BLK | NEED_WRITABLE,
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

static void one_request(struct service *s)
{
    expect_served(s, s->q, false);
}

CHECK(flags_zero_notifies, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.3 "
                "split.used-buffer-notification-suppression.device.1",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_IRQ,
      .title = "Without EVENT_IDX each used buffer interrupts, whatever used_event says")
{
    struct service *s = given_service(t, 0, 0);
    bool came = true;

    for (unsigned i = 0; i < 8 && came; i++) {
        virtq_raw_used_event_set(&s->q->raw, (uint16_t)(i * 0x2001));
        one_request(s);
        came = ring_interrupted(s->q, LIMIT_REPLY_NS);
        expect(t, MUST, came, "no interrupt came: flags is 0 and a buffer was used");
        ring_drain_irq(s->q);
    }
}

CHECK(flags_one_is_quiet, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.2",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_IRQ,
      .title = "VIRTQ_AVAIL_F_NO_INTERRUPT")
{
    struct service *s = given_service(t, 0, 0);

    virtq_raw_avail_flags_set(&s->q->raw, VIRTQ_AVAIL_F_NO_INTERRUPT);
    one_request(s);
    expect_quiet(s->q, SHOULD, "the driver asked for none");
    virtq_raw_avail_flags_set(&s->q->raw, 0);
    one_request(s);
    expect_notified(s->q, MUST, "the driver asked for interrupts again");
}

CHECK(used_event_equal_notifies, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.5",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_EVENT_IDX | NEED_IRQ,
      .title = "The buffer whose index is used_event interrupts")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);

    virtq_raw_used_event_set(&s->q->raw, 2);
    one_request(s);
    one_request(s);
    expect_quiet(s->q, SHOULD, "used_event was not reached");
    one_request(s);
    expect_notified(s->q, MUST, "used_event was reached");
    one_request(s);
    expect_quiet(s->q, SHOULD, "used_event was passed");
}

CHECK(event_idx_ignores_flags, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.4",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_EVENT_IDX | NEED_IRQ,
      .title = "With EVENT_IDX the lower bit of flags has no meaning")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);

    virtq_raw_avail_flags_set(&s->q->raw, VIRTQ_AVAIL_F_NO_INTERRUPT);
    virtq_raw_used_event_set(&s->q->raw, 0);
    one_request(s);
    expect_notified(s->q, MUST, "used_event was reached, flags is 1");
}

CHECK(used_event_far_away_is_quiet, .judges = DEVICE,
      .proves = "split.used-buffer-notification-suppression.device.6",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_EVENT_IDX | NEED_IRQ,
      .title = "No interrupt while used_event is ahead")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);

    virtq_raw_used_event_set(&s->q->raw, 0x7000);
    for (unsigned i = 0; i < 16; i++)
        one_request(s);
    expect_quiet(s->q, SHOULD, "used_event is far ahead");
}

CHECK(used_flags_are_legal, .judges = DEVICE,
      .proves = "split.available-buffer-notification-suppression.device.1",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE, .title = "used->flags is 0 or 1")
{
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < 8; i++) {
        uint16_t flags = virtq_raw_used_flags_get(&s->q->raw);

        expect(t, MUST, flags <= 1, "used->flags is 0x%x", flags);
        one_request(s);
    }
}

CHECK(used_flags_are_zero_with_event_idx, .judges = DEVICE,
      .proves = "split.available-buffer-notification-suppression.device.3",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_EVENT_IDX)
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_EVENT_IDX), 0);

    for (unsigned i = 0; i < 8; i++) {
        expect_eq(t, MUST, virtq_raw_used_flags_get(&s->q->raw), 0, "used->flags");
        one_request(s);
    }
}

/* Requests with the doorbell only where the device asks for it: nothing may get stuck. */
static void requests_by_invitation(struct check_ctx *t, uint64_t features)
{
    struct service *s = given_service(t, features, 0);
    bool event_idx = (s->d->v->features & VIRTIO_F(VIRTIO_F_EVENT_IDX)) != 0;
    struct request *r = given_request(s);
    struct ring *q = s->q;
    unsigned doorbells = 0;

    for (unsigned i = 0; i < 500; i++) {
        struct piece p[REQUEST_PIECES_MAX];
        uint16_t old = q->avail, head;
        bool wanted;

        request_refresh(r);
        head = ring_chain(q, 0, p, request_pieces(r, p, 1));
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
        expect_answered(r, expect_used(q, head));
    }
    note(t, "doorbells", "%u for 500 buffers", doorbells);
    request_release(r);
}

CHECK(avail_event_never_misses, .judges = DEVICE, .proves = "xen.split.avail-event.1",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_EVENT_IDX, .timeout_ms = 30000,
      .title = "A driver that rings only when avail_event asks is always served")
{
    requests_by_invitation(t, VIRTIO_F(VIRTIO_F_EVENT_IDX));
}

CHECK(no_notify_flag_never_misses, .judges = DEVICE, .proves = "xen.split.no-notify.1",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE, .timeout_ms = 30000,
      .title = "A driver that rings only while used->flags is 0 is always served")
{
    requests_by_invitation(t, 0);
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
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_INDIRECT,
      .title = "The write-only flag of the descriptor that refers to a table")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct buffer *table = given_buffer(s->d, 64, 0x800, FE_DMA_TO_DEVICE);
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    struct virtq_raw_desc desc;
    uint16_t head = ring_chain_indirect(s->q, 0, table, p, request_pieces(r, p, 3));

    desc = virtq_raw_desc_get(&s->q->raw, head);
    desc.flags |= VIRTQ_DESC_F_WRITE;
    virtq_raw_desc_set(&s->q->raw, head, desc);
    ring_offer(s->q, head);
    ring_kick(s->q);
    expect_answered(r, expect_used(s->q, head));
    request_release(r);
}

CHECK(direct_then_indirect, .judges = DEVICE, .proves = "split.indirect-descriptors.device.2",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_INDIRECT,
      .title = "Normal descriptors followed by one that refers to a table")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct buffer *table = given_buffer(s->d, 64, 0, FE_DMA_TO_DEVICE);
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    struct ring *q = s->q;
    unsigned n = request_pieces(r, p, 3);

    if (q->size < 4)
        skip_check(t, "the queue has only %u entries", q->size);
    ring_chain_indirect(q, 1, table, p + 1, n - 1);
    virtq_raw_desc_set(&q->raw, 0,
                       (struct virtq_raw_desc){
                           p[0].addr.raw, p[0].len,
                           (uint16_t)(VIRTQ_DESC_F_NEXT | (p[0].writable ? VIRTQ_DESC_F_WRITE : 0)),
                           1});
    ring_offer(q, 0);
    ring_kick(q);
    expect_answered(r, expect_used(q, 0));
    request_release(r);
}

CHECK(indirect_table_as_long_as_the_queue, .judges = DEVICE, .proves = "xen.split.indirect.2",
      .needs = NEED_DEVICE | NEED_SPLIT | NEED_SERVICE | NEED_INDIRECT,
      .title = "Each ring entry may refer to a table of its own: queue-size requests in flight")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 16);
    struct ring *q = s->q;
    struct request *r[16];
    bool seen[16] = {false};
    struct virtq_raw_used u;

    for (unsigned i = 0; i < q->size && i < 16; i++) {
        struct buffer *table = given_buffer(s->d, 64, i * 64, FE_DMA_TO_DEVICE);
        struct piece p[REQUEST_PIECES_MAX];

        r[i] = given_request(s);
        ring_offer(q, ring_chain_indirect(q, i, table, p, request_pieces(r[i], p, 3)));
    }
    ring_kick(q);
    for (unsigned i = 0; i < q->size && i < 16; i++) {
        bool came = ring_used(q, &u, LIMIT_REPLY_NS);

        expect(t, MUST, came, "%u of %u requests were used", i, q->size);
        if (!came)
            stop_check(t);
        expect(t, MUST, u.id < q->size && u.id < 16 && !seen[u.id],
               "used id %u: no head, or used before", u.id);
        if (u.id >= q->size || u.id >= 16)
            stop_check(t);
        seen[u.id] = true;
        expect_answered(r[u.id], u.len);
        request_release(r[u.id]);
    }
}
