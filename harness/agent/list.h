/* SPDX-License-Identifier: MIT */
/* Which checks this agent has, for people and for the runner. */
#ifndef RP_AGENT_LIST_H
#define RP_AGENT_LIST_H

#include <stdio.h>

#include "agent/link.h"

/* Does an agent of this role have the check? */
bool list_in_role(const struct check *c, enum wire_role role);
uint32_t list_count(enum wire_role role);

/* One event a check, then end. 0 or -errno. */
int list_send(struct link *l, enum wire_role role);

/* All checks of all roles, one a line: family.name, judges, proves, file:line, title, separated
 * by tabs. Needs no platform. */
void list_print(FILE *f);

#endif
