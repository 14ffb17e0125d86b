/* SPDX-License-Identifier: MIT */
/* Mapping per request, on a stand-in for libxen. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "gmem/gref.h"
#include "unit/libxen_fake.h"
#include "unit/run.h"
#include "util/bits.h"
#include "xen/gmem_strategy.h"

#define PAGES          64u
#define READ_ONLY_FROM 32u

static uint8_t *guest;
static struct xen_handles *xen;
static struct gmem *gmem;
static struct iovec iov[8];
static struct gmem_lease lease;

static void setup(void)
{
    const char *what;

    guest = libxen_fake_memory_create(PAGES, READ_ONLY_FROM);
    ck_assert_int_eq(xen_handles_open(&xen, &what), 0);
}

static void use(const char *strategy)
{
    const struct gmem_strategy_args args = {.xen = xen, .domid = LIBXEN_FAKE_DOMID};

    ck_assert_int_eq(gmem_strategy_find(strategy)->create(&args, &gmem), 0);
    lease = (struct gmem_lease){.iov = iov, .iov_max = ARRAY_LENGTH(iov)};
}

static void teardown(void)
{
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
    ck_assert_uint_eq(gmem->stats.pages_mapped, gmem->stats.pages_unmapped);
    ck_assert_uint_eq(gmem->stats.unmap_calls, libxen_fake.unmap_calls);
    gmem_destroy(gmem);
    xen_handles_close(xen);
    libxen_fake_memory_destroy();
}

static gpa_t grant(uint32_t ref, uint32_t offset)
{
    return gpa_from_gref(gref_make(ref), offset);
}
static gpa_t frame(uint64_t gfn, uint32_t offset)
{
    return gpa_make(gfn << 12 | offset);
}

/* A page count from the length alone would miss the second page. */
START_TEST(grant_offset_counts)
{
    struct gmem_range r = {grant(5, 4095), 2, GMEM_READ};
    const uint8_t *p;

    use("grant-map");
    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    p = iov[0].iov_base;
    ck_assert_uint_eq(iov[0].iov_len, 2);
    ck_assert_uint_eq(p[0], 5);
    ck_assert_uint_eq(p[1], 6);
    ck_assert_uint_eq(gmem->stats.pages_mapped, 2);
    ck_assert_int_eq(libxen_fake.last_prot, PROT_READ);
    gmem_put(gmem, &lease);
}
END_TEST

START_TEST(one_call_for_each_access)
{
    struct gmem_range r[] = {
        {grant(40, 16), 16, GMEM_READ},
        {grant(41, 0), 8192, GMEM_READ},
        {grant(2, 100), 4096, GMEM_WRITE},
        {grant(10, 0), 1, GMEM_WRITE | GMEM_READ},
    };

    use("auto");
    ck_assert_int_eq(gmem_get(gmem, r, 4, &lease), 0);
    ck_assert_uint_eq(libxen_fake.map_calls, 2);
    ck_assert_uint_eq(lease.iov_count, 4);
    ck_assert_uint_eq(lease.iov_readable, 2);
    ck_assert_uint_eq(gmem->stats.map_calls, 2);
    ck_assert_uint_eq(gmem->stats.pages_mapped, 3 + 3);
    ck_assert_int_eq(memcmp(iov[0].iov_base, guest + 40 * 4096, 16), 0);
    ck_assert_int_eq(memcmp(iov[1].iov_base, guest + 41 * 4096, 8192), 0);
    memset(iov[2].iov_base, 0xee, 4096);
    memset(iov[3].iov_base, 0xdd, 1);
    gmem_put(gmem, &lease);
    ck_assert_uint_eq(libxen_fake.unmap_calls, 2);
    ck_assert_uint_eq(guest[2 * 4096 + 99], 2);
    ck_assert_uint_eq(guest[2 * 4096 + 100], 0xee);
    ck_assert_uint_eq(guest[3 * 4096 + 99], 0xee);
    ck_assert_uint_eq(guest[3 * 4096 + 100], 3);
    ck_assert_uint_eq(guest[10 * 4096], 0xdd);
    ck_assert_uint_eq(guest[10 * 4096 + 1], 10);
}
END_TEST

/* Neither kind is concluded from the first address. */
START_TEST(kinds_mix)
{
    struct gmem_range r[] = {
        {frame(3, 8), 8, GMEM_READ},
        {grant(4, 8), 8, GMEM_READ},
        {frame(5, 4090), 12, GMEM_WRITE},
        {grant(7, 0), 4096, GMEM_WRITE},
    };

    use("auto");
    ck_assert_int_eq(gmem_get(gmem, r, 4, &lease), 0);
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, 3);
    ck_assert_uint_eq(*(uint8_t *)iov[1].iov_base, 4);
    memset(iov[2].iov_base, 0xaa, 12);
    ck_assert_uint_eq(guest[6 * 4096 + 5], 0xaa);
    ck_assert_uint_eq(guest[6 * 4096 + 6], 6);
    gmem_put(gmem, &lease);
}
END_TEST

