/* SPDX-License-Identifier: MIT */
/* The forms in which a run leaves: JSON for programs, a table for people. */
#include <string.h>

#include "insns/insns.h"
#include "report/members.h"
#include "report/rows_file.h"
#include "report/text.h"

static json_t *pairs_json(const struct report_pairs *p)
{
    json_t *o = json_object();

    for (unsigned i = 0; i < p->count; i++)
        json_object_set_new(o, p->items[i].name, json_string(p->items[i].value));
    return o;
}

static json_t *row_json(const struct insns_row *r)
{
    json_t *boots = json_array();

    for (unsigned i = 0; i < r->boot_count; i++)
        json_array_append_new(boots, json_pack("{s:f, s:f, s:f}", "median", r->boots[i].median,
                                               "low", r->boots[i].low, "high", r->boots[i].high));
    return json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:o, s:o}", "name", r->name, "arch",
                     r->arch, "cell", r->cell, "unit", "instructions", "value", insns_mean(r),
                     "difference", insns_difference(r), "bound", insns_bound(r->name), "boots",
                     boots, "counts", pairs_json(&r->counts));
}

json_t *insns_to_json(const struct insns *n)
{
    json_t *rows = json_array(), *said = json_array();

    for (unsigned i = 0; i < n->row_count; i++)
        json_array_append_new(rows, row_json(&n->rows[i]));
    for (unsigned i = 0; i < n->said.count; i++)
        json_array_append_new(
            said, json_sprintf("%s: %s", n->said.items[i].name, n->said.items[i].value));
    return json_pack("{s:s, s:i, s:{s:s, s:s, s:s, s:f, s:i, s:o}, s:o, s:o}", "kind",
                     "instructions", "format", INSNS_FORMAT, "run", "id", n->id, "started",
                     n->started, "version", n->version, "duration_s", n->duration_s, "boots",
                     (int)n->boots, "said", said, "machine", pairs_json(&n->machine), "rows", rows);
}

void insns_write_json(const json_t *contents, FILE *f)
{
    rows_file_write(contents, 9, f);
}

static void write_counts(const json_t *counts, FILE *f)
{
    const char *name, *comma = " ";
    const json_t *v;

    json_object_foreach((json_t *)counts, name, v)
    {
        const char *text = json_string_value(v);

        if (!text || !strcmp(text, "0"))
            continue;
        fputs(comma, f);
        text_write_markdown(f, text);
        putc(' ', f);
        text_write_markdown(f, name);
        comma = ", ";
    }
}

void insns_write_markdown(const json_t *contents, FILE *f)
{
    const json_t *run = json_object_get(contents, "run"), *row, *v;
    const char *name, *comma = "";
    size_t i;

    fputs("# Instructions ", f);
    text_write_markdown(f, text_of(run, "id"));
    fputs("\n\n", f);
    json_object_foreach(json_object_get(contents, "machine"), name, v)
    {
        fputs(comma, f);
        text_write_markdown(f, name);
        putc(' ', f);
        text_write_markdown(f, json_string_value(v) ? json_string_value(v) : "");
        comma = ", ";
    }
    fputs("; ringproof ", f);
    text_write_markdown(f, text_of(run, "version"));
    fprintf(
        f,
        ". Instructions that the whole machine executed for one operation, the median of many "
        "batches, the mean of %d boot(s); in brackets the middle 80 %% of the batches of the "
        "first. "
        "They are no time: that TLBs are flushed, caches miss and worlds are switched costs "
        "nothing here, and a step of `rep movs` is one instruction. The counts are simxen's, for "
        "the same request of our driver, one by one.\n\n"
        "| operation | instructions | boots differ by | counts |\n|---|---|---|---|\n",
        (int)json_integer_value(json_object_get(run, "boots")));
    json_array_foreach(json_object_get(contents, "rows"), i, row)
    {
        const json_t *first = json_array_get(json_object_get(row, "boots"), 0);

        fputs("| ", f);
        text_write_markdown(f, text_of(row, "name"));
        fprintf(f, " | %.0f (%.0f to %.0f) | ", json_number_value(json_object_get(row, "value")),
                json_number_value(json_object_get(first, "low")),
                json_number_value(json_object_get(first, "high")));
        if (json_array_size(json_object_get(row, "boots")) > 1)
            fprintf(f, "%.2f %%", 100 * json_number_value(json_object_get(row, "difference")));
        else
            putc('-', f);
        fputs(" |", f);
        write_counts(json_object_get(row, "counts"), f);
        fputs(" |\n", f);
    }
    json_array_foreach(json_object_get(run, "said"), i, v)
    {
        fputs("\n- ", f);
        text_write_markdown(f, json_string_value(v) ? json_string_value(v) : "");
    }
    if (i)
        putc('\n', f);
}
