/* SPDX-License-Identifier: MIT */
/* What follows from the times of a program that only says when it ended. */
#ifndef RP_PEERS_PACE_H
#define RP_PEERS_PACE_H

#include <stdint.h>

/* Of a whole process. */
struct pace {
    uint64_t wall_ns, cpu_ns;
};

/* Of its buffers alone: `all` without what a run of nearly nothing takes. Never 0. */
struct pace pace_net(struct pace all, struct pace start);

/* How many buffers take about wanted_ns, when so many took net_ns. At most 50 times as many, for a
 * first run that is much too short says little; at least one. */
uint64_t pace_buffers(uint64_t buffers, uint64_t net_ns, uint64_t wanted_ns, uint64_t max);

/* The part of the time that each of two threads had its CPU, at least: which of them was kept
 * waiting is not known, and all of it may have been one of them. 0 to 1. */
double pace_own_cpu(struct pace net);

#endif
