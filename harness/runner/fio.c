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
#include <unistd.h>

#include <jansson.h>

#include "runner/runner.h"
#include "testbed/profile.h"

#define FIO_PATHS    3u
#define STEP_LOOK_NS 5000000u /* how often counters are looked at */

struct fio {
    const struct run_options *options;
    struct testbed_cell *cell;
    const struct scenario *scenario;
    struct report_cell *report;
    struct report_check *check;
    struct process process;
    uint64_t deadline_ns;
    /* timeline */
    unsigned step;
    uint64_t step_from_ns, step_from_accesses;
    bool backend_down; /* by the timeline */
};

static void broken(struct fio *f, enum outcome o, const char *text)
{
    if (o == FAIL)
        report_check_add_failure(f->check, MUST, f->scenario->path, 0, text);
    report_check_worsen(f->check, o, o == FAIL ? "" : text);
}

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
static void add_environment(struct fio *f, struct words *extra)
{
    static const char *const addressings[] = {
        [ADDRESSING_GRANTS] = "grants", [ADDRESSING_FOREIGN] = "foreign"};
    const struct scenario_cell *plan = &f->cell->plan;
    char bridge[160], window[64];

    words_add(extra, "RINGPROOF_ENGINE");
    words_addf(extra, "%s/ringproof-fio.so", f->cell->config->lib_dir);
    words_add(extra, "RINGPROOF_LIBDIR");
    words_add(extra, f->cell->config->lib_dir);
    words_add(extra, "RINGPROOF_PLATFORM");
    words_add(extra, "simxen");
    words_add(extra, "RINGPROOF_HOST_BRIDGE");
    words_add(extra, testbed_profile_bridge(testbed_profile(plan->arch), bridge, sizeof(bridge)));
    words_add(extra, "RINGPROOF_ADDRESSING");
    words_add(extra, addressings[plan->addressing]);
    words_add(extra, "RINGPROOF_RING");
    words_add(extra, plan->ring == RING_PACKED ? "packed" : "split");
    if (plan->transport == TRANSPORT_MMIO) {
        words_add(extra, "RINGPROOF_MMIO");
        words_add(extra,
                  testbed_profile_mmio(testbed_profile(plan->arch), 0, window, sizeof(window)));
    } else {
        words_add(extra, "RINGPROOF_SBDF");
        words_add(extra, f->scenario->devices[0].sbdf);
    }
    words_add(extra, "RINGPROOF_BACKEND_DOMID");
    words_add(extra, "0");
}

static int start(struct fio *f)
{
    struct words argv = {0}, extra = {0};
    const char *fio = find_fio();
    char *job = realpath(f->scenario->fio.job, NULL), engine[512];
    int ret = -ENOENT;

    snprintf(engine, sizeof(engine), "%s/ringproof-fio.so", f->cell->config->lib_dir);
    if (!fio) {
        report_check_worsen(f->check, SKIP, "fio is not installed");
    } else if (access(engine, R_OK)) {
        report_check_worsen(f->check, ERROR, "the fio engine is not built (make fio-engine)");
    } else if (!job) {
        char why[512];
        snprintf(why, sizeof(why), "%.400s: %s", f->scenario->fio.job, strerror(errno));
        report_check_worsen(f->check, ERROR, why);
    } else {
        words_add(&argv, fio);
        words_add(&argv, "--output-format=json");
        words_add(&argv, "--output=fio.json");
        words_add(&argv, "--eta=never");
        words_addf(&argv, "--randseed=%" PRIu64, f->options->seed);
        for (unsigned i = 0; i < f->scenario->fio.option_count; i++)
            words_add(&argv, f->scenario->fio.options[i]);
        words_add(&argv, job);
        add_environment(f, &extra);
        ret = f->cell->ops->guest_spawn(f->cell, &argv, &extra, -1, &f->process);
        if (ret)
            report_check_worsen(f->check, ERROR, f->cell->why);
    }
    free(job);
    words_fini(&argv);
    words_fini(&extra);
    return ret;
}

/* ---- timeline ---- */

