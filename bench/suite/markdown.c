/* SPDX-License-Identifier: MIT */
/* A run as tables for people. */
#include <string.h>

#include "report/text.h"
#include "suite/read.h"
#include "suite/suite.h"

static void put_sample(const json_t *s, FILE *f)
{
    if (number_of(s, "count") > 0)
        fprintf(f, " %.2f (%.2f to %.2f) |", number_of(s, "median"), number_of(s, "p10"),
                number_of(s, "p90"));
    else
        fputs(" - |", f);
}

static void put_ratio(const json_t *s, FILE *f)
{
    double count = number_of(s, "count");

    if (!(count > 0))
        fputs(" - |", f);
    else if (count < SAMPLE_PAIRS_MIN)
        fputs(" not comparable |", f);
    else
        fprintf(f, " %.3f (%.3f to %.3f) |", number_of(s, "median"), number_of(s, "low"),
                number_of(s, "high"));
}

static void put_latency(const json_t *latency, FILE *f)
{
    if (json_is_object(latency))
        fprintf(f, " %.0f, %.0f, %.0f |", quantile_of(latency, 0.5), quantile_of(latency, 0.99),
                quantile_of(latency, 0.999));
    else
        fputs(" - |", f);
}

static void put_counts(const json_t *counts, FILE *f)
{
    const char *name, *between = " ";
    const json_t *v;

    json_object_foreach((json_t *)counts, name, v)
    {
        fputs(between, f);
        text_write_markdown(f, name);
        fprintf(f, " %.4g", json_number_value(v));
        between = ", ";
    }
    fputs(json_object_size(counts) ? " |" : " - |", f);
}

static void put_row(const json_t *row, FILE *f)
{
    const json_t *v, *list = json_object_get(row, "variants");
    size_t k;

    json_array_foreach(list, k, v)
    {
        fputs("| ", f);
        if (k == 0) {
            text_write_markdown(f, text_of(row, "name"));
            if (text_of(row, "skipped")[0]) {
                fputs(": not here: ", f);
                text_write_markdown(f, text_of(row, "skipped"));
            }
            fputs(" | ", f);
            text_write_markdown(f, text_of(row, "placement"));
            fprintf(f, " | %.0f of %zu, %lld | ", number_of(json_object_get(v, "value"), "count"),
                    json_array_size(json_object_get(row, "rounds")),
                    (long long)json_integer_value(json_object_get(row, "again")));
        } else {
            fputs("| | | ", f);
        }
        text_write_markdown(f, text_of(v, "name"));
        fputs(" |", f);
        put_sample(json_object_get(v, "value"), f);
        if (k)
            put_ratio(json_object_get(v, "ratio_of_first"), f);
        else
            fputs(" |", f);
        if (k)
            fputs(" |", f);
        else
            put_ratio(json_object_get(row, "ratio_of_round_trip"), f);
        put_latency(json_object_get(v, "latency"), f);
        put_counts(json_object_get(v, "per_unit"), f);
        putc('\n', f);
    }
}

static void put_family(const json_t *row, FILE *f)
{
    const char *note = suite_testbed_note(text_of(row, "testbed"));

    fputs("\n## ", f);
    text_write_markdown(f, text_of(row, "family"));
    fputs("\n\nTestbed ", f);
    text_write_markdown(f, text_of(row, "testbed"));
    fprintf(f, ": %s\n\n| row | CPUs | rounds, values again | variant | ", note ? note : "unknown");
    text_write_markdown(f, text_of(row, "unit"));
    fputs(" | first to this | to a round trip | p50, p99, p99.9 [ns] | for each unit |\n"
          "|---|---|---|---|---|---|---|---|---|\n",
          f);
}

