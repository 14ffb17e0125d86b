/* SPDX-License-Identifier: MIT */
/*
 * Grants that are copied by Xen: what the device reads when the lease begins, what it wrote when
 * the lease ends. Xen copies within a page, so that a range is as many segments as it touches
 * pages; all segments of one direction go in one call.
 */
#include <stdlib.h>
#include <string.h>

#include "gmem/gref.h"
#include "util/bits.h"
#include "util/mutant.h"
#include "xen/gmem_holder.h"
#include "xen/gmem_ways.h"

/* Ranges begin at such places of the lease's memory, as direct I/O likes it. */
#define RANGE_ALIGN 512u
/* Up to here a lease's memory is kept for the next one. */
#define KEEP_BYTES (64u << 10)

/* Of a lease. */
struct held_memory {
    struct held base;
    unsigned count, max;
    struct gmem_range *ranges;
    char *memory;
    size_t memory_bytes; /* that are there */
    size_t bytes;        /* that are counted as in flight */
};

struct copy {
    struct holder base; /* rings go the direct way */
    size_t in_flight_bytes;
    xengnttab_grant_copy_segment_t *segments;
    unsigned segment_count, segment_max;
};

static struct gmem_stats *stats_of(struct copy *m)
{
    return &m->base.base.stats;
}

/* The first `bytes` of a range, from or to `local`. */
static int segments_add(struct copy *m, const struct gmem_range *range, char *local, uint32_t bytes,
                        bool to_driver)
{
    uint32_t offset, pages;
    void *grown;
    gref_t first;
    int rc = gref_decode(range->addr, range->len_bytes, &first, &offset, &pages);

    if (rc)
        return rc;
    grown = array_fit(m->segments, &m->segment_max, m->segment_count + pages, sizeof(*m->segments));
    if (!grown)
        return -ENOMEM;
    m->segments = grown;
    for (uint32_t ref = first.raw; bytes; ref++) {
        uint32_t len = (uint32_t)min_u64(XEN_PAGE_BYTES - offset, bytes);

        if (MUTANT(copy_last_byte_of_page_lost) && len == 1 && bytes > 1) {
            offset = 0;
            local++;
            bytes--;
            continue;
        }
        xengnttab_grant_copy_segment_t *s = &m->segments[m->segment_count++];

        *s = (xengnttab_grant_copy_segment_t){
            .len = (uint16_t)len, .flags = to_driver ? GNTCOPY_dest_gref : GNTCOPY_source_gref};
        if (to_driver) {
            s->source.virt = local;
            s->dest.foreign.ref = ref;
            s->dest.foreign.offset = (uint16_t)offset;
            s->dest.foreign.domid = m->base.args.domid;
        } else {
            s->dest.virt = local;
            s->source.foreign.ref = ref;
            s->source.foreign.offset = (uint16_t)offset;
            s->source.foreign.domid = m->base.args.domid;
        }
        stats_of(m)->bytes_copied += len;
        local += len;
        bytes -= len;
        offset = 0;
    }
    return 0;
}

static int segments_copy(struct copy *m)
{
    if (m->segment_count == 0)
        return 0;
    stats_of(m)->copy_calls++;
    stats_of(m)->copy_segments += m->segment_count;
    if (xengnttab_grant_copy(m->base.args.xen->gnttab, m->segment_count, m->segments))
        return xen_map_error(errno);
    if (MUTANT(copy_status_ignored))
        return 0;
    for (unsigned i = 0; i < m->segment_count; i++)
        if (m->segments[i].status != GNTST_okay)
            return -EFAULT;
    return 0;
}

/* ---- leases ---- */

static void memory_drop(struct holder *holder, struct held *held)
{
    struct held_memory *h = (struct held_memory *)held;

    ((struct copy *)holder)->in_flight_bytes -= h->bytes;
    h->bytes = 0;
    h->count = 0;
    if (h->memory_bytes > KEEP_BYTES) {
        free(h->memory);
        h->memory = NULL;
        h->memory_bytes = 0;
    }
}

static void memory_fini(struct held *held)
{
    struct held_memory *h = (struct held_memory *)held;

    free(h->ranges);
    free(h->memory);
}

