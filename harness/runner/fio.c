/* SPDX-License-Identifier: MIT */
/*
 * A stock fio as the guest: its external engine is the driver. Judged by what fio itself says
 * (its JSON output) while the scenario's timeline moves the backend under it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "runner/fio.h"
#include "runner/guest.h"
#include "runner/measured.h"
#include "testbed/map.h"

#define FIO_PATHS 3u
/* The status of a fio that has ended in order because a signal told it to. */
#define ENDED_BY_SIGNAL 128
#define USE_LOOK_NS     5000000u
#define USE_LIMIT_NS    2000000000u

/* ---- start ---- */

static const char *find_fio(void)
{
    static const char *const paths[FIO_PATHS] = {"/usr/bin/fio", "/usr/local/bin/fio", "/bin/fio"};

    for (unsigned i = 0; i < FIO_PATHS; i++)
        if (!access(paths[i], X_OK))
            return paths[i];
    return NULL;
}

/* What job files refer to as ${NAME}. */
static void add_environment(struct guest_run *g, struct words *extra)
{
    static const char *const addressings[] = {
        [ADDRESSING_GRANTS] = "grants", [ADDRESSING_FOREIGN] = "foreign"};
    const struct scenario_cell *plan = &g->cell->plan;
    char bridge[TESTBED_BRIDGE_BYTES], window[64];

    words_add(extra, "RINGPROOF_ENGINE");
    words_addf(extra, "%s/ringproof-fio.so", g->cell->config->lib_dir);
    words_add(extra, "RINGPROOF_LIBDIR");
    words_add(extra, g->cell->config->lib_dir);
    /* A process that is killed while it flushes lives on until the disk has done, and nobody
     * answers the guest meanwhile: seconds, on a busy machine. */
    words_add(extra, "RINGPROOF_PLATFORM");
    words_add(extra, scenario_kills_backend(plan->scenario) ? "simxen:timeout_ms=60000" : "simxen");
    words_add(extra, "RINGPROOF_HOST_BRIDGE");
    words_add(extra, testbed_map_bridge(&g->cell->map, 0, bridge));
    words_add(extra, "RINGPROOF_ADDRESSING");
    words_add(extra, addressings[plan->addressing]);
    words_add(extra, "RINGPROOF_RING");
    words_add(extra, plan->ring == RING_PACKED ? "packed" : "split");
    if (plan->transport == TRANSPORT_MMIO) {
        words_add(extra, "RINGPROOF_MMIO");
        words_add(extra, testbed_map_mmio(&g->cell->map, 0, window, sizeof(window)));
    } else {
        words_add(extra, "RINGPROOF_SBDF");
        words_add(extra, g->scenario->devices[0].sbdf);
    }
    words_add(extra, "RINGPROOF_BACKEND_DOMID");
    words_addf(extra, "%u", g->cell->backend_domid);
}

int fio_start(struct guest_run *g, const struct scenario_fio *f)
{
    struct words argv = {0}, extra = {0};
    const char *fio = find_fio();
    char *job = realpath(f->job, NULL), engine[512];
    int ret = -ENOENT;

    snprintf(engine, sizeof(engine), "%s/ringproof-fio.so", g->cell->config->lib_dir);
    if (!fio) {
        report_check_worsen(g->check, SKIP, "fio is not installed");
    } else if (access(engine, R_OK)) {
        report_check_worsen(g->check, ERROR, "the fio engine is not built (make fio-engine)");
    } else if (!job) {
        char why[512];
        snprintf(why, sizeof(why), "%.400s: %s", f->job, strerror(errno));
        report_check_worsen(g->check, ERROR, why);
    } else {
        words_add(&argv, fio);
        words_add(&argv, g->measures ? "--output-format=json+" : "--output-format=json");
        words_add(&argv, "--output=fio.json");
        words_add(&argv, "--eta=never");
        words_addf(&argv, "--randseed=%" PRIu64, g->options->seed);
        for (unsigned i = 0; i < f->option_count; i++)
            words_add(&argv, f->options[i]);
        words_add(&argv, job);
        add_environment(g, &extra);
        ret = g->cell->ops->guest_spawn(g->cell, &argv, &extra, -1, &g->process);
        if (ret)
            report_check_worsen(g->check, ERROR, g->cell->why);
    }
    free(job);
    words_fini(&argv);
    words_fini(&extra);
    return ret;
}

