/* SPDX-License-Identifier: MIT */
/* The device core: status and feature negotiation, queue registers, request pump, resets. */
#include <errno.h>

#include "unit/device_rig.h"
#include "virtq/drv.h"

#define STUB_FEATURE  (1ull << 3)
#define STUB_HELD_MAX 256u

/* A device that keeps requests until it is told to complete them. */
struct stub {
    struct vdev vdev;
    struct vdev_request *held[STUB_HELD_MAX];
    unsigned held_count, kicks, requests;
    bool hold;
    uint8_t config[8];
};

static struct stub *to_stub(struct vdev *d)
{
    return (struct stub *)(void *)d;
}

static uint64_t stub_features(struct vdev *d)
{
    return STUB_FEATURE;
}
static unsigned stub_queues(struct vdev *d)
{
    return 2;
}
static unsigned stub_size(struct vdev *d, unsigned queue)
{
    return queue == 1 ? 16 : 0;
}
static void stub_config_read(struct vdev *d, unsigned offset, unsigned bytes, void *value)
{
    ck_assert_uint_le(offset + bytes, sizeof(to_stub(d)->config));
    memcpy(value, to_stub(d)->config + offset, bytes);
}
static void stub_complete(struct stub *s)
{
    while (s->held_count) {
        struct vdev_request *r = s->held[--s->held_count];

        vdev_request_done(r, (uint32_t)r->in_bytes);
    }
}
static void stub_reset(struct vdev *d)
{
    stub_complete(to_stub(d));
}
static void stub_queue_reset(struct vdev *d, unsigned queue)
{
    stub_complete(to_stub(d));
}
static void stub_request(struct vdev *d, struct vdev_request *r)
{
    struct stub *s = to_stub(d);

    s->requests++;
    if (s->hold)
        s->held[s->held_count++] = r;
    else
        vdev_request_done(r, (uint32_t)r->in_bytes);
}
static void stub_kick_end(struct vdev *d, unsigned queue)
{
    to_stub(d)->kicks++;
}
static void stub_destroy(struct vdev *d)
{
    vdev_fini(d);
    free(d);
}

static const struct vdev_type stub_type = {
    .name = "stub",
    .device_id = 42,
    .config_bytes = 8,
    .features = stub_features,
    .num_queues = stub_queues,
    .queue_size_max = stub_size,
    .config_read = stub_config_read,
    .reset = stub_reset,
    .queue_reset = stub_queue_reset,
    .request = stub_request,
    .kick_end = stub_kick_end,
    .destroy = stub_destroy,
};

static struct stub *setup(struct rig *g)
{
    struct vdev_config config = rig_setup(g);
    struct vdev_init_params params = {.chain_max = 32};
    struct stub *s = calloc(1, sizeof(*s));

    ck_assert_int_eq(vdev_init(&s->vdev, &stub_type, &config, &params), 0);
    rig_attach(g, &s->vdev);
    return s;
}

static const struct rig_seg simple[2] = {
    {RIG_BASE + RIG_DATA, 16, false},
    {RIG_BASE + RIG_DATA + 4096, 32, true},
};

START_TEST(init_refuses_nonsense)
{
    struct rig g;
    struct stub *s = setup(&g);
    struct vdev_config config = {.loop = g.loop, .gmem = g.gmem, .queue_size_max = 64};
    struct vdev_init_params params = {.chain_max = 32};
    struct vdev d;

    ck_assert_int_eq(vdev_init(&d, &stub_type, &config, &params), -EINVAL);
    config.features = VIRTIO_F(VIRTIO_F_VERSION_1) | VIRTIO_F(VIRTIO_F_SR_IOV);
    ck_assert_int_eq(vdev_init(&d, &stub_type, &config, &params), -EINVAL);
    config.features = VIRTIO_F(VIRTIO_F_VERSION_1);
    config.queue_size_max = 48;
    ck_assert_int_eq(vdev_init(&d, &stub_type, &config, &params), -EINVAL);
    config.queue_size_max = 64;
    params.chain_max = VDEV_CHAIN_MAX + 1;
    ck_assert_int_eq(vdev_init(&d, &stub_type, &config, &params), -EINVAL);
    (void)s;
    rig_teardown(&g);
}
END_TEST

