/* SPDX-License-Identifier: MIT */
#include "abi/dm.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static void dm_end(void *arg)
{
    dm_destroy(arg);
    free(arg);
}

struct dm *dm_create(struct abi *a)
{
    struct dm *d = calloc(1, sizeof(*d));

    if (!d)
        error_out(a->t, "no memory");
    d->a = a;
    check_defer(a->t, dm_end, d);
    /* The handles are the server's own: what is registered later is closed before dm_end. */
    d->h = xendevicemodel_open(NULL, 0);
    d->fmem = xenforeignmemory_open(NULL, 0);
    d->evt = xenevtchn_open(NULL, 0);
    if (!d->h || !d->fmem || !d->evt)
        error_out(a->t, "opening libxen handles: %s", strerror(errno));
    if (xendevicemodel_create_ioreq_server(d->h, a->domid, HVM_IOREQSRV_BUFIOREQ_OFF, &d->id) < 0)
        error_out(a->t, "create_ioreq_server: %s", strerror(errno));
    d->exists = true;
    return d;
}

void dm_map_page(struct dm *d)
{
    void *addr = NULL;

    d->res = xenforeignmemory_map_resource(d->fmem, d->a->domid, XENMEM_resource_ioreq_server,
                                           d->id, XENMEM_resource_ioreq_server_frame_ioreq(0), 1,
                                           &addr, PROT_READ | PROT_WRITE, 0);
    if (!d->res)
        error_out(d->a->t, "map_resource: %s", strerror(errno));
    d->page = addr;
}

void dm_enable(struct dm *d)
{
    struct check_ctx *t = d->a->t;

    if (xendevicemodel_set_ioreq_server_state(d->h, d->a->domid, d->id, 1) < 0)
        error_out(t, "set_ioreq_server_state: %s", strerror(errno));
    for (unsigned i = 0; i < d->a->nr_vcpus && i < DM_VCPUS_MAX; i++) {
        d->port[i] =
            xenevtchn_bind_interdomain(d->evt, d->a->domid, d->page->vcpu_ioreq[i].vp_eport);
        if (d->port[i] < 0)
            error_out(t, "binding vCPU %u's port %u: %s", i, d->page->vcpu_ioreq[i].vp_eport,
                      strerror(errno));
    }
}

void dm_map_range(struct dm *d, uint64_t start, uint64_t end)
{
    if (xendevicemodel_map_io_range_to_ioreq_server(d->h, d->a->domid, d->id, 1, start, end) < 0)
        error_out(d->a->t, "map_io_range: %s", strerror(errno));
}

/* A check that stopped early must not leave a vCPU waiting: other checks need it. */
static void drain(struct dm *d)
{
    for (unsigned i = 0; d->page && i < d->a->nr_vcpus && i < DM_VCPUS_MAX; i++) {
        volatile ioreq_t *r = &d->page->vcpu_ioreq[i];

        if (d->port[i] <= 0 || (r->state != STATE_IOREQ_READY && r->state != STATE_IOREQ_INPROCESS))
            continue;
        r->data = 0;
        __sync_synchronize();
        r->state = STATE_IORESP_READY;
        __sync_synchronize();
        xenevtchn_notify(d->evt, (evtchn_port_t)d->port[i]);
    }
}

void dm_destroy(struct dm *d)
{
    if (d->exists) {
        d->exists = false;
        xendevicemodel_set_ioreq_server_state(d->h, d->a->domid, d->id, 0);
    }
    drain(d);
    if (d->evt)
        xenevtchn_close(d->evt);
    if (d->res)
        xenforeignmemory_unmap_resource(d->fmem, d->res);
    if (d->h) {
        xendevicemodel_destroy_ioreq_server(d->h, d->a->domid, d->id);
        xendevicemodel_close(d->h);
    }
    if (d->fmem)
        xenforeignmemory_close(d->fmem);
    d->evt = NULL;
    d->res = NULL;
    d->page = NULL;
    d->h = NULL;
    d->fmem = NULL;
}

struct dm *dm_serving(struct abi *a)
{
    struct dm *d = dm_create(a);

    dm_map_page(d);
    dm_map_range(d, a->window, a->window + 0xfff);
    dm_enable(d);
    return d;
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Events come for any vCPU, and one without a request behind each binding. */
static bool dm_wait(struct dm *d, unsigned vcpu, unsigned limit_ms)
{
    uint64_t end_ms = now_ms() + limit_ms;

    for (;;) {
        uint64_t now = now_ms();
        int port;

        __sync_synchronize();
        if (((volatile ioreq_t *)d->page->vcpu_ioreq)[vcpu].state == STATE_IOREQ_READY)
            return true;
        if (now >= end_ms)
            return false;
        port = abi_event(d->a->t, d->evt, (int)(end_ms - now));
        if (port > 0)
            xenevtchn_unmask(d->evt, (evtchn_port_t)port);
    }
}

ioreq_t *dm_request(struct dm *d, unsigned vcpu)
{
    if (!dm_wait(d, vcpu, ABI_SOON_MS)) {
        expect(d->a->t, MUST, false, "no request of vCPU %u arrived: its slot is in state %u", vcpu,
               d->page->vcpu_ioreq[vcpu].state);
        stop_check(d->a->t);
    }
    return &d->page->vcpu_ioreq[vcpu];
}

bool dm_quiet(struct dm *d, unsigned vcpu)
{
    return !dm_wait(d, vcpu, ABI_QUIET_MS);
}

void dm_respond(struct dm *d, unsigned vcpu, uint64_t data)
{
    ioreq_t *r = &d->page->vcpu_ioreq[vcpu];

    r->data = data;
    __sync_synchronize();
    r->state = STATE_IORESP_READY;
    __sync_synchronize();
    if (xenevtchn_notify(d->evt, (evtchn_port_t)d->port[vcpu]) < 0)
        error_out(d->a->t, "notify: %s", strerror(errno));
}

static uint64_t access_start(struct abi *a, unsigned vcpu, uint64_t addr, unsigned bytes,
                             const uint64_t *value)
{
    char at[24], text[24];

    snprintf(at, sizeof(at), "0x%" PRIx64, addr);
    if (!value)
        return abi_get(a,
                       abi_call(a, "mmio.start", "{s:i,s:s,s:i}", "vcpu", (int)vcpu, "addr", at,
                                "bytes", (int)bytes),
                       "id");
    snprintf(text, sizeof(text), "0x%" PRIx64, *value);
    return abi_get(a,
                   abi_call(a, "mmio.start", "{s:i,s:s,s:i,s:s}", "vcpu", (int)vcpu, "addr", at,
                            "bytes", (int)bytes, "value", text),
                   "id");
}

uint64_t dm_read_start(struct abi *a, unsigned vcpu, uint64_t addr, unsigned bytes)
{
    return access_start(a, vcpu, addr, bytes, NULL);
}

uint64_t dm_write_start(struct abi *a, unsigned vcpu, uint64_t addr, unsigned bytes, uint64_t value)
{
    return access_start(a, vcpu, addr, bytes, &value);
}

bool dm_access_end(struct abi *a, uint64_t access, unsigned timeout_ms, uint64_t *value, int *err)
{
    json_t *v = abi_call(a, "mmio.wait", "{s:I,s:i}", "id", (json_int_t)access, "timeout_ms",
                         (int)timeout_ms);

    if (!abi_get(a, v, "done"))
        return false;
    *value = abi_get(a, v, "value");
    *err = (int)abi_get(a, v, "errno");
    return true;
}
