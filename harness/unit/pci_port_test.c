/* SPDX-License-Identifier: MIT */
/* A root port with a hot-plug slot, as its driver sees it through configuration space. */
#include <check.h>
#include <errno.h>

#include "pci/host.h"
#include "pci/port.h"
#include "spec/pci.h"
#include "unit/run.h"

#define ECAM 0xe0000000ull
#define PORT SBDF(0, 0, 2, 0)
#define CARD SBDF(0, 5, 0, 0) /* as the toolstack names it; where it answers is the driver's */

#define EVENTS                                                                                     \
    (PCI_SLOT_PRESENCE_CHANGED | PCI_SLOT_STATUS_LINK_CHANGED | PCI_SLOT_BUTTON_PRESSED |          \
     PCI_SLOT_COMMAND_COMPLETED)

struct world {
    struct pci_host *host;
    struct pci_port *port;
    struct pci_function *card;
    unsigned express; /* offset of the capability */
    unsigned msis, powered, resets, moves;
    unsigned bus; /* that the last move was to */
    bool level, power;
};

static void on_msi(void *ctx, sbdf_t from, uint64_t addr, uint32_t data)
{
    ((struct world *)ctx)->msis++;
}

static void on_intx(void *ctx, sbdf_t from, unsigned pin, bool level)
{
    ((struct world *)ctx)->level = level;
}

static int on_map(void *ctx, sbdf_t of, unsigned bar, struct pci_range range)
{
    return 0;
}

static void on_unmap(void *ctx, sbdf_t of, unsigned bar, struct pci_range range) {}

static void on_move(void *ctx, sbdf_t port)
{
    struct world *w = ctx;

    w->moves++;
    w->bus = pci_port_bus(w->port);
}

static const struct pci_host_ops host_ops = {.msi = on_msi,
                                             .intx = on_intx,
                                             .bar_mapped = on_map,
                                             .bar_unmapped = on_unmap,
                                             .bus_moved = on_move};

static void on_power(void *ctx, bool on)
{
    struct world *w = ctx;

    w->powered++;
    w->power = on;
}

static const struct pci_port_ops port_ops = {.powered = on_power};

static void on_reset(void *ctx)
{
    ((struct world *)ctx)->resets++;
}

static const struct pci_config_hooks card_hooks = {.reset = on_reset};

static uint64_t get(struct world *w, sbdf_t at, unsigned offset, unsigned bytes)
{
    return pci_host_config_read(w->host, at, offset, bytes);
}

static void set(struct world *w, sbdf_t at, unsigned offset, unsigned bytes, uint64_t value)
{
    pci_host_config_write(w->host, at, offset, bytes, value);
}

static uint16_t status(struct world *w)
{
    return (uint16_t)get(w, PORT, w->express + PCI_EXP_SLOT_STATUS, 2);
}

static void control(struct world *w, uint16_t value)
{
    set(w, PORT, w->express + PCI_EXP_SLOT_CONTROL, 2, value);
}

static void clear(struct world *w, uint16_t events)
{
    set(w, PORT, w->express + PCI_EXP_SLOT_STATUS, 2, events);
}

static bool link_is_up(struct world *w)
{
    return get(w, PORT, w->express + PCI_EXP_LINK_STATUS, 2) & PCI_LINK_STATUS_ACTIVE;
}

static bool answers_on(struct world *w, unsigned bus)
{
    return get(w, SBDF(0, bus, 0, 0), PCI_REG_VENDOR_ID, 2) == 0x1af4;
}

static void setup(struct world *w, const struct pci_port_options *options)
{
    const struct pci_host_config config = {
        .bus_last = 63,
        .ecam_base = ECAM,
        .ecam_bytes = 0x4000000,
        .windows = {{0xe4000000, 0xe7ffffff}},
        .window_count = 1,
    };
    const struct pci_ident ident = {
        .vendor_id = 0x1af4, .device_id = 0x1042, .class_code = 0x018000, .interrupt_pin = 1};
    unsigned at;

    *w = (struct world){.power = true};
    ck_assert_int_eq(pci_host_create(&config, &host_ops, w, &w->host), 0);
    ck_assert_int_eq(pci_port_create(options, &port_ops, w, &w->port), 0);
    ck_assert_int_eq(pci_host_attach(w->host, PORT, pci_port_function(w->port)), 0);
    ck_assert_int_eq(pci_function_create(&ident, &w->card), 0);
    pci_function_set_hooks(w->card, &card_hooks, w);
    for (at = (unsigned)get(w, PORT, PCI_REG_CAPABILITIES, 1); at;
         at = (unsigned)get(w, PORT, at + 1, 1))
        if (get(w, PORT, at, 1) == PCI_CAP_EXPRESS)
            w->express = at;
    ck_assert_uint_ne(w->express, 0);
    set(w, PORT, PCI_REG_SECONDARY_BUS, 1, 5);
    set(w, PORT, PCI_REG_SECONDARY_BUS + 1, 1, 5);
}

static void teardown(struct world *w)
{
    pci_port_destroy(w->port);
    pci_function_destroy(w->card);
    pci_host_destroy(w->host);
}

static void put_in(struct world *w, bool hot)
{
    ck_assert_int_eq(pci_host_attach_behind(w->host, w->port, CARD, w->card), 0);
    pci_port_set_card(w->port, true, hot);
}

static void take_out(struct world *w)
{
    pci_host_detach(w->host, w->card);
    pci_port_set_card(w->port, false, true);
}

