/* SPDX-License-Identifier: MIT */
/*
 * Inside the block device: requests (blk.c), the image file (blk_image.c) and how work gets to it
 * (blk_engine.c). Not for others.
 *
 *   blk.c         parses a request, answers what needs no store, finishes requests
 *   blk_engine.c  takes a parsed request through the I/O steps that it consists of
 *
 * A request with I/O is a sequence of steps: reads or writes until all bytes are there, or one
 * fallocate a segment (or writes of zeroes where the file system has no such call), then, in
 * write-through mode, a sync. One step of a request is in flight at a time.
 */
#ifndef RP_DEVICE_BLK_IMPL_H
#define RP_DEVICE_BLK_IMPL_H

#include <liburing.h>

#include "device/blk.h"
#include "device/blk_hold.h"
#include "device/blk_zones.h"
#include "device/vdev_impl.h"
#include "spec/virtio_blk.h"

#define BLK_SEGS_MAX     32u
#define BLK_DISCARD_MAX  (1u << 22) /* sectors of one segment: 2 GiB */
#define BLK_ZEROES_MAX   (1u << 16) /* 32 MiB: may have to be written out */
#define BLK_BOUNCE_BYTES (256u * 1024)
#define BLK_ZERO_BYTES   (64u * 1024)
#define BLK_DIRECT_ALIGN 512u
#define BLK_QUEUE_ANY    UINT32_MAX
#define BLK_INFLIGHT_MAX 4096u

enum blk_step {
    BLK_STEP_READ,
    BLK_STEP_WRITE,
    BLK_STEP_DEALLOCATE, /* discard, or write zeroes with unmap */
    BLK_STEP_ZERO,       /* write zeroes by the file system */
    BLK_STEP_ZERO_WRITE, /* ... by hand */
    BLK_STEP_SYNC,
};

/* Resources of a request whose step is in flight. */
struct blk_io {
    struct iovec *iov; /* iov_max of the device */
    void *bounce;      /* BLK_BOUNCE_BYTES once it was needed, direct mode only */
    struct blk_io *next;
};

struct blk_segment {
    uint64_t offset_bytes, bytes;
};

/* The device's part of a vdev_request: vdev_request.user. */
struct blk_request {
    struct vdev_request *r;
    uint32_t type;
    enum blk_step step;
    uint64_t offset_bytes; /* in the image */
    uint64_t total_bytes, done_bytes;
    uint64_t skip_bytes;  /* of the request's iovecs before the data */
    uint64_t valid_bytes; /* of the writable data, written by us */
    uint64_t tail_bytes;  /* of the writable data, in front of the status, that are no data */
    bool sync_after;      /* write-through */
    bool untouched;       /* the writable data is as the driver left it */
    bool unmap;
    bool bounced;
    struct blk_io *io;
    struct blk_request *next, *prev; /* waiting, or in flight */
    struct blk_segment segs[BLK_SEGS_MAX];
    unsigned seg_count, seg_next, retries;
};

struct blk_list {
    struct blk_request *first, *last;
};

struct blk {
    struct vdev vdev; /* first: the core hands us this */

    struct blk_image {
        int fd; /* -1: there is none */
        bool block_device;
        bool direct;
    } image;
    enum blk_store store;  /* without an image */
    unsigned char *memory; /* of BLK_STORE_MEMORY: capacity_sectors of it */
    uint64_t capacity_sectors;
    bool read_only;
    unsigned queues, queue_size_max;
    uint32_t block_bytes, physical_block_bytes, seg_max, size_max;
    uint64_t features;
    struct blk_zones *zones;       /* NULL: it has none */
    char serial[BLK_SERIAL_BYTES]; /* padded with NULs, not terminated when full */
    bool writeback;
    struct blk_stats stats;

    /* The engine. */
    bool has_ring; /* else each step is a system call of its own */
    struct io_uring ring;
    int event_fd;
    struct evloop_fd ring_watch;
    struct evloop_timer submit_timer;
    unsigned inflight_max, iov_count;
    struct blk_io *ios, *io_free;
    struct iovec *iovs;
    struct blk_list waiting, inflight;
    struct blk_hold *hold; /* of what waits; NULL: nobody can */
    unsigned unsubmitted;
    bool draining;
    unsigned drained_queue; /* or BLK_QUEUE_ANY */
    unsigned char *zeroes;  /* BLK_ZERO_BYTES of them */
#ifdef RP_MUTANTS
    struct {
        void *data;
        uint64_t bytes, offset_bytes;
    } kept; /* of blk_write_kept_back */
#endif
};

/* ---- blk_image.c ---- */

/* Open, check and lock. On an error `error` says why in one line. */
int blk_image_open(struct blk *b, const struct blk_options *o, char *error, size_t error_bytes);
void blk_image_close(struct blk *b);
int blk_image_size(const struct blk_image *image, uint64_t *bytes);

/* ---- blk_engine.c ---- */

int blk_engine_init(struct blk *b, unsigned inflight_max, char *error, size_t error_bytes);
void blk_engine_fini(struct blk *b);
/* What waits need not wait any more. */
void blk_engine_go_on(struct blk *b);
/* Take a parsed request; blk_request_finish is called for it, from here or later. */
void blk_engine_start(struct blk *b, struct blk_request *q);
/* Hand what was gathered to the kernel. */
void blk_engine_submit(struct blk *b);
/* Finish or cancel every request of a queue, or of all; returns when none is left. */
void blk_engine_drain(struct blk *b, unsigned queue);

/* ---- blk.c ---- */

/* Answer a request: fill what was not written, set the status, complete. */
void blk_request_finish(struct blk *b, struct blk_request *q, uint8_t status);

#endif
