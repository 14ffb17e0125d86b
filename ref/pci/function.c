/* SPDX-License-Identifier: MIT */
#include "pci/function.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci/internal.h"
#include "util/mutant.h"

#define LINK_SPEED 1u
#define LINK_WIDTH (1u << PCI_LINK_WIDTH_SHIFT)

static bool overlaps(unsigned a, unsigned a_bytes, unsigned b, unsigned b_bytes)
{
    return a < b + b_bytes && b < a + a_bytes;
}

uint32_t pci_function_peek(const struct pci_function *f, unsigned offset, unsigned bytes)
{
    uint32_t value = 0;

    assert(bytes <= 4 && offset <= PCI_CONFIG_BYTES - bytes);
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)f->config[offset + i] << (i * 8);
    return value;
}

void pci_function_poke(struct pci_function *f, unsigned offset, unsigned bytes, uint32_t value)
{
    assert(bytes <= 4 && offset <= PCI_CONFIG_BYTES - bytes);
    for (unsigned i = 0; i < bytes; i++)
        f->config[offset + i] = (uint8_t)(value >> (i * 8));
}

void pci_function_set_mask(struct pci_function *f, unsigned offset, uint8_t writable,
                           uint8_t write_one_clear)
{
    assert(offset < PCI_CONFIG_BYTES && (writable & write_one_clear) == 0);
    f->writable[offset] = writable;
    f->write_one_clear[offset] = write_one_clear;
}

void pci_function_set_hooks(struct pci_function *f, const struct pci_config_hooks *hooks, void *ctx)
{
    f->hooks = hooks;
    f->hooks_ctx = ctx;
}

int pci_function_create(const struct pci_ident *ident, struct pci_function **out)
{
    struct pci_function *f;
    unsigned command =
        PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR;

    if (ident->interrupt_pin > 4 || ident->class_code > 0xffffff)
        return -EINVAL;
    f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;

    pci_function_poke(f, PCI_REG_VENDOR_ID, 2, ident->vendor_id);
    pci_function_poke(f, PCI_REG_DEVICE_ID, 2, ident->device_id);
    pci_function_poke(f, PCI_REG_REVISION, 1, ident->revision);
    pci_function_poke(f, PCI_REG_CLASS, 3, ident->class_code);
    pci_function_poke(f, PCI_REG_SUBSYSTEM_VENDOR_ID, 2, ident->subsystem_vendor_id);
    pci_function_poke(f, PCI_REG_SUBSYSTEM_ID, 2, ident->subsystem_id);
    pci_function_poke(f, PCI_REG_INTERRUPT_PIN, 1, ident->interrupt_pin);

    /* A function without a pin has no use for the disable bit (PCI 3.0 6.2.2). */
    if (ident->interrupt_pin)
        command |= PCI_COMMAND_INTX_DISABLE;
    pci_function_set_mask(f, PCI_REG_COMMAND, command & 0xff, 0);
    pci_function_set_mask(f, PCI_REG_COMMAND + 1, (uint8_t)(command >> 8), 0);
    pci_function_set_mask(f, PCI_REG_CACHE_LINE, 0xff, 0);
    pci_function_set_mask(f, PCI_REG_INTERRUPT_LINE, 0xff, 0);

    f->cap_end = PCI_HEADER_BYTES;
    f->ext_end = PCI_LEGACY_BYTES;
    *out = f;
    return 0;
}

void pci_function_destroy(struct pci_function *f)
{
    if (!f)
        return;
    if (f->host)
        pci_host_detach(f->host, f);
    pci_msix_destroy(f->msix);
    free(f->cold);
    free(f);
}

void pci_function_reset(struct pci_function *f)
{
    if (f->cold)
        memcpy(f->config, f->cold, PCI_CONFIG_BYTES);
    if (f->msix)
        pci_msix_reset(f->msix);
    for (unsigned b = 0; b < PCI_BARS; b++)
        f->bars[b].refused = false;
    if (f->hooks && f->hooks->reset)
        f->hooks->reset(f->hooks_ctx);
    pci_function_set_intx(f, f->intx_condition);
    if (f->host)
        pci_host_update_decode(f->host, f);
}

/* ---- capabilities ---- */

