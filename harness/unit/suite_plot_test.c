/* SPDX-License-Identifier: MIT */
/* Pictures and page of a run: what is drawn, what is kept apart, and what a name may not do. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "suite/plot.h"
#include "suite/suite.h"
#include "unit/run.h"

#define ROUNDS 7u

static const struct suite_run usual = {
    "id", "2026-01-01T00:00:00Z", "v", "cpu", "kernel", "a peer", NULL, 2, 1.5};

/* A row whose first variant took `ns` in all rounds, and the others half. */
static struct suite_row row_of(const char *name, const char *second, double ns, double trip)
{
    struct suite_row row = {
        .work = {.family = "ring",
                 .name = name,
                 .unit = "ns/buffer",
                 .options = "",
                 .variants = {{"checked", "a", "", false}, {second, "b", "", false}},
                 .variant_count = 2}};

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct suite_round *r = &row.rounds[row.round_count++];

        for (unsigned k = 0; k < 2; k++)
            r->values[k] = (struct suite_value){
                .ns = k ? ns / 2 : ns, .round_trip_ns = {trip, trip}, .own_cpu = {1, 1}};
        r->fate = suite_round_fate(&row, r, row.work.variant_count);
    }
    ck_assert_int_eq(suite_settle(&row), 0);
    return row;
}

static char *script_of(const json_t *o, enum suite_plot p, unsigned *values)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    *values = suite_plot_write(o, p, f);
    fclose(f);
    return text;
}

static char *page_of(const json_t *o, char *const svg[SUITE_PLOTS])
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    suite_page_write(o, svg, f);
    fclose(f);
    return text;
}

START_TEST(throughput_by_batch_and_placement)
{
    struct suite_row rows[] = {
        row_of("split batch=1", "unchecked", 100, 80),
        row_of("split batch=16", "unchecked", 50, 80),
        row_of("split batch=64", "unchecked", 200, 365),
        row_of("split batch=1 sleeping", "unchecked", 7, 80),   /* not the same thing */
        row_of("split ring=256 batch=1", "unchecked", 7, 80),   /* nor this */
        row_of("split payload=64 touched", "unchecked", 7, 80), /* nor this */
    };
    json_t *o = suite_to_json(&usual, rows, 6);
    unsigned values;
    char *text = script_of(o, SUITE_PLOT_BATCH, &values);

    ck_assert_uint_eq(values, 3);
    ck_assert_ptr_nonnull(strstr(text, "$near_0 << EOD\n1 10 10 10\n16 20 20 20\nEOD\n"));
    ck_assert_ptr_nonnull(strstr(text, "$far_0 << EOD\n64 5 5 5\nEOD\n"));
    ck_assert_ptr_nonnull(strstr(text, "multiplot layout 1,2"));
    ck_assert_ptr_nonnull(strstr(text, "[million buffers/s]"));
    free(text);
    json_decref(o);
}
END_TEST

START_TEST(what_checks_cost)
{
    struct suite_row rows[] = {row_of("a", "unchecked", 100, 80), row_of("b", "other", 50, 80),
                               row_of("c", "unchecked", 50, 365)};
    json_t *o = suite_to_json(&usual, rows, 3);
    unsigned values;
    char *text = script_of(o, SUITE_PLOT_SAFETY, &values);

    ck_assert_uint_eq(values, 2);
    ck_assert_ptr_nonnull(strstr(text, "$near << EOD\n1 2 2 2 \"a\"\nEOD\n"));
    ck_assert_ptr_nonnull(strstr(text, "$far << EOD\n2 2 2 2 \"c\"\nEOD\n"));
    free(text);
    json_decref(o);
}
END_TEST

START_TEST(bars_of_peers)
{
    struct suite_row rows[] = {
        row_of("packed batch=1 beside ringtest", "ringtest", 100, 80),
        row_of("packed one outstanding beside ringtest", "ringtest", 300, 365)};
    json_t *o = suite_to_json(&usual, rows, 2);
    unsigned values;
    char *text = script_of(o, SUITE_PLOT_PEERS, &values);

    ck_assert_uint_eq(values, 2);
    ck_assert_ptr_nonnull(
        strstr(text, "$full << EOD\n\"packed (near)\" 100 100 100 50 50 50 NaN NaN NaN\nEOD\n"));
    ck_assert_ptr_nonnull(strstr(text, "$single << EOD\n\"packed (far)\" 300 300 300 150 "));
    free(text);
    json_decref(o);
}
END_TEST

