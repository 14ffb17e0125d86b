/* SPDX-License-Identifier: MIT */
#include "backend/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "util/parse.h"

#define WHY_BYTES 320

struct option {
    const char *name;
    const char *arg; /* NULL: takes none */
    int (*set)(struct backend_options *o, const char *value, char why[WHY_BYTES]);
    const char *help;
};

static int set_domid(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    uint16_t domid;

    /* From 0x7ff0 on, domain ids have special meanings (xen/xen.h). */
    if (parse_u16(value, 0, 0x7fef, &domid)) {
        snprintf(why, WHY_BYTES, "\"%.40s\" is not a domain id from 0 to 32751", value);
        return -EINVAL;
    }
    o->domid = domid;
    o->has_domid = true;
    return 0;
}

static int set_host_bridge(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    char error[HOST_BRIDGE_ERROR_BYTES];
    int rc;

    if (o->bridge_count == BRIDGES_MAX) {
        snprintf(why, WHY_BYTES, "more than %u host bridges", BRIDGES_MAX);
        return -EINVAL;
    }
    rc = host_bridge_parse(value, &o->bridges[o->bridge_count], error);
    if (!rc)
        rc = host_bridge_list_check(o->bridges, ++o->bridge_count, error);
    if (rc)
        snprintf(why, WHY_BYTES, "%s", error);
    return rc;
}

static int set_root_port(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    if (o->port_count == SLOTS_MAX) {
        snprintf(why, WHY_BYTES, "more than %u root ports", SLOTS_MAX);
        return -EINVAL;
    }
    return root_port_parse(&o->ports[o->port_count++], value, why);
}

static const char *const claim_names[] = {
    [BRIDGE_CLAIM_WINDOW] = "window",
    [BRIDGE_CLAIM_FUNCTIONS] = "functions",
    [BRIDGE_CLAIM_PCIDEV] = "pcidev",
};

static int set_claim(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    for (unsigned i = 0; i < ARRAY_LENGTH(claim_names); i++) {
        if (!strcmp(claim_names[i], value)) {
            o->claim = (enum bridge_claim)i;
            return 0;
        }
    }
    snprintf(why, WHY_BYTES, "\"%.40s\" is not window, functions or pcidev", value);
    return -EINVAL;
}

static int set_link(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    o->link = value;
    return 0;
}

static int set_link_listen(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    o->link_listen = value;
    return 0;
}

static int set_intx_line(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    if (!parse_u32(value, 0, 1u << 20, &o->intx_line))
        return 0;
    snprintf(why, WHY_BYTES, "\"%.40s\" is not the number of an interrupt line", value);
    return -EINVAL;
}

static int set_memory(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    const struct gmem_strategy *s = gmem_strategy_find(value);

    if (s) {
        o->memory = s->name;
        return 0;
    }
    snprintf(why, WHY_BYTES, "unknown way to reach memory \"%.40s\" (see --help)", value);
    return -EINVAL;
}

static int set_guest_memory(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    struct gmem_bank *b = &o->banks[o->bank_count];

    if (o->bank_count == GMEM_BANKS_MAX) {
        snprintf(why, WHY_BYTES, "more than %u ranges", GMEM_BANKS_MAX);
        return -EINVAL;
    }
    if (parse_range(value, &b->base, &b->bytes) || (b->base | b->bytes) % XEN_PAGE_BYTES ||
        b->base >= UINT64_C(1) << 52 || b->bytes > UINT64_C(1) << 43) {
        snprintf(why, WHY_BYTES, "\"%.40s\" is not a BASE+SIZE of whole pages", value);
        return -EINVAL;
    }
    o->bank_count++;
    return 0;
}

static int set_device(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    struct device_spec *more;
    char error[DEVICE_SPEC_ERROR_BYTES];
    int rc;

    if (o->device_count == DEVICES_MAX) {
        snprintf(why, WHY_BYTES, "more than %u devices", DEVICES_MAX);
        return -EINVAL;
    }
    more = realloc(o->devices, (o->device_count + 1) * sizeof(*more));
    if (!more) {
        snprintf(why, WHY_BYTES, "out of memory");
        return -ENOMEM;
    }
    o->devices = more;
    rc = device_spec_parse(&o->devices[o->device_count++], value, error);
    if (rc)
        snprintf(why, WHY_BYTES, "%s", error);
    return rc;
}

static int set_xenstore(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    o->xenstore = true;
    return 0;
}

static int set_announce(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    size_t len =
        strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_@");

    if (*value && *value != '/' && !value[len] && len < ANNOUNCE_BYTES) {
        o->announce = value;
        return 0;
    }
    snprintf(why, WHY_BYTES, "\"%.40s\" is not a path that xenstore takes below a domain's home",
             value);
    return -EINVAL;
}

static int set_wait(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    if (!parse_u32(value, 0, 86400000, &o->wait_ms))
        return 0;
    snprintf(why, WHY_BYTES, "\"%.40s\" is not a number of milliseconds up to a day", value);
    return -EINVAL;
}

