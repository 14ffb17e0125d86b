/* SPDX-License-Identifier: MIT */
/*
 * How a driver learns whom to grant its memory to: by the mechanism of the cell (axis discovery).
 * The domid that the agent was started with is nobody's here, so that a driver that did not find
 * out cannot pass. The first device is spoken of; no other is, so that any other stands for a
 * device that comes from outside Xen.
 */
#define CHECK_FAMILY "discovery"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/service.h"
#include "spec/discovery.h"

#define DISCOVERY_NEEDS (NEED_DEVICE | NEED_PCI | NEED_SERVICE | NEED_DISCOVERY | NEED_GRANTS)

#define MMIO_DISCOVERY_NEEDS (NEED_DEVICE | NEED_MMIO | NEED_SERVICE | NEED_DISCOVERY | NEED_GRANTS)

/* A domid that no domain of a cell has. */
#define NOBODY 31999u

static enum fe_mechanism check_mechanism(struct check_ctx *t)
{
    const struct subject *s = check_subject(t);

    return s->mechanism;
}

/* Accesses that trap on the way to an answer, where the testbed counts them. */
static bool count_traps(struct check_ctx *t, uint64_t *count)
{
    char why[512];

    if (given_try(t, "domain.accesses", NULL, why, sizeof(why)))
        return false;
    *count = given_ask_number(t, "domain.accesses", NULL, "count");
    return true;
}

static void works_with_domain_found(struct service *s, sbdf_t sbdf)
{
    struct check_ctx *t = s->d->t;
    const enum fe_mechanism m = s->d->subject->mechanism;
    const struct fe_mechanism_form *form = fe_mechanism_form(m);
    struct fe_discovery_sources from = device_sources(s->d);
    struct fe_discovery found;
    uint64_t before = 0, after = 0;
    bool counted = count_traps(t, &before);
    uint64_t start = given_now_ns();
    int rc = fe_discovery_ask(m, &from, sbdf, &found);
    uint64_t took = given_now_ns() - start;

    counted = counted && count_traps(t, &after);
    expect(t, MUST, rc == 0, "%s says nothing of the device that can be used: %s",
           fe_mechanism_name(m), strerror(-rc));
    if (rc)
        stop_check(t);
    s->d->mem.backend_domid = found.domid;
    service_queue(s, 0);
    device_driver_ok(s->d);
    expect_served(s, s->q, false);
    note(t, "guests", "%s", form->guests);
    note(t, "hotplug", "%s", form->hotplug);
    note(t, "mmio", "%s", form->mmio);
    note(t, "needs", "%s", form->needs);
    note(t, "changes to VIRTIO", "%s", form->virtio);
    note(t, "domid", "%u", found.domid);
    note(t, "accesses", "%u", found.accesses);
    if (counted)
        note(t, "traps", "%" PRIu64, after - before);
    note(t, "round trips", "%u", found.round_trips);
    note(t, "bytes", "%zu", found.bytes);
    note(t, "time", "%" PRIu64 ".%" PRIu64, took / 1000, took % 1000 / 100);
}

CHECK(
    device_works_with_domain_found, .judges = TOOLSTACK, .proves = "xen.discovery.found.1",
    .needs = DISCOVERY_NEEDS,
    .title = "The mechanism names the domain that serves the device: requests work with its grants")
{
    struct service *s = given_service_negotiated(t, 0);

    works_with_domain_found(s, s->d->pci->func.sbdf);
}

CHECK(mmio_device_works_with_domain_found, .judges = TOOLSTACK, .proves = "xen.discovery.found.3",
      .needs = MMIO_DISCOVERY_NEEDS,
      .title = "A virtio-mmio device: the domain that its node names serves it")
{
    works_with_domain_found(given_service_negotiated(t, 0), SBDF(0, 0, 0, 0));
}

CHECK(mmio_device_from_elsewhere_is_left_alone, .judges = DRIVER,
      .proves = "xen.discovery.foreign.2", .needs = MMIO_DISCOVERY_NEEDS,
      .title = "A virtio-mmio device of which nobody speaks takes no grants")
{
    struct device *d = given_device(t);
    struct fe_discovery_sources from = device_sources(d);
    const uint64_t elsewhere = *from.window + DISCOVERY_WINDOW_BYTES;
    struct fe_discovery found = {0};

    from.window = &elsewhere;
    int rc = fe_discovery_ask(d->subject->mechanism, &from, SBDF(0, 0, 0, 0), &found);
    note(t, "tells devices apart", "%s", rc ? "yes" : "no");
    if (fe_mechanism_is_default(d->subject->mechanism))
        skip_check(t, "%s speaks of no device", fe_mechanism_name(d->subject->mechanism));
    expect(t, MUST, rc == -ENOENT, "the next device is said to take grants for domain %u (%d)",
           found.domid, rc);
}

