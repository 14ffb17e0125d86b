/* SPDX-License-Identifier: MIT */
/*
 * VIRTIO 1.4: what every device has. Section numbers in ref/spec are those of the Committee
 * Specification 01 of version 1.4.
 */
#ifndef RP_SPEC_VIRTIO_H
#define RP_SPEC_VIRTIO_H

#include "util/types.h"

/* Device status, 2.1. */
#define VIRTIO_STATUS_ACKNOWLEDGE        1u
#define VIRTIO_STATUS_DRIVER             2u
#define VIRTIO_STATUS_DRIVER_OK          4u
#define VIRTIO_STATUS_FEATURES_OK        8u
#define VIRTIO_STATUS_SUSPEND            16u
#define VIRTIO_STATUS_DEVICE_NEEDS_RESET 64u
#define VIRTIO_STATUS_FAILED             128u

/* Reserved feature bits, 6. Numbers, to be used with VIRTIO_F(). */
#define VIRTIO_F_NOTIFY_ON_EMPTY   24 /* legacy interface only, 6.3 */
#define VIRTIO_F_ANY_LAYOUT        27 /* legacy interface only, 6.3 */
#define VIRTIO_F_INDIRECT_DESC     28
#define VIRTIO_F_EVENT_IDX         29
#define VIRTIO_F_VERSION_1         32
#define VIRTIO_F_ACCESS_PLATFORM   33
#define VIRTIO_F_RING_PACKED       34
#define VIRTIO_F_IN_ORDER          35
#define VIRTIO_F_ORDER_PLATFORM    36
#define VIRTIO_F_SR_IOV            37
#define VIRTIO_F_NOTIFICATION_DATA 38
#define VIRTIO_F_NOTIF_CONFIG_DATA 39
#define VIRTIO_F_RING_RESET        40
#define VIRTIO_F_ADMIN_VQ          41
#define VIRTIO_F_SUSPEND           43

#define VIRTIO_F(bit) (1ull << (bit))

/* Bits that are the queue's and the negotiation's rather than a device type's, 2.2. */
#define VIRTIO_F_IS_TRANSPORT(bit) ((bit) >= 24 && (bit) <= 49 && (bit) != 41 && (bit) != 42)

/* Device IDs, 5. */
#define VIRTIO_ID_NET     1u
#define VIRTIO_ID_BLOCK   2u
#define VIRTIO_ID_CONSOLE 3u
#define VIRTIO_ID_ENTROPY 4u
#define VIRTIO_ID_BALLOON 5u
#define VIRTIO_ID_SCSI    8u
#define VIRTIO_ID_9P      9u
#define VIRTIO_ID_GPU     16u
#define VIRTIO_ID_INPUT   18u
#define VIRTIO_ID_VSOCK   19u
#define VIRTIO_ID_CRYPTO  20u
#define VIRTIO_ID_IOMMU   23u
#define VIRTIO_ID_MEM     24u
#define VIRTIO_ID_SOUND   25u
#define VIRTIO_ID_FS      26u
#define VIRTIO_ID_PMEM    27u
#define VIRTIO_ID_RPMB    28u
#define VIRTIO_ID_SCMI    32u
#define VIRTIO_ID_I2C     34u
#define VIRTIO_ID_GPIO    41u

/* The data that accompanies a doorbell with VIRTIO_F_NOTIFICATION_DATA, 2.9. */
#define VIRTIO_NOTIFY_VQN_MASK       0xffffu
#define VIRTIO_NOTIFY_NEXT_OFF_SHIFT 16 /* split: avail idx; packed: 15 bits of offset */
#define VIRTIO_NOTIFY_NEXT_WRAP_BIT  31 /* packed */

#endif
