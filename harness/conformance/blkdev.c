/* SPDX-License-Identifier: MIT */
#include "conformance/blkdev.h"

#include <stdlib.h>
#include <string.h>

/* Never a status that a device gives (5.2.6): whoever finds it knows that nothing was written. */
#define STATUS_UNWRITTEN 0xee
/* Odd places in their pages, so that canaries are on both sides. */
#define HEADER_OFFSET 0x130
#define STATUS_OFFSET 0x7f5
/* Descriptors of one request: more would need more than a page of them. */
#define REQUEST_PIECES_MAX 1026

static void blk_start(struct blk *k, unsigned size)
{
    struct device *d = k->d;

    k->capacity = device_get(d, offsetof(struct virtio_blk_config, capacity), 4) |
                  device_get(d, offsetof(struct virtio_blk_config, capacity) + 4, 4) << 32;
    k->seg_max = (d->v->features & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX))
                     ? (uint32_t)device_get(d, offsetof(struct virtio_blk_config, seg_max), 4)
                     : 1;
    k->size_max = (d->v->features & VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX))
                      ? (uint32_t)device_get(d, offsetof(struct virtio_blk_config, size_max), 4)
                      : UINT32_MAX;
    k->q = given_queue(d, 0, size);
    device_driver_ok(d);
}

struct blk *given_blk(struct check_ctx *t, uint64_t features, unsigned size)
{
    return given_blk_of(given_device(t), features, size);
}

struct blk *given_blk_of(struct device *d, uint64_t features, unsigned size)
{
    struct check_ctx *t = d->t;
    struct blk *k = calloc(1, sizeof(*k));

    if (!k)
        error_out(t, "no memory");
    check_defer(t, free, k);
    k->d = d;
    device_negotiate(d, features);
    blk_start(k, size);
    if (k->capacity < 64) {
        error_out(t, "the disk has %llu sectors; checks need at least 64",
                  (unsigned long long)k->capacity);
    }
    k->header =
        given_buffer(k->d, sizeof(struct virtio_blk_req_hdr), HEADER_OFFSET, FE_DMA_TO_DEVICE);
    k->status = given_buffer(k->d, 1, STATUS_OFFSET, FE_DMA_FROM_DEVICE);
    buffer_release(k->header);
    buffer_release(k->status);
    return k;
}

void blk_restart(struct blk *k, uint64_t features, unsigned size)
{
    device_negotiate(k->d, features);
    blk_start(k, size);
}

void blk_prepare(struct blk *k, uint32_t type, uint64_t sector)
{
    struct virtio_blk_req_hdr h = {
        .type = le32_make(type),
        .sector = le64_make(sector),
    };

    memcpy(k->header->va, &h, sizeof(h));
    k->status->va[0] = STATUS_UNWRITTEN;
    if (!k->header->mapped)
        buffer_map(k->header, FE_DMA_TO_DEVICE);
    if (!k->status->mapped)
        buffer_map(k->status, FE_DMA_FROM_DEVICE);
}

uint8_t blk_finish(struct blk *k)
{
    struct check_ctx *t = k->d->t;
    uint8_t status = k->status->va[0];

    expect(t, MUST, status != STATUS_UNWRITTEN, "the request was used without a status");
    expect_canaries(t, k->status, "status byte");
    expect_canaries(t, k->header, "header");
    buffer_release(k->header);
    buffer_release(k->status);
    return status;
}

struct blk_reply blk_request_on(struct blk *k, struct ring *q, bool indirect, uint32_t type,
                                uint64_t sector, const struct piece *data, unsigned n)
{
    struct check_ctx *t = k->d->t;
    struct virtio_blk_req_hdr sent;
    struct buffer *table = NULL;
    struct piece *p;
    struct blk_reply reply;
    uint16_t head;

    if (n + 2 > REQUEST_PIECES_MAX)
        error_out(t, "a request of %u pieces", n);
    p = malloc((n + 2) * sizeof(*p));
    if (!p)
        error_out(t, "no memory");
    blk_prepare(k, type, sector);
    memcpy(&sent, k->header->va, sizeof(sent));
    p[0] = piece_of(k->header, false);
    if (n)
        memcpy(&p[1], data, n * sizeof(*p));
    p[n + 1] = piece_of(k->status, true);
    if (indirect) {
        table =
            given_buffer(k->d, (n + 2) * (uint32_t)sizeof(struct virtq_desc), 0, FE_DMA_TO_DEVICE);
        head = ring_chain_indirect(q, 0, table, p, n + 2);
    } else {
        head = ring_chain(q, 0, p, n + 2);
    }
    free(p);
    ring_offer(q, head);
    ring_kick(q);
    reply.used_len = expect_used(q, head);
    expect(t, MUST, memcmp(&sent, k->header->va, sizeof(sent)) == 0, "the header was written to");
    if (table) {
        expect_canaries(t, table, "indirect table");
        buffer_release(table);
    }
    reply.status = blk_finish(k);
    return reply;
}

struct blk_reply blk_request(struct blk *k, uint32_t type, uint64_t sector,
                             const struct piece *data, unsigned n)
{
    return blk_request_on(k, k->q, false, type, sector, data, n);
}

void blk_write_pattern(struct blk *k, uint64_t sector, uint32_t sectors, uint32_t seed)
{
    struct buffer *b = given_buffer(k->d, sectors * SECTOR, 0, FE_DMA_TO_DEVICE);
    struct piece p = piece_of(b, false);

    buffer_fill(b, seed);
    expect_eq(k->d->t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, sector, &p, 1).status,
              VIRTIO_BLK_S_OK, "the status of a write");
    buffer_release(b);
}

static struct buffer *blk_read_back(struct blk *k, uint64_t sector, uint32_t sectors)
{
    struct buffer *b = given_buffer(k->d, sectors * SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(b, true);

    memset(b->va, 0x5c, b->bytes);
    expect_eq(k->d->t, MUST, blk_request(k, VIRTIO_BLK_T_IN, sector, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a read");
    buffer_release(b);
    return b;
}

void expect_pattern(struct blk *k, uint64_t sector, uint32_t sectors, uint32_t seed,
                    const char *what)
{
    struct buffer *b = blk_read_back(k, sector, sectors);

    expect(k->d->t, MUST, buffer_matches(b, seed), "%s", what);
}

void expect_zeroes(struct blk *k, uint64_t sector, uint32_t sectors, const char *what)
{
    struct buffer *b = blk_read_back(k, sector, sectors);

    expect(k->d->t, MUST, buffer_is(b, 0), "%s", what);
}

void expect_recovers(struct blk *k, const char *after)
{
    struct check_ctx *t = k->d->t;
    struct blk_reply reply;
    struct buffer *b;
    struct piece p;

    blk_restart(k, 0, 0);
    /* What the provocation left in the driver's hands is free again after the reset. */
    buffer_release(k->header);
    buffer_release(k->status);
    b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    p = piece_of(b, true);
    reply = blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1);
    expect(t, MUST, reply.status == VIRTIO_BLK_S_OK, "a read after %s and a reset has status %u",
           after, reply.status);
    buffer_release(b);
}
