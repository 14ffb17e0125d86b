/* SPDX-License-Identifier: MIT */
/*
 * A YAML document as a small tree in which every node knows its line and column.
 *
 * Only the plain part of YAML is taken: maps with scalar keys, lists and scalars, one document
 * a file. Anchors, aliases, tags, merge keys and duplicate keys are refused, since each of them
 * lets a reader see something else than the author. Size and depth are bounded.
 */
#ifndef RP_SCENARIO_DOC_H
#define RP_SCENARIO_DOC_H

#include <stdbool.h>
#include <stddef.h>

#define DOC_FILE_BYTES_MAX (1u << 20)
#define DOC_DEPTH_MAX      16

enum doc_kind { DOC_SCALAR, DOC_LIST, DOC_MAP };

struct doc_node {
    enum doc_kind kind;
    unsigned line, column; /* from 1 */
    char *key;             /* of a map's child, else NULL */
    unsigned key_line, key_column;
    char *text;  /* scalar */
    bool quoted; /* scalar: quoted text is never a number, a boolean or null */
    struct doc_node *first, *next;
};

/*
 * Parse `length` bytes; `name` is the file name for messages. 0 and a tree owned by the caller
 * (doc_free), or -EINVAL with "name:line:column: message" in why. The root is a map.
 */
int doc_parse(const char *name, const char *text, size_t length, struct doc_node **out, char *why,
              size_t why_size);
/* The same from a file. -errno with a message when it cannot be read; -EFBIG. */
int doc_load(const char *path, struct doc_node **out, char *why, size_t why_size);
void doc_free(struct doc_node *n); /* NULL is allowed */

/* The child of a map with this key, or NULL. */
const struct doc_node *doc_get(const struct doc_node *map, const char *key);
unsigned doc_count(const struct doc_node *n);
const char *doc_kind_name(enum doc_kind kind);

#endif
