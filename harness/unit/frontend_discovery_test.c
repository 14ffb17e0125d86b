/* SPDX-License-Identifier: MIT */
/* What firmware left, or a toolstack gave, may hold anything: answers to what is whole, and to what
 * is damaged. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/bridge.h"
#include "frontend/discovery.h"
#include "spec/discovery.h"
#include "unit/run.h"

static uint8_t tree[512];
static size_t used;

static void word(uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        tree[used++] = (uint8_t)(v >> (24 - 8 * i));
}

static void text(const char *s)
{
    memcpy(tree + used, s, strlen(s) + 1);
    used = (used + strlen(s) + 1 + 3) & ~(size_t)3;
}

static void property(uint32_t name, const void *value, uint32_t bytes)
{
    word(3);
    word(bytes);
    word(name);
    memcpy(tree + used, value, bytes);
    used = (used + bytes + 3) & ~(size_t)3;
}

/* Behind the last node: the end, the names of properties, and the header in front. */
static void finish(const char *names, uint32_t bytes)
{
    word(2);
    word(9);
    const uint32_t end = (uint32_t)used, total = end + bytes;
    const uint32_t header[] = {0xd00dfeed, total, 40, end, 40, 17, 16, 0, bytes, end - 40};

    memcpy(tree + used, names, bytes);
    used = 0;
    for (unsigned i = 0; i < 10; i++)
        word(header[i]);
    used = total;
}

/* The bridge maps `count` RIDs from 8 on to domain `domid`; `iommu` is what phandle 9 is. */
static void build(uint32_t count, uint8_t domid, const char *iommu)
{
    static const char names[] = "compatible\0phandle\0iommu-map";
    const uint8_t map[16] = {0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, domid, 0, 0, 0, (uint8_t)count};
    const uint8_t phandle[4] = {0, 0, 0, 9};

    memset(tree, 0, sizeof(tree));
    used = 40;
    word(1);
    text("");
    word(1);
    text("pcie@1");
    property(0, "pci-host-ecam-generic", 22);
    property(19, map, sizeof(map));
    word(2);
    word(1);
    text("iommu");
    property(0, iommu, (uint32_t)strlen(iommu) + 1);
    property(11, phandle, sizeof(phandle));
    word(2);
    finish(names, sizeof(names));
}

START_TEST(answers)
{
    uint16_t domid = 77;

    build(2, 3, "xen,grant-dma");
    ck_assert_int_eq(fe_discovery_tree(tree, used, SBDF(0, 0, 1, 0), &domid), 0);
    ck_assert_uint_eq(domid, 3);
    ck_assert_int_eq(fe_discovery_tree(tree, used, SBDF(0, 0, 1, 1), &domid), 0);
    ck_assert_uint_eq(domid, 4);
    ck_assert_int_eq(fe_discovery_tree(tree, used, SBDF(0, 0, 1, 2), &domid), -ENOENT);
    ck_assert_int_eq(fe_discovery_tree(tree, used, SBDF(1, 0, 1, 0), &domid), -ENOENT);
    /* Another IOMMU is no hint at grants. */
    build(1, 3, "arm,smmu-v3");
    ck_assert_int_eq(fe_discovery_tree(tree, used, SBDF(0, 0, 1, 0), &domid), -ENOENT);
}
END_TEST

/* A virtio-mmio device at 0x2000000 whose node says `iommus` of `cells` words. */
static void build_window(unsigned cells, uint8_t domid)
{
    static const char names[] = "compatible\0phandle\0reg\0iommus";
    const uint8_t reg[16] = {0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0};
    const uint8_t phandle[4] = {0, 0, 0, 9};
    const uint8_t iommus[12] = {0, 0, 0, 9, 0, 0, 0, domid};

    memset(tree, 0, sizeof(tree));
    used = 40;
    word(1);
    text("");
    word(1);
    text("virtio@2000000");
    property(0, "virtio,mmio", 12);
    property(19, reg, sizeof(reg));
    if (cells)
        property(23, iommus, 4 * cells);
    word(2);
    word(1);
    text("iommu");
    property(0, "xen,grant-dma", 14);
    property(11, phandle, sizeof(phandle));
    word(2);
    finish(names, sizeof(names));
}

START_TEST(window_answers)
{
    uint16_t domid = 77;

    build_window(2, 3);
    ck_assert_int_eq(fe_discovery_tree_window(tree, used, 0x2000000, &domid), 0);
    ck_assert_uint_eq(domid, 3);
    ck_assert_int_eq(fe_discovery_tree_window(tree, used, 0x2000200, &domid), -ENOENT);
    build_window(0, 3);
    ck_assert_int_eq(fe_discovery_tree_window(tree, used, 0x2000000, &domid), -ENOENT);
    /* A specifier of xen,grant-dma is one cell. */
    build_window(1, 3);
    ck_assert_int_eq(fe_discovery_tree_window(tree, used, 0x2000000, &domid), -EPROTO);
    build_window(3, 3);
    ck_assert_int_eq(fe_discovery_tree_window(tree, used, 0x2000000, &domid), -EPROTO);
}
END_TEST

