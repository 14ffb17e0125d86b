/* SPDX-License-Identifier: MIT */
#include "device/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/blk_impl.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

#define BLK_CLASS_CODE   0x018000 /* mass storage, other */
#define DEFAULT_SEG_MAX  126u
#define DEFAULT_SIZE_MAX (1u << 20)
#define DEFAULT_INFLIGHT 256u
#define BLOCK_BYTES_MAX  65536u
#define REPORT_ZONES_MAX 64u /* in one report; a driver asks again from the next */
#define ERASE_ZONES_MAX  16u
/* A driver may spread the header and the status over a descriptor each byte (2.7.4.1). */
#define FRAMING_SLACK 17u

static struct blk *to_blk(struct vdev *d)
{
    return (struct blk *)(void *)d;
}
static const struct blk *to_blk_const(const struct vdev *d)
{
    return (const struct blk *)(const void *)d;
}

/* ---- features and configuration ---- */

static const struct vdev_feature feature_names[] = {
    {"size-max", VIRTIO_BLK_F_SIZE_MAX},
    {"seg-max", VIRTIO_BLK_F_SEG_MAX},
    {"ro", VIRTIO_BLK_F_RO},
    {"blk-size", VIRTIO_BLK_F_BLK_SIZE},
    {"flush", VIRTIO_BLK_F_FLUSH},
    {"topology", VIRTIO_BLK_F_TOPOLOGY},
    {"config-wce", VIRTIO_BLK_F_CONFIG_WCE},
    {"mq", VIRTIO_BLK_F_MQ},
    {"discard", VIRTIO_BLK_F_DISCARD},
    {"write-zeroes", VIRTIO_BLK_F_WRITE_ZEROES},
    {"lifetime", VIRTIO_BLK_F_LIFETIME},
    {"secure-erase", VIRTIO_BLK_F_SECURE_ERASE},
    {"zoned", VIRTIO_BLK_F_ZONED},
    {NULL, 0},
};

static uint64_t offered_features(const struct blk *b, const struct blk_options *o)
{
    uint64_t f = VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_F(VIRTIO_BLK_F_SEG_MAX) |
                 VIRTIO_F(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_F(VIRTIO_BLK_F_FLUSH) |
                 VIRTIO_F(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE);

    if (o->lifetime)
        f |= VIRTIO_F(VIRTIO_BLK_F_LIFETIME);
    if (b->queues > 1)
        f |= VIRTIO_F(VIRTIO_BLK_F_MQ);
    if (b->read_only)
        f |= VIRTIO_F(VIRTIO_BLK_F_RO);
    else if (b->zones) /* a host-managed disk has no discard (5.2.5.2) */
        f |= VIRTIO_F(VIRTIO_BLK_F_ZONED) | VIRTIO_F(VIRTIO_BLK_F_SECURE_ERASE);
    else
        f |= VIRTIO_F(VIRTIO_BLK_F_DISCARD) | VIRTIO_F(VIRTIO_BLK_F_WRITE_ZEROES);
    f &= ~o->features_off;
    /* The cache mode can be switched only where there is a FLUSH (5.2.5.2). */
    if (!(f & VIRTIO_F(VIRTIO_BLK_F_FLUSH)))
        f &= ~VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE);
    if (MUTANT(blk_flush_not_offered))
        f &= ~VIRTIO_F(VIRTIO_BLK_F_FLUSH);
    if (MUTANT(blk_zoned_offered))
        f |= VIRTIO_F(VIRTIO_BLK_F_ZONED);
    return f;
}

static uint64_t blk_features(struct vdev *d)
{
    return to_blk(d)->features;
}
static unsigned blk_num_queues(struct vdev *d)
{
    return to_blk(d)->queues;
}
static unsigned blk_queue_size_max(struct vdev *d, unsigned queue)
{
    return to_blk(d)->queue_size_max;
}

static unsigned log2_of(uint32_t v)
{
    return (unsigned)__builtin_ctz(v);
}

static struct virtio_blk_config config_make(const struct blk *b)
{
    uint32_t ratio = b->physical_block_bytes / b->block_bytes;
    uint64_t f = b->features;
    struct virtio_blk_config c = {.capacity = le64_make(b->capacity_sectors)};

