/* SPDX-License-Identifier: MIT */
/* What the files of this module share. */
#ifndef RP_REPORT_INTERNAL_H
#define RP_REPORT_INTERNAL_H

#include "report/report.h"

/* The program ends without memory (report.h says why). */
void *report_need(void *p);
char *report_copy(const char *text); /* NULL counts as "" */
/* A new text in place of an old one, made as printf does. */
void report_print(char **text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, but behind what is there. */
void report_append(char **text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void report_run_init(struct report_run *run);
void report_run_fini(struct report_run *run);
void report_part_fini(struct report_part *p);

/* Of the checks of a merge itself. */
#define MERGE_CELL "merge"

json_t *text_to_json(const char *text); /* cleaned */
json_t *report_equivalence_to_json(const struct report_equivalence *e);
json_t *report_tables_to_json(const struct report_tables *t);

#endif
