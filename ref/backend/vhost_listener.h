/* SPDX-License-Identifier: MIT */
/* A socket at which back-ends of vhost-user come, one after the other (device/vhost_user.h). */
#ifndef RP_BACKEND_VHOST_LISTENER_H
#define RP_BACKEND_VHOST_LISTENER_H

#include "util/evloop.h"

struct vhost_listener;

/* `came` is called for each connection and owns its descriptor. Errors of unix_listen; -ENOMEM. */
int vhost_listener_create(struct evloop *loop, const char *path, void (*came)(void *ctx, int fd),
                          void *ctx, struct vhost_listener **out);
/* The socket is gone afterwards. NULL is allowed. */
void vhost_listener_destroy(struct vhost_listener *l);

#endif
