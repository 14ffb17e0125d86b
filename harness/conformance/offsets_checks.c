/* SPDX-License-Identifier: MIT */
/*
 * Every place in a page at which a buffer can begin and end, and not a sample of them where all can
 * be had. What a piece of a request is made of is a page number, an offset and a length, and
 * mistakes about these show at one place only.
 */
#define CHECK_FAMILY "offsets"

#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/consoledev.h"
#include "conformance/service.h"
#include "util/bits.h"

#define DISK (NEED_DEVICE | NEED_BLK | NEED_WRITABLE)

/* ---- a disk: whole sectors, in pieces of any length ---- */

/* The next place of a buffer, mapped for its direction; what it holds is the caller's. */
static struct piece put_at(struct buffer *b, uint32_t offset, uint32_t bytes, enum fe_dma_dir dir)
{
    buffer_move(b, offset, bytes);
    buffer_map(b, dir);
    return piece_of(b, dir != FE_DMA_TO_DEVICE);
}

static void expect_moved(struct blk *k, uint32_t type, const struct piece *p, unsigned n,
                         uint32_t offset)
{
    uint8_t status = blk_request(k, type, 0, p, n).status;

    if (status == VIRTIO_BLK_S_OK)
        return;
    expect(k->d->t, MUST, status == VIRTIO_BLK_S_OK, "a request at offset 0x%x has status %u",
           offset, status);
    stop_check(k->d->t);
}

static void expect_same(struct check_ctx *t, bool same, uint32_t offset, uint32_t bytes)
{
    expect(t, MUST, same, "%u bytes at offset 0x%x are not those that were written", bytes, offset);
    if (!same)
        stop_check(t);
}

/* Write `bytes` from one place, and read them to another one. */
static void write_and_read(struct blk *k, struct buffer *out, uint32_t from, struct buffer *in,
                           uint32_t to, uint32_t bytes, uint32_t seed)
{
    struct check_ctx *t = k->d->t;
    struct piece p = put_at(out, from, bytes, FE_DMA_TO_DEVICE);

    buffer_fill(out, seed);
    expect_moved(k, VIRTIO_BLK_T_OUT, &p, 1, from);
    expect_canaries(t, out, "data of a write");
    buffer_release(out);
    p = put_at(in, to, bytes, FE_DMA_FROM_DEVICE);
    expect_moved(k, VIRTIO_BLK_T_IN, &p, 1, to);
    expect_same(t, buffer_matches(in, seed), to, bytes);
    expect_canaries(t, in, "data of a read");
    buffer_release(in);
}

CHECK(buffers_begin_at_every_byte, .judges = DEVICE, .proves = "xen.memory.offset.1", .needs = DISK,
      .timeout_ms = 120000,
      .title = "A sector from each of the 4096 offsets in a page, and to each of them")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *out = given_buffer(k->d, 2 * XEN_PAGE_BYTES, 0, FE_DMA_TO_DEVICE);
    struct buffer *in = given_buffer(k->d, 2 * XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);

    buffer_release(out);
    buffer_release(in);
    for (uint32_t offset = 0; offset < XEN_PAGE_BYTES; offset++)
        write_and_read(k, out, offset, in, XEN_PAGE_BYTES - 1 - offset, SECTOR, offset + 1);
}

CHECK(sectors_of_every_number, .judges = DEVICE, .proves = "xen.memory.offset.1", .needs = DISK,
      .timeout_ms = 60000,
      .title = "1 to 25 sectors from each multiple of 512, so that each end falls everywhere, too")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX), 0);
    struct buffer *out = given_buffer(k->d, 5 * XEN_PAGE_BYTES, 0, FE_DMA_TO_DEVICE);
    struct buffer *in = given_buffer(k->d, 5 * XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);

    buffer_release(out);
    buffer_release(in);
    for (uint32_t from = 0; from < XEN_PAGE_BYTES; from += SECTOR)
        for (uint32_t sectors = 1; sectors <= 25; sectors++)
            if (sectors <= k->capacity && sectors * SECTOR <= k->size_max)
                write_and_read(k, out, from, in, (from + 5 * SECTOR) % XEN_PAGE_BYTES,
                               sectors * SECTOR, from + sectors);
}

#define CUT_BYTES (2 * SECTOR)

CHECK(
    pieces_meet_at_every_byte, .judges = DEVICE, .proves = "xen.memory.offset.2", .needs = DISK,
    .timeout_ms = 120000,
    .title = "Data cut in two at each of its bytes: the first piece ends with its page, or over it")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    struct buffer *a = given_buffer(k->d, 2 * XEN_PAGE_BYTES, 0, FE_DMA_BOTH);
    struct buffer *b = given_buffer(k->d, 2 * XEN_PAGE_BYTES, 0, FE_DMA_BOTH);
    struct buffer *plain = given_buffer(k->d, CUT_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct piece p[2], whole;

    if ((k->d->v->features & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX)) && k->seg_max < 2)
        skip_check(t, "seg_max is %u", k->seg_max);
    buffer_release(a);
    buffer_release(b);
    buffer_release(plain);
    for (uint32_t cut = 1; cut < CUT_BYTES; cut++) {
        uint32_t at = XEN_PAGE_BYTES - (cut % 2 ? cut : cut / 2);

        p[0] = put_at(a, at, cut, FE_DMA_TO_DEVICE);
        p[1] = put_at(b, cut, CUT_BYTES - cut, FE_DMA_TO_DEVICE);
        buffer_fill(a, cut);
        buffer_fill(b, 2 * cut);
        expect_moved(k, VIRTIO_BLK_T_OUT, p, 2, at);
        buffer_release(a);
        buffer_release(b);
        whole = put_at(plain, 0, CUT_BYTES, FE_DMA_FROM_DEVICE);
        expect_moved(k, VIRTIO_BLK_T_IN, &whole, 1, 0);
        buffer_release(plain);
        expect_same(t, memcmp(plain->va, a->va, cut) == 0, at, cut);
        expect_same(t, memcmp(plain->va + cut, b->va, CUT_BYTES - cut) == 0, cut, CUT_BYTES - cut);

        p[0] = put_at(a, at, cut, FE_DMA_FROM_DEVICE);
        p[1] = put_at(b, cut, CUT_BYTES - cut, FE_DMA_FROM_DEVICE);
        expect_moved(k, VIRTIO_BLK_T_IN, p, 2, at);
        expect_same(t, buffer_matches(a, cut), at, cut);
        expect_same(t, buffer_matches(b, 2 * cut), cut, CUT_BYTES - cut);
        expect_canaries(t, a, "the first piece");
        expect_canaries(t, b, "the second piece");
        buffer_release(a);
        buffer_release(b);
    }
}

