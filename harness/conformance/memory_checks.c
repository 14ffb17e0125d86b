/* SPDX-License-Identifier: MIT */
/* What a backend maps: rings wherever they lie and for as long as they are used, and nothing that
 * it was not granted. */
#define CHECK_FAMILY "memory"

#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/service.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "virtq/virtq.h"

#define SERVICE (NEED_DEVICE | NEED_SERVICE)
#define CANARY  0x77

/* More than any small ring has room for, so that it wraps around. */
#define REQUESTS 12u

static uint32_t page_up(uint32_t bytes)
{
    return (bytes + XEN_PAGE_BYTES - 1) / XEN_PAGE_BYTES * XEN_PAGE_BYTES;
}

/* An area begins in a page of its own, `gap` bytes before the page's end. */
static uint32_t area_place(uint32_t *end, uint32_t gap, uint32_t bytes)
{
    uint32_t off = page_up(*end) + XEN_PAGE_BYTES - gap;

    *end = off + bytes;
    return off;
}

/* A queue whose areas begin close to the ends of pages, behind a page that is granted with them and
 * has nothing of the device's in it. */
static struct ring *ring_at_gap(struct device *d, unsigned index, unsigned size, uint32_t gap,
                                struct virtq_layout *layout)
{
    struct ring *r = given_queue_memory(d, index, size);
    uint32_t end = XEN_PAGE_BYTES;

    must(d->t, virtq_layout_init(layout, r->raw.format, r->size), "laying a ring out");
    must(d->t, fe_dma_free(&d->mem, &r->mem), "freeing memory that no device was told of");
    r->desc_off = area_place(&end, gap, layout->desc_bytes);
    /* The strictest that is allowed: 2 for an available ring, 4 for the rest (2.7.1, 2.8.10.1). */
    r->driver_off =
        area_place(&end, ring_is_packed(r) ? (gap / 8 + 3) / 4 * 4 : gap / 8, layout->driver_bytes);
    r->device_off = area_place(&end, gap / 4, layout->device_bytes);
    must(d->t, fe_dma_alloc(&d->mem, end, &r->mem), "allocating a ring");
    memset(r->mem.va, CANARY, r->mem.bytes);
    memset(r->mem.va + r->desc_off, 0, layout->desc_bytes);
    memset(r->mem.va + r->driver_off, 0, layout->driver_bytes);
    memset(r->mem.va + r->device_off, 0, layout->device_bytes);
    r->raw.areas = (struct virtq_areas){
        r->mem.va + r->desc_off,
        r->mem.va + r->driver_off,
        r->mem.va + r->device_off,
    };
    ring_program(r);
    return r;
}

static bool inside(size_t at, uint32_t off, uint32_t bytes)
{
    return at >= off && at - off < bytes;
}

static void expect_ring_canaries(struct check_ctx *t, const struct ring *r,
                                 const struct virtq_layout *layout)
{
    size_t at = 0;

    while (at < r->mem.bytes &&
           (inside(at, r->desc_off, layout->desc_bytes) ||
            inside(at, r->driver_off, layout->driver_bytes) ||
            inside(at, r->device_off, layout->device_bytes) || r->mem.va[at] == CANARY))
        at++;
    expect(t, MUST, at == r->mem.bytes,
           "byte %zu of a ring's memory, in none of its areas, was "
           "written",
           at);
}

/* One more of the same request, its chain at descriptor `first`. */
static void expect_request(struct request *r, unsigned first)
{
    struct piece p[REQUEST_PIECES_MAX];
    struct ring *q = r->s->q;
    uint16_t head;

    request_refresh(r);
    head = ring_chain(q, first, p, request_pieces(r, p, 1));
    ring_offer(q, head);
    ring_kick(q);
    expect_answered(r, expect_used(q, head));
    request_release(r);
}

