/* SPDX-License-Identifier: MIT */
#include "runner/bench_designs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/bench_cell.h"
#include "runner/measured.h"
#include "util/bits.h"

int bench_designs_load(const struct install *in, struct designs *d)
{
    char *path = NULL, why[600];
    int ret;

    *d = (struct designs){.count = 0};
    if (asprintf(&path, "%s/bench/designs.yaml", in->data) < 0)
        return -ENOMEM;
    ret = designs_load(path, d, why, sizeof(why));
    if (ret)
        fprintf(stderr, "%s\n", why);
    free(path);
    return ret;
}

void bench_designs_variants(const struct designs *d, struct suite_variant variants[DESIGNS_MAX])
{
    for (unsigned i = 0; i < d->count; i++)
        variants[i] =
            (struct suite_variant){.name = d->items[i].name, .options = d->items[i].words};
}

/* Notes of the check: "row" begins a request, then come its counts. */
static json_t *costs_of(const struct report_cell *cell)
{
    json_t *list = json_array(), *counts = NULL;

    for (unsigned i = 0; i < cell->check_count; i++)
        for (unsigned n = 0; n < cell->checks[i].notes.count; n++) {
            const struct report_pair *note = &cell->checks[i].notes.items[n];
            char *end;
            double count = strtod(note->value, &end);

            if (!strcmp(note->name, MEASURED_MEMORY_NOTE))
                continue;
            if (!strcmp(note->name, "row")) {
                counts = json_object();
                json_array_append_new(
                    list, json_pack("{s:s, s:o}", "request", note->value, "counts", counts));
            } else if (counts && end != note->value && !*end) {
                json_object_set_new(counts, note->name, json_real(count));
            }
        }
    return list;
}

/* Guests that are alike but for their size; Arm has all of its memory in one piece. */
static const char *const guests[] = {"128MiB", "16GiB"};

static const char *memory_of(const struct report_cell *cell)
{
    const char *kib = cell ? bench_cell_note(cell, MEASURED_MEMORY_NOTE) : NULL;

    return kib ? kib : "";
}

/* With each guest: what requests cost in the first one, and what the backend has for itself. */
static int measure_design(const struct run_options *o, const struct install *in,
                          const struct design *one, json_t **out)
{
    json_t *costs = json_array(), *memory = json_array();
    int ret = 0;

    for (unsigned g = 0; g < ARRAY_LENGTH(guests) && ret != -EINTR; g++) {
        struct report_cell *cell = NULL;
        json_t *now;
        char words[64], why[1024] = "";

        snprintf(words, sizeof(words), "run=costs arch=arm guest=%s", guests[g]);
        ret = bench_cell_run(o, in, words, one->words, &cell, why, sizeof(why));
        if (ret)
            command_complain("bench", why);
        now = ret ? json_array() : costs_of(cell);
        if (g == 0)
            json_array_extend(costs, now);
        if (!ret)
            json_array_append_new(memory, json_pack("{s:s, s:f, s:b}", "guest", guests[g],
                                                    "own_kib", strtod(memory_of(cell), NULL),
                                                    "same_costs", json_equal(costs, now)));
        json_decref(now);
        report_cell_destroy(cell);
    }
    *out = json_pack("{s:s, s:s, s:s, s:o, s:o}", "name", one->name, "title", one->title, "options",
                     one->words, "costs", costs, "memory", memory);
    return ret == -EINTR ? ret : 0;
}

int bench_designs_costs(const struct run_options *o, const struct install *in,
                        const struct designs *d, json_t **out)
{
    int ret = 0;

    *out = json_array();
    for (unsigned i = 0; i < d->count && !ret; i++) {
        json_t *one;

        ret = measure_design(o, in, &d->items[i], &one);
        json_array_append_new(*out, one);
    }
    return ret;
}
