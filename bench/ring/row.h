/* SPDX-License-Identifier: MIT */
/*
 * One row of the ring benchmark: a driver process and a device process, each on a CPU of its own,
 * with a virtqueue of ref/virtq in memory that both share.
 *
 *   row       what is measured, from the command line
 *   shared    the memory between the two, and the cache line's round trip before and after
 *   driver    makes buffers available and reaps them
 *   device    takes them, reaches what is in them, and uses them
 *   floor     the least that two rings of one producer and one consumer cost, for comparison
 *   doorbell  eventfds, for rows in which both sides sleep
 *
 * The programs ringproof-ring and ringproof-ring-unchecked are the same sources: in the second,
 * ref/virtq looks at nothing that the peer wrote before it is used, and addresses are pointers.
 * The difference is what safety costs. No other program is built so.
 */
#ifndef RP_RINGBENCH_ROW_H
#define RP_RINGBENCH_ROW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef RP_VIRTQ_UNCHECKED
#define ROW_CHECKED 0
#else
#define ROW_CHECKED 1
#endif

#define ROW_BATCH_MAX   256u
#define ROW_PAYLOAD_MAX 65536u

enum row_ring { ROW_SPLIT, ROW_PACKED, ROW_FLOOR };

struct row {
    enum row_ring ring;
    bool in_order, indirect, event_idx;
    bool priority; /* a session of its own, which the scheduler prefers where that is allowed */
    bool sleep;    /* else both sides poll */
    bool compact;  /* the areas of a split ring one behind the other, in the fewest cache lines */
    bool copy;     /* payload is copied on both sides; else each cache line of it is touched */
    unsigned size, batch;
    unsigned depth;         /* buffers outstanding at most; 0 on the command line: as many as fit */
    unsigned payload_bytes; /* 0: the device uses a buffer without looking into it */
    unsigned driver_cpu, device_cpu;
    uint64_t measure_ns; /* of throughput, without a clock in the loop */
    uint64_t latency_ns; /* of latency, each buffer timed; 0: not measured */
};

/* 0; 1 after --help; -EINVAL after an explanation on stderr. */
int row_parse(struct row *r, int argc, char **argv);

#endif
