/* SPDX-License-Identifier: MIT */
/*
 * A run of `ringproof bench --instructions`: what operations cost in executed instructions, of one
 * machine that was booted several times, and the file that keeps it.
 *
 * A row is one operation. Each boot gives it a value, the median of its batches; the row's value is
 * their mean. Values of different boots differ by almost nothing, whatever the host does meanwhile:
 * what two runs differ by beyond a bound is a change of the code that was executed. Code that moves
 * by a few bytes changes a queue's figures by more than those of requests one by one, and what many
 * pages at once cost depends on where they lie, hence three bounds; to them comes what the boots of
 * both runs differ by among themselves.
 *
 * A value depends on everything that executes instructions: runs are compared where the versions
 * of Xen, of Linux, of QEMU and of the compiler are the same. The machine under QEMU is nothing to
 * it.
 */
#ifndef RP_INSNS_INSNS_H
#define RP_INSNS_INSNS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "report/report.h"
#include "stats/sample.h"

#define INSNS_FORMAT    1 /* of the file; changes when a reader has to */
#define INSNS_BOOTS_MAX 16u
#define INSNS_ROWS_MAX  4096u

/* The smallest change of a value that is one. */
#define INSNS_BOUND        0.005
#define INSNS_BOUND_QUEUED 0.03
#define INSNS_BOUND_PAGES  0.05

struct insns_value {
    double median;    /* of the batches, for one operation */
    double low, high; /* between which 80 % of them are */
};

struct insns_row {
    char *name; /* "x86: grants, grant-map: read 4 KiB" */
    char *arch, *cell;
    struct insns_value boots[INSNS_BOOTS_MAX];
    unsigned boot_count;
    struct report_pairs counts; /* what simxen counted for one; none: it counts no such thing */
};

struct insns {
    const char *id, *started, *version; /* borrowed */
    double duration_s;
    unsigned boots;              /* that were asked for */
    struct report_pairs machine; /* "x86.xen" and its version */
    struct report_pairs said;    /* what went otherwise than planned, such as a second boot */
    struct insns_row *rows;
    unsigned row_count;
};

void insns_fini(struct insns *n);

/* Adds a boot's values of a cell's checks: rows that are new, or one more value of the others. 0;
 * -EPROTO for notes that are none of check/cost.h; -ENOMEM; -E2BIG. */
int insns_take(struct insns *n, const struct report_cell *cell);
/* Adds to the rows of requests one by one what a cell of simxen counted for the same requests. */
void insns_count(struct insns *n, const struct report_cell *counted);

/* Of a row, by its name. */
double insns_bound(const char *name);
double insns_mean(const struct insns_row *row);
/* The part by which its boots differ; 0 of one. */
double insns_difference(const struct insns_row *row);

json_t *insns_to_json(const struct insns *n);
void insns_write_json(const json_t *contents, FILE *f);
/* Of a file's contents. */
void insns_write_markdown(const json_t *contents, FILE *f);

enum insns_plot {
    INSNS_PLOT_REQUESTS,   /* bars: a request by each way to memory, by architecture */
    INSNS_PLOT_PRIMITIVES, /* bars: what a request is made of */
    INSNS_PLOTS
};
/* "requests", ...: of files. */
const char *insns_plot_name(enum insns_plot which);
/* The script for gnuplot (plot/script.h). Returns how many values are in it; with 0 it draws
 * nothing. */
unsigned insns_write_plot(const json_t *contents, enum insns_plot which, FILE *f);

/* ---- comparing; the files are anybody's ---- */

struct insns_change {
    const char *row;      /* borrowed from the contents */
    double before, after; /* NaN where there is none */
    double by, bound;     /* parts of before: 0.01 is one per cent more */
    enum sample_verdict verdict;
    const char *why; /* nothing can be said of it; else NULL */
};

struct insns_comparison {
    struct insns_change *changes;
    unsigned count;
    unsigned verdicts[SAMPLE_UNKNOWN + 1];
    char *apart; /* the versions that differ, in a line; NULL: none */
};

/* A file, or the folder that holds instructions.json. 0; -ENOENT for what is no such run at all;
 * another -errno for one that cannot be used, and why. */
int insns_load(const char *path, json_t **o, char *why, size_t why_size);
/* 0, -EPROTO or -ENOMEM. The contents have to stay as long as the comparison. Rows that only the
 * earlier run has were left out on purpose: they count as not comparable. */
int insns_compare(const json_t *before, const json_t *after, struct insns_comparison *c);
void insns_comparison_fini(struct insns_comparison *c);
/* A Markdown table of what did not stay the same, or with `all` of everything, and a line that
 * counts. */
void insns_comparison_write(const struct insns_comparison *c, bool all, FILE *f);

#endif
