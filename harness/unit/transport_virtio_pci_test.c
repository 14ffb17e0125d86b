/* SPDX-License-Identifier: MIT */
/* The register file of modern virtio-pci, through ECAM and BARs as a driver reaches it. */
#include <errno.h>

#include "device/blk.h"
#include "pci/host.h"
#include "spec/pci.h"
#include "spec/virtio_blk.h"
#include "spec/virtio_pci.h"
#include "transport/virtio_pci.h"
#include "unit/device_rig.h"

#define ECAM    0xe0000000ull
#define WINDOW  0xe4000000ull
#define DEV     SBDF(0, 0, 1, 0)
#define MSIX_AT (WINDOW + 0x100000)
#define QUEUES  2u

struct bus {
    struct rig g;
    struct pci_host *host;
    struct virtio_pci *vp;
    struct pci_function *f;
    unsigned msis, last_data;
    bool level;
    uint64_t caps[10]; /* by cfg_type: guest address of the structure */
    uint32_t lengths[10];
    unsigned cap_at[10];
    uint32_t multiplier;
};

static void on_msi(void *ctx, sbdf_t from, uint64_t addr, uint32_t data)
{
    struct bus *b = ctx;

    b->msis++;
    b->last_data = data;
}
static void on_intx(void *ctx, sbdf_t from, unsigned pin, bool level)
{
    ((struct bus *)ctx)->level = level;
}
static const struct pci_host_ops host_ops = {.msi = on_msi, .intx = on_intx};

static uint64_t rd(struct bus *b, uint64_t addr, unsigned bytes)
{
    uint64_t value;

    ck_assert(pci_host_read(b->host, addr, bytes, &value));
    return value;
}
static void wr(struct bus *b, uint64_t addr, unsigned bytes, uint64_t value)
{
    ck_assert(pci_host_write(b->host, addr, bytes, value));
}
static uint64_t cfg(unsigned reg)
{
    return ECAM + (1u << 15) + reg;
}

static void walk_capabilities(struct bus *b)
{
    unsigned at = (unsigned)rd(b, cfg(PCI_REG_CAPABILITIES), 1);

    for (unsigned n = 0; at && n < PCI_CAP_COUNT_MAX; n++) {
        if (rd(b, cfg(at), 1) == PCI_CAP_VENDOR) {
            unsigned type = (unsigned)rd(b, cfg(at + 3), 1);

            ck_assert_uint_lt(type, 10);
            ck_assert_uint_ge(rd(b, cfg(at + 2), 1), type == 2 || type == 5 ? 20 : 16);
            b->cap_at[type] = at;
            b->caps[type] = WINDOW + rd(b, cfg(at + 8), 4);
            b->lengths[type] = (uint32_t)rd(b, cfg(at + 12), 4);
            ck_assert_uint_eq(rd(b, cfg(at + 8), 4) & 3, 0);
            if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
                b->multiplier = (uint32_t)rd(b, cfg(at + 16), 4);
        }
        at = (unsigned)rd(b, cfg(at + 1), 1);
    }
    ck_assert_uint_eq(at, 0);
}

