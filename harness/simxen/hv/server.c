/* SPDX-License-Identifier: MIT */
#include "simxen/hv/hv.h"
#include "util/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* One request on its way through. `self` is the caller's domain, NULL once it has gone. */
struct req {
    struct hv *hv;
    struct hv_proc *p;
    struct hv_dom *self;
    struct sim_msg *m;
    int fds[SIM_PROTO_FDS_MAX]; /* borrowed: sent beside the reply */
    unsigned nfds;
};

static int give_fd(struct req *r, int fd)
{
    if (fd < 0)
        return -EMFILE;
    r->fds[r->nfds++] = fd;
    return 0;
}

static struct hv_dom *dom_of(struct req *r, uint64_t domid)
{
    if (domid == DOMID_SELF)
        return r->self;
    return domid < DOMID_FIRST_RESERVED ? domain_find(r->hv, (uint16_t)domid) : NULL;
}

/* The domain of a control operation: the caller must be a control domain. */
static int dom_controlled(struct req *r, struct hv_dom **d)
{
    if (!r->self->privileged)
        return -EPERM;
    *d = dom_of(r, r->m->a[0]);
    return *d ? 0 : -ESRCH;
}

static int handle_of(struct req *r, struct hv_handle **h)
{
    *h = r->m->a[0] <= UINT32_MAX ? evtchn_handle(r->hv, (uint32_t)r->m->a[0]) : NULL;
    return *h && (*h)->proc == r->p ? 0 : -EBADF;
}

/* ---- domains ---- */

static int op_hello(struct req *r)
{
    int rc;

    if (r->m->a[1] != SIM_PROTO_VERSION)
        return -EPROTONOSUPPORT;
    if (r->m->a[0] >= DOMID_FIRST_RESERVED)
        return -ESRCH;
    rc = process_hello(r->hv, r->p, (uint16_t)r->m->a[0]);
    return rc ? rc : give_fd(r, r->p->track_fd);
}

static int op_dom_open(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);
    int rc;

    if (!d)
        return -ESRCH;
    r->m->a[0] = d->c_bytes;
    rc = give_fd(r, d->c_fd);
    return rc ? rc : give_fd(r, d->mem_fd);
}

static int op_gnt_recover(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);

    if (!d)
        return -ESRCH;
    gnttab_rebuild(r->hv, d);
    return 0;
}

static int op_gnt_grow(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);

    if (!d)
        return -ESRCH;
    if (d != r->self && !domain_controls(r->self, d))
        return -EPERM;
    return gnttab_grow(d, r->m->a[1], &r->m->a[0]);
}

static int op_poke(struct req *r)
{
    domain_reap(r->hv);
    return 0;
}

static int op_dom_create(struct req *r)
{
    uint16_t domid = 0;
    int rc;

    if (!r->self->privileged)
        return -EPERM;
    rc = domain_create(r->hv, &r->m->u.dom_config, false, &domid);
    r->m->a[0] = domid;
    return rc;
}

static int op_dom_destroy(struct req *r)
{
    struct hv_dom *d;
    int rc = dom_controlled(r, &d);

    return rc ? rc : domain_destroy(r->hv, d);
}

static int op_dom_pause(struct req *r)
{
    struct hv_dom *d;
    int rc = dom_controlled(r, &d);

    if (!rc && d == r->self)
        rc = -EINVAL;
    return rc ? rc : domain_pause(d);
}

static int op_dom_unpause(struct req *r)
{
    struct hv_dom *d;
    int rc = dom_controlled(r, &d);

    if (!rc && d == r->self)
        rc = -EINVAL;
    return rc ? rc : domain_unpause(d);
}

static int op_dom_shutdown(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);

    if (!d)
        return -ESRCH;
    if (d != r->self && !domain_controls(r->self, d))
        return -EPERM;
    if (r->m->a[1] > UINT8_MAX)
        return -EINVAL;
    domain_shutdown(r->hv, d, (uint32_t)r->m->a[1]);
    return 0;
}

