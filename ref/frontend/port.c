/* SPDX-License-Identifier: MIT */
#include "frontend/port.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "spec/pci.h"

#define POLL_NS 100000l

static int get(struct fe_port *p, unsigned offset, unsigned bytes, uint64_t *value)
{
    return fe_ecam_read(p->host, p->sbdf, offset, bytes, value);
}

static int set(struct fe_port *p, unsigned offset, unsigned bytes, uint64_t value)
{
    return fe_ecam_write(p->host, p->sbdf, offset, bytes, value);
}

static int set_window(struct fe_port *p, unsigned reg, uint64_t first, uint64_t last)
{
    return set(p, reg, 4,
               ((first >> 16) & PCI_BRIDGE_WINDOW_MASK) | ((last >> 16) & PCI_BRIDGE_WINDOW_MASK)
                                                              << 16);
}

static int set_windows(struct fe_port *p)
{
    uint64_t first = p->host->bridge.mem_base;
    uint64_t last = first + (p->host->bridge.mem_bytes - 1);
    bool low = last <= UINT32_MAX;
    /* A base above the limit closes a window. */
    int rc = low ? set_window(p, PCI_REG_MEMORY_BASE, first, last)
                 : set_window(p, PCI_REG_MEMORY_BASE, UINT32_MAX, 0);

    if (!rc)
        rc = low ? set_window(p, PCI_REG_PREFETCH_BASE, UINT32_MAX, 0)
                 : set_window(p, PCI_REG_PREFETCH_BASE, first, last);
    if (!rc)
        rc = set(p, PCI_REG_PREFETCH_BASE_HIGH, 4, low ? 0 : first >> 32);
    if (!rc)
        rc = set(p, PCI_REG_PREFETCH_LIMIT_HIGH, 4, low ? 0 : last >> 32);
    return rc;
}

static int find_capabilities(struct fe_port *p)
{
    struct fe_pci_cap caps[FE_PCI_CAPS_MAX];
    unsigned count;
    uint64_t value;
    int rc = fe_pci_caps_walk(p->host, p->sbdf, caps, &count);

    if (rc < 0)
        return rc;
    for (unsigned i = 0; i < count; i++) {
        if (caps[i].id == PCI_CAP_EXPRESS)
            p->express = caps[i].offset;
        if (caps[i].id == PCI_CAP_MSI)
            p->msi = caps[i].offset;
    }
    if (!p->express)
        return -ENOTSUP;
    rc = get(p, p->express + PCI_EXP_CAPABILITIES, 2, &value);
    if (rc)
        return rc;
    if ((value >> PCI_EXP_TYPE_SHIFT & PCI_EXP_TYPE_MASK) != PCI_EXP_TYPE_ROOT_PORT ||
        !(value & PCI_EXP_SLOT_IMPLEMENTED))
        return -ENOTSUP;
    rc = get(p, p->express + PCI_EXP_SLOT_CAPABILITIES, 4, &value);
    p->slot = (uint32_t)value;
    return rc ? rc : p->slot & PCI_SLOT_CAP_HOTPLUG ? 0 : -ENOTSUP;
}

int fe_port_open(struct fe_pci_host *h, sbdf_t sbdf, uint8_t bus, struct fe_port *p)
{
    uint64_t value;
    int rc;

    *p = (struct fe_port){.host = h, .sbdf = sbdf, .bus = bus};
    rc = fe_pci_present(h, sbdf);
    if (!rc)
        rc = get(p, PCI_REG_HEADER_TYPE, 1, &value);
    if (!rc && (value & PCI_HEADER_TYPE_MASK) != PCI_HEADER_TYPE_BRIDGE)
        rc = -ENOTSUP;
    if (!rc)
        rc = find_capabilities(p);
    if (!rc)
        rc = get(p, PCI_REG_INTERRUPT_PIN, 1, &value);
    if (rc)
        return rc;
    p->pin = (uint8_t)value;
    rc = set(p, PCI_REG_PRIMARY_BUS, 1, sbdf_bus(sbdf));
    if (!rc)
        rc = set(p, PCI_REG_SUBORDINATE_BUS, 1, bus);
    if (!rc)
        rc = set(p, PCI_REG_SECONDARY_BUS, 1, bus);
    if (!rc)
        rc = set_windows(p);
    if (!rc)
        rc = set(p, PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return rc;
}

void fe_port_close(struct fe_port *p)
{
    struct fe_platform *platform;

    if (!p->host || !p->irq)
        return;
    platform = p->host->platform;
    (void)fe_port_command(p, PCI_SLOT_CONTROL_INTERRUPT, 0, POLL_NS);
    if (p->msi)
        (void)set(p, p->msi + PCI_MSI_CONTROL, 2, 0);
    platform->ops->irq_free(platform, p->irq);
    p->irq = 0;
}

int fe_port_slot_status(struct fe_port *p, uint16_t *status)
{
    uint64_t value;
    int rc = get(p, p->express + PCI_EXP_SLOT_STATUS, 2, &value);

    *status = (uint16_t)value;
    return rc;
}

int fe_port_link_active(struct fe_port *p, bool *active)
{
    uint64_t value = 0;
    int rc = get(p, p->express + PCI_EXP_LINK_STATUS, 2, &value);

    *active = value & PCI_LINK_STATUS_ACTIVE;
    return rc;
}

int fe_port_clear(struct fe_port *p, uint16_t events)
{
    return set(p, p->express + PCI_EXP_SLOT_STATUS, 2, events);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int fe_port_command(struct fe_port *p, uint16_t mask, uint16_t value, uint64_t timeout_ns)
{
    const struct timespec moment = {.tv_nsec = POLL_NS};
    uint64_t deadline = now_ns() + timeout_ns;
    uint64_t control;
    uint16_t status;
    int rc = get(p, p->express + PCI_EXP_SLOT_CONTROL, 2, &control);

    if (rc)
        return rc;
    control = (control & ~(uint64_t)mask) | (value & mask);
    rc = set(p, p->express + PCI_EXP_SLOT_CONTROL, 2, control);
    if (rc || (p->slot & PCI_SLOT_CAP_NO_COMMAND_COMPLETED))
        return rc;
    while ((rc = fe_port_slot_status(p, &status)) == 0) {
        if (status & PCI_SLOT_COMMAND_COMPLETED)
            return fe_port_clear(p, PCI_SLOT_COMMAND_COMPLETED);
        if (now_ns() >= deadline)
            return -ETIMEDOUT;
        (void)nanosleep(&moment, NULL);
    }
    return rc;
}

int fe_port_irq(struct fe_port *p)
{
    struct fe_platform *platform = p->host->platform;
    struct fe_msi msi;
    int rc = -ENOTSUP;

    if (p->msi)
        rc = platform->ops->irq_msi(platform, p->host->vcpu, &msi, &p->irq);
    if (rc) {
        p->msi = 0;
        return platform->ops->irq_intx(platform, p->sbdf, p->pin ? p->pin : 1, &p->irq);
    }
    rc = set(p, p->msi + PCI_MSI_ADDR, 4, msi.addr & UINT32_MAX);
    if (!rc)
        rc = set(p, p->msi + PCI_MSI_ADDR_HIGH, 4, msi.addr >> 32);
    if (!rc)
        rc = set(p, p->msi + PCI_MSI_DATA, 2, msi.data);
    if (!rc)
        rc = set(p, p->msi + PCI_MSI_CONTROL, 2, PCI_MSI_CONTROL_ENABLE);
    return rc;
}
