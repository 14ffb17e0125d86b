/* SPDX-License-Identifier: MIT */
/* Rounds of a benchmark, on values whose answer is known. */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "suite/suite.h"
#include "unit/run.h"

#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 1e-9)

static struct suite_value value(double ns, double round_trip_ns)
{
    return (struct suite_value){
        .ns = ns, .round_trip_ns = {round_trip_ns, round_trip_ns}, .own_cpu = {1, 1}};
}

static struct suite_row row_of_two(void)
{
    return (struct suite_row){
        .work = {.family = "f",
                 .name = "r",
                 .unit = "ns/buffer",
                 .options = "",
                 .variants = {{"checked", "a", "", false}, {"unchecked", "b", "", false}},
                 .variant_count = 2}};
}

static void add_round(struct suite_row *row, struct suite_value a, struct suite_value b)
{
    struct suite_round *r = &row->rounds[row->round_count++];

    r->values[0] = a;
    r->values[1] = b;
    r->fate = suite_round_fate(row, r, row->work.variant_count);
}

/* The machine slows down sevenfold while it is measured; the ratio is 1.5 throughout. */
START_TEST(ratio_of_pairs_is_what_was_put_in)
{
    struct suite_row row = row_of_two();

    for (unsigned i = 1; i <= 7; i++)
        add_round(&row, value(15.0 * i, 80), value(10.0 * i, 80));
    ck_assert_uint_eq(suite_kept(&row), 7);
    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert(row.near);
    ck_assert_uint_eq(row.fates[SUITE_KEPT], 7);
    NEAR(row.values[0].median, 60);
    NEAR(row.ratios[0].median, 1);
    NEAR(row.ratios[1].median, 1.5);
    NEAR(row.ratios[1].low, 1.5);
    NEAR(row.ratios[1].high, 1.5);
}
END_TEST

START_TEST(disturbed_rounds_are_discarded_and_counted)
{
    struct suite_row row = row_of_two();
    struct suite_value good = value(10, 80), v;

    add_round(&row, good, good);
    v = good;
    v.own_cpu[0] = 0.8;
    add_round(&row, good, v);
    v = good;
    v.foreign = 0.2; /* while nothing was measured: each had its CPU */
    add_round(&row, good, v);
    v = good;
    v.steal = 0.2;
    add_round(&row, v, good);
    v = good;
    v.own_cpu[1] = 0.5;
    add_round(&row, good, v);
    v = good;
    v.round_trip_ns[1] = 365;
    add_round(&row, good, v);
    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert_uint_eq(row.fates[SUITE_KEPT], 2);
    ck_assert_uint_eq(row.fates[SUITE_FOREIGN], 2);
    ck_assert_uint_eq(row.fates[SUITE_STEAL], 1);
    ck_assert_uint_eq(row.fates[SUITE_MOVED], 1);
    ck_assert_uint_eq(row.values[0].count, 2);
}
END_TEST

/* So that the rest of a round that is lost need not be measured. */
START_TEST(a_round_ends_with_the_value_that_tells)
{
    struct suite_row row = row_of_two();
    struct suite_round r = {.values = {value(10, 80), value(10, 80)}};

    r.values[1].steal = 0.2;
    ck_assert_int_eq(suite_round_fate(&row, &r, 1), SUITE_KEPT);
    ck_assert_int_eq(suite_round_fate(&row, &r, 2), SUITE_STEAL);
    r.values[1] = value(10, 365);
    ck_assert_int_eq(suite_round_fate(&row, &r, 1), SUITE_KEPT);
    ck_assert_int_eq(suite_round_fate(&row, &r, 2), SUITE_MOVED);
    r.values[0].own_cpu[0] = 0.5;
    ck_assert_int_eq(suite_round_fate(&row, &r, 1), SUITE_FOREIGN);
}
END_TEST

/* A row that sleeps gives its CPU away; that is not somebody else's doing. */
START_TEST(sleeping_is_not_foreign)
{
    struct suite_row row = row_of_two();
    struct suite_value v = value(10, 80);

    row.work.sleeps = true;
    v.own_cpu[0] = 0.3;
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[0].fate, SUITE_KEPT);
    v.foreign = 0.5;
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[1].fate, SUITE_FOREIGN);
}
END_TEST

