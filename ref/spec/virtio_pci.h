/* SPDX-License-Identifier: MIT */
/* VIRTIO 1.4, 4.1: virtio over PCI (modern interface). */
#ifndef RP_SPEC_VIRTIO_PCI_H
#define RP_SPEC_VIRTIO_PCI_H

#include "util/types.h"

/* 4.1.2: discovery. */
#define VIRTIO_PCI_VENDOR_ID        0x1af4u
#define VIRTIO_PCI_DEVICE_ID_BASE   0x1040u /* plus the virtio device ID */
#define VIRTIO_PCI_DEVICE_ID_FIRST  0x1000u /* transitional devices begin here */
#define VIRTIO_PCI_DEVICE_ID_LAST   0x107fu
#define VIRTIO_PCI_REVISION_MIN     1u    /* of a non-transitional device, 4.1.2.1 */
#define VIRTIO_PCI_SUBSYSTEM_ID_MIN 0x40u /* of a non-transitional device, 4.1.2.1 */

/* 4.1.4: cfg_type. */
#define VIRTIO_PCI_CAP_COMMON_CFG        1u
#define VIRTIO_PCI_CAP_NOTIFY_CFG        2u
#define VIRTIO_PCI_CAP_ISR_CFG           3u
#define VIRTIO_PCI_CAP_DEVICE_CFG        4u
#define VIRTIO_PCI_CAP_PCI_CFG           5u
#define VIRTIO_PCI_CAP_SHARED_MEMORY_CFG 8u
#define VIRTIO_PCI_CAP_VENDOR_CFG        9u

/* 4.1.4: the vendor-specific capability that locates a structure. */
struct virtio_pci_cap {
    uint8_t cap_vndr; /* PCI_CAP_VENDOR, 0x09 */
    uint8_t cap_next;
    uint8_t cap_len;
    uint8_t cfg_type;
    uint8_t bar;
    uint8_t id;
    uint8_t padding[2];
    le32_t offset;
    le32_t length;
};
_Static_assert(sizeof(struct virtio_pci_cap) == 16, "4.1.4");
_Static_assert(offsetof(struct virtio_pci_cap, cfg_type) == 3, "4.1.4");
_Static_assert(offsetof(struct virtio_pci_cap, bar) == 4, "4.1.4");
_Static_assert(offsetof(struct virtio_pci_cap, offset) == 8, "4.1.4");
_Static_assert(offsetof(struct virtio_pci_cap, length) == 12, "4.1.4");

/* 4.1.4: the variant for shared memory regions, 4.1.4.7. */
struct virtio_pci_cap64 {
    struct virtio_pci_cap cap;
    le32_t offset_hi;
    le32_t length_hi;
};
_Static_assert(sizeof(struct virtio_pci_cap64) == 24, "4.1.4");

/* 4.1.4.4 */
struct virtio_pci_notify_cap {
    struct virtio_pci_cap cap;
    le32_t notify_off_multiplier;
};
_Static_assert(sizeof(struct virtio_pci_notify_cap) == 20, "4.1.4.4");

/* 4.1.4.9 */
struct virtio_pci_cfg_cap {
    struct virtio_pci_cap cap;
    uint8_t pci_cfg_data[4];
};
_Static_assert(sizeof(struct virtio_pci_cfg_cap) == 20, "4.1.4.9");

/* 4.1.4.8: no BAR, offset or length; data follows, cap_len is a multiple of 4. */
struct virtio_pci_vndr_data {
    uint8_t cap_vndr;
    uint8_t cap_next;
    uint8_t cap_len;
    uint8_t cfg_type;
    le16_t vendor_id; /* never 0x1af4 */
};
_Static_assert(sizeof(struct virtio_pci_vndr_data) == 6, "4.1.4.8");

/* 4.1.4.3 */
struct virtio_pci_common_cfg {
    /* the whole device */
    le32_t device_feature_select;
    le32_t device_feature;
    le32_t driver_feature_select;
    le32_t driver_feature;
    le16_t config_msix_vector;
    le16_t num_queues;
    uint8_t device_status;
    uint8_t config_generation;
    /* the selected queue */
    le16_t queue_select;
    le16_t queue_size;
    le16_t queue_msix_vector;
    le16_t queue_enable;
    le16_t queue_notify_off;
    le64_t queue_desc;
    le64_t queue_driver;
    le64_t queue_device;
    le16_t queue_notif_config_data; /* VIRTIO_F_NOTIF_CONFIG_DATA */
    le16_t queue_reset;             /* VIRTIO_F_RING_RESET */
    /* the administration queues, VIRTIO_F_ADMIN_VQ */
    le16_t admin_queue_index;
    le16_t admin_queue_num;
};
_Static_assert(offsetof(struct virtio_pci_common_cfg, device_feature_select) == 0, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, device_feature) == 4, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, driver_feature_select) == 8, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, driver_feature) == 12, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, config_msix_vector) == 16, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, num_queues) == 18, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, device_status) == 20, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, config_generation) == 21, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_select) == 22, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_size) == 24, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_msix_vector) == 26, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_enable) == 28, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_notify_off) == 30, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_desc) == 32, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_driver) == 40, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_device) == 48, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_notif_config_data) == 56, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, queue_reset) == 58, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, admin_queue_index) == 60, "4.1.4.3");
_Static_assert(offsetof(struct virtio_pci_common_cfg, admin_queue_num) == 62, "4.1.4.3");
_Static_assert(sizeof(struct virtio_pci_common_cfg) == 64, "4.1.4.3");

/* 4.1.5.1.2: no vector assigned, or none could be. */
#define VIRTIO_MSI_NO_VECTOR 0xffffu

/* 4.1.4.5: ISR status. */
#define VIRTIO_PCI_ISR_QUEUE  1u
#define VIRTIO_PCI_ISR_CONFIG 2u

#endif
