/* SPDX-License-Identifier: MIT */
#include "simxen/xenbus/xenbus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- bytes ---- */

int queue_put(struct queue *q, const void *data, size_t n)
{
    if (q->start && q->start + q->len + n > q->cap) {
        memmove(q->data, q->data + q->start, q->len);
        q->start = 0;
    }
    if (q->len + n > q->cap) {
        size_t cap = (q->len + n) * 2;
        char *p = realloc(q->data, cap);

        if (!p)
            return -ENOMEM;
        q->data = p;
        q->cap = cap;
    }
    memcpy(q->data + q->start + q->len, data, n);
    q->len += n;
    return 0;
}

void queue_drop(struct queue *q, size_t n)
{
    q->len -= n;
    q->start = q->len ? q->start + n : 0;
}

void queue_fini(struct queue *q)
{
    free(q->data);
    memset(q, 0, sizeof(*q));
}

/* ---- to the ring ---- */

/* Put a request on the ring. `c` NULL: nobody waits for the answer. */
static int ring_request(struct bus *b, struct client *c, uint32_t req_id, uint32_t watch,
                        uint32_t type, uint32_t tx, const void *body, uint32_t len)
{
    struct pending *p = calloc(1, sizeof(*p));
    struct xsd_sockmsg hdr = {.type = type, .tx_id = tx, .len = len};

    if (!p)
        return -ENOMEM;
    if (++b->last_id == 0)
        b->last_id = 1;
    *p = (struct pending){
        .id = b->last_id, .type = type, .req_id = req_id, .tx = tx, .watch = watch, .client = c};
    hdr.req_id = p->id;
    if (queue_put(&b->out, &hdr, sizeof(hdr)) || queue_put(&b->out, body, len)) {
        free(p);
        bus_fail(b, -ENOMEM); /* half a request may be in the queue */
        return -ENOMEM;
    }
    p->next = b->pending;
    b->pending = p;
    if (c)
        c->nr_pending++;
    return 0;
}

static void unwatch_request(struct bus *b, const char *path, uint32_t id)
{
    char body[XENSTORE_PAYLOAD_MAX];
    int n = snprintf(body, sizeof(body), "%s%c%u", path, 0, id);

    if (n > 0 && (size_t)n < sizeof(body))
        ring_request(b, NULL, 0, 0, XS_UNWATCH, 0, body, (uint32_t)n + 1);
}

static void abort_request(struct bus *b, uint32_t tx)
{
    ring_request(b, NULL, 0, 0, XS_TRANSACTION_END, tx, "F", 2);
}

/* ---- to a client ---- */

static void watch_free(struct watch *w)
{
    free(w->path);
    free(w->token);
    free(w);
}

/* Everything of it that lies in the store. */
static void client_release(struct client *c)
{
    struct bus *b = c->bus;
    unsigned i;

    while (c->watches) {
        struct watch *w = c->watches;

        c->watches = w->next;
        unwatch_request(b, w->path, w->id);
        watch_free(w);
    }
    c->nr_watches = 0;
    for (i = 0; i < c->nr_tx; i++)
        abort_request(b, c->tx[i]);
    c->nr_tx = 0;
}

static void client_cut(struct client *c)
{
    struct pending *p;

    if (c->gone)
        return;
    c->gone = true;
    for (p = c->bus->pending; p; p = p->next)
        if (p->client == c)
            p->client = NULL;
    client_release(c);
    evloop_del(c->bus->loop, &c->ready);
    close(c->fd);
    c->fd = -1;
}

static void client_flush(struct client *c)
{
    while (c->out.len) {
        ssize_t n = send(c->fd, queue_head(&c->out), c->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            client_cut(c);
            return;
        }
        queue_drop(&c->out, (size_t)n);
    }
}

static bool client_held(const struct client *c)
{
    return c->nr_pending >= CLIENT_PENDING_MAX || c->bus->out.len > RING_BACKLOG_BYTES;
}

static void client_interest(struct client *c)
{
    uint32_t events = (client_held(c) ? 0u : EPOLLIN) | (c->out.len ? EPOLLOUT : 0u);

    if (events != c->events && !evloop_mod(c->bus->loop, &c->ready, events))
        c->events = events;
}

