/* SPDX-License-Identifier: MIT */
/*
 * Workloads of benchmarks: a scenario of one cell that measures, made of words.
 *
 * Words are KEY=VALUE. A key is one of the workload's, or an axis of scenarios: so a design, which
 * is a point on axes, is words, too.
 *
 *     run=fio    rw=randread bs=4k depth=32 jobs=1 ms=300 backing=null|image size=256MiB
 *     run=iperf3 streams=1 direction=to-backend|to-frontend|both protocol=tcp|udp length=1400
 *     run=costs  what the requests of the check memory.requests_cost_what_they_cost cost
 *     guest=128MiB, with any of them: the guest's memory
 */
#ifndef RP_SCENARIO_WORKLOAD_H
#define RP_SCENARIO_WORKLOAD_H

#include "scenario/scenario.h"

/*
 * `words` and `design` (NULL: none) to a scenario that has exactly one cell and is the caller's.
 * `data` is the folder that holds bench/fio/jobs. 0; -EINVAL with a message in why; -ENOMEM.
 */
int workload_scenario(const char *words, const char *design, const char *data,
                      struct scenario **out, char *why, size_t why_size);

#endif
