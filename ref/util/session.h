/* SPDX-License-Identifier: MIT */
/* Linux shares CPUs by session (autogroups): who measures may put its own before others. */
#ifndef RP_UTIL_SESSION_H
#define RP_UTIL_SESSION_H

/* This process and what it starts from now on get a session of their own, preferred where that is
 * allowed. Not for the leader of a process group. */
void session_prefer(void);

#endif
