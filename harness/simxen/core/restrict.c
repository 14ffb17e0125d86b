/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>

#include "simxen/core/internal.h"

static struct {
    pthread_mutex_t lock;
    struct sim_active_handle *first;
} handles = {.lock = PTHREAD_MUTEX_INITIALIZER};

void sim_restrict_fork_child(void)
{
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

    handles.lock = fresh;
}

void sim_restrict_register(struct sim_active_handle *h)
{
    pthread_mutex_lock(&handles.lock);
    h->entry.next = handles.first;
    h->entry.prev = &handles.first;
    if (handles.first)
        handles.first->entry.prev = &h->entry.next;
    handles.first = h;
    pthread_mutex_unlock(&handles.lock);
}

void sim_restrict_deregister(struct sim_active_handle *h)
{
    pthread_mutex_lock(&handles.lock);
    if (h->entry.next)
        h->entry.next->entry.prev = h->entry.prev;
    *h->entry.prev = h->entry.next;
    pthread_mutex_unlock(&handles.lock);
}

int sim_restrict_all(domid_t domid)
{
    struct sim_active_handle *h;
    int rc = 0, first_errno = 0;

    pthread_mutex_lock(&handles.lock);
    for (h = handles.first; h; h = h->entry.next) {
        if (!h->restrict_callback(h, domid))
            continue;
        if (!rc)
            first_errno = errno;
        rc = -1;
    }
    pthread_mutex_unlock(&handles.lock);
    if (rc)
        errno = first_errno;
    return rc;
}
