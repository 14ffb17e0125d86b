/* SPDX-License-Identifier: MIT */
/*
 * JSON to the model, for results that come from elsewhere: they may hold anything. The first fault
 * is kept with its place ("cells[3].checks[0].outcome: ..."); after it, decoding goes on with
 * harmless values and the caller drops the whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check/wire.h"
#include "report/internal.h"
#include "report/text.h"
#include "util/bits.h"

/* What no honest result has more of; they keep sums in range and the work linear. */
#define DURATION_MAX_NS 31536000000000000ll /* a year */
#define CELLS_MAX       20000
#define VERSIONS_MAX    64u
#define NOTES_MAX       256u
#define COLUMNS_MAX     64u
#define SHARDS_MAX      10000

struct decode {
    char *why;
    size_t why_size;
    bool failed;
    char path[192]; /* of the object at hand; cut when it is longer */
    size_t used;
};

static void __attribute__((format(printf, 3, 4)))
fault(struct decode *d, const char *member, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (d->failed)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(d->why, d->why_size, "%s%s%s: %s", d->path, d->path[0] && member[0] ? "." : "",
             d->path[0] || member[0] ? member : "(whole)", text);
    d->failed = true;
}

/* Goes down to a member (index -1) or to an array's element; the result is for leave. */
static size_t enter(struct decode *d, const char *name, long index)
{
    size_t before = d->used, room = sizeof(d->path) - before;
    int n = index < 0
                ? snprintf(d->path + before, room, "%s%s", before ? "." : "", name)
                : snprintf(d->path + before, room, "%s%s[%ld]", before ? "." : "", name, index);

    d->used = n < 0 ? before : (size_t)n < room ? before + (size_t)n : sizeof(d->path) - 1;
    return before;
}

static void leave(struct decode *d, size_t before)
{
    d->used = before;
    d->path[before] = 0;
}

static const char *type_name(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "a list", [JSON_STRING] = "a text",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a real",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return names[json_typeof(v)];
}

/* ---- members ---- */

/* `names` ends with NULL. All of them are looked for later; here nothing else may be. */
static void only_members(struct decode *d, const json_t *o, const char *const *names)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)o, key, value)
    {
        unsigned i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            fault(d, "", "unknown member '%.64s'", key);
    }
}

static const json_t *member(struct decode *d, const json_t *o, const char *name, json_type type)
{
    const json_t *v = json_object_get(o, name);

    if (v && json_typeof(v) == type)
        return v;
    if (v)
        fault(d, name, "is %s", type_name(v));
    else
        fault(d, name, "is missing");
    return NULL;
}

static const char *member_text(struct decode *d, const json_t *o, const char *name)
{
    const json_t *v = member(d, o, name, JSON_STRING);
    const char *text = v ? json_string_value(v) : "";
    char *clean = report_need(text_clean(text));

    if (strcmp(clean, text) != 0)
        fault(d, name, "has control characters");
    free(clean);
    return text;
}

static uint64_t member_number(struct decode *d, const json_t *o, const char *name, json_int_t min,
                              json_int_t max)
{
    const json_t *v = member(d, o, name, JSON_INTEGER);
    json_int_t n = v ? json_integer_value(v) : min;

    if (n >= min && n <= max)
        return (uint64_t)n;
    fault(d, name, "%lld is out of range (%lld to %lld)", (long long)n, (long long)min,
          (long long)max);
    return (uint64_t)min;
}

static bool member_bool(struct decode *d, const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);

    if (!json_is_boolean(v))
        fault(d, name, "%s", v ? "is no boolean" : "is missing");
    return json_is_true(v);
}

static enum outcome member_outcome(struct decode *d, const json_t *o)
{
    enum outcome v = ERROR;
    const char *name = member_text(d, o, "outcome");

    if (!wire_outcome_from_name(name, &v))
        fault(d, "outcome", "unknown outcome '%.32s'", name);
    return v;
}

