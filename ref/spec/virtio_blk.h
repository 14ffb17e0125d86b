/* SPDX-License-Identifier: MIT */
/* VIRTIO 1.4, 5.2: block device. */
#ifndef RP_SPEC_VIRTIO_BLK_H
#define RP_SPEC_VIRTIO_BLK_H

#include "util/types.h"

/* 5.2.3: feature bits, as numbers. */
#define VIRTIO_BLK_F_BARRIER      0 /* legacy interface only */
#define VIRTIO_BLK_F_SIZE_MAX     1
#define VIRTIO_BLK_F_SEG_MAX      2
#define VIRTIO_BLK_F_GEOMETRY     4
#define VIRTIO_BLK_F_RO           5
#define VIRTIO_BLK_F_BLK_SIZE     6
#define VIRTIO_BLK_F_SCSI         7 /* legacy interface only */
#define VIRTIO_BLK_F_FLUSH        9
#define VIRTIO_BLK_F_TOPOLOGY     10
#define VIRTIO_BLK_F_CONFIG_WCE   11
#define VIRTIO_BLK_F_MQ           12
#define VIRTIO_BLK_F_DISCARD      13
#define VIRTIO_BLK_F_WRITE_ZEROES 14
#define VIRTIO_BLK_F_LIFETIME     15
#define VIRTIO_BLK_F_SECURE_ERASE 16
#define VIRTIO_BLK_F_ZONED        17

#define VIRTIO_BLK_SECTOR_BYTES 512u /* the unit of the protocol, whatever blk_size says */
#define VIRTIO_BLK_ID_BYTES     20u  /* 5.2.6: GET_ID */

/* 5.2.6: request types. */
#define VIRTIO_BLK_T_IN             0u
#define VIRTIO_BLK_T_OUT            1u
#define VIRTIO_BLK_T_FLUSH          4u
#define VIRTIO_BLK_T_GET_ID         8u
#define VIRTIO_BLK_T_GET_LIFETIME   10u
#define VIRTIO_BLK_T_DISCARD        11u
#define VIRTIO_BLK_T_WRITE_ZEROES   13u
#define VIRTIO_BLK_T_SECURE_ERASE   14u
#define VIRTIO_BLK_T_ZONE_APPEND    15u
#define VIRTIO_BLK_T_ZONE_REPORT    16u
#define VIRTIO_BLK_T_ZONE_OPEN      18u
#define VIRTIO_BLK_T_ZONE_CLOSE     20u
#define VIRTIO_BLK_T_ZONE_FINISH    22u
#define VIRTIO_BLK_T_ZONE_RESET     24u
#define VIRTIO_BLK_T_ZONE_RESET_ALL 26u

/* 5.2.6: status byte. */
#define VIRTIO_BLK_S_OK                   0u
#define VIRTIO_BLK_S_IOERR                1u
#define VIRTIO_BLK_S_UNSUPP               2u
#define VIRTIO_BLK_S_ZONE_INVALID_CMD     3u
#define VIRTIO_BLK_S_ZONE_UNALIGNED_WP    4u
#define VIRTIO_BLK_S_ZONE_OPEN_RESOURCE   5u
#define VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE 6u

/* 5.2.4: device configuration. */
struct virtio_blk_geometry {
    le16_t cylinders;
    uint8_t heads;
    uint8_t sectors;
};
_Static_assert(sizeof(struct virtio_blk_geometry) == 4, "5.2.4");

struct virtio_blk_topology {
    uint8_t physical_block_exp;
    uint8_t alignment_offset;
    le16_t min_io_size;
    le32_t opt_io_size;
};
_Static_assert(sizeof(struct virtio_blk_topology) == 8, "5.2.4");

struct virtio_blk_zoned_characteristics {
    le32_t zone_sectors;
    le32_t max_open_zones;
    le32_t max_active_zones;
    le32_t max_append_sectors;
    le32_t write_granularity;
    uint8_t model;
    uint8_t unused2[3];
};
_Static_assert(sizeof(struct virtio_blk_zoned_characteristics) == 24, "5.2.4");

