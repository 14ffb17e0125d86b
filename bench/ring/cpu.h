/* SPDX-License-Identifier: MIT */
/* Having a CPU to oneself, as far as a machine that is shared allows it. */
#ifndef RP_RINGBENCH_CPU_H
#define RP_RINGBENCH_CPU_H

/* This process runs on that CPU alone, before others where we are allowed to. 0 or -errno. */
int cpu_pin(unsigned cpu);

#endif
