/* SPDX-License-Identifier: MIT */
/*
 * A disk behind Linux's virtio_blk. All accesses are direct: what the page cache has proves
 * nothing of the backend.
 */
#define CHECK_FAMILY "linux"
#include "stock/blk.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/bits.h"

#define KIB 1024u
/* Of a disk that the checks write; enough for requests of more segments than one page lists. */
#define REGION_BYTES (2048u * KIB)
#define CHUNK_BYTES  (1024u * KIB)

#define F_BLK_FLUSH      9
#define F_BLK_CONFIG_WCE 11

/* ---- requests ---- */

struct transfer {
    const char *node;
    bool write, durable; /* durable: the data is flushed before the write returns */
    uint64_t offset;
    size_t bytes;
    uint8_t *data;
};

static int open_disk(const char *node, int flags)
{
    char path[STOCK_PATH_BYTES];

    snprintf(path, sizeof(path), "/dev/%s", node);
    return open(path, flags | O_CLOEXEC);
}

static int do_transfer(void *arg)
{
    const struct transfer *x = arg;
    int fd = open_disk(x->node,
                       O_DIRECT | (x->write ? O_WRONLY : O_RDONLY) | (x->durable ? O_DSYNC : 0));
    size_t done = 0;

    if (fd < 0)
        return errno;
    while (done < x->bytes) {
        size_t n = x->bytes - done < CHUNK_BYTES ? x->bytes - done : CHUNK_BYTES;
        ssize_t got = x->write ? pwrite(fd, x->data + done, n, (off_t)(x->offset + done))
                               : pread(fd, x->data + done, n, (off_t)(x->offset + done));
        if (got <= 0)
            return got ? errno : ENODATA;
        done += (size_t)got;
    }
    return 0;
}

static void transfer(struct stock *s, bool write, bool durable, uint64_t offset, size_t bytes,
                     uint8_t *data)
{
    struct transfer x = {s->node, write, durable, offset, bytes, data};
    char what[96];
    int err;

    snprintf(what, sizeof(what), "%s of %zu bytes at %llu", write ? "a write" : "a read", bytes,
             (unsigned long long)offset);
    err = stock_do(s, what, do_transfer, &x);
    expect(s->t, MUST, err == 0, "%s fails: %s", what, strerror(err));
    if (err)
        stop_check(s->t);
}

struct range {
    const char *node;
    unsigned long request;
    uint64_t at[2]; /* offset and bytes */
};

static int do_range(void *arg)
{
    struct range *r = arg;
    int fd = open_disk(r->node, O_WRONLY);

    return fd < 0 || ioctl(fd, r->request, r->at) < 0 ? errno : 0;
}

static void range_request(struct stock *s, unsigned long request, const char *what, uint64_t offset,
                          uint64_t bytes)
{
    struct range r = {s->node, request, {offset, bytes}};
    int err = stock_do(s, what, do_range, &r);

    expect(s->t, MUST, err == 0, "%s fails: %s", what, strerror(err));
    if (err)
        stop_check(s->t);
}

/* ---- patterns ---- */

/* Every sector of a disk says which one it is and whose writing it has. */
static uint64_t word(struct stock *s, uint64_t sector, unsigned writing)
{
    return sector << 24 ^ writing ^ s->subject->seed << 48;
}

static void fill(struct stock *s, uint8_t *data, uint64_t offset, size_t bytes, unsigned writing)
{
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t w = htole64(word(s, (offset + i) / STOCK_SECTOR, writing));
        memcpy(data + i, &w, sizeof(w));
    }
}

static void expect_filled(struct stock *s, const uint8_t *data, uint64_t offset, size_t bytes,
                          unsigned writing, const char *what)
{
    size_t wrong = 0, first = 0;

    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t w;
        memcpy(&w, data + i, sizeof(w));
        if (le64toh(w) == word(s, (offset + i) / STOCK_SECTOR, writing))
            continue;
        if (!wrong++)
            first = i;
    }
    expect(s->t, MUST, wrong == 0,
           "%s: %zu of %zu words are not what was written, from sector %llu", what, wrong,
           bytes / sizeof(uint64_t), (unsigned long long)((offset + first) / STOCK_SECTOR));
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i])
            return false;
    return true;
}