int pci_function_add_capability(struct pci_function *f, uint8_t id, const void *body,
                                unsigned bytes)
{
    unsigned at = f->cap_end;
    unsigned link = f->cap_last ? f->cap_last + 1 : PCI_REG_CAPABILITIES;

    if (bytes < 2)
        return -EINVAL;
    /* Capabilities are aligned to four bytes (PCI 3.0 6.7). */
    if (bytes > PCI_LEGACY_BYTES || at + ((bytes + 3) & ~3u) > PCI_LEGACY_BYTES)
        return -ENOSPC;
    f->config[at] = id;
    f->config[at + 1] = 0;
    if (bytes > 2)
        memcpy(f->config + at + 2, body, bytes - 2);
    f->config[link] = (uint8_t)at;
    if (MUTANT(pci_cap_list_loops))
        f->config[at + 1] = PCI_HEADER_BYTES;
    f->config[PCI_REG_STATUS] |= PCI_STATUS_CAPABILITIES;
    f->cap_last = at;
    f->cap_end = at + ((bytes + 3) & ~3u);
    return (int)at;
}

int pci_function_add_ext_capability(struct pci_function *f, uint16_t id, unsigned version,
                                    const void *body, unsigned bytes)
{
    unsigned at = f->ext_end;

    if (bytes < 4 || version > 15)
        return -EINVAL;
    if (bytes > PCI_CONFIG_BYTES || at + ((bytes + 3) & ~3u) > PCI_CONFIG_BYTES)
        return -ENOSPC;
    pci_function_poke(f, at, 4, id | version << 16);
    if (bytes > 4)
        memcpy(f->config + at + 4, body, bytes - 4);
    if (f->ext_last) {
        uint32_t header = pci_function_peek(f, f->ext_last, 4);

        pci_function_poke(f, f->ext_last, 4, (header & 0xfffff) | at << 20);
    }
    f->ext_last = at;
    f->ext_end = at + ((bytes + 3) & ~3u);
    return (int)at;
}

int pci_function_add_express(struct pci_function *f, unsigned port_type)
{
    uint8_t body[PCI_EXP_CAP_BYTES - 2] = {0};
    int at;

    if (port_type > PCI_EXP_TYPE_MASK)
        return -EINVAL;
    at = pci_function_add_capability(f, PCI_CAP_EXPRESS, body, PCI_EXP_CAP_BYTES);
    if (at < 0)
        return at;
    pci_function_poke(f, (unsigned)at + PCI_EXP_CAPABILITIES, 2,
                      PCI_EXP_VERSION | port_type << PCI_EXP_TYPE_SHIFT);
    pci_function_poke(f, (unsigned)at + PCI_EXP_DEVICE_CAPABILITIES, 4, PCI_EXP_ROLE_BASED_ERRORS);
    if (port_type == PCI_EXP_TYPE_INTEGRATED_ENDPOINT)
        return at; /* it is on no link */
    pci_function_poke(f, (unsigned)at + PCI_EXP_LINK_CAPABILITIES, 4, LINK_SPEED | LINK_WIDTH);
    pci_function_poke(f, (unsigned)at + PCI_EXP_LINK_CAPABILITIES_2, 4, PCI_LINK_CAP2_SPEED_2_5);
    if (port_type == PCI_EXP_TYPE_ENDPOINT)
        pci_function_poke(f, (unsigned)at + PCI_EXP_LINK_STATUS, 2, LINK_SPEED | LINK_WIDTH);
    return at;
}

/* ---- base address registers ---- */

