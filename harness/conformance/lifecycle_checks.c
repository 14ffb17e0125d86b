/* SPDX-License-Identifier: MIT */
/* Devices, drivers and backends that come and go. */
#define CHECK_FAMILY "lifecycle"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/backend.h"
#include "conformance/service.h"
#include "conformance/shapes.h"
#include "frontend/blk.h"
#include "gmem/gref.h"
#include "util/bits.h"

#define LIFE     (NEED_DEVICE | NEED_SERVICE)
#define LIFE_BLK (NEED_DEVICE | NEED_BLK)

/* Reads in flight: offered and kicked, not waited for. Returns how many. */
static unsigned start_reads(struct blk *k, struct buffer *data, struct buffer *statuses)
{
    unsigned n = k->q->size / 3;

    if (n > data->bytes / SECTOR)
        n = data->bytes / SECTOR;
    memset(statuses->va, 0xee, statuses->bytes);
    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    for (unsigned i = 0; i < n; i++) {
        struct piece p[3] = {
            piece_of(k->header, false),
            piece_part(data, i * SECTOR, SECTOR, true),
            piece_part(statuses, i, 1, true),
        };

        ring_offer(k->q, ring_chain(k->q, 3 * i, p, 3));
    }
    ring_kick(k->q);
    return n;
}

CHECK(reset_with_requests_in_flight, .judges = DEVICE,
      .proves = "basic.device-reset.device.2 xen.lifecycle.reset.1", .needs = LIFE_BLK,
      .timeout_ms = 60000, .title = "When the status is 0 the device touches no buffer any more")
{
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned round = 0; round < 20; round++) {
        struct buffer *data = given_buffer(k->d, 32 * SECTOR, 0, FE_DMA_FROM_DEVICE);
        struct buffer *statuses = given_buffer(k->d, 32, 0, FE_DMA_FROM_DEVICE);
        uint64_t until;

        start_reads(k, data, statuses);
        must(t, fe_virtio_reset(k->d->v, LIMIT_RESET_NS), "resetting the device");
        /* The driver's memory again: what it holds now has to stay. */
        memset(data->va, 0x42, data->bytes);
        memset(statuses->va, 0x42, statuses->bytes);
        buffer_release(data);
        buffer_release(statuses);
        buffer_release(k->header);
        until = given_now_ns() + MS(5);
        while (given_now_ns() < until)
            given_pause();
        expect(t, MUST, buffer_is(data, 0x42) && buffer_is(statuses, 0x42),
               "in round %u a buffer was written after the reset", round);
        blk_restart(k, 0, 0);
        buffer_release(k->status);
    }
    expect_recovers(k, "resets with requests in flight");
}

CHECK(many_resets, .judges = DEVICE, .proves = "basic.device-reset.device.1", .needs = LIFE,
      .timeout_ms = 30000, .title = "A hundred resets in all states, then a read")
{
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < 100; i++) {
        if (i % 3 == 0)
            device_negotiate(s->d, 0);
        device_reset(s->d);
        expect_eq(t, MUST, device_status(s->d), 0, "the status after a reset");
    }
    expect_service_recovers(s, "a hundred resets");
}

CHECK(driver_is_unloaded_and_loaded, .judges = DEVICE, .proves = "xen.lifecycle.reload.1",
      .needs = LIFE_BLK | NEED_IRQ, .timeout_ms = 60000,
      .title = "Fifty times: enumerate, assign BARs, negotiate, read, reset, disable")
{
    for (unsigned i = 0; i < 50; i++) {
        const struct subject *s = check_subject(t);
        struct fe_blk_config cfg = {
            .interrupts = i % 2, .queues = 1 + i % 3, .features_need = given_ring_features(s)};
        struct fe_pci_host host;
        struct fe_virtio *v;
        struct fe_memory mem;
        struct fe_dma page = {0};
        struct fe_blk *b = NULL;
        int rc, end;

        fe_memory_init(&mem, s->platform, s->addressing, s->backend_domid);
        cfg.memory = &mem;
        rc = given_driver(t, &host, &v);
        expect(t, MUST, rc == 0, "round %u: opening the device: %s", i, strerror(-rc));
        if (rc)
            stop_check(t);
        rc = fe_blk_create(v, &cfg, &b);
        if (rc == 0)
            rc = fe_dma_alloc(&mem, XEN_PAGE_BYTES, &page);
        if (rc == 0)
            rc = fe_blk_read(b, 0, page.va, XEN_PAGE_BYTES);
        end = fe_blk_destroy(b);
        fe_virtio_destroy(v);
        if (fe_dma_free(&mem, &page))
            end = -EBUSY;
        expect(t, MUST, rc == 0, "round %u: starting the device and reading: %s", i, strerror(-rc));
        expect(t, MUST, end == 0, "round %u: stopping the driver: %s", i, strerror(-end));
        if (rc || end)
            stop_check(t);
    }
}