START_TEST(status_follows_the_sequence)
{
    struct rig g;

    setup(&g);
    ck_assert_uint_eq(vdev_device_features(g.dev),
                      RIG_MIN | STUB_FEATURE | VIRTIO_F(VIRTIO_F_INDIRECT_DESC) |
                          VIRTIO_F(VIRTIO_F_EVENT_IDX) | VIRTIO_F(VIRTIO_F_RING_PACKED) |
                          VIRTIO_F(VIRTIO_F_IN_ORDER) | VIRTIO_F(VIRTIO_F_RING_RESET));
    vdev_set_status(g.dev, VIRTIO_STATUS_DRIVER_OK);
    ck_assert_uint_eq(vdev_status(g.dev), 0);
    vdev_set_status(g.dev, VIRTIO_STATUS_FEATURES_OK);
    ck_assert_uint_eq(vdev_status(g.dev), 0);
    vdev_set_status(g.dev, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    ck_assert_uint_eq(vdev_status(g.dev), 3);
    vdev_set_status(g.dev, VIRTIO_STATUS_ACKNOWLEDGE); /* bits cannot be cleared */
    ck_assert_uint_eq(vdev_status(g.dev), 3);
    vdev_set_status(g.dev, 0x30 | 3); /* reserved, or not offered */
    ck_assert_uint_eq(vdev_status(g.dev), 3);
    vdev_set_status(g.dev, VIRTIO_STATUS_DEVICE_NEEDS_RESET | 3); /* the device's to set */
    ck_assert_uint_eq(vdev_status(g.dev), 3);
    vdev_set_status(g.dev, VIRTIO_STATUS_FAILED | 3);
    ck_assert_uint_eq(vdev_status(g.dev), 0x83);
    vdev_set_status(g.dev, 0);
    ck_assert_uint_eq(vdev_status(g.dev), 0);
    rig_teardown(&g);
}
END_TEST

START_TEST(features_ok_is_refused)
{
    static const uint64_t bad[] = {
        0,
        VIRTIO_F(VIRTIO_F_VERSION_1),
        VIRTIO_F(VIRTIO_F_ACCESS_PLATFORM),
        RIG_MIN | VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA),
        RIG_MIN | 1,
        RIG_MIN | 1ull << 63,
    };
    struct rig g;

    setup(&g);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rig_features(&g, bad[i]);
        ck_assert_uint_eq(vdev_status(g.dev), 3);
        /* A second attempt with a good set may follow. */
        rig_features(&g, RIG_MIN | STUB_FEATURE);
        ck_assert_uint_eq(vdev_status(g.dev), 11);
        vdev_set_driver_features(g.dev, 0, 0);
        vdev_set_driver_features(g.dev, 2, 0xffffffff);
        ck_assert_uint_eq(vdev_driver_features(g.dev, 0), STUB_FEATURE);
        ck_assert_uint_eq(vdev_driver_features(g.dev, 2), 0);
        vdev_set_status(g.dev, 0);
        ck_assert_uint_eq(vdev_driver_features(g.dev, 1), 0);
    }
    rig_teardown(&g);
}
END_TEST

