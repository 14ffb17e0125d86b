/* SPDX-License-Identifier: MIT */
/* Configuration space through ECAM: what the guest finds, and what it does not. */
#define CHECK_FAMILY "ecam"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/given.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "spec/virtio_pci.h"
#include "util/bits.h"

#define SCAN_MAX      256
#define HEADER_DWORDS (PCI_HEADER_BYTES / 4)

static const unsigned widths[] = {1, 2, 4, 8};

/* All ones of an access. */
static uint64_t ones(unsigned bytes)
{
    return bytes == 8 ? UINT64_MAX : BIT64(bytes * 8) - 1;
}

static uint64_t ecam_get(struct check_ctx *t, struct fe_pci_host *h, sbdf_t at, unsigned offset,
                         unsigned bytes)
{
    uint64_t value = 0;

    must(t, fe_ecam_read(h, at, offset, bytes, &value), "reading configuration space");
    return value;
}

static void ecam_set(struct check_ctx *t, struct fe_pci_host *h, sbdf_t at, unsigned offset,
                     unsigned bytes, uint64_t value)
{
    must(t, fe_ecam_write(h, at, offset, bytes, value), "writing configuration space");
}

/* ---- functions that are there, and others ---- */

struct scan {
    unsigned count;
    sbdf_t found[SCAN_MAX];
    uint32_t id[SCAN_MAX];
};

static int scan_found(void *ctx, sbdf_t sbdf, uint32_t vendor_device)
{
    struct scan *s = ctx;

    if (s->count == SCAN_MAX)
        return -E2BIG;
    s->found[s->count] = sbdf;
    s->id[s->count++] = vendor_device;
    return 0;
}

static void scan_run(struct check_ctx *t, struct fe_pci_host *h, struct scan *s)
{
    int rc;

    memset(s, 0, sizeof(*s));
    rc = fe_pci_scan(h, scan_found, s);
    if (rc == -E2BIG) {
        expect(t, MUST, rc == 0, "a scan finds more than %u functions", s->count);
        stop_check(t);
    }
    must(t, rc, "scanning the buses");
}

static bool scan_has(const struct scan *s, sbdf_t at)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->found[i].raw == at.raw)
            return true;
    return false;
}

/* Places on the first and the last bus where the scan found nothing. */
static unsigned absent_places(const struct fe_pci_host *h, const struct scan *s, sbdf_t *at,
                              unsigned max)
{
    const struct fe_host_bridge *b = &h->bridge;
    const uint8_t buses[] = {b->bus_first, b->bus_last};
    static const uint8_t devices[] = {2, 17, 31};
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_LENGTH(buses); i++) {
        for (unsigned j = 0; j < ARRAY_LENGTH(devices) && n < max; j++) {
            sbdf_t fn0 = SBDF(b->segment, buses[i], devices[j], 0);
            uint64_t addr;

            if (!scan_has(s, fn0) && fe_ecam_addr(h, fn0, 0, &addr) == 0)
                at[n++] = fn0;
        }
    }
    return n;
}

CHECK(absent_function_reads_ones, .judges = TRANSPORT, .proves = "xen.ecam.background.1",
      .needs = NEED_PCI, .title = "Where no function is, configuration reads give all ones")
{
    static const unsigned offsets[] = {0, 8, 0x10, 0x40, 0xf8, 0x100, 0xff8};
    struct fe_pci_host *h = given_host(t);
    struct scan s;
    sbdf_t at[6];
    unsigned n;

    scan_run(t, h, &s);
    n = absent_places(h, &s, at, ARRAY_LENGTH(at));
    if (n == 0)
        skip_check(t, "every place looked at has a function");
    for (unsigned i = 0; i < n; i++) {
        for (unsigned o = 0; o < ARRAY_LENGTH(offsets); o++) {
            for (unsigned w = 0; w < ARRAY_LENGTH(widths); w++) {
                uint64_t value = ecam_get(t, h, at[i], offsets[o], widths[w]);

                expect(t, MUST, value == ones(widths[w]),
                       "%u bytes at 0x%x of absent function %x read 0x%llx", widths[w], offsets[o],
                       at[i].raw, (unsigned long long)value);
            }
        }
    }
}