CHECK(nothing_is_held_after_reset, .judges = DEVICE, .proves = "xen.lifecycle.audit.1",
      .needs = LIFE_BLK | NEED_TESTBED,
      .title = "After I/O and a reset the backend holds what it held before")
{
    struct blk *k = given_blk(t, 0, 0);
    uint64_t grants, frames, ports;

    device_reset(k->d);
    grants = given_ask_number(t, "backend.audit", NULL, "grants_mapped");
    frames = given_ask_number(t, "backend.audit", NULL, "foreign_frames");
    ports = given_ask_number(t, "backend.audit", NULL, "ports");
    for (unsigned i = 0; i < 8; i++) {
        struct buffer *b = given_buffer(k->d, 5 * XEN_PAGE_BYTES, 0x321, FE_DMA_FROM_DEVICE);
        struct piece p = {.addr = b->addr, .len = 8 * SECTOR, .writable = true};

        blk_restart(k, 0, 0);
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a read");
        buffer_release(b);
    }
    device_reset(k->d);
    expect_eq(t, MUST, given_ask_number(t, "backend.audit", NULL, "grants_mapped"), grants,
              "grants that the backend maps after a reset");
    expect_eq(t, MUST, given_ask_number(t, "backend.audit", NULL, "foreign_frames"), frames,
              "foreign frames that the backend maps after a reset");
    expect_eq(t, MUST, given_ask_number(t, "backend.audit", NULL, "ports"), ports,
              "event channels that the backend has after a reset");
}

CHECK(nothing_is_held_after_errors, .judges = DEVICE, .proves = "xen.lifecycle.audit.2",
      .needs = LIFE | NEED_TESTBED,
      .title = "After requests with addresses that cannot be reached, too")
{
    struct service *s = given_service(t, 0, 0);
    /* Nowhere for both addressings: no reference, and no frame, is that high. */
    gpa_t bad = gpa_make(s->d->mem.addressing == FE_ADDRESSING_GRANTS
                             ? GREF_ADDR_BIT | 0x00fffff0ull << XEN_PAGE_SHIFT_BITS
                             : 0x0000003ffffff000ull);
    uint64_t grants, frames;

    device_reset(s->d);
    grants = given_ask_number(t, "backend.audit", NULL, "grants_mapped");
    frames = given_ask_number(t, "backend.audit", NULL, "foreign_frames");
    for (unsigned part = 0; part < BAD_TABLE; part++) {
        service_restart(s, 0, 0);
        expect_bad_address_handled(s, (enum bad_part)part, bad, "an address that is nowhere");
    }
    device_reset(s->d);
    expect_eq(t, MUST, given_ask_number(t, "backend.audit", NULL, "grants_mapped"), grants,
              "grants that the backend maps after errors and a reset");
    expect_eq(t, MUST, given_ask_number(t, "backend.audit", NULL, "foreign_frames"), frames,
              "foreign frames that the backend maps after errors and a reset");
}

/* ---- the backend goes ---- */

static void data_outlives_backend(struct check_ctx *t, void (*end)(struct device *d))
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_FLUSH), 0);

    blk_write_pattern(k, 0, 8, 81);
    if (k->d->v->features & VIRTIO_F(VIRTIO_BLK_F_FLUSH))
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_FLUSH, 0, NULL, 0).status, VIRTIO_BLK_S_OK,
                  "the status of a flush");
    end(k->d);
    backend_start(k->d);
    expect_eq(t, MUST, device_status(k->d), 0, "the status that a new backend begins with");
    blk_restart(k, 0, 0);
    expect_pattern(k, 0, 8, 81, "data that was flushed is lost with the backend");
}

