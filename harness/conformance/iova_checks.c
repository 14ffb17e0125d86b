/* SPDX-License-Identifier: MIT */
/*
 * What a device behind an IOMMU reaches: what is mapped, as it is mapped and while it is mapped.
 * The driver grants all of it, or has frames, throughout: nothing but the IOMMU keeps the device
 * away.
 */
#define CHECK_FAMILY "iova"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/iommuwin.h"
#include "conformance/service.h"
#include "spec/virtio_iommu.h"
#include "util/bits.h"

#define BEHIND  (NEED_DEVICE | NEED_BEHIND)
#define DISK    (BEHIND | NEED_BLK | NEED_WRITABLE)
#define SERVICE (BEHIND | NEED_SERVICE)
#define PAGES   4u
/* A request that is answered at a byte each 100 ms, and one behind it, are in flight so long. */
#define FLIGHT_NS MS(600)

static void transfer(struct blk *k, bool read, uint64_t sector, struct piece p)
{
    expect_eq(k->d->t, MUST,
              blk_request(k, read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, sector, &p, 1).status,
              VIRTIO_BLK_S_OK, read ? "the status of a read" : "the status of a write");
}

CHECK(mapped_memory_is_reached, .judges = DEVICE, .proves = "xen.memory.iommu.10", .needs = DISK,
      .title = "Scattered pages in a row of addresses are read and written as one")
{
    struct blk *k = given_blk(t, 0, 0);
    struct window *w[PAGES];
    const uint32_t len = (PAGES - 1) * XEN_PAGE_BYTES, offset = 0x600;

    /* Each page is a mapping of its own; where they lie is another order. */
    for (unsigned i = 0; i < PAGES; i++)
        w[(i * 3 + 1) % PAGES] = given_window_at(k->d, 0, (i * 3 + 1) % PAGES, 1);
    for (unsigned i = 0; i < PAGES; i++) {
        window_map(w[i], FE_DMA_BOTH);
        for (uint32_t at = 0; at < XEN_PAGE_BYTES; at++)
            w[i]->mem.va[at] = (uint8_t)(at * 7 + i * 31 + (at >> 8));
    }
    transfer(k, false, 8, window_piece(w[0], offset, len, false));
    for (unsigned i = 0; i < PAGES; i++)
        window_own(w[i]);
    transfer(k, true, 8, window_piece(w[0], offset, len, true));
    for (uint32_t at = 0; at < PAGES * XEN_PAGE_BYTES; at++) {
        uint32_t in = at % XEN_PAGE_BYTES, page = at / XEN_PAGE_BYTES;
        bool inside = at >= offset && at - offset < len;
        uint8_t want = inside ? (uint8_t)(in * 7 + page * 31 + (in >> 8)) : (uint8_t)WINDOW_OWN;

        if (w[page]->mem.va[in] != want) {
            expect(t, MUST, w[page]->mem.va[in] == want,
                   "byte %u behind address 0x%llx is 0x%x, not 0x%x", at,
                   (unsigned long long)w[0]->iova, w[page]->mem.va[in], want);
            break;
        }
    }
}

CHECK(unmapped_memory_is_not_reached, .judges = DEVICE,
      .proves = "xen.memory.iommu.11 xen.memory.iommu.18", .needs = DISK, .timeout_ms = 30000,
      .title = "What was unmapped is neither written nor read, and each try is reported")
{
    struct blk *k = given_blk(t, 0, 0);
    struct window *w = given_window(k->d, 0, PAGES), *other = given_window_at(k->d, 0, PAGES, 1);

    window_map(w, FE_DMA_BOTH);
    window_map(other, FE_DMA_BOTH);
    transfer(k, true, 0, window_piece(w, 0, PAGES * XEN_PAGE_BYTES, true));
    window_unmap(w);
    window_own(w);
    window_own(other);
    expect_refused(k, true, window_piece(w, 0x200, 1024, true), VIRTIO_IOMMU_FAULT_R_MAPPING,
                   "a read into memory that was unmapped");
    expect_refused(k, false, window_piece(w, 0x200, 1024, false), VIRTIO_IOMMU_FAULT_R_MAPPING,
                   "a write of memory that was unmapped");
    expect_refused(k, true, window_piece(w, (PAGES - 1) * XEN_PAGE_BYTES, 0x1200, true),
                   VIRTIO_IOMMU_FAULT_R_MAPPING, "a read into memory of which a part is mapped");
    expect(t, MUST, window_is_own(w), "memory that was unmapped is written");
    transfer(k, true, 0, window_piece(other, 0, XEN_PAGE_BYTES, true));
    expect(t, MUST, !window_is_own(other), "memory that is mapped is not written");
    /* The same address leads to other memory now. */
    w->mem.va[0] = other->mem.va[0] = WINDOW_OWN;
    must(t,
         fe_iommu_map(k->d->behind->iommu, k->d->domain, w->iova, XEN_PAGE_BYTES, other->mem.addr,
                      FE_DMA_BOTH),
         "mapping other memory at the address");
    transfer(k, true, 0, window_piece(w, 0, SECTOR, true));
    must(t, fe_iommu_unmap(k->d->behind->iommu, k->d->domain, w->iova, XEN_PAGE_BYTES),
         "unmapping it");
    expect(t, MUST, window_is_own(w), "memory is written by an address that leads elsewhere now");
    expect(t, MUST, other->mem.va[0] != WINDOW_OWN, "memory is not written by its new address");
}

