/* SPDX-License-Identifier: MIT */
/*
 * The checks that an agent has, as it prints them itself (--list-checks): the runner has none.
 */
#ifndef RP_RUNNER_AGENT_CHECKS_H
#define RP_RUNNER_AGENT_CHECKS_H

#include "runner/runner.h"

struct agent_check {
    char *line; /* owned; the others point into it */
    const char *name, *judges, *proves, *place, *title;
};

struct agent_checks {
    struct agent_check *items;
    unsigned count;
};

/* 0, or -errno after an explanation on stderr. */
int agent_checks_load(const struct install *in, struct agent_checks *c);
void agent_checks_fini(struct agent_checks *c);
bool agent_check_proves(const struct agent_check *k, const char *id);

#endif
