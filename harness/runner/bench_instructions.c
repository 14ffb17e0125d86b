/* SPDX-License-Identifier: MIT */
#include "runner/bench_instructions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "insns/insns.h"
#include "runner/bench_output.h"
#include "runner/tool.h"
#include "testbed/guest_image.h"
#include "util/bits.h"

/* Of a boot: what came to no result is measured again, on a fresh machine, so many times. */
#define ATTEMPTS_MAX 3u
#define BOOTS        2u
#define TOOL_NS      10000000000ull

static const struct {
    const char *arch, *image, *cells;
    const char *programs; /* from our own folder; NULL: ours */
} archs[] = {
    [ARCH_X86] = {"x86", "x86", "instructions-*[arch=x86*", NULL},
    [ARCH_ARM] = {"arm", "arm64", "instructions-*[arch=arm*", "../arm64"},
};

static void add_pair(void *ctx, const char *name, const char *value)
{
    report_pairs_add(ctx, name, value);
}

static bool has_image(const struct install *in, unsigned a)
{
    struct report_pairs versions = {0};
    bool has = false;
    char name[48];

    snprintf(name, sizeof(name), "image-%s.xen", archs[a].image);
    testbed_find("qemu")->versions(&in->testbed, add_pair, &versions);
    for (unsigned i = 0; i < versions.count; i++)
        has |= !strcmp(versions.items[i].name, name);
    report_pairs_fini(&versions);
    return has;
}

static bool has_programs(const struct install *in, unsigned a)
{
    char *agent = NULL;
    bool has = !archs[a].programs;

    if (!has && asprintf(&agent, "%s/%s/bin/ringproof-agent", in->base, archs[a].programs) >= 0)
        has = access(agent, X_OK) == 0;
    free(agent);
    return has;
}

/* One beside the images has to be built first. */
static bool has_emulator(unsigned a)
{
    char *program = guest_emulator((enum scenario_arch)a);
    bool has = program && (!strchr(program, '/') || access(program, X_OK) == 0);

    free(program);
    return has;
}

/* What an architecture is measured with is there; or it is said what is missing. */
static bool can_measure(const struct install *in, unsigned a)
{
    const char *missing = !has_image(in, a)      ? "its image is missing (make images)"
                          : !has_programs(in, a) ? "its programs are missing (make guest-arm64)"
                          : !has_emulator(a) ? "the emulator that counts is missing (make emulator)"
                                             : NULL;

    if (missing)
        fprintf(stderr, "ringproof bench: %s is not measured: %s\n", archs[a].arch, missing);
    return !missing;
}

/* "QEMU emulator version 7.2.22 (Debian ...)": its first line. */
static void add_emulator(struct insns *n, unsigned a)
{
    char *program = guest_emulator((enum scenario_arch)a), *output = NULL, name[32];
    struct words argv = {0};

    if (program) {
        words_add(&argv, program);
        words_add(&argv, "--version");
    }
    snprintf(name, sizeof(name), "%s.qemu", archs[a].arch);
    if (program && !argv.failed && tool_run(&argv, NULL, TOOL_NS, &output) == 0 && output) {
        output[strcspn(output, "\n")] = '\0';
        report_pairs_add(&n->machine, name, output);
    }
    words_fini(&argv);
    free(output);
    free(program);
}

/* "image-x86.xen" and "image-x86.linux" of a run's versions become "x86.xen", "x86.linux". */
static void add_versions(struct insns *n, const struct report_pairs *versions, unsigned a)
{
    static const char *const parts[] = {"xen", "linux"};

    for (unsigned i = 0; i < versions->count; i++)
        for (unsigned k = 0; k < ARRAY_LENGTH(parts); k++) {
            char of_image[48], name[32];

            snprintf(of_image, sizeof(of_image), "image-%s.%s", archs[a].image, parts[k]);
            snprintf(name, sizeof(name), "%s.%s", archs[a].arch, parts[k]);
            if (!strcmp(versions->items[i].name, of_image))
                report_pairs_add(&n->machine, name, versions->items[i].value);
        }
    add_emulator(n, a);
}

static bool plan_has(const struct plan *p, enum scenario_arch arch)
{
    for (unsigned i = 0; i < p->job_count; i++)
        if (p->jobs[i].plan.arch == arch)
            return true;
    return false;
}

/* One machine at a time is up: cells of one architecture follow each other. */
static void sort_by_arch(struct plan *p)
{
    struct job *sorted = calloc(p->job_count, sizeof(*sorted));
    unsigned used = 0;

    if (!sorted)
        return; /* it boots more often */
    for (unsigned a = 0; a < ARRAY_LENGTH(archs); a++)
        for (unsigned i = 0; i < p->job_count; i++)
            if (p->jobs[i].plan.arch == (enum scenario_arch)a)
                sorted[used++] = p->jobs[i];
    memcpy(p->jobs, sorted, p->job_count * sizeof(*sorted));
    free(sorted);
}

