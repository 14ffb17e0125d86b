/* SPDX-License-Identifier: MIT */
/* One job from beginning to end: the world, the backend, the checks, what they left behind. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include <fnmatch.h>

#include "runner/measured.h"
#include "runner/neighbour.h"
#include "runner/runner.h"
#include "runner/session.h"
#include "scenario/units.h"

#define CHECK_DEFAULT_NS 30000000000ull
#define CHECK_GRACE_NS   10000000000ull /* the agent's own limit comes first */
/*
 * Libraries open some descriptors at first use and keep them. Growth beyond that is a leak, found
 * after a few checks; mappings and ports have no such allowance.
 */
#define FDS_SLACK       8u
#define AUDIT_SETTLE_NS 500000000ull
/* For all that was mapped of a domain to go with it. */
#define END_LIMIT_NS 10000000000ull

struct run {
    const struct run_options *options;
    const struct job *job;
    struct testbed_cell *cell;
    struct session session;
    struct report_cell *report;
    uint64_t deadline_ns;
    bool stale; /* the world has to be made anew before the next check */
};

uint64_t cell_timeout_ns(const struct run_options *o, const struct job *job)
{
    const struct testbed_ops *ops = testbed_find(o->testbed);
    uint64_t own = o->timeout_ns
                       ? o->timeout_ns
                       : job->plan.scenario->timeout_ns * testbed_slowness(ops, o->slowness);

    return own + ops->open_ns;
}

struct report_cell *cell_report_create(const struct job *job, const char *testbed)
{
    const struct scenario_cell *p = &job->plan;
    char id[512];
    struct report_cell *c =
        report_cell_create(scenario_cell_id(p, id, sizeof(id)), p->scenario->name,
                           p->scenario->title, p->scenario->path, testbed);

    for (unsigned i = 0; i < p->axes; i++)
        report_pairs_add(&c->axes, scenario_axis_name(p->axis[i]), p->value[i]);
    if (p->scenario->table)
        report_cell_set_table(c, p->scenario->table);
    for (unsigned i = 0; i < p->scenario->column_count; i++)
        report_cell_add_column(c, p->scenario->columns[i]);
    return c;
}

char *cell_metric(const struct scenario *s, struct report_cell *cell, enum scenario_metric m,
                  uint64_t value)
{
    char text[64], *broken = NULL;

    scenario_metric_format(m, value, text, sizeof(text));
    report_pairs_add(&cell->metrics, scenario_metric_name(m), text);
    for (unsigned i = 0; i < s->expect_count; i++) {
        const struct scenario_expect *e = &s->expect[i];
        if (e->metric != m || scenario_expect_holds(e, value))
            continue;
        if (asprintf(&broken, "%s is %s, expected %s (%s:%u)", scenario_metric_name(m), text,
                     e->text, s->path, e->line) < 0)
            broken = NULL;
    }
    return broken;
}

enum outcome cell_start_outcome(struct testbed_cell *c, int ret)
{
    if (ret == -EOPNOTSUPP)
        return SKIP;
    if (ret == -ETIMEDOUT || (ret == -ECHILD && WIFSIGNALED(c->backend.status)))
        return CRASH;
    /* It was ready, and is gone before it was looked at for the first time. */
    if (ret == -ESRCH && !process_running(&c->backend))
        return CRASH;
    return ERROR;
}

/* ---- the world ---- */

static bool has_backend(const struct run *r)
{
    return r->job->plan.scenario->device_count > 0;
}

/* Some checks begin where the domain runs and no backend has been there yet. */
static bool begins_unserved(const struct wire_check *w)
{
    for (const char *at = w->needs; (at = strstr(at, "unserved")); at++)
        if ((at == w->needs || at[-1] == ' ') && strchr(" ", at[strlen("unserved")]))
            return true;
    return false;
}

/* Where Xen refuses every backend, too. */
static bool runs_first(const struct run *r)
{
    return r->job->plan.start == START_DOM0LESS || scenario_cell_serves_itself(&r->job->plan);
}

/* Backends in a world that has none yet; those that are late come when a check wants them. */
static int serve(struct run *r)
{
    int ret = session_backend_start(&r->session);

    for (unsigned n = 1; !ret && n < scenario_cell_backends(&r->job->plan); n++) {
        if (r->job->plan.scenario->backends[n].late)
            continue;
        testbed_select(r->cell, n);
        ret = session_backend_start(&r->session);
        testbed_select(r->cell, 0);
    }
    if (ret)
        report_cell_worsen(r->report, cell_start_outcome(r->cell, ret), r->cell->why);
    return ret;
}

