/* SPDX-License-Identifier: MIT */
#include "backend/device_spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/device_types.h"
#include "device/net.h"
#include "spec/virtio.h"
#include "spec/virtio_mmio.h"
#include "util/bits.h"
#include "util/parse.h"
#include "xen/gmem_strategy.h"

enum key_kind {
    KEY_TYPE,
    KEY_TRANSPORT,
    KEY_SBDF,
    KEY_PORT,
    KEY_BASE,
    KEY_LINE,
    KEY_PATH,
    KEY_MODE,
    KEY_BOOL,
    KEY_BOOL_OFF, /* stored negated */
    KEY_U8,
    KEY_U32,
    KEY_MULTIPLIER,
    KEY_BAR_WIDTH,
    KEY_SERIAL,
    KEY_MEMORY,
    KEY_GRANT_USAGE,
    KEY_FEATURES,
    KEY_PORT_END,
    KEY_PORT_NAME,
    KEY_PORT_CONSOLE,
    KEY_MANAGE,
    KEY_HOLD,
    KEY_TAP,
    KEY_FD,
    KEY_MAC,
    KEY_TOLD_DOMID,
    KEY_TOLD_IN,
    KEY_ENDPOINT,
    KEY_VHOST,
    KEY_VHOST_LISTEN,
};

/* Whose a key is. */
#define FOR_ALL     UINT32_MAX
#define FOR_BLK     (1u << DEVICE_BLK)
#define FOR_RNG     (1u << DEVICE_RNG)
#define FOR_CONSOLE (1u << DEVICE_CONSOLE)
#define FOR_NET     (1u << DEVICE_NET)
#define FOR_IOMMU   (1u << DEVICE_IOMMU)

#define SECTOR_BYTES 512u /* unit of a null store */

struct key {
    const char *name;
    const char *alias; /* another name for it in Xenstore, or NULL */
    uint32_t types;    /* FOR_* */
    enum key_kind kind;
    size_t offset;     /* of the field in struct device_spec */
    uint32_t min, max; /* of numbers; of N in a name that ends with it */
    const char *help;
};

#define FIELD(name) offsetof(struct device_spec, name)

