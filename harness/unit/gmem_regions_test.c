/* SPDX-License-Identifier: MIT */
/* Memory that another process shares: what is a region, and what happens to what was there. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmem/regions.h"
#include "unit/run.h"
#include "util/bits.h"

#define BYTES 0x8000u
#define BASE  0x100000u

static int file;

static struct gmem *given(void)
{
    struct gmem *m = NULL;

    file = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(ftruncate(file, BYTES), 0);
    ck_assert_int_eq(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    ck_assert_int_eq(gmem_regions_create(&m), 0);
    return m;
}

static int reach(struct gmem *m, uint64_t addr, uint32_t len, struct gmem_lease *lease,
                 struct iovec *iov)
{
    const struct gmem_range range = {gpa_make(addr), len, GMEM_READ | GMEM_WRITE};

    *lease = (struct gmem_lease){.iov = iov, .iov_max = 2};
    return gmem_get(m, &range, 1, lease);
}

START_TEST(nothing_before_it_is_said)
{
    struct gmem *m = given();
    struct gmem_lease lease;
    struct iovec iov[2];

    ck_assert_int_eq(reach(m, BASE, 1, &lease, iov), -EINVAL);
    gmem_destroy(m);
    close(file);
}
END_TEST

START_TEST(bytes_are_the_file_s)
{
    /* Neither begins at a page. */
    const struct gmem_shared_region regions[] = {{BASE, 0x1800, file, 0x700},
                                                 {BASE + 0x4000, 0x1000, file, 0x7000}};
    struct gmem *m = given();
    struct gmem_shared_region r[2];
    struct gmem_lease lease;
    struct iovec iov[2];
    char byte = 0;

    memcpy(r, regions, sizeof(r));
    r[0].fd = r[1].fd = file;
    ck_assert_int_eq(gmem_regions_set(m, r, 2), 0);
    ck_assert_int_eq(reach(m, BASE + 0x17ff, 1, &lease, iov), 0);
    *(char *)iov[0].iov_base = 'x';
    ck_assert_int_eq(pread(file, &byte, 1, 0x700 + 0x17ff), 1);
    ck_assert_int_eq(byte, 'x');
    /* Not while somebody has it. */
    ck_assert_int_eq(gmem_regions_set(m, r, 1), -EBUSY);
    ck_assert_int_eq(gmem_put(m, &lease), 0);
    ck_assert_int_eq(reach(m, BASE + 0x1800, 1, &lease, iov), -EINVAL);
    ck_assert_int_eq(reach(m, BASE + 0x4fff, 1, &lease, iov), 0);
    ck_assert_int_eq(gmem_put(m, &lease), 0);
    ck_assert_int_eq(gmem_regions_set(m, NULL, 0), 0);
    ck_assert_int_eq(reach(m, BASE, 1, &lease, iov), -EINVAL);
    gmem_destroy(m);
    close(file);
}
END_TEST

static const struct gmem_shared_region odd[] = {
    {BASE, 0, 0, 0},
    {BASE, BYTES + 1, 0, 0},
    {BASE, 1, 0, BYTES},
    {BASE, 2, 0, UINT64_MAX},
    {BASE, UINT64_MAX, 0, 0},
    {UINT64_MAX, 2, 0, 0},
    {BASE + 0xfff, 0x1000, 0, 0}, /* over the one that is there */
};

START_TEST(what_is_no_region)
{
    struct gmem *m = given();
    struct gmem_shared_region r[GMEM_REGIONS_MAX + 1] = {{BASE, 0x1000, file, 0}};
    struct gmem_lease lease;
    struct iovec iov[2];

    ck_assert_int_eq(gmem_regions_set(m, r, 1), 0);
    r[1] = odd[_i];
    r[1].fd = file;
    ck_assert_int_eq(gmem_regions_set(m, r, 2), -EINVAL);
    ck_assert_int_eq(gmem_regions_set(m, r, GMEM_REGIONS_MAX + 1), -EINVAL);
    /* What was there is there. */
    ck_assert_int_eq(reach(m, BASE, 0x1000, &lease, iov), 0);
    ck_assert_int_eq(gmem_put(m, &lease), 0);
    gmem_destroy(m);
    close(file);
}
END_TEST

START_TEST(what_is_no_file)
{
    struct gmem *m = given();
    int event = eventfd(0, EFD_CLOEXEC);
    struct gmem_shared_region r = {BASE, 1, event, 0};

    ck_assert_int_eq(gmem_regions_set(m, &r, 1), -EINVAL);
    r.fd = -1;
    ck_assert_int_eq(gmem_regions_set(m, &r, 1), -EINVAL);
    close(event);
    gmem_destroy(m);
    close(file);
}
END_TEST

START_TEST(what_could_become_shorter)
{
    struct gmem *m = given();
    int other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct gmem_shared_region r = {BASE, BYTES, other, 0};

    ck_assert_int_eq(ftruncate(other, BYTES), 0);
    ck_assert_int_eq(gmem_regions_set(m, &r, 1), -EPERM);
    ck_assert_int_eq(fcntl(other, F_ADD_SEALS, F_SEAL_GROW), 0);
    ck_assert_int_eq(gmem_regions_set(m, &r, 1), -EPERM);
    ck_assert_int_eq(fcntl(other, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    ck_assert_int_eq(gmem_regions_set(m, &r, 1), 0);
    ck_assert_int_eq(ftruncate(other, 0), -1);
    gmem_destroy(m);
    close(other);
    close(file);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gmem");
    TCase *t = tcase_create("regions");

    tcase_add_test(t, nothing_before_it_is_said);
    tcase_add_test(t, bytes_are_the_file_s);
    tcase_add_loop_test(t, what_is_no_region, 0, (int)ARRAY_LENGTH(odd));
    tcase_add_test(t, what_is_no_file);
    tcase_add_test(t, what_could_become_shorter);
    suite_add_tcase(s, t);
    return unit_run(s);
}
