/* SPDX-License-Identifier: MIT */
/*
 * PCI configuration space: PCI Local Bus 3.0 sections 6.1 (header), 6.7 (capabilities), 6.8.2
 * (MSI-X); PCI Express Base 4.0 sections 7.2.2 (ECAM) and 7.5.3 (PCI Express capability).
 */
#ifndef RP_SPEC_PCI_H
#define RP_SPEC_PCI_H

#include "util/types.h"

/* Registers of the header, type 0 unless said otherwise. */
enum {
    PCI_REG_VENDOR_ID = 0x00,
    PCI_REG_DEVICE_ID = 0x02,
    PCI_REG_COMMAND = 0x04,
    PCI_REG_STATUS = 0x06,
    PCI_REG_REVISION = 0x08,
    PCI_REG_CLASS = 0x09, /* 24 bits: programming interface, subclass, base class */
    PCI_REG_CACHE_LINE = 0x0c,
    PCI_REG_LATENCY_TIMER = 0x0d,
    PCI_REG_HEADER_TYPE = 0x0e,
    PCI_REG_BIST = 0x0f,
    PCI_REG_BAR0 = 0x10,
    PCI_REG_PRIMARY_BUS = 0x18, /* type 1 */
    PCI_REG_SECONDARY_BUS = 0x19,
    PCI_REG_SUBORDINATE_BUS = 0x1a,
    PCI_REG_MEMORY_BASE = 0x20,
    PCI_REG_MEMORY_LIMIT = 0x22,
    PCI_REG_PREFETCH_BASE = 0x24,
    PCI_REG_PREFETCH_LIMIT = 0x26,
    PCI_REG_PREFETCH_BASE_HIGH = 0x28,
    PCI_REG_PREFETCH_LIMIT_HIGH = 0x2c,
    PCI_REG_SUBSYSTEM_VENDOR_ID = 0x2c, /* type 0 */
    PCI_REG_SUBSYSTEM_ID = 0x2e,
    PCI_REG_ROM = 0x30,
    PCI_REG_CAPABILITIES = 0x34,
    PCI_REG_INTERRUPT_LINE = 0x3c,
    PCI_REG_INTERRUPT_PIN = 0x3d,
    PCI_REG_BRIDGE_CONTROL = 0x3e, /* type 1 */

    PCI_HEADER_BYTES = 0x40,
    PCI_LEGACY_BYTES = 0x100,    /* where extended space begins */
    PCI_EXTENDED_BYTES = 0x1000, /* configuration space of a function behind ECAM */
    PCI_ECAM_BYTES_PER_BUS = 0x100000,
    PCI_BAR_COUNT = 6,
    PCI_DEVICES_PER_BUS = 32,
    PCI_FUNCTIONS_PER_DEVICE = 8,
    PCI_VENDOR_ID_NONE = 0xffff,
};

enum {
    PCI_COMMAND_IO = 1 << 0,
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
    PCI_HEADER_TYPE_NORMAL = 0x00,
    PCI_HEADER_TYPE_BRIDGE = 0x01,
    PCI_HEADER_TYPE_MASK = 0x7f,
    PCI_HEADER_TYPE_MULTIFUNCTION = 0x80,
};

/* Low bits of a base address register. */
enum {
    PCI_BAR_TYPE_IO = 0x1,
    PCI_BAR_TYPE_64 = 0x4,
    PCI_BAR_TYPE_MASK = 0x6,
    PCI_BAR_TYPE_PREFETCHABLE = 0x8,
    PCI_BAR_FLAG_BITS = 0xf,
    PCI_BAR_IO_FLAG_BITS = 0x3,
};

/* Capability IDs. A capability is at a multiple of 4: id, next pointer, its registers. */
enum {
    PCI_CAP_POWER = 0x01,
    PCI_CAP_MSI = 0x05,
    PCI_CAP_VENDOR = 0x09,
    PCI_CAP_EXPRESS = 0x10,
    PCI_CAP_MSIX = 0x11,

    PCI_CAP_ID = 0,
    PCI_CAP_NEXT = 1,
    PCI_CAP_POINTER_MASK = 0xfc,
    /* What fits between the header and extended space: bounds every walk of the list. */
    PCI_CAP_COUNT_MAX = (PCI_LEGACY_BYTES - PCI_HEADER_BYTES) / 4,
};

