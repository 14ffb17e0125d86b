/* SPDX-License-Identifier: MIT */
#include "gmem/flat.h"

#include <errno.h>
#include <stdlib.h>

#include "util/bits.h"

struct flat {
    struct gmem base;
    unsigned count;
    struct gmem_flat_region regions[]; /* by address */
};

static const struct gmem_flat_region *region_of(const struct flat *f, uint64_t addr)
{
    for (unsigned i = 0; i < f->count; i++)
        if (addr >= f->regions[i].base && addr - f->regions[i].base < f->regions[i].bytes)
            return &f->regions[i];
    return NULL;
}

static int flat_get_range(const struct flat *f, const struct gmem_range *range,
                          struct gmem_lease *lease)
{
    uint64_t addr = range->addr.raw;
    uint64_t left = range->len_bytes;

    while (left != 0) {
        const struct gmem_flat_region *r = region_of(f, addr);
        uint64_t offset, n;

        if (r == NULL)
            return -EINVAL;
        if (r->read_only && (range->access & GMEM_WRITE))
            return -EFAULT;
        if (lease->iov_count == lease->iov_max)
            return -ENOSPC;
        offset = addr - r->base;
        n = min_u64(left, r->bytes - offset);
        lease->iov[lease->iov_count++] = (struct iovec){
            .iov_base = (char *)r->va + offset,
            .iov_len = n,
        };
        addr += n;
        left -= n;
    }
    return 0;
}

static int flat_get(struct gmem *m, const struct gmem_range *ranges, unsigned count,
                    struct gmem_lease *lease)
{
    struct flat *f = container_of(m, struct flat, base);
    bool writable_seen = false;

    for (unsigned i = 0; i < count; i++) {
        int rc = flat_get_range(f, &ranges[i], lease);

        if (rc < 0)
            return rc;
        writable_seen = writable_seen || (ranges[i].access & GMEM_WRITE);
        if (!writable_seen)
            lease->iov_readable = lease->iov_count;
    }
    lease->impl = f;
    return 0;
}

static int flat_put(struct gmem *m, struct gmem_lease *lease)
{
    return 0;
}

static void flat_destroy(struct gmem *m)
{
    free(container_of(m, struct flat, base));
}

static const struct gmem_ops flat_ops = {
    .name = "flat",
    .get = flat_get,
    .put = flat_put,
    .destroy = flat_destroy,
};

static int region_compare(const void *a, const void *b)
{
    const struct gmem_flat_region *x = a, *y = b;

    return x->base < y->base ? -1 : x->base > y->base;
}

int gmem_flat_create(const struct gmem_flat_region *regions, unsigned count, struct gmem **out)
{
    struct flat *f = calloc(1, sizeof(*f) + count * sizeof(*regions));

    if (f == NULL)
        return -ENOMEM;
    f->base.ops = &flat_ops;
    f->count = count;
    for (unsigned i = 0; i < count; i++)
        f->regions[i] = regions[i];
    qsort(f->regions, count, sizeof(*regions), region_compare);
    for (unsigned i = 0; i < count; i++) {
        const struct gmem_flat_region *r = &f->regions[i];
        bool overlaps = i != 0 && r->base - r[-1].base < r[-1].bytes;

        if (r->bytes == 0 || range_wraps(r->base, r->bytes) || overlaps) {
            free(f);
            return -EINVAL;
        }
    }
    *out = &f->base;
    return 0;
}
