/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor process. One thread, one epoll loop: a request is handled from end to end before
 * the next one is read, which is what makes the structural changes of core/layout.h atomic.
 *
 * hv.c        the whole: start, timers, end
 * server.c    connections, the table of operations, replies
 * process.c   what a client process holds, and taking it back when it has died
 * domain.c    life of a domain, its memory, its parameters
 * evtchn.c    event channels
 * gnttab.c    the grant table's recovery
 * ioserver.c  IOREQ servers
 *
 * Clients write into the shared blocks whenever they like. hv keeps its own copy of everything
 * that it indexes or loops with (struct hv_dom), and reads back from a shared block only what it
 * then bounds.
 */
#ifndef SIMXEN_HV_HV_H
#define SIMXEN_HV_HV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "simxen/core/proto.h"
#include "util/evloop.h"

#define HV_NR_VIRQS  24
#define HV_VCPUS_MAX 128 /* HVM_MAX_VCPUS */

struct hv;
struct hv_proc;

/* One event channel handle of one process. */
struct hv_handle {
    uint32_t id;
    int efd;                 /* EFD_SEMAPHORE: a token for each port to deliver */
    uint16_t restrict_domid; /* DOMID_INVALID: none */
    bool check;              /* compare tokens with ports at the next tick */
    unsigned missing;        /* tokens that were missing at the last one */
    struct hv_proc *proc;
    struct hv_handle *next; /* of the hv */
};

struct hv_proc {
    struct hv *hv;
    int fd, pidfd; /* connection; -1 each when not there (any more) */
    struct evloop_fd fd_watch, pid_watch;
    pid_t pid;
    bool hello, dead;
    uint16_t domid;
    struct sim_track *track; /* written by the process */
    int track_fd;
    struct hv_proc *next;
};

/* What hv knows of one port; the copy in the control block is for readers. */
struct hv_port {
    uint8_t state; /* enum sim_port_state */
    bool xen_consumer;
    uint16_t remote_domid;
    uint32_t remote_port;
    uint32_t handle; /* for xen_consumer the vCPU */
    uint32_t virq;
};

/* A page that a dead process shared and that somebody still maps. */
struct hv_share {
    uint32_t ref;
    uint64_t gfn;
    struct hv_share *next;
};

struct hv_ioserver {
    bool used;
    pid_t creator;
    unsigned slot;    /* of the pool of server pages */
    int gfn_index[2]; /* sync, buffered: in the gfn pool, -1 none */
};

struct hv_dom {
    uint16_t domid;
    bool privileged, outside;
    enum sim_arch arch;
    uint32_t nr_vcpus, gnt_frames_max;
    uint16_t target;
    uint32_t flags; /* enum sim_dom_flags */
    unsigned pauses;
    uint64_t ram_bytes;
    uint64_t alloc_pages, alloc_offset;

    struct sim_dom *c;
    size_t c_bytes;
    int c_fd, mem_fd;
    char *mem;
    size_t mem_bytes;
    struct sim_region regions[SIM_REGIONS_MAX];
    unsigned nr_regions;
    uint64_t gnt_frame0, io_frame0;

    int death_fd;
    int (*vcpu_fds)[2]; /* ioreq, irq; made at first use, -1 until then */
    struct hv_proc *guest;
    uint32_t virq_port[HV_NR_VIRQS];
    uint32_t port_last; /* max_evtchn_port */
    struct hv_port ports[SIM_PORTS_MAX];
    struct hv_ioserver servers[SIM_IOSERVERS_MAX];
    unsigned next_slot;
    uint8_t gfns_used; /* bit n: gfn n of the ioreq pool */
    struct hv_share *shares;
    struct hv_dom *next;
};

struct hv {
    struct evloop *loop;
    int listen_fd, run_fd;
    bool bound; /* hv.sock is ours */
    struct evloop_fd listen_watch, signal_watch;
    int signal_fd;
    struct evloop_timer tick; /* runs only while something waits for it */
    struct hv_dom *doms;      /* by domid */
    unsigned nr_doms;
    uint32_t last_domid;
    struct hv_proc *procs;
    struct hv_handle *handles;
    uint32_t last_handle, last_server_gen;
    struct sim_active *scratch; /* SIM_GREFS_MAX pin counts, for the recovery */
    struct hv_proc *quit_asker;
};

struct hv_config {
    const char *run_dir;
    uint64_t dom0_ram_bytes;
    uint32_t dom0_arch; /* enum sim_arch: the machine's; dom0 of an x86 one is a PV domain */
};

int hv_init(struct hv *hv, const struct hv_config *cfg, char *why, size_t why_size);
int hv_run(struct hv *hv);
void hv_fini(struct hv *hv);
/* Look again, in a moment, at what could not be finished. */
void hv_tick_later(struct hv *hv);
void hv_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* server.c */
int server_listen(struct hv *hv, char *why, size_t why_size);

/* process.c */
int process_hello(struct hv *hv, struct hv_proc *p, uint16_t domid);
void process_died(struct hv *hv, struct hv_proc *p);
/* Go on with processes that died while somebody held a lock. True: something is left. */
bool process_release_pending(struct hv *hv);
void process_free(struct hv *hv, struct hv_proc *p);
void process_audit(struct hv *hv, pid_t pid, struct sim_audit *a);
/* Frames of domain `domid` that processes outside it hold. */
void process_count_refs(struct hv *hv, uint16_t domid, uint64_t *grants, uint64_t *others);
uint32_t track_high(const struct sim_track *t);