/* As row_of, on simxen, with variants of these names, of which the k-th takes (k + 1) us. */
static struct suite_row sim_row(const char *family, const char *name, const char *const names[],
                                unsigned count, double trip)
{
    struct suite_row row = {.work = {.family = family,
                                     .name = name,
                                     .unit = "ns/request",
                                     .options = "",
                                     .testbed = SUITE_SIM,
                                     .loose = true,
                                     .variant_count = count}};

    for (unsigned k = 0; k < count; k++)
        row.work.variants[k] = (struct suite_variant){.name = names[k], .options = ""};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct suite_round *r = &row.rounds[row.round_count++];

        for (unsigned k = 0; k < count; k++)
            r->values[k] =
                (struct suite_value){.ns = 1000.0 * (k + 1), .round_trip_ns = {trip, trip}};
        r->fate = suite_round_fate(&row, r, row.work.variant_count);
    }
    ck_assert_int_eq(suite_settle(&row), 0);
    return row;
}

START_TEST(bars_of_designs)
{
    static const char *const names[] = {"grant-map", "shim"};
    struct suite_row rows[] = {sim_row("designs", "designs a", names, 2, 80),
                               sim_row("designs", "designs b", names, 1, 365),
                               sim_row("fio", "fio a", names, 2, 80),
                               row_of("designs c", "unchecked", 100, 80)};
    json_t *o = suite_to_json(&usual, rows, 4);
    unsigned values;
    char *text = script_of(o, SUITE_PLOT_DESIGNS, &values);

    ck_assert_uint_eq(values, 3);
    ck_assert_ptr_nonnull(
        strstr(text, "$near_0 << EOD\n\"grant-map\" 1 1 1\n\"shim\" 2 2 2\nEOD\n"));
    ck_assert_ptr_nonnull(strstr(text, "$far_0 << EOD\n\"grant-map\" 1 1 1\nEOD\n"));
    ck_assert_ptr_nonnull(strstr(text, "multiplot layout 1,2"));
    ck_assert_ptr_nonnull(strstr(text, "[us/request]"));
    ck_assert_ptr_nonnull(strstr(text, "simxen (a simulated Xen)"));
    free(text);
    json_decref(o);
}
END_TEST

