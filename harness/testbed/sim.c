/* SPDX-License-Identifier: MIT */
#include "testbed/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <xen/sched.h>
#include <xenstore.h>

#include "simxen/core/core.h"
#include "simxen/ctl/ctl.h"
#include "simxen/ctl/greed.h"
#include "testbed/image.h"
#include "testbed/map.h"
#include "testbed/netns.h"
#include "util/bits.h"

#define START_NS         20000000000ull
#define DOM0_RAM_BYTES   (64ull << 20)
#define DRIVER_RAM_BYTES (16ull << 20)
#define NO_DOMAIN        0u
#define STORE_DEPTH      12u /* deeper than any path that is used */
#define READY_FD         3   /* process_spawn puts pass_fd there */

struct sim_cell {
    struct testbed_cell cell;
    struct simxen *sim;
    struct xs_handle *store;
    uint16_t domid; /* the driver's; NO_DOMAIN: none yet, or the driver is in dom0 */
    bool guest;     /* in the simulation of another cell, which ends it */
    struct simxen_greed *greed[SCARCE_COUNT];
};

static struct sim_cell *sim_of(struct testbed_cell *c)
{
    return (struct sim_cell *)c;
}

/* ---- the world ---- */

static void add_setting(void *ctx, const char *name, const char *value)
{
    words_set(ctx, name, value);
}

/* This process talks to the simulation, too (ctl and the store): as a process of dom0. */
static void set_own(void *ctx, const char *name, const char *value)
{
    if (strcmp(name, "LD_LIBRARY_PATH"))
        setenv(name, value, 1);
}

static char *in_run_dir(const struct testbed_cell *c, const char *name)
{
    char *path;

    return asprintf(&path, "%s/%s", c->run_dir, name) < 0 ? NULL : path;
}

static int make_images(struct testbed_cell *c)
{
    const struct scenario *s = c->plan.scenario;

    for (unsigned i = 0; i < s->device_count; i++) {
        const struct scenario_device *d = &s->devices[i];
        if (d->backing != BACKING_IMAGE)
            continue;
        char *path = testbed_image_path(c, i);
        int ret = path ? image_create(path, d->size_bytes, d->filled) : -ENOMEM;
        if (ret)
            testbed_fail(c, ret, "image %s: %s", path ? path : "", strerror(-ret));
        free(path);
        if (ret)
            return ret;
    }
    return 0;
}

/* Before there is a second thread. Dom0's network is this process's, the guest has another. */
static int make_namespaces(struct testbed_cell *c)
{
    const struct scenario *s = c->plan.scenario;
    char text[400];
    int ret = 0;

    for (unsigned i = 0; i < s->device_count && !c->guest_netns && !ret; i++) {
        if (s->devices[i].type != DEVICE_NET || s->devices[i].wire != WIRE_TAP)
            continue;
        ret = netns_isolate(text, sizeof(text));
        if (ret)
            return testbed_fail(c, ret, "%s", text);
        ret = netns_create(&c->guest_netns);
        if (ret)
            testbed_fail(c, ret, "a network namespace for the guest: %s", strerror(-ret));
    }
    return ret;
}

static int sim_open(const struct testbed_config *cfg, const struct scenario_cell *plan,
                    struct testbed_cell **out, char *why, size_t why_size)
{
    struct sim_cell *s = calloc(1, sizeof(*s));
    char text[512] = "";
    int ret;

    *out = NULL;
    if (!s) {
        snprintf(why, why_size, "out of memory");
        return -ENOMEM;
    }
    struct testbed_cell *c = &s->cell;
    testbed_cell_init(c, &testbed_sim, cfg, plan);
    s->domid = NO_DOMAIN;

    c->image_dir = cfg->run_dir;
    *out = c;
    ret = make_namespaces(c);
    if (!ret)
        ret = make_images(c);
    if (ret)
        goto out;

