/* SPDX-License-Identifier: MIT */
/* A certificate from a file of anybody's: its shape, and whether it agrees with itself. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "certify/certificate.h"
#include "certify/internal.h"

struct loader {
    const char *path;
    char *why;
    size_t why_size;
};

static int refuse(struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct loader *l, const char *fmt, ...)
{
    int n = snprintf(l->why, l->why_size, "%s: ", l->path);
    va_list ap;

    if (n >= 0 && (size_t)n < l->why_size) {
        va_start(ap, fmt);
        vsnprintf(l->why + n, l->why_size - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

int certificate_outcome(const json_t *value)
{
    const char *name = json_string_value(value);

    for (int o = PASS; name && o <= (int)ERROR; o++)
        if (!strcmp(outcome_name((enum outcome)o), name))
            return o;
    return -EINVAL;
}

/* Exactly these members: name and type. */
struct member {
    const char *name;
    json_type type;
};

static bool is_of(const json_t *v, json_type type)
{
    return type == JSON_TRUE ? json_is_boolean(v) : json_typeof(v) == type;
}

static int check_members(struct loader *l, const json_t *o, const char *what,
                         const struct member *m, size_t count)
{
    if (!json_is_object(o))
        return refuse(l, "%s is no object", what);
    for (size_t i = 0; i < count; i++) {
        const json_t *v = json_object_get(o, m[i].name);

        if (!v || !is_of(v, m[i].type))
            return refuse(l, "%s has no %s, or it is of another type", what, m[i].name);
    }
    if (json_object_size(o) != count)
        return refuse(l, "%s has members that nobody knows", what);
    return 0;
}

#define CHECK_MEMBERS(l, o, what, table)                                                           \
    check_members(l, o, what, table, sizeof(table) / sizeof((table)[0]))

static int check_texts(struct loader *l, const json_t *o, const char *what)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)o, key, v) if (!json_is_string(v)) return refuse(
        l, "%s: %.64s is no text", what, key);
    return 0;
}

static int check_observation(struct loader *l, const json_t *o, const char *check,
                             enum outcome *worst)
{
    static const struct member passed[] = {{"cell", JSON_STRING}, {"outcome", JSON_STRING}};
    static const struct member skipped[] = {
        {"cell", JSON_STRING}, {"outcome", JSON_STRING}, {"reason", JSON_STRING}};
    static const struct member other[] = {{"cell", JSON_STRING},   {"outcome", JSON_STRING},
                                          {"reason", JSON_STRING}, {"failures", JSON_ARRAY},
                                          {"notes", JSON_OBJECT},  {"log", JSON_STRING},
                                          {"trace", JSON_STRING}};
    static const struct member failure[] = {{"level", JSON_STRING}, {"text", JSON_STRING}};
    int outcome = certificate_outcome(json_object_get(o, "outcome")), ret;
    size_t i;
    json_t *f;

    if (outcome == PASS)
        ret = CHECK_MEMBERS(l, o, check, passed);
    else if (outcome == SKIP)
        ret = CHECK_MEMBERS(l, o, check, skipped);
    else if (outcome > 0)
        ret = CHECK_MEMBERS(l, o, check, other);
    else
        return refuse(l, "%s: an observation without a known outcome", check);
    json_array_foreach(json_object_get(o, "failures"), i, f) ret =
        ret ? ret : CHECK_MEMBERS(l, f, check, failure);
    if (!ret && json_object_get(o, "notes"))
        ret = check_texts(l, json_object_get(o, "notes"), check);
    *worst = certificate_worse(*worst, (enum outcome)outcome);
    return ret;
}

static int check_checks(struct loader *l, const json_t *checks, const char *id, enum outcome *worst)
{
    static const struct member members[] = {
        {"title", JSON_STRING}, {"outcome", JSON_STRING}, {"observations", JSON_ARRAY}};
    const char *name;
    json_t *c;
    int ret = json_object_size(checks) ? 0 : refuse(l, "%s has no check", id);

    json_object_foreach((json_t *)checks, name, c)
    {
        enum outcome own = SKIP;
        json_t *o;
        size_t i;

        if (!ret)
            ret = CHECK_MEMBERS(l, c, name, members);
        if (!ret && !json_array_size(json_object_get(c, "observations")))
            ret = refuse(l, "%s was never observed", name);
        if (ret)
            break;
        json_array_foreach(json_object_get(c, "observations"), i, o) ret =
            ret ? ret : check_observation(l, o, name, &own);
        if (!ret && (int)own != certificate_outcome(json_object_get(c, "outcome")))
            ret = refuse(l, "%s: its outcome is not what was observed", name);
        *worst = certificate_worse(*worst, own);
    }
    return ret;
}

static int check_requirements(struct loader *l, const json_t *list, json_int_t *counts)
{
    static const struct member members[] = {
        {"id", JSON_STRING},     {"level", JSON_STRING},      {"role", JSON_STRING},
        {"source", JSON_STRING}, {"paraphrase", JSON_STRING}, {"verdict", JSON_STRING},
        {"checks", JSON_OBJECT},
    };
    const char *before = "";
    int ret = 0;
    size_t i;
    json_t *q;

    json_array_foreach(list, i, q)
    {
        enum outcome worst = SKIP;
        const char *id = json_string_value(json_object_get(q, "id"));

        ret = CHECK_MEMBERS(l, q, id ? id : "a requirement", members);
        if (!ret && strcmp(before, id) >= 0)
            ret = refuse(l, "%s: requirements are not in order", id);
        if (!ret)
            ret = check_checks(l, json_object_get(q, "checks"), id, &worst);
        if (!ret && (int)worst != certificate_outcome(json_object_get(q, "verdict")))
            ret = refuse(l, "%s: its verdict is not that of its checks", id);
        if (ret)
            return ret;
        counts[worst]++;
        before = id;
    }
    return 0;
}