/* A fresh domain, backend and agent; the first time and after something broke. A domain that Xen
 * starts runs before its backend, which comes when a check wants it. */
static int build(struct run *r)
{
    struct testbed_cell *c = r->cell;
    int ret;

    session_close(&r->session);
    ret = c->ops->domain_create(c);
    if (ret) {
        report_cell_worsen(r->report, ERROR, c->why);
        return ret;
    }
    session_init(&r->session, c, r->options->seed);
    if (has_backend(r) && !runs_first(r) && (ret = serve(r)))
        return ret;
    ret = session_open(&r->session, r->deadline_ns);
    if (!ret)
        ret = session_list(&r->session, r->deadline_ns);
    if (ret)
        report_cell_worsen(r->report, ERROR, r->session.why);
    r->stale = false;
    return ret;
}

static void set_log(char **log, struct testbed_cell *c, const char *name)
{
    char *text = testbed_log_tail(c, name);

    report_set(log, text);
    free(text);
}

/* What the agent said beside its protocol, and, in a domU with a console, the kernel around it. */
static void set_agent_log(struct run *r, struct report_check *k)
{
    bool dom0 = r->session.runs == AGENT_DOM0;
    char *agent = testbed_log_tail(r->cell, dom0 ? "agent-dom0.log" : "agent.log");
    char *console = testbed_log_tail(r->cell, dom0 ? "console-dom0.log" : "console-domu.log");
    char *both = NULL;

    if (asprintf(&both, "%s%s%s", agent ? agent : "",
                 console && console[0] ? "\nits console ends with:\n" : "",
                 console ? console : "") < 0)
        both = NULL;
    report_set(&k->log, both);
    free(agent);
    free(console);
    free(both);
}

void cell_finish_backend(struct testbed_cell *c, struct report_cell *cell)
{
    char name[TESTBED_LOG_NAME_BYTES];

    for (unsigned n = scenario_cell_backends(&c->plan); n-- > 0;) {
        testbed_select(c, n);
        if (!process_running(&c->backend) || !testbed_backend_stop(c))
            continue;
        report_cell_worsen(cell, CRASH, c->why);
        set_log(&cell->log, c, testbed_backend_log(c, name));
    }
    testbed_select(c, 0);
}

/* ---- after a check ---- */

static void crash(struct run *r, struct report_check *k, const char *reason)
{
    char name[TESTBED_LOG_NAME_BYTES];

    report_check_worsen(k, CRASH, reason);
    set_log(&k->log, r->cell, testbed_backend_log(r->cell, name));
    r->stale = true;
}

static unsigned describe_excess(char *buf, size_t size, const char *what, uint64_t now,
                                uint64_t before, unsigned used)
{
    if (now <= before || used >= size)
        return used;
    return used + (unsigned)snprintf(buf + used, size - used,
                                     "%s%" PRIu64 " %s (%" PRIu64 " before)", used ? ", " : "", now,
                                     what, before);
}

/* What the backend holds more than when it was fresh. "" when nothing. A release may be on its
 * way still: it is looked at again until a limit. */
static int leftovers(struct run *r, char *buf, size_t size)
{
    uint64_t deadline = monotonic_ns() + AUDIT_SETTLE_NS * testbed_cell_slowness(r->cell);
    const struct testbed_audit *b = &r->session.backends[r->cell->selected].baseline;

    for (;;) {
        const struct timespec pause = {.tv_nsec = 2000000};
        struct testbed_audit a;
        unsigned used = 0;

        buf[0] = 0;
        int ret = testbed_backend_audit(r->cell, &a);
        if (ret)
            return ret;
        used = describe_excess(buf, size, "mapped grants", a.grants_mapped, b->grants_mapped, used);
        used =
            describe_excess(buf, size, "foreign frames", a.foreign_frames, b->foreign_frames, used);
        used = describe_excess(buf, size, "resource frames", a.resource_frames, b->resource_frames,
                               used);
        used = describe_excess(buf, size, "event channels", a.ports, b->ports, used);
        used = describe_excess(buf, size, "IOREQ servers", a.ioservers, b->ioservers, used);
        used = describe_excess(buf, size, "file descriptors", a.fds, b->fds + FDS_SLACK, used);
        if (!used || monotonic_ns() >= deadline)
            return 0;
        nanosleep(&pause, NULL);
    }
}

