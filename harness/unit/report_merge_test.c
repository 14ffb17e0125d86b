/* SPDX-License-Identifier: MIT */
/* Results read back from files of any kind, merged, and testbeds laid side by side. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "report/report.h"
#include "unit/run.h"
#include "util/bits.h"

static char dir[64];

static void make_dir(void)
{
    snprintf(dir, sizeof(dir), "/tmp/rp-merge-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    static const char *const names[] = {"result.json", "result.tap",        "result.ktap",
                                        "result.xml",  "result.kcidb.json", "equivalence.md",
                                        "other.json"};
    char path[128];

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}

/* ---- building ---- */

static struct report *run_on(const char *testbed)
{
    struct report *r = report_create();

    report_set(&r->run.id, "20261120T101500Z-1");
    report_set(&r->run.started, "2026-11-20T10:15:00Z");
    report_set(&r->run.testbed, testbed);
    report_set(&r->run.testbed_note, testbed);
    report_set(&r->run.selection, "abi");
    report_pairs_add(&r->run.versions, "ringproof", "v1");
    return r;
}

/* A cell of scenario "abi" on an architecture. */
static struct report_cell *add_cell(struct report *r, const char *arch)
{
    char id[64];

    snprintf(id, sizeof(id), "abi[arch=%s]", arch);
    struct report_cell *c = report_cell_create(id, "abi", "t", "abi.yaml", r->run.testbed);
    report_pairs_add(&c->axes, "arch", arch);
    report_add_cell(r, c);
    r->run.cells_planned++;
    return c;
}

static struct report_check *add_check(struct report_cell *c, const char *name, enum outcome o,
                                      const char *note)
{
    struct report_check *k = report_cell_add_check(c, name, o);

    report_set(&k->proves, "r.1");
    k->expectations = 1;
    if (o == SKIP)
        report_set(&k->reason, note);
    else if (note)
        report_pairs_add(&k->notes, "seen", note);
    return k;
}

static void settle(struct report *r)
{
    for (unsigned i = 0; i < r->cell_count; i++)
        report_cell_settle(r->cells[i]);
}

/* Takes the reports over. */
static struct report *merged(struct report *const *list, unsigned count)
{
    struct report *r = report_create();
    char name[32];

    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "result-%u", i);
        settle(list[i]);
        report_merge(r, list[i], name);
        report_destroy(list[i]);
    }
    return r;
}

static int finish(struct report *r, bool partial, unsigned at_least)
{
    const struct report_merge_options o = {
        .partial = partial, .compare = at_least > 0, .at_least = at_least};
    static char why[256];

    return report_merge_finish(r, &o, why, sizeof(why));
}

static const struct report_check *own_check(const struct report *r, const char *name)
{
    const struct report_cell *c = r->cell_count ? r->cells[r->cell_count - 1] : NULL;

    for (unsigned i = 0; c && c->part == REPORT_OWN && i < c->check_count; i++)
        if (!strcmp(c->checks[i].name, name))
            return &c->checks[i];
    return NULL;
}

/* ---- shards ---- */

static struct report *shard(unsigned index, unsigned count, const char *arch)
{
    struct report *r = run_on("sim");

    r->run.shard_index = index;
    r->run.shard_count = count;
    r->run.seed = index;
    r->run.duration_ns = 5;
    add_check(add_cell(r, arch), "abi.a", PASS, "1");
    return r;
}

START_TEST(shards_become_one)
{
    struct report *r = merged((struct report *[]){shard(2, 2, "x86"), shard(1, 2, "arm")}, 2);
    struct report_totals t;

    ck_assert_int_eq(finish(r, false, 0), 0);
    ck_assert_int_eq(report_status(r), REPORT_PASSED);
    ck_assert_int_eq(own_check(r, "merge.shards")->outcome, PASS);
    ck_assert_ptr_null(own_check(r, "merge.equivalence")); /* one testbed */
    ck_assert_ptr_null(r->equivalence);
    ck_assert_uint_eq(r->run.cells_planned, 3);
    ck_assert_uint_eq(r->run.duration_ns, 10);
    ck_assert_uint_eq(r->run.seed, 0); /* they differ: each part has its own */
    ck_assert_uint_eq(r->parts[0].run.seed, 2);
    ck_assert_int_eq(r->cells[1]->part, 1);
    ck_assert_str_eq(r->run.testbed, "sim");
    report_totals(r, &t);
    ck_assert_uint_eq(t.checks[PASS], 3);
    report_destroy(r);
}
END_TEST

