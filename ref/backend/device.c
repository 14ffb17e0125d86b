/* SPDX-License-Identifier: MIT */
#include "backend/device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "device/blk.h"
#include "spec/virtio.h"
#include "transport/virtio_pci.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/parse.h"
#include "xen/gmem_strategy.h"

#define QUEUE_SIZE_DEFAULT 256u

#define TRANSPORT_FEATURES                                                                         \
    (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_ACCESS_PLATFORM) | BIT64(VIRTIO_F_INDIRECT_DESC) | \
     BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_RING_RESET))

struct device {
    struct bridges *bridges; /* borrowed */
    sbdf_t at;
    char label[DEVICE_SPEC_TYPE_BYTES + SBDF_TEXT_BYTES];
    struct gmem *gmem;
    struct vdev *vdev;
    struct virtio_pci *pci;
    bool attached;
    uint64_t interrupts;
};

/* Bits of word 0 to 23 and 50 upward are the device type's own, 2.2. */
static uint64_t transport_part(uint64_t features)
{
    uint64_t part = 0;

    for (unsigned bit = 0; bit < 64; bit++)
        if ((features & BIT64(bit)) && VIRTIO_F_IS_TRANSPORT(bit))
            part |= BIT64(bit);
    return part;
}

static int make_blk(struct device *d, const struct device_env *env, const struct device_spec *spec,
                    char error[DEVICE_ERROR_BYTES])
{
    uint64_t on = transport_part(spec->features_on);
    uint64_t off = transport_part(spec->features_off);
    struct vdev_config config = {
        .loop = env->loop,
        .gmem = d->gmem,
        .features = (TRANSPORT_FEATURES | on) & ~off,
        .queue_size_max = spec->queue_size ? spec->queue_size : QUEUE_SIZE_DEFAULT,
        .label = d->label,
    };
    struct blk_options options = {
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
        .features_off = spec->features_off & ~transport_part(spec->features_off),
    };
    char why[DEVICE_ERROR_BYTES - 64] = "";
    int rc = blk_create(&config, &options, &d->vdev, why, sizeof(why));

    if (rc)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: %s", d->label, *why ? why : strerror(-rc));
    return rc;
}

static int make_pci(struct device *d, const struct device_spec *spec,
                    char error[DEVICE_ERROR_BYTES])
{
    struct virtio_pci_options options = {
        .vectors = spec->vectors,
        .no_msix = spec->no_msix,
        .bars_32bit = spec->bars_32bit,
        .notify_multiplier = spec->notify_multiplier,
        .interrupt_pin = spec->interrupt_pin,
    };
    int rc = virtio_pci_create(d->vdev, &options, &d->pci);

    if (rc) {
        snprintf(error, DEVICE_ERROR_BYTES, "%s: virtio-pci: %s", d->label, strerror(-rc));
        return rc;
    }
    rc = bridges_attach(d->bridges, d->at, virtio_pci_function(d->pci), &d->interrupts);
    if (rc == 0)
        d->attached = true;
    else if (rc == -EINVAL)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: no --host-bridge has this bus", d->label);
    else if (rc == -EEXIST)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: another device is there already", d->label);
    else
        snprintf(error, DEVICE_ERROR_BYTES, "%s: cannot be put on the bus: %s", d->label,
                 strerror(-rc));
    return rc;
}

int device_create(const struct device_env *env, const struct device_spec *spec, struct device **out,
                  char error[DEVICE_ERROR_BYTES])
{
    const struct gmem_strategy *strategy =
        gmem_strategy_find(*spec->memory ? spec->memory : env->memory);
    const struct gmem_strategy_args args = {.xen = env->xen, .domid = env->domid};
    struct device *d = calloc(1, sizeof(*d));
    char at[SBDF_TEXT_BYTES];
    int rc;

    if (!d || !strategy) {
        rc = d ? -EINVAL : -ENOMEM;
        snprintf(error, DEVICE_ERROR_BYTES, "%s", strerror(-rc));
        goto out;
    }
    d->bridges = env->bridges;
    d->at = spec->sbdf;
    format_sbdf(spec->sbdf, at);
    snprintf(d->label, sizeof(d->label), "%s %s", spec->type, at);

    rc = strategy->create(&args, &d->gmem);
    if (rc) {
        snprintf(error, DEVICE_ERROR_BYTES, "%s: memory %s: %s", d->label, strategy->name,
                 strerror(-rc));
        goto out;
    }
    rc = make_blk(d, env, spec, error);
    if (!rc)
        rc = make_pci(d, spec, error);
out:
    if (rc) {
        device_destroy(d);
        return rc;
    }
    log_info("%s: on the bus, memory %s", d->label, strategy->name);
    *out = d;
    return 0;
}

void device_destroy(struct device *d)
{
    if (!d)
        return;
    if (d->attached)
        bridges_detach(d->bridges, d->at);
    virtio_pci_destroy(d->pci);
    vdev_destroy(d->vdev);
    gmem_destroy(d->gmem);
    free(d);
}

sbdf_t device_sbdf(const struct device *d)
{
    return d->at;
}

const char *device_label(const struct device *d)
{
    return d->label;
}

void device_stats_json(const struct device *d, FILE *out)
{
    const struct gmem_stats *m = &d->gmem->stats;
    struct blk_stats b;

    blk_get_stats(d->vdev, &b);
    fprintf(out,
            "{\"device\":\"%s\",\"interrupts\":%" PRIu64 ",\"memory\":{\"name\":\"%s\","
            "\"leases\":%" PRIu64 ",\"leases_out\":%u,\"ranges\":%" PRIu64 ",\"map_calls\":%" PRIu64
            ",\"pages_mapped\":%" PRIu64 ",\"unmap_calls\":%" PRIu64 ",\"pages_unmapped\":%" PRIu64
            ",\"copy_calls\":%" PRIu64 ",\"copy_segments\":%" PRIu64 ",\"bytes_copied\":%" PRIu64
            ",\"cache_hits\":%" PRIu64 ",\"cache_misses\":%" PRIu64 ",\"errors\":%" PRIu64 "},",
            d->label, d->interrupts, d->gmem->ops->name, m->leases, d->gmem->leases_out, m->ranges,
            m->map_calls, m->pages_mapped, m->unmap_calls, m->pages_unmapped, m->copy_calls,
            m->copy_segments, m->bytes_copied, m->cache_hits, m->cache_misses, m->errors);
    fprintf(out,
            "\"blk\":{\"reads\":%" PRIu64 ",\"writes\":%" PRIu64 ",\"flushes\":%" PRIu64
            ",\"discards\":%" PRIu64 ",\"zeroes\":%" PRIu64 ",\"ids\":%" PRIu64
            ",\"unsupported\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"read_bytes\":%" PRIu64
            ",\"written_bytes\":%" PRIu64 "}}",
            b.reads, b.writes, b.flushes, b.discards, b.zeroes, b.ids, b.unsupported, b.errors,
            b.read_bytes, b.written_bytes);
}
