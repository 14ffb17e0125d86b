/* SPDX-License-Identifier: MIT */
/*
 * Forms in which a guest is told that a device's addresses are grants, and for which domain. The
 * device tree's is Linux's binding (Documentation/devicetree/bindings/iommu/xen,grant-dma.yaml);
 * the others are this project's, for want of a standard.
 */
#ifndef RP_SPEC_DISCOVERY_H
#define RP_SPEC_DISCOVERY_H

#include <stddef.h>

#include "util/types.h"

/* ---- device tree: an IOMMU of one cell, the backend's domid ---- */
#define GRANT_DMA_COMPATIBLE   "xen,grant-dma"
#define GRANT_DMA_PHANDLE      65001u      /* libxl's */
#define MACHINE_COMPATIBLE     "xen,xenvm" /* of the root: a guest that libxl made */
#define GRANT_DMA_BRIDGE       "pci-host-ecam-generic"
#define GRANT_DMA_WINDOW       "virtio,mmio" /* a device that names its IOMMU itself: iommus */
#define DISCOVERY_WINDOW_BYTES 0x200u        /* libxl's */

/* ---- Xenstore, below the domain's home: the SBDF with '-' (a path may have neither ':' nor '.')
 * ---- */
#define DISCOVERY_STORE_KEY "device/virtio/%04x-%02x-%02x-%x/backend-id"

/* ---- command line: virtio_xen.backend=0000:00:01.0/0[,SBDF/DOMID...] ---- */
#define DISCOVERY_PARAMETER "virtio_xen.backend="

/*
 * ---- vendor data (VIRTIO 4.1.4.11): a driver SHOULD use it for debugging and reporting only, so
 * that this is a deviation from the standard, and said to be one ----
 */
#define DISCOVERY_VENDOR_ID 0x5853u /* XenSource's of PCI */
struct discovery_vendor_data {
    uint8_t cap_vndr, cap_next, cap_len, cfg_type;
    le16_t vendor_id;
    le16_t version; /* DISCOVERY_VERSION */
    le16_t domid;
    le16_t reserved;
};
_Static_assert(sizeof(struct discovery_vendor_data) == 12, "a multiple of 4, 4.1.4.11");
#define DISCOVERY_VERSION 1u

/*
 * ---- configuration space: a designated vendor-specific extended capability (PCIe 6.0, 7.9.6) ----
 * Its last word and what follows are the vendor's: in a device's own function its domid; in the
 * dummy function how many (RID, domid) follow; in the root complex the RID that is asked for, and
 * the answer.
 */
#define DISCOVERY_DVSEC_ID     0x0023u
#define DISCOVERY_DVSEC_DATA   10u
#define DISCOVERY_DVSEC_BYTES  12u /* with the word, without what follows */
#define DISCOVERY_DVSEC_DEVICE 1u
#define DISCOVERY_DVSEC_LIST   2u
#define DISCOVERY_DVSEC_ROOT   3u
#define DISCOVERY_LIST_DEVICE  0xda01u
#define DISCOVERY_ROOT_DEVICE  0xda02u
#define DISCOVERY_LIST_SLOT    0x1eu /* of the device's bus */
#define DISCOVERY_ROOT_SLOT    0u
#define DISCOVERY_LIST_MAX     32u
#define DISCOVERY_ANSWER_VALID 0x80000000u

/* What follows the extended header, `bytes` with that: the first 8 of it. */
static inline void discovery_dvsec_fill(uint8_t *body, uint16_t id, unsigned bytes, uint16_t data)
{
    const uint32_t words[] = {DISCOVERY_VENDOR_ID | DISCOVERY_VERSION << 16 | bytes << 20,
                              id | (uint32_t)data << 16};

    for (unsigned i = 0; i < 8; i++)
        body[i] = (uint8_t)(words[i / 4] >> (i % 4 * 8));
}

/*
 * ---- ACPI: a table with the standard header (ACPI 6.5, 5.2.6), then entries ----
 * Its signature is that of data that are told apart by a UUID (UEFI 2.10, appendix O), so that none
 * has to be registered. Linux takes such a table from its initial ramdisk, too.
 */
#define DISCOVERY_ACPI_SIGNATURE "UEFI"
#define DISCOVERY_ACPI_UUID                                                                        \
    {                                                                                              \
        0x1d, 0x7c, 0x6b, 0x58, 0x53, 0xa2, 0x0e, 0x4f, 0x9b, 0x61, 0x52, 0x49, 0x4e, 0x47, 0x50,  \
            0x46                                                                                   \
    }
struct discovery_acpi_header {
    char signature[4];
    le32_t length; /* of all */
    uint8_t revision;
    uint8_t checksum; /* all bytes add up to 0 */
    char oem_id[6];
    char oem_table_id[8];
    le32_t oem_revision;
    char creator_id[4];
    le32_t creator_revision;
    uint8_t uuid[16];   /* DISCOVERY_ACPI_UUID */
    le16_t data_offset; /* of the first entry, from the table's begin */
    le16_t reserved;
};
_Static_assert(offsetof(struct discovery_acpi_header, uuid) == 36, "ACPI 6.5, 5.2.6");
_Static_assert(sizeof(struct discovery_acpi_header) == 56, "UEFI 2.10, appendix O, and padding");
struct discovery_acpi_entry {
    le16_t segment;
    le16_t rid; /* bus << 8 | device << 3 | function */
    le16_t domid;
    le16_t reserved;
};
_Static_assert(sizeof(struct discovery_acpi_entry) == 8, "no padding");

#endif
