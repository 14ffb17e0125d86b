/* SPDX-License-Identifier: MIT */
/*
 * A block driver (VIRTIO 5.2) for tests and for benchmarks.
 *
 * Requests are submitted with a token and reaped in batches; each queue belongs to one thread at
 * a time and has its own vCPU and interrupt. Data is either in memory that the backend reaches
 * for long (fe_dma_alloc: `addr` is given with the request) or mapped for the one request
 * (`addr.raw` is 0: the driver grants the pages of `va` and revokes them at completion).
 *
 * A backend may die and come back. fe_blk_reinit then finds the device again, negotiates the
 * same features and sets the queues up; requests that were outstanding come out of fe_blk_reap
 * as -ESTALE, and the caller submits them again (the device executed them once, in part or
 * not at all, so they have to be idempotent: reads and writes are).
 *
 * The device is not trusted: ids and lengths in the used ring are checked; one that breaks the
 * rules makes the queue fail with -EPROTO until reinit.
 */
#ifndef RP_FRONTEND_BLK_H
#define RP_FRONTEND_BLK_H

#include "frontend/memory.h"
#include "frontend/virtio.h"

#define FE_BLK_QUEUES_MAX   64
#define FE_BLK_SECTOR_BYTES 512u
#define FE_BLK_ID_BYTES     20u

/* Request types, as on the wire (5.2.6). */
enum fe_blk_type {
    FE_BLK_IN = 0,
    FE_BLK_OUT = 1,
    FE_BLK_FLUSH = 4,
    FE_BLK_GET_ID = 8,
    FE_BLK_DISCARD = 11,
    FE_BLK_WRITE_ZEROES = 13,
};

struct fe_blk;

struct fe_blk_config {
    struct fe_memory *memory; /* borrowed */
    unsigned queues;          /* wanted; the device's number limits it. 0: as many as there are */
    unsigned queue_size;      /* descriptors wanted, a power of two; 0: the device's maximum */
    /* Interrupts for waiting; without, only polling works. */
    bool interrupts;
    unsigned vcpu_first;    /* queue n is on vCPU (vcpu_first + n) modulo their number */
    uint64_t features_need; /* feature bits that the device has to offer; RING_PACKED is asked for
                               in no other way */
    uint64_t features_off;  /* feature bits not to be negotiated */
    uint64_t timeout_ns;    /* of reset and of the synchronous calls; 0: 10 s */
};

struct fe_blk_info {
    uint64_t capacity_sectors;
    uint64_t features; /* negotiated */
    uint32_t block_bytes, size_max_bytes, seg_max;
    uint32_t discard_sectors_max, discard_segments_max;
    uint32_t write_zeroes_sectors_max, write_zeroes_segments_max;
    unsigned queues, queue_size;
    unsigned depth; /* requests that fit a queue at once */
    bool readonly, flush, discard, write_zeroes;
};

/*
 * Reset, negotiate and start the device behind `v` (borrowed). -ENODEV: no block device; -ENOTSUP:
 * a feature that is needed is not offered;
 * -EPROTO: configuration that cannot be; other errors as in virtio.h and memory.h.
 */
int fe_blk_create(struct fe_virtio *v, const struct fe_blk_config *cfg, struct fe_blk **out);

/* Stop the device and free all. -EBUSY: it was reset and memory is still mapped by the backend;
 * all is freed but that. NULL is allowed. */
int fe_blk_destroy(struct fe_blk *b);

const struct fe_blk_info *fe_blk_get_info(const struct fe_blk *b);

struct fe_blk_io {
    enum fe_blk_type type;
    uint64_t sector;
    void *va;       /* data; pages of fe_pages_alloc or a fe_dma buffer */
    uint32_t bytes; /* 0 for FLUSH */
    gpa_t addr;     /* how the backend reaches va; raw == 0: map it for this request */
    void *token;
};

struct fe_blk_done {
    void *token;
    int result; /* 0; -EIO, -ENOTSUP as the device said; -EPROTO; -ESTALE; -EBUSY: see below */
    uint32_t used_bytes;
};

/*
 * Put a request into the ring; the device is told by fe_blk_kick. -EAGAIN: the queue is full;
 * -EINVAL: does not fit the device; -EPROTO: the queue failed; mapping errors.
 */
int fe_blk_submit(struct fe_blk *b, unsigned queue, const struct fe_blk_io *io);
int fe_blk_kick(struct fe_blk *b, unsigned queue);

/*
 * Take completions out, at most `max`. Returns their number or -EPROTO. A mapped request whose
 * pages the backend still holds is completed with -EBUSY: the data may still change.
 */
int fe_blk_reap(struct fe_blk *b, unsigned queue, struct fe_blk_done *done, unsigned max);

/* Wait for an interrupt, or poll without them, until something can be reaped: 1 yes, 0 timeout. */
int fe_blk_wait(struct fe_blk *b, unsigned queue, uint64_t timeout_ns);

unsigned fe_blk_outstanding(const struct fe_blk *b, unsigned queue);

/* 0, -ENODEV (gone or replaced: reinit), -EIO (asks for a reset: reinit). */
int fe_blk_check(struct fe_blk *b);

/*
 * After the backend was replaced or asked for a reset. No other thread may be inside b. -ENODEV:
 * the device is not there yet, call again later; -ENOTSUP: it no longer offers what was
 * negotiated; -EIO: capacity shrank.
 */
int fe_blk_reinit(struct fe_blk *b);

/* One request, waited for. Returns its result. */
int fe_blk_io_sync(struct fe_blk *b, unsigned queue, const struct fe_blk_io *io);
int fe_blk_read(struct fe_blk *b, uint64_t sector, void *va, uint32_t bytes);
int fe_blk_write(struct fe_blk *b, uint64_t sector, void *va, uint32_t bytes);
int fe_blk_flush(struct fe_blk *b);
int fe_blk_get_id(struct fe_blk *b, char id[FE_BLK_ID_BYTES + 1]);
/* One range; `unmap` is a write zeroes flag. */
int fe_blk_discard(struct fe_blk *b, uint64_t sector, uint32_t sectors);
int fe_blk_write_zeroes(struct fe_blk *b, uint64_t sector, uint32_t sectors, bool unmap);

#endif