static int check_deviations(struct loader *l, const json_t *list)
{
    static const struct member members[] = {
        {"check", JSON_STRING},  {"reason", JSON_STRING}, {"where", JSON_STRING},
        {"effect", JSON_STRING}, {"link", JSON_STRING},   {"cells", JSON_INTEGER},
        {"seen", JSON_INTEGER},
    };
    int ret = 0;
    size_t i;
    json_t *d;

    json_array_foreach(list, i, d) ret = ret ? ret : CHECK_MEMBERS(l, d, "a deviation", members);
    return ret;
}

static int check_cells(struct loader *l, const json_t *list)
{
    static const struct member members[] = {{"cell", JSON_STRING},
                                            {"outcome", JSON_STRING},
                                            {"reason", JSON_STRING},
                                            {"log", JSON_STRING}};
    int ret = 0;
    size_t i;
    json_t *c;

    json_array_foreach(list, i, c)
    {
        ret = ret ? ret : CHECK_MEMBERS(l, c, "a cell", members);
        if (!ret && certificate_outcome(json_object_get(c, "outcome")) < 0)
            ret = refuse(l, "a cell without a known outcome");
    }
    return ret;
}

static int check_counts(struct loader *l, const json_t *counts, const json_int_t *found)
{
    for (int o = PASS; o <= (int)ERROR; o++) {
        const json_t *v = json_object_get(counts, outcome_name((enum outcome)o));

        if (!json_is_integer(v) || json_integer_value(v) != found[o])
            return refuse(l, "verdicts: the number of %s is not that of the requirements",
                          outcome_name((enum outcome)o));
    }
    return json_object_size(counts) == ERROR + 1
               ? 0
               : refuse(l, "verdicts has members that nobody knows");
}

static int check(struct loader *l, const json_t *c)
{
    static const struct member members[] = {
        {"format", JSON_INTEGER},   {"subject", JSON_OBJECT},  {"profile", JSON_STRING},
        {"run", JSON_OBJECT},       {"versions", JSON_OBJECT}, {"catalogue_sha256", JSON_STRING},
        {"deviations", JSON_ARRAY}, {"cells", JSON_ARRAY},     {"requirements", JSON_ARRAY},
        {"status", JSON_INTEGER},   {"verdicts", JSON_OBJECT},
    };
    static const struct member subject[] = {{"profile", JSON_STRING}, {"title", JSON_STRING},
                                            {"vendor", JSON_STRING},  {"program", JSON_STRING},
                                            {"version", JSON_STRING}, {"sha256", JSON_STRING}};
    static const struct member run[] = {
        {"id", JSON_STRING},        {"started", JSON_STRING},      {"selection", JSON_STRING},
        {"testbed", JSON_STRING},   {"testbed_note", JSON_STRING}, {"seed", JSON_INTEGER},
        {"interrupted", JSON_TRUE}, {"duration_ns", JSON_INTEGER},
    };
    json_int_t counts[ERROR + 1] = {0};
    int ret = CHECK_MEMBERS(l, c, "the document", members);

    if (!ret && json_integer_value(json_object_get(c, "format")) != CERTIFICATE_FORMAT)
        ret =
            refuse(l, "format %lld is not the one that this version reads, %d",
                   (long long)json_integer_value(json_object_get(c, "format")), CERTIFICATE_FORMAT);
    if (!ret)
        ret = CHECK_MEMBERS(l, json_object_get(c, "subject"), "subject", subject);
    if (!ret)
        ret = CHECK_MEMBERS(l, json_object_get(c, "run"), "run", run);
    if (!ret)
        ret = check_texts(l, json_object_get(c, "versions"), "versions");
    if (!ret)
        ret = check_deviations(l, json_object_get(c, "deviations"));
    if (!ret)
        ret = check_cells(l, json_object_get(c, "cells"));
    if (!ret)
        ret = check_requirements(l, json_object_get(c, "requirements"), counts);
    return ret ? ret : check_counts(l, json_object_get(c, "verdicts"), counts);
}

int certificate_load(const char *path, json_t **out, char *why, size_t why_size)
{
    struct loader l = {.path = path, .why = why, .why_size = why_size};
    json_error_t error;
    FILE *f = fopen(path, "re");
    int ret = f ? 0 : -errno;

    *out = NULL;
    if (!f) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return ret;
    }
    if (fseeko(f, 0, SEEK_END) || ftello(f) > (off_t)CERTIFICATE_BYTES_MAX) {
        snprintf(why, why_size, "%s: it is no file of at most %u MiB", path,
                 CERTIFICATE_BYTES_MAX >> 20);
        ret = -EFBIG;
    } else {
        rewind(f);
        *out = json_loadf(f, JSON_REJECT_DUPLICATES, &error);
        if (!*out)
            ret = refuse(&l, "it is no JSON: %s (line %d)", error.text, error.line);
        else
            ret = check(&l, *out);
    }
    fclose(f);
    if (ret) {
        json_decref(*out);
        *out = NULL;
    }
    return ret;
}
