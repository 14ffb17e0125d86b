/* SPDX-License-Identifier: MIT */
/*
 * ringproof-agent: runs checks where the driver is, one at a time, as the runner asks on stdin.
 * See check/wire.h for the protocol and agent/run.h for how a check ends.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/subject.h"
#include "agent/link.h"
#include "agent/list.h"
#include "agent/peer.h"
#include "agent/run.h"
#include "conformance/given.h"
#include "frontend/trace.h"
#include "stock/subject.h"
#include "util/host_bridge.h"
#include "util/log.h"
#include "util/mmio_window.h"
#include "util/parse.h"

#define BRIDGES_MAX 8
#define DOMID_LAST  0x7fef /* the ids behind it have a meaning of their own in Xen */

/* The last part of a BAR window, where drivers put BARs last. */
#define WINDOW_BYTES 0x10000ull

struct options {
    const char *platform;
    struct host_bridge bridges[BRIDGES_MAX];
    unsigned nr_bridges;
    uint16_t backend_domid;
    enum fe_addressing addressing;
    enum fe_buffers buffers;
    struct fe_place place;
    char place_text[32]; /* as Linux names it; "": no device */
    enum wire_role role;
    bool has_device, list_checks, packed;
    bool has_iommu, has_endpoint; /* both or none */
    struct fe_place iommu;
    uint32_t endpoint;
    bool has_mechanism;
    enum fe_mechanism mechanism;
    const char *boot_data; /* with a mechanism that has any; borrowed from argv */
    FILE *trace;           /* NULL: none; stays open as long as the agent lives */
};

#define BOOT_DATA_BYTES 65536u /* read of a file */

struct agent {
    struct options opt;
    char *boot_data; /* malloc'd, with a NUL behind; NULL: none */
    struct link link;
    struct run *run;
    struct fe_platform *platform; /* role domu */
    struct peer *peer;            /* role domu */
    struct fe_host_bridge bridges[BRIDGES_MAX];
    struct subject subject;     /* role domu */
    struct abi_subject abi;     /* role dom0 */
    struct stock_subject stock; /* role linux */
};

/* ---- options ---- */

static int set_platform(struct options *o, const char *v, char *why)
{
    (void)why;
    o->platform = v;
    return 0;
}

static int set_bridge(struct options *o, const char *v, char *why)
{
    if (o->nr_bridges == BRIDGES_MAX) {
        snprintf(why, HOST_BRIDGE_ERROR_BYTES, "at most %d", BRIDGES_MAX);
        return -EINVAL;
    }
    if (host_bridge_parse(v, &o->bridges[o->nr_bridges], why) < 0)
        return -EINVAL;
    o->nr_bridges++;
    return host_bridge_list_check(o->bridges, o->nr_bridges, why);
}

static int set_backend_domid(struct options *o, const char *v, char *why)
{
    (void)why;
    return parse_u16(v, 0, DOMID_LAST, &o->backend_domid);
}

static int set_addressing(struct options *o, const char *v, char *why)
{
    (void)why;
    if (strcmp(v, "grants") == 0)
        o->addressing = FE_ADDRESSING_GRANTS;
    else if (strcmp(v, "foreign") == 0)
        o->addressing = FE_ADDRESSING_FOREIGN;
    else
        return -EINVAL;
    return 0;
}

static int set_buffers(struct options *o, const char *v, char *why)
{
    (void)why;
    if (strcmp(v, "streaming") != 0 && strcmp(v, "pool") != 0)
        return -EINVAL;
    o->buffers = v[0] == 'p' ? FE_BUFFERS_POOL : FE_BUFFERS_STREAMING;
    return 0;
}

static int set_ring(struct options *o, const char *v, char *why)
{
    (void)why;
    if (strcmp(v, "split") != 0 && strcmp(v, "packed") != 0)
        return -EINVAL;
    o->packed = v[0] == 'p';
    return 0;
}

static int set_sbdf(struct options *o, const char *v, char *why)
{
    if (o->has_device) {
        snprintf(why, HOST_BRIDGE_ERROR_BYTES, "one device is under test");
        return -EINVAL;
    }
    o->has_device = true;
    o->place.transport = FE_TRANSPORT_PCI;
    if (parse_sbdf(v, &o->place.sbdf))
        return -EINVAL;
    format_sbdf(o->place.sbdf, o->place_text);
    return 0;
}

