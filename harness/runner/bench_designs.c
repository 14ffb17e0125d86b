/* SPDX-License-Identifier: MIT */
#include "runner/bench_designs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/bench_cell.h"

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

int bench_designs_costs(const struct run_options *o, const struct install *in,
                        const struct designs *d, json_t **out)
{
    int ret = 0;

    *out = json_array();
    for (unsigned i = 0; i < d->count && ret != -EINTR; i++) {
        const struct design *one = &d->items[i];
        struct report_cell *cell = NULL;
        char why[1024] = "";

        ret = bench_cell_run(o, in, "run=costs", one->words, &cell, why, sizeof(why));
        if (ret)
            command_complain("bench", why);
        json_array_append_new(*out, json_pack("{s:s, s:s, s:s, s:o}", "name", one->name, "title",
                                              one->title, "options", one->words, "costs",
                                              ret ? json_array() : costs_of(cell)));
        report_cell_destroy(cell);
    }
    return ret == -EINTR ? ret : 0;
}
