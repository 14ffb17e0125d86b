/* SPDX-License-Identifier: MIT */
/* Queue registers, ring leases, the request pump and completions. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/vdev_queue.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

static bool may_run(const struct vdev *d)
{
    if (!(d->status & VIRTIO_STATUS_DRIVER_OK) && !MUTANT(runs_before_driver_ok) &&
        !(MUTANT(suspend_runs_on) && d->status & VIRTIO_STATUS_SUSPEND) &&
        !(d->status == 0 && (MUTANT(queues_survive_reset) || MUTANT(reset_forgets_requests))))
        return false;
    if (MUTANT(broken_queue_goes_on))
        return !d->resetting;
    if (d->suspending)
        return false;
    return !(d->status & VIRTIO_STATUS_DEVICE_NEEDS_RESET) && !d->resetting;
}

static void queue_mark(struct vdev_queue *q)
{
    struct vdev *d = q->dev;

    if (!q->regs.enabled || q->resetting || !may_run(d))
        return;
    if (d->type->remote) {
        d->type->remote->kick(d, q->index);
        return;
    }
    d->marked |= 1ull << q->index;
    if (!d->pump_timer.armed)
        evloop_timer_arm(d->loop, &d->pump_timer, MUTANT(reset_forgets_requests) ? 2000000 : 0);
}

/* ---- the pool of requests ---- */

static void pool_free(struct vdev_queue *q)
{
    free(q->slots);
    free(q->slot_iovs);
    free(q->slot_users);
    free(q->stalled_range);
    q->slots = NULL;
    q->slot_iovs = NULL;
    q->slot_users = NULL;
    q->stalled_range = NULL;
    q->free = NULL;
}

static int pool_make(struct vdev_queue *q)
{
    const struct vdev *d = q->dev;
    unsigned count = q->regs.size;

    q->slots = calloc(count, sizeof(*q->slots));
    q->slot_iovs = calloc((size_t)count * d->iov_max, sizeof(*q->slot_iovs));
    q->slot_users = calloc(count, d->user_bytes ? d->user_bytes : 1);
    q->stalled_range = calloc(d->chain_max, sizeof(*q->stalled_range));
    if (!q->slots || !q->slot_iovs || !q->slot_users || !q->stalled_range) {
        pool_free(q);
        return -ENOMEM;
    }
    for (unsigned i = count; i-- > 0;) {
        struct vdev_slot *s = &q->slots[i];

        s->req.queue = q;
        s->req.user = q->slot_users + i * d->user_bytes;
        s->lease.iov = q->slot_iovs + (size_t)i * d->iov_max;
        s->lease.iov_max = d->iov_max;
        s->next_free = q->free;
        q->free = s;
    }
    return 0;
}

static struct vdev_slot *slot_take(struct vdev_queue *q)
{
    struct vdev_slot *s = q->free;

    q->free = s->next_free;
    s->busy = true;
    s->done = false;
    q->in_flight++;
    return s;
}

static void slot_give(struct vdev_slot *s)
{
    struct vdev_queue *q = s->req.queue;

    s->busy = false;
    s->next_free = q->free;
    q->free = s;
    q->in_flight--;
    if (q->starved) {
        q->starved = false;
        queue_mark(q);
    }
}

/* ---- enable and disable ---- */

void vdev_queue_defaults(struct vdev_queue *q)
{
    uint16_t size = (uint16_t)q->size_max;

    if (MUTANT(queue_size_odd) && q->index && q->index + 1 == q->dev->num_queues)
        size--;
    if (MUTANT(queue_size_survives_reset) && q->regs.size)
        size = q->regs.size;
    q->regs = (struct vdev_queue_regs){.size = size};
}

static int indirect_get(void *ctx, gpa_t addr, uint32_t len_bytes, struct iovec *iov,
                        unsigned *iov_count)
{
    struct vdev_queue *q = ctx;
    struct gmem_range range = {addr, len_bytes, GMEM_READ};
    int rc;

    q->indirect.iov = iov;
    q->indirect.iov_max = VIRTQ_INDIRECT_IOV_MAX;
    rc = gmem_get(q->dev->gmem, &range, 1, &q->indirect);
    if (rc == 0)
        *iov_count = q->indirect.iov_count;
    return rc;
}

