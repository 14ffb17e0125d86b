/* SPDX-License-Identifier: MIT */
/* What every device has: status, features, configuration, faults (VIRTIO 2.1 to 2.5, 3.1). */
#include "device/vdev.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/vdev_impl.h"
#include "device/vdev_queue.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

/* The reserved feature bits that this core implements. */
#define CORE_FEATURES                                                                              \
    (VIRTIO_F(VIRTIO_F_INDIRECT_DESC) | VIRTIO_F(VIRTIO_F_EVENT_IDX) |                             \
     VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM) |                           \
     VIRTIO_F(VIRTIO_F_RING_PACKED) | VIRTIO_F(VIRTIO_F_IN_ORDER) |                                \
     VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA) | VIRTIO_F(VIRTIO_F_NOTIF_CONFIG_DATA) |                 \
     VIRTIO_F(VIRTIO_F_RING_RESET) | VIRTIO_F(VIRTIO_F_SUSPEND))

/* Without these the device could not work, so that it refuses FEATURES_OK (6.2 allows it). */
#define INDISPENSABLE (VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM))

int vdev_init(struct vdev *d, const struct vdev_type *type, const struct vdev_config *config,
              const struct vdev_init_params *params)
{
    unsigned num_queues = type->num_queues(d);

    memset(d, 0, sizeof(*d));
    if (config->features & ~CORE_FEATURES || !(config->features & VIRTIO_F(VIRTIO_F_VERSION_1)))
        return -EINVAL;
    if (num_queues < 1 || num_queues > VDEV_QUEUES_MAX || params->chain_max < 1 ||
        params->chain_max > VDEV_CHAIN_MAX)
        return -EINVAL;
    if (!is_pow2(config->queue_size_max) || config->queue_size_max > VIRTQ_SIZE_MAX)
        return -EINVAL;

    d->type = type;
    d->loop = config->loop;
    d->gmem = config->gmem;
    d->num_queues = num_queues;
    d->chain_max = params->chain_max;
    d->iov_max = params->chain_max * 2;
    d->user_bytes = align_up(params->user_bytes, 16);
    snprintf(d->label, sizeof(d->label), "%s", config->label ? config->label : type->name);
    d->offered = (type->remote ? 0 : config->features) | type->features(d);
    d->queues = calloc(num_queues, sizeof(*d->queues));
    d->segs = calloc(d->chain_max, sizeof(*d->segs));
    d->ranges = calloc(d->chain_max, sizeof(*d->ranges));
    if (!d->queues || !d->segs || !d->ranges) {
        vdev_fini(d);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < num_queues; i++) {
        unsigned max = type->queue_size_max(d, i);

        d->queues[i].dev = d;
        d->queues[i].index = i;
        d->queues[i].size_max = max && max < config->queue_size_max ? max : config->queue_size_max;
        if (!is_pow2(d->queues[i].size_max)) {
            vdev_fini(d);
            return -EINVAL;
        }
        vdev_queue_defaults(&d->queues[i]);
    }
    vdev_pump_init(d);
    if (MUTANT(admin_queues_in_front) || MUTANT(admin_queues_too_many))
        d->offered |= VIRTIO_F(VIRTIO_F_ADMIN_VQ);
    if (MUTANT(sr_iov_without_capability))
        d->offered |= VIRTIO_F(VIRTIO_F_SR_IOV);
    if (MUTANT(status_not_zero_at_first))
        d->status = VIRTIO_STATUS_ACKNOWLEDGE;
    return 0;
}

void vdev_fini(struct vdev *d)
{
    vdev_pump_fini(d);
    free(d->queues);
    free(d->segs);
    free(d->ranges);
    d->queues = NULL;
    d->segs = NULL;
    d->ranges = NULL;
}

void vdev_destroy(struct vdev *d)
{
    if (!d)
        return;
    while (MUTANT(end_waits_for_requests) && !vdev_queues_idle(d))
        (void)pause();
    if (MUTANT(end_answers_what_is_queued) && d->status & VIRTIO_STATUS_DRIVER_OK)
        vdev_queues_answer(d);
    d->transport = NULL;
    vdev_set_status(d, 0);
    d->type->destroy(d);
}

