/* SPDX-License-Identifier: MIT */
/*
 * A device of this backend: its way to guest memory, its virtio device, its transport and its
 * place on the bus, made and ended together.
 */
#ifndef RP_BACKEND_DEVICE_H
#define RP_BACKEND_DEVICE_H

#include "backend/bridge.h"
#include "backend/device_spec.h"
#include "device/vdev.h"
#include "util/evloop.h"

#define DEVICE_ERROR_BYTES 512

struct device;

struct device_env {
    struct evloop *loop; /* borrowed, as all of it */
    struct xen_handles *xen;
    struct bridges *bridges;
    uint16_t domid;
    const char *memory; /* the program's strategy */
};

/* On an error `error` holds one line for the user, which names the device. */
int device_create(const struct device_env *env, const struct device_spec *spec, struct device **out,
                  char error[DEVICE_ERROR_BYTES]);
/* Off the bus, reset (whatever is in flight is waited for), and everything given back. NULL is
 * allowed. */
void device_destroy(struct device *d);

sbdf_t device_sbdf(const struct device *d);
/* "blk 0000:00:01.0" */
const char *device_label(const struct device *d);

/* What it did, as one JSON object. */
void device_stats_json(const struct device *d, FILE *out);

#endif