CHECK(protection_is_kept, .judges = DEVICE, .proves = "xen.memory.iommu.12", .needs = DISK,
      .title = "What is mapped without WRITE is read and never written")
{
    struct blk *k = given_blk(t, 0, 0);
    struct window *w = given_window(k->d, 0, 2);

    window_own(w);
    window_map(w, FE_DMA_TO_DEVICE);
    transfer(k, false, 0, window_piece(w, 0x800, XEN_PAGE_BYTES, false));
    expect_refused(k, true, window_piece(w, 0x800, SECTOR, true), VIRTIO_IOMMU_FAULT_R_MAPPING,
                   "a read into memory that is mapped to be read");
    expect(t, MUST, window_is_own(w), "memory that is mapped without WRITE is written");
}

/* Another endpoint than the device's own. */
static uint32_t other_endpoint(const struct device *d)
{
    uint64_t count = given_ask_number(d->t, "device.info", NULL, "count");

    for (unsigned i = 1; i < count; i++) {
        char args[32];
        uint64_t endpoint;

        snprintf(args, sizeof(args), "{\"index\": %u}", i);
        endpoint = given_ask_number(d->t, "device.info", args, "endpoint");
        if (endpoint <= UINT32_MAX && endpoint != d->subject->endpoint)
            return (uint32_t)endpoint;
    }
    skip_check(d->t, "no other device is behind the IOMMU");
}

CHECK(domains_are_apart, .judges = DEVICE, .proves = "xen.memory.iommu.13",
      .needs = DISK | NEED_TESTBED,
      .title = "What is mapped in another device's domain is not reached")
{
    struct blk *k = given_blk(t, 0, 0);
    struct fe_iommu *m = k->d->behind->iommu;
    struct window *w = given_window(k->d, 0, 1);
    uint32_t domain = k->d->domain + 1, endpoint = other_endpoint(k->d);

    window_own(w);
    must(t, fe_iommu_attach(m, domain, endpoint, false), "attaching the other device");
    must(t, fe_iommu_map(m, domain, w->iova, w->bytes, w->mem.addr, FE_DMA_BOTH), "mapping");
    expect_refused(k, true, window_piece(w, 0, SECTOR, true), VIRTIO_IOMMU_FAULT_R_MAPPING,
                   "a read into what is mapped in another domain");
    expect(t, MUST, window_is_own(w), "memory that is mapped in another domain is written");
    must(t, fe_iommu_detach(m, domain, endpoint), "detaching the other device");
}

