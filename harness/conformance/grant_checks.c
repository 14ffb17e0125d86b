/* SPDX-License-Identifier: MIT */
/* Buffers and rings reached through grant references: the address form of grant-dma. */
#define CHECK_FAMILY "grant"

#include <errno.h>
#include <string.h>

#include "conformance/service.h"
#include "conformance/shapes.h"
#include "gmem/gref.h"
#include "util/bits.h"

#define GRANT     (NEED_DEVICE | NEED_SERVICE | NEED_GRANTS)
#define GRANT_BLK (NEED_DEVICE | NEED_BLK | NEED_GRANTS)
/* About references that live as long as their request. */
#define STREAM     (GRANT | NEED_STREAMING)
#define STREAM_BLK (GRANT_BLK | NEED_STREAMING)

static const struct fe_platform_ops *ops_of(const struct device *d)
{
    return d->subject->platform->ops;
}

static struct fe_platform *platform_of(const struct device *d)
{
    return d->subject->platform;
}

static unsigned in_use(struct device *d, gref_t first, unsigned n)
{
    unsigned count = 0;

    must(d->t, fe_grants_in_use(&d->mem, first, n, &count), "reading the grant table");
    return count;
}

/* ---- shapes ---- */

CHECK(buffers_begin_anywhere, .judges = DEVICE, .proves = "xen.grant.address.1", .needs = GRANT_BLK,
      .timeout_ms = 30000, .title = "Buffers at every kind of offset, over page boundaries")
{
    shapes_offsets(t);
}

CHECK(buffers_span_pages, .judges = DEVICE, .proves = "xen.grant.address.2", .needs = GRANT_BLK,
      .timeout_ms = 30000, .title = "Runs of 1 to 18 consecutive references")
{
    shapes_pages(t);
}

CHECK(directions_share_a_page, .judges = DEVICE, .proves = "xen.grant.address.3",
      .needs = GRANT_BLK, .title = "Readable and writable pieces of a request in one granted page")
{
    shapes_shared_page(t);
}

CHECK(many_pieces_share_a_page, .judges = DEVICE, .proves = "xen.grant.limit.1", .needs = GRANT_BLK,
      .title = "100 pieces of one request in one granted page")
{
    shapes_small_pieces(t);
}

CHECK(indirect_tables_are_granted, .judges = DEVICE, .proves = "xen.grant.address.4",
      .needs = GRANT_BLK | NEED_INDIRECT, .title = "Indirect tables anywhere in granted pages")
{
    shapes_indirect(t);
}

/* A run at a reference of our choice, from the highest that the table can have downwards. */
static bool grant_high(struct blk *k, void *va, unsigned n, gref_t *first)
{
    struct fe_platform *p = platform_of(k->d);

    for (uint32_t ref = 1u << 20; ref >= 1024; ref -= ref / 16) {
        if (ops_of(k->d)->grant_at(p, va, n, k->d->mem.backend_domid, 0, gref_make(ref)) == 0) {
            *first = gref_make(ref);
            return true;
        }
    }
    return false;
}

CHECK(high_references, .judges = DEVICE, .proves = "xen.grant.address.5", .needs = STREAM_BLK,
      .title = "References far above the number of the guest's pages in use")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, 2 * XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct piece p = {.len = b->bytes, .writable = true};
    gref_t first;
    uint8_t status;

    buffer_release(b);
    if (!grant_high(k, b->base, b->pages, &first))
        skip_check(t, "the platform grants no reference of choice");
    p.addr = gpa_from_gref(first, 0);
    status = blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status;
    note(t, "reference", "%u", first.raw);
    expect_eq(t, MUST, in_use(k->d, first, b->pages), 0,
              "high references in use after the request");
    must(t, ops_of(k->d)->revoke(platform_of(k->d), first, b->pages), "revoking high references");
    expect(t, MUST, status == VIRTIO_BLK_S_OK, "a read to reference %u has status %u", first.raw,
           status);
}

/* ---- access rights ---- */

CHECK(readonly_grants_are_enough, .judges = DEVICE, .proves = "xen.grant.readonly.1",
      .needs = STREAM_BLK | NEED_WRITABLE,
      .title = "What the device only reads needs only a read-only grant")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, 3 * SECTOR, 0xf00, FE_DMA_TO_DEVICE);
    struct piece p = piece_of(b, false);

    buffer_fill(b, 5);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, 3, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a write from read-only grants");
    buffer_release(b);
    expect_pattern(k, 3, 3, 5, "what was written from read-only grants reads differently");
}

