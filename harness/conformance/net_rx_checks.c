/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.1.6.3, 5.1.6.4: what the driver receives. */
#define CHECK_FAMILY "net"

#include <string.h>

#include "conformance/netdev.h"
#include "util/bits.h"

#define GUEST_GSO                                                                                  \
    (NET(GUEST_TSO4) | NET(GUEST_TSO6) | NET(GUEST_USO4) | NET(GUEST_USO6) | NET(GUEST_ECN))
#define LARGE_BYTES   20000u
#define LARGE_BUFFER  65600u
#define SEGMENT_BYTES 1448u

/* A large frame as a wire gives it to who can take it. */
static struct frame *given_large(struct check_ctx *t, const struct nic *k, bool ipv6)
{
    struct frame *f = given_tcp(t, k->mac, LARGE_BYTES, ipv6);

    f->header.gso_type = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    f->header.gso_size = le16_make(SEGMENT_BYTES);
    f->header.hdr_len = le16_make((uint16_t)f->given);
    return f;
}

CHECK(rx_frame_arrives, .judges = DEVICE, .proves = "xen.net.rx.1", .needs = NEEDS_WIRE,
      .title = "Frames of every length arrive whole, and nothing is written beside them")
{
    static const uint32_t lengths[] = {14, 15, 60, 61, 512, 1499, 1500, 1514};
    struct nic *k = given_nic(t, 0, 0, 1);

    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        struct frame *f = given_frame(t, k->mac, lengths[i], i);

        nic_post(k, 0, BUFFER_PLAIN);
        wire_send(t, f);
        (void)expect_frame(k, 0, f);
    }
}

CHECK(rx_bytes_behind_a_frame_are_untouched, .judges = DEVICE, .proves = "xen.net.rx.2",
      .needs = NEEDS_WIRE, .title = "No byte of a receive buffer behind the used length is written")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    struct frame *f = given_frame(t, k->mac, FRAME_SHORT, 2);
    struct buffer *b = nic_post(k, 0, BUFFER_PLAIN);
    bool clean = true;

    wire_send(t, f);
    (void)expect_frame(k, 0, f);
    for (uint32_t i = HDR_BYTES + f->bytes; i < b->bytes; i++)
        clean = clean && b->va[i] == 0;
    expect(t, MUST, clean, "bytes behind a received frame were written");
}

CHECK(rx_header_without_features, .judges = DEVICE,
      .proves = "net.processing-of-incoming-packets.device.1 "
                "net.processing-of-incoming-packets.device.5 "
                "net.processing-of-incoming-packets.device.11 "
                "net.processing-of-incoming-packets.device.12 "
                "net.processing-of-incoming-packets.device.26 "
                "net.processing-of-incoming-packets.device.27",
      .needs = NEEDS_WIRE,
      .title = "num_buffers is 1, flags and gso_type are 0 when no feature says more")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    struct frame *f = given_frame(t, k->mac, FRAME_SHORT, 3);
    struct virtio_net_hdr h;

    for (unsigned i = 0; i < 2; i++) {
        /* Once plain, once with a checksum that somebody validated. */
        f->header.flags = i ? VIRTIO_NET_HDR_F_DATA_VALID : 0;
        nic_post(k, 0, BUFFER_PLAIN);
        wire_send(t, f);
        h = expect_frame(k, 0, f);
        expect_eq(t, MUST, le16_get(h.num_buffers), 1, "num_buffers without MRG_RXBUF");
        expect_eq(t, MUST, h.flags, 0, "flags without GUEST_CSUM");
        expect_eq(t, MUST, h.gso_type, 0, "gso_type without segmentation");
    }
}

CHECK(rx_checksum_is_finished, .judges = DEVICE,
      .proves = "net.processing-of-incoming-packets.device.5 "
                "net.processing-of-incoming-packets.device.6",
      .needs = NEEDS_WIRE,
      .title = "Without GUEST_CSUM a frame comes with flags 0 and its checksum finished")
{
    struct nic *k = given_nic(t, 0, 0, 1);

    for (uint32_t bytes = 500; bytes < 502; bytes++) {
        struct frame *f = given_tcp(t, k->mac, bytes, false);
        uint32_t at = le16_get(f->header.csum_start) + le16_get(f->header.csum_offset);
        struct virtio_net_hdr h;
        struct buffer *b;
        uint32_t len;
        uint16_t is;

        nic_post(k, 0, BUFFER_PLAIN);
        wire_send(t, f);
        b = expect_received(k, 0, &len, &h);
        expect_eq(t, MUST, h.flags, 0, "flags without GUEST_CSUM");
        expect_eq(t, MUST, len, HDR_BYTES + bytes, "the used length");
        is = (uint16_t)(b->va[HDR_BYTES + at] << 8 | b->va[HDR_BYTES + at + 1]);
        expect(t, SHOULD, is == frame_csum(f), "the checksum is 0x%04x, it should be 0x%04x", is,
               frame_csum(f));
    }
}

