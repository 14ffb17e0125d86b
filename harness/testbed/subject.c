/* SPDX-License-Identifier: MIT */
/* What the subject and the agents are started with, wherever that is. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "testbed/map.h"
#include "testbed/settings.h"
#include "testbed/testbed.h"

#define NOBODYS_DOMID "32000"

#define BACKEND_READY_S 20u
#define HOTPLUG_S       10u /* for a device to come or to go */
#define REFUSAL_LOOK_NS 200000000ull

/* xen/io/xenbus.h, as they are written */
#define XENBUS_INITIALISING "1"
#define XENBUS_CONNECTED    "4"
#define XENBUS_CLOSING      "5"
#define XENBUS_CLOSED       "6"

const char *testbed_device_sbdf(const struct testbed_cell *c, unsigned index,
                                char text[TESTBED_SBDF_BYTES])
{
    const char *sbdf = c->plan.scenario->devices[index].sbdf;
    unsigned segment = 0;

    if (c->plan.announce == ANNOUNCE_SLOT_EVENT && sbdf && sscanf(sbdf, "%4x:", &segment) == 1)
        snprintf(text, TESTBED_SBDF_BYTES, "%04x:%02x:00.0", segment & 0xffff, (index + 1) & 0xff);
    else
        snprintf(text, TESTBED_SBDF_BYTES, "%s", sbdf ? sbdf : "");
    return text;
}

char *testbed_image_path(const struct testbed_cell *c, unsigned device)
{
    char *path;

    return asprintf(&path, "%s/disk%u.img", c->image_dir, device) < 0 ? NULL : path;
}

static const char *const claim_options[] = {[TOPOLOGY_IOREQ_ONLY] = "window",
                                            [TOPOLOGY_IOREQ_FUNCTIONS] = "functions",
                                            [TOPOLOGY_IOREQ_DISTRIBUTED] = "window",
                                            [TOPOLOGY_VHOST_USER] = "window",
                                            [TOPOLOGY_HYPERVISOR_BRIDGE] = "pcidev"};

/* A vhost-user back-end has no transport; the first backend has those of all. */
static bool is_vhost_back_end(const struct testbed_cell *c)
{
    return c->plan.topology == TOPOLOGY_VHOST_USER && c->selected != 0;
}

/* A device of which the selected backend has the transport alone. */
static bool is_vhost_front_end(const struct testbed_cell *c, unsigned index)
{
    return c->plan.topology == TOPOLOGY_VHOST_USER && c->selected == 0 &&
           scenario_cell_backend_of(&c->plan, index) != 0;
}

/* Where the settings of a device go: the command line or the store. The first error stays. */
struct settings {
    int (*set)(void *ctx, const char *key, const char *value);
    void *ctx;
    int ret;
};

static void setting(struct settings *to, const char *key, const char *value)
{
    if (!to->ret && value)
        to->ret = to->set(to->ctx, key, value);
}

/* 0: the backend's default. */
static void setting_number(struct settings *to, const char *key, uint64_t value)
{
    char number[32];

    snprintf(number, sizeof(number), "%" PRIu64, value);
    setting(to, key, value ? number : NULL);
}

static void setting_owned(struct settings *to, const char *key, const char *prefix, char *value)
{
    char *text = NULL;

    if (!value || asprintf(&text, "%s%s", prefix, value) < 0) {
        to->ret = -ENOMEM;
        text = NULL;
    }
    setting(to, key, text);
    free(text);
    free(value);
}

static char *hold_path(const struct testbed_cell *c, unsigned index)
{
    char *path;

    return asprintf(&path, "%s/hold%u", c->image_dir, index) < 0 ? NULL : path;
}

int testbed_device_hold(struct testbed_cell *c, unsigned index, bool hold)
{
    char *path;
    int fd, ret = 0;

    if (!c->plan.scenario->devices[index].holds || !c->ops->backend_is_near)
        return testbed_fail(c, -EOPNOTSUPP, "not supported: device %u holds no requests back",
                            index);
    path = hold_path(c, index);
    if (!path)
        return testbed_fail(c, -ENOMEM, "out of memory");
    if (hold) {
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ret = fd < 0 ? -errno : 0;
        if (fd >= 0)
            close(fd);
    } else if (unlink(path) && errno != ENOENT) {
        ret = -errno;
    }
    if (ret)
        testbed_fail(c, ret, "%s: %s", path, strerror(-ret));
    free(path);
    return ret;
}

