/* SPDX-License-Identifier: MIT */
/* VIRTIO 4.1: the structures and registers of virtio-pci. */
#define CHECK_FAMILY "pci"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/consoledev.h"
#include "conformance/ring.h"
#include "conformance/service.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "spec/virtio_blk.h"
#include "spec/virtio_pci.h"
#include "util/bits.h"

#define CAPS_MAX 32

#define COMMON_DISCOVERY "pci.common-configuration-structure-layout.device."

static unsigned virtio_caps(struct device *d, struct fe_vpci_cap caps[CAPS_MAX])
{
    unsigned n = 0;

    must(d->t, fe_virtio_pci_caps(&d->pci->func, caps, CAPS_MAX, &n),
         "reading the virtio capabilities");
    return n;
}

static unsigned caps_count(const struct fe_vpci_cap *caps, unsigned n, unsigned type)
{
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++)
        count += caps[i].type == type;
    return count;
}

static void function_end(void *arg)
{
    fe_pci_func_close(arg);
    free(arg);
}

static struct fe_pci_func *given_function(struct check_ctx *t)
{
    const struct subject *subject = check_subject(t);
    struct fe_pci_host *h = given_host(t);
    struct fe_pci_func *f = calloc(1, sizeof(*f));

    if (!f)
        error_out(t, "no memory");
    check_defer(t, function_end, f);
    must(t, fe_pci_func_open(h, subject->place.sbdf, f), "opening the function");
    return f;
}

/* ---- discovery ---- */

CHECK(vendor_and_device_id, .judges = DEVICE,
      .proves = "pci.pci-device-discovery.device.1 pci.pci-device-discovery.device.2",
      .needs = NEED_PCI)
{
    struct device *d = given_device(t);
    uint64_t device = config_get(d, PCI_REG_DEVICE_ID, 2);

    expect_eq(t, MUST, config_get(d, PCI_REG_VENDOR_ID, 2), VIRTIO_PCI_VENDOR_ID, "the vendor ID");
    expect(t, MUST, device > VIRTIO_PCI_DEVICE_ID_BASE && device <= VIRTIO_PCI_DEVICE_ID_LAST,
           "the device ID is 0x%llx", (unsigned long long)device);
}

CHECK(identifies_as_modern, .judges = DEVICE,
      .proves = "pci.pci-device-discovery.device.4 pci.pci-device-discovery.device.5 "
                "pci.pci-device-discovery.device.6",
      .needs = NEED_PCI, .title = "Revision 1 and subsystem 0x40 or higher")
{
    struct device *d = given_device(t);
    uint64_t device = config_get(d, PCI_REG_DEVICE_ID, 2);
    uint64_t revision = config_get(d, PCI_REG_REVISION, 1);
    uint64_t subsystem = config_get(d, PCI_REG_SUBSYSTEM_ID, 2);

    expect(t, SHOULD, device >= VIRTIO_PCI_DEVICE_ID_BASE && device <= VIRTIO_PCI_DEVICE_ID_LAST,
           "the device ID is 0x%llx", (unsigned long long)device);
    expect(t, SHOULD, revision >= VIRTIO_PCI_REVISION_MIN, "the revision is %llu",
           (unsigned long long)revision);
    expect(t, SHOULD, subsystem >= VIRTIO_PCI_SUBSYSTEM_ID_MIN, "the subsystem ID is 0x%llx",
           (unsigned long long)subsystem);
}

CHECK(required_structures_are_there, .judges = DEVICE,
      .proves = COMMON_DISCOVERY "2 pci.notification-capability.device.1 "
                                 "pci.isr-status-capability.device.1",
      .needs = NEED_PCI, .title = "Common, notification and ISR structures exist")
{
    /* Opened as a PCI function only: a virtio device is not opened without these structures. */
    struct fe_pci_func *f = given_function(t);
    struct fe_vpci_cap caps[CAPS_MAX];
    unsigned n;

    must(t, fe_virtio_pci_caps(f, caps, CAPS_MAX, &n), "reading the virtio capabilities");
    expect(t, MUST, caps_count(caps, n, VIRTIO_PCI_CAP_COMMON_CFG) > 0, "no common configuration");
    expect(t, MUST, caps_count(caps, n, VIRTIO_PCI_CAP_NOTIFY_CFG) > 0, "no notification area");
    expect(t, MUST, caps_count(caps, n, VIRTIO_PCI_CAP_ISR_CFG) > 0, "no ISR status");
    /* An entropy source (4) has no configuration. */
    expect(t, MUST,
           caps_count(caps, n, VIRTIO_PCI_CAP_DEVICE_CFG) > 0 ||
               f->device == VIRTIO_PCI_DEVICE_ID_BASE + 4,
           "no device configuration");
}