/* ---- types whose requests may have any length ---- */

static const uint32_t offsets[] = {0,    1,    2,    3,    4,    7,    8,    63,   64,   65,
                                   511,  512,  513,  1023, 1024, 2047, 2048, 2049, 3583, 3584,
                                   4087, 4088, 4089, 4090, 4091, 4092, 4093, 4094, 4095};
static const uint32_t lengths[] = {1,    2,    3,    4,    5,    7,    8,    9,   15,
                                   16,   17,   63,   64,   65,   511,  512,  513, 4093,
                                   4094, 4095, 4096, 4097, 4098, 8191, 8192, 8193};

/* What of a buffer with this byte all over was written for sure. */
static void note_written(const struct buffer *b, uint8_t fill, uint32_t used, uint8_t *written)
{
    for (uint32_t i = 0; i < used; i++)
        written[i] |= b->va[i] != fill;
}

static uint32_t first_unwritten(const uint8_t *written, uint32_t bytes)
{
    const uint8_t *at = memchr(written, 0, bytes);

    return at ? (uint32_t)(at - written) : bytes;
}

/* A byte that is random is what was there before now and then: so often, a hole is no accident. */
#define PASSES_MAX 8u

CHECK(random_bytes_of_every_length, .judges = DEVICE, .proves = "xen.memory.offset.3",
      .needs = NEED_DEVICE | NEED_RNG, .timeout_ms = 120000,
      .title = "1 to 8193 bytes to all kinds of offsets: each is written, and none beside them")
{
    struct service *s = given_service(t, 0, 0);
    struct buffer *b = given_buffer(s->d, 4 * XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);
    uint8_t written[3 * XEN_PAGE_BYTES];

    buffer_release(b);
    for (unsigned i = 0; i < ARRAY_LENGTH(offsets); i++) {
        for (unsigned j = 0; j < ARRAY_LENGTH(lengths); j++) {
            uint32_t hole = 0, room = lengths[j];

            memset(written, 0, room);
            for (unsigned pass = 0; pass < PASSES_MAX && hole < room; pass++) {
                struct piece p = put_at(b, offsets[i], lengths[j], FE_DMA_FROM_DEVICE);
                uint8_t fill = (uint8_t)(0x33 * (pass + 1));
                uint16_t head;
                uint32_t used;

                memset(b->va, fill, b->bytes);
                head = ring_chain(s->q, 0, &p, 1);
                ring_offer(s->q, head);
                ring_kick(s->q);
                used = expect_used(s->q, head);
                expect_canaries(t, b, "random bytes");
                buffer_release(b);
                expect(t, MUST, used >= 1 && used <= lengths[j],
                       "%u bytes of %u are said to be used", used, lengths[j]);
                if (used < 1 || used > lengths[j])
                    stop_check(t);
                /* Less is allowed (5.4.6.2). */
                if (used < room)
                    room = used;
                note_written(b, fill, room, written);
                hole = first_unwritten(written, room);
            }
            expect(t, MUST, hole >= room, "byte %u of %u at offset 0x%x is not written", hole, room,
                   offsets[i]);
            if (hole < room)
                stop_check(t);
        }
    }
}

CHECK(text_from_every_offset, .judges = DEVICE, .proves = "xen.memory.offset.3",
      .needs = NEED_DEVICE | NEED_CONSOLE | NEED_HOST_END, .timeout_ms = 120000,
      .title = "1 to 8193 bytes from all kinds of offsets come out of a console, whole")
{
    struct console *k = given_console(t, 0);
    struct buffer *b = given_buffer(k->d, 4 * XEN_PAGE_BYTES, 0, FE_DMA_TO_DEVICE);
    char sent[3 * XEN_PAGE_BYTES + 1], came[3 * XEN_PAGE_BYTES + 1];

    buffer_release(b);
    host_open(t, 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(offsets); i++) {
        for (unsigned j = 0; j < ARRAY_LENGTH(lengths); j++) {
            uint32_t got = 0, n = lengths[j];
            struct piece p = put_at(b, offsets[i], n, FE_DMA_TO_DEVICE);
            uint16_t head;

            console_text(sent, n, 31 * i + j);
            memcpy(b->va, sent, n);
            head = ring_chain(k->tx[0], 0, &p, 1);
            ring_offer(k->tx[0], head);
            ring_kick(k->tx[0]);
            while (got < n) {
                uint32_t more = host_read(t, 0, came + got, n - got, 2000);

                if (!more)
                    break;
                got += more;
            }
            (void)expect_used(k->tx[0], head);
            buffer_release(b);
            expect(t, MUST, got == n && !memcmp(sent, came, n),
                   "%u bytes from offset 0x%x come out otherwise: %u of them", n, offsets[i], got);
            if (got != n)
                stop_check(t);
        }
    }
    host_close(t, 0);
}
