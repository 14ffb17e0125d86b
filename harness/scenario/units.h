/* SPDX-License-Identifier: MIT */
/*
 * Quantities as people write them: 64MiB, 512, 200ms, 1.5s. No blanks, no sign, no guessing:
 * a time always has its unit, a size without one is in bytes.
 */
#ifndef RP_SCENARIO_UNITS_H
#define RP_SCENARIO_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* B, KiB, MiB, GiB, TiB. -EINVAL: not a size; -ERANGE: does not fit, or not a whole byte. */
int units_parse_bytes(const char *text, uint64_t *bytes);
/* ns, us, ms, s, min, h. -EINVAL, -ERANGE as above. */
int units_parse_ns(const char *text, uint64_t *ns);
/* A whole number, decimal or 0x. */
int units_parse_count(const char *text, uint64_t *value);

/* "64MiB", "1.3s": for people; buf is returned. */
const char *units_format_bytes(uint64_t bytes, char *buf, size_t size);
const char *units_format_ns(uint64_t ns, char *buf, size_t size);

#endif