CHECK(cfg_access_capability_is_there, .judges = DEVICE,
      .proves = "pci.pci-configuration-access-capability.device.1", .needs = NEED_PCI)
{
    struct device *d = given_device(t);
    struct fe_vpci_cap caps[CAPS_MAX];
    unsigned n = virtio_caps(d, caps);

    expect(t, MUST, caps_count(caps, n, VIRTIO_PCI_CAP_PCI_CFG) > 0,
           "no PCI configuration access capability");
}

CHECK(structures_lie_in_their_bars, .judges = DEVICE,
      .proves = COMMON_DISCOVERY "1 pci.device-specific-configuration.device.1 "
                                 "pci.virtio-structure-pci-capabilities.device.1",
      .needs = NEED_PCI, .title = "Each structure is aligned, inside its BAR and apart")
{
    struct device *d = given_device(t);
    struct fe_vpci_cap caps[CAPS_MAX];
    unsigned n = virtio_caps(d, caps);

    for (unsigned i = 0; i < n; i++) {
        const struct fe_vpci_cap *c = &caps[i];

        expect(t, MUST,
               c->cap_len >= sizeof(struct virtio_pci_cap) || c->type == VIRTIO_PCI_CAP_VENDOR_CFG,
               "the capability at 0x%x has length %u", c->cap_offset, c->cap_len);
        /* These two have a field behind the common part. */
        if (c->type == VIRTIO_PCI_CAP_NOTIFY_CFG || c->type == VIRTIO_PCI_CAP_PCI_CFG)
            expect(t, MUST, c->cap_len >= sizeof(struct virtio_pci_notify_cap),
                   "cap_len of structure %u is %u, its last field is not in it", c->type,
                   c->cap_len);
        if (c->type < VIRTIO_PCI_CAP_COMMON_CFG || c->type > VIRTIO_PCI_CAP_DEVICE_CFG)
            continue;
        expect(t, MUST, c->bar < PCI_BAR_COUNT, "structure %u lies in BAR %u", c->type, c->bar);
        if (c->bar >= PCI_BAR_COUNT)
            continue;
        expect(t, MUST, range_within(c->offset, c->bytes, d->pci->func.bars[c->bar].bytes),
               "structure %u, 0x%x bytes at 0x%x, leaves BAR %u", c->type, c->bytes, c->offset,
               c->bar);
        if (c->type == VIRTIO_PCI_CAP_COMMON_CFG || c->type == VIRTIO_PCI_CAP_DEVICE_CFG)
            expect(t, MUST, is_aligned(c->offset, 4), "structure %u begins at 0x%x", c->type,
                   c->offset);
        if (c->type == VIRTIO_PCI_CAP_COMMON_CFG)
            expect(t, MUST,
                   c->bytes >= offsetof(struct virtio_pci_common_cfg, queue_notif_config_data),
                   "the common configuration is %u bytes long", c->bytes);
        for (unsigned j = 0; j < i; j++) {
            if (caps[j].bar != c->bar || caps[j].type > VIRTIO_PCI_CAP_DEVICE_CFG ||
                !caps[j].bytes || !c->bytes)
                continue;
            expect(t, MUST, !ranges_overlap(c->offset, c->bytes, caps[j].offset, caps[j].bytes),
                   "structures %u and %u overlap", c->type, caps[j].type);
        }
    }
}

/* ---- notification ---- */

CHECK(notification_area_holds_all_queues, .judges = DEVICE,
      .proves = "pci.notification-capability.device.2 pci.notification-capability.device.3 "
                "pci.notification-capability.device.4 pci.notification-capability.device.5 "
                "pci.notification-capability.device.6",
      .needs = NEED_PCI, .title = "cap.length >= queue_notify_off * multiplier + 2")
{
    struct device *d = given_device(t);
    const struct fe_vpci_region *r = &d->pci->notify;
    uint32_t multiplier = d->pci->notify_multiplier;
    unsigned queues = (unsigned)common_get(d, FE_VPCI_FIELD(num_queues));

    expect(t, MUST, is_aligned(r->offset, 2), "the notification area begins at 0x%x", r->offset);
    expect(t, MUST, multiplier == 0 || (is_pow2(multiplier) && multiplier >= 2),
           "notify_off_multiplier is %u", multiplier);
    expect(t, MUST, r->bytes >= 2, "the notification area is %u bytes long", r->bytes);
    expect(t, MUST, queues > 0, "there are no queues");
    for (unsigned q = 0; q < queues; q++) {
        uint64_t off;

        common_set(d, FE_VPCI_FIELD(queue_select), q);
        off = common_get(d, FE_VPCI_FIELD(queue_notify_off));
        expect(t, MUST, r->bytes >= off * multiplier + 2,
               "queue %u is notified at %llu * %u, the area is %u bytes long", q,
               (unsigned long long)off, multiplier, r->bytes);
    }
}

