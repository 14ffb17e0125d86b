/* SPDX-License-Identifier: MIT */
#include "backend/run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "backend/claim.h"
#include "backend/device.h"
#include "backend/stats.h"
#include "backend/store_devices.h"
#include "gmem/iommu.h"
#include "util/evloop.h"
#include "util/mutant.h"
#include "xen/handles.h"
#include "xen/ioreq.h"
#include "xen/store.h"

#define PLACES_MAX (DEVICES_MAX + 256u)

/* What a killed process held is given back a moment after it can be seen to be dead. */
#define PREDECESSOR_TRIES      1000u
#define PREDECESSOR_PAUSE_NS   2000000l
#define MUTANT_CLAIM_BYTES     0x100000u
#define DOMAIN_LOOK_NS         250000000ull
#define LOOP_DOMAIN_GONE       0
#define LOOP_DOMAIN_APPEARED   1
#define LOOP_DOMAIN_WAIT_ENDED 2

struct backend {
    const struct backend_options *o;
    struct evloop *loop;
    struct store *store;
    struct xen_handles *xen;
    uint16_t own_domid;

    struct claim *claim;
    struct claim_heritage heritage;
    struct machine *machine;
    struct iommu *iommu;
    struct device **devices;
    unsigned device_count;
    struct store_devices *store_devices;
    struct ioreq_server *server;
    struct link *link; /* to the process that has the bridges; NULL: they are ours */
    bool adopted;

    int signal_fd;
    struct evloop_fd signal_watch;
    bool stopping; /* a signal asked for the end */
    bool domain_told;
    bool told_ready; /* whoever started it */
    struct store_watch introduced, released;
    struct evloop_timer look; /* whether the domain is there */
    struct evloop_timer poll; /* only a mutant's */
    FILE *stats;
};

static void pause_for_predecessor(void)
{
    const struct timespec t = {.tv_nsec = PREDECESSOR_PAUSE_NS};

    (void)nanosleep(&t, NULL);
}

/* ---- signals and counts ---- */

static void write_stats(struct backend *b, FILE *out)
{
    struct stats_source from = {
        .domid = b->o->domid,
        .adopted = b->adopted,
        .server = b->server,
        .machine = b->machine,
        .devices = b->devices,
        .device_count = b->device_count,
    };

    if (b->machine)
        stats_write(&from, out);
}

static void signal_ready(struct evloop_fd *w, uint32_t epoll_events)
{
    struct backend *b = w->user;
    struct signalfd_siginfo info;

    if (read(b->signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGUSR1) {
        write_stats(b, b->stats ? b->stats : stderr);
        return;
    }
    log_info("stopped by signal %u", info.ssi_signo);
    b->stopping = true;
    evloop_stop(b->loop, 0);
}

/* Signals arrive in the loop; blocked before libxenstore starts its thread, which inherits it. */
static int watch_signals(struct backend *b)
{
    sigset_t set;
    int rc;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL))
        return -EINVAL;
    signal(SIGPIPE, SIG_IGN);
    b->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (b->signal_fd < 0)
        return -errno;
    b->signal_watch = (struct evloop_fd){.fd = b->signal_fd, .ready = signal_ready, .user = b};
    rc = evloop_add(b->loop, &b->signal_watch, EPOLLIN);
    return rc;
}

/* ---- the domain ---- */

/* xenstored tells only the toolstack's domain which others exist; a driver domain asks Xen.
 * 1, 0, or -errno: nobody can tell now. */
static int domain_exists(struct backend *b)
{
    int rc = store_domain_introduced(b->store, b->o->domid);
    unsigned vcpus;

    if (rc <= 0 && b->own_domid != 0)
        rc = xen_domain_vcpus(b->xen, b->o->domid, &vcpus) == 0;
    return rc;
}

static void domain_may_have_come(struct store_watch *w, const char *path)
{
    struct backend *b = w->user;

    if (domain_exists(b) > 0)
        evloop_stop(b->loop, LOOP_DOMAIN_APPEARED);
}

static void domain_may_have_gone(struct store_watch *w, const char *path)
{
    struct backend *b = w->user;

    int rc = domain_exists(b);

    if (rc < 0)
        log_warn("whether domain %u exists cannot be told: %s", b->o->domid, strerror(-rc));
    if ((rc && !MUTANT(any_domains_end_is_its_own)) || MUTANT(domains_end_is_not_noticed))
        return;
    log_info("domain %u has gone", b->o->domid);
    evloop_stop(b->loop, LOOP_DOMAIN_GONE);
}

