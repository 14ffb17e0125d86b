/* SPDX-License-Identifier: MIT */
#include "frontend/tree.h"

#include <errno.h>
#include <string.h>

#define FDT_MAGIC        0xd00dfeedu
#define FDT_HEADER_BYTES 40u
#define DEPTH_MAX        64u

enum { FDT_BEGIN_NODE = 1, FDT_END_NODE = 2, FDT_PROP = 3, FDT_NOP = 4, FDT_END = 9 };

struct tree {
    const uint8_t *at;
    uint32_t strings, strings_bytes, structure, structure_end;
};

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint32_t fe_tree_cell(struct fe_tree_span s, unsigned cell)
{
    return be32(s.at + (size_t)cell * 4);
}

uint64_t fe_tree_cells(struct fe_tree_span s, unsigned cell)
{
    return (uint64_t)fe_tree_cell(s, cell) << 32 | fe_tree_cell(s, cell + 1);
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

bool fe_tree_lists(struct fe_tree_span list, const char *want)
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

static int take_property(const struct tree *t, uint32_t name, struct fe_tree_span value,
                         struct fe_tree_node *n)
{
    const struct {
        const char *name;
        struct fe_tree_span *to;
    } table[] = {{"compatible", &n->compatible},   {"phandle", &n->phandle},
                 {"iommu-map", &n->iommu_map},     {"iommu-map-mask", &n->mask},
                 {"linux,pci-domain", &n->domain}, {"reg", &n->reg},
                 {"iommus", &n->iommus},           {"ranges", &n->ranges},
                 {"bus-range", &n->bus_range}};
    const char *text = (const char *)t->at + t->strings + name;

    if (name >= t->strings_bytes || !memchr(text, 0, t->strings_bytes - name))
        return -EPROTO;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (!strcmp(text, table[i].name))
            *table[i].to = value;
    return 0;
}

/* Properties of a node come before its children (5.4.1). */
static int walk(const struct tree *t, int (*seen)(void *ctx, const struct fe_tree_node *n),
                void *ctx)
{
    struct fe_tree_node n = {0};
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
            n = (struct fe_tree_node){0};
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
                take_property(t, name, (struct fe_tree_span){t->at + at, bytes}, &n))
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

int fe_tree_walk(const uint8_t *tree, size_t bytes,
                 int (*seen)(void *ctx, const struct fe_tree_node *n), void *ctx)
{
    struct tree t;
    int rc = tree_open(tree, bytes, &t);

    return rc ? rc : walk(&t, seen, ctx);
}
