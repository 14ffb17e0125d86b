/* SPDX-License-Identifier: MIT */
/* Ways to reach memory that keep what they mapped, on a stand-in for libxen. */
#include <check.h>
#include <errno.h>
#include <sys/mman.h>

#include "gmem/gref.h"
#include "unit/libxen_fake.h"
#include "unit/run.h"
#include "util/bits.h"
#include "xen/gmem_strategy.h"

#define BUCKET_PAGES   256u
#define PAGES          (2 * BUCKET_PAGES + 64)
#define PAGES_OF_MANY  ((GMEM_BUCKETS_MAX + 2) * BUCKET_PAGES)
#define READ_ONLY_FROM 32u
#define BANK_PAGES     128u
/* One range more than a lease may have pages for. */
#define RANGES (GMEM_LEASE_PAGES_MAX / 64 + 1)

static struct xen_handles *xen;
static struct gmem *gmem;
static struct iovec iov[RANGES];
static struct gmem_lease lease;

static void begin(uint32_t pages)
{
    const char *what;

    libxen_fake_memory_create(pages, READ_ONLY_FROM);
    ck_assert_int_eq(xen_handles_open(&xen, &what), 0);
}

static void setup(void)
{
    begin(PAGES);
}

static void setup_many(void)
{
    begin(PAGES_OF_MANY);
}

static void use(const char *strategy)
{
    static const struct gmem_bank bank = {.base = 0, .bytes = BANK_PAGES * XEN_PAGE_BYTES};
    const struct gmem_strategy_args args = {
        .xen = xen, .domid = LIBXEN_FAKE_DOMID, .banks = &bank, .bank_count = 1};

    ck_assert_int_eq(gmem_strategy_find(strategy)->create(&args, &gmem), 0);
    lease = (struct gmem_lease){.iov = iov, .iov_max = ARRAY_LENGTH(iov)};
}

static void teardown(void)
{
    gmem_destroy(gmem);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
    xen_handles_close(xen);
    libxen_fake_memory_destroy();
}

static gpa_t grant(uint32_t ref)
{
    return gpa_from_gref(gref_make(ref), 0);
}

static gpa_t frame(uint64_t gfn)
{
    return gpa_make(gfn << XEN_PAGE_SHIFT_BITS);
}

static void get_and_put(gpa_t at, uint32_t bytes, uint32_t access)
{
    struct gmem_range r = {at, bytes, access};

    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, (at.raw >> XEN_PAGE_SHIFT_BITS) & 0xff);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
}

START_TEST(references_stay_mapped)
{
    use("grant-persistent");
    get_and_put(grant(5), 8192, GMEM_READ);
    get_and_put(grant(6), 100, GMEM_READ); /* within what is there */
    ck_assert_uint_eq(libxen_fake.map_calls, 1);
    ck_assert_int_eq(libxen_fake.pages_mapped, 2);
    gmem_forget(gmem);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
}
END_TEST

START_TEST(reading_is_not_writing)
{
    use("grant-persistent");
    get_and_put(grant(5), 100, GMEM_READ);
    get_and_put(grant(5), 100, GMEM_READ | GMEM_WRITE);
    ck_assert_uint_eq(libxen_fake.map_calls, 2);
    ck_assert_int_eq(libxen_fake.last_prot, PROT_READ | PROT_WRITE);
    get_and_put(grant(5), 100, GMEM_READ);
    ck_assert_uint_eq(libxen_fake.map_calls, 2);
}
END_TEST

START_TEST(lease_that_is_out_keeps_its_memory)
{
    static const char *const names[] = {"grant-persistent", "foreign-buckets"};
    struct gmem_range r = {_i ? frame(3) : grant(3), 100, GMEM_READ};

    use(names[_i]);
    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    gmem_forget(gmem);
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, 3);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    gmem_forget(gmem);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
}
END_TEST

START_TEST(rings_are_not_kept)
{
    static const char *const names[] = {"grant-persistent", "foreign-buckets"};
    struct gmem_range r = {_i ? frame(3) : grant(3), 100, GMEM_READ | GMEM_SHARED};

    use(names[_i]);
    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    ck_assert_int_eq(libxen_fake.pages_mapped, 1);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
}
END_TEST

/* A bucket's neighbour in memory is elsewhere here. */
START_TEST(range_over_two_buckets)
{
    struct gmem_range r[] = {{frame(BUCKET_PAGES - 1), 8192, GMEM_READ},
                             {frame(1), 16, GMEM_READ | GMEM_WRITE}};

    use("foreign-buckets");
    ck_assert_int_eq(gmem_get(gmem, r, 2, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, 3);
    ck_assert_uint_eq(lease.iov_readable, 2);
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, (BUCKET_PAGES - 1) & 0xff);
    ck_assert_uint_eq(*(uint8_t *)iov[1].iov_base, BUCKET_PAGES & 0xff);
    ck_assert_uint_eq(iov[0].iov_len + iov[1].iov_len, 8192);
    gmem_put(gmem, &lease);
}
END_TEST

