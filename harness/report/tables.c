/* SPDX-License-Identifier: MIT */
/* What cells measured, side by side: made of their notes and metrics, never kept. */
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"
#include "report/text.h"

/* The name of the note that begins a row of its own (check/check.h). */
#define ROW_NOTE "row"

void report_cell_set_table(struct report_cell *c, const char *name)
{
    report_set(&c->table.name, name);
}

void report_cell_add_column(struct report_cell *c, const char *column)
{
    struct report_table_of *t = &c->table;

    t->columns = report_need(reallocarray(t->columns, t->column_count + 1, sizeof(*t->columns)));
    t->columns[t->column_count++] = report_copy(column);
}

/* ---- making ---- */

static void add_text(const char ***list, unsigned *count, const char *text)
{
    for (unsigned i = 0; i < *count; i++)
        if (!strcmp((*list)[i], text))
            return;
    *list = report_need(reallocarray(*list, *count + 1, sizeof(**list)));
    (*list)[(*count)++] = text;
}

static struct report_table *table_of(struct report_tables *t, const char *name)
{
    for (unsigned i = 0; i < t->count; i++)
        if (!strcmp(t->items[i].name, name))
            return &t->items[i];
    t->items = report_need(reallocarray(t->items, t->count + 1, sizeof(*t->items)));
    t->items[t->count] = (struct report_table){.name = name};
    return &t->items[t->count++];
}

/* All that is wider than a cell: the columns have to be known before there is a row. */
static void widen(struct report_table *t, const struct report_cell *c,
                  const struct report_cell *first)
{
    for (unsigned i = 0; i < c->axes.count; i++)
        add_text(&t->axes, &t->axis_count, c->axes.items[i].name);
    for (unsigned i = 0; i < c->table.column_count; i++)
        add_text(&t->columns, &t->column_count, c->table.columns[i]);
    t->has_testbeds |= strcmp(c->testbed, first->testbed) != 0;
    t->has_scenarios |= strcmp(c->scenario, first->scenario) != 0;
}

/* "start-up [ms]" takes the note "start-up". */
static bool column_takes(const char *column, const char *note)
{
    const char *unit = strstr(column, " [");
    size_t n = unit ? (size_t)(unit - column) : strlen(column);

    return strlen(note) == n && !strncmp(column, note, n);
}

static const char *reason_of(const struct report_cell *c)
{
    if (c->reason[0] || c->outcome == PASS)
        return c->reason;
    for (unsigned i = 0; i < c->check_count; i++) {
        const struct report_check *k = &c->checks[i];
        if (k->outcome == c->outcome)
            return k->reason[0] || !k->failure_count ? k->reason : k->failures[0].text;
    }
    return "";
}

/* The row `key` of the cell, whose rows begin at `from`. */
static unsigned row_of(struct report_table *t, const struct report_cell *c, unsigned from,
                       const char *key)
{
    for (unsigned i = from; i < t->row_count; i++)
        if (!strcmp(t->rows[i].key, key))
            return i;
    t->rows = report_need(reallocarray(t->rows, t->row_count + 1, sizeof(*t->rows)));
    t->rows[t->row_count] = (struct report_table_row){
        .cell = c,
        .key = report_copy(key),
        .reason = reason_of(c),
        .values = report_need(calloc(t->column_count + 1, sizeof(char *))),
    };
    t->has_rows |= key[0] != 0;
    return t->row_count++;
}

static void take_pairs(struct report_table *t, const struct report_cell *c, unsigned from,
                       const struct report_pairs *p)
{
    const char *key = "";

    for (unsigned i = 0; i < p->count; i++) {
        if (!strcmp(p->items[i].name, ROW_NOTE)) {
            key = p->items[i].value;
            row_of(t, c, from, key);
            continue;
        }
        for (unsigned k = 0; k < t->column_count; k++)
            if (column_takes(t->columns[k], p->items[i].name)) {
                unsigned row = row_of(t, c, from, key); /* may move the rows */
                t->rows[row].values[k] = p->items[i].value;
            }
    }
}

static void take_cell(struct report_table *t, const struct report_cell *c)
{
    unsigned from = t->row_count;

    for (unsigned i = 0; i < c->check_count; i++)
        take_pairs(t, c, from, &c->checks[i].notes);
    take_pairs(t, c, from, &c->metrics);
    if (t->row_count == from)
        row_of(t, c, from, "");
}

void report_tables_make(const struct report *r, struct report_tables *t)
{
    *t = (struct report_tables){0};
    for (unsigned i = 0; i < r->cell_count; i++) {
        const struct report_cell *c = r->cells[i], *first = c;
        if (!c->table.name[0])
            continue;
        for (unsigned k = 0; k < i && first == c; k++)
            if (!strcmp(r->cells[k]->table.name, c->table.name))
                first = r->cells[k];
        widen(table_of(t, c->table.name), c, first);
    }
    for (unsigned i = 0; i < r->cell_count; i++)
        if (r->cells[i]->table.name[0])
            take_cell(table_of(t, r->cells[i]->table.name), r->cells[i]);
}

