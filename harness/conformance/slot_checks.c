/* SPDX-License-Identifier: MIT */
/*
 * A device in the hot-plug slot of a root port: what the slot says and when it interrupts, and what
 * of the device can be reached meanwhile. The guest here is the slot's driver.
 */
#define CHECK_FAMILY "hotplug"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/plug.h"
#include "conformance/slot.h"
#include "spec/pci.h"
#include "util/bits.h"

#define SLOT (NEED_PCI | NEED_BLK | NEED_TESTBED | NEED_SLOT)

static void ask(struct slot *s, const char *what)
{
    char why[256] = "";
    int rc = given_try(s->t, what, NULL, why, sizeof(why));

    expect(s->t, MUST, rc == 0, "%s: %s", what, why);
    if (rc)
        stop_check(s->t);
}

static void take_out(struct slot *s)
{
    s->d->gone_on_purpose = true;
    plug_out(s->t, 0);
}

static void put_in(struct slot *s)
{
    plug_in(s->t, 0, NULL);
}

static bool link_active(struct slot *s)
{
    bool active;

    must(s->t, fe_port_link_active(&s->port, &active), "reading Link Status");
    return active;
}

static void power(struct slot *s, bool on)
{
    slot_command(s, PCI_SLOT_CONTROL_POWER_OFF, on ? 0 : PCI_SLOT_CONTROL_POWER_OFF);
}

static uint64_t id_at(struct slot *s, sbdf_t at)
{
    uint64_t value = 0;
    int rc = fe_ecam_read(&s->d->host, at, PCI_REG_VENDOR_ID, 4, &value);

    must(s->t, rc, "reading configuration space");
    return value;
}

/* Nothing is there; where nobody has the bus the access may abort, as the machine has it. */
static void expect_nothing(struct slot *s, sbdf_t at, const char *what)
{
    uint64_t value = 0;
    int rc = fe_ecam_read(&s->d->host, at, PCI_REG_VENDOR_ID, 4, &value);

    if (rc == -EFAULT && s->d->subject->platform->arm)
        return;
    must(s->t, rc, "reading configuration space");
    expect_eq(s->t, MUST, value, 0xffffffff, what);
}

CHECK(slot_is_described, .judges = DEVICE, .proves = "xen.hotplug.slot.capabilities.1",
      .needs = SLOT, .title = "A hot-plug slot says that it has one, and that its link is reported")
{
    struct slot *s = given_slot(t);
    uint64_t caps = 0, link = 0, bars = 0;

    must(t,
         fe_ecam_read(&s->d->host, s->port.sbdf, s->port.express + PCI_EXP_CAPABILITIES, 2, &caps),
         "reading PCI Express Capabilities");
    must(t,
         fe_ecam_read(&s->d->host, s->port.sbdf, s->port.express + PCI_EXP_LINK_CAPABILITIES, 4,
                      &link),
         "reading Link Capabilities");
    must(t, fe_ecam_read(&s->d->host, s->port.sbdf, PCI_REG_BAR0, 8, &bars), "reading BARs");
    expect(t, MUST, caps & PCI_EXP_SLOT_IMPLEMENTED, "Slot Implemented is not set");
    expect(t, MUST, link & PCI_LINK_CAP_ACTIVE_REPORTED,
           "a hot-plug port does not report that its link is active");
    expect(t, MUST, slot_status(s) & PCI_SLOT_STATUS_PRESENT, "no card is said to be in the slot");
    expect(t, MUST, link_active(s), "the link to a card that has power is not active");
}

/* Both ways, with one kind of event enabled. */
static void expect_event(struct slot *s, uint16_t enable, uint16_t event,
                         bool (*state)(struct slot *), const char *what)
{
    for (unsigned in = 0; in < 2; in++) {
        slot_listen(s, enable);
        if (in)
            put_in(s);
        else
            take_out(s);
        expect(s->t, MUST, slot_interrupted(s, LIMIT_REPLY_NS),
               "no interrupt: a card was %s and %s", in ? "put in" : "taken out", what);
        expect(s->t, MUST, slot_status(s) & event, "Slot Status has no event: %s", what);
        expect(s->t, MUST, state(s) == (in == 1), "the slot's state does not follow the card: %s",
               what);
    }
    slot_listen(s, 0);
    device_reattach(s->d);
    expect_device_there(s->d, "back in its slot");
}

static bool present(struct slot *s)
{
    return slot_status(s) & PCI_SLOT_STATUS_PRESENT;
}

