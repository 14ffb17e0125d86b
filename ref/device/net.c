/* SPDX-License-Identifier: MIT */
#include "device/net.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/net_impl.h"
#include "spec/virtio.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"
#include "util/tap.h"

#define NET_CLASS_CODE 0x020000 /* network, Ethernet */
#define F(name)        VIRTIO_F(VIRTIO_NET_F_##name)

#define GUEST_OFFLOADS                                                                             \
    (F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_ECN) | F(GUEST_USO4) | F(GUEST_USO6))

static const struct net *to_net_const(const struct vdev *d)
{
    return (const struct net *)(const void *)d;
}

/* ---- features ---- */

static const struct vdev_feature feature_names[] = {
    {"csum", VIRTIO_NET_F_CSUM},
    {"guest-csum", VIRTIO_NET_F_GUEST_CSUM},
    {"ctrl-guest-offloads", VIRTIO_NET_F_CTRL_GUEST_OFFLOADS},
    {"mtu", VIRTIO_NET_F_MTU},
    {"mac", VIRTIO_NET_F_MAC},
    {"guest-tso4", VIRTIO_NET_F_GUEST_TSO4},
    {"guest-tso6", VIRTIO_NET_F_GUEST_TSO6},
    {"guest-ecn", VIRTIO_NET_F_GUEST_ECN},
    {"host-tso4", VIRTIO_NET_F_HOST_TSO4},
    {"host-tso6", VIRTIO_NET_F_HOST_TSO6},
    {"host-ecn", VIRTIO_NET_F_HOST_ECN},
    {"mrg-rxbuf", VIRTIO_NET_F_MRG_RXBUF},
    {"status", VIRTIO_NET_F_STATUS},
    {"ctrl-vq", VIRTIO_NET_F_CTRL_VQ},
    {"ctrl-rx", VIRTIO_NET_F_CTRL_RX},
    {"ctrl-vlan", VIRTIO_NET_F_CTRL_VLAN},
    {"ctrl-rx-extra", VIRTIO_NET_F_CTRL_RX_EXTRA},
    {"guest-announce", VIRTIO_NET_F_GUEST_ANNOUNCE},
    {"mq", VIRTIO_NET_F_MQ},
    {"ctrl-mac-addr", VIRTIO_NET_F_CTRL_MAC_ADDR},
    {"guest-uso4", VIRTIO_NET_F_GUEST_USO4},
    {"guest-uso6", VIRTIO_NET_F_GUEST_USO6},
    {"host-uso", VIRTIO_NET_F_HOST_USO},
    {NULL, 0},
};

/* 5.1.3.1: what a feature requires, one of several. */
static const struct {
    uint64_t feature, one_of;
} requirements[] = {
    {F(GUEST_TSO4), F(GUEST_CSUM)},
    {F(GUEST_TSO6), F(GUEST_CSUM)},
    {F(GUEST_ECN), F(GUEST_TSO4) | F(GUEST_TSO6)},
    {F(GUEST_USO4), F(GUEST_CSUM)},
    {F(GUEST_USO6), F(GUEST_CSUM)},
    {F(HOST_TSO4), F(CSUM)},
    {F(HOST_TSO6), F(CSUM)},
    {F(HOST_ECN), F(HOST_TSO4) | F(HOST_TSO6)},
    {F(HOST_USO), F(CSUM)},
    {F(CTRL_RX), F(CTRL_VQ)},
    {F(CTRL_VLAN), F(CTRL_VQ)},
    {F(GUEST_ANNOUNCE), F(CTRL_VQ)},
    {F(MQ), F(CTRL_VQ)},
    {F(CTRL_MAC_ADDR), F(CTRL_VQ)},
    /* Not in the list of 5.1.3.1, but of no use without: a SHOULD of 5.1.4.1, and a command. */
    {F(CTRL_RX_EXTRA), F(CTRL_VQ)},
    {F(CTRL_GUEST_OFFLOADS), F(CTRL_VQ)},
};

static uint64_t without_unmet(uint64_t features)
{
    bool again = true;

    while (again) {
        again = false;
        for (size_t i = 0; i < ARRAY_LENGTH(requirements); i++) {
            if (!(features & requirements[i].feature) || (features & requirements[i].one_of))
                continue;
            features &= ~requirements[i].feature;
            again = true;
        }
    }
    return features;
}

