/* SPDX-License-Identifier: MIT */
/*
 * The program `ringproof`: what its commands share.
 *
 *   main          chooses a command
 *   options       the command line, for all commands from one table
 *   install       where programs, libraries and data are
 *   plan          scenario files to a list of jobs (a job is one cell to run)
 *   schedule      jobs in parallel, each in a process group of its own; progress
 *   guard         the process around a job: limit on time, cleaning up, whatever happens
 *   cell          one job from beginning to end
 *   session       the conversation with agents: checks, asks
 *   guest         a program that drives the device in place of checks, with a timeline
 *   fio           ... a stock fio
 *   net_run       ... a network interface, and iperf3 or a transfer over it
 *   neighbour     a second domain with a fio of its own, beside checks
 *   transfer      streams of which every byte is known
 *   measured      what a cell measured for a benchmark
 *   bench_cell    a cell of a benchmark
 *   bench_designs the designs that benchmarks compare
 *   bench_measure one variant of a row of benchmarks, once
 *   bench_files   what a run of benchmarks leaves
 */
#ifndef RP_RUNNER_RUNNER_H
#define RP_RUNNER_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "report/report.h"
#include "scenario/scenario.h"
#include "testbed/testbed.h"

/* ---- options ---- */
struct run_options {
    char **names; /* scenario files, names, cells; borrowed from argv, NULL-terminated */
    unsigned name_count;
    const char *set;    /* NULL: any */
    const char *filter; /* pattern of checks, NULL: all */
    const char *testbed;
    const char *scenarios_dir; /* NULL: the installed ones */
    const char *results_dir;   /* NULL: results/runs in the working folder */
    const char *variant_dir;   /* NULL: beside this program */
    const char *profile;       /* of the backend; NULL: ours */
    const char *backend_bin, *agent_bin;
    unsigned jobs;                     /* 0: as many as there are CPUs */
    unsigned shard_index, shard_count; /* 1..count; 1/1: all */
    unsigned slowness;                 /* factor on limits; 0: the testbed's */
    uint64_t timeout_ns;               /* of a cell; 0: the scenario's */
    uint64_t seed;
    bool has_seed, keep, verbose, quiet, icount;
    /* of certify and verify */
    const char *key, *signers, *identity;
    /* of bench: where programs of others are; a run that is drawn again */
    const char *peers, *redraw;
    bool instructions;
    unsigned boots; /* 0: as many as are usual */
    bool full;      /* all rows */
    /* of merge and compare */
    const char *output; /* folder of the result, NULL: a new one in results_dir */
    uint64_t at_least;
    bool has_at_least, partial, all;
};

/*
 * Parses what follows the command's word: its options and names. 0; -EINVAL after an explanation
 * on stderr; 1 when help was asked for and printed.
 */
int options_parse(const char *command, int argc, char **argv, struct run_options *o);
/* The options of a command that has any, each on a line. */
void options_help(const char *command, FILE *f);

/* ---- install ---- */
struct install {
    char *self;                    /* this program */
    char *base;                    /* the folder that holds bin, lib and simxen */
    char *data;                    /* the folder that holds scenarios and harness/catalog */
    struct testbed_config testbed; /* all paths absolute */
    char *variant_bin_dir;         /* programs of the build that --variant-dir names, or ours */
    struct profile *profile;       /* NULL: the backend is ours */
    char *owned[16];
    unsigned owned_count;
};

/* 0, or -ENOENT with an explanation on stderr. `need_subject`: backend and agent have to exist. */
int install_find(const struct run_options *o, bool need_subject, struct install *in);
void install_fini(struct install *in);
/* base/variant-named sibling: the programs of another build beside ours ("mutant"). */
char *install_variant_dir(const struct install *in, const char *variant);

/* ---- plan ---- */
struct job {
    struct scenario_cell plan;
    const char *const *filters; /* full names or patterns of checks; none: all of the scenario */
    unsigned filter_count;
    const char *mutant;                   /* NULL: none */
    bool measures;                        /* of a benchmark: preferred, and noted (measured.h) */
    const struct testbed_config *testbed; /* NULL: the install's */
    /* Set by schedule_run. */
    struct report_cell *result; /* NULL: it did not run */
};

