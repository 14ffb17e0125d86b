/* SPDX-License-Identifier: MIT */
/*
 * A device that comes and goes under a stock Linux: found by a rescan when nobody announces it, and
 * by Linux's own driver for hot-plug slots (pciehp) when it is in one.
 *
 * The slot's port has an interrupt line of its own (pci/port.h says why). A device goes with the
 * guest's consent, while requests are in flight: Linux's virtio_blk waits for these, for ever when
 * the device has gone.
 */
#define CHECK_FAMILY "linux"
#include "stock/blk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS      10u
#define READERS     4u
#define READ_BYTES  4096u
#define READS_FIRST 64u    /* of all readers, before the device is taken */
#define GONE_MS     30000u /* Linux lets a button blink for 5 s, and waits 1 s for the power to go */
#define THERE_MS    20000u

/* Reads the disk until that fails, and says so of every read. */
static void read_until_gone(const char *node, int say, uint8_t *data, unsigned seed)
{
    char path[STOCK_PATH_BYTES];
    int fd;

    snprintf(path, sizeof(path), "/dev/%s", node);
    fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    for (unsigned i = seed; fd >= 0; i++) {
        if (pread(fd, data, READ_BYTES, (off_t)(i % 256) * READ_BYTES) != READ_BYTES)
            break;
        if (write(say, "", 1) != 1)
            break;
    }
    _exit(0);
}

struct readers {
    pid_t pid[READERS];
    int heard;
};

static void readers_start(struct stock *s, struct readers *r)
{
    uint8_t *data = stock_memory(s, READERS * READ_BYTES);
    int fds[2];

    if (pipe2(fds, O_CLOEXEC))
        error_out(s->t, "pipe: %s", strerror(errno));
    for (unsigned i = 0; i < READERS; i++) {
        r->pid[i] = fork();
        if (r->pid[i] == 0)
            read_until_gone(s->node, fds[1], data + i * READ_BYTES, i * 64);
    }
    close(fds[1]);
    r->heard = fds[0];
}

/* Hear of `most` reads (0: until the last reader has ended); how many there were. */
static unsigned readers_hear(const struct readers *r, unsigned most, bool *ended)
{
    struct pollfd p = {.fd = r->heard, .events = POLLIN};
    unsigned count = 0;
    char bytes[256];
    ssize_t n = 1;

    while ((!most || count < most) && poll(&p, 1, (int)GONE_MS) > 0 &&
           (n = read(r->heard, bytes, sizeof(bytes))) > 0)
        count += (unsigned)n;
    *ended = n == 0;
    return count;
}

static void readers_end(struct stock *s, struct readers *r)
{
    bool ended;

    (void)readers_hear(r, 0, &ended);
    close(r->heard);
    s->hung = !ended;
    expect(s->t, MUST, ended, "who reads a disk that was taken away is never told");
    if (!ended)
        stop_check(s->t);
    for (unsigned i = 0; i < READERS; i++)
        if (r->pid[i] > 0)
            waitpid(r->pid[i], NULL, 0);
}

static void need_pluggable(struct stock *s)
{
    if (s->subject->bus != STOCK_PCI || !*stock_info_text(s, "store"))
        skip_check(s->t, "the device is not described in the store");
}

static void expect_gone(struct stock *s)
{
    bool gone = stock_wait(s, false, GONE_MS);

    expect(s->t, MUST, gone, "Linux still has a device that was taken away");
    if (!gone)
        stop_check(s->t);
}

static void expect_there(struct stock *s, const char *how)
{
    bool there = stock_wait(s, true, THERE_MS);

    expect(s->t, MUST, there, "Linux does not find a device that came back: %s", how);
    if (!there)
        stop_check(s->t);
    stock_find(s);
    s->kind->exercise(s);
}

CHECK(rescan_finds_a_device, .judges = DEVICE, .proves = "xen.linux.rescan.1", .timeout_ms = 120000,
      .title = "Linux finds a device that nobody announced when it is told to look again")
{
    struct stock *s = given_stock(t, NULL);
    char path[STOCK_PATH_BYTES];
    uint64_t slot;

    need_pluggable(s);
    slot = stock_info_number(s, "slot");
    if (slot)
        skip_check(t, "the device is in a slot that announces it");
    for (unsigned i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", s->subject->place);
        stock_write(s, path, "1");
        expect_gone(s);
        json_decref(stock_ask(s, "device.detach", NULL));
        stock_write(s, "/sys/bus/pci/rescan", "1");
        expect(t, MUST, !stock_wait(s, true, 0), "Linux finds a device that is not there");
        json_decref(stock_ask(s, "device.attach", NULL));
        expect(t, MUST, !stock_wait(s, true, 0), "Linux has a device that it did not look for");
        stock_write(s, "/sys/bus/pci/rescan", "1");
        expect_there(s, "after a rescan");
    }
}

CHECK(slot_device_comes_and_goes, .judges = DEVICE, .proves = "xen.linux.slot.1",
      .timeout_ms = 240000,
      .title = "Ten times Linux gives back a device that it reads from, and takes it again")
{
    struct stock *s = given_stock(t, "blk");
    char path[STOCK_PATH_BYTES];
    unsigned reads = 0, more;
    uint64_t slot;
    bool ended;

    need_pluggable(s);
    slot = stock_info_number(s, "slot");
    if (!slot)
        skip_check(t, "the device is in no slot (axis announce)");
    snprintf(path, sizeof(path), "/sys/bus/pci/slots/%u/power", (unsigned)slot);
    expect(t, MUST, access(path, W_OK) == 0, "pciehp does not accept the slot: there is no %s",
           path);
    if (access(path, W_OK))
        stop_check(t);
    for (unsigned i = 0; i < ROUNDS; i++) {
        /* By whoever is at the machine, or by the guest's administrator. */
        bool button = i % 5 == 4;
        struct readers r;

        readers_start(s, &r);
        more = readers_hear(&r, READS_FIRST, &ended);
        expect(t, MUST, more >= READS_FIRST && !ended, "round %u: the disk cannot be read", i);
        reads += more;
        if (button)
            json_decref(stock_ask(s, "device.ask-back", NULL));
        else
            stock_write(s, path, "0");
        expect_gone(s);
        readers_end(s, &r);
        json_decref(stock_ask(s, button ? "device.gone" : "device.detach", NULL));
        json_decref(stock_ask(s, "device.attach", NULL));
        expect_there(s, "in its slot");
    }
    note(t, "rounds", "%u, with %u reads or more before them", ROUNDS, reads);
}
