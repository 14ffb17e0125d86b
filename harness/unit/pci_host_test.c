/* SPDX-License-Identifier: MIT */
/* Functions behind a host bridge: decode, BARs, MSI-X and INTx as a driver sees them. */
#include <check.h>
#include <errno.h>

#include "pci/host.h"
#include "spec/pci.h"
#include "unit/run.h"

#define ECAM       0xe0000000ull
#define WINDOW     0xe4000000ull
#define WINDOW_END 0xe7ffffffull
#define DEV1       SBDF(0, 0, 1, 0)

struct world {
    struct pci_host *host;
    struct pci_function *f;
    unsigned msis, maps, unmaps, bar_writes;
    uint64_t msi_addr;
    uint32_t msi_data;
    bool level;
    unsigned level_changes;
    struct pci_range mapped[PCI_BARS];
    int refuse_map;
    uint64_t bar_offset, bar_value;
    unsigned bar_bytes;
};

static void on_msi(void *ctx, sbdf_t from, uint64_t addr, uint32_t data)
{
    struct world *w = ctx;

    w->msis++;
    w->msi_addr = addr;
    w->msi_data = data;
}

static void on_intx(void *ctx, sbdf_t from, unsigned pin, bool level)
{
    struct world *w = ctx;

    ck_assert_uint_eq(pin, 1);
    w->level = level;
    w->level_changes++;
}

static int on_map(void *ctx, sbdf_t of, unsigned bar, struct pci_range range)
{
    struct world *w = ctx;

    if (w->refuse_map)
        return w->refuse_map;
    w->maps++;
    w->mapped[bar] = range;
    return 0;
}

static void on_unmap(void *ctx, sbdf_t of, unsigned bar, struct pci_range range)
{
    struct world *w = ctx;

    ck_assert_uint_eq(range.first, w->mapped[bar].first);
    w->unmaps++;
}

static uint64_t bar_read(void *ctx, uint64_t offset, unsigned bytes)
{
    return 0x1122334455667788ull + offset;
}

static void bar_write(void *ctx, uint64_t offset, unsigned bytes, uint64_t value)
{
    struct world *w = ctx;

    w->bar_writes++;
    w->bar_offset = offset;
    w->bar_bytes = bytes;
    w->bar_value = value;
}

static const struct pci_host_ops host_ops = {
    .msi = on_msi, .intx = on_intx, .bar_mapped = on_map, .bar_unmapped = on_unmap};
static const struct pci_bar_ops bar_ops = {bar_read, bar_write};

static struct pci_function *make_function(struct world *w)
{
    struct pci_ident ident = {.vendor_id = 0x1af4,
                              .device_id = 0x1042,
                              .subsystem_id = 0x42,
                              .class_code = 0x018000,
                              .revision = 1,
                              .interrupt_pin = 1};
    struct pci_function *f;

    ck_assert_int_eq(pci_function_create(&ident, &f), 0);
    ck_assert_int_eq(pci_function_add_bar(f, 0, 0x4000, PCI_BAR_64BIT, &bar_ops, w), 0);
    ck_assert_int_eq(pci_function_add_bar(f, 2, 0x2000, 0, &bar_ops, w), 0);
    ck_assert_int_eq(pci_function_add_msix(f, 3, 2, 0, 0x1000), 0);
    return f;
}

static void setup(struct world *w)
{
    struct pci_host_config config = {
        .bus_last = 63,
        .ecam_base = ECAM,
        .ecam_bytes = 0x4000000,
        .windows = {{WINDOW, WINDOW_END}},
        .window_count = 1,
    };

    *w = (struct world){0};
    ck_assert_int_eq(pci_host_create(&config, &host_ops, w, &w->host), 0);
    w->f = make_function(w);
    ck_assert_int_eq(pci_host_attach(w->host, DEV1, w->f), 0);
}

