/* SPDX-License-Identifier: MIT */
/*
 * Guest memory that another process shares by descriptors: what is mapped is what it last said
 * (vhost-user, without Xen). Before that no address is served.
 *
 * Whoever touches what has gone of a file is killed (SIGBUS), and who shares one can make it
 * shorter: only files that are sealed against it are taken (memfd_create(2), F_SEAL_SHRINK).
 */
#ifndef RP_GMEM_REGIONS_H
#define RP_GMEM_REGIONS_H

#include "gmem/gmem.h"

#define GMEM_REGIONS_MAX 8u

struct gmem_shared_region {
    uint64_t base, bytes; /* guest addresses */
    int fd;               /* borrowed, and not needed afterwards */
    uint64_t offset;      /* in the file */
};

/* 0 or -ENOMEM. */
int gmem_regions_create(struct gmem **out);

/*
 * These regions, and no others from now on. -EBUSY while there are leases; -EPERM: a file that
 * could become shorter; -EINVAL: a region that is empty, wraps around, overlaps another, or is not
 * whole within a file; errors of mmap(2). What was there stays on an error.
 */
int gmem_regions_set(struct gmem *m, const struct gmem_shared_region *regions, unsigned count);

#endif