CHECK(zero_is_no_function, .judges = DRIVER, .proves = "xen.ecam.background.3", .needs = NEED_PCI,
      .title = "Where unclaimed accesses read 0, a scan finds what is there and no more")
{
    const struct subject *subject = check_subject(t);
    struct fe_pci_host *h = given_host(t);
    struct scan s;
    sbdf_t at[6];
    unsigned n;

    if (!subject_param(subject, "background_zeroes"))
        skip_check(t, "no background region reads 0 here");
    scan_run(t, h, &s);
    for (unsigned i = 0; i < s.count; i++)
        expect(t, MUST, (s.id[i] & 0xffff) != 0, "a scan finds function %x of vendor 0",
               s.found[i].raw);
    expect(t, MUST, scan_has(&s, subject->place.sbdf), "a scan misses function %x",
           subject->place.sbdf.raw);
    n = absent_places(h, &s, at, ARRAY_LENGTH(at));
    for (unsigned i = 0; i < n; i++) {
        for (unsigned w = 0; w < ARRAY_LENGTH(widths); w++) {
            ecam_set(t, h, at[i], PCI_REG_BAR0, widths[w], ones(widths[w]));
            expect_eq(t, MUST, ecam_get(t, h, at[i], PCI_REG_BAR0, widths[w]), 0,
                      "what an absent function reads after it was written");
        }
    }
}

CHECK(absent_function_ignores_writes, .judges = TRANSPORT, .proves = "xen.ecam.background.2",
      .needs = NEED_PCI, .title = "A write where no function is has no effect")
{
    static const struct {
        unsigned offset;
        uint64_t value;
    } writes[] = {{PCI_REG_VENDOR_ID, 0x1af41af4},
                  {PCI_REG_COMMAND, 0x7},
                  {PCI_REG_BAR0, 0xfffffffe},
                  {PCI_REG_INTERRUPT_LINE, 0xa5a5a5a5}};
    struct fe_pci_host *h = given_host(t);
    struct scan before, after;
    uint32_t *headers;
    sbdf_t at[6];
    unsigned n;

    scan_run(t, h, &before);
    headers = calloc(before.count + 1, PCI_HEADER_BYTES);
    if (!headers)
        error_out(t, "no memory");
    check_defer(t, free, headers);
    for (unsigned i = 0; i < before.count * HEADER_DWORDS; i++)
        headers[i] =
            (uint32_t)ecam_get(t, h, before.found[i / HEADER_DWORDS], i % HEADER_DWORDS * 4, 4);
    n = absent_places(h, &before, at, ARRAY_LENGTH(at));
    if (n == 0)
        skip_check(t, "every place looked at has a function");
    for (unsigned i = 0; i < n; i++) {
        for (unsigned w = 0; w < ARRAY_LENGTH(widths); w++) {
            for (unsigned o = 0; o < ARRAY_LENGTH(writes); o++)
                if (is_aligned(writes[o].offset, widths[w]))
                    ecam_set(t, h, at[i], writes[o].offset, widths[w], writes[o].value);
            expect_eq(t, MUST, ecam_get(t, h, at[i], 0, 4), 0xffffffff,
                      "the vendor of an absent function after a write");
        }
    }
    scan_run(t, h, &after);
    expect(t, MUST, memcmp(&before, &after, sizeof(before)) == 0,
           "a scan finds %u functions, %u before", after.count, before.count);
    for (unsigned i = 0; i < before.count * HEADER_DWORDS; i++) {
        sbdf_t function = before.found[i / HEADER_DWORDS];
        unsigned offset = i % HEADER_DWORDS * 4;
        uint32_t now = (uint32_t)ecam_get(t, h, function, offset, 4);

        expect(t, MUST, now == headers[i], "function %x has 0x%x at 0x%x, and had 0x%x before",
               function.raw, now, offset, headers[i]);
    }
}