struct plan {
    struct scenario **scenarios;
    unsigned scenario_count;
    struct job *jobs;
    unsigned job_count;
};

/* Loads every scenario that is asked for and expands its cells. -EINVAL after an explanation on
 * stderr: a file that is wrong, a name that fits nothing. */
int plan_make(const struct run_options *o, const struct install *in, struct plan *p);
void plan_fini(struct plan *p); /* results, too */

/* ---- schedule ---- */
struct schedule {
    const struct run_options *options;
    const struct install *install;
    struct job *jobs;
    unsigned job_count;
    /* Called in the order in which jobs end. May be NULL. */
    void (*done)(void *ctx, struct job *job);
    void *ctx;
};

/* 0, -EINTR when a signal ended it (jobs that had ended have results), or another -errno. */
int schedule_run(const struct schedule *s);

/* ---- a job, in its own process ---- */

/* The process around a job; never returns. The result goes to result_fd as JSON. */
void guard_run(const struct schedule *s, const struct job *job, int result_fd)
    __attribute__((noreturn));

/* Runs it to its end. `cell` has its names set already. */
void cell_run(const struct run_options *o, const struct testbed_config *cfg, const struct job *job,
              uint64_t deadline_ns, struct report_cell *cell);
struct report_cell *cell_report_create(const struct job *job, const char *testbed);
uint64_t cell_timeout_ns(const struct run_options *o, const struct job *job);

/* A backend that dies by a signal or never gets ready has crashed; one that refuses to start with
 * a message was given what it cannot use: an error of the harness. What a profile cannot express
 * is skipped. `ret` is backend_start's. */
enum outcome cell_start_outcome(struct testbed_cell *c, int ret);

/* Has the backend end by SIGTERM: one that does not, or reports an error then (a sanitizer's
 * findings come at the end), is noted as a CRASH of the cell. */
void cell_finish_backend(struct testbed_cell *c, struct report_cell *cell);

/* fio as the guest: one result is added to the cell. */
/* How much a step waits for in this round: `amount`, or what the seed makes of it. */
uint64_t timeline_amount(const struct scenario_step *step, uint64_t seed, unsigned round);

void fio_run(const struct run_options *o, struct testbed_cell *c, const struct job *job,
             uint64_t deadline_ns, struct report_cell *cell);

/* A network interface in the guest, and what runs over it: one result is added to the cell. */
void net_run(const struct run_options *o, struct testbed_cell *c, const struct job *job,
             uint64_t deadline_ns, struct report_cell *cell);

/* Compares a metric with what the scenario expects and notes it in the cell. A text that has to
 * be freed when the expectation does not hold, else NULL. */
char *cell_metric(const struct scenario *s, struct report_cell *cell, enum scenario_metric m,
                  uint64_t value);

/* ---- commands: exit status ---- */
int command_run(int argc, char **argv);
int command_list(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_new_check(int argc, char **argv);
int command_mutants(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_merge(int argc, char **argv);
int command_certify(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_coverage(int argc, char **argv);
int command_trace(int argc, char **argv);

/* A report with what is known at its beginning: id, time, command line, our version. */
struct report *command_report_create(const char *command, int argc, char **argv);
/* The same with what was asked for and where it runs. */
struct report *run_report_create(const char *command, const struct run_options *o,
                                 const struct install *in, int argc, char **argv);
/*
 * Runs all jobs of a plan, on a testbed that is opened for them, and writes the result's files into
 * the folder. The report, the caller's, is begun by run_report_create; the jobs' results move into
 * it. 0, -EINTR, or another error after an explanation on stderr.
 */
int run_execute(const struct run_options *o, struct install *in, struct plan *p, struct report *r,
                const char *dir);
/* malloc'd path of the new folder, or of the one that o->output names; NULL after an explanation
 * on stderr. */
char *run_results_dir(const struct run_options *o, const struct report *r);
/* Makes a folder, and those above it. 0, or -errno after an explanation on stderr. */
int run_folder_make(const char *path);
/* An explanation on stderr whose text may come from a file of anybody's. */
void command_complain(const char *command, const char *why);
/* The result files that are named, merged into one report, which the caller destroys. NULL after
 * an explanation on stderr. */
struct report *merge_results(const char *command, const struct run_options *o, int argc,
                             char **argv);

#endif
