/* SPDX-License-Identifier: MIT */
/* VIRTIO 2.1 to 2.5 and 3.1: status, features, reset, configuration space. */
#define CHECK_FAMILY "basic"

#include <errno.h>
#include <string.h>

#include "conformance/blkdev.h"
#include "conformance/service.h"
#include "util/bits.h"

static void status_set(struct device *d, uint8_t status)
{
    must(d->t, d->v->ops->status_write(d->v, status), "writing the device status");
}

static void driver_features_set(struct device *d, uint64_t features)
{
    must(d->t, d->v->ops->driver_features(d->v, 0, (uint32_t)features), "writing features");
    must(d->t, d->v->ops->driver_features(d->v, 1, (uint32_t)(features >> 32)), "writing features");
}

/* What a driver accepts in any case: without these a device MAY refuse (6, device 2 and 4). */
static uint64_t features_needed(const struct device *d)
{
    return VIRTIO_F(VIRTIO_F_VERSION_1) | (d->offered & VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM));
}

CHECK(status_bits_read_back, .judges = DEVICE, .proves = "xen.basic.status.1", .needs = NEED_DEVICE,
      .title = "Each step of initialisation reads back")
{
    struct device *d = given_device(t);
    uint8_t status = 0;

    expect_eq(t, MUST, device_status(d), 0, "the status after a reset");
    status |= VIRTIO_STATUS_ACKNOWLEDGE;
    status_set(d, status);
    expect_eq(t, MUST, device_status(d), status, "the status with ACKNOWLEDGE");
    status |= VIRTIO_STATUS_DRIVER;
    status_set(d, status);
    expect_eq(t, MUST, device_status(d), status, "the status with DRIVER");
    driver_features_set(d, features_needed(d));
    status |= VIRTIO_STATUS_FEATURES_OK;
    status_set(d, status);
    expect_eq(t, MUST, device_status(d), status, "the status with FEATURES_OK");
    status |= VIRTIO_STATUS_DRIVER_OK;
    status_set(d, status);
    expect_eq(t, MUST, device_status(d), status, "the status with DRIVER_OK");
}

CHECK(failed_is_kept, .judges = DEVICE, .proves = "xen.basic.status.2", .needs = NEED_DEVICE,
      .title = "FAILED reads back and a reset clears it")
{
    struct device *d = given_device(t);

    status_set(d, VIRTIO_STATUS_ACKNOWLEDGE);
    status_set(d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_FAILED);
    expect_eq(t, MUST, device_status(d) & VIRTIO_STATUS_FAILED, VIRTIO_STATUS_FAILED, "FAILED");
    device_reset(d);
    expect_eq(t, MUST, device_status(d), 0, "the status after a reset");
}

CHECK(reset_returns_status_zero, .judges = DEVICE, .proves = "basic.device-reset.device.1",
      .needs = NEED_DEVICE, .title = "Writing 0 ends in a status of 0, from every state")
{
    struct device *d = given_device(t);

    for (unsigned state = 0; state < 4; state++) {
        if (state >= 1)
            status_set(d, VIRTIO_STATUS_ACKNOWLEDGE);
        if (state >= 2)
            status_set(d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
        if (state >= 3) {
            device_negotiate(d, 0);
            given_queue(d, 0, 0);
            device_driver_ok(d);
        }
        device_reset(d);
        expect_eq(t, MUST, device_status(d), 0, "the status after a reset");
    }
}

CHECK(version_1_is_offered, .judges = DEVICE, .proves = "basic.reserved-feature-bits.device.1",
      .needs = NEED_DEVICE)
{
    struct device *d = given_device(t);

    expect(t, MUST, d->offered & VIRTIO_F(VIRTIO_F_VERSION_1), "the device offers 0x%llx",
           (unsigned long long)d->offered);
    note(t, "features", "0x%llx", (unsigned long long)d->offered);
}

CHECK(access_platform_is_offered, .judges = DEVICE,
      .proves = "basic.reserved-feature-bits.device.3", .needs = NEED_DEVICE | NEED_GRANTS,
      .title = "A device that reaches memory through grants says so")
{
    struct device *d = given_device(t);

    expect(t, SHOULD, d->offered & VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM), "the device offers 0x%llx",
           (unsigned long long)d->offered);
}

