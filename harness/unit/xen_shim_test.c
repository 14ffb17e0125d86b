/* SPDX-License-Identifier: MIT */
/* References that the owner of the memory looks up (gmem_shim.c), on a stand-in for libxen. */
#include <check.h>
#include <errno.h>

#include "gmem/gref.h"
#include "unit/libxen_fake.h"
#include "unit/run.h"
#include "util/bits.h"
#include "xen/gmem_strategy.h"

#define PAGES      128u
#define BANK_PAGES 96u /* the rest of the memory is not in it */
#define OWN_DOMID  3u
#define IN_USE     (GTF_reading | GTF_writing)
#define ENTRIES    (XEN_PAGE_BYTES / sizeof(grant_entry_v1_t))

static struct xen_handles *xen;
static struct gmem *gmem;
static struct iovec iov[8];
static struct gmem_lease lease;
static uint8_t *memory;
static grant_entry_v1_t *table;

static void setup(void)
{
    static const struct gmem_bank bank = {.base = 0, .bytes = BANK_PAGES * XEN_PAGE_BYTES};
    struct gmem_strategy_args args = {
        .domid = LIBXEN_FAKE_DOMID, .own_domid = OWN_DOMID, .banks = &bank, .bank_count = 1};
    const char *what;

    memory = libxen_fake_memory_create(PAGES, PAGES);
    table = libxen_fake_table();
    ck_assert_int_eq(xen_handles_open(&xen, &what), 0);
    args.xen = xen;
    ck_assert_int_eq(gmem_strategy_find("shim")->create(&args, &gmem), 0);
    lease = (struct gmem_lease){.iov = iov, .iov_max = ARRAY_LENGTH(iov)};
}

static void teardown(void)
{
    gmem_destroy(gmem);
    ck_assert_int_eq(libxen_fake.pages_mapped, 0);
    xen_handles_close(xen);
    libxen_fake_memory_destroy();
}

static void permit(uint32_t ref, uint32_t frame, uint16_t flags)
{
    table[ref] =
        (grant_entry_v1_t){.flags = GTF_permit_access | flags, .domid = OWN_DOMID, .frame = frame};
}

static gpa_t grant(uint32_t ref, uint32_t offset)
{
    return gpa_from_gref(gref_make(ref), offset);
}

static int get(gpa_t at, uint32_t bytes, uint32_t access, struct gmem_lease *l)
{
    struct gmem_range r = {at, bytes, access};

    return gmem_get(gmem, &r, 1, l);
}

START_TEST(reference_is_found_in_memory)
{
    permit(9, 40, 0);
    ck_assert_int_eq(get(grant(9, 100), 50, GMEM_READ, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, 1);
    ck_assert_uint_eq(iov[0].iov_len, 50);
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, 40);
    /* Not a copy, and not mapped for it either. */
    memory[40 * XEN_PAGE_BYTES + 100] = 0x77;
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, 0x77);
    ck_assert_int_eq(libxen_fake.pages_mapped, BANK_PAGES);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
}
END_TEST

START_TEST(entry_is_marked_as_long_as_it_is_used)
{
    struct iovec other_iov[2];
    struct gmem_lease other = {.iov = other_iov, .iov_max = 2};

    permit(9, 40, 0);
    ck_assert_int_eq(get(grant(9, 0), 50, GMEM_READ, &lease), 0);
    ck_assert_uint_eq(table[9].flags & IN_USE, GTF_reading);
    ck_assert_int_eq(get(grant(9, 0), 50, GMEM_READ | GMEM_WRITE, &other), 0);
    ck_assert_uint_eq(table[9].flags & IN_USE, IN_USE);
    /* What is still read stays marked as read. */
    ck_assert_int_eq(gmem_put(gmem, &other), 0);
    ck_assert_uint_eq(table[9].flags & IN_USE, GTF_reading);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert_uint_eq(table[9].flags, GTF_permit_access);
}
END_TEST

START_TEST(writer_goes_before_a_reader)
{
    struct iovec other_iov[2];
    struct gmem_lease other = {.iov = other_iov, .iov_max = 2};

    permit(9, 40, 0);
    ck_assert_int_eq(get(grant(9, 0), 50, GMEM_WRITE, &lease), 0);
    ck_assert_int_eq(get(grant(9, 0), 50, GMEM_READ, &other), 0);
    ck_assert_int_eq(gmem_put(gmem, &other), 0);
    ck_assert_uint_eq(table[9].flags & IN_USE, IN_USE);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert_uint_eq(table[9].flags & IN_USE, 0);
}
END_TEST

