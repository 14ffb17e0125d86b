/* SPDX-License-Identifier: MIT */
/* What runs of benchmarks leave: files of a run's contents, and pictures by gnuplot. */
#ifndef RP_RUNNER_BENCH_OUTPUT_H
#define RP_RUNNER_BENCH_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

/* <dir>/<name>. 0 or -errno after an explanation on stderr. */
int bench_output_write(const json_t *contents, const char *dir, const char *name,
                       void (*write)(const json_t *contents, FILE *f));

/*
 * A picture: <name>.gp as `write` writes it, .svg and .png. `write` returns how many values are in
 * the script; with 0 there is no picture. *svg, which may be NULL, is the picture as its file has
 * it, malloc'd, or untouched. 0; -ENOENT: gnuplot is not installed; -errno after an explanation on
 * stderr.
 */
int bench_output_draw(const json_t *contents, const char *dir, const char *name,
                      unsigned (*write)(const json_t *contents, unsigned which, FILE *f),
                      unsigned which, char **svg);

#endif
