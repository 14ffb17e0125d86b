/* SPDX-License-Identifier: MIT */
/* VIRTIO 3.4: a device that is suspended, and resumed. */
#define CHECK_FAMILY "suspend"

#include "conformance/netdev.h"
#include "conformance/service.h"
#include "spec/virtio_blk.h"

#define SUSPEND(n) "basic.device-suspend.device." #n
#define RUNNING                                                                                    \
    (VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK |                \
     VIRTIO_STATUS_DRIVER_OK)

static void set_status(struct device *d, uint8_t status)
{
    must(d->t, d->v->ops->status_write(d->v, status), "writing the device status");
}

/* SUSPEND shown and DRIVER_OK gone; or the device says that it cannot, which ends the check. */
static void expect_suspended(struct device *d)
{
    const uint8_t mask = VIRTIO_STATUS_SUSPEND | VIRTIO_STATUS_DRIVER_OK;
    bool is;

    set_status(d, RUNNING | VIRTIO_STATUS_SUSPEND);
    is = device_status_wait(d, mask, VIRTIO_STATUS_SUSPEND, LIMIT_REPLY_NS);
    expect(d->t, MUST, is || device_status(d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET,
           "the device neither suspends itself nor says that it cannot, status 0x%x",
           device_status(d));
    if (!is)
        stop_check(d->t);
}

static void expect_resumed(struct device *d)
{
    const uint8_t mask = VIRTIO_STATUS_SUSPEND | VIRTIO_STATUS_DRIVER_OK;
    bool is;

    set_status(d, RUNNING | VIRTIO_STATUS_SUSPEND);
    is = device_status_wait(d, mask, VIRTIO_STATUS_DRIVER_OK, LIMIT_REPLY_NS);
    expect(d->t, MUST, is || device_status(d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET,
           "the device neither resumes nor says that it cannot, status 0x%x", device_status(d));
    if (!is)
        stop_check(d->t);
}

CHECK(nothing_to_suspend_yet, .judges = DEVICE, .proves = SUSPEND(1),
      .needs = NEED_DEVICE | NEED_SERVICE | NEED_SUSPEND,
      .title = "SUSPEND before DRIVER_OK is ignored")
{
    struct service *s = given_service_negotiated(t, VIRTIO_F(VIRTIO_F_SUSPEND));

    service_queue(s, 0);
    set_status(s->d, (RUNNING & ~VIRTIO_STATUS_DRIVER_OK) | VIRTIO_STATUS_SUSPEND);
    expect(t, MUST, !(device_status(s->d) & VIRTIO_STATUS_SUSPEND),
           "SUSPEND is set before the device was initialised, status 0x%x", device_status(s->d));
    device_driver_ok(s->d);
    expect_served(s, s->q, false);
}

CHECK(suspends_and_resumes, .judges = DEVICE, .proves = SUSPEND(6) " " SUSPEND(7),
      .needs = NEED_DEVICE | NEED_SERVICE | NEED_SUSPEND,
      .title = "And serves requests before and afterwards")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_SUSPEND), 0);

    for (unsigned i = 0; i < 3; i++) {
        expect_served(s, s->q, false);
        expect_suspended(s->d);
        expect_resumed(s->d);
    }
    expect_served(s, s->q, false);
}

CHECK(suspended_device_leaves_its_queue_alone, .judges = DEVICE, .proves = SUSPEND(3),
      .needs = NEED_DEVICE | NEED_SERVICE | NEED_SUSPEND,
      .title = "Nothing is used while it is suspended, even when its doorbell is rung")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_SUSPEND), 0);
    struct piece p[REQUEST_PIECES_MAX];
    struct virtq_raw_used used;
    struct request *r;
    uint16_t head;
    bool came;

    expect_served(s, s->q, false);
    expect_suspended(s->d);
    r = given_request(s);
    head = ring_chain(s->q, 0, p, request_pieces(r, p, 1));
    ring_offer(s->q, head);
    ring_kick(s->q);
    came = ring_used(s->q, &used, LIMIT_QUIET_NS);
    expect(t, MUST, !came, "a buffer was used while the device was suspended");
    expect_resumed(s->d);
    if (!came) {
        ring_kick(s->q);
        expect_answered(r, expect_used(s->q, head));
    }
    request_release(r);
}

CHECK(configuration_changes_wait, .judges = DEVICE, .proves = SUSPEND(4) " " SUSPEND(5),
      .needs = NEED_DEVICE | NEED_NET | NEED_WIRE | NEED_MSIX | NEED_IRQ | NEED_SUSPEND,
      .title = "What changes while it is suspended is told when it resumes")
{
    struct nic *k = given_nic(t, VIRTIO_F(VIRTIO_F_SUSPEND) | VIRTIO_F(VIRTIO_NET_F_STATUS), 0, 1);
    struct fe_platform *p = k->d->subject->platform;
    uint16_t vector;
    fe_irq_t irq;

    must(t, k->d->v->ops->irq_get(k->d->v, k->d->v->vcpu, &vector, &irq), "getting a vector");
    must(t, k->d->v->ops->config_vector(k->d->v, vector), "setting the configuration vector");
    expect_suspended(k->d);
    wire_link(t, false);
    expect(t, MUST, p->ops->irq_wait(p, irq, LIMIT_QUIET_NS) != 1,
           "a configuration change was told while the device was suspended");
    expect_resumed(k->d);
    expect(t, MUST, p->ops->irq_wait(p, irq, LIMIT_REPLY_NS) == 1,
           "a change while the device was suspended was not told when it resumed");
    wire_link(t, true);
    k->d->v->ops->irq_put(k->d->v, vector, irq);
}

CHECK(configuration_is_not_written, .judges = DEVICE, .proves = SUSPEND(2),
      .needs = NEED_DEVICE | NEED_BLK | NEED_CONFIG_WCE | NEED_FLUSH | NEED_SUSPEND,
      .title = "A write to the configuration of a suspended device is ignored")
{
    const unsigned at = offsetof(struct virtio_blk_config, writeback);
    struct service *s = given_service(t,
                                      VIRTIO_F(VIRTIO_F_SUSPEND) | VIRTIO_F(VIRTIO_BLK_F_FLUSH) |
                                          VIRTIO_F(VIRTIO_BLK_F_CONFIG_WCE),
                                      0);
    uint8_t before = (uint8_t)device_get(s->d, at, 1), other = !before;

    expect_suspended(s->d);
    must(t, s->d->v->ops->config_write(s->d->v, at, 1, other), "writing the configuration");
    expect_resumed(s->d);
    expect_eq(t, SHOULD, device_get(s->d, at, 1), before, "writeback after resuming");
}
