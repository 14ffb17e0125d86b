/* SPDX-License-Identifier: MIT */
#include "backend/device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/device_types.h"
#include "backend/vhost_listener.h"
#include "device/iommu.h"
#include "device/vhost_user.h"
#include "gmem/iommu.h"
#include "gmem/regions.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "transport/vhost_user.h"
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
    bool shared;           /* it is the front-end's (gmem/regions.h) */
    struct gmem *endpoint; /* the same behind the IOMMU; NULL: it is not behind it */
    struct vdev *vdev;
    struct virtio_pci *pci; /* NULL: virtio-mmio, which the window owns */
    bool attached, in_slot;
    uint64_t interrupts;
    /* Its transport is in another process. */
    struct vhost_back_end *back_end;
    /* Its queues are another process's; it is made when the first has come. */
    struct vhost_listener *listener;
    struct device_env env;
    struct device_spec spec; /* without what is owned */
};

static struct vdev_config vdev_config_of(const struct device *d, const struct device_env *env,
                                         const struct device_spec *spec)
{
    uint64_t on = spec->features_on & ~device_spec_own_features(spec->features_on);

    return (struct vdev_config){
        .loop = env->loop,
        .gmem = d->endpoint ? d->endpoint : d->memory,
        .iommu = env->iommu,
        .features = (TRANSPORT_FEATURES | on) & ~spec->features_off,
        .queue_size_max = spec->queue_size ? spec->queue_size : QUEUE_SIZE_DEFAULT,
        .label = d->label,
    };
}

static int make_vdev(struct device *d, const struct device_env *env, const struct device_spec *spec,
                     char error[DEVICE_ERROR_BYTES])
{
    struct vdev_config config = vdev_config_of(d, env, spec);
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

/* ---- in two processes ---- */

static int make_back_end(struct device *d, const struct device_env *env,
                         const struct device_spec *spec, char error[DEVICE_ERROR_BYTES])
{
    const struct vhost_back_end_config config = {
        .loop = env->loop,
        .path = spec->vhost,
        .wait_ms = env->wait_ms,
        .vdev = d->vdev,
        .domid = env->domid,
        .shared = d->shared ? d->memory : NULL,
        .gone = env->front_end_gone,
        .ctx = env->ctx,
    };
    int rc = vhost_back_end_create(&config, &d->back_end);

    if (rc)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: vhost %s: %s", d->label, spec->vhost,
                 strerror(-rc));
    return rc;
}

static int make_front_end(struct device *d, int fd, char error[DEVICE_ERROR_BYTES])
{
    const struct vhost_user_options options = {.as = d->type->vdev, .domid = d->env.domid};
    struct vdev_config config = vdev_config_of(d, &d->env, &d->spec);
    char why[DEVICE_ERROR_BYTES - 64] = "";
    int rc = vhost_user_create(&config, &options, fd, &d->vdev, why, sizeof(why));

    if (rc) {
        snprintf(error, DEVICE_ERROR_BYTES, "%s: %s", d->label, why);
        return rc;
    }
    rc = d->at.kind == PLACE_PCI ? make_pci(d, &d->spec, error) : make_mmio(d, error);
    if (!rc)
        return 0;
    virtio_pci_destroy(d->pci);
    d->pci = NULL;
    vdev_destroy(d->vdev);
    d->vdev = NULL;
    return rc;
}

static void back_end_came(void *ctx, int fd)
{
    struct device *d = ctx;
    char error[DEVICE_ERROR_BYTES];
    int rc = d->vdev ? vhost_user_connect(d->vdev, fd, error, sizeof(error))
                     : make_front_end(d, fd, error);

    if (rc)
        log_warn("%s: a back-end is refused: %s", d->label, error);
    else
        vhost_user_own(d->vdev);
}