static int op_dom_info(struct req *r)
{
    struct hv_dom *d;

    if (!r->self->privileged && r->m->a[0] != r->self->domid)
        return -EPERM;
    for (d = r->hv->doms; d && d->domid < r->m->a[0]; d = d->next)
        ;
    if (!d)
        return -ESRCH;
    domain_info(r->hv, d, &r->m->u.dom_info);
    return 0;
}

static int op_dom_target(struct req *r)
{
    struct hv_dom *d, *target;
    int rc = dom_controlled(r, &d);

    if (rc)
        return rc;
    target = dom_of(r, r->m->a[1]);
    return target ? domain_set_target(d, target) : -ESRCH;
}

static int op_dom_ports(struct req *r)
{
    struct hv_dom *d;
    int rc = dom_controlled(r, &d);

    if (!rc)
        evtchn_limit(d, r->m->a[1]);
    return rc;
}

static int op_param(struct req *r, bool set)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);
    uint64_t value = r->m->a[2];
    int rc;

    if (!d)
        return -ESRCH;
    rc = domain_param(r->self, d, r->m->a[1], set, &value);
    if (!rc && !set)
        r->m->a[0] = value;
    return rc;
}

static int op_param_get(struct req *r)
{
    return op_param(r, false);
}

static int op_param_set(struct req *r)
{
    return op_param(r, true);
}

static int op_guest_attach(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);
    int rc = d ? domain_guest_attach(d, r->p) : -ESRCH;

    return rc ? rc : give_fd(r, d->death_fd);
}

static int op_vcpu_fds(struct req *r)
{
    int rc;

    if (r->m->a[0] >= r->self->nr_vcpus)
        return -ENOENT;
    rc = give_fd(r, domain_vcpu_fd(r->self, (uint32_t)r->m->a[0], 0));
    return rc ? rc : give_fd(r, domain_vcpu_fd(r->self, (uint32_t)r->m->a[0], 1));
}

static int op_audit(struct req *r)
{
    if (r->m->a[0] > INT32_MAX)
        return -EINVAL;
    process_audit(r->hv, (pid_t)r->m->a[0], &r->m->u.audit);
    return 0;
}

static int op_quit(struct req *r)
{
    if (!r->self->privileged)
        return -EPERM;
    evloop_stop(r->hv->loop, 0);
    return 0;
}

/* ---- event channels ---- */

static int op_evt_open(struct req *r)
{
    struct hv_handle *h;
    int rc = evtchn_open(r->hv, r->p, &h);

    if (rc)
        return rc;
    r->m->a[0] = h->id;
    return give_fd(r, h->efd);
}

static int op_evt_close(struct req *r)
{
    struct hv_handle *h;
    int rc = handle_of(r, &h);

    if (!rc)
        evtchn_close_handle(r->hv, h);
    return rc;
}

/* A restricted handle reaches its one domain only, and gets no virq and no unbound port. */
static bool restricted(const struct hv_handle *h, uint64_t domid)
{
    return h->restrict_domid != DOMID_INVALID && h->restrict_domid != domid &&
           !MUTANT(sim_evtchn_restriction_is_ignored);
}

static int op_evt_unbound(struct req *r)
{
    uint64_t remote = r->m->a[1];
    struct hv_handle *h;
    uint32_t port = 0;
    int rc = handle_of(r, &h);

    if (rc)
        return rc;
    /* evtchn_ioctl asks whether there is a restriction, not to which domain. */
    if (h->restrict_domid != DOMID_INVALID && !MUTANT(sim_evtchn_restriction_is_ignored))
        return -EACCES;
    if (remote == DOMID_SELF)
        remote = r->self->domid;
    rc = evtchn_alloc_unbound(r->self, (uint16_t)remote, h->id, &port);
    r->m->a[0] = port;
    return rc;
}

static int op_evt_interdomain(struct req *r)
{
    struct hv_handle *h;
    struct hv_dom *rd;
    uint32_t port = 0;
    int rc = handle_of(r, &h);

    if (rc)
        return rc;
    if (restricted(h, r->m->a[1]))
        return -EACCES;
    rd = dom_of(r, r->m->a[1]);
    if (!rd)
        return MUTANT(sim_evtchn_no_domain_is_einval) ? -EINVAL : -ESRCH;
    rc = evtchn_bind_interdomain(r->hv, r->self, rd, r->m->a[2], h->id, &port);
    r->m->a[0] = port;
    return rc;
}

