/* SPDX-License-Identifier: MIT */
/*
 * MSIs are bits of a vCPU, set by the sender and taken by the waiter. Lines are of the whole
 * machine, with one futex for all changes: levels on x86, on Arm SPIs that were raised and not
 * taken yet. A handle is a small number that says which of these it is, so that waiting takes no
 * lock.
 */
#include "simxen/guest/guest.h"
#include "util/mutant.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define IRQ_MSI  0x80000000u /* vcpu << 8 | vector */
#define IRQ_LINE 0x40000000u /* line */

/* What a kernel leaves for devices: below are exceptions and legacy, above its own. */
#define VECTOR_FIRST 0x30u
#define VECTOR_LAST  0xefu

#define MSI_ADDR_BASE 0xfee00000u

int guest_irq_msi(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq)
{
    struct guest *g = guest_of(p);
    struct guest_vcpu *v;
    unsigned vector;

    /* The destination field of the address has eight bits. */
    if (vcpu >= p->nr_vcpus || vcpu > 0xff)
        return -EINVAL;
    if (guest_gone(g))
        return -ESHUTDOWN;
    v = &g->vcpus[vcpu];
    pthread_mutex_lock(&g->lock);
    for (vector = VECTOR_FIRST; vector <= VECTOR_LAST; vector++) {
        if (!(v->vectors[vector / 64] >> (vector % 64) & 1))
            break;
    }
    if (vector <= VECTOR_LAST)
        v->vectors[vector / 64] |= UINT64_C(1) << (vector % 64);
    pthread_mutex_unlock(&g->lock);
    if (vector > VECTOR_LAST)
        return -ENOSPC;
    /* Nobody's late message to the vector's former owner. */
    atomic_fetch_and(&g->dom->dom->vcpus[vcpu].msi_pending[vector / 64],
                     ~(UINT64_C(1) << (vector % 64)));
    *msi = (struct fe_msi){.addr = MSI_ADDR_BASE | vcpu << 12, .data = vector};
    *irq = IRQ_MSI | vcpu << 8 | vector;
    return 0;
}

/* As Xen 4.17's vgic_inject_irq has it: what an SPI's line does after the guest has taken it (or
 * before) is not looked at. x86's IOAPIC sees a level. */
static bool line_is_taken(const struct guest *g)
{
    return g->platform.arm ? !MUTANT(sim_spi_is_a_level) : MUTANT(sim_intx_is_an_edge);
}

int guest_irq_line(struct fe_platform *p, unsigned line, fe_irq_t *irq)
{
    if (p->arm ? line < SIM_ARM_LOCAL_IRQS || line >= SIM_LINES_MAX : line >= SIM_X86_GSIS)
        return -EINVAL;
    /* What was raised before is not this handle's, as in a driver that has just begun. */
    if (p->arm && line_is_taken(guest_of(p)))
        atomic_store(&guest_of(p)->dom->dom->lines[line], 0);
    *irq = IRQ_LINE | line;
    return 0;
}

int guest_irq_intx(struct fe_platform *p, sbdf_t sbdf, unsigned pin, fe_irq_t *irq)
{
    struct guest *g = guest_of(p);
    unsigned device = sbdf_device(sbdf);

    if (pin < 1 || pin > 4)
        return -EINVAL;
    /* Four SPIs a machine, the usual swizzle. */
    if (p->arm)
        return guest_irq_line(p, g->intx_line + (device + pin - 1) % 4, irq);
    /* Xen wires the devices of bus 0 to GSIs 16 to 47, and knows no others. */
    if (sbdf_segment(sbdf) != 0 || sbdf_bus(sbdf) != 0)
        return -EOPNOTSUPP;
    return guest_irq_line(p, (((device << 2) + (device >> 3) + (pin - 1)) & 31) + 16, irq);
}

void guest_irq_free(struct fe_platform *p, fe_irq_t irq)
{
    struct guest *g = guest_of(p);
    unsigned vcpu = irq >> 8 & 0xff, vector = irq & 0xff;

    if (!(irq & IRQ_MSI) || vcpu >= p->nr_vcpus)
        return;
    pthread_mutex_lock(&g->lock);
    g->vcpus[vcpu].vectors[vector / 64] &= ~(UINT64_C(1) << (vector % 64));
    pthread_mutex_unlock(&g->lock);
    atomic_fetch_and(&g->dom->dom->vcpus[vcpu].msi_pending[vector / 64],
                     ~(UINT64_C(1) << (vector % 64)));
}

/* How long to sleep now; 0 when the time is over. */
static uint64_t slice(uint64_t deadline)
{
    uint64_t now = guest_now_ns();

    if (now >= deadline)
        return 0;
    return deadline - now < GUEST_LOOK_NS ? deadline - now : GUEST_LOOK_NS;
}

static int msi_wait(struct guest *g, unsigned vcpu, unsigned vector, uint64_t deadline)
{
    _Atomic uint64_t *word = &g->dom->dom->vcpus[vcpu].msi_pending[vector / 64];
    uint64_t bit = UINT64_C(1) << (vector % 64);
    struct pollfd fds[] = {{.fd = g->vcpus[vcpu].irq_fd, .events = POLLIN},
                           {.fd = g->death_fd, .events = POLLIN},
                           {.fd = sim_session_fd(), .events = 0}};

    for (;;) {
        struct timespec ts = {0};
        uint64_t tokens;
        int rc = guest_running(g);

        if (rc)
            return rc;
        /* Tokens first, then the bits: a bit set after this look comes with a new token. The
         * token may have been another vector's, whose bit stays for the one who waits for it. */
        if (read(fds[0].fd, &tokens, sizeof(tokens)) < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        if (atomic_fetch_and(word, ~bit) & bit)
            return 1;
        ts.tv_nsec = (long)slice(deadline);
        if (ts.tv_nsec == 0)
            return 0;
        if (guest_over(g))
            return -ESHUTDOWN;
        ppoll(fds, 3, &ts, NULL);
    }
}

static int line_wait(struct guest *g, unsigned line, uint64_t deadline)
{
    struct sim_dom *d = g->dom->dom;

    for (;;) {
        struct timespec ts = {0};
        uint32_t seq;
        int rc = guest_running(g);

        if (rc)
            return rc;
        seq = atomic_load(&d->line_seq);
        if (line_is_taken(g) ? atomic_exchange(&d->lines[line], 0) : atomic_load(&d->lines[line]))
            return 1;
        ts.tv_nsec = (long)slice(deadline);
        if (ts.tv_nsec == 0)
            return 0;
        if (guest_over(g))
            return -ESHUTDOWN;
        syscall(SYS_futex, &d->line_seq, FUTEX_WAIT, seq, &ts, NULL, 0);
    }
}

int guest_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns)
{
    struct guest *g = guest_of(p);
    uint64_t deadline = guest_deadline(timeout_ns);

    if (irq & IRQ_MSI && (irq >> 8 & 0xff) < p->nr_vcpus)
        return msi_wait(g, irq >> 8 & 0xff, irq & 0xff, deadline);
    if (irq & IRQ_LINE && (irq & ~IRQ_LINE) < SIM_LINES_MAX)
        return line_wait(g, irq & ~IRQ_LINE, deadline);
    return -EINVAL;
}
