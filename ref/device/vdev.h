/* SPDX-License-Identifier: MIT */
/*
 * A virtio device, as its transport sees it (struct vdev), and as a device type implements it
 * (struct vdev_type).
 *
 *     transport (pci, mmio)  --registers-->  vdev core  --requests-->  blk, net, rng, ...
 *                                               |  \__ virtq (rings)
 *                                               \_____ gmem  (addresses to bytes)
 *
 * The core owns what every device has: status and feature negotiation (VIRTIO 2.1, 2.2, 3.1),
 * queue registers, ring leases, the request pump, interrupt decisions. A device type sees whole
 * requests as iovecs. A driver's misbehaviour ends in DEVICE_NEEDS_RESET with a named fault,
 * never in an assertion.
 */
#ifndef RP_DEVICE_VDEV_H
#define RP_DEVICE_VDEV_H

#include <sys/uio.h>

#include "gmem/gmem.h"
#include "util/evloop.h"
#include "util/types.h"

#define VDEV_QUEUES_MAX 64
#define VDEV_CHAIN_MAX  1024 /* descriptors of one request, indirect ones included */

struct vdev;
struct vdev_queue;

/* One request: a descriptor chain, resolved. Valid until vdev_request_done. */
struct vdev_request {
    struct vdev_queue *queue;
    struct iovec *out; /* device-readable */
    unsigned out_count;
    uint64_t out_bytes;
    struct iovec *in; /* device-writable */
    unsigned in_count;
    uint64_t in_bytes;
    void *user; /* the device type's */
};

/* A feature bit by the name that people give it: "discard" is VIRTIO_BLK_F_DISCARD. */
struct vdev_feature {
    const char *name;
    unsigned bit;
};

/*
 * Queues that another process runs (device/vhost_user.h): the core keeps their registers, and takes
 * no request from them.
 */
struct vdev_remote_ops {
    /* The queue is enabled and the device runs; there may be requests. The first time since it was
     * enabled it has to be started. */
    void (*kick)(struct vdev *d, unsigned queue);
};

struct vdev_type {
    const char *name;
    uint32_t device_id;    /* VIRTIO section 5 */
    uint32_t class_code;   /* PCI class, 24 bits */
    unsigned config_bytes; /* size of the device-specific configuration */
    /* Its own feature bits, up to an entry without a name; NULL: it has none. */
    const struct vdev_feature *feature_names;

    /* Device-specific feature bits that this instance offers. */
    uint64_t (*features)(struct vdev *d);
    unsigned (*num_queues)(struct vdev *d);
    /* 0: no limit but vdev_config.queue_size_max. */
    unsigned (*queue_size_max)(struct vdev *d, unsigned queue);
    /* Device-specific configuration; offset + bytes is within config_bytes. */
    void (*config_read)(struct vdev *d, unsigned offset, unsigned bytes, void *value);
    void (*config_write)(struct vdev *d, unsigned offset, unsigned bytes, const void *value);
    /* FEATURES_OK: may refuse with -EINVAL. */
    int (*negotiated)(struct vdev *d, uint64_t features);
    /* DRIVER_OK and reset. reset returns when no request is in the type's hands any more. */
    int (*start)(struct vdev *d);
    void (*reset)(struct vdev *d);
    /* Same for one queue (VIRTIO_F_RING_RESET). */
    void (*queue_reset)(struct vdev *d, unsigned queue);
    /*
     * A new request. The type keeps it until it calls vdev_request_done, from here or later,
     * on the loop's thread. A malformed request is answered (where the type has a status) or
     * reported with vdev_fault.
     */
    void (*request)(struct vdev *d, struct vdev_request *r);
    /* After a batch of `request` calls: submit what was gathered. May be NULL. */
    void (*kick_end)(struct vdev *d, unsigned queue);
    /*
     * A *pulled* queue is one that the type serves at its own pace: buffers that wait for an
     * event, such as a frame from a network, and stay with the driver until it comes. Its
     * requests are not handed to `request`: queue_ready says that there may be some, and the
     * type takes them with vdev_queue_take (device/vdev_impl.h). True from queue_ready: it
     * stopped before the end, to be called again when others had their turn. Both may be NULL.
     */
    bool (*queue_pulled)(struct vdev *d, unsigned queue);
    bool (*queue_ready)(struct vdev *d, unsigned queue);
    /* NULL: the core runs the queues. With these, what config->features has beside VERSION_1 is
     * what `features` says. */
    const struct vdev_remote_ops *remote;
    void (*destroy)(struct vdev *d);
};

