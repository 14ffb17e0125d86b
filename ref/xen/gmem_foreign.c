/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <sys/mman.h>

#include "gmem/gref.h"
#include "util/mutant.h"
#include "xen/gmem_permap.h"
#include "xen/gmem_ways.h"

/* Per-page errors of small mappings stay on the stack. */
#define ERRORS_ON_STACK 64u

static int frame_gather(struct permap_pages *pages, const struct gmem_range *range,
                        uint32_t *offset_bytes)
{
    uint64_t addr = range->addr.raw;
    uint64_t first, last;
    uint32_t n;
    int rc;

    if (MUTANT(grant_address_taken_for_frame) && gpa_is_grant(range->addr))
        addr = (addr & ~GREF_ADDR_BIT) | 0x40000000; /* where an Arm guest's memory is */
    else if (range->len_bytes == 0 || gpa_is_grant(range->addr))
        return -EINVAL;
    /* Bit 63 is clear and the length has 32 bits: the sum cannot wrap, but it may reach the
     * addresses that mean grants. */
    if (addr + range->len_bytes - 1 >= GREF_ADDR_BIT)
        return -EINVAL;
    first = addr >> XEN_PAGE_SHIFT_BITS;
    last = (addr + range->len_bytes - 1) >> XEN_PAGE_SHIFT_BITS;
    if (last >= FRAMES_MAX)
        return -EFAULT;
    n = (uint32_t)(last - first + 1);
    rc = permap_pages_reserve(pages, n, PERMAP_FRAME);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        pages->gfns[pages->count++] = first + i;
    if (MUTANT(foreign_wrong_last_page) && n > 1)
        pages->gfns[pages->count - 1] = first;
    *offset_bytes = addr & (XEN_PAGE_BYTES - 1);
    return 0;
}

static int frame_map(const struct gmem_strategy_args *args, struct permap_pages *pages,
                     bool writable, void **base)
{
    int stack[ERRORS_ON_STACK];
    int *errors = stack;
    int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *p = NULL;
    int rc = 0;

    if (pages->count > ERRORS_ON_STACK) {
        errors = calloc(pages->count, sizeof(*errors));
        if (!errors)
            return -ENOMEM;
    }
    p = xenforeignmemory_map(args->xen->foreign, args->domid, prot, pages->count, pages->gfns,
                             errors);
    if (!p) {
        rc = xen_map_error(errno);
        goto out;
    }
    /* A mapping that exists may have holes: touching one is a SIGBUS. */
    for (uint32_t i = 0; i < pages->count; i++) {
        if (errors[i]) {
            rc = xen_map_error(abs(errors[i]));
            break;
        }
    }
    if (MUTANT(foreign_page_errors_ignored))
        rc = 0;
    if (!(rc && MUTANT(foreign_leak_on_error)))
        *base = p;
out:
    if (errors != stack)
        free(errors);
    return rc;
}

static void frame_unmap(const struct gmem_strategy_args *args, void *base, uint32_t pages)
{
    if (MUTANT(foreign_leak))
        return;
    (void)xenforeignmemory_unmap(args->xen->foreign, base, pages);
}

const struct permap_ops permap_frame_ops = {
    .gather = frame_gather,
    .map = frame_map,
    .unmap = frame_unmap,
};

int gmem_foreign_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    return permap_create("foreign-map", args, 1u << PERMAP_FRAME, NULL, out);
}
