/* SPDX-License-Identifier: MIT */
#include "device/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/seed_wait.h"
#include "device/vdev_impl.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

#define RNG_CLASS_CODE 0x100000 /* en/decryption, network and computing */
#define IOV_AT_ONCE    64u
/* The rate is granted in portions, so that a driver that asked for much does not starve long. */
#define RATE_PERIOD_NS   100000000ull
#define SOURCE_RETRY_NS  100000000ull
#define PERIODS_A_SECOND (1000000000ull / RATE_PERIOD_NS)

/* The device's part of a vdev_request: vdev_request.user. */
struct rng_request {
    struct vdev_request *r;
    struct rng_request *next;
};

struct rng {
    struct vdev vdev; /* first: the core hands us this */

    int fd; /* -1: getrandom */
    bool regular;
    struct evloop_fd watch; /* while a request waits for a source that can be watched */
    bool watching;
    struct seed_wait *seed;    /* the kernel has nothing yet */
    struct evloop_timer later; /* the source failed, or the portion is used up */

    uint32_t rate_bytes_per_s;
    uint64_t portion_bytes; /* left of this period's */
    uint64_t period_end_ns;

    struct rng_request *first, **last; /* waiting, in the order of their coming */
    struct rng_stats stats;
};

static struct rng *to_rng(struct vdev *d)
{
    return (struct rng *)(void *)d;
}

static uint64_t rng_features(struct vdev *d)
{
    return 0;
}
static unsigned rng_num_queues(struct vdev *d)
{
    return 1;
}
static unsigned rng_queue_size_max(struct vdev *d, unsigned queue)
{
    return 0; /* no limit but the program's */
}

/* ---- the source ---- */

/* Up to `bytes` into the buffers: how many, or -EAGAIN (none now), or -errno. */
static ssize_t source_read(struct rng *g, const struct iovec *iov, unsigned count)
{
    ssize_t n = 0;

    if (g->fd >= 0) {
        n = readv(g->fd, iov, (int)count);
        if (n == 0 && g->regular && lseek(g->fd, 0, SEEK_SET) == 0)
            n = readv(g->fd, iov, (int)count);
        if (n == 0)
            return -ENODATA;
        return n < 0 ? -errno : n;
    }
    for (unsigned i = 0; i < count; i++) {
        ssize_t got = getrandom(iov[i].iov_base, iov[i].iov_len, GRND_NONBLOCK);

        if (got < 0 && n == 0)
            return -errno;
        if (got > 0)
            n += got;
        if (got < (ssize_t)iov[i].iov_len)
            break;
    }
    return n;
}

/* What the rate leaves of `wanted`; 0: nothing before the period ends. */
static uint64_t rate_allows(struct rng *g, uint64_t wanted)
{
    uint64_t now;

    if (!g->rate_bytes_per_s)
        return wanted;
    now = evloop_now_ns();
    if (now >= g->period_end_ns) {
        g->portion_bytes = max_u64(g->rate_bytes_per_s / PERIODS_A_SECOND, 1);
        g->period_end_ns = now + RATE_PERIOD_NS;
    }
    return min_u64(wanted, g->portion_bytes);
}

/* Come back when the source may have something. */
static void source_wait(struct rng *g)
{
    if (g->fd >= 0 && !g->regular && !g->watching)
        g->watching = evloop_add(g->vdev.loop, &g->watch, EPOLLIN) == 0;
    if (!g->watching && !g->seed)
        evloop_timer_arm(g->vdev.loop, &g->later, SOURCE_RETRY_NS);
}

/* ---- requests ---- */

