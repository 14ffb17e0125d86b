/* SPDX-License-Identifier: MIT */
#include "conformance/slot.h"

#include <errno.h>
#include <stdlib.h>

#include "spec/pci.h"

#define EVENTS  (SLOT_CHANGES | PCI_SLOT_BUTTON_PRESSED | PCI_SLOT_COMMAND_COMPLETED)
#define ENABLES (PCI_SLOT_EVENTS_MASK | PCI_SLOT_CONTROL_INTERRUPT | PCI_SLOT_CONTROL_LINK_CHANGED)

uint16_t slot_status(struct slot *s)
{
    uint16_t value;

    must(s->t, fe_port_slot_status(&s->port, &value), "reading Slot Status");
    return value;
}

void slot_clear(struct slot *s, uint16_t events)
{
    must(s->t, fe_port_clear(&s->port, events), "clearing events of the slot");
}

void slot_command(struct slot *s, uint16_t mask, uint16_t value)
{
    int rc = fe_port_command(&s->port, mask, value, LIMIT_REPLY_NS);

    expect(s->t, MUST, rc != -ETIMEDOUT, "a command to the slot does not complete");
    must(s->t, rc == -ETIMEDOUT ? 0 : rc, "a command to the slot");
}

void slot_listen(struct slot *s, uint16_t enables)
{
    slot_command(s, ENABLES, 0);
    slot_clear(s, EVENTS);
    slot_command(s, ENABLES, enables | (enables ? PCI_SLOT_CONTROL_INTERRUPT : 0));
    while (s->d->subject->platform->ops->irq_wait(s->d->subject->platform, s->port.irq, 0) == 1)
        continue;
}

bool slot_interrupted(struct slot *s, uint64_t timeout_ns)
{
    struct fe_platform *p = s->d->subject->platform;
    int rc = p->ops->irq_wait(p, s->port.irq, timeout_ns);

    must(s->t, rc < 0 ? rc : 0, "waiting for the slot's interrupt");
    return rc == 1;
}

static void slot_end(void *arg)
{
    struct slot *s = arg;

    (void)fe_port_command(&s->port, ENABLES, 0, LIMIT_QUIET_NS);
    fe_port_close(&s->port);
    free(s);
}

struct slot *given_slot(struct check_ctx *t)
{
    struct device *d = given_device(t);
    const struct fe_place *place = &d->subject->place;
    struct slot *s = calloc(1, sizeof(*s));

    if (!s)
        error_out(t, "no memory");
    s->t = t;
    s->d = d;
    must(t, fe_port_open(&d->host, place->port, (uint8_t)sbdf_bus(place->sbdf), &s->port),
         "opening the root port");
    check_defer(t, slot_end, s);
    if (fe_port_irq(&s->port))
        skip_check(t, "the platform takes no interrupt of a root port");
    return s;
}
