/* SPDX-License-Identifier: MIT */
#include "stats/sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double sample_quantile(const double *values, unsigned n, double q)
{
    double at = q * (n - 1);
    unsigned below = (unsigned)at;

    if (below + 1 >= n)
        return values[n - 1];
    return values[below] + (at - below) * (values[below + 1] - values[below]);
}

double sample_coin(unsigned n, unsigned k)
{
    double term = 1, sum = 0;

    for (unsigned i = 0; i < n; i++)
        term /= 2;
    for (unsigned i = 0; i <= k && i <= n; i++) {
        sum += term;
        term = term * (n - i) / (i + 1);
    }
    return sum;
}

/* The innermost pair of values, equally far from both ends, that holds the median. */
static void interval_take(const double *values, struct sample *s)
{
    unsigned out = 0; /* values outside on each side */

    while (2 * (out + 2) <= s->count && 1 - 2 * sample_coin(s->count, out + 1) >= SAMPLE_CONFIDENCE)
        out++;
    s->low = values[out];
    s->high = values[s->count - 1 - out];
    s->confidence = 1 - 2 * sample_coin(s->count, out);
    if (s->confidence < 0)
        s->confidence = 0;
}

int sample_take(const double *values, unsigned n, struct sample *s)
{
    double *sorted;

    *s = (struct sample){.count = n};
    if (n == 0)
        return -EINVAL;
    sorted = malloc(n * sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    memcpy(sorted, values, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), ascending);
    s->median = sample_quantile(sorted, n, 0.5);
    s->p10 = sample_quantile(sorted, n, 0.1);
    s->p90 = sample_quantile(sorted, n, 0.9);
    interval_take(sorted, s);
    free(sorted);
    return 0;
}

int sample_ratio(const double *a, const double *b, unsigned n, struct sample *s)
{
    double *ratios;
    int ret = 0;

    *s = (struct sample){0};
    if (n == 0)
        return -EINVAL;
    ratios = malloc(n * sizeof(*ratios));
    if (!ratios)
        return -ENOMEM;
    for (unsigned i = 0; i < n && !ret; i++) {
        if (b[i] > 0)
            ratios[i] = a[i] / b[i];
        else
            ret = -EINVAL;
    }
    if (!ret)
        ret = sample_take(ratios, n, s);
    free(ratios);
    return ret;
}

enum sample_verdict sample_judge(const struct sample *ratio, bool more_is_better, double slack)
{
    if (ratio->count < SAMPLE_PAIRS_MIN)
        return SAMPLE_UNKNOWN;
    if (ratio->low > 1 + slack)
        return more_is_better ? SAMPLE_BETTER : SAMPLE_WORSE;
    if (ratio->high < 1 / (1 + slack))
        return more_is_better ? SAMPLE_WORSE : SAMPLE_BETTER;
    return SAMPLE_SAME;
}

const char *sample_verdict_name(enum sample_verdict v)
{
    static const char *const names[] = {[SAMPLE_SAME] = "same",
                                        [SAMPLE_BETTER] = "better",
                                        [SAMPLE_WORSE] = "worse",
                                        [SAMPLE_UNKNOWN] = "not comparable"};

    return names[v];
}
