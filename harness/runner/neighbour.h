/* SPDX-License-Identifier: MIT */
/*
 * A neighbour: another domain of the same machine, with a backend of its own, in which a stock fio
 * writes and verifies while checks misuse the device of the first. One result is added to the cell:
 * it did not notice.
 */
#ifndef RP_RUNNER_NEIGHBOUR_H
#define RP_RUNNER_NEIGHBOUR_H

#include "runner/runner.h"

struct neighbour;

/* NULL where the scenario has none; an error is in the report. */
struct neighbour *neighbour_begin(const struct run_options *o, struct testbed_cell *c,
                                  const struct job *job, uint64_t deadline_ns,
                                  struct report_cell *report);
/* Ends fio, judges and closes; NULL is allowed. */
void neighbour_end(struct neighbour *n);

#endif
