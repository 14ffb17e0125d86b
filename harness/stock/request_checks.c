/* SPDX-License-Identifier: MIT */
/*
 * What a request of Linux's own driver costs, from the system call to its return: what the guest's
 * kernel, Xen and the backend execute for it, whoever of them does. The figures mean something
 * where instructions are counted (check/cost.h). Who waits here sleeps, so that the machine does
 * nothing but the request.
 */
#define CHECK_FAMILY "request"
#include "stock/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check/cost.h"
#include "util/bits.h"

#define BYTES      4096u
#define DEPTH      16u
#define STRIDE     (2 * BYTES) /* nothing that lies together: Linux would make one request of it */
#define OPERATIONS 32u         /* of a batch */
#define ACCESSES   25u

/* Of a capability (VIRTIO 4.1.4), and of the common configuration. */
#define CAP_VENDOR         0x09
#define CAP_COMMON         1
#define DEVICE_FEATURE_SEL 0
#define CONFIG_BYTES       256
#define BAR_BYTES          4096u
/* In no window of the address map, and no memory of a small domain. */
#define UNCLAIMED 0xeff00000ull

struct requests {
    char node[STOCK_NAME_BYTES];
    bool write;
    unsigned depth;
    uint64_t disk_bytes;
    /* Of the child. */
    int fd, err;
    aio_context_t context;
    uint64_t next;
    uint8_t *data; /* DEPTH times BYTES */
    struct cost cost;
};

static uint64_t next_offset(struct requests *r)
{
    uint64_t at = r->next;

    r->next = (r->next + STRIDE) % r->disk_bytes;
    return at;
}

static void run_one_by_one(void *arg, unsigned operations)
{
    struct requests *r = arg;

    for (unsigned i = 0; i < operations && !r->err; i++) {
        off_t at = (off_t)next_offset(r);
        ssize_t n = r->write ? pwrite(r->fd, r->data, BYTES, at) : pread(r->fd, r->data, BYTES, at);

        if (n != (ssize_t)BYTES)
            r->err = n < 0 ? errno : EIO;
    }
}

/* All of the depth at once, and again when all have come. */
static void run_queued(void *arg, unsigned operations)
{
    struct requests *r = arg;

    for (unsigned done = 0; done < operations && !r->err; done += DEPTH) {
        struct iocb blocks[DEPTH], *list[DEPTH];
        struct io_event events[DEPTH];
        long n;

        for (unsigned i = 0; i < DEPTH; i++) {
            blocks[i] = (struct iocb){.aio_lio_opcode = r->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                                      .aio_fildes = (uint32_t)r->fd,
                                      .aio_buf = (uintptr_t)(r->data + (size_t)i * BYTES),
                                      .aio_nbytes = BYTES,
                                      .aio_offset = (int64_t)next_offset(r)};
            list[i] = &blocks[i];
        }
        n = syscall(SYS_io_submit, r->context, (long)DEPTH, list);
        if (n == (long)DEPTH)
            n = syscall(SYS_io_getevents, r->context, (long)DEPTH, (long)DEPTH, events, NULL);
        if (n != (long)DEPTH)
            r->err = n < 0 ? errno : EIO;
        for (unsigned i = 0; i < DEPTH && !r->err; i++)
            if (events[i].res != (int64_t)BYTES)
                r->err = events[i].res < 0 ? (int)-events[i].res : EIO;
    }
}

static int measure(void *arg)
{
    struct requests *r = arg;
    char path[STOCK_PATH_BYTES];

    snprintf(path, sizeof(path), "/dev/%s", r->node);
    r->fd = open(path, O_DIRECT | O_CLOEXEC | (r->write ? O_WRONLY : O_RDONLY));
    if (r->fd < 0)
        return errno;
    if (r->depth > 1 && syscall(SYS_io_setup, (long)DEPTH, &r->context) < 0)
        return errno;
    cost_measure(&r->cost, OPERATIONS, r->depth > 1 ? run_queued : run_one_by_one, r);
    return r->err;
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i])
            return false;
    return true;
}

CHECK(blk_costs, .judges = DEVICE, .proves = "xen.blk.data.2", .timeout_ms = 40000,
      .title = "Reads and writes of 4 KiB, one by one and queued, of a disk without a medium")
{
    static const struct {
        const char *row;
        bool write;
        unsigned depth;
    } shapes[] = {
        {"read 4 KiB", false, 1},
        {"write 4 KiB", true, 1},
        {"read 4 KiB, 16 queued", false, DEPTH},
        {"write 4 KiB, 16 queued", true, DEPTH},
    };
    struct stock *s = given_stock(t, "blk");
    struct requests *r = stock_memory(s, sizeof(*r));
    uint64_t bytes = stock_writable_bytes(s, UINT64_MAX) / STRIDE * STRIDE;
    uint8_t *data = stock_memory(s, (size_t)DEPTH * BYTES);

    if (!bytes)
        skip_check(t, "the disk is too small");
    note(t, "compiler", "%s", __VERSION__);
    for (unsigned i = 0; i < ARRAY_LENGTH(shapes); i++) {
        int err;

        *r = (struct requests){
            .write = shapes[i].write, .depth = shapes[i].depth, .disk_bytes = bytes, .data = data};
        snprintf(r->node, sizeof(r->node), "%s", s->node);
        memset(data, r->write ? 0 : 0xa5, (size_t)DEPTH * BYTES);
        err = stock_do(s, shapes[i].row, measure, r);
        expect(t, MUST, err == 0, "%s: %s", shapes[i].row, strerror(err));
        if (err)
            stop_check(t);
        /* A null store reads zeroes, and a disk that was made for the check. */
        expect(t, MUST, all_zero(data, (size_t)shapes[i].depth * BYTES),
               "%s: not all bytes were read", shapes[i].row);
        cost_note(t, shapes[i].row, &r->cost);
    }
}

