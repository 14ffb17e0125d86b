/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "simxen/core/internal.h"

/* sim_dom_ref as handed out, and what only this file uses. Never freed: see core.h. */
struct cached {
    struct sim_dom_ref ref;
    _Atomic(void *) memory;
};

static _Atomic(struct cached *) cache[DOMID_FIRST_RESERVED];
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;

void sim_domain_fork_child(void)
{
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

    /* The mappings are of shared files: they stay right in the child. */
    cache_lock = fresh;
}

static int dom_open(uint16_t domid, struct cached **out)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_OPEN, .a = {domid}};
    int rc, fds[2] = {-1, -1};
    struct cached *c = NULL;
    unsigned nfds = 2;
    void *p;

    rc = sim_call(&msg, fds, &nfds);
    if (rc)
        goto out;
    if (nfds != 2 || msg.a[0] < sizeof(struct sim_dom)) {
        rc = -EPROTO;
        goto out;
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        rc = -ENOMEM;
        goto out;
    }
    p = mmap(NULL, msg.a[0], PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    if (p == MAP_FAILED) {
        rc = -errno;
        goto out;
    }
    c->ref.dom = p;
    c->ref.mem_fd = fds[1];
    c->ref.domid = domid;
    fds[1] = -1;
    *out = c;
    c = NULL;
out:
    free(c);
    if (fds[0] >= 0)
        close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
    return rc;
}

int sim_dom_get(uint16_t domid, const struct sim_dom_ref **out)
{
    struct cached *c;
    int rc = 0;

    if (domid >= DOMID_FIRST_RESERVED) {
        if (domid != DOMID_SELF)
            return -ESRCH;
        domid = sim_self_domid();
        if (domid >= DOMID_FIRST_RESERVED)
            return -ESRCH;
    }
    c = atomic_load_explicit(&cache[domid], memory_order_acquire);
    if (!c) {
        rc = sim_session();
        if (rc)
            return rc;
        pthread_mutex_lock(&cache_lock);
        c = atomic_load(&cache[domid]);
        if (!c) {
            rc = dom_open(domid, &c);
            if (!rc)
                atomic_store_explicit(&cache[domid], c, memory_order_release);
        }
        pthread_mutex_unlock(&cache_lock);
        if (rc)
            return rc;
    }
    if (atomic_load_explicit(&c->ref.dom->flags, memory_order_relaxed) & SIM_DOM_GONE)
        return -ESRCH;
    *out = &c->ref;
    return 0;
}

int sim_gfn_to_frame(const struct sim_dom *d, uint64_t gfn, unsigned types, uint64_t *frame)
{
    uint32_t i, nr = d->nr_regions;

    if (nr > SIM_REGIONS_MAX)
        nr = SIM_REGIONS_MAX;
    for (i = 0; i < nr; i++) {
        const struct sim_region *r = &d->regions[i];

        if (gfn < r->gfn || gfn - r->gfn >= r->nr || r->type >= 32 || !(types & (1u << r->type)))
            continue;
        *frame = r->frame + (gfn - r->gfn);
        return 0;
    }
    return -EINVAL;
}

int sim_dom_memory(const struct sim_dom_ref *r, void **base)
{
    struct cached *c = (struct cached *)(uintptr_t)r;
    void *p = atomic_load_explicit(&c->memory, memory_order_acquire);
    int rc = 0;

    if (p) {
        *base = p;
        return 0;
    }
    pthread_mutex_lock(&cache_lock);
    p = atomic_load(&c->memory);
    if (!p) {
        p = mmap(NULL, r->dom->memfile_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                 r->mem_fd, 0);
        if (p == MAP_FAILED)
            rc = -errno;
        else
            atomic_store_explicit(&c->memory, p, memory_order_release);
    }
    pthread_mutex_unlock(&cache_lock);
    if (!rc)
        *base = p;
    return rc;
}

bool sim_may_control(const struct sim_dom *self, const struct sim_dom *target)
{
    return self->privileged ||
           (self->domid != target->domid &&
            atomic_load(&((struct sim_dom *)(uintptr_t)self)->target) == target->domid);
}

void sim_lock_gnt(const struct sim_dom_ref *r)
{
    struct sim_msg msg = {.op = SIM_OP_GNT_RECOVER, .a = {r->domid}};

    if (pthread_mutex_lock(&r->dom->gnt_lock) != EOWNERDEAD)
        return;
    /* With hv gone nothing is consistent any more, and every later call says so. */
    sim_call(&msg, NULL, NULL);
    pthread_mutex_consistent(&r->dom->gnt_lock);
}

void sim_unlock_gnt(const struct sim_dom_ref *r)
{
    pthread_mutex_unlock(&r->dom->gnt_lock);
}
