/* SPDX-License-Identifier: MIT */
/* The side of the testbed: using a machine that a keeper (machine/keeper.h) holds. */
#ifndef RP_MACHINE_CLIENT_H
#define RP_MACHINE_CLIENT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Have a machine booted, or take the one that runs. A descriptor: the machine is this caller's
 * until it is closed. `text` is how it was booted. -errno with a text: why not, and the end of its
 * console. Takes as long as booting takes, twice at most.
 */
int machine_use(const char *socket, const char *name, uint64_t timeout_ns, char *text,
                size_t text_size);
/* The machine is of no use any more: the next one who wants it gets a fresh one. */
void machine_discard(int lease_fd);
/* 0, or -ESHUTDOWN with a text when the machine has ended. */
int machine_alive(int lease_fd, char *text, size_t text_size);

/*
 * Runs a program in dom0 with this process's standard streams, passes on SIGTERM, SIGINT and
 * SIGHUP, and gives its exit status; ends by the same signal if it ended by one. When this process
 * ends before, the program there is killed. 255 with a line on stderr: the machine has ended.
 */
int machine_exec(const char *socket, char **words);

#endif