CHECK(offered_features_have_what_they_require, .judges = DEVICE,
      .proves = "basic.feature-bits.device.1", .needs = NEED_DEVICE,
      .title = "No feature is offered without those that it requires")
{
    static const struct {
        uint32_t device_id; /* 0: any */
        unsigned feature, requires;
    } rules[] = {
        {VIRTIO_ID_BLOCK, VIRTIO_BLK_F_CONFIG_WCE, VIRTIO_BLK_F_FLUSH}, /* 5.2.5.2 */
        {0, VIRTIO_F_RING_PACKED, VIRTIO_F_VERSION_1},
        {0, VIRTIO_F_RING_RESET, VIRTIO_F_VERSION_1},
        {0, VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_VERSION_1},
    };
    struct device *d = given_device(t);

    for (unsigned i = 0; i < ARRAY_LENGTH(rules); i++)
        expect(t, MUST,
               (rules[i].device_id && rules[i].device_id != d->v->device_id) ||
                   !(d->offered & VIRTIO_F(rules[i].feature)) ||
                   (d->offered & VIRTIO_F(rules[i].requires)),
               "feature %u is offered without feature %u", rules[i].feature, rules[i].requires);
    /* Legacy bits have no meaning without the legacy interface. */
    expect(t, MUST,
           d->v->device_id != VIRTIO_ID_BLOCK ||
               !(d->offered & (VIRTIO_F(VIRTIO_BLK_F_BARRIER) | VIRTIO_F(VIRTIO_BLK_F_SCSI))),
           "legacy features are offered: 0x%llx", (unsigned long long)d->offered);
}

CHECK(any_single_feature_is_accepted, .judges = DEVICE, .proves = "basic.feature-bits.device.2",
      .needs = NEED_DEVICE, .title = "Each offered feature by itself is a valid subset")
{
    struct device *d = given_device(t);

    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t features = features_needed(d) | VIRTIO_F(bit);
        uint8_t status;

        if (!(d->offered & VIRTIO_F(bit)))
            continue;
        /* These need a second one to be valid. */
        if (bit == VIRTIO_F_NOTIF_CONFIG_DATA)
            features |= VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA);
        device_reset(d);
        status_set(d, VIRTIO_STATUS_ACKNOWLEDGE);
        status_set(d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
        driver_features_set(d, features);
        status_set(d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
        status = device_status(d);
        expect(t, SHOULD, status & VIRTIO_STATUS_FEATURES_OK,
               "features 0x%llx are refused, status 0x%x", (unsigned long long)features, status);
    }
}

CHECK(feature_not_offered_is_refused, .judges = DEVICE, .proves = "basic.feature-bits.device.3",
      .needs = NEED_DEVICE, .title = "FEATURES_OK does not stay when a bit was not offered")
{
    struct device *d = given_device(t);
    unsigned tried = 0;

    for (unsigned bit = 0; bit < 64 && tried < 6; bit += 7) {
        uint64_t shown = VIRTIO_F(bit);
        uint32_t low, high;

        if (d->offered & VIRTIO_F(bit))
            continue;
        tried++;
        device_reset(d);
        status_set(d, VIRTIO_STATUS_ACKNOWLEDGE);
        status_set(d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
        driver_features_set(d, features_needed(d) | VIRTIO_F(bit));
        if (d->v->ops->driver_features_read(d->v, 0, &low) == 0 &&
            d->v->ops->driver_features_read(d->v, 1, &high) == 0)
            shown = (uint64_t)high << 32 | low;
        status_set(d, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER | VIRTIO_STATUS_FEATURES_OK);
        /* A device may also drop such bits when they are written, and show that (4.1.4.3.1). */
        expect(t, MUST, !(device_status(d) & VIRTIO_STATUS_FEATURES_OK) || !(shown & VIRTIO_F(bit)),
               "feature %u was accepted and never offered", bit);
    }
    if (!tried)
        error_out(t, "the device offers every feature that was to be tried");
}

CHECK(features_are_fixed_after_features_ok, .judges = DEVICE, .proves = "xen.basic.features.1",
      .needs = NEED_DEVICE | NEED_SERVICE | NEED_INDIRECT,
      .title = "A feature that was accepted stays when it is cleared after FEATURES_OK")
{
    struct service *s = given_service_negotiated(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC));

    /* Before the queue is set up, so that nothing of it is fixed yet but the features. */
    driver_features_set(s->d, 0);
    expect(t, MUST, device_status(s->d) & VIRTIO_STATUS_FEATURES_OK,
           "FEATURES_OK was lost, status 0x%x", device_status(s->d));
    service_queue(s, 0);
    device_driver_ok(s->d);
    expect_served(s, s->q, true);
}

CHECK(nothing_is_used_before_driver_ok, .judges = DEVICE,
      .proves = "basic.device-status-field.device.1", .needs = NEED_DEVICE | NEED_SERVICE,
      .title = "Buffers wait until DRIVER_OK, and are then used")
{
    struct service *s = given_service_negotiated(t, 0);
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    uint16_t head;

    service_queue(s, 0);
    head = ring_chain(s->q, 0, p, request_pieces(r, p, 1));
    ring_offer(s->q, head);
    ring_kick(s->q);
    expect_unused(s->q, MUST, "a buffer was used before DRIVER_OK");
    expect(t, MUST, s->q->irq == 0 || !ring_interrupted(s->q, 0),
           "an interrupt came before DRIVER_OK");
    device_driver_ok(s->d);
    ring_kick(s->q);
    expect_answered(r, expect_used(s->q, head));
    request_release(r);
}