START_TEST(queue_registers_are_checked)
{
    struct rig g;
    struct vdev_queue_regs regs;

    setup(&g);
    vdev_queue_get(g.dev, 0, &regs);
    ck_assert_uint_eq(regs.size, 64);
    vdev_queue_get(g.dev, 1, &regs);
    ck_assert_uint_eq(regs.size, 16);
    vdev_queue_get(g.dev, 2, &regs);
    ck_assert_uint_eq(regs.size, 0);
    vdev_queue_get(g.dev, UINT32_MAX, &regs);
    ck_assert_uint_eq(regs.size, 0);
    vdev_queue_set_size(g.dev, 0, 0);
    vdev_queue_set_size(g.dev, 0, 3);
    vdev_queue_set_size(g.dev, 0, 128);
    vdev_queue_set_size(g.dev, 0, 0x8000);
    vdev_queue_set_size(g.dev, 7, 8);
    vdev_queue_get(g.dev, 0, &regs);
    ck_assert_uint_eq(regs.size, 64);
    vdev_queue_enable(g.dev, 0); /* before FEATURES_OK */
    vdev_queue_get(g.dev, 0, &regs);
    ck_assert(!regs.enabled);
    rig_features(&g, RIG_MIN);
    rig_queue(&g, 0, 8);
    vdev_queue_set_size(g.dev, 0, 16); /* while enabled */
    vdev_queue_set_addr(g.dev, 0, gpa_make(1), gpa_make(2), gpa_make(3));
    vdev_queue_get(g.dev, 0, &regs);
    ck_assert(regs.enabled);
    ck_assert_uint_eq(regs.size, 8);
    ck_assert_uint_eq(regs.desc.raw, RIG_BASE);
    vdev_queue_enable(g.dev, 2);
    vdev_queue_notify(g.dev, 2);
    vdev_queue_notify(g.dev, UINT32_MAX);
    vdev_queue_reset(g.dev, UINT32_MAX);
    vdev_set_status(g.dev, 0);
    vdev_queue_get(g.dev, 0, &regs);
    ck_assert(!regs.enabled);
    ck_assert_uint_eq(regs.size, 64);
    ck_assert_uint_eq(regs.desc.raw, 0);
    ck_assert_uint_eq(g.gmem->leases_out, 0);
    rig_teardown(&g);
}
END_TEST

START_TEST(bad_areas_need_a_reset)
{
    static const struct {
        uint64_t desc, driver, device;
        const char *fault;
    } cases[] = {
        {RIG_BASE + 8, RIG_BASE + 0x4000, RIG_BASE + 0x8000, "queue-misaligned"},
        {RIG_BASE, RIG_BASE + 0x4001, RIG_BASE + 0x8000, "queue-misaligned"},
        {RIG_BASE, RIG_BASE + 0x4000, RIG_BASE + 0x8002, "queue-misaligned"},
        {0, 0, 0, "ring-unreachable"},
        {RIG_BASE, RIG_BASE + RIG_BYTES - 16, RIG_BASE + 0x8000, "ring-unreachable"},
        {RIG_BASE, RIG_BASE + 0x4000, RIG_RO_BASE, "ring-unreachable"},
        {UINT64_MAX - 15, RIG_BASE + 0x4000, RIG_BASE + 0x8000, "queue-misaligned"},
    };
    struct rig g;

    setup(&g);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_features(&g, RIG_MIN);
        vdev_queue_set_addr(g.dev, 0, gpa_make(cases[i].desc), gpa_make(cases[i].driver),
                            gpa_make(cases[i].device));
        vdev_queue_enable(g.dev, 0);
        rig_wait_fault(&g, cases[i].fault);
        ck_assert_uint_eq(g.gmem->leases_out, 0);
        ck_assert_uint_eq(g.config_interrupts, 0); /* not before DRIVER_OK */
        /* Nothing but FAILED and reset from here. */
        rig_driver_ok(&g);
        ck_assert_uint_eq(vdev_status(g.dev), VIRTIO_STATUS_DEVICE_NEEDS_RESET | 11);
        vdev_set_status(g.dev, 0);
    }
    rig_teardown(&g);
}
END_TEST

START_TEST(nothing_moves_before_driver_ok)
{
    struct rig g;
    struct stub *s = setup(&g);

    rig_features(&g, RIG_MIN);
    rig_queue(&g, 0, 64);
    rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    ck_assert_uint_eq(s->requests, 0);
    rig_driver_ok(&g);
    rig_wait_used(&g, 0, 1);
    ck_assert_uint_eq(virtq_raw_used_get(&g.rings[0], 0).len, 32);
    ck_assert_uint_eq(g.interrupts[0], 1);
    rig_teardown(&g);
}
END_TEST

