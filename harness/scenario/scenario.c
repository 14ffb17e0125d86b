/* SPDX-License-Identifier: MIT */
#include "scenario/scenario.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario/doc.h"
#include "scenario/units.h"
#include "util/bits.h"
#include "util/parse.h"

#define DEFAULT_TIMEOUT_NS   (120ull * 1000000000)
#define DEFAULT_MEMORY_BYTES (64ull << 20)
#define QUEUE_SIZE_MAX       32768u
#define QUEUES_MAX           64u
#define NET_PAIRS_MAX        31u
#define TRANSFER_STREAMS_MAX 64u
#define VCPUS_MAX            128u
#define LOSE_MAX             1000000u
#define MAPPINGS_MAX         4096u
/* Of one device, and the end of the list. */
#define SCENARIO_DEVICE_KEYS_MAX 32

struct reader {
    const char *path;
    struct scenario *s;
    char *why;
    size_t why_size;
};

/* ---- tables ---- */

static const char *const testbed_names[] = {"sim", "qemu", "xen", NULL};
static const char *const arch_names[] = {"x86", "arm", NULL};
static const char *const topology_names[] = {"ioreq-only", "ioreq-functions",   "ioreq-distributed",
                                             "vhost-user", "hypervisor-bridge", NULL};
static const char *const background_names[] = {"default", "ones", "zeroes", NULL};
static const char *const addressing_names[] = {"grants", "foreign", NULL};
static const char *const buffers_names[] = {"streaming", "pool", NULL};
static const char *const ring_names[] = {"split", "packed", NULL};
static const char *const memory_names[] = {"auto",
                                           "grant-map",
                                           "grant-persistent",
                                           "grant-copy",
                                           "foreign-map",
                                           "foreign-buckets",
                                           "foreign-whole",
                                           "foreign-static",
                                           "shim",
                                           NULL};
static const char *const config_names[] = {"command-line", "xenstore", NULL};
static const char *const transport_names[] = {"pci", "mmio", NULL};
static const char *const start_names[] = {"toolstack", "dom0less", NULL};
static const char *const frontend_names[] = {"domu", "dom0", NULL};
static const char *const backend_names[] = {"dom0", "driver", "outside", NULL};
static const char *const announce_names[] = {"silent", "slot-event", NULL};
static const char *const discovery_names[] = {
    "given",           "device-tree",       "xenstore",
    "boot-parameter",  "vendor-capability", "acpi",
    "device-register", "dummy-function",    "root-complex",
    "machine-type",    "feature-bit",       NULL};
static const char *const device_type_names[] = {"blk", "rng", "console", "net", "iommu", NULL};
static const char *const wire_names[] = {"socket", "tap", NULL};
static const char *const slot_part_names[] = {[SLOT_BUTTON] = "button",
                                              [SLOT_POWER] = "power",
                                              [SLOT_INDICATORS] = "indicators",
                                              [SLOT_COMMANDS] = "commands",
                                              [SLOT_PARTS] = NULL};
static const char *const direction_names[] = {"to-backend", "to-frontend", "both", NULL};
static const char *const backing_names[] = {"image", "null", "path", NULL}; /* from 1 on */
static const char *const runs_in_names[] = {"domu", "dom0", "linux", NULL};
static const char *const set_names[] = {"main", "quick", "sanitized", NULL};
static const char *const when_names[] = {"start", NULL};

static int features_valid(const char *text);

struct axis_desc {
    const char *name;
    const char *const *values; /* NULL: a number or a text */
    uint64_t min, max;
    bool pow2;
    int (*valid)(const char *text); /* texts; 0 or -EINVAL */
    const char *what;
};

static const struct axis_desc axis_table[SCENARIO_AXES] = {
    [AXIS_ARCH] = {.name = "arch", .values = arch_names},
    [AXIS_TOPOLOGY] = {.name = "topology", .values = topology_names},
    [AXIS_BACKGROUND] = {.name = "background", .values = background_names},
    [AXIS_ADDRESSING] = {.name = "addressing", .values = addressing_names},
    [AXIS_BUFFERS] = {.name = "buffers", .values = buffers_names},
    [AXIS_RING] = {.name = "ring", .values = ring_names},
    [AXIS_MEMORY] = {.name = "memory", .values = memory_names},
    [AXIS_QUEUE_SIZE] = {.name = "queue-size", .min = 1, .max = QUEUE_SIZE_MAX, .pow2 = true},
    [AXIS_QUEUES] = {.name = "queues", .min = 1, .max = QUEUES_MAX},
    [AXIS_FEATURES] = {.name = "features",
                       .valid = features_valid,
                       .what = "default, or edits such as -indirect:-flush"},
    [AXIS_CONFIG] = {.name = "config", .values = config_names},
    [AXIS_VCPUS] = {.name = "vcpus", .min = 1, .max = VCPUS_MAX},
    [AXIS_TRANSPORT] = {.name = "transport", .values = transport_names},
    [AXIS_START] = {.name = "start", .values = start_names},
    [AXIS_FRONTEND] = {.name = "frontend", .values = frontend_names},
    [AXIS_BACKEND] = {.name = "backend", .values = backend_names},
    [AXIS_ANNOUNCE] = {.name = "announce", .values = announce_names},
    [AXIS_DISCOVERY] = {.name = "discovery", .values = discovery_names},
};

enum metric_unit { UNIT_NS, UNIT_BYTES, UNIT_COUNT };

static const struct {
    const char *name;
    enum metric_unit unit;
} metric_table[SCENARIO_METRICS] = {
    [METRIC_DURATION] = {"duration", UNIT_NS},    [METRIC_CHECKS] = {"checks", UNIT_COUNT},
    [METRIC_READ] = {"read", UNIT_BYTES},         [METRIC_WRITTEN] = {"written", UNIT_BYTES},
    [METRIC_RESTARTS] = {"restarts", UNIT_COUNT},
};

static const struct {
    const char *key, *object;
    enum scenario_action action;
} action_table[] = {
    {"kill", "backend", ACTION_KILL_BACKEND},       {"stop", "backend", ACTION_STOP_BACKEND},
    {"start", "backend", ACTION_START_BACKEND},     {"restart", "backend", ACTION_RESTART_BACKEND},
    {"upgrade", "backend", ACTION_UPGRADE_BACKEND}, {"pause", "domain", ACTION_PAUSE_DOMAIN},
    {"unpause", "domain", ACTION_UNPAUSE_DOMAIN},   {"pause", "guest", ACTION_PAUSE_GUEST},
    {"unpause", "guest", ACTION_UNPAUSE_GUEST},
};

const char *scenario_testbed_name(enum scenario_testbed t)
{
    return testbed_names[t];
}

const char *scenario_discovery_name(enum scenario_discovery d)
{
    return discovery_names[d];
}

const char *scenario_memory_name(enum scenario_memory m)
{
    return memory_names[m];
}

bool scenario_memory_mixes(enum scenario_memory m)
{
    return m == MEMORY_AUTO || m == MEMORY_SHIM;
}

const char *scenario_slot_part_name(enum scenario_slot_part p)
{
    return slot_part_names[p];
}

bool scenario_discovery_is_boot_data(enum scenario_discovery d)
{
    return d == DISCOVERY_DEVICE_TREE || d == DISCOVERY_BOOT_PARAMETER || d == DISCOVERY_ACPI ||
           d == DISCOVERY_MACHINE_TYPE;
}

const char *scenario_device_type_name(enum scenario_device_type t)
{
    return device_type_names[t];
}

const char *scenario_axis_name(enum scenario_axis a)
{
    return axis_table[a].name;
}

bool scenario_kills_backend(const struct scenario *s)
{
    for (unsigned i = 0; i < s->timeline_count; i++)
        if (s->timeline[i].action == ACTION_KILL_BACKEND ||
            s->timeline[i].action == ACTION_RESTART_BACKEND ||
            s->timeline[i].action == ACTION_UPGRADE_BACKEND)
            return true;
    return false;
}

const char *scenario_run_result(enum scenario_run run)
{
    static const char *const names[SCENARIO_RUNS] = {[RUN_FIO] = "fio.verify",
                                                     [RUN_IPERF3] = "iperf3.verify",
                                                     [RUN_TRANSFER] = "transfer.verify"};

    return names[run];
}

const char *scenario_metric_name(enum scenario_metric m)
{
    return metric_table[m].name;
}

/* ---- reading ---- */

