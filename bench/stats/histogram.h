/* SPDX-License-Identifier: MIT */
/*
 * A histogram of times, 1 ns to 2^40 ns, in constant memory: 64 steps an octave, so that a value is
 * told to 1.6 %. Adding is a few instructions and never allocates.
 */
#ifndef RP_STATS_HISTOGRAM_H
#define RP_STATS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 6u
#define HISTOGRAM_OCTAVES   40u
#define HISTOGRAM_BUCKETS   ((HISTOGRAM_OCTAVES - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

struct histogram {
    uint64_t count;
    uint64_t max_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t ns);
void histogram_merge(struct histogram *h, const struct histogram *other);
/* The time that the part q (0 to 1) of all values does not exceed: the upper end of its bucket, and
 * never beyond the largest value. 0 of an empty histogram. */
uint64_t histogram_quantile(const struct histogram *h, double q);
unsigned histogram_bucket_of(uint64_t ns);
/* The largest value of a bucket. */
uint64_t histogram_bucket_end(unsigned bucket);

#endif
