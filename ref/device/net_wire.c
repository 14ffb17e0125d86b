/* SPDX-License-Identifier: MIT */
/* Descriptors that frames come from and go to. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/net_impl.h"
#include "util/log.h"
#include "util/mutant.h"
#include "util/tap.h"
#include "util/unix_socket.h"

#define DISCARD_MAX 4096u /* frames: more than a TAP or a socket queues by default */
#define IOV_MAX_OUT 65u

/*
 * Frames and room are level-triggered. When neither is waited for, the end of the wire is still
 * to be seen, once: a level would be reported again and again.
 */
#define EVENTS_QUIET (EPOLLRDHUP | EPOLLET)

void net_port_wait(struct net_port *p, bool in, bool out)
{
    uint32_t events = (in ? EPOLLIN : 0u) | (out ? EPOLLOUT : 0u);
    int rc;

    p->in = in;
    p->out = out;
    if (!events)
        events = EVENTS_QUIET;
    if (p->watch.fd < 0 || !p->attached || events == p->events)
        return;
    rc = p->events ? evloop_mod(p->net->loop, &p->watch, events)
                   : evloop_add(p->net->loop, &p->watch, events);
    if (rc)
        log_warn_limited("%s: the wire cannot be watched: %s", p->net->vdev.label, strerror(-rc));
    else
        p->events = events;
}

static void port_close(struct net_port *p)
{
    if (p->watch.fd < 0)
        return;
    if (p->events)
        evloop_del(p->net->loop, &p->watch);
    p->events = 0;
    close(p->watch.fd);
    p->watch.fd = -1;
}

/* Nobody is there any more. */
static void port_lost(struct net_port *p, const char *why)
{
    struct net *n = p->net;

    if (p->watch.fd < 0)
        return;
    log_info("%s: the wire is cut: %s", n->vdev.label, why);
    port_close(p);
    p->frame_bytes = 0;
    net_tx_resume(p);
    net_link_changed(n, false);
}

