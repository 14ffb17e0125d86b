/* SPDX-License-Identifier: MIT */
#include "report/report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

void *report_need(void *p)
{
    if (!p) {
        fputs("ringproof: out of memory\n", stderr);
        exit(REPORT_HARNESS_ERROR);
    }
    return p;
}

char *report_copy(const char *text)
{
    return report_need(strdup(text ? text : ""));
}

void report_print(char **text, const char *fmt, ...)
{
    char *fresh = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&fresh, fmt, ap) < 0)
        fresh = NULL;
    va_end(ap);
    free(*text);
    *text = report_need(fresh);
}

void report_append(char **text, const char *fmt, ...)
{
    char *more = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&more, fmt, ap) < 0)
        more = NULL;
    va_end(ap);
    report_need(more);
    report_print(text, "%s%s", *text ? *text : "", more);
    free(more);
}

void report_set(char **text, const char *value)
{
    char *fresh = report_copy(value);

    free(*text);
    *text = fresh;
}

void report_pairs_add(struct report_pairs *p, const char *name, const char *value)
{
    p->items = report_need(reallocarray(p->items, p->count + 1, sizeof(*p->items)));
    p->items[p->count++] = (struct report_pair){report_copy(name), report_copy(value)};
}

void report_pairs_fini(struct report_pairs *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        free(p->items[i].name);
        free(p->items[i].value);
    }
    free(p->items);
    *p = (struct report_pairs){0};
}

void report_run_init(struct report_run *run)
{
    *run = (struct report_run){
        .id = report_copy(""),
        .started = report_copy(""),
        .command = report_copy(""),
        .selection = report_copy(""),
        .testbed = report_copy(""),
        .testbed_note = report_copy(""),
        .shard_index = 1,
        .shard_count = 1,
    };
}

void report_run_fini(struct report_run *run)
{
    report_pairs_fini(&run->versions);
    free(run->id);
    free(run->started);
    free(run->command);
    free(run->selection);
    free(run->testbed);
    free(run->testbed_note);
    *run = (struct report_run){0};
}

void report_part_fini(struct report_part *p)
{
    free(p->source);
    report_run_fini(&p->run);
}

struct report *report_create(void)
{
    struct report *r = report_need(calloc(1, sizeof(*r)));

    report_run_init(&r->run);
    return r;
}

void report_destroy(struct report *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < r->cell_count; i++)
        report_cell_destroy(r->cells[i]);
    free(r->cells);
    for (unsigned i = 0; i < r->part_count; i++)
        report_part_fini(&r->parts[i]);
    free(r->parts);
    report_equivalence_destroy(r->equivalence);
    report_run_fini(&r->run);
    free(r);
}

struct report_cell *report_cell_create(const char *id, const char *scenario, const char *title,
                                       const char *file, const char *testbed)
{
    struct report_cell *c = report_need(calloc(1, sizeof(*c)));

    c->id = report_copy(id);
    c->scenario = report_copy(scenario);
    c->title = report_copy(title);
    c->file = report_copy(file);
    c->testbed = report_copy(testbed);
    c->part = REPORT_OWN;
    c->reason = report_copy("");
    c->table.name = report_copy("");
    c->log = report_copy("");
    return c;
}

void report_cell_destroy(struct report_cell *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < c->check_count; i++) {
        struct report_check *k = &c->checks[i];
        for (unsigned j = 0; j < k->failure_count; j++) {
            free(k->failures[j].file);
            free(k->failures[j].text);
        }
        free(k->failures);
        report_pairs_fini(&k->notes);
        free(k->name);
        free(k->title);
        free(k->proves);
        free(k->reason);
        free(k->log);
        free(k->trace);
    }
    free(c->checks);
    report_pairs_fini(&c->axes);
    report_pairs_fini(&c->metrics);
    for (unsigned i = 0; i < c->table.column_count; i++)
        free(c->table.columns[i]);
    free(c->table.columns);
    free(c->table.name);
    free(c->id);
    free(c->scenario);
    free(c->title);
    free(c->file);
    free(c->testbed);
    free(c->reason);
    free(c->log);
    free(c);
}

void report_add_cell(struct report *r, struct report_cell *c)
{
    r->cells = report_need(reallocarray(r->cells, r->cell_count + 1, sizeof(struct report_cell *)));
    r->cells[r->cell_count++] = c;
}

struct report_check *report_cell_add_check(struct report_cell *c, const char *name,
                                           enum outcome outcome)
{
    c->checks = report_need(reallocarray(c->checks, c->check_count + 1, sizeof(*c->checks)));
    struct report_check *k = &c->checks[c->check_count++];
    *k = (struct report_check){
        .name = report_copy(name),
        .title = report_copy(""),
        .proves = report_copy(""),
        .outcome = outcome,
        .reason = report_copy(""),
        .log = report_copy(""),
        .trace = report_copy(""),
    };
    return k;
}

void report_check_add_failure(struct report_check *k, enum check_level level, const char *file,
                              int line, const char *text)
{
    k->failures =
        report_need(reallocarray(k->failures, k->failure_count + 1, sizeof(*k->failures)));
    k->failures[k->failure_count++] = (struct report_failure){
        .level = level, .file = report_copy(file), .line = line, .text = report_copy(text)};
}

