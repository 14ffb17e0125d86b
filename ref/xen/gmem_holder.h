/* SPDX-License-Identifier: MIT */
/*
 * Private to ref/xen: what the ways have in common that hold something of their own for a lease
 * (runs of references, windows, pins, memory of a copy) instead of mapping its pages for its time.
 *
 * A lease's *held* is on a free list between leases, so that nothing is allocated once the device
 * is warm. What such a way cannot serve itself goes the *direct* way, whole: mapped for the time of
 * the lease (gmem_permap.h).
 */
#ifndef RP_XEN_GMEM_HOLDER_H
#define RP_XEN_GMEM_HOLDER_H

#include "xen/gmem_permap.h"
#include "xen/gmem_strategy.h"

/* The first member of what a way holds. */
struct held {
    struct held *next;
    void *direct; /* the direct way's, when it serves the lease; else NULL */
};

struct holder;

struct holder_ops {
    size_t held_bytes;
    bool shared_direct; /* leases of GMEM_SHARED go the direct way */
    /*
     * Append the iovecs of a range to the lease, and to `h` what they need. 0, an error of
     * gmem_get, or -ENOSPC: the whole lease has to go the direct way. What was appended before an
     * error is dropped by the caller. NULL for a way that has a `get` of its own.
     */
    int (*range_get)(struct holder *m, const struct gmem_range *range, struct held *h,
                     struct gmem_lease *lease);
    void (*held_drop)(struct holder *m, struct held *h); /* h is empty behind it */
    void (*held_fini)(struct held *h);                   /* frees what an empty one still has */
};

/* The first member of a way. */
struct holder {
    struct gmem base;
    const struct holder_ops *ops;
    struct gmem_strategy_args args;
    struct gmem *direct; /* NULL: none */
    struct held *free;
};

/* `direct_name`: the direct way's in messages, for `kinds` of address (gmem_permap.h); 0: none.
 * 0 or -ENOMEM. holder_fini is allowed after an error, and after zeroes. */
int holder_init(struct holder *m, const struct gmem_ops *gmem, const struct holder_ops *ops,
                const struct gmem_strategy_args *args, const char *direct_name, unsigned kinds);
void holder_fini(struct holder *m);

/* NULL: no memory. */
struct held *holder_take(struct holder *m);
/* Drops what it has. */
void holder_give(struct holder *m, struct held *h);
int holder_get_direct(struct holder *m, struct held *h, const struct gmem_range *ranges,
                      unsigned count, struct gmem_lease *lease);
void holder_put_direct(struct holder *m, struct held *h, struct gmem_lease *lease);

/* Of struct gmem_ops, for ways that go range by range. At most GMEM_LEASE_PAGES_MAX a lease, since
 * a driver may name the same pages again and again: beyond it is -EFAULT. */
int holder_get(struct gmem *g, const struct gmem_range *ranges, unsigned count,
               struct gmem_lease *lease);
int holder_put(struct gmem *g, struct gmem_lease *lease);

/* Room for `want` items in an array of `*max`: the array, which may have moved; NULL: no memory,
 * and the old one is as it was. */
void *array_fit(void *array, unsigned *max, unsigned want, size_t item_bytes);

#endif