/* A machine, a guest or what carries their words has failed: of the subject that says nothing. */
static bool came_to_nothing(const struct report_cell *c)
{
    return c->outcome == ERROR || c->outcome == CRASH;
}

/* The cell's own reason, or that of its worst check. */
static const char *why_of(const struct report_cell *c)
{
    if (c->reason && c->reason[0])
        return c->reason;
    for (unsigned i = 0; i < c->check_count; i++)
        if (c->checks[i].outcome == c->outcome && c->checks[i].reason && c->checks[i].reason[0])
            return c->checks[i].reason;
    return "see its folder";
}

/* Runs the cells that are named, and takes what they came to; after an interruption (-EINTR) too.
 * Those that came to nothing are the names of the next attempt: `again`, of room for all, its texts
 * the caller's. */
static int attempt(struct run_options *o, struct install *in, struct insns *n, unsigned boot,
                   unsigned nth, const char *dir, struct words *again, bool *failed)
{
    struct plan plan = {0};
    struct report *r = NULL;
    char *sub = NULL, what[64];
    int ret = plan_make(o, in, &plan), ended;

    for (unsigned a = 0; !ret && a < ARRAY_LENGTH(archs); a++)
        if (plan_has(&plan, (enum scenario_arch)a) && !can_measure(in, a))
            ret = -EINVAL;
    if (ret)
        goto out;
    sort_by_arch(&plan);
    r = run_report_create("bench", o, in, 0, NULL);
    snprintf(what, sizeof(what), nth > 1 ? "boot %u, attempt %u" : "boot %u", boot, nth);
    if (asprintf(&sub, nth > 1 ? "%s/boot-%u-%u" : "%s/boot-%u", dir, boot, nth) < 0) {
        sub = NULL;
        ret = -ENOMEM;
        goto out;
    }
    if (!o->quiet)
        fprintf(stderr, "%s\n", what);
    ret = run_folder_make(sub);
    if (ret)
        goto out;
    ended = run_execute(o, in, &plan, r, sub);
    if (ended != -EINTR)
        ret = ended;
    for (unsigned i = 0; !ret && i < r->cell_count; i++) {
        const struct report_cell *c = r->cells[i];

        if (came_to_nothing(c)) {
            char text[1024];

            snprintf(text, sizeof(text), "%.200s: %s: %.400s", c->id, outcome_name(c->outcome),
                     why_of(c));
            report_pairs_add(&n->said, what, text);
            fprintf(stderr, "%s: %s\n", what, text);
            words_add(again, c->id);
            continue;
        }
        if (c->outcome == FAIL) {
            fprintf(stderr, "%s: %s: FAIL\n", what, c->id);
            *failed = true;
        }
        ret = insns_take(n, c);
    }
    if (!ret && boot == 1 && nth == 1)
        for (unsigned a = 0; a < ARRAY_LENGTH(archs); a++) {
            if (plan_has(&plan, (enum scenario_arch)a))
                add_versions(n, &r->run.versions, a);
        }
    if (!ret && ended) {
        report_pairs_add(&n->said, what, "interrupted: what was not measured is not here");
        ret = ended;
    }
out:
    free(sub);
    report_destroy(r);
    plan_fini(&plan);
    return ret;
}

/* One boot of each architecture, and further ones for what came to nothing. *lost: cells that came
 * to nothing at all. */
static int measure_boot(const struct run_options *o, struct install *in, struct insns *n,
                        unsigned boot, const char *dir, bool *failed, unsigned *lost)
{
    struct run_options now = *o;
    struct words names = {0};
    int ret = 0;

    for (unsigned k = 1; k <= ATTEMPTS_MAX && !ret; k++) {
        struct words again = {0};

        ret = attempt(&now, in, n, boot, k, dir, &again, failed);
        words_fini(&names);
        names = again;
        if (!ret && names.failed)
            ret = -ENOMEM;
        if (!names.count)
            break;
        now.names = names.items;
        now.name_count = names.count;
    }
    *lost += names.count;
    words_fini(&names);
    return ret;
}

