/* SPDX-License-Identifier: MIT */
/* Pictures of what was measured on simxen. */
#include <string.h>

#include "plot/script.h"
#include "suite/plot_impl.h"
#include "suite/read.h"
#include "suite/suite.h"
#include "util/bits.h"

static const char on_sim[] = "simxen (a simulated Xen)";

/* ---- designs ---- */

/* Is it a row of that family, on simxen, with this placement? */
static bool is_of(const json_t *row, const char *family, const char *placement)
{
    return !strcmp(text_of(row, "family"), family) &&
           !strcmp(text_of(row, "testbed"), suite_testbed_name(SUITE_SIM)) &&
           !strcmp(text_of(row, "placement"), placement);
}

/* A row's name without its family. */
static const char *short_name(const json_t *row)
{
    const char *name = text_of(row, "name");
    size_t n = strlen(text_of(row, "family"));

    return !strncmp(name, text_of(row, "family"), n) && name[n] == ' ' ? name + n + 1 : name;
}

/* One row's bars, in us, as the datablock $<placement>_<index>. Returns how many. */
static unsigned designs_data(const json_t *row, const char *placement, unsigned index, FILE *f)
{
    unsigned count = 0;
    const json_t *v;
    size_t i;

    fprintf(f, "$%s_%u << EOD\n", placement, index);
    json_array_foreach(json_object_get(row, "variants"), i, v)
    {
        const json_t *s = sample_of(v, "value", 1);

        plot_quoted(text_of(v, "name"), f);
        if (s)
            fprintf(f, " %.6g %.6g %.6g\n", number_of(s, "median") / 1000,
                    number_of(s, "p10") / 1000, number_of(s, "p90") / 1000);
        else
            fputs(" NaN NaN NaN\n", f);
        count += s != NULL;
    }
    fputs("EOD\n", f);
    return count;
}

/* Series of one panel: the rows that it shows. */
struct panel {
    const json_t *rows[SERIES_MAX];
    unsigned count;
};

static void put_bars(const struct panel *p, const char *placement, const char *title, FILE *f)
{
    fprintf(f, "set title '%s: %s'\n", placement, title);
    for (unsigned i = 0; i < p->count; i++) {
        fprintf(f, "%s$%s_%u using 2:3:4:xtic(1) ls %u dt 1 title ", i ? ", \\\n     " : "plot ",
                placement, i, i + 1);
        plot_quoted(short_name(p->rows[i]), f);
    }
    putc('\n', f);
}

unsigned suite_plot_designs(const json_t *o, FILE *f)
{
    struct panel panels[SUITE_PLACEMENTS] = {{{NULL}, 0}};
    unsigned used = 0, total = 0;
    const json_t *row;
    size_t i;

    suite_plot_head(o, SUITE_PLOT_DESIGNS, 0, on_sim, f);
    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++) {
        struct panel *panel = &panels[p];

        json_array_foreach(rows_of(o), i, row)
        {
            unsigned bars = 0;

            if (panel->count < SERIES_MAX && is_of(row, SUITE_DESIGNS, suite_placements[p].name))
                bars = designs_data(row, suite_placements[p].name, panel->count, f);
            if (bars)
                panel->rows[panel->count++] = row;
            total += bars;
        }
        used += panel->count != 0;
    }
    fprintf(f,
            "set multiplot layout 1,%u title machine font ',10'\nset style data histogram\n"
            "set style histogram errorbars gap 1 lw 1\nset style fill solid 0.85 border -1\n"
            "set ylabel 'time [us/request]'\nset yrange [0:*]\nset xtics rotate by -40\n"
            "set bmargin 11\nset key top right\n",
            used ? used : 1);
    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++)
        if (panels[p].count)
            put_bars(&panels[p], suite_placements[p].name, suite_placements[p].title, f);
    fputs("unset multiplot\n", f);
    return total;
}

/* ---- scaling ---- */

/* Requests in a second, in thousands, from a time for one. */
static void put_point(unsigned x, const json_t *s, FILE *f)
{
    fprintf(f, "%u %.6g %.6g %.6g\n", x, 1e6 / number_of(s, "median"), 1e6 / number_of(s, "p90"),
            1e6 / number_of(s, "p10"));
}

