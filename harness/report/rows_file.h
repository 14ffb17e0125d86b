/* SPDX-License-Identifier: MIT */
/* A file of JSON that keeps rows: each on a line, so that two files can be compared line by line.
 */
#ifndef RP_REPORT_ROWS_FILE_H
#define RP_REPORT_ROWS_FILE_H

#include <jansson.h>
#include <stdio.h>

/* An object with a list "rows"; numbers with so many digits. Errors are the stream's. */
void rows_file_write(const json_t *contents, unsigned digits, FILE *f);

#endif