CHECK(scan_finds_the_bound_function, .judges = TRANSPORT, .proves = "xen.ecam.scan.1",
      .needs = NEED_PCI, .title = "The function is found where the toolstack put it, once")
{
    const struct subject *subject = check_subject(t);
    struct fe_pci_host *h = given_host(t);
    uint64_t line, before[SCAN_MAX];
    struct scan s;

    scan_run(t, h, &s);
    note(t, "functions", "%u", s.count);
    expect(t, MUST, scan_has(&s, subject->place.sbdf),
           "the scan found %u functions, and none at %x", s.count, subject->place.sbdf.raw);
    if (!scan_has(&s, subject->place.sbdf))
        return;
    /* Seen in two places it is one function still: what is written here can be read there. */
    for (unsigned i = 0; i < s.count; i++)
        before[i] = ecam_get(t, h, s.found[i], PCI_REG_INTERRUPT_LINE, 1);
    line = ecam_get(t, h, subject->place.sbdf, PCI_REG_INTERRUPT_LINE, 1);
    must(t, fe_ecam_write(h, subject->place.sbdf, PCI_REG_INTERRUPT_LINE, 1, line ^ 0x5a),
         "writing the interrupt line");
    for (unsigned i = 0; i < s.count; i++) {
        if (s.found[i].raw != subject->place.sbdf.raw)
            expect(t, MUST, ecam_get(t, h, s.found[i], PCI_REG_INTERRUPT_LINE, 1) == before[i],
                   "function %x is seen at %x, too", subject->place.sbdf.raw, s.found[i].raw);
    }
    must(t, fe_ecam_write(h, subject->place.sbdf, PCI_REG_INTERRUPT_LINE, 1, line),
         "writing the interrupt line");
}

CHECK(scan_is_repeatable, .judges = TRANSPORT, .proves = "xen.ecam.scan.2", .needs = NEED_PCI,
      .title = "A second scan finds the same functions")
{
    struct fe_pci_host *h = given_host(t);
    struct scan a, b;

    scan_run(t, h, &a);
    scan_run(t, h, &b);
    expect(t, MUST, memcmp(&a, &b, sizeof(a)) == 0,
           "the first scan found %u functions, the next %u", a.count, b.count);
}

CHECK(multifunction_bit_tells_the_truth, .judges = TRANSPORT, .proves = "xen.ecam.multifunction.1",
      .needs = NEED_PCI,
      .title = "Functions 1 to 7 exist only where function 0 exists and has the bit")
{
    struct fe_pci_host *h = given_host(t);
    struct scan s;

    scan_run(t, h, &s);
    for (unsigned i = 0; i < s.count; i++) {
        sbdf_t fn0 = s.found[i];
        unsigned others = 0;
        bool bit;

        if (sbdf_function(fn0) != 0)
            continue;
        bit = ecam_get(t, h, fn0, PCI_REG_HEADER_TYPE, 1) & PCI_HEADER_TYPE_MULTIFUNCTION;
        for (unsigned fn = 1; fn < PCI_FUNCTIONS_PER_DEVICE; fn++) {
            sbdf_t at = SBDF(sbdf_segment(fn0), sbdf_bus(fn0), sbdf_device(fn0), fn);

            if (fe_pci_present(h, at) == 0)
                others++;
        }
        expect(t, MUST, bit || others == 0,
               "function %x has no multi-function bit, and %u more functions answer", fn0.raw,
               others);
        expect(t, SHOULD, !bit || others > 0,
               "function %x has the multi-function bit, and is alone", fn0.raw);
    }
    /* A function without a function 0 cannot be found by any scan (PCI 3.0, 3.2.2.3.4). */
    for (unsigned dev = 0; dev < PCI_DEVICES_PER_BUS; dev++) {
        sbdf_t fn0 = SBDF(h->bridge.segment, h->bridge.bus_first, dev, 0);

        if (scan_has(&s, fn0))
            continue;
        for (unsigned fn = 1; fn < PCI_FUNCTIONS_PER_DEVICE; fn++) {
            sbdf_t at = SBDF(h->bridge.segment, h->bridge.bus_first, dev, fn);

            expect(t, MUST, fe_pci_present(h, at) == -ENODEV,
                   "function %x answers although its function 0 does not", at.raw);
        }
    }
}

