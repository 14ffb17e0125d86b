/* SPDX-License-Identifier: MIT */
#include "device/console_end.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "util/log.h"
#include "util/unix_socket.h"

/* Everything is watched once, for edges: see the header. */
#define EDGES (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static int explain(int rc, const char *what, char *error, size_t error_bytes)
{
    snprintf(error, error_bytes, "%s: %s", what, strerror(-rc));
    return rc;
}

/* ---- somebody comes and goes ---- */

static void end_close(struct console_end *e)
{
    e->open = e->can_read = e->can_write = false;
    if (e->kind != CONSOLE_END_UNIX || e->fd < 0)
        return;
    if (e->watching)
        evloop_del(e->loop, &e->fd_watch);
    e->watching = false;
    close(e->fd);
    e->fd = -1;
    /* The next one may be waiting already. */
    if (evloop_add(e->loop, &e->arrive_watch, EPOLLIN))
        log_warn("%s: cannot wait for the next client", e->path);
}

/* Has the other side gone, and was everything read that it sent? */
static bool has_left(const struct console_end *e)
{
    char byte;
    ssize_t n;

    if (e->kind != CONSOLE_END_UNIX)
        return false;
    n = recv(e->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void fd_ready(struct evloop_fd *w, uint32_t events)
{
    struct console_end *e = w->user;

    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        e->can_read = e->open;
    if (events & EPOLLOUT)
        e->can_write = e->open;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && e->open && has_left(e))
        end_close(e);
    e->changed(e);
}

static void client_accept(struct console_end *e)
{
    e->fd = accept4(e->arrive, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (e->fd < 0)
        return;
    /* One at a time: others wait in the socket's backlog. */
    evloop_del(e->loop, &e->arrive_watch);
    e->fd_watch.fd = e->fd;
    e->open = true;
    e->watching = evloop_add(e->loop, &e->fd_watch, EDGES) == 0;
    if (!e->watching)
        end_close(e);
}

static void client_arrives(struct evloop_fd *w, uint32_t events)
{
    struct console_end *e = w->user;

    client_accept(e);
    e->changed(e);
}

static bool terminal_is_open(const struct console_end *e)
{
    struct pollfd p = {.fd = e->fd, .events = POLLIN};

    return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

/* The terminal was opened or closed by somebody, how often does not matter. */
static void terminal_moved(struct evloop_fd *w, uint32_t events)
{
    struct console_end *e = w->user;
    char text[512];

    while (read(e->arrive, text, sizeof(text)) > 0)
        ;
    e->open = e->can_read = e->can_write = terminal_is_open(e);
    e->changed(e);
}

bool console_end_look(struct console_end *e)
{
    if (!e->open && e->kind == CONSOLE_END_UNIX)
        client_accept(e);
    else if (!e->open && e->kind == CONSOLE_END_PTY)
        e->open = e->can_read = e->can_write = terminal_is_open(e);
    return e->open;
}

void console_end_disconnect(struct console_end *e)
{
    if (e->kind == CONSOLE_END_UNIX)
        end_close(e);
}

/* ---- bytes ---- */

size_t console_end_read(struct console_end *e, const struct iovec *iov, unsigned count)
{
    ssize_t n = readv(e->fd, iov, (int)count);

    if (n > 0)
        return (size_t)n;
    e->can_read = n < 0 && errno == EINTR;
    /* A terminal says EIO while nobody has it open; who comes is announced by `arrive`. */
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        end_close(e);
    return 0;
}

size_t console_end_write(struct console_end *e, const struct iovec *iov, unsigned count)
{
    ssize_t n;

    if (e->kind == CONSOLE_END_NULL) {
        size_t all = 0;

        for (unsigned i = 0; i < count; i++)
            all += iov[i].iov_len;
        return all;
    }
    if (e->kind == CONSOLE_END_UNIX) {
        const struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = count};

        n = sendmsg(e->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        n = writev(e->fd, iov, (int)count);
    }
    if (n > 0)
        return (size_t)n;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        if (e->kind == CONSOLE_END_FILE)
            log_warn_limited("console output: %s", strerror(errno));
        end_close(e);
    } else {
        e->can_write = n < 0 && errno == EINTR;
    }
    return 0;
}

/* ---- set up ---- */

static int file_open(struct console_end *e, const char *path, char *error, size_t error_bytes)
{
    e->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (e->fd < 0)
        return explain(-errno, path, error, error_bytes);
    e->open = e->can_write = true;
    return 0;
}

static int socket_open(struct console_end *e, const char *path, char *error, size_t error_bytes)
{
    int rc = unix_listen(path, SOCK_STREAM, 1, &e->arrive);

    if (rc)
        return explain(rc, path, error, error_bytes);
    strcpy(e->path, path);
    e->arrive_watch = (struct evloop_fd){.fd = e->arrive, .ready = client_arrives, .user = e};
    return 0;
}

/* A link that leads nowhere is what a killed predecessor left. */
static int link_terminal(struct console_end *e, const char *link, char *error, size_t error_bytes)
{
    struct stat st;

    if (strlen(link) >= sizeof(e->path))
        return explain(-ENAMETOOLONG, link, error, error_bytes);
    if (lstat(link, &st) == 0 && S_ISLNK(st.st_mode))
        (void)unlink(link);
    if (symlink(e->terminal, link))
        return explain(-errno, link, error, error_bytes);
    strcpy(e->path, link);
    return 0;
}

static int terminal_open(struct console_end *e, const char *link, char *error, size_t error_bytes)
{
    struct termios raw;
    int slave, rc = 0;

    e->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (e->fd < 0 || grantpt(e->fd) || unlockpt(e->fd) ||
        ptsname_r(e->fd, e->terminal, sizeof(e->terminal)))
        return explain(-errno, "pseudoterminal", error, error_bytes);
    /* Opened and closed once: from now on the kernel tells apart whether somebody is there. The
     * settings stay as long as our side is open. */
    slave = open(e->terminal, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return explain(-errno, e->terminal, error, error_bytes);
    if (tcgetattr(slave, &raw)) {
        rc = -errno;
    } else {
        cfmakeraw(&raw);
        if (tcsetattr(slave, TCSANOW, &raw))
            rc = -errno;
    }
    close(slave);
    if (rc)
        return explain(rc, e->terminal, error, error_bytes);
    e->arrive = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (e->arrive < 0 ||
        inotify_add_watch(e->arrive, e->terminal, IN_OPEN | IN_CLOSE_WRITE | IN_CLOSE_NOWRITE) < 0)
        return explain(-errno, e->terminal, error, error_bytes);
    e->arrive_watch = (struct evloop_fd){.fd = e->arrive, .ready = terminal_moved, .user = e};
    e->fd_watch.fd = e->fd;
    rc = evloop_add(e->loop, &e->fd_watch, EDGES);
    if (rc)
        return explain(rc, e->terminal, error, error_bytes);
    e->watching = true;
    return link ? link_terminal(e, link, error, error_bytes) : 0;
}

int console_end_init(struct console_end *e, struct evloop *loop,
                     const struct console_port_options *o, void (*changed)(struct console_end *e),
                     char *error, size_t error_bytes)
{
    int rc = 0;

    *e = (struct console_end){
        .loop = loop, .kind = o->kind, .changed = changed, .fd = -1, .arrive = -1};
    e->fd_watch = (struct evloop_fd){.ready = fd_ready, .user = e};
    switch (o->kind) {
    case CONSOLE_END_NONE:
        break;
    case CONSOLE_END_NULL:
        e->open = e->can_write = true;
        break;
    case CONSOLE_END_FILE:
        rc = file_open(e, o->path, error, error_bytes);
        break;
    case CONSOLE_END_UNIX:
        rc = socket_open(e, o->path, error, error_bytes);
        break;
    case CONSOLE_END_PTY:
        rc = terminal_open(e, o->path, error, error_bytes);
        break;
    }
    if (!rc && e->arrive >= 0) {
        rc = evloop_add(loop, &e->arrive_watch, EPOLLIN);
        if (rc)
            explain(rc, "event loop", error, error_bytes);
    }
    if (rc)
        console_end_fini(e);
    return rc;
}

void console_end_fini(struct console_end *e)
{
    if (!e->loop)
        return;
    if (e->watching)
        evloop_del(e->loop, &e->fd_watch);
    if (e->arrive >= 0) {
        evloop_del(e->loop, &e->arrive_watch);
        close(e->arrive);
    }
    if (e->fd >= 0)
        close(e->fd);
    if (*e->path)
        (void)unlink(e->path);
    *e = (struct console_end){.fd = -1, .arrive = -1};
}
