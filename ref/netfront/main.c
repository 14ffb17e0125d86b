/* SPDX-License-Identifier: MIT */
/* ringproof-netfront: see --help, and netfront/netfront.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/place.h"
#include "netfront/lossy.h"
#include "netfront/netfront.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "util/host_bridge.h"
#include "util/log.h"
#include "util/mmio_window.h"
#include "util/parse.h"

#define DOMID_LAST 0x7fef

struct options {
    const char *platform, *stats;
    struct host_bridge bridge;
    bool has_bridge, has_place, help;
    struct fe_place place;
    uint16_t backend_domid;
    enum fe_addressing addressing;
    struct netfront_config front;
    uint32_t lose_doorbells;
    int ready_fd;
};

static volatile int stop_signal;

static void on_signal(int sig)
{
    stop_signal = sig;
}

/* ---- options ---- */

static int set_platform(struct options *o, const char *v, char *why)
{
    o->platform = v;
    return 0;
}

static int set_bridge(struct options *o, const char *v, char *why)
{
    o->has_bridge = true;
    return host_bridge_parse(v, &o->bridge, why);
}

static int set_sbdf(struct options *o, const char *v, char *why)
{
    o->has_place = true;
    o->place.transport = FE_TRANSPORT_PCI;
    return parse_sbdf(v, &o->place.sbdf);
}

static int set_mmio(struct options *o, const char *v, char *why)
{
    o->has_place = true;
    o->place.transport = FE_TRANSPORT_MMIO;
    return mmio_window_parse(v, &o->place.window, why);
}

static int set_ring(struct options *o, const char *v, char *why)
{
    if (strcmp(v, "split") && strcmp(v, "packed"))
        return -EINVAL;
    o->front.features_need = *v == 'p' ? VIRTIO_F(VIRTIO_F_RING_PACKED) : 0;
    return 0;
}

static int set_backend_domid(struct options *o, const char *v, char *why)
{
    return parse_u16(v, 0, DOMID_LAST, &o->backend_domid);
}

static int set_addressing(struct options *o, const char *v, char *why)
{
    if (strcmp(v, "grants") && strcmp(v, "foreign"))
        return -EINVAL;
    o->addressing = *v == 'g' ? FE_ADDRESSING_GRANTS : FE_ADDRESSING_FOREIGN;
    return 0;
}

static int set_completion(struct options *o, const char *v, char *why)
{
    if (strcmp(v, "irq") && strcmp(v, "poll"))
        return -EINVAL;
    o->front.interrupts = *v == 'i';
    return 0;
}

static int set_tap(struct options *o, const char *v, char *why)
{
    o->front.tap = v;
    return 0;
}

static int set_pairs(struct options *o, const char *v, char *why)
{
    return parse_u32(v, 1, FE_NET_PAIRS_MAX, &o->front.pairs);
}

static int set_queue_size(struct options *o, const char *v, char *why)
{
    int rc = parse_u32(v, 1, 32768, &o->front.queue_size);

    return rc || is_pow2(o->front.queue_size) ? rc : -EINVAL;
}

static int set_without(struct options *o, const char *v, char *why)
{
    uint64_t bits;
    int rc = parse_u64(v, 0, UINT64_MAX, &bits);

    o->front.features_off |= bits;
    return rc;
}

static int set_ready_fd(struct options *o, const char *v, char *why)
{
    uint32_t fd;

    if (parse_u32(v, 0, 65535, &fd) || fcntl((int)fd, F_GETFD) < 0)
        return -EINVAL;
    o->ready_fd = (int)fd;
    return 0;
}

static int set_lose_doorbells(struct options *o, const char *v, char *why)
{
    return parse_u32(v, 2, 1000000, &o->lose_doorbells);
}

static int set_stats(struct options *o, const char *v, char *why)
{
    o->stats = v;
    return 0;
}

static int set_help(struct options *o, const char *v, char *why)
{
    o->help = true;
    return 0;
}

/* One table for the parser and for --help. */
static const struct {
    const char *name, *value; /* value NULL: a flag */
    int (*set)(struct options *o, const char *v, char *why);
    const char *help;
} option_table[] = {
    {"platform", "NAME[:ARG]", set_platform, "the machine this runs on: simxen, linux"},
    {"host-bridge", "SPEC", set_bridge, "seg=0,bus=0-63,ecam=BASE+SIZE,mem=BASE+SIZE"},
    {"sbdf", "SBDF", set_sbdf, "the device, like 0000:00:01.0"},
    {"mmio", "base=ADDR,irq=N", set_mmio, "the same for a virtio-mmio device and its line"},
    {"tap", "NAME", set_tap, "the interface to make"},
    {"backend-domid", "N", set_backend_domid, "the backend's domain (default 0)"},
    {"addressing", "grants|foreign", set_addressing,
     "what addresses in descriptors are (default grants)"},
    {"ring", "split|packed", set_ring, "the format of rings (default split)"},
    {"completion", "irq|poll", set_completion, "how to learn what was used (default irq)"},
    {"pairs", "N", set_pairs, "queue pairs, of those that the device has (default 1)"},
    {"queue-size", "N", set_queue_size, "descriptors of a queue (default: the device's maximum)"},
    {"without", "MASK", set_without, "feature bits not to be negotiated"},
    {"lose-doorbells", "N", set_lose_doorbells,
     "a fault to test with: each N-th doorbell is not rung"},
    {"ready-fd", "FD", set_ready_fd, "write \"ready\" and a newline there when the interface is"},
    {"stats", "FILE", set_stats, "write counts there at the end, as one line of JSON"},
    {"help", NULL, set_help, "this text"},
};

