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
    PCI_EXP_LINK_CAPABILITIES_2 = 0x2c,
    PCI_EXP_CAP_BYTES = 0x3c, /* version 2 */

    PCI_EXP_VERSION = 2,
    PCI_EXP_TYPE_SHIFT = 4,
    PCI_EXP_TYPE_ENDPOINT = 0x0,
    PCI_EXP_TYPE_ROOT_PORT = 0x4,
    PCI_EXP_TYPE_INTEGRATED_ENDPOINT = 0x9,
    PCI_EXP_TYPE_MASK = 0xf,
    PCI_EXP_SLOT_IMPLEMENTED = 1 << 8,

    PCI_EXP_ROLE_BASED_ERRORS = 1 << 15, /* of device capabilities */
};

/* The link's registers (7.5.3.6 to 7.5.3.8). */
enum {
    PCI_LINK_SPEED_MASK = 0xf, /* of capabilities and of status; 1 is 2.5 GT/s */
    PCI_LINK_WIDTH_SHIFT = 4,  /* lanes, six bits */
    PCI_LINK_CAP_ACTIVE_REPORTED = 1 << 20,
    PCI_LINK_CAP2_SPEED_2_5 = 1 << 1,
    PCI_LINK_CONTROL_DISABLE = 1 << 4,
    PCI_LINK_STATUS_ACTIVE = 1 << 13,
};

/* The slot's registers (7.5.3.9 to 7.5.3.11). */
enum {
    PCI_SLOT_CAP_BUTTON = 1 << 0,
    PCI_SLOT_CAP_POWER = 1 << 1,
    PCI_SLOT_CAP_ATTENTION_LED = 1 << 3,
    PCI_SLOT_CAP_POWER_LED = 1 << 4,
    PCI_SLOT_CAP_SURPRISE = 1 << 5,
    PCI_SLOT_CAP_HOTPLUG = 1 << 6,
    PCI_SLOT_CAP_NO_COMMAND_COMPLETED = 1 << 18,
    PCI_SLOT_CAP_NUMBER_SHIFT = 19,
    PCI_SLOT_NUMBER_MAX = 0x1fff,

    /* Events: in status latched until 1 is written, in control enabled by the same bit. */
    PCI_SLOT_BUTTON_PRESSED = 1 << 0,
    PCI_SLOT_POWER_FAULT = 1 << 1,
    PCI_SLOT_PRESENCE_CHANGED = 1 << 3,
    PCI_SLOT_COMMAND_COMPLETED = 1 << 4,
    PCI_SLOT_EVENTS_MASK = 0x1f,
    PCI_SLOT_CONTROL_INTERRUPT = 1 << 5,
    PCI_SLOT_CONTROL_ATTENTION_SHIFT = 6, /* two bits each: PCI_SLOT_LED_* */
    PCI_SLOT_CONTROL_POWER_LED_SHIFT = 8,
    PCI_SLOT_CONTROL_LED_MASK = 3,
    PCI_SLOT_CONTROL_POWER_OFF = 1 << 10,
    PCI_SLOT_CONTROL_LINK_CHANGED = 1 << 12,
    PCI_SLOT_LED_ON = 1,
    PCI_SLOT_LED_BLINKS = 2,
    PCI_SLOT_LED_OFF = 3,
    PCI_SLOT_STATUS_PRESENT = 1 << 6,
    PCI_SLOT_STATUS_LINK_CHANGED = 1 << 8,
};

/* Message-signalled interrupts (PCI 3.0 6.8.1), one message and a 64-bit address. */
enum {
    PCI_MSI_CONTROL = 2,
    PCI_MSI_ADDR = 4,
    PCI_MSI_ADDR_HIGH = 8,
    PCI_MSI_DATA = 12,
    PCI_MSI_CAP_BYTES = 14,
    PCI_MSI_CONTROL_ENABLE = 1 << 0,
    PCI_MSI_CONTROL_64BIT = 1 << 7,
};

/* A bridge's header (PCI-to-PCI Bridge 1.2, 3.2.5). */
enum {
    PCI_BRIDGE_WINDOW_MASK = 0xfff0, /* bits 31 to 20 of base and limit */
    PCI_BRIDGE_WINDOW_64BIT = 1,     /* of the prefetchable one */
    PCI_BRIDGE_CONTROL_RESET = 1 << 6,
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
