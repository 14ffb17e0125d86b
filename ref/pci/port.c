/* SPDX-License-Identifier: MIT */
#include "pci/port.h"

#include <errno.h>
#include <stdlib.h>

#include "pci/internal.h"
#include "util/mutant.h"

#define CLASS_PCI_BRIDGE 0x060400
/* Of a virtual machine's root port without quirks in any driver: QEMU's pcie-root-port. */
#define PORT_VENDOR_ID 0x1b36
#define PORT_DEVICE_ID 0x000c
/* Base and limit, side by side. */
#define WINDOW_REGISTERS (PCI_BRIDGE_WINDOW_MASK | (uint32_t)PCI_BRIDGE_WINDOW_MASK << 16)
#define LINK_UP          (1u | 1u << PCI_LINK_WIDTH_SHIFT | PCI_LINK_STATUS_ACTIVE)

struct pci_port {
    struct pci_function *function;
    struct pci_port_options options;
    const struct pci_port_ops *ops; /* borrowed */
    void *ctx;
    unsigned express, msi;                                /* offsets of the capabilities */
    struct pci_function *below[PCI_FUNCTIONS_PER_DEVICE]; /* borrowed */
    bool card, link;
    bool power;     /* as the driver last switched it */
    bool signalled; /* the condition of the message held when last looked at */
};

static uint32_t get(const struct pci_port *p, unsigned reg, unsigned bytes)
{
    return pci_function_peek(p->function, reg, bytes);
}

static uint32_t slot_control(const struct pci_port *p)
{
    return get(p, p->express + PCI_EXP_SLOT_CONTROL, 2);
}

static uint32_t slot_status(const struct pci_port *p)
{
    return get(p, p->express + PCI_EXP_SLOT_STATUS, 2);
}

static void set_slot_status(struct pci_port *p, uint32_t set, uint32_t clear)
{
    pci_function_poke(p->function, p->express + PCI_EXP_SLOT_STATUS, 2,
                      (slot_status(p) & ~clear) | set);
}

/* ---- interrupts (PCIe 6.7.3.4) ---- */

static bool event_enabled(const struct pci_port *p)
{
    uint32_t control = slot_control(p);
    uint32_t status = slot_status(p);
    uint32_t events = status & control & PCI_SLOT_EVENTS_MASK;

    if (MUTANT(slot_enables_ignored))
        events = status & PCI_SLOT_EVENTS_MASK;
    if ((status & PCI_SLOT_STATUS_LINK_CHANGED) && (control & PCI_SLOT_CONTROL_LINK_CHANGED) &&
        !MUTANT(slot_link_change_is_silent))
        events |= PCI_SLOT_STATUS_LINK_CHANGED;
    if (MUTANT(slot_presence_change_is_silent))
        events &= ~(uint32_t)PCI_SLOT_PRESENCE_CHANGED;
    return events && (control & PCI_SLOT_CONTROL_INTERRUPT);
}

static bool msi_enabled(const struct pci_port *p)
{
    return get(p, p->msi + PCI_MSI_CONTROL, 2) & PCI_MSI_CONTROL_ENABLE;
}

/* One message each time that the condition becomes true; a level on the pin while it is. */
static void update_interrupt(struct pci_port *p)
{
    struct pci_function *f = p->function;
    bool wanted = event_enabled(p);
    bool send = wanted && msi_enabled(p) && (get(p, PCI_REG_COMMAND, 2) & PCI_COMMAND_MASTER);

    if (send && (!p->signalled || MUTANT(slot_message_repeats)) && f->host)
        pci_host_send_msi(f->host, f,
                          get(p, p->msi + PCI_MSI_ADDR, 4) |
                              (uint64_t)get(p, p->msi + PCI_MSI_ADDR_HIGH, 4) << 32,
                          get(p, p->msi + PCI_MSI_DATA, 2));
    p->signalled = send;
    pci_function_set_intx(f, wanted && !msi_enabled(p));
}

/* ---- the link ---- */

static void set_link(struct pci_port *p)
{
    bool disabled = get(p, p->express + PCI_EXP_LINK_CONTROL, 2) & PCI_LINK_CONTROL_DISABLE;
    bool in_reset = get(p, PCI_REG_BRIDGE_CONTROL, 2) & PCI_BRIDGE_CONTROL_RESET;
    bool power = p->power || MUTANT(slot_power_off_ignored);
    bool up = p->card && power && !disabled && !in_reset;

    if (up == p->link)
        return;
    p->link = up;
    pci_function_poke(p->function, p->express + PCI_EXP_LINK_STATUS, 2,
                      up && !MUTANT(slot_link_never_active) ? LINK_UP : 0);
    set_slot_status(p, PCI_SLOT_STATUS_LINK_CHANGED, 0);
    for (unsigned i = 0; i < PCI_FUNCTIONS_PER_DEVICE; i++) {
        if (!p->below[i])
            continue;
        if (!up && !MUTANT(slot_power_off_keeps_state))
            pci_function_reset(p->below[i]);
        else
            pci_host_update_decode(p->below[i]->host, p->below[i]);
    }
}

