/* SPDX-License-Identifier: MIT */
/* What programs print beside a time: histograms, and counts for one unit of work. */
#include <errno.h>
#include <math.h>

#include "suite/suite.h"
#include "util/bits.h"

#define COUNT_MAX 1e15

/* ---- histograms ---- */

int suite_latency_add(const json_t *latency, struct histogram *h)
{
    const json_t *buckets = json_object_get(latency, "buckets"), *b;
    json_int_t max = json_integer_value(json_object_get(latency, "max_ns"));
    size_t i;

    if (!json_is_array(buckets) || max <= 0)
        return -EPROTO;
    json_array_foreach(buckets, i, b)
    {
        json_int_t end = json_integer_value(json_array_get(b, 0));
        json_int_t count = json_integer_value(json_array_get(b, 1));
        unsigned at;

        if (json_array_size(b) != 2 || end < 0 || count <= 0)
            return -EPROTO;
        at = histogram_bucket_of((uint64_t)end);
        if (histogram_bucket_end(at) != (uint64_t)end)
            return -EPROTO;
        h->buckets[at] += (uint64_t)count;
        h->count += (uint64_t)count;
    }
    if ((uint64_t)max > h->max_ns)
        h->max_ns = (uint64_t)max;
    return 0;
}

json_t *suite_histogram_json(const struct histogram *h)
{
    static const double at[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    json_t *quantiles, *buckets;

    if (h->count == 0)
        return json_null();
    quantiles = json_array();
    buckets = json_array();
    for (unsigned i = 0; i < ARRAY_LENGTH(at); i++)
        json_array_append_new(quantiles,
                              json_pack("[f, I]", at[i], (json_int_t)histogram_quantile(h, at[i])));
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h->buckets[i])
            json_array_append_new(buckets, json_pack("[I, I]", (json_int_t)histogram_bucket_end(i),
                                                     (json_int_t)h->buckets[i]));
    return json_pack("{s:I, s:o, s:I, s:o}", "count", (json_int_t)h->count, "quantiles_ns",
                     quantiles, "max_ns", (json_int_t)h->max_ns, "buckets", buckets);
}

json_t *suite_latency_json(const struct suite_row *row, unsigned variant)
{
    struct histogram h = {0};

    for (unsigned i = 0; i < row->round_count; i++)
        if (row->rounds[i].fate == SUITE_KEPT && row->rounds[i].values[variant].latency)
            (void)suite_latency_add(row->rounds[i].values[variant].latency, &h);
    return suite_histogram_json(&h);
}

/* ---- counts ---- */

int suite_per_unit_check(const json_t *per_unit)
{
    const json_t *v;
    const char *name;

    if (!json_is_object(per_unit))
        return -EPROTO;
    json_object_foreach((json_t *)per_unit, name, v)
    {
        double count = json_number_value(v);

        if (!name[0] || !json_is_number(v) || !(count >= 0 && count <= COUNT_MAX))
            return -EPROTO;
    }
    return 0;
}

/* Of one count, in the rounds that have it. Without any: nothing is added. */
static void add_median(const struct suite_row *row, unsigned variant, const char *name,
                       json_t *medians)
{
    double values[SUITE_ATTEMPTS];
    unsigned count = 0;
    struct sample s;

    for (unsigned i = 0; i < row->round_count; i++) {
        const json_t *v = json_object_get(row->rounds[i].values[variant].per_unit, name);

        if (row->rounds[i].fate == SUITE_KEPT && v)
            values[count++] = json_number_value(v);
    }
    if (sample_take(values, count, &s) == 0)
        json_object_set_new(medians, name, json_real(s.median));
}

json_t *suite_per_unit_json(const struct suite_row *row, unsigned variant)
{
    json_t *medians = json_object();

    for (unsigned i = 0; i < row->round_count; i++) {
        json_t *counts = row->rounds[i].values[variant].per_unit, *v;
        const char *name;

        if (row->rounds[i].fate == SUITE_KEPT)
            json_object_foreach(counts, name, v)
            {
                if (!json_object_get(medians, name))
                    add_median(row, variant, name, medians);
            }
    }
    return medians;
}
