/* SPDX-License-Identifier: MIT */
#include "machine/frame.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FRAME_MAGIC 0xa7u

void *frame_reader_space(struct frame_reader *r, size_t *bytes)
{
    if (r->start) {
        memmove(r->buf, r->buf + r->start, r->used);
        r->start = 0;
    }
    *bytes = sizeof(r->buf) - r->used;
    return r->buf + r->used;
}

void frame_reader_fed(struct frame_reader *r, size_t bytes)
{
    r->used += (uint32_t)bytes;
}

int frame_next(struct frame_reader *r, struct frame *f)
{
    const uint8_t *h = r->buf + r->start;
    uint32_t bytes;

    if (r->used < FRAME_HEADER_BYTES)
        return 0;
    bytes = h[2] | (uint32_t)h[3] << 8;
    if (h[0] != FRAME_MAGIC || h[1] < FRAME_SPAWN || h[1] > FRAME_FAILED || bytes > FRAME_BYTES_MAX)
        return -EPROTO;
    if (r->used < FRAME_HEADER_BYTES + bytes)
        return 0;
    *f = (struct frame){
        .type = (enum frame_type)h[1],
        .channel = h[4] | (uint32_t)h[5] << 8 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 24,
        .payload = h + FRAME_HEADER_BYTES,
        .bytes = bytes,
    };
    r->start += FRAME_HEADER_BYTES + bytes;
    r->used -= FRAME_HEADER_BYTES + bytes;
    return 1;
}

void frame_header(uint8_t h[FRAME_HEADER_BYTES], enum frame_type type, uint32_t channel,
                  uint32_t bytes)
{
    h[0] = FRAME_MAGIC;
    h[1] = (uint8_t)type;
    h[2] = (uint8_t)bytes;
    h[3] = (uint8_t)(bytes >> 8);
    for (unsigned i = 0; i < 4; i++)
        h[4 + i] = (uint8_t)(channel >> 8 * i);
}

static int write_whole(int fd, struct iovec *iov, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, iov, count);

        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};

            poll(&p, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        while (count > 0 && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int frame_write(int fd, enum frame_type type, uint32_t channel, const void *payload, size_t bytes)
{
    const uint8_t *at = payload;
    int rc;

    do {
        uint32_t part = bytes < FRAME_BYTES_MAX ? (uint32_t)bytes : FRAME_BYTES_MAX;
        uint8_t h[FRAME_HEADER_BYTES];
        struct iovec iov[2] = {{.iov_base = h, .iov_len = sizeof(h)},
                               {.iov_base = (void *)at, .iov_len = part}};

        frame_header(h, type, channel, part);
        rc = write_whole(fd, iov, part ? 2 : 1);
        at += part;
        bytes -= part;
    } while (!rc && bytes);
    return rc;
}
