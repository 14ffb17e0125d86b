/* SPDX-License-Identifier: MIT */
/* A variant that is a cell of the testbed sim: a workload in a simulation of its own. */
#ifndef RP_RUNNER_BENCH_CELL_H
#define RP_RUNNER_BENCH_CELL_H

#include "runner/runner.h"

/*
 * Runs the cell of these words (scenario/workload.h). *cell, the caller's, is its result. 0;
 * -EOPNOTSUPP: it cannot be run here; -EIO when it failed, -EINTR, or another -errno: `why` says
 * which words, and what.
 */
int bench_cell_run(const struct run_options *o, const struct install *in, const char *words,
                   const char *design, struct report_cell **cell, char *why, size_t why_size);

/* The value of a note of one of its checks; NULL: there is none. */
const char *bench_cell_note(const struct report_cell *cell, const char *name);

#endif