static const struct key keys[] = {
    {"type", NULL, FOR_ALL, KEY_TYPE, 0, 0, 0, "what it is (first item on the command line)"},
    {"transport", NULL, FOR_ALL, KEY_TRANSPORT, 0, 0, 0, "pci (the default) or mmio"},
    {"sbdf", NULL, FOR_ALL, KEY_SBDF, 0, 0, 0,
     "pci: its place, 0000:00:01.0; in Xenstore 0000-00-01-0"},
    {"port", NULL, FOR_ALL, KEY_PORT, 0, 0, 0,
     "pci: the root port whose slot it is in; the guest chooses its bus, and sbdf\n"
     "                         is how it is called here"},
    {"base", NULL, FOR_ALL, KEY_BASE, 0, 0, 0,
     "mmio: address of its 0x200 bytes of registers, their multiple"},
    {"irq", NULL, FOR_ALL, KEY_LINE, 0, 0, 0,
     "mmio: its line: Arm a GIC id from 32, x86 HVM (not PVH) an ISA IRQ below 16"},
    {"path", "params", FOR_BLK | FOR_RNG | FOR_NET, KEY_PATH, 0, 0, 0,
     "image file, block device, or null:SIZE for no disk (untouched:SIZE: and no data;\n"
     "                         memory:SIZE: for as long as this runs); source of random bytes;\n"
     "                         socket to make for the other end of the wire"},
    {"ro", NULL, FOR_BLK, KEY_BOOL, FIELD(read_only), 0, 0, "1: read-only"},
    {"mode", NULL, FOR_BLK, KEY_MODE, 0, 0, 0, "r or w: the same as ro, as toolstacks write it"},
    {"direct", NULL, FOR_BLK, KEY_BOOL, FIELD(direct), 0, 0, "1: bypass the page cache (O_DIRECT)"},
    {"queues", NULL, FOR_BLK | FOR_NET, KEY_U32, FIELD(queues), 1, VDEV_QUEUES_MAX,
     "request queues; pairs of queues"},
    {"queue-size", NULL, FOR_ALL, KEY_U32, FIELD(queue_size), 2, 32768,
     "largest queue, a power of two"},
    {"serial", NULL, FOR_BLK, KEY_SERIAL, 0, 0, 0, "identity, up to 20 characters"},
    {"block-size", NULL, FOR_BLK, KEY_U32, FIELD(block_bytes), 512, 65536, "logical block, bytes"},
    {"physical-block-size", NULL, FOR_BLK, KEY_U32, FIELD(physical_block_bytes), 512, 1u << 24,
     "physical block, bytes"},
    {"seg-max", NULL, FOR_BLK, KEY_U32, FIELD(seg_max), 1, 1022, "data segments of one request"},
    {"zone-size", NULL, FOR_BLK, KEY_U32, FIELD(zone_bytes), 4096, 1u << 30,
     "a host-managed zoned disk with zones of so many bytes"},
    {"zone-append-max", NULL, FOR_BLK, KEY_U32, FIELD(zone_append_bytes), 0, 1u << 20,
     "bytes of one zone append; 0 (the default): none are taken"},
    {"size-max", NULL, FOR_BLK, KEY_U32, FIELD(size_max), 4096, 1u << 30, "bytes of one segment"},
    {"hold", NULL, FOR_BLK, KEY_HOLD, 0, 0, 0,
     "while this file is there requests wait for the image: for tests"},
    {"rate", NULL, FOR_RNG, KEY_U32, FIELD(rate_bytes_per_s), 1, UINT32_MAX,
     "random bytes in a second at most"},
    {"portN", NULL, FOR_CONSOLE, KEY_PORT_END, 0, 0, DEVICE_PORTS_MAX - 1,
     "where the bytes of port N go: null, file:PATH, unix:PATH, pty or pty:LINK"},
    {"nameN", NULL, FOR_CONSOLE, KEY_PORT_NAME, 0, 0, DEVICE_PORTS_MAX - 1,
     "what the driver is told that port N is called"},
    {"consoleN", NULL, FOR_CONSOLE, KEY_PORT_CONSOLE, 0, 0, DEVICE_PORTS_MAX - 1,
     "1: port N is a console port (port 0 is, unless 0)"},
    {"ports", NULL, FOR_CONSOLE, KEY_U32, FIELD(ports_max), 1, DEVICE_PORTS_MAX,
     "how many ports there may be"},
    {"cols", NULL, FOR_CONSOLE, KEY_U32, FIELD(cols), 1, UINT16_MAX, "width of the console"},
    {"rows", NULL, FOR_CONSOLE, KEY_U32, FIELD(rows), 1, UINT16_MAX, "height of the console"},
    {"manage", NULL, FOR_CONSOLE, KEY_MANAGE, 0, 0, 0,
     "socket that takes: resize COLS ROWS, remove PORT, add PORT"},
    {"tap", NULL, FOR_NET, KEY_TAP, 0, 0, 0, "interface to make or open for a wire"},
    {"fd", NULL, FOR_NET, KEY_FD, FIELD(wire_fd), 0, 65535,
     "open descriptor for a wire: a TAP, or a socket of packets"},
    {"mac", NULL, FOR_NET, KEY_MAC, 0, 0, 0, "address, 02:00:00:00:00:01; without, the driver's"},
    {"mtu", NULL, FOR_NET, KEY_U32, FIELD(mtu), 68, 65535, "MTU that the driver is told"},
    {"features", NULL, FOR_ALL, KEY_FEATURES, 0, 0, 0,
     "-NAME takes a feature away, +NAME adds; A:B:C"},
    {"memory", NULL, FOR_ALL, KEY_MEMORY, 0, 0, 0,
     "how addresses are reached, instead of --memory; with vhost, shared: the front-end\n"
     "                         shares files that are sealed (F_SEAL_SHRINK); no Xen is needed"},
    {"endpoint", NULL, FOR_ALL & ~FOR_IOMMU, KEY_ENDPOINT, FIELD(endpoint), 0, UINT32_MAX,
     "it is behind the process's IOMMU, as the endpoint of this number"},
    {"vhost-listen", NULL, FOR_BLK | FOR_RNG, KEY_VHOST_LISTEN, 0, 0, 0,
     "its queues are another process's, a vhost-user back-end that connects to this\n"
     "                         socket; the device is there when it has come"},
    {"vhost", NULL, FOR_BLK | FOR_RNG, KEY_VHOST, 0, 0, 0,
     "its transport is another process's: be the back-end that connects to this socket"},
    {"grant_usage", NULL, FOR_ALL, KEY_GRANT_USAGE, 0, 0, 0,
     "1: memory=grant-map, 0: memory=foreign-map, as libxl writes it"},
    {"vectors", NULL, FOR_ALL, KEY_U32, FIELD(vectors), 1, 2048, "MSI-X vectors"},
    {"msix", NULL, FOR_ALL, KEY_BOOL_OFF, FIELD(no_msix), 0, 0, "0: INTx only"},
    {"bars", NULL, FOR_ALL, KEY_BAR_WIDTH, 0, 0, 0, "width of the BARs: 64 or 32"},
    {"notify-multiplier", NULL, FOR_ALL, KEY_MULTIPLIER, 0, 0, 64, "bytes between doorbells"},
    {"pin", NULL, FOR_ALL, KEY_U8, FIELD(interrupt_pin), 1, 4, "INTx pin, 1 to 4"},
    {"told-domid", NULL, FOR_ALL, KEY_TOLD_DOMID, FIELD(told_domid), 0, 0x7fef,
     "pci: the domain that the driver is told to grant its memory to"},
    {"told-in", NULL, FOR_ALL, KEY_TOLD_IN, 0, 0, 0,
     "and where: vendor-data (the default; VIRTIO means it for debugging),\n"
     "                         register, function (of its own), root-complex"},
};
_Static_assert(ARRAY_LENGTH(keys) <= 64, "device_spec.keys has a bit for each");

