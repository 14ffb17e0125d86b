/* SPDX-License-Identifier: MIT */
/* The device's process: what ref/device does with each chain, and nothing else. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gmem/flat.h"
#include "ringbench/shared.h"
#include "util/bits.h"
#include "virtq/dev.h"

#define CHAIN_MAX      8u
#define STOP_LOOK      64u /* empty looks between two at `stop` */
#define SPIN_CLOCK     16u /* empty looks between two at the clock */
#define LINE_BYTES     64u
#define SEQUENCE_BYTES sizeof(uint64_t)

struct device {
    struct shared *s;
    const struct row *row;
    struct virtq_dev q;
    struct gmem *gmem;
    struct gmem_lease table; /* of an indirect table */
    struct gmem_lease lease;
    struct iovec iov[CHAIN_MAX];
    struct virtq_seg segs[CHAIN_MAX];
    unsigned char *sink; /* where copies go */
    uint64_t chains, sum, sleeps, interrupts;
    struct patience patience;
    struct restraint restraint;
};

/* ---- reaching memory ---- */

static int table_get(void *ctx, gpa_t addr, uint32_t len_bytes, struct iovec *iov, unsigned *count)
{
    struct device *d = ctx;
    struct gmem_range range = {addr, len_bytes, GMEM_READ};
    int rc;

    if (!ROW_CHECKED) {
        iov[0] = (struct iovec){(void *)(uintptr_t)addr.raw, len_bytes};
        *count = 1;
        return 0;
    }
    d->table.iov = iov;
    d->table.iov_max = VIRTQ_INDIRECT_IOV_MAX;
    rc = gmem_get(d->gmem, &range, 1, &d->table);
    *count = d->table.iov_count;
    return rc;
}

static void table_put(void *ctx)
{
    struct device *d = ctx;

    if (ROW_CHECKED)
        (void)gmem_put(d->gmem, &d->table);
}

static int chain_get(struct device *d, const struct virtq_chain *c)
{
    struct gmem_range ranges[CHAIN_MAX];

    if (!ROW_CHECKED) {
        for (unsigned i = 0; i < c->count; i++)
            d->iov[i] =
                (struct iovec){(void *)(uintptr_t)c->segs[i].addr.raw, c->segs[i].len_bytes};
        d->lease.iov_count = c->count;
        return 0;
    }
    for (unsigned i = 0; i < c->count; i++)
        ranges[i] = (struct gmem_range){c->segs[i].addr, c->segs[i].len_bytes,
                                        c->segs[i].writable ? GMEM_WRITE : GMEM_READ};
    d->lease.iov = d->iov;
    d->lease.iov_max = CHAIN_MAX;
    return gmem_get(d->gmem, ranges, c->count, &d->lease);
}

static void payload_take(struct device *d, const struct iovec *v)
{
    const unsigned char *bytes = v->iov_base;
    uint64_t sequence = 0;

    if (d->row->copy) {
        memcpy(d->sink, bytes, min_u64(v->iov_len, ROW_PAYLOAD_MAX));
        bytes = d->sink;
    } else {
        for (size_t at = LINE_BYTES; at < v->iov_len; at += LINE_BYTES)
            d->sum += bytes[at];
    }
    if (v->iov_len >= SEQUENCE_BYTES)
        memcpy(&sequence, bytes, sizeof(sequence));
    d->sum += sequence;
}

static int chain_serve(struct device *d, const struct virtq_chain *c)
{
    int rc;

    if (d->row->payload_bytes) {
        rc = chain_get(d, c);
        if (rc < 0)
            return rc;
        for (unsigned i = 0; i < d->lease.iov_count; i++)
            payload_take(d, &d->iov[i]);
        if (ROW_CHECKED)
            (void)gmem_put(d->gmem, &d->lease);
    }
    virtq_dev_push(&d->q, c->token, 0);
    d->chains++;
    return 0;
}

/* ---- the loop ---- */

