/* SPDX-License-Identifier: MIT */
#include "device/seed_wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#define STACK_BYTES (64u * 1024)

/* The thread's and the loop's: nobody can end a wait in the kernel, so it may outlive the other. */
struct shared {
    atomic_uint holders;
    int fd;
};

struct seed_wait {
    struct evloop *loop;
    struct evloop_fd watch;
    struct shared *shared;
    void (*ready)(void *user);
    void *user;
};

static void shared_put(struct shared *s)
{
    if (atomic_fetch_sub(&s->holders, 1) > 1)
        return;
    close(s->fd);
    free(s);
}

static void *wait_in_kernel(void *arg)
{
    struct shared *s = arg;
    const uint64_t one = 1;
    unsigned char byte;

    while (getrandom(&byte, sizeof(byte), 0) < 0 && errno == EINTR)
        ;
    /* A counter of 0 has room for one. */
    ssize_t written = write(s->fd, &one, sizeof(one));
    (void)written;
    shared_put(s);
    return NULL;
}

bool seed_is_missing(void)
{
    unsigned char byte;

    return getrandom(&byte, sizeof(byte), GRND_NONBLOCK) < 0 && errno == EAGAIN;
}

static void is_there(struct evloop_fd *watch, uint32_t epoll_events)
{
    struct seed_wait *w = watch->user;

    evloop_del(w->loop, &w->watch);
    w->watch.fd = -1;
    w->ready(w->user);
}

static int start_thread(struct shared *s)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc = pthread_attr_init(&attr);

    if (rc)
        return -rc;
    rc = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (!rc)
        rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (!rc)
        rc = pthread_create(&thread, &attr, wait_in_kernel, s);
    pthread_attr_destroy(&attr);
    return -rc;
}

int seed_wait_start(struct evloop *loop, void (*ready)(void *user), void *user,
                    struct seed_wait **out)
{
    struct seed_wait *w = calloc(1, sizeof(*w));
    struct shared *s = calloc(1, sizeof(*s));
    bool watched = false, started = false;
    int rc = 0;

    if (s)
        s->fd = -1;
    if (!w || !s) {
        rc = -ENOMEM;
        goto out;
    }
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->fd < 0) {
        rc = -errno;
        goto out;
    }
    atomic_init(&s->holders, 2);
    *w = (struct seed_wait){.loop = loop, .shared = s, .ready = ready, .user = user};
    w->watch = (struct evloop_fd){.fd = s->fd, .ready = is_there, .user = w};
    rc = evloop_add(loop, &w->watch, EPOLLIN);
    watched = rc == 0;
    if (!rc)
        rc = start_thread(s);
    started = rc == 0;
    if (started)
        *out = w;
out:
    if (started)
        return 0;
    if (watched)
        evloop_del(loop, &w->watch);
    if (s && s->fd >= 0)
        close(s->fd);
    free(s);
    free(w);
    return rc;
}

void seed_wait_end(struct seed_wait *w)
{
    if (!w)
        return;
    if (w->watch.fd >= 0)
        evloop_del(w->loop, &w->watch);
    shared_put(w->shared);
    free(w);
}