static int act(struct fio *f, enum scenario_action action)
{
    struct testbed_cell *c = f->cell;

    switch (action) {
    case ACTION_KILL_BACKEND:
        f->backend_down = true;
        return testbed_backend_kill(c);
    case ACTION_STOP_BACKEND:
        f->backend_down = true;
        return testbed_backend_stop(c);
    case ACTION_START_BACKEND:
        f->backend_down = false;
        return c->ops->backend_start(c);
    case ACTION_RESTART_BACKEND: {
        int ret = testbed_backend_kill(c);
        return ret ? ret : c->ops->backend_start(c);
    }
    case ACTION_PAUSE_DOMAIN:
        return c->ops->domain_pause(c, true);
    case ACTION_UNPAUSE_DOMAIN:
        return c->ops->domain_pause(c, false);
    }
    return -EINVAL;
}

/* Runs the steps that are due. *next_ns: when to look again, at the latest. */
static int advance(struct fio *f, uint64_t *next_ns)
{
    *next_ns = f->deadline_ns;
    while (f->step < f->scenario->timeline_count) {
        const struct scenario_step *step = &f->scenario->timeline[f->step];
        uint64_t now = monotonic_ns(), accesses = 0;
        int ret;

        if (step->when == WHEN_AFTER && now - f->step_from_ns < step->amount) {
            *next_ns = f->step_from_ns + step->amount;
            return 0;
        }
        if (step->when == WHEN_ACCESSES) {
            ret = f->cell->ops->domain_accesses(f->cell, &accesses);
            if (ret)
                return ret;
            if (accesses - f->step_from_accesses < step->amount) {
                *next_ns = now + STEP_LOOK_NS;
                return 0;
            }
        }
        ret = act(f, step->action);
        if (ret) {
            char why[1200];
            snprintf(why, sizeof(why), "step at line %u of the timeline: %s", step->line,
                     f->cell->why);
            report_check_worsen(f->check, ret == -ECHILD || ret == -ETIMEDOUT ? CRASH : ERROR, why);
            return ret;
        }
        f->step++;
        f->step_from_ns = monotonic_ns();
        ret = f->cell->ops->domain_accesses(f->cell, &f->step_from_accesses);
        if (ret)
            return ret;
    }
    return 0;
}

/* Until fio has ended: 0, or an error that is in the check already. */
static int attend(struct fio *f)
{
    char text[256], end[96];

    f->step_from_ns = monotonic_ns();
    int ret = f->cell->ops->domain_accesses(f->cell, &f->step_from_accesses);
    if (ret) {
        report_check_worsen(f->check, ERROR, f->cell->why);
        return ret;
    }
    for (;;) {
        uint64_t next;
        ret = advance(f, &next);
        if (ret)
            return ret;
        struct pollfd pfd[2] = {
            {.fd = f->process.pidfd, .events = POLLIN},
            {.fd = f->backend_down ? -1 : f->cell->backend.pidfd, .events = POLLIN}};
        if (next > f->deadline_ns)
            next = f->deadline_ns;
        int n = poll(pfd, 2, poll_timeout_ms(next));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (pfd[0].revents)
            return process_wait(&f->process, 0);
        if (n > 0 && pfd[1].revents && !process_running(&f->cell->backend)) {
            snprintf(text, sizeof(text), "the backend died under fio: %s",
                     process_describe_end(&f->cell->backend, end, sizeof(end)));
            report_check_worsen(f->check, CRASH, text);
            return -ECHILD;
        }
        if (monotonic_ns() >= f->deadline_ns) {
            bool hung = false;
            f->cell->ops->domain_hung(f->cell, &hung);
            report_check_worsen(f->check, hung ? CRASH : ERROR,
                                hung ? "the backend hangs: a vCPU waits for an answer"
                                     : "fio did not end within the cell's limit");
            return -ETIMEDOUT;
        }
    }
}

/* ---- verdict ---- */