void report_tables_fini(struct report_tables *t)
{
    for (unsigned i = 0; i < t->count; i++) {
        struct report_table *x = &t->items[i];
        for (unsigned k = 0; k < x->row_count; k++) {
            free(x->rows[k].key);
            free(x->rows[k].values);
        }
        free(x->rows);
        free(x->axes);
        free(x->columns);
    }
    free(t->items);
    *t = (struct report_tables){0};
}

/* ---- forms ---- */

static const char *axis_value(const struct report_cell *c, const char *axis)
{
    for (unsigned i = 0; i < c->axes.count; i++)
        if (!strcmp(c->axes.items[i].name, axis))
            return c->axes.items[i].value;
    return NULL;
}

/* Calls fn with each key's title (no row) or value (NULL: none), in their order. */
static void each_key(const struct report_table *t, const struct report_table_row *row,
                     void (*fn)(void *ctx, const char *text), void *ctx)
{
    if (t->has_scenarios)
        fn(ctx, row ? row->cell->scenario : "scenario");
    if (t->has_testbeds)
        fn(ctx, row ? row->cell->testbed : "testbed");
    for (unsigned i = 0; i < t->axis_count; i++)
        fn(ctx, row ? axis_value(row->cell, t->axes[i]) : t->axes[i]);
    if (t->has_rows)
        fn(ctx, row ? row->key : "row");
}

static void key_to_json(void *ctx, const char *text)
{
    json_array_append_new(ctx, text ? text_to_json(text) : json_null());
}

static json_t *table_to_json(const struct report_table *t)
{
    json_t *keys = json_array(), *columns = json_array(), *rows = json_array();

    each_key(t, NULL, key_to_json, keys);
    for (unsigned i = 0; i < t->column_count; i++)
        json_array_append_new(columns, text_to_json(t->columns[i]));
    for (unsigned i = 0; i < t->row_count; i++) {
        const struct report_table_row *row = &t->rows[i];
        json_t *own = json_array(), *values = json_array();
        each_key(t, row, key_to_json, own);
        for (unsigned k = 0; k < t->column_count; k++)
            key_to_json(values, row->values[k]);
        json_array_append_new(
            rows, json_pack("{s:o, s:s, s:o, s:o, s:o}", "cell", text_to_json(row->cell->id),
                            "outcome", outcome_name(row->cell->outcome), "reason",
                            text_to_json(row->reason), "keys", own, "values", values));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "name", text_to_json(t->name), "keys", keys, "columns",
                     columns, "rows", rows);
}

json_t *report_tables_to_json(const struct report_tables *t)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < t->count; i++)
        json_array_append_new(list, table_to_json(&t->items[i]));
    return list;
}

static void key_to_markdown(void *ctx, const char *text)
{
    FILE *f = ctx;

    putc(' ', f);
    text_write_markdown(f, text ? text : "-");
    fputs(" |", f);
}

static void rule(void *ctx, const char *text)
{
    (void)text;
    fputs("---|", ctx);
}

static void write_table(const struct report_table *t, FILE *f)
{
    fputs("\n## ", f);
    text_write_markdown(f, t->name);
    fputs("\n\n|", f);
    each_key(t, NULL, key_to_markdown, f);
    for (unsigned i = 0; i < t->column_count; i++)
        key_to_markdown(f, t->columns[i]);
    fputs(" outcome |\n|", f);
    each_key(t, NULL, rule, f);
    for (unsigned i = 0; i < t->column_count; i++)
        rule(f, NULL);
    fputs("---|\n", f);
    for (unsigned i = 0; i < t->row_count; i++) {
        const struct report_table_row *row = &t->rows[i];
        putc('|', f);
        each_key(t, row, key_to_markdown, f);
        for (unsigned k = 0; k < t->column_count; k++)
            key_to_markdown(f, row->values[k]);
        fprintf(f, " %s%s", outcome_name(row->cell->outcome), row->reason[0] ? ": " : "");
        text_write_markdown(f, row->reason);
        fputs(" |\n", f);
    }
}

void report_write_tables_markdown(const struct report *r, FILE *f)
{
    struct report_tables t;

    report_tables_make(r, &t);
    fputs("# Tables\n\n", f);
    text_write_markdown(f, r->run.testbed_note);
    putc('\n', f);
    for (unsigned i = 0; i < t.count; i++)
        write_table(&t.items[i], f);
    report_tables_fini(&t);
}
