/* SPDX-License-Identifier: MIT */
#include "testbed/map.h"

#include <inttypes.h>
#include <stdio.h>

#define MMIO_WINDOW_BYTES 0x200u /* VIRTIO 4.2.1 */

static const struct testbed_map maps[] = {
    [ARCH_X86] = {.ram_base = 0,
                  .bridges = {{.bus_last = 63,
                               .ecam_base = 0xe0000000,
                               .ecam_bytes = 0x4000000,
                               .mem_base = 0xe4000000,
                               .mem_bytes = 0x4000000}},
                  .bridge_count = 1,
                  .mmio_base = 0xfeb00000,
                  .mmio_line = 5},
    [ARCH_ARM] = {.ram_base = 0x40000000,
                  .bridges = {{.bus_last = 255,
                               .ecam_base = 0x10000000,
                               .ecam_bytes = 0x10000000,
                               .mem_base = 0x23000000,
                               .mem_bytes = 0x8000000}},
                  .bridge_count = 1,
                  .intx_line = 44,
                  .mmio_base = 0x2000000,
                  .mmio_line = 33},
};

const struct testbed_map *testbed_map(enum scenario_arch arch)
{
    return &maps[arch];
}

void testbed_map_override(struct testbed_map *m, const struct profile_map *other)
{
    m->bridges[0] = (struct host_bridge){.bus_last = other->bus_last,
                                         .ecam_base = other->ecam_base,
                                         .ecam_bytes = other->ecam_bytes,
                                         .mem_base = other->mem_base,
                                         .mem_bytes = other->mem_bytes};
}

void testbed_map_divide(struct testbed_map *m, const struct scenario *s)
{
    const struct host_bridge whole = m->bridges[0];
    uint64_t mem = whole.mem_bytes / SCENARIO_BRIDGES_MAX, ecam = whole.ecam_base;

    for (unsigned i = 0; i < s->bridge_count; i++) {
        const struct scenario_bridge *b = &s->bridges[i];
        uint64_t bytes = (b->bus_last - b->bus_first + 1u) * ECAM_BYTES_PER_BUS;

        m->bridges[i] = (struct host_bridge){.segment = b->segment,
                                             .bus_first = b->bus_first,
                                             .bus_last = b->bus_last,
                                             .ecam_base = ecam,
                                             .ecam_bytes = bytes,
                                             .mem_base = whole.mem_base + i * mem,
                                             .mem_bytes = mem};
        ecam += bytes;
    }
    if (s->bridge_count)
        m->bridge_count = s->bridge_count;
}

bool testbed_map_bus(const struct testbed_map *p, uint64_t bus, uint64_t *addr)
{
    for (unsigned i = 0; bus <= UINT8_MAX && i < p->bridge_count; i++) {
        sbdf_t at = SBDF(0, (unsigned)bus, 0, 0);

        if (!host_bridge_covers(&p->bridges[i], at))
            continue;
        *addr = host_bridge_config_addr(&p->bridges[i], at);
        return true;
    }
    return false;
}

uint64_t testbed_map_mmio_base(const struct testbed_map *p, unsigned n)
{
    return p->mmio_base + (uint64_t)n * MMIO_WINDOW_BYTES;
}

unsigned testbed_map_mmio_line(const struct testbed_map *p, unsigned n)
{
    return p->mmio_line + n;
}

const char *testbed_map_mmio(const struct testbed_map *p, unsigned n, char *buf, size_t size)
{
    snprintf(buf, size, "base=0x%" PRIx64 ",irq=%u", testbed_map_mmio_base(p, n),
             testbed_map_mmio_line(p, n));
    return buf;
}

const char *testbed_map_bridge(const struct testbed_map *p, unsigned bridge,
                               char text[TESTBED_BRIDGE_BYTES])
{
    if (host_bridge_format(&p->bridges[bridge], text, TESTBED_BRIDGE_BYTES) < 0)
        text[0] = 0; /* it fits: every member has a fixed width */
    return text;
}
