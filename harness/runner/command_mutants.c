/* SPDX-License-Identifier: MIT */
/*
 * Is every check able to fail? For each mutant of the catalogue the check that has to catch it is
 * run against a program that carries the fault.
 *
 * First the checks run against the same build with no mutant active: that finds a cell in which
 * the check does not skip, and shows that it passes there (a check that fails anyway proves
 * nothing). Then each mutant runs in that cell. A fault may show in some cells only (with a
 * serial number of 20 characters, say), so a mutant that survives is tried in the next one.
 *
 * A check that only scenarios of another testbed select (one that needs a Linux, say) is left for
 * a run there.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"
#include "runner/runner.h"

#ifdef __aarch64__
static const enum scenario_arch own_arch = ARCH_ARM;
#else
static const enum scenario_arch own_arch = ARCH_X86;
#endif

struct subject {
    const struct catalog_mutant *m;
    bool in_sim;           /* the simulated Xen carries it, not the backend */
    unsigned cell;         /* job of the plan that is tried, or was found */
    bool elsewhere;        /* only another testbed can tell */
    bool exhausted, found; /* found: the check ran there and passed */
    bool tried;            /* with the mutant, in the cell that was found */
    bool survived;         /* in an earlier cell */
    char *trouble;         /* why it cannot be judged */
    enum outcome outcome;  /* of its check, with the mutant active */
    char *said;            /* by the check */
};

struct mutants {
    struct run_options options;
    struct install install;
    struct testbed_config backend_config, sim_config;
    struct plan plan;
    struct catalog *catalog;
    struct subject *subjects;
    unsigned count;
    const struct testbed_ops *testbed;
};

static void *need(void *p)
{
    if (!p) {
        fputs("ringproof: out of memory\n", stderr);
        exit(REPORT_HARNESS_ERROR);
    }
    return p;
}

static void trouble(struct subject *s, const char *text)
{
    free(s->trouble);
    s->trouble = need(strdup(text));
}

/* Can this scenario run the check, as far as its patterns say? */
static bool scenario_has(const struct scenario *s, const char *check)
{
    if (s->run != RUN_CHECKS)
        return !strcmp(check, scenario_run_result(s->run)) ||
               (s->run == RUN_FIO && scenario_kills_backend(s) &&
                !strcmp(check, "fio.nothing_left"));
    if (s->neighbour.job && !strcmp(check, SCENARIO_NEIGHBOUR_RESULT))
        return true;
    for (unsigned i = 0; i < s->check_count; i++)
        if (!fnmatch(s->checks[i], check, 0))
            return true;
    return false;
}

/* Moves to the next cell that may do, from `from` on. */
static void seek(struct mutants *u, struct subject *s, unsigned from)
{
    for (s->cell = from; s->cell < u->plan.job_count; s->cell++) {
        const struct scenario_cell *cell = &u->plan.jobs[s->cell].plan;
        char why[256];

        if (!scenario_has(cell->scenario, s->m->check))
            continue;
        /* The build with mutants is for this machine's processor. */
        if (u->testbed->world_open && cell->arch != own_arch)
            continue;
        if (!u->testbed->supports || u->testbed->supports(cell, why, sizeof(why)))
            return;
    }
    s->exhausted = true;
}

static const struct report_check *find_check(const struct report_cell *c, const char *name)
{
    for (unsigned i = 0; c && i < c->check_count; i++)
        if (!strcmp(c->checks[i].name, name))
            return &c->checks[i];
    return NULL;
}

/* What a control run says about a check; true when the search is over. */
static bool judge_control(struct mutants *u, struct subject *s, const struct report_cell *c)
{
    const struct report_check *k = find_check(c, s->m->check);
    char text[1024];

    if (k && k->outcome == PASS) {
        s->found = true;
        return true;
    }
    if (k && k->outcome == SKIP) {
        seek(u, s, s->cell + 1);
        if (s->exhausted && !s->survived) {
            snprintf(text, sizeof(text), "skipped in every cell: %.800s", k->reason);
            trouble(s, text);
        }
        return s->exhausted;
    }
    if (!k && c && c->outcome <= SKIP) {
        trouble(s, "no check of this name");
    } else {
        snprintf(text, sizeof(text), "without the mutant it is %s in %.200s: %.600s",
                 outcome_name(k   ? k->outcome
                              : c ? c->outcome
                                  : ERROR),
                 c ? c->id : "",
                 k && k->failure_count ? k->failures[0].text
                 : k                   ? k->reason
                 : c                   ? c->reason
                                       : "");
        trouble(s, text);
    }
    return true;
}

