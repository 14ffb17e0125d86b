/* SPDX-License-Identifier: MIT */
/*
 * Doorbells of a driver's queue: none that the device does not want, unless they are insisted on.
 * Waiting: whether an interrupt told of what is there.
 */
#include "frontend/queue.h"
#include "unit/run.h"
#include "unit/virtq_rig.h"

/* A queue of a driver in the rig's memory, and a transport that counts. */
struct bell {
    struct fe_virtio v;
    struct rig rig;
    struct fe_queue q;
    unsigned rung, queue;
    uint16_t next;
    int rc;
};

static int bell_notify(struct fe_virtio *v, unsigned vcpu, unsigned queue, uint16_t next)
{
    struct bell *b = (struct bell *)v;

    (void)vcpu;
    b->rung++;
    b->queue = queue;
    b->next = next;
    return b->rc;
}

static const struct fe_virtio_ops bell_ops = {.notify = bell_notify};

static const enum virtq_format formats[] = {VIRTQ_SPLIT, VIRTQ_PACKED};

static void bell_init(struct bell *b, enum virtq_format format)
{
    struct virtq_drv_config c = {.format = format, .size = SIZE};

    *b = (struct bell){.v.ops = &bell_ops};
    rig_init(&b->rig, format, false);
    c.areas = b->rig.raw.areas;
    b->q.virtio = &b->v;
    b->q.index = 5;
    ck_assert_int_eq(virtq_drv_init(&b->q.drv, &c), 0);
}

static void bell_fini(struct bell *b)
{
    virtq_drv_fini(&b->q.drv);
    rig_fini(&b->rig);
}

static void device_wants(struct bell *b, bool doorbells)
{
    if (b->rig.raw.format == VIRTQ_SPLIT)
        virtq_raw_used_flags_set(&b->rig.raw, doorbells ? 0 : VIRTQ_USED_F_NO_NOTIFY);
    else
        virtq_raw_device_event_set(
            &b->rig.raw, (struct virtq_raw_event){.flags = doorbells ? VIRTQ_PACKED_EVENT_ENABLE
                                                                     : VIRTQ_PACKED_EVENT_DISABLE});
}

static void add_one(struct bell *b)
{
    const struct virtq_sg sg = {gpa_make(0x1000), 16};

    ck_assert_int_eq(virtq_drv_add(&b->q.drv, &sg, 1, NULL, 0, NULL, b, NULL), 0);
}

START_TEST(kick_asks_the_device)
{
    struct bell b;

    bell_init(&b, formats[_i]);
    device_wants(&b, true);
    ck_assert_int_eq(fe_queue_kick(&b.q), 0);
    ck_assert_uint_eq(b.rung, 0); /* nothing was added */
    add_one(&b);
    ck_assert_int_eq(fe_queue_kick(&b.q), 0);
    ck_assert_uint_eq(b.rung, 1);
    ck_assert_uint_eq(b.queue, 5);
    device_wants(&b, false);
    add_one(&b);
    ck_assert_int_eq(fe_queue_kick(&b.q), 0);
    ck_assert_uint_eq(b.rung, 1);
    bell_fini(&b);
}
END_TEST

START_TEST(kick_again_does_not)
{
    struct bell b;

    bell_init(&b, formats[_i]);
    device_wants(&b, false);
    add_one(&b);
    add_one(&b);
    ck_assert_int_eq(fe_queue_kick(&b.q), 0);
    ck_assert_uint_eq(b.rung, 0);
    ck_assert_int_eq(fe_queue_kick_again(&b.q), 0);
    ck_assert_uint_eq(b.rung, 1);
    ck_assert_uint_eq(b.queue, 5);
    /* Behind two descriptors; a packed ring's wrap counter is still 1 (2.9). */
    ck_assert_uint_eq(b.next, formats[_i] == VIRTQ_SPLIT ? 2 : 0x8002);
    b.rc = -EIO;
    ck_assert_int_eq(fe_queue_kick_again(&b.q), -EIO);
    bell_fini(&b);
}
END_TEST

/* ---- waiting ---- */

/* A platform in whose first wait the device uses what it has. */
struct wait {
    struct fe_platform p;
    struct bell b;
    int fires;      /* what that wait gives */
    int fires_late; /* what the next one gives, which only looks */
    unsigned waits;
};

static int wait_irq(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns)
{
    struct wait *w = (struct wait *)p;
    struct virtq_seg segs[CHAIN_MAX];
    struct virtq_chain chain = {.segs = segs};

    (void)irq;
    if (w->waits++) {
        ck_assert_uint_eq(timeout_ns, 0);
        return w->fires_late;
    }
    ck_assert_uint_gt(timeout_ns, 0);
    ck_assert_int_eq(virtq_dev_pop(&w->b.rig.dev, &chain), 1);
    virtq_dev_push(&w->b.rig.dev, chain.token, 0);
    virtq_dev_publish(&w->b.rig.dev);
    return w->fires;
}

static const struct fe_platform_ops wait_ops = {.irq_wait = wait_irq};

static int wait_result(enum virtq_format format, int fires, int fires_late)
{
    struct wait w = {.p.ops = &wait_ops, .fires = fires, .fires_late = fires_late};
    int rc;

    bell_init(&w.b, format);
    w.b.v.platform = &w.p;
    w.b.q.irq = 7;
    add_one(&w.b);
    (void)virtq_drv_publish(&w.b.q.drv);
    rc = fe_queue_wait(&w.b.q, 1000000000u);
    ck_assert_uint_eq(w.waits, fires ? 1 : 2);
    bell_fini(&w.b);
    return rc;
}

START_TEST(wait_says_who_told)
{
    ck_assert_int_eq(wait_result(formats[_i], 1, 0), 1);
    ck_assert_int_eq(wait_result(formats[_i], 0, 1), 1); /* behind the time, and yet */
    ck_assert_int_eq(wait_result(formats[_i], 0, 0), FE_QUEUE_UNTOLD);
    ck_assert_int_eq(wait_result(formats[_i], 0, -EIO), -EIO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("frontend/queue");
    TCase *tc = tcase_create("doorbells and waiting");

    tcase_add_loop_test(tc, kick_asks_the_device, 0, 2);
    tcase_add_loop_test(tc, kick_again_does_not, 0, 2);
    tcase_add_loop_test(tc, wait_says_who_told, 0, 2);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
