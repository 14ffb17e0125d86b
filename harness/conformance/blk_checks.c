/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.2: the block device. */
#define CHECK_FAMILY "blk"

#include <stdio.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "util/bits.h"

#define CONFIG(field) offsetof(struct virtio_blk_config, field)

static struct blk_reply read_to(struct blk *k, struct buffer *b, uint64_t sector)
{
    struct piece p = piece_of(b, true);

    return blk_request(k, VIRTIO_BLK_T_IN, sector, &p, 1);
}

static struct blk_reply write_from(struct blk *k, struct buffer *b, uint64_t sector)
{
    struct piece p = piece_of(b, false);

    return blk_request(k, VIRTIO_BLK_T_OUT, sector, &p, 1);
}

/* ---- data ---- */

CHECK(read_one_sector, .judges = DEVICE, .proves = "xen.blk.data.1",
      .needs = NEED_DEVICE | NEED_BLK,
      .title = "A read of one sector succeeds and fills its 512 bytes")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0x123, FE_DMA_FROM_DEVICE);
    struct buffer *c = given_buffer(k->d, SECTOR, 0x123, FE_DMA_FROM_DEVICE);

    memset(b->va, 0x00, b->bytes);
    memset(c->va, 0xff, c->bytes);
    expect_eq(t, MUST, read_to(k, b, 0).status, VIRTIO_BLK_S_OK, "the status of a read");
    expect_eq(t, MUST, read_to(k, c, 0).status, VIRTIO_BLK_S_OK, "the status of a read");
    /* Bytes that were not written differ, for they started differently. */
    expect(t, MUST, memcmp(b->va, c->va, SECTOR) == 0,
           "two reads of a sector differ: not all bytes were written");
    expect_canaries(t, b, "data");
    expect_canaries(t, c, "data");
    buffer_release(b);
    buffer_release(c);
}

CHECK(written_data_is_read_back, .judges = DEVICE, .proves = "xen.blk.data.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE,
      .title = "Each sector keeps what was last written to it, and no other changes")
{
    struct blk *k = given_blk(t, 0, 0);

    for (uint64_t s = 0; s < 8; s++)
        blk_write_pattern(k, s, 1, 500 + (uint32_t)s);
    blk_write_pattern(k, 3, 2, 900);
    for (uint64_t s = 0; s < 8; s++) {
        if (s == 3 || s == 4)
            continue;
        expect_pattern(k, s, 1, 500 + (uint32_t)s, "a sector beside those written has changed");
    }
    expect_pattern(k, 3, 2, 900, "overwritten sectors have not the new data");
}

CHECK(last_sector_works, .judges = DEVICE, .proves = "xen.blk.capacity.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "capacity counts sectors of 512 bytes, all usable")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);

    note(t, "capacity", "%llu sectors", (unsigned long long)k->capacity);
    expect_eq(t, MUST, read_to(k, b, k->capacity - 1).status, VIRTIO_BLK_S_OK,
              "the status of a read of the last sector");
    buffer_release(b);
}

CHECK(large_request, .judges = DEVICE, .proves = "xen.blk.data.3", .needs = NEED_DEVICE | NEED_BLK,
      .title = "512 KiB in one descriptor, or as much as size_max and the disk allow")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX), 0);
    uint64_t bytes = min_u64(512 * 1024ull, k->size_max);
    struct buffer *b;

    bytes = align_down(min_u64(bytes, k->capacity * SECTOR), SECTOR);
    b = given_buffer(k->d, (uint32_t)bytes, 0, FE_DMA_FROM_DEVICE);
    expect_eq(t, MUST, read_to(k, b, 0).status, VIRTIO_BLK_S_OK, "the status of a large read");
    note(t, "bytes", "%llu", (unsigned long long)bytes);
    buffer_release(b);
}

CHECK(data_survives_reset, .judges = DEVICE, .proves = "xen.blk.data.4",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_FLUSH,
      .title = "Flushed data is there after a reset of the device")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_FLUSH), 0);

    blk_write_pattern(k, 10, 4, 31);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_FLUSH, 0, NULL, 0).status, VIRTIO_BLK_S_OK,
              "the status of a flush");
    blk_restart(k, 0, 0);
    expect_pattern(k, 10, 4, 31, "flushed data is lost after a reset");
}

