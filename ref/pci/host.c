/* SPDX-License-Identifier: MIT */
#include "pci/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci/internal.h"
#include "util/mutant.h"

#define FUNCTIONS_PER_BUS  256u
#define BUSES              256u
#define ECAM_FUNCTION_BITS 12

/* One decoded BAR: what the dispatch of memory accesses looks at. */
struct decoded {
    struct pci_range range;
    struct pci_function *function;
    unsigned bar;
};

struct pci_host {
    struct pci_host_config config;
    const struct pci_host_ops *ops; /* borrowed */
    void *ctx;
    struct pci_function **buses[BUSES]; /* FUNCTIONS_PER_BUS each, NULL until used */
    struct pci_function *functions;     /* list of all */
    unsigned function_count;
    struct decoded *decoded; /* room for every BAR of every function */
    unsigned decoded_count;
    unsigned last_hit; /* accesses come in runs to one BAR */
    struct pci_port *ports[PCI_HOST_PORTS_MAX];
    unsigned port_count;
};

static bool range_overlaps(struct pci_range a, struct pci_range b)
{
    return a.first <= b.last && b.first <= a.last;
}

static int config_check(const struct pci_host_config *c)
{
    uint64_t buses = (uint64_t)c->bus_last - c->bus_first + 1;

    if (c->bus_last < c->bus_first || c->window_count > PCI_HOST_WINDOWS_MAX)
        return -EINVAL;
    if (c->ecam_bytes) {
        if ((c->ecam_base & (PCI_ECAM_BYTES_PER_BUS - 1)) ||
            c->ecam_bytes < buses * PCI_ECAM_BYTES_PER_BUS ||
            c->ecam_base + (c->ecam_bytes - 1) < c->ecam_base)
            return -EINVAL;
    }
    for (unsigned i = 0; i < c->window_count; i++) {
        struct pci_range w = c->windows[i];

        if (w.last < w.first)
            return -EINVAL;
        if (c->ecam_bytes &&
            range_overlaps(w, (struct pci_range){c->ecam_base, c->ecam_base + c->ecam_bytes - 1}))
            return -EINVAL;
        for (unsigned j = 0; j < i; j++)
            if (range_overlaps(w, c->windows[j]))
                return -EINVAL;
    }
    return 0;
}

int pci_host_create(const struct pci_host_config *config, const struct pci_host_ops *ops, void *ctx,
                    struct pci_host **out)
{
    struct pci_host *h;
    int rc = config_check(config);

    if (rc)
        return rc;
    h = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    h->config = *config;
    h->ops = ops;
    h->ctx = ctx;
    *out = h;
    return 0;
}

void pci_host_destroy(struct pci_host *h)
{
    if (!h)
        return;
    while (h->functions)
        pci_host_detach(h, h->functions);
    for (unsigned b = 0; b < BUSES; b++)
        free(h->buses[b]);
    free(h->decoded);
    free(h);
}

const struct pci_host_config *pci_host_get_config(const struct pci_host *h)
{
    return &h->config;
}

bool pci_host_serves(const struct pci_host *h, sbdf_t sbdf)
{
    return (sbdf_segment(sbdf) == h->config.segment || MUTANT(pci_segment_ignored)) &&
           sbdf_bus(sbdf) >= h->config.bus_first && sbdf_bus(sbdf) <= h->config.bus_last;
}

static unsigned slot_index(sbdf_t at)
{
    return at.raw & 0xff;
}

struct pci_function *pci_host_find(const struct pci_host *h, sbdf_t at)
{
    if (!pci_host_serves(h, at))
        return NULL;
    for (unsigned i = 0; sbdf_bus(at) != h->config.bus_first && i < h->port_count; i++)
        if (pci_port_has_bus(h->ports[i], sbdf_bus(at)))
            return pci_port_find(h->ports[i], at);
    if (!h->buses[sbdf_bus(at)])
        return NULL;
    return h->buses[sbdf_bus(at)][slot_index(at)];
}

/* A device with several functions says so in the header of each (PCI 3.0 6.2.1). */
static void update_multifunction(struct pci_host *h, sbdf_t at)
{
    struct pci_function **device = h->buses[sbdf_bus(at)] + (slot_index(at) & ~7u);
    unsigned count = 0;

    for (unsigned fn = 0; fn < 8; fn++)
        count += device[fn] != NULL;
    for (unsigned fn = 0; fn < 8; fn++)
        if (device[fn])
            device[fn]->multifunction = count > 1;
}

/* Room for the BARs of one function more. */
static int make_room(struct pci_host *h)
{
    struct decoded *decoded =
        realloc(h->decoded, (h->function_count + 1) * PCI_BARS * sizeof(*decoded));

    if (!decoded)
        return -ENOMEM;
    h->decoded = decoded;
    return 0;
}

static void take_in(struct pci_host *h, sbdf_t at, struct pci_function *f)
{
    h->function_count++;
    f->host = h;
    f->at = at;
    f->next = h->functions;
    h->functions = f;
}

