/* SPDX-License-Identifier: MIT */
/*
 * Where things lie in a guest's physical address space: one map for each architecture, as
 * firmware would describe it. Mainline fixes none for virtio-pci on Arm; ours is a choice, too, and
 * a backend's profile can have another.
 *
 * virtio-mmio: on Arm the addresses and SPIs that libxl gives out, on x86 those of QEMU's microvm,
 * with ISA IRQs, the only lines of x86 that a backend can raise by their number.
 */
#ifndef RP_TESTBED_MAP_H
#define RP_TESTBED_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "profile/profile.h"
#include "scenario/scenario.h"
#include "util/host_bridge.h"

struct testbed_map {
    uint64_t ram_base;
    struct host_bridge bridges[SCENARIO_BRIDGES_MAX];
    unsigned bridge_count; /* at least 1 */
    /* The first of four lines that INTx pins share; 0: fixed by the architecture. */
    unsigned intx_line;
    /* The first virtio-mmio device; the next has the next window and the next line. */
    uint64_t mmio_base;
    unsigned mmio_line;
};

/* Of the n-th device of a cell. */
uint64_t testbed_map_mmio_base(const struct testbed_map *p, unsigned n);
unsigned testbed_map_mmio_line(const struct testbed_map *p, unsigned n);

const struct testbed_map *testbed_map(enum scenario_arch arch);
/* The host bridge is where a backend's profile says. */
void testbed_map_override(struct testbed_map *m, const struct profile_map *other);
/* A scenario that has several bridges: the windows of the one are theirs, piece by piece. */
void testbed_map_divide(struct testbed_map *m, const struct scenario *s);
/* A bridge as backend and agent take it: "seg=0,bus=0-63,ecam=0x..+0x..,mem=0x..+0x..". */
#define TESTBED_BRIDGE_BYTES 160
const char *testbed_map_bridge(const struct testbed_map *p, unsigned bridge,
                               char text[TESTBED_BRIDGE_BYTES]);
/* Configuration space of a bus of segment 0; false: it is behind no bridge. */
bool testbed_map_bus(const struct testbed_map *p, uint64_t bus, uint64_t *addr);
/* The n-th device as the agent takes it: "base=0x..,irq=N". */
const char *testbed_map_mmio(const struct testbed_map *p, unsigned n, char *buf, size_t size);

#endif