unsigned pci_port_bus(const struct pci_port *p)
{
    return get(p, PCI_REG_SECONDARY_BUS, 1);
}

bool pci_port_has_bus(const struct pci_port *p, unsigned bus)
{
    unsigned secondary = pci_port_bus(p);

    if (MUTANT(slot_bus_number_fixed))
        return bus == 1;
    return secondary && bus >= secondary && bus <= get(p, PCI_REG_SUBORDINATE_BUS, 1);
}

struct pci_function *pci_port_find(const struct pci_port *p, sbdf_t at)
{
    if (!p->link || (sbdf_bus(at) != pci_port_bus(p) && !MUTANT(slot_bus_number_fixed)) ||
        (sbdf_device(at) && !MUTANT(slot_device_number_ignored)))
        return NULL;
    return p->below[sbdf_function(at)];
}

static bool window_has(struct pci_range window, struct pci_range range)
{
    return range.first >= window.first && range.last <= window.last;
}

bool pci_port_forwards(const struct pci_port *p, struct pci_range range)
{
    const uint32_t low = (1u << 20) - 1;
    struct pci_range memory = {
        (uint64_t)(get(p, PCI_REG_MEMORY_BASE, 2) & PCI_BRIDGE_WINDOW_MASK) << 16,
        (uint64_t)(get(p, PCI_REG_MEMORY_LIMIT, 2) & PCI_BRIDGE_WINDOW_MASK) << 16 | low};
    struct pci_range prefetch = {
        (uint64_t)(get(p, PCI_REG_PREFETCH_BASE, 2) & PCI_BRIDGE_WINDOW_MASK) << 16 |
            (uint64_t)get(p, PCI_REG_PREFETCH_BASE_HIGH, 4) << 32,
        (uint64_t)(get(p, PCI_REG_PREFETCH_LIMIT, 2) & PCI_BRIDGE_WINDOW_MASK) << 16 |
            (uint64_t)get(p, PCI_REG_PREFETCH_LIMIT_HIGH, 4) << 32 | low};

    if (MUTANT(slot_windows_ignored))
        return p->link;
    return p->link && (get(p, PCI_REG_COMMAND, 2) & PCI_COMMAND_MEMORY) &&
           (window_has(memory, range) || window_has(prefetch, range));
}

bool pci_port_forwards_up(const struct pci_port *p)
{
    return p->link && (get(p, PCI_REG_COMMAND, 2) & PCI_COMMAND_MASTER);
}

/* ---- the driver's accesses ---- */

static bool touches(unsigned offset, unsigned bytes, unsigned reg, unsigned reg_bytes)
{
    return offset < reg + reg_bytes && reg < offset + bytes;
}

static void written(void *ctx, unsigned offset, unsigned bytes)
{
    struct pci_port *p = ctx;
    bool command = touches(offset, bytes, p->express + PCI_EXP_SLOT_CONTROL, 2);
    bool power = p->options.no_power || !(slot_control(p) & PCI_SLOT_CONTROL_POWER_OFF);
    bool switched = power != p->power;

    p->power = power;
    set_link(p);
    if (touches(offset, bytes, PCI_REG_SECONDARY_BUS, 1) && p->function->host)
        pci_host_move_bus(p->function->host, p->function);
    if (offset < PCI_HEADER_BYTES)
        for (unsigned i = 0; i < PCI_FUNCTIONS_PER_DEVICE; i++)
            if (p->below[i])
                pci_host_update_decode(p->below[i]->host, p->below[i]);
    /* Every write to Slot Control is a command, one that changes nothing too (PCIe 6.7.3.2). */
    if (command && (!p->options.no_command_completed || MUTANT(slot_completion_in_spite)) &&
        !MUTANT(slot_command_never_completes))
        set_slot_status(p, PCI_SLOT_COMMAND_COMPLETED, 0);
    update_interrupt(p);
    if (switched && p->ops && p->ops->powered)
        p->ops->powered(p->ctx, power);
}

static const struct pci_config_hooks hooks = {.written = written};

/* ---- the slot ---- */

