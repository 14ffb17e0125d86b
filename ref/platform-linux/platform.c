/* SPDX-License-Identifier: MIT */
#include "platform_linux/linux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xenstore.h>

#define POOL_MIB_DEFAULT 16u

static int parse_arg(struct lx_options *o, const char *arg)
{
    while (arg && *arg) {
        size_t len = strcspn(arg, "=");
        unsigned long long value;
        char *end;

        if (!arg[len] || arg[len + 1] < '0' || arg[len + 1] > '9')
            goto bad;
        errno = 0;
        value = strtoull(arg + len + 1, &end, 0);
        if (errno || (*end && *end != ','))
            goto bad;
        if (len == 4 && !strncmp(arg, "pool", len) && value >= 1 && value <= 1024)
            o->pool_mib = (unsigned)value;
        else if (len == 6 && !strncmp(arg, "grants", len) && value % 4096 == 0)
            o->grant_base = value;
        else
            goto bad;
        arg = *end ? end + 1 : end;
    }
    return 0;
bad:
    fprintf(stderr,
            "platform linux: cannot use '%s': known are pool=MIB and grants=ADDRESS (a free part "
            "of the physical map)\n",
            arg);
    return -EINVAL;
}

static int store_read(struct fe_platform *p, const char *path, char **value)
{
    struct xs_handle *xs = xs_open(0);
    int rc;

    (void)p;
    *value = xs ? xs_read(xs, XBT_NULL, path, NULL) : NULL;
    rc = *value ? 0 : -errno;
    if (xs)
        xs_close(xs);
    return rc;
}

static int read_domid(struct fe_platform *p)
{
    char *text = NULL;
    int rc = store_read(p, "domid", &text);

    if (text)
        p->domid = (uint16_t)strtoul(text, NULL, 10);
    free(text);
    return rc;
}

/* Interrupts of everything that the agent needs while another vCPU waits for its answer. */
static void move_interrupts(unsigned cpu)
{
    DIR *d = opendir("/proc/irq");
    char path[288], text[16];
    int n = snprintf(text, sizeof(text), "%u", cpu);

    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/irq/%s/smp_affinity_list", e->d_name);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        /* Those of one vCPU's own (timer, IPI) cannot be moved, and need not. */
        ssize_t ignored = write(fd, text, (size_t)n);
        (void)ignored;
        close(fd);
    }
    if (d)
        closedir(d);
}

static int take_home(struct lx *l)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;

    l->pinned = cpus > 1;
    l->platform.nr_vcpus = cpus > 1 ? (unsigned)cpus - 1 : 1;
    if (l->platform.nr_vcpus > ACCESSORS_MAX)
        l->platform.nr_vcpus = ACCESSORS_MAX;
    l->platform.domain_vcpus = (unsigned)cpus;
    if (!l->pinned)
        return 0;
    l->home = (unsigned)cpus - 1;
    move_interrupts(l->home);
    CPU_ZERO(&set);
    CPU_SET(l->home, &set);
    return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

static void platform_close(struct fe_platform *p)
{
    struct lx *l;

    if (!p)
        return;
    l = lx_of(p);
    lx_grants_fini(l);
    lx_irqs_fini(l);
    lx_pool_fini(l);
    lx_mmio_fini(l);
    if (l->mem_fd >= 0)
        close(l->mem_fd);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static const struct fe_platform_ops lx_ops = {
    .close = platform_close,
    .mmio_read = lx_mmio_read,
    .mmio_write = lx_mmio_write,
    .pages_alloc = lx_pages_alloc,
    .pages_free = lx_pages_free,
    .gfn = lx_gfn,
    .grant = lx_grant,
    .grant_at = lx_grant_at,
    .revoke = lx_revoke,
    .grant_in_use = lx_grant_in_use,
    .irq_msi = lx_irq_msi,
    .irq_intx = lx_irq_intx,
    .irq_line = lx_irq_line,
    .irq_free = lx_irq_free,
    .irq_wait = lx_irq_wait,
    .store_read = store_read,
};

static int platform_open(const char *arg, struct fe_platform **out)
{
    struct lx_options o = {.pool_mib = POOL_MIB_DEFAULT};
    struct lx *l = calloc(1, sizeof(*l));
    const char *step;
    int rc;

    if (!l)
        return -ENOMEM;
    l->platform = (struct fe_platform){.ops = &lx_ops, .name = "linux"};
#if defined(__aarch64__)
    l->platform.arm = true;
#endif
    l->pool.pagemap_fd = -1;
    pthread_mutex_init(&l->lock, NULL);
    l->mem_fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    rc = l->mem_fd < 0 ? -errno : 0;
    step = "open /dev/mem";
    if (!rc) {
        step = NULL;
        rc = parse_arg(&o, arg);
    }
    if (!rc) {
        step = "read the own domain id from xenstore";
        rc = read_domid(&l->platform);
    }
    if (!rc) {
        step = "choose a vCPU to run on";
        rc = take_home(l);
    }
    if (!rc) {
        step = "allocate memory and learn its frame numbers";
        rc = lx_pool_init(l, o.pool_mib << 8);
    }
    if (!rc) {
        step = "see to interrupts";
        rc = lx_irqs_init(l);
    }
    if (rc) {
        if (step)
            fprintf(stderr, "platform linux: cannot %s: %s\n", step, strerror(-rc));
        platform_close(&l->platform);
        return rc;
    }
    /* Without grants the rest still serves guest-physical addressing. */
    lx_grants_init(l, o.grant_base);
    *out = &l->platform;
    return 0;
}

__attribute__((visibility("default"))) extern const struct fe_platform_plugin fe_platform_plugin;
const struct fe_platform_plugin fe_platform_plugin = {
    .abi = FE_PLATFORM_ABI,
    .name = "linux",
    .open = platform_open,
};
