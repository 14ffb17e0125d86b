/* SPDX-License-Identifier: MIT */
/*
 * What a DPDK program tells of itself while it runs: its telemetry socket, which a thread of its
 * own answers at. Nothing that it says is believed beyond its form.
 */
#ifndef RP_PEERS_TELEMETRY_H
#define RP_PEERS_TELEMETRY_H

#include <stddef.h>
#include <stdint.h>

/* Of a port, since it began. */
struct telemetry_stats {
    uint64_t received, sent; /* packets */
};

/* The answer to "/ethdev/stats,N". 0, or -EPROTO: it is no such answer. */
int telemetry_stats_parse(const char *text, size_t bytes, struct telemetry_stats *stats);

/* Connects to the program whose runtime folder that is, which may have just been started: waits
 * for it up to wait_ms. 0, -ETIMEDOUT, -EPROTO or errors of connect(2). */
int telemetry_connect(const char *folder, const char *prefix, uint32_t wait_ms, int *fd);

/* Of its first port. 0, -ETIMEDOUT after two seconds, -EPIPE, -EPROTO. */
int telemetry_stats(int fd, struct telemetry_stats *stats);

#endif
