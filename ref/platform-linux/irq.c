/* SPDX-License-Identifier: MIT */
#include "platform_linux/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define VCPUS_MAX 64u

#if defined(__x86_64__)

/*
 * System vectors that nobody takes in a kernel without KVM, Hyper-V and AMD's machine checks: what
 * arrives there ends in handle_spurious_interrupt() of arch/x86/kernel/irq.c, which acknowledges it
 * and logs one line. (Not 0xff: a real interrupt there is never acknowledged.)
 */
static const uint8_t vectors[] = {0xf0, 0xf1, 0xf2, 0xf4, 0xf5, 0xee, 0xed};
#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

struct irqs {
    int kmsg_fd;
    uint32_t apic_id[VCPUS_MAX];
    struct {
        bool used;
        bool fired; /* MSIs that were not waited for yet are one */
    } slots[VCPUS_MAX][VECTORS];
};

static int read_apic_ids(struct irqs *q)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    unsigned cpu = VCPUS_MAX, value;
    char line[256];

    if (!f)
        return -errno;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "processor : %u", &value) == 1)
            cpu = value;
        else if (cpu < VCPUS_MAX && sscanf(line, "apicid : %u", &value) == 1)
            q->apic_id[cpu] = value;
    }
    fclose(f);
    return 0;
}

/* Takes what the kernel has logged since the last time. */
static void collect(struct irqs *q)
{
    char text[1024];

    for (;;) {
        ssize_t n = read(q->kmsg_fd, text, sizeof(text) - 1);
        unsigned vector, cpu;
        const char *at;

        if (n < 0 && (errno == EINTR || errno == EPIPE)) /* EPIPE: older lines were dropped */
            continue;
        if (n <= 0)
            return;
        text[n] = 0;
        at = strstr(text, "Spurious interrupt (vector ");
        if (!at || sscanf(at, "Spurious interrupt (vector %x) on CPU#%u", &vector, &cpu) != 2 ||
            cpu >= VCPUS_MAX)
            continue;
        for (unsigned i = 0; i < VECTORS; i++)
            q->slots[cpu][i].fired |= vectors[i] == vector && q->slots[cpu][i].used;
    }
}

int lx_irqs_init(struct lx *l)
{
    struct irqs *q = calloc(1, sizeof(*q));
    int rc;

    if (!q)
        return -ENOMEM;
    l->irqs = q;
    q->kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (q->kmsg_fd < 0)
        return -errno;
    if (lseek(q->kmsg_fd, 0, SEEK_END) < 0)
        return -errno;
    rc = read_apic_ids(q);
    return rc;
}

void lx_irqs_fini(struct lx *l)
{
    if (l->irqs && l->irqs->kmsg_fd >= 0)
        close(l->irqs->kmsg_fd);
    free(l->irqs);
    l->irqs = NULL;
}

/* An fe_irq_t is 1 + vcpu * VECTORS + index. */
int lx_irq_msi(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq)
{
    struct lx *l = lx_of(p);
    int rc = -ENOSPC;

    if (vcpu >= p->nr_vcpus || vcpu >= VCPUS_MAX)
        return -EINVAL;
    pthread_mutex_lock(&l->lock);
    collect(l->irqs);
    for (unsigned i = 0; i < VECTORS && rc; i++) {
        if (l->irqs->slots[vcpu][i].used)
            continue;
        l->irqs->slots[vcpu][i].used = true;
        l->irqs->slots[vcpu][i].fired = false;
        msi->addr = 0xfee00000ull | (uint64_t)(l->irqs->apic_id[vcpu] & 0xff) << 12;
        msi->data = vectors[i];
        *irq = 1 + vcpu * (uint32_t)VECTORS + i;
        rc = 0;
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

void lx_irq_free(struct fe_platform *p, fe_irq_t irq)
{
    if (!irq || irq > VCPUS_MAX * VECTORS)
        return;
    pthread_mutex_lock(&lx_of(p)->lock);
    lx_of(p)->irqs->slots[(irq - 1) / VECTORS][(irq - 1) % VECTORS].used = false;
    pthread_mutex_unlock(&lx_of(p)->lock);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

int lx_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns)
{
    struct lx *l = lx_of(p);
    uint64_t now = now_ns(), end = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;

    if (!irq || irq > VCPUS_MAX * VECTORS)
        return -EINVAL;
    for (;;) {
        struct pollfd fd = {.fd = l->irqs->kmsg_fd, .events = POLLIN};
        uint64_t left_ms;
        bool *fired, was;

        pthread_mutex_lock(&l->lock);
        collect(l->irqs);
        fired = &l->irqs->slots[(irq - 1) / VECTORS][(irq - 1) % VECTORS].fired;
        was = *fired;
        *fired = false;
        pthread_mutex_unlock(&l->lock);
        if (was)
            return 1;
        now = now_ns();
        if (now >= end)
            return 0;
        /* Short: another thread may have read our line. */
        left_ms = (end - now + 999999) / 1000000;
        poll(&fd, 1, left_ms > 50 ? 50 : (int)left_ms);
    }
}

#else /* no MSI without an ITS, and lines need a driver */

struct irqs {
    int unused;
};

int lx_irqs_init(struct lx *l)
{
    (void)l;
    return 0;
}

void lx_irqs_fini(struct lx *l)
{
    (void)l;
}

int lx_irq_msi(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq)
{
    (void)p;
    (void)vcpu;
    (void)msi;
    (void)irq;
    return -EOPNOTSUPP;
}

void lx_irq_free(struct fe_platform *p, fe_irq_t irq)
{
    (void)p;
    (void)irq;
}

int lx_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns)
{
    (void)p;
    (void)irq;
    (void)timeout_ns;
    return -EOPNOTSUPP;
}

#endif

int lx_irq_intx(struct fe_platform *p, sbdf_t sbdf, unsigned pin, fe_irq_t *irq)
{
    (void)p;
    (void)sbdf;
    (void)pin;
    (void)irq;
    return -EOPNOTSUPP;
}