    if (MUTANT(blk_capacity_too_large))
        c.capacity = le64_make(b->capacity_sectors + 8);
    if (f & VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX))
        c.size_max = le32_make(b->size_max);
    if (f & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX))
        c.seg_max = le32_make(b->seg_max);
    if (f & VIRTIO_F(VIRTIO_BLK_F_BLK_SIZE))
        c.blk_size = le32_make(b->block_bytes);
    if (f & VIRTIO_F(VIRTIO_BLK_F_TOPOLOGY)) {
        c.topology.physical_block_exp = (uint8_t)log2_of(ratio);
        c.topology.min_io_size = le16_make((uint16_t)ratio);
    }
    if (f & VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE))
        c.writeback = b->writeback;
    if (f & VIRTIO_F(VIRTIO_BLK_F_MQ))
        c.num_queues = le16_make((uint16_t)b->queues);
    if (f & VIRTIO_F(VIRTIO_BLK_F_DISCARD)) {
        c.max_discard_sectors = le32_make(BLK_DISCARD_MAX);
        c.max_discard_seg = le32_make(BLK_SEGS_MAX);
        c.discard_sector_alignment = le32_make(b->block_bytes / BLK_SECTOR_BYTES);
    }
    if (f & VIRTIO_F(VIRTIO_BLK_F_WRITE_ZEROES)) {
        c.max_write_zeroes_sectors = le32_make(BLK_ZEROES_MAX);
        c.max_write_zeroes_seg = le32_make(BLK_SEGS_MAX);
        c.write_zeroes_may_unmap = b->image.fd >= 0;
    }
    if (b->zones && vdev_has(&b->vdev, VIRTIO_BLK_F_ZONED)) {
        uint32_t zone = le32_get(blk_zones_config(b->zones).zone_sectors);

        c.zoned = blk_zones_config(b->zones);
        c.max_secure_erase_sectors = le32_make(ERASE_ZONES_MAX * zone);
        c.max_secure_erase_seg = le32_make(BLK_SEGS_MAX);
        c.secure_erase_sector_alignment =
            le32_make(MUTANT(blk_zone_erase_alignment_odd) ? zone / 2 : zone);
    }
    if (MUTANT(blk_config_padding_dirty))
        c.unused0 = c.unused1[0] = 0xff;
    if (MUTANT(blk_size_max_zero))
        c.size_max = le32_make(0);
    if (MUTANT(blk_block_size_odd))
        c.blk_size = le32_make(1000);
    if (MUTANT(blk_alignment_beyond_block))
        c.topology.alignment_offset = 0xff;
    return c;
}

static void blk_config_read(struct vdev *d, unsigned offset, unsigned bytes, void *value)
{
    struct virtio_blk_config c = config_make(to_blk(d));

    memcpy(value, (const char *)&c + offset, bytes);
}

static void blk_config_write(struct vdev *d, unsigned offset, unsigned bytes, const void *value)
{
    struct blk *b = to_blk(d);
    unsigned at = offsetof(struct virtio_blk_config, writeback);
    uint8_t mode;

    if (MUTANT(blk_capacity_writable) && offset == 0)
        b->capacity_sectors = *(const uint8_t *)value;

    /* The one field that a driver may write, and only with the feature. */
    if (offset > at || offset + bytes <= at || !vdev_has(d, VIRTIO_BLK_F_CONFIG_WCE)) {
        log_debug_limited("%s: write to read-only configuration at %u ignored", d->label, offset);
        return;
    }
    mode = ((const uint8_t *)value)[at - offset];
    if (mode <= 1 && !MUTANT(blk_writeback_stuck))
        b->writeback = mode;
}

static int blk_negotiated(struct vdev *d, uint64_t features)
{
    struct blk *b = to_blk(d);

    /* Who does not know zones would write where it must not (5.2.5.2). */
    if (b->zones && !(features & VIRTIO_F(VIRTIO_BLK_F_ZONED)) && !MUTANT(blk_zones_for_everybody))
        return -EINVAL;
    /* A driver that cannot flush gets write-through (5.2.5.2, 5.2.6.2). */
    b->writeback = (features & VIRTIO_F(VIRTIO_BLK_F_FLUSH)) || MUTANT(blk_wce_without_flush);
    return 0;
}

/* ---- requests ---- */

void blk_request_finish(struct blk *b, struct blk_request *q, uint8_t status)
{
    struct vdev_request *r = q->r;
    uint64_t status_at = r->in_bytes - 1,
             data_bytes = status_at - min_u64(q->tail_bytes, status_at);

    if (status != VIRTIO_BLK_S_OK)
        b->stats.errors += status == VIRTIO_BLK_S_IOERR;
    /* The used length counts from the first writable byte and includes the status behind the
     * data (2.7.8): what the request left unwritten is cleared, so that the length is true and
     * nothing stale is taken for data. */
    if (!MUTANT(blk_read_last_byte_missing) && !q->untouched)
        vdev_iov_fill(r->in, r->in_count, q->valid_bytes, 0, data_bytes - q->valid_bytes);
    if (MUTANT(blk_status_first_byte))
        status_at = 0;
    if (!MUTANT(blk_status_missing))
        vdev_iov_write(r->in, r->in_count, status_at, &status, 1);
    vdev_request_done(r, q->untouched ? 0 : (uint32_t)min_u64(r->in_bytes, UINT32_MAX));
}

