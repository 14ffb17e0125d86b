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

#define PACKED_FLAGS_SHIFT 48
#define PACKED_OWNER                                                                               \
    ((uint64_t)(VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED) << PACKED_FLAGS_SHIFT)

/* 2.8.1: the flags that make a descriptor available, or used, at a position with `wrap`. */
static inline uint16_t packed_flags_avail(bool wrap)
{
    return wrap ? VIRTQ_PACKED_DESC_F_AVAIL : VIRTQ_PACKED_DESC_F_USED;
}

static inline uint16_t packed_flags_used(bool wrap)
{
    return wrap ? VIRTQ_PACKED_DESC_F_AVAIL | VIRTQ_PACKED_DESC_F_USED : 0;
}

static inline struct virtq_packed_pos packed_pos_avail(unsigned at, bool wrap)
{
    return (struct virtq_packed_pos){at, (uint64_t)packed_flags_avail(wrap) << PACKED_FLAGS_SHIFT};
}

static inline struct virtq_packed_pos packed_pos_used(unsigned at, bool wrap)
{
    return (struct virtq_packed_pos){at, (uint64_t)packed_flags_used(wrap) << PACKED_FLAGS_SHIFT};
}

/* The ring wrap counter. */
static inline bool packed_pos_wrap(const struct virtq_packed_pos *pos)
{
    return (pos->owner >> PACKED_FLAGS_SHIFT & VIRTQ_PACKED_DESC_F_AVAIL) != 0;
}

/* Go on, by a lap at most. */
static inline void packed_pos_pass(struct virtq_packed_pos *pos, unsigned descs, unsigned size)
{
    unsigned at = pos->at + descs;

    if (__builtin_expect(at >= size, 0)) {
        at -= size;
        pos->owner ^= PACKED_OWNER;
    }
    pos->at = at;
}

/* Where it was so many descriptors before. */
static inline unsigned packed_at_before(unsigned at, unsigned descs, unsigned size)
{
    return at >= descs ? at - descs : at + size - descs;
}

static inline struct virtq_packed_pos packed_pos_before(const struct virtq_packed_pos *pos,
                                                        unsigned descs, unsigned size)
{
    return (struct virtq_packed_pos){packed_at_before(pos->at, descs, size),
                                     pos->at >= descs ? pos->owner : pos->owner ^ PACKED_OWNER};
}

/* The two fields of 2.8.14 that name a descriptor; also next_off and next_wrap of 2.9. */
static inline uint16_t packed_pos_event(struct virtq_packed_pos pos)
{
    return (uint16_t)(pos.at | (unsigned)packed_pos_wrap(&pos) << VIRTQ_PACKED_EVENT_WRAP_BIT);
}

/* ---- descriptors ---- */

static inline uint64_t packed_word(uint32_t len, uint16_t id, uint16_t flags)
{
    return len | (uint64_t)id << 32 | (uint64_t)flags << PACKED_FLAGS_SHIFT;
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
        .flags = (uint16_t)(word >> PACKED_FLAGS_SHIFT),
    };
}

/* A descriptor of the ring whose second word was loaded; its address is read after that. */
static inline struct ring_desc packed_desc_rest(const struct pvirtq_desc *d, uint64_t word)
{
    return packed_desc_make(__atomic_load_n(&d->addr.raw, __ATOMIC_RELAXED), word);
}

static inline struct ring_desc packed_desc_fetch(const struct pvirtq_desc *d)
{
    return packed_desc_rest(d, packed_word_load(d));
}

/* Is the descriptor, by its second word, what `pos` says of one there: available, or used? */
static inline bool packed_word_is(uint64_t word, const struct virtq_packed_pos *pos)
{
    return ((word ^ pos->owner) & PACKED_OWNER) == 0;
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
    if ((word >> VIRTQ_PACKED_EVENT_WRAP_BIT & 1) != packed_pos_wrap(&now) &&
        !MUTANT(packed_event_wrap_ignored))
        off = (uint16_t)(off - size);
    return virtq_need_event(off, (uint16_t)now.at, (uint16_t)(now.at - moved));
}

#endif
