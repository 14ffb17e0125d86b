/* SPDX-License-Identifier: MIT */
/*
 * A device whose queues are run by another process: the front-end of vhost-user.
 *
 * To its transport it is a virtio device like any other: registers, negotiation and configuration
 * are here. When the driver starts a queue, its addresses, its features and two descriptors (for
 * doorbells and for interrupts) go to the *back-end*, which reaches the guest's memory by itself:
 * the protocol feature XEN_MMAP says of which domain and how. When this process resets a queue, it
 * waits for the back-end to say that it has let go of it.
 *
 * While the back-end is asked for something this process waits, VHOST_ANSWER_NS at most. A back-end
 * shares the events' descriptors: one that makes them block can make this process wait for longer.
 *
 * The back-end may die. The device is still there then, in need of a reset; until another back-end
 * has come FEATURES_OK is refused.
 *
 * ACCESS_PLATFORM is between driver and transport: in vhost-user it would mean that addresses are
 * those of an IOMMU, which it asks the front-end for. The configuration is read when a back-end
 * comes, after a negotiation or a reset, and after each write of the driver's; types whose
 * configuration changes otherwise cannot be behind this.
 */
#ifndef RP_DEVICE_VHOST_USER_H
#define RP_DEVICE_VHOST_USER_H

#include "device/vdev.h"

struct vhost_user_options {
    const struct vdev_type *as; /* what it is to the driver; borrowed */
    uint16_t domid;             /* whose memory its queues are in */
};

/*
 * A back-end has connected at `fd`, which is taken over in any case. 0, or with a line in `error`:
 * -EPROTO it does not speak as it has to; -EINVAL it lacks something that is needed, or has queues
 * that no device has; -ENOMEM.
 */
int vhost_user_create(const struct vdev_config *config, const struct vhost_user_options *options,
                      int fd, struct vdev **out, char *error, size_t error_bytes);
/* Another one, for the same device: as above, -EBUSY while there is one. The driver has to reset
 * before it is used. */
int vhost_user_connect(struct vdev *d, int fd, char *error, size_t error_bytes);
/* The device is in its place: the back-end is told, which waits for it. */
void vhost_user_own(struct vdev *d);

struct vhost_user_stats {
    uint64_t back_ends; /* that have come */
    uint64_t kicks, calls;
};
void vhost_user_get_stats(const struct vdev *d, struct vhost_user_stats *stats);

#endif