static void indirect_put(void *ctx)
{
    struct vdev_queue *q = ctx;

    (void)gmem_put(q->dev->gmem, &q->indirect);
}

/*
 * An area has to be contiguous for us, in however many entries it was resolved. Takes entries
 * from *next on; NULL when there is a gap.
 */
static void *area_join(const struct gmem_lease *lease, unsigned *next, uint32_t bytes)
{
    char *base, *end;

    if (*next >= lease->iov_count)
        return NULL;
    base = end = lease->iov[*next].iov_base;
    while ((uint64_t)(end - base) < bytes) {
        if (*next >= lease->iov_count || (char *)lease->iov[*next].iov_base != end)
            return NULL;
        end += lease->iov[(*next)++].iov_len;
    }
    return base;
}

static int ring_lease(struct vdev_queue *q, enum virtq_format format,
                      const struct virtq_layout *layout, struct virtq_areas *areas)
{
    /* The device writes to its own area, and to a packed ring: used descriptors take the places of
     * available ones (2.8). */
    bool desc_written = format == VIRTQ_PACKED || MUTANT(desc_written_back);
    struct gmem_range ranges[3] = {
        {q->regs.desc, layout->desc_bytes,
         GMEM_SHARED | GMEM_READ | (desc_written ? (uint32_t)GMEM_WRITE : 0)},
        {q->regs.driver, layout->driver_bytes, GMEM_SHARED | GMEM_READ},
        {q->regs.device, layout->device_bytes, GMEM_SHARED | GMEM_READ | GMEM_WRITE},
    };
    unsigned next = 0;
    int rc;

    for (unsigned i = 0; MUTANT(ring_pages_ignore_offset) && i < 3; i++)
        if (ranges[i].addr.raw % XEN_PAGE_BYTES + (ranges[i].len_bytes - 1) % XEN_PAGE_BYTES >=
            XEN_PAGE_BYTES)
            return -EFAULT;
    q->ring.iov = q->ring_iov;
    q->ring.iov_max = VDEV_RING_IOV_MAX;
    rc = gmem_get(q->dev->gmem, ranges, 3, &q->ring);
    if (rc)
        return rc;
    areas->desc = area_join(&q->ring, &next, layout->desc_bytes);
    areas->driver = areas->desc ? area_join(&q->ring, &next, layout->driver_bytes) : NULL;
    areas->device = areas->driver ? area_join(&q->ring, &next, layout->device_bytes) : NULL;
    if (!areas->device) {
        (void)gmem_put(q->dev->gmem, &q->ring);
        return -ENOSPC;
    }
    return 0;
}

void vdev_queue_enable(struct vdev *d, unsigned queue)
{
    struct virtq_layout layout;
    struct virtq_dev_config config = {.format = vdev_has(d, VIRTIO_F_RING_PACKED) ? VIRTQ_PACKED
                                                                                  : VIRTQ_SPLIT};
    struct vdev_queue *q;
    int rc;

    if (queue >= d->num_queues || d->queues[queue].regs.enabled)
        return;
    q = &d->queues[queue];
    /* The format of the ring follows from the features: not before they are settled. */
    if ((!(d->status & VIRTIO_STATUS_FEATURES_OK) && !MUTANT(features_refused_run)) ||
        (d->status & VIRTIO_STATUS_DEVICE_NEEDS_RESET)) {
        log_warn_limited("%s: queue %u enabled in status %#x: ignored", d->label, queue, d->status);
        return;
    }
    if (virtq_layout_init(&layout, config.format, q->regs.size) ||
        virtq_layout_check(&layout, q->regs.desc, q->regs.driver, q->regs.device)) {
        vdev_fault(d, "queue-misaligned", "queue %u: areas %#llx %#llx %#llx", queue,
                   (unsigned long long)q->regs.desc.raw, (unsigned long long)q->regs.driver.raw,
                   (unsigned long long)q->regs.device.raw);
        return;
    }
    if (d->type->remote) {
        q->regs.enabled = true;
        queue_mark(q);
        return;
    }
    if (pool_make(q)) {
        vdev_fault(d, "host-memory", "queue %u: no memory for %u requests", queue, q->regs.size);
        return;
    }
    rc = ring_lease(q, config.format, &layout, &config.areas);
    if (rc) {
        pool_free(q);
        if (!MUTANT(ring_unreachable_is_silent))
            vdev_fault(d, "ring-unreachable", "queue %u: %s", queue, strerror(-rc));
        return;
    }
    config.size = q->regs.size;
    config.indirect = vdev_has(d, VIRTIO_F_INDIRECT_DESC) || MUTANT(indirect_unnegotiated);
    config.event_idx = vdev_has(d, VIRTIO_F_EVENT_IDX) && !MUTANT(event_idx_ignored);
    config.in_order = vdev_has(d, VIRTIO_F_IN_ORDER);
    config.chain_max = d->chain_max;
    config.indirect_get = indirect_get;
    config.indirect_put = indirect_put;
    config.ctx = q;
    rc = virtq_dev_init(&q->vq, &config);
    if (rc) {
        (void)gmem_put(d->gmem, &q->ring);
        pool_free(q);
        vdev_fault(d, "queue-setup", "queue %u: %s", queue, strerror(-rc));
        return;
    }
    q->regs.enabled = true;
    queue_mark(q);
}

