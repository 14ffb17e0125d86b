/* SPDX-License-Identifier: MIT */
/* VIRTIO 1.4, 5.1: network device. */
#ifndef RP_SPEC_VIRTIO_NET_H
#define RP_SPEC_VIRTIO_NET_H

#include "util/types.h"

/* 5.1.3: feature bits, as numbers. */
#define VIRTIO_NET_F_CSUM                0
#define VIRTIO_NET_F_GUEST_CSUM          1
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2
#define VIRTIO_NET_F_MTU                 3
#define VIRTIO_NET_F_MAC                 5
#define VIRTIO_NET_F_GUEST_TSO4          7
#define VIRTIO_NET_F_GUEST_TSO6          8
#define VIRTIO_NET_F_GUEST_ECN           9
#define VIRTIO_NET_F_GUEST_UFO           10
#define VIRTIO_NET_F_HOST_TSO4           11
#define VIRTIO_NET_F_HOST_TSO6           12
#define VIRTIO_NET_F_HOST_ECN            13
#define VIRTIO_NET_F_HOST_UFO            14
#define VIRTIO_NET_F_MRG_RXBUF           15
#define VIRTIO_NET_F_STATUS              16
#define VIRTIO_NET_F_CTRL_VQ             17
#define VIRTIO_NET_F_CTRL_RX             18
#define VIRTIO_NET_F_CTRL_VLAN           19
#define VIRTIO_NET_F_CTRL_RX_EXTRA       20
#define VIRTIO_NET_F_GUEST_ANNOUNCE      21
#define VIRTIO_NET_F_MQ                  22
#define VIRTIO_NET_F_CTRL_MAC_ADDR       23
#define VIRTIO_NET_F_DEVICE_STATS        50
#define VIRTIO_NET_F_HASH_TUNNEL         51
#define VIRTIO_NET_F_VQ_NOTF_COAL        52
#define VIRTIO_NET_F_NOTF_COAL           53
#define VIRTIO_NET_F_GUEST_USO4          54
#define VIRTIO_NET_F_GUEST_USO6          55
#define VIRTIO_NET_F_HOST_USO            56
#define VIRTIO_NET_F_HASH_REPORT         57
#define VIRTIO_NET_F_GUEST_HDRLEN        59
#define VIRTIO_NET_F_RSS                 60
#define VIRTIO_NET_F_RSC_EXT             61
#define VIRTIO_NET_F_STANDBY             62
#define VIRTIO_NET_F_SPEED_DUPLEX        63

/* 5.1.2: receiveq and transmitq of a pair; the control queue is behind the last pair. */
#define VIRTIO_NET_RX_QUEUE(pair)   (2u * (pair))
#define VIRTIO_NET_TX_QUEUE(pair)   (2u * (pair) + 1)
#define VIRTIO_NET_CTRL_QUEUE(most) (2u * (most))

#define VIRTIO_NET_MAC_BYTES 6u
#define VIRTIO_NET_MTU_MIN   68u
#define VIRTIO_NET_MTU_MAX   65535u

/* 5.1.4: device configuration. */
#define VIRTIO_NET_S_LINK_UP  1u
#define VIRTIO_NET_S_ANNOUNCE 2u

struct virtio_net_config {
    uint8_t mac[VIRTIO_NET_MAC_BYTES];
    le16_t status;
    le16_t max_virtqueue_pairs;
    le16_t mtu;
    le32_t speed; /* Mbit/s, ~0: unknown */
    uint8_t duplex;
    uint8_t rss_max_key_size;
    le16_t rss_max_indirection_table_length;
    le32_t supported_hash_types;
    le32_t supported_tunnel_types;
};
_Static_assert(offsetof(struct virtio_net_config, mac) == 0, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, status) == 6, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, max_virtqueue_pairs) == 8, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, mtu) == 10, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, speed) == 12, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, duplex) == 16, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, rss_max_key_size) == 17, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, rss_max_indirection_table_length) == 18, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, supported_hash_types) == 20, "5.1.4");
_Static_assert(offsetof(struct virtio_net_config, supported_tunnel_types) == 24, "5.1.4");
_Static_assert(sizeof(struct virtio_net_config) == 28, "5.1.4");