/* ---- accesses ---- */

CHECK(widths_agree, .judges = TRANSPORT, .proves = "xen.ecam.access.1", .needs = NEED_PCI,
      .title = "A register reads the same by bytes, words and dwords")
{
    struct device *d = given_device(t);

    for (unsigned at = 0; at < PCI_LEGACY_BYTES; at += 4) {
        uint64_t dword = config_get(d, at, 4), words = 0, bytes = 0;

        for (unsigned i = 0; i < 2; i++)
            words |= config_get(d, at + 2 * i, 2) << (16 * i);
        for (unsigned i = 0; i < 4; i++)
            bytes |= config_get(d, at + i, 1) << (8 * i);
        expect(t, MUST, words == dword && bytes == dword,
               "at 0x%x: 0x%llx as dword, 0x%llx as words, 0x%llx as bytes", at,
               (unsigned long long)dword, (unsigned long long)words, (unsigned long long)bytes);
    }
}

CHECK(narrow_write_keeps_neighbours, .judges = TRANSPORT, .proves = "xen.ecam.access.2",
      .needs = NEED_PCI, .title = "A byte written changes that byte")
{
    struct device *d = given_device(t);
    uint64_t before = config_get(d, PCI_REG_INTERRUPT_LINE, 4);
    uint64_t command = config_get(d, PCI_REG_COMMAND, 2);

    config_set(d, PCI_REG_INTERRUPT_LINE, 1, 0x5a);
    expect_eq(t, MUST, config_get(d, PCI_REG_INTERRUPT_LINE, 4), (before & ~0xffull) | 0x5a,
              "the dword around the interrupt line after writing 0x5a to it");
    config_set(d, PCI_REG_INTERRUPT_LINE, 1, before & 0xff);

    config_set(d, PCI_REG_COMMAND + 1, 1, PCI_COMMAND_INTX_DISABLE >> 8);
    expect_eq(t, MUST, config_get(d, PCI_REG_COMMAND, 2), command | PCI_COMMAND_INTX_DISABLE,
              "the command register after writing its upper byte");
    config_set(d, PCI_REG_COMMAND, 2, command);
}

CHECK(extended_space_is_sound, .judges = TRANSPORT, .proves = "xen.ecam.access.3",
      .needs = NEED_PCI, .title = "Extended configuration space reads as a list that ends")
{
    struct device *d = given_device(t);
    unsigned at = PCI_LEGACY_BYTES, steps = 0;
    uint64_t first = config_get(d, at, 4);

    /* Empty is 0 (PCI Express 7.6.1 allows an ID of 0 or of all ones for "no capability"). */
    if (first == 0 || first == 0xffffffff) {
        for (at = PCI_LEGACY_BYTES; at < PCI_EXTENDED_BYTES; at += 0x40)
            (void)config_get(d, at, 4);
        expect_eq(t, MUST, config_get(d, PCI_REG_VENDOR_ID, 2), VIRTIO_PCI_VENDOR_ID,
                  "the vendor after reading all of extended space");
        return;
    }
    while (at && steps <= (PCI_EXTENDED_BYTES - PCI_LEGACY_BYTES) / 4) {
        uint64_t header = config_get(d, at, 4);

        at = (unsigned)(header >> 20);
        steps++;
        expect(t, MUST, at == 0 || (at >= PCI_LEGACY_BYTES && is_aligned(at, 4)),
               "an extended capability is followed by one at 0x%x", at);
        if (at < PCI_LEGACY_BYTES)
            break;
    }
    expect(t, MUST, steps <= (PCI_EXTENDED_BYTES - PCI_LEGACY_BYTES) / 4,
           "the list of extended capabilities does not end");
}

