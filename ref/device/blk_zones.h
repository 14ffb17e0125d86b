/* SPDX-License-Identifier: MIT */
/*
 * A host-managed zoned disk (VIRTIO 5.2.6): what state each zone is in, and what a request may do
 * to it. Inside the block device; not for others.
 *
 * All zones but the first, which is conventional, are to be written sequentially. At most
 * ZONES_OPEN_MAX may be open and ZONES_ACTIVE_MAX open or closed with data. The last but one is
 * read-only and the last is offline, as on a worn disk, when there are enough of them.
 *
 * States and write pointers live as long as the process: such a disk is for trying drivers, not for
 * keeping data.
 */
#ifndef RP_DEVICE_BLK_ZONES_H
#define RP_DEVICE_BLK_ZONES_H

#include <stdbool.h>
#include <stdint.h>

#include "spec/virtio_blk.h"

#define ZONES_OPEN_MAX   3u
#define ZONES_ACTIVE_MAX 5u
#define ZONES_COUNT_MAX  65536u
#define ZONES_WORN_FROM  8u /* zones; fewer have no broken ones among them */

struct blk_zones;

/* The sizes are in sectors, zone_sectors not 0. -EINVAL: not a whole number of zones, or too many.
 */
int blk_zones_create(uint64_t capacity, uint32_t zone_sectors, uint32_t append_max,
                     struct blk_zones **out);
void blk_zones_destroy(struct blk_zones *z); /* NULL is allowed */

/* What configuration space says of it. */
struct virtio_blk_zoned_characteristics blk_zones_config(const struct blk_zones *z);

/* May these sectors be read, written? A write that may moves the write pointer, for it is done in
 * the order in which requests come. VIRTIO_BLK_S_*. */
uint8_t blk_zones_read(const struct blk_zones *z, uint64_t sector, uint64_t count);
uint8_t blk_zones_write(struct blk_zones *z, uint64_t sector, uint64_t count);
/* The same for ZONE_APPEND; *at is where the data go. */
uint8_t blk_zones_append(struct blk_zones *z, uint64_t sector, uint64_t count, uint64_t *at);
/* ZONE_OPEN, CLOSE, FINISH, RESET of the zone at a sector, and RESET_ALL. */
uint8_t blk_zones_manage(struct blk_zones *z, uint32_t type, uint64_t sector);
/* SECURE_ERASE: whole zones, which are then empty. */
uint8_t blk_zones_erase(struct blk_zones *z, uint64_t sector, uint64_t count);

/* Descriptors from the zone with this sector on, at most `max`; *count of them. */
uint8_t blk_zones_report(const struct blk_zones *z, uint64_t sector,
                         struct virtio_blk_zone_descriptor *list, unsigned max, unsigned *count);

#endif
