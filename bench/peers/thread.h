/* SPDX-License-Identifier: MIT */
/* The time that a thread of another process ran, or could have run, as the kernel counts it. */
#ifndef RP_PEERS_THREAD_H
#define RP_PEERS_THREAD_H

#include <stdint.h>
#include <sys/types.h>

struct thread_time {
    pid_t pid, tid;
};

/* The thread of that name. -ENOENT: there is none; -ESRCH: nor such a process. */
int thread_find(pid_t pid, const char *name, struct thread_time *t);

/* 0, -ESRCH when it has gone, -EPROTO when the kernel does not tell (CONFIG_SCHED_INFO). */
int thread_cpu_ns(const struct thread_time *t, uint64_t *ns);
/* The same of the time in which it wanted to run, and others had its CPU. */
int thread_waited_ns(const struct thread_time *t, uint64_t *ns);

#endif
