/* SPDX-License-Identifier: MIT */
#include "xen/libxen.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"
#include "xen/ioreq.h"
#include "xen/ioreq_slot.h"

#define SLOTS_PER_PAGE (XEN_PAGE_BYTES / sizeof(struct ioreq_slot))

struct ioreq_server {
    struct ioreq_config config;
    ioservid_t id;
    bool exists, enabled, adopted, watching;

    xenforeignmemory_resource_handle *sync_res, *buf_res;
    struct ioreq_slot *slots;       /* shared with Xen */
    struct buffered_iopage *buffer; /* shared with Xen; NULL without */

    evtchn_port_t *local; /* a port a vCPU, 0: not bound */
    evtchn_port_t buffer_port;

    struct evloop_fd watch;
    struct ioreq_memory memory;
    struct ioreq_stats stats;
};

/* Guest memory for a repeated access: mapped for the moment. */
static int memory_copy(void *ctx, uint64_t gpa, void *buffer, uint32_t bytes, bool to_guest)
{
    struct ioreq_server *s = ctx;
    /* POINTER_CHUNK_BYTES spans two pages at most. */
    xen_pfn_t gfns[2];
    int errors[2] = {0};
    uint64_t offset = gpa & (XEN_PAGE_BYTES - 1);
    size_t pages = xen_pages_spanned((uint32_t)offset, bytes);
    char *base;
    int rc = 0;

    if (range_wraps(gpa, bytes) || pages > ARRAY_LENGTH(gfns))
        return -EFAULT;
    for (size_t i = 0; i < pages; i++)
        gfns[i] = (gpa >> XEN_PAGE_SHIFT_BITS) + i;
    base = xenforeignmemory_map(s->config.xen->foreign, s->config.domid,
                                to_guest ? PROT_READ | PROT_WRITE : PROT_READ, pages, gfns, errors);
    if (!base)
        return xen_map_error(errno);
    for (size_t i = 0; i < pages; i++)
        if (errors[i])
            rc = -EFAULT;
    if (!rc && to_guest)
        memcpy(base + offset, buffer, bytes);
    else if (!rc)
        memcpy(buffer, base + offset, bytes);
    (void)xenforeignmemory_unmap(s->config.xen->foreign, base, pages);
    return rc;
}

/* ---- the buffered ring: 511 slots, a request of 8 bytes takes two ---- */

/*
 * Xen's writes of the pointers are ordered so that a slot is valid once write_pointer covers it.
 * Xen also subtracts multiples of the ring's size from both at once, so read_pointer is advanced
 * by an atomic addition (HVM_IOREQSRV_BUFIOREQ_ATOMIC).
 */
static void drain_buffer(struct ioreq_server *s)
{
    struct buffered_iopage *b = s->buffer;

    if (!b)
        return;
    /* A full ring is the most that one event stands for; more brings its own event. */
    for (unsigned budget = IOREQ_BUFFER_SLOT_NUM; budget > 0;) {
        union {
            struct {
                uint32_t read, write;
            } p;
            uint64_t both;
        } at;
        struct ioreq_slot req = {.count = 1};
        buf_ioreq_t item;
        unsigned used = 1;
        uint32_t waiting;

        at.both = __atomic_load_n((uint64_t *)(void *)b, __ATOMIC_ACQUIRE);
        waiting = at.p.write - at.p.read;
        if (waiting == 0)
            return;
        item = *(volatile buf_ioreq_t *)&b->buf_ioreq[at.p.read % IOREQ_BUFFER_SLOT_NUM];
        req.addr = item.addr;
        req.data = item.data;
        req.size = 1u << item.size;
        req.type = item.type;
        req.flags = item.dir ? IOREQ_SLOT_READ : 0;
        if (req.size == 8) {
            if (waiting < 2)
                return;
            item = *(volatile buf_ioreq_t *)&b->buf_ioreq[(at.p.read + 1) % IOREQ_BUFFER_SLOT_NUM];
            req.data |= (uint64_t)item.data << 32;
            used = 2;
        }
        (void)__atomic_fetch_add(&b->read_pointer, used, __ATOMIC_ACQ_REL);
        budget -= used < budget ? used : budget;
        s->stats.buffered++;
        /* Nobody waits for a buffered request: a read makes no sense. */
        if (!(req.flags & IOREQ_SLOT_READ))
            (void)ioreq_slot_perform(&req, s->config.ops, s->config.ctx, &s->memory, &s->stats);
    }
}

