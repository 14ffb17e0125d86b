/* SPDX-License-Identifier: MIT */
/*
 * libxengnttab's gnttab half: what a process sees of Xen's grant tables through Linux's gntdev.
 *
 * Errors are the driver's: whatever Xen says about a reference, mmap ends with EINVAL; only a copy
 * shows Xen's own status. Closing a handle does not end its mappings, since the kernel keeps them
 * for as long as the pages are mapped; here that is the life of the process, whose track says what
 * it holds.
 */
#include "xengnttab_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "simxen/core/frames.h"
#include "simxen/core/gnttab.h"
#include "util/mutant.h"

/* gntdev's module parameter `limit`: grants in one mapping. */
#define MAP_LIMIT 65536u
/* gntdev hands this many copy operations to Xen at a time. */
#define COPY_BATCH 16u
/* No notification: the library's own encoding. */
#define NO_NOTIFY UINT32_MAX

struct mapping {
    struct region region; /* first */
    bool notify_event;
    uint32_t notify_port;
    int32_t notify_byte; /* offset, -1 none */
    struct {
        const struct sim_dom_ref *rd;
    } * domains; /* of each page; NULL: all like `rd` */
    const struct sim_dom_ref *rd;
    struct sim_gnt_pin pins[];
};

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return handle_create();
}

int xengnttab_close(xengnttab_handle *xgt)
{
    struct region *next;

    if (!xgt)
        return 0;
    for (size_t i = 0; i < xgt->nr_buckets; i++) {
        for (struct region *r = xgt->buckets[i]; r; r = next) {
            next = r->next;
            free(((struct mapping *)r)->domains);
        }
    }
    handle_destroy(xgt);
    return 0;
}

int xengnttab_fd(xengnttab_handle *xgt)
{
    return xgt->fd;
}

int xengnttab_set_max_grants(xengnttab_handle *xgt, uint32_t nr_grants)
{
    /* Present kernels have no such call, and the library takes that for success. */
    return 0;
}

static const struct sim_dom_ref *page_domain(const struct mapping *m, uint32_t page)
{
    return m->domains ? m->domains[page].rd : m->rd;
}

/* Pages from `first` on that belong to one domain. */
static uint32_t domain_run(const struct mapping *m, uint32_t first, uint32_t end)
{
    uint32_t i = first + 1;

    while (i < end && page_domain(m, i) == page_domain(m, first))
        i++;
    return i - first;
}

static void unpin_pages(const struct mapping *m, uint32_t count)
{
    for (uint32_t i = 0, run; i < count; i += run) {
        run = domain_run(m, i, count);
        sim_gnt_unpin(page_domain(m, i), run, &m->pins[i]);
    }
}

static int map_pages(struct mapping *m, int prot)
{
    uint32_t count = m->region.count;
    uint64_t few[32], *frames = few;
    void *va = NULL;
    int rc = 0;

    if (count > sizeof(few) / sizeof(few[0])) {
        frames = calloc(count, sizeof(*frames));
        if (!frames)
            return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++)
        frames[i] = m->pins[MUTANT(sim_grant_pages_come_reversed) ? count - 1 - i : i].frame;
    if (MUTANT(sim_grant_readonly_maps_writable))
        prot |= PROT_WRITE;
    if (domain_run(m, 0, count) == count) {
        rc = sim_frames_map(page_domain(m, 0)->mem_fd, NULL, prot, 0, count, frames, &va);
        goto out;
    }
    va = mmap(NULL, (size_t)count * SIM_PAGE, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (va == MAP_FAILED) {
        rc = -errno;
        goto out;
    }
    for (uint32_t i = 0, run; i < count && rc == 0; i += run) {
        void *at;

        run = domain_run(m, i, count);
        rc = sim_frames_map(page_domain(m, i)->mem_fd, (char *)va + (size_t)i * SIM_PAGE, prot,
                            MAP_FIXED, run, frames + i, &at);
    }
    if (rc)
        munmap(va, (size_t)count * SIM_PAGE);
out:
    if (frames != few)
        free(frames);
    m->region.va = va;
    return rc;
}

/* `stride` 0: one domain for all. */
static void *map_grants(xengnttab_handle *xgt, uint32_t count, const uint32_t *domids,
                        unsigned stride, const uint32_t *refs, int prot, uint32_t notify_offset,
                        uint32_t notify_port)
{
    bool readonly = !(prot & PROT_WRITE);
    uint32_t pinned = 0;
    struct mapping *m;
    int err = handle_unusable(xgt);

    if (err)
        return fail_null(err);
    if (count == 0 || count > MAP_LIMIT)
        return fail_null(EINVAL);
    m = calloc(1, sizeof(*m) + count * sizeof(m->pins[0]));
    if (!m)
        return fail_null(ENOMEM);
    m->region.count = count;
    m->notify_byte = -1;
    if (stride) {
        m->domains = calloc(count, sizeof(m->domains[0]));
        if (!m->domains) {
            err = ENOMEM;
            goto out;
        }
    }

    err = EINVAL;
    for (uint32_t i = 0; i < (stride ? count : 1); i++) {
        uint32_t domid = domids[MUTANT(sim_grant_one_domid_for_all) ? 0 : i * stride];
        const struct sim_dom_ref *rd;

        if (domid > UINT16_MAX || sim_dom_get((uint16_t)domid, &rd)) {
            if (MUTANT(sim_grant_no_domain_is_esrch))
                err = ESRCH;
            goto out;
        }
        if (stride)
            m->domains[i].rd = rd;
        else
            m->rd = rd;
    }
    for (uint32_t run; pinned < count; pinned += run) {
        run = domain_run(m, pinned, count);
        if (sim_gnt_pin(page_domain(m, pinned), run, refs + pinned, readonly, SIM_GNT_MAP,
                        &m->pins[pinned]) != GNTST_okay)
            goto out;
    }
    /* Linux accepts the mapping first and refuses the notification then; both are undone. */
    if (notify_offset < (uint64_t)count * SIM_PAGE) {
        if (readonly)
            goto out;
        m->notify_byte = (int32_t)notify_offset;
    }
    if (notify_port != NO_NOTIFY) {
        if (!notify_port_valid(notify_port))
            goto out;
        m->notify_event = true;
        m->notify_port = notify_port;
    }
    err = -map_pages(m, prot);
    if (err)
        goto out;
    if (m->notify_byte >= 0 || m->notify_event)
        notify_track(m->pins[0].track, m->notify_byte, m->notify_event, m->notify_port);
    region_add(xgt, &m->region);
    return m->region.va;

out:
    unpin_pages(m, pinned);
    free(m->domains);
    free(m);
    return fail_null(err);
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
    return map_grants(xgt, 1, &domid, 0, &ref, prot, NO_NOTIFY, NO_NOTIFY);
}

void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t *domids,
                               uint32_t *refs, int prot)
{
    return map_grants(xgt, count, domids, 1, refs, prot, NO_NOTIFY, NO_NOTIFY);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot)
{
    return map_grants(xgt, count, &domid, 0, refs, prot, NO_NOTIFY, NO_NOTIFY);
}

