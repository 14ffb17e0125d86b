/* SPDX-License-Identifier: MIT */
/*
 * VIRTIO 1.4 section 4.2: virtio over MMIO, version 2. Without the legacy interface (4.2.4).
 *
 * A device is a window of registers at an address that a device tree, a command line or a
 * toolstack tells: 32-bit control registers, then the device-specific configuration at 0x100.
 */
#ifndef RP_SPEC_VIRTIO_MMIO_H
#define RP_SPEC_VIRTIO_MMIO_H

#include "util/types.h"

#define VIRTIO_MMIO_MAGIC   0x74726976u /* "virt" */
#define VIRTIO_MMIO_VERSION 2u

/* What the binding of device trees and Xen's toolstack give a device; 4.2.1 has it as example. */
#define VIRTIO_MMIO_BYTES  0x200u
#define VIRTIO_MMIO_CONFIG 0x100u /* to the end of the window; accessed by the fields' widths */

/* 4.2.2. R, W, RW: what a driver may do with a register. */
struct virtio_mmio_regs {
    le32_t magic_value;         /* R */
    le32_t version;             /* R */
    le32_t device_id;           /* R; 0: a placeholder without a device */
    le32_t vendor_id;           /* R */
    le32_t device_features;     /* R, the word that was selected */
    le32_t device_features_sel; /* W */
    le32_t reserved_18[2];
    le32_t driver_features;     /* W, the word that was selected */
    le32_t driver_features_sel; /* W */
    le32_t reserved_28[2];
    /* of the queue that was selected */
    le32_t queue_sel;      /* W */
    le32_t queue_size_max; /* R; 0: there is no such queue */
    le32_t queue_size;     /* W */
    le32_t reserved_3c[2];
    le32_t queue_ready; /* RW */
    le32_t reserved_48[2];
    le32_t queue_notify; /* W; a queue's index, whichever is selected */
    le32_t reserved_54[3];
    le32_t interrupt_status; /* R; reading changes nothing */
    le32_t interrupt_ack;    /* W */
    le32_t reserved_68[2];
    le32_t status; /* RW */
    le32_t reserved_74[3];
    /* of the queue that was selected */
    le32_t queue_desc_low, queue_desc_high; /* W */
    le32_t reserved_88[2];
    le32_t queue_driver_low, queue_driver_high; /* W */
    le32_t reserved_98[2];
    le32_t queue_device_low, queue_device_high; /* W */
    le32_t reserved_a8;
    le32_t shm_sel;                     /* W */
    le32_t shm_len_low, shm_len_high;   /* R; all ones: no such region */
    le32_t shm_base_low, shm_base_high; /* R; all ones: no such region */
    le32_t queue_reset;                 /* RW, with VIRTIO_F_RING_RESET; of the selected queue */
    le32_t reserved_c4[14];
    le32_t config_generation; /* R */
};
_Static_assert(offsetof(struct virtio_mmio_regs, magic_value) == 0x000, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, version) == 0x004, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, device_id) == 0x008, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, vendor_id) == 0x00c, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, device_features) == 0x010, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, device_features_sel) == 0x014, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, driver_features) == 0x020, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, driver_features_sel) == 0x024, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_sel) == 0x030, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_size_max) == 0x034, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_size) == 0x038, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_ready) == 0x044, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_notify) == 0x050, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, interrupt_status) == 0x060, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, interrupt_ack) == 0x064, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, status) == 0x070, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_desc_low) == 0x080, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_desc_high) == 0x084, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_driver_low) == 0x090, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_driver_high) == 0x094, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_device_low) == 0x0a0, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_device_high) == 0x0a4, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, shm_sel) == 0x0ac, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, shm_len_low) == 0x0b0, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, shm_len_high) == 0x0b4, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, shm_base_low) == 0x0b8, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, shm_base_high) == 0x0bc, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, queue_reset) == 0x0c0, "4.2.2");
_Static_assert(offsetof(struct virtio_mmio_regs, config_generation) == 0x0fc, "4.2.2");
_Static_assert(sizeof(struct virtio_mmio_regs) == VIRTIO_MMIO_CONFIG, "4.2.2");

/* InterruptStatus and InterruptACK. */
#define VIRTIO_MMIO_INT_QUEUE  1u
#define VIRTIO_MMIO_INT_CONFIG 2u

#endif
