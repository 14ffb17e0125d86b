/* SPDX-License-Identifier: MIT */
/* What function.c, msix.c and host.c share; not for others. */
#ifndef RP_PCI_INTERNAL_H
#define RP_PCI_INTERNAL_H

#include "pci/function.h"
#include "pci/host.h"
#include "pci/port.h"
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
    struct pci_port *port;   /* the port that this function is, or NULL */
    struct pci_port *behind; /* the port whose slot it is in, or NULL: on a bus of the bridge */
    uint8_t *cold;           /* configuration space as it was put into the slot */
};

/* The driver changed the command register or a BAR of f, or f came or went. */
void pci_host_update_decode(struct pci_host *h, struct pci_function *f);
void pci_host_send_msi(struct pci_host *h, const struct pci_function *f, uint64_t addr,
                       uint32_t data);
void pci_host_drive_intx(struct pci_host *h, const struct pci_function *f, unsigned pin,
                         bool level);

/* The driver changed the number of the bus behind a port. */
void pci_host_move_bus(struct pci_host *h, const struct pci_function *port);

/* As power that goes and comes leaves it: registers as they were when it was put into the slot. */
void pci_function_reset(struct pci_function *f);

/* ---- what host.c asks of a port ---- */
/* Whether configuration requests for the bus go to the port's link, whatever answers there. */
bool pci_port_has_bus(const struct pci_port *p, unsigned bus);
/* The function of its slot that answers there, or NULL. */
struct pci_function *pci_port_find(const struct pci_port *p, sbdf_t at);
/* Whether it forwards the range to its slot, and messages out of it. */
bool pci_port_forwards(const struct pci_port *p, struct pci_range range);
bool pci_port_forwards_up(const struct pci_port *p);
/* -EINVAL: no such place in a slot; -EEXIST: it is taken. */
int pci_port_put(struct pci_port *p, unsigned device, unsigned function, struct pci_function *f);
void pci_port_take(struct pci_port *p, struct pci_function *f);

/* Recompute the level of the pin after any of its inputs changed. */
void pci_function_update_intx(struct pci_function *f);

/* The address that the driver programmed into a BAR. */
uint64_t pci_function_bar_address(const struct pci_function *f, unsigned bar);

/* True when the access was to the table or the PBA; then *value is set (read). */
bool pci_msix_read(struct pci_function *f, unsigned bar, uint64_t offset, unsigned bytes,
                   uint64_t *value);
bool pci_msix_write(struct pci_function *f, unsigned bar, uint64_t offset, unsigned bytes,
                    uint64_t value);
/* All vectors masked and none pending. */
void pci_msix_reset(struct pci_msix *m);
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
