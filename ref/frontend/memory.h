/* SPDX-License-Identifier: MIT */
/*
 * Memory that the driver lets the backend reach.
 *
 * Two addressings share one interface. With *grants* an address is a run of consecutive grant
 * references in the form of gmem/gref.h, and nothing that was not granted can be reached. With
 * *foreign* it is guest-physical, and the backend may map all of the guest.
 *
 * Two lifetimes exist. A *buffer* (fe_dma_alloc) is granted read-write once and stays so: rings,
 * headers, pools such as fio's. A *mapping* (fe_dma_map) is made for one request from memory of
 * the driver (fe_pages_alloc), by one of two policies:
 *
 *   streaming  A reference lives as long as its request, and is taken back when it completes;
 *              memory that only goes towards the device is granted read-only. So Linux does.
 *              Taking it back fails with -EBUSY while the backend still maps a page; that is how a
 *              driver notices a backend that keeps what it should have released.
 *   pool       Pages are granted read-write when they are first mapped, and stay so, whatever is
 *              unmapped, freed and allocated again, until fe_pool_end. So drivers do that copy to
 *              memory which a backend may keep mapped. The pool ends behind a reset.
 *
 * Behind an IOMMU (fe_translation) a device is given neither: what was granted, or the frames, are
 * mapped into its address space, for that direction only, and it gets addresses of that. They are
 * unmapped before a grant is taken back.
 *
 * In all of them addresses are linear: the byte at offset n of a range is at addr + n.
 *
 * Thread-safe as far as the platform is.
 */
#ifndef RP_FRONTEND_MEMORY_H
#define RP_FRONTEND_MEMORY_H

#include "frontend/platform.h"
#include "util/types.h"

enum fe_addressing {
    FE_ADDRESSING_GRANTS,
    FE_ADDRESSING_FOREIGN,
};

/* How long references of mappings live; of no effect without grants. */
enum fe_buffers {
    FE_BUFFERS_STREAMING,
    FE_BUFFERS_POOL,
};

struct fe_pool_run;

/* What the device does with a mapping. */
enum fe_dma_dir {
    FE_DMA_TO_DEVICE,   /* device reads: a read-only grant */
    FE_DMA_FROM_DEVICE, /* device writes */
    FE_DMA_BOTH,
};

/* The address space of a device behind an IOMMU; frontend/iommu.h makes one. */
struct fe_translation {
    /* Whole pages in a row from `phys` on, for this direction. *iova is where the device finds
     * them. */
    int (*map)(struct fe_translation *x, gpa_t phys, unsigned pages, enum fe_dma_dir dir,
               gpa_t *iova);
    /* All of what one map made. 0: the device cannot reach it any more. -ENODEV: the IOMMU has
     * gone, and the device with it. */
    int (*unmap)(struct fe_translation *x, gpa_t iova, unsigned pages);
};

/* Caller storage; nothing to give back by itself but a pool (fe_pool_end). */
struct fe_memory {
    struct fe_platform *platform; /* borrowed */
    enum fe_addressing addressing;
    enum fe_buffers buffers; /* may be set behind fe_memory_init, before anything is allocated */
    uint16_t backend_domid;  /* whom pages are granted to */
    /* Borrowed; NULL: the device is behind no IOMMU. Set as `buffers` is. */
    struct fe_translation *translation;
    struct fe_pool_run *pool;
};

void fe_memory_init(struct fe_memory *m, struct fe_platform *p, enum fe_addressing addressing,
                    uint16_t backend_domid);

/* Pages of the driver that the backend cannot reach before they are mapped; physically
 * contiguous where the addressing needs it. */
int fe_pages_alloc(struct fe_memory *m, unsigned pages, void **va);
void fe_pages_free(struct fe_memory *m, void *va, unsigned pages);

/*
 * Take back what a pool has granted, and free what was given back to it. -EBUSY: the backend still
 * maps a page; runs with such pages stay, granted and allocated, the others are gone. A memory
 * without a pool: 0.
 */
int fe_pool_end(struct fe_memory *m);
/* Pages of a pool that the backend maps at this moment. */
int fe_pool_in_use(struct fe_memory *m, unsigned *in_use);

struct fe_mapping {
    gpa_t addr;
    gref_t first;
    unsigned pages; /* references held, 0: none (or a pool's) */
    gpa_t iova;
    unsigned iova_pages; /* translated, 0: none (or a pool's) */
};

/*
 * Let the backend reach [va, va + bytes), which lies in pages of fe_pages_alloc. -EINVAL: empty,
 * or (foreign) not physically contiguous; -ENOSPC: no run of references, or of addresses, is free;
 * or an error of the translation.
 */
int fe_dma_map(struct fe_memory *m, void *va, size_t bytes, enum fe_dma_dir dir,
               struct fe_mapping *map);
/* -EBUSY: the backend still maps a page; no reference was taken back and `map` stays valid. So it
 * does after an error of the translation. */
int fe_dma_unmap(struct fe_memory *m, struct fe_mapping *map);

/* A zeroed, page-aligned buffer that the backend reaches from now on. */
struct fe_dma {
    uint8_t *va;
    gpa_t addr;
    size_t bytes; /* as asked for */
    unsigned pages;
    struct fe_mapping map;
};

int fe_dma_alloc(struct fe_memory *m, size_t bytes, struct fe_dma *d);
/*
 * Take it back. -EBUSY: the backend still maps a page. The pages then stay granted and allocated
 * (giving memory away that another domain can still write would be worse than losing it) and `d`
 * stays valid for another try. An empty `d` is allowed.
 */
int fe_dma_free(struct fe_memory *m, struct fe_dma *d);

static inline gpa_t fe_dma_addr(const struct fe_dma *d, size_t offset_bytes)
{
    return gpa_add(d->addr, offset_bytes);
}

/* Pages that the backend maps at this moment, of n references from `first`. */
int fe_grants_in_use(struct fe_memory *m, gref_t first, unsigned n, unsigned *in_use);

#endif
