/* SPDX-License-Identifier: MIT */
#include "frontend/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "frontend/queue.h"
#include "spec/virtio.h"
#include "spec/virtio_net.h"
#include "util/bits.h"

#define NET_TIMEOUT_DEFAULT_NS 10000000000ull
#define LOOK_NS                500000000ull
#define TX_SLOTS_MAX           64u /* of large frames: enough to keep a queue busy */
#define RX_PIECES              4u  /* of a large frame */
#define VLAN_BYTES             4u
#define ETHER_BYTES            14u
#define CTRL_ACK_AT            0u /* in the control page; the command is behind */
#define CTRL_COMMAND_AT        16u
#define CTRL_DATA_MAX          (XEN_PAGE_BYTES - CTRL_COMMAND_AT - 2u)
#define CTRL_UNANSWERED        0xffu
#define F(name)                VIRTIO_F(VIRTIO_NET_F_##name)

#define LARGE_RX (F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_USO4) | F(GUEST_USO6))
#define LARGE_TX (F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_USO))

/* Slot i of a queue is at i * slot_bytes of its pool. */
struct net_queue {
    struct fe_queue q;
    struct fe_dma pool;
    uint32_t slot_bytes;
    unsigned slots;
    unsigned *free; /* transmission: stack of empty slots */
    unsigned free_count;
    bool failed;
};

struct fe_net {
    struct fe_virtio *v;   /* borrowed */
    struct fe_memory *mem; /* borrowed */
    struct fe_net_config cfg;
    struct fe_net_info info;
    uint64_t timeout_ns;
    struct net_queue *queues; /* as on the device: receive and transmit in turn, control last */
    unsigned num_queues;
    struct fe_dma scratch; /* of commands */
};

static uint64_t net_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool net_has(const struct fe_net *n, unsigned bit)
{
    return (n->v->features & VIRTIO_F(bit)) != 0;
}

/* ---- configuration ---- */

#define CONFIG_FIELD(n, field, to)                                                                 \
    fe_virtio_config_get((n)->v, offsetof(struct virtio_net_config, field), sizeof(to), &(to))

static int net_config_read(struct fe_net *n, unsigned *pairs_max)
{
    struct fe_net_info *i = &n->info;
    le16_t value;
    int rc;

    memset(i, 0, sizeof(*i));
    i->features = n->v->features;
    *pairs_max = 1;
    if (net_has(n, VIRTIO_NET_F_MAC)) {
        rc = CONFIG_FIELD(n, mac, i->mac);
        if (rc)
            return rc;
        if (i->mac[0] & 1)
            return -EPROTO;
        i->has_mac = true;
    }
    if (net_has(n, VIRTIO_NET_F_MQ)) {
        rc = CONFIG_FIELD(n, max_virtqueue_pairs, value);
        if (rc)
            return rc;
        *pairs_max = le16_get(value);
        if (*pairs_max < 1 || *pairs_max > VIRTIO_NET_PAIRS_MAX)
            return -EPROTO;
    }
    if (net_has(n, VIRTIO_NET_F_MTU)) {
        rc = CONFIG_FIELD(n, mtu, value);
        if (rc)
            return rc;
        i->mtu = le16_get(value);
        if (i->mtu < VIRTIO_NET_MTU_MIN)
            return -EPROTO;
    }
    return 0;
}

int fe_net_link(struct fe_net *n, bool *up)
{
    le16_t status;
    int rc;

    *up = true;
    if (!net_has(n, VIRTIO_NET_F_STATUS))
        return 0;
    rc = CONFIG_FIELD(n, status, status);
    if (!rc)
        *up = le16_get(status) & VIRTIO_NET_S_LINK_UP;
    return rc;
}

/* ---- queues ---- */

/* Header and the largest frame that may come or go (5.1.6.3). */
static uint32_t frame_room(const struct fe_net *n, uint64_t large)
{
    uint32_t plain = n->info.mtu ? n->info.mtu + ETHER_BYTES : VIRTIO_NET_FRAME_PLAIN_MAX_BYTES;

    if (plain < VIRTIO_NET_FRAME_PLAIN_MAX_BYTES)
        plain = VIRTIO_NET_FRAME_PLAIN_MAX_BYTES;
    if (n->v->features & large)
        plain = VIRTIO_NET_FRAME_MAX_BYTES;
    return FE_NET_HDR_BYTES + plain + VLAN_BYTES;
}

