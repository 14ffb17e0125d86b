/* SPDX-License-Identifier: MIT */
/* virtio-blk over flat memory: every request type, every status, and requests made to break it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device/blk.h"
#include "spec/virtio_blk.h"
#include "unit/device_rig.h"

#define IMAGE_BYTES   (1u << 20)
#define IMAGE_SECTORS (IMAGE_BYTES / 512)
#define HDR           (RIG_DATA)
#define DATA          (RIG_DATA + 0x1000)
#define STATUS        (RIG_DATA + 0x80000)
#define UNWRITTEN     0x5a

#define ALL_FEATURES                                                                               \
    (RIG_MIN | VIRTIO_F(VIRTIO_BLK_F_FLUSH) | VIRTIO_F(VIRTIO_BLK_F_DISCARD) |                     \
     VIRTIO_F(VIRTIO_BLK_F_WRITE_ZEROES) | VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE))

struct disk {
    struct rig g;
    char path[64];
    struct vdev_config config;
    char error[256];
    uint16_t used;
};

static void make_image(struct disk *k, off_t bytes)
{
    int fd;

    snprintf(k->path, sizeof(k->path), "/tmp/blk-test-XXXXXX");
    fd = mkstemp(k->path);
    ck_assert_int_ge(fd, 0);
    for (off_t at = 0; at < bytes; at += 512) {
        unsigned char sector[512];

        memset(sector, (int)(1 + at / 512 % 250), sizeof(sector));
        ck_assert_int_gt(pwrite(fd, sector, (size_t)(bytes - at < 512 ? bytes - at : 512), at), 0);
    }
    close(fd);
}

static void setup(struct disk *k, const struct blk_options *options, uint64_t features)
{
    struct blk_options o = *options;
    struct vdev *d;

    memset(k, 0, sizeof(*k));
    k->config = rig_setup(&k->g);
    if (!o.null_bytes) {
        make_image(k, IMAGE_BYTES);
        o.path = k->path;
    }
    ck_assert_int_eq(blk_create(&k->config, &o, &d, k->error, sizeof(k->error)), 0);
    rig_attach(&k->g, d);
    if (features)
        rig_start(&k->g, features);
}

static void teardown(struct disk *k)
{
    rig_teardown(&k->g);
    if (k->path[0])
        unlink(k->path);
}

static void header(struct disk *k, uint32_t type, uint64_t sector)
{
    struct virtio_blk_req_hdr h = {
        .type = le32_make(type), .reserved = le32_make(~0u), .sector = le64_make(sector)};

    memcpy(k->g.mem + HDR, &h, sizeof(h));
    k->g.mem[STATUS] = UNWRITTEN;
}

/* Make a chain available, wait for it, return the used length. */
static uint32_t submit(struct disk *k, const struct rig_seg *segs, unsigned count)
{
    rig_add(&k->g, 0, segs, count);
    vdev_queue_notify(k->g.dev, 0);
    rig_wait_used(&k->g, 0, ++k->used);
    return virtq_raw_used_get(&k->g.rings[0], (k->used - 1u) % RIG_QUEUE_SIZE).len;
}

/* The usual shape: header, data of `bytes`, status. */
static uint8_t request(struct disk *k, uint32_t type, uint64_t sector, uint32_t bytes,
                       bool data_writable, uint32_t *used_len)
{
    struct rig_seg segs[3] = {{RIG_BASE + HDR, 16, false}};
    unsigned n = 1;
    uint32_t len;

    header(k, type, sector);
    if (bytes)
        segs[n++] = (struct rig_seg){RIG_BASE + DATA, bytes, data_writable};
    segs[n++] = (struct rig_seg){RIG_BASE + STATUS, 1, true};
    len = submit(k, segs, n);
    if (used_len)
        *used_len = len;
    return k->g.mem[STATUS];
}

static uint8_t do_read(struct disk *k, uint64_t sector, uint32_t bytes)
{
    return request(k, VIRTIO_BLK_T_IN, sector, bytes, true, NULL);
}

static uint8_t do_write(struct disk *k, uint64_t sector, uint32_t bytes)
{
    return request(k, VIRTIO_BLK_T_OUT, sector, bytes, false, NULL);
}

static uint8_t sector_byte(uint64_t sector)
{
    return (uint8_t)(1 + sector % 250);
}

static const struct blk_options plain = {.serial = "RINGPROOF"};