/* "2 queues" of a row "... by queues": the points of one curve. */
static unsigned queues_data(const json_t *row, const char *block, FILE *f)
{
    unsigned count = 0, queues;
    const json_t *v;
    size_t i;

    fprintf(f, "%s << EOD\n", block);
    json_array_foreach(json_object_get(row, "variants"), i, v)
    {
        const json_t *s = sample_of(v, "value", 1);

        if (!s || sscanf(text_of(v, "name"), "%u queue", &queues) != 1 || queues == 0)
            continue;
        put_point(queues, s, f);
        count++;
    }
    fputs("EOD\n", f);
    return count;
}

/* The rows "randread 4k depth=N" and their variant of that name. */
static unsigned depth_data(const json_t *o, const char *placement, const char *variant,
                           const char *block, FILE *f)
{
    unsigned count = 0, depth;
    const json_t *row;
    size_t i;

    fprintf(f, "%s << EOD\n", block);
    json_array_foreach(rows_of(o), i, row)
    {
        const json_t *s = sample_of(variant_of(row, variant), "value", 1);
        int used = 0;

        if (!s || !is_of(row, "fio", placement) ||
            sscanf(short_name(row), "randread 4k depth=%u%n", &depth, &used) != 1 ||
            short_name(row)[used] || depth == 0)
            continue;
        put_point(depth, s, f);
        count++;
    }
    fputs("EOD\n", f);
    return count;
}

static unsigned scaling_queues(const json_t *o, unsigned *style, FILE *f)
{
    const char *between = "plot ";
    char block[32], titles[SERIES_MAX][2 * NAME_BYTES];
    unsigned count = 0, total = 0;
    const json_t *row;
    size_t i;

    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++)
        json_array_foreach(rows_of(o), i, row)
        {
            unsigned points = 0;

            snprintf(block, sizeof(block), "$queues_%u", count);
            if (count < SERIES_MAX && is_of(row, "fio", suite_placements[p].name) &&
                strstr(text_of(row, "name"), " by queues"))
                points = queues_data(row, block, f);
            if (points)
                snprintf(titles[count++], sizeof(titles[0]), "%.60s (%s)", short_name(row),
                         suite_placements[p].name);
            total += points;
        }
    fputs("set xtics (1,2,4)\nset xlabel 'queues [number], each with a job of its own'\nset xrange "
          "[0.9:4.4]\n"
          "set ylabel 'requests [thousand/s]'\nset title 'by queues'\n",
          f);
    for (unsigned k = 0; k < count; k++) {
        fprintf(f, "%s$queues_%u using 1:2:3:4 with yerrorlines ls %u dt 1 title ", between, k,
                ++*style);
        plot_quoted(titles[k], f);
        between = ", \\\n     ";
    }
    putc('\n', f);
    return total;
}

static unsigned scaling_depth(const json_t *o, FILE *f)
{
    static const char *const variants[] = {"split", "packed"};
    unsigned points[SUITE_PLACEMENTS][ARRAY_LENGTH(variants)], total = 0;
    const char *between = "plot ";
    char block[32];

    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++)
        for (unsigned v = 0; v < ARRAY_LENGTH(variants); v++) {
            snprintf(block, sizeof(block), "$depth_%u_%u", p, v);
            points[p][v] = depth_data(o, suite_placements[p].name, variants[v], block, f);
            total += points[p][v];
        }
    fputs("set xtics auto\nset xlabel 'requests outstanding [number]'\nset logscale x 2\nset "
          "xrange [0.9:150]\n"
          "set ylabel 'requests [thousand/s]'\nset title 'random reads of 4 KiB, one queue'\n",
          f);
    for (unsigned p = 0; p < SUITE_PLACEMENTS; p++)
        for (unsigned v = 0; v < ARRAY_LENGTH(variants); v++) {
            if (!points[p][v])
                continue;
            fprintf(f, "%s$depth_%u_%u using 1:2:3:4 with yerrorlines ls %u dt 1 title '%s (%s)'",
                    between, p, v, 2 * p + v + 1, variants[v], suite_placements[p].name);
            between = ", \\\n     ";
        }
    putc('\n', f);
    return total;
}

unsigned suite_plot_scaling(const json_t *o, FILE *f)
{
    unsigned style = 0, queues, depth;

    suite_plot_head(o, SUITE_PLOT_SCALING, 0, on_sim, f);
    fputs("set multiplot layout 1,2 title machine font ',10'\nset yrange [0:*]\n"
          "set key bottom right\n",
          f);
    queues = scaling_queues(o, &style, f);
    depth = scaling_depth(o, f);
    fputs("unset multiplot\n", f);
    return queues + depth;
}
