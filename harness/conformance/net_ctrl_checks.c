/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.1.6.5: the control queue. */
#define CHECK_FAMILY "net"

#include <string.h>

#include "conformance/netdev.h"
#include "util/bits.h"

#define CONTROL (NET(CTRL_VQ) | NET(CTRL_RX))

/* ---- receive modes ---- */

CHECK(ctrl_receive_modes_are_supported, .judges = DEVICE,
      .proves = "net.packet-receive-filtering.device.1", .needs = NEEDS_NIC,
      .title = "With CTRL_RX promiscuous and all-multicast mode can be set and cleared")
{
    struct nic *k = given_nic(t, CONTROL, 0, 1);

    for (uint8_t mode = VIRTIO_NET_CTRL_RX_PROMISC; mode <= VIRTIO_NET_CTRL_RX_ALLMULTI; mode++)
        for (unsigned on = 2; on-- > 0;)
            expect(t, MUST, nic_mode(k, mode, on) == VIRTIO_NET_OK, "mode %u cannot be set to %u",
                   mode, on);
}

CHECK(ctrl_extra_receive_modes_are_supported, .judges = DEVICE,
      .proves = "net.packet-receive-filtering.device.5", .needs = NEEDS_NIC,
      .title = "With CTRL_RX_EXTRA the four further modes can be set and cleared")
{
    struct nic *k = given_nic(t, CONTROL | NET(CTRL_RX_EXTRA), 0, 1);

    for (uint8_t mode = VIRTIO_NET_CTRL_RX_ALLUNI; mode <= VIRTIO_NET_CTRL_RX_NOBCAST; mode++)
        for (unsigned on = 2; on-- > 0;)
            expect(t, MUST, nic_mode(k, mode, on) == VIRTIO_NET_OK, "mode %u cannot be set to %u",
                   mode, on);
}

CHECK(ctrl_promiscuous_receives_all, .judges = DEVICE,
      .proves = "net.packet-receive-filtering.device.2 net.packet-receive-filtering.device.3",
      .needs = NEEDS_WIRE, .title = "Promiscuous mode lets all frames pass, whatever else is set")
{
    struct nic *k = given_nic(t, CONTROL, NET(CTRL_RX_EXTRA), 1);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, true);
    expect(t, SHOULD, nic_receives(k, net_stranger, -1), "a stranger's frame does not come");
    expect(t, SHOULD, nic_receives(k, net_group, -1), "a multicast frame does not come");
    if (!nic_has(k, VIRTIO_NET_F_CTRL_RX_EXTRA))
        return;
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_NOMULTI, true);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_NOUNI, true);
    expect(t, SHOULD, nic_receives(k, net_stranger, -1),
           "with NOUNI a stranger's frame does not come in promiscuous mode");
    expect(t, SHOULD, nic_receives(k, net_group, -1),
           "with NOMULTI a multicast frame does not come in promiscuous mode");
}

CHECK(ctrl_all_multicast_receives_multicast, .judges = DEVICE,
      .proves = "net.packet-receive-filtering.device.4", .needs = NEEDS_WIRE,
      .title = "All-multicast mode lets multicast frames pass")
{
    struct nic *k = given_nic(t, CONTROL, 0, 1);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_ALLMULTI, true);
    expect(t, SHOULD, nic_receives(k, net_group, -1), "a multicast frame does not come");
}

CHECK(ctrl_all_unicast_receives_unicast, .judges = DEVICE,
      .proves = "net.packet-receive-filtering.device.6", .needs = NEEDS_WIRE,
      .title = "All-unicast mode lets unicast frames pass")
{
    struct nic *k = given_nic(t, CONTROL | NET(CTRL_RX_EXTRA), 0, 1);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_ALLUNI, true);
    expect(t, SHOULD, nic_receives(k, net_stranger, -1), "a stranger's frame does not come");
}

CHECK(ctrl_multicast_is_suppressed, .judges = DEVICE,
      .proves = "net.packet-receive-filtering.device.7 net.packet-receive-filtering.device.8 "
                "net.packet-receive-filtering.device.9",
      .needs = NEEDS_WIRE, .title = "NOMULTI beats ALLMULTI and leaves broadcast alone")
{
    struct nic *k = given_nic(t, CONTROL | NET(CTRL_RX_EXTRA), 0, 1);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_ALLMULTI, true);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_NOMULTI, true);
    expect(t, SHOULD, !nic_receives(k, net_group, -1), "a multicast frame comes");
    expect(t, SHOULD, nic_receives(k, net_broadcast, -1), "a broadcast frame does not come");
}

