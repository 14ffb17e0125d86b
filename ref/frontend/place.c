/* SPDX-License-Identifier: MIT */
#include "frontend/place.h"

#include "frontend/port.h"
#include "frontend/virtio_mmio.h"
#include "frontend/virtio_pci.h"

bool fe_place_same(const struct fe_place *a, const struct fe_place *b)
{
    if (a->transport != b->transport)
        return false;
    return a->transport == FE_TRANSPORT_PCI ? a->sbdf.raw == b->sbdf.raw
                                            : a->window.base == b->window.base;
}

int fe_place_open(const struct fe_place *place, struct fe_platform *p, struct fe_pci_host *h,
                  struct fe_virtio **out)
{
    struct fe_virtio_mmio *mmio;
    struct fe_virtio_pci *pci;
    int rc;

    *out = NULL;
    if (place->transport == FE_TRANSPORT_MMIO) {
        rc = fe_virtio_mmio_create(p, &place->window, &mmio);
        if (rc == 0)
            *out = &mmio->virtio;
    } else {
        struct fe_port port;

        rc = 0;
        if (place->has_port)
            rc = fe_port_open(h, place->port, (uint8_t)sbdf_bus(place->sbdf), &port);
        if (rc == 0)
            rc = fe_virtio_pci_create(h, place->sbdf, &pci);
        if (rc == 0)
            *out = &pci->virtio;
    }
    return rc;
}
