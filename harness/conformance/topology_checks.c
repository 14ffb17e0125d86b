/* SPDX-License-Identifier: MIT */
/*
 * One bus, served by whoever it may be: one process, several in several domains, the hypervisor
 * between them. What the guest sees must not tell which.
 */
#define CHECK_FAMILY "topology"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/look.h"
#include "conformance/plug.h"
#include "conformance/puts.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "util/bits.h"

#define TOPOLOGY (NEED_PCI | NEED_BLK | NEED_TESTBED)

/* A device that the first backend has not, and that is there from the start (or is not). */
static struct put *foreign_put(struct check_ctx *t, struct puts *p, bool late)
{
    for (unsigned i = 0; i < p->count; i++)
        if (strcmp(p->of[i].backend, p->of[0].backend) && p->of[i].late == late)
            return &p->of[i];
    skip_check(t, "no backend beside the first %s", late ? "comes late" : "is there at once");
}

/* ---- what a scan has to find ---- */

static void expect_scan(struct check_ctx *t, const struct puts *p, const struct look *l,
                        const struct put *absent, const char *when)
{
    unsigned there = 0;

    for (unsigned i = 0; i < p->count; i++) {
        sbdf_t at = p->of[i].subject.place.sbdf;
        bool want = !absent || strcmp(p->of[i].backend, absent->backend);

        there += want;
        expect(t, MUST, look_has(l, at) == want, "%s a scan %s function %x of %s", when,
               want ? "misses" : "finds", at.raw, p->of[i].backend);
    }
    expect(t, MUST, l->found == there && !l->too_many, "%s a scan finds %u functions, not %u", when,
           l->found, there);
}

CHECK(every_function_is_found, .judges = TRANSPORT, .proves = "xen.ecam.topology.1",
      .needs = TOPOLOGY,
      .title = "A scan finds each function once, whichever process in whichever domain has it")
{
    struct puts *p = given_puts(t);
    struct fe_pci_cap caps[FE_PCI_CAPS_MAX];
    struct look l = {0};
    uint64_t start = given_now_ns();

    must(t, look_machine(check_subject(t), &l), "scanning the machine");
    note(t, "row", "scan at boot");
    note(t, "found after", "%.1f", (double)(given_now_ns() - start) / 1e6);
    note(t, "accesses", "%u", l.accesses);
    note(t, "faults", "%u", l.faults);
    for (unsigned i = 0; i < p->count; i++)
        if (p->of[i].late)
            skip_check(t, "a backend comes late");
    expect_scan(t, p, &l, NULL, "at boot");
    for (unsigned i = 0; i < p->count; i++) {
        unsigned n = 0;

        if (!look_has(&l, p->of[i].subject.place.sbdf))
            continue;
        expect(t, MUST,
               fe_pci_caps_walk(put_host(t, &p->of[i]), p->of[i].subject.place.sbdf, caps, &n) > 0,
               "the capability list of function %x has %u entries or is broken",
               p->of[i].subject.place.sbdf.raw, n);
    }
}

CHECK(every_function_serves, .judges = DEVICE, .proves = "xen.ecam.topology.2", .needs = TOPOLOGY,
      .title = "Functions of different processes and domains serve requests side by side")
{
    struct puts *p = given_puts(t);
    struct blk *disks[PUTS_MAX] = {NULL}, *last = NULL;

    for (unsigned i = 0; i < p->count; i++)
        if (!p->of[i].late)
            last = disks[i] = put_open_disk(t, &p->of[i], last);
    for (unsigned i = 0; i < p->count; i++)
        if (disks[i])
            blk_write_pattern(disks[i], 8, 16, 1000 + i);
    for (unsigned i = 0; i < p->count; i++)
        if (disks[i])
            expect_pattern(disks[i], 8, 16, 1000 + i, "what was written to this disk");
}

CHECK(every_function_interrupts, .judges = DEVICE, .proves = "xen.ecam.topology.6",
      .needs = TOPOLOGY | NEED_MSIX | NEED_IRQ,
      .title = "Interrupts arrive from every function, whichever process has it")
{
    struct puts *p = given_puts(t);
    struct blk *last = NULL;

    for (unsigned i = 0; i < p->count; i++) {
        if (p->of[i].late)
            continue;
        last = put_open_disk(t, &p->of[i], last);
        ring_drain_irq(last->q);
        blk_write_pattern(last, 0, 1, i);
        expect_notified(last->q, MUST, "a request of this function was completed");
    }
}