CHECK(device_from_elsewhere_is_left_alone, .judges = DRIVER, .proves = "xen.discovery.foreign.1",
      .needs = DISCOVERY_NEEDS,
      .title = "A device of which nobody speaks takes no grants, whatever is said of others")
{
    struct device *d = given_device(t);
    struct fe_discovery_sources from = device_sources(d);
    /* What is on the bus beside it, or could be. */
    static const sbdf_t others[] = {SBDF(0, 0, 2, 0), SBDF(0, 0, 1, 1), SBDF(0, 1, 1, 0),
                                    SBDF(1, 0, 1, 0), SBDF(0, 0, 0, 0)};

    unsigned mistaken = 0;

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct fe_pci_func *f = calloc(1, sizeof(*f));
        struct fe_discovery found;

        if (!f)
            error_out(t, "no memory");
        check_defer(t, free, f);
        from.function = fe_pci_func_open(&d->host, others[i], f) ? NULL : f;
        int rc = fe_discovery_ask(d->subject->mechanism, &from, others[i], &found);
        mistaken += rc == 0;
        if (rc && rc != -ENOENT)
            must(t, rc, "asking about another device");
    }
    note(t, "tells devices apart", "%s", mistaken ? "no" : "yes");
    /* It cannot, and has a rule of its own (xen.discovery.nested.1). */
    if (fe_mechanism_is_default(d->subject->mechanism))
        skip_check(t, "%s speaks of no device", fe_mechanism_name(d->subject->mechanism));
    expect(t, MUST, mistaken == 0, "%u devices of which nobody speaks are said to take grants",
           mistaken);
}

CHECK(
    initial_domain_trusts_no_default, .judges = DRIVER, .proves = "xen.discovery.nested.1",
    .needs = DISCOVERY_NEEDS,
    .title = "In the initial domain, where devices come from outside Xen, no default makes grants")
{
    struct device *d = given_device(t);
    struct fe_discovery_sources from = device_sources(d);
    struct fe_discovery found;

    if (!fe_mechanism_is_default(d->subject->mechanism))
        skip_check(t, "%s names the device", fe_mechanism_name(d->subject->mechanism));
    from.own_domid = 0;
    int rc = fe_discovery_ask(d->subject->mechanism, &from, d->pci->func.sbdf, &found);
    expect(t, MUST, rc == -ENOENT, "a driver in dom0 grants its memory to domain %u (%d)",
           found.domid, rc);
}

CHECK(default_yields_to_an_answer, .judges = DRIVER, .proves = "xen.discovery.conflict.2",
      .needs = DISCOVERY_NEEDS,
      .title = "A default does not contradict the mechanism that names a device's backend")
{
    struct device *d = given_device(t);
    struct fe_discovery_sources from = device_sources(d);
    const sbdf_t sbdf = d->pci->func.sbdf;
    struct fe_discovery found;
    char line[64];

    if (!fe_mechanism_is_default(d->subject->mechanism))
        skip_check(t, "%s names the device", fe_mechanism_name(d->subject->mechanism));
    snprintf(line, sizeof(line), DISCOVERY_PARAMETER "%04x:%02x:%02x.%x/7", sbdf_segment(sbdf),
             sbdf_bus(sbdf), sbdf_device(sbdf), sbdf_function(sbdf));
    from.command_line = line;
    int rc = fe_discovery_ask_all(&from, sbdf, &found);
    expect(t, MUST, rc == 0 && found.domid == 7,
           "domain 7 was named, the driver makes %u (%d) of it", found.domid, rc);
}

