/* SPDX-License-Identifier: MIT */
/*
 * Pictures of a run of benchmarks: scripts for gnuplot, each with its data in it, and a page of
 * HTML that has the pictures and every row. Both are made of the file's contents, so that a run can
 * be drawn again; the file is anybody's, and texts of it reach gnuplot by plot/script.h only.
 */
#ifndef RP_SUITE_PLOT_H
#define RP_SUITE_PLOT_H

#include <jansson.h>
#include <stdio.h>

enum suite_plot {
    SUITE_PLOT_BATCH,   /* throughput against batch */
    SUITE_PLOT_LATENCY, /* histogram, and how many took longer */
    SUITE_PLOT_SAFETY,  /* what checks cost, by row */
    SUITE_PLOT_PEERS,   /* bars: ours, peers, the floor */
    SUITE_PLOT_DESIGNS, /* bars: what a request takes in each design */
    SUITE_PLOT_SCALING, /* throughput against queues, and against requests outstanding */
    SUITE_PLOTS
};

/* "batch", ...: of files. */
const char *suite_plot_name(enum suite_plot p);
/* What the picture shows, in a sentence. */
const char *suite_plot_caption(enum suite_plot p);

/* The script. It writes `out`, or <name>.svg here; with form='png' a PNG. Returns how many values
 * are in it; with 0 the script draws nothing and is not to be used. */
unsigned suite_plot_write(const json_t *o, enum suite_plot p, FILE *f);

/* One page, that needs nothing else. svg[p] is a picture as a file has it, or NULL. */
void suite_page_write(const json_t *o, char *const svg[SUITE_PLOTS], FILE *f);

#endif