/* How the core reaches its transport. */
struct vdev_transport_ops {
    void (*queue_interrupt)(void *ctx, unsigned queue);
    void (*config_interrupt)(void *ctx);
};

struct vdev_config {
    struct evloop *loop; /* borrowed */
    struct gmem *gmem;   /* borrowed; outlives the device */
    struct iommu *iommu; /* the process's, for the device that is one; borrowed */
    /* Transport-independent features offered beside the type's: VERSION_1, ACCESS_PLATFORM,
     * RING_INDIRECT_DESC, RING_EVENT_IDX, ... */
    uint64_t features;
    unsigned queue_size_max; /* upper limit for every queue, a power of two */
    const char *label;       /* for messages: "blk 0000:00:01.0"; copied */
};

/*
 * For a device type's constructor: embed struct vdev as first member, then call this.
 * (struct vdev is declared in device/vdev_impl.h for types and transports.)
 */

/* Complete a request: `written` bytes from the start of its `in` part were written. Releases
 * the lease, publishes the used entry and interrupts when the driver asked for it. */
void vdev_request_done(struct vdev_request *r, uint32_t written);

/* The driver broke a rule: set DEVICE_NEEDS_RESET, stop all queues, interrupt, log the name. */
void vdev_fault(struct vdev *d, const char *fault, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The type changed its configuration: new generation, configuration interrupt. */
void vdev_config_changed(struct vdev *d);

/* ---- for transports: the registers of VIRTIO 4.1.4.3 and 4.2.2, without their layout ---- */

void vdev_attach_transport(struct vdev *d, const struct vdev_transport_ops *ops, void *ctx);

uint64_t vdev_device_features(const struct vdev *d);
void vdev_set_driver_features(struct vdev *d, unsigned word, uint32_t value);
uint32_t vdev_driver_features(const struct vdev *d, unsigned word);
uint8_t vdev_status(const struct vdev *d);
/* Writing 0 resets; the reset is complete when this returns. */
void vdev_set_status(struct vdev *d, uint8_t status);
uint8_t vdev_config_generation(const struct vdev *d);
void vdev_config_read(struct vdev *d, unsigned offset, unsigned bytes, void *value);
void vdev_config_write(struct vdev *d, unsigned offset, unsigned bytes, const void *value);

unsigned vdev_num_queues(const struct vdev *d);

/* Queue registers. The transport selects; out-of-range queues read as size 0 (not available). */
struct vdev_queue_regs {
    uint16_t size;
    gpa_t desc, driver, device;
    bool enabled;
};
void vdev_queue_get(const struct vdev *d, unsigned queue, struct vdev_queue_regs *regs);
/* The largest size that a queue takes, whatever the driver chose; 0: there is no such queue. */
uint16_t vdev_queue_size_max(const struct vdev *d, unsigned queue);
/* Ignored (and logged) while the queue is enabled or when the format (2.7, 2.8.10.1) does not
 * allow the value. */
void vdev_queue_set_size(struct vdev *d, unsigned queue, uint16_t size);
void vdev_queue_set_addr(struct vdev *d, unsigned queue, gpa_t desc, gpa_t driver, gpa_t device);
void vdev_queue_enable(struct vdev *d, unsigned queue);
/* Stop a queue, whatever was negotiated (QueueReady 0 of 4.2.2): when it returns, nothing of the
 * ring or of a buffer is held, and the registers are as after a reset. */
void vdev_queue_disable(struct vdev *d, unsigned queue);
/* The same by VIRTIO_F_RING_RESET; ignored when that was not negotiated. */
void vdev_queue_reset(struct vdev *d, unsigned queue);
/* The driver rang the doorbell. */
void vdev_queue_notify(struct vdev *d, unsigned queue);

/* Where a queue stands, as vhost-user has it: the index of the next available entry, and for a
 * packed ring those of both sides with their wrap counters in bits 15 and 31. */
uint32_t vdev_queue_base(const struct vdev *d, unsigned queue);

const struct vdev_type *vdev_get_type(const struct vdev *d);

/*
 * The mask (1 << bit) of a feature's name, for "features=-discard" on a command line: the type's
 * own and those that the core has for every device ("indirect", "event-idx", "access-platform",
 * "packed", "in-order", "notification-data", "notif-config-data", "ring-reset"). UINT64_MAX when
 * this type has no such feature.
 */
uint64_t vdev_feature_by_name(const struct vdev_type *type, const char *name);

void vdev_destroy(struct vdev *d); /* resets first; NULL is allowed */

#endif