void vdev_attach_transport(struct vdev *d, const struct vdev_transport_ops *ops, void *ctx)
{
    d->transport = ops;
    d->transport_ctx = ctx;
}

const struct vdev_type *vdev_get_type(const struct vdev *d)
{
    return d->type;
}

unsigned vdev_num_queues(const struct vdev *d)
{
    return d->num_queues;
}

/* ---- features ---- */

static const struct vdev_feature core_features[] = {
    {"indirect", VIRTIO_F_INDIRECT_DESC},
    {"event-idx", VIRTIO_F_EVENT_IDX},
    {"access-platform", VIRTIO_F_ACCESS_PLATFORM},
    {"packed", VIRTIO_F_RING_PACKED},
    {"in-order", VIRTIO_F_IN_ORDER},
    {"notification-data", VIRTIO_F_NOTIFICATION_DATA},
    {"notif-config-data", VIRTIO_F_NOTIF_CONFIG_DATA},
    {"ring-reset", VIRTIO_F_RING_RESET},
    {"suspend", VIRTIO_F_SUSPEND},
    {NULL, 0},
};

static uint64_t feature_find(const struct vdev_feature *f, const char *name)
{
    for (; f && f->name; f++)
        if (!strcmp(name, f->name))
            return VIRTIO_F(f->bit);
    return UINT64_MAX;
}

uint64_t vdev_feature_by_name(const struct vdev_type *type, const char *name)
{
    uint64_t own = feature_find(type->feature_names, name);

    return own != UINT64_MAX ? own : feature_find(core_features, name);
}

uint64_t vdev_device_features(const struct vdev *d)
{
    if (MUTANT(version_1_not_offered))
        return d->offered & ~VIRTIO_F(VIRTIO_F_VERSION_1);
    if (MUTANT(access_platform_not_offered))
        return d->offered & ~VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);
    if (MUTANT(features_offers_undefined))
        return d->offered | 1ull << 63;
    return d->offered;
}

void vdev_set_driver_features(struct vdev *d, unsigned word, uint32_t value)
{
    if (word > 1)
        return;
    /* What was negotiated stays until reset (2.2, 3.1.1 step 5). */
    if ((d->status & VIRTIO_STATUS_FEATURES_OK) && !MUTANT(features_mutable_after_ok)) {
        log_warn_limited("%s: driver features written after FEATURES_OK: ignored", d->label);
        return;
    }
    d->driver_features &= ~((uint64_t)UINT32_MAX << (word * 32));
    d->driver_features |= (uint64_t)value << (word * 32);
}

uint32_t vdev_driver_features(const struct vdev *d, unsigned word)
{
    return word > 1 ? 0 : (uint32_t)(d->driver_features >> (word * 32));
}

uint64_t vdev_negotiated(const struct vdev *d)
{
    return d->status & VIRTIO_STATUS_FEATURES_OK ? d->driver_features : 0;
}

static bool features_acceptable(struct vdev *d)
{
    uint64_t features = d->driver_features;

    if ((features & ~d->offered) && !MUTANT(features_ok_accepts_unoffered))
        return false;
    if (d->offered & INDISPENSABLE & ~features)
        return false;
    return !d->type->negotiated || d->type->negotiated(d, features) == 0;
}

/* ---- status ---- */

uint8_t vdev_status(const struct vdev *d)
{
    return MUTANT(status_driver_unreadable) ? d->status & (uint8_t)~VIRTIO_STATUS_DRIVER
                                            : d->status;
}