    if (cfg->mutant && cfg->mutant_everywhere)
        setenv("RINGPROOF_MUTANT", cfg->mutant, 1);
    const struct simxen_start start = {
        .run_dir = c->run_dir,
        .lib_dir = cfg->sim_dir,
        .bin_dir = cfg->bin_dir,
        .xenstored = true,
        .dom0_ram_bytes = DOM0_RAM_BYTES,
        .dom0_arch = plan->arch == ARCH_ARM ? SIM_ARCH_ARM : SIM_ARCH_X86,
        .timeout_ns = START_NS,
    };
    ret = simxen_start(&start, &s->sim, text, sizeof(text));
    if (ret) {
        testbed_fail(c, ret, "simxen does not start: %s", text[0] ? text : strerror(-ret));
        goto out;
    }
    simxen_env(s->sim, 0, cfg->sim_dir, set_own, NULL);
    s->store = xs_open(0);
    if (!s->store)
        ret = testbed_fail(c, -errno, "no connection to xenstored: %s", strerror(errno));
out:
    if (ret)
        snprintf(why, why_size, "%s", c->why);
    return ret;
}

static void end_greed(struct sim_cell *s, enum testbed_scarce what)
{
    simxen_greed_end(s->greed[what]);
    s->greed[what] = NULL;
}

static void stop_guest(struct testbed_cell *c)
{
    for (unsigned i = 0; i < SCARCE_COUNT; i++)
        end_greed(sim_of(c), (enum testbed_scarce)i);
    for (unsigned i = 0; i < TESTBED_ROLES; i++)
        testbed_agent_stop(c, (enum testbed_role)i);
    for (unsigned n = scenario_cell_backends(&c->plan); n-- > 0;)
        process_end(testbed_backend_process(c, n), SIGTERM, 2000000000u);
}

static void destroy_domain(struct sim_cell *s, uint16_t *domid)
{
    if (*domid != NO_DOMAIN)
        simxen_dom_destroy(s->sim, *domid);
    *domid = NO_DOMAIN;
}

static int sim_beside(struct testbed_cell *c, const char *dir, struct testbed_cell **out)
{
    struct sim_cell *s = calloc(1, sizeof(*s));
    int ret;

    if (!s)
        return testbed_fail(c, -ENOMEM, "out of memory");
    testbed_cell_init(&s->cell, &testbed_sim, c->config, &c->plan);
    s->cell.run_dir = s->cell.image_dir = dir;
    s->sim = sim_of(c)->sim;
    s->guest = true;
    s->domid = NO_DOMAIN;
    ret = make_images(&s->cell);
    if (!ret) {
        s->store = xs_open(0);
        if (!s->store)
            ret = testbed_fail(&s->cell, -errno, "no connection to xenstored: %s", strerror(errno));
    }
    if (ret) {
        testbed_fail(c, ret, "%s", s->cell.why);
        free(s);
        return ret;
    }
    *out = &s->cell;
    return 0;
}

static void sim_close(struct testbed_cell *c)
{
    if (!c)
        return;
    struct sim_cell *s = sim_of(c);

    stop_guest(c);
    if (s->guest) {
        destroy_domain(s, &c->backend_domid);
        destroy_domain(s, &s->domid);
    }
    if (s->store)
        xs_close(s->store);
    if (!s->guest) {
        simxen_stop(s->sim);
        process_kill_children();
    }
    if (c->guest_netns)
        close(c->guest_netns);
    free(s);
}

static int sim_alive(struct testbed_cell *c)
{
    char text[256] = "";
    int ret = simxen_alive(sim_of(c)->sim, text, sizeof(text));

    return ret ? testbed_fail(c, ret, "the simulation has ended: %s", text) : 0;
}

/* ---- the domain ---- */

/* The selected backend's. Where it is not dom0: a domain that may serve the driver's, and that one
 * alone. */
static int create_backend_domain(struct testbed_cell *c)
{
    struct sim_cell *s = sim_of(c);
    const struct scenario_cell *plan = &c->plan;
    enum scenario_backend where =
        c->selected ? plan->scenario->backends[c->selected].domain : plan->backend;
    const struct sim_dom_config cfg = {
        .arch = plan->arch == ARCH_ARM ? SIM_ARCH_ARM : SIM_ARCH_X86,
        .nr_vcpus = 1,
        .unclaimed = plan->arch == ARCH_ARM ? SIM_UNCLAIMED_ABORT : SIM_UNCLAIMED_ONES,
        .ram_bytes = DRIVER_RAM_BYTES,
        .maptrack_max = plan->scenario->max_mappings,
        .outside = where == BACKEND_OUTSIDE,
    };
    int ret;

    /* A socket that carries descriptors is within one domain. */
    if (where == BACKEND_DOM0 || (c->selected && plan->topology == TOPOLOGY_VHOST_USER))
        return 0;
    ret = simxen_dom_create(s->sim, cfg.outside ? "outside" : "driver", &cfg, &c->backend_domid);
    if (!ret)
        ret = simxen_dom_set_target(s->sim, c->backend_domid, s->domid);
    return ret ? testbed_fail(c, ret, "no domain for the backend: %s", strerror(-ret)) : 0;
}