static void blk_settings(struct testbed_cell *c, unsigned index, struct settings *to)
{
    const struct scenario_device *d = &c->plan.scenario->devices[index];
    char *path = NULL;
    int n = 0;

    switch (d->backing) {
    case BACKING_NONE:
        break;
    case BACKING_IMAGE:
        path = testbed_image_path(c, index);
        break;
    case BACKING_NULL:
        n = asprintf(&path, "null:%" PRIu64, d->size_bytes);
        break;
    case BACKING_PATH:
        path = strdup(d->path);
        break;
    }
    if (n < 0 || !path) {
        to->ret = -ENOMEM;
        return;
    }
    setting(to, "path", path);
    free(path);
    setting(to, "ro", d->ro ? "1" : NULL);
    setting_number(to, "queues", c->plan.queues ? c->plan.queues : d->queues);
    setting(to, "serial", d->serial);
    setting_number(to, "zone-size", d->zone_bytes);
    setting_number(to, "zone-append-max", d->zone_append_bytes);
    if (d->holds)
        setting_owned(to, "hold", "", hold_path(c, index));
}

static void rng_settings(struct testbed_cell *c, unsigned index, struct settings *to)
{
    const struct scenario_device *d = &c->plan.scenario->devices[index];

    setting(to, "path", d->path);
    setting_number(to, "rate", d->rate_bytes_per_s);
}

/* As libxl writes them, whoever reads them. */
static void mmio_settings(struct testbed_cell *c, unsigned index, struct settings *to)
{
    const struct testbed_map *p = &c->map;
    char base[24];

    snprintf(base, sizeof(base), "0x%" PRIx64, testbed_map_mmio_base(p, index));
    setting(to, "transport", "mmio");
    setting(to, "base", base);
    setting_number(to, "irq", testbed_map_mmio_line(p, index));
    if (c->plan.config == CONFIG_XENSTORE && c->plan.memory == MEMORY_AUTO)
        setting(to, "grant_usage", c->plan.addressing == ADDRESSING_GRANTS ? "1" : "0");
}

const char *testbed_port_name(unsigned port, char name[TESTBED_PORT_NAME_BYTES])
{
    snprintf(name, TESTBED_PORT_NAME_BYTES, "org.ringproof.%u", port);
    return name;
}

char *testbed_port_path(const struct testbed_cell *c, unsigned device, unsigned port)
{
    char *path;
    int n = port == TESTBED_PORT_MANAGE
                ? asprintf(&path, "%s/manage%u", c->image_dir, device)
                : asprintf(&path, "%s/port%u.%u", c->image_dir, device, port);

    return n < 0 ? NULL : path;
}

static void console_settings(struct testbed_cell *c, unsigned index, struct settings *to)
{
    const struct scenario_device *d = &c->plan.scenario->devices[index];

    for (unsigned i = 0; i < d->ports; i++) {
        char key[16], name[TESTBED_PORT_NAME_BYTES];

        snprintf(key, sizeof(key), "port%u", i);
        setting_owned(to, key, "unix:", testbed_port_path(c, index, i));
        snprintf(key, sizeof(key), "name%u", i);
        setting(to, key, i ? testbed_port_name(i, name) : NULL);
    }
    setting_owned(to, "manage", "", testbed_port_path(c, index, TESTBED_PORT_MANAGE));
    setting_number(to, "ports", d->ports_max);
    setting_number(to, "cols", d->cols);
    setting_number(to, "rows", d->rows);
}

char *testbed_wire_path(const struct testbed_cell *c, unsigned device)
{
    char *path;

    return asprintf(&path, "%s/wire%u", c->image_dir, device) < 0 ? NULL : path;
}

