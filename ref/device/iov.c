/* SPDX-License-Identifier: MIT */
/* Byte-wise access to scattered buffers: a driver may split a request anywhere (2.7.4). */
#include <string.h>

#include "device/vdev_impl.h"

unsigned vdev_iov_slice(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t bytes,
                        struct iovec *to, unsigned max, uint64_t *got)
{
    unsigned used = 0;

    *got = 0;
    for (unsigned i = 0; i < count && used < max && *got < bytes; i++) {
        size_t len = iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len -= (size_t)skip;
        if (len > bytes - *got)
            len = (size_t)(bytes - *got);
        to[used++] = (struct iovec){(char *)iov[i].iov_base + skip, len};
        *got += len;
        skip = 0;
    }
    return used;
}

enum direction { FROM_IOV, TO_IOV, FILL };

static uint64_t walk(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t bytes,
                     enum direction how, unsigned char *host, uint8_t fill)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < count && done < bytes; i++) {
        size_t len = iov[i].iov_len;
        unsigned char *at;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        at = (unsigned char *)iov[i].iov_base + skip;
        len -= (size_t)skip;
        if (len > bytes - done)
            len = (size_t)(bytes - done);
        if (how == FROM_IOV)
            memcpy(host + done, at, len);
        else if (how == TO_IOV)
            memcpy(at, host + done, len);
        else
            memset(at, fill, len);
        done += len;
        skip = 0;
    }
    return done;
}

uint64_t vdev_iov_read(const struct iovec *iov, unsigned count, uint64_t skip, void *to,
                       uint64_t bytes)
{
    return walk(iov, count, skip, bytes, FROM_IOV, to, 0);
}

uint64_t vdev_iov_write(const struct iovec *iov, unsigned count, uint64_t skip, const void *from,
                        uint64_t bytes)
{
    return walk(iov, count, skip, bytes, TO_IOV, (unsigned char *)from, 0);
}

uint64_t vdev_iov_fill(const struct iovec *iov, unsigned count, uint64_t skip, uint8_t value,
                       uint64_t bytes)
{
    return walk(iov, count, skip, bytes, FILL, NULL, value);
}
