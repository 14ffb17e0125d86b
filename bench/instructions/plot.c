/* SPDX-License-Identifier: MIT */
/* Pictures of a run. */
#include <string.h>

#include "insns/insns.h"
#include "plot/script.h"
#include "report/members.h"
#include "util/bits.h"

#define PANELS_MAX 4u
#define BARS_MAX   32u
#define PART_BYTES 64u

/* Of a row, "x86: grants, grant-map: read 4 KiB": a panel, a group of bars, and a bar in it. */
struct parts {
    char panel[PART_BYTES], group[PART_BYTES], bar[PART_BYTES];
};

struct names {
    char names[BARS_MAX][PART_BYTES];
    unsigned count;
};

struct picture {
    struct names panels, groups, bars;
};

static bool copy_part(char to[PART_BYTES], const char *from, size_t bytes)
{
    if (bytes == 0 || bytes >= PART_BYTES)
        return false;
    memcpy(to, from, bytes);
    to[bytes] = '\0';
    return true;
}

/* A row of requests has three parts, one of primitives two: these are grouped by their names, and a
 * bar is an architecture. */
static bool split(const char *name, enum insns_plot which, struct parts *p)
{
    const char *first = strstr(name, ": "), *second = first ? strstr(first + 2, ": ") : NULL;

    if (!first)
        return false;
    if (which == INSNS_PLOT_PRIMITIVES)
        return !second && copy_part(p->panel, "all", 3) &&
               copy_part(p->bar, name, (size_t)(first - name)) &&
               copy_part(p->group, first + 2, strlen(first + 2));
    return second && copy_part(p->panel, name, (size_t)(first - name)) &&
           copy_part(p->group, first + 2, (size_t)(second - first - 2)) &&
           copy_part(p->bar, second + 2, strlen(second + 2));
}

static bool add_name(struct names *n, const char *name, unsigned max)
{
    for (unsigned i = 0; i < n->count; i++)
        if (!strcmp(n->names[i], name))
            return true;
    if (n->count == max)
        return false;
    memcpy(n->names[n->count++], name, PART_BYTES);
    return true;
}

static const json_t *row_of(const json_t *rows, enum insns_plot which, const char *panel,
                            const char *group, const char *bar)
{
    const json_t *row;
    struct parts p;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        if (split(text_of(row, "name"), which, &p) && !strcmp(p.panel, panel) &&
            !strcmp(p.group, group) && !strcmp(p.bar, bar))
            return row;
    }
    return NULL;
}

/* A bar of each group, in thousands, as the datablock $<panel>_<bar>. Returns how many. */
static unsigned put_data(const json_t *rows, enum insns_plot which, const struct picture *pic,
                         unsigned panel, unsigned bar, FILE *f)
{
    unsigned count = 0;

    fprintf(f, "$bars_%u_%u << EOD\n", panel, bar);
    for (unsigned g = 0; g < pic->groups.count; g++) {
        const json_t *row = row_of(rows, which, pic->panels.names[panel], pic->groups.names[g],
                                   pic->bars.names[bar]);
        const json_t *first = json_array_get(json_object_get(row, "boots"), 0);

        plot_quoted(pic->groups.names[g], f);
        if (first)
            fprintf(f, " %.6g %.6g %.6g\n", json_number_value(json_object_get(row, "value")) / 1000,
                    json_number_value(json_object_get(first, "low")) / 1000,
                    json_number_value(json_object_get(first, "high")) / 1000);
        else
            fputs(" NaN NaN NaN\n", f);
        count += first != NULL;
    }
    fputs("EOD\n", f);
    return count;
}

const char *insns_plot_name(enum insns_plot which)
{
    return which == INSNS_PLOT_REQUESTS ? "requests" : "primitives";
}

unsigned insns_write_plot(const json_t *contents, enum insns_plot which, FILE *f)
{
    const json_t *rows = json_object_get(contents, "rows"), *row;
    struct picture pic = {.panels = {.count = 0}};
    unsigned total = 0;
    struct parts p;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        if (split(text_of(row, "name"), which, &p) && add_name(&pic.panels, p.panel, PANELS_MAX) &&
            add_name(&pic.bars, p.bar, PLOT_STYLES))
            (void)add_name(&pic.groups, p.group, BARS_MAX);
    }
    plot_begin(insns_plot_name(which), 1000, 560, f);
    for (unsigned k = 0; k < pic.panels.count; k++)
        for (unsigned b = 0; b < pic.bars.count; b++)
            total += put_data(rows, which, &pic, k, b, f);
    fputs("machine = 'instructions on the real Xen, counted by QEMU: no times; bars: the middle 80 "
          "% of the batches; ringproof '.",
          f);
    plot_quoted(text_of(json_object_get(contents, "run"), "version"), f);
    fprintf(f,
            "\nset multiplot layout 1,%u title machine font ',10'\nset style data histogram\n"
            "set style histogram errorbars gap 1 lw 1\nset style fill solid 0.85 border -1\n"
            "set xtics rotate by 35 right\nset key outside top center horizontal maxrows 2\n",
            pic.panels.count ? pic.panels.count : 1);
    fputs(which == INSNS_PLOT_REQUESTS
              ? "set ylabel 'instructions [thousand/request]'\nset yrange [0:*]\nset bmargin 8\n"
                "set tmargin 7\n"
              : "set ylabel 'instructions [thousand/operation]'\nset logscale y\n"
                "set yrange [0.1:*]\nset bmargin 11\nset lmargin 22\nset tmargin 5\n",
          f);
    for (unsigned k = 0; k < pic.panels.count; k++) {
        if (which == INSNS_PLOT_REQUESTS) {
            fputs("set title ", f);
            plot_quoted(pic.panels.names[k], f);
            putc('\n', f);
        }
        for (unsigned b = 0; b < pic.bars.count; b++) {
            fprintf(f, "%s$bars_%u_%u using 2:3:4:xtic(1) ls %u dt 1 title ",
                    b ? ", \\\n     " : "plot ", k, b, b + 1);
            plot_quoted(pic.bars.names[b], f);
        }
        putc('\n', f);
    }
    fputs("unset multiplot\n", f);
    return total;
}