static void setup(struct bus *b, const struct virtio_pci_options *options)
{
    struct pci_host_config host = {.bus_last = 0,
                                   .ecam_base = ECAM,
                                   .ecam_bytes = 0x100000,
                                   .windows = {{WINDOW, WINDOW + 0xffffff}},
                                   .window_count = 1};
    struct blk_options blk = {.null_bytes = 1 << 20, .queues = QUEUES};
    struct vdev_config config;
    struct vdev *d;
    char error[128];

    memset(b, 0, sizeof(*b));
    config = rig_setup(&b->g);
    ck_assert_int_eq(blk_create(&config, &blk, &d, error, sizeof(error)), 0);
    b->g.dev = d;
    ck_assert_int_eq(virtio_pci_create(d, options, &b->vp), 0);
    b->f = virtio_pci_function(b->vp);
    ck_assert_int_eq(pci_host_create(&host, &host_ops, b, &b->host), 0);
    ck_assert_int_eq(pci_host_attach(b->host, DEV, b->f), 0);
    wr(b, cfg(0x10), 4, WINDOW);
    wr(b, cfg(0x18), 4, MSIX_AT);
    wr(b, cfg(4), 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    walk_capabilities(b);
}

static void teardown(struct bus *b)
{
    virtio_pci_destroy(b->vp);
    pci_host_destroy(b->host);
    rig_teardown(&b->g);
}

#define REG(name)    offsetof(struct virtio_pci_common_cfg, name)
#define WIDTH(name)  ((unsigned)sizeof(((struct virtio_pci_common_cfg *)0)->name))
#define GET(b, name) rd(b, (b)->caps[VIRTIO_PCI_CAP_COMMON_CFG] + REG(name), WIDTH(name))
#define SET(b, name, value)                                                                        \
    wr(b, (b)->caps[VIRTIO_PCI_CAP_COMMON_CFG] + REG(name), WIDTH(name), value)

static void negotiate(struct bus *b, uint64_t features)
{
    SET(b, device_status, 1);
    SET(b, device_status, 3);
    for (unsigned word = 0; word < 2; word++) {
        SET(b, driver_feature_select, word);
        SET(b, driver_feature, (uint32_t)(features >> (word * 32)));
    }
    SET(b, device_status, 11);
    ck_assert_uint_eq(GET(b, device_status), 11);
}

static void enable_queue(struct bus *b, unsigned queue)
{
    uint32_t at = queue * 0x10000;

    memset(b->g.mem + at, 0, 0x10000);
    b->g.rings[queue] = (struct virtq_raw){
        .size = 16, .areas = {b->g.mem + at, b->g.mem + at + 0x4000, b->g.mem + at + 0x8000}};
    b->g.next_desc[queue] = 0;
    SET(b, queue_select, queue);
    SET(b, queue_size, 16);
    SET(b, queue_desc, RIG_BASE + at);
    SET(b, queue_driver, RIG_BASE + at + 0x4000);
    SET(b, queue_device, RIG_BASE + at + 0x8000);
    SET(b, queue_enable, 1);
    ck_assert_uint_eq(GET(b, queue_enable), 1);
}

static void doorbell(struct bus *b, unsigned queue)
{
    SET(b, queue_select, queue);
    wr(b, b->caps[VIRTIO_PCI_CAP_NOTIFY_CFG] + GET(b, queue_notify_off) * b->multiplier, 2, queue);
}

static void read_sector(struct bus *b, unsigned queue)
{
    struct virtio_blk_req_hdr h = {.type = le32_make(VIRTIO_BLK_T_IN)};
    struct rig_seg segs[] = {{RIG_BASE + RIG_DATA, 16, false},
                             {RIG_BASE + RIG_DATA + 4096, 512, true},
                             {RIG_BASE + RIG_DATA + 8192, 1, true}};
    uint16_t used = virtq_raw_used_idx_get(&b->g.rings[queue]);

    memcpy(b->g.mem + RIG_DATA, &h, sizeof(h));
    rig_add(&b->g, queue, segs, 3);
    doorbell(b, queue);
    rig_wait_used(&b->g, queue, (uint16_t)(used + 1));
}

START_TEST(identity)
{
    struct bus b;

    setup(&b, NULL);
    ck_assert_uint_eq(rd(&b, cfg(0), 4), 0x10421af4);
    ck_assert_uint_ge(rd(&b, cfg(8), 1), 1);
    ck_assert_uint_eq(rd(&b, cfg(0x2c), 4), 0x00421af4);
    ck_assert_uint_eq(rd(&b, cfg(0x3d), 1), 1);
    for (unsigned type = 1; type <= 5; type++)
        ck_assert_uint_ne(b.cap_at[type], 0);
    ck_assert_uint_ge(b.lengths[VIRTIO_PCI_CAP_COMMON_CFG], 64);
    ck_assert_uint_ge(b.lengths[VIRTIO_PCI_CAP_NOTIFY_CFG], (QUEUES - 1) * b.multiplier + 2);
    ck_assert_uint_eq(b.lengths[VIRTIO_PCI_CAP_DEVICE_CFG], sizeof(struct virtio_blk_config));
    teardown(&b);
}
END_TEST

START_TEST(feature_words)
{
    struct bus b;
    uint64_t offered;

    setup(&b, NULL);
    SET(&b, device_feature_select, 1);
    offered = GET(&b, device_feature) << 32;
    SET(&b, device_feature_select, 0);
    offered |= GET(&b, device_feature);
    ck_assert_uint_eq(offered, vdev_device_features(b.g.dev));
    SET(&b, device_feature_select, 2);
    ck_assert_uint_eq(GET(&b, device_feature), 0);
    SET(&b, device_feature_select, UINT32_MAX);
    ck_assert_uint_eq(GET(&b, device_feature), 0);
    SET(&b, device_feature, 1); /* read-only */
    SET(&b, num_queues, 9);
    SET(&b, config_generation, 9);
    ck_assert_uint_eq(GET(&b, num_queues), QUEUES);
    negotiate(&b, RIG_MIN);
    SET(&b, driver_feature_select, 1);
    ck_assert_uint_eq(GET(&b, driver_feature), RIG_MIN >> 32);
    SET(&b, driver_feature_select, 7);
    ck_assert_uint_eq(GET(&b, driver_feature), 0);
    teardown(&b);
}
END_TEST

START_TEST(widths_and_halves)
{
    struct bus b;
    uint64_t common;

    setup(&b, NULL);
    common = b.caps[VIRTIO_PCI_CAP_COMMON_CFG];
    SET(&b, queue_select, 1);
    wr(&b, common + REG(queue_desc), 4, 0x89abc000);
    wr(&b, common + REG(queue_desc) + 4, 4, 0x80000123);
    ck_assert_uint_eq(GET(&b, queue_desc), 0x8000012389abc000ull);
    ck_assert_uint_eq(rd(&b, common + REG(queue_desc) + 4, 4), 0x80000123);
    ck_assert_uint_eq(rd(&b, common + REG(queue_desc) + 1, 2), 0xabc0);
    wr(&b, common + REG(queue_desc), 1, 0xff); /* a part of a register: ignored */
    ck_assert_uint_eq(GET(&b, queue_desc), 0x8000012389abc000ull);
    /* queue_select and queue_size in one: both are covered. */
    wr(&b, common + REG(queue_select), 4, 32u << 16 | 0);
    ck_assert_uint_eq(GET(&b, queue_select), 0);
    ck_assert_uint_eq(GET(&b, queue_size), 32);
    ck_assert_uint_eq(rd(&b, common + 64, 8), 0);
    ck_assert_uint_eq(rd(&b, common + 0xff8, 8), 0);
    wr(&b, common + 62, 8, UINT64_MAX);
    teardown(&b);
}
END_TEST

START_TEST(absent_queues)
{
    static const uint16_t absent[] = {QUEUES, 63, 64, 0x7fff, 0xffff};
    struct bus b;

    setup(&b, NULL);
    for (unsigned i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        SET(&b, queue_select, absent[i]);
        ck_assert_uint_eq(GET(&b, queue_size), 0);
        SET(&b, queue_size, 16);
        SET(&b, queue_msix_vector, 0);
        SET(&b, queue_desc, 0x1000);
        SET(&b, queue_enable, 1);
        SET(&b, queue_reset, 1);
        ck_assert_uint_eq(GET(&b, queue_size), 0);
        ck_assert_uint_eq(GET(&b, queue_enable), 0);
        ck_assert_uint_eq(GET(&b, queue_msix_vector), VIRTIO_MSI_NO_VECTOR);
    }
    teardown(&b);
}
END_TEST

static void msix_enable(struct bus *b)
{
    unsigned at = (unsigned)rd(b, cfg(PCI_REG_CAPABILITIES), 1);

    while (rd(b, cfg(at), 1) != PCI_CAP_MSIX)
        at = (unsigned)rd(b, cfg(at + 1), 1);
    for (unsigned v = 0; v < 3; v++) {
        wr(b, MSIX_AT + v * 16, 8, 0xfee00000);
        wr(b, MSIX_AT + v * 16 + 8, 8, 0x40 + v);
    }
    wr(b, cfg(at + 2), 2, PCI_MSIX_CONTROL_ENABLE);
}

START_TEST(vectors)
{
    struct bus b;

    setup(&b, NULL);
    ck_assert_uint_eq(pci_function_msix_vectors(b.f), QUEUES + 1);
    msix_enable(&b);
    ck_assert_uint_eq(GET(&b, config_msix_vector), VIRTIO_MSI_NO_VECTOR);
    SET(&b, config_msix_vector, 2);
    ck_assert_uint_eq(GET(&b, config_msix_vector), 2);
    SET(&b, config_msix_vector, 3); /* the table has three */
    ck_assert_uint_eq(GET(&b, config_msix_vector), VIRTIO_MSI_NO_VECTOR);
    SET(&b, config_msix_vector, 2);
    negotiate(&b, RIG_MIN);
    enable_queue(&b, 0);
    enable_queue(&b, 1);
    SET(&b, queue_select, 1);
    SET(&b, queue_msix_vector, 1);
    SET(&b, device_status, 15);
    read_sector(&b, 1);
    ck_assert_uint_eq(b.msis, 1);
    ck_assert_uint_eq(b.last_data, 0x41);
    read_sector(&b, 0); /* no vector: no interrupt, no ISR bit, no pin */
    ck_assert_uint_eq(b.msis, 1);
    ck_assert_uint_eq(rd(&b, b.caps[VIRTIO_PCI_CAP_ISR_CFG], 1), 0);
    ck_assert(!b.level);
    vdev_config_changed(b.g.dev);
    ck_assert_uint_eq(b.last_data, 0x42);
    ck_assert_uint_eq(rd(&b, b.caps[VIRTIO_PCI_CAP_ISR_CFG], 1), VIRTIO_PCI_ISR_CONFIG);
    /* Reset unmaps everything and forgets what was held back. */
    wr(&b, MSIX_AT + 16 + 12, 4, 1);
    read_sector(&b, 1);
    SET(&b, device_status, 0);
    ck_assert_uint_eq(GET(&b, device_status), 0);
    wr(&b, MSIX_AT + 16 + 12, 4, 0);
    ck_assert_uint_eq(b.msis, 2);
    ck_assert_uint_eq(GET(&b, config_msix_vector), VIRTIO_MSI_NO_VECTOR);
    SET(&b, queue_select, 1);
    ck_assert_uint_eq(GET(&b, queue_msix_vector), VIRTIO_MSI_NO_VECTOR);
    ck_assert_uint_eq(GET(&b, queue_enable), 0);
    teardown(&b);
}
END_TEST

START_TEST(isr_and_intx)
{
    struct virtio_pci_options o = {.no_msix = true, .bars_32bit = true};
    struct bus b;

    setup(&b, &o);
    SET(&b, config_msix_vector, 0);
    ck_assert_uint_eq(GET(&b, config_msix_vector), VIRTIO_MSI_NO_VECTOR);
    negotiate(&b, RIG_MIN);
    enable_queue(&b, 0);
    SET(&b, device_status, 15);
    read_sector(&b, 0);
    ck_assert(b.level);
    ck_assert_uint_eq(rd(&b, cfg(6), 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
    vdev_config_changed(b.g.dev);
    ck_assert_uint_eq(rd(&b, b.caps[VIRTIO_PCI_CAP_ISR_CFG], 1), 3);
    ck_assert(!b.level);
    ck_assert_uint_eq(rd(&b, cfg(6), 2) & PCI_STATUS_INTERRUPT, 0);
    ck_assert_uint_eq(rd(&b, b.caps[VIRTIO_PCI_CAP_ISR_CFG], 1), 0);
    read_sector(&b, 0);
    ck_assert(b.level);
    SET(&b, device_status, 0);
    ck_assert(!b.level);
    ck_assert_uint_eq(b.msis, 0);
    teardown(&b);
}
END_TEST

START_TEST(doorbells)
{
    struct virtio_pci_options o = {.notify_multiplier = UINT32_MAX}; /* one place for all */
    struct bus b;
    unsigned bar;
    uint32_t offset;
    uint64_t notify;

    setup(&b, NULL);
    ck_assert_int_eq(virtio_pci_notify_location(b.vp, 1, &bar, &offset), 0);
    ck_assert_uint_eq(WINDOW + offset, b.caps[VIRTIO_PCI_CAP_NOTIFY_CFG] + b.multiplier);
    ck_assert_int_eq(virtio_pci_notify_location(b.vp, QUEUES, &bar, &offset), -EINVAL);
    negotiate(&b, RIG_MIN);
    enable_queue(&b, 0);
    SET(&b, device_status, 15);
    /* Wild ones ring nothing and break nothing. */
    notify = b.caps[VIRTIO_PCI_CAP_NOTIFY_CFG];
    for (unsigned at = 0; at < 0x1000; at += 2)
        wr(&b, notify + at, 2, 0xffff);
    wr(&b, notify, 1, 0);
    wr(&b, notify + 0xff8, 8, UINT64_MAX);
    ck_assert_uint_eq(rd(&b, notify, 2), 0);
    rig_turn(&b.g);
    read_sector(&b, 0);
    teardown(&b);
    setup(&b, &o);
    ck_assert_uint_eq(b.multiplier, 0);
    negotiate(&b, RIG_MIN);
    enable_queue(&b, 1);
    SET(&b, device_status, 15);
    read_sector(&b, 1);
    teardown(&b);
}
END_TEST

static void cfg_target(struct bus *b, uint8_t bar, uint32_t offset, uint32_t length)
{
    unsigned cap = b->cap_at[VIRTIO_PCI_CAP_PCI_CFG];

    wr(b, cfg(cap + 4), 1, bar);
    wr(b, cfg(cap + 8), 4, offset);
    wr(b, cfg(cap + 12), 4, length);
}

START_TEST(configuration_access_capability)
{
    struct bus b;
    unsigned data;
    uint32_t status_at;

    setup(&b, NULL);
    data = b.cap_at[VIRTIO_PCI_CAP_PCI_CFG] + 16;
    status_at = (uint32_t)(b.caps[VIRTIO_PCI_CAP_COMMON_CFG] - WINDOW + REG(device_status));
    wr(&b, cfg(4), 2, 0); /* works without memory space, that is what it is for */
    cfg_target(&b, 0, status_at, 1);
    wr(&b, cfg(data), 1, 3);
    ck_assert_uint_eq(rd(&b, cfg(data), 1), 3);
    ck_assert_uint_eq(vdev_status(b.g.dev), 3);
    cfg_target(&b, 0, (uint32_t)REG(num_queues), 2);
    ck_assert_uint_eq(rd(&b, cfg(data), 4) & 0xffff, QUEUES);
    cfg_target(&b, 0, (uint32_t)REG(queue_desc), 4);
    wr(&b, cfg(data), 4, 0x12345000);
    ck_assert_uint_eq(rd(&b, cfg(data), 4), 0x12345000);
    /* Nonsense is ignored: BAR, length, alignment, out of range. */
    cfg_target(&b, 9, status_at, 1);
    wr(&b, cfg(data), 1, 0);
    cfg_target(&b, 0, status_at, 3);
    wr(&b, cfg(data), 4, 0);
    cfg_target(&b, 0, status_at, UINT32_MAX);
    wr(&b, cfg(data), 4, 0);
    cfg_target(&b, 0, status_at + 1, 2);
    wr(&b, cfg(data), 2, 0);
    cfg_target(&b, 0, UINT32_MAX - 3, 4);
    wr(&b, cfg(data), 4, 0);
    ck_assert_uint_eq(rd(&b, cfg(data), 4), UINT32_MAX);
    ck_assert_uint_eq(vdev_status(b.g.dev), 3);
    /* The other capabilities are read-only. */
    wr(&b, cfg(b.cap_at[VIRTIO_PCI_CAP_COMMON_CFG] + 8), 4, UINT32_MAX);
    ck_assert_uint_eq(rd(&b, cfg(b.cap_at[VIRTIO_PCI_CAP_COMMON_CFG] + 8), 4), 0);
    teardown(&b);
}
END_TEST

START_TEST(queue_reset_register)
{
    struct bus b;

    setup(&b, NULL);
    negotiate(&b, RIG_MIN | VIRTIO_F(VIRTIO_F_RING_RESET));
    enable_queue(&b, 0);
    SET(&b, device_status, 15);
    read_sector(&b, 0);
    SET(&b, queue_enable, 0); /* not how a queue is disabled */
    ck_assert_uint_eq(GET(&b, queue_enable), 1);
    SET(&b, queue_reset, 0);
    ck_assert_uint_eq(GET(&b, queue_enable), 1);
    SET(&b, queue_reset, 1);
    ck_assert_uint_eq(GET(&b, queue_reset), 0);
    ck_assert_uint_eq(GET(&b, queue_enable), 0);
    ck_assert_uint_eq(GET(&b, queue_size), RIG_QUEUE_SIZE);
    enable_queue(&b, 0);
    read_sector(&b, 0);
    teardown(&b);
}
END_TEST

/* A driver that writes anything anywhere: nothing but the sanitizers has an opinion. */
START_TEST(register_storm)
{
    struct bus b;
    uint64_t seed = 0x9e3779b97f4a7c15ull, value;

    setup(&b, NULL);
    for (unsigned i = 0; i < 200000; i++) {
        unsigned bytes;
        uint64_t at;

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes = 1u << (seed >> 60 & 3);
        at = WINDOW + (seed >> 20 & 0x7fff);
        if (seed & 1)
            at = cfg((unsigned)(seed >> 20 & 0xfff));
        value = seed >> 33 & 3 ? seed & 15 : seed;
        if (seed & 2)
            pci_host_write(b.host, at, bytes, value);
        else
            pci_host_read(b.host, at, bytes, &value);
        if (i % 64 == 0)
            rig_turn(&b.g);
    }
    virtio_pci_destroy(b.vp);
    b.vp = NULL;
    teardown(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("transport_virtio_pci");
    TCase *t = tcase_create("registers");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, identity);
    tcase_add_test(t, feature_words);
    tcase_add_test(t, widths_and_halves);
    tcase_add_test(t, absent_queues);
    tcase_add_test(t, vectors);
    tcase_add_test(t, isr_and_intx);
    tcase_add_test(t, doorbells);
    tcase_add_test(t, configuration_access_capability);
    tcase_add_test(t, queue_reset_register);
    tcase_add_test(t, register_storm);
    suite_add_tcase(s, t);
    return rig_main(s);
}