CHECK(ctrl_unicast_is_suppressed, .judges = DEVICE,
      .proves = "net.packet-receive-filtering.device.10 net.packet-receive-filtering.device.11",
      .needs = NEEDS_WIRE, .title = "NOUNI beats ALLUNI")
{
    struct nic *k = given_nic(t, CONTROL | NET(CTRL_RX_EXTRA), 0, 1);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_ALLUNI, true);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_NOUNI, true);
    expect(t, SHOULD, !nic_receives(k, net_stranger, -1), "a stranger's frame comes");
    expect(t, SHOULD, !nic_receives(k, k->mac, -1), "a frame to the device's address comes");
}

CHECK(ctrl_broadcast_is_suppressed, .judges = DEVICE,
      .proves = "net.packet-receive-filtering.device.12 net.packet-receive-filtering.device.13",
      .needs = NEEDS_WIRE, .title = "NOBCAST suppresses broadcast, also with ALLMULTI")
{
    struct nic *k = given_nic(t, CONTROL | NET(CTRL_RX_EXTRA), 0, 1);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_ALLMULTI, true);
    expect(t, SHOULD, nic_receives(k, net_broadcast, -1), "a broadcast frame does not come");
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_NOBCAST, true);
    expect(t, SHOULD, !nic_receives(k, net_broadcast, -1), "a broadcast frame comes");
}

/* ---- addresses ---- */

struct mac_table {
    le32_t uni_count;
    uint8_t uni[VIRTIO_NET_MAC_BYTES];
    uint8_t multi_count[4]; /* not aligned */
    uint8_t multi[VIRTIO_NET_MAC_BYTES];
} __attribute__((packed));

static struct mac_table table_of(const uint8_t *uni, const uint8_t *multi)
{
    struct mac_table m = {.uni_count = le32_make(1), .multi_count = {1}};

    memcpy(m.uni, uni, sizeof(m.uni));
    memcpy(m.multi, multi, sizeof(m.multi));
    return m;
}

CHECK(ctrl_address_table_lets_pass, .judges = DEVICE,
      .proves = "net.setting-mac-address-filtering.device.2", .needs = NEEDS_WIRE,
      .title = "The table is in force when the command is used")
{
    struct nic *k = given_nic(t, CONTROL, 0, 1);
    struct mac_table m = table_of(net_stranger, net_group);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    expect_command(k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, &m, sizeof(m),
                   VIRTIO_NET_OK, "a table of two addresses");
    expect(t, MUST, nic_receives(k, net_stranger, -1),
           "a frame to a unicast address of the table does not come");
    expect(t, MUST, nic_receives(k, net_group, -1),
           "a frame to a multicast address of the table does not come");
    expect(t, MUST, nic_receives(k, k->mac, -1), "a frame to the device's address does not come");
}

CHECK(ctrl_address_table_is_empty_after_reset, .judges = DEVICE,
      .proves = "net.setting-mac-address-filtering.device.1", .needs = NEEDS_WIRE,
      .title = "What was in the table before a reset is not in it afterwards")
{
    struct nic *k = given_nic(t, CONTROL, 0, 1);
    struct mac_table m = table_of(net_stranger, net_group);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    if (nic_receives(k, net_stranger, -1))
        skip_check(t, "this device does not filter by its table");
    expect_command(k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, &m, sizeof(m),
                   VIRTIO_NET_OK, "a table of two addresses");
    nic_restart(k, CONTROL, 1);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    expect(t, MUST, !nic_receives(k, net_stranger, -1),
           "a frame to an address that was in the table before the reset comes");
}

CHECK(ctrl_frames_to_others_are_dropped, .judges = DEVICE,
      .proves = "net.setting-mac-address-filtering.device.4", .needs = NEEDS_WIRE,
      .title = "A frame to neither mac nor an address of the table is dropped")
{
    struct nic *k = given_nic(t, CONTROL, 0, 1);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_ALLMULTI, false);
    expect(t, SHOULD, !nic_receives(k, net_stranger, -1), "a stranger's frame comes");
    expect(t, SHOULD, !nic_receives(k, net_group, -1), "a multicast frame comes");
    expect(t, MUST, nic_receives(k, k->mac, -1), "a frame to the device's address does not come");
}

