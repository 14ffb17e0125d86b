/* SPDX-License-Identifier: MIT */
/* Histograms that programs printed, and those of a row. */
#include <errno.h>

#include "suite/suite.h"
#include "util/bits.h"

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

json_t *suite_latency_json(const struct suite_row *row)
{
    static const double at[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    struct histogram h = {0};
    json_t *quantiles, *buckets;

    for (unsigned i = 0; i < row->round_count; i++)
        if (row->rounds[i].fate == SUITE_KEPT && row->rounds[i].values[0].latency)
            (void)suite_latency_add(row->rounds[i].values[0].latency, &h);
    if (h.count == 0)
        return json_null();
    quantiles = json_array();
    buckets = json_array();
    for (unsigned i = 0; i < ARRAY_LENGTH(at); i++)
        json_array_append_new(
            quantiles, json_pack("[f, I]", at[i], (json_int_t)histogram_quantile(&h, at[i])));
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (h.buckets[i])
            json_array_append_new(buckets, json_pack("[I, I]", (json_int_t)histogram_bucket_end(i),
                                                     (json_int_t)h.buckets[i]));
    return json_pack("{s:I, s:o, s:I, s:o}", "count", (json_int_t)h.count, "quantiles_ns",
                     quantiles, "max_ns", (json_int_t)h.max_ns, "buckets", buckets);
}
