/* SPDX-License-Identifier: MIT */
/* A run of benchmarks as one page of HTML: no network, no other file, no script. */
#include <string.h>

#include "report/text.h"
#include "suite/plot.h"
#include "suite/read.h"
#include "suite/suite.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#59636e;--line:#d1d9e0;"
    "--card:#f6f8fa}@media(prefers-color-scheme:dark){:root{--bg:#0f1418;--fg:#e6edf3;"
    "--soft:#9aa7b4;--line:#30363d;--card:#171d23}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--bg);"
    "color:var(--fg);font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;margin:.2rem 0}"
    "h2{font-size:1.15rem;margin:2rem 0 .5rem}dl{display:grid;grid-template-columns:max-content "
    "1fr;gap:.15rem 1rem;margin:.5rem 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}"
    "figure{margin:1rem 0}figure img{max-width:100%;height:auto;background:#fff;border:1px solid "
    "var(--line);border-radius:6px}figcaption,.soft{color:var(--soft)}.wide{overflow-x:auto}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}th,td{"
    "border-top:1px solid var(--line);padding:.25rem .6rem;text-align:left;white-space:nowrap}"
    "td.n{text-align:right}th{background:var(--card)}.reached{font-weight:700}.missed{font-weight:"
    "700;text-decoration:underline}";

static void put_term(FILE *f, const char *name, const char *value)
{
    if (!value[0])
        return;
    fprintf(f, "<dt>%s</dt><dd>", name);
    text_write_xml(f, value);
    fputs("</dd>\n", f);
}

static void put_base64(const char *text, FILE *f)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *b = (const unsigned char *)text;
    size_t left = strlen(text);

    for (; left; b += 3, left -= left < 3 ? left : 3) {
        unsigned v = (unsigned)b[0] << 16 | (left > 1 ? (unsigned)b[1] << 8 : 0) |
                     (left > 2 ? (unsigned)b[2] : 0);

        putc(digits[v >> 18], f);
        putc(digits[v >> 12 & 63], f);
        putc(left > 1 ? digits[v >> 6 & 63] : '=', f);
        putc(left > 2 ? digits[v & 63] : '=', f);
        if (left < 3)
            break;
    }
}

static void put_head(const json_t *o, FILE *f)
{
    const json_t *run = json_object_get(o, "run"), *machine = json_object_get(o, "machine");
    const json_t *bounds = json_object_get(o, "bounds");
    char cpus[32];

    snprintf(cpus, sizeof(cpus), "%lld",
             (long long)json_integer_value(json_object_get(machine, "cpus")));
    fputs("<header><h1>Benchmark ", f);
    text_write_xml(f, text_of(run, "id"));
    fputs("</h1>\n<dl>", f);
    put_term(f, "started", text_of(run, "started"));
    put_term(f, "ringproof", text_of(run, "version"));
    put_term(f, "machine", text_of(machine, "cpu"));
    put_term(f, "CPUs", cpus);
    put_term(f, "Linux", text_of(machine, "kernel"));
    put_term(f, "peers", text_of(run, "peers"));
    fprintf(
        f,
        "</dl></header>\n<p class=soft>Times are for one unit of work: less is better. In brackets "
        "the middle "
        "80 %%; of ratios, which come from pairs measured one right after the other, the "
        "interval of the median (sign test); below %u pairs nothing is said of a ratio. A round "
        "is discarded when others had a CPU for more than %g %% of the time, the host under "
        "this machine for more than %g %%, or when the CPUs' placement changed. near and far "
        "are placements of the two CPUs (round trip of a cache line below and above %g ns): "
        "what was measured with one is never compared with the other.</p>\n",
        SAMPLE_PAIRS_MIN, 100 * number_of(bounds, "foreign"), 100 * number_of(bounds, "steal"),
        number_of(bounds, "near_ns"));
}

