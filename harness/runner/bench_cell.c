/* SPDX-License-Identifier: MIT */
#include "runner/bench_cell.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "scenario/workload.h"

/* What went wrong first, in a cell that did not pass. */
static const char *reason_of(const struct report_cell *cell)
{
    for (unsigned i = 0; i < cell->check_count; i++) {
        const struct report_check *k = &cell->checks[i];

        if (k->failure_count)
            return k->failures[0].text;
        if (k->reason && k->reason[0])
            return k->reason;
    }
    return cell->reason && cell->reason[0] ? cell->reason : "no reason was given";
}

static int outcome_error(const struct report_cell *cell)
{
    if (cell->outcome == SKIP)
        return -EOPNOTSUPP;
    return cell->outcome >= FAIL ? -EIO : 0;
}

int bench_cell_run(const struct run_options *o, const struct install *in, const char *words,
                   const char *design, struct report_cell **cell, char *why, size_t why_size)
{
    struct run_options quiet = *o;
    struct scenario *s = NULL;
    struct job job = {.measures = true};
    const struct schedule schedule = {
        .options = &quiet, .install = in, .jobs = &job, .job_count = 1};
    int ret;

    *cell = NULL;
    quiet.quiet = true;
    quiet.jobs = 1;
    quiet.filter = NULL;
    ret = workload_scenario(words, design, in->data, &s, why, why_size);
    if (ret)
        return ret;
    scenario_cell_get(s, 0, &job.plan);
    ret = schedule_run(&schedule);
    if (!ret)
        ret = job.result ? outcome_error(job.result) : -EIO;
    if (ret)
        snprintf(why, why_size, "%s %s: %.400s", words, design ? design : "",
                 job.result ? reason_of(job.result) : strerror(-ret));
    *cell = job.result;
    scenario_free(s);
    return ret;
}

const char *bench_cell_note(const struct report_cell *cell, const char *name)
{
    for (unsigned i = 0; i < cell->check_count; i++)
        for (unsigned n = 0; n < cell->checks[i].notes.count; n++)
            if (!strcmp(cell->checks[i].notes.items[n].name, name))
                return cell->checks[i].notes.items[n].value;
    return NULL;
}
