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
 * Results of several runs become one by a merge: shards of one run, or the same scenarios on
 * several testbeds. Every run of which cells were taken stays a *part* of the result, with its
 * versions and its seed; each cell names its part. What follows from the cells (totals, holes,
 * status, the equivalence of testbeds) is computed from them, and never taken from a file.
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

#define REPORT_FORMAT 4 /* results/schema/result.schema.json */

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
    char *log;   /* end of the backend's log when it died, else "" */
    char *trace; /* what the driver did last before it failed, lines; "" */
};

/* Of which table a cell is a row, and what it tells there: see "tables" below. */
struct report_table_of {
    char *name; /* "" none */
    char **columns;
    unsigned column_count;
};

struct report_cell {
    char *id;       /* "blk-requests[arch=x86]" */
    char *scenario; /* "blk-requests" */
    char *title;
    char *file; /* of the scenario, as given */
    char *testbed;
    int part; /* index into the report's parts; REPORT_OWN: of the run itself */
    struct report_pairs axes;
    enum outcome outcome; /* report_cell_settle */
    char *reason;         /* of the cell's own SKIP, CRASH or ERROR */
    uint64_t duration_ns;
    struct report_check *checks;
    unsigned check_count;
    struct report_pairs metrics;
    struct report_table_of table;
    char *log;
};

#define REPORT_OWN       (-1)
#define REPORT_PARTS_MAX 256u

/* One call of the runner: what was asked for, where, and with what. */
struct report_run {
    char *id;        /* "20261120T101500Z-4711" */
    char *started;   /* ISO 8601, UTC */
    char *command;   /* how it was called */
    char *selection; /* what of the scenarios was asked for; the same in all shards of a run */
    char *testbed, *testbed_note;
    struct report_pairs versions;
    uint64_t seed;
    uint64_t duration_ns; /* of a merge: of all parts together */
    bool interrupted;
    unsigned shard_index, shard_count; /* of shard_count parts the shard_index-th; 1/1: all */
    unsigned cells_planned;
};

/* A run whose cells were merged into this report. */
struct report_part {
    char *source; /* the file, as it was named */
    struct report_run run;
};

