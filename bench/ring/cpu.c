/* SPDX-License-Identifier: MIT */
#include "ringbench/cpu.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

int cpu_pin(unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set))
        return -errno;
    (void)setpriority(PRIO_PROCESS, 0, -20); /* where that is allowed */
    return 0;
}
