/* SPDX-License-Identifier: MIT */
/* IOREQ servers: DMOPs and their errors as in Xen's common/ioreq.c. */

/* The public headers show the modes of buffered requests to tools only. */
#define __XEN_TOOLS__ 1

#include "simxen/hv/hv.h"
#include "util/mutant.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>

#define SENDING_NS 3000000000u

static void seq_begin(struct hv_dom *d)
{
    atomic_fetch_add(&d->c->ioserver_seq, 1);
}

static void seq_end(struct hv_dom *d)
{
    atomic_fetch_add(&d->c->ioserver_seq, 1);
}

/*
 * What Xen's domain_pause() around such a change does: every vCPU has sent what it is about to
 * send. The guest's scheduler may have taken the processor from it just there, for as long as it
 * likes on a busy machine; one that a debugger has stopped is not waited for without end.
 */
static void vcpus_have_sent(const struct hv_dom *d)
{
    uint64_t limit = evloop_now_ns() + SENDING_NS;
    struct pollfd end = {.fd = d->guest ? d->guest->pidfd : -1, .events = POLLIN};
    unsigned looks = 0;

    for (uint32_t v = 0; d->guest && v < d->nr_vcpus; v++) {
        while (atomic_load(&d->c->vcpus[v].sending)) {
            /* It has died: then it sends nothing. */
            if (++looks % 64 == 0 && (poll(&end, 1, 1) > 0 || evloop_now_ns() >= limit))
                return;
            sched_yield();
        }
    }
}

static bool may_serve(const struct hv_dom *self, const struct hv_dom *d)
{
    return (self != d || MUTANT(sim_domain_may_serve_itself)) && domain_controls(self, d);
}

/* Who may speak to an existing server: -EPERM, then -ENOENT, then -EPERM again. */
static int server_get(struct hv_dom *self, struct hv_dom *d, uint64_t id, struct sim_ioserver **out)
{
    if (!may_serve(self, d))
        return -EPERM;
    if (id >= SIM_IOSERVERS_MAX || !d->servers[id].used)
        return MUTANT(sim_ioreq_unknown_server_is_einval) ? -EINVAL : -ENOENT;
    *out = &d->c->ioservers[id];
    return (*out)->owner_domid == self->domid ? 0 : -EPERM;
}

/* The frame number may come back from the shared block: one beyond the file is frame 0. */
static void *frame_va(struct hv_dom *d, uint64_t frame)
{
    return d->mem + (frame < d->mem_bytes / SIM_PAGE ? frame : 0) * SIM_PAGE;
}

static void close_port(struct hv *hv, struct hv_dom *d, uint32_t port)
{
    if (port && port < SIM_PORTS_MAX && d->ports[port].xen_consumer)
        evtchn_close(hv, d, port);
}

static void close_ports(struct hv *hv, struct hv_dom *d, struct sim_ioserver *s)
{
    uint32_t v;

    for (v = 0; v < d->nr_vcpus; v++)
        close_port(hv, d, s->vcpu_port[v]);
    close_port(hv, d, s->bufioreq_port);
}

static unsigned slot_take(struct hv_dom *d)
{
    unsigned i, slot = d->next_slot;
    bool taken = true;

    while (taken) {
        taken = false;
        for (i = 0; i < SIM_IOSERVERS_MAX; i++)
            taken |= d->servers[i].used && d->servers[i].slot == slot;
        if (taken)
            slot = (slot + 1) % HV_IO_SLOTS;
    }
    d->next_slot = (slot + 1) % HV_IO_SLOTS;
    return slot;
}

