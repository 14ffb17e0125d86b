/* SPDX-License-Identifier: MIT */
#include "runner/guest.h"

#include "runner/measured.h"
#include "runner/transfer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_LOOK_NS 2000000u /* how often counters are looked at */
#define GUEST_END_NS 5000000000u
#define ENDS_MAX     8u

void guest_broken(struct guest_run *g, enum outcome o, const char *text)
{
    if (o == FAIL)
        report_check_add_failure(g->check, MUST, g->scenario->path, 0, text);
    report_check_worsen(g->check, o, o == FAIL ? "" : text);
}

int guest_begin(struct guest_run *g, const char *name, const struct run_options *o,
                struct testbed_cell *c, const struct job *job, uint64_t deadline_ns,
                struct report_cell *cell)
{
    const struct scenario *s = job->plan.scenario;
    int ret;

    *g = (struct guest_run){.name = name,
                            .options = o,
                            .cell = c,
                            .scenario = s,
                            .report = cell,
                            .process = PROCESS_INIT,
                            .start_ns = monotonic_ns(),
                            .deadline_ns = deadline_ns,
                            .measures = job->measures};
    ret = c->ops->domain_create(c);
    if (!ret)
        ret = c->ops->backend_start(c);
    if (ret) {
        report_cell_worsen(cell, cell_start_outcome(c, ret), c->why);
        return ret;
    }
    g->check = report_cell_add_check(cell, scenario_run_result(s->run), PASS);
    report_set(&g->check->title, s->title);
    g->check->judges = DEVICE;
    return 0;
}

/* ---- timeline ---- */

static int pause_guest(struct guest_run *g, bool paused)
{
    int ret = process_signal(&g->process, paused ? SIGSTOP : SIGCONT);

    return ret ? testbed_fail(g->cell, ret, "the guest cannot be %s: %s",
                              paused ? "stopped" : "continued", strerror(-ret))
               : 0;
}

static int act(struct guest_run *g, enum scenario_action action)
{
    struct testbed_cell *c = g->cell;

    switch (action) {
    case ACTION_KILL_BACKEND:
        g->backend_down = true;
        return testbed_backend_kill(c);
    case ACTION_STOP_BACKEND:
        g->backend_down = true;
        return testbed_backend_stop(c);
    case ACTION_START_BACKEND:
        g->backend_down = false;
        return c->ops->backend_start(c);
    case ACTION_RESTART_BACKEND: {
        int ret = testbed_backend_kill(c);
        return ret ? ret : c->ops->backend_start(c);
    }
    case ACTION_UPGRADE_BACKEND: {
        int ret = testbed_backend_stop(c);
        return ret ? ret : c->ops->backend_start(c);
    }
    case ACTION_ATTACH_DEVICE: /* beside checks only (runner/timeline.c) */
    case ACTION_DETACH_DEVICE:
        return -EINVAL;
    case ACTION_PAUSE_DOMAIN:
        return c->ops->domain_pause(c, true);
    case ACTION_UNPAUSE_DOMAIN:
        return c->ops->domain_pause(c, false);
    case ACTION_PAUSE_GUEST:
        return pause_guest(g, true);
    case ACTION_UNPAUSE_GUEST:
        return pause_guest(g, false);
    }
    return -EINVAL;
}

/* What the step at hand counts; 0 where it counts nothing, and when the steps are over. An error is
 * in the result already. */
static int counted(struct guest_run *g, uint64_t *count)
{
    const struct scenario_step *step = &g->scenario->timeline[g->step];
    int ret = 0;

    *count = 0;
    if (g->step == g->scenario->timeline_count)
        return 0;
    if (step->when == WHEN_BYTES)
        *count = transfer_received(g->transfer);
    else if (step->when == WHEN_ACCESSES || step->when == WHEN_WITHIN)
        ret = g->cell->ops->domain_accesses(g->cell, count);
    if (ret)
        report_check_worsen(g->check, ERROR, g->cell->why);
    return ret;
}

/* Runs the steps that are due. *next_ns: when to look again, at the latest. */
static int advance(struct guest_run *g, uint64_t *next_ns)
{
    *next_ns = g->deadline_ns;
    while (g->step < g->scenario->timeline_count) {
        const struct scenario_step *step = &g->scenario->timeline[g->step];
        uint64_t now = monotonic_ns(), count;
        int ret;

        if (step->when == WHEN_AFTER && now - g->step_from_ns < step->amount) {
            *next_ns = g->step_from_ns + step->amount;
            return 0;
        }
        ret = counted(g, &count);
        if (ret)
            return ret;
        if (step->when != WHEN_AFTER && step->when != WHEN_START &&
            count - g->step_from_count < timeline_amount(step, g->options->seed, g->round)) {
            *next_ns = now + STEP_LOOK_NS;
            return 0;
        }
        if (g->step == 0 && g->round == 0 && g->cell->ops->use)
            (void)g->cell->ops->use(g->cell, &g->at_first_step);
        ret = act(g, step->action);
        if (ret) {
            char why[1200];
            snprintf(why, sizeof(why), "step at line %u of the timeline: %s", step->line,
                     g->cell->why);
            report_check_worsen(g->check, ret == -ECHILD || ret == -ETIMEDOUT ? CRASH : ERROR, why);
            return ret;
        }
        if (++g->round == step->times) {
            g->step++;
            g->round = 0;
        }
        g->step_from_ns = monotonic_ns();
        ret = counted(g, &g->step_from_count);
        if (ret)
            return ret;
    }
    return 0;
}