/* True when it does not run; what that means for the check is said then. */
static bool backend_gone(struct run *r, struct report_check *k)
{
    struct process *p = &r->cell->backend;
    char text[256], end[96];

    if (process_running(p))
        return false;
    if (!r->session.backends[r->cell->selected].down) {
        snprintf(text, sizeof(text), "the %s died: %s",
                 scenario_backend_name(r->job->plan.scenario, r->cell->selected),
                 process_describe_end(p, end, sizeof(end)));
        crash(r, k, text);
    }
    r->stale = true;
    return true;
}

/* What was found then, to be said with the check's own result. "" where there is nothing. */
struct aftermath {
    bool looked;
    char held[128], died[192];
};

/*
 * The check has had its domain ended. Whoever served it lets go of all of it, by itself and in
 * time. Then the next domain comes, as one that is rebooted does: of the same name with another
 * domid, and a driver finds its devices fresh.
 */
static int after_domain(struct run *r, const struct wire_check *w, uint64_t deadline_ns,
                        struct check_result *result, struct aftermath *a)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    struct testbed_cell *c = r->cell;
    uint64_t frames = 0, end = monotonic_ns() + END_LIMIT_NS * testbed_cell_slowness(c);
    struct process *p = &c->backend;
    char how[96];
    int ret;

    while (!(ret = c->ops->domain_left(c, r->session.ended_domid, &frames)) && frames &&
           monotonic_ns() < end)
        nanosleep(&pause, NULL);
    if (ret) {
        snprintf(r->session.why, sizeof(r->session.why), "%.500s", c->why);
        return ret;
    }
    a->looked = true;
    if (frames)
        snprintf(a->held, sizeof(a->held),
                 "domain %u has ended, and somebody still has %" PRIu64 " frames of it",
                 r->session.ended_domid, frames);
    if (!process_running(p) && WIFSIGNALED(p->status))
        snprintf(a->died, sizeof(a->died), "the backend died with its driver's domain: %s",
                 process_describe_end(p, how, sizeof(how)));
    ret = build(r);
    if (ret)
        return ret;
    r->session.reborn = true;
    ret = session_run(&r->session, w, deadline_ns, result);
    r->session.reborn = false;
    return ret;
}

/* The selected one: what does it hold? */
static void judge_leftovers(struct run *r, struct report_check *k)
{
    struct testbed_cell *c = r->cell;
    char text[512];

    if (leftovers(r, text, sizeof(text))) {
        /* It may have died while it was looked at. */
        (void)process_wait(&c->backend, AUDIT_SETTLE_NS * testbed_cell_slowness(c));
        if (!backend_gone(r, k))
            report_check_worsen(k, ERROR, c->why);
        r->stale = true;
        return;
    }
    if (text[0]) {
        char whole[640];
        snprintf(whole, sizeof(whole), "after the check and a device reset the %.60s holds %s",
                 scenario_backend_name(r->job->plan.scenario, c->selected), text);
        report_check_add_failure(k, MUST, "", 0, whole);
        report_check_worsen(k, FAIL, "");
        r->stale = true;
    }
}

static void judge_backend(struct run *r, struct report_check *k, bool answered)
{
    struct testbed_cell *c = r->cell;
    bool hung = false, gone = false;

    if (!has_backend(r))
        return;
    /* A check that restarts a backend leaves a domain with a history. */
    r->stale |= r->session.backend_touched;
    if (!r->session.backends[0].has_baseline) /* the domain is still unserved */
        return;
    for (unsigned n = 0; n < scenario_cell_backends(&r->job->plan); n++) {
        testbed_select(c, n);
        if (r->session.backends[n].has_baseline)
            gone |= backend_gone(r, k);
    }
    testbed_select(c, 0);
    if (gone)
        return;
    if (!(answered && c->ops->hung_is_costly) && !c->ops->domain_hung(c, &hung) && hung) {
        crash(r, k, "the backend hangs: a vCPU waits for an answer that does not come");
        return;
    }
    for (unsigned n = 0; n < scenario_cell_backends(&r->job->plan); n++) {
        testbed_select(c, n);
        if (r->session.backends[n].has_baseline)
            judge_leftovers(r, k);
    }
    testbed_select(c, 0);
}

/* What the device turned out to offer, against what its profile claims. */
static void judge_claims(const struct run *r, struct report_check *k)
{
    const struct profile *p = r->cell->config->profile;

    for (unsigned i = 0; p && i < k->notes.count; i++) {
        char text[96];

        if (strcmp(k->notes.items[i].name, "features"))
            continue;
        int bit = profile_unclaimed_feature(p, r->job->plan.scenario->devices[0].type,
                                            strtoull(k->notes.items[i].value, NULL, 16));
        if (bit < 0)
            continue;
        snprintf(text, sizeof(text), "feature bit %d is offered, and the profile does not claim it",
                 bit);
        report_check_add_failure(k, MUST, "", 0, text);
        report_check_worsen(k, FAIL, "");
    }
}

