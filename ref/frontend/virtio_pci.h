/* SPDX-License-Identifier: MIT */
/*
 * The modern virtio-pci transport, driver side (VIRTIO 4.1).
 *
 * The structures are found through vendor capabilities; each is checked against the size of the
 * BAR that it lies in, and the accesses use the width of the field (4.1.3.1).
 */
#ifndef RP_FRONTEND_VIRTIO_PCI_H
#define RP_FRONTEND_VIRTIO_PCI_H

#include "frontend/pci.h"
#include "frontend/virtio.h"
#include "spec/virtio_pci.h"

/* One structure of 4.1.4: where its capability says that it is. */
struct fe_vpci_region {
    bool present;
    uint8_t cap_offset, bar, cap_len;
    uint32_t offset, bytes;
};

/* A field of the common configuration as the two arguments offset and width. */
#define FE_VPCI_FIELD(field)                                                                       \
    offsetof(struct virtio_pci_common_cfg, field),                                                 \
        sizeof(((struct virtio_pci_common_cfg *)0)->field)

struct fe_virtio_pci {
    struct fe_virtio virtio;
    struct fe_pci_func func;
    struct fe_vpci_region common, notify, isr, device, pci_cfg;
    uint32_t notify_multiplier;
    /* Valid for queues set up: the doorbell's place in the BAR, and what names the queue there. */
    uint32_t notify_offset[FE_VIRTIO_QUEUES_MAX];
    uint16_t notify_name[FE_VIRTIO_QUEUES_MAX];
    /* MSI-X vectors handed out; the message is kept for fe_virtio's reattach. */
    struct {
        bool used;
        struct fe_msi msi;
    } vectors[FE_VIRTIO_QUEUES_MAX + 1];
    unsigned intx_users;
};

/*
 * Find the structures of an opened function, assign its BARs and enable it. -ENODEV: no virtio
 * device; -ENOTSUP: no modern interface; -EPROTO: a required structure is missing or does not
 * fit its BAR; -ENOSPC: no room in the BAR window.
 */
int fe_virtio_pci_create(struct fe_pci_host *h, sbdf_t sbdf, struct fe_virtio_pci **out);

/* The device, when this is its transport; NULL when not. */
struct fe_virtio_pci *fe_virtio_pci_of(struct fe_virtio *v);

/* Read the virtio capabilities of an opened function without judging them, for checks.
 * `max` entries at most; *count is how many were found. */
struct fe_vpci_cap {
    uint8_t cap_offset, cap_len, type, bar, id;
    uint32_t offset, bytes, extra; /* extra: the dword behind, e.g. notify_off_multiplier */
};
int fe_virtio_pci_caps(struct fe_pci_func *f, struct fe_vpci_cap *caps, unsigned max,
                       unsigned *count);

/* Access to the common configuration, `FE_VPCI_FIELD(name)` by its own width. -ERANGE: past the
 * structure. */
int fe_vpci_common_read(struct fe_virtio_pci *p, unsigned offset, unsigned bytes, uint64_t *value);
int fe_vpci_common_write(struct fe_virtio_pci *p, unsigned offset, unsigned bytes, uint64_t value);

#endif
