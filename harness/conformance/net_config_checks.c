/* SPDX-License-Identifier: MIT */
/* VIRTIO 5.1.3 to 5.1.5: features, configuration and link of the network device. */
#define CHECK_FAMILY "net"

#include <string.h>

#include "conformance/netdev.h"
#include "util/bits.h"

#define CONFIG(field) offsetof(struct virtio_net_config, field)
#define MTU_USEFUL    1280u /* what IPv6 asks of a link */

CHECK(config_pairs_are_in_range, .judges = DEVICE,
      .proves = "net.device-configuration-layout.device.1", .needs = NEEDS_NIC,
      .title = "max_virtqueue_pairs is 1 to 0x8000, and the queues exist")
{
    struct nic *k = given_nic(t, NET(MQ) | NET(CTRL_VQ), 0, 1);
    unsigned queues = 0;

    note(t, "pairs", "%u", k->pairs_max);
    expect(t, MUST, k->pairs_max >= 1 && k->pairs_max <= VIRTIO_NET_PAIRS_MAX,
           "max_virtqueue_pairs is %u", k->pairs_max);
    must(t, k->d->v->ops->num_queues(k->d->v, &queues), "reading num_queues");
    expect(t, MUST, queues > VIRTIO_NET_CTRL_QUEUE(k->pairs_max),
           "%u pairs and a control queue are promised, and there are %u queues", k->pairs_max,
           queues);
}

CHECK(config_mtu_is_in_range, .judges = DEVICE,
      .proves = "net.device-configuration-layout.device.2 net.device-configuration-layout.device.3",
      .needs = NEEDS_NIC, .title = "mtu is 68 to 65535, and should be 1280 or more")
{
    struct nic *k = given_nic(t, NET(MTU), 0, 1);
    uint16_t mtu = nic_config16(k, CONFIG(mtu));

    note(t, "mtu", "%u", mtu);
    expect(t, MUST, mtu >= VIRTIO_NET_MTU_MIN, "mtu is %u", mtu);
    expect(t, SHOULD, mtu >= MTU_USEFUL, "mtu is %u, less than %u", mtu, MTU_USEFUL);
}

CHECK(config_mtu_never_changes, .judges = DEVICE,
      .proves = "net.device-configuration-layout.device.4", .needs = NEEDS_NIC,
      .title = "mtu is the same before and after commands and a reset")
{
    struct nic *k = given_nic(t, NET(MTU), NET(CTRL_VQ) | NET(CTRL_RX), 1);
    uint16_t mtu = nic_config16(k, CONFIG(mtu));

    if (nic_has(k, VIRTIO_NET_F_CTRL_RX))
        (void)nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, true);
    expect_eq(t, MUST, nic_config16(k, CONFIG(mtu)), mtu, "mtu after a command");
    nic_restart(k, NET(MTU), 1);
    expect_eq(t, MUST, nic_config16(k, CONFIG(mtu)), mtu, "mtu after a reset");
}

CHECK(config_is_read_only, .judges = DEVICE, .proves = "xen.net.config.1", .needs = NEEDS_NIC,
      .title = "Nothing that the driver writes to the configuration changes it")
{
    struct nic *k = given_nic(t, 0, 0, 1);
    uint8_t before[12], after[12];

    for (unsigned i = 0; i < sizeof(before); i++)
        before[i] = (uint8_t)device_get(k->d, i, 1);
    for (unsigned i = 0; i < sizeof(before); i++)
        must(t, k->d->v->ops->config_write(k->d->v, i, 1, before[i] ^ 0xffu),
             "writing the device configuration");
    for (unsigned i = 0; i < sizeof(after); i++)
        after[i] = (uint8_t)device_get(k->d, i, 1);
    expect(t, MUST, memcmp(before, after, sizeof(before)) == 0,
           "the configuration took what the driver wrote");
}

CHECK(config_mac_is_an_address, .judges = DEVICE, .proves = "xen.net.config.2", .needs = NEEDS_NIC,
      .title = "mac is a unicast address")
{
    struct nic *k = given_nic(t, NET(MAC), 0, 1);
    static const uint8_t none[VIRTIO_NET_MAC_BYTES];

    note(t, "mac", "%02x:%02x:%02x:%02x:%02x:%02x", k->mac[0], k->mac[1], k->mac[2], k->mac[3],
         k->mac[4], k->mac[5]);
    expect(t, MUST, !(k->mac[0] & 1), "mac is a group address");
    expect(t, MUST, memcmp(k->mac, none, sizeof(none)) != 0, "mac is zero");
}

