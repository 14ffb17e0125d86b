/* SPDX-License-Identifier: MIT */
/* The reset of a device: one that takes its time, one that never ends, one whose backend dies. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "frontend/virtio.h"
#include "unit/run.h"

#define STEPS_MAX 8u

/* A transport that reads these statuses one by one, the last one for ever. */
struct script {
    struct fe_virtio v;
    uint8_t status[STEPS_MAX];
    unsigned steps, reads, writes;
    int present;
};

static int script_read(struct fe_virtio *v, uint8_t *status)
{
    struct script *s = (struct script *)v;
    unsigned step = s->reads < s->steps ? s->reads : s->steps - 1;

    s->reads++;
    *status = s->status[step];
    return 0;
}

static int script_write(struct fe_virtio *v, uint8_t status)
{
    struct script *s = (struct script *)v;

    ck_assert_uint_eq(status, 0);
    s->writes++;
    return 0;
}

static int script_present(struct fe_virtio *v)
{
    return ((struct script *)v)->present;
}

static const struct fe_virtio_ops script_ops = {
    .status_read = script_read, .status_write = script_write, .present = script_present};

#define LONG_NS  60000000000ull
#define SHORT_NS 1000000ull

START_TEST(waits_for_zero)
{
    struct script s = {.v = {.ops = &script_ops, .features = 7}, .status = {15, 15, 0}, .steps = 3};

    ck_assert_int_eq(fe_virtio_reset(&s.v, LONG_NS), 0);
    ck_assert_uint_eq(s.writes, 1);
    ck_assert_uint_eq(s.reads, 3);
    ck_assert_uint_eq(s.v.features, 0);
}
END_TEST

START_TEST(gives_up)
{
    struct script s = {.v = {.ops = &script_ops}, .status = {15}, .steps = 1};

    ck_assert_int_eq(fe_virtio_reset(&s.v, SHORT_NS), -ETIME);
    s.present = -ENODEV;
    ck_assert_int_eq(fe_virtio_reset(&s.v, SHORT_NS), -ENODEV);
}
END_TEST

/* The zero behind the gap is a new backend's, of a device that nobody has set up. */
START_TEST(death_is_no_reset)
{
    struct script s = {.v = {.ops = &script_ops}, .status = {15, 0xff, 0}, .steps = 3};

    ck_assert_int_eq(fe_virtio_reset(&s.v, LONG_NS), -ENODEV);
    ck_assert_uint_eq(s.reads, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frontend_virtio");
    TCase *tc = tcase_create("reset");

    tcase_add_test(tc, waits_for_zero);
    tcase_add_test(tc, gives_up);
    tcase_add_test(tc, death_is_no_reset);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
