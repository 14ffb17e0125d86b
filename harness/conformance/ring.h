/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue in the hands of a check: every descriptor and index is placed by hand, legal or not,
 * and every used entry is looked at.
 *
 * The format is the one that was negotiated, and most checks need not know it. They describe a
 * chain in a table of descriptors, offer its head, and see the head again as the id of the used
 * entry. In the split format the table is the device's; in the packed one it is the driver's own,
 * and ring_offer copies the chain to where the ring has got to, with the head as buffer id. What
 * only one format can say (an index that jumps, a wrap counter that lies) goes to `raw`.
 */
#ifndef RP_CONFORMANCE_RING_H
#define RP_CONFORMANCE_RING_H

#include "conformance/given.h"
#include "spec/virtq_packed.h"
#include "spec/virtq_split.h"
#include "virtq/raw.h"

struct ring {
    struct ring *next;
    struct device *d;
    unsigned index, size;
    struct fe_dma mem;
    uint32_t desc_off, driver_off, device_off;
    struct virtq_raw raw;
    /* The driver's own counts: of chains; packed: of places in the ring, modulo twice its size. */
    uint16_t avail, used;
    struct virtq_raw_desc *table; /* packed; `size` entries */
    uint16_t *taken;              /* packed: ring descriptors of the chain with this id, 0: none */
    bool lost;    /* packed: after a used id that was not out nothing can be found */
    fe_irq_t irq; /* 0: none */
    uint16_t vector;
};

/* Set up and enable queue `index` with `size` entries (0: the maximum) and an interrupt. Between
 * negotiation and DRIVER_OK. */
struct ring *given_queue(struct device *d, unsigned index, unsigned size);

/* The same without an interrupt: a platform has only so many, and a device may have many queues. */
struct ring *given_queue_polled(struct device *d, unsigned index, unsigned size);

/* The same with the interrupt on the shared line, MSI-X left disabled. */
struct ring *given_queue_intx(struct device *d, unsigned index, unsigned size);

/* Memory for a queue without telling the device. */
struct ring *given_queue_memory(struct device *d, unsigned index, unsigned size);
void ring_program(struct ring *r);

/* Largest size of a queue; 0: it does not exist. */
unsigned queue_max(struct device *d, unsigned index);

/* A descriptor's worth of buffer. */
struct piece {
    gpa_t addr;
    uint32_t len;
    bool writable;
};

struct piece piece_of(const struct buffer *b, bool writable);
struct piece piece_part(const struct buffer *b, uint32_t offset, uint32_t len, bool writable);

bool ring_is_packed(const struct ring *r);

/* Descriptor i of the table; and entry i of the indirect table at `table`, where a packed queue
 * has no NEXT and no next (2.8.7). */
void ring_desc_set(struct ring *r, unsigned i, struct virtq_raw_desc d);
struct virtq_raw_desc ring_desc_get(const struct ring *r, unsigned i);
void ring_table_set(const struct ring *r, void *table, unsigned i, struct virtq_raw_desc d);

/* Write a chain into descriptors first, first+1, ... (modulo the size). Returns the head. */
uint16_t ring_chain(struct ring *r, unsigned first, const struct piece *p, unsigned n);
/* The same into an indirect table in `table`, referred to by descriptor `first`. */
uint16_t ring_chain_indirect(struct ring *r, unsigned first, struct buffer *table,
                             const struct piece *p, unsigned n);
/* Make a head available; the doorbell is ring_kick. */
void ring_offer(struct ring *r, uint16_t head);
void ring_kick(struct ring *r);
/* Offer what no device can make sense of: a head that does not exist; packed: a chain that goes on
 * where nothing was made available. */
void ring_break(struct ring *r);

/* Packed: a place in the ring, `count` places behind the first: its offset, and its wrap counter as
 * in event suppression (bit 15). */
unsigned ring_place(const struct ring *r, uint16_t count);
uint16_t ring_place_event(const struct ring *r, uint16_t count);

/* The next used entry; false after timeout_ns. A packed one without WRITE has length 0 (2.8.4). */
bool ring_used(struct ring *r, struct virtq_raw_used *u, uint64_t timeout_ns);
/* The next used entry has to come, with this id. Returns its length; ends the check when
 * nothing comes. */
uint32_t expect_used(struct ring *r, uint16_t head);
/* No used entry for a while. */
void expect_unused(struct ring *r, enum check_level level, const char *why);

/* An interrupt for the queue. The interrupt status is acknowledged on INTx. */
bool ring_interrupted(struct ring *r, uint64_t timeout_ns);
void expect_notified(struct ring *r, enum check_level level, const char *why);
void expect_quiet(struct ring *r, enum check_level level, const char *why);
/* Take interrupts that are pending. */
void ring_drain_irq(struct ring *r);

/* VIRTIO_F_RING_RESET: reset the queue, and wait until the device says that it is done. */
void ring_reset(struct ring *r);

/* Free the memory of a ring whose device was reset. */
void ring_release(struct ring *r);

#endif
