/* SPDX-License-Identifier: MIT */
/* VIRTIO 4.2: the registers and the line of virtio over MMIO. */
#define CHECK_FAMILY "mmio"

#include <errno.h>

#include "conformance/consoledev.h"
#include "conformance/service.h"
#include "spec/virtio.h"
#include "spec/virtio_mmio.h"
#include "util/bits.h"

#define LAYOUT   "mmio.mmio-device-register-layout.device."
#define REG(reg) FE_VMMIO_REG(reg)

static uint32_t reg_get(struct device *d, unsigned offset)
{
    uint64_t value = 0;

    must(d->t, fe_vmmio_read(d->mmio, offset, 4, &value), "reading a register");
    return (uint32_t)value;
}

static void reg_set(struct device *d, unsigned offset, uint32_t value)
{
    must(d->t, fe_vmmio_write(d->mmio, offset, 4, value), "writing a register");
}

static unsigned queue_count(struct device *d)
{
    unsigned n = 0;

    must(d->t, d->v->ops->num_queues(d->v, &n), "counting the queues");
    return n;
}

static uint32_t queue_ready(struct device *d, unsigned queue)
{
    reg_set(d, REG(queue_sel), queue);
    return reg_get(d, REG(queue_ready));
}

/* ---- identity ---- */

CHECK(magic_and_version, .judges = DEVICE, .proves = LAYOUT "1 " LAYOUT "2", .needs = NEED_MMIO,
      .title = "MagicValue is \"virt\", Version 2")
{
    /* Not opened: a driver ignores a device that says something else. */
    const struct subject *s = check_subject(t);
    const uint64_t base = s->place.window.base;
    struct fe_platform *p = s->platform;
    uint64_t magic = 0, version = 0;

    must(t, p->ops->mmio_read(p, 0, base + REG(magic_value), 4, &magic), "reading MagicValue");
    must(t, p->ops->mmio_read(p, 0, base + REG(version), 4, &version), "reading Version");
    expect_eq(t, MUST, magic, VIRTIO_MMIO_MAGIC, "MagicValue");
    expect_eq(t, MUST, version, VIRTIO_MMIO_VERSION, "Version");
}

CHECK(feature_words_beyond_offered_are_zero, .judges = DEVICE, .proves = "xen.mmio.features.1",
      .needs = NEED_MMIO, .title = "DeviceFeatures follows DeviceFeaturesSel")
{
    static const uint32_t beyond[] = {4, 5, 31, 0x10000, 0xffffffff};
    struct device *d = given_device(t);

    for (unsigned round = 0; round < 2; round++) {
        uint64_t high, low;

        reg_set(d, REG(device_features_sel), 1);
        high = reg_get(d, REG(device_features));
        reg_set(d, REG(device_features_sel), 0);
        low = reg_get(d, REG(device_features));
        expect_eq(t, MUST, high << 32 | low, d->offered, "the offered features, read again");
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(beyond); i++) {
        reg_set(d, REG(device_features_sel), beyond[i]);
        expect_eq(t, MUST, reg_get(d, REG(device_features)), 0,
                  "features in a word that no feature is in");
    }
}

CHECK(config_generation_is_stable, .judges = DEVICE, .proves = "xen.mmio.generation.1",
      .needs = NEED_MMIO, .title = "Without a change of configuration the generation stays")
{
    struct device *d = given_device(t);
    uint32_t before = reg_get(d, REG(config_generation));

    for (unsigned i = 0; i < 16; i++)
        (void)device_get(d, 0, 4);
    expect_eq(t, MUST, reg_get(d, REG(config_generation)), before,
              "ConfigGeneration after 16 reads of the configuration");
}

CHECK(config_generation_moves, .judges = DEVICE, .proves = LAYOUT "6",
      .needs = NEED_MMIO | NEED_CONFIG_CHANGE,
      .title = "With a change of configuration ConfigGeneration changes")
{
    expect_generation_moves(t);
}

