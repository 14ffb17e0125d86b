/* SPDX-License-Identifier: MIT */
/*
 * Grants that stay mapped. The unit is a *run*: consecutive references, mapped by one call for
 * one kind of access, and unmapped as one. A range is served by any run that contains it; runs
 * may overlap. What fits nowhere is mapped for the time of its lease.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gmem/gref.h"
#include "util/mutant.h"
#include "xen/gmem_permap.h"
#include "xen/gmem_ways.h"

/* A longer one would push everything else out. 1 MiB. */
#define RUN_PAGES_MAX 256u

struct run {
    struct run *next; /* the one that was used before it */
    uint32_t first, pages;
    bool writable;
    unsigned users; /* ranges of leases */
    char *base;
};

/* What a lease has: runs, or a lease of the other way. On a free list between leases. */
struct held {
    struct held *next;
    void *direct;
    unsigned count, max;
    struct run **runs;
};

struct persistent {
    struct gmem base;
    struct gmem_strategy_args args;
    struct gmem *direct;
    struct run *runs; /* the last one that was used is the first */
    unsigned run_count;
    uint32_t page_count;
    struct held *free;
};

static void run_unmap(struct persistent *m, struct run *r)
{
    permap_grant_ops.unmap(&m->args, r->base, r->pages);
    m->base.stats.unmap_calls++;
    m->base.stats.pages_unmapped += r->pages;
    m->run_count--;
    m->page_count -= r->pages;
    free(r);
}

static void persistent_forget(struct gmem *g)
{
    struct persistent *m = (struct persistent *)g;

    if (MUTANT(persistent_reset_forgets_nothing))
        return;
    for (struct run **link = &m->runs, *r; (r = *link);) {
        if (r->users) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        run_unmap(m, r);
    }
}

/* One run less, the one that was not used for the longest time. False: all are in use. */
static bool run_evict(struct persistent *m)
{
    struct run **oldest = NULL, *r;

    for (struct run **link = &m->runs; *link; link = &(*link)->next)
        if (!(*link)->users)
            oldest = link;
    if (!oldest)
        return false;
    r = *oldest;
    *oldest = r->next;
    run_unmap(m, r);
    return true;
}

static bool run_contains(const struct run *r, uint32_t first, uint32_t pages)
{
    return first >= r->first && first - r->first < r->pages &&
           pages <= r->pages - (first - r->first);
}

static struct run *run_find(struct persistent *m, uint32_t first, uint32_t pages, bool writable)
{
    for (struct run **link = &m->runs, *r; (r = *link); link = &r->next) {
        if (!run_contains(r, first, pages) ||
            (writable && !r->writable && !MUTANT(persistent_access_ignored)))
            continue;
        *link = r->next;
        r->next = m->runs;
        m->runs = r;
        return r;
    }
    return NULL;
}

/* 0; -EFAULT or -ENOMEM as the mapping failed; -ENOSPC: there is no room. */
static int run_map(struct persistent *m, uint32_t first, uint32_t pages, bool writable,
                   struct run **out)
{
    uint32_t refs[RUN_PAGES_MAX];
    struct permap_pages list = {.count = pages, .refs = refs};
    void *base = NULL;
    struct run *r;
    int rc;

    if (pages > RUN_PAGES_MAX)
        return -ENOSPC;
    while (m->run_count >= GMEM_KEPT_RUNS_MAX || m->page_count + pages > GMEM_KEPT_PAGES_MAX)
        if (!run_evict(m))
            return -ENOSPC;
    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    for (uint32_t i = 0; i < pages; i++)
        refs[i] = first + i;
    m->base.stats.map_calls++;
    rc = permap_grant_ops.map(&m->args, &list, writable, &base);
    /* Runs that overlap add up to what Xen counts of a reference, and Xen says no more than that
     * it refuses. */
    if (rc && m->runs) {
        persistent_forget(&m->base);
        m->base.stats.map_calls++;
        rc = permap_grant_ops.map(&m->args, &list, writable, &base);
    }
    if (rc) {
        free(r);
        return rc;
    }
    *r = (struct run){
        .next = m->runs, .first = first, .pages = pages, .writable = writable, .base = base};
    m->runs = r;
    m->run_count++;
    m->page_count += pages;
    m->base.stats.pages_mapped += pages;
    *out = r;
    return 0;
}