/* What the same requests ask of Xen, as simxen counts it. */
static int count(const struct run_options *o, struct install *in, struct insns *n, const char *dir)
{
    static char *names[] = {"memory-costs", "memory-costs-foreign", NULL};
    struct run_options sim = *o;
    struct plan plan = {0};
    struct report *r = NULL;
    char *sub = NULL;
    int ret;

    sim.testbed = "sim";
    sim.names = names;
    sim.name_count = 2;
    sim.quiet = true;
    ret = plan_make(&sim, in, &plan);
    if (ret)
        goto out;
    r = run_report_create("bench", &sim, in, 0, NULL);
    if (asprintf(&sub, "%s/counts", dir) < 0) {
        sub = NULL;
        ret = -ENOMEM;
        goto out;
    }
    ret = run_folder_make(sub);
    if (!ret)
        ret = run_execute(&sim, in, &plan, r, sub);
    for (unsigned i = 0; !ret && i < r->cell_count; i++)
        insns_count(n, r->cells[i]);
out:
    free(sub);
    report_destroy(r);
    plan_fini(&plan);
    return ret;
}

static unsigned write_plot(const json_t *contents, unsigned which, FILE *f)
{
    return insns_write_plot(contents, (enum insns_plot)which, f);
}

/* The table and the pictures. */
static int draw(const json_t *contents, const char *dir)
{
    int ret = bench_output_write(contents, dir, "instructions.md", insns_write_markdown);

    for (unsigned p = 0; p < INSNS_PLOTS && !ret; p++)
        ret = bench_output_draw(contents, dir, insns_plot_name((enum insns_plot)p), write_plot, p,
                                NULL);
    if (ret == -ENOENT) {
        fputs("ringproof bench: no pictures: gnuplot is not installed\n", stderr);
        ret = 0;
    }
    return ret;
}

static int redraw(const struct run_options *o, int argc, char **argv)
{
    struct report *r = NULL;
    json_t *contents = NULL;
    char *dir = NULL, why[1024];
    int status = REPORT_BAD_USAGE;

    if (insns_load(o->redraw, &contents, why, sizeof(why))) {
        command_complain("bench", why);
        return status;
    }
    status = REPORT_HARNESS_ERROR;
    r = command_report_create("bench", argc, argv);
    dir = run_results_dir(o, r);
    if (dir && draw(contents, dir) == 0) {
        printf("drawn in %s\n", dir);
        status = REPORT_PASSED;
    }
    free(dir);
    report_destroy(r);
    json_decref(contents);
    return status;
}

int bench_instructions(struct run_options *o, int argc, char **argv)
{
    struct install in = {0};
    struct insns n = {0};
    struct report *r = NULL;
    json_t *contents = NULL;
    char *dir = NULL, *all[ARRAY_LENGTH(archs) + 1] = {NULL};
    int status = REPORT_HARNESS_ERROR, ret = 0;
    uint64_t begin = monotonic_ns();
    unsigned lost = 0, named = 0;
    bool failed = false, interrupted;

    if (o->redraw)
        return redraw(o, argc, argv);
    o->testbed = "qemu";
    o->icount = true;
    if (install_find(o, true, &in))
        return REPORT_HARNESS_ERROR;
    for (unsigned a = 0; a < ARRAY_LENGTH(archs); a++)
        if (!o->name_count && can_measure(&in, a))
            all[named++] = (char *)archs[a].cells;
    if (!o->name_count && !named)
        goto out;
    struct run_options asked = *o;
    if (!o->name_count) {
        asked.names = all;
        asked.name_count = named;
    }
    r = command_report_create("bench", argc, argv);
    dir = run_results_dir(o, r);
    if (!dir)
        goto out;
    n.id = r->run.id;
    n.started = r->run.started;
    n.version = r->run.versions.items[0].value;
    n.boots = o->boots ? o->boots : BOOTS;
    for (unsigned k = 1; k <= n.boots && !ret; k++)
        ret = measure_boot(&asked, &in, &n, k, dir, &failed, &lost);
    if (!ret)
        ret = count(o, &in, &n, dir);
    interrupted = ret == -EINTR;
    n.duration_s = (double)(monotonic_ns() - begin) / 1e9;
    if ((ret && !interrupted) || !n.row_count) {
        if (ret != -EINVAL) /* that has been said */
            fprintf(stderr, "ringproof bench: nothing was measured%s%s\n", ret ? ": " : "",
                    ret ? strerror(-ret) : "");
        status = ret == -EINVAL ? REPORT_BAD_USAGE : REPORT_HARNESS_ERROR;
        goto out;
    }
    contents = insns_to_json(&n);
    if (!contents || bench_output_write(contents, dir, "instructions.json", insns_write_json) ||
        draw(contents, dir))
        goto out;
    insns_write_markdown(contents, stdout);
    printf("\nresults in %s\n", dir);
    status = failed                ? REPORT_SUBJECT_FAILED
             : lost || interrupted ? REPORT_HARNESS_ERROR
                                   : REPORT_PASSED;
out:
    json_decref(contents);
    free(dir);
    insns_fini(&n);
    report_destroy(r);
    install_fini(&in);
    return status;
}
