/* SPDX-License-Identifier: MIT */
/* What testbeds observed, side by side: the table and its judgement. */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"
#include "report/text.h"
#include "util/bits.h"

#define COLUMNS_MAX 16u
#define OUTCOME     "outcome"

/* A cell that takes part, with what finds its checks by name. */
struct member {
    const struct report_cell *cell;
    char *scope; /* scenario and axes, without the architecture */
    unsigned column;
    const struct report_check **by_name;
};

struct table {
    struct report_equivalence *e;
    struct member *members;
    unsigned member_count;
    const struct member *of[COLUMNS_MAX]; /* the members of the scope at hand */
};

/* What one column has to say to a row. */
struct said {
    const struct report_check *check;
    const char *value;  /* NULL: none */
    const char *reason; /* of there being none; NULL: nothing explains it */
};

static const char *const verdict_names[REPORT_VERDICTS] = {
    [VERDICT_EQUAL] = "equal",
    [VERDICT_ARCHITECTURE] = "architecture",
    [VERDICT_SKIPPED] = "skipped",
    [VERDICT_DIFFERENT] = "DIFFERENT",
};

const char *report_verdict_name(enum report_verdict v)
{
    return verdict_names[v];
}

void report_equivalence_destroy(struct report_equivalence *e)
{
    if (!e)
        return;
    for (unsigned i = 0; i < e->row_count; i++) {
        struct report_row *row = &e->rows[i];
        for (unsigned k = 0; k < e->column_count; k++)
            free(row->values[k]);
        free(row->values);
        free(row->cell);
        free(row->check);
        free(row->observed);
        free(row->reason);
    }
    for (unsigned i = 0; i < e->column_count; i++)
        free(e->columns[i].testbed);
    for (unsigned i = 0; i < e->architecture_count; i++)
        free(e->architectures[i].name);
    free(e->rows);
    free(e->columns);
    free(e->architectures);
    free(e->checks);
    free(e);
}

bool report_equivalence_holds(const struct report_equivalence *e)
{
    unsigned compared = 0;

    for (unsigned i = 0; i < e->architecture_count; i++) {
        compared += e->architectures[i].compared;
        if (e->architectures[i].compared < e->at_least)
            return false;
    }
    return compared && !e->verdicts[VERDICT_DIFFERENT];
}

/* ---- columns ---- */

static const char *architecture_of(const struct report_cell *c)
{
    for (unsigned i = 0; i < c->axes.count; i++)
        if (!strcmp(c->axes.items[i].name, "arch"))
            return c->axes.items[i].value;
    return "";
}

static char *scope_of(const struct report_cell *c)
{
    char *scope = report_copy(c->scenario);
    bool any = false;

    for (unsigned i = 0; i < c->axes.count; i++) {
        const struct report_pair *p = &c->axes.items[i];
        if (!strcmp(p->name, "arch"))
            continue;
        report_append(&scope, "%s%s=%s", any ? "," : "[", p->name, p->value);
        any = true;
    }
    if (any)
        report_append(&scope, "]");
    return scope;
}

static unsigned architecture_index(struct report_equivalence *e, const char *name)
{
    for (unsigned i = 0; i < e->architecture_count; i++)
        if (!strcmp(e->architectures[i].name, name))
            return i;
    e->architectures = report_need(
        reallocarray(e->architectures, e->architecture_count + 1, sizeof(*e->architectures)));
    e->architectures[e->architecture_count] =
        (struct report_architecture){.name = report_copy(name)};
    return e->architecture_count++;
}

/* -E2BIG when the table has no room for another column. */
static int column_index(struct report_equivalence *e, const struct report_cell *c, unsigned *column)
{
    unsigned arch = architecture_index(e, architecture_of(c));

    for (*column = 0; *column < e->column_count; ++*column)
        if (e->columns[*column].architecture == arch &&
            !strcmp(e->columns[*column].testbed, c->testbed))
            return 0;
    if (e->column_count == COLUMNS_MAX)
        return -E2BIG;
    e->columns = report_need(reallocarray(e->columns, e->column_count + 1, sizeof(*e->columns)));
    e->columns[e->column_count++] =
        (struct report_column){.testbed = report_copy(c->testbed), .architecture = arch};
    return 0;
}

