/* SPDX-License-Identifier: MIT */
/* Where buffers may lie in memory: the same shapes for grants and for guest-physical addresses. */
#ifndef RP_CONFORMANCE_SHAPES_H
#define RP_CONFORMANCE_SHAPES_H

#include "conformance/blkdev.h"

/* Read and write through buffers that begin and end anywhere in a page. */
void shapes_offsets(struct check_ctx *t);
/* Buffers of 1 to 17 pages, touching one more when they do not begin at a page. */
void shapes_pages(struct check_ctx *t);
/* Two writable and two readable pieces of one request in one page each. */
void shapes_shared_page(struct check_ctx *t);
/* One page in 100 pieces of one request. */
void shapes_small_pieces(struct check_ctx *t);
/* Indirect tables at many places, over a page boundary too. */
void shapes_indirect(struct check_ctx *t);

#endif
