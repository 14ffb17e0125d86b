/* SPDX-License-Identifier: MIT */
/*
 * Each rule of a packed ring broken once, by a driver and by a device: the other side names the
 * fault, reads nothing outside the areas (the sanitizer watches) and stays usable as promised.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "unit/run.h"
#include "unit/virtq_rig.h"
#include "util/bits.h"

#define AVAIL VIRTQ_PACKED_DESC_F_AVAIL
#define USED  VIRTQ_PACKED_DESC_F_USED

/* A row: ring descriptors from 0, table entries from 0, and what pop says. */
static const struct {
    const char *what;
    struct virtq_raw_pdesc ring[SIZE];
    struct virtq_raw_pdesc table[TABLE];
    bool no_indirect;
    int table_rc;
    int rc;
    enum virtq_fault fault;
} rows[] = {
    {.what = "a chain that goes on in a descriptor of zeroes",
     .ring = {{0x1000, 1, 0, AVAIL | NEXT}},
     .fault = VIRTQ_FAULT_CHAIN_PARTIAL},
    {.what = "a chain that goes on in a descriptor of the lap before",
     .ring = {{0x1000, 1, 0, AVAIL | NEXT}, {0x1000, 1, 0, USED}},
     .fault = VIRTQ_FAULT_CHAIN_PARTIAL},
    {.what = "a chain that goes on in a used descriptor",
     .ring = {{0x1000, 1, 0, AVAIL | NEXT}, {0x1000, 1, 0, AVAIL | USED}},
     .fault = VIRTQ_FAULT_CHAIN_PARTIAL},
    {.what = "every descriptor has NEXT: a loop",
     .ring = {{1, 0, 0, AVAIL | NEXT},
              {1, 0, 0, AVAIL | NEXT},
              {1, 0, 0, AVAIL | NEXT},
              {1, 0, 0, AVAIL | NEXT},
              {1, 0, 0, AVAIL | NEXT},
              {1, 0, 0, AVAIL | NEXT},
              {1, 0, 0, AVAIL | NEXT},
              {1, 0, 0, AVAIL | NEXT}},
     .fault = VIRTQ_FAULT_CHAIN_LOOP},
    {.what = "one more than the device accepts",
     .ring = {{1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL}},
     .fault = VIRTQ_FAULT_CHAIN_LONG},
    {.what = "readable after writable",
     .ring = {{0x1000, 1, 0, AVAIL | NEXT | WRITE}, {0x1000, 1, 0, AVAIL}},
     .fault = VIRTQ_FAULT_CHAIN_ORDER},
    {.what = "address wraps", .ring = {{UINT64_MAX, 2, 0, AVAIL}}, .fault = VIRTQ_FAULT_DESC_WRAP},
    {.what = "more than 2^32 bytes",
     .ring = {{0, UINT32_MAX, 0, AVAIL | NEXT}, {0, 2, 0, AVAIL | WRITE}},
     .fault = VIRTQ_FAULT_CHAIN_BYTES},
    {.what = "indirect without the feature",
     .ring = {{0x1000, 16, 0, AVAIL | INDIRECT}},
     .no_indirect = true,
     .fault = VIRTQ_FAULT_INDIRECT_UNOFFERED},
    {.what = "indirect and next",
     .ring = {{0x1000, 16, 0, AVAIL | INDIRECT | NEXT}, {0x1000, 1, 0, AVAIL}},
     .fault = VIRTQ_FAULT_INDIRECT_NEXT},
    {.what = "a table behind a direct descriptor",
     .ring = {{0x1000, 1, 0, AVAIL | NEXT}, {0x1000, 16, 0, AVAIL | INDIRECT}},
     .fault = VIRTQ_FAULT_INDIRECT_MIXED},
    {.what = "empty table",
     .ring = {{0x1000, 0, 0, AVAIL | INDIRECT}},
     .fault = VIRTQ_FAULT_INDIRECT_LEN},
    {.what = "table of 17 bytes",
     .ring = {{0x1000, 17, 0, AVAIL | INDIRECT}},
     .fault = VIRTQ_FAULT_INDIRECT_LEN},
    {.what = "table of 4 GiB",
     .ring = {{0x1000, 0xfffffff0, 0, AVAIL | INDIRECT}},
     .fault = VIRTQ_FAULT_INDIRECT_LONG},
    {.what = "table wraps",
     .ring = {{UINT64_MAX - 8, 16, 0, AVAIL | INDIRECT}},
     .fault = VIRTQ_FAULT_DESC_WRAP},
    {.what = "table out of reach",
     .ring = {{0x1000, 16, 0, AVAIL | INDIRECT}},
     .table_rc = -EFAULT,
     .fault = VIRTQ_FAULT_INDIRECT_ADDR},
    {.what = "no memory of ours for the table: not a fault",
     .ring = {{0x1000, 16, 0, AVAIL | INDIRECT}},
     .table = {{0x1000, 1, 0, 0}},
     .table_rc = -ENOMEM,
     .rc = -ENOMEM},
    {.what = "order broken inside a table",
     .ring = {{0x1000, 32, 0, AVAIL | INDIRECT}},
     .table = {{0x1000, 1, 0, WRITE}, {0x1000, 1, 0, 0}},
     .fault = VIRTQ_FAULT_CHAIN_ORDER},
    {.what = "table longer than the device accepts",
     .ring = {{0x1000, 7 * 16, 0, AVAIL | INDIRECT}},
     .table = {{1, 1, 0, 0},
               {1, 1, 0, 0},
               {1, 1, 0, 0},
               {1, 1, 0, 0},
               {1, 1, 0, 0},
               {1, 1, 0, 0},
               {1, 1, 0, 0}},
     .fault = VIRTQ_FAULT_CHAIN_LONG},
    /* Not available: no fault, nothing there. */
    {.what = "the flags of the next lap", .ring = {{0x1000, 1, 0, USED}}, .rc = 0},
    {.what = "a used descriptor", .ring = {{0x1000, 1, 0, AVAIL | USED}}, .rc = 0},
    {.what = "a chain whose first descriptor is missing",
     .ring = {{0x1000, 1, 0, NEXT}, {0x1000, 1, 0, AVAIL}},
     .rc = 0},
    /* Legal, though rarely seen. */
    {.what = "an id beyond the size is an id", .ring = {{1, 1, 0xffff, AVAIL}}, .rc = 1},
    {.what = "every flag inside a table but WRITE is ignored",
     .ring = {{0x1000, 32, 5, AVAIL | INDIRECT | WRITE}},
     .table = {{1, 1, 7, (uint16_t)~WRITE}, {1, 1, 9, 0xffff}},
     .rc = 1},
    {.what = "as long as the device accepts, with an empty one within",
     .ring = {{1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 0, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL | NEXT},
              {1, 1, 0, AVAIL}},
     .rc = 1},
    {.what = "ends with the last byte of the address space",
     .ring = {{UINT64_MAX, 1, 0, AVAIL}},
     .rc = 1},
};

