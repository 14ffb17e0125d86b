/* SPDX-License-Identifier: MIT */
#include "gmem/regions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gmem/flat.h"
#include "util/bits.h"

struct mapping {
    void *va;
    size_t bytes;
};

struct regions {
    struct gmem base;
    struct gmem *flat; /* of what is mapped; NULL: nothing is */
    struct mapping mappings[GMEM_REGIONS_MAX];
    unsigned count;
};

static struct regions *to_regions(struct gmem *m)
{
    return container_of(m, struct regions, base);
}

static int regions_get(struct gmem *m, const struct gmem_range *ranges, unsigned count,
                       struct gmem_lease *lease)
{
    struct regions *r = to_regions(m);

    return r->flat ? r->flat->ops->get(r->flat, ranges, count, lease) : -EINVAL;
}

static int regions_put(struct gmem *m, struct gmem_lease *lease)
{
    struct regions *r = to_regions(m);

    return r->flat->ops->put(r->flat, lease);
}

static void unmap_all(struct mapping *mappings, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        (void)munmap(mappings[i].va, mappings[i].bytes);
}

static void regions_destroy(struct gmem *m)
{
    struct regions *r = to_regions(m);

    gmem_destroy(r->flat);
    unmap_all(r->mappings, r->count);
    free(r);
}

static const struct gmem_ops regions_ops = {
    .name = "shared",
    .get = regions_get,
    .put = regions_put,
    .destroy = regions_destroy,
};

int gmem_regions_create(struct gmem **out)
{
    struct regions *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->base.ops = &regions_ops;
    *out = &r->base;
    return 0;
}

/* From the page in which it begins. */
static int map_region(const struct gmem_shared_region *s, struct mapping *m,
                      struct gmem_flat_region *flat)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), within = s->offset % page;
    struct stat st;
    int seals = fcntl(s->fd, F_GET_SEALS);

    /* Its size is looked at once, and must not become less. */
    if (seals >= 0 && !(seals & F_SEAL_SHRINK))
        return -EPERM;
    if (seals < 0 || range_wraps(s->offset, s->bytes) || s->bytes > SIZE_MAX - page ||
        fstat(s->fd, &st) || !S_ISREG(st.st_mode) ||
        !range_within(s->offset, s->bytes, (uint64_t)st.st_size))
        return -EINVAL;
    m->bytes = (size_t)(within + s->bytes);
    m->va = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
                 (off_t)(s->offset - within));
    if (m->va == MAP_FAILED)
        return -errno;
    *flat =
        (struct gmem_flat_region){.base = s->base, .bytes = s->bytes, .va = (char *)m->va + within};
    return 0;
}

int gmem_regions_set(struct gmem *m, const struct gmem_shared_region *regions, unsigned count)
{
    struct regions *r = to_regions(m);
    struct gmem_flat_region flat[GMEM_REGIONS_MAX];
    struct mapping mappings[GMEM_REGIONS_MAX];
    struct gmem *next = NULL;
    unsigned mapped = 0;
    int rc = 0;

    if (m->leases_out)
        return -EBUSY;
    if (count > GMEM_REGIONS_MAX)
        return -EINVAL;
    while (!rc && mapped < count) {
        rc = map_region(&regions[mapped], &mappings[mapped], &flat[mapped]);
        mapped += rc == 0;
    }
    if (!rc && count)
        rc = gmem_flat_create(flat, count, &next);
    if (rc) {
        unmap_all(mappings, mapped);
        return rc;
    }
    gmem_destroy(r->flat);
    unmap_all(r->mappings, r->count);
    r->flat = next;
    r->count = count;
    for (unsigned i = 0; i < count; i++)
        r->mappings[i] = mappings[i];
    return 0;
}
