/* SPDX-License-Identifier: MIT */
/*
 * Frames that stay mapped: pieces of memory of one size, mapped when they are first used
 * (foreign-buckets), or all that was said to be memory, in advance (foreign-whole,
 * foreign-static). A bucket's neighbour in memory is not its neighbour here, so that a range
 * may become two iovecs.
 *
 * What no window has, because the frame was not there when it was mapped or there is no room for
 * another bucket, is mapped for the time of its lease; but for foreign-static, which touches
 * nothing else.
 */
#include <stdlib.h>

#include "gmem/gref.h"
#include "util/bits.h"
#include "util/mutant.h"
#include "xen/gmem_permap.h"
#include "xen/gmem_ways.h"
#include "xen/gmem_window.h"

#define BUCKET_PAGES 256u

/* What a lease has. On a free list between leases. */
struct held {
    struct held *next;
    void *direct;
    unsigned count, max;
    struct window **windows; /* of each iovec */
};

struct windows {
    struct gmem base;
    struct gmem_strategy_args args;
    struct gmem *direct; /* NULL: nothing else is touched */
    bool buckets;
    struct window *list; /* the last one that was used is the first */
    unsigned count;
    struct held *free;
};

static void windows_forget(struct gmem *g)
{
    struct windows *m = (struct windows *)g;

    if (MUTANT(buckets_reset_forgets_nothing))
        return;
    for (struct window **link = &m->list, *w; m->buckets && (w = *link);) {
        if (w->users) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        m->count--;
        window_unmap(&m->args, w, &m->base.stats);
    }
}

/* Room for a bucket, in the place of the one that was not used for the longest time. */
static bool bucket_room(struct windows *m)
{
    struct window **oldest = NULL, *w;

    if (m->count < GMEM_BUCKETS_MAX)
        return true;
    for (struct window **link = &m->list; *link; link = &(*link)->next)
        if (!(*link)->users)
            oldest = link;
    if (!oldest)
        return false;
    w = *oldest;
    *oldest = w->next;
    m->count--;
    window_unmap(&m->args, w, &m->base.stats);
    return true;
}

/* The window of a frame; NULL: there is none, and cannot be. */
static struct window *window_of(struct windows *m, uint64_t frame)
{
    struct window *w;

    for (struct window **link = &m->list; (w = *link); link = &w->next) {
        if (frame < w->first || frame - w->first >= w->pages)
            continue;
        *link = w->next;
        w->next = m->list;
        m->list = w;
        m->base.stats.cache_hits++;
        return w;
    }
    m->base.stats.cache_misses++;
    if (!m->buckets || !bucket_room(m) ||
        window_map(&m->args, align_down(frame, BUCKET_PAGES), BUCKET_PAGES, &m->base.stats, &w))
        return NULL;
    w->next = m->list;
    m->list = w;
    m->count++;
    return w;
}

static struct held *held_take(struct windows *m, unsigned iov_max)
{
    struct held *h = m->free;
    struct window **grown;

    if (h)
        m->free = h->next;
    else
        h = calloc(1, sizeof(*h));
    if (!h || iov_max <= h->max)
        return h;
    grown = realloc(h->windows, iov_max * sizeof(struct window *));
    if (!grown) {
        h->next = m->free;
        m->free = h;
        return NULL;
    }
    h->windows = grown;
    h->max = iov_max;
    return h;
}

static void held_drop(struct held *h)
{
    while (h->count)
        h->windows[--h->count]->users--;
}

static void held_give(struct windows *m, struct held *h)
{
    held_drop(h);
    h->direct = NULL;
    h->next = m->free;
    m->free = h;
}

/* 0; -EINVAL: no such address; -ENOSPC: to be mapped for itself. */
static int range_get(struct windows *m, const struct gmem_range *range, struct held *h,
                     struct gmem_lease *lease)
{
    uint64_t addr = range->addr.raw, end = addr + range->len_bytes;