CHECK(rings_begin_anywhere, .judges = DEVICE, .proves = "xen.memory.ring.1", .needs = SERVICE,
      .timeout_ms = 30000,
      .title = "Rings of several sizes, each area anywhere in a page that its alignment allows")
{
    static const unsigned split[] = {4, 8, 64, 0}, packed[] = {4, 7, 61, 0}; /* 0: the maximum */
    static const uint32_t gaps[] = {16, 64, 2048, 4080};
    struct service *s = given_service(t, 0, 0);
    struct request *r = given_request(s);
    unsigned index = s->q->index;

    for (unsigned i = 0; i < ARRAY_LENGTH(split); i++) {
        for (unsigned g = 0; g < ARRAY_LENGTH(gaps); g++) {
            struct virtq_layout layout;

            device_negotiate(s->d, 0);
            s->q = ring_at_gap(s->d, index, s->d->subject->packed ? packed[i] : split[i], gaps[g],
                               &layout);
            device_driver_ok(s->d);
            expect(t, MUST, !(device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET),
                   "a ring of %u entries that begins %u bytes before the end of a page is refused",
                   s->q->size, gaps[g]);
            for (unsigned n = 0; n < REQUESTS; n++)
                expect_request(r, n);
            expect_ring_canaries(t, s->q, &layout);
        }
    }
}

CHECK(ring_is_released_by_queue_reset, .judges = DEVICE, .proves = "xen.memory.release.1",
      .needs = SERVICE | NEED_GRANTS | NEED_RING_RESET,
      .title = "When queue_reset says that it is done no page of the ring is mapped")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_RING_RESET), 0);
    struct ring *q = s->q;
    unsigned mapped = 0;

    expect_served(s, q, false);
    ring_reset(q);
    must(t, fe_grants_in_use(&s->d->mem, q->mem.map.first, q->mem.pages, &mapped),
         "reading the grant table");
    expect_eq(t, MUST, mapped, 0, "ring pages that are mapped after the queue's reset");
}

/* ---- pools ---- */

static void expect_pool_unmapped(struct device *d, const char *when)
{
    unsigned mapped = 0;

    must(d->t, fe_pool_in_use(&d->mem, &mapped), "reading the grant table");
    expect(d->t, MUST, mapped == 0, "%u pages of the pool are mapped after %s", mapped, when);
}

/* Requests, and how many pages of the pool the backend has kept. */
static struct service *given_used_pool(struct check_ctx *t, uint64_t features)
{
    struct service *s = given_service(t, features, 0);
    unsigned mapped = 0;

    for (unsigned n = 0; n < REQUESTS; n++)
        expect_served(s, s->q, false);
    must(t, fe_pool_in_use(&s->d->mem, &mapped), "reading the grant table");
    note(t, "pool pages kept mapped", "%u", mapped);
    return s;
}

CHECK(pool_is_released_by_reset, .judges = DEVICE, .proves = "xen.memory.pool.1",
      .needs = SERVICE | NEED_POOL, .title = "After a reset no page of the driver's pool is mapped")
{
    struct service *s = given_used_pool(t, 0);

    must(t, fe_virtio_reset(s->d->v, LIMIT_RESET_NS), "resetting the device");
    expect_pool_unmapped(s->d, "a reset");
}

CHECK(pool_is_released_by_queue_reset, .judges = DEVICE, .proves = "xen.memory.pool.2",
      .needs = SERVICE | NEED_POOL | NEED_RING_RESET,
      .title = "When queue_reset says that it is done no page of the pool is mapped")
{
    struct service *s = given_used_pool(t, VIRTIO_F(VIRTIO_F_RING_RESET));

    ring_reset(s->q);
    expect_pool_unmapped(s->d, "the queue's reset");
}

CHECK(page_of_a_pool_is_read_then_written, .judges = DEVICE, .proves = "xen.memory.pool.3",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_POOL,
      .title = "One granted page for writes and reads by turns")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0x100, FE_DMA_BOTH);

    for (unsigned i = 0; i < 8; i++) {
        struct piece p = piece_of(b, false);

        buffer_fill(b, 60 + i);
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a write from the page");
        memset(b->va, 0, b->bytes);
        p = piece_of(b, true);
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a read into the page");
        expect(t, MUST, buffer_matches(b, 60 + i), "the page reads back differently");
    }
    expect_canaries(t, b, "a page of the pool");
    buffer_release(b);
}