START_TEST(reads_and_writes)
{
    struct disk k;
    uint32_t len;

    setup(&k, &plain, ALL_FEATURES);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_IN, 7, 1024, true, &len), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(len, 1025);
    ck_assert_uint_eq(k.g.mem[DATA], sector_byte(7));
    ck_assert_uint_eq(k.g.mem[DATA + 1023], sector_byte(8));
    ck_assert_uint_eq(k.g.mem[DATA + 1024], 0);
    memset(k.g.mem + DATA, 0xee, 512);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_OUT, IMAGE_SECTORS - 1, 512, false, &len),
                      VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(len, 1);
    memset(k.g.mem + DATA, 0, 1024);
    ck_assert_uint_eq(do_read(&k, IMAGE_SECTORS - 2, 1024), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA], sector_byte(IMAGE_SECTORS - 2));
    ck_assert_uint_eq(k.g.mem[DATA + 512], 0xee);
    ck_assert_uint_eq(do_read(&k, 0, 0), VIRTIO_BLK_S_OK);
    teardown(&k);
}
END_TEST

START_TEST(bounds_and_lengths)
{
    static const struct {
        uint64_t sector;
        uint32_t bytes;
    } bad[] = {
        {IMAGE_SECTORS, 512},
        {IMAGE_SECTORS - 1, 1024},
        {UINT64_MAX, 512},
        {UINT64_MAX / 512, 1024},
        {1ull << 55, 512},
        {UINT64_MAX - 1, 4096},
        {0, 511},
        {0, 513},
        {IMAGE_SECTORS + 1, 0},
    };
    struct disk k;
    uint32_t len;

    setup(&k, &plain, ALL_FEATURES);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(k.g.mem + DATA, 0xaa, 4096);
        ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_IN, bad[i].sector, bad[i].bytes, true, &len),
                          VIRTIO_BLK_S_IOERR);
        ck_assert_uint_eq(len, bad[i].bytes + 1);
        /* The used length covers the data: it holds nothing stale. */
        if (bad[i].bytes)
            ck_assert_uint_eq(k.g.mem[DATA + bad[i].bytes - 1], 0);
        ck_assert_uint_eq(do_write(&k, bad[i].sector, bad[i].bytes), VIRTIO_BLK_S_IOERR);
    }
    ck_assert_uint_eq(do_read(&k, IMAGE_SECTORS, 0), VIRTIO_BLK_S_OK);
    teardown(&k);
}
END_TEST

START_TEST(framing_is_free)
{
    struct rig_seg segs[40];
    struct disk k;
    unsigned n = 0;

    setup(&k, &plain, ALL_FEATURES);
    /* Header in 16 descriptors, data in odd pieces, the status at the end of the last one. */
    header(&k, VIRTIO_BLK_T_IN, 3);
    for (; n < 16; n++)
        segs[n] = (struct rig_seg){RIG_BASE + HDR + n, 1, false};
    segs[n++] = (struct rig_seg){RIG_BASE + DATA, 1, true};
    segs[n++] = (struct rig_seg){RIG_BASE + DATA + 1, 510, true};
    segs[n++] = (struct rig_seg){RIG_BASE + DATA + 511, 514, true};
    memset(k.g.mem + DATA, UNWRITTEN, 2048);
    ck_assert_uint_eq(submit(&k, segs, n), 1025);
    ck_assert_uint_eq(k.g.mem[DATA + 1024], VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA], sector_byte(3));
    ck_assert_uint_eq(k.g.mem[DATA + 1023], sector_byte(4));
    ck_assert_uint_eq(k.g.mem[DATA + 1025], UNWRITTEN);
    /* Header and data of a write in one descriptor. */
    header(&k, VIRTIO_BLK_T_OUT, 9);
    memset(k.g.mem + HDR + 16, 0x77, 512);
    segs[0] = (struct rig_seg){RIG_BASE + HDR, 16 + 512, false};
    segs[1] = (struct rig_seg){RIG_BASE + STATUS, 1, true};
    ck_assert_uint_eq(submit(&k, segs, 2), 1);
    ck_assert_uint_eq(k.g.mem[STATUS], VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_read(&k, 9, 512), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA + 300], 0x77);
    /* A header that is too short has a status to say so. */
    header(&k, VIRTIO_BLK_T_IN, 0);
    segs[0].len = 15;
    ck_assert_uint_eq(submit(&k, segs, 2), 1);
    ck_assert_uint_eq(k.g.mem[STATUS], VIRTIO_BLK_S_IOERR);
    segs[0] = segs[1];
    k.g.mem[STATUS] = UNWRITTEN;
    ck_assert_uint_eq(submit(&k, segs, 1), 1);
    ck_assert_uint_eq(k.g.mem[STATUS], VIRTIO_BLK_S_IOERR);
    /* Without a place for the status nothing can be said. */
    segs[0] = (struct rig_seg){RIG_BASE + HDR, 16, false};
    rig_add(&k.g, 0, segs, 1);
    vdev_queue_notify(k.g.dev, 0);
    rig_wait_fault(&k.g, "blk-no-status");
    teardown(&k);
}
END_TEST

