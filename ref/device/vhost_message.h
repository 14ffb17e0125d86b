/* SPDX-License-Identifier: MIT */
/*
 * One message of the vhost-user protocol (spec/vhost_user.h), sent and received whole. For the
 * front-end (device/vhost_user.h) and the back-end (transport/vhost_user.h).
 *
 * The other process is not trusted: what it sends is bounded before it is read, descriptors that
 * nobody asked for are closed, and whoever waits for it waits for a limited time.
 */
#ifndef RP_DEVICE_VHOST_MESSAGE_H
#define RP_DEVICE_VHOST_MESSAGE_H

#include "spec/vhost_user.h"

#define VHOST_ANSWER_NS 10000000000ull /* a reset waits for a disk */
#define VHOST_PIECE_NS  1000000000ull  /* for the rest of a message that has begun */

struct vhost_message {
    struct vhost_user_header h;
    union {
        uint64_t u64;
        struct vhost_user_vring_state state;
        struct vhost_user_vring_addr addr;
        struct vhost_user_memory memory;
        struct vhost_user_plain_memory plain_memory;
        struct vhost_user_config config;
    } p;
    int fds[VHOST_USER_REGIONS_MAX]; /* received: the receiver's; sent: borrowed */
    unsigned fd_count;
};

/* Header and flags are filled in; `m->h.flags` may hold NEED_REPLY or REPLY. 0, or -EPIPE. */
int vhost_message_send(int fd, struct vhost_message *m);

/*
 * The next message, the beginning of which is waited for up to wait_ns. Errors, with which no
 * descriptor is held: -ETIMEDOUT; -EPIPE the other side has ended; -EPROTO what came is no message.
 */
int vhost_message_recv(int fd, struct vhost_message *m, uint64_t wait_ns);

/* Takes the descriptor out of the message; -1: it has none. */
int vhost_message_take_fd(struct vhost_message *m);
/* Closes what was received and not taken. */
void vhost_message_close(struct vhost_message *m);

#endif