/* 5.1.6: in front of each frame, without the fields that further features add. */
#define VIRTIO_NET_HDR_F_NEEDS_CSUM 1u
#define VIRTIO_NET_HDR_F_DATA_VALID 2u
#define VIRTIO_NET_HDR_F_RSC_INFO   4u

#define VIRTIO_NET_HDR_GSO_NONE   0u
#define VIRTIO_NET_HDR_GSO_TCPV4  1u
#define VIRTIO_NET_HDR_GSO_UDP    3u
#define VIRTIO_NET_HDR_GSO_TCPV6  4u
#define VIRTIO_NET_HDR_GSO_UDP_L4 5u
#define VIRTIO_NET_HDR_GSO_ECN    0x80u

struct virtio_net_hdr {
    uint8_t flags;
    uint8_t gso_type;
    le16_t hdr_len;
    le16_t gso_size;
    le16_t csum_start;
    le16_t csum_offset;
    le16_t num_buffers;
};
_Static_assert(offsetof(struct virtio_net_hdr, flags) == 0, "5.1.6");
_Static_assert(offsetof(struct virtio_net_hdr, gso_type) == 1, "5.1.6");
_Static_assert(offsetof(struct virtio_net_hdr, hdr_len) == 2, "5.1.6");
_Static_assert(offsetof(struct virtio_net_hdr, gso_size) == 4, "5.1.6");
_Static_assert(offsetof(struct virtio_net_hdr, csum_start) == 6, "5.1.6");
_Static_assert(offsetof(struct virtio_net_hdr, csum_offset) == 8, "5.1.6");
_Static_assert(offsetof(struct virtio_net_hdr, num_buffers) == 10, "5.1.6");
_Static_assert(sizeof(struct virtio_net_hdr) == 12, "5.1.6");

/* 5.1.6.3: largest frame that segmentation offloads make (Ethernet and IPv6 headers and an IPv6
 * payload), and the largest without them and without an MTU of the device's. */
#define VIRTIO_NET_FRAME_MAX_BYTES       65589u
#define VIRTIO_NET_FRAME_PLAIN_MAX_BYTES 1514u

/* 5.1.6.5: control queue. */
struct virtio_net_ctrl_hdr {
    uint8_t class_;
    uint8_t command;
};
_Static_assert(sizeof(struct virtio_net_ctrl_hdr) == 2, "5.1.6.5");

#define VIRTIO_NET_OK  0u
#define VIRTIO_NET_ERR 1u

#define VIRTIO_NET_CTRL_RX                 0u
#define VIRTIO_NET_CTRL_RX_PROMISC         0u
#define VIRTIO_NET_CTRL_RX_ALLMULTI        1u
#define VIRTIO_NET_CTRL_RX_ALLUNI          2u
#define VIRTIO_NET_CTRL_RX_NOMULTI         3u
#define VIRTIO_NET_CTRL_RX_NOUNI           4u
#define VIRTIO_NET_CTRL_RX_NOBCAST         5u
#define VIRTIO_NET_CTRL_MAC                1u
#define VIRTIO_NET_CTRL_MAC_TABLE_SET      0u
#define VIRTIO_NET_CTRL_MAC_ADDR_SET       1u
#define VIRTIO_NET_CTRL_VLAN               2u
#define VIRTIO_NET_CTRL_VLAN_ADD           0u
#define VIRTIO_NET_CTRL_VLAN_DEL           1u
#define VIRTIO_NET_CTRL_ANNOUNCE           3u
#define VIRTIO_NET_CTRL_ANNOUNCE_ACK       0u
#define VIRTIO_NET_CTRL_MQ                 4u
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET    0u
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS     5u
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET 0u

/* 5.1.6.5.3, 5.1.6.5.6 */
#define VIRTIO_NET_VLANS     4096u
#define VIRTIO_NET_VLAN_MASK 0x0fffu
#define VIRTIO_NET_PAIRS_MAX 0x8000u

#endif
