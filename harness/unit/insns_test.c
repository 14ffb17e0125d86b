/* SPDX-License-Identifier: MIT */
/* Runs of bench --instructions whose difference is known, and the schema of their file. */
#include <check.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "insns/insns.h"
#include "unit/run.h"
#include "unit/schema.h"

static void note_row(struct report_check *k, const char *row, const char *median)
{
    report_pairs_add(&k->notes, "row", row);
    report_pairs_add(&k->notes, "median", median);
    report_pairs_add(&k->notes, "low", "1");
    report_pairs_add(&k->notes, "high", "1000000");
}

/* A cell of requests with one row. */
static struct report_cell *cell_of(const char *arch, const char *row, const char *median)
{
    struct report_cell *c = report_cell_create("id", "scenario", "", "", "qemu");
    struct report_check *k = report_cell_add_check(c, "request.blk_costs", PASS);

    report_pairs_add(&c->axes, "arch", arch);
    report_pairs_add(&c->axes, "addressing", "grants");
    report_pairs_add(&c->axes, "memory", "grant-map");
    report_pairs_add(&k->notes, "compiler", "12.2.0");
    note_row(k, row, median);
    return c;
}

struct world {
    const char *row, *boots[2];
    const char *qemu;
};

static const struct world usual = {"read 4 KiB", {"1000.0", "1001.0"}, "7.2"};

static json_t *run_of(const struct world *w)
{
    struct insns n = {.id = "id", .started = "2026-01-01T00:00:00Z", .version = "v", .boots = 2};
    json_t *o;

    report_pairs_add(&n.machine, "x86.xen", "4.17");
    report_pairs_add(&n.machine, "x86.linux", "6.12");
    report_pairs_add(&n.machine, "x86.qemu", w->qemu);
    for (unsigned i = 0; i < 2; i++) {
        struct report_cell *c = cell_of("x86", w->row, w->boots[i]);

        ck_assert_int_eq(insns_take(&n, c), 0);
        report_cell_destroy(c);
    }
    ck_assert_uint_eq(n.row_count, 1);
    ck_assert_uint_eq(n.rows[0].boot_count, 2);
    o = insns_to_json(&n);
    insns_fini(&n);
    return o;
}

static void judged(const struct world *before, const struct world *after, enum sample_verdict want,
                   const char *why)
{
    json_t *a = run_of(before), *b = run_of(after);
    struct insns_comparison c;

    ck_assert_int_eq(insns_compare(a, b, &c), 0);
    ck_assert_uint_eq(c.count, 1);
    ck_assert_int_eq(c.changes[0].verdict, want);
    ck_assert_uint_eq(c.verdicts[want], 1);
    if (why)
        ck_assert_str_eq(c.changes[0].why, why);
    else
        ck_assert_ptr_null(c.changes[0].why);
    insns_comparison_fini(&c);
    json_decref(a);
    json_decref(b);
}

START_TEST(same_is_same)
{
    judged(&usual, &usual, SAMPLE_SAME, NULL);
}
END_TEST

/* Half a per cent, and what the boots differ by, 0.1 % in each run. */
START_TEST(one_by_one_a_little_is_found)
{
    static const struct world dearer = {"read 4 KiB", {"1008.0", "1009.0"}, "7.2"};
    static const struct world cheaper = {"read 4 KiB", {"992.0", "993.0"}, "7.2"};
    static const struct world hardly = {"read 4 KiB", {"1005.0", "1007.0"}, "7.2"};

    judged(&usual, &dearer, SAMPLE_WORSE, NULL);
    judged(&usual, &cheaper, SAMPLE_BETTER, NULL);
    judged(&usual, &hardly, SAMPLE_SAME, NULL);
}
END_TEST

START_TEST(queued_needs_more)
{
    static const struct world queued = {"read 4 KiB, 16 queued", {"1000.0", "1001.0"}, "7.2"};
    static const struct world little = {"read 4 KiB, 16 queued", {"1020.0", "1020.0"}, "7.2"};
    static const struct world much = {"read 4 KiB, 16 queued", {"1040.0", "1040.0"}, "7.2"};

    static const struct world pages = {"grant map, 16 pages", {"1000.0", "1001.0"}, "7.2"};
    static const struct world many = {"grant map, 16 pages", {"1040.0", "1040.0"}, "7.2"};

    judged(&queued, &little, SAMPLE_SAME, NULL);
    judged(&queued, &much, SAMPLE_WORSE, NULL);
    judged(&pages, &many, SAMPLE_SAME, NULL);
}
END_TEST

/* Boots that differ by as much as the runs do prove nothing. */
START_TEST(boots_that_differ_hide_changes)
{
    static const struct world loud = {"read 4 KiB", {"990.0", "1020.0"}, "7.2"};

    judged(&usual, &loud, SAMPLE_SAME, NULL);
}
END_TEST

