/* SPDX-License-Identifier: MIT */
/* Leases through an IOMMU: where they lead, what is refused and told, and who waits for whom. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "gmem/flat.h"
#include "gmem/iommu.h"
#include "unit/run.h"
#include "util/bits.h"

#define IOVS 8
#define BASE 0x40000000ull
#define PAGE 0x1000ull
#define ONE  16u
#define TWO  17u

static char memory[16 * PAGE];
static struct gmem *flat, *one, *two;
static struct iommu *iommu;
static struct iommu_fault fault;
static unsigned faults, answers;
static struct iovec iov[IOVS];
static struct gmem_lease lease = {.iov = iov, .iov_max = IOVS};

static void report(void *ctx, const struct iommu_fault *f)
{
    (void)ctx;
    fault = *f;
    faults++;
}

static void answered(struct iommu_wait *w)
{
    (void)w;
    answers++;
}

static struct iommu_wait wait = {.done = answered};

static void setup(void)
{
    const struct gmem_flat_region region = {BASE, sizeof(memory), memory, false};

    ck_assert_int_eq(gmem_flat_create(&region, 1, &flat), 0);
    ck_assert_int_eq(iommu_create(&iommu), 0);
    ck_assert_int_eq(iommu_set_reporter(iommu, report, NULL), 0);
    ck_assert_int_eq(iommu_set_reporter(iommu, report, NULL), -EBUSY);
    ck_assert_int_eq(gmem_iommu_create(iommu, ONE, flat, &one), 0);
    ck_assert_int_eq(gmem_iommu_create(iommu, ONE, flat, &two), -EEXIST);
    ck_assert_int_eq(gmem_iommu_create(iommu, TWO, flat, &two), 0);
    ck_assert_int_eq(iommu_attach(iommu, 1, ONE, false, &wait), 0);
}

static void teardown(void)
{
    ck_assert_uint_eq(one->leases_out, 0);
    gmem_destroy(one);
    gmem_destroy(two);
    ck_assert_uint_eq(flat->leases_out, 0);
    iommu_destroy(iommu);
    iommu_destroy(NULL);
    gmem_destroy(flat);
}

/* `pages` pages of domain 1 from this one to that one of the memory. */
static void map(uint64_t page, uint64_t to, uint64_t pages, uint32_t access)
{
    const struct iova_mapping m = {page * PAGE, (page + pages) * PAGE - 1, BASE + to * PAGE,
                                   access};

    ck_assert_int_eq(iommu_map(iommu, 1, &m), 0);
}

static int unmap(uint64_t page, uint64_t pages)
{
    return iommu_unmap(iommu, 1, page * PAGE, (page + pages) * PAGE - 1, &wait);
}

static int get(struct gmem *m, uint64_t addr, uint32_t bytes, uint32_t access)
{
    const struct gmem_range r = {gpa_make(addr), bytes, access};

    return gmem_get(m, &r, 1, &lease);
}

START_TEST(scattered_pages_are_in_order)
{
    map(0, 5, 1, GMEM_READ | GMEM_WRITE);
    map(1, 2, 1, GMEM_READ | GMEM_WRITE);
    map(2, 3, 1, GMEM_READ | GMEM_WRITE);
    ck_assert_int_eq(get(one, PAGE - 1, 2 * PAGE + 1, GMEM_READ), 0);
    /* What lies in a row is one. */
    ck_assert_uint_eq(lease.iov_count, 2);
    ck_assert_uint_eq(lease.iov_readable, 2);
    ck_assert_ptr_eq(iov[0].iov_base, memory + 6 * PAGE - 1);
    ck_assert_uint_eq(iov[0].iov_len, 1);
    ck_assert_ptr_eq(iov[1].iov_base, memory + 2 * PAGE);
    ck_assert_uint_eq(iov[1].iov_len, 2 * PAGE);
    gmem_put(one, &lease);
    /* Ranges are kept apart though they adjoin. */
    const struct gmem_range three[] = {{gpa_make(PAGE), 16, GMEM_READ},
                                       {gpa_make(PAGE + 16), PAGE, GMEM_READ},
                                       {gpa_make(2 * PAGE + 16), 16, GMEM_WRITE}};
    ck_assert_int_eq(gmem_get(one, three, 3, &lease), 0);
    ck_assert_uint_eq(lease.iov_count, 3);
    ck_assert_uint_eq(lease.iov_readable, 2);
    ck_assert_uint_eq(iov[1].iov_len, PAGE);
    gmem_put(one, &lease);
    lease.iov_max = 1;
    ck_assert_int_eq(get(one, PAGE - 1, 2, GMEM_READ), -ENOSPC);
    lease.iov_max = IOVS;
    ck_assert_uint_eq(faults, 0);
}
END_TEST

START_TEST(what_is_not_mapped_is_refused_and_told)
{
    map(0, 0, 1, GMEM_READ);
    map(1, 1, 1, GMEM_WRITE);
    map(2, 2, 1, 0);
    ck_assert_int_eq(get(one, 0, PAGE, GMEM_READ), 0);
    gmem_put(one, &lease);
    ck_assert_int_eq(get(one, 0x10, 1, GMEM_WRITE), -EFAULT);
    ck_assert_uint_eq(fault.addr, 0x10);
    ck_assert_uint_eq(fault.access, GMEM_WRITE);
    ck_assert_int_eq(fault.reason, IOMMU_FAULT_MAPPING);
    ck_assert_uint_eq(fault.endpoint, ONE);
    ck_assert_int_eq(get(one, 0, PAGE + 1, GMEM_READ), -EFAULT);
    ck_assert_uint_eq(fault.addr, PAGE);
    ck_assert_int_eq(get(one, 2 * PAGE, 1, GMEM_READ), -EFAULT);
    ck_assert_int_eq(get(one, 3 * PAGE, 1, GMEM_READ), -EFAULT);
    ck_assert_int_eq(get(one, UINT64_MAX, 1, GMEM_READ), -EFAULT);
    ck_assert_uint_eq(faults, 5);
    ck_assert_int_eq(get(two, 0, 1, GMEM_READ), -EFAULT);
    ck_assert_int_eq(fault.reason, IOMMU_FAULT_DOMAIN);
    ck_assert_uint_eq(fault.endpoint, TWO);
}
END_TEST