CHECK(backend_is_restarted, .judges = DEVICE, .proves = "xen.lifecycle.restart.1",
      .needs = LIFE_BLK | NEED_TESTBED | NEED_SUCCESSOR | NEED_WRITABLE, .timeout_ms = 60000,
      .title = "Stopped and started: the device is found again and the data is there")
{
    data_outlives_backend(t, backend_stop);
}

CHECK(backend_is_killed, .judges = DEVICE, .proves = "xen.lifecycle.restart.2",
      .needs = LIFE_BLK | NEED_TESTBED | NEED_SUCCESSOR | NEED_WRITABLE, .timeout_ms = 60000,
      .title = "The same with kill -9")
{
    data_outlives_backend(t, backend_kill);
}

CHECK(backend_is_restarted_often, .judges = DEVICE, .proves = "xen.lifecycle.restart.4",
      .needs = LIFE | NEED_TESTBED | NEED_SUCCESSOR, .timeout_ms = 90000,
      .title = "More often than a domain can have IOREQ servers: none is left behind")
{
    struct device *d = given_device(t);

    for (unsigned i = 0; i < 20; i++) {
        (i % 2 ? backend_kill : backend_stop)(d);
        backend_start(d);
        expect_device_there(d, "after a restart");
    }
}

CHECK(dead_backend_holds_nothing, .judges = HYPERVISOR, .proves = "xen.lifecycle.death.1",
      .needs = LIFE_BLK | NEED_TESTBED | NEED_SUCCESSOR | NEED_GRANTS, .timeout_ms = 60000,
      .title = "Everything that a killed backend mapped can be revoked")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *data = given_buffer(k->d, 32 * SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct buffer *statuses = given_buffer(k->d, 32, 0, FE_DMA_FROM_DEVICE);
    uint64_t deadline;
    unsigned held = 1;

    start_reads(k, data, statuses);
    backend_kill(k->d);
    deadline = given_now_ns() + LIMIT_REPLY_NS;
    while (held && given_now_ns() < deadline) {
        unsigned n = 0;

        must(t, fe_grants_in_use(&k->d->mem, k->q->mem.map.first, k->q->mem.pages, &held),
             "reading the grant table");
        must(t, fe_grants_in_use(&k->d->mem, data->map.first, data->map.pages, &n),
             "reading the grant table");
        held += n;
        if (held)
            given_pause();
    }
    expect_eq(t, MUST, held, 0, "pages that a dead backend still maps");
    backend_start(k->d);
}

CHECK(second_backend_is_refused, .judges = DEVICE, .proves = "xen.lifecycle.claim.1",
      .needs = LIFE | NEED_TESTBED | NEED_SUCCESSOR, .timeout_ms = 60000,
      .title = "Another backend for the same device ends, and the first one goes on")
{
    struct service *s = given_service(t, 0, 0);

    expect_eq(t, MUST, given_ask_number(t, "backend.second", NULL, "serves"), 0,
              "whether a second backend serves the device");
    expect_eq(t, MUST, given_ask_number(t, "backend.alive", NULL, "alive"), 1,
              "whether the first backend still runs");
    expect_service_recovers(s, "the attempt of a second backend");
}

/* ---- devices in the store ---- */

#define XENBUS_INITIALISING 1u
#define XENBUS_CONNECTED    4u
#define XENBUS_CLOSING      5u
#define XENBUS_CLOSED       6u

/* The device's `state`, once it is `want` or after a while. */
static void store_state_expect(struct check_ctx *t, const char *folder, unsigned want)
{
    uint64_t deadline = given_now_ns() + MS(2000);
    char args[160], state[16] = "";
    bool is;

    snprintf(args, sizeof(args), "{\"path\": \"%s/state\"}", folder);
    do {
        given_ask_text(t, "store.read", args, "value", state, sizeof(state));
        is = strtoul(state, NULL, 10) == want;
        if (!is)
            given_pause();
    } while (!is && given_now_ns() < deadline);
    expect(t, MUST, is, "the device's state is %s, expected %u", state, want);
    if (!is)
        stop_check(t);
}

static void store_state_set(struct check_ctx *t, const char *folder, unsigned state)
{
    char args[192];

    snprintf(args, sizeof(args), "{\"path\": \"%s/state\", \"value\": \"%u\"}", folder, state);
    given_ask(t, "store.write", args);
}

static void store_folder(struct check_ctx *t, char *folder, size_t bytes)
{
    given_ask_text(t, "device.info", NULL, "store", folder, bytes);
    if (!folder[0])
        skip_check(t, "the device is not described in the store");
}