static int set_port(struct options *o, const char *v, char *why)
{
    o->place.has_port = parse_sbdf(v, &o->place.port) == 0;
    return o->place.has_port ? 0 : -EINVAL;
}

static int set_mmio(struct options *o, const char *v, char *why)
{
    if (o->has_device) {
        snprintf(why, HOST_BRIDGE_ERROR_BYTES, "one device is under test");
        return -EINVAL;
    }
    o->has_device = true;
    o->place.transport = FE_TRANSPORT_MMIO;
    if (mmio_window_parse(v, &o->place.window, why))
        return -EINVAL;
    snprintf(o->place_text, sizeof(o->place_text), "%" PRIx64 ".virtio", o->place.window.base);
    return 0;
}
/* As --sbdf and --mmio have it. */
static int set_iommu(struct options *o, const char *v, char *why)
{
    o->has_iommu = true;
    if (parse_sbdf(v, &o->iommu.sbdf) == 0)
        return 0;
    o->iommu.transport = FE_TRANSPORT_MMIO;
    return mmio_window_parse(v, &o->iommu.window, why) ? -EINVAL : 0;
}

static int set_endpoint(struct options *o, const char *v, char *why)
{
    (void)why;
    o->has_endpoint = true;
    return parse_u32(v, 0, UINT32_MAX, &o->endpoint);
}
_Static_assert(HOST_BRIDGE_ERROR_BYTES >= MMIO_WINDOW_ERROR_BYTES, "one buffer for both");

static int set_role(struct options *o, const char *v, char *why)
{
    (void)why;
    return wire_role_from_name(v, &o->role) ? 0 : -EINVAL;
}

static int set_discovery(struct options *o, const char *v, char *why)
{
    char name[32];
    const char *colon = strchr(v, ':');

    (void)why;
    snprintf(name, sizeof(name), "%.*s", colon ? (int)(colon - v) : (int)strlen(v), v);
    o->boot_data = colon ? colon + 1 : NULL;
    o->has_mechanism = fe_mechanism_parse(name, &o->mechanism) == 0;
    return o->has_mechanism ? 0 : -EINVAL;
}

static int set_list_checks(struct options *o, const char *v, char *why)
{
    (void)v;
    (void)why;
    o->list_checks = true;
    return 0;
}

static int set_trace(struct options *o, const char *v, char *why)
{
    o->trace = fopen(v, "ae");
    if (!o->trace) {
        snprintf(why, HOST_BRIDGE_ERROR_BYTES, "%s", strerror(errno));
        return -EINVAL;
    }
    setvbuf(o->trace, NULL, _IOLBF, 0);
    return 0;
}

static int set_log(struct options *o, const char *v, char *why)
{
    enum log_level level;

    (void)o;
    (void)why;
    if (log_level_parse(v, &level) < 0)
        return -EINVAL;
    log_set_level(level);
    return 0;
}

/* One table for the parser and for --help. */
static const struct {
    const char *name, *value; /* value NULL: a flag */
    int (*set)(struct options *o, const char *v, char *why);
    const char *help;
} option_table[] = {
    {"platform", "NAME[:ARG]", set_platform,
     "the machine this agent runs on: simxen, linux, or a plugin's path"},
    {"role", "domu|dom0|linux", set_role,
     "domu (default): virtio checks; dom0: libxen's; linux: the kernel's own drivers"},
    {"host-bridge", "SPEC", set_bridge,
     "seg=0,bus=0-63,ecam=BASE+SIZE,mem=BASE+SIZE; may be repeated"},
    {"sbdf", "SBDF", set_sbdf, "the device under test, like 0000:00:01.0"},
    {"port", "SBDF", set_port,
     "the root port that it is behind; --sbdf has the bus that the port is given"},
    {"mmio", "base=ADDR,irq=N", set_mmio, "the same for a virtio-mmio device and its line"},
    {"iommu", "PLACE", set_iommu,
     "the IOMMU that the device under test is behind, as --sbdf or --mmio has places"},
    {"endpoint", "N", set_endpoint, "and what the device is called there"},
    {"addressing", "grants|foreign", set_addressing,
     "what addresses in descriptors are (default: grants)"},
    {"buffers", "streaming|pool", set_buffers,
     "how long pages are granted: with each request (default), or until a reset"},
    {"ring", "split|packed", set_ring,
     "the format of rings that the driver negotiates (default: split)"},
    {"backend-domid", "N", set_backend_domid, "whom pages are granted to (default: 0)"},
    {"discovery", "NAME[:FILE]", set_discovery,
     "how the driver finds its backend's domid, and the boot data for it"},
    {"list-checks", NULL, set_list_checks, "print all checks, one a line, and exit"},
    {"trace", "FILE", set_trace, "append every access, interrupt, grant and chain to a file"},
    {"log", "LEVEL", set_log, "error, warn (default), info or debug"},
};

