/* SPDX-License-Identifier: MIT */
/* What a person reads at the end of a run. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check/wire.h"
#include "report/report.h"
#include "report/text.h"

#define SHOWN_MAX 40u /* failures and holes in full; the files have all of them */

enum paint { PAINT_NONE, PAINT_GOOD, PAINT_BAD, PAINT_MILD, PAINT_BOLD };

static const char *paint(const struct report_style *s, enum paint p)
{
    static const char *const codes[] = {"\033[0m", "\033[32m", "\033[31m", "\033[33m", "\033[1m"};
    return s->colour ? codes[p] : "";
}

static unsigned bad(const struct report_totals *t)
{
    return t->checks[FAIL] + t->checks[CRASH] + t->checks[ERROR];
}

/* What one line of the table sums up. */
static bool same_line(const struct report_cell *a, const struct report_cell *b)
{
    return !strcmp(a->scenario, b->scenario) && !strcmp(a->testbed, b->testbed);
}

/* One line for each scenario and testbed, in the order in which their first cells stand in the
 * report; the testbed only where there are several. */
static void write_table(const struct report *r, const struct report_style *s, FILE *f)
{
    size_t width = strlen("scenario"), testbed = r->part_count ? strlen("testbed") : 0;

    for (unsigned i = 0; i < r->cell_count; i++) {
        const struct report_cell *c = r->cells[i];
        if (strlen(c->scenario) > width)
            width = strlen(c->scenario);
        if (r->part_count && strlen(c->testbed) > testbed)
            testbed = strlen(c->testbed);
    }
    fprintf(f, "\n%s%-*s  %-*s%scells   pass   fail   warn   skip     time%s\n",
            paint(s, PAINT_BOLD), (int)width, "scenario", (int)testbed, testbed ? "testbed" : "",
            testbed ? "  " : "", paint(s, PAINT_NONE));
    for (unsigned i = 0; i < r->cell_count; i++) {
        const struct report_cell *first = r->cells[i];
        bool seen = false;
        for (unsigned j = 0; j < i && !seen; j++)
            seen = same_line(r->cells[j], first);
        if (seen)
            continue;

        struct report_totals t = {0};
        uint64_t ns = 0;
        unsigned cells = 0;
        for (unsigned j = i; j < r->cell_count; j++) {
            if (!same_line(r->cells[j], first))
                continue;
            report_totals_add(&t, r->cells[j]);
            ns += r->cells[j]->duration_ns;
            cells++;
        }
        enum paint p = bad(&t) ? PAINT_BAD : t.checks[PASS] ? PAINT_GOOD : PAINT_MILD;
        fprintf(f, "%s%-*s%s  %-*s%s%5u  %5u  %s%5u%s  %5u  %5u  %6.1fs\n", paint(s, p), (int)width,
                first->scenario, paint(s, PAINT_NONE), (int)testbed, testbed ? first->testbed : "",
                testbed ? "  " : "", cells, t.checks[PASS],
                paint(s, bad(&t) ? PAINT_BAD : PAINT_NONE), bad(&t), paint(s, PAINT_NONE),
                t.checks[WARN] + t.checks[KNOWN], t.checks[SKIP], (double)ns / 1e9);
    }
}

static void write_head(FILE *f, const struct report_style *s, enum outcome o, const char *what,
                       const char *where)
{
    fprintf(f, "\n%s%s%s ", paint(s, o == WARN ? PAINT_MILD : PAINT_BAD), outcome_name(o),
            paint(s, PAINT_NONE));
    text_write_plain(f, what, 0);
    fputs("  in ", f);
    text_write_plain(f, where, 0);
    putc('\n', f);
}

static void write_line(FILE *f, const char *label, const char *text)
{
    if (!text[0])
        return;
    fprintf(f, "  %-9s ", label);
    text_write_plain(f, text, 0);
    putc('\n', f);
}

static void write_rerun(FILE *f, const struct report_style *s, const struct report *r,
                        const struct report_cell *c, const char *check)
{
    const struct report_run *run = c->part == REPORT_OWN ? &r->run : &r->parts[c->part].run;

    /* What a merge found is not found again by a run. */
    if (!s->rerun || (r->part_count && c->part == REPORT_OWN))
        return;
    fprintf(f, "  alone     %s --testbed ", s->rerun);
    text_write_plain(f, run->testbed, 0);
    fprintf(f, " --seed %" PRIu64 " '", run->seed);
    text_write_plain(f, c->id, 0);
    if (check) {
        fputs("' --filter '", f);
        text_write_plain(f, check, 0);
    }
    fputs("'\n", f);
}

