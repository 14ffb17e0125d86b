/* SPDX-License-Identifier: MIT */
/*
 * simxen-bench: what the fast paths of simxen cost beside the kernel objects under them.
 *
 * Starts a simulation of its own with one domU, whose kernel is a child of this process. Each
 * operation is measured in blocks that alternate with blocks of the bare object, so that both see
 * the same load; the table gives medians and the middle 80 % of the blocks.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#include "frontend/platform.h"
#include "simxen/core/core.h"

#define BLOCKS_DEFAULT 40
#define OPS            200u /* in a block */
#define PAGES          ((size_t)16)
#define MMIO_BASE      0xe4000000u
#define RAM_BYTES      (64ull << 20)

static void die(const char *what)
{
    fprintf(stderr, "simxen-bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void full_write(int fd, const void *p, size_t n)
{
    if (write(fd, p, n) != (ssize_t)n)
        die("pipe");
}

static void full_read(int fd, void *p, size_t n)
{
    if (read(fd, p, n) != (ssize_t)n)
        die("the other process has ended");
}

static void token_wait(int fd)
{
    uint64_t n;

    full_read(fd, &n, sizeof(n));
}

static void token_send(int fd)
{
    static const uint64_t one = 1;

    full_write(fd, &one, sizeof(one));
}

/* What both sides know; `ping` and `pong` are the bare objects. */
struct link {
    int to_guest, from_guest; /* this side's ends of two pipes */
    int ping, pong;
};

/* What the guest tells when it is up. */
struct guest_hello {
    uint32_t gref, port;
    uint64_t gfn;
};

/* ---- the domU ---- */

static void guest_main(struct link l, uint16_t domid, const char *plugin)
{
    const struct fe_platform_plugin *pl;
    struct guest_hello hello = {0};
    struct fe_platform *p;
    xenevtchn_handle *xce;
    char number[16];
    gref_t first;
    void *so, *va;
    char op;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(number, sizeof(number), "%u", domid);
    setenv("SIMXEN_DOMID", number, 1);
    so = dlopen(plugin, RTLD_NOW);
    pl = so ? dlsym(so, "fe_platform_plugin") : NULL;
    if (!pl) {
        fprintf(stderr, "simxen-bench: %s\n", dlerror());
        exit(1);
    }
    if (pl->open(NULL, &p) || p->ops->pages_alloc(p, PAGES, FE_PAGES_CONTIGUOUS, &va) ||
        p->ops->gfn(p, va, &hello.gfn) || p->ops->grant(p, va, PAGES, 0, 0, &first))
        die("guest");
    hello.gref = first.raw;
    xce = xenevtchn_open(NULL, 0);
    if (!xce)
        die("xenevtchn_open");
    hello.port = (uint32_t)xenevtchn_bind_unbound_port(xce, 0);
    full_write(l.to_guest, &hello, sizeof(hello));
    while (read(l.from_guest, &op, 1) == 1) {
        uint64_t value, start = now_ns();

        for (unsigned i = 0; i < OPS; i++) {
            switch (op) {
            case 'n': {
                int port = xenevtchn_pending(xce);

                if (port < 0)
                    die("xenevtchn_pending");
                xenevtchn_unmask(xce, (evtchn_port_t)port);
                xenevtchn_notify(xce, hello.port);
                break;
            }
            case 'e':
                token_wait(l.ping);
                token_send(l.pong);
                break;
            default:
                if (p->ops->mmio_read(p, 0, MMIO_BASE, 4, &value))
                    die("mmio_read");
                break;
            }
        }
        start = now_ns() - start;
        full_write(l.to_guest, &start, sizeof(start));
    }
    xenevtchn_close(xce);
    p->ops->close(p);
    exit(0);
}

/* ---- dom0 ---- */

struct dom0 {
    struct link link;
    uint16_t domid;
    struct guest_hello guest;
    xengnttab_handle *xgt;
    xenforeignmemory_handle *fmem;
    xendevicemodel_handle *dmod;
    xenevtchn_handle *xce, *io_xce;
    int port, io_port;
    xenforeignmemory_resource_handle *slot_page;
    ioreq_t *slot;
    int memfd;
    char *bare_page;
};

static void guest_do(struct dom0 *d, char op)
{
    full_write(d->link.to_guest, &op, 1);
}

static uint64_t guest_took(struct dom0 *d)
{
    uint64_t ns;

    full_read(d->link.from_guest, &ns, sizeof(ns));
    return ns;
}

static void touch(char *p, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        *(volatile char *)(p + (size_t)i * SIM_PAGE) = 1;
}

/* Each returns the nanoseconds that OPS operations took. */

static uint64_t sim_notify(struct dom0 *d, unsigned pages)
{
    uint64_t start = now_ns();

    guest_do(d, 'n');
    for (unsigned i = 0; i < OPS; i++) {
        int port;

        xenevtchn_notify(d->xce, (evtchn_port_t)d->port);
        port = xenevtchn_pending(d->xce);
        if (port < 0)
            die("xenevtchn_pending");
        xenevtchn_unmask(d->xce, (evtchn_port_t)port);
    }
    start = now_ns() - start;
    guest_took(d);
    return start;
}

static uint64_t bare_notify(struct dom0 *d, unsigned pages)
{
    uint64_t start = now_ns();

    guest_do(d, 'e');
    for (unsigned i = 0; i < OPS; i++) {
        token_send(d->link.ping);
        token_wait(d->link.pong);
    }
    start = now_ns() - start;
    guest_took(d);
    return start;
}

static uint64_t sim_grant(struct dom0 *d, unsigned pages)
{
    uint32_t refs[PAGES];
    uint64_t start;

    for (unsigned i = 0; i < pages; i++)
        refs[i] = d->guest.gref + i;
    start = now_ns();
    for (unsigned i = 0; i < OPS; i++) {
        char *p =
            xengnttab_map_domain_grant_refs(d->xgt, pages, d->domid, refs, PROT_READ | PROT_WRITE);

        if (!p)
            die("xengnttab_map_domain_grant_refs");
        touch(p, pages);
        xengnttab_unmap(d->xgt, p, pages);
    }
    return now_ns() - start;
}

static uint64_t sim_foreign(struct dom0 *d, unsigned pages)
{
    xen_pfn_t gfns[PAGES];
    int err[PAGES];
    uint64_t start;

    for (unsigned i = 0; i < pages; i++)
        gfns[i] = d->guest.gfn + i;
    start = now_ns();
    for (unsigned i = 0; i < OPS; i++) {
        char *p = xenforeignmemory_map(d->fmem, d->domid, PROT_READ | PROT_WRITE, pages, gfns, err);

        if (!p || err[0])
            die("xenforeignmemory_map");
        touch(p, pages);
        xenforeignmemory_unmap(d->fmem, p, pages);
    }
    return now_ns() - start;
}

static uint64_t bare_map(struct dom0 *d, unsigned pages)
{
    uint64_t start = now_ns();

    for (unsigned i = 0; i < OPS; i++) {
        char *p =
            mmap(NULL, (size_t)pages * SIM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, d->memfd, 0);

        if (p == MAP_FAILED)
            die("mmap");
        touch(p, pages);
        munmap(p, (size_t)pages * SIM_PAGE);
    }
    return now_ns() - start;
}

static uint64_t sim_copy(struct dom0 *d, unsigned pages)
{
    static char local[SIM_PAGE] __attribute__((aligned(4096)));
    xengnttab_grant_copy_segment_t seg = {
        .source.foreign = {.ref = d->guest.gref, .domid = d->domid},
        .dest.virt = local,
        .len = SIM_PAGE,
        .flags = GNTCOPY_source_gref};
    uint64_t start = now_ns();

    for (unsigned i = 0; i < OPS; i++) {
        if (xengnttab_grant_copy(d->xgt, 1, &seg) || seg.status != GNTST_okay)
            die("xengnttab_grant_copy");
    }
    return now_ns() - start;
}

static uint64_t bare_copy(struct dom0 *d, unsigned pages)
{
    static char local[SIM_PAGE] __attribute__((aligned(4096)));
    uint64_t start = now_ns();

    for (unsigned i = 0; i < OPS; i++) {
        memcpy(local, d->bare_page, SIM_PAGE);
        __asm__ volatile("" ::"r"(local) : "memory");
    }
    return now_ns() - start;
}

static uint64_t sim_mmio(struct dom0 *d, unsigned pages)
{
    _Atomic uint8_t *state = (_Atomic uint8_t *)&d->slot->type - 1;

    guest_do(d, 'm');
    for (unsigned served = 0; served < OPS;) {
        int port = xenevtchn_pending(d->io_xce);

        if (port < 0)
            die("xenevtchn_pending");
        xenevtchn_unmask(d->io_xce, (evtchn_port_t)port);
        if ((atomic_load(state) & 0xf) != STATE_IOREQ_READY)
            continue;
        d->slot->data = 1;
        atomic_store(state, (uint8_t)((atomic_load(state) & 0xf0) | STATE_IORESP_READY));
        xenevtchn_notify(d->io_xce, (evtchn_port_t)d->io_port);
        served++;
    }
    return guest_took(d);
}

struct row {
    const char *what, *bare_what;
    uint64_t (*sim)(struct dom0 *d, unsigned pages);
    uint64_t (*bare)(struct dom0 *d, unsigned pages);
    unsigned pages;
};

static const struct row rows[] = {
    {"event there and back", "two eventfds", sim_notify, bare_notify, 0},
    {"MMIO read answered", "two eventfds", sim_mmio, bare_notify, 0},
    {"grant map+touch+unmap, 1 page", "mmap+touch+munmap", sim_grant, bare_map, 1},
    {"grant map+touch+unmap, 16 pages", "mmap+touch+munmap", sim_grant, bare_map, PAGES},
    {"foreign map+touch+unmap, 1 page", "mmap+touch+munmap", sim_foreign, bare_map, 1},
    {"foreign map+touch+unmap, 16 pages", "mmap+touch+munmap", sim_foreign, bare_map, PAGES},
    {"grant copy, 4 KiB", "memcpy", sim_copy, bare_copy, 0},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void devices_open(struct dom0 *d)
{
    void *page = NULL;
    ioservid_t id;

    d->xgt = xengnttab_open(NULL, 0);
    d->fmem = xenforeignmemory_open(NULL, 0);
    d->dmod = xendevicemodel_open(NULL, 0);
    d->xce = xenevtchn_open(NULL, 0);
    d->io_xce = xenevtchn_open(NULL, 0);
    if (!d->xgt || !d->fmem || !d->dmod || !d->xce || !d->io_xce)
        die("open the libraries");
    d->port = xenevtchn_bind_interdomain(d->xce, d->domid, d->guest.port);
    if (d->port < 0)
        die("xenevtchn_bind_interdomain");
    /* The one that follows every binding. */
    xenevtchn_unmask(d->xce, (evtchn_port_t)xenevtchn_pending(d->xce));
    if (xendevicemodel_create_ioreq_server(d->dmod, d->domid, 0, &id) ||
        xendevicemodel_map_io_range_to_ioreq_server(d->dmod, d->domid, id, 1, MMIO_BASE,
                                                    MMIO_BASE + SIM_PAGE - 1) ||
        xendevicemodel_set_ioreq_server_state(d->dmod, d->domid, id, 1))
        die("IOREQ server");
    d->slot_page = xenforeignmemory_map_resource(d->fmem, d->domid, XENMEM_resource_ioreq_server,
                                                 id, XENMEM_resource_ioreq_server_frame_ioreq(0), 1,
                                                 &page, PROT_READ | PROT_WRITE, 0);
    if (!d->slot_page)
        die("xenforeignmemory_map_resource");
    d->slot = page;
    d->io_port = xenevtchn_bind_interdomain(d->io_xce, d->domid, d->slot->vp_eport);
    if (d->io_port < 0)
        die("xenevtchn_bind_interdomain");
}

static void devices_close(struct dom0 *d)
{
    xenforeignmemory_unmap_resource(d->fmem, d->slot_page);
    xenevtchn_close(d->io_xce);
    xenevtchn_close(d->xce);
    xendevicemodel_close(d->dmod);
    xenforeignmemory_close(d->fmem);
    xengnttab_close(d->xgt);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(struct dom0 *d, unsigned blocks)
{
    double *ns = calloc(ROWS * 2 * blocks, sizeof(*ns));

    if (!ns)
        die("memory");
    for (unsigned b = 0; b < blocks; b++) {
        for (unsigned r = 0; r < ROWS; r++) {
            ns[(r * 2 + 0) * blocks + b] = (double)rows[r].sim(d, rows[r].pages) / OPS;
            ns[(r * 2 + 1) * blocks + b] = (double)rows[r].bare(d, rows[r].pages) / OPS;
        }
    }
    printf("%-34s %10s %17s   %-18s %10s %17s\n", "operation, ns", "simxen", "middle 80 %", "bare",
           "", "middle 80 %");
    for (unsigned r = 0; r < ROWS; r++) {
        double *s = ns + (size_t)r * 2 * blocks, *k = s + blocks;
        unsigned low = blocks / 10, high = blocks - 1 - blocks / 10;

        qsort(s, blocks, sizeof(*s), compare);
        qsort(k, blocks, sizeof(*k), compare);
        printf("%-34s %10.0f %8.0f-%-8.0f   %-18s %10.0f %8.0f-%-8.0f\n", rows[r].what,
               s[blocks / 2], s[low], s[high], rows[r].bare_what, k[blocks / 2], k[low], k[high]);
    }
    free(ns);
}

static pid_t hv_start(const char *hv, const char *run_dir)
{
    int ready[2];
    char fd[16], byte;
    pid_t pid;

    if (pipe(ready))
        die("pipe");
    pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ready[0]);
        snprintf(fd, sizeof(fd), "%d", ready[1]);
        execl(hv, hv, "--run-dir", run_dir, "--ready-fd", fd, (char *)NULL);
        die(hv);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) {
        fprintf(stderr, "simxen-bench: the hypervisor process did not start\n");
        exit(1);
    }
    close(ready[0]);
    return pid;
}

static void usage(void)
{
    fprintf(stderr, "usage: simxen-bench [--blocks N]\n");
    exit(2);
}

/* The measurement, in a process of its own: whatever ends it, main tidies up. */
static void run(const char *dir, const char *run_dir, unsigned blocks)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_CREATE};
    char hv[4200], plugin[4200];
    struct dom0 d = {0};
    int down[2], up[2], rc;
    pid_t hv_pid, guest_pid;

    snprintf(hv, sizeof(hv), "%s/simxen-hv", dir);
    snprintf(plugin, sizeof(plugin), "%s/../lib/platform-simxen.so", dir);
    setenv("SIMXEN_DIR", run_dir, 1);
    setenv("SIMXEN_DOMID", "0", 1);
    hv_pid = hv_start(hv, run_dir);

    /* The guest's process is made before this one has a session: it gets its own. */
    d.link.ping = eventfd(0, EFD_CLOEXEC);
    d.link.pong = eventfd(0, EFD_CLOEXEC);
    if (pipe(down) || pipe(up) || d.link.ping < 0 || d.link.pong < 0)
        die("pipe");
    guest_pid = fork();
    if (guest_pid < 0)
        die("fork");
    if (guest_pid == 0) {
        struct link l = {
            .to_guest = up[1], .from_guest = down[0], .ping = d.link.ping, .pong = d.link.pong};

        close(down[1]);
        close(up[0]);
        full_read(l.from_guest, &d.domid, sizeof(d.domid));
        guest_main(l, d.domid, plugin);
    }
    close(down[0]);
    close(up[1]);
    d.link.to_guest = down[1];
    d.link.from_guest = up[0];

    msg.u.dom_config =
        (struct sim_dom_config){.arch = SIM_ARCH_X86, .nr_vcpus = 1, .ram_bytes = RAM_BYTES};
    rc = sim_call(&msg, NULL, NULL);
    if (rc) {
        errno = -rc;
        die("create a domain");
    }
    d.domid = (uint16_t)msg.a[0];
    full_write(d.link.to_guest, &d.domid, sizeof(d.domid));
    full_read(d.link.from_guest, &d.guest, sizeof(d.guest));
    devices_open(&d);
    d.memfd = memfd_create("bare", MFD_CLOEXEC);
    if (d.memfd < 0 || ftruncate(d.memfd, PAGES * SIM_PAGE))
        die("memfd");
    d.bare_page = mmap(NULL, SIM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, d.memfd, 0);
    if (d.bare_page == MAP_FAILED)
        die("mmap");
    touch(d.bare_page, 1);

    measure(&d, blocks);
    devices_close(&d);

    close(d.link.to_guest);
    waitpid(guest_pid, NULL, 0);
    msg = (struct sim_msg){.op = SIM_OP_QUIT};
    sim_call(&msg, NULL, NULL);
    waitpid(hv_pid, NULL, 0);
    exit(0);
}