static void device_reset(struct vdev *d)
{
    bool stopped_before = d->status == 0;
    uint8_t after = 0;

    if (MUTANT(status_reset_incomplete) &&
        d->status == (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER))
        after = VIRTIO_STATUS_ACKNOWLEDGE;
    if (MUTANT(resets_run_out) && ++d->faults > 10)
        after = VIRTIO_STATUS_ACKNOWLEDGE;
    if (MUTANT(reset_forgets_requests) && d->marked && d->transport) {
        d->status = 0;
        return;
    }
    if (MUTANT(reset_answers_early) && d->status && d->transport && !vdev_queues_idle(d)) {
        d->status = 0;
        return;
    }
    d->resetting = true;
    d->suspending = d->config_pending = false;
    vdev_queues_stop(d);
    if (d->type->reset)
        d->type->reset(d);
    if (stopped_before || !MUTANT(queues_survive_reset))
        vdev_queues_reset(d);
    /* Whatever was kept across requests belongs to the driver that just went. */
    if (!stopped_before && d->gmem && !MUTANT(ring_lease_leaked) && !MUTANT(queues_survive_reset))
        gmem_forget(d->gmem);
    d->driver_features = 0;
    d->fault = NULL;
    d->fault_text[0] = '\0';
    d->resetting = false;
    d->status = after;
}

/* The bits of `wanted` that the sequence of 3.1.1 allows now, in the order of their steps. */
static uint8_t status_grant(struct vdev *d, uint8_t wanted)
{
    uint8_t status = d->status;

    if ((wanted & VIRTIO_STATUS_FAILED) && !MUTANT(status_failed_dropped))
        status |= VIRTIO_STATUS_FAILED;
    if (d->status & VIRTIO_STATUS_DEVICE_NEEDS_RESET)
        return status;
    if (wanted & VIRTIO_STATUS_ACKNOWLEDGE)
        status |= VIRTIO_STATUS_ACKNOWLEDGE;
    if ((wanted & VIRTIO_STATUS_DRIVER) && (status & VIRTIO_STATUS_ACKNOWLEDGE))
        status |= VIRTIO_STATUS_DRIVER;
    if ((wanted & ~status & VIRTIO_STATUS_FEATURES_OK) && (status & VIRTIO_STATUS_DRIVER)) {
        if (features_acceptable(d))
            status |= VIRTIO_STATUS_FEATURES_OK;
        else
            log_warn_limited("%s: features %#llx are not a set that works (offered %#llx)",
                             d->label, (unsigned long long)d->driver_features,
                             (unsigned long long)d->offered);
    }
    if ((wanted & VIRTIO_STATUS_DRIVER_OK) && (status & VIRTIO_STATUS_FEATURES_OK) &&
        !(status & VIRTIO_STATUS_SUSPEND))
        status |= VIRTIO_STATUS_DRIVER_OK;
    if (MUTANT(suspend_before_driver_ok) && !(status & VIRTIO_STATUS_DRIVER_OK))
        status |= wanted & VIRTIO_STATUS_SUSPEND;
    return status;
}

/*
 * SUSPEND (2.1, 3.4): a running device takes nothing more, and is suspended once what it has is
 * done. DRIVER_OK lets it go on.
 */
void vdev_suspend_try(struct vdev *d)
{
    if (!vdev_queues_idle(d))
        return;
    vdev_queues_publish(d);
    d->suspending = false;
    d->status &= (uint8_t)~VIRTIO_STATUS_DRIVER_OK;
    d->status |= VIRTIO_STATUS_SUSPEND;
}

static void resume(struct vdev *d)
{
    if (MUTANT(suspend_resume_ignored))
        return;
    d->status &= (uint8_t)~VIRTIO_STATUS_SUSPEND;
    d->status |= VIRTIO_STATUS_DRIVER_OK;
    vdev_queues_start(d);
    if (d->config_pending && d->transport && !MUTANT(suspend_change_forgotten))
        d->transport->config_interrupt(d->transport_ctx);
    d->config_pending = false;
}

