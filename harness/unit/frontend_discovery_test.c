/* SPDX-License-Identifier: MIT */
/* What firmware left may hold anything: answers to whole trees, and to damaged ones. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "frontend/discovery.h"
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
    word(2);
    word(9);
    const uint32_t end = (uint32_t)used;
    memcpy(tree + used, names, sizeof(names));
    const uint32_t total = end + sizeof(names);
    used = 0;
    const uint32_t header[] = {0xd00dfeed, total, 40, end, 40, 17, 16, 0, sizeof(names), end - 40};
    for (unsigned i = 0; i < 10; i++)
        word(header[i]);
    used = total;
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

    tcase_add_test(tc, answers);
    tcase_add_test(tc, damage);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