/* "portN" stands for port0, port1, ... */
static bool is_indexed(const struct key *key)
{
    return key->kind == KEY_PORT_END || key->kind == KEY_PORT_NAME || key->kind == KEY_PORT_CONSOLE;
}

static const struct key *find_key(const char *name, unsigned *index)
{
    *index = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        size_t len = strlen(keys[i].name);
        uint32_t number;

        if (is_indexed(&keys[i])) {
            if (!strncmp(keys[i].name, name, len - 1) &&
                !parse_u32(name + len - 1, 0, keys[i].max, &number)) {
                *index = number;
                return &keys[i];
            }
        } else if (!strcmp(keys[i].name, name) || (keys[i].alias && !strcmp(keys[i].alias, name))) {
            return &keys[i];
        }
    }
    return NULL;
}

bool device_spec_knows(const char *key)
{
    unsigned index;

    return find_key(key, &index) != NULL;
}

void device_spec_init(struct device_spec *spec)
{
    *spec = (struct device_spec){0};
}

void device_spec_fini(struct device_spec *spec)
{
    free(spec->path);
    free(spec->manage);
    free(spec->hold);
    free(spec->vhost);
    free(spec->vhost_listen);
    for (unsigned i = 0; i < DEVICE_PORTS_MAX; i++)
        free(spec->ports[i].end);
    *spec = (struct device_spec){0};
}

static int set_path(struct device_spec *spec, const char *value)
{
    static const char *const stores[] = {[BLK_STORE_NULL] = "null:",
                                         [BLK_STORE_UNTOUCHED] = "untouched:",
                                         [BLK_STORE_MEMORY] = "memory:"};
    unsigned store = 0;
    uint64_t null_bytes = 0;
    char *path = NULL;

    while (store < ARRAY_LENGTH(stores) && strncmp(value, stores[store], strlen(stores[store])))
        store++;
    if (store < ARRAY_LENGTH(stores)) {
        if (parse_size(value + strlen(stores[store]), SECTOR_BYTES, 1ull << 60, &null_bytes) ||
            null_bytes % SECTOR_BYTES)
            return -EINVAL;
        spec->store = (enum blk_store)store;
    } else {
        if (!*value)
            return -EINVAL;
        path = strdup(value);
        if (!path)
            return -ENOMEM;
    }
    free(spec->path);
    spec->path = path;
    spec->null_bytes = null_bytes;
    return 0;
}

/* The names follow from the type, which may be said later: device_spec_check looks at them. */
static int set_features(struct device_spec *spec, const char *value)
{
    if (strlen(value) >= sizeof(spec->features))
        return -EINVAL;
    strcpy(spec->features, value);
    return 0;
}

