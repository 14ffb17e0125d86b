/* SPDX-License-Identifier: MIT */
/* The root port that the bound device is behind, for checks whose guest is its driver. */
#ifndef RP_CONFORMANCE_SLOT_H
#define RP_CONFORMANCE_SLOT_H

#include "conformance/given.h"
#include "frontend/port.h"

#define SLOT_CHANGES (PCI_SLOT_PRESENCE_CHANGED | PCI_SLOT_STATUS_LINK_CHANGED)

struct slot {
    struct check_ctx *t;
    struct device *d;
    struct fe_port port;
};

/* Opened, with its interrupt; what it says at the end of the check is heard by nobody. */
struct slot *given_slot(struct check_ctx *t);

uint16_t slot_status(struct slot *s);
void slot_clear(struct slot *s, uint16_t events);
/* Change bits of Slot Control, and wait for the completion. */
void slot_command(struct slot *s, uint16_t mask, uint16_t value);
/* Events from now on: these, and none that happened before. */
void slot_listen(struct slot *s, uint16_t enables);
bool slot_interrupted(struct slot *s, uint64_t timeout_ns);

#endif
