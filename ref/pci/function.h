/* SPDX-License-Identifier: MIT */
/*
 * One PCI function: its configuration space, capabilities, base address registers, MSI-X and INTx.
 *
 * A function is built by its owner (a virtio transport, say), then attached to a host bridge
 * (pci/host.h), which is the only thing that talks to the outside: it routes accesses in and
 * carries messages, interrupt levels and changes of decoded ranges out. A function that is
 * attached nowhere keeps all its state and is silent.
 *
 * Configuration space is 4096 bytes: the 256 of PCI plus the extended part that ECAM reaches.
 * Each bit is read-only, writable or write-one-to-clear, by a mask beside the data. Two things
 * can be hooked: `before_read` lets the owner refresh bytes whose reading has side effects, and
 * `written` tells it what changed.
 *
 * Base address registers are memory ones, 32 or 64 bits wide. A range is *decoded* while memory
 * space is enabled in the command register, the address lies in a window of the bridge and no
 * other decoded range overlaps it.
 *
 * Interrupts follow PCI 3.0 section 6.8 (MSI-X) and 2.2.6 (INTx): a message for a masked vector,
 * a masked function or one that may not master the bus stays pending in the PBA and is sent when
 * the obstacle goes; while MSI-X is enabled, INTx is not driven.
 *
 * One thread uses a function and its bridge.
 */
#ifndef RP_PCI_FUNCTION_H
#define RP_PCI_FUNCTION_H

#include "util/types.h"

#define PCI_CONFIG_BYTES     4096u
#define PCI_BARS             6u
#define PCI_MSIX_VECTORS_MAX 2048u

struct pci_function;
struct pci_host;

struct pci_ident {
    uint16_t vendor_id, device_id;
    uint16_t subsystem_vendor_id, subsystem_id;
    uint32_t class_code; /* 24 bits: base class, subclass, programming interface */
    uint8_t revision;
    uint8_t interrupt_pin; /* 1 to 4 for INTA to INTD, 0 for none */
};

/* Never called with an access that leaves the register range or is not 1, 2, 4 or 8 bytes wide;
 * an access may be unaligned. */
struct pci_bar_ops {
    uint64_t (*read)(void *ctx, uint64_t offset_bytes, unsigned bytes);
    void (*write)(void *ctx, uint64_t offset_bytes, unsigned bytes, uint64_t value);
};

struct pci_config_hooks {
    /* The driver is about to read [offset, offset + bytes). May be NULL. */
    void (*before_read)(void *ctx, unsigned offset, unsigned bytes);
    /* The driver wrote there and the writable bits have been stored. May be NULL. */
    void (*written)(void *ctx, unsigned offset, unsigned bytes);
    /* MSI-X was enabled or disabled. May be NULL. */
    void (*msix_switched)(void *ctx, bool enabled);
    /* The slot that it is in lost its power or was reset: configuration space is as at first, and
     * the owner's own state is to follow. May be NULL. */
    void (*reset)(void *ctx);
};

enum pci_bar_flags {
    PCI_BAR_64BIT = 1,        /* takes this register and the next */
    PCI_BAR_PREFETCHABLE = 2, /* only with PCI_BAR_64BIT */
};

/* A function with a type 0 header and nothing else. -EINVAL: a pin or class out of range. */
int pci_function_create(const struct pci_ident *ident, struct pci_function **out);

/* Detaches it first. NULL is allowed. */
void pci_function_destroy(struct pci_function *f);

/*
 * Give the function a memory range of size_bytes (a power of two, at least 16, below 2 GiB for a
 * 32-bit register) in register `index`. `ops` and `ctx` are borrowed. -EINVAL, or -EBUSY when the
 * register is taken or the function is attached.
 */
int pci_function_add_bar(struct pci_function *f, unsigned index, uint64_t size_bytes,
                         unsigned flags, const struct pci_bar_ops *ops, void *ctx);

