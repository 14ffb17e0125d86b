/* SPDX-License-Identifier: MIT */
/* The event loop: order of timers, and deleting from inside callbacks. */
#include <check.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "unit/run.h"
#include "util/bits.h"
#include "util/evloop.h"

struct watch {
    struct evloop_fd w;
    struct evloop *loop;
    struct watch *victim; /* deleted by the callback */
    unsigned calls;
};

static void watch_ready(struct evloop_fd *w, uint32_t epoll_events)
{
    struct watch *x = container_of(w, struct watch, w);

    ck_assert(epoll_events & EPOLLIN);
    x->calls++;
    if (x->victim != NULL)
        evloop_del(x->loop, &x->victim->w);
}

static void watch_init(struct watch *x, struct evloop *loop)
{
    *x = (struct watch){.loop = loop};
    x->w.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    x->w.ready = watch_ready;
    ck_assert_int_ge(x->w.fd, 0);
    ck_assert_int_eq(evloop_add(loop, &x->w, EPOLLIN), 0);
}

/* Both are pending in one batch; whichever runs first deletes the other. */
START_TEST(del_drops_pending_event_of_other)
{
    struct evloop *loop;
    struct watch a, b;

    ck_assert_int_eq(evloop_create(&loop), 0);
    watch_init(&a, loop);
    watch_init(&b, loop);
    a.victim = &b;
    b.victim = &a;
    ck_assert_int_eq(evloop_once(loop, 0), 0);
    ck_assert_uint_eq(a.calls + b.calls, 1);
    evloop_destroy(loop);
    close(a.w.fd);
    close(b.w.fd);
}
END_TEST

START_TEST(del_of_itself_frees_storage)
{
    struct evloop *loop;
    struct watch a;

    ck_assert_int_eq(evloop_create(&loop), 0);
    watch_init(&a, loop);
    a.victim = &a;
    ck_assert_int_eq(evloop_once(loop, 0), 0);
    ck_assert_int_eq(evloop_once(loop, 0), 0);
    ck_assert_uint_eq(a.calls, 1);
    /* The same storage can be used again. */
    ck_assert_int_eq(evloop_add(loop, &a.w, EPOLLIN), 0);
    ck_assert_int_eq(evloop_once(loop, 0), 0);
    ck_assert_uint_eq(a.calls, 2);
    evloop_destroy(loop);
    close(a.w.fd);
}
END_TEST

struct tick {
    struct evloop_timer t;
    struct evloop *loop;
    char *order;
    char name;
    unsigned rearm; /* so many times with 0 */
    bool stops;     /* at the last one */
    struct tick *cancels;
};

static void tick_fired(struct evloop_timer *t)
{
    struct tick *x = container_of(t, struct tick, t);

    *x->order++ = x->name;
    if (x->cancels != NULL)
        evloop_timer_cancel(x->loop, &x->cancels->t);
    if (x->rearm > 0) {
        x->rearm--;
        evloop_timer_arm(x->loop, &x->t, 0);
    } else if (x->stops) {
        evloop_stop(x->loop, 7);
    }
}

START_TEST(timers_fire_by_deadline)
{
    char order[8] = "";
    struct evloop *loop;
    struct tick late, early, gone;

    ck_assert_int_eq(evloop_create(&loop), 0);
    late = (struct tick){
        .t.fired = tick_fired, .loop = loop, .order = order + 1, .name = 'l', .stops = true};
    early = (struct tick){.t.fired = tick_fired, .loop = loop, .order = order, .name = 'e'};
    gone = (struct tick){.t.fired = tick_fired, .loop = loop, .order = order + 2, .name = 'g'};
    early.cancels = &gone;
    /* However late the loop comes round: the order is that of the deadlines, and a timer that an
     * earlier one cancels does not fire, even when both were due. */
    evloop_timer_arm(loop, &late.t, 3000000);
    evloop_timer_arm(loop, &gone.t, 2000000);
    evloop_timer_arm(loop, &early.t, 500000000);
    evloop_timer_arm(loop, &early.t, 1000000); /* moved, not doubled */
    ck_assert_int_eq(evloop_run(loop), 7);
    ck_assert_int_eq(order[0], 'e');
    ck_assert_int_eq(order[1], 'l');
    ck_assert_int_eq(order[2], '\0');
    evloop_destroy(loop);
}
END_TEST

/* A timer that is always due must not keep descriptors from being served. */
START_TEST(busy_timer_does_not_starve_descriptors)
{
    char order[256];
    struct evloop *loop;
    struct watch a;
    struct tick busy;

    ck_assert_int_eq(evloop_create(&loop), 0);
    watch_init(&a, loop);
    busy = (struct tick){.t.fired = tick_fired,
                         .loop = loop,
                         .order = order,
                         .name = 'b',
                         .rearm = 20,
                         .stops = true};
    evloop_timer_arm(loop, &busy.t, 0);
    ck_assert_int_eq(evloop_run(loop), 7);
    ck_assert_uint_ge(a.calls, 20);
    evloop_destroy(loop);
    close(a.w.fd);
}
END_TEST

START_TEST(once_waits_at_most_the_timeout)
{
    struct evloop *loop;
    uint64_t start = evloop_now_ns();

    ck_assert_int_eq(evloop_create(&loop), 0);
    ck_assert_int_eq(evloop_once(loop, 2000000), 0);
    ck_assert_uint_ge(evloop_now_ns() - start, 2000000);
    evloop_destroy(loop);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("util/evloop");
    TCase *tc = tcase_create("loop");

    tcase_add_test(tc, del_drops_pending_event_of_other);
    tcase_add_test(tc, del_of_itself_frees_storage);
    tcase_add_test(tc, timers_fire_by_deadline);
    tcase_add_test(tc, busy_timer_does_not_starve_descriptors);
    tcase_add_test(tc, once_waits_at_most_the_timeout);
    suite_add_tcase(s, tc);
    return unit_run(s);
}
