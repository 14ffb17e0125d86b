/* SPDX-License-Identifier: MIT */
#include "backend/device_spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/blk.h"
#include "util/bits.h"
#include "util/parse.h"
#include "xen/gmem_strategy.h"

enum key_kind {
    KEY_TYPE,
    KEY_SBDF,
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
    KEY_FEATURES,
};

struct key {
    const char *name;
    const char *alias; /* another name for it in Xenstore, or NULL */
    enum key_kind kind;
    size_t offset;     /* of the field in struct device_spec */
    uint32_t min, max; /* of numbers */
    const char *help;
};

#define FIELD(name) offsetof(struct device_spec, name)

static const struct key keys[] = {
    {"type", NULL, KEY_TYPE, 0, 0, 0, "what it is: blk (first item on the command line)"},
    {"sbdf", NULL, KEY_SBDF, 0, 0, 0, "its place: 0000:00:01.0; in Xenstore 0000-00-01-0"},
    {"path", "params", KEY_PATH, 0, 0, 0, "image file, block device, or null:SIZE for no disk"},
    {"ro", NULL, KEY_BOOL, FIELD(read_only), 0, 0, "1: read-only"},
    {"mode", NULL, KEY_MODE, 0, 0, 0, "r or w: the same as ro, as toolstacks write it"},
    {"direct", NULL, KEY_BOOL, FIELD(direct), 0, 0, "1: bypass the page cache (O_DIRECT)"},
    {"queues", NULL, KEY_U32, FIELD(queues), 1, VDEV_QUEUES_MAX, "request queues"},
    {"queue-size", NULL, KEY_U32, FIELD(queue_size), 2, 32768, "largest queue, a power of two"},
    {"serial", NULL, KEY_SERIAL, 0, 0, 0, "identity, up to 20 characters"},
    {"block-size", NULL, KEY_U32, FIELD(block_bytes), 512, 65536, "logical block, bytes"},
    {"physical-block-size", NULL, KEY_U32, FIELD(physical_block_bytes), 512, 1u << 24,
     "physical block, bytes"},
    {"seg-max", NULL, KEY_U32, FIELD(seg_max), 1, 1022, "data segments of one request"},
    {"size-max", NULL, KEY_U32, FIELD(size_max), 4096, 1u << 30, "bytes of one segment"},
    {"features", NULL, KEY_FEATURES, 0, 0, 0, "-NAME takes a feature away, +NAME adds; A:B:C"},
    {"memory", NULL, KEY_MEMORY, 0, 0, 0, "how addresses are reached, instead of --memory"},
    {"vectors", NULL, KEY_U32, FIELD(vectors), 1, 2048, "MSI-X vectors"},
    {"msix", NULL, KEY_BOOL_OFF, FIELD(no_msix), 0, 0, "0: INTx only"},
    {"bars", NULL, KEY_BAR_WIDTH, 0, 0, 0, "width of the BARs: 64 or 32"},
    {"notify-multiplier", NULL, KEY_MULTIPLIER, 0, 0, 64, "bytes between doorbells"},
    {"pin", NULL, KEY_U8, FIELD(interrupt_pin), 1, 4, "INTx pin, 1 to 4"},
};

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        if (!strcmp(keys[i].name, name) || (keys[i].alias && !strcmp(keys[i].alias, name)))
            return &keys[i];
    return NULL;
}

bool device_spec_knows(const char *key)
{
    return find_key(key) != NULL;
}

void device_spec_init(struct device_spec *spec)
{
    *spec = (struct device_spec){0};
}

void device_spec_fini(struct device_spec *spec)
{
    free(spec->path);
    *spec = (struct device_spec){0};
}

int device_spec_parse_sbdf(const char *text, sbdf_t *sbdf)
{
    char colons[] = "ssss:bb:dd.f";

    if (!parse_sbdf(text, sbdf))
        return 0;
    if (strlen(text) != sizeof(colons) - 1 || text[4] != '-' || text[7] != '-' || text[10] != '-')
        return -EINVAL;
    memcpy(colons, text, sizeof(colons));
    colons[4] = ':';
    colons[7] = ':';
    colons[10] = '.';
    return parse_sbdf(colons, sbdf) ? -EINVAL : 0;
}

static int set_path(struct device_spec *spec, const char *value)
{
    uint64_t null_bytes = 0;
    char *path = NULL;

    if (!strncmp(value, "null:", 5)) {
        if (parse_size(value + 5, BLK_SECTOR_BYTES, 1ull << 60, &null_bytes) ||
            null_bytes % BLK_SECTOR_BYTES)
            return -EINVAL;
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

static int set_features(struct device_spec *spec, const char *value)
{
    char text[256];
    char *rest = text;
    char *item;

    if (strlen(value) >= sizeof(text))
        return -EINVAL;
    strcpy(text, value);
    while ((item = strsep(&rest, ":")) != NULL) {
        uint64_t bits;

        if (*item != '-' && *item != '+')
            return -EINVAL;
        bits = blk_feature_by_name(item + 1);
        if (bits == UINT64_MAX)
            return -EINVAL;
        if (*item == '-')
            spec->features_off |= bits;
        else
            spec->features_on |= bits;
    }
    return 0;
}

static int set_value(struct device_spec *spec, const struct key *key, const char *value)
{
    void *field = (char *)spec + key->offset;
    uint32_t number;
    bool flag;
    int rc;

    switch (key->kind) {
    case KEY_TYPE:
        if (strcmp(value, "blk"))
            return -EINVAL;
        strcpy(spec->type, value);
        return 0;
    case KEY_SBDF:
        rc = device_spec_parse_sbdf(value, &spec->sbdf);
        spec->has_sbdf = rc == 0;
        return rc;
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
        if (!gmem_strategy_find(value))
            return -EINVAL;
        strcpy(spec->memory, value);
        return 0;
    case KEY_FEATURES:
        return set_features(spec, value);
    }
    return -EINVAL;
}

int device_spec_set(struct device_spec *spec, const char *key, const char *value,
                    char error[DEVICE_SPEC_ERROR_BYTES])
{
    const struct key *k = find_key(key);
    int rc;

    if (!k) {
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "unknown key \"%.40s\"", key);
        return -EINVAL;
    }
    rc = set_value(spec, k, value);
    if (rc == -ENOMEM)
        snprintf(error, DEVICE_SPEC_ERROR_BYTES, "out of memory");
    else if (rc && (k->kind == KEY_U32 || k->kind == KEY_U8))
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

int device_spec_check(const struct device_spec *spec, char error[DEVICE_SPEC_ERROR_BYTES])
{
    const char *what = NULL;

    if (!*spec->type)
        what = "no type (blk)";
    else if (!spec->has_sbdf)
        what = "no sbdf";
    else if (!spec->path && !spec->null_bytes)
        what = "no path";
    else if (spec->queue_size && !is_pow2(spec->queue_size))
        what = "queue-size is not a power of two";
    else if (spec->block_bytes && !is_pow2(spec->block_bytes))
        what = "block-size is not a power of two";
    else if (spec->physical_block_bytes && !is_pow2(spec->physical_block_bytes))
        what = "physical-block-size is not a power of two";
    if (!what)
        return 0;
    snprintf(error, DEVICE_SPEC_ERROR_BYTES, "%s", what);
    return -EINVAL;
}

void device_spec_help(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        fprintf(out, "    %-20s %s\n", keys[i].name, keys[i].help);
}