static bool sectors_within(const struct blk *b, uint64_t sector, uint64_t count)
{
    if (MUTANT(blk_sector_bounds_unchecked))
        return true;
    if (MUTANT(blk_sector_bounds_wrap))
        return sector + count <= b->capacity_sectors;
    if (MUTANT(blk_only_first_sector_checked))
        return sector < b->capacity_sectors;
    return sector <= b->capacity_sectors && count <= b->capacity_sectors - sector;
}

static bool write_through(const struct blk *b)
{
    if (vdev_has(&b->vdev, VIRTIO_BLK_F_CONFIG_WCE))
        return !b->writeback;
    return !vdev_has(&b->vdev, VIRTIO_BLK_F_FLUSH);
}

/* What a device does that finds the end of the disk on its way: it has written up to there. */
static void write_up_to_the_end(struct blk *b, struct blk_request *q, uint64_t sector)
{
    char data[BLK_SECTOR_BYTES];

    if (q->step != BLK_STEP_WRITE || sector >= b->capacity_sectors || b->image.fd < 0)
        return;
    vdev_iov_read(q->r->out, q->r->out_count, q->skip_bytes, data, sizeof(data));
    if (pwrite(b->image.fd, data, sizeof(data), (off_t)(sector * BLK_SECTOR_BYTES)) < 0)
        log_debug_limited("%s: %s", b->vdev.label, strerror(errno));
}

/* Without an image; what is in bounds was looked at. */
static void null_transfer(struct blk *b, struct blk_request *q)
{
    const struct vdev_request *r = q->r;
    unsigned char *memory = b->memory ? b->memory + q->offset_bytes : NULL;

    if (q->step == BLK_STEP_READ) {
        q->untouched = b->store == BLK_STORE_UNTOUCHED && b->image.fd < 0;
        if (memory)
            vdev_iov_write(r->in, r->in_count, 0, memory, q->total_bytes);
        else if (!q->untouched)
            vdev_iov_fill(r->in, r->in_count, 0, 0, q->total_bytes);
        q->valid_bytes = q->total_bytes;
    } else if (memory) {
        vdev_iov_read(r->out, r->out_count, q->skip_bytes, memory, q->total_bytes);
    }
    blk_request_finish(b, q, VIRTIO_BLK_S_OK);
}

#ifdef RP_MUTANTS
/* A cache that nobody flushes: what was written last waits here for the next request. */
static void kept_write(struct blk *b)
{
    if (b->kept.data && pwrite(b->image.fd, b->kept.data, b->kept.bytes,
                               (off_t)b->kept.offset_bytes) != (ssize_t)b->kept.bytes)
        log_warn("%s: a write that was kept back is lost", b->vdev.label);
    free(b->kept.data);
    b->kept.data = NULL;
}

static bool kept_take(struct blk *b, const struct blk_request *q)
{
    b->kept.data = malloc(q->total_bytes);
    if (!b->kept.data)
        return false;
    b->kept.bytes =
        vdev_iov_read(q->r->out, q->r->out_count, q->skip_bytes, b->kept.data, q->total_bytes);
    b->kept.offset_bytes = q->offset_bytes;
    return true;
}
#endif

