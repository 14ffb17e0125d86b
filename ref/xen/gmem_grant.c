/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <sys/mman.h>

#include "gmem/gref.h"
#include "util/mutant.h"
#include "xen/gmem_permap.h"
#include "xen/gmem_ways.h"

/* For a mutant: implementations that size a region by guest memory lose higher references. */
#define REF_LIMIT_OF_SMALL_REGION 1024u

static int grant_gather(struct permap_pages *pages, const struct gmem_range *range,
                        uint32_t *offset_bytes)
{
    gref_t first;
    uint32_t n;
    int rc;

    rc = gref_decode(range->addr, range->len_bytes, &first, offset_bytes, &n);
    if (rc)
        return rc;
    if (MUTANT(grant_page_count_ignores_offset))
        n = (uint32_t)(((uint64_t)range->len_bytes + XEN_PAGE_BYTES - 1) / XEN_PAGE_BYTES);
    if (MUTANT(grant_page_end_counts_one_more) &&
        (*offset_bytes + range->len_bytes) % XEN_PAGE_BYTES == 0)
        n++;
    if (MUTANT(grant_high_refs_refused) && first.raw >= REF_LIMIT_OF_SMALL_REGION)
        return -EINVAL;
    rc = permap_pages_reserve(pages, n, PERMAP_GRANT);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t ref = first.raw + i;

        if (MUTANT(grant_refs_by_host_page))
            ref = first.raw + i / 4;
        pages->refs[pages->count++] = ref;
    }
    return 0;
}

/* For mutants: frames that an x86 guest has, and an Arm guest, whoever granted what. */
#define FRAMES_LOOKED_AT 2u

static bool look_at_frames(const struct gmem_strategy_args *args, void **base)
{
    static const xen_pfn_t gfns[FRAMES_LOOKED_AT] = {0x100, 0x40100};
    int errors[FRAMES_LOOKED_AT] = {0};

    *base = xenforeignmemory_map(args->xen->foreign, args->domid, PROT_READ, FRAMES_LOOKED_AT, gfns,
                                 errors);
    return *base && !(errors[0] && errors[1]);
}

static int grant_map(const struct gmem_strategy_args *args, struct permap_pages *pages,
                     bool writable, void **base)
{
    int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *p;

    if (MUTANT(grant_map_always_writable))
        prot = PROT_READ | PROT_WRITE;
    if (MUTANT(grant_maps_frames_too))
        (void)look_at_frames(args, &p);
    if (MUTANT(grant_maps_frames_briefly) && look_at_frames(args, &p))
        (void)xenforeignmemory_unmap(args->xen->foreign, p, FRAMES_LOOKED_AT);
    if (MUTANT(grant_needs_frames)) {
        bool seen = look_at_frames(args, &p);

        if (p)
            (void)xenforeignmemory_unmap(args->xen->foreign, p, FRAMES_LOOKED_AT);
        if (!seen)
            return -EFAULT;
    }
    p = xengnttab_map_domain_grant_refs(args->xen->gnttab, pages->count, args->domid, pages->refs,
                                        prot);
    if (!p) {
        int rc = xen_map_error(errno);

        if (MUTANT(map_shortage_ends_backend))
            abort();
        if (MUTANT(grant_rest_of_run_mapped) && pages->count > 1)
            (void)xengnttab_map_grant_ref(args->xen->gnttab, args->domid, pages->refs[0], prot);
        return rc;
    }
    *base = p;
    return 0;
}

static void grant_unmap(const struct gmem_strategy_args *args, void *base, uint32_t pages)
{
    (void)xengnttab_unmap(args->xen->gnttab, base, pages);
}

const struct permap_ops permap_grant_ops = {
    .gather = grant_gather,
    .map = grant_map,
    .unmap = grant_unmap,
};

int gmem_grant_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    return permap_create("grant-map", args, 1u << PERMAP_GRANT, NULL, out);
}
