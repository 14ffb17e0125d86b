/* SPDX-License-Identifier: MIT */
/*
 * Who can be whose backend: a driver in dom0 or a domU, a backend in dom0 or a driver domain, one
 * that takes grants or knows none. Either requests work with what the cell's mechanism says, or
 * somebody refuses, and each refusal has its rule: Xen, the driver, or the device. What came of it
 * is noted as a row of the scenario's table.
 */
#define CHECK_FAMILY "pairing"
#include <errno.h>
#include <string.h>

#include "conformance/service.h"

#define PAIRING (NEED_DEVICE | NEED_PCI | NEED_SERVICE | NEED_DISCOVERY | NEED_GRANTS)

/* Facts of the cell. */
struct pairing {
    bool driver_in_dom0, dom0_serves, takes_grants;
    bool by_default; /* the mechanism names nobody */
};

static struct pairing pairing_of(struct check_ctx *t)
{
    const struct subject *s = check_subject(t);

    return (struct pairing){
        .driver_in_dom0 = s->platform->domid == 0,
        .dom0_serves = subject_param(s, "dom0_serves"),
        .takes_grants = subject_param(s, "takes_grants"),
        .by_default = fe_mechanism_is_default(s->mechanism),
    };
}

static void works(struct check_ctx *t, const char *how)
{
    note(t, "result", "works");
    note(t, "reason", "%s", how);
}

static void refused(struct check_ctx *t, const char *by, const char *why)
{
    note(t, "result", "refused by %s", by);
    note(t, "reason", "%s", why);
}

/* What the mechanism says, or the end of the check. */
static void ask(struct device *d, struct fe_discovery *found)
{
    struct fe_discovery_sources from = device_sources(d);

    must(d->t, fe_discovery_ask(d->subject->mechanism, &from, d->pci->func.sbdf, found),
         "asking whose backend it is");
    d->mem.backend_domid = found->domid;
}

CHECK(grants_reach_the_backend, .judges = TOOLSTACK, .proves = "xen.discovery.found.2",
      .needs = PAIRING,
      .title = "The domain named is the one that the backend is in, dom0 or not: requests work")
{
    const struct pairing is = pairing_of(t);
    struct fe_discovery found;

    if (!is.takes_grants || (is.driver_in_dom0 && is.dom0_serves) ||
        (is.by_default && (is.driver_in_dom0 || !is.dom0_serves)))
        skip_check(t, "this pair is refused");
    struct service *s = given_service_negotiated(t, 0);
    ask(s->d, &found);
    service_queue(s, 0);
    device_driver_ok(s->d);
    expect_served(s, s->q, false);
    works(t, is.by_default ? "a default, which is right here" : "the mechanism names the domain");
}

CHECK(domain_serves_itself_never, .judges = HYPERVISOR, .proves = "xen.discovery.pair.1",
      .needs = PAIRING | NEED_UNSERVED,
      .title = "A backend in the driver's own domain is refused by Xen")
{
    const struct pairing is = pairing_of(t);
    char why[512] = "";

    if (!is.driver_in_dom0 || !is.dom0_serves)
        skip_check(t, "driver and backend are in different domains");
    int rc = given_try(t, "backend.start", NULL, why, sizeof(why));
    expect(t, MUST, rc != 0, "a backend in the driver's own domain serves it");
    expect(t, MUST, !rc || strstr(why, "not permitted"), "it is refused for another reason: %s",
           why);
    refused(t, "Xen", "EPERM: a domain is not its own device model");
}

CHECK(driver_in_dom0_believes_no_default, .judges = DRIVER, .proves = "xen.discovery.nested.1",
      .needs = PAIRING, .title = "A driver in dom0 grants to nobody for a default's sake")
{
    const struct pairing is = pairing_of(t);
    struct fe_discovery found = {0};

    if (!is.driver_in_dom0 || is.dom0_serves || !is.by_default)
        skip_check(t, "no driver in dom0 that is served and has a default alone");
    struct device *d = given_device(t);
    struct fe_discovery_sources from = device_sources(d);
    int rc = fe_discovery_ask_all(&from, d->pci->func.sbdf, &found);
    expect(t, MUST, rc == -ENOENT, "the driver grants to domain %u (%d)", found.domid, rc);
    refused(t, "the driver", "no default is believed in dom0");
}

CHECK(default_reaches_no_driver_domain, .judges = DEVICE, .proves = "xen.discovery.pair.2",
      .needs = PAIRING,
      .title = "Granted to dom0 by default, a backend in a driver domain has nothing and says so")
{
    const struct pairing is = pairing_of(t);
    struct fe_discovery found;

    if (is.driver_in_dom0 || is.dom0_serves || !is.by_default || !is.takes_grants)
        skip_check(t, "no default that is wrong");
    struct service *s = given_service_negotiated(t, 0);
    ask(s->d, &found);
    expect_service_refused(s, "granted to domain 0");
    refused(t, "the device", "a default means dom0, and the backend is elsewhere");
}

CHECK(grants_unknown_are_refused, .judges = DEVICE, .proves = "xen.discovery.pair.3",
      .needs = PAIRING,
      .title = "A backend that knows no grants does not take their addresses for anything else")
{
    const struct pairing is = pairing_of(t);
    struct fe_discovery found;

    if (is.takes_grants || (is.driver_in_dom0 && (is.dom0_serves || is.by_default)))
        skip_check(t, "the backend takes grants, or none are made");
    struct service *s = given_service_negotiated(t, 0);
    ask(s->d, &found);
    expect_service_refused(s, "granted to a backend that knows no grants");
    refused(t, "the device", "it knows no grants");
}