CHECK(death_of_one_leaves_the_others, .judges = TRANSPORT, .proves = "xen.ecam.topology.3",
      .needs = TOPOLOGY | NEED_BACKENDS | NEED_SUCCESSOR, .timeout_ms = 60000,
      .title = "One backend is killed and comes back: the others' functions never notice")
{
    struct puts *p = given_puts(t);
    struct put *victim = foreign_put(t, p, false);
    struct blk *own = put_open_disk(t, &p->of[0], NULL);
    struct blk *other = put_open_disk(t, victim, own);

    blk_write_pattern(own, 0, 8, 1);
    blk_write_pattern(other, 0, 8, 2);
    other->d->gone_on_purpose = true;
    put_must(t, "backend.kill", victim);
    expect_pattern(own, 0, 8, 1, "a disk of another backend, one having been killed");
    put_must(t, "backend.start", victim);
    expect_pattern(own, 0, 8, 1, "a disk of another backend, one having come back");
    expect_device_there(own->d, "after another backend came back");
    device_reattach(other->d);
    expect_device_there(other->d, "after its backend came back");
    blk_restart(other, 0, 0);
    blk_write_pattern(other, 0, 8, 3);
    expect_pattern(other, 0, 8, 3, "a disk of a backend that came back");
}

static uint64_t held_by(struct check_ctx *t, const struct put *d)
{
    char args[sizeof(d->backend) + 32];

    snprintf(args, sizeof(args), "{\"backend\": \"%s\"}", d->backend);
    return given_ask_number(t, "backend.audit", args, "grants_mapped");
}

CHECK(reset_lets_go_of_the_rings, .judges = DEVICE, .proves = "xen.ecam.topology.9",
      .needs = TOPOLOGY | NEED_BACKENDS | NEED_GRANTS,
      .title =
          "A reset that the driver sees done has let go of the rings, whichever process has them")
{
    struct puts *p = given_puts(t);
    struct put *other = foreign_put(t, p, false);
    uint64_t before = held_by(t, other);
    struct blk *k = put_open_disk(t, other, NULL);

    blk_write_pattern(k, 0, 8, 1);
    expect(t, MUST, held_by(t, other) > before, "%s has no page of a running ring mapped",
           other->backend);
    must(t, fe_virtio_reset(k->d->v, LIMIT_RESET_NS), "resetting the device");
    expect_eq(t, MUST, held_by(t, other), before,
              "pages that the backend has mapped after a reset");
    blk_restart(k, 0, 0);
    blk_write_pattern(k, 0, 8, 2);
    expect_pattern(k, 0, 8, 2, "a disk after a reset");
}

CHECK(transport_outlives_its_back_end, .judges = DEVICE, .proves = "xen.ecam.topology.8",
      .needs = TOPOLOGY | NEED_BACKENDS | NEED_SUCCESSOR | NEED_VHOST_USER, .timeout_ms = 60000,
      .title = "Queues die with their process; the function stays, says that it needs a reset, "
               "and serves again")
{
    struct puts *p = given_puts(t);
    struct put *victim = foreign_put(t, p, false);
    struct blk *k = put_open_disk(t, victim, NULL);

    blk_write_pattern(k, 0, 8, 1);
    put_must(t, "backend.kill", victim);
    expect_device_there(k->d, "after the process with its queues was killed");
    expect(t, MUST,
           device_status_wait(k->d, VIRTIO_STATUS_DEVICE_NEEDS_RESET,
                              VIRTIO_STATUS_DEVICE_NEEDS_RESET, LIMIT_REPLY_NS),
           "the driver is not told: the status is 0x%x", device_status(k->d));
    device_reset(k->d);
    expect_eq(t, MUST, device_status(k->d), 0, "the status after a reset");
    put_must(t, "backend.start", victim);
    blk_restart(k, 0, 0);
    blk_write_pattern(k, 0, 8, 2);
    expect_pattern(k, 0, 8, 2, "a disk whose queues are another process's now");
}

