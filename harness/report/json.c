/* SPDX-License-Identifier: MIT */
/* The model as JSON, both ways for a cell. results/schema/result.schema.json describes it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "check/wire.h"
#include "report/report.h"
#include "report/text.h"

static json_t *text(const char *t)
{
    char *clean = text_clean(t);
    json_t *v = clean ? json_string(clean) : NULL;

    free(clean);
    return v;
}

static json_t *pairs_to_json(const struct report_pairs *p)
{
    json_t *o = json_array();

    for (unsigned i = 0; i < p->count; i++)
        json_array_append_new(o, json_pack("{s:o, s:o}", "name", text(p->items[i].name), "value",
                                           text(p->items[i].value)));
    return o;
}

static json_t *check_to_json(const struct report_check *k)
{
    json_t *failures = json_array();

    for (unsigned i = 0; i < k->failure_count; i++) {
        const struct report_failure *f = &k->failures[i];
        json_array_append_new(failures, json_pack("{s:s, s:o, s:i, s:o}", "level",
                                                  wire_level_name(f->level), "file", text(f->file),
                                                  "line", f->line, "text", text(f->text)));
    }
    return json_pack("{s:o, s:o, s:o, s:s, s:s, s:o, s:I, s:I, s:o, s:o, s:o}", "name",
                     text(k->name), "title", text(k->title), "proves", text(k->proves), "judges",
                     wire_judges_name(k->judges), "outcome", outcome_name(k->outcome), "reason",
                     text(k->reason), "duration_ns", (json_int_t)k->duration_ns, "expectations",
                     (json_int_t)k->expectations, "failures", failures, "notes",
                     pairs_to_json(&k->notes), "log", text(k->log));
}

json_t *report_cell_to_json(const struct report_cell *c)
{
    json_t *checks = json_array();

    for (unsigned i = 0; i < c->check_count; i++)
        json_array_append_new(checks, check_to_json(&c->checks[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:I, s:o, s:o, s:o}", "id",
                     text(c->id), "scenario", text(c->scenario), "title", text(c->title), "file",
                     text(c->file), "testbed", text(c->testbed), "axes", pairs_to_json(&c->axes),
                     "outcome", outcome_name(c->outcome), "reason", text(c->reason), "duration_ns",
                     (json_int_t)c->duration_ns, "metrics", pairs_to_json(&c->metrics), "checks",
                     checks, "log", text(c->log));
}

/* ---- back ---- */

struct decode {
    char *why;
    size_t why_size;
    bool failed;
};

static const json_t *member(struct decode *d, const json_t *o, const char *name, json_type type)
{
    const json_t *v = json_object_get(o, name);

    if (v && json_typeof(v) == type)
        return v;
    if (!d->failed)
        snprintf(d->why, d->why_size, "'%s' is missing or of another type", name);
    d->failed = true;
    return NULL;
}

static const char *member_text(struct decode *d, const json_t *o, const char *name)
{
    const json_t *v = member(d, o, name, JSON_STRING);
    return v ? json_string_value(v) : "";
}

static uint64_t member_number(struct decode *d, const json_t *o, const char *name, json_int_t max)
{
    const json_t *v = member(d, o, name, JSON_INTEGER);
    json_int_t n = v ? json_integer_value(v) : 0;

    if (n >= 0 && n <= max)
        return (uint64_t)n;
    if (!d->failed)
        snprintf(d->why, d->why_size, "'%s' is out of range", name);
    d->failed = true;
    return 0;
}

static enum outcome member_outcome(struct decode *d, const json_t *o)
{
    enum outcome v = ERROR;
    const char *name = member_text(d, o, "outcome");

    if (!wire_outcome_from_name(name, &v) && !d->failed) {
        snprintf(d->why, d->why_size, "unknown outcome '%.32s'", name);
        d->failed = true;
    }
    return v;
}

static void member_pairs(struct decode *d, const json_t *o, const char *name,
                         struct report_pairs *out)
{
    const json_t *list = member(d, o, name, JSON_ARRAY);

    for (size_t i = 0; list && i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        const char *n = member_text(d, p, "name"), *v = member_text(d, p, "value");
        report_pairs_add(out, n, v);
    }
}