static struct held *held_take(struct persistent *m, unsigned count)
{
    struct held *h = m->free;
    struct run **runs;

    if (h)
        m->free = h->next;
    else
        h = calloc(1, sizeof(*h));
    if (!h || count <= h->max)
        return h;
    runs = realloc(h->runs, count * sizeof(struct run *));
    if (!runs) {
        h->next = m->free;
        m->free = h;
        return NULL;
    }
    h->runs = runs;
    h->max = count;
    return h;
}

static void held_give(struct persistent *m, struct held *h)
{
    for (unsigned i = 0; i < h->count; i++)
        h->runs[i]->users--;
    h->count = 0;
    h->direct = NULL;
    h->next = m->free;
    m->free = h;
}

static int range_get(struct persistent *m, const struct gmem_range *range, struct held *h,
                     struct iovec *iov)
{
    bool writable = range->access & GMEM_WRITE;
    uint32_t offset, pages;
    struct run *r;
    gref_t first;
    int rc = gref_decode(range->addr, range->len_bytes, &first, &offset, &pages);

    if (rc)
        return rc;
    r = run_find(m, first.raw, pages, writable);
    if (r) {
        m->base.stats.cache_hits++;
    } else {
        m->base.stats.cache_misses++;
        rc = run_map(m, first.raw, pages, writable, &r);
        if (rc)
            return rc;
    }
    r->users++;
    h->runs[h->count++] = r;
    *iov = (struct iovec){r->base + (size_t)(first.raw - r->first) * XEN_PAGE_BYTES + offset,
                          range->len_bytes};
    return 0;
}

static int persistent_get(struct gmem *g, const struct gmem_range *ranges, unsigned count,
                          struct gmem_lease *lease)
{
    struct persistent *m = (struct persistent *)g;
    bool leading = true;
    struct held *h;
    int rc = 0;

    if (count > lease->iov_max)
        return -ENOSPC;
    h = held_take(m, count);
    if (!h)
        return -ENOMEM;
    /* The memory of a ring lives as long as its lease anyway. */
    if (ranges[0].access & GMEM_SHARED)
        rc = -ENOSPC;
    lease->iov_readable = 0;
    for (unsigned i = 0; i < count && !rc; i++) {
        rc = range_get(m, &ranges[i], h, &lease->iov[i]);
        leading = leading && !(ranges[i].access & GMEM_WRITE);
        lease->iov_readable += leading;
    }
    lease->iov_count = count;
    if (rc == -ENOSPC) {
        while (h->count)
            h->runs[--h->count]->users--;
        rc = m->direct->ops->get(m->direct, ranges, count, lease);
        h->direct = rc ? NULL : lease->impl;
    }
    if (rc)
        held_give(m, h);
    else
        lease->impl = h;
    return rc;
}

static int persistent_put(struct gmem *g, struct gmem_lease *lease)
{
    struct persistent *m = (struct persistent *)g;
    struct held *h = lease->impl;

    if (h->direct) {
        lease->impl = h->direct;
        (void)m->direct->ops->put(m->direct, lease);
    }
    held_give(m, h);
    return 0;
}

static void persistent_destroy(struct gmem *g)
{
    struct persistent *m = (struct persistent *)g;

    persistent_forget(g);
    while (m->free) {
        struct held *h = m->free;

        m->free = h->next;
        free(h->runs);
        free(h);
    }
    m->direct->ops->destroy(m->direct);
    free(m);
}

int gmem_persistent_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops ops = {.name = "grant-persistent",
                                        .get = persistent_get,
                                        .put = persistent_put,
                                        .forget = persistent_forget,
                                        .destroy = persistent_destroy};
    struct persistent *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return -ENOMEM;
    m->base.ops = &ops;
    m->args = *args;
    rc = permap_create("grant-map", args, 1u << PERMAP_GRANT, &m->base.stats, &m->direct);
    if (rc)
        free(m);
    else
        *out = &m->base;
    return rc;
}