CHECK(parallel_writes_land_where_they_should, .judges = DEVICE, .proves = "xen.blk.data.5",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE,
      .title = "Writes in flight together, each to a sector of its own")
{
    struct blk *k = given_blk(t, 0, 0);
    unsigned n = k->q->size / 3 < 16 ? k->q->size / 3 : 16;
    struct buffer *data = given_buffer(k->d, n * SECTOR, 0, FE_DMA_TO_DEVICE);
    struct buffer *headers = given_buffer(k->d, n * 16, 0, FE_DMA_TO_DEVICE);
    struct buffer *statuses = given_buffer(k->d, n, 0, FE_DMA_FROM_DEVICE);
    struct virtq_raw_used u;

    buffer_fill(data, 71);
    memset(statuses->va, 0xee, n);
    for (unsigned i = 0; i < n; i++) {
        /* Backwards, so that ring order and disk order differ. */
        struct virtio_blk_req_hdr h = {.type = le32_make(VIRTIO_BLK_T_OUT),
                                       .sector = le64_make(n - 1 - i)};
        struct piece p[3] = {
            piece_part(headers, i * 16, 16, false),
            piece_part(data, (n - 1 - i) * SECTOR, SECTOR, false),
            piece_part(statuses, i, 1, true),
        };

        memcpy(headers->va + (size_t)i * 16, &h, sizeof(h));
        ring_offer(k->q, ring_chain(k->q, 3 * i, p, 3));
    }
    ring_kick(k->q);
    for (unsigned i = 0; i < n; i++) {
        bool came = ring_used(k->q, &u, LIMIT_REPLY_NS);

        expect(t, MUST, came, "%u of %u writes were used", i, n);
        if (!came)
            stop_check(t);
    }
    expect(t, MUST, buffer_is(statuses, VIRTIO_BLK_S_OK), "not every write has status 0");
    buffer_release(data);
    buffer_release(headers);
    buffer_release(statuses);
    expect_pattern(k, 0, n, 71, "parallel writes did not reach their sectors");
}

/* ---- requests that fail ---- */

CHECK(sector_out_of_range, .judges = DEVICE, .proves = "xen.blk.range.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "Reads past the end fail with VIRTIO_BLK_S_IOERR")
{
    struct blk *k = given_blk(t, 0, 0);
    const uint64_t bad[] = {k->capacity, k->capacity + 1, 1ull << 54,
                            1ull << 55,  1ull << 63,      UINT64_MAX};
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct blk_reply reply = read_to(k, b, bad[i]);

        expect(t, MUST, reply.status == VIRTIO_BLK_S_IOERR,
               "a read of sector 0x%llx of 0x%llx has status %u", (unsigned long long)bad[i],
               (unsigned long long)k->capacity, reply.status);
    }
    expect_eq(t, MUST, read_to(k, b, 0).status, VIRTIO_BLK_S_OK, "the status of a read afterwards");
    buffer_release(b);
}

CHECK(range_crosses_the_end, .judges = DEVICE, .proves = "xen.blk.range.2",
      .needs = NEED_DEVICE | NEED_BLK, .title = "A request that begins inside and ends outside")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, 4 * SECTOR, 0, FE_DMA_FROM_DEVICE);

    for (unsigned past = 1; past < 4; past++)
        expect_eq(t, MUST, read_to(k, b, k->capacity - 4 + past).status, VIRTIO_BLK_S_IOERR,
                  "the status of a read over the end");
    expect_eq(t, MUST, read_to(k, b, k->capacity - 4).status, VIRTIO_BLK_S_OK,
              "the status of a read up to the end");
    buffer_release(b);
}

CHECK(failed_write_changes_nothing, .judges = DEVICE, .proves = "xen.blk.range.3",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE,
      .title = "A write over the end fails as a whole")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, 4 * SECTOR, 0, FE_DMA_TO_DEVICE);

    blk_write_pattern(k, k->capacity - 2, 2, 12);
    buffer_fill(b, 13);
    expect_eq(t, MUST, write_from(k, b, k->capacity - 2).status, VIRTIO_BLK_S_IOERR,
              "the status of a write over the end");
    buffer_release(b);
    expect_pattern(k, k->capacity - 2, 2, 12, "a failed write changed the disk");
}

CHECK(length_is_no_multiple_of_a_sector, .judges = DEVICE, .proves = "xen.blk.length.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "Data of 1, 511, 513 and 1000 bytes is refused")
{
    static const uint32_t lengths[] = {1, 511, 513, 1000};
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        struct buffer *b = given_buffer(k->d, lengths[i], 0x10, FE_DMA_FROM_DEVICE);
        struct blk_reply reply = read_to(k, b, 0);

        expect(t, MUST, reply.status == VIRTIO_BLK_S_IOERR || reply.status == VIRTIO_BLK_S_UNSUPP,
               "a read of %u bytes has status %u", lengths[i], reply.status);
        expect_canaries(t, b, "data");
        buffer_release(b);
    }
}

