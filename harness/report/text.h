/* SPDX-License-Identifier: MIT */
/*
 * Text of unknown origin, made fit for a format.
 */
#ifndef RP_REPORT_TEXT_H
#define RP_REPORT_TEXT_H

#include <stdio.h>

/*
 * A malloc'd copy that is valid UTF-8 and holds no character that XML 1.0 forbids: bytes and
 * characters that do not fit become U+FFFD. Newlines and tabs stay, other controls go. NULL
 * without memory.
 */
char *text_clean(const char *text);

/* Into an XML document, as character data or inside a double-quoted attribute. */
void text_write_xml(FILE *f, const char *text);
/* On one line of TAP: '#' and '\' escaped, line ends to blanks. */
void text_write_tap(FILE *f, const char *text);
/* A double-quoted YAML (and JSON) scalar on one line. */
void text_write_quoted(FILE *f, const char *text);
/* In a cell of a Markdown table: one line, nothing of it is markup. */
void text_write_markdown(FILE *f, const char *text);
/* On a terminal: one line, no control character. At most `columns` characters (0: no limit). */
void text_write_plain(FILE *f, const char *text, unsigned columns);

#endif