static int create_guest(struct testbed_cell *c)
{
    struct sim_cell *s = sim_of(c);
    const struct scenario_cell *plan = &c->plan;
    const struct testbed_map *p = &c->map;
    const struct host_bridge *b = &p->bridges[0];
    struct sim_dom_config cfg = {
        .arch = plan->arch == ARCH_ARM ? SIM_ARCH_ARM : SIM_ARCH_X86,
        .nr_vcpus = plan->vcpus,
        .unclaimed = plan->arch == ARCH_ARM ? SIM_UNCLAIMED_ABORT : SIM_UNCLAIMED_ONES,
        .ram_bytes = plan->scenario->memory_bytes,
        .msi_lost_every = plan->scenario->lose_interrupts,
        .no_foreign = plan->scenario->refuse_foreign,
    };
    int ret;

    if (plan->background != BACKGROUND_DEFAULT) {
        uint64_t value = plan->background == BACKGROUND_ONES ? ~0ull : 0;

        cfg.background[0] =
            (struct sim_background){.base = b->ecam_base, .bytes = b->ecam_bytes, .value = value};
        cfg.background[1] =
            (struct sim_background){.base = b->mem_base, .bytes = b->mem_bytes, .value = value};
    }
    for (unsigned i = 0; plan->topology == TOPOLOGY_HYPERVISOR_BRIDGE && i < p->bridge_count; i++) {
        b = &p->bridges[i];
        cfg.ecam[i].base = b->ecam_base;
        cfg.ecam[i].bytes = b->ecam_bytes;
        cfg.ecam[i].segment = b->segment;
        cfg.ecam[i].bus_first = b->bus_first;
    }
    ret = simxen_dom_create(s->sim, "guest", &cfg, &s->domid);
    if (ret)
        return testbed_fail(c, ret, "no domain: %s", strerror(-ret));
    return 0;
}

static int sim_domain_create(struct testbed_cell *c)
{
    unsigned backends = scenario_cell_backends(&c->plan);
    int ret = 0;

    stop_guest(c);
    for (unsigned n = backends; n-- > 0;) {
        testbed_select(c, n);
        destroy_domain(sim_of(c), &c->backend_domid);
    }
    destroy_domain(sim_of(c), &sim_of(c)->domid);
    (void)simxen_dom_ports(sim_of(c)->sim, 0, UINT64_MAX);
    if (c->plan.frontend == FRONTEND_DOMU)
        ret = create_guest(c);
    for (unsigned n = 0; !ret && n < backends; n++) {
        testbed_select(c, n);
        ret = create_backend_domain(c);
    }
    testbed_select(c, 0);
    return ret;
}

static int sim_domain_end(struct testbed_cell *c, enum testbed_end how, uint16_t *domid)
{
    struct sim_cell *s = sim_of(c);
    int ret = 0;

    *domid = s->domid;
    if (s->domid == NO_DOMAIN)
        return testbed_fail(c, -EOPNOTSUPP, "not supported: the driver is in dom0");
    if (how == END_CRASH)
        testbed_agent_kill(c, AGENT_DOMU);
    if (how == END_REBOOT)
        ret = simxen_dom_shutdown(s->sim, s->domid, SHUTDOWN_reboot);
    if (!ret)
        ret = simxen_dom_destroy(s->sim, s->domid);
    if (ret)
        return testbed_fail(c, ret, "the domain's end: %s", strerror(-ret));
    s->domid = NO_DOMAIN;
    testbed_agent_kill(c, AGENT_DOMU);
    return 0;
}

static int sim_domain_left(struct testbed_cell *c, uint16_t domid, uint64_t *frames)
{
    struct sim_dom_info info;
    int ret = simxen_dom_info(sim_of(c)->sim, domid, &info);

    *frames = 0;
    if (ret == -ESRCH)
        return 0;
    if (ret)
        return testbed_fail(c, ret, "a domain that has ended cannot be seen: %s", strerror(-ret));
    *frames = info.refs_grants + info.refs_foreign;
    *frames += *frames == 0; /* it is still there */
    return 0;
}

