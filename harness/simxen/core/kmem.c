/* SPDX-License-Identifier: MIT */
#include "simxen/core/kmem.h"

#include <errno.h>
#include <string.h>

#include "simxen/core/gnttab.h"
#include "util/mutant.h"

/* The first MiB stays unused where there is more, as on a real machine: frame 0 in particular
 * is an address that drivers take for "none". */
#define LOW_FRAMES UINT64_C(256)

static void lock(struct sim_dom *d)
{
    /* An owner that died can have left a bit set for a page that nobody holds, never the
     * reverse: the state is usable as it is. */
    if (pthread_mutex_lock(&d->alloc_lock) == EOWNERDEAD)
        pthread_mutex_consistent(&d->alloc_lock);
}

static void unlock(struct sim_dom *d)
{
    pthread_mutex_unlock(&d->alloc_lock);
}

static uint64_t *bitmap(struct sim_dom *d)
{
    return (uint64_t *)(void *)((char *)d + d->alloc_bitmap_offset);
}

static bool used(const uint64_t *map, uint64_t frame)
{
    return __atomic_load_n(&map[frame / 64], __ATOMIC_RELAXED) >> (frame % 64) & 1;
}

/* Atomic: hv gives back what a dead process held without waiting for the lock. */
static void mark(uint64_t *map, uint64_t frame, bool in_use)
{
    uint64_t bit = UINT64_C(1) << (frame % 64);

    if (in_use)
        __atomic_fetch_or(&map[frame / 64], bit, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&map[frame / 64], ~bit, __ATOMIC_SEQ_CST);
}

static uint64_t first_frame(const struct sim_dom *d)
{
    return d->alloc_pages > 4 * LOW_FRAMES ? LOW_FRAMES : 1;
}

/* First frame of a run of n free ones at or after `from`, or alloc_pages. */
static uint64_t find_run(const struct sim_dom *d, const uint64_t *map, uint64_t from, uint64_t n)
{
    uint64_t run = 0;

    for (uint64_t f = from; f < d->alloc_pages; f++) {
        if (run == 0 && f % 64 == 0 && map[f / 64] == UINT64_MAX) {
            f += 63;
            continue;
        }
        run = used(map, f) ? 0 : run + 1;
        if (run == n)
            return f + 1 - n;
    }
    return d->alloc_pages;
}

static int find_pages(struct sim_dom *d, unsigned n, bool contiguous, uint64_t *frames)
{
    uint64_t *map = bitmap(d);
    uint64_t f = find_run(d, map, first_frame(d), n);

    if (f < d->alloc_pages) {
        for (unsigned i = 0; i < n; i++)
            frames[i] = f + i;
    } else if (contiguous) {
        return -ENOMEM;
    } else {
        f = first_frame(d);
        for (unsigned i = 0; i < n; i++, f++) {
            f = find_run(d, map, f, 1);
            if (f >= d->alloc_pages)
                return -ENOMEM;
            frames[i] = f;
        }
    }
    for (unsigned i = 0; i < n; i++)
        mark(map, frames[i], true);
    return 0;
}

static void clear_pages(char *memory, unsigned n, const uint64_t *frames)
{
    for (unsigned i = 0; i < n; i++)
        memset(memory + frames[i] * SIM_PAGE, 0, SIM_PAGE);
}

int sim_kmem_alloc(const struct sim_dom_ref *self, unsigned n, bool contiguous, uint64_t *frames)
{
    void *memory;
    int rc;

    if (n == 0)
        return -EINVAL;
    rc = sim_dom_memory(self, &memory);
    if (rc)
        return rc;
    lock(self->dom);
    rc = find_pages(self->dom, n, contiguous, frames);
    unlock(self->dom);
    if (rc == 0)
        clear_pages(memory, n, frames);
    return rc;
}

void sim_kmem_free(const struct sim_dom_ref *self, unsigned n, const uint64_t *frames)
{
    lock(self->dom);
    for (unsigned i = 0; i < n; i++)
        mark(bitmap(self->dom), frames[i], false);
    unlock(self->dom);
}