/* Serve one request: false when it has to wait. */
static bool serve(struct rng *g, struct vdev_request *r)
{
    uint64_t bytes = rate_allows(g, min_u64(r->in_bytes, RNG_REQUEST_BYTES_MAX));
    struct iovec iov[IOV_AT_ONCE];
    unsigned count;
    ssize_t got;

    if (bytes == 0) {
        evloop_timer_arm(g->vdev.loop, &g->later, RATE_PERIOD_NS);
        return false;
    }
    count = vdev_iov_slice(r->in, r->in_count, 0, bytes, iov, IOV_AT_ONCE, &bytes);
    if (MUTANT(rng_last_byte_unwritten) && count && iov[count - 1].iov_len > 1 &&
        ((uintptr_t)iov[count - 1].iov_base + iov[count - 1].iov_len) % XEN_PAGE_BYTES == 0)
        iov[count - 1].iov_len -= 1;
    got = MUTANT(rng_bytes_unwritten) ? (ssize_t)bytes : source_read(g, iov, count);
    if (got < 0) {
        if (got == -EAGAIN) {
            source_wait(g);
        } else {
            log_warn_limited("%s: source: %s", g->vdev.label, strerror((int)-got));
            evloop_timer_arm(g->vdev.loop, &g->later, SOURCE_RETRY_NS);
        }
        return false;
    }
    if (MUTANT(rng_last_byte_unwritten))
        got = (ssize_t)bytes;
    if (g->rate_bytes_per_s)
        g->portion_bytes -= (uint64_t)got;
    g->stats.requests++;
    g->stats.bytes += (uint64_t)got;
    if (MUTANT(rng_bytes_repeat))
        vdev_iov_fill(r->in, r->in_count, 0, 0x5a, (uint64_t)got);
    for (unsigned i = 0; MUTANT(rng_seven_bits) && i < count; i++)
        for (size_t at = 0; at < iov[i].iov_len; at++)
            ((uint8_t *)iov[i].iov_base)[at] &= 0x7f;
    vdev_request_done(r, MUTANT(rng_used_empty) ? 0 : (uint32_t)got);
    return true;
}

static void serve_waiting(struct rng *g)
{
    vdev_batch_begin(&g->vdev);
    while (g->first) {
        struct rng_request *q = g->first;

        /* Its successor first: a completed request is the core's. */
        struct rng_request *next = q->next;

        if (!serve(g, q->r))
            break;
        g->first = next;
        if (!g->first)
            g->last = &g->first;
    }
    vdev_batch_end(&g->vdev);
    /* Nobody waits: the source would wake us for nothing. */
    if (!g->first && g->watching) {
        evloop_del(g->vdev.loop, &g->watch);
        g->watching = false;
    }
}

static void source_ready(struct evloop_fd *w, uint32_t epoll_events)
{
    serve_waiting(w->user);
}

static void later_fired(struct evloop_timer *t)
{
    serve_waiting(t->user);
}

static void seed_ready(void *user)
{
    struct rng *g = user;

    seed_wait_end(g->seed);
    g->seed = NULL;
    serve_waiting(g);
}

/* At once, and not when a driver asks: it takes a second or more. */
static void seed_begin(struct rng *g)
{
    int rc;

    if (g->fd >= 0 || !seed_is_missing() || MUTANT(rng_seed_not_waited_for))
        return;
    rc = seed_wait_start(g->vdev.loop, seed_ready, g, &g->seed);
    if (rc)
        log_warn("%s: nobody waits for the kernel's random numbers: %s", g->vdev.label,
                 strerror(-rc));
}

static void rng_request_new(struct vdev *d, struct vdev_request *r)
{
    struct rng *g = to_rng(d);
    struct rng_request *q = r->user;

    if (r->in_bytes == 0) {
        /* Nowhere to put a byte, and each buffer gets one (5.4.6.2). */
        if (MUTANT(rng_room_asserted))
            abort();
        vdev_fault(d, "rng-no-room", "a request without a writable byte");
        vdev_request_done(r, 0);
        return;
    }
    if (!g->first && serve(g, r))
        return;
    g->stats.waits++;
    *q = (struct rng_request){.r = r};
    *g->last = q;
    g->last = &q->next;
}

