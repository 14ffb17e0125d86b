/* SPDX-License-Identifier: MIT */
/* Requests to a virtual IOMMU (VIRTIO 5.16) made by hand, right or wrong, and what it answers. */
#ifndef RP_CONFORMANCE_IOMMUDEV_H
#define RP_CONFORMANCE_IOMMUDEV_H

#include "conformance/ring.h"
#include "spec/virtio.h"
#include "spec/virtio_iommu.h"

/* Never a status that a device gives: whoever finds it knows that nothing was written. */
#define STATUS_UNWRITTEN 0xee
/* No endpoint that a scenario has. */
#define ENDPOINT_NONE 0xfffffff0u

struct iommudev {
    struct device *d;
    struct ring *q;
    struct buffer *request, *tail; /* of the request in hand */
    uint64_t granule;              /* bytes */
    uint64_t first, last;          /* addresses that can be mapped */
    uint32_t domain_first, domain_last;
    uint32_t probe_bytes; /* 0: PROBE is not offered */
};

/* The bound device, running, with all that it offers negotiated; no endpoint is in a domain. */
struct iommudev *given_iommu(struct check_ctx *t);
/* Start over in the course of a check. */
void iommudev_restart(struct iommudev *k);

/* The endpoint of the n-th device that is behind the IOMMU; the check is skipped when it has fewer.
 */
uint32_t given_endpoint(struct check_ctx *t, unsigned n);

struct iommudev_reply {
    uint8_t status;
    uint32_t used_len;
};
/* Any bytes as a request, with `room` bytes for the tail. */
struct iommudev_reply iommudev_send(struct iommudev *k, const void *request, uint32_t bytes,
                                    uint32_t room);

/* Well-formed requests: the status of each. */
uint8_t iommudev_attach(struct iommudev *k, uint32_t domain, uint32_t endpoint, uint32_t flags);
uint8_t iommudev_detach(struct iommudev *k, uint32_t domain, uint32_t endpoint);
uint8_t iommudev_map(struct iommudev *k, uint32_t domain, uint64_t start, uint64_t end,
                     uint64_t phys, uint32_t flags);
uint8_t iommudev_unmap(struct iommudev *k, uint32_t domain, uint64_t start, uint64_t end);

/* Fields of the configuration. */
#define IOMMU_CONFIG(field) offsetof(struct virtio_iommu_config, field)
uint64_t iommudev_config64(struct device *d, unsigned offset);

#endif
