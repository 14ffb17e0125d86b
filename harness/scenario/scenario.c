/* SPDX-License-Identifier: MIT */
#include "scenario/scenario.h"

#include <stdlib.h>
#include <string.h>

#include "scenario/keys.h"
#include "scenario/units.h"

#define DEFAULT_TIMEOUT_NS   (120ull * 1000000000)
#define DEFAULT_MEMORY_BYTES (64ull << 20)

static const char *const testbed_names[] = {"sim", "qemu", "xen", NULL};
static const char *const set_names[] = {"main", "quick", "sanitized", NULL};
static const char *const runs_in_names[] = {"domu", "dom0", "linux", NULL};

const char *scenario_testbed_name(enum scenario_testbed t)
{
    return testbed_names[t];
}

static int read_checks(struct reader *r, const struct doc_node *n)
{
    int ret = reader_texts(r, n, "checks", &r->s->checks, &r->s->check_count);

    if (ret)
        return ret;
    for (const struct doc_node *c = n->kind == DOC_LIST ? n->first : n; c;
         c = n->kind == DOC_LIST ? c->next : NULL)
        if (reader_pattern_valid(c->text))
            return reader_refuse_at(r, c, "'%.64s' is no pattern like blk.* or pci.bar_*", c->text);
    return 0;
}

/* table: {name: N, columns: [...]} */
static int read_table(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"name", "columns", NULL};
    struct scenario *s = r->s;
    int ret = reader_want(r, n, DOC_MAP, "table");

    if (!ret)
        ret = reader_check_keys(r, n, known);
    if (ret)
        return ret;
    const struct doc_node *name = doc_get(n, "name"), *columns = doc_get(n, "columns");
    if (!name || !columns)
        return reader_refuse_at(r, n, "a table has a name and columns");
    ret = reader_text(r, name, "name", &s->table);
    if (!ret && reader_name_valid(s->table))
        ret = reader_refuse_at(
            r, name, "'%.64s' is no name of a table (lower case, as a scenario's)", s->table);
    return ret ? ret : reader_texts(r, columns, "columns", &s->columns, &s->column_count);
}

static int read_root(struct reader *r, const struct doc_node *root)
{
    static const char *const known[] = {
        "scenario",  "title",    "testbeds", "sets",   "backends", "host-bridges",
        "device",    "domain",   "matrix",   "checks", "runs-in",  "run",
        "neighbour", "timeline", "expect",   "table",  "timeout",  NULL};
    struct scenario *s = r->s;
    const struct doc_node *c;
    unsigned mask = 0, v = 0;
    int ret = reader_check_keys(r, root, known);

    if (ret)
        return ret;
    c = doc_get(root, "scenario");
    if (!c)
        return reader_refuse_at(r, root, "the key scenario (its name) is missing");
    ret = reader_text(r, c, "scenario", &s->name);
    if (ret)
        return ret;
    if (reader_name_valid(s->name))
        return reader_refuse_at(r, c,
                                "a name has lower-case letters, digits, '-' and '_', and begins "
                                "with a letter");
    c = doc_get(root, "title");
    if (!c)
        return reader_refuse_at(r, root, "the key title is missing");
    ret = reader_text(r, c, "title", &s->title);

    c = doc_get(root, "testbeds");
    s->testbeds = 1u << TESTBED_SIM;
    if (!ret && c) {
        s->testbeds = 0;
        ret = reader_mask(r, c, "testbeds", testbed_names, &s->testbeds);
    }
    c = doc_get(root, "sets");
    if (!ret && c)
        ret = reader_mask(r, c, "sets", set_names, &mask);
    if (!ret && c)
        ret = reader_texts(r, c, "sets", &s->sets, &s->set_count);
    c = doc_get(root, "backends");
    if (!ret && c)
        ret = keys_read_backends(r, c);
    c = doc_get(root, "host-bridges");
    if (!ret && c)
        ret = keys_read_bridges(r, c);
    c = doc_get(root, "device");
    if (!ret && c)
        ret = keys_read_devices(r, c);
    c = doc_get(root, "domain");
    if (!ret && c)
        ret = keys_read_domain(r, c);
    c = doc_get(root, "matrix");
    if (!ret && c)
        ret = keys_read_matrix(r, c);
    c = doc_get(root, "checks");
    if (!ret && c)
        ret = read_checks(r, c);
    c = doc_get(root, "runs-in");
    if (!ret && c)
        ret = reader_name(r, c, "runs-in", runs_in_names, &v);
    s->runs_in = (enum scenario_runs_in)v;
    c = doc_get(root, "run");
    if (!ret && c)
        ret = keys_read_run(r, c);
    c = doc_get(root, "neighbour");
    if (!ret && c)
        ret = keys_read_neighbour(r, c);
    c = doc_get(root, "timeline");
    if (!ret && c)
        ret = keys_read_timeline(r, c);
    c = doc_get(root, "expect");
    if (!ret && c)
        ret = keys_read_expect(r, c);
    c = doc_get(root, "table");
    if (!ret && c)
        ret = read_table(r, c);
    c = doc_get(root, "timeout");
    if (!ret && c)
        ret = reader_number(r, c, "timeout", units_parse_ns, "a time such as 60s", 1000000000,
                            3600ull * 1000000000, &s->timeout_ns);
    return ret ? ret : keys_check_whole(r, root);
}

