/* SPDX-License-Identifier: MIT */
#include "frontend/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gmem/gref.h"
#include "util/mutant.h"

void fe_memory_init(struct fe_memory *m, struct fe_platform *p, enum fe_addressing addressing,
                    uint16_t backend_domid)
{
    *m =
        (struct fe_memory){.platform = p, .addressing = addressing, .backend_domid = backend_domid};
}

/* ---- pages ---- */

static int pages_alloc(struct fe_memory *m, unsigned pages, void **va)
{
    /* One descriptor may span pages: consecutive references do that for grants; guest-physical
     * addresses need the frames themselves in a row. */
    unsigned flags = m->addressing == FE_ADDRESSING_FOREIGN ? FE_PAGES_CONTIGUOUS : 0;

    if (pages == 0)
        return -EINVAL;
    return m->platform->ops->pages_alloc(m->platform, pages, flags, va);
}

/* ---- a pool ---- */

/* Pages that were allocated together, and are granted together. */
struct fe_pool_run {
    struct fe_pool_run *next;
    uint8_t *va;
    unsigned pages;
    bool allocated; /* by the user of the pool */
    bool mapped;
    struct fe_mapping map;
};

static bool has_pool(const struct fe_memory *m)
{
    return m->addressing == FE_ADDRESSING_GRANTS && m->buffers == FE_BUFFERS_POOL;
}

static struct fe_pool_run *pool_find(const struct fe_memory *m, const uint8_t *va)
{
    struct fe_pool_run *r = m->pool;

    while (r && (va < r->va || va >= r->va + (size_t)r->pages * XEN_PAGE_BYTES))
        r = r->next;
    return r;
}

static int pool_alloc(struct fe_memory *m, unsigned pages, void **va)
{
    struct fe_pool_run *r = m->pool;
    int rc;

    while (r && (r->allocated || r->pages != pages))
        r = r->next;
    if (!r) {
        r = calloc(1, sizeof(*r));
        if (!r)
            return -ENOMEM;
        rc = pages_alloc(m, pages, va);
        if (rc) {
            free(r);
            return rc;
        }
        *r = (struct fe_pool_run){.next = m->pool, .va = *va, .pages = pages};
        m->pool = r;
    }
    memset(r->va, 0, (size_t)pages * XEN_PAGE_BYTES);
    r->allocated = true;
    *va = r->va;
    return 0;
}

static int map_now(struct fe_memory *m, void *va, size_t bytes, enum fe_dma_dir dir,
                   struct fe_mapping *map);
static int unmap_now(struct fe_memory *m, struct fe_mapping *map);

static int pool_map(struct fe_memory *m, uint8_t *va, size_t bytes, struct fe_mapping *map)
{
    struct fe_pool_run *r = pool_find(m, va);
    int rc;

    if (!r || (size_t)(r->va + (size_t)r->pages * XEN_PAGE_BYTES - va) < bytes)
        return -EINVAL;
    if (!r->mapped) {
        rc = map_now(m, r->va, (size_t)r->pages * XEN_PAGE_BYTES, FE_DMA_BOTH, &r->map);
        if (rc)
            return rc;
        r->mapped = true;
    }
    map->addr = gpa_add(r->map.addr, (uint64_t)(va - r->va));
    return 0;
}

int fe_pool_end(struct fe_memory *m)
{
    int busy = 0;

    for (struct fe_pool_run **link = &m->pool, *r; (r = *link);) {
        int rc = r->mapped ? unmap_now(m, &r->map) : 0;

        if (rc)
            busy = rc;
        else
            r->mapped = false;
        if (rc || r->allocated) {
            link = &r->next;
            continue;
        }
        *link = r->next;
        m->platform->ops->pages_free(m->platform, r->va, r->pages);
        free(r);
    }
    return busy;
}

int fe_pool_in_use(struct fe_memory *m, unsigned *in_use)
{
    unsigned n;
    int rc = 0;

    *in_use = 0;
    for (const struct fe_pool_run *r = m->pool; r && !rc; r = r->next) {
        if (!r->mapped)
            continue;
        rc = fe_grants_in_use(m, r->map.first, r->map.pages, &n);
        *in_use += n;
    }
    return rc;
}

