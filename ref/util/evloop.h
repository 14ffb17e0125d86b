/* SPDX-License-Identifier: MIT */
/*
 * A single-threaded event loop over epoll: file descriptors, one-shot timers, and work to do
 * before sleeping. Nothing here allocates in the steady state.
 */
#ifndef RP_UTIL_EVLOOP_H
#define RP_UTIL_EVLOOP_H

#include <stdbool.h>
#include <stdint.h>

struct evloop;

/* Caller storage; borrowed by the loop between add and del. */
struct evloop_fd {
    int fd; /* borrowed */
    void (*ready)(struct evloop_fd *w, uint32_t epoll_events);
    void *user;
};

struct evloop_timer {
    void (*fired)(struct evloop_timer *t);
    void *user;
    uint64_t deadline_ns; /* private to the loop from here */
    bool armed;
    struct evloop_timer *next;
};

int evloop_create(struct evloop **out);
void evloop_destroy(struct evloop *l); /* NULL is allowed */

int evloop_add(struct evloop *l, struct evloop_fd *w, uint32_t epoll_events);
int evloop_mod(struct evloop *l, struct evloop_fd *w, uint32_t epoll_events);
/* Safe inside any callback, for any watcher: a pending event for w is dropped. */
void evloop_del(struct evloop *l, struct evloop_fd *w);

/* CLOCK_MONOTONIC, from now. Re-arming an armed timer moves it. */
void evloop_timer_arm(struct evloop *l, struct evloop_timer *t, uint64_t after_ns);
void evloop_timer_cancel(struct evloop *l, struct evloop_timer *t);

/* Run until evloop_stop; returns the status given there, or -errno. */
int evloop_run(struct evloop *l);
/* Wait for at most timeout_ns (UINT64_MAX: for ever) and dispatch once. */
int evloop_once(struct evloop *l, uint64_t timeout_ns);
void evloop_stop(struct evloop *l, int status);

uint64_t evloop_now_ns(void);

#endif
