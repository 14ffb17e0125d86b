/* SPDX-License-Identifier: MIT */
/*
 * Private to ref/xen: mapping for the time of a request, for any mix of grants and frames.
 *
 * A lease's pages are sorted into groups by kind of address and kind of access; each group is one
 * linear mapping made by one call, in which the pages of a range are neighbours, so that each
 * range becomes exactly one iovec.
 */
#ifndef RP_XEN_GMEM_PERMAP_H
#define RP_XEN_GMEM_PERMAP_H

#include "xen/gmem_strategy.h"
#include "xen/libxen.h"

/*
 * No machine has a frame beyond: page tables of x86 and Arm have 40 bits for a frame's number. The
 * kernel of a PV dom0 does not check that, drops what is above, and maps another frame.
 */
#define FRAMES_MAX (UINT64_C(1) << 40)

enum permap_kind { PERMAP_GRANT, PERMAP_FRAME, PERMAP_KINDS };

/* The pages of one group, gathered before the call: one of the two arrays, by its kind. */
struct permap_pages {
    uint32_t count, max;
    uint32_t *refs;
    xen_pfn_t *gfns;
};

/* How pages of one kind are taken apart, mapped and unmapped. */
struct permap_ops {
    /* Number of pages and the offset into the first; appends them. 0 or -EINVAL, -ENOMEM. */
    int (*gather)(struct permap_pages *pages, const struct gmem_range *range,
                  uint32_t *offset_bytes);
    /* 0 or -EFAULT, -ENOMEM. An error that leaves *base set has made a mapping with holes, which
     * the caller unmaps. */
    int (*map)(const struct gmem_strategy_args *args, struct permap_pages *pages, bool writable,
               void **base);
    void (*unmap)(const struct gmem_strategy_args *args, void *base, uint32_t pages);
};

extern const struct permap_ops permap_grant_ops;
extern const struct permap_ops permap_frame_ops;

/* Room for `more` further pages; -EFAULT beyond GMEM_LEASE_PAGES_MAX, -ENOMEM. */
int permap_pages_reserve(struct permap_pages *pages, uint32_t more, enum permap_kind kind);

/*
 * `kinds`: bits 1 << enum permap_kind, the kinds of address that are served. `name` is static.
 * `stats`: where to count, of whoever maps this way what it cannot serve otherwise, by calling the
 * ops itself; NULL: its own.
 */
int permap_create(const char *name, const struct gmem_strategy_args *args, unsigned kinds,
                  struct gmem_stats *stats, struct gmem **out);

#endif
