/* SPDX-License-Identifier: MIT */
/* What the files of libsimxen share. Not for its users. */
#ifndef SIMXEN_CORE_INTERNAL_H
#define SIMXEN_CORE_INTERNAL_H

#include "simxen/core/core.h"

/* In the child of a fork: forget what belongs to the parent's session. Async-signal-safe. */
void sim_evtchn_fork_child(void);
void sim_track_fork_child(void);
void sim_inject_fork_child(void);
void sim_domain_fork_child(void);
void sim_restrict_fork_child(void);

/* Add one token to an eventfd. Never blocks for long: counters stay far from their end. */
void sim_eventfd_kick(int fd);

#endif