/* Where there are not entries enough for that, all is mapped in one piece, and given back. */
START_TEST(too_many_pieces_go_the_direct_way)
{
    struct gmem_range r = {frame(BUCKET_PAGES - 1), 8192, GMEM_READ};

    use("foreign-buckets");
    lease.iov_max = 1;
    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, 1);
    ck_assert_uint_eq(iov[0].iov_len, 8192);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    gmem_forget(gmem);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
}
END_TEST

START_TEST(buckets_make_room)
{
    use("foreign-buckets");
    for (unsigned i = 0; i < GMEM_BUCKETS_MAX + 2; i++)
        get_and_put(frame((uint64_t)i * BUCKET_PAGES + 7), 16, GMEM_READ);
    ck_assert_int_eq(libxen_fake.pages_mapped, GMEM_BUCKETS_MAX * BUCKET_PAGES);
    /* The last one is still there, the first one is not. */
    get_and_put(frame((GMEM_BUCKETS_MAX + 1) * BUCKET_PAGES), 16, GMEM_READ);
    ck_assert_uint_eq(libxen_fake.map_calls, GMEM_BUCKETS_MAX + 2);
    get_and_put(frame(0), 16, GMEM_READ);
    ck_assert_uint_eq(libxen_fake.map_calls, GMEM_BUCKETS_MAX + 3);
}
END_TEST

START_TEST(whole_maps_what_it_was_not_told_of)
{
    use("foreign-whole");
    ck_assert_int_eq(libxen_fake.pages_mapped, BANK_PAGES);
    get_and_put(frame(BANK_PAGES - 1), 100, GMEM_READ);
    ck_assert_uint_eq(libxen_fake.map_calls, 1);
    get_and_put(frame(BANK_PAGES), 100, GMEM_READ);
    ck_assert_uint_eq(libxen_fake.map_calls, 2);
    ck_assert_int_eq(libxen_fake.pages_mapped, BANK_PAGES);
}
END_TEST

START_TEST(static_touches_nothing_else)
{
    struct gmem_range beyond = {frame(BANK_PAGES), 100, GMEM_READ};
    struct gmem_range over_the_end = {frame(BANK_PAGES - 1), 4097, GMEM_READ};

    use("foreign-static");
    get_and_put(frame(BANK_PAGES - 1), 4096, GMEM_READ);
    ck_assert_int_eq(gmem_get(gmem, &beyond, 1, &lease), -EFAULT);
    ck_assert_int_eq(gmem_get(gmem, &over_the_end, 1, &lease), -EFAULT);
    ck_assert_uint_eq(libxen_fake.map_calls, 1);
}
END_TEST

/* The same pages again and again cost the driver nothing, and must not cost us without bound. */
START_TEST(lease_is_bounded)
{
    static const char *const names[] = {"grant-persistent", "foreign-buckets", "foreign-whole",
                                        "foreign-static"};
    static struct gmem_range r[RANGES];

    use(names[_i]);
    for (unsigned i = 0; i < RANGES; i++)
        r[i] = (struct gmem_range){_i ? frame(0) : grant(0), 64 * XEN_PAGE_BYTES, GMEM_READ};
    ck_assert_int_eq(gmem_get(gmem, r, RANGES, &lease), -EFAULT);
    ck_assert_int_eq(gmem_get(gmem, r, RANGES - 1, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, RANGES - 1);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
}
END_TEST

START_TEST(error_holds_nothing)
{
    static const char *const names[] = {"grant-persistent", "foreign-buckets"};
    struct gmem_range r[] = {{_i ? frame(1) : grant(1), 100, GMEM_READ},
                             {_i ? frame(PAGES) : grant(PAGES), 100, GMEM_READ}};

    use(names[_i]);
    ck_assert_int_eq(gmem_get(gmem, r, 2, &lease), -EFAULT);
    ck_assert_ptr_null(lease.impl);
    gmem_forget(gmem);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
    get_and_put(r[0].addr, 100, GMEM_READ);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xen_holder");
    TCase *t = tcase_create("holder"), *many = tcase_create("many");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, references_stay_mapped);
    tcase_add_test(t, reading_is_not_writing);
    tcase_add_loop_test(t, lease_that_is_out_keeps_its_memory, 0, 2);
    tcase_add_loop_test(t, rings_are_not_kept, 0, 2);
    tcase_add_test(t, range_over_two_buckets);
    tcase_add_test(t, too_many_pieces_go_the_direct_way);
    tcase_add_test(t, whole_maps_what_it_was_not_told_of);
    tcase_add_test(t, static_touches_nothing_else);
    tcase_add_loop_test(t, lease_is_bounded, 0, 4);
    tcase_add_loop_test(t, error_holds_nothing, 0, 2);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(many, setup_many, teardown);
    tcase_add_test(many, buckets_make_room);
    suite_add_tcase(s, many);
    return unit_run(s);
}
