/* SPDX-License-Identifier: MIT */
#include "conformance/shapes.h"

#include <string.h>

#include "util/bits.h"

/* More than Xen takes mappings of one reference by a PV dom0. */
#define SMALL_PIECES 100u
#define SMALL_BYTES  32u

/* Write (where possible) and read `sectors` through buffers at `offset` in their pages. */
static void transfer(struct blk *k, uint32_t offset, uint32_t sectors, uint32_t seed)
{
    struct check_ctx *t = k->d->t;
    bool writable = !(k->d->offered & VIRTIO_F(VIRTIO_BLK_F_RO));
    struct buffer *out = given_buffer(k->d, sectors * SECTOR, offset, FE_DMA_TO_DEVICE);
    struct buffer *in = given_buffer(k->d, sectors * SECTOR, offset, FE_DMA_FROM_DEVICE);
    struct piece p;
    uint8_t status;

    if (writable) {
        buffer_fill(out, seed);
        p = piece_of(out, false);
        status = blk_request(k, VIRTIO_BLK_T_OUT, 0, &p, 1).status;
        expect(t, MUST, status == VIRTIO_BLK_S_OK,
               "a write of %u sectors from offset 0x%x has status %u", sectors, offset, status);
        expect(t, MUST, buffer_matches(out, seed), "the buffer of a write was changed");
        expect_canaries(t, out, "data of a write");
    }
    memset(in->va, 0x5c, in->bytes);
    p = piece_of(in, true);
    status = blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status;
    expect(t, MUST, status == VIRTIO_BLK_S_OK, "a read of %u sectors to offset 0x%x has status %u",
           sectors, offset, status);
    if (writable)
        expect(t, MUST, buffer_matches(in, seed),
               "a read of %u sectors to offset 0x%x gives other data than was written", sectors,
               offset);
    expect_canaries(t, in, "data of a read");
    buffer_release(out);
    buffer_release(in);
}

void shapes_offsets(struct check_ctx *t)
{
    static const uint32_t offsets[] = {0, 1, 3, 511, 512, 2047, 3583, 3584, 3585, 4088, 4095};
    static const uint32_t sectors[] = {1, 2, 8, 9};
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(offsets); i++)
        for (unsigned j = 0; j < ARRAY_LENGTH(sectors); j++)
            transfer(k, offsets[i], sectors[j], 100 * i + j + 1);
}

void shapes_pages(struct check_ctx *t)
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX), 0);

    for (unsigned pages = 1; pages <= 17; pages++) {
        uint32_t sectors = pages * (XEN_PAGE_BYTES / SECTOR);

        if (sectors > k->capacity || sectors * SECTOR > k->size_max)
            break;
        transfer(k, 0, sectors, 1000 + pages);
        transfer(k, 0x804, sectors, 2000 + pages);
    }
}

void shapes_shared_page(struct check_ctx *t)
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    struct buffer *b = given_buffer(k->d, 4 * SECTOR, 0x700, FE_DMA_BOTH);
    struct buffer *plain = given_buffer(k->d, 2 * SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct virtio_blk_req_hdr h = {.type = le32_make(VIRTIO_BLK_T_IN)};
    struct piece p[5];
    uint16_t head;

    if (k->q->size < 8)
        skip_check(t, "the queue has only %u entries", k->q->size);
    p[0] = piece_of(plain, true);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a read");

    /* Header, data and status, all in one page, readable and writable side by side. */
    memset(b->va, 0x11, b->bytes);
    memcpy(b->va + 8, &h, sizeof(h));
    b->va[40] = 0xee;
    p[0] = piece_part(b, 8, 10, false);
    p[1] = piece_part(b, 18, 6, false);
    p[2] = piece_part(b, 100, SECTOR + 200, true);
    p[3] = piece_part(b, 1200, SECTOR - 200, true);
    p[4] = piece_part(b, 40, 1, true);
    if ((k->d->v->features & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX)) && k->seg_max < 2)
        skip_check(t, "seg_max is %u", k->seg_max);
    head = ring_chain(k->q, 0, p, 5);
    ring_offer(k->q, head);
    ring_kick(k->q);
    expect_used(k->q, head);
    expect_eq(t, MUST, b->va[40], VIRTIO_BLK_S_OK, "the status of a read");
    expect(t, MUST,
           memcmp(b->va + 100, plain->va, SECTOR + 200) == 0 &&
               memcmp(b->va + 1200, plain->va + SECTOR + 200, SECTOR - 200) == 0,
           "a read into two pieces of a page gives other data");
    for (uint32_t i = 0; i < b->bytes; i++) {
        bool inside =
            (i >= 8 && i < 24) || i == 40 || (i >= 100 && i < 812) || (i >= 1200 && i < 1512);

        if (!inside && b->va[i] != 0x11) {
            expect(t, MUST, inside, "byte %u between the pieces was written", i);
            break;
        }
    }
    expect_canaries(t, b, "the shared page");
    buffer_release(b);
    buffer_release(plain);
}

void shapes_small_pieces(struct check_ctx *t)
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    bool limited = k->d->v->features & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX);
    uint32_t room = k->q->size - 2;
    uint32_t n = limited && k->seg_max < room ? k->seg_max : room;
    struct buffer *b = given_buffer(k->d, XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct buffer *plain = given_buffer(k->d, XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct piece p[SMALL_PIECES];

    if (n < SMALL_PIECES)
        skip_check(t, "a request takes %u pieces, %u are needed", n, SMALL_PIECES);
    p[0] = piece_of(plain, true);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a read");
    memset(b->va, 0x5c, b->bytes);
    for (unsigned i = 0; i < SMALL_PIECES; i++)
        p[i] =
            piece_part(b, i * SMALL_BYTES,
                       i < SMALL_PIECES - 1 ? SMALL_BYTES : XEN_PAGE_BYTES - i * SMALL_BYTES, true);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, p, SMALL_PIECES).status, VIRTIO_BLK_S_OK,
              "the status of a read into the pieces of a page");
    expect(t, MUST, memcmp(b->va, plain->va, b->bytes) == 0,
           "a read into %u pieces of a page gives other data", SMALL_PIECES);
    expect_canaries(t, b, "the page of many pieces");
    buffer_release(b);
    buffer_release(plain);
}

void shapes_indirect(struct check_ctx *t)
{
    static const uint32_t offsets[] = {0, 16, 0x800, 0xfd0, 0xfe0, 0xff0};
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct piece p[3];

    for (unsigned i = 0; i < ARRAY_LENGTH(offsets); i++) {
        struct buffer *table = given_buffer(k->d, 48, offsets[i], FE_DMA_TO_DEVICE);
        uint16_t head;

        blk_prepare(k, VIRTIO_BLK_T_IN, 0);
        p[0] = piece_of(k->header, false);
        p[1] = piece_of(b, true);
        p[2] = piece_of(k->status, true);
        head = ring_chain_indirect(k->q, i, table, p, 3);
        ring_offer(k->q, head);
        ring_kick(k->q);
        expect_used(k->q, head);
        expect(t, MUST, k->status->va[0] == VIRTIO_BLK_S_OK,
               "with its table at offset 0x%x a read has status %u", offsets[i], k->status->va[0]);
        (void)blk_finish(k);
        expect_canaries(t, table, "indirect table");
        buffer_release(table);
    }
    buffer_release(b);
}
