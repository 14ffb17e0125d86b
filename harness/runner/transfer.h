/* SPDX-License-Identifier: MIT */
/*
 * TCP streams between two network namespaces. What a stream carries follows from a seed, so that
 * the receiver knows every byte; checksums of the network may be left undone on the way, these
 * are not. One process a side, one thread a stream's end. A stream that does not move for a while
 * has stalled, which is what a ring does that loses a notification.
 */
#ifndef RP_RUNNER_TRANSFER_H
#define RP_RUNNER_TRANSFER_H

#include "testbed/process.h"

enum transfer_side { TRANSFER_BACKEND, TRANSFER_FRONTEND, TRANSFER_SIDES };

/* What became of a stream, as its receiver saw it. */
struct transfer_stream {
    enum transfer_side from;
    uint64_t seed;
    uint64_t received_bytes;
    uint64_t took_ns;
    int send_error, receive_error; /* -errno; -ETIMEDOUT: stalled */
    bool differs;                  /* within the 8 bytes from received_bytes on */
};

struct transfer_plan {
    uint64_t bytes;                   /* of each stream */
    unsigned streams[TRANSFER_SIDES]; /* that each side sends */
    uint64_t stall_ns;
    const char *address[TRANSFER_SIDES]; /* IPv4 */
    int netns[TRANSFER_SIDES];           /* 0: this process's */
    uint64_t seed;
};

struct transfer;

/* Starts both processes. 0 or -errno with a text. */
int transfer_start(const struct transfer_plan *plan, struct transfer **out, char *why,
                   size_t why_size);
/* Of all streams together, while they run. */
uint64_t transfer_received(const struct transfer *t);
struct process *transfer_process(struct transfer *t, enum transfer_side side);
/* Borrowed; to be looked at when both have ended. */
const struct transfer_stream *transfer_streams(const struct transfer *t, unsigned *count);
void transfer_destroy(struct transfer *t); /* ends what still runs; NULL is allowed */

#endif