int sim_kmem_gfn(const struct sim_dom *d, uint64_t frame, uint64_t *gfn)
{
    for (unsigned i = 0; i < d->nr_regions && i < SIM_REGIONS_MAX; i++) {
        const struct sim_region *r = &d->regions[i];

        if (frame >= r->frame && frame - r->frame < r->nr) {
            *gfn = r->gfn + (frame - r->frame);
            return 0;
        }
    }
    return -EINVAL;
}

static int grow(const struct sim_dom_ref *self, uint32_t refs)
{
    uint32_t frames = (refs + SIM_GREFS_PER_FRAME - 1) / SIM_GREFS_PER_FRAME;
    struct sim_msg msg = {.op = SIM_OP_GNT_GROW, .a = {self->domid, frames}};
    int rc;

    if (frames <= __atomic_load_n(&self->dom->gnt_frames, __ATOMIC_ACQUIRE))
        return 0;
    if (frames > self->dom->gnt_frames_max)
        return -ENOSPC;
    rc = sim_call(&msg, NULL, NULL);
    if (rc)
        return rc;
    return frames <= __atomic_load_n(&self->dom->gnt_frames, __ATOMIC_ACQUIRE) ? 0 : -ENOSPC;
}

static bool entry_free(grant_entry_v1_t *e)
{
    return (atomic_load(sim_gnt_word(e)) & 0xffff) == 0;
}

/* First of n free entries in [from, to), or `to`. */
static uint32_t find_refs(grant_entry_v1_t *table, uint32_t from, uint32_t to, unsigned n)
{
    unsigned run = 0;

    for (uint32_t r = from; r < to; r++) {
        run = entry_free(&table[r]) ? run + 1 : 0;
        if (run == n)
            return r + 1 - n;
    }
    return to;
}

/*
 * Choose n free references, under alloc_lock. -EAGAIN: the table has to have *first entries
 * first; growing it is a message to the hypervisor process, which may itself be waiting for this
 * lock to clean up after somebody, so the caller sends it with the lock released.
 */
static int choose_refs(const struct sim_dom_ref *self, grant_entry_v1_t *table, unsigned n,
                       uint32_t *first)
{
    struct sim_dom *d = self->dom;
    uint32_t have = d->gnt_frames * SIM_GREFS_PER_FRAME;
    uint32_t hint = (uint32_t)d->gref_next_hint;
    uint32_t r;

    if (hint < GNTTAB_NR_RESERVED_ENTRIES || hint >= have)
        hint = GNTTAB_NR_RESERVED_ENTRIES;
    r = find_refs(table, hint, have, n);
    if (r == have && hint > GNTTAB_NR_RESERVED_ENTRIES)
        r = find_refs(table, GNTTAB_NR_RESERVED_ENTRIES, have, n);
    if (r == have) {
        /* The run may begin with the free entries at the end of what exists. */
        while (r > GNTTAB_NR_RESERVED_ENTRIES && entry_free(&table[r - 1]))
            r--;
        if (n > SIM_GREFS_MAX - r)
            return -ENOSPC;
        *first = r + n;
        return -EAGAIN;
    }
    d->gref_next_hint = r + n;
    *first = r;
    return 0;
}

/* choose_refs, growing the table when that is what it takes. Called and left under the lock. */
static int choose_or_grow(const struct sim_dom_ref *self, grant_entry_v1_t *table, unsigned n,
                          uint32_t *first)
{
    int rc;

    while ((rc = choose_refs(self, table, n, first)) == -EAGAIN) {
        unlock(self->dom);
        rc = grow(self, *first);
        lock(self->dom);
        if (rc)
            return rc;
    }
    return rc;
}

static void write_entry(grant_entry_v1_t *e, uint64_t gfn, uint16_t peer, bool readonly)
{
    uint16_t flags = GTF_permit_access | (readonly ? GTF_readonly : 0);

    /* The frame and the domain have to be there before the flags allow anything. */
    *(volatile uint32_t *)&e->frame = (uint32_t)gfn;
    atomic_store_explicit(sim_gnt_word(e), sim_gnt_word_make(flags, peer), memory_order_release);
}

