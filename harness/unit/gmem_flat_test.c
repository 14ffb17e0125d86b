/* SPDX-License-Identifier: MIT */
/* Leases over flat memory: boundaries, refusals, and what the wrapper guarantees. */
#include <check.h>
#include <errno.h>

#include "gmem/flat.h"
#include "gmem/gref.h"
#include "unit/run.h"
#include "util/bits.h"

#define IOVS 4

static char low[8192], high[4096], fixed[4096];

static struct gmem *given_memory(void)
{
    /* `high` adjoins `low`; `fixed` is apart, read-only, and at grant addresses. */
    const struct gmem_flat_region regions[] = {
        {GREF_ADDR_BIT, sizeof(fixed), fixed, true},
        {0x12000, sizeof(high), high, false},
        {0x10000, sizeof(low), low, false},
    };
    struct gmem *m = NULL;

    ck_assert_int_eq(gmem_flat_create(regions, ARRAY_LENGTH(regions), &m), 0);
    return m;
}

static const struct {
    uint64_t addr;
    uint32_t len, access;
    int rc;
} cases[] = {
    {0x10000, 1, GMEM_READ, 0},
    {0x12fff, 1, GMEM_WRITE, 0},
    {0x10000, 0x3000, GMEM_READ | GMEM_WRITE, 0},
    {0x10000, 0x3001, GMEM_READ, -EINVAL},
    {0xffff, 2, GMEM_READ, -EINVAL},
    {0x10000, 0, GMEM_READ, -EINVAL},
    {0x10000, 4, 0, -EINVAL},
    {0x10000, 4, 4, -EINVAL},
    {UINT64_MAX, 2, GMEM_READ, -EINVAL},
    {GREF_ADDR_BIT + 4095, 1, GMEM_READ, 0},
    {GREF_ADDR_BIT + 4095, 1, GMEM_WRITE, -EFAULT},
};

START_TEST(one_range)
{
    struct gmem *m = given_memory();
    struct iovec iov[IOVS];
    struct gmem_lease lease = {.iov = iov, .iov_max = IOVS};
    struct gmem_range range = {gpa_make(cases[_i].addr), cases[_i].len, cases[_i].access};
    size_t sum = 0;

    ck_assert_int_eq(gmem_get(m, &range, 1, &lease), cases[_i].rc);
    if (cases[_i].rc == 0) {
        for (unsigned i = 0; i < lease.iov_count; i++)
            sum += lease.iov[i].iov_len;
        ck_assert_uint_eq(sum, cases[_i].len);
        ck_assert_uint_eq(m->leases_out, 1);
    } else {
        ck_assert_uint_eq(m->stats.errors, 1);
        ck_assert_uint_eq(m->leases_out, 0);
        ck_assert_ptr_null(lease.impl);
    }
    gmem_put(m, &lease);
    gmem_put(m, &lease); /* an empty lease is allowed */
    ck_assert_uint_eq(m->leases_out, 0);
    gmem_destroy(m);
}
END_TEST

START_TEST(readable_part_and_split)
{
    struct gmem *m = given_memory();
    struct iovec iov[IOVS];
    struct gmem_lease lease = {.iov = iov, .iov_max = IOVS};
    const struct gmem_range ranges[] = {
        {gpa_make(0x11fff), 2, GMEM_READ},
        {gpa_make(GREF_ADDR_BIT), 4, GMEM_READ},
        {gpa_make(0x10000), 1, GMEM_WRITE},
    };

    ck_assert_int_eq(gmem_get(m, ranges, 3, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, 4);
    ck_assert_uint_eq(lease.iov_readable, 3);
    ck_assert_ptr_eq(lease.iov[0].iov_base, low + 8191);
    ck_assert_ptr_eq(lease.iov[1].iov_base, high);
    ck_assert_uint_eq(m->stats.ranges, 3);
    gmem_put(m, &lease);
    lease.iov_max = 3;
    ck_assert_int_eq(gmem_get(m, ranges, 3, &lease), -ENOSPC);
    gmem_forget(m);
    gmem_destroy(m);
    gmem_destroy(NULL);
}
END_TEST

START_TEST(bad_regions_are_refused)
{
    const struct gmem_flat_region overlap[] = {{0x1000, 0x1001, low, false},
                                               {0x2000, 0x1000, high, false}};
    const struct gmem_flat_region empty = {0x1000, 0, low, false};
    const struct gmem_flat_region wraps = {UINT64_MAX - 1, 3, low, false};
    struct gmem *m = NULL;

    ck_assert_int_eq(gmem_flat_create(overlap, 2, &m), -EINVAL);
    ck_assert_int_eq(gmem_flat_create(&empty, 1, &m), -EINVAL);
    ck_assert_int_eq(gmem_flat_create(&wraps, 1, &m), -EINVAL);
    ck_assert_ptr_null(m);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gmem/flat");
    TCase *tc = tcase_create("leases");

    tcase_add_loop_test(tc, one_range, 0, ARRAY_LENGTH(cases));
    tcase_add_test(tc, readable_part_and_split);
    tcase_add_test(tc, bad_regions_are_refused);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
