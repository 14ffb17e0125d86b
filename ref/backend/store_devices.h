/* SPDX-License-Identifier: MIT */
/*
 * Devices that a toolstack describes in Xenstore, and their coming and going:
 *
 *   /local/domain/<own>/backend/virtio/<domid>/<devid>/
 *       type       blk, rng, console, net, iommu; or virtio,device2 (the ID in hex, as device trees
 * have it) transport  pci or missing, or mmio sbdf       pci: 0000-00-01-0; or segment, bus, device
 * and function as numbers port       pci: the root port whose slot it is in, as sbdf base, irq
 * mmio: where its registers are, and its line params     what it is stored on (or path); further
 * keys as in --device grant_usage  1: the frontend uses grants and nothing else is mapped, 0: it
 * uses none online     1; 0 asks for removal state      the xenbus states, below error      why the
 * device could not be made (written here)
 *
 * The toolstack writes the keys, and `state` 1 (Initialising) in the same transaction or last: a
 * folder without `state` is not looked at. This program answers with 2 (InitWait) while it makes
 * the device and 4 (Connected) when it is on the bus, or with `error` and 6 (Closed). The
 * toolstack removes it by `online` 0, by `state` 5 (Closing) or by removing the folder; it has
 * gone from the bus when `state` is 6. The first of these asks the guest where it can be asked (a
 * device in a hot-plug slot), which may take its time or refuse; the others do not. Writing 1 to
 * `state` of a closed device makes it anew.
 *
 * There is no frontend folder: a virtio driver finds its device on the bus or by the device tree.
 * The nodes that libxl writes beside (frontend, frontend-id) are left alone.
 */
#ifndef RP_BACKEND_STORE_DEVICES_H
#define RP_BACKEND_STORE_DEVICES_H

#include "backend/device_spec.h"
#include "xen/store.h"

#define STORE_DEVICES_ERROR_BYTES 768

struct store_devices;

struct store_devices_ops {
    /* Make the device; on an error `error` says why. */
    int (*add)(void *ctx, const struct device_spec *spec, char error[STORE_DEVICES_ERROR_BYTES]);
    void (*remove)(void *ctx, const struct place *at);
    /* Ask the guest to give it back: true, and store_devices_given_back follows when it does.
     * False: it can be removed at once. May be NULL. */
    bool (*ask_back)(void *ctx, const struct place *at);
};

int store_devices_create(struct store *store, uint16_t own_domid, uint16_t domid,
                         const struct store_devices_ops *ops, void *ctx,
                         struct store_devices **out);
/* Stop watching. Devices that are up get state 6; their removal is the caller's. */
void store_devices_destroy(struct store_devices *sd);

/* The places of the devices that are described now, at most `max`, before any is made. What cannot
 * be read is left out: store_devices_start will say why. Returns their number. */
unsigned store_devices_places(struct store_devices *sd, struct place *places, unsigned max);

/*
 * The devices that are described now, whatever the state a predecessor left. The first that
 * cannot be made ends it: `error` names its path.
 */
int store_devices_start(struct store_devices *sd, char error[STORE_DEVICES_ERROR_BYTES]);

/* The guest has given back the device that it was asked for: removes it. */
void store_devices_given_back(struct store_devices *sd, const struct place *at);

/* Follow changes from now on. A device that cannot be made is logged. */
int store_devices_watch(struct store_devices *sd, char error[STORE_DEVICES_ERROR_BYTES]);

#endif
