/* SPDX-License-Identifier: MIT */
#include "testbed/xen_cell.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "testbed/guest_image.h"
#include "testbed/guest_root.h"
#include "testbed/map.h"
#include "testbed/xen_costs.h"
#include "testbed/xen_driver.h"

#define DOMAIN XEN_DOMAIN
/* Of the backend's n-th start, in the folder of images: the one before may still run. */
#define PIDFILE      "%s/backend-%u.pid"
#define STATSFILE    "%s/backend-%u.stats"
#define NO_DOMAIN    0u
#define COMMAND_NS   60000000000ull
#define OUTPUT_BYTES 65536u
/* Kernel, our root and the agent's pool of pages are in it beside what a scenario asks for. */
#define MEMORY_BASE_MIB 128u

static struct xen_cell *xen_of(struct testbed_cell *c)
{
    return (struct xen_cell *)c;
}

static void discard(struct testbed_cell *c)
{
    if (xen_of(c)->discard)
        xen_of(c)->discard(c);
}

/* ---- programs in dom0 ---- */

/* The words in front of a command line that is to run in dom0. */
static void words_dom0(struct testbed_cell *c, struct words *w)
{
    for (const char *const *word = xen_of(c)->place->prefix; *word; word++)
        words_add(w, *word);
}

static char *log_path(const struct testbed_cell *c, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", c->run_dir, name) < 0 ? NULL : path;
}

static int spawn_dom0(struct testbed_cell *c, const struct words *argv, const char *log_name,
                      int stdin_fd, int stdout_fd, struct process *p)
{
    struct words env = {0};
    char *log = log_path(c, log_name);
    int ret;

    words_add_environment(&env);
    const struct process_start start = {.argv = argv,
                                        .env = &env,
                                        .log = log,
                                        .stdin_fd = stdin_fd,
                                        .stdout_fd = stdout_fd,
                                        .pass_fd = -1};
    ret = log ? process_spawn(&start, p) : -ENOMEM;
    words_fini(&env);
    free(log);
    return ret;
}

int xen_cell_spawn(struct testbed_cell *c, const struct words *argv, const char *log, int stdin_fd,
                   int stdout_fd, struct process *p)
{
    struct words there = {0};
    int ret;

    words_dom0(c, &there);
    for (unsigned i = 0; i < argv->count; i++)
        words_add(&there, argv->items[i]);
    ret = spawn_dom0(c, &there, log, stdin_fd, stdout_fd, p);
    words_fini(&there);
    return ret ? testbed_fail(c, ret, "a program in dom0: %s", strerror(-ret)) : 0;
}

/* All of a pipe until its end, or the deadline. */
static int read_all(int fd, uint64_t deadline, char *buf, size_t size)
{
    size_t used = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char spill[4096];

        if (poll(&p, 1, poll_timeout_ms(deadline)) <= 0) {
            if (monotonic_ns() >= deadline)
                return -ETIMEDOUT;
            continue;
        }
        bool room = used < size - 1;
        ssize_t n = read(fd, room ? buf + used : spill, room ? size - 1 - used : sizeof(spill));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (room)
            used += (size_t)n;
    }
    buf[used] = 0;
    return 0;
}