static void teardown(struct world *w)
{
    pci_function_destroy(w->f);
    pci_host_destroy(w->host);
}

static uint64_t ecam(sbdf_t at, unsigned reg)
{
    return ECAM + ((uint64_t)(at.raw & 0xffff) << 12) + reg;
}

static uint64_t rd(struct world *w, uint64_t addr, unsigned bytes)
{
    uint64_t value;

    ck_assert(pci_host_read(w->host, addr, bytes, &value));
    return value;
}

static void wr(struct world *w, uint64_t addr, unsigned bytes, uint64_t value)
{
    ck_assert(pci_host_write(w->host, addr, bytes, value));
}

static void command(struct world *w, uint16_t bits)
{
    wr(w, ecam(DEV1, 4), 2, bits);
}

#define MEM    PCI_COMMAND_MEMORY
#define MASTER PCI_COMMAND_MASTER
#define BAR2   (WINDOW + 0x10000)

static void place_bars(struct world *w)
{
    wr(w, ecam(DEV1, 0x10), 4, WINDOW);
    wr(w, ecam(DEV1, 0x14), 4, 0);
    wr(w, ecam(DEV1, 0x18), 4, BAR2);
    command(w, MEM | MASTER);
}

START_TEST(absent_functions_read_ones)
{
    struct world w;
    uint64_t value;

    setup(&w);
    ck_assert_uint_eq(rd(&w, ecam(SBDF(0, 0, 2, 0), 0), 4), UINT32_MAX);
    ck_assert_uint_eq(rd(&w, ecam(SBDF(0, 0, 1, 1), 0), 2), 0xffff);
    ck_assert_uint_eq(rd(&w, ecam(SBDF(0, 63, 31, 7), 0xffc), 4), UINT32_MAX);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0), 4), 0x10421af4);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0), 8) & UINT32_MAX, 0x10421af4);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 2), 2), 0x1042);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0xb), 1), 0x01);
    /* Over the end of a function: never the next one's registers. */
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0xffe), 4) >> 16, 0xffff);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0xfff), 8) >> 8, UINT64_MAX >> 8);
    /* Outside of everything. */
    ck_assert(!pci_host_read(w.host, WINDOW, 4, &value));
    ck_assert_uint_eq(value, UINT32_MAX);
    ck_assert(!pci_host_write(w.host, ECAM - 1, 1, 0));
    ck_assert(!pci_host_read(w.host, ECAM + 0x4000000, 1, &value));
    ck_assert_uint_eq(value, 0xff);
    teardown(&w);
}
END_TEST

START_TEST(readonly_registers_stay)
{
    struct world w;

    setup(&w);
    for (unsigned reg = 0; reg < 0x1000; reg += 4) {
        if (reg >= 0x10 && reg < 0x28)
            continue;
        wr(&w, ecam(DEV1, reg), 4, UINT32_MAX);
    }
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0), 4), 0x10421af4);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 8), 4), 0x01800001);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x2c), 4), 0x00420000);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x0e), 1), 0);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x3c), 2), 0x01ff);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 4), 2), MEM | MASTER | PCI_COMMAND_PARITY |
                                                    PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
    teardown(&w);
}
END_TEST

