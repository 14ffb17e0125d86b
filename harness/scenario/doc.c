/* SPDX-License-Identifier: MIT */
#include "scenario/doc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yaml.h>

struct parse {
    yaml_parser_t yaml;
    const char *name;
    char *why;
    size_t why_size;
    int err;
};

static int refuse(struct parse *p, yaml_mark_t at, const char *text)
{
    if (p->err)
        return p->err;
    p->err = -EINVAL;
    snprintf(p->why, p->why_size, "%s:%zu:%zu: %s", p->name, at.line + 1, at.column + 1, text);
    return p->err;
}

static int next_event(struct parse *p, yaml_event_t *ev)
{
    if (yaml_parser_parse(&p->yaml, ev))
        return 0;
    if (p->yaml.error == YAML_MEMORY_ERROR) {
        p->err = -ENOMEM;
        snprintf(p->why, p->why_size, "%s: out of memory", p->name);
        return p->err;
    }
    yaml_mark_t at = p->yaml.problem_mark;
    if (p->yaml.error == YAML_READER_ERROR)
        at = p->yaml.mark;
    return refuse(p, at, p->yaml.problem ? p->yaml.problem : "not YAML");
}

static struct doc_node *node_new(struct parse *p, enum doc_kind kind, yaml_mark_t at)
{
    struct doc_node *n = calloc(1, sizeof(*n));
    if (!n) {
        p->err = -ENOMEM;
        snprintf(p->why, p->why_size, "%s: out of memory", p->name);
        return NULL;
    }
    n->kind = kind;
    n->line = (unsigned)at.line + 1;
    n->column = (unsigned)at.column + 1;
    return n;
}

static int plain_only(struct parse *p, const yaml_event_t *ev, const yaml_char_t *anchor,
                      const yaml_char_t *tag)
{
    if (anchor)
        return refuse(p, ev->start_mark, "anchors are not allowed");
    if (tag)
        return refuse(p, ev->start_mark, "tags are not allowed");
    return 0;
}

static struct doc_node *parse_value(struct parse *p, yaml_event_t *ev, unsigned depth);

static struct doc_node *parse_scalar(struct parse *p, const yaml_event_t *ev)
{
    if (plain_only(p, ev, ev->data.scalar.anchor, ev->data.scalar.tag))
        return NULL;
    if (memchr(ev->data.scalar.value, 0, ev->data.scalar.length)) {
        refuse(p, ev->start_mark, "text with a zero byte");
        return NULL;
    }
    struct doc_node *n = node_new(p, DOC_SCALAR, ev->start_mark);
    if (!n)
        return NULL;
    n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    n->text = strndup((const char *)ev->data.scalar.value, ev->data.scalar.length);
    if (!n->text) {
        p->err = -ENOMEM;
        snprintf(p->why, p->why_size, "%s: out of memory", p->name);
        free(n);
        return NULL;
    }
    return n;
}

static struct doc_node *parse_list(struct parse *p, const yaml_event_t *start, unsigned depth)
{
    if (plain_only(p, start, start->data.sequence_start.anchor, start->data.sequence_start.tag))
        return NULL;
    struct doc_node *list = node_new(p, DOC_LIST, start->start_mark);
    if (!list)
        return NULL;
    struct doc_node **tail = &list->first;

    for (;;) {
        yaml_event_t ev;
        if (next_event(p, &ev))
            break;
        if (ev.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&ev);
            return list;
        }
        struct doc_node *n = parse_value(p, &ev, depth + 1);
        yaml_event_delete(&ev);
        if (!n)
            break;
        *tail = n;
        tail = &n->next;
    }
    doc_free(list);
    return NULL;
}

static struct doc_node *parse_map(struct parse *p, const yaml_event_t *start, unsigned depth)
{
    if (plain_only(p, start, start->data.mapping_start.anchor, start->data.mapping_start.tag))
        return NULL;
    struct doc_node *map = node_new(p, DOC_MAP, start->start_mark);
    if (!map)
        return NULL;
    struct doc_node **tail = &map->first;