CHECK(readonly_grant_for_a_read_fails, .judges = DEVICE, .proves = "xen.grant.readonly.2",
      .needs = STREAM,
      .title = "What has to be written to read-only memory fails and changes nothing")
{
    struct service *s = given_service(t, 0, 0);
    struct buffer *b = given_buffer(s->d, SECTOR, 0, FE_DMA_TO_DEVICE);
    struct piece p[REQUEST_PIECES_MAX];

    if (request_pieces(given_request(s), p, 3) < 2 || !p[1].writable)
        skip_check(t, "no request of this type of device has it written to memory");
    memset(b->va, 0x42, b->bytes);
    expect_bad_address_handled(s, BAD_MIDDLE, b->addr, "a read-only grant to be written to");
    expect(t, MUST, buffer_is(b, 0x42), "memory granted read-only was written");
    expect_canaries(t, b, "read-only memory");
}

CHECK(page_is_read_then_written, .judges = DEVICE, .proves = "xen.grant.readonly.3",
      .needs = STREAM_BLK | NEED_WRITABLE,
      .title = "A page granted read-only, then again for writing: no stale mapping")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_TO_DEVICE);
    struct piece p;

    for (unsigned i = 0; i < 8; i++) {
        buffer_fill(b, 40 + i);
        p = piece_of(b, false);
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a write from the page");
        buffer_release(b);
        memset(b->va, 0, b->bytes);
        buffer_map(b, FE_DMA_FROM_DEVICE);
        p = piece_of(b, true);
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a read into the page");
        buffer_release(b);
        expect(t, MUST, buffer_matches(b, 40 + i), "the page reads back differently");
        buffer_map(b, FE_DMA_TO_DEVICE);
    }
    buffer_release(b);
}

/* ---- lifetime ---- */

CHECK(released_when_used, .judges = DEVICE, .proves = "xen.grant.release.1", .needs = STREAM,
      .title = "With the used entry the backend has given up every buffer of the request")
{
    struct service *s = given_service(t, 0, 0);
    struct request *r = given_request(s);

    for (unsigned i = 0; i < 32; i++) {
        struct piece p[REQUEST_PIECES_MAX];
        uint16_t head;

        request_refresh(r);
        head = ring_chain(s->q, i, p, request_pieces(r, p, 1));
        ring_offer(s->q, head);
        ring_kick(s->q);
        expect_answered(r, expect_used(s->q, head));
        for (unsigned part = 0; part < r->parts; part++)
            expect_eq(t, MUST, in_use(s->d, r->part[part].b->map.first, r->part[part].b->map.pages),
                      0, "pages of a buffer that are mapped after the used entry");
        request_release(r);
    }
}

CHECK(data_is_released_when_used, .judges = DEVICE, .proves = "xen.grant.release.1",
      .needs = STREAM_BLK, .title = "The same for data of several pages")
{
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned i = 0; i < 32; i++) {
        struct buffer *b =
            given_buffer(k->d, (1 + i % 4) * XEN_PAGE_BYTES, i * 128, FE_DMA_FROM_DEVICE);
        struct piece p[3];
        uint16_t head;

        blk_prepare(k, VIRTIO_BLK_T_IN, 0);
        p[0] = piece_of(k->header, false);
        p[1] = piece_of(b, true);
        p[2] = piece_of(k->status, true);
        head = ring_chain(k->q, 0, p, 3);
        ring_offer(k->q, head);
        ring_kick(k->q);
        expect_used(k->q, head);
        expect_eq(t, MUST, in_use(k->d, b->map.first, b->map.pages), 0,
                  "data pages that are mapped after the used entry");
        expect_eq(t, MUST,
                  in_use(k->d, k->header->map.first, 1) + in_use(k->d, k->status->map.first, 1), 0,
                  "header and status pages that are mapped after the used entry");
        (void)blk_finish(k);
        buffer_release(b);
    }
}

CHECK(reference_is_used_again, .judges = DEVICE, .proves = "xen.grant.release.2",
      .needs = STREAM_BLK | NEED_WRITABLE,
      .title = "The same reference for another page: no stale translation")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *a = given_buffer(k->d, SECTOR, 0, FE_DMA_TO_DEVICE);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_TO_DEVICE);
    struct fe_platform *pl = platform_of(k->d);
    gref_t ref = a->map.first;
    struct piece p;
    int rc;

    buffer_fill(a, 1);
    buffer_fill(b, 2);
    buffer_release(b);
    p = piece_of(a, false);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, 0, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a write from the first page");
    buffer_release(a);
    rc = ops_of(k->d)->grant_at(pl, b->base, 1, k->d->mem.backend_domid, FE_GRANT_READONLY, ref);
    if (rc)
        error_out(t, "granting another page by reference %u: %s", ref.raw, strerror(-rc));
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_OUT, 0, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a write from the second page");
    must(t, ops_of(k->d)->revoke(pl, ref, 1), "revoking the reference");
    expect_pattern(k, 0, 1, 2, "the disk has not what the second page held");
}

