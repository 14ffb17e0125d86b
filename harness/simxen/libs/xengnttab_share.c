/* SPDX-License-Identifier: MIT */
/*
 * libxengnttab's gntshr half: pages of the own domain, granted to another, as Linux's gntalloc
 * makes them.
 *
 * A page whose local mapping is gone stays granted while the peer maps it; the driver looks again
 * at each later call. Here such a page is an entry of the process's track that carries
 * SHARE_ORPHAN. When the process ends, hv goes on with it.
 */
#include "xengnttab_private.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "simxen/core/frames.h"
#include "simxen/core/kmem.h"
#include "util/mutant.h"

/* gntalloc's module parameter `limit`: pages shared at once. */
#define SHARE_LIMIT 1024u

/* struct sim_track_entry.flags of a SIM_TRACK_SHARE: not mapped here any more. */
#define SHARE_ORPHAN 1u

#define NO_NOTIFY UINT32_MAX

struct share {
    struct region region; /* first */
    uint32_t left;        /* pages still mapped here */
    bool notify_event;
    uint32_t notify_port;
    int32_t notify_byte;
    uint32_t tracks[];
};

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return handle_create();
}

int xengntshr_close(xengntshr_handle *xgs)
{
    if (xgs)
        handle_destroy(xgs);
    return 0;
}

int xengntshr_fd(xengntshr_handle *xgs)
{
    return xgs->fd;
}

/* Free what the peer has let go of since; the number of pages that remain shared. */
static uint32_t sweep(const struct sim_dom_ref *self)
{
    struct sim_track *t = sim_self_track();
    uint32_t high = atomic_load(&t->high), shared = 0;

    for (uint32_t i = 0; i < high && i < SIM_TRACK_ENTRIES; i++) {
        if (atomic_load_explicit(&t->entries[i].kind, memory_order_acquire) != SIM_TRACK_SHARE)
            continue;
        if (!(__atomic_load_n(&t->entries[i].flags, __ATOMIC_ACQUIRE) & SHARE_ORPHAN) ||
            sim_kmem_unshare(self, i, SHARE_ORPHAN) == -EBUSY)
            shared++;
    }
    return shared;
}

static void release(const struct sim_dom_ref *self, const uint32_t *tracks, uint32_t count)
{
    struct sim_track *t = sim_self_track();

    for (uint32_t i = 0; i < count; i++) {
        if (sim_kmem_unshare(self, tracks[i], 0) == -EBUSY)
            __atomic_fetch_or(&t->entries[tracks[i]].flags, SHARE_ORPHAN, __ATOMIC_RELEASE);
    }
}

static void *share(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs, int writable,
                   uint32_t notify_offset, uint32_t notify_port)
{
    const struct sim_dom_ref *self;
    uint64_t *frames = NULL;
    struct share *s = NULL;
    uint32_t taken = 0;
    void *va;
    int rc = -handle_unusable(xgs);

    if (rc == 0)
        rc = sim_dom_get(sim_self_domid(), &self);
    if (rc)
        return fail_null(-rc);
    if (count <= 0)
        return fail_null(EINVAL);
    if ((uint32_t)count > SHARE_LIMIT || sweep(self) > SHARE_LIMIT - (uint32_t)count)
        return fail_null(ENOSPC);
    s = calloc(1, sizeof(*s) + (size_t)count * sizeof(s->tracks[0]));
    frames = calloc((size_t)count, sizeof(*frames));
    rc = -ENOMEM;
    if (!s || !frames)
        goto out;
    for (; taken < (uint32_t)count; taken++) {
        const struct sim_track_entry *e;

        rc = sim_kmem_share(self, (uint16_t)domid, !writable && !MUTANT(sim_gntshr_is_writable),
                            &s->tracks[taken]);
        if (rc)
            goto out;
        e = &sim_self_track()->entries[s->tracks[taken]];
        refs[taken] = e->ref;
        rc = sim_gfn_to_frame(self->dom, e->gfn, 1u << SIM_REGION_RAM, &frames[taken]);
        if (rc) {
            taken++;
            goto out;
        }
    }
    s->notify_byte = -1;
    if (notify_offset < (uint64_t)count * SIM_PAGE)
        s->notify_byte = (int32_t)notify_offset;
    if (notify_port != NO_NOTIFY) {
        rc = -EINVAL;
        if (!notify_port_valid(notify_port))
            goto out;
        s->notify_event = true;
        s->notify_port = notify_port;
    }
    rc = sim_frames_map(self->mem_fd, NULL, PROT_READ | PROT_WRITE, 0, (size_t)count, frames, &va);
    if (rc)
        goto out;
    if (s->notify_byte >= 0 || s->notify_event)
        notify_track(s->tracks[0], s->notify_byte, s->notify_event, s->notify_port);
    s->region.va = va;
    s->region.count = s->left = (uint32_t)count;
    region_add(xgs, &s->region);
    free(frames);
    return va;

out:
    if (s)
        release(self, s->tracks, taken);
    free(frames);
    free(s);
    return fail_null(-rc);
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
                            int writable)
{
    return share(xgs, domid, count, refs, writable, NO_NOTIFY, NO_NOTIFY);
}

void *xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid, uint32_t *ref,
                                  int writable, uint32_t notify_offset, evtchn_port_t notify_port)
{
    return share(xgs, domid, 1, ref, writable, notify_offset, notify_port);
}

static void notify(const struct sim_dom_ref *self, const struct share *s)
{
    const struct sim_track_entry *e = &sim_self_track()->entries[s->tracks[0]];
    uint64_t frame;
    void *memory;

    if (s->notify_byte >= 0 && sim_dom_memory(self, &memory) == 0 &&
        sim_gfn_to_frame(self->dom, e->gfn, 1u << SIM_REGION_RAM, &frame) == 0)
        __atomic_store_n((char *)memory + frame * SIM_PAGE + s->notify_byte, 0, __ATOMIC_RELEASE);
    if (s->notify_event)
        sim_evtchn_send(s->notify_port);
}

/*
 * The real function is munmap: any part may go, and the references live until the last page of
 * their mapping has gone.
 */
int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
    const struct sim_dom_ref *self;
    struct share *s;
    bool last;

    if (count == 0 || ((uintptr_t)start_address & (SIM_PAGE - 1)))
        return fail(EINVAL);
    pthread_mutex_lock(&xgs->lock);
    s = (struct share *)region_around(xgs, start_address);
    if (s && count > s->left)
        s = NULL;
    if (s)
        s->left -= count;
    last = s && s->left == 0;
    pthread_mutex_unlock(&xgs->lock);

    if (last)
        region_take(xgs, s->region.va, 0);
    if (munmap(start_address, (size_t)count * SIM_PAGE))
        return -1;
    if (last) {
        if (sim_dom_get(sim_self_domid(), &self) == 0) {
            notify(self, s);
            release(self, s->tracks, s->region.count);
            sweep(self);
        }
        free(s);
    }
    return 0;
}
