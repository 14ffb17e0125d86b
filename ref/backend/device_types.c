/* SPDX-License-Identifier: MIT */
#include "backend/device_types.h"

#include <inttypes.h>
#include <string.h>

#include "device/blk.h"
#include "device/rng.h"
#include "util/bits.h"

/* ---- blk ---- */

static const char *blk_lacks(const struct device_spec *spec)
{
    if (!spec->path && !spec->null_bytes)
        return "no path";
    if (spec->block_bytes && !is_pow2(spec->block_bytes))
        return "block-size is not a power of two";
    if (spec->physical_block_bytes && !is_pow2(spec->physical_block_bytes))
        return "physical-block-size is not a power of two";
    return NULL;
}

static int blk_make(const struct vdev_config *config, const struct device_spec *spec,
                    struct vdev **out, char *error, size_t error_bytes)
{
    const struct blk_options options = {
        .path = spec->path,
        .null_bytes = spec->null_bytes,
        .read_only = spec->read_only,
        .direct = spec->direct,
        .queues = spec->queues,
        .serial = *spec->serial ? spec->serial : NULL,
        .block_bytes = spec->block_bytes,
        .physical_block_bytes = spec->physical_block_bytes,
        .seg_max = spec->seg_max,
        .size_max = spec->size_max,
        .features_off = device_spec_own_features(spec->features_off),
    };

    return blk_create(config, &options, out, error, error_bytes);
}

static void blk_stats_json(const struct vdev *d, FILE *out)
{
    struct blk_stats b;

    blk_get_stats(d, &b);
    fprintf(out,
            "\"reads\":%" PRIu64 ",\"writes\":%" PRIu64 ",\"flushes\":%" PRIu64
            ",\"discards\":%" PRIu64 ",\"zeroes\":%" PRIu64 ",\"ids\":%" PRIu64
            ",\"unsupported\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"read_bytes\":%" PRIu64
            ",\"written_bytes\":%" PRIu64,
            b.reads, b.writes, b.flushes, b.discards, b.zeroes, b.ids, b.unsupported, b.errors,
            b.read_bytes, b.written_bytes);
}

/* ---- rng ---- */

static const char *rng_lacks(const struct device_spec *spec)
{
    return spec->null_bytes ? "a null store has no random bytes" : NULL;
}

static int rng_make(const struct vdev_config *config, const struct device_spec *spec,
                    struct vdev **out, char *error, size_t error_bytes)
{
    const struct rng_options options = {
        .path = spec->path,
        .rate_bytes_per_s = spec->rate_bytes_per_s,
    };

    return rng_create(config, &options, out, error, error_bytes);
}

static void rng_stats_json(const struct vdev *d, FILE *out)
{
    struct rng_stats s;

    rng_get_stats(d, &s);
    fprintf(out, "\"requests\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"waits\":%" PRIu64, s.requests,
            s.bytes, s.waits);
}

/* ---- the table ---- */

const struct device_type device_types[DEVICE_TYPES] = {
    [DEVICE_BLK] = {"blk", &blk_type, blk_lacks, blk_make, blk_stats_json},
    [DEVICE_RNG] = {"rng", &rng_type, rng_lacks, rng_make, rng_stats_json},
};

const struct device_type *device_type_find(const char *name)
{
    char compatible[32];

    for (unsigned i = 0; i < DEVICE_TYPES; i++) {
        snprintf(compatible, sizeof(compatible), "virtio,device%" PRIx32,
                 device_types[i].vdev->device_id);
        if (!strcmp(device_types[i].name, name) || !strcmp(compatible, name))
            return &device_types[i];
    }
    return NULL;
}

const char *device_type_names(char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = '\0';
    for (unsigned i = 0; i < DEVICE_TYPES && used < size; i++)
        used +=
            (size_t)snprintf(buf + used, size - used, "%s%s", i ? ", " : "", device_types[i].name);
    return buf;
}
