/* SPDX-License-Identifier: MIT */
/* One cell once more, with all that its driver does: accesses, interrupts, grants, chains. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/runner.h"

static void show_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char buf[4096];
    size_t n;

    while (f && (n = fread(buf, 1, sizeof(buf), f)))
        fwrite(buf, 1, n, stdout);
    if (f)
        fclose(f);
}

static int traceable(const struct run_options *o, const struct plan *p)
{
    const struct scenario *s = p->jobs[0].plan.scenario;

    if (p->job_count != 1) {
        fprintf(stderr,
                "ringproof trace: %u cells are selected: name one (ringproof list SCENARIO)\n",
                p->job_count);
        return -EINVAL;
    }
    if (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU ||
        !testbed_find(o->testbed)->backend_is_near) {
        fputs("ringproof trace: only checks in a domU of the testbed sim can be traced\n", stderr);
        return -EINVAL;
    }
    return 0;
}

int command_trace(int argc, char **argv)
{
    struct run_options o;
    struct install in = {0};
    struct plan plan = {0};
    struct report *report = NULL;
    char *dir = NULL, *folder = NULL, *path = NULL;
    int status = REPORT_BAD_USAGE, ret = options_parse("trace", argc, argv, &o);

    if (ret || install_find(&o, true, &in) || plan_make(&o, &in, &plan) || traceable(&o, &plan))
        goto out;
    status = REPORT_HARNESS_ERROR;
    o.quiet = true;
    report = run_report_create("trace", &o, &in, argc, argv);
    dir = run_results_dir(&o, report);
    folder = dir ? realpath(dir, NULL) : NULL;
    if (!folder || asprintf(&path, "%s/trace.txt", folder) < 0) {
        path = NULL;
        goto out;
    }
    in.testbed.trace = path;
    ret = run_execute(&o, &in, &plan, report, dir);
    if (ret && ret != -EINTR)
        goto out;
    show_file(path);
    printf("\ntrace in %s/trace.txt\n", dir);
    report_write_summary(report, &(struct report_style){.colour = false}, stdout);
    status = (int)report_status(report);
    ret = 0;
out:
    free(path);
    free(folder);
    free(dir);
    report_destroy(report);
    plan_fini(&plan);
    install_fini(&in);
    free(o.names);
    return ret == 1 ? 0 : status;
}
