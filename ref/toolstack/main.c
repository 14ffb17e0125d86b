/* SPDX-License-Identifier: MIT */
/*
 * ringproof-bootdata: what a toolstack leaves in a guest's memory, or on its command line, so that
 * the guest's driver grants its memory to the right domain. One mechanism a call; the result goes
 * to standard output, for the domain's builder to put into place.
 */
#include <stdio.h>
#include <string.h>

#include <libfdt.h>

#include "spec/discovery.h"
#include "util/host_bridge.h"
#include "util/mutant.h"
#include "util/parse.h"

#define TREE_BYTES 4096

/* As libxl makes it: the IOMMU's node, and the bridge's map from RIDs to backends. Without a
 * device: neither. */
static int write_tree(const struct host_bridge *b, const sbdf_t *device, uint16_t domid, FILE *f)
{
    static uint8_t tree[TREE_BYTES];
    const uint32_t map[] = {cpu_to_fdt32(device ? device->raw & 0xffff : 0),
                            cpu_to_fdt32(GRANT_DMA_PHANDLE), cpu_to_fdt32(domid), cpu_to_fdt32(1)};
    const uint64_t reg[] = {cpu_to_fdt64(b->ecam_base), cpu_to_fdt64(b->ecam_bytes)};
    /* 32-bit memory space, where the guest sees it. */
    const uint32_t ranges[] = {cpu_to_fdt32(0x02000000),
                               cpu_to_fdt32((uint32_t)(b->mem_base >> 32)),
                               cpu_to_fdt32((uint32_t)b->mem_base),
                               cpu_to_fdt32((uint32_t)(b->mem_base >> 32)),
                               cpu_to_fdt32((uint32_t)b->mem_base),
                               cpu_to_fdt32((uint32_t)(b->mem_bytes >> 32)),
                               cpu_to_fdt32((uint32_t)b->mem_bytes)};
    const uint32_t buses[] = {cpu_to_fdt32(b->bus_first), cpu_to_fdt32(b->bus_last)};
    char name[32];
    int rc = fdt_create(tree, sizeof(tree));

    snprintf(name, sizeof(name), "pcie@%llx", (unsigned long long)b->ecam_base);
    /* The first that fails makes all after it fail. */
    rc |= fdt_finish_reservemap(tree);
    rc |= fdt_begin_node(tree, "");
    rc |= fdt_property_string(tree, "compatible", MACHINE_COMPATIBLE);
    rc |= fdt_property_u32(tree, "#address-cells", 2);
    rc |= fdt_property_u32(tree, "#size-cells", 2);
    rc |= fdt_begin_node(tree, name);
    rc |= fdt_property_string(tree, "compatible", GRANT_DMA_BRIDGE);
    rc |= fdt_property_string(tree, "device_type", "pci");
    rc |= fdt_property(tree, "reg", reg, sizeof(reg));
    rc |= fdt_property_u32(tree, "linux,pci-domain", b->segment);
    rc |= fdt_property_u32(tree, "#address-cells", 3);
    rc |= fdt_property_u32(tree, "#size-cells", 2);
    rc |= fdt_property(tree, "ranges", ranges, sizeof(ranges));
    rc |= fdt_property(tree, "bus-range", buses, sizeof(buses));
    if (device)
        rc |= fdt_property(tree, "iommu-map", map, sizeof(map));
    rc |= fdt_end_node(tree);
    if (device) {
        rc |= fdt_begin_node(tree, "xen_iommu");
        rc |= fdt_property_string(tree, "compatible", GRANT_DMA_COMPATIBLE);
        rc |= fdt_property_u32(tree, "#iommu-cells", 1);
        rc |= fdt_property_u32(tree, "phandle", GRANT_DMA_PHANDLE);
        rc |= fdt_end_node(tree);
    }
    rc |= fdt_end_node(tree);
    rc |= fdt_finish(tree);
    if (rc)
        return -1;
    return fwrite(tree, fdt_totalsize(tree), 1, f) == 1 ? 0 : -1;
}

static int write_acpi(sbdf_t sbdf, uint16_t domid, FILE *f)
{
    struct {
        struct discovery_acpi_header h;
        struct discovery_acpi_entry e;
    } table = {
        .h = {.signature = {'X', 'V', 'I', 'O'},
              .length = le32_make(sizeof(table)),
              .revision = DISCOVERY_VERSION,
              .oem_id = {'R', 'I', 'N', 'G', 'P', 'R'},
              .oem_table_id = {'B', 'A', 'C', 'K', 'E', 'N', 'D', 'S'},
              .oem_revision = le32_make(1),
              .creator_id = {'R', 'P', 'R', 'F'},
              .creator_revision = le32_make(1)},
        .e = {.segment = le16_make(sbdf_segment(sbdf)),
              .rid = le16_make((uint16_t)sbdf.raw),
              .domid = le16_make(domid)},
    };
    uint8_t bytes[sizeof(table)], sum = 0;

    memcpy(bytes, &table, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        sum = (uint8_t)(sum + bytes[i]);
    bytes[offsetof(struct discovery_acpi_header, checksum)] = (uint8_t)-sum;
    return fwrite(bytes, sizeof(bytes), 1, f) == 1 ? 0 : -1;
}

static int usage(void)
{
    fputs("usage: ringproof-bootdata device-tree|machine-type|boot-parameter|acpi HOST-BRIDGE SBDF "
          "DOMID\n"
          "Writes what tells a guest that the device at SBDF takes grants for DOMID.\n",
          stderr);
    return 3;
}

int main(int argc, char **argv)
{
    char why[HOST_BRIDGE_ERROR_BYTES], text[SBDF_TEXT_BYTES];
    struct host_bridge bridge;
    uint16_t domid;
    sbdf_t sbdf;
    int rc;

    if (argc != 5 || host_bridge_parse(argv[2], &bridge, why) || parse_sbdf(argv[3], &sbdf) ||
        parse_u16(argv[4], 0, 0x7fef, &domid))
        return usage();
    if (MUTANT(discovery_boot_data_wrong_domid))
        domid++;
    if (MUTANT(discovery_boot_data_names_dom0))
        domid = 0;
    format_sbdf(sbdf, text);
    if (!strcmp(argv[1], "device-tree"))
        rc = write_tree(&bridge, &sbdf, domid, stdout);
    else if (!strcmp(argv[1], "machine-type"))
        rc = write_tree(&bridge, NULL, domid, stdout);
    else if (!strcmp(argv[1], "acpi"))
        rc = write_acpi(sbdf, domid, stdout);
    else if (!strcmp(argv[1], "boot-parameter"))
        rc = printf("console=hvc0 " DISCOVERY_PARAMETER "%s/%u\n", text, domid) < 0 ? -1 : 0;
    else
        return usage();
    return rc || fflush(stdout) ? 1 : 0;
}
