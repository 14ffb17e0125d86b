/* SPDX-License-Identifier: MIT */
/* What a device of a cell is: its settings by name, for whatever way its backend takes them. */
#ifndef RP_TESTBED_SETTINGS_H
#define RP_TESTBED_SETTINGS_H

#include "testbed/testbed.h"

/* Calls `set` for each, until one fails: its error, -ENOMEM, or 0. */
int testbed_device_settings(struct testbed_cell *c, unsigned index,
                            int (*set)(void *ctx, const char *key, const char *value), void *ctx);

/* The command of a backend's profile (c->config->profile), for a program that is it. Errors as in
 * testbed.h; -EOPNOTSUPP: the profile has no way to say what this cell's devices are. */
int vendor_arguments(struct testbed_cell *c, const char *program, int ready_fd, struct words *argv);
/* Of READY_STORE: malloc'd; NULL with a message in c->why. */
char *vendor_ready_path(struct testbed_cell *c);

#endif
