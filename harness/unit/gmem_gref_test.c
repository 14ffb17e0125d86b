/* SPDX-License-Identifier: MIT */
/* Grant addresses: every offset around a page, every length around a page, the last reference. */
#include <check.h>
#include <errno.h>

#include "gmem/gref.h"
#include "unit/run.h"
#include "util/bits.h"

static const uint32_t offsets[] = {0, 1, 2, 511, 512, 2048, 4088, 4094, 4095};
static const uint32_t lengths[] = {1,    2,    511,  512,   4094,  4095,     4096,      4097,
                                   8191, 8192, 8193, 65536, 69633, 1u << 20, UINT32_MAX};

/* A model that counts pages without arithmetic tricks: last page minus first page plus one. */
static uint64_t pages_of(uint64_t offset, uint64_t len)
{
    return (offset + len - 1) / 4096 - offset / 4096 + 1;
}

START_TEST(pages_follow_offset_and_length)
{
    for (unsigned o = 0; o < ARRAY_LENGTH(offsets); o++) {
        for (unsigned l = 0; l < ARRAY_LENGTH(lengths); l++) {
            gpa_t addr = gpa_from_gref(gref_make(1000), offsets[o]);
            gref_t first;
            uint32_t offset, pages;

            ck_assert_int_eq(gref_decode(addr, lengths[l], &first, &offset, &pages), 0);
            ck_assert_uint_eq(first.raw, 1000);
            ck_assert_uint_eq(offset, offsets[o]);
            ck_assert_uint_eq(pages, pages_of(offsets[o], lengths[l]));
        }
    }
}
END_TEST

START_TEST(every_offset_with_every_short_length)
{
    for (uint32_t o = 0; o < 4096; o++) {
        for (uint32_t len = 1; len <= 4; len++) {
            gref_t first;
            uint32_t offset, pages;
            uint32_t around = 4096 - o + len - 2; /* ends 2 before to 2 after the page's end */

            ck_assert_int_eq(
                gref_decode(gpa_from_gref(gref_make(9), o), len, &first, &offset, &pages), 0);
            ck_assert_uint_eq(pages, pages_of(o, len));
            if (around == 0)
                continue;
            ck_assert_int_eq(
                gref_decode(gpa_from_gref(gref_make(9), o), around, &first, &offset, &pages), 0);
            ck_assert_uint_eq(pages, pages_of(o, around));
        }
    }
}
END_TEST

static const struct {
    uint64_t addr;
    uint32_t len;
    int rc;
    uint32_t pages;
} edges[] = {
    {0x1000, 4096, -EINVAL, 0},                        /* not a grant */
    {GREF_ADDR_BIT | 0x1000, 0, -EINVAL, 0},           /* empty */
    {GREF_ADDR_BIT | 0xffffffffull << 12, 4096, 0, 1}, /* the last reference */
    {GREF_ADDR_BIT | 0xffffffffull << 12, 4097, -EINVAL, 0},
    {(GREF_ADDR_BIT | 0xffffffffull << 12) + 4095, 1, 0, 1},
    {(GREF_ADDR_BIT | 0xffffffffull << 12) + 4095, 2, -EINVAL, 0},
    {GREF_ADDR_BIT | 0xfffffffeull << 12, 8192, 0, 2},
    {GREF_ADDR_BIT | 1ull << 44, 4096, -EINVAL, 0}, /* a reference of 33 bits */
    {GREF_ADDR_BIT | 1ull << 62, 4096, -EINVAL, 0},
    {UINT64_MAX, 1, -EINVAL, 0},
    {UINT64_MAX, UINT32_MAX, -EINVAL, 0},
    {GREF_ADDR_BIT, UINT32_MAX, 0, 1u << 20},
};

START_TEST(edge)
{
    gref_t first = gref_make(77);
    uint32_t offset = 77, pages = 77;

    ck_assert_int_eq(gref_decode(gpa_make(edges[_i].addr), edges[_i].len, &first, &offset, &pages),
                     edges[_i].rc);
    ck_assert_uint_eq(pages, edges[_i].rc == 0 ? edges[_i].pages : 77);
    if (edges[_i].rc != 0)
        ck_assert(first.raw == 77 && offset == 77);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gmem/gref");
    TCase *tc = tcase_create("decode");

    tcase_add_test(tc, pages_follow_offset_and_length);
    tcase_add_test(tc, every_offset_with_every_short_length);
    tcase_add_loop_test(tc, edge, 0, ARRAY_LENGTH(edges));
    suite_add_tcase(s, tc);
    return unit_run(s);
}
