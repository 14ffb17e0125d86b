/* SPDX-License-Identifier: MIT */
/*
 * The client side of simxen, used by every drop-in library, by the guest library and by the
 * control library. Built once, as libsimxen.so, beside the drop-in libraries ($ORIGIN).
 *
 * A process has one session, opened at first use: the run folder comes from $SIMXEN_DIR, the
 * domain that the process runs in from $SIMXEN_DOMID (0 when unset). Thread-safe.
 */
#ifndef SIMXEN_CORE_CORE_H
#define SIMXEN_CORE_CORE_H

#include <stdbool.h>

#include "simxen/core/layout.h"
#include "simxen/core/proto.h"

#pragma GCC visibility push(default)

/* 0, or -errno: -ENOENT no simulation there, -ECONNREFUSED it has ended. */
int sim_session(void);
uint16_t sim_self_domid(void);
struct sim_track *sim_self_track(void);
/*
 * Which connection this is: another number after fork() in the child, which gets a session of its
 * own at its first call. A handle remembers the number it was opened under; with another one the
 * only thing that may still be done to it is to close it, without telling hv. 0: none yet.
 */
uint64_t sim_session_id(void);
/* The connection itself, to wait for its end (POLLHUP: the simulation is over). -1: none yet. */
int sim_session_fd(void);

/* One exchange. `fds` takes up to *nfds descriptors (close-on-exec, owned by the caller), *nfds
 * becomes the number received. Returns msg->err or a transport error. */
int sim_call(struct sim_msg *msg, int *fds, unsigned *nfds);

/*
 * A connection beside the session, for a toolstack that runs several simulations in one process:
 * to the hypervisor in run folder `dir`, as domain `domid`. A descriptor (close it), or -errno as
 * sim_session. It holds nothing but itself; the caller serialises the exchanges on it.
 */
int sim_connect(const char *dir, uint16_t domid);
int sim_connection_call(int connection, struct sim_msg *msg, int *fds, unsigned *nfds);

/* A domain's control block and memory file, mapped and cached for the life of the process.
 * -ESRCH: no such domain (a domid is never used twice in one simulation). */
struct sim_dom_ref {
    struct sim_dom *dom;
    int mem_fd;
    uint16_t domid;
};
int sim_dom_get(uint16_t domid, const struct sim_dom_ref **out);

/* memory-file frame of a gfn, or -EINVAL. `types`: mask of 1 << enum sim_region_type. */
int sim_gfn_to_frame(const struct sim_dom *d, uint64_t gfn, unsigned types, uint64_t *frame);
/* The whole memory file of a domain, mapped once (for copies and for the guest itself). */
int sim_dom_memory(const struct sim_dom_ref *r, void **base);

/*
 * Xen's default policy (XSM_DM_PRIV): a control domain, or the domain whose target this is. A
 * domain may not control itself unless it is privileged.
 * May `self` map foreign memory of / be device model for `target`? Xen's default XSM policy. */
bool sim_may_control(const struct sim_dom *self, const struct sim_dom *target);

/*
 * Robust locks. sim_lock_gnt has the table recovered by hv when the last owner died. Tracks of
 * kind SIM_TRACK_GRANT are taken and dropped under it, in the same critical section that changes
 * the pins: the recovery counts the tracks.
 */
void sim_lock_gnt(const struct sim_dom_ref *r);
void sim_unlock_gnt(const struct sim_dom_ref *r);

/* Track entries of this process. -ENOSPC when all are taken. */
int sim_track_take(enum sim_track_kind kind, const struct sim_track_entry *e, uint32_t *index);
void sim_track_drop(uint32_t index);

/*
 * The evtchn fast path: set the far end of the own domain's `port` pending and kick its owner, as
 * EVTCHNOP_send does. Works on a vCPU's port too (xen_consumer), which is how an I/O request is
 * announced. 0; -EINVAL when the port is not one to send on. Silent on an unbound one, as Xen is.
 */
int sim_evtchn_send(uint32_t port);
/* Set port `port` of `d` itself pending and kick its owner: what a sender at its far end would do
 * (a spurious local event, a token after an unmask). */
int sim_evtchn_raise(const struct sim_dom_ref *d, uint32_t port);

/* Interrupts into a guest, as device models do it. */
int sim_msi_inject(const struct sim_dom_ref *d, uint64_t addr, uint32_t data);
int sim_line_set(const struct sim_dom_ref *d, unsigned line, unsigned level);

/*
 * The list of open library handles behind xentoolcore_restrict_all. The layout is that of
 * libxentoolcore's Xentoolcore__Active_Handle, which real libraries (libxenstore) embed.
 */
struct sim_active_handle {
    int (*restrict_callback)(struct sim_active_handle *h, domid_t domid);
    struct {
        struct sim_active_handle *next;
        struct sim_active_handle **prev;
    } entry;
};
void sim_restrict_register(struct sim_active_handle *h);
void sim_restrict_deregister(struct sim_active_handle *h);
/* -1 with errno set when a callback failed; the others are called all the same. */
int sim_restrict_all(domid_t domid);

#pragma GCC visibility pop

#endif
