/* SPDX-License-Identifier: MIT */
#include "backend/machine.h"

#include <errno.h>
#include <stdlib.h>

struct machine {
    struct bridges *bridges;
    struct windows *windows;
    struct teller *teller;
    struct slots *slots;  /* NULL: none */
    struct link_hub *hub; /* NULL: all functions are ours */
};

static uint64_t machine_read(void *ctx, uint64_t addr, unsigned bytes)
{
    struct machine *m = ctx;
    uint64_t value;

    if (windows_read(m->windows, addr, bytes, &value))
        return value;
    if (m->hub && link_hub_read(m->hub, addr, bytes, &value))
        return value;
    return bridges_ioreq_ops()->read(m->bridges, addr, bytes);
}

static void machine_write(void *ctx, uint64_t addr, unsigned bytes, uint64_t value)
{
    struct machine *m = ctx;

    if (windows_write(m->windows, addr, bytes, value))
        return;
    if (!m->hub || !link_hub_write(m->hub, addr, bytes, value))
        bridges_ioreq_ops()->write(m->bridges, addr, bytes, value);
}

static uint64_t machine_config_read(void *ctx, sbdf_t at, unsigned offset, unsigned bytes)
{
    struct machine *m = ctx;

    return bridges_ioreq_ops()->config_read(m->bridges, at, offset, bytes);
}

static void machine_config_write(void *ctx, sbdf_t at, unsigned offset, unsigned bytes,
                                 uint64_t value)
{
    struct machine *m = ctx;

    bridges_ioreq_ops()->config_write(m->bridges, at, offset, bytes, value);
}

const struct ioreq_ops *machine_ioreq_ops(void)
{
    static const struct ioreq_ops ops = {
        .read = machine_read,
        .write = machine_write,
        .config_read = machine_config_read,
        .config_write = machine_config_write,
    };

    return &ops;
}

struct bridges *machine_bridges(struct machine *m)
{
    return m->bridges;
}

struct windows *machine_windows(struct machine *m)
{
    return m->windows;
}

struct teller *machine_teller(struct machine *m)
{
    return m->teller;
}

struct slots *machine_slots(struct machine *m)
{
    return m->slots;
}

int machine_add_ports(struct machine *m, const struct root_port *list, unsigned count,
                      const struct slots_ops *ops, void *ctx)
{
    return count ? slots_create(m->bridges, list, count, ops, ctx, &m->slots) : 0;
}

int machine_connect(struct machine *m, struct ioreq_server *server, bool same_windows)
{
    int rc = bridges_connect(m->bridges, server, same_windows);

    if (!rc)
        rc = windows_connect(m->windows, server);
    if (!rc)
        slots_set_live(m->slots, true);
    return rc;
}

int machine_connect_link(struct machine *m)
{
    return bridges_connect_link(m->bridges);
}

void machine_take_hub(struct machine *m, struct link_hub *hub)
{
    m->hub = hub;
}

void machine_disconnect(struct machine *m)
{
    slots_set_live(m->slots, false);
    bridges_disconnect(m->bridges);
    windows_disconnect(m->windows);
}

int machine_create(const struct bridges_config *config, struct machine **out)
{
    struct machine *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return -ENOMEM;
    rc = bridges_create(config, &m->bridges);
    if (!rc)
        rc = windows_create(config->xen, config->domid, &m->windows);
    if (!rc)
        rc = teller_create(m->bridges, &m->teller);
    if (rc)
        machine_destroy(m);
    else
        *out = m;
    return rc;
}

void machine_destroy(struct machine *m)
{
    if (!m)
        return;
    link_hub_destroy(m->hub);
    teller_destroy(m->teller);
    windows_destroy(m->windows);
    slots_destroy(m->slots);
    bridges_destroy(m->bridges);
    free(m);
}
