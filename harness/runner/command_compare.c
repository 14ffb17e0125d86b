/* SPDX-License-Identifier: MIT */
/*
 * ringproof compare: results of the same cells on several testbeds, side by side.
 *
 * A row is what one check came to, or one thing that it observed (a note). Rows have to be equal.
 * One testbed that skipped a check explains its rows by the reason; a cell that only one of the
 * results has is not compared.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/runner.h"

#define FILES_MAX 8u
#define NONE      "-"

struct comparison {
    json_t *results[FILES_MAX];
    unsigned count;
    unsigned rows, different, explained;
    bool all; /* print equal rows, too */
};

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "";
}

/* The member of an array of objects that has this name. */
static json_t *named(const json_t *array, const char *key, const char *name)
{
    size_t i;
    json_t *v;

    json_array_foreach(array, i, v)
    {
        if (!strcmp(text_of(v, key), name))
            return v;
    }
    return NULL;
}

/* One row. `reason`: why one that has no value has none, or NULL. */
static void row(struct comparison *c, const char *check, const char *what,
                const char *const *values, const char *reason)
{
    bool equal = true, missing = false;
    const char *first = NULL;

    for (unsigned i = 0; i < c->count; i++) {
        if (!values[i]) {
            missing = true;
            continue;
        }
        if (first && strcmp(first, values[i]))
            equal = false;
        first = values[i];
    }
    bool explained = equal && missing && reason;
    bool different = !equal || (missing && !reason);
    c->rows++;
    c->explained += explained;
    c->different += different;
    if (!different && !explained && !c->all)
        return;
    printf("%-9s %-44s %-22s",
           different   ? "DIFFERENT"
           : explained ? "skipped"
                       : "equal",
           check, what);
    for (unsigned i = 0; i < c->count; i++)
        printf(" %-18s", values[i] ? values[i] : NONE);
    printf("%s%s\n", explained ? "  " : "", explained ? reason : "");
}

static void compare_check(struct comparison *c, json_t *const *checks, const char *name)
{
    const char *values[FILES_MAX] = {NULL}, *reason = NULL;
    json_t *notes[FILES_MAX] = {NULL};
    unsigned ran = 0;
    size_t k;
    json_t *note;

    for (unsigned i = 0; i < c->count; i++) {
        const char *outcome = text_of(checks[i], "outcome");

        if (!checks[i])
            continue;
        if (!strcmp(outcome, "SKIP")) {
            reason = text_of(checks[i], "reason");
            continue;
        }
        values[i] = outcome;
        notes[i] = json_object_get(checks[i], "notes");
        ran++;
    }
    if (!ran)
        return; /* skipped everywhere */
    row(c, name, "outcome", values, reason);
    for (unsigned i = 0; i < c->count; i++) {
        json_array_foreach(notes[i], k, note)
        {
            const char *what = text_of(note, "name");
            bool seen = false;

            for (unsigned before = 0; before < i; before++)
                seen |= named(notes[before], "name", what) != NULL;
            if (seen)
                continue;
            for (unsigned j = 0; j < c->count; j++) {
                json_t *n = named(notes[j], "name", what);

                values[j] = n ? text_of(n, "value") : NULL;
            }
            row(c, name, what, values, reason);
        }
    }
}

/* A cell that at least two of the results have. */
static void compare_cell(struct comparison *c, const char *id)
{
    json_t *cells[FILES_MAX] = {NULL}, *checks[FILES_MAX] = {NULL}, *check;
    unsigned have = 0;
    size_t k;

    for (unsigned i = 0; i < c->count; i++) {
        cells[i] = named(json_object_get(c->results[i], "cells"), "id", id);
        have += cells[i] && json_array_size(json_object_get(cells[i], "checks"));
    }
    if (have < 2)
        return;
    printf("%s\n%-9s %-44s %-22s", id, "", "check", "observed");
    for (unsigned i = 0; i < c->count; i++)
        printf(" %-18s", cells[i] ? text_of(cells[i], "testbed") : NONE);
    putchar('\n');
    for (unsigned i = 0; i < c->count; i++) {
        json_array_foreach(json_object_get(cells[i], "checks"), k, check)
        {
            const char *name = text_of(check, "name");
            bool seen = false;

            for (unsigned j = 0; j < c->count; j++) {
                checks[j] = named(json_object_get(cells[j], "checks"), "name", name);
                seen |= j < i && checks[j];
            }
            if (!seen)
                compare_check(c, checks, name);
        }
    }
}

static int load(struct comparison *c, const char *path)
{
    char file[4096];
    json_error_t e;

    if (c->count == FILES_MAX) {
        fprintf(stderr, "ringproof compare: at most %u results\n", FILES_MAX);
        return -EINVAL;
    }
    /* A run's folder will do. */
    snprintf(file, sizeof(file), "%s/result.json", path);
    json_t *r = json_load_file(path, 0, &e);
    if (!r)
        r = json_load_file(file, 0, NULL);
    if (!r) {
        fprintf(stderr, "ringproof compare: %s: %s\n", path, e.text);
        return -EINVAL;
    }
    c->results[c->count++] = r;
    return 0;
}

int command_compare(int argc, char **argv)
{
    struct comparison c = {0};
    int ret = 0;

    for (int i = 0; i < argc && !ret; i++) {
        if (!strcmp(argv[i], "--all"))
            c.all = true;
        else
            ret = load(&c, argv[i]);
    }
    if (!ret && c.count < 2) {
        fputs("usage: ringproof compare [--all] RESULT RESULT...\n", stderr);
        ret = -EINVAL;
    }
    for (unsigned i = 0; i < c.count && !ret; i++) {
        size_t k;
        json_t *cell;

        json_array_foreach(json_object_get(c.results[i], "cells"), k, cell)
        {
            const char *id = text_of(cell, "id");
            bool seen = false;

            for (unsigned j = 0; j < i; j++)
                seen |= named(json_object_get(c.results[j], "cells"), "id", id) != NULL;
            if (!seen)
                compare_cell(&c, id);
        }
    }
    if (!ret)
        printf("%u rows compared: %u equal, %u skipped on one side, %u different\n", c.rows,
               c.rows - c.explained - c.different, c.explained, c.different);
    for (unsigned i = 0; i < c.count; i++)
        json_decref(c.results[i]);
    if (ret)
        return REPORT_BAD_USAGE;
    return c.different || !c.rows ? REPORT_SUBJECT_FAILED : 0;
}
