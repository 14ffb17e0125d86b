/* SPDX-License-Identifier: MIT */
/*
 * Running one check so that the runner always learns how it ended.
 *
 * A check runs in the main thread of this process. Should it take longer than its time, or
 * should the process fault, a signal handler writes the result line that was prepared before the
 * check began, and ends the process with a status of its own; the runner then starts another
 * agent for the checks that are left. A check that hangs has been kept waiting by its subject,
 * so that is a FAIL; a fault is the harness's own, an ERROR.
 */
#ifndef RP_AGENT_RUN_H
#define RP_AGENT_RUN_H

#include "agent/link.h"

/* Exit statuses of the agent. */
enum {
    AGENT_EXIT_OK = 0,
    AGENT_EXIT_START = 1, /* could not start; the reason is on stderr */
    AGENT_EXIT_USAGE = 2,
    AGENT_EXIT_TIMEOUT = 3, /* a check took too long: its result was sent */
    AGENT_EXIT_FAULT = 4,   /* a check faulted: its result was sent */
};

/* When neither the request nor the check says how long. */
#define RUN_TIMEOUT_MS 30000u

struct run;

/* Installs the handlers: one struct run a process. NULL with errno. */
struct run *run_create(struct link *l);
void run_destroy(struct run *r); /* NULL is allowed */

/* How long a check may take, of which the request says `timeout_ms` (0: nothing). */
uint32_t run_limit_ms(const struct check *c, uint32_t timeout_ms);

/* What a run asks of the subject's side; each may be NULL. */
struct run_hooks {
    /* Are the check's needs met? That may take a look at the subject and so runs on the check's
     * time; unmet is a SKIP with its reason. */
    bool (*met)(void *subject, uint64_t needs, char *why, size_t why_bytes);
    /* The check begins; the last that was done, of a check that did not pass, as lines. */
    void (*begin)(void *subject, const struct check *c);
    void (*tail)(void *subject, char *buf, size_t bytes);
};

/*
 * Run a check and send its result. `hooks` NULL: there is nothing to ask. May not return, as said
 * above. 0 or -errno of sending.
 */
int run_check(struct run *r, const struct check *c, void *subject, const struct run_hooks *hooks,
              uint32_t timeout_ms);
/* Send a result without running, for a check that cannot be run. */
int run_result(struct run *r, const char *full_name, enum outcome o, const char *reason);

#endif
