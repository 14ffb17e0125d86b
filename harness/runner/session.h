/* SPDX-License-Identifier: MIT */
/*
 * The conversation with a cell's agents.
 *
 * One agent runs the checks; when that one is in dom0, the domU has another that serves its `peer`
 * calls. While a check runs it may ask the testbed for something (start, stop, kill the backend,
 * the store, ...); what it did to the backend is remembered, since afterwards a backend that does
 * not run is either what the check wanted or a crash.
 */
#ifndef RP_RUNNER_SESSION_H
#define RP_RUNNER_SESSION_H

#include "check/wire.h"
#include "testbed/testbed.h"

struct agent_link {
    struct testbed_agent *agent; /* borrowed */
    struct wire_reader *reader;
    FILE *console; /* what is not protocol */
};

/* What is known of one of the cell's backends. */
struct session_backend {
    /* What it held when it was fresh; none before its first start. */
    bool has_baseline;
    struct testbed_audit baseline;
    bool down; /* since session_run began the check has left it so */
};

/* The scenario's steps beside a check; they begin anew with each. */
struct timeline {
    unsigned step;  /* that comes next */
    unsigned round; /* how often it has been */
    uint64_t from_ns, from_accesses;
    bool armed; /* the guest will stop at what the step waits for */
};

struct session {
    struct testbed_cell *cell; /* borrowed */
    struct agent_link links[TESTBED_ROLES];
    enum testbed_role runs; /* whose checks run */
    uint64_t seed;
    struct wire_check *checks;
    unsigned check_count;
    struct session_backend backends[SCENARIO_BACKENDS_MAX];
    bool checking;     /* a check runs: a backend's death is news */
    bool domain_ended; /* since session_run began: at the check's wish */
    uint16_t ended_domid;
    bool reborn;                       /* the check goes on in the domain that came after it */
    bool backend_touched;              /* since session_run began: stopped, killed or started */
    struct timeline timeline;          /* of the check that runs */
    int host_ends[SCENARIO_PORTS_MAX]; /* connections to a console's ports; 0: none */
    int wire;                          /* the other end of a network device's wire; 0: none */
    char why[512];
};

/* All return 0 or -errno with a text in s->why. -EPIPE: the agent has died. */

void session_init(struct session *s, struct testbed_cell *cell, uint64_t seed);
/* Start the agents that the cell needs, wait for their hello. */
int session_open(struct session *s, uint64_t deadline_ns);
/* Ends them. Fine after a failed open, and for a zeroed session. -EIO, -ETIMEDOUT: one did not end
 * as it should. */
int session_close(struct session *s);

/* Fill s->checks with all that the agent has. */
int session_list(struct session *s, uint64_t deadline_ns);

/* Starts the cell's selected backend, and looks at what it holds if nobody has yet. As
 * backend_start, with the text in the cell. */
int session_backend_start(struct session *s);

/*
 * The steps of the timeline that are due now. -EAGAIN: more come later, and it has to be asked
 * again soon; 0: that was the last; another error with the text in the cell.
 */
int timeline_advance(struct session *s);
void timeline_begin(struct session *s);
/* Whatever is left of it is not waited for; the guest goes on. */
void timeline_end(struct session *s);
/* How soon to ask again. */
#define TIMELINE_LOOK_NS 500000u

/* Run one check. When that has had its domain ended there is no result, and no agent any more.
 * -ETIMEDOUT: no result in time; -EPIPE, -EPROTO. */
int session_run(struct session *s, const struct wire_check *check, uint64_t deadline_ns,
                struct check_result *result);

#endif
