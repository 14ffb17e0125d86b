/* SPDX-License-Identifier: MIT */
#include "suite/plot.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "plot/script.h"
#include "suite/plot_impl.h"
#include "suite/read.h"
#include "suite/suite.h"
#include "util/bits.h"

static const struct {
    const char *name, *caption;
    unsigned width, height;
} plots[SUITE_PLOTS] = {
    [SUITE_PLOT_BATCH] = {"batch",
                          "Throughput against the number of buffers that are published at once. "
                          "Bars: the middle 80 % of the rounds.",
                          1000, 460},
    [SUITE_PLOT_LATENCY] = {"latency",
                            "What one buffer takes from before it is described until it was "
                            "reaped: how often, and how many took longer.",
                            1000, 460},
    [SUITE_PLOT_SAFETY] = {"safety",
                           "Time with all checks to time without any, of pairs measured one after "
                           "the other. Bars: the interval of the median.",
                           900, 0},
    [SUITE_PLOT_PEERS] = {"peers",
                          "Ours beside Linux's ringtest and the least that two rings cost, in the "
                          "same rounds. Bars: the middle 80 %.",
                          1000, 480},
    [SUITE_PLOT_DESIGNS] = {"designs",
                            "What a request takes in each design, in the same rounds on simxen, of "
                            "which times speak of rings and copies. Bars: the middle 80 %.",
                            1000, 560},
    [SUITE_PLOT_SCALING] = {"scaling",
                            "Requests of fio on simxen against queues, and against requests that "
                            "are outstanding at once. Bars: the middle 80 %.",
                            1000, 460},
};

const struct suite_placement suite_placements[SUITE_PLACEMENTS] = {
    {"near", "the two CPUs share a cache"},
    {"far", "the two CPUs share no cache"},
};

static const char on_processes[] = "processes, no testbed";

const char *suite_plot_name(enum suite_plot p)
{
    return plots[p].name;
}

const char *suite_plot_caption(enum suite_plot p)
{
    return plots[p].caption;
}

/* ---- reading ---- */

/* "split in_order batch=16" is the series "split in_order" at 16. */
static bool batch_of(const char *row, char series[NAME_BYTES], unsigned *batch)
{
    const char *at = strstr(row, " batch=");
    int used = 0;

    if (!at || (size_t)(at - row) >= NAME_BYTES || memchr(row, '=', (size_t)(at - row)) ||
        sscanf(at, " batch=%u%n", batch, &used) != 1 || at[used] || *batch == 0)
        return false;
    memcpy(series, row, (size_t)(at - row));
    series[at - row] = '\0';
    return true;
}

/* ---- writing ---- */

void suite_plot_head(const json_t *o, enum suite_plot p, unsigned height, const char *testbed,
                     FILE *f)
{
    const json_t *machine = json_object_get(o, "machine");

    if (height == 0)
        height = plots[p].height;
    plot_begin(plots[p].name, plots[p].width, height, f);
    fprintf(f, "machine = ");
    plot_quoted(text_of(machine, "cpu"), f);
    fprintf(f, ".', %u CPUs, Linux '.", (unsigned)number_of(machine, "cpus"));
    plot_quoted(text_of(machine, "kernel"), f);
    fprintf(f, ".', %s; ringproof '.", testbed);
    plot_quoted(text_of(json_object_get(o, "run"), "version"), f);
    putc('\n', f);
}

/* ---- throughput against batch ---- */

struct series {
    char names[SERIES_MAX][NAME_BYTES];
    unsigned count;
};

static unsigned series_index(struct series *s, const char *name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (!strcmp(s->names[i], name))
            return i;
    if (s->count == SERIES_MAX)
        return SERIES_MAX;
    memcpy(s->names[s->count], name, NAME_BYTES);
    return s->count++;
}