/* ---- the synchronous slots ---- */

static void notify_vcpu(struct ioreq_server *s, unsigned vcpu)
{
    if (s->local[vcpu])
        (void)xenevtchn_notify(s->config.xen->evtchn, s->local[vcpu]);
}

/* Answer the request of one slot, if there is one in `states` (bits 1 << STATE_*). */
static bool serve_slot(struct ioreq_server *s, unsigned vcpu, unsigned states)
{
    struct ioreq_slot *slot = &s->slots[vcpu];
    uint8_t flags = __atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE);
    struct ioreq_slot req;
    uint64_t data;

    if (!(states & 1u << (flags & IOREQ_SLOT_STATE)))
        return false;
    memcpy(&req, slot, sizeof(req));
    req.flags = flags;
    flags &= (uint8_t)~IOREQ_SLOT_STATE;
    __atomic_store_n(&slot->flags, flags | STATE_IOREQ_INPROCESS, __ATOMIC_RELAXED);

    data = ioreq_slot_perform(&req, s->config.ops, s->config.ctx, &s->memory, &s->stats);
    if (vcpu > 0 && MUTANT(ioreq_data_of_vcpu0))
        data = __atomic_load_n(&s->slots[0].data, __ATOMIC_RELAXED);
    if ((req.flags & IOREQ_SLOT_READ) && !(req.flags & IOREQ_SLOT_POINTER))
        __atomic_store_n(&slot->data, data, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->flags, flags | STATE_IORESP_READY, __ATOMIC_RELEASE);
    notify_vcpu(s, vcpu);
    return true;
}

static bool serve_all(struct ioreq_server *s, unsigned states)
{
    unsigned vcpus = MUTANT(ioreq_only_vcpu0) ? 1 : s->config.vcpus;
    bool any = false;

    drain_buffer(s);
    for (unsigned v = 0; v < vcpus; v++)
        any = serve_slot(s, v, states) || any;
    return any;
}

static void event_ready(struct evloop_fd *w, uint32_t epoll_events)
{
    struct ioreq_server *s = w->user;
    xenevtchn_port_or_error_t port = xenevtchn_pending(s->config.xen->evtchn);

    if (port < 0)
        return;
    s->stats.events++;
    /* Before the slots are looked at, so that a request that comes meanwhile makes an event. */
    (void)xenevtchn_unmask(s->config.xen->evtchn, (evtchn_port_t)port);
    serve_all(s, 1u << STATE_IOREQ_READY);
}

/* ---- setting up ---- */

static int map_pages(struct ioreq_server *s)
{
    const struct ioreq_config *c = &s->config;
    unsigned long pages = (c->vcpus + SLOTS_PER_PAGE - 1) / SLOTS_PER_PAGE;
    void *addr = NULL;

    s->sync_res = xenforeignmemory_map_resource(
        c->xen->foreign, c->domid, XENMEM_resource_ioreq_server, s->id,
        XENMEM_resource_ioreq_server_frame_ioreq(0), pages, &addr, PROT_READ | PROT_WRITE, 0);
    if (!s->sync_res)
        return xen_error();
    s->slots = addr;
    if (!c->buffered)
        return 0;
    addr = NULL;
    s->buf_res = xenforeignmemory_map_resource(
        c->xen->foreign, c->domid, XENMEM_resource_ioreq_server, s->id,
        XENMEM_resource_ioreq_server_frame_bufioreq, 1, &addr, PROT_READ | PROT_WRITE, 0);
    if (!s->buf_res)
        return xen_error();
    s->buffer = addr;
    return 0;
}

/* Bind every port that Xen has made and that is not bound yet. Xen makes them when a server is
 * enabled for the first time, so an adopted one usually has them. */