static void do_transfer(struct blk *b, struct blk_request *q, uint64_t sector)
{
    const struct vdev_request *r = q->r;
    bool read = q->type == VIRTIO_BLK_T_IN;

    q->step = read ? BLK_STEP_READ : BLK_STEP_WRITE;
    q->skip_bytes = read ? 0 : sizeof(struct virtio_blk_req_hdr);
    q->total_bytes = read ? r->in_bytes - 1 : r->out_bytes - sizeof(struct virtio_blk_req_hdr);
    q->sync_after = !read && write_through(b);

    if (!read && b->read_only && !MUTANT(blk_ro_write_ok)) {
        blk_request_finish(b, q, VIRTIO_BLK_S_IOERR);
        return;
    }
    if ((q->total_bytes % BLK_SECTOR_BYTES && !MUTANT(blk_length_unchecked)) ||
        !sectors_within(b, sector, q->total_bytes / BLK_SECTOR_BYTES) ||
        (MUTANT(blk_large_refused) && q->total_bytes > 64 * 1024) ||
        (MUTANT(blk_half_of_seg_max_refused) && r->in_count > b->seg_max / 2)) {
        if (MUTANT(blk_write_over_end_in_part))
            write_up_to_the_end(b, q, sector);
        blk_request_finish(b, q, VIRTIO_BLK_S_IOERR);
        return;
    }
    if (b->zones) {
        uint8_t status = read
                             ? blk_zones_read(b->zones, sector, q->total_bytes / BLK_SECTOR_BYTES)
                             : blk_zones_write(b->zones, sector, q->total_bytes / BLK_SECTOR_BYTES);

        if (status != VIRTIO_BLK_S_OK) {
            blk_request_finish(b, q, status);
            return;
        }
    }
    if (read) {
        b->stats.reads++;
        b->stats.read_bytes += q->total_bytes;
    } else {
        b->stats.writes++;
        b->stats.written_bytes += q->total_bytes;
    }
    q->offset_bytes = sector * BLK_SECTOR_BYTES;
    if (MUTANT(blk_second_queue_elsewhere) && r->queue->index)
        q->offset_bytes ^= BLK_SECTOR_BYTES;
    if (MUTANT(blk_write_off_by_one) && !read)
        q->offset_bytes += BLK_SECTOR_BYTES;
    if (MUTANT(blk_read_last_byte_missing) && read && q->total_bytes)
        q->total_bytes--;
    if (MUTANT(blk_write_dropped_now_and_then) && !read && b->stats.writes % 1000 == 999)
        q->total_bytes = 0;
#ifdef RP_MUTANTS
    if (MUTANT(blk_write_kept_back) && b->image.fd >= 0) {
        kept_write(b);
        if (!read && q->total_bytes && kept_take(b, q)) {
            blk_request_finish(b, q, VIRTIO_BLK_S_OK);
            return;
        }
    }
#endif
    if (MUTANT(blk_empty_read_status_unknown) && read && q->total_bytes == 0) {
        blk_request_finish(b, q, 0x7f);
        return;
    }
    if (b->image.fd < 0 || q->total_bytes == 0 || (MUTANT(blk_write_dropped) && !read))
        null_transfer(b, q);
    else
        blk_engine_start(b, q);
}

/* Data behind the header, and in front of the status the sector at which they were put. */
static void do_append(struct blk *b, struct blk_request *q, uint64_t sector)
{
    const struct vdev_request *r = q->r;
    struct virtio_blk_zone_append answer = {0};
    uint64_t at = 0, bytes = r->out_bytes - sizeof(struct virtio_blk_req_hdr);
    uint8_t status = VIRTIO_BLK_S_IOERR;

    if (r->in_bytes == sizeof(answer) + 1 && bytes % BLK_SECTOR_BYTES == 0 && !b->read_only)
        status = blk_zones_append(b->zones, sector, bytes / BLK_SECTOR_BYTES, &at);
    if (status != VIRTIO_BLK_S_OK) {
        blk_request_finish(b, q, status);
        return;
    }
    answer.append_sector = le64_make(at);
    vdev_iov_write(r->in, r->in_count, 0, &answer, sizeof(answer));
    q->tail_bytes = sizeof(answer);
    q->step = BLK_STEP_WRITE;
    q->skip_bytes = sizeof(struct virtio_blk_req_hdr);
    q->total_bytes = bytes;
    q->sync_after = write_through(b);
    q->offset_bytes = at * BLK_SECTOR_BYTES;
    b->stats.writes++;
    b->stats.written_bytes += bytes;
    if (b->image.fd < 0)
        blk_request_finish(b, q, VIRTIO_BLK_S_OK);
    else
        blk_engine_start(b, q);
}

static void do_report(struct blk *b, struct blk_request *q, uint64_t sector)
{
    const struct vdev_request *r = q->r;
    struct virtio_blk_zone_descriptor list[REPORT_ZONES_MAX];
    struct virtio_blk_zone_report head = {.nr_zones = le64_make(0)};
    uint64_t room = r->in_bytes - 1;
    unsigned max, count = 0;
    uint8_t status = VIRTIO_BLK_S_ZONE_INVALID_CMD;

    if (room >= sizeof(head) + sizeof(list[0])) {
        max = (unsigned)min_u64((room - sizeof(head)) / sizeof(list[0]), REPORT_ZONES_MAX);
        status = blk_zones_report(b->zones, sector, list, max, &count);
    }
    if (status == VIRTIO_BLK_S_OK) {
        head.nr_zones = le64_make(count);
        vdev_iov_write(r->in, r->in_count, 0, &head, sizeof(head));
        vdev_iov_write(r->in, r->in_count, sizeof(head), list, count * sizeof(list[0]));
        q->valid_bytes = sizeof(head) + count * sizeof(list[0]);
    }
    blk_request_finish(b, q, status);
}

