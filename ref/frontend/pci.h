/* SPDX-License-Identifier: MIT */
/*
 * PCI as a guest sees it through ECAM.
 *
 * A *host* is one ECAM window with the bus numbers behind it and a window of free addresses from
 * which the driver assigns BARs: nothing has been assigned by firmware. A *function* is what a
 * scan found; opening one reads its identity, sizes its BARs and parses what the library needs
 * of its capabilities.
 *
 * The other side of every access is a device model in another domain that is not trusted: sizes,
 * offsets and links are bounded here, so that a wrong device costs an error and never a hang or
 * an access outside its own BARs.
 *
 * Functions take the vCPU from the host or from the argument; see platform.h for threads.
 * Errors of the platform (-EFAULT abort, -ETIMEDOUT hung, -ESHUTDOWN) pass through everywhere.
 */
#ifndef RP_FRONTEND_PCI_H
#define RP_FRONTEND_PCI_H

#include "frontend/platform.h"
#include "util/types.h"

#define FE_PCI_BARS         6
#define FE_PCI_CAPS_MAX     48 /* (256 - 64) / 4: more than fit are a loop */
#define FE_PCI_CONFIG_BYTES 4096u
#define FE_PCI_RANGES_MAX   64

/* A part of the BAR window that is in use. */
struct fe_pci_range {
    uint64_t addr, bytes; /* bytes == 0: the slot is free */
    sbdf_t owner;
};

struct fe_pci_host {
    struct fe_platform *platform; /* borrowed */
    struct fe_host_bridge bridge;
    unsigned vcpu; /* issues the configuration accesses */
    struct fe_pci_range ranges[FE_PCI_RANGES_MAX];
};

void fe_pci_host_init(struct fe_pci_host *h, struct fe_platform *p,
                      const struct fe_host_bridge *bridge);

/* Guest-physical address of a function's configuration space; -ENOENT when the segment or bus
 * is not behind this host, or its ECAM does not reach that far. */
int fe_ecam_addr(const struct fe_pci_host *h, sbdf_t sbdf, unsigned offset, uint64_t *addr);

/* Configuration accesses of 1, 2, 4 or 8 bytes; offset + bytes <= 4096 or -EINVAL. */
int fe_ecam_read(struct fe_pci_host *h, sbdf_t sbdf, unsigned offset, unsigned bytes,
                 uint64_t *value);
int fe_ecam_write(struct fe_pci_host *h, sbdf_t sbdf, unsigned offset, unsigned bytes,
                  uint64_t value);

/*
 * Call `found` for every function that answers with a vendor, functions 1-7 only where function
 * 0 has the multi-function bit, as operating systems do. An aborted access means "nothing
 * there". A non-zero return of `found` ends the scan and is returned.
 */
int fe_pci_scan(struct fe_pci_host *h, int (*found)(void *ctx, sbdf_t sbdf, uint32_t vendor_device),
                void *ctx);

struct fe_pci_bar {
    uint64_t bytes; /* 0: not implemented, or the upper half of a 64-bit BAR */
    uint64_t addr;  /* assigned, 0 while not */
    bool is_io, is_64bit, is_prefetchable;
};

struct fe_pci_cap {
    uint8_t offset, id;
};

struct fe_pci_msix {
    uint8_t cap_offset; /* 0: no MSI-X */
    uint8_t table_bar, pba_bar;
    uint16_t vectors;
    uint32_t table_offset, pba_offset;
};

struct fe_pci_func {
    struct fe_pci_host *host; /* borrowed */
    sbdf_t sbdf;
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits */
    uint8_t revision, header_type, irq_pin;
    struct fe_pci_bar bars[FE_PCI_BARS];
    struct fe_pci_cap caps[FE_PCI_CAPS_MAX];
    unsigned nr_caps;
    struct fe_pci_msix msix;
};

/*
 * Identify a function, size its BARs and walk its capabilities. Decoding is off afterwards.
 * -ENODEV: nothing there; -ENOTSUP: a header type other than 0; -EPROTO: the capability list
 * loops, is not aligned or leads into the header; or MSI-X does not fit its BAR.
 */
int fe_pci_func_open(struct fe_pci_host *h, sbdf_t sbdf, struct fe_pci_func *f);

/* Give back the BAR addresses; the function stops decoding if it still answers. */
void fe_pci_func_close(struct fe_pci_func *f);

/* Walk the list as it is, without judging it. Returns the number of entries put into caps, or
 * -EPROTO with *count entries when the list is broken. */
int fe_pci_caps_walk(struct fe_pci_host *h, sbdf_t sbdf, struct fe_pci_cap *caps, unsigned *count);

/* Offset of the next capability with this id behind `after` (0: from the start); 0: none. */
unsigned fe_pci_cap_find(const struct fe_pci_func *f, uint8_t id, unsigned after);

/* Write all ones to the BARs and read the masks back (PCI 3.0, 6.2.5.1). Fills f->bars sizes and
 * leaves addresses at 0 and decoding off. -EPROTO: a mask that is no power of two. */
int fe_pci_bars_size(struct fe_pci_func *f);

/* Take addresses from the host's window for all memory BARs and write them. -ENOSPC. */
int fe_pci_bars_assign(struct fe_pci_func *f);

/* Put one BAR at an address of the caller's choice inside the window (tests move BARs). */
int fe_pci_bar_set(struct fe_pci_func *f, unsigned bar, uint64_t addr);

/* Set and clear PCI_COMMAND_* bits. */
int fe_pci_command(struct fe_pci_func *f, uint16_t set, uint16_t clear);

/* Accesses inside a BAR, refused with -ERANGE when they would leave it or it is not assigned. */
int fe_pci_bar_read(struct fe_pci_func *f, unsigned vcpu, unsigned bar, uint64_t offset,
                    unsigned bytes, uint64_t *value);
int fe_pci_bar_write(struct fe_pci_func *f, unsigned vcpu, unsigned bar, uint64_t offset,
                     unsigned bytes, uint64_t value);

/* Program a table entry and its mask bit; -ENOENT without MSI-X, -ERANGE past the table. */
int fe_pci_msix_set(struct fe_pci_func *f, unsigned vector, const struct fe_msi *msi, bool masked);
int fe_pci_msix_mask(struct fe_pci_func *f, unsigned vector, bool masked);
int fe_pci_msix_enable(struct fe_pci_func *f, bool enable);

/* Is the function still there? 0, or -ENODEV. Cheap: one read. */
int fe_pci_present(struct fe_pci_host *h, sbdf_t sbdf);

#endif