int xen_cell_command(struct testbed_cell *c, char **out, const char *const *command)
{
    uint64_t deadline = monotonic_ns() + COMMAND_NS;
    struct process p = PROCESS_INIT;
    struct words argv = {0};
    char *text = calloc(1, OUTPUT_BYTES), end[96];
    int fds[2] = {-1, -1}, ret;

    words_dom0(c, &argv);
    for (const char *const *w = command; *w; w++)
        words_add(&argv, *w);
    ret = !text ? -ENOMEM : pipe2(fds, O_CLOEXEC) ? -errno : 0;
    if (!ret)
        ret = spawn_dom0(c, &argv, "dom0.log", -1, fds[1], &p);
    if (fds[1] >= 0)
        close(fds[1]);
    if (!ret)
        ret = read_all(fds[0], deadline, text, OUTPUT_BYTES);
    if (fds[0] >= 0)
        close(fds[0]);
    if (ret)
        process_end(&p, SIGKILL, 0);
    else
        ret = process_wait(&p, COMMAND_NS);
    if (ret == -ETIMEDOUT) {
        discard(c);
        testbed_fail(c, ret, "dom0 did not end '%s %s' within its limit", command[0],
                     command[1] ? command[1] : "");
    } else if (ret) {
        testbed_fail(c, ret, "%s: %s", command[0], strerror(-ret));
    } else if (!WIFEXITED(p.status) || WEXITSTATUS(p.status)) {
        char *log = testbed_log_tail(c, "dom0.log");
        ret = testbed_fail(c, -EREMOTEIO, "dom0: '%s %s' ended with %s: %s", command[0],
                           command[1] ? command[1] : "", process_describe_end(&p, end, sizeof(end)),
                           log ? log : "");
        free(log);
    }
    words_fini(&argv);
    if (!ret && out) {
        size_t n = strlen(text);
        if (n && text[n - 1] == '\n')
            text[n - 1] = 0;
        *out = text;
        text = NULL;
    }
    free(text);
    return ret;
}

#define DOM0(c, out, ...) xen_cell_command(c, out, (const char *const[]){__VA_ARGS__, NULL})

/* ---- the cell ---- */

bool xen_cell_supports(const struct scenario_cell *plan, char *why, size_t why_size)
{
    const struct scenario *s = plan->scenario;
    const char *reason = NULL;

    if (s->run == RUN_FIO)
        reason = "fio's engine is not in the images";
    else if (plan->topology == TOPOLOGY_HYPERVISOR_BRIDGE)
        reason = "this Xen does not decode ECAM for a domain's IOREQ servers";
    else if (plan->background == BACKGROUND_ZEROES)
        reason = "what Xen answers where nobody does is all ones";
    else if (plan->discovery == DISCOVERY_ACPI && plan->arch == ARCH_ARM)
        reason = "a domain has a device tree on Arm, and its kernel looks for no ACPI";
    else if ((plan->discovery == DISCOVERY_MACHINE_TYPE ||
              plan->discovery == DISCOVERY_DEVICE_TREE) &&
             plan->arch == ARCH_X86)
        reason = "a domain has no device tree on x86";
    else if (plan->frontend == FRONTEND_DOM0 || plan->backend == BACKEND_OUTSIDE)
        reason = "the driver is in a domU here, and the backend in dom0 or another domU";
    else if (plan->backend == BACKEND_DRIVER && plan->arch == ARCH_X86)
        reason = "on x86 Xen maps IOREQ pages into no other translated domain than dom0 "
                 "(arch_acquire_resource_check)";
    else if (plan->backend == BACKEND_DRIVER &&
             (s->runs_in == RUNS_IN_LINUX || plan->config != CONFIG_COMMAND_LINE ||
              plan->discovery != DISCOVERY_GIVEN || plan->start == START_DOM0LESS))
        reason = "a driver domain's backend has its devices by its command line here, for a driver "
                 "that is told whose they are";
    else if (plan->transport == TRANSPORT_MMIO && plan->arch == ARCH_X86)
        reason = "a PVH domain has no lines, and this Xen does not survive that one is raised";
    else if (plan->start == START_DOM0LESS && plan->arch != ARCH_ARM)
        reason = "Xen starts domains itself on Arm alone";
    else if (plan->start == START_DOM0LESS && plan->vcpus > 1)
        reason = "the domain that Xen starts has one vCPU";
    for (unsigned i = 0; !reason && i < s->device_count; i++) {
        if (s->devices[i].backing == BACKING_PATH)
            reason = "a disk of the user's is not in the machine";
        else if (s->devices[i].type == DEVICE_NET && s->devices[i].wire == WIRE_TAP &&
                 s->runs_in != RUNS_IN_LINUX)
            reason = "the domain has no network of its own";
    }
    if (reason)
        snprintf(why, why_size, "%s", reason);
    return !reason;
}

