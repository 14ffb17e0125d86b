/* SPDX-License-Identifier: MIT */
#include "netfront/netfront.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frontend/queue.h"
#include "spec/virtio.h"
#include "spec/virtio_net.h"
#include "util/bits.h"
#include "util/log.h"

#define LIMIT_NS   100000000ull /* after which a thread looks at its ring and at the end */
#define LIMIT_MS   100
#define BATCH      16u /* frames between doorbells */
#define UNTOLD_MAX 8u
#define THREADS(p) (2 * (p))

struct worker {
    struct netfront *front;
    pthread_t thread;
    unsigned pair;
    bool transmits, started;
    unsigned quiet; /* waits in a row that brought nothing */
    struct netfront_stats stats;
};

struct netfront {
    struct netfront_config cfg;
    struct fe_virtio *v; /* borrowed */
    struct fe_net *net;
    fe_irq_t config_irq;
    uint16_t config_vector;
    int taps[FE_NET_PAIRS_MAX];
    unsigned num_taps;
    struct worker workers[THREADS(FE_NET_PAIRS_MAX)];
    atomic_int failure; /* the first one, -errno */
    atomic_bool stop;
};

static void fail(struct netfront *f, int rc, const char *what)
{
    int none = 0;

    if (atomic_compare_exchange_strong(&f->failure, &none, rc))
        log_error("%s: %s", what, strerror(-rc));
    atomic_store(&f->stop, true);
}

static bool stopped(const struct netfront *f)
{
    return atomic_load_explicit(&f->stop, memory_order_relaxed);
}

/*
 * A wait has brought nothing. A doorbell may have been lost: the device is told again, after 1, 2,
 * 4, ... such waits, so that a quiet device is not rung for ever at the same pace.
 */
static int kick_again(struct worker *w)
{
    struct fe_net *net = w->front->net;
    int rc;

    if (!is_pow2(++w->quiet))
        return 0;
    rc = w->transmits ? fe_net_tx_kick_again(net, w->pair) : fe_net_rx_kick_again(net, w->pair);
    if (rc > 0)
        w->stats.rekicks++;
    return rc < 0 ? rc : 0;
}

/* Wait for a queue of the worker's: 1, 0 or an error; -ETIME: interrupts do not come. */
static int wait_for(struct worker *w, int (*wait)(struct fe_net *, unsigned, uint64_t))
{
    int rc = wait(w->front->net, w->pair, LIMIT_NS);

    if (rc < 0)
        return rc;
    if (rc == 0)
        return kick_again(w);
    w->quiet = 0;
    if (rc != FE_QUEUE_UNTOLD) {
        w->stats.waits++;
        return 1;
    }
    w->stats.untold++;
    return w->stats.untold >= UNTOLD_MAX && w->stats.untold > w->stats.waits ? -ETIME : 1;
}

/* ---- from the TAP to the device ---- */

/* The kernel's header for the device: no bits but those that a driver may set (5.1.6.2.1). */
static void header_for_device(uint8_t *va)
{
    struct virtio_net_hdr h;

    memcpy(&h, va, sizeof(h));
    h.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    h.num_buffers = le16_make(0); /* the kernel leaves these two bytes alone */
    memcpy(va, &h, sizeof(h));
}

/* A frame from the TAP into a slot. 1, 0: none there now, or an error. */
static int take_frame(struct worker *w, int tap, struct fe_net_slot *slot)
{
    struct netfront *f = w->front;
    ssize_t got = read(tap, slot->va, fe_net_get_info(f->net)->tx_slot_bytes);
    int rc;

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        rc = fe_net_tx_put(f->net, w->pair, slot, 0);
        return rc ? rc : 0;
    }
    if (got < (ssize_t)FE_NET_HDR_BYTES)
        return got < 0 ? -errno : -EPIPE;
    header_for_device(slot->va);
    rc = fe_net_tx_put(f->net, w->pair, slot, (uint32_t)got);
    w->stats.tx_frames++;
    w->stats.tx_bytes += (uint64_t)got - FE_NET_HDR_BYTES;
    return rc ? rc : 1;
}

static int transmit_some(struct worker *w, int tap, bool *empty, bool *full)
{
    struct netfront *f = w->front;
    int rc = 0;

    *empty = *full = false;
    for (unsigned i = 0; i < BATCH && !*empty && !*full; i++) {
        struct fe_net_slot slot;

        rc = fe_net_tx_get(f->net, w->pair, &slot);
        if (rc < 0)
            break;
        *full = rc == 0;
        if (*full)
            break;
        rc = take_frame(w, tap, &slot);
        if (rc < 0)
            break;
        *empty = rc == 0;
    }
    return rc < 0 ? rc : fe_net_tx_kick(f->net, w->pair);
}

