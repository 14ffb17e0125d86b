/* SPDX-License-Identifier: MIT */
#include "plot/script.h"

#include <ctype.h>
#include <string.h>

void plot_text(const char *text, FILE *f)
{
    for (; *text; text++)
        putc(isalnum((unsigned char)*text) || strchr(" .,=+-_()/@%:", *text) ? *text : '?', f);
}

void plot_quoted(const char *text, FILE *f)
{
    putc('"', f);
    plot_text(text, f);
    putc('"', f);
}

void plot_begin(const char *name, unsigned width, unsigned height, FILE *f)
{
    fprintf(f,
            "# SPDX-License-Identifier: MIT\n"
            "# gnuplot -e \"form='png'\" FILE draws it as PNG\n"
            "if (!exists('form')) form = 'svg'\n"
            "if (!exists('out')) out = '%s.'.form\n"
            "if (form eq 'png') set terminal pngcairo size %u,%u font 'DejaVu Sans,10' noenhanced\n"
            "if (form ne 'png') set terminal svg size %u,%u font 'DejaVu Sans,12' noenhanced "
            "background '#ffffff'\n"
            "set output out\n"
            "set style line 1 lc rgb '#0072B2' pt 7 lw 1.5\n"
            "set style line 2 lc rgb '#D55E00' pt 9 lw 1.5 dt 2\n"
            "set style line 3 lc rgb '#009E73' pt 5 lw 1.5 dt 4\n"
            "set style line 4 lc rgb '#CC79A7' pt 13 lw 1.5 dt 5\n"
            "set style line 5 lc rgb '#E69F00' pt 6 lw 1.5\n"
            "set style line 6 lc rgb '#56B4E9' pt 8 lw 1.5 dt 2\n"
            "set style line 7 lc rgb '#000000' pt 4 lw 1.5 dt 4\n"
            "set style line 8 lc rgb '#F0E442' pt 12 lw 1.5 dt 5\n"
            "set border 3\nset tics nomirror\nset grid lc rgb '#dddddd'\n",
            name, width, height, width, height);
}