/* The points of one curve, as the datablock $<placement>_<index>. Returns how many. */
static unsigned batch_data(const json_t *o, const char *placement, const char *series,
                           unsigned index, FILE *f)
{
    char name[NAME_BYTES] = "";
    unsigned batch, count = 0;
    const json_t *row;
    size_t i;

    fprintf(f, "$%s_%u << EOD\n", placement, index);
    json_array_foreach(rows_of(o), i, row)
    {
        const json_t *s = sample_of(variant_of(row, "checked"), "value", 1);

        if (!s || strcmp(text_of(row, "placement"), placement) != 0 ||
            !batch_of(text_of(row, "name"), name, &batch) || strcmp(name, series) != 0)
            continue;
        fprintf(f, "%u %.6g %.6g %.6g\n", batch, 1000 / number_of(s, "median"),
                1000 / number_of(s, "p90"), 1000 / number_of(s, "p10"));
        count++;
    }
    fputs("EOD\n", f);
    return count;
}

static unsigned plot_batch(const json_t *o, FILE *f)
{
    unsigned counts[SUITE_PLACEMENTS][SERIES_MAX] = {{0}};
    unsigned points[SUITE_PLACEMENTS] = {0}, panels = 0, total = 0;
    struct series all = {.count = 0};
    char name[NAME_BYTES] = "";
    const json_t *row;
    unsigned batch;
    size_t i;

    json_array_foreach(rows_of(o), i, row) if (batch_of(text_of(row, "name"), name, &batch))(void)
        series_index(&all, name);
    suite_plot_head(o, SUITE_PLOT_BATCH, plots[SUITE_PLOT_BATCH].height, on_processes, f);
    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++) {
        for (unsigned s = 0; s < all.count; s++) {
            counts[p][s] = batch_data(o, suite_placements[p].name, all.names[s], s, f);
            points[p] += counts[p][s];
        }
        panels += points[p] != 0;
        total += points[p];
    }
    fprintf(f,
            "set multiplot layout 1,%u title machine font ',10'\n"
            "set logscale x 2\nset xlabel 'batch [buffers]'\n"
            "set ylabel 'throughput [million buffers/s]'\nset yrange [0:*]\n"
            "set xrange [0.8:320]\nset key bottom right\n",
            panels ? panels : 1);
    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++) {
        const char *between = "plot ";

        if (!points[p])
            continue;
        fprintf(f, "set title '%s: %s'\n", suite_placements[p].name, suite_placements[p].title);
        for (unsigned s = 0; s < all.count; s++) {
            if (!counts[p][s])
                continue;
            fprintf(f, "%s$%s_%u using 1:2:3:4 with yerrorlines ls %u dt 1 title ", between,
                    suite_placements[p].name, s, s + 1);
            plot_quoted(all.names[s], f);
            between = ", \\\n     ";
        }
        putc('\n', f);
    }
    fputs("unset multiplot\n", f);
    return total;
}

/* ---- latency ---- */

/* Of a row's first variant; NULL: none was measured, or not of a ring. */
static const json_t *latency_of(const json_t *row)
{
    const json_t *first = json_array_get(json_object_get(row, "variants"), 0);
    const json_t *latency = json_object_get(first, "latency");

    return !strcmp(text_of(row, "unit"), "ns/buffer") && json_is_object(latency) ? latency : NULL;
}

static unsigned latency_data(const json_t *latency, unsigned index, FILE *f)
{
    const json_t *bucket;
    double count = number_of(latency, "count"), left = count;
    unsigned points = 0;
    size_t i;

    fprintf(f, "$latency_%u << EOD\n", index);
    json_array_foreach(json_object_get(latency, "buckets"), i, bucket)
    {
        double ns = json_number_value(json_array_get(bucket, 0));
        double here = json_number_value(json_array_get(bucket, 1));

        if (!(ns > 0 && here > 0 && count > 0))
            continue;
        left -= here;
        fprintf(f, "%.6g %.6g %.6g\n", ns, 100 * here / count, left > 0 ? left / count : NAN);
        points++;
    }
    fputs("EOD\n", f);
    return points;
}