START_TEST(whole_runs_have_nothing_to_judge)
{
    struct report *r = merged((struct report *[]){shard(1, 1, "x86")}, 1);

    ck_assert_int_eq(finish(r, false, 0), 0);
    ck_assert_uint_eq(r->cell_count, 1);
    report_destroy(r);
}
END_TEST

START_TEST(missing_shards_are_named)
{
    for (int partial = 0; partial < 2; partial++) {
        struct report *r = merged((struct report *[]){shard(2, 4, "x86"), shard(3, 4, "arm")}, 2);

        ck_assert_int_eq(finish(r, partial, 0), 0);
        const struct report_check *k = own_check(r, "merge.shards");
        ck_assert_str_eq(k->reason, "missing: shard 1/4 of 'abi' on sim, 4/4 of 'abi' on sim");
        ck_assert_int_eq(k->outcome, partial ? SKIP : ERROR);
        ck_assert_int_eq(report_status(r), partial ? REPORT_PASSED : REPORT_HARNESS_ERROR);
        report_destroy(r);
    }
}
END_TEST

START_TEST(so_many_are_missing)
{
    struct report *r = merged((struct report *[]){shard(17, 10000, "x86")}, 1);

    ck_assert_int_eq(finish(r, false, 0), 0);
    const char *reason = own_check(r, "merge.shards")->reason;
    ck_assert_ptr_nonnull(strstr(reason, " 16/10000 of 'abi' on sim and 9983 more"));
    ck_assert_uint_lt(strlen(reason), 500);
    report_destroy(r);
}
END_TEST

/* The same shard numbers on another testbed or of other scenarios are another run's. */
START_TEST(shards_belong_to_their_run)
{
    struct report *other = shard(2, 2, "arm");

    report_set(&other->run.selection, "blk");
    struct report *r = merged((struct report *[]){shard(1, 2, "x86"), other}, 2);
    ck_assert_int_eq(finish(r, false, 0), 0);
    ck_assert_str_eq(own_check(r, "merge.shards")->reason,
                     "missing: shard 2/2 of 'abi' on sim, 1/2 of 'blk' on sim");
    report_destroy(r);
}
END_TEST

START_TEST(a_cell_counts_once)
{
    struct report *r = merged((struct report *[]){shard(1, 1, "x86"), shard(1, 1, "x86")}, 2);
    char why[256];

    ck_assert_int_eq(report_merge_unique(r, why, sizeof(why)), -EEXIST);
    ck_assert_str_eq(why, "cell abi[arch=x86] of testbed sim is there twice: in result-0 and in "
                          "result-1");
    ck_assert_int_eq(finish(r, true, 0), -EEXIST);
    report_destroy(r);
}
END_TEST

START_TEST(what_was_interrupted_stays_so)
{
    struct report *one = shard(1, 1, "x86");

    one->run.interrupted = true;
    one->run.cells_planned = 3;
    struct report *r = merged((struct report *[]){one, shard(1, 1, "arm")}, 2);
    ck_assert_int_eq(finish(r, false, 0), 0);
    ck_assert(r->run.interrupted);
    ck_assert_uint_eq(r->run.cells_planned, 4);
    ck_assert_int_eq(report_status(r), REPORT_HARNESS_ERROR);
    report_destroy(r);
}
END_TEST