CHECK(ctrl_address_is_in_the_configuration, .judges = DEVICE,
      .proves = "net.setting-mac-address-filtering.device.3", .needs = NEEDS_WIRE,
      .title = "mac is the new address when the command is used, and frames to it come")
{
    struct nic *k = given_nic(t, CONTROL | NET(CTRL_MAC_ADDR) | NET(MAC), 0, 1);
    static const uint8_t other[VIRTIO_NET_MAC_BYTES] = {0x02, 0xab, 0xcd, 0xef, 0x01, 0x02};
    uint8_t is[VIRTIO_NET_MAC_BYTES];

    expect_command(k, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, sizeof(other),
                   VIRTIO_NET_OK, "an address");
    nic_config_mac(k, is);
    expect(t, MUST, memcmp(is, other, sizeof(is)) == 0, "mac is not what the command set");
    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    expect(t, MUST, nic_receives(k, other, -1), "a frame to the new address does not come");
}

/* ---- VLANs ---- */

CHECK(ctrl_tagged_frames_come_without_a_filter, .judges = DEVICE,
      .proves = "net.vlan-filtering.device.1", .needs = NEEDS_WIRE,
      .title = "Without CTRL_VLAN every tagged frame comes")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    static const int ids[] = {0, 1, 77, 4095};

    for (unsigned i = 0; i < ARRAY_LENGTH(ids); i++)
        expect(t, MUST, nic_receives(k, k->mac, ids[i]), "a frame of VLAN %d does not come",
               ids[i]);
}

CHECK(ctrl_vlan_filter, .judges = DEVICE,
      .proves = "net.vlan-filtering.device.2 net.vlan-filtering.device.3", .needs = NEEDS_WIRE,
      .title = "Frames of a VLAN in the table come, others do not")
{
    struct nic *k = given_nic(t, CONTROL | NET(CTRL_VLAN), 0, 1);
    le16_t id = le16_make(77);

    (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, false);
    expect(t, SHOULD, !nic_receives(k, k->mac, 77), "a frame of a VLAN that was not added comes");
    expect_command(k, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &id, sizeof(id),
                   VIRTIO_NET_OK, "adding a VLAN");
    expect(t, MUST, nic_receives(k, k->mac, 77), "a frame of a VLAN that was added does not come");
    expect(t, SHOULD, !nic_receives(k, k->mac, 78), "a frame of another VLAN comes");
    expect(t, MUST, nic_receives(k, k->mac, -1), "a frame without a tag does not come");
    expect_command(k, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, &id, sizeof(id),
                   VIRTIO_NET_OK, "removing a VLAN");
    expect(t, SHOULD, !nic_receives(k, k->mac, 77), "a frame of a VLAN that was removed comes");
}

/* ---- several queues ---- */

static void set_pairs(struct nic *k, unsigned pairs)
{
    le16_t value = le16_make((uint16_t)pairs);

    expect_command(k, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &value, sizeof(value),
                   VIRTIO_NET_OK, "a number of pairs");
}

/* Frames of many flows; how many came to each of the first `pairs` receive queues. */
static void spread(struct nic *k, unsigned pairs, unsigned *came)
{
    struct check_ctx *t = k->d->t;
    enum { FLOWS = 24 };
    uint32_t len;

    for (unsigned i = 0; i < k->pairs; i++)
        while (nic_used(k, i, &len, 0))
            continue;
    for (unsigned flow = 0; flow < FLOWS; flow++) {
        for (unsigned i = 0; i < k->pairs; i++)
            nic_post(k, i, BUFFER_PLAIN);
        wire_send(t, given_udp(t, k->mac, (uint16_t)(1000 + 13 * flow), true));
        for (unsigned turn = 0, before = came[0] + came[1]; turn < 2000; turn++) {
            for (unsigned i = 0; i < pairs; i++)
                came[i] += nic_used(k, i, &len, 0) != NULL;
            if (came[0] + came[1] != before)
                break;
            given_pause();
        }
    }
}

CHECK(mq_begins_with_one_pair, .judges = DEVICE,
      .proves = "net.automatic-receive-steering-in-multiqueue-mode.device.1", .needs = NEEDS_WIRE,
      .title = "Before VQ_PAIRS_SET all frames come to receiveq1")
{
    struct nic *k = given_nic(t, NET(MQ) | NET(CTRL_VQ), 0, 2);
    unsigned came[2] = {0};

    if (k->pairs < 2)
        skip_check(t, "the device has one pair");
    spread(k, 2, came);
    expect(t, MUST, came[0] > 0, "no frame came to receiveq1");
    expect(t, MUST, came[1] == 0, "%u frames came to receiveq2 before it was asked for", came[1]);
}

