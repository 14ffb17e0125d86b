/* SPDX-License-Identifier: MIT */
#include "backend/windows.h"

#include <errno.h>
#include <stdlib.h>

#include "spec/virtio_mmio.h"
#include "transport/virtio_mmio.h"
#include "util/log.h"
#include "xen/irq.h"

struct window {
    struct window *next;
    struct windows *all;
    struct place at;
    struct virtio_mmio *transport;
    uint64_t *interrupts; /* borrowed */
    bool claimed;
};

struct windows {
    struct xen_handles *xen; /* borrowed */
    uint16_t domid;
    struct window *list;
    struct ioreq_server *server; /* borrowed; NULL while not connected */
    struct windows_stats stats;
};

static void window_line(void *ctx, bool level)
{
    struct window *w = ctx;
    struct windows *ws = w->all;
    int rc = xen_irq_line(ws->xen, ws->domid, w->at.line, level);

    if (rc) {
        ws->stats.line_failed++;
        log_warn_limited("interrupt line %u: error %d", w->at.line, rc);
        return;
    }
    ws->stats.line++;
    if (level)
        (*w->interrupts)++;
}

static const struct virtio_mmio_ops window_ops = {.line = window_line};

static int window_claim(struct window *w)
{
    int rc = ioreq_server_map_mmio(w->all->server, w->at.base, w->at.base + VIRTIO_MMIO_BYTES - 1);

    w->claimed = rc == 0;
    return rc;
}

static void window_destroy(struct window *w)
{
    virtio_mmio_destroy(w->transport);
    if (w->claimed && w->all->server)
        (void)ioreq_server_unmap_mmio(w->all->server, w->at.base,
                                      w->at.base + VIRTIO_MMIO_BYTES - 1);
    free(w);
}

int windows_attach(struct windows *ws, const struct place *at, struct vdev *d, uint64_t *interrupts)
{
    struct window *w;
    int rc;

    for (w = ws->list; w; w = w->next)
        if (place_meets(&w->at, at))
            return -EEXIST;
    w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    *w = (struct window){.all = ws, .at = *at, .interrupts = interrupts};
    rc = virtio_mmio_create(d, &window_ops, w, &w->transport);
    if (!rc && ws->server)
        rc = window_claim(w);
    if (rc) {
        window_destroy(w);
        return rc;
    }
    w->next = ws->list;
    ws->list = w;
    return 0;
}

void windows_detach(struct windows *ws, const struct place *at)
{
    for (struct window **link = &ws->list; *link; link = &(*link)->next) {
        struct window *w = *link;

        if (!place_same(&w->at, at))
            continue;
        *link = w->next;
        window_destroy(w);
        return;
    }
}

int windows_connect(struct windows *ws, struct ioreq_server *server)
{
    int rc = 0;

    ws->server = server;
    for (struct window *w = ws->list; !rc && w; w = w->next)
        rc = window_claim(w);
    if (rc)
        ws->server = NULL;
    return rc;
}

void windows_disconnect(struct windows *ws)
{
    ws->server = NULL;
}

static struct window *window_at(struct windows *ws, uint64_t addr)
{
    for (struct window *w = ws->list; w; w = w->next)
        if (addr - w->at.base < VIRTIO_MMIO_BYTES)
            return w;
    return NULL;
}

bool windows_read(struct windows *ws, uint64_t addr, unsigned bytes, uint64_t *value)
{
    struct window *w = window_at(ws, addr);

    if (w)
        *value = virtio_mmio_read(w->transport, (unsigned)(addr - w->at.base), bytes);
    return w != NULL;
}

bool windows_write(struct windows *ws, uint64_t addr, unsigned bytes, uint64_t value)
{
    struct window *w = window_at(ws, addr);

    if (w)
        virtio_mmio_write(w->transport, (unsigned)(addr - w->at.base), bytes, value);
    return w != NULL;
}

const struct windows_stats *windows_get_stats(const struct windows *ws)
{
    return &ws->stats;
}

int windows_create(struct xen_handles *xen, uint16_t domid, struct windows **out)
{
    struct windows *ws = calloc(1, sizeof(*ws));

    if (!ws)
        return -ENOMEM;
    *ws = (struct windows){.xen = xen, .domid = domid};
    *out = ws;
    return 0;
}

void windows_destroy(struct windows *ws)
{
    if (!ws)
        return;
    while (ws->list)
        windows_detach(ws, &ws->list->at);
    free(ws);
}
