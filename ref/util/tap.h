/* SPDX-License-Identifier: MIT */
/*
 * TAP interfaces of Linux (Documentation/networking/tuntap.rst): a network interface of this
 * network namespace whose other end is one or more descriptors. What the kernel transmits is read
 * there, what is written arrives at the kernel, one frame a call. In front of each frame is the
 * header of virtio-net (12 bytes, the kernel's own), which carries partial checksums and
 * segmentation in both directions.
 *
 * With several *queues* each has a descriptor. The kernel steers a flow to the queue that
 * its last frame was written to; queues can be detached and attached again while the interface
 * lives.
 *
 * Opening one needs CAP_NET_ADMIN in the user namespace that owns the network namespace, or an
 * interface that was made persistent for this user. All descriptors are non-blocking.
 */
#ifndef RP_UTIL_TAP_H
#define RP_UTIL_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAP_NAME_BYTES   16u /* IFNAMSIZ */
#define TAP_HEADER_BYTES 12u

/* What the reader can take: frames with a partial checksum, frames to be segmented. */
enum tap_offload {
    TAP_OFFLOAD_CSUM = 1,
    TAP_OFFLOAD_TSO4 = 2,
    TAP_OFFLOAD_TSO6 = 4,
    TAP_OFFLOAD_ECN = 8,
    TAP_OFFLOAD_USO = 16, /* over IPv4 and IPv6: the kernel knows no difference */
};

/*
 * Open interface `name`, or make it: `queues` descriptors to fds, owned by the caller. 0, or with a
 * line in `error`: -EPERM, -ENOENT (no /dev/net/tun), -EBUSY (in use), -EINVAL (name, or the
 * interface exists with another number of queues), ...
 */
int tap_open(const char *name, unsigned queues, int *fds, char *error, size_t error_bytes);

/* A descriptor from elsewhere: -EINVAL when it is no TAP with the header; makes it non-blocking. */
int tap_adopt(int fd, char *error, size_t error_bytes);

/* Offloads that this kernel has; nothing is on afterwards. */
unsigned tap_offloads(int fd);
/* Of the whole interface. -EINVAL: a combination that the kernel has not (anything without
 * TAP_OFFLOAD_CSUM). */
int tap_set_offloads(int fd, unsigned offloads);

/* One queue of several. The last one stays. */
int tap_queue_attach(int fd, bool attach);

/* Whether the interface has a carrier. */
int tap_set_carrier(int fd, bool up);

/* Of an interface of this network namespace, by name. */
int tap_set_mac(const char *name, const uint8_t mac[6]);
int tap_set_mtu(const char *name, unsigned mtu_bytes);

#endif
