/* SPDX-License-Identifier: MIT */
#include "frontend/queue.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "spec/virtio.h"

#define SHARED_LINE_POLL_NS 1000000u

static uint64_t queue_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int queue_program(struct fe_queue *q)
{
    struct fe_queue_setup setup = {
        .size = (uint16_t)q->size,
        .desc = fe_dma_addr(&q->ring, q->desc_off),
        .driver = fe_dma_addr(&q->ring, q->driver_off),
        .device = fe_dma_addr(&q->ring, q->device_off),
        .vector = q->vector,
    };

    return q->virtio->ops->queue_setup(q->virtio, q->index, &setup);
}

static int queue_size(struct fe_virtio *v, const struct fe_queue_config *cfg, unsigned *size)
{
    unsigned n;
    uint16_t max;
    int rc = v->ops->num_queues(v, &n);

    if (rc)
        return rc;
    if (cfg->index >= n)
        return -ENOENT;
    rc = v->ops->queue_size_max(v, cfg->index, &max);
    if (rc)
        return rc;
    if (max == 0)
        return -ENOENT;
    *size = cfg->size && cfg->size < max ? cfg->size : max;
    return 0;
}

int fe_queue_init(struct fe_queue *q, struct fe_virtio *v, struct fe_memory *m,
                  const struct fe_queue_config *cfg)
{
    struct virtq_drv_config drv = {
        .format = v->features & VIRTIO_F(VIRTIO_F_RING_PACKED) ? VIRTQ_PACKED : VIRTQ_SPLIT,
        .event_idx = (v->features & VIRTIO_F(VIRTIO_F_EVENT_IDX)) != 0,
        .in_order = (v->features & VIRTIO_F(VIRTIO_F_IN_ORDER)) != 0,
    };
    struct virtq_layout layout;
    uint32_t total;
    int rc;

    memset(q, 0, sizeof(*q));
    q->virtio = v;
    q->memory = m;
    q->index = cfg->index;
    q->vcpu = cfg->vcpu;
    q->vector = FE_NO_VECTOR;
    rc = queue_size(v, cfg, &q->size);
    if (rc)
        goto out;
    rc = virtq_layout_init(&layout, drv.format, q->size) ? -EPROTO : 0;
    if (rc)
        goto out;
    total = virtq_layout_place(&layout, false, &q->desc_off, &q->driver_off, &q->device_off);
    rc = fe_dma_alloc(m, total, &q->ring);
    if (rc)
        goto out;

    drv.size = q->size;
    drv.areas = (struct virtq_areas){
        .desc = q->ring.va + q->desc_off,
        .driver = q->ring.va + q->driver_off,
        .device = q->ring.va + q->device_off,
    };
    rc = virtq_drv_init(&q->drv, &drv);
    if (rc)
        goto out;
    if (cfg->interrupt) {
        rc = v->ops->irq_get(v, q->vcpu, &q->vector, &q->irq);
        if (rc)
            goto out;
    } else {
        virtq_drv_irq_disable(&q->drv);
    }
    rc = queue_program(q);
out:
    if (rc)
        fe_queue_fini(q);
    return rc;
}

int fe_queue_fini(struct fe_queue *q)
{
    int rc;

    if (!q->virtio)
        return 0;
    virtq_drv_fini(&q->drv);
    memset(&q->drv, 0, sizeof(q->drv));
    if (q->irq)
        q->virtio->ops->irq_put(q->virtio, q->vector, q->irq);
    q->irq = 0;
    q->vector = FE_NO_VECTOR;
    rc = fe_dma_free(q->memory, &q->ring);
    if (rc == 0)
        memset(q, 0, sizeof(*q));
    return rc;
}

int fe_queue_restart(struct fe_queue *q)
{
    virtq_drv_reset(&q->drv);
    if (!q->irq)
        virtq_drv_irq_disable(&q->drv);
    return queue_program(q);
}

int fe_queue_kick(struct fe_queue *q)
{
    if (virtq_drv_publish(&q->drv) == 0)
        return 0;
    if (!virtq_drv_kick_needed(&q->drv))
        return 0;
    return fe_queue_kick_again(q);
}

int fe_queue_kick_again(struct fe_queue *q)
{
    return fe_virtio_notify(q->virtio, q->vcpu, q->index, virtq_drv_next_avail(&q->drv));
}

int fe_queue_wait(struct fe_queue *q, uint64_t timeout_ns)
{
    struct fe_platform *p = q->virtio->platform;
    uint64_t now = queue_now_ns(), deadline = now + timeout_ns, limit;
    bool over = false; /* without an interrupt */
    int rc;

    if (deadline < now)
        deadline = UINT64_MAX;
    for (;;) {
        if (virtq_drv_used_pending(&q->drv) || (q->irq && virtq_drv_irq_enable(&q->drv))) {
            if (!over)
                return 1;
            /* It may have come just now. */
            rc = p->ops->irq_wait(p, q->irq, 0);
            return rc ? rc : FE_QUEUE_UNTOLD;
        }
        now = queue_now_ns();
        if (now >= deadline)
            return 0;
        if (!q->irq)
            continue;
        limit = deadline - now;
        /* On the shared line another queue's thread may acknowledge what was meant for us. */
        if (q->vector == FE_NO_VECTOR && limit > SHARED_LINE_POLL_NS)
            limit = SHARED_LINE_POLL_NS;
        rc = p->ops->irq_wait(p, q->irq, limit);
        if (rc < 0)
            return rc;
        over = rc == 0 && limit == deadline - now;
        if (rc > 0 && q->vector == FE_NO_VECTOR) {
            uint8_t isr;

            /* Reading lowers the line (4.1.4.5). */
            rc = q->virtio->ops->isr_read(q->virtio, q->vcpu, &isr);
            if (rc)
                return rc;
        }
    }
}
