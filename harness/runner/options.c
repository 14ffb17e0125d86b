/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/runner.h"
#include "scenario/units.h"
#include "util/bits.h"

enum option_kind {
    OPT_TEXT,
    OPT_FLAG,
    OPT_JOBS,
    OPT_TIME,
    OPT_SEED,
    OPT_SHARD,
    OPT_SLOWNESS,
    OPT_AT_LEAST,
    OPT_BOOTS
};

/* Which commands have an option. */
enum {
    RUN = 1,
    MERGE = 2,
    COMPARE = 4,
    CERTIFY = 8,
    VERIFY = 16,
    REPLAY = 32,
    COVERAGE = 64,
    BENCH = 128
};

static const struct {
    const char *name, *arguments;
    unsigned bit;
} command_table[] = {
    {"run", "[SCENARIO]...", RUN},
    {"list", "[SCENARIO]...", RUN},
    {"mutants", "[MUTANT]...", RUN},
    {"merge", "RESULT...", MERGE},
    {"compare", "RESULT...", COMPARE},
    {"bench", "[CELL]...", BENCH},
    {"certify", "[SCENARIO]...", RUN | CERTIFY},
    {"verify", "CERTIFICATE", VERIFY},
    {"replay", "CERTIFICATE", RUN | REPLAY},
    {"trace", "CELL", RUN},
    {"coverage", "", COVERAGE},
    {"explain", "ID", 0},
};

static const struct option_desc {
    const char *name, *argument, *help;
    enum option_kind kind;
    unsigned commands;
    size_t offset; /* of the field; 0 where set_option knows it */
} option_table[] = {
#define TEXT_OF(commands, name, arg, field, help)                                                  \
    {                                                                                              \
        name, arg, help, OPT_TEXT, commands, offsetof(struct run_options, field)                   \
    }
#define FLAG_OF(commands, name, field, help)                                                       \
    {                                                                                              \
        name, NULL, help, OPT_FLAG, commands, offsetof(struct run_options, field)                  \
    }
#define TEXT(...) TEXT_OF(RUN, __VA_ARGS__)
#define FLAG(...) FLAG_OF(RUN, __VA_ARGS__)
    TEXT("--set", "NAME", set, "only scenarios of this set: main, quick, sanitized"),
    TEXT_OF(RUN | COMPARE, "--filter", "PATTERN", filter,
            "only checks that match, such as 'blk.*'"),
    TEXT_OF(BENCH, "--filter", "PATTERN", filter, "only rows that match, such as 'packed*'"),
    FLAG_OF(
        BENCH, "--instructions", instructions,
        "instructions of Xen and all around it instead of times (make images); only it has cells"),
    {"--boots", "N", "of --instructions: how often each machine is booted (default 2)", OPT_BOOTS,
     BENCH, 0},
    FLAG_OF(BENCH, "--full", full, "all rows, not only the short form: half an hour or one"),
    TEXT_OF(BENCH, "--redraw", "BENCH", redraw, "measure nothing: pictures and page of that run"),
    TEXT_OF(BENCH, "--peers", "DIR", peers, "Linux's rings, too (make bench-peers)"),
    TEXT("--testbed", "NAME", testbed, "where to run (default sim)"),
    {"--jobs", "N", "cells at once (default: one for each CPU)", OPT_JOBS, RUN, 0},
    {"--timeout", "TIME", "limit for each cell instead of the scenario's, such as 60s", OPT_TIME,
     RUN, 0},
    {"--seed", "N", "seed of whatever is random (default: from the clock)", OPT_SEED, RUN, 0},
    {"--shard", "K/N", "only the K-th of N equal parts of the cells", OPT_SHARD, RUN, 0},
    {"--slowness", "N", "limits on time N times as long (default: what the testbed is known for)",
     OPT_SLOWNESS, RUN, 0},
    TEXT("--scenarios", "DIR", scenarios_dir, "where scenario files are"),
    TEXT_OF(RUN | MERGE | BENCH, "--results", "DIR", results_dir,
            "where the run's folder is made (default results/runs)"),
    TEXT("--variant-dir", "DIR", variant_dir, "backend and agent of this build, e.g. build/san"),
    TEXT("--profile", "FILE", profile, "another backend than ours: how it is started, its claims"),
    TEXT("--backend-bin", "FILE", backend_bin, "the backend to judge"),
    TEXT("--agent-bin", "FILE", agent_bin, "the agent that runs the checks"),
    FLAG("--keep", keep, "leave the cells' folders with logs and images behind"),
    FLAG("--icount", icount, "testbed qemu: a clock that counts instructions (ringproof bench)"),
    FLAG("--verbose", verbose, "the backend logs everything"),
    FLAG_OF(RUN | BENCH, "--quiet", quiet, "no progress"),
    TEXT_OF(CERTIFY, "--key", "FILE", key, "an SSH key that signs the certificate"),
    TEXT_OF(VERIFY, "--signers", "FILE", signers,
            "who may sign: allowed signers as ssh-keygen(1) has them"),
    TEXT_OF(VERIFY, "--identity", "NAME", identity, "whose signature it has to be (of --signers)"),
    TEXT_OF(MERGE | BENCH, "-o", "DIR", output, "the result's own folder, instead of a new one"),
    FLAG_OF(MERGE, "--partial", partial, "shards that are missing are said, and are no error"),
    FLAG_OF(COMPARE, "--all", all, "rows that are equal (of benchmarks: the same), too"),
    FLAG_OF(COVERAGE, "--all", all, "each statement without a check, too"),
    {"--at-least", "N", "rows that have to be compared on each architecture", OPT_AT_LEAST,
     MERGE | COMPARE, 0},
#undef TEXT
#undef FLAG
#undef TEXT_OF
#undef FLAG_OF
};

