/* SPDX-License-Identifier: MIT */
/*
 * Block requests made by hand, for every check that has to move data: the rules of rings and of
 * grants are proved with these, too.
 */
#ifndef RP_CONFORMANCE_BLKDEV_H
#define RP_CONFORMANCE_BLKDEV_H

#include "conformance/ring.h"
#include "spec/virtio.h"
#include "spec/virtio_blk.h"

#define SECTOR 512u

struct blk {
    struct device *d;
    struct ring *q;
    uint64_t capacity; /* sectors */
    uint32_t seg_max, size_max;
    /* Header and status of the request in hand; granted anew for each one. */
    struct buffer *header, *status;
};

/* A running block device with one queue of `size` (0: maximum) and these features. */
struct blk *given_blk(struct check_ctx *t, uint64_t features, unsigned size);
/* The same of an open disk that is not the bound one. */
struct blk *given_blk_of(struct device *d, uint64_t features, unsigned size);
/* Start over in the course of a check: reset, negotiate, new queue, DRIVER_OK. */
void blk_restart(struct blk *k, uint64_t features, unsigned size);

struct blk_reply {
    uint8_t status;
    uint32_t used_len;
};

/*
 * One request with its header and status in descriptors of their own. `data` may be empty.
 * Expects: the used entry, its id, the status written, nothing around header and status
 * written, and that the backend let go of both.
 */
struct blk_reply blk_request(struct blk *k, uint32_t type, uint64_t sector,
                             const struct piece *data, unsigned n);
/* The same on another queue, and with an indirect table when `indirect`. */
struct blk_reply blk_request_on(struct blk *k, struct ring *q, bool indirect, uint32_t type,
                                uint64_t sector, const struct piece *data, unsigned n);

/* Put the header and an unwritten status into place and map them. */
void blk_prepare(struct blk *k, uint32_t type, uint64_t sector);
/* After the used entry: canaries, status, release. */
uint8_t blk_finish(struct blk *k);

/* Whole-sector transfers that have to succeed, through buffers of their own. */
void blk_write_pattern(struct blk *k, uint64_t sector, uint32_t sectors, uint32_t seed);
void expect_pattern(struct blk *k, uint64_t sector, uint32_t sectors, uint32_t seed,
                    const char *what);
void expect_zeroes(struct blk *k, uint64_t sector, uint32_t sectors, const char *what);

/* After provocation: a reset ends it, and a read then works. */
void expect_recovers(struct blk *k, const char *after);

#endif