static int sim_domain_pause(struct testbed_cell *c, bool paused)
{
    struct sim_cell *s = sim_of(c);
    int ret = paused ? simxen_dom_pause(s->sim, s->domid) : simxen_dom_unpause(s->sim, s->domid);

    return ret ? testbed_fail(c, ret, "%s the domain: %s", paused ? "pause" : "unpause",
                              strerror(-ret))
               : 0;
}

static uint16_t sim_domid(const struct testbed_cell *c)
{
    return ((const struct sim_cell *)c)->domid;
}

static int sim_domain_count(struct testbed_cell *c, bool lost, uint64_t *count)
{
    const struct sim_dom_ref *ref;
    int ret = sim_dom_get(sim_of(c)->domid, &ref);

    if (ret)
        return testbed_fail(c, ret, "the domain cannot be seen: %s", strerror(-ret));
    *count = atomic_load_explicit(lost ? &ref->dom->stats.msi_lost : &ref->dom->stats.mmio,
                                  memory_order_relaxed);
    return 0;
}

static int sim_domain_accesses(struct testbed_cell *c, uint64_t *count)
{
    return sim_domain_count(c, false, count);
}

static int sim_domain_costs(struct testbed_cell *c, struct testbed_costs *costs)
{
    const struct sim_dom_ref *guest, *backend;
    int ret = sim_dom_get(sim_of(c)->domid, &guest);

    if (!ret)
        ret = sim_dom_get(c->backend_domid, &backend);
    if (ret)
        return testbed_fail(c, ret, "the domain cannot be seen: %s", strerror(-ret));
    *costs = (struct testbed_costs){
        .traps = atomic_load(&guest->dom->stats.mmio),
        .events = atomic_load(&backend->dom->stats.notify),
        .interrupts = atomic_load(&guest->dom->stats.msi) + atomic_load(&guest->dom->stats.line),
        .pages_mapped =
            atomic_load(&guest->dom->stats.gnt_map) + atomic_load(&guest->dom->stats.foreign_map),
        .frames_mapped = atomic_load(&guest->dom->stats.foreign_map),
        .pages_unmapped = atomic_load(&guest->dom->stats.gnt_unmap) +
                          atomic_load(&guest->dom->stats.foreign_unmap),
        .copies = atomic_load(&backend->dom->stats.gnt_copy),
        .bytes_copied = atomic_load(&backend->dom->stats.gnt_copy_bytes),
    };
    return 0;
}

/* Dom0 has a socket of its own to xenstored, beside which nobody stands. */
static int sim_backend_store_requests(struct testbed_cell *c, uint64_t *count)
{
    const struct sim_dom_ref *ref;
    int ret;

    if (!c->backend_domid)
        return testbed_fail(c, -EOPNOTSUPP, "not supported: the backend is in dom0");
    ret = sim_dom_get(c->backend_domid, &ref);
    if (ret)
        return testbed_fail(c, ret, "the domain cannot be seen: %s", strerror(-ret));
    *count = atomic_load(&ref->dom->stats.store_requests);
    return 0;
}

static int sim_domain_stop_at(struct testbed_cell *c, uint64_t first, uint64_t last)
{
    const struct sim_dom_ref *ref;
    int ret = sim_dom_get(sim_of(c)->domid, &ref);

    if (ret)
        return testbed_fail(c, ret, "the domain cannot be seen: %s", strerror(-ret));
    ref->dom->stop.first = first;
    ref->dom->stop.last = last;
    atomic_store(&ref->dom->stop.state, SIM_STOP_ARMED);
    return 0;
}

static int sim_domain_stopped(struct testbed_cell *c, bool *stopped)
{
    const struct sim_dom_ref *ref;
    int ret = sim_dom_get(sim_of(c)->domid, &ref);

    if (ret)
        return testbed_fail(c, ret, "the domain cannot be seen: %s", strerror(-ret));
    *stopped = atomic_load(&ref->dom->stop.state) == SIM_STOP_HIT;
    return 0;
}

static void sim_domain_go(struct testbed_cell *c)
{
    const struct sim_dom_ref *ref;

    if (!sim_dom_get(sim_of(c)->domid, &ref))
        atomic_store(&ref->dom->stop.state, SIM_STOP_OFF);
}

static int sim_domain_lost_interrupts(struct testbed_cell *c, uint64_t *count)
{
    return sim_domain_count(c, true, count);
}