/* Frames that follow each other are one entry, whatever their references; others are not. */
START_TEST(run_of_references)
{
    permit(9, 40, 0);
    permit(10, 41, 0);
    permit(11, 50, 0);
    ck_assert_int_eq(get(grant(9, 4000), 96 + XEN_PAGE_BYTES + 10, GMEM_READ, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, 2);
    ck_assert_uint_eq(iov[0].iov_len, 96 + XEN_PAGE_BYTES);
    ck_assert_uint_eq(iov[1].iov_len, 10);
    ck_assert_uint_eq(*(uint8_t *)iov[1].iov_base, 50);
    for (unsigned ref = 9; ref <= 11; ref++)
        ck_assert_uint_eq(table[ref].flags & IN_USE, GTF_reading);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    for (unsigned ref = 9; ref <= 11; ref++)
        ck_assert_uint_eq(table[ref].flags & IN_USE, 0);
}
END_TEST

START_TEST(what_was_not_granted_is_refused)
{
    permit(9, 40, GTF_readonly);
    permit(10, 40, 0);
    table[10].domid = OWN_DOMID + 1;
    permit(11, 40, GTF_sub_page);
    permit(13, BANK_PAGES, 0); /* of the domain, and not in what was said to be its memory */
    table[14] = (grant_entry_v1_t){.flags = GTF_accept_transfer, .domid = OWN_DOMID, .frame = 40};

    ck_assert_int_eq(get(grant(9, 0), 1, GMEM_WRITE, &lease), -EFAULT);
    ck_assert_int_eq(get(grant(10, 0), 1, GMEM_READ, &lease), -EFAULT);
    ck_assert_int_eq(get(grant(11, 0), 1, GMEM_READ, &lease), -EFAULT);
    ck_assert_int_eq(get(grant(12, 0), 1, GMEM_READ, &lease), -EFAULT);
    ck_assert_int_eq(get(grant(13, 0), 1, GMEM_READ, &lease), -EFAULT);
    ck_assert_int_eq(get(grant(14, 0), 1, GMEM_READ, &lease), -EFAULT);
    ck_assert_int_eq(get(grant(ENTRIES, 0), 1, GMEM_READ, &lease), -EFAULT);
    for (unsigned ref = 9; ref <= 14; ref++)
        ck_assert_uint_eq(table[ref].flags & IN_USE, 0);
    ck_assert_int_eq(get(grant(9, 0), 1, GMEM_READ, &lease), 0);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
}
END_TEST

START_TEST(error_leaves_no_mark)
{
    struct gmem_range r[] = {{grant(9, 0), 2 * XEN_PAGE_BYTES, GMEM_READ},
                             {grant(11, 0), 1, GMEM_WRITE}};

    permit(9, 40, 0);
    permit(10, 41, 0);
    ck_assert_int_eq(gmem_get(gmem, r, 2, &lease), -EFAULT);
    ck_assert_ptr_null(lease.impl);
    ck_assert_uint_eq(table[9].flags & IN_USE, 0);
    ck_assert_uint_eq(table[10].flags & IN_USE, 0);
    ck_assert_uint_eq(table[11].flags, 0);
}
END_TEST

/* An entry that the guest takes back afterwards means nothing to a lease of before. */
START_TEST(entry_is_looked_at_anew)
{
    permit(9, 40, 0);
    ck_assert_int_eq(get(grant(9, 0), 1, GMEM_READ, &lease), 0);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    table[9] = (grant_entry_v1_t){0};
    ck_assert_int_eq(get(grant(9, 0), 1, GMEM_READ, &lease), -EFAULT);
    permit(9, 44, 0);
    ck_assert_int_eq(get(grant(9, 0), 1, GMEM_READ, &lease), 0);
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, 44);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
}
END_TEST

START_TEST(guest_physical_is_arithmetic)
{
    struct gmem_range r[] = {{gpa_make(7 * XEN_PAGE_BYTES + 5), XEN_PAGE_BYTES, GMEM_READ},
                             {grant(9, 0), 1, GMEM_WRITE}};

    permit(9, 40, 0);
    ck_assert_int_eq(gmem_get(gmem, r, 2, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, 2);
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, 7);
    ck_assert_uint_eq(*(uint8_t *)iov[1].iov_base, 40);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert_int_eq(get(gpa_make((BANK_PAGES - 1) * XEN_PAGE_BYTES), 4097, GMEM_READ, &lease),
                     -EFAULT);
}
END_TEST

START_TEST(rings_are_mapped)
{
    ck_assert_int_eq(get(grant(5, 0), 100, GMEM_READ | GMEM_SHARED, &lease), 0);
    ck_assert_int_eq(libxen_fake.pages_mapped, BANK_PAGES + 1);
    ck_assert_uint_eq(*(uint8_t *)iov[0].iov_base, 5);
    ck_assert_int_eq(gmem_put(gmem, &lease), 0);
    ck_assert_int_eq(libxen_fake.pages_mapped, BANK_PAGES);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("xen_shim");
    TCase *t = tcase_create("shim");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, reference_is_found_in_memory);
    tcase_add_test(t, entry_is_marked_as_long_as_it_is_used);
    tcase_add_test(t, writer_goes_before_a_reader);
    tcase_add_test(t, run_of_references);
    tcase_add_test(t, what_was_not_granted_is_refused);
    tcase_add_test(t, error_leaves_no_mark);
    tcase_add_test(t, entry_is_looked_at_anew);
    tcase_add_test(t, guest_physical_is_arithmetic);
    tcase_add_test(t, rings_are_mapped);
    suite_add_tcase(s, t);
    return unit_run(s);
}