/* Nor does a loose row know how much of a CPU each of its processes had. */
START_TEST(loose_rows_are_judged_by_what_others_had)
{
    struct suite_row row = row_of_two();
    struct suite_value v = value(10, 80);

    row.work.loose = true;
    v.own_cpu[0] = v.own_cpu[1] = 0;
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[0].fate, SUITE_KEPT);
    v.foreign = 0.11;
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[1].fate, SUITE_FOREIGN);
    /* Others had what none of the row's wanted. */
    v.own_cpu[0] = v.own_cpu[1] = 0.95;
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[2].fate, SUITE_KEPT);
    v.own_cpu[1] = 0.85;
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[3].fate, SUITE_FOREIGN);
    /* They wait for each other. */
    v.foreign = 0.09;
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[4].fate, SUITE_KEPT);
    /* A round trip drifts. */
    v.round_trip_ns[1] = 1.9 * v.round_trip_ns[0];
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[5].fate, SUITE_KEPT);
    v.round_trip_ns[1] = 2.1 * v.round_trip_ns[0];
    add_round(&row, v, v);
    ck_assert_int_eq(row.rounds[6].fate, SUITE_MOVED);
}
END_TEST

START_TEST(placements_are_never_mixed)
{
    struct suite_row row = row_of_two();

    for (unsigned i = 0; i < 2; i++)
        add_round(&row, value(10, 80), value(10, 80));
    for (unsigned i = 0; i < 3; i++)
        add_round(&row, value(90, 365), value(45, 365));
    ck_assert_uint_eq(suite_kept(&row), 3);
    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert(!row.near);
    ck_assert_uint_eq(row.fates[SUITE_ELSEWHERE], 2);
    NEAR(row.values[0].median, 90);
    NEAR(row.ratios[1].high, 2);
    /* Settling again, with more, may choose the other. */
    for (unsigned i = 0; i < 2; i++)
        add_round(&row, value(10, 80), value(10, 80));
    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert(row.near);
    ck_assert_uint_eq(row.fates[SUITE_KEPT], 4);
    ck_assert_uint_eq(row.fates[SUITE_ELSEWHERE], 3);
}
END_TEST

START_TEST(no_round_is_no_value)
{
    struct suite_row row = row_of_two();

    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert_uint_eq(row.values[0].count, 0);
    row.round_count = 1;
    row.rounds[0].fate = SUITE_BROKEN;
    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert_uint_eq(row.values[0].count, 0);
    ck_assert_uint_eq(row.fates[SUITE_BROKEN], 1);
}
END_TEST

START_TEST(lines_of_programs)
{
    static const char *const broken[] = {
        "",
        "ringproof-ring: died",
        "{}",
        "[1]",
        "{\"ns_per_unit\": 0, \"round_trip_ns\": [80, 81], \"own_cpu\": [1, 1]}",
        "{\"ns_per_unit\": \"1\", \"round_trip_ns\": [80, 81], \"own_cpu\": [1, 1]}",
        "{\"ns_per_unit\": 1, \"round_trip_ns\": [80], \"own_cpu\": [1, 1]}",
        "{\"ns_per_unit\": 1, \"round_trip_ns\": [80, 0], \"own_cpu\": [1, 1]}",
        "{\"ns_per_unit\": 1, \"round_trip_ns\": [80, 81], \"own_cpu\": [1, null]}",
    };
    const struct suite_work work = {.loose = false};
    struct suite_value v = {.steal = 0.25};

    ck_assert_int_eq(suite_value_read("{\"ns_per_unit\": 1.5, \"round_trip_ns\": [80, 81], "
                                      "\"own_cpu\": [1, 0.5], \"sleeps\": [0, 0]}\n",
                                      &work, &v),
                     0);
    NEAR(v.ns, 1.5);
    NEAR(v.round_trip_ns[1], 81);
    NEAR(v.own_cpu[1], 0.5);
    NEAR(v.steal, 0.25);
    for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        ck_assert_int_eq(suite_value_read(broken[i], &work, &v), -EPROTO);
}
END_TEST