/* A frame that waits for a lost doorbell has nobody behind it who would ring again. */
static int wait_for_tap(struct worker *w)
{
    struct pollfd pfd = {.fd = w->front->taps[w->pair], .events = POLLIN};
    int rc = poll(&pfd, 1, LIMIT_MS);

    if (rc == 0)
        return kick_again(w);
    w->quiet = 0;
    return rc < 0 && errno != EINTR ? -errno : 0;
}

static int transmit(struct worker *w)
{
    struct netfront *f = w->front;
    bool empty, full;
    int rc = 0;

    while (!stopped(f) && rc >= 0) {
        rc = transmit_some(w, f->taps[w->pair], &empty, &full);
        if (!rc && full)
            rc = wait_for(w, fe_net_tx_wait);
        else if (!rc && empty)
            rc = wait_for_tap(w);
    }
    return rc < 0 ? rc : 0;
}

/* ---- from the device to the TAP ---- */

static int give_frame(struct worker *w, int tap, const struct fe_net_frame *frame)
{
    struct iovec iov[FE_NET_PIECES_MAX + 1];
    struct pollfd pfd = {.fd = tap, .events = POLLOUT};
    ssize_t done;

    iov[0] = (struct iovec){(void *)frame->header, FE_NET_HDR_BYTES};
    memcpy(iov + 1, frame->iov, frame->count * sizeof(*iov));
    for (;;) {
        done = writev(tap, iov, (int)frame->count + 1);
        if (done >= 0 || (errno != EAGAIN && errno != EINTR) || stopped(w->front))
            break;
        if (errno == EAGAIN && poll(&pfd, 1, LIMIT_MS) < 0 && errno != EINTR)
            return -errno;
    }
    /* An interface that is down, or a header that the kernel does not believe. */
    if (done < 0 && (errno == EBADFD || errno == EBADF))
        return -errno;
    if (done < 0) {
        w->stats.rx_refused++;
        return 0;
    }
    w->stats.rx_frames++;
    w->stats.rx_bytes += frame->bytes;
    return 0;
}

/* 1: all that was there; 0: there may be more; or an error. */
static int receive_some(struct worker *w)
{
    struct netfront *f = w->front;
    struct fe_net_frame frame;
    int rc = 1;

    for (unsigned i = 0; i < BATCH && rc == 1; i++) {
        rc = fe_net_rx_get(f->net, w->pair, &frame);
        if (rc <= 0)
            break;
        rc = give_frame(w, f->taps[w->pair], &frame);
        if (!rc)
            rc = fe_net_rx_put(f->net, w->pair, &frame);
        if (!rc)
            rc = 1;
    }
    if (rc >= 0) {
        int kick = fe_net_rx_kick(f->net, w->pair);

        return kick ? kick : rc == 0;
    }
    return rc;
}

