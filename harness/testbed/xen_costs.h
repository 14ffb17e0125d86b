/* SPDX-License-Identifier: MIT */
/*
 * What a cell's backend has asked of a real Xen. Nobody in Xen counts that: a library that is
 * preloaded into the backend does (machine/preload/costs.c), in a file that all backends of a
 * machine go on with.
 */
#ifndef RP_TESTBED_XEN_COSTS_H
#define RP_TESTBED_XEN_COSTS_H

#include "testbed/xen_cell.h"

#define XEN_COSTS_PRELOAD "lib/costs-preload.so"

/* Commands of the shell that starts the backend; nothing where nobody counts. */
void xen_costs_environment(const struct testbed_cell *c, char *script, size_t size);
/* As struct testbed_ops has them. */
bool xen_costs_counted(const struct testbed_cell *c);
int xen_costs_read(struct testbed_cell *c, struct testbed_costs *costs);

#endif
