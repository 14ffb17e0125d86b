/* SPDX-License-Identifier: MIT */
/* Tables of mappings: their order, both ends of the space, and all that is refused. */
#include <check.h>
#include <errno.h>

#include "gmem/gmem.h"
#include "gmem/iova.h"
#include "unit/run.h"
#include "util/bits.h"

static struct iova_table t;

static int map(uint64_t start, uint64_t end, uint64_t phys)
{
    const struct iova_mapping m = {start, end, phys, GMEM_READ};

    return iova_map(&t, &m);
}

static uint64_t leads_to(uint64_t addr)
{
    const struct iova_mapping *m = iova_find(&t, addr);

    return m ? m->phys + (addr - m->start) : 0;
}

START_TEST(mappings_are_found)
{
    ck_assert_ptr_null(iova_find(&t, 0));
    ck_assert_int_eq(map(0x5000, 0x5fff, 0x100000), 0);
    ck_assert_int_eq(map(0x1000, 0x1fff, 0x200000), 0);
    ck_assert_int_eq(map(0x2000, 0x4fff, 0x300000), 0);
    ck_assert_uint_eq(leads_to(0x1000), 0x200000);
    ck_assert_uint_eq(leads_to(0x1fff), 0x200fff);
    ck_assert_uint_eq(leads_to(0x2000), 0x300000);
    ck_assert_uint_eq(leads_to(0x4fff), 0x302fff);
    ck_assert_uint_eq(leads_to(0x5fff), 0x100fff);
    ck_assert_ptr_null(iova_find(&t, 0xfff));
    ck_assert_ptr_null(iova_find(&t, 0x6000));
    ck_assert_ptr_null(iova_find(&t, UINT64_MAX));
    iova_fini(&t);
}
END_TEST

START_TEST(both_ends_of_the_space)
{
    ck_assert_int_eq(map(0, 0, 1), 0);
    ck_assert_int_eq(map(UINT64_MAX, UINT64_MAX, UINT64_MAX), 0);
    ck_assert_int_eq(map(1, UINT64_MAX - 1, 0), 0);
    ck_assert_int_eq(map(0, UINT64_MAX, 0), -EEXIST);
    ck_assert_uint_eq(leads_to(UINT64_MAX), UINT64_MAX);
    ck_assert_uint_eq(leads_to(UINT64_MAX - 1), UINT64_MAX - 2);
    ck_assert_int_eq(iova_unmap(&t, 0, UINT64_MAX - 2), -ERANGE);
    ck_assert_int_eq(iova_unmap(&t, 0, UINT64_MAX), 0);
    ck_assert_uint_eq(t.count, 0);
    ck_assert_int_eq(map(0, UINT64_MAX, 0), 0);
    ck_assert_int_eq(iova_unmap(&t, UINT64_MAX, UINT64_MAX), -ERANGE);
    ck_assert_int_eq(iova_unmap(&t, 0, 0), -ERANGE);
    ck_assert_int_eq(iova_unmap(&t, 0, UINT64_MAX), 0);
    iova_fini(&t);
}
END_TEST

START_TEST(ranges_that_are_none)
{
    ck_assert_int_eq(map(2, 1, 0), -EINVAL);
    ck_assert_int_eq(map(0, 1, UINT64_MAX), -EINVAL);
    ck_assert_int_eq(map(0, UINT64_MAX, 1), -EINVAL);
    ck_assert_int_eq(iova_unmap(&t, 1, 0), -EINVAL);
    ck_assert_uint_eq(t.count, 0);
    iova_fini(&t);
}
END_TEST

static const struct {
    uint64_t start, end;
    int rc;
    unsigned left;
} unmaps[] = {
    {0, 9, 0, 3},        {10, 19, 0, 2},       {10, 29, 0, 1},       {0, 100, 0, 0},
    {30, 39, 0, 3},      {20, 39, 0, 2},       {11, 29, -ERANGE, 3}, {10, 18, -ERANGE, 3},
    {0, 10, -ERANGE, 3}, {20, 45, -ERANGE, 3}, {12, 13, -ERANGE, 3}, {60, 70, 0, 3},
};

/* 10 to 19, 20 to 29, 40 to 49. */
START_TEST(unmap_takes_whole_mappings)
{
    ck_assert_int_eq(map(40, 49, 0), 0);
    ck_assert_int_eq(map(10, 19, 0), 0);
    ck_assert_int_eq(map(20, 29, 0), 0);
    ck_assert_int_eq(iova_unmap(&t, unmaps[_i].start, unmaps[_i].end), unmaps[_i].rc);
    ck_assert_uint_eq(t.count, unmaps[_i].left);
    iova_fini(&t);
}
END_TEST

START_TEST(there_is_a_limit)
{
    /* Not in the order of their addresses. */
    for (uint64_t i = 0; i < IOVA_MAPPINGS_MAX; i++) {
        uint64_t at = i * 7919 % IOVA_MAPPINGS_MAX;

        ck_assert_int_eq(map(at * 16, at * 16 + 7, at), 0);
    }
    ck_assert_int_eq(map(UINT64_MAX, UINT64_MAX, 0), -ENOSPC);
    for (uint64_t i = 0; i < IOVA_MAPPINGS_MAX; i++) {
        ck_assert_uint_eq(leads_to(i * 16 + 7), i + 7);
        ck_assert_ptr_null(iova_find(&t, i * 16 + 8));
    }
    ck_assert_int_eq(iova_unmap(&t, 16, 23), 0);
    ck_assert_int_eq(map(16, 31, 0), 0);
    iova_fini(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gmem/iova");
    TCase *tc = tcase_create("tables");

    tcase_add_test(tc, mappings_are_found);
    tcase_add_test(tc, both_ends_of_the_space);
    tcase_add_test(tc, ranges_that_are_none);
    tcase_add_loop_test(tc, unmap_takes_whole_mappings, 0, ARRAY_LENGTH(unmaps));
    tcase_add_test(tc, there_is_a_limit);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
