/* SPDX-License-Identifier: MIT */
/* The control queue (5.1.6.5): each command is answered at once. */
#include <string.h>

#include "device/net_impl.h"
#include "util/log.h"
#include "util/mutant.h"

#define DATA_AT (sizeof(struct virtio_net_ctrl_hdr))

/* A command with its data, which is `bytes` long and read piece by piece. */
struct command {
    const struct vdev_request *r;
    uint64_t bytes;
};

/* All of the data, when it is just so long. */
static bool data_is(const struct command *c, void *to, uint64_t bytes)
{
    if (c->bytes != bytes && !(MUTANT(net_ctrl_length_unchecked) && c->bytes > bytes))
        return false;
    return vdev_iov_read(c->r->out, c->r->out_count, DATA_AT, to, bytes) == bytes;
}

static bool set_mode(struct net *n, const struct command *c, uint8_t command)
{
    struct net_filter *f = &n->filter;
    bool *const modes[] = {
        [VIRTIO_NET_CTRL_RX_PROMISC] = &f->promisc, [VIRTIO_NET_CTRL_RX_ALLMULTI] = &f->allmulti,
        [VIRTIO_NET_CTRL_RX_ALLUNI] = &f->alluni,   [VIRTIO_NET_CTRL_RX_NOMULTI] = &f->nomulti,
        [VIRTIO_NET_CTRL_RX_NOUNI] = &f->nouni,     [VIRTIO_NET_CTRL_RX_NOBCAST] = &f->nobcast,
    };
    unsigned feature =
        command <= VIRTIO_NET_CTRL_RX_ALLMULTI ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA;
    uint8_t on;

    if (command > VIRTIO_NET_CTRL_RX_NOBCAST || !vdev_has(&n->vdev, feature) ||
        !data_is(c, &on, sizeof(on)) || on > 1)
        return false;
    if (MUTANT(net_ctrl_rx_refused) && feature == VIRTIO_NET_F_CTRL_RX)
        return false;
    if (MUTANT(net_ctrl_rx_extra_refused) && feature == VIRTIO_NET_F_CTRL_RX_EXTRA)
        return false;
    if ((MUTANT(net_promisc_ignored) && command == VIRTIO_NET_CTRL_RX_PROMISC) ||
        (MUTANT(net_allmulti_ignored) && command == VIRTIO_NET_CTRL_RX_ALLMULTI) ||
        (MUTANT(net_alluni_ignored) && command == VIRTIO_NET_CTRL_RX_ALLUNI) ||
        (MUTANT(net_nomulti_ignored) && command == VIRTIO_NET_CTRL_RX_NOMULTI) ||
        (MUTANT(net_nouni_ignored) && command == VIRTIO_NET_CTRL_RX_NOUNI) ||
        (MUTANT(net_nobcast_ignored) && command == VIRTIO_NET_CTRL_RX_NOBCAST))
        return true;
    *modes[command] = on;
    return true;
}

/* One of the two tables, at *at of the data: how many, then the addresses. *more: they are too
 * many to keep. */
static bool read_macs(const struct command *c, uint64_t *at, uint8_t (*macs)[NET_MAC_BYTES],
                      unsigned *count, bool *more)
{
    le32_t entries;
    uint64_t bytes;

    if (c->bytes < *at || c->bytes - *at < sizeof(entries))
        return false;
    vdev_iov_read(c->r->out, c->r->out_count, DATA_AT + *at, &entries, sizeof(entries));
    *at += sizeof(entries);
    bytes = (uint64_t)le32_get(entries) * NET_MAC_BYTES;
    if (bytes > c->bytes - *at) {
        if (MUTANT(net_mac_table_length_trusted))
            __builtin_trap();
        return false;
    }
    *more = le32_get(entries) > NET_MACS_MAX;
    *count = *more ? 0 : le32_get(entries);
    vdev_iov_read(c->r->out, c->r->out_count, DATA_AT + *at, macs,
                  (uint64_t)*count * NET_MAC_BYTES);
    *at += bytes;
    return true;
}

static bool set_mac_table(struct net *n, const struct command *c)
{
    struct net_filter next = n->filter;
    uint64_t at = 0;

    if (!read_macs(c, &at, next.uni, &next.uni_count, &next.all_listed_uni) ||
        !read_macs(c, &at, next.multi, &next.multi_count, &next.all_listed_multi) || at != c->bytes)
        return false;
    if (!MUTANT(net_mac_table_ignored))
        n->filter = next;
    return true;
}

