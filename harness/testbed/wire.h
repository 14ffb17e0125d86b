/* SPDX-License-Identifier: MIT */
/*
 * The harness's end of a wire: a socket of sequenced packets where the backend listens. A packet is
 * a frame with the 12 bytes of struct virtio_net_hdr (VIRTIO 5.1.6) in front.
 */
#ifndef RP_TESTBED_WIRE_H
#define RP_TESTBED_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_PACKET_MAX 70000u /* header and largest frame, and then some */

/* 0 and a descriptor, the caller's; or -errno of connect(2). */
int wire_connect(const char *path, int *fd);
/* -ENOTCONN for 0, which stands for none; -EAGAIN when the other side takes no more now. */
int wire_send(int fd, const void *packet, size_t bytes);
/* *bytes: room, then what came. -EAGAIN when nothing came in time, -ENOTCONN at the end. */
int wire_recv(int fd, void *packet, size_t *bytes, uint64_t timeout_ns);

#endif