CHECK(absent_shared_memory_reads_ones, .judges = DEVICE, .proves = "xen.mmio.shm.1",
      .needs = NEED_MMIO, .title = "Length and base of a region that does not exist are -1")
{
    static const uint32_t ids[] = {0, 1, 0xff, 0xffffffff};
    static const unsigned regs[] = {REG(shm_len_low), REG(shm_len_high), REG(shm_base_low),
                                    REG(shm_base_high)};
    struct device *d = given_device(t);

    /* Network, block, console, entropy: types of which none has a region (5.1 to 5.4). */
    if (d->v->device_id < VIRTIO_ID_NET || d->v->device_id > VIRTIO_ID_ENTROPY)
        skip_check(t, "devices of type %u may have shared memory", d->v->device_id);
    for (unsigned i = 0; i < ARRAY_LENGTH(ids); i++) {
        reg_set(d, REG(shm_sel), ids[i]);
        for (unsigned r = 0; r < ARRAY_LENGTH(regs); r++)
            expect(t, MUST, reg_get(d, regs[r]) == 0xffffffff,
                   "the register at 0x%x reads 0x%x for region %u", regs[r], reg_get(d, regs[r]),
                   ids[i]);
    }
}

/* ---- reset ---- */

CHECK(reset_clears_events_and_ready, .judges = DEVICE, .proves = LAYOUT "5",
      .needs = NEED_MMIO | NEED_SERVICE,
      .title = "After a reset InterruptStatus and every QueueReady are 0")
{
    struct service *s = given_service(t, 0, 0);
    struct device *d = s->d;
    unsigned queues = queue_count(d);

    expect_served(s, s->q, false);
    expect_eq(t, MUST, queue_ready(d, s->q->index), 1, "QueueReady of a queue in use");
    device_reset(d);
    expect_eq(t, MUST, reg_get(d, REG(interrupt_status)), 0, "InterruptStatus after a reset");
    for (unsigned q = 0; q < queues; q++)
        expect(t, MUST, queue_ready(d, q) == 0, "QueueReady of queue %u after a reset is %u", q,
               queue_ready(d, q));
}

/* ---- events ---- */

/* InterruptStatus, once it has this bit or after a while. */
static uint32_t event_wait(struct device *d, uint32_t bit)
{
    uint64_t deadline = given_now_ns() + LIMIT_REPLY_NS;
    uint32_t status = reg_get(d, REG(interrupt_status));

    while (!(status & bit) && given_now_ns() < deadline) {
        given_pause();
        status = reg_get(d, REG(interrupt_status));
    }
    return status;
}

CHECK(event_stays_until_acknowledged, .judges = DEVICE, .proves = LAYOUT "3",
      .needs = NEED_MMIO | NEED_SERVICE,
      .title = "A used buffer sets bit 0: reading keeps it, InterruptACK clears it")
{
    struct service *s = given_service(t, 0, 0);
    struct device *d = s->d;

    expect_served(s, s->q, false);
    expect_eq(t, MUST, event_wait(d, VIRTIO_MMIO_INT_QUEUE) & VIRTIO_MMIO_INT_QUEUE,
              VIRTIO_MMIO_INT_QUEUE, "bit 0 of InterruptStatus after a buffer was used");
    for (unsigned i = 0; i < 3; i++)
        expect_eq(t, MUST, reg_get(d, REG(interrupt_status)) & VIRTIO_MMIO_INT_QUEUE,
                  VIRTIO_MMIO_INT_QUEUE, "bit 0 of InterruptStatus read again");
    reg_set(d, REG(interrupt_ack), 0);
    expect_eq(t, MUST, reg_get(d, REG(interrupt_status)) & VIRTIO_MMIO_INT_QUEUE,
              VIRTIO_MMIO_INT_QUEUE, "bit 0 of InterruptStatus after nothing was acknowledged");
    reg_set(d, REG(interrupt_ack), VIRTIO_MMIO_INT_QUEUE);
    expect_eq(t, MUST, reg_get(d, REG(interrupt_status)), 0,
              "InterruptStatus after the event was acknowledged");
}