static void put_sample(const json_t *s, bool is_ratio, FILE *f)
{
    double count = number_of(s, "count");

    if (!(count > 0))
        fputs("<td class=n>-</td>", f);
    else if (is_ratio && count < SAMPLE_PAIRS_MIN)
        fputs("<td class=n>too few pairs</td>", f);
    else
        fprintf(f,
                is_ratio ? "<td class=n>%.3f (%.3f to %.3f)</td>"
                         : "<td class=n>%.2f (%.2f to %.2f)</td>",
                number_of(s, "median"), number_of(s, is_ratio ? "low" : "p10"),
                number_of(s, is_ratio ? "high" : "p90"));
}

static void put_goals(const json_t *o, FILE *f)
{
    const json_t *goal;
    size_t i;

    if (!json_is_string(json_object_get(json_object_get(o, "run"), "peers")))
        return;
    fputs("<h2>Goals</h2>\n<div class=wide><table id=goals><tr><th>row<th>to<th>at most"
          "<th>measured<th>verdict</tr>\n",
          f);
    json_array_foreach(json_object_get(o, "goals"), i, goal)
    {
        fputs("<tr><td>", f);
        text_write_xml(f, text_of(goal, "row"));
        fputs("</td><td>", f);
        text_write_xml(f, text_of(goal, "than"));
        fprintf(f, "</td><td class=n>%.3f</td>", number_of(goal, "at_most"));
        put_sample(json_object_get(goal, "ratio"), true, f);
        fputs("<td class=\"", f);
        text_write_xml(f, text_of(goal, "verdict"));
        fputs("\">", f);
        text_write_xml(f, text_of(goal, "verdict"));
        fputs("</td></tr>\n", f);
    }
    fputs("</table></div>\n", f);
}

static void put_latency(const json_t *latency, FILE *f)
{
    if (json_is_object(latency))
        fprintf(f, "<td class=n>%.0f, %.0f, %.0f</td>", quantile_of(latency, 0.5),
                quantile_of(latency, 0.99), quantile_of(latency, 0.999));
    else
        fputs("<td class=n>-</td>", f);
}

static void put_counts(const json_t *counts, FILE *f)
{
    const char *name, *between = "";
    const json_t *v;

    fputs("<td>", f);
    json_object_foreach((json_t *)counts, name, v)
    {
        fputs(between, f);
        text_write_xml(f, name);
        fprintf(f, " %.4g", json_number_value(v));
        between = ", ";
    }
    fputs("</td></tr>\n", f);
}

static void put_row(const json_t *row, FILE *f)
{
    const json_t *v, *list = json_object_get(row, "variants");
    size_t k;

    json_array_foreach(list, k, v)
    {
        fprintf(f, "<tr%s><td>", k ? "" : " class=row");
        if (k == 0)
            text_write_xml(f, text_of(row, "name"));
        if (k == 0 && text_of(row, "skipped")[0]) {
            fputs(": not here: ", f);
            text_write_xml(f, text_of(row, "skipped"));
        }
        fputs("</td><td>", f);
        if (k == 0)
            text_write_xml(f, text_of(row, "placement"));
        fputs("</td><td>", f);
        text_write_xml(f, text_of(v, "name"));
        if (k == 0)
            fprintf(f, "</td><td class=n>%g of %zu, %lld</td>",
                    number_of(json_object_get(v, "value"), "count"),
                    json_array_size(json_object_get(row, "rounds")),
                    (long long)json_integer_value(json_object_get(row, "again")));
        else
            fputs("</td><td></td>", f);
        put_sample(json_object_get(v, "value"), false, f);
        if (k == 0)
            fputs("<td></td>", f);
        else
            put_sample(json_object_get(v, "ratio_of_first"), true, f);
        put_latency(json_object_get(v, "latency"), f);
        put_counts(json_object_get(v, "per_unit"), f);
    }
}

