/* SPDX-License-Identifier: MIT */
#include "backend/device_types.h"

#include <inttypes.h>
#include <string.h>

#include "device/blk.h"
#include "device/console.h"
#include "device/iommu.h"
#include "device/net.h"
#include "device/rng.h"
#include "spec/virtio.h"
#include "spec/virtio_blk.h"
#include "spec/virtio_console.h"
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
        .store = spec->store,
        .null_bytes = spec->null_bytes,
        .read_only = spec->read_only,
        .direct = spec->direct,
        .queues = spec->queues,
        .serial = *spec->serial ? spec->serial : NULL,
        .block_bytes = spec->block_bytes,
        .physical_block_bytes = spec->physical_block_bytes,
        .seg_max = spec->seg_max,
        .size_max = spec->size_max,
        .zone_bytes = spec->zone_bytes,
        .zone_append_bytes = spec->zone_append_bytes,
        .hold = spec->hold,
        .lifetime = spec->features_on & VIRTIO_F(VIRTIO_BLK_F_LIFETIME),
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

/* ---- console ---- */

_Static_assert(DEVICE_PORTS_MAX == CONSOLE_PORTS_MAX, "each port of a console has its keys");

static const struct {
    const char *prefix;
    enum console_end_kind kind;
    bool takes_path, needs_path;
} end_kinds[] = {
    {"null", CONSOLE_END_NULL, false, false},
    {"file", CONSOLE_END_FILE, true, true},
    {"unix", CONSOLE_END_UNIX, true, true},
    {"pty", CONSOLE_END_PTY, true, false},
};

/* "KIND" or "KIND:PATH". False: it is none. */
static bool parse_end(const char *text, struct console_port_options *o)
{
    size_t len = strcspn(text, ":");
    const char *path = text[len] ? text + len + 1 : NULL;

    for (size_t i = 0; i < ARRAY_LENGTH(end_kinds); i++) {
        if (strlen(end_kinds[i].prefix) != len || strncmp(end_kinds[i].prefix, text, len))
            continue;
        if (path ? !*path || !end_kinds[i].takes_path : end_kinds[i].needs_path)
            return false;
        o->kind = end_kinds[i].kind;
        o->path = path;
        return true;
    }
    return false;
}

static unsigned ports_configured(const struct device_spec *spec)
{
    unsigned n = 0;

    for (unsigned i = 0; i < DEVICE_PORTS_MAX; i++)
        if (spec->ports[i].end)
            n = i + 1;
    return n;
}

static const char *console_lacks(const struct device_spec *spec)
{
    struct console_port_options o;

    if (!spec->ports[0].end)
        return "no port0";
    if (!spec->cols != !spec->rows)
        return "cols and rows go together";
    if (spec->ports_max && spec->ports_max < ports_configured(spec))
        return "ports is less than the ports that there are";
    for (unsigned i = 0; i < DEVICE_PORTS_MAX; i++) {
        if (spec->ports[i].end && !parse_end(spec->ports[i].end, &o))
            return "the end of a port is null, file:PATH, unix:PATH, pty or pty:LINK";
        if (!spec->ports[i].end && *spec->ports[i].name)
            return "a port that is not there has a name";
    }
    return NULL;
}

static int console_make(const struct vdev_config *config, const struct device_spec *spec,
                        struct vdev **out, char *error, size_t error_bytes)
{
    struct console_options options = {
        .ports_max = spec->ports_max ? spec->ports_max : ports_configured(spec),
        .cols = (uint16_t)spec->cols,
        .rows = (uint16_t)spec->rows,
        .manage = spec->manage,
        .features_off = device_spec_own_features(spec->features_off),
    };

    options.multiport =
        options.ports_max > 1 || (spec->features_on & VIRTIO_F(VIRTIO_CONSOLE_F_MULTIPORT));
    for (unsigned i = 0; i < options.ports_max; i++) {
        const struct device_port *p = &spec->ports[i];

        options.ports[i] = (struct console_port_options){
            .name = *p->name ? p->name : NULL,
            /* Somebody has to be the console of a guest that wants one. */
            .console = p->has_console ? p->console : i == 0,
        };
        if (p->end)
            parse_end(p->end, &options.ports[i]);
    }
    return console_create(config, &options, out, error, error_bytes);
}

