/* SPDX-License-Identifier: MIT */
#include "xen/irq.h"

#include "util/mutant.h"
#include "xen/libxen.h"

#define ISA_IRQS       16u
#define GIC_LOCAL_IRQS 32u /* SGIs and PPIs */

int xen_irq_msi(struct xen_handles *x, uint16_t domid, uint64_t addr, uint32_t data)
{
    if (MUTANT(irq_msi_lost))
        return 0;
    if (MUTANT(irq_msi_data_wrong))
        data ^= 1;
    if (xendevicemodel_inject_msi(x->dm, domid, addr, data))
        return errno == ENOSYS ? -EOPNOTSUPP : xen_error();
    return 0;
}

int xen_irq_intx(struct xen_handles *x, uint16_t domid, sbdf_t at, unsigned pin, bool level)
{
    if (pin < 1 || pin > 4)
        return -EINVAL;
    if (MUTANT(irq_intx_stuck) && !level)
        return 0;
    if (xendevicemodel_set_pci_intx_level(x->dm, domid, sbdf_segment(at), sbdf_bus(at),
                                          sbdf_device(at), (uint8_t)(pin - 1), level))
        return errno == ENOSYS ? -EOPNOTSUPP : xen_error();
    return 0;
}

int xen_irq_line(struct xen_handles *x, uint16_t domid, unsigned line, bool level)
{
    int rc;

    if (line >= ISA_IRQS && line < GIC_LOCAL_IRQS)
        return -EINVAL;
    if (MUTANT(irq_intx_stuck) && !level)
        return 0;
    rc = line < ISA_IRQS ? xendevicemodel_set_isa_irq_level(x->dm, domid, (uint8_t)line, level)
                         : xendevicemodel_set_irq_level(x->dm, domid, line, level);
    if (rc)
        return errno == ENOSYS ? -EOPNOTSUPP : xen_error();
    return 0;
}