CHECK(mq_keeps_to_the_pairs, .judges = DEVICE,
      .proves = "net.automatic-receive-steering-in-multiqueue-mode.device.2", .needs = NEEDS_WIRE,
      .title = "After a smaller number was set no frame comes to the queues beyond")
{
    struct nic *k = given_nic(t, NET(MQ) | NET(CTRL_VQ), 0, 2);
    unsigned came[2] = {0};

    if (k->pairs < 2)
        skip_check(t, "the device has one pair");
    set_pairs(k, 2);
    spread(k, 2, came);
    note(t, "spread", "%u and %u", came[0], came[1]);
    set_pairs(k, 1);
    memset(came, 0, sizeof(came));
    spread(k, 2, came);
    expect(t, MUST, came[0] > 0, "no frame came to receiveq1");
    expect(t, MUST, came[1] == 0, "%u frames came to receiveq2 after it was given up", came[1]);
}

CHECK(mq_answers_come_where_the_flow_was_sent, .judges = DEVICE, .proves = "xen.net.mq.1",
      .needs = NEEDS_WIRE,
      .title = "Frames of a flow come to the pair that it was last transmitted on")
{
    struct nic *k = given_nic(t, NET(MQ) | NET(CTRL_VQ), 0, 2);
    unsigned wrong = 0;
    struct wire_frame w;
    uint32_t len;

    if (k->pairs < 2)
        skip_check(t, "the device has one pair");
    set_pairs(k, 2);
    for (uint16_t flow = 0; flow < 8; flow++) {
        for (unsigned pair = 0; pair < 2; pair++) {
            bool came = false;

            nic_send(k, pair, given_udp(t, net_stranger, (uint16_t)(2000 + flow), false));
            came = wire_recv(t, &w, LIMIT_REPLY_NS);
            expect(t, MUST, came, "a frame on transmitq%u did not reach the wire", pair + 1);
            nic_post(k, 0, BUFFER_PLAIN);
            nic_post(k, 1, BUFFER_PLAIN);
            wire_send(t, given_udp(t, k->mac, (uint16_t)(2000 + flow), true));
            came = false;
            for (uint64_t end = given_now_ns() + LIMIT_REPLY_NS; !came && given_now_ns() < end;) {
                bool other = nic_used(k, !pair, &len, 0) != NULL;

                came = other || nic_used(k, pair, &len, MS(1));
                wrong += other;
            }
            expect(t, MUST, came, "the answer to a flow came to neither queue");
        }
    }
    expect(t, SHOULD, wrong == 0, "%u of 16 answers came to the other queue", wrong);
}

CHECK(mq_number_of_pairs_is_checked, .judges = DEVICE, .proves = "xen.net.ctrl.1",
      .needs = NEEDS_NIC, .title = "0 pairs and more than there are get VIRTIO_NET_ERR")
{
    struct nic *k = given_nic(t, NET(MQ) | NET(CTRL_VQ), 0, 1);
    const unsigned bad[] = {0, k->pairs_max + 1, 0xffff};

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        le16_t value = le16_make((uint16_t)bad[i]);

        expect_command(k, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &value,
                       sizeof(value), VIRTIO_NET_ERR, "a number of pairs that cannot be");
    }
    set_pairs(k, 1);
}

/* ---- offloads, and what does not exist ---- */

CHECK(ctrl_offloads_are_switched_off, .judges = DEVICE, .proves = "xen.net.ctrl.2",
      .needs = NEEDS_WIRE,
      .title = "What GUEST_OFFLOADS_SET leaves out is as if it had not been negotiated")
{
    struct nic *k = given_nic(t, NET(CTRL_VQ) | NET(CTRL_GUEST_OFFLOADS) | NET(GUEST_CSUM), 0, 1);
    struct frame *f = given_tcp(t, k->mac, 300, false);
    le64_t none = le64_make(0);
    struct virtio_net_hdr h;
    uint32_t len;

    expect_command(k, VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &none,
                   sizeof(none), VIRTIO_NET_OK, "all offloads off");
    nic_post(k, 0, BUFFER_PLAIN);
    wire_send(t, f);
    (void)expect_received(k, 0, &len, &h);
    expect_eq(t, MUST, h.flags, 0, "flags with GUEST_CSUM switched off");
}

CHECK(ctrl_unknown_commands_are_refused, .judges = DEVICE, .proves = "xen.net.ctrl.3",
      .needs = NEEDS_NIC, .title = "A class or command that does not exist gets VIRTIO_NET_ERR")
{
    struct nic *k = given_nic(t, CONTROL, 0, 1);
    uint8_t data[8] = {0};

    expect_command(k, 200, 0, data, 1, VIRTIO_NET_ERR, "class 200");
    expect_command(k, VIRTIO_NET_CTRL_RX, 99, data, 1, VIRTIO_NET_ERR, "command 99 of class 0");
    expect_eq(t, MUST, nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, true), VIRTIO_NET_OK,
              "the answer to a command afterwards");
}
