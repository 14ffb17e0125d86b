/* SPDX-License-Identifier: MIT */
#include "frontend/pci.h"

#include <errno.h>
#include <string.h>

#include "spec/pci.h"
#include "util/bits.h"
#include "util/mutant.h"

void fe_pci_host_init(struct fe_pci_host *h, struct fe_platform *p,
                      const struct fe_host_bridge *bridge)
{
    memset(h, 0, sizeof(*h));
    h->platform = p;
    h->bridge = *bridge;
}

int fe_ecam_addr(const struct fe_pci_host *h, sbdf_t sbdf, unsigned offset, uint64_t *addr)
{
    const struct fe_host_bridge *b = &h->bridge;
    uint64_t at;

    if (sbdf_segment(sbdf) != b->segment || sbdf_bus(sbdf) < b->bus_first ||
        sbdf_bus(sbdf) > b->bus_last)
        return -ENOENT;
    at = ((uint64_t)(sbdf_bus(sbdf) - b->bus_first) << 20) | ((uint64_t)sbdf_device(sbdf) << 15) |
         ((uint64_t)sbdf_function(sbdf) << 12);
    if (at + FE_PCI_CONFIG_BYTES > b->ecam_bytes)
        return -ENOENT;
    *addr = b->ecam_base + at + offset;
    return 0;
}

static int ecam_access_addr(const struct fe_pci_host *h, sbdf_t sbdf, unsigned offset,
                            unsigned bytes, uint64_t *addr)
{
    if (bytes == 0 || bytes > 8 || (bytes & (bytes - 1)) || offset + bytes > FE_PCI_CONFIG_BYTES)
        return -EINVAL;
    return fe_ecam_addr(h, sbdf, offset, addr);
}

int fe_ecam_read(struct fe_pci_host *h, sbdf_t sbdf, unsigned offset, unsigned bytes,
                 uint64_t *value)
{
    uint64_t addr;
    int rc = ecam_access_addr(h, sbdf, offset, bytes, &addr);

    if (rc)
        return rc;
    return h->platform->ops->mmio_read(h->platform, h->vcpu, addr, bytes, value);
}

int fe_ecam_write(struct fe_pci_host *h, sbdf_t sbdf, unsigned offset, unsigned bytes,
                  uint64_t value)
{
    uint64_t addr;
    int rc = ecam_access_addr(h, sbdf, offset, bytes, &addr);

    if (rc)
        return rc;
    return h->platform->ops->mmio_write(h->platform, h->vcpu, addr, bytes, value);
}

/* The dword with vendor and device. An abort is how a machine without a background region says
 * "nothing there". */
static int pci_identify(struct fe_pci_host *h, sbdf_t sbdf, uint32_t *vendor_device)
{
    uint64_t value;
    int rc = fe_ecam_read(h, sbdf, PCI_REG_VENDOR_ID, 4, &value);

    if (rc == -EFAULT)
        return -ENODEV;
    if (rc)
        return rc;
    if ((value & 0xffff) == PCI_VENDOR_ID_NONE)
        return -ENODEV;
    /* No vendor has it, and a background region may read as any value. */
    if ((value & 0xffff) == 0 && !MUTANT(scan_takes_zero_for_a_function))
        return -ENODEV;
    *vendor_device = (uint32_t)value;
    return 0;
}

int fe_pci_present(struct fe_pci_host *h, sbdf_t sbdf)
{
    uint32_t id;

    return pci_identify(h, sbdf, &id);
}

