/* SPDX-License-Identifier: MIT */
#include "peers/telemetry.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "util/unix_socket.h"

#define ANSWER_BYTES 16384u /* as long as DPDK makes one */
#define ANSWER_S     2

static const char question[] = "/ethdev/stats,0";

static int counter(const json_t *stats, const char *name, uint64_t *value)
{
    const json_t *n = json_object_get(stats, name);

    if (!json_is_integer(n) || json_integer_value(n) < 0)
        return -EPROTO;
    *value = (uint64_t)json_integer_value(n);
    return 0;
}

int telemetry_stats_parse(const char *text, size_t bytes, struct telemetry_stats *stats)
{
    /* The terminating NUL comes with it. */
    json_t *answer = json_loadb(text, strnlen(text, bytes), JSON_REJECT_DUPLICATES, NULL);
    const json_t *s = json_object_get(answer, "/ethdev/stats");
    int rc = counter(s, "ipackets", &stats->received);

    if (!rc)
        rc = counter(s, "opackets", &stats->sent);
    json_decref(answer);
    return rc;
}

static int answer_take(int fd, char *text, size_t *bytes)
{
    ssize_t n = recv(fd, text, ANSWER_BYTES, 0);

    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -EPIPE;
    *bytes = (size_t)n;
    return n ? 0 : -EPIPE;
}

int telemetry_connect(const char *folder, const char *prefix, uint32_t wait_ms, int *fd)
{
    const struct timeval limit = {.tv_sec = ANSWER_S};
    char path[UNIX_PATH_BYTES], greeting[ANSWER_BYTES];
    size_t bytes;
    int n = snprintf(path, sizeof(path), "%s/dpdk/%s/dpdk_telemetry.v2", folder, prefix);
    int rc = n < (int)sizeof(path) ? 0 : -ENAMETOOLONG;

    if (!rc)
        rc = unix_connect(path, SOCK_SEQPACKET, wait_ms, fd);
    if (rc)
        return rc;
    if (setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
        rc = -errno;
    if (!rc)
        rc = answer_take(*fd, greeting, &bytes);
    if (rc) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int telemetry_stats(int fd, struct telemetry_stats *stats)
{
    char text[ANSWER_BYTES];
    size_t bytes;
    int rc;

    if (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) != sizeof(question) - 1)
        return -EPIPE;
    rc = answer_take(fd, text, &bytes);
    return rc ? rc : telemetry_stats_parse(text, bytes, stats);
}