int ioserver_create(struct hv *hv, struct hv_dom *self, struct hv_dom *d, uint64_t mode, pid_t pid,
                    uint64_t *id)
{
    struct sim_ioserver *s;
    struct hv_ioserver *h;
    uint32_t v, port = 0;
    int rc = 0;

    if (!may_serve(self, d))
        return -EPERM;
    /* Dom0 of x86 is a PV domain, which has no device models (dm_op() of xen/arch/x86/hvm/dm.c). */
    if (d->domid == 0 && d->arch == SIM_ARCH_X86 && !self->outside)
        return -EINVAL;
    if (d->arch != SIM_ARCH_X86 && mode)
        return -EINVAL;
    if (mode > HVM_IOREQSRV_BUFIOREQ_ATOMIC && !MUTANT(sim_ioreq_takes_any_ring_mode))
        return -EINVAL;
    for (*id = 0; *id < SIM_IOSERVERS_MAX && d->servers[*id].used; ++*id)
        ;
    if (MUTANT(sim_ioreq_id_is_the_highest_free) && *id < SIM_IOSERVERS_MAX)
        for (*id = SIM_IOSERVERS_MAX - 1; d->servers[*id].used; --*id)
            ;
    if (*id == SIM_IOSERVERS_MAX - (MUTANT(sim_ioreq_servers_are_seven) ? 1 : 0))
        return -ENOSPC;
    h = &d->servers[*id];
    s = &d->c->ioservers[*id];

    seq_begin(d);
    memset(s, 0, sizeof(*s));
    for (v = 0; v < d->nr_vcpus && !rc; v++) {
        rc = evtchn_alloc_xen(d, v, self->domid, &port);
        if (!rc)
            s->vcpu_port[v] = port;
        if (!rc && v == 0 && mode != HVM_IOREQSRV_BUFIOREQ_OFF) {
            rc = evtchn_alloc_xen(d, 0, self->domid, &port);
            if (!rc)
                s->bufioreq_port = port;
        }
    }
    if (rc) {
        close_ports(hv, d, s);
        memset(s, 0, sizeof(*s));
        seq_end(d);
        return rc;
    }
    *h = (struct hv_ioserver){
        .used = true, .creator = pid, .slot = slot_take(d), .gfn_index = {-1, -1}};
    s->bufioreq = (uint8_t)mode;
    s->owner_domid = self->domid;
    s->sync_frame = d->io_frame0 + UINT64_C(2) * h->slot;
    s->sync_frames = 1;
    memset(frame_va(d, s->sync_frame), 0, SIM_PAGE);
    if (MUTANT(sim_ioreq_ports_are_there_at_once))
        ((shared_iopage_t *)frame_va(d, s->sync_frame))->vcpu_ioreq[0].vp_eport = s->vcpu_port[0];
    if (mode != HVM_IOREQSRV_BUFIOREQ_OFF) {
        s->buf_frame = s->sync_frame + 1;
        memset(frame_va(d, s->buf_frame), 0, SIM_PAGE);
    }
    if (++hv->last_server_gen == 0)
        hv->last_server_gen = 1;
    s->gen = hv->last_server_gen;
    seq_end(d);
    return 0;
}

static void server_free(struct hv *hv, struct hv_dom *d, unsigned id)
{
    struct hv_ioserver *h = &d->servers[id];
    struct sim_ioserver *s = &d->c->ioservers[id];
    unsigned i;

    seq_begin(d);
    close_ports(hv, d, s);
    memset(s, 0, sizeof(*s));
    for (i = 0; i < 2; i++)
        if (h->gfn_index[i] >= 0)
            d->gfns_used &= (uint8_t) ~(1u << h->gfn_index[i]);
    memset(h, 0, sizeof(*h));
    seq_end(d);
    vcpus_have_sent(d);
}

int ioserver_destroy(struct hv *hv, struct hv_dom *self, struct hv_dom *d, uint64_t id)
{
    struct sim_ioserver *s;
    int rc = server_get(self, d, id, &s);

    if (!rc)
        server_free(hv, d, (unsigned)id);
    return rc;
}

void ioserver_destroy_all(struct hv *hv, struct hv_dom *d)
{
    unsigned i;

    for (i = 0; i < SIM_IOSERVERS_MAX; i++)
        if (d->servers[i].used)
            server_free(hv, d, i);
}