static int sim_domain_hung(struct testbed_cell *c, bool *hung)
{
    const struct sim_dom_ref *ref;
    int ret = sim_dom_get(sim_of(c)->domid, &ref);

    if (ret)
        return testbed_fail(c, ret, "the domain cannot be seen: %s", strerror(-ret));
    *hung = false;
    for (unsigned i = 0; i < c->plan.vcpus; i++)
        *hung |= atomic_load(&ref->dom->vcpus[i].hung) != 0;
    return 0;
}

/* ---- the backend ---- */

/* What the backend is told of its host. */
static void add_host(const struct testbed_cell *c, struct words *env)
{
    const struct scenario *s = c->plan.scenario;
    const char *dir = c->config->backend_sim_dir;
    char preload[2 * PATH_MAX] = "", bytes[24];
    size_t used = 0;

    if (s->backend_page_bytes) {
        snprintf(bytes, sizeof(bytes), "%" PRIu64, s->backend_page_bytes);
        words_set(env, "SIMXEN_PAGE_BYTES", bytes);
        used = (size_t)snprintf(preload, sizeof(preload), "%s/page-size-preload.so ", dir);
    }
    if (s->backend_unseeded && used < sizeof(preload))
        used +=
            (size_t)snprintf(preload + used, sizeof(preload) - used, "%s/unseeded-preload.so", dir);
    if (used)
        words_set(env, "LD_PRELOAD", preload);
}

static int sim_backend_start(struct testbed_cell *c)
{
    struct sim_cell *s = sim_of(c);
    struct words argv = {0}, env = {0};
    char *log = NULL, name[TESTBED_LOG_NAME_BYTES];
    int ready[2] = {-1, -1}, ret;

    if (process_running(&c->backend))
        return testbed_fail(c, -EALREADY, "the backend runs already");
    ret = testbed_backend_arguments(c, c->config->backend_bin, READY_FD, &argv);
    if (ret)
        goto out;
    words_add_environment(&env);
    simxen_env(s->sim, c->backend_domid, c->config->backend_sim_dir, add_setting, &env);
    add_host(c, &env);
    if (c->config->mutant)
        words_set(&env, "RINGPROOF_MUTANT", c->config->mutant);

    log = in_run_dir(c, testbed_backend_log(c, name));
    if (!log || pipe2(ready, O_CLOEXEC)) {
        ret = testbed_fail(c, log ? -errno : -ENOMEM, "no pipe for the backend");
        goto out;
    }
    const struct process_start start = {.argv = &argv,
                                        .env = &env,
                                        .log = log,
                                        .stdin_fd = -1,
                                        .stdout_fd = -1,
                                        .pass_fd = ready[1]};
    ret = process_spawn(&start, &c->backend);
    if (ret) {
        testbed_fail(c, ret, "%s: %s", c->config->backend_bin, strerror(-ret));
        goto out;
    }
    close(ready[1]);
    ready[1] = -1;
    ret = testbed_wait_ready(c, ready[0]);
    if (!ret)
        c->backend_starts++;
out:
    for (unsigned i = 0; i < 2; i++)
        if (ready[i] >= 0)
            close(ready[i]);
    free(log);
    words_fini(&argv);
    words_fini(&env);
    return ret;
}

static int sim_backend_audit(struct testbed_cell *c, struct testbed_audit *a)
{
    struct sim_audit held;
    int ret, fds;

    if (!process_running(&c->backend))
        return testbed_fail(c, -ESRCH, "the backend does not run");
    ret = simxen_audit(sim_of(c)->sim, c->backend.pid, &held);
    fds = process_count_fds(c->backend.pid);
    if (!ret && fds < 0)
        ret = fds;
    if (ret)
        return testbed_fail(c, ret, "audit of the backend: %s", strerror(-ret));
    *a = (struct testbed_audit){
        .grants_mapped = held.grants_mapped,
        .foreign_frames = held.foreign_frames,
        .resource_frames = held.resource_frames,
        .ports = held.ports,
        .ioservers = held.ioservers,
        .fds = (uint64_t)fds,
    };
    return 0;
}

