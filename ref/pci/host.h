/* SPDX-License-Identifier: MIT */
/*
 * A PCI host bridge: one segment, a range of buses, an ECAM window and memory windows.
 *
 * The bridge knows nothing of how accesses reach it. Whoever drives it (an IOREQ loop, a test)
 * hands in guest-physical accesses, or configuration accesses that somebody else has decoded,
 * and gets the outputs by callback.
 *
 * ECAM (PCIe 7.2.2): offset = bus 27-20, device 19-15, function 14-12, register 11-0, bus counted
 * from the first bus of the bridge. An access to a function that does not exist reads all ones.
 * All of the window is claimed, so that no access in it is anybody else's.
 *
 * A bus that the guest has put behind a root port (pci/port.h) is that port's; all others are the
 * bridge's own, as if it had a root bus for each.
 *
 * Functions come and go at run time. Bit 7 of the header type of every function of a device that
 * has more than one is set (PCI 3.0 6.2.1), whatever the function's owner stored there.
 */
#ifndef RP_PCI_HOST_H
#define RP_PCI_HOST_H

#include "pci/function.h"

struct pci_port;

#define PCI_HOST_PORTS_MAX   32u
#define PCI_HOST_WINDOWS_MAX 4u

/* A guest-physical range, both ends included. */
struct pci_range {
    uint64_t first, last;
};

struct pci_host_config {
    uint16_t segment;
    uint8_t bus_first, bus_last;
    uint64_t ecam_base; /* 1 MiB a bus; ecam_bytes 0: no ECAM, configuration by sbdf only */
    uint64_t ecam_bytes;
    struct pci_range windows[PCI_HOST_WINDOWS_MAX]; /* where BARs may be decoded */
    unsigned window_count;
};

struct pci_host_ops {
    /* Deliver a message-signalled interrupt: a 32-bit write of data to a guest address. */
    void (*msi)(void *ctx, sbdf_t from, uint64_t addr, uint32_t data);
    /* The level of a function's pin (1 = INTA .. 4 = INTD) changed. */
    void (*intx)(void *ctx, sbdf_t from, unsigned pin, bool level);
    /* A BAR is decoded from now on at this range. On an error it stays undecoded until the
     * driver moves it or toggles memory space. May be NULL. */
    int (*bar_mapped)(void *ctx, sbdf_t of, unsigned bar, struct pci_range range);
    /* ... is not decoded any more. May be NULL. */
    void (*bar_unmapped)(void *ctx, sbdf_t of, unsigned bar, struct pci_range range);
    /* The driver gave the port at `port` another bus: what is in its slot is there from now on. May
     * be NULL. */
    void (*bus_moved)(void *ctx, sbdf_t port);
};

/* `ops` and `ctx` are borrowed. -EINVAL: an empty bus range, an ECAM window that is too small
 * for the buses or not 1 MiB aligned, windows that wrap, overlap each other or the ECAM. */
int pci_host_create(const struct pci_host_config *config, const struct pci_host_ops *ops, void *ctx,
                    struct pci_host **out);
/* Detaches all functions first (they stay their owners'). NULL is allowed. */
void pci_host_destroy(struct pci_host *h);

const struct pci_host_config *pci_host_get_config(const struct pci_host *h);

/* True when the bus of sbdf is one of the bridge's. */
bool pci_host_serves(const struct pci_host *h, sbdf_t sbdf);

/* Put a function on the bus; borrowed until detached. -EINVAL: not a bus of ours; -EEXIST: the
 * place is taken; -EBUSY: attached elsewhere. */
int pci_host_attach(struct pci_host *h, sbdf_t at, struct pci_function *f);
/*
 * Put a function into the slot of a port that is on the first bus. `at` is its name for the
 * callbacks; of it only the number of the function is the guest's, which finds it on whatever bus
 * it gives to the port. It answers once there is a card in the slot (pci_port_set_card). -EINVAL:
 * the port is elsewhere, a device other than 0; -EEXIST; -EBUSY; -ENOMEM.
 */
int pci_host_attach_behind(struct pci_host *h, struct pci_port *port, sbdf_t at,
                           struct pci_function *f);
/* Undecodes its BARs and drops its interrupt pin. Its registers keep their values. */
void pci_host_detach(struct pci_host *h, struct pci_function *f);
/* NULL when nothing is there. */
struct pci_function *pci_host_find(const struct pci_host *h, sbdf_t at);

/* Configuration access by address of function; bytes 1, 2, 4 or 8. An access never crosses into
 * the next function: bytes past the 4096 read as ones. */
uint64_t pci_host_config_read(struct pci_host *h, sbdf_t at, unsigned offset, unsigned bytes);
void pci_host_config_write(struct pci_host *h, sbdf_t at, unsigned offset, unsigned bytes,
                           uint64_t value);

/*
 * A guest-physical access: ECAM or a decoded BAR. Returns false, reading all ones, when the
 * address belongs to neither. An access that begins in a range and passes its end is answered for
 * its part inside (ECAM) or with ones (BAR). A value is all ones above `bytes` never: it is
 * truncated to the access.
 */
bool pci_host_read(struct pci_host *h, uint64_t addr, unsigned bytes, uint64_t *value);
bool pci_host_write(struct pci_host *h, uint64_t addr, unsigned bytes, uint64_t value);

#endif
