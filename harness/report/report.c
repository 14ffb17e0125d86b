/* SPDX-License-Identifier: MIT */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

static void *need(void *p)
{
    if (!p) {
        fputs("ringproof: out of memory\n", stderr);
        exit(REPORT_HARNESS_ERROR);
    }
    return p;
}

static char *copy(const char *text)
{
    return need(strdup(text ? text : ""));
}

void report_set(char **text, const char *value)
{
    char *fresh = copy(value);

    free(*text);
    *text = fresh;
}

void report_pairs_add(struct report_pairs *p, const char *name, const char *value)
{
    p->items = need(reallocarray(p->items, p->count + 1, sizeof(*p->items)));
    p->items[p->count++] = (struct report_pair){copy(name), copy(value)};
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

struct report *report_create(void)
{
    struct report *r = need(calloc(1, sizeof(*r)));

    r->id = copy("");
    r->started = copy("");
    r->command = copy("");
    r->testbed = copy("");
    r->testbed_note = copy("");
    return r;
}

void report_destroy(struct report *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < r->cell_count; i++)
        report_cell_destroy(r->cells[i]);
    free(r->cells);
    report_pairs_fini(&r->versions);
    free(r->id);
    free(r->started);
    free(r->command);
    free(r->testbed);
    free(r->testbed_note);
    free(r);
}

struct report_cell *report_cell_create(const char *id, const char *scenario, const char *title,
                                       const char *file, const char *testbed)
{
    struct report_cell *c = need(calloc(1, sizeof(*c)));

    c->id = copy(id);
    c->scenario = copy(scenario);
    c->title = copy(title);
    c->file = copy(file);
    c->testbed = copy(testbed);
    c->reason = copy("");
    c->log = copy("");
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
    }
    free(c->checks);
    report_pairs_fini(&c->axes);
    report_pairs_fini(&c->metrics);
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
    r->cells = need(reallocarray(r->cells, r->cell_count + 1, sizeof(struct report_cell *)));
    r->cells[r->cell_count++] = c;
}

struct report_check *report_cell_add_check(struct report_cell *c, const char *name,
                                           enum outcome outcome)
{
    c->checks = need(reallocarray(c->checks, c->check_count + 1, sizeof(*c->checks)));
    struct report_check *k = &c->checks[c->check_count++];
    *k = (struct report_check){
        .name = copy(name),
        .title = copy(""),
        .proves = copy(""),
        .outcome = outcome,
        .reason = copy(""),
        .log = copy(""),
    };
    return k;
}

void report_check_add_failure(struct report_check *k, enum check_level level, const char *file,
                              int line, const char *text)
{
    k->failures = need(reallocarray(k->failures, k->failure_count + 1, sizeof(*k->failures)));
    k->failures[k->failure_count++] = (struct report_failure){
        .level = level, .file = copy(file), .line = line, .text = copy(text)};
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
    if (r->interrupted || t.checks[ERROR] || t.cells[ERROR] || r->cell_count < r->cells_planned)
        return REPORT_HARNESS_ERROR;
    if (t.checks[FAIL] || t.checks[CRASH] || t.cells[FAIL] || t.cells[CRASH])
        return REPORT_SUBJECT_FAILED;
    if (!t.checks[PASS] && !t.checks[WARN] && !t.checks[KNOWN])
        return REPORT_HARNESS_ERROR;
    return REPORT_PASSED;
}

static int pair_compare(const void *a, const void *b)
{
    return strcmp(((const struct report_pair *)a)->name, ((const struct report_pair *)b)->name);
}

/* Calls fn for each requirement id of a check. */
static void each_requirement(const struct report_check *k,
                             void (*fn)(void *ctx, const char *id, const struct report_check *k),
                             void *ctx)
{
    char *ids = copy(k->proves), *save = NULL;

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