void report_check_take(struct report_check *k, const struct check_result *r)
{
    unsigned kept = r->failure_count;

    if (kept > sizeof(r->failures) / sizeof(r->failures[0]))
        kept = sizeof(r->failures) / sizeof(r->failures[0]);
    k->outcome = r->outcome;
    k->expectations = r->expectations;
    k->duration_ns = r->duration_ns;
    report_set(&k->reason, r->reason);
    report_set(&k->trace, r->trace);
    for (unsigned i = 0; i < kept; i++)
        report_check_add_failure(k, r->failures[i].level, r->failures[i].file, r->failures[i].line,
                                 r->failures[i].text);
    for (unsigned i = 0; i < r->note_count && i < sizeof(r->notes) / sizeof(r->notes[0]); i++)
        report_pairs_add(&k->notes, r->notes[i].name, r->notes[i].value);
}

void report_check_worsen(struct report_check *k, enum outcome o, const char *reason)
{
    if (o <= k->outcome)
        return;
    k->outcome = o;
    report_set(&k->reason, reason);
}

void report_cell_worsen(struct report_cell *c, enum outcome o, const char *reason)
{
    if (o <= c->outcome)
        return;
    c->outcome = o;
    report_set(&c->reason, reason);
}

char *report_cell_label(const struct report *r, const struct report_cell *c)
{
    char *label = report_copy(c->id);

    if (c->part != REPORT_OWN && strcmp(r->run.testbed, c->testbed) != 0)
        report_append(&label, " on %s", c->testbed);
    return label;
}

/* ---- judging ---- */

static enum outcome worst_check(const struct report_cell *c, bool *passed)
{
    enum outcome worst = PASS;

    *passed = false;
    for (unsigned i = 0; i < c->check_count; i++) {
        enum outcome o = c->checks[i].outcome;
        if (o > worst)
            worst = o;
        *passed |= o == PASS;
    }
    return worst;
}

void report_cell_settle(struct report_cell *c)
{
    bool passed;
    enum outcome worst = worst_check(c, &passed);

    if (c->outcome == PASS && c->check_count == 0) {
        report_cell_worsen(c, ERROR, "the cell ended without a result");
        return;
    }
    /* A skipped check beside passed ones does not make the cell a skipped one. */
    if (worst == SKIP && passed)
        worst = PASS;
    if (worst > c->outcome)
        c->outcome = worst;
}

void report_totals_add(struct report_totals *t, const struct report_cell *c)
{
    bool passed;
    enum outcome worst = worst_check(c, &passed);

    for (unsigned i = 0; i < c->check_count; i++)
        t->checks[c->checks[i].outcome]++;
    if (c->outcome > worst || c->check_count == 0)
        t->checks[c->outcome]++;
    t->cells[c->outcome]++;
}

void report_totals(const struct report *r, struct report_totals *t)
{
    *t = (struct report_totals){0};
    for (unsigned i = 0; i < r->cell_count; i++)
        report_totals_add(t, r->cells[i]);
}

enum report_status report_status(const struct report *r)
{
    struct report_totals t;

    report_totals(r, &t);
    if (r->run.interrupted || t.checks[ERROR] || t.cells[ERROR] ||
        r->cell_count < r->run.cells_planned)
        return REPORT_HARNESS_ERROR;
    if (t.checks[FAIL] || t.checks[CRASH] || t.cells[FAIL] || t.cells[CRASH])
        return REPORT_SUBJECT_FAILED;
    if (!t.checks[PASS] && !t.checks[WARN] && !t.checks[KNOWN])
        return REPORT_HARNESS_ERROR;
    return REPORT_PASSED;
}

static int pair_compare(const void *a, const void *b)
{
    const struct report_pair *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : strcmp(x->value, y->value);
}

/* Calls fn for each requirement id of a check. */
static void each_requirement(const struct report_check *k,
                             void (*fn)(void *ctx, const char *id, const struct report_check *k),
                             void *ctx)
{
    char *ids = report_copy(k->proves), *save = NULL;

    for (char *id = strtok_r(ids, " ", &save); id; id = strtok_r(NULL, " ", &save))
        fn(ctx, id, k);
    free(ids);
}

static void collect(void *ctx, const char *id, const struct report_check *k)
{
    report_pairs_add(ctx, id, k->outcome == SKIP ? k->reason : NULL);
    /* An empty value marks a requirement that was judged; a skip always has a reason. */
    struct report_pairs *p = ctx;
    if (k->outcome == SKIP && !p->items[p->count - 1].value[0])
        report_set(&p->items[p->count - 1].value, "skipped without a reason");
}

void report_holes(const struct report *r, struct report_pairs *holes)
{
    struct report_pairs all = {0};

    *holes = (struct report_pairs){0};
    for (unsigned i = 0; i < r->cell_count; i++)
        for (unsigned j = 0; j < r->cells[i]->check_count; j++)
            each_requirement(&r->cells[i]->checks[j], collect, &all);
    if (all.count)
        qsort(all.items, all.count, sizeof(all.items[0]), pair_compare);
    for (unsigned i = 0; i < all.count;) {
        unsigned end = i;
        bool judged = false;
        while (end < all.count && !strcmp(all.items[end].name, all.items[i].name))
            judged |= !all.items[end++].value[0];
        if (!judged)
            report_pairs_add(holes, all.items[i].name, all.items[i].value);
        i = end;
    }
    report_pairs_fini(&all);
}