/* ---- a host bridge that comes, by an overlay ---- */

enum { REG, RANGES, BUSES, DOMAIN, BRIDGE_PROPERTIES };

/* As a toolstack's overlay has it, but for one property, which is `cut` bytes shorter. */
static void build_overlay(unsigned which, unsigned cut)
{
    static const char names[] = "compatible\0reg\0ranges\0bus-range\0linux,pci-domain\0target-path";
    static const uint8_t reg[16] = {0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0};
    /* An I/O window, one whose addresses differ, and one that serves. */
    static const uint8_t ranges[84] = {
        1, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
        2, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
        2, 0, 0, 0, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
    static const uint8_t buses[8] = {0, 0, 0, 4, 0, 0, 0, 7}, domain[4] = {0, 0, 0, 1};
    const struct {
        uint32_t name, bytes;
        const uint8_t *value;
    } list[] = {[REG] = {11, sizeof(reg), reg},
                [RANGES] = {15, sizeof(ranges), ranges},
                [BUSES] = {22, sizeof(buses), buses},
                [DOMAIN] = {32, sizeof(domain), domain}};

    memset(tree, 0, sizeof(tree));
    used = 40;
    word(1);
    text("");
    word(1);
    text("fragment@0");
    property(49, "/", 2);
    word(1);
    text("__overlay__");
    word(1);
    text("pcie@20000000");
    property(0, "pci-host-ecam-generic", 22);
    for (unsigned i = 0; i < BRIDGE_PROPERTIES; i++)
        if (i != which || cut < list[i].bytes)
            property(list[i].name, list[i].value, list[i].bytes - (i == which ? cut : 0));
    word(2);
    word(2);
    word(2);
    finish(names, sizeof(names));
}

START_TEST(bridge_comes)
{
    struct fe_host_bridge b;

    build_overlay(BRIDGE_PROPERTIES, 0);
    ck_assert_int_eq(fe_bridge_from_tree(tree, used, &b), 0);
    ck_assert_uint_eq(b.segment, 1);
    ck_assert_uint_eq(b.bus_first, 4);
    ck_assert_uint_eq(b.bus_last, 7);
    ck_assert_uint_eq(b.ecam_base, 0x20000000);
    ck_assert_uint_eq(b.ecam_bytes, 0x400000);
    ck_assert_uint_eq(b.mem_base, 0x30000000);
    ck_assert_uint_eq(b.mem_bytes, 0x1000000);
    build_overlay(DOMAIN, 4); /* which is optional */
    ck_assert_int_eq(fe_bridge_from_tree(tree, used, &b), 0);
    ck_assert_uint_eq(b.segment, 0);
    for (unsigned which = 0; which < BRIDGE_PROPERTIES; which++) {
        build_overlay(which, 1);
        ck_assert_int_eq(fe_bridge_from_tree(tree, used, &b), -EPROTO);
    }
    build_overlay(BUSES, 8);
    ck_assert_int_eq(fe_bridge_from_tree(tree, used, &b), -EPROTO);
    build_overlay(RANGES, 28);
    ck_assert_int_eq(fe_bridge_from_tree(tree, used, &b), -ENOTSUP);
    build(1, 3, "xen,grant-dma"); /* a bridge without windows */
    ck_assert_int_eq(fe_bridge_from_tree(tree, used, &b), -EPROTO);
    build_window(2, 3); /* no bridge */
    ck_assert_int_eq(fe_bridge_from_tree(tree, used, &b), -ENOENT);
}
END_TEST

/* Whatever is in it: a bridge that is sound, or an error. */
START_TEST(bridge_damage)
{
    uint8_t *copy;

    build_overlay(BRIDGE_PROPERTIES, 0);
    copy = malloc(used);
    memcpy(copy, tree, used);
    for (size_t at = 0; at < used; at++) {
        for (unsigned v = 0; v < 256; v++) {
            struct fe_host_bridge b;

            copy[at] = (uint8_t)v;
            if (fe_bridge_from_tree(copy, used, &b) == 0) {
                ck_assert_uint_le(b.bus_first, b.bus_last);
                ck_assert_uint_ge(b.ecam_bytes, (b.bus_last - b.bus_first + 1u) * 0x100000ull);
                ck_assert_uint_eq(b.ecam_base % 0x100000, 0);
                ck_assert_uint_gt(b.mem_bytes, 0);
                ck_assert_uint_gt(b.mem_base + b.mem_bytes, b.mem_base);
            }
        }
        copy[at] = tree[at];
    }
    free(copy);
    for (size_t bytes = 0; bytes < used; bytes++) {
        struct fe_host_bridge b;

        copy = malloc(bytes + 1);
        memcpy(copy, tree, bytes);
        ck_assert_int_eq(fe_bridge_from_tree(copy, bytes, &b), -EPROTO);
        free(copy);
    }
}
END_TEST

/* ---- the ACPI table ---- */

static struct {
    struct discovery_acpi_header h;
    struct discovery_acpi_entry e[2];
} table;

static void build_table(void)
{
    static const uint8_t uuid[] = DISCOVERY_ACPI_UUID;
    uint8_t sum = 0;

    memset(&table, 0, sizeof(table));
    memcpy(table.h.signature, DISCOVERY_ACPI_SIGNATURE, 4);
    table.h.length = le32_make(sizeof(table));
    table.h.data_offset = le16_make(sizeof(table.h));
    memcpy(table.h.uuid, uuid, sizeof(uuid));
    table.e[0] = (struct discovery_acpi_entry){.rid = le16_make(0x08), .domid = le16_make(3)};
    table.e[1] = (struct discovery_acpi_entry){
        .segment = le16_make(1), .rid = le16_make(0x08), .domid = le16_make(4)};
    for (size_t i = 0; i < sizeof(table); i++)
        sum = (uint8_t)(sum + ((const uint8_t *)&table)[i]);
    table.h.checksum = (uint8_t)-sum;
}

static int ask_table(const void *at, size_t bytes, sbdf_t sbdf, struct fe_discovery *out)
{
    const struct fe_discovery_sources from = {.acpi = at, .acpi_bytes = bytes, .own_domid = 5};

    return fe_discovery_ask(FE_MECHANISM_ACPI, &from, sbdf, out);
}

START_TEST(table_answers)
{
    struct fe_discovery found;

    build_table();
    ck_assert_int_eq(ask_table(&table, sizeof(table), SBDF(0, 0, 1, 0), &found), 0);
    ck_assert_uint_eq(found.domid, 3);
    ck_assert_uint_eq(found.bytes, sizeof(table));
    ck_assert_int_eq(ask_table(&table, sizeof(table), SBDF(1, 0, 1, 0), &found), 0);
    ck_assert_uint_eq(found.domid, 4);
    ck_assert_int_eq(ask_table(&table, sizeof(table), SBDF(0, 0, 2, 0), &found), -ENOENT);
    table.h.uuid[15] ^= 1; /* somebody else's, of the same signature */
    ck_assert_int_eq(ask_table(&table, sizeof(table), SBDF(0, 0, 1, 0), &found), -ENOENT);
}
END_TEST

/* One wrong byte in what is named or counted is seen by the checksum, if by nothing else. */
START_TEST(table_damage)
{
    const size_t whole = sizeof(table);

    build_table();
    for (size_t at = 0; at < whole; at++) {
        for (unsigned v = 1; v < 256; v++) {
            uint8_t *copy = malloc(whole);
            struct fe_discovery found;

            memcpy(copy, &table, whole);
            copy[at] = (uint8_t)(copy[at] ^ v);
            int rc = ask_table(copy, whole, SBDF(0, 0, 1, 0), &found);
            ck_assert(rc == -ENOENT || rc == -EPROTO);
            free(copy);
        }
    }
    for (size_t bytes = 0; bytes < whole; bytes++) {
        uint8_t *copy = malloc(bytes + 1);
        struct fe_discovery found;

        memcpy(copy, &table, bytes);
        ck_assert_int_eq(ask_table(copy, bytes, SBDF(0, 0, 1, 0), &found), -EPROTO);
        free(copy);
    }
}
END_TEST

/* Any byte may be wrong, and any end missing: an answer or an error, in bounded memory and time. */
START_TEST(damage)
{
    build(1, 3, "xen,grant-dma");
    for (size_t at = 0; at <= used; at++) {
        for (unsigned v = 0; v < 256; v += at == used ? 256 : 1) {
            size_t bytes = at == used ? used - 1 : used;
            uint8_t *copy = malloc(bytes);
            uint16_t domid;

            memcpy(copy, tree, bytes);
            if (at < bytes)
                copy[at] = (uint8_t)v;
            int rc = fe_discovery_tree(copy, bytes, SBDF(0, 0, 1, 0), &domid);
            ck_assert(rc == 0 || rc == -ENOENT || rc == -EPROTO);
            free(copy);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("discovery");
    TCase *tc = tcase_create("tree");

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, answers);
    tcase_add_test(tc, window_answers);
    tcase_add_test(tc, damage);
    suite_add_tcase(suite, tc);
    tc = tcase_create("overlay");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, bridge_comes);
    tcase_add_test(tc, bridge_damage);
    suite_add_tcase(suite, tc);
    tc = tcase_create("table");
    tcase_add_test(tc, table_answers);
    tcase_add_test(tc, table_damage);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