static bool set_mac(struct net *n, const struct command *c, uint8_t command)
{
    uint8_t mac[NET_MAC_BYTES];

    if (command == VIRTIO_NET_CTRL_MAC_TABLE_SET && vdev_has(&n->vdev, VIRTIO_NET_F_CTRL_RX))
        return set_mac_table(n, c);
    if (command != VIRTIO_NET_CTRL_MAC_ADDR_SET ||
        !vdev_has(&n->vdev, VIRTIO_NET_F_CTRL_MAC_ADDR) || !data_is(c, mac, sizeof(mac)) ||
        (mac[0] & 1))
        return false;
    if (!MUTANT(net_mac_set_ignored))
        memcpy(n->mac, mac, sizeof(mac));
    return true;
}

static bool set_vlan(struct net *n, const struct command *c, uint8_t command)
{
    uint32_t *word, bit;
    le16_t id;

    if (command > VIRTIO_NET_CTRL_VLAN_DEL || !vdev_has(&n->vdev, VIRTIO_NET_F_CTRL_VLAN) ||
        !data_is(c, &id, sizeof(id)) || le16_get(id) >= VIRTIO_NET_VLANS)
        return false;
    word = &n->filter.vlans[le16_get(id) / 32];
    bit = 1u << le16_get(id) % 32;
    if (MUTANT(net_vlan_add_ignored) && command == VIRTIO_NET_CTRL_VLAN_ADD)
        return true;
    if (command == VIRTIO_NET_CTRL_VLAN_ADD)
        *word |= bit;
    else if (!MUTANT(net_vlan_del_ignored))
        *word &= ~bit;
    return true;
}

static bool ack_announce(struct net *n, const struct command *c, uint8_t command)
{
    if (command != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
        !vdev_has(&n->vdev, VIRTIO_NET_F_GUEST_ANNOUNCE) || c->bytes)
        return false;
    if (!MUTANT(net_announce_stays))
        n->announce = false;
    return true;
}

static bool set_pairs(struct net *n, const struct command *c, uint8_t command)
{
    le16_t pairs;

    if (command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET || !vdev_has(&n->vdev, VIRTIO_NET_F_MQ) ||
        !data_is(c, &pairs, sizeof(pairs)))
        return false;
    if (le16_get(pairs) == 0 || le16_get(pairs) > n->pairs) {
        if (MUTANT(net_pairs_unchecked))
            __builtin_trap();
        return false;
    }
    if (net_wire_set_pairs(n, le16_get(pairs)))
        return false;
    /* What waited for room in a queue of the wire that went goes through the first one. */
    net_tx_resume(&n->ports[0]);
    if (!MUTANT(net_mq_never_fewer) || le16_get(pairs) > n->pairs_used)
        n->pairs_used = le16_get(pairs);
    return true;
}

static bool set_offloads(struct net *n, const struct command *c, uint8_t command)
{
    le64_t bits;

    if (command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
        !vdev_has(&n->vdev, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || !data_is(c, &bits, sizeof(bits)))
        return false;
    return net_set_guest_offloads(n, le64_get(bits)) == 0;
}

static bool execute(struct net *n, const struct command *c, struct virtio_net_ctrl_hdr h)
{
    switch (h.class_) {
    case VIRTIO_NET_CTRL_RX:
        return set_mode(n, c, h.command);
    case VIRTIO_NET_CTRL_MAC:
        return set_mac(n, c, h.command);
    case VIRTIO_NET_CTRL_VLAN:
        return set_vlan(n, c, h.command);
    case VIRTIO_NET_CTRL_ANNOUNCE:
        return ack_announce(n, c, h.command);
    case VIRTIO_NET_CTRL_MQ:
        return set_pairs(n, c, h.command);
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        return set_offloads(n, c, h.command);
    default:
        return MUTANT(net_ctrl_unknown_ok);
    }
}

void net_ctrl_request(struct net *n, struct vdev_request *r)
{
    uint8_t ack = VIRTIO_NET_ERR;
    struct virtio_net_ctrl_hdr h;

    /* No place for an answer: the driver would never know. */
    if (r->in_bytes == 0) {
        if (MUTANT(net_ctrl_ack_asserted))
            __builtin_trap();
        vdev_fault(&n->vdev, "net-ctrl-no-ack", "a command without a writable byte");
        vdev_request_done(r, 0);
        return;
    }
    if (vdev_iov_read(r->out, r->out_count, 0, &h, sizeof(h)) == sizeof(h)) {
        struct command c = {.r = r, .bytes = r->out_bytes - sizeof(h)};

        if (execute(n, &c, h))
            ack = VIRTIO_NET_OK;
        else
            log_debug_limited("%s: control command %u.%u of %llu bytes refused", n->vdev.label,
                              h.class_, h.command, (unsigned long long)c.bytes);
    }
    if (ack == VIRTIO_NET_OK)
        n->stats.ctrl_ok++;
    else
        n->stats.ctrl_err++;
    vdev_iov_write(r->in, r->in_count, 0, &ack, sizeof(ack));
    vdev_request_done(r, sizeof(ack));
}
