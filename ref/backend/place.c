/* SPDX-License-Identifier: MIT */
#include "backend/place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "spec/virtio_mmio.h"
#include "util/bits.h"
#include "util/parse.h"

#define NODE_MMIO "mmio-"

bool place_same(const struct place *a, const struct place *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind == PLACE_PCI ? a->sbdf.raw == b->sbdf.raw : a->base == b->base;
}

bool place_meets(const struct place *a, const struct place *b)
{
    return place_same(a, b) ||
           (a->kind == PLACE_MMIO && b->kind == PLACE_MMIO && a->line == b->line);
}

bool place_in_bridge(const struct place *p, const struct host_bridge *hb)
{
    return p->kind == PLACE_MMIO &&
           (ranges_overlap(p->base, VIRTIO_MMIO_BYTES, hb->ecam_base, hb->ecam_bytes) ||
            ranges_overlap(p->base, VIRTIO_MMIO_BYTES, hb->mem_base, hb->mem_bytes));
}

void place_format(const struct place *p, char text[PLACE_TEXT_BYTES])
{
    if (p->kind == PLACE_PCI)
        format_sbdf(p->sbdf, text);
    else
        snprintf(text, PLACE_TEXT_BYTES, "0x%" PRIx64, p->base);
}

void place_node_format(const struct place *p, char name[PLACE_NODE_BYTES],
                       char value[PLACE_NODE_BYTES])
{
    sbdf_t s = p->sbdf;

    if (p->kind == PLACE_PCI) {
        snprintf(name, PLACE_NODE_BYTES, "%04x-%02x-%02x-%x", sbdf_segment(s), sbdf_bus(s),
                 (unsigned)sbdf_device(s), (unsigned)sbdf_function(s));
        *value = 0;
    } else {
        snprintf(name, PLACE_NODE_BYTES, NODE_MMIO "%" PRIx64, p->base);
        snprintf(value, PLACE_NODE_BYTES, "%" PRIu32, p->line);
    }
}

int place_node_parse(struct place *p, const char *name, const char *value)
{
    char text[PLACE_NODE_BYTES];
    struct place parsed = {.kind = PLACE_MMIO};

    if (strncmp(name, NODE_MMIO, sizeof(NODE_MMIO) - 1)) {
        parsed.kind = PLACE_PCI;
        if (place_parse_sbdf(name, &parsed.sbdf))
            return -EINVAL;
    } else {
        snprintf(text, sizeof(text), "0x%s", name + sizeof(NODE_MMIO) - 1);
        if (parse_u64(text, 0, UINT64_MAX, &parsed.base) ||
            parse_u32(value, 0, UINT32_MAX, &parsed.line))
            return -EINVAL;
    }
    *p = parsed;
    return 0;
}

int place_parse_sbdf(const char *text, sbdf_t *sbdf)
{
    char colons[] = "ssss:bb:dd.f";

    if (!parse_sbdf(text, sbdf))
        return 0;
    if (strlen(text) != sizeof(colons) - 1 || text[4] != '-' || text[7] != '-' || text[10] != '-')
        return -EINVAL;
    memcpy(colons, text, sizeof(colons));
    colons[4] = ':';
    colons[7] = ':';
    colons[10] = '.';
    return parse_sbdf(colons, sbdf) ? -EINVAL : 0;
}
