/* SPDX-License-Identifier: MIT */
/* The designs that a run of benchmarks compares, and what a request costs exactly in each. */
#ifndef RP_RUNNER_BENCH_DESIGNS_H
#define RP_RUNNER_BENCH_DESIGNS_H

#include <jansson.h>

#include "runner/runner.h"
#include "scenario/design.h"
#include "suite/suite.h"

/* Those of the installation. 0, or -errno after an explanation on stderr. */
int bench_designs_load(const struct install *in, struct designs *d);
/* As variants of rows; they borrow from `d`. */
void bench_designs_variants(const struct designs *d, struct suite_variant variants[DESIGNS_MAX]);
/*
 * For each design the counts of the check that tells what a request costs, one at a time, and what
 * the backend then has for itself beside a small guest and a large one: the file's member, the
 * caller's. -EINTR, or another -errno after an explanation on stderr.
 */
int bench_designs_costs(const struct run_options *o, const struct install *in,
                        const struct designs *d, json_t **out);

#endif