static int refuse(struct reader *r, unsigned line, unsigned column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(struct reader *r, unsigned line, unsigned column, const char *fmt, ...)
{
    va_list ap;
    int n = snprintf(r->why, r->why_size, "%s:%u:%u: ", r->path, line, column);

    if (n >= 0 && (size_t)n < r->why_size) {
        va_start(ap, fmt);
        vsnprintf(r->why + n, r->why_size - (size_t)n, fmt, ap);
        va_end(ap);
    }
    return -EINVAL;
}

#define refuse_at(r, n, ...) refuse(r, (n)->line, (n)->column, __VA_ARGS__)

static int no_memory(struct reader *r)
{
    snprintf(r->why, r->why_size, "%s: out of memory", r->path);
    return -ENOMEM;
}

static void join_names(const char *const *names, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = 0;
    for (; *names && used < size; names++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "", *names);
}

static int check_keys(struct reader *r, const struct doc_node *map, const char *const *known)
{
    char all[512];

    for (const struct doc_node *n = map->first; n; n = n->next) {
        const char *const *k = known;
        while (*k && strcmp(*k, n->key))
            k++;
        if (*k)
            continue;
        join_names(known, all, sizeof(all));
        return refuse(r, n->key_line, n->key_column, "unknown key '%.64s' (known here: %s)", n->key,
                      all);
    }
    return 0;
}

static int want_kind(struct reader *r, const struct doc_node *n, enum doc_kind kind,
                     const char *what)
{
    if (n->kind == kind)
        return 0;
    return refuse_at(r, n, "%s has to be %s, not %s", what, doc_kind_name(kind),
                     doc_kind_name(n->kind));
}

static int read_text(struct reader *r, const struct doc_node *n, const char *what, char **out)
{
    int ret = want_kind(r, n, DOC_SCALAR, what);

    if (ret)
        return ret;
    if (!n->text[0])
        return refuse_at(r, n, "%s is empty", what);
    *out = strdup(n->text);
    return *out ? 0 : no_memory(r);
}

static int read_bool(struct reader *r, const struct doc_node *n, const char *what, bool *out)
{
    int ret = want_kind(r, n, DOC_SCALAR, what);

    if (ret)
        return ret;
    if (!n->quoted && !strcmp(n->text, "true"))
        *out = true;
    else if (!n->quoted && !strcmp(n->text, "false"))
        *out = false;
    else
        return refuse_at(r, n, "%s has to be true or false, not '%.64s'", what, n->text);
    return 0;
}

static int read_number(struct reader *r, const struct doc_node *n, const char *what,
                       int (*parse)(const char *, uint64_t *), const char *example, uint64_t min,
                       uint64_t max, uint64_t *out)
{
    char least[32], most[32];
    int ret = want_kind(r, n, DOC_SCALAR, what);

    if (ret)
        return ret;
    ret = n->quoted ? -EINVAL : parse(n->text, out);
    if (ret == -EINVAL)
        return refuse_at(r, n, "%s has to be %s, not '%.64s'", what, example, n->text);
    if (!ret && *out >= min && *out <= max)
        return 0;
    if (parse == units_parse_bytes) {
        units_format_bytes(min, least, sizeof(least));
        units_format_bytes(max, most, sizeof(most));
    } else if (parse == units_parse_ns) {
        units_format_ns(min, least, sizeof(least));
        units_format_ns(max, most, sizeof(most));
    } else {
        snprintf(least, sizeof(least), "%" PRIu64, min);
        snprintf(most, sizeof(most), "%" PRIu64, max);
    }
    return refuse_at(r, n, "%s is out of range: '%.64s' is not within %s to %s", what, n->text,
                     least, most);
}

static int read_count(struct reader *r, const struct doc_node *n, const char *what, uint64_t min,
                      uint64_t max, uint32_t *out)
{
    uint64_t v = 0;
    int ret = read_number(r, n, what, units_parse_count, "a whole number", min, max, &v);

    *out = (uint32_t)v;
    return ret;
}

static int read_name(struct reader *r, const struct doc_node *n, const char *what,
                     const char *const *names, unsigned *out)
{
    char all[256];
    int ret = want_kind(r, n, DOC_SCALAR, what);

    if (ret)
        return ret;
    for (unsigned i = 0; names[i]; i++)
        if (!strcmp(names[i], n->text)) {
            *out = i;
            return 0;
        }
    join_names(names, all, sizeof(all));
    return refuse_at(r, n, "unknown %s '%.64s' (known: %s)", what, n->text, all);
}

static int read_names_as_mask(struct reader *r, const struct doc_node *n, const char *what,
                              const char *const *names, unsigned *mask)
{
    int ret = want_kind(r, n, DOC_LIST, what);

    if (!ret && !n->first)
        ret = refuse_at(r, n, "%s is empty", what);
    for (const struct doc_node *c = n->first; !ret && c; c = c->next) {
        unsigned v = 0;
        ret = read_name(r, c, what, names, &v);
        if (!ret && *mask & 1u << v)
            ret = refuse_at(r, c, "'%s' is listed twice", c->text);
        if (!ret)
            *mask |= 1u << v;
    }
    return ret;
}

/* A list of texts, or a single one. Repeated entries are refused. */
static int read_texts(struct reader *r, const struct doc_node *n, const char *what, char ***out,
                      unsigned *count)
{
    const struct doc_node *first = n->kind == DOC_LIST ? n->first : n;
    const struct doc_node *end = n->kind == DOC_LIST ? NULL : n->next;
    unsigned total = n->kind == DOC_LIST ? doc_count(n) : 1;
    int ret;

    if (n->kind == DOC_MAP)
        return refuse_at(r, n, "%s has to be a list, not a map", what);
    if (!total)
        return refuse_at(r, n, "%s is empty", what);
    if (total > SCENARIO_LIST_MAX)
        return refuse_at(r, n, "%s has %u entries, at most %u are allowed", what, total,
                         SCENARIO_LIST_MAX);
    *out = calloc(total, sizeof(**out));
    if (!*out)
        return no_memory(r);
    for (const struct doc_node *c = first; c != end; c = c->next) {
        ret = read_text(r, c, what, &(*out)[*count]);
        if (ret)
            return ret;
        unsigned index = (*count)++; /* the scenario owns the text from here, also on an error */
        for (unsigned i = 0; i < index; i++)
            if (!strcmp((*out)[i], c->text))
                return refuse_at(r, c, "'%.64s' is listed twice", c->text);
    }
    return 0;
}

/* Lower-case words with digits, '-' and '_': usable in a file name and on a command line. */
static int name_valid(const char *text)
{
    if (!islower((unsigned char)text[0]) || strlen(text) > 64)
        return -EINVAL;
    for (const char *c = text; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '-' && *c != '_')
            return -EINVAL;
    return 0;
}

static int pattern_valid(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && !strchr("_.*?", *c))
            return -EINVAL;
    return strlen(text) < 128 ? 0 : -EINVAL;
}

