/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of libxengnttab share: one kind of handle (the public header gives both the
 * same type) and the runs of pages that it made, found by their first address as the kernel's
 * drivers find them by their VMA.
 */
#ifndef SIMXEN_LIBS_XENGNTTAB_PRIVATE_H
#define SIMXEN_LIBS_XENGNTTAB_PRIVATE_H

#include <errno.h>
#include <pthread.h>

#pragma GCC visibility push(default)
#include <xengnttab.h>
#pragma GCC visibility pop

#include "simxen/core/core.h"

/* Embedded as first member by what each half keeps about a run of pages. */
struct region {
    struct region *next;
    char *va;
    uint32_t count; /* pages */
};

struct xengntdev_handle {
    struct sim_active_handle active; /* first: libxentoolcore's list */
    int fd;                          /* for xengnttab_fd: a descriptor that is never readable */
    uint64_t session;                /* the connection it was opened under */
    bool restricted;
    pthread_mutex_t lock;
    struct region **buckets; /* by address; a power of two of them */
    size_t nr_buckets, nr_regions;
};

/* NULL with errno set. */
struct xengntdev_handle *handle_create(void);
/* Frees the handle and forgets its regions, whose pages stay mapped. */
void handle_destroy(struct xengntdev_handle *h);
/* 0, or the errno that every call on this handle ends with: of another process, or restricted. */
int handle_unusable(const struct xengntdev_handle *h);

void region_add(struct xengntdev_handle *h, struct region *r);
/* Take the region that begins at va out of the table. With count != 0 it must have that length.
 * NULL: there is none. */
struct region *region_take(struct xengntdev_handle *h, const void *va, uint32_t count);
/* The region that contains va, still in the table. Slow. Call under h->lock. */
struct region *region_around(struct xengntdev_handle *h, const char *va);

static inline int fail(int err)
{
    errno = err;
    return -1;
}

static inline void *fail_null(int err)
{
    errno = err;
    return NULL;
}

/* Can an unmap notification be sent through this port of the own domain? */
bool notify_port_valid(uint32_t port);
/* Put a notification into a track entry, so that it is given even when the process dies.
 * offset < 0: no byte; has_port false: no event. */
void notify_track(uint32_t track, int32_t offset, bool has_port, uint32_t port);

#endif