static void member_pairs(struct decode *d, const json_t *o, const char *name, unsigned max,
                         struct report_pairs *out)
{
    static const char *const names[] = {"name", "value", NULL};
    const json_t *list = member(d, o, name, JSON_ARRAY);

    if (json_array_size(list) > max)
        fault(d, name, "more than %u", max);
    for (size_t i = 0; !d->failed && i < json_array_size(list); i++) {
        const json_t *p = json_array_get(list, i);
        size_t before = enter(d, name, (long)i);
        const char *n = member_text(d, p, "name"), *v = member_text(d, p, "value");
        only_members(d, p, names);
        report_pairs_add(out, n, v);
        leave(d, before);
    }
}

/* ---- cells ---- */

static void failures_from_json(struct decode *d, const json_t *o, struct report_check *k)
{
    static const char *const names[] = {"level", "file", "line", "text", NULL};
    const json_t *list = member(d, o, "failures", JSON_ARRAY);

    for (size_t i = 0; !d->failed && i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i);
        enum check_level level = MUST;
        size_t before = enter(d, "failures", (long)i);
        if (!wire_level_from_name(member_text(d, f, "level"), &level))
            fault(d, "level", "unknown level");
        const char *file = member_text(d, f, "file"), *text = member_text(d, f, "text");
        int line = (int)member_number(d, f, "line", 0, INT32_MAX);
        report_check_add_failure(k, level, file, line, text);
        only_members(d, f, names);
        leave(d, before);
    }
}

