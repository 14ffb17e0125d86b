/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.2.5.2, 5.2.6.2: block devices with zones that a host has to manage. */
#define CHECK_FAMILY "zoned"

#include <stdlib.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "util/bits.h"

#define CONFIG(field) offsetof(struct virtio_blk_config, zoned.field)
#define ZONED         (NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_ZONED)
#define ZONES_MAX     64u

/* A zoned disk in use: what it says of itself, and its zones as they were reported last. */
struct zoned {
    struct blk *k;
    uint32_t zone_sectors, open_max, active_max, append_max, granularity;
    unsigned count;
    struct virtio_blk_zone_descriptor zones[ZONES_MAX];
};

static uint8_t manage(struct zoned *z, uint32_t type, uint64_t sector)
{
    return blk_request(z->k, type, sector, NULL, 0).status;
}

/* As many zones from a sector on as the device reports to this much room. */
static uint8_t report(struct zoned *z, uint64_t sector, unsigned room)
{
    uint32_t bytes = (uint32_t)(sizeof(struct virtio_blk_zone_report) +
                                room * sizeof(struct virtio_blk_zone_descriptor));
    struct buffer *b = given_buffer(z->k->d, bytes, 0, FE_DMA_FROM_DEVICE);
    struct virtio_blk_zone_report head;
    struct piece p = piece_of(b, true);
    uint8_t status = blk_request(z->k, VIRTIO_BLK_T_ZONE_REPORT, sector, &p, 1).status;

    z->count = 0;
    if (status == VIRTIO_BLK_S_OK) {
        memcpy(&head, b->va, sizeof(head));
        expect(z->k->d->t, MUST, le64_get(head.nr_zones) <= room,
               "%llu zones are reported to a buffer for %u",
               (unsigned long long)le64_get(head.nr_zones), room);
        z->count = (unsigned)min_u64(le64_get(head.nr_zones), room);
        memcpy(z->zones, b->va + sizeof(head), z->count * sizeof(z->zones[0]));
    }
    buffer_release(b);
    return status;
}

static uint32_t config(struct zoned *z, unsigned offset)
{
    return (uint32_t)device_get(z->k->d, offset, 4);
}

/* All zones that can be are empty. */
static struct zoned *given_zoned(struct check_ctx *t)
{
    struct zoned *z = calloc(1, sizeof(*z));

    if (!z)
        error_out(t, "no memory");
    check_defer(t, free, z);
    z->k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_ZONED) | VIRTIO_F(VIRTIO_BLK_F_SECURE_ERASE), 0);
    z->zone_sectors = config(z, CONFIG(zone_sectors));
    z->open_max = config(z, CONFIG(max_open_zones));
    z->active_max = config(z, CONFIG(max_active_zones));
    z->append_max = config(z, CONFIG(max_append_sectors));
    z->granularity = config(z, CONFIG(write_granularity));
    expect_eq(t, MUST, manage(z, VIRTIO_BLK_T_ZONE_RESET_ALL, 0), VIRTIO_BLK_S_OK,
              "the status of a reset of all zones");
    expect_eq(t, MUST, report(z, 0, ZONES_MAX), VIRTIO_BLK_S_OK, "the status of a report");
    if (!z->count || !z->zone_sectors)
        stop_check(t);
    return z;
}

/* The n-th zone of a type in a state, or the check skips. */
static uint64_t zone_with(struct zoned *z, unsigned n, uint8_t type, uint8_t state,
                          const char *what)
{
    for (unsigned i = 0; i < z->count; i++)
        if (z->zones[i].z_type == type && z->zones[i].z_state == state && n-- == 0)
            return le64_get(z->zones[i].z_start);
    skip_check(z->k->d->t, "the disk has not enough zones that are %s", what);
}

static uint64_t empty_zone(struct zoned *z, unsigned n)
{
    return zone_with(z, n, VIRTIO_BLK_ZT_SWR, VIRTIO_BLK_ZS_EMPTY, "sequential and empty");
}

static struct virtio_blk_zone_descriptor zone_now(struct zoned *z, uint64_t sector)
{
    struct zoned one = {.k = z->k};

    expect_eq(z->k->d->t, MUST, report(&one, sector, 1), VIRTIO_BLK_S_OK, "the status of a report");
    return one.zones[0];
}

