/* SPDX-License-Identifier: MIT */
/* What holds for every kind of device that a stock Linux drives. */
#define CHECK_FAMILY "linux"
#include "stock/device.h"
#include "stock/kmsg.h"

#include <stdio.h>
#include <string.h>

#define STATUS_DRIVER_OK 0x0f /* ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK; nothing else */

#define F_VERSION_1       32
#define F_ACCESS_PLATFORM 33

#define REBINDS 10u

static void expect_driver_ok(struct stock *s)
{
    expect_eq(s->t, MUST, stock_number_virtio(s, "status"), STATUS_DRIVER_OK, "device_status");
}

CHECK(driver_binds, .judges = DEVICE, .proves = "xen.linux.bind.1 xen.linux.bind.2",
      .title = "Linux's own driver takes the device and brings it to DRIVER_OK")
{
    struct stock *s = given_stock(t, NULL);
    char features[2 * STOCK_NAME_BYTES + 1];

    note(t, "driver", "%s", s->kind->driver);
    expect_eq(t, MUST, stock_number_virtio(s, "device"), s->kind->id, "the device ID");
    expect_driver_ok(s);
    stock_read_virtio(s, "features", features, sizeof(features));
    note(t, "features", "%s", features);
    expect(t, MUST, stock_negotiated(s, F_VERSION_1), "VIRTIO_F_VERSION_1 is not negotiated");
    /* Linux does not use grants without it. */
    if (s->subject->grants)
        expect(t, MUST, stock_negotiated(s, F_ACCESS_PLATFORM),
               "VIRTIO_F_ACCESS_PLATFORM is not negotiated");
    s->kind->exercise(s);
    expect_driver_ok(s);
}

CHECK(unbind_and_bind, .judges = DEVICE, .proves = "xen.linux.rebind.1", .timeout_ms = 60000,
      .title = "The driver is taken off the device and put on again ten times, and moves data")
{
    struct stock *s = given_stock(t, NULL);

    for (unsigned i = 0; i < REBINDS; i++) {
        stock_unbind(s);
        stock_bind(s);
        s->kind->exercise(s);
    }
    expect_driver_ok(s);
}

static void expect_no_complaint(struct check_ctx *t, const char *when)
{
    struct kmsg k;
    int err = kmsg_read(&k);

    if (err || !k.messages)
        error_out(t, "the kernel's messages cannot be read: %s", strerror(-err));
    note(t, when, "%u messages", k.messages);
    expect(t, MUST, k.complaints == 0, "%u complaints %s, the first one is: %s", k.complaints, when,
           k.first);
    if (k.complaints)
        stop_check(t);
}

CHECK(no_complaints, .judges = DEVICE, .proves = "xen.linux.log.1",
      .title = "From boot until the driver is taken off the kernel complains of nothing")
{
    struct stock *s = given_stock(t, NULL);

    expect_no_complaint(t, "so far");
    s->kind->exercise(s);
    stock_unbind(s);
    expect_no_complaint(t, "after use");
}
