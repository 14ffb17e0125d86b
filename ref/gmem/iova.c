/* SPDX-License-Identifier: MIT */
#include "gmem/iova.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/mutant.h"

#define ROOM_FIRST 16u

void iova_fini(struct iova_table *t)
{
    free(t->list);
    *t = (struct iova_table){0};
}

/* The first mapping that does not end before `addr`; count: there is none. */
static unsigned first_from(const struct iova_table *t, uint64_t addr)
{
    unsigned low = 0, high = t->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (t->list[middle].end < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int make_room(struct iova_table *t)
{
    unsigned room = t->room ? t->room * 2 : ROOM_FIRST;
    void *list;

    if (t->count < t->room)
        return 0;
    if (t->count >= IOVA_MAPPINGS_MAX)
        return -ENOSPC;
    list = realloc(t->list, room * sizeof(*t->list));
    if (!list)
        return -ENOMEM;
    t->list = list;
    t->room = room;
    return 0;
}

int iova_map(struct iova_table *t, const struct iova_mapping *m)
{
    unsigned at = first_from(t, m->start);
    int rc;

    if (m->end < m->start || m->phys + (m->end - m->start) < m->phys)
        return -EINVAL;
    if (at < t->count && t->list[at].start <= m->end && !MUTANT(iommu_overlap_mapped))
        return -EEXIST;
    if (MUTANT(iommu_full_forgets) && t->count == IOVA_MAPPINGS_MAX) {
        memmove(&t->list[0], &t->list[1], --t->count * sizeof(*t->list));
        at--;
    }
    rc = make_room(t);
    if (rc)
        return rc;
    memmove(&t->list[at + 1], &t->list[at], (t->count - at) * sizeof(*t->list));
    t->list[at] = *m;
    t->count++;
    return 0;
}

int iova_unmap(struct iova_table *t, uint64_t start, uint64_t end)
{
    unsigned first = first_from(t, start), behind = first;

    if (end < start)
        return -EINVAL;
    while (behind < t->count && t->list[behind].start <= end)
        behind++;
    if (behind == first)
        return 0;
    if ((t->list[first].start < start || t->list[behind - 1].end > end) &&
        !MUTANT(iommu_unmap_cuts))
        return -ERANGE;
    memmove(&t->list[first], &t->list[behind], (t->count - behind) * sizeof(*t->list));
    t->count -= behind - first;
    return 0;
}

const struct iova_mapping *iova_find(const struct iova_table *t, uint64_t addr)
{
    unsigned at = first_from(t, addr);

    return at < t->count && t->list[at].start <= addr ? &t->list[at] : NULL;
}
