/* SPDX-License-Identifier: MIT */
/* What a DPDK program says of itself, and what something else might say in its place. */
#include <check.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "peers/telemetry.h"
#include "peers/thread.h"
#include "unit/run.h"

/* Of DPDK 22.11. */
static const char answer[] =
    "{\"/ethdev/stats\":{\"ipackets\":9297424,\"opackets\":17,\"ibytes\":595035136,\"obytes\":0,"
    "\"imissed\":0,\"ierrors\":0,\"oerrors\":0,\"rx_nombuf\":0,\"q_ipackets\":[9297424,0],"
    "\"q_opackets\":[0,0],\"q_ibytes\":[595035136,0],\"q_obytes\":[0,0],\"q_errors\":[0,0]}}";

START_TEST(packets_are_read)
{
    struct telemetry_stats s;

    /* With the NUL that DPDK sends, and without. */
    ck_assert_int_eq(telemetry_stats_parse(answer, sizeof(answer), &s), 0);
    ck_assert_uint_eq(s.received, 9297424);
    ck_assert_uint_eq(s.sent, 17);
    ck_assert_int_eq(telemetry_stats_parse(answer, sizeof(answer) - 1, &s), 0);
}
END_TEST

START_TEST(anything_else_is_refused)
{
    static const char *const odd[] = {
        "",
        "{",
        "null",
        "[]",
        "{\"/ethdev/stats\":null}",
        "{\"/ethdev/stats\":{}}",
        "{\"/ethdev/stats\":{\"ipackets\":1}}",
        "{\"/ethdev/stats\":{\"ipackets\":-1,\"opackets\":1}}",
        "{\"/ethdev/stats\":{\"ipackets\":\"1\",\"opackets\":1}}",
        "{\"/ethdev/stats\":{\"ipackets\":1.5,\"opackets\":1}}",
        "{\"/ethdev/stats\":{\"ipackets\":18446744073709551616,\"opackets\":1}}",
        "{\"/ethdev/info\":{\"ipackets\":1,\"opackets\":1}}",
    };
    struct telemetry_stats s;

    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        ck_assert_int_eq(telemetry_stats_parse(odd[i], strlen(odd[i]), &s), -EPROTO);
    for (size_t n = 0; n < sizeof(answer) - 2; n++)
        ck_assert_int_eq(telemetry_stats_parse(answer, n, &s), -EPROTO);
}
END_TEST

START_TEST(nobody_is_there)
{
    int fd = -1;

    ck_assert_int_eq(telemetry_connect("/tmp/no-such-folder", "driver", 20, &fd), -ETIMEDOUT);
    ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(a_thread_s_time)
{
    struct thread_time t;
    uint64_t before, after;

    ck_assert_int_eq(prctl(PR_SET_NAME, "the-one"), 0);
    ck_assert_int_eq(thread_find(getpid(), "another", &t), -ENOENT);
    ck_assert_int_eq(thread_find(getpid(), "the-one", &t), 0);
    ck_assert_int_eq(thread_cpu_ns(&t, &before), 0);
    for (volatile unsigned i = 0; i < 100000000; i++)
        ;
    ck_assert_int_eq(thread_cpu_ns(&t, &after), 0);
    ck_assert_uint_gt(after, before);
    ck_assert_int_eq(thread_waited_ns(&t, &before), 0);
    (void)sched_yield();
    ck_assert_int_eq(thread_waited_ns(&t, &after), 0);
    ck_assert_uint_ge(after, before);
    ck_assert_int_eq(thread_find(0, "the-one", &t), -ESRCH);
    t.tid = 0;
    ck_assert_int_eq(thread_cpu_ns(&t, &after), -ESRCH);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("peers");
    TCase *t = tcase_create("telemetry");

    tcase_add_test(t, packets_are_read);
    tcase_add_test(t, anything_else_is_refused);
    tcase_add_test(t, nobody_is_there);
    tcase_add_test(t, a_thread_s_time);
    suite_add_tcase(s, t);
    return unit_run(s);
}
