/* SPDX-License-Identifier: MIT */
/*
 * One virtqueue of a driver: its memory, its interrupt and its vCPU around the ring of
 * virtq/drv.h. Whoever owns the device negotiates first, then sets queues up, then DRIVER_OK.
 *
 * One thread uses a queue at a time; different queues are independent.
 */
#ifndef RP_FRONTEND_QUEUE_H
#define RP_FRONTEND_QUEUE_H

#include "frontend/memory.h"
#include "frontend/virtio.h"
#include "virtq/drv.h"

struct fe_queue {
    struct fe_virtio *virtio; /* borrowed */
    struct fe_memory *memory; /* borrowed */
    unsigned index, size, vcpu;
    struct virtq_drv drv;
    struct fe_dma ring;
    uint32_t desc_off, driver_off, device_off; /* of the areas in `ring` */
    fe_irq_t irq;                              /* 0: poll only */
    uint16_t vector;
};

struct fe_queue_config {
    unsigned index;
    unsigned size; /* wanted; the device's maximum limits it; 0: the maximum */
    unsigned vcpu;
    bool interrupt;
};

/* The format of the ring, and whether the device uses it in order, is what was negotiated. -ENOENT:
 * the device has no such queue; -EPROTO: its size is none that the format has. */
int fe_queue_init(struct fe_queue *q, struct fe_virtio *v, struct fe_memory *m,
                  const struct fe_queue_config *cfg);
/*
 * After the device was reset. -EBUSY: the backend still maps the ring, whose memory is then kept
 * in q->ring. A zeroed struct is allowed. Outstanding chains have to be taken back before.
 */
int fe_queue_fini(struct fe_queue *q);

/* Give the same memory to a device that was reset and negotiated again; the queue is empty. */
int fe_queue_restart(struct fe_queue *q);

/* Publish what was added, and ring the doorbell when the device wants it. */
int fe_queue_kick(struct fe_queue *q);

/* Ring it whether the device wants it or not, for a driver that has waited too long: a doorbell may
 * have been lost, and a device that was not told does not ask again (2.7.10). */
int fe_queue_kick_again(struct fe_queue *q);

/* Until a used entry is there: 1, or 0 after timeout_ns. FE_QUEUE_UNTOLD: one is there when the
 * time is over, and no interrupt said so. Spins without an interrupt. */
#define FE_QUEUE_UNTOLD 2
int fe_queue_wait(struct fe_queue *q, uint64_t timeout_ns);

#endif