static int op_evt_virq(struct req *r)
{
    struct hv_handle *h;
    uint32_t port = 0;
    int rc = handle_of(r, &h);

    if (rc)
        return rc;
    if (h->restrict_domid != DOMID_INVALID)
        return -EACCES;
    rc = evtchn_bind_virq(r->self, r->m->a[1], h->id, &port);
    r->m->a[0] = port;
    return rc;
}

static int op_evt_unbind(struct req *r)
{
    struct hv_handle *h;
    int rc = handle_of(r, &h);

    if (rc)
        return rc;
    if (r->m->a[1] >= SIM_PORTS_MAX)
        return -EINVAL;
    if (r->self->ports[r->m->a[1]].xen_consumer ||
        (r->self->ports[r->m->a[1]].handle != h->id && !MUTANT(sim_evtchn_unbinds_any_port)))
        return -ENOTCONN;
    evtchn_close(r->hv, r->self, (uint32_t)r->m->a[1]);
    return 0;
}

static int op_evt_claim(struct req *r)
{
    struct hv_handle *h;
    int rc = handle_of(r, &h);

    return rc ? rc : evtchn_claim(r->hv, r->self, r->m->a[1], h);
}

static int op_evt_restrict(struct req *r)
{
    struct hv_handle *h;
    int rc = handle_of(r, &h);

    if (rc)
        return rc;
    if (h->restrict_domid != DOMID_INVALID)
        return -EACCES;
    if (r->m->a[1] == 0 || r->m->a[1] >= DOMID_FIRST_RESERVED)
        return -EINVAL;
    h->restrict_domid = (uint16_t)r->m->a[1];
    return 0;
}

static int op_evt_target(struct req *r)
{
    struct hv_dom *d = r->m->a[1] ? dom_of(r, r->m->a[2]) : r->self;
    uint64_t port = r->m->a[0];
    const struct hv_port *q;
    int fd;

    if (!d)
        return -ESRCH;
    if (port >= SIM_PORTS_MAX)
        return -EINVAL;
    q = &d->ports[port];
    r->m->a[0] = atomic_load(&d->c->ports[port].gen);
    if (!r->m->a[1]) {
        if (q->state != SIM_PORT_INTERDOMAIN)
            return -EINVAL;
        port = q->remote_port;
        d = domain_find(r->hv, q->remote_domid);
        if (!d)
            return -EINVAL;
    } else if (q->state == SIM_PORT_FREE) {
        return -EINVAL;
    }
    fd = evtchn_kick_fd(r->hv, d, (uint32_t)port);
    return fd >= 0 ? give_fd(r, fd) : 0;
}

static int op_evt_sync(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);
    struct hv_handle *h;

    if (!d || r->m->a[1] >= SIM_PORTS_MAX || d->ports[r->m->a[1]].xen_consumer)
        return 0;
    h = evtchn_handle(r->hv, d->ports[r->m->a[1]].handle);
    if (h)
        evtchn_check_later(r->hv, h);
    return 0;
}

/* ---- device models ---- */

static int op_dm_create(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);

    return d ? ioserver_create(r->hv, r->self, d, r->m->a[1], r->p->pid, &r->m->a[0]) : -ESRCH;
}

static int op_dm_destroy(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);

    return d ? ioserver_destroy(r->hv, r->self, d, r->m->a[1]) : -ESRCH;
}

static int op_dm_gfns(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);

    return d ? ioserver_gfns(r->self, d, r->m->a[1], r->m->a) : -ESRCH;
}

static int op_dm_map(struct req *r)
{
    const uint64_t *a = r->m->a;
    struct hv_dom *d = dom_of(r, a[0]);

    return d ? ioserver_map(r->self, d, a[1], a[2], a[3], a[4]) : -ESRCH;
}

static int op_dm_unmap(struct req *r)
{
    const uint64_t *a = r->m->a;
    struct hv_dom *d = dom_of(r, a[0]);

    return d ? ioserver_unmap(r->self, d, a[1], a[2], a[3], a[4]) : -ESRCH;
}