static void put_rows(const json_t *o, FILE *f)
{
    const json_t *row, *before = NULL;
    size_t i;

    json_array_foreach(json_object_get(o, "rows"), i, row)
    {
        if (begins_table(row, before)) {
            const char *note = suite_testbed_note(text_of(row, "testbed"));

            fprintf(f, "%s<h2>", before ? "</table></div>\n" : "");
            text_write_xml(f, text_of(row, "family"));
            fputs("</h2>\n<p class=soft>Testbed ", f);
            text_write_xml(f, text_of(row, "testbed"));
            fprintf(f,
                    ": %s</p>\n<div class=wide><table class=rows><tr><th>row<th>CPUs<th>variant"
                    "<th>rounds, values again<th>",
                    note ? note : "unknown");
            text_write_xml(f, text_of(row, "unit"));
            fputs("<th>first to this<th>p50, p99, p99.9 [ns]<th>for each unit</tr>\n", f);
        }
        put_row(row, f);
        before = row;
    }
    fputs(before ? "</table></div>\n" : "", f);
}

static void put_cost(const json_t *design, size_t k, const json_t *cost, const json_t *columns,
                     FILE *f)
{
    const json_t *v;
    const char *name;

    fputs("<tr><td>", f);
    text_write_xml(f, k ? "" : text_of(design, "name"));
    fputs("</td><td>", f);
    text_write_xml(f, k ? "" : text_of(design, "title"));
    fputs("</td><td>", f);
    text_write_xml(f, text_of(cost, "request"));
    fputs("</td>", f);
    json_object_foreach((json_t *)columns, name, v)
        fprintf(f, "<td class=n>%.6g</td>", number_of(json_object_get(cost, "counts"), name));
    fputs("</tr>\n", f);
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
            if (!columns) {
                columns = json_object_get(cost, "counts");
                fputs("<h2>What one request costs</h2>\n<p class=soft>Exact counts of simxen, of "
                      "requests that are offered one by one.</p>\n<div class=wide><table "
                      "id=costs><tr><th>design<th>what it is<th>request",
                      f);
                json_object_foreach((json_t *)columns, name, v)
                {
                    fputs("<th>", f);
                    text_write_xml(f, name);
                }
                fputs("</tr>\n", f);
            }
            put_cost(design, k, cost, columns, f);
        }
    }
    fputs(columns ? "</table></div>\n" : "", f);
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
                fputs("<h2>Memory of the backend</h2>\n<p class=soft>Its own, that is resident "
                      "after these requests; not what it shares with the guest.</p>\n<div "
                      "class=wide><table id=memory><tr><th>design<th>guest<th>own [KiB]"
                      "<th>requests cost</tr>\n",
                      f);
            any = true;
            fputs("<tr><td>", f);
            text_write_xml(f, k ? "" : text_of(design, "name"));
            fputs("</td><td>", f);
            text_write_xml(f, text_of(m, "guest"));
            fprintf(f, "</td><td class=n>%.0f</td><td>%s</td></tr>\n", number_of(m, "own_kib"),
                    json_is_true(json_object_get(m, "same_costs")) ? "the same" : "otherwise");
        }
    }
    fputs(any ? "</table></div>\n" : "", f);
}

void suite_page_write(const json_t *o, char *const svg[SUITE_PLOTS], FILE *f)
{
    fprintf(f,
            "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport "
            "content=\"width=device-width\"><title>Ringproof: benchmark</title><style>%s"
            "</style>\n",
            style);
    put_head(o, f);
    put_goals(o, f);
    for (unsigned p = 0; p < SUITE_PLOTS; p++) {
        if (!svg[p])
            continue;
        fprintf(f, "<figure id=%s><img alt=\"%s\" src=\"data:image/svg+xml;base64,",
                suite_plot_name((enum suite_plot)p), suite_plot_caption((enum suite_plot)p));
        put_base64(svg[p], f);
        fprintf(f, "\"><figcaption>%s</figcaption></figure>\n",
                suite_plot_caption((enum suite_plot)p));
    }
    put_costs(o, f);
    put_memory(o, f);
    put_rows(o, f);
    fputs("</html>\n", f);
}
