/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runner/runner.h"

#ifndef RP_VERSION
#define RP_VERSION "unknown"
#endif

static void add_version(void *ctx, const char *name, const char *value)
{
    report_pairs_add(ctx, name, value);
}

struct report *run_report_create(const struct run_options *o, const struct install *in, int argc,
                                 char **argv)
{
    const struct testbed_ops *testbed = testbed_find(o->testbed);
    struct report *r = report_create();
    time_t now = time(NULL);
    char text[64], stamp[64];
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    report_set(&r->started, text);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    snprintf(text, sizeof(text), "%.32s-%d", stamp, (int)getpid());
    report_set(&r->id, text);
    report_set(&r->testbed, testbed->name);
    report_set(&r->testbed_note, testbed->note);
    r->seed = o->seed;

    char *command = strdup("ringproof");
    for (int i = 0; command && i < argc; i++) {
        char *longer;
        if (asprintf(&longer, "%s %s", command, argv[i]) < 0)
            longer = NULL;
        free(command);
        command = longer;
    }
    report_set(&r->command, command);
    free(command);
    report_pairs_add(&r->versions, "ringproof", RP_VERSION);
    testbed->versions(&in->testbed, add_version, &r->versions);
    return r;
}

static int make_folders(const char *path)
{
    char *part = strdup(path);
    int ret = part ? 0 : -ENOMEM;

    for (char *slash = part; !ret && slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            ret = -errno;
        if (slash)
            *slash = '/';
    }
    free(part);
    return ret;
}

char *run_results_dir(const struct run_options *o, const struct report *r)
{
    char *dir;

    if (asprintf(&dir, "%s/%s", o->results_dir ? o->results_dir : "results/runs", r->id) < 0) {
        fputs("ringproof: out of memory\n", stderr);
        return NULL;
    }
    int ret = make_folders(dir);
    if (!ret)
        return dir;
    fprintf(stderr, "ringproof: %s: %s\n", dir, strerror(-ret));
    free(dir);
    return NULL;
}

/* Moves the results of the jobs, in the order of the plan, into the report. */
static void collect(struct report *r, struct plan *p)
{
    for (unsigned i = 0; i < p->job_count; i++) {
        if (p->jobs[i].result)
            report_add_cell(r, p->jobs[i].result);
        p->jobs[i].result = NULL;
    }
}

static void show(const struct report *r, const struct run_options *o, const struct install *in,
                 const char *dir)
{
    char rerun[1024], shown[256];
    struct report_style style = {.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
                                 .rerun = rerun};
    const char *self = in->self;
    char cwd[512];

    if (getcwd(cwd, sizeof(cwd)) && !strncmp(self, cwd, strlen(cwd)) && self[strlen(cwd)] == '/')
        self += strlen(cwd) + 1;
    shown[0] = 0;
    if (o->variant_dir)
        snprintf(shown, sizeof(shown), " --variant-dir %s", o->variant_dir);
    snprintf(rerun, sizeof(rerun), "%s run --seed %" PRIu64 "%s%s%s", self, r->seed, shown,
             o->backend_bin ? " --backend-bin " : "", o->backend_bin ? o->backend_bin : "");
    printf("\nresults in %s\n", dir);
    report_write_summary(r, &style, stdout);
    fflush(stdout);
}

int command_run(int argc, char **argv)
{
    struct run_options o;
    struct install in = {0};
    struct plan plan = {0};
    struct report *report = NULL;
    char *dir = NULL, why[1024];
    int status = REPORT_BAD_USAGE;

    int ret = options_parse("run", argc, argv, &o);
    if (ret)
        goto out;
    if (install_find(&o, true, &in)) {
        status = REPORT_HARNESS_ERROR;
        goto out;
    }
    if (plan_make(&o, &in, &plan))
        goto out;

    status = REPORT_HARNESS_ERROR;
    report = run_report_create(&o, &in, argc, argv);
    dir = run_results_dir(&o, report);
    if (!dir)
        goto out;
    const struct testbed_ops *testbed = testbed_find(o.testbed);
    if (testbed->world_open &&
        testbed->world_open(&in.testbed, dir, &in.testbed.world, why, sizeof(why))) {
        fprintf(stderr, "ringproof: testbed %s: %s\n", testbed->name, why);
        goto out;
    }
    const struct schedule schedule = {
        .options = &o, .install = &in, .jobs = plan.jobs, .job_count = plan.job_count};
    uint64_t start = monotonic_ns();
    ret = schedule_run(&schedule);
    report->duration_ns = monotonic_ns() - start;
    if (testbed->world_close)
        testbed->world_close(in.testbed.world);
    in.testbed.world = NULL;
    report->cells_planned = plan.job_count;
    report->interrupted = ret == -EINTR;
    collect(report, &plan);
    if (report_write_files(report, dir, why, sizeof(why))) {
        fprintf(stderr, "ringproof: %s\n", why);
        ret = -EIO;
    }
    show(report, &o, &in, dir);
    status = ret && ret != -EINTR ? REPORT_HARNESS_ERROR : (int)report_status(report);
    ret = 0;
out:
    free(dir);
    report_destroy(report);
    plan_fini(&plan);
    install_fini(&in);
    free(o.names);
    return ret == 1 ? 0 : status;
}
