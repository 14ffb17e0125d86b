/* SPDX-License-Identifier: MIT */
/* Several results become one. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"

/* What testbeds have to agree on. */
#define COMPARED_CHECKS "abi.*"

#define NAMED_MAX 16u /* shards of one run that are missing */

static void add_part(struct report *r, struct report_run *run, const char *source)
{
    r->parts = report_need(reallocarray(r->parts, r->part_count + 1, sizeof(*r->parts)));
    struct report_part *p = &r->parts[r->part_count++];
    *p = (struct report_part){.source = report_copy(source), .run = *run};
    report_run_init(run);

    r->run.duration_ns += p->run.duration_ns;
    r->run.interrupted |= p->run.interrupted;
    r->run.cells_planned += p->run.cells_planned;
    if (r->part_count == 1)
        r->run.seed = p->run.seed;
    else if (r->run.seed != p->run.seed)
        r->run.seed = 0; /* the parts have theirs */
    for (unsigned i = 0; i + 1 < r->part_count; i++)
        if (!strcmp(r->parts[i].run.testbed, p->run.testbed))
            return;
    report_append(&r->run.testbed, "%s%s", r->run.testbed[0] ? ", " : "", p->run.testbed);
    report_append(&r->run.testbed_note, "%s%s", r->run.testbed_note[0] ? " " : "",
                  p->run.testbed_note);
}

void report_merge(struct report *into, struct report *from, const char *source)
{
    unsigned first = into->part_count;
    bool was_merge = from->part_count > 0;

    if (was_merge) {
        for (unsigned i = 0; i < from->part_count; i++) {
            char *name = NULL;
            report_print(&name, "%s (%s)", source, from->parts[i].source);
            add_part(into, &from->parts[i].run, name);
            free(name);
        }
    } else {
        add_part(into, &from->run, source);
    }
    for (unsigned i = 0; i < from->cell_count; i++) {
        struct report_cell *c = from->cells[i];
        if (was_merge && c->part == REPORT_OWN) {
            report_cell_destroy(c);
            continue;
        }
        c->part = (int)first + (was_merge ? c->part : 0);
        report_add_cell(into, c);
    }
    from->cell_count = 0;
}

static int same_cell(const void *a, const void *b)
{
    const struct report_cell *x = *(struct report_cell *const *)a,
                             *y = *(struct report_cell *const *)b;
    int order = strcmp(x->testbed, y->testbed);

    if (!order)
        order = strcmp(x->id, y->id);
    return order ? order : (x->part > y->part) - (x->part < y->part);
}

/* The same cell twice would count twice, and which of the two is right nobody can say. */
int report_merge_unique(const struct report *r, char *why, size_t why_size)
{
    struct report_cell **sorted = report_need(calloc(r->cell_count + 1, sizeof(*sorted)));
    int ret = 0;

    for (unsigned i = 0; i < r->cell_count; i++)
        sorted[i] = r->cells[i];
    qsort(sorted, r->cell_count, sizeof(struct report_cell *), same_cell);
    for (unsigned i = 1; i < r->cell_count && !ret; i++) {
        const struct report_cell *a = sorted[i - 1], *b = sorted[i];
        if (strcmp(a->testbed, b->testbed) || strcmp(a->id, b->id))
            continue;
        snprintf(why, why_size, "cell %s of testbed %s is there twice: in %s and in %s", b->id,
                 b->testbed, r->parts[a->part].source, r->parts[b->part].source);
        ret = -EEXIST;
    }
    free(sorted);
    return ret;
}

/* ---- shards ---- */

static bool same_run(const struct report_run *a, const struct report_run *b)
{
    return a->shard_count == b->shard_count && !strcmp(a->testbed, b->testbed) &&
           !strcmp(a->selection, b->selection);
}

/* What is missing of the run of which part `first` is the first; appended to `text`. */
static void name_missing(const struct report *r, unsigned first, char **text)
{
    const struct report_run *run = &r->parts[first].run;
    bool *have = report_need(calloc(run->shard_count + 1, sizeof(*have)));
    unsigned missing = 0;

    for (unsigned i = first; i < r->part_count; i++)
        if (same_run(run, &r->parts[i].run))
            have[r->parts[i].run.shard_index] = true;
    for (unsigned k = 1; k <= run->shard_count; k++) {
        if (have[k] || missing++ >= NAMED_MAX)
            continue;
        report_append(text, "%s%u/%u of '%s' on %s", (*text)[0] ? ", " : "missing: shard ", k,
                      run->shard_count, run->selection, run->testbed);
    }
    if (missing > NAMED_MAX)
        report_append(text, " and %u more", missing - NAMED_MAX);
    free(have);
}

static void judge_shards(const struct report *r, bool partial, struct report_cell *cell)
{
    char *missing = report_copy("");
    bool any = false;

    for (unsigned i = 0; i < r->part_count; i++) {
        bool seen = false;
        any |= r->parts[i].run.shard_count > 1;
        for (unsigned j = 0; j < i && !seen; j++)
            seen = same_run(&r->parts[j].run, &r->parts[i].run);
        if (!seen)
            name_missing(r, i, &missing);
    }
    if (any) {
        struct report_check *k = report_cell_add_check(cell, "merge.shards", PASS);
        report_set(&k->title, "Every shard of each run is there");
        k->expectations = 1;
        if (missing[0])
            report_check_worsen(k, partial ? SKIP : ERROR, missing);
    }
    free(missing);
}