START_TEST(a_batch_is_one_interrupt)
{
    struct rig g;
    struct stub *s = setup(&g);

    rig_start(&g, RIG_MIN);
    for (unsigned i = 0; i < 10; i++)
        rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_wait_used(&g, 0, 10);
    ck_assert_uint_eq(g.interrupts[0], 1);
    ck_assert_uint_eq(s->kicks, 1);
    virtq_raw_avail_flags_set(&g.rings[0], 1); /* NO_INTERRUPT */
    rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_wait_used(&g, 0, 11);
    ck_assert_uint_eq(g.interrupts[0], 1);
    rig_teardown(&g);
}
END_TEST

START_TEST(event_idx_decides)
{
    struct rig g;

    setup(&g);
    rig_start(&g, RIG_MIN | VIRTIO_F(VIRTIO_F_EVENT_IDX));
    virtq_raw_used_event_set(&g.rings[0], 2);
    for (unsigned i = 1; i <= 4; i++) {
        rig_add(&g, 0, simple, 2);
        vdev_queue_notify(g.dev, 0);
        rig_wait_used(&g, 0, (uint16_t)i);
        ck_assert_uint_eq(g.interrupts[0], i < 3 ? 0 : 1);
    }
    ck_assert_uint_eq(virtq_raw_avail_event_get(&g.rings[0]), 4);
    rig_teardown(&g);
}
END_TEST

/* A driver that makes one chain available again and again runs into the pool, not over it. */
START_TEST(duplicate_heads_wait_for_slots)
{
    struct rig g;
    struct stub *s = setup(&g);

    rig_start(&g, RIG_MIN);
    s->hold = true;
    rig_add(&g, 0, simple, 2);
    for (unsigned i = 1; i < 64; i++)
        virtq_raw_avail_add(&g.rings[0], 0);
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    ck_assert_uint_eq(s->requests, 64);
    for (unsigned i = 0; i < 40; i++)
        virtq_raw_avail_add(&g.rings[0], 0);
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    ck_assert_uint_le(s->held_count, 64);
    s->hold = false;
    stub_complete(s);
    if (!(vdev_status(g.dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET))
        rig_wait_used(&g, 0, 104);
    rig_teardown(&g);
}
END_TEST

START_TEST(reset_returns_everything)
{
    struct rig g;
    struct stub *s = setup(&g);

    rig_start(&g, RIG_MIN);
    s->hold = true;
    for (unsigned i = 0; i < 5; i++)
        rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    ck_assert_uint_eq(s->held_count, 5);
    ck_assert_uint_eq(g.gmem->leases_out, 6);
    vdev_set_status(g.dev, 0);
    ck_assert_uint_eq(vdev_status(g.dev), 0);
    ck_assert_uint_eq(g.gmem->leases_out, 0);
    ck_assert_uint_eq(g.interrupts[0], 0);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 0);
    /* A doorbell to a device that was reset rings nothing. */
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    s->hold = false;
    rig_start(&g, RIG_MIN);
    rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_wait_used(&g, 0, 1);
    rig_teardown(&g);
}
END_TEST

START_TEST(queue_reset_and_reenable)
{
    struct rig g;
    struct stub *s = setup(&g);
    struct vdev_queue_regs regs;

    rig_start(&g, RIG_MIN | VIRTIO_F(VIRTIO_F_RING_RESET));
    s->hold = true;
    rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    vdev_queue_reset(g.dev, 0);
    vdev_queue_get(g.dev, 0, &regs);
    ck_assert(!regs.enabled);
    ck_assert_uint_eq(regs.size, 64);
    ck_assert_uint_eq(g.gmem->leases_out, 0);
    ck_assert_uint_eq(g.interrupts[0], 0);
    s->hold = false;
    rig_queue(&g, 0, 16);
    rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_wait_used(&g, 0, 1);
    /* Without the feature there is no such thing. */
    vdev_set_status(g.dev, 0);
    rig_start(&g, RIG_MIN);
    vdev_queue_reset(g.dev, 0);
    vdev_queue_get(g.dev, 0, &regs);
    ck_assert(regs.enabled);
    rig_teardown(&g);
}
END_TEST

