/* SPDX-License-Identifier: MIT */
/*
 * Virtio over MMIO, version 2, driver side (VIRTIO 4.2).
 *
 * Nothing finds such a device: its window and its line are known from elsewhere. All its events
 * share the line, so that irq_get has no vector to give and isr_read acknowledges.
 */
#ifndef RP_FRONTEND_VIRTIO_MMIO_H
#define RP_FRONTEND_VIRTIO_MMIO_H

#include "frontend/virtio.h"
#include "spec/virtio_mmio.h"
#include "util/mmio_window.h"

/* A control register's offset. */
#define FE_VMMIO_REG(field) offsetof(struct virtio_mmio_regs, field)

struct fe_virtio_mmio {
    struct fe_virtio virtio;
    struct mmio_window window;
    unsigned queues; /* that exist, once they were counted; 0: not yet */
};

/* -ENODEV: no magic value there, or a placeholder without a device; -ENOTSUP: another version. */
int fe_virtio_mmio_create(struct fe_platform *p, const struct mmio_window *w,
                          struct fe_virtio_mmio **out);

/* The device, when this is its transport; NULL when not. */
struct fe_virtio_mmio *fe_virtio_mmio_of(struct fe_virtio *v);

/* Accesses anywhere in the window, of any width, for checks too. -ERANGE: past its end. */
int fe_vmmio_read(struct fe_virtio_mmio *m, unsigned offset, unsigned bytes, uint64_t *value);
int fe_vmmio_write(struct fe_virtio_mmio *m, unsigned offset, unsigned bytes, uint64_t value);

#endif
