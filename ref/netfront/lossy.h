/* SPDX-License-Identifier: MIT */
/*
 * A transport that loses doorbells now and then, as a fault to be tested with: it stands before a
 * device's own transport and passes everything on but each N-th notification (VIRTIO 4.1.5.2).
 */
#ifndef RP_NETFRONT_LOSSY_H
#define RP_NETFRONT_LOSSY_H

#include <stdatomic.h>

#include "frontend/virtio.h"

struct lossy {
    struct fe_virtio_ops ops;          /* what the device has meanwhile */
    const struct fe_virtio_ops *inner; /* borrowed */
    unsigned every;
    atomic_uint rung; /* by any thread */
};

/* From now on each `every`-th doorbell of `v` is lost; 0: none. Before threads use it. */
void lossy_init(struct lossy *l, struct fe_virtio *v, unsigned every);
/* The device has its own transport again. */
void lossy_fini(struct lossy *l, struct fe_virtio *v);

/* How many were lost. */
unsigned lossy_lost(const struct lossy *l);

#endif