START_TEST(throughput_by_queues_and_depth)
{
    static const char *const queues[] = {"1 queue", "2 queues", "many"};
    static const char *const rings[] = {"split", "packed"};
    struct suite_row rows[] = {sim_row("fio", "fio randread 4k depth=32 by queues", queues, 3, 80),
                               sim_row("fio", "fio randread 4k depth=4", rings, 2, 365),
                               sim_row("fio", "fio randread 4k depth=16", rings, 1, 365),
                               sim_row("fio", "fio randread 4k depth=32 by store", rings, 2, 80)};
    json_t *o = suite_to_json(&usual, rows, 4);
    unsigned values;
    char *text = script_of(o, SUITE_PLOT_SCALING, &values);

    ck_assert_uint_eq(values, 5);
    ck_assert_ptr_nonnull(strstr(text, "$queues_0 << EOD\n1 1000 1000 1000\n2 500 500 500\nEOD\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "$depth_1_0 << EOD\n4 1000 1000 1000\n16 1000 1000 1000\nEOD\n"));
    ck_assert_ptr_nonnull(strstr(text, "$depth_1_1 << EOD\n4 500 500 500\nEOD\n"));
    ck_assert_ptr_nonnull(strstr(text, "$depth_0_0 << EOD\nEOD\n"));
    ck_assert_ptr_null(strstr(text, "$depth_0_0 using")); /* of nothing there is no curve */
    free(text);
    json_decref(o);
}
END_TEST

START_TEST(latency_is_a_histogram)
{
    struct suite_row row = row_of("r", "unchecked", 100, 80);
    json_t *o, *latency;
    unsigned values;
    char *text;

    row.rounds[2].values[0].latency =
        json_loads("{\"max_ns\": 60, \"buckets\": [[50, 3], [60, 1]]}", 0, NULL);
    row.rounds[4].values[0].latency =
        json_loads("{\"max_ns\": 55, \"buckets\": [[50, 4]]}", 0, NULL);
    o = suite_to_json(&usual, &row, 1);
    latency = json_object_get(json_array_get(json_object_get(o, "rows"), 0), "variants");
    latency = json_object_get(json_array_get(latency, 0), "latency");
    ck_assert_int_eq(json_integer_value(json_object_get(latency, "count")), 8);
    ck_assert_int_eq(json_integer_value(json_object_get(latency, "max_ns")), 60);
    text = script_of(o, SUITE_PLOT_LATENCY, &values);
    ck_assert_uint_eq(values, 2);
    ck_assert_ptr_nonnull(strstr(text, "$latency_0 << EOD\n50 87.5 0.125\n60 12.5 nan\nEOD\n"));
    free(text);
    json_decref(o);
    json_decref(row.rounds[2].values[0].latency);
    json_decref(row.rounds[4].values[0].latency);
}
END_TEST

START_TEST(histograms_of_anybody)
{
    static const char *const broken[] = {
        "{}",
        "{\"max_ns\": 1}",
        "{\"max_ns\": 0, \"buckets\": []}",
        "{\"max_ns\": 1, \"buckets\": [1]}",
        "{\"max_ns\": 1, \"buckets\": [[1]]}",
        "{\"max_ns\": 1, \"buckets\": [[-1, 1]]}",
        "{\"max_ns\": 1, \"buckets\": [[1, 0]]}",
        "{\"max_ns\": 1, \"buckets\": [[1000, 1]]}", /* the end of no bucket */
    };
    struct histogram *h = calloc(1, sizeof(*h));

    ck_assert_ptr_nonnull(h);
    for (unsigned i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        json_t *o = json_loads(broken[i], 0, NULL);

        ck_assert_ptr_nonnull(o);
        ck_assert_int_lt(suite_latency_add(o, h), 0);
        json_decref(o);
    }
    free(h);
}
END_TEST

START_TEST(nothing_to_draw)
{
    const json_t *none = NULL;
    json_t *o = suite_to_json(&usual, NULL, 0), *empty = json_object();
    unsigned values;

    for (unsigned p = 0; p < SUITE_PLOTS; p++) {
        free(script_of(o, (enum suite_plot)p, &values));
        ck_assert_uint_eq(values, 0);
        free(script_of(empty, (enum suite_plot)p, &values));
        ck_assert_uint_eq(values, 0);
        free(script_of(none, (enum suite_plot)p, &values));
        ck_assert_uint_eq(values, 0);
    }
    json_decref(o);
    json_decref(empty);
}
END_TEST

/* gnuplot runs commands that a script names: no text of a file may end a string. */
START_TEST(names_are_only_names)
{
    static const char evil[] = "x\" . system(\"id\")\n`id` '; !id $x {y} batch=1";
    struct suite_run run = usual;
    struct suite_row row = row_of(evil, "unchecked", 100, 80);
    char *const none[SUITE_PLOTS] = {NULL};
    unsigned values;
    json_t *o;
    char *text;

    run.cpu = run.kernel = run.version = evil;
    o = suite_to_json(&run, &row, 1);
    for (unsigned p = 0; p < SUITE_PLOTS; p++) {
        text = script_of(o, (enum suite_plot)p, &values);
        ck_assert_ptr_null(strstr(text, "system(\""));
        ck_assert_ptr_null(strchr(text, '`'));
        ck_assert_ptr_null(strstr(text, "\n!"));
        ck_assert_ptr_nonnull(strstr(text, "x? . system(?id?)??id? ?? ?id ?x ?y? batch=1"));
        free(text);
    }
    json_decref(o);
    run.cpu = "<script>&";
    o = suite_to_json(&run, &row, 1);
    text = page_of(o, none);
    ck_assert_ptr_null(strstr(text, "<script"));
    ck_assert_ptr_nonnull(strstr(text, "&lt;script&gt;&amp;"));
    free(text);
    json_decref(o);
}
END_TEST

START_TEST(a_page_has_its_pictures)
{
    static const struct {
        const char *plain, *coded;
    } texts[] = {{"<svg>", "base64,PHN2Zz4=\""},
                 {"<svg/>", "base64,PHN2Zy8+\""},
                 {"<svg />", "base64,PHN2ZyAvPg==\""}};
    struct suite_row row = row_of("r", "unchecked", 100, 80);
    json_t *o = suite_to_json(&usual, &row, 1);

    for (unsigned i = 0; i < 3; i++) {
        char svg[16];
        char *const pictures[SUITE_PLOTS] = {[SUITE_PLOT_SAFETY] = svg};
        char *text;

        snprintf(svg, sizeof(svg), "%s", texts[i].plain);
        text = page_of(o, pictures);
        ck_assert_ptr_nonnull(strstr(text, texts[i].coded));
        ck_assert_ptr_nonnull(strstr(text, "<figure id=safety>"));
        ck_assert_ptr_null(strstr(text, "<figure id=batch>"));
        ck_assert_ptr_nonnull(strstr(text, "<td class=n>2.000 (2.000 to 2.000)</td>"));
        ck_assert_ptr_nonnull(strstr(text, ">not measured</td>"));
        free(text);
    }
    json_decref(o);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("suite");
    TCase *t = tcase_create("plot");

    tcase_add_test(t, throughput_by_batch_and_placement);
    tcase_add_test(t, what_checks_cost);
    tcase_add_test(t, bars_of_peers);
    tcase_add_test(t, bars_of_designs);
    tcase_add_test(t, throughput_by_queues_and_depth);
    tcase_add_test(t, latency_is_a_histogram);
    tcase_add_test(t, histograms_of_anybody);
    tcase_add_test(t, nothing_to_draw);
    tcase_add_test(t, names_are_only_names);
    tcase_add_test(t, a_page_has_its_pictures);
    suite_add_tcase(s, t);
    return unit_run(s);
}