/* What one request costs of each design. Columns are the counts of the first. */
static void put_costs(const json_t *o, FILE *f)
{
    const json_t *design, *cost, *v, *columns = NULL;
    const char *name;
    size_t i, k;

    json_array_foreach(json_object_get(o, "designs"), i, design)
    {
        json_array_foreach(json_object_get(design, "costs"), k, cost)
        {
            const json_t *counts = json_object_get(cost, "counts");

            if (!columns) {
                columns = counts;
                fputs("\n## what one request costs\n\nExact counts of simxen, of requests that "
                      "are offered one by one.\n\n| design | what it is | request |",
                      f);
                json_object_foreach((json_t *)columns, name, v)
                {
                    putc(' ', f);
                    text_write_markdown(f, name);
                    fputs(" |", f);
                }
                fputs("\n|---|---|---|", f);
                for (size_t n = json_object_size(columns); n > 0; n--)
                    fputs("---|", f);
                putc('\n', f);
            }
            fputs("| ", f);
            text_write_markdown(f, k ? "" : text_of(design, "name"));
            fputs(" | ", f);
            text_write_markdown(f, k ? "" : text_of(design, "title"));
            fputs(" | ", f);
            text_write_markdown(f, text_of(cost, "request"));
            fputs(" |", f);
            json_object_foreach((json_t *)columns, name, v)
                fprintf(f, " %.6g |", number_of(counts, name));
            putc('\n', f);
        }
    }
}

/* What the backend has for itself, by the guest's size. */
static void put_memory(const json_t *o, FILE *f)
{
    const json_t *design, *m;
    size_t i, k;
    bool any = false;

    json_array_foreach(json_object_get(o, "designs"), i, design)
    {
        json_array_foreach(json_object_get(design, "memory"), k, m)
        {
            if (!any)
                fputs("\n## memory of the backend\n\nIts own, that is resident after these "
                      "requests; not what it shares with the guest.\n\n| design | guest | own "
                      "[KiB] | requests cost |\n|---|---|---|---|\n",
                      f);
            any = true;
            fputs("| ", f);
            text_write_markdown(f, k ? "" : text_of(design, "name"));
            fputs(" | ", f);
            text_write_markdown(f, text_of(m, "guest"));
            fprintf(f, " | %.0f | %s |\n", number_of(m, "own_kib"),
                    json_is_true(json_object_get(m, "same_costs")) ? "the same" : "otherwise");
        }
    }
}

static void put_goals(const json_t *o, FILE *f)
{
    const json_t *goal, *run = json_object_get(o, "run");
    size_t i;

    if (!json_is_string(json_object_get(run, "peers")))
        return;
    fputs("\n## goals\n\nPeers: ", f);
    text_write_markdown(f, text_of(run, "peers"));
    fputs(".\n\n| goal | at most | measured | verdict |\n|---|---|---|---|\n", f);
    json_array_foreach(json_object_get(o, "goals"), i, goal)
    {
        fputs("| ", f);
        text_write_markdown(f, text_of(goal, "row"));
        fputs(", to ", f);
        text_write_markdown(f, text_of(goal, "than"));
        fprintf(f, " | %.3f |", number_of(goal, "at_most"));
        put_ratio(json_object_get(goal, "ratio"), f);
        putc(' ', f);
        text_write_markdown(f, text_of(goal, "verdict"));
        fputs(" |\n", f);
    }
}

void suite_write_markdown(const json_t *o, FILE *f)
{
    const json_t *run = json_object_get(o, "run"), *machine = json_object_get(o, "machine");
    const json_t *row, *before = NULL;
    size_t i;

    fputs("# Benchmark ", f);
    text_write_markdown(f, text_of(run, "id"));
    fputs("\n\n", f);
    text_write_markdown(f, text_of(machine, "cpu"));
    fprintf(f, ", %.0f CPUs, Linux ", number_of(machine, "cpus"));
    text_write_markdown(f, text_of(machine, "kernel"));
    fputs(", ringproof ", f);
    text_write_markdown(f, text_of(run, "version"));
    fprintf(f,
            ". Times are for one unit of work, less is better; in brackets the middle 80 %%; of "
            "ratios the interval of the median (sign test, of pairs measured one after the other; "
            "below %u pairs nothing is said of a ratio).\n",
            SAMPLE_PAIRS_MIN);
    json_array_foreach(json_object_get(o, "rows"), i, row)
    {
        if (begins_table(row, before))
            put_family(row, f);
        put_row(row, f);
        before = row;
    }
    put_costs(o, f);
    put_memory(o, f);
    put_goals(o, f);
}