static const struct pci_port_options usual = {.slot_number = 3};

START_TEST(card_of_the_boot_is_no_event)
{
    struct world w;

    setup(&w, &usual);
    ck_assert_uint_eq(status(&w) & PCI_SLOT_STATUS_PRESENT, 0);
    put_in(&w, false);
    ck_assert_uint_eq(status(&w) & (EVENTS | PCI_SLOT_STATUS_PRESENT), PCI_SLOT_STATUS_PRESENT);
    ck_assert(link_is_up(&w));
    ck_assert(answers_on(&w, 5));
    ck_assert(!answers_on(&w, 6));
    teardown(&w);
}
END_TEST

START_TEST(driver_gives_the_bus)
{
    struct world w;

    setup(&w, &usual);
    put_in(&w, false);
    w.moves = 0;
    set(&w, PORT, PCI_REG_SECONDARY_BUS, 1, 9);
    ck_assert_uint_eq(w.moves, 1);
    ck_assert_uint_eq(w.bus, 9);
    set(&w, PORT, PCI_REG_SECONDARY_BUS + 1, 1, 9);
    ck_assert_uint_eq(w.moves, 1);
    ck_assert(answers_on(&w, 9));
    ck_assert(!answers_on(&w, 5));
    ck_assert_uint_eq(get(&w, SBDF(0, 9, 1, 0), PCI_REG_VENDOR_ID, 4), 0xffffffff);
    teardown(&w);
}
END_TEST

START_TEST(events_are_cleared_one_by_one)
{
    struct world w;

    setup(&w, &usual);
    put_in(&w, true);
    ck_assert_uint_eq(status(&w) & EVENTS,
                      PCI_SLOT_PRESENCE_CHANGED | PCI_SLOT_STATUS_LINK_CHANGED);
    clear(&w, 0);
    clear(&w, PCI_SLOT_PRESENCE_CHANGED);
    ck_assert_uint_eq(status(&w) & EVENTS, PCI_SLOT_STATUS_LINK_CHANGED);
    clear(&w, PCI_SLOT_STATUS_LINK_CHANGED);
    take_out(&w);
    ck_assert_uint_eq(status(&w) & (EVENTS | PCI_SLOT_STATUS_PRESENT),
                      PCI_SLOT_PRESENCE_CHANGED | PCI_SLOT_STATUS_LINK_CHANGED);
    ck_assert(!link_is_up(&w));
    ck_assert(!answers_on(&w, 5));
    teardown(&w);
}
END_TEST

/* Without MSI the line is up as long as an event that is enabled is set. */
START_TEST(line_follows_events)
{
    struct world w;

    setup(&w, &usual);
    put_in(&w, true);
    ck_assert(!w.level); /* nothing is enabled */
    control(&w, PCI_SLOT_PRESENCE_CHANGED | PCI_SLOT_CONTROL_INTERRUPT);
    ck_assert(w.level);
    clear(&w, EVENTS);
    ck_assert(!w.level);
    take_out(&w);
    ck_assert(w.level);
    control(&w, PCI_SLOT_PRESENCE_CHANGED);
    ck_assert(!w.level);
    teardown(&w);
}
END_TEST

START_TEST(power_takes_the_card_away)
{
    struct world w;

    setup(&w, &usual);
    put_in(&w, false);
    control(&w, PCI_SLOT_CONTROL_POWER_OFF);
    ck_assert_uint_eq(w.powered, 1);
    ck_assert(!w.power);
    ck_assert_uint_eq(w.resets, 1);
    ck_assert(!pci_port_is_powered(w.port));
    ck_assert(!answers_on(&w, 5));
    ck_assert(status(&w) & PCI_SLOT_STATUS_PRESENT); /* the pin needs no power */
    ck_assert(status(&w) & PCI_SLOT_COMMAND_COMPLETED);
    control(&w, 0);
    ck_assert(w.power);
    ck_assert(answers_on(&w, 5));
    teardown(&w);
}
END_TEST

START_TEST(slot_without_a_switch)
{
    const struct pci_port_options bare = {
        .slot_number = 1, .no_button = true, .no_power = true, .no_command_completed = true};
    struct world w;

    setup(&w, &bare);
    put_in(&w, false);
    control(&w, PCI_SLOT_CONTROL_POWER_OFF);
    ck_assert_uint_eq(w.powered, 0);
    ck_assert(answers_on(&w, 5));
    ck_assert_uint_eq(status(&w) & EVENTS, 0);
    pci_port_press_button(w.port);
    ck_assert_uint_eq(status(&w) & EVENTS, 0);
    teardown(&w);
}
END_TEST

START_TEST(slot_numbers_are_13_bits)
{
    const struct pci_port_options last = {.slot_number = 8191}, over = {.slot_number = 8192};
    struct pci_port *p = NULL;

    ck_assert_int_eq(pci_port_create(&last, &port_ops, NULL, &p), 0);
    pci_port_destroy(p);
    ck_assert_int_eq(pci_port_create(&over, &port_ops, NULL, &p), -EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pci_port");
    TCase *tc = tcase_create("slot");

    tcase_add_test(tc, card_of_the_boot_is_no_event);
    tcase_add_test(tc, driver_gives_the_bus);
    tcase_add_test(tc, events_are_cleared_one_by_one);
    tcase_add_test(tc, line_follows_events);
    tcase_add_test(tc, power_takes_the_card_away);
    tcase_add_test(tc, slot_without_a_switch);
    tcase_add_test(tc, slot_numbers_are_13_bits);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
