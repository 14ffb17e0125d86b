/* SPDX-License-Identifier: MIT */
#include "suite/compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "report/text.h"
#include "suite/read.h"
#include "suite/suite.h"

#define FILE_BYTES_MAX (64u << 20)

/* ---- loading ---- */

static int load_file(const char *path, json_t **o, char *why, size_t why_size)
{
    json_error_t e;
    struct stat s;

    if (stat(path, &s))
        return -errno;
    if (S_ISDIR(s.st_mode))
        return -EISDIR;
    if (!S_ISREG(s.st_mode) || s.st_size > FILE_BYTES_MAX) {
        snprintf(why, why_size, "%s: is no file of results", path);
        return -EINVAL;
    }
    *o = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (*o)
        return 0;
    snprintf(why, why_size, "%s:%d:%d: %s", path, e.line, e.column, e.text);
    return -EPROTO;
}

static bool is_bench(const json_t *o)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));

    return kind && !strcmp(kind, "bench");
}

int suite_load(const char *path, json_t **o, char *why, size_t why_size)
{
    char *inside = NULL;
    int ret;

    *o = NULL;
    snprintf(why, why_size, "%s: no benchmark", path);
    ret = load_file(path, o, why, why_size);
    if (ret == -EISDIR) {
        if (asprintf(&inside, "%s/bench.json", path) < 0)
            return -ENOMEM;
        ret = load_file(inside, o, why, why_size);
        free(inside);
    } else if (ret) {
        ret = -ENOENT; /* whatever it is */
    }
    if (ret == 0 && !is_bench(*o)) {
        ret = -ENOENT;
    } else if (ret == 0 &&
               json_integer_value(json_object_get(*o, "format")) != (json_int_t)SUITE_FORMAT) {
        snprintf(why, why_size, "%s: not of format %d", path, SUITE_FORMAT);
        ret = -EPROTO;
    }
    if (ret) {
        json_decref(*o);
        *o = NULL;
    }
    return ret;
}

/* ---- reading ---- */

/* NaN where there is none. */
static double finite_of(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);

    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* 0; -ENOENT where there is none; -EPROTO for one that cannot be. */
static int sample_read(const json_t *o, struct sample *s)
{
    double count = finite_of(o, "count");

    *s = (struct sample){0};
    if (o == NULL || json_is_null(o))
        return -ENOENT;
    *s = (struct sample){.median = finite_of(o, "median"),
                         .p10 = finite_of(o, "p10"),
                         .p90 = finite_of(o, "p90"),
                         .low = finite_of(o, "low"),
                         .high = finite_of(o, "high"),
                         .confidence = finite_of(o, "confidence")};
    if (!(count >= 1 && count <= 1e6 && s->low > 0 && s->low <= s->median && s->median <= s->high &&
          isfinite(s->high)))
        return -EPROTO;
    s->count = (unsigned)count;
    return 0;
}

static const json_t *named(const json_t *list, const char *name)
{
    json_t *o;
    size_t i;

    json_array_foreach(list, i, o) if (!strcmp(text_of(o, "name"), name)) return o;
    return NULL;
}

/* ---- comparing ---- */

static bool same_machine(const json_t *before, const json_t *after)
{
    const json_t *a = json_object_get(before, "machine"), *b = json_object_get(after, "machine");

    return !strcmp(text_of(a, "cpu"), text_of(b, "cpu")) &&
           json_integer_value(json_object_get(a, "cpus")) ==
               json_integer_value(json_object_get(b, "cpus"));
}

/* Of one placement: by its name, and by what a cache line takes. */
static bool same_placement(const json_t *before, const json_t *after)
{
    struct sample a, b;

    if (sample_read(json_object_get(before, "round_trip_ns"), &a) ||
        sample_read(json_object_get(after, "round_trip_ns"), &b))
        return true; /* nothing was kept: that is said of the values */
    if (strcmp(text_of(before, "placement"), text_of(after, "placement")) != 0)
        return false;
    return fmax(a.median, b.median) <= SUITE_MOVED_MAX * fmin(a.median, b.median);
}

/* Why two rows cannot be compared; NULL when they can be. */
static const char *apart(const json_t *before, const json_t *after, bool machine)
{
    if (!before)
        return "missing before";
    if (!after)
        return "missing after";
    if (!machine)
        return "another machine";
    if (strcmp(text_of(before, "testbed"), text_of(after, "testbed")) != 0)
        return "another testbed";
    if (strcmp(text_of(before, "unit"), text_of(after, "unit")) != 0 ||
        strcmp(text_of(before, "options"), text_of(after, "options")) != 0)
        return "another workload";
    if (!same_placement(before, after))
        return "another placement";
    return NULL;
}

