/* SPDX-License-Identifier: MIT */
/*
 * Devices that come and go while the guest runs. Nothing tells the guest here: it finds a device by
 * looking again, and that one has gone by what it reads then.
 */
#define CHECK_FAMILY "hotplug"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/plug.h"
#include "spec/pci.h"
#include "spec/virtio_pci.h"
#include "util/bits.h"

#define HOTPLUG (NEED_PCI | NEED_BLK | NEED_TESTBED)
#define CYCLES  1000u

static void attach(struct device *d)
{
    plug_in(d->t, 0, NULL);
}

static void detach(struct device *d)
{
    d->gone_on_purpose = true;
    plug_out(d->t, 0);
}

static struct device *given_pluggable(struct check_ctx *t)
{
    need_pluggable(t, 0);
    return given_device(t);
}

struct sight {
    sbdf_t wanted;
    bool seen;
};

static int sight_note(void *ctx, sbdf_t sbdf, uint32_t vendor_device)
{
    struct sight *s = ctx;

    s->seen |= sbdf.raw == s->wanted.raw;
    return 0;
}

/* A scan of the whole bridge, as a rescan of an operating system is one. */
static bool rescan_finds(struct device *d)
{
    struct sight s = {.wanted = d->subject->place.sbdf};

    must(d->t, fe_pci_scan(&d->host, sight_note, &s), "scanning the bridge");
    return s.seen;
}

/* ---- a guest that looks while the device comes ---- */

/* The only thread that makes accesses; the check's waits for the testbed meanwhile. */
struct lookout {
    struct fe_pci_host *host; /* borrowed */
    sbdf_t sbdf;
    pthread_t thread;
    bool joined;
    atomic_bool over;
    /* Results, after the thread's end. */
    bool seen;
    unsigned before; /* looks that found nothing */
    uint64_t value;  /* of the first look that found something */
    int rc;
};

static void *lookout_until_there(void *arg)
{
    struct lookout *l = arg;
    bool nothing;

    do {
        /* Once more after the testbed has said that the device is there. */
        bool last = atomic_load(&l->over);

        l->rc = fe_ecam_read(l->host, l->sbdf, PCI_REG_VENDOR_ID, 4, &l->value);
        nothing = l->rc == -EFAULT || (l->rc == 0 && l->value == 0xffffffff);
        l->before += nothing;
        l->seen = !nothing;
        if (last)
            break;
        given_pause();
    } while (nothing);
    return NULL;
}

static void lookout_join(struct lookout *l)
{
    atomic_store(&l->over, true);
    if (!l->joined)
        pthread_join(l->thread, NULL);
    l->joined = true;
}

static void lookout_finish(void *arg)
{
    lookout_join(arg);
    free(arg);
}

static struct lookout *lookout_begin(struct device *d)
{
    struct lookout *l = calloc(1, sizeof(*l));

    if (!l)
        error_out(d->t, "no memory");
    l->host = &d->host;
    l->sbdf = d->subject->place.sbdf;
    if (pthread_create(&l->thread, NULL, lookout_until_there, l) == 0) {
        check_defer(d->t, lookout_finish, l);
        return l;
    }
    free(l);
    error_out(d->t, "no thread");
}

CHECK(attached_while_the_guest_looks, .judges = DEVICE, .proves = "xen.hotplug.scan.1",
      .needs = HOTPLUG, .timeout_ms = 60000,
      .title = "A guest that scans while a device comes sees none, then the whole of it")
{
    struct device *d = given_pluggable(t);
    uint64_t id = config_get(d, PCI_REG_VENDOR_ID, 4);
    struct lookout *l;

    for (unsigned round = 0; round < 10; round++) {
        detach(d);
        l = lookout_begin(d);
        attach(d);
        lookout_join(l);
        expect(t, MUST, l->seen, "round %u: the device is not found", round);
        expect(t, MUST, l->rc == 0 && l->value == id,
               "round %u: the first look that found something read 0x%llx (%s)", round,
               (unsigned long long)l->value, strerror(-l->rc));
    }
    note(t, "looks until found", "%u", l->before + 1);
    device_reattach(d);
    expect_device_there(d, "attached while it was looked for");
}

CHECK(silent_device_is_found_by_a_rescan, .judges = DEVICE, .proves = "xen.hotplug.rescan.1",
      .needs = HOTPLUG, .timeout_ms = 60000,
      .title = "A device that nobody announces is found by the next scan, and not before")
{
    struct device *d = given_pluggable(t);
    uint64_t start;

    detach(d);
    expect(t, MUST, !rescan_finds(d), "a scan finds a device that was taken away");
    attach(d);
    start = given_now_ns();
    expect(t, MUST, rescan_finds(d), "a scan does not find a device that the store says is there");
    note(t, "found after", "%.1f", (double)(given_now_ns() - start) / 1e6);
    device_reattach(d);
    expect_eq(t, MUST, device_status(d), 0, "the status that an attached device begins with");
}