static void check_from_json(struct decode *d, const json_t *o, struct report_cell *c)
{
    struct report_check *k =
        report_cell_add_check(c, member_text(d, o, "name"), member_outcome(d, o));

    report_set(&k->title, member_text(d, o, "title"));
    report_set(&k->proves, member_text(d, o, "proves"));
    report_set(&k->reason, member_text(d, o, "reason"));
    report_set(&k->log, member_text(d, o, "log"));
    if (!wire_judges_from_name(member_text(d, o, "judges"), &k->judges) && !d->failed) {
        snprintf(d->why, d->why_size, "unknown judges");
        d->failed = true;
    }
    k->duration_ns = member_number(d, o, "duration_ns", INT64_MAX);
    k->expectations = (unsigned)member_number(d, o, "expectations", UINT32_MAX);
    member_pairs(d, o, "notes", &k->notes);

    const json_t *list = member(d, o, "failures", JSON_ARRAY);
    for (size_t i = 0; list && i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i);
        enum check_level level = MUST;
        if (!wire_level_from_name(member_text(d, f, "level"), &level) && !d->failed) {
            snprintf(d->why, d->why_size, "unknown level");
            d->failed = true;
        }
        report_check_add_failure(k, level, member_text(d, f, "file"),
                                 (int)member_number(d, f, "line", INT32_MAX),
                                 member_text(d, f, "text"));
    }
}

int report_cell_from_json(const json_t *o, struct report_cell **out, char *why, size_t why_size)
{
    struct decode d = {.why = why, .why_size = why_size};

    *out = NULL;
    struct report_cell *c = report_cell_create(
        member_text(&d, o, "id"), member_text(&d, o, "scenario"), member_text(&d, o, "title"),
        member_text(&d, o, "file"), member_text(&d, o, "testbed"));
    c->outcome = member_outcome(&d, o);
    report_set(&c->reason, member_text(&d, o, "reason"));
    report_set(&c->log, member_text(&d, o, "log"));
    c->duration_ns = member_number(&d, o, "duration_ns", INT64_MAX);
    member_pairs(&d, o, "axes", &c->axes);
    member_pairs(&d, o, "metrics", &c->metrics);
    const json_t *checks = member(&d, o, "checks", JSON_ARRAY);
    for (size_t i = 0; checks && i < json_array_size(checks); i++)
        check_from_json(&d, json_array_get(checks, i), c);
    if (d.failed) {
        report_cell_destroy(c);
        return -EPROTO;
    }
    *out = c;
    return 0;
}

json_t *report_to_json(const struct report *r)
{
    struct report_totals t;
    struct report_pairs holes;
    json_t *cells = json_array(), *by_check = json_object(), *by_cell = json_object();

    report_totals(r, &t);
    for (unsigned o = 0; o < REPORT_OUTCOMES; o++) {
        const char *name = outcome_name((enum outcome)o);
        json_object_set_new(by_check, name, json_integer(t.checks[o]));
        json_object_set_new(by_cell, name, json_integer(t.cells[o]));
    }
    for (unsigned i = 0; i < r->cell_count; i++)
        json_array_append_new(cells, report_cell_to_json(r->cells[i]));

    report_holes(r, &holes);
    json_t *hole_list = json_array();
    for (unsigned i = 0; i < holes.count; i++)
        json_array_append_new(hole_list,
                              json_pack("{s:o, s:o}", "requirement", text(holes.items[i].name),
                                        "reason", text(holes.items[i].value)));
    report_pairs_fini(&holes);

    json_t *run = json_pack("{s:o, s:o, s:o, s:I, s:I, s:b, s:i, s:i, s:{s:o, s:o}, s:o}", "id",
                            text(r->id), "started", text(r->started), "command", text(r->command),
                            "duration_ns", (json_int_t)r->duration_ns, "seed", (json_int_t)r->seed,
                            "interrupted", r->interrupted, "cells_planned", (int)r->cells_planned,
                            "status", (int)report_status(r), "testbed", "name", text(r->testbed),
                            "note", text(r->testbed_note), "versions", pairs_to_json(&r->versions));
    return json_pack("{s:i, s:o, s:{s:o, s:o}, s:o, s:o}", "format", REPORT_FORMAT, "run", run,
                     "totals", "checks", by_check, "cells", by_cell, "holes", hole_list, "cells",
                     cells);
}
