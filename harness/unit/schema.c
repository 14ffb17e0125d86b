/* SPDX-License-Identifier: MIT */
#include "unit/schema.h"

#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "util/bits.h"

struct place {
    const struct place *up;
    const char *name; /* NULL: an element of a list */
    size_t index;
};

struct check {
    const json_t *root;
    char *why;
    size_t why_size;
};

static void put_place(const struct place *p, FILE *f)
{
    if (!p)
        return;
    put_place(p->up, f);
    if (p->name)
        fprintf(f, "/%s", p->name);
    else
        fprintf(f, "/%zu", p->index);
}

__attribute__((format(printf, 3, 4))) static int wrong(const struct check *c,
                                                       const struct place *at, const char *format,
                                                       ...)
{
    FILE *f = fmemopen(c->why, c->why_size, "w");
    va_list list;

    if (!f)
        return -EINVAL;
    put_place(at, f);
    fputs(": ", f);
    va_start(list, format);
    vfprintf(f, format, list);
    va_end(list);
    fclose(f);
    return -EINVAL;
}

static bool is_of(const char *type, const json_t *v)
{
    if (!strcmp(type, "number"))
        return json_is_number(v);
    if (!strcmp(type, "integer"))
        return json_is_integer(v);
    if (!strcmp(type, "string"))
        return json_is_string(v);
    if (!strcmp(type, "boolean"))
        return json_is_boolean(v);
    if (!strcmp(type, "array"))
        return json_is_array(v);
    if (!strcmp(type, "null"))
        return json_is_null(v);
    return !strcmp(type, "object") && json_is_object(v);
}

static int check_at(const struct check *c, const json_t *schema, const json_t *v,
                    const struct place *at);

static int check_reference(const struct check *c, const char *to, const json_t *v,
                           const struct place *at)
{
    static const char start[] = "#/$defs/";
    const json_t *defs = json_object_get(c->root, "$defs"), *target = NULL;

    if (!strncmp(to, start, strlen(start)))
        target = json_object_get(defs, to + strlen(start));
    return target ? check_at(c, target, v, at) : wrong(c, at, "no schema %s", to);
}

static int check_pattern(const struct check *c, const char *pattern, const json_t *v,
                         const struct place *at)
{
    regex_t r;
    int ret = 0;

    if (regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB))
        return wrong(c, at, "pattern %s", pattern);
    if (json_is_string(v) && regexec(&r, json_string_value(v), 0, NULL, 0))
        ret = wrong(c, at, "'%s' does not match %s", json_string_value(v), pattern);
    regfree(&r);
    return ret;
}

static int check_members(const struct check *c, const json_t *schema, const json_t *v,
                         const struct place *at)
{
    const json_t *properties = json_object_get(schema, "properties"), *member;
    const json_t *more = json_object_get(schema, "additionalProperties"), *of;
    const char *name;
    size_t i;

    json_array_foreach(
        json_object_get(schema, "required"), i,
        member) if (!json_object_get(v, json_string_value(member))) return wrong(c, at,
                                                                                 "no member %s",
                                                                                 json_string_value(
                                                                                     member));
    json_object_foreach((json_t *)v, name, member)
    {
        const struct place inside = {at, name, 0};
        int ret = 0;

        of = json_object_get(properties, name);
        if (of)
            ret = check_at(c, of, member, &inside);
        else if (json_is_false(more))
            ret = wrong(c, &inside, "unknown member");
        else if (json_is_object(more))
            ret = check_at(c, more, member, &inside);
        if (ret)
            return ret;
    }
    return 0;
}

static int check_elements(const struct check *c, const json_t *schema, const json_t *v,
                          const struct place *at)
{
    const json_t *items = json_object_get(schema, "items"), *element;
    const json_t *least = json_object_get(schema, "minItems");
    const json_t *most = json_object_get(schema, "maxItems");
    size_t i, n = json_array_size(v);

    if ((least && n < (size_t)json_integer_value(least)) ||
        (most && n > (size_t)json_integer_value(most)))
        return wrong(c, at, "%zu elements", n);
    json_array_foreach(v, i, element)
    {
        const struct place inside = {at, NULL, i};
        int ret = items ? check_at(c, items, element, &inside) : 0;

        if (ret)
            return ret;
    }
    return 0;
}

static int check_choice(const struct check *c, const json_t *choices, const json_t *v,
                        const struct place *at)
{
    unsigned fits = 0;
    json_t *one;
    size_t i;

    json_array_foreach(choices, i, one) fits += check_at(c, one, v, at) == 0;
    return fits == 1 ? 0 : wrong(c, at, "fits %u of the choices", fits);
}

static int check_keyword(const struct check *c, const json_t *schema, const char *keyword,
                         const json_t *k, const json_t *v, const struct place *at)
{
    static const char *const without_effect[] = {"$schema", "title", "description", "$defs",
                                                 "format"};
    /* Looked at with the whole. */
    static const char *const of_others[] = {"properties", "required", "additionalProperties",
                                            "items",      "minItems", "maxItems"};
    json_t *one;
    size_t i;

    for (i = 0; i < ARRAY_LENGTH(without_effect); i++)
        if (!strcmp(keyword, without_effect[i]))
            return 0;
    for (i = 0; i < ARRAY_LENGTH(of_others); i++)
        if (!strcmp(keyword, of_others[i]))
            return 0;
    if (!strcmp(keyword, "$ref"))
        return check_reference(c, json_string_value(k), v, at);
    if (!strcmp(keyword, "oneOf"))
        return check_choice(c, k, v, at);
    if (!strcmp(keyword, "pattern"))
        return check_pattern(c, json_string_value(k), v, at);
    if (!strcmp(keyword, "type"))
        return is_of(json_string_value(k), v) ? 0 : wrong(c, at, "no %s", json_string_value(k));
    if (!strcmp(keyword, "const"))
        return json_equal(k, v) ? 0 : wrong(c, at, "another constant");
    if (!strcmp(keyword, "minimum"))
        return json_number_value(v) >= json_number_value(k) ? 0 : wrong(c, at, "too small");
    if (!strcmp(keyword, "maximum"))
        return json_number_value(v) <= json_number_value(k) ? 0 : wrong(c, at, "too large");
    if (!strcmp(keyword, "exclusiveMinimum"))
        return json_number_value(v) > json_number_value(k) ? 0 : wrong(c, at, "too small");
    if (!strcmp(keyword, "enum")) {
        json_array_foreach(k, i, one) if (json_equal(one, v)) return 0;
        return wrong(c, at, "none of the values that there are");
    }
    (void)schema;
    return wrong(c, at, "keyword %s", keyword);
}

static int check_at(const struct check *c, const json_t *schema, const json_t *v,
                    const struct place *at)
{
    const char *keyword;
    json_t *k;
    int ret = 0;

    json_object_foreach((json_t *)schema, keyword, k)
    {
        ret = check_keyword(c, schema, keyword, k, v, at);
        if (ret)
            return ret;
    }
    if (json_is_object(v))
        ret = check_members(c, schema, v, at);
    else if (json_is_array(v))
        ret = check_elements(c, schema, v, at);
    return ret;
}

int schema_check(const json_t *schema, const json_t *document, char *why, size_t why_size)
{
    const struct check c = {.root = schema, .why = why, .why_size = why_size};

    return check_at(&c, schema, document, NULL);
}