static uint64_t offered_features(const struct net *n, const struct net_options *o)
{
    uint64_t f = F(STATUS) | F(MRG_RXBUF) | F(CTRL_VQ) | F(CTRL_RX) | F(CTRL_RX_EXTRA) |
                 F(CTRL_VLAN) | F(CTRL_MAC_ADDR) | F(GUEST_ANNOUNCE) | F(CTRL_GUEST_OFFLOADS);
    unsigned wire = n->wire_offloads;

    if (n->has_mac)
        f |= F(MAC);
    if (n->mtu)
        f |= F(MTU);
    if (n->pairs > 1)
        f |= F(MQ);
    /* What is written to the wire needs no consent of the kernel's but for USO, which older
     * ones do not know. */
    f |= F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN);
    if (wire & TAP_OFFLOAD_CSUM)
        f |= F(GUEST_CSUM);
    if (wire & TAP_OFFLOAD_TSO4)
        f |= F(GUEST_TSO4);
    if (wire & TAP_OFFLOAD_TSO6)
        f |= F(GUEST_TSO6);
    if (wire & TAP_OFFLOAD_ECN)
        f |= F(GUEST_ECN);
    if (wire & TAP_OFFLOAD_USO)
        f |= F(GUEST_USO4) | F(GUEST_USO6) | F(HOST_USO);
    f = without_unmet(f & ~o->features_off);
    if (MUTANT(net_tso_without_csum))
        f &= ~F(CSUM);
    if (MUTANT(net_rx_extra_without_vq))
        f = (f & ~(F(CTRL_VQ) | F(MQ))) | F(CTRL_RX_EXTRA);
    return f;
}

static uint64_t net_features(struct vdev *d)
{
    return to_net(d)->features;
}

/* ---- queues ---- */

static unsigned net_num_queues(struct vdev *d)
{
    const struct net *n = to_net(d);

    return 2 * n->pairs + (n->features & F(CTRL_VQ) ? 1 : 0);
}

static unsigned net_queue_size_max(struct vdev *d, unsigned queue)
{
    return to_net(d)->queue_size_max;
}

enum net_role net_queue_role(const struct net *n, unsigned queue, unsigned *pair)
{
    unsigned pairs = vdev_has(&n->vdev, VIRTIO_NET_F_MQ) ? n->pairs : 1;

    *pair = queue / 2;
    if (queue == VIRTIO_NET_CTRL_QUEUE(MUTANT(net_ctrl_queue_last) ? n->pairs : pairs) &&
        vdev_has(&n->vdev, VIRTIO_NET_F_CTRL_VQ))
        return NET_ROLE_CTRL;
    if (*pair >= pairs)
        return NET_ROLE_NONE;
    return queue % 2 ? NET_ROLE_TX : NET_ROLE_RX;
}

static bool net_queue_pulled(struct vdev *d, unsigned queue)
{
    unsigned pair;

    return net_queue_role(to_net(d), queue, &pair) != NET_ROLE_CTRL;
}

static bool net_queue_ready(struct vdev *d, unsigned queue)
{
    struct net *n = to_net(d);
    unsigned pair;

    switch (net_queue_role(n, queue, &pair)) {
    case NET_ROLE_RX:
        return net_rx_ready(n, queue);
    case NET_ROLE_TX:
        return net_tx_run(n, pair);
    case NET_ROLE_NONE:
    case NET_ROLE_CTRL:
        break;
    }
    return false;
}

static void net_request(struct vdev *d, struct vdev_request *r)
{
    net_ctrl_request(to_net(d), r);
}

/* ---- configuration ---- */

static void net_config_read(struct vdev *d, unsigned offset, unsigned bytes, void *value)
{
    const struct net *n = to_net(d);
    struct virtio_net_config c = {0};
    uint16_t status = 0;

    memcpy(c.mac, n->mac, sizeof(c.mac));
    if (n->link_up && !MUTANT(net_link_stays_down))
        status |= VIRTIO_NET_S_LINK_UP;
    if (n->announce)
        status |= VIRTIO_NET_S_ANNOUNCE;
    if (n->features & F(STATUS))
        c.status = le16_make(status);
    if (n->features & F(MQ))
        c.max_virtqueue_pairs = le16_make((uint16_t)n->pairs);
    if (n->features & F(MTU))
        c.mtu = le16_make(n->mtu);
    if (MUTANT(net_pairs_zero))
        c.max_virtqueue_pairs = le16_make(0);
    if (MUTANT(net_mtu_too_small))
        c.mtu = le16_make(VIRTIO_NET_MTU_MIN - 1);
    if (MUTANT(net_mtu_small))
        c.mtu = le16_make(VIRTIO_NET_MTU_MIN);
    if (MUTANT(net_mtu_changes) && n->stats.ctrl_ok)
        c.mtu = le16_make((uint16_t)(n->mtu - 1));
    memcpy(value, (const char *)&c + offset, bytes);
}