/* 5.1.3.1: a feature, and those of which it requires one. */
static const struct {
    unsigned feature;
    uint64_t one_of;
} requirements[] = {
    {VIRTIO_NET_F_GUEST_TSO4, NET(GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_TSO6, NET(GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_ECN, NET(GUEST_TSO4) | NET(GUEST_TSO6)},
    {VIRTIO_NET_F_GUEST_UFO, NET(GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_USO4, NET(GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_USO6, NET(GUEST_CSUM)},
    {VIRTIO_NET_F_HOST_TSO4, NET(CSUM)},
    {VIRTIO_NET_F_HOST_TSO6, NET(CSUM)},
    {VIRTIO_NET_F_HOST_ECN, NET(HOST_TSO4) | NET(HOST_TSO6)},
    {VIRTIO_NET_F_HOST_UFO, NET(CSUM)},
    {VIRTIO_NET_F_HOST_USO, NET(CSUM)},
    {VIRTIO_NET_F_CTRL_RX, NET(CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_VLAN, NET(CTRL_VQ)},
    {VIRTIO_NET_F_GUEST_ANNOUNCE, NET(CTRL_VQ)},
    {VIRTIO_NET_F_MQ, NET(CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_MAC_ADDR, NET(CTRL_VQ)},
    {VIRTIO_NET_F_NOTF_COAL, NET(CTRL_VQ)},
    {VIRTIO_NET_F_VQ_NOTF_COAL, NET(CTRL_VQ)},
    {VIRTIO_NET_F_RSC_EXT, NET(HOST_TSO4) | NET(HOST_TSO6)},
    {VIRTIO_NET_F_RSS, NET(CTRL_VQ)},
};

CHECK(features_come_with_what_they_require, .judges = DEVICE,
      .proves = "basic.feature-bits.device.1", .needs = NEEDS_NIC,
      .title = "No feature is offered without one that it requires")
{
    struct device *d = given_device(t);

    for (unsigned i = 0; i < ARRAY_LENGTH(requirements); i++)
        expect(t, MUST,
               !(d->offered & VIRTIO_F(requirements[i].feature)) ||
                   (d->offered & requirements[i].one_of),
               "feature bit %u is offered without what it requires", requirements[i].feature);
}

CHECK(
    features_of_no_use_without_control, .judges = DEVICE,
    .proves = "net.device-configuration-layout.device.13 net.device-configuration-layout.device.14",
    .needs = NEEDS_NIC, .title = "CTRL_RX_EXTRA and HASH_REPORT come with CTRL_VQ")
{
    struct device *d = given_device(t);
    uint64_t pointless = NET(CTRL_RX_EXTRA) | NET(HASH_REPORT);

    expect(t, SHOULD, (d->offered & NET(CTRL_VQ)) || !(d->offered & pointless),
           "features 0x%llx are offered without a control queue",
           (unsigned long long)(d->offered & pointless));
}

CHECK(control_queue_is_behind_the_last_pair, .judges = DEVICE, .proves = "xen.net.queues.1",
      .needs = NEEDS_NIC, .title = "Without MQ the control queue is the third, with it the last")
{
    struct nic *k = given_nic(t, NET(CTRL_VQ) | NET(CTRL_RX), 0, 1);

    expect_eq(t, MUST, nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, true), VIRTIO_NET_OK,
              "the answer to a command on queue 2");
    if (!(k->d->offered & NET(MQ)))
        return;
    nic_restart(k, NET(CTRL_VQ) | NET(CTRL_RX) | NET(MQ), 1);
    expect_eq(t, MUST, nic_mode(k, VIRTIO_NET_CTRL_RX_PROMISC, true), VIRTIO_NET_OK,
              "the answer to a command on the queue behind the last pair");
}

/* ---- the link ---- */

/* The interrupt for changes of the configuration. */
static void config_interrupt(struct nic *k, fe_irq_t *irq)
{
    uint16_t vector;

    must(k->d->t, k->d->v->ops->irq_get(k->d->v, k->d->v->vcpu, &vector, irq),
         "getting an interrupt");
    must(k->d->t, k->d->v->ops->config_vector(k->d->v, vector), "setting the configuration vector");
}

CHECK(link_is_in_the_status, .judges = DEVICE, .proves = "xen.net.link.1", .needs = NEEDS_WIRE,
      .title = "VIRTIO_NET_S_LINK_UP goes when the wire is cut and comes when it is plugged in")
{
    struct nic *k = given_nic(t, NET(STATUS), 0, 1);

    expect(t, MUST, nic_status_wait(k, VIRTIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP),
           "the link is down with the wire plugged in");
    wire_link(t, false);
    expect(t, MUST, nic_status_wait(k, VIRTIO_NET_S_LINK_UP, 0), "the link is up without a wire");
    wire_link(t, true);
    expect(t, MUST, nic_status_wait(k, VIRTIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP),
           "the link is down with the wire plugged in again");
}

CHECK(link_change_interrupts, .judges = DEVICE, .proves = "xen.net.link.2",
      .needs = NEEDS_WIRE | NEED_MSIX | NEED_IRQ,
      .title = "A configuration change notification tells of the link")
{
    struct nic *k = given_nic(t, NET(STATUS), 0, 1);
    struct fe_platform *p = k->d->subject->platform;
    fe_irq_t irq;
    int rc;

    expect(t, MUST, nic_status_wait(k, VIRTIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP),
           "the link is down with the wire plugged in");
    config_interrupt(k, &irq);
    wire_link(t, false);
    rc = p->ops->irq_wait(p, irq, LIMIT_REPLY_NS);
    expect(t, MUST, rc == 1, "no interrupt told that the wire was cut");
    wire_link(t, true);
    rc = p->ops->irq_wait(p, irq, LIMIT_REPLY_NS);
    expect(t, MUST, rc == 1, "no interrupt told that the wire was plugged in");
    k->d->v->ops->irq_put(k->d->v, FE_NO_VECTOR, irq);
}

CHECK(frames_pass_after_a_link_change, .judges = DEVICE, .proves = "xen.net.link.3",
      .needs = NEEDS_WIRE, .title = "What was cut works again when it is plugged in")
{
    struct nic *k = given_nic(t, NET(STATUS), 0, 1);
    struct frame *f = given_frame(t, k->mac, FRAME_SHORT, 1);
    struct wire_frame w;

    nic_post(k, 0, BUFFER_PLAIN);
    wire_link(t, false);
    expect(t, MUST, nic_status_wait(k, VIRTIO_NET_S_LINK_UP, 0), "the link is up without a wire");
    nic_send(k, 0, f); /* goes nowhere, and comes back */
    wire_link(t, true);
    expect(t, MUST, nic_status_wait(k, VIRTIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP),
           "the link is down with the wire plugged in again");
    wire_send(t, f);
    (void)expect_frame(k, 0, f);
    nic_send(k, 0, f);
    expect_on_wire(t, f, &w);
}

CHECK(announce_is_cleared_by_its_ack, .judges = DEVICE,
      .proves = "net.gratuitous-packet-sending.device.1", .needs = NEEDS_WIRE,
      .title = "VIRTIO_NET_S_ANNOUNCE is gone when the acknowledgement is used")
{
    struct nic *k = given_nic(t, NET(STATUS) | NET(CTRL_VQ) | NET(GUEST_ANNOUNCE), 0, 1);

    expect(t, MUST, nic_status_wait(k, VIRTIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP),
           "the link is down with the wire plugged in");
    wire_link(t, false);
    (void)nic_status_wait(k, VIRTIO_NET_S_LINK_UP, 0);
    wire_link(t, true);
    (void)nic_status_wait(k, VIRTIO_NET_S_LINK_UP, VIRTIO_NET_S_LINK_UP);
    if (!(nic_config16(k, CONFIG(status)) & VIRTIO_NET_S_ANNOUNCE))
        skip_check(t, "the device does not ask for an announcement when its link comes back");
    expect_command(k, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0,
                   VIRTIO_NET_OK, "an acknowledgement");
    expect(t, MUST, !(nic_config16(k, CONFIG(status)) & VIRTIO_NET_S_ANNOUNCE),
           "the bit is set after the acknowledgement was used");
}
