/* SPDX-License-Identifier: MIT */
/* One IOREQ: every width, repetitions in both directions, memory operands, and nonsense. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include <xen/hvm/ioreq.h>

#include "unit/run.h"
#include "util/bits.h"
#include "xen/ioreq_slot.h"

#define ONES UINT64_MAX

/* A device of 64 KiB of bytes at 0x1000, and a guest memory of the same size from 0. */
#define DEVICE_BASE  0x1000u
#define DEVICE_BYTES 65536u

static uint8_t device[DEVICE_BYTES], memory[DEVICE_BYTES];
static unsigned accesses;
static uint64_t last_addr, last_value;
static sbdf_t last_sbdf;
static struct ioreq_stats stats;

static uint64_t dev_read(void *ctx, uint64_t addr, unsigned bytes)
{
    uint64_t v = ONES;

    accesses++;
    last_addr = addr;
    if (addr >= DEVICE_BASE && addr - DEVICE_BASE <= DEVICE_BYTES - bytes)
        memcpy(&v, device + (addr - DEVICE_BASE), bytes);
    return v; /* the part above `bytes` stays ones: to be masked */
}

static void dev_write(void *ctx, uint64_t addr, unsigned bytes, uint64_t value)
{
    accesses++;
    last_addr = addr;
    last_value = value;
    if (addr >= DEVICE_BASE && addr - DEVICE_BASE <= DEVICE_BYTES - bytes)
        memcpy(device + (addr - DEVICE_BASE), &value, bytes);
}

static uint64_t cfg_read(void *ctx, sbdf_t at, unsigned offset, unsigned bytes)
{
    accesses++;
    last_sbdf = at;
    last_addr = offset;
    return 0x1122334455667788ull;
}

static void cfg_write(void *ctx, sbdf_t at, unsigned offset, unsigned bytes, uint64_t value)
{
    accesses++;
    last_sbdf = at;
    last_addr = offset;
    last_value = value;
}

static const struct ioreq_ops ops = {dev_read, dev_write, cfg_read, cfg_write};

static int copy(void *ctx, uint64_t gpa, void *buffer, uint32_t bytes, bool to_guest)
{
    if (gpa > DEVICE_BYTES || bytes > DEVICE_BYTES - gpa)
        return -EFAULT;
    if (to_guest)
        memcpy(memory + gpa, buffer, bytes);
    else
        memcpy(buffer, memory + gpa, bytes);
    return 0;
}

static const struct ioreq_memory mem = {.copy = copy};

static uint64_t perform(const struct ioreq_slot *req)
{
    return ioreq_slot_perform(req, &ops, NULL, &mem, &stats);
}

static void setup(void)
{
    for (unsigned i = 0; i < DEVICE_BYTES; i++) {
        device[i] = (uint8_t)(i * 7 + i / 256);
        memory[i] = (uint8_t)(i * 13 + i / 256);
    }
}

START_TEST(widths_are_masked)
{
    unsigned size = 1u << _i;
    uint64_t mask = size == 8 ? ONES : (1ull << 8 * size) - 1;
    struct ioreq_slot req = {.addr = DEVICE_BASE + 3,
                             .data = ONES,
                             .count = 1,
                             .size = size,
                             .type = IOREQ_TYPE_COPY,
                             .flags = IOREQ_SLOT_READ};
    uint64_t want = 0;

    memcpy(&want, device + 3, size);
    ck_assert_uint_eq(perform(&req), want);
    req.addr = 0; /* nothing there */
    ck_assert_uint_eq(perform(&req), mask);
    req.flags = 0;
    req.data = 0x8877665544332211ull;
    perform(&req);
    ck_assert_uint_eq(last_value, req.data & mask);
}
END_TEST

START_TEST(config_address_is_decoded)
{
    struct ioreq_slot req = {.addr = 0xabcdull << 48 | 0x12ull << 40 | 0x1full << 35 | 5ull << 32 |
                                     0x104,
                             .count = 1,
                             .size = 2,
                             .type = IOREQ_TYPE_PCI_CONFIG,
                             .flags = IOREQ_SLOT_READ};

    ck_assert_uint_eq(perform(&req), 0x7788);
    ck_assert_uint_eq(last_sbdf.raw, SBDF(0xabcd, 0x12, 0x1f, 5).raw);
    ck_assert_uint_eq(last_addr, 0x104);
}
END_TEST

