/* SPDX-License-Identifier: MIT */
/*
 * Offsets and bits of PCI configuration space that the module implements: PCI Local Bus 3.0
 * section 6.1 (header), 6.8.2 (MSI-X), PCI Express 4.0 section 7.5.3 (PCI Express capability).
 */
#ifndef RP_PCI_REGS_H
#define RP_PCI_REGS_H

enum {
    PCI_REG_VENDOR_ID = 0x00,
    PCI_REG_DEVICE_ID = 0x02,
    PCI_REG_COMMAND = 0x04,
    PCI_REG_STATUS = 0x06,
    PCI_REG_REVISION = 0x08,
    PCI_REG_CLASS = 0x09,
    PCI_REG_CACHE_LINE = 0x0c,
    PCI_REG_HEADER_TYPE = 0x0e,
    PCI_REG_BAR0 = 0x10,
    PCI_REG_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_REG_SUBSYSTEM_ID = 0x2e,
    PCI_REG_CAPABILITIES = 0x34,
    PCI_REG_INTERRUPT_LINE = 0x3c,
    PCI_REG_INTERRUPT_PIN = 0x3d,
    PCI_HEADER_BYTES = 0x40,
    PCI_LEGACY_BYTES = 0x100, /* where extended space begins */
};

enum {
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_PARITY = 1 << 6,
    PCI_COMMAND_SERR = 1 << 8,
    PCI_COMMAND_INTX_DISABLE = 1 << 10,
};

enum {
    PCI_STATUS_INTERRUPT = 1 << 3,
    PCI_STATUS_CAPABILITIES = 1 << 4,
};

enum {
    PCI_HEADER_TYPE_MULTIFUNCTION = 0x80,
};

enum {
    PCI_BAR_TYPE_64 = 0x4,
    PCI_BAR_TYPE_PREFETCHABLE = 0x8,
    PCI_BAR_FLAG_BITS = 0xf,
};

enum {
    PCI_CAP_EXPRESS = 0x10,
    PCI_CAP_MSIX = 0x11,
};

/* MSI-X capability, from its first byte, and table entry (16 bytes). */
enum {
    PCI_MSIX_CONTROL = 2,
    PCI_MSIX_TABLE = 4,
    PCI_MSIX_PBA = 8,
    PCI_MSIX_CAP_BYTES = 12,
    PCI_MSIX_CONTROL_ENABLE = 0x8000,
    PCI_MSIX_CONTROL_MASK_ALL = 0x4000,
    PCI_MSIX_ENTRY_BYTES = 16,
    PCI_MSIX_ENTRY_CONTROL = 12,
    PCI_MSIX_ENTRY_MASKED = 1,
};

#endif