static void publish(struct device *d)
{
    virtq_dev_publish(&d->q);
    if (d->row->sleep && virtq_dev_interrupt_needed(&d->q)) {
        d->interrupts++;
        doorbell_ring(d->s->interrupt_fd);
    }
}

/* Nothing is there: look for a while, then sleep until the doorbell. */
static void idle(struct device *d, struct virtq_chain *c, int *rc)
{
    uint64_t begin = wall_ns(), waited = 0;

    do {
        for (unsigned i = 0; i < SPIN_CLOCK && *rc == 0; i++)
            *rc = virtq_dev_pop(&d->q, c);
        waited = wall_ns() - begin;
    } while (*rc == 0 && waited < d->patience.spin_ns);
    patience_learn(&d->patience, *rc != 0, waited);
    if (*rc != 0)
        return;
    if (!virtq_dev_kick_enable(&d->q)) {
        d->sleeps++;
        (void)doorbell_wait(d->s->doorbell_fd); /* the loop looks for itself */
    }
    virtq_dev_kick_disable(&d->q);
}

static int loop(struct device *d)
{
    struct virtq_chain c = {.segs = d->segs};
    unsigned unpublished = 0, empty = 0;
    int rc;

    if (d->row->sleep)
        virtq_dev_kick_disable(&d->q);
    for (;;) {
        rc = virtq_dev_pop(&d->q, &c);
        if (rc == 0) {
            if (unpublished)
                publish(d);
            unpublished = 0;
            if ((d->row->sleep || ++empty % STOP_LOOK == 0) &&
                __atomic_load_n(&d->s->words->stop, __ATOMIC_ACQUIRE))
                return 0;
            restraint_wait(&d->restraint);
            if (d->row->sleep)
                idle(d, &c, &rc);
            if (rc == 0)
                continue;
        }
        if (rc < 0)
            return rc == -EPROTO ? (int)d->q.fault : rc;
        d->restraint.found++;
        rc = chain_serve(d, &c);
        if (rc < 0)
            return rc;
        if (++unpublished == d->row->batch) {
            publish(d);
            unpublished = 0;
        }
    }
}

static int start(struct device *d)
{
    const struct row *r = d->row;
    struct gmem_flat_region region = {
        .base = SHARED_GUEST_BASE, .bytes = d->s->payload_bytes, .va = d->s->payload};
    struct virtq_dev_config config = {
        .format = r->ring == ROW_PACKED ? VIRTQ_PACKED : VIRTQ_SPLIT,
        .size = r->size,
        .indirect = r->indirect,
        .event_idx = r->event_idx,
        .in_order = r->in_order,
        .chain_max = CHAIN_MAX,
        .areas = d->s->areas,
        .indirect_get = table_get,
        .indirect_put = table_put,
        .ctx = d,
    };
    int rc = gmem_flat_create(&region, 1, &d->gmem);

    if (rc < 0)
        return rc;
    d->sink = calloc(1, ROW_PAYLOAD_MAX);
    if (!d->sink)
        return -ENOMEM;
    patience_init(&d->patience);
    d->restraint = (struct restraint){.pauses = RESTRAINT_MIN, .each = r->ring == ROW_PACKED};
    return virtq_dev_init(&d->q, &config);
}

void device_run(struct shared *s)
{
    struct device *d = aligned_alloc(SHARED_APART, align_up(sizeof(*d), SHARED_APART));
    struct shared_words *w = s->words;
    int rc = -ENOMEM;

    if (d) {
        *d = (struct device){.s = s, .row = s->row};
        rc = start(d);
    }
    if (rc == 0)
        rc = loop(d);
    w->device_error = rc;
    if (!d)
        return;
    w->device_chains = d->chains;
    w->device_sum = d->sum;
    w->device_sleeps = d->sleeps;
    w->device_interrupts = d->interrupts;
    gmem_destroy(d->gmem);
    free(d->sink);
    free(d);
}
