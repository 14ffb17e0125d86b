/* SPDX-License-Identifier: MIT */
/*
 * Packed virtqueues (VIRTIO 2.8): what runs per buffer, on either side. Private to ref/virtq.
 *
 * Length, id and flags of a descriptor are its second word, aligned to 8: it is loaded and stored
 * whole, so that flags which say "yours" always come with the id and the length that belong to
 * them. Of a batch the first descriptor's word is stored last, with release: the peer polls that
 * one alone and sees all of the batch or nothing (2.8.6, 2.8.21.1).
 */
#ifndef RP_VIRTQ_PACKED_HOT_H
#define RP_VIRTQ_PACKED_HOT_H

#include <stdlib.h>

#include "spec/virtq_packed.h"
#include "util/mutant.h"
#include "virtq/ring_hot.h"
#include "virtq/virtq.h"

static inline struct pvirtq_desc *packed_ring(const struct virtq_areas *a)
{
    return a->desc;
}

static inline struct pvirtq_event_suppress *packed_driver_event(const struct virtq_areas *a)
{
    return a->driver;
}

static inline struct pvirtq_event_suppress *packed_device_event(const struct virtq_areas *a)
{
    return a->device;
}

/* ---- positions ---- */

#define PACKED_POS_WRAP (1u << VIRTQ_PACKED_EVENT_WRAP_BIT)

static inline struct virtq_packed_pos packed_pos_make(unsigned at, bool wrap)
{
    return (struct virtq_packed_pos){(uint16_t)(at | (wrap ? PACKED_POS_WRAP : 0))};
}

static inline uint16_t packed_pos_at(struct virtq_packed_pos pos)
{
    return pos.word & (PACKED_POS_WRAP - 1);
}

static inline bool packed_pos_wrap(struct virtq_packed_pos pos)
{
    return (pos.word & PACKED_POS_WRAP) != 0;
}

/* At most one lap further. */
static inline struct virtq_packed_pos packed_pos_add(struct virtq_packed_pos pos, unsigned descs,
                                                     unsigned size)
{
    unsigned at = packed_pos_at(pos) + descs;

    if (at >= size)
        return packed_pos_make(at - size, !packed_pos_wrap(pos));
    return packed_pos_make(at, packed_pos_wrap(pos));
}

/* The two fields of 2.8.14 that name a descriptor; also next_off and next_wrap of 2.9. */
static inline uint16_t packed_pos_event(struct virtq_packed_pos pos)
{
    return pos.word;
}

/* ---- descriptors ---- */

static inline uint64_t packed_word(uint32_t len, uint16_t id, uint16_t flags)
{
    return len | (uint64_t)id << 32 | (uint64_t)flags << 48;
}

static inline uint64_t packed_word_load(const struct pvirtq_desc *d)
{
    return __atomic_load_n((const uint64_t *)(const void *)&d->len, __ATOMIC_ACQUIRE);
}

static inline void packed_word_store(struct pvirtq_desc *d, uint64_t word)
{
    __atomic_store_n((uint64_t *)(void *)&d->len, word, __ATOMIC_RELAXED);
}

static inline void packed_word_release(struct pvirtq_desc *d, uint64_t word)
{
    __atomic_store_n((uint64_t *)(void *)&d->len, word, __ATOMIC_RELEASE);
}

static inline struct ring_desc packed_desc_make(uint64_t addr, uint64_t word)
{
    return (struct ring_desc){
        .addr = addr,
        .len = (uint32_t)word,
        .link = (uint16_t)(word >> 32),
        .flags = (uint16_t)(word >> 48),
    };
}

/* A descriptor of the ring; its address is read after its flags. */
static inline struct ring_desc packed_desc_fetch(const struct pvirtq_desc *d)
{
    uint64_t word = packed_word_load(d);

    return packed_desc_make(__atomic_load_n(&d->addr.raw, __ATOMIC_RELAXED), word);
}

/* 2.8.1: the flags that make a descriptor available, or used, at a position with `wrap`. */
static inline uint16_t packed_flags_avail(bool wrap)
{
    return wrap ? VIRTQ_PACKED_DESC_F_AVAIL : VIRTQ_PACKED_DESC_F_USED;
}

static inline uint16_t packed_flags_used(bool wrap)
{
    return wrap ? VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED : 0;
}

#define PACKED_FLAGS_OWNER (VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED)

static inline bool packed_is_avail(uint16_t flags, bool wrap)
{
    return (flags & PACKED_FLAGS_OWNER) == packed_flags_avail(wrap);
}

static inline bool packed_is_used(uint16_t flags, bool wrap)
{
    return (flags & PACKED_FLAGS_OWNER) == packed_flags_used(wrap);
}

/* ---- event suppression (2.8.10) ---- */

static inline void packed_event_store(struct pvirtq_event_suppress *e, uint16_t desc,
                                      uint16_t flags)
{
    __atomic_store_n((uint32_t *)(void *)e, desc | (uint32_t)flags << 16, __ATOMIC_RELAXED);
}

static inline uint32_t packed_event_load(const struct pvirtq_event_suppress *e)
{
    return __atomic_load_n((const uint32_t *)(const void *)e, __ATOMIC_RELAXED);
}

/*
 * Does the peer, who wrote `e`, want to hear that the last `moved` descriptors before `now` were
 * made available (or used)? A reserved value of flags, and a descriptor named without EVENT_IDX,
 * count as "yes": a notification too many does no harm.
 */
static inline bool packed_event_wanted(const struct pvirtq_event_suppress *e, bool event_idx,
                                       unsigned size, struct virtq_packed_pos now, unsigned moved)
{
    uint32_t word = packed_event_load(e);
    unsigned flags = word >> 16 & VIRTQ_PACKED_EVENT_MASK;
    uint16_t off = word & ((1u << VIRTQ_PACKED_EVENT_WRAP_BIT) - 1);

    if (flags == VIRTQ_PACKED_EVENT_DISABLE)
        return false;
    if (flags != VIRTQ_PACKED_EVENT_DESC || !event_idx)
        return true;
    if (MUTANT(packed_event_asserted) && off >= size)
        abort();
    /* Counted from the start of the lap that `now` is in. */
    if ((word >> VIRTQ_PACKED_EVENT_WRAP_BIT & 1) != packed_pos_wrap(now) &&
        !MUTANT(packed_event_wrap_ignored))
        off = (uint16_t)(off - size);
    return virtq_need_event(off, packed_pos_at(now), (uint16_t)(packed_pos_at(now) - moved));
}

#endif
