/* SPDX-License-Identifier: MIT */
/* KTAP version 1, as the kernel's tools read it (Documentation/dev-tools/ktap.rst): a subtest for
 * each cell; what a check has to say stands in front of its line. */
#include <ctype.h>
#include <stdlib.h>

#include "report/report.h"
#include "report/text.h"

/* A broken SHOULD does not fail a test, and a known failure is an expected one. */
static bool is_ok(enum outcome o)
{
    return o == PASS || o == SKIP || o == WARN;
}

/* A description has no '#', which begins a directive, and no blank at its ends. */
static void write_line(FILE *f, const char *indent, enum outcome o, unsigned number,
                       const char *name, const char *reason)
{
    fprintf(f, "%s%s %u ", indent, is_ok(o) ? "ok" : "not ok", number);
    for (const char *c = name; *c; c++)
        putc(*c == '#' || iscntrl((unsigned char)*c) ? '_' : *c, f);
    if (o == SKIP || o == KNOWN) {
        fputs(o == SKIP ? " # SKIP " : " # XFAIL ", f);
        text_write_plain(f, reason, 0);
    }
    putc('\n', f);
}

static void write_diagnostic(FILE *f, const char *text)
{
    fputs("  # ", f);
    text_write_plain(f, text, 0);
    putc('\n', f);
}

static void write_cell(FILE *f, const struct report *r, const struct report_cell *c,
                       unsigned number)
{
    char *label = report_cell_label(r, c);

    fprintf(f, "  KTAP version 1\n  1..%u\n", c->check_count);
    for (unsigned i = 0; i < c->check_count; i++) {
        const struct report_check *k = &c->checks[i];

        for (unsigned j = 0; j < k->failure_count; j++)
            write_diagnostic(f, k->failures[j].text);
        if (k->reason[0] && k->outcome >= WARN)
            write_diagnostic(f, k->reason);
        write_line(f, "  ", k->outcome, i + 1, k->name, k->reason);
    }
    if (c->reason[0] && c->outcome != SKIP)
        write_diagnostic(f, c->reason);
    write_line(f, "", c->outcome, number, label, c->reason);
    free(label);
}

void report_write_ktap(const struct report *r, FILE *f)
{
    fprintf(f, "KTAP version 1\n1..%u\n", r->run.cells_planned);
    for (unsigned i = 0; i < r->cell_count; i++)
        write_cell(f, r, r->cells[i], i + 1);
}