static void net_settings(struct testbed_cell *c, unsigned index, struct settings *to)
{
    const struct scenario_device *d = &c->plan.scenario->devices[index];
    char text[32], *path;

    if (d->wire == WIRE_TAP) {
        snprintf(text, sizeof(text), TESTBED_TAP_BACKEND "%u", index);
        setting(to, "tap", text);
    } else {
        path = testbed_wire_path(c, index);
        if (!path)
            to->ret = -ENOMEM;
        setting(to, "path", path);
        free(path);
    }
    snprintf(text, sizeof(text), "02:00:00:00:00:%02x", index + 1);
    setting(to, "mac", d->mac ? d->mac : text);
    setting_number(to, "mtu", d->mtu);
    setting_number(to, "queues", c->plan.queues ? c->plan.queues : d->queues);
}

int testbed_device_settings(struct testbed_cell *c, unsigned index,
                            int (*set)(void *ctx, const char *key, const char *value), void *ctx)
{
    static void (*const of_type[])(struct testbed_cell *, unsigned, struct settings *) = {
        [DEVICE_BLK] = blk_settings,
        [DEVICE_RNG] = rng_settings,
        [DEVICE_CONSOLE] = console_settings,
        [DEVICE_NET] = net_settings,
        [DEVICE_IOMMU] = NULL,
    };
    /* Where the backend has something to say of one device. */
    static const char *const told_in[SCENARIO_DISCOVERIES] = {
        [DISCOVERY_VENDOR_CAPABILITY] = "vendor-data",
        [DISCOVERY_DEVICE_REGISTER] = "register",
        [DISCOVERY_DUMMY_FUNCTION] = "function",
        [DISCOVERY_ROOT_COMPLEX] = "root-complex"};
    const struct scenario_device *d = &c->plan.scenario->devices[index];
    struct settings to = {.set = set, .ctx = ctx};
    char domid[8], sbdf[TESTBED_SBDF_BYTES], endpoint[16];

    if (c->plan.transport == TRANSPORT_MMIO)
        mmio_settings(c, index, &to);
    else
        setting(&to, "sbdf", testbed_device_sbdf(c, index, sbdf));
    if (c->plan.announce == ANNOUNCE_SLOT_EVENT)
        setting(&to, "port", d->sbdf);
    if (is_vhost_front_end(c, index) || is_vhost_back_end(c)) {
        char *path = NULL;
        if (asprintf(&path, "%s/vhost%u", c->image_dir, index) < 0)
            return -ENOMEM;
        setting(&to, is_vhost_back_end(c) ? "vhost" : "vhost-listen", path);
        free(path);
    }
    if (!is_vhost_front_end(c, index) && of_type[d->type])
        of_type[d->type](c, index, &to);
    snprintf(endpoint, sizeof(endpoint), "%u", d->endpoint);
    setting(&to, "endpoint", d->has_endpoint ? endpoint : NULL);
    setting_number(&to, "queue-size", c->plan.queue_size ? c->plan.queue_size : d->queue_size);
    setting(&to, "features", c->plan.features ? c->plan.features : d->features);
    if (index == testbed_told_device(c) && told_in[c->plan.discovery]) {
        snprintf(domid, sizeof(domid), "%u", c->backend_domid);
        setting(&to, "told-domid", domid);
        setting(&to, "told-in", told_in[c->plan.discovery]);
    }
    return to.ret;
}

struct option_text {
    char text[4096];
    size_t used;
};

static int option_set(void *ctx, const char *key, const char *value)
{
    struct option_text *o = ctx;
    int n = snprintf(o->text + o->used, sizeof(o->text) - o->used, ",%s=%s", key, value);

    if (n < 0 || (size_t)n >= sizeof(o->text) - o->used)
        return -ENAMETOOLONG;
    o->used += (size_t)n;
    return 0;
}

struct node_base {
    struct testbed_cell *c;
    char path[64];
};

static int node_set(void *ctx, const char *key, const char *value)
{
    const struct node_base *b = ctx;
    char path[128], dashed[32];

    snprintf(path, sizeof(path), "%s/%s", b->path, key);
    if (!strcmp(key, "sbdf") ||
        !strcmp(key, "port")) { /* as in paths, where ':' and '.' cannot be stored */
        snprintf(dashed, sizeof(dashed), "%s", value);
        for (char *p = dashed; *p; p++)
            if (*p == ':' || *p == '.')
                *p = '-';
        value = dashed;
    }
    return b->c->ops->store_write(b->c, path, value);
}

