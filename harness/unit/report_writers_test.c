/* SPDX-License-Identifier: MIT */
/* The result model against hostile text, how outcomes add up, and what a run's status is. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "report/report.h"
#include "report/text.h"
#include "unit/run.h"

/* Everything that some format treats specially, bytes that are no UTF-8, and XML's forbidden. */
static const char hostile[] =
    "a<b>&\"'\\ # SKIP ]]> \x01\x1b[31m \xff\xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xef\xbf\xbe"
    "\nok 9 - forged\r\nnot ok\t\x7f \xc3\xa9 \xf0\x9f\x98\x80 \xe2";

static struct report_cell *cell_with(const char *id, enum outcome o)
{
    struct report_cell *c = report_cell_create(id, "s", "t", "f.yaml", "sim");
    struct report_check *k = report_cell_add_check(c, "blk.x", o);

    report_set(&k->proves, "r.1 r.2");
    if (o == SKIP)
        report_set(&k->reason, "no device");
    return c;
}

static struct report *hostile_report(void)
{
    struct report *r = report_create();
    struct report_cell *c = report_cell_create(hostile, "scenario", hostile, hostile, "sim");

    report_set(&r->run.id, "id");
    report_set(&r->run.command, hostile);
    report_set(&r->run.testbed_note, hostile);
    report_pairs_add(&r->run.versions, hostile, hostile);
    report_pairs_add(&c->axes, hostile, hostile);
    report_pairs_add(&c->metrics, hostile, hostile);
    for (int o = PASS; o <= ERROR; o++) {
        struct report_check *k = report_cell_add_check(c, hostile, (enum outcome)o);
        report_set(&k->reason, hostile);
        report_set(&k->log, hostile);
        report_set(&k->proves, hostile);
        report_check_add_failure(k, MUST, hostile, 12, hostile);
        report_pairs_add(&k->notes, hostile, hostile);
    }
    report_cell_worsen(c, ERROR, hostile);
    report_cell_settle(c);
    report_add_cell(r, c);
    r->run.cells_planned = 1;
    return r;
}

static char *written(void (*write)(const struct report *, FILE *), const struct report *r)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    write(r, f);
    fclose(f);
    ck_assert_uint_eq(strlen(text), size);
    return text;
}

static void summary(const struct report *r, FILE *f)
{
    const struct report_style style = {.colour = false, .rerun = "ringproof run"};
    report_write_summary(r, &style, f);
}

START_TEST(clean_text)
{
    char *t = text_clean(hostile);

    /* jansson refuses what is no UTF-8. */
    json_t *j = json_string(t);
    ck_assert_ptr_nonnull(j);
    json_decref(j);
    ck_assert_ptr_null(strchr(t, 0x1b));
    ck_assert_ptr_null(strchr(t, '\r'));
    ck_assert_ptr_null(strchr(t, 0x7f));
    ck_assert_ptr_nonnull(strstr(t, "\xc3\xa9 \xf0\x9f\x98\x80"));
    ck_assert_ptr_null(strstr(t, "\xef\xbf\xbe"));
    free(t);
}
END_TEST

START_TEST(json_round_trip)
{
    struct report *r = hostile_report();
    json_t *whole = report_to_json(r);
    ck_assert_ptr_nonnull(whole);

    json_t *cells = json_object_get(whole, "cells");
    struct report_cell *back;
    char why[128];
    ck_assert_int_eq(report_cell_from_json(json_array_get(cells, 0), &back, why, sizeof(why)), 0);
    json_t *again = report_cell_to_json(back);
    ck_assert(json_equal(json_array_get(cells, 0), again));
    ck_assert_int_eq(back->outcome, ERROR);

    /* Any member missing or of another type is refused. */
    const char *key;
    json_t *value;
    void *tmp;
    json_object_foreach_safe(again, tmp, key, value)
    {
        json_t *cut = json_deep_copy(again);
        struct report_cell *none;
        if (!strcmp(key, "part"))
            json_object_del(cut, key); /* null means something there */
        else
            json_object_set_new(cut, key, json_null());
        ck_assert_msg(report_cell_from_json(cut, &none, why, sizeof(why)) != 0, "%s", key);
        ck_assert_ptr_null(none);
        json_decref(cut);
    }
    json_decref(again);
    report_cell_destroy(back);
    json_decref(whole);
    report_destroy(r);
}
END_TEST