CHECK(notification_area_holds_data, .judges = DEVICE,
      .proves = "pci.notification-capability.device.7 pci.notification-capability.device.8 "
                "pci.notification-capability.device.9 pci.notification-capability.device.10 "
                "pci.notification-capability.device.11",
      .needs = NEED_PCI | NEED_NOTIFICATION_DATA,
      .title = "With NOTIFICATION_DATA a doorbell has four bytes")
{
    struct device *d = given_device(t);
    const struct fe_vpci_region *r = &d->pci->notify;
    uint32_t multiplier = d->pci->notify_multiplier;
    unsigned queues = (unsigned)common_get(d, FE_VPCI_FIELD(num_queues));

    expect(t, MUST, is_aligned(r->offset, 4), "the notification area begins at 0x%x", r->offset);
    expect(t, MUST, multiplier == 0 || (is_pow2(multiplier) && multiplier >= 4),
           "notify_off_multiplier is %u", multiplier);
    expect(t, MUST, r->bytes >= 4, "the notification area is %u bytes long", r->bytes);
    for (unsigned q = 0; q < queues; q++) {
        uint64_t off;

        common_set(d, FE_VPCI_FIELD(queue_select), q);
        off = common_get(d, FE_VPCI_FIELD(queue_notify_off));
        expect(t, MUST, r->bytes >= off * multiplier + 4,
               "queue %u is notified at %llu * %u, the area is %u bytes long", q,
               (unsigned long long)off, multiplier, r->bytes);
    }
}

/* Enough for next_off and next_wrap to take many values. */
static void serve_by_doorbells(struct check_ctx *t, uint64_t features)
{
    struct service *s = given_service(t, features, 8);

    for (unsigned i = 0; i < 20; i++)
        expect_served(s, s->q, false);
}

CHECK(doorbell_with_notification_data, .judges = DEVICE, .proves = "xen.pci.doorbell.1",
      .needs = NEED_PCI | NEED_SERVICE | NEED_NOTIFICATION_DATA,
      .title = "A doorbell that says where the next entry will be")
{
    serve_by_doorbells(t, VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA));
}

CHECK(doorbell_with_notif_config_data, .judges = DEVICE, .proves = "xen.pci.doorbell.2",
      .needs = NEED_PCI | NEED_SERVICE | NEED_NOTIF_CONFIG_DATA,
      .title = "A doorbell that names the queue by queue_notif_config_data")
{
    serve_by_doorbells(t, VIRTIO_F(VIRTIO_F_NOTIF_CONFIG_DATA));
    serve_by_doorbells(t,
                       VIRTIO_F(VIRTIO_F_NOTIF_CONFIG_DATA) | VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA));
}

CHECK(doorbell_at_notify_offset_works, .judges = DEVICE,
      .proves = "pci.notification-capability.device.5", .needs = NEED_PCI | NEED_SERVICE,
      .title = "A write of the queue's number at its place starts the queue")
{
    struct service *s = given_service(t, 0, 0);

    expect_served(s, s->q, false);
}

/* ---- common configuration ---- */

CHECK(feature_words_beyond_offered_are_zero, .judges = DEVICE, .proves = COMMON_DISCOVERY "3",
      .needs = NEED_PCI, .title = "device_feature follows device_feature_select")
{
    static const uint32_t beyond[] = {4, 5, 31, 0x10000, 0xffffffff};
    struct device *d = given_device(t);
    uint64_t low, high;

    for (unsigned round = 0; round < 2; round++) {
        common_set(d, FE_VPCI_FIELD(device_feature_select), 1);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(device_feature_select)), 1,
                  "device_feature_select");
        high = common_get(d, FE_VPCI_FIELD(device_feature));
        common_set(d, FE_VPCI_FIELD(device_feature_select), 0);
        low = common_get(d, FE_VPCI_FIELD(device_feature));
        expect_eq(t, MUST, high << 32 | low, d->offered, "the offered features, read again");
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(beyond); i++) {
        common_set(d, FE_VPCI_FIELD(device_feature_select), beyond[i]);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(device_feature)), 0,
                  "features in a word that no feature is in");
    }
}

CHECK(driver_features_read_back, .judges = DEVICE, .proves = COMMON_DISCOVERY "4",
      .needs = NEED_PCI, .title = "Valid bits written to driver_feature are presented")
{
    struct device *d = given_device(t);
    uint64_t want[2] = {d->offered & 0xffffffff, d->offered >> 32};

    must(t, d->v->ops->status_write(d->v, VIRTIO_STATUS_ACKNOWLEDGE), "ACKNOWLEDGE");
    must(t, d->v->ops->status_write(d->v, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER),
         "DRIVER");
    for (unsigned w = 0; w < 2; w++) {
        common_set(d, FE_VPCI_FIELD(driver_feature_select), w);
        common_set(d, FE_VPCI_FIELD(driver_feature), want[w]);
    }
    for (unsigned w = 0; w < 2; w++) {
        common_set(d, FE_VPCI_FIELD(driver_feature_select), w);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(driver_feature)) & want[w], want[w],
                  "driver_feature");
    }
}