static int listen_for_back_ends(struct device *d, const struct device_env *env,
                                const struct device_spec *spec, char error[DEVICE_ERROR_BYTES])
{
    int rc;

    d->env = *env;
    d->spec = *spec;
    d->spec.path = d->spec.hold = d->spec.manage = d->spec.vhost = d->spec.vhost_listen = NULL;
    for (unsigned i = 0; i < DEVICE_PORTS_MAX; i++)
        d->spec.ports[i].end = NULL;
    rc = vhost_listener_create(env->loop, spec->vhost_listen, back_end_came, d, &d->listener);
    if (rc)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: vhost-listen %s: %s", d->label, spec->vhost_listen,
                 strerror(-rc));
    return rc;
}

/* ---- the whole ---- */

static int make_memory(struct device *d, const struct device_env *env,
                       const struct device_spec *spec, char error[DEVICE_ERROR_BYTES])
{
    const struct gmem_strategy *strategy =
        gmem_strategy_find(*spec->memory ? spec->memory : env->memory);
    const struct gmem_strategy_args args = {.xen = env->xen,
                                            .domid = env->domid,
                                            .own_domid = env->own_domid,
                                            .banks = env->banks,
                                            .bank_count = env->bank_count};
    int rc = -EINVAL;

    d->shared = device_spec_is_shared(spec);
    if (d->shared)
        rc = gmem_regions_create(&d->memory);
    else if (strategy)
        rc = strategy->create(&args, &d->memory);
    if (rc) {
        snprintf(error, DEVICE_ERROR_BYTES, "%s: memory %s: %s", d->label,
                 strategy ? strategy->name : "", strerror(-rc));
        return rc;
    }
    if (spec->has_endpoint || (MUTANT(iommu_covers_all_devices) && d->type->vdev != &iommu_type))
        rc = gmem_iommu_create(env->iommu, spec->endpoint, d->memory, &d->endpoint);
    if (rc)
        snprintf(error, DEVICE_ERROR_BYTES, "%s: endpoint %u: %s", d->label, spec->endpoint,
                 rc == -EEXIST ? "there is one already" : strerror(-rc));
    return rc;
}

int device_create(const struct device_env *env, const struct device_spec *spec, struct device **out,
                  char error[DEVICE_ERROR_BYTES])
{
    struct device *d = calloc(1, sizeof(*d));
    char at[PLACE_TEXT_BYTES];
    int rc;

    if (!d) {
        snprintf(error, DEVICE_ERROR_BYTES, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    d->type = spec->type;
    d->machine = env->machine;
    d->at = spec->place;
    place_format(&d->at, at);
    snprintf(d->label, sizeof(d->label), "%s %s", d->type->name, at);

    if (spec->vhost_listen) {
        rc = listen_for_back_ends(d, env, spec, error);
    } else {
        rc = make_memory(d, env, spec, error);
        if (!rc)
            rc = make_vdev(d, env, spec, error);
        if (!rc && spec->vhost)
            rc = make_back_end(d, env, spec, error);
        else if (!rc)
            rc = d->at.kind == PLACE_PCI ? make_pci(d, spec, error) : make_mmio(d, error);
    }
    if (rc) {
        device_destroy(d);
        return rc;
    }
    log_info("%s: in place, memory %s", d->label,
             d->memory ? d->memory->ops->name : "of a back-end");
    *out = d;
    return 0;
}

void device_destroy(struct device *d)
{
    if (!d)
        return;
    vhost_listener_destroy(d->listener);
    vhost_back_end_destroy(d->back_end);
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

/* Of the one with the transport: the other counts what is done. */
static void front_end_stats_json(const struct device *d, FILE *out)
{
    struct vhost_user_stats s = {0};

    if (d->vdev)
        vhost_user_get_stats(d->vdev, &s);
    fprintf(out,
            "{\"device\":\"%s\",\"interrupts\":%" PRIu64 ",\"vhost-user\":{\"back_ends\":%" PRIu64
            ",\"kicks\":%" PRIu64 ",\"calls\":%" PRIu64 "}}",
            d->label, d->interrupts, s.back_ends, s.kicks, s.calls);
}

void device_stats_json(const struct device *d, FILE *out)
{
    const struct gmem_stats *m = d->memory ? &d->memory->stats : NULL;

    if (!m) {
        front_end_stats_json(d, out);
        return;
    }
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
