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
#include "xen/gmem_holder.h"
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

/* Of a lease. */
struct held_runs {
    struct held base;
    unsigned count, max;
    struct run **runs;
};

struct persistent {
    struct holder base;
    struct run *runs; /* the last one that was used is the first */
    unsigned run_count;
    uint32_t page_count;
};

static struct gmem_stats *stats_of(struct persistent *m)
{
    return &m->base.base.stats;
}

static void run_unmap(struct persistent *m, struct run *r)
{
    permap_grant_ops.unmap(&m->base.args, r->base, r->pages);
    stats_of(m)->unmap_calls++;
    stats_of(m)->pages_unmapped += r->pages;
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
    stats_of(m)->map_calls++;
    rc = permap_grant_ops.map(&m->base.args, &list, writable, &base);
    /* Runs that overlap add up to what Xen counts of a reference, and Xen says no more than that
     * it refuses. */
    if (rc && m->runs && !MUTANT(persistent_gives_nothing_up)) {
        persistent_forget(&m->base.base);
        stats_of(m)->map_calls++;
        rc = permap_grant_ops.map(&m->base.args, &list, writable, &base);
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
    stats_of(m)->pages_mapped += pages;
    *out = r;
    return 0;
}

static void runs_drop(struct holder *m, struct held *held)
{
    struct held_runs *h = (struct held_runs *)held;

    (void)m;
    while (h->count)
        h->runs[--h->count]->users--;
}

static void runs_fini(struct held *held)
{
    free(((struct held_runs *)held)->runs);
}

static int range_get(struct holder *holder, const struct gmem_range *range, struct held *held,
                     struct gmem_lease *lease)
{
    struct persistent *m = (struct persistent *)holder;
    struct held_runs *h = (struct held_runs *)held;
    bool writable = range->access & GMEM_WRITE;
    uint32_t offset, pages;
    void *grown;
    struct run *r;
    gref_t first;
    int rc = gref_decode(range->addr, range->len_bytes, &first, &offset, &pages);

    if (rc)
        return rc;
    if (lease->iov_count == lease->iov_max)
        return -ENOSPC;
    grown = array_fit(h->runs, &h->max, h->count + 1, sizeof(struct run *));
    if (!grown)
        return -ENOMEM;
    h->runs = grown;
    r = run_find(m, first.raw, pages, writable);
    if (r) {
        stats_of(m)->cache_hits++;
    } else {
        stats_of(m)->cache_misses++;
        rc = run_map(m, first.raw, pages, writable, &r);
        if (rc)
            return rc;
    }
    r->users++;
    h->runs[h->count++] = r;
    lease->iov[lease->iov_count++] = (struct iovec){
        r->base + (size_t)(first.raw - r->first) * XEN_PAGE_BYTES + offset, range->len_bytes};
    return 0;
}

static void persistent_destroy(struct gmem *g)
{
    persistent_forget(g);
    holder_fini((struct holder *)g);
    free(g);
}

int gmem_persistent_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops gmem_ops = {.name = "grant-persistent",
                                             .get = holder_get,
                                             .put = holder_put,
                                             .forget = persistent_forget,
                                             .destroy = persistent_destroy};
    /* The memory of a ring lives as long as its lease anyway. */
    static const struct holder_ops ops = {.held_bytes = sizeof(struct held_runs),
                                          .shared_direct = true,
                                          .range_get = range_get,
                                          .held_drop = runs_drop,
                                          .held_fini = runs_fini};
    struct persistent *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return -ENOMEM;
    rc = holder_init(&m->base, &gmem_ops, &ops, args, "grant-map", 1u << PERMAP_GRANT);
    if (rc)
        persistent_destroy(&m->base.base);
    else
        *out = &m->base.base;
    return rc;
}
