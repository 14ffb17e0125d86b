/* SPDX-License-Identifier: MIT */
/* Workloads of benchmarks: what words are refused for, and that every row's cells are scenarios. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "scenario/design.h"
#include "scenario/workload.h"
#include "suite/suite.h"
#include "unit/run.h"
#include "util/bits.h"

START_TEST(words_are_a_scenario)
{
    struct scenario_cell cell;
    struct scenario *s;
    char why[512];

    ck_assert_int_eq(workload_scenario("run=fio rw=read bs=64k depth=8 jobs=2 ms=100 size=1MiB",
                                       "ring=packed queues=2 features=-indirect:-event-idx "
                                       "memory=grant-copy",
                                       ".", &s, why, sizeof(why)),
                     0);
    ck_assert_uint_eq(scenario_cell_count(s), 1);
    scenario_cell_get(s, 0, &cell);
    ck_assert_int_eq(cell.ring, RING_PACKED);
    ck_assert_uint_eq(cell.queues, 2);
    ck_assert_int_eq(cell.memory, MEMORY_GRANT_COPY);
    ck_assert_str_eq(cell.features, "-indirect:-event-idx");
    ck_assert_int_eq(s->run, RUN_FIO);
    ck_assert_int_eq(s->devices[0].backing, BACKING_NULL);
    ck_assert_uint_eq(s->devices[0].size_bytes, 1u << 20);
    ck_assert_ptr_nonnull(strstr(s->fio.job, "measure-read.fio"));
    ck_assert_uint_eq(s->fio.option_count, 5);
    ck_assert_str_eq(s->fio.options[2], "--iodepth=8");
    scenario_free(s);
    ck_assert_int_eq(workload_scenario("run=iperf3 streams=4 direction=to-frontend protocol=udp",
                                       "transport=mmio", ".", &s, why, sizeof(why)),
                     0);
    ck_assert_int_eq(s->run, RUN_IPERF3);
    ck_assert_ptr_null(s->devices[0].sbdf);
    ck_assert_str_eq(s->iperf3.options[s->iperf3.option_count - 1], "--length=1400");
    scenario_free(s);
    /* A scenario lists each option once, and here are two ones. */
    ck_assert_int_eq(workload_scenario("run=iperf3 streams=1", NULL, ".", &s, why, sizeof(why)), 0);
    scenario_free(s);
    ck_assert_int_eq(
        workload_scenario("run=costs", "buffers=pool memory=shim", ".", &s, why, sizeof(why)), 0);
    ck_assert_int_eq(s->run, RUN_CHECKS);
    scenario_free(s);
    ck_assert_int_eq(
        workload_scenario("run=costs", "memory=grant-persistent", ".", &s, why, sizeof(why)), 0);
    scenario_cell_get(s, 0, &cell);
    ck_assert_int_eq(cell.buffers, BUFFERS_POOL);
    scenario_free(s);
}
END_TEST

START_TEST(words_that_are_none)
{
    static const struct {
        const char *words, *design, *why;
    } bad[] = {
        {"", NULL, "no workload: run= ''"},
        {"run=dd", NULL, "no workload: run= 'dd'"},
        {"run=fio depth", NULL, "no KEY=VALUE: 'depth'"},
        {"run=fio depth=", NULL, "no KEY=VALUE: 'depth='"},
        {"run=fio =1", NULL, "neither a key of workloads nor an axis: '=1'"},
        {"run=fio iodepth=1", NULL, "neither a key of workloads nor an axis: 'iodepth=1'"},
        {"run=fio bs=4k", "bs=8k", "said twice: 'bs=8k'"},
        {"run=fio ring=split", "ring=packed", "said twice: 'ring=packed'"},
        {"run=fio backing=/etc/passwd", NULL, "no KEY=VALUE: 'backing=/etc/passwd'"},
        {"run=fio backing=disk", NULL, "no backing: 'disk'"},
        {"run=fio bs=4k\"]", NULL, "no KEY=VALUE: 'bs=4k\"]'"},
        {"run=fio", "ring=round", "./bench/workload:"},
        {"run=iperf3 direction=up", NULL, "no direction: 'up'"},
        {"run=iperf3 protocol=sctp", NULL, "no protocol: 'sctp'"},
    };
    struct scenario *s;
    char why[512];

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        why[0] = '\0';
        ck_assert_int_eq(workload_scenario(bad[i].words, bad[i].design, ".", &s, why, sizeof(why)),
                         -EINVAL);
        ck_assert_msg(strstr(why, bad[i].why) == why, "%s: %s", bad[i].words, why);
        ck_assert_ptr_null(s);
    }
}
END_TEST

