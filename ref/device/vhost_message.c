/* SPDX-License-Identifier: MIT */
#include "device/vhost_message.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/evloop.h"

/* 0: the socket is ready, or it is worth another try. */
static int wait_for(int fd, short events, uint64_t deadline_ns)
{
    struct pollfd p = {.fd = fd, .events = events};
    uint64_t now = evloop_now_ns();

    if (now >= deadline_ns)
        return -ETIMEDOUT;
    (void)poll(&p, 1, (int)((deadline_ns - now) / 1000000u) + 1);
    return 0;
}

int vhost_message_send(int fd, struct vhost_message *m)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(m->fds))];
    } control = {.bytes = {0}};
    uint64_t deadline = evloop_now_ns() + VHOST_PIECE_NS;
    size_t total = sizeof(m->h) + m->h.size, done = 0;
    char packet[sizeof(m->h) + sizeof(m->p)];

    m->h.flags = (m->h.flags & ~VHOST_USER_VERSION_MASK) | VHOST_USER_VERSION;
    memcpy(packet, &m->h, sizeof(m->h));
    memcpy(packet + sizeof(m->h), &m->p, m->h.size);
    while (done < total) {
        struct iovec iov = {packet + done, total - done};
        struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

        if (m->fd_count && done == 0) {
            msg.msg_control = control.bytes;
            msg.msg_controllen = CMSG_SPACE(m->fd_count * sizeof(int));
            struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
            c->cmsg_level = SOL_SOCKET;
            c->cmsg_type = SCM_RIGHTS;
            c->cmsg_len = CMSG_LEN(m->fd_count * sizeof(int));
            memcpy(CMSG_DATA(c), m->fds, m->fd_count * sizeof(int));
        }
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            done += (size_t)n;
        else if ((errno != EAGAIN && errno != EINTR) || wait_for(fd, POLLOUT, deadline))
            return -EPIPE;
    }
    return 0;
}

/* Descriptors that came with a piece. -EPROTO: more than a message has; the rest is closed. */
static int take_fds(struct vhost_message *m, struct msghdr *msg)
{
    int rc = msg->msg_flags & MSG_CTRUNC ? -EPROTO : 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (m->fd_count < VHOST_USER_REGIONS_MAX) {
                m->fds[m->fd_count++] = fd;
            } else {
                close(fd);
                rc = -EPROTO;
            }
        }
    }
    return rc;
}

static int recv_piece(int fd, struct vhost_message *m, void *to, size_t bytes, uint64_t deadline)
{
    size_t done = 0;

    while (done < bytes) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(m->fds))];
        } control;
        struct iovec iov = {(char *)to + done, bytes - done};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
        ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n > 0) {
            if (take_fds(m, &msg))
                return -EPROTO;
            done += (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return -EPIPE;
        } else if (wait_for(fd, POLLIN, deadline)) {
            return done ? -EPROTO : -ETIMEDOUT;
        }
    }
    return 0;
}

int vhost_message_recv(int fd, struct vhost_message *m, uint64_t wait_ns)
{
    uint64_t now = evloop_now_ns();
    int rc;

    *m = (struct vhost_message){.fd_count = 0};
    rc = recv_piece(fd, m, &m->h, sizeof(m->h), now + wait_ns);
    if (!rc &&
        ((m->h.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION || m->h.size > sizeof(m->p)))
        rc = -EPROTO;
    if (!rc && recv_piece(fd, m, &m->p, m->h.size, evloop_now_ns() + VHOST_PIECE_NS))
        rc = -EPROTO;
    if (rc)
        vhost_message_close(m);
    return rc;
}

int vhost_message_take_fd(struct vhost_message *m)
{
    return m->fd_count ? m->fds[--m->fd_count] : -1;
}

void vhost_message_close(struct vhost_message *m)
{
    while (m->fd_count)
        close(m->fds[--m->fd_count]);
}
