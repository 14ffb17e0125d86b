/* SPDX-License-Identifier: MIT */
#include "util/evloop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* Events taken from the kernel at once; more stay pending there. */
#define EVLOOP_BATCH 32

struct evloop {
    int epfd;
    struct evloop_timer *timers; /* armed ones, by deadline, earliest first */
    bool stopped;
    int status;
    /* The batch being dispatched, so that evloop_del can drop what it holds for a watcher. */
    struct epoll_event events[EVLOOP_BATCH];
    int event_next, event_count;
};

uint64_t evloop_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

int evloop_create(struct evloop **out)
{
    struct evloop *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return -ENOMEM;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epfd < 0) {
        int rc = -errno;

        free(l);
        return rc;
    }
    *out = l;
    return 0;
}

void evloop_destroy(struct evloop *l)
{
    if (l == NULL)
        return;
    while (l->timers != NULL)
        evloop_timer_cancel(l, l->timers);
    close(l->epfd);
    free(l);
}

static int evloop_ctl(struct evloop *l, int op, struct evloop_fd *w, uint32_t epoll_events)
{
    struct epoll_event ev = {.events = epoll_events, .data.ptr = w};

    return epoll_ctl(l->epfd, op, w->fd, &ev) < 0 ? -errno : 0;
}

int evloop_add(struct evloop *l, struct evloop_fd *w, uint32_t epoll_events)
{
    return evloop_ctl(l, EPOLL_CTL_ADD, w, epoll_events);
}

int evloop_mod(struct evloop *l, struct evloop_fd *w, uint32_t epoll_events)
{
    return evloop_ctl(l, EPOLL_CTL_MOD, w, epoll_events);
}

void evloop_del(struct evloop *l, struct evloop_fd *w)
{
    evloop_ctl(l, EPOLL_CTL_DEL, w, 0);
    for (int i = l->event_next; i < l->event_count; i++)
        if (l->events[i].data.ptr == w)
            l->events[i].data.ptr = NULL;
}

void evloop_timer_arm(struct evloop *l, struct evloop_timer *t, uint64_t after_ns)
{
    uint64_t now = evloop_now_ns();
    struct evloop_timer **pos = &l->timers;

    evloop_timer_cancel(l, t);
    t->deadline_ns = after_ns > UINT64_MAX - now ? UINT64_MAX : now + after_ns;
    while (*pos != NULL && (*pos)->deadline_ns <= t->deadline_ns)
        pos = &(*pos)->next;
    t->next = *pos;
    t->armed = true;
    *pos = t;
}

void evloop_timer_cancel(struct evloop *l, struct evloop_timer *t)
{
    if (!t->armed)
        return;
    for (struct evloop_timer **pos = &l->timers; *pos != NULL; pos = &(*pos)->next) {
        if (*pos == t) {
            *pos = t->next;
            break;
        }
    }
    t->next = NULL;
    t->armed = false;
}

/*
 * Fire what was due when the round began. A timer that re-arms itself with 0 waits for the next
 * round, so that it cannot keep descriptors from being served.
 */
static void evloop_fire_timers(struct evloop *l)
{
    uint64_t now = evloop_now_ns();

    while (l->timers != NULL && l->timers->deadline_ns < now && !l->stopped) {
        struct evloop_timer *t = l->timers;

        evloop_timer_cancel(l, t);
        t->fired(t);
    }
}

/* Rounded up: waking before a deadline would only turn into another round. */
static int evloop_wait_ms(const struct evloop *l, uint64_t timeout_ns)
{
    uint64_t wait_ns = timeout_ns, ms;

    if (l->timers != NULL) {
        uint64_t now = evloop_now_ns(), deadline = l->timers->deadline_ns;
        uint64_t left = deadline > now ? deadline - now : 0;

        if (left < wait_ns)
            wait_ns = left;
    }
    if (wait_ns == UINT64_MAX)
        return -1;
    ms = wait_ns / 1000000 + (wait_ns % 1000000 != 0);
    return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

int evloop_once(struct evloop *l, uint64_t timeout_ns)
{
    int n = epoll_wait(l->epfd, l->events, EVLOOP_BATCH, evloop_wait_ms(l, timeout_ns));

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    l->event_count = n;
    for (l->event_next = 0; l->event_next < l->event_count && !l->stopped;) {
        struct epoll_event ev = l->events[l->event_next++];
        struct evloop_fd *w = ev.data.ptr;

        if (w != NULL)
            w->ready(w, ev.events);
    }
    l->event_next = l->event_count = 0;
    if (!l->stopped)
        evloop_fire_timers(l);
    return 0;
}

int evloop_run(struct evloop *l)
{
    l->stopped = false;
    while (!l->stopped) {
        int rc = evloop_once(l, UINT64_MAX);

        if (rc < 0)
            return rc;
    }
    return l->status;
}

void evloop_stop(struct evloop *l, int status)
{
    l->stopped = true;
    l->status = status;
}