int fe_pages_alloc(struct fe_memory *m, unsigned pages, void **va)
{
    return has_pool(m) ? pool_alloc(m, pages, va) : pages_alloc(m, pages, va);
}

void fe_pages_free(struct fe_memory *m, void *va, unsigned pages)
{
    struct fe_pool_run *r = va ? pool_find(m, va) : NULL;

    if (r)
        r->allocated = false;
    else if (va)
        m->platform->ops->pages_free(m->platform, va, pages);
}

/* ---- mappings ---- */

/* *phys: the first of pages whose frames are in a row. */
static int find_frames(struct fe_memory *m, uint8_t *page, unsigned pages, gpa_t *phys)
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
    *phys = gpa_make(first << XEN_PAGE_SHIFT_BITS);
    return 0;
}

static int map_now(struct fe_memory *m, void *va, size_t bytes, enum fe_dma_dir dir,
                   struct fe_mapping *map)
{
    uint32_t offset = (uint32_t)((uintptr_t)va & (XEN_PAGE_BYTES - 1));
    uint8_t *page = (uint8_t *)va - offset;
    /* By the offset and the length together: a short buffer may cross a page too. */
    unsigned pages = (unsigned)((offset + bytes + XEN_PAGE_BYTES - 1) >> XEN_PAGE_SHIFT_BITS);
    gpa_t addr;
    int rc;

    memset(map, 0, sizeof(*map));
    if (bytes == 0)
        return -EINVAL;
    if (m->addressing == FE_ADDRESSING_FOREIGN) {
        rc = find_frames(m, page, pages, &addr);
        if (rc)
            return rc;
    } else {
        rc = m->platform->ops->grant(m->platform, page, pages, m->backend_domid,
                                     dir == FE_DMA_TO_DEVICE ? FE_GRANT_READONLY : 0, &map->first);
        if (rc && MUTANT(driver_shortage_loses_references)) {
            gref_t lost;

            (void)m->platform->ops->grant(m->platform, page, 1, m->backend_domid, 0, &lost);
        }
        if (rc && MUTANT(driver_takes_shortage_for_success)) {
            map->addr = gpa_from_gref(gref_make(0), offset);
            return 0;
        }
        if (rc)
            return rc;
        map->pages = pages;
        addr = gpa_from_gref(map->first, 0);
    }
    if (m->translation) {
        rc = m->translation->map(m->translation, addr, pages, dir, &map->iova);
        if (rc) {
            (void)unmap_now(m, map);
            return rc;
        }
        map->iova_pages = pages;
        addr = map->iova;
    }
    map->addr = gpa_add(addr, offset);
    return 0;
}

static int unmap_now(struct fe_memory *m, struct fe_mapping *map)
{
    int rc = 0;

    if (map->iova_pages)
        rc = m->translation->unmap(m->translation, map->iova, map->iova_pages);
    if (rc && rc != -ENODEV)
        return rc;
    map->iova_pages = 0;
    rc = map->pages ? m->platform->ops->revoke(m->platform, map->first, map->pages) : 0;
    if (rc == 0)
        memset(map, 0, sizeof(*map));
    return rc;
}

int fe_dma_map(struct fe_memory *m, void *va, size_t bytes, enum fe_dma_dir dir,
               struct fe_mapping *map)
{
    if (!has_pool(m))
        return map_now(m, va, bytes, dir, map);
    memset(map, 0, sizeof(*map));
    return bytes ? pool_map(m, va, bytes, map) : -EINVAL;
}

int fe_dma_unmap(struct fe_memory *m, struct fe_mapping *map)
{
    return unmap_now(m, map);
}

int fe_dma_alloc(struct fe_memory *m, size_t bytes, struct fe_dma *d)
{
    void *va;
    int rc;

    memset(d, 0, sizeof(*d));
    d->pages = (unsigned)((bytes + XEN_PAGE_BYTES - 1) >> XEN_PAGE_SHIFT_BITS);
    rc = pages_alloc(m, d->pages, &va);
    if (rc) {
        memset(d, 0, sizeof(*d));
        return rc;
    }
    d->va = va;
    d->bytes = bytes;
    rc = map_now(m, va, (size_t)d->pages * XEN_PAGE_BYTES, FE_DMA_BOTH, &d->map);
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
