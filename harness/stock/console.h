/* SPDX-License-Identifier: MIT */
/* What the checks of consoles share. */
#ifndef RP_STOCK_CONSOLE_H
#define RP_STOCK_CONSOLE_H

#include "stock/device.h"

/* The terminal that Linux makes of port 0: a descriptor, or -1 with errno. */
int stock_console_open(void);

#endif
