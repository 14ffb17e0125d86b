/* SPDX-License-Identifier: MIT */
#include "backend/vhost_listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/log.h"
#include "util/unix_socket.h"

#define BACKLOG 1

struct vhost_listener {
    struct evloop *loop;        /* borrowed */
    char path[UNIX_PATH_BYTES]; /* "": not there */
    struct evloop_fd watch;
    void (*came)(void *ctx, int fd);
    void *ctx;
};

static void knocked(struct evloop_fd *w, uint32_t events)
{
    struct vhost_listener *l = w->user;
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0)
        l->came(l->ctx, fd);
    else
        log_warn_limited("%s: accept: %s", l->path, strerror(errno));
}

int vhost_listener_create(struct evloop *loop, const char *path, void (*came)(void *ctx, int fd),
                          void *ctx, struct vhost_listener **out)
{
    struct vhost_listener *l = calloc(1, sizeof(*l));
    int rc;

    if (!l)
        return -ENOMEM;
    *l = (struct vhost_listener){
        .loop = loop, .came = came, .ctx = ctx, .watch = {.fd = -1, .ready = knocked, .user = l}};
    rc = unix_listen(path, SOCK_STREAM, BACKLOG, &l->watch.fd);
    if (!rc) {
        strcpy(l->path, path);
        rc = evloop_add(loop, &l->watch, EPOLLIN);
    }
    if (rc)
        vhost_listener_destroy(l);
    else
        *out = l;
    return rc;
}

void vhost_listener_destroy(struct vhost_listener *l)
{
    if (!l)
        return;
    if (l->watch.fd >= 0) {
        evloop_del(l->loop, &l->watch);
        close(l->watch.fd);
    }
    if (*l->path)
        unlink(l->path);
    free(l);
}
