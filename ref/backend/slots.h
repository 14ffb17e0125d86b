/* SPDX-License-Identifier: MIT */
/*
 * Root ports with a hot-plug slot each (pci/port.h), and the devices in these slots.
 *
 * A device in a slot has a function number of its port, and its bus is what the guest says. So it
 * keeps the address that the toolstack gave it as a name only: claims, Xenstore and this program's
 * messages use that, whatever the guest calls it.
 *
 * A card that comes while the guest runs is an event, and one that goes as well. Where the slot has
 * no power, because the guest switched it off when nothing was there, the attention button is
 * pressed too: it asks for power. To have a card back without harm to what uses it, the button is
 * pressed, and the card is taken out when the guest has switched the power off.
 */
#ifndef RP_BACKEND_SLOTS_H
#define RP_BACKEND_SLOTS_H

#include "backend/bridge.h"
#include "pci/port.h"

#define SLOTS_MAX       16u
#define SLOTS_WHY_BYTES 128

struct root_port {
    sbdf_t at;
    struct pci_port_options options;
};

struct slots;

struct slots_ops {
    /* The guest has given back a device that it was asked for: it is to be detached now. */
    void (*given_back)(void *ctx, sbdf_t at);
};

/* "sbdf=0000:00:02.0,slot=1,button=0,...", see root_port_help. -EINVAL, with why. */
int root_port_parse(struct root_port *port, const char *text, char why[SLOTS_WHY_BYTES]);
extern const char root_port_help[];

/* Puts the ports onto their buses. `b`, `ops` and `ctx` are borrowed. Errors as of bridges_attach,
 * or -ENOMEM. */
int slots_create(struct bridges *b, const struct root_port *list, unsigned count,
                 const struct slots_ops *ops, void *ctx, struct slots **out);
/* Every device has to be detached. NULL is allowed. */
void slots_destroy(struct slots *s);

/* While the guest is served, what comes and goes is an event. NULL is allowed. */
void slots_set_live(struct slots *s, bool live);

/* -ENOENT: there is no such port; else as bridges_attach. */
int slots_attach(struct slots *s, sbdf_t port, sbdf_t at, struct pci_function *f,
                 uint64_t *interrupts);
/* At once, whether or not the guest is ready for it. */
void slots_detach(struct slots *s, sbdf_t at);

/* Ask the guest to give the device back. False: there is nobody to ask (it is in no slot, the slot
 * has no button or cannot be switched off, or is off already), and it can be detached. */
bool slots_ask_back(struct slots *s, sbdf_t at); /* s: NULL is allowed */

#endif
