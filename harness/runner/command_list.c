/* SPDX-License-Identifier: MIT */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "runner/agent_checks.h"
#include "runner/runner.h"

static void list_scenarios(const struct run_options *o, const struct plan *p)
{
    char id[512];

    printf("scenarios of testbed %s, with their number of cells\n", o->testbed);
    for (unsigned i = 0; i < p->job_count;) {
        const struct scenario *s = p->jobs[i].plan.scenario;
        unsigned first = i;
        while (i < p->job_count && p->jobs[i].plan.scenario == s)
            i++;
        printf("  %-24s %3u  %s\n", s->name, i - first, s->title);
        for (unsigned k = first; o->name_count && k < i; k++)
            printf("    %s\n", scenario_cell_id(&p->jobs[k].plan, id, sizeof(id)));
    }
}

int command_list(int argc, char **argv)
{
    struct run_options o;
    struct install in = {0};
    struct plan plan = {0};
    struct agent_checks checks = {0};
    int status = REPORT_BAD_USAGE;

    int ret = options_parse("list", argc, argv, &o);
    if (ret || install_find(&o, false, &in) || plan_make(&o, &in, &plan))
        goto out;
    list_scenarios(&o, &plan);
    status = REPORT_HARNESS_ERROR;
    fflush(stdout);
    if (agent_checks_load(&in, &checks))
        goto out;
    puts("\nchecks: whom they judge, what they prove");
    for (unsigned i = 0; i < checks.count; i++) {
        const struct agent_check *k = &checks.items[i];
        if (!o.filter || !fnmatch(o.filter, k->name, 0))
            printf("  %-48s %-10s %s\n", k->name, k->judges, k->proves);
    }
    status = REPORT_PASSED;
out:
    agent_checks_fini(&checks);
    plan_fini(&plan);
    install_fini(&in);
    free(o.names);
    return ret == 1 ? 0 : status;
}