static int run_jobs(struct mutants *u, struct job *jobs, unsigned count)
{
    const struct schedule s = {
        .options = &u->options, .install = &u->install, .jobs = jobs, .job_count = count};

    return count ? schedule_run(&s) : 0;
}

/* Rounds of control runs, each cell once a round with all checks that are looked for in it. */
static int find_cells(struct mutants *u)
{
    bool *open = need(calloc(u->count + 1, sizeof(*open)));
    bool any = false;
    int ret = 0;

    for (unsigned i = 0; i < u->count; i++) {
        const struct subject *s = &u->subjects[i];
        open[i] = !s->elsewhere && !s->exhausted && !s->found && !s->trouble;
        any |= open[i];
    }
    while (any && !ret) {
        struct job *jobs = need(calloc(2u * u->plan.job_count + 1, sizeof(*jobs)));
        unsigned *of = need(calloc(u->count + 1, sizeof(*of)));
        const char **filters = need(calloc(u->count + 1, sizeof(*filters)));
        unsigned count = 0, used = 0;

        for (unsigned cell = 0; cell < u->plan.job_count; cell++) {
            for (unsigned sim = 0; sim < 2; sim++) {
                unsigned first = used;
                for (unsigned i = 0; i < u->count; i++) {
                    if (!open[i] || u->subjects[i].cell != cell || u->subjects[i].in_sim != sim)
                        continue;
                    filters[used++] = u->subjects[i].m->check;
                    of[i] = count;
                }
                if (used == first)
                    continue;
                jobs[count++] = (struct job){.plan = u->plan.jobs[cell].plan,
                                             .filters = filters + first,
                                             .filter_count = used - first,
                                             .testbed = sim ? &u->sim_config : &u->backend_config};
            }
        }
        ret = run_jobs(u, jobs, count);
        any = false;
        for (unsigned i = 0; !ret && i < u->count; i++) {
            if (open[i])
                open[i] = !judge_control(u, &u->subjects[i], jobs[of[i]].result);
            any |= open[i];
        }
        for (unsigned i = 0; i < count; i++)
            report_cell_destroy(jobs[i].result);
        free(jobs);
        free(of);
        free(filters);
    }
    free(open);
    return ret;
}

/*
 * A backend that dies of its fault is found out, too. A check of the simulation itself has to say
 * what is wrong.
 */
static bool is_killed(const struct subject *s)
{
    return s->outcome == FAIL || (!s->in_sim && (s->outcome == WARN || s->outcome == CRASH));
}

/*
 * One result a mutant: passed when all of its checks failed, which stand one behind the other.
 * What the checks said is the evidence.
 */
static void judge(const struct mutants *u, struct report_cell *cell)
{
    struct report_check *k = NULL;

    for (unsigned i = 0; i < u->count; i++) {
        const struct subject *s = &u->subjects[i];
        char text[1200];

        if (!k || strcmp(s[-1].m->name, s->m->name) != 0) {
            k = report_cell_add_check(cell, s->m->name, PASS);
            report_set(&k->title, s->m->description);
        }
        if (s->elsewhere) {
            report_pairs_add(&k->notes, "elsewhere", s->m->check);
            continue;
        }
        report_pairs_add(&k->notes, "check", s->m->check);
        k->expectations++;
        if (s->trouble) {
            report_check_worsen(k, ERROR, s->trouble);
        } else if (is_killed(s)) {
            report_pairs_add(&k->notes, outcome_name(s->outcome), s->said);
        } else if (s->outcome == PASS) {
            snprintf(text, sizeof(text), "%s passes although %s", s->m->check, s->m->description);
            report_check_add_failure(k, MUST, "", 0, text);
            report_check_worsen(k, FAIL, "");
        } else {
            snprintf(text, sizeof(text), "%s is %s: %.800s", s->m->check, outcome_name(s->outcome),
                     s->said ? s->said : "");
            report_check_worsen(k, ERROR, text);
        }
    }
    for (unsigned i = 0; i < cell->check_count; i++)
        if (!cell->checks[i].expectations)
            report_check_worsen(&cell->checks[i], SKIP, "another testbed has to judge it");
    if (!u->count)
        report_cell_worsen(cell, ERROR, "the catalogue has no mutant");
    report_cell_settle(cell);
}

static void print_mutant(const struct report_check *k)
{
    printf("%-8s  %-40s",
           k->outcome == PASS   ? "killed"
           : k->outcome == FAIL ? "SURVIVED"
                                : "ERROR",
           k->name);
    for (unsigned n = 0; n < k->notes.count; n++)
        if (!strcmp(k->notes.items[n].name, "check"))
            printf(" %s", k->notes.items[n].value);
    puts("");
    if (k->outcome != PASS)
        printf("          %s\n", k->failure_count ? k->failures[0].text : k->reason);
}