START_TEST(tap_cannot_be_forged)
{
    struct report *r = hostile_report();
    char *t = written(report_write_tap, r), *save = NULL;
    unsigned oks = 0, not_oks = 0, in_block = 0;

    ck_assert(!strncmp(t, "TAP version 14\n1..1\n", 20));
    for (char *line = strtok_r(t, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *body = line + strspn(line, " ");
        if (!strcmp(body, "---"))
            in_block = 1;
        if (!in_block && !strncmp(body, "ok ", 3))
            oks++;
        if (!in_block && !strncmp(body, "not ok ", 7))
            not_oks++;
        if (!strcmp(body, "..."))
            in_block = 0;
        ck_assert_ptr_null(strchr(line, '\r'));
    }
    /* PASS SKIP WARN are ok; KNOWN FAIL CRASH ERROR and the cell are not. */
    ck_assert_uint_eq(oks, 3);
    ck_assert_uint_eq(not_oks, 5);
    free(t);
    report_destroy(r);
}
END_TEST

/* A small scanner: every '<' begins an element of ours, attributes are quoted, tags nest. */
START_TEST(xml_is_well_formed)
{
    struct report *r = hostile_report();
    char *t = written(report_write_junit, r);
    unsigned depth = 0, elements = 0;

    for (const char *c = strstr(t, "?>") + 2; *c; c++) {
        ck_assert((unsigned char)*c >= 0x20 || *c == '\n');
        if (*c != '<') {
            if (*c == '&')
                ck_assert(!strncmp(c, "&lt;", 4) || !strncmp(c, "&gt;", 4) ||
                          !strncmp(c, "&amp;", 5) || !strncmp(c, "&quot;", 6) ||
                          !strncmp(c, "&#10;", 5) || !strncmp(c, "&#9;", 4));
            continue;
        }
        bool closing = c[1] == '/', quoted = false;
        elements++;
        for (c++; *c != '>' || quoted; c++) {
            ck_assert_msg(*c && *c != '<', "an attribute with '<'");
            quoted ^= *c == '"';
        }
        if (closing)
            depth--;
        else if (c[-1] != '/')
            depth++;
    }
    ck_assert_uint_eq(depth, 0);
    ck_assert_uint_gt(elements, 20);
    ck_assert_ptr_nonnull(strstr(t, "tests=\"8\" failures=\"2\" errors=\"2\" skipped=\"2\""));
    free(t);
    report_destroy(r);
}
END_TEST

START_TEST(summary_has_no_controls)
{
    struct report *r = hostile_report();
    char *t = written(summary, r);

    for (const char *c = t; *c; c++)
        ck_assert((unsigned char)*c >= 0x20 || *c == '\n');
    ck_assert_ptr_nonnull(strstr(t, "\n3 passed, 3 failed, 1 skipped\n"));
    free(t);
    report_destroy(r);
}
END_TEST

static const struct {
    enum outcome checks[4];
    unsigned count;
    enum outcome cell;
    enum outcome want;
} settle_rows[] = {
    {{PASS}, 0, PASS, ERROR}, /* nothing at all: no silent green */
    {{PASS}, 0, SKIP, SKIP},         {{PASS}, 0, CRASH, CRASH},
    {{PASS, PASS}, 2, PASS, PASS},   {{PASS, SKIP}, 2, PASS, PASS},
    {{SKIP, SKIP}, 2, PASS, SKIP},   {{PASS, WARN}, 2, PASS, WARN},
    {{KNOWN, SKIP}, 2, PASS, KNOWN}, {{FAIL, WARN, PASS}, 3, PASS, FAIL},
    {{FAIL, CRASH}, 2, PASS, CRASH}, {{CRASH, ERROR, FAIL}, 3, PASS, ERROR},
    {{PASS, FAIL}, 2, ERROR, ERROR}, {{PASS, FAIL}, 2, SKIP, FAIL},
};

START_TEST(outcomes_add_up)
{
    struct report_cell *c = report_cell_create("i", "s", "t", "f", "sim");

    for (unsigned i = 0; i < settle_rows[_i].count; i++)
        report_cell_add_check(c, "a.b", settle_rows[_i].checks[i]);
    report_cell_worsen(c, settle_rows[_i].cell, "why");
    report_cell_settle(c);
    ck_assert_int_eq(c->outcome, settle_rows[_i].want);
    report_cell_destroy(c);
}
END_TEST

static const struct {
    enum outcome cells[3];
    unsigned count, planned;
    bool interrupted;
    enum report_status want;
} status_rows[] = {
    {{PASS}, 1, 1, false, REPORT_PASSED},
    {{PASS, SKIP}, 2, 2, false, REPORT_PASSED},
    {{WARN}, 1, 1, false, REPORT_PASSED},
    {{SKIP, SKIP}, 2, 2, false, REPORT_HARNESS_ERROR}, /* nothing was tested */
    {{PASS}, 0, 0, false, REPORT_HARNESS_ERROR},
    {{PASS, FAIL}, 2, 2, false, REPORT_SUBJECT_FAILED},
    {{CRASH}, 1, 1, false, REPORT_SUBJECT_FAILED},
    {{FAIL, ERROR}, 2, 2, false, REPORT_HARNESS_ERROR}, /* the worst wins */
    {{PASS}, 1, 1, true, REPORT_HARNESS_ERROR},
    {{PASS}, 1, 2, false, REPORT_HARNESS_ERROR}, /* a cell is missing */
    {{KNOWN}, 1, 1, false, REPORT_PASSED},
};

START_TEST(run_status)
{
    struct report *r = report_create();

    for (unsigned i = 0; i < status_rows[_i].count; i++) {
        struct report_cell *c = cell_with("c", status_rows[_i].cells[i]);
        report_cell_settle(c);
        report_add_cell(r, c);
    }
    r->run.cells_planned = status_rows[_i].planned;
    r->run.interrupted = status_rows[_i].interrupted;
    ck_assert_int_eq(report_status(r), status_rows[_i].want);
    report_destroy(r);
}
END_TEST

START_TEST(worse_only)
{
    struct report_cell *c = cell_with("c", FAIL);

    report_check_worsen(&c->checks[0], SKIP, "no");
    ck_assert_int_eq(c->checks[0].outcome, FAIL);
    ck_assert_str_eq(c->checks[0].reason, "");
    report_check_worsen(&c->checks[0], CRASH, "died");
    ck_assert_str_eq(c->checks[0].reason, "died");
    report_cell_worsen(c, ERROR, "first");
    report_cell_worsen(c, ERROR, "second");
    ck_assert_str_eq(c->reason, "first");
    report_cell_destroy(c);
}
END_TEST

START_TEST(holes)
{
    struct report *r = report_create();
    struct report_pairs h;
    struct report_cell *c = cell_with("c", SKIP);

    report_add_cell(r, c);
    report_holes(r, &h);
    ck_assert_uint_eq(h.count, 2);
    ck_assert_str_eq(h.items[0].name, "r.1");
    ck_assert_str_eq(h.items[0].value, "no device");
    report_pairs_fini(&h);

    /* Judged once anywhere, it is a hole no more. */
    struct report_cell *d = report_cell_create("d", "s", "t", "f", "sim");
    report_set(&report_cell_add_check(d, "blk.y", FAIL)->proves, "r.2 r.3");
    report_add_cell(r, d);
    report_holes(r, &h);
    ck_assert_uint_eq(h.count, 1);
    ck_assert_str_eq(h.items[0].name, "r.1");
    report_pairs_fini(&h);
    report_destroy(r);
}
END_TEST

/* Every line is one of the format's own, whatever names and texts are. */
START_TEST(ktap_cannot_be_forged)
{
    struct report *r = hostile_report();
    char *text = NULL, *save = NULL;
    unsigned results = 0, checks = 0;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    report_write_ktap(r, f);
    fclose(f);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *body = line + strspn(line, " ");
        bool result = !strncmp(body, "ok ", 3) || !strncmp(body, "not ok ", 7);

        ck_assert_msg(result || !strncmp(body, "KTAP version 1", 14) || !strncmp(body, "1..", 3) ||
                          !strncmp(body, "# ", 2),
                      "'%s'", line);
        results += result;
    }
    for (unsigned i = 0; i < r->cell_count; i++)
        checks += r->cells[i]->check_count;
    ck_assert_uint_eq(results, checks + r->cell_count);
    free(text);
    report_destroy(r);
}
END_TEST

