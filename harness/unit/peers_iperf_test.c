/* SPDX-License-Identifier: MIT */
/* What iperf3 says of a transfer, and what something else might say in its place. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peers/iperf.h"
#include "unit/run.h"
#include "util/bits.h"

static char path[] = "/tmp/peers-iperf-XXXXXX";

static int read_text(const char *text, struct iperf_sum *sum, char why[201])
{
    int fd, rc;

    strcpy(path + sizeof(path) - 7, "XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    rc = iperf_read(path, sum, why);
    unlink(path);
    return rc;
}

START_TEST(a_result)
{
    struct iperf_sum sum;
    char why[201];

    /* Of iperf 3.12, shortened. */
    ck_assert_int_eq(
        read_text("{\"start\":{},\"intervals\":[],\"end\":{"
                  "\"sum_sent\":{\"bytes\":2031091712,\"seconds\":1.00004},"
                  "\"sum_received\":{\"start\":0,\"end\":1.000215,\"seconds\":1.000215,"
                  "\"bytes\":2030960640,\"bits_per_second\":16244192498.4}}}",
                  &sum, why),
        0);
    ck_assert_double_eq_tol(sum.bytes, 2030960640.0, 0.5);
    ck_assert_double_eq_tol(sum.seconds, 1.000215, 1e-9);
}
END_TEST

START_TEST(what_went_wrong)
{
    struct iperf_sum sum;
    char why[201], text[600];

    ck_assert_int_eq(
        read_text("{\"start\":{},\"end\":{},\"error\":\"unable to connect\"}", &sum, why), -EIO);
    ck_assert_str_eq(why, "unable to connect");
    snprintf(text, sizeof(text), "{\"error\":\"%0300d\"}", 1);
    ck_assert_int_eq(read_text(text, &sum, why), -EIO);
    ck_assert_uint_eq(strlen(why), 200);
}
END_TEST

static const char *const odd[] = {
    "",
    "{",
    "[]",
    "{}",
    "{\"end\":{}}",
    "{\"end\":{\"sum_received\":[]}}",
    "{\"end\":{\"sum_received\":{\"bytes\":1}}}",
    "{\"end\":{\"sum_received\":{\"bytes\":\"1\",\"seconds\":1}}}",
    "{\"end\":{\"sum_received\":{\"bytes\":0,\"seconds\":1}}}",
    "{\"end\":{\"sum_received\":{\"bytes\":1,\"seconds\":0}}}",
    "{\"end\":{\"sum_received\":{\"bytes\":-1,\"seconds\":-1}}}",
};

START_TEST(anything_else_is_refused)
{
    struct iperf_sum sum;
    char why[201];

    ck_assert_int_eq(read_text(odd[_i], &sum, why), -EPROTO);
    ck_assert_int_eq(iperf_read("/tmp/no/such/file", &sum, why), -EPROTO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("peers");
    TCase *t = tcase_create("iperf");

    tcase_add_test(t, a_result);
    tcase_add_test(t, what_went_wrong);
    tcase_add_loop_test(t, anything_else_is_refused, 0, (int)ARRAY_LENGTH(odd));
    suite_add_tcase(s, t);
    return unit_run(s);
}