/*
 * Whole pages. With merging a few make up the largest frame (a backend that maps each for itself
 * does not like many), but two frames fit the queue, and one in any case.
 */
static uint32_t rx_slot_bytes(const struct fe_net *n, unsigned size)
{
    uint64_t room = align_up(frame_room(n, LARGE_RX), XEN_PAGE_BYTES);
    uint64_t part =
        align_up(max_u64((2 * room + size - 1) / size, room / RX_PIECES), XEN_PAGE_BYTES);

    return (uint32_t)(net_has(n, VIRTIO_NET_F_MRG_RXBUF) ? min_u64(part, room) : room);
}

static int net_queue_init(struct fe_net *n, unsigned at, unsigned index)
{
    struct net_queue *nq = &n->queues[at];
    unsigned vcpus = n->v->platform->nr_vcpus;
    struct fe_queue_config cfg = {
        .index = index,
        .size = n->cfg.queue_size,
        .vcpu = vcpus ? (n->cfg.vcpu_first + at) % vcpus : 0,
        .interrupt = n->cfg.interrupts,
    };

    return fe_queue_init(&nq->q, n->v, n->mem, &cfg);
}

static int net_queue_pool(struct fe_net *n, struct net_queue *nq, uint32_t slot_bytes,
                          unsigned slots)
{
    nq->slot_bytes = slot_bytes;
    nq->slots = slots;
    nq->free = calloc(slots, sizeof(*nq->free));
    if (!nq->free)
        return -ENOMEM;
    while (nq->free_count < slots) {
        nq->free[nq->free_count] = slots - 1 - nq->free_count;
        nq->free_count++;
    }
    return fe_dma_alloc(n->mem, (size_t)slot_bytes * slots, &nq->pool);
}

static gpa_t slot_addr(const struct net_queue *nq, unsigned slot)
{
    return fe_dma_addr(&nq->pool, (size_t)slot * nq->slot_bytes);
}

static uint8_t *slot_va(const struct net_queue *nq, unsigned slot)
{
    return nq->pool.va + (size_t)slot * nq->slot_bytes;
}

/* What the ring gives back: a slot as a cookie, which may not be NULL. */
static void *slot_cookie(struct net_queue *nq, unsigned slot)
{
    return slot_va(nq, slot);
}

static unsigned cookie_slot(const struct net_queue *nq, const void *cookie)
{
    return (unsigned)(((const uint8_t *)cookie - nq->pool.va) / nq->slot_bytes);
}

static int rx_offer(struct net_queue *nq, unsigned slot)
{
    struct virtq_sg in = {slot_addr(nq, slot), nq->slot_bytes};

    return virtq_drv_add(&nq->q.drv, NULL, 0, &in, 1, NULL, slot_cookie(nq, slot), NULL);
}

static int net_pair_init(struct fe_net *n, unsigned pair)
{
    unsigned rx = VIRTIO_NET_RX_QUEUE(pair), tx = VIRTIO_NET_TX_QUEUE(pair);
    struct net_queue *rxq = &n->queues[rx], *txq = &n->queues[tx];
    unsigned slots;
    int rc = net_queue_init(n, rx, rx);

    if (!rc)
        rc = net_queue_init(n, tx, tx);
    if (!rc)
        rc = net_queue_pool(n, rxq, rx_slot_bytes(n, rxq->q.size), rxq->q.size);
    for (unsigned i = 0; !rc && i < rxq->slots; i++)
        rc = rx_offer(rxq, i);
    if (rc)
        return rc;
    slots = txq->q.size;
    if ((n->v->features & LARGE_TX) && slots > TX_SLOTS_MAX)
        slots = TX_SLOTS_MAX;
    return net_queue_pool(n, txq, (uint32_t)align_up(frame_room(n, LARGE_TX), XEN_PAGE_BYTES),
                          slots);
}

/* ---- start and stop ---- */