START_TEST(kcidb_has_every_check)
{
    struct report *r = hostile_report();
    unsigned checks = 0;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    report_write_kcidb(r, f);
    fclose(f);
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *t;
    const json_t *tests = json_object_get(o, "tests");
    size_t i;

    for (unsigned c = 0; c < r->cell_count; c++)
        checks += r->cells[c]->check_count;
    ck_assert_uint_eq(json_array_size(tests), checks);
    json_array_foreach(tests, i, t)
    {
        const char *path = json_string_value(json_object_get(t, "path"));

        ck_assert_uint_eq(strspn(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789-_."),
                          strlen(path));
    }
    json_decref(o);
    free(text);
    report_destroy(r);
}
END_TEST

START_TEST(files_are_whole)
{
    char dir[] = "/tmp/rp-report-XXXXXX", why[512], path[64];
    static const char *const names[] = {"result.json", "result.tap", "result.ktap", "result.xml",
                                        "result.kcidb.json"};
    struct report *r = hostile_report();

    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_msg(!report_write_files(r, dir, why, sizeof(why)), "%s", why);
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct stat st;
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_int_gt(st.st_size, 100);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(dir), 0); /* and nothing else was left in it */
    ck_assert_int_ne(report_write_files(r, dir, why, sizeof(why)), 0);
    ck_assert_ptr_nonnull(strstr(why, "result.json: No such file"));
    report_destroy(r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *tc = tcase_create("writers");

    tcase_add_test(tc, clean_text);
    tcase_add_test(tc, json_round_trip);
    tcase_add_test(tc, tap_cannot_be_forged);
    tcase_add_test(tc, xml_is_well_formed);
    tcase_add_test(tc, summary_has_no_controls);
    tcase_add_loop_test(tc, outcomes_add_up, 0, sizeof(settle_rows) / sizeof(settle_rows[0]));
    tcase_add_loop_test(tc, run_status, 0, sizeof(status_rows) / sizeof(status_rows[0]));
    tcase_add_test(tc, worse_only);
    tcase_add_test(tc, holes);
    tcase_add_test(tc, ktap_cannot_be_forged);
    tcase_add_test(tc, kcidb_has_every_check);
    tcase_add_test(tc, files_are_whole);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
