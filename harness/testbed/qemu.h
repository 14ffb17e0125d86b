/* SPDX-License-Identifier: MIT */
/*
 * The testbed `qemu`: the real Xen and a real dom0, booted in QEMU from the images of ci/images.
 *
 * One machine serves all cells of an architecture, one cell at a time; each has a fresh domU. The
 * keeper of machines (machine/keeper.h) boots it when the first cell wants it. What runs in dom0
 * runs there on behalf of a process here, which ends as it ends: so nothing above knows that the
 * backend is somewhere else.
 *
 * A domU's console carries the agent's lines. A domain that Xen starts (start: dom0less) has a
 * machine of its own, and for each fresh one it boots anew; its agent's lines go through shared
 * memory.
 */
#ifndef RP_TESTBED_QEMU_H
#define RP_TESTBED_QEMU_H

#include "testbed/testbed.h"

extern const struct testbed_ops testbed_qemu;

#endif
