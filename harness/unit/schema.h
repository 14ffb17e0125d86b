/* SPDX-License-Identifier: MIT */
/*
 * Does a document keep a schema of results/schema? The part of JSON Schema that these use; a
 * keyword beyond it is an error, so that nothing goes unchecked.
 */
#ifndef UNIT_SCHEMA_H
#define UNIT_SCHEMA_H

#include <jansson.h>
#include <stddef.h>

/* 0, or -EINVAL with the place and what is wrong there. `schema` is a whole schema: references are
 * looked up in its $defs. */
int schema_check(const json_t *schema, const json_t *document, char *why, size_t why_size);

#endif
