/* SPDX-License-Identifier: MIT */
/* A network driver that does everything wrong: the device may drop, refuse or ask for a reset, but
 * it lives. */
#define CHECK_FAMILY "net"

#include <string.h>

#include "conformance/netdev.h"
#include "util/bits.h"

/* Give one chain to a queue; it is used, or the device asks for a reset: either is an end. */
static void provoke(struct nic *k, struct nic_queue *q, const struct piece *p, unsigned n)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    struct virtq_raw_used u;
    bool over = false;

    ring_offer(q->ring, ring_chain(q->ring, q->next, p, n));
    q->next += n;
    ring_kick(q->ring);
    while (!over && given_now_ns() < deadline)
        over = ring_used(q->ring, &u, MS(1)) ||
               (device_status(k->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET);
    expect(k->d->t, SHOULD, over, "the device neither used the chain nor asked for a reset");
}

CHECK(hostile_transmit_headers, .judges = DEVICE, .proves = "xen.net.hostile.1",
      .needs = NEEDS_WIRE,
      .title = "Headers that contradict their frame or what was negotiated do no harm")
{
    struct nic *k = given_nic(t, 0, NET(CSUM) | NET(HOST_TSO4) | NET(HOST_USO), 1);
    static const struct virtio_net_hdr bad[] = {
        {.flags = 1, .csum_start = {0xffff}, .csum_offset = {0xffff}},
        {.flags = 1, .csum_start = {FRAME_SHORT}, .csum_offset = {0}},
        {.flags = 1, .csum_start = {FRAME_SHORT - 1}, .csum_offset = {0}},
        {.flags = 1, .csum_start = {0}, .csum_offset = {FRAME_SHORT - 1}},
        {.flags = 1, .gso_type = 1, .csum_start = {34}, .csum_offset = {16}},
        {.flags = 1, .gso_type = 1, .gso_size = {1}, .csum_start = {0xfff0}},
        {.flags = 0, .gso_type = 1, .gso_size = {100}},
        {.flags = 1, .gso_type = 2, .gso_size = {100}},
        {.flags = 1, .gso_type = 3, .gso_size = {100}},
        {.flags = 1, .gso_type = 4, .gso_size = {100}, .hdr_len = {0xffff}},
        {.flags = 1, .gso_type = 0x81, .gso_size = {0xffff}, .hdr_len = {0}},
        {.flags = 0xff, .gso_type = 0xff, .gso_size = {0xffff}, .hdr_len = {0xffff}},
        {.flags = 0, .gso_type = 0x60, .gso_size = {100}},
        {.num_buffers = {0xffff}},
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct frame *f = given_frame(t, net_stranger, FRAME_SHORT, i);

        f->header = bad[i];
        nic_send(k, 0, f);
    }
    expect_nic_recovers(k, "headers that cannot be");
}

CHECK(hostile_transmit_lengths, .judges = DEVICE, .proves = "xen.net.hostile.2",
      .needs = NEEDS_WIRE, .title = "Frames of 0 to 13 bytes, of 64 KiB and more do no harm")
{
    struct nic *k = given_nic(t, 0, NET(CSUM) | NET(HOST_TSO4), 1);
    static const uint32_t lengths[] = {0, 1, 13, 65535, 65590, 69000};

    for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++)
        nic_send(k, 0, given_frame(t, net_stranger, lengths[i], i));
    expect_nic_recovers(k, "frames of lengths that cannot be");
}

CHECK(hostile_transmit_without_header, .judges = DEVICE, .proves = "xen.net.hostile.3",
      .needs = NEEDS_WIRE, .title = "A chain that is shorter than the header does no harm")
{
    for (uint32_t bytes = 1; bytes < HDR_BYTES; bytes += 5) {
        struct nic *k = given_nic(t, 0, 0, 1);
        struct buffer *b = given_buffer(k->d, bytes, 0, FE_DMA_TO_DEVICE);
        struct piece p = piece_of(b, false);

        provoke(k, &k->tx[0], &p, 1);
        expect_nic_recovers(k, "a frame without a whole header");
    }
}

CHECK(hostile_transmit_writable_only, .judges = DEVICE, .proves = "xen.net.hostile.4",
      .needs = NEEDS_WIRE, .title = "A transmit chain that can only be written does no harm")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    struct buffer *b = given_buffer(k->d, 64, 0, FE_DMA_FROM_DEVICE);
    struct piece p = piece_of(b, true);

    provoke(k, &k->tx[0], &p, 1);
    expect_canaries(t, b, "a buffer in the wrong queue");
    expect_nic_recovers(k, "a transmit chain without a readable byte");
}

CHECK(hostile_receive_buffers, .judges = DEVICE, .proves = "xen.net.hostile.5", .needs = NEEDS_WIRE,
      .title = "Receive buffers without room for a header, or that cannot be written, do no harm")
{
    for (unsigned i = 0; i < 3; i++) {
        struct nic *k = given_nic(t, 0, i ? NET(MRG_RXBUF) : 0, 1);
        struct buffer *b =
            given_buffer(k->d, i == 2 ? 64 : 11, 0, i == 2 ? FE_DMA_TO_DEVICE : FE_DMA_FROM_DEVICE);
        struct piece p = piece_of(b, i != 2);

        ring_offer(k->rx[0].ring, ring_chain(k->rx[0].ring, 0, &p, 1));
        ring_kick(k->rx[0].ring);
        /* Whether it is looked at before a frame comes is the device's affair. */
        wire_send(t, given_frame(t, k->mac, FRAME_SHORT, i));
        wire_send(t, given_frame(t, k->mac, FRAME_SHORT, i));
        (void)device_status_wait(k->d, VIRTIO_STATUS_DEVICE_NEEDS_RESET,
                                 VIRTIO_STATUS_DEVICE_NEEDS_RESET, LIMIT_QUIET_NS);
        expect_nic_recovers(k, "a receive buffer of no use");
    }
}

