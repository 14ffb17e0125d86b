/* SPDX-License-Identifier: MIT */
/*
 * Small integer helpers: powers of two, alignment, sums that may not wrap.
 */
#ifndef RP_UTIL_BITS_H
#define RP_UTIL_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BIT64(n)        (1ull << (n))
#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline bool is_pow2(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/* `align` is a power of two. align_up wraps to 0 past the last multiple. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline bool is_aligned(uint64_t v, uint64_t align)
{
    return (v & (align - 1)) == 0;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* True when base + bytes passes the end of the 64-bit space; ending exactly there is no wrap. */
static inline bool range_wraps(uint64_t base, uint64_t bytes)
{
    return bytes != 0 && base + (bytes - 1) < base;
}

/* True when [off, off + bytes) lies within [0, size). An empty range may begin at `size`. */
static inline bool range_within(uint64_t off, uint64_t bytes, uint64_t size)
{
    return off <= size && bytes <= size - off;
}

/* True when the two non-empty, non-wrapping ranges share a byte. */
static inline bool ranges_overlap(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a <= b + (b_bytes - 1) && b <= a + (a_bytes - 1);
}

/* Xen pages that `bytes` bytes touch when they begin at `offset` in a page (offset < 4096). */
static inline uint64_t xen_pages_spanned(uint32_t offset, uint64_t bytes)
{
    return bytes == 0 ? 0 : (offset + (bytes - 1)) / 4096 + 1;
}

#endif