CHECK(store_says_connected, .judges = DEVICE, .proves = "xen.lifecycle.store.1",
      .needs = LIFE_BLK | NEED_TESTBED,
      .title = "The backend reports that it serves the device: state 4")
{
    char folder[64] = "";

    store_folder(t, folder, sizeof(folder));
    given_device(t);
    store_state_expect(t, folder, XENBUS_CONNECTED);
}

CHECK(device_is_detached_and_attached, .judges = DEVICE, .proves = "xen.lifecycle.store.2",
      .needs = LIFE_BLK | NEED_TESTBED, .timeout_ms = 60000,
      .title = "State 5 takes the device away, state 1 brings it back")
{
    struct device *d = given_device(t);
    struct fe_platform *p = d->subject->platform;
    char folder[64] = "";
    uint64_t value = 0;
    uint32_t identity;
    int rc;

    store_folder(t, folder, sizeof(folder));
    store_state_expect(t, folder, XENBUS_CONNECTED);
    d->gone_on_purpose = true;
    store_state_set(t, folder, XENBUS_CLOSING);
    store_state_expect(t, folder, XENBUS_CLOSED);
    rc = p->ops->mmio_read(p, d->v->vcpu, device_identity(d, &identity), 4, &value);
    expect(t, MUST, rc == -EFAULT || (rc == 0 && value == 0xffffffff),
           "a device that was detached reads 0x%llx (%s)", (unsigned long long)value,
           strerror(-rc));
    store_state_set(t, folder, XENBUS_INITIALISING);
    store_state_expect(t, folder, XENBUS_CONNECTED);
    device_reattach(d);
    expect_device_there(d, "attached again");
}

/* An access that may hang, in a thread of its own. */
struct vcpu_access {
    struct fe_platform *platform;
    uint64_t addr, value;
    unsigned vcpu, bytes;
    pthread_t thread;
    atomic_bool done;
    int rc;
};

static void *vcpu_access_run(void *arg)
{
    struct vcpu_access *a = arg;

    a->rc = a->platform->ops->mmio_read(a->platform, a->vcpu, a->addr, a->bytes, &a->value);
    atomic_store(&a->done, true);
    return NULL;
}

/* What an access that hangs will write to has to stay; it ends with the process. */
static void vcpu_access_finish(void *arg)
{
    struct vcpu_access *a = arg;

    if (!atomic_load(&a->done)) {
        pthread_detach(a->thread);
        return;
    }
    pthread_join(a->thread, NULL);
    free(a);
}

static struct vcpu_access *vcpu_access_begin(struct check_ctx *t, unsigned vcpu, uint64_t addr,
                                             unsigned bytes)
{
    const struct subject *s = check_subject(t);
    struct vcpu_access *a = calloc(1, sizeof(*a));

    if (!a)
        error_out(t, "no memory");
    a->platform = s->platform;
    a->vcpu = vcpu;
    a->addr = addr;
    a->bytes = bytes;
    if (pthread_create(&a->thread, NULL, vcpu_access_run, a)) {
        free(a);
        a = NULL;
        error_out(t, "no thread");
    }
    check_defer(t, vcpu_access_finish, a);
    return a;
}

static void vcpu_access_expect_end(struct check_ctx *t, const struct vcpu_access *a)
{
    uint64_t deadline = given_now_ns() + MS(2000);
    bool done;

    while (!(done = atomic_load(&a->done)) && given_now_ns() < deadline)
        given_pause();
    expect(t, MUST, done, "the access of vCPU %u does not end", a->vcpu);
    if (!done)
        stop_check(t);
}

CHECK(absent_while_stopped, .judges = TRANSPORT, .proves = "xen.lifecycle.death.2",
      .needs = LIFE_BLK | NEED_TESTBED | NEED_SUCCESSOR, .timeout_ms = 60000,
      .title = "After an orderly stop accesses end: all ones or an abort, and never a hang")
{
    struct blk *k = given_blk(t, 0, 0);
    uint32_t identity;
    const uint64_t at[] = {device_registers(k->d), device_identity(k->d, &identity)};

    backend_stop(k->d);
    for (unsigned i = 0; i < ARRAY_LENGTH(at); i++) {
        const struct vcpu_access *a = vcpu_access_begin(t, 0, at[i], 4);

        vcpu_access_expect_end(t, a);
        expect(t, MUST, a->rc == -EFAULT || (a->rc == 0 && a->value == 0xffffffff),
               "0x%llx without a backend reads 0x%llx (%s)", (unsigned long long)at[i],
               (unsigned long long)a->value, strerror(-a->rc));
    }
    backend_start(k->d);
    expect_device_there(k->d, "when the backend is back");
}