CHECK(hostile_command_lengths, .judges = DEVICE, .proves = "xen.net.hostile.6", .needs = NEEDS_NIC,
      .title = "Commands that are too short or too long are refused")
{
    struct nic *k = given_nic(t, NET(CTRL_VQ) | NET(CTRL_RX),
                              NET(CTRL_VLAN) | NET(MQ) | NET(CTRL_MAC_ADDR) |
                                  NET(CTRL_GUEST_OFFLOADS) | NET(GUEST_ANNOUNCE),
                              1);
    static const struct {
        uint8_t class_, command;
        unsigned feature;
        uint32_t right;
    } commands[] = {
        {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX, 1},
        {VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_F_CTRL_MAC_ADDR, 6},
        {VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, VIRTIO_NET_F_CTRL_VLAN, 2},
        {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ, 2},
        {VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
         VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, 8},
    };
    uint8_t data[16] = {0};

    data[0] = 1;
    for (unsigned i = 0; i < ARRAY_LENGTH(commands); i++) {
        if (!nic_has(k, commands[i].feature))
            continue;
        expect_command(k, commands[i].class_, commands[i].command, data, commands[i].right - 1,
                       VIRTIO_NET_ERR, "a command that is a byte too short");
        expect_command(k, commands[i].class_, commands[i].command, data, commands[i].right + 1,
                       VIRTIO_NET_ERR, "a command that is a byte too long");
    }
}

CHECK(hostile_address_tables, .judges = DEVICE, .proves = "xen.net.hostile.7", .needs = NEEDS_NIC,
      .title = "Tables that say more entries than there are get VIRTIO_NET_ERR")
{
    struct nic *k = given_nic(t, NET(CTRL_VQ) | NET(CTRL_RX), 0, 1);
    static const uint32_t entries[] = {1, 2, 1000, 0x2aaaaaab, 0x55555556, 0x7fffffff, 0xffffffff};
    uint8_t data[2048] = {0};

    for (unsigned i = 0; i < ARRAY_LENGTH(entries); i++) {
        le32_t count = le32_make(entries[i]);

        memcpy(data, &count, sizeof(count));
        expect_command(k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, data, 8,
                       VIRTIO_NET_ERR, "a table with more entries than data");
    }
    /* Many that are there: taken, or refused, but not believed to fit anywhere. */
    memset(data, 0, sizeof(data));
    data[0] = 0x40;
    data[1] = 1; /* 320 */
    expect(t, MUST,
           nic_command(k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, data,
                       4 + 320 * VIRTIO_NET_MAC_BYTES + 4) <= VIRTIO_NET_ERR,
           "a table of 320 addresses has another answer than OK or ERR");
    expect_eq(t, MUST, nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, true), VIRTIO_NET_OK,
              "the answer to a command afterwards");
}

CHECK(hostile_command_without_answer, .judges = DEVICE, .proves = "xen.net.hostile.8",
      .needs = NEEDS_WIRE,
      .title = "Commands without room for an answer, or without a command, do no harm")
{
    for (unsigned i = 0; i < 2; i++) {
        struct nic *k = given_nic(t, NET(CTRL_VQ), 0, 1);
        struct buffer *b = given_buffer(k->d, 3, 0, i ? FE_DMA_FROM_DEVICE : FE_DMA_TO_DEVICE);
        struct piece p = piece_of(b, i);

        provoke(k, &k->ctrl, &p, 1);
        expect_nic_recovers(k, "a command that is none");
    }
}

CHECK(hostile_wire_headers, .judges = DEVICE, .proves = "xen.net.hostile.9", .needs = NEEDS_WIRE,
      .title = "What the wire says of a frame is checked before the driver is told")
{
    struct nic *k = given_nic(t, 0, NET(GUEST_CSUM) | NET(GUEST_TSO4), 1);
    static const struct virtio_net_hdr bad[] = {
        {.flags = 1, .csum_start = {0xffff}, .csum_offset = {0xffff}},
        {.flags = 1, .csum_start = {FRAME_SHORT - 1}, .csum_offset = {0}},
        {.flags = 1, .gso_type = 1, .csum_start = {34}, .csum_offset = {16}},
        {.flags = 0, .gso_type = 1, .gso_size = {100}},
        {.flags = 1, .gso_type = 9, .gso_size = {100}},
    };
    struct virtio_net_hdr h;
    uint32_t len;

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct frame *f = given_frame(t, k->mac, FRAME_SHORT, i);
        struct buffer *b;

        f->header = bad[i];
        nic_post(k, 0, BUFFER_PLAIN);
        wire_send(t, f);
        b = nic_used(k, 0, &len, LIMIT_QUIET_NS);
        if (!b || len < HDR_BYTES)
            continue;
        memcpy(&h, b->va, sizeof(h));
        expect(t, MUST,
               !(h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
                   le16_get(h.csum_start) + le16_get(h.csum_offset) + 2u <= len - HDR_BYTES,
               "the driver is told to store a checksum at %u of a frame of %u bytes",
               le16_get(h.csum_start) + le16_get(h.csum_offset), len - HDR_BYTES);
        expect(t, MUST, h.gso_type == 0 || le16_get(h.gso_size) != 0,
               "the driver is told to cut a frame into pieces of 0 bytes");
    }
    expect_nic_recovers(k, "headers from the wire that cannot be");
}