static int receive(struct worker *w)
{
    while (!stopped(w->front)) {
        int rc = receive_some(w);

        if (rc > 0)
            rc = wait_for(w, fe_net_rx_wait);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    int rc = w->transmits ? transmit(w) : receive(w);

    if (rc)
        fail(w->front, rc, w->transmits ? "transmitting" : "receiving");
    return NULL;
}

/* ---- the whole ---- */

static void follow_link(struct netfront *f)
{
    bool up;
    int rc = fe_net_link(f->net, &up);

    if (!rc)
        rc = tap_set_carrier(f->taps[0], up);
    if (rc)
        log_warn("the link's state: %s", strerror(-rc));
}

static int watch_config(struct netfront *f)
{
    int rc = f->v->ops->irq_get(f->v, f->v->vcpu, &f->config_vector, &f->config_irq);

    /* On the shared line the queues' threads acknowledge what would be for us. */
    if (rc == 0 && f->config_vector == FE_NO_VECTOR) {
        f->v->ops->irq_put(f->v, f->config_vector, f->config_irq);
        f->config_irq = 0;
        return 0;
    }
    return rc ? rc : f->v->ops->config_vector(f->v, f->config_vector);
}

int netfront_run(struct netfront *f, const volatile int *stop)
{
    struct fe_platform *p = f->v->platform;
    unsigned count = THREADS(fe_net_get_info(f->net)->pairs);

    follow_link(f);
    for (unsigned i = 0; i < count && !stopped(f); i++) {
        struct worker *w = &f->workers[i];
        int rc;

        *w = (struct worker){.front = f, .pair = i / 2, .transmits = i % 2};
        rc = pthread_create(&w->thread, NULL, work, w);
        w->started = rc == 0;
        if (rc)
            fail(f, -rc, "a thread");
    }
    while (!*stop && !stopped(f)) {
        int rc;

        if (!f->config_irq) {
            (void)poll(NULL, 0, LIMIT_MS); /* a signal ends it */
            continue;
        }
        rc = p->ops->irq_wait(p, f->config_irq, LIMIT_NS);
        if (rc < 0)
            fail(f, rc, "waiting for changes of the configuration");
        else if (rc > 0)
            follow_link(f);
    }
    atomic_store(&f->stop, true);
    for (unsigned i = 0; i < count; i++)
        if (f->workers[i].started)
            pthread_join(f->workers[i].thread, NULL);
    return atomic_load(&f->failure);
}

/* What the kernel may leave to the device. */
static int set_offloads(struct netfront *f)
{
    static const struct {
        unsigned bit, offload;
    } table[] = {
        {VIRTIO_NET_F_CSUM, TAP_OFFLOAD_CSUM},      {VIRTIO_NET_F_HOST_TSO4, TAP_OFFLOAD_TSO4},
        {VIRTIO_NET_F_HOST_TSO6, TAP_OFFLOAD_TSO6}, {VIRTIO_NET_F_HOST_ECN, TAP_OFFLOAD_ECN},
        {VIRTIO_NET_F_HOST_USO, TAP_OFFLOAD_USO},
    };
    uint64_t features = fe_net_get_info(f->net)->features;
    unsigned offloads = 0;

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (features & VIRTIO_F(table[i].bit))
            offloads |= table[i].offload;
    return tap_set_offloads(f->taps[0], offloads & tap_offloads(f->taps[0]));
}

static int start_interface(struct netfront *f)
{
    const struct fe_net_info *info = fe_net_get_info(f->net);
    char error[128];
    int rc = tap_open(f->cfg.tap, info->pairs, f->taps, error, sizeof(error));

    if (rc) {
        log_error("%s", error);
        return rc;
    }
    f->num_taps = info->pairs;
    if (info->has_mac)
        rc = tap_set_mac(f->cfg.tap, info->mac);
    if (!rc && info->mtu)
        rc = tap_set_mtu(f->cfg.tap, info->mtu);
    if (!rc)
        rc = set_offloads(f);
    if (rc)
        log_error("TAP %s: %s", f->cfg.tap, strerror(-rc));
    return rc;
}

/* The kernel behind the TAP has filters of its own. */
static int accept_all(struct netfront *f)
{
    uint8_t on = 1;

    if (!(fe_net_get_info(f->net)->features & VIRTIO_F(VIRTIO_NET_F_CTRL_RX)))
        return 0;
    return fe_net_command(f->net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &on, sizeof(on));
}

int netfront_create(struct fe_virtio *v, struct fe_memory *memory,
                    const struct netfront_config *cfg, struct netfront **out)
{
    struct fe_net_config net = {
        .memory = memory,
        .pairs = cfg->pairs,
        .queue_size = cfg->queue_size,
        .interrupts = cfg->interrupts,
        .vcpu_first = v->vcpu + 1,
        .features_off = cfg->features_off,
        .features_need = cfg->features_need,
    };
    struct netfront *f = calloc(1, sizeof(*f));
    int rc;

    *out = NULL;
    if (!f)
        return -ENOMEM;
    f->cfg = *cfg;
    f->v = v;
    rc = fe_net_create(v, &net, &f->net);
    if (rc) {
        log_error("the network device cannot be started: %s", strerror(-rc));
        goto out;
    }
    if (v->platform->nr_vcpus <= THREADS(fe_net_get_info(f->net)->pairs)) {
        log_error("%u queue pairs need %u vCPUs, there are %u", fe_net_get_info(f->net)->pairs,
                  THREADS(fe_net_get_info(f->net)->pairs) + 1, v->platform->nr_vcpus);
        rc = -EINVAL;
        goto out;
    }
    rc = accept_all(f);
    if (!rc && cfg->interrupts)
        rc = watch_config(f);
    if (rc)
        log_error("the network device: %s", strerror(-rc));
    else
        rc = start_interface(f);
out:
    if (rc)
        netfront_destroy(f);
    else
        *out = f;
    return rc;
}

int netfront_destroy(struct netfront *f)
{
    int rc;

    if (!f)
        return 0;
    for (unsigned i = 0; i < f->num_taps; i++)
        close(f->taps[i]);
    rc = fe_net_destroy(f->net);
    if (f->config_irq)
        f->v->ops->irq_put(f->v, f->config_vector, f->config_irq);
    free(f);
    return rc;
}

const struct fe_net_info *netfront_info(const struct netfront *f)
{
    return fe_net_get_info(f->net);
}

void netfront_get_stats(const struct netfront *f, struct netfront_stats *stats)
{
    *stats = (struct netfront_stats){0};
    for (unsigned i = 0; i < THREADS(f->num_taps); i++) {
        const struct netfront_stats *s = &f->workers[i].stats;

        stats->rx_frames += s->rx_frames;
        stats->rx_bytes += s->rx_bytes;
        stats->tx_frames += s->tx_frames;
        stats->tx_bytes += s->tx_bytes;
        stats->rx_refused += s->rx_refused;
        stats->waits += s->waits;
        stats->untold += s->untold;
        stats->rekicks += s->rekicks;
    }
}