CHECK(contradiction_is_refused, .judges = DRIVER, .proves = "xen.discovery.conflict.1",
      .needs = DISCOVERY_NEEDS,
      .title = "Where two mechanisms name different domains, the driver grants to neither")
{
    struct device *d = given_device(t);
    struct fe_discovery_sources from = device_sources(d);
    const sbdf_t sbdf = d->pci->func.sbdf;
    struct fe_discovery found;
    char line[64];
    /* Another mechanism than the cell's says what it likes. */
    struct {
        struct discovery_acpi_header h;
        struct discovery_acpi_entry e;
    } table = {
        .h = {.signature = {'U', 'E', 'F', 'I'},
              .length = le32_make(sizeof(table)),
              .uuid = DISCOVERY_ACPI_UUID,
              .data_offset = le16_make(sizeof(table.h))},
        .e = {.segment = le16_make(sbdf_segment(sbdf)), .rid = le16_make((uint16_t)sbdf.raw)}};
    if (fe_mechanism_is_default(d->subject->mechanism))
        skip_check(t, "%s names nobody", fe_mechanism_name(d->subject->mechanism));
    bool by_table = d->subject->mechanism == FE_MECHANISM_BOOT_PARAMETER;

    for (uint16_t domid = 0; domid < 2; domid++) {
        uint8_t sum = 0;

        snprintf(line, sizeof(line), DISCOVERY_PARAMETER "%04x:%02x:%02x.%x/%u", sbdf_segment(sbdf),
                 sbdf_bus(sbdf), sbdf_device(sbdf), sbdf_function(sbdf), domid);
        table.h.checksum = 0;
        table.e.domid = le16_make(domid);
        for (size_t i = 0; i < sizeof(table); i++)
            sum = (uint8_t)(sum + ((const uint8_t *)&table)[i]);
        table.h.checksum = (uint8_t)-sum;
        if (by_table) {
            from.acpi = (const uint8_t *)&table;
            from.acpi_bytes = sizeof(table);
        } else {
            from.command_line = line;
        }
        int rc = fe_discovery_ask_all(&from, sbdf, &found);
        expect(t, MUST, rc == (domid ? -EEXIST : 0),
               "one mechanism says domain 0, another domain %u: the driver makes %d of it", domid,
               rc);
    }
}

CHECK(damaged_data_is_refused, .judges = DRIVER, .proves = "xen.discovery.damaged.1",
      .needs = DISCOVERY_NEEDS,
      .title = "Boot data that were cut or changed name no domain but the right one")
{
    struct device *d = given_device(t);
    struct fe_discovery_sources from = device_sources(d);
    const sbdf_t sbdf = d->pci->func.sbdf;
    const bool tree = from.tree != NULL;
    const size_t bytes = tree ? from.tree_bytes : from.acpi_bytes;
    struct fe_discovery found;
    unsigned wrong = 0;

    if (!bytes)
        skip_check(t, "%s has no data that firmware leaves in memory",
                   fe_mechanism_name(d->subject->mechanism));
    for (size_t cut = 0; cut < bytes; cut++) {
        /* Memory of its own, so that a sanitiser sees what is read behind it. */
        uint8_t *part = malloc(cut ? cut : 1);
        if (!part)
            error_out(t, "no memory");
        memcpy(part, tree ? from.tree : from.acpi, cut);
        struct fe_discovery_sources s = {.own_domid = from.own_domid,
                                         .tree = tree ? part : NULL,
                                         .tree_bytes = tree ? cut : 0,
                                         .acpi = tree ? NULL : part,
                                         .acpi_bytes = tree ? 0 : cut};
        wrong += fe_discovery_ask(d->subject->mechanism, &s, sbdf, &found) != -EPROTO;
        free(part);
    }
    expect(t, MUST, wrong == 0, "%u of %zu cut ones were taken", wrong, bytes);
    if (tree)
        return;
    uint8_t *copy = malloc(bytes);
    if (!copy)
        error_out(t, "no memory");
    check_defer(t, free, copy);
    memcpy(copy, from.acpi, bytes);
    copy[bytes - 4]++; /* the domid */
    struct fe_discovery_sources s = {.acpi = copy, .acpi_bytes = bytes};
    int rc = fe_discovery_ask(d->subject->mechanism, &s, sbdf, &found);
    expect(t, MUST, rc == -EPROTO, "a table that does not add up is taken (%d)", rc);
}