/* The type has given back every request of this queue. */
static void queue_release(struct vdev_queue *q)
{
    struct vdev *d = q->dev;

    d->marked &= ~(1ull << q->index);
    d->unpublished &= ~(1ull << q->index);
    q->starved = false;
    if (q->stalled) {
        struct vdev_slot *s = q->stalled;

        q->stalled = NULL;
        slot_give(s);
    }
    if (q->regs.enabled && !d->type->remote) {
        assert(q->in_flight == 0);
        if (!MUTANT(ring_lease_leaked) && !(q->resetting && MUTANT(queue_reset_keeps_ring)))
            (void)gmem_put(d->gmem, &q->ring);
        pool_free(q);
        /* References of a pool live as long as their queue. */
        if (q->resetting && !MUTANT(queue_reset_keeps_cache))
            gmem_forget(d->gmem);
    }
    vdev_queue_defaults(q);
}

void vdev_queues_start(struct vdev *d)
{
    for (unsigned i = 0; i < d->num_queues; i++)
        queue_mark(&d->queues[i]);
}

void vdev_queues_stop(struct vdev *d)
{
    d->marked = 0;
    evloop_timer_cancel(d->loop, &d->pump_timer);
    evloop_timer_cancel(d->loop, &d->retry_timer);
}

bool vdev_queues_idle(const struct vdev *d)
{
    for (unsigned i = 0; i < d->num_queues; i++)
        if (d->queues[i].in_flight)
            return false;
    return true;
}

void vdev_queues_reset(struct vdev *d)
{
    for (unsigned i = 0; i < d->num_queues; i++)
        queue_release(&d->queues[i]);
}

/* ---- registers ---- */

void vdev_queue_get(const struct vdev *d, unsigned queue, struct vdev_queue_regs *regs)
{
    if (queue < d->num_queues)
        *regs = d->queues[queue].regs;
    else
        *regs = (struct vdev_queue_regs){.size = MUTANT(queue_absent_has_size) ? 1 : 0};
}

uint16_t vdev_queue_size_max(const struct vdev *d, unsigned queue)
{
    if (queue >= d->num_queues)
        return MUTANT(queue_absent_has_size) ? 1 : 0;
    return (uint16_t)d->queues[queue].size_max;
}

static bool size_allowed(const struct vdev *d, uint16_t size)
{
    return vdev_has(d, VIRTIO_F_RING_PACKED) && !MUTANT(packed_odd_size_refused) ? size != 0
                                                                                 : is_pow2(size);
}

void vdev_queue_set_size(struct vdev *d, unsigned queue, uint16_t size)
{
    if (queue >= d->num_queues)
        return;
    if (d->queues[queue].regs.enabled || !size_allowed(d, size) ||
        size > d->queues[queue].size_max) {
        log_warn_limited("%s: queue %u: size %u refused", d->label, queue, size);
        return;
    }
    d->queues[queue].regs.size = size;
}

