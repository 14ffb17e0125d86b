/* SPDX-License-Identifier: MIT */
/* The bridge's end. Whatever a peer sends is checked; one that breaks the protocol is dropped. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/link.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"
#include "util/unix_socket.h"

struct range {
    uint64_t first, last;
};

struct held {
    sbdf_t from;
    unsigned pin;
};

struct peer {
    struct link_hub *hub;
    int fd; /* -1: the place is free */
    bool greeted;
    struct evloop_fd watch;
    struct range ranges[LINK_RANGES_MAX];
    unsigned range_count;
    struct held pins[LINK_PINS_MAX]; /* that it holds up */
    unsigned pin_count;
};

struct link_hub {
    struct evloop *loop;
    const struct link_hub_ops *ops;
    void *ctx;
    uint16_t domid;
    char path[UNIX_PATH_BYTES];
    int listen_fd;
    bool listening;
    struct evloop_fd watch;
    struct peer peers[LINK_PEERS_MAX];
};

static void peer_drop(struct peer *p, const char *why)
{
    struct link_hub *h = p->hub;

    log_info("the process behind a link has gone: %s", why);
    evloop_del(h->loop, &p->watch);
    close(p->fd);
    p->fd = -1;
    for (unsigned i = 0; i < p->pin_count; i++)
        h->ops->pin(h->ctx, p->pins[i].from, p->pins[i].pin, false);
    p->pin_count = 0;
    if (!MUTANT(link_claims_outlive_their_process))
        p->range_count = 0;
}

static int peer_put(struct peer *p, const struct link_msg *m)
{
    return send(p->fd, m, sizeof(*m), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*m) ? 0
                                                                                          : -EPIPE;
}

static bool overlaps(const struct range *r, uint64_t first, uint64_t last)
{
    return r->first <= last && first <= r->last;
}

static int peer_claim(struct peer *p, uint64_t first, uint64_t last)
{
    struct link_hub *h = p->hub;
    int rc = first <= last ? h->ops->allowed(h->ctx, first, last) : -EINVAL;

    for (unsigned i = 0; i < LINK_PEERS_MAX && !rc; i++)
        for (unsigned k = 0; k < h->peers[i].range_count && !rc; k++)
            if (overlaps(&h->peers[i].ranges[k], first, last))
                rc = -EEXIST;
    if (!rc && p->range_count == LINK_RANGES_MAX)
        rc = -ENOSPC;
    if (!rc)
        p->ranges[p->range_count++] = (struct range){first, last};
    return rc;
}

static void peer_unclaim(struct peer *p, uint64_t first, uint64_t last)
{
    for (unsigned i = 0; i < p->range_count; i++) {
        if (p->ranges[i].first != first || p->ranges[i].last != last)
            continue;
        p->ranges[i] = p->ranges[--p->range_count];
        return;
    }
}

/* Only its own functions have pins: those whose configuration space it has claimed is not looked
 * up here, since a pin of another's would only be an interrupt too many. */
static int peer_pin(struct peer *p, const struct link_msg *m)
{
    sbdf_t from = {(uint32_t)m->a};
    unsigned i = 0;

    if (m->a > UINT32_MAX || m->b < 1 || m->b > 4 || m->bytes > 1)
        return -EPROTO;
    while (i < p->pin_count && (p->pins[i].from.raw != from.raw || p->pins[i].pin != m->b))
        i++;
    if ((i < p->pin_count) == (m->bytes == 1))
        return 0; /* it is there already */
    if (m->bytes && p->pin_count == LINK_PINS_MAX)
        return -EPROTO;
    if (m->bytes)
        p->pins[p->pin_count++] = (struct held){from, (unsigned)m->b};
    else
        p->pins[i] = p->pins[--p->pin_count];
    p->hub->ops->pin(p->hub->ctx, from, (unsigned)m->b, m->bytes == 1);
    return 0;
}

/* What a peer says by itself. */
static int peer_said(struct peer *p, const struct link_msg *m)
{
    struct link_msg done = {.kind = LINK_DONE};

    if (!p->greeted && m->kind != LINK_HELLO)
        return -EPROTO;
    switch (m->kind) {
    case LINK_HELLO:
        done.error = m->a != LINK_VERSION ? -EPROTO : m->b != p->hub->domid ? -EINVAL : 0;
        p->greeted = done.error == 0;
        return peer_put(p, &done);
    case LINK_CLAIM:
        done.error = peer_claim(p, m->a, m->b);
        return peer_put(p, &done);
    case LINK_UNCLAIM:
        peer_unclaim(p, m->a, m->b);
        return 0;
    case LINK_MSI:
        if (m->b > UINT32_MAX)
            return -EPROTO;
        (void)p->hub->ops->msi(p->hub->ctx, m->a, (uint32_t)m->b);
        return 0;
    case LINK_PIN:
        return peer_pin(p, m);
    default:
        return -EPROTO;
    }
}

/* 1 a message, 0 none, -EPIPE. */
static int peer_get(struct peer *p, struct link_msg *m)
{
    ssize_t n = recv(p->fd, m, sizeof(*m), MSG_DONTWAIT | MSG_TRUNC);

    if (n == (ssize_t)sizeof(*m))
        return 1;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
}

