/* SPDX-License-Identifier: MIT */
/*
 * Sending an event without hv.
 *
 * Who is behind a port's far end changes seldom, so the eventfd to kick is fetched once and kept
 * with the port's generation; hv bumps the generation whenever the answer changes. The order is:
 * set PENDING, write the token, look at the generation again. When it moved in between, the token
 * may have gone to the former owner, and hv is asked to look (SIM_OP_EVT_SYNC).
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "simxen/core/internal.h"
#include "util/mutant.h"

struct target {
    bool known;
    int fd; /* -1: nobody to kick */
    uint32_t gen;
    uint8_t state, xen_consumer;
    uint16_t remote_domid;
    uint32_t remote_port;
    const struct sim_dom_ref *remote;
};

/* The own domain's ports, and for sim_evtchn_raise those of others. */
#define LOCKS 64
static struct target *targets;
static pthread_mutex_t target_locks[LOCKS];
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

void sim_evtchn_fork_child(void)
{
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    unsigned i;

    init_lock = fresh;
    for (i = 0; i < LOCKS; i++)
        target_locks[i] = fresh;
    /* Every cached answer came from the parent's session; the descriptors are shared files. */
    for (i = 0; targets && i < SIM_PORTS_MAX; i++) {
        if (targets[i].known && targets[i].fd >= 0)
            close(targets[i].fd);
        targets[i].known = false;
    }
}

static struct target *targets_get(void)
{
    struct target *t = __atomic_load_n(&targets, __ATOMIC_ACQUIRE);
    unsigned i;

    if (t)
        return t;
    pthread_mutex_lock(&init_lock);
    t = targets;
    if (!t) {
        t = calloc(SIM_PORTS_MAX, sizeof(*t));
        for (i = 0; t && i < LOCKS; i++)
            pthread_mutex_init(&target_locks[i], NULL);
        __atomic_store_n(&targets, t, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&init_lock);
    return t;
}

/* hv changes a port in microseconds; a bound keeps a dead hv from stopping us for ever. */
static uint32_t gen_stable(struct sim_port *p)
{
    uint32_t gen;
    unsigned i;

    for (i = 0; i < 100000; i++) {
        gen = atomic_load_explicit(&p->gen, memory_order_acquire);
        if (!(gen & 1))
            return gen;
        sched_yield();
    }
    return gen & ~1u;
}

static int target_refresh(struct target *t, struct sim_port *p, uint32_t port)
{
    unsigned tries;

    for (tries = 0; tries < 16; tries++) {
        struct sim_msg msg = {.op = SIM_OP_EVT_TARGET, .a = {port}};
        unsigned nfds = 1;
        int rc, fd = -1;
        uint32_t gen;

        if (t->known && t->fd >= 0)
            close(t->fd);
        t->known = false;
        t->fd = -1;

        rc = sim_call(&msg, &fd, &nfds);
        if (rc && rc != -EINVAL)
            return rc;
        gen = gen_stable(p);
        t->state = p->state;
        t->xen_consumer = p->xen_consumer;
        t->remote_domid = p->remote_domid;
        t->remote_port = p->remote_port;
        t->remote = NULL;
        atomic_thread_fence(memory_order_acquire);
        if ((!rc && gen != (uint32_t)msg.a[0]) ||
            gen != atomic_load_explicit(&p->gen, memory_order_relaxed)) {
            if (fd >= 0)
                close(fd);
            continue;
        }
        if (t->state == SIM_PORT_INTERDOMAIN && sim_dom_get(t->remote_domid, &t->remote))
            t->remote = NULL;
        /* hv knew of nobody at the far end, and there is somebody now: kept as it is, no event of
         * ours would ever wake him. */
        if (rc && t->remote)
            continue;
        t->gen = gen;
        t->fd = fd;
        t->known = true;
        return 0;
    }
    return -EAGAIN;
}

int sim_evtchn_send(uint32_t port)
{
    struct target *all, *t;
    const struct sim_dom_ref *self;
    struct sim_port *p, *rp;
    pthread_mutex_t *lock;
    bool moved = false;
    uint16_t rdom = 0;
    uint32_t rport = 0;
    int rc;

    if (port >= SIM_PORTS_MAX)
        return -EINVAL;
    rc = sim_dom_get(DOMID_SELF, &self);
    if (rc)
        return rc;
    all = targets_get();
    if (!all)
        return -ENOMEM;
    p = &self->dom->ports[port];
    t = &all[port];
    lock = &target_locks[port % LOCKS];

    pthread_mutex_lock(lock);
    if (!t->known || t->gen != atomic_load_explicit(&p->gen, memory_order_acquire)) {
        rc = target_refresh(t, p, port);
        if (rc)
            goto out;
    }
    if (t->state == SIM_PORT_UNBOUND) {
        if (MUTANT(sim_evtchn_unbound_is_not_connected))
            rc = -ENOTCONN;
        goto out;
    }
    if (t->state != SIM_PORT_INTERDOMAIN) {
        rc = -EINVAL;
        goto out;
    }
    rdom = t->remote_domid;
    rport = t->remote_port;
    if (!t->remote || rport >= SIM_PORTS_MAX)
        goto out;
    rp = &t->remote->dom->ports[rport];
    if (rp->xen_consumer) {
        if (t->fd >= 0)
            sim_eventfd_kick(t->fd);
    } else if (!(atomic_fetch_or(&rp->word, SIM_PORT_PENDING) &
                 (SIM_PORT_PENDING | SIM_PORT_MASKED) &
                 (MUTANT(sim_evtchn_every_notification_counts) ? 0 : ~0u)) &&
               t->fd >= 0) {
        sim_eventfd_kick(t->fd);
    }
    atomic_fetch_add_explicit(&self->dom->stats.notify, 1, memory_order_relaxed);
    moved = atomic_load(&p->gen) != t->gen;
out:
    pthread_mutex_unlock(lock);
    if (moved) {
        struct sim_msg msg = {.op = SIM_OP_EVT_SYNC, .a = {rdom, rport}};

        sim_call(&msg, NULL, NULL);
    }
    return rc;
}

int sim_evtchn_raise(const struct sim_dom_ref *d, uint32_t port)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_TARGET, .a = {port, 1, d->domid}};
    struct sim_port *p;
    unsigned nfds = 1;
    int rc, fd = -1;

    if (port >= SIM_PORTS_MAX)
        return -EINVAL;
    p = &d->dom->ports[port];
    rc = sim_call(&msg, &fd, &nfds);
    if (rc)
        return rc;
    if (p->xen_consumer) {
        if (fd >= 0)
            sim_eventfd_kick(fd);
    } else if (!(atomic_fetch_or(&p->word, SIM_PORT_PENDING) &
                 (SIM_PORT_PENDING | SIM_PORT_MASKED)) &&
               fd >= 0) {
        sim_eventfd_kick(fd);
    }
    if (fd >= 0)
        close(fd);
    if (atomic_load(&p->gen) != (uint32_t)msg.a[0]) {
        msg = (struct sim_msg){.op = SIM_OP_EVT_SYNC, .a = {d->domid, port}};
        sim_call(&msg, NULL, NULL);
    }
    return 0;
}