static void device_folder(struct testbed_cell *c, unsigned index, struct node_base *b)
{
    b->c = c;
    snprintf(b->path, sizeof(b->path), "/local/domain/%u/backend/virtio/%u/%u", c->backend_domid,
             c->ops->domid(c), index);
}

/* What a toolstack writes of a device that is to be there; `type` NULL: the scenario's. */
static int describe_device(struct testbed_cell *c, unsigned index, const char *type)
{
    struct node_base b;
    int ret = 0;

    device_folder(c, index, &b);
    if (!type)
        type = scenario_device_type_name(c->plan.scenario->devices[index].type);
    if (c->backend_domid && c->ops->store_give)
        ret = c->ops->store_give(c, b.path, c->backend_domid);
    if (!ret)
        ret = node_set(&b, "type", type);
    if (!ret)
        ret = testbed_device_settings(c, index, node_set, &b);
    if (!ret)
        ret = node_set(&b, "online", "1");
    if (!ret) /* last: a folder without a state is not looked at */
        ret = node_set(&b, "state", XENBUS_INITIALISING);
    return ret;
}

static bool device_refused(struct testbed_cell *c, const char *path)
{
    char *state = NULL;
    bool refused = !c->ops->store_read(c, path, &state) && !strcmp(state, XENBUS_CLOSED);

    free(state);
    return refused;
}

/* Until the backend says so; -ECONNREFUSED: that it does not take one that is to come. */
static int device_wait(struct testbed_cell *c, unsigned index, const char *state)
{
    uint64_t end = monotonic_ns() + HOTPLUG_S * testbed_cell_slowness(c) * 1000000000ull, next;
    struct node_base b;
    char path[128];
    int ret;

    device_folder(c, index, &b);
    snprintf(path, sizeof(path), "%s/state", b.path);
    do {
        next = monotonic_ns() + REFUSAL_LOOK_NS;
        ret = c->ops->store_wait(c, path, state, &c->backend, next < end ? next : end);
        if (ret == -ETIMEDOUT && strcmp(state, XENBUS_CLOSED) && device_refused(c, path))
            ret = -ECONNREFUSED;
    } while (ret == -ETIMEDOUT && next < end);
    if (ret)
        return testbed_fail(c, ret, "device %u does not get to state %s: %s", index, state,
                            strerror(-ret));
    return 0;
}

static int hotplug_possible(struct testbed_cell *c)
{
    if (c->plan.config != CONFIG_XENSTORE || !c->ops->store_wait)
        return testbed_fail(c, -EOPNOTSUPP,
                            "not supported: the backend has its devices not from a "
                            "store that this testbed can watch");
    return 0;
}

int testbed_device_attach(struct testbed_cell *c, unsigned index, const char *type)
{
    int ret = hotplug_possible(c);

    if (!ret)
        ret = describe_device(c, index, type);
    return ret ? ret : device_wait(c, index, XENBUS_CONNECTED);
}

int testbed_device_detach(struct testbed_cell *c, unsigned index)
{
    struct node_base b;
    int ret = hotplug_possible(c);

    device_folder(c, index, &b);
    /* With `online` 0 as well, one that the guest can be asked for would be asked for first. */
    if (!ret && c->plan.announce == ANNOUNCE_SILENT)
        ret = node_set(&b, "online", "0");
    if (!ret)
        ret = node_set(&b, "state", XENBUS_CLOSING);
    return ret ? ret : device_wait(c, index, XENBUS_CLOSED);
}

int testbed_device_ask_back(struct testbed_cell *c, unsigned index)
{
    struct node_base b;
    int ret = hotplug_possible(c);

    device_folder(c, index, &b);
    return ret ? ret : node_set(&b, "online", "0");
}

int testbed_device_wait_gone(struct testbed_cell *c, unsigned index)
{
    int ret = hotplug_possible(c);

    return ret ? ret : device_wait(c, index, XENBUS_CLOSED);
}