/* `rep movs` between device and memory; 4096 elements cross every chunk boundary there is. */
START_TEST(repetitions)
{
    static const uint32_t counts[] = {1, 2, 63, 64, 65, 127, 1000, 4096};
    static const uint32_t sizes[] = {1, 2, 4, 8};

    for (unsigned c = 0; c < ARRAY_LENGTH(counts); c++) {
        for (unsigned z = 0; z < ARRAY_LENGTH(sizes); z++) {
            uint32_t n = counts[c], size = sizes[z];
            bool down = (_i & 1) != 0, read = (_i & 2) != 0;
            uint64_t low = 64;
            uint64_t first = down ? low + (uint64_t)(n - 1) * size : low;
            struct ioreq_slot req = {.addr = DEVICE_BASE + first,
                                     .data = first,
                                     .count = n,
                                     .size = size,
                                     .type = IOREQ_TYPE_COPY,
                                     .flags = (uint8_t)(IOREQ_SLOT_POINTER |
                                                        (down ? IOREQ_SLOT_DOWN : 0) |
                                                        (read ? IOREQ_SLOT_READ : 0))};
            uint8_t *to = read ? memory : device;

            setup();
            accesses = 0;
            perform(&req);
            ck_assert_uint_eq(accesses, n);
            ck_assert_int_eq(memcmp(memory + low, device + low, (size_t)n * size), 0);
            /* Nothing around it. */
            ck_assert_uint_eq(to[low - 1], (uint8_t)((low - 1) * (read ? 13 : 7)));
        }
    }
}
END_TEST

/* `rep stos` has its operand in the request. */
START_TEST(repeated_value)
{
    struct ioreq_slot req = {.addr = DEVICE_BASE + 40,
                             .data = 0xaabbccdd,
                             .count = 3,
                             .size = 4,
                             .type = IOREQ_TYPE_COPY,
                             .flags = IOREQ_SLOT_DOWN};
    uint32_t got[3];

    perform(&req);
    memcpy(got, device + 32, sizeof(got));
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(got[i], 0xaabbccdd);
}
END_TEST

START_TEST(nonsense_is_answered_with_ones)
{
    static const struct ioreq_slot cases[] = {
        {.type = IOREQ_TYPE_COPY, .size = 0, .count = 1},
        {.type = IOREQ_TYPE_COPY, .size = 3, .count = 1},
        {.type = IOREQ_TYPE_COPY, .size = 16, .count = 1},
        {.type = IOREQ_TYPE_COPY, .size = UINT32_MAX, .count = 1},
        {.type = IOREQ_TYPE_COPY, .size = 4, .count = 0},
        {.type = IOREQ_TYPE_COPY, .size = 4, .count = IOREQ_COUNT_MAX + 1},
        {.type = IOREQ_TYPE_COPY, .size = 8, .count = UINT32_MAX, .flags = IOREQ_SLOT_POINTER},
        {.type = IOREQ_TYPE_PCI_CONFIG, .size = 4, .count = 2},
        {.type = IOREQ_TYPE_PCI_CONFIG, .size = 4, .count = 1, .flags = IOREQ_SLOT_POINTER},
        {.type = IOREQ_TYPE_PIO, .size = 4, .count = 1},
        {.type = IOREQ_TYPE_TIMEOFFSET, .size = 8, .count = 1},
        {.type = 3, .size = 4, .count = 1},
        {.type = 255, .size = 4, .count = 1},
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct ioreq_slot req = cases[i];

        req.flags |= IOREQ_SLOT_READ;
        ck_assert_uint_eq(perform(&req), ONES);
    }
    ck_assert_uint_eq(accesses, 0);
    ck_assert_uint_eq(stats.refused, ARRAY_LENGTH(cases));
}
END_TEST

START_TEST(memory_out_of_reach)
{
    struct ioreq_slot req = {.addr = ONES - 7,
                             .data = DEVICE_BYTES - 4,
                             .count = 4096,
                             .size = 8,
                             .type = IOREQ_TYPE_COPY,
                             .flags = IOREQ_SLOT_POINTER | IOREQ_SLOT_READ};

    perform(&req); /* both addresses wrap or leave: no access outside, no crash */
    req.data = ONES;
    req.flags |= IOREQ_SLOT_DOWN;
    perform(&req);
    req.flags = IOREQ_SLOT_POINTER;
    accesses = 0;
    perform(&req);
    ck_assert_uint_eq(accesses, 0);
    ck_assert_uint_eq(stats.refused, 3);
}
END_TEST

START_TEST(invalidate_is_answered)
{
    struct ioreq_slot req = {.type = IOREQ_TYPE_INVALIDATE, .size = 4, .count = 1, .data = ONES};

    perform(&req);
    ck_assert_uint_eq(stats.invalidates, 1);
    ck_assert_uint_eq(stats.refused, 0);
    ck_assert_uint_eq(accesses, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xen_ioreq_slot");
    TCase *t = tcase_create("slot");

    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_loop_test(t, widths_are_masked, 0, 4);
    tcase_add_test(t, config_address_is_decoded);
    tcase_add_loop_test(t, repetitions, 0, 4);
    tcase_add_test(t, repeated_value);
    tcase_add_test(t, nonsense_is_answered_with_ones);
    tcase_add_test(t, memory_out_of_reach);
    tcase_add_test(t, invalidate_is_answered);
    suite_add_tcase(s, t);
    return unit_run(s);
}