static void expect_chain_fault(const struct rig_seg *segs, unsigned count, const char *fault)
{
    struct rig g;
    struct stub *s = setup(&g);

    rig_start(&g, RIG_MIN);
    rig_add(&g, 0, simple, 2);
    rig_add(&g, 0, segs, count);
    vdev_queue_notify(g.dev, 0);
    rig_wait_fault(&g, fault);
    ck_assert_uint_eq(g.config_interrupts, 1);
    ck_assert_uint_eq(s->requests, 1);
    /* What was done before counts. */
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 1);
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    ck_assert_uint_eq(g.config_interrupts, 1);
    rig_teardown(&g);
}

START_TEST(hostile_chains_fault)
{
    struct rig_seg out_of_memory[] = {{0x1000, 16, false}, {RIG_BASE + RIG_DATA, 1, true}};
    struct rig_seg read_only[] = {{RIG_RO_BASE, 16, false}, {RIG_RO_BASE + 64, 1, true}};
    struct rig_seg order[] = {{RIG_BASE + RIG_DATA, 16, true}, {RIG_BASE + RIG_DATA, 16, false}};
    struct rig_seg wraps[] = {{UINT64_MAX - 3, 16, false}};
    struct rig_seg past_end[] = {{RIG_BASE + RIG_BYTES - 8, 16, true}};
    struct rig_seg many[40];

    for (unsigned i = 0; i < 40; i++)
        many[i] = (struct rig_seg){RIG_BASE + RIG_DATA, 4, false};
    expect_chain_fault(out_of_memory, 2, "buffer-unreachable");
    expect_chain_fault(read_only, 2, "buffer-unreachable");
    expect_chain_fault(past_end, 1, "buffer-unreachable");
    expect_chain_fault(order, 2, virtq_fault_name(VIRTQ_FAULT_CHAIN_ORDER));
    expect_chain_fault(wraps, 1, virtq_fault_name(VIRTQ_FAULT_DESC_WRAP));
    expect_chain_fault(many, 40, virtq_fault_name(VIRTQ_FAULT_CHAIN_LONG));
}
END_TEST

START_TEST(empty_buffers_are_skipped)
{
    struct rig_seg mixed[] = {{0, 0, false},
                              {RIG_BASE + RIG_DATA, 8, false},
                              {UINT64_MAX, 0, true},
                              {RIG_BASE + RIG_DATA + 64, 4, true}};
    struct rig_seg empty = {0, 0, false};
    struct rig g;

    setup(&g);
    rig_start(&g, RIG_MIN);
    rig_add(&g, 0, mixed, 4);
    rig_add(&g, 0, &empty, 1);
    vdev_queue_notify(g.dev, 0);
    rig_wait_used(&g, 0, 2);
    ck_assert_uint_eq(virtq_raw_used_get(&g.rings[0], 0).len, 4);
    ck_assert_uint_eq(virtq_raw_used_get(&g.rings[0], 1).len, 0);
    rig_teardown(&g);
}
END_TEST

START_TEST(indirect_only_when_negotiated)
{
    struct virtq_raw_desc entry = {.addr = RIG_BASE + RIG_DATA, .len = 8};
    struct rig g;

    setup(&g);
    for (unsigned negotiated = 0; negotiated < 2; negotiated++) {
        rig_start(&g, RIG_MIN | (negotiated ? VIRTIO_F(VIRTIO_F_INDIRECT_DESC) : 0));
        virtq_raw_table_set(g.mem + RIG_DATA + 8192, 0, entry);
        virtq_raw_desc_set(&g.rings[0], 0,
                           (struct virtq_raw_desc){.addr = RIG_BASE + RIG_DATA + 8192,
                                                   .len = 16,
                                                   .flags = RIG_DESC_INDIRECT});
        virtq_raw_avail_add(&g.rings[0], 0);
        vdev_queue_notify(g.dev, 0);
        if (negotiated)
            rig_wait_used(&g, 0, 1);
        else
            rig_wait_fault(&g, virtq_fault_name(VIRTQ_FAULT_INDIRECT_UNOFFERED));
        vdev_set_status(g.dev, 0);
        ck_assert_uint_eq(g.gmem->leases_out, 0);
    }
    rig_teardown(&g);
}
END_TEST

