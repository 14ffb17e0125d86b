/* SPDX-License-Identifier: MIT */
/* One variant of one row of bench/suite, measured once. */
#ifndef RP_RUNNER_BENCH_MEASURE_H
#define RP_RUNNER_BENCH_MEASURE_H

#include "runner/runner.h"
#include "suite/suite.h"

/* 0; -EOPNOTSUPP: it cannot be measured here; -EINTR, or another -errno: `why` says what. *v is the
 * caller's on errors, too. */
int bench_measure(const struct run_options *o, const struct install *in,
                  const struct suite_work *work, unsigned variant, struct suite_value *v, char *why,
                  size_t why_size);

#endif