CHECK(every_vcpu_is_served, .judges = TRANSPORT, .proves = "xen.ecam.vcpu.1", .needs = NEED_PCI,
      .title = "Each vCPU's accesses are answered, and with its own data")
{
    struct device *d = given_device(t);
    unsigned vcpus = d->subject->platform->nr_vcpus;

    for (unsigned round = 0; round < 4; round++) {
        for (unsigned vcpu = 0; vcpu < vcpus; vcpu++) {
            uint8_t line = (uint8_t)(0x10 * round + vcpu);

            d->host.vcpu = vcpu;
            config_set(d, PCI_REG_INTERRUPT_LINE, 1, line);
            expect_eq(t, MUST, config_get(d, PCI_REG_INTERRUPT_LINE, 1), line,
                      "the interrupt line that a vCPU wrote");
            expect_eq(t, MUST, config_get(d, PCI_REG_VENDOR_ID, 2), VIRTIO_PCI_VENDOR_ID,
                      "the vendor that a vCPU reads");
        }
    }
    d->host.vcpu = 0;
    note(t, "vcpus", "%u", vcpus);
}

/* ---- header ---- */

CHECK(header_describes_an_endpoint, .judges = DEVICE, .proves = "xen.ecam.header.1",
      .needs = NEED_PCI, .title = "Type 0 header, a class, an interrupt pin that exists")
{
    struct device *d = given_device(t);

    expect_eq(t, MUST, config_get(d, PCI_REG_HEADER_TYPE, 1) & PCI_HEADER_TYPE_MASK,
              PCI_HEADER_TYPE_NORMAL, "the header type");
    expect(t, SHOULD, d->pci->func.class_code != 0, "the class code is 0");
    expect(t, MUST, d->pci->func.irq_pin <= 4, "the interrupt pin is %u", d->pci->func.irq_pin);
}

CHECK(read_only_registers_stay, .judges = DEVICE, .proves = "xen.ecam.header.2", .needs = NEED_PCI,
      .title = "What identifies a function cannot be written")
{
    static const struct {
        unsigned offset, bytes;
        const char *name;
    } fixed[] = {
        {PCI_REG_VENDOR_ID, 2, "vendor ID"},
        {PCI_REG_DEVICE_ID, 2, "device ID"},
        {PCI_REG_REVISION, 4, "revision and class"},
        {PCI_REG_HEADER_TYPE, 1, "header type"},
        {PCI_REG_SUBSYSTEM_VENDOR_ID, 4, "subsystem"},
        {PCI_REG_CAPABILITIES, 1, "capability pointer"},
        {PCI_REG_INTERRUPT_PIN, 1, "interrupt pin"},
    };
    struct device *d = given_device(t);

    for (unsigned i = 0; i < ARRAY_LENGTH(fixed); i++) {
        uint64_t before = config_get(d, fixed[i].offset, fixed[i].bytes);

        config_set(d, fixed[i].offset, fixed[i].bytes, ~before & ones(fixed[i].bytes));
        expect_eq(t, MUST, config_get(d, fixed[i].offset, fixed[i].bytes), before, fixed[i].name);
    }
}

/* ---- BARs ---- */