static void expect_state(struct zoned *z, uint64_t sector, uint8_t state, const char *what)
{
    expect_eq(z->k->d->t, MUST, zone_now(z, sector).z_state, state, what);
}

/* A write of so many sectors with a pattern. */
static uint8_t write_at(struct zoned *z, uint64_t sector, uint32_t sectors, uint32_t seed)
{
    struct buffer *b = given_buffer(z->k->d, sectors * SECTOR, 0, FE_DMA_TO_DEVICE);
    struct piece p = piece_of(b, false);
    uint8_t status;

    buffer_fill(b, seed);
    status = blk_request(z->k, VIRTIO_BLK_T_OUT, sector, &p, 1).status;
    buffer_release(b);
    return status;
}

static uint8_t append_at(struct zoned *z, uint64_t sector, uint32_t sectors, uint32_t seed,
                         uint64_t *at)
{
    struct buffer *b = given_buffer(z->k->d, sectors * SECTOR, 0, FE_DMA_TO_DEVICE);
    struct buffer *answer =
        given_buffer(z->k->d, sizeof(struct virtio_blk_zone_append), 0, FE_DMA_FROM_DEVICE);
    struct piece p[2] = {piece_of(b, false), piece_of(answer, true)};
    struct virtio_blk_zone_append a;
    uint8_t status;

    buffer_fill(b, seed);
    memset(answer->va, 0xa5, answer->bytes);
    status = blk_request(z->k, VIRTIO_BLK_T_ZONE_APPEND, sector, p, 2).status;
    memcpy(&a, answer->va, sizeof(a));
    *at = le64_get(a.append_sector);
    buffer_release(b);
    buffer_release(answer);
    return status;
}