START_TEST(hostile_driver)
{
    struct rig r;
    struct virtq_chain chain;
    int want = rows[_i].fault != VIRTQ_OK ? -EPROTO : rows[_i].rc;

    rig_init(&r, VIRTQ_PACKED, !rows[_i].no_indirect);
    chain.segs = r.segs;
    r.table_rc = rows[_i].table_rc;
    for (unsigned i = 0; i < SIZE; i++)
        virtq_raw_pdesc_set(&r.raw, i, rows[_i].ring[i]);
    for (unsigned i = 0; i < TABLE; i++)
        virtq_raw_ptable_set(r.table, i, rows[_i].table[i]);

    ck_assert_msg(virtq_dev_pop(&r.dev, &chain) == want && r.dev.fault == rows[_i].fault,
                  "%s: fault is %s", rows[_i].what, virtq_fault_name(r.dev.fault));
    if (want == -EPROTO) {
        ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), -EPROTO);
        ck_assert(!virtq_dev_kick_enable(&r.dev));
    } else if (want == -ENOMEM) {
        r.table_rc = 0; /* the chain was not taken: it can be tried again */
        ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), 1);
    } else if (want == 1) {
        ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), 0);
        ck_assert_uint_eq(virtq_dev_outstanding(&r.dev), 1);
    }
    rig_fini(&r);
}
END_TEST