void vdev_queue_set_addr(struct vdev *d, unsigned queue, gpa_t desc, gpa_t driver, gpa_t device)
{
    struct vdev_queue_regs *regs;

    if (queue >= d->num_queues)
        return;
    regs = &d->queues[queue].regs;
    if (regs->enabled) {
        log_warn_limited("%s: queue %u: address written while enabled: ignored", d->label, queue);
        return;
    }
    for (unsigned i = 0; MUTANT(queue_desc_shared) && i < d->num_queues; i++)
        d->queues[i].regs.desc = desc;
    regs->desc = desc;
    regs->driver = driver;
    regs->device = device;
}

uint32_t vdev_queue_base(const struct vdev *d, unsigned queue)
{
    struct virtq_dev_state s = {0};

    if (queue < d->num_queues && d->queues[queue].regs.enabled && !d->type->remote)
        virtq_dev_get_state(&d->queues[queue].vq, &s);
    if (!vdev_has(d, VIRTIO_F_RING_PACKED))
        return s.avail_idx;
    return s.avail_idx | (s.avail_lap_odd ? 0 : 1u << 15) | (uint32_t)s.used_idx << 16 |
           (s.used_lap_odd ? 0 : 1u << 31);
}

/* Give back everything of one queue while the device goes on. */
static void queue_stop(struct vdev_queue *q)
{
    struct vdev *d = q->dev;

    /* What other queues complete while we wait for this one is theirs as ever. */
    vdev_batch_begin(d);
    q->resetting = true;
    if (q->regs.enabled && d->type->queue_reset)
        d->type->queue_reset(d, q->index);
    queue_release(q);
    q->resetting = false;
    vdev_batch_end(d);
}

void vdev_queue_disable(struct vdev *d, unsigned queue)
{
    if (queue < d->num_queues && d->queues[queue].regs.enabled && !d->resetting)
        queue_stop(&d->queues[queue]);
}

void vdev_queue_reset(struct vdev *d, unsigned queue)
{
    if (queue >= d->num_queues || !vdev_has(d, VIRTIO_F_RING_RESET) || d->resetting)
        return;
    if (MUTANT(queue_reset_answers_early) && d->queues[queue].in_flight)
        return;
    if (!MUTANT(queue_reset_ignored))
        queue_stop(&d->queues[queue]);
}

void vdev_queue_notify(struct vdev *d, unsigned queue)
{
    if (MUTANT(notify_idle_queue_faults) && queue < d->num_queues && !d->queues[queue].regs.enabled)
        vdev_fault(d, "idle-queue", "queue %u is not enabled", queue);
    if (queue >= d->num_queues && MUTANT(notify_absent_queue_faults))
        vdev_fault(d, "doorbell", "queue %u does not exist", queue);
    if (queue < d->num_queues && !MUTANT(notify_ignored))
        queue_mark(&d->queues[queue]);
}

/* ---- taking requests ---- */

static bool is_host_shortage(int rc)
{
    return rc == -ENOMEM || rc == -EMFILE || rc == -EAGAIN;
}

static void retry_later(struct vdev *d)
{
    if (!d->retry_timer.armed)
        evloop_timer_arm(d->loop, &d->retry_timer, VDEV_RETRY_NS);
}

static void request_fill(struct vdev_slot *s)
{
    struct vdev_request *r = &s->req;
    const struct gmem_lease *l = &s->lease;

    r->out = l->iov;
    r->out_count = l->iov_readable;
    r->in = l->iov + l->iov_readable;
    r->in_count = l->iov_count - l->iov_readable;
    r->out_bytes = r->in_bytes = 0;
    for (unsigned i = 0; i < r->out_count; i++)
        r->out_bytes += r->out[i].iov_len;
    for (unsigned i = 0; i < r->in_count; i++)
        r->in_bytes += r->in[i].iov_len;
}

static bool keeps_order(const struct vdev_queue *q)
{
    return q->vq.cfg.in_order && !MUTANT(in_order_ignored);
}

