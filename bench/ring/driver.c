/* SPDX-License-Identifier: MIT */
/* The driver's process: buffers from a pool of its own, as many outstanding as the row allows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ringbench/shared.h"
#include "util/bits.h"
#include "virtq/drv.h"

#define CLOCK_LOOK     256u /* turns between two looks at the clock */
#define SPIN_CLOCK     16u
#define LINE_BYTES     64u
#define SEQUENCE_BYTES sizeof(uint64_t)
#define PATIENCE_NS    2000000000u /* without a used buffer: the device is stuck */

struct buffer {
    _Alignas(LINE_BYTES) struct virtq_sg sg;
    unsigned char *va;
    uint64_t begin_ticks;
    struct virtq_indirect table;
};

struct driver {
    struct shared *s;
    const struct row *row;
    struct virtq_drv q;
    struct buffer *buffers;
    struct buffer **pool; /* a stack of those that are free */
    unsigned free;
    unsigned char *source; /* what is copied from */
    uint64_t added, reaped, sum, sleeps, doorbells;
    uint64_t last_reaped, last_ns;
    struct patience patience;
    struct restraint restraint;
    bool timed;
    uint64_t *waits; /* of the timed phase, in ticks, until a tick's length is known */
    uint64_t wait_count;
};

#define WAITS_MAX 4000000u

static void payload_put(struct driver *d, struct buffer *b)
{
    const unsigned bytes = d->row->payload_bytes;
    uint64_t sequence = d->added;

    if (bytes == 0)
        return;
    if (d->row->copy)
        memcpy(b->va, d->source, bytes);
    else
        for (size_t at = LINE_BYTES; at < bytes; at += LINE_BYTES)
            b->va[at] = 0;
    if (bytes >= SEQUENCE_BYTES) {
        memcpy(b->va, &sequence, sizeof(sequence));
        d->sum += sequence;
    }
}

static int add(struct driver *d)
{
    struct buffer *b = d->pool[d->free - 1];
    int rc;

    payload_put(d, b);
    if (d->timed)
        b->begin_ticks = ticks();
    rc = virtq_drv_add(&d->q, &b->sg, 1, NULL, 0, d->row->indirect ? &b->table : NULL, b, NULL);
    if (rc < 0)
        return rc;
    d->free--;
    d->added++;
    return 0;
}

static void publish(struct driver *d)
{
    virtq_drv_publish(&d->q);
    if (d->row->sleep && virtq_drv_kick_needed(&d->q)) {
        d->doorbells++;
        doorbell_ring(d->s->doorbell_fd);
    }
}

static void taken_back(struct driver *d, const struct virtq_done *done)
{
    struct buffer *b = done->cookie;

    if (d->timed && d->wait_count < WAITS_MAX)
        d->waits[d->wait_count++] = ticks() - b->begin_ticks;
    d->pool[d->free++] = b;
    d->reaped++;
}

/* Nothing can be done before a buffer is used: look for a while, then sleep. */
static int idle(struct driver *d)
{
    uint64_t begin = wall_ns(), waited;
    bool came = false;

    do {
        for (unsigned i = 0; i < SPIN_CLOCK && !came; i++)
            came = virtq_drv_used_pending(&d->q);
        waited = wall_ns() - begin;
    } while (!came && waited < d->patience.spin_ns);
    patience_learn(&d->patience, came, waited);
    if (came)
        return 0;
    if (!virtq_drv_irq_enable(&d->q)) {
        d->sleeps++;
        if (doorbell_wait(d->s->interrupt_fd) == -ETIMEDOUT && !virtq_drv_used_pending(&d->q))
            return -ETIMEDOUT;
    }
    virtq_drv_irq_disable(&d->q);
    return 0;
}

static int stuck(struct driver *d, uint64_t now)
{
    if (d->reaped != d->last_reaped) {
        d->last_reaped = d->reaped;
        d->last_ns = now;
    }
    return now - d->last_ns > PATIENCE_NS ? -ETIMEDOUT : 0;
}

/* One turn: a batch is added when there is room for all of it, and no more is reaped than that. */
static int turn(struct driver *d, bool adding)
{
    const unsigned batch = d->row->batch;
    struct virtq_done done;
    unsigned got = 0;
    bool added = false;
    int rc = 0;

    if (adding && d->free >= batch) {
        for (unsigned i = 0; i < batch; i++) {
            rc = add(d);
            if (rc < 0)
                return rc;
        }
        publish(d);
        added = true;
    }
    while (got < batch && (rc = virtq_drv_reap(&d->q, &done)) == 1) {
        if (done.fault != VIRTQ_OK)
            return (int)done.fault;
        taken_back(d, &done);
        got++;
    }
    if (rc < 0)
        return (int)d->q.fault;
    d->restraint.found += got;
    if (got != 0 || added)
        return 0;
    restraint_wait(&d->restraint);
    return d->row->sleep ? idle(d) : 0;
}