START_TEST(a_merge_of_merges_judges_anew)
{
    struct report *half = merged((struct report *[]){shard(1, 2, "x86")}, 1);

    ck_assert_int_eq(finish(half, false, 0), 0);
    ck_assert_int_eq(report_status(half), REPORT_HARNESS_ERROR);
    struct report *r = merged((struct report *[]){half, shard(2, 2, "arm")}, 2);
    ck_assert_int_eq(finish(r, false, 0), 0);
    ck_assert_int_eq(report_status(r), REPORT_PASSED);
    ck_assert_uint_eq(r->part_count, 2);
    ck_assert_uint_eq(r->cell_count, 3);
    ck_assert_uint_eq(r->run.cells_planned, 3);
    ck_assert_str_eq(r->parts[0].source, "result-0 (result-0)");
    report_destroy(r);
}
END_TEST

START_TEST(differences_are_named)
{
    struct report *other = shard(2, 2, "arm");
    struct report_pairs d;

    report_set(&other->run.versions.items[0].value, "v2");
    report_pairs_add(&other->run.versions, "image", "only here");
    struct report *r = merged((struct report *[]){shard(1, 2, "x86"), other}, 2);
    report_differences(r, &d);
    ck_assert_uint_eq(d.count, 2);
    ck_assert_str_eq(d.items[0].name, "ringproof");
    ck_assert_str_eq(d.items[0].value, "v1: sim 1/2; v2: sim 2/2");
    ck_assert_str_eq(d.items[1].name, "seed");
    report_pairs_fini(&d);
    report_destroy(r);
}
END_TEST

/* ---- equivalence ---- */

/* What a check says in each column: NULL the check is not there, "-" it was skipped, "" it noted
 * nothing, else its note; the columns are sim x86, qemu x86, sim arm, qemu arm. */
static const struct {
    const char *says[4];
    enum report_verdict verdict; /* of the row "seen", or of "outcome" when there is none */
    const char *reason;
    unsigned x86, arm; /* rows compared, "outcome" included */
} equivalence_rows[] = {
    {{"1", "1", "1", "1"}, VERDICT_EQUAL, "", 2, 2},
    {{"1", "1", "2", "2"}, VERDICT_ARCHITECTURE, "x86: 1; arm: 2", 2, 2},
    {{"1", "2", "1", "1"}, VERDICT_DIFFERENT, "x86: sim 1, qemu 2", 2, 2},
    {{"1", "2", "2", "1"}, VERDICT_DIFFERENT, "x86: sim 1, qemu 2; arm: sim 2, qemu 1", 2, 2},
    {{"1", "", "1", "1"}, VERDICT_DIFFERENT, "x86: sim 1, qemu nothing", 1, 2},
    {{"1", NULL, "1", "1"}, VERDICT_DIFFERENT, "x86: sim 1, qemu nothing", 0, 2},
    {{"1", "-", "1", "1"}, VERDICT_SKIPPED, "x86, qemu skipped: no irq", 0, 2},
    {{"1", "-", "2", "-"},
     VERDICT_SKIPPED,
     "x86, qemu skipped: no irq; arm, qemu skipped: no irq",
     0,
     0},
    {{"1", "1", "-", "-"}, VERDICT_ARCHITECTURE, "x86: 1; arm: skipped: no irq", 2, 0},
    {{"1", "1", "", ""}, VERDICT_ARCHITECTURE, "x86: 1; arm: nothing", 2, 1},
    {{"1", "-", "1", "2"}, VERDICT_DIFFERENT, "arm: sim 1, qemu 2", 0, 2},
    {{"", "", "", ""}, VERDICT_EQUAL, "", 1, 1},
};

static struct report *two_testbeds(const char *const says[4])
{
    static const char *const testbeds[] = {"sim", "qemu"}, *const arches[] = {"x86", "arm"};
    struct report *list[2];

    for (unsigned i = 0; i < 2; i++) {
        list[i] = run_on(testbeds[i]);
        for (unsigned a = 0; a < 2; a++) {
            const char *s = says[2 * a + i];
            struct report_cell *c = add_cell(list[i], arches[a]);
            add_check(c, "blk.other", PASS, i ? "x" : "y"); /* is not compared */
            if (!s)
                add_check(c, "abi.z", SKIP, "no z"); /* the cell takes part all the same */
            if (s && !strcmp(s, "-"))
                add_check(c, "abi.a", SKIP, "no irq");
            else if (s)
                add_check(c, "abi.a", PASS, s[0] ? s : NULL);
        }
    }
    return merged(list, 2);
}

