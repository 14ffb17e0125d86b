/* SPDX-License-Identifier: MIT */
/* The forms in which a run leaves: JSON for programs, a table for people. */
#include "suite/suite.h"

#include <string.h>

static json_t *sample_json(const struct sample *s)
{
    if (s->count == 0)
        return json_null();
    return json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (int)s->count, "median",
                     s->median, "p10", s->p10, "p90", s->p90, "low", s->low, "high", s->high,
                     "confidence", s->confidence);
}

static json_t *rounds_json(const struct suite_row *row)
{
    json_t *rounds = json_array();

    for (unsigned i = 0; i < row->round_count; i++) {
        const struct suite_round *r = &row->rounds[i];
        json_t *values = json_array();

        for (unsigned k = 0; k < row->variant_count; k++)
            json_array_append_new(
                values, json_pack("{s:f, s:[f, f], s:[f, f], s:f, s:f}", "ns", r->values[k].ns,
                                  "round_trip_ns", r->values[k].round_trip_ns[0],
                                  r->values[k].round_trip_ns[1], "own_cpu", r->values[k].own_cpu[0],
                                  r->values[k].own_cpu[1], "foreign", r->values[k].foreign, "steal",
                                  r->values[k].steal));
        json_array_append_new(
            rounds, json_pack("{s:s, s:o}", "fate", suite_fate_name(r->fate), "values", values));
    }
    return rounds;
}

static json_t *row_json(const struct suite_row *row)
{
    json_t *variants = json_array(), *discarded = json_object();

    for (unsigned k = 0; k < row->variant_count; k++)
        json_array_append_new(
            variants, json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", row->variants[k].name,
                                "program", row->variants[k].program, "options",
                                row->variants[k].options, "value", sample_json(&row->values[k]),
                                "ratio_of_first", sample_json(&row->ratios[k])));
    for (unsigned f = SUITE_KEPT + 1; f < SUITE_FATES; f++)
        json_object_set_new(discarded, suite_fate_name((enum suite_fate)f),
                            json_integer(row->fates[f]));
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
                     row->name, "options", row->options, "unit", "ns/buffer", "testbed",
                     SUITE_TESTBED, "sleeps", row->sleeps, "placement", row->near ? "near" : "far",
                     "round_trip_ns", sample_json(&row->round_trip), "ratio_of_round_trip",
                     sample_json(&row->to_round_trip), "latency", suite_latency_json(row),
                     "variants", variants, "discarded", discarded, "rounds", rounds_json(row));
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

    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, row_json(&rows[i]));
    return json_pack(
        "{s:s, s:i, s:{s:s, s:s, s:s, s:f, s:s?}, s:{s:s, s:s, s:i}, s:{s:f, s:f, s:f, s:f}, "
        "s:o, s:o}",
        "kind", "bench", "format", SUITE_FORMAT, "run", "id", run->id, "started", run->started,
        "version", run->version, "duration_s", run->duration_s, "peers", run->peers, "machine",
        "cpu", run->cpu, "kernel", run->kernel, "cpus", (int)run->cpus, "bounds", "foreign",
        SUITE_FOREIGN_MAX, "steal", SUITE_STEAL_MAX, "moved", SUITE_MOVED_MAX, "near_ns",
        SUITE_NEAR_NS, "goals", goals_json(rows, count), "rows", list);
}

void suite_write_json(const json_t *contents, FILE *f)
{
    const size_t flags = JSON_REAL_PRECISION(6);
    const json_t *v, *row;
    const char *name, *comma = "{";
    size_t i;

    json_object_foreach((json_t *)contents, name, v)
    {
        fprintf(f, "%s\n\"%s\": ", comma, name);
        comma = ",";
        if (strcmp(name, "rows") != 0) {
            json_dumpf(v, f, flags | JSON_ENCODE_ANY);
            continue;
        }
        putc('[', f);
        json_array_foreach(v, i, row)
        {
            fputs(i ? ",\n" : "\n", f);
            json_dumpf(row, f, flags);
        }
        fputs("\n]", f);
    }
    fputs("\n}\n", f);
}

static void write_ratio_of(const struct sample *s, FILE *f)
{
    if (!s || s->count == 0)
        fputs(" - |", f);
    else if (s->count < SAMPLE_PAIRS_MIN)
        fputs(" not comparable |", f);
    else
        fprintf(f, " %.3f (%.3f to %.3f) |", s->median, s->low, s->high);
}

/* Of the first variant to the one of this name. */
static void write_ratio(const struct suite_row *row, const char *variant, FILE *f)
{
    unsigned k = 1;

    while (k < row->variant_count && strcmp(row->variants[k].name, variant) != 0)
        k++;
    write_ratio_of(k < row->variant_count ? &row->ratios[k] : NULL, f);
}

static void write_goals(const struct suite_row *rows, unsigned row_count, FILE *f)
{
    unsigned count;
    const struct suite_goal *goals = suite_goals(&count);

    fputs("\n| goal | at most | measured | verdict |\n|---|---|---|---|\n", f);
    for (unsigned i = 0; i < count; i++) {
        struct sample ratio;
        enum suite_reached r = suite_goal_judge(&goals[i], rows, row_count, &ratio);

        fprintf(f, "| %s, to %s | %.3f |", goals[i].row, goals[i].than, goals[i].at_most);
        write_ratio_of(&ratio, f);
        fprintf(f, " %s |\n", suite_reached_name(r));
    }
}

void suite_write_markdown(const struct suite_run *run, const struct suite_row *rows, unsigned count,
                          FILE *f)
{
    fprintf(f,
            "# Ring benchmark %s\n\n%s, %u CPUs, Linux %s, ringproof %s. ns for a buffer; in "
            "brackets the middle 80 %%; of ratios the interval of the median (sign test, of pairs "
            "measured one after the other; below %u pairs nothing is said of a ratio).\n\n"
            "| row | CPUs | pairs | discarded | checked [ns] | cost of safety | to the floor | "
            "to the peer | to a round trip |\n|---|---|---|---|---|---|---|---|---|\n",
            run->id, run->cpu, run->cpus, run->kernel, run->version, SAMPLE_PAIRS_MIN);
    for (unsigned i = 0; i < count; i++) {
        const struct suite_row *r = &rows[i];
        const struct sample *s = &r->values[0];

        fprintf(f, "| %s | %s | %u | %u |", r->name, r->near ? "near" : "far", s->count,
                r->round_count - r->fates[SUITE_KEPT]);
        if (s->count == 0) {
            fputs(" - | - | - | - | - |\n", f);
            continue;
        }
        fprintf(f, " %.2f (%.2f to %.2f) |", s->median, s->p10, s->p90);
        write_ratio(r, "unchecked", f);
        write_ratio(r, "floor", f);
        write_ratio(r, "ringtest", f);
        write_ratio_of(&r->to_round_trip, f);
        putc('\n', f);
    }
    if (run->peers) {
        fprintf(f, "\nPeers: %s.\n", run->peers);
        write_goals(rows, count, f);
    }
}