/* ---- testbeds ---- */

static bool has_several_testbeds(const struct report *r)
{
    for (unsigned i = 1; i < r->part_count; i++)
        if (strcmp(r->parts[i].run.testbed, r->parts[0].run.testbed) != 0)
            return true;
    return false;
}

static void judge_equivalence(const struct report *r, struct report_cell *cell)
{
    const struct report_equivalence *e = r->equivalence;
    struct report_check *k = report_cell_add_check(cell, "merge.equivalence", PASS);
    char *text = NULL;

    report_set(&k->title, "Testbeds observe the same");
    k->judges = HYPERVISOR;
    k->expectations = e->row_count;
    for (unsigned i = 0; i < e->row_count; i++) {
        const struct report_row *row = &e->rows[i];
        if (row->verdict != VERDICT_DIFFERENT)
            continue;
        report_print(&text, "%s, %s: %s", row->check, row->observed, row->reason);
        report_check_add_failure(k, MUST, "", 0, text);
    }
    for (unsigned i = 0; i < e->architecture_count; i++) {
        const struct report_architecture *a = &e->architectures[i];
        if (a->compared >= e->at_least)
            continue;
        report_print(&text, "%s%s%u rows were compared, expected at least %u", a->name,
                     a->name[0] ? ": " : "", a->compared, e->at_least);
        report_check_add_failure(k, MUST, "", 0, text);
    }
    if (e->at_least && !e->architecture_count)
        report_check_add_failure(k, MUST, "", 0, "no row was compared");
    if (k->failure_count)
        report_check_worsen(k, FAIL, "");
    else if (!report_equivalence_holds(e))
        report_check_worsen(k, SKIP, "no check " COMPARED_CHECKS " ran on two testbeds");
    for (unsigned v = 0; v < REPORT_VERDICTS; v++) {
        report_print(&text, "%u", e->verdicts[v]);
        report_pairs_add(&k->notes, report_verdict_name((enum report_verdict)v), text);
    }
    free(text);
}

int report_merge_finish(struct report *r, const struct report_merge_options *o, char *why,
                        size_t why_size)
{
    int ret = report_merge_unique(r, why, why_size);

    if (!ret && r->part_count > REPORT_PARTS_MAX) {
        snprintf(why, why_size, "more than %u parts", REPORT_PARTS_MAX);
        ret = -E2BIG;
    }
    if (ret)
        return ret;
    struct report_cell *cell = report_cell_create(
        MERGE_CELL, MERGE_CELL, "What only all parts together can say", "", r->run.testbed);
    judge_shards(r, o->partial, cell);
    if (has_several_testbeds(r) || o->compare) {
        ret = report_compare(r, COMPARED_CHECKS, o->at_least, why, why_size);
        if (!ret)
            judge_equivalence(r, cell);
    }
    if (ret || !cell->check_count) {
        report_cell_destroy(cell);
        return ret;
    }
    report_cell_settle(cell);
    report_add_cell(r, cell);
    r->run.cells_planned++;
    return 0;
}

/* ---- what differs ---- */

static void part_name(const struct report_part *p, char **text)
{
    report_append(text, " %s", p->run.testbed);
    if (p->run.shard_count > 1)
        report_append(text, " %u/%u", p->run.shard_index, p->run.shard_count);
}

static const char *version_of(const struct report_run *run, const char *name, char seed[32])
{
    if (!name) {
        snprintf(seed, 32, "%" PRIu64, run->seed);
        return seed;
    }
    for (unsigned i = 0; i < run->versions.count; i++)
        if (!strcmp(run->versions.items[i].name, name))
            return run->versions.items[i].value;
    return NULL;
}

/* One version (NULL: the seed) over all parts that have it. */
static void difference(const struct report *r, const char *name, struct report_pairs *out)
{
    char seed[32], other[32], *text = report_copy("");
    unsigned values = 0;

    for (unsigned i = 0; i < r->part_count; i++) {
        const char *value = version_of(&r->parts[i].run, name, seed);
        bool seen = false;
        for (unsigned j = 0; value && j < i && !seen; j++) {
            const char *before = version_of(&r->parts[j].run, name, other);
            seen = before && !strcmp(before, value);
        }
        if (!value || seen)
            continue;
        report_append(&text, "%s%s:", values++ ? "; " : "", value);
        for (unsigned j = i; j < r->part_count; j++) {
            const char *same = version_of(&r->parts[j].run, name, other);
            if (same && !strcmp(same, value))
                part_name(&r->parts[j], &text);
        }
    }
    if (values > 1)
        report_pairs_add(out, name ? name : "seed", text);
    free(text);
}

void report_differences(const struct report *r, struct report_pairs *out)
{
    *out = (struct report_pairs){0};
    for (unsigned i = 0; i < r->part_count; i++) {
        const struct report_pairs *v = &r->parts[i].run.versions;
        for (unsigned k = 0; k < v->count; k++) {
            char seed[32];
            bool seen = false;
            for (unsigned j = 0; j < i && !seen; j++)
                seen = version_of(&r->parts[j].run, v->items[k].name, seed) != NULL;
            if (!seen)
                difference(r, v->items[k].name, out);
        }
    }
    difference(r, NULL, out);
}
