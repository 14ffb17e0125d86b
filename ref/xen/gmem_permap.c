/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gmem/gref.h"
#include "util/mutant.h"
#include "xen/gmem_permap.h"

/* Pages, from the last one back, among which the same ones are looked for: bounds the work that a
 * driver can ask for. */
#define SHARE_WINDOW 256u

/* One mapping call each; the second index is "writable". */
struct permap_part {
    void *base;
    uint32_t pages;
};

/* What a lease holds. Kept on a free list between leases, so that none is allocated once the
 * device is warm. */
struct permap_held {
    struct permap_held *next;
    struct permap_part part[PERMAP_KINDS][2];
};

struct permap {
    struct gmem base;
    struct gmem_ops ops; /* one for each name */
    struct gmem_stats *stats;
    struct gmem_strategy_args args;
    unsigned kinds;
    struct permap_held *free;
    struct permap_held *late; /* only a mutant's, */
    uint32_t read_ref;        /* this one, too */
    struct permap_pages pages[PERMAP_KINDS][2];
};

static const struct permap_ops *const kind_ops[PERMAP_KINDS] = {
    [PERMAP_GRANT] = &permap_grant_ops,
    [PERMAP_FRAME] = &permap_frame_ops,
};

int permap_pages_reserve(struct permap_pages *pages, uint32_t more, enum permap_kind kind)
{
    size_t size = kind == PERMAP_GRANT ? sizeof(*pages->refs) : sizeof(*pages->gfns);
    void *p = kind == PERMAP_GRANT ? (void *)pages->refs : (void *)pages->gfns;
    uint32_t max = pages->max ? pages->max : 64;
    void *grown;

    if (more > GMEM_LEASE_PAGES_MAX || pages->count > GMEM_LEASE_PAGES_MAX - more) {
        if (MUTANT(lease_size_asserted))
            abort();
        return -EFAULT;
    }
    if (pages->count + more <= pages->max)
        return 0;
    while (max < pages->count + more)
        max *= 2;
    grown = realloc(p, max * size);
    if (!grown)
        return -ENOMEM;
    if (kind == PERMAP_GRANT)
        pages->refs = grown;
    else
        pages->gfns = grown;
    pages->max = max;
    return 0;
}

static bool same_pages(const struct permap_pages *pages, enum permap_kind kind, uint32_t a,
                       uint32_t b, uint32_t n)
{
    return kind == PERMAP_GRANT
               ? !memcmp(pages->refs + a, pages->refs + b, n * sizeof(*pages->refs))
               : !memcmp(pages->gfns + a, pages->gfns + b, n * sizeof(*pages->gfns));
}

/*
 * The pages from `first` on were just gathered. When an earlier range of the lease has the same
 * ones they are mapped once, for both: Xen counts the mappings of a reference in 8 bits, and a
 * driver that shares pages between small buffers would reach that limit with one long chain.
 * Returns where they are in the group.
 */
static uint32_t pages_share(struct permap_pages *pages, enum permap_kind kind, uint32_t first)
{
    uint32_t n = pages->count - first;

    if (MUTANT(permap_pages_not_shared))
        return first;
    uint32_t at = first > SHARE_WINDOW ? first - SHARE_WINDOW : 0;

    for (; at + n <= first; at++) {
        if (!same_pages(pages, kind, at, first, n))
            continue;
        pages->count = first;
        return at;
    }
    return first;
}

static enum permap_kind range_kind(const struct permap *m, const struct gmem_range *ranges,
                                   unsigned i)
{
    if (MUTANT(grant_address_taken_for_frame) && m->kinds == 1u << PERMAP_FRAME)
        return PERMAP_FRAME;
    if (MUTANT(gmem_first_address_decides))
        i = 0;
    return gpa_is_grant(ranges[i].addr) ? PERMAP_GRANT : PERMAP_FRAME;
}

static bool range_writable(const struct gmem_range *range)
{
    return (range->access & GMEM_WRITE) != 0;
}

static struct permap_held *held_take(struct permap *m)
{
    struct permap_held *h = m->free;

    if (!h)
        return calloc(1, sizeof(*h));
    m->free = h->next;
    *h = (struct permap_held){0};
    return h;
}

static void held_release(struct permap *m, struct permap_held *h)
{
    for (unsigned k = 0; k < PERMAP_KINDS; k++) {
        for (unsigned w = 0; w < 2; w++) {
            struct permap_part *part = &h->part[k][w];

            if (!part->pages)
                continue;
            kind_ops[k]->unmap(&m->args, part->base, part->pages);
            m->stats->unmap_calls++;
            m->stats->pages_unmapped += part->pages;
        }
    }
    h->next = m->free;
    m->free = h;
}

