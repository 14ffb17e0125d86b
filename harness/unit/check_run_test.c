/* SPDX-License-Identifier: MIT */
/* check/check.h: what a check's body leads to. */
#define CHECK_FAMILY "unit"

#include <check.h>
#include <pthread.h>
#include <string.h>

#include "check/check.h"
#include "unit/run.h"

/* ---- bodies ---- */

/* What the deferred calls of a body did, in their order. */
struct trace {
    struct check_ctx *t;
    char text[64];
};

static void trace_add(struct trace *tr, const char *what)
{
    strncat(tr->text, what, sizeof(tr->text) - strlen(tr->text) - 1);
}

static void later_a(void *arg)
{
    trace_add(arg, "a");
}
static void later_b(void *arg)
{
    trace_add(arg, "b");
}

static void later_fails(void *arg)
{
    struct trace *tr = arg;

    trace_add(tr, "f");
    expect(tr->t, MUST, false, "broken while cleaning up");
}

static void later_ends(void *arg)
{
    struct trace *tr = arg;

    trace_add(tr, "e");
    error_out(tr->t, "cleaning up failed");
}

CHECK(passes, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, MUST, true, "never seen");
    expect_eq(t, SHOULD, 3, 3, "three");
    note(t, "seen", "%d", 7);
}

CHECK(must_broken, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, SHOULD, false, "a lesser thing");
    expect(t, MUST, 1 + 1 == 3, "sum is %d", 2);
    expect(t, MUST, true, "fine");
}

CHECK(should_broken, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, SHOULD, false, "x");
}

CHECK(nothing_expected, .judges = DEVICE, .proves = "unit.1")
{
    note(t, "only", "a note");
}

CHECK(skips, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, MUST, true, "fine");
    skip_check(t, "no %s here", "widget");
}

CHECK(skips_after_failure, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, MUST, false, "broken");
    skip_check(t, "cannot go on");
}

CHECK(errors_after_failure, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, MUST, false, "broken");
    error_out(t, "no memory");
}

CHECK(stops, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, MUST, false, "broken");
    stop_check(t);
}

CHECK(stops_for_no_reason, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, MUST, true, "fine");
    stop_check(t);
}

CHECK(defers, .judges = DEVICE, .proves = "unit.1")
{
    struct trace *tr = check_subject(t);

    check_defer(t, later_a, tr);
    check_defer(t, later_b, tr);
    expect(t, MUST, true, "fine");
}

CHECK(defers_and_jumps, .judges = DEVICE, .proves = "unit.1")
{
    struct trace *tr = check_subject(t);

    tr->t = t;
    check_defer(t, later_a, tr);
    check_defer(t, later_ends, tr);
    check_defer(t, later_fails, tr);
    check_defer(t, later_b, tr);
    skip_check(t, "left early");
}

CHECK(defers_too_many, .judges = DEVICE, .proves = "unit.1")
{
    for (;;)
        check_defer(t, later_a, check_subject(t));
}

CHECK(many_failures, .judges = DEVICE, .proves = "unit.1")
{
    for (int i = 0; i < 20; i++)
        expect(t, MUST, false, "number %d", i);
}

CHECK(long_text, .judges = DEVICE, .proves = "unit.1")
{
    char text[2000];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    expect(t, MUST, false, "%s", text);
    note(t, text, "%s", text);
}

CHECK(many_notes, .judges = DEVICE, .proves = "unit.1")
{
    expect(t, MUST, true, "fine");
    for (int i = 0; i < 33; i++)
        note(t, "n", "%d", i);
}

static void *expect_elsewhere(void *arg)
{
    expect((struct check_ctx *)arg, MUST, false, "seen by a thread");
    return NULL;
}

CHECK(expects_in_a_thread, .judges = DEVICE, .proves = "unit.1")
{
    pthread_t th;

    ck_assert_int_eq(pthread_create(&th, NULL, expect_elsewhere, t), 0);
    pthread_join(th, NULL);
}

static void *leave_elsewhere(void *arg)
{
    skip_check(arg, "not my stack");
}

CHECK(leaves_in_a_thread, .judges = DEVICE, .proves = "unit.1")
{
    pthread_t th;

    ck_assert_int_eq(pthread_create(&th, NULL, leave_elsewhere, t), 0);
    pthread_join(th, NULL);
}

/* ---- tests ---- */

static struct check_result run(const char *name, struct trace *tr)
{
    const struct check *c = check_find("unit", name);
    struct check_result r;

    ck_assert_msg(c != NULL, "no check %s", name);
    check_run(c, tr, &r);
    return r;
}

