/* SPDX-License-Identifier: MIT */
#include "simxen/ctl/greed.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "simxen/ctl/store.h"

/* A kernel lets each of its processes have few transactions, so that several have to be greedy. */
#define CONNECTIONS_MAX 8u
/* More than any quota of Xen's: who may have so many has none. */
#define TAKEN_MAX 5000u

#define FOLDER "data/greed"

struct simxen_greed {
    enum simxen_greed_of what;
    int fds[CONNECTIONS_MAX];
    unsigned connections;
    struct {
        int fd;
        uint32_t tx;
    } taken[TAKEN_MAX];
    unsigned count;
};

/* A folder of few: how large a node may be is a quota, too, and its children's names are in it. */
static void node_of(unsigned i, char path[32])
{
    snprintf(path, 32, FOLDER "/%u/%u", i / 64, i % 64);
}

static int take(struct simxen_greed *g, int fd)
{
    uint32_t tx = 0;
    char path[32];
    int rc = -EINVAL;

    node_of(g->count, path);
    switch (g->what) {
    case GREED_NODES:
        rc = store_write(fd, path, "");
        break;
    case GREED_WATCHES:
        rc = store_watch(fd, FOLDER, path);
        break;
    case GREED_TRANSACTIONS:
        rc = store_transaction(fd, &tx);
        break;
    }
    if (!rc) {
        g->taken[g->count].fd = fd;
        g->taken[g->count++].tx = tx;
    }
    return rc;
}

static int give_back(struct simxen_greed *g)
{
    char path[32];
    int fd;

    if (!g->count)
        return -ENOENT;
    fd = g->taken[--g->count].fd;
    node_of(g->count, path);
    switch (g->what) {
    case GREED_NODES:
        return store_rm(fd, path);
    case GREED_WATCHES:
        return store_unwatch(fd, FOLDER, path);
    case GREED_TRANSACTIONS:
        return store_abort(fd, g->taken[g->count].tx);
    }
    return -EINVAL;
}

int simxen_greed_begin(const char *run_dir, uint16_t domid, enum simxen_greed_of what,
                       unsigned left, struct simxen_greed **out)
{
    struct simxen_greed *g = calloc(1, sizeof(*g));
    unsigned before;
    char *path = NULL;
    int rc = 0;

    if (!g || asprintf(&path, "%s/dom%u.xenbus", run_dir, domid) < 0) {
        free(g);
        return -ENOMEM;
    }
    g->what = what;
    do {
        int fd = store_connect(path);

        if (fd < 0) {
            rc = fd;
            break;
        }
        g->fds[g->connections++] = fd;
        before = g->count;
        while (!(rc = g->count < TAKEN_MAX ? take(g, fd) : -EOVERFLOW))
            ;
        rc = rc == -ENOSPC || rc == -E2BIG || rc == -EDQUOT ? 0 : rc;
    } while (!rc && g->count > before && g->connections < CONNECTIONS_MAX);
    for (unsigned i = 0; i < left && !rc; i++)
        rc = give_back(g);
    free(path);
    if (rc)
        simxen_greed_end(g);
    else
        *out = g;
    return rc;
}

void simxen_greed_end(struct simxen_greed *g)
{
    if (!g)
        return;
    if (g->what == GREED_NODES && g->connections)
        (void)store_rm(g->fds[0], FOLDER);
    /* What else it has goes with its connections. */
    while (g->connections)
        close(g->fds[--g->connections]);
    free(g);
}
