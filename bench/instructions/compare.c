/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "insns/insns.h"
#include "report/members.h"
#include "report/text.h"

#define FILE_BYTES_MAX (16u << 20)

/* ---- loading ---- */

int insns_load(const char *path, json_t **o, char *why, size_t why_size)
{
    char *inside = NULL;
    json_error_t e;
    struct stat s;
    int ret = -ENOENT;

    *o = NULL;
    snprintf(why, why_size, "%s: no run of bench --instructions", path);
    if (stat(path, &s))
        return -ENOENT;
    if (S_ISDIR(s.st_mode)) {
        if (asprintf(&inside, "%s/instructions.json", path) < 0)
            return -ENOMEM;
        if (stat(inside, &s))
            goto out;
    }
    if (!S_ISREG(s.st_mode) || s.st_size > FILE_BYTES_MAX)
        goto out;
    *o = json_load_file(inside ? inside : path, JSON_REJECT_DUPLICATES, &e);
    if (strcmp(text_of(*o, "kind"), "instructions") != 0)
        goto out;
    ret = 0;
    if (json_integer_value(json_object_get(*o, "format")) != INSNS_FORMAT) {
        snprintf(why, why_size, "%s: not of format %d", path, INSNS_FORMAT);
        ret = -EPROTO;
    }
out:
    if (ret) {
        json_decref(*o);
        *o = NULL;
    }
    free(inside);
    return ret;
}

/* ---- comparing ---- */

static const json_t *named(const json_t *list, const char *name)
{
    json_t *o;
    size_t i;

    json_array_foreach(list, i, o)
    {
        if (!strcmp(text_of(o, "name"), name))
            return o;
    }
    return NULL;
}

/* -EPROTO: no value, or one that cannot be. */
static int read_value(const json_t *row, double *value, double *difference)
{
    const json_t *v = json_object_get(row, "value"), *d = json_object_get(row, "difference");

    *value = json_is_number(v) ? json_number_value(v) : NAN;
    *difference = json_is_number(d) ? json_number_value(d) : NAN;
    return isfinite(*value) && *value > 0 && isfinite(*difference) && *difference >= 0 ? 0
                                                                                       : -EPROTO;
}

/* Of one architecture: its members of "machine", which begin with its name. What differs is
 * appended to *apart. */
static bool same_machine(const json_t *before, const json_t *after, const char *arch, char **apart)
{
    static const char *const parts[] = {"xen", "linux", "qemu", "compiler"};
    const json_t *a = json_object_get(before, "machine"), *b = json_object_get(after, "machine");
    bool same = true;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char name[64], *longer;
        const char *x, *y;

        snprintf(name, sizeof(name), "%.32s.%s", arch, parts[i]);
        x = text_of(a, name);
        y = text_of(b, name);
        /* What is not said is not the same. */
        if (x[0] && !strcmp(x, y))
            continue;
        same = false;
        if (apart && asprintf(&longer, "%s%s%s '%s', now '%s'", *apart ? *apart : "",
                              *apart ? "; " : "", name, x, y) >= 0) {
            free(*apart);
            *apart = longer;
        }
    }
    return same;
}

static int compare_row(const json_t *was, const json_t *is, const char *apart,
                       struct insns_comparison *c)
{
    struct insns_change *more = reallocarray(c->changes, c->count + 1, sizeof(*more)), *d;
    double was_apart = 0, is_apart = 0;

    if (!more)
        return -ENOMEM;
    c->changes = more;
    d = &more[c->count];
    *d = (struct insns_change){.row = text_of(was ? was : is, "name"),
                               .before = NAN,
                               .after = NAN,
                               .verdict = SAMPLE_UNKNOWN,
                               .why = apart};
    if (!d->row[0] || (was && read_value(was, &d->before, &was_apart)) ||
        (is && read_value(is, &d->after, &is_apart)))
        return -EPROTO;
    c->count++;
    d->bound = insns_bound(d->row) + was_apart + is_apart;
    if (!was || !is)
        d->why = was ? "not measured now" : "not measured before";
    else
        d->by = d->after / d->before - 1;
    if (!d->why)
        d->verdict = d->by > d->bound    ? SAMPLE_WORSE
                     : d->by < -d->bound ? SAMPLE_BETTER
                                         : SAMPLE_SAME;
    c->verdicts[d->verdict]++;
    return 0;
}