START_TEST(rows_are_judged)
{
    struct report *r = two_testbeds(equivalence_rows[_i].says);
    enum report_verdict verdict = equivalence_rows[_i].verdict;

    ck_assert_int_eq(finish(r, false, 0), 0);
    const struct report_equivalence *e = r->equivalence;
    ck_assert_uint_eq(e->column_count, 4);
    ck_assert_str_eq(e->columns[1].testbed, "qemu");
    ck_assert_uint_eq(e->columns[1].architecture, 0);
    const struct report_row *row = &e->rows[e->row_count - 1];
    ck_assert_int_eq(row->verdict, verdict);
    ck_assert_str_eq(row->reason, equivalence_rows[_i].reason);
    ck_assert_uint_eq(e->architectures[0].compared, equivalence_rows[_i].x86);
    ck_assert_uint_eq(e->architectures[1].compared, equivalence_rows[_i].arm);
    const struct report_check *k = own_check(r, "merge.equivalence");
    ck_assert_int_eq(k->outcome == FAIL, verdict == VERDICT_DIFFERENT);
    ck_assert_int_eq(report_status(r),
                     verdict == VERDICT_DIFFERENT ? REPORT_SUBJECT_FAILED : REPORT_PASSED);
    report_destroy(r);
}
END_TEST

START_TEST(too_few_rows_fail)
{
    static const char *const equal[4] = {"1", "1", "1", "1"}, *const one[4] = {"1", "1", "1", "-"};

    for (unsigned least = 1; least <= 3; least++) {
        struct report *r = two_testbeds(equal);
        ck_assert_int_eq(finish(r, false, least), 0);
        ck_assert_int_eq(report_status(r), least > 2 ? REPORT_SUBJECT_FAILED : REPORT_PASSED);
        report_destroy(r);
    }
    /* The minimum holds on each architecture: x86 does not make up for Arm. */
    struct report *r = two_testbeds(one);
    ck_assert_int_eq(finish(r, false, 2), 0);
    const struct report_check *k = own_check(r, "merge.equivalence");
    ck_assert_uint_eq(k->failure_count, 1);
    ck_assert_str_eq(k->failures[0].text, "arm: 0 rows were compared, expected at least 2");
    report_destroy(r);
}
END_TEST

/* Wanted, but only one testbed is there, or neither has such a check. */
START_TEST(nothing_to_compare)
{
    struct report *r = merged((struct report *[]){shard(1, 1, "x86")}, 1);
    ck_assert_int_eq(finish(r, false, 1), 0);
    ck_assert_int_eq(own_check(r, "merge.equivalence")->outcome, FAIL);
    report_destroy(r);

    static const char *const none[4] = {NULL, NULL, NULL, NULL};
    r = two_testbeds(none);
    ck_assert_int_eq(finish(r, false, 0), 0);
    ck_assert_int_eq(own_check(r, "merge.equivalence")->outcome, SKIP);
    ck_assert(!report_equivalence_holds(r->equivalence));
    report_destroy(r);
    r = two_testbeds(none);
    ck_assert_int_eq(finish(r, false, 1), 0);
    ck_assert_int_eq(own_check(r, "merge.equivalence")->outcome, FAIL);
    report_destroy(r);
}
END_TEST

