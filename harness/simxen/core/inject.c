/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "simxen/core/internal.h"
#include "util/mutant.h"

/* eventfds of the vCPUs that this process sent interrupts to; a device model has few. */
#define IRQ_FDS_MAX 1024
static struct {
    pthread_mutex_t lock;
    unsigned nr;
    struct {
        uint16_t domid;
        uint32_t vcpu;
        int fd;
    } fds[IRQ_FDS_MAX];
} irqs = {.lock = PTHREAD_MUTEX_INITIALIZER};

void sim_inject_fork_child(void)
{
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    unsigned i;

    irqs.lock = fresh;
    for (i = 0; i < irqs.nr; i++)
        close(irqs.fds[i].fd);
    irqs.nr = 0;
}

static int irq_kick(uint16_t domid, uint32_t vcpu)
{
    struct sim_msg msg = {.op = SIM_OP_DM_IRQ_FD, .a = {domid, vcpu}};
    unsigned i, nfds = 1;
    int rc = 0, fd = -1;

    pthread_mutex_lock(&irqs.lock);
    for (i = 0; i < irqs.nr; i++)
        if (irqs.fds[i].domid == domid && irqs.fds[i].vcpu == vcpu)
            break;
    if (i == irqs.nr) {
        rc = sim_call(&msg, &fd, &nfds);
        if (!rc && nfds != 1)
            rc = -EPROTO;
        if (rc)
            goto out;
        /* A full table forgets its oldest entries: domains come and go, a domid never returns. */
        if (irqs.nr == IRQ_FDS_MAX) {
            close(irqs.fds[0].fd);
            i = 0;
        } else {
            irqs.nr++;
        }
        irqs.fds[i].domid = domid;
        irqs.fds[i].vcpu = vcpu;
        irqs.fds[i].fd = fd;
    }
    sim_eventfd_kick(irqs.fds[i].fd);
out:
    pthread_mutex_unlock(&irqs.lock);
    return rc;
}

/*
 * The message as the local APIC takes it (Intel SDM 3A, 11.11): destination in address bits 19-12,
 * vector in data bits 7-0. The simulated APIC ids are the vCPU numbers. Arm uses the same encoding,
 * there being no architected one without an ITS.
 */
int sim_msi_inject(const struct sim_dom_ref *d, uint64_t addr, uint32_t data)
{
    uint32_t vcpu = (addr >> 12) & 0xff, vector = data & 0xff;
    uint64_t bit = UINT64_C(1) << (vector % 64), sent;
    struct sim_dom *dom = d->dom;

    /* Vector 0 asks Xen to send a pirq, which a guest without emulated pirqs has none of. */
    if (vector == 0)
        return -ERANGE;
    if (atomic_load(&dom->flags) & SIM_DOM_DYING)
        return -EINVAL;
    sent = atomic_fetch_add_explicit(&dom->stats.msi, 1, memory_order_relaxed) + 1;
    if (dom->msi_lost_every && sent % dom->msi_lost_every == 0) {
        atomic_fetch_add_explicit(&dom->stats.msi_lost, 1, memory_order_relaxed);
        return 0;
    }
    /* No APIC matches the destination: the bus drops it, and the sender is not told. */
    if (vcpu >= dom->nr_vcpus || vcpu >= SIM_VCPUS_MAX)
        return 0;
    if (MUTANT(sim_msi_fires_the_next_vector_too) && vector % 64 != 63)
        atomic_fetch_or(&dom->vcpus[vcpu].msi_pending[vector / 64], bit << 1);
    if (atomic_fetch_or(&dom->vcpus[vcpu].msi_pending[vector / 64], bit) & bit)
        return 0;
    return irq_kick(d->domid, vcpu);
}

int sim_line_set(const struct sim_dom_ref *d, unsigned line, unsigned level)
{
    struct sim_dom *dom = d->dom;

    if (line >= SIM_LINES_MAX || level > 1)
        return -EINVAL;
    /* Arm's interrupt controller knows what was raised and not taken; it does not see the rest. */
    if (dom->arch == SIM_ARCH_ARM && !level && !MUTANT(sim_spi_is_a_level))
        return 0;
    if (atomic_exchange(&dom->lines[line], (uint8_t)level) == level)
        return 0;
    atomic_fetch_add_explicit(&dom->stats.line, 1, memory_order_relaxed);
    atomic_fetch_add(&dom->line_seq, 1);
    syscall(SYS_futex, &dom->line_seq, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    return level ? irq_kick(d->domid, 0) : 0;
}