CHECK(bar_sizing_gives_a_mask, .judges = DEVICE, .proves = "xen.ecam.bar.1", .needs = NEED_PCI,
      .title = "All ones written to a BAR read back as a size mask with the type bits")
{
    /* Not an open device: opening one sizes its BARs, and gives up where this check judges. */
    const struct subject *subject = check_subject(t);
    sbdf_t sbdf = subject->place.sbdf;
    struct fe_pci_host *h = given_host(t);
    uint64_t command = ecam_get(t, h, sbdf, PCI_REG_COMMAND, 2);
    unsigned bars = 0;

    ecam_set(t, h, sbdf, PCI_REG_COMMAND, 2, command & ~(uint64_t)PCI_COMMAND_MEMORY);
    for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
        unsigned at = PCI_REG_BAR0 + 4 * i;
        uint64_t old = ecam_get(t, h, sbdf, at, 4), mask, high = 0xffffffff, old_high;
        bool wide = (old & PCI_BAR_TYPE_MASK) == PCI_BAR_TYPE_64;

        ecam_set(t, h, sbdf, at, 4, 0xffffffff);
        mask = ecam_get(t, h, sbdf, at, 4);
        if (wide && i + 1 < PCI_BAR_COUNT) {
            old_high = ecam_get(t, h, sbdf, at + 4, 4);
            ecam_set(t, h, sbdf, at + 4, 4, 0xffffffff);
            high = ecam_get(t, h, sbdf, at + 4, 4);
            ecam_set(t, h, sbdf, at + 4, 4, old_high);
        }
        ecam_set(t, h, sbdf, at, 4, old);
        if (mask == 0 || (old & PCI_BAR_TYPE_IO))
            continue;
        bars++;
        expect_eq(t, MUST, mask & PCI_BAR_FLAG_BITS, old & PCI_BAR_FLAG_BITS,
                  "the type bits of a BAR while it is sized");
        mask = high << 32 | (mask & ~(uint64_t)PCI_BAR_FLAG_BITS);
        expect(t, MUST, is_pow2(~mask + 1) && ~mask + 1 >= 16, "BAR %u has the mask 0x%llx", i,
               (unsigned long long)mask);
        expect_eq(t, MUST, ecam_get(t, h, sbdf, at, 4), old, "the BAR written back");
        if (wide)
            i++;
    }
    ecam_set(t, h, sbdf, PCI_REG_COMMAND, 2, command);
    expect(t, MUST, bars > 0, "the function has no memory BAR");
}

CHECK(bar_address_is_naturally_aligned, .judges = DEVICE, .proves = "xen.ecam.bar.2",
      .needs = NEED_PCI, .title = "Address bits below the size read as zero")
{
    struct device *d = given_device(t);
    struct fe_pci_func *f = &d->pci->func;

    must(t, fe_pci_command(f, 0, PCI_COMMAND_MEMORY), "disabling decode");
    for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
        uint64_t old, value;

        if (!f->bars[i].bytes || f->bars[i].is_io || f->bars[i].bytes > BIT64(31))
            continue;
        old = config_get(d, PCI_REG_BAR0 + 4 * i, 4);
        config_set(d, PCI_REG_BAR0 + 4 * i, 4, f->bars[i].addr | (f->bars[i].bytes - 1));
        value = config_get(d, PCI_REG_BAR0 + 4 * i, 4);
        expect_eq(t, MUST, value & ~(uint64_t)PCI_BAR_FLAG_BITS, f->bars[i].addr & 0xffffffff,
                  "the BAR after writing ones below its size");
        config_set(d, PCI_REG_BAR0 + 4 * i, 4, old);
    }
}

CHECK(bar_moved_answers_there, .judges = DEVICE, .proves = "xen.ecam.bar.3", .needs = NEED_PCI,
      .title = "After its BAR was moved the device answers at the new address only")
{
    struct device *d = given_device(t);
    struct fe_pci_func *f = &d->pci->func;
    struct fe_platform *p = d->subject->platform;
    unsigned bar = d->pci->common.bar;
    uint64_t old = f->bars[bar].addr, bytes = f->bars[bar].bytes, value = 0, now;
    const struct fe_host_bridge *b = &d->host.bridge;
    uint64_t before,
        at = d->pci->common.offset + offsetof(struct virtio_pci_common_cfg, num_queues);
    int rc;

    before = common_get(d, FE_VPCI_FIELD(num_queues));
    now = align_down(b->mem_base + b->mem_bytes - bytes, bytes);
    if (now < b->mem_base || now == old)
        skip_check(t, "the BAR window has no second place for %llu bytes",
                   (unsigned long long)bytes);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t to = round % 2 ? old : now, from = round % 2 ? now : old;

        must(t, fe_pci_command(f, 0, PCI_COMMAND_MEMORY), "disabling decode");
        must(t, fe_pci_bar_set(f, bar, to), "moving a BAR");
        must(t, fe_pci_command(f, PCI_COMMAND_MEMORY, 0), "enabling decode");
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(num_queues)), before,
                  "num_queues at the new address");
        rc = p->ops->mmio_read(p, 0, from + at, 2, &value);
        expect(t, MUST, rc == -EFAULT || (rc == 0 && value == 0xffff),
               "the old address still reads 0x%llx", (unsigned long long)value);
    }
}

