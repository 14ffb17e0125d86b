/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng, the entropy device (VIRTIO 5.4), device side.
 *
 * Random bytes come from the kernel (getrandom), or from a file, FIFO or character device. The
 * event loop never waits for them (while the kernel has none yet, a thread does: seed_wait.h): a
 * request that the source or the rate cannot serve now waits in the device until there is at least
 * one byte, and is then completed with what there is. No request takes more than
 * RNG_REQUEST_BYTES_MAX at once; a driver reads the length and asks again (5.4.6.1).
 *
 * A regular file is a source that repeats itself, for tests: after its end it begins anew.
 */
#ifndef RP_DEVICE_RNG_H
#define RP_DEVICE_RNG_H

#include "device/vdev.h"

#define RNG_REQUEST_BYTES_MAX (64u * 1024)

extern const struct vdev_type rng_type;

struct rng_options {
    const char *path;          /* of the source; NULL: getrandom(2) */
    uint32_t rate_bytes_per_s; /* the most that the driver gets; 0: no limit */
};

/*
 * Create a device; *out is released with vdev_destroy. On an error `error` (of error_bytes, may
 * be NULL with 0) holds one line for the user:
 *   -EINVAL  the source is no character device, FIFO or regular file, or is empty
 *   -ENOENT, -EACCES, ...  as open(2) said
 *   -ENOMEM
 */
int rng_create(const struct vdev_config *config, const struct rng_options *options,
               struct vdev **out, char *error, size_t error_bytes);

struct rng_stats {
    uint64_t requests, bytes;
    uint64_t waits; /* requests that the source or the rate made wait */
};
void rng_get_stats(const struct vdev *d, struct rng_stats *stats);

#endif