CHECK(queue_out_of_range_is_unavailable, .judges = DEVICE, .proves = COMMON_DISCOVERY "14",
      .needs = NEED_PCI, .title = "queue_size is 0 for a queue that does not exist")
{
    struct device *d = given_device(t);
    unsigned queues = (unsigned)common_get(d, FE_VPCI_FIELD(num_queues));
    const unsigned absent[] = {queues, queues + 1, 0x7fff, 0xffff};

    for (unsigned i = 0; i < ARRAY_LENGTH(absent); i++) {
        if (absent[i] < queues)
            continue;
        common_set(d, FE_VPCI_FIELD(queue_select), absent[i]);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_select)), absent[i], "queue_select");
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_size)), 0,
                  "queue_size of a queue that does not exist");
        /* Whatever else is written there has to be harmless. */
        common_set(d, FE_VPCI_FIELD(queue_size), 8);
        common_set(d, FE_VPCI_FIELD(queue_enable), 1);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_size)), 0,
                  "queue_size after it was written");
    }
    for (unsigned q = 0; q < queues; q++)
        expect(t, MUST, queue_max(d, q) != 0 || q > 0, "queue 0 is not available");
}

CHECK(queue_size_is_a_power_of_two, .judges = DEVICE, .proves = COMMON_DISCOVERY "15",
      .needs = NEED_PCI)
{
    struct device *d = given_device(t);
    unsigned queues = (unsigned)common_get(d, FE_VPCI_FIELD(num_queues));

    for (unsigned q = 0; q < queues; q++) {
        unsigned size = queue_max(d, q);

        expect(t, MUST, size == 0 || (is_pow2(size) && size <= VIRTQ_SPLIT_SIZE_MAX),
               "queue_size of queue %u is %u", q, size);
    }
}

CHECK(queue_registers_are_per_queue, .judges = DEVICE, .proves = "xen.pci.queue-select.1",
      .needs = NEED_PCI | NEED_MQ, .title = "queue_select switches all queue registers")
{
    struct device *d = given_device(t);

    device_negotiate(d, d->v->device_id == VIRTIO_ID_BLOCK ? VIRTIO_F(VIRTIO_BLK_F_MQ) : 0);
    for (unsigned q = 0; q < 2; q++) {
        common_set(d, FE_VPCI_FIELD(queue_select), q);
        common_set(d, FE_VPCI_FIELD(queue_size), q ? 8 : 16);
        common_set(d, offsetof(struct virtio_pci_common_cfg, queue_desc), 4, 0x1000 + 0x1000 * q);
        common_set(d, offsetof(struct virtio_pci_common_cfg, queue_device), 4, 0x9000 + 0x1000 * q);
    }
    for (unsigned q = 0; q < 2; q++) {
        common_set(d, FE_VPCI_FIELD(queue_select), q);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_size)), q ? 8 : 16, "queue_size");
        expect_eq(t, MUST, common_get(d, offsetof(struct virtio_pci_common_cfg, queue_desc), 4),
                  0x1000 + 0x1000 * q, "queue_desc");
        expect_eq(t, MUST, common_get(d, offsetof(struct virtio_pci_common_cfg, queue_device), 4),
                  0x9000 + 0x1000 * q, "queue_device");
    }
}

CHECK(halves_of_64_bit_fields_are_independent, .judges = DEVICE,
      .proves = "pci.pci-device-layout.device.1", .needs = NEED_PCI,
      .title = "Low and high half are written and read each by itself")
{
    static const unsigned fields[] = {
        offsetof(struct virtio_pci_common_cfg, queue_desc),
        offsetof(struct virtio_pci_common_cfg, queue_driver),
        offsetof(struct virtio_pci_common_cfg, queue_device),
    };
    struct device *d = given_negotiated(t, 0);

    common_set(d, FE_VPCI_FIELD(queue_select), 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(fields); i++) {
        common_set(d, fields[i], 4, 0x12345000);
        common_set(d, fields[i] + 4, 4, 0x80000001);
        expect_eq(t, MUST, common_get(d, fields[i], 4), 0x12345000, "the low half");
        expect_eq(t, MUST, common_get(d, fields[i] + 4, 4), 0x80000001, "the high half");
        common_set(d, fields[i] + 4, 4, 0x00000002);
        expect_eq(t, MUST, common_get(d, fields[i], 4), 0x12345000,
                  "the low half after the high half was written");
        common_set(d, fields[i], 4, 0x00001000);
        expect_eq(t, MUST, common_get(d, fields[i] + 4, 4), 0x00000002,
                  "the high half after the low half was written");
    }
}

