/* SPDX-License-Identifier: MIT */
/*
 * The address form of a grant: bit 63 set, the reference from bit 12 up, the offset into the
 * first page in bits 11-0. A buffer of several pages uses consecutive references. This is the
 * form that Linux's grant-dma-ops gives to its virtio drivers; pages are always 4 KiB, whatever
 * the host's page size.
 */
#ifndef RP_GMEM_GREF_H
#define RP_GMEM_GREF_H

#include "util/types.h"

#define GREF_ADDR_BIT (1ull << 63)

static inline bool gpa_is_grant(gpa_t a)
{
    return (a.raw & GREF_ADDR_BIT) != 0;
}

static inline gpa_t gpa_from_gref(gref_t first, uint32_t offset_bytes)
{
    return gpa_make(GREF_ADDR_BIT | ((uint64_t)first.raw << XEN_PAGE_SHIFT_BITS) | offset_bytes);
}

/*
 * Take a grant address of len_bytes apart. The number of pages follows from the offset *and* the
 * length. Returns 0 or -EINVAL: bit 63 not set, a reference that does not fit 32 bits, an empty
 * range, or a run that passes the last possible reference.
 */
int gref_decode(gpa_t addr, uint32_t len_bytes, gref_t *first, uint32_t *offset_bytes,
                uint32_t *pages);

#endif