static void check_from_json(struct decode *d, const json_t *o, struct report_cell *c)
{
    static const char *const names[] = {
        "name",         "title",    "proves", "judges", "outcome", "reason", "duration_ns",
        "expectations", "failures", "notes",  "log",    "trace",   NULL};
    const char *name = member_text(d, o, "name");
    struct report_check *k = report_cell_add_check(c, name, member_outcome(d, o));

    report_set(&k->title, member_text(d, o, "title"));
    report_set(&k->proves, member_text(d, o, "proves"));
    report_set(&k->reason, member_text(d, o, "reason"));
    report_set(&k->log, member_text(d, o, "log"));
    report_set(&k->trace, member_text(d, o, "trace"));
    if (!wire_judges_from_name(member_text(d, o, "judges"), &k->judges))
        fault(d, "judges", "nobody whom a check can judge");
    k->duration_ns = member_number(d, o, "duration_ns", 0, DURATION_MAX_NS);
    k->expectations = (unsigned)member_number(d, o, "expectations", 0, INT32_MAX);
    member_pairs(d, o, "notes", NOTES_MAX, &k->notes);
    failures_from_json(d, o, k);
    only_members(d, o, names);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What the rest relies on: names that are unique, an id that says what the axes say. */
static void judge_cell(struct decode *d, const struct report_cell *c)
{
    const char **names = report_need(calloc(c->check_count + 1, sizeof(*names)));
    char *id = report_copy(c->scenario);

    for (unsigned i = 0; i < c->check_count; i++)
        names[i] = c->checks[i].name;
    qsort(names, c->check_count, sizeof(*names), by_text);
    for (unsigned i = 1; i < c->check_count; i++)
        if (!strcmp(names[i - 1], names[i]))
            fault(d, "checks", "'%.100s' is there twice", names[i]);
    for (unsigned i = 0; i < c->axes.count; i++)
        report_append(&id, "%s%s=%s%s", i ? "," : "[", c->axes.items[i].name,
                      c->axes.items[i].value, i + 1 == c->axes.count ? "]" : "");
    if (strpbrk(id, "\n\t"))
        fault(d, "id", "is more than a line");
    if (strcmp(id, c->id) != 0)
        fault(d, "id", "scenario and axes make it '%.200s'", id);
    free(names);
    free(id);
}

static void table_from_json(struct decode *d, const json_t *o, struct report_cell *c)
{
    static const char *const names[] = {"name", "columns", NULL};
    const json_t *t = member(d, o, "table", JSON_OBJECT);
    size_t before = enter(d, "table", -1);
    const char *name = member_text(d, t, "name");
    const json_t *columns = member(d, t, "columns", JSON_ARRAY);

    if (json_array_size(columns) > COLUMNS_MAX)
        fault(d, "columns", "more than %u", COLUMNS_MAX);
    if (!name[0] && json_array_size(columns))
        fault(d, "columns", "of no table");
    report_cell_set_table(c, name);
    for (size_t i = 0; !d->failed && i < json_array_size(columns); i++) {
        const char *column = json_string_value(json_array_get(columns, i));
        char *clean = report_need(text_clean(column ? column : ""));
        if (!column || strcmp(clean, column) != 0)
            fault(d, "columns", "has something else than clean texts");
        else
            report_cell_add_column(c, column);
        free(clean);
    }
    only_members(d, t, names);
    leave(d, before);
}

static struct report_cell *cell_from_json(struct decode *d, const json_t *o)
{
    static const char *const names[] = {"id",      "scenario", "title",   "file",   "testbed",
                                        "part",    "axes",     "outcome", "reason", "duration_ns",
                                        "metrics", "checks",   "table",   "log",    NULL};
    struct report_cell *c = report_cell_create(NULL, NULL, NULL, NULL, NULL);

    report_set(&c->id, member_text(d, o, "id"));
    report_set(&c->scenario, member_text(d, o, "scenario"));
    report_set(&c->title, member_text(d, o, "title"));
    report_set(&c->file, member_text(d, o, "file"));
    report_set(&c->testbed, member_text(d, o, "testbed"));
    if (!json_is_null(json_object_get(o, "part")))
        c->part = (int)member_number(d, o, "part", 0, REPORT_PARTS_MAX - 1);
    c->outcome = member_outcome(d, o);
    report_set(&c->reason, member_text(d, o, "reason"));
    report_set(&c->log, member_text(d, o, "log"));
    c->duration_ns = member_number(d, o, "duration_ns", 0, DURATION_MAX_NS);
    member_pairs(d, o, "axes", NOTES_MAX, &c->axes);
    member_pairs(d, o, "metrics", NOTES_MAX, &c->metrics);
    table_from_json(d, o, c);
    const json_t *checks = member(d, o, "checks", JSON_ARRAY);
    for (size_t i = 0; !d->failed && i < json_array_size(checks); i++) {
        size_t before = enter(d, "checks", (long)i);
        check_from_json(d, json_array_get(checks, i), c);
        leave(d, before);
    }
    only_members(d, o, names);
    return c;
}

int report_cell_from_json(const json_t *o, struct report_cell **out, char *why, size_t why_size)
{
    struct decode d = {.why = why, .why_size = why_size};
    struct report_cell *c = cell_from_json(&d, o);

    *out = NULL;
    if (d.failed) {
        report_cell_destroy(c);
        return -EPROTO;
    }
    *out = c;
    return 0;
}

/* ---- the run ---- */

static void shard_from_json(struct decode *d, const json_t *o, struct report_run *run)
{
    static const char *const names[] = {"index", "count", NULL};
    const json_t *shard = member(d, o, "shard", JSON_OBJECT);
    size_t before = enter(d, "shard", -1);

    run->shard_count = (unsigned)member_number(d, shard, "count", 1, SHARDS_MAX);
    run->shard_index = (unsigned)member_number(d, shard, "index", 1, run->shard_count);
    only_members(d, shard, names);
    leave(d, before);
}

static void testbed_from_json(struct decode *d, const json_t *o, struct report_run *run)
{
    static const char *const names[] = {"name", "note", NULL};
    const json_t *testbed = member(d, o, "testbed", JSON_OBJECT);
    size_t before = enter(d, "testbed", -1);

    report_set(&run->testbed, member_text(d, testbed, "name"));
    report_set(&run->testbed_note, member_text(d, testbed, "note"));
    if (!run->testbed[0] || strpbrk(run->testbed, "\n\t"))
        fault(d, "name", "is no name");
    only_members(d, testbed, names);
    leave(d, before);
}

/* `status`: the member that only the result's own run has, or NULL. `parts`: how many runs it is
 * the sum of. */
static void run_from_json(struct decode *d, const json_t *o, const char *status, size_t parts,
                          struct report_run *run)
{
    const char *const names[] = {"id",          "started", "command",     "selection",
                                 "duration_ns", "seed",    "interrupted", "cells_planned",
                                 "shard",       "testbed", "versions",    status,
                                 NULL};

    report_set(&run->id, member_text(d, o, "id"));
    report_set(&run->started, member_text(d, o, "started"));
    report_set(&run->command, member_text(d, o, "command"));
    report_set(&run->selection, member_text(d, o, "selection"));
    run->duration_ns = member_number(d, o, "duration_ns", 0, DURATION_MAX_NS * (json_int_t)parts);
    run->seed = member_number(d, o, "seed", 0, INT64_MAX);
    run->interrupted = member_bool(d, o, "interrupted");
    run->cells_planned =
        (unsigned)member_number(d, o, "cells_planned", 0, CELLS_MAX * (json_int_t)parts);
    shard_from_json(d, o, run);
    testbed_from_json(d, o, run);
    member_pairs(d, o, "versions", VERSIONS_MAX, &run->versions);
    only_members(d, o, names);
}

static void parts_from_json(struct decode *d, const json_t *o, struct report *r)
{
    static const char *const names[] = {"source", "run", NULL};
    const json_t *list = member(d, o, "parts", JSON_ARRAY);
    size_t count = json_array_size(list);

    if (count > REPORT_PARTS_MAX)
        fault(d, "parts", "more than %u", REPORT_PARTS_MAX);
    if (d->failed || !count)
        return;
    r->parts = report_need(calloc(count, sizeof(*r->parts)));
    for (; r->part_count < count; r->part_count++) {
        const json_t *p = json_array_get(list, r->part_count);
        struct report_part *part = &r->parts[r->part_count];
        size_t before = enter(d, "parts", (long)r->part_count);
        part->source = report_copy(member_text(d, p, "source"));
        report_run_init(&part->run);
        const json_t *run = member(d, p, "run", JSON_OBJECT);
        size_t inner = enter(d, "run", -1);
        run_from_json(d, run, NULL, 1, &part->run);
        leave(d, inner);
        only_members(d, p, names);
        leave(d, before);
    }
}

static void cells_from_json(struct decode *d, const json_t *o, struct report *r)
{
    const json_t *list = member(d, o, "cells", JSON_ARRAY);

    if (json_array_size(list) > r->run.cells_planned)
        fault(d, "cells", "%zu, but %u were planned", json_array_size(list), r->run.cells_planned);
    for (size_t i = 0; !d->failed && i < json_array_size(list); i++) {
        size_t before = enter(d, "cells", (long)i);
        struct report_cell *c = cell_from_json(d, json_array_get(list, i));
        const enum outcome stated = c->outcome;
        report_add_cell(r, c);
        judge_cell(d, c);
        report_cell_settle(c);
        if (c->outcome != stated)
            fault(d, "outcome", "is %s, but its checks make it %s", outcome_name(stated),
                  outcome_name(c->outcome));
        if (c->part != REPORT_OWN && (unsigned)c->part >= r->part_count)
            fault(d, "part", "there are %u parts", r->part_count);
        else if (strcmp(c->testbed, c->part == REPORT_OWN ? r->run.testbed
                                                          : r->parts[c->part].run.testbed) != 0)
            fault(d, "testbed", "its run was on another");
        leave(d, before);
    }
}

/* What follows from the cells is not believed but computed, and has to be the same. */
static void derived_from_json(struct decode *d, const json_t *o, struct report *r)
{
    static const char *const derived[] = {"totals", "holes", "equivalence", "tables"};
    const json_t *e = json_object_get(o, "equivalence");
    char why[256];

    if (!json_is_null(e)) {
        e = member(d, o, "equivalence", JSON_OBJECT);
        size_t before = enter(d, "equivalence", -1);
        const char *checks = member_text(d, e, "checks");
        unsigned at_least = (unsigned)member_number(d, e, "at_least", 0, INT32_MAX);
        if (!d->failed && report_compare(r, checks, at_least, why, sizeof(why)))
            fault(d, "", "%s", why);
        leave(d, before);
    }
    if (d->failed)
        return;
    json_t *again = report_to_json(r);
    for (size_t i = 0; i < ARRAY_LENGTH(derived); i++)
        if (!json_equal(json_object_get(o, derived[i]), json_object_get(again, derived[i])))
            fault(d, derived[i], "not what the cells say");
    if (!json_equal(json_object_get(json_object_get(o, "run"), "status"),
                    json_object_get(json_object_get(again, "run"), "status")))
        fault(d, "run.status", "not what the cells say");
    json_decref(again);
}

static struct report *from_json(struct decode *d, const json_t *o)
{
    static const char *const names[] = {"format",      "run",    "parts", "totals", "holes",
                                        "equivalence", "tables", "cells", NULL};
    struct report *r = report_create();
    const json_t *format = json_object_get(o, "format");

    if (!json_is_object(o)) {
        fault(d, "", "is no object");
        return r;
    }
    if (!json_is_integer(format) || json_integer_value(format) != REPORT_FORMAT) {
        fault(d, "format", "this program reads format %d", REPORT_FORMAT);
        return r;
    }
    only_members(d, o, names);
    parts_from_json(d, o, r);
    const json_t *run = member(d, o, "run", JSON_OBJECT);
    size_t before = enter(d, "run", -1);
    run_from_json(d, run, "status", r->part_count ? r->part_count : 1, &r->run);
    leave(d, before);
    cells_from_json(d, o, r);
    if (!d->failed)
        derived_from_json(d, o, r);
    return r;
}

/* ---- the file ---- */

static int judge_file(const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        return -EISDIR;
    if (!S_ISREG(st->st_mode))
        return -ENOTSUP;
    return st->st_size > REPORT_FILE_MAX ? -EFBIG : 0;
}

/* An open regular file of a size that can be a result's; -errno. */
static int open_result(const char *path, FILE **out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -errno;
    int ret = fstat(fd, &st) ? -errno : judge_file(&st);
    *out = ret ? NULL : fdopen(fd, "r");
    if (!ret && !*out)
        ret = -errno;
    if (ret)
        close(fd);
    return ret;
}

int report_load(const char *path, struct report **out, char *why, size_t why_size)
{
    char *file = NULL, text[800];
    struct decode d = {.why = text, .why_size = sizeof(text)};
    json_error_t e;
    FILE *f = NULL;

    *out = NULL;
    report_print(&file, "%s", path);
    int ret = open_result(file, &f);
    if (ret == -EISDIR) {
        report_print(&file, "%s/result.json", path);
        ret = open_result(file, &f);
    }
    if (ret) {
        snprintf(why, why_size, "%s: %s", file,
                 ret == -ENOTSUP ? "is no regular file" : strerror(-ret));
        goto out;
    }
    json_t *o = json_loadf(f, JSON_REJECT_DUPLICATES, &e);
    fclose(f);
    if (!o) {
        snprintf(why, why_size, "%s:%d:%d: %s", file, e.line, e.column, e.text);
        ret = -EINVAL;
        goto out;
    }
    struct report *r = from_json(&d, o);
    json_decref(o);
    if (d.failed) {
        snprintf(why, why_size, "%s: %s", file, text);
        report_destroy(r);
        ret = -EINVAL;
    } else {
        *out = r;
    }
out:
    free(file);
    return ret;
}