START_TEST(bar_sizing_and_moving)
{
    struct world w;

    setup(&w);
    wr(&w, ecam(DEV1, 0x10), 4, UINT32_MAX);
    wr(&w, ecam(DEV1, 0x14), 4, UINT32_MAX);
    wr(&w, ecam(DEV1, 0x18), 4, UINT32_MAX);
    wr(&w, ecam(DEV1, 0x1c), 4, UINT32_MAX);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x10), 4), 0xffffc004);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x14), 4), 0xffffffff);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x18), 4), 0xffffe000);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x1c), 4), 0);
    ck_assert_uint_eq(w.maps, 0);
    /* Enabled while at the sizing address: outside of the window, so not decoded. */
    command(&w, MEM);
    ck_assert_uint_eq(w.maps, 0);
    place_bars(&w);
    ck_assert_uint_eq(w.maps, 2);
    ck_assert_uint_eq(w.mapped[0].first, WINDOW);
    ck_assert_uint_eq(w.mapped[0].last, WINDOW + 0x3fff);
    ck_assert_uint_eq(rd(&w, WINDOW + 8, 4), 0x55667790);
    wr(&w, WINDOW + 0x3ffe, 2, 0xabcd1234);
    ck_assert_uint_eq(w.bar_offset, 0x3ffe);
    ck_assert_uint_eq(w.bar_value, 0x1234);
    /* Over the end of a BAR: ones, and no write. */
    ck_assert_uint_eq(rd(&w, WINDOW + 0x3ffe, 4), UINT32_MAX);
    wr(&w, WINDOW + 0x3ffe, 4, 0);
    ck_assert_uint_eq(w.bar_writes, 1);
    /* Move. */
    wr(&w, ecam(DEV1, 0x10), 4, WINDOW + 0x100000);
    ck_assert_uint_eq(w.unmaps, 1);
    ck_assert_uint_eq(w.mapped[0].first, WINDOW + 0x100000);
    ck_assert(!pci_host_write(w.host, WINDOW, 4, 0));
    /* Above 4 GiB there is no window here. */
    wr(&w, ecam(DEV1, 0x14), 4, 1);
    ck_assert_uint_eq(w.unmaps, 2);
    wr(&w, ecam(DEV1, 0x14), 4, 0);
    command(&w, 0);
    ck_assert_uint_eq(w.unmaps, w.maps);
    command(&w, MEM);
    pci_host_detach(w.host, w.f);
    ck_assert_uint_eq(w.unmaps, w.maps);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0), 4), UINT32_MAX);
    teardown(&w);
}
END_TEST

START_TEST(overlapping_bars_take_turns)
{
    struct world w;

    setup(&w);
    place_bars(&w);
    /* BAR 2 onto BAR 0: the first keeps the address, the second waits. */
    wr(&w, ecam(DEV1, 0x18), 4, WINDOW + 0x2000);
    ck_assert_uint_eq(w.unmaps, 1);
    wr(&w, WINDOW + 0x2000, 4, 1);
    ck_assert_uint_eq(w.bar_offset, 0x2000);
    wr(&w, ecam(DEV1, 0x10), 4, WINDOW + 0x8000);
    ck_assert_uint_eq(w.mapped[2].first, WINDOW + 0x2000);
    /* A range that the host cannot map stays undecoded until the driver tries again. */
    w.refuse_map = -EEXIST;
    wr(&w, ecam(DEV1, 0x10), 4, WINDOW + 0x20000);
    ck_assert(!pci_host_write(w.host, WINDOW + 0x20000, 4, 0));
    w.refuse_map = 0;
    command(&w, MEM);
    ck_assert(pci_host_write(w.host, WINDOW + 0x20000, 4, 0));
    teardown(&w);
}
END_TEST

START_TEST(multifunction_bit_follows_functions)
{
    struct world w;
    struct pci_function *second;

    setup(&w);
    second = make_function(&w);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0xe), 1), 0);
    ck_assert_int_eq(pci_host_attach(w.host, DEV1, second), -EEXIST);
    ck_assert_int_eq(pci_host_attach(w.host, SBDF(0, 64, 0, 0), second), -EINVAL);
    ck_assert_int_eq(pci_host_attach(w.host, SBDF(1, 0, 2, 0), second), -EINVAL);
    ck_assert_int_eq(pci_host_attach(w.host, SBDF(0, 0, 1, 5), second), 0);
    ck_assert_int_eq(pci_host_attach(w.host, SBDF(0, 0, 3, 0), second), -EBUSY);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0xe), 1), 0x80);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0xc), 4) & 0x00ff0000, 0x00800000);
    ck_assert_uint_eq(rd(&w, ecam(SBDF(0, 0, 1, 5), 0xe), 1), 0x80);
    pci_function_destroy(second);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0xe), 1), 0);
    teardown(&w);
}
END_TEST

