/* SPDX-License-Identifier: MIT */
/*
 * Reading a flattened device tree (Devicetree Specification 0.4, chapter 5) without a library,
 * which a guest's kernel has but a small frontend has not: properties of nodes, wherever they are.
 * An overlay is such a tree, too; what it adds is in it as nodes.
 *
 * The tree is borrowed memory that may hold anything: every offset and length in it is compared
 * with its end before it is used.
 */
#ifndef RP_FRONTEND_TREE_H
#define RP_FRONTEND_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fe_tree_span {
    const uint8_t *at; /* into the tree; NULL: no such property */
    uint32_t bytes;
};

/* The properties that somebody here reads. */
struct fe_tree_node {
    struct fe_tree_span compatible, phandle, iommu_map, mask, domain, reg, iommus, ranges,
        bus_range;
};

/*
 * Calls `seen` with each node, parents first, until it returns something else than 0, which is
 * returned. 0: all were seen. -EPROTO: the tree is malformed.
 */
int fe_tree_walk(const uint8_t *tree, size_t bytes,
                 int (*seen)(void *ctx, const struct fe_tree_node *n), void *ctx);

/* Is `want` one of the texts of a list (compatible)? */
bool fe_tree_lists(struct fe_tree_span list, const char *want);

/* A cell of a property that has it, and two as one number. */
uint32_t fe_tree_cell(struct fe_tree_span s, unsigned cell);
uint64_t fe_tree_cells(struct fe_tree_span s, unsigned cell);

#endif