void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot,
                                     uint32_t notify_offset, evtchn_port_t notify_port)
{
    return map_grants(xgt, 1, &domid, 0, &ref, prot, notify_offset, notify_port);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
    const struct sim_dom_ref *first;
    struct mapping *m;
    int err = handle_unusable(xgt);

    if (err)
        return fail(err);
    /* A mapping goes as a whole: the driver compares the count with its own. */
    if (!start_address || count == 0)
        return fail(EINVAL);
    m = (struct mapping *)region_take(xgt, start_address,
                                      MUTANT(sim_grant_unmap_in_part_works) ? 0 : count);
    if (!m)
        return MUTANT(sim_grant_unmap_of_nothing_works) ? 0 : fail(EINVAL);
    if (m->notify_byte >= 0 && !MUTANT(sim_grant_unmap_keeps_notify_byte))
        __atomic_store_n(m->region.va + m->notify_byte, 0, __ATOMIC_RELEASE);
    munmap(m->region.va, (size_t)count * SIM_PAGE);
    unpin_pages(m, m->region.count);
    first = page_domain(m, 0);
    if (m->notify_event && !MUTANT(sim_grant_unmap_sends_no_event))
        sim_evtchn_send(m->notify_port);
    atomic_fetch_add_explicit(&first->dom->stats.gnt_unmap, count, memory_order_relaxed);
    free(m->domains);
    free(m);
    return 0;
}

/* ---- copy ---- */

/* One operation as gntdev passes it to Xen: no side crosses a page. */
struct copy_op {
    const xengnttab_grant_copy_segment_t *segment;
    int16_t *status; /* the segment's */
    uint16_t done;   /* bytes of the segment before this operation */
    uint16_t len;
};

/* A side that Xen keeps open from one operation to the next when it is the same reference. */
struct copy_side {
    const struct sim_dom_ref *rd; /* NULL: nothing is open */
    uint32_t ref;
    struct sim_gnt_pin pin;
};

static void side_close(struct copy_side *s)
{
    if (s->rd)
        sim_gnt_unpin(s->rd, 1, &s->pin);
    s->rd = NULL;
}

static int side_open(struct copy_side *s, uint16_t domid, uint32_t ref, uint32_t offset,
                     bool readonly, char **bytes)
{
    const struct sim_dom_ref *rd;
    void *memory;
    int status;

    if (sim_dom_get(domid, &rd)) {
        side_close(s);
        return GNTST_bad_domain;
    }
    if (s->rd != rd || s->ref != ref) {
        side_close(s);
        status = sim_gnt_pin(rd, 1, &ref, readonly, SIM_GNT_COPY, &s->pin);
        if (status != GNTST_okay)
            return status;
        s->rd = rd;
        s->ref = ref;
    }
    if (sim_dom_memory(rd, &memory))
        return GNTST_general_error;
    *bytes = (char *)memory + s->pin.frame * SIM_PAGE + offset;
    return GNTST_okay;
}