struct virtio_blk_config {
    le64_t capacity; /* 512-byte sectors */
    le32_t size_max;
    le32_t seg_max;
    struct virtio_blk_geometry geometry;
    le32_t blk_size;
    struct virtio_blk_topology topology;
    uint8_t writeback;
    uint8_t unused0;
    le16_t num_queues;
    le32_t max_discard_sectors;
    le32_t max_discard_seg;
    le32_t discard_sector_alignment;
    le32_t max_write_zeroes_sectors;
    le32_t max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap;
    uint8_t unused1[3];
    le32_t max_secure_erase_sectors;
    le32_t max_secure_erase_seg;
    le32_t secure_erase_sector_alignment;
    struct virtio_blk_zoned_characteristics zoned;
};
_Static_assert(offsetof(struct virtio_blk_config, capacity) == 0, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, size_max) == 8, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, seg_max) == 12, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, geometry) == 16, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, blk_size) == 20, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, topology) == 24, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, writeback) == 32, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, unused0) == 33, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, num_queues) == 34, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, max_discard_sectors) == 36, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, max_discard_seg) == 40, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, discard_sector_alignment) == 44, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, max_write_zeroes_sectors) == 48, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, max_write_zeroes_seg) == 52, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, write_zeroes_may_unmap) == 56, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, unused1) == 57, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, max_secure_erase_sectors) == 60, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, max_secure_erase_seg) == 64, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, secure_erase_sector_alignment) == 68, "5.2.4");
_Static_assert(offsetof(struct virtio_blk_config, zoned) == 72, "5.2.4");
_Static_assert(sizeof(struct virtio_blk_config) == 96, "5.2.4");

/* 5.2.6: the readable start of every request; data and the status byte follow. */
struct virtio_blk_req_hdr {
    le32_t type;
    le32_t reserved;
    le64_t sector;
};
_Static_assert(sizeof(struct virtio_blk_req_hdr) == 16, "5.2.6");
_Static_assert(offsetof(struct virtio_blk_req_hdr, sector) == 8, "5.2.6");

/* 5.2.6: data of DISCARD, WRITE_ZEROES and SECURE_ERASE, one or more of these. */
struct virtio_blk_discard_write_zeroes {
    le64_t sector;
    le32_t num_sectors;
    le32_t flags;
};
_Static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "5.2.6");
_Static_assert(offsetof(struct virtio_blk_discard_write_zeroes, num_sectors) == 8, "5.2.6");
_Static_assert(offsetof(struct virtio_blk_discard_write_zeroes, flags) == 12, "5.2.6");
#define VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP 1u

/* 5.2.4, 5.2.6: zoned devices. */
#define VIRTIO_BLK_Z_NONE 0u
#define VIRTIO_BLK_Z_HM                                                                            \
    1u /* host-managed: sequential zones take writes at their write pointer only */
#define VIRTIO_BLK_Z_HA 2u

#define VIRTIO_BLK_ZT_CONV 1u
#define VIRTIO_BLK_ZT_SWR  2u
#define VIRTIO_BLK_ZT_SWP  3u

#define VIRTIO_BLK_ZS_NOT_WP  0u
#define VIRTIO_BLK_ZS_EMPTY   1u
#define VIRTIO_BLK_ZS_IOPEN   2u
#define VIRTIO_BLK_ZS_EOPEN   3u
#define VIRTIO_BLK_ZS_CLOSED  4u
#define VIRTIO_BLK_ZS_RDONLY  13u
#define VIRTIO_BLK_ZS_FULL    14u
#define VIRTIO_BLK_ZS_OFFLINE 15u

/* Data of ZONE_REPORT: this, then as many of the next as there is room for. */
struct virtio_blk_zone_report {
    le64_t nr_zones; /* descriptors that follow */
    uint8_t reserved[56];
};
_Static_assert(sizeof(struct virtio_blk_zone_report) == 64, "5.2.6");

struct virtio_blk_zone_descriptor {
    le64_t z_cap, z_start, z_wp; /* sectors */
    uint8_t z_type, z_state;
    uint8_t reserved[38];
};
_Static_assert(sizeof(struct virtio_blk_zone_descriptor) == 64, "5.2.6");
_Static_assert(offsetof(struct virtio_blk_zone_descriptor, z_type) == 24, "5.2.6");

/* In front of the status of a ZONE_APPEND. */
struct virtio_blk_zone_append {
    le64_t append_sector;
};
_Static_assert(sizeof(struct virtio_blk_zone_append) == 8, "5.2.6");

/* 5.2.6: data of GET_LIFETIME. */
struct virtio_blk_lifetime {
    le16_t pre_eol_info;
    le16_t device_lifetime_est_typ_a;
    le16_t device_lifetime_est_typ_b;
};
_Static_assert(sizeof(struct virtio_blk_lifetime) == 6, "5.2.6");

#endif