    /* Bit 63 is clear and the length has 32 bits, so that there is no wrap. */
    if (gpa_is_grant(range->addr) || end > GREF_ADDR_BIT)
        return -EINVAL;
    if ((end - 1) >> XEN_PAGE_SHIFT_BITS >= FRAMES_MAX)
        return -EFAULT;
    while (addr < end) {
        struct window *w = window_of(m, addr >> XEN_PAGE_SHIFT_BITS);
        uint64_t stop;

        if (!w || h->count == lease->iov_max)
            return -ENOSPC;
        stop = min_u64(end, (w->first + w->pages) << XEN_PAGE_SHIFT_BITS);
        if (!window_has(w, addr >> XEN_PAGE_SHIFT_BITS, (stop - 1) >> XEN_PAGE_SHIFT_BITS))
            return -ENOSPC;
        lease->iov[h->count] = (struct iovec){w->base + (addr - (w->first << XEN_PAGE_SHIFT_BITS)),
                                              (size_t)(stop - addr)};
        w->users++;
        h->windows[h->count++] = w;
        addr = stop;
    }
    return 0;
}

static int windows_get(struct gmem *g, const struct gmem_range *ranges, unsigned count,
                       struct gmem_lease *lease)
{
    struct windows *m = (struct windows *)g;
    bool leading = true;
    struct held *h = held_take(m, lease->iov_max);
    int rc = 0;

    if (!h)
        return -ENOMEM;
    /* The areas of a ring have to be in one piece. */
    if (m->buckets && ranges[0].access & GMEM_SHARED)
        rc = -ENOSPC;
    lease->iov_readable = 0;
    for (unsigned i = 0; i < count && !rc; i++) {
        rc = range_get(m, &ranges[i], h, lease);
        leading = leading && !(ranges[i].access & GMEM_WRITE);
        if (leading)
            lease->iov_readable = h->count;
    }
    lease->iov_count = h->count;
    if (rc == -ENOSPC) {
        held_drop(h);
        rc = m->direct ? m->direct->ops->get(m->direct, ranges, count, lease) : -EFAULT;
        h->direct = rc ? NULL : lease->impl;
    }
    if (rc)
        held_give(m, h);
    else
        lease->impl = h;
    return rc;
}

static int windows_put(struct gmem *g, struct gmem_lease *lease)
{
    struct windows *m = (struct windows *)g;
    struct held *h = lease->impl;

    if (h->direct) {
        lease->impl = h->direct;
        (void)m->direct->ops->put(m->direct, lease);
    }
    held_give(m, h);
    return 0;
}

static void windows_destroy(struct gmem *g)
{
    struct windows *m = (struct windows *)g;

    while (m->free) {
        struct held *h = m->free;

        m->free = h->next;
        free(h->windows);
        free(h);
    }
    windows_unmap(&m->args, m->list, &m->base.stats);
    if (m->direct)
        m->direct->ops->destroy(m->direct);
    free(m);
}

static int windows_create(const struct gmem_ops *ops, const struct gmem_strategy_args *args,
                          bool buckets, bool touches_more, struct gmem **out)
{
    struct windows *m = calloc(1, sizeof(*m));
    int rc = 0;

    if (!m)
        return -ENOMEM;
    m->base.ops = ops;
    m->args = *args;
    m->buckets = buckets;
    if (touches_more)
        rc = permap_create("foreign-map", args, 1u << PERMAP_FRAME, &m->base.stats, &m->direct);
    if (!rc && !buckets)
        rc = windows_map_banks(args, &m->base.stats, &m->list);
    if (rc)
        windows_destroy(&m->base);
    else
        *out = &m->base;
    return rc;
}

int gmem_buckets_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops ops = {.name = "foreign-buckets",
                                        .get = windows_get,
                                        .put = windows_put,
                                        .forget = windows_forget,
                                        .destroy = windows_destroy};

    return windows_create(&ops, args, true, true, out);
}

int gmem_whole_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops ops = {.name = "foreign-whole",
                                        .get = windows_get,
                                        .put = windows_put,
                                        .destroy = windows_destroy};

    return windows_create(&ops, args, false, true, out);
}

int gmem_static_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops ops = {.name = "foreign-static",
                                        .get = windows_get,
                                        .put = windows_put,
                                        .destroy = windows_destroy};

    return windows_create(&ops, args, false, false, out);
}
