/* SPDX-License-Identifier: MIT */
/* Two runs of benchmarks whose difference is known, and the schema of their file. */
#include <check.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suite/compare.h"
#include "suite/suite.h"
#include "unit/run.h"
#include "unit/schema.h"

/* Spread as a machine in use has it: up to 3 % above and below, in no order. */
static const double wobble[SUITE_ROUNDS] = {1.00, 0.97, 1.02, 0.99, 1.03, 0.98, 1.01};

struct world {
    double checked, unchecked; /* ns */
    double round_trip_ns;
    double noise; /* factor on the wobble's distance from 1 */
    unsigned rounds;
    const char *cpu;
};

static const struct world usual = {15, 10, 80, 1, SUITE_ROUNDS, "cpu"};

static json_t *run_of(const struct world *w, const char *row_name)
{
    const struct suite_run run = {
        "id", "2026-01-01T00:00:00Z", "v", w->cpu, "kernel", NULL, NULL, 2, 1.5};
    struct suite_row row = {
        .work = {.family = "ring",
                 .name = row_name,
                 .unit = "ns/buffer",
                 .options = "--ring split",
                 .variants = {{"checked", "a", "", false}, {"unchecked", "b", "", false}},
                 .variant_count = 2}};

    for (unsigned i = 0; i < w->rounds; i++) {
        double by = 1 + (wobble[i] - 1) * w->noise, trip = w->round_trip_ns;
        /* The other wobbles, too, and not alike. */
        double other = 1 + (wobble[(i + 3) % SUITE_ROUNDS] - 1) * w->noise;
        struct suite_round *r = &row.rounds[row.round_count++];

        r->values[0] = (struct suite_value){
            .ns = w->checked * by, .round_trip_ns = {trip, trip}, .own_cpu = {1, 1}};
        r->values[1] = (struct suite_value){
            .ns = w->unchecked * other, .round_trip_ns = {trip, trip}, .own_cpu = {1, 1}};
        r->fate = suite_round_fate(&row, r, row.work.variant_count);
    }
    ck_assert_int_eq(suite_settle(&row), 0);
    return suite_to_json(&run, &row, 1);
}

static void expect(const struct world *before, const struct world *after, enum sample_verdict value,
                   enum sample_verdict ratio, const char *why)
{
    json_t *a = run_of(before, "r"), *b = run_of(after, "r");
    struct suite_comparison c;

    ck_assert_int_eq(suite_compare(a, b, &c), 0);
    ck_assert_uint_eq(c.count, 2);
    ck_assert_str_eq(c.changes[0].metric, "ns/buffer");
    ck_assert_str_eq(c.changes[1].metric, "unchecked");
    ck_assert(!c.changes[0].is_ratio && c.changes[1].is_ratio);
    ck_assert_int_eq(c.changes[0].verdict, value);
    ck_assert_int_eq(c.changes[1].verdict, ratio);
    for (unsigned i = 0; i < 2; i++)
        if (why)
            ck_assert_str_eq(c.changes[i].why, why);
        else
            ck_assert_ptr_null(c.changes[i].why);
    suite_comparison_fini(&c);
    json_decref(a);
    json_decref(b);
}

START_TEST(nothing_changed)
{
    struct world after = usual;

    after.checked *= 1.01;
    expect(&usual, &usual, SAMPLE_SAME, SAMPLE_SAME, NULL);
    expect(&usual, &after, SAMPLE_SAME, SAMPLE_SAME, NULL);
}
END_TEST

START_TEST(slower_and_faster_are_told)
{
    struct world slow = usual, both = usual;

    slow.checked *= 1.3;
    both.checked *= 1.3;
    both.unchecked *= 1.3;
    expect(&usual, &slow, SAMPLE_WORSE, SAMPLE_WORSE, NULL);
    expect(&slow, &usual, SAMPLE_BETTER, SAMPLE_BETTER, NULL);
    /* Both variants slowed down: what safety costs stays. */
    expect(&usual, &both, SAMPLE_WORSE, SAMPLE_SAME, NULL);
}
END_TEST

