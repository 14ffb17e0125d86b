/* SPDX-License-Identifier: MIT */
#include "backend/vhost_listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/log.h"

#define BACKLOG 1

struct vhost_listener {
    struct evloop *loop; /* borrowed */
    struct sockaddr_un at;
    bool bound;
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
        log_warn_limited("%s: accept: %s", l->at.sun_path, strerror(errno));
}

int vhost_listener_create(struct evloop *loop, const char *path, void (*came)(void *ctx, int fd),
                          void *ctx, struct vhost_listener **out)
{
    struct vhost_listener *l = calloc(1, sizeof(*l));
    int rc = 0;

    if (!l)
        return -ENOMEM;
    *l = (struct vhost_listener){
        .loop = loop, .at = {.sun_family = AF_UNIX}, .came = came, .ctx = ctx, .watch = {.fd = -1}};
    if (strlen(path) >= sizeof(l->at.sun_path)) {
        rc = -ENAMETOOLONG;
        goto out;
    }
    strcpy(l->at.sun_path, path);
    l->watch = (struct evloop_fd){
        .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .ready = knocked, .user = l};
    if (l->watch.fd < 0) {
        rc = -errno;
        goto out;
    }
    unlink(path);
    l->bound = bind(l->watch.fd, (const struct sockaddr *)&l->at, sizeof(l->at)) == 0;
    if (!l->bound || listen(l->watch.fd, BACKLOG))
        rc = -errno;
    if (!rc)
        rc = evloop_add(loop, &l->watch, EPOLLIN);
out:
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
    if (l->bound)
        unlink(l->at.sun_path);
    free(l);
}
