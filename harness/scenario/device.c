/* SPDX-License-Identifier: MIT */
/* The key device. */
#include <ctype.h>
#include <string.h>

#include "scenario/keys.h"
#include "scenario/units.h"
#include "util/bits.h"

#define NET_PAIRS_MAX 31u
/* Of one device, and the end of the list. */
#define SCENARIO_DEVICE_KEYS_MAX 32

static const char *const device_type_names[] = {"blk", "rng", "console", "net", "iommu", NULL};
static const char *const slot_part_names[] = {[SLOT_BUTTON] = "button",
                                              [SLOT_POWER] = "power",
                                              [SLOT_INDICATORS] = "indicators",
                                              [SLOT_COMMANDS] = "commands",
                                              [SLOT_PARTS] = NULL};
static const char *const backing_names[] = {"image", "null", "path", NULL}; /* from 1 on */
static const char *const wire_names[] = {"socket", "tap", NULL};

const char *scenario_device_type_name(enum scenario_device_type t)
{
    return device_type_names[t];
}

const char *scenario_slot_part_name(enum scenario_slot_part p)
{
    return slot_part_names[p];
}

/* Which keys a device of each type takes, beside those that every device has. */
static const char *const device_keys[] = {"type",    "sbdf",       "queue-size", "features",
                                          "backend", "slot-lacks", NULL};
static const char *const *const device_type_keys[] = {
    [DEVICE_BLK] = (const char *const[]){"backing", "path", "size", "fill", "ro", "queues",
                                         "serial", "zone-size", "zone-append", "hold", NULL},
    [DEVICE_RNG] = (const char *const[]){"path", "rate", NULL},
    [DEVICE_CONSOLE] = (const char *const[]){"ports", "max-ports", "cols", "rows", NULL},
    [DEVICE_NET] = (const char *const[]){"wire", "queues", "mac", "mtu", NULL},
    [DEVICE_IOMMU] = (const char *const[]){NULL},
};

bool scenario_device_takes_key(enum scenario_device_type type, const char *key)
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
        known[count++] = ENDPOINT_KEY;
    known[count] = NULL;
    return reader_check_keys(r, n, known);
}

static int read_device_path(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct doc_node *c = doc_get(n, "path");
    int ret;

    if (!c)
        return 0;
    ret = reader_text(r, c, "path", &d->path);
    if (!ret && strchr(d->path, ','))
        ret = reader_refuse_at(r, c, "a path with a comma cannot be given to the backend");
    return ret;
}

static int read_zone_bytes(struct reader *r, const struct doc_node *n, const char *key,
                           uint32_t *out)
{
    const struct doc_node *c = doc_get(n, key);
    uint64_t v = 0;
    int ret =
        c ? reader_number(r, c, key, units_parse_bytes, "a size such as 1MiB", 512, 1u << 30, &v)
          : 0;

    if (!ret && v % 512)
        return reader_refuse_at(r, c, "%s is not a multiple of 512 bytes", key);
    *out = (uint32_t)v;
    return ret;
}

static int read_zones(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    int ret = read_zone_bytes(r, n, "zone-size", &d->zone_bytes);

    if (!ret)
        ret = read_zone_bytes(r, n, "zone-append", &d->zone_append_bytes);
    if (!ret && d->zone_bytes && d->size_bytes % d->zone_bytes)
        return reader_refuse_at(r, doc_get(n, "zone-size"), "size is no whole number of zones");
    if (!ret && d->zone_append_bytes && !d->zone_bytes)
        return reader_refuse_at(r, doc_get(n, "zone-append"), "zone-append needs zone-size");
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
        ret = reader_name(r, c, "backing", backing_names, &v);
        if (ret)
            return ret;
        d->backing = (enum scenario_backing)(v + 1);
        if ((d->backing == BACKING_PATH) != (d->path != NULL))
            return reader_refuse_at(r, c,
                                    d->path ? "a device with a path has no other backing"
                                            : "backing: path needs the key path");
    }

    c = doc_get(n, "size");
    if (c && d->path)
        return reader_refuse_at(r, c, "the size of a device with a path is its file's");
    if (!c && !d->path)
        return reader_refuse_at(r, n, "a device needs a size");
    if (c) {
        ret = reader_number(r, c, "size", units_parse_bytes, "a size such as 64MiB", 0, 1ull << 50,
                            &d->size_bytes);
        if (ret)
            return ret;
        if (d->size_bytes % 512)
            return reader_refuse_at(r, c, "size is not a multiple of 512 bytes");
    }
    c = doc_get(n, "fill");
    if (c) {
        ret = reader_bool(r, c, "fill", &d->filled);
        if (ret)
            return ret;
        if (d->filled && d->backing != BACKING_IMAGE)
            return reader_refuse_at(r, c, "only an image can be filled");
        if (d->filled && d->size_bytes > (256u << 20))
            return reader_refuse_at(r, c, "an image of more than 256MiB is not filled");
    }
    c = doc_get(n, "ro");
    ret = c ? reader_bool(r, c, "ro", &d->ro) : 0;
    c = doc_get(n, "queues");
    if (!ret && c)
        ret = reader_count(r, c, "queues", 1, QUEUES_MAX, &d->queues);
    c = doc_get(n, "serial");
    if (!ret && c) {
        ret = reader_text(r, c, "serial", &d->serial);
        if (!ret && (strlen(d->serial) > 20 || strpbrk(d->serial, ", ")))
            ret =
                reader_refuse_at(r, c, "a serial has at most 20 characters, no comma and no blank");
    }
    c = doc_get(n, "hold");
    if (!ret && c) {
        ret = reader_bool(r, c, "hold", &d->holds);
        if (!ret && d->holds && d->backing != BACKING_IMAGE)
            ret = reader_refuse_at(r, c, "only an image can hold requests back");
    }
    return ret ? ret : read_zones(r, n, d);
}

