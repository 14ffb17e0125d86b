/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk (VIRTIO 5.2), device side.
 *
 * Its store is a *file or block device*, through io_uring: requests of one batch are submitted
 * with one system call, completions arrive by an eventfd in the event loop. Or it is none, of a
 * given size, for measuring everything but a disk (enum blk_store).
 *
 * Durability (5.2.6.2). While the cache is in write-back mode a completed FLUSH means that every
 * write completed before the FLUSH was submitted is on stable storage. In write-through mode
 * (FLUSH not negotiated, or the driver cleared `writeback` under CONFIG_WCE) each write is stable
 * when it completes.
 *
 * An image is locked while a device uses it (an open file description lock: exclusive for a
 * writable device, shared for a read-only one), so that two backends cannot write one image.
 */
#ifndef RP_DEVICE_BLK_H
#define RP_DEVICE_BLK_H

#include "device/vdev.h"

#define BLK_SERIAL_BYTES 20
#define BLK_SECTOR_BYTES 512u

extern const struct vdev_type blk_type;

/* Without an image. */
enum blk_store {
    BLK_STORE_NULL,      /* reads fill with zeroes, writes are dropped */
    BLK_STORE_UNTOUCHED, /* no data is moved: what the driver reads is what was in its buffer, and
                            the used length of it is 0 */
    BLK_STORE_MEMORY,    /* of this process, which it ends with */
};

struct blk_options {
    const char *path;     /* file or block device; NULL: `store` */
    enum blk_store store; /* zones are not for BLK_STORE_MEMORY */
    uint64_t null_bytes;  /* size of the store without an image, a multiple of 512 */
    bool read_only;
    bool direct;                   /* O_DIRECT; unaligned requests go through a bounce buffer */
    unsigned queues;               /* 0: 1 */
    unsigned queue_size_max;       /* a power of two; 0: the limit in vdev_config */
    const char *serial;            /* up to 20 bytes (a 20 byte one has no NUL); NULL: empty */
    uint32_t block_bytes;          /* logical block size, a power of two, 512 to 64 KiB; 0: 512 */
    uint32_t physical_block_bytes; /* for TOPOLOGY; 0: block_bytes, at least 4096 for a file */
    uint32_t seg_max;              /* data segments of one request; 0: 126 */
    uint32_t size_max;             /* bytes of one segment; 0: 1 MiB */
    uint32_t inflight_max;         /* requests at the store at once; 0: 256 */
    /* A zoned disk (device/blk_zones.h) when not 0: a multiple of 512 that the size is one of. */
    uint32_t zone_bytes;
    uint32_t zone_append_bytes; /* of one append at most; 0: none are taken */
    uint64_t features_off;      /* device feature bits not to offer */
    const char *hold; /* while this file is there requests wait (device/blk_hold.h); NULL: none */
    bool lifetime;    /* answer GET_LIFETIME, as new storage would */
};

/*
 * Create a device; *out is released with vdev_destroy. On an error `error` (of error_bytes, may
 * be NULL with 0) holds one line for the user:
 *   -EINVAL  an option out of range, an image whose size is no multiple of 512, not a file or
 *            block device
 *   -ENOENT, -EACCES, -EROFS, ...  as open(2) said; -EROFS or -EACCES also for a read-only image
 *            of a writable disk
 *   -EBUSY   the image is in use by another process
 *   -ENOMEM, -EMFILE, -ENOSYS (no io_uring)
 */
int blk_create(const struct vdev_config *config, const struct blk_options *options,
               struct vdev **out, char *error, size_t error_bytes);

/* The image grew or shrank (a multiple of 512): take the new capacity over and tell the driver.
 * `null_bytes` is for a store without one, not for BLK_STORE_MEMORY: -EINVAL. 0 or -errno. */
int blk_resize(struct vdev *d, uint64_t null_bytes);

/* What the device did, for a test or a report. */
struct blk_stats {
    uint64_t reads, writes, flushes, discards, zeroes, ids, unsupported, errors;
    uint64_t read_bytes, written_bytes;
};
void blk_get_stats(const struct vdev *d, struct blk_stats *stats);

#endif