static int turns(struct driver *d, uint64_t until_ns, bool adding)
{
    int rc = 0;

    while (rc == 0) {
        uint64_t now = wall_ns();

        if (now >= until_ns || (!adding && d->free == d->row->depth))
            return 0;
        rc = stuck(d, now);
        for (unsigned i = 0; i < CLOCK_LOOK && rc == 0; i++) {
            if (!adding && d->free == d->row->depth)
                break;
            rc = turn(d, adding);
        }
    }
    return rc;
}

static int drain(struct driver *d)
{
    int rc = turns(d, UINT64_MAX, false);

    d->last_ns = wall_ns();
    return rc;
}

static int measure(struct driver *d, struct driver_result *result)
{
    uint64_t begin, cpu_begin, before;
    int rc;

    /* A tenth to warm up. */
    begin = d->last_ns = wall_ns();
    rc = turns(d, begin + d->row->measure_ns / 10, true);
    begin = wall_ns();
    cpu_begin = cpu_ns();
    before = d->reaped;
    if (rc == 0)
        rc = turns(d, begin + d->row->measure_ns, true);
    result->wall_ns = wall_ns() - begin;
    result->cpu_ns = cpu_ns() - cpu_begin;
    result->buffers = d->reaped - before;
    return rc ? rc : drain(d);
}

static int measure_latency(struct driver *d, struct driver_result *result)
{
    uint64_t begin = wall_ns(), from = ticks();
    double ns_per_tick;
    int rc;

    d->waits = calloc(WAITS_MAX, sizeof(*d->waits));
    if (!d->waits)
        return -ENOMEM;
    d->timed = true;
    rc = turns(d, begin + d->row->latency_ns, true);
    if (rc == 0)
        rc = drain(d);
    ns_per_tick = (double)(wall_ns() - begin) / (double)(ticks() - from);
    for (uint64_t i = 0; i < d->wait_count; i++)
        histogram_add(&result->latency, (uint64_t)((double)d->waits[i] * ns_per_tick + 0.5));
    return rc;
}

static int start(struct driver *d)
{
    const struct row *r = d->row;
    struct virtq_drv_config config = {
        .format = r->ring == ROW_PACKED ? VIRTQ_PACKED : VIRTQ_SPLIT,
        .size = r->size,
        .event_idx = r->event_idx,
        .in_order = r->in_order,
        .areas = d->s->areas,
    };
    int rc = virtq_drv_init(&d->q, &config);

    if (rc < 0)
        return rc;
    d->buffers = aligned_alloc(LINE_BYTES, r->depth * sizeof(*d->buffers));
    d->pool = calloc(r->depth, sizeof(*d->pool));
    d->source = calloc(1, ROW_PAYLOAD_MAX);
    if (!d->buffers || !d->pool || !d->source)
        return -ENOMEM;
    for (unsigned i = 0; i < r->depth; i++) {
        struct buffer *b = &d->buffers[i];
        unsigned char *va = d->s->payload + (size_t)i * d->s->payload_stride;
        unsigned char *table = d->s->tables + (size_t)i * SHARED_TABLE_BYTES;

        *b = (struct buffer){
            .va = va,
            .sg = {.addr = shared_guest_addr(d->s, va),
                   .len_bytes = r->payload_bytes ? r->payload_bytes : 1},
            .table = {.va = table, .addr = shared_guest_addr(d->s, table), .entries = 1},
        };
        d->pool[r->depth - 1 - i] = b;
    }
    d->free = r->depth;
    patience_init(&d->patience);
    d->restraint = (struct restraint){.pauses = RESTRAINT_MIN, .each = r->ring == ROW_PACKED};
    if (r->sleep)
        virtq_drv_irq_disable(&d->q);
    return 0;
}

void driver_run(struct shared *s, struct driver_result *result)
{
    struct driver *d = aligned_alloc(SHARED_APART, align_up(sizeof(*d), SHARED_APART));
    int rc = -ENOMEM;

    if (d) {
        *d = (struct driver){.s = s, .row = s->row};
        rc = start(d);
    }
    /* The device may look at the ring now. */
    __atomic_store_n(&s->words->ready, 1, __ATOMIC_RELEASE);
    if (rc == 0)
        rc = measure(d, result);
    if (rc == 0 && s->row->latency_ns)
        rc = measure_latency(d, result);
    __atomic_store_n(&s->words->stop, 1, __ATOMIC_RELEASE);
    if (s->row->sleep)
        doorbell_ring(s->doorbell_fd);
    result->error = rc;
    if (!d)
        return;
    result->sum = d->sum;
    result->sleeps = d->sleeps;
    result->doorbells = d->doorbells;
    virtq_drv_fini(&d->q);
    free(d->buffers);
    free(d->pool);
    free(d->source);
    free(d->waits);
    free(d);
}
