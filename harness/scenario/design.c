/* SPDX-License-Identifier: MIT */
#include "scenario/design.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario/doc.h"
#include "scenario/workload.h"

#define NAME_MAX_BYTES 40u

struct reader {
    const char *path;
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 4, 5))) static int refuse(const struct reader *r, unsigned line,
                                                        unsigned column, const char *fmt, ...)
{
    int used = snprintf(r->why, r->why_size, "%s:%u:%u: ", r->path, line, column);
    va_list ap;

    if (used >= 0 && (size_t)used < r->why_size) {
        va_start(ap, fmt);
        vsnprintf(r->why + used, r->why_size - (size_t)used, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

static int want(const struct reader *r, const struct doc_node *n, enum doc_kind kind,
                const char *what)
{
    if (n->kind == kind)
        return 0;
    return refuse(r, n->line, n->column, "%s has to be %s, not %s", what, doc_kind_name(kind),
                  doc_kind_name(n->kind));
}

static int read_text(const struct reader *r, const struct doc_node *n, char **out)
{
    int ret = want(r, n, DOC_SCALAR, n->key);

    if (ret)
        return ret;
    if (!n->text[0])
        return refuse(r, n->line, n->column, "%s is empty", n->key);
    *out = strdup(n->text);
    return *out ? 0 : -ENOMEM;
}

/* Names are in tables, options of commands and pictures. */
static int read_name(const struct reader *r, const struct doc_node *n, char **out)
{
    int ret = read_text(r, n, out);

    if (!ret && (strlen(*out) > NAME_MAX_BYTES ||
                 (*out)[strspn(*out, "abcdefghijklmnopqrstuvwxyz0123456789-_. ")]))
        ret = refuse(r, n->line, n->column,
                     "a name has lower-case letters, digits, blanks and -_. only, up to %u",
                     NAME_MAX_BYTES);
    return ret;
}

static int is_axis(const char *name)
{
    for (unsigned a = 0; a < SCENARIO_AXES; a++)
        if (!strcmp(scenario_axis_name((enum scenario_axis)a), name))
            return 1;
    return 0;
}

/* A map of axes to words, of which a scenario has to be made. */
static int read_axes(const struct reader *r, const struct doc_node *n, char **out)
{
    int ret = want(r, n, DOC_MAP, n->key);
    struct scenario *s = NULL;
    char *text = NULL, why[400];
    size_t size = 0;
    FILE *f;

    if (ret)
        return ret;
    f = open_memstream(&text, &size);
    if (!f)
        return -ENOMEM;
    for (const struct doc_node *c = n->first; c && !ret; c = c->next) {
        if (!is_axis(c->key))
            ret = refuse(r, c->key_line, c->key_column, "'%.64s' is no axis", c->key);
        else
            ret = want(r, c, DOC_SCALAR, c->key);
        if (!ret)
            fprintf(f, "%s%s=%s", c == n->first ? "" : " ", c->key, c->text);
    }
    if (fclose(f))
        ret = ret ? ret : -ENOMEM;
    if (!ret && workload_scenario("run=costs", text, ".", &s, why, sizeof(why)))
        ret = refuse(r, n->line, n->column, "no design: %s", why);
    scenario_free(s);
    *out = text;
    return ret;
}

static int read_design(const struct reader *r, const struct doc_node *n, struct design *d)
{
    int ret = want(r, n, DOC_MAP, "a design");

    for (const struct doc_node *c = ret ? NULL : n->first; c && !ret; c = c->next) {
        if (!strcmp(c->key, "name"))
            ret = read_name(r, c, &d->name);
        else if (!strcmp(c->key, "title"))
            ret = read_text(r, c, &d->title);
        else if (!strcmp(c->key, "axes"))
            ret = read_axes(r, c, &d->words);
        else
            ret = refuse(r, c->key_line, c->key_column,
                         "unknown key '%.64s' (known here: name, title, axes)", c->key);
    }
    if (!ret && (!d->name || !d->title || !d->words))
        ret = refuse(r, n->line, n->column, "a design needs the keys name, title and axes");
    return ret;
}

static int read_designs(const struct reader *r, const struct doc_node *list, struct designs *d)
{
    int ret = want(r, list, DOC_LIST, "designs");

    if (!ret && !list->first)
        return refuse(r, list->line, list->column, "designs is empty");
    for (const struct doc_node *c = ret ? NULL : list->first; c && !ret; c = c->next) {
        if (d->count == DESIGNS_MAX)
            return refuse(r, c->line, c->column, "more than %u designs", DESIGNS_MAX);
        ret = read_design(r, c, &d->items[d->count++]);
        for (unsigned i = 0; !ret && i + 1 < d->count; i++)
            if (!strcmp(d->items[i].name, d->items[d->count - 1].name))
                ret = refuse(r, c->line, c->column, "a second design '%s'", d->items[i].name);
    }
    return ret;
}

static int read_root(const struct reader *r, const struct doc_node *root, struct designs *d)
{
    const struct doc_node *list = doc_get(root, "designs");

    for (const struct doc_node *c = root->first; c; c = c->next)
        if (c != list)
            return refuse(r, c->key_line, c->key_column,
                          "unknown key '%.64s' (known here: designs)", c->key);
    return list ? read_designs(r, list, d) : refuse(r, 1, 1, "the key designs is missing");
}

static int take(const char *path, int ret, struct doc_node *root, struct designs *d, char *why,
                size_t why_size)
{
    const struct reader r = {path, why, why_size};

    *d = (struct designs){.count = 0};
    if (!ret)
        ret = read_root(&r, root, d);
    if (ret)
        designs_fini(d);
    doc_free(root);
    return ret;
}

int designs_load(const char *path, struct designs *d, char *why, size_t why_size)
{
    struct doc_node *root = NULL;
    int ret = doc_load(path, &root, why, why_size);

    return take(path, ret, root, d, why, why_size);
}

int designs_parse(const char *path, const char *text, size_t length, struct designs *d, char *why,
                  size_t why_size)
{
    struct doc_node *root = NULL;
    int ret = doc_parse(path, text, length, &root, why, why_size);

    return take(path, ret, root, d, why, why_size);
}

void designs_fini(struct designs *d)
{
    for (unsigned i = 0; i < d->count; i++) {
        free(d->items[i].name);
        free(d->items[i].title);
        free(d->items[i].words);
    }
    *d = (struct designs){.count = 0};
}
