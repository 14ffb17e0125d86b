/* SPDX-License-Identifier: MIT */
#include "backend/bridge.h"

#include <errno.h>
#include <stdlib.h>

#include "backend/link.h"
#include "pci/port.h"
#include "util/log.h"
#include "util/mutant.h"
#include "xen/irq.h"

#define LINES              4u /* INTx lines that pins are spread over */
#define PINS_PER_BUS       (32u * 4u)
#define ECAM_FN_BYTES      4096u
#define MUTANT_PIECE_READS 16u

struct bridges;

struct bridge {
    struct bridges *all;
    struct host_bridge where;
    struct pci_host *host;
    /* How many functions hold a pin of a device up; pins of one device are one wire. */
    uint8_t *pin_holders; /* (bus - bus_first) * PINS_PER_BUS + device * 4 + pin - 1 */
};

/* A function on a bus. */
struct occupant {
    struct occupant *next;
    sbdf_t at;
    sbdf_t wire; /* whose pin its pin is: its own, or its port's (device 0 of a slot, no swizzle) */
    struct bridge *bridge;
    struct pci_port *port,
        *behind;                   /* the port that it is, or in whose slot it is; NULL; borrowed */
    struct pci_function *function; /* borrowed */
    uint64_t *interrupts;          /* borrowed, may be NULL */
    bool claimed;
    unsigned claimed_bus; /* of a slot, for a port or what is in it; 0: none */
};

struct bridges {
    struct bridges_config config;
    struct bridge list[BRIDGES_MAX];
    unsigned count;
    unsigned line_holders[LINES];
    struct occupant *occupants;
    struct ioreq_server *server; /* borrowed; NULL while not connected */
    bool linked;                 /* connected to the bridge's process */
    unsigned mutant_reads;       /* that mutants count */
    bool mutant_attached;        /* what a mutant remembers */
    struct bridges_stats stats;
};

static struct occupant *find_occupant(struct bridges *b, sbdf_t at)
{
    for (struct occupant *p = b->occupants; p; p = p->next)
        if (p->at.raw == at.raw)
            return p;
    return NULL;
}

/* ---- outputs of the PCI hosts ---- */

static void count_interrupt(struct bridges *b, sbdf_t from)
{
    struct occupant *p = find_occupant(b, from);

    if (p && p->interrupts)
        (*p->interrupts)++;
}

static void host_msi(void *ctx, sbdf_t from, uint64_t addr, uint32_t data)
{
    struct bridge *br = ctx;
    struct bridges *b = br->all;
    int rc = b->config.link ? link_msi(b->config.link, addr, data)
                            : xen_irq_msi(b->config.xen, b->config.domid, addr, data);

    if (rc) {
        b->stats.msi_failed++;
        log_warn_limited("msi to %#llx, data %#x: error %d", (unsigned long long)addr, data, rc);
        return;
    }
    b->stats.msi++;
    count_interrupt(b, from);
}

static void host_intx(void *ctx, sbdf_t from, unsigned pin, bool level)
{
    struct bridge *br = ctx;
    struct bridges *b = br->all;
    const struct occupant *occupant = find_occupant(b, from);
    sbdf_t wire = occupant ? occupant->wire : from;
    unsigned device = sbdf_device(wire);
    uint8_t *holders = &br->pin_holders[(sbdf_bus(wire) - br->where.bus_first) * PINS_PER_BUS +
                                        device * 4 + (pin - 1)];
    bool was = *holders != 0;
    int rc = 0;

    if (level) {
        (*holders)++;
        count_interrupt(b, from);
    } else if (*holders) {
        (*holders)--;
    }
    if (was == (*holders != 0))
        return;
    if (b->config.link) {
        rc = link_pin(b->config.link, wire, pin, level);
    } else if (b->config.intx_line == BRIDGE_NO_LINE) {
        rc = xen_irq_intx(b->config.xen, b->config.domid, wire, pin, level);
    } else {
        unsigned line = (device + pin - 1) % LINES;

        was = b->line_holders[line] != 0;
        b->line_holders[line] += level ? 1u : -1u;
        if (was != (b->line_holders[line] != 0))
            rc = xen_irq_line(b->config.xen, b->config.domid, b->config.intx_line + line, level);
    }
    if (rc) {
        b->stats.intx_failed++;
        log_warn_limited("interrupt level of device %u pin %u: error %d", device, pin, rc);
        return;
    }
    b->stats.intx++;
}