static void client_send(struct client *c, const struct xsd_sockmsg *hdr, const void *body)
{
    if (c->gone)
        return;
    if (c->out.len + sizeof(*hdr) + hdr->len > CLIENT_BACKLOG_BYTES ||
        queue_put(&c->out, hdr, sizeof(*hdr)) || queue_put(&c->out, body, hdr->len)) {
        client_cut(c);
        return;
    }
    client_flush(c);
}

static void client_reply(struct client *c, const struct xsd_sockmsg *to, uint32_t type,
                         const char *text)
{
    struct xsd_sockmsg hdr = {
        .type = type, .req_id = to->req_id, .tx_id = to->tx_id, .len = (uint32_t)strlen(text) + 1};

    client_send(c, &hdr, text);
}

/* ---- requests ---- */

static struct watch **watch_find(struct client *c, const char *path, const char *token)
{
    struct watch **at;

    for (at = &c->watches; *at; at = &(*at)->next)
        if (!strcmp((*at)->path, path) && !strcmp((*at)->token, token))
            return at;
    return NULL;
}

/* Two strings that fill the body exactly. */
static bool two_strings(const struct message *m, const char **first, const char **second)
{
    const char *end = m->body + m->hdr.len, *nul = memchr(m->body, 0, m->hdr.len);

    if (!nul || nul + 1 >= end || end[-1] != 0 ||
        memchr(nul + 1, 0, (size_t)(end - nul - 1)) != end - 1)
        return false;
    *first = m->body;
    *second = nul + 1;
    return true;
}

static const char *request_watch(struct client *c, const struct message *m)
{
    struct bus *b = c->bus;
    const char *path, *token;
    char body[XENSTORE_PAYLOAD_MAX];
    struct watch *w;
    int n;

    if (!two_strings(m, &path, &token))
        return "EINVAL";
    if (watch_find(c, path, token))
        return "EEXIST";
    if (c->nr_watches >= CLIENT_WATCHES_MAX)
        return "E2BIG";
    w = calloc(1, sizeof(*w));
    if (!w)
        return "ENOMEM";
    w->path = strdup(path);
    w->token = strdup(token);
    if (++b->last_watch == 0)
        b->last_watch = 1;
    w->id = b->last_watch;
    n = snprintf(body, sizeof(body), "%s%c%u", path, 0, w->id);
    if (!w->path || !w->token || n < 0 || (size_t)n >= sizeof(body) ||
        ring_request(b, c, m->hdr.req_id, w->id, XS_WATCH, m->hdr.tx_id, body, (uint32_t)n + 1)) {
        watch_free(w);
        return "ENOMEM";
    }
    w->next = c->watches;
    c->watches = w;
    c->nr_watches++;
    return NULL;
}

static const char *request_unwatch(struct client *c, const struct message *m)
{
    const char *path, *token;
    char body[XENSTORE_PAYLOAD_MAX];
    struct watch **at, *w;
    int n;

    if (!two_strings(m, &path, &token))
        return "EINVAL";
    at = watch_find(c, path, token);
    if (!at)
        return "ENOENT";
    w = *at;
    n = snprintf(body, sizeof(body), "%s%c%u", path, 0, w->id);
    if (n < 0 || (size_t)n >= sizeof(body) ||
        ring_request(c->bus, c, m->hdr.req_id, 0, XS_UNWATCH, m->hdr.tx_id, body, (uint32_t)n + 1))
        return "ENOMEM";
    *at = w->next;
    c->nr_watches--;
    watch_free(w);
    return NULL;
}

static bool tx_known(const struct client *c, uint32_t tx)
{
    unsigned i;

    for (i = 0; i < c->nr_tx; i++)
        if (c->tx[i] == tx)
            return true;
    return false;
}

static void tx_forget(struct client *c, uint32_t tx)
{
    unsigned i;

    for (i = 0; i < c->nr_tx; i++) {
        if (c->tx[i] != tx)
            continue;
        c->tx[i] = c->tx[--c->nr_tx];
        return;
    }
}

