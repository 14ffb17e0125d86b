/* SPDX-License-Identifier: MIT */
#include "scenario/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit byte_units[] = {
    {"", 1},
    {"B", 1},
    {"KiB", 1ull << 10},
    {"MiB", 1ull << 20},
    {"GiB", 1ull << 30},
    {"TiB", 1ull << 40},
    {NULL, 0},
};

static const struct unit time_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"min", 60000000000ull},
    {"h", 3600000000000ull},
    {NULL, 0},
};

/* Exact decimal arithmetic: whole part and up to nine digits of fraction. */
static int parse_quantity(const char *text, const struct unit *units, uint64_t *value)
{
    const char *s = text;
    uint64_t whole = 0, fraction = 0, scale = 1;

    if (!isdigit((unsigned char)*s))
        return -EINVAL;
    for (; isdigit((unsigned char)*s); s++) {
        if (__builtin_mul_overflow(whole, 10u, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(*s - '0'), &whole))
            return -ERANGE;
    }
    if (*s == '.') {
        s++;
        if (!isdigit((unsigned char)*s))
            return -EINVAL;
        for (; isdigit((unsigned char)*s); s++) {
            if (scale == 1000000000u)
                return -ERANGE;
            fraction = fraction * 10 + (uint64_t)(*s - '0');
            scale *= 10;
        }
    }
    for (const struct unit *u = units; u->suffix; u++) {
        if (strcmp(u->suffix, s))
            continue;
        uint64_t part;
        if (__builtin_mul_overflow(whole, u->factor, &whole) ||
            __builtin_mul_overflow(fraction, u->factor, &part) || part % scale ||
            __builtin_add_overflow(whole, part / scale, &whole))
            return -ERANGE;
        *value = whole;
        return 0;
    }
    return -EINVAL;
}

int units_parse_bytes(const char *text, uint64_t *bytes)
{
    return parse_quantity(text, byte_units, bytes);
}

int units_parse_ns(const char *text, uint64_t *ns)
{
    return parse_quantity(text, time_units, ns);
}

int units_parse_count(const char *text, uint64_t *value)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
    errno = 0;
    unsigned long long v = strtoull(text, &end, base);
    if (*end || (base == 16 && !text[2]))
        return -EINVAL;
    if (errno)
        return -ERANGE;
    *value = v;
    return 0;
}

const char *units_format_bytes(uint64_t bytes, char *buf, size_t size)
{
    const struct unit *best = &byte_units[1];

    for (const struct unit *u = best; u->suffix; u++)
        if (bytes && bytes >= u->factor && bytes % u->factor == 0)
            best = u;
    snprintf(buf, size, "%" PRIu64 "%s", bytes / best->factor, best->suffix);
    return buf;
}

const char *units_format_ns(uint64_t ns, char *buf, size_t size)
{
    if (ns < 10000)
        snprintf(buf, size, "%" PRIu64 "ns", ns);
    else if (ns < 10000000)
        snprintf(buf, size, "%" PRIu64 "us", ns / 1000);
    else if (ns < 1000000000)
        snprintf(buf, size, "%" PRIu64 "ms", ns / 1000000);
    else if (ns < 120000000000ull)
        snprintf(buf, size, "%.1fs", (double)ns / 1e9);
    else
        snprintf(buf, size, "%" PRIu64 "min %02" PRIu64 "s", (uint64_t)(ns / 60000000000u),
                 (uint64_t)(ns / 1000000000u % 60));
    return buf;
}
