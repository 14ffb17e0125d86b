/* SPDX-License-Identifier: MIT */
/* ringproof compare: results of the same cells on several testbeds, side by side; or two runs of
 * benchmarks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "insns/insns.h"
#include "report/text.h"
#include "runner/runner.h"
#include "suite/compare.h"

/* The exit status of two benchmarks; -ENOENT when the first that is named is none. */
static int compare_benches(const struct run_options *o)
{
    json_t *runs[2] = {NULL, NULL};
    struct suite_comparison c = {0};
    int status = REPORT_BAD_USAGE, ret;
    char why[1024];

    for (unsigned i = 0; i < 2 && i < o->name_count; i++) {
        ret = suite_load(o->names[i], &runs[i], why, sizeof(why));
        if (ret == -ENOENT && i == 0)
            return -ENOENT;
        if (ret) {
            command_complain("compare", why);
            goto out;
        }
    }
    if (o->name_count != 2 || o->filter || o->has_at_least) {
        command_complain("compare", "of benchmarks two are compared, before and after, whole");
        goto out;
    }
    ret = suite_compare(runs[0], runs[1], &c);
    if (ret) {
        command_complain("compare",
                         ret == -EPROTO ? "no result of ringproof bench" : strerror(-ret));
        goto out;
    }
    suite_comparison_write(&c, o->all, stdout);
    status = c.verdicts[SAMPLE_WORSE] ? REPORT_SUBJECT_FAILED : REPORT_PASSED;
out:
    suite_comparison_fini(&c);
    json_decref(runs[0]);
    json_decref(runs[1]);
    return status;
}

/* The same of two runs of bench --instructions. */
static int compare_instructions(const struct run_options *o)
{
    json_t *runs[2] = {NULL, NULL};
    struct insns_comparison c = {0};
    int status = REPORT_BAD_USAGE, ret;
    char why[1024];

    for (unsigned i = 0; i < 2 && i < o->name_count; i++) {
        ret = insns_load(o->names[i], &runs[i], why, sizeof(why));
        if (ret == -ENOENT && i == 0)
            return -ENOENT;
        if (ret) {
            command_complain("compare", why);
            goto out;
        }
    }
    if (o->name_count != 2 || o->filter || o->has_at_least) {
        command_complain("compare", "of benchmarks two are compared, before and after, whole");
        goto out;
    }
    ret = insns_compare(runs[0], runs[1], &c);
    if (ret) {
        command_complain("compare", ret == -EPROTO ? "no result of ringproof bench --instructions"
                                                   : strerror(-ret));
        goto out;
    }
    insns_comparison_write(&c, o->all, stdout);
    status = c.verdicts[SAMPLE_WORSE] ? REPORT_SUBJECT_FAILED : REPORT_PASSED;
out:
    insns_comparison_fini(&c);
    json_decref(runs[0]);
    json_decref(runs[1]);
    return status;
}

int command_compare(int argc, char **argv)
{
    struct run_options o;
    struct report *r = NULL;
    char why[1024];
    int status = REPORT_BAD_USAGE;

    int ret = options_parse("compare", argc, argv, &o);
    if (ret)
        goto out;
    if (o.name_count) {
        int of_benches = compare_benches(&o);

        if (of_benches == -ENOENT)
            of_benches = compare_instructions(&o);
        if (of_benches != -ENOENT) {
            status = of_benches;
            goto out;
        }
    }
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