static int scenario_from_doc(const char *path, const struct doc_node *root, struct scenario **out,
                             char *why, size_t why_size)
{
    struct reader r = {.path = path, .why = why, .why_size = why_size};
    int ret;

    r.s = calloc(1, sizeof(*r.s));
    if (!r.s)
        return reader_no_memory(&r);
    r.s->timeout_ns = DEFAULT_TIMEOUT_NS;
    r.s->memory_bytes = DEFAULT_MEMORY_BYTES;
    r.s->vcpus = 1;
    r.s->path = strdup(path);
    ret = r.s->path ? read_root(&r, root) : reader_no_memory(&r);
    if (ret) {
        scenario_free(r.s);
        return ret;
    }
    *out = r.s;
    return 0;
}

int scenario_parse(const char *path, const char *text, size_t length, struct scenario **out,
                   char *why, size_t why_size)
{
    struct doc_node *root;
    int ret = doc_parse(path, text, length, &root, why, why_size);

    *out = NULL;
    if (ret)
        return ret;
    ret = scenario_from_doc(path, root, out, why, why_size);
    doc_free(root);
    return ret;
}

int scenario_load(const char *path, struct scenario **out, char *why, size_t why_size)
{
    struct doc_node *root;
    int ret = doc_load(path, &root, why, why_size);

    *out = NULL;
    if (ret)
        return ret;
    ret = scenario_from_doc(path, root, out, why, why_size);
    doc_free(root);
    return ret;
}

static void free_texts(char **texts, unsigned count)
{
    for (unsigned i = 0; texts && i < count; i++)
        free(texts[i]);
    free(texts);
}

void scenario_free(struct scenario *s)
{
    if (!s)
        return;
    free(s->path);
    free(s->name);
    free(s->title);
    free_texts(s->sets, s->set_count);
    free(s->table);
    free_texts(s->columns, s->column_count);
    free_texts(s->checks, s->check_count);
    for (unsigned i = 1; i <= s->backend_count; i++)
        free(s->backends[i].name);
    for (unsigned i = 0; i < s->device_count; i++) {
        free(s->devices[i].sbdf);
        free(s->devices[i].path);
        free(s->devices[i].serial);
        free(s->devices[i].mac);
        free(s->devices[i].features);
    }
    free(s->fio.job);
    free_texts(s->fio.options, s->fio.option_count);
    free(s->neighbour.job);
    free_texts(s->neighbour.options, s->neighbour.option_count);
    free_texts(s->iperf3.options, s->iperf3.option_count);
    for (unsigned i = 0; i < s->expect_count; i++)
        free(s->expect[i].text);
    for (unsigned i = 0; i < SCENARIO_AXES; i++)
        free_texts(s->axis_values[i], s->axis_count[i]);
    free(s);
}

bool scenario_in_set(const struct scenario *s, const char *set)
{
    for (unsigned i = 0; i < s->set_count; i++)
        if (!strcmp(s->sets[i], set))
            return true;
    return false;
}