#define OPTIONS (sizeof(option_table) / sizeof(option_table[0]))

static void usage(FILE *f)
{
    fprintf(f, "usage: ringproof-agent --platform NAME[:ARG] [option]...\n"
               "       ringproof-agent --role dom0\n"
               "       ringproof-agent --role linux --sbdf SBDF [option]...\n"
               "Runs checks inside a domain, as a runner asks on standard input.\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        char left[48];

        snprintf(left, sizeof(left), "--%s %s", option_table[i].name,
                 option_table[i].value ? option_table[i].value : "");
        fprintf(f, "  %-26s %s\n", left, option_table[i].help);
    }
    fprintf(f, "  %-26s this text\n", "--help");
}

/* 0, 1 for --help, or -EINVAL after a message. */
static int options_parse(struct options *o, int argc, char **argv)
{
    struct option longs[OPTIONS + 2];
    int c, index;

    memset(longs, 0, sizeof(longs));
    for (size_t i = 0; i < OPTIONS; i++) {
        longs[i].name = option_table[i].name;
        longs[i].has_arg = option_table[i].value ? required_argument : no_argument;
        longs[i].val = 1;
    }
    longs[OPTIONS] = (struct option){"help", no_argument, NULL, 'h'};
    while ((c = getopt_long(argc, argv, "h", longs, &index)) != -1) {
        char why[HOST_BRIDGE_ERROR_BYTES] = "";

        if (c == 'h') {
            usage(stdout);
            return 1;
        }
        if (c != 1)
            return -EINVAL; /* getopt has said why */
        if (option_table[index].set(o, optarg, why) < 0) {
            fprintf(stderr, "ringproof-agent: --%s \"%s\": %s\n", option_table[index].name, optarg,
                    why[0] ? why : option_table[index].value);
            return -EINVAL;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "ringproof-agent: unexpected argument \"%s\"\n", argv[optind]);
        return -EINVAL;
    }
    if (!o->list_checks && o->role == WIRE_DOMU && !o->platform) {
        fprintf(stderr, "ringproof-agent: --platform is needed for role domu\n");
        return -EINVAL;
    }
    if (o->has_iommu != o->has_endpoint) {
        fprintf(stderr, "ringproof-agent: --iommu and --endpoint go together\n");
        return -EINVAL;
    }
    if (o->role != WIRE_DOMU && o->platform) {
        fprintf(stderr, "ringproof-agent: role %s has no platform\n", wire_role_name(o->role));
        return -EINVAL;
    }
    return 0;
}

/* ---- subjects ---- */

/* The question of a conformance check: the same, with JSON as text. */
static int ask_text(void *ctx, const char *what, const char *args_json, char **value_json,
                    char *error, size_t error_bytes)
{
    json_t *args = NULL, *value = NULL;
    json_error_t e;
    int err;

    *value_json = NULL;
    if (args_json) {
        args = json_loads(args_json, JSON_REJECT_DUPLICATES, &e);
        if (!args) {
            snprintf(error, error_bytes, "arguments: %s", e.text);
            return -EINVAL;
        }
    }
    err = link_ask(ctx, what, args, &value, error, error_bytes);
    if (!err && value) {
        *value_json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        if (!*value_json)
            err = -ENOMEM;
    }
    json_decref(args);
    json_decref(value);
    return err;
}

static int ask_json(void *ctx, const char *what, json_t *args, json_t **value, char *why,
                    size_t why_bytes)
{
    int err = link_ask(ctx, what, args, value, why, why_bytes);

    json_decref(args);
    return err;
}

static uint64_t free_window(const struct agent *a)
{
    if (a->opt.nr_bridges > 0)
        return (a->opt.bridges[0].mem_base + a->opt.bridges[0].mem_bytes - WINDOW_BYTES) &
               ~(WINDOW_BYTES - 1);
    return a->platform->arm ? 0x2aff0000 : 0xe7ff0000;
}

