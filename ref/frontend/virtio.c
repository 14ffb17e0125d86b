/* SPDX-License-Identifier: MIT */
#include "frontend/virtio.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "spec/virtio.h"

#define CONFIG_TRIES 16

static uint64_t virtio_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* What reads where no device answers. */
#define STATUS_NOBODY 0xffu

int fe_virtio_reset(struct fe_virtio *v, uint64_t timeout_ns)
{
    uint64_t deadline = virtio_now_ns() + timeout_ns;
    uint8_t status;
    int rc = v->ops->status_write(v, 0);

    if (rc)
        return rc;
    for (;;) {
        rc = v->ops->status_read(v, &status);
        if (rc)
            return rc;
        if (status == 0)
            break;
        /* Nobody has all bits. What reads 0 after this is another device, not set up. */
        if (status == STATUS_NOBODY)
            return -ENODEV;
        if (virtio_now_ns() >= deadline) {
            rc = v->ops->present(v);
            return rc ? rc : -ETIME;
        }
        /* The device finishes what it has in flight; each read already was a round trip. */
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    v->features = 0;
    return 0;
}

int fe_virtio_device_features(struct fe_virtio *v, uint64_t *features)
{
    uint32_t low, high;
    int rc = v->ops->device_features(v, 0, &low);

    if (rc)
        return rc;
    rc = v->ops->device_features(v, 1, &high);
    if (rc)
        return rc;
    *features = ((uint64_t)high << 32) | low;
    return 0;
}

int fe_virtio_negotiate(struct fe_virtio *v, uint64_t need, uint64_t want)
{
    uint64_t offered, accepted;
    uint8_t status = VIRTIO_STATUS_ACKNOWLEDGE;
    int rc = v->ops->status_write(v, status);

    if (rc)
        return rc;
    status |= VIRTIO_STATUS_DRIVER;
    rc = v->ops->status_write(v, status);
    if (rc)
        return rc;

    rc = fe_virtio_device_features(v, &offered);
    if (rc)
        return rc;
    if (need & ~offered)
        return -ENOTSUP;
    accepted = offered & (need | want);
    rc = v->ops->driver_features(v, 0, (uint32_t)accepted);
    if (rc)
        return rc;
    rc = v->ops->driver_features(v, 1, (uint32_t)(accepted >> 32));
    if (rc)
        return rc;

    status |= VIRTIO_STATUS_FEATURES_OK;
    rc = v->ops->status_write(v, status);
    if (rc)
        return rc;
    rc = v->ops->status_read(v, &status);
    if (rc)
        return rc;
    if (!(status & VIRTIO_STATUS_FEATURES_OK))
        return -EPROTO;
    v->features = accepted;
    return 0;
}

static int virtio_status_or(struct fe_virtio *v, uint8_t bits)
{
    uint8_t status;
    int rc = v->ops->status_read(v, &status);

    if (rc)
        return rc;
    return v->ops->status_write(v, status | bits);
}

int fe_virtio_driver_ok(struct fe_virtio *v)
{
    return virtio_status_or(v, VIRTIO_STATUS_DRIVER_OK);
}

void fe_virtio_fail(struct fe_virtio *v)
{
    /* The last word of a driver that gives up; nobody is left to act on an error. */
    (void)virtio_status_or(v, VIRTIO_STATUS_FAILED);
}

int fe_virtio_check(struct fe_virtio *v)
{
    uint8_t status;
    int rc = v->ops->status_read(v, &status);

    if (rc == -EFAULT)
        return -ENODEV;
    if (rc)
        return rc;
    /* All ones: nobody claims the address. No DRIVER_OK: somebody else answers there now. */
    if (status == 0xff || !(status & VIRTIO_STATUS_DRIVER_OK))
        return -ENODEV;
    if (status & VIRTIO_STATUS_DEVICE_NEEDS_RESET)
        return -EIO;
    return 0;
}

static int virtio_config_once(struct fe_virtio *v, unsigned offset, unsigned bytes, uint8_t *to)
{
    while (bytes) {
        unsigned width = 4;
        uint64_t value;
        int rc;

        /* By the field's width, at most 4 (4.1.3.1): natural alignment gives just that. */
        while (width > bytes || (offset & (width - 1)))
            width >>= 1;
        rc = v->ops->config_read(v, offset, width, &value);
        if (rc)
            return rc;
        memcpy(to, &value, width);
        to += width;
        offset += width;
        bytes -= width;
    }
    return 0;
}

int fe_virtio_config_get(struct fe_virtio *v, unsigned offset, unsigned bytes, void *value)
{
    if (offset > v->config_bytes || bytes > v->config_bytes - offset)
        return -ERANGE;

    for (unsigned i = 0; i < CONFIG_TRIES; i++) {
        uint32_t before, after;
        int rc = v->ops->config_generation(v, &before);

        if (rc)
            return rc;
        rc = virtio_config_once(v, offset, bytes, value);
        if (rc)
            return rc;
        rc = v->ops->config_generation(v, &after);
        if (rc)
            return rc;
        if (before == after)
            return 0;
    }
    return -EAGAIN;
}

int fe_virtio_notify(struct fe_virtio *v, unsigned vcpu, unsigned queue, uint16_t next)
{
    return v->ops->notify(v, vcpu, queue, next);
}

void fe_virtio_destroy(struct fe_virtio *v)
{
    if (v)
        v->ops->destroy(v);
}
