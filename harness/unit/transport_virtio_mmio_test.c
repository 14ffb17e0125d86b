/* SPDX-License-Identifier: MIT */
/* The register file and the line of virtio over MMIO, accessed as a driver does. */
#include <errno.h>

#include "device/blk.h"
#include "spec/virtio_blk.h"
#include "spec/virtio_mmio.h"
#include "transport/virtio_mmio.h"
#include "unit/device_rig.h"

#define QUEUES 2u

struct window {
    struct rig g;
    struct virtio_mmio *vm;
    bool level;
    unsigned edges;
};

static void on_line(void *ctx, bool level)
{
    struct window *w = ctx;

    ck_assert(level != w->level);
    w->level = level;
    w->edges++;
}

static const struct virtio_mmio_ops ops = {.line = on_line};

#define REG(name)           ((unsigned)offsetof(struct virtio_mmio_regs, name))
#define GET(w, name)        virtio_mmio_read((w)->vm, REG(name), 4)
#define SET(w, name, value) virtio_mmio_write((w)->vm, REG(name), 4, value)

static void setup(struct window *w)
{
    struct blk_options blk = {.null_bytes = 1 << 20, .queues = QUEUES};
    struct vdev_config config;
    char error[128];

    memset(w, 0, sizeof(*w));
    config = rig_setup(&w->g);
    ck_assert_int_eq(blk_create(&config, &blk, &w->g.dev, error, sizeof(error)), 0);
    ck_assert_int_eq(virtio_mmio_create(w->g.dev, &ops, w, &w->vm), 0);
}

static void teardown(struct window *w)
{
    virtio_mmio_destroy(w->vm);
    ck_assert(!w->level);
    rig_teardown(&w->g);
}

static void negotiate(struct window *w, uint64_t features)
{
    SET(w, status, 1);
    SET(w, status, 3);
    for (unsigned word = 0; word < 2; word++) {
        SET(w, driver_features_sel, word);
        SET(w, driver_features, (uint32_t)(features >> (word * 32)));
    }
    SET(w, status, 11);
    ck_assert_uint_eq(GET(w, status), 11);
}

static void set_address(struct window *w, unsigned low, uint32_t offset)
{
    virtio_mmio_write(w->vm, low, 4, (uint32_t)(RIG_BASE + offset));
    virtio_mmio_write(w->vm, low + 4, 4, (RIG_BASE + offset) >> 32);
}

static void enable_queue(struct window *w, unsigned queue)
{
    uint32_t at = queue * 0x10000;

    memset(w->g.mem + at, 0, 0x10000);
    w->g.rings[queue] = (struct virtq_raw){
        .size = 16, .areas = {w->g.mem + at, w->g.mem + at + 0x4000, w->g.mem + at + 0x8000}};
    w->g.next_desc[queue] = 0;
    SET(w, queue_sel, queue);
    ck_assert_uint_eq(GET(w, queue_ready), 0);
    SET(w, queue_size, 16);
    set_address(w, REG(queue_desc_low), at);
    set_address(w, REG(queue_driver_low), at + 0x4000);
    set_address(w, REG(queue_device_low), at + 0x8000);
    SET(w, queue_ready, 1);
    ck_assert_uint_eq(GET(w, queue_ready), 1);
}

static void offer_read(struct window *w, unsigned queue)
{
    struct virtio_blk_req_hdr h = {.type = le32_make(VIRTIO_BLK_T_IN)};
    struct rig_seg segs[] = {{RIG_BASE + RIG_DATA, 16, false},
                             {RIG_BASE + RIG_DATA + 4096, 512, true},
                             {RIG_BASE + RIG_DATA + 8192, 1, true}};

    memcpy(w->g.mem + RIG_DATA, &h, sizeof(h));
    rig_add(&w->g, queue, segs, 3);
}

static void read_sector(struct window *w, unsigned queue)
{
    uint16_t used = virtq_raw_used_idx_get(&w->g.rings[queue]);

    offer_read(w, queue);
    SET(w, queue_notify, queue);
    rig_wait_used(&w->g, queue, (uint16_t)(used + 1));
}