/* Columns of an architecture stand together: what has to be equal is side by side. */
static void sort_columns(struct table *t)
{
    struct report_equivalence *e = t->e;
    struct report_column *sorted = report_need(calloc(e->column_count + 1, sizeof(*sorted)));
    unsigned place[COLUMNS_MAX] = {0}, n = 0;

    for (unsigned a = 0; a < e->architecture_count; a++)
        for (unsigned i = 0; i < e->column_count; i++)
            if (e->columns[i].architecture == a) {
                place[i] = n;
                sorted[n++] = e->columns[i];
            }
    free(e->columns);
    e->columns = sorted;
    for (unsigned i = 0; i < t->member_count; i++)
        t->members[i].column = place[t->members[i].column];
}

/* ---- members ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct report_check *const *)a)->name,
                  (*(const struct report_check *const *)b)->name);
}

static const struct report_check *member_check(const struct member *m, const char *name)
{
    const struct report_check key = {.name = (char *)name}, *p = &key;
    const struct report_check **found =
        bsearch(&p, m->by_name, m->cell->check_count, sizeof(*m->by_name), by_name);

    return found ? *found : NULL;
}

/* A cell that has no checks at all says why the others cannot be compared with it. */
static bool takes_part(const struct report_cell *c, const char *checks)
{
    if (c->part == REPORT_OWN)
        return false;
    for (unsigned i = 0; i < c->check_count; i++)
        if (!fnmatch(checks, c->checks[i].name, 0))
            return true;
    return c->check_count == 0;
}

static int by_scope(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = strcmp(x->scope, y->scope);

    return order ? order : (x->column > y->column) - (x->column < y->column);
}

static int find_members(struct table *t, const struct report *r)
{
    t->members = report_need(calloc(r->cell_count + 1, sizeof(*t->members)));
    for (unsigned i = 0; i < r->cell_count; i++) {
        const struct report_cell *c = r->cells[i];
        unsigned column;
        if (!takes_part(c, t->e->checks))
            continue;
        if (column_index(t->e, c, &column))
            return -E2BIG;
        struct member *m = &t->members[t->member_count++];
        *m = (struct member){.cell = c, .scope = scope_of(c), .column = column};
        m->by_name = report_need(calloc(c->check_count + 1, sizeof(*m->by_name)));
        for (unsigned k = 0; k < c->check_count; k++)
            m->by_name[k] = &c->checks[k];
        qsort(m->by_name, c->check_count, sizeof(*m->by_name), by_name);
    }
    sort_columns(t);
    qsort(t->members, t->member_count, sizeof(*t->members), by_scope);
    return 0;
}

/* ---- rows ---- */

/* What the testbeds of one architecture make of a row. */
enum arch_state {
    ARCH_SILENT,    /* fewer than two of them have the cell */
    ARCH_AGREED,    /* on `value`, or that there is none */
    ARCH_ABSENT,    /* all of them skipped it */
    ARCH_ONE_SIDED, /* some have a value, some skipped it */
    ARCH_DIFFERENT,
};

struct arch_judgement {
    enum arch_state state;
    bool compared; /* two testbeds have a value */
    const char *value;
    unsigned skipped; /* column of the first that skipped it */
};

static struct arch_judgement judge_architecture(const struct table *t, unsigned arch,
                                                const struct said *said)
{
    struct arch_judgement j = {.state = ARCH_SILENT};
    unsigned values = 0, skips = 0, nothing = 0;
    bool equal = true;

    for (unsigned i = 0; i < t->e->column_count; i++) {
        if (t->e->columns[i].architecture != arch || !t->of[i])
            continue;
        if (said[i].value) {
            equal &= !values || !strcmp(said[i].value, j.value);
            j.value = said[i].value;
            values++;
        } else if (said[i].reason) {
            j.skipped = skips ? j.skipped : i;
            skips++;
        } else {
            nothing++;
        }
    }
    if (values + skips + nothing < 2)
        return j;
    j.compared = values > 1;
    if (!equal || (values && nothing))
        j.state = ARCH_DIFFERENT;
    else if (!skips)
        j.state = ARCH_AGREED;
    else
        j.state = values || nothing ? ARCH_ONE_SIDED : ARCH_ABSENT;
    return j;
}