/* ---- claims: of Xen, or of the process that has the bridge ---- */

static bool connected(const struct bridges *b)
{
    return b->server || b->linked;
}

static int claim_range(struct bridges *b, uint64_t first, uint64_t last)
{
    return b->linked ? link_claim(b->config.link, first, last)
                     : ioreq_server_map_mmio(b->server, first, last);
}

static void unclaim_range(struct bridges *b, uint64_t first, uint64_t last)
{
    if (b->linked)
        link_unclaim(b->config.link, first, last);
    else
        (void)ioreq_server_unmap_mmio(b->server, first, last);
}

static int host_bar_mapped(void *ctx, sbdf_t of, unsigned bar, struct pci_range range)
{
    struct bridges *b = ((struct bridge *)ctx)->all;
    int rc;

    if (!connected(b) || (MUTANT(bars_beyond_bus_0_unclaimed) && sbdf_bus(of) > 0))
        return 0;
    rc = claim_range(b, range.first, range.last);
    if (rc)
        log_warn_limited("BAR %u of function %#x at %#llx cannot be claimed: error %d", bar, of.raw,
                         (unsigned long long)range.first, rc);
    return rc;
}

static void host_bus_moved(void *ctx, sbdf_t port);

static void host_bar_unmapped(void *ctx, sbdf_t of, unsigned bar, struct pci_range range)
{
    struct bridges *b = ((struct bridge *)ctx)->all;

    if (connected(b))
        unclaim_range(b, range.first, range.last);
}

static const struct pci_host_ops window_ops = {.msi = host_msi, .intx = host_intx};
static const struct pci_host_ops function_ops = {
    .msi = host_msi,
    .intx = host_intx,
    .bar_mapped = host_bar_mapped,
    .bar_unmapped = host_bar_unmapped,
    .bus_moved = host_bus_moved,
};

static int claim_window(struct bridges *b, uint64_t base, uint64_t bytes, bool same)
{
    return same ? ioreq_server_map_mmio_whole(b->server, base, base + bytes - 1)
                : ioreq_server_map_mmio(b->server, base, base + bytes - 1);
}

static int claim_bar_windows(struct bridges *b, bool same)
{
    int rc = 0;

    for (unsigned i = 0; !rc && i < b->count; i++)
        rc = claim_window(b, b->list[i].where.mem_base, b->list[i].where.mem_bytes, same);
    return rc;
}

/* ---- inputs from the IOREQ server ---- */

static uint64_t access_read(void *ctx, uint64_t addr, unsigned bytes)
{
    struct bridges *b = ctx;
    uint64_t value;

    if (MUTANT(first_reads_are_zero) && b->mutant_reads++ < 4)
        return 0;
    if (MUTANT(first_read_after_attach_is_zero) && b->mutant_attached) {
        b->mutant_attached = false;
        return 0;
    }
    if (MUTANT(window_claimed_in_pieces) && ++b->mutant_reads == MUTANT_PIECE_READS)
        claim_bar_windows(b, false);
    for (unsigned i = 0; i < b->count; i++)
        if (pci_host_read(b->list[i].host, addr, bytes, &value))
            return value;
    b->stats.unclaimed++;
    return MUTANT(bridge_unclaimed_reads_zero) ? 0 : UINT64_MAX;
}

static void access_write(void *ctx, uint64_t addr, unsigned bytes, uint64_t value)
{
    struct bridges *b = ctx;

    for (unsigned i = 0; i < b->count; i++)
        if (pci_host_write(b->list[i].host, addr, bytes, value))
            return;
    b->stats.unclaimed++;
}

