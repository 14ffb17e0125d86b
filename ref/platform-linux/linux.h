/* SPDX-License-Identifier: MIT */
/*
 * The frontend's platform in a real domU: a process of Linux user space that does what a guest
 * kernel does, without a driver in the kernel. It needs root, and a domain that runs nothing else.
 *
 * MMIO     /dev/mem on holes of the physical map: one instruction an access. On Arm an access that
 *          nobody claims ends its process, so another process makes them.
 * pages    locked memory, allocated once; frame numbers from /proc/self/pagemap. A page that the
 *          kernel moved all the same is an error at the next use (-ESTALE), not a wrong address.
 * grants   frames of the domain's own grant table that the kernel does not use: the last ones.
 *          They are put into a hole of the physical map (XENMEM_add_to_physmap, as the kernel does
 *          with its own) and mapped from there, so entries are written here: any page, any of our
 *          references, as often as wanted, and Xen's in-use bits are seen. gntalloc could do none
 *          of it: it grants pages of its own, once each.
 * MSI      x86: vectors that Linux has no handler for. It acknowledges such an interrupt and says
 *          so in its log, where it is read. Each vCPU has a few. Arm: none, there is no ITS.
 * lines    Arm: those that the domain's device tree gives to the kernel's UIO driver, INTx by the
 *          names intxa to intxd, others by their number (ci/images/dts/domu-uio.dts). As much of a
 *          level as Xen's interrupt controller keeps (irq.c). x86: none, a PVH domain has no lines.
 * vCPUs    an access that waits for its answer stops its vCPU. With several vCPUs the last one is
 *          the agent's own and is not counted; accesses are made on the one that was named.
 *
 * On Arm hardware /dev/mem maps the grant table uncached while Xen's mapping is cached; that is not
 * coherent. The emulated machines of CI have no caches.
 */
#ifndef PLATFORM_LINUX_LINUX_H
#define PLATFORM_LINUX_LINUX_H

#include <pthread.h>
#include <sched.h>
#include <sys/types.h>

#include "frontend/platform.h"

#define MMIO_WINDOW_BYTES (2ull << 20)
#define MMIO_WINDOWS_MAX  256u

/* A part of the physical map, mapped when it is first accessed, until the end. */
struct mmio_window {
    uint64_t base;
    volatile void *va;
};

#define ACCESSORS_MAX 64u

/* Arm: the process that makes a vCPU's accesses. */
struct accessor {
    pid_t pid; /* 0: none */
    int fd;
};

struct pool {
    char *va; /* by frame number upwards */
    unsigned count;
    uint64_t *gfns;
    unsigned *used; /* pages of the run that begins here; 0: free or inside of one */
    bool *taken;
    int pagemap_fd;
};

struct grants;
struct irqs;

struct lx {
    struct fe_platform platform; /* first */
    int mem_fd;                  /* /dev/mem; accesses are not cached */
    unsigned home;               /* the vCPU of whoever makes no access */
    bool pinned;                 /* there are several vCPUs */
    pthread_mutex_t lock;        /* of all below */
    struct mmio_window windows[MMIO_WINDOWS_MAX];
    unsigned window_count;
    struct accessor accessors[ACCESSORS_MAX];
    struct pool pool;
    struct grants *grants;
    struct irqs *irqs;
};

static inline struct lx *lx_of(struct fe_platform *p)
{
    return (struct lx *)p;
}

/* What --platform linux:... says. */
struct lx_options {
    unsigned pool_mib;
    uint64_t grant_base; /* hole of the physical map for grant frames; 0: the architecture's */
};

int lx_mmio_read(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                 uint64_t *value);
int lx_mmio_write(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                  uint64_t value);
void lx_mmio_fini(struct lx *l);

int lx_pool_init(struct lx *l, unsigned pages);
void lx_pool_fini(struct lx *l);
int lx_pages_alloc(struct fe_platform *p, unsigned n, unsigned flags, void **va);
void lx_pages_free(struct fe_platform *p, void *va, unsigned n);
int lx_gfn(struct fe_platform *p, const void *va, uint64_t *gfn);

/* -EOPNOTSUPP with a text on stderr where the kernel does not let user space do it. */
int lx_grants_init(struct lx *l, uint64_t base);
void lx_grants_fini(struct lx *l);
int lx_grant(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
             gref_t *first);
int lx_grant_at(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                gref_t first);
int lx_revoke(struct fe_platform *p, gref_t first, unsigned n);
int lx_grant_in_use(struct fe_platform *p, gref_t ref, unsigned *in_use);

int lx_irqs_init(struct lx *l);
void lx_irqs_fini(struct lx *l);
int lx_irq_msi(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq);
int lx_irq_intx(struct fe_platform *p, sbdf_t sbdf, unsigned pin, fe_irq_t *irq);
int lx_irq_line(struct fe_platform *p, unsigned line, fe_irq_t *irq);
void lx_irq_free(struct fe_platform *p, fe_irq_t irq);
int lx_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns);

#endif