/* Slots that the device has not given back, made available again: at once, or inside a chain. */
START_TEST(driver_overruns)
{
    struct rig r;
    struct virtq_chain chain;

    rig_init(&r, VIRTQ_PACKED, false);
    chain.segs = r.segs;
    for (uint16_t i = 0; i < SIZE; i++) {
        virtq_raw_pdesc_set(&r.raw, i, (struct virtq_raw_pdesc){1, 1, i, AVAIL});
        ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), 1);
    }
    /* Pushed, but not published: the driver cannot know yet. */
    virtq_dev_push(&r.dev, chain.token, 0);
    if (_i) {
        virtq_dev_publish(&r.dev);
        virtq_raw_pdesc_set(&r.raw, 1, (struct virtq_raw_pdesc){1, 1, 1, USED});
        virtq_raw_pdesc_set(&r.raw, 0, (struct virtq_raw_pdesc){1, 1, 0, USED | NEXT});
    } else {
        virtq_raw_pdesc_set(&r.raw, 0, (struct virtq_raw_pdesc){1, 1, 0, USED});
    }
    ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), -EPROTO);
    ck_assert_int_eq(r.dev.fault, VIRTQ_FAULT_RING_OVERRUN);
    /* What was taken before can still be given back. */
    ck_assert_uint_eq(virtq_dev_outstanding(&r.dev), SIZE - 1);
    virtq_dev_push(&r.dev, (struct virtq_token){3 | 1u << 16}, 0);
    ck_assert_uint_eq(virtq_dev_publish(&r.dev), _i ? 1 : 2);
    rig_fini(&r);
}
END_TEST