static uint8_t read_at(struct zoned *z, uint64_t sector, uint32_t sectors)
{
    struct buffer *b = given_buffer(z->k->d, sectors * SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(b, true);
    uint8_t status = blk_request(z->k, VIRTIO_BLK_T_IN, sector, &p, 1).status;

    buffer_release(b);
    return status;
}

#define EXPECT_STATUS(z, got, want, what) expect_eq((z)->k->d->t, MUST, got, want, what)

/* ---- what it says of itself ---- */

CHECK(host_managed_needs_the_feature, .judges = DEVICE,
      .proves = "blk.device-initialization.device.8", .needs = ZONED,
      .title = "A driver that does not accept ZONED does not get FEATURES_OK")
{
    struct device *d = given_device(t);
    uint64_t features = d->offered & ~VIRTIO_F(VIRTIO_BLK_F_ZONED) & (VIRTIO_F(32) | VIRTIO_F(33));
    uint8_t status = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER;

    must(t, d->v->ops->status_write(d->v, status), "writing the status");
    must(t, d->v->ops->driver_features(d->v, 0, (uint32_t)features), "writing features");
    must(t, d->v->ops->driver_features(d->v, 1, (uint32_t)(features >> 32)), "writing features");
    must(t, d->v->ops->status_write(d->v, status | VIRTIO_STATUS_FEATURES_OK),
         "writing the status");
    expect(t, MUST, !(device_status(d) & VIRTIO_STATUS_FEATURES_OK),
           "FEATURES_OK stays, status 0x%x, without ZONED", device_status(d));
}

CHECK(characteristics_are_set, .judges = DEVICE,
      .proves = "blk.device-initialization.device.9 blk.device-initialization.device.17 "
                "blk.device-initialization.device.18",
      .needs = ZONED, .title = "Model, write granularity, and padding that is zero")
{
    struct zoned *z = given_zoned(t);
    uint64_t model = device_get(z->k->d, CONFIG(model), 1), at = empty_zone(z, 0);

    expect(t, MUST, model == VIRTIO_BLK_Z_HM || model == VIRTIO_BLK_Z_HA, "the model is %llu",
           (unsigned long long)model);
    expect(t, MUST, z->granularity >= SECTOR && z->granularity % SECTOR == 0,
           "write_granularity is %u", z->granularity);
    for (unsigned i = 0; i < 3; i++)
        expect_eq(t, MUST, device_get(z->k->d, CONFIG(unused2) + i, 1), 0, "unused2");
    if (z->granularity >= SECTOR && z->granularity <= 65536)
        EXPECT_STATUS(z, write_at(z, at, z->granularity / SECTOR, 1), VIRTIO_BLK_S_OK,
                      "the status of a write of write_granularity");
}

CHECK(zones_are_of_one_size, .judges = DEVICE, .proves = "blk.device-initialization.device.10",
      .needs = ZONED,
      .title = "All zones have zone_sectors; their number follows from the capacity")
{
    struct zoned *z = given_zoned(t);
    uint64_t number = (z->k->capacity + z->zone_sectors - 1) / z->zone_sectors;

    expect_eq(t, MUST, z->count, min_u64(number, ZONES_MAX), "the number of zones");
    for (unsigned i = 0; i < z->count; i++) {
        uint64_t start = le64_get(z->zones[i].z_start), cap = le64_get(z->zones[i].z_cap);

        expect_eq(t, MUST, start, (uint64_t)i * z->zone_sectors, "the start of a zone");
        expect(t, MUST, cap <= z->zone_sectors, "zone %u has a capacity of %llu of %u sectors", i,
               (unsigned long long)cap, z->zone_sectors);
    }
}

/* ---- appends ---- */

CHECK(largest_append, .judges = DEVICE,
      .proves = "blk.device-initialization.device.14 blk.device-initialization.device.15 "
                "blk.device-operation.device.31",
      .needs = ZONED,
      .title = "max_append_sectors is what a request can have, and a longer append is refused")
{
    struct zoned *z = given_zoned(t);
    uint64_t at, zone = empty_zone(z, 0);

    if (!z->append_max)
        skip_check(t, "the device takes no appends");
    expect(t, MUST, (uint64_t)z->append_max * SECTOR <= (uint64_t)z->k->seg_max * z->k->size_max,
           "max_append_sectors is %u, seg_max %u, size_max %u", z->append_max, z->k->seg_max,
           z->k->size_max);
    if (z->append_max >= z->zone_sectors)
        stop_check(t);
    EXPECT_STATUS(z, append_at(z, zone, z->append_max, 1, &at), VIRTIO_BLK_S_OK,
                  "the status of the largest append");
    EXPECT_STATUS(z, append_at(z, zone, z->append_max + 1, 1, &at), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of a larger append");
}

CHECK(append_says_where, .judges = DEVICE, .proves = "blk.device-operation.device.29",
      .needs = ZONED, .title = "append_sector is where the data are")
{
    struct zoned *z = given_zoned(t);
    uint64_t first, second, zone = empty_zone(z, 0);

    if (!z->append_max)
        skip_check(t, "the device takes no appends");
    EXPECT_STATUS(z, append_at(z, zone, 2, 71, &first), VIRTIO_BLK_S_OK, "the status of an append");
    EXPECT_STATUS(z, append_at(z, zone, 1, 72, &second), VIRTIO_BLK_S_OK,
                  "the status of an append");
    expect_eq(t, MUST, first, zone, "append_sector of the first append");
    expect_eq(t, MUST, second, zone + 2, "append_sector of the second append");
    expect_pattern(z->k, zone, 2, 71, "the data of the first append are not where it says");
    expect_pattern(z->k, zone + 2, 1, 72, "the data of the second append are not where it says");
}

CHECK(append_names_the_zone, .judges = DEVICE,
      .proves = "blk.device-operation.device.27 blk.device-operation.device.20", .needs = ZONED,
      .title = "An append to another sector than a zone's first, and to a conventional zone")
{
    struct zoned *z = given_zoned(t);
    uint64_t at, zone = empty_zone(z, 0);
    uint64_t other = zone_with(z, 0, VIRTIO_BLK_ZT_CONV, VIRTIO_BLK_ZS_NOT_WP, "conventional");

    if (!z->append_max)
        skip_check(t, "the device takes no appends");
    EXPECT_STATUS(z, append_at(z, zone + 1, 1, 1, &at), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of an append to a zone's second sector");
    EXPECT_STATUS(z, append_at(z, other, 1, 1, &at), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of an append to a conventional zone");
}

CHECK(append_where_there_is_none, .judges = DEVICE, .proves = "blk.device-operation.device.30",
      .needs = ZONED, .title = "With max_append_sectors 0 an append is not supported")
{
    struct zoned *z = given_zoned(t);
    uint64_t at;

    if (z->append_max)
        skip_check(t, "the device takes appends");
    EXPECT_STATUS(z, append_at(z, empty_zone(z, 0), 1, 1, &at), VIRTIO_BLK_S_UNSUPP,
                  "the status of an append");
}

/* ---- writes and reads ---- */

CHECK(writes_go_to_the_write_pointer, .judges = DEVICE, .proves = "blk.device-operation.device.33",
      .needs = ZONED, .title = "In front of it and behind it: VIRTIO_BLK_S_ZONE_UNALIGNED_WP")
{
    struct zoned *z = given_zoned(t);
    uint64_t zone = empty_zone(z, 0);

    EXPECT_STATUS(z, write_at(z, zone, 2, 81), VIRTIO_BLK_S_OK, "the status of the first write");
    EXPECT_STATUS(z, write_at(z, zone, 1, 82), VIRTIO_BLK_S_ZONE_UNALIGNED_WP,
                  "the status of a write in front of the write pointer");
    EXPECT_STATUS(z, write_at(z, zone + 3, 1, 82), VIRTIO_BLK_S_ZONE_UNALIGNED_WP,
                  "the status of a write behind the write pointer");
    expect_eq(t, MUST, le64_get(zone_now(z, zone).z_wp), zone + 2, "the write pointer");
    expect_pattern(z->k, zone, 2, 81, "what was written is not there");
}

CHECK(writes_end_with_the_zone, .judges = DEVICE, .proves = "blk.device-operation.device.28",
      .needs = ZONED, .title = "Data that exceed what a zone can still take")
{
    struct zoned *z = given_zoned(t);
    uint64_t zone = empty_zone(z, 0), at;
    uint32_t cap = (uint32_t)le64_get(zone_now(z, zone).z_cap), left = 2;

    for (uint32_t done = 0; done < cap - left;) {
        uint32_t part = (uint32_t)min_u64(cap - left - done, 64);

        EXPECT_STATUS(z, write_at(z, zone + done, part, 1), VIRTIO_BLK_S_OK,
                      "the status of a write");
        done += part;
    }
    EXPECT_STATUS(z, write_at(z, zone + cap - left, left + 1, 1), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of a write over the end of a zone");
    if (z->append_max > left)
        EXPECT_STATUS(z, append_at(z, zone, left + 1, 1, &at), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                      "the status of an append over the end of a zone");
    EXPECT_STATUS(z, write_at(z, zone + cap - left, left, 1), VIRTIO_BLK_S_OK,
                  "the status of a write up to the end");
    expect_state(z, zone, VIRTIO_BLK_ZS_FULL, "the state of a zone that was filled");
}

CHECK(requests_stay_in_a_zone, .judges = DEVICE, .proves = "blk.device-operation.device.32",
      .needs = ZONED, .title = "A read over the border of two sequential zones")
{
    struct zoned *z = given_zoned(t);
    uint64_t zone = empty_zone(z, 0);

    EXPECT_STATUS(z, read_at(z, zone + z->zone_sectors - 1, 2), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of a read over the border of two zones");
}

CHECK(readonly_and_offline_zones, .judges = DEVICE,
      .proves = "blk.device-operation.device.35 blk.device-operation.device.36", .needs = ZONED,
      .title = "No write to a zone that is read-only, no request to one that is offline")
{
    struct zoned *z = given_zoned(t);
    uint64_t readonly = zone_with(z, 0, VIRTIO_BLK_ZT_SWR, VIRTIO_BLK_ZS_RDONLY, "read-only");
    uint64_t offline = zone_with(z, 0, VIRTIO_BLK_ZT_SWR, VIRTIO_BLK_ZS_OFFLINE, "offline");
    uint64_t at;

    EXPECT_STATUS(z, write_at(z, readonly, 1, 1), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of a write to a read-only zone");
    EXPECT_STATUS(z, write_at(z, offline, 1, 1), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of a write to an offline zone");
    EXPECT_STATUS(z, read_at(z, offline, 1), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of a read of an offline zone");
    if (z->append_max)
        EXPECT_STATUS(z, append_at(z, readonly, 1, 1, &at), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                      "the status of an append to a read-only zone");
}

/* ---- management ---- */

CHECK(conventional_zones_have_no_state, .judges = DEVICE,
      .proves = "blk.device-operation.device.19", .needs = ZONED,
      .title = "OPEN, CLOSE, FINISH and RESET of a conventional zone")
{
    static const uint32_t types[] = {VIRTIO_BLK_T_ZONE_OPEN, VIRTIO_BLK_T_ZONE_CLOSE,
                                     VIRTIO_BLK_T_ZONE_FINISH, VIRTIO_BLK_T_ZONE_RESET};
    struct zoned *z = given_zoned(t);
    uint64_t zone = zone_with(z, 0, VIRTIO_BLK_ZT_CONV, VIRTIO_BLK_ZS_NOT_WP, "conventional");

    for (unsigned i = 0; i < ARRAY_LENGTH(types); i++)
        expect(t, MUST, manage(z, types[i], zone) == VIRTIO_BLK_S_ZONE_INVALID_CMD,
               "request %u of a conventional zone is accepted", types[i]);
}

CHECK(a_full_zone_is_not_opened, .judges = DEVICE, .proves = "blk.device-operation.device.21",
      .needs = ZONED)
{
    struct zoned *z = given_zoned(t);
    uint64_t zone = empty_zone(z, 0);

    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_OPEN, zone), VIRTIO_BLK_S_OK,
                  "the status of OPEN of an empty zone");
    expect_state(z, zone, VIRTIO_BLK_ZS_EOPEN, "the state of a zone that was opened");
    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_FINISH, zone), VIRTIO_BLK_S_OK,
                  "the status of FINISH of an open zone");
    expect_state(z, zone, VIRTIO_BLK_ZS_FULL, "the state of a zone that was finished");
    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_OPEN, zone), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of OPEN of a full zone");
    expect_state(z, zone, VIRTIO_BLK_ZS_FULL, "the state of a zone that was not opened");
}

CHECK(an_empty_zone_is_not_closed, .judges = DEVICE, .proves = "blk.device-operation.device.23",
      .needs = ZONED)
{
    struct zoned *z = given_zoned(t);
    uint64_t zone = empty_zone(z, 0);

    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_CLOSE, zone), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of CLOSE of an empty zone");
    EXPECT_STATUS(z, write_at(z, zone, 1, 1), VIRTIO_BLK_S_OK, "the status of a write");
    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_CLOSE, zone), VIRTIO_BLK_S_OK,
                  "the status of CLOSE of a zone with data");
    expect_state(z, zone, VIRTIO_BLK_ZS_CLOSED, "the state of a zone that was closed");
}

CHECK(a_readonly_zone_stays_as_it_is, .judges = DEVICE,
      .proves = "blk.device-operation.device.24 blk.device-operation.device.25", .needs = ZONED,
      .title = "FINISH and RESET of a read-only zone")
{
    struct zoned *z = given_zoned(t);
    uint64_t zone = zone_with(z, 0, VIRTIO_BLK_ZT_SWR, VIRTIO_BLK_ZS_RDONLY, "read-only");

    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_FINISH, zone), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of FINISH of a read-only zone");
    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_RESET, zone), VIRTIO_BLK_S_ZONE_INVALID_CMD,
                  "the status of RESET of a read-only zone");
    expect_state(z, zone, VIRTIO_BLK_ZS_RDONLY, "the state of a read-only zone");
}

