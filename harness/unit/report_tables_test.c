/* SPDX-License-Identifier: MIT */
/* Tables of a report: which notes become which rows, and that no text in them forges another. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"
#include "unit/run.h"

static struct report_check *cell_of(struct report *r, const char *scenario, const char *testbed,
                                    const char *how, const char *column)
{
    char id[64];

    snprintf(id, sizeof(id), "%s[how=%s]", scenario, how);
    struct report_cell *c = report_cell_create(id, scenario, "t", "f.yaml", testbed);
    report_pairs_add(&c->axes, "how", how);
    report_cell_set_table(c, "paths");
    report_cell_add_column(c, column);
    report_cell_add_column(c, "count");
    struct report_check *k = report_cell_add_check(c, "x.y", PASS);
    report_cell_settle(c);
    report_add_cell(r, c);
    return k;
}

static char *markdown(const struct report *r)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    report_write_tables_markdown(r, f);
    fclose(f);
    return text;
}

static void check_markdown(const struct report *r, const char *want)
{
    char *text = markdown(r), *table = strstr(text, "\n|");

    ck_assert_ptr_nonnull(table);
    ck_assert_str_eq(table + 1, want);
    free(text);
}

START_TEST(notes_become_columns)
{
    struct report *r = report_create();
    struct report_check *k = cell_of(r, "s", "sim", "a", "time [ms]");

    report_pairs_add(&k->notes, "time", "1");
    report_pairs_add(&k->notes, "time [ms]", "2"); /* another name */
    report_pairs_add(&k->notes, "tim", "3");
    report_pairs_add(&k->notes, "time", "4"); /* the last one counts */
    report_pairs_add(&r->cells[0]->metrics, "count", "9");
    check_markdown(r, "| how | time \\[ms\\] | count | outcome |\n|---|---|---|---|\n"
                      "| a | 4 | 9 | PASS |\n");
    report_destroy(r);
}
END_TEST

START_TEST(a_check_has_several_rows)
{
    struct report *r = report_create();
    struct report_check *k = cell_of(r, "s", "sim", "a", "time");

    report_pairs_add(&k->notes, "row", "one");
    report_pairs_add(&k->notes, "time", "1");
    report_pairs_add(&k->notes, "row", "two");
    report_pairs_add(&k->notes, "time", "2");
    k = report_cell_add_check(r->cells[0], "x.z", PASS);
    report_pairs_add(&k->notes, "row", "one");
    report_pairs_add(&k->notes, "count", "7");
    /* The same keys in another cell are other rows. */
    k = cell_of(r, "s", "sim", "b", "time");
    report_pairs_add(&k->notes, "row", "one");
    check_markdown(r, "| how | row | time | count | outcome |\n|---|---|---|---|---|\n"
                      "| a | one | 1 | 7 | PASS |\n| a | two | 2 | - | PASS |\n"
                      "| b | one | - | - | PASS |\n");
    report_destroy(r);
}
END_TEST

START_TEST(several_testbeds_and_scenarios_are_keys)
{
    struct report *r = report_create();

    cell_of(r, "s", "sim", "a", "time");
    cell_of(r, "s", "qemu", "a", "traps");
    struct report_check *k = cell_of(r, "z", "qemu", "a", "traps");
    report_pairs_add(&k->notes, "traps", "3");
    check_markdown(r, "| scenario | testbed | how | time | count | traps | outcome |\n"
                      "|---|---|---|---|---|---|---|\n| s | sim | a | - | - | - | PASS |\n"
                      "| s | qemu | a | - | - | - | PASS |\n| z | qemu | a | - | - | 3 | PASS |\n");
    report_destroy(r);
}
END_TEST

START_TEST(a_cell_without_figures_says_why)
{
    struct report *r = report_create();
    struct report_check *k = cell_of(r, "s", "sim", "a", "time");

    report_check_worsen(k, SKIP, "not here");
    report_cell_settle(r->cells[0]);
    k = cell_of(r, "s", "sim", "b", "time");
    report_check_add_failure(k, MUST, "f.c", 1, "broken | here");
    report_check_worsen(k, FAIL, "");
    report_cell_settle(r->cells[1]);
    check_markdown(r, "| how | time | count | outcome |\n|---|---|---|---|\n"
                      "| a | - | - | SKIP: not here |\n| b | - | - | FAIL: broken \\| here |\n");
    report_destroy(r);
}
END_TEST

/* What a file says of tables has to be what its cells say. */
START_TEST(tables_are_computed)
{
    struct report *r = report_create();
    struct report_check *k = cell_of(r, "s", "sim", "a", "time");
    char path[] = "/tmp/rp-tables-XXXXXX", why[512];
    struct report *back = NULL;
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");

    report_pairs_add(&k->notes, "time", "1");
    report_set(&r->run.testbed, "sim");
    r->run.cells_planned = 1;
    json_t *o = report_to_json(r);
    json_dumpf(o, f, 0);
    fflush(f);
    ck_assert_msg(!report_load(path, &back, why, sizeof(why)), "%s", why);
    json_t *again = report_to_json(back);
    ck_assert(json_equal(o, again));
    json_decref(again);
    report_destroy(back);

    json_t *row =
        json_array_get(json_object_get(json_array_get(json_object_get(o, "tables"), 0), "rows"), 0);
    json_array_set_new(json_object_get(row, "values"), 0, json_string("2"));
    rewind(f);
    json_dumpf(o, f, 0);
    fclose(f);
    ck_assert_int_ne(report_load(path, &back, why, sizeof(why)), 0);
    ck_assert_ptr_nonnull(strstr(why, "tables: not what the cells say"));
    json_decref(o);
    report_destroy(r);
    remove(path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tables");
    TCase *tc = tcase_create("tables");

    tcase_add_test(tc, notes_become_columns);
    tcase_add_test(tc, a_check_has_several_rows);
    tcase_add_test(tc, several_testbeds_and_scenarios_are_keys);
    tcase_add_test(tc, a_cell_without_figures_says_why);
    tcase_add_test(tc, tables_are_computed);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