/* Into the sources of the subject; the file stays in memory as long as the agent lives. */
static int read_boot_data(struct agent *a)
{
    struct fe_discovery_sources *s = &a->subject.sources;
    size_t bytes = 0;
    FILE *f;

    s->platform = a->platform;
    s->own_domid = a->platform->domid;
    if (!a->opt.boot_data ||
        (a->opt.mechanism != FE_MECHANISM_DEVICE_TREE &&
         a->opt.mechanism != FE_MECHANISM_MACHINE_TYPE && a->opt.mechanism != FE_MECHANISM_ACPI &&
         a->opt.mechanism != FE_MECHANISM_BOOT_PARAMETER))
        return 0;
    a->boot_data = calloc(1, BOOT_DATA_BYTES + 1);
    if (!a->boot_data)
        return -ENOMEM;
    f = fopen(a->opt.boot_data, "re");
    if (f) {
        bytes = fread(a->boot_data, 1, BOOT_DATA_BYTES, f);
        fclose(f);
    }
    if (!bytes) {
        fprintf(stderr, "ringproof-agent: no boot data in %s\n", a->opt.boot_data);
        return -EIO;
    }
    if (a->opt.mechanism == FE_MECHANISM_DEVICE_TREE ||
        a->opt.mechanism == FE_MECHANISM_MACHINE_TYPE) {
        s->tree = (const uint8_t *)a->boot_data;
        s->tree_bytes = bytes;
    } else if (a->opt.mechanism == FE_MECHANISM_ACPI) {
        s->acpi = (const uint8_t *)a->boot_data;
        s->acpi_bytes = bytes;
    } else {
        s->command_line = a->boot_data;
    }
    return 0;
}

static int domu_start(struct agent *a)
{
    struct fe_platform *traced;
    int err = fe_platform_open(a->opt.platform, &a->platform);

    if (err) {
        fprintf(stderr, "ringproof-agent: platform %s: %s\n", a->opt.platform, strerror(-err));
        return err;
    }
    traced = fe_trace_create(a->platform, a->opt.trace);
    if (!traced)
        return -ENOMEM;
    a->platform = traced;
    for (unsigned i = 0; i < a->opt.nr_bridges; i++) {
        const struct host_bridge *b = &a->opt.bridges[i];

        a->bridges[i] = (struct fe_host_bridge){.segment = b->segment,
                                                .bus_first = b->bus_first,
                                                .bus_last = b->bus_last,
                                                .ecam_base = b->ecam_base,
                                                .ecam_bytes = b->ecam_bytes,
                                                .mem_base = b->mem_base,
                                                .mem_bytes = b->mem_bytes};
    }
    a->peer = peer_create(a->platform, free_window(a));
    if (!a->peer)
        return -ENOMEM;
    a->link.peer = peer_serve_call;
    a->link.peer_ctx = a->peer;
    a->subject = (struct subject){.platform = a->platform,
                                  .bridges = a->bridges,
                                  .nr_bridges = a->opt.nr_bridges,
                                  .has_device = a->opt.has_device,
                                  .place = a->opt.place,
                                  .addressing = a->opt.addressing,
                                  .buffers = a->opt.buffers,
                                  .backend_domid = a->opt.backend_domid,
                                  .packed = a->opt.packed,
                                  .has_iommu = a->opt.has_iommu,
                                  .iommu = a->opt.iommu,
                                  .endpoint = a->opt.endpoint,
                                  .has_mechanism = a->opt.has_mechanism,
                                  .mechanism = a->opt.mechanism,
                                  .ask = ask_text,
                                  .ask_ctx = &a->link};
    return read_boot_data(a);
}

/* ---- requests ---- */

static int hello(struct agent *a)
{
    struct wire_event *e = calloc(1, sizeof(*e));
    int err;

    if (!e)
        return -ENOMEM;
    e->ev = WIRE_HELLO;
    snprintf(e->hello.platform, sizeof(e->hello.platform), "%s",
             a->platform                ? a->platform->name
             : a->opt.role == WIRE_DOM0 ? "libxen"
                                        : "stock");
    e->hello.domid = a->platform ? a->platform->domid : 0;
    e->hello.role = a->opt.role;
    e->hello.checks = list_count(a->opt.role);
    err = link_send(&a->link, e);
    free(e);
    return err;
}

