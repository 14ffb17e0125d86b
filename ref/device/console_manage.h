/* SPDX-License-Identifier: MIT */
/*
 * Management of a console device at run time: a listening Unix socket that takes lines and
 * answers each with "ok" or "error: REASON".
 *
 *     resize COLS ROWS    the size of the console ports
 *     remove PORT         take a port away from the driver
 *     add PORT            give it back
 *
 * One client at a time; others wait. A line that is too long ends the connection.
 */
#ifndef RP_DEVICE_CONSOLE_MANAGE_H
#define RP_DEVICE_CONSOLE_MANAGE_H

#include "device/console_end.h"

#define CONSOLE_LINE_BYTES 128u

struct console_manage {
    struct vdev *device; /* borrowed; NULL: there is no socket */
    struct console_end end;
    char line[CONSOLE_LINE_BYTES];
    size_t used;
};

/* `m` is caller storage that does not move; errors as console_create's. */
int console_manage_init(struct console_manage *m, struct vdev *d, const char *path, char *error,
                        size_t error_bytes);
void console_manage_fini(struct console_manage *m); /* zeroed storage is allowed */

#endif
