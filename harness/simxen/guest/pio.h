/* SPDX-License-Identifier: MIT */
/*
 * x86 I/O ports of a simulated guest. Exported by platform-simxen.so beside the platform, for those
 * who look them up by name: no other platform has them. Accesses of 1, 2 or 4 bytes; 0xcf8 and
 * 0xcfc are PCI's configuration mechanism 1. Errors as of mmio_read and mmio_write of the platform,
 * and -EOPNOTSUPP on Arm. `p` must be a platform that this plugin opened.
 */
#ifndef SIMXEN_GUEST_PIO_H
#define SIMXEN_GUEST_PIO_H

#include "frontend/platform.h"

#pragma GCC visibility push(default)

int simxen_guest_pio_read(struct fe_platform *p, unsigned vcpu, uint16_t port, unsigned bytes,
                          uint32_t *value);
int simxen_guest_pio_write(struct fe_platform *p, unsigned vcpu, uint16_t port, unsigned bytes,
                           uint32_t value);

#pragma GCC visibility pop

#endif
