/* SPDX-License-Identifier: MIT */
#include "simxen/guest/guest.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

#include "simxen/guest/pio.h"

#define TIMEOUT_MS_DEFAULT 10000
/* About what a wake-up across CPUs costs: an answer that takes longer is worth sleeping for. */
#define SPIN_US_DEFAULT 30
/* The first SPI that libxl gives to virtio-pci host bridges (GUEST_VIRTIO_PCI_SPI_FIRST). */
#define INTX_LINE_DEFAULT 44

uint64_t guest_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

uint64_t guest_deadline(uint64_t ns)
{
    uint64_t now = guest_now_ns();

    return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

static bool simulation_ended(void)
{
    struct pollfd fd = {.fd = sim_session_fd(), .events = 0};

    return fd.fd < 0 || (poll(&fd, 1, 0) > 0 && fd.revents & (POLLHUP | POLLERR));
}

bool guest_gone(const struct guest *g)
{
    return atomic_load_explicit(&g->dom->dom->flags, memory_order_acquire) &
           (SIM_DOM_DYING | SIM_DOM_SHUTDOWN | SIM_DOM_GONE);
}

bool guest_over(const struct guest *g)
{
    return guest_gone(g) || simulation_ended();
}

int guest_running(struct guest *g)
{
    _Atomic uint32_t *flags = &g->dom->dom->flags;

    for (;;) {
        struct timespec ts = {.tv_nsec = GUEST_LOOK_NS};
        uint32_t f = atomic_load_explicit(flags, memory_order_acquire);

        if (f & (SIM_DOM_DYING | SIM_DOM_SHUTDOWN | SIM_DOM_GONE))
            return -ESHUTDOWN;
        if (!(f & SIM_DOM_PAUSED))
            return 0;
        if (simulation_ended())
            return -ESHUTDOWN;
        syscall(SYS_futex, flags, FUTEX_WAIT, f, &ts, NULL, 0);
    }
}

static int mmio_read(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                     uint64_t *value)
{
    *value = 0;
    return guest_access(guest_of(p), vcpu, GUEST_MMIO, addr, bytes, false, value);
}

static int mmio_write(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                      uint64_t value)
{
    return guest_access(guest_of(p), vcpu, GUEST_MMIO, addr, bytes, true, &value);
}

int simxen_guest_pio_read(struct fe_platform *p, unsigned vcpu, uint16_t port, unsigned bytes,
                          uint32_t *value)
{
    uint64_t v = 0;
    int rc = guest_access(guest_of(p), vcpu, GUEST_PIO, port, bytes, false, &v);

    *value = (uint32_t)v;
    return rc;
}

int simxen_guest_pio_write(struct fe_platform *p, unsigned vcpu, uint16_t port, unsigned bytes,
                           uint32_t value)
{
    uint64_t v = value;

    return guest_access(guest_of(p), vcpu, GUEST_PIO, port, bytes, true, &v);
}

static void guest_destroy(struct guest *g)
{
    for (unsigned i = 0; g->vcpus && i < g->platform.nr_vcpus; i++) {
        if (g->vcpus[i].io_fd >= 0)
            close(g->vcpus[i].io_fd);
        if (g->vcpus[i].irq_fd >= 0)
            close(g->vcpus[i].irq_fd);
    }
    if (g->death_fd >= 0)
        close(g->death_fd);
    pthread_mutex_destroy(&g->lock);
    pthread_mutex_destroy(&g->buffered_lock);
    free(g->vcpus);
    free(g);
}

/* Through the domain's own ring (harness/simxen/xenbus). */
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

static void platform_close(struct fe_platform *p)
{
    struct guest *g;

    if (!p)
        return;
    g = guest_of(p);
    guest_memory_fini(g);
    guest_destroy(g);
}

static const struct fe_platform_ops guest_ops = {
    .close = platform_close,
    .mmio_read = mmio_read,
    .mmio_write = mmio_write,
    .pages_alloc = guest_pages_alloc,
    .pages_free = guest_pages_free,
    .gfn = guest_gfn,
    .grant = guest_grant,
    .grant_at = guest_grant_at,
    .revoke = guest_revoke,
    .grant_in_use = guest_grant_in_use,
    .irq_msi = guest_irq_msi,
    .irq_intx = guest_irq_intx,
    .irq_line = guest_irq_line,
    .irq_free = guest_irq_free,
    .irq_wait = guest_irq_wait,
    .store_read = store_read,
};

/* "key=value[,key=value...]", all values unsigned. */
static int parse_arg(struct guest *g, const char *arg)
{
    static const struct {
        const char *key;
        unsigned long max;
    } keys[] = {{"timeout_ms", 3600000},
                {"spin_us", 1000000},
                {"intx_line", SIM_LINES_MAX - 4},
                {"invalidate", 1}};

    while (arg && *arg) {
        size_t len = strcspn(arg, "=,");
        unsigned long value;
        char *end;
        unsigned k;

        for (k = 0; k < 4; k++) {
            if (strlen(keys[k].key) == len && strncmp(arg, keys[k].key, len) == 0)
                break;
        }
        if (k == 4 || arg[len] != '=' || arg[len + 1] < '0' || arg[len + 1] > '9')
            goto bad;
        errno = 0;
        value = strtoul(arg + len + 1, &end, 10);
        if (errno || (*end && *end != ',') || value > keys[k].max)
            goto bad;
        switch (k) {
        case 0:
            g->timeout_ns = value * 1000000ull;
            break;
        case 1:
            g->spin_ns = value * 1000ull;
            break;
        case 2:
            g->intx_line = (uint32_t)value;
            break;
        default:
            g->invalidate = value;
            break;
        }
        arg = *end ? end + 1 : end;
    }
    return 0;
bad:
    fprintf(stderr,
            "platform simxen: cannot use '%s': known are timeout_ms=, spin_us=, intx_line=, "
            "invalidate=, with a number each\n",
            arg);
    return -EINVAL;
}

static int attach(struct guest *g)
{
    struct sim_msg msg = {.op = SIM_OP_GUEST_ATTACH, .a = {g->dom->domid}};
    unsigned nfds = 1;
    int rc = sim_call(&msg, &g->death_fd, &nfds);

    if (rc)
        return rc;
    for (unsigned i = 0; i < g->platform.nr_vcpus; i++) {
        int fds[2] = {-1, -1};

        msg = (struct sim_msg){.op = SIM_OP_VCPU_FDS, .a = {i}};
        nfds = 2;
        rc = sim_call(&msg, fds, &nfds);
        if (rc)
            return rc;
        g->vcpus[i].io_fd = fds[0];
        g->vcpus[i].irq_fd = fds[1];
        if (nfds != 2)
            return -EPROTO;
    }
    return 0;
}

static int platform_open(const char *arg, struct fe_platform **out)
{
    struct guest *g = calloc(1, sizeof(*g));
    const char *step = "connect to the simulation ($SIMXEN_DIR)";
    void *memory;
    int rc;

    if (!g)
        return -ENOMEM;
    g->death_fd = -1;
    g->timeout_ns = TIMEOUT_MS_DEFAULT * 1000000ull;
    g->spin_ns = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN_US_DEFAULT * 1000ull : 0;
    g->intx_line = INTX_LINE_DEFAULT;
    pthread_mutex_init(&g->lock, NULL);
    pthread_mutex_init(&g->buffered_lock, NULL);
    rc = parse_arg(g, arg);
    if (rc) {
        step = NULL;
        goto out;
    }
    rc = sim_session();
    if (rc)
        goto out;
    step = "find the own domain ($SIMXEN_DOMID)";
    rc = sim_dom_get(sim_self_domid(), &g->dom);
    if (rc)
        goto out;
    step = "map the own memory";
    rc = sim_dom_memory(g->dom, &memory);
    if (rc)
        goto out;
    g->memory = memory;
    g->platform = (struct fe_platform){.ops = &guest_ops,
                                       .name = "simxen",
                                       .domid = g->dom->domid,
                                       .nr_vcpus = g->dom->dom->nr_vcpus,
                                       .arm = g->dom->dom->arch == SIM_ARCH_ARM};
    g->vcpus = calloc(g->platform.nr_vcpus, sizeof(*g->vcpus));
    if (!g->vcpus) {
        rc = -ENOMEM;
        goto out;
    }
    for (unsigned i = 0; i < g->platform.nr_vcpus; i++)
        g->vcpus[i].io_fd = g->vcpus[i].irq_fd = -1;
    step = "become the domain's kernel";
    rc = attach(g);
    if (rc)
        goto out;
    step = "run";
    rc = guest_running(g);
out:
    if (rc) {
        if (step)
            fprintf(stderr, "platform simxen: cannot %s: %s\n", step,
                    rc == -ESHUTDOWN ? "the domain was shut down, or crashed" : strerror(-rc));
        guest_destroy(g);
        return rc;
    }
    *out = &g->platform;
    return 0;
}

__attribute__((visibility("default"))) extern const struct fe_platform_plugin fe_platform_plugin;
const struct fe_platform_plugin fe_platform_plugin = {
    .abi = FE_PLATFORM_ABI,
    .name = "simxen",
    .open = platform_open,
};
