/* SPDX-License-Identifier: MIT */
/*
 * A device that comes from outside Xen: Xen runs in a virtual machine, and dom0 has that machine's
 * virtio devices beside those of Xen's backends. Nobody of this Xen is behind such a device, so
 * that a reference means nothing to it. What is told is told of another device.
 */
#define CHECK_FAMILY "nested"
#include <errno.h>

#include "conformance/service.h"

CHECK(outside_device_gets_no_grants, .judges = DRIVER, .proves = "xen.discovery.nested.2",
      .needs = NEED_DEVICE | NEED_PCI | NEED_SERVICE | NEED_DISCOVERY,
      .title = "The driver of a device from outside Xen uses physical addresses, and they work")
{
    struct service *s = given_service_negotiated(t, 0);
    struct device *d = s->d;
    struct fe_discovery_sources from = device_sources(d);
    struct fe_discovery found = {0};

    if (!subject_param(d->subject, "outside"))
        skip_check(t, "the device is a backend's of this Xen (axis backend)");
    int rc = fe_discovery_ask_all(&from, d->pci->func.sbdf, &found);
    if (rc && rc != -ENOENT)
        must(t, rc, "asking whose backend it is");
    expect(t, MUST, rc == -ENOENT, "a driver in domain %u grants its memory to domain %u",
           from.own_domid, found.domid);
    d->mem.backend_domid = found.domid;
    d->mem.addressing = rc ? FE_ADDRESSING_FOREIGN : FE_ADDRESSING_GRANTS;
    device_negotiate(d, 0);
    service_queue(s, 0);
    device_driver_ok(d);
    expect_served(s, s->q, false);
    note(t, "addresses", "%s", rc ? "physical" : "grants");
}