START_TEST(outcomes)
{
    static const struct {
        const char *name;
        enum outcome want;
        unsigned expectations, failures;
        const char *reason;
    } table[] = {
        {"passes", PASS, 2, 0, ""},
        {"must_broken", FAIL, 3, 2, ""},
        {"should_broken", WARN, 1, 1, ""},
        {"nothing_expected", ERROR, 0, 0, "no expectation was evaluated"},
        {"skips", SKIP, 1, 0, "no widget here"},
        {"skips_after_failure", FAIL, 1, 1, ""},
        {"errors_after_failure", ERROR, 1, 1, "no memory"},
        {"stops", FAIL, 1, 1, ""},
        {"stops_for_no_reason", ERROR, 1, 0, NULL},
        {"many_failures", FAIL, 20, 20, ""},
        {"many_notes", ERROR, 1, 0, "no room for note n"},
        {"expects_in_a_thread", FAIL, 1, 1, ""},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct trace tr = {0};
        struct check_result r = run(table[i].name, &tr);

        ck_assert_msg(r.outcome == table[i].want, "%s: %s", table[i].name, outcome_name(r.outcome));
        ck_assert_msg(r.expectations == table[i].expectations, "%s: %u expectations", table[i].name,
                      r.expectations);
        ck_assert_msg(r.failure_count == table[i].failures, "%s: %u failures", table[i].name,
                      r.failure_count);
        if (table[i].reason)
            ck_assert_str_eq(r.reason, table[i].reason);
        ck_assert_str_eq(tr.text, "");
    }
}
END_TEST

START_TEST(failures_say_where_and_what)
{
    struct trace tr = {0};
    struct check_result r = run("must_broken", &tr);
    const struct check *c = check_find("unit", "must_broken");

    ck_assert_int_eq(r.failures[0].level, SHOULD);
    ck_assert_int_eq(r.failures[1].level, MUST);
    ck_assert_str_eq(r.failures[1].text, "sum is 2 (expected: 1 + 1 == 3)");
    ck_assert_str_eq(r.failures[1].file, c->file);
    ck_assert_int_gt(r.failures[1].line, c->line);
    ck_assert_int_lt(r.failures[1].line, c->line + 10);
}
END_TEST

START_TEST(first_failures_are_kept)
{
    struct trace tr = {0};
    struct check_result r = run("many_failures", &tr);

    ck_assert_ptr_nonnull(strstr(r.failures[0].text, "number 0"));
    ck_assert_ptr_nonnull(strstr(r.failures[7].text, "number 7"));
}
END_TEST

START_TEST(long_texts_are_cut)
{
    struct trace tr = {0};
    struct check_result r = run("long_text", &tr);

    ck_assert_uint_eq(strlen(r.failures[0].text), sizeof(r.failures[0].text) - 1);
    ck_assert_uint_eq(strlen(r.notes[0].name), sizeof(r.notes[0].name) - 1);
    ck_assert_uint_eq(strlen(r.notes[0].value), sizeof(r.notes[0].value) - 1);
}
END_TEST

START_TEST(defers_run_last_first)
{
    struct trace tr = {0};

    ck_assert_int_eq(run("defers", &tr).outcome, PASS);
    ck_assert_str_eq(tr.text, "ba");
}
END_TEST

START_TEST(defers_run_whatever_happens)
{
    struct trace tr = {0};
    struct check_result r = run("defers_and_jumps", &tr);

    ck_assert_str_eq(tr.text, "bfea");
    ck_assert_int_eq(r.outcome, ERROR);
    ck_assert_str_eq(r.reason, "cleaning up failed");
    ck_assert_uint_eq(r.failure_count, 1);
}
END_TEST

START_TEST(too_many_defers_lose_none)
{
    struct trace tr = {0};
    struct check_result r = run("defers_too_many", &tr);

    ck_assert_int_eq(r.outcome, ERROR);
    ck_assert_uint_eq(strlen(tr.text), sizeof(tr.text) - 1);
}
END_TEST

START_TEST(leaving_from_another_thread_aborts)
{
    struct trace tr = {0};

    run("leaves_in_a_thread", &tr);
}
END_TEST

START_TEST(registry_is_sorted_and_found)
{
    size_t n;
    const struct check *const *all = check_all(&n);

    ck_assert_uint_ge(n, 16);
    for (size_t i = 1; i < n; i++) {
        int c = strcmp(all[i - 1]->family, all[i]->family);

        ck_assert_int_le(c, 0);
        if (c == 0 && strcmp(all[i - 1]->file, all[i]->file) == 0)
            ck_assert_int_lt(all[i - 1]->line, all[i]->line);
    }
    ck_assert_ptr_null(check_find("unit", "pass"));
    ck_assert_ptr_null(check_find("other", "passes"));
    ck_assert(check_matches(check_find("unit", "passes"), "unit.p*"));
    ck_assert(check_matches(check_find("unit", "passes"), "*"));
    ck_assert(!check_matches(check_find("unit", "passes"), "unit.pass"));
    ck_assert(!check_matches(check_find("unit", "passes"), "passes"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("check");
    TCase *c = tcase_create("run");

    tcase_add_test(c, outcomes);
    tcase_add_test(c, failures_say_where_and_what);
    tcase_add_test(c, first_failures_are_kept);
    tcase_add_test(c, long_texts_are_cut);
    tcase_add_test(c, defers_run_last_first);
    tcase_add_test(c, defers_run_whatever_happens);
    tcase_add_test(c, too_many_defers_lose_none);
    tcase_add_test_raise_signal(c, leaving_from_another_thread_aborts, 6 /* SIGABRT */);
    tcase_add_test(c, registry_is_sorted_and_found);
    suite_add_tcase(s, c);
    return unit_run(s);
}