/* The name of an error, or NULL when the request is on its way (or answered). */
static const char *request(struct client *c, const struct message *m)
{
    if (m->hdr.tx_id && !tx_known(c, m->hdr.tx_id))
        return "ENOENT";
    switch (m->hdr.type) {
    case XS_WATCH:
        return request_watch(c, m);
    case XS_UNWATCH:
        return request_unwatch(c, m);
    case XS_RESET_WATCHES:
        /* On the ring it would take the other clients' watches with it. */
        client_release(c);
        client_reply(c, &m->hdr, XS_RESET_WATCHES, "OK");
        return NULL;
    case XS_TRANSACTION_START:
        if (c->nr_tx + c->nr_pending >= CLIENT_TX_MAX)
            return "ENOSPC";
        break;
    case XS_WATCH_EVENT:
    case XS_ERROR:
        return "ENOSYS";
    default:
        break;
    }
    return ring_request(c->bus, c, m->hdr.req_id, 0, m->hdr.type, m->hdr.tx_id, m->body, m->hdr.len)
               ? "ENOMEM"
               : NULL;
}

/* What has been received, message by message, until one is incomplete or the client is held. */
static void client_receive(struct client *c)
{
    while (!c->gone && !client_held(c)) {
        size_t want = sizeof(c->in.hdr);
        const char *error;
        ssize_t n;

        if (c->have >= want) {
            if (c->in.hdr.len > XENSTORE_PAYLOAD_MAX) {
                client_cut(c);
                return;
            }
            want += c->in.hdr.len;
        }
        if (c->have < want) {
            n = recv(c->fd, (char *)&c->in + c->have, want - c->have, MSG_DONTWAIT);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0 && errno == EAGAIN)
                return;
            if (n <= 0) {
                client_cut(c);
                return;
            }
            c->have += (size_t)n;
            continue;
        }
        c->have = 0;
        atomic_fetch_add_explicit(&c->bus->self->dom->stats.store_requests, 1,
                                  memory_order_relaxed);
        error = request(c, &c->in);
        if (error)
            client_reply(c, &c->in.hdr, XS_ERROR, error);
    }
}

static void client_ready(struct evloop_fd *w, uint32_t events)
{
    struct client *c = w->user;
    struct bus *b = c->bus;
    int rc;

    if (events & EPOLLOUT)
        client_flush(c);
    if (!c->gone && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        client_receive(c);
        /* Held back, it would not be read, and its end not be seen. */
        if (!c->gone && events & (EPOLLHUP | EPOLLERR))
            client_cut(c);
    }
    rc = ring_pump(b);
    if (rc)
        bus_fail(b, rc);
    else
        bus_settle(b);
}

/* ---- from the ring ---- */

static void event_deliver(struct bus *b, const struct message *m)
{
    const char *path, *token;
    struct message e = {.hdr = m->hdr};
    struct client *c;
    struct watch *w;
    unsigned long id;
    char *end;
    size_t n;

    if (!two_strings(m, &path, &token))
        return;
    id = strtoul(token, &end, 10);
    if (*end)
        return;
    for (c = b->clients; c; c = c->next)
        for (w = c->gone ? NULL : c->watches; w; w = w->next) {
            if (w->id != id)
                continue;
            n = strlen(path) + 1;
            if (n + strlen(w->token) + 1 > sizeof(e.body))
                return;
            memcpy(e.body, path, n);
            memcpy(e.body + n, w->token, strlen(w->token) + 1);
            e.hdr.len = (uint32_t)(n + strlen(w->token) + 1);
            client_send(c, &e.hdr, e.body);
            return;
        }
}

static void watch_failed(struct client *c, uint32_t id)
{
    struct watch **at;

    for (at = &c->watches; *at && (*at)->id != id; at = &(*at)->next)
        ;
    if (*at) {
        struct watch *w = *at;

        *at = w->next;
        c->nr_watches--;
        watch_free(w);
    }
}

static uint32_t tx_of(const struct message *m)
{
    unsigned long long tx;
    char text[24];
    char *end;

    if (m->hdr.len == 0 || m->hdr.len >= sizeof(text))
        return 0;
    memcpy(text, m->body, m->hdr.len);
    text[m->hdr.len] = 0;
    errno = 0;
    tx = strtoull(text, &end, 10);
    return errno || *end || tx > UINT32_MAX ? 0 : (uint32_t)tx;
}

