/* SPDX-License-Identifier: MIT */
/*
 * Interrupts into a guest from outside: messages and wired levels.
 */
#ifndef RP_XEN_IRQ_H
#define RP_XEN_IRQ_H

#include "xen/handles.h"

/*
 * Deliver a message-signalled interrupt as if a function had written `data` to `addr`. Cannot
 * wait and cannot be lost but by the guest's own fault.
 *   -EINVAL, -EOPNOTSUPP  the address is none of the guest's interrupt controller's, or the
 *                         hypervisor has none that takes messages (Arm without an ITS)
 */
int xen_irq_msi(struct xen_handles *x, uint16_t domid, uint64_t addr, uint32_t data);

/* The level of pin 1-4 (INTA-INTD) of a device, wired as x86 machines are: Xen routes it to a
 * GSI or a link. The pins of the functions of a device are shared by the caller (logical or). */
int xen_irq_intx(struct xen_handles *x, uint16_t domid, sbdf_t at, unsigned pin, bool level);

/*
 * The level of an interrupt line. From 32 on it is an interrupt id of Arm's GIC, an SPI that has
 * been given to the domain; below 16 an ISA IRQ of x86, which is the GSI of that number (0 is GSI
 * 2). No other x86 line can be set by its number: xen_irq_intx has those. -EINVAL: neither.
 *
 * Not for PVH domains: they have no ISA IRQs, and Xen (4.17.7 seen) does not check. It changes its
 * PIC's registers, which lie over a pointer of such a domain, and dies.
 */
int xen_irq_line(struct xen_handles *x, uint16_t domid, unsigned line, bool level);

#endif