int fe_pci_scan(struct fe_pci_host *h, int (*found)(void *ctx, sbdf_t sbdf, uint32_t vendor_device),
                void *ctx)
{
    const struct fe_host_bridge *b = &h->bridge;

    for (unsigned bus = b->bus_first; bus <= b->bus_last; bus++) {
        for (unsigned dev = 0; dev < 32; dev++) {
            unsigned functions = 1;

            for (unsigned fn = 0; fn < functions; fn++) {
                sbdf_t sbdf = SBDF(b->segment, bus, dev, fn);
                uint64_t header;
                uint32_t id;
                int rc = pci_identify(h, sbdf, &id);

                if (rc == -ENOENT)
                    return 0; /* past the end of the ECAM window */
                if (rc == -ENODEV)
                    continue;
                if (rc)
                    return rc;
                if (fn == 0) {
                    rc = fe_ecam_read(h, sbdf, PCI_REG_HEADER_TYPE, 1, &header);
                    if (rc)
                        return rc;
                    if (header & PCI_HEADER_TYPE_MULTIFUNCTION)
                        functions = 8;
                }
                rc = found(ctx, sbdf, id);
                if (rc)
                    return rc;
            }
        }
    }
    return 0;
}

int fe_pci_caps_walk(struct fe_pci_host *h, sbdf_t sbdf, struct fe_pci_cap *caps, unsigned *count)
{
    uint64_t status, pointer, dword;
    int rc;

    *count = 0;
    rc = fe_ecam_read(h, sbdf, PCI_REG_STATUS, 2, &status);
    if (rc)
        return rc;
    if (!(status & PCI_STATUS_CAPABILITIES))
        return 0;
    rc = fe_ecam_read(h, sbdf, PCI_REG_CAPABILITIES, 1, &pointer);
    if (rc)
        return rc;

    while (pointer) {
        if (pointer < PCI_HEADER_BYTES || (pointer & 3))
            return -EPROTO;
        for (unsigned i = 0; i < *count; i++)
            if (caps[i].offset == pointer)
                return -EPROTO;
        if (*count == FE_PCI_CAPS_MAX)
            return -EPROTO;
        rc = fe_ecam_read(h, sbdf, (unsigned)pointer, 4, &dword);
        if (rc)
            return rc;
        caps[*count].offset = (uint8_t)pointer;
        caps[*count].id = (uint8_t)dword;
        ++*count;
        pointer = (dword >> 8) & 0xff;
    }
    return (int)*count;
}

unsigned fe_pci_cap_find(const struct fe_pci_func *f, uint8_t id, unsigned after)
{
    bool seen = after == 0;

    for (unsigned i = 0; i < f->nr_caps; i++) {
        if (seen && f->caps[i].id == id)
            return f->caps[i].offset;
        if (f->caps[i].offset == after)
            seen = true;
    }
    return 0;
}

int fe_pci_command(struct fe_pci_func *f, uint16_t set, uint16_t clear)
{
    uint64_t command;
    int rc = fe_ecam_read(f->host, f->sbdf, PCI_REG_COMMAND, 2, &command);

    if (rc)
        return rc;
    command = (command | set) & ~(uint64_t)clear;
    return fe_ecam_write(f->host, f->sbdf, PCI_REG_COMMAND, 2, command);
}

/* Size the BAR at `i`; *used is how many registers it takes. */
static int pci_bar_size(struct fe_pci_func *f, unsigned i, unsigned *used)
{
    struct fe_pci_bar *bar = &f->bars[i];
    unsigned at = PCI_REG_BAR0 + 4 * i;
    uint64_t low, high = 0, mask;
    int rc;

    *used = 1;
    rc = fe_ecam_write(f->host, f->sbdf, at, 4, 0xffffffff);
    if (rc)
        return rc;
    rc = fe_ecam_read(f->host, f->sbdf, at, 4, &low);
    if (rc)
        return rc;
    if (low == 0)
        return 0;
    if (low & PCI_BAR_TYPE_IO) {
        bar->is_io = true;
        bar->bytes = (~(low & ~3ull) & 0xffff) + 1;
        return fe_ecam_write(f->host, f->sbdf, at, 4, 0);
    }

    bar->is_64bit = (low & PCI_BAR_TYPE_MASK) == PCI_BAR_TYPE_64;
    bar->is_prefetchable = (low & PCI_BAR_TYPE_PREFETCHABLE) != 0;
    if (bar->is_64bit) {
        if (i + 1 == FE_PCI_BARS)
            return -EPROTO;
        rc = fe_ecam_write(f->host, f->sbdf, at + 4, 4, 0xffffffff);
        if (rc)
            return rc;
        rc = fe_ecam_read(f->host, f->sbdf, at + 4, 4, &high);
        if (rc)
            return rc;
        rc = fe_ecam_write(f->host, f->sbdf, at + 4, 4, 0);
        if (rc)
            return rc;
        *used = 2;
    } else {
        high = 0xffffffff;
    }
    rc = fe_ecam_write(f->host, f->sbdf, at, 4, 0);
    if (rc)
        return rc;

    mask = (high << 32) | (low & ~0xfull);
    bar->bytes = ~mask + 1;
    /* Writable bits from the size upwards without a gap, or it is no BAR. */
    if (!is_pow2(bar->bytes))
        return -EPROTO;
    return 0;
}

