/* SPDX-License-Identifier: MIT */
/*
 * Guest memory that is mapped already: a few regions of addresses, each at a place in this
 * process. Resolving an address is arithmetic; nothing is asked of Xen and nothing is kept.
 */
#ifndef RP_GMEM_FLAT_H
#define RP_GMEM_FLAT_H

#include "gmem/gmem.h"

struct gmem_flat_region {
    uint64_t base; /* first guest address; may have bit 63 set, addresses are only compared */
    uint64_t bytes;
    void *va;       /* borrowed; outlives the gmem */
    bool read_only; /* asking for GMEM_WRITE gives -EFAULT, as for a read-only grant */
};

/*
 * `regions` is copied and may be in any order. A range that crosses from one region into an
 * adjoining one becomes two iovec entries. Returns 0, -ENOMEM, or -EINVAL when a region is
 * empty, wraps around or overlaps another.
 */
int gmem_flat_create(const struct gmem_flat_region *regions, unsigned count, struct gmem **out);

#endif