int sim_kmem_grant(const struct sim_dom_ref *self, unsigned n, const uint64_t *gfns, uint16_t peer,
                   bool readonly, uint32_t first, uint32_t *got)
{
    grant_entry_v1_t *table;
    int rc;

    if (n == 0 || n > SIM_GREFS_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++) {
        if (gfns[i] > UINT32_MAX)
            return -EINVAL;
    }
    rc = sim_gnt_table(self, &table);
    if (rc)
        return rc;

    if (first != SIM_GREF_ANY) {
        if (first < GNTTAB_NR_RESERVED_ENTRIES || first > SIM_GREFS_MAX - n)
            return -EINVAL;
        rc = grow(self, first + n);
        if (rc)
            return rc == -ENOSPC ? -EINVAL : rc;
    }

    lock(self->dom);
    if (first == SIM_GREF_ANY) {
        rc = choose_or_grow(self, table, n, &first);
    } else {
        for (unsigned i = 0; i < n && rc == 0; i++) {
            if (!entry_free(&table[first + i]))
                rc = -EEXIST;
        }
    }
    for (unsigned i = 0; i < n && rc == 0; i++)
        write_entry(&table[first + i], gfns[i], peer, readonly);
    unlock(self->dom);
    if (rc == 0)
        *got = first;
    return rc;
}

static grant_entry_v1_t *entry_of(const struct sim_dom_ref *self, uint32_t ref)
{
    grant_entry_v1_t *table;

    if (ref >= self->dom->gnt_frames * SIM_GREFS_PER_FRAME || sim_gnt_table(self, &table))
        return NULL;
    return &table[ref];
}

int sim_kmem_end(const struct sim_dom_ref *self, uint32_t ref)
{
    grant_entry_v1_t *e = entry_of(self, ref);
    uint32_t seen;

    if (!e)
        return -EINVAL;
    seen = atomic_load(sim_gnt_word(e));
    do {
        if (seen & (GTF_reading | GTF_writing))
            return -EBUSY;
        if (MUTANT(sim_grant_outlives_its_revocation))
            return 0;
    } while (!atomic_compare_exchange_weak(sim_gnt_word(e), &seen, 0));
    return 0;
}

unsigned sim_kmem_in_use(const struct sim_dom_ref *self, uint32_t ref)
{
    grant_entry_v1_t *e = entry_of(self, ref);

    return e ? atomic_load(sim_gnt_word(e)) & (GTF_reading | GTF_writing) : 0;
}

int sim_kmem_share(const struct sim_dom_ref *self, uint16_t peer, bool readonly, uint32_t *track)
{
    struct sim_track_entry e = {.domid = self->domid, .nr = 1};
    grant_entry_v1_t *table;
    void *memory;
    uint64_t frame, gfn;
    int rc = sim_gnt_table(self, &table);

    if (rc == 0)
        rc = sim_dom_memory(self, &memory);
    if (rc)
        return rc;

    lock(self->dom);
    rc = find_pages(self->dom, 1, true, &frame);
    if (rc)
        goto out;
    clear_pages(memory, 1, &frame);
    rc = sim_kmem_gfn(self->dom, frame, &gfn);
    if (rc == 0 && gfn > UINT32_MAX)
        rc = -ENOMEM;
    if (rc == 0)
        rc = choose_or_grow(self, table, 1, &e.ref);
    if (rc == 0) {
        e.gfn = gfn;
        rc = sim_track_take(SIM_TRACK_SHARE, &e, track);
    }
    if (rc == 0)
        write_entry(&table[e.ref], gfn, peer, readonly);
    else
        mark(bitmap(self->dom), frame, false);
out:
    unlock(self->dom);
    return rc;
}

int sim_kmem_unshare(const struct sim_dom_ref *self, uint32_t track, uint16_t flags)
{
    struct sim_track_entry *e = &sim_self_track()->entries[track];
    uint64_t frame;
    int rc = -ENOENT;

    lock(self->dom);
    if (atomic_load(&e->kind) == SIM_TRACK_SHARE &&
        (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & flags) == flags)
        rc = sim_kmem_end(self, e->ref);
    if (rc == 0) {
        if (sim_gfn_to_frame(self->dom, e->gfn, 1u << SIM_REGION_RAM, &frame) == 0)
            mark(bitmap(self->dom), frame, false);
        sim_track_drop(track);
    }
    unlock(self->dom);
    return rc;
}
