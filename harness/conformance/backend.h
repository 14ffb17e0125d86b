/* SPDX-License-Identifier: MIT */
/* The backend's process ends and comes back, by the testbed's hand; for checks with NEED_TESTBED
 * and NEED_SUCCESSOR. */
#ifndef RP_CONFORMANCE_BACKEND_H
#define RP_CONFORMANCE_BACKEND_H

#include "conformance/given.h"

/* SIGTERM: it has to end by itself, in time and without an error. */
void backend_stop(struct device *d);
/* SIGKILL. */
void backend_kill(struct device *d);
/* Another process takes its place. That it does not come up is its own fault, and ends the check.
 */
void backend_come_up(struct check_ctx *t);
/* The same, and the device is found again. */
void backend_start(struct device *d);

#endif