/* One queue without end does not keep the other, or the loop, from its turn. */
START_TEST(a_full_queue_starves_nobody)
{
    struct rig g;
    struct stub *s = setup(&g);

    rig_features(&g, RIG_MIN);
    rig_queue(&g, 0, 64);
    rig_queue(&g, 1, 16);
    rig_driver_ok(&g);
    rig_turn(&g);
    for (unsigned i = 0; i < 64; i++) {
        struct rig_seg one = {RIG_BASE + RIG_DATA, 4, false};

        rig_add(&g, 0, &one, 1);
    }
    rig_add(&g, 1, simple, 2);
    vdev_queue_notify(g.dev, 0);
    vdev_queue_notify(g.dev, 1);
    ck_assert_int_eq(evloop_once(g.loop, 0), 0);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[1]), 1);
    ck_assert_uint_le(s->requests, VDEV_PUMP_BUDGET + 1);
    rig_wait_used(&g, 0, 64);
    rig_teardown(&g);
}
END_TEST

START_TEST(config_generation_moves_once_a_read)
{
    struct rig g;
    struct stub *s = setup(&g);
    uint8_t value[16], before;

    rig_start(&g, RIG_MIN);
    memset(s->config, 7, sizeof(s->config));
    before = vdev_config_generation(g.dev);
    for (unsigned i = 0; i < 256; i++) /* would wrap an incremented counter */
        vdev_config_changed(g.dev);
    ck_assert_uint_eq(g.config_interrupts, 256);
    vdev_config_read(g.dev, 0, 4, value);
    ck_assert_uint_ne(vdev_config_generation(g.dev), before);
    before = vdev_config_generation(g.dev);
    vdev_config_read(g.dev, 4, 8, value); /* over the end: zeroes */
    ck_assert_uint_eq(vdev_config_generation(g.dev), before);
    ck_assert_uint_eq(value[3], 7);
    ck_assert_uint_eq(value[4], 0);
    vdev_config_read(g.dev, 4000, 4, value);
    ck_assert_uint_eq(value[0], 0);
    vdev_config_write(g.dev, 0, 4, value);
    rig_teardown(&g);
}
END_TEST

/* With IN_ORDER a request that is done waits for the older ones; its memory does not. */
START_TEST(in_order_holds_back)
{
    struct virtq_raw_used u;
    uint16_t head[3];
    struct rig g;
    struct stub *s = setup(&g);

    rig_start(&g, RIG_MIN | VIRTIO_F(VIRTIO_F_IN_ORDER));
    s->hold = true;
    for (unsigned i = 0; i < 3; i++)
        head[i] = rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    ck_assert_uint_eq(s->held_count, 3);
    vdev_request_done(s->held[2], 1);
    ck_assert_uint_eq(g.gmem->leases_out, 3); /* two requests and the ring */
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 0);
    ck_assert_uint_eq(g.interrupts[0], 0);
    vdev_request_done(s->held[0], 32);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 1);
    u = virtq_raw_used_get(&g.rings[0], 0);
    ck_assert(u.id == head[0] && u.len == 32);
    ck_assert_uint_eq(g.interrupts[0], 1);
    /* The second was written whole: the third's entry stands for both. */
    vdev_request_done(s->held[1], 32);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 3);
    u = virtq_raw_used_get(&g.rings[0], 1);
    ck_assert(u.id == head[2] && u.len == 1);
    ck_assert_uint_eq(g.interrupts[0], 2);

    /* What is held back when the driver resets goes nowhere. */
    s->held_count = 0;
    for (unsigned i = 0; i < 3; i++)
        rig_add(&g, 0, simple, 2);
    vdev_queue_notify(g.dev, 0);
    rig_turn(&g);
    vdev_request_done(s->held[--s->held_count], 32);
    vdev_set_status(g.dev, 0);
    ck_assert_uint_eq(g.gmem->leases_out, 0);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 3);
    rig_teardown(&g);
}
END_TEST

