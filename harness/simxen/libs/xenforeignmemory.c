/* SPDX-License-Identifier: MIT */
/*
 * libxenforeignmemory: what a process sees of other domains' memory through Linux's privcmd.
 *
 * Each page of a mapping succeeds or fails by itself, with a negative errno in err[]; touching one
 * that failed raises SIGBUS. Unmapping is munmap: any part of any mapping, through any handle. So
 * what is mapped is a property of the process, as it is in the kernel, and not of a handle.
 */
#define __XEN_TOOLS__ 1 /* the constants of the toolstack's side */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#pragma GCC visibility push(default)
#include <xenforeignmemory.h>
#pragma GCC visibility pop
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>

#include "simxen/core/core.h"
#include "simxen/core/frames.h"
#include "util/mutant.h"

#define MAPPABLE (1u << SIM_REGION_RAM | 1u << SIM_REGION_SPECIAL | 1u << SIM_REGION_GNTTAB)

struct xenforeignmemory_handle {
    struct sim_active_handle active; /* first: libxentoolcore's list */
    uint64_t session;
    domid_t restricted_to; /* DOMID_INVALID: not */
};

struct xenforeignmemory_resource_handle {
    void *addr;
    size_t pages;
    uint32_t track;
    const struct sim_dom_ref *dom;
};

/* One call's mapping, or what later unmappings left of it. */
struct window {
    struct window *next;
    char *start, *end;
    uint64_t session;
    uint32_t track;
    bool tracked; /* it has pages that did not fail */
    const struct sim_dom_ref *dom;
};

static struct {
    pthread_mutex_t lock;
    struct window *first;
} windows = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int fail(int err)
{
    errno = err;
    return -1;
}

static void *fail_null(int err)
{
    errno = err;
    return NULL;
}

static int restrict_handle(struct sim_active_handle *active, domid_t domid)
{
    return xenforeignmemory_restrict((xenforeignmemory_handle *)active, domid);
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned open_flags)
{
    xenforeignmemory_handle *fmem;
    int rc = sim_session();

    if (rc)
        return fail_null(-rc);
    fmem = calloc(1, sizeof(*fmem));
    if (!fmem)
        return fail_null(ENOMEM);
    fmem->session = sim_session_id();
    fmem->restricted_to = DOMID_INVALID;
    fmem->active.restrict_callback = restrict_handle;
    sim_restrict_register(&fmem->active);
    return fmem;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    if (!fmem)
        return 0;
    sim_restrict_deregister(&fmem->active);
    free(fmem);
    return 0;
}

int xenforeignmemory_restrict(xenforeignmemory_handle *fmem, domid_t domid)
{
    if (fmem->restricted_to != DOMID_INVALID && fmem->restricted_to != domid)
        return fail(EINVAL);
    fmem->restricted_to = domid;
    return 0;
}

/* 0, or the errno with which privcmd refuses every call about this domain. */
static int refused(const xenforeignmemory_handle *fmem, uint32_t domid)
{
    if (fmem->session != sim_session_id())
        return EINVAL;
    if (fmem->restricted_to != DOMID_INVALID && fmem->restricted_to != domid &&
        !MUTANT(sim_restrict_leaves_foreign_memory))
        return EPERM;
    return 0;
}

static bool dying(const struct sim_dom *d)
{
    return atomic_load_explicit(&d->flags, memory_order_acquire) & SIM_DOM_DYING;
}

/* A frame less of a dying domain is in use: it may be the last. */
static void released(const struct sim_dom_ref *dom)
{
    struct sim_msg msg = {.op = SIM_OP_POKE, .a = {dom->domid}};

    if (dying(dom->dom))
        sim_call(&msg, NULL, NULL);
}

/* ---- what is mapped ---- */

static int window_add(char *start, size_t pages, const struct sim_dom_ref *dom, uint64_t gfn,
                      uint32_t good)
{
    struct sim_track_entry e = {.domid = dom->domid, .nr = good, .gfn = gfn};
    struct window *w = malloc(sizeof(*w));
    int rc = 0;

    if (!w)
        return -ENOMEM;
    *w = (struct window){.start = start,
                         .end = start + pages * SIM_PAGE,
                         .session = sim_session_id(),
                         .tracked = good != 0,
                         .dom = dom};
    if (good)
        rc = sim_track_take(SIM_TRACK_FOREIGN, &e, &w->track);
    if (rc) {
        free(w);
        return -ENOMEM;
    }
    pthread_mutex_lock(&windows.lock);
    w->next = windows.first;
    windows.first = w;
    pthread_mutex_unlock(&windows.lock);
    return 0;
}