/* ---- pages ---- */

CHECK(pages_are_of_four_kib, .judges = DEVICE, .proves = "xen.memory.page.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_LARGE_PAGES,
      .title = "Grants and frames are of 4 KiB, however large the backend's own pages are")
{
    /* Within a page of 64 KiB and over its end, beginning anywhere in one of 4 KiB. */
    static const struct {
        uint32_t sectors, offset;
    } shapes[] = {{1, 0}, {8, 512}, {9, 3584}, {24, 4092}, {128, 0}, {130, 1024}, {256, 2048}};
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(shapes); i++) {
        uint32_t bytes = shapes[i].sectors * SECTOR;
        struct buffer *b = given_buffer(k->d, bytes, shapes[i].offset, FE_DMA_TO_DEVICE);
        struct piece p = piece_of(b, false);

        buffer_fill(b, 70 + i);
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a write");
        buffer_release(b);
        memset(b->va, 0, b->bytes);
        buffer_map(b, FE_DMA_FROM_DEVICE);
        p = piece_of(b, true);
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a read");
        expect(t, MUST, buffer_matches(b, 70 + i), "%u bytes from offset %u read back differently",
               bytes, shapes[i].offset);
        expect_canaries(t, b, "what was read");
        buffer_release(b);
    }
}

/* ---- least privilege ---- */

/* An IOREQ server of an old Xen has its synchronous and its buffered page as frames. */
#define IOREQ_FRAMES 2u

CHECK(grants_need_no_frames, .judges = DEVICE, .proves = "xen.memory.privilege.1",
      .needs = SERVICE | NEED_GRANTS | NEED_TESTBED | NEED_COSTS,
      .title = "Whoever grants memory is served, and no frame of its is mapped, for however short")
{
    uint64_t before, frames;
    struct service *s;

    given_device(t);
    before = given_ask_number(t, "domain.costs", NULL, "frames_mapped");
    s = given_service(t, 0, 0);
    for (unsigned n = 0; n < 4; n++)
        expect_served(s, s->q, false);
    device_reset(s->d);
    frames = given_ask_number(t, "domain.costs", NULL, "frames_mapped") - before;
    expect(t, MUST, frames == 0,
           "%llu frames of a domain that grants what may be reached were mapped from negotiation "
           "to reset",
           (unsigned long long)frames);
}

CHECK(grants_keep_no_frames, .judges = DEVICE, .proves = "xen.memory.privilege.1",
      .needs = SERVICE | NEED_GRANTS | NEED_TESTBED,
      .title = "While whoever grants memory is served no frame of its is mapped")
{
    struct service *s = given_service(t, 0, 0);
    uint64_t frames;

    for (unsigned n = 0; n < 4; n++)
        expect_served(s, s->q, false);
    frames = given_ask_number(t, "backend.audit", NULL, "foreign_frames");
    note(t, "foreign frames", "%llu", (unsigned long long)frames);
    expect(t, MUST, frames <= IOREQ_FRAMES,
           "the backend maps %llu frames of a domain that grants what it may reach",
           (unsigned long long)frames);
}

CHECK(grants_need_no_right_to_frames, .judges = DEVICE, .proves = "xen.memory.privilege.2",
      .needs = SERVICE | NEED_GRANTS | NEED_FOREIGN_REFUSED,
      .title = "A backend that may not map the domain's frames serves whoever grants memory")
{
    struct service *s = given_service(t, 0, 0);

    for (unsigned n = 0; n < REQUESTS; n++)
        expect_served(s, s->q, n % 2 && s->d->v->features & VIRTIO_F(VIRTIO_F_INDIRECT_DESC));
}
