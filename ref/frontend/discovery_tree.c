/* SPDX-License-Identifier: MIT */
/* What a device tree says of whom a device takes grants for: "xen,grant-dma". */
#include <errno.h>

#include "frontend/discovery.h"
#include "frontend/tree.h"
#include "spec/discovery.h"
#include "util/mutant.h"

struct question {
    sbdf_t sbdf;
    uint64_t base; /* of a virtio-mmio device */
    uint32_t phandle, domid;
    bool found;
};

/* iommu-map: (first RID, phandle, first id of the IOMMU's, how many) (pci-iommu.txt). */
static int seen_bridge(void *ctx, const struct fe_tree_node *n)
{
    struct question *q = ctx;
    uint32_t segment = n->domain.bytes == 4 ? fe_tree_cell(n->domain, 0) : 0;
    uint32_t rid = q->sbdf.raw & 0xffff;

    if (!fe_tree_lists(n->compatible, GRANT_DMA_BRIDGE) || segment != sbdf_segment(q->sbdf))
        return 0;
    if (n->mask.bytes == 4)
        rid &= fe_tree_cell(n->mask, 0);
    if (n->iommu_map.bytes % 16)
        return -EPROTO;
    for (uint32_t i = 0; i < n->iommu_map.bytes; i += 16) {
        struct fe_tree_span e = {n->iommu_map.at + i, 16};
        uint32_t first = fe_tree_cell(e, 0), count = fe_tree_cell(e, 3);
        if (!MUTANT(discovery_tree_for_any_device) && (rid < first || rid - first >= count))
            continue;
        q->phandle = fe_tree_cell(e, 1);
        q->domid = fe_tree_cell(e, 2) + (rid - first);
        q->found = true;
        return 1;
    }
    return 0;
}

/* iommus: (phandle, the one cell of xen,grant-dma). Addresses have two cells, as libxl's. */
static int seen_window(void *ctx, const struct fe_tree_node *n)
{
    struct question *q = ctx;

    if (!fe_tree_lists(n->compatible, GRANT_DMA_WINDOW) || n->reg.bytes < 8)
        return 0;
    if (fe_tree_cells(n->reg, 0) != q->base && !MUTANT(discovery_tree_for_any_window))
        return 0;
    if (n->iommus.bytes % 8)
        return -EPROTO;
    q->found = n->iommus.bytes != 0;
    if (q->found) {
        q->phandle = fe_tree_cell(n->iommus, 0);
        q->domid = fe_tree_cell(n->iommus, 1);
    }
    return 1;
}

/* Another IOMMU is no hint at grants. */
static int seen_iommu(void *ctx, const struct fe_tree_node *n)
{
    const struct question *q = ctx;

    if (n->phandle.bytes != 4 || fe_tree_cell(n->phandle, 0) != q->phandle)
        return 0;
    return fe_tree_lists(n->compatible, GRANT_DMA_COMPATIBLE) ? 1 : -ENOENT;
}

static int answer(const uint8_t *tree, size_t bytes,
                  int (*seen)(void *ctx, const struct fe_tree_node *n), struct question *q,
                  uint16_t *domid)
{
    int rc = fe_tree_walk(tree, bytes, seen, q);

    if (rc < 0)
        return rc;
    if (!q->found)
        return -ENOENT;
    rc = fe_tree_walk(tree, bytes, seen_iommu, q);
    if (rc <= 0)
        return rc ? rc : -EPROTO; /* a phandle of nothing */
    if (q->domid > UINT16_MAX)
        return -EPROTO;
    *domid = (uint16_t)q->domid;
    return 0;
}

int fe_discovery_tree(const uint8_t *tree, size_t bytes, sbdf_t sbdf, uint16_t *domid)
{
    struct question q = {.sbdf = sbdf};

    return answer(tree, bytes, seen_bridge, &q, domid);
}

int fe_discovery_tree_window(const uint8_t *tree, size_t bytes, uint64_t base, uint16_t *domid)
{
    struct question q = {.base = base};

    return answer(tree, bytes, seen_window, &q, domid);
}

static int seen_root(void *ctx, const struct fe_tree_node *n)
{
    (void)ctx;
    return fe_tree_lists(n->compatible, MACHINE_COMPATIBLE) ? 1 : -ENOENT;
}

int fe_discovery_tree_machine(const uint8_t *tree, size_t bytes)
{
    int rc = fe_tree_walk(tree, bytes, seen_root, NULL); /* the root is the first node */

    return rc > 0 ? 0 : rc ? rc : -ENOENT;
}