CHECK(read_without_data, .judges = DEVICE, .proves = "xen.blk.length.2",
      .needs = NEED_DEVICE | NEED_BLK, .title = "A read of no bytes is answered")
{
    struct blk *k = given_blk(t, 0, 0);
    struct blk_reply reply = blk_request(k, VIRTIO_BLK_T_IN, 0, NULL, 0);

    note(t, "status", "%u", reply.status);
    expect(t, MUST, reply.status <= VIRTIO_BLK_S_UNSUPP, "the status is %u", reply.status);
    expect(t, MUST, reply.used_len <= 1, "the used length is %u", reply.used_len);
}

CHECK(unknown_type_is_unsupported, .judges = DEVICE, .proves = "xen.blk.type.1",
      .needs = NEED_DEVICE | NEED_BLK, .title = "Types that do not exist: VIRTIO_BLK_S_UNSUPP")
{
    static const uint32_t types[] = {2, 3, 5, 6, 7, 99, 0x100, 0x10000, 0x80000000, 0xffffffff};
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(types); i++) {
        struct blk_reply reply = blk_request(k, types[i], 0, NULL, 0);

        expect(t, MUST, reply.status == VIRTIO_BLK_S_UNSUPP, "type 0x%x has status %u", types[i],
               reply.status);
    }
}

CHECK(zone_requests_are_unsupported, .judges = DEVICE, .proves = "blk.device-operation.device.18",
      .needs = NEED_DEVICE | NEED_BLK, .title = "Without VIRTIO_BLK_F_ZONED")
{
    static const uint32_t types[] = {
        VIRTIO_BLK_T_ZONE_APPEND,    VIRTIO_BLK_T_ZONE_REPORT, VIRTIO_BLK_T_ZONE_OPEN,
        VIRTIO_BLK_T_ZONE_CLOSE,     VIRTIO_BLK_T_ZONE_FINISH, VIRTIO_BLK_T_ZONE_RESET,
        VIRTIO_BLK_T_ZONE_RESET_ALL,
    };
    struct blk *k = given_blk(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(types); i++) {
        struct blk_reply reply = blk_request(k, types[i], 0, NULL, 0);

        expect(t, MUST, reply.status == VIRTIO_BLK_S_UNSUPP, "zone request %u has status %u",
               types[i], reply.status);
    }
}

CHECK(features_not_negotiated_are_unsupported, .judges = DEVICE, .proves = "xen.blk.type.2",
      .needs = NEED_DEVICE | NEED_BLK,
      .title = "Secure erase and lifetime, when their features are not accepted")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *life =
        given_buffer(k->d, sizeof(struct virtio_blk_lifetime), 0, FE_DMA_FROM_DEVICE);
    struct buffer *range =
        given_buffer(k->d, sizeof(struct virtio_blk_discard_write_zeroes), 0, FE_DMA_TO_DEVICE);
    struct piece p = piece_of(life, true);

    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_GET_LIFETIME, 0, &p, 1).status,
              VIRTIO_BLK_S_UNSUPP, "the status of GET_LIFETIME");
    p = piece_of(range, false);
    range->va[8] = 1;
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_SECURE_ERASE, 0, &p, 1).status,
              VIRTIO_BLK_S_UNSUPP, "the status of SECURE_ERASE");
    buffer_release(life);
    buffer_release(range);
}

CHECK(reserved_header_field_is_ignored, .judges = DEVICE, .proves = "xen.blk.header.1",
      .needs = NEED_DEVICE | NEED_BLK)
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct piece p[3];
    uint16_t head;

    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    memset(k->header->va + offsetof(struct virtio_blk_req_hdr, reserved), 0xff, 4);
    p[0] = piece_of(k->header, false);
    p[1] = piece_of(b, true);
    p[2] = piece_of(k->status, true);
    head = ring_chain(k->q, 0, p, 3);
    ring_offer(k->q, head);
    ring_kick(k->q);
    expect_used(k->q, head);
    expect_eq(t, MUST, blk_finish(k), VIRTIO_BLK_S_OK, "the status of a read");
    buffer_release(b);
}