/* Where the scheduler has the processes, CPUs are the runner's to ask for. */
START_TEST(lines_of_loose_programs)
{
    static const char *const broken[] = {
        "{\"own_cpu\": [1, 1]}",
        "{\"ns_per_unit\": 1, \"per_unit\": 1}",
        "{\"ns_per_unit\": 1, \"own_cpu\": [1]}",
        "{\"ns_per_unit\": 1, \"per_unit\": {\"copies\": -1}}",
        "{\"ns_per_unit\": 1, \"per_unit\": {\"copies\": \"1\"}}",
        "{\"ns_per_unit\": 1, \"per_unit\": {\"\": 1}}",
        "{\"ns_per_unit\": 1, \"latency\": {\"buckets\": []}}",
    };
    const struct suite_work work = {.loose = true};
    struct suite_value v = {.round_trip_ns = {80, 0}};

    ck_assert_int_eq(suite_value_read("{\"ns_per_unit\": 1000, \"round_trip_ns\": [1, 1], "
                                      "\"per_unit\": {\"copies\": 2, \"traps\": 0.5}, "
                                      "\"latency\": {\"max_ns\": 60, \"buckets\": [[50, 3]]}}",
                                      &work, &v),
                     0);
    NEAR(v.ns, 1000);
    NEAR(v.round_trip_ns[0], 80);
    NEAR(json_number_value(json_object_get(v.per_unit, "copies")), 2);
    ck_assert_ptr_nonnull(v.latency);
    suite_value_fini(&v);
    for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        ck_assert_int_eq(suite_value_read(broken[i], &work, &v), -EPROTO);
        ck_assert(!v.latency && !v.per_unit);
    }
}
END_TEST

/* A count is the median of the rounds that were kept, of each variant by itself. */
START_TEST(counts_are_medians)
{
    struct suite_row row = row_of_two();
    json_t *first, *second;

    row.work.loose = true;
    for (unsigned i = 0; i < 4; i++) {
        struct suite_value a = value(10, 80), b = value(20, 80);

        a.per_unit = json_pack("{s:i, s:f}", "copies", 2, "cpu [ns]", 100.0 * (i + 1));
        b.foreign = i == 3 ? 0.5 : 0;
        b.own_cpu[0] = i == 3 ? 0.5 : 1;
        add_round(&row, a, b);
    }
    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert_uint_eq(row.fates[SUITE_FOREIGN], 1);
    first = suite_per_unit_json(&row, 0);
    second = suite_per_unit_json(&row, 1);
    NEAR(json_number_value(json_object_get(first, "copies")), 2);
    NEAR(json_number_value(json_object_get(first, "cpu [ns]")), 200);
    ck_assert_uint_eq(json_object_size(second), 0);
    json_decref(first);
    json_decref(second);
    for (unsigned i = 0; i < 4; i++)
        suite_value_fini(&row.rounds[i].values[0]);
}
END_TEST

START_TEST(rows_have_names_of_their_own)
{
    static const struct suite_variant designs[] = {{.name = "a", .options = ""},
                                                   {.name = "b", .options = ""}};
    const struct suite_choice all = {true, true, designs, 2};
    unsigned count;
    struct suite_row *rows = suite_rows(&all, &count);

    ck_assert_ptr_nonnull(rows);
    ck_assert_uint_le(count, SUITE_ROWS_MAX);
    for (unsigned i = 0; i < count; i++) {
        const struct suite_work *w = &rows[i].work;

        for (unsigned k = 0; k < i; k++)
            ck_assert_str_ne(w->name, rows[k].work.name);
        ck_assert(w->variant_count >= 1 && w->variant_count <= SUITE_VARIANTS);
        ck_assert(w->family && w->unit && !strncmp(w->unit, "ns/", 3) && w->options);
    }
    suite_rows_free(rows, count);
    count = 0;
    /* Nothing to compare: there is no such row. */
    rows = suite_rows(&(struct suite_choice){.peers = false}, &count);
    ck_assert_uint_gt(count, 0);
    for (unsigned i = 0; i < count; i++)
        ck_assert_str_ne(rows[i].work.family, SUITE_DESIGNS);
    suite_rows_free(rows, count);
}
END_TEST

static unsigned rows_named(const char *name)
{
    unsigned count, found = 0;
    struct suite_row *rows = suite_rows(&(struct suite_choice){.peers = true}, &count);

    ck_assert_ptr_nonnull(rows);
    for (unsigned i = 0; i < count; i++)
        found += !strcmp(rows[i].work.name, name);
    suite_rows_free(rows, count);
    return found;
}

/* A goal of a row that does not exist would never be missed. */
START_TEST(goals_are_of_rows)
{
    unsigned count;
    const struct suite_goal *goals = suite_goals(&count);

    for (unsigned i = 0; i < count; i++)
        ck_assert_uint_eq(rows_named(goals[i].row), 1);
}
END_TEST

