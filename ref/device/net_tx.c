/* SPDX-License-Identifier: MIT */
/* From the driver to the wire (5.1.6.2). */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "device/net_impl.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

#define TX_PIECES     64u
#define TX_HEAD_BYTES 128u /* of a frame, for its flow */

static struct net_port *tx_port(struct net *n, unsigned pair)
{
    return &n->ports[pair < n->num_ports && n->ports[pair].attached ? pair : 0];
}

static bool gso_negotiated(const struct net *n, uint8_t gso_type)
{
    switch (gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return true;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return vdev_has(&n->vdev, VIRTIO_NET_F_HOST_TSO4);
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return vdev_has(&n->vdev, VIRTIO_NET_F_HOST_TSO6);
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return vdev_has(&n->vdev, VIRTIO_NET_F_HOST_USO);
    default:
        return false;
    }
}

/*
 * The header for the wire from the driver's. Only what was negotiated is taken over: other flags
 * are ignored (5.1.6.2.2), the length of the headers is a hint that nobody is to rely on. False: a
 * frame that nobody could send.
 */
static bool tx_header(const struct net *n, struct virtio_net_hdr *h, uint32_t bytes)
{
    struct virtio_net_hdr out = {.gso_type = h->gso_type};
    bool csum = (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && vdev_has(&n->vdev, VIRTIO_NET_F_CSUM);

    if (MUTANT(net_tx_unknown_flag_refused) && (h->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return false;
    if (MUTANT(net_tx_csum_always))
        csum = true;
    if (csum) {
        out.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        out.csum_start = h->csum_start;
        out.csum_offset = h->csum_offset;
    }
    if (out.gso_type) {
        out.gso_size = h->gso_size;
        out.hdr_len = le16_make((uint16_t)min_u64(le16_get(h->hdr_len), bytes));
        if (MUTANT(net_tx_hdr_len_trusted) && le16_get(h->hdr_len) > bytes)
            return false;
    }
    if (!gso_negotiated(n, out.gso_type) || !net_header_sound(&out, bytes))
        return false;
    if (MUTANT(net_tx_csum_lost))
        out.flags = 0;
    *h = out;
    return true;
}

static uint32_t frame_limit(const struct net *n, uint8_t gso_type)
{
    uint32_t mtu = vdev_has(&n->vdev, VIRTIO_NET_F_MTU) ? n->mtu : VIRTIO_NET_MTU_MAX;

    if (MUTANT(net_tx_mtu_short))
        mtu -= 100;
    return gso_type ? NET_FRAME_MAX : mtu + NET_ETHER_BYTES + NET_VLAN_BYTES;
}

/* Which receive queue the answers to this frame are for (5.1.6.5.6). */
static void learn_flow(struct net *n, unsigned pair, const struct vdev_request *r, uint32_t bytes)
{
    uint8_t head[TX_HEAD_BYTES];
    struct net_frame_info info;
    uint32_t got = (uint32_t)vdev_iov_read(r->out, r->out_count, NET_HDR_BYTES, head,
                                           min_u64(bytes, sizeof(head)));

    net_frame_parse(head, got, &info);
    n->flows[info.flow % NET_FLOWS] = (uint8_t)pair;
}

static int tx_write(struct net *n, unsigned pair, const struct vdev_request *r,
                    const struct virtio_net_hdr *h, uint32_t bytes)
{
    struct iovec iov[TX_PIECES];
    uint64_t got;
    unsigned count =
        vdev_iov_slice(r->out, r->out_count, NET_HDR_BYTES, bytes, iov, TX_PIECES, &got);

    if (got < bytes) {
        vdev_iov_read(r->out, r->out_count, NET_HDR_BYTES, n->linear, bytes);
        iov[0] = (struct iovec){n->linear, bytes};
        count = 1;
    }
    if (MUTANT(net_byte_changed_now_and_then) && n->stats.tx_frames % 1000 == 999) {
        vdev_iov_read(r->out, r->out_count, NET_HDR_BYTES, n->linear, bytes);
        n->linear[bytes - 1] ^= 1;
        iov[0] = (struct iovec){n->linear, bytes};
        count = 1;
    }
    if (MUTANT(net_tx_first_piece_only))
        count = 1;
    if (MUTANT(net_tx_last_byte_lost))
        iov[count - 1].iov_len--;
    return net_port_write(tx_port(n, pair), h, iov, count);
}

/* False: the wire cannot take it now. */
static bool tx_send(struct net *n, unsigned pair, struct vdev_request *r)
{
    struct virtio_net_hdr h;
    uint32_t bytes;
    int rc;

    if (vdev_iov_read(r->out, r->out_count, 0, &h, sizeof(h)) < sizeof(h)) {
        if (MUTANT(net_tx_short_asserted))
            __builtin_trap();
        vdev_fault(&n->vdev, "net-tx-header", "a frame of %llu bytes has no header",
                   (unsigned long long)r->out_bytes);
        vdev_request_done(r, 0);
        return true;
    }
    bytes = (uint32_t)min_u64(r->out_bytes - NET_HDR_BYTES, UINT32_MAX);
    if (bytes > frame_limit(n, h.gso_type)) {
        n->stats.tx_oversize++;
        if (MUTANT(net_tx_oversize_asserted))
            __builtin_trap();
    } else if (bytes < NET_ETHER_BYTES || !tx_header(n, &h, bytes)) {
        n->stats.tx_malformed++;
        if (MUTANT(net_tx_malformed_kept))
            return true;
    } else {
        if (n->num_ports == 1 && n->pairs_used > 1)
            learn_flow(n, pair, r, bytes);
        rc = tx_write(n, pair, r, &h, bytes);
        if (rc == -EAGAIN)
            return false;
        if (rc) {
            log_debug_limited("%s: a frame was refused: %s", n->vdev.label, strerror(-rc));
            n->stats.tx_refused++;
        } else {
            n->stats.tx_frames++;
            n->stats.tx_bytes += bytes;
        }
    }
    vdev_request_done(r, 0);
    return true;
}

bool net_tx_run(struct net *n, unsigned pair)
{
    unsigned queue = VIRTIO_NET_TX_QUEUE(pair);
    struct net_tx_queue *q = &n->tx[pair];

    for (unsigned turn = 0; turn < NET_BUDGET; turn++) {
        struct net_port *p = tx_port(n, pair);
        struct vdev_request *r;

        if (q->waiting || vdev_queue_take(&n->vdev, queue, &r) <= 0)
            return false;
        if (MUTANT(net_tx_reorders)) {
            struct vdev_request *first = r;

            if (vdev_queue_take(&n->vdev, queue, &r) > 0)
                (void)tx_send(n, pair, r);
            r = first;
        }
        if (tx_send(n, pair, r))
            continue;
        q->waiting = r;
        n->stats.tx_waits++;
        net_port_wait(p, p->in, true);
    }
    return true;
}

void net_tx_resume(struct net_port *p)
{
    struct net *n = p->net;
    bool waits = false;

    if (MUTANT(net_tx_never_resumed)) {
        net_port_wait(p, p->in, false);
        return;
    }
    vdev_batch_begin(&n->vdev);
    for (unsigned i = 0; i < n->pairs; i++) {
        struct vdev_request *r = n->tx[i].waiting;

        if (!r || tx_port(n, i) != p)
            continue;
        n->tx[i].waiting = NULL;
        if (tx_send(n, i, r)) {
            vdev_queue_again(&n->vdev, VIRTIO_NET_TX_QUEUE(i));
        } else {
            n->tx[i].waiting = r;
            waits = true;
        }
    }
    vdev_batch_end(&n->vdev);
    net_port_wait(p, p->in, waits);
}

void net_tx_release(struct net *n, unsigned pair)
{
    for (unsigned i = 0; i < n->pairs; i++) {
        struct vdev_request *r = n->tx[i].waiting;

        if (!r || (pair != NET_QUEUE_NONE && pair != i))
            continue;
        n->tx[i].waiting = NULL;
        vdev_request_done(r, 0);
    }
}
