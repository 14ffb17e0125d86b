/* SPDX-License-Identifier: MIT */
#include "ringbench/cpu.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

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

void cpu_prefer_session(void)
{
    /* Autogroups share CPUs by session: within one, a priority alone changes nothing against
     * others. */
    FILE *f = setsid() < 0 ? NULL : fopen("/proc/self/autogroup", "we");

    if (!f)
        return;
    fputs("-20", f);
    (void)fclose(f); /* refused to others than root, and that is no error */
}
