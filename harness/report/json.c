/* SPDX-License-Identifier: MIT */
/* The model as JSON; load.c is the way back. results/schema/result.schema.json describes it. */
#include <stdlib.h>
#include <string.h>

#include "check/wire.h"
#include "report/internal.h"
#include "report/text.h"

json_t *text_to_json(const char *t)
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
        json_array_append_new(o, json_pack("{s:o, s:o}", "name", text_to_json(p->items[i].name),
                                           "value", text_to_json(p->items[i].value)));
    return o;
}

static json_t *check_to_json(const struct report_check *k)
{
    json_t *failures = json_array();

    for (unsigned i = 0; i < k->failure_count; i++) {
        const struct report_failure *f = &k->failures[i];
        json_array_append_new(failures,
                              json_pack("{s:s, s:o, s:i, s:o}", "level", wire_level_name(f->level),
                                        "file", text_to_json(f->file), "line", f->line, "text",
                                        text_to_json(f->text)));
    }
    return json_pack("{s:o, s:o, s:o, s:s, s:s, s:o, s:I, s:I, s:o, s:o, s:o, s:o}", "name",
                     text_to_json(k->name), "title", text_to_json(k->title), "proves",
                     text_to_json(k->proves), "judges", wire_judges_name(k->judges), "outcome",
                     outcome_name(k->outcome), "reason", text_to_json(k->reason), "duration_ns",
                     (json_int_t)k->duration_ns, "expectations", (json_int_t)k->expectations,
                     "failures", failures, "notes", pairs_to_json(&k->notes), "log",
                     text_to_json(k->log), "trace", text_to_json(k->trace));
}

static json_t *table_of_to_json(const struct report_table_of *t)
{
    json_t *columns = json_array();

    for (unsigned i = 0; i < t->column_count; i++)
        json_array_append_new(columns, text_to_json(t->columns[i]));
    return json_pack("{s:o, s:o}", "name", text_to_json(t->name), "columns", columns);
}

json_t *report_cell_to_json(const struct report_cell *c)
{
    json_t *checks = json_array();

    for (unsigned i = 0; i < c->check_count; i++)
        json_array_append_new(checks, check_to_json(&c->checks[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:I, s:o, s:o, s:o, s:o}", "id",
                     text_to_json(c->id), "scenario", text_to_json(c->scenario), "title",
                     text_to_json(c->title), "file", text_to_json(c->file), "testbed",
                     text_to_json(c->testbed), "part",
                     c->part == REPORT_OWN ? json_null() : json_integer(c->part), "axes",
                     pairs_to_json(&c->axes), "outcome", outcome_name(c->outcome), "reason",
                     text_to_json(c->reason), "duration_ns", (json_int_t)c->duration_ns, "metrics",
                     pairs_to_json(&c->metrics), "checks", checks, "table",
                     table_of_to_json(&c->table), "log", text_to_json(c->log));
}

static json_t *run_to_json(const struct report_run *run)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:b, s:i, s:{s:i, s:i}, s:{s:o, s:o}, s:o}",
                     "id", text_to_json(run->id), "started", text_to_json(run->started), "command",
                     text_to_json(run->command), "selection", text_to_json(run->selection),
                     "duration_ns", (json_int_t)run->duration_ns, "seed", (json_int_t)run->seed,
                     "interrupted", run->interrupted, "cells_planned", (int)run->cells_planned,
                     "shard", "index", (int)run->shard_index, "count", (int)run->shard_count,
                     "testbed", "name", text_to_json(run->testbed), "note",
                     text_to_json(run->testbed_note), "versions", pairs_to_json(&run->versions));
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
        json_array_append_new(hole_list, json_pack("{s:o, s:o}", "requirement",
                                                   text_to_json(holes.items[i].name), "reason",
                                                   text_to_json(holes.items[i].value)));
    report_pairs_fini(&holes);

    struct report_tables tables;
    report_tables_make(r, &tables);
    json_t *table_list = report_tables_to_json(&tables);
    report_tables_fini(&tables);

    json_t *run = run_to_json(&r->run);
    json_object_set_new(run, "status", json_integer(report_status(r)));
    json_t *parts = json_array();
    for (unsigned i = 0; i < r->part_count; i++)
        json_array_append_new(parts,
                              json_pack("{s:o, s:o}", "source", text_to_json(r->parts[i].source),
                                        "run", run_to_json(&r->parts[i].run)));
    return json_pack("{s:i, s:o, s:o, s:{s:o, s:o}, s:o, s:o, s:o, s:o}", "format", REPORT_FORMAT,
                     "run", run, "parts", parts, "totals", "checks", by_check, "cells", by_cell,
                     "holes", hole_list, "equivalence",
                     r->equivalence ? report_equivalence_to_json(r->equivalence) : json_null(),
                     "tables", table_list, "cells", cells);
}
