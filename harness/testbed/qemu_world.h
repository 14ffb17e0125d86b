/* SPDX-License-Identifier: MIT */
/* What cells of the testbed `qemu` share: the keeper of machines, and what is put into images. */
#ifndef RP_TESTBED_QEMU_WORLD_H
#define RP_TESTBED_QEMU_WORLD_H

#include "testbed/testbed.h"
#include "testbed/xen_cell.h"
#include "testbed/xen_costs.h"

/* Where our programs are in dom0. */
#define QEMU_LOOP    "/opt/ringproof/dom0-loop"
#define QEMU_BACKEND "/opt/ringproof/bin/ringproof-backend"
#define QEMU_COSTS   "/opt/ringproof/" XEN_COSTS_PRELOAD
/* Libraries of a backend of others, beside those that dom0 has. */
#define QEMU_LIBRARIES "/opt/ringproof/lib"

struct testbed_world {
    char *dir, *socket, *program; /* program: ringproof-machine */
    struct process keeper;
    const char *prefix[4];
    struct xen_place place;
};

int qemu_world_open(const struct testbed_config *cfg, const char *dir, struct testbed_world **out,
                    char *why, size_t why_size);
void qemu_world_close(struct testbed_world *w);
/* The machine that a cell runs on: "x86", "arm64", "arm64-driver", "arm64-dom0less", ... */
const char *qemu_machine_name(const struct scenario_cell *plan);
void qemu_versions(const struct testbed_config *cfg,
                   void (*add)(void *ctx, const char *name, const char *value), void *ctx);
#endif