static int net_queues_init(struct fe_net *n, unsigned pairs_max)
{
    unsigned have, pairs = n->cfg.pairs ? n->cfg.pairs : 1;
    bool ctrl = net_has(n, VIRTIO_NET_F_CTRL_VQ);
    int rc = n->v->ops->num_queues(n->v, &have);

    if (rc)
        return rc;
    pairs = (unsigned)min_u64(pairs, min_u64(pairs_max, FE_NET_PAIRS_MAX));
    if (have < 2 * pairs || (ctrl && have <= VIRTIO_NET_CTRL_QUEUE(pairs_max)))
        return -EPROTO;
    n->queues = calloc(2 * pairs + 1, sizeof(*n->queues));
    if (!n->queues)
        return -ENOMEM;
    n->num_queues = 2 * pairs + ctrl;
    for (unsigned i = 0; i < pairs; i++) {
        rc = net_pair_init(n, i);
        if (rc)
            return rc;
    }
    /* Where the control queue is depends on what the device has, not on what is used (5.1.2). */
    if (ctrl)
        rc = net_queue_init(n, 2 * pairs, VIRTIO_NET_CTRL_QUEUE(pairs_max));
    n->info.pairs = pairs;
    n->info.queue_size = n->queues[0].q.size;
    n->info.rx_slot_bytes = n->queues[0].slot_bytes;
    n->info.tx_slot_bytes = n->queues[1].slot_bytes;
    return rc;
}

static int net_start(struct fe_net *n)
{
    unsigned pairs_max;
    le16_t pairs;
    int rc = net_config_read(n, &pairs_max);

    if (!rc)
        rc = net_queues_init(n, pairs_max);
    if (!rc)
        rc = fe_virtio_driver_ok(n->v);
    for (unsigned i = 0; !rc && i < n->info.pairs; i++)
        rc = fe_net_rx_kick(n, i);
    if (rc || n->info.pairs == 1)
        return rc;
    pairs = le16_make((uint16_t)n->info.pairs);
    rc = fe_net_command(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs,
                        sizeof(pairs));
    return rc == -EIO ? -EPROTO : rc;
}

int fe_net_create(struct fe_virtio *v, const struct fe_net_config *cfg, struct fe_net **out)
{
    const uint64_t want = F(CSUM) | F(GUEST_CSUM) | F(CTRL_GUEST_OFFLOADS) | F(MTU) | F(MAC) |
                          F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) | F(GUEST_USO4) |
                          F(GUEST_USO6) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN) | F(HOST_USO) |
                          F(MRG_RXBUF) | F(STATUS) | F(CTRL_VQ) | F(CTRL_RX) | F(MQ) |
                          VIRTIO_F(VIRTIO_F_EVENT_IDX) | VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);
    uint64_t need = VIRTIO_F(VIRTIO_F_VERSION_1) | cfg->features_need;
    struct fe_net *n;
    int rc;

    *out = NULL;
    if (v->device_id != VIRTIO_ID_NET)
        return -ENODEV;
    n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->v = v;
    n->mem = cfg->memory;
    n->cfg = *cfg;
    n->timeout_ns = cfg->timeout_ns ? cfg->timeout_ns : NET_TIMEOUT_DEFAULT_NS;
    /* A grant is no physical address: the device has to know (6.1). */
    if (n->mem->addressing == FE_ADDRESSING_GRANTS)
        need |= VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM);
    rc = fe_dma_alloc(n->mem, XEN_PAGE_BYTES, &n->scratch);
    if (!rc)
        rc = fe_virtio_reset(v, n->timeout_ns);
    if (!rc)
        rc = fe_virtio_negotiate(v, need, want & ~cfg->features_off);
    if (!rc)
        rc = net_start(n);
    if (rc)
        fe_net_destroy(n);
    else
        *out = n;
    return rc;
}

static int net_queue_fini(struct fe_net *n, struct net_queue *nq)
{
    int rc = fe_dma_free(n->mem, &nq->pool), err = fe_queue_fini(&nq->q);

    free(nq->free);
    nq->free = NULL;
    return rc ? rc : err;
}

int fe_net_destroy(struct fe_net *n)
{
    int rc = 0, err;

    if (!n)
        return 0;
    /* Only a device that was reset has let go of the rings. One that is gone holds nothing. */
    err = fe_virtio_reset(n->v, n->timeout_ns);
    if (err && err != -ENODEV && err != -EFAULT)
        rc = err;
    for (unsigned i = 0; n->queues && i < n->num_queues; i++) {
        err = net_queue_fini(n, &n->queues[i]);
        if (err)
            rc = err;
    }
    err = fe_dma_free(n->mem, &n->scratch);
    if (err)
        rc = err;
    free(n->queues);
    free(n);
    return rc;
}

