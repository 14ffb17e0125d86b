/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>

#include "simxen/core/internal.h"

static struct {
    pthread_mutex_t lock;
    uint32_t hint; /* the lowest entry that may be free */
} tracks = {.lock = PTHREAD_MUTEX_INITIALIZER};

void sim_track_fork_child(void)
{
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

    tracks.lock = fresh;
    tracks.hint = 0;
}

/*
 * hv reads entries of a live process at any moment (audit, recovery) and of a dead one as it left
 * them: an entry counts from the store of its kind to the store of FREE, and nothing else of it
 * changes in between but the notification.
 */
int sim_track_take(enum sim_track_kind kind, const struct sim_track_entry *e, uint32_t *index)
{
    struct sim_track *t = sim_self_track();
    uint32_t i;

    if (!t)
        return -ECONNREFUSED;
    pthread_mutex_lock(&tracks.lock);
    for (i = tracks.hint; i < SIM_TRACK_ENTRIES; i++)
        if (atomic_load_explicit(&t->entries[i].kind, memory_order_relaxed) == SIM_TRACK_FREE)
            break;
    if (i == SIM_TRACK_ENTRIES) {
        tracks.hint = i;
        pthread_mutex_unlock(&tracks.lock);
        return -ENOSPC;
    }
    t->entries[i].domid = e->domid;
    t->entries[i].flags = e->flags;
    t->entries[i].ref = e->ref;
    t->entries[i].nr = e->nr;
    t->entries[i].gfn = e->gfn;
    t->entries[i].notify = e->notify;
    t->entries[i].notify_offset = e->notify_offset;
    t->entries[i].notify_port = e->notify_port;
    if (i >= atomic_load_explicit(&t->high, memory_order_relaxed))
        atomic_store(&t->high, i + 1);
    atomic_store_explicit(&t->entries[i].kind, kind, memory_order_release);
    tracks.hint = i + 1;
    pthread_mutex_unlock(&tracks.lock);
    *index = i;
    return 0;
}

void sim_track_drop(uint32_t index)
{
    struct sim_track *t = sim_self_track();

    if (!t || index >= SIM_TRACK_ENTRIES)
        return;
    pthread_mutex_lock(&tracks.lock);
    atomic_store_explicit(&t->entries[index].kind, SIM_TRACK_FREE, memory_order_release);
    if (index < tracks.hint)
        tracks.hint = index;
    pthread_mutex_unlock(&tracks.lock);
}
