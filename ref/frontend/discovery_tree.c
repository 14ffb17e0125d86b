/* SPDX-License-Identifier: MIT */
/*
 * Reading a flattened device tree (Devicetree Specification 0.4, chapter 5) without a library,
 * which a guest's kernel has but a small frontend has not. Only what "xen,grant-dma" needs:
 * properties of nodes, wherever they are.
 */
#include <errno.h>
#include <string.h>

#include "frontend/discovery.h"
#include "spec/discovery.h"
#include "util/mutant.h"

#define FDT_MAGIC        0xd00dfeedu
#define FDT_HEADER_BYTES 40u
#define DEPTH_MAX        64u

enum { FDT_BEGIN_NODE = 1, FDT_END_NODE = 2, FDT_PROP = 3, FDT_NOP = 4, FDT_END = 9 };

struct span {
    const uint8_t *at; /* NULL: no such property */
    uint32_t bytes;
};

struct node {
    struct span compatible, phandle, iommu_map, mask, domain, reg, iommus;
};

struct tree {
    const uint8_t *at;
    uint32_t strings, strings_bytes, structure, structure_end;
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool fits(uint32_t offset, uint32_t bytes, uint32_t end)
{
    return offset <= end && bytes <= end - offset;
}

static int tree_open(const uint8_t *at, size_t bytes, struct tree *t)
{
    if (bytes < FDT_HEADER_BYTES || be32(at) != FDT_MAGIC)
        return -EPROTO;
    uint32_t total = be32(at + 4), size = be32(at + 36);
    *t = (struct tree){.at = at,
                       .structure = be32(at + 8),
                       .strings = be32(at + 12),
                       .strings_bytes = be32(at + 32)};
    if (total > bytes || be32(at + 20) < 17 || be32(at + 24) > 17 ||
        !fits(t->structure, size, total) || !fits(t->strings, t->strings_bytes, total) ||
        t->structure % 4)
        return -EPROTO;
    t->structure_end = t->structure + size;
    return 0;
}

/* Texts of a list, each with its end, one of which is `want`. */
static bool lists(struct span list, const char *want)
{
    uint32_t n = (uint32_t)strlen(want) + 1;

    for (uint32_t i = 0; list.at && i < list.bytes;) {
        const uint8_t *end = memchr(list.at + i, 0, list.bytes - i);
        if (!end)
            return false;
        uint32_t len = (uint32_t)(end - list.at) - i + 1;
        if (len == n && !memcmp(list.at + i, want, n))
            return true;
        i += len;
    }
    return false;
}

static int take_property(const struct tree *t, uint32_t name, struct span value, struct node *n)
{
    const struct {
        const char *name;
        struct span *to;
    } table[] = {{"compatible", &n->compatible},
                 {"phandle", &n->phandle},
                 {"iommu-map", &n->iommu_map},
                 {"iommu-map-mask", &n->mask},
                 {"linux,pci-domain", &n->domain},
                 {"reg", &n->reg},
                 {"iommus", &n->iommus}};
    const char *text = (const char *)t->at + t->strings + name;

    if (name >= t->strings_bytes || !memchr(text, 0, t->strings_bytes - name))
        return -EPROTO;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (!strcmp(text, table[i].name))
            *table[i].to = value;
    return 0;
}

/* Calls `seen` with each node, until it returns something else than 0. Properties of a node come
 * before its children (5.4.1). */
static int walk(const struct tree *t, int (*seen)(void *ctx, const struct node *n), void *ctx)
{
    struct node n = {0};
    unsigned depth = 0;
    bool open = false;
    uint32_t at = t->structure;
    int rc = 0;

    while (!rc && fits(at, 4, t->structure_end)) {
        uint32_t token = be32(t->at + at);
        at += 4;
        if (open && (token == FDT_BEGIN_NODE || token == FDT_END_NODE)) {
            rc = seen(ctx, &n);
            open = false;
        }
        if (token == FDT_BEGIN_NODE) {
            const uint8_t *end = memchr(t->at + at, 0, t->structure_end - at);
            if (!end || ++depth > DEPTH_MAX)
                return -EPROTO;
            at = ((uint32_t)(end - t->at) + 4) & ~3u;
            n = (struct node){0};
            open = true;
        } else if (token == FDT_END_NODE) {
            if (!depth--)
                return -EPROTO;
        } else if (token == FDT_PROP) {
            if (!open || !fits(at, 8, t->structure_end))
                return -EPROTO;
            uint32_t bytes = be32(t->at + at), name = be32(t->at + at + 4);
            at += 8;
            if (!fits(at, bytes, t->structure_end) ||
                take_property(t, name, (struct span){t->at + at, bytes}, &n))
                return -EPROTO;
            at = (at + bytes + 3) & ~3u;
        } else if (token == FDT_END) {
            return depth ? -EPROTO : 0;
        } else if (token != FDT_NOP) {
            return -EPROTO;
        }
    }
    return rc ? rc : -EPROTO; /* it has no end */
}

struct question {
    sbdf_t sbdf;
    uint64_t base; /* of a virtio-mmio device */
    uint32_t phandle, domid;
    bool found;
};

/* iommu-map: (first RID, phandle, first id of the IOMMU's, how many) (pci-iommu.txt). */
static int seen_bridge(void *ctx, const struct node *n)
{
    struct question *q = ctx;
    uint32_t segment = n->domain.bytes == 4 ? be32(n->domain.at) : 0;
    uint32_t rid = q->sbdf.raw & 0xffff;

    if (!lists(n->compatible, GRANT_DMA_BRIDGE) || segment != sbdf_segment(q->sbdf))
        return 0;
    if (n->mask.bytes == 4)
        rid &= be32(n->mask.at);
    if (n->iommu_map.bytes % 16)
        return -EPROTO;
    for (uint32_t i = 0; i < n->iommu_map.bytes; i += 16) {
        const uint8_t *e = n->iommu_map.at + i;
        uint32_t first = be32(e), count = be32(e + 12);
        if (!MUTANT(discovery_tree_for_any_device) && (rid < first || rid - first >= count))
            continue;
        q->phandle = be32(e + 4);
        q->domid = be32(e + 8) + (rid - first);
        q->found = true;
        return 1;
    }
    return 0;
}

/* iommus: (phandle, the one cell of xen,grant-dma). Addresses have two cells, as libxl's. */
static int seen_window(void *ctx, const struct node *n)
{
    struct question *q = ctx;

    if (!lists(n->compatible, GRANT_DMA_WINDOW) || n->reg.bytes < 8)
        return 0;
    if (((uint64_t)be32(n->reg.at) << 32 | be32(n->reg.at + 4)) != q->base &&
        !MUTANT(discovery_tree_for_any_window))
        return 0;
    if (n->iommus.bytes % 8)
        return -EPROTO;
    q->found = n->iommus.bytes != 0;
    if (q->found) {
        q->phandle = be32(n->iommus.at);
        q->domid = be32(n->iommus.at + 4);
    }
    return 1;
}

/* Another IOMMU is no hint at grants. */
static int seen_iommu(void *ctx, const struct node *n)
{
    const struct question *q = ctx;

    if (n->phandle.bytes != 4 || be32(n->phandle.at) != q->phandle)
        return 0;
    return lists(n->compatible, GRANT_DMA_COMPATIBLE) ? 1 : -ENOENT;
}

static int answer(const uint8_t *tree, size_t bytes, int (*seen)(void *ctx, const struct node *n),
                  struct question *q, uint16_t *domid)
{
    struct tree t;
    int rc = tree_open(tree, bytes, &t);