CHECK(reset_clears_queue_registers, .judges = DEVICE,
      .proves = COMMON_DISCOVERY "7 " COMMON_DISCOVERY "8", .needs = NEED_PCI,
      .title = "After a reset no queue is enabled and sizes are the maximum again")
{
    struct device *d = given_negotiated(t, 0);
    unsigned max = queue_max(d, 0);
    struct ring *r = given_queue(d, 0, max > 2 ? max / 2 : max);

    common_set(d, FE_VPCI_FIELD(queue_select), 0);
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_enable)), 1, "queue_enable when enabled");
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_size)), r->size, "queue_size as written");
    device_driver_ok(d);
    device_reset(d);
    expect_eq(t, MUST, device_status(d), 0, "the device status after a reset");
    common_set(d, FE_VPCI_FIELD(queue_select), 0);
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_enable)), 0, "queue_enable after a reset");
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_size)), max, "queue_size after a reset");
}

CHECK(config_generation_moves, .judges = DEVICE, .proves = COMMON_DISCOVERY "6",
      .needs = NEED_PCI | NEED_CONFIG_CHANGE,
      .title = "With a change of configuration config_generation changes")
{
    expect_generation_moves(t);
}

CHECK(config_generation_is_stable, .judges = DEVICE, .proves = "xen.pci.generation.1",
      .needs = NEED_PCI, .title = "Without a change of configuration the generation stays")
{
    struct device *d = given_negotiated(t, 0);
    uint64_t before = common_get(d, FE_VPCI_FIELD(config_generation));

    for (unsigned i = 0; i < 16 && d->v->config_bytes >= 4; i++)
        (void)device_get(d, 0, 4);
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(config_generation)), before,
              "config_generation after 16 reads");
}

/* ---- PCI configuration access capability ---- */

static void window_point(struct device *d, unsigned bar, uint32_t offset, uint32_t bytes)
{
    unsigned at = d->pci->pci_cfg.cap_offset;

    config_set(d, at + (unsigned)offsetof(struct virtio_pci_cap, bar), 1, bar);
    config_set(d, at + (unsigned)offsetof(struct virtio_pci_cap, offset), 4, offset);
    config_set(d, at + (unsigned)offsetof(struct virtio_pci_cap, length), 4, bytes);
}

CHECK(cfg_window_reads, .judges = DEVICE,
      .proves = "pci.pci-configuration-access-capability.device.3",
      .needs = NEED_PCI | NEED_PCI_CFG, .title = "The window reads what the BAR reads")
{
    static const struct {
        unsigned offset, bytes;
    } fields[] = {{FE_VPCI_FIELD(num_queues)},
                  {FE_VPCI_FIELD(device_status)},
                  {FE_VPCI_FIELD(device_feature)}};
    struct device *d = given_negotiated(t, 0);
    unsigned data = d->pci->pci_cfg.cap_offset + (unsigned)sizeof(struct virtio_pci_cap);

    for (unsigned i = 0; i < ARRAY_LENGTH(fields); i++) {
        window_point(d, d->pci->common.bar, d->pci->common.offset + fields[i].offset,
                     fields[i].bytes);
        expect_eq(t, MUST, config_get(d, data, fields[i].bytes),
                  common_get(d, fields[i].offset, fields[i].bytes), "a field through the window");
    }
}

CHECK(cfg_window_writes, .judges = DEVICE,
      .proves = "pci.pci-configuration-access-capability.device.2",
      .needs = NEED_PCI | NEED_PCI_CFG, .title = "A write to the window is a write to the BAR")
{
    struct device *d = given_negotiated(t, 0);
    unsigned data = d->pci->pci_cfg.cap_offset + (unsigned)sizeof(struct virtio_pci_cap);

    common_set(d, FE_VPCI_FIELD(device_feature_select), 0);
    window_point(d, d->pci->common.bar, d->pci->common.offset, 4);
    config_set(d, data, 4, 1);
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(device_feature_select)), 1,
              "device_feature_select written through the window");
    config_set(d, data, 4, 0);
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(device_feature_select)), 0,
              "device_feature_select written through the window again");
}

CHECK(cfg_window_is_bounded, .judges = DEVICE, .proves = "xen.pci.cfg-window.1",
      .needs = NEED_PCI | NEED_PCI_CFG, .title = "A window outside every BAR does no harm")
{
    struct device *d = given_negotiated(t, 0);
    /* Two would hit the device status if only their BAR was not looked at. */
    const uint32_t status_at =
        d->pci->common.offset + (uint32_t)offsetof(struct virtio_pci_common_cfg, device_status);
    const struct {
        unsigned bar;
        uint32_t offset, bytes;
    } bad[] = {{7, 0, 4},          {255, 0, 4}, {0, 0xfffffffc, 4}, {0, 0, 3},
               {0, 0, 0xffffffff}, {5, 0, 4},   {7, status_at, 1},  {255, status_at, 1}};
    unsigned data = d->pci->pci_cfg.cap_offset + (unsigned)sizeof(struct virtio_pci_cap);
    uint8_t status = device_status(d);

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        window_point(d, bad[i].bar, bad[i].offset, bad[i].bytes);
        (void)config_get(d, data, 4);
        config_set(d, data, 4, 0);
        expect_eq(t, MUST, device_status(d), status, "the device status after a bad window");
    }
}