static unsigned plot_latency(const json_t *o, FILE *f)
{
    const json_t *rows = rows_of(o), *row, *shown[SERIES_MAX];
    unsigned count = 0, total = 0;
    double most = 0;
    size_t i;

    suite_plot_head(o, SUITE_PLOT_LATENCY, plots[SUITE_PLOT_LATENCY].height, on_processes, f);
    json_array_foreach(rows, i, row)
    {
        const json_t *latency = count < SERIES_MAX ? latency_of(row) : NULL;
        unsigned points = latency ? latency_data(latency, count, f) : 0;

        if (points) {
            most = fmax(most, quantile_of(latency, 0.999));
            shown[count++] = row;
        }
        total += points;
    }
    fprintf(f,
            "set multiplot layout 1,2 title machine font ',10'\nset logscale x\n"
            "set xlabel 'latency [ns]'\nset format x '%%g'\nset key top right\nset xrange [:%g]\n",
            most > 0 ? most : 1e6);
    for (unsigned panel = 0; panel < 2; panel++) {
        fputs(panel ? "set xrange [*:*]\nset title 'how many took longer'\nset logscale y\n"
                      "set ylabel 'buffers that took longer [part]'\nset format y '%g'\nplot "
                    : "set title 'how often'\nset ylabel 'buffers [% in a step of 1.6 %]'\nplot ",
              f);
        for (unsigned k = 0; k < count; k++) {
            fprintf(f, "%s$latency_%u using 1:%u with %s ls %u title ", k ? ", \\\n     " : "", k,
                    panel + 2, panel ? "lines" : "steps", k + 1);
            putc('"', f);
            plot_text(text_of(shown[k], "name"), f);
            fputs(" (", f);
            plot_text(text_of(shown[k], "placement"), f);
            fputs(")\"", f);
        }
        putc('\n', f);
    }
    fputs("unset multiplot\n", f);
    return total;
}

/* ---- the cost of safety ---- */

static unsigned safety_data(const json_t *o, const char *placement, unsigned *line, FILE *f)
{
    unsigned count = 0;
    const json_t *row;
    size_t i;

    fprintf(f, "$%s << EOD\n", placement);
    json_array_foreach(rows_of(o), i, row)
    {
        const json_t *s =
            sample_of(variant_of(row, "unchecked"), "ratio_of_first", SAMPLE_PAIRS_MIN);

        if (!s || strcmp(text_of(row, "placement"), placement) != 0)
            continue;
        fprintf(f, "%u %.6g %.6g %.6g ", ++*line, number_of(s, "median"), number_of(s, "low"),
                number_of(s, "high"));
        plot_quoted(text_of(row, "name"), f);
        putc('\n', f);
        count++;
    }
    fputs("EOD\n", f);
    return count;
}

static unsigned safety_lines(const json_t *o)
{
    unsigned count = 0;
    const json_t *row;
    size_t i;

    json_array_foreach(rows_of(o), i, row) count +=
        sample_of(variant_of(row, "unchecked"), "ratio_of_first", SAMPLE_PAIRS_MIN) != NULL;
    return count;
}

static unsigned plot_safety(const json_t *o, FILE *f)
{
    unsigned counts[SUITE_PLACEMENTS], total = 0;
    const char *between = "plot ";

    suite_plot_head(o, SUITE_PLOT_SAFETY, 140 + 18 * safety_lines(o), on_processes, f);
    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++)
        counts[p] = safety_data(o, suite_placements[p].name, &total, f);
    fprintf(f,
            "set title machine font ',10'\nset xlabel 'time with checks to time without [ratio]'\n"
            "set logscale x\nset xtics (0.25,0.5,0.75,1,1.5,2,4,8,16)\n"
            "set yrange [%u:0]\nset arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '#000000'\n"
            "set key outside top center horizontal\n",
            total + 1);
    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++) {
        if (!counts[p])
            continue;
        fprintf(f, "%s$%s using 2:1:3:4:yticlabels(5) with xerrorbars ls %u dt 1 title '%s: %s'",
                between, suite_placements[p].name, p + 1, suite_placements[p].name,
                suite_placements[p].title);
        between = ", \\\n     ";
    }
    putc('\n', f);
    return total;
}