static int gfn_take(struct hv_dom *d, int *index, uint64_t *gfn, uint64_t *frame)
{
    int i;

    for (i = 0; i < (int)HV_IOREQ_GFNS && (d->gfns_used & (1u << i)); i++)
        ;
    if (i == (int)HV_IOREQ_GFNS)
        return -ENOMEM;
    *gfn = d->c->hvm_params[HVM_PARAM_IOREQ_SERVER_PFN] + (uint64_t)i;
    if (domain_gfn_to_frame(d, *gfn, frame))
        return -ENOMEM;
    d->gfns_used |= (uint8_t)(1u << i);
    *index = i;
    return 0;
}

int ioserver_gfns(struct hv_dom *self, struct hv_dom *d, uint64_t id, uint64_t gfns[2])
{
    struct sim_ioserver *s;
    int index[2] = {-1, -1};
    uint64_t gfn[2] = {0, 0}, frame[2] = {0, 0};
    int rc = server_get(self, d, id, &s);

    if (rc)
        return rc;
    /* On Arm there are no such gfns: the pages are reached as a resource only. */
    if (d->arch != SIM_ARCH_X86)
        return -EOPNOTSUPP;
    if (!s->sync_gfn) {
        if (atomic_load(&s->resource_used) && !MUTANT(sim_ioreq_gfns_beside_the_resource))
            return -EPERM;
        if (d->flags & SIM_DOM_DYING)
            return -EINVAL;
        rc = gfn_take(d, &index[0], &gfn[0], &frame[0]);
        if (!rc && s->buf_frame)
            rc = gfn_take(d, &index[1], &gfn[1], &frame[1]);
        if (rc) {
            if (index[0] >= 0)
                d->gfns_used &= (uint8_t) ~(1u << index[0]);
            return rc;
        }
        seq_begin(d);
        memcpy(frame_va(d, frame[0]), frame_va(d, s->sync_frame), SIM_PAGE);
        s->sync_gfn = gfn[0];
        s->sync_frame = frame[0];
        d->servers[id].gfn_index[0] = index[0];
        if (s->buf_frame) {
            memcpy(frame_va(d, frame[1]), frame_va(d, s->buf_frame), SIM_PAGE);
            s->buf_gfn = gfn[1];
            s->buf_frame = frame[1];
            d->servers[id].gfn_index[1] = index[1];
        }
        seq_end(d);
    }
    gfns[0] = s->sync_gfn;
    gfns[1] = s->buf_gfn;
    return 0;
}

/* Sorted, disjoint and with a gap between any two, as Xen's rangesets are. */
struct rangeset {
    struct sim_range *r;
    uint32_t *nr;
};

/* Index of the first range that ends at or after `at`. */
static uint32_t range_find(const struct rangeset *set, uint64_t at)
{
    uint32_t i;

    for (i = 0; i < *set->nr && set->r[i].end < at; i++)
        ;
    return i;
}

static int range_add(const struct rangeset *set, uint64_t start, uint64_t end)
{
    uint32_t i = range_find(set, start);
    bool left, right;

    if (i < *set->nr && set->r[i].start <= end)
        return MUTANT(sim_ioreq_overlap_is_taken) ? 0 : -EEXIST;
    left = i > 0 && set->r[i - 1].end == start - 1;
    right = i < *set->nr && end != UINT64_MAX && set->r[i].start == end + 1;
    if (left && right) {
        set->r[i - 1].end = set->r[i].end;
        memmove(&set->r[i], &set->r[i + 1], (*set->nr - i - 1) * sizeof(*set->r));
        --*set->nr;
    } else if (left) {
        set->r[i - 1].end = end;
    } else if (right) {
        set->r[i].start = start;
    } else {
        if (*set->nr == SIM_IORANGES_MAX - (MUTANT(sim_ioreq_ranges_are_255) ? 1 : 0))
            return -ENOMEM;
        memmove(&set->r[i + 1], &set->r[i], (*set->nr - i) * sizeof(*set->r));
        set->r[i] = (struct sim_range){start, end};
        ++*set->nr;
    }
    return 0;
}

