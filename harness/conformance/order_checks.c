/* SPDX-License-Identifier: MIT */
/*
 * VIRTIO_F_IN_ORDER (VIRTIO 2.7.9, 2.8.8, 6.2), on rings of either format: buffers are used in the
 * order in which they were made available, and one used entry may stand for several of them.
 */
#define CHECK_FAMILY "order"

#include <stdlib.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/service.h"
#include "util/bits.h"

#define ORDER_MAX 16u

/* Buffers in flight: their heads and lengths in descriptors, in the order in which they were made
 * available. The ring was empty before them. */
struct line {
    struct ring *q;
    uint16_t head[ORDER_MAX], descs[ORDER_MAX];
    unsigned count, used;
};

static void line_offer(struct line *l, uint16_t head, unsigned descs)
{
    l->head[l->count] = head;
    l->descs[l->count++] = (uint16_t)descs;
    ring_offer(l->q, head);
}

/*
 * The next used entry: how many buffers it stands for, the last with the id that it has to have.
 * 0: none came in time. Ends the check when the id is of none that is in flight.
 */
static unsigned line_used(struct line *l)
{
    struct check_ctx *t = l->q->d->t;
    struct virtq_raw_used u;
    unsigned last = l->used, published = l->count;
    uint16_t before = l->q->used;

    if (!ring_used(l->q, &u, LIMIT_REPLY_NS))
        return 0;
    if (!ring_is_packed(l->q))
        published = l->used + (uint16_t)(virtq_raw_used_idx_get(&l->q->raw) - before);
    while (last < l->count && l->head[last] != u.id)
        last++;
    expect(t, MUST, last < published,
           "buffer %u is next, and id %u was used: of none that the entry can stand for", l->used,
           u.id);
    if (last >= published)
        stop_check(t);
    /* The places of the others were skipped. */
    for (unsigned i = l->used; i < last; i++)
        l->q->used = ring_is_packed(l->q)
                         ? (uint16_t)((l->q->used + l->descs[i]) % (2 * l->q->size))
                         : (uint16_t)(l->q->used + 1);
    last -= l->used;
    l->used += last + 1;
    return last + 1;
}

CHECK(slow_requests_hold_back_quick_ones, .judges = DEVICE,
      .proves = "basic.reserved-feature-bits.device.5",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_FLUSH | NEED_IN_ORDER,
      .title = "Reads of the serial number behind a flush: the flush is used first")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_FLUSH) | VIRTIO_F(VIRTIO_F_IN_ORDER), 0);
    struct buffer *header =
        given_buffer(k->d, 2 * sizeof(struct virtio_blk_req_hdr), 0x40, FE_DMA_TO_DEVICE);
    struct buffer *reply = given_buffer(k->d, 2 + VIRTIO_BLK_ID_BYTES, 0x80, FE_DMA_FROM_DEVICE);
    struct virtio_blk_req_hdr h[2] = {{.type = le32_make(VIRTIO_BLK_T_FLUSH)},
                                      {.type = le32_make(VIRTIO_BLK_T_GET_ID)}};

    if (k->q->size < 4)
        skip_check(t, "the queue has only %u entries", k->q->size);
    memcpy(header->va, h, sizeof(h));
    for (unsigned round = 0; round < 8; round++) {
        struct piece flush[2] = {piece_part(header, 0, sizeof(h[0]), false),
                                 piece_part(reply, 0, 1, true)};
        struct piece id[2] = {piece_part(header, sizeof(h[0]), sizeof(h[1]), false),
                              piece_part(reply, 1, VIRTIO_BLK_ID_BYTES + 1, true)};
        struct line l = {.q = k->q};

        /* Something for the flush to do. */
        blk_write_pattern(k, 8 * round, 8, round);
        memset(reply->va, 0xee, reply->bytes);
        line_offer(&l, ring_chain(k->q, 0, flush, 2), 2);
        line_offer(&l, ring_chain(k->q, 2, id, 2), 2);
        ring_kick(k->q);
        while (l.used < l.count) {
            if (line_used(&l) == 0) {
                expect(t, MUST, l.used == l.count, "%u of %u buffers were used", l.used, l.count);
                stop_check(t);
            }
            expect(t, MUST, reply->va[0] == VIRTIO_BLK_S_OK,
                   "the flush has status 0x%x when it, or what is behind it, was used",
                   reply->va[0]);
        }
        expect(t, MUST, reply->va[1 + VIRTIO_BLK_ID_BYTES] == VIRTIO_BLK_S_OK,
               "the serial number has status 0x%x", reply->va[1 + VIRTIO_BLK_ID_BYTES]);
    }
    buffer_release(header);
    buffer_release(reply);
}

CHECK(batches_end_with_their_last_buffer, .judges = DEVICE, .proves = "xen.order.batch.1",
      .needs = NEED_DEVICE | NEED_SERVICE | NEED_IN_ORDER,
      .title = "An entry that stands for several buffers has the id of the last of them")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_IN_ORDER), 0);
    unsigned n = s->q->size / 3 < ORDER_MAX ? s->q->size / 3 : ORDER_MAX, entries = 0;
    struct request *r[ORDER_MAX];

    if (n < 2)
        skip_check(t, "the queue has only %u entries", s->q->size);
    for (unsigned i = 0; i < n; i++)
        r[i] = given_small_request(s);
    for (unsigned round = 0; round < 20; round++) {
        struct line l = {.q = s->q};

        for (unsigned i = 0; i < n; i++) {
            struct piece p[REQUEST_PIECES_MAX];
            unsigned pieces = request_pieces(r[i], p, 1 + i % 3);

            request_refresh(r[i]);
            line_offer(&l, ring_chain(s->q, 3 * i, p, pieces), pieces);
        }
        ring_kick(s->q);
        while (l.used < n) {
            unsigned from = l.used;

            if (line_used(&l) == 0) {
                expect(t, MUST, l.used == n, "%u of %u buffers were used", l.used, n);
                stop_check(t);
            }
            entries++;
            /* What shares an entry was used whole (2.7.9, 2.8.8). */
            for (unsigned i = from; i < l.used && i < n; i++)
                expect(t, MUST, request_is_answered(r[i], r[i]->part[r[i]->parts - 1].b->bytes),
                       "buffer %u was used and not done", i);
        }
    }
    note(t, "entries", "%u for %u buffers", entries, 20 * n);
    for (unsigned i = 0; i < n; i++)
        request_release(r[i]);
}