static void write_filled(struct stock *s, uint8_t *data, uint64_t offset, size_t bytes,
                         unsigned writing)
{
    fill(s, data, offset, bytes, writing);
    transfer(s, true, false, offset, bytes, data);
}

/* ---- the disk ---- */

static uint64_t disk_bytes(struct stock *s)
{
    return stock_number_node(s, "size") * STOCK_SECTOR;
}

uint64_t stock_writable_bytes(struct stock *s, uint64_t most)
{
    uint64_t bytes = disk_bytes(s);

    if (stock_info_true(s, "ro"))
        skip_check(s->t, "the disk is read-only");
    return bytes < most ? bytes : most;
}

/* What the checks write, from the first sector on. */
static size_t region_bytes(struct stock *s)
{
    uint64_t bytes = stock_writable_bytes(s, REGION_BYTES);

    if (bytes < REGION_BYTES)
        skip_check(s->t, "the disk has fewer than %u KiB", REGION_BYTES / KIB);
    return REGION_BYTES;
}

void stock_exercise_blk(struct stock *s)
{
    uint64_t bytes = disk_bytes(s);
    size_t n = bytes < 128u * KIB ? (size_t)bytes : 128u * KIB;
    uint8_t *data = stock_memory(s, 2 * n);

    transfer(s, false, false, 0, n, data);
    if (stock_info_true(s, "ro"))
        return;
    write_filled(s, data, 0, n, 1);
    transfer(s, false, false, 0, n, data + n);
    expect_filled(s, data + n, 0, n, 1, "data read back");
}

CHECK(blk_is_what_was_configured, .judges = DEVICE, .proves = "xen.blk.capacity.1 xen.blk.id.2",
      .title = "Linux's disk has the size, serial number and cache of the device")
{
    struct stock *s = given_stock(t, "blk");
    char serial[STOCK_NAME_BYTES], cache[STOCK_NAME_BYTES];
    uint64_t bytes = stock_info_number(s, "size_bytes");
    const char *want = stock_info_text(s, "serial");
    bool wce = stock_negotiated(s, F_BLK_FLUSH) || stock_negotiated(s, F_BLK_CONFIG_WCE);
    const char *want_cache = wce ? "write back" : "write through";

    if (bytes)
        expect_eq(t, MUST, disk_bytes(s), bytes, "the disk's bytes");
    expect_eq(t, MUST, stock_number_node(s, "ro"), stock_info_true(s, "ro"), "ro");
    stock_read_node(s, "serial", serial, sizeof(serial));
    expect(t, MUST, !strcmp(serial, want), "the serial number is '%s', not '%s'", serial, want);
    stock_read_node(s, "queue/write_cache", cache, sizeof(cache));
    expect(t, MUST, !strcmp(cache, want_cache), "the cache is '%s', not '%s'", cache, want_cache);
}

CHECK(blk_data_is_where_it_was_written, .judges = DEVICE, .proves = "xen.blk.data.2",
      .timeout_ms = 60000,
      .title = "Writes of many lengths change what they cover, and nothing else")
{
    /* Offset and length in sectors; each covers some of what is there already. */
    static const struct {
        uint16_t at, count;
    } writes[] = {{0, 1},    {3, 2},   {8, 8},      {15, 1},  {17, 7},
                  {64, 129}, {255, 2}, {512, 1024}, {2047, 2}};
    struct stock *s = given_stock(t, "blk");
    size_t bytes = region_bytes(s);
    uint64_t last = disk_bytes(s) - STOCK_SECTOR;
    uint8_t *data = stock_memory(s, bytes), *now = stock_memory(s, bytes);
    uint8_t *end = stock_memory(s, STOCK_SECTOR);

    fill(s, now, 0, bytes, 2);
    transfer(s, true, false, 0, bytes, now);
    for (unsigned i = 0; i < ARRAY_LENGTH(writes); i++) {
        uint64_t offset = (uint64_t)writes[i].at * STOCK_SECTOR;
        size_t n = (size_t)writes[i].count * STOCK_SECTOR;

        fill(s, now + offset, offset, n, 3 + i);
        transfer(s, true, false, offset, n, now + offset);
    }
    write_filled(s, end, last, STOCK_SECTOR, 99);
    /* Nothing that the kernel remembers survives this. */
    stock_unbind(s);
    stock_bind(s);
    transfer(s, false, false, 0, bytes, data);
    for (size_t i = 0; i < bytes; i += STOCK_SECTOR) {
        bool same = !memcmp(data + i, now + i, STOCK_SECTOR);
        expect(t, MUST, same, "sector %zu has not what was written to it", i / STOCK_SECTOR);
        if (!same)
            stop_check(t);
    }
    transfer(s, false, false, last, STOCK_SECTOR, end);
    expect_filled(s, end, last, STOCK_SECTOR, 99, "the last sector");
}