CHECK(waiting_vcpu_is_answered, .judges = DEVICE, .proves = "xen.lifecycle.adoption.1",
      .needs = LIFE_BLK | NEED_TESTBED | NEED_SUCCESSOR, .timeout_ms = 60000,
      .title = "An access that began while the backend was dead is answered by its successor")
{
    struct device *d = given_device(t);
    struct vcpu_access *w;
    uint32_t identity;
    uint64_t until;

    if (d->subject->platform->nr_vcpus < 2)
        skip_check(t, "the domain has one vCPU");
    backend_kill(d);
    w = vcpu_access_begin(t, 1, device_identity(d, &identity), 4);
    /* Whether it waits for the successor or finds nobody is the hypervisor's affair (Xen keeps
     * the dead server, so it waits); that it ends at all is what counts. */
    until = given_now_ns() + MS(100);
    while (!atomic_load(&w->done) && given_now_ns() < until)
        given_pause();
    note(t, "access", "%s", atomic_load(&w->done) ? "ended at once" : "waited");
    backend_come_up(t);
    vcpu_access_expect_end(t, w);
    expect(t, MUST, w->rc == 0 || w->rc == -EFAULT, "the access ended with %s", strerror(-w->rc));
    expect(t, MUST, w->rc || w->value == identity || w->value == 0xffffffff,
           "the access read 0x%llx", (unsigned long long)w->value);
    device_reattach(d);
    expect_device_there(d, "afterwards");
}

/* Wait for everything outstanding; every result has to be `want` or 0. */
static unsigned reap_all(struct check_ctx *t, struct fe_blk *b, bool *lost, int want)
{
    struct fe_blk_done done[32];
    unsigned count = 0;

    while (fe_blk_outstanding(b, 0)) {
        uint64_t begin = given_now_ns();
        int n;

        if (fe_blk_wait(b, 0, MS(2000)) <= 0)
            break;
        if (given_now_ns() - begin >= MS(2000)) {
            expect(t, MUST, false, "requests were answered, but no interrupt came");
            stop_check(t);
        }
        n = fe_blk_reap(b, 0, done, ARRAY_LENGTH(done));
        if (n <= 0)
            break;
        for (int i = 0; i < n; i++) {
            uintptr_t token = (uintptr_t)done[i].token - 1;

            expect(t, MUST, done[i].result == 0 || done[i].result == want,
                   "request %u ended with %s", (unsigned)token, strerror(-done[i].result));
            lost[token] = done[i].result != 0;
            count++;
        }
    }
    expect_eq(t, MUST, fe_blk_outstanding(b, 0), 0, "requests that were never answered");
    if (fe_blk_outstanding(b, 0))
        stop_check(t);
    return count;
}

#define LOST_REQUESTS 24u

struct lost_run {
    struct fe_memory mem;
    struct fe_pci_host host;
    struct fe_virtio *v;
    struct fe_blk *blk;
    void *pages;
};

static void lost_run_end(void *arg)
{
    struct lost_run *r = arg;

    if (fe_blk_destroy(r->blk) == 0 && r->pages)
        fe_pages_free(&r->mem, r->pages, LOST_REQUESTS);
    fe_virtio_destroy(r->v);
    free(r);
}

/* A driver with interrupts on one queue, and a page for each request, until the check ends. */
static struct lost_run *lost_run_start(struct check_ctx *t)
{
    const struct subject *s = check_subject(t);
    struct lost_run *r = calloc(1, sizeof(*r));
    struct fe_blk_config cfg = {
        .interrupts = true, .queues = 1, .features_need = given_ring_features(s)};

    if (!r)
        error_out(t, "no memory");
    check_defer(t, lost_run_end, r);
    fe_memory_init(&r->mem, s->platform, s->addressing, s->backend_domid);
    cfg.memory = &r->mem;
    must(t, given_driver(t, &r->host, &r->v), "opening the device");
    must(t, fe_blk_create(r->v, &cfg, &r->blk), "starting the device");
    must(t, fe_pages_alloc(&r->mem, LOST_REQUESTS, &r->pages), "allocating pages");
    return r;
}