/* Those that were not killed come last: the end of a long list is what is read. */
static void print_table(const struct report_cell *c)
{
    unsigned killed = 0, skipped = 0, checks = 0;

    puts("");
    for (unsigned i = 0; i < c->check_count; i++) {
        const struct report_check *k = &c->checks[i];

        if (k->outcome == PASS)
            print_mutant(k);
        killed += k->outcome == PASS;
        skipped += k->outcome == SKIP;
        for (unsigned n = 0; k->outcome != SKIP && n < k->notes.count; n++)
            checks += !strcmp(k->notes.items[n].name, "check");
    }
    for (unsigned i = 0; i < c->check_count; i++)
        if (c->checks[i].outcome != PASS && c->checks[i].outcome != SKIP)
            print_mutant(&c->checks[i]);
    unsigned judged = c->check_count - skipped;
    if (judged)
        printf("\n%u of %u mutants killed (%u.%u %%), by %u checks\n", killed, judged,
               killed * 100 / judged, killed * 1000 / judged % 10, checks);
    if (skipped)
        printf("%u have to be judged on another testbed\n", skipped);
    printf("%u passed, %u failed, %u skipped\n", killed, judged - killed, skipped);
}

/* The mutants named on the command line, or all. */
static int choose(struct mutants *u)
{
    size_t n;
    const struct catalog_mutant *m = catalog_mutants(u->catalog, &n);
    char **names = u->options.names;

    u->subjects = need(calloc(n + 1, sizeof(*u->subjects)));
    for (unsigned k = 0; k < u->options.name_count; k++) {
        bool any = false;
        for (size_t i = 0; i < n && !any; i++)
            any = !fnmatch(names[k], m[i].name, 0);
        if (any)
            continue;
        fprintf(stderr, "ringproof mutants: no mutant '%s' in the catalogue\n", names[k]);
        return -EINVAL;
    }
    for (size_t i = 0; i < n; i++) {
        bool wanted = u->options.name_count == 0;
        for (unsigned k = 0; k < u->options.name_count; k++)
            wanted |= !fnmatch(names[k], m[i].name, 0);
        if (u->options.filter && fnmatch(u->options.filter, m[i].check, 0))
            wanted = false;
        if (wanted)
            u->subjects[u->count++] =
                (struct subject){.m = &m[i], .in_sim = !strcmp(m[i].program, "simxen")};
    }
    return 0;
}

/* Each one's first cell that may do. */
static void seek_all(struct mutants *u)
{
    for (unsigned i = 0; i < u->count; i++) {
        struct subject *s = &u->subjects[i];
        bool selected = false;

        for (unsigned k = 0; k < u->plan.scenario_count && !selected; k++)
            selected = scenario_has(u->plan.scenarios[k], s->m->check);
        seek(u, s, 0);
        if (!selected)
            trouble(s, "no scenario selects the check");
        else
            s->elsewhere = s->exhausted || (s->in_sim && u->testbed->world_open);
    }
}

/* Sends those that survived on to their next cells; false when there are none. */
static bool seek_survivors(struct mutants *u)
{
    bool any = false;

    for (unsigned i = 0; i < u->count; i++) {
        struct subject *s = &u->subjects[i];
        if (!s->tried || s->trouble || s->exhausted || s->outcome != PASS)
            continue;
        s->survived = true;
        s->found = s->tried = false;
        seek(u, s, s->cell + 1);
        any |= !s->exhausted;
    }
    return any;
}

/* Backend and simulation from the build with mutants; everything else from ours. */
static int configure(struct mutants *u, struct install *mutant)
{
    struct run_options o = u->options;
    char *dir = o.variant_dir ? strdup(o.variant_dir) : install_variant_dir(&u->install, "mutant");
    int ret;

    need(dir);
    o.variant_dir = dir;
    ret = install_find(&o, true, mutant);
    if (ret)
        fputs("ringproof mutants: the build with mutants is missing: make VARIANT=mutant build\n",
              stderr);
    u->backend_config = u->install.testbed;
    u->backend_config.backend_bin = mutant->testbed.backend_bin;
    u->backend_config.backend_sim_dir = mutant->testbed.backend_sim_dir;
    u->sim_config = mutant->testbed;
    u->sim_config.bin_dir = mutant->variant_bin_dir;
    u->sim_config.sim_dir = mutant->testbed.agent_sim_dir;
    u->sim_config.mutant_everywhere = true;
    free(dir);
    return ret;
}