/*
 * In a driver domain: xenstored tells it of no domain's end, and Xen neither. What Xen does when a
 * domain is destroyed is to take its IOREQ servers away; the domain itself is there until the last
 * of it is not mapped any more, which here is what this process maps.
 */
static void look_after_domain(struct evloop_timer *t)
{
    struct backend *b = t->user;

    if (ioreq_server_lost(b->server) && !MUTANT(dying_domain_is_alive)) {
        log_info("domain %u has been destroyed", b->o->domid);
        evloop_stop(b->loop, LOOP_DOMAIN_GONE);
        return;
    }
    evloop_timer_arm(b->loop, t, DOMAIN_LOOK_NS);
}

static void wait_ended(struct evloop_timer *t)
{
    struct backend *b = t->user;

    evloop_stop(b->loop, LOOP_DOMAIN_WAIT_ENDED);
}

/* 1 when a signal came instead. */
static int wait_for_domain(struct backend *b)
{
    struct evloop_timer limit = {.fired = wait_ended, .user = b};
    int rc;

    if (domain_exists(b) > 0)
        return 0;
    log_info("waiting for domain %u", b->o->domid);
    b->introduced =
        (struct store_watch){.path = "@introduceDomain", .fired = domain_may_have_come, .user = b};
    rc = store_watch(b->store, &b->introduced);
    if (rc) {
        log_error("Xenstore: %s", store_error(b->store));
        return rc;
    }
    evloop_timer_arm(b->loop, &limit, (uint64_t)b->o->wait_ms * 1000000u);
    rc = evloop_run(b->loop);
    evloop_timer_cancel(b->loop, &limit);
    store_unwatch(b->store, &b->introduced);
    if (b->stopping)
        return 1;
    if (rc == LOOP_DOMAIN_APPEARED)
        return 0;
    log_error("--domid %u: no such domain after %u ms", b->o->domid, b->o->wait_ms);
    return -ESRCH;
}

static int count_vcpus(struct backend *b, unsigned *vcpus)
{
    int rc = xen_domain_vcpus(b->xen, b->o->domid, vcpus);

    if (rc == -EOPNOTSUPP) {
        char path[64];
        char **names = NULL;

        snprintf(path, sizeof(path), "/local/domain/%u/cpu", b->o->domid);
        rc = store_list(b->store, STORE_DIRECT, path, &names, vcpus);
        free(names);
    }
    if (rc)
        log_error("--domid %u: the number of its vCPUs cannot be read: %s%s", b->o->domid,
                  strerror(-rc), rc == -EPERM ? " (not privileged over this domain)" : "");
    return rc;
}

/* ---- devices ---- */

/* The devices have their transports in another process, which claims. */
static bool is_vhost_back_end(const struct backend *b)
{
    return b->o->device_count && b->o->devices[0].vhost;
}

/* Nor is the memory a domain's: nothing is asked of Xen. */
static bool is_without_xen(const struct backend *b)
{
    return is_vhost_back_end(b) && device_spec_is_shared(&b->o->devices[0]);
}

static void front_end_has_gone(void *user)
{
    struct backend *b = user;

    log_error("--device: the process that has the transport has ended the connection");
    evloop_stop(b->loop, -EPIPE);
}

