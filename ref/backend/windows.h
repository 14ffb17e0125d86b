/* SPDX-License-Identifier: MIT */
/*
 * The virtio-mmio devices of one domain, put in front of an IOREQ server: accesses go in, levels
 * of interrupt lines and claimed ranges come out.
 *
 * Each window is claimed by itself, so that backends can share what is around them.
 */
#ifndef RP_BACKEND_WINDOWS_H
#define RP_BACKEND_WINDOWS_H

#include "backend/place.h"
#include "device/vdev.h"
#include "xen/ioreq.h"

struct windows;

struct windows_stats {
    uint64_t line, line_failed; /* changes of level */
};

int windows_create(struct xen_handles *xen, uint16_t domid, struct windows **out);
void windows_destroy(struct windows *ws); /* NULL is allowed */

/*
 * Put a virtio device (borrowed) there, run time included. `interrupts` is counted up each time
 * the line rises.
 *   -EEXIST  another window or its line meets it    -EINVAL  the device does not fit a window
 *   -ENOSPC  too many ranges
 */
int windows_attach(struct windows *ws, const struct place *at, struct vdev *d,
                   uint64_t *interrupts);
void windows_detach(struct windows *ws, const struct place *at);

/* As with bridges (backend/bridge.h). */
int windows_connect(struct windows *ws, struct ioreq_server *server);
void windows_disconnect(struct windows *ws);

/* False when the access does not begin in a window. */
bool windows_read(struct windows *ws, uint64_t addr, unsigned bytes, uint64_t *value);
bool windows_write(struct windows *ws, uint64_t addr, unsigned bytes, uint64_t value);

const struct windows_stats *windows_get_stats(const struct windows *ws);

#endif