static uint64_t number(const json_t *o, const char *direction, const char *name)
{
    const json_t *v = json_object_get(json_object_get(o, direction), name);

    return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

/* fio may print notes in front of its JSON, into the same file. */
static json_t *load_output(struct fio *f)
{
    char path[300];
    json_t *o = NULL;
    char *text;

    snprintf(path, sizeof(path), "%s/fio.json", f->cell->run_dir);
    text = file_tail(path, 4u << 20);
    const char *begin = text ? strstr(text, "{") : NULL;
    if (begin)
        o = json_loads(begin, JSON_DISABLE_EOF_CHECK, NULL);
    free(text);
    return o;
}

static void note_job(struct fio *f, const json_t *job)
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
        report_pairs_add(&f->check->notes, label, value);
    }
}

static void judge(struct fio *f)
{
    json_t *o = load_output(f);
    const json_t *jobs = json_object_get(o, "jobs"), *job;
    uint64_t read = 0, written = 0;
    char text[256], end[96];
    size_t i;

    if (!json_is_array(jobs)) {
        process_describe_end(&f->process, end, sizeof(end));
        snprintf(text, sizeof(text), "fio wrote no result (%s)", end);
        report_check_worsen(f->check, ERROR, text);
        json_decref(o);
        return;
    }
    json_array_foreach(jobs, i, job)
    {
        const char *name = json_string_value(json_object_get(job, "jobname"));
        json_int_t error = json_integer_value(json_object_get(job, "error"));
        f->check->expectations++;
        read += number(job, "read", "io_bytes");
        written += number(job, "write", "io_bytes");
        note_job(f, job);
        if (!error)
            continue;
        snprintf(text, sizeof(text), "fio job %.60s: error %lld (%s)%s", name ? name : "", error,
                 strerror((int)error),
                 error == EILSEQ ? ": what was read is not what was written" : "");
        broken(f, FAIL, text);
    }
    if (!WIFEXITED(f->process.status) || WEXITSTATUS(f->process.status)) {
        process_describe_end(&f->process, end, sizeof(end));
        snprintf(text, sizeof(text), "fio ended with %s", end);
        broken(f, FAIL, text);
    }
    if (f->step < f->scenario->timeline_count) {
        snprintf(text, sizeof(text), "fio ended before step %u of %u of the timeline", f->step + 1,
                 f->scenario->timeline_count);
        report_check_worsen(f->check, ERROR, text);
    }
    const struct {
        enum scenario_metric metric;
        uint64_t value;
    } metrics[] = {{METRIC_READ, read},
                   {METRIC_WRITTEN, written},
                   {METRIC_RESTARTS, f->cell->backend_starts ? f->cell->backend_starts - 1 : 0}};
    for (i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        char *why = cell_metric(f->scenario, f->report, metrics[i].metric, metrics[i].value);
        f->check->expectations++;
        if (why)
            broken(f, FAIL, why);
        free(why);
    }
    json_decref(o);
}

static void attach_log(struct fio *f)
{
    char *guest = testbed_log_tail(f->cell, "guest.log");
    char *backend = testbed_log_tail(f->cell, "backend.log");
    char *both = NULL;

    if (asprintf(&both, "fio: %s\nbackend: %s", guest ? guest : "", backend ? backend : "") < 0)
        both = NULL;
    report_set(&f->check->log, both);
    free(guest);
    free(backend);
    free(both);
}

void fio_run(const struct run_options *o, struct testbed_cell *c, const struct job *job,
             uint64_t deadline_ns, struct report_cell *cell)
{
    const struct scenario *s = job->plan.scenario;
    struct fio f = {.options = o,
                    .cell = c,
                    .scenario = s,
                    .report = cell,
                    .process = PROCESS_INIT,
                    .deadline_ns = deadline_ns};
    uint64_t start_ns = monotonic_ns();
    int ret = c->ops->domain_create(c);

    if (!ret)
        ret = c->ops->backend_start(c);
    if (ret) {
        report_cell_worsen(cell, cell_start_outcome(c, ret), c->why);
        return;
    }
    f.check = report_cell_add_check(cell, "fio.verify", PASS);
    report_set(&f.check->title, s->title);
    f.check->judges = DEVICE;
    if (!start(&f)) {
        if (!attend(&f))
            judge(&f);
        process_end(&f.process, SIGTERM, 2000000000u);
        cell_finish_backend(c, cell);
        f.check->duration_ns = monotonic_ns() - start_ns;
    }
    if (f.check->outcome >= FAIL)
        attach_log(&f);
}