/* Thirty per cent are lost in a spread of as much. */
START_TEST(noise_is_no_change)
{
    struct world slow = usual, noisy = usual;

    noisy.noise = 10;
    slow.noise = 10;
    slow.checked *= 1.3;
    expect(&noisy, &slow, SAMPLE_SAME, SAMPLE_SAME, NULL);
}
END_TEST

START_TEST(what_is_not_comparable_and_why)
{
    struct world far = usual, machine = usual, few = usual, moved = usual;

    far.round_trip_ns = 365;
    expect(&usual, &far, SAMPLE_UNKNOWN, SAMPLE_UNKNOWN, "another placement");
    moved.round_trip_ns = 150; /* near by name, and twice as far */
    expect(&usual, &moved, SAMPLE_UNKNOWN, SAMPLE_UNKNOWN, "another placement");
    machine.cpu = "another";
    expect(&usual, &machine, SAMPLE_UNKNOWN, SAMPLE_UNKNOWN, "another machine");
    few.rounds = SUITE_ROUNDS - 1;
    expect(&usual, &few, SAMPLE_UNKNOWN, SAMPLE_UNKNOWN, "too few pairs");
    few.rounds = 0;
    expect(&few, &few, SAMPLE_UNKNOWN, SAMPLE_UNKNOWN, "missing before");
    expect(&usual, &few, SAMPLE_UNKNOWN, SAMPLE_UNKNOWN, "missing after");
}
END_TEST

static json_t *row_at(json_t *o, size_t i)
{
    return json_array_get(json_object_get(o, "rows"), i);
}

START_TEST(another_testbed_or_workload)
{
    static const char *const member[] = {"testbed", "options", "unit"};
    static const char *const why[] = {"another testbed", "another workload", "another workload"};

    for (unsigned i = 0; i < 3; i++) {
        json_t *a = run_of(&usual, "r"), *b = run_of(&usual, "r");
        struct suite_comparison c;

        json_object_set_new(row_at(b, 0), member[i], json_string("else"));
        ck_assert_int_eq(suite_compare(a, b, &c), 0);
        ck_assert_uint_eq(c.verdicts[SAMPLE_UNKNOWN], 2);
        ck_assert_str_eq(c.changes[0].why, why[i]);
        suite_comparison_fini(&c);
        json_decref(a);
        json_decref(b);
    }
}
END_TEST

START_TEST(rows_of_one_run_alone)
{
    json_t *a = run_of(&usual, "gone"), *b = run_of(&usual, "new");
    struct suite_comparison c;
    char text[2048];
    FILE *f;

    ck_assert_int_eq(suite_compare(a, b, &c), 0);
    ck_assert_uint_eq(c.count, 4);
    ck_assert_uint_eq(c.verdicts[SAMPLE_UNKNOWN], 4);
    ck_assert_str_eq(c.changes[0].row, "new");
    ck_assert_str_eq(c.changes[0].why, "missing before");
    ck_assert_str_eq(c.changes[2].row, "gone");
    ck_assert_str_eq(c.changes[2].why, "missing after");
    f = fmemopen(text, sizeof(text), "w");
    suite_comparison_write(&c, false, f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "not comparable: missing after |\n"));
    ck_assert_ptr_nonnull(strstr(text, "0 better, 0 same, 0 worse, 4 not comparable\n"));
    suite_comparison_fini(&c);
    json_decref(a);
    json_decref(b);
}
END_TEST