/* A cell that did not run at all explains its rows, and makes none of them a difference. */
START_TEST(a_cell_without_checks)
{
    struct report *sim = shard(1, 1, "x86"), *qemu = run_on("qemu");

    report_cell_worsen(add_cell(qemu, "x86"), ERROR, "no boot");
    struct report *r = merged((struct report *[]){sim, qemu}, 2);
    ck_assert_int_eq(finish(r, false, 0), 0);
    ck_assert_uint_eq(r->equivalence->row_count, 2);
    ck_assert_uint_eq(r->equivalence->verdicts[VERDICT_SKIPPED], 2);
    ck_assert_str_eq(r->equivalence->rows[0].reason, "x86, qemu skipped: no boot");
    ck_assert_int_eq(report_status(r), REPORT_HARNESS_ERROR);
    report_destroy(r);
}
END_TEST

START_TEST(notes_of_one_name_are_told_apart)
{
    struct report *list[2] = {shard(1, 1, "x86"), shard(1, 1, "x86")};

    report_set(&list[1]->run.testbed, "qemu");
    report_set(&list[1]->cells[0]->testbed, "qemu");
    report_pairs_add(&list[0]->cells[0]->checks[0].notes, "seen", "2");
    report_pairs_add(&list[1]->cells[0]->checks[0].notes, "seen", "3");
    struct report *r = merged(list, 2);
    ck_assert_int_eq(finish(r, false, 0), 0);
    ck_assert_uint_eq(r->equivalence->row_count, 3);
    ck_assert_int_eq(r->equivalence->rows[1].verdict, VERDICT_EQUAL);
    ck_assert_str_eq(r->equivalence->rows[2].reason, "x86: sim 2, qemu 3");
    report_destroy(r);
}
END_TEST

START_TEST(a_table_has_room_for_so_much)
{
    struct report *r = run_on("sim");
    char arch[16], why[256];

    for (unsigned i = 0; i < 17; i++) {
        snprintf(arch, sizeof(arch), "arch%u", i);
        add_check(add_cell(r, arch), "abi.a", PASS, NULL);
    }
    struct report *all = merged((struct report *[]){r}, 1);
    ck_assert_int_eq(report_compare(all, "*", 0, why, sizeof(why)), -E2BIG);
    ck_assert_ptr_null(all->equivalence);
    report_destroy(all);
}
END_TEST

/* ---- files ---- */

static struct report *everything(void)
{
    static const char *const says[4] = {"1", "1", "2", "2"};
    struct report *r = two_testbeds(says);

    ck_assert_int_eq(finish(r, false, 2), 0);
    report_set(&r->run.id, "id");
    return r;
}

START_TEST(files_can_be_read_back)
{
    struct report *r = everything(), *back;
    char why[1024], path[128];
    struct stat st;

    make_dir();
    ck_assert_int_eq(report_write_files(r, dir, why, sizeof(why)), 0);
    snprintf(path, sizeof(path), "%s/equivalence.md", dir);
    ck_assert_int_eq(stat(path, &st), 0);
    snprintf(path, sizeof(path), "%s/result.json", dir);
    for (int whole = 0; whole < 2; whole++) {
        ck_assert_msg(!report_load(whole ? path : dir, &back, why, sizeof(why)), "%s", why);
        json_t *a = report_to_json(r), *b = report_to_json(back);
        ck_assert(json_equal(a, b));
        json_decref(a);
        json_decref(b);
        report_destroy(back);
    }
    report_destroy(r);
    remove_dir();
}
END_TEST

/* The value at "cells.0.checks.1" of a document, borrowed; *key is the last word. */
static json_t *walk(json_t *o, char *path, const char **key)
{
    char *save = NULL, *word = strtok_r(path, ".", &save);

    for (char *next = strtok_r(NULL, ".", &save); next; next = strtok_r(NULL, ".", &save)) {
        o = json_is_array(o) ? json_array_get(o, (size_t)atoi(word)) : json_object_get(o, word);
        word = next;
    }
    *key = word;
    return o;
}

