/* SPDX-License-Identifier: MIT */
/*
 * Takes requests through their I/O steps, with io_uring where the kernel lets us, else with one
 * system call a step (containers often forbid io_uring).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "device/blk_impl.h"
#include "util/bits.h"
#include "util/log.h"

#define RESUBMIT_NS      1000000ull
#define STEP_RETRIES_MAX 1000u

/* One kernel operation, for either engine. */
struct step {
    enum { OP_READ, OP_WRITE, OP_SYNC, OP_FALLOCATE } op;
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t offset_bytes, bytes;
    int flags; /* RWF_* or FALLOC_FL_* */
};

/* ---- lists ---- */

static void list_add(struct blk_list *l, struct blk_request *q)
{
    q->next = NULL;
    q->prev = l->last;
    if (l->last)
        l->last->next = q;
    else
        l->first = q;
    l->last = q;
}

static void list_del(struct blk_list *l, struct blk_request *q)
{
    if (q->prev)
        q->prev->next = q->next;
    else
        l->first = q->next;
    if (q->next)
        q->next->prev = q->prev;
    else
        l->last = q->prev;
    q->next = q->prev = NULL;
}

/* ---- steps ---- */

static bool all_aligned(const struct iovec *iov, unsigned count)
{
    uintptr_t bits = 0;

    for (unsigned i = 0; i < count; i++)
        bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
    return (bits & (BLK_DIRECT_ALIGN - 1)) == 0;
}

/* The data that is still to be moved, through the bounce buffer when direct access cannot use
 * the driver's memory as it lies. */
static int step_data(struct blk *b, struct blk_request *q, struct step *s)
{
    const struct vdev_request *r = q->r;
    bool read = q->step == BLK_STEP_READ;
    uint64_t left = q->total_bytes - q->done_bytes;

    q->bounced = false;
    s->iov = q->io->iov;
    s->iov_count =
        vdev_iov_slice(read ? r->in : r->out, read ? r->in_count : r->out_count,
                       q->skip_bytes + q->done_bytes, left, q->io->iov, b->iov_count, &s->bytes);
    if (!b->image.direct || (all_aligned(s->iov, s->iov_count) && s->bytes == left))
        return 0;
    if (!q->io->bounce && posix_memalign(&q->io->bounce, 4096, BLK_BOUNCE_BYTES)) {
        q->io->bounce = NULL;
        return -ENOMEM;
    }
    s->bytes = min_u64(left, BLK_BOUNCE_BYTES);
    if (!read)
        vdev_iov_read(r->out, r->out_count, q->skip_bytes + q->done_bytes, q->io->bounce, s->bytes);
    q->io->iov[0] = (struct iovec){q->io->bounce, s->bytes};
    s->iov_count = 1;
    q->bounced = true;
    return 0;
}

static void step_zeroes(struct blk *b, struct blk_request *q, struct step *s)
{
    const struct blk_segment *seg = &q->segs[q->seg_next];
    uint64_t left = seg->bytes - q->done_bytes;

    s->iov = q->io->iov;
    s->bytes = 0;
    for (s->iov_count = 0; s->iov_count < b->iov_count && s->bytes < left; s->iov_count++) {
        size_t len = min_u64(left - s->bytes, BLK_ZERO_BYTES);

        q->io->iov[s->iov_count] = (struct iovec){b->zeroes, len};
        s->bytes += len;
    }
    s->offset_bytes = seg->offset_bytes + q->done_bytes;
}

