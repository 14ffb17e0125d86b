/* SPDX-License-Identifier: MIT */
/* A run as a file for programs. */
#include "report/rows_file.h"
#include "suite/suite.h"

static json_t *sample_json(const struct sample *s)
{
    if (s->count == 0)
        return json_null();
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (int)s->count, "median",
                     s->median, "p10", s->p10, "p90", s->p90, "low", s->low, "high", s->high,
                     "confidence", s->confidence);
}

static json_t *value_json(const struct suite_value *v)
{
    return json_pack("{s:f, s:[f, f], s:[f, f], s:f, s:f}", "ns", v->ns, "round_trip_ns",
                     v->round_trip_ns[0], v->round_trip_ns[1], "own_cpu", v->own_cpu[0],
                     v->own_cpu[1], "foreign", v->foreign, "steal", v->steal);
}

static json_t *rounds_json(const struct suite_row *row)
{
    json_t *rounds = json_array();

    for (unsigned i = 0; i < row->round_count; i++) {
        const struct suite_round *r = &row->rounds[i];
        json_t *values = json_array();

        for (unsigned k = 0; k < row->work.variant_count; k++)
            json_array_append_new(values, value_json(&r->values[k]));
        json_array_append_new(
            rounds, json_pack("{s:s, s:o}", "fate", suite_fate_name(r->fate), "values", values));
    }
    return rounds;
}

static json_t *variant_json(const struct suite_row *row, unsigned k)
{
    const struct suite_variant *v = &row->work.variants[k];

    return json_pack("{s:s, s:s?, s:s, s:o, s:o, s:o, s:o}", "name", v->name, "program", v->program,
                     "options", v->options, "value", sample_json(&row->values[k]), "ratio_of_first",
                     sample_json(&row->ratios[k]), "latency", suite_latency_json(row, k),
                     "per_unit", suite_per_unit_json(row, k));
}

static json_t *row_json(const struct suite_row *row)
{
    const struct suite_work *w = &row->work;
    json_t *variants = json_array(), *discarded = json_object();

    for (unsigned k = 0; k < w->variant_count; k++)
        json_array_append_new(variants, variant_json(row, k));
    for (unsigned f = SUITE_KEPT + 1; f < SUITE_FATES; f++)
        json_object_set_new(discarded, suite_fate_name((enum suite_fate)f),
                            json_integer(row->fates[f]));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s?, s:s, s:o, s:o, s:o, s:o, s:i, s:o}",
                     "family", w->family, "name", w->name, "options", w->options, "unit", w->unit,
                     "testbed", suite_testbed_name(w->testbed), "sleeps", w->sleeps, "loose",
                     w->loose, "skipped", row->skipped, "placement", row->near ? "near" : "far",
                     "round_trip_ns", sample_json(&row->round_trip), "ratio_of_round_trip",
                     sample_json(&row->to_round_trip), "variants", variants, "discarded", discarded,
                     "again", (int)row->again, "rounds", rounds_json(row));
}

static json_t *goals_json(const struct suite_row *rows, unsigned row_count)
{
    json_t *list = json_array();
    unsigned count;
    const struct suite_goal *goals = suite_goals(&count);

    for (unsigned i = 0; i < count; i++) {
        struct sample ratio;
        enum suite_reached r = suite_goal_judge(&goals[i], rows, row_count, &ratio);

        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:f, s:s, s:o}", "row", goals[i].row, "than",
                                        goals[i].than, "at_most", goals[i].at_most, "verdict",
                                        suite_reached_name(r), "ratio", sample_json(&ratio)));
    }
    return list;
}

json_t *suite_to_json(const struct suite_run *run, const struct suite_row *rows, unsigned count)
{
    json_t *list = json_array();
    json_t *designs = run->designs ? json_incref(run->designs) : json_array();

    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, row_json(&rows[i]));
    return json_pack(
        "{s:s, s:i, s:{s:s, s:s, s:s, s:f, s:s?}, s:{s:s, s:s, s:i}, s:{s:f, s:f, s:f, s:f, s:f}, "
        "s:o, s:o, s:o}",
        "kind", "bench", "format", SUITE_FORMAT, "run", "id", run->id, "started", run->started,
        "version", run->version, "duration_s", run->duration_s, "peers", run->peers, "machine",
        "cpu", run->cpu, "kernel", run->kernel, "cpus", (int)run->cpus, "bounds", "foreign",
        SUITE_FOREIGN_MAX, "steal", SUITE_STEAL_MAX, "moved", SUITE_MOVED_MAX, "moved_loose",
        SUITE_MOVED_LOOSE, "near_ns", SUITE_NEAR_NS, "goals", goals_json(rows, count), "designs",
        designs, "rows", list);
}

void suite_write_json(const json_t *contents, FILE *f)
{
    rows_file_write(contents, 6, f);
}
