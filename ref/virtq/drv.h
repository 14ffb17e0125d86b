/* SPDX-License-Identifier: MIT */
/*
 * The driver side of a virtqueue.
 *
 * Giving:  virtq_drv_add describes a chain, virtq_drv_publish makes all added chains available
 *          at once, virtq_drv_kick_needed then says whether the device wants the doorbell.
 * Reaping: virtq_drv_reap returns used chains one at a time. The device is not trusted: an id
 *          that is not outstanding or a length beyond the writable part comes back as a named
 *          fault in the result; whether to go on is the caller's decision.
 * Waiting: virtq_drv_irq_enable (or _delayed) asks for an interrupt and says whether used
 *          entries arrived meanwhile; wait only when it returned false.
 *
 * One thread uses a queue at a time. Only init and fini allocate.
 */
#ifndef RP_VIRTQ_DRV_H
#define RP_VIRTQ_DRV_H

#include "virtq/virtq.h"

/* A piece of a buffer in the address form that the device is to use. */
struct virtq_sg {
    gpa_t addr;
    uint32_t len_bytes;
};

/* Memory for one indirect table, borrowed until its chain is reaped. */
struct virtq_indirect {
    void *va;         /* at least `entries` * 16 bytes, aligned to 16 */
    gpa_t addr;       /* the same memory for the device */
    unsigned entries; /* room */
};

struct virtq_drv_config {
    enum virtq_format format;
    unsigned size;
    bool event_idx; /* VIRTIO_F_EVENT_IDX negotiated */
    bool in_order;  /* VIRTIO_F_IN_ORDER negotiated: the device may use several with one entry */
    struct virtq_areas areas;
};

/* One used chain. */
struct virtq_done {
    void *cookie;           /* as given to add; NULL when the fault leaves no chain to name */
    uint32_t len_bytes;     /* as the device wrote it; of a chain that shares the used entry of
                               one behind it (in_order) the whole writable part */
    uint32_t id;            /* as the device wrote it, or as it would have */
    enum virtq_fault fault; /* VIRTQ_OK, _USED_ID, _USED_STALE or _USED_LEN */
};

struct virtq_drv_slot; /* one outstanding chain, private */

/* Fields are private to ref/virtq but for those marked. */
struct virtq_drv {
    struct virtq_drv_config cfg;
    struct virtq_drv_slot *slots; /* owned; `size` entries */
    unsigned free_head;
    unsigned free_count; /* descriptors */
    unsigned in_ring;    /* chains that were published and not reaped */
    unsigned detach_next;
    uint64_t added, published; /* chains since init; split: the low 16 bits are available indices */
    /* Of in_order: chains of the used entry in hand that were not reaped, and the id of the first
     * of all that are outstanding. */
    unsigned batch_left, oldest;
    uint32_t batch_len_bytes;
    union {
        struct {
            uint16_t mask;            /* size - 1 */
            uint16_t avail_signalled; /* available index at the last doorbell decision */
            uint16_t used_next;
            uint16_t used_seen; /* used index at the last look: to here no new fetch */
        } split;
        struct {
            struct virtq_packed_pos avail; /* the next descriptor, as available */
            struct virtq_packed_pos used;  /* the next used entry, as used */
            unsigned unpublished;          /* descriptors added since the last publish */
            unsigned moved;     /* descriptors published since the last doorbell decision */
            uint64_t held_word; /* of the first unpublished one: all of it but the address */
        } packed;
    };
    bool irq_on;
    enum virtq_fault fault; /* public: sticky; reap then gives -EPROTO */
};

/*
 * Zeroes the areas and starts an empty queue, interrupts on. Returns 0, -EINVAL or -ENOMEM.
 */
int virtq_drv_init(struct virtq_drv *q, const struct virtq_drv_config *config);
/* Frees what init allocated; outstanding cookies are the caller's (virtq_drv_detach). A zeroed
 * struct is allowed. */
void virtq_drv_fini(struct virtq_drv *q);

/*
 * Describe one chain: `out_count` pieces for the device to read, then `in_count` to write. With
 * `ind`, the pieces go to its table and one ring descriptor refers to it.
 * `cookie` must not be NULL. On success *id (may be NULL) is the id that the used entry will
 * carry. Returns
 *   0
 *   -ENOSPC  not enough free descriptors now
 *   -EINVAL  no piece at all, an empty piece, more pieces than the queue size, or more than
 *            ind->entries
 */
int virtq_drv_add(struct virtq_drv *q, const struct virtq_sg *out, unsigned out_count,
                  const struct virtq_sg *in, unsigned in_count, const struct virtq_indirect *ind,
                  void *cookie, uint16_t *id);

/* Make added chains available (2.7.13.3, 2.8.21.1). Returns how many. */
unsigned virtq_drv_publish(struct virtq_drv *q);

/* After publish: does the device want the doorbell (2.7.10, 2.8.10)? One decision covers everything
 * published since the previous one. Costs a full barrier. */
bool virtq_drv_kick_needed(struct virtq_drv *q);

/* What a doorbell with VIRTIO_F_NOTIFICATION_DATA carries (2.9): next_off, and next_wrap in bit
 * 15, of the first chain that is not available yet. */
uint16_t virtq_drv_next_avail(const struct virtq_drv *q);

/*
 * Reap one used chain.
 *   1        `done` is filled; look at done->fault
 *   0        nothing there
 *   -EPROTO  the queue must be reset: the used index or a batch is nonsense (_USED_IDX), or an id
 *            was, where the place of the next entry follows from it (packed, or in_order)
 */
int virtq_drv_reap(struct virtq_drv *q, struct virtq_done *done);

/* True when reap would not return 0. */
bool virtq_drv_used_pending(const struct virtq_drv *q);

unsigned virtq_drv_free_descs(const struct virtq_drv *q);
unsigned virtq_drv_outstanding(const struct virtq_drv *q);

/* "No interrupt needed": a hint (2.7.7.1, 2.7.10, 2.8.10). */
void virtq_drv_irq_disable(struct virtq_drv *q);
/* Interrupt at the next used entry. True: entries arrived meanwhile, reap them first. */
bool virtq_drv_irq_enable(struct virtq_drv *q);
/*
 * Interrupt only when `after` more chains are used (1: the same as irq_enable; limited to what is
 * outstanding). Without EVENT_IDX the ring cannot say this: it is irq_enable then. A packed ring
 * counts descriptors: with chains of several the interrupt comes sooner. True: that many (packed:
 * any) arrived meanwhile.
 */
bool virtq_drv_irq_enable_delayed(struct virtq_drv *q, unsigned after);

/*
 * After the device was reset or the queue was: take the outstanding chains back, in the order of
 * their ids, one a call. Returns false when none is left; then the queue may be finished or, after
 * virtq_drv_reset, used again.
 */
bool virtq_drv_detach(struct virtq_drv *q, void **cookie, uint16_t *id);

/* An empty queue again, as after init; nothing may be outstanding (detach first). */
void virtq_drv_reset(struct virtq_drv *q);

#endif
