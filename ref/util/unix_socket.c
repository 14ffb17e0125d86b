/* SPDX-License-Identifier: MIT */
#include "util/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/evloop.h"

#define RETRY_NS 10000000l

static int address_make(struct sockaddr_un *at, const char *path)
{
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(at->sun_path))
        return -ENAMETOOLONG;
    strcpy(at->sun_path, path);
    return 0;
}

static int connect_once(const struct sockaddr_un *at, int type, int *out)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), rc = 0;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)at, sizeof(*at)))
        rc = -errno;
    if (rc)
        close(fd);
    else
        *out = fd;
    return rc;
}

static void remove_stale(const struct sockaddr_un *at, int type)
{
    struct stat st;
    int fd = -1;

    if (lstat(at->sun_path, &st) || !S_ISSOCK(st.st_mode))
        return;
    /* One that somebody listens at may have a full backlog. */
    if (connect_once(at, type | SOCK_NONBLOCK, &fd) == -ECONNREFUSED)
        (void)unlink(at->sun_path);
    if (fd >= 0)
        close(fd);
}

int unix_listen(const char *path, int type, int backlog, int *out)
{
    struct sockaddr_un at;
    int fd, rc = address_make(&at, path);

    if (rc)
        return rc;
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    remove_stale(&at, type);
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)))
        rc = -errno;
    if (!rc && listen(fd, backlog)) {
        rc = -errno;
        (void)unlink(path);
    }
    if (rc)
        close(fd);
    else
        *out = fd;
    return rc;
}

int unix_connect(const char *path, int type, uint32_t wait_ms, int *out)
{
    uint64_t deadline = evloop_now_ns() + (uint64_t)wait_ms * 1000000u;
    const struct timespec moment = {.tv_nsec = RETRY_NS};
    struct sockaddr_un at;
    int rc = address_make(&at, path);

    while (!rc) {
        rc = connect_once(&at, type, out);
        if (rc != -ENOENT && rc != -ECONNREFUSED)
            break;
        if (evloop_now_ns() >= deadline)
            return -ETIMEDOUT;
        (void)nanosleep(&moment, NULL);
        rc = 0;
    }
    return rc;
}
