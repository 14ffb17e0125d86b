/* SPDX-License-Identifier: MIT */
/* VIRTIO 1.4, 5.16: IOMMU device. */
#ifndef RP_SPEC_VIRTIO_IOMMU_H
#define RP_SPEC_VIRTIO_IOMMU_H

#include "util/types.h"

/* 5.16.3: feature bits, as numbers. */
#define VIRTIO_IOMMU_F_INPUT_RANGE   0
#define VIRTIO_IOMMU_F_DOMAIN_RANGE  1
#define VIRTIO_IOMMU_F_MAP_UNMAP     2
#define VIRTIO_IOMMU_F_BYPASS        3
#define VIRTIO_IOMMU_F_PROBE         4
#define VIRTIO_IOMMU_F_MMIO          5
#define VIRTIO_IOMMU_F_BYPASS_CONFIG 6

/* 5.16.2: queues. */
#define VIRTIO_IOMMU_REQUESTQ 0u
#define VIRTIO_IOMMU_EVENTQ   1u

/* 5.16.4: device configuration; the ends of ranges are part of them. */
struct virtio_iommu_config {
    le64_t page_size_mask;
    le64_t input_start, input_end;
    le32_t domain_start, domain_end;
    le32_t probe_size;
    uint8_t bypass;
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct virtio_iommu_config) == 40, "5.16.4");

/* 5.16.6: requests: a part that the device reads, and a tail that it writes. */
#define VIRTIO_IOMMU_T_ATTACH 1u
#define VIRTIO_IOMMU_T_DETACH 2u
#define VIRTIO_IOMMU_T_MAP    3u
#define VIRTIO_IOMMU_T_UNMAP  4u
#define VIRTIO_IOMMU_T_PROBE  5u

#define VIRTIO_IOMMU_S_OK     0u
#define VIRTIO_IOMMU_S_IOERR  1u
#define VIRTIO_IOMMU_S_UNSUPP 2u
#define VIRTIO_IOMMU_S_DEVERR 3u
#define VIRTIO_IOMMU_S_INVAL  4u
#define VIRTIO_IOMMU_S_RANGE  5u
#define VIRTIO_IOMMU_S_NOENT  6u
#define VIRTIO_IOMMU_S_FAULT  7u
#define VIRTIO_IOMMU_S_NOMEM  8u

struct virtio_iommu_req_head {
    uint8_t type;
    uint8_t reserved[3];
};

struct virtio_iommu_req_tail {
    uint8_t status;
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct virtio_iommu_req_tail) == 4, "5.16.6");

/* 5.16.6.3 */
struct virtio_iommu_req_attach {
    struct virtio_iommu_req_head head;
    le32_t domain;
    le32_t endpoint;
    le32_t flags;
    uint8_t reserved[4];
};
_Static_assert(sizeof(struct virtio_iommu_req_attach) == 20, "5.16.6.3");

#define VIRTIO_IOMMU_ATTACH_F_BYPASS 1u

/* 5.16.6.4 */
struct virtio_iommu_req_detach {
    struct virtio_iommu_req_head head;
    le32_t domain;
    le32_t endpoint;
    uint8_t reserved[8];
};
_Static_assert(sizeof(struct virtio_iommu_req_detach) == 20, "5.16.6.4");

/* 5.16.6.5: its size is no multiple of 8, so that the whole is packed. */
struct virtio_iommu_req_map {
    struct virtio_iommu_req_head head;
    le32_t domain;
    le64_t virt_start;
    le64_t virt_end;
    le64_t phys_start;
    le32_t flags;
} __attribute__((packed));
_Static_assert(sizeof(struct virtio_iommu_req_map) == 36, "5.16.6.5");

#define VIRTIO_IOMMU_MAP_F_READ  1u
#define VIRTIO_IOMMU_MAP_F_WRITE 2u
#define VIRTIO_IOMMU_MAP_F_MMIO  4u

/* 5.16.6.6 */
struct virtio_iommu_req_unmap {
    struct virtio_iommu_req_head head;
    le32_t domain;
    le64_t virt_start;
    le64_t virt_end;
    uint8_t reserved[4];
} __attribute__((packed));
_Static_assert(sizeof(struct virtio_iommu_req_unmap) == 28, "5.16.6.6");

/* 5.16.6.7: behind it probe_size bytes of properties, in front of the tail. */
struct virtio_iommu_req_probe {
    struct virtio_iommu_req_head head;
    le32_t endpoint;
    uint8_t reserved[64];
};
_Static_assert(sizeof(struct virtio_iommu_req_probe) == 72, "5.16.6.7");

struct virtio_iommu_probe_property {
    le16_t type; /* 12 bits, and 4 that are reserved */
    le16_t length;
};
#define VIRTIO_IOMMU_PROBE_T_NONE     0u
#define VIRTIO_IOMMU_PROBE_T_RESV_MEM 1u
#define VIRTIO_IOMMU_PROBE_T_MASK     0xfffu

/* 5.16.6.8.1 */
struct virtio_iommu_probe_resv_mem {
    struct virtio_iommu_probe_property head;
    uint8_t subtype;
    uint8_t reserved[3];
    le64_t start;
    le64_t end;
};
_Static_assert(sizeof(struct virtio_iommu_probe_resv_mem) == 24, "5.16.6.8.1");
#define VIRTIO_IOMMU_RESV_MEM_T_RESERVED 0u
#define VIRTIO_IOMMU_RESV_MEM_T_MSI      1u

/* 5.16.6.9: what the device tells in the event queue. */
struct virtio_iommu_fault {
    uint8_t reason;
    uint8_t reserved[3];
    le32_t flags;
    le32_t endpoint;
    le32_t reserved1;
    le64_t address;
};
_Static_assert(sizeof(struct virtio_iommu_fault) == 24, "5.16.6.9");

#define VIRTIO_IOMMU_FAULT_R_UNKNOWN 0u
#define VIRTIO_IOMMU_FAULT_R_DOMAIN  1u
#define VIRTIO_IOMMU_FAULT_R_MAPPING 2u

#define VIRTIO_IOMMU_FAULT_F_READ    1u
#define VIRTIO_IOMMU_FAULT_F_WRITE   2u
#define VIRTIO_IOMMU_FAULT_F_ADDRESS 256u

#endif
