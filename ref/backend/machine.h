/* SPDX-License-Identifier: MIT */
/*
 * What this program is of a domain's machine: host bridges with functions behind them
 * (backend/bridge.h) and windows of virtio-mmio devices (backend/windows.h), together behind one
 * IOREQ server.
 */
#ifndef RP_BACKEND_MACHINE_H
#define RP_BACKEND_MACHINE_H

#include "backend/bridge.h"
#include "backend/link.h"
#include "backend/slots.h"
#include "backend/teller.h"
#include "backend/windows.h"

struct machine;

/* Errors as those of bridges_create, or -ENOMEM. */
int machine_create(const struct bridges_config *config, struct machine **out);
void machine_destroy(struct machine *m); /* NULL is allowed */

/* Root ports, once and before anything is attached; errors as those of slots_create. */
int machine_add_ports(struct machine *m, const struct root_port *list, unsigned count,
                      const struct slots_ops *ops, void *ctx);

/* Owned by the machine: devices are attached there. */
struct bridges *machine_bridges(struct machine *m);
struct windows *machine_windows(struct machine *m);
struct teller *machine_teller(struct machine *m);
struct slots *machine_slots(struct machine *m); /* NULL: it has no ports */

/* The callbacks to give to ioreq_server_create, with the machine as context. */
const struct ioreq_ops *machine_ioreq_ops(void);

/* Claim what is there, and from now on what comes; see bridges_connect. */
int machine_connect(struct machine *m, struct ioreq_server *server, bool same_windows);
/* The same over the link of the configuration; there are no windows of virtio-mmio then. */
int machine_connect_link(struct machine *m);
void machine_disconnect(struct machine *m);

/* Functions of other processes are behind our bridges; the machine owns the hub from here. */
void machine_take_hub(struct machine *m, struct link_hub *hub);

#endif