/* "default", or edits "-name" and "+name" with ':' between them, as the backend takes them. */
static int features_valid(const char *text)
{
    const char *c = text;

    if (!strcmp(text, "default"))
        return 0;
    if (strlen(text) > 200)
        return -EINVAL;
    for (;; c++) {
        if (*c != '-' && *c != '+')
            return -EINVAL;
        c++;
        if (!islower((unsigned char)*c))
            return -EINVAL;
        while (islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-')
            c++;
        if (*c != ':')
            return *c ? -EINVAL : 0;
    }
}

static bool sbdf_valid(const char *text)
{
    unsigned seg, bus, dev, fn;
    int used = 0;

    if (strlen(text) != 12 || strspn(text, "0123456789abcdef:.") != 12)
        return false;
    return sscanf(text, "%4x:%2x:%2x.%1x%n", &seg, &bus, &dev, &fn, &used) == 4 && used == 12 &&
           dev < 32 && fn < 8;
}

/* Which keys a device of each type takes, beside those that every device has. */
static const char *const device_keys[] = {"type",    "sbdf",       "queue-size", "features",
                                          "backend", "slot-lacks", NULL};
/* A key of every device but the IOMMU itself. */
static const char *const endpoint_key = "endpoint";
static const char *const *const device_type_keys[] = {
    [DEVICE_BLK] = (const char *const[]){"backing", "path", "size", "fill", "ro", "queues",
                                         "serial", "zone-size", "zone-append", "hold", NULL},
    [DEVICE_RNG] = (const char *const[]){"path", "rate", NULL},
    [DEVICE_CONSOLE] = (const char *const[]){"ports", "max-ports", "cols", "rows", NULL},
    [DEVICE_NET] = (const char *const[]){"wire", "queues", "mac", "mtu", NULL},
    [DEVICE_IOMMU] = (const char *const[]){NULL},
};

static bool takes_key(enum scenario_device_type type, const char *key)
{
    for (const char *const *k = device_type_keys[type]; *k; k++)
        if (!strcmp(*k, key))
            return true;
    return false;
}

static int check_device_keys(struct reader *r, const struct doc_node *n,
                             enum scenario_device_type type)
{
    const char *known[SCENARIO_DEVICE_KEYS_MAX];
    unsigned count = 0;

    for (const char *const *k = device_keys; *k; k++)
        known[count++] = *k;
    for (const char *const *k = device_type_keys[type]; *k; k++)
        known[count++] = *k;
    if (type != DEVICE_IOMMU)
        known[count++] = endpoint_key;
    known[count] = NULL;
    return check_keys(r, n, known);
}

static int read_device_path(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct doc_node *c = doc_get(n, "path");
    int ret;

    if (!c)
        return 0;
    ret = read_text(r, c, "path", &d->path);
    if (!ret && strchr(d->path, ','))
        ret = refuse_at(r, c, "a path with a comma cannot be given to the backend");
    return ret;
}

static int read_zone_bytes(struct reader *r, const struct doc_node *n, const char *key,
                           uint32_t *out)
{
    const struct doc_node *c = doc_get(n, key);
    uint64_t v = 0;
    int ret =
        c ? read_number(r, c, key, units_parse_bytes, "a size such as 1MiB", 512, 1u << 30, &v) : 0;

    if (!ret && v % 512)
        return refuse_at(r, c, "%s is not a multiple of 512 bytes", key);
    *out = (uint32_t)v;
    return ret;
}

static int read_zones(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    int ret = read_zone_bytes(r, n, "zone-size", &d->zone_bytes);

    if (!ret)
        ret = read_zone_bytes(r, n, "zone-append", &d->zone_append_bytes);
    if (!ret && d->zone_bytes && d->size_bytes % d->zone_bytes)
        return refuse_at(r, doc_get(n, "zone-size"), "size is no whole number of zones");
    if (!ret && d->zone_append_bytes && !d->zone_bytes)
        return refuse_at(r, doc_get(n, "zone-append"), "zone-append needs zone-size");
    return ret;
}

static int read_blk(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct doc_node *c;
    unsigned v = 0;
    int ret = read_device_path(r, n, d);

    if (ret)
        return ret;
    d->backing = d->path ? BACKING_PATH : BACKING_IMAGE;
    c = doc_get(n, "backing");
    if (c) {
        ret = read_name(r, c, "backing", backing_names, &v);
        if (ret)
            return ret;
        d->backing = (enum scenario_backing)(v + 1);
        if ((d->backing == BACKING_PATH) != (d->path != NULL))
            return refuse_at(r, c,
                             d->path ? "a device with a path has no other backing"
                                     : "backing: path needs the key path");
    }

    c = doc_get(n, "size");
    if (c && d->path)
        return refuse_at(r, c, "the size of a device with a path is its file's");
    if (!c && !d->path)
        return refuse_at(r, n, "a device needs a size");
    if (c) {
        ret = read_number(r, c, "size", units_parse_bytes, "a size such as 64MiB", 0, 1ull << 50,
                          &d->size_bytes);
        if (ret)
            return ret;
        if (d->size_bytes % 512)
            return refuse_at(r, c, "size is not a multiple of 512 bytes");
    }
    c = doc_get(n, "fill");
    if (c) {
        ret = read_bool(r, c, "fill", &d->filled);
        if (ret)
            return ret;
        if (d->filled && d->backing != BACKING_IMAGE)
            return refuse_at(r, c, "only an image can be filled");
        if (d->filled && d->size_bytes > (256u << 20))
            return refuse_at(r, c, "an image of more than 256MiB is not filled");
    }
    c = doc_get(n, "ro");
    ret = c ? read_bool(r, c, "ro", &d->ro) : 0;
    c = doc_get(n, "queues");
    if (!ret && c)
        ret = read_count(r, c, "queues", 1, QUEUES_MAX, &d->queues);
    c = doc_get(n, "serial");
    if (!ret && c) {
        ret = read_text(r, c, "serial", &d->serial);
        if (!ret && (strlen(d->serial) > 20 || strpbrk(d->serial, ", ")))
            ret = refuse_at(r, c, "a serial has at most 20 characters, no comma and no blank");
    }
    c = doc_get(n, "hold");
    if (!ret && c)
        ret = read_bool(r, c, "hold", &d->holds);
    if (!ret && d->holds && d->backing != BACKING_IMAGE)
        ret = refuse_at(r, c, "only an image can hold requests back");
    return ret ? ret : read_zones(r, n, d);
}

static int read_rng(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct doc_node *c = doc_get(n, "rate");
    int ret = read_device_path(r, n, d);

    d->backing = d->path ? BACKING_PATH : BACKING_NONE;
    if (!ret && c)
        ret = read_count(r, c, "rate", 1, UINT32_MAX, &d->rate_bytes_per_s);
    return ret;
}

static int read_console(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct doc_node *c = doc_get(n, "ports");
    int ret = 0;

    d->ports = 1;
    if (c)
        ret = read_count(r, c, "ports", 1, SCENARIO_PORTS_MAX, &d->ports);
    c = doc_get(n, "max-ports");
    if (!ret && c)
        ret = read_count(r, c, "max-ports", d->ports, SCENARIO_PORTS_MAX, &d->ports_max);
    c = doc_get(n, "cols");
    if (!ret && c)
        ret = read_count(r, c, "cols", 1, UINT16_MAX, &d->cols);
    c = doc_get(n, "rows");
    if (!ret && c)
        ret = read_count(r, c, "rows", 1, UINT16_MAX, &d->rows);
    if (!ret && !d->cols != !d->rows)
        ret = refuse_at(r, n, "cols and rows go together");
    return ret;
}

static bool mac_valid(const char *text)
{
    for (unsigned i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
            return false;
    return !text[17];
}

static int read_net(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct doc_node *c = doc_get(n, "wire");
    unsigned v = WIRE_SOCKET;
    int ret = c ? read_name(r, c, "wire", wire_names, &v) : 0;

    d->wire = (enum scenario_wire)v;
    c = doc_get(n, "queues");
    if (!ret && c)
        ret = read_count(r, c, "queues", 1, NET_PAIRS_MAX, &d->queues);
    c = doc_get(n, "mac");
    if (!ret && c) {
        ret = read_text(r, c, "mac", &d->mac);
        if (!ret && !mac_valid(d->mac))
            ret = refuse_at(r, c, "'%.64s' is no address like 02:00:00:00:00:01", d->mac);
    }
    c = doc_get(n, "mtu");
    if (!ret && c)
        ret = read_count(r, c, "mtu", 68, 65535, &d->mtu);
    return ret;
}

static int read_endpoint(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct scenario *s = r->s;
    int ret = read_count(r, n, endpoint_key, 0, UINT32_MAX, &d->endpoint);

    for (unsigned i = 0; !ret && i + 1 < s->device_count; i++)
        if (s->devices[i].has_endpoint && s->devices[i].endpoint == d->endpoint)
            return refuse_at(r, n, "there is an endpoint %u already", d->endpoint);
    d->has_endpoint = ret == 0;
    return ret;
}

static int read_device_backend(struct reader *r, const struct doc_node *n,
                               struct scenario_device *d)
{
    const struct scenario *s = r->s;
    int ret = want_kind(r, n, DOC_SCALAR, "backend");

    for (unsigned i = 1; !ret && i <= s->backend_count; i++)
        if (!strcmp(s->backends[i].name, n->text))
            d->backend = i;
    if (!ret && !d->backend)
        return refuse_at(r, n, "'%.64s' is none of the scenario's backends", n->text);
    return ret;
}

static int read_backend(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"name", "domain", "start", NULL};
    static const char *const domains[] = {"dom0", "driver", NULL};
    static const char *const starts[] = {"first", "late", NULL};
    struct scenario *s = r->s;
    unsigned domain = BACKEND_DRIVER, late = 0;
    int ret = want_kind(r, n, DOC_MAP, "a backend");

    if (!ret)
        ret = check_keys(r, n, known);
    if (ret)
        return ret;
    if (s->backend_count == SCENARIO_BACKENDS_MAX - 1)
        return refuse_at(r, n, "more than %u backends", SCENARIO_BACKENDS_MAX);
    const struct doc_node *name = doc_get(n, "name"), *c = doc_get(n, "domain");
    if (!name)
        return refuse_at(r, n, "a backend needs a name");
    struct scenario_other *b = &s->backends[s->backend_count + 1];
    ret = read_text(r, name, "name", &b->name);
    if (ret)
        return ret;
    s->backend_count++;
    if (name_valid(b->name) || !strcmp(b->name, "backend"))
        return refuse_at(r, name, "'%.64s' is no name of a backend (lower case, not 'backend')",
                         b->name);
    for (unsigned i = 1; i < s->backend_count; i++)
        if (!strcmp(s->backends[i].name, b->name))
            return refuse_at(r, name, "there is a backend of this name already");
    if (c)
        ret = read_name(r, c, "domain", domains, &domain);
    c = doc_get(n, "start");
    if (!ret && c)
        ret = read_name(r, c, "start", starts, &late);
    b->domain = (enum scenario_backend)domain;
    b->late = late != 0;
    return ret;
}

static int read_backends(struct reader *r, const struct doc_node *n)
{
    int ret = want_kind(r, n, DOC_LIST, "backends");

    for (const struct doc_node *c = n->first; !ret && c; c = c->next)
        ret = read_backend(r, c);
    return ret;
}

/* "0-15" */
static int read_buses(struct reader *r, const struct doc_node *n, struct scenario_bridge *b)
{
    uint64_t first = 0, last = 0;
    int ret = want_kind(r, n, DOC_SCALAR, "buses");

    if (ret)
        return ret;
    if (parse_interval(n->text, UINT8_MAX, &first, &last))
        return refuse_at(r, n, "'%.64s' is no range of buses like 0-15", n->text);
    b->bus_first = (uint8_t)first;
    b->bus_last = (uint8_t)last;
    return 0;
}

static int read_bridge_backend(struct reader *r, const struct doc_node *n,
                               struct scenario_bridge *b)
{
    const struct scenario *s = r->s;
    int ret = want_kind(r, n, DOC_SCALAR, "backend");

    for (unsigned i = 1; !ret && i <= s->backend_count; i++)
        if (!strcmp(s->backends[i].name, n->text))
            b->backend = i;
    if (!ret && !b->backend)
        return refuse_at(r, n, "'%.64s' is none of the scenario's backends", n->text);
    return ret;
}

static int read_bridge(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"segment", "buses", "backend", NULL};
    struct scenario *s = r->s;
    struct scenario_bridge b = {0};
    uint32_t segment = 0;
    int ret = want_kind(r, n, DOC_MAP, "a host bridge");

    if (!ret)
        ret = check_keys(r, n, known);
    if (ret)
        return ret;
    if (s->bridge_count == SCENARIO_BRIDGES_MAX)
        return refuse_at(r, n, "more than %u host bridges", SCENARIO_BRIDGES_MAX);
    const struct doc_node *c = doc_get(n, "segment");
    if (c)
        ret = read_count(r, c, "segment", 0, UINT16_MAX, &segment);
    b.segment = (uint16_t)segment;
    c = doc_get(n, "buses");
    if (!ret && !c)
        return refuse_at(r, n, "a host bridge needs buses");
    if (!ret)
        ret = read_buses(r, c, &b);
    c = doc_get(n, "backend");
    if (!ret && c)
        ret = read_bridge_backend(r, c, &b);
    for (unsigned i = 0; !ret && i < s->bridge_count; i++) {
        const struct scenario_bridge *o = &s->bridges[i];
        if (o->segment == b.segment && o->bus_first <= b.bus_last && b.bus_first <= o->bus_last)
            ret = refuse_at(r, n, "another host bridge has one of these buses");
    }
    if (!ret)
        s->bridges[s->bridge_count++] = b;
    return ret;
}

static int read_bridges(struct reader *r, const struct doc_node *n)
{
    const struct scenario *s = r->s;
    unsigned buses = 0;
    int ret = want_kind(r, n, DOC_LIST, "host-bridges");

    for (const struct doc_node *c = n->first; !ret && c; c = c->next)
        ret = read_bridge(r, c);
    for (unsigned i = 0; i < s->bridge_count; i++)
        buses += s->bridges[i].bus_last - s->bridges[i].bus_first + 1u;
    if (!ret && buses > SCENARIO_BUSES_MAX)
        ret = refuse_at(r, n, "more than %u buses in all", SCENARIO_BUSES_MAX);
    return ret;
}

