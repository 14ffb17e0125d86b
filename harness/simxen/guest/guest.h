/* SPDX-License-Identifier: MIT */
/*
 * The guest's side of simxen: a kernel's memory, grants and interrupts, and vCPUs whose accesses
 * trap. Private to the plugin platform-simxen.so; its interface is frontend/platform.h.
 *
 * vcpu.c      one access: split, routed, sent to an IOREQ server, waited for
 * memory.c    pages and grants
 * interrupt.c MSI vectors and interrupt lines
 * platform.c  open, close, the table of operations
 */
#ifndef SIMXEN_GUEST_GUEST_H
#define SIMXEN_GUEST_GUEST_H

#include <pthread.h>

#include "frontend/platform.h"
#include "simxen/core/core.h"

struct guest_vcpu {
    int io_fd;  /* a token for each event on one of its ioreq ports */
    int irq_fd; /* a token when an interrupt arrives */
    bool hung;  /* an access got no answer in time: it is still waiting, as far as Xen knows */
    bool invalidated; /* the map-cache request has been sent */
    uint32_t cf8;     /* x86: the latch of port 0xcf8, kept a vCPU for lack of a chipset */
    uint64_t vectors[SIM_MSI_VECTORS / 64]; /* handed out by irq_msi */
};

/* Pages handed out by one pages_alloc. */
struct guest_pages {
    struct guest_pages *next;
    char *va;
    unsigned n;
    bool mapped; /* not a part of the memory as a whole: unmapped when freed */
    uint64_t frames[];
};

struct guest {
    struct fe_platform platform; /* first */
    const struct sim_dom_ref *dom;
    char *memory; /* all of the memory file */
    int death_fd; /* readable once the domain has been destroyed */
    uint64_t timeout_ns, spin_ns;
    uint32_t intx_line; /* Arm: the first of four SPIs */
    bool invalidate;
    struct guest_vcpu *vcpus;

    pthread_mutex_t lock; /* of all below */
    struct guest_pages *pages;
    uint64_t granted[SIM_GREFS_MAX / 64]; /* references that are ours to end */

    pthread_mutex_t buffered_lock; /* one writer at a time in a buffered ring */
};

static inline struct guest *guest_of(struct fe_platform *p)
{
    return (struct guest *)p;
}

/*
 * A vCPU runs only while its domain does. Waits while it is paused; 0, or -ESHUTDOWN when the
 * domain was shut down or destroyed or the simulation has ended.
 */
int guest_running(struct guest *g);
/* The same without waiting: is the domain gone? guest_over also asks whether the simulation is,
 * which costs a system call: for those who are about to sleep. */
bool guest_gone(const struct guest *g);
bool guest_over(const struct guest *g);

enum guest_space { GUEST_MMIO, GUEST_PIO };

/* One instruction's access by a vCPU; the contract is that of mmio_read and mmio_write. */
int guest_access(struct guest *g, unsigned vcpu, enum guest_space space, uint64_t addr,
                 unsigned bytes, bool write, uint64_t *value);

int guest_pages_alloc(struct fe_platform *p, unsigned n, unsigned flags, void **va);
void guest_pages_free(struct fe_platform *p, void *va, unsigned n);
int guest_gfn(struct fe_platform *p, const void *va, uint64_t *gfn);
int guest_grant(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                gref_t *first);
int guest_grant_at(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                   gref_t first);
int guest_revoke(struct fe_platform *p, gref_t first, unsigned n);
int guest_grant_in_use(struct fe_platform *p, gref_t ref, unsigned *in_use);
/* End of the kernel: everything that no peer still maps is given back. */
void guest_memory_fini(struct guest *g);

int guest_irq_msi(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq);
int guest_irq_intx(struct fe_platform *p, sbdf_t sbdf, unsigned pin, fe_irq_t *irq);
int guest_irq_line(struct fe_platform *p, unsigned line, fe_irq_t *irq);
void guest_irq_free(struct fe_platform *p, fe_irq_t irq);
int guest_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns);

/* CLOCK_MONOTONIC */
uint64_t guest_now_ns(void);
/* now + ns, or UINT64_MAX when that is beyond the clock. */
uint64_t guest_deadline(uint64_t ns);

/* Longest sleep between two looks at the domain's flags, which a shutdown changes without any
 * event that these waits could share. */
#define GUEST_LOOK_NS 50000000ull

#endif
