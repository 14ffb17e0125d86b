/* SPDX-License-Identifier: MIT */
#include "testbed/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "testbed/process.h"

int wire_connect(const char *path, int *out)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd, ret;

    if (strlen(path) >= sizeof(at.sun_path))
        return -ENAMETOOLONG;
    strcpy(at.sun_path, path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&at, sizeof(at))) {
        ret = -errno;
        close(fd);
        return ret;
    }
    *out = fd;
    return 0;
}

int wire_send(int fd, const void *packet, size_t bytes)
{
    if (fd <= 0)
        return -ENOTCONN;
    return send(fd, packet, bytes, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int wire_recv(int fd, void *packet, size_t *bytes, uint64_t timeout_ns)
{
    uint64_t deadline = monotonic_ns() + timeout_ns;
    size_t room = *bytes;

    if (fd <= 0)
        return -ENOTCONN;
    for (;;) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        ssize_t got = recv(fd, packet, room, 0);

        if (got > 0) {
            *bytes = (size_t)got;
            return 0;
        }
        if (got == 0)
            return -ENOTCONN;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        if (monotonic_ns() >= deadline)
            return -EAGAIN;
        (void)poll(&pfd, 1, poll_timeout_ms(deadline));
    }
}
