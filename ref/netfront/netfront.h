/* SPDX-License-Identifier: MIT */
/*
 * A virtio-net device as a network interface: a TAP whose other end is the driver library. What
 * the kernel sends into the TAP goes into the transmit queues, what the device delivers comes out
 * of it, with headers, so that checksums and segmentation stay unfinished all the way. Whatever
 * runs in the TAP's network namespace uses the rings without knowing of them.
 *
 * For each pair of queues there are two threads, one a direction, each with a vCPU of its own;
 * the main thread has the control queue, the link and the signals. Nobody polls without a limit:
 * a thread sleeps on its TAP or on its interrupt.
 *
 * An interrupt that does not come is a fault of the device that a network hides well. A thread
 * looks at its ring when its limit passes, and counts what it finds there without having
 * been told: a chance now and then, but an error when that is the rule.
 */
#ifndef RP_NETFRONT_NETFRONT_H
#define RP_NETFRONT_NETFRONT_H

#include "frontend/net.h"
#include "util/tap.h"

struct netfront_config {
    const char *tap; /* name of the interface */
    bool interrupts; /* else the rings are polled */
    unsigned pairs, queue_size;
    uint64_t features_off, features_need; /* as in frontend/net.h */
};

struct netfront_stats {
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
    uint64_t rx_refused; /* by the TAP */
    uint64_t waits;      /* that something ended */
    uint64_t untold;     /* that only the limit ended, though something had come */
    uint64_t rekicks;    /* doorbells rung because nothing came for too long */
};

struct netfront;

/*
 * Start the device and the interface, which has the device's address and MTU and is not up yet.
 * `v` and `memory` are borrowed. Errors are logged: those of fe_net_create and tap_open, -EINVAL
 * for fewer vCPUs than threads.
 */
int netfront_create(struct fe_virtio *v, struct fe_memory *memory,
                    const struct netfront_config *cfg, struct netfront **out);
/* 0, or -EBUSY when the backend keeps what it should have let go of. */
int netfront_destroy(struct netfront *f);

/* Serve until *stop is set or something fails: 0, or the error, logged; -ETIME: interrupts do not
 * come. */
int netfront_run(struct netfront *f, const volatile int *stop);

const struct fe_net_info *netfront_info(const struct netfront *f);
/* Sums; after netfront_run. */
void netfront_get_stats(const struct netfront *f, struct netfront_stats *stats);

#endif
