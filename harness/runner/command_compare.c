/* SPDX-License-Identifier: MIT */
/* ringproof compare: results of the same cells on several testbeds, side by side. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "report/text.h"
#include "runner/runner.h"

int command_compare(int argc, char **argv)
{
    struct run_options o;
    struct report *r = NULL;
    char why[1024];
    int status = REPORT_BAD_USAGE;

    int ret = options_parse("compare", argc, argv, &o);
    if (ret)
        goto out;
    r = merge_results("compare", &o, argc, argv);
    if (!r)
        goto out;
    const char *checks = o.filter ? o.filter : "*";
    if (report_merge_unique(r, why, sizeof(why)) ||
        report_compare(r, checks, (unsigned)o.at_least, why, sizeof(why))) {
        command_complain("compare", why);
        goto out;
    }
    const struct report_style style = {.colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
    report_write_equivalence(r->equivalence, &style, o.all, stdout);
    status = report_equivalence_holds(r->equivalence) ? 0 : REPORT_SUBJECT_FAILED;
out:
    report_destroy(r);
    free(o.names);
    return ret == 1 ? 0 : status;
}