/* No request is taken while one waits to be resolved, so this is the order of the buffers, too. */
static void order_add(struct vdev_slot *s)
{
    struct vdev_queue *q = s->req.queue;

    s->next_taken = NULL;
    if (q->oldest)
        q->newest->next_taken = s;
    else
        q->oldest = s;
    q->newest = s;
}

/* Resolve a chain's ranges. 0, or -errno with the slot given back unless the host was short of
 * something. */
static int request_resolve(struct vdev_slot *s, const struct gmem_range *ranges, unsigned count)
{
    struct vdev_queue *q = s->req.queue;
    struct vdev *d = q->dev;
    int rc = 0;

    s->lease.iov_count = s->lease.iov_readable = 0;
    if (count)
        rc = gmem_get(d->gmem, ranges, count, &s->lease);
    if (rc == 0) {
        request_fill(s);
        if (keeps_order(q))
            order_add(s);
        return 0;
    }
    if (is_host_shortage(rc))
        return rc;
    if (MUTANT(unreachable_is_done)) {
        virtq_dev_push(&q->vq, s->token, 16);
        d->unpublished |= 1ull << q->index;
    }
    slot_give(s);
    if (MUTANT(unreachable_is_done) || MUTANT(unreachable_is_dropped))
        return rc;
    if (MUTANT(unreachable_stalls))
        (void)sleep(4);
    vdev_fault(d, "buffer-unreachable", "queue %u: a chain of %u: %s", q->index, count,
               strerror(-rc));
    return rc;
}

/* One chain, resolved. 1: *out is it; 0: none there; -errno: stop here. */
static int queue_take(struct vdev_queue *q, struct vdev_slot **out)
{
    struct vdev *d = q->dev;
    struct virtq_chain chain = {.segs = d->segs};
    unsigned ranges = 0;
    struct vdev_slot *s;
    int rc = virtq_dev_pop(&q->vq, &chain);

    if (rc == 0)
        return 0;
    if (rc == -EPROTO) {
        vdev_fault(d, virtq_fault_name(q->vq.fault), "queue %u, index %u", q->index,
                   q->vq.fault_index);
        return rc;
    }
    if (rc < 0) {
        d->marked |= 1ull << q->index;
        retry_later(d);
        return rc;
    }
    s = slot_take(q);
    s->token = chain.token;
    for (unsigned i = 0; i < chain.count; i++) {
        /* An empty buffer is odd but no fault; there is nothing to resolve. */
        if (chain.segs[i].len_bytes == 0)
            continue;
        d->ranges[ranges++] = (struct gmem_range){chain.segs[i].addr, chain.segs[i].len_bytes,
                                                  chain.segs[i].writable ? GMEM_WRITE : GMEM_READ};
    }
    rc = request_resolve(s, d->ranges, ranges);
    if (is_host_shortage(rc)) {
        memcpy(q->stalled_range, d->ranges, ranges * sizeof(*d->ranges));
        q->stalled = s;
        q->stalled_ranges = ranges;
        q->stalled_tries = 0;
        retry_later(d);
    }
    if (rc < 0)
        return rc;
    *out = s;
    return 1;
}

/* The chain that could not be resolved when it was taken. Results as queue_take. */
static int queue_take_stalled(struct vdev_queue *q, struct vdev_slot **out)
{
    struct vdev *d = q->dev;
    struct vdev_slot *s = q->stalled;
    int rc;

    q->stalled = NULL;
    rc = request_resolve(s, q->stalled_range, q->stalled_ranges);
    if (is_host_shortage(rc)) {
        q->stalled = s;
        retry_later(d);
        if (++q->stalled_tries == VDEV_RETRY_MAX)
            vdev_fault(d, "host-resources", "queue %u: %s", q->index, strerror(-rc));
    }
    if (rc < 0)
        return rc;
    *out = s;
    return 1;
}

static bool is_pulled(const struct vdev_queue *q)
{
    const struct vdev_type *type = q->dev->type;

    return type->queue_pulled && type->queue_pulled(q->dev, q->index);
}

