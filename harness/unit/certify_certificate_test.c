/* SPDX-License-Identifier: MIT */
/* What a certificate says of a report, and what of a certificate from elsewhere is believed. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "certify/certificate.h"
#include "unit/run.h"
#include "util/bits.h"

#define ID_A "basic.device-status-field.device.1"
#define ID_B "basic.device-status-field.device.3"

static struct catalog *catalog;
static char path[64];

static void setup(void)
{
    char why[512];

    ck_assert_msg(!catalog_load("harness/catalog", &catalog, why, sizeof(why)), "%s", why);
    snprintf(path, sizeof(path), "/tmp/rp-certificate-%d", (int)getpid());
}

static void teardown(void)
{
    catalog_destroy(catalog);
    unlink(path);
}

static void add(struct report_cell *c, const char *name, const char *proves, enum outcome o)
{
    struct report_check *k = report_cell_add_check(c, name, o);

    report_set(&k->proves, proves);
    if (o == SKIP)
        report_set(&k->reason, "not offered");
    if (o >= WARN)
        report_check_add_failure(k, MUST, "f.c", 7, "<it> was & is wrong");
}

/* A passes in one cell and comes to `second` in the other; B is skipped in both. */
static json_t *make(enum outcome second)
{
    struct profile_deviation deviation = {
        .check = "basic.one", .reason = "why", .where = "f.c", .link = "https://x"};
    struct profile profile = {.name = "p",
                              .title = "<Title>",
                              .vendor = "v",
                              .program = "prog",
                              .deviations = &deviation,
                              .deviation_count = 1};
    struct report *r = report_create();

    report_set(&r->run.testbed, "sim");
    r->run.cells_planned = 2;
    for (unsigned i = 0; i < 2; i++) {
        struct report_cell *c = report_cell_create(i ? "two" : "one", "s", "t", "s.yaml", "sim");

        add(c, "basic.one", ID_A, i ? second : PASS);
        add(c, "basic.two", ID_B, SKIP);
        report_cell_settle(c);
        report_add_cell(r, c);
    }
    const struct certificate_parts parts = {.report = r,
                                            .catalog = catalog,
                                            .profile = &profile,
                                            .profile_text = "profile: p\n",
                                            .subject_version = "1.0",
                                            .subject_sha256 = "00",
                                            .catalog_sha256 = "11"};
    json_t *c = certificate_make(&parts);
    report_destroy(r);
    ck_assert_ptr_nonnull(c);
    return c;
}

static const char *verdict(const json_t *c, size_t i)
{
    return json_string_value(
        json_object_get(json_array_get(json_object_get(c, "requirements"), i), "verdict"));
}

static const struct {
    enum outcome second;
    const char *verdict, *result;
} verdict_rows[] = {
    {PASS, "PASS", "SUCCESS"}, {SKIP, "PASS", "SUCCESS"}, {KNOWN, "KNOWN", "SUCCESS"},
    {WARN, "WARN", "SUCCESS"}, {FAIL, "FAIL", "FAILURE"}, {CRASH, "CRASH", "FAILURE"},
    {ERROR, "ERROR", "ERROR"},
};

START_TEST(the_worst_of_all_cells_counts)
{
    json_t *c = make(verdict_rows[_i].second);
    const json_t *d = json_array_get(json_object_get(c, "deviations"), 0);

    ck_assert_uint_eq(json_array_size(json_object_get(c, "requirements")), 2);
    ck_assert_str_eq(verdict(c, 0), verdict_rows[_i].verdict);
    ck_assert_str_eq(verdict(c, 1), "SKIP");
    ck_assert_str_eq(certificate_result(c), verdict_rows[_i].result);
    ck_assert_int_eq(json_integer_value(json_object_get(d, "seen")),
                     verdict_rows[_i].second == KNOWN);
    json_decref(c);
}
END_TEST

static int load(const json_t *c, json_t **out, char *why, size_t size)
{
    ck_assert_int_eq(json_dump_file(c, path, 0), 0);
    return certificate_load(path, out, why, size);
}

