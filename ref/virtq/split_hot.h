/* SPDX-License-Identifier: MIT */
/*
 * Split virtqueues (VIRTIO 2.7): what runs per buffer, on either side. Private to ref/virtq.
 *
 * Everything that the peer can write is read here once, into a local. Index stores release what
 * was written before them and index loads acquire it (2.7.13.1.1, 2.7.13.3.1); a decision to
 * notify or to sleep has a full barrier between the own store and the peer's load (2.7.13.4.1).
 */
#ifndef RP_VIRTQ_SPLIT_HOT_H
#define RP_VIRTQ_SPLIT_HOT_H

#include <string.h>

#include "spec/virtq_split.h"
#include "virtq/virtq.h"

/* Host integers of a descriptor, fetched. */
struct split_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

static inline uint16_t split_load(const le16_t *p)
{
    return __atomic_load_n(&p->raw, __ATOMIC_RELAXED);
}

static inline uint16_t split_load_acquire(const le16_t *p)
{
    return __atomic_load_n(&p->raw, __ATOMIC_ACQUIRE);
}

static inline void split_store(le16_t *p, uint16_t v)
{
    __atomic_store_n(&p->raw, v, __ATOMIC_RELAXED);
}

static inline void split_store_release(le16_t *p, uint16_t v)
{
    __atomic_store_n(&p->raw, v, __ATOMIC_RELEASE);
}

static inline void split_full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/*
 * Copy a descriptor out of shared memory. After the empty asm the compiler no longer knows where
 * the two words came from, so it cannot go back and read them again. Indirect tables need not be
 * aligned, hence memcpy.
 */
static inline struct split_desc split_desc_fetch(const void *p)
{
    uint64_t w[2];

    memcpy(w, p, sizeof(w));
    __asm__ volatile("" : "+r"(w[0]), "+r"(w[1]));
    return (struct split_desc){
        .addr = w[0],
        .len = (uint32_t)w[1],
        .flags = (uint16_t)(w[1] >> 32),
        .next = (uint16_t)(w[1] >> 48),
    };
}

static inline struct virtq_used_elem split_used_fetch(const struct virtq_used_elem *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    __asm__ volatile("" : "+r"(w));
    return (struct virtq_used_elem){
        .id = le32_make((uint32_t)w),
        .len = le32_make((uint32_t)(w >> 32)),
    };
}

static inline struct virtq_desc *split_descs(const struct virtq_areas *a)
{
    return a->desc;
}

static inline struct virtq_avail *split_avail(const struct virtq_areas *a)
{
    return a->driver;
}

static inline struct virtq_used *split_used(const struct virtq_areas *a)
{
    return a->device;
}

/* 2.7.7, 2.7.10: the event fields behind the rings. */
static inline le16_t *split_used_event(const struct virtq_areas *a, unsigned size)
{
    return &split_avail(a)->ring[size];
}

static inline le16_t *split_avail_event(const struct virtq_areas *a, unsigned size)
{
    return (le16_t *)(void *)&split_used(a)->ring[size];
}

#endif
