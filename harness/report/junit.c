/* SPDX-License-Identifier: MIT */
/* JUnit XML, as CI systems read it: a test suite for each cell. */
#include <inttypes.h>
#include <stdlib.h>

#include "check/wire.h"
#include "report/report.h"
#include "report/text.h"

static void write_attribute(FILE *f, const char *name, const char *value)
{
    fprintf(f, " %s=\"", name);
    text_write_xml(f, value);
    putc('"', f);
}

static void write_time(FILE *f, uint64_t ns)
{
    fprintf(f, " time=\"%" PRIu64 ".%06" PRIu64 "\"", (uint64_t)(ns / 1000000000u),
            (uint64_t)(ns / 1000u % 1000000u));
}

static void write_verdict(FILE *f, const char *element, const char *type, const char *message,
                          const struct report_check *k)
{
    fprintf(f, "      <%s type=\"%s\"", element, type);
    write_attribute(f, "message", message);
    putc('>', f);
    for (unsigned i = 0; k && i < k->failure_count; i++) {
        const struct report_failure *fail = &k->failures[i];
        text_write_xml(f, wire_level_name(fail->level));
        putc(' ', f);
        text_write_xml(f, fail->file);
        fprintf(f, ":%d: ", fail->line);
        text_write_xml(f, fail->text);
        putc('\n', f);
    }
    if (k && k->reason[0] && k->failure_count) {
        text_write_xml(f, k->reason);
        putc('\n', f);
    }
    fprintf(f, "</%s>\n", element);
}

static void write_case(FILE *f, const char *label, const struct report_check *k)
{
    const char *message = k->reason[0] || !k->failure_count ? k->reason : k->failures[0].text;

    fputs("    <testcase", f);
    write_attribute(f, "classname", label);
    write_attribute(f, "name", k->name);
    write_time(f, k->duration_ns);
    fputs(">\n", f);
    switch (k->outcome) {
    case PASS:
        break;
    case SKIP:
    case KNOWN:
        fputs("      <skipped", f);
        write_attribute(f, "message", k->reason);
        fputs("/>\n", f);
        break;
    case WARN:
        fputs("      <system-out>WARN: ", f);
        text_write_xml(f, message);
        fputs("</system-out>\n", f);
        break;
    case FAIL:
    case CRASH:
        write_verdict(f, "failure", outcome_name(k->outcome), message, k);
        break;
    case ERROR:
        write_verdict(f, "error", "ERROR", message, k);
        break;
    }
    if (k->log[0]) {
        fputs("      <system-err>", f);
        text_write_xml(f, k->log);
        fputs("</system-err>\n", f);
    }
    fputs("    </testcase>\n", f);
}

/* What befell the cell itself, as a case of its own. */
static bool cell_has_case(const struct report_cell *c)
{
    return c->reason[0] || !c->check_count;
}

static void write_cell(FILE *f, const struct report *r, const struct report_cell *c)
{
    char *label = report_cell_label(r, c);
    struct report_totals t = {0};
    unsigned cases = c->check_count + cell_has_case(c);
    unsigned failures = 0, errors = 0, skipped = 0;

    for (unsigned i = 0; i < c->check_count; i++)
        t.checks[c->checks[i].outcome]++;
    if (cell_has_case(c))
        t.checks[c->outcome]++;
    failures = t.checks[FAIL] + t.checks[CRASH];
    errors = t.checks[ERROR];
    skipped = t.checks[SKIP] + t.checks[KNOWN];

    fputs("  <testsuite", f);
    write_attribute(f, "name", label);
    fprintf(f, " tests=\"%u\" failures=\"%u\" errors=\"%u\" skipped=\"%u\"", cases, failures,
            errors, skipped);
    write_time(f, c->duration_ns);
    fputs(">\n", f);
    if (c->axes.count || c->metrics.count) {
        fputs("    <properties>\n", f);
        for (unsigned i = 0; i < c->axes.count + c->metrics.count; i++) {
            const struct report_pair *p =
                i < c->axes.count ? &c->axes.items[i] : &c->metrics.items[i - c->axes.count];
            fputs("      <property", f);
            write_attribute(f, "name", p->name);
            write_attribute(f, "value", p->value);
            fputs("/>\n", f);
        }
        fputs("    </properties>\n", f);
    }
    for (unsigned i = 0; i < c->check_count; i++)
        write_case(f, label, &c->checks[i]);
    if (cell_has_case(c)) {
        const struct report_check own = {.name = (char[]){"cell"},
                                         .title = (char[]){""},
                                         .outcome = c->outcome,
                                         .reason = c->reason,
                                         .duration_ns = c->duration_ns,
                                         .log = c->log};
        write_case(f, label, &own);
    }
    fputs("  </testsuite>\n", f);
    free(label);
}

void report_write_junit(const struct report *r, FILE *f)
{
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"ringproof\"", f);
    write_time(f, r->run.duration_ns);
    fputs(">\n", f);
    for (unsigned i = 0; i < r->cell_count; i++)
        write_cell(f, r, r->cells[i]);
    fputs("</testsuites>\n", f);
}