/* ---- vectors ---- */

CHECK(vectors_read_back, .judges = DEVICE,
      .proves = "pci.msi-x-vector-configuration.device.4 pci.msi-x-vector-configuration.device.5 "
                "pci.msi-x-vector-configuration.device.6 pci.msi-x-vector-configuration.device.8",
      .needs = NEED_PCI | NEED_MSIX, .title = "Every event takes every vector, and none")
{
    struct device *d = given_negotiated(t, 0);
    unsigned vectors = d->pci->func.msix.vectors;

    common_set(d, FE_VPCI_FIELD(queue_select), 0);
    for (unsigned i = 0; i < vectors && i < 64; i++) {
        common_set(d, FE_VPCI_FIELD(config_msix_vector), i);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(config_msix_vector)), i,
                  "config_msix_vector");
        common_set(d, FE_VPCI_FIELD(queue_msix_vector), i);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_msix_vector)), i, "queue_msix_vector");
    }
    common_set(d, FE_VPCI_FIELD(config_msix_vector), VIRTIO_MSI_NO_VECTOR);
    common_set(d, FE_VPCI_FIELD(queue_msix_vector), VIRTIO_MSI_NO_VECTOR);
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(config_msix_vector)), VIRTIO_MSI_NO_VECTOR,
              "config_msix_vector after unmapping");
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_msix_vector)), VIRTIO_MSI_NO_VECTOR,
              "queue_msix_vector after unmapping");
}

CHECK(vector_count_is_sensible, .judges = DEVICE,
      .proves = "pci.msi-x-vector-configuration.device.1", .needs = NEED_PCI | NEED_MSIX,
      .title = "At least 2 and at most 0x800 vectors")
{
    struct device *d = given_device(t);
    unsigned vectors = d->pci->func.msix.vectors;

    expect(t, SHOULD, vectors >= 2 && vectors <= 0x800, "there are %u vectors", vectors);
}

CHECK(vector_out_of_range_is_refused, .judges = DEVICE,
      .proves = "pci.msi-x-vector-configuration.device.9", .needs = NEED_PCI | NEED_MSIX,
      .title = "A vector past the table reads back as NO_VECTOR")
{
    struct device *d = given_negotiated(t, 0);
    unsigned vectors = d->pci->func.msix.vectors;
    const unsigned bad[] = {vectors, 0x7ff, 0x8000, 0xfffe};

    common_set(d, FE_VPCI_FIELD(queue_select), 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++) {
        if (bad[i] < vectors)
            continue;
        common_set(d, FE_VPCI_FIELD(config_msix_vector), bad[i]);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(config_msix_vector)), VIRTIO_MSI_NO_VECTOR,
                  "config_msix_vector after a vector that does not exist");
        common_set(d, FE_VPCI_FIELD(queue_msix_vector), bad[i]);
        expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_msix_vector)), VIRTIO_MSI_NO_VECTOR,
                  "queue_msix_vector after a vector that does not exist");
    }
}

CHECK(vectors_are_unmapped_by_reset, .judges = DEVICE,
      .proves = "pci.msi-x-vector-configuration.device.7", .needs = NEED_PCI | NEED_MSIX)
{
    struct device *d = given_negotiated(t, 0);

    common_set(d, FE_VPCI_FIELD(queue_select), 0);
    common_set(d, FE_VPCI_FIELD(config_msix_vector), 0);
    common_set(d, FE_VPCI_FIELD(queue_msix_vector), 0);
    device_reset(d);
    common_set(d, FE_VPCI_FIELD(queue_select), 0);
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(config_msix_vector)), VIRTIO_MSI_NO_VECTOR,
              "config_msix_vector after a reset");
    expect_eq(t, MUST, common_get(d, FE_VPCI_FIELD(queue_msix_vector)), VIRTIO_MSI_NO_VECTOR,
              "queue_msix_vector after a reset");
}

/* So that a queue has something to say. */
static void one_request(struct service *s)
{
    expect_served(s, s->q, false);
}

CHECK(queue_vector_is_delivered, .judges = DEVICE,
      .proves = "pci.msi-x-vector-configuration.device.4",
      .needs = NEED_PCI | NEED_SERVICE | NEED_MSIX | NEED_IRQ,
      .title = "A used buffer sends the queue's vector")
{
    struct service *s = given_service(t, 0, 0);

    one_request(s);
    expect_notified(s->q, MUST, "a read was used");
}

