/* SPDX-License-Identifier: MIT */
/*
 * Modern virtio-pci, device side (VIRTIO 4.1): presents a struct vdev as a PCI function.
 *
 * The function has two 64-bit memory BARs: BAR 0 with the virtio structures (common
 * configuration, ISR, device-specific configuration, notification, a page each) and BAR 2 with
 * the MSI-X table and PBA. Five virtio capabilities describe them, the PCI configuration access
 * one (4.1.4.9) included. There is no legacy interface: the revision is 1 (4.1.2.1).
 *
 * Interrupts: with MSI-X enabled, the vector that the driver bound to the queue or to
 * configuration changes; otherwise the ISR bit and INTx (4.1.4.5, 4.1.5.3, 4.1.5.4).
 */
#ifndef RP_TRANSPORT_VIRTIO_PCI_H
#define RP_TRANSPORT_VIRTIO_PCI_H

#include "device/vdev.h"
#include "pci/function.h"

struct virtio_pci;

struct virtio_pci_options {
    /* MSI-X vectors; 0 chooses one a queue and one for configuration changes. */
    unsigned vectors;
    bool no_msix;                 /* INTx only */
    bool bars_32bit;              /* 32-bit instead of 64-bit BARs */
    uint32_t notify_multiplier;   /* notify_off_multiplier: 0, or an even power of two up to
                                     64 (with NOTIFICATION_DATA at least 4); by default 4
                                     (UINT32_MAX stands for 0) */
    uint8_t interrupt_pin;        /* 0 chooses INTA */
    uint16_t subsystem_vendor_id; /* 0 chooses 0x1af4 */
    uint16_t subsystem_id;        /* 0 chooses 0x40 + the virtio device id */
    bool tells_domid;             /* vendor data says that the driver's grants are for told_domid */
    bool told_in_register;        /* instead, a designated vendor-specific capability does */
    uint16_t told_domid;
    bool not_express; /* leave the PCI Express capability out */
    bool in_slot;     /* an endpoint on a link, instead of an integrated one */
};

/* `d` is borrowed and has to outlive the function; `options` may be NULL for the defaults.
 * -EINVAL: an option out of range; -ENOMEM. */
int virtio_pci_create(struct vdev *d, const struct virtio_pci_options *options,
                      struct virtio_pci **out);
/* Detaches the function from its bridge. NULL is allowed. The vdev stays its owner's. */
void virtio_pci_destroy(struct virtio_pci *vp);

/* The function to attach to a bridge; owned by vp. */
struct pci_function *virtio_pci_function(struct virtio_pci *vp);

/*
 * Where the doorbell of a queue lies: the offset in the BAR named by *bar of the address that
 * the driver writes, for hosts that can deliver those writes by another way than an emulated
 * access. -EINVAL: no such queue.
 */
int virtio_pci_notify_location(const struct virtio_pci *vp, unsigned queue, unsigned *bar,
                               uint32_t *offset_bytes);

#endif