static int step_build(struct blk *b, struct blk_request *q, struct step *s)
{
    const struct blk_segment *seg = &q->segs[q->seg_next];

    memset(s, 0, sizeof(*s));
    switch (q->step) {
    case BLK_STEP_READ:
    case BLK_STEP_WRITE:
        s->op = q->step == BLK_STEP_READ ? OP_READ : OP_WRITE;
        s->offset_bytes = q->offset_bytes + q->done_bytes;
        s->flags = q->step == BLK_STEP_WRITE && q->sync_after ? RWF_DSYNC : 0;
        return step_data(b, q, s);
    case BLK_STEP_ZERO_WRITE:
        s->op = OP_WRITE;
        step_zeroes(b, q, s);
        return 0;
    case BLK_STEP_DEALLOCATE:
    case BLK_STEP_ZERO:
        s->op = OP_FALLOCATE;
        s->offset_bytes = seg->offset_bytes;
        s->bytes = seg->bytes;
        s->flags = FALLOC_FL_KEEP_SIZE |
                   (q->step == BLK_STEP_DEALLOCATE ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
        return 0;
    case BLK_STEP_SYNC:
        s->op = OP_SYNC;
        return 0;
    }
    return -EINVAL;
}

/* The next segment of a discard or write zeroes, or what comes behind the last. */
static bool next_segment(struct blk_request *q)
{
    q->done_bytes = 0;
    if (++q->seg_next < q->seg_count) {
        q->step = q->type == VIRTIO_BLK_T_DISCARD || q->unmap ? BLK_STEP_DEALLOCATE : BLK_STEP_ZERO;
        return true;
    }
    if (!q->sync_after)
        return false;
    q->step = BLK_STEP_SYNC;
    return true;
}

static bool unsupported(int res)
{
    return res == -EOPNOTSUPP || res == -ENOSYS;
}

/*
 * A step ended with `res` as the kernel reports it. Returns true when there is another one to
 * do; else *status is the request's.
 */
static bool step_ended(struct blk *b, struct blk_request *q, int res, uint8_t *status)
{
    const struct vdev_request *r = q->r;

    *status = VIRTIO_BLK_S_OK;
    if ((res == -EINTR || res == -EAGAIN) && q->retries++ < STEP_RETRIES_MAX)
        return true;
    switch (q->step) {
    case BLK_STEP_READ:
    case BLK_STEP_WRITE:
        /* Nothing moved: the image ends before its capacity, or is full. */
        if (res <= 0)
            break;
        if (q->step == BLK_STEP_READ) {
            if (q->bounced)
                vdev_iov_write(r->in, r->in_count, q->skip_bytes + q->done_bytes, q->io->bounce,
                               (unsigned)res);
            q->valid_bytes += (unsigned)res;
        }
        q->done_bytes += (unsigned)res;
        return q->done_bytes < q->total_bytes;
    case BLK_STEP_DEALLOCATE:
        /* A discard is a hint; zeroes are not. */
        if (unsupported(res) && q->type == VIRTIO_BLK_T_DISCARD)
            return next_segment(q);
        /* fall through */
    case BLK_STEP_ZERO:
        if (unsupported(res)) {
            q->step = BLK_STEP_ZERO_WRITE;
            return true;
        }
        if (res < 0)
            break;
        return next_segment(q);
    case BLK_STEP_ZERO_WRITE:
        if (res <= 0)
            break;
        q->done_bytes += (unsigned)res;
        return q->done_bytes < q->segs[q->seg_next].bytes || next_segment(q);
    case BLK_STEP_SYNC:
        if (res < 0)
            break;
        return false;
    }
    if (res != -ECANCELED)
        log_warn_limited("%s: request type %u at byte %llu: %s", b->vdev.label, q->type,
                         (unsigned long long)(q->offset_bytes + q->done_bytes),
                         res ? strerror(-res) : "unexpected end of the image");
    *status = VIRTIO_BLK_S_IOERR;
    return false;
}

/* ---- one system call a step ---- */

static int step_call(const struct blk *b, const struct step *s)
{
    int count = s->iov_count > IOV_MAX ? IOV_MAX : (int)s->iov_count;
    ssize_t n = -1;

    switch (s->op) {
    case OP_READ:
        n = preadv(b->image.fd, s->iov, count, (off_t)s->offset_bytes);
        break;
    case OP_WRITE:
        n = pwritev2(b->image.fd, s->iov, count, (off_t)s->offset_bytes, s->flags);
        break;
    case OP_SYNC:
        n = fdatasync(b->image.fd);
        break;
    case OP_FALLOCATE:
        n = fallocate(b->image.fd, s->flags, (off_t)s->offset_bytes, (off_t)s->bytes);
        break;
    }
    return n < 0 ? -errno : (int)n;
}

static void io_release(struct blk *b, struct blk_request *q)
{
    q->io->next = b->io_free;
    b->io_free = q->io;
    q->io = NULL;
    list_del(&b->inflight, q);
}

/* ---- io_uring ---- */

static struct io_uring_sqe *sqe_get(struct blk *b)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

    if (!sqe) {
        blk_engine_submit(b);
        sqe = io_uring_get_sqe(&b->ring);
    }
    if (sqe)
        b->unsubmitted++;
    return sqe;
}

static int step_queue(struct blk *b, struct blk_request *q, const struct step *s)
{
    struct io_uring_sqe *sqe = sqe_get(b);
    unsigned count = s->iov_count > IOV_MAX ? IOV_MAX : s->iov_count;

    if (!sqe)
        return -EBUSY;
    switch (s->op) {
    case OP_READ:
        io_uring_prep_readv(sqe, b->image.fd, s->iov, count, s->offset_bytes);
        break;
    case OP_WRITE:
        io_uring_prep_writev2(sqe, b->image.fd, s->iov, count, s->offset_bytes, s->flags);
        break;
    case OP_SYNC:
        io_uring_prep_fsync(sqe, b->image.fd, IORING_FSYNC_DATASYNC);
        break;
    case OP_FALLOCATE:
        io_uring_prep_fallocate(sqe, b->image.fd, s->flags, (off_t)s->offset_bytes,
                                (off_t)s->bytes);
        break;
    }
    io_uring_sqe_set_data(sqe, q);
    return 0;
}