CHECK(masked_vector_is_held_back, .judges = DEVICE, .proves = "xen.ecam.msix.3",
      .needs = NEED_PCI | NEED_SERVICE | NEED_MSIX | NEED_IRQ,
      .title = "A masked vector stays pending and is sent when it is unmasked")
{
    struct service *s = given_service(t, 0, 0);
    unsigned control;
    uint64_t value;

    if (s->q->vector == FE_NO_VECTOR)
        error_out(t, "the queue has no vector");
    must(t, fe_pci_msix_mask(&s->d->pci->func, s->q->vector, true), "masking a vector");
    one_request(s);
    expect_quiet(s->q, MUST, "its vector is masked");
    must(t, fe_pci_msix_mask(&s->d->pci->func, s->q->vector, false), "unmasking a vector");
    expect_notified(s->q, MUST, "the pending vector was unmasked");

    control = s->d->pci->func.msix.cap_offset + PCI_MSIX_CONTROL;
    value = config_get(s->d, control, 2);
    config_set(s->d, control, 2, value | PCI_MSIX_CONTROL_MASK_ALL);
    one_request(s);
    expect_quiet(s->q, MUST, "all vectors of the function are masked");
    config_set(s->d, control, 2, value);
    expect_notified(s->q, MUST, "the function with a pending vector was unmasked");
}

CHECK(queue_without_vector_is_silent, .judges = DEVICE,
      .proves = "pci.used-buffer-notifications.device.1",
      .needs = NEED_PCI | NEED_SERVICE | NEED_MSIX | NEED_IRQ,
      .title = "NO_VECTOR: no interrupt for the queue")
{
    struct service *s = given_service(t, 0, 0);

    common_set(s->d, FE_VPCI_FIELD(queue_select), s->q->index);
    common_set(s->d, FE_VPCI_FIELD(queue_msix_vector), VIRTIO_MSI_NO_VECTOR);
    one_request(s);
    expect_quiet(s->q, MUST, "the queue has NO_VECTOR");
}

/* ---- reset of a queue ---- */

CHECK(queue_reset_stops_the_queue, .judges = DEVICE,
      .proves = COMMON_DISCOVERY
      "9 " COMMON_DISCOVERY "10 " COMMON_DISCOVERY "11 " COMMON_DISCOVERY
      "13 basic.virtqueue-reset.device.1 "
      "basic.virtqueue-reset.device.2 basic.virtqueue-re-enable.device.1",
      .needs = NEED_PCI | NEED_SERVICE | NEED_RING_RESET,
      .title = "queue_reset stops one queue, which can be set up anew")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_RING_RESET), 0);
    unsigned index = s->q->index;
    struct piece p[REQUEST_PIECES_MAX];
    struct request *r;
    uint64_t deadline;

    common_set(s->d, FE_VPCI_FIELD(queue_select), index);
    expect_eq(t, MUST, common_get(s->d, FE_VPCI_FIELD(queue_reset)), 0,
              "queue_reset of a queue that was enabled");
    one_request(s);
    common_set(s->d, FE_VPCI_FIELD(queue_select), index);
    common_set(s->d, FE_VPCI_FIELD(queue_reset), 1);
    deadline = given_now_ns() + LIMIT_REPLY_NS;
    while (common_get(s->d, FE_VPCI_FIELD(queue_reset)) && given_now_ns() < deadline)
        given_pause();
    expect_eq(t, MUST, common_get(s->d, FE_VPCI_FIELD(queue_reset)), 0,
              "queue_reset when the reset should be complete");
    expect_eq(t, MUST, common_get(s->d, FE_VPCI_FIELD(queue_enable)), 0,
              "queue_enable after the queue's reset");

    r = given_request(s);
    ring_offer(s->q, ring_chain(s->q, 0, p, request_pieces(r, p, 1)));
    ring_kick(s->q);
    expect_unused(s->q, MUST, "a buffer was used after the queue's reset");
    expect(t, MUST, !(device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET),
           "a doorbell of a queue that was reset broke the device");

    s->q = given_queue(s->d, index, 0);
    expect_eq(t, MUST, common_get(s->d, FE_VPCI_FIELD(queue_enable)), 1,
              "queue_enable of the queue that was enabled again");
    one_request(s);
}

/* ---- ISR and the interrupt line ---- */