int vdev_queue_take(struct vdev *d, unsigned queue, struct vdev_request **out)
{
    struct vdev_queue *q = &d->queues[queue];
    struct vdev_slot *s = NULL;
    int rc;

    if (!q->regs.enabled || q->resetting || !may_run(d))
        return -ESHUTDOWN;
    if (q->stalled) {
        rc = queue_take_stalled(q, &s);
    } else if (!q->free) {
        q->starved = true;
        return 0;
    } else {
        virtq_dev_kick_disable(&q->vq);
        do
            rc = queue_take(q, &s);
        while (rc == 0 && virtq_dev_kick_enable(&q->vq) && may_run(d));
    }
    if (rc == 1)
        *out = &s->req;
    else if (rc < 0)
        rc = is_host_shortage(rc) && may_run(d) ? 0 : -ESHUTDOWN;
    return rc;
}

void vdev_queue_again(struct vdev *d, unsigned queue)
{
    queue_mark(&d->queues[queue]);
}

static void queue_pump(struct vdev_queue *q)
{
    struct vdev *d = q->dev;
    struct vdev_slot *s = NULL;
    unsigned taken = 0;
    int rc = 1;

    if (!q->regs.enabled || !may_run(d))
        return;
    if (is_pulled(q)) {
        virtq_dev_kick_disable(&q->vq);
        if (d->type->queue_ready(d, q->index))
            queue_mark(q);
        return;
    }
    if (q->stalled)
        return;
    virtq_dev_kick_disable(&q->vq);
    /* Bounded, so that a driver that fills one queue without end starves nobody. */
    for (unsigned turn = 0;; turn++) {
        if (turn == VDEV_PUMP_BUDGET) {
            queue_mark(q);
            break;
        }
        if (!q->free) {
            q->starved = true;
            break;
        }
        rc = queue_take(q, &s);
        if (rc < 0)
            break;
        if (rc == 1)
            d->type->request(d, &s->req);
        taken += (unsigned)rc;
        if (!may_run(d))
            break;
        if (rc == 1 && taken % VDEV_SHOW_EACH == 0)
            (void)virtq_dev_publish(&q->vq);
        if (rc == 0 && !virtq_dev_kick_enable(&q->vq))
            break;
    }
    if (taken && d->type->kick_end)
        d->type->kick_end(d, q->index);
}

static void pump(struct evloop_timer *t)
{
    struct vdev *d = t->user;
    uint64_t marked = d->marked;

    d->marked = 0;
    vdev_batch_begin(d);
    for (unsigned i = 0; i < d->num_queues; i++)
        if (marked & (1ull << i))
            queue_pump(&d->queues[i]);
    vdev_batch_end(d);
}

static void retry(struct evloop_timer *t)
{
    struct vdev *d = t->user;

    vdev_batch_begin(d);
    for (unsigned i = 0; i < d->num_queues && may_run(d); i++) {
        struct vdev_queue *q = &d->queues[i];
        struct vdev_slot *s = NULL;

        if (!q->stalled)
            continue;
        if (is_pulled(q)) {
            queue_mark(q);
        } else if (queue_take_stalled(q, &s) == 1) {
            d->type->request(d, &s->req);
            if (d->type->kick_end)
                d->type->kick_end(d, i);
            queue_mark(q);
        }
    }
    vdev_batch_end(d);
    if (d->marked && may_run(d) && !d->pump_timer.armed)
        evloop_timer_arm(d->loop, &d->pump_timer, 0);
}

void vdev_pump_init(struct vdev *d)
{
    d->pump_timer = (struct evloop_timer){.fired = pump, .user = d};
    d->retry_timer = (struct evloop_timer){.fired = retry, .user = d};
}

void vdev_pump_fini(struct vdev *d)
{
    if (!d->loop)
        return;
    evloop_timer_cancel(d->loop, &d->pump_timer);
    evloop_timer_cancel(d->loop, &d->retry_timer);
}

/* ---- completing requests ---- */

void vdev_queues_publish(struct vdev *d)
{
    uint64_t queues = d->unpublished;

    d->unpublished = 0;
    for (unsigned i = 0; i < d->num_queues; i++) {
        struct vdev_queue *q = &d->queues[i];

        if (!(queues & (1ull << i)))
            continue;
        (void)virtq_dev_publish(&q->vq);
        if ((virtq_dev_interrupt_needed(&q->vq) || MUTANT(interrupt_always)) && d->transport &&
            !MUTANT(interrupt_lost))
            d->transport->queue_interrupt(d->transport_ctx, i);
    }
}

