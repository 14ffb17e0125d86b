/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "runner/runner.h"
#include "util/bits.h"

#ifndef RP_VERSION /* of the sources, given by the build */
#define RP_VERSION "unknown"
#endif

static const struct command {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv); /* what follows the command's word */
} commands[] = {
    {"run", "[OPTION]... [SCENARIO]...", "run scenario files, or scenarios and cells by name",
     command_run},
    {"list", "[OPTION]... [SCENARIO]...", "scenarios with their cells, and all checks",
     command_list},
    {"explain", "ID", "what a requirement demands and which check proves it", command_explain},
    {"trace", "[OPTION]... CELL", "run it, and show all that its driver did", command_trace},
    {"coverage", "[--all]", "how much of the catalogue has a check", command_coverage},
    {"new-check", "FAMILY NAME", "a commented template for a check", command_new_check},
    {"mutants", "[OPTION]... [MUTANT]...", "run checks against deliberately broken backends",
     command_mutants},
    {"merge", "[OPTION]... RESULT...", "results of shards and of several testbeds become one",
     command_merge},
    {"certify", "--profile FILE [OPTION]...", "what a backend claims, to a certificate",
     command_certify},
    {"verify", "[OPTION]... CERTIFICATE", "is it whole, and who signed it?", command_verify},
    {"replay", "[OPTION]... CERTIFICATE", "run it again and compare the verdicts", command_replay},
    {"bench", "[OPTION]...", "what a virtqueue costs, and what safety costs", command_bench},
    {"compare", "[OPTION]... RESULT...", "the same cells on several testbeds, or two benchmarks",
     command_compare},
};

static void usage(FILE *f)
{
    fputs("usage: ringproof COMMAND ...\n"
          "Certifies virtio backends on Xen: scenarios select checks and bind them to devices.\n\n",
          f);
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        fprintf(f, "  %-9s %-26s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fputs("\noptions of run, list and mutants:\n", f);
    options_help("run", f);
    fputs("\noptions of certify, beside those of run:\n", f);
    options_help("certify", f);
    fputs("\noptions of verify:\n", f);
    options_help("verify", f);
    fputs("\noptions of merge:\n", f);
    options_help("merge", f);
    fputs("\noptions of compare:\n", f);
    options_help("compare", f);
    fputs("\noptions of bench:\n", f);
    options_help("bench", f);
    fputs("\nexit status: 0 passed, 1 a subject failed, 2 harness error or interrupted, 3 bad "
          "usage\n",
          f);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        usage(stderr);
        return REPORT_BAD_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("ringproof " RP_VERSION);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
        if (!strcmp(commands[i].name, argv[1]))
            return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "ringproof: unknown command '%s' (see ringproof --help)\n", argv[1]);
    return REPORT_BAD_USAGE;
}