static unsigned find_cap(struct world *w, uint8_t id)
{
    unsigned at = (unsigned)rd(w, ecam(DEV1, 0x34), 1);

    for (unsigned n = 0; at && n < 48; n++) {
        if (rd(w, ecam(DEV1, at), 1) == id)
            return at;
        at = (unsigned)rd(w, ecam(DEV1, at + 1), 1);
    }
    return 0;
}

static void msix_control(struct world *w, uint16_t value)
{
    wr(w, ecam(DEV1, find_cap(w, PCI_CAP_MSIX) + 2), 2, value);
}

START_TEST(msix_masks_and_pending)
{
    struct world w;

    setup(&w);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 6), 2) & PCI_STATUS_CAPABILITIES, PCI_STATUS_CAPABILITIES);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, find_cap(&w, PCI_CAP_MSIX) + 2), 2), 2);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, find_cap(&w, PCI_CAP_MSIX) + 8), 4), 0x1002);
    place_bars(&w);
    ck_assert_uint_eq(rd(&w, BAR2 + 12, 4), 1);
    /* The table by halves and by quarters; reserved bits read zero. */
    wr(&w, BAR2 + 16, 8, 0x1fee01007ull);
    wr(&w, BAR2 + 24, 4, 0x4321);
    ck_assert_uint_eq(rd(&w, BAR2 + 16, 8), 0x1fee01004ull);
    wr(&w, BAR2 + 28, 4, 0xffffffff);
    ck_assert_uint_eq(rd(&w, BAR2 + 28, 4), 1);

    pci_function_msix_notify(w.f, 1); /* disabled: nothing, not even pending */
    ck_assert_uint_eq(rd(&w, BAR2 + 0x1000, 8), 0);
    msix_control(&w, 0x8000);
    pci_function_msix_notify(w.f, 1);
    pci_function_msix_notify(w.f, 3); /* no such vector */
    pci_function_msix_notify(w.f, 0xffff);
    ck_assert_uint_eq(w.msis, 0);
    ck_assert_uint_eq(rd(&w, BAR2 + 0x1000, 8), 2);
    wr(&w, BAR2 + 0x1000, 8, 0); /* read-only */
    ck_assert_uint_eq(rd(&w, BAR2 + 0x1000, 1), 2);
    wr(&w, BAR2 + 28, 4, 0);
    ck_assert_uint_eq(w.msis, 1);
    ck_assert_uint_eq(w.msi_addr, 0x1fee01004ull);
    ck_assert_uint_eq(w.msi_data, 0x4321);
    ck_assert_uint_eq(rd(&w, BAR2 + 0x1000, 8), 0);
    /* Function mask. */
    msix_control(&w, 0xc000);
    pci_function_msix_notify(w.f, 1);
    pci_function_msix_notify(w.f, 1);
    ck_assert_uint_eq(w.msis, 1);
    msix_control(&w, 0x8000);
    ck_assert_uint_eq(w.msis, 2);
    /* Not a bus master. */
    command(&w, MEM);
    pci_function_msix_notify(w.f, 1);
    ck_assert_uint_eq(w.msis, 2);
    command(&w, MEM | MASTER);
    ck_assert_uint_eq(w.msis, 3);
    /* Forgotten by a reset. */
    msix_control(&w, 0xc000);
    pci_function_msix_notify(w.f, 1);
    pci_function_msix_forget(w.f);
    msix_control(&w, 0x8000);
    ck_assert_uint_eq(w.msis, 3);
    teardown(&w);
}
END_TEST

