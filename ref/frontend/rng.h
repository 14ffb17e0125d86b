/* SPDX-License-Identifier: MIT */
/*
 * An entropy driver (VIRTIO 5.4) for tests and examples: random bytes, waited for.
 *
 * The bytes are copied out of a page that the backend reaches for long. A device may give less
 * than was asked for, so its length decides, and a read asks until it has all. The device is not
 * trusted: one that breaks the rules of its ring fails with -EPROTO until the driver is made anew.
 */
#ifndef RP_FRONTEND_RNG_H
#define RP_FRONTEND_RNG_H

#include "frontend/memory.h"
#include "frontend/virtio.h"

struct fe_rng;

struct fe_rng_config {
    struct fe_memory *memory; /* borrowed */
    bool interrupts;          /* for waiting; without, the queue is polled */
    unsigned vcpu;
    uint64_t features_need; /* beside what the addressing needs; -ENOTSUP without */
    uint64_t timeout_ns;    /* of reset and of one request; 0: 10 s */
};

/* Reset, negotiate and start the device behind `v` (borrowed). -ENODEV: no entropy device; other
 * errors as in virtio.h and memory.h. */
int fe_rng_create(struct fe_virtio *v, const struct fe_rng_config *cfg, struct fe_rng **out);

/* Stop the device and free all. -EBUSY: it was reset and memory is still mapped by the backend;
 * all is freed but that. NULL is allowed. */
int fe_rng_destroy(struct fe_rng *g);

/* All of `bytes` bytes. -ETIME: a request was not answered; -EPROTO: a ring that breaks the
 * rules, or an answer without a byte. */
int fe_rng_read(struct fe_rng *g, void *to, size_t bytes);

#endif
