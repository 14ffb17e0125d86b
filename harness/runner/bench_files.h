/* SPDX-License-Identifier: MIT */
/* The files of a run of benchmarks: bench.json, bench.md, pictures, and a page with them. */
#ifndef RP_RUNNER_BENCH_FILES_H
#define RP_RUNNER_BENCH_FILES_H

#include <jansson.h>

#include "suite/suite.h"

/* bench.json. 0 or -errno after an explanation on stderr. */
int bench_files_write(const json_t *contents, const char *dir);

/* For people, of a file's contents: bench.md, <picture>.gp, .svg and .png, and bench.html. Without
 * gnuplot the page has no pictures, and that is said. 0 or -errno after an explanation on stderr.
 */
int bench_files_draw(const json_t *contents, const char *dir);

#endif