CHECK(readonly_device_refuses_writes, .judges = DEVICE,
      .proves = "blk.device-operation.device.3 blk.device-operation.device.4",
      .needs = NEED_DEVICE | NEED_BLK | NEED_READONLY,
      .title = "VIRTIO_BLK_S_IOERR, and the data stays, whether or not RO was accepted")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *before = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct buffer *after = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);
    struct buffer *out = given_buffer(k->d, SECTOR, 0, FE_DMA_TO_DEVICE);

    expect_eq(t, MUST, read_to(k, before, 0).status, VIRTIO_BLK_S_OK, "the status of a read");
    for (uint32_t i = 0; i < SECTOR; i++)
        out->va[i] = (uint8_t)~before->va[i];
    for (unsigned accepted = 0; accepted < 2; accepted++) {
        expect_eq(t, MUST, write_from(k, out, 0).status, VIRTIO_BLK_S_IOERR,
                  "the status of a write to a read-only device");
        expect_eq(t, MUST, read_to(k, after, 0).status, VIRTIO_BLK_S_OK, "the status of a read");
        expect(t, MUST, memcmp(before->va, after->va, SECTOR) == 0,
               "a write to a read-only device changed it");
        if (!accepted)
            blk_restart(k, VIRTIO_F(VIRTIO_BLK_F_RO), 0);
    }
    buffer_release(before);
    buffer_release(after);
    buffer_release(out);
}

CHECK(lifetime_has_known_values, .judges = DEVICE, .proves = "blk.device-operation.device.17",
      .needs = NEED_DEVICE | NEED_BLK | NEED_LIFETIME,
      .title = "GET_LIFETIME gives no value that is reserved")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_LIFETIME), 0);
    struct buffer *b =
        given_buffer(k->d, sizeof(struct virtio_blk_lifetime), 0, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(b, true);
    struct virtio_blk_lifetime life;

    memset(b->va, 0xff, b->bytes);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_GET_LIFETIME, 0, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of GET_LIFETIME");
    memcpy(&life, b->va, sizeof(life));
    expect(t, MUST, le16_get(life.pre_eol_info) <= 3, "pre_eol_info is 0x%x",
           le16_get(life.pre_eol_info));
    expect(t, MUST, le16_get(life.device_lifetime_est_typ_a) <= 11,
           "device_lifetime_est_typ_a is 0x%x", le16_get(life.device_lifetime_est_typ_a));
    expect(t, MUST, le16_get(life.device_lifetime_est_typ_b) <= 11,
           "device_lifetime_est_typ_b is 0x%x", le16_get(life.device_lifetime_est_typ_b));
    buffer_release(b);
}

/* ---- flush, id ---- */

CHECK(flush_succeeds, .judges = DEVICE, .proves = "xen.blk.flush.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_FLUSH)
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_FLUSH), 0);

    for (unsigned i = 0; i < 4; i++)
        expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_FLUSH, 0, NULL, 0).status, VIRTIO_BLK_S_OK,
                  "the status of a flush");
}

CHECK(id_is_20_bytes, .judges = DEVICE, .proves = "xen.blk.id.1", .needs = NEED_DEVICE | NEED_BLK,
      .title = "GET_ID writes 20 bytes: the same text each time, padded with NUL")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *a = given_buffer(k->d, VIRTIO_BLK_ID_BYTES, 0x3f, FE_DMA_FROM_DEVICE);
    struct buffer *b = given_buffer(k->d, VIRTIO_BLK_ID_BYTES, 0x3f, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(a, true);
    struct blk_reply reply;
    size_t len;

    memset(a->va, 0xaa, a->bytes);
    memset(b->va, 0x55, b->bytes);
    reply = blk_request(k, VIRTIO_BLK_T_GET_ID, 0, &p, 1);
    expect_eq(t, MUST, reply.status, VIRTIO_BLK_S_OK, "the status of GET_ID");
    expect_eq(t, SHOULD, reply.used_len, VIRTIO_BLK_ID_BYTES + 1, "the used length of GET_ID");
    p = piece_of(b, true);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_GET_ID, 0, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of GET_ID");
    expect(t, MUST, memcmp(a->va, b->va, VIRTIO_BLK_ID_BYTES) == 0,
           "GET_ID gives different bytes each time, or not all 20");
    len = strnlen((const char *)a->va, VIRTIO_BLK_ID_BYTES);
    for (size_t i = len; i < VIRTIO_BLK_ID_BYTES; i++)
        expect(t, MUST, a->va[i] == 0, "byte %zu of the ID is 0x%x, behind the end of the text", i,
               a->va[i]);
    expect_canaries(t, a, "ID");
    note(t, "id", "%.20s", (const char *)a->va);
    buffer_release(a);
    buffer_release(b);
}

