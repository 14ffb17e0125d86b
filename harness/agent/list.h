/* SPDX-License-Identifier: MIT */
/* Which checks this agent has, for people and for the runner. */
#ifndef RP_AGENT_LIST_H
#define RP_AGENT_LIST_H

#include <stdio.h>

#include "agent/link.h"

/* Checks of family "abi" belong to the agent in dom0, all others to the one in the domU. */
bool list_in_role(const struct check *c, bool dom0);
uint32_t list_count(bool dom0);

/* One event a check, then end. 0 or -errno. */
int list_send(struct link *l, bool dom0);

/* All checks of both roles, one a line: family.name, judges, proves, file:line, title, separated
 * by tabs. Needs no platform. */
void list_print(FILE *f);

#endif