START_TEST(other_versions_are_not_compared)
{
    static const struct world newer = {"read 4 KiB", {"2000.0", "2000.0"}, "10.0"};
    json_t *a = run_of(&usual), *b = run_of(&newer);
    struct insns_comparison c;

    judged(&usual, &newer, SAMPLE_UNKNOWN, "of other versions");
    ck_assert_int_eq(insns_compare(a, b, &c), 0);
    ck_assert_str_eq(c.apart, "x86.qemu '7.2', now '10.0'");
    insns_comparison_fini(&c);
    json_decref(a);
    json_decref(b);
}
END_TEST

START_TEST(row_that_is_not_there)
{
    static const struct world other = {"write 4 KiB", {"1.0", "1.0"}, "7.2"};
    json_t *a = run_of(&usual), *b = run_of(&other);
    struct insns_comparison c;

    ck_assert_int_eq(insns_compare(a, b, &c), 0);
    ck_assert_uint_eq(c.count, 2);
    ck_assert_uint_eq(c.verdicts[SAMPLE_UNKNOWN], 2);
    ck_assert_str_eq(c.changes[0].why, "not measured before");
    ck_assert_str_eq(c.changes[1].why, "not measured now");
    insns_comparison_fini(&c);
    json_decref(a);
    json_decref(b);
}
END_TEST

START_TEST(notes_that_are_none)
{
    static const char *const medians[] = {"", "fast", "-1", "0", "nan", "2000000"};

    for (size_t i = 0; i < sizeof(medians) / sizeof(medians[0]); i++) {
        struct report_cell *c = cell_of("x86", "read 4 KiB", medians[i]);
        struct insns n = {.boots = 1};

        ck_assert_int_eq(insns_take(&n, c), -EPROTO);
        insns_fini(&n);
        report_cell_destroy(c);
    }
}
END_TEST

/* What a check that failed has measured is not what it was to measure. */
START_TEST(failed_checks_have_no_values)
{
    struct report_cell *c = cell_of("x86", "read 4 KiB", "1000");
    struct insns n = {.boots = 1};

    c->checks[0].outcome = FAIL;
    ck_assert_int_eq(insns_take(&n, c), 0);
    ck_assert_uint_eq(n.row_count, 0);
    insns_fini(&n);
    report_cell_destroy(c);
}
END_TEST

START_TEST(counts_go_to_the_same_request)
{
    struct report_cell *arm = cell_of("arm", "read 4 KiB", "1000"), *x86, *counted;
    struct insns n = {.boots = 1};
    struct report_check *k;

    x86 = cell_of("x86", "read 4 KiB, 16 queued", "1000");
    counted = cell_of("x86", "", "1");
    k = report_cell_add_check(counted, "memory.requests_cost_what_they_cost", PASS);
    report_pairs_add(&k->notes, "row", "read 4 KiB");
    report_pairs_add(&k->notes, "traps", "1");
    report_pairs_add(&k->notes, "row", "write 4 KiB");
    report_pairs_add(&k->notes, "traps", "2");
    ck_assert_int_eq(insns_take(&n, arm), 0);
    ck_assert_int_eq(insns_take(&n, x86), 0);
    insns_count(&n, counted);
    ck_assert_str_eq(n.rows[0].name, "arm: grants, grant-map: read 4 KiB");
    ck_assert_uint_eq(n.rows[0].counts.count, 1);
    ck_assert_str_eq(n.rows[0].counts.items[0].value, "1");
    /* Of several that are queued nobody has counted one. */
    ck_assert_uint_eq(n.rows[1].counts.count, 0);
    insns_fini(&n);
    report_cell_destroy(arm);
    report_cell_destroy(x86);
    report_cell_destroy(counted);
}
END_TEST

START_TEST(files_of_anybody)
{
    static const char *const bad[] = {
        "{}",
        "{\"rows\": 1}",
        "{\"rows\": [1]}",
        "{\"rows\": [{\"name\": \"a\", \"arch\": \"x86\"}]}",
        "{\"rows\": [{\"name\": \"a\", \"arch\": \"x86\", \"value\": -1, \"difference\": 0}]}",
        "{\"rows\": [{\"name\": \"a\", \"arch\": \"x86\", \"value\": 1, \"difference\": \"0\"}]}",
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        json_t *good = run_of(&usual), *o = json_loads(bad[i], 0, NULL);
        struct insns_comparison c;

        ck_assert_ptr_nonnull(o);
        ck_assert_int_eq(insns_compare(good, o, &c), -EPROTO);
        ck_assert_int_eq(insns_compare(o, good, &c), -EPROTO);
        json_decref(good);
        json_decref(o);
    }
}
END_TEST