CHECK(id_is_the_serial, .judges = DEVICE, .proves = "xen.blk.id.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_TESTBED,
      .title = "GET_ID gives the serial number that the device was configured with")
{
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, VIRTIO_BLK_ID_BYTES, 0, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(b, true);
    char serial[VIRTIO_BLK_ID_BYTES + 1] = "";

    given_ask_text(t, "device.info", NULL, "serial", serial, sizeof(serial));
    if (!serial[0])
        skip_check(t, "the scenario gives the device no serial number");
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_GET_ID, 0, &p, 1).status, VIRTIO_BLK_S_OK,
              "the status of GET_ID");
    buffer_release(b);
    /* A serial number of 20 characters has no NUL behind it (5.2.6). */
    expect(t, MUST, strncmp((const char *)b->va, serial, VIRTIO_BLK_ID_BYTES) == 0,
           "the ID is \"%.20s\", the serial number \"%s\"", (const char *)b->va, serial);
}

/* ---- discard and write zeroes ---- */

static uint8_t range_request(struct blk *k, uint32_t type, uint64_t sector, uint32_t sectors,
                             uint32_t flags)
{
    struct buffer *b =
        given_buffer(k->d, sizeof(struct virtio_blk_discard_write_zeroes), 0x55, FE_DMA_TO_DEVICE);
    struct virtio_blk_discard_write_zeroes range = {
        .sector = le64_make(sector),
        .num_sectors = le32_make(sectors),
        .flags = le32_make(flags),
    };
    struct piece p = piece_of(b, false);
    uint8_t status;

    memcpy(b->va, &range, sizeof(range));
    status = blk_request(k, type, 0, &p, 1).status;
    buffer_release(b);
    return status;
}

CHECK(discard_succeeds, .judges = DEVICE, .proves = "xen.blk.discard.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_DISCARD,
      .title = "A discard is OK and leaves the sectors around it")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_DISCARD), 0);

    blk_write_pattern(k, 0, 32, 21);
    expect_eq(t, MUST, range_request(k, VIRTIO_BLK_T_DISCARD, 8, 16, 0), VIRTIO_BLK_S_OK,
              "the status of a discard");
    blk_write_pattern(k, 40, 1, 22);
    expect_pattern(k, 40, 1, 22, "a write after a discard");
    blk_write_pattern(k, 8, 16, 23);
    expect_pattern(k, 8, 16, 23, "a write to discarded sectors");
}

CHECK(discard_keeps_neighbours, .judges = DEVICE, .proves = "xen.blk.discard.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_DISCARD)
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_DISCARD), 0);

    blk_write_pattern(k, 0, 8, 31);
    blk_write_pattern(k, 8, 16, 32);
    blk_write_pattern(k, 24, 8, 33);
    expect_eq(t, MUST, range_request(k, VIRTIO_BLK_T_DISCARD, 8, 16, 0), VIRTIO_BLK_S_OK,
              "the status of a discard");
    expect_pattern(k, 0, 8, 31, "sectors before a discarded range changed");
    expect_pattern(k, 24, 8, 33, "sectors behind a discarded range changed");
}

CHECK(discard_flags_are_refused, .judges = DEVICE,
      .proves = "blk.device-operation.device.5 blk.device-operation.device.6",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_DISCARD,
      .title = "unmap or an unknown flag: VIRTIO_BLK_S_UNSUPP")
{
    static const uint32_t flags[] = {1, 2, 3, 0x80000000};
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_DISCARD), 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(flags); i++) {
        uint8_t status = range_request(k, VIRTIO_BLK_T_DISCARD, 0, 8, flags[i]);

        expect(t, MUST, status == VIRTIO_BLK_S_UNSUPP, "a discard with flags 0x%x has status %u",
               flags[i], status);
    }
}

