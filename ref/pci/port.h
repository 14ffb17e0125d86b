/* SPDX-License-Identifier: MIT */
/*
 * A PCI Express root port with a hot-plug slot: a bridge of one link, at whose other end is a card
 * or nothing.
 *
 * It is a function with a type 1 header on the first bus of a host bridge. The driver gives it the
 * numbers of the buses behind it and windows of memory to forward; a function in the slot answers
 * there and nowhere else: device 0 of the secondary bus (PCIe 7.3.1), BARs in the windows
 * (7.5.1.3).
 *
 * The slot (PCIe 6.7, 7.5.3.9 to 7.5.3.11) reports whether a card is in it, by a pin that needs no
 * power, and whether the link is up (Data Link Layer Link Active). Each change is an event: a bit
 * that stays until the driver writes 1 to it, and an interrupt if the driver enabled it, by MSI or
 * by INTA. The driver switches the power and the indicators; each write to Slot Control is a
 * command, and its completion an event, unless the slot says that it reports none. There is no
 * sensor of power faults, no latch and no lock.
 *
 * The link is up while a card is in the slot, the slot has power, the driver has not disabled the
 * link and does not hold the secondary bus in reset. While it is down nothing of the slot answers,
 * is decoded or sends; whatever was in there is reset when it goes down.
 */
#ifndef RP_PCI_PORT_H
#define RP_PCI_PORT_H

#include "pci/function.h"

struct pci_port;

struct pci_port_options {
    uint32_t slot_number; /* up to 8191, unique in the machine */
    /* INTx pin, 0 chooses INTA. Linux 6.12 (vp_synchronize_vectors) waits for ever when it takes
     * away a virtio device that shares its line with the port, so that another pin is of use where
     * there are no MSIs. */
    uint8_t interrupt_pin;
    bool no_button, no_power, no_indicators;
    bool no_command_completed; /* commands take effect at once, and nothing says so */
    bool no_surprise;          /* a card is never taken out without warning */
};

struct pci_port_ops {
    /* The driver switched the slot's power; its link has followed. May be NULL. A card may be put
     * in or taken out from there. */
    void (*powered)(void *ctx, bool on);
};

/* `ops` and `ctx` are borrowed. The power is on at first. -EINVAL: a slot number out of range. */
int pci_port_create(const struct pci_port_options *options, const struct pci_port_ops *ops,
                    void *ctx, struct pci_port **out);
/* Detaches it, and what is in its slot. NULL is allowed. */
void pci_port_destroy(struct pci_port *p);

/* To be attached to the first bus of a host bridge; owned by p. What is in the slot is attached
 * with pci_host_attach_behind. */
struct pci_function *pci_port_function(struct pci_port *p);

/*
 * The functions that were attached behind the port are now a card in the slot; or the card has
 * gone, and they are to be detached. `hot`: this is an event for the driver.
 */
void pci_port_set_card(struct pci_port *p, bool present, bool hot);
/* Somebody presses the attention button: nothing happens on a slot without one. */
void pci_port_press_button(struct pci_port *p);

/* The bus that the driver has given to it, on which its slot is; 0: none yet. */
unsigned pci_port_bus(const struct pci_port *p);

bool pci_port_has_card(const struct pci_port *p);
bool pci_port_has_button(const struct pci_port *p);
bool pci_port_is_powered(const struct pci_port *p);
bool pci_port_link_active(const struct pci_port *p);

#endif
