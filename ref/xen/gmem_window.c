/* SPDX-License-Identifier: MIT */
#include "xen/gmem_window.h"

#include <stdlib.h>
#include <sys/mman.h>

static bool is_hole(const struct window *w, uint64_t page)
{
    return w->holes[page / 64] >> (page % 64) & 1;
}

int window_map(const struct gmem_strategy_args *args, uint64_t first, uint32_t pages,
               struct gmem_stats *stats, struct window **out)
{
    struct window *w = calloc(1, sizeof(*w) + ((size_t)pages + 63) / 64 * sizeof(w->holes[0]));
    xen_pfn_t *gfns = calloc(pages, sizeof(*gfns));
    int *errors = calloc(pages, sizeof(*errors));
    int rc = -ENOMEM;

    if (!w || !gfns || !errors)
        goto out;
    for (uint32_t i = 0; i < pages; i++)
        gfns[i] = first + i;
    stats->map_calls++;
    w->base = xenforeignmemory_map(args->xen->foreign, args->domid, PROT_READ | PROT_WRITE, pages,
                                   gfns, errors);
    if (!w->base) {
        rc = xen_map_error(errno);
        goto out;
    }
    w->first = first;
    w->pages = pages;
    for (uint32_t i = 0; i < pages; i++) {
        if (errors[i])
            w->holes[i / 64] |= UINT64_C(1) << (i % 64);
        else
            w->mapped++;
    }
    stats->pages_mapped += w->mapped;
    rc = w->mapped ? 0 : -EFAULT;
out:
    free(gfns);
    free(errors);
    if (rc && w && w->base)
        window_unmap(args, w, stats);
    else if (rc)
        free(w);
    else
        *out = w;
    return rc;
}

void window_unmap(const struct gmem_strategy_args *args, struct window *w, struct gmem_stats *stats)
{
    (void)xenforeignmemory_unmap(args->xen->foreign, w->base, w->pages);
    stats->unmap_calls++;
    stats->pages_unmapped += w->mapped;
    free(w);
}

bool window_has(const struct window *w, uint64_t first, uint64_t last)
{
    if (first < w->first || last - w->first >= w->pages || last < first)
        return false;
    for (uint64_t page = first; page <= last; page++)
        if (is_hole(w, page - w->first))
            return false;
    return true;
}

int windows_map_banks(const struct gmem_strategy_args *args, struct gmem_stats *stats,
                      struct window **out)
{
    struct window *list = NULL, *w = NULL;
    int rc = args->bank_count ? 0 : -EINVAL;

    for (unsigned i = 0; i < args->bank_count && !rc; i++) {
        const struct gmem_bank *b = &args->banks[i];
        uint64_t pages = b->bytes >> XEN_PAGE_SHIFT_BITS;

        if ((b->base | b->bytes) % XEN_PAGE_BYTES || pages == 0 || pages > UINT32_MAX)
            rc = -EINVAL;
        if (!rc)
            rc = window_map(args, b->base >> XEN_PAGE_SHIFT_BITS, (uint32_t)pages, stats, &w);
        if (!rc) {
            w->next = list;
            list = w;
        }
    }
    if (rc)
        windows_unmap(args, list, stats);
    else
        *out = list;
    return rc;
}

void windows_unmap(const struct gmem_strategy_args *args, struct window *list,
                   struct gmem_stats *stats)
{
    while (list) {
        struct window *w = list;

        list = w->next;
        window_unmap(args, w, stats);
    }
}