void pci_port_set_card(struct pci_port *p, bool present, bool hot)
{
    if (present == p->card)
        return;
    p->card = present;
    set_slot_status(p, (present ? PCI_SLOT_STATUS_PRESENT : 0) | PCI_SLOT_PRESENCE_CHANGED,
                    PCI_SLOT_STATUS_PRESENT);
    if (MUTANT(slot_presence_state_stuck))
        set_slot_status(p, PCI_SLOT_STATUS_PRESENT, 0);
    if (!MUTANT(slot_card_comes_dark) || !hot || !present)
        set_link(p);
    if (!hot) {
        /* It was there before the machine began. */
        set_slot_status(p, 0, PCI_SLOT_PRESENCE_CHANGED | PCI_SLOT_STATUS_LINK_CHANGED);
        return;
    }
    update_interrupt(p);
}

void pci_port_press_button(struct pci_port *p)
{
    if (p->options.no_button || MUTANT(slot_button_dead))
        return;
    set_slot_status(p, PCI_SLOT_BUTTON_PRESSED, 0);
    update_interrupt(p);
}

bool pci_port_has_card(const struct pci_port *p)
{
    return p->card;
}

bool pci_port_has_button(const struct pci_port *p)
{
    return !p->options.no_button;
}

bool pci_port_is_powered(const struct pci_port *p)
{
    return p->power;
}

bool pci_port_link_active(const struct pci_port *p)
{
    return p->link;
}

static void update_multifunction(struct pci_port *p)
{
    unsigned count = 0;

    for (unsigned i = 0; i < PCI_FUNCTIONS_PER_DEVICE; i++)
        count += p->below[i] != NULL;
    for (unsigned i = 0; i < PCI_FUNCTIONS_PER_DEVICE; i++)
        if (p->below[i])
            p->below[i]->multifunction = count > 1;
}

int pci_port_put(struct pci_port *p, unsigned device, unsigned function, struct pci_function *f)
{
    if (device || f->port)
        return -EINVAL;
    if (p->below[function])
        return -EEXIST;
    p->below[function] = f;
    update_multifunction(p);
    return 0;
}

void pci_port_take(struct pci_port *p, struct pci_function *f)
{
    for (unsigned i = 0; i < PCI_FUNCTIONS_PER_DEVICE; i++)
        if (p->below[i] == f)
            p->below[i] = NULL;
    f->multifunction = false;
    update_multifunction(p);
}

/* ---- making one ---- */

static void set_masks(struct pci_function *f, unsigned at, unsigned bytes, uint32_t writable,
                      uint32_t write_one_clear)
{
    for (unsigned i = 0; i < bytes; i++)
        pci_function_set_mask(f, at + i, (uint8_t)(writable >> (i * 8)),
                              (uint8_t)(write_one_clear >> (i * 8)));
}

static void build_header(struct pci_function *f)
{
    pci_function_poke(f, PCI_REG_HEADER_TYPE, 1, PCI_HEADER_TYPE_BRIDGE);
    set_masks(f, PCI_REG_PRIMARY_BUS, 3, 0xffffff, 0);
    set_masks(f, PCI_REG_MEMORY_BASE, 4, WINDOW_REGISTERS, 0);
    set_masks(f, PCI_REG_PREFETCH_BASE, 4, WINDOW_REGISTERS, 0);
    set_masks(f, PCI_REG_PREFETCH_BASE_HIGH, 4, UINT32_MAX, 0);
    set_masks(f, PCI_REG_PREFETCH_LIMIT_HIGH, 4, UINT32_MAX, 0);
    pci_function_poke(f, PCI_REG_PREFETCH_BASE, 2, PCI_BRIDGE_WINDOW_64BIT);
    pci_function_poke(f, PCI_REG_PREFETCH_LIMIT, 2, PCI_BRIDGE_WINDOW_64BIT);
    set_masks(f, PCI_REG_BRIDGE_CONTROL, 2, PCI_BRIDGE_CONTROL_RESET, 0);
}

