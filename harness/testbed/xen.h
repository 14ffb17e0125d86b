/* SPDX-License-Identifier: MIT */
/*
 * The testbed `xen`: the dom0 that the harness runs in, as root, with xl and xenstored.
 *
 * Domains run one at a time under one name, which a lock on /run/lock/ringproof guards. Their
 * kernel and root are an image's (ci/images): the folder that $RINGPROOF_GUEST names, or the
 * current image of this machine's architecture. Cells of the other architecture are skipped.
 */
#ifndef RP_TESTBED_XEN_H
#define RP_TESTBED_XEN_H

#include "testbed/testbed.h"

extern const struct testbed_ops testbed_xen;

#endif