static void write_log(FILE *f, const char *log)
{
    char *clean = text_clean(log), *save = NULL;

    for (char *line = clean ? strtok_r(clean, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        fputs("  log       ", f);
        text_write_plain(f, line, 200);
        putc('\n', f);
    }
    free(clean);
}

static void write_check(FILE *f, const struct report_style *s, const struct report *r,
                        const struct report_cell *c, const struct report_check *k)
{
    char *label = report_cell_label(r, c);

    write_head(f, s, k->outcome, k->name, label);
    free(label);
    write_line(f, "proves", k->proves);
    for (unsigned i = 0; i < k->failure_count; i++) {
        const struct report_failure *x = &k->failures[i];
        fprintf(f, "  %-9s ", wire_level_name(x->level));
        text_write_plain(f, x->text, 0);
        if (x->file[0]) {
            fputs("  (", f);
            text_write_plain(f, x->file, 0);
            fprintf(f, ":%d)", x->line);
        }
        putc('\n', f);
    }
    write_line(f, "reason", k->reason);
    if (k->outcome != WARN)
        write_rerun(f, s, r, c, k->name);
    write_log(f, k->log);
}

static void write_failures(const struct report *r, const struct report_style *s, FILE *f,
                           bool warnings)
{
    unsigned shown = 0, left = 0;

    for (unsigned i = 0; i < r->cell_count; i++) {
        const struct report_cell *c = r->cells[i];
        if (!warnings && c->reason[0] && c->outcome >= FAIL) {
            char *label = report_cell_label(r, c);
            write_head(f, s, c->outcome, "the cell", label);
            free(label);
            write_line(f, "reason", c->reason);
            write_rerun(f, s, r, c, NULL);
            write_log(f, c->log);
            shown++;
        }
        for (unsigned j = 0; j < c->check_count; j++) {
            const struct report_check *k = &c->checks[j];
            if (warnings ? k->outcome != WARN : k->outcome < FAIL)
                continue;
            if (shown >= SHOWN_MAX) {
                left++;
                continue;
            }
            write_check(f, s, r, c, k);
            shown++;
        }
    }
    if (left)
        fprintf(f, "\n(%u more in the result files)\n", left);
}

static void write_metrics(const struct report *r, FILE *f)
{
    bool head = false;

    for (unsigned i = 0; i < r->cell_count; i++) {
        const struct report_cell *c = r->cells[i];
        if (!c->metrics.count)
            continue;
        if (!head)
            fputs("\nmeasured\n", f);
        head = true;
        char *label = report_cell_label(r, c);
        fputs("  ", f);
        text_write_plain(f, label, 0);
        free(label);
        putc(':', f);
        for (unsigned j = 0; j < c->metrics.count; j++) {
            fputs(j ? ", " : " ", f);
            text_write_plain(f, c->metrics.items[j].name, 0);
            putc(' ', f);
            text_write_plain(f, c->metrics.items[j].value, 0);
        }
        putc('\n', f);
    }
}

/* Where the cells of a merge come from, and in what those places are not the same. */
static void write_parts(const struct report *r, FILE *f)
{
    struct report_pairs differ;

    if (!r->part_count)
        return;
    fputs("\nparts\n", f);
    for (unsigned i = 0; i < r->part_count; i++) {
        const struct report_run *run = &r->parts[i].run;
        unsigned cells = 0;
        for (unsigned k = 0; k < r->cell_count; k++)
            cells += r->cells[k]->part == (int)i;
        fputs("  ", f);
        text_write_plain(f, run->testbed, 0);
        fprintf(f, " %u/%u, %u of %u cells%s, ", run->shard_index, run->shard_count, cells,
                run->cells_planned, run->interrupted ? " (interrupted)" : "");
        text_write_plain(f, run->started, 0);
        fputs(": ", f);
        text_write_plain(f, r->parts[i].source, 0);
        putc('\n', f);
    }
    report_differences(r, &differ);
    for (unsigned i = 0; i < differ.count; i++) {
        fputs(i ? "  " : "\nparts differ in\n  ", f);
        text_write_plain(f, differ.items[i].name, 0);
        fputs(": ", f);
        text_write_plain(f, differ.items[i].value, 0);
        putc('\n', f);
    }
    report_pairs_fini(&differ);
}

/* They are too wide for a terminal: the reader is told where they are. */
static void write_tables(const struct report *r, FILE *f)
{
    struct report_tables t;

    report_tables_make(r, &t);
    if (t.count)
        fputs("\ntables, in tables.md\n", f);
    for (unsigned i = 0; i < t.count; i++) {
        fputs("  ", f);
        text_write_plain(f, t.items[i].name, 0);
        fprintf(f, ": %u rows\n", t.items[i].row_count);
    }
    report_tables_fini(&t);
}

void report_write_summary(const struct report *r, const struct report_style *s, FILE *f)
{
    struct report_totals t;
    struct report_pairs holes;

    if (r->cell_count)
        write_table(r, s, f);
    write_parts(r, f);
    write_metrics(r, f);
    write_tables(r, f);
    if (r->equivalence)
        report_write_equivalence(r->equivalence, s, true, f);
    write_failures(r, s, f, false);
    write_failures(r, s, f, true);

    report_holes(r, &holes);
    if (holes.count)
        fprintf(f, "\nholes: %u requirements were skipped in every cell\n", holes.count);
    for (unsigned i = 0; i < holes.count && i < SHOWN_MAX; i++) {
        fputs("  ", f);
        text_write_plain(f, holes.items[i].name, 0);
        fputs(": ", f);
        text_write_plain(f, holes.items[i].value, 120);
        putc('\n', f);
    }
    if (holes.count > SHOWN_MAX)
        fprintf(f, "  (%u more in the result files)\n", holes.count - SHOWN_MAX);
    report_pairs_fini(&holes);

    report_totals(r, &t);
    fputc('\n', f);
    text_write_plain(f, r->run.testbed_note, 0);
    fputc('\n', f);
    if (r->run.interrupted || r->cell_count < r->run.cells_planned)
        fprintf(f, "%s%s: %u of %u cells ran%s\n", paint(s, PAINT_BAD),
                r->run.interrupted ? "interrupted" : "incomplete", r->cell_count,
                r->run.cells_planned, paint(s, PAINT_NONE));
    if (t.checks[WARN] || t.checks[KNOWN])
        fprintf(f, "%u broke a SHOULD, %u known\n", t.checks[WARN], t.checks[KNOWN]);
    fprintf(f, "%s%u passed, %u failed, %u skipped%s\n",
            paint(s, report_status(r) ? PAINT_BAD : PAINT_GOOD),
            t.checks[PASS] + t.checks[WARN] + t.checks[KNOWN], bad(&t), t.checks[SKIP],
            paint(s, PAINT_NONE));
}
