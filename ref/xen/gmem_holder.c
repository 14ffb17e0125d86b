/* SPDX-License-Identifier: MIT */
#include "xen/gmem_holder.h"

#include <stdlib.h>

int holder_init(struct holder *m, const struct gmem_ops *gmem, const struct holder_ops *ops,
                const struct gmem_strategy_args *args, const char *direct_name, unsigned kinds)
{
    m->base.ops = gmem;
    m->ops = ops;
    m->args = *args;
    return kinds ? permap_create(direct_name, args, kinds, &m->base.stats, &m->direct) : 0;
}

void holder_fini(struct holder *m)
{
    while (m->free) {
        struct held *h = m->free;

        m->free = h->next;
        m->ops->held_fini(h);
        free(h);
    }
    if (m->direct)
        m->direct->ops->destroy(m->direct);
}

struct held *holder_take(struct holder *m)
{
    struct held *h = m->free;

    if (!h)
        return calloc(1, m->ops->held_bytes);
    m->free = h->next;
    return h;
}

void holder_give(struct holder *m, struct held *h)
{
    m->ops->held_drop(m, h);
    h->direct = NULL;
    h->next = m->free;
    m->free = h;
}

int holder_get_direct(struct holder *m, struct held *h, const struct gmem_range *ranges,
                      unsigned count, struct gmem_lease *lease)
{
    int rc = m->direct ? m->direct->ops->get(m->direct, ranges, count, lease) : -EFAULT;

    h->direct = rc ? NULL : lease->impl;
    return rc;
}

void holder_put_direct(struct holder *m, struct held *h, struct gmem_lease *lease)
{
    if (!h->direct)
        return;
    lease->impl = h->direct;
    (void)m->direct->ops->put(m->direct, lease);
}

static int pages_check(const struct gmem_range *ranges, unsigned count)
{
    uint64_t pages = 0;

    for (unsigned i = 0; i < count && pages <= GMEM_LEASE_PAGES_MAX; i++)
        pages += ((ranges[i].addr.raw & (XEN_PAGE_BYTES - 1)) + ranges[i].len_bytes +
                  XEN_PAGE_BYTES - 1) >>
                 XEN_PAGE_SHIFT_BITS;
    return pages > GMEM_LEASE_PAGES_MAX ? -EFAULT : 0;
}

int holder_get(struct gmem *g, const struct gmem_range *ranges, unsigned count,
               struct gmem_lease *lease)
{
    struct holder *m = (struct holder *)g;
    struct held *h = holder_take(m);
    bool leading = true;
    int rc;

    if (!h)
        return -ENOMEM;
    lease->iov_count = lease->iov_readable = 0;
    if (m->ops->shared_direct && ranges[0].access & GMEM_SHARED)
        rc = -ENOSPC;
    else
        rc = pages_check(ranges, count);
    for (unsigned i = 0; i < count && !rc; i++) {
        rc = m->ops->range_get(m, &ranges[i], h, lease);
        leading = leading && !(ranges[i].access & GMEM_WRITE);
        if (leading)
            lease->iov_readable = lease->iov_count;
    }
    if (rc == -ENOSPC) {
        m->ops->held_drop(m, h);
        rc = holder_get_direct(m, h, ranges, count, lease);
    }
    if (rc)
        holder_give(m, h);
    else
        lease->impl = h;
    return rc;
}

int holder_put(struct gmem *g, struct gmem_lease *lease)
{
    struct holder *m = (struct holder *)g;
    struct held *h = lease->impl;

    holder_put_direct(m, h, lease);
    holder_give(m, h);
    return 0;
}

void *array_fit(void *array, unsigned *max, unsigned want, size_t item_bytes)
{
    unsigned room = *max ? *max : 16;

    if (want <= *max)
        return array;
    while (room < want)
        room *= 2;
    array = realloc(array, room * item_bytes);
    if (array)
        *max = room;
    return array;
}
