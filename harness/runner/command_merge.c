/* SPDX-License-Identifier: MIT */
/* ringproof merge: results from several places become one. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "report/text.h"
#include "runner/runner.h"

void command_complain(const char *command, const char *why)
{
    fprintf(stderr, "ringproof %s: ", command);
    text_write_plain(stderr, why, 0);
    putc('\n', stderr);
}

struct report *merge_results(const char *command, const struct run_options *o, int argc,
                             char **argv)
{
    struct report *r = command_report_create(command, argc, argv);
    char why[1024];

    if (!o->name_count) {
        command_complain(command, "no result is named (see --help)");
        goto failed;
    }
    for (unsigned i = 0; i < o->name_count; i++) {
        struct report *one;
        if (report_load(o->names[i], &one, why, sizeof(why))) {
            command_complain(command, why);
            goto failed;
        }
        report_merge(r, one, o->names[i]);
        report_destroy(one);
    }
    return r;
failed:
    report_destroy(r);
    return NULL;
}

/* The folder that is named, or a new one. A result that is there stays: it may be one of those
 * that were merged. NULL after an explanation. */
static char *make_output(const struct run_options *o, const struct report *r)
{
    char *dir = run_results_dir(o, r), why[1024], *file = NULL;

    if (!dir || asprintf(&file, "%s/result.json", dir) < 0)
        goto failed;
    if (!access(file, F_OK)) {
        snprintf(why, sizeof(why), "%s is there already", file);
        command_complain("merge", why);
        goto failed;
    }
    free(file);
    return dir;
failed:
    free(file);
    free(dir);
    return NULL;
}

int command_merge(int argc, char **argv)
{
    struct run_options o;
    struct report *r = NULL;
    char *dir = NULL, why[1024];
    int status = REPORT_BAD_USAGE;

    int ret = options_parse("merge", argc, argv, &o);
    if (ret)
        goto out;
    r = merge_results("merge", &o, argc, argv);
    if (!r)
        goto out;
    const struct report_merge_options how = {
        .partial = o.partial, .compare = o.has_at_least, .at_least = (unsigned)o.at_least};
    if (report_merge_finish(r, &how, why, sizeof(why))) {
        command_complain("merge", why);
        goto out;
    }
    dir = make_output(&o, r);
    if (!dir)
        goto out;
    status = report_status(r);
    if (report_write_files(r, dir, why, sizeof(why))) {
        command_complain("merge", why);
        status = REPORT_HARNESS_ERROR;
    }
    const struct report_style style = {.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
                                       .rerun = "ringproof run"};
    printf("\nresults in %s\n", dir);
    report_write_summary(r, &style, stdout);
out:
    free(dir);
    report_destroy(r);
    free(o.names);
    return ret == 1 ? 0 : status;
}
