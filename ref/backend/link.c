/* SPDX-License-Identifier: MIT */
/* The function's end. */
#include "backend/link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/log.h"
#include "util/mutant.h"
#include "util/unix_socket.h"

struct link {
    struct link_config config;
    int fd;
    bool watching, broken;
    struct evloop_fd watch;
    bool has_question; /* that came while we waited for an answer of our own */
    struct link_msg question;
};

static void end(struct link *l)
{
    if (l->broken)
        return;
    l->broken = true;
    if (l->watching)
        evloop_del(l->config.loop, &l->watch);
    l->watching = false;
    if (l->config.gone)
        l->config.gone(l->config.user);
}

static int put(struct link *l, const struct link_msg *m)
{
    struct pollfd p = {.fd = l->fd, .events = POLLOUT};
    uint64_t deadline = evloop_now_ns() + LINK_ANSWER_NS;

    while (!l->broken) {
        if (send(l->fd, m, sizeof(*m), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*m))
            return 0;
        if ((errno != EAGAIN && errno != EINTR) || evloop_now_ns() >= deadline)
            break;
        (void)poll(&p, 1, 100);
    }
    return -EPIPE;
}

/* 1 a message, 0 none yet, -EPIPE. */
static int get(struct link *l, struct link_msg *m)
{
    ssize_t n = recv(l->fd, m, sizeof(*m), MSG_DONTWAIT | MSG_TRUNC);

    if (n == (ssize_t)sizeof(*m))
        return 1;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

static void answer(struct link *l, const struct link_msg *q)
{
    struct link_msg a = {.kind = LINK_DONE};

    if (q->bytes != 1 && q->bytes != 2 && q->bytes != 4 && q->bytes != 8)
        a.error = -EINVAL;
    else if (q->kind == LINK_READ)
        a.a = l->config.ops->read(l->config.ctx, q->a, q->bytes);
    else
        l->config.ops->write(l->config.ctx, q->a, q->bytes, q->b);
    if (put(l, &a))
        end(l);
}

static bool is_question(const struct link_msg *m)
{
    return m->kind == LINK_READ || m->kind == LINK_WRITE;
}

static int ask(struct link *l, const struct link_msg *m)
{
    uint64_t deadline = evloop_now_ns() + 2 * LINK_ANSWER_NS;
    struct pollfd p = {.fd = l->fd, .events = POLLIN};
    struct link_msg in;
    int rc = put(l, m);

    while (!rc) {
        rc = get(l, &in);
        if (rc < 0)
            break;
        if (rc && in.kind == LINK_DONE)
            return in.error;
        if (rc && is_question(&in) && !l->has_question) {
            l->question = in;
            l->has_question = true;
            rc = 0;
            continue;
        }
        if (rc || evloop_now_ns() >= deadline)
            break;
        (void)poll(&p, 1, 100);
    }
    return -EPIPE;
}

static void link_ready(struct evloop_fd *w, uint32_t events)
{
    struct link *l = w->user;
    struct link_msg m;
    int rc = 1;

    if (l->has_question) {
        m = l->question;
        l->has_question = false;
        answer(l, &m);
        return; /* level-triggered: what is in the socket comes next */
    }
    rc = get(l, &m);
    if (rc == 1 && is_question(&m))
        answer(l, &m);
    else if (rc)
        end(l);
}

int link_connect(const struct link_config *config, struct link **out)
{
    struct link_msg hello = {.kind = LINK_HELLO, .a = LINK_VERSION, .b = config->domid};
    struct link *l = calloc(1, sizeof(*l));
    int rc;

    if (!l)
        return -ENOMEM;
    l->config = *config;
    l->config.gone = NULL; /* not before it was there */
    l->fd = -1;
    rc = unix_connect(config->path, SOCK_SEQPACKET, config->wait_ms, &l->fd);
    if (!rc)
        rc = ask(l, &hello);
    if (rc == -EPIPE)
        rc = -EPROTO;
    l->watch = (struct evloop_fd){.fd = l->fd, .ready = link_ready, .user = l};
    if (!rc)
        rc = evloop_add(config->loop, &l->watch, EPOLLIN);
    if (rc) {
        link_destroy(l);
        return rc;
    }
    l->watching = true;
    l->config.gone = config->gone;
    *out = l;
    return 0;
}

void link_destroy(struct link *l)
{
    if (!l)
        return;
    l->config.gone = NULL;
    end(l);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

/* A question that came meanwhile is in nobody's socket any more: it is answered now, or, where this
 * was called while one is answered, there is none. */
int link_claim(struct link *l, uint64_t first, uint64_t last)
{
    const struct link_msg m = {.kind = LINK_CLAIM, .a = first, .b = last};
    int rc = ask(l, &m);

    if (l->has_question) {
        struct link_msg q = l->question;

        l->has_question = false;
        answer(l, &q);
    }
    return rc;
}

void link_unclaim(struct link *l, uint64_t first, uint64_t last)
{
    const struct link_msg m = {.kind = LINK_UNCLAIM, .a = first, .b = last};

    (void)put(l, &m);
}

int link_msi(struct link *l, uint64_t addr, uint32_t data)
{
    const struct link_msg m = {.kind = LINK_MSI, .a = addr, .b = data};

    return MUTANT(link_forgets_interrupts) ? 0 : put(l, &m);
}

int link_pin(struct link *l, sbdf_t from, unsigned pin, bool level)
{
    const struct link_msg m = {.kind = LINK_PIN, .a = from.raw, .b = pin, .bytes = level};

    return put(l, &m);
}
