/* SPDX-License-Identifier: MIT */
/* What function.c, msix.c and host.c share; not for others. */
#ifndef RP_PCI_INTERNAL_H
#define RP_PCI_INTERNAL_H

#include "pci/function.h"
#include "pci/host.h"
#include "spec/pci.h"

struct pci_bar {
    uint64_t size_bytes; /* 0: none */
    unsigned flags;
    const struct pci_bar_ops *ops; /* borrowed */
    void *ctx;
    bool decoded;
    bool refused;           /* the host's owner could not map it where it is now */
    struct pci_range range; /* while decoded */
};

struct pci_msix {
    unsigned cap; /* offset of the capability */
    unsigned vectors;
    unsigned bar;
    uint32_t table_offset, table_bytes;
    uint32_t pba_offset, pba_bytes;
    uint8_t *table;
    uint8_t *pending; /* the PBA, as the driver reads it */
};

struct pci_function {
    uint8_t config[PCI_CONFIG_BYTES];
    uint8_t writable[PCI_CONFIG_BYTES];
    uint8_t write_one_clear[PCI_CONFIG_BYTES];
    struct pci_bar bars[PCI_BARS];
    struct pci_msix *msix;
    const struct pci_config_hooks *hooks; /* borrowed */
    void *hooks_ctx;
    unsigned cap_end;  /* first free byte behind the capabilities */
    unsigned cap_last; /* offset of the last one, 0 for none */
    unsigned ext_end, ext_last;
    bool intx_condition, intx_level;

    /* The bridge's, while attached. */
    struct pci_host *host;
    struct pci_function *next;
    sbdf_t at;
    bool multifunction;
};

/* The driver changed the command register or a BAR of f, or f came or went. */
void pci_host_update_decode(struct pci_host *h, struct pci_function *f);
void pci_host_send_msi(struct pci_host *h, const struct pci_function *f, uint64_t addr,
                       uint32_t data);
void pci_host_drive_intx(struct pci_host *h, const struct pci_function *f, unsigned pin,
                         bool level);

/* Recompute the level of the pin after any of its inputs changed. */
void pci_function_update_intx(struct pci_function *f);

/* The address that the driver programmed into a BAR. */
uint64_t pci_function_bar_address(const struct pci_function *f, unsigned bar);

/* True when the access was to the table or the PBA; then *value is set (read). */
bool pci_msix_read(struct pci_function *f, unsigned bar, uint64_t offset, unsigned bytes,
                   uint64_t *value);
bool pci_msix_write(struct pci_function *f, unsigned bar, uint64_t offset, unsigned bytes,
                    uint64_t value);
/* Send what is pending and no longer held back. */
void pci_msix_deliver(struct pci_function *f);
void pci_msix_destroy(struct pci_msix *m); /* NULL is allowed */

/* The low `bytes` bytes, all ones. */
static inline uint64_t pci_ones(unsigned bytes)
{
    return bytes >= 8 ? UINT64_MAX : (1ull << (bytes * 8)) - 1;
}

static inline bool pci_width_ok(unsigned bytes)
{
    return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

#endif