/* "x86: ", or nothing where cells have no architecture. */
static void name_architecture(const struct report_equivalence *e, unsigned arch, const char *behind,
                              char **text)
{
    const char *name = e->architectures[arch].name;

    report_append(text, "%s%s%s", (*text)[0] ? "; " : "", name, name[0] ? behind : "");
}

/* The architecture's testbeds, one behind the other, and what they say. */
static void describe(const struct table *t, unsigned arch, const struct said *said, char **text)
{
    const struct report_equivalence *e = t->e;
    bool first = true;

    name_architecture(e, arch, ": ", text);
    for (unsigned i = 0; i < e->column_count; i++) {
        if (e->columns[i].architecture != arch || !t->of[i])
            continue;
        report_append(text, "%s%s %s", first ? "" : ", ", e->columns[i].testbed,
                      said[i].value    ? said[i].value
                      : said[i].reason ? "skipped"
                                       : "nothing");
        first = false;
    }
}

/* Adds what an architecture says to the reason of a row with that verdict. */
static void explain(const struct table *t, unsigned arch, const struct arch_judgement *j,
                    const struct said *said, enum report_verdict verdict, char **text)
{
    const struct report_equivalence *e = t->e;

    if (verdict == VERDICT_DIFFERENT && j->state == ARCH_DIFFERENT) {
        describe(t, arch, said, text);
    } else if (verdict == VERDICT_SKIPPED && j->state == ARCH_ONE_SIDED) {
        name_architecture(e, arch, ", ", text);
        report_append(text, "%s skipped: %s", e->columns[j->skipped].testbed,
                      said[j->skipped].reason);
    } else if (verdict == VERDICT_ARCHITECTURE && j->state == ARCH_AGREED) {
        name_architecture(e, arch, ": ", text);
        report_append(text, "%s", j->value ? j->value : "nothing");
    } else if (verdict == VERDICT_ARCHITECTURE && j->state == ARCH_ABSENT) {
        name_architecture(e, arch, ": ", text);
        report_append(text, "skipped: %s", said[j->skipped].reason);
    }
}

