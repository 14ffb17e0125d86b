/* SPDX-License-Identifier: MIT */
#include "runner/host_ends.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WRITE_LIMIT_NS  2000000000u
#define MANAGE_LIMIT_NS 2000000000u

/* Wait until a descriptor is ready for `events`: false when the time is over. */
static bool wait_for(int fd, short events, uint64_t deadline_ns)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do
        n = poll(&p, 1, poll_timeout_ms(deadline_ns));
    while (n == 0 ? monotonic_ns() < deadline_ns : n < 0 && errno == EINTR);
    return n > 0;
}

/* The port that is asked about, or an error. */
static int port_of(struct session *s, const json_t *args)
{
    json_int_t n = json_integer_value(json_object_get(args, "port"));

    if (!json_is_integer(json_object_get(args, "port")) || n < 0 || n >= SCENARIO_PORTS_MAX)
        return testbed_fail(s->cell, -EINVAL, "a port from 0 to %u is needed",
                            SCENARIO_PORTS_MAX - 1);
    return (int)n;
}

/* Its descriptor, or an error. */
static int connected_port(struct session *s, const json_t *args)
{
    int port = port_of(s, args);

    if (port < 0)
        return port;
    return s->host_ends[port] ? s->host_ends[port]
                              : testbed_fail(s->cell, -ENOTCONN, "port %d is not connected", port);
}

static void drop(int *fd)
{
    if (*fd)
        close(*fd);
    *fd = 0;
}

int host_end_open(struct session *s, const json_t *args, json_t **value)
{
    int port = port_of(s, args), fd;

    if (port < 0)
        return port;
    drop(&s->host_ends[port]);
    fd = testbed_port_connect(s->cell, 0, (unsigned)port);
    if (fd < 0)
        return fd;
    s->host_ends[port] = fd;
    return 0;
}

int host_end_close(struct session *s, const json_t *args, json_t **value)
{
    int port = port_of(s, args);

    if (port < 0)
        return port;
    drop(&s->host_ends[port]);
    return 0;
}

static int write_all(struct session *s, int fd, const char *data, size_t bytes)
{
    uint64_t deadline = monotonic_ns() + WRITE_LIMIT_NS * testbed_cell_slowness(s->cell);

    while (bytes) {
        ssize_t n = send(fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0) {
            data += n;
            bytes -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return testbed_fail(s->cell, -errno, "the host end: %s", strerror(errno));
        } else if (!wait_for(fd, POLLOUT, deadline)) {
            return testbed_fail(s->cell, -ETIMEDOUT, "the host end takes no more bytes");
        }
    }
    return 0;
}

int host_end_write(struct session *s, const json_t *args, json_t **value)
{
    const char *data = json_string_value(json_object_get(args, "data"));
    int fd = connected_port(s, args);

    if (fd < 0)
        return fd;
    if (!data)
        return testbed_fail(s->cell, -EINVAL, "console.write needs data");
    return write_all(s, fd, data, strlen(data));
}

/* Up to `bytes` bytes that come before the time is over; the end of the stream ends it, too. */
int host_end_read(struct session *s, const json_t *args, json_t **value)
{
    json_int_t bytes = json_integer_value(json_object_get(args, "bytes"));
    json_int_t ms = json_integer_value(json_object_get(args, "ms"));
    uint64_t deadline = monotonic_ns() + (uint64_t)ms * 1000000u;
    size_t have = 0;
    bool ended = false;
    char *data;
    int fd = connected_port(s, args);

    if (fd < 0)
        return fd;
    if (bytes < 1 || bytes > HOST_END_READ_MAX || ms < 0 || ms > 60000)
        return testbed_fail(s->cell, -EINVAL, "console.read of %lld bytes in %lld ms",
                            (long long)bytes, (long long)ms);
    data = malloc((size_t)bytes);
    if (!data)
        return testbed_fail(s->cell, -ENOMEM, "out of memory");
    while (have < (size_t)bytes && !ended && wait_for(fd, POLLIN, deadline)) {
        ssize_t n = recv(fd, data + have, (size_t)bytes - have, MSG_DONTWAIT);

        if (n > 0)
            have += (size_t)n;
        ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
    *value = json_pack("{s:s#, s:b}", "data", data, have, "ended", ended);
    free(data);
    /* What is no text cannot be carried, and nobody sent it. */
    return *value ? 0 : testbed_fail(s->cell, -EILSEQ, "the host end got bytes that are no text");
}

int host_end_manage(struct session *s, const json_t *args, json_t **value)
{
    const char *command = json_string_value(json_object_get(args, "command"));
    uint64_t deadline = monotonic_ns() + MANAGE_LIMIT_NS * testbed_cell_slowness(s->cell);
    char text[128] = "";
    size_t used = 0;
    int fd, ret;

    if (!command)
        return testbed_fail(s->cell, -EINVAL, "console.manage needs a command");
    fd = testbed_port_connect(s->cell, 0, TESTBED_PORT_MANAGE);
    if (fd < 0)
        return fd;
    ret = write_all(s, fd, command, strlen(command));
    if (!ret)
        ret = write_all(s, fd, "\n", 1);
    while (!ret && !strchr(text, '\n') && used + 1 < sizeof(text) &&
           wait_for(fd, POLLIN, deadline)) {
        ssize_t n = recv(fd, text + used, sizeof(text) - 1 - used, MSG_DONTWAIT);

        if (n == 0)
            break;
        used += n > 0 ? (size_t)n : 0;
        text[used] = '\0';
    }
    close(fd);
    if (!ret && strcmp(text, "ok\n"))
        ret = testbed_fail(s->cell, -EIO, "the device answered '%s' to '%s'", text, command);
    return ret;
}

void host_ends_close(struct session *s)
{
    for (unsigned i = 0; i < SCENARIO_PORTS_MAX; i++)
        drop(&s->host_ends[i]);
}
