/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user back-end: runs the queues of a struct vdev whose transport is in another process,
 * the front-end (device/vhost_user.h). It connects to the front-end's socket, and serves from then
 * on.
 *
 * Of a queue the front-end says size, addresses, and where doorbells come from and interrupts go.
 * The memory is reached by the vdev's own gmem. On Xen (the protocol feature XEN_MMAP) a region has
 * to be of the domain that this is for; elsewhere the front-end shares it by descriptors.
 * A ring always begins at its start: the state of one that was stopped is not taken up again.
 *
 * GET_VRING_BASE stops a queue. When it has been answered, nothing of the ring and of its buffers
 * is held. A driver's fault is told by SET_VRING_ERR's descriptor.
 *
 * The front-end is not trusted with more than its own device: a message that is malformed, or out
 * of place, ends the connection, and the descriptors for events are made non-blocking, which the
 * front-end sees on its own.
 */
#ifndef RP_TRANSPORT_VHOST_USER_H
#define RP_TRANSPORT_VHOST_USER_H

#include "device/vdev.h"
#include "gmem/regions.h"

struct vhost_back_end;

struct vhost_back_end_config {
    struct evloop *loop; /* borrowed */
    const char *path;    /* of the front-end's socket */
    uint32_t wait_ms;    /* for it to be there, and to take the device */
    struct vdev *vdev;   /* borrowed; has to outlive it */
    uint16_t domid;
    struct gmem *shared;     /* of gmem/regions.h, and the vdev's; NULL: memory is Xen's */
    void (*gone)(void *ctx); /* the front-end has ended the connection, or has been ended */
    void *ctx;
};

/* Returns when the front-end owns the session: the device is in its place. -ETIMEDOUT: nobody
 * listens, or nobody takes it; -EPIPE: it was refused; -EPROTO; errors of connect(2). */
int vhost_back_end_create(const struct vhost_back_end_config *config, struct vhost_back_end **out);
void vhost_back_end_destroy(struct vhost_back_end *b); /* NULL is allowed */

#endif