static int read_device(struct reader *r, const struct doc_node *n)
{
    static int (*const of_type[])(struct reader *, const struct doc_node *,
                                  struct scenario_device *) = {
        [DEVICE_BLK] = read_blk, [DEVICE_RNG] = read_rng, [DEVICE_CONSOLE] = read_console,
        [DEVICE_NET] = read_net, [DEVICE_IOMMU] = NULL,
    };
    struct scenario *s = r->s;
    const struct doc_node *c;
    unsigned v;
    int ret;

    if (s->device_count == SCENARIO_DEVICES_MAX)
        return refuse_at(r, n, "more than %u devices", SCENARIO_DEVICES_MAX);
    struct scenario_device *d = &s->devices[s->device_count++];
    ret = want_kind(r, n, DOC_MAP, "a device");
    if (ret)
        return ret;

    c = doc_get(n, "type");
    if (!c)
        return refuse_at(r, n, "a device needs a type");
    ret = read_name(r, c, "device type", device_type_names, &v);
    if (ret)
        return ret;
    d->type = (enum scenario_device_type)v;
    ret = check_device_keys(r, n, d->type);
    if (ret)
        return ret;

    c = doc_get(n, "sbdf");
    ret = c ? read_text(r, c, "sbdf", &d->sbdf) : 0;
    if (ret)
        return ret;
    if (c && !sbdf_valid(d->sbdf))
        return refuse_at(r, c, "'%.64s' is no sbdf like 0000:00:01.0", d->sbdf);
    for (unsigned i = 0; c && i + 1 < s->device_count; i++)
        if (s->devices[i].sbdf && !strcmp(s->devices[i].sbdf, d->sbdf))
            return refuse_at(r, c, "there is a device at %s already", d->sbdf);

    ret = of_type[d->type] ? of_type[d->type](r, n, d) : 0;
    c = doc_get(n, "backend");
    if (!ret && c)
        ret = read_device_backend(r, c, d);
    c = doc_get(n, endpoint_key);
    if (!ret && c)
        ret = read_endpoint(r, c, d);
    c = doc_get(n, "slot-lacks");
    if (!ret && c)
        ret = read_names_as_mask(r, c, "slot-lacks", slot_part_names, &d->slot_lacks);
    c = doc_get(n, "queue-size");
    if (!ret && c)
        ret = read_count(r, c, "queue-size", 1, QUEUE_SIZE_MAX, &d->queue_size);
    if (!ret && c && !is_pow2(d->queue_size))
        ret = refuse_at(r, c, "queue-size has to be a power of two (VIRTIO 2.7)");
    c = doc_get(n, "features");
    if (!ret && c) {
        ret = read_text(r, c, "features", &d->features);
        if (!ret && features_valid(d->features))
            ret = refuse_at(r, c, "features has to be %s, not '%.64s'",
                            axis_table[AXIS_FEATURES].what, d->features);
    }
    return ret;
}

static int read_devices(struct reader *r, const struct doc_node *n)
{
    if (n->kind != DOC_LIST)
        return read_device(r, n);
    for (const struct doc_node *c = n->first; c; c = c->next) {
        int ret = read_device(r, c);
        if (ret)
            return ret;
    }
    return 0;
}

static int check_axis_value(struct reader *r, const struct doc_node *n, enum scenario_axis axis)
{
    const struct axis_desc *a = &axis_table[axis];
    uint64_t v;
    unsigned index;
    int ret;

    if (a->values)
        return read_name(r, n, a->name, a->values, &index);
    if (a->valid) {
        ret = want_kind(r, n, DOC_SCALAR, a->name);
        if (!ret && a->valid(n->text))
            ret = refuse_at(r, n, "%s has to be %s, not '%.64s'", a->name, a->what, n->text);
        return ret;
    }
    ret = read_number(r, n, a->name, units_parse_count, "a whole number", a->min, a->max, &v);
    if (!ret && a->pow2 && !is_pow2(v))
        ret = refuse_at(r, n, "%s has to be a power of two", a->name);
    return ret;
}

static int read_matrix(struct reader *r, const struct doc_node *n)
{
    struct scenario *s = r->s;
    uint64_t cells = 1;
    int ret = want_kind(r, n, DOC_MAP, "matrix");

    if (ret)
        return ret;
    for (const struct doc_node *c = n->first; c; c = c->next) {
        char all[512];
        const char *names[SCENARIO_AXES + 1] = {0};
        unsigned axis = 0;
        while (axis < SCENARIO_AXES && strcmp(axis_table[axis].name, c->key))
            axis++;
        if (axis == SCENARIO_AXES) {
            for (unsigned i = 0; i < SCENARIO_AXES; i++)
                names[i] = axis_table[i].name;
            join_names(names, all, sizeof(all));
            return refuse(r, c->key_line, c->key_column, "unknown axis '%.64s' (known: %s)", c->key,
                          all);
        }
        ret = want_kind(r, c, DOC_LIST, "an axis");
        for (const struct doc_node *v = c->first; !ret && v; v = v->next)
            ret = check_axis_value(r, v, (enum scenario_axis)axis);
        if (!ret)
            ret = read_texts(r, c, axis_table[axis].name, &s->axis_values[axis],
                             &s->axis_count[axis]);
        if (ret)
            return ret;
        s->axis_order[s->axes++] = (enum scenario_axis)axis;
        cells *= s->axis_count[axis];
        if (cells > SCENARIO_CELLS_MAX)
            return refuse_at(r, n, "the matrix has more than %u cells", SCENARIO_CELLS_MAX);
    }
    return 0;
}

static int resolve_path(struct reader *r, const char *text, char **out)
{
    const char *slash = strrchr(r->path, '/');
    int n;

    if (text[0] == '/' || !slash)
        n = asprintf(out, "%s", text);
    else
        n = asprintf(out, "%.*s/%s", (int)(slash - r->path), r->path, text);
    if (n < 0) {
        *out = NULL;
        return no_memory(r);
    }
    return 0;
}

static int read_fio_of(struct reader *r, const struct doc_node *fio, struct scenario_fio *f)
{
    static const char *const known[] = {"job", "options", NULL};
    int ret = check_keys(r, fio, known);

    if (ret)
        return ret;
    const struct doc_node *job = doc_get(fio, "job");
    if (!job)
        return refuse_at(r, fio, "fio needs a job file");
    ret = want_kind(r, job, DOC_SCALAR, "job");
    if (!ret && !job->text[0])
        ret = refuse_at(r, job, "job is empty");
    if (!ret)
        ret = resolve_path(r, job->text, &f->job);
    const struct doc_node *options = doc_get(fio, "options");
    if (!ret && options)
        ret = read_texts(r, options, "options", &f->options, &f->option_count);
    return ret;
}

static int read_fio(struct reader *r, const struct doc_node *n)
{
    return read_fio_of(r, n, &r->s->fio);
}

static int read_neighbour(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"fio", NULL};
    int ret = want_kind(r, n, DOC_MAP, "neighbour");
    const struct doc_node *fio;

    if (!ret)
        ret = check_keys(r, n, known);
    if (ret)
        return ret;
    fio = doc_get(n, "fio");
    if (!fio)
        return refuse_at(r, n, "a neighbour needs fio");
    ret = want_kind(r, fio, DOC_MAP, "fio");
    return ret ? ret : read_fio_of(r, fio, &r->s->neighbour);
}

static int read_iperf3(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"options", NULL};
    struct scenario_iperf3 *f = &r->s->iperf3;
    int ret = check_keys(r, n, known);
    const struct doc_node *options = doc_get(n, "options");

    if (!ret && options)
        ret = read_texts(r, options, "options", &f->options, &f->option_count);
    return ret;
}

static int read_transfer(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"bytes", "streams", "direction", NULL};
    struct scenario_transfer *f = &r->s->transfer;
    const struct doc_node *c;
    unsigned v = DIRECTION_BOTH;
    int ret = check_keys(r, n, known);

    if (ret)
        return ret;
    c = doc_get(n, "bytes");
    if (!c)
        return refuse_at(r, n, "a transfer needs bytes");
    ret = read_number(r, c, "bytes", units_parse_bytes, "a size such as 1GiB", 1, 1ull << 50,
                      &f->bytes);
    f->streams = 1;
    c = doc_get(n, "streams");
    if (!ret && c)
        ret = read_count(r, c, "streams", 1, TRANSFER_STREAMS_MAX, &f->streams);
    c = doc_get(n, "direction");
    if (!ret && c)
        ret = read_name(r, c, "direction", direction_names, &v);
    f->direction = (enum scenario_direction)v;
    return ret;
}

static int read_run(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"fio", "iperf3", "transfer", NULL};
    static int (*const of_run[])(struct reader *, const struct doc_node *) = {read_fio, read_iperf3,
                                                                              read_transfer};
    int ret = want_kind(r, n, DOC_MAP, "run");

    if (!ret)
        ret = check_keys(r, n, known);
    if (ret)
        return ret;
    for (unsigned i = 0; known[i]; i++) {
        const struct doc_node *c = doc_get(n, known[i]);
        if (!c)
            continue;
        if (r->s->run != RUN_CHECKS)
            return refuse(r, c->key_line, c->key_column, "a scenario runs one thing");
        ret = want_kind(r, c, DOC_MAP, known[i]);
        if (!ret)
            ret = of_run[i](r, c);
        if (ret)
            return ret;
        r->s->run = (enum scenario_run)(RUN_FIO + i);
    }
    return r->s->run == RUN_CHECKS ? refuse_at(r, n, "run is empty") : 0;
}

/* An action on one of several: a backend by its name, a device by its place. */
static bool step_object(const struct scenario *s, const struct doc_node *what,
                        struct scenario_step *step)
{
    static const struct {
        const char *key;
        enum scenario_action action;
    } of_device[] = {{"attach", ACTION_ATTACH_DEVICE}, {"detach", ACTION_DETACH_DEVICE}};