static struct bridge *bridge_of(struct bridges *b, sbdf_t at)
{
    for (unsigned i = 0; i < b->count; i++)
        if (pci_host_serves(b->list[i].host, at))
            return &b->list[i];
    return NULL;
}

static uint64_t config_read(void *ctx, sbdf_t at, unsigned offset, unsigned bytes)
{
    struct bridge *br = bridge_of(ctx, at);

    return br ? pci_host_config_read(br->host, at, offset, bytes) : UINT64_MAX;
}

static void config_write(void *ctx, sbdf_t at, unsigned offset, unsigned bytes, uint64_t value)
{
    struct bridge *br = bridge_of(ctx, at);

    if (br)
        pci_host_config_write(br->host, at, offset, bytes, value);
}

static const struct ioreq_ops ioreq_ops = {
    .read = access_read,
    .write = access_write,
    .config_read = config_read,
    .config_write = config_write,
};

const struct ioreq_ops *bridges_ioreq_ops(void)
{
    return &ioreq_ops;
}

/* ---- claims ---- */

/*
 * A slot is on the bus that the guest gives to its port, and moves with it. By addresses the port
 * claims this bus whole: nothing else can be there, and what is not there reads all ones. By
 * function numbers each function in the slot claims its own.
 */
static unsigned slot_bus(const struct bridges *b, const struct occupant *p)
{
    const struct pci_port *port = b->config.claim == BRIDGE_CLAIM_FUNCTIONS ? p->port
                                  : b->config.claim == BRIDGE_CLAIM_PCIDEV  ? p->behind
                                                                            : NULL;
    const struct host_bridge *w = &p->bridge->where;
    unsigned bus = port ? pci_port_bus(port) : 0;

    if (MUTANT(slot_bus_claimed_once) && p->claimed_bus)
        return p->claimed_bus;
    return bus > w->bus_first && bus <= w->bus_last ? bus : 0;
}

static sbdf_t in_slot(const struct occupant *p, unsigned bus)
{
    return SBDF(p->bridge->where.segment, bus, 0, sbdf_function(p->at));
}

static uint64_t bus_address(const struct occupant *p, unsigned bus)
{
    return host_bridge_config_addr(&p->bridge->where, SBDF(p->bridge->where.segment, bus, 0, 0));
}

static int claim_slot(struct bridges *b, struct occupant *p)
{
    unsigned bus = slot_bus(b, p);
    int rc;

    if (!bus || p->claimed_bus)
        return 0;
    if (p->port)
        rc = claim_range(b, bus_address(p, bus), bus_address(p, bus) + ECAM_BYTES_PER_BUS - 1);
    else
        rc = ioreq_server_map_function(b->server, in_slot(p, bus));
    if (!rc)
        p->claimed_bus = bus;
    return rc;
}

static void unclaim_slot(struct bridges *b, struct occupant *p)
{
    unsigned bus = p->claimed_bus;

    p->claimed_bus = 0;
    if (bus && p->port)
        unclaim_range(b, bus_address(p, bus), bus_address(p, bus) + ECAM_BYTES_PER_BUS - 1);
    else if (bus)
        (void)ioreq_server_unmap_function(b->server, in_slot(p, bus));
}

/* First all that is not right any more, so that ports can change their buses. */
static void host_bus_moved(void *ctx, sbdf_t port)
{
    struct bridges *b = ((struct bridge *)ctx)->all;

    if (!connected(b))
        return;
    for (struct occupant *p = b->occupants; p; p = p->next)
        if (p->claimed_bus && p->claimed_bus != slot_bus(b, p))
            unclaim_slot(b, p);
    for (struct occupant *p = b->occupants; p; p = p->next) {
        int rc = claim_slot(b, p);

        if (rc)
            log_warn_limited("the bus behind port %#x cannot be claimed: error %d", port.raw, rc);
    }
}

