/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runner/runner.h"
#include "util/bits.h"

#ifndef RP_VERSION
#define RP_VERSION "unknown"
#endif

/* Behind what is there, with a blank between. Without memory the text stays as it is. */
static void append_word(char **text, const char *word)
{
    char *longer;

    if (asprintf(&longer, "%s%s%s", *text, (*text)[0] ? " " : "", word) < 0)
        return;
    free(*text);
    *text = longer;
}

static void add_version(void *ctx, const char *name, const char *value)
{
    report_pairs_add(ctx, name, value);
}

struct report *command_report_create(const char *command, int argc, char **argv)
{
    struct report *r = report_create();
    time_t now = time(NULL);
    char text[64], stamp[64];
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    report_set(&r->run.started, text);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
    snprintf(text, sizeof(text), "%.32s-%d", stamp, (int)getpid());
    report_set(&r->run.id, text);

    report_set(&r->run.command, "ringproof");
    append_word(&r->run.command, command);
    for (int i = 0; i < argc; i++)
        append_word(&r->run.command, argv[i]);
    report_pairs_add(&r->run.versions, "ringproof", RP_VERSION);
    return r;
}

/* What decides which cells there are, as options: the shards of one run have the same. */
static void describe_selection(const struct run_options *o, char **text)
{
    const struct {
        const char *name, *value;
    } options[] = {{"--set", o->set},
                   {"--filter", o->filter},
                   {"--scenarios", o->scenarios_dir},
                   {"--profile", o->profile}};

    for (size_t i = 0; i < ARRAY_LENGTH(options); i++) {
        if (!options[i].value)
            continue;
        append_word(text, options[i].name);
        append_word(text, options[i].value);
    }
    for (unsigned i = 0; i < o->name_count; i++)
        append_word(text, o->names[i]);
}

struct report *run_report_create(const char *command, const struct run_options *o,
                                 const struct install *in, int argc, char **argv)
{
    const struct testbed_ops *testbed = testbed_find(o->testbed);
    struct report *r = command_report_create(command, argc, argv);

    describe_selection(o, &r->run.selection);
    report_set(&r->run.testbed, testbed->name);
    report_set(&r->run.testbed_note, testbed->note);
    r->run.seed = o->seed;
    r->run.shard_index = o->shard_index;
    r->run.shard_count = o->shard_count;
    testbed->versions(&in->testbed, add_version, &r->run.versions);
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

int run_folder_make(const char *path)
{
    int ret = make_folders(path);

    if (ret)
        fprintf(stderr, "ringproof: %s: %s\n", path, strerror(-ret));
    return ret;
}

char *run_results_dir(const struct run_options *o, const struct report *r)
{
    char *dir;

    if ((o->output ? asprintf(&dir, "%s", o->output)
                   : asprintf(&dir, "%s/%s", o->results_dir ? o->results_dir : "results/runs",
                              r->run.id)) < 0) {
        fputs("ringproof: out of memory\n", stderr);
        return NULL;
    }
    if (!run_folder_make(dir))
        return dir;
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
    if (o->profile)
        snprintf(shown + strlen(shown), sizeof(shown) - strlen(shown), " --profile %s", o->profile);
    snprintf(rerun, sizeof(rerun), "%s run%s%s%s", self, shown,
             o->backend_bin ? " --backend-bin " : "", o->backend_bin ? o->backend_bin : "");
    printf("\nresults in %s\n", dir);
    report_write_summary(r, &style, stdout);
    fflush(stdout);
}

int run_execute(const struct run_options *o, struct install *in, struct plan *p, struct report *r,
                const char *dir)
{
    const struct testbed_ops *testbed = testbed_find(o->testbed);
    char why[1024];

    if (in->profile && !testbed->store_wait) {
        fprintf(stderr, "ringproof: testbed %s runs no backend with a profile\n", testbed->name);
        return -EOPNOTSUPP;
    }
    if (testbed->world_open &&
        testbed->world_open(&in->testbed, dir, &in->testbed.world, why, sizeof(why))) {
        fprintf(stderr, "ringproof: testbed %s: %s\n", testbed->name, why);
        return -EIO;
    }
    const struct schedule schedule = {
        .options = o, .install = in, .jobs = p->jobs, .job_count = p->job_count};
    uint64_t start = monotonic_ns();
    int ret = schedule_run(&schedule);

    r->run.duration_ns = monotonic_ns() - start;
    if (testbed->world_close)
        testbed->world_close(in->testbed.world);
    in->testbed.world = NULL;
    r->run.cells_planned = p->job_count;
    r->run.interrupted = ret == -EINTR;
    collect(r, p);
    if (report_write_files(r, dir, why, sizeof(why))) {
        fprintf(stderr, "ringproof: %s\n", why);
        ret = -EIO;
    }
    return ret;
}

int command_run(int argc, char **argv)
{
    struct run_options o;
    struct install in = {0};
    struct plan plan = {0};
    struct report *report = NULL;
    char *dir = NULL;
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
    report = run_report_create("run", &o, &in, argc, argv);
    dir = run_results_dir(&o, report);
    if (!dir)
        goto out;
    ret = run_execute(&o, &in, &plan, report, dir);
    if (ret && ret != -EINTR)
        goto out;
    show(report, &o, &in, dir);
    status = (int)report_status(report);
    ret = 0;
out:
    free(dir);
    report_destroy(report);
    plan_fini(&plan);
    install_fini(&in);
    free(o.names);
    return ret == 1 ? 0 : status;
}
