/* SPDX-License-Identifier: MIT */
/*
 * A run of benchmarks: rows that were measured in rounds, what may be said of them, and the file
 * that keeps it.
 *
 * A row has up to SUITE_VARIANTS variants of one workload; the first is the one that is judged. A
 * round measures each of them once, one right after the other (A B A B ...), so that both values of
 * a pair saw the same machine. A round is kept or it is *discarded*, with the reason:
 *
 *   - somebody else had a CPU for more than SUITE_FOREIGN_MAX of the time: where both sides poll,
 * of the time that was measured; where they sleep, of all the program's, as the kernel counts it;
 *   - the host under this machine had one for more than SUITE_STEAL_MAX;
 *   - the placement of the two CPUs changed within it: the round trip of a cache line, which each
 *     program measures before and after, moved by more than SUITE_MOVED_MAX;
 *   - its placement is not that of most rounds of the row.
 *
 * All values are ns for one buffer: less is better.
 */
#ifndef RP_SUITE_SUITE_H
#define RP_SUITE_SUITE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "stats/histogram.h"
#include "stats/sample.h"

#define SUITE_FORMAT   2 /* of the file; changes when a reader has to */
#define SUITE_VARIANTS 4u
#define SUITE_ROUNDS   7u  /* that are kept of each row */
#define SUITE_ATTEMPTS 64u /* rounds of a row at most, so that a run has an end */
#define SUITE_ROWS_MAX 256u

#define SUITE_FOREIGN_MAX 0.10
#define SUITE_STEAL_MAX   0.05
#define SUITE_MOVED_MAX   1.5
/* A round trip below: the CPUs share a cache. Machines of one kind have 77 ns and 365 ns. */
#define SUITE_NEAR_NS 200.0

enum suite_fate {
    SUITE_KEPT,
    SUITE_FOREIGN,
    SUITE_STEAL,
    SUITE_MOVED,
    SUITE_ELSEWHERE, /* another placement than most */
    SUITE_BROKEN,    /* a program gave no value */
    SUITE_FATES
};
/* "kept", "foreign-cpu", "steal", "moved", "elsewhere", "broken" */
const char *suite_fate_name(enum suite_fate f);

/* What one program said, and what the machine did meanwhile. */
struct suite_value {
    double ns;
    double round_trip_ns[2]; /* before and after */
    double own_cpu[2];       /* of driver and device: the part of the time that each ran */
    double foreign, steal;   /* parts of the CPUs' time */
    json_t *latency;         /* a histogram as the program printed it; owned; NULL: none */
};

struct suite_round {
    struct suite_value values[SUITE_VARIANTS];
    enum suite_fate fate;
};

struct suite_variant {
    const char *name;    /* "checked"; borrowed */
    const char *program; /* in the folder of programs; borrowed */
    const char *options; /* beside the row's, words by blanks; borrowed */
    bool peer;           /* the program is told where a peer is */
};

struct suite_row {
    const char *name, *options; /* borrowed */
    bool sleeps;                /* own_cpu below 1 is what the row is about */
    struct suite_variant variants[SUITE_VARIANTS];
    unsigned variant_count;
    struct suite_round rounds[SUITE_ATTEMPTS];
    unsigned round_count;
    /* By suite_settle. */
    bool near;
    struct sample round_trip;    /* of a cache line, in ns, as the first variant's program saw it */
    struct sample to_round_trip; /* ratios of the first variant's value to it */
    unsigned fates[SUITE_FATES];
    struct sample values[SUITE_VARIANTS]; /* count 0: nothing was kept */
    struct sample ratios[SUITE_VARIANTS]; /* of the first variant to this one */
};

/* The rows of the short form, and with `peers` those of programs of others beside ours: `count` of
 * them; const tables are copied into them. malloc'd; NULL without memory. */
struct suite_row *suite_rows(bool peers, unsigned *count);
/* Those, or as many of them as are left. */
void suite_rows_free(struct suite_row *rows, unsigned count);

/* One line of JSON of a program of bench/ring. 0; -EPROTO for anything else. foreign and steal stay
 * as they are; `latency` is replaced, and is the value's. */
int suite_value_read(const char *line, struct suite_value *v);

/* What the round's values alone say of its fate. */
enum suite_fate suite_round_fate(const struct suite_row *row, const struct suite_round *round);
/* Rounds that count so far: of the placement that most have. */
unsigned suite_kept(const struct suite_row *row);
/* Computes all that follows from the rounds. 0 or -ENOMEM. */
int suite_settle(struct suite_row *row);

/* Adds a histogram that a program printed. 0 or -EPROTO. */
int suite_latency_add(const json_t *latency, struct histogram *h);
/* That of the first variant in all rounds that were kept: the file's member; null without one. */
json_t *suite_latency_json(const struct suite_row *row);

/* ---- goals ---- */

/* How much dearer than something else of its row a value may be. */
struct suite_goal {
    const char *row;
    const char *than; /* a variant; "round trip": of a cache line */
    double at_most;
};

enum suite_reached { SUITE_REACHED, SUITE_MISSED, SUITE_UNSURE, SUITE_UNMEASURED };
/* "reached", "missed", "unsure" (the interval has the bound in it), "not measured" */
const char *suite_reached_name(enum suite_reached r);

const struct suite_goal *suite_goals(unsigned *count);
/* By the interval. *ratio: what was measured, of count 0 when nothing was. */
enum suite_reached suite_goal_judge(const struct suite_goal *g, const struct suite_row *rows,
                                    unsigned count, struct sample *ratio);

/* What the file says beside the rows. Borrowed. */
struct suite_run {
    const char *id, *started, *version, *cpu, *kernel;
    const char *peers; /* what they are and of which version; NULL: none */
    unsigned cpus;
    double duration_s;
};

/* Every row is measured by two processes of this machine, with no testbed under them. */
#define SUITE_TESTBED "processes"

/* The file's contents (results/schema/bench.schema.json); the caller's. NULL without memory. */
json_t *suite_to_json(const struct suite_run *run, const struct suite_row *rows, unsigned count);

/* Those, a row on a line. */
void suite_write_json(const json_t *contents, FILE *f);

/* As a Markdown table: every row with its median, spread, the cost of safety and its interval. */
void suite_write_markdown(const struct suite_run *run, const struct suite_row *rows, unsigned count,
                          FILE *f);

#endif
