/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user protocol (QEMU, docs/interop/vhost-user.rst), as far as it is spoken here. A
 * *front-end* has a device's transport, a *back-end* its queues; messages go over a Unix socket, in
 * the machine's own byte order, with descriptors beside them.
 *
 * With the protocol feature XEN_MMAP a region of memory says how it is reached on Xen: by grants or
 * by frames, of which domain.
 */
#ifndef RP_SPEC_VHOST_USER_H
#define RP_SPEC_VHOST_USER_H

#include <assert.h>
#include <stdint.h>

#define VHOST_USER_VERSION      1u
#define VHOST_USER_VERSION_MASK 3u
#define VHOST_USER_REPLY        4u
#define VHOST_USER_NEED_REPLY   8u

enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_SET_CONFIG = 25,
    VHOST_USER_RESET_DEVICE = 34,
};

/* A bit of the virtio features that VIRTIO leaves unused. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30
/* Bits of the protocol features. */
#define VHOST_USER_PROTOCOL_F_MQ        0
#define VHOST_USER_PROTOCOL_F_REPLY_ACK 3
#define VHOST_USER_PROTOCOL_F_CONFIG    9
#define VHOST_USER_PROTOCOL_F_RESET     13 /* RESET_DEVICE */
#define VHOST_USER_PROTOCOL_F_XEN_MMAP  17

#define VHOST_USER_REGIONS_MAX 8u
#define VHOST_USER_CONFIG_MAX  256u

struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of the payload */
};

struct vhost_user_vring_state {
    uint32_t index, num;
};

/* Addresses here are the front-end's own, of its regions' user_addr; with XEN_MMAP both sides call
 * memory by the guest's. */
struct vhost_user_vring_addr {
    uint32_t index, flags;
    uint64_t desc, used, avail, log;
};

/* Of the descriptors' messages: a vring's index, and whether there is no descriptor. */
#define VHOST_USER_VRING_INDEX_MASK 0xffu
#define VHOST_USER_VRING_NO_FD      0x100u

#define VHOST_USER_XEN_FOREIGN    1u
#define VHOST_USER_XEN_GRANT      2u
#define VHOST_USER_XEN_NO_ADVANCE 8u /* mapped when it is needed */

struct vhost_user_region {
    uint64_t guest_addr, size, user_addr, mmap_offset;
    uint32_t xen_flags, xen_domid; /* with XEN_MMAP */
};

struct vhost_user_memory {
    uint32_t count, padding;
    struct vhost_user_region regions[VHOST_USER_REGIONS_MAX];
};

/* Without XEN_MMAP. */
struct vhost_user_plain_region {
    uint64_t guest_addr, size, user_addr, mmap_offset;
};

struct vhost_user_plain_memory {
    uint32_t count, padding;
    struct vhost_user_plain_region regions[VHOST_USER_REGIONS_MAX];
};

struct vhost_user_config {
    uint32_t offset, size, flags;
    uint8_t bytes[VHOST_USER_CONFIG_MAX];
};

#define VHOST_USER_CONFIG_HEAD 12u
#define VHOST_USER_MEMORY_HEAD 8u

/* Of a ring in the packed format that begins: both wrap counters are 1. */
#define VHOST_USER_PACKED_BASE 0x80008000u

static_assert(sizeof(struct vhost_user_header) == 12, "three words");
static_assert(sizeof(struct vhost_user_vring_addr) == 40, "vring address description");
static_assert(sizeof(struct vhost_user_region) == 40, "a region with what Xen adds");
static_assert(sizeof(struct vhost_user_plain_region) == 32, "a region");
static_assert(sizeof(struct vhost_user_config) == VHOST_USER_CONFIG_HEAD + VHOST_USER_CONFIG_MAX,
              "virtio device config space");

#endif
