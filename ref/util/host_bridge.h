/* SPDX-License-Identifier: MIT */
/*
 * The --host-bridge option, spelled the same for the backend, the agent and the fio engine:
 *
 *     seg=0,bus=0-63,ecam=0xE0000000+0x4000000,mem=0xE4000000+0x4000000
 *
 * One ECAM host bridge as firmware would describe it to the guest (MCFG, device tree): which
 * buses of which segment its configuration window covers, and where its functions' BARs go.
 */
#ifndef RP_UTIL_HOST_BRIDGE_H
#define RP_UTIL_HOST_BRIDGE_H

#include "util/types.h"

#define ECAM_BYTES_PER_BUS 0x100000ull /* 32 devices, 8 functions, 4 KiB each */

struct host_bridge {
    uint16_t segment;
    uint8_t bus_first, bus_last;
    uint64_t ecam_base, ecam_bytes; /* guest-physical; bus_first is at ecam_base */
    uint64_t mem_base, mem_bytes;   /* window for BARs */
};

/* Room for any message that host_bridge_parse and _list_check write. */
#define HOST_BRIDGE_ERROR_BYTES 160

/*
 * Parse one option value. `seg` defaults to 0 and `bus` to what the ECAM window covers from bus
 * 0; `ecam` and `mem` are required. Refused with -EINVAL and a sentence in `error`: unknown,
 * repeated or malformed keys; windows that are not 4 KiB-aligned, that wrap or that overlap; an
 * ECAM window that is smaller than its buses need or not aligned to a bus.
 */
int host_bridge_parse(const char *text, struct host_bridge *hb,
                      char error[HOST_BRIDGE_ERROR_BYTES]);

/* 0 when no two bridges share a bus of a segment or a byte of a window, else -EINVAL. */
int host_bridge_list_check(const struct host_bridge *list, unsigned count,
                           char error[HOST_BRIDGE_ERROR_BYTES]);

/* Write the option value that parses to *hb. Returns the length, -ENOSPC if it does not fit. */
int host_bridge_format(const struct host_bridge *hb, char *text, unsigned text_bytes);

/* Whether the bridge decodes this function, and where its 4 KiB of configuration space lie. */
bool host_bridge_covers(const struct host_bridge *hb, sbdf_t sbdf);
uint64_t host_bridge_config_addr(const struct host_bridge *hb, sbdf_t sbdf);

#endif