CHECK(rx_checksum_is_left_to_the_driver, .judges = DEVICE,
      .proves = "net.processing-of-incoming-packets.device.19 "
                "net.processing-of-incoming-packets.device.20",
      .needs = NEEDS_WIRE,
      .title = "With GUEST_CSUM the checksum is finished, or csum_start and csum_offset say how to")
{
    struct nic *k = given_nic(t, NET(GUEST_CSUM), 0, 1);
    struct frame *f = given_tcp(t, k->mac, 800, false);
    uint32_t start = le16_get(f->header.csum_start), at = start + le16_get(f->header.csum_offset);
    uint32_t len, from, to;
    struct virtio_net_hdr h;
    struct frame *got = given_frame(t, k->mac, 800, 0);
    struct buffer *b;

    nic_post(k, 0, BUFFER_PLAIN);
    wire_send(t, f);
    b = expect_received(k, 0, &len, &h);
    expect_eq(t, MUST, len, HDR_BYTES + f->bytes, "the used length");
    if (len != HDR_BYTES + f->bytes)
        stop_check(t);
    memcpy(got->data, b->va + HDR_BYTES, f->bytes);
    if (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        from = le16_get(h.csum_start);
        to = from + le16_get(h.csum_offset);
        expect(t, MUST, from == start && to == at,
               "the checksum from %u is to be stored at %u, not from %u at %u", start, at, from,
               to);
        expect(t, MUST, memcmp(got->data, f->data, f->bytes) == 0,
               "a frame with a checksum to be finished arrived with other content");
    } else {
        expect(t, MUST, (got->data[at] << 8 | got->data[at + 1]) == frame_csum(f),
               "nothing is left to the driver, and the checksum is wrong");
    }
}

CHECK(rx_needs_no_segmentation_unasked, .judges = DEVICE,
      .proves = "net.processing-of-incoming-packets.device.7 "
                "net.processing-of-incoming-packets.device.8 "
                "net.processing-of-incoming-packets.device.9 "
                "net.processing-of-incoming-packets.device.10 "
                "net.processing-of-incoming-packets.device.27",
      .needs = NEEDS_WIRE, .title = "No gso_type that was not negotiated comes to the driver")
{
    struct nic *k = given_nic(t, NET(GUEST_CSUM), 0, 1);
    struct virtio_net_hdr h;
    struct buffer *b;
    uint32_t len;

    for (unsigned i = 0; i < 3; i++) {
        struct frame *f = given_large(t, k, i == 1);

        if (i == 2) {
            f->data[ETHER_BYTES + 9] = 17;
            f->header.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
            f->header.csum_offset = le16_make(6);
        }
        nic_post(k, 0, LARGE_BUFFER);
        wire_send(t, f);
        /* It may be cut into frames, or dropped. */
        b = nic_used(k, 0, &len, LIMIT_QUIET_NS);
        if (b && len >= HDR_BYTES) {
            memcpy(&h, b->va, sizeof(h));
            expect_eq(t, MUST, h.gso_type, VIRTIO_NET_HDR_GSO_NONE, "gso_type without a feature");
        }
    }
    expect(t, MUST, nic_receives(k, k->mac, -1), "nothing comes after frames that were too large");
}

CHECK(rx_large_frame_says_how_to_cut_it, .judges = DEVICE,
      .proves = "net.processing-of-incoming-packets.device.28 "
                "net.processing-of-incoming-packets.device.30",
      .needs = NEEDS_WIRE,
      .title = "With gso_type come NEEDS_CSUM and gso_size, and no RSC_INFO without RSC_EXT")
{
    struct nic *k = given_nic(t, NET(GUEST_CSUM) | NET(GUEST_TSO4), NET(GUEST_TSO6), 1);

    for (unsigned i = 0; i < 2; i++) {
        struct frame *f = given_large(t, k, i == 1);
        struct virtio_net_hdr h;

        if (i == 1 && !nic_has(k, VIRTIO_NET_F_GUEST_TSO6))
            break;
        nic_post(k, 0, LARGE_BUFFER);
        wire_send(t, f);
        h = expect_frame(k, 0, f);
        expect_eq(t, MUST, h.gso_type, f->header.gso_type, "gso_type");
        expect(t, MUST, h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
               "gso_type is %u without NEEDS_CSUM (flags 0x%x)", h.gso_type, h.flags);
        expect_eq(t, MUST, le16_get(h.gso_size), SEGMENT_BYTES, "gso_size");
        expect(t, MUST, !(h.flags & VIRTIO_NET_HDR_F_RSC_INFO), "RSC_INFO without RSC_EXT");
    }
}

