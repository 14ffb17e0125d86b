/* SPDX-License-Identifier: MIT */
/*
 * Virtio over MMIO, version 2, device side (VIRTIO 4.2): presents a struct vdev as a window of
 * registers and one interrupt line.
 *
 * Who drives it (an IOREQ loop, a test) hands in accesses by their offset and gets the level of
 * the line by callback. The line is high as long as InterruptStatus has a bit: an event sets its
 * bit, only InterruptACK and a reset clear it (4.2.2, 4.2.3.4).
 *
 * Control registers take aligned accesses of 32 bits. What a driver must not do (4.2.2.2) has no
 * effect here: another width, an unaligned address, a reserved register, writing a read-only one
 * are ignored, and reading in such a way gives 0. The device-specific configuration takes any
 * width and alignment.
 *
 * Writing 0 to QueueReady stops a queue: when the write has been answered, the device has let go
 * of the ring and of every buffer, and the queue's registers are as after a reset.
 */
#ifndef RP_TRANSPORT_VIRTIO_MMIO_H
#define RP_TRANSPORT_VIRTIO_MMIO_H

#include "device/vdev.h"

struct virtio_mmio;

struct virtio_mmio_ops {
    /* The line's level changed. */
    void (*line)(void *ctx, bool level);
};

/* `d`, `ops` and `ctx` are borrowed; `d` has to outlive it. -EINVAL: the device's configuration
 * does not fit the window; -ENOMEM. */
int virtio_mmio_create(struct vdev *d, const struct virtio_mmio_ops *ops, void *ctx,
                       struct virtio_mmio **out);
/* Lowers the line. NULL is allowed. The vdev stays its owner's. */
void virtio_mmio_destroy(struct virtio_mmio *vm);

/* An access of 1, 2, 4 or 8 bytes at an offset in the window; it may pass the window's end, where
 * nothing is. */
uint64_t virtio_mmio_read(struct virtio_mmio *vm, unsigned offset, unsigned bytes);
void virtio_mmio_write(struct virtio_mmio *vm, unsigned offset, unsigned bytes, uint64_t value);

#endif
