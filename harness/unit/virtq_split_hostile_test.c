/* SPDX-License-Identifier: MIT */
/*
 * Each rule of a split ring broken once, by a driver and by a device: the other side names the
 * fault, reads nothing outside the areas (the sanitizer watches) and stays usable as promised.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "unit/run.h"
#include "unit/virtq_rig.h"
#include "util/bits.h"

/* A row: ring descriptors from 0, table entries from 0, what is made available, and the fault. */
static const struct {
    const char *what;
    struct virtq_raw_desc ring[SIZE];
    struct virtq_raw_desc table[TABLE];
    uint16_t head, avail_idx;
    bool no_indirect;
    int table_rc;
    int rc;
    enum virtq_fault fault;
} rows[] = {
    {.what = "index ahead by size + 1",
     .ring = {{0x1000, 1, 0, 0}},
     .avail_idx = SIZE + 1,
     .fault = VIRTQ_FAULT_AVAIL_IDX},
    {.what = "index backwards",
     .ring = {{0x1000, 1, 0, 0}},
     .avail_idx = 0xffff,
     .fault = VIRTQ_FAULT_AVAIL_IDX},
    {.what = "head is the size", .head = SIZE, .fault = VIRTQ_FAULT_HEAD_RANGE},
    {.what = "head is 0xffff", .head = 0xffff, .fault = VIRTQ_FAULT_HEAD_RANGE},
    {.what = "next is the size",
     .ring = {{0x1000, 1, NEXT, SIZE}},
     .fault = VIRTQ_FAULT_NEXT_RANGE},
    {.what = "a descriptor that follows itself, writable and empty",
     .ring = {{0x1000, 0, NEXT | WRITE, 0}},
     .fault = VIRTQ_FAULT_CHAIN_LOOP},
    {.what = "two that follow each other",
     .ring = {{0x1000, 0, NEXT, 1}, {0x1000, 0, NEXT, 0}},
     .fault = VIRTQ_FAULT_CHAIN_LOOP},
    {.what = "a loop of full ones is cut at the device's limit",
     .ring = {{0x1000, 1, NEXT, 0}},
     .fault = VIRTQ_FAULT_CHAIN_LONG},
    {.what = "one more than the device accepts",
     .ring = {{1, 1, NEXT, 1},
              {1, 1, NEXT, 2},
              {1, 1, NEXT, 3},
              {1, 1, NEXT, 4},
              {1, 1, NEXT, 5},
              {1, 1, NEXT, 6},
              {1, 1, 0, 0}},
     .fault = VIRTQ_FAULT_CHAIN_LONG},
    {.what = "readable after writable",
     .ring = {{0x1000, 1, NEXT | WRITE, 1}, {0x1000, 1, 0, 0}},
     .fault = VIRTQ_FAULT_CHAIN_ORDER},
    {.what = "address wraps", .ring = {{UINT64_MAX, 2, 0, 0}}, .fault = VIRTQ_FAULT_DESC_WRAP},
    {.what = "more than 2^32 bytes",
     .ring = {{0, UINT32_MAX, NEXT, 1}, {0, 2, WRITE, 0}},
     .fault = VIRTQ_FAULT_CHAIN_BYTES},
    {.what = "indirect without the feature",
     .ring = {{0x1000, 16, INDIRECT, 0}},
     .no_indirect = true,
     .fault = VIRTQ_FAULT_INDIRECT_UNOFFERED},
    {.what = "indirect and next",
     .ring = {{0x1000, 16, INDIRECT | NEXT, 1}},
     .fault = VIRTQ_FAULT_INDIRECT_NEXT},
    {.what = "empty table", .ring = {{0x1000, 0, INDIRECT, 0}}, .fault = VIRTQ_FAULT_INDIRECT_LEN},
    {.what = "table of 17 bytes",
     .ring = {{0x1000, 17, INDIRECT, 0}},
     .fault = VIRTQ_FAULT_INDIRECT_LEN},
    {.what = "table of 4 GiB",
     .ring = {{0x1000, 0xfffffff0, INDIRECT, 0}},
     .fault = VIRTQ_FAULT_INDIRECT_LONG},
    {.what = "table one entry too long",
     .ring = {{0x1000, (VIRTQ_CHAIN_MAX + 1) * 16, INDIRECT, 0}},
     .fault = VIRTQ_FAULT_INDIRECT_LONG},
    {.what = "table wraps",
     .ring = {{UINT64_MAX - 8, 16, INDIRECT, 0}},
     .fault = VIRTQ_FAULT_DESC_WRAP},
    {.what = "table out of reach",
     .ring = {{0x1000, 16, INDIRECT, 0}},
     .table_rc = -EFAULT,
     .fault = VIRTQ_FAULT_INDIRECT_ADDR},
    {.what = "no memory of ours for the table: not a fault",
     .ring = {{0x1000, 16, INDIRECT, 0}},
     .table_rc = -ENOMEM,
     .rc = -ENOMEM},
    {.what = "nested table",
     .ring = {{0x1000, 32, INDIRECT, 0}},
     .table = {{0x1000, 1, NEXT, 1}, {0x1000, 16, INDIRECT, 0}},
     .fault = VIRTQ_FAULT_INDIRECT_NESTED},
    {.what = "next beyond the table",
     .ring = {{0x1000, 32, INDIRECT, 0}},
     .table = {{0x1000, 1, NEXT, 2}},
     .fault = VIRTQ_FAULT_NEXT_RANGE},
    {.what = "loop in the table",
     .ring = {{0x1000, 32, INDIRECT, 0}},
     .table = {{0x1000, 0, NEXT, 1}, {0x1000, 0, NEXT, 0}},
     .fault = VIRTQ_FAULT_CHAIN_LOOP},
    {.what = "order broken across ring and table",
     .ring = {{0x1000, 1, NEXT | WRITE, 1}, {0x1000, 16, INDIRECT, 0}},
     .table = {{0x1000, 1, 0, 0}},
     .fault = VIRTQ_FAULT_CHAIN_ORDER},
    /* Legal, though rarely seen. */
    {.what = "ring descriptors before a table",
     .ring = {{0x1000, 1, NEXT, 1}, {0x1000, 32, INDIRECT | WRITE, 0}},
     .table = {{0x1000, 1, NEXT, 1}, {0x1000, 1, WRITE, 0}},
     .rc = 1},
    {.what = "table walked backwards",
     .ring = {{0x1000, TABLE * 16, INDIRECT, 0}},
     .table = {{1, 1, NEXT, 15}, [15] = {1, 1, NEXT, 7}, [7] = {1, 1, 0, 9}},
     .rc = 1},
    {.what = "as long as the device accepts, with an empty one within",
     .ring = {{1, 1, NEXT, 1},
              {1, 1, NEXT, 2},
              {1, 0, NEXT, 3},
              {1, 1, NEXT, 4},
              {1, 1, NEXT, 5},
              {1, 1, NEXT, 6},
              {1, 1, 0, 0}},
     .rc = 1},
    {.what = "ends with the last byte of the address space",
     .ring = {{UINT64_MAX, 1, 0, 0}},
     .rc = 1},
    {.what = "exactly 2^32 bytes", .ring = {{0, UINT32_MAX, NEXT, 1}, {0, 1, WRITE, 0}}, .rc = 1},
    {.what = "index ahead by the size", .ring = {{1, 1, 0, 0}}, .avail_idx = SIZE, .rc = 1},
};

