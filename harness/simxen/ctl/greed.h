/* SPDX-License-Identifier: MIT */
/*
 * A process of a domain that takes all that xenstored lets the domain have of something, so that
 * the domain's other processes are refused: its quota is exhausted as it is where somebody leaks.
 */
#ifndef SIMXEN_CTL_GREED_H
#define SIMXEN_CTL_GREED_H

#include <stdint.h>

enum simxen_greed_of { GREED_NODES, GREED_WATCHES, GREED_TRANSACTIONS };

struct simxen_greed;

/*
 * Through the ring of domain `domid`, not dom0, of the simulation in this folder: takes what there
 * is, and gives `left` of it back. 0; -ENOENT: the domain has no ring to the store; or -errno.
 */
int simxen_greed_begin(const char *run_dir, uint16_t domid, enum simxen_greed_of what,
                       unsigned left, struct simxen_greed **out);
/* Everything is given back. NULL is allowed. */
void simxen_greed_end(struct simxen_greed *g);

#endif