CHECK(write_zeroes_gives_zeroes, .judges = DEVICE, .proves = "blk.device-operation.device.9",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_WRITE_ZEROES,
      .title = "With and without unmap, and only where it was asked for")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_WRITE_ZEROES), 0);

    for (uint32_t unmap = 0; unmap < 2; unmap++) {
        blk_write_pattern(k, 0, 9, 41);
        blk_write_pattern(k, 9, 14, 42);
        blk_write_pattern(k, 23, 9, 43);
        expect_eq(t, MUST, range_request(k, VIRTIO_BLK_T_WRITE_ZEROES, 9, 14, unmap),
                  VIRTIO_BLK_S_OK, "the status of write zeroes");
        expect_zeroes(k, 9, 14, "sectors are not zero after write zeroes");
        expect_pattern(k, 0, 9, 41, "sectors before the zeroed range changed");
        expect_pattern(k, 23, 9, 43, "sectors behind the zeroed range changed");
    }
}

CHECK(write_zeroes_flags_are_refused, .judges = DEVICE, .proves = "blk.device-operation.device.5",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_WRITE_ZEROES,
      .title = "An unknown flag: VIRTIO_BLK_S_UNSUPP, and nothing is zeroed")
{
    static const uint32_t flags[] = {2, 3, 0x80000000};
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_WRITE_ZEROES), 0);

    blk_write_pattern(k, 0, 8, 51);
    for (unsigned i = 0; i < ARRAY_LENGTH(flags); i++) {
        uint8_t status = range_request(k, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, flags[i]);

        expect(t, MUST, status == VIRTIO_BLK_S_UNSUPP, "write zeroes with flags 0x%x has status %u",
               flags[i], status);
    }
    expect_pattern(k, 0, 8, 51, "a refused write zeroes changed the disk");
}

CHECK(zeroed_range_over_the_end, .judges = DEVICE, .proves = "xen.blk.range.4",
      .needs = NEED_DEVICE | NEED_BLK | NEED_WRITABLE | NEED_WRITE_ZEROES,
      .title = "Ranges outside the disk: VIRTIO_BLK_S_IOERR, and nothing is zeroed")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_WRITE_ZEROES), 0);
    const struct {
        uint64_t sector;
        uint32_t sectors;
    } bad[] = {{k->capacity, 1}, {k->capacity - 2, 3}, {UINT64_MAX, 2}, {1ull << 55, 8}};

    blk_write_pattern(k, k->capacity - 2, 2, 61);
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        uint8_t status =
            range_request(k, VIRTIO_BLK_T_WRITE_ZEROES, bad[i].sector, bad[i].sectors, 0);

        expect(t, MUST, status == VIRTIO_BLK_S_IOERR, "zeroing %u sectors at 0x%llx has status %u",
               bad[i].sectors, (unsigned long long)bad[i].sector, status);
    }
    expect_pattern(k, k->capacity - 2, 2, 61, "a failed write zeroes changed the disk");
}

/* ---- configuration ---- */

CHECK(flush_is_offered, .judges = DEVICE,
      .proves = "blk.device-initialization.device.1 blk.device-initialization.device.2",
      .needs = NEED_DEVICE | NEED_BLK)
{
    struct device *d = given_device(t);
    bool flush = d->offered & VIRTIO_F(VIRTIO_BLK_F_FLUSH);

    expect(t, SHOULD, flush, "VIRTIO_BLK_F_FLUSH is not offered");
    expect(t, MUST, flush || !(d->offered & VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE)),
           "VIRTIO_BLK_F_CONFIG_WCE is offered without VIRTIO_BLK_F_FLUSH");
}

CHECK(not_zoned, .judges = DEVICE, .proves = "blk.device-initialization.device.5",
      .needs = NEED_DEVICE | NEED_BLK)
{
    struct device *d = given_device(t);
    unsigned model = CONFIG(zoned) + offsetof(struct virtio_blk_zoned_characteristics, model);

    if (d->offered & VIRTIO_F(VIRTIO_BLK_F_ZONED))
        expect(t, SHOULD, device_get(d, model, 1) != 0,
               "VIRTIO_BLK_F_ZONED is offered by a device that is not zoned");
    else
        expect(t, SHOULD, !(d->offered & VIRTIO_F(VIRTIO_BLK_F_ZONED)), "zoned");
}

CHECK(padding_is_zero, .judges = DEVICE, .proves = "blk.device-initialization.device.4",
      .needs = NEED_DEVICE | NEED_BLK, .title = "unused0 and unused1")
{
    struct device *d = given_device(t);
    unsigned seen = 0;

    if (d->v->config_bytes > CONFIG(unused0)) {
        expect_eq(t, MUST, device_get(d, CONFIG(unused0), 1), 0, "unused0");
        seen++;
    }
    for (unsigned i = 0; i < 3 && d->v->config_bytes > CONFIG(unused1) + i; i++) {
        expect_eq(t, MUST, device_get(d, CONFIG(unused1) + i, 1), 0, "unused1");
        seen++;
    }
    if (!seen)
        skip_check(t, "the configuration ends before the padding");
}

