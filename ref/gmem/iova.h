/* SPDX-License-Identifier: MIT */
/*
 * The address space of a domain of an IOMMU: which I/O virtual addresses lead where.
 *
 * Ranges have their last byte in them, so that one may end at 2^64 - 1. A mapping is made whole and
 * goes whole (VIRTIO 5.16.6.6): nothing here is ever split or merged.
 */
#ifndef RP_GMEM_IOVA_H
#define RP_GMEM_IOVA_H

#include <stdint.h>

/* A driver cannot have the host remember more of one domain. */
#define IOVA_MAPPINGS_MAX 16384u

struct iova_mapping {
    uint64_t start, end;
    uint64_t phys;   /* of `start` */
    uint32_t access; /* enum gmem_access bits; 0: nobody may do anything there */
};

/* Caller storage, zeroed at first. */
struct iova_table {
    struct iova_mapping *list; /* by address */
    unsigned count, room;
};

void iova_fini(struct iova_table *t);

/* -EINVAL: a range that ends before it begins, or leads past the end of the space behind it;
 * -EEXIST: something of it is mapped; -ENOSPC: there are IOVA_MAPPINGS_MAX; -ENOMEM. */
int iova_map(struct iova_table *t, const struct iova_mapping *m);

/* Remove the mappings in [start, end], of which there may be none. -EINVAL: the range ends before
 * it begins; -ERANGE: it would cut a mapping, and then nothing was removed. */
int iova_unmap(struct iova_table *t, uint64_t start, uint64_t end);

/* NULL: nothing is mapped there. Valid until the table changes. */
const struct iova_mapping *iova_find(const struct iova_table *t, uint64_t addr);

#endif
