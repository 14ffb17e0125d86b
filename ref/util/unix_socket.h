/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets at a path: one to listen at, and one to be connected with. `type` is SOCK_STREAM or
 * SOCK_SEQPACKET. Descriptors are the caller's, and closed on exec.
 */
#ifndef RP_UTIL_UNIX_SOCKET_H
#define RP_UTIL_UNIX_SOCKET_H

#include <stdint.h>
#include <sys/un.h>

/* Characters of a path, and its NUL. */
#define UNIX_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/*
 * A non-blocking listener. A socket that a predecessor left, at which nobody listens any more, is
 * removed; anything else of that name is not ours: -EADDRINUSE. -ENAMETOOLONG, errors of socket(2)
 * and bind(2). Whoever closes it removes the path.
 */
int unix_listen(const char *path, int type, int backlog, int *out);

/* Waits up to wait_ms for somebody to listen there: -ETIMEDOUT. -ENAMETOOLONG, errors of
 * connect(2). The descriptor blocks. */
int unix_connect(const char *path, int type, uint32_t wait_ms, int *out);

#endif