static void start(struct window *w, uint64_t features)
{
    negotiate(w, features);
    for (unsigned q = 0; q < QUEUES; q++)
        enable_queue(w, q);
    SET(w, status, 15);
}

START_TEST(identity)
{
    struct window w;

    setup(&w);
    ck_assert_uint_eq(GET(&w, magic_value), VIRTIO_MMIO_MAGIC);
    ck_assert_uint_eq(GET(&w, version), 2);
    ck_assert_uint_eq(GET(&w, device_id), VIRTIO_ID_BLOCK);
    ck_assert_uint_ne(GET(&w, vendor_id), 0);
    ck_assert_uint_eq(GET(&w, status), 0);
    ck_assert_uint_eq(GET(&w, interrupt_status), 0);
    SET(&w, magic_value, 0); /* read-only */
    SET(&w, version, 1);
    SET(&w, device_id, 1);
    SET(&w, config_generation, 7);
    ck_assert_uint_eq(GET(&w, magic_value), VIRTIO_MMIO_MAGIC);
    ck_assert_uint_eq(GET(&w, version), 2);
    ck_assert_uint_eq(GET(&w, device_id), VIRTIO_ID_BLOCK);
    ck_assert_uint_eq(GET(&w, config_generation), 0);
    for (unsigned r = 0; r < 4; r++)
        ck_assert_uint_eq(virtio_mmio_read(w.vm, REG(shm_len_low) + 4 * r, 4), UINT32_MAX);
    teardown(&w);
}
END_TEST

START_TEST(feature_words)
{
    struct window w;
    uint64_t offered;

    setup(&w);
    SET(&w, device_features_sel, 1);
    offered = GET(&w, device_features) << 32;
    SET(&w, device_features_sel, 0);
    offered |= GET(&w, device_features);
    ck_assert_uint_eq(offered, vdev_device_features(w.g.dev));
    SET(&w, device_features_sel, 2);
    ck_assert_uint_eq(GET(&w, device_features), 0);
    SET(&w, device_features_sel, UINT32_MAX);
    ck_assert_uint_eq(GET(&w, device_features), 0);
    negotiate(&w, RIG_MIN);
    ck_assert_uint_eq(vdev_driver_features(w.g.dev, 1), RIG_MIN >> 32);
    SET(&w, driver_features_sel, 7);
    SET(&w, driver_features, UINT32_MAX);
    ck_assert_uint_eq(vdev_driver_features(w.g.dev, 0), 0);
    teardown(&w);
}
END_TEST

START_TEST(widths)
{
    struct window w;
    uint64_t capacity;

    setup(&w);
    for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
        if (bytes != 4)
            ck_assert_uint_eq(virtio_mmio_read(w.vm, REG(magic_value), bytes), 0);
        ck_assert_uint_eq(virtio_mmio_read(w.vm, REG(magic_value) + 2, bytes), 0);
    }
    virtio_mmio_write(w.vm, REG(status), 1, 1);
    virtio_mmio_write(w.vm, REG(status), 2, 1);
    virtio_mmio_write(w.vm, REG(status), 8, 1);
    virtio_mmio_write(w.vm, REG(status) + 1, 4, 1);
    virtio_mmio_write(w.vm, REG(status), 4, 0x101);
    ck_assert_uint_eq(GET(&w, status), 0);
    /* The configuration takes all of them; its end is the end. */
    capacity = virtio_mmio_read(w.vm, VIRTIO_MMIO_CONFIG, 8);
    ck_assert_uint_eq(capacity, (1 << 20) / 512);
    ck_assert_uint_eq(virtio_mmio_read(w.vm, VIRTIO_MMIO_CONFIG, 4), capacity);
    ck_assert_uint_eq(virtio_mmio_read(w.vm, VIRTIO_MMIO_CONFIG + 1, 1), capacity >> 8);
    ck_assert_uint_eq(virtio_mmio_read(w.vm, VIRTIO_MMIO_BYTES - 4, 8), 0);
    virtio_mmio_write(w.vm, VIRTIO_MMIO_BYTES - 4, 8, UINT64_MAX);
    teardown(&w);
}
END_TEST