/* What the driver wrote about events is any 32 bits: a decision, and nothing else happens. */
START_TEST(event_noise)
{
    struct rig r;
    struct virtq_chain chain;
    uint64_t x = 0x9e3779b97f4a7c15ull;

    for (unsigned round = 0; round < 2000; round++) {
        uint16_t flags;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        flags = (uint16_t)(x >> 16);
        rig_init(&r, VIRTQ_PACKED, false);
        r.dev.cfg.event_idx = x >> 40 & 1;
        chain.segs = r.segs;
        virtq_raw_driver_event_set(&r.raw, (struct virtq_raw_event){(uint16_t)x, flags});
        virtq_raw_pdesc_set(&r.raw, 0, (struct virtq_raw_pdesc){1, 1, 0, AVAIL});
        ck_assert_int_eq(virtq_dev_pop(&r.dev, &chain), 1);
        virtq_dev_push(&r.dev, chain.token, 0);
        virtq_dev_publish(&r.dev);
        if ((flags & VIRTQ_PACKED_EVENT_MASK) == VIRTQ_PACKED_EVENT_DISABLE)
            ck_assert(!virtq_dev_interrupt_needed(&r.dev));
        else if ((flags & VIRTQ_PACKED_EVENT_MASK) != VIRTQ_PACKED_EVENT_DESC ||
                 !r.dev.cfg.event_idx)
            ck_assert(virtq_dev_interrupt_needed(&r.dev));
        else
            ck_assert(virtq_dev_interrupt_needed(&r.dev) == ((uint16_t)x == 0x8000));
        rig_fini(&r);
    }
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

        rig_init(&r, VIRTQ_PACKED, true);
        chain.segs = r.segs;
        for (unsigned i = 0; i < SIZE + TABLE; i++) {
            struct virtq_raw_pdesc d;

            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            d = (struct virtq_raw_pdesc){x << 3, (uint32_t)(x >> 40) % 300, (uint16_t)(x >> 24),
                                         (x >> 32 & 7) | (x >> 35 & 7 ? AVAIL : 0)};
            if (i < SIZE)
                virtq_raw_pdesc_set(&r.raw, i, d);
            else
                virtq_raw_ptable_set(r.table, i - SIZE, d);
        }
        for (unsigned i = 0; i < SIZE; i++) {
            int rc = virtq_dev_pop(&r.dev, &chain);

            if (rc == 1 && chain.count <= CHAIN_MAX && chain.readable <= chain.count)
                continue;
            if (rc == -EPROTO)
                ck_assert_int_ne(r.dev.fault, VIRTQ_OK);
            else
                ck_assert_int_eq(rc, 0);
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
    int cookie[3];
    uint16_t id[3];
};

/* Two chains of two descriptors outstanding, 100 writable bytes each; a third of one descriptor
 * added but not published. */
static void victim_init(struct victim *v, bool in_order)
{
    struct virtq_sg out = {gpa_make(0x1000), 16}, in = {gpa_make(0x2000), 100};
    struct virtq_drv_config c = {.format = VIRTQ_PACKED, .size = SIZE, .in_order = in_order};

    rig_init(&v->rig, VIRTQ_PACKED, false);
    c.areas = v->rig.raw.areas;
    ck_assert_int_eq(virtq_drv_init(&v->drv, &c), 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(virtq_drv_add(&v->drv, &out, 1, &in, 1, NULL, &v->cookie[i], &v->id[i]),
                         0);
    ck_assert_uint_eq(virtq_drv_publish(&v->drv), 2);
    ck_assert_int_eq(virtq_drv_add(&v->drv, &out, 1, NULL, 0, NULL, &v->cookie[2], &v->id[2]), 0);
}

static void victim_fini(struct victim *v)
{
    virtq_drv_fini(&v->drv);
    rig_fini(&v->rig);
}

#define FIRST  0
#define SECOND 1
#define THIRD  2
#define NONE   3

static const struct {
    const char *what;
    unsigned chain; /* whose id the entry has, or NONE: `id` */
    uint16_t id;
    uint32_t len;
    uint16_t flags;
    enum virtq_fault fault;
    unsigned outstanding;
} used_rows[] = {
    {"exact length", FIRST, 0, 100, AVAIL | USED | WRITE, VIRTQ_OK, 2},
    {"second first, nothing written", SECOND, 0, 0, AVAIL | USED, VIRTQ_OK, 2},
    {"a length without WRITE means nothing", FIRST, 0, 9999, AVAIL | USED, VIRTQ_OK, 2},
    {"NEXT and INDIRECT mean nothing", FIRST, 0, 1, AVAIL | USED | WRITE | NEXT | INDIRECT,
     VIRTQ_OK, 2},
    {"one byte too many", FIRST, 0, 101, AVAIL | USED | WRITE, VIRTQ_FAULT_USED_LEN, 2},
    {"length of 4 GiB", SECOND, 0, UINT32_MAX, AVAIL | USED | WRITE, VIRTQ_FAULT_USED_LEN, 2},
    {"id is the size", NONE, SIZE, 0, AVAIL | USED, VIRTQ_FAULT_USED_ID, 3},
    {"id is 0xffff", NONE, 0xffff, 0, AVAIL | USED, VIRTQ_FAULT_USED_ID, 3},
    {"id of nothing", NONE, 7, 0, AVAIL | USED, VIRTQ_FAULT_USED_STALE, 3},
    {"id that was not made available yet", THIRD, 0, 0, AVAIL | USED, VIRTQ_FAULT_USED_STALE, 3},
};

/* _i: a row, twice: without and with IN_ORDER. */
START_TEST(hostile_device)
{
    unsigned row = (unsigned)_i % ARRAY_LENGTH(used_rows);
    bool in_order = (unsigned)_i >= ARRAY_LENGTH(used_rows);
    unsigned chain = used_rows[row].chain;
    struct virtq_done done;
    struct victim v;

    victim_init(&v, in_order);
    virtq_raw_pdesc_set(&v.rig.raw, 0,
                        (struct virtq_raw_pdesc){0, used_rows[row].len,
                                                 chain == NONE ? used_rows[row].id : v.id[chain],
                                                 used_rows[row].flags});
    if (in_order && chain == SECOND) { /* and with it the first, written whole */
        ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
        ck_assert(done.fault == VIRTQ_OK && done.cookie == &v.cookie[0] && done.len_bytes == 100);
    }
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
    ck_assert_msg(done.fault == used_rows[row].fault, "%s: %s", used_rows[row].what,
                  virtq_fault_name(done.fault));
    if (done.fault == VIRTQ_OK || done.fault == VIRTQ_FAULT_USED_LEN) {
        ck_assert_uint_eq(virtq_drv_outstanding(&v.drv), in_order && chain == SECOND ? 1 : 2);
        ck_assert_ptr_eq(done.cookie, &v.cookie[chain]);
        ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 0);
    } else {
        /* Where the next entry would be is not known any more. */
        ck_assert_uint_eq(virtq_drv_outstanding(&v.drv), 3);
        ck_assert_ptr_null(done.cookie);
        ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), -EPROTO);
        ck_assert(virtq_drv_used_pending(&v.drv) && virtq_drv_irq_enable(&v.drv));
    }
    victim_fini(&v);
}
END_TEST

