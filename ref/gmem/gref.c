/* SPDX-License-Identifier: MIT */
#include "gmem/gref.h"

#include <errno.h>
#include <unistd.h>

#include "util/bits.h"
#include "util/mutant.h"

int gref_decode(gpa_t addr, uint32_t len_bytes, gref_t *first, uint32_t *offset_bytes,
                uint32_t *pages)
{
    uint64_t ref = (addr.raw & ~GREF_ADDR_BIT) >> XEN_PAGE_SHIFT_BITS;
    uint32_t offset = (uint32_t)(addr.raw & (XEN_PAGE_BYTES - 1));
    uint64_t count = xen_pages_spanned(offset, len_bytes);

    if (MUTANT(gref_by_host_pages)) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

        offset = (uint32_t)(addr.raw & (page - 1));
        count = (offset + (uint64_t)len_bytes + page - 1) / page;
        offset %= XEN_PAGE_BYTES;
    }
    if (MUTANT(gref_high_bits_ignored))
        ref = (uint32_t)ref;
    if (!gpa_is_grant(addr) || len_bytes == 0 || ref > UINT32_MAX)
        return -EINVAL;
    if (count - 1 > UINT32_MAX - ref)
        return -EINVAL;
    *first = gref_make((uint32_t)ref);
    *offset_bytes = offset;
    *pages = (uint32_t)count;
    return 0;
}