/* Nodes below a path, itself included; a store that grows while it is counted ends somewhere. */
static uint64_t count_nodes(struct sim_cell *s, const char *path, unsigned depth)
{
    unsigned count = 0;
    char **names = depth ? xs_directory(s->store, XBT_NULL, path, &count) : NULL;
    uint64_t nodes = 1;

    for (unsigned i = 0; names && i < count; i++) {
        char *below;

        if (asprintf(&below, "%s/%s", strcmp(path, "/") ? path : "", names[i]) < 0)
            break;
        nodes += count_nodes(s, below, depth - 1);
        free(below);
    }
    free(names);
    return nodes;
}

static uint64_t count_ports(const struct sim_dom *d)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < SIM_PORTS_MAX; i++)
        n += d->ports[i].state != SIM_PORT_FREE;
    return n;
}

static int sim_use(struct testbed_cell *c, struct testbed_use *u)
{
    struct sim_cell *s = sim_of(c);
    const struct sim_dom_ref *guest, *backend;
    struct sim_audit held;
    pid_t servants[2];
    int ret = sim_dom_get(s->domid, &guest);

    /* This process is one, too, once it has looked. */
    if (!ret)
        ret = sim_dom_get(c->backend_domid, &backend);
    if (!ret)
        ret = simxen_audit(s->sim, 0, &held);
    if (ret)
        return testbed_fail(c, ret, "what is in use cannot be seen: %s", strerror(-ret));
    *u = (struct testbed_use){
        .mappings = held.grants_mapped,
        .frames = held.foreign_frames + held.resource_frames,
        .ports = count_ports(guest->dom) + count_ports(backend->dom),
        .processes = held.processes,
        .nodes = count_nodes(s, "/", STORE_DEPTH),
    };
    for (unsigned i = 0; i < SIM_GREFS_MAX; i++)
        u->grants += guest->dom->active[i].pin_ro || guest->dom->active[i].pin_rw;
    for (unsigned i = 0; i < SIM_IOSERVERS_MAX; i++)
        u->ioservers += guest->dom->ioservers[i].gen != 0;
    simxen_servants(s->sim, &servants[0], &servants[1]);
    for (unsigned i = 0; i < ARRAY_LENGTH(servants); i++) {
        int fds = servants[i] ? process_count_fds(servants[i]) : 0;

        if (fds < 0)
            return testbed_fail(c, fds, "descriptors cannot be counted: %s", strerror(-fds));
        u->descriptors += (uint64_t)fds;
    }
    return 0;
}

/* ---- what the toolstack tells the guest ---- */

static int tell_guest(struct testbed_cell *c)
{
    char *file;
    int ret = testbed_tell_by_store(c);

    if (ret || !testbed_has_boot_data(c))
        return ret;
    file = testbed_boot_data_path(c);
    ret = file ? testbed_write_boot_data(c, file, NULL) : testbed_fail(c, -ENOMEM, "out of memory");
    free(file);
    return ret;
}

/* ---- what runs in domains ---- */

static int sim_agent_start(struct testbed_cell *c, enum testbed_role role)
{
    struct sim_cell *s = sim_of(c);
    struct testbed_agent *a = &c->agents[role];
    struct words argv = {0}, env = {0};
    int to[2] = {-1, -1}, from[2] = {-1, -1}, ret = 0;
    char platform[64] = "simxen";
    char *log = in_run_dir(c, role == AGENT_DOM0 ? "agent-dom0.log" : "agent.log");

    if (role == AGENT_DOMU)
        ret = tell_guest(c);
    if (ret)
        goto out;
    if (c->map.intx_line)
        snprintf(platform, sizeof(platform), "simxen:intx_line=%u", c->map.intx_line);
    words_add(&argv, c->config->agent_bin);
    testbed_agent_arguments(c, role, platform, &argv);
    words_add_environment(&env);
    if (c->config->mutant && c->config->mutant_everywhere)
        words_set(&env, "RINGPROOF_MUTANT", c->config->mutant);
    simxen_env(s->sim, role == AGENT_DOM0 ? 0 : s->domid, c->config->agent_sim_dir, add_setting,
               &env);
    words_set(&env, "RINGPROOF_LIBDIR", c->config->agent_lib_dir);

    if (!log || pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) {
        ret = testbed_fail(c, log ? -errno : -ENOMEM, "no pipes for the agent");
        goto out;
    }
    const struct process_start start = {.argv = &argv,
                                        .env = &env,
                                        .log = log,
                                        .stdin_fd = to[0],
                                        .stdout_fd = from[1],
                                        .pass_fd = -1};
    ret = process_spawn(&start, &a->process);
    if (ret) {
        testbed_fail(c, ret, "%s: %s", c->config->agent_bin, strerror(-ret));
        goto out;
    }
    a->to_fd = to[1];
    a->from_fd = from[0];
    to[1] = from[0] = -1;
out:
    for (unsigned i = 0; i < 2; i++) {
        if (to[i] >= 0)
            close(to[i]);
        if (from[i] >= 0)
            close(from[i]);
    }
    free(log);
    words_fini(&argv);
    words_fini(&env);
    return ret;
}

