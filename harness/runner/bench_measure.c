/* SPDX-License-Identifier: MIT */
#include "runner/bench_measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runner/bench_cell.h"
#include "runner/measured.h"
#include "runner/tool.h"

#define PROGRAM_NS 60000000000ull /* they give up by themselves long before */
/* What tells the round trip of a cache line between CPUs 0 and 1, before and after a moment. */
#define PLACE_PROGRAM "ringproof-ring"
#define PLACE_OPTIONS "--ring floor --measure-ms 10"

/* Of all CPUs since the start, in seconds. */
struct cpu_times {
    double busy, steal, all, own;
};

static struct cpu_times cpu_times_now(void)
{
    struct cpu_times t = {0};
    unsigned long long v[8] = {0};
    double tick = (double)sysconf(_SC_CLK_TCK);
    struct rusage r;
    FILE *f = fopen("/proc/stat", "re");

    /* user nice system idle iowait irq softirq steal */
    if (f && fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
                    &v[4], &v[5], &v[6], &v[7]) == 8) {
        t.busy = (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / tick;
        t.steal = (double)v[7] / tick;
        t.all = t.busy + t.steal + (double)(v[3] + v[4]) / tick;
    }
    if (f)
        fclose(f);
    getrusage(RUSAGE_CHILDREN, &r);
    t.own = (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
            (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
    return t;
}

static void add_words(struct words *w, const char *text)
{
    char *copy = strdup(text), *rest = copy, *word;

    while (copy && (word = strsep(&rest, " ")))
        if (word[0])
            words_add(w, word);
    free(copy);
}

/* Its one line of JSON. */
static int run_program(struct words *argv, const struct suite_work *work, struct suite_value *v,
                       char *why, size_t why_size)
{
    char *output = NULL;
    int ret = argv->failed ? -ENOMEM : tool_run(argv, NULL, PROGRAM_NS, &output);

    if (ret == 0)
        ret = suite_value_read(output, work, v);
    if (ret)
        snprintf(why, why_size, "%s: %.300s", argv->failed ? "?" : argv->items[0],
                 output && output[0] ? output : strerror(ret < 0 ? -ret : EIO));
    free(output);
    return ret > 0 ? -EIO : ret;
}

static int measure_program(const struct run_options *o, const struct install *in,
                           const struct suite_work *work, const struct suite_variant *variant,
                           struct suite_value *v, char *why, size_t why_size)
{
    struct words argv = {0};
    int ret;

    words_addf(&argv, "%s/%s", in->variant_bin_dir, variant->program);
    words_add(&argv, "--priority");
    add_words(&argv, work->options);
    add_words(&argv, variant->options);
    if (variant->peer) {
        words_add(&argv, "--from");
        words_add(&argv, o->peers);
    }
    ret = run_program(&argv, work, v, why, why_size);
    words_fini(&argv);
    return ret;
}

/* A cell says what a program would print. */
static int measure_cell(const struct run_options *o, const struct install *in,
                        const struct suite_work *work, const struct suite_variant *variant,
                        struct suite_value *v, char *why, size_t why_size)
{
    struct report_cell *cell = NULL;
    int ret = bench_cell_run(o, in, work->options, variant->options, &cell, why, why_size);
    const char *line = ret ? NULL : bench_cell_note(cell, MEASURED_NOTE);

    if (!ret && !line) {
        snprintf(why, why_size, "%s: the cell measured nothing", work->name);
        ret = -EPROTO;
    }
    if (!ret)
        ret = suite_value_read(line, work, v);
    report_cell_destroy(cell);
    return ret;
}

/* Where the two CPUs are now. */
static int measure_place(const struct install *in, double *round_trip_ns, char *why,
                         size_t why_size)
{
    const struct suite_work pinned = {.loose = false};
    struct suite_value v = {0};
    struct words argv = {0};
    int ret;

    words_addf(&argv, "%s/" PLACE_PROGRAM, in->variant_bin_dir);
    words_add(&argv, "--priority");
    add_words(&argv, PLACE_OPTIONS);
    ret = run_program(&argv, &pinned, &v, why, why_size);
    *round_trip_ns = v.round_trip_ns[1];
    suite_value_fini(&v);
    words_fini(&argv);
    return ret;
}

int bench_measure(const struct run_options *o, const struct install *in,
                  const struct suite_work *work, unsigned variant, struct suite_value *v, char *why,
                  size_t why_size)
{
    const struct suite_variant *one = &work->variants[variant];
    struct cpu_times before, after;
    int ret = work->loose ? measure_place(in, &v->round_trip_ns[0], why, why_size) : 0;

    if (ret)
        return ret;
    before = cpu_times_now();
    ret = one->program ? measure_program(o, in, work, one, v, why, why_size)
                       : measure_cell(o, in, work, one, v, why, why_size);
    after = cpu_times_now();
    if (after.all > before.all) {
        double foreign = after.busy - before.busy - (after.own - before.own);

        v->foreign = foreign > 0 ? foreign / (after.all - before.all) : 0;
        v->steal = (after.steal - before.steal) / (after.all - before.all);
    }
    if (ret == 0 && work->loose)
        ret = measure_place(in, &v->round_trip_ns[1], why, why_size);
    return ret;
}
