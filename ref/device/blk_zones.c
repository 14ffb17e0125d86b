/* SPDX-License-Identifier: MIT */
#include "device/blk_zones.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "util/mutant.h"

struct zone {
    uint64_t write_pointer; /* sector */
    uint8_t type, state;
};

struct blk_zones {
    uint32_t sectors, append_max; /* of a zone; of an append */
    unsigned count, open, active; /* active: open or closed */
    struct zone zones[];
};

int blk_zones_create(uint64_t capacity, uint32_t zone_sectors, uint32_t append_max,
                     struct blk_zones **out)
{
    uint64_t count = capacity / zone_sectors;
    struct blk_zones *z;

    if (capacity % zone_sectors || count == 0 || count > ZONES_COUNT_MAX)
        return -EINVAL;
    z = calloc(1, sizeof(*z) + count * sizeof(z->zones[0]));
    if (!z)
        return -ENOMEM;
    z->sectors = zone_sectors;
    z->append_max = append_max;
    z->count = (unsigned)count;
    for (unsigned i = 0; i < z->count; i++)
        z->zones[i] = (struct zone){.write_pointer = (uint64_t)i * zone_sectors,
                                    .type = i ? VIRTIO_BLK_ZT_SWR : VIRTIO_BLK_ZT_CONV,
                                    .state = i ? VIRTIO_BLK_ZS_EMPTY : VIRTIO_BLK_ZS_NOT_WP};
    if (count >= ZONES_WORN_FROM) {
        z->zones[count - 2].state = VIRTIO_BLK_ZS_RDONLY;
        z->zones[count - 1].state = VIRTIO_BLK_ZS_OFFLINE;
    }
    *out = z;
    return 0;
}

void blk_zones_destroy(struct blk_zones *z)
{
    free(z);
}

struct virtio_blk_zoned_characteristics blk_zones_config(const struct blk_zones *z)
{
    struct virtio_blk_zoned_characteristics c = {
        .zone_sectors = le32_make(z->sectors),
        .max_open_zones = le32_make(ZONES_OPEN_MAX),
        .max_active_zones = le32_make(ZONES_ACTIVE_MAX),
        .max_append_sectors = le32_make(z->append_max),
        .write_granularity = le32_make(VIRTIO_BLK_SECTOR_BYTES),
        .model = VIRTIO_BLK_Z_HM,
    };

    if (MUTANT(blk_zone_model_unknown))
        c.model = 7;
    if (MUTANT(blk_zone_sectors_doubled))
        c.zone_sectors = le32_make(2 * z->sectors);
    if (MUTANT(blk_zone_granularity_missing))
        c.write_granularity = le32_make(0);
    if (MUTANT(blk_zone_append_unbounded))
        c.max_append_sectors = le32_make(UINT32_MAX);
    if (MUTANT(blk_zone_padding_dirty))
        c.unused2[1] = 1;
    return c;
}

static struct zone *zone_at(const struct blk_zones *z, uint64_t sector)
{
    uint64_t i = sector / z->sectors;

    return i < z->count ? (struct zone *)&z->zones[i] : NULL;
}

static uint64_t start_of(const struct blk_zones *z, const struct zone *zone)
{
    return (uint64_t)(zone - z->zones) * z->sectors;
}

static uint64_t end_of(const struct blk_zones *z, const struct zone *zone)
{
    return start_of(z, zone) + z->sectors;
}

static bool is_open(uint8_t state)
{
    return state == VIRTIO_BLK_ZS_IOPEN || state == VIRTIO_BLK_ZS_EOPEN;
}

static bool is_active(uint8_t state)
{
    return is_open(state) || state == VIRTIO_BLK_ZS_CLOSED;
}

static void set_state(struct blk_zones *z, struct zone *zone, uint8_t state)
{
    z->open += (unsigned)is_open(state) - (unsigned)is_open(zone->state);
    z->active += (unsigned)is_active(state) - (unsigned)is_active(zone->state);
    zone->state = state;
}

/* Is there room for this zone among the open ones? */
static uint8_t room_to_open(const struct blk_zones *z, const struct zone *zone)
{
    if (is_open(zone->state) || MUTANT(blk_zone_limits_ignored))
        return VIRTIO_BLK_S_OK;
    if (z->open >= ZONES_OPEN_MAX)
        return VIRTIO_BLK_S_ZONE_OPEN_RESOURCE;
    if (!is_active(zone->state) && z->active >= ZONES_ACTIVE_MAX)
        return VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE;
    return VIRTIO_BLK_S_OK;
}

/* Within one zone, where there are such things as write pointers? */
static bool within(const struct blk_zones *z, const struct zone *zone, uint64_t sector,
                   uint64_t count)
{
    return count <= end_of(z, zone) - sector;
}

