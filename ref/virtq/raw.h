/* SPDX-License-Identifier: MIT */
/*
 * Raw access to the areas of a virtqueue, for conformance checks: every field can be read and
 * written, legal or not, on the side of the driver as well as of the device. No state, no
 * checks but that a slot is within the area: an index at or past the size is a bug of the caller
 * and asserted.
 *
 * Stores to an index are release stores and loads are acquire loads, so that a malformed ring is
 * at least a *consistently* malformed one. A raw user that also uses virtq_drv on the same areas
 * must know what the other does; virtq_raw_of_drv gives it the same areas.
 */
#ifndef RP_VIRTQ_RAW_H
#define RP_VIRTQ_RAW_H

#include "virtq/drv.h"
#include "virtq/virtq.h"

struct virtq_raw {
    enum virtq_format format;
    unsigned size;
    struct virtq_areas areas; /* borrowed */
};

/* A split descriptor in host integers. */
struct virtq_raw_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags; /* VIRTQ_DESC_F_*, spec/virtq_split.h */
    uint16_t next;
};

/* A packed one. */
struct virtq_raw_pdesc {
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    uint16_t flags; /* VIRTQ_DESC_F_* and VIRTQ_PACKED_DESC_F_*, spec/virtq_packed.h */
};

/* Event suppression of a packed queue (2.8.14). */
struct virtq_raw_event {
    uint16_t desc;  /* offset, and the wrap counter in bit 15 */
    uint16_t flags; /* VIRTQ_PACKED_EVENT_* */
};

struct virtq_raw_used {
    uint32_t id;
    uint32_t len;
};

void virtq_raw_of_drv(struct virtq_raw *r, const struct virtq_drv *q);

/* Descriptor area of a split queue. */
void virtq_raw_desc_set(const struct virtq_raw *r, unsigned index, struct virtq_raw_desc d);
struct virtq_raw_desc virtq_raw_desc_get(const struct virtq_raw *r, unsigned index);
/* The same in an indirect table at `table`. */
void virtq_raw_table_set(void *table, unsigned index, struct virtq_raw_desc d);

/* Available ring; `slot` < size. */
void virtq_raw_avail_set(const struct virtq_raw *r, unsigned slot, uint16_t head);
uint16_t virtq_raw_avail_get(const struct virtq_raw *r, unsigned slot);
void virtq_raw_avail_idx_set(const struct virtq_raw *r, uint16_t idx);
uint16_t virtq_raw_avail_idx_get(const struct virtq_raw *r);
void virtq_raw_avail_flags_set(const struct virtq_raw *r, uint16_t flags);
uint16_t virtq_raw_avail_flags_get(const struct virtq_raw *r);
void virtq_raw_used_event_set(const struct virtq_raw *r, uint16_t idx);
uint16_t virtq_raw_used_event_get(const struct virtq_raw *r);
/* Put `head` at the current available index and advance it by one: one well-formed step. */
void virtq_raw_avail_add(const struct virtq_raw *r, uint16_t head);

/* Used ring; `slot` < size. */
void virtq_raw_used_set(const struct virtq_raw *r, unsigned slot, struct virtq_raw_used u);
struct virtq_raw_used virtq_raw_used_get(const struct virtq_raw *r, unsigned slot);
void virtq_raw_used_idx_set(const struct virtq_raw *r, uint16_t idx);
uint16_t virtq_raw_used_idx_get(const struct virtq_raw *r);
void virtq_raw_used_flags_set(const struct virtq_raw *r, uint16_t flags);
uint16_t virtq_raw_used_flags_get(const struct virtq_raw *r);
void virtq_raw_avail_event_set(const struct virtq_raw *r, uint16_t idx);
uint16_t virtq_raw_avail_event_get(const struct virtq_raw *r);

/* Descriptor ring of a packed queue. The flags are stored last, and loaded first. */
void virtq_raw_pdesc_set(const struct virtq_raw *r, unsigned index, struct virtq_raw_pdesc d);
struct virtq_raw_pdesc virtq_raw_pdesc_get(const struct virtq_raw *r, unsigned index);
/* The same in an indirect table at `table`. */
void virtq_raw_ptable_set(void *table, unsigned index, struct virtq_raw_pdesc d);
/* The driver's and the device's event suppression. */
void virtq_raw_driver_event_set(const struct virtq_raw *r, struct virtq_raw_event e);
struct virtq_raw_event virtq_raw_driver_event_get(const struct virtq_raw *r);
void virtq_raw_device_event_set(const struct virtq_raw *r, struct virtq_raw_event e);
struct virtq_raw_event virtq_raw_device_event_get(const struct virtq_raw *r);

#endif