    if (what->kind != DOC_SCALAR)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(of_device); i++) {
        if (strcmp(of_device[i].key, what->key))
            continue;
        step->action = of_device[i].action;
        for (step->object = 0; step->object < s->device_count; step->object++)
            if (s->devices[step->object].sbdf && !strcmp(s->devices[step->object].sbdf, what->text))
                return true;
        return false;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(action_table); i++) {
        if (strcmp(action_table[i].key, what->key) || strcmp(action_table[i].object, "backend"))
            continue;
        step->action = action_table[i].action;
        for (step->object = 1; step->object <= s->backend_count; step->object++)
            if (!strcmp(s->backends[step->object].name, what->text))
                return true;
    }
    step->object = 0;
    return false;
}

static int read_step(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {
        "at",      "after",  "after-accesses", "within-accesses", "config-read-of-bus",
        "times",   "kill",   "stop",           "start",           "restart",
        "upgrade", "attach", "detach",         "pause",           "unpause",
        NULL};
    struct scenario *s = r->s;
    const struct doc_node *when = NULL, *what = NULL;
    struct scenario_step step = {.line = n->line, .times = 1};
    uint64_t times = 1;
    unsigned v;
    int ret = want_kind(r, n, DOC_MAP, "a step of the timeline");

    if (!ret)
        ret = check_keys(r, n, known);
    if (ret)
        return ret;
    if (s->timeline_count == SCENARIO_TIMELINE_MAX)
        return refuse_at(r, n, "more than %u steps", SCENARIO_TIMELINE_MAX);

    for (const struct doc_node *c = n->first; c; c = c->next) {
        bool is_when = !strcmp(c->key, "at") || !strncmp(c->key, "after", 5) ||
                       !strcmp(c->key, "within-accesses") || !strcmp(c->key, "config-read-of-bus");
        if (!strcmp(c->key, "times")) {
            ret = read_number(r, c, "times", units_parse_count, "a whole number", 1,
                              SCENARIO_TIMES_MAX, &times);
            if (ret)
                return ret;
            continue;
        }
        const struct doc_node **slot = is_when ? &when : &what;
        if (*slot)
            return refuse(r, c->key_line, c->key_column, "a step has one time and one action");
        *slot = c;
    }
    if (!when || !what)
        return refuse_at(r, n, "a step needs a time (at, after, after-accesses) and an action");

    if (!strcmp(when->key, "at")) {
        step.when = WHEN_START;
        ret = read_name(r, when, "time", when_names, &v);
        if (!ret && s->timeline_count)
            ret = refuse_at(r, when, "only the first step can be at the start");
    } else if (!strcmp(when->key, "after")) {
        step.when = WHEN_AFTER;
        ret = read_number(r, when, "after", units_parse_ns, "a time such as 200ms", 0,
                          3600ull * 1000000000, &step.amount);
    } else if (!strcmp(when->key, "config-read-of-bus")) {
        step.when = WHEN_CONFIG_READ;
        ret = read_number(r, when, when->key, units_parse_count, "a whole number", 0, 255,
                          &step.amount);
    } else {
        step.when = !strcmp(when->key, "within-accesses") ? WHEN_WITHIN : WHEN_ACCESSES;
        ret = read_number(r, when, when->key, units_parse_count, "a whole number", 1, 1ull << 40,
                          &step.amount);
    }
    if (ret)
        return ret;

    step.times = (unsigned)times;
    if (step_object(s, what, &step)) {
        s->timeline[s->timeline_count++] = step;
        return 0;
    }

    const char *objects[ARRAY_LENGTH(action_table) + 1] = {NULL};
    enum scenario_action actions[ARRAY_LENGTH(action_table)];
    unsigned count = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(action_table); i++) {
        if (strcmp(action_table[i].key, what->key))
            continue;
        actions[count] = action_table[i].action;
        objects[count++] = action_table[i].object;
    }
    if (!count) /* attach, detach */
        return refuse_at(r, what, "'%.64s' is the place of no device", what->text);
    ret = read_name(r, what, "object", objects, &v);
    if (ret)
        return ret;
    step.object = 0;
    step.action = actions[v];
    s->timeline[s->timeline_count++] = step;
    return 0;
}

static int read_timeline(struct reader *r, const struct doc_node *n)
{
    int ret = want_kind(r, n, DOC_LIST, "timeline");

    for (const struct doc_node *c = n->first; !ret && c; c = c->next)
        ret = read_step(r, c);
    return ret;
}

static int read_expect(struct reader *r, const struct doc_node *n)
{
    struct scenario *s = r->s;
    int ret = want_kind(r, n, DOC_MAP, "expect");

    if (ret)
        return ret;
    for (const struct doc_node *c = n->first; c; c = c->next) {
        const char *names[SCENARIO_METRICS + 1] = {0};
        char all[256];
        unsigned m = 0;
        while (m < SCENARIO_METRICS && strcmp(metric_table[m].name, c->key))
            m++;
        if (m == SCENARIO_METRICS) {
            for (unsigned i = 0; i < SCENARIO_METRICS; i++)
                names[i] = metric_table[i].name;
            join_names(names, all, sizeof(all));
            return refuse(r, c->key_line, c->key_column, "unknown metric '%.64s' (known: %s)",
                          c->key, all);
        }
        ret = want_kind(r, c, DOC_SCALAR, "an expectation");
        if (ret)
            return ret;

        struct scenario_expect *e = &s->expect[s->expect_count];
        const char *t = c->text;
        e->metric = (enum scenario_metric)m;
        e->line = c->line;
        if (!strncmp(t, ">=", 2))
            e->relation = REL_AT_LEAST;
        else if (!strncmp(t, "<=", 2))
            e->relation = REL_AT_MOST;
        else if (!strncmp(t, "==", 2))
            e->relation = REL_EQUAL;
        else
            return refuse_at(r, c, "an expectation begins with >=, <= or ==, not '%.64s'", t);
        t += 2;
        while (*t == ' ')
            t++;
        enum metric_unit unit = metric_table[m].unit;
        ret = unit == UNIT_NS      ? units_parse_ns(t, &e->value)
              : unit == UNIT_BYTES ? units_parse_bytes(t, &e->value)
                                   : units_parse_count(t, &e->value);
        if (ret)
            return refuse_at(r, c, "'%.64s' is not %s", t,
                             unit == UNIT_NS      ? "a time such as 1s"
                             : unit == UNIT_BYTES ? "a size such as 1GiB"
                                                  : "a whole number");
        s->expect_count++;
        e->text = strdup(c->text);
        if (!e->text)
            return no_memory(r);
    }
    return 0;
}

static int read_domain(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"memory",
                                        "vcpus",
                                        "lose-interrupts",
                                        "lose-doorbells",
                                        "refuse-foreign",
                                        "max-mappings",
                                        "backend-pages",
                                        "backend-unseeded",
                                        NULL};
    int ret = want_kind(r, n, DOC_MAP, "domain");

    if (!ret)
        ret = check_keys(r, n, known);
    if (ret)
        return ret;
    const struct doc_node *c = doc_get(n, "memory");
    if (c) {
        ret = read_number(r, c, "memory", units_parse_bytes, "a size such as 64MiB", 4u << 20,
                          2ull << 30, &r->s->memory_bytes);
        if (!ret && r->s->memory_bytes % 4096)
            ret = refuse_at(r, c, "memory is not a multiple of 4KiB");
    }
    c = doc_get(n, "vcpus");
    if (!ret && c)
        ret = read_count(r, c, "vcpus", 1, VCPUS_MAX, &r->s->vcpus);
    c = doc_get(n, "lose-interrupts");
    if (!ret && c)
        ret = read_count(r, c, "lose-interrupts", 2, LOSE_MAX, &r->s->lose_interrupts);
    c = doc_get(n, "lose-doorbells");
    if (!ret && c)
        ret = read_count(r, c, "lose-doorbells", 2, LOSE_MAX, &r->s->lose_doorbells);
    c = doc_get(n, "refuse-foreign");
    if (!ret && c)
        ret = read_bool(r, c, "refuse-foreign", &r->s->refuse_foreign);
    c = doc_get(n, "max-mappings");
    if (!ret && c)
        ret = read_count(r, c, "max-mappings", 4, MAPPINGS_MAX, &r->s->max_mappings);
    c = doc_get(n, "backend-pages");
    if (!ret && c)
        ret = read_number(r, c, "backend-pages", units_parse_bytes, "a size such as 64KiB", 4096,
                          65536, &r->s->backend_page_bytes);
    if (!ret && c && !is_pow2(r->s->backend_page_bytes))
        ret = refuse_at(r, c, "pages are a power of two");
    c = doc_get(n, "backend-unseeded");
    if (!ret && c)
        ret = read_bool(r, c, "backend-unseeded", &r->s->backend_unseeded);
    return ret;
}

static int read_checks(struct reader *r, const struct doc_node *n)
{
    int ret = read_texts(r, n, "checks", &r->s->checks, &r->s->check_count);

    if (ret)
        return ret;
    for (const struct doc_node *c = n->kind == DOC_LIST ? n->first : n; c;
         c = n->kind == DOC_LIST ? c->next : NULL)
        if (pattern_valid(c->text))
            return refuse_at(r, c, "'%.64s' is no pattern like blk.* or pci.bar_*", c->text);
    return 0;
}

/* table: {name: N, columns: [...]} */
static int read_table(struct reader *r, const struct doc_node *n)
{
    static const char *const known[] = {"name", "columns", NULL};
    struct scenario *s = r->s;
    int ret = want_kind(r, n, DOC_MAP, "table");

    if (!ret)
        ret = check_keys(r, n, known);
    if (ret)
        return ret;
    const struct doc_node *name = doc_get(n, "name"), *columns = doc_get(n, "columns");
    if (!name || !columns)
        return refuse_at(r, n, "a table has a name and columns");
    ret = read_text(r, name, "name", &s->table);
    if (!ret && name_valid(s->table))
        ret = refuse_at(r, name, "'%.64s' is no name of a table (lower case, as a scenario's)",
                        s->table);
    return ret ? ret : read_texts(r, columns, "columns", &s->columns, &s->column_count);
}