static void console_stats_json(const struct vdev *d, FILE *out)
{
    struct console_stats s;

    console_get_stats(d, &s);
    fprintf(
        out,
        "\"to_driver_bytes\":%" PRIu64 ",\"from_driver_bytes\":%" PRIu64
        ",\"dropped_bytes\":%" PRIu64 ",\"control_sent\":%" PRIu64 ",\"control_refused\":%" PRIu64,
        s.to_driver_bytes, s.from_driver_bytes, s.dropped_bytes, s.control_sent, s.control_refused);
}

/* ---- net ---- */

static const char *net_lacks(const struct device_spec *spec)
{
    unsigned wires = (*spec->tap != '\0') + (spec->path != NULL) + spec->has_wire_fd;

    if (spec->null_bytes)
        return "a null store has no frames";
    return wires == 1 ? NULL : "one of tap, path and fd is needed";
}

static int net_make(const struct vdev_config *config, const struct device_spec *spec,
                    struct vdev **out, char *error, size_t error_bytes)
{
    struct net_options options = {
        .tap = *spec->tap ? spec->tap : NULL,
        .listen = spec->path,
        .fd = spec->has_wire_fd ? (int)spec->wire_fd : -1,
        .pairs = spec->queues,
        .has_mac = spec->has_mac,
        .mtu = (uint16_t)spec->mtu,
        .features_off = device_spec_own_features(spec->features_off),
    };

    memcpy(options.mac, spec->mac, sizeof(options.mac));
    return net_create(config, &options, out, error, error_bytes);
}

static void net_stats_json(const struct vdev *d, FILE *out)
{
    struct net_stats s;

    net_get_stats(d, &s);
    fprintf(out,
            "\"rx_frames\":%" PRIu64 ",\"rx_bytes\":%" PRIu64 ",\"tx_frames\":%" PRIu64
            ",\"tx_bytes\":%" PRIu64 ",\"rx_waits\":%" PRIu64 ",\"tx_waits\":%" PRIu64
            ",\"rx_filtered\":%" PRIu64 ",\"rx_malformed\":%" PRIu64 ",\"rx_oversize\":%" PRIu64
            ",\"rx_no_queue\":%" PRIu64 ",\"rx_csum_finished\":%" PRIu64
            ",\"tx_malformed\":%" PRIu64 ",\"tx_oversize\":%" PRIu64 ",\"tx_refused\":%" PRIu64
            ",\"ctrl_ok\":%" PRIu64 ",\"ctrl_err\":%" PRIu64 ",\"links\":%" PRIu64,
            s.rx_frames, s.rx_bytes, s.tx_frames, s.tx_bytes, s.rx_waits, s.tx_waits, s.rx_filtered,
            s.rx_malformed, s.rx_oversize, s.rx_no_queue, s.rx_csum_finished, s.tx_malformed,
            s.tx_oversize, s.tx_refused, s.ctrl_ok, s.ctrl_err, s.links);
}

/* ---- iommu ---- */

static const char *iommu_lacks(const struct device_spec *spec)
{
    return NULL;
}

static int iommu_make(const struct vdev_config *config, const struct device_spec *spec,
                      struct vdev **out, char *error, size_t error_bytes)
{
    const struct iommu_options options = {
        .features_off = device_spec_own_features(spec->features_off),
    };

    return iommu_device_create(config, &options, out, error, error_bytes);
}

static void iommu_stats_json(const struct vdev *d, FILE *out)
{
    struct iommu_stats s;

    iommu_get_stats(d, &s);
    fprintf(out,
            "\"requests\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"waits\":%" PRIu64
            ",\"faults\":%" PRIu64 ",\"faults_dropped\":%" PRIu64,
            s.requests, s.refused, s.waits, s.faults, s.faults_dropped);
}

/* ---- the table ---- */

const struct device_type device_types[DEVICE_TYPES] = {
    [DEVICE_BLK] = {"blk", &blk_type, blk_lacks, blk_make, blk_stats_json},
    [DEVICE_RNG] = {"rng", &rng_type, rng_lacks, rng_make, rng_stats_json},
    [DEVICE_CONSOLE] = {"console", &console_type, console_lacks, console_make, console_stats_json},
    [DEVICE_NET] = {"net", &net_type, net_lacks, net_make, net_stats_json},
    [DEVICE_IOMMU] = {"iommu", &iommu_type, iommu_lacks, iommu_make, iommu_stats_json},
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