static int claim_occupant(struct bridges *b, struct occupant *p)
{
    uint64_t base = host_bridge_config_addr(&p->bridge->where, p->at);
    int rc = 0;

    if (MUTANT(functions_beyond_bus_0_unclaimed) && sbdf_bus(p->at) > 0)
        return 0;
    if (p->behind)
        return claim_slot(b, p);
    if (b->config.claim == BRIDGE_CLAIM_FUNCTIONS)
        rc = claim_range(b, base, base + ECAM_FN_BYTES - 1);
    else if (b->config.claim == BRIDGE_CLAIM_PCIDEV)
        rc = ioreq_server_map_function(b->server, p->at);
    p->claimed = rc == 0;
    return rc ? rc : claim_slot(b, p);
}

static void unclaim_occupant(struct bridges *b, struct occupant *p)
{
    uint64_t base = host_bridge_config_addr(&p->bridge->where, p->at);

    unclaim_slot(b, p);
    if (!p->claimed)
        return;
    p->claimed = false;
    if (b->config.claim == BRIDGE_CLAIM_FUNCTIONS)
        unclaim_range(b, base, base + ECAM_FN_BYTES - 1);
    else if (b->config.claim == BRIDGE_CLAIM_PCIDEV)
        (void)ioreq_server_unmap_function(b->server, p->at);
}

int bridges_connect(struct bridges *b, struct ioreq_server *server, bool same_windows)
{
    int rc = 0;

    b->server = server;
    if (b->config.claim == BRIDGE_CLAIM_WINDOW) {
        for (unsigned i = 0; !rc && i < b->count; i++) {
            const struct host_bridge *w = &b->list[i].where;

            rc = claim_window(b, w->ecam_base, w->ecam_bytes, same_windows);
        }
        if (!rc && !MUTANT(window_claimed_in_pieces))
            rc = claim_bar_windows(b, same_windows);
    }
    for (struct occupant *p = b->occupants; !rc && p; p = p->next)
        rc = claim_occupant(b, p);
    if (rc)
        b->server = NULL;
    return rc;
}

int bridges_connect_link(struct bridges *b)
{
    int rc = 0;

    b->linked = true;
    for (struct occupant *p = b->occupants; !rc && p; p = p->next)
        rc = claim_occupant(b, p);
    if (rc)
        b->linked = false;
    return rc;
}

void bridges_disconnect(struct bridges *b)
{
    b->server = NULL;
    b->linked = false;
}

/* ---- functions of other processes ---- */

static bool in_range(uint64_t first, uint64_t last, uint64_t base, uint64_t bytes)
{
    return first >= base && last >= first && last - base < bytes;
}

int bridges_link_allowed(void *ctx, uint64_t first, uint64_t last)
{
    struct bridges *b = ctx;

    for (unsigned i = 0; i < b->count; i++) {
        const struct host_bridge *w = &b->list[i].where;

        if (in_range(first, last, w->mem_base, w->mem_bytes))
            return 0;
        if (!in_range(first, last, w->ecam_base, w->ecam_bytes))
            continue;
        /* Configuration space goes by whole functions, and one that is ours is taken. */
        if (first % ECAM_FN_BYTES || last - first != ECAM_FN_BYTES - 1)
            return -EINVAL;
        for (struct occupant *p = b->occupants; p; p = p->next)
            if (p->bridge == &b->list[i] && host_bridge_config_addr(w, p->at) == first)
                return -EEXIST;
        return 0;
    }
    return -EINVAL;
}

int bridges_link_msi(void *ctx, uint64_t addr, uint32_t data)
{
    struct bridges *b = ctx;
    int rc = xen_irq_msi(b->config.xen, b->config.domid, addr, data);

    if (rc)
        b->stats.msi_failed++;
    else
        b->stats.msi++;
    return rc;
}

void bridges_link_pin(void *ctx, sbdf_t from, unsigned pin, bool level)
{
    struct bridge *br = bridge_of(ctx, from);

    if (br)
        host_intx(br, from, pin, level);
}