/* ---- peers ---- */

static const struct {
    const char *variant, *title;
} bars[] = {
    {"checked", "ours, with all checks"},
    {"ringtest", "Linux ringtest"},
    {"floor", "floor: two plain rings"},
};

/* Rows beside a peer whose name ends the same way. */
static unsigned peers_data(const json_t *o, const char *what, const char *block, FILE *f)
{
    unsigned count = 0;
    const json_t *row;
    size_t i;

    fprintf(f, "$%s << EOD\n", block);
    json_array_foreach(rows_of(o), i, row)
    {
        const char *name = text_of(row, "name"), *end = strstr(name, what);
        const json_t *peer = sample_of(variant_of(row, "ringtest"), "value", 1);

        if (!peer || !end)
            continue;
        putc('"', f);
        for (; name < end; name++)
            if (isalnum((unsigned char)*name) || strchr(" _", *name))
                putc(*name, f);
        putc('(', f);
        plot_text(text_of(row, "placement"), f);
        fputs(")\"", f);
        for (unsigned b = 0; b < ARRAY_LENGTH(bars); b++) {
            const json_t *s = sample_of(variant_of(row, bars[b].variant), "value", 1);

            if (s)
                fprintf(f, " %.6g %.6g %.6g", number_of(s, "median"), number_of(s, "p10"),
                        number_of(s, "p90"));
            else
                fputs(" NaN NaN NaN", f);
        }
        putc('\n', f);
        count++;
    }
    fputs("EOD\n", f);
    return count;
}

static unsigned plot_peers(const json_t *o, FILE *f)
{
    static const struct {
        const char *what, *block, *title;
    } panels[] = {
        {"batch=1 ", "full", "as many outstanding as fit, each published by itself"},
        {"one outstanding ", "single", "one outstanding"},
    };
    unsigned counts[ARRAY_LENGTH(panels)], used = 0, total = 0;

    suite_plot_head(o, SUITE_PLOT_PEERS, plots[SUITE_PLOT_PEERS].height, on_processes, f);
    for (unsigned p = 0; p < ARRAY_LENGTH(panels); p++) {
        counts[p] = peers_data(o, panels[p].what, panels[p].block, f);
        used += counts[p] != 0;
        total += counts[p];
    }
    fprintf(f,
            "set multiplot layout 1,%u title machine font ',10'\nset style data histogram\n"
            "set style histogram errorbars gap 1 lw 1\nset style fill solid 0.85 border -1\n"
            "set ylabel 'time [ns/buffer]'\nset yrange [0:*]\nset xtics font ',8'\n"
            "set key outside bottom center horizontal\n",
            used ? used : 1);
    for (unsigned p = 0; p < ARRAY_LENGTH(panels); p++) {
        if (!counts[p])
            continue;
        fprintf(f, "set title '%s'\nset xrange [-0.5:%u.5]\n", panels[p].title, counts[p] - 1);
        for (unsigned b = 0; b < ARRAY_LENGTH(bars); b++)
            fprintf(f, "%s$%s using %u:%u:%u:xtic(1) ls %u dt 1 title '%s'",
                    b ? ", \\\n     " : "plot ", panels[p].block, 3 * b + 2, 3 * b + 3, 3 * b + 4,
                    b + 1, bars[b].title);
        putc('\n', f);
    }
    fputs("unset multiplot\n", f);
    return total;
}

unsigned suite_plot_write(const json_t *o, enum suite_plot p, FILE *f)
{
    switch (p) {
    case SUITE_PLOT_BATCH:
        return plot_batch(o, f);
    case SUITE_PLOT_LATENCY:
        return plot_latency(o, f);
    case SUITE_PLOT_SAFETY:
        return plot_safety(o, f);
    case SUITE_PLOT_PEERS:
        return plot_peers(o, f);
    case SUITE_PLOT_DESIGNS:
        return suite_plot_designs(o, f);
    case SUITE_PLOT_SCALING:
        return suite_plot_scaling(o, f);
    case SUITE_PLOTS:
        break;
    }
    return 0;
}
