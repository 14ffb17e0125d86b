/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.1.6.2: what the driver transmits. */
#define CHECK_FAMILY "net"

#include <string.h>

#include "conformance/netdev.h"
#include "util/bits.h"

#define LARGE_BYTES   20000u
#define SEGMENT_BYTES 1448u

CHECK(tx_frame_reaches_the_wire, .judges = DEVICE, .proves = "xen.net.tx.1", .needs = NEEDS_WIRE,
      .title = "Frames of every length reach the wire whole, and their used length is 0")
{
    static const uint32_t lengths[] = {14, 15, 60, 61, 512, 1499, 1500, 1514};
    struct nic *k = given_nic(t, 0, 0, 1);
    struct wire_frame w;

    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        struct frame *f = given_frame(t, net_stranger, lengths[i], i);

        nic_send(k, 0, f);
        expect_on_wire(t, f, &w);
    }
}

CHECK(tx_frame_in_any_pieces, .judges = DEVICE, .proves = "xen.net.tx.2", .needs = NEEDS_WIRE,
      .title = "Header and frame may be cut anywhere into descriptors (2.7.4)")
{
    static const uint32_t cuts[][4] = {
        {HDR_BYTES, 1, 1, 4000}, {1, 11, 14, 4000}, {5, 20, 3, 100}, {13, 1, 4000, 4000}};
    struct nic *k = given_nic(t, 0, 0, 1);
    struct wire_frame w;

    for (unsigned i = 0; i < ARRAY_LENGTH(cuts); i++) {
        struct frame *f = given_frame(t, net_stranger, 1200, 20 + i);

        nic_send_cut(k, 0, f, cuts[i], 4);
        expect_on_wire(t, f, &w);
    }
}

CHECK(tx_unknown_flags_are_ignored, .judges = DEVICE, .proves = "net.packet-transmission.device.1",
      .needs = NEEDS_WIRE, .title = "Bits of flags that mean nothing change nothing")
{
    struct nic *k = given_nic(t, 0, NET(CSUM), 1);
    struct frame *f = given_frame(t, net_stranger, FRAME_SHORT, 30);
    struct wire_frame w;

    for (unsigned bit = 3; bit < 8; bit++) {
        f->header.flags = (uint8_t)(1u << bit);
        nic_send(k, 0, f);
        expect_on_wire(t, f, &w);
    }
}

CHECK(tx_checksum_fields_count_with_their_flag_only, .judges = DEVICE,
      .proves = "net.packet-transmission.device.2 net.packet-transmission.device.11",
      .needs = NEEDS_WIRE,
      .title = "Without NEEDS_CSUM csum_start is not used and no checksum is believed or mended")
{
    struct nic *k = given_nic(t, 0, NET(CSUM), 1);
    static const uint16_t starts[] = {0, 34, 60000, 0xffff};
    struct wire_frame w;

    for (unsigned i = 0; i < ARRAY_LENGTH(starts); i++) {
        struct frame *f = given_tcp(t, net_stranger, 400, false); /* its checksum is wrong */

        f->header.flags = 0;
        f->header.csum_start = le16_make(starts[i]);
        f->header.csum_offset = le16_make(i == 1 ? 16 : 0xffff);
        nic_send(k, 0, f);
        expect_on_wire(t, f, &w);
        expect(t, MUST, !(w.header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM),
               "the wire is asked for a checksum that the driver did not ask for");
    }
}

CHECK(tx_checksum_is_finished_or_handed_on, .judges = DEVICE, .proves = "xen.net.tx.3",
      .needs = NEEDS_WIRE, .title = "With CSUM a checksum that the driver left is not lost")
{
    struct nic *k = given_nic(t, NET(CSUM), 0, 1);
    struct frame *f = given_tcp(t, net_stranger, 200, false);
    uint32_t at = le16_get(f->header.csum_start) + le16_get(f->header.csum_offset);
    struct wire_frame w;
    bool came;

    nic_send(k, 0, f);
    came = wire_recv(t, &w, LIMIT_REPLY_NS);
    expect(t, MUST, came, "a frame with NEEDS_CSUM did not reach the wire");
    if (!came)
        stop_check(t);
    if (w.header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        expect_eq(t, MUST, le16_get(w.header.csum_start), le16_get(f->header.csum_start),
                  "csum_start on the wire");
        expect_eq(t, MUST, le16_get(w.header.csum_offset), le16_get(f->header.csum_offset),
                  "csum_offset on the wire");
    } else {
        expect_eq(t, MUST, w.head[at] << 8 | w.head[at + 1], frame_csum(f),
                  "the checksum on the wire, which nobody finishes any more");
    }
}

