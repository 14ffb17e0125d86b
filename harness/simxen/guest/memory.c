/* SPDX-License-Identifier: MIT */
#include "simxen/guest/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "simxen/core/frames.h"
#include "simxen/core/gnttab.h"
#include "simxen/core/kmem.h"
#include "util/mutant.h"

static int alive(struct guest *g)
{
    return guest_gone(g) ? -ESHUTDOWN : 0;
}

static bool in_memory(const struct guest *g, const void *va)
{
    return (const char *)va >= g->memory &&
           (const char *)va < g->memory + g->dom->dom->memfile_bytes;
}

/* The memory-file frame of a page that was handed out. Called under the lock. */
static int frame_of(const struct guest *g, const void *va, uint64_t *frame)
{
    const char *at = va;

    if (in_memory(g, va)) {
        *frame = (uint64_t)(at - g->memory) / SIM_PAGE;
        return 0;
    }
    for (const struct guest_pages *r = g->pages; r; r = r->next) {
        if (at >= r->va && at < r->va + (size_t)r->n * SIM_PAGE) {
            *frame = r->frames[(size_t)(at - r->va) / SIM_PAGE];
            return 0;
        }
    }
    return -EINVAL;
}

int guest_pages_alloc(struct fe_platform *p, unsigned n, unsigned flags, void **va)
{
    struct guest *g = guest_of(p);
    struct guest_pages *r;
    bool run = true;
    int rc = alive(g);

    if (rc)
        return rc;
    if (n == 0 || n > g->dom->dom->alloc_pages)
        return n ? -ENOMEM : -EINVAL;
    r = calloc(1, sizeof(*r) + n * sizeof(r->frames[0]));
    if (!r)
        return -ENOMEM;
    r->n = n;
    rc = sim_kmem_alloc(g->dom, n, flags & FE_PAGES_CONTIGUOUS, r->frames);
    if (rc)
        goto out;
    for (unsigned i = 1; i < n; i++)
        run = run && r->frames[i] == r->frames[0] + i;
    if (run) {
        r->va = g->memory + r->frames[0] * SIM_PAGE;
    } else {
        void *at;

        rc = sim_frames_map(g->dom->mem_fd, NULL, PROT_READ | PROT_WRITE, 0, n, r->frames, &at);
        if (rc) {
            sim_kmem_free(g->dom, n, r->frames);
            goto out;
        }
        r->va = at;
        r->mapped = true;
    }
    pthread_mutex_lock(&g->lock);
    r->next = g->pages;
    g->pages = r;
    pthread_mutex_unlock(&g->lock);
    *va = r->va;
    r = NULL;
out:
    free(r);
    return rc;
}

void guest_pages_free(struct fe_platform *p, void *va, unsigned n)
{
    struct guest *g = guest_of(p);
    struct guest_pages **link, *r;

    if (!va)
        return;
    pthread_mutex_lock(&g->lock);
    for (link = &g->pages; (r = *link); link = &r->next) {
        if (r->va == va && r->n == n)
            break;
    }
    if (r)
        *link = r->next;
    pthread_mutex_unlock(&g->lock);
    if (!r)
        return;
    if (r->mapped)
        munmap(r->va, (size_t)n * SIM_PAGE);
    sim_kmem_free(g->dom, n, r->frames);
    free(r);
}

int guest_gfn(struct fe_platform *p, const void *va, uint64_t *gfn)
{
    struct guest *g = guest_of(p);
    uint64_t frame;
    int rc;

    pthread_mutex_lock(&g->lock);
    rc = frame_of(g, va, &frame);
    pthread_mutex_unlock(&g->lock);
    return rc ? rc : sim_kmem_gfn(g->dom->dom, frame, gfn);
}

/* ---- grants ---- */

static void note_granted(struct guest *g, uint32_t first, unsigned n, bool granted)
{
    for (uint32_t ref = first; ref < first + n; ref++) {
        uint64_t bit = UINT64_C(1) << (ref % 64);

        if (granted)
            g->granted[ref / 64] |= bit;
        else
            g->granted[ref / 64] &= ~bit;
    }
}

static bool all_granted(const struct guest *g, uint32_t first, unsigned n)
{
    for (uint32_t ref = first; ref < first + n; ref++) {
        if (!(g->granted[ref / 64] >> (ref % 64) & 1))
            return false;
    }
    return true;
}