START_TEST(hostile_driver)
{
    struct rig r;
    struct virtq_chain chain;
    int want = rows[_i].fault != VIRTQ_OK ? -EPROTO : rows[_i].rc;

    rig_init(&r, VIRTQ_SPLIT, !rows[_i].no_indirect);
    chain.segs = r.segs;
    r.table_rc = rows[_i].table_rc;
    for (unsigned i = 0; i < SIZE; i++)
        virtq_raw_desc_set(&r.raw, i, rows[_i].ring[i]);
    for (unsigned i = 0; i < TABLE; i++)
        virtq_raw_table_set(r.table, i, rows[_i].table[i]);
    virtq_raw_avail_set(&r.raw, 0, rows[_i].head);
    virtq_raw_avail_idx_set(&r.raw, rows[_i].avail_idx != 0 ? rows[_i].avail_idx : 1);

    ck_assert_msg(virtq_dev_pop(&r.dev, &chain) == want && r.dev.fault == rows[_i].fault,
                  "%s: fault is %s", rows[_i].what, virtq_fault_name(r.dev.fault));
    if (want == -EPROTO) {
        ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), -EPROTO);
        ck_assert(!virtq_dev_kick_enable(&r.dev));
    } else if (want == -ENOMEM) {
        r.table_rc = 0; /* the chain was not taken: it can be tried again */
        ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), 1);
    }
    rig_fini(&r);
}
END_TEST

