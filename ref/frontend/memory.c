/* SPDX-License-Identifier: MIT */
#include "frontend/memory.h"

#include <errno.h>
#include <string.h>

#include "gmem/gref.h"

void fe_memory_init(struct fe_memory *m, struct fe_platform *p, enum fe_addressing addressing,
                    uint16_t backend_domid)
{
    m->platform = p;
    m->addressing = addressing;
    m->backend_domid = backend_domid;
}

int fe_pages_alloc(struct fe_memory *m, unsigned pages, void **va)
{
    /* One descriptor may span pages: consecutive references do that for grants; guest-physical
     * addresses need the frames themselves in a row. */
    unsigned flags = m->addressing == FE_ADDRESSING_FOREIGN ? FE_PAGES_CONTIGUOUS : 0;

    if (pages == 0)
        return -EINVAL;
    return m->platform->ops->pages_alloc(m->platform, pages, flags, va);
}

void fe_pages_free(struct fe_memory *m, void *va, unsigned pages)
{
    if (va)
        m->platform->ops->pages_free(m->platform, va, pages);
}

static int memory_map_foreign(struct fe_memory *m, uint8_t *page, unsigned pages,
                              uint32_t offset_bytes, struct fe_mapping *map)
{
    uint64_t first, gfn;
    int rc = m->platform->ops->gfn(m->platform, page, &first);

    if (rc)
        return rc;
    for (unsigned i = 1; i < pages; i++) {
        rc = m->platform->ops->gfn(m->platform, page + (size_t)i * XEN_PAGE_BYTES, &gfn);
        if (rc)
            return rc;
        if (gfn != first + i)
            return -EINVAL;
    }
    map->addr = gpa_make((first << XEN_PAGE_SHIFT_BITS) + offset_bytes);
    map->pages = 0;
    return 0;
}

int fe_dma_map(struct fe_memory *m, void *va, size_t bytes, enum fe_dma_dir dir,
               struct fe_mapping *map)
{
    uint32_t offset = (uint32_t)((uintptr_t)va & (XEN_PAGE_BYTES - 1));
    uint8_t *page = (uint8_t *)va - offset;
    /* By the offset and the length together: a short buffer may cross a page too. */
    unsigned pages = (unsigned)((offset + bytes + XEN_PAGE_BYTES - 1) >> XEN_PAGE_SHIFT_BITS);
    int rc;

    memset(map, 0, sizeof(*map));
    if (bytes == 0)
        return -EINVAL;
    if (m->addressing == FE_ADDRESSING_FOREIGN)
        return memory_map_foreign(m, page, pages, offset, map);

    rc = m->platform->ops->grant(m->platform, page, pages, m->backend_domid,
                                 dir == FE_DMA_TO_DEVICE ? FE_GRANT_READONLY : 0, &map->first);
    if (rc)
        return rc;
    map->addr = gpa_from_gref(map->first, offset);
    map->pages = pages;
    return 0;
}

int fe_dma_unmap(struct fe_memory *m, struct fe_mapping *map)
{
    int rc = 0;

    if (map->pages)
        rc = m->platform->ops->revoke(m->platform, map->first, map->pages);
    if (rc == 0)
        memset(map, 0, sizeof(*map));
    return rc;
}

int fe_dma_alloc(struct fe_memory *m, size_t bytes, struct fe_dma *d)
{
    void *va;
    int rc;

    memset(d, 0, sizeof(*d));
    d->pages = (unsigned)((bytes + XEN_PAGE_BYTES - 1) >> XEN_PAGE_SHIFT_BITS);
    rc = fe_pages_alloc(m, d->pages, &va);
    if (rc) {
        memset(d, 0, sizeof(*d));
        return rc;
    }
    d->va = va;
    d->bytes = bytes;
    rc = fe_dma_map(m, va, (size_t)d->pages * XEN_PAGE_BYTES, FE_DMA_BOTH, &d->map);
    if (rc) {
        fe_pages_free(m, va, d->pages);
        memset(d, 0, sizeof(*d));
        return rc;
    }
    d->addr = d->map.addr;
    return 0;
}

int fe_dma_free(struct fe_memory *m, struct fe_dma *d)
{
    int rc;

    if (!d->va)
        return 0;
    rc = fe_dma_unmap(m, &d->map);
    if (rc)
        return rc;
    fe_pages_free(m, d->va, d->pages);
    memset(d, 0, sizeof(*d));
    return 0;
}

int fe_grants_in_use(struct fe_memory *m, gref_t first, unsigned n, unsigned *in_use)
{
    unsigned bits;
    int rc;

    *in_use = 0;
    for (unsigned i = 0; i < n; i++) {
        rc = m->platform->ops->grant_in_use(m->platform, gref_make(first.raw + i), &bits);
        if (rc)
            return rc;
        if (bits)
            ++*in_use;
    }
    return 0;
}
