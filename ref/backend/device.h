/* SPDX-License-Identifier: MIT */
/*
 * A device of this backend: its way to guest memory, its virtio device, its transport and its
 * place in the machine, made and ended together.
 */
#ifndef RP_BACKEND_DEVICE_H
#define RP_BACKEND_DEVICE_H

#include "backend/device_spec.h"
#include "backend/machine.h"
#include "device/vdev.h"
#include "util/evloop.h"
#include "xen/gmem_strategy.h"

#define DEVICE_ERROR_BYTES 512

struct device;

struct device_env {
    struct evloop *loop; /* borrowed, as all of it */
    struct xen_handles *xen;
    struct machine *machine;
    struct iommu *iommu; /* for the devices that are behind it */
    uint16_t domid, own_domid;
    const char *memory;            /* the program's strategy */
    const struct gmem_bank *banks; /* of the guest's memory, as far as it was told */
    unsigned bank_count;
    uint32_t wait_ms; /* of a vhost-user back-end, for its front-end */
    /* The front-end of a device that is a back-end has gone: there is nothing to do for it. */
    void (*front_end_gone)(void *ctx);
    void *ctx;
};

/* On an error `error` holds one line for the user, which names the device. */
int device_create(const struct device_env *env, const struct device_spec *spec, struct device **out,
                  char error[DEVICE_ERROR_BYTES]);
/* Out of the machine, reset (whatever is in flight is waited for), and everything given back. NULL
 * is allowed. */
void device_destroy(struct device *d);

const struct place *device_place(const struct device *d);
/* "blk 0000:00:01.0", "blk 0x2000000" */
const char *device_label(const struct device *d);

/* What it did, as one JSON object. */
void device_stats_json(const struct device *d, FILE *out);

#endif
