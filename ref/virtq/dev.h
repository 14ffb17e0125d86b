/* SPDX-License-Identifier: MIT */
/*
 * The device side of a virtqueue.
 *
 * Taking:   virtq_dev_pop gives one chain at a time, copied and checked.
 * Giving:   virtq_dev_push writes used entries, virtq_dev_publish makes all of them visible at
 *           once, virtq_dev_interrupt_needed then says whether the driver wants to hear of it.
 * Sleeping: virtq_dev_kick_enable asks for a doorbell and says whether more arrived meanwhile;
 *           a device sleeps only when it returned false. virtq_dev_kick_disable is a hint.
 *
 * With EVENT_IDX a doorbell is asked for by position, so it comes once for each kick_enable.
 *
 * The first broken rule makes the queue *faulty*: pop returns -EPROTO from then on and `fault`
 * names the rule. Pushing what was taken earlier stays allowed.
 *
 * One thread uses a queue at a time. Nothing here allocates or calls the kernel, except through
 * the indirect callbacks.
 */
#ifndef RP_VIRTQ_DEV_H
#define RP_VIRTQ_DEV_H

#include <sys/uio.h>

#include "virtq/virtq.h"

/* Entries that indirect_get may fill: a table of VIRTQ_CHAIN_MAX descriptors anywhere in a page
 * spans five pages. */
#define VIRTQ_INDIRECT_IOV_MAX 8u
#define VIRTQ_CHAIN_MAX        1024u

/* Identifies a chain to push; copy it out of the chain and keep it with the request. Private: id in
 * the low 16 bits (split: head index; packed: buffer id), then 16 of ring slots taken, then 32 of
 * writable bytes. One word, so that it is stored and loaded whole. */
struct virtq_token {
    uint64_t word;
};

/*
 * One chain. The caller provides segs with room for the chain_max given at init. Descriptors of
 * length 0 are legal and carry nothing: they do not appear.
 */
struct virtq_chain {
    struct virtq_seg *segs; /* borrowed from the caller; copies, the driver cannot change them */
    unsigned count;
    unsigned readable; /* the first `readable` segments are for reading, the rest for writing */
    uint64_t readable_bytes, writable_bytes;
    struct virtq_token token;
};

/*
 * Where a device side begins or stands; all zero for a queue that was just enabled. In the packed
 * format the two are offsets in the ring, and say nothing of what is between them: which chains
 * are in flight, and how long each is, has to be recorded beside the state.
 */
struct virtq_dev_state {
    uint16_t avail_idx; /* next chain to take */
    uint16_t used_idx;  /* next used entry to write */
    /* Packed: the ring was gone round an odd number of times, so that the wrap counter is 0. */
    bool avail_lap_odd, used_lap_odd;
};

struct virtq_dev_config {
    enum virtq_format format;
    unsigned size;
    bool indirect;      /* VIRTIO_F_INDIRECT_DESC negotiated */
    bool event_idx;     /* VIRTIO_F_EVENT_IDX negotiated */
    bool in_order;      /* VIRTIO_F_IN_ORDER negotiated: see virtq_dev_push */
    unsigned chain_max; /* segments that this device accepts, 1 to VIRTQ_CHAIN_MAX */
    struct virtq_areas areas;
    /* Split: at most `size` chains between the two. Packed: nothing in flight, both the same. */
    struct virtq_dev_state start;

    /*
     * Reach an indirect table of len_bytes (a multiple of 16) for reading: fill up to
     * VIRTQ_INDIRECT_IOV_MAX entries that cover it in order, 0 or -errno: -EFAULT, -EINVAL and
     * -ENOSPC are the driver's fault, anything else is trouble of our own. indirect_put releases
     * it before pop returns; it is called exactly once for each get that returned 0.
     * May be NULL when `indirect` is false.
     */
    int (*indirect_get)(void *ctx, gpa_t addr, uint32_t len_bytes, struct iovec *iov,
                        unsigned *iov_count);
    void (*indirect_put)(void *ctx);
    void *ctx;
};

