/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fioengine/disk.h"
#include "fioengine/disk_impl.h"
#include "spec/virtio_blk.h"
#include "util/bits.h"
#include "util/evloop.h"
#include "util/log.h"

#define REAP_BATCH 32u

int job_create(struct disk *d, unsigned depth, struct job **out)
{
    const struct fe_blk_info *info = disk_info(d);
    struct job *j = calloc(1, sizeof(*j));
    int rc = -ENOMEM;

    if (j == NULL)
        return rc;
    j->disk = d;
    j->depth = depth;
    j->again_tail = &j->again;
    pthread_mutex_init(&j->inside, NULL);
    rc = fe_dma_alloc(&d->memory, depth * sizeof(struct virtio_blk_discard_write_zeroes),
                      &j->segments);
    if (rc < 0)
        goto out;

    pthread_mutex_lock(&d->world);
    while (j->queue < info->queues && d->queue_taken[j->queue])
        j->queue++;
    if (j->queue < info->queues) {
        d->queue_taken[j->queue] = true;
        j->generation = d->generation;
        j->next = d->jobs;
        d->jobs = j;
    } else {
        log_error("%s: more jobs at once than the device's %u queues", d->label, info->queues);
        rc = -EBUSY;
    }
    pthread_mutex_unlock(&d->world);
out:
    if (rc < 0) {
        fe_dma_free(&d->memory, &j->segments);
        pthread_mutex_destroy(&j->inside);
        free(j);
    } else {
        *out = j;
    }
    return rc;
}

/* Take memory back, or leave it to the disk: the device may still write to it until its reset. */
static void dma_retire(struct job *j, struct fe_dma *dma)
{
    struct disk *d = j->disk;
    struct disk_orphan *o;

    if (dma->va == NULL)
        return;
    if (j->in_flight == 0 && fe_dma_free(&d->memory, dma) == 0)
        return;
    o = calloc(1, sizeof(*o));
    if (o == NULL) /* then it is never freed: still better than freed too early */
        return;
    o->dma = *dma;
    pthread_mutex_lock(&d->world);
    o->next = d->orphans;
    d->orphans = o;
    pthread_mutex_unlock(&d->world);
    memset(dma, 0, sizeof(*dma));
}

void job_destroy(struct job *j)
{
    struct disk *d;

    if (j == NULL)
        return;
    d = j->disk;
    job_memory_free(j);
    dma_retire(j, &j->segments);
    pthread_mutex_lock(&d->world);
    for (struct job **pos = &d->jobs; *pos != NULL; pos = &(*pos)->next) {
        if (*pos == j) {
            *pos = j->next;
            break;
        }
    }
    /* A queue with requests that nobody waits for is of no use to another job. */
    d->queue_taken[j->queue] = j->in_flight != 0;
    pthread_mutex_unlock(&d->world);
    pthread_mutex_destroy(&j->inside);
    free(j);
}

int job_memory_alloc(struct job *j, size_t bytes, void **va)
{
    int rc = fe_dma_alloc(&j->disk->memory, bytes, &j->pool);

    if (rc < 0) {
        log_error("%s: %zu KiB of buffers cannot be shared with the backend: %s", j->disk->label,
                  bytes / 1024, strerror(-rc));
        return rc;
    }
    *va = j->pool.va;
    return 0;
}

void job_memory_free(struct job *j)
{
    dma_retire(j, &j->pool);
}

void job_request_init(struct job *j, struct request *r, unsigned slot)
{
    assert(slot < j->depth);
    r->slot = slot;
}

static int data_addr(const struct job *j, const struct request *r, gpa_t *addr)
{
    uint64_t offset = (uint64_t)((const uint8_t *)r->buffer - j->pool.va);

    if (j->pool.va == NULL || !range_within(offset, r->bytes, j->pool.bytes))
        return -EFAULT;
    *addr = fe_dma_addr(&j->pool, offset);
    return 0;
}

static int trim_fill(struct job *j, const struct request *r, struct fe_blk_io *io)
{
    struct virtio_blk_discard_write_zeroes *segment =
        (struct virtio_blk_discard_write_zeroes *)(void *)j->segments.va + r->slot;

    if (!disk_info(j->disk)->discard)
        return -EOPNOTSUPP;
    if (r->bytes / FE_BLK_SECTOR_BYTES > disk_info(j->disk)->discard_sectors_max)
        return -EINVAL;
    *segment = (struct virtio_blk_discard_write_zeroes){
        .sector = le64_make(r->offset_bytes / FE_BLK_SECTOR_BYTES),
        .num_sectors = le32_make(r->bytes / FE_BLK_SECTOR_BYTES),
    };
    io->type = FE_BLK_DISCARD;
    io->sector = 0; /* 5.2.6: unused, 0 */
    io->va = segment;
    io->bytes = sizeof(*segment);
    io->addr = fe_dma_addr(&j->segments, r->slot * sizeof(*segment));
    return 0;
}

static int io_fill(struct job *j, struct request *r, struct fe_blk_io *io)
{
    *io = (struct fe_blk_io){
        .sector = r->offset_bytes / FE_BLK_SECTOR_BYTES,
        .va = r->buffer,
        .bytes = r->bytes,
        .token = r,
    };
    if (r->op != REQUEST_FLUSH &&
        (r->bytes == 0 || !is_aligned(r->offset_bytes | r->bytes, FE_BLK_SECTOR_BYTES)))
        return -EINVAL;
    switch (r->op) {
    case REQUEST_READ:
        io->type = FE_BLK_IN;
        return data_addr(j, r, &io->addr);
    case REQUEST_WRITE:
        io->type = FE_BLK_OUT;
        return disk_info(j->disk)->readonly ? -EROFS : data_addr(j, r, &io->addr);
    case REQUEST_TRIM:
        return disk_info(j->disk)->readonly ? -EROFS : trim_fill(j, r, io);
    default:
        *io = (struct fe_blk_io){.type = FE_BLK_FLUSH, .token = r};
        return 0;
    }
}