/* More outstanding than the queue has descriptors, one legal-looking step at a time. */
START_TEST(driver_overcommits)
{
    struct rig r;
    struct virtq_chain chain;

    rig_init(&r, VIRTQ_SPLIT, false);
    chain.segs = r.segs;
    virtq_raw_desc_set(&r.raw, 0, (struct virtq_raw_desc){1, 1, 0, 0});
    for (unsigned i = 0; i < SIZE; i++) {
        virtq_raw_avail_add(&r.raw, 0);
        ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), 1);
    }
    /* Pushed, but not published: the driver cannot know yet. */
    virtq_dev_push(&r.dev, chain.token, 0);
    virtq_raw_avail_add(&r.raw, 0);
    ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), -EPROTO);
    ck_assert_int_eq(r.dev.fault, VIRTQ_FAULT_AVAIL_IDX);
    /* What was taken before can still be given back. */
    ck_assert_uint_eq(virtq_dev_outstanding(&r.dev), SIZE - 1);
    virtq_dev_push(&r.dev, chain.token, 0);
    ck_assert_uint_eq(virtq_dev_publish(&r.dev), 2);
    ck_assert_uint_eq(virtq_raw_used_idx_get(&r.raw), 2);
    rig_fini(&r);
}
END_TEST

/* Random bytes everywhere: no crash, no endless loop, and a verdict each time. */
START_TEST(noise)
{
    uint64_t x = 0x2545f4914f6cdd1dull;
    const char *rounds = getenv("RINGPROOF_TEST_ROUNDS");
    unsigned n = rounds != NULL && strcmp(rounds, "small") == 0 ? 200 : 20000;

    for (unsigned round = 0; round < n; round++) {
        struct rig r;
        struct virtq_chain chain;

        rig_init(&r, VIRTQ_SPLIT, true);
        chain.segs = r.segs;
        for (unsigned i = 0; i < SIZE + TABLE; i++) {
            struct virtq_raw_desc d;

            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            d = (struct virtq_raw_desc){x << 3, (uint32_t)(x >> 40) % 300, (x >> 32) & 7,
                                        (uint16_t)((x >> 24) % (SIZE + 1))};
            if (i < SIZE)
                virtq_raw_desc_set(&r.raw, i, d);
            else
                virtq_raw_table_set(r.table, i - SIZE, d);
        }
        for (unsigned i = 0; i < SIZE; i++)
            virtq_raw_avail_set(&r.raw, i, (uint16_t)((x >> (4 * i)) % SIZE));
        virtq_raw_avail_idx_set(&r.raw, SIZE);
        for (unsigned i = 0; i < SIZE; i++) {
            int rc = virtq_dev_pop(&r.dev, &chain);

            if (rc == 1 && chain.count <= CHAIN_MAX && chain.readable <= chain.count)
                continue;
            ck_assert_int_eq(rc, -EPROTO);
            ck_assert_int_ne(r.dev.fault, VIRTQ_OK);
            break;
        }
        rig_fini(&r);
    }
}
END_TEST

/* ---- a hostile device ---- */

struct victim {
    struct rig rig;
    struct virtq_drv drv;
    int cookie[2];
    uint16_t id[2];
};

