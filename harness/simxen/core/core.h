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

/* 0, or -errno: -ENOENT no simulation there, -ECONNREFUSED it has ended. */
int sim_session(void);
uint16_t sim_self_domid(void);
struct sim_track *sim_self_track(void);

/* One exchange. `fds` takes up to *nfds descriptors (close-on-exec, owned by the caller), *nfds
 * becomes the number received. Returns msg->err or a transport error. */
int sim_call(struct sim_msg *msg, int *fds, unsigned *nfds);

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

/* May `self` map foreign memory of / be device model for `target`? Xen's default XSM policy. */
bool sim_may_control(const struct sim_dom *self, const struct sim_dom *target);

/* Robust locks. sim_lock_gnt has the table recovered by hv when the last owner died. */
void sim_lock_gnt(const struct sim_dom_ref *r);
void sim_unlock_gnt(const struct sim_dom_ref *r);

/* Track entries of this process. -ENOSPC when all are taken. */
int sim_track_take(enum sim_track_kind kind, const struct sim_track_entry *e, uint32_t *index);
void sim_track_drop(uint32_t index);

/* The evtchn fast path: set `port` of the own domain's far end pending and kick its owner.
 * 0; -EINVAL when the port is not one to send on. Silent on an unbound one, as Xen is. */
int sim_evtchn_send(uint32_t port);
/* Used by event channel handles and vCPUs: set a port of `d` itself pending. */
int sim_evtchn_raise(const struct sim_dom_ref *d, uint32_t port);

/* Interrupts into a guest, as device models do it. */
int sim_msi_inject(const struct sim_dom_ref *d, uint64_t addr, uint32_t data);
int sim_line_set(const struct sim_dom_ref *d, unsigned line, unsigned level);

#endif
