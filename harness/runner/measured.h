/* SPDX-License-Identifier: MIT */
/*
 * What a cell measured for a benchmark: a note `measured` of its check, with a line of JSON as
 * programs of the suite print it.
 */
#ifndef RP_RUNNER_MEASURED_H
#define RP_RUNNER_MEASURED_H

#include "runner/guest.h"
#include "stats/histogram.h"

#define MEASURED_NOTE        "measured"
#define MEASURED_MEMORY_NOTE "backend's own memory [KiB]"

#define MEASURED_THREADS 128u
#define MEASURED_LOOK_NS 50000000u

/* A thread, when it was looked at last: for how long it had a CPU, and for how long it wanted one
 * and had none. */
struct measured_thread {
    pid_t tid;
    bool backend;
    uint64_t ran_ns, waited_ns;
};

struct measured {
    /* What there was before. */
    uint64_t backend_cpu_ns;
    struct testbed_costs costs;
    struct measured_thread threads[MEASURED_THREADS];
    unsigned thread_count;
};

/* Before the work, and after it: nothing is noted unless the job is one that measures. */
void measured_begin(struct guest_run *g, struct measured *m);
/* Meanwhile, now and then: threads take with them what they know. */
void measured_look(struct guest_run *g);
/* `units` were done in wall_ns, for which the frontend had a CPU for so long. `latency` NULL: it
 * was not measured; `lost` of the units, 0: none can be. */
void measured_note(struct guest_run *g, const struct measured *m, uint64_t units, uint64_t lost,
                   double wall_ns, double frontend_cpu_ns, const struct histogram *latency);

/* What the backend has for itself now, in a note of a check. */
void measured_memory(const struct testbed_cell *c, struct report_check *k);

#endif