uint8_t blk_zones_read(const struct blk_zones *z, uint64_t sector, uint64_t count)
{
    const struct zone *zone = zone_at(z, sector),
                      *last = zone_at(z, sector + (count ? count - 1 : 0));

    if (!zone || !last)
        return VIRTIO_BLK_S_IOERR;
    if (zone != last && (zone->type == VIRTIO_BLK_ZT_SWR || last->type == VIRTIO_BLK_ZT_SWR) &&
        !MUTANT(blk_zone_read_crosses))
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    if ((zone->state == VIRTIO_BLK_ZS_OFFLINE || last->state == VIRTIO_BLK_ZS_OFFLINE) &&
        !MUTANT(blk_zone_offline_read))
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    return VIRTIO_BLK_S_OK;
}

/* Of data at the write pointer of a sequential zone. */
static uint8_t advance(struct blk_zones *z, struct zone *zone, uint64_t count)
{
    uint8_t status;

    if (zone->state == VIRTIO_BLK_ZS_FULL || zone->state == VIRTIO_BLK_ZS_OFFLINE ||
        (zone->state == VIRTIO_BLK_ZS_RDONLY && !MUTANT(blk_zone_readonly_written)))
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    if (count > end_of(z, zone) - zone->write_pointer && !MUTANT(blk_zone_capacity_ignored))
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    status = room_to_open(z, zone);
    if (status != VIRTIO_BLK_S_OK)
        return status;
    if (!is_open(zone->state) && zone->state != VIRTIO_BLK_ZS_RDONLY)
        set_state(z, zone, VIRTIO_BLK_ZS_IOPEN);
    zone->write_pointer = min_u64(zone->write_pointer + count, end_of(z, zone));
    if (zone->write_pointer == end_of(z, zone))
        set_state(z, zone, VIRTIO_BLK_ZS_FULL);
    return VIRTIO_BLK_S_OK;
}

uint8_t blk_zones_write(struct blk_zones *z, uint64_t sector, uint64_t count)
{
    struct zone *zone = zone_at(z, sector), *last = zone_at(z, sector + (count ? count - 1 : 0));

    if (!zone || !last)
        return VIRTIO_BLK_S_IOERR;
    if (zone->type == VIRTIO_BLK_ZT_CONV)
        return last->type == VIRTIO_BLK_ZT_CONV ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_ZONE_INVALID_CMD;
    if (zone->state == VIRTIO_BLK_ZS_OFFLINE || zone->state == VIRTIO_BLK_ZS_FULL ||
        (zone->state == VIRTIO_BLK_ZS_RDONLY && !MUTANT(blk_zone_readonly_written)))
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    if (!within(z, zone, sector, count) && !MUTANT(blk_zone_capacity_ignored))
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    if (sector != zone->write_pointer) {
        if (!MUTANT(blk_zone_pointer_ignored))
            return VIRTIO_BLK_S_ZONE_UNALIGNED_WP;
        return VIRTIO_BLK_S_OK;
    }
    return count ? advance(z, zone, count) : VIRTIO_BLK_S_OK;
}

uint8_t blk_zones_append(struct blk_zones *z, uint64_t sector, uint64_t count, uint64_t *at)
{
    struct zone *zone = zone_at(z, sector);
    uint8_t status;

    if (!z->append_max)
        return MUTANT(blk_zone_append_invalid_when_none) ? VIRTIO_BLK_S_ZONE_INVALID_CMD
                                                         : VIRTIO_BLK_S_UNSUPP;
    if (!zone)
        return VIRTIO_BLK_S_IOERR;
    if (zone->type != VIRTIO_BLK_ZT_SWR)
        return MUTANT(blk_zone_append_to_conventional) ? VIRTIO_BLK_S_OK
                                                       : VIRTIO_BLK_S_ZONE_INVALID_CMD;
    if ((sector != start_of(z, zone) && !MUTANT(blk_zone_append_anywhere)) || !count ||
        (count > z->append_max && !MUTANT(blk_zone_append_too_long)))
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    *at = zone->write_pointer;
    status = advance(z, zone, count);
    if (MUTANT(blk_zone_append_sector_end))
        *at = zone->write_pointer;
    return status;
}

static uint8_t zone_open(struct blk_zones *z, struct zone *zone)
{
    uint8_t status;

    if (zone->state == VIRTIO_BLK_ZS_FULL || zone->state == VIRTIO_BLK_ZS_RDONLY ||
        zone->state == VIRTIO_BLK_ZS_OFFLINE)
        return MUTANT(blk_zone_full_opened) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_ZONE_INVALID_CMD;
    status = room_to_open(z, zone);
    if (status == VIRTIO_BLK_S_OK)
        set_state(z, zone, VIRTIO_BLK_ZS_EOPEN);
    return status;
}

