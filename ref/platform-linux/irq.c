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

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static uint64_t deadline_ns(uint64_t timeout_ns)
{
    uint64_t now = now_ns();

    return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

#if defined(__x86_64__)

#define VCPUS_MAX 64u

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

int lx_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns)
{
    struct lx *l = lx_of(p);
    uint64_t now, end = deadline_ns(timeout_ns);

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

/* A PVH domain has no lines. */
int lx_irq_intx(struct fe_platform *p, sbdf_t sbdf, unsigned pin, fe_irq_t *irq)
{
    (void)p;
    (void)sbdf;
    (void)pin;
    (void)irq;
    return -EOPNOTSUPP;
}

int lx_irq_line(struct fe_platform *p, unsigned line, fe_irq_t *irq)
{
    (void)p;
    (void)line;
    (void)irq;
    return -EOPNOTSUPP;
}

#else

/*
 * Lines are UIO devices of the kernel's generic driver (uio_pdrv_genirq). It masks a line when its
 * interrupt came and counts; a read takes the count, writing 1 unmasks. Each handle is a file of
 * its own, with a count of its own: all that share a line see each interrupt.
 *
 * A wait unmasks, so a line that is (still) high comes at once; a line that is stuck costs one
 * interrupt for each wait. What is seen is the guest's interrupt controller: Xen's default one
 * (4.17: xen/arch/arm/vgic.c, vgic_inject_irq) forgets that a line is high when the guest has taken
 * its interrupt, and does not learn that it was lowered before.
 */
#define PINS        4u
#define LINES_MAX   16u
#define SPI_FIRST   32u /* the first SPI's interrupt id */
#define HANDLES_MAX 256u

struct line {
    int node;    /* N of /dev/uioN */
    int pin;     /* 0 to 3: this is INTA to INTD of device 0; -1: none of them */
    unsigned id; /* interrupt id; 0: not known */
};

struct irqs {
    struct line lines[LINES_MAX];
    unsigned count;
    int fds[HANDLES_MAX]; /* -1: free */
};

/* Of the property `interrupts` of the device's node: type (0: an SPI), number, flags. */
static unsigned line_id(int node)
{
    unsigned char cells[12];
    char path[64];
    FILE *f;
    size_t n;

    snprintf(path, sizeof(path), "/sys/class/uio/uio%d/device/of_node/interrupts", node);
    f = fopen(path, "rbe");
    if (!f)
        return 0;
    n = fread(cells, 1, sizeof(cells), f);
    fclose(f);
    if (n != sizeof(cells) || cells[0] || cells[1] || cells[2] || cells[3])
        return 0;
    return SPI_FIRST + ((unsigned)cells[6] << 8 | cells[7]);
}

/* The devices are named as their nodes in the device tree are: the pins intxa to intxd. */
static void find_lines(struct irqs *q)
{
    for (int n = 0; n < (int)LINES_MAX; n++) {
        struct line l = {.node = n, .pin = -1};
        char path[48], name[16] = "";
        FILE *f;

        snprintf(path, sizeof(path), "/sys/class/uio/uio%d/name", n);
        f = fopen(path, "re");
        if (!f)
            continue;
        if (fgets(name, sizeof(name), f) && !strncmp(name, "intx", 4) && name[4] >= 'a' &&
            name[4] < 'a' + (int)PINS && name[5] == '\n')
            l.pin = name[4] - 'a';
        fclose(f);
        l.id = line_id(n);
        q->lines[q->count++] = l;
    }
}

int lx_irqs_init(struct lx *l)
{
    struct irqs *q = calloc(1, sizeof(*q));

    if (!q)
        return -ENOMEM;
    for (unsigned i = 0; i < HANDLES_MAX; i++)
        q->fds[i] = -1;
    find_lines(q);
    l->irqs = q;
    return 0;
}

void lx_irqs_fini(struct lx *l)
{
    for (unsigned i = 0; l->irqs && i < HANDLES_MAX; i++)
        if (l->irqs->fds[i] >= 0)
            close(l->irqs->fds[i]);
    free(l->irqs);
    l->irqs = NULL;
}

/* There is no ITS. */
int lx_irq_msi(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq)
{
    (void)p;
    (void)vcpu;
    (void)msi;
    (void)irq;
    return -EOPNOTSUPP;
}

static int unmask(int fd)
{
    static const int32_t on = 1;

    return write(fd, &on, sizeof(on)) == (ssize_t)sizeof(on) ? 0 : -errno;
}

/* An fe_irq_t is 1 + the index of its file. */
static int line_open(struct lx *l, int node, fe_irq_t *irq)
{
    unsigned i = 0;
    int32_t count;
    char path[24];
    int fd;

    snprintf(path, sizeof(path), "/dev/uio%d", node);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* What the interrupt controller kept from before is not this handle's: it comes now. */
    if (unmask(fd) || (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)) {
        int err = -errno;

        close(fd);
        return err;
    }
    pthread_mutex_lock(&l->lock);
    while (i < HANDLES_MAX && l->irqs->fds[i] >= 0)
        i++;
    if (i < HANDLES_MAX)
        l->irqs->fds[i] = fd;
    pthread_mutex_unlock(&l->lock);
    if (i == HANDLES_MAX) {
        close(fd);
        return -ENOSPC;
    }
    *irq = 1 + i;
    return 0;
}

int lx_irq_intx(struct fe_platform *p, sbdf_t sbdf, unsigned pin, fe_irq_t *irq)
{
    const struct irqs *q = lx_of(p)->irqs;

    if (pin < 1 || pin > PINS)
        return -EINVAL;
    /* Four lines a machine, the usual swizzle. */
    for (unsigned i = 0; i < q->count; i++)
        if (q->lines[i].pin == (int)((sbdf_device(sbdf) + pin - 1) % PINS))
            return line_open(lx_of(p), q->lines[i].node, irq);
    return -EOPNOTSUPP;
}

int lx_irq_line(struct fe_platform *p, unsigned line, fe_irq_t *irq)
{
    const struct irqs *q = lx_of(p)->irqs;

    if (line < SPI_FIRST)
        return -EINVAL;
    for (unsigned i = 0; i < q->count; i++)
        if (q->lines[i].id == line)
            return line_open(lx_of(p), q->lines[i].node, irq);
    return -EOPNOTSUPP;
}

/* -1: no such handle. */
static int handle_fd(struct lx *l, fe_irq_t irq)
{
    int fd;

    if (!irq || irq > HANDLES_MAX)
        return -1;
    pthread_mutex_lock(&l->lock);
    fd = l->irqs->fds[irq - 1];
    pthread_mutex_unlock(&l->lock);
    return fd;
}

void lx_irq_free(struct fe_platform *p, fe_irq_t irq)
{
    struct lx *l = lx_of(p);
    int fd = handle_fd(l, irq);

    if (fd < 0)
        return;
    pthread_mutex_lock(&l->lock);
    l->irqs->fds[irq - 1] = -1;
    pthread_mutex_unlock(&l->lock);
    close(fd);
}

int lx_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns)
{
    uint64_t end = deadline_ns(timeout_ns);
    int fd = handle_fd(lx_of(p), irq);
    int32_t count;
    int rc = fd < 0 ? -EINVAL : unmask(fd);

    if (rc)
        return rc;
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ns(), left = now < end ? end - now : 0;
        struct timespec ts = {.tv_sec = (time_t)(left / 1000000000ull),
                              .tv_nsec = (long)(left % 1000000000ull)};

        if (ppoll(&ready, 1, &ts, NULL) < 0 && errno != EINTR)
            return -errno;
        if (ready.revents & POLLIN)
            return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? 1 : -errno;
        if (ready.revents)
            return -EIO;
        if (!left)
            return 0;
    }
}

#endif