    if (!rc)
        rc = walk(&t, seen, q);
    if (rc < 0)
        return rc;
    if (!q->found)
        return -ENOENT;
    rc = walk(&t, seen_iommu, q);
    if (rc <= 0)
        return rc ? rc : -EPROTO; /* a phandle of nothing */
    if (q->domid > UINT16_MAX)
        return -EPROTO;
    *domid = (uint16_t)q->domid;
    return 0;
}

int fe_discovery_tree(const uint8_t *tree, size_t bytes, sbdf_t sbdf, uint16_t *domid)
{
    struct question q = {.sbdf = sbdf};

    return answer(tree, bytes, seen_bridge, &q, domid);
}

int fe_discovery_tree_window(const uint8_t *tree, size_t bytes, uint64_t base, uint16_t *domid)
{
    struct question q = {.base = base};

    return answer(tree, bytes, seen_window, &q, domid);
}

static int seen_root(void *ctx, const struct node *n)
{
    (void)ctx;
    return lists(n->compatible, MACHINE_COMPATIBLE) ? 1 : -ENOENT;
}

int fe_discovery_tree_machine(const uint8_t *tree, size_t bytes)
{
    struct tree t;
    int rc = tree_open(tree, bytes, &t);

    if (!rc)
        rc = walk(&t, seen_root, NULL); /* the root is the first node */
    return rc > 0 ? 0 : rc ? rc : -ENOENT;
}
