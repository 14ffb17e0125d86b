/* SPDX-License-Identifier: MIT */
/*
 * A root port with a hot-plug slot, driver side (PCI Express 6.7, 7.5.1.3, 7.5.3): as much as it
 * takes to find what comes into the slot, and to let it go.
 *
 * The port forwards the whole memory window of its host bridge, so that BARs behind it are given
 * out as anywhere else (frontend/pci.h).
 *
 * All functions return 0 or a negative error of frontend/pci.h unless said otherwise.
 */
#ifndef RP_FRONTEND_PORT_H
#define RP_FRONTEND_PORT_H

#include "frontend/pci.h"

struct fe_port {
    struct fe_pci_host *host; /* borrowed */
    sbdf_t sbdf;
    uint8_t bus;           /* behind it */
    unsigned express, msi; /* offsets of capabilities; msi 0: none */
    uint32_t slot;         /* Slot Capabilities */
    fe_irq_t irq;          /* 0: none was taken */
    uint8_t pin;
};

/*
 * Identify a port and give it bus numbers and windows; nothing of its slot is touched. Doing so
 * twice is no harm. -ENODEV: nothing is there; -ENOTSUP: it is no root port with a hot-plug slot;
 * -EPROTO: its capabilities are broken.
 */
int fe_port_open(struct fe_pci_host *h, sbdf_t sbdf, uint8_t bus, struct fe_port *p);
/* Disables and frees the interrupt. */
void fe_port_close(struct fe_port *p);

int fe_port_slot_status(struct fe_port *p, uint16_t *status);
int fe_port_link_active(struct fe_port *p, bool *active);
/* Write ones to event bits of Slot Status. */
int fe_port_clear(struct fe_port *p, uint16_t events);

/* Change bits of Slot Control: one command, whose completion is waited for where the slot reports
 * it (and cleared). -ETIMEDOUT: it does not complete within timeout_ns. */
int fe_port_command(struct fe_port *p, uint16_t mask, uint16_t value, uint64_t timeout_ns);

/* An interrupt for the events that Slot Control enables (PCI_SLOT_CONTROL_INTERRUPT included): by
 * MSI where the platform has them, else on the pin. */
int fe_port_irq(struct fe_port *p);

#endif