static int attach(struct bridges *b, const struct occupant *what)
{
    struct bridge *br = bridge_of(b, what->at);
    sbdf_t at = what->at;
    struct occupant *p;
    int rc;

    if (!br || bridge_of(b, what->wire) != br || (what->behind && b->config.link))
        return -EINVAL;
    if (find_occupant(b, at))
        return -EEXIST;
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    *p = *what;
    p->bridge = br;
    rc = p->behind ? pci_host_attach_behind(br->host, p->behind, at, p->function)
                   : pci_host_attach(br->host, at, p->function);
    if (rc) {
        free(p);
        return rc;
    }
    p->next = b->occupants;
    b->occupants = p;
    b->mutant_attached = connected(b);
    if (connected(b)) {
        rc = claim_occupant(b, p);
        if (rc)
            bridges_detach(b, at);
    }
    return rc;
}

int bridges_attach(struct bridges *b, sbdf_t at, struct pci_function *f, uint64_t *interrupts)
{
    const struct occupant what = {.at = at, .wire = at, .function = f, .interrupts = interrupts};

    return attach(b, &what);
}

int bridges_attach_port(struct bridges *b, sbdf_t at, struct pci_port *port)
{
    const struct occupant what = {
        .at = at, .wire = at, .port = port, .function = pci_port_function(port)};

    return attach(b, &what);
}

int bridges_attach_behind(struct bridges *b, sbdf_t at, sbdf_t port_at, struct pci_port *port,
                          struct pci_function *f, uint64_t *interrupts)
{
    const struct occupant what = {
        .at = at, .wire = port_at, .behind = port, .function = f, .interrupts = interrupts};

    return attach(b, &what);
}

void bridges_detach(struct bridges *b, sbdf_t at)
{
    for (struct occupant **link = &b->occupants; *link; link = &(*link)->next) {
        struct occupant *p = *link;

        if (p->at.raw != at.raw)
            continue;
        pci_host_detach(p->bridge->host, p->function);
        if (connected(b))
            unclaim_occupant(b, p);
        *link = p->next;
        free(p);
        return;
    }
}

bool bridges_have(const struct bridges *b, const struct place *window)
{
    if (b->count && b->config.intx_line != BRIDGE_NO_LINE &&
        window->line - b->config.intx_line < LINES)
        return true;
    for (unsigned i = 0; i < b->count; i++)
        if (place_in_bridge(window, &b->list[i].where))
            return true;
    return false;
}

int bridges_create(const struct bridges_config *config, struct bridges **out)
{
    struct bridges *b;
    int rc = 0;

    if (config->count > BRIDGES_MAX)
        return -EINVAL;
    b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->config = *config;
    b->config.list = NULL;
    for (unsigned i = 0; i < config->count; i++) {
        const struct host_bridge *w = &config->list[i];
        struct pci_host_config host = {
            .segment = w->segment,
            .bus_first = w->bus_first,
            .bus_last = w->bus_last,
            .ecam_base = w->ecam_base,
            .ecam_bytes = w->ecam_bytes,
            .windows = {{w->mem_base, w->mem_base + w->mem_bytes - 1}},
            .window_count = 1,
        };
        struct bridge *br = &b->list[i];

        br->all = b;
        br->where = *w;
        br->pin_holders = calloc((size_t)(w->bus_last - w->bus_first) + 1, PINS_PER_BUS);
        b->count = i + 1;
        if (!br->pin_holders) {
            rc = -ENOMEM;
            goto out;
        }
        rc = pci_host_create(&host,
                             config->claim == BRIDGE_CLAIM_WINDOW ? &window_ops : &function_ops, br,
                             &br->host);
        if (rc)
            goto out;
    }
out:
    if (rc)
        bridges_destroy(b);
    else
        *out = b;
    return rc;
}

void bridges_destroy(struct bridges *b)
{
    if (!b)
        return;
    while (b->occupants)
        bridges_detach(b, b->occupants->at);
    for (unsigned i = 0; i < b->count; i++) {
        pci_host_destroy(b->list[i].host);
        free(b->list[i].pin_holders);
    }
    free(b);
}

const struct bridges_stats *bridges_get_stats(const struct bridges *b)
{
    return &b->stats;
}