START_TEST(bypass_is_the_identity)
{
    ck_assert_int_eq(get(two, BASE, 1, GMEM_READ), -EFAULT);
    iommu_set_bypass(iommu, true);
    ck_assert_int_eq(get(two, BASE + 7, 1, GMEM_READ), 0);
    ck_assert_ptr_eq(iov[0].iov_base, memory + 7);
    gmem_put(two, &lease);
    ck_assert_int_eq(get(one, BASE, 1, GMEM_READ), -EFAULT);
    iommu_set_bypass(iommu, false);
    ck_assert_int_eq(iommu_attach(iommu, 2, TWO, true, &wait), 0);
    ck_assert_int_eq(get(two, BASE, 1, GMEM_READ), 0);
    gmem_put(two, &lease);
    ck_assert_int_eq(iommu_map(iommu, 2, &(struct iova_mapping){0, 1, 0, 0}), -EPERM);
    ck_assert_int_eq(iommu_unmap(iommu, 2, 0, 1, &wait), -EPERM);
    ck_assert_int_eq(iommu_attach(iommu, 2, ONE, false, &wait), -EPERM);
    ck_assert_int_eq(iommu_attach(iommu, 1, TWO, true, &wait), -EPERM);
}
END_TEST

START_TEST(unmap_waits_for_what_is_leased)
{
    struct iovec more[IOVS];
    struct gmem_lease other = {.iov = more, .iov_max = IOVS};
    const struct gmem_range r = {gpa_make(2 * PAGE), 1, GMEM_READ};

    map(0, 0, 2, GMEM_READ | GMEM_WRITE);
    map(2, 2, 2, GMEM_READ | GMEM_WRITE);
    ck_assert_int_eq(get(one, PAGE, 1, GMEM_WRITE), 0);
    ck_assert_int_eq(gmem_get(one, &r, 1, &other), 0);
    ck_assert_int_eq(unmap(0, 2), 1);
    ck_assert_uint_eq(answers, 0);
    gmem_put(one, &other);
    ck_assert_uint_eq(answers, 0);
    other = (struct gmem_lease){.iov = more, .iov_max = IOVS};
    ck_assert_int_eq(gmem_get(one, &(struct gmem_range){gpa_make(0), 1, GMEM_READ}, 1, &other),
                     -EFAULT);
    /* A lease of the same addresses that is younger than the UNMAP is not waited for. */
    map(0, 4, 2, GMEM_READ);
    ck_assert_int_eq(gmem_get(one, &(struct gmem_range){gpa_make(0), 1, GMEM_READ}, 1, &other), 0);
    gmem_put(one, &lease);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(unmap(2, 2), 0);
    gmem_put(one, &other);
    ck_assert_uint_eq(answers, 1);
}
END_TEST

START_TEST(detach_waits_for_what_is_leased)
{
    map(0, 0, 2, GMEM_READ | GMEM_WRITE);
    ck_assert_int_eq(get(one, PAGE, 1, GMEM_WRITE), 0);
    ck_assert_int_eq(iommu_detach(iommu, 2, ONE, &wait), -ENOENT);
    ck_assert_int_eq(iommu_detach(iommu, 1, 99, &wait), -ENODEV);
    ck_assert_int_eq(iommu_detach(iommu, 1, ONE, &wait), 1);
    /* A new domain of the same number is another one. */
    struct iommu_wait second = {.done = answered};
    ck_assert_int_eq(iommu_attach(iommu, 1, ONE, false, &second), 0);
    ck_assert_int_eq(iommu_unmap(iommu, 1, 0, UINT64_MAX, &second), 0);
    ck_assert_uint_eq(answers, 0);
    gmem_put(one, &lease);
    ck_assert_uint_eq(answers, 1);
    ck_assert_int_eq(get(one, PAGE, 1, GMEM_WRITE), -EFAULT);
}
END_TEST

START_TEST(move_waits_and_forgotten_waits_do_not)
{
    map(0, 0, 2, GMEM_READ | GMEM_WRITE);
    ck_assert_int_eq(get(one, PAGE, 1, GMEM_WRITE), 0);
    ck_assert_int_eq(iommu_attach(iommu, 2, ONE, false, &wait), 1);
    ck_assert_int_eq(iommu_attach(iommu, 2, ONE, false, &wait), 0);
    ck_assert_int_eq(iommu_map(iommu, 1, &(struct iova_mapping){0, 1, 0, 0}), -ENOENT);
    iommu_wait_end(iommu, &wait);
    gmem_put(one, &lease);
    ck_assert_uint_eq(answers, 0);
    iommu_reset(iommu);
    ck_assert_int_eq(iommu_map(iommu, 2, &(struct iova_mapping){0, 1, 0, 0}), -ENOENT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gmem/iommu");
    TCase *tc = tcase_create("leases");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, scattered_pages_are_in_order);
    tcase_add_test(tc, what_is_not_mapped_is_refused_and_told);
    tcase_add_test(tc, bypass_is_the_identity);
    tcase_add_test(tc, unmap_waits_for_what_is_leased);
    tcase_add_test(tc, detach_waits_for_what_is_leased);
    tcase_add_test(tc, move_waits_and_forgotten_waits_do_not);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