CHECK(killed_with_requests_in_flight, .judges = DEVICE, .proves = "xen.lifecycle.restart.3",
      .needs = LIFE_BLK | NEED_TESTBED | NEED_SUCCESSOR | NEED_WRITABLE | NEED_IRQ,
      .timeout_ms = 60000,
      .title = "Writes in flight at a kill -9 are submitted again, and none is lost")
{
    struct lost_run *r = lost_run_start(t);
    bool lost[LOST_REQUESTS] = {false};
    uint64_t deadline;
    uint8_t *data = r->pages;
    unsigned again = 0;
    int rc;

    if (fe_blk_get_info(r->blk)->depth < LOST_REQUESTS ||
        fe_blk_get_info(r->blk)->capacity_sectors < LOST_REQUESTS * 8ull)
        skip_check(t, "the queue holds %u requests", fe_blk_get_info(r->blk)->depth);

    for (unsigned i = 0; i < LOST_REQUESTS; i++) {
        struct fe_blk_io io = {.type = FE_BLK_OUT,
                               .sector = i * 8ull,
                               .va = data + (size_t)i * XEN_PAGE_BYTES,
                               .bytes = XEN_PAGE_BYTES,
                               .token = (void *)(uintptr_t)(i + 1)};

        memset(io.va, (int)(0x80 + i), XEN_PAGE_BYTES);
        lost[i] = true;
        must(t, fe_blk_submit(r->blk, 0, &io), "submitting a write");
    }
    must(t, fe_blk_kick(r->blk, 0), "ringing the doorbell");
    given_ask(t, "backend.kill", NULL);
    backend_come_up(t);

    deadline = given_now_ns() + LIMIT_RESET_NS;
    do {
        rc = fe_blk_reinit(r->blk);
        if (rc != -ENODEV)
            break;
        given_pause();
    } while (given_now_ns() < deadline);
    expect(t, MUST, rc == 0, "taking the device of the new backend into use: %s", strerror(-rc));
    if (rc)
        stop_check(t);
    reap_all(t, r->blk, lost, -ESTALE);
    for (unsigned i = 0; i < LOST_REQUESTS; i++) {
        struct fe_blk_io io = {.type = FE_BLK_OUT,
                               .sector = i * 8ull,
                               .va = data + (size_t)i * XEN_PAGE_BYTES,
                               .bytes = XEN_PAGE_BYTES,
                               .token = (void *)(uintptr_t)(i + 1)};

        if (!lost[i])
            continue;
        again++;
        must(t, fe_blk_submit(r->blk, 0, &io), "submitting a write again");
    }
    must(t, fe_blk_kick(r->blk, 0), "ringing the doorbell");
    reap_all(t, r->blk, lost, 0);
    note(t, "submitted again", "%u of %u", again, LOST_REQUESTS);

    for (unsigned i = 0; i < LOST_REQUESTS; i++) {
        uint8_t *page = data + (size_t)i * XEN_PAGE_BYTES;
        bool same = true;

        memset(page, 0, XEN_PAGE_BYTES);
        rc = fe_blk_read(r->blk, i * 8ull, page, XEN_PAGE_BYTES);
        for (unsigned j = 0; j < XEN_PAGE_BYTES && same; j++)
            same = page[j] == 0x80 + i;
        expect(t, MUST, rc == 0 && same, "write %u is lost: reading gives %s", i,
               rc ? strerror(-rc) : "other data");
    }
}

#define ENDED_WRITES 8u