/* A packed queue of an odd size, in any order and in order (_i). */
START_TEST(packed_queue)
{
    struct virtq_sg out = {gpa_make(simple[0].addr), 16}, in = {gpa_make(simple[1].addr), 32};
    struct virtq_drv_config config = {.format = VIRTQ_PACKED, .size = 7, .in_order = _i};
    struct rig g;
    struct stub *s = setup(&g);
    struct virtq_drv drv;

    rig_features(&g,
                 RIG_MIN | VIRTIO_F(VIRTIO_F_RING_PACKED) | (_i ? VIRTIO_F(VIRTIO_F_IN_ORDER) : 0));
    config.areas = (struct virtq_areas){g.mem, g.mem + 0x4000, g.mem + 0x8000};
    ck_assert_int_eq(virtq_drv_init(&drv, &config), 0);
    vdev_queue_set_size(g.dev, 0, 0); /* refused (4.1.4.3.2) */
    vdev_queue_set_size(g.dev, 0, 7);
    vdev_queue_set_addr(g.dev, 0, rig_gpa(0), rig_gpa(0x4000), rig_gpa(0x8000));
    vdev_queue_enable(g.dev, 0);
    rig_driver_ok(&g);
    s->hold = true;
    for (unsigned round = 0; round < 50; round++) {
        struct virtq_done done;

        for (unsigned i = 0; i < 3; i++)
            ck_assert_int_eq(
                virtq_drv_add(&drv, &out, 1, &in, 1, NULL, (void *)&simple[i % 2], NULL), 0);
        ck_assert_uint_eq(virtq_drv_publish(&drv), 3);
        ck_assert(virtq_drv_kick_needed(&drv));
        vdev_queue_notify(g.dev, 0);
        rig_turn(&g);
        ck_assert_uint_eq(s->held_count, 3);
        stub_complete(s);
        for (unsigned i = 0; i < 3; i++) {
            ck_assert_int_eq(virtq_drv_reap(&drv, &done), 1);
            ck_assert(done.fault == VIRTQ_OK && done.len_bytes == 32);
        }
        ck_assert_int_eq(virtq_drv_reap(&drv, &done), 0);
        ck_assert_uint_eq(g.interrupts[0], _i ? round + 1 : 3 * (round + 1));
    }
    virtq_drv_fini(&drv);
    rig_teardown(&g);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device_vdev");
    TCase *t = tcase_create("core");

    tcase_add_test(t, init_refuses_nonsense);
    tcase_add_test(t, status_follows_the_sequence);
    tcase_add_test(t, features_ok_is_refused);
    tcase_add_test(t, queue_registers_are_checked);
    tcase_add_test(t, bad_areas_need_a_reset);
    tcase_add_test(t, nothing_moves_before_driver_ok);
    tcase_add_test(t, a_batch_is_one_interrupt);
    tcase_add_test(t, event_idx_decides);
    tcase_add_test(t, duplicate_heads_wait_for_slots);
    tcase_add_test(t, reset_returns_everything);
    tcase_add_test(t, queue_reset_and_reenable);
    tcase_add_test(t, in_order_holds_back);
    tcase_add_loop_test(t, packed_queue, 0, 2);
    tcase_add_test(t, hostile_chains_fault);
    tcase_add_test(t, empty_buffers_are_skipped);
    tcase_add_test(t, indirect_only_when_negotiated);
    tcase_add_test(t, a_full_queue_starves_nobody);
    tcase_add_test(t, config_generation_moves_once_a_read);
    suite_add_tcase(s, t);
    return rig_main(s);
}