void blk_engine_submit(struct blk *b)
{
    int rc;

    if (!b->has_ring || !b->unsubmitted)
        return;
    rc = io_uring_submit(&b->ring);
    if (rc > 0)
        b->unsubmitted -= (unsigned)rc < b->unsubmitted ? (unsigned)rc : b->unsubmitted;
    /* The kernel is short of something: what is in the ring stays there for the next time. */
    if (b->unsubmitted && !b->draining)
        evloop_timer_arm(b->vdev.loop, &b->submit_timer, RESUBMIT_NS);
}

static void submit_again(struct evloop_timer *t)
{
    blk_engine_submit(t->user);
}

static bool being_drained(const struct blk *b, const struct blk_request *q)
{
    return b->draining &&
           (b->drained_queue == BLK_QUEUE_ANY || b->drained_queue == q->r->queue->index);
}

/*
 * Go on with a request until a step is in flight or the request is finished. `res` is the result
 * of the step before, or 1 with `begin`.
 */
static void request_run(struct blk *b, struct blk_request *q, bool begin, int res)
{
    uint8_t status = VIRTIO_BLK_S_OK;
    bool more = begin || step_ended(b, q, res, &status);

    while (more) {
        struct step s;
        int rc;

        /* Nobody waits for the answer: the driver resets. */
        if (being_drained(b, q)) {
            status = VIRTIO_BLK_S_IOERR;
            break;
        }
        rc = step_build(b, q, &s);
        if (rc == 0 && b->has_ring) {
            rc = step_queue(b, q, &s);
            if (rc == 0)
                return;
        }
        if (rc) {
            status = VIRTIO_BLK_S_IOERR;
            break;
        }
        more = step_ended(b, q, step_call(b, &s), &status);
    }
    io_release(b, q);
    blk_request_finish(b, q, status);
}

static void start_waiting(struct blk *b)
{
    while (b->waiting.first && b->io_free && !blk_hold_on(b->hold)) {
        struct blk_request *q = b->waiting.first;

        list_del(&b->waiting, q);
        q->io = b->io_free;
        b->io_free = q->io->next;
        list_add(&b->inflight, q);
        request_run(b, q, true, 0);
    }
}

void blk_engine_start(struct blk *b, struct blk_request *q)
{
    list_add(&b->waiting, q);
    start_waiting(b);
}

void blk_engine_go_on(struct blk *b)
{
    vdev_batch_begin(&b->vdev);
    start_waiting(b);
    blk_engine_submit(b);
    vdev_batch_end(&b->vdev);
}

/* Take what the kernel completed. At most `limit`: a request may put another step in. */
static unsigned reap(struct blk *b, unsigned limit)
{
    struct io_uring_cqe *cqe;
    unsigned n = 0;

    while (n < limit && io_uring_peek_cqe(&b->ring, &cqe) == 0) {
        struct blk_request *q = io_uring_cqe_get_data(cqe);
        int res = cqe->res;

        io_uring_cqe_seen(&b->ring, cqe);
        n++;
        if (q) /* NULL: the answer to a cancellation */
            request_run(b, q, false, res);
    }
    return n;
}

static void ring_ready(struct evloop_fd *w, uint32_t epoll_events)
{
    struct blk *b = w->user;
    eventfd_t count;

    if (eventfd_read(b->event_fd, &count) && errno != EAGAIN)
        log_warn_limited("%s: eventfd: %s", b->vdev.label, strerror(errno));
    vdev_batch_begin(&b->vdev);
    if (reap(b, b->inflight_max) == b->inflight_max)
        eventfd_write(b->event_fd, 1); /* the rest after the other descriptors had a turn */
    start_waiting(b);
    blk_engine_submit(b);
    vdev_batch_end(&b->vdev);
}

static bool queue_matches(const struct blk_request *q, unsigned queue)
{
    return queue == BLK_QUEUE_ANY || q->r->queue->index == queue;
}

static bool inflight_of(const struct blk *b, unsigned queue)
{
    for (const struct blk_request *q = b->inflight.first; q; q = q->next)
        if (queue_matches(q, queue))
            return true;
    return false;
}