int insns_compare(const json_t *before, const json_t *after, struct insns_comparison *c)
{
    static const char *const archs[] = {"x86", "arm"};
    const json_t *was = json_object_get(before, "rows"), *is = json_object_get(after, "rows"), *row;
    bool same[2] = {false, false};
    int ret = 0;
    size_t i;

    *c = (struct insns_comparison){0};
    if (!json_is_array(was) || !json_is_array(is) || json_array_size(was) > INSNS_ROWS_MAX ||
        json_array_size(is) > INSNS_ROWS_MAX)
        return -EPROTO;
    for (unsigned k = 0; k < 2; k++) {
        bool measured[2] = {false, false};

        json_array_foreach(was, i, row) measured[0] |= !strcmp(text_of(row, "arch"), archs[k]);
        json_array_foreach(is, i, row) measured[1] |= !strcmp(text_of(row, "arch"), archs[k]);
        same[k] = measured[0] && measured[1] && same_machine(before, after, archs[k], &c->apart);
    }
    json_array_foreach(is, i, row)
    {
        bool arm = !strcmp(text_of(row, "arch"), "arm");

        ret = compare_row(named(was, text_of(row, "name")), row,
                          same[arm] ? NULL : "of other versions", c);
        if (ret)
            goto out;
    }
    json_array_foreach(was, i, row)
    {
        if (named(is, text_of(row, "name")))
            continue;
        ret = compare_row(row, NULL, NULL, c);
        if (ret)
            goto out;
    }
out:
    if (ret)
        insns_comparison_fini(c);
    return ret;
}

void insns_comparison_fini(struct insns_comparison *c)
{
    free(c->changes);
    free(c->apart);
    *c = (struct insns_comparison){0};
}

/* ---- writing ---- */

static void write_value(double v, FILE *f)
{
    if (isnan(v))
        fputs(" - |", f);
    else
        fprintf(f, " %.1f |", v);
}

void insns_comparison_write(const struct insns_comparison *c, bool all, FILE *f)
{
    bool head = false;

    if (c->apart) {
        fputs("The versions differ: ", f);
        text_write_markdown(f, c->apart);
        fputs(".\n\n", f);
    }
    for (unsigned i = 0; i < c->count; i++) {
        const struct insns_change *d = &c->changes[i];

        if (!all && (d->verdict == SAMPLE_SAME || d->verdict == SAMPLE_UNKNOWN))
            continue;
        if (!head)
            fputs("| operation | instructions before | after | change | at least | verdict |\n"
                  "|---|---|---|---|---|---|\n",
                  f);
        head = true;
        fputs("| ", f);
        text_write_markdown(f, d->row);
        fputs(" |", f);
        write_value(d->before, f);
        write_value(d->after, f);
        if (d->verdict == SAMPLE_UNKNOWN)
            fputs(" - | - |", f);
        else
            fprintf(f, " %+.2f %% | %.2f %% |", 100 * d->by, 100 * d->bound);
        fprintf(f, " %s%s%s |\n", sample_verdict_name(d->verdict), d->why ? ": " : "",
                d->why ? d->why : "");
    }
    fprintf(f, "%s%u better, %u same, %u worse, %u not comparable\n", head ? "\n" : "",
            c->verdicts[SAMPLE_BETTER], c->verdicts[SAMPLE_SAME], c->verdicts[SAMPLE_WORSE],
            c->verdicts[SAMPLE_UNKNOWN]);
}
