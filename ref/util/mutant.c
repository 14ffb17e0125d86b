/* SPDX-License-Identifier: MIT */
#include "util/mutant.h"

#ifdef RP_MUTANTS

#include <stdlib.h>
#include <string.h>

/*
 * Read at each use: the environment does not change after main has begun, and a build that is
 * broken on purpose needs no speed.
 */
bool mutant_active(const char *name)
{
    const char *chosen = getenv("RINGPROOF_MUTANT");

    return chosen != NULL && strcmp(chosen, name) == 0;
}

#endif