    for (;;) {
        yaml_event_t ev;
        if (next_event(p, &ev))
            break;
        if (ev.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&ev);
            return map;
        }
        yaml_mark_t at = ev.start_mark;
        if (ev.type != YAML_SCALAR_EVENT) {
            refuse(p, at,
                   ev.type == YAML_ALIAS_EVENT ? "aliases are not allowed"
                                               : "a key has to be a plain word");
            yaml_event_delete(&ev);
            break;
        }
        struct doc_node *key = parse_scalar(p, &ev);
        yaml_event_delete(&ev);
        if (!key)
            break;
        if (doc_get(map, key->text)) {
            char text[160];
            snprintf(text, sizeof(text), "duplicate key '%.100s'", key->text);
            refuse(p, at, text);
            doc_free(key);
            break;
        }
        struct doc_node *n = NULL;
        if (!next_event(p, &ev)) {
            n = parse_value(p, &ev, depth + 1);
            yaml_event_delete(&ev);
        }
        if (!n) {
            doc_free(key);
            break;
        }
        n->key = key->text;
        n->key_line = key->line;
        n->key_column = key->column;
        key->text = NULL;
        doc_free(key);
        *tail = n;
        tail = &n->next;
    }
    doc_free(map);
    return NULL;
}

static struct doc_node *parse_value(struct parse *p, yaml_event_t *ev, unsigned depth)
{
    if (depth > DOC_DEPTH_MAX) {
        refuse(p, ev->start_mark, "nested too deeply");
        return NULL;
    }
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return parse_scalar(p, ev);
    case YAML_SEQUENCE_START_EVENT:
        return parse_list(p, ev, depth);
    case YAML_MAPPING_START_EVENT:
        return parse_map(p, ev, depth);
    case YAML_ALIAS_EVENT:
        refuse(p, ev->start_mark, "aliases are not allowed");
        return NULL;
    default:
        refuse(p, ev->start_mark, "a value is missing");
        return NULL;
    }
}

int doc_parse(const char *name, const char *text, size_t length, struct doc_node **out, char *why,
              size_t why_size)
{
    struct parse p = {.name = name, .why = why, .why_size = why_size};
    struct doc_node *root = NULL;
    yaml_event_t ev;

    *out = NULL;
    if (!yaml_parser_initialize(&p.yaml)) {
        snprintf(why, why_size, "%s: out of memory", name);
        return -ENOMEM;
    }
    yaml_parser_set_input_string(&p.yaml, (const unsigned char *)text, length);

    /* Stream start, one document with one map, stream end. */
    while (!p.err) {
        if (next_event(&p, &ev))
            break;
        yaml_event_type_t type = ev.type;
        yaml_mark_t at = ev.start_mark;
        if (type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(&ev);
            if (!root)
                refuse(&p, at, "the file is empty");
            break;
        }
        if (type == YAML_DOCUMENT_START_EVENT && root)
            refuse(&p, at, "a second document: one scenario a file");
        else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                 type != YAML_DOCUMENT_END_EVENT && !root) {
            root = parse_value(&p, &ev, 0);
            if (root && root->kind != DOC_MAP)
                refuse(&p, at, "the file has to be a map of keys");
        }
        yaml_event_delete(&ev);
    }

    yaml_parser_delete(&p.yaml);
    if (p.err) {
        doc_free(root);
        return p.err;
    }
    *out = root;
    return 0;
}

int doc_load(const char *path, struct doc_node **out, char *why, size_t why_size)
{
    char *text = NULL;
    size_t used = 0;
    int ret;

    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        goto fail;
    text = malloc(DOC_FILE_BYTES_MAX + 1);
    if (!text)
        goto fail;
    for (;;) {
        ssize_t n = read(fd, text + used, DOC_FILE_BYTES_MAX + 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            goto fail;
        if (n == 0)
            break;
        used += (size_t)n;
        if (used > DOC_FILE_BYTES_MAX) {
            errno = EFBIG;
            goto fail;
        }
    }
    ret = doc_parse(path, text, used, out, why, why_size);
    goto out;

fail:
    ret = -errno;
    snprintf(why, why_size, "%s: %s", path, strerror(-ret));
out:
    free(text);
    if (fd >= 0)
        close(fd);
    return ret;
}

void doc_free(struct doc_node *n)
{
    while (n) {
        struct doc_node *next = n->next;
        doc_free(n->first);
        free(n->key);
        free(n->text);
        free(n);
        n = next;
    }
}

const struct doc_node *doc_get(const struct doc_node *map, const char *key)
{
    for (const struct doc_node *n = map->first; n; n = n->next)
        if (n->key && !strcmp(n->key, key))
            return n;
    return NULL;
}

unsigned doc_count(const struct doc_node *n)
{
    unsigned count = 0;
    for (const struct doc_node *c = n->first; c; c = c->next)
        count++;
    return count;
}

const char *doc_kind_name(enum doc_kind kind)
{
    static const char *const names[] = {"a single value", "a list", "a map"};
    return names[kind];
}
