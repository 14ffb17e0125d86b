/* SPDX-License-Identifier: MIT */
#include "runner/bench_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/bench_output.h"
#include "suite/plot.h"

int bench_files_write(const json_t *contents, const char *dir)
{
    return bench_output_write(contents, dir, "bench.json", suite_write_json);
}

static unsigned write_plot(const json_t *contents, unsigned which, FILE *f)
{
    return suite_plot_write(contents, (enum suite_plot)which, f);
}

int bench_files_draw(const json_t *contents, const char *dir)
{
    char *svg[SUITE_PLOTS] = {NULL}, *path = NULL;
    int ret = bench_output_write(contents, dir, "bench.md", suite_write_markdown);
    FILE *f;

    for (unsigned p = 0; p < SUITE_PLOTS && ret == 0; p++)
        ret = bench_output_draw(contents, dir, suite_plot_name((enum suite_plot)p), write_plot, p,
                                &svg[p]);
    if (ret == -ENOENT) {
        fputs("ringproof bench: no pictures: gnuplot is not installed\n", stderr);
        ret = 0;
    }
    if (ret == 0 && asprintf(&path, "%s/bench.html", dir) < 0)
        ret = -ENOMEM;
    if (ret)
        goto out;
    f = fopen(path, "we");
    if (!f) {
        ret = -errno;
        goto said;
    }
    suite_page_write(contents, svg, f);
    ret = ferror(f) ? -EIO : 0;
    if (fclose(f) || ret)
        ret = -EIO;
said:
    if (ret)
        fprintf(stderr, "ringproof bench: %s: %s\n", path, strerror(-ret));
out:
    for (unsigned p = 0; p < SUITE_PLOTS; p++)
        free(svg[p]);
    free(path);
    return ret;
}
