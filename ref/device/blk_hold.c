/* SPDX-License-Identifier: MIT */
#include "device/blk_hold.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "util/mutant.h"

struct blk_hold {
    struct evloop *loop;
    struct evloop_fd watch; /* of the folder: the file comes and goes */
    void (*let_go)(void *ctx);
    void *ctx;
    char path[];
};

static void folder_changed(struct evloop_fd *w, uint32_t epoll_events)
{
    char events[sizeof(struct inotify_event) + NAME_MAX + 1];
    struct blk_hold *h = w->user;

    /* Which file it was does not matter: whether ours is there is looked up. */
    while (read(w->fd, events, sizeof(events)) > 0)
        ;
    if (!blk_hold_on(h) && !MUTANT(hold_never_lets_go))
        h->let_go(h->ctx);
}

int blk_hold_create(struct evloop *loop, const char *path, void (*let_go)(void *ctx), void *ctx,
                    struct blk_hold **out)
{
    size_t bytes = strlen(path) + 1;
    struct blk_hold *h = calloc(1, sizeof(*h) + bytes);
    char *folder = strdup(path);
    int rc = 0;

    if (!h || !folder) {
        rc = -ENOMEM;
        goto out;
    }
    h->loop = loop;
    h->let_go = let_go;
    h->ctx = ctx;
    memcpy(h->path, path, bytes);
    h->watch = (struct evloop_fd){
        .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), .ready = folder_changed, .user = h};
    if (h->watch.fd < 0 ||
        inotify_add_watch(h->watch.fd, dirname(folder), IN_DELETE | IN_MOVED_FROM) < 0)
        rc = -errno;
    if (!rc)
        rc = evloop_add(loop, &h->watch, EPOLLIN);
    if (rc && h->watch.fd >= 0)
        close(h->watch.fd);
out:
    free(folder);
    if (rc)
        free(h);
    else
        *out = h;
    return rc;
}

void blk_hold_destroy(struct blk_hold *h)
{
    if (!h)
        return;
    evloop_del(h->loop, &h->watch);
    close(h->watch.fd);
    free(h);
}

bool blk_hold_on(const struct blk_hold *h)
{
    return h && access(h->path, F_OK) == 0;
}
