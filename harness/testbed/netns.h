/* SPDX-License-Identifier: MIT */
/*
 * Network namespaces without privilege: a process that makes a user namespace of its own may make
 * network namespaces, and interfaces in them, that nobody else sees and that end with it.
 */
#ifndef RP_TESTBED_NETNS_H
#define RP_TESTBED_NETNS_H

#include <stddef.h>

/*
 * This process, and what it starts from now on, in a user namespace and a network namespace of
 * their own. Only while it has one thread. -errno with a sentence that says what is missing.
 */
int netns_isolate(char *why, size_t why_size);

/* Another network namespace; *fd is the caller's. */
int netns_create(int *fd);

/* Run `f` in a network namespace (0: this one) and come back. Returns what it returned, or -errno.
 */
int netns_do(int fd, int (*f)(void *arg), void *arg);

/* Give an interface there an IPv4 address of a /24 and bring it up. "lo" needs no address. */
int netns_interface_up(int fd, const char *name, const char *address);

#endif
