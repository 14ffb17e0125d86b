/* SPDX-License-Identifier: MIT */
/*
 * For the device's unit tests: a driver of a few lines over flat memory. It writes rings and
 * chains with virtq/raw.h, so that a test can make any mistake it likes.
 */
#ifndef RP_UNIT_DEVICE_RIG_H
#define RP_UNIT_DEVICE_RIG_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "device/vdev_impl.h"
#include "gmem/flat.h"
#include "spec/virtio.h"
#include "unit/run.h"
#include "util/evloop.h"
#include "util/log.h"
#include "virtq/raw.h"

#define RIG_BASE       0x40000000ull
#define RIG_BYTES      (4u << 20)
#define RIG_RO_BASE    0x80000000ull /* readable only, as a grant towards the device is */
#define RIG_RO_BYTES   0x10000u
#define RIG_QUEUE_SIZE 64u
#define RIG_QUEUES     8u
#define RIG_DATA       0x200000u /* offset of what tests use for data */
#define RIG_WAIT_NS    5000000000ull

#define RIG_DESC_NEXT     1u
#define RIG_DESC_WRITE    2u
#define RIG_DESC_INDIRECT 4u

struct rig {
    struct evloop *loop;
    struct gmem *gmem;
    struct vdev *dev;
    unsigned char *mem, *ro;
    struct virtq_raw rings[RIG_QUEUES];
    unsigned next_desc[RIG_QUEUES];
    unsigned interrupts[VDEV_QUEUES_MAX];
    unsigned config_interrupts;
};

static inline void rig_on_queue(void *ctx, unsigned queue)
{
    ((struct rig *)ctx)->interrupts[queue]++;
}
static inline void rig_on_config(void *ctx)
{
    ((struct rig *)ctx)->config_interrupts++;
}

static inline const struct vdev_transport_ops *rig_transport(void)
{
    static const struct vdev_transport_ops ops = {
        .queue_interrupt = rig_on_queue,
        .config_interrupt = rig_on_config,
    };

    return &ops;
}

static inline struct vdev_config rig_setup(struct rig *g)
{
    struct gmem_flat_region regions[2];

    memset(g, 0, sizeof(*g));
    ck_assert_int_eq(evloop_create(&g->loop), 0);
    g->mem = aligned_alloc(4096, RIG_BYTES);
    g->ro = aligned_alloc(4096, RIG_RO_BYTES);
    memset(g->mem, 0, RIG_BYTES);
    memset(g->ro, 0, RIG_RO_BYTES);
    regions[0] = (struct gmem_flat_region){.base = RIG_BASE, .bytes = RIG_BYTES, .va = g->mem};
    regions[1] = (struct gmem_flat_region){
        .base = RIG_RO_BASE, .bytes = RIG_RO_BYTES, .va = g->ro, .read_only = true};
    ck_assert_int_eq(gmem_flat_create(regions, 2, &g->gmem), 0);
    return (struct vdev_config){
        .loop = g->loop,
        .gmem = g->gmem,
        .features = VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM) |
                    VIRTIO_F(VIRTIO_F_INDIRECT_DESC) | VIRTIO_F(VIRTIO_F_EVENT_IDX) |
                    VIRTIO_F(VIRTIO_F_RING_PACKED) | VIRTIO_F(VIRTIO_F_IN_ORDER) |
                    VIRTIO_F(VIRTIO_F_RING_RESET),
        .queue_size_max = RIG_QUEUE_SIZE,
        .label = "test",
    };
}

static inline void rig_attach(struct rig *g, struct vdev *d)
{
    g->dev = d;
    vdev_attach_transport(d, rig_transport(), g);
}

static inline void rig_teardown(struct rig *g)
{
    vdev_destroy(g->dev);
    ck_assert_uint_eq(g->gmem->leases_out, 0);
    gmem_destroy(g->gmem);
    evloop_destroy(g->loop);
    free(g->mem);
    free(g->ro);
}

static inline gpa_t rig_gpa(uint32_t offset)
{
    return gpa_make(RIG_BASE + offset);
}

