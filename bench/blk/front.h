/* SPDX-License-Identifier: MIT */
/*
 * A driver's own vhost-user front-end: memory that it shares with a back-end, and one queue in it.
 * Whatever device the back-end has is the driver's business; the protocol is spoken by
 * device/vhost_ask.h.
 */
#ifndef RP_BLKBENCH_FRONT_H
#define RP_BLKBENCH_FRONT_H

#include <stdbool.h>

#include "virtq/drv.h"

#define FRONT_CONFIG_BYTES 24u

struct front_config {
    enum virtq_format format;
    unsigned size;       /* of the queue */
    uint64_t data_bytes; /* of memory for buffers */
    bool event_idx;
};

struct front {
    int fd;         /* of the connection, its owner's; -1: none */
    int kick, call; /* eventfds */
    int memory_fd;
    unsigned char *memory;
    uint64_t bytes;
    unsigned char *data; /* in it, of data_bytes */
    struct virtq_areas areas;
    struct front_config config;
    uint8_t device_config[FRONT_CONFIG_BYTES];
    bool runs;
};

/* The memory. 0 or -errno; fini is allowed in any case. */
int front_init(struct front *f, const struct front_config *config);

/* Speaks with the back-end at `fd` until its first queue can run. 0; -EOPNOTSUPP: it lacks a
 * feature that is needed; errors of device/vhost_ask.h. Afterwards the driver initialises the ring
 * at f->areas, then calls front_go. */
int front_negotiate(struct front *f, int fd);
int front_go(struct front *f);

/* The back-end holds nothing of the queue any more. */
int front_stop(struct front *f);
void front_fini(struct front *f);

/* The address of the same byte for descriptors. */
gpa_t front_guest_addr(const struct front *f, const void *va);
void front_kick(const struct front *f);

#endif
