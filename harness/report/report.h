/* SPDX-License-Identifier: MIT */
/*
 * The result of a run: one model, and the forms in which it leaves the harness.
 *
 *     run  -> cells (one simulation or boot each) -> checks -> failures and notes
 *
 * A cell's outcome is the worst of its checks and of what befell the cell itself; a cell in which
 * nothing passed and nothing failed is a SKIP, and one without any result is an ERROR: there is
 * no silent green. A requirement whose checks were skipped in every cell is a *hole*.
 *
 * Text in the model comes from subjects, logs and guests. It may hold anything; every writer
 * cleans and escapes for its own format.
 */
#ifndef RP_REPORT_REPORT_H
#define RP_REPORT_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "check/check.h"

#define REPORT_FORMAT 1 /* results/schema/result.schema.json */

/* Name and value: an axis, a note of a check, a metric of a cell, a version. */
struct report_pair {
    char *name, *value;
};

struct report_pairs {
    struct report_pair *items;
    unsigned count;
};

struct report_failure {
    enum check_level level;
    char *file; /* "" when it is the runner's own finding */
    int line;
    char *text;
};

struct report_check {
    char *name;   /* "blk.read_one_sector" */
    char *title;  /* "" none */
    char *proves; /* requirement ids, separated by blanks */
    enum check_judges judges;
    enum outcome outcome;
    char *reason; /* SKIP, CRASH, ERROR */
    uint64_t duration_ns;
    unsigned expectations;
    struct report_failure *failures;
    unsigned failure_count;
    struct report_pairs notes;
    char *log; /* end of the backend's log when it died, else "" */
};

struct report_cell {
    char *id;       /* "blk-requests[arch=x86]" */
    char *scenario; /* "blk-requests" */
    char *title;
    char *file; /* of the scenario, as given */
    char *testbed;
    struct report_pairs axes;
    enum outcome outcome; /* report_cell_settle */
    char *reason;         /* of the cell's own SKIP, CRASH or ERROR */
    uint64_t duration_ns;
    struct report_check *checks;
    unsigned check_count;
    struct report_pairs metrics;
    char *log;
};

struct report {
    char *id;      /* "20261120T101500Z-4711" */
    char *started; /* ISO 8601, UTC */
    char *command; /* how the run was called */
    char *testbed, *testbed_note;
    struct report_pairs versions;
    uint64_t seed;
    uint64_t duration_ns;
    bool interrupted;
    unsigned cells_planned;
    struct report_cell **cells;
    unsigned cell_count;
};

/* ---- building; every function copies the texts that it is given (NULL counts as "") ---- */

/* The model's storage is small against what it describes: allocation failure ends the program
 * with a message and the harness-error status, so that callers need no path for it. */
struct report *report_create(void);
void report_destroy(struct report *r); /* NULL is allowed */
struct report_cell *report_cell_create(const char *id, const char *scenario, const char *title,
                                       const char *file, const char *testbed);
void report_cell_destroy(struct report_cell *c); /* NULL is allowed */
/* Takes the cell over. */
void report_add_cell(struct report *r, struct report_cell *c);

void report_set(char **text, const char *value);
void report_pairs_add(struct report_pairs *p, const char *name, const char *value);

/* The result is valid until the next check is added to the cell. */
struct report_check *report_cell_add_check(struct report_cell *c, const char *name,
                                           enum outcome outcome);
void report_check_add_failure(struct report_check *k, enum check_level level, const char *file,
                              int line, const char *text);
/* Takes over outcome, failures, notes and reason from an agent's result. */
void report_check_take(struct report_check *k, const struct check_result *r);
/* Something that the runner found after the check: the outcome gets worse, never better. */
void report_check_worsen(struct report_check *k, enum outcome o, const char *reason);
/* What befell the cell as a whole. The first reason of the worst outcome stays. */
void report_cell_worsen(struct report_cell *c, enum outcome o, const char *reason);

/* ---- judging ---- */

/* Computes c->outcome from its checks and what report_cell_worsen said. Call once, at the end. */
void report_cell_settle(struct report_cell *c);

enum { REPORT_OUTCOMES = ERROR + 1 };
struct report_totals {
    unsigned checks[REPORT_OUTCOMES]; /* by outcome; a cell's own outcome counts as one check
                                         when it is worse than all of its checks */
    unsigned cells[REPORT_OUTCOMES];
};
void report_totals_add(struct report_totals *t, const struct report_cell *c);
void report_totals(const struct report *r, struct report_totals *t);

/* Exit status of a run: the worst wins. */
enum report_status {
    REPORT_PASSED = 0,
    REPORT_SUBJECT_FAILED = 1, /* a FAIL or a CRASH */
    REPORT_HARNESS_ERROR = 2,  /* an ERROR, an interruption, nothing that passed */
    REPORT_BAD_USAGE = 3,      /* never from a report */
};
enum report_status report_status(const struct report *r);

/* Requirements that were skipped in every cell, each with one reason; sorted, owned by the
 * caller (report_pairs_fini). */
void report_holes(const struct report *r, struct report_pairs *holes);
void report_pairs_fini(struct report_pairs *p);

/* ---- forms ---- */

/* A cell travels from its worker process as this object, and lies in result.json as the same. */
json_t *report_cell_to_json(const struct report_cell *c);
/* 0, or -EPROTO with a reason. */
int report_cell_from_json(const json_t *o, struct report_cell **out, char *why, size_t why_size);
json_t *report_to_json(const struct report *r);

void report_write_tap(const struct report *r, FILE *f);
void report_write_junit(const struct report *r, FILE *f);

/* result.json, result.tap, result.xml (JUnit) in a folder that exists; each appears whole or not
 * at all. 0 or -errno with a message. */
int report_write_files(const struct report *r, const char *dir, char *why, size_t why_size);

struct report_style {
    bool colour;
    /* How a reader runs one cell or check again: program and options, "build/release/bin/ringproof
     * run". NULL: not shown. */
    const char *rerun;
};
/* The table for people, failures, holes, and the last line with the totals. */
void report_write_summary(const struct report *r, const struct report_style *style, FILE *f);

#endif
