/* SPDX-License-Identifier: MIT */
/* What a program is linked against, so that it can be taken to a machine that has less. */
#ifndef RP_TESTBED_LIBRARIES_H
#define RP_TESTBED_LIBRARIES_H

#include "testbed/process.h"

/*
 * Paths of the shared libraries of a dynamic program, as the loader finds them here, without those
 * of libc and of Xen, which every dom0 has in its own version. 0; -ENOENT when one is missing here,
 * or -errno.
 */
int libraries_of(const char *program, struct words *paths);

#endif