static const struct {
    const char *path, *value; /* JSON; NULL: the member goes away */
    const char *says;         /* behind the file's name */
} faults[] = {
    {"format", "1", "format: this program reads format 4"},
    {"format", NULL, "format: this program reads format 4"},
    {"surplus", "1", "(whole): unknown member 'surplus'"},
    {"run", "[]", "run: is a list"},
    {"run.id", NULL, "run.id: is missing"},
    {"run.seed", "-1", "run.seed: -1 is out of range (0 to 9223372036854775807)"},
    {"run.seed", "1.5", "run.seed: is a real"},
    {"run.interrupted", "0", "run.interrupted: is no boolean"},
    {"run.status", "1", "run.status: not what the cells say"},
    {"run.status", NULL, "run.status: not what the cells say"},
    {"run.shard.count", "10001", "run.shard.count: 10001 is out of range (1 to 10000)"},
    {"run.shard.index", "2", "run.shard.index: 2 is out of range (1 to 1)"},
    {"run.shard.index", "0", "run.shard.index: 0 is out of range (1 to 1)"},
    {"run.testbed.name", "\"\"", "run.testbed.name: is no name"},
    {"run.testbed.name", "\"moon\"", "cells[4].testbed: its run was on another"},
    {"run.versions", "[{\"name\":\"a\"}]", "run.versions[0].value: is missing"},
    {"run.versions", "[7]", "run.versions[0].name: is missing"},
    {"run.cells_planned", "2", "cells: 5, but 2 were planned"},
    {"run.command", "\"\\u001b[2J\"", "run.command: has control characters"},
    {"parts.1.source", "null", "parts[1].source: is null"},
    {"parts.1.run.status", "0", "parts[1].run: unknown member 'status'"},
    {"parts.1.run.duration_ns", "9223372036854775807",
     "parts[1].run.duration_ns: 9223372036854775807 is out of range (0 to 31536000000000000)"},
    {"parts.0.run.testbed.name", "\"qemu\"", "cells[0].testbed: its run was on another"},
    {"parts.1", "7", "parts[1].source: is missing"},
    {"totals.checks.PASS", "99", "totals: not what the cells say"},
    {"totals", "null", "totals: not what the cells say"},
    {"holes", "[{\"requirement\":\"r\",\"reason\":\"x\"}]", "holes: not what the cells say"},
    {"equivalence", "3", "equivalence: is an integer"},
    {"equivalence.at_least", "-7", "equivalence.at_least: -7 is out of range (0 to 2147483647)"},
    {"equivalence.rows.1.verdict", "\"equal\"", "equivalence: not what the cells say"},
    {"cells", "{}", "cells: is an object"},
    {"cells.1", "null", "cells[1].id: is missing"},
    {"cells.1.id", "\"abi[arch=mips]\"", "cells[1].id: scenario and axes make it 'abi[arch=arm]'"},
    {"cells.1.scenario", "\"abi\\n9 passed, 0 failed\"", "cells[1].id: is more than a line"},
    {"cells.1.part", "2", "cells[1].part: there are 2 parts"},
    {"cells.1.part", NULL, "cells[1].part: is missing"},
    {"cells.1.part", "1", "cells[1].testbed: its run was on another"},
    {"cells.1.outcome", "\"MAYBE\"", "cells[1].outcome: unknown outcome 'MAYBE'"},
    {"cells.1.checks.0.outcome", "\"FAIL\"",
     "cells[1].outcome: is PASS, but its checks make it FAIL"},
    {"cells.1.checks.0.name", "\"abi.a\"", "cells[1].checks: 'abi.a' is there twice"},
    {"cells.1.checks.1.judges", "\"NOBODY\"",
     "cells[1].checks[1].judges: nobody whom a check can judge"},
    {"cells.1.checks.1.notes.0.value", "{}", "cells[1].checks[1].notes[0].value: is an object"},
    {"cells.1.checks.1.notes.0.x", "1", "cells[1].checks[1].notes[0]: unknown member 'x'"},
    {"cells.1.checks.1.failures", "[{}]", "cells[1].checks[1].failures[0].level: is missing"},
    {"cells.1.checks.1.expectations", "99999999999",
     "cells[1].checks[1].expectations: 99999999999 is out of range (0 to 2147483647)"},
};

