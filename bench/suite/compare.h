/* SPDX-License-Identifier: MIT */
/*
 * Two runs of benchmarks, side by side: what became better, what became worse, and of what nothing
 * can be said.
 *
 * A *metric* of a row is the first variant's value, or its ratio to another variant. Two medians
 * differ when their intervals do not meet; whoever wants less than that measures again. Between
 * runs on another machine, testbed or placement of the CPUs nothing is compared, ratios neither:
 * what a check costs depends on what is waited for meanwhile.
 *
 * The files are anybody's.
 */
#ifndef RP_SUITE_COMPARE_H
#define RP_SUITE_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "stats/sample.h"

/* A difference below is none, however sure it is: code moves by as much when it is linked anew. */
#define SUITE_SLACK 0.02

struct suite_change {
    const char *row, *metric; /* borrowed from the files' contents; metric: the row's unit,
                                 or the variant to which the ratio is */
    bool is_ratio;
    double before, after; /* medians; NaN where there is none */
    struct sample ratio;  /* after to before: less is better */
    enum sample_verdict verdict;
    const char *why; /* nothing can be said of it; else NULL */
};

struct suite_comparison {
    struct suite_change *changes;
    unsigned count;
    unsigned verdicts[SAMPLE_UNKNOWN + 1];
};

/* A file of results, or the folder that holds one. 0; -ENOENT for what is no benchmark at all;
 * another -errno for one that cannot be used. `why` says so. */
int suite_load(const char *path, json_t **o, char *why, size_t why_size);

/* 0, -EPROTO for contents that are none of suite_to_json, or -ENOMEM. The contents stay the
 * caller's, and have to stay as long as the comparison. */
int suite_compare(const json_t *before, const json_t *after, struct suite_comparison *c);
void suite_comparison_fini(struct suite_comparison *c);

/* A Markdown table of all that did not stay the same, or with `all` of everything, and a line that
 * counts. */
void suite_comparison_write(const struct suite_comparison *c, bool all, FILE *f);

#endif