CHECK(reset_empties, .judges = DEVICE, .proves = "xen.blk.zone.1", .needs = ZONED,
      .title = "RESET and RESET_ALL leave open, closed and full zones empty")
{
    struct zoned *z = given_zoned(t);
    uint64_t one = empty_zone(z, 0), full = empty_zone(z, 1);

    EXPECT_STATUS(z, write_at(z, one, 1, 1), VIRTIO_BLK_S_OK, "the status of a write");
    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_RESET, one), VIRTIO_BLK_S_OK,
                  "the status of RESET");
    expect_state(z, one, VIRTIO_BLK_ZS_EMPTY, "the state of a zone that was reset");
    expect_eq(t, MUST, le64_get(zone_now(z, one).z_wp), one, "its write pointer");
    EXPECT_STATUS(z, write_at(z, one, 1, 1), VIRTIO_BLK_S_OK, "the status of a write");
    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_FINISH, full), VIRTIO_BLK_S_OK,
                  "the status of FINISH");
    EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_RESET_ALL, 0), VIRTIO_BLK_S_OK,
                  "the status of RESET_ALL");
    expect_state(z, one, VIRTIO_BLK_ZS_EMPTY, "the state of an open zone after RESET_ALL");
    expect_state(z, full, VIRTIO_BLK_ZS_EMPTY, "the state of a full zone after RESET_ALL");
}