static int set_transport(struct device_spec *spec, const char *value)
{
    if (strcmp(value, "pci") && strcmp(value, "mmio"))
        return -EINVAL;
    spec->place.kind = *value == 'p' ? PLACE_PCI : PLACE_MMIO;
    return 0;
}

static int set_told_in(struct device_spec *spec, const char *value)
{
    static const char *const names[] = {[TOLD_IN_VENDOR_DATA] = "vendor-data",
                                        [TOLD_IN_REGISTER] = "register",
                                        [TOLD_IN_FUNCTION] = "function",
                                        [TOLD_IN_ROOT_COMPLEX] = "root-complex"};

    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
        if (!strcmp(names[i], value)) {
            spec->told_in = (enum told_in)i;
            return 0;
        }
    return -EINVAL;
}

static int set_base(struct device_spec *spec, const char *value)
{
    if (parse_u64(value, 0, UINT64_MAX - VIRTIO_MMIO_BYTES + 1, &spec->place.base) ||
        !is_aligned(spec->place.base, VIRTIO_MMIO_BYTES))
        return -EINVAL;
    return 0;
}

/* Numbers between: private interrupts of a vCPU. Up to: what a GIC has. */
static int set_line(struct device_spec *spec, const char *value)
{
    if (parse_u32(value, 0, 1019, &spec->place.line) ||
        (spec->place.line >= 16 && spec->place.line < 32))
        return -EINVAL;
    return 0;
}

static int set_text(char **to, const char *value)
{
    char *copy;

    if (!*value)
        return -EINVAL;
    copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*to);
    *to = copy;
    return 0;
}

static int set_value(struct device_spec *spec, const struct key *key, unsigned index,
                     const char *value)
{
    void *field = (char *)spec + key->offset;
    uint32_t number;
    bool flag;
    int rc;

    switch (key->kind) {
    case KEY_TYPE:
        spec->type = device_type_find(value);
        return spec->type ? 0 : -EINVAL;
    case KEY_TRANSPORT:
        return set_transport(spec, value);
    case KEY_SBDF:
        rc = place_parse_sbdf(value, &spec->place.sbdf);
        spec->has_sbdf = rc == 0;
        return rc;
    case KEY_PORT:
        rc = place_parse_sbdf(value, &spec->port);
        spec->has_port = rc == 0;
        return rc;
    case KEY_BASE:
        return set_base(spec, value);
    case KEY_LINE:
        return set_line(spec, value);
    case KEY_PATH:
        return set_path(spec, value);
    case KEY_MODE:
        if (strcmp(value, "r") && strcmp(value, "w"))
            return -EINVAL;
        spec->read_only = *value == 'r';
        return 0;
    case KEY_BOOL:
    case KEY_BOOL_OFF:
        rc = parse_bool(value, &flag);
        if (!rc)
            *(bool *)field = key->kind == KEY_BOOL ? flag : !flag;
        return rc;
    case KEY_U8:
        rc = parse_u32(value, key->min, key->max, &number);
        if (!rc)
            *(uint8_t *)field = (uint8_t)number;
        return rc;
    case KEY_U32:
        return parse_u32(value, key->min, key->max, field);
    case KEY_MULTIPLIER:
        rc = parse_u32(value, key->min, key->max, &number);
        if (rc || (number && (!is_pow2(number) || number < 2)))
            return -EINVAL;
        spec->notify_multiplier = number ? number : UINT32_MAX;
        return 0;
    case KEY_BAR_WIDTH:
        if (strcmp(value, "32") && strcmp(value, "64"))
            return -EINVAL;
        spec->bars_32bit = *value == '3';
        return 0;
    case KEY_SERIAL:
        if (strlen(value) > DEVICE_SERIAL_BYTES_MAX)
            return -EINVAL;
        strcpy(spec->serial, value);
        return 0;
    case KEY_MEMORY:
        if (!gmem_strategy_find(value) && strcmp(value, DEVICE_MEMORY_SHARED))
            return -EINVAL;
        strcpy(spec->memory, value);
        return 0;
    case KEY_GRANT_USAGE:
        rc = parse_bool(value, &flag);
        /* `memory` says it better, whichever comes first. */
        if (!rc && !*spec->memory)
            strcpy(spec->memory, flag ? "grant-map" : "foreign-map");
        return rc;
    case KEY_FEATURES:
        return set_features(spec, value);
    case KEY_PORT_END:
        return set_text(&spec->ports[index].end, value);
    case KEY_PORT_NAME:
        if (!*value || strlen(value) > DEVICE_PORT_NAME_BYTES_MAX)
            return -EINVAL;
        strcpy(spec->ports[index].name, value);
        return 0;
    case KEY_PORT_CONSOLE:
        rc = parse_bool(value, &spec->ports[index].console);
        spec->ports[index].has_console = rc == 0;
        return rc;
    case KEY_MANAGE:
        return set_text(&spec->manage, value);
    case KEY_HOLD:
        return set_text(&spec->hold, value);
    case KEY_TAP:
        if (!*value || strlen(value) >= sizeof(spec->tap))
            return -EINVAL;
        strcpy(spec->tap, value);
        return 0;
    case KEY_FD:
        rc = parse_u32(value, key->min, key->max, field);
        spec->has_wire_fd = rc == 0;
        return rc;
    case KEY_ENDPOINT:
        rc = parse_u32(value, key->min, key->max, field);
        spec->has_endpoint = rc == 0;
        return rc;
    case KEY_VHOST:
        return set_text(&spec->vhost, value);
    case KEY_VHOST_LISTEN:
        return set_text(&spec->vhost_listen, value);
    case KEY_TOLD_IN:
        return set_told_in(spec, value);
    case KEY_TOLD_DOMID:
        rc = parse_u32(value, key->min, key->max, field);
        spec->has_told_domid = rc == 0;
        return rc;
    case KEY_MAC:
        rc = net_parse_mac(value, spec->mac);
        spec->has_mac = rc == 0;
        return rc;
    }
    return -EINVAL;
}