const struct fe_net_info *fe_net_get_info(const struct fe_net *n)
{
    return &n->info;
}

int fe_net_check(struct fe_net *n)
{
    return fe_virtio_check(n->v);
}

/* ---- transmission ---- */

static int tx_reap(struct net_queue *nq)
{
    struct virtq_done done;
    int rc;

    while ((rc = virtq_drv_reap(&nq->q.drv, &done)) == 1) {
        if (done.fault != VIRTQ_OK)
            break;
        nq->free[nq->free_count++] = cookie_slot(nq, done.cookie);
    }
    if (rc)
        nq->failed = true;
    return rc ? -EPROTO : 0;
}

int fe_net_tx_get(struct fe_net *n, unsigned pair, struct fe_net_slot *slot)
{
    struct net_queue *nq = &n->queues[VIRTIO_NET_TX_QUEUE(pair)];

    if (nq->failed)
        return -EPROTO;
    if (nq->free_count == 0 && tx_reap(nq))
        return -EPROTO;
    if (nq->free_count == 0)
        return 0;
    slot->index = nq->free[--nq->free_count];
    slot->va = slot_va(nq, slot->index);
    return 1;
}

int fe_net_tx_put(struct fe_net *n, unsigned pair, const struct fe_net_slot *slot, uint32_t bytes)
{
    struct net_queue *nq = &n->queues[VIRTIO_NET_TX_QUEUE(pair)];
    struct virtq_sg out = {slot_addr(nq, slot->index), bytes};
    int rc = 0;

    if (bytes > nq->slot_bytes)
        return -EINVAL;
    if (bytes)
        rc = virtq_drv_add(&nq->q.drv, &out, 1, NULL, 0, NULL, slot_cookie(nq, slot->index), NULL);
    if (!bytes || rc)
        nq->free[nq->free_count++] = slot->index;
    return rc;
}

int fe_net_tx_kick(struct fe_net *n, unsigned pair)
{
    return fe_queue_kick(&n->queues[VIRTIO_NET_TX_QUEUE(pair)].q);
}

int fe_net_tx_kick_again(struct fe_net *n, unsigned pair)
{
    struct net_queue *nq = &n->queues[VIRTIO_NET_TX_QUEUE(pair)];
    int rc;

    if (nq->failed || tx_reap(nq))
        return -EPROTO;
    if (nq->free_count == nq->slots)
        return 0;
    rc = fe_queue_kick_again(&nq->q);
    return rc ? rc : 1;
}

int fe_net_tx_wait(struct fe_net *n, unsigned pair, uint64_t timeout_ns)
{
    struct net_queue *nq = &n->queues[VIRTIO_NET_TX_QUEUE(pair)];

    return nq->free_count ? 1 : fe_queue_wait(&nq->q, timeout_ns);
}

/* ---- reception ---- */

static int rx_fail(struct net_queue *nq)
{
    nq->failed = true;
    return -EPROTO;
}

/* The next used slot; its length is what the device says that it wrote. */
static int rx_reap(struct net_queue *nq, struct fe_net_frame *frame)
{
    struct virtq_done done;
    int rc = virtq_drv_reap(&nq->q.drv, &done);

    if (rc == 0)
        return 0;
    if (rc < 0 || done.fault != VIRTQ_OK)
        return rx_fail(nq);
    frame->slots[frame->count] = cookie_slot(nq, done.cookie);
    frame->iov[frame->count++] = (struct iovec){done.cookie, done.len_bytes};
    frame->bytes += done.len_bytes;
    return 1;
}