static int set_ready_fd(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    uint32_t fd;

    if (parse_u32(value, 0, 65535, &fd) || fcntl((int)fd, F_GETFD) < 0) {
        snprintf(why, WHY_BYTES, "\"%.40s\" is not an open file descriptor", value);
        return -EINVAL;
    }
    o->ready_fd = (int)fd;
    return 0;
}

static int set_stats(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    o->stats = value;
    return 0;
}

static int set_log(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    if (!log_level_parse(value, &o->log))
        return 0;
    snprintf(why, WHY_BYTES, "\"%.40s\" is not error, warn, info or debug", value);
    return -EINVAL;
}

static int set_help(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    o->help = true;
    return 0;
}

static int set_version(struct backend_options *o, const char *value, char why[WHY_BYTES])
{
    o->version = true;
    return 0;
}

static const struct option options[] = {
    {"domid", "N", set_domid, "the domain to serve; required"},
    {"host-bridge", "seg=S,bus=A-B,ecam=BASE+SIZE,mem=BASE+SIZE", set_host_bridge,
     "an ECAM host bridge as the guest's firmware describes it; may be repeated, and\n"
     "        is needed for devices on PCI"},
    {"root-port", "sbdf=SBDF,slot=N,...", set_root_port, root_port_help},
    {"claim", "window|functions|pcidev", set_claim,
     "what to claim of a bridge's address space: all of it (the default), or\n"
     "        only the functions that exist, so that several backends share a bridge; pcidev\n"
     "        when the hypervisor decodes ECAM"},
    {"link-listen", "SOCKET", set_link_listen,
     "let processes started with --link have functions behind these bridges; needs\n"
     "        --claim window"},
    {"link", "SOCKET", set_link,
     "the bridges are another process's, which listens there: functions only, claimed\n"
     "        of it and not of Xen, and interrupts sent through it"},
    {"intx-line", "N", set_intx_line,
     "interrupt line of INTA of device 0, with lines N to N+3 used in turn (Arm:\n"
     "        an SPI's interrupt id, 32 or more); without it Xen routes INTx by device and pin"},
    {"memory", "NAME", set_memory, "how the addresses in descriptors are reached:"},
    {"guest-memory", "BASE+SIZE", set_guest_memory,
     "guest-physical memory, for those that map in advance; may be repeated"},
    {"device", "TYPE,KEY=VALUE,...", set_device, "a device; may be repeated. Keys:"},
    {"xenstore", NULL, set_xenstore,
     "take devices from /local/domain/<own>/backend/virtio/<domid>/<n>, with the\n"
     "        keys above as nodes, and follow changes there: attach and detach at run time"},
    {"announce", "PATH", set_announce,
     "tell a domain that runs already: /local/domain/<domid>/PATH is \"ready\" from when\n"
     "        all is claimed and every device is up, until the backend stops"},
    {"wait-ms", "N", set_wait, "how long to wait for the domain to exist (default 10000)"},
    {"ready-fd", "FD", set_ready_fd, "write \"ready\" and a newline there once the devices are up"},
    {"stats", "FILE|-", set_stats,
     "append exact counts as one line of JSON on SIGUSR1 and at the end; - is\n"
     "        standard output"},
    {"log", "error|warn|info|debug", set_log, "what to say on standard error (default warn)"},
    {"help", NULL, set_help, "this text"},
    {"version", NULL, set_version, "which sources it was built from"},
};

void backend_options_help(FILE *out)
{
    fputs(
        "usage: ringproof-backend --domid N [--host-bridge ...]... [--device ...]... [option]...\n"
        "A virtio backend for a Xen domain: virtio-pci over ECAM and virtio-mmio, behind an IOREQ\n"
        "server.\n\n",
        out);
    for (size_t i = 0; i < ARRAY_LENGTH(options); i++) {
        const struct option *opt = &options[i];

        fprintf(out, "  --%s%s%s\n        %s\n", opt->name, opt->arg ? " " : "",
                opt->arg ? opt->arg : "", opt->help);
        if (opt->set == set_device)
            device_spec_help(out);
        if (opt->set == set_memory)
            for (const struct gmem_strategy *s = gmem_strategies(); s->name; s++)
                fprintf(out, "    %-20s %s%s\n", s->name, s->summary,
                        strcmp(s->name, GMEM_STRATEGY_DEFAULT) ? "" : " (default)");
    }
    fputs("\nexit status: 0 stopped by SIGTERM or SIGINT, or the domain has gone; 1 failure; "
          "2 usage\n",
          out);
}

