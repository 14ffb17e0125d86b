/* SPDX-License-Identifier: MIT */
/* The image: opening, checks that end in a message a person can act on, locking. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/blk_impl.h"
#include "util/mutant.h"

int blk_image_size(const struct blk_image *image, uint64_t *bytes)
{
    struct stat st;

    if (image->block_device)
        return ioctl(image->fd, BLKGETSIZE64, bytes) ? -errno : 0;
    if (fstat(image->fd, &st))
        return -errno;
    *bytes = (uint64_t)st.st_size;
    return 0;
}

/* An open file description lock goes with the last descriptor, so also after kill -9. */
static int image_lock(int fd, bool read_only)
{
    struct flock lock = {
        .l_type = read_only ? F_RDLCK : F_WRLCK,
        .l_whence = SEEK_SET,
    };

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    return errno == EACCES || errno == EAGAIN ? -EBUSY : -errno;
}

/* Requests address sectors of 512 bytes: storage that cannot do these directly is refused
 * rather than served by a read-modify-write that tears. */
static int probe_direct(int fd)
{
    void *mem;
    ssize_t n;
    int rc = 0;

    if (posix_memalign(&mem, 4096, 4096))
        return -ENOMEM;
    n = pread(fd, (char *)mem + BLK_DIRECT_ALIGN, BLK_SECTOR_BYTES, 0);
    if (n < 0)
        rc = -errno;
    free(mem);
    return rc;
}

static int image_check(struct blk *b, const struct blk_options *o, char *error, size_t error_bytes)
{
    uint64_t bytes = 0;
    struct stat st;
    int flags, rc;

    if (fstat(b->image.fd, &st))
        return -errno;
    b->image.block_device = S_ISBLK(st.st_mode);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        snprintf(error, error_bytes, "%s: neither a file nor a block device", o->path);
        return -EINVAL;
    }
    /* Root may write to a file that everybody declared read-only; a disk should not. */
    if (!o->read_only && S_ISREG(st.st_mode) && !(st.st_mode & 0222)) {
        snprintf(error, error_bytes,
                 "%s: the image is read-only (mode %03o) but the disk is not; use ro=1", o->path,
                 st.st_mode & 0777);
        return -EACCES;
    }
    /* O_NONBLOCK was for the open alone: the engine would take it as "fail instead of wait". */
    flags = fcntl(b->image.fd, F_GETFL);
    if (flags < 0 || fcntl(b->image.fd, F_SETFL, flags & ~O_NONBLOCK))
        return -errno;
    rc = image_lock(b->image.fd, o->read_only);
    if (rc) {
        snprintf(error, error_bytes, "%s: %s", o->path,
                 rc == -EBUSY ? "the image is in use by another process" : strerror(-rc));
        return rc;
    }
    rc = blk_image_size(&b->image, &bytes);
    if (rc)
        return rc;
    if (bytes == 0 || bytes % BLK_SECTOR_BYTES) {
        snprintf(error, error_bytes, "%s: a size of %llu bytes is no multiple of 512 above 0",
                 o->path, (unsigned long long)bytes);
        return -EINVAL;
    }
    b->capacity_sectors = bytes / BLK_SECTOR_BYTES;
    if (b->image.direct && (rc = probe_direct(b->image.fd))) {
        snprintf(error, error_bytes,
                 "%s: no direct access in units of 512 bytes (%s); leave "
                 "direct=1 out",
                 o->path, strerror(-rc));
        return rc;
    }
    return 0;
}

int blk_image_open(struct blk *b, const struct blk_options *o, char *error, size_t error_bytes)
{
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int rc;

    b->image.direct = o->direct;
    flags |= o->read_only && !MUTANT(blk_ro_write_ok) ? O_RDONLY : O_RDWR;
    if (o->direct)
        flags |= O_DIRECT;
    b->image.fd = open(o->path, flags);
    if (b->image.fd < 0) {
        rc = -errno;
        snprintf(error, error_bytes, "%s: %s%s", o->path, strerror(-rc),
                 !o->read_only && (rc == -EACCES || rc == -EROFS || rc == -EPERM)
                     ? " (the disk is writable; use ro=1 for a read-only image)"
                     : "");
        return rc;
    }
    if (error_bytes)
        error[0] = '\0';
    rc = image_check(b, o, error, error_bytes);
    if (rc) {
        if (error_bytes && !error[0])
            snprintf(error, error_bytes, "%s: %s", o->path, strerror(-rc));
        blk_image_close(b);
    }
    return rc;
}

void blk_image_close(struct blk *b)
{
    if (b->image.fd >= 0)
        close(b->image.fd);
    b->image.fd = -1;
}