CHECK(slot_presence_is_an_event, .judges = DEVICE, .proves = "xen.hotplug.slot.presence.1",
      .needs = SLOT, .timeout_ms = 60000,
      .title = "A card that goes or comes changes Presence Detect State, which interrupts")
{
    struct slot *s = given_slot(t);

    expect_event(s, PCI_SLOT_PRESENCE_CHANGED, PCI_SLOT_PRESENCE_CHANGED, present,
                 "presence changes");
}

CHECK(slot_link_is_an_event, .judges = DEVICE, .proves = "xen.hotplug.slot.link.1", .needs = SLOT,
      .timeout_ms = 60000,
      .title = "The link goes down and comes up with the card, which interrupts")
{
    struct slot *s = given_slot(t);

    expect_event(s, PCI_SLOT_CONTROL_LINK_CHANGED, PCI_SLOT_STATUS_LINK_CHANGED, link_active,
                 "the link changes");
}

CHECK(
    slot_interrupts_as_enabled, .judges = DEVICE, .proves = "xen.hotplug.slot.interrupt.1",
    .needs = SLOT, .timeout_ms = 60000,
    .title = "An event that is not enabled is there and silent; one message until all are cleared")
{
    struct slot *s = given_slot(t);

    slot_listen(s, 0);
    take_out(s);
    expect(t, MUST, !slot_interrupted(s, LIMIT_QUIET_NS), "an interrupt that was not enabled");
    expect(t, MUST, (slot_status(s) & SLOT_CHANGES) == SLOT_CHANGES,
           "events that do not interrupt are lost");
    /* Presence alone: the button's press is none of it. */
    slot_listen(s, PCI_SLOT_POWER_FAULT);
    put_in(s);
    expect(t, MUST, !slot_interrupted(s, LIMIT_QUIET_NS), "an interrupt of another event");
    slot_listen(s, PCI_SLOT_PRESENCE_CHANGED);
    take_out(s);
    expect(t, MUST, slot_interrupted(s, LIMIT_REPLY_NS), "no interrupt when a card is taken out");
    if (s->port.msi) {
        put_in(s);
        expect(t, MUST, !slot_interrupted(s, LIMIT_QUIET_NS),
               "a second message while the event of the first is not cleared");
    } else {
        put_in(s);
    }
    slot_listen(s, 0);
    device_reattach(s->d);
}

CHECK(slot_events_stay_until_cleared, .judges = DEVICE, .proves = "xen.hotplug.slot.event.1",
      .needs = SLOT, .timeout_ms = 60000,
      .title = "An event stays until 1 is written to it, and to it only")
{
    struct slot *s = given_slot(t);

    slot_listen(s, 0);
    take_out(s);
    slot_clear(s, 0);
    expect_eq(t, MUST, slot_status(s) & SLOT_CHANGES, SLOT_CHANGES,
              "events after zeroes were written");
    slot_clear(s, PCI_SLOT_PRESENCE_CHANGED);
    expect_eq(t, MUST, slot_status(s) & SLOT_CHANGES, PCI_SLOT_STATUS_LINK_CHANGED,
              "events after one was cleared");
    slot_clear(s, PCI_SLOT_STATUS_LINK_CHANGED);
    expect_eq(t, MUST, slot_status(s) & SLOT_CHANGES, 0, "events after both were cleared");
    put_in(s);
    expect_eq(t, MUST, slot_status(s) & SLOT_CHANGES, SLOT_CHANGES,
              "events after they were cleared and came again");
    slot_listen(s, 0);
    device_reattach(s->d);
}

CHECK(slot_commands_complete, .judges = DEVICE, .proves = "xen.hotplug.slot.command.1",
      .needs = SLOT, .title = "Each write to Slot Control is a command, and completes")
{
    struct slot *s = given_slot(t);

    if (s->port.slot & PCI_SLOT_CAP_NO_COMMAND_COMPLETED)
        skip_check(t, "the slot reports no completion");
    slot_listen(s, 0);
    slot_command(s, PCI_SLOT_CONTROL_LED_MASK << PCI_SLOT_CONTROL_POWER_LED_SHIFT,
                 PCI_SLOT_LED_BLINKS << PCI_SLOT_CONTROL_POWER_LED_SHIFT);
    slot_command(s, 0, 0); /* one that changes nothing is one, too */
    slot_listen(s, PCI_SLOT_COMMAND_COMPLETED);
    must(t,
         fe_ecam_write(&s->d->host, s->port.sbdf, s->port.express + PCI_EXP_SLOT_CONTROL, 2,
                       PCI_SLOT_COMMAND_COMPLETED | PCI_SLOT_CONTROL_INTERRUPT),
         "writing Slot Control");
    expect(t, MUST, slot_interrupted(s, LIMIT_REPLY_NS), "no interrupt when a command completed");
    slot_listen(s, 0);
}

