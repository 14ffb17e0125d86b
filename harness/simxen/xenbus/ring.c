/* SPDX-License-Identifier: MIT */
#include "simxen/xenbus/xenbus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <xen/hvm/params.h>

static int param(uint32_t index, uint64_t *value)
{
    struct sim_msg msg = {.op = SIM_OP_PARAM_GET, .a = {DOMID_SELF, index}};
    int rc = sim_call(&msg, NULL, NULL);

    *value = msg.a[0];
    return rc;
}

static void ring_event(struct evloop_fd *w, uint32_t events)
{
    struct bus *b = w->user;
    uint64_t token;
    int rc;

    if (read(w->fd, &token, sizeof(token)) != (ssize_t)sizeof(token))
        return;
    if (atomic_load(&b->self->dom->flags) & SIM_DOM_DYING) {
        evloop_stop(b->loop, 0);
        return;
    }
    /* Before the ring is looked at: what comes later brings another token. */
    atomic_store(&b->self->dom->ports[b->port].word, 0);
    rc = ring_pump(b);
    if (rc)
        bus_fail(b, rc);
    else
        bus_settle(b);
}

int ring_open(struct bus *b)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_OPEN};
    uint64_t gfn, port, frame;
    unsigned nfds = 1;
    void *base;
    int rc;

    rc = sim_dom_get(DOMID_SELF, &b->self);
    if (!rc)
        rc = param(HVM_PARAM_STORE_PFN, &gfn);
    if (!rc)
        rc = param(HVM_PARAM_STORE_EVTCHN, &port);
    if (!rc)
        rc = sim_gfn_to_frame(b->self->dom, gfn, 1u << SIM_REGION_SPECIAL, &frame);
    if (!rc)
        rc = sim_dom_memory(b->self, &base);
    if (rc)
        return rc;
    b->ring = (struct xenstore_domain_interface *)(void *)((char *)base + frame * SIM_PAGE);
    b->port = (uint32_t)port;

    rc = sim_call(&msg, &b->evt_fd, &nfds);
    if (rc)
        return rc;
    b->handle = (uint32_t)msg.a[0];
    if (fcntl(b->evt_fd, F_SETFL, O_NONBLOCK))
        return -errno;
    msg = (struct sim_msg){.op = SIM_OP_EVT_CLAIM, .a = {b->handle, port}};
    rc = sim_call(&msg, NULL, NULL);
    if (rc)
        return rc;
    b->evt_watch = (struct evloop_fd){.fd = b->evt_fd, .ready = ring_event, .user = b};
    return evloop_add(b->loop, &b->evt_watch, EPOLLIN);
}

void ring_close(struct bus *b)
{
    if (b->evt_fd >= 0)
        close(b->evt_fd);
    queue_fini(&b->out);
}

static uint32_t load(const XENSTORE_RING_IDX *at)
{
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void store(XENSTORE_RING_IDX *at, uint32_t v)
{
    __atomic_store_n(at, v, __ATOMIC_RELEASE);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int ring_write(struct bus *b, bool *moved)
{
    uint32_t cons = load(&b->ring->req_cons), prod = load(&b->ring->req_prod);

    if (prod - cons > XENSTORE_RING_SIZE)
        return -EIO;
    while (b->out.len && prod - cons < XENSTORE_RING_SIZE) {
        size_t at = MASK_XENSTORE_IDX(prod);
        size_t n = smaller(XENSTORE_RING_SIZE - at, XENSTORE_RING_SIZE - (prod - cons));

        n = smaller(n, b->out.len);
        memcpy(b->ring->req + at, queue_head(&b->out), n);
        queue_drop(&b->out, n);
        prod += (uint32_t)n;
        *moved = true;
    }
    store(&b->ring->req_prod, prod);
    return 0;
}

static int ring_read(struct bus *b, bool *moved)
{
    uint32_t cons = load(&b->ring->rsp_cons), prod = load(&b->ring->rsp_prod);

    if (prod - cons > XENSTORE_RING_SIZE)
        return -EIO;
    while (prod != cons) {
        size_t at = MASK_XENSTORE_IDX(cons);
        size_t n = smaller(XENSTORE_RING_SIZE - at, prod - cons);
        size_t want = sizeof(b->in.hdr);

        if (b->have >= want) {
            if (b->in.hdr.len > XENSTORE_PAYLOAD_MAX)
                return -EIO;
            want += b->in.hdr.len;
        }
        n = smaller(n, want - b->have);
        memcpy((char *)&b->in + b->have, b->ring->rsp + at, n);
        b->have += n;
        cons += (uint32_t)n;
        *moved = true;
        if (b->have >= sizeof(b->in.hdr) && b->in.hdr.len > XENSTORE_PAYLOAD_MAX)
            return -EIO;
        if (b->have >= sizeof(b->in.hdr) && b->have == sizeof(b->in.hdr) + b->in.hdr.len) {
            b->have = 0;
            bus_response(b, &b->in);
        }
    }
    store(&b->ring->rsp_cons, cons);
    return 0;
}

int ring_pump(struct bus *b)
{
    bool moved = false;
    int rc = ring_read(b, &moved);

    if (!rc)
        rc = ring_write(b, &moved);
    if (!rc && moved)
        rc = sim_evtchn_send(b->port);
    return rc;
}