int job_submit(struct job *j, struct request *r)
{
    struct fe_blk_io io;
    int rc;

    /* Without the feature the cache is write-through: there is nothing to flush (5.2.5.1). */
    if (r->op == REQUEST_FLUSH && !disk_info(j->disk)->flush) {
        r->result = 0;
        return 0;
    }
    rc = io_fill(j, r, &io);
    if (rc < 0) {
        r->result = rc;
        return 0;
    }
    pthread_mutex_lock(&j->inside);
    /* What waits for its second submission has the right of way. */
    rc = j->again != NULL ? -EAGAIN : fe_blk_submit(j->disk->blk, j->queue, &io);
    if (rc == 0) {
        if (j->in_flight++ == 0)
            j->progress_ns = j->looked_ns = evloop_now_ns();
        j->unkicked = true;
    }
    pthread_mutex_unlock(&j->inside);
    if (rc == 0)
        return 1;
    if (rc == -EAGAIN)
        return rc;
    r->result = rc;
    return 0;
}

/* With `inside` held. Errors that the device's absence explains only make it suspect. */
static int kick(struct job *j)
{
    struct disk *d = j->disk;
    unsigned vcpu = j->queue % d->vcpus;
    int rc;

    if (!j->unkicked)
        return 0;
    pthread_mutex_lock(&d->vcpu_lock[vcpu]);
    rc = fe_blk_kick(d->blk, j->queue);
    pthread_mutex_unlock(&d->vcpu_lock[vcpu]);
    j->unkicked = false;
    if (rc == -EFAULT || rc == -ENODEV) {
        j->suspect = true;
        rc = 0;
    }
    return rc;
}

int job_commit(struct job *j)
{
    int rc;

    pthread_mutex_lock(&j->inside);
    rc = kick(j);
    pthread_mutex_unlock(&j->inside);
    return rc;
}

static void again_push(struct job *j, struct request *r)
{
    r->next = NULL;
    *j->again_tail = r;
    j->again_tail = &r->next;
}

/* With `inside` held: what was in the ring of a device that is gone goes into the new one's. */
static int submit_again(struct job *j)
{
    while (j->again != NULL) {
        struct request *r = j->again;
        struct fe_blk_io io;
        int rc = io_fill(j, r, &io);

        if (rc == 0)
            rc = fe_blk_submit(j->disk->blk, j->queue, &io);
        if (rc == -EAGAIN)
            break;
        if (rc < 0)
            return rc;
        j->again = r->next;
        if (j->again == NULL)
            j->again_tail = &j->again;
        j->unkicked = true;
    }
    return kick(j);
}

/* With `inside` held. Returns how many requests were put into `done`, or -errno. */
static int take(struct job *j, unsigned max, struct request **done)
{
    struct fe_blk_done batch[REAP_BATCH];
    unsigned n = 0;
    int got;

    j->generation = j->disk->generation;
    do {
        got =
            fe_blk_reap(j->disk->blk, j->queue, batch, max - n < REAP_BATCH ? max - n : REAP_BATCH);
        for (int i = 0; i < got; i++) {
            struct request *r = batch[i].token;

            if (batch[i].result == -ESTALE) {
                again_push(j, r);
                continue;
            }
            r->result = batch[i].result;
            done[n++] = r;
        }
    } while (got > 0 && n < max);
    j->in_flight -= n;
    if (n != 0)
        j->progress_ns = j->looked_ns = evloop_now_ns();
    if (got < 0 && n == 0) {
        log_error("%s: queue %u: the device broke a rule of the ring", j->disk->label, j->queue);
        return got;
    }
    got = submit_again(j);
    return got < 0 ? got : (int)n;
}

/* With `inside` held: is it time to ask whether the device is still there? */
static bool time_to_look(struct job *j, uint64_t now)
{
    if (j->in_flight == 0)
        return false;
    if (!j->suspect && now - j->looked_ns < DISK_SILENCE_NS)
        return false;
    j->suspect = false;
    j->looked_ns = now;
    return true;
}

static int check_patience(const struct job *j, uint64_t now)
{
    const struct disk *d = j->disk;

    if (j->in_flight == 0 || now - j->progress_ns < d->patience_ns)
        return 0;
    log_error("%s: queue %u: %u requests without an answer for %llu s", d->label, j->queue,
              j->in_flight, (unsigned long long)(d->patience_ns / 1000000000));
    return -ETIMEDOUT;
}

int job_reap(struct job *j, unsigned min, unsigned max, uint64_t timeout_ns, struct request **done)
{
    uint64_t start = evloop_now_ns(), now = start;
    struct disk *d = j->disk;
    unsigned n = 0;

    for (;;) {
        bool look = false, idle = false;
        int rc;

        pthread_mutex_lock(&j->inside);
        rc = take(j, max - n, done + n);
        if (rc >= 0) {
            n += (unsigned)rc;
            idle = j->in_flight == 0;
            rc = 0;
            if (n < min && !idle && !j->suspect)
                rc = fe_blk_wait(d->blk, j->queue,
                                 min_u64(timeout_ns - (now - start), DISK_SILENCE_NS));
        }
        now = evloop_now_ns();
        if (rc >= 0) {
            look = time_to_look(j, now);
            rc = check_patience(j, now);
        }
        pthread_mutex_unlock(&j->inside);

        if (rc == 0 && look)
            rc = disk_recover(d, j->generation);
        if (rc < 0)
            return n != 0 ? (int)n : rc;
        if (n >= min || idle || now - start >= timeout_ns)
            return (int)n;
    }
}
