/* SPDX-License-Identifier: MIT */
#include <check.h>

#include "peers/pace.h"
#include "unit/run.h"

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-9)

START_TEST(the_start_is_subtracted)
{
    struct pace net = pace_net((struct pace){1000, 1500}, (struct pace){100, 50});

    ck_assert_uint_eq(net.wall_ns, 900);
    ck_assert_uint_eq(net.cpu_ns, 1450);
    /* A start that took longer than the run leaves no time, and nothing is divided by 0. */
    net = pace_net((struct pace){1000, 10}, (struct pace){1001, 10});
    ck_assert_uint_eq(net.wall_ns, 1);
    ck_assert_uint_eq(net.cpu_ns, 1);
}
END_TEST

START_TEST(the_number_of_buffers_follows_the_time)
{
    ck_assert_uint_eq(pace_buffers(1000, 10, 60, 1000000), 6000);
    ck_assert_uint_eq(pace_buffers(1000, 120, 60, 1000000), 500);
    ck_assert_uint_eq(pace_buffers(1000, 1, 60000, 1000000), 50000);
    ck_assert_uint_eq(pace_buffers(1000, 0, 60000, 1000000), 50000);
    ck_assert_uint_eq(pace_buffers(1000, 10, 60, 2000), 2000);
    ck_assert_uint_eq(pace_buffers(1, 1000, 60, 2000), 1);
}
END_TEST

START_TEST(lost_time_is_the_worse_side_s)
{
    NEAR(pace_own_cpu((struct pace){100, 200}), 1);
    NEAR(pace_own_cpu((struct pace){100, 201}), 1);
    NEAR(pace_own_cpu((struct pace){100, 190}), 0.9);
    NEAR(pace_own_cpu((struct pace){100, 100}), 0);
    NEAR(pace_own_cpu((struct pace){100, 10}), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("peers");
    TCase *t = tcase_create("pace");

    tcase_add_test(t, the_start_is_subtracted);
    tcase_add_test(t, the_number_of_buffers_follows_the_time);
    tcase_add_test(t, lost_time_is_the_worse_side_s);
    suite_add_tcase(s, t);
    return unit_run(s);
}