START_TEST(files_keep_the_schema)
{
    json_t *schema = json_load_file("results/schema/instructions.schema.json", 0, NULL);
    json_t *o = run_of(&usual);
    char why[512];

    ck_assert_ptr_nonnull(schema);
    ck_assert_msg(schema_check(schema, o, why, sizeof(why)) == 0, "%s", why);
    json_object_set_new(o, "kind", json_string("bench"));
    ck_assert_int_eq(schema_check(schema, o, why, sizeof(why)), -EINVAL);
    json_decref(o);
    json_decref(schema);
}
END_TEST

START_TEST(baselines_keep_the_schema)
{
    json_t *schema = json_load_file("results/schema/instructions.schema.json", 0, NULL);
    glob_t found;

    ck_assert_ptr_nonnull(schema);
    ck_assert_int_eq(glob("results/baselines/*/instructions.json", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        json_t *o = json_load_file(found.gl_pathv[i], 0, NULL);
        struct insns_comparison c;
        char why[512];

        ck_assert_msg(schema_check(schema, o, why, sizeof(why)) == 0, "%s: %s", found.gl_pathv[i],
                      why);
        ck_assert_int_eq(insns_compare(o, o, &c), 0);
        ck_assert_uint_eq(c.verdicts[SAMPLE_SAME], c.count);
        insns_comparison_fini(&c);
        json_decref(o);
    }
    globfree(&found);
    json_decref(schema);
}
END_TEST

START_TEST(table_has_every_row)
{
    json_t *o = run_of(&usual);
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    insns_write_markdown(o, f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, "read 4 KiB"));
    ck_assert_ptr_nonnull(strstr(text, "0.10 %"));
    free(text);
    json_decref(o);
}
END_TEST

static char *script_of(const json_t *o, enum insns_plot which, unsigned values)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    ck_assert_uint_eq(insns_write_plot(o, which, f), values);
    fclose(f);
    return text;
}

/* Requests have three parts, primitives two; what one picture shows the other does not. */
START_TEST(pictures_have_every_row)
{
    json_t *o = run_of(&usual), *row = json_array_get(json_object_get(o, "rows"), 0);
    char *text = script_of(o, INSNS_PLOT_REQUESTS, 1);

    ck_assert_ptr_nonnull(strstr(text, "\"grants, grant-map\" 1.0005 0.001 1000\n"));
    ck_assert_ptr_nonnull(strstr(text, "set title \"x86\""));
    ck_assert_ptr_nonnull(strstr(text, "title \"read 4 KiB\""));
    free(text);
    free(script_of(o, INSNS_PLOT_PRIMITIVES, 0));

    json_object_set_new(row, "name", json_string("arm: hypercall"));
    text = script_of(o, INSNS_PLOT_PRIMITIVES, 1);
    ck_assert_ptr_nonnull(strstr(text, "\"hypercall\" 1.0005 0.001 1000\n"));
    ck_assert_ptr_nonnull(strstr(text, "title \"arm\""));
    free(text);
    free(script_of(o, INSNS_PLOT_REQUESTS, 0));
    json_decref(o);
}
END_TEST

START_TEST(pictures_of_anybody)
{
    static const char *const names[] = {"", ":", ": ", "a", "a: ", ": b", "a: : b", "a: b: "};
    json_t *o = run_of(&usual), *row = json_array_get(json_object_get(o, "rows"), 0);
    char *text;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        json_object_set_new(row, "name", json_string(names[i]));
        free(script_of(o, INSNS_PLOT_REQUESTS, 0));
        free(script_of(o, INSNS_PLOT_PRIMITIVES, 0));
    }
    json_object_set_new(row, "name", json_string("x86: \"\nsystem('false')\n: `false`"));
    text = script_of(o, INSNS_PLOT_REQUESTS, 1);
    ck_assert_ptr_null(strstr(text, "\nsystem"));
    ck_assert_ptr_null(strstr(text, "`"));
    free(text);
    json_object_del(o, "rows");
    free(script_of(o, INSNS_PLOT_REQUESTS, 0));
    json_decref(o);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("insns");
    TCase *tc = tcase_create("instructions");

    tcase_add_test(tc, same_is_same);
    tcase_add_test(tc, one_by_one_a_little_is_found);
    tcase_add_test(tc, queued_needs_more);
    tcase_add_test(tc, boots_that_differ_hide_changes);
    tcase_add_test(tc, other_versions_are_not_compared);
    tcase_add_test(tc, row_that_is_not_there);
    tcase_add_test(tc, notes_that_are_none);
    tcase_add_test(tc, failed_checks_have_no_values);
    tcase_add_test(tc, counts_go_to_the_same_request);
    tcase_add_test(tc, files_of_anybody);
    tcase_add_test(tc, files_keep_the_schema);
    tcase_add_test(tc, baselines_keep_the_schema);
    tcase_add_test(tc, table_has_every_row);
    tcase_add_test(tc, pictures_have_every_row);
    tcase_add_test(tc, pictures_of_anybody);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
