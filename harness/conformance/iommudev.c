/* SPDX-License-Identifier: MIT */
#include "conformance/iommudev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Odd places in their pages, so that canaries are on both sides. */
#define REQUEST_OFFSET 0x1c8
#define TAIL_OFFSET    0x6f4
#define REQUEST_ROOM   128u
#define TAIL_ROOM      1024u

uint64_t iommudev_config64(struct device *d, unsigned offset)
{
    return device_get(d, offset, 4) | device_get(d, offset + 4, 4) << 32;
}

static void iommudev_start(struct iommudev *k)
{
    struct device *d = k->d;

    k->granule = iommudev_config64(d, IOMMU_CONFIG(page_size_mask));
    k->granule &= ~k->granule + 1;
    k->first = 0;
    k->last = UINT64_MAX;
    if (d->v->features & VIRTIO_F(VIRTIO_IOMMU_F_INPUT_RANGE)) {
        k->first = iommudev_config64(d, IOMMU_CONFIG(input_start));
        k->last = iommudev_config64(d, IOMMU_CONFIG(input_end));
    }
    k->domain_last = UINT32_MAX;
    k->domain_first = 0;
    if (d->v->features & VIRTIO_F(VIRTIO_IOMMU_F_DOMAIN_RANGE)) {
        k->domain_first = (uint32_t)device_get(d, IOMMU_CONFIG(domain_start), 4);
        k->domain_last = (uint32_t)device_get(d, IOMMU_CONFIG(domain_end), 4);
    }
    k->probe_bytes = 0;
    if (d->v->features & VIRTIO_F(VIRTIO_IOMMU_F_PROBE))
        k->probe_bytes = (uint32_t)device_get(d, IOMMU_CONFIG(probe_size), 4);
    k->q = given_queue(d, VIRTIO_IOMMU_REQUESTQ, 0);
    device_driver_ok(d);
}

void iommudev_restart(struct iommudev *k)
{
    device_negotiate(k->d, k->d->offered & UINT32_MAX >> 8);
    iommudev_start(k);
}

struct iommudev *given_iommu(struct check_ctx *t)
{
    struct iommudev *k = calloc(1, sizeof(*k));

    if (!k)
        error_out(t, "no memory");
    check_defer(t, free, k);
    k->d = given_device(t);
    iommudev_restart(k);
    if (!k->granule || k->last - k->first < 64 * k->granule || k->domain_last - k->domain_first < 8)
        error_out(t, "the IOMMU has too little room for this check");
    k->request = given_buffer(k->d, REQUEST_ROOM, REQUEST_OFFSET, FE_DMA_TO_DEVICE);
    k->tail = given_buffer(k->d, TAIL_ROOM, TAIL_OFFSET, FE_DMA_FROM_DEVICE);
    buffer_release(k->request);
    buffer_release(k->tail);
    return k;
}

uint32_t given_endpoint(struct check_ctx *t, unsigned n)
{
    uint64_t count = given_ask_number(t, "device.info", NULL, "count");

    for (unsigned i = 0; i < count; i++) {
        char args[32];
        uint64_t endpoint;

        snprintf(args, sizeof(args), "{\"index\": %u}", i);
        endpoint = given_ask_number(t, "device.info", args, "endpoint");
        if (endpoint <= UINT32_MAX && n-- == 0)
            return (uint32_t)endpoint;
    }
    skip_check(t, "the scenario has too few devices behind the IOMMU");
}

struct iommudev_reply iommudev_send(struct iommudev *k, const void *request, uint32_t bytes,
                                    uint32_t room)
{
    struct check_ctx *t = k->d->t;
    struct iommudev_reply reply;
    struct piece p[2];
    uint16_t head;

    if (bytes > REQUEST_ROOM || room > TAIL_ROOM)
        error_out(t, "a request of %u and %u bytes", bytes, room);
    memcpy(k->request->va, request, bytes);
    memset(k->tail->va, STATUS_UNWRITTEN, TAIL_ROOM);
    buffer_map(k->request, FE_DMA_TO_DEVICE);
    buffer_map(k->tail, FE_DMA_FROM_DEVICE);
    p[0] = piece_part(k->request, 0, bytes, false);
    p[1] = piece_part(k->tail, 0, room, true);
    head = ring_chain(k->q, 0, p, room ? 2 : 1);
    ring_offer(k->q, head);
    ring_kick(k->q);
    reply.used_len = expect_used(k->q, head);
    reply.status = k->tail->va[0];
    for (uint32_t i = room; i < TAIL_ROOM; i++)
        if (k->tail->va[i] != STATUS_UNWRITTEN) {
            expect(t, MUST, k->tail->va[i] == STATUS_UNWRITTEN,
                   "byte %u of a tail of %u bytes was written", i, room);
            break;
        }
    expect_canaries(t, k->request, "a request");
    expect_canaries(t, k->tail, "the tail of a request");
    buffer_release(k->request);
    buffer_release(k->tail);
    return reply;
}

/* A request that the device has to understand. */
static uint8_t status_of(struct iommudev *k, const void *request, uint32_t bytes)
{
    struct iommudev_reply reply =
        iommudev_send(k, request, bytes, sizeof(struct virtio_iommu_req_tail));

    expect(k->d->t, MUST, reply.status != STATUS_UNWRITTEN && reply.used_len >= 1,
           "a request of type %u was used without a status", *(const uint8_t *)request);
    for (unsigned i = 1; i < sizeof(struct virtio_iommu_req_tail); i++)
        expect(k->d->t, SHOULD, k->tail->va[i] == 0 || reply.status == STATUS_UNWRITTEN,
               "a reserved byte of the tail is 0x%x", k->tail->va[i]);
    return reply.status;
}

uint8_t iommudev_attach(struct iommudev *k, uint32_t domain, uint32_t endpoint, uint32_t flags)
{
    const struct virtio_iommu_req_attach q = {.head.type = VIRTIO_IOMMU_T_ATTACH,
                                              .domain = le32_make(domain),
                                              .endpoint = le32_make(endpoint),
                                              .flags = le32_make(flags)};

    return status_of(k, &q, sizeof(q));
}

uint8_t iommudev_detach(struct iommudev *k, uint32_t domain, uint32_t endpoint)
{
    const struct virtio_iommu_req_detach q = {.head.type = VIRTIO_IOMMU_T_DETACH,
                                              .domain = le32_make(domain),
                                              .endpoint = le32_make(endpoint)};

    return status_of(k, &q, sizeof(q));
}

uint8_t iommudev_map(struct iommudev *k, uint32_t domain, uint64_t start, uint64_t end,
                     uint64_t phys, uint32_t flags)
{
    const struct virtio_iommu_req_map q = {.head.type = VIRTIO_IOMMU_T_MAP,
                                           .domain = le32_make(domain),
                                           .virt_start = le64_make(start),
                                           .virt_end = le64_make(end),
                                           .phys_start = le64_make(phys),
                                           .flags = le32_make(flags)};

    return status_of(k, &q, sizeof(q));
}

uint8_t iommudev_unmap(struct iommudev *k, uint32_t domain, uint64_t start, uint64_t end)
{
    const struct virtio_iommu_req_unmap q = {.head.type = VIRTIO_IOMMU_T_UNMAP,
                                             .domain = le32_make(domain),
                                             .virt_start = le64_make(start),
                                             .virt_end = le64_make(end)};

    return status_of(k, &q, sizeof(q));
}