int xen_cell_make_images(struct testbed_cell *c)
{
    const struct scenario *s = c->plan.scenario;
    int ret = DOM0(c, NULL, "mkdir", "-p", c->image_dir);

    for (unsigned i = 0; !ret && i < s->device_count; i++) {
        const struct scenario_device *d = &s->devices[i];
        char *path, bytes[24];

        if (d->backing != BACKING_IMAGE)
            continue;
        path = testbed_image_path(c, i);
        snprintf(bytes, sizeof(bytes), "%" PRIu64, d->size_bytes);
        ret = path ? DOM0(c, NULL, xen_of(c)->place->loop, "image", path, bytes,
                          d->filled ? "filled" : "empty")
                   : -ENOMEM;
        free(path);
    }
    return ret;
}

static void stop_guest(struct testbed_cell *c)
{
    for (unsigned i = 0; i < TESTBED_ROLES; i++)
        testbed_agent_stop(c, (enum testbed_role)i);
    process_end(&c->backend, SIGTERM, 20000000000u);
    xen_driver_end(c);
}

/* A dying domain is gone when nobody maps its memory any more, and that is no event: @releaseDomain
 * comes when it begins to die. */
int xen_cell_domain_destroy(struct testbed_cell *c)
{
    return DOM0(c, NULL, "sh", "-c",
                "for d in " DOMAIN " " XEN_DRIVER_DOMAIN "; do "
                "xl destroy $d 2>/dev/null; n=100; while xl domid $d >/dev/null 2>&1; "
                "do [ $((n -= 1)) -gt 0 ] || exit 1; sleep 0.05; done; done");
}

/* The domain may have ended by itself. The machine of one that stays is of no use. */
int xen_cell_domain_end(struct testbed_cell *c)
{
    struct xen_cell *q = xen_of(c);
    int ret;

    stop_guest(c);
    if (q->domid == NO_DOMAIN)
        return 0;
    q->domid = NO_DOMAIN;
    ret = xen_cell_domain_destroy(c);
    if (ret)
        discard(c);
    return ret;
}

/* ---- the domain ---- */

static unsigned domain_vcpus(const struct testbed_cell *c)
{
    enum scenario_runs_in runs_in = c->plan.scenario->runs_in;
    /* One is the agent's own, where an access of another may wait (platform-linux). */
    bool own = runs_in == RUNS_IN_DOM0 || (runs_in == RUNS_IN_DOMU && c->plan.vcpus > 1);

    return c->plan.vcpus + own;
}

/* The domain runs since Xen has booted. What a toolstack gives to a domain it gets now. */
static int adopt_domain(struct testbed_cell *c)
{
    struct xen_cell *q = xen_of(c);
    char *out = NULL;
    int ret = q->renew(c);

    if (!ret)
        ret = DOM0(c, &out, "sh", "-c",
                   "init-dom0less >&2 && xl rename 1 " DOMAIN " >&2 && xl domid " DOMAIN);
    if (!ret)
        q->domid = (uint16_t)strtoul(out, NULL, 10);
    free(out);
    q->console_used = false;
    return ret;
}

/* Some of each command line is for other things; a byte takes four characters of it. */
#define SEND_BYTES 2048u

/* A small file of ours, there. */
static int send_file(struct testbed_cell *c, const char *from, const char *to)
{
    unsigned char bytes[SEND_BYTES];
    FILE *f = fopen(from, "re");
    int ret = f ? 0 : testbed_fail(c, -errno, "%s: %s", from, strerror(errno));
    size_t n;

    if (!ret)
        ret = DOM0(c, NULL, "sh", "-c", ": >\"$1\"", "sh", to);
    while (!ret && (n = fread(bytes, 1, sizeof(bytes), f)) > 0) {
        char text[4 * SEND_BYTES + 1];

        for (size_t i = 0; i < n; i++)
            snprintf(text + 4 * i, 5, "\\%03o", bytes[i]);
        ret = DOM0(c, NULL, "sh", "-c", "printf \"$1\" >>\"$2\"", "sh", text, to);
    }
    if (!ret && ferror(f))
        ret = testbed_fail(c, -EIO, "%s cannot be read", from);
    if (f)
        fclose(f);
    return ret;
}

