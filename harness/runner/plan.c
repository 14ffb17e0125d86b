/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fnmatch.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runner/runner.h"

static void *need(void *p)
{
    if (!p) {
        fputs("ringproof: out of memory\n", stderr);
        exit(REPORT_HARNESS_ERROR);
    }
    return p;
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), k = strlen(suffix);

    return n >= k && !strcmp(text + n - k, suffix);
}

/* An argument that is a file, and not the name of a scenario or a cell. */
static bool is_file(const char *name)
{
    return has_suffix(name, ".yaml") || has_suffix(name, ".yml");
}

/* One that is a folder, written with a '/' as no scenario's name is: all that is below it. */
static bool is_folder(const char *name)
{
    struct stat st;

    return strchr(name, '/') && stat(name, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    while (n > 1 && folder[n - 1] == '/')
        n--;
    return !strncmp(path, folder, n) && path[n] == '/';
}

/* A file that is named, and found in a folder too. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int add_scenario(struct plan *p, const char *path)
{
    struct scenario *s;
    char why[1024];
    int ret = scenario_load(path, &s, why, sizeof(why));

    if (ret) {
        fprintf(stderr, "%s\n", why);
        return -EINVAL;
    }
    for (unsigned i = 0; i < p->scenario_count; i++) {
        if (strcmp(p->scenarios[i]->name, s->name))
            continue;
        if (is_same_file(p->scenarios[i]->path, path)) {
            scenario_free(s);
            return 0;
        }
        fprintf(stderr, "%s: a scenario '%s' is in %s already\n", path, s->name,
                p->scenarios[i]->path);
        scenario_free(s);
        return -EINVAL;
    }
    p->scenarios = need(reallocarray(p->scenarios, p->scenario_count + 1, sizeof(*p->scenarios)));
    p->scenarios[p->scenario_count++] = s;
    return 0;
}

static int by_path(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* All *.yaml below a folder, in the order of their paths. */
static int add_folder(struct plan *p, const char *dir)
{
    char *roots[] = {(char *)dir, NULL};
    int ret = 0;

    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, by_path);
    if (!fts) {
        fprintf(stderr, "ringproof: %s: %s\n", dir, strerror(errno));
        return -EINVAL;
    }
    for (FTSENT *e; !ret && (e = fts_read(fts));) {
        if (e->fts_info == FTS_F && is_file(e->fts_name))
            ret = add_scenario(p, e->fts_path);
        else if (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS) {
            fprintf(stderr, "ringproof: %s: %s\n", e->fts_path, strerror(e->fts_errno));
            ret = -EINVAL;
        }
    }
    fts_close(fts);
    return ret;
}

/* Does the cell belong to what the command line names? Marks the names that were of use. */
static bool is_selected(const struct run_options *o, const struct scenario_cell *cell, bool *used)
{
    bool any = o->name_count == 0;

    for (unsigned i = 0; i < o->name_count; i++) {
        const char *name = o->names[i], *path = cell->scenario->path;
        bool fits = is_file(name)     ? !strcmp(name, path)
                    : is_folder(name) ? is_below(path, name)
                                      : scenario_cell_matches(cell, name);

        used[i] |= fits;
        any |= fits;
    }
    return any && (!o->set || scenario_in_set(cell->scenario, o->set));
}

static int load_all(const struct run_options *o, const struct install *in, struct plan *p)
{
    bool names = o->name_count == 0;
    char *dir = NULL;
    int ret = 0;

    for (unsigned i = 0; !ret && i < o->name_count; i++) {
        if (is_file(o->names[i]))
            ret = add_scenario(p, o->names[i]);
        else if (is_folder(o->names[i]))
            ret = add_folder(p, o->names[i]);
        else
            names = true;
    }
    if (ret || !names)
        return ret;
    if ((o->scenarios_dir ? asprintf(&dir, "%s", o->scenarios_dir)
                          : asprintf(&dir, "%s/scenarios", in->data)) < 0)
        dir = NULL;
    need(dir);
    ret = add_folder(p, dir);
    free(dir);
    return ret;
}

int plan_make(const struct run_options *o, const struct install *in, struct plan *p)
{
    const struct testbed_ops *testbed = testbed_find(o->testbed);
    char known[128], why[256];
    unsigned bit = 0, seen = 0;
    bool *used = need(calloc(o->name_count + 1, sizeof(bool)));
    int ret;

    *p = (struct plan){0};
    if (!testbed) {
        fprintf(stderr, "ringproof: there is no testbed '%s' in this build (there is: %s)\n",
                o->testbed, testbed_names(known, sizeof(known)));
        ret = -EINVAL;
        goto out;
    }
    while (strcmp(scenario_testbed_name((enum scenario_testbed)bit), testbed->name))
        bit++;
    ret = load_all(o, in, p);
    for (unsigned i = 0; !ret && i < p->scenario_count; i++) {
        const struct scenario *s = p->scenarios[i];
        unsigned cells = s->testbeds & 1u << bit ? scenario_cell_count(s) : 0;
        for (unsigned k = 0; k < cells; k++) {
            struct scenario_cell cell;
            scenario_cell_get(s, k, &cell);
            if (!is_selected(o, &cell, used))
                continue;
            if (in->profile && !profile_covers(in->profile, &cell, why, sizeof(why)))
                continue;
            if (seen++ % o->shard_count != o->shard_index - 1)
                continue;
            p->jobs = need(reallocarray(p->jobs, p->job_count + 1, sizeof(*p->jobs)));
            p->jobs[p->job_count] = (struct job){.plan = cell};
            if (o->filter) {
                p->jobs[p->job_count].filters = &o->filter;
                p->jobs[p->job_count].filter_count = 1;
            }
            p->job_count++;
        }
    }
    for (unsigned i = 0; !ret && i < o->name_count; i++) {
        if (used[i])
            continue;
        fprintf(stderr,
                "ringproof: '%s' is no scenario or cell of testbed %s (see ringproof list)\n",
                o->names[i], o->testbed);
        ret = -EINVAL;
    }
    if (!ret && !p->job_count) {
        fprintf(stderr, "ringproof: nothing is selected\n");
        ret = -EINVAL;
    }
out:
    free(used);
    return ret;
}

void plan_fini(struct plan *p)
{
    for (unsigned i = 0; i < p->job_count; i++)
        report_cell_destroy(p->jobs[i].result);
    free(p->jobs);
    for (unsigned i = 0; i < p->scenario_count; i++)
        scenario_free(p->scenarios[i]);
    free(p->scenarios);
    *p = (struct plan){0};
}