/*
 * Append a capability of `bytes` bytes (the two header bytes included; `body` is what follows
 * them, bytes - 2 long, copied, read-only for the driver until pci_function_set_mask). Returns
 * its offset in configuration space, or -ENOSPC, -EINVAL.
 */
int pci_function_add_capability(struct pci_function *f, uint8_t id, const void *body,
                                unsigned bytes);

/* The same in extended space (PCIe 7.6.3); `bytes` includes the four header bytes. */
int pci_function_add_ext_capability(struct pci_function *f, uint16_t id, unsigned version,
                                    const void *body, unsigned bytes);

/*
 * The PCI Express capability (PCIe 7.5.3) that makes software use the extended space.
 * `port_type` as in the capability's register: 0 endpoint, 4 root port, 9 root complex integrated
 * endpoint. All but the last have a link of one lane at 2.5 GT/s.
 */
int pci_function_add_express(struct pci_function *f, unsigned port_type);

/*
 * MSI-X with `vectors` vectors: table at table_offset and PBA at pba_offset of BAR `bar`, both
 * 8-byte aligned and not overlapping each other. Accesses to these parts of the BAR no longer
 * reach the owner's ops. The BAR has to exist. -EINVAL, -ENOSPC, -ENOMEM, -EBUSY (has one).
 */
int pci_function_add_msix(struct pci_function *f, unsigned vectors, unsigned bar,
                          uint32_t table_offset, uint32_t pba_offset);

/* Make `bits` of the byte at `offset` writable, or write-one-to-clear. */
void pci_function_set_mask(struct pci_function *f, unsigned offset, uint8_t writable,
                           uint8_t write_one_clear);
/* `hooks` and `ctx` are borrowed. */
void pci_function_set_hooks(struct pci_function *f, const struct pci_config_hooks *hooks,
                            void *ctx);

/* The owner's own access to configuration space: masks and hooks do not apply. Out of range is
 * an error of the caller's (asserted). bytes: 1, 2 or 4. */
uint32_t pci_function_peek(const struct pci_function *f, unsigned offset, unsigned bytes);
void pci_function_poke(struct pci_function *f, unsigned offset, unsigned bytes, uint32_t value);

/*
 * The driver's access to configuration space. Any offset and 1, 2, 4 or 8 bytes: bytes past the
 * end of the space read as ones and ignore writes, as does everything with another width.
 */
uint64_t pci_function_config_read(struct pci_function *f, unsigned offset, unsigned bytes);
void pci_function_config_write(struct pci_function *f, unsigned offset, unsigned bytes,
                               uint64_t value);

/* The driver's access to a BAR, whether or not the BAR is decoded now. Out of range or not
 * 1, 2, 4, 8 bytes: ones, ignored. */
uint64_t pci_function_bar_read(struct pci_function *f, unsigned bar, uint64_t offset,
                               unsigned bytes);
void pci_function_bar_write(struct pci_function *f, unsigned bar, uint64_t offset, unsigned bytes,
                            uint64_t value);
/* 0 when there is no such BAR (the upper half of a 64-bit one included). */
uint64_t pci_function_bar_size(const struct pci_function *f, unsigned bar);

bool pci_function_msix_enabled(const struct pci_function *f);
unsigned pci_function_msix_vectors(const struct pci_function *f);
/* Send, or leave pending, the message of a vector. A vector out of range is ignored. */
void pci_function_msix_notify(struct pci_function *f, unsigned vector);
/* Drop all pending messages: the function was reset by a way of its own. */
void pci_function_msix_forget(struct pci_function *f);

/* The function's own interrupt condition; the pin follows it as the command register and MSI-X
 * allow, and the status register shows it in any case. */
void pci_function_set_intx(struct pci_function *f, bool asserted);

/* Where it is attached. */
bool pci_function_attached(const struct pci_function *f, sbdf_t *at);

#endif