/* A device whose queue is set up with addresses of a domain that it is not in. */
static void expect_unreachable(struct service *s, const char *what)
{
    struct check_ctx *t = s->d->t;
    struct ring *q = s->q;
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    struct fe_iommu_fault f = {0};
    struct virtq_raw_used u;
    bool used = false, reset = false;

    faults_drain(s->d);
    must(t, fe_iommu_detach(s->d->behind->iommu, s->d->domain, s->d->subject->endpoint),
         "detaching the device");
    ring_program(q);
    device_driver_ok(s->d);
    ring_offer(q, ring_chain(q, 0, p, request_pieces(r, p, 1)));
    ring_kick(q);
    while (!used && !reset && given_now_ns() < deadline) {
        used = ring_used(q, &u, MS(1));
        reset = device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    }
    expect(t, MUST, !used, "%s reaches its ring", what);
    expect(t, MUST, reset, "%s does not say that it cannot reach its ring", what);
    expect(t, SHOULD, fe_iommu_next_fault(s->d->behind->iommu, &f, LIMIT_REPLY_NS) == 1,
           "%s: no fault is reported", what);
    expect(t, SHOULD, f.reason == VIRTIO_IOMMU_FAULT_R_DOMAIN, "%s: the reason is %u, not DOMAIN",
           what, f.reason);
    must(t, fe_virtio_reset(s->d->v, LIMIT_RESET_NS), "resetting the device");
    /* What was mapped went with the domain; whoever unmaps it finds a domain. */
    must(t, fe_iommu_attach(s->d->behind->iommu, s->d->domain, s->d->subject->endpoint, false),
         "attaching the device again");
    request_release(r);
}

CHECK(detached_device_reaches_nothing, .judges = DEVICE, .proves = "xen.memory.iommu.14",
      .needs = SERVICE, .title = "After DETACH nothing of the domain is reached, not a ring either")
{
    struct service *s = given_service(t, 0, 0);
    unsigned index = s->q->index;

    expect_served(s, s->q, false);
    device_negotiate(s->d, 0);
    s->q = given_queue_memory(s->d, index, 0);
    expect_unreachable(s, "a device that was detached");
    service_restart(s, 0, 0);
    expect_served(s, s->q, false);
}

CHECK(bypass_reaches_everything, .judges = DEVICE, .proves = "xen.memory.iommu.15",
      .needs = SERVICE, .title = "Without a domain a device reaches all if bypass is 1")
{
    struct service *s = given_service(t, 0, 0);
    struct fe_translation *x = s->d->mem.translation;
    struct fe_iommu *m = s->d->behind->iommu;

    device_reset(s->d);
    if (fe_iommu_set_bypass(m, true))
        skip_check(t, "VIRTIO_IOMMU_F_BYPASS_CONFIG is not offered");
    must(t, fe_iommu_detach(m, s->d->domain, s->d->subject->endpoint), "detaching the device");
    s->d->mem.translation = NULL;
    service_restart(s, 0, 0);
    expect_served(s, s->q, false);
    device_reset(s->d);
    s->d->mem.translation = x;
    must(t, fe_iommu_set_bypass(m, false), "writing bypass");
    must(t, fe_iommu_attach(m, s->d->domain, s->d->subject->endpoint, false),
         "attaching the device again");
    service_restart(s, 0, 0);
    expect_served(s, s->q, false);
}

/* Another device of the cell, of this type, behind the IOMMU or not. False: there is none. */
static bool find_other(struct check_ctx *t, struct subject *s, const char *want, bool behind)
{
    uint64_t count = given_ask_number(t, "device.info", NULL, "count");

    for (unsigned i = 1; i < count; i++) {
        char args[32], type[16] = "", sbdf[24] = "";
        unsigned seg, bus, dev, fn;
        uint64_t endpoint;

        snprintf(args, sizeof(args), "{\"index\": %u}", i);
        given_ask_text(t, "device.info", args, "type", type, sizeof(type));
        endpoint = given_ask_number(t, "device.info", args, "endpoint");
        if ((endpoint <= UINT32_MAX) != behind || strcmp(type, want))
            continue;
        s->has_iommu = behind;
        s->endpoint = (uint32_t)endpoint;
        if (s->place.transport == FE_TRANSPORT_MMIO) {
            s->place.window.base = given_ask_number(t, "device.info", args, "base");
            s->place.window.line = (uint32_t)given_ask_number(t, "device.info", args, "irq");
            return true;
        }
        given_ask_text(t, "device.info", args, "sbdf", sbdf, sizeof(sbdf));
        if (sscanf(sbdf, "%4x:%2x:%2x.%1x", &seg, &bus, &dev, &fn) != 4)
            error_out(t, "the testbed says that a device is at '%s'", sbdf);
        s->place.sbdf = SBDF(seg, bus, dev, fn);
        return true;
    }
    return false;
}