static bool axis_has(const struct scenario *s, enum scenario_axis axis, const char *value)
{
    for (unsigned i = 0; i < s->axis_count[axis]; i++)
        if (!strcmp(s->axis_values[axis][i], value))
            return true;
    return false;
}

/* A place on PCI is said for each device; windows of virtio-mmio are given out in their order. */
static int check_places(struct reader *r, const struct doc_node *root)
{
    struct scenario *s = r->s;
    bool mmio = axis_has(s, AXIS_TRANSPORT, "mmio");
    bool pci = !s->axis_count[AXIS_TRANSPORT] || axis_has(s, AXIS_TRANSPORT, "pci");
    const struct doc_node *matrix = doc_get(root, "matrix"), *device = doc_get(root, "device");
    const struct doc_node *n = device && device->kind == DOC_LIST ? device->first : device;

    for (unsigned i = 0; n && i < s->device_count; i++, n = n->next) {
        if (pci && !s->devices[i].sbdf)
            return refuse_at(r, n, "a device needs an sbdf");
        if (!pci && s->devices[i].sbdf)
            return refuse_at(r, doc_get(n, "sbdf"), "nothing is on PCI here");
        if (s->devices[i].slot_lacks && !axis_has(s, AXIS_ANNOUNCE, "slot-event"))
            return refuse_at(r, doc_get(n, "slot-lacks"),
                             "there is no slot (announce: slot-event)");
    }
    if (mmio && s->axis_count[AXIS_TOPOLOGY])
        return refuse_at(r, doc_get(matrix, "topology"), "virtio-mmio has no bridge");
    if (mmio && s->axis_count[AXIS_ANNOUNCE])
        return refuse_at(r, doc_get(matrix, "announce"), "virtio-mmio has no slots");
    if (mmio && s->device_count > SCENARIO_MMIO_DEVICES_MAX)
        return refuse_at(r, doc_get(matrix, "transport"),
                         "there are interrupt lines for %u virtio-mmio devices",
                         SCENARIO_MMIO_DEVICES_MAX);
    return 0;
}

/* The bridge that a place is behind; s->bridge_count: none. */
static unsigned bridge_of(const struct scenario *s, const char *sbdf)
{
    unsigned segment = 0, bus = 0, i = 0;

    if (sscanf(sbdf, "%4x:%2x", &segment, &bus) != 2)
        return s->bridge_count;
    while (i < s->bridge_count && (s->bridges[i].segment != segment ||
                                   s->bridges[i].bus_first > bus || s->bridges[i].bus_last < bus))
        i++;
    return i;
}

static int check_bridges(struct reader *r, const struct doc_node *root)
{
    const struct scenario *s = r->s;
    const struct doc_node *n = doc_get(root, "host-bridges"), *device = doc_get(root, "device");
    const struct doc_node *d = device && device->kind == DOC_LIST ? device->first : device;
    bool whole = !s->axis_count[AXIS_TOPOLOGY] || axis_has(s, AXIS_TOPOLOGY, "ioreq-only");
    unsigned owners = 1;

    if (!s->bridge_count)
        return 0;
    if (s->testbeds != 1u << TESTBED_SIM || s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU)
        return refuse_at(r, n, "host bridges go with checks in the domU, on the testbed sim");
    if (s->axis_count[AXIS_TRANSPORT] || s->axis_count[AXIS_BACKGROUND] ||
        s->axis_count[AXIS_DISCOVERY] || s->axis_count[AXIS_ANNOUNCE])
        return refuse_at(r, n, "no axis transport, background, discovery or announce here");
    if (s->bridges[0].backend)
        return refuse_at(r, n, "the first host bridge is the first backend's");
    for (unsigned i = 0; i < s->bridge_count; i++)
        owners |= 1u << s->bridges[i].backend;
    for (unsigned i = 1; whole && owners != 1 && i <= s->backend_count; i++)
        if (!(owners & 1u << i))
            return refuse_at(r, n, "the backend %.64s has no host bridge (topology: ioreq-only)",
                             s->backends[i].name);
    for (unsigned i = 0; d && i < s->device_count; i++, d = d->next)
        if (s->devices[i].sbdf && bridge_of(s, s->devices[i].sbdf) == s->bridge_count)
            return refuse_at(r, doc_get(d, "sbdf"), "%s is behind no host bridge",
                             s->devices[i].sbdf);
    if (s->device_count && bridge_of(s, s->devices[0].sbdf))
        return refuse_at(r, n, "the first device is behind the first host bridge");
    return 0;
}

/* Whose driver is ours: no other knows how to get through an IOMMU. */
static int check_endpoints(struct reader *r, const struct doc_node *root)
{
    const struct scenario *s = r->s;
    const struct doc_node *device = doc_get(root, "device");
    const struct doc_node *n = device && device->kind == DOC_LIST ? device->first : device;

    for (unsigned i = 0; n && i < s->device_count; i++, n = n->next) {
        unsigned of = 0;

        if (!s->devices[i].has_endpoint)
            continue;
        while (of < s->device_count && (s->devices[of].type != DEVICE_IOMMU ||
                                        s->devices[of].backend != s->devices[i].backend))
            of++;
        if (of == s->device_count)
            return refuse_at(r, doc_get(n, endpoint_key),
                             "its backend has no device of type iommu");
        if (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU)
            return refuse_at(r, doc_get(n, endpoint_key), "this goes with checks in the domU");
    }
    return 0;
}

static int check_network_run(struct reader *r, const struct doc_node *root)
{
    const struct scenario *s = r->s;

    if (s->run != RUN_IPERF3 && s->run != RUN_TRANSFER)
        return 0;
    if (!s->device_count || s->devices[0].type != DEVICE_NET || s->devices[0].wire != WIRE_TAP)
        return refuse_at(r, doc_get(root, "run"),
                         "this needs a net device with wire: tap, which comes first");
    for (unsigned i = 0; i < s->timeline_count; i++)
        if (s->timeline[i].action <= ACTION_UPGRADE_BACKEND)
            return refuse(r, s->timeline[i].line, 1,
                          "a network frontend does not outlive its backend");
    return 0;
}

static int check_backends(struct reader *r, const struct doc_node *root)
{
    const struct scenario *s = r->s;
    const struct doc_node *n = doc_get(root, "backends");

    bool vhost = axis_has(s, AXIS_TOPOLOGY, "vhost-user");

    if (!s->backend_count && (vhost || axis_has(s, AXIS_TOPOLOGY, "ioreq-distributed")))
        return refuse_at(r, doc_get(doc_get(root, "matrix"), "topology"),
                         "ioreq-distributed and vhost-user need several backends");
    /* Checks are bound to the first device, and ask of the first backend. */
    if (s->device_count && s->devices[0].backend && !(vhost && s->axis_count[AXIS_TOPOLOGY] == 1))
        return refuse_at(r, doc_get(root, "device"),
                         "the first device is the first backend's (or its queues are another's: "
                         "topology vhost-user alone)");
    if (vhost && axis_has(s, AXIS_CONFIG, "xenstore"))
        return refuse_at(r, doc_get(doc_get(root, "matrix"), "config"),
                         "a vhost-user back-end has its device by its command line");
    for (unsigned i = 0; vhost && i < s->device_count; i++)
        if (s->devices[i].type != DEVICE_BLK && s->devices[i].type != DEVICE_RNG)
            return refuse_at(r, doc_get(doc_get(root, "matrix"), "topology"),
                             "a device of type %s is never behind vhost-user",
                             device_type_names[s->devices[i].type]);
    if (!s->backend_count)
        return 0;
    if (s->testbeds != 1u << TESTBED_SIM)
        return refuse_at(r, n, "several backends run on the testbed sim alone");
    if (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU)
        return refuse_at(r, n, "several backends go with checks in the domU");
    if (s->axis_count[AXIS_TRANSPORT] || s->axis_count[AXIS_BACKEND] ||
        s->axis_count[AXIS_FRONTEND] || s->axis_count[AXIS_DISCOVERY] ||
        s->axis_count[AXIS_START] || s->axis_count[AXIS_ANNOUNCE])
        return refuse_at(r, n,
                         "no axis transport, backend, frontend, discovery, start or announce here");
    for (unsigned i = 1; i <= s->backend_count; i++) {
        bool any = false;

        for (unsigned d = 0; d < s->device_count; d++)
            any |= s->devices[d].backend == i;
        if (!any)
            return refuse_at(r, n, "the backend %.64s has no device", s->backends[i].name);
        if (s->backends[i].domain == BACKEND_DOM0 && axis_has(s, AXIS_CONFIG, "xenstore"))
            return refuse_at(r, n,
                             "two backends of one domain would find the same devices in "
                             "the store");
    }
    return 0;
}

