/* SPDX-License-Identifier: MIT */
/*
 * A split virtqueue in the hands of a check: every descriptor and index is placed by hand, legal
 * or not, and every used entry is looked at.
 */
#ifndef RP_CONFORMANCE_RING_H
#define RP_CONFORMANCE_RING_H

#include "conformance/given.h"
#include "spec/virtq_split.h"
#include "virtq/raw.h"

struct ring {
    struct ring *next;
    struct device *d;
    unsigned index, size;
    struct fe_dma mem;
    uint32_t desc_off, driver_off, device_off;
    struct virtq_raw raw;
    uint16_t avail, used; /* the driver's own counts */
    fe_irq_t irq;         /* 0: none */
    uint16_t vector;
};

/* Set up and enable queue `index` with `size` entries (0: the maximum) and an interrupt. Between
 * negotiation and DRIVER_OK. */
struct ring *given_queue(struct device *d, unsigned index, unsigned size);

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

/* Write a chain into descriptors first, first+1, ... (modulo the size). Returns the head. */
uint16_t ring_chain(struct ring *r, unsigned first, const struct piece *p, unsigned n);
/* The same into an indirect table in `table`, referred to by descriptor `first`. */
uint16_t ring_chain_indirect(struct ring *r, unsigned first, struct buffer *table,
                             const struct piece *p, unsigned n);
/* Make a head available; the doorbell is ring_kick. */
void ring_offer(struct ring *r, uint16_t head);
void ring_kick(struct ring *r);

/* The next used entry; false after timeout_ns. */
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

/* Free the memory of a ring whose device was reset. */
void ring_release(struct ring *r);

#endif