static int op_dm_state(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);

    return d ? ioserver_state(r->self, d, r->m->a[1], r->m->a[2] != 0) : -ESRCH;
}

static int op_dm_irq_fd(struct req *r)
{
    struct hv_dom *d = dom_of(r, r->m->a[0]);

    if (!d)
        return -ESRCH;
    if (d != r->self && !domain_controls(r->self, d))
        return -EPERM;
    if (r->m->a[1] >= d->nr_vcpus)
        return -EINVAL;
    return give_fd(r, domain_vcpu_fd(d, (uint32_t)r->m->a[1], 1));
}

/* ---- connections ---- */

static int (*const operations[])(struct req *r) = {
    [SIM_OP_HELLO] = op_hello,
    [SIM_OP_DOM_OPEN] = op_dom_open,
    [SIM_OP_GNT_RECOVER] = op_gnt_recover,
    [SIM_OP_GNT_GROW] = op_gnt_grow,
    [SIM_OP_POKE] = op_poke,
    [SIM_OP_EVT_OPEN] = op_evt_open,
    [SIM_OP_EVT_CLOSE] = op_evt_close,
    [SIM_OP_EVT_UNBOUND] = op_evt_unbound,
    [SIM_OP_EVT_INTERDOMAIN] = op_evt_interdomain,
    [SIM_OP_EVT_VIRQ] = op_evt_virq,
    [SIM_OP_EVT_UNBIND] = op_evt_unbind,
    [SIM_OP_EVT_CLAIM] = op_evt_claim,
    [SIM_OP_EVT_RESTRICT] = op_evt_restrict,
    [SIM_OP_EVT_TARGET] = op_evt_target,
    [SIM_OP_EVT_SYNC] = op_evt_sync,
    [SIM_OP_DM_CREATE] = op_dm_create,
    [SIM_OP_DM_DESTROY] = op_dm_destroy,
    [SIM_OP_DM_GFNS] = op_dm_gfns,
    [SIM_OP_DM_MAP] = op_dm_map,
    [SIM_OP_DM_UNMAP] = op_dm_unmap,
    [SIM_OP_DM_STATE] = op_dm_state,
    [SIM_OP_DM_IRQ_FD] = op_dm_irq_fd,
    [SIM_OP_DOM_CREATE] = op_dom_create,
    [SIM_OP_DOM_DESTROY] = op_dom_destroy,
    [SIM_OP_DOM_PAUSE] = op_dom_pause,
    [SIM_OP_DOM_UNPAUSE] = op_dom_unpause,
    [SIM_OP_DOM_SHUTDOWN] = op_dom_shutdown,
    [SIM_OP_DOM_INFO] = op_dom_info,
    [SIM_OP_DOM_TARGET] = op_dom_target,
    [SIM_OP_DOM_PORTS] = op_dom_ports,
    [SIM_OP_PARAM_GET] = op_param_get,
    [SIM_OP_PARAM_SET] = op_param_set,
    [SIM_OP_GUEST_ATTACH] = op_guest_attach,
    [SIM_OP_VCPU_FDS] = op_vcpu_fds,
    [SIM_OP_AUDIT] = op_audit,
    [SIM_OP_QUIT] = op_quit,
};

static int dispatch(struct req *r)
{
    uint32_t op = r->m->op;

    if (op >= sizeof(operations) / sizeof(operations[0]) || !operations[op])
        return -ENOSYS;
    if (op == SIM_OP_HELLO)
        return op_hello(r);
    if (!r->p->hello)
        return -EPROTO;
    r->self = domain_find(r->hv, r->p->domid);
    /* Whose domain has been destroyed can still say what it lets go. */
    if (!r->self && op != SIM_OP_POKE && op != SIM_OP_EVT_CLOSE)
        return -ESRCH;
    return operations[op](r);
}

