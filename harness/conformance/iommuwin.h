/* SPDX-License-Identifier: MIT */
/*
 * Memory that a check maps for a device behind an IOMMU by hand, where it likes and for as long as
 * it likes: a window. What a check's buffers and rings are mapped to is not touched.
 */
#ifndef RP_CONFORMANCE_IOMMUWIN_H
#define RP_CONFORMANCE_IOMMUWIN_H

#include "conformance/behind.h"
#include "conformance/blkdev.h"

/* Of the driver: no device writes it. */
#define WINDOW_OWN 0x42

struct window {
    struct device *d;
    struct fe_dma mem; /* granted for both directions, or frames in a row */
    uint64_t iova;
    uint64_t bytes;
    bool mapped;
};

/* `pages` pages, not mapped yet, at the n-th place of those that only windows have. */
struct window *given_window(struct device *d, unsigned n, unsigned pages);
/* The same places: windows of the same n lie behind each other, `page` pages from its beginning. */
struct window *given_window_at(struct device *d, unsigned n, unsigned page, unsigned pages);
/* Requests that have to succeed. */
void window_map(struct window *w, enum fe_dma_dir dir);
void window_unmap(struct window *w);
void window_own(struct window *w);
bool window_is_own(const struct window *w);
/* Pages of it that the backend maps; with guest-physical addresses nobody can tell: 0. */
unsigned window_in_use(struct window *w);
struct piece window_piece(const struct window *w, uint32_t offset, uint32_t len, bool writable);

/*
 * One request of a disk with this piece. Judged: it was not carried out, in any defined way, and
 * the disk recovers. The fault is reported for the endpoint and within the piece (SHOULD), for
 * `reason`.
 */
void expect_refused(struct blk *k, bool read, struct piece p, uint8_t reason, const char *what);
/* Reports of faults that nobody has asked for yet are none of this check's. */
void faults_drain(struct device *d);

#endif