static void copy_flush(struct copy_op *ops, unsigned *count)
{
    struct copy_side source = {0}, dest = {0};

    for (unsigned i = 0; i < *count; i++) {
        const xengnttab_grant_copy_segment_t *seg = ops[i].segment;
        char *from, *to;
        int status = GNTST_okay;

        if (seg->flags & GNTCOPY_source_gref)
            status = side_open(
                &source, seg->source.foreign.domid, seg->source.foreign.ref,
                (MUTANT(sim_copy_ignores_source_offset) ? 0u : seg->source.foreign.offset) +
                    ops[i].done,
                true, &from);
        else
            from = (char *)seg->source.virt + ops[i].done;
        if (status == GNTST_okay) {
            if (seg->flags & GNTCOPY_dest_gref)
                status = side_open(
                    &dest, seg->dest.foreign.domid, seg->dest.foreign.ref,
                    (MUTANT(sim_copy_ignores_dest_offset) ? 0u : seg->dest.foreign.offset) +
                        ops[i].done,
                    false, &to);
            else
                to = (char *)seg->dest.virt + ops[i].done;
        }
        if (status == GNTST_okay) {
            /* Both may be the same page, granted twice. */
            memmove(to, from, ops[i].len);
        } else {
            side_close(&source);
            side_close(&dest);
            if (*ops[i].status == GNTST_okay)
                *ops[i].status = (int16_t)status;
            if (MUTANT(sim_copy_stops_at_the_first_error))
                break;
        }
    }
    side_close(&source);
    side_close(&dest);
    *count = 0;
}

static uint32_t to_page_end(const void *p)
{
    return SIM_PAGE - ((uintptr_t)p & (SIM_PAGE - 1));
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
                         xengnttab_grant_copy_segment_t *segs)
{
    struct copy_op ops[COPY_BATCH];
    const struct sim_dom_ref *self;
    unsigned nr = 0;
    int err = handle_unusable(xgt);

    if (err)
        return fail(err);
    for (uint32_t i = 0; i < count; i++) {
        xengnttab_grant_copy_segment_t *seg = &segs[i];

        /* gntdev's own checks end the whole call; operations of earlier segments that it has
         * not handed over yet are dropped with it. */
        if (!(seg->flags & (GNTCOPY_source_gref | GNTCOPY_dest_gref)))
            return fail(EINVAL);
        if ((seg->flags & GNTCOPY_source_gref) && (seg->flags & GNTCOPY_dest_gref) &&
            MUTANT(sim_copy_needs_a_local_side))
            return fail(EINVAL);
        if ((seg->flags & GNTCOPY_source_gref) && !MUTANT(sim_copy_crosses_pages) &&
            (uint32_t)seg->source.foreign.offset + seg->len > SIM_PAGE)
            return fail(EINVAL);
        if ((seg->flags & GNTCOPY_dest_gref) && !MUTANT(sim_copy_crosses_pages) &&
            (uint32_t)seg->dest.foreign.offset + seg->len > SIM_PAGE)
            return fail(EINVAL);
        seg->status = GNTST_okay;
        for (uint32_t done = 0, len; done < seg->len; done += len) {
            len = seg->len - done;
            if (!(seg->flags & GNTCOPY_source_gref) &&
                len > to_page_end((char *)seg->source.virt + done))
                len = to_page_end((char *)seg->source.virt + done);
            if (!(seg->flags & GNTCOPY_dest_gref) &&
                len > to_page_end((char *)seg->dest.virt + done))
                len = to_page_end((char *)seg->dest.virt + done);
            if (nr == COPY_BATCH)
                copy_flush(ops, &nr);
            ops[nr++] = (struct copy_op){.segment = seg,
                                         .status = &seg->status,
                                         .done = (uint16_t)done,
                                         .len = (uint16_t)len};
            if (MUTANT(sim_copy_stops_at_the_local_page))
                break;
        }
    }
    copy_flush(ops, &nr);
    if (sim_dom_get(sim_self_domid(), &self))
        return 0;
    atomic_fetch_add_explicit(&self->dom->stats.gnt_copy, count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        atomic_fetch_add_explicit(&self->dom->stats.gnt_copy_bytes, segs[i].len,
                                  memory_order_relaxed);
    return 0;
}

/* ---- dma-bufs: gntdev without CONFIG_XEN_GNTDEV_DMABUF, as Debian builds it ---- */

int xengnttab_dmabuf_exp_from_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t flags,
                                   uint32_t count, const uint32_t *refs, uint32_t *fd)
{
    return fail(count ? ENOTTY : EINVAL);
}

int xengnttab_dmabuf_exp_wait_released(xengnttab_handle *xgt, uint32_t fd, uint32_t wait_to_ms)
{
    return fail(ENOTTY);
}

int xengnttab_dmabuf_imp_to_refs(xengnttab_handle *xgt, uint32_t domid, uint32_t fd, uint32_t count,
                                 uint32_t *refs)
{
    return fail(count ? ENOTTY : EINVAL);
}

int xengnttab_dmabuf_imp_release(xengnttab_handle *xgt, uint32_t fd)
{
    return fail(ENOTTY);
}