CHECK(only_what_happened_is_presented, .judges = DEVICE, .proves = LAYOUT "4",
      .needs = NEED_MMIO | NEED_SERVICE,
      .title = "Without an event InterruptStatus is 0; a used buffer sets no other bit")
{
    struct service *s = given_service(t, 0, 0);
    struct device *d = s->d;

    expect_eq(t, MUST, reg_get(d, REG(interrupt_status)), 0, "InterruptStatus before any event");
    expect_served(s, s->q, false);
    expect_eq(t, MUST, event_wait(d, VIRTIO_MMIO_INT_QUEUE), VIRTIO_MMIO_INT_QUEUE,
              "InterruptStatus after a buffer was used");
    reg_set(d, REG(interrupt_ack), VIRTIO_MMIO_INT_QUEUE);
}

CHECK(events_are_acknowledged_one_by_one, .judges = DEVICE, .proves = LAYOUT "3",
      .needs = NEED_MMIO | NEED_SERVICE,
      .title = "Acknowledging a used buffer leaves a configuration change pending")
{
    struct service *s = given_service(t, 0, 0);
    const uint32_t both = VIRTIO_MMIO_INT_QUEUE | VIRTIO_MMIO_INT_CONFIG;
    struct device *d = s->d;

    expect_served(s, s->q, false);
    (void)event_wait(d, VIRTIO_MMIO_INT_QUEUE);
    /* DEVICE_NEEDS_RESET is the one change that a driver can bring about. */
    ring_break(s->q);
    ring_kick(s->q);
    if (!(event_wait(d, VIRTIO_MMIO_INT_CONFIG) & VIRTIO_MMIO_INT_CONFIG))
        skip_check(t, "the device announces no fault");
    expect_eq(t, MUST, reg_get(d, REG(interrupt_status)) & both, both,
              "InterruptStatus with two events");
    reg_set(d, REG(interrupt_ack), VIRTIO_MMIO_INT_QUEUE);
    expect_eq(t, MUST, reg_get(d, REG(interrupt_status)) & both, VIRTIO_MMIO_INT_CONFIG,
              "InterruptStatus after one of them was acknowledged");
    reg_set(d, REG(interrupt_ack), VIRTIO_MMIO_INT_CONFIG);
    expect_eq(t, MUST, reg_get(d, REG(interrupt_status)), 0,
              "InterruptStatus after both were acknowledged");
}

CHECK(line_follows_interrupt_status, .judges = DEVICE, .proves = "xen.mmio.line.1",
      .needs = NEED_MMIO | NEED_SERVICE | NEED_IRQ,
      .title = "The line is asserted with an event and lowered by its acknowledgement")
{
    struct service *s = given_service(t, 0, 0);
    struct fe_platform *p = s->d->subject->platform;
    struct device *d = s->d;

    for (unsigned round = 0; round < 2; round++) {
        expect(t, MUST, p->ops->irq_wait(p, s->q->irq, round ? LIMIT_QUIET_NS : 0) == 0,
               "the line is asserted without an event");
        expect_served(s, s->q, false);
        expect(t, MUST, p->ops->irq_wait(p, s->q->irq, LIMIT_REPLY_NS) == 1,
               "the line is not asserted after a buffer was used");
        reg_set(d, REG(interrupt_ack), reg_get(d, REG(interrupt_status)));
    }
    expect(t, MUST, p->ops->irq_wait(p, s->q->irq, LIMIT_QUIET_NS) == 0,
           "the line is still asserted after the event was acknowledged");
}

/* ---- queues ---- */