CHECK(decode_off_hides_the_bar, .judges = DEVICE, .proves = "xen.ecam.bar.4", .needs = NEED_PCI,
      .title = "Without memory decode the BAR answers nothing")
{
    struct device *d = given_device(t);
    struct fe_platform *p = d->subject->platform;
    struct fe_pci_func *f = &d->pci->func;
    uint64_t at = f->bars[d->pci->common.bar].addr + d->pci->common.offset +
                  offsetof(struct virtio_pci_common_cfg, num_queues);
    uint64_t before = common_get(d, FE_VPCI_FIELD(num_queues)), value = 0;
    int rc;

    must(t, fe_pci_command(f, 0, PCI_COMMAND_MEMORY), "disabling decode");
    rc = p->ops->mmio_read(p, 0, at, 2, &value);
    must(t, fe_pci_command(f, PCI_COMMAND_MEMORY, 0), "enabling decode");
    expect(t, MUST, rc == -EFAULT || (rc == 0 && value == 0xffff),
           "with decode off the BAR reads 0x%llx", (unsigned long long)value);
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(num_queues)), before,
              "num_queues after decode was enabled again");
}

CHECK(unimplemented_bar_reads_zero, .judges = DEVICE, .proves = "xen.ecam.bar.5", .needs = NEED_PCI,
      .title = "A BAR that does not exist stays 0")
{
    static const uint32_t values[] = {0xffffffff, 0xfffffff0, 0x12340000, 0};
    struct device *d = given_device(t);
    struct fe_pci_func *f = &d->pci->func;
    unsigned seen = 0;

    for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
        if (f->bars[i].bytes) {
            i += f->bars[i].is_64bit ? 1 : 0;
            continue;
        }
        seen++;
        for (unsigned v = 0; v < ARRAY_LENGTH(values); v++) {
            config_set(d, PCI_REG_BAR0 + 4 * i, 4, values[v]);
            expect_eq(t, MUST, config_get(d, PCI_REG_BAR0 + 4 * i, 4), 0,
                      "a BAR that is not implemented");
        }
    }
    if (!seen)
        skip_check(t, "all BARs are implemented");
}

/* ---- capabilities ---- */

CHECK(capability_list_is_sound, .judges = DEVICE, .proves = "xen.ecam.cap.1", .needs = NEED_PCI,
      .title = "The capability list is aligned, outside the header, and ends")
{
    const struct subject *s = check_subject(t);
    struct fe_pci_host *h = given_host(t);
    struct fe_pci_cap caps[FE_PCI_CAPS_MAX];
    unsigned n = 0;
    int rc = fe_pci_caps_walk(h, s->place.sbdf, caps, &n);

    if (rc < 0 && rc != -EPROTO)
        must(t, rc, "walking the capabilities");
    expect(t, MUST, rc != -EPROTO,
           "after %u entries the list loops, is not aligned or points into the header", n);
    expect(t, MUST, n > 0, "the function has no capabilities");
}