/* The one queue stops: nobody looks at what its requests would get. */
static void drop_waiting(struct rng *g)
{
    struct rng_request *q = g->first;

    g->first = NULL;
    g->last = &g->first;
    while (q) {
        struct rng_request *next = q->next;

        vdev_request_done(q->r, 0);
        q = next;
    }
    evloop_timer_cancel(g->vdev.loop, &g->later);
    if (g->watching)
        evloop_del(g->vdev.loop, &g->watch);
    g->watching = false;
}

static void rng_reset(struct vdev *d)
{
    drop_waiting(to_rng(d));
}

static void rng_queue_reset(struct vdev *d, unsigned queue)
{
    drop_waiting(to_rng(d));
}

static void rng_destroy(struct vdev *d)
{
    struct rng *g = to_rng(d);

    if (g->fd >= 0)
        close(g->fd);
    seed_wait_end(g->seed);
    vdev_fini(d);
    free(g);
}

const struct vdev_type rng_type = {
    .name = "rng",
    .device_id = VIRTIO_ID_ENTROPY,
    .class_code = RNG_CLASS_CODE,
    .features = rng_features,
    .num_queues = rng_num_queues,
    .queue_size_max = rng_queue_size_max,
    .reset = rng_reset,
    .queue_reset = rng_queue_reset,
    .request = rng_request_new,
    .destroy = rng_destroy,
};

/* ---- creation ---- */

static int source_open(struct rng *g, const char *path, char *error, size_t error_bytes)
{
    const char *what = NULL;
    struct stat st;

    if (stat(path, &st) == 0) {
        if (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode) && !S_ISFIFO(st.st_mode))
            what = "neither a character device nor a FIFO or file";
        else if (S_ISREG(st.st_mode) && st.st_size == 0)
            what = "there is not one byte in it";
        if (what) {
            snprintf(error, error_bytes, "%s: %s", path, what);
            return -EINVAL;
        }
        g->regular = S_ISREG(st.st_mode);
        /* A FIFO with a writer of our own never ends. */
        g->fd = open(path, O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
                               (S_ISFIFO(st.st_mode) ? O_RDWR : O_RDONLY));
    }
    if (g->fd < 0) {
        int rc = -errno;

        snprintf(error, error_bytes, "%s: %s", path, strerror(-rc));
        return rc;
    }
    g->watch.fd = g->fd;
    return 0;
}

int rng_create(const struct vdev_config *config, const struct rng_options *options,
               struct vdev **out, char *error, size_t error_bytes)
{
    /* A chain as long as the queue is legal (2.7.5.3.1). */
    struct vdev_init_params params = {
        .chain_max = (unsigned)min_u64(config->queue_size_max, VDEV_CHAIN_MAX),
        .user_bytes = sizeof(struct rng_request),
    };
    struct rng *g = calloc(1, sizeof(*g));
    int rc = 0;

    if (!g) {
        snprintf(error, error_bytes, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    g->fd = -1;
    g->last = &g->first;
    g->rate_bytes_per_s = options->rate_bytes_per_s;
    g->watch = (struct evloop_fd){.fd = -1, .ready = source_ready, .user = g};
    g->later = (struct evloop_timer){.fired = later_fired, .user = g};
    if (options->path)
        rc = source_open(g, options->path, error, error_bytes);
    if (rc)
        goto out;
    rc = vdev_init(&g->vdev, &rng_type, config, &params);
    if (rc)
        snprintf(error, error_bytes, "device: %s", strerror(-rc));
    if (rc)
        goto out;
    seed_begin(g);
    *out = &g->vdev;
out:
    if (rc && g->fd >= 0)
        close(g->fd);
    if (rc)
        free(g);
    return rc;
}

void rng_get_stats(const struct vdev *d, struct rng_stats *stats)
{
    *stats = ((const struct rng *)(const void *)d)->stats;
}