static void port_ready(struct evloop_fd *w, uint32_t epoll_events)
{
    struct net_port *p = w->user;

    if (epoll_events & EPOLLOUT)
        net_tx_resume(p);
    if (p->watch.fd < 0)
        return;
    if ((epoll_events & EPOLLIN) && p->in)
        net_rx_run(p);
    else if (epoll_events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
        port_lost(p, "the other end was closed");
}

static void port_take(struct net_port *p, int fd)
{
    p->watch = (struct evloop_fd){.fd = fd, .ready = port_ready, .user = p};
    p->frame_bytes = 0;
    p->attached = true;
    net_port_wait(p, p->net->running && !MUTANT(net_replugged_is_deaf), false);
}

static ssize_t receive(const struct net_port *p)
{
    size_t room = NET_HDR_BYTES + NET_FRAME_MAX;

    if (p->net->kind == NET_WIRE_TAP)
        return read(p->watch.fd, p->buffer, room);
    return recv(p->watch.fd, p->buffer, room, MSG_DONTWAIT | MSG_TRUNC);
}

bool net_port_read(struct net_port *p)
{
    struct net *n = p->net;

    for (unsigned tries = 0; p->watch.fd >= 0 && p->attached && tries < NET_BUDGET; tries++) {
        ssize_t got = receive(p);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return false;
        if (got <= 0) {
            port_lost(p, got ? strerror(errno) : "end of packets");
            return false;
        }
        if ((size_t)got > NET_HDR_BYTES + NET_FRAME_MAX) {
            n->stats.rx_oversize++;
        } else if ((size_t)got < NET_HDR_BYTES + NET_ETHER_BYTES) {
            n->stats.rx_malformed++;
        } else {
            p->frame_bytes = (uint32_t)got - NET_HDR_BYTES;
            return true;
        }
    }
    return false;
}

int net_port_write(struct net_port *p, const struct virtio_net_hdr *h, const struct iovec *iov,
                   unsigned count)
{
    struct iovec all[IOV_MAX_OUT];
    struct msghdr m = {.msg_iov = all, .msg_iovlen = count + 1};
    ssize_t rc;

    if (p->watch.fd < 0)
        return -ENOTCONN;
    all[0] = (struct iovec){(void *)h, sizeof(*h)};
    memcpy(all + 1, iov, count * sizeof(*iov));
    do
        rc = p->net->kind == NET_WIRE_TAP ? writev(p->watch.fd, all, (int)count + 1)
                                          : sendmsg(p->watch.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return 0;
}

/* ---- what the driver takes ---- */

int net_wire_set_offloads(struct net *n, uint64_t features)
{
    static const struct {
        uint64_t features;
        unsigned offload;
    } table[] = {
        {VIRTIO_F(VIRTIO_NET_F_GUEST_CSUM), TAP_OFFLOAD_CSUM},
        {VIRTIO_F(VIRTIO_NET_F_GUEST_TSO4), TAP_OFFLOAD_TSO4},
        {VIRTIO_F(VIRTIO_NET_F_GUEST_TSO6), TAP_OFFLOAD_TSO6},
        {VIRTIO_F(VIRTIO_NET_F_GUEST_ECN), TAP_OFFLOAD_ECN},
        {VIRTIO_F(VIRTIO_NET_F_GUEST_USO4) | VIRTIO_F(VIRTIO_NET_F_GUEST_USO6), TAP_OFFLOAD_USO},
    };
    unsigned offloads = 0;

    if (n->kind != NET_WIRE_TAP || n->ports[0].watch.fd < 0)
        return 0;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if ((features & table[i].features) == table[i].features)
            offloads |= table[i].offload;
    return tap_set_offloads(n->ports[0].watch.fd, offloads);
}

/* A queue that is not attached has nothing to say but errors: it is not watched. */
static int port_attach(struct net_port *p, bool attach)
{
    int rc;

    if (p->watch.fd < 0 || p->attached == attach)
        return 0;
    rc = tap_queue_attach(p->watch.fd, attach);
    if (rc)
        return rc;
    p->attached = attach;
    if (attach) {
        net_port_wait(p, p->net->running, false);
    } else if (p->events) {
        evloop_del(p->net->loop, &p->watch);
        p->events = 0;
    }
    return 0;
}

int net_wire_set_pairs(struct net *n, unsigned pairs)
{
    int rc = 0;

    for (unsigned i = 1; i < n->num_ports && !rc; i++)
        rc = port_attach(&n->ports[i], i < pairs);
    if (rc)
        log_warn("%s: %u queues of the TAP: %s", n->vdev.label, pairs, strerror(-rc));
    return rc;
}

void net_wire_start(struct net *n)
{
    n->running = true;
    for (unsigned i = 0; i < n->num_ports; i++) {
        struct net_port *p = &n->ports[i];

        for (unsigned dropped = 0; dropped < DISCARD_MAX && net_port_read(p); dropped++)
            ;
        p->frame_bytes = 0;
        net_port_wait(p, true, false);
    }
}

void net_wire_stop(struct net *n)
{
    n->running = false;
    for (unsigned i = 0; i < n->num_ports; i++) {
        n->ports[i].frame_bytes = 0;
        net_port_wait(&n->ports[i], false, false);
    }
}

/* ---- opening ---- */

static void somebody_connects(struct evloop_fd *w, uint32_t epoll_events)
{
    struct net *n = w->user;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        log_debug_limited("%s: accept: %s", n->vdev.label, strerror(errno));
        return;
    }
    if (n->ports[0].watch.fd >= 0) {
        log_warn_limited("%s: a second end of the wire is refused", n->vdev.label);
        close(fd);
        return;
    }
    port_take(&n->ports[0], fd);
    net_link_changed(n, true);
}

static int open_listener(struct net *n, const char *path, char *error, size_t error_bytes)
{
    int fd = -1, rc;

    n->listen_path = strdup(path);
    rc = n->listen_path ? unix_listen(path, SOCK_SEQPACKET, 1, &fd) : -ENOMEM;
    if (rc) {
        snprintf(error, error_bytes, "%s: %s", path, strerror(-rc));
        free(n->listen_path);
        n->listen_path = NULL;
        return rc;
    }
    n->listener = (struct evloop_fd){.fd = fd, .ready = somebody_connects, .user = n};
    rc = evloop_add(n->loop, &n->listener, EPOLLIN);
    if (rc)
        snprintf(error, error_bytes, "event loop: %s", strerror(-rc));
    return rc;
}

static int open_given(struct net *n, int fd, char *error, size_t error_bytes)
{
    struct stat st;
    int type = 0, rc;
    socklen_t len = sizeof(type);

    if (fstat(fd, &st)) {
        snprintf(error, error_bytes, "descriptor %d: %s", fd, strerror(errno));
        return -EINVAL;
    }
    if (!S_ISSOCK(st.st_mode)) {
        rc = tap_adopt(fd, error, error_bytes);
        if (rc)
            return rc;
        n->kind = NET_WIRE_TAP;
    } else {
        if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
            (type != SOCK_DGRAM && type != SOCK_SEQPACKET)) {
            snprintf(error, error_bytes, "descriptor %d is a socket that keeps no packets apart",
                     fd);
            return -EINVAL;
        }
        n->kind = NET_WIRE_SOCKET;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    n->link_up = true;
    port_take(&n->ports[0], fd);
    return 0;
}

static int open_tap(struct net *n, const char *name, char *error, size_t error_bytes)
{
    int fds[NET_PAIRS_MAX];
    int rc = tap_open(name, n->num_ports, fds, error, error_bytes);

    if (rc)
        return rc;
    n->kind = NET_WIRE_TAP;
    n->link_up = true;
    for (unsigned i = 0; i < n->num_ports; i++)
        port_take(&n->ports[i], fds[i]);
    rc = net_wire_set_pairs(n, 1);
    if (rc)
        snprintf(error, error_bytes, "TAP %s: queues: %s", name, strerror(-rc));
    return rc;
}

int net_wire_open(struct net *n, const struct net_options *o, char *error, size_t error_bytes)
{
    int rc;

    n->kind = NET_WIRE_SOCKET;
    n->num_ports = o->tap ? n->pairs : 1;
    n->ports = calloc(n->num_ports, sizeof(*n->ports));
    n->linear = malloc(NET_FRAME_MAX);
    if (!n->ports || !n->linear)
        goto no_memory;
    for (unsigned i = 0; i < n->num_ports; i++) {
        n->ports[i].net = n;
        n->ports[i].watch.fd = -1;
    }
    for (unsigned i = 0; i < n->num_ports; i++) {
        n->ports[i].buffer = malloc(NET_HDR_BYTES + NET_FRAME_MAX);
        if (!n->ports[i].buffer)
            goto no_memory;
    }
    if (o->tap)
        rc = open_tap(n, o->tap, error, error_bytes);
    else if (o->listen)
        rc = open_listener(n, o->listen, error, error_bytes);
    else
        rc = open_given(n, o->fd, error, error_bytes);
    if (!rc)
        n->wire_offloads = n->kind == NET_WIRE_TAP ? tap_offloads(n->ports[0].watch.fd) : ~0u;
    return rc;
no_memory:
    snprintf(error, error_bytes, "%s", strerror(ENOMEM));
    return -ENOMEM;
}

void net_wire_close(struct net *n)
{
    for (unsigned i = 0; n->ports && i < n->num_ports; i++) {
        port_close(&n->ports[i]);
        free(n->ports[i].buffer);
    }
    free(n->ports);
    free(n->linear);
    if (n->listener.fd >= 0) {
        evloop_del(n->loop, &n->listener);
        close(n->listener.fd);
        unlink(n->listen_path);
    }
    free(n->listen_path);
}