CHECK(capabilities_do_not_overlap, .judges = DEVICE,
      .proves = "xen.ecam.cap.2 pci.virtio-structure-pci-capabilities.device.1", .needs = NEED_PCI,
      .title = "Capabilities with their extra data lie apart")
{
    struct device *d = given_device(t);
    const struct fe_pci_func *f = &d->pci->func;
    unsigned begin[FE_PCI_CAPS_MAX], end[FE_PCI_CAPS_MAX];

    for (unsigned i = 0; i < f->nr_caps; i++) {
        unsigned at = f->caps[i].offset, bytes = 2;

        if (f->caps[i].id == PCI_CAP_VENDOR)
            bytes = (unsigned)config_get(d, at + 2, 1);
        else if (f->caps[i].id == PCI_CAP_MSIX)
            bytes = PCI_MSIX_CAP_BYTES;
        expect(t, MUST, bytes >= 2 && at + bytes <= PCI_LEGACY_BYTES,
               "the capability at 0x%x is %u bytes long", at, bytes);
        begin[i] = at;
        end[i] = at + bytes;
        for (unsigned j = 0; j < i; j++)
            expect(t, MUST, end[i] <= begin[j] || end[j] <= begin[i],
                   "the capabilities at 0x%x and 0x%x overlap", begin[j], begin[i]);
    }
}

CHECK(msix_tables_fit, .judges = DEVICE,
      .proves = "xen.ecam.msix.1 pci.msi-x-vector-configuration.device.2",
      .needs = NEED_PCI | NEED_MSIX,
      .title = "MSI-X table and pending bits lie in BARs, apart from each other and from virtio")
{
    struct device *d = given_device(t);
    const struct fe_pci_func *f = &d->pci->func;
    const struct fe_pci_msix *x = &f->msix;
    uint64_t table = (uint64_t)x->vectors * PCI_MSIX_ENTRY_BYTES;
    uint64_t pba = ((uint64_t)x->vectors + 63) / 64 * 8;
    const struct fe_vpci_region *regions[] = {&d->pci->common, &d->pci->notify, &d->pci->isr,
                                              &d->pci->device};

    note(t, "vectors", "%u", x->vectors);
    expect(t, MUST, range_within(x->table_offset, table, f->bars[x->table_bar].bytes),
           "the table of %u vectors does not fit BAR %u", x->vectors, x->table_bar);
    expect(t, MUST, range_within(x->pba_offset, pba, f->bars[x->pba_bar].bytes),
           "the pending bits do not fit BAR %u", x->pba_bar);
    expect(t, MUST,
           x->table_bar != x->pba_bar ||
               !ranges_overlap(x->table_offset, table, x->pba_offset, pba),
           "table and pending bits overlap");
    for (unsigned i = 0; i < ARRAY_LENGTH(regions); i++) {
        if (!regions[i]->present || regions[i]->bar != x->table_bar)
            continue;
        expect(t, MUST,
               !ranges_overlap(regions[i]->offset, regions[i]->bytes, x->table_offset, table),
               "the MSI-X table overlaps the virtio structure at 0x%x", regions[i]->offset);
    }
}

CHECK(msix_entry_keeps_what_is_written, .judges = DEVICE, .proves = "xen.ecam.msix.2",
      .needs = NEED_PCI | NEED_MSIX, .title = "Address, data and mask of an entry read back")
{
    struct device *d = given_device(t);
    struct fe_pci_func *f = &d->pci->func;
    static const uint32_t want[4] = {0xfee0100c, 0x00000001, 0x00004021, PCI_MSIX_ENTRY_MASKED};
    unsigned last = f->msix.vectors - 1u;

    for (unsigned v = 0; v <= last; v += last ? last : 1) {
        uint64_t at = f->msix.table_offset + (uint64_t)v * PCI_MSIX_ENTRY_BYTES;
        uint64_t value = 0;

        for (unsigned i = 4; i-- > 0;)
            must(t, fe_pci_bar_write(f, 0, f->msix.table_bar, at + 4ull * i, 4, want[i]),
                 "writing the MSI-X table");
        for (unsigned i = 0; i < 4; i++) {
            must(t, fe_pci_bar_read(f, 0, f->msix.table_bar, at + 4ull * i, 4, &value),
                 "reading the MSI-X table");
            expect_eq(t, MUST, value, want[i], "a dword of an MSI-X entry");
        }
    }
}