CHECK(slot_without_completions_reports_none, .judges = DEVICE,
      .proves = "xen.hotplug.slot.command.2", .needs = SLOT,
      .title = "A slot that reports no completion never says that a command completed")
{
    struct slot *s = given_slot(t);

    if (!(s->port.slot & PCI_SLOT_CAP_NO_COMMAND_COMPLETED))
        skip_check(t, "the slot reports completion");
    slot_listen(s, PCI_SLOT_COMMAND_COMPLETED);
    slot_command(s, 0, 0);
    expect(t, MUST, !slot_interrupted(s, LIMIT_QUIET_NS), "an interrupt when a command completed");
    expect(t, MUST, !(slot_status(s) & PCI_SLOT_COMMAND_COMPLETED),
           "Slot Status says that a command completed");
    slot_listen(s, 0);
}

CHECK(slot_without_power_is_empty, .judges = DEVICE, .proves = "xen.hotplug.slot.power.1",
      .needs = SLOT,
      .title = "Without power a device does not answer; with power it is there, and was reset")
{
    struct slot *s = given_slot(t);
    sbdf_t at = s->d->subject->place.sbdf;
    uint64_t id = id_at(s, at);

    if (!(s->port.slot & PCI_SLOT_CAP_POWER))
        skip_check(t, "the slot's power cannot be switched");
    slot_listen(s, 0);
    s->d->gone_on_purpose = true;
    power(s, false);
    expect(t, MUST, !link_active(s), "the link is active without power");
    expect(t, MUST, slot_status(s) & PCI_SLOT_STATUS_PRESENT,
           "a card without power is not in the slot");
    expect_eq(t, MUST, id_at(s, at), 0xffffffff, "vendor and device of a function without power");
    power(s, true);
    expect(t, MUST, link_active(s), "the link is not active with power");
    expect_eq(t, MUST, id_at(s, at), id, "vendor and device when the power is on again");
    expect_eq(t, MUST, config_get(s->d, PCI_REG_COMMAND, 2), 0,
              "the command register after power-up");
    for (unsigned i = 0; i < PCI_BAR_COUNT; i++)
        expect_eq(t, MUST, config_get(s->d, PCI_REG_BAR0 + 4 * i, 4) & ~(uint64_t)PCI_BAR_FLAG_BITS,
                  0, "the address in a BAR after power-up");
    device_reattach(s->d);
    expect_eq(t, MUST, device_status(s->d), 0, "the device's status after power-up");
}

CHECK(slot_has_one_device, .judges = DEVICE, .proves = "xen.hotplug.slot.route.1", .needs = SLOT,
      .timeout_ms = 60000,
      .title = "Behind a port is device 0, or nothing: everything else reads all ones")
{
    struct slot *s = given_slot(t);
    sbdf_t at = s->d->subject->place.sbdf;

    for (unsigned dev = 1; dev < PCI_DEVICES_PER_BUS; dev++)
        expect_eq(t, MUST, id_at(s, SBDF(sbdf_segment(at), sbdf_bus(at), dev, 0)), 0xffffffff,
                  "a device other than 0 behind a port");
    slot_listen(s, 0);
    take_out(s);
    for (unsigned fn = 0; fn < PCI_FUNCTIONS_PER_DEVICE; fn++)
        expect_eq(t, MUST, id_at(s, SBDF(sbdf_segment(at), sbdf_bus(at), 0, fn)), 0xffffffff,
                  "a function in an empty slot");
    put_in(s);
    device_reattach(s->d);
    expect_device_there(s->d, "back in its slot");
}

CHECK(slot_bus_is_the_guests, .judges = DEVICE, .proves = "xen.hotplug.slot.route.2", .needs = SLOT,
      .title = "The device is on the bus that the guest gives to the port, and on no other")
{
    struct slot *s = given_slot(t);
    sbdf_t at = s->d->subject->place.sbdf;
    uint8_t bus = (uint8_t)(sbdf_bus(at) + 3);
    sbdf_t other = SBDF(sbdf_segment(at), bus, 0, 0);
    uint64_t id = id_at(s, at);
    struct fe_port moved;

    must(t, fe_port_open(&s->d->host, s->port.sbdf, bus, &moved), "giving the port another bus");
    expect_eq(t, MUST, id_at(s, other), id, "what is on the bus that the port was given");
    expect_nothing(s, at, "what is on the bus that the port had before");
    must(t, fe_port_open(&s->d->host, s->port.sbdf, (uint8_t)sbdf_bus(at), &moved),
         "giving the port its bus back");
    expect_eq(t, MUST, id_at(s, at), id, "the device on the bus that it had");
}

