/* SPDX-License-Identifier: MIT */
#include "frontend/bridge.h"

#include <errno.h>

#include "frontend/tree.h"
#include "spec/discovery.h"
#include "util/bits.h"
#include "util/host_bridge.h"

#define REG_BYTES    16u /* two cells each of address and size */
#define RANGE_BYTES  28u /* three cells of PCI, two of the address here, two of size */
#define SPACE_SHIFT  24  /* of the first cell: which space (IEEE 1275 PCI binding 2.2.1.1) */
#define SPACE_MASK   3u
#define SPACE_MEM_32 2u

struct found {
    struct fe_host_bridge *out;
    bool found;
};

/* A window of memory space in which a BAR holds the address that the CPU uses. */
static int take_window(struct fe_tree_span ranges, struct fe_host_bridge *b)
{
    if (!ranges.at || ranges.bytes % RANGE_BYTES)
        return -EPROTO;
    for (uint32_t i = 0; i < ranges.bytes; i += RANGE_BYTES) {
        struct fe_tree_span r = {ranges.at + i, RANGE_BYTES};

        if ((fe_tree_cell(r, 0) >> SPACE_SHIFT & SPACE_MASK) < SPACE_MEM_32 ||
            fe_tree_cells(r, 1) != fe_tree_cells(r, 3))
            continue;
        b->mem_base = fe_tree_cells(r, 3);
        b->mem_bytes = fe_tree_cells(r, 5);
        return 0;
    }
    return -ENOTSUP;
}

static bool sound(uint64_t base, uint64_t bytes, uint64_t unit)
{
    return bytes && is_aligned(base, unit) && is_aligned(bytes, unit) && base + bytes > base;
}

static int seen(void *ctx, const struct fe_tree_node *n)
{
    struct found *f = ctx;
    struct fe_host_bridge b = {0};
    uint64_t first, last;

    if (!fe_tree_lists(n->compatible, GRANT_DMA_BRIDGE))
        return 0;
    if (n->reg.bytes != REG_BYTES || n->bus_range.bytes != 8 ||
        (n->domain.at && n->domain.bytes != 4))
        return -EPROTO;
    b.ecam_base = fe_tree_cells(n->reg, 0);
    b.ecam_bytes = fe_tree_cells(n->reg, 2);
    first = fe_tree_cell(n->bus_range, 0);
    last = fe_tree_cell(n->bus_range, 1);
    if (last > UINT8_MAX || first > last ||
        (n->domain.at && fe_tree_cell(n->domain, 0) > UINT16_MAX))
        return -EPROTO;
    b.bus_first = (uint8_t)first;
    b.bus_last = (uint8_t)last;
    b.segment = n->domain.at ? (uint16_t)fe_tree_cell(n->domain, 0) : 0;
    int rc = take_window(n->ranges, &b);
    if (rc)
        return rc;
    if (!sound(b.ecam_base, b.ecam_bytes, ECAM_BYTES_PER_BUS) ||
        !sound(b.mem_base, b.mem_bytes, XEN_PAGE_BYTES) ||
        b.ecam_bytes / ECAM_BYTES_PER_BUS < last - first + 1 ||
        ranges_overlap(b.ecam_base, b.ecam_bytes, b.mem_base, b.mem_bytes))
        return -EPROTO;
    *f->out = b;
    f->found = true;
    return 1;
}

int fe_bridge_from_tree(const uint8_t *tree, size_t bytes, struct fe_host_bridge *out)
{
    struct found f = {.out = out};
    int rc = fe_tree_walk(tree, bytes, seen, &f);

    if (rc < 0)
        return rc;
    return f.found ? 0 : -ENOENT;
}