CHECK(isr_announces_a_configuration_change, .judges = DEVICE,
      .proves = "pci.isr-status-capability.device.2",
      .needs = NEED_PCI | NEED_SERVICE | NEED_MSIX | NEED_IRQ,
      .title = "The configuration bit is set before the notification, with MSI-X, too")
{
    struct service *s = given_service(t, 0, 0);
    struct fe_platform *p = s->d->subject->platform;
    uint8_t isr = 0;
    uint16_t vector;
    fe_irq_t irq;
    bool came;

    (void)s->d->v->ops->isr_read(s->d->v, s->d->v->vcpu, &isr);
    must(t, s->d->v->ops->irq_get(s->d->v, 0, &vector, &irq), "getting a vector");
    must(t, s->d->v->ops->config_vector(s->d->v, vector), "setting the configuration vector");
    /* DEVICE_NEEDS_RESET is the one change that a driver can bring about. */
    ring_break(s->q);
    ring_kick(s->q);
    came = p->ops->irq_wait(p, irq, MS(1000)) == 1;
    if (came)
        must(t, s->d->v->ops->isr_read(s->d->v, s->d->v->vcpu, &isr), "reading the ISR status");
    s->d->v->ops->irq_put(s->d->v, vector, irq);
    if (!came)
        skip_check(t, "the device announces no fault");
    expect_eq(t, MUST, isr & VIRTIO_PCI_ISR_CONFIG, VIRTIO_PCI_ISR_CONFIG,
              "the configuration interrupt bit after the notification");
}

/* A device on the shared line, MSI-X off. */
static struct service *given_service_intx(struct check_ctx *t)
{
    struct service *s = given_service(t, 0, 0);
    unsigned index = s->q->index;

    device_negotiate(s->d, 0);
    if (s->d->pci->func.msix.cap_offset)
        must(t, fe_pci_msix_enable(&s->d->pci->func, false), "disabling MSI-X");
    s->q = given_queue_intx(s->d, index, 0);
    device_driver_ok(s->d);
    return s;
}

static uint8_t isr_get(struct device *d)
{
    uint8_t isr = 0;

    must(d->t, d->v->ops->isr_read(d->v, d->v->vcpu, &isr), "reading the ISR status");
    return isr;
}

CHECK(isr_reads_and_clears, .judges = DEVICE,
      .proves = "pci.isr-status-capability.device.3 pci.isr-status-capability.device.5",
      .needs = NEED_PCI | NEED_SERVICE | NEED_INTX,
      .title = "The queue bit is set with a used buffer and cleared by reading")
{
    struct service *s = given_service_intx(t);
    uint64_t deadline;
    uint8_t isr = 0;

    (void)isr_get(s->d);
    one_request(s);
    deadline = given_now_ns() + LIMIT_REPLY_NS;
    while (!isr && given_now_ns() < deadline) {
        isr = isr_get(s->d);
        if (!isr)
            given_pause();
    }
    expect_eq(t, MUST, isr & VIRTIO_PCI_ISR_QUEUE, VIRTIO_PCI_ISR_QUEUE,
              "the queue interrupt bit after a read");
    expect_eq(t, MUST, isr_get(s->d), 0, "the ISR status read again");
}

CHECK(line_is_asserted_until_acknowledged, .judges = DEVICE,
      .proves = "pci.isr-status-capability.device.3 pci.isr-status-capability.device.4",
      .needs = NEED_PCI | NEED_SERVICE | NEED_INTX,
      .title = "INTx and the PCI status follow the ISR status")
{
    struct service *s = given_service_intx(t);
    struct fe_platform *p = s->d->subject->platform;
    int level;

    (void)isr_get(s->d);
    one_request(s);
    level = p->ops->irq_wait(p, s->q->irq, LIMIT_REPLY_NS);
    expect(t, MUST, level == 1, "the interrupt line is not asserted after a read");
    expect_eq(t, MUST, config_get(s->d, PCI_REG_STATUS, 2) & PCI_STATUS_INTERRUPT,
              PCI_STATUS_INTERRUPT, "the interrupt bit of the PCI status");
    (void)isr_get(s->d);
    expect_eq(t, MUST, config_get(s->d, PCI_REG_STATUS, 2) & PCI_STATUS_INTERRUPT, 0,
              "the interrupt bit of the PCI status after the ISR was read");
    level = p->ops->irq_wait(p, s->q->irq, LIMIT_QUIET_NS);
    expect(t, MUST, level == 0, "the line is still asserted after the ISR was read");
}

CHECK(intx_disable_is_obeyed, .judges = DEVICE, .proves = "xen.ecam.intx.1",
      .needs = NEED_PCI | NEED_SERVICE | NEED_INTX,
      .title = "With the interrupt disable bit the line stays low")
{
    struct service *s = given_service_intx(t);
    struct fe_platform *p = s->d->subject->platform;

    (void)isr_get(s->d);
    must(t, fe_pci_command(&s->d->pci->func, PCI_COMMAND_INTX_DISABLE, 0), "disabling INTx");
    one_request(s);
    expect(t, MUST, p->ops->irq_wait(p, s->q->irq, LIMIT_QUIET_NS) == 0,
           "the line is asserted although INTx is disabled");
    must(t, fe_pci_command(&s->d->pci->func, 0, PCI_COMMAND_INTX_DISABLE), "enabling INTx");
    expect(t, MUST, p->ops->irq_wait(p, s->q->irq, LIMIT_REPLY_NS) == 1,
           "the pending interrupt is not asserted after INTx was enabled");
    (void)isr_get(s->d);
}