CHECK(writeback_follows_the_driver, .judges = DEVICE, .proves = "xen.blk.config.6",
      .needs = NEED_DEVICE | NEED_BLK | NEED_CONFIG_WCE,
      .title = "writeback can be set and cleared, and writes work in both modes")
{
    struct blk *k =
        given_blk(t, VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE) | VIRTIO_F(VIRTIO_BLK_F_FLUSH), 0);

    for (unsigned i = 0; i < 4; i++) {
        must(t, k->d->v->ops->config_write(k->d->v, CONFIG(writeback), 1, i & 1),
             "writing writeback");
        expect_eq(t, MUST, device_get(k->d, CONFIG(writeback), 1), i & 1, "writeback");
        if (!(k->d->offered & VIRTIO_F(VIRTIO_BLK_F_RO))) {
            blk_write_pattern(k, 0, 2, 600 + i);
            expect_pattern(k, 0, 2, 600 + i, "a write after writeback was changed");
        }
    }
}

CHECK(writeback_is_zero_without_flush, .judges = DEVICE,
      .proves = "blk.device-initialization.device.3",
      .needs = NEED_DEVICE | NEED_BLK | NEED_CONFIG_WCE,
      .title = "With CONFIG_WCE and without FLUSH the cache begins in write-through mode")
{
    struct device *d = given_negotiated(t, VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE));

    expect_eq(t, MUST, device_get(d, CONFIG(writeback), 1), 0, "writeback");
}

CHECK(seg_max_is_usable, .judges = DEVICE, .proves = "xen.blk.config.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_SEG_MAX,
      .title = "A request of seg_max data segments works")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SEG_MAX), 0);
    struct piece p[1024];
    struct buffer *b;
    unsigned n = k->seg_max;

    note(t, "seg_max", "%u", k->seg_max);
    expect(t, MUST, n > 0, "seg_max is 0");
    if (n + 2 > k->q->size)
        n = k->q->size - 2;
    if (n > ARRAY_LENGTH(p))
        n = ARRAY_LENGTH(p);
    n -= n % 8; /* eight pieces of 64 bytes make a sector */
    if (n == 0)
        skip_check(t, "seg_max is %u", k->seg_max);
    b = given_buffer(k->d, n * 64, 0, FE_DMA_FROM_DEVICE);
    for (unsigned i = 0; i < n; i++)
        p[i] = piece_part(b, i * 64, 64, true);
    expect_eq(t, MUST, blk_request(k, VIRTIO_BLK_T_IN, 0, p, n).status, VIRTIO_BLK_S_OK,
              "the status of a read into seg_max segments");
    buffer_release(b);
}

CHECK(size_max_is_usable, .judges = DEVICE, .proves = "xen.blk.config.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_SIZE_MAX, .title = "size_max holds a sector at least")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_SIZE_MAX), 0);

    note(t, "size_max", "%u", k->size_max);
    expect(t, MUST, k->size_max > 0, "size_max is 0");
    expect(t, SHOULD, k->size_max >= XEN_PAGE_BYTES, "size_max is %u", k->size_max);
}

CHECK(block_size_is_sensible, .judges = DEVICE, .proves = "xen.blk.config.3",
      .needs = NEED_DEVICE | NEED_BLK | NEED_BLK_SIZE, .title = "A power of two, 512 or more")
{
    struct device *d = given_negotiated(t, VIRTIO_F(VIRTIO_BLK_F_BLK_SIZE));
    uint64_t size = device_get(d, CONFIG(blk_size), 4);

    note(t, "blk_size", "%llu", (unsigned long long)size);
    expect(t, MUST, size >= SECTOR && is_pow2(size), "blk_size is %llu", (unsigned long long)size);
}

CHECK(topology_is_sensible, .judges = DEVICE, .proves = "xen.blk.config.4",
      .needs = NEED_DEVICE | NEED_BLK | NEED_TOPOLOGY)
{
    struct device *d = given_negotiated(t, VIRTIO_F(VIRTIO_BLK_F_TOPOLOGY));
    uint64_t exp = device_get(d, CONFIG(topology.physical_block_exp), 1);
    uint64_t align = device_get(d, CONFIG(topology.alignment_offset), 1);

    expect(t, MUST, exp < 16, "physical_block_exp is %llu", (unsigned long long)exp);
    expect(t, MUST, exp >= 16 || align < BIT64(exp), "alignment_offset is %llu of %llu blocks",
           (unsigned long long)align, (unsigned long long)BIT64(exp & 15));
}