CHECK(tx_header_length_is_a_hint, .judges = DEVICE, .proves = "net.packet-transmission.device.7",
      .needs = NEEDS_WIRE, .title = "A large frame is sent whatever hdr_len says")
{
    struct nic *k = given_nic(t, NET(CSUM) | NET(HOST_TSO4), 0, 1);
    static const uint16_t lengths[] = {0, 1, 54, 1000, LARGE_BYTES, LARGE_BYTES + 1, 0xffff};
    struct wire_frame w;

    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
        struct frame *f = given_tcp(t, net_stranger, LARGE_BYTES, false);

        f->header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
        f->header.gso_size = le16_make(SEGMENT_BYTES);
        f->header.hdr_len = le16_make(lengths[i]);
        nic_send(k, 0, f);
        expect_on_wire(t, f, &w);
    }
}

CHECK(tx_frame_of_the_mtu_is_forwarded, .judges = DEVICE,
      .proves = "net.device-configuration-layout.device.6", .needs = NEEDS_WIRE,
      .title = "A frame of the negotiated MTU is sent in one piece")
{
    struct nic *k = given_nic(t, NET(MTU), 0, 1);
    uint16_t mtu = nic_config16(k, offsetof(struct virtio_net_config, mtu));
    struct frame *f = given_frame(t, net_stranger, mtu + ETHER_BYTES, 31);
    struct wire_frame w;

    nic_send(k, 0, f);
    expect_on_wire(t, f, &w);
}

CHECK(tx_keeps_the_order, .judges = DEVICE, .proves = "xen.net.tx.4", .needs = NEEDS_WIRE,
      .title = "Frames of one queue reach the wire in the order in which they were available")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    struct nic_queue *q = &k->tx[0];
    enum { FRAMES = 16 };
    struct buffer *b = given_buffer(k->d, FRAMES * (HDR_BYTES + FRAME_SHORT), 0, FE_DMA_TO_DEVICE);
    struct wire_frame w;

    for (unsigned i = 0; i < FRAMES; i++) {
        struct frame *f = given_frame(t, net_stranger, FRAME_SHORT, i);
        uint32_t at = i * (HDR_BYTES + FRAME_SHORT);
        struct piece p = piece_part(b, at, HDR_BYTES + FRAME_SHORT, false);

        memcpy(b->va + at, &f->header, HDR_BYTES);
        memcpy(b->va + at + HDR_BYTES, f->data, f->bytes);
        ring_offer(q->ring, ring_chain(q->ring, q->next++, &p, 1));
    }
    ring_kick(q->ring);
    for (unsigned i = 0; i < FRAMES; i++) {
        struct frame *f = given_frame(t, net_stranger, FRAME_SHORT, i);

        expect_on_wire(t, f, &w);
        (void)expect_used(q->ring, (uint16_t)(i % q->ring->size));
    }
    buffer_release(b);
}

CHECK(tx_goes_on_when_the_wire_was_slow, .judges = DEVICE, .proves = "xen.net.tx.5",
      .needs = NEEDS_WIRE,
      .title = "A full ring is emptied, also when nobody takes frames off the wire for a while")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    struct nic_queue *q = &k->tx[0];
    struct frame *f = given_frame(t, net_stranger, 1500, 40);
    struct buffer *b = given_buffer(k->d, HDR_BYTES + f->bytes, 0, FE_DMA_TO_DEVICE);
    struct piece p = piece_of(b, false);
    unsigned offered = 0, used = 0, size = q->ring->size;
    uint64_t deadline = given_now_ns() + MS(20000);
    struct virtq_raw_used u;
    struct wire_frame w;

    memset(b->va, 0, HDR_BYTES);
    memcpy(b->va + HDR_BYTES, f->data, f->bytes);
    /* More than any socket holds by default, all of one buffer. */
    while (used < 16 * size && given_now_ns() < deadline) {
        while (offered - used < size && offered < 16 * size) {
            ring_offer(q->ring, ring_chain(q->ring, q->next++, &p, 1));
            offered++;
        }
        ring_kick(q->ring);
        while (ring_used(q->ring, &u, MS(2)))
            used++;
        if (offered - used == size || offered == 16 * size)
            while (wire_recv(t, &w, 0))
                continue;
    }
    expect(t, MUST, used == 16 * size, "%u of %u frames were used", used, 16 * size);
    buffer_release(b);
}
