/* SPDX-License-Identifier: MIT */
#include "simxen/ctl/store.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

/* xenstored answers in microseconds; one that does not has hung. */
#define REPLY_LIMIT_S 10

int store_connect(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = REPLY_LIMIT_S};
    int fd;

    if (strlen(path) >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    return fd;
}

static int receive(int fd, void *to, size_t n)
{
    size_t have = 0;

    while (have < n) {
        ssize_t got = recv(fd, (char *)to + have, n - have, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (got == 0)
            return -EPIPE;
        have += (size_t)got;
    }
    return 0;
}

static int error_of(const char *body, size_t len)
{
    size_t i;

    for (i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
        if (len >= strlen(xsd_errors[i].errstring) + 1 && !strcmp(body, xsd_errors[i].errstring))
            return -xsd_errors[i].errnum;
    return -EPROTO;
}

/* `reply` of `reply_bytes` gets the answer's text; NULL: it says nothing. */
static int talk_in(int fd, uint32_t tx, uint32_t type, const char *body, size_t len, char *reply,
                   size_t reply_bytes)
{
    struct {
        struct xsd_sockmsg hdr;
        char body[XENSTORE_PAYLOAD_MAX];
    } m = {.hdr = {.type = type, .tx_id = tx, .len = (uint32_t)len}};
    size_t n = sizeof(m.hdr) + len;
    int rc;

    if (len > sizeof(m.body))
        return -E2BIG;
    memcpy(m.body, body, len);
    if (send(fd, &m, n, MSG_NOSIGNAL) != (ssize_t)n)
        return -EPIPE;
    do {
        rc = receive(fd, &m.hdr, sizeof(m.hdr));
        if (rc)
            return rc;
        if (m.hdr.len > sizeof(m.body))
            return -EPROTO;
        rc = receive(fd, m.body, m.hdr.len);
        if (rc)
            return rc;
    } while (m.hdr.type == XS_WATCH_EVENT); /* nobody waits for them here */
    if (m.hdr.type == XS_ERROR)
        return m.hdr.len && !m.body[m.hdr.len - 1] ? error_of(m.body, m.hdr.len) : -EPROTO;
    if (m.hdr.type != type || (reply && m.hdr.len >= reply_bytes))
        return -EPROTO;
    if (reply) {
        memcpy(reply, m.body, m.hdr.len);
        reply[m.hdr.len] = 0;
    }
    return 0;
}

static int talk(int fd, uint32_t type, const char *body, size_t len)
{
    return talk_in(fd, 0, type, body, len, NULL, 0);
}

int store_write(int fd, const char *path, const char *value)
{
    char body[XENSTORE_PAYLOAD_MAX];
    int n = snprintf(body, sizeof(body), "%s%c%s", path, 0, value);

    if (n < 0 || (size_t)n >= sizeof(body))
        return -E2BIG;
    return talk(fd, XS_WRITE, body, (size_t)n); /* the value without its NUL */
}

int store_mkdir(int fd, const char *path)
{
    return talk(fd, XS_MKDIR, path, strlen(path) + 1);
}

int store_rm(int fd, const char *path)
{
    return talk(fd, XS_RM, path, strlen(path) + 1);
}

int store_perm(int fd, const char *path, uint16_t domid, char perm)
{
    char body[XENSTORE_PAYLOAD_MAX];
    int n = perm == 'n' ? snprintf(body, sizeof(body), "%s%cn%u", path, 0, domid)
                        : snprintf(body, sizeof(body), "%s%cn0%cr%u", path, 0, 0, domid);

    if (n < 0 || (size_t)n >= sizeof(body))
        return -E2BIG;
    return talk(fd, XS_SET_PERMS, body, (size_t)n + 1);
}

int store_introduce(int fd, uint16_t domid, uint64_t gfn, uint32_t port)
{
    char body[80];
    int n =
        snprintf(body, sizeof(body), "%u%c%llu%c%u", domid, 0, (unsigned long long)gfn, 0, port);

    return talk(fd, XS_INTRODUCE, body, (size_t)n + 1);
}

int store_release(int fd, uint16_t domid)
{
    char body[16];
    int n = snprintf(body, sizeof(body), "%u", domid);

    return talk(fd, XS_RELEASE, body, (size_t)n + 1);
}

static int watch(int fd, uint32_t type, const char *path, const char *token)
{
    char body[XENSTORE_PAYLOAD_MAX];
    int n = snprintf(body, sizeof(body), "%s%c%s", path, 0, token);

    if (n < 0 || (size_t)n >= sizeof(body))
        return -E2BIG;
    return talk(fd, type, body, (size_t)n + 1);
}

int store_watch(int fd, const char *path, const char *token)
{
    return watch(fd, XS_WATCH, path, token);
}

int store_unwatch(int fd, const char *path, const char *token)
{
    return watch(fd, XS_UNWATCH, path, token);
}

int store_transaction(int fd, uint32_t *tx)
{
    char text[16];
    int rc = talk_in(fd, 0, XS_TRANSACTION_START, "", 1, text, sizeof(text));

    if (!rc)
        *tx = (uint32_t)strtoul(text, NULL, 10);
    return rc;
}

int store_abort(int fd, uint32_t tx)
{
    return talk_in(fd, tx, XS_TRANSACTION_END, "F", 2, NULL, 0);
}
