/* SPDX-License-Identifier: MIT */
/* From the wire to the driver (5.1.6.3, 5.1.6.4). */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "device/net_impl.h"
#include "util/bits.h"
#include "util/mutant.h"

enum rx_result {
    RX_READY, /* enough buffers are at hand */
    RX_GONE,  /* delivered or dropped */
    RX_WAIT,  /* for buffers */
    RX_STOP,  /* the device does not run */
};

static bool guest_takes(const struct net *n, unsigned bit)
{
    return n->guest_offloads & VIRTIO_F(bit);
}

/* Frames to be segmented go to a driver that said that it can. */
static bool guest_takes_gso(const struct net *n, uint8_t gso_type,
                            const struct net_frame_info *info)
{
    uint8_t gso = gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

    if ((gso_type & VIRTIO_NET_HDR_GSO_ECN) && !guest_takes(n, VIRTIO_NET_F_GUEST_ECN))
        return false;
    if (gso == VIRTIO_NET_HDR_GSO_TCPV4)
        return guest_takes(n, VIRTIO_NET_F_GUEST_TSO4);
    if (gso == VIRTIO_NET_HDR_GSO_TCPV6)
        return guest_takes(n, VIRTIO_NET_F_GUEST_TSO6);
    return guest_takes(n, info->ipv6 ? VIRTIO_NET_F_GUEST_USO6 : VIRTIO_NET_F_GUEST_USO4);
}

static uint32_t frame_limit(const struct net *n, const struct net_frame_info *info)
{
    if (!vdev_has(&n->vdev, VIRTIO_NET_F_MTU) || MUTANT(net_rx_mtu_unchecked))
        return NET_FRAME_MAX;
    return n->mtu + NET_ETHER_BYTES + (info->tagged ? NET_VLAN_BYTES : 0);
}

/*
 * Is the frame of a kind that this driver takes? Counts it when not. A frame may be asked about
 * again, when it had to wait.
 */
static bool rx_acceptable(struct net *n, const struct virtio_net_hdr *h, const uint8_t *frame,
                          uint32_t bytes, const struct net_frame_info *info)
{
    if (!net_header_sound(h, bytes)) {
        n->stats.rx_malformed++;
        return false;
    }
    if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE
            ? bytes > frame_limit(n, info)
            : !guest_takes_gso(n, h->gso_type, info) && !MUTANT(net_rx_gso_unasked)) {
        n->stats.rx_oversize++;
        return false;
    }
    if (!net_filter_wants(n, frame, info)) {
        n->stats.rx_filtered++;
        return false;
    }
    return true;
}