int device_spec_set(struct device_spec *spec, const char *key, const char *value,
                    char error[DEVICE_SPEC_ERROR_BYTES])
{
    unsigned index;
    const struct key *k = find_key(key, &index);
    char names[64];
    int rc;

    if (!k) {
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "unknown key \"%.40s\"", key);
        return -EINVAL;
    }
    rc = set_value(spec, k, index, value);
    if (!rc)
        spec->keys |= BIT64(k - keys);
    if (rc == -ENOMEM)
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "out of memory");
    else if (rc && k->kind == KEY_TYPE)
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "type: there is no \"%.40s\" (known: %s)", value,
                 device_type_names(names, sizeof(names)));
    else if (rc && (k->kind == KEY_U32 || k->kind == KEY_U8 || k->kind == KEY_FD ||
                    k->kind == KEY_ENDPOINT))
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "%s: \"%.40s\" is not a number from %u to %u", key,
                 value, k->min, k->max);
    else if (rc)
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "%s: \"%.80s\" is not valid (%s)", key, value,
                 k->help);
    return rc == -ENOMEM ? rc : rc ? -EINVAL : 0;
}

int device_spec_parse(struct device_spec *spec, const char *text,
                      char error[DEVICE_SPEC_ERROR_BYTES])
{
    char *copy = strdup(text);
    char *cursor = copy;
    char *key, *value;
    bool first = true;
    int rc;

    device_spec_init(spec);
    if (!copy) {
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "out of memory");
        return -ENOMEM;
    }
    while ((rc = parse_next_item(&cursor, &key, &value)) == 1) {
        if (first && !value)
            rc = device_spec_set(spec, "type", key, error);
        else
            rc = device_spec_set(spec, key, value ? value : "1", error);
        if (rc)
            goto out;
        first = false;
    }
    if (rc) {
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "an empty item between commas");
        goto out;
    }
    rc = device_spec_check(spec, error);
out:
    free(copy);
    return rc;
}

uint64_t device_spec_own_features(uint64_t features)
{
    uint64_t own = 0;

    for (unsigned bit = 0; bit < 64; bit++)
        if ((features & BIT64(bit)) && !VIRTIO_F_IS_TRANSPORT(bit))
            own |= BIT64(bit);
    return own;
}

