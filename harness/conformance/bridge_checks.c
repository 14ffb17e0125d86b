/* SPDX-License-Identifier: MIT */
/*
 * Several host bridges, of one segment or of several: what is behind one is nowhere else, and one
 * that comes at run time is as good as those that were there.
 */
#define CHECK_FAMILY "bridge"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/look.h"
#include "conformance/puts.h"
#include "frontend/bridge.h"
#include "spec/pci.h"
#include "util/host_bridge.h"

#define BRIDGES       (NEED_PCI | NEED_BLK | NEED_TESTBED | NEED_BRIDGES)
#define BRIDGES_MAX   9u
#define OVERLAY_BYTES 4096u

static struct fe_pci_host *host_of(struct check_ctx *t, const struct fe_host_bridge *b)
{
    const struct subject *s = check_subject(t);
    struct fe_pci_host *h = calloc(1, sizeof(*h));

    if (!h)
        error_out(t, "no memory");
    check_defer(t, free, h);
    fe_pci_host_init(h, s->platform, b);
    return h;
}

static bool behind(const struct fe_host_bridge *b, sbdf_t at)
{
    return b->segment == sbdf_segment(at) && b->bus_first <= sbdf_bus(at) &&
           sbdf_bus(at) <= b->bus_last;
}

CHECK(functions_are_behind_their_own, .judges = TRANSPORT, .proves = "xen.ecam.bridge.1",
      .needs = BRIDGES,
      .title = "Each host bridge has the functions of its own segment and buses, and no others")
{
    const struct subject *s = check_subject(t);
    struct puts *p = given_puts(t);

    for (unsigned i = 0; i < s->nr_bridges; i++) {
        const struct fe_host_bridge *b = &s->bridges[i];
        struct look l = {0};
        unsigned want = 0;

        must(t, look_everywhere(host_of(t, b), &l), "scanning a bridge");
        for (unsigned n = 0; n < p->count; n++) {
            sbdf_t at = p->of[n].subject.place.sbdf;

            if (!behind(b, at) || p->of[n].late)
                continue;
            want++;
            expect(t, MUST, look_has(&l, at), "the bridge of segment %u, buses %u-%u misses %x",
                   b->segment, b->bus_first, b->bus_last, at.raw);
        }
        expect(t, MUST, l.found == want,
               "the bridge of segment %u, buses %u-%u has %u functions, "
               "not %u",
               b->segment, b->bus_first, b->bus_last, l.found, want);
    }
}

CHECK(windows_are_apart, .judges = TRANSPORT, .proves = "xen.ecam.bridge.2", .needs = BRIDGES,
      .title = "A BAR is decoded in the window of its own host bridge only: another's is another's")
{
    struct puts *p = given_puts(t);
    struct blk *own = put_open_disk(t, &p->of[0], NULL), *other = NULL;
    struct fe_platform *machine = own->d->subject->platform;

    for (unsigned i = 1; !other && i < p->count; i++)
        if (!p->of[i].late && !behind(&own->d->host.bridge, p->of[i].subject.place.sbdf))
            other = put_open_disk(t, &p->of[i], own);
    if (!other)
        skip_check(t, "no other host bridge has a device");

    struct fe_pci_func *f = &own->d->pci->func, *g = &other->d->pci->func;
    unsigned bar = own->d->pci->common.bar, theirs = other->d->pci->common.bar;
    uint64_t home = f->bars[bar].addr,
             free_at = g->host->bridge.mem_base + g->host->bridge.mem_bytes - f->bars[bar].bytes;
    uint64_t value = 0, before = 0;

    blk_write_pattern(other, 0, 8, 1);
    must(t, fe_pci_bar_read(g, 0, theirs, other->d->pci->common.offset, 4, &before),
         "reading registers");
    /* A place of the other bridge's window that nobody has, then one that somebody has. */
    must(t, fe_pci_command(f, 0, PCI_COMMAND_MEMORY), "switching decoding off");
    must(t, fe_ecam_write(f->host, f->sbdf, PCI_REG_BAR0 + 4 * bar, 4, (uint32_t)free_at),
         "moving a BAR");
    must(t, fe_pci_command(f, PCI_COMMAND_MEMORY, 0), "switching decoding on");
    int rc = machine->ops->mmio_read(machine, 0, free_at + own->d->pci->common.offset, 4, &value);
    expect(t, MUST, rc == -EFAULT || (rc == 0 && (uint32_t)value == UINT32_MAX),
           "a BAR in the window of another host bridge is decoded: it reads 0x%llx",
           (unsigned long long)value);
    must(t, fe_pci_command(f, 0, PCI_COMMAND_MEMORY), "switching decoding off");
    must(t,
         fe_ecam_write(f->host, f->sbdf, PCI_REG_BAR0 + 4 * bar, 4, (uint32_t)g->bars[theirs].addr),
         "moving a BAR");
    must(t, fe_pci_command(f, PCI_COMMAND_MEMORY, 0), "switching decoding on");
    must(t, fe_pci_bar_read(g, 0, theirs, other->d->pci->common.offset, 4, &value),
         "reading registers");
    expect(t, MUST, value == before,
           "registers of a function behind another host bridge read "
           "0x%llx, not 0x%llx",
           (unsigned long long)value, (unsigned long long)before);
    expect_pattern(other, 0, 8, 1, "a disk whose registers another one's BAR was put upon");
    must(t, fe_pci_command(f, 0, PCI_COMMAND_MEMORY), "switching decoding off");
    must(t, fe_ecam_write(f->host, f->sbdf, PCI_REG_BAR0 + 4 * bar, 4, (uint32_t)home),
         "moving a BAR");
    must(t, fe_pci_command(f, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0), "switching decoding on");
    blk_write_pattern(own, 0, 8, 2);
    expect_pattern(own, 0, 8, 2, "a disk whose BAR came home");
}

