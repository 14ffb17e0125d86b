/* SPDX-License-Identifier: MIT */
/*
 * virtio-iommu (VIRTIO 5.16), device side: the driver's requests to gmem/iommu.h, and its faults to
 * the driver.
 *
 * MAP/UNMAP with a granularity of 4 KiB, domains 0 to 255, addresses below 2^48, bypass as the
 * driver configures it (at first: none, so that an endpoint reaches nothing before the driver says
 * what). PROBE tells of each endpoint that message-signalled interrupts are not translated: a place
 * for their doorbells is reserved, and nothing can be mapped there.
 *
 * UNMAP, and any request by which an endpoint leaves a domain, are answered when nobody uses what
 * was taken away any more (gmem/iommu.h): other requests overtake them. A fault that finds no
 * buffer in the event queue is dropped and counted (5.16.6.9).
 */
#ifndef RP_DEVICE_IOMMU_H
#define RP_DEVICE_IOMMU_H

#include "device/vdev.h"

extern const struct vdev_type iommu_type;

struct iommu_options {
    uint64_t features_off; /* device feature bits not to offer */
};

/* It drives config->iommu. *out is released with vdev_destroy. On an error `error` (of error_bytes)
 * holds a line for the user. -EBUSY: the IOMMU has a device already; -ENOMEM. */
int iommu_device_create(const struct vdev_config *config, const struct iommu_options *options,
                        struct vdev **out, char *error, size_t error_bytes);

struct iommu_stats {
    uint64_t requests, refused; /* answered; with another status than OK */
    uint64_t waits;             /* that leases of before have held up */
    uint64_t faults, faults_dropped;
};
void iommu_get_stats(const struct vdev *d, struct iommu_stats *stats);

#endif
