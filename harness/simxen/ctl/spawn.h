/* SPDX-License-Identifier: MIT */
/*
 * Children that end with this process, however it ends.
 *
 * The kernel ties a parent-death signal to the *thread* that forked. So one thread per spawner
 * does all the forking and lives as long as the spawner: the children of a runner that is killed
 * with SIGKILL get their signal, those of a runner whose worker thread merely returned do not.
 */
#ifndef SIMXEN_CTL_SPAWN_H
#define SIMXEN_CTL_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct spawner;

struct spawn_var {
    const char *name, *value; /* value NULL: unset */
};

struct spawn_args {
    const char *const *argv;      /* argv[0] is the path */
    const struct spawn_var *vars; /* changes of the environment; ends with a NULL name */
    const char *log;              /* file for stdout and stderr, appended to */
    int ready_fd;                 /* becomes descriptor 3 of the child; -1 none */
    bool detached;                /* not a child at all: outlives this process */
};

int spawner_create(struct spawner **out);
/* Waits for its thread, whose children get their signal now if they still run. NULL is allowed. */
void spawner_destroy(struct spawner *s);

/* 0 with *pid (not for a detached one) once the program runs; -errno when it could not. */
int spawner_run(struct spawner *s, const struct spawn_args *args, pid_t *pid);

/*
 * Wait for a child to end, for at most limit_ns. True: it has ended and is reaped.
 */
bool spawn_wait(pid_t pid, uint64_t limit_ns);
/* End a child: SIGTERM, after a second SIGKILL; and reap it. */
void spawn_end(pid_t pid);

#endif