CHECK(reset_stops_the_queues, .judges = DEVICE, .proves = "basic.device-reset.device.2",
      .needs = NEED_DEVICE | NEED_SERVICE,
      .title = "After a reset the device neither uses buffers nor interrupts")
{
    struct service *s = given_service(t, 0, 0);
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];
    struct ring *q = s->q;

    /* Not device_reset: the ring's memory has to stay to be watched. */
    must(t, fe_virtio_reset(s->d->v, LIMIT_RESET_NS), "resetting the device");
    ring_offer(q, ring_chain(q, 0, p, request_pieces(r, p, 1)));
    ring_kick(q);
    expect_unused(q, MUST, "a buffer was used after a reset");
    expect(t, MUST, q->irq == 0 || !ring_interrupted(q, 0), "an interrupt came after a reset");
    expect_eq(t, MUST, device_status(s->d), 0, "the status after a reset and a doorbell");
}

CHECK(config_is_readable_before_features_ok, .judges = DEVICE,
      .proves = "basic.device-configuration-space.device.1", .needs = NEED_DEVICE | NEED_BLK,
      .title = "Configuration fields read the same before and after negotiation")
{
    struct device *d = given_device(t);
    uint64_t low = device_get(d, offsetof(struct virtio_blk_config, capacity), 4);
    uint64_t high = device_get(d, offsetof(struct virtio_blk_config, capacity) + 4, 4);
    uint64_t seg_max = 0;

    if (d->offered & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX))
        seg_max = device_get(d, offsetof(struct virtio_blk_config, seg_max), 4);
    expect(t, MUST, (high << 32 | low) != 0 && (high << 32 | low) != UINT64_MAX,
           "capacity reads 0x%llx before FEATURES_OK", (unsigned long long)(high << 32 | low));
    device_negotiate(d, d->offered & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX));
    expect_eq(t, MUST, device_get(d, offsetof(struct virtio_blk_config, capacity), 4), low,
              "the low half of capacity after negotiation");
    if (d->offered & VIRTIO_F(VIRTIO_BLK_F_SEG_MAX))
        expect_eq(t, MUST, device_get(d, offsetof(struct virtio_blk_config, seg_max), 4), seg_max,
                  "seg_max after negotiation");
}

CHECK(config_widths_agree, .judges = DEVICE, .proves = "xen.basic.config.1", .needs = NEED_DEVICE,
      .title = "Configuration reads the same in every width")
{
    struct device *d = given_device(t);

    if (d->v->config_bytes < 4)
        skip_check(t, "the device has %u bytes of configuration", d->v->config_bytes);
    for (unsigned at = 0; at + 4 <= d->v->config_bytes && at < 64; at += 4) {
        uint64_t dword = device_get(d, at, 4), bytes = 0, words = 0;

        for (unsigned i = 0; i < 4; i++)
            bytes |= device_get(d, at + i, 1) << (8 * i);
        for (unsigned i = 0; i < 2; i++)
            words |= device_get(d, at + 2 * i, 2) << (16 * i);
        expect(t, MUST, bytes == dword && words == dword,
               "at %u: 0x%llx as dword, 0x%llx as words, 0x%llx as bytes", at,
               (unsigned long long)dword, (unsigned long long)words, (unsigned long long)bytes);
    }
}

static void ring_whole_area(struct device *d)
{
    const struct fe_vpci_region *r = &d->pci->notify;
    uint32_t multiplier = d->pci->notify_multiplier;

    /* First the number that belongs to the place, so that it counts as a doorbell of its queue. */
    for (uint32_t at = 0; at + 2 <= r->bytes && at < 4096; at += 2) {
        const uint32_t values[] = {multiplier ? at / multiplier : at / 2, 0xffff};

        for (unsigned i = 0; i < ARRAY_LENGTH(values); i++)
            must(d->t,
                 fe_pci_bar_write(&d->pci->func, 0, r->bar, (uint64_t)r->offset + at, 2, values[i]),
                 "ringing some doorbell");
    }
}

static void ring_many_queues(struct device *d)
{
    static const uint32_t beyond[] = {0x7fff, 0xffff, 0x10000, 0xffffffff};

    for (unsigned queue = 0; queue < 256; queue++)
        device_doorbell(d, queue);
    for (unsigned i = 0; i < ARRAY_LENGTH(beyond); i++)
        device_doorbell(d, beyond[i]);
}

CHECK(doorbells_at_any_time_do_no_harm, .judges = DEVICE,
      .proves = "split.available-buffer-notification-suppression.device.5",
      .needs = NEED_DEVICE | NEED_SERVICE,
      .title = "Spurious doorbells, also for queues that do not exist")
{
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < 100; i++)
        ring_kick(s->q);
    if (s->d->pci)
        ring_whole_area(s->d);
    else
        ring_many_queues(s->d);
    expect(t, MUST, !(device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET),
           "spurious doorbells broke the device");
    expect_served(s, s->q, false);
}
