/* SPDX-License-Identifier: MIT */
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "device/net_impl.h"
#include "util/mutant.h"

#define IPV4_BYTES      20u
#define IPV6_BYTES      40u
#define IPV4_FRAG_MASK  0x3fffu /* MF and the offset */
#define TCP_BYTES       20u
#define TCP_OFFSET_AT   12u
#define UDP_BYTES       8u
#define PORTS_BYTES     4u
#define FLOW_MULTIPLIER 2654435761u
#define FLOW_SHIFT      16

static uint16_t be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t be32(const uint8_t *at)
{
    return (uint32_t)be16(at) << 16 | be16(at + 2);
}

/* Sums, so that source and destination can be exchanged. */
static uint32_t addresses_sum(const uint8_t *at, uint32_t bytes)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i + 4 <= bytes; i += 4)
        sum += be32(at + i);
    return sum;
}

static uint32_t transport_bytes(const uint8_t *at, uint32_t bytes, uint8_t protocol)
{
    if (protocol == IPPROTO_TCP && bytes >= TCP_BYTES) {
        uint32_t header = (at[TCP_OFFSET_AT] >> 4) * 4u;

        return header < TCP_BYTES ? TCP_BYTES : header;
    }
    return protocol == IPPROTO_UDP ? UDP_BYTES : 0;
}

void net_frame_parse(const uint8_t *frame, uint32_t bytes, struct net_frame_info *info)
{
    uint16_t type = be16(frame + 12);
    uint32_t at = NET_ETHER_BYTES, sum = 0;
    uint8_t protocol = 0;
    bool fragment = false;

    *info = (struct net_frame_info){0};
    if (type == ETH_P_8021Q && bytes >= NET_ETHER_BYTES + NET_VLAN_BYTES) {
        info->tagged = true;
        info->vlan = be16(frame + 14) & VIRTIO_NET_VLAN_MASK;
        type = be16(frame + 16);
        at += NET_VLAN_BYTES;
    }
    if (type == ETH_P_IP && bytes - at >= IPV4_BYTES && (frame[at] & 0xf) * 4u >= IPV4_BYTES) {
        sum = addresses_sum(frame + at + 12, 8);
        protocol = frame[at + 9];
        fragment = be16(frame + at + 6) & IPV4_FRAG_MASK;
        at += (frame[at] & 0xf) * 4u;
    } else if (type == ETH_P_IPV6 && bytes - at >= IPV6_BYTES) {
        sum = addresses_sum(frame + at + 8, 32);
        protocol = frame[at + 6];
        info->ipv6 = true;
        at += IPV6_BYTES;
    }
    if (at < bytes && !fragment && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP)) {
        if (bytes - at >= PORTS_BYTES)
            sum += (uint32_t)be16(frame + at) + be16(frame + at + 2);
        at += transport_bytes(frame + at, bytes - at, protocol);
    }
    info->header_bytes = at < bytes ? at : bytes;
    info->flow = ((sum + protocol) * FLOW_MULTIPLIER) >> FLOW_SHIFT;
}

void net_frame_finish_csum(uint8_t *frame, uint32_t bytes, uint32_t start, uint32_t offset)
{
    uint8_t *field = frame + start + offset;
    uint64_t sum = 0;
    uint16_t folded;

    for (uint32_t i = start; i + 1 < bytes; i += 2)
        sum += be16(frame + i);
    if ((bytes - start) & 1)
        sum += (uint32_t)frame[bytes - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    folded = (uint16_t)~sum;
    /* UDP: 0 would say that there is no checksum (RFC 768). */
    if (folded == 0)
        folded = 0xffff;
    field[0] = (uint8_t)(folded >> 8);
    field[1] = (uint8_t)folded;
}

bool net_header_sound(const struct virtio_net_hdr *h, uint32_t frame_bytes)
{
    uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    bool csum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

    if (csum && (uint32_t)le16_get(h->csum_start) + le16_get(h->csum_offset) + 2 > frame_bytes &&
        !MUTANT(net_csum_range_unchecked))
        return false;
    if (gso == VIRTIO_NET_HDR_GSO_NONE)
        return h->gso_type == VIRTIO_NET_HDR_GSO_NONE;
    if (gso != VIRTIO_NET_HDR_GSO_TCPV4 && gso != VIRTIO_NET_HDR_GSO_TCPV6 &&
        gso != VIRTIO_NET_HDR_GSO_UDP_L4)
        return false;
    if (gso == VIRTIO_NET_HDR_GSO_UDP_L4 && h->gso_type != gso)
        return false;
    return csum && le16_get(h->gso_size) != 0;
}
