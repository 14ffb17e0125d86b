/* SPDX-License-Identifier: MIT */
/*
 * virtio-net (VIRTIO 5.1), device side.
 *
 * The *wire* is where frames come from and go to:
 *
 *   a TAP interface  opened by name with a descriptor for each queue pair, so that the kernel
 *                    steers flows, or handed over as one descriptor
 *   a socket         datagrams or sequenced packets, handed over as a descriptor; or a path where
 *                    the device listens for sequenced packets. One packet is one frame.
 *
 * On each kind a frame has the 12 bytes of struct virtio_net_hdr in front, so that partial
 * checksums and segmentation pass through both ways. With a listening socket the link is up while
 * somebody is connected: connecting is plugging in. With one descriptor for several pairs the
 * device itself steers a flow to the receive queue of the pair that it last transmitted on
 * (5.1.6.5.6).
 *
 * Pressure. A frame that finds no receive buffer waits, and nothing more is read: the wire's own
 * queue fills and its owner drops or waits, as with any slow receiver, without a cycle spent here.
 * A frame that a wire cannot take now waits at the head of its transmit queue. What can never be
 * delivered (too large for all buffers that the queue can hold, malformed, unwanted) is dropped
 * and counted. What waited on the wire before DRIVER_OK is dropped: it was sent to nobody.
 *
 * The driver's headers are checked before the wire sees them, and the wire's before the driver
 * does: neither is trusted. A driver's malformed frame is dropped and counted; a buffer that cannot
 * even hold or carry a header is a fault. Checksums that the driver cannot finish are finished
 * here.
 */
#ifndef RP_DEVICE_NET_H
#define RP_DEVICE_NET_H

#include "device/vdev.h"

#define NET_PAIRS_MAX ((VDEV_QUEUES_MAX - 1) / 2)
#define NET_MAC_BYTES 6u

extern const struct vdev_type net_type;

struct net_options {
    /* The wire: one of the three. */
    const char *tap;    /* name of an interface */
    const char *listen; /* path of a socket to make */
    int fd;             /* a TAP or a socket; taken over on success. -1: none */
    unsigned pairs;     /* queue pairs; 0: 1 */
    bool has_mac;       /* without, the driver chooses an address */
    uint8_t mac[NET_MAC_BYTES];
    uint16_t mtu;            /* 68 to 65535; 0: not said */
    unsigned queue_size_max; /* a power of two; 0: the limit in vdev_config */
    uint64_t features_off;   /* device feature bits not to offer */
};

/*
 * Create a device; *out is released with vdev_destroy. On an error `error` (of error_bytes) holds
 * one line for the user: -EINVAL (an option out of range, no wire or several), -ENOMEM, or what
 * opening the wire said (util/tap.h; bind(2)).
 */
int net_create(const struct vdev_config *config, const struct net_options *options,
               struct vdev **out, char *error, size_t error_bytes);

/* "02:00:00:00:00:01". -EINVAL: not of that form, or a group address. */
int net_parse_mac(const char *text, uint8_t mac[NET_MAC_BYTES]);

/* What the device did, for a test or a report. */
struct net_stats {
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
    uint64_t rx_waits, tx_waits; /* how often a frame had to wait for buffers, for the wire */
    uint64_t rx_filtered;        /* unwanted by mode, address or VLAN */
    uint64_t rx_malformed;       /* short, or with a header that contradicts itself */
    uint64_t rx_oversize;        /* above the MTU, to be segmented by a driver that cannot, or
                                    larger than the buffers */
    uint64_t rx_no_queue;        /* no receive queue is enabled */
    uint64_t rx_csum_finished;
    uint64_t tx_malformed, tx_oversize;
    uint64_t tx_refused; /* by the wire, or nobody is connected */
    uint64_t ctrl_ok, ctrl_err, links;
};
void net_get_stats(const struct vdev *d, struct net_stats *stats);

#endif
