/* SPDX-License-Identifier: MIT */
/* What the checks of consoles share. */
#ifndef RP_STOCK_CONSOLE_H
#define RP_STOCK_CONSOLE_H

#include "stock/device.h"

/*
 * The terminal that Linux makes of port 0: a descriptor, or -1 with errno. The device tells of the
 * port on its control queue (5.3.6.2), and Linux adds it in a work item some time after the driver
 * was bound: up to 10 s are waited for it.
 */
int stock_console_open(void);

#endif
