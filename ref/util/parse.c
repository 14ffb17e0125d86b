/* SPDX-License-Identifier: MIT */
#include "util/parse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 16;
}

/* Digits of one base from *text on; moves it past them. */
static int parse_digits(const char **text, unsigned base, uint64_t *value)
{
    const char *p = *text;
    uint64_t v = 0;

    for (unsigned d; (d = (unsigned)digit_of(*p)) < base; p++) {
        if (v > (UINT64_MAX - d) / base)
            return -ERANGE;
        v = v * base + d;
    }
    if (p == *text)
        return -EINVAL;
    *text = p;
    *value = v;
    return 0;
}

/* "0x.." or decimal. A leading 0 before other digits is refused: some would read octal. */
static int parse_number(const char **text, uint64_t *value)
{
    const char *p = *text;
    unsigned base = 10;
    int rc;

    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        base = 16;
        p += 2;
    } else if (p[0] == '0' && digit_of(p[1]) < 10) {
        return -EINVAL;
    }
    rc = parse_digits(&p, base, value);
    if (rc == 0)
        *text = p;
    return rc;
}

static int parse_sized(const char **text, uint64_t *value)
{
    static const char units[] = "KMGT";
    const char *p = *text, *unit;
    unsigned shift = 0;
    uint64_t v;
    int rc = parse_number(&p, &v);

    if (rc < 0)
        return rc;
    unit = *p != '\0' ? strchr(units, *p) : NULL;
    if (unit != NULL) {
        shift = 10 * (unsigned)(unit - units + 1);
        p++;
    }
    if (v > UINT64_MAX >> shift)
        return -ERANGE;
    *value = v << shift;
    *text = p;
    return 0;
}

static int check_bounds(const char *rest, uint64_t v, uint64_t min, uint64_t max, uint64_t *value)
{
    if (*rest != '\0')
        return -EINVAL;
    if (v < min || v > max)
        return -ERANGE;
    *value = v;
    return 0;
}

int parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    uint64_t v;
    int rc = parse_number(&text, &v);

    return rc < 0 ? rc : check_bounds(text, v, min, max, value);
}

int parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *value)
{
    uint64_t v;
    int rc = parse_u64(text, min, max, &v);

    if (rc == 0)
        *value = (uint32_t)v;
    return rc;
}

int parse_u16(const char *text, uint16_t min, uint16_t max, uint16_t *value)
{
    uint64_t v;
    int rc = parse_u64(text, min, max, &v);

    if (rc == 0)
        *value = (uint16_t)v;
    return rc;
}

int parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *bytes)
{
    uint64_t v;
    int rc = parse_sized(&text, &v);

    return rc < 0 ? rc : check_bounds(text, v, min, max, bytes);
}

int parse_bool(const char *text, bool *value)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {
        {"on", true},   {"true", true},   {"yes", true}, {"1", true},
        {"off", false}, {"false", false}, {"no", false}, {"0", false},
    };

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i].text) == 0) {
            *value = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

/* One hexadecimal field of 1 to max_digits digits. */
static int parse_hex_field(const char **text, unsigned max_digits, uint64_t max, uint64_t *value)
{
    const char *start = *text;
    int rc = parse_digits(text, 16, value);

    if (rc < 0)
        return rc;
    if ((size_t)(*text - start) > max_digits)
        return -EINVAL;
    return *value > max ? -ERANGE : 0;
}

int parse_sbdf(const char *text, sbdf_t *sbdf)
{
    const char *first = strchr(text, ':');
    uint64_t seg = 0, bus, dev, fn;
    int rc;

    if (first == NULL)
        return -EINVAL;
    if (strchr(first + 1, ':') != NULL) {
        rc = parse_hex_field(&text, 4, 0xffff, &seg);
        if (rc < 0)
            return rc;
        if (*text++ != ':')
            return -EINVAL;
    }
    rc = parse_hex_field(&text, 2, 0xff, &bus);
    if (rc < 0)
        return rc;
    if (*text++ != ':')
        return -EINVAL;
    rc = parse_hex_field(&text, 2, 0x1f, &dev);
    if (rc < 0)
        return rc;
    if (*text++ != '.')
        return -EINVAL;
    rc = parse_hex_field(&text, 1, 7, &fn);
    if (rc < 0)
        return rc;
    if (*text != '\0')
        return -EINVAL;
    *sbdf = SBDF(seg, bus, dev, fn);
    return 0;
}

void format_sbdf(sbdf_t sbdf, char text[SBDF_TEXT_BYTES])
{
    snprintf(text, SBDF_TEXT_BYTES, "%04x:%02x:%02x.%x", sbdf_segment(sbdf), sbdf_bus(sbdf),
             sbdf_device(sbdf) & 0x1fu, sbdf_function(sbdf) & 7u);
}

int parse_range(const char *text, uint64_t *base, uint64_t *bytes)
{
    uint64_t b, n;
    int rc = parse_sized(&text, &b);

    if (rc < 0)
        return rc;
    if (*text++ != '+')
        return -EINVAL;
    rc = parse_sized(&text, &n);
    if (rc < 0)
        return rc;
    if (*text != '\0')
        return -EINVAL;
    if (n == 0 || n - 1 > UINT64_MAX - b)
        return -ERANGE;
    *base = b;
    *bytes = n;
    return 0;
}

int parse_interval(const char *text, uint64_t max, uint64_t *first, uint64_t *last)
{
    uint64_t a, b;
    int rc = parse_number(&text, &a);

    if (rc < 0)
        return rc;
    b = a;
    if (*text == '-') {
        text++;
        rc = parse_number(&text, &b);
        if (rc < 0)
            return rc;
    }
    if (*text != '\0')
        return -EINVAL;
    if (a > b || b > max)
        return -ERANGE;
    *first = a;
    *last = b;
    return 0;
}

int parse_next_item(char **cursor, char **key, char **value)
{
    char *item = *cursor, *end, *eq;

    if (item == NULL || *item == '\0')
        return 0;
    end = strchr(item, ',');
    if (end != NULL) {
        *end = '\0';
        if (end[1] == '\0')
            return -EINVAL;
        *cursor = end + 1;
    } else {
        *cursor = item + strlen(item);
    }
    eq = strchr(item, '=');
    if (eq != NULL)
        *eq = '\0';
    if (*item == '\0')
        return -EINVAL;
    *key = item;
    *value = eq != NULL ? eq + 1 : NULL;
    return 1;
}
