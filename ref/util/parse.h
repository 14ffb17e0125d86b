/* SPDX-License-Identifier: MIT */
/*
 * Strict parsing of what people and stores write: the whole text must match, nothing is skipped,
 * nothing saturates. All functions return 0, -EINVAL (not of that form) or -ERANGE (of that
 * form, but out of bounds), and leave the result untouched on error.
 */
#ifndef RP_UTIL_PARSE_H
#define RP_UTIL_PARSE_H

#include "util/types.h"

/* "123" or "0x7b" (no sign, no octal, no spaces), min <= value <= max. */
int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value);
int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *value);
int parse_u16(const char *text, uint16_t min, uint16_t max, uint16_t *value);

/* The same with an optional binary unit K, M, G or T (1024-based; "64M", "0x10K"). */
int parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *bytes);

/* "on", "off", "true", "false", "yes", "no", "1" or "0". */
int parse_bool(const char *text, bool *value);

/* "0000:00:01.0", or "00:01.0" with segment 0: hexadecimal as everybody writes PCI addresses. */
int parse_sbdf(const char *text, sbdf_t *sbdf);
/* The longest, "ffff:ff:1f.7", and its NUL. */
#define SBDF_TEXT_BYTES 13
/* Write the long form. */
void format_sbdf(sbdf_t sbdf, char text[SBDF_TEXT_BYTES]);

/* "BASE+SIZE", each as parse_size takes it. SIZE is not 0 and BASE+SIZE-1 does not wrap. */
int parse_range(const char *text, uint64_t *base, uint64_t *bytes);

/* "FIRST-LAST" with FIRST <= LAST <= max, or one number for both. */
int parse_interval(const char *text, uint64_t max, uint64_t *first, uint64_t *last);

/*
 * Walk "key=value,flag,key=value" in place. Start with *cursor at a writable text; each call
 * cuts the next item out of it and moves the cursor. A flag has *value NULL. Returns 1 for an
 * item, 0 at the end, -EINVAL for an empty item or key (as in "a,,b", "=x", or a trailing comma).
 */
int parse_next_item(char **cursor, char **key, char **value);

#endif