/* ---- verdict ---- */

static uint64_t number(const json_t *o, const char *direction, const char *name)
{
    const json_t *v = json_object_get(json_object_get(o, direction), name);

    return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

/* fio may print notes in front of its JSON, into the same file. */
static json_t *load_output(struct guest_run *g)
{
    char path[300];
    json_t *o = NULL;
    char *text;

    snprintf(path, sizeof(path), "%s/fio.json", g->cell->run_dir);
    text = file_tail(path, 4u << 20);
    const char *begin = text ? strstr(text, "{") : NULL;
    if (begin)
        o = json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL);
    free(text);
    return o;
}

static void note_job(struct guest_run *g, const json_t *job)
{
    static const char *const directions[] = {"read", "write", "trim"};
    const char *name = json_string_value(json_object_get(job, "jobname"));
    char label[64], value[128];

    for (unsigned i = 0; i < 3; i++) {
        const json_t *d = json_object_get(job, directions[i]);
        if (!number(job, directions[i], "io_bytes"))
            continue;
        snprintf(label, sizeof(label), "%.40s.%s", name ? name : "job", directions[i]);
        snprintf(value, sizeof(value), "%" PRIu64 " MiB, %.0f IOPS, %" PRIu64 " MiB/s",
                 number(job, directions[i], "io_bytes") >> 20,
                 json_number_value(json_object_get(d, "iops")),
                 number(job, directions[i], "bw_bytes") >> 20);
        report_pairs_add(&g->check->notes, label, value);
    }
}

void fio_judge(struct guest_run *g, bool told_to_end, uint64_t *read, uint64_t *written)
{
    json_t *o = load_output(g);
    const json_t *jobs = json_object_get(o, "jobs"), *job;
    char text[256], end[96];
    size_t i;

    if (!json_is_array(jobs)) {
        process_describe_end(&g->process, end, sizeof(end));
        snprintf(text, sizeof(text), "fio wrote no result (%s)", end);
        report_check_worsen(g->check, ERROR, text);
        json_decref(o);
        return;
    }
    json_array_foreach(jobs, i, job)
    {
        const char *name = json_string_value(json_object_get(job, "jobname"));
        json_int_t error = json_integer_value(json_object_get(job, "error"));
        g->check->expectations++;
        *read += number(job, "read", "io_bytes");
        *written += number(job, "write", "io_bytes");
        note_job(g, job);
        if (!error)
            continue;
        snprintf(text, sizeof(text), "fio job %.60s: error %lld (%s)%s", name ? name : "", error,
                 strerror((int)error),
                 error == EILSEQ ? ": what was read is not what was written" : "");
        guest_broken(g, FAIL, text);
    }
    if (!WIFEXITED(g->process.status) ||
        WEXITSTATUS(g->process.status) != (told_to_end ? ENDED_BY_SIGNAL : 0)) {
        process_describe_end(&g->process, end, sizeof(end));
        snprintf(text, sizeof(text), "fio ended with %s", end);
        guest_broken(g, FAIL, text);
    }
    json_decref(o);
}

/* ---- what was measured ---- */

/* What its jobs did together. */
struct fio_work {
    uint64_t requests;
    double wall_ns, cpu_ns;
    struct histogram latency;
};

static void add_latency(const json_t *bins, struct histogram *h)
{
    const json_t *count;
    const char *ns;

    json_object_foreach((json_t *)bins, ns, count)
    {
        for (json_int_t i = json_integer_value(count); i > 0; i--)
            histogram_add(h, strtoull(ns, NULL, 10));
    }
}

static void add_job(const json_t *job, struct fio_work *w)
{
    static const char *const directions[] = {"read", "write", "trim"};
    double cpu = json_number_value(json_object_get(job, "usr_cpu")) +
                 json_number_value(json_object_get(job, "sys_cpu"));

    /* Per cent of the time of all its threads together. */
    w->cpu_ns += cpu / 100 * json_number_value(json_object_get(job, "job_runtime")) * 1e6;
    for (unsigned i = 0; i < 3; i++) {
        const json_t *d = json_object_get(job, directions[i]);
        double ns = (double)number(job, directions[i], "runtime") * 1e6;

        w->requests += number(job, directions[i], "total_ios");
        w->wall_ns = ns > w->wall_ns ? ns : w->wall_ns;
        add_latency(json_object_get(json_object_get(d, "clat_ns"), "bins"), &w->latency);
    }
}

