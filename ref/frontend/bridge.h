/* SPDX-License-Identifier: MIT */
/*
 * A host bridge that a guest hears of at run time: a toolstack that adds one gives a running guest
 * an overlay of its device tree, with a node of the binding "pci-host-ecam-generic".
 */
#ifndef RP_FRONTEND_BRIDGE_H
#define RP_FRONTEND_BRIDGE_H

#include <stddef.h>

#include "frontend/platform.h"

/*
 * The first host bridge of a tree or an overlay (frontend/tree.h). -ENOENT: it has none. -EPROTO:
 * the tree or the node is malformed: windows that wrap, overlap or do not have the buses. -ENOTSUP:
 * no window of memory space has the same addresses on both sides.
 */
int fe_bridge_from_tree(const uint8_t *tree, size_t bytes, struct fe_host_bridge *out);

#endif
