/* SPDX-License-Identifier: MIT */
/*
 * Where a driver finds its device, whatever the transport: so that only who knows the place has to
 * know what the transport is.
 */
#ifndef RP_FRONTEND_PLACE_H
#define RP_FRONTEND_PLACE_H

#include "frontend/pci.h"
#include "frontend/virtio.h"
#include "util/mmio_window.h"

enum fe_transport { FE_TRANSPORT_PCI, FE_TRANSPORT_MMIO };

struct fe_place {
    enum fe_transport transport;
    sbdf_t sbdf;   /* PCI */
    bool has_port; /* PCI: in the slot of a root port, on the bus that sbdf says */
    sbdf_t port;
    struct mmio_window window; /* MMIO */
};

bool fe_place_same(const struct fe_place *a, const struct fe_place *b);

/* A port on the way is set up first (frontend/port.h). `h` is the host bridge of a function,
 * borrowed as by fe_virtio_pci_create; not used, and may be NULL, for MMIO. Errors as those of
 * fe_virtio_pci_create and fe_virtio_mmio_create. */
int fe_place_open(const struct fe_place *place, struct fe_platform *p, struct fe_pci_host *h,
                  struct fe_virtio **out);

#endif
