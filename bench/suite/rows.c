/* SPDX-License-Identifier: MIT */
#include "suite/rows.h"

#include <stdlib.h>
#include <string.h>

#include "util/bits.h"

static const struct {
    struct suite_rows_of (*rows)(void);
    bool peers; /* only where those are */
} families[] = {
    {suite_rows_ring, false},    {suite_rows_fio, false},     {suite_rows_iperf3, false},
    {suite_rows_designs, false}, {suite_rows_ringtest, true}, {suite_rows_testpmd, true},
    {suite_rows_blk, true},      {suite_rows_wire, true},
};

const char *suite_testbed_name(enum suite_testbed t)
{
    static const char *const names[SUITE_TESTBEDS] = {
        [SUITE_PROCESSES] = "processes", [SUITE_SIM] = "sim"};

    return names[t];
}

const char *suite_testbed_note(const char *name)
{
    static const char *const notes[SUITE_TESTBEDS] = {
        [SUITE_PROCESSES] = "processes of this machine, and no testbed under them.",
        [SUITE_SIM] = "a simulated Xen. Its times speak of rings and copies, never of Xen's "
                      "hypercalls."};

    for (unsigned t = 0; t < SUITE_TESTBEDS; t++)
        if (!strcmp(name, suite_testbed_name((enum suite_testbed)t)))
            return notes[t];
    return NULL;
}

void suite_rows_free(struct suite_row *rows, unsigned count)
{
    for (unsigned i = 0; rows && i < count; i++) {
        free(rows[i].skipped);
        for (unsigned k = 0; k < SUITE_ATTEMPTS; k++)
            for (unsigned v = 0; v < SUITE_VARIANTS; v++)
                suite_value_fini(&rows[i].rounds[k].values[v]);
    }
    free(rows);
}

/* A row whose variants are the designs. */
static bool compares_designs(const struct suite_work *w)
{
    return w->variant_count == 0;
}

static bool is_chosen(const struct suite_choice *c, unsigned family, const struct suite_work *w)
{
    return (c->peers || !families[family].peers) && (c->design_count || !compares_designs(w));
}

static void take(const struct suite_choice *c, const struct suite_work *w, struct suite_row *row)
{
    row->work = *w;
    /* An iperf3 by itself takes longer than all rounds of two rings. */
    row->enough = suite_goal_for(w->name) && !w->loose ? SUITE_JUDGED : SUITE_ROUNDS;
    if (!compares_designs(w))
        return;
    row->work.variant_count = c->design_count;
    memcpy(row->work.variants, c->designs, c->design_count * sizeof(*c->designs));
}

/* Those of a list that are chosen, behind the rows that are there. */
static void add_works(const struct suite_choice *c, unsigned family, const struct suite_work *works,
                      unsigned of, struct suite_row *rows, unsigned *count)
{
    for (unsigned k = 0; k < of; k++)
        if (is_chosen(c, family, &works[k]))
            take(c, &works[k], &rows[(*count)++]);
}

struct suite_row *suite_rows(const struct suite_choice *choice, unsigned *count)
{
    struct suite_row *rows;
    unsigned most = 0;

    *count = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(families); i++)
        most += families[i].rows().count + families[i].rows().more_count;
    rows = calloc(most + 1, sizeof(*rows)); /* never of nothing */
    for (unsigned i = 0; rows && i < ARRAY_LENGTH(families); i++) {
        const struct suite_rows_of of = families[i].rows();

        add_works(choice, i, of.works, of.count, rows, count);
        if (choice->full)
            add_works(choice, i, of.more, of.more_count, rows, count);
    }
    return rows;
}