/* Whole zones are erased by being empty: what is read of them is no data. */
static void do_erase(struct blk *b, struct blk_request *q)
{
    const struct vdev_request *r = q->r;
    struct virtio_blk_discard_write_zeroes wire;
    uint64_t bytes = r->out_bytes - sizeof(struct virtio_blk_req_hdr);
    uint8_t status = bytes && bytes % sizeof(wire) == 0 && bytes / sizeof(wire) <= BLK_SEGS_MAX
                         ? VIRTIO_BLK_S_OK
                         : VIRTIO_BLK_S_IOERR;

    for (uint64_t at = 0; status == VIRTIO_BLK_S_OK && at < bytes; at += sizeof(wire)) {
        vdev_iov_read(r->out, r->out_count, sizeof(struct virtio_blk_req_hdr) + at, &wire,
                      sizeof(wire));
        uint64_t sector = le64_get(wire.sector), count = le32_get(wire.num_sectors);

        if (le32_get(wire.flags))
            status = VIRTIO_BLK_S_UNSUPP;
        else if (!sectors_within(b, sector, count))
            status = VIRTIO_BLK_S_IOERR;
        else
            status = blk_zones_erase(b->zones, sector, count);
    }
    blk_request_finish(b, q, status);
}

/* Requests that only a zoned disk takes. True: it was one. */
static bool do_zoned(struct blk *b, struct blk_request *q, uint64_t sector)
{
    if (!b->zones || !vdev_has(&b->vdev, VIRTIO_BLK_F_ZONED))
        return false;
    switch (q->type) {
    case VIRTIO_BLK_T_ZONE_APPEND:
        do_append(b, q, sector);
        return true;
    case VIRTIO_BLK_T_ZONE_REPORT:
        do_report(b, q, sector);
        return true;
    case VIRTIO_BLK_T_ZONE_OPEN:
    case VIRTIO_BLK_T_ZONE_CLOSE:
    case VIRTIO_BLK_T_ZONE_FINISH:
    case VIRTIO_BLK_T_ZONE_RESET:
    case VIRTIO_BLK_T_ZONE_RESET_ALL:
        blk_request_finish(b, q, blk_zones_manage(b->zones, q->type, sector));
        return true;
    case VIRTIO_BLK_T_SECURE_ERASE:
        if (!vdev_has(&b->vdev, VIRTIO_BLK_F_SECURE_ERASE))
            return false;
        do_erase(b, q);
        return true;
    default:
        return false;
    }
}

static void do_flush(struct blk *b, struct blk_request *q)
{
    b->stats.flushes++;
    q->step = BLK_STEP_SYNC;
    if (MUTANT(blk_flush_unsupported))
        blk_request_finish(b, q, VIRTIO_BLK_S_UNSUPP);
    else if (b->image.fd < 0)
        blk_request_finish(b, q, VIRTIO_BLK_S_OK);
    else
        blk_engine_start(b, q);
}

static void do_id(struct blk *b, struct blk_request *q)
{
    const struct vdev_request *r = q->r;
    uint64_t room = r->in_bytes - 1;
    char id[BLK_SERIAL_BYTES];

    memcpy(id, b->serial, sizeof(id));
    if (MUTANT(blk_id_not_padded))
        for (unsigned i = 0; i < sizeof(id); i++)
            id[i] = id[i] ? id[i] : 'x';
    if (MUTANT(blk_id_truncated))
        id[BLK_SERIAL_BYTES - 1] = '\0';
    if (MUTANT(blk_id_changes))
        id[BLK_SERIAL_BYTES - 1] = (char)b->stats.ids;
    b->stats.ids++;
    q->valid_bytes = vdev_iov_write(r->in, r->in_count, 0, id, min_u64(room, sizeof(id)));
    blk_request_finish(b, q, VIRTIO_BLK_S_OK);
}

static void do_lifetime(struct blk *b, struct blk_request *q)
{
    const struct vdev_request *r = q->r;
    struct virtio_blk_lifetime life = {
        .pre_eol_info = le16_make(MUTANT(blk_lifetime_reserved) ? 0x77 : 1),
        .device_lifetime_est_typ_a = le16_make(1),
        .device_lifetime_est_typ_b = le16_make(MUTANT(blk_lifetime_estimate_reserved) ? 12 : 1),
    };

    if (r->in_bytes < sizeof(life) + 1) {
        blk_request_finish(b, q, VIRTIO_BLK_S_IOERR);
        return;
    }
    q->valid_bytes = vdev_iov_write(r->in, r->in_count, 0, &life, sizeof(life));
    blk_request_finish(b, q, VIRTIO_BLK_S_OK);
}