CHECK(rings_are_released_by_reset, .judges = DEVICE, .proves = "xen.grant.release.3",
      .needs = GRANT, .title = "After a reset no page of a ring is mapped")
{
    struct service *s = given_service(t, 0, 0);
    struct ring *q = s->q;

    expect_served(s, q, false);
    note(t, "ring pages mapped", "%u of %u", in_use(s->d, q->mem.map.first, q->mem.pages),
         q->mem.pages);
    must(t, fe_virtio_reset(s->d->v, LIMIT_RESET_NS), "resetting the device");
    expect_eq(t, MUST, in_use(s->d, q->mem.map.first, q->mem.pages), 0,
              "ring pages that are mapped after a reset");
}

CHECK(page_granted_twice, .judges = DEVICE, .proves = "xen.grant.address.6", .needs = STREAM_BLK,
      .title = "Two references to one page in one request")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    struct buffer *b = given_buffer(k->d, XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct buffer *plain = given_buffer(k->d, 2 * SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct fe_mapping second;
    struct piece p[2];

    if ((k->d->v->features & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX)) && k->seg_max < 2)
        skip_check(t, "seg_max is %u", k->seg_max);
    if (!(k->d->offered & VIRTIO_F(VIRTIO_BLK_F_RO)))
        blk_write_pattern(k, 0, 2, 12);
    p[0] = piece_of(plain, true);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a plain read");
    must(t, fe_dma_map(&k->d->mem, b->base, XEN_PAGE_BYTES, FE_DMA_FROM_DEVICE, &second),
         "granting a page again");
    p[0] = piece_part(b, 0, SECTOR, true);
    p[1] = (struct piece){gpa_add(second.addr, 1024), SECTOR, true};
    memset(b->va, 0x77, b->bytes);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, p, 2).status, VIRTIO_BLK_S_OK,
              "the status of a read through two references");
    expect(t, MUST,
           memcmp(b->va, plain->va, SECTOR) == 0 &&
               memcmp(b->va + 1024, plain->va + SECTOR, SECTOR) == 0,
           "a read through two references to a page gives other data");
    for (uint32_t i = SECTOR; i < 1024; i++)
        if (b->va[i] != 0x77) {
            expect(t, MUST, b->va[i] == 0x77, "byte %u between the two pieces was written", i);
            break;
        }
    must(t, fe_dma_unmap(&k->d->mem, &second), "revoking the second reference");
    buffer_release(b);
    buffer_release(plain);
}

/* ---- references that are wrong ---- */

CHECK(revoked_reference, .judges = DEVICE, .proves = "xen.grant.fault.1", .needs = STREAM,
      .title = "A reference that was revoked: an error, and the device lives")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);

    for (unsigned part = 0; part < BAD_TABLE; part++) {
        struct buffer *b = given_buffer(s->d, XEN_PAGE_BYTES, 0, FE_DMA_BOTH);
        gpa_t bad = b->addr;

        buffer_release(b);
        expect_bad_address_handled(s, (enum bad_part)part, bad, "a revoked reference");
    }
}

CHECK(revoked_indirect_table, .judges = DEVICE, .proves = "xen.grant.fault.1",
      .needs = STREAM | NEED_INDIRECT, .title = "The same for an indirect table")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);
    struct buffer *b = given_buffer(s->d, XEN_PAGE_BYTES, 0, FE_DMA_BOTH);
    gpa_t bad = b->addr;

    buffer_release(b);
    expect_bad_address_handled(s, BAD_TABLE, bad, "an indirect table in a revoked page");
}

CHECK(reference_outside_the_table, .judges = DEVICE, .proves = "xen.grant.fault.2", .needs = GRANT,
      .title = "References that the grant table cannot have")
{
    static const uint32_t refs[] = {0x00ffffff, 0x7fffffff, 0xffffffff};
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(refs); i++)
        expect_bad_address_handled(s, BAD_MIDDLE, gpa_from_gref(gref_make(refs[i]), 0),
                                   "a reference outside the grant table");
    expect_bad_address_handled(s, BAD_MIDDLE, gpa_make(GREF_ADDR_BIT | 0x7ffull << 44 | 0x1000),
                               "an address with bits above the reference");
}

