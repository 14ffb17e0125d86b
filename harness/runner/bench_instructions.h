/* SPDX-License-Identifier: MIT */
/* ringproof bench --instructions: the scenarios of scenarios/instructions, on machines of the
 * testbed qemu that count instructions, each booted several times. */
#ifndef RP_RUNNER_BENCH_INSTRUCTIONS_H
#define RP_RUNNER_BENCH_INSTRUCTIONS_H

#include "runner/runner.h"

/* An exit status. The names of the options are cells, such as 'instructions-primitives[arch=x86]';
 * none: all, of the architectures that there are images and programs of. */
int bench_instructions(struct run_options *o, int argc, char **argv);

#endif
