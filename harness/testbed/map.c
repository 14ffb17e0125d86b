/* SPDX-License-Identifier: MIT */
#include "testbed/map.h"

#include <inttypes.h>
#include <stdio.h>

#define MMIO_WINDOW_BYTES 0x200u /* VIRTIO 4.2.1 */

static const struct testbed_map maps[] = {
    [ARCH_X86] = {.ram_base = 0,
                  .bus_last = 63,
                  .ecam_base = 0xe0000000,
                  .ecam_bytes = 0x4000000,
                  .mem_base = 0xe4000000,
                  .mem_bytes = 0x4000000,
                  .mmio_base = 0xfeb00000,
                  .mmio_line = 5},
    [ARCH_ARM] = {.ram_base = 0x40000000,
                  .bus_last = 255,
                  .ecam_base = 0x10000000,
                  .ecam_bytes = 0x10000000,
                  .mem_base = 0x23000000,
                  .mem_bytes = 0x8000000,
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
    m->bus_first = 0;
    m->bus_last = other->bus_last;
    m->ecam_base = other->ecam_base;
    m->ecam_bytes = other->ecam_bytes;
    m->mem_base = other->mem_base;
    m->mem_bytes = other->mem_bytes;
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

const char *testbed_map_bridge(const struct testbed_map *p, char *buf, size_t size)
{
    snprintf(buf, size,
             "seg=%u,bus=%u-%u,ecam=0x%" PRIx64 "+0x%" PRIx64 ",mem=0x%" PRIx64 "+0x%" PRIx64,
             p->segment, p->bus_first, p->bus_last, p->ecam_base, p->ecam_bytes, p->mem_base,
             p->mem_bytes);
    return buf;
}