START_TEST(absent_queues)
{
    static const uint32_t absent[] = {QUEUES, 63, 64, 0x7fff, 0xffff, 0x10000, UINT32_MAX};
    struct window w;

    setup(&w);
    negotiate(&w, RIG_MIN);
    for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        SET(&w, queue_sel, absent[i]);
        ck_assert_uint_eq(GET(&w, queue_size_max), 0);
        SET(&w, queue_size, 16);
        SET(&w, queue_desc_low, 0x1000);
        SET(&w, queue_ready, 1);
        SET(&w, queue_reset, 1);
        ck_assert_uint_eq(GET(&w, queue_ready), 0);
        SET(&w, queue_ready, 0);
        SET(&w, queue_notify, absent[i]);
    }
    ck_assert_uint_eq(GET(&w, status), 11);
    teardown(&w);
}
END_TEST

START_TEST(queue_sizes)
{
    struct window w;

    setup(&w);
    negotiate(&w, RIG_MIN);
    ck_assert_uint_eq(GET(&w, queue_size_max), RIG_QUEUE_SIZE);
    enable_queue(&w, 0);
    ck_assert_uint_eq(GET(&w, queue_size_max), RIG_QUEUE_SIZE);
    SET(&w, queue_sel, 1);
    SET(&w, queue_size, 0x10010); /* not 16 */
    SET(&w, queue_size, RIG_QUEUE_SIZE * 2);
    SET(&w, queue_size, 0);
    {
        struct vdev_queue_regs q;

        vdev_queue_get(w.g.dev, 1, &q);
        ck_assert_uint_eq(q.size, RIG_QUEUE_SIZE);
    }
    teardown(&w);
}
END_TEST

START_TEST(line_follows_interrupt_status)
{
    struct window w;

    setup(&w);
    start(&w, RIG_MIN);
    ck_assert(!w.level);
    read_sector(&w, 0);
    ck_assert(w.level);
    ck_assert_uint_eq(GET(&w, interrupt_status), VIRTIO_MMIO_INT_QUEUE);
    ck_assert_uint_eq(GET(&w, interrupt_status), VIRTIO_MMIO_INT_QUEUE); /* reading keeps it */
    read_sector(&w, 1);
    ck_assert_uint_eq(w.edges, 1); /* asserted already */
    vdev_config_changed(w.g.dev);
    ck_assert_uint_eq(GET(&w, interrupt_status), VIRTIO_MMIO_INT_QUEUE | VIRTIO_MMIO_INT_CONFIG);
    SET(&w, interrupt_ack, 0);
    SET(&w, interrupt_ack, ~3u);
    ck_assert_uint_eq(GET(&w, interrupt_status), VIRTIO_MMIO_INT_QUEUE | VIRTIO_MMIO_INT_CONFIG);
    SET(&w, interrupt_ack, VIRTIO_MMIO_INT_QUEUE);
    ck_assert_uint_eq(GET(&w, interrupt_status), VIRTIO_MMIO_INT_CONFIG);
    ck_assert(w.level);
    SET(&w, interrupt_ack, VIRTIO_MMIO_INT_CONFIG);
    ck_assert(!w.level);
    SET(&w, interrupt_status, VIRTIO_MMIO_INT_QUEUE); /* read-only */
    ck_assert_uint_eq(GET(&w, interrupt_status), 0);
    /* A reset takes it back. */
    read_sector(&w, 0);
    ck_assert(w.level);
    SET(&w, status, 0);
    ck_assert(!w.level);
    ck_assert_uint_eq(GET(&w, interrupt_status), 0);
    SET(&w, queue_sel, 0);
    ck_assert_uint_eq(GET(&w, queue_ready), 0);
    teardown(&w);
}
END_TEST

