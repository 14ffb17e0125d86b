/* SPDX-License-Identifier: MIT */
/* What holds for every implementation: argument checks, counts, and the lease invariants. */
#include "gmem/gmem.h"

#include <assert.h>
#include <errno.h>

#include "util/bits.h"

static int ranges_check(const struct gmem_range *ranges, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (ranges[i].len_bytes == 0 || range_wraps(ranges[i].addr.raw, ranges[i].len_bytes))
            return -EINVAL;
        if (!(ranges[i].access & (GMEM_READ | GMEM_WRITE)) ||
            (ranges[i].access & ~(uint32_t)(GMEM_READ | GMEM_WRITE | GMEM_SHARED)))
            return -EINVAL;
        if ((ranges[i].access ^ ranges[0].access) & GMEM_SHARED)
            return -EINVAL;
    }
    return count == 0 ? -EINVAL : 0;
}

int gmem_get(struct gmem *m, const struct gmem_range *ranges, unsigned count,
             struct gmem_lease *lease)
{
    int rc = ranges_check(ranges, count);

    lease->iov_count = lease->iov_readable = 0;
    lease->written_bytes = 0;
    lease->impl = NULL;
    if (rc == 0)
        rc = m->ops->get(m, ranges, count, lease);
    if (rc < 0) {
        m->stats.errors++;
        lease->iov_count = lease->iov_readable = 0;
        lease->impl = NULL;
        return rc;
    }
    assert(lease->impl != NULL);
    assert(lease->iov_count <= lease->iov_max && lease->iov_readable <= lease->iov_count);
    m->leases_out++;
    m->stats.leases++;
    m->stats.ranges += count;
    return 0;
}

int gmem_put(struct gmem *m, struct gmem_lease *lease)
{
    int rc;

    if (lease->impl == NULL)
        return 0;
    assert(m->leases_out > 0);
    rc = m->ops->put(m, lease);
    if (rc < 0)
        m->stats.errors++;
    m->leases_out--;
    lease->impl = NULL;
    lease->iov_count = lease->iov_readable = 0;
    lease->written_bytes = 0;
    return rc;
}

void gmem_forget(struct gmem *m)
{
    if (m->ops->forget != NULL)
        m->ops->forget(m);
}

void gmem_destroy(struct gmem *m)
{
    if (m == NULL)
        return;
    assert(m->leases_out == 0);
    m->ops->destroy(m);
}