static int add_device(struct backend *b, const struct device_spec *spec,
                      char error[DEVICE_ERROR_BYTES])
{
    const struct device_env env = {
        .loop = b->loop,
        .xen = b->xen,
        .machine = b->machine,
        .iommu = b->iommu,
        .domid = b->o->domid,
        .own_domid = b->own_domid,
        .memory = b->o->memory,
        .banks = b->o->banks,
        .bank_count = b->o->bank_count,
        .wait_ms = b->o->wait_ms,
        .front_end_gone = front_end_has_gone,
        .ctx = b,
    };
    /* The image's lock may still be held by what is left of a predecessor. */
    unsigned tries = b->heritage.adopt_id != IOREQ_ADOPT_NONE && !b->server ? PREDECESSOR_TRIES : 1;
    struct device **more;
    int rc;

    more = realloc(b->devices, (b->device_count + 1) * sizeof(struct device *));
    if (!more) {
        snprintf(error, DEVICE_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    b->devices = more;
    while ((rc = device_create(&env, spec, &b->devices[b->device_count], error)) == -EBUSY &&
           --tries)
        pause_for_predecessor();
    if (!rc)
        b->device_count++;
    return rc;
}

static int store_add(void *ctx, const struct device_spec *spec,
                     char error[STORE_DEVICES_ERROR_BYTES])
{
    struct backend *b = ctx;
    int rc = b->claim ? claim_add_device(b->claim, &spec->place, error) : 0;

    if (!b->claim && spec->place.kind != PLACE_PCI) {
        snprintf(error, STORE_DEVICES_ERROR_BYTES, "only functions go behind a linked bridge");
        rc = -EINVAL;
    }
    if (rc)
        return rc;
    if (MUTANT(attached_device_is_elsewhere) && (b->server || b->link)) {
        struct device_spec next = *spec;

        next.place.sbdf.raw += 1u << 3;
        rc = add_device(b, &next, error);
    } else {
        rc = add_device(b, spec, error);
    }
    if (rc && b->claim)
        claim_drop_device(b->claim, &spec->place);
    return rc;
}

static void store_remove_device(void *ctx, const struct place *at)
{
    struct backend *b = ctx;

    for (unsigned i = 0; i < b->device_count; i++) {
        if (!place_same(device_place(b->devices[i]), at))
            continue;
        log_info("%s: taken away", device_label(b->devices[i]));
        if (MUTANT(removed_device_leaves_descriptor) && dup(b->signal_fd) < 0)
            log_warn("dup: %s", strerror(errno));
        device_destroy(b->devices[i]);
        b->devices[i] = b->devices[--b->device_count];
        if (b->claim)
            claim_drop_device(b->claim, at);
        return;
    }
}

static bool store_ask_back(void *ctx, const struct place *at)
{
    struct backend *b = ctx;

    return at->kind == PLACE_PCI && slots_ask_back(machine_slots(b->machine), at->sbdf);
}

static const struct store_devices_ops store_ops = {
    .add = store_add, .remove = store_remove_device, .ask_back = store_ask_back};

static void slot_given_back(void *ctx, sbdf_t at)
{
    const struct place place = {.kind = PLACE_PCI, .sbdf = at};
    struct backend *b = ctx;

    if (b->store_devices)
        store_devices_given_back(b->store_devices, &place);
}

static const struct slots_ops slots_ops = {.given_back = slot_given_back};

static int make_devices(struct backend *b)
{
    char error[STORE_DEVICES_ERROR_BYTES];
    int rc;

    for (unsigned i = 0; i < b->o->device_count; i++) {
        rc = add_device(b, &b->o->devices[i], error);
        if (rc) {
            log_error("--device %s", error);
            return rc;
        }
    }
    if (!b->store_devices)
        return 0;
    rc = store_devices_start(b->store_devices, error);
    if (rc)
        log_error("%s", error);
    return rc;
}

/* ---- going live ---- */

static int take_claim(struct backend *b)
{
    struct claim_config config = {
        .store = b->store,
        .own_domid = b->own_domid,
        .domid = b->o->domid,
        .kind = b->o->claim,
        .bridges = b->o->bridges,
        .bridge_count = b->o->bridge_count,
    };
    char error[CLAIM_ERROR_BYTES];
    struct place places[PLACES_MAX];
    unsigned n = 0;
    int rc;

    for (; n < b->o->device_count; n++)
        places[n] = b->o->devices[n].place;
    if (b->o->xenstore) {
        rc = store_devices_create(b->store, b->own_domid, b->o->domid, &store_ops, b,
                                  &b->store_devices);
        if (rc)
            return rc;
        n += store_devices_places(b->store_devices, places + n, PLACES_MAX - n);
    }
    /* The process that has the bridge, or the transport, decides who is there. */
    if (b->link || is_vhost_back_end(b))
        return 0;
    config.devices = places;
    config.device_count = n;
    rc = claim_take(&config, &b->claim, &b->heritage, error);
    if (rc)
        log_error("--domid %u: %s", b->o->domid, error);
    return rc;
}

static int make_server(struct backend *b, unsigned vcpus)
{
    struct ioreq_config config = {
        .xen = b->xen,
        .loop = b->loop,
        .domid = b->o->domid,
        .vcpus = vcpus,
        .adopt_id = b->heritage.adopt_id,
        .ops = machine_ioreq_ops(),
        .ctx = b->machine,
    };
    int rc;

    if (config.adopt_id != IOREQ_ADOPT_NONE) {
        unsigned tries = PREDECESSOR_TRIES;

        while ((rc = ioreq_server_create(&config, &b->server)) == -EBUSY && --tries)
            pause_for_predecessor();
        if (!rc) {
            b->adopted = true;
            log_info("IOREQ server %d adopted", config.adopt_id);
            return 0;
        }
        log_warn("IOREQ server %d of a dead process cannot be adopted (%s): a new one is made",
                 config.adopt_id, strerror(-rc));
        config.adopt_id = IOREQ_ADOPT_NONE;
    }
    rc = ioreq_server_create(&config, &b->server);
    if (rc)
        log_error("--domid %u: no IOREQ server: %s%s", b->o->domid, strerror(-rc),
                  rc == -ENOSPC ? " (the domain has all 8 that it can have, or it or this one all "
                                  "its event channels)"
                                : "");
    return rc;
}

/* ---- bridges and functions in different processes ---- */

static void bridge_has_gone(void *user)
{
    struct backend *b = user;

    log_error("--link: the process that has the bridge has ended the connection");
    evloop_stop(b->loop, -EPIPE);
}

static uint64_t linked_read(void *ctx, uint64_t addr, unsigned bytes)
{
    struct backend *b = ctx;

    return machine_ioreq_ops()->read(b->machine, addr, bytes);
}

static void linked_write(void *ctx, uint64_t addr, unsigned bytes, uint64_t value)
{
    struct backend *b = ctx;

    machine_ioreq_ops()->write(b->machine, addr, bytes, value);
}

static int connect_link(struct backend *b)
{
    /* The machine is there by the time that anything is claimed, and so before it is asked. */
    static const struct ioreq_ops ops = {.read = linked_read, .write = linked_write};
    const struct link_config config = {
        .loop = b->loop,
        .path = b->o->link,
        .domid = b->o->domid,
        .wait_ms = b->o->wait_ms,
        .ops = &ops,
        .ctx = b,
        .gone = bridge_has_gone,
        .user = b,
    };
    int rc = b->o->link ? link_connect(&config, &b->link) : 0;

    if (rc)
        log_error("--link %s: %s", b->o->link, strerror(-rc));
    return rc;
}

static int listen_for_links(struct backend *b)
{
    static const struct link_hub_ops ops = {
        .allowed = bridges_link_allowed, .msi = bridges_link_msi, .pin = bridges_link_pin};
    struct link_hub *hub = NULL;
    int rc = 0;

    if (!b->o->link_listen)
        return 0;
    rc = link_hub_create(b->loop, b->o->link_listen, b->o->domid, &ops, machine_bridges(b->machine),
                         &hub);
    if (rc)
        log_error("--link-listen %s: %s", b->o->link_listen, strerror(-rc));
    else
        machine_take_hub(b->machine, hub);
    return rc;
}

static int go_live(struct backend *b, unsigned vcpus)
{
    char error[CLAIM_ERROR_BYTES];
    int rc;

    if (is_vhost_back_end(b))
        return 0;
    if (b->link) {
        rc = machine_connect_link(b->machine);
        if (rc)
            log_error("--link: the functions cannot be put behind the bridge: %s", strerror(-rc));
        return rc;
    }
    rc = make_server(b, vcpus);
    if (rc)
        return rc;
    rc = claim_set_server(b->claim, ioreq_server_id(b->server), error);
    if (rc) {
        log_error("--domid %u: %s", b->o->domid, error);
        return rc;
    }
    rc = machine_connect(b->machine, b->server, b->adopted && b->heritage.same_windows);
    if (rc) {
        log_error("the ranges of bridges and devices cannot be claimed: %s", strerror(-rc));
        return rc;
    }
    if (MUTANT(successor_claims_others_bars) && b->adopted && b->o->bridge_count)
        (void)ioreq_server_map_mmio(b->server, b->o->bridges[0].mem_base,
                                    b->o->bridges[0].mem_base + MUTANT_CLAIM_BYTES - 1);
    rc = ioreq_server_enable(b->server);
    if (rc)
        log_error("--domid %u: the IOREQ server cannot be enabled: %s", b->o->domid, strerror(-rc));
    return rc;
}

/* What a mutant does too early or in two halves is seen in between. */
static void mutant_pause(void)
{
    const struct timespec t = {.tv_nsec = 300000000};

    (void)nanosleep(&t, NULL);
}

/* ---- telling the domain ---- */

static void announcement_path(const struct backend *b, char path[ANNOUNCE_BYTES + 32])
{
    snprintf(path, ANNOUNCE_BYTES + 32, "/local/domain/%u/%s", b->o->domid, b->o->announce);
}

/* What a predecessor that was killed has left is not true any more. */
static int withdraw(struct backend *b)
{
    char path[ANNOUNCE_BYTES + 32];
    int rc;

    if (!b->o->announce || !b->store)
        return 0;
    announcement_path(b, path);
    rc = store_remove(b->store, STORE_DIRECT, path);
    return rc == -ENOENT ? 0 : rc;
}

static int announce(struct backend *b)
{
    char path[ANNOUNCE_BYTES + 32];

    if (!b->o->announce || MUTANT(announcement_forgotten))
        return 0;
    announcement_path(b, path);
    b->domain_told = true;
    return store_write(b->store, STORE_DIRECT, path, "ready");
}

static void say_ready(struct backend *b)
{
    static const char text[] = "ready\n";

    b->told_ready = true;

    log_info("serving domain %u", b->o->domid);
    if (b->o->ready_fd < 0)
        return;
    if (write(b->o->ready_fd, text, sizeof(text) - 1) != sizeof(text) - 1)
        log_warn("--ready-fd %d: %s", b->o->ready_fd, strerror(errno));
    if (b->o->ready_fd > STDERR_FILENO)
        close(b->o->ready_fd);
}

#define MUTANT_POLL_NS 20000000ull

static void poll_store(struct evloop_timer *t)
{
    struct backend *b = t->user;
    char *value = NULL;

    int rc = store_read(b->store, STORE_DIRECT, "domid", &value);

    if (rc == 0)
        free(value);
    if (MUTANT(heartbeat_needs_a_node)) {
        rc = store_write(b->store, STORE_DIRECT, "data/heartbeat", "");
        if (!rc)
            rc = store_remove(b->store, STORE_DIRECT, "data/heartbeat");
        if (rc)
            evloop_stop(b->loop, rc);
    } else if (rc == -ENOTCONN && MUTANT(store_loss_ends_backend))
        evloop_stop(b->loop, rc);
    evloop_timer_arm(b->loop, t, MUTANT_POLL_NS);
}

static int reach_xen(struct backend *b)
{
    const char *what;
    int rc;

    rc = store_open(b->loop, &b->store);
    if (rc) {
        log_error("Xenstore: cannot connect: %s", strerror(-rc));
        return rc;
    }
    rc = store_own_domid(b->store, &b->own_domid);
    if (rc) {
        log_error("Xenstore: %s", store_error(b->store));
        return rc;
    }
    rc = xen_handles_open(&b->xen, &what);
    if (rc) {
        log_error("%s: %s", what, strerror(-rc));
        return rc;
    }
    return rc;
}

/* 1 when a signal came instead. */
static int reach_domain(struct backend *b, unsigned *vcpus)
{
    int rc = wait_for_domain(b);

    if (!rc && (rc = withdraw(b)) < 0)
        log_error("--announce: %s", store_error(b->store));
    return rc ? rc : count_vcpus(b, vcpus);
}

static int watch_domain(struct backend *b)
{
    int rc;

    b->released =
        (struct store_watch){.path = "@releaseDomain", .fired = domain_may_have_gone, .user = b};
    rc = store_watch(b->store, &b->released);
    if (rc)
        log_error("Xenstore: %s", store_error(b->store));
    return rc;
}

/* 0 when it may serve, 1 when a signal ended it before, or -errno, explained. */
static int start(struct backend *b)
{
    struct bridges_config bridges = {
        .domid = b->o->domid,
        .claim = b->o->claim,
        .intx_line = b->o->intx_line,
        .list = b->o->bridges,
        .count = b->o->bridge_count,
    };
    char error[STORE_DEVICES_ERROR_BYTES];
    unsigned vcpus = 0;
    int rc;

    rc = evloop_create(&b->loop);
    if (!rc)
        rc = watch_signals(b);
    if (rc) {
        log_error("event loop: %s", strerror(-rc));
        return rc;
    }
    rc = is_without_xen(b) ? 0 : reach_xen(b);
    if (rc)
        return rc;
    if (MUTANT(backend_ready_too_early))
        say_ready(b);
    if (!is_without_xen(b))
        rc = reach_domain(b, &vcpus);
    if (!rc)
        rc = connect_link(b);
    if (!rc)
        rc = take_claim(b);
    if (rc)
        return rc;

    bridges.xen = b->xen;
    bridges.link = b->link;
    if (b->link)
        bridges.claim = BRIDGE_CLAIM_FUNCTIONS;
    rc = machine_create(&bridges, &b->machine);
    if (rc) {
        log_error("--host-bridge: %s", strerror(-rc));
        return rc;
    }
    rc = machine_add_ports(b->machine, b->o->ports, b->o->port_count, &slots_ops, b);
    if (rc) {
        log_error("--root-port: %s%s", strerror(-rc),
                  rc == -EINVAL ? " (each on the first bus of a --host-bridge)" : "");
        return rc;
    }
    rc = listen_for_links(b);
    if (rc)
        return rc;
    rc = iommu_create(&b->iommu);
    if (rc)
        return rc;
    /* The devices come first: an adopted server's waiting requests are for them. */
    rc = make_devices(b);
    if (!rc && MUTANT(window_claimed_after_ready)) {
        say_ready(b);
        mutant_pause();
    }
    if (!rc && MUTANT(announcement_too_early)) {
        announce(b);
        mutant_pause();
    }
    if (!rc)
        rc = go_live(b, vcpus);
    if (rc)
        return rc;
    rc = announce(b);
    if (rc) {
        log_error("--announce: %s", store_error(b->store));
        return rc;
    }

    if (is_without_xen(b))
        return 0;
    rc = watch_domain(b);
    if (rc)
        return rc;
    b->look = (struct evloop_timer){.fired = look_after_domain, .user = b};
    if (b->own_domid != 0 && b->server)
        evloop_timer_arm(b->loop, &b->look, DOMAIN_LOOK_NS);
    if (MUTANT(start_leaves_a_node)) {
        char path[64];

        snprintf(path, sizeof(path), "backend-starts/%d", (int)getpid());
        (void)store_write(b->store, STORE_DIRECT, path, "");
    }
    b->poll = (struct evloop_timer){.fired = poll_store, .user = b};
    if (MUTANT(store_is_polled) || MUTANT(store_loss_ends_backend) ||
        MUTANT(heartbeat_needs_a_node))
        evloop_timer_arm(b->loop, &b->poll, MUTANT_POLL_NS);
    if (b->store_devices) {
        rc = store_devices_watch(b->store_devices, error);
        if (rc)
            log_error("%s", error);
    }
    return rc;
}

static void stop(struct backend *b)
{
    /* An adopted object that was never taken over stays for the next process. */
    bool inherited = b->heritage.adopt_id != IOREQ_ADOPT_NONE && !b->server;

    if (b->stats)
        write_stats(b, b->stats);
    store_devices_destroy(b->store_devices);
    if (b->domain_told && !MUTANT(announcement_outlives_its_backend) && withdraw(b))
        log_debug("--announce: %s", store_error(b->store));
    if (b->machine)
        machine_disconnect(b->machine);
    /* While the devices are still there: what vCPUs wait for is answered by them. */
    ioreq_server_destroy(b->server);
    while (b->device_count)
        device_destroy(b->devices[--b->device_count]);
    free(b->devices);
    iommu_destroy(b->iommu);
    machine_destroy(b->machine);
    link_destroy(b->link);
    claim_release(b->claim, inherited || (MUTANT(failed_start_leaves_its_claim) && !b->told_ready));
    xen_handles_close(b->xen);
    store_close(b->store);
    if (b->signal_fd >= 0) {
        evloop_del(b->loop, &b->signal_watch);
        close(b->signal_fd);
    }
    evloop_destroy(b->loop);
}

static FILE *open_stats(const char *name)
{
    FILE *f;

    if (!strcmp(name, "-"))
        return stdout;
    f = fopen(name, "ae");
    if (!f)
        log_error("--stats %s: %s", name, strerror(errno));
    return f;
}

int backend_run(const struct backend_options *o)
{
    struct backend b = {.o = o, .heritage = {.adopt_id = IOREQ_ADOPT_NONE}, .signal_fd = -1};
    int rc;

    if (o->stats) {
        b.stats = open_stats(o->stats);
        if (!b.stats)
            return 1;
    }
    rc = start(&b);
    if (!rc) {
        if (!MUTANT(backend_ready_too_early))
            say_ready(&b);
        rc = evloop_run(b.loop);
        if (rc < 0)
            log_error("event loop: %s", strerror(-rc));
    }
    if (MUTANT(end_needs_its_store) && b.store && store_own_domid(b.store, &b.own_domid))
        rc = -ENOTCONN;
    stop(&b);
    if (b.stats && b.stats != stdout)
        fclose(b.stats);
    return rc < 0 && !MUTANT(shortage_is_no_error) ? 1 : 0;
}