/* Nothing here is the driver's to write (5.1.4). */
static void net_config_write(struct vdev *d, unsigned offset, unsigned bytes, const void *value)
{
    if (MUTANT(net_config_writable) && offset < NET_MAC_BYTES)
        memcpy(to_net(d)->mac + offset, value, min_u64(bytes, NET_MAC_BYTES - offset));
    log_debug_limited("%s: write to read-only configuration at %u ignored", d->label, offset);
}

void net_link_changed(struct net *n, bool up)
{
    if (n->link_up == up)
        return;
    n->link_up = up;
    n->stats.links++;
    log_info("%s: link %s", n->vdev.label, up ? "up" : "down");
    /* Plugged in again, perhaps elsewhere: others should hear of this address (5.1.6.5.4). */
    if (up && vdev_has(&n->vdev, VIRTIO_NET_F_GUEST_ANNOUNCE) && n->running)
        n->announce = true;
    if (vdev_has(&n->vdev, VIRTIO_NET_F_STATUS) && !MUTANT(net_link_silent))
        vdev_config_changed(&n->vdev);
}

/* ---- life ---- */

int net_set_guest_offloads(struct net *n, uint64_t bits)
{
    uint64_t usable = vdev_negotiated(&n->vdev) & GUEST_OFFLOADS;
    int rc;

    if ((bits & ~usable) || without_unmet(bits) != bits)
        return -EINVAL;
    rc = net_wire_set_offloads(n, bits);
    if (!rc && !MUTANT(net_offloads_stay))
        n->guest_offloads = bits;
    return rc;
}

static int net_negotiated(struct vdev *d, uint64_t features)
{
    return without_unmet(features) == features ? 0 : -EINVAL;
}

static int net_start(struct vdev *d)
{
    struct net *n = to_net(d);

    /* What was negotiated is on until a command says otherwise (5.1.6.5.7.1). */
    int rc = net_set_guest_offloads(n, vdev_negotiated(d) & GUEST_OFFLOADS);

    n->guest_offloads = vdev_negotiated(d) & GUEST_OFFLOADS;
    if (!rc)
        net_wire_start(n);
    return rc;
}

static void net_reset(struct vdev *d)
{
    struct net *n = to_net(d);

    net_wire_stop(n);
    net_rx_release(n, NET_QUEUE_NONE);
    net_tx_release(n, NET_QUEUE_NONE);
    n->guest_offloads = 0;
    n->pairs_used = 1;
    (void)net_wire_set_pairs(n, 1);
    n->announce = false;
    if (!MUTANT(net_filter_survives_reset))
        net_filter_reset(&n->filter);
    memcpy(n->mac, n->mac_given, sizeof(n->mac));
    memset(n->flows, UINT8_MAX, sizeof(n->flows));
}

static void net_queue_reset(struct vdev *d, unsigned queue)
{
    struct net *n = to_net(d);
    unsigned pair;
    enum net_role role = net_queue_role(n, queue, &pair);

    if (role == NET_ROLE_RX)
        net_rx_release(n, pair);
    else if (role == NET_ROLE_TX)
        net_tx_release(n, pair);
}

static void net_free(struct net *n)
{
    net_wire_close(n);
    for (unsigned i = 0; n->rx && i < n->pairs; i++)
        free(n->rx[i].held);
    free(n->rx);
    free(n->tx);
}

static void net_destroy(struct vdev *d)
{
    struct net *n = to_net(d);

    net_free(n);
    vdev_fini(d);
    free(n);
}

