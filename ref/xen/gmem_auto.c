/* SPDX-License-Identifier: MIT */
#include "util/mutant.h"
#include "xen/gmem_permap.h"
#include "xen/gmem_ways.h"

/* A request may name grants and frames side by side: an indirect table by its frame and the data
 * by grants, say. So nothing is concluded from one address about the next. */
int gmem_auto_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    if (MUTANT(grant_mappings_are_cached))
        return gmem_persistent_create(args, out);
    return permap_create("auto", args, 1u << PERMAP_GRANT | 1u << PERMAP_FRAME, NULL, out);
}