static void help(FILE *out)
{
    fputs("usage: ringproof-netfront --platform NAME --tap NAME --sbdf SBDF --host-bridge SPEC "
          "[option]...\n"
          "       ringproof-netfront --platform NAME --tap NAME --mmio base=ADDR,irq=N "
          "[option]...\n"
          "A virtio-net device as an interface of this network namespace.\n\n",
          out);
    for (size_t i = 0; i < ARRAY_LENGTH(option_table); i++)
        fprintf(out, "  --%s%s%s\n        %s\n", option_table[i].name,
                option_table[i].value ? " " : "",
                option_table[i].value ? option_table[i].value : "", option_table[i].help);
    fputs("\nexit status: 0 stopped by SIGTERM or SIGINT; 1 failure; 2 usage\n", out);
}

static int parse_one(struct options *o, int argc, char **argv, int *at)
{
    char why[HOST_BRIDGE_ERROR_BYTES] = "";
    const char *arg = argv[*at];

    for (size_t i = 0; !strncmp(arg, "--", 2) && i < ARRAY_LENGTH(option_table); i++) {
        const char *value = NULL;
        int rc;

        if (strcmp(option_table[i].name, arg + 2))
            continue;
        if (option_table[i].value && ++*at == argc) {
            log_error("%s: a value is missing", arg);
            return -EINVAL;
        }
        if (option_table[i].value)
            value = argv[*at];
        rc = option_table[i].set(o, value, why);
        if (rc)
            log_error("%s: \"%s\" is not valid%s%s", arg, value, *why ? ": " : "", why);
        return rc;
    }
    log_error("unknown argument \"%s\" (--help lists the options)", arg);
    return -EINVAL;
}

static int options_parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.front = {.interrupts = true}, .ready_fd = -1};
    for (int i = 1; i < argc; i++) {
        int rc = parse_one(o, argc, argv, &i);

        if (rc || o->help)
            return rc;
    }
    if (o->platform && o->has_place && o->front.tap &&
        (o->has_bridge || o->place.transport == FE_TRANSPORT_MMIO))
        return 0;
    log_error("--platform, --tap and --sbdf with --host-bridge, or --mmio, are required");
    return -EINVAL;
}

/* ---- running ---- */

static int write_stats(const struct options *o, const struct netfront *f, const struct lossy *l)
{
    struct netfront_stats s;
    FILE *out;

    if (!o->stats)
        return 0;
    out = fopen(o->stats, "we");
    if (!out) {
        log_error("--stats %s: %s", o->stats, strerror(errno));
        return -errno;
    }
    netfront_get_stats(f, &s);
    fprintf(out,
            "{\"features\":%" PRIu64 ",\"pairs\":%u,\"queue_size\":%u,\"rx_frames\":%" PRIu64
            ",\"rx_bytes\":%" PRIu64 ",\"tx_frames\":%" PRIu64 ",\"tx_bytes\":%" PRIu64
            ",\"rx_refused\":%" PRIu64 ",\"waits\":%" PRIu64 ",\"untold\":%" PRIu64
            ",\"rekicks\":%" PRIu64 ",\"doorbells_lost\":%u}\n",
            netfront_info(f)->features, netfront_info(f)->pairs, netfront_info(f)->queue_size,
            s.rx_frames, s.rx_bytes, s.tx_frames, s.tx_bytes, s.rx_refused, s.waits, s.untold,
            s.rekicks, lossy_lost(l));
    return fclose(out) ? -errno : 0;
}

static void say_ready(const struct options *o)
{
    static const char text[] = "ready\n";

    if (o->ready_fd < 0)
        return;
    if (write(o->ready_fd, text, sizeof(text) - 1) != sizeof(text) - 1)
        log_warn("--ready-fd %d: %s", o->ready_fd, strerror(errno));
    if (o->ready_fd > STDERR_FILENO)
        close(o->ready_fd);
}

static int serve(const struct options *o, struct fe_platform *p)
{
    struct fe_host_bridge bridge = {
        .segment = o->bridge.segment,
        .bus_first = o->bridge.bus_first,
        .bus_last = o->bridge.bus_last,
        .ecam_base = o->bridge.ecam_base,
        .ecam_bytes = o->bridge.ecam_bytes,
        .mem_base = o->bridge.mem_base,
        .mem_bytes = o->bridge.mem_bytes,
    };
    struct fe_pci_host host;
    struct fe_virtio *v;
    struct fe_memory memory;
    struct netfront *f;
    struct lossy lossy;
    int rc, end;

    fe_pci_host_init(&host, p, &bridge);
    fe_memory_init(&memory, p, o->addressing, o->backend_domid);
    rc = fe_place_open(&o->place, p, &host, &v);
    if (rc) {
        log_error("no usable virtio device: %s", strerror(-rc));
        return rc;
    }
    rc = netfront_create(v, &memory, &o->front, &f);
    if (!rc) {
        /* Not before: commands have a time limit and no second doorbell. */
        lossy_init(&lossy, v, o->lose_doorbells);
        say_ready(o);
        rc = netfront_run(f, &stop_signal);
        lossy_fini(&lossy, v);
        end = write_stats(o, f, &lossy);
        rc = rc ? rc : end;
        end = netfront_destroy(f);
        if (end)
            log_error("at the end: %s", strerror(-end));
        rc = rc ? rc : end;
    }
    fe_virtio_destroy(v);
    return rc;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct fe_platform *p;
    struct options o;
    int rc;

    log_set_prefix("ringproof-netfront");
    if (options_parse(&o, argc, argv))
        return 2;
    if (o.help) {
        help(stdout);
        return 0;
    }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* nobody may want to know that we are ready any more */
    if (fe_platform_open(o.platform, &p))
        return 1;
    rc = serve(&o, p);
    fe_platform_close(p);
    return rc ? 1 : 0;
}