const struct vdev_type net_type = {
    .name = "net",
    .device_id = VIRTIO_ID_NET,
    .class_code = NET_CLASS_CODE,
    .config_bytes = sizeof(struct virtio_net_config),
    .feature_names = feature_names,
    .features = net_features,
    .num_queues = net_num_queues,
    .queue_size_max = net_queue_size_max,
    .config_read = net_config_read,
    .config_write = net_config_write,
    .negotiated = net_negotiated,
    .start = net_start,
    .reset = net_reset,
    .queue_reset = net_queue_reset,
    .request = net_request,
    .queue_pulled = net_queue_pulled,
    .queue_ready = net_queue_ready,
    .destroy = net_destroy,
};

/* ---- creation ---- */

int net_parse_mac(const char *text, uint8_t mac[NET_MAC_BYTES])
{
    unsigned v[NET_MAC_BYTES];
    int used = 0;

    if (strlen(text) != NET_MAC_BYTES * 3 - 1 ||
        strspn(text, "0123456789abcdefABCDEF:") != NET_MAC_BYTES * 3 - 1 ||
        sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
               &used) != NET_MAC_BYTES ||
        used != NET_MAC_BYTES * 3 - 1 || (v[0] & 1))
        return -EINVAL;
    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        mac[i] = (uint8_t)v[i];
    return 0;
}

static int options_check(const struct net_options *o, char *error, size_t error_bytes)
{
    const char *what = NULL;
    unsigned wires = (o->tap != NULL) + (o->listen != NULL) + (o->fd >= 0);

    if (wires != 1)
        what = "one of a TAP, a socket to listen on and a descriptor has to be given";
    else if (o->pairs > NET_PAIRS_MAX)
        what = "too many queue pairs";
    else if (o->mtu && o->mtu < VIRTIO_NET_MTU_MIN)
        what = "the MTU has to be 68 or more";
    else if (o->queue_size_max && !is_pow2(o->queue_size_max))
        what = "the queue size has to be a power of two";
    if (!what)
        return 0;
    snprintf(error, error_bytes, "%s", what);
    return -EINVAL;
}

static int queues_make(struct net *n)
{
    n->rx = calloc(n->pairs, sizeof(*n->rx));
    n->tx = calloc(n->pairs, sizeof(*n->tx));
    if (!n->rx || !n->tx)
        return -ENOMEM;
    for (unsigned i = 0; i < n->pairs; i++) {
        n->rx[i].held = calloc(n->queue_size_max, sizeof(struct vdev_request *));
        if (!n->rx[i].held)
            return -ENOMEM;
    }
    return 0;
}

int net_create(const struct vdev_config *config, const struct net_options *options,
               struct vdev **out, char *error, size_t error_bytes)
{
    struct vdev_init_params params = {0};
    struct net *n;
    int rc = options_check(options, error, error_bytes);

    if (rc)
        return rc;
    n = calloc(1, sizeof(*n));
    if (!n) {
        snprintf(error, error_bytes, "%s", strerror(ENOMEM));
        return -ENOMEM;
    }
    n->listener.fd = -1;
    n->pairs = options->pairs ? options->pairs : 1;
    n->pairs_used = 1;
    n->mtu = options->mtu;
    n->has_mac = options->has_mac;
    memcpy(n->mac_given, options->mac, sizeof(n->mac_given));
    if (MUTANT(net_mac_is_group))
        n->mac_given[0] |= 1;
    memcpy(n->mac, n->mac_given, sizeof(n->mac));
    memset(n->flows, UINT8_MAX, sizeof(n->flows));
    n->queue_size_max = (unsigned)min_u64(
        options->queue_size_max ? options->queue_size_max : UINT_MAX, config->queue_size_max);
    n->loop = config->loop;
    /* The core asks for features and queues at once, and the features depend on the wire. */
    rc = net_wire_open(n, options, error, error_bytes);
    if (rc)
        goto out;
    n->features = offered_features(n, options);
    rc = queues_make(n);
    if (!rc) {
        params.chain_max = (unsigned)max_u64(n->queue_size_max, NET_CHAIN_MIN);
        params.chain_max = (unsigned)min_u64(params.chain_max, VDEV_CHAIN_MAX);
        rc = vdev_init(&n->vdev, &net_type, config, &params);
    }
    if (rc) {
        snprintf(error, error_bytes, "device: %s", strerror(-rc));
        goto out;
    }
    *out = &n->vdev;
    return 0;
out:
    net_free(n);
    free(n);
    return rc;
}

void net_get_stats(const struct vdev *d, struct net_stats *stats)
{
    *stats = to_net_const(d)->stats;
}