START_TEST(faults_are_found)
{
    struct report *r = everything(), *back = NULL;
    json_t *o = report_to_json(r);
    char path[128], file[128], why[1024];
    const char *key;

    make_dir();
    snprintf(path, sizeof(path), "%s", faults[_i].path);
    json_t *at = walk(o, path, &key);
    json_t *value = faults[_i].value ? json_loads(faults[_i].value, JSON_DECODE_ANY, NULL) : NULL;
    if (json_is_array(at))
        ck_assert_int_eq(json_array_set_new(at, (size_t)atoi(key), value), 0);
    else if (value)
        ck_assert_int_eq(json_object_set_new(at, key, value), 0);
    else
        ck_assert_int_eq(json_object_del(at, key), 0);
    snprintf(file, sizeof(file), "%s/other.json", dir);
    ck_assert_int_eq(json_dump_file(o, file, 0), 0);
    ck_assert_int_eq(report_load(file, &back, why, sizeof(why)), -EINVAL);
    ck_assert_ptr_null(back);
    ck_assert_int_eq(strncmp(why, file, strlen(file)), 0);
    ck_assert_str_eq(why + strlen(file) + 2, faults[_i].says);
    json_decref(o);
    report_destroy(r);
    remove_dir();
}
END_TEST

static const struct {
    const char *text, *says;
} no_results[] = {
    {"", ":1:0: "},
    {"{", ":1:1: "},
    {"[]", ": (whole): is no object"},
    {"\xff", ":1:0: "},
    {"{\"a\":1,\"a\":2}", ":1:"},
    {"{}{}", ":1:"},
    {"{}", ": format: this program reads format 4"},
};

START_TEST(files_that_are_no_results)
{
    struct report *back;
    char file[128], why[1024];

    make_dir();
    snprintf(file, sizeof(file), "%s/other.json", dir);
    FILE *f = fopen(file, "w");
    fputs(no_results[_i].text, f);
    fclose(f);
    ck_assert_int_eq(report_load(file, &back, why, sizeof(why)), -EINVAL);
    ck_assert_msg(!strncmp(why + strlen(file), no_results[_i].says, strlen(no_results[_i].says)),
                  "%s", why);
    remove_dir();
}
END_TEST

/* Nothing blocks and nothing is read without end. */
START_TEST(things_that_are_no_files)
{
    struct report *back;
    char file[128], why[1024];

    make_dir();
    ck_assert_int_eq(report_load(dir, &back, why, sizeof(why)), -ENOENT);
    ck_assert_ptr_nonnull(strstr(why, "/result.json: No such file"));
    snprintf(file, sizeof(file), "%s/other.json", dir);
    ck_assert_int_eq(mkfifo(file, 0600), 0);
    ck_assert_int_ne(report_load(file, &back, why, sizeof(why)), 0);
    ck_assert_ptr_nonnull(strstr(why, "is no regular file"));
    unlink(file);
    ck_assert_int_ne(report_load("/dev/zero", &back, why, sizeof(why)), 0);
    FILE *f = fopen(file, "w");
    ck_assert_int_eq(ftruncate(fileno(f), (off_t)REPORT_FILE_MAX + 1), 0);
    fclose(f);
    ck_assert_int_eq(report_load(file, &back, why, sizeof(why)), -EFBIG);
    remove_dir();
}
END_TEST

/* ---- forms ---- */

static char *written(void (*write)(const struct report *, FILE *), const struct report *r)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    write(r, f);
    fclose(f);
    return text;
}

static void summary(const struct report *r, FILE *f)
{
    const struct report_style style = {.rerun = "ringproof run"};
    report_write_summary(r, &style, f);
}