static int bind_ports(struct ioreq_server *s)
{
    const struct ioreq_config *c = &s->config;

    for (unsigned v = 0; v < c->vcpus; v++) {
        evtchn_port_t remote = __atomic_load_n(&s->slots[v].vp_eport, __ATOMIC_RELAXED);
        xenevtchn_port_or_error_t port;

        if (s->local[v] || !remote)
            continue;
        port = xenevtchn_bind_interdomain(c->xen->evtchn, c->domid, remote);
        if (port < 0)
            return xen_error();
        s->local[v] = (evtchn_port_t)port;
    }
    if (c->buffered && !s->buffer_port) {
        evtchn_port_t remote;
        xenevtchn_port_or_error_t port;

        if (xendevicemodel_get_ioreq_server_info(c->xen->dm, c->domid, s->id, NULL, NULL, &remote))
            return xen_error();
        port = xenevtchn_bind_interdomain(c->xen->evtchn, c->domid, remote);
        if (port < 0)
            return xen_error();
        s->buffer_port = (evtchn_port_t)port;
    }
    return 0;
}

static void release(struct ioreq_server *s)
{
    xenforeignmemory_handle *foreign = s->config.xen->foreign;
    xenevtchn_handle *evtchn = s->config.xen->evtchn;

    if (s->watching)
        evloop_del(s->config.loop, &s->watch);
    for (unsigned v = 0; s->local && v < s->config.vcpus; v++)
        if (s->local[v])
            (void)xenevtchn_unbind(evtchn, s->local[v]);
    if (s->buffer_port)
        (void)xenevtchn_unbind(evtchn, s->buffer_port);
    if (s->buf_res)
        (void)xenforeignmemory_unmap_resource(foreign, s->buf_res);
    if (s->sync_res)
        (void)xenforeignmemory_unmap_resource(foreign, s->sync_res);
    if (s->exists && !MUTANT(ioreq_server_left_behind))
        (void)xendevicemodel_destroy_ioreq_server(s->config.xen->dm, s->config.domid, s->id);
    free(s->local);
    free(s);
}

int ioreq_server_create(const struct ioreq_config *config, struct ioreq_server **out)
{
    xendevicemodel_handle *dm = config->xen->dm;
    struct ioreq_server *s;
    int rc;

    if (config->vcpus == 0)
        return -EINVAL;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->config = *config;
    s->watch = (struct evloop_fd){
        .fd = xenevtchn_fd(config->xen->evtchn), .ready = event_ready, .user = s};
    s->memory = (struct ioreq_memory){.copy = memory_copy, .ctx = s};
    s->local = calloc(config->vcpus, sizeof(*s->local));
    if (!s->local) {
        rc = -ENOMEM;
        goto fail;
    }
    if (config->adopt_id != IOREQ_ADOPT_NONE && !MUTANT(ioreq_predecessor_ignored)) {
        evtchn_port_t port;

        s->id = (ioservid_t)config->adopt_id;
        s->adopted = true;
        /* Only asks whether it exists and is ours to control. */
        if (xendevicemodel_get_ioreq_server_info(dm, config->domid, s->id, NULL, NULL, &port)) {
            rc = xen_error();
            goto fail;
        }
    } else {
        int mode = config->buffered ? HVM_IOREQSRV_BUFIOREQ_ATOMIC : HVM_IOREQSRV_BUFIOREQ_OFF;

        if (xendevicemodel_create_ioreq_server(dm, config->domid, mode, &s->id)) {
            rc = errno == ENOSYS || errno == ENOTTY ? -EOPNOTSUPP : xen_error();
            goto fail;
        }
        s->exists = true;
    }
    rc = map_pages(s);
    if (rc)
        goto fail;
    if (s->adopted) {
        /* A port that another process has bound refuses: then that process lives, and the object
         * is its own. */
        rc = bind_ports(s);
        if (rc) {
            rc = rc == -EINVAL ? -EBUSY : rc;
            goto fail;
        }
    }
    if (MUTANT(ioreq_spare_server_left)) {
        ioservid_t spare;

        (void)xendevicemodel_create_ioreq_server(dm, config->domid, HVM_IOREQSRV_BUFIOREQ_OFF,
                                                 &spare);
    }
    /* From here on it is this process that ends the object, an adopted one too. */
    s->exists = true;
    *out = s;
    return 0;

fail:
    release(s);
    return rc;
}

void ioreq_server_destroy(struct ioreq_server *s)
{
    if (!s)
        return;
    /* Xen pauses the domain around the change: afterwards no new request can appear. */
    if (!MUTANT(ioreq_server_left_behind))
        (void)xendevicemodel_set_ioreq_server_state(s->config.xen->dm, s->config.domid, s->id, 0);
    if (s->slots)
        serve_all(s, 1u << STATE_IOREQ_READY | 1u << STATE_IOREQ_INPROCESS);
    release(s);
}