/* domain.c */
struct hv_dom *domain_find(struct hv *hv, uint16_t domid);
/* The control domain, or a domain whose target it is (XSM_DM_PRIV). */
bool domain_controls(const struct hv_dom *self, const struct hv_dom *target);
int domain_create(struct hv *hv, const struct sim_dom_config *cfg, bool dom0, uint16_t *domid);
int domain_destroy(struct hv *hv, struct hv_dom *d);
void domain_shutdown(struct hv *hv, struct hv_dom *d, uint32_t reason);
int domain_pause(struct hv_dom *d);
int domain_unpause(struct hv_dom *d);
int domain_set_target(struct hv_dom *d, const struct hv_dom *target);
void domain_info(struct hv *hv, struct hv_dom *d, struct sim_dom_info *info);
int domain_param(const struct hv_dom *self, struct hv_dom *d, uint64_t index, bool set,
                 uint64_t *value);
int domain_guest_attach(struct hv_dom *d, struct hv_proc *p);
/* The vCPU's eventfd: which 0 for I/O answers, 1 for interrupts. */
int domain_vcpu_fd(struct hv_dom *d, uint32_t vcpu, int which);
int domain_gfn_to_frame(const struct hv_dom *d, uint64_t gfn, uint64_t *frame);
/* Free the dying domains that nobody refers to any more. */
void domain_reap(struct hv *hv);
void domain_free(struct hv *hv, struct hv_dom *d);

/* evtchn.c */
void evtchn_init(struct hv_dom *d);
/* As XEN_DOMCTL_set_max_evtchn, told how many ports there are still to be; UINT64_MAX: Xen's own
 * limit. */
void evtchn_limit(struct hv_dom *d, uint64_t left);
int evtchn_open(struct hv *hv, struct hv_proc *p, struct hv_handle **out);
void evtchn_close_handle(struct hv *hv, struct hv_handle *h);
struct hv_handle *evtchn_handle(struct hv *hv, uint32_t id);
/* `handle` 0: the toolstack's, to be claimed. */
int evtchn_alloc_unbound(struct hv_dom *d, uint16_t remote, uint32_t handle, uint32_t *port);
int evtchn_alloc_xen(struct hv_dom *d, uint32_t vcpu, uint16_t remote, uint32_t *port);
int evtchn_bind_interdomain(struct hv *hv, struct hv_dom *d, struct hv_dom *rd, uint64_t rport,
                            uint32_t handle, uint32_t *port);
int evtchn_bind_virq(struct hv_dom *d, uint64_t virq, uint32_t handle, uint32_t *port);
int evtchn_claim(struct hv *hv, struct hv_dom *d, uint64_t port, struct hv_handle *h);
/* Closes; the far end is unbound again and waits for this domain. */
void evtchn_close(struct hv *hv, struct hv_dom *d, uint32_t port);
void evtchn_close_all(struct hv *hv, struct hv_dom *d);
/* Every reader in the domain wakes up, and finds its domain dying. */
void evtchn_wake_all(struct hv *hv, struct hv_dom *d);
void evtchn_raise(struct hv *hv, struct hv_dom *d, uint32_t port);
/* As EVTCHNOP_send from domain d. */
void evtchn_send(struct hv *hv, struct hv_dom *d, uint32_t port);
void evtchn_global_virq(struct hv *hv, unsigned virq);
/* -1: nobody listens. */
int evtchn_kick_fd(struct hv *hv, struct hv_dom *d, uint32_t port);
void evtchn_check_later(struct hv *hv, struct hv_handle *h);
bool evtchn_check_tokens(struct hv *hv);

/* gnttab.c */
int gnttab_grow(struct hv_dom *d, uint64_t frames, uint64_t *now);
/* Make pins and in-use bits what the live processes' tracks say. The lock is held. */
void gnttab_rebuild(struct hv *hv, struct hv_dom *d);
/* The same, taking the lock. -EBUSY: held by somebody. */
int gnttab_try_rebuild(struct hv *hv, struct hv_dom *d);
/* A page shared by a process that died: false when a peer still has it. */
bool gnttab_end_share(struct hv_dom *d, const struct hv_share *s);

/* ioserver.c */
int ioserver_create(struct hv *hv, struct hv_dom *self, struct hv_dom *d, uint64_t mode, pid_t pid,
                    uint64_t *id);
int ioserver_destroy(struct hv *hv, struct hv_dom *self, struct hv_dom *d, uint64_t id);
void ioserver_destroy_all(struct hv *hv, struct hv_dom *d);
int ioserver_gfns(struct hv_dom *self, struct hv_dom *d, uint64_t id, uint64_t gfns[2]);
int ioserver_map(struct hv_dom *self, struct hv_dom *d, uint64_t id, uint64_t type, uint64_t start,
                 uint64_t end);
int ioserver_unmap(struct hv_dom *self, struct hv_dom *d, uint64_t id, uint64_t type,
                   uint64_t start, uint64_t end);
int ioserver_state(struct hv_dom *self, struct hv_dom *d, uint64_t id, bool enabled);

/* Frames of the memory file behind RAM. */
#define HV_SPECIAL_FRAMES UINT64_C(16) /* x86: 8 for ioreq gfns, then the domain builder's 8 */
#define HV_IOREQ_GFNS     8u
#define HV_IO_SLOTS       64u /* two frames each, taken in turn: a page outlives its server */

#endif
