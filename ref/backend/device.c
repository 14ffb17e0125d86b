/* SPDX-License-Identifier: MIT */
#include "backend/device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/device_types.h"
#include "gmem/iommu.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "transport/virtio_pci.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

#define QUEUE_SIZE_DEFAULT 256u
#define DEVICE_LABEL_BYTES (16u + PLACE_TEXT_BYTES)

#define TRANSPORT_FEATURES                                                                         \
    (BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_ACCESS_PLATFORM) | BIT64(VIRTIO_F_INDIRECT_DESC) | \
     BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_RING_PACKED) | BIT64(VIRTIO_F_RING_RESET))

struct device {
    const struct device_type *type;
    struct machine *machine; /* borrowed */
    struct place at;
    char label[DEVICE_LABEL_BYTES];
    struct gmem *memory;   /* its own way to it */
    struct gmem *endpoint; /* the same behind the IOMMU; NULL: it is not behind it */
    struct vdev *vdev;
    struct virtio_pci *pci; /* NULL: virtio-mmio, which the window owns */
    bool attached, in_slot;
    uint64_t interrupts;
};

static int make_vdev(struct device *d, const struct device_env *env, const struct device_spec *spec,
                     char error[DEVICE_ERROR_BYTES])
{
    uint64_t on = spec->features_on & ~device_spec_own_features(spec->features_on);
    struct vdev_config config = {
        .loop = env->loop,
        .gmem = d->endpoint ? d->endpoint : d->memory,
        .iommu = env->iommu,
        .features = (TRANSPORT_FEATURES | on) & ~spec->features_off,
        .queue_size_max = spec->queue_size ? spec->queue_size : QUEUE_SIZE_DEFAULT,
        .label = d->label,
    };
    char why[DEVICE_ERROR_BYTES - 64] = "";
    int rc = spec->type->create(&config, spec, &d->vdev, why, sizeof(why));

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
        .tells_domid = spec->has_told_domid && spec->told_in <= TOLD_IN_REGISTER,
        .told_in_register = spec->told_in == TOLD_IN_REGISTER,
        .told_domid = (uint16_t)spec->told_domid,
        .in_slot = spec->has_port,
    };
    int rc = virtio_pci_create(d->vdev, &options, &d->pci);

    if (rc) {
        snprintf(error, DEVICE_ERROR_BYTES, "%s: virtio-pci: %s", d->label, strerror(-rc));
        return rc;
    }
    d->in_slot = spec->has_port;
    if (d->in_slot)
        rc = slots_attach(machine_slots(d->machine), spec->port, d->at.sbdf,
                          virtio_pci_function(d->pci), &d->interrupts);
    else
        rc = bridges_attach(machine_bridges(d->machine), d->at.sbdf, virtio_pci_function(d->pci),
                            &d->interrupts);
    if (rc == 0 && MUTANT(attached_device_is_enabled))
        pci_function_poke(virtio_pci_function(d->pci), PCI_REG_COMMAND, 2, PCI_COMMAND_MEMORY);
    if (rc == 0)
        d->attached = true;
    else if (rc == -ENOENT)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: its port is no --root-port", d->label);
    else if (rc == -EINVAL)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: no --host-bridge has this bus", d->label);
    else if (rc == -EEXIST)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: another device is there already", d->label);
    else
        snprintf(error, DEVICE_ERROR_BYTES, "%s: cannot be put on the bus: %s", d->label,
                 strerror(-rc));
    if (rc || !spec->has_told_domid || spec->told_in <= TOLD_IN_REGISTER)
        return rc;
    rc = teller_add(machine_teller(d->machine), spec->told_in, d->at.sbdf,
                    (uint16_t)spec->told_domid);
    if (rc)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: its driver cannot be told: %s", d->label,
                 strerror(-rc));
    return rc;
}

static int make_mmio(struct device *d, char error[DEVICE_ERROR_BYTES])
{
    int rc = -EEXIST;

    if (!bridges_have(machine_bridges(d->machine), &d->at))
        rc = windows_attach(machine_windows(d->machine), &d->at, d->vdev, &d->interrupts);
    d->attached = rc == 0;
    if (rc == -EEXIST)
        snprintf(error, DEVICE_ERROR_BYTES,
                 "%s: another device or a host bridge is there, or has irq %u", d->label,
                 d->at.line);
    else if (rc)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: virtio-mmio: %s", d->label, strerror(-rc));
    return rc;
}

