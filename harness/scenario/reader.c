/* SPDX-License-Identifier: MIT */
#include "scenario/reader.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario/units.h"

int reader_refuse(struct reader *r, unsigned line, unsigned column, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(r->why, r->why_size, "%s:%u:%u: ", r->path, line, column);

    if (n >= 0 && (size_t)n < r->why_size) {
        va_start(ap, fmt);
        vsnprintf(r->why + n, r->why_size - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

int reader_no_memory(struct reader *r)
{
    snprintf(r->why, r->why_size, "%s: out of memory", r->path);
    return -ENOMEM;
}

void reader_join_names(const char *const *names, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = 0;
    for (; *names && used < size; names++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "", *names);
}

int reader_check_keys(struct reader *r, const struct doc_node *map, const char *const *known)
{
    char all[512];

    for (const struct doc_node *n = map->first; n; n = n->next) {
        const char *const *k = known;
        while (*k && strcmp(*k, n->key))
            k++;
        if (*k)
            continue;
        reader_join_names(known, all, sizeof(all));
        return reader_refuse(r, n->key_line, n->key_column, "unknown key '%.64s' (known here: %s)",
                             n->key, all);
    }
    return 0;
}

int reader_want(struct reader *r, const struct doc_node *n, enum doc_kind kind, const char *what)
{
    if (n->kind == kind)
        return 0;
    return reader_refuse_at(r, n, "%s has to be %s, not %s", what, doc_kind_name(kind),
                            doc_kind_name(n->kind));
}

int reader_text(struct reader *r, const struct doc_node *n, const char *what, char **out)
{
    int ret = reader_want(r, n, DOC_SCALAR, what);

    if (ret)
        return ret;
    if (!n->text[0])
        return reader_refuse_at(r, n, "%s is empty", what);
    *out = strdup(n->text);
    return *out ? 0 : reader_no_memory(r);
}

int reader_bool(struct reader *r, const struct doc_node *n, const char *what, bool *out)
{
    int ret = reader_want(r, n, DOC_SCALAR, what);

    if (ret)
        return ret;
    if (!n->quoted && !strcmp(n->text, "true"))
        *out = true;
    else if (!n->quoted && !strcmp(n->text, "false"))
        *out = false;
    else
        return reader_refuse_at(r, n, "%s has to be true or false, not '%.64s'", what, n->text);
    return 0;
}

int reader_number(struct reader *r, const struct doc_node *n, const char *what,
                  int (*parse)(const char *, uint64_t *), const char *example, uint64_t min,
                  uint64_t max, uint64_t *out)
{
    char least[32], most[32];
    int ret = reader_want(r, n, DOC_SCALAR, what);

    if (ret)
        return ret;
    ret = n->quoted ? -EINVAL : parse(n->text, out);
    if (ret == -EINVAL)
        return reader_refuse_at(r, n, "%s has to be %s, not '%.64s'", what, example, n->text);
    if (!ret && *out >= min && *out <= max)
        return 0;
    if (parse == units_parse_bytes) {
        units_format_bytes(min, least, sizeof(least));
        units_format_bytes(max, most, sizeof(most));
    } else if (parse == units_parse_ns) {
        units_format_ns(min, least, sizeof(least));
        units_format_ns(max, most, sizeof(most));
    } else {
        snprintf(least, sizeof(least), "%" PRIu64, min);
        snprintf(most, sizeof(most), "%" PRIu64, max);
    }
    return reader_refuse_at(r, n, "%s is out of range: '%.64s' is not within %s to %s", what,
                            n->text, least, most);
}

int reader_count(struct reader *r, const struct doc_node *n, const char *what, uint64_t min,
                 uint64_t max, uint32_t *out)
{
    uint64_t v = 0;
    int ret = reader_number(r, n, what, units_parse_count, "a whole number", min, max, &v);

    *out = (uint32_t)v;
    return ret;
}

int reader_name(struct reader *r, const struct doc_node *n, const char *what,
                const char *const *names, unsigned *out)
{
    char all[256];
    int ret = reader_want(r, n, DOC_SCALAR, what);

    if (ret)
        return ret;
    for (unsigned i = 0; names[i]; i++)
        if (!strcmp(names[i], n->text)) {
            *out = i;
            return 0;
        }
    reader_join_names(names, all, sizeof(all));
    return reader_refuse_at(r, n, "unknown %s '%.64s' (known: %s)", what, n->text, all);
}

int reader_mask(struct reader *r, const struct doc_node *n, const char *what,
                const char *const *names, unsigned *mask)
{
    int ret = reader_want(r, n, DOC_LIST, what);

    if (!ret && !n->first)
        ret = reader_refuse_at(r, n, "%s is empty", what);
    for (const struct doc_node *c = n->first; !ret && c; c = c->next) {
        unsigned v = 0;
        ret = reader_name(r, c, what, names, &v);
        if (!ret && *mask & 1u << v)
            ret = reader_refuse_at(r, c, "'%s' is listed twice", c->text);
        if (!ret)
            *mask |= 1u << v;
    }
    return ret;
}

/* A list of texts, or a single one. Repeated entries are refused. */
int reader_texts(struct reader *r, const struct doc_node *n, const char *what, char ***out,
                 unsigned *count)
{
    const struct doc_node *first = n->kind == DOC_LIST ? n->first : n;
    const struct doc_node *end = n->kind == DOC_LIST ? NULL : n->next;
    unsigned total = n->kind == DOC_LIST ? doc_count(n) : 1;
    int ret;

    if (n->kind == DOC_MAP)
        return reader_refuse_at(r, n, "%s has to be a list, not a map", what);
    if (!total)
        return reader_refuse_at(r, n, "%s is empty", what);
    if (total > SCENARIO_LIST_MAX)
        return reader_refuse_at(r, n, "%s has %u entries, at most %u are allowed", what, total,
                                SCENARIO_LIST_MAX);
    *out = calloc(total, sizeof(**out));
    if (!*out)
        return reader_no_memory(r);
    for (const struct doc_node *c = first; c != end; c = c->next) {
        ret = reader_text(r, c, what, &(*out)[*count]);
        if (ret)
            return ret;
        (*count)++; /* the scenario owns the text from here, also on an error */
        for (const struct doc_node *before = first; before != c; before = before->next)
            if (!strcmp(before->text, c->text))
                return reader_refuse_at(r, c, "'%.64s' is listed twice", c->text);
    }
    return 0;
}

/* Lower-case words with digits, '-' and '_': usable in a file name and on a command line. */
int reader_name_valid(const char *text)
{
    if (!islower((unsigned char)text[0]) || strlen(text) > 64)
        return -EINVAL;
    for (const char *c = text; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '-' && *c != '_')
            return -EINVAL;
    return 0;
}

int reader_pattern_valid(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && !strchr("_.*?", *c))
            return -EINVAL;
    return strlen(text) < 128 ? 0 : -EINVAL;
}

int reader_features_valid(const char *text);

/* "default", or edits "-name" and "+name" with ':' between them, as the backend takes them. */
int reader_features_valid(const char *text)
{
    const char *c = text;

    if (!strcmp(text, "default"))
        return 0;
    if (strlen(text) > 200)
        return -EINVAL;
    for (;; c++) {
        if (*c != '-' && *c != '+')
            return -EINVAL;
        c++;
        if (!islower((unsigned char)*c))
            return -EINVAL;
        while (islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-')
            c++;
        if (*c != ':')
            return *c ? -EINVAL : 0;
    }
}

bool reader_sbdf_valid(const char *text)
{
    unsigned seg, bus, dev, fn;
    int used = 0;

    if (strlen(text) != 12 || strspn(text, "0123456789abcdef:.") != 12)
        return false;
    return sscanf(text, "%4x:%2x:%2x.%1x%n", &seg, &bus, &dev, &fn, &used) == 4 && used == 12 &&
           dev < 32 && fn < 8;
}
