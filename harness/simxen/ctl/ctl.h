/* SPDX-License-Identifier: MIT */
/*
 * The toolstack's side of simxen, for testbeds and for the `simxenctl` tool: start and end a
 * simulation, create and destroy domains, read what processes hold.
 *
 * A simulation lives in one run folder and leaves nothing outside it:
 *
 *   hv.sock           the hypervisor
 *   hv.log
 *   xenstored/socket  dom0's store (the real xenstored); XENSTORED_RUNDIR=<run>/xenstored
 *   xenstored.log
 *   domN.xenbus       domU N's store, through its own ring; XENSTORED_PATH=<run>/domN.xenbus
 */
#ifndef SIMXEN_CTL_CTL_H
#define SIMXEN_CTL_CTL_H

#include <stdbool.h>
#include <sys/types.h>

#include "simxen/core/proto.h"

struct simxen;

struct simxen_start {
    const char *run_dir; /* exists, empty, owned by the caller */
    const char *lib_dir; /* where the drop-in libraries for unsanitised programs are */
    const char *bin_dir; /* where simxen-hv and simxen-xenbus are */
    bool xenstored;      /* start it (the usual case) */
    uint64_t dom0_ram_bytes;
    uint32_t dom0_arch; /* enum sim_arch */
    /* Limit for the start as a whole. */
    uint64_t timeout_ns;
};

/*
 * Start hv, then xenstored; returns when both answer. All children get a death signal tied to
 * the calling thread's process and end with it. On error *why (static or in s) explains.
 */
int simxen_start(const struct simxen_start *cfg, struct simxen **out, char *why, size_t why_size);
/* End every process of the simulation and wait for them. NULL is allowed. */
void simxen_stop(struct simxen *s);
/* -ESHUTDOWN and a text when hv or xenstored has died; 0 otherwise. */
int simxen_alive(struct simxen *s, char *why, size_t why_size);

/* Create a domain, introduce it to xenstored with its usual nodes (/local/domain/N/{name,
 * domid,...}), and start its xenbus. */
int simxen_dom_create(struct simxen *s, const char *name, const struct sim_dom_config *cfg,
                      uint16_t *domid);
int simxen_dom_destroy(struct simxen *s, uint16_t domid);
int simxen_dom_pause(struct simxen *s, uint16_t domid);
int simxen_dom_unpause(struct simxen *s, uint16_t domid);
/* `reason` as SHUTDOWN_* of xen/sched.h, as the guest's own. */
int simxen_dom_shutdown(struct simxen *s, uint16_t domid, uint32_t reason);
int simxen_dom_set_target(struct simxen *s, uint16_t domid, uint16_t target);
/* How many event channels it may have beside those that it has; UINT64_MAX: as many as Xen lets it.
 */
int simxen_dom_ports(struct simxen *s, uint16_t domid, uint64_t left);
int simxen_dom_info(struct simxen *s, uint16_t domid, struct sim_dom_info *info);
/* What a process holds, or (pid 0) all of them but the hypervisor's. */
int simxen_audit(struct simxen *s, pid_t pid, struct sim_audit *audit);
/* The store stands still (SIGSTOP) until it is told to go on, or has ended (SIGKILL): what
 * is asked of it then fails, and the simulation counts as alive without it. -ESRCH: there is none.
 */
int simxen_store_pause(struct simxen *s, bool paused);
int simxen_store_end(struct simxen *s);
/* After that: another one, which knows of the domains that there are and of nothing else. */
int simxen_store_begin(struct simxen *s, char *why, size_t why_size);
/* The simulation's own processes; 0 for one that is not ours, or has ended. */
void simxen_servants(const struct simxen *s, pid_t *hv, pid_t *xenstored);

/*
 * Environment for a process that is to run in domain `domid`: LD_LIBRARY_PATH (lib_dir given
 * here, so that sanitised programs can have sanitised libraries), SIMXEN_DIR, SIMXEN_DOMID and
 * the xenstore variables. Calls set(ctx, name, value) for each.
 */
void simxen_env(struct simxen *s, uint16_t domid, const char *lib_dir,
                void (*set)(void *ctx, const char *name, const char *value), void *ctx);

#endif