/* Until `pid` has ended; what would end this process ends that one first. */
static int supervise(pid_t pid, const sigset_t *signals)
{
    int status = 0;

    for (;;) {
        int sig = sigwaitinfo(signals, NULL);

        if (sig > 0 && sig != SIGCHLD)
            kill(pid, SIGTERM);
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}

int main(int argc, char **argv)
{
    static const char *const files[] = {"hv.log", "hv.sock"};
    char self[4096], path[64], run_dir[] = "/tmp/simxen-bench.XXXXXX";
    unsigned blocks = BLOCKS_DEFAULT;
    sigset_t signals;
    int status;
    pid_t pid;
    ssize_t n;

    if (argc == 3 && strcmp(argv[1], "--blocks") == 0) {
        char *end;
        unsigned long v = strtoul(argv[2], &end, 10);

        if (*end || v < 1 || v > 100000)
            usage();
        blocks = (unsigned)v;
    } else if (argc != 1) {
        usage();
    }
    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        die("/proc/self/exe");
    self[n] = 0;
    *strrchr(self, '/') = 0;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (!mkdtemp(run_dir))
        die(run_dir);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_UNBLOCK, &signals, NULL);
        run(self, run_dir, blocks);
    }
    status = pid < 0 ? 1 : supervise(pid, &signals);
    /* Its hypervisor process gets its death signal as it ends, and makes no files after that. */
    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", run_dir, files[i]);
        unlink(path);
    }
    if (rmdir(run_dir))
        fprintf(stderr, "simxen-bench: %s: %s\n", run_dir, strerror(errno));
    return status;
}