int device_create(const struct device_env *env, const struct device_spec *spec, struct device **out,
                  char error[DEVICE_ERROR_BYTES])
{
    const struct gmem_strategy *strategy =
        gmem_strategy_find(*spec->memory ? spec->memory : env->memory);
    const struct gmem_strategy_args args = {.xen = env->xen,
                                            .domid = env->domid,
                                            .own_domid = env->own_domid,
                                            .banks = env->banks,
                                            .bank_count = env->bank_count};
    struct device *d = calloc(1, sizeof(*d));
    char at[PLACE_TEXT_BYTES];
    int rc;

    if (!d || !strategy) {
        rc = d ? -EINVAL : -ENOMEM;
        snprintf(error, DEVICE_ERROR_BYTES, "%s", strerror(-rc));
        goto out;
    }
    d->type = spec->type;
    d->machine = env->machine;
    d->at = spec->place;
    place_format(&d->at, at);
    snprintf(d->label, sizeof(d->label), "%s %s", d->type->name, at);

    rc = strategy->create(&args, &d->memory);
    if (rc) {
        snprintf(error, DEVICE_ERROR_BYTES, "%s: memory %s: %s", d->label, strategy->name,
                 strerror(-rc));
        goto out;
    }
    if (spec->has_endpoint)
        rc = gmem_iommu_create(env->iommu, spec->endpoint, d->memory, &d->endpoint);
    if (rc) {
        snprintf(error, DEVICE_ERROR_BYTES, "%s: endpoint %u: %s", d->label, spec->endpoint,
                 rc == -EEXIST ? "there is one already" : strerror(-rc));
        goto out;
    }
    rc = make_vdev(d, env, spec, error);
    if (!rc)
        rc = d->at.kind == PLACE_PCI ? make_pci(d, spec, error) : make_mmio(d, error);
out:
    if (rc) {
        device_destroy(d);
        return rc;
    }
    log_info("%s: in place, memory %s", d->label, strategy->name);
    *out = d;
    return 0;
}

void device_destroy(struct device *d)
{
    if (!d)
        return;
    if (d->attached && d->at.kind == PLACE_PCI)
        teller_remove(machine_teller(d->machine), d->at.sbdf);
    if (d->attached && d->in_slot)
        slots_detach(machine_slots(d->machine), d->at.sbdf);
    else if (d->attached && d->at.kind == PLACE_PCI)
        bridges_detach(machine_bridges(d->machine), d->at.sbdf);
    else if (d->attached)
        windows_detach(machine_windows(d->machine), &d->at);
    virtio_pci_destroy(d->pci);
    vdev_destroy(d->vdev);
    gmem_destroy(d->endpoint);
    gmem_destroy(d->memory);
    free(d);
}

const struct place *device_place(const struct device *d)
{
    return &d->at;
}

const char *device_label(const struct device *d)
{
    return d->label;
}

void device_stats_json(const struct device *d, FILE *out)
{
    const struct gmem_stats *m = &d->memory->stats;

    fprintf(out,
            "{\"device\":\"%s\",\"interrupts\":%" PRIu64 ",\"memory\":{\"name\":\"%s\","
            "\"leases\":%" PRIu64 ",\"leases_out\":%u,\"ranges\":%" PRIu64 ",\"map_calls\":%" PRIu64
            ",\"pages_mapped\":%" PRIu64 ",\"unmap_calls\":%" PRIu64 ",\"pages_unmapped\":%" PRIu64
            ",\"copy_calls\":%" PRIu64 ",\"copy_segments\":%" PRIu64 ",\"bytes_copied\":%" PRIu64
            ",\"cache_hits\":%" PRIu64 ",\"cache_misses\":%" PRIu64 ",\"translations\":%" PRIu64
            ",\"errors\":%" PRIu64 "},",
            d->label, d->interrupts, d->memory->ops->name, m->leases, d->memory->leases_out,
            m->ranges, m->map_calls, m->pages_mapped, m->unmap_calls, m->pages_unmapped,
            m->copy_calls, m->copy_segments, m->bytes_copied, m->cache_hits, m->cache_misses,
            m->translations, m->errors);
    fprintf(out, "\"%s\":{", d->type->name);
    d->type->stats_json(d->vdev, out);
    fputs("}}", out);
}