/* An open zone without data is empty again. */
static uint8_t zone_close(struct blk_zones *z, struct zone *zone)
{
    bool empty = zone->write_pointer == start_of(z, zone);

    if (!is_active(zone->state))
        return MUTANT(blk_zone_empty_closed) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_ZONE_INVALID_CMD;
    set_state(z, zone, empty ? VIRTIO_BLK_ZS_EMPTY : VIRTIO_BLK_ZS_CLOSED);
    return VIRTIO_BLK_S_OK;
}

static uint8_t zone_finish(struct blk_zones *z, struct zone *zone)
{
    if (zone->state == VIRTIO_BLK_ZS_RDONLY || zone->state == VIRTIO_BLK_ZS_OFFLINE)
        return MUTANT(blk_zone_readonly_finished) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_ZONE_INVALID_CMD;
    set_state(z, zone, VIRTIO_BLK_ZS_FULL);
    zone->write_pointer = end_of(z, zone);
    return VIRTIO_BLK_S_OK;
}

static uint8_t zone_reset(struct blk_zones *z, struct zone *zone)
{
    if (zone->state == VIRTIO_BLK_ZS_RDONLY || zone->state == VIRTIO_BLK_ZS_OFFLINE)
        return MUTANT(blk_zone_readonly_reset) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_ZONE_INVALID_CMD;
    set_state(z, zone, VIRTIO_BLK_ZS_EMPTY);
    zone->write_pointer = start_of(z, zone);
    return VIRTIO_BLK_S_OK;
}

static void reset_all(struct blk_zones *z)
{
    for (unsigned i = 0; i < z->count; i++)
        if (is_active(z->zones[i].state) ||
            (z->zones[i].state == VIRTIO_BLK_ZS_FULL && !MUTANT(blk_zone_full_not_reset)))
            zone_reset(z, &z->zones[i]);
}

uint8_t blk_zones_manage(struct blk_zones *z, uint32_t type, uint64_t sector)
{
    struct zone *zone = zone_at(z, sector);

    if (type == VIRTIO_BLK_T_ZONE_RESET_ALL) {
        reset_all(z);
        return VIRTIO_BLK_S_OK;
    }
    if (!zone)
        return VIRTIO_BLK_S_IOERR;
    if (zone->type == VIRTIO_BLK_ZT_CONV)
        return MUTANT(blk_zone_conventional_managed) ? VIRTIO_BLK_S_OK
                                                     : VIRTIO_BLK_S_ZONE_INVALID_CMD;
    if (sector != start_of(z, zone))
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    switch (type) {
    case VIRTIO_BLK_T_ZONE_OPEN:
        return zone_open(z, zone);
    case VIRTIO_BLK_T_ZONE_CLOSE:
        return zone_close(z, zone);
    case VIRTIO_BLK_T_ZONE_FINISH:
        return zone_finish(z, zone);
    default:
        return zone_reset(z, zone);
    }
}

uint8_t blk_zones_erase(struct blk_zones *z, uint64_t sector, uint64_t count)
{
    if ((sector % z->sectors || count % z->sectors) && !MUTANT(blk_zone_erase_in_part))
        return VIRTIO_BLK_S_IOERR;
    if (MUTANT(blk_zone_erase_keeps_state))
        return VIRTIO_BLK_S_OK;
    for (uint64_t at = sector; at < sector + count; at += z->sectors) {
        struct zone *zone = zone_at(z, at);
        uint8_t status = VIRTIO_BLK_S_OK;

        if (!zone)
            return VIRTIO_BLK_S_IOERR;
        if (zone->type == VIRTIO_BLK_ZT_SWR)
            status = zone_reset(z, zone);
        if (status != VIRTIO_BLK_S_OK)
            return status;
    }
    return VIRTIO_BLK_S_OK;
}

uint8_t blk_zones_report(const struct blk_zones *z, uint64_t sector,
                         struct virtio_blk_zone_descriptor *list, unsigned max, unsigned *count)
{
    uint64_t first = sector / z->sectors;

    *count = 0;
    if (first >= z->count)
        return VIRTIO_BLK_S_ZONE_INVALID_CMD;
    for (uint64_t i = first; i < z->count && *count < max; i++) {
        const struct zone *zone = &z->zones[i];

        list[(*count)++] = (struct virtio_blk_zone_descriptor){
            .z_cap = le64_make(z->sectors),
            .z_start = le64_make(start_of(z, zone)),
            .z_wp = le64_make(zone->write_pointer),
            .z_type = zone->type,
            .z_state = zone->state,
        };
    }
    return VIRTIO_BLK_S_OK;
}