static bool needs_met(void *subject, uint64_t needs, char *why, size_t why_bytes)
{
    return conformance_needs(subject, needs, why, why_bytes);
}

static void begin(void *subject, const struct check *c)
{
    char name[2 * WIRE_NAME_MAX];

    snprintf(name, sizeof(name), "%s.%s", c->family, c->name);
    fe_trace_begin(((struct subject *)subject)->platform, name);
}

static void tail(void *subject, char *buf, size_t bytes)
{
    fe_trace_tail(((struct subject *)subject)->platform, buf, bytes);
}

static int serve_run(struct agent *a, const struct wire_request *q)
{
    const char *dot = strchr(q->check, '.');
    const struct check *c = NULL;
    static const struct run_hooks hooks = {.met = needs_met, .begin = begin, .tail = tail};
    char family[WIRE_NAME_MAX];
    char *params = NULL;
    int err;

    if (dot) {
        snprintf(family, sizeof(family), "%.*s", (int)(dot - q->check), q->check);
        c = check_find(family, dot + 1);
    }
    if (!c)
        return run_result(a->run, q->check, ERROR, "this agent has no such check");
    if (!list_in_role(c, a->opt.role))
        return run_result(a->run, q->check, ERROR, "this check belongs to another role");
    if (a->opt.role == WIRE_DOM0)
        return run_check(a->run, c, &a->abi, NULL, q->timeout_ms);
    if (a->opt.role == WIRE_LINUX) {
        a->stock.seed = (uint64_t)json_integer_value(json_object_get(q->params, "seed"));
        a->stock.limit_ms = run_limit_ms(c, q->timeout_ms);
        return run_check(a->run, c, &a->stock, NULL, q->timeout_ms);
    }
    if (q->params) {
        params = json_dumps(q->params, JSON_COMPACT);
        if (!params)
            return -ENOMEM;
    }
    a->subject.params_json = params;
    err = run_check(a->run, c, &a->subject, &hooks, q->timeout_ms);
    a->subject.params_json = NULL;
    free(params);
    return err;
}

static int serve(struct agent *a)
{
    struct wire_request *q = calloc(1, sizeof(*q));
    int err = q ? hello(a) : -ENOMEM;

    while (!err && link_next(&a->link, q) > 0) {
        if (q->op == WIRE_LIST)
            err = list_send(&a->link, a->opt.role);
        else
            err = serve_run(a, q);
        wire_request_fini(q);
    }
    free(q);
    return err;
}

int main(int argc, char **argv)
{
    struct agent a = {.link = {.in = -1, .out = -1}};
    int status = AGENT_EXIT_START, err;

    log_set_prefix("ringproof-agent");
    err = options_parse(&a.opt, argc, argv);
    if (err)
        return err > 0 ? AGENT_EXIT_OK : AGENT_EXIT_USAGE;
    if (a.opt.list_checks) {
        list_print(stdout);
        return fflush(stdout) == 0 ? AGENT_EXIT_OK : AGENT_EXIT_START;
    }
    signal(SIGPIPE, SIG_IGN);
    err = link_init(&a.link);
    if (err) {
        fprintf(stderr, "ringproof-agent: standard input and output: %s\n", strerror(-err));
        return AGENT_EXIT_START;
    }
    a.run = run_create(&a.link);
    a.abi = (struct abi_subject){.ctx = &a.link, .ask = ask_json};
    if (!a.run) {
        fprintf(stderr, "ringproof-agent: %s\n", strerror(errno));
        goto out;
    }
    a.stock = (struct stock_subject){.ctx = &a.link,
                                     .ask = ask_json,
                                     .bus = a.opt.place.transport == FE_TRANSPORT_MMIO ? STOCK_MMIO
                                                                                       : STOCK_PCI,
                                     .place = a.opt.has_device ? a.opt.place_text : NULL,
                                     .grants = a.opt.addressing == FE_ADDRESSING_GRANTS};
    if (a.opt.role == WIRE_DOMU && domu_start(&a) < 0)
        goto out;
    err = serve(&a);
    status = err && err != -EPIPE ? AGENT_EXIT_START : AGENT_EXIT_OK;
out:
    free(a.boot_data);
    peer_destroy(a.peer);
    fe_platform_close(a.platform);
    run_destroy(a.run);
    link_fini(&a.link);
    return status;
}
