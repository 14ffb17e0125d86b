/* SPDX-License-Identifier: MIT */
/*
 * A guest that has to wait for its boot disk. Told of nothing it looks again and again, with longer
 * and longer pauses, as Linux does with rootwait; behind a hot-plug slot it sleeps until the slot
 * interrupts. What that takes is noted for the table of topologies.
 */
#define CHECK_FAMILY "hotplug"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "conformance/blkdev.h"
#include "conformance/look.h"
#include "conformance/plug.h"
#include "conformance/slot.h"
#include "spec/pci.h"

#define BOOT (NEED_PCI | NEED_BLK | NEED_WRITABLE | NEED_TESTBED)

#define SECTORS        64u
#define PAUSE_FIRST_NS 1000000u
#define PAUSE_LAST_NS  64000000u
/* A device has so long to answer when its link has come up (PCI Express 6.6.1). */
#define LINK_LIMIT_NS 1000000000u
/* The disk does not come before the guest has looked so often for nothing. */
#define LOOKS_BEFORE 3u

/* The thread that waits is the only one that makes accesses meanwhile. */
struct wait {
    struct fe_pci_host *host; /* borrowed */
    struct slot *slot;        /* borrowed; NULL: nobody announces anything */
    sbdf_t wanted;
    pthread_t thread;
    bool joined;
    atomic_uint looks; /* at the whole bus */
    atomic_bool sleeps, given_up;
    /* Results, after the thread's end. */
    struct look look; /* added up */
    bool found;
    int rc;
    uint64_t at_ns;
};

static void pause_ns(uint64_t ns)
{
    const struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000u),
                                .tv_nsec = (long)(ns % 1000000000u)};

    (void)nanosleep(&ts, NULL);
}

/* One look at the bus, or behind a slot at its one place. */
static bool wait_look(struct wait *w, bool whole)
{
    struct look now = {0};

    w->rc = whole ? look_everywhere(w->host, &now) : look_at(w->host, &now, w->wanted);
    w->look.accesses += now.accesses;
    w->look.faults += now.faults;
    atomic_fetch_add(&w->looks, 1);
    w->found = look_has(&now, w->wanted);
    return w->found || w->rc || atomic_load(&w->given_up);
}

static void wait_silently(struct wait *w)
{
    uint64_t pause = PAUSE_FIRST_NS, until = given_now_ns() + LIMIT_RESET_NS;

    while (!wait_look(w, true) && given_now_ns() < until) {
        pause_ns(pause);
        pause = pause * 2 > PAUSE_LAST_NS ? PAUSE_LAST_NS : pause * 2;
    }
}

static void wait_for_slot(struct wait *w)
{
    struct fe_platform *p = w->slot->d->subject->platform;
    uint16_t status = 0;
    uint64_t until;

    atomic_store(&w->sleeps, true);
    w->rc = p->ops->irq_wait(p, w->slot->port.irq, LIMIT_RESET_NS);
    if (w->rc != 1)
        return;
    w->rc = fe_port_slot_status(&w->slot->port, &status);
    w->look.accesses++;
    until = given_now_ns() + LINK_LIMIT_NS;
    while (!w->rc && !wait_look(w, false) && given_now_ns() < until)
        given_pause();
}

static void *wait_for_disk(void *arg)
{
    struct wait *w = arg;

    if (w->slot)
        wait_for_slot(w);
    else
        wait_silently(w);
    w->at_ns = given_now_ns();
    return NULL;
}

static void wait_join(struct wait *w)
{
    if (!w->joined)
        pthread_join(w->thread, NULL);
    w->joined = true;
}

static void wait_end(void *arg)
{
    struct wait *w = arg;

    atomic_store(&w->given_up, true);
    wait_join(w);
    free(w);
}

/* Returns when the guest has looked in vain, or sleeps. */
static struct wait *wait_begin(struct device *d, struct slot *slot)
{
    struct wait *w = calloc(1, sizeof(*w));
    uint64_t until = given_now_ns() + LIMIT_RESET_NS;

    if (!w)
        error_out(d->t, "no memory");
    w->host = &d->host;
    w->slot = slot;
    w->wanted = d->subject->place.sbdf;
    if (pthread_create(&w->thread, NULL, wait_for_disk, w)) {
        free(w);
        error_out(d->t, "no thread");
    }
    check_defer(d->t, wait_end, w);
    while (atomic_load(&w->looks) < LOOKS_BEFORE && !atomic_load(&w->sleeps) &&
           given_now_ns() < until)
        given_pause();
    return w;
}

static void boots_when_it_comes(struct check_ctx *t, struct device *d, struct slot *slot)
{
    struct blk *k = given_blk_of(d, 0, 0);
    struct wait *w;
    uint64_t start;

    blk_write_pattern(k, 0, SECTORS, 4711);
    d->gone_on_purpose = true;
    plug_out(t, 0);
    if (slot)
        slot_listen(slot, PCI_SLOT_PRESENCE_CHANGED);
    w = wait_begin(d, slot);
    start = given_now_ns();
    plug_in(t, 0, NULL);
    wait_join(w);
    note(t, "row", "boot disk that comes late, %s", slot ? "event of its slot" : "silent");
    note(t, "found after", "%.1f", (double)(w->at_ns - start) / 1e6);
    note(t, "accesses", "%u", w->look.accesses);
    note(t, "faults", "%u", w->look.faults);
    expect(t, MUST, w->found, "the boot disk has come, and a guest that waits %s in %u looks (%d)",
           slot ? "for the slot does not find it" : "does not find it", atomic_load(&w->looks),
           w->rc);
    if (!w->found)
        stop_check(t);
    if (slot)
        slot_listen(slot, 0);
    device_reattach(d);
    blk_restart(k, 0, 0);
    expect_pattern(k, 0, SECTORS, 4711, "the boot disk's first sectors");
}

CHECK(boot_disk_is_found_without_a_word, .judges = DEVICE, .proves = "xen.hotplug.boot.1",
      .needs = BOOT, .timeout_ms = 60000,
      .title = "A guest that looks again and again finds the boot disk that comes late, and boots")
{
    need_pluggable(t, 0);
    boots_when_it_comes(t, given_device(t), NULL);
}

CHECK(boot_disk_wakes_the_guest, .judges = DEVICE, .proves = "xen.hotplug.boot.2",
      .needs = BOOT | NEED_SLOT, .timeout_ms = 60000,
      .title = "A guest that sleeps until its slot interrupts finds the boot disk, and boots")
{
    struct slot *s;

    need_pluggable(t, 0);
    s = given_slot(t);
    boots_when_it_comes(t, s->d, s);
}
