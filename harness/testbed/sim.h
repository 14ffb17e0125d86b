/* SPDX-License-Identifier: MIT */
/*
 * The testbed `sim`: a simulated Xen of its own for each cell, in a folder under $TMPDIR.
 */
#ifndef RP_TESTBED_SIM_H
#define RP_TESTBED_SIM_H

#include "testbed/testbed.h"

extern const struct testbed_ops testbed_sim;

#endif
