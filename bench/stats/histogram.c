/* SPDX-License-Identifier: MIT */
#include "stats/histogram.h"

#define STEPS (1u << HISTOGRAM_STEP_BITS)

/* Below STEPS each value has a bucket; above, the top bits of a value name it. */
unsigned histogram_bucket_of(uint64_t ns)
{
    unsigned shift, bucket;

    if (ns < STEPS)
        return (unsigned)ns;
    shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_STEP_BITS;
    if (shift >= HISTOGRAM_OCTAVES - HISTOGRAM_STEP_BITS)
        return HISTOGRAM_BUCKETS - 1;
    bucket = ((shift + 1) << HISTOGRAM_STEP_BITS) + (unsigned)(ns >> shift & (STEPS - 1));
    return bucket;
}

uint64_t histogram_bucket_end(unsigned bucket)
{
    unsigned octave = bucket >> HISTOGRAM_STEP_BITS;

    if (octave == 0)
        return bucket;
    return ((((uint64_t)(bucket & (STEPS - 1)) + STEPS + 1) << (octave - 1))) - 1;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->count++;
    h->buckets[histogram_bucket_of(ns)]++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

void histogram_merge(struct histogram *h, const struct histogram *other)
{
    h->count += other->count;
    if (other->max_ns > h->max_ns)
        h->max_ns = other->max_ns;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += other->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
    uint64_t seen = 0, want = (uint64_t)(q * (double)h->count);

    if ((double)want < q * (double)h->count)
        want++;
    if (want == 0)
        want = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (h->count && seen >= want) {
            uint64_t end = histogram_bucket_end(i);

            return end < h->max_ns && i + 1 < HISTOGRAM_BUCKETS ? end : h->max_ns;
        }
    }
    return h->max_ns;
}
