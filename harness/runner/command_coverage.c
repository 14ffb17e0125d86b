/* SPDX-License-Identifier: MIT */
/* How much of the catalogue has a check: figures by area and level, and what is missing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"
#include "runner/agent_checks.h"
#include "runner/runner.h"

#define AREAS_MAX 64u

enum class { CLASS_MUST, CLASS_SHOULD, CLASS_MAY, CLASSES };

struct count {
    unsigned all, checked, unobservable;
};

struct area {
    char name[32]; /* "blk", "xen.grant" */
    struct count of[CLASSES];
};

/* MUST NOT, SHALL and REQUIRED bind as MUST does. */
static enum class class_of(const struct requirement *r) {
    if (strstr(r->level, "MUST") || strstr(r->level, "SHALL") ||
        strstr(r->level, "REQUIRED")) return CLASS_MUST;
    return strstr(r->level, "SHOULD") ? CLASS_SHOULD : CLASS_MAY;
}

/* A VIRTIO statement about drivers binds the guest, which is not what is judged here. */
static bool is_judged(const struct requirement *r)
{
    return strcmp(r->role, "driver") != 0;
}

static bool is_checked(const struct requirement *r, const struct agent_checks *checks)
{
    for (unsigned i = 0; i < checks->count; i++)
        if (agent_check_proves(&checks->items[i], r->id))
            return true;
    return false;
}

/* The first part of the id; of Xen's own rules the first two. */
static size_t area_bytes(const struct requirement *r)
{
    size_t n = strcspn(r->id, ".");

    return strcmp(r->area, "xen") ? n : n + 1 + strcspn(r->id + n + 1, ".");
}

static struct area *find_area(struct area *areas, unsigned *count, const struct requirement *r)
{
    size_t n = area_bytes(r);

    for (unsigned i = 0; i < *count; i++)
        if (strlen(areas[i].name) == n && !strncmp(areas[i].name, r->id, n))
            return &areas[i];
    if (*count == AREAS_MAX || n >= sizeof(areas[0].name))
        return NULL;
    snprintf(areas[*count].name, sizeof(areas[0].name), "%.*s", (int)n, r->id);
    return &areas[(*count)++];
}

static void print_row(const char *name, const struct count *of)
{
    printf("%-18s", name);
    for (unsigned c = 0; c < CLASSES; c++) {
        unsigned holes = of[c].all - of[c].checked - of[c].unobservable;

        printf("  %4u %4u %4u %4u", of[c].all, of[c].checked, of[c].unobservable, holes);
    }
    putchar('\n');
}

static int print_figures(const struct catalog *catalog, const struct agent_checks *checks,
                         const struct run_options *o)
{
    struct area areas[AREAS_MAX] = {{.name = ""}};
    struct area total = {.name = "all"};
    unsigned count = 0, driver = 0;
    size_t n;
    const struct requirement *all = catalog_requirements(catalog, &n);

    for (size_t i = 0; i < n; i++) {
        const struct requirement *r = &all[i];

        if (!is_judged(r)) {
            driver++;
            continue;
        }
        struct area *a = find_area(areas, &count, r);
        if (!a) {
            fprintf(stderr, "ringproof coverage: more than %u areas\n", AREAS_MAX);
            return -E2BIG;
        }
        bool checked = is_checked(r, checks), hidden = !checked && r->unobservable;
        enum class c = class_of(r);

        a->of[c].all++;
        a->of[c].checked += checked;
        a->of[c].unobservable += hidden;
        total.of[c].all++;
        total.of[c].checked += checked;
        total.of[c].unobservable += hidden;
        if (o->all && !checked)
            printf("%s (%s): %s: %s\n", r->id, r->level, hidden ? "not observable" : "hole",
                   hidden ? r->unobservable : r->text);
    }
    printf("%-18s  %-19s  %-19s  %s\n", "", "MUST", "SHOULD", "MAY");
    printf("%-18s", "area");
    for (unsigned c = 0; c < CLASSES; c++)
        printf("  %4s %4s %4s %4s", "all", "chk", "n/o", "hole");
    putchar('\n');
    for (unsigned i = 0; i < count; i++)
        print_row(areas[i].name, areas[i].of);
    print_row(total.name, total.of);
    printf("\nchk: a check proves it; n/o: not observable from outside, with the reason in the "
           "catalogue; hole: neither\n%u statements about drivers bind the guest and are not "
           "judged\n",
           driver);
    return 0;
}

int command_coverage(int argc, char **argv)
{
    struct run_options o;
    struct install in = {0};
    struct agent_checks checks = {0};
    struct catalog *catalog = NULL;
    char why[512], dir[1024];
    int status = REPORT_BAD_USAGE, ret = options_parse("coverage", argc, argv, &o);

    if (ret)
        goto out;
    status = REPORT_HARNESS_ERROR;
    if (install_find(&o, false, &in))
        goto out;
    snprintf(dir, sizeof(dir), "%s/harness/catalog", in.data);
    if (catalog_load(dir, &catalog, why, sizeof(why))) {
        fprintf(stderr, "ringproof coverage: %s\n", why);
        goto out;
    }
    if (!agent_checks_load(&in, &checks) && !print_figures(catalog, &checks, &o))
        status = REPORT_PASSED;
out:
    catalog_destroy(catalog);
    agent_checks_fini(&checks);
    install_fini(&in);
    free(o.names);
    return ret == 1 ? 0 : status;
}
