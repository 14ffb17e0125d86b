/* SPDX-License-Identifier: MIT */
#include "report/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Length of the valid UTF-8 sequence at s, 0 when there is none. Overlong forms, surrogates and
 * values past U+10FFFF are none (RFC 3629). */
static unsigned sequence_length(const unsigned char *s, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned n = s[0] < 0x80             ? 1
                 : (s[0] & 0xe0) == 0xc0 ? 2
                 : (s[0] & 0xf0) == 0xe0 ? 3
                 : (s[0] & 0xf8) == 0xf0 ? 4
                                         : 0;
    if (n == 0)
        return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    if (n > 1 && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)))
        return 0;
    *code = c;
    return n;
}

static bool allowed(uint32_t c)
{
    if (c == '\n' || c == '\t')
        return true;
    return c >= 0x20 && c != 0x7f && !(c >= 0x80 && c < 0xa0) && c != 0xfffe && c != 0xffff;
}

char *text_clean(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    /* One bad byte becomes three. */
    char *out = malloc(3 * strlen(text) + 1), *p = out;

    if (!out)
        return NULL;
    while (*s) {
        uint32_t c = 0;
        unsigned n = sequence_length(s, &c);
        if (n == 1 && c == '\r' && s[1] == '\n') {
            s++;
        } else if (n && allowed(c)) {
            memcpy(p, s, n);
            p += n;
            s += n;
        } else {
            memcpy(p, replacement, 3);
            p += 3;
            s += n ? n : 1;
        }
    }
    *p = 0;
    return out;
}

void text_write_xml(FILE *f, const char *text)
{
    char *clean = text_clean(text);

    for (const char *c = clean; c && *c; c++) {
        switch (*c) {
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '&':
            fputs("&amp;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        case '\n': /* an attribute would turn it into a blank */
            fputs("&#10;", f);
            break;
        case '\t':
            fputs("&#9;", f);
            break;
        default:
            putc(*c, f);
        }
    }
    free(clean);
}

void text_write_tap(FILE *f, const char *text)
{
    char *clean = text_clean(text);

    for (const char *c = clean; c && *c; c++) {
        if (*c == '#' || *c == '\\')
            putc('\\', f);
        putc(*c == '\n' || *c == '\t' ? ' ' : *c, f);
    }
    free(clean);
}

void text_write_quoted(FILE *f, const char *text)
{
    char *clean = text_clean(text);

    putc('"', f);
    for (const char *c = clean; c && *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(f, "\\%c", *c);
        else if (*c == '\n')
            fputs("\\n", f);
        else if (*c == '\t')
            fputs("\\t", f);
        else
            putc(*c, f);
    }
    putc('"', f);
    free(clean);
}

void text_write_markdown(FILE *f, const char *text)
{
    char *clean = text_clean(text);

    /* CommonMark: a backslash takes any ASCII punctuation's meaning away. */
    for (const char *c = clean; c && *c; c++) {
        if (strchr("\\`*_{}[]<>()#+!|~&:", *c))
            putc('\\', f);
        putc(*c == '\n' || *c == '\t' ? ' ' : *c, f);
    }
    free(clean);
}

void text_write_plain(FILE *f, const char *text, unsigned columns)
{
    char *clean = text_clean(text);
    unsigned used = 0;

    for (const char *c = clean; c && *c; c++) {
        bool begins = ((unsigned char)*c & 0xc0) != 0x80;
        if (begins && columns && used == columns)
            break;
        used += begins;
        putc(*c == '\n' || *c == '\t' ? ' ' : *c, f);
    }
    free(clean);
}