/* `before` is the status that the driver found. */
static void suspend_or_resume(struct vdev *d, uint8_t wanted, uint8_t before)
{
    if (!vdev_has(d, VIRTIO_F_SUSPEND) || d->status & VIRTIO_STATUS_DEVICE_NEEDS_RESET)
        return;
    if (before & VIRTIO_STATUS_SUSPEND) {
        if (wanted & VIRTIO_STATUS_DRIVER_OK)
            resume(d);
    } else if (wanted & VIRTIO_STATUS_SUSPEND && before & VIRTIO_STATUS_DRIVER_OK &&
               !MUTANT(suspend_ignored)) {
        d->suspending = true;
        vdev_queues_stop(d);
        vdev_suspend_try(d);
    }
}

void vdev_set_status(struct vdev *d, uint8_t status)
{
    uint8_t granted, before = d->status;

    if (status == 0) {
        device_reset(d);
        return;
    }
    /* A driver must not clear bits (2.1.1); the ones that are set stay. */
    granted = status_grant(d, status);
    if ((granted ^ status) & (uint8_t)~VIRTIO_STATUS_DEVICE_NEEDS_RESET)
        log_debug_limited("%s: driver wrote status %#x over %#x, it is %#x", d->label, status,
                          before, granted);
    d->status = granted;
    if (granted & ~before & VIRTIO_STATUS_DRIVER_OK) {
        if (d->type->start) {
            int rc = d->type->start(d);

            if (rc) {
                vdev_fault(d, "device-start", "%s", strerror(-rc));
                return;
            }
        }
        vdev_queues_start(d);
    }
    suspend_or_resume(d, status, before);
}

void vdev_fault(struct vdev *d, const char *fault, const char *fmt, ...)
{
    va_list ap;

    if (d->status & VIRTIO_STATUS_DEVICE_NEEDS_RESET)
        return;
    va_start(ap, fmt);
    vsnprintf(d->fault_text, sizeof(d->fault_text), fmt, ap);
    va_end(ap);
    d->fault = fault;
    d->faults++;
    log_warn_limited("%s: driver fault %s: %s", d->label, fault, d->fault_text);

    /* What was completed before the fault still counts. */
    vdev_queues_publish(d);
    if (MUTANT(fault_ignored))
        return;
    d->status |= VIRTIO_STATUS_DEVICE_NEEDS_RESET;
    vdev_queues_stop(d);
    if ((d->status & VIRTIO_STATUS_DRIVER_OK) && d->transport && !MUTANT(needs_reset_silent))
        d->transport->config_interrupt(d->transport_ctx);
}

/* ---- configuration ---- */

uint8_t vdev_config_generation(const struct vdev *d)
{
    return d->generation;
}

void vdev_config_changed(struct vdev *d)
{
    d->config_changed = true;
    if (d->status & VIRTIO_STATUS_SUSPEND && !MUTANT(suspend_change_told)) {
        d->config_pending = true;
        return;
    }
    if ((d->status & (VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_SUSPEND)) && d->transport)
        d->transport->config_interrupt(d->transport_ctx);
}

void vdev_config_read(struct vdev *d, unsigned offset, unsigned bytes, void *value)
{
    unsigned size = d->type->config_bytes;

    /* The generation moves when the driver reads after a change, not with each change, so that
     * it cannot come full circle between two reads (4.1.4.3.1). */
    if ((d->config_changed && !MUTANT(config_generation_still)) ||
        MUTANT(config_generation_restless)) {
        d->generation++;
        d->config_changed = false;
    }
    memset(value, 0, bytes);
    if (MUTANT(config_dead_before_features_ok) && !(d->status & VIRTIO_STATUS_FEATURES_OK))
        return;
    if (MUTANT(config_width_ignored))
        offset &= ~3u;
    if (offset >= size)
        return;
    d->type->config_read(d, offset, bytes < size - offset ? bytes : size - offset, value);
}

void vdev_config_write(struct vdev *d, unsigned offset, unsigned bytes, const void *value)
{
    unsigned size = d->type->config_bytes;

    if (!d->type->config_write || offset >= size)
        return;
    if (d->status & VIRTIO_STATUS_SUSPEND && !MUTANT(suspend_config_written))
        return;
    d->type->config_write(d, offset, bytes < size - offset ? bytes : size - offset, value);
}