int fe_pci_bars_size(struct fe_pci_func *f)
{
    int rc = fe_pci_command(f, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);

    if (rc)
        return rc;
    memset(f->bars, 0, sizeof(f->bars));
    for (unsigned i = 0, used; i < FE_PCI_BARS; i += used) {
        rc = pci_bar_size(f, i, &used);
        if (rc)
            return rc;
    }
    return 0;
}

static void pci_window_put(struct fe_pci_func *f)
{
    for (unsigned i = 0; i < FE_PCI_RANGES_MAX; i++)
        if (f->host->ranges[i].bytes && f->host->ranges[i].owner.raw == f->sbdf.raw)
            f->host->ranges[i].bytes = 0;
}

/* First fit, naturally aligned. */
static int pci_window_get(struct fe_pci_func *f, uint64_t bytes, uint64_t *addr)
{
    struct fe_pci_host *h = f->host;
    const struct fe_host_bridge *b = &h->bridge;
    struct fe_pci_range *slot = NULL;
    uint64_t align = bytes < XEN_PAGE_BYTES ? XEN_PAGE_BYTES : bytes;
    uint64_t at = (b->mem_base + align - 1) & ~(align - 1);

    for (unsigned i = 0; i < FE_PCI_RANGES_MAX && !slot; i++)
        if (!h->ranges[i].bytes)
            slot = &h->ranges[i];
    if (!slot)
        return -ENOSPC;

    /* Each pass moves `at` past a range in use, so there are at most as many passes. */
    for (unsigned pass = 0; pass <= FE_PCI_RANGES_MAX; pass++) {
        bool moved = false;

        for (unsigned i = 0; i < FE_PCI_RANGES_MAX; i++) {
            const struct fe_pci_range *r = &h->ranges[i];

            if (r->bytes && at < r->addr + r->bytes && r->addr < at + bytes) {
                at = (r->addr + r->bytes + align - 1) & ~(align - 1);
                moved = true;
            }
        }
        if (!moved)
            break;
    }
    if (bytes > b->mem_bytes || at < b->mem_base || at - b->mem_base > b->mem_bytes - bytes)
        return -ENOSPC;
    *slot = (struct fe_pci_range){.addr = at, .bytes = bytes, .owner = f->sbdf};
    *addr = at;
    return 0;
}

int fe_pci_bar_set(struct fe_pci_func *f, unsigned bar, uint64_t addr)
{
    unsigned at = PCI_REG_BAR0 + 4 * bar;
    int rc;

    if (bar >= FE_PCI_BARS || !f->bars[bar].bytes)
        return -EINVAL;
    if (!f->bars[bar].is_64bit && addr >> 32)
        return -ERANGE;
    rc = fe_ecam_write(f->host, f->sbdf, at, 4, addr & 0xffffffff);
    if (rc)
        return rc;
    if (f->bars[bar].is_64bit) {
        rc = fe_ecam_write(f->host, f->sbdf, at + 4, 4, addr >> 32);
        if (rc)
            return rc;
    }
    f->bars[bar].addr = addr;
    return 0;
}

