/* SPDX-License-Identifier: MIT */
/*
 * The types of devices that this program has. A type is one entry of one table: its name, the
 * virtio device behind it, and how its keys (device_spec.c) become that device's options.
 */
#ifndef RP_BACKEND_DEVICE_TYPES_H
#define RP_BACKEND_DEVICE_TYPES_H

#include <stdio.h>

#include "backend/device_spec.h"
#include "device/vdev.h"

enum device_type_index {
    DEVICE_BLK,
    DEVICE_RNG,
    DEVICE_CONSOLE,
    DEVICE_NET,
    DEVICE_IOMMU,
    DEVICE_TYPES
};

struct device_type {
    const char *name; /* "blk" */
    const struct vdev_type *vdev;
    /* What a specification of this type lacks, or how it contradicts itself; NULL: nothing. */
    const char *(*lacks)(const struct device_spec *spec);
    /* As blk_create: on an error `error` holds a line for the user. */
    int (*create)(const struct vdev_config *config, const struct device_spec *spec,
                  struct vdev **out, char *error, size_t error_bytes);
    /* What it did, as members of one JSON object. */
    void (*stats_json)(const struct vdev *d, FILE *out);
};

extern const struct device_type device_types[DEVICE_TYPES];

/* By name, or as device trees and libxl call it: "virtio,device" and the virtio ID in hex. NULL:
 * there is none. */
const struct device_type *device_type_find(const char *name);
/* "blk, rng": for messages. Returns buf. */
const char *device_type_names(char *buf, size_t size);

#endif