/* The header as this driver may have it; a checksum that it would not finish is finished. */
static void rx_header(struct net *n, struct virtio_net_hdr *h, uint8_t *frame, uint32_t bytes,
                      const struct net_frame_info *info)
{
    bool csum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    bool valid = h->flags & VIRTIO_NET_HDR_F_DATA_VALID;
    bool takes_csum = guest_takes(n, VIRTIO_NET_F_GUEST_CSUM) || MUTANT(net_rx_csum_unasked);
    struct virtio_net_hdr out = {.gso_type = h->gso_type};
    uint64_t large = VIRTIO_F(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_F(VIRTIO_NET_F_GUEST_TSO6) |
                     VIRTIO_F(VIRTIO_NET_F_GUEST_USO4) | VIRTIO_F(VIRTIO_NET_F_GUEST_USO6);

    if (csum && !takes_csum) {
        if (!MUTANT(net_rx_csum_not_finished))
            net_frame_finish_csum(frame, bytes, le16_get(h->csum_start), le16_get(h->csum_offset));
        n->stats.rx_csum_finished++;
        csum = false;
    }
    if (csum) {
        out.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        out.csum_start = h->csum_start;
        out.csum_offset = h->csum_offset;
        if (MUTANT(net_rx_csum_offset_lost))
            out.csum_offset = le16_make(0);
    } else if (valid && takes_csum) {
        out.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    }
    if (MUTANT(net_rx_gso_without_csum) && out.gso_type)
        out.flags = 0;
    if (out.gso_type && !MUTANT(net_rx_gso_size_lost))
        out.gso_size = h->gso_size;
    /* Not less than all headers, for whoever could get large frames (5.1.6.4.1). */
    if (n->guest_offloads & large)
        out.hdr_len = le16_make((uint16_t)info->header_bytes);
    if (MUTANT(net_rx_hdr_len_short))
        out.hdr_len = le16_make(0);
    if (MUTANT(net_rx_flags_dirty))
        out.flags |= VIRTIO_NET_HDR_F_DATA_VALID;
    if (MUTANT(net_rx_rsc_info))
        out.flags |= VIRTIO_NET_HDR_F_RSC_INFO;
    *h = out;
}

static bool rx_usable(const struct net *n, unsigned pair)
{
    const struct vdev_queue *q = &n->vdev.queues[VIRTIO_NET_RX_QUEUE(pair)];

    return q->regs.enabled && !q->resetting;
}

/* The receive queue for a frame, or NET_QUEUE_NONE. */
static unsigned rx_steer(const struct net *n, const struct net_port *p,
                         const struct net_frame_info *info)
{
    unsigned known = n->flows[info->flow % NET_FLOWS];
    unsigned used = MUTANT(net_mq_early) ? n->pairs : n->pairs_used;
    unsigned pair = (unsigned)(p - n->ports);

    if (n->num_ports == 1)
        pair = known < used && !MUTANT(net_mq_not_steered) ? known : info->flow % used;
    if (pair >= used)
        pair = info->flow % used;
    /* One that is being reset, or was never set up, is no reason to lose it (5.1.6.5.6). */
    if (MUTANT(net_rx_no_other_queue) && !rx_usable(n, pair))
        return NET_QUEUE_NONE;
    for (unsigned tries = 0; tries < used; tries++, pair = (pair + 1) % used)
        if (rx_usable(n, pair))
            return pair;
    return NET_QUEUE_NONE;
}

static void rx_hold(struct net_rx_queue *q, struct vdev_request *r)
{
    q->held[q->count++] = r;
    q->bytes += r->in_bytes;
}

/* Have chains of `need` bytes at hand. */
static enum rx_result rx_collect(struct net *n, unsigned pair, uint64_t need)
{
    unsigned queue = VIRTIO_NET_RX_QUEUE(pair);
    struct net_rx_queue *q = &n->rx[pair];
    bool merge = vdev_has(&n->vdev, VIRTIO_NET_F_MRG_RXBUF) || MUTANT(net_mrg_unnegotiated);

    while (q->bytes < need) {
        struct vdev_request *r;
        int rc;

        if (q->count == (merge ? n->vdev.queues[queue].regs.size : 1u)) {
            /* It never will. */
            n->stats.rx_oversize++;
            return RX_GONE;
        }
        rc = vdev_queue_take(&n->vdev, queue, &r);
        if (rc < 0)
            return RX_STOP;
        if (rc == 0)
            return RX_WAIT;
        if (r->in_bytes < NET_HDR_BYTES) {
            if (MUTANT(net_rx_short_asserted))
                __builtin_trap();
            vdev_fault(&n->vdev, "net-rx-buffer", "a receive buffer of %llu bytes",
                       (unsigned long long)r->in_bytes);
            vdev_request_done(r, 0);
            return RX_STOP;
        }
        rx_hold(q, r);
    }
    return RX_READY;
}

/* `need` bytes at `from` into the chains at hand; num_buffers is in them. */
static void rx_fill(struct net *n, struct net_rx_queue *q, uint8_t *from, uint32_t need)
{
    struct virtio_net_hdr *h = (struct virtio_net_hdr *)from;
    uint64_t covered = 0;
    unsigned used = 0;
    uint32_t at = 0;

    while (covered < need)
        covered += q->held[used++]->in_bytes;
    h->num_buffers = le16_make((uint16_t)used);
    if (MUTANT(net_rx_num_buffers_zero))
        h->num_buffers = le16_make(0);
    if (MUTANT(net_mrg_count_wrong) && used > 1)
        h->num_buffers = le16_make((uint16_t)(used - 1));
    for (unsigned i = 0; i < used; i++) {
        struct vdev_request *r = q->held[i];
        uint32_t part = (uint32_t)min_u64(need - at, r->in_bytes);

        q->bytes -= r->in_bytes;
        vdev_iov_write(r->in, r->in_count, 0, from + at, part);
        at += part;
        if (MUTANT(net_rx_written_beyond) && part < r->in_bytes)
            vdev_iov_fill(r->in, r->in_count, part, 0x5a, 1);
        if (MUTANT(net_rx_len_without_header))
            part -= (uint32_t)min_u64(part, NET_HDR_BYTES);
        if (MUTANT(net_mrg_len_short) && i + 1 < used)
            part--;
        vdev_request_done(r, part);
        if (MUTANT(net_mrg_published_singly)) {
            vdev_batch_end(&n->vdev);
            vdev_batch_begin(&n->vdev);
        }
    }
    q->count -= used;
    memmove(q->held, q->held + used, q->count * sizeof(struct vdev_request *));
}

static enum rx_result rx_deliver(struct net_port *p)
{
    struct net *n = p->net;
    uint8_t *frame = p->buffer + NET_HDR_BYTES;
    uint32_t need = NET_HDR_BYTES + p->frame_bytes;
    struct net_frame_info info;
    struct virtio_net_hdr h;
    enum rx_result result;
    unsigned pair;

    memcpy(&h, p->buffer, sizeof(h));
    net_frame_parse(frame, p->frame_bytes, &info);
    if (!rx_acceptable(n, &h, frame, p->frame_bytes, &info))
        return RX_GONE;
    pair = rx_steer(n, p, &info);
    if (pair == NET_QUEUE_NONE) {
        n->stats.rx_no_queue++;
        return RX_GONE;
    }
    result = rx_collect(n, pair, need);
    if (result != RX_READY)
        return result;
    rx_header(n, &h, frame, p->frame_bytes, &info);
    memcpy(p->buffer, &h, sizeof(h));
    rx_fill(n, &n->rx[pair], p->buffer, need);
    n->stats.rx_frames++;
    n->stats.rx_bytes += p->frame_bytes;
    return RX_GONE;
}

void net_rx_run(struct net_port *p)
{
    struct net *n = p->net;
    bool wait = false;

    /* A frame's buffers become visible together (5.1.6.4.1). */
    vdev_batch_begin(&n->vdev);
    for (unsigned turn = 0; turn < NET_BUDGET && n->running && !wait; turn++) {
        enum rx_result result;

        if (!p->frame_bytes && !net_port_read(p))
            break;
        result = rx_deliver(p);
        if (result == RX_GONE)
            p->frame_bytes = 0;
        wait = result == RX_WAIT;
        if (MUTANT(net_rx_drops_when_empty) && wait) {
            p->frame_bytes = 0;
            wait = false;
        }
        if (result == RX_STOP)
            net_wire_stop(n);
    }
    vdev_batch_end(&n->vdev);
    if (wait)
        n->stats.rx_waits++;
    if (n->running)
        net_port_wait(p, !wait, p->out);
}

bool net_rx_ready(struct net *n, unsigned queue)
{
    if (MUTANT(net_rx_never_resumed))
        return false;
    for (unsigned i = 0; i < n->num_ports; i++)
        if (n->ports[i].frame_bytes)
            net_rx_run(&n->ports[i]);
    return false;
}

void net_rx_release(struct net *n, unsigned pair)
{
    for (unsigned i = 0; i < n->pairs; i++) {
        struct net_rx_queue *q = &n->rx[i];

        if (pair != NET_QUEUE_NONE && pair != i)
            continue;
        for (unsigned k = 0; k < q->count; k++)
            vdev_request_done(q->held[k], 0);
        q->count = 0;
        q->bytes = 0;
    }
}
