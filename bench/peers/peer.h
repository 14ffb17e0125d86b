/* SPDX-License-Identifier: MIT */
/*
 * What each program that measures others has in common: the two CPUs that ours have, a time, the
 * round trip of a cache line before and after, an end for whatever hangs, and the line of JSON
 * that bench/ring prints.
 */
#ifndef RP_PEERS_PEER_H
#define RP_PEERS_PEER_H

#include <getopt.h>
#include <sched.h>
#include <stdio.h>

#include "ringbench/shared.h"

struct peer {
    const char *program; /* for messages */
    unsigned driver_cpu, device_cpu;
    uint64_t measure_ns;
    bool priority; /* before others, where that is allowed */
    /* Private. */
    struct row row;
    struct shared shared;
    cpu_set_t before_pin;
    double round_trip_ns;
};

#define PEER_DEFAULTS(name)                                                                        \
    (struct peer)                                                                                  \
    {                                                                                              \
        .program = name, .device_cpu = 1, .measure_ns = 60000000                                   \
    }

/* The options of all of them: for getopt_long's table, and what they are for. */
enum { PEER_DRIVER_CPU = 0x100, PEER_DEVICE_CPU, PEER_MEASURE, PEER_PRIORITY };
#define PEER_OPTIONS                                                                               \
    {"driver-cpu", required_argument, NULL, PEER_DRIVER_CPU},                                      \
        {"device-cpu", required_argument, NULL, PEER_DEVICE_CPU},                                  \
        {"measure-ms", required_argument, NULL, PEER_MEASURE},                                     \
    {                                                                                              \
        "priority", no_argument, NULL, PEER_PRIORITY                                               \
    }
#define PEER_USAGE                                                                                 \
    "  --driver-cpu N    (default 0)\n"                                                            \
    "  --device-cpu N    (default 1)\n"                                                            \
    "  --measure-ms N    (default 60)\n"                                                           \
    "  --priority        before others, where that is allowed\n"

/* One of those. -EINVAL: a value that cannot be; -ENOENT: it is not one of those. */
int peer_take(struct peer *p, int option, const char *value);

/*
 * All options of a program, by its table, which has these in it: `take` gets each that is not the
 * one for help. 1: the help was shown; -EINVAL: it was shown on stderr, for there are words behind
 * the options, or something cannot be.
 */
struct peer_parser {
    const struct option *table;
    int help;
    int (*take)(void *to, int option, const char *value);
    void (*usage)(FILE *f);
};
int peer_parse(const struct peer_parser *p, int argc, char **argv, void *to);

/*
 * The first round trip is measured, and what is started from now on has the priority. A program
 * that takes more than four times the time to measure and grace_s ends itself, and its children
 * with it. 0, or -errno with a line on stderr.
 */
int peer_begin(struct peer *p, unsigned grace_s);

/* The second round trip, and the line. 0, or -errno with a line on stderr. */
int peer_report(struct peer *p, double ns_per_unit, const char *units_name, uint64_t units,
                const double own_cpu[2]);

void peer_end(struct peer *p);

#endif