START_TEST(refused_kinds)
{
    struct gmem_range g = {grant(1, 0), 1, GMEM_READ};
    struct gmem_range f = {frame(1, 0), 1, GMEM_READ};

    use(_i ? "grant-map" : "foreign-map");
    ck_assert_int_eq(gmem_get(gmem, _i ? &f : &g, 1, &lease), -EINVAL);
    ck_assert_uint_eq(libxen_fake.map_calls, 0);
    ck_assert_ptr_null(lease.impl);
}
END_TEST

/* A group that was mapped before the failing one is given back. */
START_TEST(error_holds_nothing)
{
    struct gmem_range r[] = {
        {grant(1, 0), 4096, GMEM_READ},
        {grant(2, 0), 4096, GMEM_WRITE},
        {frame(3, 0), 4096, GMEM_READ},
        {frame(4, 0), 4096, GMEM_WRITE},
    };

    use("auto");
    for (unsigned n = 1; n <= 4; n++) {
        libxen_fake.map_fails_in = n;
        ck_assert_int_eq(gmem_get(gmem, r, 4, &lease), -EFAULT);
        ck_assert_int_eq(libxen_fake.pages_mapped, 0);
    }
    ck_assert_uint_eq(gmem->stats.errors, 4);
    ck_assert_int_eq(gmem_get(gmem, r, 4, &lease), 0);
    gmem_put(gmem, &lease);
}
END_TEST

START_TEST(hostile_addresses)
{
    static const struct {
        uint64_t addr;
        uint32_t len, access;
        int rc;
    } cases[] = {
        {PAGES * 4096ull - 1, 2, GMEM_READ, -EFAULT},   /* the second frame is a hole */
        {0x7fffffffffffffffull, 2, GMEM_READ, -EINVAL}, /* runs into the grants */
        {0xffffffffffffffffull, 1, GMEM_READ, -EINVAL}, /* no 32-bit reference */
        {1ull << 63 | 0xffffffffull << 12, 4097, GMEM_READ, -EINVAL}, /* past the last one */
        {1ull << 63 | 40ull << 12, 1, GMEM_WRITE, -EFAULT},           /* granted read-only */
        {0, UINT32_MAX, GMEM_READ, -EFAULT},                          /* 2^20 pages in one range */
        {1ull << 63, UINT32_MAX, GMEM_READ, -EFAULT},
        {0x1000, 0, GMEM_READ, -EINVAL},
    };
    struct gmem_range r = {gpa_make(cases[_i].addr), cases[_i].len, cases[_i].access};

    use("auto");
    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), cases[_i].rc);
    ck_assert_ptr_null(lease.impl);
}
END_TEST

/* Ranges of the same pages are mapped once, wherever they begin in them; never for more access. */
START_TEST(pages_are_shared)
{
    const struct gmem_range r[5] = {{grant(9, 8), 16, GMEM_READ},
                                    {grant(9, 64), 8192, GMEM_READ},
                                    {grant(10, 4), 100, GMEM_READ},
                                    {grant(9, 4000), 8, GMEM_READ},
                                    {grant(9, 100), 20, GMEM_WRITE}};

    use("auto");
    ck_assert_int_eq(gmem_get(gmem, r, 5, &lease), 0);
    ck_assert_uint_eq(libxen_fake.map_calls, 2);
    ck_assert_uint_eq(gmem->stats.pages_mapped, 4 + 1);
    /* 9, then 9 10 11 behind it. */
    ck_assert_ptr_eq((char *)lease.iov[3].iov_base - 4000, (char *)lease.iov[0].iov_base - 8);
    ck_assert_ptr_eq((char *)lease.iov[2].iov_base - 4, (char *)lease.iov[1].iov_base - 64 + 4096);
    gmem_put(gmem, &lease);
    ck_assert_uint_eq(gmem->stats.pages_unmapped, gmem->stats.pages_mapped);
}
END_TEST

/* Many large ranges, each within the limit, are limited together. */
START_TEST(lease_is_bounded)
{
    struct gmem_range r[3];

    use("auto");
    for (unsigned i = 0; i < 3; i++)
        r[i] = (struct gmem_range){frame(i, 0), GMEM_LEASE_PAGES_MAX / 2 * 4096u, GMEM_READ};
    ck_assert_int_eq(gmem_get(gmem, r, 3, &lease), -EFAULT);
    ck_assert_uint_eq(libxen_fake.map_calls, 0);
    lease.iov_max = 2;
    ck_assert_int_eq(gmem_get(gmem, r, 3, &lease), -ENOSPC);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xen_permap");
    TCase *t = tcase_create("permap");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, grant_offset_counts);
    tcase_add_test(t, one_call_for_each_access);
    tcase_add_test(t, kinds_mix);
    tcase_add_loop_test(t, refused_kinds, 0, 2);
    tcase_add_test(t, error_holds_nothing);
    tcase_add_loop_test(t, hostile_addresses, 0, 8);
    tcase_add_test(t, pages_are_shared);
    tcase_add_test(t, lease_is_bounded);
    suite_add_tcase(s, t);
    return unit_run(s);
}