static void build_slot(struct pci_port *p)
{
    const struct pci_port_options *o = &p->options;
    struct pci_function *f = p->function;
    uint32_t caps = PCI_SLOT_CAP_HOTPLUG | o->slot_number << PCI_SLOT_CAP_NUMBER_SHIFT;
    uint32_t control = PCI_SLOT_POWER_FAULT | PCI_SLOT_PRESENCE_CHANGED |
                       PCI_SLOT_CONTROL_INTERRUPT | PCI_SLOT_CONTROL_LINK_CHANGED;
    uint32_t leds = PCI_SLOT_CONTROL_LED_MASK << PCI_SLOT_CONTROL_ATTENTION_SHIFT |
                    PCI_SLOT_CONTROL_LED_MASK << PCI_SLOT_CONTROL_POWER_LED_SHIFT;
    uint32_t events = PCI_SLOT_BUTTON_PRESSED | PCI_SLOT_POWER_FAULT | PCI_SLOT_PRESENCE_CHANGED |
                      PCI_SLOT_COMMAND_COMPLETED | PCI_SLOT_STATUS_LINK_CHANGED;
    unsigned at = p->express;

    /* What the slot does not have is read-only zero in its control. */
    if (!o->no_button) {
        caps |= PCI_SLOT_CAP_BUTTON;
        control |= PCI_SLOT_BUTTON_PRESSED;
    }
    if (!o->no_power) {
        caps |= PCI_SLOT_CAP_POWER;
        control |= PCI_SLOT_CONTROL_POWER_OFF;
    }
    if (!o->no_surprise)
        caps |= PCI_SLOT_CAP_SURPRISE;
    if (o->no_command_completed)
        caps |= PCI_SLOT_CAP_NO_COMMAND_COMPLETED;
    else
        control |= PCI_SLOT_COMMAND_COMPLETED;
    if (!o->no_indicators) {
        caps |= PCI_SLOT_CAP_ATTENTION_LED | PCI_SLOT_CAP_POWER_LED;
        control |= leds;
        pci_function_poke(f, at + PCI_EXP_SLOT_CONTROL, 2,
                          PCI_SLOT_LED_OFF << PCI_SLOT_CONTROL_ATTENTION_SHIFT |
                              PCI_SLOT_LED_ON << PCI_SLOT_CONTROL_POWER_LED_SHIFT);
    }
    if (MUTANT(slot_events_not_cleared))
        events = 0;
    pci_function_poke(f, at + PCI_EXP_SLOT_CAPABILITIES, 4, caps);
    set_masks(f, at + PCI_EXP_SLOT_CONTROL, 2, control, 0);
    set_masks(f, at + PCI_EXP_SLOT_STATUS, 2, 0, events);
    if (MUTANT(slot_events_cleared_by_any_write))
        set_masks(f, at + PCI_EXP_SLOT_STATUS, 2, events, 0);
    set_masks(f, at + PCI_EXP_LINK_CONTROL, 1, PCI_LINK_CONTROL_DISABLE, 0);
}

static int build(struct pci_port *p)
{
    const struct pci_ident ident = {.vendor_id = PORT_VENDOR_ID,
                                    .device_id = PORT_DEVICE_ID,
                                    .class_code = CLASS_PCI_BRIDGE,
                                    .interrupt_pin =
                                        p->options.interrupt_pin ? p->options.interrupt_pin : 1};
    uint8_t msi[PCI_MSI_CAP_BYTES - 2] = {PCI_MSI_CONTROL_64BIT};
    struct pci_function *f;
    int rc = pci_function_create(&ident, &p->function);

    if (rc)
        return rc;
    f = p->function;
    f->port = p;
    build_header(f);
    rc = pci_function_add_express(f, PCI_EXP_TYPE_ROOT_PORT);
    if (rc < 0)
        return rc;
    p->express = (unsigned)rc;
    pci_function_poke(f, p->express + PCI_EXP_CAPABILITIES, 2,
                      get(p, p->express + PCI_EXP_CAPABILITIES, 2) | PCI_EXP_SLOT_IMPLEMENTED);
    pci_function_poke(f, p->express + PCI_EXP_LINK_CAPABILITIES, 4,
                      get(p, p->express + PCI_EXP_LINK_CAPABILITIES, 4) |
                          (MUTANT(slot_link_not_reported) ? 0 : PCI_LINK_CAP_ACTIVE_REPORTED));
    build_slot(p);
    rc = pci_function_add_capability(f, PCI_CAP_MSI, msi, PCI_MSI_CAP_BYTES);
    if (rc < 0)
        return rc;
    p->msi = (unsigned)rc;
    set_masks(f, p->msi + PCI_MSI_CONTROL, 2, PCI_MSI_CONTROL_ENABLE, 0);
    set_masks(f, p->msi + PCI_MSI_ADDR, 4, ~3u, 0);
    set_masks(f, p->msi + PCI_MSI_ADDR_HIGH, 4, UINT32_MAX, 0);
    set_masks(f, p->msi + PCI_MSI_DATA, 2, 0xffff, 0);
    pci_function_set_hooks(f, &hooks, p);
    return 0;
}

int pci_port_create(const struct pci_port_options *options, const struct pci_port_ops *ops,
                    void *ctx, struct pci_port **out)
{
    struct pci_port *p;
    int rc;

    if (options->slot_number > PCI_SLOT_NUMBER_MAX)
        return -EINVAL;
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->options = *options;
    p->ops = ops;
    p->ctx = ctx;
    p->power = true;
    rc = build(p);
    if (rc)
        pci_port_destroy(p);
    else
        *out = p;
    return rc;
}

void pci_port_destroy(struct pci_port *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < PCI_FUNCTIONS_PER_DEVICE; i++)
        if (p->below[i])
            pci_host_detach(p->below[i]->host, p->below[i]);
    pci_function_destroy(p->function);
    free(p);
}

struct pci_function *pci_port_function(struct pci_port *p)
{
    return p->function;
}
