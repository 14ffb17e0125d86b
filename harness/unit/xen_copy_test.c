/* SPDX-License-Identifier: MIT */
/* Grants that are copied (gmem_copy.c), on a stand-in for libxen. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "gmem/gref.h"
#include "unit/libxen_fake.h"
#include "unit/run.h"
#include "util/bits.h"
#include "xen/gmem_strategy.h"

#define PAGES          64u
#define READ_ONLY_FROM 32u
#define BIG_PAGES      (GMEM_COPY_LEASE_BYTES_MAX / XEN_PAGE_BYTES)
#define FULL           (GMEM_COPY_BYTES_MAX / GMEM_COPY_LEASE_BYTES_MAX)

static struct xen_handles *xen;
static struct gmem *gmem;
static struct iovec iov[8];
static struct gmem_lease lease;
static uint8_t *memory;

static void begin(uint32_t pages, uint32_t read_only_from)
{
    struct gmem_strategy_args args = {.domid = LIBXEN_FAKE_DOMID};
    const char *what;

    memory = libxen_fake_memory_create(pages, read_only_from);
    ck_assert_int_eq(xen_handles_open(&xen, &what), 0);
    args.xen = xen;
    ck_assert_int_eq(gmem_strategy_find("grant-copy")->create(&args, &gmem), 0);
    lease = (struct gmem_lease){.iov = iov, .iov_max = ARRAY_LENGTH(iov)};
}

static void setup(void)
{
    begin(PAGES, READ_ONLY_FROM);
}

static void setup_big(void)
{
    begin(BIG_PAGES, BIG_PAGES);
}

static void teardown(void)
{
    gmem_destroy(gmem);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
    xen_handles_close(xen);
    libxen_fake_memory_destroy();
}

static gpa_t grant(uint32_t ref, uint32_t offset)
{
    return gpa_from_gref(gref_make(ref), offset);
}

static bool all(const uint8_t *at, size_t bytes, uint8_t value)
{
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != value)
            return false;
    return true;
}

START_TEST(what_is_read_is_there)
{
    struct gmem_range r = {grant(5, 4000), 200, GMEM_READ};
    const uint8_t *at;

    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, 1);
    ck_assert_uint_eq(lease.iov_readable, 1);
    ck_assert_uint_eq(iov[0].iov_len, 200);
    at = iov[0].iov_base;
    ck_assert(all(at, 96, 5));
    ck_assert(all(at + 96, 104, 6));
    /* One segment a page, all in one call; and nothing goes back. */
    ck_assert_uint_eq(libxen_fake.copy_calls, 1);
    ck_assert_uint_eq(libxen_fake.copy_segments, 2);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert_uint_eq(libxen_fake.copy_calls, 1);
}
END_TEST

/* Every offset from which a range touches one page more than its length says. */
START_TEST(pages_follow_from_offset_and_length)
{
    for (uint32_t offset = 4094; offset <= 4095; offset++) {
        for (uint32_t bytes = 1; bytes <= 4099; bytes += 1 + (bytes == 3) * 4090) {
            struct gmem_range r = {grant(7, offset), bytes, GMEM_READ};
            unsigned before = libxen_fake.copy_segments;
            uint32_t first = min_u64(XEN_PAGE_BYTES - offset, bytes);
            uint32_t second = min_u64(XEN_PAGE_BYTES, bytes - first);
            const uint8_t *at;

            ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
            at = iov[0].iov_base;
            ck_assert(all(at, first, 7));
            ck_assert(all(at + first, second, 8));
            ck_assert(all(at + first + second, bytes - first - second, 9));
            ck_assert_uint_eq(libxen_fake.copy_segments - before,
                              (offset + bytes + XEN_PAGE_BYTES - 1) / XEN_PAGE_BYTES);
            ck_assert_int_eq(gmem_put(gmem, &lease), 0);
        }
    }
}
END_TEST

START_TEST(what_was_written_goes_back)
{
    struct gmem_range r[] = {{grant(1, 0), 16, GMEM_READ},
                             {grant(3, 4090), 20, GMEM_WRITE},
                             {grant(8, 100), 50, GMEM_WRITE}};

    ck_assert_int_eq(gmem_get(gmem, r, 3, &lease), 0);
    ck_assert_uint_eq(lease.iov_readable, 1);
    ck_assert_uint_eq(libxen_fake.copy_segments, 1); /* what is only written is not read */
    memset(iov[0].iov_base, 0xaa, 16);
    memset(iov[1].iov_base, 0xbb, 20);
    memset(iov[2].iov_base, 0xcc, 50);
    lease.written_bytes = 30;
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert(all(memory + 1 * XEN_PAGE_BYTES, XEN_PAGE_BYTES, 1));
    ck_assert(all(memory + 3 * XEN_PAGE_BYTES, 4090, 3));
    ck_assert(all(memory + 3 * XEN_PAGE_BYTES + 4090, 20, 0xbb));
    ck_assert(all(memory + 4 * XEN_PAGE_BYTES + 14, XEN_PAGE_BYTES - 14, 4));
    /* The rest of the 30, and no byte more than was written. */
    ck_assert(all(memory + 8 * XEN_PAGE_BYTES, 100, 8));
    ck_assert(all(memory + 8 * XEN_PAGE_BYTES + 100, 10, 0xcc));
    ck_assert(all(memory + 8 * XEN_PAGE_BYTES + 110, XEN_PAGE_BYTES - 110, 8));
}
END_TEST

