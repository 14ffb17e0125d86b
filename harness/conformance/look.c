/* SPDX-License-Identifier: MIT */
#include "conformance/look.h"

#include <errno.h>

#include "spec/pci.h"

int look_at(struct fe_pci_host *h, struct look *l, sbdf_t at)
{
    uint64_t value = 0;
    int rc = fe_ecam_read(h, at, PCI_REG_VENDOR_ID, 4, &value);

    l->accesses++;
    if (rc == -EFAULT) {
        l->faults++;
        return 0;
    }
    if (rc || (uint32_t)value == UINT32_MAX)
        return rc;
    if (l->found < LOOK_MAX)
        l->at[l->found++] = at;
    else
        l->too_many = true;
    return 0;
}

/* The other functions of a device that is there. */
static int look_beside(struct fe_pci_host *h, struct look *l, sbdf_t fn0)
{
    uint64_t type = 0;
    int rc = fe_ecam_read(h, fn0, PCI_REG_HEADER_TYPE, 1, &type);

    l->accesses++;
    if (rc || !(type & PCI_HEADER_TYPE_MULTIFUNCTION))
        return rc;
    for (unsigned fn = 1; !rc && fn < PCI_FUNCTIONS_PER_DEVICE; fn++)
        rc = look_at(h, l, SBDF(sbdf_segment(fn0), sbdf_bus(fn0), sbdf_device(fn0), fn));
    return rc;
}

int look_everywhere(struct fe_pci_host *h, struct look *l)
{
    const struct fe_host_bridge *b = &h->bridge;
    int rc = 0;

    for (unsigned bus = b->bus_first; !rc && bus <= b->bus_last; bus++) {
        for (unsigned dev = 0; !rc && dev < PCI_DEVICES_PER_BUS; dev++) {
            sbdf_t fn0 = SBDF(b->segment, bus, dev, 0);
            unsigned before = l->found;

            rc = look_at(h, l, fn0);
            if (!rc && l->found > before)
                rc = look_beside(h, l, fn0);
        }
    }
    return rc;
}

int look_machine(const struct subject *s, struct look *l)
{
    int rc = 0;

    for (unsigned i = 0; !rc && i < s->nr_bridges; i++) {
        struct fe_pci_host h;

        fe_pci_host_init(&h, s->platform, &s->bridges[i]);
        rc = look_everywhere(&h, l);
    }
    return rc;
}

bool look_has(const struct look *l, sbdf_t at)
{
    for (unsigned i = 0; i < l->found; i++)
        if (l->at[i].raw == at.raw)
            return true;
    return false;
}
