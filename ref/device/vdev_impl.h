/* SPDX-License-Identifier: MIT */
/*
 * For device types and for the core itself: what a struct vdev is made of, and the services that
 * only a device type needs. A transport uses device/vdev.h alone.
 *
 * A type embeds struct vdev as its first member, fills in its own fields (the core asks for
 * features and queues at once), then calls vdev_init. It releases its own things in
 * vdev_type.destroy, which vdev_destroy calls after a reset and which ends with vdev_fini.
 *
 * The request pump. A doorbell marks its queue; the event loop runs the pump when the current
 * round of descriptors has been served, so that a vCPU that waits for its register write is
 * answered first. Each marked queue in turn may take VDEV_PUMP_BUDGET chains before the others
 * and the loop get their turn again. While a queue is being pumped the driver is told that
 * doorbells are not needed. Requests come from a pool that is made when the queue is enabled and
 * is as large as the queue: nothing is allocated per request, and a driver that makes the same
 * chain available twice only has to wait. (Pulled queues, see vdev_type, are marked in the same
 * way; what they take is the type's decision.)
 *
 * Completion. vdev_request_done gives the memory back first, then writes the used entry; between
 * vdev_batch_begin and vdev_batch_end entries are gathered, then published with one interrupt
 * decision for each queue. The pump is such a batch; each VDEV_SHOW_EACH chains that it takes, a
 * driver that looks by itself gets to see what was used so far. A type may finish requests in any
 * order: when IN_ORDER was negotiated, the core keeps the used entry of one that was overtaken by
 * others until those are done, too (its memory goes back at once).
 */
#ifndef RP_DEVICE_VDEV_IMPL_H
#define RP_DEVICE_VDEV_IMPL_H

#include "device/vdev.h"
#include "virtq/dev.h"

#define VDEV_PUMP_BUDGET  64u
#define VDEV_SHOW_EACH    8u
#define VDEV_LABEL_BYTES  48u
#define VDEV_RING_IOV_MAX 64u
/* How often, and how far apart, a request is tried again when the host is short of something. */
#define VDEV_RETRY_MAX    1000u
#define VDEV_RETRY_NS     1000000ull
#define VDEV_REASON_BYTES 96u

/* A request with what the core keeps beside it. */
struct vdev_slot {
    struct vdev_request req;
    struct gmem_lease lease;
    struct virtq_token token;
    bool busy;
    bool done; /* the type has given it back */
    uint32_t written;
    struct vdev_slot *next_free;
    struct vdev_slot *next_taken; /* IN_ORDER */
};

struct vdev_queue {
    struct vdev *dev;
    unsigned index;
    unsigned size_max;
    struct vdev_queue_regs regs;

    /* While enabled. */
    struct virtq_dev vq;
    struct gmem_lease ring;
    struct iovec ring_iov[VDEV_RING_IOV_MAX];
    struct gmem_lease indirect;
    struct iovec indirect_iov[VIRTQ_INDIRECT_IOV_MAX];
    struct vdev_slot *slots;
    struct iovec *slot_iovs;
    unsigned char *slot_users;
    struct vdev_slot *free;
    struct vdev_slot *oldest, *newest; /* IN_ORDER: requests in the order of their buffers */
    unsigned in_flight;
    bool starved;   /* chains are waiting for a free slot */
    bool resetting; /* this queue alone; what it completes goes nowhere */

    /* A chain that was taken but not yet resolved, because the host was short of something. */
    struct vdev_slot *stalled;
    unsigned stalled_ranges, stalled_tries;
    struct gmem_range *stalled_range;
};

struct vdev {
    const struct vdev_type *type;
    struct evloop *loop; /* borrowed */
    struct gmem *gmem;   /* borrowed */
    char label[VDEV_LABEL_BYTES];
    const struct vdev_transport_ops *transport; /* borrowed, NULL until attached */
    void *transport_ctx;

    uint64_t offered;
    uint64_t driver_features;
    uint8_t status;
    uint8_t generation;
    bool config_changed; /* since the driver last read any of it */
    bool resetting;
    bool suspending;     /* SUSPEND was asked for, and requests are still in flight */
    bool config_pending; /* changed while suspended: told when it resumes */

    struct vdev_queue *queues;
    unsigned num_queues;
    unsigned chain_max;
    unsigned iov_max; /* of one request */
    size_t user_bytes;

    struct virtq_seg *segs;    /* chain_max */
    struct gmem_range *ranges; /* chain_max */
    uint64_t marked;           /* queues to pump */
    uint64_t unpublished;      /* queues with used entries that the driver cannot see yet */
    unsigned batch_depth;
    struct evloop_timer pump_timer;
    struct evloop_timer retry_timer;

    uint64_t faults;
    const char *fault; /* name of the last one, NULL for none since reset */
    char fault_text[VDEV_REASON_BYTES];
};

struct vdev_init_params {
    unsigned chain_max; /* descriptors of one request that the type takes, <= VDEV_CHAIN_MAX */
    size_t user_bytes;  /* room for the type in each request: vdev_request.user points at it */
};

/*
 * Returns 0; -EINVAL: a feature that the core does not implement, VERSION_1 missing, no queue or
 * more than VDEV_QUEUES_MAX, a queue size that is no power of two, chain_max out of range; or
 * -ENOMEM. Nothing is held on an error.
 */
int vdev_init(struct vdev *d, const struct vdev_type *type, const struct vdev_config *config,
              const struct vdev_init_params *params);
/* The last thing a type's destroy calls before it frees itself. */
void vdev_fini(struct vdev *d);

/* Accepted by both sides; 0 before FEATURES_OK. */
uint64_t vdev_negotiated(const struct vdev *d);
static inline bool vdev_has(const struct vdev *d, unsigned bit)
{
    return vdev_negotiated(d) & (1ull << bit);
}

/*
 * Take the next request of a pulled queue; from queue_ready or from any other callback of the
 * loop. Whoever takes until 0 has asked for a doorbell; whoever stops before needs none.
 *   1           *out is a request, the type's until vdev_request_done
 *   0           none is there now: queue_ready is called when one may be
 *   -ESHUTDOWN  the queue is disabled or the device does not run: queue_ready is called when
 *               that has changed
 */
int vdev_queue_take(struct vdev *d, unsigned queue, struct vdev_request **out);
/* Have queue_ready called in the next round: what kept the type from taking is over. */
void vdev_queue_again(struct vdev *d, unsigned queue);

/* A queue that another process runs has used something. */
void vdev_queue_interrupt(struct vdev *d, unsigned queue);

/* Gather completions: one publish and one interrupt decision a queue at the outermost end. */
void vdev_batch_begin(struct vdev *d);
void vdev_batch_end(struct vdev *d);

/* Helpers on iovecs: copy up to `bytes` from or to the bytes that start at `skip`; the number
 * copied is returned. iov_fill writes a byte value. */
uint64_t vdev_iov_read(const struct iovec *iov, unsigned count, uint64_t skip, void *to,
                       uint64_t bytes);
uint64_t vdev_iov_write(const struct iovec *iov, unsigned count, uint64_t skip, const void *from,
                        uint64_t bytes);
uint64_t vdev_iov_fill(const struct iovec *iov, unsigned count, uint64_t skip, uint8_t value,
                       uint64_t bytes);
/* The part [skip, skip + bytes) as at most `max` entries of `to`; returns how many, and in
 * *got how many bytes they cover. */
unsigned vdev_iov_slice(const struct iovec *iov, unsigned count, uint64_t skip, uint64_t bytes,
                        struct iovec *to, unsigned max, uint64_t *got);

#endif
