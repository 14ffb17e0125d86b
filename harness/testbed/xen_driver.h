/* SPDX-License-Identifier: MIT */
/*
 * A driver domain on a real Xen, in which the backend of a cell runs instead of in dom0.
 *
 * It has the domU's root. Its console carries lines: what is to be done there, and what comes of
 * it. A program in dom0 (ringproof-dom0-loop driver) has the console, and is the backend's process
 * for the harness: it ends as the backend ends.
 *
 *     run WORD...      the backend; its lines, then "@rp-end STATUS"
 *     do WORD...       another program; "@rp-done STATUS WHAT IT SAYS"
 *     signal NAME      to the backend
 *
 * Words have no blanks. The domain may be the device model of the cell's domain and of no other
 * (ringproof-target), under Xen's default policy for that: with SILO, Arm's default here, no domU
 * reaches another.
 */
#ifndef RP_TESTBED_XEN_DRIVER_H
#define RP_TESTBED_XEN_DRIVER_H

#include "testbed/xen_cell.h"

/* Before the cell's domain, which is told whose grants are wanted: sets c->backend_domid. */
int xen_driver_create(struct testbed_cell *c);
/* The cell's domain is there. */
int xen_driver_join(struct testbed_cell *c);
/* As xen_cell_backend_start and _audit. */
int xen_driver_start(struct testbed_cell *c);
int xen_driver_audit(struct testbed_cell *c, struct testbed_audit *a);
/* The backend has been ended; the domain goes with the cell's. */
void xen_driver_end(struct testbed_cell *c);

#endif
