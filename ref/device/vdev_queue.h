/* SPDX-License-Identifier: MIT */
/* Between vdev.c and vdev_queue.c; not for others. */
#ifndef RP_DEVICE_VDEV_QUEUE_H
#define RP_DEVICE_VDEV_QUEUE_H

#include "device/vdev_impl.h"

/* Registers as after reset. */
void vdev_queue_defaults(struct vdev_queue *q);
void vdev_pump_init(struct vdev *d);
void vdev_pump_fini(struct vdev *d);

/* In vdev.c: a request was finished on the way to being suspended. */
void vdev_suspend_try(struct vdev *d);
/* DRIVER_OK: look into every enabled queue. */
void vdev_queues_start(struct vdev *d);
/* Take nothing more from any queue. */
void vdev_queues_stop(struct vdev *d);
/* Release everything of every queue; the type has no request any more. */
void vdev_queues_reset(struct vdev *d);
/* No request of any queue is in the type's hands. */
bool vdev_queues_idle(const struct vdev *d);
/* For a mutant: everything that was made available is called done, and nothing is. */
void vdev_queues_answer(struct vdev *d);
/* Publish what was completed and interrupt where the driver wants it. */
void vdev_queues_publish(struct vdev *d);

#endif