int fe_net_rx_get(struct fe_net *n, unsigned pair, struct fe_net_frame *frame)
{
    struct net_queue *nq = &n->queues[VIRTIO_NET_RX_QUEUE(pair)];
    struct virtio_net_hdr h;
    unsigned buffers = 1;
    int rc;

    frame->count = 0;
    frame->bytes = 0;
    if (nq->failed)
        return -EPROTO;
    rc = rx_reap(nq, frame);
    if (rc <= 0)
        return rc;
    if (frame->bytes < FE_NET_HDR_BYTES)
        return rx_fail(nq);
    memcpy(&h, frame->iov[0].iov_base, sizeof(h));
    if (net_has(n, VIRTIO_NET_F_MRG_RXBUF))
        buffers = le16_get(h.num_buffers);
    if (buffers < 1 || buffers > FE_NET_PIECES_MAX)
        return rx_fail(nq);
    while (frame->count < buffers) {
        /* All of them are to be there, and all but the last full (5.1.6.4.1). */
        if (frame->iov[frame->count - 1].iov_len != nq->slot_bytes || rx_reap(nq, frame) != 1)
            return rx_fail(nq);
    }
    h.num_buffers = le16_make(0);
    memcpy(frame->header, &h, sizeof(h));
    frame->bytes -= FE_NET_HDR_BYTES;
    frame->iov[0].iov_base = (uint8_t *)frame->iov[0].iov_base + FE_NET_HDR_BYTES;
    frame->iov[0].iov_len -= FE_NET_HDR_BYTES;
    return 1;
}

int fe_net_rx_put(struct fe_net *n, unsigned pair, const struct fe_net_frame *frame)
{
    struct net_queue *nq = &n->queues[VIRTIO_NET_RX_QUEUE(pair)];
    int rc = 0;

    for (unsigned i = 0; i < frame->count && !rc; i++)
        rc = rx_offer(nq, frame->slots[i]);
    return rc;
}

int fe_net_rx_kick(struct fe_net *n, unsigned pair)
{
    return fe_queue_kick(&n->queues[VIRTIO_NET_RX_QUEUE(pair)].q);
}

int fe_net_rx_kick_again(struct fe_net *n, unsigned pair)
{
    int rc = fe_queue_kick_again(&n->queues[VIRTIO_NET_RX_QUEUE(pair)].q);

    return rc ? rc : 1;
}

int fe_net_rx_wait(struct fe_net *n, unsigned pair, uint64_t timeout_ns)
{
    return fe_queue_wait(&n->queues[VIRTIO_NET_RX_QUEUE(pair)].q, timeout_ns);
}

/* ---- control ---- */

int fe_net_command(struct fe_net *n, uint8_t class_, uint8_t command, const void *data,
                   uint32_t bytes)
{
    struct net_queue *nq = &n->queues[2 * n->info.pairs];
    struct virtio_net_ctrl_hdr h = {.class_ = class_, .command = command};
    uint64_t deadline = net_now_ns() + n->timeout_ns;
    uint8_t *at = n->scratch.va + CTRL_COMMAND_AT;
    struct virtq_sg out = {fe_dma_addr(&n->scratch, CTRL_COMMAND_AT), (uint32_t)sizeof(h) + bytes};
    struct virtq_sg in = {fe_dma_addr(&n->scratch, CTRL_ACK_AT), 1};
    struct virtq_done done;
    int rc;

    if (!net_has(n, VIRTIO_NET_F_CTRL_VQ))
        return -ENOTSUP;
    if (bytes > CTRL_DATA_MAX)
        return -EINVAL;
    memcpy(at, &h, sizeof(h));
    if (bytes)
        memcpy(at + sizeof(h), data, bytes);
    n->scratch.va[CTRL_ACK_AT] = CTRL_UNANSWERED;
    rc = virtq_drv_add(&nq->q.drv, &out, 1, &in, 1, NULL, n->scratch.va, NULL);
    if (!rc)
        rc = fe_queue_kick(&nq->q);
    if (rc)
        return rc;
    while ((rc = virtq_drv_reap(&nq->q.drv, &done)) == 0) {
        uint64_t now = net_now_ns();

        /* In short steps: without its interrupt a command is late, not lost. */
        rc = fe_queue_wait(&nq->q, min_u64(now < deadline ? deadline - now : 0, LOOK_NS));
        if (rc < 0)
            return rc;
        if (rc == 0 && now >= deadline)
            return -ETIME;
    }
    if (rc < 0 || done.fault != VIRTQ_OK)
        return -EPROTO;
    switch (__atomic_load_n(&n->scratch.va[CTRL_ACK_AT], __ATOMIC_RELAXED)) {
    case VIRTIO_NET_OK:
        return 0;
    case VIRTIO_NET_ERR:
        return -EIO;
    default:
        return -EPROTO;
    }
}