static void window_gone(struct window *w)
{
    if (w->tracked && w->session == sim_session_id()) {
        atomic_fetch_add_explicit(&w->dom->dom->stats.foreign_unmap,
                                  sim_self_track()->entries[w->track].nr, memory_order_relaxed);
        sim_track_drop(w->track);
        released(w->dom);
    }
    free(w);
}

/*
 * [start, end) is no longer what it was. A window that loses its middle keeps its outer bounds:
 * its frames count as mapped until both ends are gone too.
 */
static void windows_cut(char *start, char *end)
{
    struct window **link = &windows.first, *w, *gone = NULL;

    pthread_mutex_lock(&windows.lock);
    while ((w = *link)) {
        if (start <= w->start && end > w->start)
            w->start = end < w->end ? end : w->end;
        else if (end >= w->end && start < w->end)
            w->end = start;
        if (w->start < w->end) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        w->next = gone;
        gone = w;
    }
    pthread_mutex_unlock(&windows.lock);
    while ((w = gone)) {
        gone = w->next;
        window_gone(w);
    }
}

/* ---- pages by gfn ---- */

/* The errno that every page gets, or 0 and the domain. */
static int target_domain(uint32_t domid, const struct sim_dom_ref **self,
                         const struct sim_dom_ref **dom)
{
    if (sim_dom_get(sim_self_domid(), self) || domid > UINT16_MAX ||
        domid >= DOMID_FIRST_RESERVED || sim_dom_get((uint16_t)domid, dom))
        return MUTANT(sim_foreign_no_domain_is_einval) ? EINVAL : ESRCH;
    if (*dom == *self)
        return (*self)->dom->arch == SIM_ARCH_ARM ? EPERM : ESRCH;
    if (!sim_may_control((*self)->dom, (*dom)->dom))
        return EPERM;
    /* What flask_mmu_update and flask_map_gmfn_foreign say where the policy has no map_read and
     * map_write; resources are asked for by a hook of their own. */
    if ((*dom)->dom->no_foreign)
        return EACCES;
    return 0;
}

/*
 * The kernel of a PV dom0 puts the number into a page table entry (xen_remap_pfn), where x86 has 40
 * bits for it: what is above gets lost, and another frame is mapped without a word.
 */
static uint64_t known_bits(const struct sim_dom_ref *dom, uint64_t gfn)
{
    return dom->dom->arch == SIM_ARCH_X86 ? gfn & ((UINT64_C(1) << 40) - 1) : gfn;
}