int pci_function_add_bar(struct pci_function *f, unsigned index, uint64_t size_bytes,
                         unsigned flags, const struct pci_bar_ops *ops, void *ctx)
{
    bool wide = flags & PCI_BAR_64BIT;
    uint64_t mask = ~(size_bytes - 1);
    uint8_t type = 0;
    unsigned reg;

    if (index >= PCI_BARS || (wide && index + 1 >= PCI_BARS))
        return -EINVAL;
    if (size_bytes < 16 || (size_bytes & (size_bytes - 1)))
        return -EINVAL;
    if (!wide && (size_bytes > 1u << 30 || (flags & PCI_BAR_PREFETCHABLE)))
        return -EINVAL;
    if (f->host || f->bars[index].size_bytes || (wide && f->bars[index + 1].size_bytes) ||
        (index > 0 && (f->bars[index - 1].flags & PCI_BAR_64BIT)))
        return -EBUSY;

    f->bars[index] =
        (struct pci_bar){.size_bytes = size_bytes, .flags = flags, .ops = ops, .ctx = ctx};
    if (wide)
        type |= PCI_BAR_TYPE_64;
    if (flags & PCI_BAR_PREFETCHABLE)
        type |= PCI_BAR_TYPE_PREFETCHABLE;
    reg = PCI_REG_BAR0 + index * 4;
    f->config[reg] = type;
    /* Writing all ones and reading back gives the size (PCI 3.0 6.2.5.1), because the bits
     * below it are not writable. */
    if (MUTANT(pci_bar_size_wrong))
        mask &= ~(size_bytes << 1);
    for (unsigned i = 0; i < (wide ? 8u : 4u); i++)
        f->writable[reg + i] = (uint8_t)(mask >> (i * 8));
    return 0;
}

uint64_t pci_function_bar_address(const struct pci_function *f, unsigned bar)
{
    unsigned reg = PCI_REG_BAR0 + bar * 4;
    uint64_t addr = pci_function_peek(f, reg, 4) & ~(uint32_t)PCI_BAR_FLAG_BITS;

    if (f->bars[bar].flags & PCI_BAR_64BIT)
        addr |= (uint64_t)pci_function_peek(f, reg + 4, 4) << 32;
    return addr;
}

uint64_t pci_function_bar_size(const struct pci_function *f, unsigned bar)
{
    return bar < PCI_BARS ? f->bars[bar].size_bytes : 0;
}

static bool bar_access_ok(const struct pci_function *f, unsigned bar, uint64_t offset,
                          unsigned bytes)
{
    uint64_t size = pci_function_bar_size(f, bar);

    return pci_width_ok(bytes) && size >= bytes && offset <= size - bytes;
}

uint64_t pci_function_bar_read(struct pci_function *f, unsigned bar, uint64_t offset,
                               unsigned bytes)
{
    uint64_t value;

    if (!bar_access_ok(f, bar, offset, bytes))
        return pci_ones(bytes);
    if (!pci_msix_read(f, bar, offset, bytes, &value))
        value = f->bars[bar].ops->read(f->bars[bar].ctx, offset, bytes);
    return value & pci_ones(bytes);
}

void pci_function_bar_write(struct pci_function *f, unsigned bar, uint64_t offset, unsigned bytes,
                            uint64_t value)
{
    if (!bar_access_ok(f, bar, offset, bytes))
        return;
    value &= pci_ones(bytes);
    if (!pci_msix_write(f, bar, offset, bytes, value))
        f->bars[bar].ops->write(f->bars[bar].ctx, offset, bytes, value);
}

/* ---- the driver's configuration accesses ---- */

static uint32_t config_read(struct pci_function *f, unsigned offset, unsigned bytes)
{
    uint32_t value = 0;

    if (f->hooks && f->hooks->before_read)
        f->hooks->before_read(f->hooks_ctx, offset, bytes);
    if (MUTANT(pci_extended_mirrors))
        offset %= PCI_LEGACY_BYTES;
    if (MUTANT(pci_byte_lane_wrong) && bytes == 1 && offset % 4 == 3)
        offset--;
    for (unsigned i = 0; i < bytes; i++) {
        unsigned at = offset + i;
        uint8_t byte = 0xff;

        if (at < PCI_CONFIG_BYTES)
            byte = f->config[at];
        if (at == PCI_REG_HEADER_TYPE && f->multifunction && !MUTANT(pci_multifunction_hidden))
            byte |= PCI_HEADER_TYPE_MULTIFUNCTION;
        if (at == PCI_REG_INTERRUPT_PIN && MUTANT(pci_pin_beyond_four))
            byte = 5;
        value |= (uint32_t)byte << (i * 8);
    }
    if (MUTANT(pci_id_read_has_effect) && offset == PCI_REG_VENDOR_ID)
        f->config[PCI_REG_DEVICE_ID] ^= 1;
    return value;
}