CHECK(queue_out_of_range_is_unavailable, .judges = DEVICE, .proves = "xen.mmio.queue-select.1",
      .needs = NEED_MMIO, .title = "QueueSizeMax is 0 for a queue that does not exist")
{
    struct device *d = given_negotiated(t, 0);
    unsigned queues = queue_count(d);
    const uint32_t absent[] = {queues, queues + 1, 0x7fff, 0xffff, 0x10000, 0xffffffff};

    expect(t, MUST, queues > 0, "there are no queues");
    for (unsigned i = 0; i < ARRAY_LENGTH(absent); i++) {
        if (absent[i] < queues)
            continue;
        reg_set(d, REG(queue_sel), absent[i]);
        expect(t, MUST, reg_get(d, REG(queue_size_max)) == 0,
               "QueueSizeMax of queue %u, which does not exist, is %u", absent[i],
               reg_get(d, REG(queue_size_max)));
        /* Whatever is written there has to be harmless. */
        reg_set(d, REG(queue_size), 8);
        reg_set(d, REG(queue_ready), 1);
        expect_eq(t, MUST, reg_get(d, REG(queue_ready)), 0,
                  "QueueReady of a queue that does not exist");
        reg_set(d, REG(queue_notify), absent[i]);
    }
    expect(t, MUST, !(device_status(d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET),
           "accesses to queues that do not exist broke the device");
}

CHECK(queue_ready_is_per_queue, .judges = DEVICE, .proves = "xen.mmio.queue-select.2",
      .needs = NEED_MMIO | NEED_SERVICE, .title = "QueueSel switches QueueReady")
{
    struct service *s = given_service(t, 0, 0);
    unsigned queues = queue_count(s->d);

    if (queues < 2)
        skip_check(t, "the device has a single queue");
    for (unsigned q = 0; q < queues; q++)
        expect(t, MUST, queue_ready(s->d, q) == (q == s->q->index),
               "QueueReady of queue %u is %u, and queue %u is the one that was set up", q,
               queue_ready(s->d, q), s->q->index);
}

CHECK(largest_size_stays, .judges = DEVICE, .proves = "xen.mmio.queue-size.1",
      .needs = NEED_MMIO | NEED_SERVICE,
      .title = "QueueSizeMax is a power of two and does not follow QueueSize")
{
    struct service *s = given_service_negotiated(t, 0);
    unsigned queues = queue_count(s->d), max;

    for (unsigned q = 0; q < queues; q++) {
        unsigned size = queue_max(s->d, q);

        /* A packed ring has any size (2.8.10.1). */
        expect(t, MUST,
               size && (is_pow2(size) || s->d->subject->packed) && size <= VIRTQ_SPLIT_SIZE_MAX,
               "QueueSizeMax of queue %u is %u", q, size);
    }
    max = queue_max(s->d, 0);
    if (max < 8)
        skip_check(t, "the largest queue has %u entries", max);
    service_queue(s, max / 2);
    device_driver_ok(s->d);
    expect_served(s, s->q, false);
    expect_eq(t, MUST, queue_max(s->d, s->q->index), max,
              "QueueSizeMax of a queue of half the size");
}

CHECK(address_halves_in_any_order, .judges = DEVICE, .proves = "xen.mmio.queue-address.1",
      .needs = NEED_MMIO | NEED_SERVICE,
      .title = "The two registers of an address are written each by itself")
{
    struct service *s = given_service(t, 0, 0);
    struct ring *q = s->q;
    const struct {
        unsigned low;
        gpa_t addr;
    } areas[] = {{REG(queue_desc_low), fe_dma_addr(&q->mem, q->desc_off)},
                 {REG(queue_driver_low), fe_dma_addr(&q->mem, q->driver_off)},
                 {REG(queue_device_low), fe_dma_addr(&q->mem, q->device_off)}};

    reg_set(s->d, REG(queue_sel), q->index);
    reg_set(s->d, REG(queue_ready), 0);
    expect_eq(t, MUST, reg_get(s->d, REG(queue_ready)), 0, "QueueReady after 0 was written");
    reg_set(s->d, REG(queue_size), q->size);
    for (unsigned i = 0; i < ARRAY_LENGTH(areas); i++) {
        reg_set(s->d, areas[i].low, 0x5a5a5000);
        reg_set(s->d, areas[i].low + 4, (uint32_t)(areas[i].addr.raw >> 32));
        reg_set(s->d, areas[i].low, (uint32_t)areas[i].addr.raw);
    }
    reg_set(s->d, REG(queue_ready), 1);
    expect_eq(t, MUST, reg_get(s->d, REG(queue_ready)), 1, "QueueReady after 1 was written");
    expect_served(s, q, false);
}

/* The backend has let go of the ring, as far as the driver can see that. */
static void expect_ring_released(struct ring *q, const char *when)
{
    unsigned held = 0;

    if (q->d->mem.addressing != FE_ADDRESSING_GRANTS)
        return;
    must(q->d->t, fe_grants_in_use(&q->d->mem, q->mem.map.first, q->mem.pages, &held),
         "reading the grant table");
    expect(q->d->t, MUST, held == 0, "%s the backend maps %u pages of the queue", when, held);
}

/* One more request offered; nobody may take it. */
static void expect_left_alone(struct service *s, const char *why)
{
    struct request *r = given_request(s);
    struct piece p[REQUEST_PIECES_MAX];

    ring_offer(s->q, ring_chain(s->q, 0, p, request_pieces(r, p, 1)));
    ring_kick(s->q);
    expect_unused(s->q, MUST, why);
    expect(s->d->t, MUST, !(device_status(s->d) & VIRTIO_STATUS_DEVICE_NEEDS_RESET),
           "the doorbell of a queue that was stopped broke the device");
}

CHECK(queue_not_ready_is_left_alone, .judges = DEVICE, .proves = LAYOUT "7",
      .needs = NEED_MMIO | NEED_SERVICE,
      .title = "With QueueReady 0 the device neither uses nor holds the queue")
{
    struct service *s = given_service(t, 0, 0);
    unsigned index = s->q->index;

    expect_served(s, s->q, false);
    reg_set(s->d, REG(queue_sel), index);
    reg_set(s->d, REG(queue_ready), 0);
    expect_eq(t, MUST, reg_get(s->d, REG(queue_ready)), 0, "QueueReady after 0 was written");
    expect_ring_released(s->q, "with QueueReady 0");
    expect_left_alone(s, "a buffer was used with QueueReady 0");
    if (queue_ready(s->d, index))
        stop_check(t);
    s->q = given_queue(s->d, index, 0);
    expect_eq(t, MUST, queue_ready(s->d, index), 1, "QueueReady of a queue that was set up anew");
    expect_served(s, s->q, false);
}

CHECK(queue_reset_reads_zero, .judges = DEVICE, .proves = LAYOUT "8 " LAYOUT "9",
      .needs = NEED_MMIO | NEED_SERVICE | NEED_RING_RESET,
      .title = "QueueReset is 0 after a reset and when a queue was enabled")
{
    struct service *s = given_service_negotiated(t, VIRTIO_F(VIRTIO_F_RING_RESET));
    unsigned queues = queue_count(s->d);

    for (unsigned q = 0; q < queues; q++) {
        reg_set(s->d, REG(queue_sel), q);
        expect_eq(t, MUST, reg_get(s->d, REG(queue_reset)), 0, "QueueReset after a reset");
    }
    service_queue(s, 0);
    reg_set(s->d, REG(queue_sel), s->q->index);
    expect_eq(t, MUST, reg_get(s->d, REG(queue_reset)), 0, "QueueReset of an enabled queue");
    device_driver_ok(s->d);
    expect_served(s, s->q, false);
}

CHECK(doorbell_with_notification_data, .judges = DEVICE, .proves = "xen.mmio.doorbell.1",
      .needs = NEED_MMIO | NEED_SERVICE | NEED_NOTIFICATION_DATA,
      .title = "A doorbell that says where the next entry will be")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA), 8);

    for (unsigned i = 0; i < 20; i++)
        expect_served(s, s->q, false);
}