CHECK(open_zones_are_limited, .judges = DEVICE,
      .proves = "blk.device-operation.device.22 blk.device-operation.device.26", .needs = ZONED,
      .title = "Nothing is opened beyond max_open_zones, by request or by a write")
{
    struct zoned *z = given_zoned(t);
    uint64_t next;
    uint8_t status;

    if (!z->open_max)
        skip_check(t, "the device has no limit");
    next = empty_zone(z, z->open_max);
    for (unsigned i = 0; i < z->open_max; i++)
        EXPECT_STATUS(z, manage(z, VIRTIO_BLK_T_ZONE_OPEN, empty_zone(z, i)), VIRTIO_BLK_S_OK,
                      "the status of OPEN within the limit");
    status = manage(z, VIRTIO_BLK_T_ZONE_OPEN, next);
    expect(t, MUST,
           status == VIRTIO_BLK_S_ZONE_OPEN_RESOURCE || status == VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE,
           "the status of OPEN beyond the limit is %u", status);
    status = write_at(z, next, 1, 1);
    expect(t, MUST,
           status == VIRTIO_BLK_S_ZONE_OPEN_RESOURCE || status == VIRTIO_BLK_S_ZONE_ACTIVE_RESOURCE,
           "the status of a write to one zone more is %u", status);
    expect_state(z, next, VIRTIO_BLK_ZS_EMPTY, "the state of the zone that was not opened");
}