void vdev_queue_interrupt(struct vdev *d, unsigned queue)
{
    if (d->transport && may_run(d))
        d->transport->queue_interrupt(d->transport_ctx, queue);
}

void vdev_batch_begin(struct vdev *d)
{
    d->batch_depth++;
}

void vdev_batch_end(struct vdev *d)
{
    assert(d->batch_depth);
    if (--d->batch_depth == 0)
        vdev_queues_publish(d);
}

static void request_push(struct vdev_slot *s, uint32_t written)
{
    struct vdev_queue *q = s->req.queue;
    struct vdev *d = q->dev;

    /* A driver that resets, or is told to, does not look at used entries any more. */
    if (d->resetting || q->resetting ||
        ((d->status & VIRTIO_STATUS_DEVICE_NEEDS_RESET) && !MUTANT(broken_queue_goes_on)))
        return;
    if (MUTANT(used_len_zero))
        written = 0;
    if (MUTANT(used_len_too_long))
        written += 1;
    virtq_dev_push(&q->vq, s->token, written);
    d->unpublished |= 1ull << q->index;
}

/* Used, and the slot is free for another request. */
static void request_retire(struct vdev_slot *s, uint32_t written)
{
    request_push(s, written);
    slot_give(s);
}

/* The same with IN_ORDER, for the requests that nothing older holds up any more (6.2). */
static void order_retire(struct vdev_queue *q)
{
    while (q->oldest && q->oldest->done) {
        struct vdev_slot *s = q->oldest;

        q->oldest = s->next_taken;
        request_retire(s, s->written);
    }
}

/* What a mutant does not give back. */
static bool stays_mapped(const struct vdev_queue *q)
{
    if (MUTANT(queue_reset_keeps_requests))
        return q->resetting;
    if (MUTANT(reset_keeps_requests))
        return q->dev->resetting && q->dev->transport;
    if (MUTANT(fault_keeps_requests))
        return q->dev->resetting && q->dev->status & VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    return MUTANT(removal_keeps_requests) && q->dev->resetting && !q->dev->transport;
}

void vdev_request_done(struct vdev_request *r, uint32_t written)
{
    struct vdev_slot *s = container_of(r, struct vdev_slot, req);
    struct vdev *d = r->queue->dev;

    assert(s->busy && written <= r->in_bytes);
    s->lease.written_bytes = written;
    /* Memory first: a driver that grants a request's pages takes the grants back as soon as it
     * sees the used entry. */
    if (stays_mapped(r->queue)) {
        s->lease.impl = NULL;
        d->gmem->leases_out--;
    }
    if (MUTANT(used_before_unmap)) {
        request_push(s, written);
        vdev_queues_publish(d);
        (void)gmem_put(d->gmem, &s->lease);
        slot_give(s);
    } else {
        /* What did not reach the driver must not be called done. */
        if (gmem_put(d->gmem, &s->lease))
            vdev_fault(d, "buffer-unreachable", "queue %u: an answer of %u bytes", r->queue->index,
                       written);
        s->done = true;
        s->written = written;
        if (keeps_order(r->queue))
            order_retire(r->queue);
        else
            request_retire(s, written);
    }
    if (d->batch_depth == 0)
        vdev_queues_publish(d);
    if (d->suspending)
        vdev_suspend_try(d);
}

void vdev_queues_answer(struct vdev *d)
{
    struct vdev_slot *s;

    for (unsigned i = 0; i < d->num_queues; i++) {
        struct vdev_queue *q = &d->queues[i];

        while (q->regs.enabled && q->free && queue_take(q, &s) == 1) {
            const struct iovec *last = s->req.in_count ? &s->req.in[s->req.in_count - 1] : NULL;

            /* What a disk says when all is well. */
            if (last)
                ((uint8_t *)last->iov_base)[last->iov_len - 1] = 0;
            vdev_request_done(&s->req, (uint32_t)s->req.in_bytes);
        }
    }
}
