/* SPDX-License-Identifier: MIT */
/*
 * Inside the network device. Not for others.
 *
 *   net.c         features, configuration, queue roles, the device's life
 *   net_wire.c    descriptors: opening, watching, one frame in, one frame out
 *   net_frame.c   what a frame says: headers, VLAN, flow; the Internet checksum
 *   net_filter.c  receive modes, MAC table, VLANs
 *   net_rx.c      from the wire to the driver
 *   net_tx.c      from the driver to the wire
 *   net_ctrl.c    the control queue
 */
#ifndef RP_DEVICE_NET_IMPL_H
#define RP_DEVICE_NET_IMPL_H

#include "device/net.h"
#include "device/vdev_impl.h"
#include "spec/virtio.h"
#include "spec/virtio_net.h"

#define NET_ETHER_BYTES 14u
#define NET_VLAN_BYTES  4u
/* With a VLAN tag, which the lengths of 5.1.6 do not count. */
#define NET_FRAME_MAX  (VIRTIO_NET_FRAME_MAX_BYTES + NET_VLAN_BYTES)
#define NET_HDR_BYTES  ((uint32_t)sizeof(struct virtio_net_hdr))
#define NET_MACS_MAX   64u  /* of each kind in the filter table; more: all of that kind pass */
#define NET_FLOWS      256u /* of the steering table, a power of two */
#define NET_BUDGET     64u  /* frames of one turn */
#define NET_CHAIN_MIN  64u  /* descriptors of a frame that are taken in any case */
#define NET_QUEUE_NONE UINT_MAX

/* ---- net_frame.c ---- */

/* What a frame's headers say; offsets from its start. */
struct net_frame_info {
    uint32_t header_bytes; /* up to and with the transport header, as far as it was understood */
    uint32_t flow;         /* the same for both directions of a flow */
    bool tagged, ipv6;
    uint16_t vlan;
};
/* `bytes` of the frame are at hand, 14 at least. */
void net_frame_parse(const uint8_t *frame, uint32_t bytes, struct net_frame_info *info);
/* Ones' complement checksum of [start, bytes), stored at start + offset. */
void net_frame_finish_csum(uint8_t *frame, uint32_t bytes, uint32_t start, uint32_t offset);
/* Of a header that is in nobody else's hands: does it contradict itself or its frame? */
bool net_header_sound(const struct virtio_net_hdr *h, uint32_t frame_bytes);

/* ---- the wire ---- */

struct net;

/* One descriptor of the wire, with the frame that it gave and nobody could take yet. */
struct net_port {
    struct net *net;
    struct evloop_fd watch; /* fd -1: closed */
    uint32_t events;        /* that are watched for, 0: none */
    bool in, out;           /* frames, room are waited for */
    bool attached;          /* a queue of the TAP that is in use */
    uint8_t *buffer;        /* NET_HDR_BYTES and the frame */
    uint32_t frame_bytes;   /* that wait in the buffer; 0: none */
};

enum net_wire_kind { NET_WIRE_TAP, NET_WIRE_SOCKET };

/* ---- queues ---- */

/* Receive: chains that were taken and hold nothing yet. */
struct net_rx_queue {
    struct vdev_request **held; /* queue_size_max entries */
    unsigned count;
    uint64_t bytes;
};

/* Transmit: the frame that the wire could not take yet. */
struct net_tx_queue {
    struct vdev_request *waiting;
};

struct net_filter {
    bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
    bool all_listed_uni, all_listed_multi; /* the table was too large for us */
    unsigned uni_count, multi_count;
    uint8_t uni[NET_MACS_MAX][NET_MAC_BYTES], multi[NET_MACS_MAX][NET_MAC_BYTES];
    uint32_t vlans[VIRTIO_NET_VLANS / 32];
};

enum net_role { NET_ROLE_NONE, NET_ROLE_RX, NET_ROLE_TX, NET_ROLE_CTRL };

struct net {
    struct vdev vdev;    /* first: the core hands us this */
    struct evloop *loop; /* borrowed; the wire is open before the core is there */

    unsigned pairs, queue_size_max; /* the most pairs */
    uint64_t features;
    bool has_mac;
    uint8_t mac_given[NET_MAC_BYTES], mac[NET_MAC_BYTES];
    uint16_t mtu;
    bool link_up, announce;
    bool running;
    struct net_stats stats;

    enum net_wire_kind kind;
    unsigned wire_offloads; /* enum tap_offload that the wire knows */
    struct net_port *ports;
    unsigned num_ports;        /* 1, or one a pair */
    struct evloop_fd listener; /* fd -1: not listening */
    char *listen_path;

    unsigned pairs_used;     /* VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET */
    uint64_t guest_offloads; /* feature bits that are on */
    struct net_filter filter;
    struct net_rx_queue *rx; /* pairs */
    struct net_tx_queue *tx;
    uint8_t flows[NET_FLOWS]; /* pair that a flow was last transmitted on */
    uint8_t *linear;          /* NET_FRAME_MAX, for a frame in very many pieces */
};

static inline struct net *to_net(struct vdev *d)
{
    return (struct net *)(void *)d;
}

/* What a queue is depends on what was negotiated (5.1.2). */
enum net_role net_queue_role(const struct net *n, unsigned queue, unsigned *pair);

/* The link came or went: configuration change. */
void net_link_changed(struct net *n, bool up);

/* Feature bits that are to be on (5.1.6.5.7.1). -EINVAL: one was not negotiated, or requires
 * another; or what the wire says. */
int net_set_guest_offloads(struct net *n, uint64_t bits);

/* ---- net_wire.c ---- */
int net_wire_open(struct net *n, const struct net_options *o, char *error, size_t error_bytes);
void net_wire_close(struct net *n);
/* Begin to read, after dropping what waits; and the end of it. */
void net_wire_start(struct net *n);
void net_wire_stop(struct net *n);
/* What is waited for: frames, room. With neither only the end of the wire is looked out for. */
void net_port_wait(struct net_port *p, bool in, bool out);
/* A frame into the port's buffer and frame_bytes. False: none there now. */
bool net_port_read(struct net_port *p);
/* Header and frame out. 0; -EAGAIN: no room now; another error: this frame goes nowhere. */
int net_port_write(struct net_port *p, const struct virtio_net_hdr *h, const struct iovec *iov,
                   unsigned count);
/* Tell the wire what the driver takes, and how many queues it serves; 0 or -errno. */
int net_wire_set_offloads(struct net *n, uint64_t features);
int net_wire_set_pairs(struct net *n, unsigned pairs);

/* ---- net_filter.c ---- */
void net_filter_reset(struct net_filter *f);
bool net_filter_wants(const struct net *n, const uint8_t *frame, const struct net_frame_info *info);

/* ---- net_rx.c ---- */
/* Serve a port until it has no frame or the driver no buffer. */
void net_rx_run(struct net_port *p);
bool net_rx_ready(struct net *n, unsigned queue);
/* Give back what a queue holds (NET_QUEUE_NONE: all). */
void net_rx_release(struct net *n, unsigned pair);

/* ---- net_tx.c ---- */
bool net_tx_run(struct net *n, unsigned pair);
/* The wire has room again. */
void net_tx_resume(struct net_port *p);
void net_tx_release(struct net *n, unsigned pair);

/* ---- net_ctrl.c ---- */
void net_ctrl_request(struct net *n, struct vdev_request *r);

#endif