uint16_t ioreq_server_id(const struct ioreq_server *s)
{
    return s->id;
}

const struct ioreq_stats *ioreq_server_stats(const struct ioreq_server *s)
{
    return &s->stats;
}

/* ---- ranges ---- */

static int map_range(struct ioreq_server *s, uint64_t first, uint64_t last)
{
    if (xendevicemodel_map_io_range_to_ioreq_server(s->config.xen->dm, s->config.domid, s->id, 1,
                                                    first, last))
        return xen_error();
    return 0;
}

int ioreq_server_map_mmio_whole(struct ioreq_server *s, uint64_t first, uint64_t last)
{
    int rc = map_range(s, first, last);

    return rc == -EEXIST && s->adopted ? 0 : rc;
}

int ioreq_server_map_mmio(struct ioreq_server *s, uint64_t first, uint64_t last)
{
    int rc = map_range(s, first, last);

    if (rc != -EEXIST || !s->adopted)
        return rc;
    /*
     * The predecessor registered some of it. Xen tells neither which, nor lets overlapping ranges
     * in: add page by page what is missing.
     */
    for (uint64_t at = first; at >= first && at <= last;) {
        uint64_t end = at | (XEN_PAGE_BYTES - 1);

        if (end > last)
            end = last;
        rc = map_range(s, at, end);
        if (rc && rc != -EEXIST)
            return rc;
        if (end == UINT64_MAX)
            break;
        at = end + 1;
    }
    return 0;
}

int ioreq_server_unmap_mmio(struct ioreq_server *s, uint64_t first, uint64_t last)
{
    if (xendevicemodel_unmap_io_range_from_ioreq_server(s->config.xen->dm, s->config.domid, s->id,
                                                        1, first, last))
        return xen_error();
    return 0;
}

int ioreq_server_map_function(struct ioreq_server *s, sbdf_t at)
{
    if (xendevicemodel_map_pcidev_to_ioreq_server(s->config.xen->dm, s->config.domid, s->id,
                                                  sbdf_segment(at), sbdf_bus(at), sbdf_device(at),
                                                  sbdf_function(at))) {
        if (errno == EEXIST && s->adopted)
            return 0;
        return xen_error();
    }
    return 0;
}

int ioreq_server_unmap_function(struct ioreq_server *s, sbdf_t at)
{
    if (xendevicemodel_unmap_pcidev_from_ioreq_server(s->config.xen->dm, s->config.domid, s->id,
                                                      sbdf_segment(at), sbdf_bus(at),
                                                      sbdf_device(at), sbdf_function(at)))
        return xen_error();
    return 0;
}

/* ---- going live ---- */

/*
 * What a dead predecessor left: requests not begun, requests begun (a device's registers are safe
 * to access again: the device itself is new), and answers whose signal was never sent.
 */
static void replay(struct ioreq_server *s)
{
    for (unsigned v = 0; v < s->config.vcpus; v++) {
        uint8_t flags = __atomic_load_n(&s->slots[v].flags, __ATOMIC_ACQUIRE);

        if ((flags & IOREQ_SLOT_STATE) == STATE_IORESP_READY)
            notify_vcpu(s, v);
        else if (serve_slot(s, v, 1u << STATE_IOREQ_READY | 1u << STATE_IOREQ_INPROCESS))
            s->stats.replayed++;
    }
}

bool ioreq_server_lost(const struct ioreq_server *s)
{
    evtchn_port_t port;

    if (!xendevicemodel_get_ioreq_server_info(s->config.xen->dm, s->config.domid, s->id, NULL, NULL,
                                              &port))
        return false;
    return errno == ENOENT || errno == ESRCH;
}

int ioreq_server_enable(struct ioreq_server *s)
{
    int rc;

    assert(!s->enabled);
    if (xendevicemodel_set_ioreq_server_state(s->config.xen->dm, s->config.domid, s->id, 1))
        return xen_error();
    rc = bind_ports(s);
    if (rc)
        return rc;
    rc = evloop_add(s->config.loop, &s->watch, EPOLLIN);
    if (rc)
        return rc;
    s->watching = true;
    s->enabled = true;
    if (s->adopted)
        replay(s);
    else
        serve_all(s, 1u << STATE_IOREQ_READY);
    return 0;
}
