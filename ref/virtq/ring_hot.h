/* SPDX-License-Identifier: MIT */
/*
 * Memory that both sides of a virtqueue touch, whatever its format. Private to ref/virtq.
 *
 * Everything that the peer can write is read once, into a local. A store that shows the peer
 * something releases what was written before it, and the peer's load acquires it (2.7.13.1.1,
 * 2.7.13.3.1, 2.8.21.1.1); a decision to notify or to sleep has a full barrier between the own
 * store and the peer's load (2.7.13.4.1, 2.8.21.3.1).
 */
#ifndef RP_VIRTQ_RING_HOT_H
#define RP_VIRTQ_RING_HOT_H

#include <string.h>

#include "util/types.h"

/*
 * What the peer wrote breaks a rule. The ring benchmark builds this folder a second time without
 * these checks, to measure what they cost (bench/ring); nothing else is built so.
 */
#ifdef RP_VIRTQ_UNCHECKED
#define ring_broken(condition) ((void)sizeof(condition), 0)
#else
#define ring_broken(condition) __builtin_expect(!!(condition), 0)
#endif

/* What runs per buffer becomes one function, so that what a step computed stays in registers for
 * the next. A load that joins values of several stores waits until all of them have reached the
 * cache; here that costs more than all checks together. */
#define RING_INLINE inline __attribute__((always_inline))
/* What is rare is a function apart, so that what is not needs no registers saved: each store waits
 * in turn behind the one that fetches the peer's cache line. */
#define RING_APART __attribute__((noinline))

/* Host integers of a descriptor, fetched. */
struct ring_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t link; /* split: next; packed: buffer id */
};

static inline uint16_t ring_load(const le16_t *p)
{
    return __atomic_load_n(&p->raw, __ATOMIC_RELAXED);
}

static inline uint16_t ring_load_acquire(const le16_t *p)
{
    return __atomic_load_n(&p->raw, __ATOMIC_ACQUIRE);
}

static inline void ring_store(le16_t *p, uint16_t v)
{
    __atomic_store_n(&p->raw, v, __ATOMIC_RELAXED);
}

static inline void ring_store_release(le16_t *p, uint16_t v)
{
    __atomic_store_n(&p->raw, v, __ATOMIC_RELEASE);
}

static inline void ring_full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * Copy a descriptor's two words out of shared memory. After the empty asm the compiler no longer
 * knows where they came from, so it cannot go back and read them again. Indirect tables need not
 * be aligned, hence memcpy.
 */
static inline void ring_words_fetch(uint64_t w[2], const void *p)
{
    memcpy(w, p, 2 * sizeof(*w));
    __asm__ volatile("" : "+r"(w[0]), "+r"(w[1]));
}

#endif