CHECK(slot_windows_are_honoured, .judges = DEVICE, .proves = "xen.hotplug.slot.window.1",
      .needs = SLOT, .title = "A port forwards to its slot what its windows say, and no more")
{
    struct slot *s = given_slot(t);
    struct fe_platform *p = s->d->subject->platform;
    uint64_t registers = device_registers(s->d), value = 0;
    uint64_t command_before = 0;
    int rc;

    must(t, fe_ecam_read(&s->d->host, s->port.sbdf, PCI_REG_COMMAND, 2, &command_before),
         "reading the port's command register");
    expect_eq(t, MUST, device_status(s->d), 0, "the device's status");
    must(t,
         fe_ecam_write(&s->d->host, s->port.sbdf, PCI_REG_COMMAND, 2,
                       command_before & ~(uint64_t)PCI_COMMAND_MEMORY),
         "closing the port's windows");
    rc = p->ops->mmio_read(p, 0, registers, 4, &value);
    expect(t, MUST, rc == -EFAULT || (rc == 0 && value == 0xffffffff),
           "registers behind a port that forwards nothing read 0x%llx (%s)",
           (unsigned long long)value, strerror(-rc));
    must(t, fe_ecam_write(&s->d->host, s->port.sbdf, PCI_REG_COMMAND, 2, command_before),
         "opening the port's windows");
    expect_eq(t, MUST, device_status(s->d), 0, "the device's status behind the open window");
}

CHECK(slot_without_button_lets_go, .judges = DEVICE, .proves = "xen.hotplug.slot.button.2",
      .needs = SLOT, .timeout_ms = 60000,
      .title = "Where the guest cannot be asked for a device, it goes at once, as an event")
{
    struct slot *s = given_slot(t);

    if ((s->port.slot & PCI_SLOT_CAP_BUTTON) && (s->port.slot & PCI_SLOT_CAP_POWER))
        skip_check(t, "the guest can be asked: the slot has a button, and power to switch off");
    slot_listen(s, PCI_SLOT_PRESENCE_CHANGED);
    s->d->gone_on_purpose = true;
    ask(s, "device.ask-back");
    ask(s, "device.gone");
    expect(t, MUST, slot_interrupted(s, LIMIT_REPLY_NS), "no interrupt when the device went");
    expect(t, MUST, !(slot_status(s) & PCI_SLOT_STATUS_PRESENT), "a card that went is there");
    slot_listen(s, 0);
    put_in(s);
    device_reattach(s->d);
    expect_device_there(s->d, "back in its slot");
}

CHECK(slot_removal_by_button, .judges = DEVICE, .proves = "xen.hotplug.slot.button.1",
      .needs = SLOT, .timeout_ms = 60000,
      .title = "Asked for by its button, a device stays until the guest has switched off its power")
{
    struct slot *s = given_slot(t);
    sbdf_t at = s->d->subject->place.sbdf;
    uint64_t id = id_at(s, at);

    if (!(s->port.slot & PCI_SLOT_CAP_BUTTON) || !(s->port.slot & PCI_SLOT_CAP_POWER))
        skip_check(t, "the slot has no button, or no power that can be switched");
    slot_listen(s, PCI_SLOT_BUTTON_PRESSED);
    ask(s, "device.ask-back");
    expect(t, MUST, slot_interrupted(s, LIMIT_REPLY_NS), "no interrupt when the button is pressed");
    expect(t, MUST, slot_status(s) & PCI_SLOT_BUTTON_PRESSED, "Slot Status says of no button");
    expect_eq(t, MUST, id_at(s, at), id, "a device that was asked for, and not yet given back");
    expect(t, MUST, slot_status(s) & PCI_SLOT_STATUS_PRESENT,
           "the card was taken out before the guest gave it back");
    slot_listen(s, 0);
    s->d->gone_on_purpose = true;
    power(s, false);
    ask(s, "device.gone");
    expect(t, MUST, !(slot_status(s) & PCI_SLOT_STATUS_PRESENT),
           "a card that was given back is there");
    /* And again: its slot is without power, so the button is pressed for that. */
    slot_listen(s, PCI_SLOT_BUTTON_PRESSED);
    put_in(s);
    expect(t, MUST, slot_interrupted(s, LIMIT_REPLY_NS),
           "nobody asks for power for a card that came");
    expect(t, MUST, slot_status(s) & PCI_SLOT_PRESENCE_CHANGED, "a card that came is no event");
    expect_eq(t, MUST, id_at(s, at), 0xffffffff, "a card that has no power yet");
    slot_listen(s, 0);
    power(s, true);
    device_reattach(s->d);
    expect_device_there(s->d, "with power again");
}
