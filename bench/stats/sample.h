/* SPDX-License-Identifier: MIT */
/*
 * What can be said of a few measured values.
 *
 * On a shared machine values have long tails and no known distribution, so nothing here assumes
 * one: a value is told by its median and the middle 80 %, and an interval of the median comes from
 * the signs alone. That the median of n independent values lies below the k-th smallest has the
 * probability that a fair coin shows heads fewer than k times in n throws; two values are compared
 * by ratios of *pairs*, measured one right after the other, so that both saw the same machine.
 *
 * NaN and infinite values are the caller's to keep out.
 */
#ifndef RP_STATS_SAMPLE_H
#define RP_STATS_SAMPLE_H

#include <stdbool.h>

/* The fewest pairs from which a ratio is told. */
#define SAMPLE_PAIRS_MIN 7u
/* Of an interval, at least. */
#define SAMPLE_CONFIDENCE 0.95

struct sample {
    unsigned count;
    double median;
    double p10, p90;   /* the middle 80 % */
    double low, high;  /* interval of the median; of too few values the whole range */
    double confidence; /* of that interval, exact; below SAMPLE_CONFIDENCE: of too few values */
};

/* The quantile q (0 to 1) of n >= 1 ascending values, between two of them by their distance. */
double sample_quantile(const double *ascending, unsigned n, double q);

/* 0; -EINVAL for no value at all; -ENOMEM. The values may be in any order and stay in it. */
int sample_take(const double *values, unsigned n, struct sample *s);

/* The same of the ratios a[i] / b[i]; -EINVAL, too, when one of b is not above 0. */
int sample_ratio(const double *a, const double *b, unsigned n, struct sample *s);

/* P(heads <= k) in n throws of a fair coin. */
double sample_coin(unsigned n, unsigned k);

/* The judgement of a ratio, where more than 1 is more of what is measured. */
enum sample_verdict { SAMPLE_SAME, SAMPLE_BETTER, SAMPLE_WORSE, SAMPLE_UNKNOWN };

/*
 * Better or worse: the whole interval is on that side of 1 by more than `slack` (0.01: one per
 * cent). Unknown: fewer than SAMPLE_PAIRS_MIN values. Same: anything else.
 */
enum sample_verdict sample_judge(const struct sample *ratio, bool more_is_better, double slack);
/* "same", "better", "worse", "not comparable". */
const char *sample_verdict_name(enum sample_verdict v);

#endif
