/* SPDX-License-Identifier: MIT */
/* A device comes or goes, as the toolstack has it; for checks with NEED_TESTBED. */
#ifndef RP_CONFORMANCE_PLUG_H
#define RP_CONFORMANCE_PLUG_H

#include "conformance/given.h"

/* Only a device that is described in the store can: the check is skipped for any other. */
void need_pluggable(struct check_ctx *t, unsigned index);

/* Returns when its backend says that it is there; it may come back as another type (NULL: its own).
 * One that does not come, or go, is a broken MUST and the end of the check. */
void plug_in(struct check_ctx *t, unsigned index, const char *type);
void plug_out(struct check_ctx *t, unsigned index);

#endif
