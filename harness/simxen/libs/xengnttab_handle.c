/* SPDX-License-Identifier: MIT */
#include "util/mutant.h"
#include "xengnttab_private.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BUCKETS_MIN 64

static size_t bucket_of(const struct xengntdev_handle *h, const void *va)
{
    uint64_t page = (uintptr_t)va / SIM_PAGE;

    return (size_t)(page * 0x9e3779b97f4a7c15ull >> 32) & (h->nr_buckets - 1);
}

/* gntdev has no restriction of its own: the real library replaces the descriptor by /dev/null, and
 * every later ioctl ends with ENOTTY. */
static int restrict_handle(struct sim_active_handle *active, domid_t domid)
{
    struct xengntdev_handle *h = (struct xengntdev_handle *)active;

    pthread_mutex_lock(&h->lock);
    h->restricted = !MUTANT(sim_restrict_leaves_grants);
    pthread_mutex_unlock(&h->lock);
    return 0;
}

struct xengntdev_handle *handle_create(void)
{
    struct xengntdev_handle *h;
    int rc = sim_session();

    if (rc)
        return fail_null(-rc);
    h = calloc(1, sizeof(*h));
    if (!h)
        return fail_null(ENOMEM);
    h->nr_buckets = BUCKETS_MIN;
    h->buckets = calloc(h->nr_buckets, sizeof(struct region *));
    h->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!h->buckets || h->fd < 0) {
        rc = errno;
        if (h->fd >= 0)
            close(h->fd);
        free(h->buckets);
        free(h);
        return fail_null(rc);
    }
    h->session = sim_session_id();
    pthread_mutex_init(&h->lock, NULL);
    h->active.restrict_callback = restrict_handle;
    sim_restrict_register(&h->active);
    return h;
}

void handle_destroy(struct xengntdev_handle *h)
{
    sim_restrict_deregister(&h->active);
    for (size_t i = 0; i < h->nr_buckets; i++) {
        struct region *next;

        for (struct region *r = h->buckets[i]; r; r = next) {
            next = r->next;
            free(r);
        }
    }
    pthread_mutex_destroy(&h->lock);
    close(h->fd);
    free(h->buckets);
    free(h);
}

int handle_unusable(const struct xengntdev_handle *h)
{
    if (h->restricted)
        return ENOTTY;
    return h->session == sim_session_id() ? 0 : EINVAL;
}

static void grow(struct xengntdev_handle *h)
{
    size_t old_nr = h->nr_buckets;
    struct region **old = h->buckets;
    struct region **buckets = calloc(old_nr * 2, sizeof(struct region *));

    if (!buckets)
        return;
    h->buckets = buckets;
    h->nr_buckets = old_nr * 2;
    for (size_t i = 0; i < old_nr; i++) {
        struct region *next;

        for (struct region *r = old[i]; r; r = next) {
            size_t b = bucket_of(h, r->va);

            next = r->next;
            r->next = h->buckets[b];
            h->buckets[b] = r;
        }
    }
    free(old);
}

void region_add(struct xengntdev_handle *h, struct region *r)
{
    size_t b;

    pthread_mutex_lock(&h->lock);
    if (h->nr_regions >= h->nr_buckets)
        grow(h);
    b = bucket_of(h, r->va);
    r->next = h->buckets[b];
    h->buckets[b] = r;
    h->nr_regions++;
    pthread_mutex_unlock(&h->lock);
}

struct region *region_take(struct xengntdev_handle *h, const void *va, uint32_t count)
{
    struct region **link, *r;

    pthread_mutex_lock(&h->lock);
    for (link = &h->buckets[bucket_of(h, va)]; (r = *link); link = &r->next) {
        if (r->va == va)
            break;
    }
    if (r && count != 0 && r->count != count)
        r = NULL;
    if (r) {
        *link = r->next;
        h->nr_regions--;
    }
    pthread_mutex_unlock(&h->lock);
    return r;
}

struct region *region_around(struct xengntdev_handle *h, const char *va)
{
    for (size_t i = 0; i < h->nr_buckets; i++) {
        for (struct region *r = h->buckets[i]; r; r = r->next) {
            if (va >= r->va && va < r->va + (size_t)r->count * SIM_PAGE)
                return r;
        }
    }
    return NULL;
}

bool notify_port_valid(uint32_t port)
{
    const struct sim_dom_ref *self;

    if (port >= SIM_PORTS_MAX || sim_dom_get(sim_self_domid(), &self))
        return false;
    switch (self->dom->ports[port].state) {
    case SIM_PORT_UNBOUND:
    case SIM_PORT_INTERDOMAIN:
    case SIM_PORT_VIRQ:
        return self->dom->ports[port].handle != 0;
    default:
        return false;
    }
}

void notify_track(uint32_t track, int32_t offset, bool has_port, uint32_t port)
{
    struct sim_track_entry *e = &sim_self_track()->entries[track];
    uint16_t what = 0;

    if (offset >= 0) {
        e->notify_offset = (uint16_t)offset;
        what |= SIM_NOTIFY_BYTE;
    }
    if (has_port) {
        e->notify_port = port;
        what |= SIM_NOTIFY_EVENT;
    }
    /* Last: hv may find the process dead between any two stores. */
    __atomic_store_n(&e->notify, what, __ATOMIC_RELEASE);
}