int pci_host_attach(struct pci_host *h, sbdf_t at, struct pci_function *f)
{
    struct pci_function ***bus = &h->buses[sbdf_bus(at)];
    int rc;

    if (!pci_host_serves(h, at) || (f->port && sbdf_bus(at) != h->config.bus_first))
        return -EINVAL;
    if (f->host)
        return -EBUSY;
    if (f->port && h->port_count == PCI_HOST_PORTS_MAX)
        return -ENOSPC;
    if (*bus && (*bus)[slot_index(at)])
        return -EEXIST;
    if (!*bus) {
        *bus = calloc(FUNCTIONS_PER_BUS, sizeof(**bus));
        if (!*bus)
            return -ENOMEM;
    }
    rc = make_room(h);
    if (rc)
        return rc;
    (*bus)[slot_index(at)] = f;
    if (f->port)
        h->ports[h->port_count++] = f->port;
    take_in(h, at, f);
    update_multifunction(h, at);
    pci_host_update_decode(h, f);
    pci_function_update_intx(f);
    pci_msix_deliver(f);
    return 0;
}

int pci_host_attach_behind(struct pci_host *h, struct pci_port *port, sbdf_t at,
                           struct pci_function *f)
{
    uint8_t *cold;
    int rc;

    if (pci_port_function(port)->host != h)
        return -EINVAL;
    if (f->host)
        return -EBUSY;
    rc = make_room(h);
    if (rc)
        return rc;
    cold = realloc(f->cold, PCI_CONFIG_BYTES);
    if (!cold)
        return -ENOMEM;
    f->cold = cold;
    memcpy(f->cold, f->config, PCI_CONFIG_BYTES);
    rc = pci_port_put(port, sbdf_device(at), sbdf_function(at), f);
    if (rc)
        return rc;
    f->behind = port;
    take_in(h, at, f);
    pci_function_update_intx(f);
    return 0;
}

/* ---- decoding of BARs ---- */

static bool bar_wanted(const struct pci_host *h, const struct pci_function *f, unsigned bar,
                       struct pci_range *range)
{
    uint64_t size = f->bars[bar].size_bytes;
    uint64_t addr;

    if (!size)
        return false;
    if (!(pci_function_peek(f, PCI_REG_COMMAND, 2) & PCI_COMMAND_MEMORY) &&
        !(f->bars[bar].decoded && MUTANT(pci_decode_off_ignored)))
        return false;
    addr = pci_function_bar_address(f, bar);
    if (addr + (size - 1) < addr)
        return false;
    *range = (struct pci_range){addr, addr + (size - 1)};
    if (f->behind && !pci_port_forwards(f->behind, *range))
        return false;
    for (unsigned i = 0; i < h->config.window_count; i++)
        if (range->first >= h->config.windows[i].first && range->last <= h->config.windows[i].last)
            return true;
    return MUTANT(pci_bar_outside_windows);
}

static void undecode(struct pci_host *h, struct pci_function *f, unsigned bar)
{
    f->bars[bar].decoded = false;
    for (unsigned i = 0; i < h->decoded_count; i++) {
        if (h->decoded[i].function == f && h->decoded[i].bar == bar) {
            h->decoded[i] = h->decoded[--h->decoded_count];
            break;
        }
    }
    h->last_hit = 0;
    if (h->ops->bar_unmapped)
        h->ops->bar_unmapped(h->ctx, f->at, bar, f->bars[bar].range);
}

static void decode(struct pci_host *h, struct pci_function *f, unsigned bar, struct pci_range range)
{
    /* Two decoders for one address are an error of the driver's; the first keeps it, and the
     * other gets its turn when the first goes. */
    for (unsigned i = 0; i < h->decoded_count; i++)
        if (range_overlaps(range, h->decoded[i].range))
            return;
    if (h->ops->bar_mapped && h->ops->bar_mapped(h->ctx, f->at, bar, range)) {
        f->bars[bar].refused = true;
        return;
    }
    f->bars[bar].decoded = true;
    f->bars[bar].range = range;
    h->decoded[h->decoded_count++] = (struct decoded){range, f, bar};
}

void pci_host_update_decode(struct pci_host *h, struct pci_function *f)
{
    struct pci_range range = {0, 0};

    if (MUTANT(pci_bar_move_ignored) && h->decoded_count)
        return;
    for (unsigned b = 0; b < PCI_BARS; b++) {
        const struct pci_bar *bar = &f->bars[b];

        if (!bar->decoded)
            continue;
        if (!bar_wanted(h, f, b, &range) || range.first != bar->range.first)
            undecode(h, f, b);
    }
    for (struct pci_function *g = h->functions; g; g = g->next)
        for (unsigned b = 0; b < PCI_BARS; b++)
            if (!g->bars[b].decoded && !g->bars[b].refused && bar_wanted(h, g, b, &range))
                decode(h, g, b, range);
}