static int device_arguments(struct testbed_cell *c, struct words *argv)
{
    const struct scenario *s = c->plan.scenario;
    int ret = 0;

    if (c->plan.config == CONFIG_XENSTORE)
        words_add(argv, "--xenstore");
    for (unsigned i = 0; !ret && i < s->device_count; i++) {
        const char *type = scenario_device_type_name(s->devices[i].type);
        if (scenario_cell_backend_of(&c->plan, i) != c->selected && !is_vhost_front_end(c, i))
            continue;
        if (c->plan.config == CONFIG_XENSTORE) {
            ret = describe_device(c, i, NULL);
            continue;
        }
        struct option_text o = {.text = ""};
        ret = testbed_device_settings(c, i, option_set, &o);
        words_add(argv, "--device");
        words_addf(argv, "%s%s", type, o.text);
    }
    return ret ? testbed_fail(c, ret, "device settings: %s", strerror(-ret)) : 0;
}

static int ended_early(struct testbed_cell *c)
{
    char name[TESTBED_LOG_NAME_BYTES], end[96];
    char *log = testbed_log_tail(c, testbed_backend_log(c, name));

    testbed_fail(c, -ECHILD, "the backend did not start: %s: %s",
                 process_describe_end(&c->backend, end, sizeof(end)),
                 log && log[0] ? log : "it says nothing");
    free(log);
    return -ECHILD;
}

static int late(struct testbed_cell *c, unsigned limit_s)
{
    process_end(&c->backend, SIGKILL, 0);
    return testbed_fail(c, -ETIMEDOUT, "the backend was not ready within %us", limit_s);
}

static int wait_for_store(struct testbed_cell *c, unsigned limit_s)
{
    char *path = vendor_ready_path(c);
    int ret;

    if (!path)
        return -EINVAL; /* which was said */
    ret = c->ops->store_wait(c, path, c->config->profile->ready_value, &c->backend,
                             monotonic_ns() + limit_s * 1000000000ull);
    free(path);
    if (ret == -ECHILD && !process_wait(&c->backend, 1000000000u))
        return ended_early(c);
    return ret == -ETIMEDOUT ? late(c, limit_s) : ret;
}

int testbed_wait_ready(struct testbed_cell *c, int fd)
{
    unsigned limit_s = BACKEND_READY_S * testbed_cell_slowness(c);
    uint64_t deadline = monotonic_ns() + limit_s * 1000000000ull;
    char text[16];
    size_t used = 0;

    if (c->config->profile && c->config->profile->ready == READY_STORE)
        return wait_for_store(c, limit_s);

    for (;;) {
        struct pollfd pfd[2] = {{.fd = fd, .events = POLLIN},
                                {.fd = c->backend.pidfd, .events = POLLIN}};
        int n = poll(pfd, 2, poll_timeout_ms(deadline));
        if (n < 0 && errno != EINTR)
            return testbed_fail(c, -errno, "poll: %s", strerror(errno));
        if (n <= 0) {
            if (monotonic_ns() < deadline)
                continue;
            return late(c, limit_s);
        }
        if (pfd[0].revents) {
            ssize_t got = read(fd, text + used, sizeof(text) - 1 - used);
            if (got > 0) {
                used += (size_t)got;
                text[used] = 0;
                if (!strcmp(text, "ready\n"))
                    return 0;
                if (!strncmp(text, "ready\n", used) && used < sizeof("ready\n") - 1)
                    continue;
                process_end(&c->backend, SIGKILL, 0);
                return testbed_fail(c, -EPROTO, "the backend wrote '%s' instead of 'ready'", text);
            }
        }
        if (!process_wait(&c->backend, pfd[1].revents ? 0 : 1000000000u))
            return ended_early(c);
    }
}

static void memory_arguments(const struct testbed_cell *c, struct words *argv)
{
    enum scenario_memory memory = c->plan.memory;
    uint64_t bytes = c->plan.scenario->memory_bytes;

    words_add(argv, "--memory");
    words_add(argv, scenario_memory_name(memory));
    if (memory != MEMORY_FOREIGN_WHOLE && memory != MEMORY_FOREIGN_STATIC && memory != MEMORY_SHIM)
        return;
    words_add(argv, "--guest-memory");
    words_addf(argv, "0x%" PRIx64 "+0x%" PRIx64, c->map.ram_base,
               memory == MEMORY_FOREIGN_STATIC ? bytes / 2 : bytes);
}