CHECK(blk_durable_writes_succeed, .judges = DEVICE, .proves = "xen.blk.flush.1",
      .title = "A write that has to be durable is flushed, and both succeed")
{
    struct stock *s = given_stock(t, "blk");
    size_t n = 4 * KIB;
    uint8_t *data = stock_memory(s, n);

    (void)region_bytes(s);
    if (!stock_negotiated(s, F_BLK_FLUSH))
        skip_check(t, "the device does not offer VIRTIO_BLK_F_FLUSH");
    fill(s, data, 0, n, 4);
    transfer(s, true, true, 0, n, data);
    memset(data, 0, n);
    transfer(s, false, false, 0, n, data);
    expect_filled(s, data, 0, n, 4, "durable data");
}

/* Three stretches one behind the other, the middle one of which is asked to go. */
enum { BEFORE = 16 * KIB, MIDDLE = 64 * KIB, BEHIND = 16 * KIB };

static void expect_neighbours(struct stock *s, const uint8_t *data)
{
    expect_filled(s, data, 0, BEFORE, 5, "sectors before the range");
    expect_filled(s, data + BEFORE + MIDDLE, BEFORE + MIDDLE, BEHIND, 5,
                  "sectors behind the range");
}

CHECK(blk_discard_keeps_its_bounds, .judges = DEVICE, .proves = "xen.blk.discard.2",
      .title = "A discard leaves the sectors around it, and can be written again")
{
    struct stock *s = given_stock(t, "blk");
    const size_t all = BEFORE + MIDDLE + BEHIND;
    uint8_t *data = stock_memory(s, all);

    (void)region_bytes(s);
    if (!stock_number_node(s, "queue/discard_max_bytes"))
        skip_check(t, "the device does not offer VIRTIO_BLK_F_DISCARD");
    write_filled(s, data, 0, all, 5);
    range_request(s, BLKDISCARD, "a discard", BEFORE, MIDDLE);
    transfer(s, false, false, 0, all, data);
    expect_neighbours(s, data);
    write_filled(s, data, BEFORE, MIDDLE, 6);
    transfer(s, false, false, BEFORE, MIDDLE, data);
    expect_filled(s, data, BEFORE, MIDDLE, 6, "what was written after the discard");
}

CHECK(blk_zeroes_are_zero, .judges = DEVICE, .proves = "blk.device-operation.device.9",
      .title = "Sectors zeroed by the device are zero, those around them are not")
{
    struct stock *s = given_stock(t, "blk");
    const size_t all = BEFORE + MIDDLE + BEHIND;
    uint8_t *data = stock_memory(s, all);

    (void)region_bytes(s);
    if (!stock_number_node(s, "queue/write_zeroes_max_bytes"))
        skip_check(t, "the device does not offer VIRTIO_BLK_F_WRITE_ZEROES");
    write_filled(s, data, 0, all, 5);
    range_request(s, BLKZEROOUT, "writing zeroes", BEFORE, MIDDLE);
    transfer(s, false, false, 0, all, data);
    expect_neighbours(s, data);
    expect(t, MUST, all_zero(data + BEFORE, MIDDLE), "zeroed sectors are not zero");
}
