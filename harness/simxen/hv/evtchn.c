/* SPDX-License-Identifier: MIT */
/*
 * Event channels, with the semantics of Xen's EVTCHNOPs and of Linux's evtchn driver in front.
 */
#include "simxen/hv/hv.h"
#include "util/mutant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

/* Ticks that a token may be missing before it is taken for lost: a reader that has taken its token
 * and not yet its port looks the same for an instant. */
#define TICKS_TO_LOSE 3

static bool deliverable(const struct sim_port *p)
{
    return (atomic_load(&p->word) & (SIM_PORT_PENDING | SIM_PORT_MASKED)) == SIM_PORT_PENDING;
}

static void token_put(const struct hv_handle *h)
{
    static const uint64_t one = 1;

    if (write(h->efd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        hv_log("event channel handle %u: token refused", h->id);
}

/* Without blocking, whatever the owner made of the shared file description. */
static void token_take(const struct hv_handle *h)
{
    uint64_t one;
    struct iovec iov = {.iov_base = &one, .iov_len = sizeof(one)};

    if (preadv2(h->efd, &iov, 1, -1, RWF_NOWAIT) < 0 && errno != EAGAIN)
        hv_log("event channel handle %u: %s", h->id, strerror(errno));
}

struct hv_handle *evtchn_handle(struct hv *hv, uint32_t id)
{
    struct hv_handle *h;

    for (h = hv->handles; h && h->id != id; h = h->next)
        ;
    return h;
}

static void change_begin(struct hv_dom *d, uint32_t port)
{
    atomic_fetch_add(&d->c->ports[port].gen, 1);
}

/* Publish hv's copy and end the change. */
static void change_end(struct hv_dom *d, uint32_t port)
{
    struct sim_port *p = &d->c->ports[port];
    const struct hv_port *q = &d->ports[port];

    p->state = q->state;
    p->xen_consumer = q->xen_consumer;
    p->remote_domid = q->remote_domid;
    p->remote_port = q->remote_port;
    p->handle = q->handle;
    p->virq = q->virq;
    atomic_fetch_add(&p->gen, 1);
}

static void publish(struct hv_dom *d, uint32_t port)
{
    change_begin(d, port);
    change_end(d, port);
}

void evtchn_init(struct hv_dom *d)
{
    d->ports[0].state = SIM_PORT_RESERVED;
    publish(d, 0);
    evtchn_limit(d, UINT64_MAX);
}

void evtchn_limit(struct hv_dom *d, uint64_t left)
{
    uint32_t last = 0;

    while (last + 1 < SIM_PORTS_MAX && (left || d->ports[last + 1].state != SIM_PORT_FREE))
        left -= d->ports[++last].state == SIM_PORT_FREE;
    d->port_last = last;
}

static int port_alloc(struct hv_dom *d, uint32_t *port)
{
    uint32_t i;

    if (d->flags & SIM_DOM_DYING)
        return -EINVAL;
    for (i = 1; i <= d->port_last; i++) {
        if (d->ports[i].state != SIM_PORT_FREE)
            continue;
        atomic_store(&d->c->ports[i].word, 0);
        *port = i;
        return 0;
    }
    return -ENOSPC;
}

int evtchn_open(struct hv *hv, struct hv_proc *p, struct hv_handle **out)
{
    struct hv_handle *h = calloc(1, sizeof(*h));
    int rc;

    if (!h)
        return -ENOMEM;
    h->efd = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
    if (h->efd < 0) {
        rc = -errno;
        free(h);
        return rc;
    }
    h->id = ++hv->last_handle;
    h->proc = p;
    h->restrict_domid = DOMID_INVALID;
    h->next = hv->handles;
    hv->handles = h;
    *out = h;
    return 0;
}

void evtchn_close_handle(struct hv *hv, struct hv_handle *h)
{
    struct hv_dom *d = domain_find(hv, h->proc->domid);
    struct hv_handle **at;
    uint32_t port;

    if (MUTANT(sim_dead_process_keeps_its_ports) && h->proc->dead)
        d = NULL;
    for (port = 1; d && port < SIM_PORTS_MAX; port++)
        if (d->ports[port].state != SIM_PORT_FREE && !d->ports[port].xen_consumer &&
            (d->ports[port].handle == h->id ||
             (MUTANT(sim_death_takes_siblings_ports) && h->proc->dead && d->ports[port].handle)))
            evtchn_close(hv, d, port);
    for (at = &hv->handles; *at != h; at = &(*at)->next)
        ;
    *at = h->next;
    close(h->efd);
    free(h);
}

int evtchn_alloc_unbound(struct hv_dom *d, uint16_t remote, uint32_t handle, uint32_t *port)
{
    int rc = port_alloc(d, port);

    if (rc)
        return rc;
    d->ports[*port] =
        (struct hv_port){.state = SIM_PORT_UNBOUND, .remote_domid = remote, .handle = handle};
    publish(d, *port);
    return 0;
}

int evtchn_alloc_xen(struct hv_dom *d, uint32_t vcpu, uint16_t remote, uint32_t *port)
{
    int rc = port_alloc(d, port);

    if (rc)
        return rc;
    d->ports[*port] = (struct hv_port){
        .state = SIM_PORT_UNBOUND, .remote_domid = remote, .handle = vcpu, .xen_consumer = true};
    publish(d, *port);
    return 0;
}

int evtchn_bind_interdomain(struct hv *hv, struct hv_dom *d, struct hv_dom *rd, uint64_t rport,
                            uint32_t handle, uint32_t *port)
{
    struct hv_port *q;
    int rc = port_alloc(d, port);

    if (rc)
        return rc;
    if (rport >= SIM_PORTS_MAX)
        return -EINVAL;
    q = &rd->ports[rport];
    if (q->state != SIM_PORT_UNBOUND && !MUTANT(sim_evtchn_binds_to_any_port))
        return -EINVAL;
    if (q->remote_domid != d->domid && !MUTANT(sim_evtchn_port_is_for_any_domain))
        return -EINVAL;

    change_begin(d, *port);
    change_begin(rd, (uint32_t)rport);
    d->ports[*port] = (struct hv_port){.state = SIM_PORT_INTERDOMAIN,
                                       .remote_domid = rd->domid,
                                       .remote_port = (uint32_t)rport,
                                       .handle = handle};
    q->state = SIM_PORT_INTERDOMAIN;
    q->remote_port = *port;
    change_end(rd, (uint32_t)rport);
    change_end(d, *port);
    /* What was sent to the unbound port may have been lost: Xen always sets the local one. */
    if (!MUTANT(sim_evtchn_bind_is_silent))
        evtchn_raise(hv, d, *port);
    return 0;
}

int evtchn_bind_virq(struct hv_dom *d, uint64_t virq, uint32_t handle, uint32_t *port)
{
    int rc;

    if (MUTANT(sim_evtchn_virq_wraps))
        virq %= HV_NR_VIRQS;
    if (virq >= HV_NR_VIRQS)
        return -EINVAL;
    if (d->virq_port[virq] && !MUTANT(sim_evtchn_virq_is_taken_over))
        return -EEXIST;
    rc = port_alloc(d, port);
    if (rc)
        return rc;
    d->ports[*port] =
        (struct hv_port){.state = SIM_PORT_VIRQ, .virq = (uint32_t)virq, .handle = handle};
    d->virq_port[virq] = *port;
    publish(d, *port);
    return 0;
}

int evtchn_claim(struct hv *hv, struct hv_dom *d, uint64_t port, struct hv_handle *h)
{
    struct hv_port *q;

    if (port >= SIM_PORTS_MAX)
        return -EINVAL;
    q = &d->ports[port];
    if (q->state == SIM_PORT_FREE || q->state == SIM_PORT_RESERVED || q->xen_consumer)
        return -EINVAL;
    if (q->handle)
        return -EBUSY;
    q->handle = h->id;
    publish(d, (uint32_t)port);
    /* Senders ask again who is behind their port. */
    if (q->state == SIM_PORT_INTERDOMAIN) {
        struct hv_dom *rd = domain_find(hv, q->remote_domid);

        if (rd)
            publish(rd, q->remote_port);
    }
    if (deliverable(&d->c->ports[port]))
        token_put(h);
    return 0;
}

void evtchn_close(struct hv *hv, struct hv_dom *d, uint32_t port)
{
    struct hv_port *q = &d->ports[port], *rq = NULL;
    struct hv_dom *rd = NULL;
    uint32_t rport = q->remote_port;

    if (q->state == SIM_PORT_FREE || q->state == SIM_PORT_RESERVED)
        return;
    if (q->state == SIM_PORT_INTERDOMAIN) {
        rd = domain_find(hv, q->remote_domid);
        rq = rd ? &rd->ports[rport] : NULL;
    }
    if (q->state == SIM_PORT_VIRQ)
        d->virq_port[q->virq] = 0;

    change_begin(d, port);
    if (rq)
        change_begin(rd, rport);
    if (!q->xen_consumer && q->handle && deliverable(&d->c->ports[port])) {
        struct hv_handle *h = evtchn_handle(hv, q->handle);

        if (h)
            token_take(h);
    }
    atomic_store(&d->c->ports[port].word, 0);
    memset(q, 0, sizeof(*q));
    change_end(d, port);
    if (!rq)
        return;
    rq->state = MUTANT(sim_evtchn_close_closes_both_ends) ? SIM_PORT_FREE : SIM_PORT_UNBOUND;
    rq->remote_domid = d->domid;
    rq->remote_port = 0;
    change_end(rd, rport);
    /* The sender may have died between the pending bit and its token. */
    if (!rq->xen_consumer && rq->handle) {
        struct hv_handle *h = evtchn_handle(hv, rq->handle);

        if (h)
            evtchn_check_later(hv, h);
    }
}

void evtchn_close_all(struct hv *hv, struct hv_dom *d)
{
    uint32_t port;

    for (port = 1; port < SIM_PORTS_MAX; port++)
        evtchn_close(hv, d, port);
}

void evtchn_wake_all(struct hv *hv, struct hv_dom *d)
{
    const struct hv_handle *h;

    for (h = hv->handles; h; h = h->next)
        if (h->proc->domid == d->domid)
            token_put(h);
}

int evtchn_kick_fd(struct hv *hv, struct hv_dom *d, uint32_t port)
{
    const struct hv_port *q = &d->ports[port];
    struct hv_handle *h;

    if (q->xen_consumer)
        return domain_vcpu_fd(d, q->handle, 0);
    h = q->handle ? evtchn_handle(hv, q->handle) : NULL;
    if (h && MUTANT(sim_evtchn_newest_handle_gets_all)) {
        struct hv_proc *owner = h->proc;

        for (h = hv->handles; h->proc != owner; h = h->next)
            ;
    }
    return h ? h->efd : -1;
}

void evtchn_raise(struct hv *hv, struct hv_dom *d, uint32_t port)
{
    static const uint64_t one = 1;
    struct sim_port *p = &d->c->ports[port];
    int fd = evtchn_kick_fd(hv, d, port);

    if (!d->ports[port].xen_consumer &&
        (atomic_fetch_or(&p->word, SIM_PORT_PENDING) & (SIM_PORT_PENDING | SIM_PORT_MASKED)))
        return;
    if (fd >= 0 && write(fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        hv_log("domain %u port %u: token refused", d->domid, port);
}

void evtchn_send(struct hv *hv, struct hv_dom *d, uint32_t port)
{
    const struct hv_port *q;
    struct hv_dom *rd;

    if (port >= SIM_PORTS_MAX)
        return;
    q = &d->ports[port];
    if (q->state != SIM_PORT_INTERDOMAIN)
        return;
    rd = domain_find(hv, q->remote_domid);
    if (rd)
        evtchn_raise(hv, rd, q->remote_port);
}

void evtchn_global_virq(struct hv *hv, unsigned virq)
{
    struct hv_dom *dom0 = domain_find(hv, 0);

    if (dom0 && dom0->virq_port[virq])
        evtchn_raise(hv, dom0, dom0->virq_port[virq]);
}

void evtchn_check_later(struct hv *hv, struct hv_handle *h)
{
    h->check = true;
    h->missing = 0;
    hv_tick_later(hv);
}

/* -1 when the kernel does not tell. */
static long long eventfd_count(int fd)
{
    unsigned long long n = 0;
    char path[64], line[128];
    long long count = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    f = fopen(path, "re");
    if (!f)
        return -1;
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "eventfd-count: %llx", &n) == 1)
            count = (long long)n;
    fclose(f);
    return count;
}

/*
 * Tokens that a sender owed and did not write, because it died or because the port changed hands
 * meanwhile, are written here, once they have been missing for some ticks.
 */
bool evtchn_check_tokens(struct hv *hv)
{
    struct hv_handle *h;
    bool left = false;

    for (h = hv->handles; h; h = h->next) {
        struct hv_dom *d = domain_find(hv, h->proc->domid);
        long long have, want = 0;
        uint32_t port;

        if (!h->check)
            continue;
        for (port = 1; d && port < SIM_PORTS_MAX; port++)
            if (d->ports[port].handle == h->id && !d->ports[port].xen_consumer &&
                deliverable(&d->c->ports[port]))
                want++;
        have = eventfd_count(h->efd);
        if (have < 0 || have >= want) {
            h->check = false;
            continue;
        }
        if (++h->missing < TICKS_TO_LOSE) {
            left = true;
            continue;
        }
        h->check = false;
        for (; have < want; have++)
            token_put(h);
    }
    return left;
}