void blk_engine_drain(struct blk *b, unsigned queue)
{
    struct blk_request *next;

    b->draining = true;
    b->drained_queue = queue;
    for (struct blk_request *q = b->waiting.first; q; q = next) {
        next = q->next;
        if (!queue_matches(q, queue))
            continue;
        list_del(&b->waiting, q);
        blk_request_finish(b, q, VIRTIO_BLK_S_IOERR);
    }
    /* Ask for a quick end of what has not begun; what has begun is awaited, because it writes
     * to memory that the driver is about to take back. */
    for (struct blk_request *q = b->inflight.first; q; q = q->next) {
        struct io_uring_sqe *sqe = queue_matches(q, queue) ? sqe_get(b) : NULL;

        if (!sqe)
            continue;
        io_uring_prep_cancel(sqe, q, 0);
        io_uring_sqe_set_data(sqe, NULL);
    }
    blk_engine_submit(b);
    while (inflight_of(b, queue)) {
        struct io_uring_cqe *cqe;

        blk_engine_submit(b);
        io_uring_wait_cqe(&b->ring, &cqe);
        reap(b, UINT_MAX);
    }
    b->draining = false;
    start_waiting(b);
    blk_engine_submit(b);
}

/* ---- set up ---- */

static int ring_init(struct blk *b, char *error, size_t error_bytes)
{
    int rc = io_uring_queue_init(b->inflight_max, &b->ring, 0);

    if (rc == -ENOSYS || rc == -EPERM || rc == -EACCES) {
        log_info("%s: no io_uring here (%s): one system call for each step", b->vdev.label,
                 strerror(-rc));
        return 0;
    }
    if (rc == -ENOMEM) {
        /* What a user's rings take is bounded (RLIMIT_MEMLOCK), and the kernel gives the memory of
         * those that were closed back some time later: devices that come and go quickly get
         * there. A slower disk is better than none. */
        log_warn("%s: no memory for io_uring: one system call for each step", b->vdev.label);
        return 0;
    }
    if (rc) {
        snprintf(error, error_bytes, "io_uring: %s", strerror(-rc));
        return rc;
    }
    b->has_ring = true;
    io_uring_ring_dontfork(&b->ring);
    b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->event_fd < 0) {
        rc = -errno;
        snprintf(error, error_bytes, "eventfd: %s", strerror(-rc));
        return rc;
    }
    b->ring_watch = (struct evloop_fd){.fd = b->event_fd, .ready = ring_ready, .user = b};
    rc = io_uring_register_eventfd(&b->ring, b->event_fd);
    if (rc) {
        snprintf(error, error_bytes, "io_uring eventfd: %s", strerror(-rc));
        return rc;
    }
    rc = evloop_add(b->vdev.loop, &b->ring_watch, EPOLLIN);
    if (rc) {
        snprintf(error, error_bytes, "event loop: %s", strerror(-rc));
        close(b->event_fd);
        b->event_fd = -1;
    }
    return rc;
}

int blk_engine_init(struct blk *b, unsigned inflight_max, char *error, size_t error_bytes)
{
    b->event_fd = -1;
    if (b->image.fd < 0)
        return 0;
    b->inflight_max = inflight_max;
    b->iov_count = (unsigned)min_u64(b->vdev.iov_max, IOV_MAX);
    b->submit_timer = (struct evloop_timer){.fired = submit_again, .user = b};
    b->ios = calloc(inflight_max, sizeof(*b->ios));
    b->iovs = calloc((size_t)inflight_max * b->iov_count, sizeof(*b->iovs));
    if (!b->ios || !b->iovs || posix_memalign((void **)&b->zeroes, 4096, BLK_ZERO_BYTES)) {
        snprintf(error, error_bytes, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    memset(b->zeroes, 0, BLK_ZERO_BYTES);
    for (unsigned i = 0; i < inflight_max; i++) {
        b->ios[i].iov = b->iovs + (size_t)i * b->iov_count;
        b->ios[i].next = b->io_free;
        b->io_free = &b->ios[i];
    }
    return ring_init(b, error, error_bytes);
}

void blk_engine_fini(struct blk *b)
{
    assert(!b->inflight.first && !b->waiting.first);
    if (b->submit_timer.user)
        evloop_timer_cancel(b->vdev.loop, &b->submit_timer);
    if (b->event_fd >= 0) {
        evloop_del(b->vdev.loop, &b->ring_watch);
        close(b->event_fd);
    }
    if (b->has_ring)
        io_uring_queue_exit(&b->ring);
    for (unsigned i = 0; b->ios && i < b->inflight_max; i++)
        free(b->ios[i].bounce);
    free(b->ios);
    free(b->iovs);
    free(b->zeroes);
}