/* Equal rows are shown when they are asked for. */
START_TEST(a_table_has_what_changed)
{
    struct world slow = usual;
    struct suite_comparison c;
    char text[2048];
    json_t *a, *b;
    FILE *f;

    slow.checked *= 1.3;
    slow.unchecked *= 1.3;
    a = run_of(&usual, "r");
    b = run_of(&slow, "r");
    ck_assert_int_eq(suite_compare(a, b, &c), 0);
    for (unsigned all = 0; all < 2; all++) {
        f = fmemopen(text, sizeof(text), "w");
        suite_comparison_write(&c, all, f);
        fclose(f);
        ck_assert_ptr_nonnull(strstr(text, "| r | ns/buffer | 15.000 | 19.500 | x 1.300 ("));
        ck_assert_int_eq(strstr(text, "| to unchecked |") != NULL, all);
        ck_assert_ptr_nonnull(strstr(text, "0 better, 1 same, 1 worse, 0 not comparable\n"));
    }
    suite_comparison_fini(&c);
    json_decref(a);
    json_decref(b);
}
END_TEST

START_TEST(files_of_anybody)
{
    static const char *const broken[] = {
        "{}",
        "[]",
        "{\"rows\": 1}",
        "{\"rows\": [1]}",
        "{\"rows\": [{\"name\": \"r\", \"variants\": []}]}",
        "{\"rows\": [{\"name\": \"r\", \"variants\": [{\"name\": \"v\", \"value\": 1}]}]}",
        "{\"rows\": [{\"name\": \"r\", \"variants\": [{\"name\": \"v\", \"value\": {\"count\": 7, "
        "\"median\": 1, \"low\": 2, \"high\": 3}}]}]}",
        "{\"rows\": [{\"name\": \"r\", \"variants\": [{\"name\": \"v\", \"value\": {\"count\": -7, "
        "\"median\": 1, \"low\": 1, \"high\": 3}}]}]}",
    };
    json_t *good = run_of(&usual, "r");
    struct suite_comparison c;

    for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        json_t *o = json_loads(broken[i], 0, NULL);

        ck_assert_ptr_nonnull(o);
        ck_assert_int_eq(suite_compare(good, o, &c), -EPROTO);
        ck_assert_int_eq(suite_compare(o, good, &c), -EPROTO);
        json_decref(o);
    }
    json_decref(good);
}
END_TEST

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_file_or_its_folder)
{
    char dir[] = "/tmp/suite-compare-XXXXXX", file[64], why[256];
    json_t *made = run_of(&usual, "r"), *o;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/bench.json", dir);
    ck_assert_int_eq(suite_load(dir, &o, why, sizeof(why)), -ENOENT);
    ck_assert_int_eq(json_dump_file(made, file, 0), 0);
    ck_assert_int_eq(suite_load(dir, &o, why, sizeof(why)), 0);
    json_decref(o);
    ck_assert_int_eq(suite_load(file, &o, why, sizeof(why)), 0);
    json_decref(o);
    write_file(file, "{\"format\": 4, \"run\": {}}"); /* result.json of ringproof run */
    ck_assert_int_eq(suite_load(file, &o, why, sizeof(why)), -ENOENT);
    write_file(file, "{\"kind\": \"bench\", \"format\": 2}");
    ck_assert_int_eq(suite_load(file, &o, why, sizeof(why)), -EPROTO);
    ck_assert_ptr_nonnull(strstr(why, "not of format"));
    write_file(file, "{\"kind\": ");
    ck_assert_int_eq(suite_load(file, &o, why, sizeof(why)), -ENOENT);
    ck_assert_int_eq(suite_load(dir, &o, why, sizeof(why)), -EPROTO);
    ck_assert_ptr_null(o);
    unlink(file);
    rmdir(dir);
    json_decref(made);
}
END_TEST

/* ---- the schema ---- */