static int sim_guest_spawn(struct testbed_cell *c, const struct words *argv,
                           const struct words *extra, int stdout_fd, struct process *p)
{
    struct words env = {0};
    char *log = in_run_dir(c, "guest.log");
    int ret;

    words_add_environment(&env);
    /* A stock program: it needs the unsanitised libraries, whatever the agent has. */
    simxen_env(sim_of(c)->sim, sim_of(c)->domid, c->config->sim_dir, add_setting, &env);
    for (unsigned i = 0; extra && i + 1 < extra->count; i += 2)
        words_set(&env, extra->items[i], extra->items[i + 1]);
    const struct process_start start = {.argv = argv,
                                        .env = &env,
                                        .cwd = c->run_dir,
                                        .log = log,
                                        .stdin_fd = -1,
                                        .stdout_fd = stdout_fd,
                                        .pass_fd = -1,
                                        .netns_fd = c->guest_netns};
    ret = log ? process_spawn(&start, p) : -ENOMEM;
    if (ret)
        testbed_fail(c, ret, "%s: %s", argv->count ? argv->items[0] : "", strerror(-ret));
    free(log);
    words_fini(&env);
    return ret;
}

/* ---- the store ---- */

static int sim_store_read(struct testbed_cell *c, const char *path, char **value)
{
    unsigned len;

    *value = xs_read(sim_of(c)->store, XBT_NULL, path, &len);
    if (!*value)
        return testbed_fail(c, -errno, "%s: %s", path, strerror(errno));
    return 0;
}

static int sim_store_write(struct testbed_cell *c, const char *path, const char *value)
{
    if (!xs_write(sim_of(c)->store, XBT_NULL, path, value, (unsigned)strlen(value)))
        return testbed_fail(c, -errno, "%s: %s", path, strerror(errno));
    return 0;
}

/* What this process knows of the old one is of no use. */
static int begin_store(struct testbed_cell *c)
{
    struct sim_cell *s = sim_of(c);
    char text[256] = "";
    int ret = simxen_store_begin(s->sim, text, sizeof(text));

    if (ret)
        return testbed_fail(c, ret, "a new xenstored: %s", text);
    if (s->store)
        xs_close(s->store);
    s->store = xs_open(0);
    return s->store
               ? 0
               : testbed_fail(c, -errno, "no connection to the new xenstored: %s", strerror(errno));
}

static int sim_store_halt(struct testbed_cell *c, enum testbed_store store)
{
    if (store == STORE_NEW)
        return begin_store(c);

    struct simxen *sim = sim_of(c)->sim;
    int ret = store == STORE_ENDED ? simxen_store_end(sim)
                                   : simxen_store_pause(sim, store == STORE_PAUSED);

    return ret ? testbed_fail(c, ret, "xenstored: %s", strerror(-ret)) : 0;
}

static int sim_domain_scarce(struct testbed_cell *c, enum testbed_scarce what, uint32_t left)
{
    static const enum simxen_greed_of greeds[SCARCE_COUNT] = {
        [SCARCE_NODES] = GREED_NODES,
        [SCARCE_WATCHES] = GREED_WATCHES,
        [SCARCE_TRANSACTIONS] = GREED_TRANSACTIONS,
    };
    struct sim_cell *s = sim_of(c);
    int ret = 0;

    end_greed(s, what);
    if (what == SCARCE_PORTS || what == SCARCE_GUEST_PORTS)
        ret = simxen_dom_ports(s->sim, what == SCARCE_PORTS ? c->backend_domid : s->domid,
                               left == TESTBED_PLENTY ? UINT64_MAX : left);
    else if (!c->backend_domid)
        return testbed_fail(c, -EOPNOTSUPP, "not supported: dom0 has no quota in the store");
    else if (left != TESTBED_PLENTY)
        ret = simxen_greed_begin(c->run_dir, c->backend_domid, greeds[what], left, &s->greed[what]);
    return ret ? testbed_fail(c, ret, "a quota: %s", strerror(-ret)) : 0;
}