CHECK(stopped_with_requests_in_flight, .judges = DEVICE, .proves = "xen.lifecycle.restart.5",
      .needs = LIFE_BLK | NEED_TESTBED | NEED_SUCCESSOR | NEED_WRITABLE, .timeout_ms = 60000,
      .title = "What a backend answers on its way out is done; the rest goes to its successor")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *data = given_buffer(k->d, ENDED_WRITES * SECTOR, 0, FE_DMA_TO_DEVICE);
    struct buffer *statuses = given_buffer(k->d, ENDED_WRITES, 0, FE_DMA_FROM_DEVICE);
    struct buffer *headers = given_buffer(
        k->d, ENDED_WRITES * (uint32_t)sizeof(struct virtio_blk_req_hdr), 0, FE_DMA_TO_DEVICE);
    struct virtio_blk_req_hdr *h = (void *)headers->va;
    struct virtq_raw_used u;
    bool used[ENDED_WRITES] = {false};
    unsigned done = 0;

    if (k->q->size < 3 * ENDED_WRITES)
        skip_check(t, "the queue has only %u entries", k->q->size);
    for (unsigned i = 0; i < ENDED_WRITES; i++)
        blk_write_pattern(k, i, 1, 1);
    memset(statuses->va, 0xee, statuses->bytes);
    for (unsigned i = 0; i < ENDED_WRITES; i++) {
        struct piece p[3] = {
            piece_part(headers, i * (uint32_t)sizeof(*h), sizeof(*h), false),
            piece_part(data, i * SECTOR, SECTOR, false),
            piece_part(statuses, i, 1, true),
        };

        h[i] = (struct virtio_blk_req_hdr){.type = le32_make(VIRTIO_BLK_T_OUT),
                                           .sector = le64_make(i)};
        memset(data->va + i * SECTOR, (int)(0xc0 + i), SECTOR);
        ring_offer(k->q, ring_chain(k->q, 3 * i, p, 3));
        /* Of the second half nobody is told. */
        if (i == ENDED_WRITES / 2 - 1)
            ring_kick(k->q);
    }
    backend_stop(k->d);
    for (unsigned n = 0; n < ENDED_WRITES && ring_used(k->q, &u, 0); n++)
        if (u.id / 3 < ENDED_WRITES)
            used[u.id / 3] = true;
    buffer_release(data);
    buffer_release(statuses);
    buffer_release(headers);
    backend_start(k->d);
    blk_restart(k, 0, 0);
    for (unsigned i = 0; i < ENDED_WRITES; i++) {
        struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
        struct piece p = piece_of(b, true);

        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, i, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of a read");
        buffer_release(b);
        if (!used[i] || statuses->va[i] != VIRTIO_BLK_S_OK)
            continue;
        done++;
        expect(t, MUST, buffer_is(b, (uint8_t)(0xc0 + i)),
               "write %u was answered with success, and is not on the disk", i);
    }
    note(t, "answered on the way out", "%u of %u", done, ENDED_WRITES);
    blk_write_pattern(k, 0, ENDED_WRITES, 2);
    expect_pattern(k, 0, ENDED_WRITES, 2, "what was submitted again is not on the disk");
}

CHECK(driver_library_moves_data, .judges = DEVICE, .proves = "xen.blk.data.2",
      .needs = LIFE_BLK | NEED_WRITABLE | NEED_IRQ, .timeout_ms = 30000,
      .title = "An ordinary driver with interrupts, indirect and event index at full depth")
{
    struct lost_run *r = lost_run_start(t);
    bool failed[LOST_REQUESTS];
    uint8_t *data = r->pages;

    if (fe_blk_get_info(r->blk)->capacity_sectors < 8)
        skip_check(t, "the disk is too small");
    for (unsigned round = 0; round < 200; round++) {
        unsigned n = LOST_REQUESTS;

        if (n > fe_blk_get_info(r->blk)->depth)
            n = fe_blk_get_info(r->blk)->depth;
        if (n > fe_blk_get_info(r->blk)->capacity_sectors / 8)
            n = (unsigned)(fe_blk_get_info(r->blk)->capacity_sectors / 8);
        for (unsigned i = 0; i < n; i++) {
            struct fe_blk_io io = {.type = round % 2 ? FE_BLK_IN : FE_BLK_OUT,
                                   .sector = i * 8ull,
                                   .va = data + (size_t)i * XEN_PAGE_BYTES,
                                   .bytes = XEN_PAGE_BYTES,
                                   .token = (void *)(uintptr_t)(i + 1)};

            memset(io.va, (int)(round % 2 ? 0 : round + i), XEN_PAGE_BYTES);
            must(t, fe_blk_submit(r->blk, 0, &io), "submitting a request");
        }
        must(t, fe_blk_kick(r->blk, 0), "ringing the doorbell");
        expect_eq(t, MUST, reap_all(t, r->blk, failed, 0), n, "the number of answers");
        for (unsigned i = 0; i < n; i++)
            expect(t, MUST, data[(size_t)i * XEN_PAGE_BYTES + 7] == (uint8_t)(round / 2 * 2 + i),
                   "in round %u request %u has other data", round, i);
    }
}
