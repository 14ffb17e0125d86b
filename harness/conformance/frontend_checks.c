/* SPDX-License-Identifier: MIT */
/*
 * The driver's domain ends, at whatever point of a device's life: destroyed by the toolstack,
 * crashed, or to be rebooted. Nothing of it stays with anybody, so that Xen can free it; and the
 * domain that comes next, of the same name, finds a fresh device.
 *
 * Each check runs twice: up to the domain's end, and then in the domain that comes after it. What
 * happens in between the runner judges, from outside.
 */
#define CHECK_FAMILY "frontend"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/flight.h"
#include "conformance/plug.h"
#include "frontend/virtio_mmio.h"
#include "frontend/virtio_pci.h"
#include "spec/virtio.h"

#define ENDS (NEED_DEVICE | NEED_SERVICE | NEED_TESTBED)

/* ---- the domain that comes next ---- */

static bool is_next_domain(struct check_ctx *t)
{
    struct fe_pci_host host;
    struct fe_virtio *v = NULL;
    struct service *s;
    uint8_t status = 0xff;
    int rc;

    if (!subject_param(check_subject(t), "reborn"))
        return false;
    must(t, given_driver(t, &host, &v), "opening the device in the domain that came next");
    rc = v->ops->status_read(v, &status);
    fe_virtio_destroy(v);
    must(t, rc, "reading the status");
    expect_eq(t, MUST, status, 0, "the status that a new domain finds");
    if (given_ask_number(t, "device.info", NULL, "holds"))
        given_ask(t, "device.let-go", NULL);
    s = given_service(t, 0, 0);
    expect_served(s, s->q, false);
    expect_service_recovers(s, "the end of the domain before");
    return true;
}

/* Does not return. Each check has a way of its own, so that each way is there. */
static void domain_ends(struct check_ctx *t, const char *how)
{
    char args[48];

    snprintf(args, sizeof(args), "{\"how\": \"%s\"}", how);
    given_ask(t, "domain.end", args);
    error_out(t, "the domain has not ended");
}

/* ---- while a device is set up ---- */

static void status_set(struct device *d, uint8_t status)
{
    must(d->t, d->v->ops->status_write(d->v, status), "writing the status");
}

CHECK(ends_before_acknowledge, .judges = DEVICE, .proves = "xen.lifecycle.frontend.1",
      .needs = ENDS, .timeout_ms = 60000,
      .title = "The domain is destroyed when its driver has found the device and written nothing")
{
    if (is_next_domain(t))
        return;
    given_device(t);
    domain_ends(t, "destroy");
}

