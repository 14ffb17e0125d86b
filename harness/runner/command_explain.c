/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"
#include "runner/agent_checks.h"
#include "runner/runner.h"

static void explain(const struct catalog *c, const struct requirement *r,
                    const struct agent_checks *checks)
{
    unsigned provers = 0;
    size_t mutants;
    const struct catalog_mutant *m = catalog_mutants(c, &mutants);

    printf("%s\n  %s, binds the %s\n  source: %s\n", r->id, r->level, r->role, r->source);
    if (r->text[0])
        printf("  %s\n", r->text);
    for (unsigned i = 0; i < checks->count; i++) {
        const struct agent_check *k = &checks->items[i];
        if (!agent_check_proves(k, r->id))
            continue;
        provers++;
        printf("  proved by %s (%s)%s%s\n", k->name, k->place, k->title[0] ? ": " : "", k->title);
        for (size_t j = 0; j < mutants; j++)
            if (!strcmp(m[j].check, k->name))
                printf("    fails with mutant %s: %s\n", m[j].name, m[j].description);
    }
    if (!provers && r->unobservable)
        printf("  not observable: %s\n", r->unobservable);
    else if (!provers)
        puts("  no check proves it yet");
}

static void explain_check(const struct catalog *c, const struct agent_check *k,
                          const struct agent_checks *all)
{
    char *ids = strdup(k->proves), *save = NULL;

    printf("%s (%s), judges the %s%s%s\n\n", k->name, k->place, k->judges, k->title[0] ? ": " : "",
           k->title);
    for (char *id = ids ? strtok_r(ids, " ", &save) : NULL; id; id = strtok_r(NULL, " ", &save)) {
        const struct requirement *r = catalog_find(c, id);
        if (r)
            explain(c, r, all);
        else
            printf("%s\n  not in the catalogue\n", id);
    }
    free(ids);
}

int command_explain(int argc, char **argv)
{
    struct run_options o;
    struct install in = {0};
    struct agent_checks checks = {0};
    struct catalog *c = NULL;
    char why[512], dir[1024];
    int status = REPORT_BAD_USAGE;

    int ret = options_parse("explain", argc, argv, &o);
    if (ret)
        goto out;
    if (o.name_count != 1) {
        fputs("usage: ringproof explain ID (of a requirement, or the name of a check)\n", stderr);
        goto out;
    }
    status = REPORT_HARNESS_ERROR;
    if (install_find(&o, false, &in))
        goto out;
    snprintf(dir, sizeof(dir), "%s/harness/catalog", in.data);
    if (catalog_load(dir, &c, why, sizeof(why))) {
        fprintf(stderr, "ringproof explain: %s\n", why);
        goto out;
    }
    if (agent_checks_load(&in, &checks))
        goto out;

    const struct requirement *r = catalog_find(c, o.names[0]);
    status = REPORT_PASSED;
    if (r) {
        explain(c, r, &checks);
        goto out;
    }
    for (unsigned i = 0; i < checks.count; i++) {
        if (strcmp(checks.items[i].name, o.names[0]))
            continue;
        explain_check(c, &checks.items[i], &checks);
        goto out;
    }
    fprintf(stderr, "ringproof explain: '%s' is neither a requirement nor a check\n", o.names[0]);
    status = REPORT_BAD_USAGE;
out:
    catalog_destroy(c);
    agent_checks_fini(&checks);
    install_fini(&in);
    free(o.names);
    return ret == 1 ? 0 : status;
}
