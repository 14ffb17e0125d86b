/* SPDX-License-Identifier: MIT */
#include "peers/pace.h"

#define STEP_MAX 50u

static uint64_t beyond(uint64_t all, uint64_t start)
{
    return all > start ? all - start : 1;
}

struct pace pace_net(struct pace all, struct pace start)
{
    return (struct pace){beyond(all.wall_ns, start.wall_ns), beyond(all.cpu_ns, start.cpu_ns)};
}

uint64_t pace_buffers(uint64_t buffers, uint64_t net_ns, uint64_t wanted_ns, uint64_t max)
{
    double factor = net_ns ? (double)wanted_ns / (double)net_ns : STEP_MAX;
    double next = (double)buffers * (factor < STEP_MAX ? factor : STEP_MAX);

    if (next < 1)
        return 1;
    return next < (double)max ? (uint64_t)next : max;
}

double pace_own_cpu(struct pace net)
{
    double lost = 2 - (double)net.cpu_ns / (double)net.wall_ns;

    if (lost < 0)
        return 1;
    return lost > 1 ? 0 : 1 - lost;
}