CHECK(ends_after_driver, .judges = DEVICE, .proves = "xen.lifecycle.frontend.1", .needs = ENDS,
      .timeout_ms = 60000, .title = "The domain crashes when DRIVER is set")
{
    struct device *d;

    if (is_next_domain(t))
        return;
    d = given_device(t);
    status_set(d, VIRTIO_STATUS_ACKNOWLEDGE);
    status_set(d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    domain_ends(t, "crash");
}

CHECK(ends_after_features_ok, .judges = DEVICE, .proves = "xen.lifecycle.frontend.1", .needs = ENDS,
      .timeout_ms = 60000, .title = "The domain reboots when features are negotiated")
{
    if (is_next_domain(t))
        return;
    given_negotiated(t, 0);
    domain_ends(t, "reboot");
}

CHECK(ends_before_driver_ok, .judges = DEVICE, .proves = "xen.lifecycle.frontend.1", .needs = ENDS,
      .timeout_ms = 60000, .title = "The domain is destroyed when its queues are set up")
{
    struct service *s;

    if (is_next_domain(t))
        return;
    s = given_service_negotiated(t, 0);
    service_queue(s, 0);
    domain_ends(t, "destroy");
}

CHECK(ends_idle, .judges = DEVICE, .proves = "xen.lifecycle.frontend.1", .needs = ENDS,
      .timeout_ms = 60000, .title = "The domain crashes when its device has served and is idle")
{
    struct service *s;

    if (is_next_domain(t))
        return;
    s = given_service(t, 0, 0);
    expect_served(s, s->q, false);
    domain_ends(t, "crash");
}

/* ---- with requests in flight ---- */

static struct flight *begin_flight(struct check_ctx *t, uint64_t features)
{
    struct flight *f = given_flight(given_service(t, features, 0), features);

    flight_begin(f);
    return f;
}

CHECK(ends_in_flight, .judges = DEVICE, .proves = "xen.lifecycle.frontend.2", .needs = ENDS,
      .timeout_ms = 60000, .title = "The domain is destroyed with requests in flight")
{
    if (is_next_domain(t))
        return;
    begin_flight(t, 0);
    domain_ends(t, "destroy");
}

CHECK(reboots_in_flight, .judges = DEVICE, .proves = "xen.lifecycle.frontend.2", .needs = ENDS,
      .timeout_ms = 60000, .title = "The domain reboots with requests in flight")
{
    if (is_next_domain(t))
        return;
    begin_flight(t, 0);
    domain_ends(t, "reboot");
}

/* ---- in the middle of an access ---- */

/* A write that nobody answers: it ends with the process. */
struct write_begun {
    struct fe_platform *platform;
    uint64_t addr, value;
    unsigned vcpu, bytes;
};

static void *write_run(void *arg)
{
    struct write_begun *w = arg;

    (void)w->platform->ops->mmio_write(w->platform, w->vcpu, w->addr, w->bytes, w->value);
    return NULL;
}

/* The backend is stopped; the write waits for it, and so does the domain's end. */
static void ends_amid_write(struct check_ctx *t, struct device *d, uint64_t offset, unsigned bytes,
                            uint64_t value)
{
    struct write_begun *w = calloc(1, sizeof(*w));
    uint64_t before, deadline = given_now_ns() + LIMIT_REPLY_NS;
    pthread_t thread;

    if (!w)
        error_out(t, "no memory");
    *w = (struct write_begun){.platform = d->subject->platform,
                              .addr = device_registers(d) + offset,
                              .value = value,
                              .vcpu = d->v->vcpu,
                              .bytes = bytes};
    before = given_ask_number(t, "domain.accesses", NULL, "count");
    given_ask(t, "backend.pause", NULL);
    if (pthread_create(&thread, NULL, write_run, w)) {
        free(w);
        error_out(t, "no thread");
    }
    pthread_detach(thread);
    while (given_ask_number(t, "domain.accesses", NULL, "count") == before &&
           given_now_ns() < deadline)
        given_pause();
    domain_ends(t, "destroy");
}

CHECK(ends_during_reset, .judges = DEVICE, .proves = "xen.lifecycle.frontend.3", .needs = ENDS,
      .timeout_ms = 60000,
      .title = "The domain is destroyed in the middle of a reset with requests in flight")
{
    struct device *d;

    if (is_next_domain(t))
        return;
    d = begin_flight(t, 0)->s->d;
    if (d->mmio)
        ends_amid_write(t, d, FE_VMMIO_REG(status), 4, 0);
    ends_amid_write(t, d, FE_VPCI_FIELD(device_status), 0);
}

CHECK(ends_during_queue_reset, .judges = DEVICE, .proves = "xen.lifecycle.frontend.3",
      .needs = ENDS | NEED_RING_RESET, .timeout_ms = 60000,
      .title = "The domain is destroyed in the middle of a queue's reset with requests in flight")
{
    struct device *d;

    if (is_next_domain(t))
        return;
    d = begin_flight(t, VIRTIO_F(VIRTIO_F_RING_RESET))->s->d;
    if (d->mmio)
        ends_amid_write(t, d, FE_VMMIO_REG(queue_reset), 4, 1);
    ends_amid_write(t, d, FE_VPCI_FIELD(queue_reset), 1);
}

CHECK(ends_during_unplug, .judges = DEVICE, .proves = "xen.lifecycle.frontend.3", .needs = ENDS,
      .timeout_ms = 60000,
      .title = "The domain is destroyed while its device is taken away, with requests in flight")
{
    char folder[80] = "", args[192];

    if (is_next_domain(t))
        return;
    need_pluggable(t, 0);
    begin_flight(t, 0);
    given_ask_text(t, "device.info", NULL, "store", folder, sizeof(folder));
    given_ask(t, "backend.pause", NULL);
    snprintf(args, sizeof(args), "{\"path\": \"%s/state\", \"value\": \"5\"}", folder);
    given_ask(t, "store.write", args);
    domain_ends(t, "destroy");
}
