/* SPDX-License-Identifier: MIT */
/*
 * Where a virtio-mmio device is, spelled the same for the agent and the fio engine:
 *
 *     base=0x2000000,irq=33
 *
 * The address of its registers and the number of its interrupt line, as a device tree would tell
 * the guest: on Arm an interrupt id of the GIC (the first SPI is 32), on x86 a GSI.
 */
#ifndef RP_UTIL_MMIO_WINDOW_H
#define RP_UTIL_MMIO_WINDOW_H

#include "util/types.h"

struct mmio_window {
    uint64_t base; /* guest-physical */
    uint32_t line;
};

/* Room for any message that mmio_window_parse writes. */
#define MMIO_WINDOW_ERROR_BYTES 160

/* Both keys are required. Refused with -EINVAL and a sentence in `error`: unknown, repeated or
 * malformed keys, a base that is not a multiple of 4. */
int mmio_window_parse(const char *text, struct mmio_window *w, char error[MMIO_WINDOW_ERROR_BYTES]);

#endif
