/* SPDX-License-Identifier: MIT */
/*
 * What a front-end of vhost-user says: each message has an answer, which is waited for up to
 * VHOST_ANSWER_NS. The protocol feature REPLY_ACK is needed.
 *
 * All return 0, or -errno after which the connection is of no use: errors of vhost_message_recv and
 * _send, -EPROTO for an answer that is none.
 */
#ifndef RP_DEVICE_VHOST_ASK_H
#define RP_DEVICE_VHOST_ASK_H

#include "device/vhost_message.h"

/* Asks for something; the answer takes the question's place. */
int vhost_ask(int fd, struct vhost_message *m);
int vhost_ask_number(int fd, uint32_t request, uint64_t *value);
/* The first `bytes` of the device's configuration. */
int vhost_get_config(int fd, unsigned bytes, uint8_t *config);

/* What the back-end has to acknowledge. -EREMOTEIO: it refuses, and goes on. */
int vhost_tell(int fd, struct vhost_message *m);
int vhost_tell_number(int fd, uint32_t request, uint64_t value);
int vhost_tell_vring(int fd, uint32_t request, unsigned queue, uint32_t num);
int vhost_tell_descriptor(int fd, uint32_t request, unsigned queue, int descriptor);

#endif
