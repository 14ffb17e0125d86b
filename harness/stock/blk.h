/* SPDX-License-Identifier: MIT */
/* What the checks of disks share. */
#ifndef RP_STOCK_BLK_H
#define RP_STOCK_BLK_H

#include "stock/device.h"

#define STOCK_SECTOR 512u

/* As much of the disk as may be written, at most `most`; the check is skipped for a read-only one.
 */
uint64_t stock_writable_bytes(struct stock *s, uint64_t most);

#endif