START_TEST(generation_moves_with_the_configuration)
{
    struct window w;
    uint64_t before;

    setup(&w);
    start(&w, RIG_MIN);
    before = GET(&w, config_generation);
    (void)virtio_mmio_read(w.vm, VIRTIO_MMIO_CONFIG, 4);
    ck_assert_uint_eq(GET(&w, config_generation), before);
    vdev_config_changed(w.g.dev);
    (void)virtio_mmio_read(w.vm, VIRTIO_MMIO_CONFIG, 4);
    ck_assert_uint_ne(GET(&w, config_generation), before);
    teardown(&w);
}
END_TEST

START_TEST(queue_not_ready_is_let_go)
{
    struct window w;
    uint16_t used;

    setup(&w);
    start(&w, RIG_MIN); /* without RING_RESET */
    read_sector(&w, 0);
    SET(&w, queue_sel, 0);
    SET(&w, queue_ready, 2); /* means nothing */
    ck_assert_uint_eq(GET(&w, queue_ready), 1);
    SET(&w, queue_reset, 1); /* not negotiated */
    ck_assert_uint_eq(GET(&w, queue_ready), 1);
    ck_assert_uint_eq(w.g.gmem->leases_out, QUEUES);
    SET(&w, queue_ready, 0);
    ck_assert_uint_eq(GET(&w, queue_ready), 0);
    ck_assert_uint_eq(w.g.gmem->leases_out, QUEUES - 1);
    used = virtq_raw_used_idx_get(&w.g.rings[0]);
    offer_read(&w, 0);
    SET(&w, queue_notify, 0);
    rig_turn(&w.g);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&w.g.rings[0]), used);
    read_sector(&w, 1); /* the other goes on */
    enable_queue(&w, 0);
    read_sector(&w, 0);
    teardown(&w);
}
END_TEST

START_TEST(queue_reset_register)
{
    struct window w;

    setup(&w);
    start(&w, RIG_MIN | VIRTIO_F(VIRTIO_F_RING_RESET));
    read_sector(&w, 0);
    SET(&w, queue_sel, 0);
    SET(&w, queue_reset, 0);
    ck_assert_uint_eq(GET(&w, queue_ready), 1);
    SET(&w, queue_reset, 1);
    ck_assert_uint_eq(GET(&w, queue_reset), 0);
    ck_assert_uint_eq(GET(&w, queue_ready), 0);
    enable_queue(&w, 0);
    ck_assert_uint_eq(GET(&w, queue_reset), 0);
    read_sector(&w, 0);
    teardown(&w);
}
END_TEST

/* A driver that writes anything anywhere: nothing but the sanitizers has an opinion. */
START_TEST(register_storm)
{
    struct window w;
    uint64_t seed = 0x9e3779b97f4a7c15ull, value;

    setup(&w);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned bytes, at;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes = 1u << (seed >> 60 & 3);
        at = (unsigned)(seed >> 20 & (VIRTIO_MMIO_BYTES - 1));
        if (seed & 4)
            at &= ~3u, bytes = 4;
        value = seed >> 33 & 3 ? seed >> 40 & 15 : seed;
        if (seed & 2)
            virtio_mmio_write(w.vm, at, bytes, value);
        else
            (void)virtio_mmio_read(w.vm, at, bytes);
        if (i % 64 == 0)
            rig_turn(&w.g);
    }
    virtio_mmio_destroy(w.vm);
    ck_assert(!w.level);
    w.vm = NULL;
    teardown(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("transport_virtio_mmio");
    TCase *t = tcase_create("registers");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, identity);
    tcase_add_test(t, feature_words);
    tcase_add_test(t, widths);
    tcase_add_test(t, absent_queues);
    tcase_add_test(t, queue_sizes);
    tcase_add_test(t, line_follows_interrupt_status);
    tcase_add_test(t, generation_moves_with_the_configuration);
    tcase_add_test(t, queue_not_ready_is_let_go);
    tcase_add_test(t, queue_reset_register);
    tcase_add_test(t, register_storm);
    suite_add_tcase(s, t);
    return rig_main(s);
}