START_TEST(device_uses_a_chain_twice)
{
    struct victim v;
    struct virtq_done done;

    victim_init(&v, _i);
    virtq_raw_pdesc_set(&v.rig.raw, 0, (struct virtq_raw_pdesc){0, 1, v.id[0], AVAIL | USED});
    virtq_raw_pdesc_set(&v.rig.raw, 2, (struct virtq_raw_pdesc){0, 1, v.id[0], AVAIL | USED});
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
    ck_assert_int_eq(done.fault, VIRTQ_OK);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
    ck_assert_int_eq(done.fault, VIRTQ_FAULT_USED_STALE);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), -EPROTO);
    victim_fini(&v);
}
END_TEST

/* A device that scribbles over the ring cannot lead the driver astray, and with nothing
 * outstanding no flags mean that something was used. */
START_TEST(device_scribbles)
{
    struct victim v;
    struct virtq_done done;
    void *cookie;
    unsigned back = 0;

    victim_init(&v, false);
    memset(v.rig.desc, 0xff, SIZE * 16);
    virtq_raw_pdesc_set(&v.rig.raw, 0,
                        (struct virtq_raw_pdesc){0, 5, v.id[1], AVAIL | USED | WRITE});
    virtq_raw_pdesc_set(&v.rig.raw, 2,
                        (struct virtq_raw_pdesc){0, 5, v.id[0], AVAIL | USED | WRITE});
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 1);
        ck_assert_int_eq(done.fault, VIRTQ_OK);
        ck_assert_ptr_eq(done.cookie, &v.cookie[1 - i]);
    }
    ck_assert_uint_eq(virtq_drv_free_descs(&v.drv), SIZE - 1);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 0);
    ck_assert(!virtq_drv_used_pending(&v.drv));
    while (virtq_drv_detach(&v.drv, &cookie, NULL))
        back++;
    ck_assert_uint_eq(back, 1);
    virtq_drv_reset(&v.drv);
    ck_assert_int_eq(virtq_drv_reap(&v.drv, &done), 0);
    victim_fini(&v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtq/packed_hostile");
    TCase *tc = tcase_create("faults");

    tcase_set_timeout(tc, 30);
    tcase_add_loop_test(tc, hostile_driver, 0, ARRAY_LENGTH(rows));
    tcase_add_loop_test(tc, driver_overruns, 0, 2);
    tcase_add_test(tc, event_noise);
    tcase_add_test(tc, noise);
    tcase_add_loop_test(tc, hostile_device, 0, 2 * ARRAY_LENGTH(used_rows));
    tcase_add_loop_test(tc, device_uses_a_chain_twice, 0, 2);
    tcase_add_test(tc, device_scribbles);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
