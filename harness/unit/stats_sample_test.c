/* SPDX-License-Identifier: MIT */
/* Statistics of benchmarks, on inputs whose answer is known. */
#include <check.h>
#include <errno.h>
#include <math.h>

#include "stats/histogram.h"
#include "stats/sample.h"
#include "unit/run.h"

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-9)

START_TEST(quantiles_of_known_values)
{
    static const double v[] = {1, 2, 3, 4, 5};

    NEAR(sample_quantile(v, 5, 0), 1);
    NEAR(sample_quantile(v, 5, 0.5), 3);
    NEAR(sample_quantile(v, 5, 0.1), 1.4);
    NEAR(sample_quantile(v, 5, 1), 5);
    NEAR(sample_quantile(v, 1, 0.9), 1);
}
END_TEST

/* Tables of the sign test: 7 values, the extremes hold the median in 126 of 128 cases; of 15 three
 * can be left out on each side. */
START_TEST(intervals_are_those_of_the_sign_test)
{
    static const struct {
        unsigned n, out;
        double confidence;
    } known[] = {{5, 0, 0.9375},    {6, 0, 0.96875},   {7, 0, 0.984375},
                 {8, 0, 0.9921875}, {9, 1, 0.9609375}, {15, 3, 0.96484375}};
    double v[15];

    for (unsigned k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
        struct sample s;

        for (unsigned i = 0; i < known[k].n; i++)
            v[i] = (double)(known[k].n - 1 - i);
        ck_assert_int_eq(sample_take(v, known[k].n, &s), 0);
        NEAR(s.low, known[k].out);
        NEAR(s.high, known[k].n - 1 - known[k].out);
        NEAR(s.confidence, known[k].confidence);
    }
}
END_TEST

START_TEST(values_stay_in_their_order)
{
    double v[] = {3, 1, 2};
    struct sample s;

    ck_assert_int_eq(sample_take(v, 3, &s), 0);
    NEAR(s.median, 2);
    NEAR(v[0], 3);
    NEAR(s.low, 1);
    NEAR(s.high, 3);
    ck_assert_double_lt(s.confidence, SAMPLE_CONFIDENCE);
}
END_TEST

START_TEST(nothing_is_said_of_no_values)
{
    double zero = 0, one = 1;
    struct sample s;

    ck_assert_int_eq(sample_take(&one, 0, &s), -EINVAL);
    ck_assert_int_eq(sample_ratio(&one, &zero, 1, &s), -EINVAL);
    ck_assert_int_eq(sample_ratio(&one, &one, 0, &s), -EINVAL);
}
END_TEST

/* Both sides follow the machine's moods; the ratio of pairs does not. */
START_TEST(pairs_cancel_what_both_saw)
{
    double a[9], b[9];
    struct sample s;

    for (unsigned i = 0; i < 9; i++) {
        b[i] = 10 * (1 + i);
        a[i] = b[i] * 1.25;
    }
    ck_assert_int_eq(sample_ratio(a, b, 9, &s), 0);
    NEAR(s.median, 1.25);
    NEAR(s.low, 1.25);
    NEAR(s.high, 1.25);
    ck_assert_int_eq(sample_judge(&s, true, 0.01), SAMPLE_BETTER);
    ck_assert_int_eq(sample_judge(&s, false, 0.01), SAMPLE_WORSE);
    ck_assert_int_eq(sample_judge(&s, false, 0.3), SAMPLE_SAME);
}
END_TEST

START_TEST(one_wild_value_changes_no_verdict)
{
    static const double b[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    double a[9] = {2, 2, 2, 2, 2, 2, 2, 2, 0.001};
    struct sample s;

    ck_assert_int_eq(sample_ratio(a, b, 9, &s), 0);
    ck_assert_int_eq(sample_judge(&s, true, 0.01), SAMPLE_BETTER);
    a[7] = 0.5;
    ck_assert_int_eq(sample_ratio(a, b, 9, &s), 0);
    ck_assert_int_eq(sample_judge(&s, true, 0.01), SAMPLE_SAME);
}
END_TEST

START_TEST(few_pairs_judge_nothing)
{
    static const double a[6] = {2, 2, 2, 2, 2, 2}, b[6] = {1, 1, 1, 1, 1, 1};
    struct sample s;

    ck_assert_int_eq(sample_ratio(a, b, 6, &s), 0);
    ck_assert_int_eq(sample_judge(&s, true, 0), SAMPLE_UNKNOWN);
}
END_TEST

/* The interval's promise: of many samples of one distribution, skewed as times are, its median is
 * inside in about as many as is said. */
START_TEST(interval_covers_the_median)
{
    uint64_t x = 88172645463325252ull;
    unsigned inside = 0, samples = 4000;

    for (unsigned k = 0; k < samples; k++) {
        double v[9];
        struct sample s;

        for (unsigned i = 0; i < 9; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            v[i] = -log(((double)(x >> 11) + 1) / 9007199254740993.0); /* its median is ln 2 */
        }
        ck_assert_int_eq(sample_take(v, 9, &s), 0);
        inside += s.low <= M_LN2 && M_LN2 <= s.high;
    }
    ck_assert_double_eq_tol((double)inside / samples, 0.9609, 0.012);
}
END_TEST

START_TEST(buckets_follow_each_other)
{
    uint64_t end = 0;

    for (unsigned i = 1; i < HISTOGRAM_BUCKETS; i++) {
        struct histogram h = {0};
        uint64_t next = histogram_bucket_end(i);

        ck_assert_uint_gt(next, end);
        ck_assert_uint_le(next - end, 1 + end / 64);
        histogram_add(&h, end + 1);
        histogram_add(&h, next);
        ck_assert_uint_eq(h.buckets[i], 2);
        end = next;
    }
    ck_assert_uint_eq(end, (1ull << HISTOGRAM_OCTAVES) - 1);
}
END_TEST

START_TEST(quantiles_of_a_histogram)
{
    struct histogram h = {0}, more = {0};

    ck_assert_uint_eq(histogram_quantile(&h, 0.5), 0);
    for (uint64_t i = 1; i <= 10000; i++)
        histogram_add(i % 2 ? &h : &more, i);
    histogram_merge(&h, &more);
    ck_assert_uint_eq(h.count, 10000);
    ck_assert_double_eq_tol((double)histogram_quantile(&h, 0.5), 5000, 5000 * 0.016);
    ck_assert_double_eq_tol((double)histogram_quantile(&h, 0.9999), 9999, 9999 * 0.016);
    ck_assert_uint_eq(histogram_quantile(&h, 1), 10000);
    histogram_add(&h, UINT64_MAX);
    ck_assert_uint_eq(histogram_quantile(&h, 1), UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stats");
    TCase *t = tcase_create("sample");

    tcase_add_test(t, quantiles_of_known_values);
    tcase_add_test(t, intervals_are_those_of_the_sign_test);
    tcase_add_test(t, values_stay_in_their_order);
    tcase_add_test(t, nothing_is_said_of_no_values);
    tcase_add_test(t, pairs_cancel_what_both_saw);
    tcase_add_test(t, one_wild_value_changes_no_verdict);
    tcase_add_test(t, few_pairs_judge_nothing);
    tcase_add_test(t, interval_covers_the_median);
    tcase_add_test(t, buckets_follow_each_other);
    tcase_add_test(t, quantiles_of_a_histogram);
    suite_add_tcase(s, t);
    return unit_run(s);
}