START_TEST(both_directions_are_copied)
{
    struct gmem_range r = {grant(2, 10), 4, GMEM_READ | GMEM_WRITE};
    uint8_t *at;

    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    at = iov[0].iov_base;
    ck_assert(all(at, 4, 2));
    at[0] = 0x11;
    lease.written_bytes = 1;
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert_uint_eq(memory[2 * XEN_PAGE_BYTES + 10], 0x11);
    ck_assert_uint_eq(memory[2 * XEN_PAGE_BYTES + 11], 2);
}
END_TEST

/* Whether a page can be written is found out with the answer. */
START_TEST(answer_that_does_not_arrive_is_said)
{
    struct gmem_range r = {grant(READ_ONLY_FROM - 1, 0), 2 * XEN_PAGE_BYTES, GMEM_WRITE};

    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    lease.written_bytes = XEN_PAGE_BYTES + 1;
    ck_assert_int_eq(gmem_put(gmem, &lease), -EFAULT);
    ck_assert_ptr_null(lease.impl);
    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    lease.written_bytes = XEN_PAGE_BYTES; /* the page that can be written */
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
}
END_TEST

START_TEST(reference_that_is_bad_holds_nothing)
{
    struct gmem_range r[] = {{grant(1, 0), 16, GMEM_READ}, {grant(PAGES, 0), 16, GMEM_READ}};

    ck_assert_int_eq(gmem_get(gmem, r, 2, &lease), -EFAULT);
    ck_assert_ptr_null(lease.impl);
    ck_assert_int_eq(gmem_get(gmem, r, 1, &lease), 0);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
}
END_TEST

START_TEST(call_that_fails_is_an_error)
{
    struct gmem_range r = {grant(1, 0), 16, GMEM_READ}, w = {grant(1, 0), 16, GMEM_WRITE};

    libxen_fake.copy_fails = true;
    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), -EFAULT);
    ck_assert_int_eq(gmem_get(gmem, &w, 1, &lease), 0);
    lease.written_bytes = 1;
    ck_assert_int_eq(gmem_put(gmem, &lease), -EFAULT);
    libxen_fake.copy_fails = false;
    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
}
END_TEST

/* Both sides look at a ring: a copy will not do. */
START_TEST(rings_are_mapped)
{
    struct gmem_range r = {grant(4, 0), 100, GMEM_READ | GMEM_WRITE | GMEM_SHARED};

    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), 0);
    ck_assert_int_eq(libxen_fake.pages_mapped, 1);
    memory[4 * XEN_PAGE_BYTES] = 0x77;
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, 0x77);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
    ck_assert_uint_eq(libxen_fake.copy_calls, 0);
}
END_TEST

START_TEST(guest_physical_is_none_of_its)
{
    struct gmem_range r = {gpa_make(0x1000), 16, GMEM_READ};

    ck_assert_int_eq(gmem_get(gmem, &r, 1, &lease), -EINVAL);
}
END_TEST

/* A driver that asks for much waits for what is in flight, and has no more than its share. */
START_TEST(memory_in_flight_is_bounded)
{
    struct gmem_range big = {grant(0, 0), GMEM_COPY_LEASE_BYTES_MAX, GMEM_WRITE};
    struct gmem_range small = {grant(0, 0), 1, GMEM_WRITE};
    struct gmem_range twice[] = {big, small};
    struct gmem_lease out[FULL];
    struct iovec one[FULL];

    ck_assert_int_eq(gmem_get(gmem, twice, 2, &lease), -EFAULT);
    for (unsigned i = 0; i < FULL; i++) {
        out[i] = (struct gmem_lease){.iov = &one[i], .iov_max = 1};
        ck_assert_int_eq(gmem_get(gmem, &big, 1, &out[i]), 0);
    }
    ck_assert_int_eq(gmem_get(gmem, &small, 1, &lease), -ENOMEM);
    ck_assert_int_eq(gmem_put(gmem, &out[0]), 0);
    ck_assert_int_eq(gmem_get(gmem, &small, 1, &lease), 0);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    for (unsigned i = 1; i < FULL; i++)
        ck_assert_int_eq(gmem_put(gmem, &out[i]), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xen_copy");
    TCase *t = tcase_create("copy"), *big = tcase_create("big");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_read_is_there);
    tcase_add_test(t, pages_follow_from_offset_and_length);
    tcase_add_test(t, what_was_written_goes_back);
    tcase_add_test(t, both_directions_are_copied);
    tcase_add_test(t, answer_that_does_not_arrive_is_said);
    tcase_add_test(t, reference_that_is_bad_holds_nothing);
    tcase_add_test(t, call_that_fails_is_an_error);
    tcase_add_test(t, rings_are_mapped);
    tcase_add_test(t, guest_physical_is_none_of_its);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(big, setup_big, teardown);
    tcase_add_test(big, memory_in_flight_is_bounded);
    suite_add_tcase(s, big);
    return unit_run(s);
}