/* Two chains outstanding, 100 writable bytes each; a third added but not published. */
static void victim_init(struct victim *v, bool in_order)
{
    static int third;
    struct virtq_sg out = {gpa_make(0x1000), 16}, in = {gpa_make(0x2000), 100};
    struct virtq_drv_config c = {.size = SIZE, .in_order = in_order};

    rig_init(&v->rig, VIRTQ_SPLIT, false);
    c.areas = v->rig.raw.areas;
    ck_assert_int_eq(virtq_drv_init(&v->drv, &c), 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(virtq_drv_add(&v->drv, &out, 1, &in, 1, NULL, &v->cookie[i], &v->id[i]),
                         0);
    ck_assert_uint_eq(virtq_drv_publish(&v->drv), 2);
    ck_assert_int_eq(virtq_drv_add(&v->drv, &out, 1, NULL, 0, NULL, &third, NULL), 0);
}

static void victim_fini(struct victim *v)
{
    virtq_drv_fini(&v->drv);
    rig_fini(&v->rig);
}

static const struct {
    const char *what;
    uint32_t id, len; /* id 0 and 2 are heads, 4 is not published, 1 is inside a chain */
    enum virtq_fault fault;
    unsigned outstanding;
} used_rows[] = {
    {"exact length", 0, 100, VIRTQ_OK, 2},
    {"second first, nothing written", 2, 0, VIRTQ_OK, 2},
    {"one byte too many", 0, 101, VIRTQ_FAULT_USED_LEN, 2},
    {"length of 4 GiB", 2, UINT32_MAX, VIRTQ_FAULT_USED_LEN, 2},
    {"id is the size", SIZE, 0, VIRTQ_FAULT_USED_ID, 3},
    {"id with high bits", 0x10000, 0, VIRTQ_FAULT_USED_ID, 3},
    {"id inside a chain", 1, 0, VIRTQ_FAULT_USED_STALE, 3},
    {"id of nothing", 7, 0, VIRTQ_FAULT_USED_STALE, 3},
    {"id that was not made available yet", 4, 0, VIRTQ_FAULT_USED_STALE, 3},
};

START_TEST(hostile_device)
{
    struct victim v;
    struct virtq_done done;

    victim_init(&v, false);
    ck_assert_uint_eq(v.id[1], 2);
    virtq_raw_used_set(&v.rig.raw, 0, (struct virtq_raw_used){used_rows[_i].id, used_rows[_i].len});
    virtq_raw_used_idx_set(&v.rig.raw, 1);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
    ck_assert_msg(done.fault == used_rows[_i].fault, "%s: %s", used_rows[_i].what,
                  virtq_fault_name(done.fault));
    ck_assert_uint_eq(virtq_drv_outstanding(&v.drv), used_rows[_i].outstanding);
    if (done.fault == VIRTQ_OK || done.fault == VIRTQ_FAULT_USED_LEN)
        ck_assert_ptr_eq(done.cookie, &v.cookie[used_rows[_i].id == 0 ? 0 : 1]);
    else
        ck_assert_ptr_null(done.cookie);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 0);
    victim_fini(&v);
}
END_TEST

START_TEST(device_uses_a_chain_twice)
{
    struct victim v;
    struct virtq_done done;

    victim_init(&v, false);
    virtq_raw_used_set(&v.rig.raw, 0, (struct virtq_raw_used){0, 1});
    virtq_raw_used_set(&v.rig.raw, 1, (struct virtq_raw_used){0, 1});
    virtq_raw_used_idx_set(&v.rig.raw, 2);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
    ck_assert_int_eq(done.fault, VIRTQ_OK);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
    ck_assert_int_eq(done.fault, VIRTQ_FAULT_USED_STALE);
    victim_fini(&v);
}
END_TEST

static const uint16_t used_jumps[] = {3, SIZE, 0x8000, 0xffff};

