/* SPDX-License-Identifier: MIT */
/*
 * What a driver did, for whoever has to find out what went wrong: a platform in front of another
 * one that remembers the last accesses, interrupts, grants and what the driver itself notes, each
 * with its time. It costs some ten nanoseconds an event and no memory beyond its fixed ring.
 *
 * Its user holds one platform as before; everything that is not remembered goes straight through.
 */
#ifndef RP_FRONTEND_TRACE_H
#define RP_FRONTEND_TRACE_H

#include <stdio.h>

#include "frontend/platform.h"

#define FE_TRACE_EVENTS 256u /* that are kept; the same again and again counts once */

/*
 * In front of `inner`, which is closed with it. `echo` (NULL: none) gets every event as a line when
 * it happens. NULL without memory; `inner` is still the caller's then.
 */
struct fe_platform *fe_trace_create(struct fe_platform *inner, FILE *echo);

/* A note of the driver's own, "queue 0: chain of 3 at 5": nothing happens on a platform that does
 * not trace. From any thread, as all events. */
void fe_trace_note(struct fe_platform *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Forget what was before; times count from here. `what` begins, for the echo. */
void fe_trace_begin(struct fe_platform *p, const char *what);
/* The last events that fit into `size` bytes, oldest first, a line each. Returns buf. */
const char *fe_trace_tail(struct fe_platform *p, char *buf, size_t size);

#endif