START_TEST(unknown_types_are_unsupported)
{
    static const uint32_t types[] = {2,
                                     3,
                                     5,
                                     VIRTIO_BLK_T_GET_LIFETIME,
                                     VIRTIO_BLK_T_SECURE_ERASE,
                                     VIRTIO_BLK_T_ZONE_APPEND,
                                     VIRTIO_BLK_T_ZONE_REPORT,
                                     VIRTIO_BLK_T_ZONE_OPEN,
                                     VIRTIO_BLK_T_ZONE_RESET_ALL,
                                     VIRTIO_BLK_T_FLUSH,
                                     VIRTIO_BLK_T_DISCARD,
                                     VIRTIO_BLK_T_WRITE_ZEROES,
                                     0x80000000,
                                     UINT32_MAX};
    struct disk k;

    setup(&k, &plain, RIG_MIN); /* FLUSH, DISCARD and WRITE_ZEROES not negotiated */
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        ck_assert_uint_eq(request(&k, types[i], 0, 512, i & 1, NULL), VIRTIO_BLK_S_UNSUPP);
    teardown(&k);
}
END_TEST

START_TEST(id_is_padded_and_bounded)
{
    static const char full[] = "12345678901234567890";
    struct disk k;
    struct blk_options o = plain;
    uint32_t len;

    setup(&k, &plain, ALL_FEATURES);
    memset(k.g.mem + DATA, UNWRITTEN, 64);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_GET_ID, 0, 20, true, &len), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(len, 21);
    ck_assert_int_eq(memcmp(k.g.mem + DATA, "RINGPROOF\0\0\0\0\0\0\0\0\0\0\0", 20), 0);
    ck_assert_uint_eq(k.g.mem[DATA + 20], UNWRITTEN);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_GET_ID, 0, 4, true, &len), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(len, 5);
    memset(k.g.mem + DATA, UNWRITTEN, 64);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_GET_ID, 0, 40, true, &len), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(len, 41);
    ck_assert_uint_eq(k.g.mem[DATA + 39], 0);
    teardown(&k);

    o.serial = full;
    setup(&k, &o, ALL_FEATURES);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_GET_ID, 0, 20, true, NULL), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(memcmp(k.g.mem + DATA, full, 20), 0);
    teardown(&k);
}
END_TEST

START_TEST(read_only_disks_refuse_writes)
{
    struct blk_options o = {.read_only = true};
    struct disk k;

    setup(&k, &o, 0);
    ck_assert_uint_ne(vdev_device_features(k.g.dev) & VIRTIO_F(VIRTIO_BLK_F_RO), 0);
    ck_assert_uint_eq(vdev_device_features(k.g.dev) & VIRTIO_F(VIRTIO_BLK_F_DISCARD), 0);
    rig_start(&k.g, RIG_MIN | VIRTIO_F(VIRTIO_BLK_F_FLUSH)); /* RO not accepted: still holds */
    ck_assert_uint_eq(do_write(&k, 0, 512), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_read(&k, 0, 512), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), VIRTIO_BLK_S_OK);
    teardown(&k);
}
END_TEST

static uint8_t do_range(struct disk *k, uint32_t type, uint64_t sector, uint32_t sectors,
                        uint32_t flags, unsigned count)
{
    struct virtio_blk_discard_write_zeroes s = {
        .sector = le64_make(sector), .num_sectors = le32_make(sectors), .flags = le32_make(flags)};

    for (unsigned i = 0; i < count; i++)
        memcpy(k->g.mem + DATA + i * sizeof(s), &s, sizeof(s));
    return request(k, type, 0, count * (uint32_t)sizeof(s), false, NULL);
}