/* As libxl makes a backend's folder. */
static int sim_store_give(struct testbed_cell *c, const char *path, uint16_t owner)
{
    struct xs_permissions perms[] = {{.id = owner, .perms = XS_PERM_NONE},
                                     {.id = sim_of(c)->domid, .perms = XS_PERM_READ}};

    if (!xs_mkdir(sim_of(c)->store, XBT_NULL, path) ||
        !xs_set_permissions(sim_of(c)->store, XBT_NULL, path, perms, ARRAY_LENGTH(perms)))
        return testbed_fail(c, -errno, "%s: %s", path, strerror(errno));
    return 0;
}

static bool store_has(struct sim_cell *s, const char *path, const char *value)
{
    unsigned len;
    char *now = xs_read(s->store, XBT_NULL, path, &len);
    bool has = now && !strcmp(now, value);

    free(now);
    return has;
}

static int sim_store_wait(struct testbed_cell *c, const char *path, const char *value,
                          struct process *p, uint64_t deadline_ns)
{
    static const char token[] = "store-wait";
    struct sim_cell *s = sim_of(c);
    int ret = 0;

    if (!xs_watch(s->store, path, token))
        return testbed_fail(c, -errno, "%s: %s", path, strerror(errno));
    while (!ret && !store_has(s, path, value)) {
        struct pollfd pfd[2] = {{.fd = xs_fileno(s->store), .events = POLLIN},
                                {.fd = p->pidfd, .events = POLLIN}};
        int n = poll(pfd, 2, poll_timeout_ms(deadline_ns));

        if (n < 0 && errno != EINTR)
            ret = testbed_fail(c, -errno, "poll: %s", strerror(errno));
        else if (n > 0 && pfd[1].revents)
            ret = -ECHILD;
        else if (n > 0)
            free(xs_read_watch(s->store, &(unsigned){0}));
        else if (monotonic_ns() >= deadline_ns)
            ret = -ETIMEDOUT;
    }
    xs_unwatch(s->store, path, token);
    return ret;
}

static void sim_versions(const struct testbed_config *cfg,
                         void (*add)(void *ctx, const char *name, const char *value), void *ctx)
{
    struct utsname u;
    char text[512];

    if (!uname(&u)) {
        snprintf(text, sizeof(text), "%s %s %s", u.sysname, u.release, u.machine);
        add(ctx, "kernel", text);
    }
    snprintf(text, sizeof(text), "%d.%d", __XEN_LATEST_INTERFACE_VERSION__ >> 16,
             __XEN_LATEST_INTERFACE_VERSION__ >> 8 & 0xff);
    add(ctx, "xen-interface", text);
    add(ctx, "backend", cfg->backend_bin);
    add(ctx, "agent", cfg->agent_bin);
}

const struct testbed_ops testbed_sim = {
    .name = "sim",
    .backend_is_near = true,
    .note = "Testbed sim: a simulated Xen. Its times speak of rings and copies, never of Xen's "
            "hypercalls.",
    .versions = sim_versions,
    .open = sim_open,
    .close = sim_close,
    .beside = sim_beside,
    .domain_create = sim_domain_create,
    .domain_end = sim_domain_end,
    .domain_left = sim_domain_left,
    .domain_pause = sim_domain_pause,
    .domid = sim_domid,
    .domain_accesses = sim_domain_accesses,
    .domain_stop_at = sim_domain_stop_at,
    .domain_stopped = sim_domain_stopped,
    .domain_go = sim_domain_go,
    .domain_costs = sim_domain_costs,
    .backend_store_requests = sim_backend_store_requests,
    .domain_lost_interrupts = sim_domain_lost_interrupts,
    .domain_hung = sim_domain_hung,
    .backend_start = sim_backend_start,
    .backend_audit = sim_backend_audit,
    .use = sim_use,
    .agent_start = sim_agent_start,
    .guest_spawn = sim_guest_spawn,
    .socket_connect = testbed_connect_here,
    .store_wait = sim_store_wait,
    .store_read = sim_store_read,
    .store_write = sim_store_write,
    .store_give = sim_store_give,
    .store_halt = sim_store_halt,
    .domain_scarce = sim_domain_scarce,
    .alive = sim_alive,
};