/* MSI-X capability, from its first byte, and an entry of its table. */
enum {
    PCI_MSIX_CONTROL = 2,
    PCI_MSIX_TABLE = 4,
    PCI_MSIX_PBA = 8,
    PCI_MSIX_CAP_BYTES = 12,
    PCI_MSIX_CONTROL_SIZE_MASK = 0x07ff, /* entries minus one */
    PCI_MSIX_CONTROL_MASK_ALL = 0x4000,
    PCI_MSIX_CONTROL_ENABLE = 0x8000,
    PCI_MSIX_BIR_MASK = 0x7, /* of TABLE and PBA: which BAR; the rest is the offset */
    PCI_MSIX_ENTRIES_MAX = 2048,

    PCI_MSIX_ENTRY_BYTES = 16,
    PCI_MSIX_ENTRY_ADDR = 0,
    PCI_MSIX_ENTRY_ADDR_HIGH = 4,
    PCI_MSIX_ENTRY_DATA = 8,
    PCI_MSIX_ENTRY_CONTROL = 12,
    PCI_MSIX_ENTRY_MASKED = 1,
};

/* PCI Express capability, from its first byte. */
enum {
    PCI_EXP_CAPABILITIES = 0x02,
    PCI_EXP_DEVICE_CAPABILITIES = 0x04,
    PCI_EXP_DEVICE_CONTROL = 0x08,
    PCI_EXP_DEVICE_STATUS = 0x0a,
    PCI_EXP_LINK_CAPABILITIES = 0x0c,
    PCI_EXP_LINK_CONTROL = 0x10,
    PCI_EXP_LINK_STATUS = 0x12,
    PCI_EXP_SLOT_CAPABILITIES = 0x14,
    PCI_EXP_SLOT_CONTROL = 0x18,
    PCI_EXP_SLOT_STATUS = 0x1a,
    PCI_EXP_CAP_BYTES = 0x3c, /* version 2 */

    PCI_EXP_VERSION = 2,
    PCI_EXP_TYPE_SHIFT = 4,
    PCI_EXP_TYPE_ENDPOINT = 0x0,
    PCI_EXP_TYPE_ROOT_PORT = 0x4,
    PCI_EXP_TYPE_INTEGRATED_ENDPOINT = 0x9,
};

/* The header of a type 0 function as it lies in configuration space. */
struct pci_header {
    le16_t vendor_id;
    le16_t device_id;
    le16_t command;
    le16_t status;
    uint8_t revision;
    uint8_t class_code[3];
    uint8_t cache_line;
    uint8_t latency_timer;
    uint8_t header_type;
    uint8_t bist;
    le32_t bar[PCI_BAR_COUNT];
    le32_t cardbus_cis;
    le16_t subsystem_vendor_id;
    le16_t subsystem_id;
    le32_t rom;
    uint8_t capabilities;
    uint8_t reserved[7];
    uint8_t interrupt_line;
    uint8_t interrupt_pin;
    uint8_t min_grant;
    uint8_t max_latency;
};
_Static_assert(sizeof(struct pci_header) == PCI_HEADER_BYTES, "6.1");
_Static_assert(offsetof(struct pci_header, command) == PCI_REG_COMMAND, "6.1");
_Static_assert(offsetof(struct pci_header, class_code) == PCI_REG_CLASS, "6.1");
_Static_assert(offsetof(struct pci_header, header_type) == PCI_REG_HEADER_TYPE, "6.1");
_Static_assert(offsetof(struct pci_header, bar) == PCI_REG_BAR0, "6.1");
_Static_assert(offsetof(struct pci_header, subsystem_id) == PCI_REG_SUBSYSTEM_ID, "6.1");
_Static_assert(offsetof(struct pci_header, capabilities) == PCI_REG_CAPABILITIES, "6.1");
_Static_assert(offsetof(struct pci_header, interrupt_pin) == PCI_REG_INTERRUPT_PIN, "6.1");

struct pci_msix_entry {
    le32_t addr_low;
    le32_t addr_high;
    le32_t data;
    le32_t control;
};
_Static_assert(sizeof(struct pci_msix_entry) == PCI_MSIX_ENTRY_BYTES, "6.8.2");
_Static_assert(offsetof(struct pci_msix_entry, control) == PCI_MSIX_ENTRY_CONTROL, "6.8.2");

#endif