CHECK(reserved_reference, .judges = DEVICE, .proves = "xen.grant.fault.2", .needs = GRANT,
      .title = "A reserved reference, which the guest's kernel never grants")
{
    struct service *s = given_service(t, 0, 0);

    /* 0 and 1 are the console's and the store's, granted to dom0 by the toolstack; 2 to 7 are
     * reserved and empty (GNTTAB_NR_RESERVED_ENTRIES). */
    expect_bad_address_handled(s, BAD_MIDDLE, gpa_from_gref(gref_make(7), 0), "reference 7");
}

CHECK(reference_for_another_domain, .judges = DEVICE, .proves = "xen.grant.fault.3",
      .needs = STREAM, .title = "A page granted to somebody else")
{
    struct service *s = given_service(t, 0, 0);
    struct fe_platform *p = platform_of(s->d);
    struct buffer *b = given_buffer(s->d, XEN_PAGE_BYTES, 0, FE_DMA_BOTH);
    gref_t ref;
    int rc;

    buffer_release(b);
    memset(b->va, 0x42, b->bytes);
    rc = ops_of(s->d)->grant(p, b->base, 1, (uint16_t)(s->d->mem.backend_domid + 77), 0, &ref);
    if (rc)
        error_out(t, "granting to another domain: %s", strerror(-rc));
    expect_bad_address_handled(s, BAD_MIDDLE, gpa_from_gref(ref, 0),
                               "a reference for another domain");
    expect(t, MUST, buffer_is(b, 0x42), "a page granted to another domain was written");
    must(t, ops_of(s->d)->revoke(p, ref, 1), "revoking the reference");
}

CHECK(hole_in_a_run, .judges = DEVICE, .proves = "xen.grant.fault.4", .needs = STREAM_BLK,
      .title = "A buffer of three pages whose middle reference is not granted")
{
    struct blk *k = given_blk(t, 0, 0);
    struct fe_platform *p = platform_of(k->d);
    struct buffer *b = given_buffer(k->d, 3 * XEN_PAGE_BYTES, 0, FE_DMA_BOTH);
    struct buffer *data;
    struct virtq_raw_used u;
    struct piece pieces[3];
    gref_t first = b->map.first, middle = gref_make(first.raw + 1);
    bool used = false, needs_reset = false;
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;

    must(t, ops_of(k->d)->revoke(p, middle, 1), "revoking the middle of a run");
    data = b;
    memset(data->va, 0x42, data->bytes);
    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    pieces[0] = piece_of(k->header, false);
    pieces[1] = piece_of(data, true);
    pieces[2] = piece_of(k->status, true);
    ring_offer(k->q, ring_chain(k->q, 0, pieces, 3));
    ring_kick(k->q);
    while (!used && !needs_reset && given_now_ns() < deadline) {
        used = ring_used(k->q, &u, MS(1));
        needs_reset = device_status(k->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    }
    expect(t, MUST, used || needs_reset, "the request was neither used nor a reset asked for");
    expect(t, MUST, !used || k->status->va[0] != VIRTIO_BLK_S_OK,
           "a read into a run with a hole says success");
    expect_recovers(k, "a hole in a run of references");
    /* No page of the run may stay mapped although another could not be. */
    expect_eq(t, MUST, in_use(k->d, first, 1) + in_use(k->d, gref_make(first.raw + 2), 1), 0,
              "pages beside the hole that are still mapped");
    must(t, ops_of(k->d)->revoke(p, first, 1), "revoking the first page");
    must(t, ops_of(k->d)->revoke(p, gref_make(first.raw + 2), 1), "revoking the last page");
    b->mapped = false;
}

CHECK(ring_at_an_invalid_reference, .judges = DEVICE, .proves = "xen.grant.fault.5", .needs = GRANT,
      .title = "Ring areas at references that are not granted")
{
    expect_bad_ring_handled(t, gpa_from_gref(gref_make(0x00ffff0), 0),
                            "a ring at an invalid reference");
}

CHECK(grants_and_frames_mixed, .judges = DEVICE, .proves = "xen.grant.mixed.1",
      .needs = GRANT_BLK | NEED_MIXED,
      .title = "One request with a granted header and data by frame number")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, XEN_PAGE_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct piece p = {.len = XEN_PAGE_BYTES, .writable = true};
    uint64_t gfn;

    buffer_release(b);
    must(t, ops_of(k->d)->gfn(platform_of(k->d), b->base, &gfn), "looking up a frame");
    p.addr = gpa_make(gfn << XEN_PAGE_SHIFT_BITS);
    memset(b->va, 0x5c, b->bytes);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of a read with mixed addresses");
    expect(t, MUST, !buffer_is(b, 0x5c), "nothing was read");
}