static void *map_frames(uint32_t domid, void *addr, int prot, int flags, size_t num,
                        const xen_pfn_t *arr, int *err)
{
    const struct sim_dom_ref *self = NULL, *dom = NULL;
    uint64_t *frames = calloc(num, sizeof(*frames));
    uint64_t first_gfn = 0;
    uint32_t good = 0;
    void *va = NULL;
    int all, rc;

    if (!frames)
        return fail_null(ENOMEM);
    all = target_domain(domid, &self, &dom);
    for (size_t i = 0; i < num; i++) {
        err[i] = -all;
        frames[i] = SIM_FRAME_HOLE;
        if (all)
            continue;
        /* The memory of a domain that is being destroyed is not there any more for a newcomer. */
        if (dying(dom->dom) ||
            sim_gfn_to_frame(dom->dom, known_bits(dom, arr[i]), MAPPABLE, &frames[i])) {
            err[i] = MUTANT(sim_foreign_error_is_positive) ? EINVAL : -EINVAL;
            frames[i] = MUTANT(sim_foreign_bad_page_is_frame_0) ? 0 : SIM_FRAME_HOLE;
        } else if (good++ == 0) {
            first_gfn = known_bits(dom, arr[i]);
        }
    }
    if (MUTANT(sim_foreign_first_pages_are_swapped) && num > 1) {
        uint64_t frame = frames[0];

        frames[0] = frames[1];
        frames[1] = frame;
    }
    if (MUTANT(sim_foreign_readonly_maps_writable))
        prot |= PROT_WRITE;
    rc = sim_frames_map(dom ? dom->mem_fd : -1, addr, prot, flags, num, frames, &va);
    free(frames);
    if (rc)
        return fail_null(-rc);
    if (flags & MAP_FIXED)
        windows_cut(va, (char *)va + num * SIM_PAGE);
    if (good) {
        rc = window_add(va, num, dom, first_gfn, good);
        if (rc) {
            munmap(va, num * SIM_PAGE);
            return fail_null(-rc);
        }
        atomic_fetch_add_explicit(&dom->dom->stats.foreign_map, good, memory_order_relaxed);
    }
    return va;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t domid, void *addr, int prot,
                            int flags, size_t num, const xen_pfn_t arr[], int err[])
{
    int *own_err = NULL;
    int rc = refused(fmem, domid);
    void *va;

    if (num == 0 && MUTANT(sim_foreign_nothing_can_be_mapped))
        return mmap(NULL, SIM_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (num == 0 || num > SIZE_MAX / SIM_PAGE)
        return fail_null(EINVAL);
    if (rc)
        return fail_null(rc);
    if (!err)
        err = own_err = malloc(num * sizeof(*err));
    if (!err)
        return fail_null(ENOMEM);
    va = map_frames(domid, addr, prot, flags, num, arr, err);
    /* Nobody to tell which page failed: all or nothing. */
    for (size_t i = 0; va && own_err && i < num; i++) {
        if (err[i] == 0 || MUTANT(sim_foreign_errors_without_array_are_lost))
            continue;
        rc = -err[i];
        xenforeignmemory_unmap(fmem, va, num);
        errno = rc;
        va = NULL;
    }
    free(own_err);
    return va;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t domid, int prot, size_t num,
                           const xen_pfn_t arr[], int err[])
{
    return xenforeignmemory_map2(fmem, domid, NULL, prot, 0, num, arr, err);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t num)
{
    if (!MUTANT(sim_foreign_unmap_keeps_the_pages) && munmap(addr, num * SIM_PAGE))
        return -1;
    windows_cut(addr, (char *)addr + num * SIM_PAGE);
    return 0;
}

/* ---- resources ---- */

/* The frames of IOREQ server `id`, as XENMEM_acquire_resource finds them; -errno. */
static int ioserver_frames(const struct sim_dom_ref *self, const struct sim_dom_ref *dom,
                           unsigned id, uint64_t first, size_t n, uint64_t *frames)
{
    struct sim_dom *d = dom->dom;
    struct sim_ioserver *s;
    uint32_t seq;
    int rc;

    if (id > UINT16_MAX)
        return -EINVAL;
    if (id >= SIM_IOSERVERS_MAX)
        return -ENOENT;
    s = &d->ioservers[id];
    do {
        seq = atomic_load_explicit(&d->ioserver_seq, memory_order_acquire);
        rc = 0;
        if (s->gen == 0)
            rc = -ENOENT;
        /* Another's, or with its pages at gfns, where the resource cannot have them. */
        else if (s->owner_domid != self->domid || s->sync_gfn)
            rc = -EPERM;
        for (size_t i = 0; i < n && rc == 0; i++) {
            uint64_t idx = first + i;

            if (idx == XENMEM_resource_ioreq_server_frame_bufioreq) {
                if (s->bufioreq == HVM_IOREQSRV_BUFIOREQ_OFF &&
                    !MUTANT(sim_resource_ring_is_always_there))
                    rc = -ENOENT;
                frames[i] = s->buf_frame;
            } else if (idx - 1 < s->sync_frames) {
                frames[i] = s->sync_frame + idx - 1;
            } else {
                rc = -EINVAL;
            }
        }
        atomic_thread_fence(memory_order_acquire);
    } while ((seq & 1) || seq != atomic_load_explicit(&d->ioserver_seq, memory_order_relaxed));
    if (rc == 0)
        atomic_store(&s->resource_used, 1);
    return rc;
}

static int grant_frames(const struct sim_dom_ref *dom, unsigned id, uint64_t first, size_t n,
                        uint64_t *frames)
{
    struct sim_dom *d = dom->dom;

    /* Status frames belong to version 2 of the table. */
    if (id != XENMEM_resource_grant_table_id_shared || first + n > d->gnt_frames_max)
        return -EINVAL;
    if (first + n > __atomic_load_n(&d->gnt_frames, __ATOMIC_ACQUIRE)) {
        struct sim_msg msg = {.op = SIM_OP_GNT_GROW, .a = {dom->domid, first + n}};
        int rc = sim_call(&msg, NULL, NULL);

        if (rc)
            return rc == -ENOSPC ? -EINVAL : rc;
    }
    for (size_t i = 0; i < n; i++)
        frames[i] = d->gnt_frame0 + first + i;
    return 0;
}

static uint32_t resource_max_frames(const struct sim_dom *d, unsigned type, unsigned id)
{
    switch (type) {
    case XENMEM_resource_ioreq_server:
        return 1 + (uint32_t)((d->nr_vcpus * sizeof(ioreq_t) + SIM_PAGE - 1) / SIM_PAGE);
    case XENMEM_resource_grant_table:
        return id == XENMEM_resource_grant_table_id_shared ? d->gnt_frames_max : 0;
    default:
        return 0;
    }
}

/* What XENMEM_acquire_resource checks before it looks at the resource; -errno. */
static int resource_domain(const xenforeignmemory_handle *fmem, domid_t domid, unsigned type,
                           const struct sim_dom_ref **self, const struct sim_dom_ref **dom)
{
    int rc = refused(fmem, domid);

    if (rc)
        return -rc;
    if (sim_dom_get(sim_self_domid(), self) || domid >= DOMID_FIRST_RESERVED ||
        sim_dom_get(domid, dom))
        return MUTANT(sim_resource_no_domain_is_einval) ? -EINVAL : -ESRCH;
    if ((*dom == *self && !MUTANT(sim_domain_may_serve_itself)) ||
        !sim_may_control((*self)->dom, (*dom)->dom))
        return -EPERM;
    if (type == XENMEM_resource_vmtrace_buf)
        return -EINVAL; /* no domain here has one */
    if (type != XENMEM_resource_ioreq_server && type != XENMEM_resource_grant_table)
        return -EOPNOTSUPP;
    return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(
    xenforeignmemory_handle *fmem, domid_t domid, unsigned int type, unsigned int id,
    unsigned long frame, unsigned long nr_frames, void **paddr, int prot, int flags)
{
    const struct sim_dom_ref *self, *dom;
    struct sim_track_entry e = {.domid = domid, .gfn = id, .nr = (uint32_t)nr_frames};
    xenforeignmemory_resource_handle *fres;
    uint64_t *frames = NULL;
    int rc;

    if (flags & ~(MAP_SHARED | MAP_PRIVATE))
        return fail_null(EINVAL);
    fres = calloc(1, sizeof(*fres));
    if (!fres)
        return fail_null(ENOMEM);
    rc = resource_domain(fmem, domid, type, &self, &dom);
    /* Neither a place nor a number asks for the size, and maps nothing. */
    if (rc == 0 && !*paddr && !nr_frames)
        return fres;
    /* Order of the kernel: an empty mapping is refused before Xen is asked. */
    if (nr_frames == 0)
        rc = -EINVAL;
    if (rc == 0 && (frame >> 32 || nr_frames >> 32 || (frame + nr_frames) >> 32 ||
                    nr_frames > (UINT32_MAX >> 6)))
        rc = -EINVAL;
    if (rc)
        goto out;
    /* Nothing that exists is longer: the frames beyond are refused without room for them. */
    if (nr_frames > resource_max_frames(dom->dom, type, id)) {
        rc = -EINVAL;
        goto out;
    }
    frames = calloc(nr_frames, sizeof(*frames));
    if (!frames) {
        rc = -ENOMEM;
        goto out;
    }
    if (type == XENMEM_resource_ioreq_server)
        rc = ioserver_frames(self, dom, id, frame, nr_frames, frames);
    else
        rc = grant_frames(dom, id, frame, nr_frames, frames);
    if (rc == 0)
        rc = sim_frames_map(dom->mem_fd, *paddr, prot, 0, nr_frames, frames, &fres->addr);
    if (rc)
        goto out;
    rc = sim_track_take(SIM_TRACK_RESOURCE, &e, &fres->track);
    if (rc) {
        munmap(fres->addr, nr_frames * SIM_PAGE);
        rc = -ENOMEM;
        goto out;
    }
    fres->pages = nr_frames;
    fres->dom = dom;
    *paddr = fres->addr;
out:
    free(frames);
    if (rc) {
        free(fres);
        return fail_null(-rc);
    }
    return fres;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    int rc = 0;

    if (fres && fres->pages) {
        rc = munmap(fres->addr, fres->pages * SIM_PAGE);
        if (fmem->session == sim_session_id()) {
            sim_track_drop(fres->track);
            released(fres->dom);
        }
    }
    free(fres);
    return rc;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
                                   unsigned int id, size_t *size)
{
    const struct sim_dom_ref *self, *dom;
    int rc = resource_domain(fmem, domid, type, &self, &dom);
    uint32_t frames;

    if (rc)
        return fail(-rc);
    frames = resource_max_frames(dom->dom, type, id);
    if (frames == 0)
        return fail(EINVAL);
    if (MUTANT(sim_resource_size_forgets_the_ring))
        frames--;
    *size = (size_t)frames * SIM_PAGE;
    return 0;
}