CHECK(queue_reset_stops_the_queue, .judges = DEVICE,
      .proves = LAYOUT "10 " LAYOUT "11 " LAYOUT "12 basic.virtqueue-reset.device.1 "
                       "basic.virtqueue-reset.device.2 basic.virtqueue-re-enable.device.1",
      .needs = NEED_MMIO | NEED_SERVICE | NEED_RING_RESET,
      .title = "QueueReset reads 1 until the queue is let go; it can be set up anew")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_RING_RESET), 0);
    unsigned index = s->q->index;
    uint64_t deadline;
    uint32_t value;

    expect_served(s, s->q, false);
    reg_set(s->d, REG(queue_sel), index);
    reg_set(s->d, REG(queue_reset), 1);
    deadline = given_now_ns() + LIMIT_REPLY_NS;
    while ((value = reg_get(s->d, REG(queue_reset))) == 1 && given_now_ns() < deadline)
        given_pause();
    expect_eq(t, MUST, value, 0, "QueueReset when the reset should be complete");
    expect_eq(t, MUST, reg_get(s->d, REG(queue_ready)), 0, "QueueReady after the queue's reset");
    expect_ring_released(s->q, "after the queue's reset");
    expect_left_alone(s, "a buffer was used after the queue's reset");
    if (queue_ready(s->d, index))
        stop_check(t);
    s->q = given_queue(s->d, index, 0);
    expect_served(s, s->q, false);
}

