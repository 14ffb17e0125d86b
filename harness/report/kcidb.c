/* SPDX-License-Identifier: MIT */
/* The shape in which KernelCI's database takes tests (kcidb, schema 4.3): one build, the subject,
 * and a test for each check in each cell. Who submits it adds what revision was built. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"
#include "report/report.h"

/* A test that broke a SHOULD is done, and not a failed one. */
static const char *status_of(enum outcome o)
{
    static const char *const names[] = {
        [PASS] = "PASS", [SKIP] = "SKIP",  [KNOWN] = "FAIL", [WARN] = "DONE",
        [FAIL] = "FAIL", [CRASH] = "FAIL", [ERROR] = "ERROR"};

    return names[o];
}

/* Only letters, digits, '-', '_' and '.' in a path; cells are told by their number in the run. */
static json_t *path_of(const struct report_cell *c, const struct report_check *k)
{
    char path[256];
    int n = snprintf(path, sizeof(path), "ringproof.%s.%s", c->scenario, k->name);

    for (int i = 0; i < n && i < (int)sizeof(path) - 1; i++)
        if (!isalnum((unsigned char)path[i]) && !strchr("-_.", path[i]))
            path[i] = '_';
    return json_string(path);
}

static json_t *test(const struct report *r, unsigned cell, unsigned check)
{
    const struct report_cell *c = r->cells[cell];
    const struct report_check *k = &c->checks[check];
    char id[256], build[256];

    snprintf(build, sizeof(build), "ringproof:%s", r->run.id);
    snprintf(id, sizeof(id), "ringproof:%s-%u-%u", r->run.id, cell, check);
    json_t *t = json_pack("{s:o, s:s, s:o, s:o, s:s, s:o, s:f, s:{s:o, s:o, s:o, s:b}}", "id",
                          text_to_json(id), "origin", "ringproof", "build_id", text_to_json(build),
                          "path", path_of(c, k), "status", status_of(k->outcome), "start_time",
                          text_to_json(r->run.started), "duration", (double)k->duration_ns / 1e9,
                          "misc", "cell", text_to_json(c->id), "testbed", text_to_json(c->testbed),
                          "proves", text_to_json(k->proves), "known", k->outcome == KNOWN);
    const char *text = k->failure_count ? k->failures[0].text : k->reason;

    if (text[0])
        json_object_set_new(t, "comment", text_to_json(text));
    return t;
}

void report_write_kcidb(const struct report *r, FILE *f)
{
    json_t *tests = json_array();
    char build[256];

    snprintf(build, sizeof(build), "ringproof:%s", r->run.id);
    for (unsigned i = 0; i < r->cell_count; i++)
        for (unsigned k = 0; k < r->cells[i]->check_count; k++)
            json_array_append_new(tests, test(r, i, k));
    json_t *o =
        json_pack("{s:{s:i, s:i}, s:[{s:o, s:s, s:s, s:o}], s:o}", "version", "major", 4, "minor",
                  3, "builds", "id", text_to_json(build), "origin", "ringproof", "checkout_id",
                  "_:unknown", "start_time", text_to_json(r->run.started), "tests", tests);
    if (!o || json_dumpf(o, f, JSON_INDENT(1) | JSON_SORT_KEYS))
        fputs("{}", f);
    putc('\n', f);
    json_decref(o);
}