START_TEST(discard_and_write_zeroes)
{
    struct disk k;

    setup(&k, &plain, ALL_FEATURES);
    for (uint32_t flags = 0; flags < 2; flags++) {
        uint64_t at = 16 + flags * 64;

        ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_WRITE_ZEROES, at, 9, flags, 1),
                          VIRTIO_BLK_S_OK);
        ck_assert_uint_eq(do_read(&k, at - 1, 11 * 512), VIRTIO_BLK_S_OK);
        ck_assert_uint_eq(k.g.mem[DATA + 511], sector_byte(at - 1));
        for (unsigned i = 512; i < 10 * 512; i++)
            ck_assert_uint_eq(k.g.mem[DATA + i], 0);
        ck_assert_uint_eq(k.g.mem[DATA + 10 * 512], sector_byte(at + 9));
    }
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_DISCARD, 8, 8, 0, 32), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_DISCARD, 8, 8, 0, 33), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_DISCARD, 8, 8, 1, 1), VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_DISCARD, 8, 8, 2, 1), VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_WRITE_ZEROES, 8, 8, 3, 1), VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_WRITE_ZEROES, UINT64_MAX, 8, 1u << 31, 1),
                      VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_DISCARD, IMAGE_SECTORS - 1, 2, 0, 1),
                      VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_WRITE_ZEROES, UINT64_MAX - 3, 8, 0, 1),
                      VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0, 1), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0, 0, 1), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_DISCARD, 0, 0, false, NULL), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_DISCARD, 0, 15, false, NULL), VIRTIO_BLK_S_IOERR);
    teardown(&k);
}
END_TEST

START_TEST(flush_and_cache_mode)
{
    struct disk k;
    uint8_t mode = 0;
    unsigned at = offsetof(struct virtio_blk_config, writeback);

    setup(&k, &plain, ALL_FEATURES);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), VIRTIO_BLK_S_OK);
    vdev_config_read(k.g.dev, at, 1, &mode);
    ck_assert_uint_eq(mode, 1);
    mode = 0;
    vdev_config_write(k.g.dev, at, 1, &mode);
    ck_assert_uint_eq(do_write(&k, 0, 512), VIRTIO_BLK_S_OK);
    mode = 7; /* neither 0 nor 1 */
    vdev_config_write(k.g.dev, at, 1, &mode);
    vdev_config_read(k.g.dev, at, 1, &mode);
    ck_assert_uint_eq(mode, 0);
    vdev_set_status(k.g.dev, 0);
    k.used = 0;
    /* CONFIG_WCE without FLUSH begins with write-through (5.2.5.2). */
    rig_start(&k.g, RIG_MIN | VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE));
    vdev_config_read(k.g.dev, at, 1, &mode);
    ck_assert_uint_eq(mode, 0);
    ck_assert_uint_eq(do_write(&k, 0, 512), VIRTIO_BLK_S_OK);
    vdev_set_status(k.g.dev, 0);
    k.used = 0;
    rig_start(&k.g, RIG_MIN | VIRTIO_F(VIRTIO_BLK_F_WRITE_ZEROES));
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_WRITE_ZEROES, 4, 4, 0, 2), VIRTIO_BLK_S_OK);
    mode = 1; /* not negotiated: ignored */
    vdev_config_write(k.g.dev, at, 1, &mode);
    teardown(&k);
}
END_TEST

START_TEST(configuration_says_what_it_does)
{
    struct blk_options o = {.queues = 3, .block_bytes = 4096, .features_off = 0};
    struct virtio_blk_config c;
    struct disk k;

    setup(&k, &o, 0);
    vdev_config_read(k.g.dev, 0, sizeof(c), &c);
    ck_assert_uint_eq(le64_get(c.capacity), IMAGE_SECTORS);
    ck_assert_uint_eq(le32_get(c.blk_size), 4096);
    ck_assert_uint_eq(c.topology.physical_block_exp, 0);
    ck_assert_uint_eq(le16_get(c.num_queues), 3);
    ck_assert_uint_eq(vdev_num_queues(k.g.dev), 3);
    ck_assert_uint_eq(c.unused0 | c.unused1[0] | c.unused1[1] | c.unused1[2], 0);
    ck_assert_uint_eq(le32_get(c.seg_max), 62); /* a queue of 64 */
    /* A sector has 512 bytes, whatever the block size (5.2.5). */
    rig_start(&k.g, RIG_MIN);
    ck_assert_uint_eq(do_read(&k, 3, 512), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA], sector_byte(3));
    teardown(&k);
    o = (struct blk_options){.features_off = VIRTIO_F(VIRTIO_BLK_F_FLUSH)};
    setup(&k, &o, 0);
    ck_assert_uint_eq(vdev_device_features(k.g.dev) &
                          (VIRTIO_F(VIRTIO_BLK_F_FLUSH) | VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE) |
                           VIRTIO_F(VIRTIO_BLK_F_MQ)),
                      0);
    teardown(&k);
}
END_TEST