CHECK(domain_that_is_not_there, .judges = DEVICE, .proves = "xen.discovery.conflict.3",
      .needs = DISCOVERY_NEEDS,
      .title = "Granted to a domain that does not exist, a device serves nothing and says so")
{
    char line[64];

    /* Whoever names it: the driver has to believe it. */
    if (check_mechanism(t) != FE_MECHANISM_BOOT_PARAMETER)
        skip_check(t, "one mechanism is enough: boot-parameter");
    struct service *s = given_service_negotiated(t, 0);
    struct fe_discovery_sources from = device_sources(s->d);
    const sbdf_t sbdf = s->d->pci->func.sbdf;
    struct fe_discovery found;

    snprintf(line, sizeof(line), DISCOVERY_PARAMETER "%04x:%02x:%02x.%x/%u", sbdf_segment(sbdf),
             sbdf_bus(sbdf), sbdf_device(sbdf), sbdf_function(sbdf), NOBODY);
    from.command_line = line;
    must(t, fe_discovery_ask_all(&from, sbdf, &found), "asking whose backend it is");
    s->d->mem.backend_domid = found.domid;
    expect_service_refused(s, "granted to a domain that does not exist");
}

CHECK(backend_that_moved_is_asked_for_again, .judges = DRIVER, .proves = "xen.discovery.conflict.4",
      .needs = DISCOVERY_NEEDS | NEED_TESTBED,
      .title = "When the store names another domain, a driver that starts again grants to that one")
{
    char args[160];

    if (check_mechanism(t) != FE_MECHANISM_XENSTORE)
        skip_check(t, "%s does not change while a domain runs",
                   fe_mechanism_name(check_mechanism(t)));
    struct service *s = given_service_negotiated(t, 0);
    struct fe_discovery_sources from = device_sources(s->d);
    const sbdf_t sbdf = s->d->pci->func.sbdf;
    struct fe_discovery first, found = {0};

    must(t, fe_discovery_ask_all(&from, sbdf, &first), "asking whose backend it is");
    for (unsigned back = 0; back < 2; back++) {
        const uint16_t to = back ? first.domid : NOBODY;

        snprintf(args, sizeof(args),
                 "{\"path\": \"/local/domain/%u/" DISCOVERY_STORE_KEY "\", \"value\": \"%u\"}",
                 s->d->subject->platform->domid, sbdf_segment(sbdf), sbdf_bus(sbdf),
                 sbdf_device(sbdf), sbdf_function(sbdf), to);
        given_ask(t, "store.write", args);
        must(t, fe_discovery_ask_all(&from, sbdf, &found), "asking again");
        expect(t, MUST, found.domid == to, "the store says %u, the driver makes %u of it", to,
               found.domid);
        s->d->mem.backend_domid = found.domid;
        if (!back)
            expect_service_refused(s, "the backend has not followed");
    }
    device_negotiate(s->d, 0);
    service_queue(s, 0);
    device_driver_ok(s->d);
    expect_served(s, s->q, false);
}

CHECK(renumbered_device_is_nobody_elses, .judges = DRIVER, .proves = "xen.discovery.renumber.1",
      .needs = DISCOVERY_NEEDS,
      .title = "After the guest changed bus numbers, what names by place names nobody for a device")
{
    const enum fe_mechanism m = check_mechanism(t);
    struct device *d = given_device(t);
    struct fe_discovery_sources from = device_sources(d);
    struct fe_pci_host moved = d->host;
    const sbdf_t old = d->pci->func.sbdf;
    const sbdf_t sbdf =
        SBDF(sbdf_segment(old), sbdf_bus(old) + 1u, sbdf_device(old), sbdf_function(old));
    const bool own = m == FE_MECHANISM_VENDOR_CAPABILITY || m == FE_MECHANISM_DEVICE_REGISTER;
    struct fe_pci_func *f = calloc(1, sizeof(*f));
    struct fe_discovery found, before;

    if (!f)
        error_out(t, "no memory");
    check_defer(t, free, f);
    if (fe_mechanism_is_default(m))
        skip_check(t, "%s speaks of no device", fe_mechanism_name(m));
    must(t, fe_discovery_ask(m, &from, old, &before), "asking before");
    /* The same function, behind a bridge whose first bus has another number now. */
    moved.bridge.bus_first++;
    *f = d->pci->func;
    f->host = &moved;
    f->sbdf = sbdf;
    from.host = &moved;
    from.function = f;
    int rc = fe_discovery_ask(m, &from, sbdf, &found);
    if (own)
        expect(t, MUST, rc == 0 && found.domid == before.domid,
               "the device's own function said %u and says %u (%d)", before.domid, found.domid, rc);
    else
        expect(t, MUST, rc == -ENOENT, "the device is somewhere else, and %s names domain %u (%d)",
               fe_mechanism_name(m), found.domid, rc);
    note(t, "after renumbering", "%s", own ? "found" : "lost");
}