static int died(struct guest_run *g, struct process *p, const char *who, enum outcome o)
{
    char text[256], end[96];

    snprintf(text, sizeof(text), "%s died under %s: %s", who, g->name,
             process_describe_end(p, end, sizeof(end)));
    guest_broken(g, o, text);
    return -ECHILD;
}

static int out_of_time(struct guest_run *g)
{
    bool hung = false;
    char text[128];

    g->cell->ops->domain_hung(g->cell, &hung);
    snprintf(text, sizeof(text), "%s did not end within the cell's limit", g->name);
    report_check_worsen(g->check, hung ? CRASH : ERROR,
                        hung ? "the backend hangs: a vCPU waits for an answer" : text);
    return -ETIMEDOUT;
}

int guest_attend(struct guest_run *g, struct process *const *ends, unsigned count)
{
    struct pollfd pfd[ENDS_MAX + 2];

    g->step_from_ns = monotonic_ns();
    int ret = counted(g, &g->step_from_count);
    if (ret)
        return ret;
    for (;;) {
        bool is_end = false, running = false;
        uint64_t next;

        ret = advance(g, &next);
        if (ret)
            return ret;
        for (unsigned i = 0; i < count; i++) {
            pfd[i] = (struct pollfd){.fd = ends[i]->pid ? ends[i]->pidfd : -1, .events = POLLIN};
            running |= ends[i]->pid != 0;
            is_end |= ends[i] == &g->process;
        }
        if (!running)
            return 0;
        pfd[count] =
            (struct pollfd){.fd = g->backend_down ? -1 : g->cell->backend.pidfd, .events = POLLIN};
        pfd[count + 1] = (struct pollfd){.fd = is_end ? -1 : g->process.pidfd, .events = POLLIN};
        measured_look(g);
        if (g->measured && next > monotonic_ns() + MEASURED_LOOK_NS)
            next = monotonic_ns() + MEASURED_LOOK_NS;
        if (next > g->deadline_ns)
            next = g->deadline_ns;
        int n = poll(pfd, count + 2, poll_timeout_ms(next));
        if (n < 0 && errno != EINTR)
            return -errno;
        for (unsigned i = 0; n > 0 && i < count; i++)
            if (pfd[i].revents)
                (void)process_wait(ends[i], 0);
        if (n > 0 && pfd[count].revents && !process_running(&g->cell->backend))
            return died(g, &g->cell->backend, "the backend", CRASH);
        if (n > 0 && pfd[count + 1].revents && !process_running(&g->process))
            return died(g, &g->process, "what drives the device", FAIL);
        if (monotonic_ns() >= g->deadline_ns)
            return out_of_time(g);
    }
}

/* ---- verdict ---- */

void guest_judge_timeline(struct guest_run *g)
{
    char text[128];

    /* What has failed may have ended for that reason. */
    if (g->step == g->scenario->timeline_count || g->check->outcome >= FAIL)
        return;
    snprintf(text, sizeof(text), "%s ended before step %u of %u of the timeline (%u of %u times)",
             g->name, g->step + 1, g->scenario->timeline_count, g->round,
             g->scenario->timeline[g->step].times);
    report_check_worsen(g->check, ERROR, text);
}

void guest_judge_metrics(struct guest_run *g, uint64_t read_bytes, uint64_t written_bytes)
{
    const struct {
        enum scenario_metric metric;
        uint64_t value;
    } metrics[] = {{METRIC_READ, read_bytes},
                   {METRIC_WRITTEN, written_bytes},
                   {METRIC_RESTARTS, g->cell->backend_starts ? g->cell->backend_starts - 1 : 0}};

    for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
        char *why = cell_metric(g->scenario, g->report, metrics[i].metric, metrics[i].value);
        g->check->expectations++;
        if (why)
            guest_broken(g, FAIL, why);
        free(why);
    }
}

static void attach_log(struct guest_run *g)
{
    char *guest = testbed_log_tail(g->cell, "guest.log");
    char *backend = testbed_log_tail(g->cell, "backend.log");
    char *both = NULL;

    if (asprintf(&both, "%s: %s\nbackend: %s", g->name, guest ? guest : "",
                 backend ? backend : "") < 0)
        both = NULL;
    report_set(&g->check->log, both);
    free(guest);
    free(backend);
    free(both);
}

void guest_end(struct guest_run *g)
{
    /* A stopped process does not see a signal that asks it to end. */
    (void)process_signal(&g->process, SIGCONT);
    process_end(&g->process, SIGTERM, GUEST_END_NS);
    cell_finish_backend(g->cell, g->report);
    g->check->duration_ns = monotonic_ns() - g->start_ns;
    if (g->check->outcome >= FAIL)
        attach_log(g);
}
