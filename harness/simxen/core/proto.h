/* SPDX-License-Identifier: MIT */
/*
 * Messages to hv: one SOCK_SEQPACKET connection a process, <run folder>/hv.sock. One request, one
 * reply, in order. Fixed-size structs; file descriptors travel beside the reply (SCM_RIGHTS).
 * A connection ends with its process: hv takes back all that its track and its handles say.
 */
#ifndef SIMXEN_CORE_PROTO_H
#define SIMXEN_CORE_PROTO_H

#include <stdint.h>

#include "simxen/core/layout.h"

#define SIM_PROTO_VERSION 1
#define SIM_PROTO_FDS_MAX 8

enum sim_op {
    SIM_OP_HELLO = 1,   /* a0 domid of the caller, a1 version -> fds: track */
    SIM_OP_DOM_OPEN,    /* a0 domid -> a0 control bytes, fds: control, memory file */
    SIM_OP_GNT_RECOVER, /* a0 domid: the owner of gnt_lock died and the caller holds it */
    SIM_OP_GNT_GROW,    /* a0 domid, a1 frames wanted -> a0 frames now */
    SIM_OP_POKE,        /* a0 domid: a mapping of a dying domain has gone, look again */

    SIM_OP_EVT_OPEN = 32,   /* -> a0 handle id, fds: eventfd */
    SIM_OP_EVT_CLOSE,       /* a0 handle */
    SIM_OP_EVT_UNBOUND,     /* a0 handle, a1 remote domid -> a0 port */
    SIM_OP_EVT_INTERDOMAIN, /* a0 handle, a1 remote domid, a2 remote port -> a0 port */
    SIM_OP_EVT_VIRQ,        /* a0 handle, a1 virq -> a0 port */
    SIM_OP_EVT_UNBIND,      /* a0 handle, a1 port */
    SIM_OP_EVT_CLAIM,       /* a0 handle, a1 port of the own domain that the toolstack made */
    SIM_OP_EVT_RESTRICT,    /* a0 handle, a1 domid */
    SIM_OP_EVT_TARGET, /* a0 port, a1 0: the far end of the own domain's port; 1: port of domain
                          a2 itself -> fds: eventfd to kick (none: nobody); a0 port gen */
    SIM_OP_EVT_SYNC,   /* a0 domid, a1 port: it changed hands while the caller sent to it; a
                          token that went astray is replaced */

    SIM_OP_DM_CREATE = 64, /* a0 domid, a1 bufioreq mode -> a0 id */
    SIM_OP_DM_DESTROY,     /* a0 domid, a1 id */
    SIM_OP_DM_GFNS,        /* a0 domid, a1 id: give it gfns (x86) -> a0 sync gfn, a1 buf gfn */
    SIM_OP_DM_MAP,         /* a0 domid, a1 id, a2 range type, a3 start, a4 end */
    SIM_OP_DM_UNMAP,
    SIM_OP_DM_STATE,  /* a0 domid, a1 id, a2 enabled */
    SIM_OP_DM_IRQ_FD, /* a0 domid, a1 vcpu -> fds: eventfd of its interrupts (non-blocking) */

    SIM_OP_DOM_CREATE = 96, /* payload struct sim_dom_config -> a0 domid */
    SIM_OP_DOM_DESTROY,     /* a0 domid */
    SIM_OP_DOM_PAUSE,
    SIM_OP_DOM_UNPAUSE,
    SIM_OP_DOM_SHUTDOWN, /* a0 domid, a1 reason */
    SIM_OP_DOM_INFO,     /* a0 first domid -> payload struct sim_dom_info of the next one */
    SIM_OP_DOM_TARGET,   /* a0 domid, a1 target */
    SIM_OP_DOM_PORTS,    /* a0 domid, a1 event channels that it may still have; UINT64_MAX: all */
    SIM_OP_PARAM_GET,    /* a0 domid, a1 index -> a0 */
    SIM_OP_PARAM_SET,    /* a0 domid, a1 index, a2 value */

    SIM_OP_GUEST_ATTACH = 128, /* a0 domid, the caller is its kernel from now on:
                                  -> fds: eventfd that becomes readable when the domain dies */
    SIM_OP_VCPU_FDS, /* a0 vcpu -> fds: ioreq eventfd, irq eventfd (non-blocking, counting) */

    SIM_OP_AUDIT = 160, /* a0 pid, 0 all but hv -> payload struct sim_audit */
    SIM_OP_QUIT,        /* end the whole simulation */
};

struct sim_dom_config {
    uint32_t arch, nr_vcpus, unclaimed, privileged;
    uint32_t domid; /* 0: the next free one (dom0 exists from the start) */
    uint32_t gnt_frames_max, maptrack_max;
    /* Not a domain of this Xen, but what is around it where Xen itself runs in a virtual machine:
     * Xen's rules about whom a device model may serve are not asked. */
    uint32_t outside;
    uint64_t ram_bytes;
    struct sim_background background[4];
    struct {
        uint64_t base, bytes;
        uint32_t segment, bus_first;
    } ecam[4];
    uint32_t paused;         /* created paused, as xl create -p does */
    uint32_t msi_lost_every; /* a fault to test with: each N-th message is lost; 0: none */
    uint32_t no_foreign;     /* a policy of XSM: nobody maps frames of it by their number */
};

struct sim_dom_info {
    uint32_t domid, flags, shutdown_reason, nr_vcpus, arch, privileged;
    uint64_t ram_bytes;
    uint64_t refs_grants, refs_foreign; /* frames of it that others still map */
    uint32_t guest_pid;                 /* 0: nobody attached */
    uint32_t xenstore_port, console_port;
    uint32_t pad;
    uint64_t xenstore_gfn, console_gfn;
};

/* What a process holds, or all of them together. */
struct sim_audit {
    uint64_t grants_mapped, foreign_frames, resource_frames, pages_shared;
    uint64_t ports, handles, ioservers;
    uint64_t processes;
};

struct sim_msg {
    uint32_t op;
    int32_t err; /* reply: 0 or a negative errno */
    uint64_t a[6];
    union {
        struct sim_dom_config dom_config;
        struct sim_dom_info dom_info;
        struct sim_audit audit;
    } u;
};

#endif