/* What no single key can say. */
static int check_whole(struct reader *r, const struct doc_node *root)
{
    struct scenario *s = r->s;
    int ret;

    if (!s->check_count && s->run == RUN_CHECKS)
        return refuse_at(r, root, "nothing to run: checks or run is missing");
    if (s->check_count && s->run != RUN_CHECKS)
        return refuse_at(r, doc_get(root, "run"), "a scenario has checks or run, not both");
    if (s->run == RUN_FIO && !s->device_count)
        return refuse_at(r, doc_get(root, "run"), "fio needs a device");
    if (s->run == RUN_FIO && s->devices[0].type != DEVICE_BLK)
        return refuse_at(r, doc_get(root, "run"), "fio needs a blk device, which comes first");
    if (s->neighbour.job &&
        (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU || s->testbeds != 1u << TESTBED_SIM ||
         !s->device_count || s->devices[0].type != DEVICE_BLK || s->backend_count ||
         axis_has(s, AXIS_FRONTEND, "dom0") || axis_has(s, AXIS_START, "dom0less")))
        return refuse_at(
            r, doc_get(root, "neighbour"),
            "a neighbour is beside checks in a domU of the testbed sim with one backend "
            "and a blk device");
    if (s->runs_in == RUNS_IN_DOM0 && s->run != RUN_CHECKS)
        return refuse_at(r, doc_get(root, "runs-in"), "what is run is run in the domU");
    if (s->runs_in == RUNS_IN_LINUX) {
        const struct doc_node *n = doc_get(root, "runs-in");
        if (s->run != RUN_CHECKS)
            return refuse_at(r, n, "run is for drivers of ours; here fio is a check");
        if (!s->device_count)
            return refuse_at(r, n, "a stock Linux needs a device");
        if (s->testbeds & 1u << TESTBED_SIM)
            return refuse_at(r, n, "sim cannot boot a Linux: name the testbeds");
        if (axis_has(s, AXIS_START, "dom0less"))
            return refuse_at(r, n, "a stock Linux is started by the toolstack");
    }
    ret = check_network_run(r, root);
    if (ret)
        return ret;
    if (s->timeline_count && !s->device_count)
        return refuse_at(r, doc_get(root, "timeline"), "there is no backend without a device");
    for (unsigned i = 0; i < s->timeline_count; i++) {
        const struct scenario_step *step = &s->timeline[i];
        bool guest = step->action == ACTION_PAUSE_GUEST || step->action == ACTION_UNPAUSE_GUEST;
        bool of_checks = step->when == WHEN_CONFIG_READ || step->action == ACTION_ATTACH_DEVICE ||
                         step->action == ACTION_DETACH_DEVICE;

        if (s->run == RUN_CHECKS && guest)
            return refuse(r, step->line, 1, "there is no guest process beside the agent");
        if (s->run != RUN_CHECKS && of_checks)
            return refuse(r, step->line, 1, "this goes with checks");
    }
    if (s->timeline_count && s->run == RUN_CHECKS &&
        (s->testbeds != 1u << TESTBED_SIM || s->runs_in != RUNS_IN_DOMU))
        return refuse_at(r, doc_get(root, "timeline"),
                         "beside checks a timeline runs on the testbed sim");
    for (unsigned i = 0; i < s->expect_count; i++) {
        enum scenario_metric m = s->expect[i].metric;
        bool of_run = m == METRIC_READ || m == METRIC_WRITTEN || m == METRIC_RESTARTS;
        if ((of_run && s->run == RUN_CHECKS) || (m == METRIC_CHECKS && s->run != RUN_CHECKS))
            return refuse_at(r, doc_get(doc_get(root, "expect"), metric_table[m].name),
                             "nothing in this scenario measures %s", metric_table[m].name);
    }
    static const enum scenario_axis of_devices[] = {
        AXIS_MEMORY,    AXIS_QUEUE_SIZE, AXIS_QUEUES,  AXIS_FEATURES,  AXIS_CONFIG,
        AXIS_TRANSPORT, AXIS_START,      AXIS_BACKEND, AXIS_DISCOVERY, AXIS_ANNOUNCE};
    for (size_t i = 0; i < ARRAY_LENGTH(of_devices); i++) {
        const struct doc_node *matrix = doc_get(root, "matrix");
        if (s->axis_count[of_devices[i]] && !s->device_count)
            return refuse_at(r, doc_get(matrix, axis_table[of_devices[i]].name),
                             "this axis is bound to the backend, and there is no device");
    }
    for (unsigned i = 0; i < s->device_count && s->axis_count[AXIS_QUEUES]; i++)
        if (!takes_key(s->devices[i].type, "queues"))
            return refuse_at(r, doc_get(doc_get(root, "matrix"), "queues"),
                             "a device of type %s has no such key",
                             device_type_names[s->devices[i].type]);
    const struct doc_node *domain = doc_get(root, "domain");
    if (s->axis_count[AXIS_VCPUS] && domain && doc_get(domain, "vcpus"))
        return refuse_at(r, doc_get(domain, "vcpus"), "vcpus is an axis of this scenario");
    if ((s->lose_interrupts || s->lose_doorbells) && s->run != RUN_TRANSFER && s->run != RUN_IPERF3)
        return refuse_at(r, domain, "only streams over a network device lose notifications");
    if (s->lose_interrupts && s->testbeds != 1u << TESTBED_SIM)
        return refuse_at(r, doc_get(domain, "lose-interrupts"),
                         "only the testbed sim can lose interrupts");
    if (s->refuse_foreign &&
        (s->testbeds != 1u << TESTBED_SIM || axis_has(s, AXIS_FRONTEND, "dom0")))
        return refuse_at(r, doc_get(domain, "refuse-foreign"),
                         "only a domU of the testbed sim can be kept from being mapped");
    if (s->backend_page_bytes && s->testbeds != 1u << TESTBED_SIM)
        return refuse_at(r, doc_get(domain, "backend-pages"),
                         "only the testbed sim has a host whose pages it can choose");
    if (s->backend_unseeded && s->testbeds != 1u << TESTBED_SIM)
        return refuse_at(r, doc_get(domain, "backend-unseeded"),
                         "only the testbed sim has a host whose entropy it can keep back");
    if (s->max_mappings &&
        (s->testbeds != 1u << TESTBED_SIM || !axis_has(s, AXIS_BACKEND, "driver") ||
         s->axis_count[AXIS_BACKEND] > 1))
        return refuse_at(r, doc_get(domain, "max-mappings"),
                         "only a driver domain of the testbed sim has a limit (axis backend)");
    if (s->lose_interrupts && s->axis_count[AXIS_TRANSPORT])
        return refuse_at(r, doc_get(domain, "lose-interrupts"),
                         "message-signalled interrupts are virtio-pci's: no axis transport here");
    if (axis_has(s, AXIS_FRONTEND, "dom0") &&
        (s->vcpus > 1 || s->axis_count[AXIS_VCPUS] || s->run != RUN_CHECKS ||
         s->runs_in != RUNS_IN_DOMU || axis_has(s, AXIS_START, "dom0less")))
        return refuse_at(r, doc_get(doc_get(root, "matrix"), "frontend"),
                         "the driver in dom0 is an agent that runs checks, on one vCPU");
    if (s->axis_count[AXIS_DISCOVERY] && axis_has(s, AXIS_BACKEND, "outside") &&
        s->device_count < 2)
        return refuse_at(r, doc_get(doc_get(root, "matrix"), "backend"),
                         "beside a device from outside, a second is told of");
    for (unsigned i = 0; axis_has(s, AXIS_TRANSPORT, "mmio") && discovery_names[i]; i++)
        if (i != DISCOVERY_GIVEN && i != DISCOVERY_DEVICE_TREE && i != DISCOVERY_MACHINE_TYPE &&
            i != DISCOVERY_FEATURE_BIT && axis_has(s, AXIS_DISCOVERY, discovery_names[i]))
            return refuse_at(r, doc_get(doc_get(root, "matrix"), "discovery"),
                             "%s tells of devices by their place on PCI", discovery_names[i]);
    if (axis_has(s, AXIS_BUFFERS, "pool") && (s->run != RUN_CHECKS || s->runs_in != RUNS_IN_DOMU))
        return refuse_at(r, doc_get(doc_get(root, "matrix"), "buffers"),
                         "only the frontend that runs checks has the choice");
    ret = check_backends(r, root);
    if (!ret)
        ret = check_endpoints(r, root);
    if (!ret)
        ret = check_places(r, root);
    return ret ? ret : check_bridges(r, root);
}

static int read_root(struct reader *r, const struct doc_node *root)
{
    static const char *const known[] = {
        "scenario",  "title",    "testbeds", "sets",   "backends", "host-bridges",
        "device",    "domain",   "matrix",   "checks", "runs-in",  "run",
        "neighbour", "timeline", "expect",   "table",  "timeout",  NULL};
    struct scenario *s = r->s;
    const struct doc_node *c;
    unsigned mask = 0, v = 0;
    int ret = check_keys(r, root, known);

    if (ret)
        return ret;
    c = doc_get(root, "scenario");
    if (!c)
        return refuse_at(r, root, "the key scenario (its name) is missing");
    ret = read_text(r, c, "scenario", &s->name);
    if (ret)
        return ret;
    if (name_valid(s->name))
        return refuse_at(r, c,
                         "a name has lower-case letters, digits, '-' and '_', and begins "
                         "with a letter");
    c = doc_get(root, "title");
    if (!c)
        return refuse_at(r, root, "the key title is missing");
    ret = read_text(r, c, "title", &s->title);

    c = doc_get(root, "testbeds");
    s->testbeds = 1u << TESTBED_SIM;
    if (!ret && c) {
        s->testbeds = 0;
        ret = read_names_as_mask(r, c, "testbeds", testbed_names, &s->testbeds);
    }
    c = doc_get(root, "sets");
    if (!ret && c)
        ret = read_names_as_mask(r, c, "sets", set_names, &mask);
    if (!ret && c)
        ret = read_texts(r, c, "sets", &s->sets, &s->set_count);
    c = doc_get(root, "backends");
    if (!ret && c)
        ret = read_backends(r, c);
    c = doc_get(root, "host-bridges");
    if (!ret && c)
        ret = read_bridges(r, c);
    c = doc_get(root, "device");
    if (!ret && c)
        ret = read_devices(r, c);
    c = doc_get(root, "domain");
    if (!ret && c)
        ret = read_domain(r, c);
    c = doc_get(root, "matrix");
    if (!ret && c)
        ret = read_matrix(r, c);
    c = doc_get(root, "checks");
    if (!ret && c)
        ret = read_checks(r, c);
    c = doc_get(root, "runs-in");
    if (!ret && c)
        ret = read_name(r, c, "runs-in", runs_in_names, &v);
    s->runs_in = (enum scenario_runs_in)v;
    c = doc_get(root, "run");
    if (!ret && c)
        ret = read_run(r, c);
    c = doc_get(root, "neighbour");
    if (!ret && c)
        ret = read_neighbour(r, c);
    c = doc_get(root, "timeline");
    if (!ret && c)
        ret = read_timeline(r, c);
    c = doc_get(root, "expect");
    if (!ret && c)
        ret = read_expect(r, c);
    c = doc_get(root, "table");
    if (!ret && c)
        ret = read_table(r, c);
    c = doc_get(root, "timeout");
    if (!ret && c)
        ret = read_number(r, c, "timeout", units_parse_ns, "a time such as 60s", 1000000000,
                          3600ull * 1000000000, &s->timeout_ns);
    return ret ? ret : check_whole(r, root);
}