/* A failure that the backend's profile documents is a known one. */
static void apply_deviation(const struct profile *p, struct report_check *k)
{
    const struct profile_deviation *d = p ? profile_deviation(p, k->name) : NULL;

    if (!d || (k->outcome != WARN && k->outcome != FAIL && k->outcome != CRASH))
        return;
    k->outcome = KNOWN;
    report_set(&k->reason, d->reason);
}

static void run_check(struct run *r, const struct wire_check *w)
{
    uint64_t limit = w->timeout_ms ? w->timeout_ms * 1000000ull : CHECK_DEFAULT_NS;
    uint64_t deadline = monotonic_ns() + (limit + CHECK_GRACE_NS) * testbed_cell_slowness(r->cell);
    unsigned timeline_count = r->job->plan.scenario->timeline_count;
    struct aftermath after = {0};
    struct check_result result;
    char name[2 * WIRE_NAME_MAX];
    uint64_t start = monotonic_ns();

    snprintf(name, sizeof(name), "%s.%s", w->family, w->name);
    struct report_check *k = report_cell_add_check(r->report, name, PASS);
    report_set(&k->title, w->title);
    report_set(&k->proves, w->proves);
    k->judges = w->judges;

    if (deadline > r->deadline_ns)
        deadline = r->deadline_ns;
    int ret = session_run(&r->session, w, deadline, &result);
    if (!ret && r->session.domain_ended)
        ret = after_domain(r, w, deadline, &result, &after);
    if (!ret) {
        report_check_take(k, &result);
        if (r->job->measures)
            measured_memory(r->cell, k);
        k->expectations += after.looked;
        if (k->outcome == PASS && !k->expectations)
            report_check_worsen(k, ERROR, "the check evaluated no expectation");
    } else {
        /* Of a crash and a broken conversation the crash is the cause. */
        k->duration_ns = monotonic_ns() - start;
        r->stale = true;
    }
    if (after.held[0]) {
        report_check_add_failure(k, MUST, "", 0, after.held);
        report_check_worsen(k, FAIL, "");
    }
    if (after.died[0])
        crash(r, k, after.died);
    judge_backend(r, k, ret == 0);
    if (!ret && k->outcome != SKIP && k->outcome < FAIL &&
        r->session.timeline.step < timeline_count) {
        char text[96];

        snprintf(text, sizeof(text), "the check ended before step %u of %u of the timeline",
                 r->session.timeline.step + 1, timeline_count);
        report_check_worsen(k, ERROR, text);
    }
    /* What failed may have left the domain in a state that fails the next check, too. */
    r->stale |= k->outcome >= FAIL;
    if (ret && k->outcome < CRASH) {
        report_check_worsen(k, ERROR, r->session.why);
        set_agent_log(r, k);
    }
    judge_claims(r, k);
    apply_deviation(r->cell->config->profile, k);
}

/* ---- which checks ---- */

static bool selected_by(const char *name, const char *const *patterns, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!fnmatch(patterns[i], name, 0))
            return true;
    return false;
}

/* The checks to run, as copies: the session's list changes when the world is made anew. */
static struct wire_check *select_checks(struct run *r, unsigned *count)
{
    const struct scenario *s = r->job->plan.scenario;
    const struct session *se = &r->session;
    struct wire_check *list = calloc(se->check_count + 1, sizeof(*list));
    char name[2 * WIRE_NAME_MAX], why[256];
    /* Whoever wants a neighbour's result alone wants it beside all the rest. */
    bool all = !r->job->filter_count ||
               (s->neighbour.job &&
                selected_by(SCENARIO_NEIGHBOUR_RESULT, r->job->filters, r->job->filter_count));

    *count = 0;
    if (!list)
        return NULL;
    for (unsigned p = 0; p < s->check_count && !r->job->filter_count; p++) {
        bool any = false;
        for (unsigned i = 0; i < se->check_count && !any; i++) {
            snprintf(name, sizeof(name), "%s.%s", se->checks[i].family, se->checks[i].name);
            any = !fnmatch(s->checks[p], name, 0);
        }
        if (any)
            continue;
        snprintf(why, sizeof(why), "the agent has no check that matches '%.100s'", s->checks[p]);
        report_cell_worsen(r->report, ERROR, why);
    }
    for (unsigned i = 0; i < se->check_count; i++) {
        snprintf(name, sizeof(name), "%s.%s", se->checks[i].family, se->checks[i].name);
        if (selected_by(name, (const char *const *)s->checks, s->check_count) &&
            (all || selected_by(name, r->job->filters, r->job->filter_count)))
            list[(*count)++] = se->checks[i];
    }
    if (!*count)
        report_cell_worsen(r->report, SKIP, "no check of this scenario is selected");
    return list;
}

