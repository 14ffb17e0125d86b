/* SPDX-License-Identifier: MIT */
/*
 * A network driver (VIRTIO 5.1) for tests and for benchmarks.
 *
 * Frames lie in memory that the backend reaches for long, in slots that go back and forth: to
 * transmit, take an empty slot, fill it, give it; to receive, take a frame where it lies, use it,
 * give its slots back. Nothing is copied here. A frame is preceded by the header of 5.1.6, so that
 * partial checksums and segmentation pass through; where the device can merge receive buffers
 * (MRG_RXBUF) a frame may lie in several slots.
 *
 * Each of the two queues of a pair belongs to one thread at a time and has a vCPU and an interrupt
 * of its own; the control queue belongs to whoever owns the device.
 *
 * The device is not trusted: ids, lengths and the number of buffers are checked. One that
 * breaks the rules makes the queue fail with -EPROTO.
 */
#ifndef RP_FRONTEND_NET_H
#define RP_FRONTEND_NET_H

#include <sys/uio.h>

#include "frontend/memory.h"
#include "frontend/virtio.h"

#define FE_NET_PAIRS_MAX  31
#define FE_NET_MAC_BYTES  6u
#define FE_NET_HDR_BYTES  12u
#define FE_NET_PIECES_MAX 18 /* slots of one frame */

struct fe_net;

struct fe_net_config {
    struct fe_memory *memory; /* borrowed */
    unsigned pairs;           /* wanted; the device's number limits it. 0: 1 */
    unsigned queue_size;      /* descriptors wanted, a power of two; 0: the device's maximum */
    /* Interrupts for waiting; without, only polling works. */
    bool interrupts;
    unsigned vcpu_first;    /* queue n is on vCPU (vcpu_first + n) modulo their number */
    uint64_t features_off;  /* feature bits not to be negotiated */
    uint64_t features_need; /* without these the device is not taken: -ENOTSUP */
    uint64_t timeout_ns;    /* of reset and commands; 0: 10 s */
};

struct fe_net_info {
    uint64_t features; /* negotiated */
    uint8_t mac[FE_NET_MAC_BYTES];
    bool has_mac;
    uint16_t mtu; /* 0: the device does not say */
    unsigned pairs, queue_size;
    uint32_t rx_slot_bytes, tx_slot_bytes; /* with the header */
};

/*
 * Reset, negotiate, fill the receive queues and start the device behind `v` (borrowed). -ENODEV:
 * no network device; -EPROTO: configuration that cannot be, or a command of ours was refused; other
 * errors as in virtio.h and memory.h.
 */
int fe_net_create(struct fe_virtio *v, const struct fe_net_config *cfg, struct fe_net **out);

/* Stop the device and free all. -EBUSY: it was reset and memory is still mapped by the backend;
 * all is freed but that. NULL is allowed. */
int fe_net_destroy(struct fe_net *n);

const struct fe_net_info *fe_net_get_info(const struct fe_net *n);

/* 0, -ENODEV (gone or replaced), -EIO (asks for a reset). */
int fe_net_check(struct fe_net *n);
/* True without VIRTIO_NET_F_STATUS (5.1.4.2). */
int fe_net_link(struct fe_net *n, bool *up);

/* ---- transmission ---- */

/* tx_slot_bytes for header and frame, the caller's until fe_net_tx_put. */
struct fe_net_slot {
    uint8_t *va;
    unsigned index;
};

/* 1: *slot is empty; 0: all are with the device (fe_net_tx_wait); -EPROTO. */
int fe_net_tx_get(struct fe_net *n, unsigned pair, struct fe_net_slot *slot);
/* `bytes` of header and frame, 0 gives the slot back unused. The device is told by the kick. */
int fe_net_tx_put(struct fe_net *n, unsigned pair, const struct fe_net_slot *slot, uint32_t bytes);
int fe_net_tx_kick(struct fe_net *n, unsigned pair);
/* As fe_queue_kick_again, when the device has frames: 1 when it was told, 0, or an error. */
int fe_net_tx_kick_again(struct fe_net *n, unsigned pair);
/* Until a slot may be empty, and as fe_queue_wait. */
int fe_net_tx_wait(struct fe_net *n, unsigned pair, uint64_t timeout_ns);

/* ---- reception ---- */

/* A frame where it lies; the memory stays the device's friend, so whoever checks it copies first.
 * The header was copied: it does not change any more. */
struct fe_net_frame {
    uint8_t header[FE_NET_HDR_BYTES];
    uint32_t bytes; /* of the frame, without the header */
    struct iovec iov[FE_NET_PIECES_MAX];
    unsigned count;
    unsigned slots[FE_NET_PIECES_MAX]; /* private */
};

/* 1: *frame, the caller's until fe_net_rx_put; 0: none there; -EPROTO. */
int fe_net_rx_get(struct fe_net *n, unsigned pair, struct fe_net_frame *frame);
int fe_net_rx_put(struct fe_net *n, unsigned pair, const struct fe_net_frame *frame);
int fe_net_rx_kick(struct fe_net *n, unsigned pair);
/* As fe_queue_kick_again: the device has buffers always. 1, or an error. */
int fe_net_rx_kick_again(struct fe_net *n, unsigned pair);
/* Until a frame may be there, as fe_queue_wait. */
int fe_net_rx_wait(struct fe_net *n, unsigned pair, uint64_t timeout_ns);

/* ---- control ---- */

/*
 * One command (5.1.6.5), waited for. -ENOTSUP: there is no control queue; -EIO: the device
 * answered VIRTIO_NET_ERR; -EINVAL: more data than a page; -ETIME.
 */
int fe_net_command(struct fe_net *n, uint8_t class_, uint8_t command, const void *data,
                   uint32_t bytes);

#endif