static size_t command_index(const char *command)
{
    for (size_t i = 0; i < ARRAY_LENGTH(command_table); i++)
        if (!strcmp(command_table[i].name, command))
            return i;
    abort(); /* a command of ours that is not in the table */
}

void options_help(const char *command, FILE *f)
{
    unsigned bit = command_table[command_index(command)].bit;
    char left[64];

    if (bit & CERTIFY) /* those of run are shown by themselves */
        bit &= ~(unsigned)RUN;

    for (size_t i = 0; i < ARRAY_LENGTH(option_table); i++) {
        const struct option_desc *d = &option_table[i];
        if (!(d->commands & bit))
            continue;
        snprintf(left, sizeof(left), "%s %s", d->name, d->argument ? d->argument : "");
        fprintf(f, "  %-22s %s\n", left, d->help);
    }
}

static int parse_shard(const char *value, struct run_options *o)
{
    unsigned k, n;
    int used = 0;

    if (sscanf(value, "%u/%u%n", &k, &n, &used) != 2 || value[used] || k < 1 || k > n || n > 10000)
        return -EINVAL;
    o->shard_index = k;
    o->shard_count = n;
    return 0;
}

static int set_option(const struct option_desc *d, const char *value, struct run_options *o)
{
    uint64_t number;
    int ret = 0;

    switch (d->kind) {
    case OPT_TEXT:
        *(const char **)((char *)o + d->offset) = value;
        return value[0] ? 0 : -EINVAL;
    case OPT_FLAG:
        *(bool *)((char *)o + d->offset) = true;
        return 0;
    case OPT_JOBS:
        ret = units_parse_count(value, &number);
        if (ret || number < 1 || number > 512)
            return -EINVAL;
        o->jobs = (unsigned)number;
        return 0;
    case OPT_TIME:
        return units_parse_ns(value, &o->timeout_ns) || o->timeout_ns < 1000000000u ? -EINVAL : 0;
    case OPT_SEED:
        o->has_seed = true;
        ret = units_parse_count(value, &o->seed);
        return ret || o->seed > INT64_MAX ? -EINVAL : 0;
    case OPT_SHARD:
        return parse_shard(value, o);
    case OPT_SLOWNESS:
        ret = units_parse_count(value, &number);
        if (ret || number < 1 || number > 1000)
            return -EINVAL;
        o->slowness = (unsigned)number;
        return 0;
    case OPT_BOOTS:
        ret = units_parse_count(value, &number);
        if (ret || number < 1 || number > 16)
            return -EINVAL;
        o->boots = (unsigned)number;
        return 0;
    case OPT_AT_LEAST:
        o->has_at_least = true;
        ret = units_parse_count(value, &o->at_least);
        return ret || o->at_least < 1 || o->at_least > 1000000 ? -EINVAL : 0;
    }
    return -EINVAL;
}

int options_parse(const char *command, int argc, char **argv, struct run_options *o)
{
    const size_t which = command_index(command);

    *o = (struct run_options){.testbed = "sim", .shard_index = 1, .shard_count = 1};
    o->names = calloc((size_t)argc + 1, sizeof(*o->names));
    if (!o->names)
        return -ENOMEM;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        const struct option_desc *d = NULL;
        if (!strcmp(word, "--help")) {
            printf("usage: ringproof %s [OPTION]... %s\n", command, command_table[which].arguments);
            options_help(command, stdout);
            return 1;
        }
        if (word[0] != '-') {
            o->names[o->name_count++] = argv[i];
            continue;
        }
        for (size_t k = 0; k < ARRAY_LENGTH(option_table) && !d; k++) {
            size_t n = strlen(option_table[k].name);
            if (strncmp(word, option_table[k].name, n) || (word[n] && word[n] != '=') ||
                !(option_table[k].commands & command_table[which].bit))
                continue;
            d = &option_table[k];
            value = word[n] == '=' ? word + n + 1 : NULL;
        }
        if (!d) {
            fprintf(stderr, "ringproof %s: unknown option '%s' (see --help)\n", command, word);
            return -EINVAL;
        }
        if (d->kind == OPT_FLAG ? value != NULL : !value && i + 1 == argc) {
            fprintf(stderr, "ringproof %s: %s %s\n", command, d->name,
                    value ? "takes no value" : "needs a value");
            return -EINVAL;
        }
        if (d->kind != OPT_FLAG && !value)
            value = argv[++i];
        if (set_option(d, value, o)) {
            fprintf(stderr, "ringproof %s: %s: '%s' is not valid: %s\n", command, d->name, value,
                    d->help);
            return -EINVAL;
        }
    }
    if (!o->has_seed)
        o->seed = monotonic_ns() % 1000000000u;
    return 0;
}
