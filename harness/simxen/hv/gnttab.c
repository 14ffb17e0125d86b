/* SPDX-License-Identifier: MIT */
#include "simxen/core/gnttab.h"
#include "simxen/hv/hv.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

static _Atomic uint16_t *entry_flags(struct hv_dom *d, uint32_t ref)
{
    grant_entry_v1_t *table = (grant_entry_v1_t *)(void *)(d->mem + d->gnt_frame0 * SIM_PAGE);

    return (_Atomic uint16_t *)(void *)&table[ref].flags;
}

static uint32_t table_refs(const struct hv_dom *d)
{
    uint32_t frames = __atomic_load_n(&d->c->gnt_frames, __ATOMIC_ACQUIRE);

    if (frames > d->gnt_frames_max)
        frames = d->gnt_frames_max;
    return frames * (uint32_t)SIM_GREFS_PER_FRAME;
}

int gnttab_grow(struct hv_dom *d, uint64_t frames, uint64_t *now)
{
    uint32_t have = __atomic_load_n(&d->c->gnt_frames, __ATOMIC_ACQUIRE);

    if (frames > d->gnt_frames_max)
        return -ENOSPC;
    /* Frames of the memory file are zero until somebody writes them: free entries. */
    if (frames > have)
        __atomic_store_n(&d->c->gnt_frames, (uint32_t)frames, __ATOMIC_RELEASE);
    *now = frames > have ? frames : have;
    return 0;
}

static void count_pins(struct hv *hv, const struct hv_dom *d)
{
    struct hv_proc *p;
    uint32_t i;

    memset(hv->scratch, 0, SIM_GREFS_MAX * sizeof(*hv->scratch));
    for (p = hv->procs; p; p = p->next) {
        uint32_t high;

        if (p->dead || !p->track)
            continue;
        high = track_high(p->track);
        for (i = 0; i < high; i++) {
            const struct sim_track_entry *e = &p->track->entries[i];
            uint32_t ref = e->ref;

            if (atomic_load_explicit(&e->kind, memory_order_acquire) != SIM_TRACK_GRANT ||
                e->domid != d->domid || ref >= SIM_GREFS_MAX)
                continue;
            if (e->flags & SIM_GNT_WRITABLE)
                hv->scratch[ref].pin_rw++;
            else
                hv->scratch[ref].pin_ro++;
            hv->scratch[ref].domid = p->domid;
            hv->scratch[ref].gfn = e->gfn;
        }
    }
}

void gnttab_rebuild(struct hv *hv, struct hv_dom *d)
{
    uint32_t ref, refs = table_refs(d);

    count_pins(hv, d);
    for (ref = 0; ref < refs; ref++) {
        const struct sim_active *want = &hv->scratch[ref];
        struct sim_active *act = &d->c->active[ref];
        _Atomic uint16_t *flags = entry_flags(d, ref);
        uint16_t clear = 0;

        if (want->pin_ro || want->pin_rw) {
            act->domid = want->domid;
            act->gfn = want->gfn;
        } else {
            clear |= GTF_reading;
        }
        if (!want->pin_rw)
            clear |= GTF_writing;
        act->pin_ro = want->pin_ro;
        act->pin_rw = want->pin_rw;
        if (atomic_load(flags) & clear)
            atomic_fetch_and(flags, (uint16_t)~clear);
    }
}

int gnttab_try_rebuild(struct hv *hv, struct hv_dom *d)
{
    int rc = pthread_mutex_trylock(&d->c->gnt_lock);

    if (rc == EBUSY)
        return -EBUSY;
    gnttab_rebuild(hv, d);
    if (rc == EOWNERDEAD)
        pthread_mutex_consistent(&d->c->gnt_lock);
    if (rc == 0 || rc == EOWNERDEAD)
        pthread_mutex_unlock(&d->c->gnt_lock);
    return 0;
}

bool gnttab_end_share(struct hv_dom *d, const struct hv_share *s)
{
    int rc = pthread_mutex_trylock(&d->c->alloc_lock);
    uint64_t frame, *map;
    bool ended = false;

    if (rc == EBUSY)
        return false;
    if (s->ref < table_refs(d)) {
        _Atomic uint32_t *word = (_Atomic uint32_t *)(void *)entry_flags(d, s->ref);
        uint32_t seen = atomic_load(word);

        do {
            if (seen & (GTF_reading | GTF_writing))
                goto out;
        } while (!atomic_compare_exchange_weak(word, &seen, 0));
    }
    ended = true;
    if (domain_gfn_to_frame(d, s->gfn, &frame) == 0 && frame < d->alloc_pages) {
        map = (uint64_t *)(void *)((char *)d->c + d->alloc_offset);
        map[frame / 64] &= ~(UINT64_C(1) << (frame % 64));
    }
out:
    if (rc == EOWNERDEAD)
        pthread_mutex_consistent(&d->c->alloc_lock);
    if (rc == 0 || rc == EOWNERDEAD)
        pthread_mutex_unlock(&d->c->alloc_lock);
    return ended;
}