/* A table for Linux to take in from its initial ramdisk: Xen's toolstack adds none to a PVH
 * domain's (xl.cfg's acpi_firmware is HVM's). */
static int make_tables(const char *table, const char *cpio)
{
    struct archive *a = archive_create(cpio);

    if (!a)
        return -errno;
    archive_add_folder(a, "kernel");
    archive_add_folder(a, "kernel/firmware");
    archive_add_folder(a, "kernel/firmware/acpi");
    archive_add_file(a, "kernel/firmware/acpi/backends.aml", table, 0644);
    return archive_finish(a);
}

static int set_path(char **path, const char *dir, const char *name)
{
    if (asprintf(path, "%s/%s", dir, name) >= 0)
        return 0;
    *path = NULL;
    return -ENOMEM;
}

/* The folder of images, on this side. */
static char *guest_file_here(const struct testbed_cell *c, const char *name)
{
    const char *dir = ((const struct xen_cell *)c)->place->guest_here;
    char *path;

    if (!dir)
        return guest_image_path(c->plan.arch, name);
    return set_path(&path, dir, name) ? NULL : path;
}

/* What the domain's builder is given beside the scenario's: a ramdisk that begins with a table, or
 * a partial device tree that has more in it. */
static int make_boot_data(struct testbed_cell *c, struct words *lines)
{
    bool tree = c->plan.discovery == DISCOVERY_DEVICE_TREE;
    char *onto = NULL, *data = NULL, *cpio = NULL, *there = NULL, *initrd = NULL;
    int ret = set_path(&data, c->run_dir, "boot-data") |
              set_path(&cpio, c->run_dir, "tables.cpio") |
              set_path(&there, c->image_dir, tree ? "guest.dtb" : "guest-tables.cpio") |
              set_path(&initrd, c->image_dir, "guest.initrd");

    if (!ret && tree) {
        onto = guest_file_here(c, "domu-uio.dtb");
        ret = onto ? 0 : -ENOMEM;
    }
    if (ret) {
        testbed_fail(c, ret, "out of memory");
        goto out;
    }
    ret = testbed_write_boot_data(c, data, onto);
    if (!ret && !tree) {
        ret = make_tables(data, cpio);
        if (ret)
            testbed_fail(c, ret, "%s: %s", cpio, strerror(-ret));
    }
    if (!ret)
        ret = send_file(c, tree ? data : cpio, there);
    if (!ret && !tree)
        ret = DOM0(c, NULL, "sh", "-c", "cat \"$1\" \"$2\" >\"$3\"", "sh", there,
                   xen_of(c)->place->initrd, initrd);
    if (!ret)
        words_addf(lines, "%s=\"%s\"", tree ? "device_tree" : "ramdisk", tree ? there : initrd);
out:
    free(onto);
    free(data);
    free(cpio);
    free(there);
    free(initrd);
    return ret;
}

