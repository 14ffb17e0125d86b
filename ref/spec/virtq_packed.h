/* SPDX-License-Identifier: MIT */
/* VIRTIO 1.4, 2.8: packed virtqueues. */
#ifndef RP_SPEC_VIRTQ_PACKED_H
#define RP_SPEC_VIRTQ_PACKED_H

#include "spec/virtq_split.h" /* VIRTQ_DESC_F_NEXT, _WRITE and _INDIRECT are shared */
#include "util/types.h"

/* 2.8.1: with the wrap counters, these say whose the descriptor is. */
#define VIRTQ_PACKED_DESC_F_AVAIL (1u << 7)
#define VIRTQ_PACKED_DESC_F_USED  (1u << 15)

/* 2.8.14: event_flags. */
#define VIRTQ_PACKED_EVENT_ENABLE  0u
#define VIRTQ_PACKED_EVENT_DISABLE 1u
#define VIRTQ_PACKED_EVENT_DESC    2u
#define VIRTQ_PACKED_EVENT_MASK    3u
/* 2.8.14: desc_event_off is 15 bits, then the wrap counter. */
#define VIRTQ_PACKED_EVENT_WRAP_BIT 15

/* 2.8.10.1 */
#define VIRTQ_PACKED_SIZE_MAX    32768u
#define VIRTQ_PACKED_DESC_ALIGN  16u
#define VIRTQ_PACKED_EVENT_ALIGN 4u

/* 2.8.13 */
struct pvirtq_desc {
    le64_t addr;
    le32_t len;
    le16_t id;
    le16_t flags;
};
_Static_assert(sizeof(struct pvirtq_desc) == 16, "2.8.13");
_Static_assert(offsetof(struct pvirtq_desc, len) == 8, "2.8.13");
_Static_assert(offsetof(struct pvirtq_desc, id) == 12, "2.8.13");
_Static_assert(offsetof(struct pvirtq_desc, flags) == 14, "2.8.13");

/* 2.8.14 */
struct pvirtq_event_suppress {
    le16_t desc; /* desc_event_off and desc_event_wrap */
    le16_t flags;
};
_Static_assert(sizeof(struct pvirtq_event_suppress) == 4, "2.8.14");

#endif