START_TEST(rows_have_cells)
{
    struct suite_variant variants[DESIGNS_MAX];
    struct suite_choice all = {.peers = true, .full = true, .designs = variants};
    unsigned count, cells = 0;
    struct suite_row *rows;
    struct designs designs;
    struct scenario *s;
    char why[512];

    ck_assert_msg(designs_load("bench/designs.yaml", &designs, why, sizeof(why)) == 0, "%s", why);
    ck_assert_uint_ge(designs.count, 2);
    for (unsigned i = 0; i < designs.count; i++)
        variants[i] = (struct suite_variant){.name = designs.items[i].name,
                                             .options = designs.items[i].words};
    all.design_count = designs.count;
    rows = suite_rows(&all, &count);
    ck_assert_ptr_nonnull(rows);
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < rows[i].work.variant_count; k++) {
            const struct suite_work *w = &rows[i].work;

            if (w->variants[k].program)
                continue;
            ck_assert_msg(workload_scenario(w->options, w->variants[k].options, ".", &s, why,
                                            sizeof(why)) == 0,
                          "%s: %s", w->name, why);
            ck_assert_uint_eq(scenario_cell_count(s), 1);
            ck_assert(w->loose && w->testbed == SUITE_SIM);
            scenario_free(s);
            cells++;
        }
    ck_assert_uint_gt(cells, designs.count);
    suite_rows_free(rows, count);
    designs_fini(&designs);
}
END_TEST

#define ONE "name: a\n    title: t\n    axes: {ring: split}\n"

START_TEST(designs_that_are_refused)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "d.yaml:1:1: the file is empty"},
        {"a: b\n", "d.yaml:1:1: unknown key 'a'"},
        {"designs: []\n", "d.yaml:1:10: designs is empty"},
        {"designs: {a: b}\n", "d.yaml:1:10: designs has to be a list"},
        {"designs:\n  - a\n", "d.yaml:2:5: a design has to be a map"},
        {"designs:\n  - nmae: a\n", "d.yaml:2:5: unknown key 'nmae'"},
        {"designs:\n  - name: a\n", "d.yaml:2:5: a design needs the keys"},
        {"designs:\n  - name: A\n", "d.yaml:2:11: a name has lower-case letters"},
        {"designs:\n  - name: a\n    title: [t]\n", "d.yaml:3:12: title has to be"},
        {"designs:\n  - name: a\n    title: t\n    axes: {rings: split}\n",
         "d.yaml:4:12: 'rings' is no axis"},
        {"designs:\n  - name: a\n    title: t\n    axes: {ring: [split]}\n",
         "d.yaml:4:18: ring has to be"},
        {"designs:\n  - name: a\n    title: t\n    axes: {ring: round}\n",
         "d.yaml:4:11: no design: "},
        {"designs:\n  - " ONE "  - " ONE, "d.yaml:5:5: a second design 'a'"},
    };
    struct designs d;
    char why[512];

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        ck_assert_int_eq(
            designs_parse("d.yaml", bad[i].text, strlen(bad[i].text), &d, why, sizeof(why)),
            -EINVAL);
        ck_assert_msg(strstr(why, bad[i].why) == why, "%u: %s", i, why);
    }
    ck_assert_int_eq(designs_load("/nowhere/d.yaml", &d, why, sizeof(why)), -ENOENT);
    ck_assert_int_eq(designs_parse("d.yaml", "designs:\n  - " ONE, strlen("designs:\n  - " ONE), &d,
                                   why, sizeof(why)),
                     0);
    ck_assert_uint_eq(d.count, 1);
    ck_assert_str_eq(d.items[0].words, "ring=split");
    designs_fini(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scenario");
    TCase *t = tcase_create("workload");

    tcase_add_test(t, words_are_a_scenario);
    tcase_add_test(t, words_that_are_none);
    tcase_add_test(t, rows_have_cells);
    tcase_add_test(t, designs_that_are_refused);
    suite_add_tcase(s, t);
    return unit_run(s);
}