int fe_pci_bars_assign(struct fe_pci_func *f)
{
    for (unsigned i = 0; i < FE_PCI_BARS; i++) {
        uint64_t addr;
        int rc;

        if (!f->bars[i].bytes || f->bars[i].is_io)
            continue;
        rc = pci_window_get(f, f->bars[i].bytes, &addr);
        if (rc)
            return rc;
        rc = fe_pci_bar_set(f, i, addr);
        if (rc)
            return rc;
    }
    return 0;
}

static int pci_bar_range(const struct fe_pci_func *f, unsigned bar, uint64_t offset, uint64_t bytes)
{
    if (bar >= FE_PCI_BARS || f->bars[bar].is_io || !f->bars[bar].addr)
        return -ERANGE;
    if (bytes > f->bars[bar].bytes || offset > f->bars[bar].bytes - bytes)
        return -ERANGE;
    return 0;
}

int fe_pci_bar_read(struct fe_pci_func *f, unsigned vcpu, unsigned bar, uint64_t offset,
                    unsigned bytes, uint64_t *value)
{
    struct fe_platform *p = f->host->platform;
    int rc = pci_bar_range(f, bar, offset, bytes);

    if (rc)
        return rc;
    return p->ops->mmio_read(p, vcpu, f->bars[bar].addr + offset, bytes, value);
}

int fe_pci_bar_write(struct fe_pci_func *f, unsigned vcpu, unsigned bar, uint64_t offset,
                     unsigned bytes, uint64_t value)
{
    struct fe_platform *p = f->host->platform;
    int rc = pci_bar_range(f, bar, offset, bytes);

    if (rc)
        return rc;
    return p->ops->mmio_write(p, vcpu, f->bars[bar].addr + offset, bytes, value);
}

static int pci_msix_parse(struct fe_pci_func *f)
{
    struct fe_pci_msix *x = &f->msix;
    unsigned at = fe_pci_cap_find(f, PCI_CAP_MSIX, 0);
    uint64_t ctrl, table, pba;
    int rc;

    if (!at)
        return 0;
    rc = fe_ecam_read(f->host, f->sbdf, at + PCI_MSIX_CONTROL, 2, &ctrl);
    if (rc)
        return rc;
    rc = fe_ecam_read(f->host, f->sbdf, at + PCI_MSIX_TABLE, 4, &table);
    if (rc)
        return rc;
    rc = fe_ecam_read(f->host, f->sbdf, at + PCI_MSIX_PBA, 4, &pba);
    if (rc)
        return rc;

    x->vectors = (uint16_t)((ctrl & PCI_MSIX_CONTROL_SIZE_MASK) + 1);
    x->table_bar = table & PCI_MSIX_BIR_MASK;
    x->table_offset = (uint32_t)table & ~(uint32_t)PCI_MSIX_BIR_MASK;
    x->pba_bar = pba & PCI_MSIX_BIR_MASK;
    x->pba_offset = (uint32_t)pba & ~(uint32_t)PCI_MSIX_BIR_MASK;
    if (x->table_bar >= FE_PCI_BARS || x->pba_bar >= FE_PCI_BARS ||
        x->table_offset + (uint64_t)x->vectors * PCI_MSIX_ENTRY_BYTES >
            f->bars[x->table_bar].bytes ||
        x->pba_offset + ((uint64_t)x->vectors + 63) / 64 * 8 > f->bars[x->pba_bar].bytes)
        return -EPROTO;
    x->cap_offset = (uint8_t)at;
    return 0;
}

