/* SPDX-License-Identifier: MIT */
/* Split virtqueues (VIRTIO 2.7): what runs per buffer, on either side. Private to ref/virtq. */
#ifndef RP_VIRTQ_SPLIT_HOT_H
#define RP_VIRTQ_SPLIT_HOT_H

#include "spec/virtq_split.h"
#include "virtq/ring_hot.h"
#include "virtq/virtq.h"

static inline struct ring_desc split_desc_fetch(const void *p)
{
    uint64_t w[2];

    ring_words_fetch(w, p);
    return (struct ring_desc){
        .addr = w[0],
        .len = (uint32_t)w[1],
        .flags = (uint16_t)(w[1] >> 32),
        .link = (uint16_t)(w[1] >> 48),
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

/* As one word. */
static inline void split_used_put(struct virtq_used_elem *p, uint32_t id, uint32_t len_bytes)
{
    uint64_t w = id | (uint64_t)len_bytes << 32;

    memcpy(p, &w, sizeof(w));
}

/* As two words: an indirect table need not be aligned. */
static inline void split_desc_put(void *p, uint64_t addr, uint32_t len_bytes, uint16_t flags,
                                  uint16_t next)
{
    uint64_t w[2] = {addr, len_bytes | (uint64_t)flags << 32 | (uint64_t)next << 48};

    memcpy(p, w, sizeof(w));
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
