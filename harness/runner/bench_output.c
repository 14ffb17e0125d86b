/* SPDX-License-Identifier: MIT */
#include "runner/bench_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/tool.h"

#define GNUPLOT_NS    60000000000ull
#define SVG_BYTES_MAX (8u << 20)

static int complain(const char *path, int error)
{
    fprintf(stderr, "ringproof bench: %s: %s\n", path, strerror(-error));
    return error;
}

int bench_output_write(const json_t *contents, const char *dir, const char *name,
                       void (*write)(const json_t *contents, FILE *f))
{
    char *path = NULL;
    int ret = 0;
    FILE *f;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return -ENOMEM;
    f = fopen(path, "we");
    if (!f) {
        ret = complain(path, -errno);
        goto out;
    }
    write(contents, f);
    ret = ferror(f) ? -EIO : 0;
    if (fclose(f) || ret)
        ret = complain(path, -EIO);
out:
    free(path);
    return ret;
}

/* A whole file; NULL when it is not there or too large. */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    long size = -1;

    if (!f)
        return NULL;
    if (!fseek(f, 0, SEEK_END))
        size = ftell(f);
    rewind(f);
    if (size > 0 && size <= (long)SVG_BYTES_MAX)
        text = calloc(1, (size_t)size + 1);
    if (text && fread(text, 1, (size_t)size, f) != (size_t)size) {
        free(text);
        text = NULL;
    }
    fclose(f);
    return text;
}

/* Runs the script in its folder, once for each form. 0, -ENOENT without gnuplot, or -EIO. */
static int run_gnuplot(const char *dir, const char *name)
{
    static const char *const forms[] = {"svg", "png"};
    int ret = 0;

    for (unsigned i = 0; i < 2 && ret == 0; i++) {
        struct words argv = {0};
        char *output = NULL;

        words_add(&argv, "env");
        words_add(&argv, "-C");
        words_add(&argv, dir);
        words_add(&argv, "gnuplot");
        words_add(&argv, "-e");
        words_addf(&argv, "form='%s'", forms[i]);
        words_addf(&argv, "%s.gp", name);
        ret = argv.failed ? -ENOMEM : tool_run(&argv, NULL, GNUPLOT_NS, &output);
        if (ret == 127) {
            ret = -ENOENT;
        } else if (ret) {
            fprintf(stderr, "ringproof bench: %s.gp: %s\n", name, output ? output : "no end");
            ret = -EIO;
        }
        words_fini(&argv);
        free(output);
    }
    return ret;
}

int bench_output_draw(const json_t *contents, const char *dir, const char *name,
                      unsigned (*write)(const json_t *contents, unsigned which, FILE *f),
                      unsigned which, char **svg)
{
    char *script = NULL, *picture = NULL;
    unsigned values = 0;
    int ret = -ENOMEM;
    FILE *f;

    if (asprintf(&script, "%s/%s.gp", dir, name) < 0 ||
        asprintf(&picture, "%s/%s.svg", dir, name) < 0)
        goto out;
    f = fopen(script, "we");
    if (!f) {
        ret = complain(script, -errno);
        goto out;
    }
    values = write(contents, which, f);
    ret = ferror(f) ? -EIO : 0;
    if (fclose(f) || ret) {
        ret = complain(script, -EIO);
        goto out;
    }
    if (values == 0) {
        unlink(script);
        goto out;
    }
    ret = run_gnuplot(dir, name);
    if (ret == 0 && svg)
        *svg = read_file(picture);
out:
    free(script);
    free(picture);
    return ret;
}