static void expect_refused(struct disk *k, struct blk_options o, int rc, const char *part)
{
    struct vdev *d = NULL;

    k->error[0] = '\0';
    ck_assert_int_eq(blk_create(&k->config, &o, &d, k->error, sizeof(k->error)), rc);
    ck_assert_ptr_nonnull(strstr(k->error, part));
    ck_assert_ptr_null(d);
}

START_TEST(bad_images_get_clear_errors)
{
    struct disk k, odd;
    struct vdev *reader;

    setup(&k, &plain, 0);
    expect_refused(&k, (struct blk_options){.path = "/nonexistent/disk"}, -ENOENT, "No such file");
    expect_refused(&k, (struct blk_options){.path = "/tmp", .read_only = true}, -EINVAL,
                   "neither a file");
    expect_refused(&k, (struct blk_options){.path = "/dev/null"}, -EINVAL, "neither a file");
    expect_refused(&k, (struct blk_options){.path = k.path}, -EBUSY, "in use");
    expect_refused(&k, (struct blk_options){.path = k.path, .read_only = true}, -EBUSY, "in use");
    expect_refused(&k, (struct blk_options){.null_bytes = 513}, -EINVAL, "512");
    expect_refused(&k, (struct blk_options){.null_bytes = 512, .serial = "123456789012345678901"},
                   -EINVAL, "20 bytes");
    make_image(&odd, 1000);
    expect_refused(&k, (struct blk_options){.path = odd.path}, -EINVAL, "multiple of 512");
    ck_assert_int_eq(truncate(odd.path, 0), 0);
    expect_refused(&k, (struct blk_options){.path = odd.path}, -EINVAL, "multiple of 512");
    ck_assert_int_eq(truncate(odd.path, 1024), 0);
    ck_assert_int_eq(chmod(odd.path, 0444), 0);
    expect_refused(&k, (struct blk_options){.path = odd.path}, -EACCES, "ro=1");
    /* Several readers may share one. */
    ck_assert_int_eq(blk_create(&k.config,
                                &(struct blk_options){.path = odd.path, .read_only = true}, &reader,
                                k.error, sizeof(k.error)),
                     0);
    vdev_destroy(reader);
    unlink(odd.path);
    teardown(&k);
}
END_TEST

START_TEST(reset_waits_for_the_store)
{
    struct blk_options o = {.inflight_max = 8};
    struct disk k;

    setup(&k, &o, ALL_FEATURES);
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 20; i++) {
            struct rig_seg segs[3] = {{RIG_BASE + HDR, 16, false},
                                      {RIG_BASE + DATA + i * 8192, 8192, true},
                                      {RIG_BASE + STATUS + i, 1, true}};

            header(&k, VIRTIO_BLK_T_IN, 0);
            rig_add(&k.g, 0, segs, 3);
        }
        vdev_queue_notify(k.g.dev, 0);
        ck_assert_int_eq(evloop_once(k.g.loop, 0), 0);
        vdev_set_status(k.g.dev, 0);
        ck_assert_uint_eq(k.g.gmem->leases_out, 0);
        /* Whatever was in flight has ended: the memory is the driver's again. */
        memset(k.g.mem + DATA, 0xab, 20 * 8192);
        rig_turn(&k.g);
        /* One byte is right, and each is like the one before it. */
        ck_assert_uint_eq(k.g.mem[DATA], 0xab);
        ck_assert_int_eq(memcmp(k.g.mem + DATA, k.g.mem + DATA + 1, 20 * 8192 - 1), 0);
        rig_start(&k.g, ALL_FEATURES);
    }
    k.used = 0;
    ck_assert_uint_eq(do_read(&k, 1, 512), VIRTIO_BLK_S_OK);
    teardown(&k);
}
END_TEST

