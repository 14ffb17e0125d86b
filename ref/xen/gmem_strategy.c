/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "xen/gmem_permap.h"
#include "xen/gmem_strategy.h"

static const struct gmem_strategy strategies[] = {
    {"auto", "grants and guest-physical addresses, each its own way, mapped per request",
     gmem_auto_create},
    {"grant-map", "grants only, mapped per request", gmem_grant_create},
    {"foreign-map", "guest-physical addresses only, mapped per request", gmem_foreign_create},
    {0},
};

const struct gmem_strategy *gmem_strategies(void)
{
    return strategies;
}

const struct gmem_strategy *gmem_strategy_find(const char *name)
{
    for (const struct gmem_strategy *s = strategies; s->name; s++)
        if (!strcmp(s->name, name))
            return s;
    return NULL;
}