/* ---- a bridge that comes ---- */

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t unhex(struct check_ctx *t, const char *text, uint8_t *out, size_t size)
{
    size_t n = strlen(text) / 2;

    if (strlen(text) % 2 || n > size)
        error_out(t, "the testbed's overlay is %zu digits", strlen(text));
    for (size_t i = 0; i < n; i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);

        if (high < 0 || low < 0)
            error_out(t, "the testbed's overlay is not in hexadecimal");
        out[i] = (uint8_t)(high << 4 | low);
    }
    return n;
}

/* As the guest is told of it: a guest with a device tree by an overlay, another by its firmware. */
static struct fe_host_bridge told_bridge(struct check_ctx *t)
{
    const struct subject *s = check_subject(t);
    char text[160] = "", why[HOST_BRIDGE_ERROR_BYTES];
    struct fe_host_bridge b, o;
    struct host_bridge h;
    char *hex = calloc(1, 2 * OVERLAY_BYTES + 2);
    uint8_t *tree = malloc(OVERLAY_BYTES);

    if (!hex || !tree) {
        free(hex);
        free(tree);
        error_out(t, "no memory");
    }
    check_defer(t, free, hex);
    check_defer(t, free, tree);
    given_ask_text(t, "bridge.late", NULL, "bridge", text, sizeof(text));
    if (host_bridge_parse(text, &h, why))
        error_out(t, "the testbed says that a bridge is '%s'", text);
    b = (struct fe_host_bridge){.segment = h.segment,
                                .bus_first = h.bus_first,
                                .bus_last = h.bus_last,
                                .ecam_base = h.ecam_base,
                                .ecam_bytes = h.ecam_bytes,
                                .mem_base = h.mem_base,
                                .mem_bytes = h.mem_bytes};
    given_ask_text(t, "bridge.late", NULL, "overlay", hex, 2 * OVERLAY_BYTES + 2);
    if (!s->platform->arm)
        return b;
    must(t, fe_bridge_from_tree(tree, unhex(t, hex, tree, OVERLAY_BYTES), &o),
         "reading the overlay");
    expect(t, MUST,
           o.segment == b.segment && o.bus_first == b.bus_first && o.bus_last == b.bus_last &&
               o.ecam_base == b.ecam_base && o.ecam_bytes == b.ecam_bytes &&
               o.mem_base == b.mem_base && o.mem_bytes == b.mem_bytes,
           "the overlay has a bridge of segment %u, buses %u-%u, at 0x%llx, not '%s'", o.segment,
           o.bus_first, o.bus_last, (unsigned long long)o.ecam_base, text);
    return o;
}

CHECK(
    late_bridge_is_found, .judges = TRANSPORT, .proves = "xen.ecam.bridge.3",
    .needs = NEED_PCI | NEED_BLK | NEED_TESTBED | NEED_BACKENDS, .timeout_ms = 60000,
    .title = "A host bridge that comes at run time serves, and those that were there never notice")
{
    const struct subject *s = check_subject(t);
    struct fe_host_bridge known[BRIDGES_MAX];
    struct puts *p = given_puts(t);
    struct blk *own = put_open_disk(t, &p->of[0], NULL), *last = own;
    struct look before = {0}, after = {0};
    struct put *late = NULL;
    uint64_t start;

    for (unsigned i = 0; !late && i < p->count; i++)
        if (p->of[i].late)
            late = &p->of[i];
    if (!late || s->nr_bridges >= BRIDGES_MAX)
        skip_check(t, "no host bridge comes late");
    must(t, look_machine(s, &before), "scanning the machine");
    expect(t, MUST, !look_has(&before, late->subject.place.sbdf),
           "function %x is found before its host bridge is there", late->subject.place.sbdf.raw);
    blk_write_pattern(own, 0, 8, 1);

    start = given_now_ns();
    put_must(t, "backend.start", late);
    memcpy(known, s->bridges, s->nr_bridges * sizeof(known[0]));
    known[s->nr_bridges] = told_bridge(t);
    struct fe_pci_host *h = host_of(t, &known[s->nr_bridges]);
    must(t, look_everywhere(h, &after), "scanning the new bridge");
    note(t, "row", "host bridge at run time");
    note(t, "found after", "%.1f", (double)(given_now_ns() - start) / 1e6);
    note(t, "accesses", "%u", after.accesses);
    note(t, "faults", "%u", after.faults);

    unsigned want = 0;
    for (unsigned i = 0; i < p->count; i++) {
        struct put *d = &p->of[i];

        if (!behind(&h->bridge, d->subject.place.sbdf))
            continue;
        want++;
        expect(t, MUST, look_has(&after, d->subject.place.sbdf),
               "function %x is not behind the bridge that came", d->subject.place.sbdf.raw);
        d->subject.bridges = known;
        d->subject.nr_bridges = s->nr_bridges + 1;
        last = put_open_disk(t, d, last);
        blk_write_pattern(last, 0, 8, 10 + i);
        expect_pattern(last, 0, 8, 10 + i, "a disk behind a bridge that came");
    }
    expect(t, MUST, after.found == want, "%u functions are behind the bridge that came, not %u",
           after.found, want);
    expect_device_there(own->d, "after another host bridge came");
    expect_pattern(own, 0, 8, 1, "a disk behind a bridge that was there");
}
