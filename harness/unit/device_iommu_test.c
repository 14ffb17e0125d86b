/* SPDX-License-Identifier: MIT */
/* The IOMMU device: requests that wait and what ends them, faults and the buffers for them,
 * requests that are none. */
#include <errno.h>

#include "device/iommu.h"
#include "gmem/iommu.h"
#include "spec/virtio_iommu.h"
#include "unit/device_rig.h"

#define ENDPOINT 7u
#define DOMAIN   1u
#define ANSWERS  0x40000u /* offset of tails in the data */
#define FEATURES                                                                                   \
    (RIG_MIN | VIRTIO_F(VIRTIO_IOMMU_F_MAP_UNMAP) | VIRTIO_F(VIRTIO_IOMMU_F_BYPASS_CONFIG) |       \
     VIRTIO_F(VIRTIO_F_RING_RESET))

static struct rig g;
static struct iommu *iommu;
static struct gmem *behind;
static unsigned sent;
static struct iovec iov[4];
static struct gmem_lease lease;

static void setup(void)
{
    const struct iommu_options options = {0};
    struct vdev_config config = rig_setup(&g);
    struct vdev *d = NULL;
    char error[128];

    ck_assert_int_eq(iommu_create(&iommu), 0);
    ck_assert_int_eq(gmem_iommu_create(iommu, ENDPOINT, g.gmem, &behind), 0);
    config.iommu = iommu;
    ck_assert_int_eq(iommu_device_create(&config, &options, &d, error, sizeof(error)), 0);
    /* Faults have one reporter. */
    ck_assert_int_eq(iommu_device_create(&config, &options, &d, error, sizeof(error)), -EBUSY);
    rig_attach(&g, d);
    lease = (struct gmem_lease){.iov = iov, .iov_max = 4};
    sent = 0;
}

static void start(void)
{
    rig_features(&g, FEATURES);
    rig_queue(&g, VIRTIO_IOMMU_REQUESTQ, RIG_QUEUE_SIZE);
    rig_queue(&g, VIRTIO_IOMMU_EVENTQ, RIG_QUEUE_SIZE);
    rig_driver_ok(&g);
    sent = 0;
}

static void teardown(void)
{
    vdev_destroy(g.dev);
    ck_assert_uint_eq(behind->leases_out, 0);
    gmem_destroy(behind);
    ck_assert_uint_eq(g.gmem->leases_out, 0);
    gmem_destroy(g.gmem);
    iommu_destroy(iommu);
    evloop_destroy(g.loop);
    free(g.mem);
    free(g.ro);
}

static uint8_t *tail_of(unsigned n)
{
    return g.mem + RIG_DATA + ANSWERS + n * 16;
}

/* The n-th request; its answer is at tail_of(n). */
static unsigned send(const void *request, uint32_t bytes, uint32_t room)
{
    unsigned n = sent++;
    const struct rig_seg segs[] = {{RIG_BASE + RIG_DATA + n * 256, bytes, false},
                                   {RIG_BASE + RIG_DATA + ANSWERS + n * 16, room, true}};

    memcpy(g.mem + RIG_DATA + n * 256, request, bytes);
    memset(tail_of(n), 0xee, 16);
    rig_add(&g, VIRTIO_IOMMU_REQUESTQ, segs, room ? 2 : 1);
    vdev_queue_notify(g.dev, VIRTIO_IOMMU_REQUESTQ);
    rig_turn(&g);
    return n;
}

static uint8_t attach(void)
{
    const struct virtio_iommu_req_attach q = {.head.type = VIRTIO_IOMMU_T_ATTACH,
                                              .domain = le32_make(DOMAIN),
                                              .endpoint = le32_make(ENDPOINT)};

    return *tail_of(send(&q, sizeof(q), 4));
}

/* A page to the start of the rig's data. */
static uint8_t map_page(uint64_t page)
{
    const struct virtio_iommu_req_map q = {
        .head.type = VIRTIO_IOMMU_T_MAP,
        .domain = le32_make(DOMAIN),
        .virt_start = le64_make(page << 12),
        .virt_end = le64_make((page << 12) + 0xfff),
        .phys_start = le64_make(RIG_BASE + RIG_DATA),
        .flags = le32_make(VIRTIO_IOMMU_MAP_F_READ | VIRTIO_IOMMU_MAP_F_WRITE)};

    return *tail_of(send(&q, sizeof(q), 4));
}

static unsigned unmap_page(uint64_t page)
{
    const struct virtio_iommu_req_unmap q = {.head.type = VIRTIO_IOMMU_T_UNMAP,
                                             .domain = le32_make(DOMAIN),
                                             .virt_start = le64_make(page << 12),
                                             .virt_end = le64_make((page << 12) + 0xfff)};

    return send(&q, sizeof(q), 4);
}

static int take(uint64_t addr)
{
    const struct gmem_range r = {gpa_make(addr), 16, GMEM_WRITE};

    return gmem_get(behind, &r, 1, &lease);
}

static void given_lease_and_unmap(unsigned *n)
{
    start();
    ck_assert_uint_eq(attach(), VIRTIO_IOMMU_S_OK);
    ck_assert_uint_eq(map_page(4), VIRTIO_IOMMU_S_OK);
    ck_assert_int_eq(take(0x4010), 0);
    *n = unmap_page(4);
    ck_assert_uint_eq(*tail_of(*n), 0xee);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 2);
}