START_TEST(files_keep_the_schema)
{
    json_t *schema = json_load_file("results/schema/bench.schema.json", 0, NULL);
    struct world w = usual;
    char why[512] = "";

    ck_assert_ptr_nonnull(schema);
    for (w.rounds = 0; w.rounds <= SUITE_ROUNDS; w.rounds += SUITE_ROUNDS) {
        json_t *o = run_of(&w, "r"), *row = row_at(o, 0), *v;

        ck_assert_msg(schema_check(schema, o, why, sizeof(why)) == 0, "%s", why);
        json_object_set_new(row, "placement", json_string("somewhere"));
        ck_assert_int_eq(schema_check(schema, o, why, sizeof(why)), -EINVAL);
        ck_assert_ptr_eq(strstr(why, "/rows/0/placement: "), why);
        json_object_set_new(row, "placement", json_string("far"));
        v = json_array_get(json_object_get(row, "variants"), 1);
        json_object_set_new(v, "value", json_real(1));
        ck_assert_int_eq(schema_check(schema, o, why, sizeof(why)), -EINVAL);
        json_object_set_new(v, "value", json_null());
        ck_assert_msg(schema_check(schema, o, why, sizeof(why)) == 0, "%s", why);
        json_object_set_new(v, "more", json_null());
        ck_assert_int_eq(schema_check(schema, o, why, sizeof(why)), -EINVAL);
        json_object_del(v, "more");
        json_object_set_new(row, "unit", json_string("packets/s")); /* more would be better */
        ck_assert_int_eq(schema_check(schema, o, why, sizeof(why)), -EINVAL);
        json_object_set_new(row, "unit", json_string("ns/packet"));
        ck_assert_msg(schema_check(schema, o, why, sizeof(why)) == 0, "%s", why);
        json_object_set_new(json_object_get(v, "per_unit"), "copies", json_real(-1));
        ck_assert_int_eq(schema_check(schema, o, why, sizeof(why)), -EINVAL);
        json_object_del(row, "testbed");
        ck_assert_int_eq(schema_check(schema, o, why, sizeof(why)), -EINVAL);
        json_decref(o);
    }
    json_decref(schema);
}
END_TEST

START_TEST(baselines_keep_the_schema)
{
    json_t *schema = json_load_file("results/schema/bench.schema.json", 0, NULL);
    char why[512] = "";
    glob_t found;

    ck_assert_int_eq(glob("results/baselines/*/bench.json", 0, NULL, &found), 0);
    ck_assert_int_eq(glob("harness/unit/bench-invented.json", GLOB_APPEND, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        json_t *o = json_load_file(found.gl_pathv[i], 0, NULL);

        ck_assert_ptr_nonnull(o);
        ck_assert_msg(schema_check(schema, o, why, sizeof(why)) == 0, "%s: %s", found.gl_pathv[i],
                      why);
        json_decref(o);
    }
    globfree(&found);
    json_decref(schema);
}
END_TEST

/* A keyword that is not looked at would be a rule that nobody keeps. */
START_TEST(unknown_keywords_are_wrong)
{
    json_t *schema = json_pack("{s:{s:{s:i}}}", "properties", "a", "multipleOf", 2);
    json_t *o = json_pack("{s:i}", "a", 2);
    char why[128];

    ck_assert_int_eq(schema_check(schema, o, why, sizeof(why)), -EINVAL);
    ck_assert_str_eq(why, "/a: keyword multipleOf");
    json_decref(o);
    json_decref(schema);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("suite");
    TCase *t = tcase_create("compare");

    tcase_add_test(t, nothing_changed);
    tcase_add_test(t, slower_and_faster_are_told);
    tcase_add_test(t, noise_is_no_change);
    tcase_add_test(t, what_is_not_comparable_and_why);
    tcase_add_test(t, another_testbed_or_workload);
    tcase_add_test(t, rows_of_one_run_alone);
    tcase_add_test(t, a_table_has_what_changed);
    tcase_add_test(t, files_of_anybody);
    tcase_add_test(t, a_file_or_its_folder);
    tcase_add_test(t, files_keep_the_schema);
    tcase_add_test(t, baselines_keep_the_schema);
    tcase_add_test(t, unknown_keywords_are_wrong);
    suite_add_tcase(s, t);
    return unit_run(s);
}