START_TEST(what_was_made_can_be_read)
{
    json_t *c = make(FAIL), *again = NULL;
    char why[512] = "";

    ck_assert_msg(!load(c, &again, why, sizeof(why)), "%s", why);
    ck_assert(json_equal(c, again));
    json_decref(again);
    json_decref(c);
}
END_TEST

static json_t *first(json_t *c)
{
    return json_array_get(json_object_get(c, "requirements"), 0);
}

static void better_verdict(json_t *c)
{
    json_object_set_new(first(c), "verdict", json_string("PASS"));
}

static void better_check(json_t *c)
{
    json_t *check = json_object_get(json_object_get(first(c), "checks"), "basic.one");

    json_object_set_new(check, "outcome", json_string("PASS"));
    better_verdict(c);
}

static void better_counts(json_t *c)
{
    json_object_set_new(json_object_get(c, "verdicts"), "FAIL", json_integer(0));
}

static void no_requirement(json_t *c)
{
    json_array_remove(json_object_get(c, "requirements"), 0);
}

static void another_order(json_t *c)
{
    json_array_append(json_object_get(c, "requirements"), first(c));
}

static void other_format(json_t *c)
{
    json_object_set_new(c, "format", json_integer(CERTIFICATE_FORMAT + 1));
}

static void one_more(json_t *c)
{
    json_object_set_new(c, "seal", json_true());
}

static void one_less(json_t *c)
{
    json_object_del(json_object_get(c, "subject"), "sha256");
}

static void other_type(json_t *c)
{
    json_object_set_new(json_object_get(c, "run"), "seed", json_string("1"));
}

static const struct {
    void (*edit)(json_t *c);
    const char *message;
} edit_rows[] = {
    {better_verdict, "its verdict is not that of its checks"},
    {better_check, "its outcome is not what was observed"},
    {better_counts, "the number of FAIL is not that"},
    {no_requirement, "the number of"},
    {another_order, "requirements are not in order"},
    {other_format, "format 2 is not the one"},
    {one_more, "members that nobody knows"},
    {one_less, "subject has no sha256"},
    {other_type, "run has no seed"},
};

START_TEST(an_edited_one_is_refused)
{
    json_t *c = make(FAIL), *again = NULL;
    char why[512] = "";

    edit_rows[_i].edit(c);
    ck_assert_int_eq(load(c, &again, why, sizeof(why)), -EINVAL);
    ck_assert_msg(strstr(why, edit_rows[_i].message) != NULL, "%s", why);
    ck_assert_ptr_null(again);
    json_decref(c);
}
END_TEST

START_TEST(differences_are_counted)
{
    json_t *a = make(PASS), *b = make(FAIL), *less = make(PASS);
    char text[512] = "";
    FILE *f = fmemopen(text, sizeof(text), "w");

    no_requirement(less);
    ck_assert_uint_eq(certificate_differences(a, a, f), 0);
    ck_assert_uint_eq(certificate_differences(a, b, f), 1);
    ck_assert_uint_eq(certificate_differences(a, less, f), 1);
    ck_assert_uint_eq(certificate_differences(less, a, f), 1);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, ID_A ": was PASS, is FAIL\n"));
    ck_assert_ptr_nonnull(strstr(text, "was not there, is PASS"));
    json_decref(a);
    json_decref(b);
    json_decref(less);
}
END_TEST

START_TEST(the_page_escapes_what_it_shows)
{
    json_t *c = make(FAIL);
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    certificate_write_page(c, f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "&lt;Title&gt;"));
    ck_assert_ptr_nonnull(strstr(text, "&lt;it&gt; was &amp; is wrong"));
    ck_assert_ptr_null(strstr(text, "<it>"));
    ck_assert_ptr_null(strstr(text, "http://"));
    free(text);
    json_decref(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("certificate");
    TCase *c = tcase_create("certificate");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, the_worst_of_all_cells_counts, 0, (int)ARRAY_LENGTH(verdict_rows));
    tcase_add_test(c, what_was_made_can_be_read);
    tcase_add_loop_test(c, an_edited_one_is_refused, 0, (int)ARRAY_LENGTH(edit_rows));
    tcase_add_test(c, differences_are_counted);
    tcase_add_test(c, the_page_escapes_what_it_shows);
    suite_add_tcase(s, c);
    return unit_run(s);
}