CHECK(others_are_not_behind_it, .judges = DEVICE, .proves = "xen.memory.iommu.16",
      .needs = DISK | NEED_TESTBED,
      .title = "A disk that is not behind the IOMMU is served as ever, beside one that is")
{
    struct subject plain = *(const struct subject *)check_subject(t);
    struct blk *k = given_blk(t, 0, 0), *other;

    if (!find_other(t, &plain, "blk", false))
        skip_check(t, "every disk is behind the IOMMU");
    plain.beside = &k->d->host;
    other = given_blk_of(given_device_of(t, &plain), 0, 0);
    blk_write_pattern(other, 4, 8, 90);
    blk_write_pattern(k, 4, 8, 91);
    expect_pattern(other, 4, 8, 90, "the disk that is not behind the IOMMU reads back differently");
    expect_pattern(k, 4, 8, 91, "the disk behind the IOMMU reads back differently");
}

/* A device that is in another one's domain, until the end of the check. */
struct guest {
    struct device *d;
    struct fe_translation *own;
};

static void guest_end(void *arg)
{
    struct guest *g = arg;

    g->d->mem.translation = g->own;
    free(g);
}

static struct device *given_guest(struct blk *host, const struct subject *s)
{
    struct check_ctx *t = host->d->t;
    struct guest *g = calloc(1, sizeof(*g));
    int rc;

    if (!g)
        error_out(t, "no memory");
    g->d = given_device_of(t, s);
    g->own = g->d->mem.translation;
    check_defer(t, guest_end, g);
    rc = fe_iommu_attach(host->d->behind->iommu, host->d->domain, s->endpoint, false);
    if (rc == -EOPNOTSUPP)
        skip_check(t, "the IOMMU has a domain for each endpoint");
    must(t, rc, "attaching a second device to a domain");
    g->d->mem.translation = host->d->mem.translation;
    return g->d;
}

CHECK(endpoints_share_a_domain, .judges = DEVICE, .proves = "xen.memory.iommu.23",
      .needs = DISK | NEED_TESTBED,
      .title = "Two devices in one domain reach the same, and after UNMAP neither does")
{
    struct subject second = *(const struct subject *)check_subject(t);
    struct blk *k = given_blk(t, 0, 0);
    struct window *w = given_window(k->d, 0, 1);
    struct virtq_raw_used u;
    struct device *d;
    struct ring *q;
    struct piece p;

    if (!find_other(t, &second, "rng", true))
        skip_check(t, "no entropy device is behind the IOMMU");
    second.behind = k->d->behind;
    second.beside = &k->d->host;
    d = given_guest(k, &second);
    device_negotiate(d, 0);
    q = given_queue(d, 0, 0);
    device_driver_ok(d);
    window_own(w);
    window_map(w, FE_DMA_BOTH);
    p = window_piece(w, 0, 256, true);
    ring_offer(q, ring_chain(q, 0, &p, 1));
    ring_kick(q);
    (void)expect_used(q, 0);
    expect(t, MUST, !window_is_own(w), "the second device of a domain does not reach its memory");
    transfer(k, true, 0, window_piece(w, SECTOR, SECTOR, true));
    window_unmap(w);
    window_own(w);
    ring_offer(q, ring_chain(q, 1, &p, 1));
    ring_kick(q);
    expect(t, MUST, !ring_used(q, &u, LIMIT_QUIET_NS),
           "the second device writes what was unmapped in its domain");
    expect_refused(k, true, window_piece(w, 0, SECTOR, true), VIRTIO_IOMMU_FAULT_R_MAPPING,
                   "a read into memory that was unmapped");
    expect(t, MUST, window_is_own(w), "memory that was unmapped in a domain of two is written");
    device_reset(d);
}

/* ---- what an UNMAP waits for ---- */