CHECK(erasing_is_resetting, .judges = DEVICE,
      .proves = "blk.device-operation.device.39 blk.device-operation.device.40 "
                "blk.device-operation.device.41",
      .needs = ZONED, .title = "SECURE_ERASE takes whole zones, and they are empty then")
{
    struct zoned *z = given_zoned(t);
    uint64_t zone = empty_zone(z, 0);
    struct buffer *b =
        given_buffer(z->k->d, sizeof(struct virtio_blk_discard_write_zeroes), 0, FE_DMA_TO_DEVICE);
    struct virtio_blk_discard_write_zeroes range = {.sector = le64_make(zone),
                                                    .num_sectors = le32_make(z->zone_sectors)};
    struct piece p = piece_of(b, false);
    uint32_t alignment =
        config(z, offsetof(struct virtio_blk_config, secure_erase_sector_alignment));

    if (!(z->k->d->v->features & VIRTIO_F(VIRTIO_BLK_F_SECURE_ERASE)))
        skip_check(t, "VIRTIO_BLK_F_SECURE_ERASE is not offered");
    expect(t, MUST, alignment && alignment % z->zone_sectors == 0,
           "secure_erase_sector_alignment is %u, a zone has %u sectors", alignment,
           z->zone_sectors);
    EXPECT_STATUS(z, write_at(z, zone, 1, 1), VIRTIO_BLK_S_OK, "the status of a write");
    memcpy(b->va, &range, sizeof(range));
    EXPECT_STATUS(z, blk_request(z->k, VIRTIO_BLK_T_SECURE_ERASE, 0, &p, 1).status, VIRTIO_BLK_S_OK,
                  "the status of SECURE_ERASE of a zone");
    expect_state(z, zone, VIRTIO_BLK_ZS_EMPTY, "the state of a zone that was erased");
    range.num_sectors = le32_make(z->zone_sectors / 2);
    memcpy(b->va, &range, sizeof(range));
    expect(t, MUST,
           blk_request(z->k, VIRTIO_BLK_T_SECURE_ERASE, 0, &p, 1).status != VIRTIO_BLK_S_OK,
           "half a zone was erased");
    buffer_release(b);
}
