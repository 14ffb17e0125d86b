/* SPDX-License-Identifier: MIT */
/*
 * A run of benchmarks: rows that were measured in rounds, what may be said of them, and the file
 * that keeps it.
 *
 * A row is one workload in up to SUITE_VARIANTS variants; the first is the one that is judged. A
 * round measures each of them once, one right after the other (A B A B ...), so that both values of
 * a pair saw the same machine. A value that was disturbed is measured again at once, until it has
 * been SUITE_TRIES times; then the round is *discarded*, with the reason:
 *
 *   - somebody else had a CPU for more than SUITE_FOREIGN_MAX of the time: where both sides poll,
 *     of the time that was measured; where they sleep, of all the variant's, as the kernel counts
 *     it. Where processes go where the scheduler has them, others are let have what none of them
 *     wanted: it is discarded when a side also waited for a CPU for more than that part of the
 *     time in which it wanted one;
 *   - the host under this machine had one for more than SUITE_STEAL_MAX;
 *   - the placement of the two CPUs changed within it: the round trip of a cache line, which is
 *     measured before and after, moved by more than SUITE_MOVED_MAX, or SUITE_MOVED_LOOSE;
 *   - its placement is not that of most rounds of the row.
 *
 * All values are ns for one unit of work, which the row names: less is better.
 *
 *   rows_*        which rows there are, a family in each file
 *   settle        from rounds to what may be said
 *   latency       histograms; counts for one unit of work
 *   goals         how fast some are meant to be
 *   write, markdown, page, plot   the forms in which a run leaves
 *   compare       two runs
 */
#ifndef RP_SUITE_SUITE_H
#define RP_SUITE_SUITE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "stats/histogram.h"
#include "stats/sample.h"

#define SUITE_FORMAT   3 /* of the file; changes when a reader has to */
#define SUITE_VARIANTS 12u
#define SUITE_ROUNDS   7u  /* that are kept of each row */
#define SUITE_JUDGED   15u /* of one that has a goal, and whose rounds take a second or two */
#define SUITE_ATTEMPTS 64u /* rounds of a row at most, so that a run has an end */
#define SUITE_TRIES    3u  /* of a value within a round */
#define SUITE_ROWS_MAX 1024u

#define SUITE_FOREIGN_MAX 0.10
#define SUITE_STEAL_MAX   0.05
#define SUITE_MOVED_MAX   1.5
/* Of a loose row, which hands over few cache lines and takes so long that the round trip drifts
 * while the CPUs stay where they are (seen: from 64 to 124 ns). */
#define SUITE_MOVED_LOOSE 2.0
/* A round trip below: the CPUs share a cache. Machines of one kind have 77 ns and 365 ns. */
#define SUITE_NEAR_NS 200.0

enum suite_fate {
    SUITE_KEPT,
    SUITE_FOREIGN,
    SUITE_STEAL,
    SUITE_MOVED,
    SUITE_ELSEWHERE, /* another placement than most */
    SUITE_BROKEN,    /* a variant gave no value */
    SUITE_FATES
};
/* "kept", "foreign-cpu", "steal", "moved", "elsewhere", "broken" */
const char *suite_fate_name(enum suite_fate f);

/* Where a row is measured: what is measured in one is never compared with the other. */
enum suite_testbed {
    SUITE_PROCESSES, /* by processes of this machine, with nothing of Xen under them */
    SUITE_SIM,       /* on simxen */
    SUITE_TESTBEDS
};
/* "processes", "sim" */
const char *suite_testbed_name(enum suite_testbed t);
/* What times that were measured there say, in a sentence. NULL for a name that is none. */
const char *suite_testbed_note(const char *name);

/* ---- rows ---- */

struct suite_variant {
    const char *name;    /* "checked"; borrowed */
    const char *program; /* in the folder of programs; borrowed; NULL: a cell of a scenario, of
                            which the row's options and these are the words */
    const char *options; /* beside the row's, words by blanks; borrowed */
    bool peer;           /* the program is told where a peer is */
};

/* One workload, and who does it. All texts are borrowed. */
struct suite_work {
    const char *family; /* "ring" */
    const char *name;   /* its own among all rows */
    const char *unit;   /* "ns/buffer" */
    const char *options;
    enum suite_testbed testbed;
    bool sleeps; /* own_cpu below 1 is what the row is about */
    /* Its processes go where the scheduler has them: its programs say nothing of CPUs, the runner
     * asks for the round trip before and after each. */
    bool loose;
    struct suite_variant variants[SUITE_VARIANTS];
    unsigned variant_count;
};

