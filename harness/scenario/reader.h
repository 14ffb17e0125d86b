/* SPDX-License-Identifier: MIT */
/*
 * Strict reading of a scenario's document: values of a kind, within a range, and messages that name
 * file, line and column. All return 0, or -EINVAL or -ENOMEM with a message.
 */
#ifndef RP_SCENARIO_READER_H
#define RP_SCENARIO_READER_H

#include "scenario/doc.h"
#include "scenario/scenario.h"

struct reader {
    const char *path;
    struct scenario *s;
    char *why;
    size_t why_size;
};

/* -EINVAL, with a message. */
int reader_refuse(struct reader *r, unsigned line, unsigned column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define reader_refuse_at(r, n, ...) reader_refuse(r, (n)->line, (n)->column, __VA_ARGS__)
int reader_no_memory(struct reader *r);
/* "a, b, c" */
void reader_join_names(const char *const *names, char *buf, size_t size);
/* Every key of a map is one of these. */
int reader_check_keys(struct reader *r, const struct doc_node *map, const char *const *known);
int reader_want(struct reader *r, const struct doc_node *n, enum doc_kind kind, const char *what);
/* malloc'd. */
int reader_text(struct reader *r, const struct doc_node *n, const char *what, char **out);
int reader_bool(struct reader *r, const struct doc_node *n, const char *what, bool *out);
/* Within [min, max]; `example` says in messages what it looks like. */
int reader_number(struct reader *r, const struct doc_node *n, const char *what,
                  int (*parse)(const char *, uint64_t *), const char *example, uint64_t min,
                  uint64_t max, uint64_t *out);
int reader_count(struct reader *r, const struct doc_node *n, const char *what, uint64_t min,
                 uint64_t max, uint32_t *out);
/* The index of one of `names`. */
int reader_name(struct reader *r, const struct doc_node *n, const char *what,
                const char *const *names, unsigned *out);
/* A list of them: a bit for each. */
int reader_mask(struct reader *r, const struct doc_node *n, const char *what,
                const char *const *names, unsigned *mask);
/* A list of texts, or a single one. Repeated entries are refused; what was read is the caller's,
 * also on an error. */
int reader_texts(struct reader *r, const struct doc_node *n, const char *what, char ***out,
                 unsigned *count);
/* 0 or -EINVAL. Lower-case words with digits, '-' and '_': usable in a file name and on a command
 * line. */
int reader_name_valid(const char *text);
int reader_pattern_valid(const char *text);
int reader_features_valid(const char *text);
bool reader_sbdf_valid(const char *text);
/* How a text for reader_features_valid is described. */
#define READER_FEATURES_WHAT "default, or edits such as -indirect:-flush"

#endif
