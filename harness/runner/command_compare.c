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
#include "util/bits.h"

/* Two runs of one kind, before and after. */
struct kind {
    const char *name;
    int (*load)(const char *path, json_t **o, char *why, size_t why_size);
    /* Writes what changed, and how much of it is worse. 0, -EPROTO or -ENOMEM. */
    int (*compare)(json_t *const runs[2], bool all, unsigned *worse);
};

static int compare_benches(json_t *const runs[2], bool all, unsigned *worse)
{
    struct suite_comparison c = {0};
    int ret = suite_compare(runs[0], runs[1], &c);

    if (!ret)
        suite_comparison_write(&c, all, stdout);
    *worse = c.verdicts[SAMPLE_WORSE];
    suite_comparison_fini(&c);
    return ret;
}

static int compare_instructions(json_t *const runs[2], bool all, unsigned *worse)
{
    struct insns_comparison c = {0};
    int ret = insns_compare(runs[0], runs[1], &c);

    if (!ret)
        insns_comparison_write(&c, all, stdout);
    *worse = c.verdicts[SAMPLE_WORSE];
    insns_comparison_fini(&c);
    return ret;
}

static const struct kind kinds[] = {
    {"ringproof bench", suite_load, compare_benches},
    {"ringproof bench --instructions", insns_load, compare_instructions},
};

/* The exit status; -ENOENT when the first that is named is none of these. */
static int compare_runs(const struct run_options *o, const struct kind *k)
{
    json_t *runs[2] = {NULL, NULL};
    int status = REPORT_BAD_USAGE, ret;
    unsigned worse = 0;
    char why[1024];

    for (unsigned i = 0; i < 2 && i < o->name_count; i++) {
        ret = k->load(o->names[i], &runs[i], why, sizeof(why));
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
    ret = k->compare(runs, o->all, &worse);
    if (ret) {
        snprintf(why, sizeof(why), "no result of %s", k->name);
        command_complain("compare", ret == -EPROTO ? why : strerror(-ret));
        goto out;
    }
    status = worse ? REPORT_SUBJECT_FAILED : REPORT_PASSED;
out:
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
    for (size_t i = 0; o.name_count && i < ARRAY_LENGTH(kinds); i++) {
        int of_runs = compare_runs(&o, &kinds[i]);

        if (of_runs != -ENOENT) {
            status = of_runs;
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
