/* SPDX-License-Identifier: MIT */
/*
 * A program in the guest that drives the device itself, in place of checks: what such runs share.
 * The scenario's timeline moves backend, domain and guest meanwhile; the end of whatever was
 * started is waited for, and a backend that dies is a crash.
 */
#ifndef RP_RUNNER_GUEST_H
#define RP_RUNNER_GUEST_H

#include "runner/runner.h"

struct guest_run {
    const char *name; /* for messages: "fio" */
    const struct run_options *options;
    struct testbed_cell *cell;
    const struct scenario *scenario;
    struct report_cell *report;
    struct report_check *check; /* the one result of the run */
    struct process process;     /* what drives the device */
    bool measures;              /* for a benchmark */
    struct measured *measured;  /* while it does; NULL: it does not */
    uint64_t start_ns, deadline_ns;
    const struct transfer *transfer; /* while there is one */
    /* timeline */
    unsigned step, round;
    uint64_t step_from_ns, step_from_count;
    bool backend_down; /* by the timeline */
    /* When its first step was due, with the guest at work; zero where nobody can look. */
    struct testbed_use at_first_step;
};

/* A domain, a backend and an empty result. An error is in the report. */
int guest_begin(struct guest_run *g, const char *name, const struct run_options *o,
                struct testbed_cell *c, const struct job *job, uint64_t deadline_ns,
                struct report_cell *cell);

/* Until all of `count` processes have ended, while the timeline runs: 0, or an error that is in the
 * result already. What drives the device may be one of them; otherwise it must not end before. */
int guest_attend(struct guest_run *g, struct process *const *ends, unsigned count);

/* After the verdict: a timeline that was not seen through is an ERROR; metrics are compared. */
void guest_judge_timeline(struct guest_run *g);
void guest_judge_metrics(struct guest_run *g, uint64_t read_bytes, uint64_t written_bytes);

/* Ends what still runs. */
void guest_end(struct guest_run *g);

/* FAIL is the subject's, with the text as what failed; others have it as their reason. */
void guest_broken(struct guest_run *g, enum outcome o, const char *text);

#endif
