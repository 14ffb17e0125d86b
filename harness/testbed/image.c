/* SPDX-License-Identifier: MIT */
#include "testbed/image.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK_SECTORS 2048u

static int fill(int fd, uint64_t bytes)
{
    const unsigned per_sector = IMAGE_SECTOR_BYTES / sizeof(uint64_t);
    uint64_t *block = malloc(BLOCK_SECTORS * IMAGE_SECTOR_BYTES);
    int ret = block ? 0 : -ENOMEM;

    for (uint64_t off = 0; !ret && off < bytes;) {
        for (unsigned i = 0; i < BLOCK_SECTORS * per_sector; i++)
            block[i] = htole64((off / IMAGE_SECTOR_BYTES + i / per_sector) ^ IMAGE_FILL_XOR);
        uint64_t want = bytes - off;
        if (want > BLOCK_SECTORS * IMAGE_SECTOR_BYTES)
            want = BLOCK_SECTORS * IMAGE_SECTOR_BYTES;
        ssize_t n = pwrite(fd, block, want, (off_t)off);
        if (n < 0 && errno != EINTR)
            ret = -errno;
        else if (n > 0)
            off += (uint64_t)n / IMAGE_SECTOR_BYTES * IMAGE_SECTOR_BYTES;
        if (n >= 0 && n < (ssize_t)IMAGE_SECTOR_BYTES)
            ret = -ENOSPC;
    }
    free(block);
    return ret;
}

int image_create(const char *path, uint64_t bytes, bool filled)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int ret = 0;

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)bytes))
        ret = -errno;
    if (!ret && filled)
        ret = fill(fd, bytes);
    close(fd);
    if (ret)
        unlink(path);
    return ret;
}