/* What one variant said, and what the machine did meanwhile. */
struct suite_value {
    double ns;
    double round_trip_ns[2]; /* before and after */
    /* Of driver and device: the part of the time that each ran; of a row that is loose: of the time
     * in which it wanted to, 0 where that is not told. */
    double own_cpu[2];
    double foreign, steal; /* parts of the CPUs' time */
    json_t *latency;       /* a histogram as the program printed it; owned; NULL: none */
    json_t *per_unit;      /* counts for one unit of work, by name; owned; NULL: none */
};

struct suite_round {
    struct suite_value values[SUITE_VARIANTS];
    enum suite_fate fate;
};

struct suite_row {
    struct suite_work work;
    struct suite_round rounds[SUITE_ATTEMPTS];
    unsigned round_count;
    unsigned enough; /* rounds that are to be kept */
    unsigned again;  /* values that were disturbed, and were measured again in their round */
    char *skipped;   /* why it cannot be measured here, owned; NULL: it can */
    /* By suite_settle. */
    bool near;
    struct sample round_trip;    /* of a cache line, in ns, with the first variant */
    struct sample to_round_trip; /* ratios of the first variant's value to it */
    unsigned fates[SUITE_FATES];
    struct sample values[SUITE_VARIANTS]; /* count 0: nothing was kept */
    struct sample ratios[SUITE_VARIANTS]; /* of the first variant to this one */
};

/* The family of rows whose variants are designs. */
#define SUITE_DESIGNS "designs"

/* Which rows there are to be. */
struct suite_choice {
    bool peers; /* programs of others beside ours, too */
    bool full;  /* all there are, not only those of the short form */
    /* What rows of the family "designs" compare; none: there are no such rows. Borrowed. */
    const struct suite_variant *designs;
    unsigned design_count;
};

/* Those: `count` of them. malloc'd; NULL without memory. */
struct suite_row *suite_rows(const struct suite_choice *choice, unsigned *count);
/* Those, or as many of them as are left. */
void suite_rows_free(struct suite_row *rows, unsigned count);

/*
 * One line of JSON, as every program that is measured prints it (bench/README.md): ns_per_unit, and
 * of a row that is not loose round_trip_ns and own_cpu, which may be told of one that is; latency
 * and per_unit where there are any. 0; -EPROTO for anything else. What the line does not tell stays
 * as it is; latency and per_unit are replaced, and are the value's.
 */
int suite_value_read(const char *line, const struct suite_work *work, struct suite_value *v);
/* Lets go what it owns. */
void suite_value_fini(struct suite_value *v);

/* What the first `count` values of a round say of its fate: once it is lost, no more values save
 * it. */
enum suite_fate suite_round_fate(const struct suite_row *row, const struct suite_round *round,
                                 unsigned count);
/* Rounds that count so far: of the placement that most have. */
unsigned suite_kept(const struct suite_row *row);
/* Computes all that follows from the rounds. 0 or -ENOMEM. */
int suite_settle(struct suite_row *row);

/* Adds a histogram that a program printed. 0 or -EPROTO. */
int suite_latency_add(const json_t *latency, struct histogram *h);
/* A histogram as a program prints it and the file has it; json_null of an empty one. */
json_t *suite_histogram_json(const struct histogram *h);
/* That of a variant in all rounds that were kept: the file's member; json_null without one. */
json_t *suite_latency_json(const struct suite_row *row, unsigned variant);
/* 0; -EPROTO: no object of numbers that may be counts. */
int suite_per_unit_check(const json_t *per_unit);
/* The median of each count in the rounds that were kept: the file's member, empty without any. */
json_t *suite_per_unit_json(const struct suite_row *row, unsigned variant);

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
/* Whether a row of this name has one. */
bool suite_goal_for(const char *row);
/* By the interval. *ratio: what was measured, of count 0 when nothing was. */
enum suite_reached suite_goal_judge(const struct suite_goal *g, const struct suite_row *rows,
                                    unsigned count, struct sample *ratio);

/* ---- the file ---- */

/* What it says beside the rows. Borrowed. */
struct suite_run {
    const char *id, *started, *version, *cpu, *kernel;
    const char *peers; /* what they are and of which version; NULL: none */
    /* A list: name, title, options and what requests cost of each design; NULL: none. */
    json_t *designs;
    unsigned cpus;
    double duration_s;
};

/* Its contents (results/schema/bench.schema.json); the caller's. NULL without memory. */
json_t *suite_to_json(const struct suite_run *run, const struct suite_row *rows, unsigned count);

/* Those, a row on a line. */
void suite_write_json(const json_t *contents, FILE *f);

/* As Markdown, from the file's contents, which may be anybody's: a table for each family, in which
 * each variant has its median and spread, and the goals. */
void suite_write_markdown(const json_t *contents, FILE *f);

#endif
