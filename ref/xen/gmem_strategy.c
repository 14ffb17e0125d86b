/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "xen/gmem_strategy.h"
#include "xen/gmem_ways.h"

static const struct gmem_strategy strategies[] = {
    {"auto", "grants and guest-physical addresses, each its own way, mapped per request",
     gmem_auto_create, false},
    {"grant-map", "grants only, mapped per request", gmem_grant_create, false},
    {"grant-persistent", "grants only, kept mapped (of drivers that leave them as they are)",
     gmem_persistent_create, false},
    {"grant-copy", "grants only, copied by Xen", gmem_copy_create, false},
    {"foreign-map", "guest-physical addresses only, mapped per request", gmem_foreign_create,
     false},
    {"foreign-buckets", "guest-physical addresses only, mapped by the MiB and kept",
     gmem_buckets_create, false},
    {"foreign-whole", "guest-physical addresses only, all of --guest-memory mapped in advance",
     gmem_whole_create, true},
    {"foreign-static", "guest-physical addresses in --guest-memory only, mapped in advance",
     gmem_static_create, true},
    {"shim", "grants and guest-physical addresses, in memory that is the backend's own",
     gmem_shim_create, true},
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
