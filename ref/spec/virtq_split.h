/* SPDX-License-Identifier: MIT */
/* VIRTIO 1.4, 2.7: split virtqueues. */
#ifndef RP_SPEC_VIRTQ_SPLIT_H
#define RP_SPEC_VIRTQ_SPLIT_H

#include "util/types.h"

/* Descriptor flags, 2.7.5 (and 2.8.1, 2.8.6, 2.8.7 for the packed format). */
#define VIRTQ_DESC_F_NEXT     1u
#define VIRTQ_DESC_F_WRITE    2u
#define VIRTQ_DESC_F_INDIRECT 4u

/* avail->flags, 2.7.6; used->flags, 2.7.8. */
#define VIRTQ_AVAIL_F_NO_INTERRUPT 1u
#define VIRTQ_USED_F_NO_NOTIFY     1u

/* 2.7 */
#define VIRTQ_SPLIT_SIZE_MAX    32768u
#define VIRTQ_SPLIT_DESC_ALIGN  16u
#define VIRTQ_SPLIT_AVAIL_ALIGN 2u
#define VIRTQ_SPLIT_USED_ALIGN  4u

/* 2.7.5; also an entry of an indirect table, 2.7.5.3. */
struct virtq_desc {
    le64_t addr;
    le32_t len;
    le16_t flags;
    le16_t next;
};
_Static_assert(sizeof(struct virtq_desc) == 16, "2.7.5");
_Static_assert(offsetof(struct virtq_desc, len) == 8, "2.7.5");
_Static_assert(offsetof(struct virtq_desc, flags) == 12, "2.7.5");
_Static_assert(offsetof(struct virtq_desc, next) == 14, "2.7.5");

/* 2.7.6. After ring[size] comes le16 used_event. */
struct virtq_avail {
    le16_t flags;
    le16_t idx;
    le16_t ring[];
};
_Static_assert(offsetof(struct virtq_avail, idx) == 2, "2.7.6");
_Static_assert(offsetof(struct virtq_avail, ring) == 4, "2.7.6");

struct virtq_used_elem {
    le32_t id;  /* head of the used chain */
    le32_t len; /* bytes written to the device-writable part */
};
_Static_assert(sizeof(struct virtq_used_elem) == 8, "2.7.8");

/* 2.7.8. After ring[size] comes le16 avail_event. */
struct virtq_used {
    le16_t flags;
    le16_t idx;
    struct virtq_used_elem ring[];
};
_Static_assert(offsetof(struct virtq_used, idx) == 2, "2.7.8");
_Static_assert(offsetof(struct virtq_used, ring) == 4, "2.7.8");

#endif