/* Map every group that has pages; on an error whatever was mapped is given back. */
static int map_groups(struct permap *m, struct permap_held *h)
{
    for (unsigned k = 0; k < PERMAP_KINDS; k++) {
        for (unsigned w = 0; w < 2; w++) {
            struct permap_pages *pages = &m->pages[k][w];
            struct permap_part *part = &h->part[k][w];
            int rc;

            if (!pages->count)
                continue;
            if (MUTANT(grant_access_remembered) && k == PERMAP_GRANT) {
                if (w && pages->refs[0] == m->read_ref)
                    return -EFAULT;
                m->read_ref = w ? 0 : pages->refs[pages->count - 1];
            }
            m->stats->map_calls++;
            rc = kind_ops[k]->map(&m->args, pages, w != 0, &part->base);
            if (part->base) {
                part->pages = pages->count;
                m->stats->pages_mapped += pages->count;
            }
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int permap_get(struct gmem *g, const struct gmem_range *ranges, unsigned count,
                      struct gmem_lease *lease)
{
    struct permap *m = (struct permap *)g;
    struct permap_held *h = NULL;
    bool leading = true;
    int rc = 0;

    while (m->late) {
        h = m->late;
        m->late = h->next;
        held_release(m, h);
        h = NULL;
    }
    if (count > lease->iov_max)
        return -ENOSPC;
    for (unsigned k = 0; k < PERMAP_KINDS; k++)
        for (unsigned w = 0; w < 2; w++)
            m->pages[k][w].count = 0;

    /* Until the groups have addresses, iov_base is the offset into the group. */
    lease->iov_readable = 0;
    for (unsigned i = 0; i < count; i++) {
        enum permap_kind kind = range_kind(m, ranges, i);
        bool writable = range_writable(&ranges[i]);
        struct permap_pages *pages = &m->pages[kind][writable];
        uint32_t first = pages->count, offset = 0;
        uint64_t start;

        if (!(m->kinds & 1u << kind))
            return -EINVAL;
        rc = kind_ops[kind]->gather(pages, &ranges[i], &offset);
        if (rc)
            return rc;
        start = (uint64_t)pages_share(pages, kind, first) * XEN_PAGE_BYTES;
        if (MUTANT(gmem_later_offset_lost) && writable && first && ranges[i].len_bytes > 1)
            offset = 0;
        lease->iov[i].iov_base = (void *)(uintptr_t)(start + offset);
        lease->iov[i].iov_len = ranges[i].len_bytes;
        leading = leading && !writable;
        if (leading)
            lease->iov_readable++;
    }

    h = held_take(m);
    if (!h)
        return -ENOMEM;
    rc = map_groups(m, h);
    if (rc) {
        if (!MUTANT(grant_leak_on_error))
            held_release(m, h);
        return rc;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct permap_part *part =
            &h->part[range_kind(m, ranges, i)][range_writable(&ranges[i])];

        lease->iov[i].iov_base = (char *)part->base + (uintptr_t)lease->iov[i].iov_base;
    }
    lease->iov_count = count;
    lease->impl = h;
    return 0;
}

static int permap_put(struct gmem *g, struct gmem_lease *lease)
{
    struct permap *m = (struct permap *)g;
    struct permap_held *h = lease->impl;

    if (MUTANT(grant_kept_after_used)) {
        h->next = m->late;
        m->late = h;
        return 0;
    }
    held_release(m, h);
    return 0;
}

static void permap_destroy(struct gmem *g)
{
    struct permap *m = (struct permap *)g;

    while (m->free) {
        struct permap_held *h = m->free;

        m->free = h->next;
        free(h);
    }
    for (unsigned k = 0; k < PERMAP_KINDS; k++) {
        for (unsigned w = 0; w < 2; w++) {
            free(m->pages[k][w].refs);
            free(m->pages[k][w].gfns);
        }
    }
    free(m);
}

int permap_create(const char *name, const struct gmem_strategy_args *args, unsigned kinds,
                  struct gmem_stats *stats, struct gmem **out)
{
    struct permap *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    m->ops = (struct gmem_ops){
        .name = name, .get = permap_get, .put = permap_put, .destroy = permap_destroy};
    m->base.ops = &m->ops;
    m->stats = stats ? stats : &m->base.stats;
    m->args = *args;
    m->kinds = kinds;
    *out = &m->base;
    return 0;
}