int testbed_backend_arguments(struct testbed_cell *c, const char *program, int ready_fd,
                              struct words *argv)
{
    const struct testbed_map *p = &c->map;
    bool pci = c->plan.transport == TRANSPORT_PCI && !is_vhost_back_end(c);
    char bridge[TESTBED_BRIDGE_BYTES];

    if (c->config->profile)
        return vendor_arguments(c, program, ready_fd, argv);
    words_add(argv, program);
    words_add(argv, "--domid");
    words_addf(argv, "%u", c->ops->domid(c));
    for (unsigned i = 0; pci && i < p->bridge_count; i++) {
        /* Whoever claims a bridge whole has it to itself. */
        if (c->plan.topology == TOPOLOGY_IOREQ_ONLY && c->plan.scenario->bridge_count &&
            c->plan.scenario->bridges[i].backend != c->selected)
            continue;
        words_add(argv, "--host-bridge");
        words_add(argv, testbed_map_bridge(p, i, bridge));
    }
    if (pci) {
        words_add(argv, "--claim");
        words_add(argv, claim_options[c->plan.topology]);
    }
    for (unsigned i = 0;
         c->plan.announce == ANNOUNCE_SLOT_EVENT && i < c->plan.scenario->device_count; i++) {
        const struct scenario_device *d = &c->plan.scenario->devices[i];
        char lacks[80] = "";

        for (unsigned part = 0, n = 0; part < SLOT_PARTS; part++)
            if (d->slot_lacks & 1u << part)
                n += (unsigned)snprintf(lacks + n, sizeof(lacks) - n, ",%s=0",
                                        scenario_slot_part_name((enum scenario_slot_part)part));
        words_add(argv, "--root-port");
        /* A pin that the device in the slot does not have: see pci/port.h. */
        words_addf(argv, "sbdf=%s,slot=%u,pin=2%s", d->sbdf, i + 1, lacks);
    }
    if (c->plan.topology == TOPOLOGY_IOREQ_DISTRIBUTED) {
        words_add(argv, c->selected ? "--link" : "--link-listen");
        words_addf(argv, "%s/link", c->image_dir);
    }
    if (pci && p->intx_line) {
        words_add(argv, "--intx-line");
        words_addf(argv, "%u", p->intx_line);
    }
    memory_arguments(c, argv);
    if (c->plan.start == START_DOM0LESS) {
        words_add(argv, "--announce");
        words_add(argv, TESTBED_TOLD_KEY);
    }
    words_add(argv, "--ready-fd");
    words_addf(argv, "%d", ready_fd);
    if (c->config->verbose) {
        words_add(argv, "--log");
        words_add(argv, "debug");
    }
    return device_arguments(c, argv);
}

unsigned testbed_told_device(const struct testbed_cell *c)
{
    return c->plan.backend == BACKEND_OUTSIDE;
}

bool testbed_has_boot_data(const struct testbed_cell *c)
{
    return scenario_discovery_is_boot_data(c->plan.discovery);
}

int testbed_tell_by_store(struct testbed_cell *c)
{
    char path[128], sbdf[24], domid[8];

    if (c->plan.discovery != DISCOVERY_XENSTORE)
        return 0;
    snprintf(sbdf, sizeof(sbdf), "%s", c->plan.scenario->devices[testbed_told_device(c)].sbdf);
    for (char *p = sbdf; *p; p++)
        *p = *p == ':' || *p == '.' ? '-' : *p;
    snprintf(path, sizeof(path), "/local/domain/%u/device/virtio/%s/backend-id", c->ops->domid(c),
             sbdf);
    snprintf(domid, sizeof(domid), "%u", c->backend_domid);
    return c->ops->store_write(c, path, domid);
}