static int reply(const struct req *r)
{
    union {
        struct cmsghdr hdr;
        char room[CMSG_SPACE(SIM_PROTO_FDS_MAX * sizeof(int))];
    } ctl;
    struct iovec iov = {.iov_base = r->m, .iov_len = sizeof(*r->m)};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *c;

    if (r->nfds) {
        memset(&ctl, 0, sizeof(ctl));
        mh.msg_control = &ctl;
        mh.msg_controllen = CMSG_SPACE(r->nfds * sizeof(int));
        c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(r->nfds * sizeof(int));
        memcpy(CMSG_DATA(c), r->fds, r->nfds * sizeof(int));
    }
    /* A client that sends without reading replies is not waited for. */
    return sendmsg(r->p->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*r->m) ? 0
                                                                                         : -EPIPE;
}

static void client_ready(struct evloop_fd *w, uint32_t events)
{
    struct hv_proc *p = w->user;
    struct hv *hv = p->hv;
    struct sim_msg m;
    struct req r = {.hv = hv, .p = p, .m = &m};
    ssize_t n = recv(p->fd, &m, sizeof(m), MSG_DONTWAIT | MSG_TRUNC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != (ssize_t)sizeof(m)) {
        if (n > 0)
            hv_log("process %d: a request of %zd bytes", (int)p->pid, n);
        process_died(hv, p);
        return;
    }
    m.err = dispatch(&r);
    if (m.err)
        r.nfds = 0;
    if (reply(&r))
        process_died(hv, p);
}

static void client_exited(struct evloop_fd *w, uint32_t events)
{
    struct hv_proc *p = w->user;

    process_died(p->hv, p);
}

static void accept_one(struct hv *hv)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    struct hv_proc *p;
    int fd = accept4(hv->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
        (peer.uid != geteuid() && peer.uid != 0)) {
        hv_log("a process of another user was turned away");
        close(fd);
        return;
    }
    p = calloc(1, sizeof(*p));
    if (!p) {
        close(fd);
        return;
    }
    p->hv = hv;
    p->fd = fd;
    p->pid = peer.pid;
    p->track_fd = -1;
    p->fd_watch = (struct evloop_fd){.fd = fd, .ready = client_ready, .user = p};
    /* The connection can outlive the process in a child that inherited it before its exec. */
    p->pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    p->pid_watch = (struct evloop_fd){.fd = p->pidfd, .ready = client_exited, .user = p};
    p->next = hv->procs;
    hv->procs = p;
    if (p->pidfd >= 0 && evloop_add(hv->loop, &p->pid_watch, EPOLLIN)) {
        close(p->pidfd);
        p->pidfd = -1;
    }
    if (evloop_add(hv->loop, &p->fd_watch, EPOLLIN)) {
        close(p->fd);
        p->fd = -1;
        process_free(hv, p);
    }
}

static void listen_ready(struct evloop_fd *w, uint32_t events)
{
    accept_one(w->user);
}

/* A socket file that nobody listens on any more: its hv was killed. */
static bool stale(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool dead;

    if (fd < 0)
        return false;
    dead = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) && errno == ECONNREFUSED;
    close(fd);
    return dead;
}

int server_listen(struct hv *hv, char *why, size_t why_size)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int rc;

    hv->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (hv->listen_fd < 0)
        goto fail;
    snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/hv.sock", hv->run_fd);
    rc = bind(hv->listen_fd, (struct sockaddr *)&sa, sizeof(sa));
    if (rc && errno == EADDRINUSE) {
        if (stale(&sa))
            unlinkat(hv->run_fd, "hv.sock", 0);
        rc = bind(hv->listen_fd, (struct sockaddr *)&sa, sizeof(sa));
    }
    if (rc)
        goto fail;
    hv->bound = true;
    if (listen(hv->listen_fd, 128))
        goto fail;
    hv->listen_watch = (struct evloop_fd){.fd = hv->listen_fd, .ready = listen_ready, .user = hv};
    rc = evloop_add(hv->loop, &hv->listen_watch, EPOLLIN);
    if (!rc)
        return 0;
    errno = -rc;
fail:
    rc = -errno;
    snprintf(why, why_size, "hv.sock: %s",
             rc == -EADDRINUSE ? "there is one already: is a simulation running here?"
                               : strerror(-rc));
    return rc;
}
