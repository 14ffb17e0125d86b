/* SPDX-License-Identifier: MIT */
/* Which frames the driver wants (5.1.6.5.1 to 5.1.6.5.3). */
#include <string.h>

#include "device/net_impl.h"
#include "util/mutant.h"

void net_filter_reset(struct net_filter *f)
{
    memset(f, 0, sizeof(*f));
}

static bool is_broadcast(const uint8_t *mac)
{
    for (unsigned i = 0; i < NET_MAC_BYTES; i++)
        if (mac[i] != 0xff)
            return false;
    return true;
}

static bool listed(const uint8_t (*macs)[NET_MAC_BYTES], unsigned count, const uint8_t *mac)
{
    for (unsigned i = 0; i < count; i++)
        if (!memcmp(macs[i], mac, NET_MAC_BYTES))
            return true;
    return false;
}

static bool address_wanted(const struct net *n, const uint8_t *mac)
{
    const struct net_filter *f = &n->filter;

    /* A mode that suppresses has its way over one that lets pass. */
    if (is_broadcast(mac))
        return !f->nobcast;
    if (mac[0] & 1)
        return !f->nomulti &&
               (f->allmulti || f->all_listed_multi || listed(f->multi, f->multi_count, mac));
    if (f->nouni)
        return false;
    return f->alluni || f->all_listed_uni || !memcmp(mac, n->mac, NET_MAC_BYTES) ||
           listed(f->uni, f->uni_count, mac);
}

bool net_filter_wants(const struct net *n, const uint8_t *frame, const struct net_frame_info *info)
{
    const struct net_filter *f = &n->filter;

    if (f->promisc)
        return true;
    if (MUTANT(net_filter_accepts_all))
        return true;
    if ((vdev_has(&n->vdev, VIRTIO_NET_F_CTRL_VLAN) || MUTANT(net_vlan_always_filtered)) &&
        info->tagged && !(f->vlans[info->vlan / 32] & 1u << info->vlan % 32))
        return false;
    /* A driver that cannot say what it wants gets all. */
    return !vdev_has(&n->vdev, VIRTIO_NET_F_CTRL_RX) || address_wanted(n, frame);
}
