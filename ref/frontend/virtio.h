/* SPDX-License-Identifier: MIT */
/*
 * A virtio device as a driver sees it, whatever carries it.
 *
 *     fe_blk  -->  fe_queue  -->  fe_virtio  --ops-->  virtio-pci (fe_virtio_pci)
 *                                                      virtio-mmio (fe_virtio_mmio)
 *
 * The registers of VIRTIO 4.1.4.3 and 4.2.2 without their layout, then the driver's procedures
 * over them: reset, negotiation, status. The device is not trusted: what it says is bounded
 * before it is used, and every wait has a limit.
 *
 * Calls take the control vCPU of the transport, apart from those that name one, which a queue's
 * own thread makes: fe_virtio_notify and isr_read.
 * Errors: those of the platform (-EFAULT, -ETIMEDOUT, -ESHUTDOWN), -ENODEV when the device has
 * gone, and what is said at each function.
 */
#ifndef RP_FRONTEND_VIRTIO_H
#define RP_FRONTEND_VIRTIO_H

#include "frontend/platform.h"
#include "util/types.h"

#define FE_VIRTIO_QUEUES_MAX 256
#define FE_NO_VECTOR         0xffffu

struct fe_virtio;

/* What is written to set a queue up (VIRTIO 4.1.5.1.3). */
struct fe_queue_setup {
    uint16_t size;
    gpa_t desc, driver, device; /* descriptor area, driver area, device area */
    uint16_t vector;            /* MSI-X vector, FE_NO_VECTOR for none */
};

struct fe_virtio_ops {
    const char *name;
    int (*status_read)(struct fe_virtio *v, uint8_t *status);
    int (*status_write)(struct fe_virtio *v, uint8_t status);
    int (*device_features)(struct fe_virtio *v, unsigned word, uint32_t *bits);
    int (*driver_features)(struct fe_virtio *v, unsigned word, uint32_t bits);
    /* What was written there; -EOPNOTSUPP where that cannot be read (4.2.2). */
    int (*driver_features_read)(struct fe_virtio *v, unsigned word, uint32_t *bits);
    int (*num_queues)(struct fe_virtio *v, unsigned *n);
    /* Largest size of a queue, 0: not available. */
    int (*queue_size_max)(struct fe_virtio *v, unsigned queue, uint16_t *size);
    /* Size, addresses, vector, enable. -EIO: the device refused the vector; -EBUSY: the queue is
     * in use. */
    int (*queue_setup)(struct fe_virtio *v, unsigned queue, const struct fe_queue_setup *s);
    /* `next` as fe_virtio_notify has it: used when VIRTIO_F_NOTIFICATION_DATA was negotiated. */
    int (*notify)(struct fe_virtio *v, unsigned vcpu, unsigned queue, uint16_t next);
    /* Reads the interrupt status and acknowledges what it said, by reading or by a write of its
     * own: bit 0 queue, bit 1 configuration. */
    int (*isr_read)(struct fe_virtio *v, unsigned vcpu, uint8_t *isr);
    int (*config_vector)(struct fe_virtio *v, uint16_t vector);
    int (*config_generation)(struct fe_virtio *v, uint32_t *generation);
    int (*config_read)(struct fe_virtio *v, unsigned offset, unsigned bytes, uint64_t *value);
    int (*config_write)(struct fe_virtio *v, unsigned offset, unsigned bytes, uint64_t value);
    /*
     * An interrupt delivered on `vcpu`; *vector is what queue_setup and config_vector take.
     * FE_NO_VECTOR with 0: the shared line, where isr_read acknowledges.
     */
    int (*irq_get)(struct fe_virtio *v, unsigned vcpu, uint16_t *vector, fe_irq_t *irq);
    void (*irq_put)(struct fe_virtio *v, uint16_t vector, fe_irq_t irq);
    /* The backend was replaced: find and set up the transport again as at creation. Interrupts
     * from irq_get stay valid. */
    int (*reattach)(struct fe_virtio *v);
    /* 0, or -ENODEV: nobody answers at the device's address any more. */
    int (*present)(struct fe_virtio *v);
    void (*destroy)(struct fe_virtio *v);
};

/* Implementations embed this as their first member. */
struct fe_virtio {
    const struct fe_virtio_ops *ops;
    struct fe_platform *platform; /* borrowed */
    uint32_t device_id;           /* VIRTIO section 5: 2 is the block device */
    unsigned vcpu;                /* the control vCPU */
    unsigned config_bytes;        /* of device-specific configuration that can be reached */
    uint64_t features;            /* negotiated, after fe_virtio_negotiate */
};

/* Write 0 and wait until the status reads 0 (2.4.2, 4.1.4.3.2). -ETIME: it did not in time;
 * -ENODEV: it has gone meanwhile. */
int fe_virtio_reset(struct fe_virtio *v, uint64_t timeout_ns);

int fe_virtio_device_features(struct fe_virtio *v, uint64_t *features);

/*
 * ACKNOWLEDGE, DRIVER, features, FEATURES_OK (3.1.1 steps 2 to 6). `want` is reduced to what is
 * offered; -ENOTSUP when one of `need` is not offered, -EPROTO when the device drops
 * FEATURES_OK. The result is in v->features.
 */
int fe_virtio_negotiate(struct fe_virtio *v, uint64_t need, uint64_t want);

/* DRIVER_OK (step 8). */
int fe_virtio_driver_ok(struct fe_virtio *v);

/* Sets FAILED, for a driver that gives up (2.1.1). */
void fe_virtio_fail(struct fe_virtio *v);

/*
 * Is a running device still the one that was started? 0; -ENODEV it does not answer, or was
 * reset (a new backend has taken its place); -EIO it asks for a reset.
 */
int fe_virtio_check(struct fe_virtio *v);

/*
 * Read device-specific configuration consistently: repeated until the generation is the same
 * before and after (2.5.1), at most 16 times, then -EAGAIN. Fields are read with accesses of at
 * most 4 bytes; `offset` and `bytes` are multiples of 4, 2 or 1 as the field demands. -ERANGE:
 * past the end of what the device exposes.
 */
int fe_virtio_config_get(struct fe_virtio *v, unsigned offset, unsigned bytes, void *value);

/* Ring a queue's doorbell. `next` is where the next available entry will be: next_off, and
 * next_wrap in bit 15 (2.9; virtq_drv_next_avail). */
int fe_virtio_notify(struct fe_virtio *v, unsigned vcpu, unsigned queue, uint16_t next);

void fe_virtio_destroy(struct fe_virtio *v); /* NULL is allowed */

#endif
