/* SPDX-License-Identifier: MIT */
/* What the simxenctl program needs beyond ctl.h. */
#ifndef SIMXEN_CTL_INTERNAL_H
#define SIMXEN_CTL_INTERNAL_H

#include "simxen/ctl/ctl.h"

/*
 * A simulation that another process started: everything in ctl.h but the start. A xenbus started
 * through it is nobody's child; it ends with its domain or with the simulation.
 */
int simxen_attach(const char *run_dir, const char *lib_dir, const char *bin_dir,
                  struct simxen **out, char *why, size_t why_size);
/* Ask hv to end, and wait for it. */
int simxen_quit(struct simxen *s, uint64_t limit_ns);
/* Of hv and of xenstored, when this process started them; -1 else. */
pid_t simxen_hv_pid(const struct simxen *s);
/* The next domain with a number not below *domid; -ESRCH after the last. */
int simxen_next_domain(struct simxen *s, uint32_t *domid, struct sim_dom_info *info);

#endif