CHECK(rx_header_length_covers_the_headers, .judges = DEVICE,
      .proves = "net.processing-of-incoming-packets.device.31", .needs = NEEDS_WIRE,
      .title = "hdr_len is not less than the headers, when large frames were negotiated")
{
    struct nic *k = given_nic(t, NET(GUEST_CSUM) | NET(GUEST_TSO4), 0, 1);
    struct frame *f = given_large(t, k, false);
    struct virtio_net_hdr h;

    nic_post(k, 0, LARGE_BUFFER);
    wire_send(t, f);
    h = expect_frame(k, 0, f);
    expect(t, SHOULD, le16_get(h.hdr_len) >= f->given, "hdr_len is %u, the headers have %u",
           le16_get(h.hdr_len), f->given);
}

/* ---- merging ---- */

CHECK(rx_frame_over_several_buffers, .judges = DEVICE,
      .proves = "net.setting-up-receive-buffers.device.1 "
                "net.processing-of-incoming-packets.device.2 "
                "net.processing-of-incoming-packets.device.3",
      .needs = NEEDS_WIRE,
      .title = "num_buffers counts the buffers of a frame, all but the last are full")
{
    struct nic *k = given_nic(t, NET(MRG_RXBUF), 0, 1);
    struct frame *f = given_frame(t, k->mac, 1500, 8);
    uint32_t sizes[] = {300, 100, 700, 600};
    struct virtio_net_hdr h;
    uint32_t at = 0, len;

    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++)
        nic_post(k, 0, sizes[i]);
    wire_send(t, f);
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct buffer *b = nic_used(k, 0, &len, LIMIT_REPLY_NS);
        uint32_t skip = i == 0 ? HDR_BYTES : 0;
        uint32_t want = i < 3 ? sizes[i] : HDR_BYTES + f->bytes - 1100;

        expect(t, MUST, b != NULL, "buffer %u of a frame over four was not used", i);
        if (!b)
            stop_check(t);
        if (i == 0) {
            memcpy(&h, b->va, sizeof(h));
            expect_eq(t, MUST, le16_get(h.num_buffers), 4, "num_buffers of a frame over four");
        }
        expect(t, MUST, len == want, "buffer %u of %u bytes was used with %u, not with %u", i,
               sizes[i], len, want);
        if (len != want)
            stop_check(t);
        expect(t, MUST, memcmp(b->va + skip, f->data + at, len - skip) == 0,
               "buffer %u of a frame has other content", i);
        at += len - skip;
    }
}

CHECK(rx_buffers_of_a_frame_come_together, .judges = DEVICE,
      .proves = "net.processing-of-incoming-packets.device.4", .needs = NEEDS_WIRE | NEED_SPLIT,
      .title = "When the first buffer of a frame is used, all are")
{
    struct nic *k = given_nic(t, NET(MRG_RXBUF), 0, 1);
    struct nic_queue *q = &k->rx[0];

    for (unsigned round = 0; round < 32; round++) {
        struct frame *f = given_frame(t, k->mac, 1500, round);
        uint16_t before = virtq_raw_used_idx_get(&q->ring->raw), now;
        uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
        uint32_t len;

        for (unsigned i = 0; i < 16; i++)
            nic_post(k, 0, 100);
        wire_send(t, f);
        /* Without a pause: one entry must never be seen alone. */
        do
            now = virtq_raw_used_idx_get(&q->ring->raw);
        while (now == before && given_now_ns() < deadline);
        expect(t, MUST, (uint16_t)(now - before) == 16,
               "%u of 16 buffers of a frame were used at first", (uint16_t)(now - before));
        for (unsigned i = 0; i < 16; i++)
            if (!nic_used(k, 0, &len, LIMIT_REPLY_NS))
                stop_check(t);
    }
}

CHECK(rx_one_buffer_without_merging, .judges = DEVICE,
      .proves = "net.setting-up-receive-buffers.device.2", .needs = NEEDS_WIRE,
      .title = "Without MRG_RXBUF a frame is in one buffer, or nowhere")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    struct frame *f = given_frame(t, k->mac, 1000, 9);
    struct frame *small = given_frame(t, k->mac, 60, 10);

    for (unsigned i = 0; i < 8; i++)
        nic_post(k, 0, 200);
    wire_send(t, f);
    wire_send(t, small);
    (void)expect_frame(k, 0, small);
    expect_no_frame(k, 0, MUST, "a frame that fits no buffer came in pieces");
}

/* ---- pressure ---- */