static int parse_one(struct backend_options *o, int argc, char **argv, int *at)
{
    const char *arg = argv[*at];
    const char *value = NULL;
    char why[WHY_BYTES] = "";
    size_t len;
    int rc;

    if (strncmp(arg, "--", 2)) {
        log_error("unexpected argument \"%s\" (--help lists the options)", arg);
        return -EINVAL;
    }
    len = strcspn(arg, "=");
    for (size_t i = 0; i < ARRAY_LENGTH(options); i++) {
        const struct option *opt = &options[i];

        if (strlen(opt->name) != len - 2 || strncmp(opt->name, arg + 2, len - 2))
            continue;
        if (arg[len] == '=')
            value = arg + len + 1;
        else if (opt->arg && *at + 1 < argc)
            value = argv[++*at];
        if (!opt->arg != !value) {
            log_error("--%s: %s", opt->name, opt->arg ? "a value is missing" : "takes no value");
            return -EINVAL;
        }
        rc = opt->set(o, value, why);
        if (rc)
            log_error("--%s: %s", opt->name, why);
        return rc;
    }
    log_error("unknown option \"%.*s\" (--help lists them)", (int)len, arg);
    return -EINVAL;
}

static int check_place(const struct backend_options *o, unsigned device)
{
    const struct place *p = &o->devices[device].place;
    char at[PLACE_TEXT_BYTES];
    bool covered = p->kind == PLACE_MMIO || o->devices[device].vhost;

    place_format(p, at);
    for (unsigned i = 0; i < o->bridge_count; i++)
        covered = covered || host_bridge_covers(&o->bridges[i], p->sbdf);
    if (!covered) {
        log_error("--device: %s is on no bus of a --host-bridge", at);
        return -EINVAL;
    }
    for (unsigned i = 0; i < device; i++) {
        if (!place_meets(p, &o->devices[i].place))
            continue;
        log_error("--device: two devices at %s%s", at,
                  place_same(p, &o->devices[i].place) ? "" : "'s irq");
        return -EINVAL;
    }
    return 0;
}

static int check_memory(const struct backend_options *o, unsigned device)
{
    const char *own = o->devices[device].memory;
    const struct gmem_strategy *s = gmem_strategy_find(*own ? own : o->memory);

    if (!s || !s->needs_banks || o->bank_count)
        return 0;
    log_error("--memory: %s needs --guest-memory", s->name);
    return -EINVAL;
}

/* A back-end of vhost-user has no transport, and so nothing to claim. */
static int check_vhost(const struct backend_options *o)
{
    unsigned count = 0;

    for (unsigned i = 0; i < o->device_count; i++)
        count += o->devices[i].vhost != NULL;
    for (unsigned i = 1; i < o->device_count; i++) {
        if (device_spec_is_shared(&o->devices[i]) == device_spec_is_shared(&o->devices[0]))
            continue;
        log_error("--device: with memory=shared on one device all devices have it");
        return -EINVAL;
    }
    if (!count)
        return 0;
    if (count != o->device_count || o->xenstore) {
        log_error("--device: with vhost on one device all devices are such, and none of the store");
        return -EINVAL;
    }
    if (o->bridge_count || o->link || o->link_listen) {
        log_error("--host-bridge, --link: the bridge is that of the process with the transport");
        return -EINVAL;
    }
    return 0;
}

static int check(const struct backend_options *o)
{
    bool shared = o->device_count && device_spec_is_shared(&o->devices[0]);

    if (shared && (o->has_domid || o->announce)) {
        log_error("--domid, --announce: not with memory=shared, which is nobody's on Xen");
        return -EINVAL;
    }
    if (!o->has_domid && !shared) {
        log_error("--domid: required");
        return -EINVAL;
    }
    if (!o->device_count && !o->xenstore) {
        log_error("--device: at least one is required, or --xenstore");
        return -EINVAL;
    }
    if (o->link_listen && (o->link || o->claim != BRIDGE_CLAIM_WINDOW)) {
        log_error("--link-listen: needs --claim window, and bridges of its own");
        return -EINVAL;
    }
    if (o->link && o->port_count) {
        log_error("--root-port: not behind another process's bridge (--link)");
        return -EINVAL;
    }
    for (unsigned i = 0; o->link && i < o->device_count; i++) {
        if (o->devices[i].place.kind == PLACE_PCI)
            continue;
        log_error("--link: only functions can be behind another process's bridge");
        return -EINVAL;
    }
    for (unsigned i = 0; i < o->device_count; i++)
        if (check_place(o, i) || check_memory(o, i))
            return -EINVAL;
    return check_vhost(o);
}

int backend_options_parse(struct backend_options *o, int argc, char **argv)
{
    *o = (struct backend_options){
        .intx_line = BRIDGE_NO_LINE,
        .memory = GMEM_STRATEGY_DEFAULT,
        .wait_ms = 10000,
        .ready_fd = -1,
        .log = LOG_LEVEL_WARN,
    };
    for (int i = 1; i < argc; i++) {
        int rc = parse_one(o, argc, argv, &i);

        if (rc)
            return rc;
        if (o->help || o->version)
            return 0;
    }
    return check(o);
}

void backend_options_fini(struct backend_options *o)
{
    for (unsigned i = 0; i < o->device_count; i++)
        device_spec_fini(&o->devices[i]);
    free(o->devices);
    *o = (struct backend_options){0};
}