/* ---- what no driver does ---- */

struct known {
    uint32_t status, device_id, size_max, ready, generation;
};

static struct known known_get(struct device *d)
{
    struct known k = {.status = reg_get(d, REG(status)), .device_id = reg_get(d, REG(device_id))};

    reg_set(d, REG(queue_sel), 0);
    k.size_max = reg_get(d, REG(queue_size_max));
    k.ready = reg_get(d, REG(queue_ready));
    k.generation = reg_get(d, REG(config_generation));
    return k;
}

static void expect_known(struct device *d, enum check_level level, const struct known *k,
                         const char *what, unsigned offset)
{
    struct known now = known_get(d);

    expect(d->t, level,
           now.status == k->status && now.device_id == k->device_id &&
               now.size_max == k->size_max && now.ready == k->ready &&
               now.generation == k->generation,
           "%s at 0x%x changed the device: status 0x%x, was 0x%x; QueueReady %u, was %u", what,
           offset, now.status, k->status, now.ready, k->ready);
}

CHECK(reserved_and_read_only_registers_ignore_writes, .judges = DEVICE,
      .proves = "xen.mmio.reserved.1", .needs = NEED_MMIO | NEED_SERVICE,
      .title = "Writing them changes nothing, reading them neither")
{
    static const unsigned writable[] = {REG(device_features_sel),
                                        REG(driver_features),
                                        REG(driver_features_sel),
                                        REG(queue_sel),
                                        REG(queue_size),
                                        REG(queue_ready),
                                        REG(queue_notify),
                                        REG(interrupt_ack),
                                        REG(status),
                                        REG(queue_desc_low),
                                        REG(queue_desc_high),
                                        REG(queue_driver_low),
                                        REG(queue_driver_high),
                                        REG(queue_device_low),
                                        REG(queue_device_high),
                                        REG(shm_sel),
                                        REG(queue_reset)};
    struct service *s = given_service(t, 0, 0);
    struct known k = known_get(s->d);

    for (unsigned offset = 0; offset < VIRTIO_MMIO_CONFIG; offset += 4) {
        bool skip = false;

        for (unsigned i = 0; i < ARRAY_LENGTH(writable); i++)
            skip = skip || writable[i] == offset;
        if (skip)
            continue;
        (void)reg_get(s->d, offset);
        reg_set(s->d, offset, 0);
        reg_set(s->d, offset, 0xffffffff);
        expect_known(s->d, MUST, &k, "a write", offset);
    }
    expect_served(s, s->q, false);
}

CHECK(other_widths_have_no_effect, .judges = DEVICE,
      .proves = "xen.mmio.width.1 xen.hostile.mmio.1", .needs = NEED_MMIO | NEED_SERVICE,
      .timeout_ms = 60000,
      .title = "Accesses of 8, 16 and 64 bits, and unaligned ones, do no harm to registers")
{
    static const unsigned widths[] = {1, 2, 4, 8};
    struct service *s = given_service(t, 0, 0);
    struct known k = known_get(s->d);
    uint64_t value;

    for (unsigned i = 0; i < ARRAY_LENGTH(widths); i++) {
        for (unsigned offset = 0; offset + widths[i] <= VIRTIO_MMIO_CONFIG; offset++) {
            if (widths[i] == 4 && is_aligned(offset, 4))
                continue;
            /* Arm: the processor itself refuses these, for device memory. */
            if (s->d->subject->platform->arm && !is_aligned(offset, widths[i]))
                continue;
            must(t, fe_vmmio_read(s->d->mmio, offset, widths[i], &value), "an odd read");
            must(t, fe_vmmio_write(s->d->mmio, offset, widths[i], 0), "an odd write");
        }
        /* What it is then, nobody says; that a register was written by it would be luck. */
        expect_known(s->d, SHOULD, &k, "odd accesses up to", VIRTIO_MMIO_CONFIG);
    }
    expect_service_recovers(s, "accesses of other widths");
}