CHECK(kept_mappings_go_before_the_answer, .judges = DEVICE, .proves = "xen.memory.iommu.17",
      .needs = DISK | NEED_GRANTS,
      .title = "When UNMAP is answered none of the pages is mapped, whatever the device keeps")
{
    struct blk *k = given_blk(t, 0, 0);
    struct window *w = given_window(k->d, 0, PAGES), *other = given_window(k->d, 1, PAGES);
    unsigned kept;

    for (unsigned round = 0; round < 4; round++) {
        window_map(w, FE_DMA_BOTH);
        window_map(other, FE_DMA_BOTH);
        transfer(k, true, 0, window_piece(w, 0, PAGES * XEN_PAGE_BYTES, true));
        transfer(k, false, 0, window_piece(other, 0x100, PAGES * XEN_PAGE_BYTES - 0x200, false));
        transfer(k, false, 0, window_piece(w, XEN_PAGE_BYTES, XEN_PAGE_BYTES, false));
        kept = window_in_use(w);
        window_unmap(w);
        note(t, "pages kept until UNMAP", "%u", kept);
        expect_eq(t, MUST, window_in_use(w), 0, "pages that are mapped when UNMAP is answered");
        window_unmap(other);
        expect_eq(t, MUST, window_in_use(other), 0,
                  "pages that are mapped when the last UNMAP is answered");
    }
}

CHECK(unmap_waits_for_requests_in_flight, .judges = DEVICE, .proves = "xen.memory.iommu.17",
      .needs = BEHIND | NEED_RNG,
      .title = "When UNMAP is answered no request in flight maps or writes the memory any more")
{
    struct service *s = given_service(t, 0, 8);
    struct window *w = given_window(s->d, 0, 1);
    struct virtq_raw_used u;
    unsigned used = 0, before, mapped;
    uint64_t deadline;
    bool own;

    window_map(w, FE_DMA_FROM_DEVICE);
    /* A rate makes all but the first wait. */
    for (unsigned i = 0; i < 4; i++) {
        struct piece p = window_piece(w, i * 64, 64, true);

        ring_offer(s->q, ring_chain(s->q, i, &p, 1));
    }
    ring_kick(s->q);
    window_unmap(w);
    mapped = window_in_use(w);
    window_own(w);
    while (ring_used(s->q, &u, 0))
        used++;
    before = used;
    note(t, "in flight at the answer", "%u of 4", 4 - before);
    expect_eq(t, MUST, mapped, 0, "pages that are mapped when UNMAP is answered");
    deadline = given_now_ns() + FLIGHT_NS;
    while ((own = window_is_own(w)) && used < 4 && given_now_ns() < deadline)
        used += ring_used(s->q, &u, MS(5));
    expect(t, MUST, own && window_is_own(w),
           "memory is written after UNMAP was answered, with %u requests in flight", 4 - before);
}

CHECK(running_ring_is_waited_for, .judges = DEVICE, .proves = "xen.memory.iommu.19",
      .needs = SERVICE,
      .title = "UNMAP of a running queue's memory is answered when nobody looks at it any more")
{
    struct service *s = given_service(t, 0, 0);
    struct fe_iommu *m = s->d->behind->iommu;
    const struct fe_mapping *map = &s->q->mem.map;
    unsigned id, mapped = 0;
    uint64_t bytes = (uint64_t)map->iova_pages * XEN_PAGE_BYTES;
    int rc;

    expect_served(s, s->q, false);
    must(t, fe_iommu_unmap_start(m, s->d->domain, map->iova.raw, bytes, &id), "unmapping a ring");
    rc = fe_iommu_wait(m, id, LIMIT_QUIET_NS);
    note(t, "answered", "%s", rc == 0 ? "at once" : "after the reset");
    if (rc != 0) {
        expect(t, MUST, rc == -ETIME, "UNMAP of a running ring is refused");
        must(t, fe_virtio_reset(s->d->v, LIMIT_RESET_NS), "resetting the device");
        must(t, fe_iommu_wait(m, id, LIMIT_REPLY_NS), "UNMAP, after the reset of the device,");
    }
    if (map->pages)
        must(t, fe_grants_in_use(&s->d->mem, map->first, map->pages, &mapped),
             "reading the grant table");
    expect_eq(t, MUST, mapped, 0, "pages of a ring that are mapped when its UNMAP is answered");
    if (rc == 0) {
        struct request *r = given_request(s);
        struct piece p[REQUEST_PIECES_MAX];
        struct virtq_raw_used u;

        ring_offer(s->q, ring_chain(s->q, 0, p, request_pieces(r, p, 1)));
        ring_kick(s->q);
        expect(t, MUST, !ring_used(s->q, &u, LIMIT_QUIET_NS),
               "a ring is written after its UNMAP was answered");
        must(t, fe_virtio_reset(s->d->v, LIMIT_RESET_NS), "resetting the device");
        request_release(r);
    }
    service_restart(s, 0, 0);
    expect_served(s, s->q, false);
}
