/* SPDX-License-Identifier: MIT */
#include "testbed/xen_costs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COSTS_FILE "%s/costs"
/* In the order of machine/preload/costs.c. */
#define COUNTS 7u

static const struct xen_place *place_of(const struct testbed_cell *c)
{
    return ((const struct xen_cell *)c)->place;
}

/* Another's backend may be linked as it likes. */
bool xen_costs_counted(const struct testbed_cell *c)
{
    return c->plan.scenario->count_costs && place_of(c)->costs && !c->config->profile &&
           c->plan.backend == BACKEND_DOM0;
}

void xen_costs_environment(const struct testbed_cell *c, char *script, size_t size)
{
    script[0] = 0;
    if (xen_costs_counted(c))
        snprintf(script, size, "export LD_PRELOAD='%s' RINGPROOF_COSTS='" COSTS_FILE "'; ",
                 place_of(c)->costs, c->image_dir);
}

int xen_costs_read(struct testbed_cell *c, struct testbed_costs *costs)
{
    uint64_t n[COUNTS] = {0}, traps = 0;
    char file[512], *out = NULL, *at;
    unsigned found = 0;
    int ret;

    if (!xen_costs_counted(c))
        return testbed_fail(
            c, -EOPNOTSUPP,
            "not supported: nobody counts what this backend asks (count-costs, in dom0)");
    ret = xen_cell_domain_accesses(c, &traps);
    snprintf(file, sizeof(file), COSTS_FILE, c->image_dir);
    if (!ret)
        ret = xen_cell_command(
            c, &out, (const char *const[]){"od", "-A", "n", "-v", "-t", "u8", file, NULL});
    at = out;
    while (!ret && at && found < COUNTS) {
        char *end;

        n[found] = strtoull(at, &end, 10);
        if (end == at)
            break;
        found++;
        at = end;
    }
    if (!ret && found < COUNTS)
        ret = testbed_fail(c, -EPROTO, "the backend's costs: '%s'", out ? out : "");
    free(out);
    if (!ret)
        *costs = (struct testbed_costs){.traps = traps,
                                        .events = n[0],
                                        .interrupts = n[1],
                                        .pages_mapped = n[2] + n[3],
                                        .frames_mapped = n[3],
                                        .pages_unmapped = n[4],
                                        .copies = n[5],
                                        .bytes_copied = n[6]};
    return ret;
}
