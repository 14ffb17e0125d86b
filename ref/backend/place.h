/* SPDX-License-Identifier: MIT */
/*
 * Where a device is in the guest's machine: a function of a PCI bus, or a window of registers with
 * an interrupt line of its own (virtio over MMIO).
 */
#ifndef RP_BACKEND_PLACE_H
#define RP_BACKEND_PLACE_H

#include "util/host_bridge.h"
#include "util/types.h"

enum place_kind { PLACE_PCI, PLACE_MMIO };

struct place {
    enum place_kind kind;
    sbdf_t sbdf;   /* PCI */
    uint64_t base; /* MMIO: guest-physical, a multiple of VIRTIO_MMIO_BYTES, which it is long */
    uint32_t line; /* MMIO: as xen_irq_line takes it */
};

bool place_same(const struct place *a, const struct place *b);
/* Whether two devices cannot be there at once: one function, one window or one line. */
bool place_meets(const struct place *a, const struct place *b);
/* Whether a window lies in what a bridge decodes. */
bool place_in_bridge(const struct place *p, const struct host_bridge *hb);

/* The longest, "0x" with 16 digits, and its NUL. */
#define PLACE_TEXT_BYTES 20
/* For people: "0000:00:01.0", "0x2000000". */
void place_format(const struct place *p, char text[PLACE_TEXT_BYTES]);

/*
 * For Xenstore, as a node's name and value: "0000-00-01-0" and nothing, "mmio-2000000" and the
 * line. Parsing is -EINVAL for anything else.
 */
#define PLACE_NODE_BYTES 24
void place_node_format(const struct place *p, char name[PLACE_NODE_BYTES],
                       char value[PLACE_NODE_BYTES]);
int place_node_parse(struct place *p, const char *name, const char *value);

/* An sbdf in either spelling: "0000:00:01.0" or "0000-00-01-0", since Xenstore's paths cannot
 * have ':' and '.'. -EINVAL. */
int place_parse_sbdf(const char *text, sbdf_t *sbdf);

#endif