struct report {
    struct report_run run;
    struct report_part *parts; /* none: it was no merge */
    unsigned part_count;
    struct report_equivalence *equivalence; /* NULL: testbeds were not compared */
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
/* Puts the cell into a table (of the same name all over the report: one table). */
void report_cell_set_table(struct report_cell *c, const char *name);
/* One more column of it: the name of a note or metric, and in brackets what it is counted in:
 * "start-up [ms]". */
void report_cell_add_column(struct report_cell *c, const char *column);
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

/* ---- merging ---- */

/* Moves the cells of `from` into `into`, and what it says of its run (or its own parts, when it is
 * a merge itself) as parts. `source` names it in messages. What `from` found as a merge is dropped:
 * it has to be computed anew. `from` is empty afterwards. */
void report_merge(struct report *into, struct report *from, const char *source);

struct report_merge_options {
    bool partial;      /* shards that are missing are said, and are no error */
    bool compare;      /* compare testbeds even when only one was merged (and so fail) */
    unsigned at_least; /* rows that have to be compared on each architecture */
};

/* Of a merge: 0, or -EEXIST with both sources in `why` when a cell is there twice for one
 * testbed. */
int report_merge_unique(const struct report *r, char *why, size_t why_size);

/*
 * The end of a merge. Adds a cell of the merge's own when there is something to judge: are all
 * shards there, and did the testbeds observe the same? 0, or with a sentence: what
 * report_merge_unique and report_compare say, -E2BIG for more than REPORT_PARTS_MAX parts; the
 * report can then only be destroyed.
 */
int report_merge_finish(struct report *r, const struct report_merge_options *o, char *why,
                        size_t why_size);

/* What differs between the parts, each with its values and who has them: versions, the seed.
 * Owned by the caller (report_pairs_fini). */
void report_differences(const struct report *r, struct report_pairs *out);

/* ---- equivalence of testbeds ---- */

/*
 * What checks observed on several testbeds, side by side. A column is one testbed with one
 * architecture; a row is what a check came to, or one of its notes. Rows are judged for each
 * architecture on which at least two testbeds have the cell.
 */
enum report_verdict {
    VERDICT_EQUAL,        /* the same on all of them */
    VERDICT_ARCHITECTURE, /* testbeds agree on each, architectures differ: the reason says how */
    VERDICT_SKIPPED,      /* one testbed skipped the check, another did not; the reason says why */
    VERDICT_DIFFERENT,    /* testbeds differ */
};
enum { REPORT_VERDICTS = VERDICT_DIFFERENT + 1 };

struct report_row {
    char *cell; /* scenario and axes, without the architecture */
    char *check;
    char *observed; /* "outcome", or the name of a note */
    enum report_verdict verdict;
    char **values; /* one a column, NULL: none */
    char *reason;  /* "" none */
};

struct report_architecture {
    char *name;
    unsigned compared; /* rows for which two testbeds have a value */
};

struct report_column {
    char *testbed;
    unsigned architecture; /* index */
};

struct report_equivalence {
    char *checks;      /* pattern of those that were compared */
    unsigned at_least; /* rows on each architecture; fewer are a failure */
    struct report_architecture *architectures;
    unsigned architecture_count;
    struct report_column *columns;
    unsigned column_count;
    struct report_row *rows;
    unsigned row_count;
    unsigned verdicts[REPORT_VERDICTS]; /* rows of each */
};

/* Compares all cells of the report; sets r->equivalence, which has to be NULL before. 0, or with
 * a sentence -E2BIG (too many testbeds and architectures for a table), -EEXIST (two cells differ
 * in nothing but the order of their axes). */
int report_compare(struct report *r, const char *checks, unsigned at_least, char *why,
                   size_t why_size);
void report_equivalence_destroy(struct report_equivalence *e); /* NULL is allowed */
/* Nothing differs, something was compared, and enough of it on each architecture. */
bool report_equivalence_holds(const struct report_equivalence *e);
const char *report_verdict_name(enum report_verdict v);

/* ---- tables ---- */

/*
 * What cells measured, side by side. Every cell that names a table is a row of it, with its axes as
 * keys and with what its notes and metrics say under the names of the columns; where a note is
 * there twice, the last one counts. A note called "row" begins a row of its own (check.h). Scenario
 * and testbed are keys where the table has several of them. A cell that measured nothing is a row,
 * too: its outcome and its reason say why.
 */
struct report_table_row {
    const struct report_cell *cell; /* borrowed from the report */
    char *key;                      /* "" the cell's own */
    const char *reason;             /* borrowed; "" none */
    const char **values;            /* one a column, borrowed; NULL: none */
};

struct report_table {
    const char *name; /* borrowed */
    bool has_testbeds, has_scenarios, has_rows;
    const char **axes; /* texts borrowed, as those of columns */
    unsigned axis_count;
    const char **columns;
    unsigned column_count;
    struct report_table_row *rows;
    unsigned row_count;
};

struct report_tables {
    struct report_table *items;
    unsigned count;
};

/* Those of all cells, in their order; owned by the caller, and valid while the cells are. */
void report_tables_make(const struct report *r, struct report_tables *t);
void report_tables_fini(struct report_tables *t);

/* ---- forms ---- */

/* A cell travels from its worker process as this object, and lies in result.json as the same. */
json_t *report_cell_to_json(const struct report_cell *c);
/* 0, or -EPROTO with a reason. */
int report_cell_from_json(const json_t *o, struct report_cell **out, char *why, size_t why_size);
json_t *report_to_json(const struct report *r);
/*
 * A whole result, from a file that may hold anything: a run's folder or its result.json. Everything
 * is checked: types and ranges, that no member is missing or unknown, that texts are clean, that
 * what follows from the cells is what they say. 0, or -errno with the file, the place in it and
 * what is wrong: -EINVAL for its contents, -EFBIG for one past REPORT_FILE_MAX bytes.
 */
int report_load(const char *path, struct report **out, char *why, size_t why_size);
#define REPORT_FILE_MAX (256u << 20)

void report_write_tap(const struct report *r, FILE *f);
void report_write_ktap(const struct report *r, FILE *f);
void report_write_junit(const struct report *r, FILE *f);
/* For KernelCI's database. */
void report_write_kcidb(const struct report *r, FILE *f);
/* A cell's id, and its testbed where the report has several: "abi[arch=x86] on qemu". malloc'd. */
char *report_cell_label(const struct report *r, const struct report_cell *c);
/* As a Markdown table. */
void report_write_equivalence_markdown(const struct report *r, FILE *f);
/* All tables, each under its name. */
void report_write_tables_markdown(const struct report *r, FILE *f);

/* result.json, .tap, .ktap, .xml (JUnit), .kcidb.json, equivalence.md when testbeds were compared,
 * and tables.md when a cell names a table, in a folder that exists; each appears whole or not at
 * all. 0 or -errno with a message.
 */
int report_write_files(const struct report *r, const char *dir, char *why, size_t why_size);

struct report_style {
    bool colour;
    /* How a reader runs one cell or check again: program and options, "build/release/bin/ringproof
     * run". NULL: not shown. Testbed and seed are added. */
    const char *rerun;
};
/* The equivalence for people: the rows that are not equal, or all, and the line that counts. */
void report_write_equivalence(const struct report_equivalence *e, const struct report_style *style,
                              bool all, FILE *f);
/* The table for people, failures, holes, and the last line with the totals. */
void report_write_summary(const struct report *r, const struct report_style *style, FILE *f);

#endif
