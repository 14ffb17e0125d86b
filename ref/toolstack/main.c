/* SPDX-License-Identifier: MIT */
/*
 * ringproof-bootdata: what a toolstack leaves in a guest's memory, or on its command line, so that
 * the guest's driver grants its memory to the right domain. One mechanism a call; the result goes
 * to standard output, for the domain's builder to put into place. And what it gives to a guest that
 * runs already: an overlay with one host bridge more.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <libfdt.h>

#include "spec/discovery.h"
#include "util/host_bridge.h"
#include "util/mmio_window.h"
#include "util/mutant.h"
#include "util/parse.h"

#define TREE_BYTES 65536

/* Of whom is spoken. */
struct spoken_of {
    bool mmio; /* a virtio-mmio device at `window`; or else a function of PCI */
    sbdf_t sbdf;
    struct mmio_window window;
    uint16_t domid;
};

static int add_property(void *tree, int node, const char *name, const uint32_t *cells,
                        unsigned count)
{
    uint32_t be[8];

    for (unsigned i = 0; i < count; i++)
        be[i] = cpu_to_fdt32(cells[i]);
    return fdt_setprop(tree, node, name, be, (int)(count * sizeof(be[0])));
}

#define HIGH(x) ((uint32_t)((uint64_t)(x) >> 32))
#define LOW(x)  ((uint32_t)(x))
#define ADD(tree, node, name, ...)                                                                 \
    add_property(tree, node, name, (const uint32_t[]){__VA_ARGS__},                                \
                 sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* The bridge, and its map from RIDs to backends. */
static int add_bridge(void *tree, int parent, const struct host_bridge *b,
                      const struct spoken_of *who)
{
    char name[32];
    int rc = 0;

    snprintf(name, sizeof(name), "pcie@%llx", (unsigned long long)b->ecam_base);
    int node = fdt_add_subnode(tree, parent, name);
    if (node < 0)
        return node;
    rc |= fdt_setprop_string(tree, node, "compatible", GRANT_DMA_BRIDGE);
    rc |= fdt_setprop_string(tree, node, "device_type", "pci");
    rc |= ADD(tree, node, "reg", HIGH(b->ecam_base), LOW(b->ecam_base), HIGH(b->ecam_bytes),
              LOW(b->ecam_bytes));
    rc |= ADD(tree, node, "linux,pci-domain", b->segment);
    rc |= ADD(tree, node, "#address-cells", 3);
    rc |= ADD(tree, node, "#size-cells", 2);
    /* 32-bit memory space, where the guest sees it. */
    rc |= ADD(tree, node, "ranges", 0x02000000, HIGH(b->mem_base), LOW(b->mem_base),
              HIGH(b->mem_base), LOW(b->mem_base), HIGH(b->mem_bytes), LOW(b->mem_bytes));
    if (MUTANT(overlay_counts_from_bus_0))
        rc |= ADD(tree, node, "bus-range", 0, b->bus_last - b->bus_first);
    else
        rc |= ADD(tree, node, "bus-range", b->bus_first, b->bus_last);
    if (who && !who->mmio)
        rc |=
            ADD(tree, node, "iommu-map", who->sbdf.raw & 0xffff, GRANT_DMA_PHANDLE, who->domid, 1);
    return rc;
}

/* A device by itself, as libxl makes it. */
static int add_window(void *tree, int parent, const struct spoken_of *who)
{
    char name[32];
    int rc = 0;

    snprintf(name, sizeof(name), "virtio@%llx", (unsigned long long)who->window.base);
    int node = fdt_add_subnode(tree, parent, name);
    if (node < 0)
        return node;
    rc |= fdt_setprop_string(tree, node, "compatible", GRANT_DMA_WINDOW);
    rc |= ADD(tree, node, "reg", HIGH(who->window.base), LOW(who->window.base), 0,
              DISCOVERY_WINDOW_BYTES);
    rc |= ADD(tree, node, "iommus", GRANT_DMA_PHANDLE, who->domid);
    return rc;
}

static int add_iommu(void *tree, int parent)
{
    int rc = 0, node = fdt_add_subnode(tree, parent, "xen_iommu");

    if (node < 0)
        return node;
    rc |= fdt_setprop_string(tree, node, "compatible", GRANT_DMA_COMPATIBLE);
    rc |= ADD(tree, node, "#iommu-cells", 1);
    rc |= ADD(tree, node, "phandle", GRANT_DMA_PHANDLE);
    return rc;
}

/* A tree of a guest that has nothing else. */
static int begin_tree(void *tree)
{
    int rc = fdt_create_empty_tree(tree, TREE_BYTES);

    if (rc)
        return rc;
    rc |= fdt_setprop_string(tree, 0, "compatible", MACHINE_COMPATIBLE);
    rc |= ADD(tree, 0, "#address-cells", 2);
    rc |= ADD(tree, 0, "#size-cells", 2);
    return rc;
}

/* Another one's partial tree, which libxl copies into the guest's (xl.cfg: device_tree). */
static int take_tree(const char *path, void *tree, int *parent)
{
    static uint8_t given[TREE_BYTES];
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(given, 1, sizeof(given), f) : 0;

    if (f)
        fclose(f);
    if (n < sizeof(struct fdt_header) || fdt_check_header(given) || fdt_totalsize(given) > n ||
        fdt_open_into(given, tree, TREE_BYTES)) {
        fprintf(stderr, "ringproof-bootdata: %s is no device tree\n", path);
        return -1;
    }
    *parent = fdt_path_offset(tree, "/passthrough");
    if (*parent < 0) {
        fprintf(stderr, "ringproof-bootdata: %s has no /passthrough\n", path);
        return -1;
    }
    return 0;
}

/* `who` NULL: the tree speaks of nobody. `onto` NULL: a tree of its own. */
static int write_tree(const struct host_bridge *b, const struct spoken_of *who, const char *onto,
                      FILE *f)
{
    static uint8_t tree[TREE_BYTES];
    int parent = 0, rc = onto ? take_tree(onto, tree, &parent) : begin_tree(tree);

    if (!rc && who)
        rc = add_iommu(tree, parent);
    if (!rc && who && who->mmio)
        rc = add_window(tree, parent, who);
    if (!rc && !(who && who->mmio))
        rc = add_bridge(tree, parent, b, who);
    if (!rc)
        rc = fdt_pack(tree);
    if (rc)
        return -1;
    return fwrite(tree, fdt_totalsize(tree), 1, f) == 1 ? 0 : -1;
}

/* What comes is a child of the root. */
static int write_overlay(const struct host_bridge *b, FILE *f)
{
    static uint8_t tree[TREE_BYTES];
    int rc = fdt_create_empty_tree(tree, TREE_BYTES), fragment, body;

    if (rc)
        return -1;
    fragment = fdt_add_subnode(tree, 0, "fragment@0");
    if (fragment < 0 || fdt_setprop_string(tree, fragment, "target-path", "/"))
        return -1;
    body = fdt_add_subnode(tree, fragment, "__overlay__");
    if (body < 0 || ADD(tree, body, "#address-cells", 2) || ADD(tree, body, "#size-cells", 2) ||
        add_bridge(tree, body, b, NULL) || fdt_pack(tree))
        return -1;
    return fwrite(tree, fdt_totalsize(tree), 1, f) == 1 ? 0 : -1;
}

static int write_acpi(sbdf_t sbdf, uint16_t domid, FILE *f)
{
    struct {
        struct discovery_acpi_header h;
        struct discovery_acpi_entry e;
    } table = {
        .h = {.signature = {'U', 'E', 'F', 'I'},
              .length = le32_make(sizeof(table)),
              .revision = DISCOVERY_VERSION,
              .oem_id = {'R', 'I', 'N', 'G', 'P', 'R'},
              .oem_table_id = {'B', 'A', 'C', 'K', 'E', 'N', 'D', 'S'},
              .oem_revision = le32_make(1),
              .creator_id = {'R', 'P', 'R', 'F'},
              .creator_revision = le32_make(1),
              .uuid = DISCOVERY_ACPI_UUID,
              .data_offset = le16_make(sizeof(table.h))},
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
    fputs(
        "usage: ringproof-bootdata device-tree|machine-type|boot-parameter|acpi HOST-BRIDGE "
        "SBDF|WINDOW DOMID [TREE]\n"
        "       ringproof-bootdata overlay HOST-BRIDGE\n"
        "Writes what tells a guest that the device at SBDF takes grants for DOMID. A device tree\n"
        "also speaks of a virtio-mmio device in a WINDOW, and can be added to a partial TREE.\n"
        "An overlay gives a guest that runs one host bridge more.\n",
        stderr);
    return 3;
}

static int parse_place(const char *text, struct spoken_of *who)
{
    char why[MMIO_WINDOW_ERROR_BYTES];

    if (!parse_sbdf(text, &who->sbdf))
        return 0;
    who->mmio = true;
    return mmio_window_parse(text, &who->window, why);
}

int main(int argc, char **argv)
{
    char why[HOST_BRIDGE_ERROR_BYTES], text[SBDF_TEXT_BYTES];
    const char *onto = argc == 6 ? argv[5] : NULL;
    struct spoken_of who = {0};
    struct host_bridge bridge;
    int rc;

    if (argc == 3 && !strcmp(argv[1], "overlay") && !host_bridge_parse(argv[2], &bridge, why))
        return write_overlay(&bridge, stdout) || fflush(stdout) ? 1 : 0;
    if (argc < 5 || argc > 6 || host_bridge_parse(argv[2], &bridge, why) ||
        parse_place(argv[3], &who) || parse_u16(argv[4], 0, 0x7fef, &who.domid))
        return usage();
    bool tree = !strcmp(argv[1], "device-tree") || !strcmp(argv[1], "machine-type");
    if (!tree && (onto || who.mmio))
        return usage();
    if (MUTANT(discovery_boot_data_wrong_domid))
        who.domid++;
    if (MUTANT(discovery_boot_data_names_dom0))
        who.domid = 0;
    format_sbdf(who.sbdf, text);
    if (!strcmp(argv[1], "device-tree"))
        rc = write_tree(&bridge, &who, onto, stdout);
    else if (tree)
        rc = write_tree(&bridge, NULL, onto, stdout);
    else if (!strcmp(argv[1], "acpi"))
        rc = write_acpi(who.sbdf, who.domid, stdout);
    else if (!strcmp(argv[1], "boot-parameter"))
        rc = printf("console=hvc0 " DISCOVERY_PARAMETER "%s/%u\n", text, who.domid) < 0 ? -1 : 0;
    else
        return usage();
    return rc || fflush(stdout) ? 1 : 0;
}