static void note_measured(struct guest_run *g, const struct measured *before)
{
    json_t *o = g->measures ? load_output(g) : NULL, *job;
    struct fio_work *w = calloc(1, sizeof(*w));
    size_t i;

    json_array_foreach(json_object_get(o, "jobs"), i, job) if (w) add_job(job, w);
    if (w)
        measured_note(g, before, w->requests, 0, w->wall_ns, w->cpu_ns, &w->latency);
    free(w);
    json_decref(o);
}

/* ---- what is left behind ---- */

/* Each member of which there is more than before. False: there is none. */
static bool more_than(const struct testbed_use *before, const struct testbed_use *now, char *text,
                      size_t text_bytes)
{
    uint64_t had = 0, has = 0;
    const char *name;
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; (name = testbed_use_member(before, i, &had)); i++) {
        (void)testbed_use_member(now, i, &has);
        if (has > had && used < text_bytes)
            used += (size_t)snprintf(text + used, text_bytes - used,
                                     "%s%s: %" PRIu64 ", %" PRIu64 " before", used ? "; " : "",
                                     name, has, had);
    }
    return used > 0;
}

/* After fio's end, while the last backend serves nobody: as much is in use as when the first one
 * did. A process that has died is cleared away by the hypervisor in its own time. */
static void judge_use(struct guest_run *g, struct testbed_use *before)
{
    const struct timespec look = {.tv_nsec = USE_LOOK_NS};
    uint64_t deadline = monotonic_ns() + USE_LIMIT_NS;
    size_t own = (size_t)(g->check - g->report->checks);
    struct report_check *k = report_cell_add_check(g->report, "fio.nothing_left", PASS);
    struct testbed_use now;
    char text[512], left[440] = "";
    bool more = false;
    int ret;

    g->check = &g->report->checks[own]; /* the list may have moved */
    /* With its first guest a domain gets descriptors that it keeps. */
    before->descriptors = g->at_first_step.descriptors;
    report_set(&k->title, "Of backends that have gone nothing is left");
    report_set(&k->proves, "xen.lifecycle.death.3");
    k->judges = HYPERVISOR;
    while (!(ret = g->cell->ops->use(g->cell, &now)) &&
           (more = more_than(before, &now, left, sizeof(left))) && monotonic_ns() < deadline)
        nanosleep(&look, NULL);
    if (ret || !g->at_first_step.processes) {
        report_check_worsen(k, ERROR, ret ? g->cell->why : "the machine could not be looked into");
        return;
    }
    for (unsigned i = 0; testbed_use_member(before, i, &(uint64_t){0}); i++)
        k->expectations++;
    if (!more)
        return;
    snprintf(text, sizeof(text), "after %u restarts %s", g->cell->backend_starts - 1, left);
    report_check_add_failure(k, MUST, g->scenario->path, 0, text);
    report_check_worsen(k, FAIL, "");
}

void fio_run(const struct run_options *o, struct testbed_cell *c, const struct job *job,
             uint64_t deadline_ns, struct report_cell *cell)
{
    struct guest_run g;
    struct process *const ends[] = {&g.process};

    if (guest_begin(&g, "fio", o, c, job, deadline_ns, cell))
        return;
    struct testbed_use before;
    struct measured measured;
    bool audited = scenario_kills_backend(g.scenario) && c->ops->use && !c->ops->use(c, &before);
    measured_begin(&g, &measured);
    if (!fio_start(&g, &g.scenario->fio) && !guest_attend(&g, ends, 1)) {
        uint64_t read = 0, written = 0;

        note_measured(&g, &measured);
        fio_judge(&g, false, &read, &written);
        guest_judge_timeline(&g);
        guest_judge_metrics(&g, read, written);
        if (audited && !g.backend_down)
            judge_use(&g, &before);
    }
    guest_end(&g);
}
