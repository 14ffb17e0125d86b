/* SPDX-License-Identifier: MIT */
#include "testbed/profile.h"

#include <inttypes.h>
#include <stdio.h>

static const struct testbed_profile profiles[] = {
    [ARCH_X86] = {.ram_base = 0,
                  .bus_last = 63,
                  .ecam_base = 0xe0000000,
                  .ecam_bytes = 0x4000000,
                  .mem_base = 0xe4000000,
                  .mem_bytes = 0x4000000},
    [ARCH_ARM] = {.ram_base = 0x40000000,
                  .bus_last = 255,
                  .ecam_base = 0x10000000,
                  .ecam_bytes = 0x10000000,
                  .mem_base = 0x23000000,
                  .mem_bytes = 0x8000000,
                  .intx_line = 44},
};

const struct testbed_profile *testbed_profile(enum scenario_arch arch)
{
    return &profiles[arch];
}

const char *testbed_profile_bridge(const struct testbed_profile *p, char *buf, size_t size)
{
    snprintf(buf, size,
             "seg=%u,bus=%u-%u,ecam=0x%" PRIx64 "+0x%" PRIx64 ",mem=0x%" PRIx64 "+0x%" PRIx64,
             p->segment, p->bus_first, p->bus_last, p->ecam_base, p->ecam_bytes, p->mem_base,
             p->mem_bytes);
    return buf;
}