START_TEST(forms_name_the_testbed)
{
    struct report *r = everything();
    char *tap = written(report_write_tap, r), *xml = written(report_write_junit, r),
         *text = written(summary, r);

    ck_assert_ptr_nonnull(strstr(tap, "\nok 1 - abi[arch=x86] on sim\n"));
    ck_assert_ptr_nonnull(strstr(tap, "\nok 3 - abi[arch=x86] on qemu\n"));
    ck_assert_ptr_nonnull(strstr(tap, "\nok 5 - merge\n"));
    ck_assert_ptr_nonnull(strstr(xml, "classname=\"abi[arch=arm] on qemu\""));
    ck_assert_ptr_nonnull(strstr(text, "\narchitecture  abi.a"));
    ck_assert_ptr_nonnull(strstr(text, "compared: x86 2, arm 2 (at least 2 wanted)\n"));
    ck_assert_ptr_nonnull(strstr(text, "\n9 passed, 0 failed, 0 skipped\n"));
    free(tap);
    free(xml);
    free(text);
    report_destroy(r);
}
END_TEST

/* What a file says cannot pass for a line of ours. */
START_TEST(summary_cannot_be_forged)
{
    static const char forged[] = "r.9\n9 passed, 0 failed, 0 skipped";
    struct report *one = shard(1, 1, "x86");
    struct report_check *k = add_check(one->cells[0], "abi.b", SKIP, forged);

    report_set(&k->proves, forged);
    report_set(&one->run.selection, forged);
    report_set(&one->run.testbed_note, forged);
    report_set(&one->run.versions.items[0].name, forged);
    one->run.shard_count = 2;
    struct report *r = merged((struct report *[]){one}, 1);
    ck_assert_int_eq(finish(r, false, 1), 0);
    char *text = written(summary, r);
    ck_assert_ptr_null(strstr(text, "\n9 passed"));
    ck_assert_ptr_nonnull(strstr(text, "\n1 passed, 2 failed, 1 skipped\n"));
    free(text);
    report_destroy(r);
}
END_TEST

START_TEST(markdown_is_no_markup)
{
    struct report *list[2] = {shard(1, 1, "x86"), shard(1, 1, "x86")};

    report_set(&list[1]->run.testbed, "qemu");
    report_set(&list[1]->cells[0]->testbed, "qemu");
    report_pairs_add(&list[1]->cells[0]->checks[0].notes, "a|b\n<script>", "`x` | [l](http://e)");
    struct report *r = merged(list, 2);
    ck_assert_int_eq(finish(r, false, 0), 0);
    char *text = written(report_write_equivalence_markdown, r);
    ck_assert_ptr_nonnull(
        strstr(text, "| a\\|b \\<script\\> | - | \\`x\\` \\| \\[l\\]\\(http\\://e\\) |"));
    ck_assert_ptr_null(strstr(text, " <script"));
    free(text);
    report_destroy(r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("merge");
    TCase *tc = tcase_create("merge");

    tcase_add_test(tc, shards_become_one);
    tcase_add_test(tc, whole_runs_have_nothing_to_judge);
    tcase_add_test(tc, missing_shards_are_named);
    tcase_add_test(tc, so_many_are_missing);
    tcase_add_test(tc, shards_belong_to_their_run);
    tcase_add_test(tc, a_cell_counts_once);
    tcase_add_test(tc, what_was_interrupted_stays_so);
    tcase_add_test(tc, a_merge_of_merges_judges_anew);
    tcase_add_test(tc, differences_are_named);
    tcase_add_loop_test(tc, rows_are_judged, 0, ARRAY_LENGTH(equivalence_rows));
    tcase_add_test(tc, too_few_rows_fail);
    tcase_add_test(tc, nothing_to_compare);
    tcase_add_test(tc, a_cell_without_checks);
    tcase_add_test(tc, notes_of_one_name_are_told_apart);
    tcase_add_test(tc, a_table_has_room_for_so_much);
    tcase_add_test(tc, files_can_be_read_back);
    tcase_add_loop_test(tc, faults_are_found, 0, ARRAY_LENGTH(faults));
    tcase_add_loop_test(tc, files_that_are_no_results, 0, ARRAY_LENGTH(no_results));
    tcase_add_test(tc, things_that_are_no_files);
    tcase_add_test(tc, forms_name_the_testbed);
    tcase_add_test(tc, summary_cannot_be_forged);
    tcase_add_test(tc, markdown_is_no_markup);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