/* More rounds, and so a narrower interval, where they are soon measured. */
START_TEST(judged_rows_have_more_rounds)
{
    unsigned count, more = 0;
    struct suite_row *rows = suite_rows(&(struct suite_choice){.peers = true}, &count);

    ck_assert_ptr_nonnull(rows);
    for (unsigned i = 0; i < count; i++) {
        bool judged = suite_goal_for(rows[i].work.name) && !rows[i].work.loose;

        ck_assert_uint_eq(rows[i].enough, judged ? SUITE_JUDGED : SUITE_ROUNDS);
        more += judged;
    }
    ck_assert_uint_gt(more, 0);
    ck_assert_uint_lt(more, count);
    suite_rows_free(rows, count);
}
END_TEST

START_TEST(goals_are_judged_by_the_interval)
{
    const struct suite_goal to_other = {"r", "unchecked", 1.5}, elsewhere = {"s", "unchecked", 9};
    const struct suite_goal to_trip = {"r", "round trip", 0.2}, none = {"r", "floor", 9};
    struct suite_row row = row_of_two();
    struct sample s;

    for (unsigned i = 0; i < 7; i++) {
        ck_assert_int_eq(suite_goal_judge(&to_other, &row, 1, &s), SUITE_UNMEASURED);
        add_round(&row, value(15, 80), value(10, 80));
        ck_assert_int_eq(suite_settle(&row), 0);
    }
    ck_assert_int_eq(suite_goal_judge(&to_other, &row, 1, &s), SUITE_REACHED);
    NEAR(s.median, 1.5);
    ck_assert_int_eq(suite_goal_judge(&to_trip, &row, 1, &s), SUITE_REACHED);
    NEAR(s.median, 15.0 / 80);
    ck_assert_int_eq(suite_goal_judge(&none, &row, 1, &s), SUITE_UNMEASURED);
    ck_assert_int_eq(suite_goal_judge(&elsewhere, &row, 1, &s), SUITE_UNMEASURED);
    row.rounds[3].values[0].ns = 16;
    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert_int_eq(suite_goal_judge(&to_other, &row, 1, &s), SUITE_UNSURE);
    for (unsigned i = 0; i < 7; i++)
        row.rounds[i].values[0].ns = 16 + i;
    ck_assert_int_eq(suite_settle(&row), 0);
    ck_assert_int_eq(suite_goal_judge(&to_other, &row, 1, &s), SUITE_MISSED);
}
END_TEST

START_TEST(files_say_what_was_measured)
{
    const struct suite_run run = {"id", "then", "v", "cpu", "kernel", NULL, NULL, 2, 1.5};
    struct suite_row row = row_of_two();
    json_t *o, *r;

    add_round(&row, value(15, 80), value(10, 80));
    ck_assert_int_eq(suite_settle(&row), 0);
    o = suite_to_json(&run, &row, 1);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "format")), SUITE_FORMAT);
    r = json_array_get(json_object_get(o, "rows"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(r, "placement")), "near");
    r = json_array_get(json_object_get(r, "variants"), 1);
    NEAR(json_number_value(json_object_get(json_object_get(r, "ratio_of_first"), "median")), 1.5);
    json_decref(o);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("suite");
    TCase *t = tcase_create("settle");

    tcase_add_test(t, ratio_of_pairs_is_what_was_put_in);
    tcase_add_test(t, disturbed_rounds_are_discarded_and_counted);
    tcase_add_test(t, a_round_ends_with_the_value_that_tells);
    tcase_add_test(t, sleeping_is_not_foreign);
    tcase_add_test(t, loose_rows_are_judged_by_what_others_had);
    tcase_add_test(t, placements_are_never_mixed);
    tcase_add_test(t, no_round_is_no_value);
    tcase_add_test(t, lines_of_programs);
    tcase_add_test(t, lines_of_loose_programs);
    tcase_add_test(t, counts_are_medians);
    tcase_add_test(t, rows_have_names_of_their_own);
    tcase_add_test(t, goals_are_of_rows);
    tcase_add_test(t, judged_rows_have_more_rounds);
    tcase_add_test(t, goals_are_judged_by_the_interval);
    tcase_add_test(t, files_say_what_was_measured);
    suite_add_tcase(s, t);
    return unit_run(s);
}