/* Status of a discard or write zeroes before it begins; fills q->segs. */
static uint8_t parse_segments(struct blk *b, struct blk_request *q)
{
    const struct vdev_request *r = q->r;
    struct virtio_blk_discard_write_zeroes wire[BLK_SEGS_MAX];
    bool discard = q->type == VIRTIO_BLK_T_DISCARD;
    uint32_t known = discard ? 0 : VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
    uint64_t bytes = r->out_bytes - sizeof(struct virtio_blk_req_hdr);
    uint32_t sectors_max = discard ? BLK_DISCARD_MAX : BLK_ZEROES_MAX;
    unsigned count;

    if (bytes == 0 || bytes % sizeof(wire[0]) || bytes / sizeof(wire[0]) > BLK_SEGS_MAX)
        return VIRTIO_BLK_S_IOERR;
    count = (unsigned)(bytes / sizeof(wire[0]));
    vdev_iov_read(r->out, r->out_count, sizeof(struct virtio_blk_req_hdr), wire, bytes);
    /* Flags first: an unknown one makes the command unsupported, whatever its ranges are
     * (5.2.6.2). */
    for (unsigned i = 0; i < count; i++) {
        uint32_t flags = le32_get(wire[i].flags);

        if ((flags & ~known) && !(MUTANT(blk_discard_unmap_accepted) && discard) &&
            !(MUTANT(blk_zeroes_flag_ignored) && !discard))
            return VIRTIO_BLK_S_UNSUPP;
    }
    q->unmap = !discard;
    for (unsigned i = 0; i < count; i++) {
        uint64_t sector = le64_get(wire[i].sector);
        uint32_t sectors = le32_get(wire[i].num_sectors);

        if (!sectors_within(b, sector, sectors) || sectors > sectors_max)
            return VIRTIO_BLK_S_IOERR;
        /* One segment that may not be deallocated decides for all. */
        if (!(le32_get(wire[i].flags) & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
            q->unmap = false;
        if (MUTANT(blk_discard_too_long) && discard)
            sectors += 8;
        if (sectors)
            q->segs[q->seg_count++] = (struct blk_segment){sector * BLK_SECTOR_BYTES,
                                                           (uint64_t)sectors * BLK_SECTOR_BYTES};
    }
    return VIRTIO_BLK_S_OK;
}

static void do_segments(struct blk *b, struct blk_request *q)
{
    bool discard = q->type == VIRTIO_BLK_T_DISCARD;
    uint8_t status;

    if (b->read_only) {
        blk_request_finish(b, q, VIRTIO_BLK_S_IOERR);
        return;
    }
    status = parse_segments(b, q);
    if (MUTANT(blk_discard_unsupported) && discard)
        status = VIRTIO_BLK_S_UNSUPP;
    if (discard)
        b->stats.discards++;
    else
        b->stats.zeroes++;
    if (status == VIRTIO_BLK_S_OK && b->memory)
        for (unsigned i = 0; i < q->seg_count; i++)
            memset(b->memory + q->segs[i].offset_bytes, 0, q->segs[i].bytes);
    if (status != VIRTIO_BLK_S_OK || q->seg_count == 0 || b->image.fd < 0 ||
        (MUTANT(blk_zeroes_not_zeroed) && !discard)) {
        blk_request_finish(b, q, status);
        return;
    }
    q->step = discard || q->unmap ? BLK_STEP_DEALLOCATE : BLK_STEP_ZERO;
    q->offset_bytes = q->segs[0].offset_bytes;
    q->sync_after = write_through(b);
    blk_engine_start(b, q);
}

static void blk_request_new(struct vdev *d, struct vdev_request *r)
{
    struct blk *b = to_blk(d);
    struct blk_request *q = r->user;
    struct virtio_blk_req_hdr header;

    memset(q, 0, offsetof(struct blk_request, segs));
    q->seg_count = q->seg_next = q->retries = 0;
    q->r = r;
    /* No place for a status: nothing can be answered. */
    if (r->in_bytes == 0) {
        if (MUTANT(blk_status_room_asserted))
            abort();
        vdev_fault(d, "blk-no-status", "a request without a writable byte");
        vdev_request_done(r, 0);
        return;
    }
    if (MUTANT(blk_header_one_descriptor) && r->out_count && r->out[0].iov_len < sizeof(header)) {
        blk_request_finish(b, q, VIRTIO_BLK_S_IOERR);
        return;
    }
    if (vdev_iov_read(r->out, r->out_count, 0, &header, sizeof(header)) < sizeof(header)) {
        if (MUTANT(blk_header_asserted))
            abort();
        blk_request_finish(b, q, VIRTIO_BLK_S_IOERR);
        return;
    }
    q->type = le32_get(header.type);
    if (MUTANT(blk_reserved_has_to_be_zero) && le32_get(header.reserved)) {
        blk_request_finish(b, q, VIRTIO_BLK_S_IOERR);
        return;
    }
    switch (q->type) {
    case VIRTIO_BLK_T_IN:
    case VIRTIO_BLK_T_OUT:
        do_transfer(b, q, le64_get(header.sector));
        return;
    case VIRTIO_BLK_T_FLUSH:
        if (!vdev_has(d, VIRTIO_BLK_F_FLUSH))
            break;
        do_flush(b, q);
        return;
    case VIRTIO_BLK_T_GET_ID:
        do_id(b, q);
        return;
    case VIRTIO_BLK_T_GET_LIFETIME:
        if (!vdev_has(d, VIRTIO_BLK_F_LIFETIME))
            break;
        do_lifetime(b, q);
        return;
    case VIRTIO_BLK_T_DISCARD:
        if (!vdev_has(d, VIRTIO_BLK_F_DISCARD))
            break;
        do_segments(b, q);
        return;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        if (!vdev_has(d, VIRTIO_BLK_F_WRITE_ZEROES))
            break;
        do_segments(b, q);
        return;
    default:
        if (do_zoned(b, q, le64_get(header.sector)))
            return;
        break;
    }
    b->stats.unsupported++;
    blk_request_finish(b, q, MUTANT(blk_unknown_type_ok) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_UNSUPP);
}

static void blk_kick_end(struct vdev *d, unsigned queue)
{
    blk_engine_submit(to_blk(d));
}
static void blk_reset(struct vdev *d)
{
    struct blk *b = to_blk(d);

    blk_engine_drain(b, BLK_QUEUE_ANY);
    if (MUTANT(blk_reset_discards) && b->image.fd >= 0 && !b->read_only)
        (void)fallocate(b->image.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0,
                        (off_t)(b->capacity_sectors * BLK_SECTOR_BYTES));
    b->writeback = b->features & VIRTIO_F(VIRTIO_BLK_F_FLUSH);
}

static void blk_queue_reset(struct vdev *d, unsigned queue)
{
    blk_engine_drain(to_blk(d), queue);
}

static void blk_destroy(struct vdev *d)
{
    struct blk *b = to_blk(d);

    blk_hold_destroy(b->hold);
    blk_engine_fini(b);
#ifdef RP_MUTANTS
    kept_write(b);
#endif
    blk_image_close(b);
    blk_zones_destroy(b->zones);
    vdev_fini(d);
    free(b->memory);
    free(b);
}

const struct vdev_type blk_type = {
    .name = "blk",
    .device_id = VIRTIO_ID_BLOCK,
    .class_code = BLK_CLASS_CODE,
    .config_bytes = sizeof(struct virtio_blk_config),
    .feature_names = feature_names,
    .features = blk_features,
    .num_queues = blk_num_queues,
    .queue_size_max = blk_queue_size_max,
    .config_read = blk_config_read,
    .config_write = blk_config_write,
    .negotiated = blk_negotiated,
    .reset = blk_reset,
    .queue_reset = blk_queue_reset,
    .request = blk_request_new,
    .kick_end = blk_kick_end,
    .destroy = blk_destroy,
};

/* ---- creation ---- */

static int options_check(const struct blk_options *o, char *error, size_t error_bytes)
{
    const char *what = NULL;

    if (!o->path && (o->null_bytes == 0 || o->null_bytes % BLK_SECTOR_BYTES))
        what = "the size of a null store has to be a multiple of 512 above 0";
    else if (o->hold && !o->path)
        what = "a null store holds no requests back";
    else if (o->zone_bytes && o->store == BLK_STORE_MEMORY)
        what = "no zones in memory";
    else if (o->queues > VDEV_QUEUES_MAX)
        what = "too many queues";
    else if (o->queue_size_max && !is_pow2(o->queue_size_max))
        what = "the queue size has to be a power of two";
    else if (o->serial && strlen(o->serial) > BLK_SERIAL_BYTES)
        what = "the serial is longer than 20 bytes";
    else if (o->block_bytes && (!is_pow2(o->block_bytes) || o->block_bytes < BLK_SECTOR_BYTES ||
                                o->block_bytes > BLOCK_BYTES_MAX))
        what = "the block size has to be a power of two from 512 to 65536";
    else if (o->physical_block_bytes &&
             (!is_pow2(o->physical_block_bytes) || o->physical_block_bytes < o->block_bytes ||
              o->physical_block_bytes < BLK_SECTOR_BYTES ||
              o->physical_block_bytes > BLOCK_BYTES_MAX * 16))
        what = "the physical block size has to be a power of two from the block size to 1 MiB";
    else if (o->seg_max > VDEV_CHAIN_MAX - FRAMING_SLACK)
        what = "too many segments";
    else if (o->zone_bytes % BLK_SECTOR_BYTES || o->zone_append_bytes % BLK_SECTOR_BYTES)
        what = "zones and appends have to be multiples of 512 bytes";
    else if (o->inflight_max > BLK_INFLIGHT_MAX)
        what = "too many requests in flight";
    if (!what)
        return 0;
    snprintf(error, error_bytes, "%s", what);
    return -EINVAL;
}

static void options_take(struct blk *b, const struct vdev_config *config,
                         const struct blk_options *o)
{
    b->read_only = o->read_only;
    b->queues = o->queues ? o->queues : 1;
    b->queue_size_max = o->queue_size_max && o->queue_size_max < config->queue_size_max
                            ? o->queue_size_max
                            : config->queue_size_max;
    b->block_bytes = o->block_bytes ? o->block_bytes : BLK_SECTOR_BYTES;
    b->physical_block_bytes = o->physical_block_bytes ? o->physical_block_bytes : b->block_bytes;
    if (!o->physical_block_bytes && o->path && b->physical_block_bytes < 4096)
        b->physical_block_bytes = 4096;
    b->seg_max = o->seg_max ? o->seg_max : DEFAULT_SEG_MAX;
    /* Without indirect descriptors a request has to fit the queue with header and status. */
    if (!o->seg_max && b->seg_max + 2 > b->queue_size_max)
        b->seg_max = b->queue_size_max > 2 ? b->queue_size_max - 2 : 1;
    b->size_max = o->size_max ? o->size_max : DEFAULT_SIZE_MAX;
    if (o->serial)
        memcpy(b->serial, o->serial, strnlen(o->serial, sizeof(b->serial)));
    b->features = offered_features(b, o);
    b->writeback = b->features & VIRTIO_F(VIRTIO_BLK_F_FLUSH);
}

static void let_go(void *ctx)
{
    blk_engine_go_on(ctx);
}

int blk_create(const struct vdev_config *config, const struct blk_options *options,
               struct vdev **out, char *error, size_t error_bytes)
{
    struct vdev_init_params params = {.user_bytes = sizeof(struct blk_request)};
    bool core_ready = false;
    struct blk *b;
    int rc = options_check(options, error, error_bytes);

    if (rc)
        return rc;
    b = calloc(1, sizeof(*b));
    if (!b) {
        snprintf(error, error_bytes, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    b->image.fd = -1;
    b->event_fd = -1;
    b->capacity_sectors = options->null_bytes / BLK_SECTOR_BYTES;
    b->store = options->store;
    if (!options->path && b->store == BLK_STORE_MEMORY) {
        b->memory = options->null_bytes <= SIZE_MAX ? calloc(1, (size_t)options->null_bytes) : NULL;
        if (!b->memory) {
            rc = -ENOMEM;
            snprintf(error, error_bytes, "the store: %s", strerror(ENOMEM));
            goto out;
        }
    }
    if (options->path) {
        rc = blk_image_open(b, options, error, error_bytes);
        if (rc)
            goto out;
    }
    if (options->zone_bytes) {
        rc = blk_zones_create(b->capacity_sectors, options->zone_bytes / BLK_SECTOR_BYTES,
                              options->zone_append_bytes / BLK_SECTOR_BYTES, &b->zones);
        if (rc) {
            snprintf(error, error_bytes, "zones: %s",
                     rc == -EINVAL ? "the size is no whole number of them" : strerror(-rc));
            goto out;
        }
    }
    options_take(b, config, options);
    /* A chain as long as the queue is legal (2.7.5.3.1), and what seg_max promises. */
    params.chain_max = (unsigned)max_u64(b->queue_size_max, b->seg_max + FRAMING_SLACK);
    params.chain_max = (unsigned)min_u64(params.chain_max, VDEV_CHAIN_MAX);
    rc = vdev_init(&b->vdev, &blk_type, config, &params);
    if (rc) {
        snprintf(error, error_bytes, "device: %s", strerror(-rc));
        goto out;
    }
    core_ready = true;
    rc = blk_engine_init(b, options->inflight_max ? options->inflight_max : DEFAULT_INFLIGHT, error,
                         error_bytes);
    if (!rc && options->hold) {
        rc = blk_hold_create(config->loop, options->hold, let_go, b, &b->hold);
        if (rc)
            snprintf(error, error_bytes, "%s: %s", options->hold, strerror(-rc));
    }
    if (rc)
        goto out;
    *out = &b->vdev;
    return 0;
out:
    if (core_ready) {
        blk_destroy(&b->vdev);
    } else {
        blk_image_close(b);
        blk_zones_destroy(b->zones);
        free(b->memory);
        free(b);
    }
    return rc;
}

int blk_resize(struct vdev *d, uint64_t null_bytes)
{
    struct blk *b = to_blk(d);
    uint64_t bytes = null_bytes;

    if (b->image.fd >= 0) {
        int rc = blk_image_size(&b->image, &bytes);

        if (rc)
            return rc;
    }
    if (bytes == 0 || bytes % BLK_SECTOR_BYTES || b->memory)
        return -EINVAL;
    if (bytes / BLK_SECTOR_BYTES == b->capacity_sectors)
        return 0;
    b->capacity_sectors = bytes / BLK_SECTOR_BYTES;
    vdev_config_changed(d);
    return 0;
}

void blk_get_stats(const struct vdev *d, struct blk_stats *stats)
{
    *stats = to_blk_const(d)->stats;
}
