/* SPDX-License-Identifier: MIT */
/* What is told of batches whose ticks are known. */
#include <check.h>

#include "check/cost.h"
#include "unit/run.h"

START_TEST(middle_of_an_odd_number)
{
    struct cost c = {.ticks = {500, 100, 300}, .batches = 3, .operations = 10};
    struct cost_told told;

    ck_assert(cost_tell(&c, 1, &told));
    ck_assert_double_eq_tol(told.median, 30, 1e-9);
    ck_assert_double_eq_tol(told.low, 14, 1e-9);
    ck_assert_double_eq_tol(told.high, 46, 1e-9);
}
END_TEST

/* One batch in which an interrupt came moves nothing but the upper end. */
START_TEST(outlier_is_in_no_median)
{
    struct cost c = {.batches = COST_BATCHES, .operations = 50};
    struct cost_told told;

    for (unsigned i = 0; i < COST_BATCHES; i++)
        c.ticks[i] = i == 7 ? 1000000 : 100000;
    ck_assert(cost_tell(&c, 1, &told));
    ck_assert_double_eq_tol(told.median, 2000, 1e-9);
    ck_assert_double_eq_tol(told.low, 2000, 1e-9);
    ck_assert_double_eq_tol(told.high, 2000, 1e-9);
}
END_TEST

/* Arm's counter of QEMU has 62.5 MHz: 16 ns a tick. */
START_TEST(slower_counter)
{
    struct cost c = {.ticks = {1000, 1000}, .batches = 2, .operations = 4};
    struct cost_told told;

    ck_assert(cost_tell(&c, 0.0625, &told));
    ck_assert_double_eq_tol(told.median, 4000, 1e-9);
}
END_TEST

START_TEST(nothing_of_nothing)
{
    struct cost none = {.operations = 1}, empty = {.batches = 1};
    struct cost_told told;

    ck_assert(!cost_tell(&none, 1, &told));
    ck_assert(!cost_tell(&empty, 1, &told));
}
END_TEST

static void count(void *arg, unsigned operations)
{
    *(unsigned *)arg += operations;
}

START_TEST(warm_up_is_not_measured)
{
    unsigned done = 0;
    struct cost c;

    cost_measure(&c, 3, count, &done);
    ck_assert_uint_eq(c.batches, COST_BATCHES);
    ck_assert_uint_eq(done, 3 * (COST_BATCHES + COST_WARM_UP));
    ck_assert(cost_now() >= c.ticks[0]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("check/cost");
    TCase *tc = tcase_create("cost");

    tcase_add_test(tc, middle_of_an_odd_number);
    tcase_add_test(tc, outlier_is_in_no_median);
    tcase_add_test(tc, slower_counter);
    tcase_add_test(tc, nothing_of_nothing);
    tcase_add_test(tc, warm_up_is_not_measured);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