/* ---- accesses ---- */

struct accesses {
    char place[STOCK_NAME_BYTES];
    /* Of the child. */
    uint8_t *at;
    uint32_t select, wrong;
    struct cost read, write, unclaimed;
};

/* One instruction with plain addressing: what arm64 has for others no hypervisor can decode. */
static uint32_t load(const uint8_t *at)
{
    uint32_t v;

#if defined(__x86_64__)
    __asm__ volatile("movl (%1), %0" : "=r"(v) : "r"(at) : "memory");
#else
    __asm__ volatile("ldr %w0, [%1]" : "=r"(v) : "r"(at) : "memory");
#endif
    return v;
}

static void store(uint8_t *at, uint32_t v)
{
#if defined(__x86_64__)
    __asm__ volatile("movl %0, (%1)" : : "r"(v), "r"(at) : "memory");
#else
    __asm__ volatile("str %w0, [%1]" : : "r"(v), "r"(at) : "memory");
#endif
}

static void run_reads(void *arg, unsigned operations)
{
    struct accesses *a = arg;

    for (unsigned i = 0; i < operations; i++)
        a->wrong += load(a->at) != a->select;
}

static void run_writes(void *arg, unsigned operations)
{
    const struct accesses *a = arg;

    for (unsigned i = 0; i < operations; i++)
        store(a->at, a->select);
}

/* Where the common configuration is: a BAR and an offset in it. False when nobody says so. */
static bool find_common(const uint8_t *config, unsigned *bar, uint32_t *offset)
{
    unsigned at = config[0x34];

    for (unsigned i = 0; at >= 0x40 && at <= CONFIG_BYTES - 16 && i < 48;
         i++, at = config[at + 1]) {
        if (config[at] != CAP_VENDOR || config[at + 3] != CAP_COMMON)
            continue;
        *bar = config[at + 4];
        *offset = (uint32_t)config[at + 8] | (uint32_t)config[at + 9] << 8 |
                  (uint32_t)config[at + 10] << 16 | (uint32_t)config[at + 11] << 24;
        return *bar < 6;
    }
    return false;
}

static uint8_t *map_page(const char *path, uint64_t offset)
{
    int fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED
                     : mmap(NULL, BAR_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

    if (fd >= 0)
        close(fd);
    return p == MAP_FAILED ? NULL : p;
}

static int measure_accesses(void *arg)
{
    struct accesses *a = arg;
    uint8_t config[CONFIG_BYTES] = {0}, *bar_at;
    char path[2 * STOCK_PATH_BYTES];
    uint32_t offset = 0;
    unsigned bar = 0;
    int fd;

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", a->place);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, config, sizeof(config), 0) != (ssize_t)sizeof(config))
        return errno ? errno : EIO;
    close(fd);
    if (!find_common(config, &bar, &offset))
        return ENOENT;
    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%u", a->place, bar);
    bar_at = map_page(path, offset / BAR_BYTES * BAR_BYTES);
    if (!bar_at)
        return errno;
    a->at = bar_at + offset % BAR_BYTES + DEVICE_FEATURE_SEL;
    a->select = 1;
    cost_measure(&a->write, ACCESSES, run_writes, a);
    cost_measure(&a->read, ACCESSES, run_reads, a);
#if defined(__x86_64__)
    uint32_t wrong = a->wrong;

    a->at = map_page("/dev/mem", UNCLAIMED);
    if (!a->at)
        return errno;
    a->select = UINT32_MAX;
    cost_measure(&a->unclaimed, ACCESSES, run_reads, a);
    a->wrong += wrong;
#endif
    return 0;
}

CHECK(accesses_cost, .judges = DEVICE,
      .proves = "pci.common-configuration-structure-layout.device.3",
      .title = "A register of the device written and read, and an address that nobody claims")
{
    struct stock *s = given_stock(t, NULL);
    struct accesses *a = stock_memory(s, sizeof(*a));
    int err;

    if (s->subject->bus != STOCK_PCI)
        skip_check(t, "the device is not on PCI");
    snprintf(a->place, sizeof(a->place), "%s", s->subject->place);
    err = stock_do(s, "accesses", measure_accesses, a);
    if (err)
        error_out(t, "accesses of the guest: %s", strerror(err));
    expect_eq(t, MUST, a->wrong, 0, "reads that gave something else than was written, or all ones");
    cost_note(t, "MMIO write, answered by the backend", &a->write);
    cost_note(t, "MMIO read, answered by the backend", &a->read);
    /* Where it does not abort. */
    if (a->unclaimed.batches)
        cost_note(t, "MMIO read, unclaimed", &a->unclaimed);
}