START_TEST(more_requests_than_the_store_takes)
{
    struct blk_options o = {.inflight_max = 3};
    struct disk k;

    setup(&k, &o, ALL_FEATURES);
    for (unsigned i = 0; i < 21; i++) {
        struct rig_seg segs[3] = {{RIG_BASE + HDR, 16, false},
                                  {RIG_BASE + DATA + i * 4096, 4096, true},
                                  {RIG_BASE + STATUS + i, 1, true}};

        header(&k, VIRTIO_BLK_T_IN, 5);
        k.g.mem[STATUS + i] = UNWRITTEN;
        rig_add(&k.g, 0, segs, 3);
    }
    vdev_queue_notify(k.g.dev, 0);
    rig_wait_used(&k.g, 0, 21);
    for (unsigned i = 0; i < 21; i++) {
        ck_assert_uint_eq(k.g.mem[STATUS + i], VIRTIO_BLK_S_OK);
        ck_assert_uint_eq(k.g.mem[DATA + i * 4096], sector_byte(5));
    }
    teardown(&k);
}
END_TEST

START_TEST(an_image_that_shrank_is_an_error)
{
    struct disk k;

    setup(&k, &plain, ALL_FEATURES);
    ck_assert_int_eq(truncate(k.path, 3 * 512), 0);
    memset(k.g.mem + DATA, 0xaa, 2048);
    ck_assert_uint_eq(do_read(&k, 1, 2048), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(k.g.mem[DATA + 1024], 0);
    ck_assert_int_eq(blk_resize(k.g.dev, 0), 0);
    ck_assert_uint_eq(k.g.config_interrupts, 1);
    ck_assert_uint_eq(do_read(&k, 3, 512), VIRTIO_BLK_S_IOERR);
    teardown(&k);
}
END_TEST

START_TEST(null_store)
{
    struct blk_options o = {.null_bytes = 1 << 20};
    struct disk k;
    struct blk_stats stats;

    setup(&k, &o, ALL_FEATURES);
    memset(k.g.mem + DATA, 0xaa, 1024);
    ck_assert_uint_eq(do_read(&k, 2047, 512), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA + 511], 0);
    ck_assert_uint_eq(k.g.mem[DATA + 512], 0xaa);
    ck_assert_uint_eq(do_read(&k, 2048, 512), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_read(&k, UINT64_MAX, 512), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_write(&k, 0, 512), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_DISCARD, 0, 8, 0, 1), VIRTIO_BLK_S_OK);
    blk_get_stats(k.g.dev, &stats);
    ck_assert_uint_eq(stats.reads, 1);
    ck_assert_uint_eq(stats.written_bytes, 512);
    ck_assert_uint_eq(stats.errors, 2);
    teardown(&k);
}
END_TEST

START_TEST(no_data_is_moved)
{
    struct blk_options o = {.store = BLK_STORE_UNTOUCHED, .null_bytes = 1 << 20};
    struct disk k;
    uint32_t len = 1;

    setup(&k, &o, ALL_FEATURES);
    memset(k.g.mem + DATA, 0xaa, 512);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_IN, 0, 512, true, &len), VIRTIO_BLK_S_OK);
    /* Nothing is claimed of it, either. */
    ck_assert_uint_eq(len, 0);
    ck_assert_uint_eq(k.g.mem[DATA], 0xaa);
    ck_assert_uint_eq(k.g.mem[DATA + 511], 0xaa);
    /* One that is refused has no data, as ever. */
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_IN, 2048, 512, true, &len), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(len, 513);
    ck_assert_uint_eq(k.g.mem[DATA], 0);
    teardown(&k);
}
END_TEST

START_TEST(store_in_memory)
{
    struct blk_options o = {.store = BLK_STORE_MEMORY, .null_bytes = 1 << 20};
    struct disk k;
    uint32_t len = 0;

    setup(&k, &o, ALL_FEATURES);
    ck_assert_uint_eq(do_read(&k, 2040, 4096), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA], 0);
    memset(k.g.mem + DATA, 0x55, 4096);
    ck_assert_uint_eq(do_write(&k, 2040, 4096), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_write(&k, 2041, 4096), VIRTIO_BLK_S_IOERR);
    memset(k.g.mem + DATA, 0, 4096);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_IN, 2040, 4096, true, &len), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(len, 4097);
    ck_assert_uint_eq(k.g.mem[DATA], 0x55);
    ck_assert_uint_eq(k.g.mem[DATA + 4095], 0x55);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_WRITE_ZEROES, 2041, 1, 0, 1), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_read(&k, 2040, 1024), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA + 511], 0x55);
    ck_assert_uint_eq(k.g.mem[DATA + 512], 0);
    ck_assert_int_eq(blk_resize(k.g.dev, 2 << 20), -EINVAL);
    teardown(&k);
    o.zone_bytes = 1 << 16;
    expect_refused(&k, o, -EINVAL, "zones");
}
END_TEST