static void run_checks(struct run *r)
{
    struct wire_check *list = NULL;
    unsigned count = 0, i;
    char text[96];

    if (build(r))
        return;
    list = select_checks(r, &count);
    struct neighbour *beside =
        list && count ? neighbour_begin(r->options, r->cell, r->job, r->deadline_ns, r->report)
                      : NULL;
    for (i = 0; list && i < count; i++) {
        if (monotonic_ns() >= r->deadline_ns) {
            snprintf(text, sizeof(text), "the time limit was reached, %u of %u checks ran", i,
                     count);
            report_cell_worsen(r->report, ERROR, text);
            break;
        }
        if (r->cell->ops->alive(r->cell)) {
            report_cell_worsen(r->report, ERROR, r->cell->why);
            break;
        }
        /* The domain of a check that begins without a backend has never seen one. */
        if (runs_first(r) && begins_unserved(&list[i]) && r->session.backends[0].has_baseline)
            r->stale = true;
        if (r->stale && build(r))
            break;
        if (has_backend(r) && r->job->plan.start == START_DOM0LESS && !begins_unserved(&list[i]) &&
            !process_running(&r->cell->backend) && serve(r))
            break;
        run_check(r, &list[i]);
    }
    free(list);
    neighbour_end(beside);
    if (session_close(&r->session) && !r->stale) {
        report_cell_worsen(r->report, ERROR, r->session.why);
        set_log(&r->report->log, r->cell, "agent.log");
    }
    cell_finish_backend(r->cell, r->report);
}

static void check_expectations(struct run *r, uint64_t start)
{
    const struct scenario *s = r->job->plan.scenario;
    uint64_t passed = 0;
    char *broken[2] = {NULL, NULL};

    if (!s->expect_count || r->job->filter_count)
        return;
    if (r->report->outcome == SKIP && !r->report->check_count)
        return; /* there was no such world; the cell says why */
    for (unsigned i = 0; i < r->report->check_count; i++)
        passed += r->report->checks[i].outcome == PASS || r->report->checks[i].outcome == KNOWN;
    if (s->check_count)
        broken[0] = cell_metric(s, r->report, METRIC_CHECKS, passed);
    broken[1] = cell_metric(s, r->report, METRIC_DURATION, monotonic_ns() - start);
    for (unsigned i = 0; i < 2; i++) {
        if (broken[i])
            report_cell_worsen(r->report, FAIL, broken[i]);
        free(broken[i]);
    }
}

void cell_run(const struct run_options *o, const struct testbed_config *cfg, const struct job *job,
              uint64_t deadline_ns, struct report_cell *cell)
{
    struct run r = {.options = o, .job = job, .report = cell, .deadline_ns = deadline_ns};
    const struct testbed_ops *ops = testbed_find(o->testbed);
    uint64_t start = monotonic_ns();
    char why[1024];

    if (ops->supports && !ops->supports(&job->plan, why, sizeof(why))) {
        report_cell_worsen(cell, SKIP, why);
        return;
    }
    if (ops->open(cfg, &job->plan, &r.cell, why, sizeof(why))) {
        report_cell_worsen(cell, ERROR, why);
    } else if (job->plan.scenario->run == RUN_FIO) {
        fio_run(o, r.cell, job, deadline_ns, cell);
    } else if (job->plan.scenario->run != RUN_CHECKS) {
        net_run(o, r.cell, job, deadline_ns, cell);
    } else {
        run_checks(&r);
    }
    for (unsigned i = 0; job->plan.scenario->run != RUN_CHECKS && i < cell->check_count; i++)
        apply_deviation(cfg->profile, &cell->checks[i]);
    check_expectations(&r, start);
    if (r.cell && r.cell->boot[0])
        report_pairs_add(&cell->metrics, "boot", r.cell->boot);
    if (cell->outcome >= CRASH && r.cell && !cell->log[0])
        set_log(&cell->log, r.cell, cell->outcome == CRASH ? "backend.log" : "hv.log");
    if (r.cell)
        ops->close(r.cell);
}