void bus_response(struct bus *b, const struct message *m)
{
    struct pending **at, *p;
    struct xsd_sockmsg hdr = m->hdr;
    bool failed = m->hdr.type == XS_ERROR;
    struct client *c;

    if (m->hdr.type == XS_WATCH_EVENT) {
        event_deliver(b, m);
        return;
    }
    for (at = &b->pending; *at && (*at)->id != m->hdr.req_id; at = &(*at)->next)
        ;
    p = *at;
    if (!p)
        return;
    *at = p->next;
    c = p->client;
    if (c)
        c->nr_pending--;

    switch (p->type) {
    case XS_TRANSACTION_START:
        if (failed)
            break;
        /* Begun for somebody who has left meanwhile. */
        if (!c)
            abort_request(b, tx_of(m));
        else if (tx_of(m) && c->nr_tx < CLIENT_TX_MAX)
            c->tx[c->nr_tx++] = tx_of(m);
        break;
    case XS_TRANSACTION_END:
        /* Refused for its argument, it goes on; with every other answer it is over. */
        if (c && !(failed && m->hdr.len >= 6 && !memcmp(m->body, "EINVAL", 6)))
            tx_forget(c, p->tx);
        break;
    case XS_WATCH:
        if (failed && c)
            watch_failed(c, p->watch);
        break;
    default:
        break;
    }
    if (c) {
        hdr.req_id = p->req_id;
        client_send(c, &hdr, m->body);
    }
    free(p);
}

void bus_settle(struct bus *b)
{
    struct client **at = &b->clients;

    while (*at) {
        struct client *c = *at;

        if (!c->gone) {
            client_interest(c);
            at = &c->next;
            continue;
        }
        *at = c->next;
        b->nr_clients--;
        queue_fini(&c->out);
        free(c);
    }
}

void bus_fail(struct bus *b, int rc)
{
    fprintf(stderr, "simxen-xenbus: domain %u: %s\n", b->self->domid,
            rc == -EIO ? "the ring's indices are out of range" : strerror(-rc));
    evloop_stop(b->loop, rc);
}

/* ---- the socket ---- */

static void listen_ready(struct evloop_fd *w, uint32_t events)
{
    struct bus *b = w->user;
    int fd = accept4(b->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *c;

    if (fd < 0)
        return;
    c = b->nr_clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    c->bus = b;
    c->fd = fd;
    c->ready = (struct evloop_fd){.fd = fd, .ready = client_ready, .user = c};
    c->events = EPOLLIN;
    if (evloop_add(b->loop, &c->ready, c->events)) {
        close(fd);
        free(c);
        return;
    }
    c->next = b->clients;
    b->clients = c;
    b->nr_clients++;
}

int bus_listen(struct bus *b, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    const char *slash = strrchr(path, '/');
    char *dir = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    const char *name = slash ? slash + 1 : path;
    int n;

    if (!dir)
        return -ENOMEM;
    b->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (b->dir_fd < 0)
        return -errno;
    n = snprintf(b->name, sizeof(b->name), "%s", name);
    if (n <= 0 || (size_t)n >= sizeof(b->name))
        return -ENAMETOOLONG;
    n = snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s", b->dir_fd, name);
    if (n <= 0 || (size_t)n >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    b->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (b->listen_fd < 0 || bind(b->listen_fd, (struct sockaddr *)&sa, sizeof(sa)))
        return -errno;
    b->bound = true;
    if (fchmodat(b->dir_fd, b->name, 0600, 0) || listen(b->listen_fd, 32))
        return -errno;
    b->listen_watch = (struct evloop_fd){.fd = b->listen_fd, .ready = listen_ready, .user = b};
    return evloop_add(b->loop, &b->listen_watch, EPOLLIN);
}

void bus_fini(struct bus *b)
{
    while (b->clients) {
        struct client *c = b->clients;

        b->clients = c->next;
        while (c->watches) {
            struct watch *w = c->watches;

            c->watches = w->next;
            watch_free(w);
        }
        if (c->fd >= 0)
            close(c->fd);
        queue_fini(&c->out);
        free(c);
    }
    while (b->pending) {
        struct pending *p = b->pending;

        b->pending = p->next;
        free(p);
    }
    if (b->bound)
        unlinkat(b->dir_fd, b->name, 0);
    if (b->listen_fd >= 0)
        close(b->listen_fd);
    if (b->dir_fd >= 0)
        close(b->dir_fd);
}