static bool same_value(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static enum report_verdict judge_row(const struct arch_judgement *judged, unsigned count)
{
    const struct arch_judgement *agreed = NULL;
    bool one_sided = false, absent = false, apart = false;

    for (unsigned a = 0; a < count; a++) {
        const struct arch_judgement *j = &judged[a];
        if (j->state == ARCH_DIFFERENT)
            return VERDICT_DIFFERENT;
        one_sided |= j->state == ARCH_ONE_SIDED;
        absent |= j->state == ARCH_ABSENT;
        if (j->state != ARCH_AGREED)
            continue;
        apart |= agreed && !same_value(agreed->value, j->value);
        agreed = j;
    }
    return one_sided ? VERDICT_SKIPPED : apart || absent ? VERDICT_ARCHITECTURE : VERDICT_EQUAL;
}

/* One row, unless no architecture has two testbeds of which one has something to say. */
static void add_row(struct table *t, const char *scope, const char *check, const char *observed,
                    const struct said *said)
{
    struct report_equivalence *e = t->e;
    struct arch_judgement judged[COLUMNS_MAX];
    bool any = false;

    for (unsigned a = 0; a < e->architecture_count; a++) {
        judged[a] = judge_architecture(t, a, said);
        any |= judged[a].state != ARCH_SILENT && judged[a].value;
        e->architectures[a].compared += judged[a].compared;
    }
    if (!any)
        return;
    struct report_row row = {.cell = report_copy(scope),
                             .check = report_copy(check),
                             .observed = report_copy(observed),
                             .verdict = judge_row(judged, e->architecture_count),
                             .reason = report_copy("")};
    for (unsigned a = 0; a < e->architecture_count; a++)
        explain(t, a, &judged[a], said, row.verdict, &row.reason);
    row.values = report_need(calloc(e->column_count + 1, sizeof(*row.values)));
    for (unsigned i = 0; i < e->column_count; i++)
        if (said[i].value)
            row.values[i] = report_copy(said[i].value);
    /* Grows by doubling: a table has thousands of rows when everything is compared. */
    if (!(e->row_count & (e->row_count - 1)))
        e->rows = report_need(
            reallocarray(e->rows, e->row_count ? 2 * e->row_count : 1, sizeof(*e->rows)));
    e->rows[e->row_count++] = row;
    e->verdicts[row.verdict]++;
}

/* The n-th note of this name: a check may note the same thing several times. */
static const struct report_pair *find_note(const struct report_check *k, const char *name,
                                           unsigned nth)
{
    for (unsigned i = 0; k && i < k->notes.count; i++)
        if (!strcmp(k->notes.items[i].name, name) && nth-- == 0)
            return &k->notes.items[i];
    return NULL;
}

static unsigned note_number(const struct report_check *k, unsigned index)
{
    unsigned nth = 0;

    for (unsigned i = 0; i < index; i++)
        nth += !strcmp(k->notes.items[i].name, k->notes.items[index].name);
    return nth;
}

/* The rows of one check's notes; `said` is what its outcomes are. */
static void compare_notes(struct table *t, const char *scope, const char *check,
                          const struct said *outcomes)
{
    unsigned columns = t->e->column_count;

    for (unsigned i = 0; i < columns; i++) {
        const struct report_check *k = outcomes[i].value ? outcomes[i].check : NULL;
        for (unsigned n = 0; k && n < k->notes.count; n++) {
            struct said said[COLUMNS_MAX];
            const char *name = k->notes.items[n].name;
            unsigned nth = note_number(k, n);
            bool seen = false;
            for (unsigned j = 0; j < columns; j++) {
                const struct report_check *other = outcomes[j].value ? outcomes[j].check : NULL;
                const struct report_pair *p = find_note(other, name, nth);
                said[j] = (struct said){.value = p ? p->value : NULL, .reason = outcomes[j].reason};
                seen |= j < i && p;
            }
            if (!seen)
                add_row(t, scope, check, name, said);
        }
    }
}

static void compare_check(struct table *t, const char *scope, const char *name)
{
    struct said said[COLUMNS_MAX] = {{0}};

    for (unsigned i = 0; i < t->e->column_count; i++) {
        const struct member *m = t->of[i];
        if (!m)
            continue;
        const struct report_check *k = member_check(m, name);
        said[i].check = k;
        if (k && k->outcome == SKIP)
            said[i].reason = k->reason;
        else if (k)
            said[i].value = outcome_name(k->outcome);
        else if (!m->cell->check_count)
            said[i].reason = m->cell->reason;
    }
    add_row(t, scope, name, OUTCOME, said);
    compare_notes(t, scope, name, said);
}

/* All checks of the cells that t->of names, in the order in which the first column has them. */
static void compare_scope(struct table *t, const char *scope)
{
    for (unsigned i = 0; i < t->e->column_count; i++) {
        const struct member *m = t->of[i];
        for (unsigned k = 0; m && k < m->cell->check_count; k++) {
            const char *name = m->cell->checks[k].name;
            bool seen = false;
            for (unsigned j = 0; j < i && !seen; j++)
                seen = t->of[j] && member_check(t->of[j], name);
            if (!seen && !fnmatch(t->e->checks, name, 0))
                compare_check(t, scope, name);
        }
    }
}

int report_compare(struct report *r, const char *checks, unsigned at_least, char *why,
                   size_t why_size)
{
    struct report_equivalence *e = report_need(calloc(1, sizeof(*e)));
    struct table t = {.e = e};

    *e = (struct report_equivalence){.checks = report_copy(checks), .at_least = at_least};
    int ret = find_members(&t, r);
    if (ret)
        snprintf(why, why_size, "more than %u testbeds and architectures", COLUMNS_MAX);
    for (unsigned i = 0; !ret && i < t.member_count;) {
        const char *scope = t.members[i].scope;
        memset(t.of, 0, sizeof(t.of));
        for (; i < t.member_count && !strcmp(t.members[i].scope, scope); i++) {
            const struct member *m = &t.members[i], **place = &t.of[m->column];
            if (*place && !ret) {
                snprintf(why, why_size, "cells %s and %s of testbed %s are the same one",
                         (*place)->cell->id, m->cell->id, m->cell->testbed);
                ret = -EEXIST;
            }
            *place = m;
        }
        if (!ret)
            compare_scope(&t, scope);
    }
    for (unsigned i = 0; i < t.member_count; i++) {
        free(t.members[i].scope);
        free(t.members[i].by_name);
    }
    free(t.members);
    if (ret) {
        report_equivalence_destroy(e);
        return ret;
    }
    r->equivalence = e;
    return 0;
}

/* ---- forms ---- */

json_t *report_equivalence_to_json(const struct report_equivalence *e)
{
    json_t *architectures = json_array(), *columns = json_array(), *rows = json_array(),
           *verdicts = json_object();

    for (unsigned i = 0; i < e->architecture_count; i++)
        json_array_append_new(
            architectures, json_pack("{s:o, s:i}", "name", text_to_json(e->architectures[i].name),
                                     "compared", (int)e->architectures[i].compared));
    for (unsigned i = 0; i < e->column_count; i++)
        json_array_append_new(
            columns,
            json_pack("{s:o, s:o}", "testbed", text_to_json(e->columns[i].testbed), "architecture",
                      text_to_json(e->architectures[e->columns[i].architecture].name)));
    for (unsigned v = 0; v < REPORT_VERDICTS; v++)
        json_object_set_new(verdicts, verdict_names[v], json_integer(e->verdicts[v]));
    for (unsigned i = 0; i < e->row_count; i++) {
        const struct report_row *row = &e->rows[i];
        json_t *values = json_array();
        for (unsigned k = 0; k < e->column_count; k++)
            json_array_append_new(values,
                                  row->values[k] ? text_to_json(row->values[k]) : json_null());
        json_array_append_new(
            rows, json_pack("{s:o, s:o, s:o, s:s, s:o, s:o}", "cell", text_to_json(row->cell),
                            "check", text_to_json(row->check), "observed",
                            text_to_json(row->observed), "verdict", verdict_names[row->verdict],
                            "values", values, "reason", text_to_json(row->reason)));
    }
    return json_pack("{s:o, s:i, s:o, s:o, s:o, s:o}", "checks", text_to_json(e->checks),
                     "at_least", (int)e->at_least, "architectures", architectures, "columns",
                     columns, "verdicts", verdicts, "rows", rows);
}

static void column_title(const struct report_equivalence *e, unsigned column, char **text)
{
    const char *arch = e->architectures[e->columns[column].architecture].name;

    report_print(text, "%s%s%s", e->columns[column].testbed, arch[0] ? " " : "", arch);
}

static void write_count(const struct report_equivalence *e, FILE *f)
{
    fprintf(f, "%u rows: %u equal, %u by architecture, %u skipped on one side, %u different\n",
            e->row_count, e->verdicts[VERDICT_EQUAL], e->verdicts[VERDICT_ARCHITECTURE],
            e->verdicts[VERDICT_SKIPPED], e->verdicts[VERDICT_DIFFERENT]);
    fputs("compared:", f);
    for (unsigned i = 0; i < e->architecture_count; i++) {
        fputs(i ? ", " : " ", f);
        text_write_plain(f, e->architectures[i].name, 0);
        fprintf(f, "%s%u", e->architectures[i].name[0] ? " " : "", e->architectures[i].compared);
    }
    fprintf(f, "%s", e->architecture_count ? "" : " nothing");
    if (e->at_least)
        fprintf(f, " (at least %u wanted)", e->at_least);
    putc('\n', f);
}

/* A column's width in characters, within reason. */
static unsigned width_of(const char *text, unsigned so_far, unsigned most)
{
    size_t n = strlen(text);

    return n > most ? most : n > so_far ? (unsigned)n : so_far;
}

/* The last of a line has no blanks behind it. */
static void write_padded(FILE *f, const char *text, unsigned width, bool last)
{
    char *shown = NULL;
    size_t size = 0, characters = 0;
    FILE *m = report_need(open_memstream(&shown, &size));

    text_write_plain(m, text, width);
    fclose(m);
    report_need(shown);
    for (const char *c = shown; *c; c++)
        characters += ((unsigned char)*c & 0xc0) != 0x80;
    fprintf(f, "%s%*s", shown, last ? 0 : (int)(width - characters) + 2, "");
    free(shown);
}

void report_write_equivalence(const struct report_equivalence *e, const struct report_style *style,
                              bool all, FILE *f)
{
    static const unsigned most[3] = {48, 32, 32};
    unsigned check = 5, observed = 8, value[COLUMNS_MAX] = {0};
    const char *scope = NULL;
    char *title = NULL;

    for (unsigned k = 0; k < e->column_count; k++) {
        column_title(e, k, &title);
        value[k] = width_of(title, value[k], most[2]);
    }
    for (unsigned i = 0; i < e->row_count; i++) {
        check = width_of(e->rows[i].check, check, most[0]);
        observed = width_of(e->rows[i].observed, observed, most[1]);
        for (unsigned k = 0; k < e->column_count; k++)
            if (e->rows[i].values[k])
                value[k] = width_of(e->rows[i].values[k], value[k], most[2]);
    }
    for (unsigned i = 0; i < e->row_count; i++) {
        const struct report_row *row = &e->rows[i];
        bool bad = row->verdict == VERDICT_DIFFERENT;
        if (!all && row->verdict == VERDICT_EQUAL)
            continue;
        if (!scope || strcmp(scope, row->cell) != 0) {
            scope = row->cell;
            putc('\n', f);
            text_write_plain(f, scope, 0);
            fprintf(f, "\n%-12s  ", "");
            write_padded(f, "check", check, false);
            write_padded(f, "observed", observed, false);
            for (unsigned k = 0; k < e->column_count; k++) {
                column_title(e, k, &title);
                write_padded(f, title, value[k], k + 1 == e->column_count);
            }
            putc('\n', f);
        }
        fprintf(f, "%s%-12s%s  ", style->colour && bad ? "\033[31m" : "",
                verdict_names[row->verdict], style->colour && bad ? "\033[0m" : "");
        write_padded(f, row->check, check, false);
        write_padded(f, row->observed, observed, false);
        for (unsigned k = 0; k < e->column_count; k++)
            write_padded(f, row->values[k] ? row->values[k] : "-", value[k],
                         k + 1 == e->column_count && !row->reason[0]);
        text_write_plain(f, row->reason, 0);
        putc('\n', f);
    }
    free(title);
    putc('\n', f);
    write_count(e, f);
}

void report_write_equivalence_markdown(const struct report *r, FILE *f)
{
    const struct report_equivalence *e = r->equivalence;
    char *title = NULL;

    fputs("# What testbeds observed\n\n", f);
    write_count(e, f);
    fputs("\n| verdict | cell | check | observed |", f);
    for (unsigned k = 0; k < e->column_count; k++) {
        column_title(e, k, &title);
        putc(' ', f);
        text_write_markdown(f, title);
        fputs(" |", f);
    }
    fputs(" reason |\n|---|---|---|---|", f);
    for (unsigned k = 0; k < e->column_count; k++)
        fputs("---|", f);
    fputs("---|\n", f);
    for (unsigned i = 0; i < e->row_count; i++) {
        const struct report_row *row = &e->rows[i];
        const char *const lead[] = {row->cell, row->check, row->observed};
        fprintf(f, "| %s |", verdict_names[row->verdict]);
        for (unsigned k = 0; k < ARRAY_LENGTH(lead); k++) {
            putc(' ', f);
            text_write_markdown(f, lead[k]);
            fputs(" |", f);
        }
        for (unsigned k = 0; k < e->column_count; k++) {
            putc(' ', f);
            text_write_markdown(f, row->values[k] ? row->values[k] : "-");
            fputs(" |", f);
        }
        putc(' ', f);
        text_write_markdown(f, row->reason);
        fputs(" |\n", f);
    }
    free(title);
}
