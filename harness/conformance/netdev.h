/* SPDX-License-Identifier: MIT */
/*
 * Frames sent and received by hand, on both sides of a network device: its queues, and the other
 * end of its wire, which the testbed has.
 */
#ifndef RP_CONFORMANCE_NETDEV_H
#define RP_CONFORMANCE_NETDEV_H

#include "conformance/ring.h"
#include "spec/virtio.h"
#include "spec/virtio_net.h"

#define NET(name)    VIRTIO_F(VIRTIO_NET_F_##name)
#define NIC_PAIRS    4u
#define NIC_BUFFERS  64u
#define HDR_BYTES    ((uint32_t)sizeof(struct virtio_net_hdr))
#define ETHER_BYTES  14u
#define FRAME_SHORT  100u  /* of frames whose length does not matter */
#define BUFFER_PLAIN 1600u /* holds any frame that is not to be segmented, at an MTU of 1500 */

/* Needs of every check in these files: the device, and somebody at the other end. */
#define NEEDS_NIC  (NEED_DEVICE | NEED_NET)
#define NEEDS_WIRE (NEEDS_NIC | NEED_WIRE)

/* A posted receive buffer is known by the descriptor that refers to it. */
struct nic_queue {
    struct ring *ring;
    struct buffer *posted[NIC_BUFFERS]; /* by head */
    unsigned next;                      /* descriptor */
};

struct nic {
    struct device *d;
    struct nic_queue rx[NIC_PAIRS], tx[NIC_PAIRS], ctrl;
    unsigned pairs;     /* that are set up */
    unsigned pairs_max; /* what the device says; 1 without MQ */
    uint8_t mac[VIRTIO_NET_MAC_BYTES];
    struct buffer *command, *ack; /* granted for each command */
    unsigned markers;             /* of nic_receives */
};

/*
 * A running device with these features and `pairs` pairs of queues. Skips the check when one of
 * `need` is not offered; `want` is taken as far as it is. What its wire still had from before is
 * gone.
 */
struct nic *given_nic(struct check_ctx *t, uint64_t need, uint64_t want, unsigned pairs);
/* Again in the course of a check. */
void nic_restart(struct nic *k, uint64_t features, unsigned pairs);
bool nic_has(const struct nic *k, unsigned bit);

/* ---- frames ---- */

struct frame {
    struct virtio_net_hdr header;
    uint32_t bytes;
    uint32_t seed;        /* the bytes behind `given` follow from it (runner/asks.h) */
    uint32_t given;       /* bytes that the check chose */
    uint8_t data[70000u]; /* all of them */
};

/* A frame to `to` from an address that is nobody's, of an experimental type; freed at the end. */
struct frame *given_frame(struct check_ctx *t, const uint8_t *to, uint32_t bytes, uint32_t seed);
/* TCP over IPv4 or IPv6 with the checksum left to whoever comes next (5.1.6.2). */
struct frame *given_tcp(struct check_ctx *t, const uint8_t *to, uint32_t bytes, bool ipv6);
/* UDP with ports of the check's choice, of a flow that swap exchanges the ends of. */
struct frame *given_udp(struct check_ctx *t, const uint8_t *to, uint16_t port, bool swap);
/* Put a VLAN tag into a frame of given_frame. */
void frame_tag(struct frame *f, uint16_t vlan);
uint64_t frame_sum(const uint8_t *data, uint32_t bytes);
/* What the checksum field of a frame with NEEDS_CSUM has to become. */
uint16_t frame_csum(const struct frame *f);

/* ---- the wire ---- */

/* Give `count` frames, each with a seed of its own, to the wire: how many it took. */
unsigned wire_send_many(struct check_ctx *t, const struct frame *f, unsigned count);
void wire_send(struct check_ctx *t, const struct frame *f);

struct wire_frame {
    struct virtio_net_hdr header;
    uint32_t bytes;
    uint8_t head[256];
    uint64_t sum; /* frame_sum of all bytes */
};
/* The next frame that the device sent; false after timeout_ns. */
bool wire_recv(struct check_ctx *t, struct wire_frame *w, uint64_t timeout_ns);
/* The next one has to be this one, byte for byte. */
void expect_on_wire(struct check_ctx *t, const struct frame *f, struct wire_frame *w);
void expect_wire_quiet(struct check_ctx *t, const char *why);
void wire_link(struct check_ctx *t, bool up);

/* ---- queues ---- */

/* Give a buffer to a receive queue. */
struct buffer *nic_post(struct nic *k, unsigned pair, uint32_t bytes);
/* The next used receive buffer; NULL after timeout_ns. It was released, its canaries are whole. */
struct buffer *nic_used(struct nic *k, unsigned pair, uint32_t *len, uint64_t timeout_ns);
/* The same when it has to come, with its header. */
struct buffer *expect_received(struct nic *k, unsigned pair, uint32_t *len,
                               struct virtio_net_hdr *h);
/* A frame of one buffer has to come and be this one. Its header. */
struct virtio_net_hdr expect_frame(struct nic *k, unsigned pair, const struct frame *f);
void expect_no_frame(struct nic *k, unsigned pair, enum check_level level, const char *why);
/* Does a frame to this address (with a tag when vlan >= 0) come through? Buffers are posted; frames
 * of this function may still come afterwards. */
bool nic_receives(struct nic *k, const uint8_t *to, int vlan);

/* Transmit from one descriptor and wait until it was used. */
void nic_send(struct nic *k, unsigned pair, const struct frame *f);
/* The same with header and frame cut into pieces of these lengths, the last one repeated. */
void nic_send_cut(struct nic *k, unsigned pair, const struct frame *f, const uint32_t *lengths,
                  unsigned n);

/* A command; the answer. */
uint8_t nic_command(struct nic *k, uint8_t class_, uint8_t command, const void *data,
                    uint32_t bytes);
uint8_t nic_mode(struct nic *k, uint8_t command, bool on);
void expect_command(struct nic *k, uint8_t class_, uint8_t command, const void *data,
                    uint32_t bytes, uint8_t answer, const char *what);
uint16_t nic_config16(struct nic *k, unsigned offset);
void nic_config_mac(struct nic *k, uint8_t mac[VIRTIO_NET_MAC_BYTES]);
/* Wait until the status field is `want` (within `mask`). */
bool nic_status_wait(struct nic *k, uint16_t mask, uint16_t want);

/* After provocation: a reset ends it, and a frame then goes each way. */
void expect_nic_recovers(struct nic *k, const char *after);

extern const uint8_t net_broadcast[VIRTIO_NET_MAC_BYTES], net_group[VIRTIO_NET_MAC_BYTES],
    net_stranger[VIRTIO_NET_MAC_BYTES];

#endif