static void peer_ready(struct evloop_fd *w, uint32_t events)
{
    struct peer *p = w->user;
    struct link_msg m;
    int rc = peer_get(p, &m);

    if (rc == 1)
        rc = peer_said(p, &m);
    if (rc)
        peer_drop(p, rc == -EPIPE ? "its connection has ended" : "it broke the protocol");
}

/* The guest's vCPU waits meanwhile, and nobody else is served: a limit, and no other peer's say. */
static bool peer_ask(struct peer *p, const struct link_msg *q, uint64_t *value)
{
    uint64_t deadline = evloop_now_ns() + LINK_ANSWER_NS;
    struct pollfd pfd = {.fd = p->fd, .events = POLLIN};
    struct link_msg m;
    int rc = peer_put(p, q);

    while (!rc) {
        rc = peer_get(p, &m);
        if (rc == 1 && m.kind == LINK_DONE) {
            *value = m.error ? UINT64_MAX : m.a;
            return true;
        }
        if (rc == 1)
            rc = peer_said(p, &m);
        else if (!rc && evloop_now_ns() >= deadline)
            rc = -ETIMEDOUT;
        else if (!rc)
            (void)poll(&pfd, 1, 100);
    }
    peer_drop(p, rc == -ETIMEDOUT ? "it gives no answer" : "its connection has ended");
    return false;
}

static struct peer *peer_of(struct link_hub *h, uint64_t addr, unsigned bytes, bool *whole)
{
    for (unsigned i = 0; i < LINK_PEERS_MAX; i++) {
        struct peer *p = &h->peers[i];

        for (unsigned k = 0; k < p->range_count; k++) {
            if (addr < p->ranges[k].first || addr > p->ranges[k].last)
                continue;
            *whole = bytes - 1 <= p->ranges[k].last - addr;
            return p;
        }
    }
    return NULL;
}

bool link_hub_read(struct link_hub *h, uint64_t addr, unsigned bytes, uint64_t *value)
{
    const struct link_msg q = {.kind = LINK_READ, .bytes = bytes, .a = addr};
    bool whole = false;
    struct peer *p = peer_of(h, addr, bytes, &whole);

    *value = UINT64_MAX;
    if (p && whole && p->fd >= 0)
        (void)peer_ask(p, &q, value);
    return p != NULL;
}

bool link_hub_write(struct link_hub *h, uint64_t addr, unsigned bytes, uint64_t value)
{
    const struct link_msg q = {.kind = LINK_WRITE, .bytes = bytes, .a = addr, .b = value};
    bool whole = false;
    uint64_t none;
    struct peer *p = peer_of(h, addr, bytes, &whole);

    if (p && whole && p->fd >= 0)
        (void)peer_ask(p, &q, &none);
    return p != NULL;
}

static void hub_ready(struct evloop_fd *w, uint32_t events)
{
    struct link_hub *h = w->user;
    int fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (unsigned i = 0; i < LINK_PEERS_MAX; i++) {
        struct peer *p = &h->peers[i];

        if (p->fd >= 0)
            continue;
        p->fd = fd;
        p->greeted = false;
        p->watch = (struct evloop_fd){.fd = fd, .ready = peer_ready, .user = p};
        if (evloop_add(h->loop, &p->watch, EPOLLIN) == 0)
            return;
        p->fd = -1;
        break;
    }
    log_warn_limited("a link is refused: there are %u already", LINK_PEERS_MAX);
    close(fd);
}

int link_hub_create(struct evloop *loop, const char *path, uint16_t domid,
                    const struct link_hub_ops *ops, void *ctx, struct link_hub **out)
{
    struct link_hub *h = calloc(1, sizeof(*h));
    int rc;

    if (!h)
        return -ENOMEM;
    h->loop = loop;
    h->ops = ops;
    h->ctx = ctx;
    h->domid = domid;
    h->listen_fd = -1;
    for (unsigned i = 0; i < LINK_PEERS_MAX; i++)
        h->peers[i] = (struct peer){.hub = h, .fd = -1};
    rc = unix_listen(path, SOCK_SEQPACKET, (int)LINK_PEERS_MAX, &h->listen_fd);
    if (!rc)
        strcpy(h->path, path);
    h->watch = (struct evloop_fd){.fd = h->listen_fd, .ready = hub_ready, .user = h};
    if (!rc)
        rc = evloop_add(loop, &h->watch, EPOLLIN);
    h->listening = rc == 0;
    if (rc)
        link_hub_destroy(h);
    else
        *out = h;
    return rc;
}

void link_hub_destroy(struct link_hub *h)
{
    if (!h)
        return;
    for (unsigned i = 0; i < LINK_PEERS_MAX; i++)
        if (h->peers[i].fd >= 0)
            peer_drop(&h->peers[i], "the bridge ends");
    if (h->listening)
        evloop_del(h->loop, &h->watch);
    if (h->listen_fd >= 0)
        close(h->listen_fd);
    if (*h->path)
        unlink(h->path);
    free(h);
}