/* Chains that one used entry stands for: one, or with IN_ORDER several (2.7.9, 2.8.8). */
struct virtq_used_batch {
    unsigned id; /* of the last */
    unsigned chains, descs;
    uint32_t written; /* to the last; the others were written whole */
    bool whole;       /* the last, too */
};

/* Fields are private to ref/virtq but for those marked. */
struct virtq_dev {
    struct virtq_dev_config cfg;
    union {
        struct {
            uint16_t mask; /* size - 1 */
            uint16_t avail_next;
            uint16_t avail_seen; /* available index at the last look: to here no new fetch */
            uint16_t used_next;
            uint16_t used_published;
            uint16_t used_signalled; /* used index at the last interrupt decision */
        } split;
        struct {
            struct virtq_packed_pos avail; /* the next chain, as available */
            struct virtq_packed_pos used;  /* the next used entry, as used */
            unsigned taken;                /* chains */
            unsigned unpublished;          /* chains used since then */
            unsigned unpublished_descs;
            unsigned descs_out; /* ring slots that are ours until used entries are published */
            unsigned moved;     /* slots published since the last interrupt decision, <= size */
            unsigned held_at;   /* the first unpublished used entry, not yet in the ring */
            uint64_t held_word;
        } packed;
    };
    struct virtq_used_batch batch; /* of IN_ORDER, not yet in the ring when it has chains */
    bool kick_on;
    enum virtq_fault fault; /* public, read-only */
    uint16_t fault_index;   /* public, read-only: head or descriptor index that broke the rule */
};

/*
 * Returns 0, or -EINVAL for a configuration that makes no sense (size, chain_max, start, a missing
 * area or callback). Does not touch the areas: a device must not before DRIVER_OK, and notification
 * starts enabled, as zeroed areas say.
 */
int virtq_dev_init(struct virtq_dev *q, const struct virtq_dev_config *config);

/*
 * Take the next chain.
 *   1        chain is filled
 *   0        nothing is available
 *   -EPROTO  the queue is faulty; q->fault says why
 *   else     what indirect_get returned, when that is not the driver's fault: -ENOMEM, -EMFILE,
 *            -EAGAIN. The chain was not taken and can be tried again.
 */
int virtq_dev_pop(struct virtq_dev *q, struct virtq_chain *chain);

/* Chains taken and not yet pushed. */
unsigned virtq_dev_outstanding(const struct virtq_dev *q);

/*
 * Write a used entry: `written` bytes from the start of the writable part (2.7.8, 2.8.4). Chains
 * may be pushed in any order, each once; with in_order only in the order in which they were popped
 * (6.2), and those that were written whole may share an entry with the one behind them. The driver
 * sees nothing before publish.
 */
void virtq_dev_push(struct virtq_dev *q, struct virtq_token token, uint32_t written);

/* Make pushed entries visible. Returns how many. */
unsigned virtq_dev_publish(struct virtq_dev *q);

/* After publish: must the driver be notified (2.7.7.2, 2.7.10, 2.8.10)? One decision covers
 * everything published since the previous one. Costs a full barrier. */
bool virtq_dev_interrupt_needed(struct virtq_dev *q);

/* "No doorbell needed": a hint (2.7.10.1, 2.8.10), used while the device polls. */
void virtq_dev_kick_disable(struct virtq_dev *q);
/* Ask for the doorbell again. True: chains became available meanwhile, pop them first. */
bool virtq_dev_kick_enable(struct virtq_dev *q);

/* Where the queue stands. With nothing outstanding, and everything published, another device side
 * can go on from here. */
void virtq_dev_get_state(const struct virtq_dev *q, struct virtq_dev_state *state);

/*
 * A start state for a device that lost its own and finds a ring in use: begin where used entries
 * end. Exact when the predecessor used chains in the order in which it took them; a predecessor
 * that reordered must record what was in flight, the ring cannot tell. -EINVAL for a size that
 * cannot be; -EOPNOTSUPP for a packed queue: in its ring the descriptors that a used entry skipped
 * look like available ones.
 */
int virtq_dev_state_recover(enum virtq_format format, unsigned size,
                            const struct virtq_areas *areas, struct virtq_dev_state *state);

#endif