char *testbed_boot_data_path(const struct testbed_cell *c)
{
    char *path;

    if (c->ops->kernel_boots && c->plan.discovery == DISCOVERY_BOOT_PARAMETER)
        return strdup("/proc/cmdline");
    if (c->ops->kernel_boots && c->plan.discovery == DISCOVERY_ACPI)
        return strdup("/sys/firmware/acpi/tables/UEFI");
    if (c->ops->kernel_boots)
        return strdup("/sys/firmware/fdt");
    return asprintf(&path, "%s/boot-data", c->run_dir) < 0 ? NULL : path;
}

const char *testbed_agent_role(const struct testbed_cell *c, enum testbed_role role)
{
    if (role == AGENT_DOM0)
        return "dom0";
    return c->plan.scenario->runs_in == RUNS_IN_LINUX ? "linux" : "domu";
}

/* The first device is driven through the IOMMU that it is behind. */
static void iommu_arguments(const struct testbed_cell *c, struct words *argv)
{
    const struct scenario *s = c->plan.scenario;
    char text[64];
    unsigned i = 0;

    if (!s->device_count || !s->devices[0].has_endpoint)
        return;
    while (s->devices[i].type != DEVICE_IOMMU || s->devices[i].backend != s->devices[0].backend)
        i++;
    words_add(argv, "--iommu");
    if (c->plan.transport == TRANSPORT_MMIO)
        words_add(argv, testbed_map_mmio(&c->map, i, text, sizeof(text)));
    else
        words_add(argv, testbed_device_sbdf(c, i, text));
    words_add(argv, "--endpoint");
    words_addf(argv, "%u", s->devices[0].endpoint);
}

void testbed_agent_arguments(const struct testbed_cell *c, enum testbed_role role,
                             const char *platform, struct words *argv)
{
    static const char *const addressings[] = {
        [ADDRESSING_GRANTS] = "grants", [ADDRESSING_FOREIGN] = "foreign"};
    static const char *const rings[] = {[RING_SPLIT] = "split", [RING_PACKED] = "packed"};
    const struct scenario *s = c->plan.scenario;
    char bridge[TESTBED_BRIDGE_BYTES], window[64];

    words_add(argv, "--role");
    words_add(argv, testbed_agent_role(c, role));
    if (role != AGENT_DOMU)
        return;
    if (s->runs_in != RUNS_IN_LINUX) {
        words_add(argv, "--platform");
        words_add(argv, platform);
    }
    for (unsigned i = 0; i < c->map.bridge_count; i++) {
        if (s->bridge_count && scenario_bridge_late(s, i))
            continue;
        words_add(argv, "--host-bridge");
        words_add(argv, testbed_map_bridge(&c->map, i, bridge));
    }
    words_add(argv, "--backend-domid");
    /* A driver that has to find it out would be helped by a guess that is right. */
    if (c->plan.discovery == DISCOVERY_GIVEN)
        words_addf(argv, "%u", c->backend_domid);
    else
        words_add(argv, NOBODYS_DOMID);
    if (c->plan.discovery != DISCOVERY_GIVEN) {
        char *path = testbed_boot_data_path(c);
        words_add(argv, "--discovery");
        words_addf(argv, "%s:%s", scenario_discovery_name(c->plan.discovery), path ? path : "");
        free(path);
    }
    words_add(argv, "--addressing");
    words_add(argv, addressings[c->plan.addressing]);
    if (c->plan.buffers == BUFFERS_POOL) {
        words_add(argv, "--buffers");
        words_add(argv, "pool");
    }
    words_add(argv, "--ring");
    words_add(argv, rings[c->plan.ring]);
    if (c->config->trace) {
        words_add(argv, "--trace");
        words_add(argv, c->config->trace);
    }
    if (s->device_count && c->plan.transport == TRANSPORT_MMIO) {
        words_add(argv, "--mmio");
        words_add(argv, testbed_map_mmio(&c->map, 0, window, sizeof(window)));
    } else if (s->device_count) {
        char sbdf[TESTBED_SBDF_BYTES];

        words_add(argv, "--sbdf");
        words_addf(argv, "%s", testbed_device_sbdf(c, 0, sbdf));
        if (c->plan.announce == ANNOUNCE_SLOT_EVENT) {
            words_add(argv, "--port");
            words_add(argv, s->devices[0].sbdf);
        }
    }
    iommu_arguments(c, argv);
}