/* The lines of a domain's configuration that say what its kernel is and what it drives. */
static int add_kernel(struct testbed_cell *c, struct words *lines)
{
    const char *guest = xen_of(c)->place->guest;
    bool arm = c->plan.arch == ARCH_ARM, grants = c->plan.addressing == ADDRESSING_GRANTS;
    bool stock = c->plan.scenario->runs_in == RUNS_IN_LINUX;
    /* Or else the agent is the only driver of what is on the bus, and on Arm of its interrupts. */
    const char *no_pci = arm ? "initcall_blacklist=gen_pci_driver_init,virtio_mmio_init "
                               "uio_pdrv_genirq.of_id=ringproof,intx"
                             : "pci=off";
    const char *bus = c->plan.transport == TRANSPORT_MMIO ? "mmio" : "pci";
    struct words agent = {0};
    char text[1024], whose[64] = "";
    /* Linux asks firmware whether slots are its own; a PVH domain's says nothing of it. */
    const char *slots =
        stock && !arm && c->plan.announce == ANNOUNCE_SLOT_EVENT ? " pcie_ports=native" : "";
    size_t used;

    /* Whether its virtio drivers use grants is built into Linux on x86; on Arm a device tree
     * says it. */
    words_addf(lines, "kernel=\"%s/kernel%s\"", guest, stock && !arm && !grants ? "-foreign" : "");
    if (arm)
        words_addf(lines, "device_tree=\"%s/domu-%s%s.dtb\"", guest, stock ? bus : "uio",
                   stock && grants ? "-grants" : "");
    testbed_agent_arguments(c, AGENT_DOMU, "linux", &agent);
    if (c->plan.discovery == DISCOVERY_BOOT_PARAMETER)
        snprintf(whose, sizeof(whose), " virtio_xen.backend=%s/%u",
                 c->plan.scenario->devices[testbed_told_device(c)].sbdf, c->backend_domid);
    /* A stock kernel's messages are for the agent, whose lines the console carries. */
    used = (size_t)snprintf(text, sizeof(text),
                            "console=hvc0 quiet loglevel=%d panic=-1 "
                            "xen_privcmd.unrestricted=1 %s%s%s --",
                            stock ? 1 : 4, stock ? "" : no_pci, whose, slots);
    for (unsigned i = 0; i < agent.count && used < sizeof(text); i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, " %s", agent.items[i]);
    words_addf(lines, "extra=\"%s\"", text);
    bool failed = agent.failed || used >= sizeof(text);
    words_fini(&agent);
    return failed ? testbed_fail(c, -ENAMETOOLONG, "the agent's arguments are too long") : 0;
}

static int create_domain(struct testbed_cell *c)
{
    struct xen_cell *q = xen_of(c);
    struct words create = {0};
    char *out = NULL;
    int ret;

    words_add(&create, q->place->create);
    words_add(&create, DOMAIN);
    words_addf(&create, "ramdisk=\"%s\"", q->place->initrd);
    c->domain_vcpus = domain_vcpus(c);
    c->domain_bytes = ((uint64_t)MEMORY_BASE_MIB << 20) + c->plan.scenario->memory_bytes;
    words_addf(&create, "memory=%" PRIu64, c->domain_bytes >> 20);
    words_addf(&create, "vcpus=%u", c->domain_vcpus);
    ret = add_kernel(c, &create);
    /* A later line replaces an earlier one. */
    if (!ret && (c->plan.discovery == DISCOVERY_DEVICE_TREE || c->plan.discovery == DISCOVERY_ACPI))
        ret = make_boot_data(c, &create);
    if (!ret && create.failed)
        ret = testbed_fail(c, -ENOMEM, "out of memory");
    if (!ret)
        ret = xen_cell_command(c, &out, (const char *const *)create.items);
    words_fini(&create);
    if (!ret)
        q->domid = (uint16_t)strtoul(out, NULL, 10);
    free(out);
    q->console_used = false;
    return ret;
}

int xen_cell_domain_create(struct testbed_cell *c)
{
    bool driver = c->plan.backend == BACKEND_DRIVER;
    int ret = xen_cell_domain_end(c);

    if (!ret && driver)
        ret = xen_driver_create(c);
    if (!ret)
        ret = c->plan.start == START_DOM0LESS ? adopt_domain(c) : create_domain(c);
    if (!ret && xen_of(c)->domid == NO_DOMAIN)
        ret = testbed_fail(c, -EREMOTEIO, "the domain has no id");
    return !ret && driver ? xen_driver_join(c) : ret;
}

int xen_cell_domain_pause(struct testbed_cell *c, bool paused)
{
    return DOM0(c, NULL, "xl", paused ? "pause" : "unpause", DOMAIN);
}

uint16_t xen_cell_domid(const struct testbed_cell *c)
{
    return ((const struct xen_cell *)c)->domid;
}