/* Why there is no io_uring: the default filter of containers; no memory left for this user. */
static const int io_uring_refusals[] = {EPERM, ENOMEM};

static void refuse_io_uring(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

START_TEST(works_without_io_uring)
{
    struct disk k;

    refuse_io_uring(io_uring_refusals[_i]);
    setup(&k, &plain, ALL_FEATURES);
    ck_assert_uint_eq(do_read(&k, 11, 1536), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA + 1535], sector_byte(13));
    memset(k.g.mem + DATA, 0x42, 512);
    ck_assert_uint_eq(do_write(&k, 12, 512), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(request(&k, VIRTIO_BLK_T_FLUSH, 0, 0, false, NULL), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_range(&k, VIRTIO_BLK_T_WRITE_ZEROES, 11, 1, 0, 1), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_read(&k, 11, 1024), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA], 0);
    ck_assert_uint_eq(k.g.mem[DATA + 512], 0x42);
    ck_assert_uint_eq(do_read(&k, IMAGE_SECTORS, 512), VIRTIO_BLK_S_IOERR);
    vdev_set_status(k.g.dev, 0);
    teardown(&k);
}
END_TEST

START_TEST(direct_access_bounces_what_is_unaligned)
{
    struct blk_options o = {.direct = true};
    struct rig_seg segs[3] = {{RIG_BASE + HDR, 16, false},
                              {RIG_BASE + DATA + 3, 300 * 1024, true},
                              {RIG_BASE + STATUS, 1, true}};
    struct disk k = {.config = {0}};
    struct vdev *d;

    k.config = rig_setup(&k.g);
    make_image(&k, IMAGE_BYTES);
    o.path = k.path;
    if (blk_create(&k.config, &o, &d, k.error, sizeof(k.error))) {
        /* The file system of /tmp cannot: then it has to say so. */
        ck_assert_str_ne(k.error, "");
        unlink(k.path);
        return;
    }
    rig_attach(&k.g, d);
    rig_start(&k.g, ALL_FEATURES);
    header(&k, VIRTIO_BLK_T_IN, 2);
    ck_assert_uint_eq(submit(&k, segs, 3), 300 * 1024 + 1);
    ck_assert_uint_eq(k.g.mem[STATUS], VIRTIO_BLK_S_OK);
    for (unsigned i = 0; i < 600; i++)
        ck_assert_uint_eq(k.g.mem[DATA + 3 + i * 512], sector_byte(2 + i));
    segs[1].write = false;
    header(&k, VIRTIO_BLK_T_OUT, 100);
    ck_assert_uint_eq(submit(&k, segs, 3), 1);
    ck_assert_uint_eq(k.g.mem[STATUS], VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_read(&k, 100 + 599, 512), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(k.g.mem[DATA], sector_byte(2 + 599));
    teardown(&k);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device_blk");
    TCase *t = tcase_create("blk");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, reads_and_writes);
    tcase_add_test(t, bounds_and_lengths);
    tcase_add_test(t, framing_is_free);
    tcase_add_test(t, unknown_types_are_unsupported);
    tcase_add_test(t, id_is_padded_and_bounded);
    tcase_add_test(t, read_only_disks_refuse_writes);
    tcase_add_test(t, discard_and_write_zeroes);
    tcase_add_test(t, flush_and_cache_mode);
    tcase_add_test(t, configuration_says_what_it_does);
    tcase_add_test(t, bad_images_get_clear_errors);
    tcase_add_test(t, reset_waits_for_the_store);
    tcase_add_test(t, more_requests_than_the_store_takes);
    tcase_add_test(t, an_image_that_shrank_is_an_error);
    tcase_add_test(t, null_store);
    tcase_add_test(t, no_data_is_moved);
    tcase_add_test(t, store_in_memory);
    tcase_add_loop_test(t, works_without_io_uring, 0,
                        sizeof(io_uring_refusals) / sizeof(io_uring_refusals[0]));
    tcase_add_test(t, direct_access_bounces_what_is_unaligned);
    suite_add_tcase(s, t);
    return rig_main(s);
}