static int memory_fit(struct copy *m, struct held_memory *h, const struct gmem_range *ranges,
                      unsigned count, size_t bytes)
{
    void *grown = array_fit(h->ranges, &h->max, count, sizeof(*h->ranges));

    if (!grown)
        return -ENOMEM;
    h->ranges = grown;
    if (bytes > h->memory_bytes) {
        size_t room = align_up(bytes, XEN_PAGE_BYTES);
        void *memory;

        if (posix_memalign(&memory, XEN_PAGE_BYTES, room))
            return -ENOMEM;
        free(h->memory);
        h->memory = memory;
        h->memory_bytes = room;
    }
    memcpy(h->ranges, ranges, count * sizeof(*ranges));
    h->count = count;
    h->bytes = bytes;
    m->in_flight_bytes += bytes;
    return 0;
}

static int copy_in(struct copy *m, struct held_memory *h, struct gmem_lease *lease)
{
    bool leading = true;
    size_t at = 0;
    int rc = 0;

    m->segment_count = 0;
    lease->iov_readable = 0;
    for (unsigned i = 0; i < h->count && !rc; i++) {
        const struct gmem_range *r = &h->ranges[i];
        uint32_t offset, pages;
        gref_t first;

        lease->iov[i] = (struct iovec){h->memory + at, r->len_bytes};
        leading = leading && !(r->access & GMEM_WRITE);
        lease->iov_readable += leading;
        if (r->access & GMEM_READ)
            rc = segments_add(m, r, h->memory + at, r->len_bytes, false);
        else
            rc = gref_decode(r->addr, r->len_bytes, &first, &offset, &pages);
        at += align_up(r->len_bytes, RANGE_ALIGN);
    }
    lease->iov_count = h->count;
    return rc ? rc : segments_copy(m);
}

static int copy_get(struct gmem *g, const struct gmem_range *ranges, unsigned count,
                    struct gmem_lease *lease)
{
    struct copy *m = (struct copy *)g;
    bool shared = ranges[0].access & GMEM_SHARED;
    struct held_memory *h;
    uint64_t bytes = 0;
    int rc;

    if (count > lease->iov_max)
        return -ENOSPC;
    for (unsigned i = 0; i < count && !shared; i++)
        bytes += align_up(ranges[i].len_bytes, RANGE_ALIGN);
    if (bytes > GMEM_COPY_LEASE_BYTES_MAX)
        return -EFAULT;
    if (bytes > GMEM_COPY_BYTES_MAX - m->in_flight_bytes)
        return -ENOMEM;
    h = (struct held_memory *)holder_take(&m->base);
    if (!h)
        return -ENOMEM;
    if (shared) {
        rc = holder_get_direct(&m->base, &h->base, ranges, count, lease);
    } else {
        rc = memory_fit(m, h, ranges, count, (size_t)bytes);
        if (!rc)
            rc = copy_in(m, h, lease);
    }
    if (rc)
        holder_give(&m->base, &h->base);
    else
        lease->impl = h;
    return rc;
}

static int copy_put(struct gmem *g, struct gmem_lease *lease)
{
    struct copy *m = (struct copy *)g;
    struct held_memory *h = lease->impl;
    uint64_t left = lease->written_bytes;
    int rc = 0;

    m->segment_count = 0;
    holder_put_direct(&m->base, &h->base, lease);
    for (unsigned i = 0; i < h->count && left && !rc; i++) {
        const struct gmem_range *r = &h->ranges[i];
        uint32_t bytes = (uint32_t)min_u64(r->len_bytes, left);

        if (!(r->access & GMEM_WRITE))
            continue;
        rc = segments_add(m, r, lease->iov[i].iov_base, bytes, true);
        left -= bytes;
    }
    if (!rc)
        rc = segments_copy(m);
    holder_give(&m->base, &h->base);
    return rc && !MUTANT(copy_answer_lost) ? -EFAULT : 0;
}

static void copy_destroy(struct gmem *g)
{
    struct copy *m = (struct copy *)g;

    holder_fini(&m->base);
    free(m->segments);
    free(m);
}

int gmem_copy_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops gmem_ops = {
        .name = "grant-copy", .get = copy_get, .put = copy_put, .destroy = copy_destroy};
    static const struct holder_ops ops = {.held_bytes = sizeof(struct held_memory),
                                          .held_drop = memory_drop,
                                          .held_fini = memory_fini};
    struct copy *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return -ENOMEM;
    rc = holder_init(&m->base, &gmem_ops, &ops, args, "grant-map", 1u << PERMAP_GRANT);
    if (rc)
        copy_destroy(&m->base.base);
    else
        *out = &m->base.base;
    return rc;
}