static int scenario_from_doc(const char *path, const struct doc_node *root, struct scenario **out,
                             char *why, size_t why_size)
{
    struct reader r = {.path = path, .why = why, .why_size = why_size};
    int ret;

    r.s = calloc(1, sizeof(*r.s));
    if (!r.s)
        return no_memory(&r);
    r.s->timeout_ns = DEFAULT_TIMEOUT_NS;
    r.s->memory_bytes = DEFAULT_MEMORY_BYTES;
    r.s->vcpus = 1;
    r.s->path = strdup(path);
    ret = r.s->path ? read_root(&r, root) : no_memory(&r);
    if (ret) {
        scenario_free(r.s);
        return ret;
    }
    *out = r.s;
    return 0;
}

int scenario_parse(const char *path, const char *text, size_t length, struct scenario **out,
                   char *why, size_t why_size)
{
    struct doc_node *root;
    int ret = doc_parse(path, text, length, &root, why, why_size);

    *out = NULL;
    if (ret)
        return ret;
    ret = scenario_from_doc(path, root, out, why, why_size);
    doc_free(root);
    return ret;
}

int scenario_load(const char *path, struct scenario **out, char *why, size_t why_size)
{
    struct doc_node *root;
    int ret = doc_load(path, &root, why, why_size);

    *out = NULL;
    if (ret)
        return ret;
    ret = scenario_from_doc(path, root, out, why, why_size);
    doc_free(root);
    return ret;
}

static void free_texts(char **texts, unsigned count)
{
    for (unsigned i = 0; texts && i < count; i++)
        free(texts[i]);
    free(texts);
}

void scenario_free(struct scenario *s)
{
    if (!s)
        return;
    free(s->path);
    free(s->name);
    free(s->title);
    free_texts(s->sets, s->set_count);
    free(s->table);
    free_texts(s->columns, s->column_count);
    free_texts(s->checks, s->check_count);
    for (unsigned i = 1; i <= s->backend_count; i++)
        free(s->backends[i].name);
    for (unsigned i = 0; i < s->device_count; i++) {
        free(s->devices[i].sbdf);
        free(s->devices[i].path);
        free(s->devices[i].serial);
        free(s->devices[i].mac);
        free(s->devices[i].features);
    }
    free(s->fio.job);
    free_texts(s->fio.options, s->fio.option_count);
    free(s->neighbour.job);
    free_texts(s->neighbour.options, s->neighbour.option_count);
    free_texts(s->iperf3.options, s->iperf3.option_count);
    for (unsigned i = 0; i < s->expect_count; i++)
        free(s->expect[i].text);
    for (unsigned i = 0; i < SCENARIO_AXES; i++)
        free_texts(s->axis_values[i], s->axis_count[i]);
    free(s);
}

bool scenario_in_set(const struct scenario *s, const char *set)
{
    for (unsigned i = 0; i < s->set_count; i++)
        if (!strcmp(s->sets[i], set))
            return true;
    return false;
}

/* ---- cells ---- */

unsigned scenario_cell_backends(const struct scenario_cell *cell)
{
    const struct scenario *s = cell->scenario;
    bool owners = false;

    for (unsigned i = 0; i < s->bridge_count; i++)
        owners |= s->bridges[i].backend != 0;
    return cell->topology == TOPOLOGY_IOREQ_ONLY && !owners ? 1 : 1 + s->backend_count;
}

unsigned scenario_cell_backend_of(const struct scenario_cell *cell, unsigned device)
{
    const struct scenario *s = cell->scenario;
    unsigned bridge;

    if (cell->topology != TOPOLOGY_IOREQ_ONLY)
        return s->devices[device].backend;
    bridge = s->bridge_count ? bridge_of(s, s->devices[device].sbdf) : 0;
    return bridge < s->bridge_count ? s->bridges[bridge].backend : 0;
}

bool scenario_bridge_late(const struct scenario *s, unsigned bridge)
{
    unsigned backend = s->bridges[bridge].backend;

    return backend && s->backends[backend].late;
}

const char *scenario_backend_name(const struct scenario *s, unsigned backend)
{
    return backend ? s->backends[backend].name : "backend";
}

unsigned scenario_cell_count(const struct scenario *s)
{
    unsigned cells = 1;

    for (unsigned i = 0; i < s->axes; i++)
        cells *= s->axis_count[s->axis_order[i]];
    return cells;
}

static unsigned name_index(const char *const *names, const char *value)
{
    unsigned i = 0;

    while (names[i] && strcmp(names[i], value))
        i++;
    return i;
}

static void bind_axis(struct scenario_cell *cell, enum scenario_axis axis, const char *value)
{
    uint64_t number = 0;

    if (!axis_table[axis].values && !axis_table[axis].valid)
        (void)units_parse_count(value, &number);
    switch (axis) {
    case AXIS_ARCH:
        cell->arch = (enum scenario_arch)name_index(arch_names, value);
        break;
    case AXIS_TOPOLOGY:
        cell->topology = (enum scenario_topology)name_index(topology_names, value);
        break;
    case AXIS_BACKGROUND:
        cell->background = (enum scenario_background)name_index(background_names, value);
        break;
    case AXIS_ADDRESSING:
        cell->addressing = (enum scenario_addressing)name_index(addressing_names, value);
        break;
    case AXIS_BUFFERS:
        cell->buffers = (enum scenario_buffers)name_index(buffers_names, value);
        break;
    case AXIS_RING:
        cell->ring = (enum scenario_ring)name_index(ring_names, value);
        break;
    case AXIS_MEMORY:
        cell->memory = (enum scenario_memory)name_index(memory_names, value);
        break;
    case AXIS_CONFIG:
        cell->config = (enum scenario_config)name_index(config_names, value);
        break;
    case AXIS_TRANSPORT:
        cell->transport = (enum scenario_transport)name_index(transport_names, value);
        break;
    case AXIS_START:
        cell->start = (enum scenario_start)name_index(start_names, value);
        break;
    case AXIS_FRONTEND:
        cell->frontend = (enum scenario_frontend)name_index(frontend_names, value);
        break;
    case AXIS_BACKEND:
        cell->backend = (enum scenario_backend)name_index(backend_names, value);
        break;
    case AXIS_ANNOUNCE:
        cell->announce = (enum scenario_announce)name_index(announce_names, value);
        break;
    case AXIS_DISCOVERY:
        cell->discovery = (enum scenario_discovery)name_index(discovery_names, value);
        break;
    case AXIS_QUEUE_SIZE:
        cell->queue_size = (uint32_t)number;
        break;
    case AXIS_QUEUES:
        cell->queues = (uint32_t)number;
        break;
    case AXIS_VCPUS:
        cell->vcpus = (uint32_t)number;
        break;
    case AXIS_FEATURES:
        cell->features = strcmp(value, "default") ? value : NULL;
        break;
    case SCENARIO_AXES:
        break;
    }
}

void scenario_cell_get(const struct scenario *s, unsigned index, struct scenario_cell *cell)
{
    *cell = (struct scenario_cell){.scenario = s, .axes = s->axes, .vcpus = s->vcpus};
    for (unsigned i = s->axes; i-- > 0;) {
        enum scenario_axis axis = s->axis_order[i];
        unsigned count = s->axis_count[axis];
        cell->axis[i] = axis;
        cell->value[i] = s->axis_values[axis][index % count];
        index /= count;
        bind_axis(cell, axis, cell->value[i]);
    }
}

const char *scenario_cell_id(const struct scenario_cell *cell, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s", cell->scenario->name);
    size_t used = n < 0 ? 0 : (size_t)n;

    for (unsigned i = 0; i < cell->axes && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s=%s", i ? "," : "[",
                                 scenario_axis_name(cell->axis[i]), cell->value[i]);
    if (cell->axes && used < size)
        snprintf(buf + used, size - used, "]");
    return buf;
}

bool scenario_cell_matches(const struct scenario_cell *cell, const char *pattern)
{
    char id[512], literal[512];
    size_t used = 0;

    if (!fnmatch(pattern, cell->scenario->name, 0))
        return true;
    for (const char *c = pattern; *c && used + 2 < sizeof(literal); c++) {
        if (*c == '[' || *c == ']')
            literal[used++] = '\\';
        literal[used++] = *c;
    }
    literal[used] = 0;
    return !fnmatch(literal, scenario_cell_id(cell, id, sizeof(id)), 0);
}

bool scenario_expect_holds(const struct scenario_expect *e, uint64_t value)
{
    switch (e->relation) {
    case REL_AT_LEAST:
        return value >= e->value;
    case REL_AT_MOST:
        return value <= e->value;
    case REL_EQUAL:
        return value == e->value;
    }
    return false;
}

const char *scenario_metric_format(enum scenario_metric m, uint64_t value, char *buf, size_t size)
{
    switch (metric_table[m].unit) {
    case UNIT_NS:
        return units_format_ns(value, buf, size);
    case UNIT_BYTES:
        return units_format_bytes(value, buf, size);
    case UNIT_COUNT:
        break;
    }
    snprintf(buf, size, "%" PRIu64, value);
    return buf;
}