int xen_cell_domain_accesses(struct testbed_cell *c, uint64_t *count)
{
    static const char script[] =
        "n=$(wc -l <\"$2\") && kill -USR1 \"$(cat \"$1\")\" || exit 1; t=500; "
        "until [ \"$(wc -l <\"$2\")\" -gt \"$n\" ]; do "
        "[ $((t -= 1)) -gt 0 ] || exit 1; sleep 0.01; done; tail -n 1 \"$2\"";
    static const char key[] = "\"requests\":";
    char pid[512], stats[512], *out = NULL, *at;
    int ret;

    if (c->config->profile || c->plan.backend == BACKEND_DRIVER || !process_running(&c->backend))
        return testbed_fail(
            c, -EOPNOTSUPP,
            "not supported: only the reference backend in dom0 counts its requests");
    snprintf(pid, sizeof(pid), PIDFILE, c->image_dir, c->backend_starts - 1);
    snprintf(stats, sizeof(stats), STATSFILE, c->image_dir, c->backend_starts - 1);
    ret = DOM0(c, &out, "sh", "-c", script, "sh", pid, stats);
    at = ret ? NULL : strstr(out, key);
    if (at)
        *count = strtoull(at + sizeof(key) - 1, NULL, 10);
    else if (!ret)
        ret = testbed_fail(c, -EPROTO, "the backend's counts: '%s'", out);
    free(out);
    return ret;
}

/* A vCPU that waits inside of Xen is neither blocked nor does its time go on. The vCPUs of a domain
 * that somebody paused look the same, but wait for nobody's answer. */
int xen_cell_domain_hung(struct testbed_cell *c, bool *hung)
{
    char *out = NULL, *half, *save = NULL;
    int ret = DOM0(c, &out, "sh", "-c",
                   "xl list " DOMAIN " | awk 'END {exit $5 ~ /p/}' || exit 0; "
                   "xl vcpu-list " DOMAIN "; sleep 1; echo; xl vcpu-list " DOMAIN);

    *hung = false;
    if (ret)
        return ret;
    half = strstr(out, "\n\n");
    if (half)
        *half = 0;
    for (char *line = strtok_r(out, "\n", &save); half && line;
         line = strtok_r(NULL, "\n", &save)) {
        /* Name ID VCPU CPU State Time(s) Affinity: the same line again, in state "---". */
        if (strstr(line, " --- ") && strstr(half + 2, line))
            *hung = true;
    }
    free(out);
    return 0;
}

/* ---- the backend ---- */

/* The first one's is the address that a guest talks to. */
static int bring_up_taps(struct testbed_cell *c)
{
    const struct scenario *s = c->plan.scenario;

    if (!s->device_count || s->devices[0].type != DEVICE_NET || s->devices[0].wire != WIRE_TAP)
        return 0;
    return DOM0(c, NULL, "sh", "-c",
                "ip addr add " TESTBED_NET_BACKEND "/24 dev " TESTBED_TAP_BACKEND "0 && "
                "ip link set " TESTBED_TAP_BACKEND "0 up");
}