START_TEST(unmap_is_answered_when_the_lease_is_back)
{
    struct gmem_lease other = {.iov = iov + 2, .iov_max = 2};
    const struct gmem_range r = {gpa_make(0x4000), 16, GMEM_READ};
    unsigned n;

    given_lease_and_unmap(&n);
    ck_assert_int_eq(gmem_get(behind, &r, 1, &other), -EFAULT);
    /* Others overtake it. */
    ck_assert_uint_eq(map_page(9), VIRTIO_IOMMU_S_OK);
    ck_assert_uint_eq(*tail_of(n), 0xee);
    gmem_put(behind, &lease);
    ck_assert_uint_eq(*tail_of(n), VIRTIO_IOMMU_S_OK);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[0]), 4);
    teardown();
}
END_TEST

START_TEST(reset_drops_who_waits)
{
    unsigned n;

    given_lease_and_unmap(&n);
    vdev_set_status(g.dev, 0);
    gmem_put(behind, &lease);
    ck_assert_uint_eq(*tail_of(n), 0xee);
    start();
    ck_assert_uint_eq(map_page(4), VIRTIO_IOMMU_S_NOENT);
    teardown();
}
END_TEST

START_TEST(queue_reset_drops_who_waits)
{
    unsigned n;

    given_lease_and_unmap(&n);
    vdev_queue_reset(g.dev, VIRTIO_IOMMU_EVENTQ);
    vdev_queue_reset(g.dev, VIRTIO_IOMMU_REQUESTQ);
    gmem_put(behind, &lease);
    ck_assert_uint_eq(*tail_of(n), 0xee);
    /* What was asked for was done. */
    rig_queue(&g, VIRTIO_IOMMU_REQUESTQ, RIG_QUEUE_SIZE);
    sent = 0;
    ck_assert_uint_eq(map_page(4), VIRTIO_IOMMU_S_OK);
    teardown();
}
END_TEST

START_TEST(faults_go_to_buffers_that_hold_them)
{
    const struct rig_seg small = {RIG_BASE + RIG_DATA + 0x80000, 23, true};
    const struct rig_seg fits = {RIG_BASE + RIG_DATA + 0x81000, 24, true};
    const struct virtio_iommu_fault *f = (const void *)(g.mem + RIG_DATA + 0x81000);
    struct iommu_stats s;

    start();
    ck_assert_uint_eq(attach(), VIRTIO_IOMMU_S_OK);
    /* No buffer, one that is too small, one that will do. */
    ck_assert_int_eq(take(0x5000), -EFAULT);
    rig_add(&g, VIRTIO_IOMMU_EVENTQ, &small, 1);
    rig_add(&g, VIRTIO_IOMMU_EVENTQ, &fits, 1);
    vdev_queue_notify(g.dev, VIRTIO_IOMMU_EVENTQ);
    rig_turn(&g);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[1]), 0);
    ck_assert_int_eq(take(0x6000), -EFAULT);
    ck_assert_int_eq(take(0x7008), -EFAULT);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&g.rings[1]), 2);
    ck_assert_uint_eq(virtq_raw_used_get(&g.rings[1], 0).len, 0);
    ck_assert_uint_eq(virtq_raw_used_get(&g.rings[1], 1).len, 24);
    ck_assert_uint_eq(le64_get(f->address), 0x7008);
    ck_assert_uint_eq(le32_get(f->endpoint), ENDPOINT);
    ck_assert_uint_eq(f->reason, VIRTIO_IOMMU_FAULT_R_MAPPING);
    ck_assert_uint_eq(le32_get(f->flags),
                      VIRTIO_IOMMU_FAULT_F_WRITE | VIRTIO_IOMMU_FAULT_F_ADDRESS);
    iommu_get_stats(g.dev, &s);
    ck_assert_uint_eq(s.faults, 3);
    ck_assert_uint_eq(s.faults_dropped, 2);
    teardown();
}
END_TEST

START_TEST(what_is_no_request_goes_back)
{
    const uint8_t zeroes[64] = {0};
    struct virtio_iommu_req_probe probe = {.head.type = VIRTIO_IOMMU_T_PROBE,
                                           .endpoint = le32_make(ENDPOINT)};

    start();
    for (uint32_t bytes = 1; bytes < sizeof(zeroes); bytes += 3) {
        unsigned n = send(zeroes, bytes, bytes % 2 ? 4 : 0);

        ck_assert_uint_eq(virtq_raw_used_get(&g.rings[0], n).len, 0);
        ck_assert_uint_eq(*tail_of(n), 0xee);
    }
    /* A PROBE with room for its tail only. */
    ck_assert_uint_eq(*tail_of(send(&probe, sizeof(probe), 4)), VIRTIO_IOMMU_S_INVAL);
    ck_assert_uint_eq(vdev_status(g.dev) & VIRTIO_STATUS_DEVICE_NEEDS_RESET, 0);
    teardown();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device_iommu");
    TCase *t = tcase_create("iommu");

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, unmap_is_answered_when_the_lease_is_back);
    tcase_add_test(t, reset_drops_who_waits);
    tcase_add_test(t, queue_reset_drops_who_waits);
    tcase_add_test(t, faults_go_to_buffers_that_hold_them);
    tcase_add_test(t, what_is_no_request_goes_back);
    suite_add_tcase(s, t);
    return rig_main(s);
}