START_TEST(device_jumps_the_index)
{
    struct victim v;
    struct virtq_done done;
    void *cookie;
    unsigned back = 0;

    victim_init(&v, false);
    virtq_raw_used_idx_set(&v.rig.raw, used_jumps[_i]);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), -EPROTO);
    ck_assert_int_eq(v.drv.fault, VIRTQ_FAULT_USED_IDX);
    virtq_raw_used_idx_set(&v.rig.raw, 1);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), -EPROTO);
    while (virtq_drv_detach(&v.drv, &cookie, NULL))
        back++;
    ck_assert_uint_eq(back, 3);
    ck_assert_uint_eq(virtq_drv_free_descs(&v.drv), SIZE);
    virtq_drv_reset(&v.drv);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 0);
    victim_fini(&v);
}
END_TEST

/* With IN_ORDER an entry stands for all chains up to its own: no more than the index moved. */
START_TEST(device_uses_a_batch_beyond_the_index)
{
    struct victim v;
    struct virtq_done done;

    victim_init(&v, true);
    virtq_raw_used_set(&v.rig.raw, 0, (struct virtq_raw_used){v.id[1], 1});
    virtq_raw_used_idx_set(&v.rig.raw, 1);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), -EPROTO);
    ck_assert_int_eq(v.drv.fault, VIRTQ_FAULT_USED_IDX);
    ck_assert_uint_eq(virtq_drv_outstanding(&v.drv), 3);
    victim_fini(&v);

    victim_init(&v, true);
    virtq_raw_used_set(&v.rig.raw, 0, (struct virtq_raw_used){v.id[1], 1});
    virtq_raw_used_idx_set(&v.rig.raw, 2);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
    ck_assert(done.cookie == &v.cookie[0] && done.len_bytes == 100);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
    ck_assert(done.cookie == &v.cookie[1] && done.len_bytes == 1);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 0);
    victim_fini(&v);
}
END_TEST

/* A device that scribbles over descriptors and the available ring cannot lead the driver astray. */
START_TEST(device_scribbles)
{
    struct victim v;
    struct virtq_done done;

    victim_init(&v, false);
    memset(v.rig.desc, 0xff, SIZE * 16);
    for (unsigned i = 0; i < SIZE; i++)
        virtq_raw_avail_set(&v.rig.raw, i, 0xffff);
    virtq_raw_used_set(&v.rig.raw, 0, (struct virtq_raw_used){2, 5});
    virtq_raw_used_set(&v.rig.raw, 1, (struct virtq_raw_used){0, 5});
    virtq_raw_used_idx_set(&v.rig.raw, 2);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
        ck_assert_int_eq(done.fault, VIRTQ_OK);
        ck_assert_ptr_eq(done.cookie, &v.cookie[1 - i]);
    }
    ck_assert_uint_eq(virtq_drv_free_descs(&v.drv), SIZE - 1);
    victim_fini(&v);
}
END_TEST

START_TEST(faults_have_names)
{
    for (int f = VIRTQ_OK; f < VIRTQ_FAULT_COUNT; f++) {
        ck_assert_ptr_nonnull(virtq_fault_name((enum virtq_fault)f));
        for (int g = VIRTQ_OK; g < f; g++)
            ck_assert_str_ne(virtq_fault_name((enum virtq_fault)f),
                             virtq_fault_name((enum virtq_fault)g));
    }
    ck_assert_ptr_nonnull(virtq_fault_name(VIRTQ_FAULT_COUNT));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtq/split_hostile");
    TCase *tc = tcase_create("faults");

    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, hostile_driver, 0, ARRAY_LENGTH(rows));
    tcase_add_test(tc, driver_overcommits);
    tcase_add_test(tc, noise);
    tcase_add_loop_test(tc, hostile_device, 0, ARRAY_LENGTH(used_rows));
    tcase_add_test(tc, device_uses_a_chain_twice);
    tcase_add_test(tc, device_uses_a_batch_beyond_the_index);
    tcase_add_loop_test(tc, device_jumps_the_index, 0, ARRAY_LENGTH(used_jumps));
    tcase_add_test(tc, device_scribbles);
    tcase_add_test(tc, faults_have_names);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