int xen_cell_backend_start(struct testbed_cell *c)
{
    struct words argv = {0}, there = {0};
    char counted[2 * PATH_MAX];
    int ready[2] = {-1, -1}, ret;

    if (process_running(&c->backend))
        return testbed_fail(c, -EALREADY, "the backend runs already");
    if (c->plan.backend == BACKEND_DRIVER)
        return xen_driver_start(c);
    ret = testbed_backend_arguments(c, xen_of(c)->place->backend, STDOUT_FILENO, &there);
    if (ret)
        goto out;
    if (!c->config->profile) {
        words_add(&there, "--stats");
        words_addf(&there, STATSFILE, c->image_dir, c->backend_starts);
    }
    words_dom0(c, &argv);
    if (c->config->mutant)
        words_addf(&argv, "RINGPROOF_MUTANT=%s", c->config->mutant);
    if (c->config->profile && xen_of(c)->place->libraries)
        words_addf(&argv, "LD_LIBRARY_PATH=%s", xen_of(c)->place->libraries);
    words_add(&argv, "sh");
    words_add(&argv, "-c");
    xen_costs_environment(c, counted, sizeof(counted));
    words_addf(&argv, "echo $$ >" PIDFILE "; %sexec \"$@\"", c->image_dir, c->backend_starts,
               counted);
    words_add(&argv, "sh");
    for (unsigned i = 0; i < there.count; i++)
        words_add(&argv, there.items[i]);
    if (pipe2(ready, O_CLOEXEC)) {
        ret = testbed_fail(c, -errno, "no pipe for the backend");
        goto out;
    }
    ret = spawn_dom0(c, &argv, "backend.log", -1, ready[1], &c->backend);
    close(ready[1]);
    ready[1] = -1;
    if (!ret)
        ret = testbed_wait_ready(c, ready[0]);
    else
        testbed_fail(c, ret, "the backend: %s", strerror(-ret));
    if (!ret)
        ret = bring_up_taps(c);
    if (!ret)
        c->backend_starts++;
out:
    for (unsigned i = 0; i < 2; i++)
        if (ready[i] >= 0)
            close(ready[i]);
    words_fini(&argv);
    words_fini(&there);
    return ret;
}

/* What can be seen from outside of the process: its mappings of Xen's devices and its descriptors.
 * Frames of resources are among those of privcmd; ports cannot be told apart. */
int xen_cell_backend_audit(struct testbed_cell *c, struct testbed_audit *a)
{
    char *out = NULL, pidfile[512];
    int ret;

    if (c->plan.backend == BACKEND_DRIVER)
        return xen_driver_audit(c, a);
    snprintf(pidfile, sizeof(pidfile), PIDFILE, c->image_dir, c->backend_starts - 1);
    *a = (struct testbed_audit){0};
    if (!process_running(&c->backend))
        return testbed_fail(c, -ESRCH, "the backend does not run");
    ret = DOM0(c, &out, xen_of(c)->place->loop, "audit", pidfile);
    if (!ret && sscanf(out, "grants=%" SCNu64 " privcmd=%" SCNu64 " fds=%" SCNu64,
                       &a->grants_mapped, &a->foreign_frames, &a->fds) != 3)
        ret = testbed_fail(c, -EPROTO, "audit: '%s'", out);
    free(out);
    return ret;
}

/* ---- what runs in domains ---- */

int xen_cell_agent_start(struct testbed_cell *c, enum testbed_role role)
{
    struct xen_cell *q = xen_of(c);
    struct testbed_agent *a = &c->agents[role];
    struct words argv = {0};
    int to[2] = {-1, -1}, from[2] = {-1, -1}, ret = 0;
    bool started_by_xen = c->plan.start == START_DOM0LESS;

    if (role == AGENT_DOMU && q->console_used)
        return testbed_fail(c, -EINVAL, "an agent lives as long as its domain");
    if (role == AGENT_DOMU)
        ret = testbed_tell_by_store(c);
    if (ret)
        return ret;
    words_dom0(c, &argv);
    if (role == AGENT_DOMU) {
        words_add(&argv, xen_of(c)->place->loop);
        words_add(&argv, started_by_xen ? "channel" : "console");
        words_addf(&argv, "%u", q->domid);
        if (started_by_xen) {
            words_add(&argv, GUEST_CHANNEL);
            testbed_agent_arguments(c, role, "linux", &argv);
        }
    } else {
        words_add(&argv, xen_of(c)->place->agent);
        testbed_agent_arguments(c, role, NULL, &argv);
    }
    if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) {
        ret = testbed_fail(c, -errno, "no pipes for the agent");
        goto out;
    }
    ret = spawn_dom0(c, &argv, role == AGENT_DOM0 ? "agent-dom0.log" : "agent.log", to[0], from[1],
                     &a->process);
    if (ret) {
        testbed_fail(c, ret, "the agent: %s", strerror(-ret));
        goto out;
    }
    a->to_fd = to[1];
    a->from_fd = from[0];
    to[1] = from[0] = -1;
    if (role == AGENT_DOMU) {
        q->console_used = true;
        if (!started_by_xen)
            ret = xen_cell_domain_pause(c, false);
    }