int fe_pci_func_open(struct fe_pci_host *h, sbdf_t sbdf, struct fe_pci_func *f)
{
    uint64_t value;
    uint32_t id;
    int rc;

    memset(f, 0, sizeof(*f));
    f->host = h;
    f->sbdf = sbdf;
    rc = pci_identify(h, sbdf, &id);
    if (rc)
        return rc;
    f->vendor = (uint16_t)id;
    f->device = (uint16_t)(id >> 16);

    rc = fe_ecam_read(h, sbdf, PCI_REG_HEADER_TYPE, 1, &value);
    if (rc)
        return rc;
    f->header_type = (uint8_t)value;
    if ((value & ~(uint64_t)PCI_HEADER_TYPE_MULTIFUNCTION) != 0)
        return -ENOTSUP;
    rc = fe_ecam_read(h, sbdf, PCI_REG_REVISION, 4, &value);
    if (rc)
        return rc;
    f->revision = (uint8_t)value;
    f->class_code = (uint32_t)(value >> 8);
    rc = fe_ecam_read(h, sbdf, PCI_REG_SUBSYSTEM_VENDOR_ID, 4, &value);
    if (rc)
        return rc;
    f->subsystem_vendor = (uint16_t)value;
    f->subsystem = (uint16_t)(value >> 16);
    rc = fe_ecam_read(h, sbdf, PCI_REG_INTERRUPT_PIN, 1, &value);
    if (rc)
        return rc;
    f->irq_pin = (uint8_t)value;

    rc = fe_pci_bars_size(f);
    if (rc)
        return rc;
    rc = fe_pci_caps_walk(h, sbdf, f->caps, &f->nr_caps);
    if (rc < 0)
        return rc;
    return pci_msix_parse(f);
}

void fe_pci_func_close(struct fe_pci_func *f)
{
    if (!f->host)
        return;
    if (fe_pci_present(f->host, f->sbdf) == 0) {
        if (f->msix.cap_offset)
            fe_pci_msix_enable(f, false);
        fe_pci_command(f, 0, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
    pci_window_put(f);
    memset(f, 0, sizeof(*f));
}

int fe_pci_msix_mask(struct fe_pci_func *f, unsigned vector, bool masked)
{
    const struct fe_pci_msix *x = &f->msix;

    if (!x->cap_offset)
        return -ENOENT;
    if (vector >= x->vectors)
        return -ERANGE;
    return fe_pci_bar_write(f, f->host->vcpu, x->table_bar,
                            x->table_offset + (uint64_t)vector * PCI_MSIX_ENTRY_BYTES +
                                PCI_MSIX_ENTRY_CONTROL,
                            4, masked ? PCI_MSIX_ENTRY_MASKED : 0);
}

int fe_pci_msix_set(struct fe_pci_func *f, unsigned vector, const struct fe_msi *msi, bool masked)
{
    const struct fe_pci_msix *x = &f->msix;
    unsigned vcpu = f->host->vcpu;
    uint64_t at;
    int rc;

    /* An entry is changed only while it is masked (PCI 3.0, 6.8.3.2). */
    rc = fe_pci_msix_mask(f, vector, true);
    if (rc)
        return rc;
    at = x->table_offset + (uint64_t)vector * PCI_MSIX_ENTRY_BYTES;
    rc = fe_pci_bar_write(f, vcpu, x->table_bar, at, 4, msi->addr & 0xffffffff);
    if (rc)
        return rc;
    rc = fe_pci_bar_write(f, vcpu, x->table_bar, at + 4, 4, msi->addr >> 32);
    if (rc)
        return rc;
    rc = fe_pci_bar_write(f, vcpu, x->table_bar, at + PCI_MSIX_ENTRY_DATA, 4, msi->data);
    if (rc)
        return rc;
    return masked ? 0 : fe_pci_msix_mask(f, vector, false);
}

int fe_pci_msix_enable(struct fe_pci_func *f, bool enable)
{
    uint64_t ctrl;
    int rc;

    if (!f->msix.cap_offset)
        return -ENOENT;
    rc = fe_ecam_read(f->host, f->sbdf, f->msix.cap_offset + PCI_MSIX_CONTROL, 2, &ctrl);
    if (rc)
        return rc;
    ctrl &= ~(uint64_t)(PCI_MSIX_CONTROL_ENABLE | PCI_MSIX_CONTROL_MASK_ALL);
    if (enable)
        ctrl |= PCI_MSIX_CONTROL_ENABLE;
    return fe_ecam_write(f->host, f->sbdf, f->msix.cap_offset + PCI_MSIX_CONTROL, 2, ctrl);
}
