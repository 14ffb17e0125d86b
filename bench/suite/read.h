/* SPDX-License-Identifier: MIT */
/* Parts of the file's contents, which may be anybody's. */
#ifndef RP_SUITE_READ_H
#define RP_SUITE_READ_H

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "report/members.h"

/* The time that the part `q` of a latency's histogram does not exceed; 0: that is not said. */
static inline double quantile_of(const json_t *latency, double q)
{
    const json_t *list = json_object_get(latency, "quantiles_ns"), *pair;
    size_t i;

    json_array_foreach(list, i, pair) if (json_number_value(json_array_get(pair, 0)) ==
                                          q) return json_number_value(json_array_get(pair, 1));
    return 0;
}

/* A table of rows has one family, one unit and one testbed. `before` NULL: none. */
static inline bool begins_table(const json_t *row, const json_t *before)
{
    return !before || strcmp(text_of(row, "family"), text_of(before, "family")) != 0 ||
           strcmp(text_of(row, "unit"), text_of(before, "unit")) != 0 ||
           strcmp(text_of(row, "testbed"), text_of(before, "testbed")) != 0;
}

static inline const json_t *rows_of(const json_t *o)
{
    return json_object_get(o, "rows");
}

/* NULL where the row has none of that name. */
static inline const json_t *variant_of(const json_t *row, const char *name)
{
    const json_t *v;
    size_t i;

    json_array_foreach(json_object_get(row, "variants"), i,
                       v) if (!strcmp(text_of(v, "name"), name)) return v;
    return NULL;
}

/* A sample of which something may be said; NULL: none. */
static inline const json_t *sample_of(const json_t *o, const char *name, unsigned least)
{
    const json_t *s = json_object_get(o, name);

    return number_of(s, "count") >= least && number_of(s, "low") > 0 && number_of(s, "p10") > 0
               ? s
               : NULL;
}

#endif
