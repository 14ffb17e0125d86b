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
#include "xen/gmem_holder.h"
#include "xen/gmem_ways.h"
#include "xen/gmem_window.h"

#define BUCKET_PAGES 256u

/* Of a lease. */
struct held_windows {
    struct held base;
    unsigned count, max;
    struct window **windows; /* of each iovec */
};

struct windows {
    struct holder base;
    bool buckets;
    struct window *list; /* the last one that was used is the first */
    unsigned count;
};

static struct gmem_stats *stats_of(struct windows *m)
{
    return &m->base.base.stats;
}

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
        window_unmap(&m->base.args, w, stats_of(m));
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
    window_unmap(&m->base.args, w, stats_of(m));
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
        stats_of(m)->cache_hits++;
        return w;
    }
    stats_of(m)->cache_misses++;
    if (!m->buckets || !bucket_room(m) ||
        window_map(&m->base.args, align_down(frame, BUCKET_PAGES), BUCKET_PAGES, stats_of(m), &w))
        return NULL;
    w->next = m->list;
    m->list = w;
    m->count++;
    return w;
}

static void windows_drop(struct holder *m, struct held *held)
{
    struct held_windows *h = (struct held_windows *)held;

    (void)m;
    while (h->count)
        h->windows[--h->count]->users--;
}

static void windows_fini(struct held *held)
{
    free(((struct held_windows *)held)->windows);
}

static int range_get(struct holder *holder, const struct gmem_range *range, struct held *held,
                     struct gmem_lease *lease)
{
    struct windows *m = (struct windows *)holder;
    struct held_windows *h = (struct held_windows *)held;
    uint64_t addr = range->addr.raw, end = addr + range->len_bytes;

    /* Bit 63 is clear and the length has 32 bits, so that there is no wrap. */
    if (gpa_is_grant(range->addr) || end > GREF_ADDR_BIT)
        return -EINVAL;
    if ((end - 1) >> XEN_PAGE_SHIFT_BITS >= FRAMES_MAX)
        return -EFAULT;
    while (addr < end) {
        struct window *w = window_of(m, addr >> XEN_PAGE_SHIFT_BITS);
        uint64_t stop;
        void *grown;

        if (!w || lease->iov_count == lease->iov_max)
            return -ENOSPC;
        stop = min_u64(end, (w->first + w->pages) << XEN_PAGE_SHIFT_BITS);
        if (!window_has(w, addr >> XEN_PAGE_SHIFT_BITS, (stop - 1) >> XEN_PAGE_SHIFT_BITS))
            return -ENOSPC;
        grown = array_fit(h->windows, &h->max, h->count + 1, sizeof(struct window *));
        if (!grown)
            return -ENOMEM;
        h->windows = grown;
        lease->iov[lease->iov_count++] = (struct iovec){
            w->base + (addr - (w->first << XEN_PAGE_SHIFT_BITS)), (size_t)(stop - addr)};
        w->users++;
        h->windows[h->count++] = w;
        addr = stop;
    }
    return 0;
}

static void windows_destroy(struct gmem *g)
{
    struct windows *m = (struct windows *)g;

    windows_unmap(&m->base.args, m->list, stats_of(m));
    holder_fini(&m->base);
    free(m);
}

static int windows_create(const struct gmem_ops *gmem_ops, const struct holder_ops *ops,
                          const struct gmem_strategy_args *args, bool buckets, unsigned kinds,
                          struct gmem **out)
{
    struct windows *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return -ENOMEM;
    m->buckets = buckets;
    rc = holder_init(&m->base, gmem_ops, ops, args, "foreign-map", kinds);
    if (!rc && !buckets)
        rc = windows_map_banks(args, stats_of(m), &m->list);
    if (rc)
        windows_destroy(&m->base.base);
    else
        *out = &m->base.base;
    return rc;
}

int gmem_buckets_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops gmem_ops = {.name = "foreign-buckets",
                                             .get = holder_get,
                                             .put = holder_put,
                                             .forget = windows_forget,
                                             .destroy = windows_destroy};
    /* The areas of a ring have to be in one piece. */
    static const struct holder_ops ops = {.held_bytes = sizeof(struct held_windows),
                                          .shared_direct = true,
                                          .range_get = range_get,
                                          .held_drop = windows_drop,
                                          .held_fini = windows_fini};

    return windows_create(&gmem_ops, &ops, args, true, 1u << PERMAP_FRAME, out);
}

/* What is mapped in advance is in one piece, and stays. */
static const struct holder_ops in_advance = {.held_bytes = sizeof(struct held_windows),
                                             .range_get = range_get,
                                             .held_drop = windows_drop,
                                             .held_fini = windows_fini};

int gmem_whole_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops gmem_ops = {
        .name = "foreign-whole", .get = holder_get, .put = holder_put, .destroy = windows_destroy};

    return windows_create(&gmem_ops, &in_advance, args, false, 1u << PERMAP_FRAME, out);
}

int gmem_static_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops gmem_ops = {
        .name = "foreign-static", .get = holder_get, .put = holder_put, .destroy = windows_destroy};

    return windows_create(&gmem_ops, &in_advance, args, false, 0, out);
}
