/* SPDX-License-Identifier: MIT */
/* From the notes of cells to rows. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "insns/insns.h"

static void row_fini(struct insns_row *r)
{
    free(r->name);
    free(r->arch);
    free(r->cell);
    report_pairs_fini(&r->counts);
}

void insns_fini(struct insns *n)
{
    for (unsigned i = 0; i < n->row_count; i++)
        row_fini(&n->rows[i]);
    free(n->rows);
    n->rows = NULL;
    n->row_count = 0;
    report_pairs_fini(&n->machine);
    report_pairs_fini(&n->said);
}

static const char *pair_of(const struct report_pairs *p, const char *name)
{
    for (unsigned i = 0; i < p->count; i++)
        if (!strcmp(p->items[i].name, name))
            return p->items[i].value;
    return NULL;
}

/* "x86: hypercall", "x86: grants, grant-map: read 4 KiB": what tells this row from all others.
 * malloc'd. */
static char *row_name(const struct report_cell *cell, const char *what)
{
    const char *arch = pair_of(&cell->axes, "arch"), *memory = pair_of(&cell->axes, "memory");
    const char *addressing = pair_of(&cell->axes, "addressing");
    char *name;
    int n;

    if (memory)
        n = asprintf(&name, "%s: %s, %s: %s", arch ? arch : "x86",
                     addressing ? addressing : "grants", memory, what);
    else
        n = asprintf(&name, "%s: %s", arch ? arch : "x86", what);
    return n < 0 ? NULL : name;
}

static struct insns_row *row_of(struct insns *n, const struct report_cell *cell, const char *what,
                                int *err)
{
    char *name = row_name(cell, what);
    const char *arch = pair_of(&cell->axes, "arch");
    struct insns_row *more;

    *err = name ? 0 : -ENOMEM;
    for (unsigned i = 0; name && i < n->row_count; i++)
        if (!strcmp(n->rows[i].name, name)) {
            free(name);
            return &n->rows[i];
        }
    if (!*err && n->row_count == INSNS_ROWS_MAX)
        *err = -E2BIG;
    more = *err ? NULL : reallocarray(n->rows, n->row_count + 1, sizeof(*more));
    if (!more) {
        free(name);
        *err = *err ? *err : -ENOMEM;
        return NULL;
    }
    n->rows = more;
    more = &more[n->row_count++];
    *more = (struct insns_row){.name = name};
    report_set(&more->arch, arch ? arch : "x86");
    report_set(&more->cell, cell->id);
    return more;
}

static bool number(const char *text, double *v)
{
    char *end;

    *v = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*v) && *v > 0;
}

/* One more boot's value, whose notes follow the note "row". */
static int take_row(struct insns *n, const struct report_cell *cell, const struct report_pairs *p,
                    unsigned from)
{
    struct insns_value v = {0};
    struct insns_row *row;
    int err;

    for (unsigned i = from + 1; i < p->count && strcmp(p->items[i].name, "row") != 0; i++) {
        const char *name = p->items[i].name, *value = p->items[i].value;
        double *to = !strcmp(name, "median") ? &v.median
                     : !strcmp(name, "low")  ? &v.low
                     : !strcmp(name, "high") ? &v.high
                                             : NULL;

        if (to && !number(value, to))
            return -EPROTO;
    }
    if (!(v.low > 0 && v.low <= v.median && v.median <= v.high))
        return -EPROTO;
    row = row_of(n, cell, p->items[from].value, &err);
    if (!row)
        return err;
    if (row->boot_count == INSNS_BOOTS_MAX)
        return -E2BIG;
    row->boots[row->boot_count++] = v;
    return 0;
}

/* The compiler of what runs on the machine: the agent has been compiled as the backend has. */
static void take_compiler(struct insns *n, const struct report_cell *cell, const char *compiler)
{
    const char *arch = pair_of(&cell->axes, "arch");
    char name[32];

    snprintf(name, sizeof(name), "%s.compiler", arch ? arch : "x86");
    if (!pair_of(&n->machine, name))
        report_pairs_add(&n->machine, name, compiler);
}

int insns_take(struct insns *n, const struct report_cell *cell)
{
    int err = 0;

    for (unsigned k = 0; k < cell->check_count; k++) {
        const struct report_pairs *p = &cell->checks[k].notes;

        if (cell->checks[k].outcome != PASS)
            continue;
        for (unsigned i = 0; i < p->count && !err; i++) {
            if (!strcmp(p->items[i].name, "compiler"))
                take_compiler(n, cell, p->items[i].value);
            else if (!strcmp(p->items[i].name, "row"))
                err = take_row(n, cell, p, i);
        }
    }
    return err;
}

/* Xen counts the same on each architecture. */
static bool is_counted(const struct insns_row *row, const struct report_cell *counted,
                       const char *what)
{
    char *name = row_name(counted, what);
    const char *here = strchr(row->name, ':'), *there = name ? strchr(name, ':') : NULL;
    bool same = here && there && !strcmp(here, there);

    free(name);
    return same;
}

void insns_count(struct insns *n, const struct report_cell *counted)
{
    for (unsigned k = 0; k < counted->check_count; k++) {
        const struct report_pairs *p = &counted->checks[k].notes;
        const char *what = NULL;

        for (unsigned i = 0; i < p->count; i++) {
            if (!strcmp(p->items[i].name, "row")) {
                what = p->items[i].value;
                continue;
            }
            for (unsigned r = 0; what && r < n->row_count; r++)
                if (is_counted(&n->rows[r], counted, what) &&
                    !pair_of(&n->rows[r].counts, p->items[i].name))
                    report_pairs_add(&n->rows[r].counts, p->items[i].name, p->items[i].value);
        }
    }
}

double insns_bound(const char *name)
{
    return strstr(name, " queued")  ? INSNS_BOUND_QUEUED
           : strstr(name, " pages") ? INSNS_BOUND_PAGES
                                    : INSNS_BOUND;
}

double insns_mean(const struct insns_row *row)
{
    double sum = 0;

    for (unsigned i = 0; i < row->boot_count; i++)
        sum += row->boots[i].median;
    return row->boot_count ? sum / row->boot_count : 0;
}

double insns_difference(const struct insns_row *row)
{
    double least = INFINITY, most = 0;

    for (unsigned i = 0; i < row->boot_count; i++) {
        least = fmin(least, row->boots[i].median);
        most = fmax(most, row->boots[i].median);
    }
    return row->boot_count ? most / least - 1 : 0;
}