CHECK(late_backend_is_found, .judges = TRANSPORT, .proves = "xen.ecam.topology.4",
      .needs = TOPOLOGY | NEED_BACKENDS, .timeout_ms = 60000,
      .title = "Functions of a backend that starts later are absent until then, and found after")
{
    struct puts *p = given_puts(t);
    struct put *late = foreign_put(t, p, true);
    struct look before = {0}, after = {0};
    struct blk *k;
    uint64_t start;

    must(t, look_machine(check_subject(t), &before), "scanning the machine");
    expect_scan(t, p, &before, late, "before its backend started");
    put_must(t, "backend.start", late);
    start = given_now_ns();
    must(t, look_machine(check_subject(t), &after), "scanning the machine");
    note(t, "row", "rescan after a late start");
    note(t, "found after", "%.1f", (double)(given_now_ns() - start) / 1e6);
    note(t, "accesses", "%u", after.accesses);
    note(t, "faults", "%u", after.faults);
    expect_scan(t, p, &after, NULL, "after its backend started");
    k = put_open_disk(t, late, NULL);
    blk_write_pattern(k, 0, 8, 4);
    expect_pattern(k, 0, 8, 4, "a disk of a backend that came late");
}

/* ---- while it is looked at ---- */

CHECK(scan_survives_a_death, .judges = TRANSPORT, .proves = "xen.ecam.topology.7",
      .needs = TOPOLOGY | NEED_BACKENDS | NEED_SUCCESSOR | NEED_TIMELINE, .timeout_ms = 60000,
      .title = "A backend dies and comes back while the guest scans: no function is half there")
{
    struct puts *p = given_puts(t);
    struct look during = {0}, after = {0};
    struct blk *last = NULL;
    uint64_t start = given_now_ns();

    /* The timeline moves the backend of the last device while this runs. */
    must(t, look_machine(check_subject(t), &during), "scanning the machine");
    note(t, "row", "scan during a death");
    note(t, "found after", "%.1f", (double)(given_now_ns() - start) / 1e6);
    note(t, "accesses", "%u", during.accesses);
    note(t, "faults", "%u", during.faults);
    note(t, "found", "%u", during.found);
    given_ask(t, "timeline.wait", NULL);
    for (unsigned i = 0; i < p->count; i++)
        if (strcmp(p->of[i].backend, p->of[p->count - 1].backend))
            expect(t, MUST, look_has(&during, p->of[i].subject.place.sbdf),
                   "a scan misses function %x of %s, which lives", p->of[i].subject.place.sbdf.raw,
                   p->of[i].backend);
    expect(t, MUST, during.found <= p->count && !during.too_many, "a scan finds %u functions of %u",
           during.found, p->count);
    must(t, look_machine(check_subject(t), &after), "scanning the machine");
    expect_scan(t, p, &after, NULL, "after its backend came back");
    for (unsigned i = 0; i < p->count; i++) {
        last = put_open_disk(t, &p->of[i], last);
        blk_write_pattern(last, 0, 8, 10 + i);
        expect_pattern(last, 0, 8, 10 + i, "a disk after a death during a scan");
    }
}

/* ---- announced or not ---- */

CHECK(attached_function_is_found, .judges = TRANSPORT, .proves = "xen.ecam.topology.5",
      .needs = TOPOLOGY, .timeout_ms = 60000,
      .title = "A function attached at run time is found by a rescan, or at once where it is told")
{
    static const char *const announced[] = {"silent: rescan", "told its place"};
    struct puts *p = given_puts(t);
    unsigned last = p->count - 1;
    struct put *d = &p->of[last];
    sbdf_t at = d->subject.place.sbdf;

    need_pluggable(t, last);
    for (unsigned i = 0; i < ARRAY_LENGTH(announced); i++) {
        struct look gone = {0}, l = {0};
        bool found;
        uint64_t start;

        plug_out(t, last);
        must(t, look_machine(check_subject(t), &gone), "scanning the machine");
        expect(t, MUST, !look_has(&gone, at), "a scan finds function %x, which was taken away",
               at.raw);
        start = given_now_ns();
        plug_in(t, last, NULL);
        if (i == 0)
            must(t, look_machine(check_subject(t), &l), "scanning the machine");
        else
            must(t, look_at(put_host(t, d), &l, at), "reading configuration space");
        found = look_has(&l, at);
        note(t, "row", "%s", announced[i]);
        note(t, "found after", "%.1f", (double)(given_now_ns() - start) / 1e6);
        note(t, "accesses", "%u", l.accesses);
        note(t, "faults", "%u", l.faults);
        expect(t, MUST, found, "function %x is not found (%s)", at.raw, announced[i]);
    }
    struct blk *k = put_open_disk(t, d, NULL);
    blk_write_pattern(k, 0, 8, 5);
    expect_pattern(k, 0, 8, 5, "a disk that was attached at run time");
}