static inline void rig_features(struct rig *g, uint64_t features)
{
    vdev_set_status(g->dev, VIRTIO_STATUS_ACKNOWLEDGE);
    vdev_set_status(g->dev, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    vdev_set_driver_features(g->dev, 0, (uint32_t)features);
    vdev_set_driver_features(g->dev, 1, (uint32_t)(features >> 32));
    vdev_set_status(g->dev,
                    VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
}

/* Rings of queue i are at i * 64 KiB. */
static inline void rig_queue(struct rig *g, unsigned queue, unsigned size)
{
    uint32_t at = queue * 0x10000;

    memset(g->mem + at, 0, 0x10000);
    g->rings[queue] = (struct virtq_raw){
        .format = VIRTQ_SPLIT,
        .size = size,
        .areas = {g->mem + at, g->mem + at + 0x4000, g->mem + at + 0x8000},
    };
    g->next_desc[queue] = 0;
    vdev_queue_set_size(g->dev, queue, (uint16_t)size);
    vdev_queue_set_addr(g->dev, queue, rig_gpa(at), rig_gpa(at + 0x4000), rig_gpa(at + 0x8000));
    vdev_queue_enable(g->dev, queue);
}

static inline void rig_driver_ok(struct rig *g)
{
    vdev_set_status(g->dev, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                                VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
}

static inline void rig_start(struct rig *g, uint64_t features)
{
    rig_features(g, features);
    ck_assert_uint_ne(vdev_status(g->dev) & VIRTIO_STATUS_FEATURES_OK, 0);
    rig_queue(g, 0, RIG_QUEUE_SIZE);
    rig_driver_ok(g);
}

#define RIG_MIN (VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM))

struct rig_seg {
    uint64_t addr;
    uint32_t len;
    bool write;
};

/* Write a chain and make it available; the head's index is returned. */
static inline uint16_t rig_add(struct rig *g, unsigned queue, const struct rig_seg *segs,
                               unsigned count)
{
    struct virtq_raw *r = &g->rings[queue];
    unsigned first = g->next_desc[queue];

    for (unsigned i = 0; i < count; i++) {
        unsigned at = (first + i) % r->size;

        virtq_raw_desc_set(r, at,
                           (struct virtq_raw_desc){
                               .addr = segs[i].addr,
                               .len = segs[i].len,
                               .flags = (uint16_t)((segs[i].write ? RIG_DESC_WRITE : 0) |
                                                   (i + 1 < count ? RIG_DESC_NEXT : 0)),
                               .next = (uint16_t)((at + 1) % r->size),
                           });
    }
    g->next_desc[queue] = (first + count) % r->size;
    virtq_raw_avail_add(r, (uint16_t)(first % r->size));
    return (uint16_t)(first % r->size);
}

static inline void rig_turn(struct rig *g)
{
    ck_assert_int_eq(evloop_once(g->loop, 0), 0);
    ck_assert_int_eq(evloop_once(g->loop, 0), 0);
}

/* Run the loop until queue has `used` used entries, or the limit passes. */
static inline void rig_wait_used(struct rig *g, unsigned queue, uint16_t used)
{
    uint64_t end = evloop_now_ns() + RIG_WAIT_NS;

    while (virtq_raw_used_idx_get(&g->rings[queue]) != used && evloop_now_ns() < end)
        ck_assert_int_eq(evloop_once(g->loop, 10000000), 0);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g->rings[queue]), used);
}

static inline void rig_wait_fault(struct rig *g, const char *name)
{
    uint64_t end = evloop_now_ns() + RIG_WAIT_NS;

    while (!(vdev_status(g->dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET) && evloop_now_ns() < end)
        ck_assert_int_eq(evloop_once(g->loop, 10000000), 0);
    ck_assert_uint_ne(vdev_status(g->dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET, 0);
    ck_assert_str_eq(g->dev->fault, name);
}

static inline int rig_main(Suite *suite)
{
    /* What the tests provoke is not worth a line each. */
    log_set_level(LOG_LEVEL_ERROR);
    return unit_run(suite);
}

#endif