CHECK(config_is_read_only, .judges = DEVICE, .proves = "xen.blk.config.5",
      .needs = NEED_DEVICE | NEED_BLK, .title = "Writes to capacity and num_queues change nothing")
{
    static const unsigned fields[] = {CONFIG(capacity), CONFIG(capacity) + 4, CONFIG(seg_max),
                                      CONFIG(blk_size)};
    struct blk *k = given_blk(t, 0, 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);

    for (unsigned i = 0; i < ARRAY_LENGTH(fields); i++) {
        uint64_t before;

        if (fields[i] + 4 > k->d->v->config_bytes)
            continue;
        before = device_get(k->d, fields[i], 4);
        must(t, k->d->v->ops->config_write(k->d->v, fields[i], 4, 0x12345678),
             "writing the device configuration");
        expect_eq(t, MUST, device_get(k->d, fields[i], 4), before,
                  "a configuration field after it was written");
    }
    expect_eq(t, MUST, read_to(k, b, 0).status, VIRTIO_BLK_S_OK, "the status of a read afterwards");
    buffer_release(b);
}

/* ---- several queues ---- */

CHECK(all_queues_work, .judges = DEVICE, .proves = "xen.blk.mq.1",
      .needs = NEED_DEVICE | NEED_BLK | NEED_MQ | NEED_WRITABLE,
      .title = "What one queue writes every other reads")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_MQ), 0);
    uint64_t queues = device_get(k->d, CONFIG(num_queues), 2);
    struct ring *q[16] = {NULL};
    unsigned n = queues > 16 ? 16 : (unsigned)queues, exist = 0;
    struct buffer *out, *in;
    struct piece p;

    must(t, k->d->v->ops->num_queues(k->d->v, &exist), "reading the number of queues");
    expect(t, MUST, queues > 0 && queues <= exist,
           "num_queues is %llu in the device's configuration, %u in the transport's",
           (unsigned long long)queues, exist);
    if (n == 0)
        stop_check(t);
    device_negotiate(k->d, VIRTIO_F(VIRTIO_BLK_F_MQ));
    for (unsigned i = 0; i < n; i++)
        q[i] = given_queue(k->d, i, 32);
    k->q = q[0];
    device_driver_ok(k->d);

    out = given_buffer(k->d, 2 * SECTOR, 0x80, FE_DMA_TO_DEVICE);
    in = given_buffer(k->d, 2 * SECTOR, 0x80, FE_DMA_FROM_DEVICE);
    for (unsigned i = 0; i < n; i++) {
        buffer_fill(out, 300 + i);
        p = piece_of(out, false);
        expect_eq(t, MUST, blk_request_on(k, q[i], false, VIRTIO_BLK_T_OUT, i * 2ull, &p, 1).status,
                  VIRTIO_BLK_S_OK, "the status of a write on a queue");
        p = piece_of(in, true);
        expect_eq(t, MUST,
                  blk_request_on(k, q[(i + 1) % n], false, VIRTIO_BLK_T_IN, i * 2ull, &p, 1).status,
                  VIRTIO_BLK_S_OK, "the status of a read on another queue");
        expect(t, MUST, buffer_matches(in, 300 + i),
               "queue %u reads other data than queue %u wrote", (i + 1) % n, i);
    }
    note(t, "queues", "%u", n);
    buffer_release(out);
    buffer_release(in);
}

CHECK(queue_not_set_up_is_left_alone, .judges = DEVICE, .proves = "xen.blk.mq.2",
      .needs = NEED_DEVICE | NEED_BLK | NEED_MQ,
      .title = "A driver may use fewer queues than exist")
{
    struct blk *k = given_blk(t, VIRTIO_F(VIRTIO_BLK_F_MQ), 0);
    struct buffer *b = given_buffer(k->d, SECTOR, 0, FE_DMA_FROM_DEVICE);

    ring_kick(k->q);
    device_doorbell(k->d, 1); /* which is not set up */
    expect_eq(t, MUST, read_to(k, b, 0).status, VIRTIO_BLK_S_OK, "the status of a read afterwards");
    expect(t, MUST, !(device_status(k->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET),
           "the device asks for a reset");
    buffer_release(b);
}