static int read_rng(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct doc_node *c = doc_get(n, "rate");
    int ret = read_device_path(r, n, d);

    d->backing = d->path ? BACKING_PATH : BACKING_NONE;
    if (!ret && c)
        ret = reader_count(r, c, "rate", 1, UINT32_MAX, &d->rate_bytes_per_s);
    return ret;
}

static int read_console(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct doc_node *c = doc_get(n, "ports");
    int ret = 0;

    d->ports = 1;
    if (c)
        ret = reader_count(r, c, "ports", 1, SCENARIO_PORTS_MAX, &d->ports);
    c = doc_get(n, "max-ports");
    if (!ret && c)
        ret = reader_count(r, c, "max-ports", d->ports, SCENARIO_PORTS_MAX, &d->ports_max);
    c = doc_get(n, "cols");
    if (!ret && c)
        ret = reader_count(r, c, "cols", 1, UINT16_MAX, &d->cols);
    c = doc_get(n, "rows");
    if (!ret && c)
        ret = reader_count(r, c, "rows", 1, UINT16_MAX, &d->rows);
    if (!ret && !d->cols != !d->rows)
        ret = reader_refuse_at(r, n, "cols and rows go together");
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
    int ret = c ? reader_name(r, c, "wire", wire_names, &v) : 0;

    d->wire = (enum scenario_wire)v;
    c = doc_get(n, "queues");
    if (!ret && c)
        ret = reader_count(r, c, "queues", 1, NET_PAIRS_MAX, &d->queues);
    c = doc_get(n, "mac");
    if (!ret && c) {
        ret = reader_text(r, c, "mac", &d->mac);
        if (!ret && !mac_valid(d->mac))
            ret = reader_refuse_at(r, c, "'%.64s' is no address like 02:00:00:00:00:01", d->mac);
    }
    c = doc_get(n, "mtu");
    if (!ret && c)
        ret = reader_count(r, c, "mtu", 68, 65535, &d->mtu);
    return ret;
}

static int read_endpoint(struct reader *r, const struct doc_node *n, struct scenario_device *d)
{
    const struct scenario *s = r->s;
    int ret = reader_count(r, n, ENDPOINT_KEY, 0, UINT32_MAX, &d->endpoint);

    for (unsigned i = 0; !ret && i + 1 < s->device_count; i++)
        if (s->devices[i].has_endpoint && s->devices[i].endpoint == d->endpoint)
            return reader_refuse_at(r, n, "there is an endpoint %u already", d->endpoint);
    d->has_endpoint = ret == 0;
    return ret;
}

static int read_device_backend(struct reader *r, const struct doc_node *n,
                               struct scenario_device *d)
{
    const struct scenario *s = r->s;
    int ret = reader_want(r, n, DOC_SCALAR, "backend");

    for (unsigned i = 1; !ret && i <= s->backend_count; i++)
        if (!strcmp(s->backends[i].name, n->text))
            d->backend = i;
    if (!ret && !d->backend)
        return reader_refuse_at(r, n, "'%.64s' is none of the scenario's backends", n->text);
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
        return reader_refuse_at(r, n, "more than %u devices", SCENARIO_DEVICES_MAX);
    struct scenario_device *d = &s->devices[s->device_count++];
    ret = reader_want(r, n, DOC_MAP, "a device");
    if (ret)
        return ret;

    c = doc_get(n, "type");
    if (!c)
        return reader_refuse_at(r, n, "a device needs a type");
    ret = reader_name(r, c, "device type", device_type_names, &v);
    if (ret)
        return ret;
    d->type = (enum scenario_device_type)v;
    ret = check_device_keys(r, n, d->type);
    if (ret)
        return ret;

    c = doc_get(n, "sbdf");
    ret = c ? reader_text(r, c, "sbdf", &d->sbdf) : 0;
    if (ret)
        return ret;
    if (c && !reader_sbdf_valid(d->sbdf))
        return reader_refuse_at(r, c, "'%.64s' is no sbdf like 0000:00:01.0", d->sbdf);
    for (unsigned i = 0; c && i + 1 < s->device_count; i++)
        if (s->devices[i].sbdf && !strcmp(s->devices[i].sbdf, d->sbdf))
            return reader_refuse_at(r, c, "there is a device at %s already", d->sbdf);

    ret = of_type[d->type] ? of_type[d->type](r, n, d) : 0;
    c = doc_get(n, "backend");
    if (!ret && c)
        ret = read_device_backend(r, c, d);
    c = doc_get(n, ENDPOINT_KEY);
    if (!ret && c)
        ret = read_endpoint(r, c, d);
    c = doc_get(n, "slot-lacks");
    if (!ret && c)
        ret = reader_mask(r, c, "slot-lacks", slot_part_names, &d->slot_lacks);
    c = doc_get(n, "queue-size");
    if (!ret && c)
        ret = reader_count(r, c, "queue-size", 1, QUEUE_SIZE_MAX, &d->queue_size);
    if (!ret && c && !is_pow2(d->queue_size))
        ret = reader_refuse_at(r, c, "queue-size has to be a power of two (VIRTIO 2.7)");
    c = doc_get(n, "features");
    if (!ret && c) {
        ret = reader_text(r, c, "features", &d->features);
        if (!ret && reader_features_valid(d->features))
            ret = reader_refuse_at(r, c, "features has to be %s, not '%.64s'", READER_FEATURES_WHAT,
                                   d->features);
    }
    return ret;
}

int keys_read_devices(struct reader *r, const struct doc_node *n)
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