/* The edits, with the names of the type's features. */
static int take_features(struct device_spec *spec, char error[DEVICE_SPEC_ERROR_BYTES])
{
    char text[DEVICE_SPEC_FEATURES_BYTES];
    char *rest = text;
    char *item;

    spec->features_on = spec->features_off = 0;
    if (!*spec->features)
        return 0;
    strcpy(text, spec->features);
    while ((item = strsep(&rest, ":")) != NULL) {
        uint64_t bits = UINT64_MAX;

        if (*item == '-' || *item == '+')
            bits = vdev_feature_by_name(spec->type->vdev, item + 1);
        if (bits == UINT64_MAX) {
            snprintf(error, DEVICE_SPEC_ERROR_BYTES,
                     "features: \"%.40s\" is no -NAME or +NAME of a feature that a %s has", item,
                     spec->type->name);
            return -EINVAL;
        }
        if (*item == '-')
            spec->features_off |= bits;
        else
            spec->features_on |= bits;
    }
    if (spec->place.kind != PLACE_PCI &&
        (spec->features_on & VIRTIO_F(VIRTIO_F_NOTIF_CONFIG_DATA))) {
        snprintf(error, DEVICE_SPEC_ERROR_BYTES,
                 "features: notif-config-data goes with "
                 "transport=pci");
        return -EINVAL;
    }
    return 0;
}

static bool was_set(const struct device_spec *spec, const char *name)
{
    unsigned index;

    return spec->keys & BIT64(find_key(name, &index) - keys);
}

static const char *place_lacks(const struct device_spec *spec)
{
    static const char *const of_pci[] = {"vectors", "msix", "bars", "notify-multiplier", "pin"};

    if (spec->place.kind == PLACE_PCI) {
        if (was_set(spec, "base") || was_set(spec, "irq"))
            return "base and irq go with transport=mmio";
        if (spec->has_port && sbdf_device(spec->place.sbdf))
            return "device 0 is the only one behind a port";
        return spec->has_sbdf ? NULL : "no sbdf";
    }
    for (size_t i = 0; i < ARRAY_LENGTH(of_pci); i++)
        if (was_set(spec, of_pci[i]))
            return "vectors, msix, bars, notify-multiplier and pin go with transport=pci";
    if (spec->has_port)
        return "port goes with transport=pci";
    if (spec->has_sbdf)
        return "sbdf goes with transport=pci";
    if (!was_set(spec, "base"))
        return "no base";
    return was_set(spec, "irq") ? NULL : "no irq";
}

bool device_spec_is_shared(const struct device_spec *spec)
{
    return !strcmp(spec->memory, DEVICE_MEMORY_SHARED);
}

int device_spec_check(struct device_spec *spec, char error[DEVICE_SPEC_ERROR_BYTES])
{
    const char *what = NULL;
    char names[64];

    if (!spec->type) {
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "no type (%s)",
                 device_type_names(names, sizeof(names)));
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        if (!(spec->keys & BIT64(i)) || (keys[i].types & 1u << (spec->type - device_types)))
            continue;
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "%s: a %s has no such key", keys[i].name,
                 spec->type->name);
        return -EINVAL;
    }
    what = place_lacks(spec);
    if (!what && spec->queue_size && !is_pow2(spec->queue_size))
        what = "queue-size is not a power of two";
    if (!what && spec->vhost && spec->vhost_listen)
        what = "a back-end (vhost) has no back-end (vhost-listen)";
    if (!what && spec->vhost_listen && (spec->path || spec->null_bytes))
        what = "path goes to the back-end, which has the data";
    if (!what && (spec->vhost || spec->vhost_listen) && spec->has_endpoint)
        what = "no IOMMU (endpoint) with vhost-user";
    if (!what && device_spec_is_shared(spec) && !spec->vhost)
        what = "memory=shared is for a back-end (vhost)";
    if (!what && !spec->vhost_listen)
        what = spec->type->lacks(spec);
    if (!what)
        return take_features(spec, error);
    snprintf(error, DEVICE_SPEC_ERROR_BYTES, "%s", what);
    return -EINVAL;
}

void device_spec_help(FILE *out)
{
    char names[64];

    fprintf(out, "    types: %s\n", device_type_names(names, sizeof(names)));
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        const char *between = " (";

        fprintf(out, "    %-20s %s", keys[i].name, keys[i].help);
        for (unsigned t = 0; keys[i].types != FOR_ALL && t < DEVICE_TYPES; t++) {
            if (!(keys[i].types & 1u << t))
                continue;
            fprintf(out, "%s%s", between, device_types[t].name);
            between = ", ";
        }
        fputs(keys[i].types == FOR_ALL ? "\n" : ")\n", out);
    }
}
