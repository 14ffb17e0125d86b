/* SPDX-License-Identifier: MIT */
/* Doorbells that are lost: which ones, how many, and that the rest arrives as it was rung. */
#include <check.h>
#include <errno.h>

#include "netfront/lossy.h"
#include "unit/run.h"

#define RINGS 12u

/* A transport that only counts, and remembers the last doorbell. */
struct bell {
    struct fe_virtio v;
    unsigned rung, vcpu, queue;
    uint16_t next;
    int rc;
};

static int bell_notify(struct fe_virtio *v, unsigned vcpu, unsigned queue, uint16_t next)
{
    struct bell *b = (struct bell *)v;

    b->rung++;
    b->vcpu = vcpu;
    b->queue = queue;
    b->next = next;
    return b->rc;
}

static const struct fe_virtio_ops bell_ops = {.notify = bell_notify};

static unsigned ring_all(unsigned every, unsigned *lost)
{
    struct bell b = {.v.ops = &bell_ops};
    struct lossy l;

    lossy_init(&l, &b.v, every);
    for (unsigned i = 0; i < RINGS; i++)
        ck_assert_int_eq(b.v.ops->notify(&b.v, 0, 0, 0), 0);
    *lost = lossy_lost(&l);
    lossy_fini(&l, &b.v);
    ck_assert_ptr_eq(b.v.ops, &bell_ops);
    return b.rung;
}

START_TEST(each_nth_is_lost)
{
    for (unsigned every = 1; every <= RINGS + 1; every++) {
        unsigned lost;

        ck_assert_uint_eq(ring_all(every, &lost), RINGS - RINGS / every);
        ck_assert_uint_eq(lost, RINGS / every);
    }
}
END_TEST

START_TEST(none_is_lost_with_0)
{
    unsigned lost;

    ck_assert_uint_eq(ring_all(0, &lost), RINGS);
    ck_assert_uint_eq(lost, 0);
}
END_TEST

START_TEST(others_arrive_as_they_were_rung)
{
    struct bell b = {.v.ops = &bell_ops, .rc = -EIO};
    struct lossy l;

    lossy_init(&l, &b.v, 2);
    ck_assert_int_eq(b.v.ops->notify(&b.v, 3, 5, 0x8001), -EIO);
    ck_assert_uint_eq(b.vcpu, 3);
    ck_assert_uint_eq(b.queue, 5);
    ck_assert_uint_eq(b.next, 0x8001);
    /* Whoever rings cannot see that it was lost. */
    ck_assert_int_eq(b.v.ops->notify(&b.v, 4, 6, 7), 0);
    ck_assert_uint_eq(b.rung, 1);
    ck_assert_uint_eq(b.queue, 5);
    lossy_fini(&l, &b.v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("netfront/lossy");
    TCase *tc = tcase_create("doorbells");

    tcase_add_test(tc, each_nth_is_lost);
    tcase_add_test(tc, none_is_lost_with_0);
    tcase_add_test(tc, others_arrive_as_they_were_rung);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