static void judge(const json_t *before, const json_t *after, struct suite_change *c)
{
    struct sample a, b;
    int a_ret = sample_read(before, &a), b_ret = sample_read(after, &b);

    c->before = a_ret ? NAN : a.median;
    c->after = b_ret ? NAN : b.median;
    c->verdict = SAMPLE_UNKNOWN;
    if (c->why)
        return;
    if (a_ret || b_ret) {
        c->why = a_ret ? "missing before" : "missing after";
        return;
    }
    /* As far apart as the two intervals allow: on one side of 1 only when they do not meet. */
    c->ratio = (struct sample){.count = a.count < b.count ? a.count : b.count,
                               .median = b.median / a.median,
                               .low = b.low / a.high,
                               .high = b.high / a.low};
    c->verdict = sample_judge(&c->ratio, false, SUITE_SLACK);
    if (c->verdict == SAMPLE_UNKNOWN)
        c->why = "too few pairs";
}

static struct suite_change *change_add(struct suite_comparison *c)
{
    struct suite_change *more = realloc(c->changes, (c->count + 1) * sizeof(*more));

    if (!more)
        return NULL;
    c->changes = more;
    more[c->count] = (struct suite_change){0};
    return &more[c->count++];
}

/* NULL is no row, and nothing is wrong with it. */
static bool row_usable(const json_t *row)
{
    const json_t *variants = json_object_get(row, "variants"), *v;
    size_t count = json_array_size(variants), i;
    struct sample s;

    if (!row)
        return true;
    if (!text_of(row, "name")[0] || count < 1 || count > SUITE_VARIANTS)
        return false;
    json_array_foreach(variants, i,
                       v) if (sample_read(json_object_get(v, "value"), &s) == -EPROTO ||
                              sample_read(json_object_get(v, "ratio_of_first"), &s) ==
                                  -EPROTO) return false;
    return true;
}

/* The metrics of one row that is in either run. */
static int compare_row(const json_t *before, const json_t *after, bool machine,
                       struct suite_comparison *c)
{
    const json_t *row = after ? after : before;
    const json_t *variants = json_object_get(row, "variants"), *v;
    const char *why = apart(before, after, machine);
    size_t i;

    if (!row_usable(before) || !row_usable(after))
        return -EPROTO;
    json_array_foreach(variants, i, v)
    {
        const char *name = text_of(v, "name"), *part = i ? "ratio_of_first" : "value";
        struct suite_change *change = change_add(c);

        if (!change)
            return -ENOMEM;
        change->row = text_of(row, "name");
        change->metric = i ? name : text_of(row, "unit");
        change->is_ratio = i > 0;
        change->why = why;
        judge(json_object_get(named(json_object_get(before, "variants"), name), part),
              json_object_get(named(json_object_get(after, "variants"), name), part), change);
        c->verdicts[change->verdict]++;
    }
    return 0;
}

int suite_compare(const json_t *before, const json_t *after, struct suite_comparison *c)
{
    const json_t *old_rows = json_object_get(before, "rows"), *row;
    const json_t *new_rows = json_object_get(after, "rows");
    bool machine = same_machine(before, after);
    int ret = 0;
    size_t i;

    *c = (struct suite_comparison){0};
    if (!json_is_array(old_rows) || !json_is_array(new_rows) ||
        json_array_size(old_rows) > SUITE_ROWS_MAX || json_array_size(new_rows) > SUITE_ROWS_MAX)
        return -EPROTO;
    json_array_foreach(new_rows, i, row)
    {
        ret = compare_row(named(old_rows, text_of(row, "name")), row, machine, c);
        if (ret)
            goto out;
    }
    json_array_foreach(old_rows, i, row)
    {
        if (named(new_rows, text_of(row, "name")))
            continue;
        ret = compare_row(row, NULL, machine, c);
        if (ret)
            goto out;
    }
out:
    if (ret)
        suite_comparison_fini(c);
    return ret;
}

void suite_comparison_fini(struct suite_comparison *c)
{
    free(c->changes);
    *c = (struct suite_comparison){0};
}

/* ---- writing ---- */

static void write_median(double v, FILE *f)
{
    if (isnan(v))
        fputs(" - |", f);
    else
        fprintf(f, " %.3f |", v);
}

void suite_comparison_write(const struct suite_comparison *c, bool all, FILE *f)
{
    bool head = false;

    for (unsigned i = 0; i < c->count; i++) {
        const struct suite_change *d = &c->changes[i];

        if (d->verdict == SAMPLE_SAME && !all)
            continue;
        if (!head)
            fputs("| row | metric | before | after | change | verdict |\n"
                  "|---|---|---|---|---|---|\n",
                  f);
        head = true;
        fputs("| ", f);
        text_write_markdown(f, d->row);
        fputs(d->is_ratio ? " | to " : " | ", f);
        text_write_markdown(f, d->metric);
        fputs(" |", f);
        write_median(d->before, f);
        write_median(d->after, f);
        if (d->ratio.count)
            fprintf(f, " x %.3f (%.3f to %.3f) |", d->ratio.median, d->ratio.low, d->ratio.high);
        else
            fputs(" - |", f);
        fprintf(f, " %s%s%s |\n", sample_verdict_name(d->verdict), d->why ? ": " : "",
                d->why ? d->why : "");
    }
    fprintf(f, "%s%u better, %u same, %u worse, %u not comparable\n", head ? "\n" : "",
            c->verdicts[SAMPLE_BETTER], c->verdicts[SAMPLE_SAME], c->verdicts[SAMPLE_WORSE],
            c->verdicts[SAMPLE_UNKNOWN]);
}