static int range_remove(const struct rangeset *set, uint64_t start, uint64_t end)
{
    uint32_t i = range_find(set, start);
    struct sim_range *r = &set->r[i];

    if (i == *set->nr || r->start > start || r->end < end)
        return MUTANT(sim_ioreq_unmaps_what_is_not_mapped) ? 0 : -ENOENT;
    if (MUTANT(sim_mmio_unmapped_range_is_asked))
        return 0;
    if (r->start == start && r->end == end) {
        memmove(r, r + 1, (*set->nr - i - 1) * sizeof(*r));
        --*set->nr;
    } else if (r->start == start) {
        r->start = end + 1;
    } else if (r->end == end) {
        r->end = start - 1;
    } else {
        if (*set->nr == SIM_IORANGES_MAX)
            return -ENOMEM;
        memmove(r + 1, r, (*set->nr - i) * sizeof(*r));
        r[0].end = start - 1;
        r[1].start = end + 1;
        ++*set->nr;
    }
    return 0;
}

static int range_op(struct hv_dom *self, struct hv_dom *d, uint64_t id, uint64_t type,
                    uint64_t start, uint64_t end,
                    int (*op)(const struct rangeset *set, uint64_t start, uint64_t end))
{
    struct sim_ioserver *s;
    struct rangeset set;
    int rc;

    if (!may_serve(self, d))
        return -EPERM;
    if (start > end && MUTANT(sim_ioreq_range_may_run_backward)) {
        uint64_t last = start;

        start = end;
        end = last;
    }
    if (start > end)
        return -EINVAL;
    rc = server_get(self, d, id, &s);
    if (rc)
        return rc;
    if (type >= SIM_RANGE_TYPES)
        return -EINVAL;
    set = (struct rangeset){s->ranges[type], &s->nr_ranges[type]};
    if (*set.nr > SIM_IORANGES_MAX)
        return -ENOMEM;
    seq_begin(d);
    rc = op(&set, start, end);
    seq_end(d);
    return rc;
}

int ioserver_map(struct hv_dom *self, struct hv_dom *d, uint64_t id, uint64_t type, uint64_t start,
                 uint64_t end)
{
    for (unsigned i = 0; MUTANT(sim_ioreq_ranges_belong_to_one) && i < SIM_IOSERVERS_MAX; i++) {
        const struct sim_ioserver *s = &d->c->ioservers[i];

        if (i != id && type < SIM_RANGE_TYPES && s->nr_ranges[type] > 0 &&
            s->ranges[type][0].start <= end && s->ranges[type][0].end >= start)
            return -EEXIST;
    }
    return range_op(self, d, id, type, start, end, range_add);
}

int ioserver_unmap(struct hv_dom *self, struct hv_dom *d, uint64_t id, uint64_t type,
                   uint64_t start, uint64_t end)
{
    return range_op(self, d, id, type, start, end, range_remove);
}

int ioserver_state(struct hv_dom *self, struct hv_dom *d, uint64_t id, bool enabled)
{
    struct sim_ioserver *s;
    int rc = server_get(self, d, id, &s);
    shared_iopage_t *page;
    uint32_t v;

    if (rc || s->enabled == enabled)
        return rc;
    seq_begin(d);
    page = frame_va(d, s->sync_frame);
    /* Taking a page out of the guest's view, or putting it back, clears it. */
    if (s->sync_gfn)
        memset(page, 0, SIM_PAGE);
    for (v = 0; enabled && v < d->nr_vcpus; v++)
        page->vcpu_ioreq[v].vp_eport = s->vcpu_port[v];
    s->enabled = enabled;
    seq_end(d);
    if (!enabled)
        vcpus_have_sent(d);
    return 0;
}