START_TEST(intx_level_status_disable)
{
    struct world w;

    setup(&w);
    pci_function_set_intx(w.f, true);
    ck_assert(w.level);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 6), 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
    command(&w, PCI_COMMAND_INTX_DISABLE);
    ck_assert(!w.level);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 6), 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
    command(&w, 0);
    ck_assert(w.level);
    msix_control(&w, 0x8000);
    ck_assert(!w.level);
    msix_control(&w, 0);
    ck_assert(w.level);
    ck_assert_uint_eq(w.level_changes, 5);
    pci_host_detach(w.host, w.f);
    ck_assert(!w.level);
    teardown(&w);
}
END_TEST

START_TEST(bad_geometry_is_refused)
{
    struct world w;
    struct pci_host *h;
    struct pci_host_config good = {.bus_last = 1,
                                   .ecam_base = ECAM,
                                   .ecam_bytes = 0x200000,
                                   .windows = {{WINDOW, WINDOW_END}},
                                   .window_count = 1};
    struct pci_host_config bad = good;

    setup(&w);
    bad.ecam_bytes = 0x1fffff;
    ck_assert_int_eq(pci_host_create(&bad, &host_ops, &w, &h), -EINVAL);
    bad = good;
    bad.ecam_base += 0x1000;
    ck_assert_int_eq(pci_host_create(&bad, &host_ops, &w, &h), -EINVAL);
    bad = good;
    bad.windows[0].first = ECAM + 0x1fffff;
    ck_assert_int_eq(pci_host_create(&bad, &host_ops, &w, &h), -EINVAL);
    bad = good;
    bad.bus_first = 2;
    ck_assert_int_eq(pci_host_create(&bad, &host_ops, &w, &h), -EINVAL);
    pci_host_detach(w.host, w.f);
    ck_assert_int_eq(pci_function_add_bar(w.f, 1, 0x1000, 0, &bar_ops, &w), -EBUSY);
    ck_assert_int_eq(pci_function_add_bar(w.f, 5, 0x1000, PCI_BAR_64BIT, &bar_ops, &w), -EINVAL);
    ck_assert_int_eq(pci_function_add_bar(w.f, 3, 0x1800, 0, &bar_ops, &w), -EINVAL);
    ck_assert_int_eq(pci_function_add_msix(w.f, 1, 2, 0, 0x800), -EBUSY);
    teardown(&w);
}
END_TEST

START_TEST(capabilities_fill_up)
{
    struct world w;
    uint8_t body[64] = {0};
    int at, last = 0;

    setup(&w);
    for (unsigned n = 0; n < 64; n++) {
        at = pci_function_add_capability(w.f, 9, body, 18);
        if (at < 0)
            break;
        ck_assert_int_ge(at, last + 18);
        ck_assert_int_eq(at & 3, 0);
        last = at;
    }
    ck_assert_int_eq(at, -ENOSPC);
    ck_assert_int_le(last + 18, 256);
    ck_assert_int_eq(pci_function_add_ext_capability(w.f, 0xb, 1, body, 12), 0x100);
    ck_assert_int_eq(pci_function_add_ext_capability(w.f, 3, 1, body, 12), 0x10c);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x100), 4), 0x10c1000b);
    ck_assert_uint_eq(rd(&w, ecam(DEV1, 0x10c), 4), 0x00010003);
    teardown(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pci_host");
    TCase *t = tcase_create("host");

    tcase_add_test(t, absent_functions_read_ones);
    tcase_add_test(t, readonly_registers_stay);
    tcase_add_test(t, bar_sizing_and_moving);
    tcase_add_test(t, overlapping_bars_take_turns);
    tcase_add_test(t, multifunction_bit_follows_functions);
    tcase_add_test(t, msix_masks_and_pending);
    tcase_add_test(t, intx_level_status_disable);
    tcase_add_test(t, bad_geometry_is_refused);
    tcase_add_test(t, capabilities_fill_up);
    suite_add_tcase(s, t);
    return unit_run(s);
}