CHECK(rx_frames_wait_for_buffers, .judges = DEVICE, .proves = "xen.net.rx.3", .needs = NEEDS_WIRE,
      .title = "A driver that is late with buffers gets later frames, in order")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    struct frame *f = given_frame(t, k->mac, FRAME_SHORT, 0);
    unsigned sent = wire_send_many(t, f, 6), got = 0;
    uint8_t last = 0;
    uint32_t len;

    expect_no_frame(k, 0, MUST, "no buffer was posted");
    for (unsigned i = 0; i < sent; i++) {
        struct buffer *b;

        nic_post(k, 0, BUFFER_PLAIN);
        b = nic_used(k, 0, &len, LIMIT_REPLY_NS);
        if (!b)
            break;
        if (got)
            expect(t, MUST, (uint8_t)(b->va[HDR_BYTES + ETHER_BYTES] - last) >= 1,
                   "frames came out of order");
        last = b->va[HDR_BYTES + ETHER_BYTES];
        got++;
    }
    note(t, "frames", "%u of %u", got, sent);
    /* Frames may be lost on a network, but a device that stops is broken. */
    expect(t, SHOULD, got == sent, "%u of %u frames that waited for a buffer came", got, sent);
    expect(t, MUST, nic_receives(k, k->mac, -1), "nothing comes after buffers had run out");
}

CHECK(rx_mtu_is_kept, .judges = DEVICE, .proves = "net.device-configuration-layout.device.5",
      .needs = NEEDS_WIRE, .title = "No received frame exceeds the MTU that was negotiated")
{
    struct nic *k = given_nic(t, NET(MTU), 0, 1);
    uint16_t mtu = nic_config16(k, offsetof(struct virtio_net_config, mtu));
    struct frame *f = given_frame(t, k->mac, mtu + ETHER_BYTES, 11);

    if (f->bytes >= 65000)
        skip_check(t, "the MTU is as large as it can be");
    nic_post(k, 0, HDR_BYTES + f->bytes + 64);
    wire_send(t, f);
    (void)expect_frame(k, 0, f);
    f = given_frame(t, k->mac, mtu + ETHER_BYTES + 1, 12);
    nic_post(k, 0, HDR_BYTES + f->bytes + 64);
    wire_send(t, f);
    expect_no_frame(k, 0, MUST, "it was larger than the MTU");
}

/* queue_reset, and until it is done (4.1.4.3.1). */
static void reset_queue(struct nic *k, unsigned queue)
{
    struct check_ctx *t = k->d->t;

    common_set(k->d, FE_VPCI_FIELD(queue_select), queue);
    common_set(k->d, FE_VPCI_FIELD(queue_reset), 1);
    for (unsigned i = 0; i < 1000 && common_get(k->d, FE_VPCI_FIELD(queue_reset)); i++)
        given_pause();
    expect_eq(t, MUST, common_get(k->d, FE_VPCI_FIELD(queue_reset)), 0, "queue_reset");
}

CHECK(rx_queue_that_is_reset_gets_nothing, .judges = DEVICE,
      .proves = "net.automatic-receive-steering-in-multiqueue-mode.device.4",
      .needs = NEEDS_WIRE | NEED_RING_RESET | NEED_PCI,
      .title = "Frames are dropped while the only receive queue is reset")
{
    struct nic *k = given_nic(t, VIRTIO_F(VIRTIO_F_RING_RESET), 0, 1);
    struct frame *f = given_frame(t, k->mac, FRAME_SHORT, 13);

    nic_post(k, 0, BUFFER_PLAIN);
    reset_queue(k, VIRTIO_NET_RX_QUEUE(0));
    wire_send(t, f);
    expect_no_frame(k, 0, MUST, "the queue was reset");
    nic_restart(k, 0, 1);
    expect(t, MUST, nic_receives(k, k->mac, -1), "nothing comes after the reset of a queue");
}

CHECK(rx_queue_that_is_reset_is_passed_over, .judges = DEVICE,
      .proves = "net.automatic-receive-steering-in-multiqueue-mode.device.3",
      .needs = NEEDS_WIRE | NEED_RING_RESET | NEED_PCI,
      .title = "Frames for a receive queue that is reset come to another one")
{
    struct nic *k = given_nic(t, VIRTIO_F(VIRTIO_F_RING_RESET) | NET(MQ) | NET(CTRL_VQ), 0, 2);
    le16_t pairs = le16_make(2);
    unsigned came = 0;
    uint32_t len;

    if (k->pairs < 2)
        skip_check(t, "the device has one pair");
    expect_command(k, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, sizeof(pairs),
                   VIRTIO_NET_OK, "two pairs");
    reset_queue(k, VIRTIO_NET_RX_QUEUE(1));
    /* Of many flows some are for either queue. */
    for (uint16_t flow = 0; flow < 8; flow++) {
        nic_post(k, 0, BUFFER_PLAIN);
        wire_send(t, given_udp(t, k->mac, (uint16_t)(3000 + 17 * flow), true));
        came += nic_used(k, 0, &len, LIMIT_REPLY_NS) != NULL;
    }
    note(t, "came", "%u of 8", came);
    expect(t, SHOULD, came == 8, "%u of 8 frames came while a queue was reset", came);
}