static int run_mutants(struct mutants *u)
{
    struct job *jobs = need(calloc(u->count + 1, sizeof(*jobs)));
    unsigned count = 0;

    for (unsigned i = 0; i < u->count; i++) {
        const struct subject *s = &u->subjects[i];
        if (s->found && !s->tried)
            jobs[count++] =
                (struct job){.plan = u->plan.jobs[s->cell].plan,
                             .filters = &u->subjects[i].m->check,
                             .filter_count = 1,
                             .mutant = s->m->name,
                             .testbed = s->in_sim ? &u->sim_config : &u->backend_config};
    }
    int ret = run_jobs(u, jobs, count);
    for (unsigned i = 0, k = 0; i < u->count; i++) {
        struct subject *s = &u->subjects[i];
        if (!s->found || s->tried)
            continue;
        s->tried = true;
        struct report_cell *c = jobs[k++].result;
        const struct report_check *r = find_check(c, s->m->check);
        if (r) {
            s->outcome = r->outcome;
            free(s->said);
            s->said = need(strdup(r->failure_count ? r->failures[0].text : r->reason));
        } else if (c && c->outcome == CRASH) { /* it did not even come up */
            s->outcome = CRASH;
            free(s->said);
            s->said = need(strdup(c->reason));
        } else if (!s->trouble) {
            trouble(s, c && c->reason[0] ? c->reason : "the check did not run");
        }
        report_cell_destroy(c);
    }
    free(jobs);
    return ret;
}

int command_mutants(int argc, char **argv)
{
    struct mutants u = {.count = 0};
    struct install mutant = {0};
    struct report *report = NULL;
    char why[1024], dir[1024], *results = NULL;
    int status = REPORT_BAD_USAGE, ret;

    ret = options_parse("mutants", argc, argv, &u.options);
    if (ret)
        goto out;
    if (install_find(&u.options, true, &u.install) || configure(&u, &mutant)) {
        status = REPORT_HARNESS_ERROR;
        goto out;
    }
    snprintf(dir, sizeof(dir), "%s/harness/catalog", u.install.data);
    if (catalog_load(dir, &u.catalog, why, sizeof(why))) {
        fprintf(stderr, "ringproof mutants: %s\n", why);
        status = REPORT_HARNESS_ERROR;
        goto out;
    }
    if (choose(&u))
        goto out;
    struct run_options all = u.options; /* names and filter speak of mutants, not of scenarios */
    all.name_count = 0;
    all.filter = NULL;
    if (plan_make(&all, &u.install, &u.plan))
        goto out;
    u.testbed = testbed_find(u.options.testbed); /* plan_make has refused an unknown one */

    status = REPORT_HARNESS_ERROR;
    report = run_report_create("mutants", &u.options, &u.install, argc, argv);
    results = run_results_dir(&u.options, report);
    if (!results)
        goto out;
    if (u.testbed->world_open && u.testbed->world_open(&u.backend_config, results,
                                                       &u.backend_config.world, why, sizeof(why))) {
        fprintf(stderr, "ringproof mutants: testbed %s: %s\n", u.testbed->name, why);
        goto out;
    }
    uint64_t start = monotonic_ns();
    seek_all(&u);
    do {
        ret = find_cells(&u);
        if (!ret)
            ret = run_mutants(&u);
    } while (!ret && seek_survivors(&u));
    struct report_cell *cell =
        report_cell_create("mutants", "mutants", "Every check fails against its broken backend", "",
                           u.options.testbed);
    report->run.interrupted = ret == -EINTR;
    cell->duration_ns = report->run.duration_ns = monotonic_ns() - start;
    judge(&u, cell);
    print_table(cell);
    report_add_cell(report, cell);
    report->run.cells_planned = 1;
    status = report_status(report);
    if (report_write_files(report, results, why, sizeof(why))) {
        fprintf(stderr, "ringproof mutants: %s\n", why);
        status = REPORT_HARNESS_ERROR;
    }
    printf("results in %s\n", results);
    ret = 0;
out:
    if (u.testbed && u.testbed->world_close)
        u.testbed->world_close(u.backend_config.world);
    for (unsigned i = 0; i < u.count; i++) {
        free(u.subjects[i].trouble);
        free(u.subjects[i].said);
    }
    free(u.subjects);
    free(results);
    report_destroy(report);
    plan_fini(&u.plan);
    catalog_destroy(u.catalog);
    install_fini(&mutant);
    install_fini(&u.install);
    free(u.options.names);
    return ret == 1 ? 0 : status;
}
