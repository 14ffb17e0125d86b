/* SPDX-License-Identifier: MIT */
/* TAP version 14: a subtest for each cell, a YAML block under each check that says more. */
#include <stdlib.h>

#include "check/wire.h"
#include "report/report.h"
#include "report/text.h"

static bool is_ok(enum outcome o)
{
    return o == PASS || o == SKIP || o == WARN;
}

static void write_directive(FILE *f, enum outcome o, const char *reason)
{
    if (o == SKIP)
        fputs(" # SKIP ", f);
    else if (o == KNOWN)
        fputs(" # TODO ", f);
    else
        return;
    text_write_tap(f, reason);
}

static void write_member(FILE *f, const char *name, const char *value)
{
    if (!value[0])
        return;
    fprintf(f, "      %s: ", name);
    text_write_quoted(f, value);
    putc('\n', f);
}

static void write_details(FILE *f, const struct report_check *k)
{
    if (k->outcome == PASS && !k->notes.count)
        return;
    fputs("      ---\n", f);
    fprintf(f, "      outcome: %s\n", outcome_name(k->outcome));
    write_member(f, "proves", k->proves);
    write_member(f, "reason", k->reason);
    if (k->failure_count)
        fputs("      failures:\n", f);
    for (unsigned i = 0; i < k->failure_count; i++) {
        const struct report_failure *fail = &k->failures[i];
        fprintf(f, "        - level: %s\n          file: ", wire_level_name(fail->level));
        text_write_quoted(f, fail->file);
        fprintf(f, "\n          line: %d\n          text: ", fail->line);
        text_write_quoted(f, fail->text);
        putc('\n', f);
    }
    if (k->notes.count)
        fputs("      notes:\n", f);
    for (unsigned i = 0; i < k->notes.count; i++) {
        fputs("        - ", f);
        text_write_quoted(f, k->notes.items[i].name);
        fputs(": ", f);
        text_write_quoted(f, k->notes.items[i].value);
        putc('\n', f);
    }
    fputs("      ...\n", f);
}

static void write_cell(FILE *f, const struct report *r, const struct report_cell *c,
                       unsigned number)
{
    char *label = report_cell_label(r, c);

    fputs("# Subtest: ", f);
    text_write_tap(f, label);
    putc('\n', f);
    if (!c->check_count) {
        fputs("    1..0 # SKIP ", f);
        text_write_tap(f, c->reason);
        putc('\n', f);
    } else {
        fprintf(f, "    1..%u\n", c->check_count);
    }
    for (unsigned i = 0; i < c->check_count; i++) {
        const struct report_check *k = &c->checks[i];
        fprintf(f, "    %s %u - ", is_ok(k->outcome) ? "ok" : "not ok", i + 1);
        text_write_tap(f, k->name);
        write_directive(f, k->outcome, k->reason);
        putc('\n', f);
        write_details(f, k);
    }
    fprintf(f, "%s %u - ", is_ok(c->outcome) ? "ok" : "not ok", number);
    text_write_tap(f, label);
    write_directive(f, c->outcome, c->reason);
    putc('\n', f);
    if (c->reason[0] && c->outcome != SKIP) {
        fprintf(f, "  ---\n  outcome: %s\n  reason: ", outcome_name(c->outcome));
        text_write_quoted(f, c->reason);
        fputs("\n  ...\n", f);
    }
    free(label);
}

void report_write_tap(const struct report *r, FILE *f)
{
    fputs("TAP version 14\n", f);
    if (r->run.cells_planned)
        fprintf(f, "1..%u\n", r->run.cells_planned);
    else
        fputs("1..0 # SKIP nothing was selected\n", f);
    fputs("# ", f);
    text_write_tap(f, r->run.testbed_note);
    putc('\n', f);
    for (unsigned i = 0; i < r->cell_count; i++)
        write_cell(f, r, r->cells[i], i + 1);
    if (r->run.interrupted)
        fputs("Bail out! interrupted\n", f);
}