CHECK(surprise_removal_releases_all, .judges = DEVICE, .proves = "xen.hotplug.removal.1",
      .needs = HOTPLUG | NEED_GRANTS, .timeout_ms = 60000,
      .title = "Taken away with requests in flight, a device maps nothing and reads all ones")
{
    struct buffer *data;
    struct blk *k;
    unsigned held = 0, n = 0;
    uint64_t value = 0;
    int rc;

    need_pluggable(t, 0);
    k = given_blk(t, 0, 0);
    data = given_buffer(k->d, 64 * SECTOR, 0, FE_DMA_FROM_DEVICE);
    blk_prepare(k, VIRTIO_BLK_T_IN, 0);
    struct piece p[3] = {piece_of(k->header, false), piece_of(data, true),
                         piece_of(k->status, true)};
    ring_offer(k->q, ring_chain(k->q, 0, p, 3));
    ring_kick(k->q);
    detach(k->d);
    must(t, fe_grants_in_use(&k->d->mem, k->q->mem.map.first, k->q->mem.pages, &held),
         "reading the grant table");
    must(t, fe_grants_in_use(&k->d->mem, data->map.first, data->map.pages, &n),
         "reading the grant table");
    expect_eq(t, MUST, held + n, 0, "pages that a device that was taken away still maps");
    rc = fe_ecam_read(&k->d->host, k->d->subject->place.sbdf, PCI_REG_VENDOR_ID, 4, &value);
    expect(t, MUST, rc == -EFAULT || (rc == 0 && value == 0xffffffff),
           "where the device was, configuration reads 0x%llx (%s)", (unsigned long long)value,
           strerror(-rc));
    attach(k->d);
    device_reattach(k->d);
    expect_recovers(k, "a removal with a request in flight");
}

CHECK(
    other_device_at_the_same_address, .judges = DEVICE, .proves = "xen.hotplug.successor.1",
    .needs = HOTPLUG, .timeout_ms = 60000,
    .title = "Where a disk was comes another device: its identity, and nothing of the disk's state")
{
    struct device *d = given_pluggable(t);

    detach(d);
    plug_in(t, 0, "rng");
    expect_eq(t, MUST, config_get(d, PCI_REG_DEVICE_ID, 2),
              VIRTIO_PCI_DEVICE_ID_BASE + VIRTIO_ID_ENTROPY, "the device ID");
    expect_eq(t, MUST,
              config_get(d, PCI_REG_COMMAND, 2) &
                  (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER),
              0, "what the command register of a device that just came allows");
    for (unsigned i = 0; i < PCI_BAR_COUNT; i++)
        expect_eq(t, MUST, config_get(d, PCI_REG_BAR0 + 4 * i, 4) & ~(uint64_t)PCI_BAR_FLAG_BITS, 0,
                  "the address in a BAR of a device that just came");
    detach(d);
    attach(d);
    device_reattach(d);
    expect_device_there(d, "back after another one");
}

CHECK(
    nothing_is_left_after_cycles, .judges = DEVICE, .proves = "xen.hotplug.cycles.1",
    .needs = HOTPLUG, .timeout_ms = 240000,
    .title = "A thousand times attached and detached: no grant, frame, port or descriptor is left")
{
    static const char *const members[] = {"grants_mapped", "foreign_frames", "resource_frames",
                                          "ports",         "ioservers",      "fds"};
    uint64_t before[ARRAY_LENGTH(members)];
    struct device *d = given_pluggable(t);

    /* What is made at first use is there after the first cycle. */
    for (unsigned i = 0; i <= CYCLES; i++) {
        detach(d);
        attach(d);
        for (unsigned m = 0; m < ARRAY_LENGTH(members) && i == 0; m++)
            before[m] = given_ask_number(t, "backend.audit", NULL, members[m]);
    }
    /* Less is no leak: a device may have been given less than the one before it. */
    for (unsigned m = 0; m < ARRAY_LENGTH(members); m++) {
        uint64_t now = given_ask_number(t, "backend.audit", NULL, members[m]);

        expect(t, MUST, now <= before[m], "%s: %" PRIu64 ", and %" PRIu64 " after the first cycle",
               members[m], now, before[m]);
    }
    device_reattach(d);
    expect_device_there(d, "after a thousand cycles");
}