static void config_write(struct pci_function *f, unsigned offset, unsigned bytes, uint32_t value)
{
    bool msix_before = pci_function_msix_enabled(f);
    bool msix_after;

    if (MUTANT(pci_narrow_write_clears) && bytes == 1)
        for (unsigned at = offset & ~3u; at <= (offset | 3); at++)
            f->config[at] = (uint8_t)(f->config[at] & ~f->writable[at]);
    for (unsigned i = 0; i < bytes && offset + i < PCI_CONFIG_BYTES; i++) {
        unsigned at = offset + i;
        uint8_t byte = (uint8_t)(value >> (i * 8));
        uint8_t writable = f->writable[at];

        if (MUTANT(pci_readonly_writable) && at < 4)
            writable = 0xff;
        /* All ones are left alone: that is how a driver sizes. */
        if (at >= PCI_REG_BAR0 && at < PCI_REG_BAR0 + PCI_BARS * 4 && value != UINT32_MAX) {
            bool there = f->writable[at | 3];

            if ((there && MUTANT(pci_bar_low_bits_stored)) ||
                (!there && MUTANT(pci_bar_absent_stored)))
                writable |= at % 4 ? 0xff : 0xf0;
        }
        f->config[at] = (uint8_t)((f->config[at] & ~writable) | (byte & writable));
        f->config[at] = (uint8_t)(f->config[at] & ~(byte & f->write_one_clear[at]));
    }

    if (overlaps(offset, bytes, PCI_REG_COMMAND, 2) ||
        overlaps(offset, bytes, PCI_REG_BAR0, PCI_BARS * 4)) {
        for (unsigned b = 0; b < PCI_BARS; b++)
            f->bars[b].refused = false;
        if (f->host)
            pci_host_update_decode(f->host, f);
    }
    pci_function_update_intx(f);
    msix_after = pci_function_msix_enabled(f);
    if (msix_before != msix_after && f->hooks && f->hooks->msix_switched)
        f->hooks->msix_switched(f->hooks_ctx, msix_after);
    pci_msix_deliver(f);
    if (f->hooks && f->hooks->written)
        f->hooks->written(f->hooks_ctx, offset, bytes);
}

uint64_t pci_function_config_read(struct pci_function *f, unsigned offset, unsigned bytes)
{
    if (!pci_width_ok(bytes) || offset >= PCI_CONFIG_BYTES)
        return pci_ones(bytes);
    if (bytes < 8)
        return config_read(f, offset, bytes);
    /* No register is wider than four bytes; the low half comes first. */
    uint64_t low = config_read(f, offset, 4);
    uint64_t high = offset + 4 < PCI_CONFIG_BYTES ? config_read(f, offset + 4, 4) : UINT32_MAX;

    return low | high << 32;
}

void pci_function_config_write(struct pci_function *f, unsigned offset, unsigned bytes,
                               uint64_t value)
{
    if (!pci_width_ok(bytes) || offset >= PCI_CONFIG_BYTES)
        return;
    config_write(f, offset, bytes < 4 ? bytes : 4, (uint32_t)value);
    if (bytes == 8 && offset + 4 < PCI_CONFIG_BYTES)
        config_write(f, offset + 4, 4, (uint32_t)(value >> 32));
}

/* ---- INTx ---- */

void pci_function_update_intx(struct pci_function *f)
{
    unsigned pin = f->config[PCI_REG_INTERRUPT_PIN];
    uint16_t command = (uint16_t)pci_function_peek(f, PCI_REG_COMMAND, 2);
    bool level = f->intx_condition && pin && f->host && !pci_function_msix_enabled(f) &&
                 (!(command & PCI_COMMAND_INTX_DISABLE) || MUTANT(pci_intx_disable_ignored));

    if (level == f->intx_level)
        return;
    f->intx_level = level;
    if (f->host)
        pci_host_drive_intx(f->host, f, pin, level);
}

void pci_function_set_intx(struct pci_function *f, bool asserted)
{
    f->intx_condition = asserted;
    /* The status bit shows the condition whatever the disable bit says (PCI 3.0 6.2.3). */
    f->config[PCI_REG_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    if (asserted && !MUTANT(pci_status_interrupt_missing))
        f->config[PCI_REG_STATUS] |= PCI_STATUS_INTERRUPT;
    pci_function_update_intx(f);
}

bool pci_function_attached(const struct pci_function *f, sbdf_t *at)
{
    if (f->host && at)
        *at = f->at;
    return f->host != NULL;
}