static int grant(struct guest *g, char *va, unsigned n, uint16_t peer, unsigned flags,
                 uint32_t first, uint32_t *got)
{
    uint64_t *gfns;
    int rc = alive(g);

    if (rc)
        return rc;
    if (n == 0 || n > SIM_GREFS_MAX || (uintptr_t)va % SIM_PAGE)
        return -EINVAL;
    gfns = calloc(n, sizeof(*gfns));
    if (!gfns)
        return -ENOMEM;
    pthread_mutex_lock(&g->lock);
    for (unsigned i = 0; i < n && rc == 0; i++) {
        uint64_t frame;

        rc = frame_of(g, va + (size_t)i * SIM_PAGE, &frame);
        if (rc == 0)
            rc = sim_kmem_gfn(g->dom->dom, frame, &gfns[i]);
    }
    if (rc == 0)
        rc = sim_kmem_grant(g->dom, n, gfns, peer, flags & FE_GRANT_READONLY, first, got);
    if (rc == 0)
        note_granted(g, *got, n, true);
    pthread_mutex_unlock(&g->lock);
    free(gfns);
    return rc;
}

int guest_grant(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                gref_t *first)
{
    return grant(guest_of(p), va, n, peer, flags, SIM_GREF_ANY, &first->raw);
}

int guest_grant_at(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                   gref_t first)
{
    uint32_t got;

    if (first.raw == SIM_GREF_ANY)
        return -EINVAL;
    return grant(guest_of(p), va, n, peer, flags, first.raw, &got);
}

static int revoke_one(grant_entry_v1_t *entry, uint32_t *word)
{
    *word = atomic_load(sim_gnt_word(entry));
    do {
        if (*word & (GTF_reading | GTF_writing))
            return -EBUSY;
        if (MUTANT(sim_grant_outlives_its_revocation))
            break;
    } while (!atomic_compare_exchange_weak(sim_gnt_word(entry), word, 0));
    return 0;
}

int guest_revoke(struct fe_platform *p, gref_t first, unsigned n)
{
    struct guest *g = guest_of(p);
    grant_entry_v1_t *table;
    uint32_t few[64], *words = few;
    unsigned done = 0;
    int rc;

    if (n == 0 || first.raw >= SIM_GREFS_MAX || n > SIM_GREFS_MAX - first.raw)
        return -EINVAL;
    rc = sim_gnt_table(g->dom, &table);
    if (rc)
        return rc;
    if (n > sizeof(few) / sizeof(few[0])) {
        words = calloc(n, sizeof(*words));
        if (!words)
            return -ENOMEM;
    }
    pthread_mutex_lock(&g->lock);
    if (!all_granted(g, first.raw, n))
        rc = -EINVAL;
    for (; rc == 0 && done < n; done++) {
        rc = revoke_one(&table[first.raw + done], &words[done]);
        if (rc)
            break;
    }
    /* Rather all stay granted than some: the caller keeps the buffer as it is. */
    if (rc == -EBUSY) {
        while (done-- > 0)
            atomic_store(sim_gnt_word(&table[first.raw + done]), words[done]);
    }
    if (rc == 0)
        note_granted(g, first.raw, n, false);
    pthread_mutex_unlock(&g->lock);
    if (words != few)
        free(words);
    return rc;
}

int guest_grant_in_use(struct fe_platform *p, gref_t ref, unsigned *in_use)
{
    struct guest *g = guest_of(p);
    unsigned bits;

    if (ref.raw >= g->dom->dom->gnt_frames * SIM_GREFS_PER_FRAME)
        return -EINVAL;
    bits = sim_kmem_in_use(g->dom, ref.raw);
    *in_use = (bits & GTF_reading ? 1u : 0) | (bits & GTF_writing ? 2u : 0);
    return 0;
}

static bool holds(const struct guest_pages *r, uint64_t frame)
{
    for (unsigned i = 0; i < r->n; i++) {
        if (r->frames[i] == frame)
            return true;
    }
    return false;
}

/* A page that a peer still maps may not be used for anything else: its run is forgotten, not
 * freed, and its reference stays. */
static void keep_run_of(struct guest *g, uint32_t gfn)
{
    uint64_t frame;

    if (sim_gfn_to_frame(g->dom->dom, gfn, 1u << SIM_REGION_RAM, &frame))
        return;
    for (struct guest_pages **link = &g->pages, *r; (r = *link); link = &r->next) {
        if (!holds(r, frame))
            continue;
        *link = r->next;
        if (r->mapped)
            munmap(r->va, (size_t)r->n * SIM_PAGE);
        free(r);
        return;
    }
}

void guest_memory_fini(struct guest *g)
{
    grant_entry_v1_t *table;

    if (sim_gnt_table(g->dom, &table))
        return;
    for (uint32_t ref = 0; ref < SIM_GREFS_MAX; ref++) {
        if (all_granted(g, ref, 1) && sim_kmem_end(g->dom, ref) == -EBUSY)
            keep_run_of(g, *(volatile uint32_t *)&table[ref].frame);
    }
    while (g->pages)
        guest_pages_free(&g->platform, g->pages->va, g->pages->n);
}