out:
    for (unsigned i = 0; i < 2; i++) {
        if (to[i] >= 0)
            close(to[i]);
        if (from[i] >= 0)
            close(from[i]);
    }
    words_fini(&argv);
    return ret;
}

int xen_cell_guest_spawn(struct testbed_cell *c, const struct words *argv,
                         const struct words *extra, int stdout_fd, struct process *p)
{
    (void)argv;
    (void)extra;
    (void)stdout_fd;
    (void)p;
    return testbed_fail(c, -EOPNOTSUPP, "a domU of this testbed runs the agent alone");
}

/* ---- sockets in dom0 ---- */

/* The first line of a stream: what its other end says of it. */
static int read_first_line(int fd, uint64_t deadline, char *line, size_t size)
{
    size_t used = 0;

    while (used < size - 1) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, poll_timeout_ms(deadline)) <= 0) {
            if (monotonic_ns() >= deadline)
                return -ETIMEDOUT;
            continue;
        }
        n = read(fd, line + used, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EPIPE;
        if (line[used] == '\n')
            break;
        used++;
    }
    line[used] = 0;
    return 0;
}

/* A program there carries the bytes; it ends with the descriptor, or with the socket's other end.
 */
int xen_cell_socket_connect(struct testbed_cell *c, const char *path)
{
    struct process p = PROCESS_INIT;
    struct words argv = {0};
    char line[256] = "";
    int pair[2], ret;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return testbed_fail(c, -errno, "no socket: %s", strerror(errno));
    words_dom0(c, &argv);
    words_add(&argv, xen_of(c)->place->loop);
    words_add(&argv, "socket");
    words_add(&argv, path);
    ret = spawn_dom0(c, &argv, "dom0.log", pair[1], pair[1], &p);
    words_fini(&argv);
    close(pair[1]);
    if (!ret)
        ret = read_first_line(pair[0], monotonic_ns() + COMMAND_NS, line, sizeof(line));
    if (!ret && strcmp(line, "connected"))
        ret = -ECONNREFUSED;
    if (p.pidfd >= 0)
        close(p.pidfd); /* whoever closes the cell reaps it */
    if (!ret)
        return pair[0];
    close(pair[0]);
    return testbed_fail(c, ret, "%s in dom0: %s", path, line[0] ? line : strerror(-ret));
}

/* ---- the store ---- */

/* Each change is an event there; the first one comes at once. */
int xen_cell_store_wait(struct testbed_cell *c, const char *path, const char *value,
                        struct process *p, uint64_t deadline_ns)
{
    static const char script[] =
        "f=/run/ringproof-store.$$; mkfifo $f || exit 1; "
        "xenstore-watch \"$1\" >$f & w=$!; "
        "timeout $3 sh -c 'while read -r _; do "
        "[ \"$(xenstore-read \"$1\" 2>/dev/null)\" != \"$2\" ] || exit 0; "
        "done; exit 1' sh \"$1\" \"$2\" <$f; s=$?; kill $w; rm $f; exit $s";
    uint64_t now = monotonic_ns();
    char limit_s[24];
    int ret;

    snprintf(limit_s, sizeof(limit_s), "%" PRIu64,
             deadline_ns > now ? (deadline_ns - now) / 1000000000u + 1 : 1);
    ret = DOM0(c, NULL, "sh", "-c", script, "sh", path, value, limit_s);
    if (ret == -EREMOTEIO)
        ret = process_running(p) ? -ETIMEDOUT : -ECHILD;
    return ret;
}

int xen_cell_store_read(struct testbed_cell *c, const char *path, char **value)
{
    return DOM0(c, value, "xenstore-read", path);
}

int xen_cell_store_write(struct testbed_cell *c, const char *path, const char *value)
{
    return DOM0(c, NULL, "xenstore-write", path, value);
}