void pci_host_detach(struct pci_host *h, struct pci_function *f)
{
    struct pci_function **link = &h->functions;

    if (f->host != h)
        return;
    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
    f->next = NULL;
    h->function_count--;
    if (f->behind)
        pci_port_take(f->behind, f);
    else
        h->buses[sbdf_bus(f->at)][slot_index(f->at)] = NULL;
    for (unsigned i = 0; f->port && i < h->port_count; i++)
        if (h->ports[i] == f->port)
            h->ports[i--] = h->ports[--h->port_count];
    for (unsigned b = 0; b < PCI_BARS; b++)
        if (f->bars[b].decoded)
            undecode(h, f, b);
    if (f->intx_level) {
        f->intx_level = false;
        pci_host_drive_intx(h, f, f->config[PCI_REG_INTERRUPT_PIN], false);
    }
    f->host = NULL;
    f->multifunction = false;
    if (!f->behind)
        update_multifunction(h, f->at);
    f->behind = NULL;
    /* What the departed one's ranges hid may be decoded now. */
    if (h->functions)
        pci_host_update_decode(h, h->functions);
}

/* ---- outputs ---- */

void pci_host_send_msi(struct pci_host *h, const struct pci_function *f, uint64_t addr,
                       uint32_t data)
{
    if (!f->behind || pci_port_forwards_up(f->behind))
        h->ops->msi(h->ctx, f->at, addr, data);
}

void pci_host_drive_intx(struct pci_host *h, const struct pci_function *f, unsigned pin, bool level)
{
    h->ops->intx(h->ctx, f->at, pin, level);
}

void pci_host_move_bus(struct pci_host *h, const struct pci_function *port)
{
    if (h->ops->bus_moved)
        h->ops->bus_moved(h->ctx, port->at);
}

/* ---- accesses ---- */

uint64_t pci_host_config_read(struct pci_host *h, sbdf_t at, unsigned offset, unsigned bytes)
{
    struct pci_function *f = pci_host_find(h, at);

    if (f)
        return pci_function_config_read(f, offset, bytes);
    return MUTANT(ecam_absent_reads_zero) ? 0 : pci_ones(bytes);
}

void pci_host_config_write(struct pci_host *h, sbdf_t at, unsigned offset, unsigned bytes,
                           uint64_t value)
{
    struct pci_function *f = pci_host_find(h, at);

    if (!f && MUTANT(ecam_absent_write_misrouted))
        f = h->functions;
    if (f)
        pci_function_config_write(f, offset, bytes, value);
}

static bool in_ecam(const struct pci_host *h, uint64_t addr)
{
    return h->config.ecam_bytes && addr >= h->config.ecam_base &&
           addr - h->config.ecam_base < h->config.ecam_bytes;
}

/* False when the window is larger than the buses and this is behind them. */
static bool ecam_decode(const struct pci_host *h, uint64_t addr, sbdf_t *at, unsigned *offset)
{
    uint64_t rel = addr - h->config.ecam_base;
    uint64_t bus = h->config.bus_first + rel / PCI_ECAM_BYTES_PER_BUS;

    if (MUTANT(ecam_counts_from_bus_0))
        bus = rel / PCI_ECAM_BYTES_PER_BUS;
    if (bus > h->config.bus_last)
        return false;
    if (MUTANT(ecam_function_ignored))
        rel &= ~(7ull << ECAM_FUNCTION_BITS);
    if (MUTANT(ecam_bus_ignored))
        bus = h->config.bus_first;
    if (MUTANT(ecam_device_swapped))
        rel ^= 16ull << (ECAM_FUNCTION_BITS + 3);
    *at = (sbdf_t){(uint32_t)h->config.segment << 16 | (uint32_t)bus << 8 |
                   (uint32_t)((rel >> ECAM_FUNCTION_BITS) & 0xff)};
    *offset = rel & (PCI_CONFIG_BYTES - 1);
    return true;
}

static const struct decoded *decoded_find(struct pci_host *h, uint64_t addr)
{
    for (unsigned n = 0; n < h->decoded_count; n++) {
        unsigned i = (h->last_hit + n) % h->decoded_count;

        if (addr >= h->decoded[i].range.first && addr <= h->decoded[i].range.last) {
            h->last_hit = i;
            return &h->decoded[i];
        }
    }
    return NULL;
}

bool pci_host_read(struct pci_host *h, uint64_t addr, unsigned bytes, uint64_t *value)
{
    const struct decoded *d;
    unsigned offset;
    sbdf_t at;

    *value = pci_ones(bytes);
    if (in_ecam(h, addr)) {
        if (pci_width_ok(bytes) && ecam_decode(h, addr, &at, &offset))
            *value = pci_host_config_read(h, at, offset, bytes);
        return true;
    }
    d = decoded_find(h, addr);
    if (!d)
        return false;
    *value = pci_function_bar_read(d->function, d->bar, addr - d->range.first, bytes);
    return true;
}

bool pci_host_write(struct pci_host *h, uint64_t addr, unsigned bytes, uint64_t value)
{
    const struct decoded *d;
    unsigned offset;
    sbdf_t at;

    if (in_ecam(h, addr)) {
        if (pci_width_ok(bytes) && ecam_decode(h, addr, &at, &offset))
            pci_host_config_write(h, at, offset, bytes, value);
        return true;
    }
    d = decoded_find(h, addr);
    if (!d)
        return false;
    pci_function_bar_write(d->function, d->bar, addr - d->range.first, bytes, value);
    return true;
}
