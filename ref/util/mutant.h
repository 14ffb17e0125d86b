/* SPDX-License-Identifier: MIT */
/*
 * Mutants: deliberate, named faults that prove the checks.
 *
 * `if (MUTANT(blk_id_not_padded)) ...` marks the place where a build made for `make mutants`
 * can break one rule. In every other build the macro is the constant 0 and the code behind it
 * is gone. The mutant is chosen at run time by the environment variable RINGPROOF_MUTANT, so
 * that one extra build serves all of them. The list of names, with the check that must catch
 * each, is harness/catalog/mutants.tsv; `make lint` compares it with the uses in the sources.
 */
#ifndef RP_UTIL_MUTANT_H
#define RP_UTIL_MUTANT_H

#ifdef RP_MUTANTS
#include <stdbool.h>
/* True when RINGPROOF_MUTANT names this fault. Thread-safe. */
bool mutant_active(const char *name);
#define MUTANT(name) mutant_active(#name)
#else
#define MUTANT(name) 0
#endif

#endif
