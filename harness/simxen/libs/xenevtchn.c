/* SPDX-License-Identifier: MIT */
/*
 * libxenevtchn over simxen: what Linux's evtchn driver shows of Xen's event channels.
 *
 * The handle's descriptor is an eventfd with a token for each port that is pending and not masked
 * (core/layout.h), so poll and O_NONBLOCK work on it as on the device node.
 */
#pragma GCC visibility push(default)
#include <xenevtchn.h>
#pragma GCC visibility pop

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "simxen/core/core.h"
#include "util/mutant.h"

struct xenevtchn_handle {
    struct sim_active_handle active; /* first */
    uint64_t session;
    uint32_t id;
    int fd;
    pthread_mutex_t lock;
    unsigned next; /* word of `owned` to look at first: every port gets its turn */
    uint64_t owned[SIM_PORTS_MAX / 64];
    uint32_t last; /* delivered, or bound when there was none */
};

static int fail(int rc)
{
    if (rc >= 0)
        return rc;
    errno = -rc;
    return -1;
}

/* A forked child has a session of its own: the parent's handles are not its to use. */
static int call(xenevtchn_handle *xce, struct sim_msg *msg)
{
    msg->a[0] = xce->id;
    return xce->session == sim_session_id() ? sim_call(msg, NULL, NULL) : -EBADF;
}

static int restrict_cb(struct sim_active_handle *h, domid_t domid)
{
    xenevtchn_handle *xce = (xenevtchn_handle *)h;

    return xce->fd < 0 ? 0 : xenevtchn_restrict(xce, domid);
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_OPEN};
    xenevtchn_handle *xce;
    unsigned nfds = 1;
    int rc;

    if (flags & ~(unsigned)XENEVTCHN_NO_CLOEXEC) {
        errno = EINVAL;
        return NULL;
    }
    xce = calloc(1, sizeof(*xce));
    if (!xce)
        return NULL;
    xce->fd = -1;
    pthread_mutex_init(&xce->lock, NULL);
    xce->active.restrict_callback = restrict_cb;
    sim_restrict_register(&xce->active);

    rc = sim_call(&msg, &xce->fd, &nfds);
    if (!rc && nfds != 1)
        rc = -EPROTO;
    if (!rc && flags & XENEVTCHN_NO_CLOEXEC && fcntl(xce->fd, F_SETFD, 0))
        rc = -errno;
    xce->id = (uint32_t)msg.a[0];
    xce->session = sim_session_id();
    if (rc) {
        xenevtchn_close(xce);
        errno = -rc;
        return NULL;
    }
    return xce;
}

/*
 * A descriptor that survived an exec is worth nothing here: its ports were given back with the
 * session of the program before. xenstored's live update, the one user, is not simulated.
 */
xenevtchn_handle *xenevtchn_fdopen(struct xentoollog_logger *logger, int fd, unsigned open_flags)
{
    if (open_flags)
        errno = EINVAL;
    else if (fcntl(fd, F_GETFD) >= 0)
        errno = EOPNOTSUPP;
    return NULL;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_CLOSE};

    if (!xce)
        return 0;
    sim_restrict_deregister(&xce->active);
    if (xce->fd >= 0) {
        call(xce, &msg);
        close(xce->fd);
    }
    pthread_mutex_destroy(&xce->lock);
    free(xce);
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    return xce->fd;
}

static bool owns(xenevtchn_handle *xce, evtchn_port_t port)
{
    bool yes;

    if (port >= SIM_PORTS_MAX)
        return false;
    pthread_mutex_lock(&xce->lock);
    yes = xce->owned[port / 64] >> (port % 64) & 1;
    pthread_mutex_unlock(&xce->lock);
    return yes;
}

static void own(xenevtchn_handle *xce, uint64_t port, bool yes)
{
    if (port >= SIM_PORTS_MAX)
        return;
    pthread_mutex_lock(&xce->lock);
    if (yes) {
        xce->owned[port / 64] |= UINT64_C(1) << (port % 64);
        if (!xce->last)
            xce->last = (uint32_t)port;
    } else {
        xce->owned[port / 64] &= ~(UINT64_C(1) << (port % 64));
        if (xce->last == port)
            xce->last = 0;
    }
    pthread_mutex_unlock(&xce->lock);
}

static int bind_port(xenevtchn_handle *xce, struct sim_msg *msg)
{
    int rc = call(xce, msg);

    if (rc)
        return fail(rc);
    own(xce, msg->a[0], true);
    return (int)msg->a[0];
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_UNBOUND, .a = {0, domid}};

    if (MUTANT(sim_evtchn_unbound_port_is_the_last) && xce->last)
        return (int)xce->last;
    return bind_port(xce, &msg);
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
                                                     evtchn_port_t remote_port)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_INTERDOMAIN, .a = {0, domid, remote_port}};

    return bind_port(xce, &msg);
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_VIRQ, .a = {0, virq}};

    return bind_port(xce, &msg);
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_UNBIND, .a = {0, port}};
    int rc;

    own(xce, port, false);
    rc = call(xce, &msg);
    return fail(rc);
}

/* The driver looks at the port's owner, and not at what the hypervisor says. */
int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    if (xce->session != sim_session_id())
        return fail(-EBADF);
    if (!owns(xce, port) && !MUTANT(sim_evtchn_notifies_any_port))
        return fail(-ENOTCONN);
    if (MUTANT(sim_evtchn_unbound_is_not_connected))
        return fail(sim_evtchn_send(port));
    if (!MUTANT(sim_evtchn_notify_is_lost))
        sim_evtchn_send(port);
    return 0;
}

static bool take(struct sim_port *p)
{
    uint32_t pending = SIM_PORT_PENDING;

    return atomic_compare_exchange_strong(
        &p->word, &pending, MUTANT(sim_evtchn_delivery_masks_nothing) ? 0 : SIM_PORT_MASKED);
}

static uint32_t take_next(xenevtchn_handle *xce, struct sim_dom *dom)
{
    unsigned i, words = SIM_PORTS_MAX / 64;
    uint32_t port = 0;

    pthread_mutex_lock(&xce->lock);
    for (i = 0; i < words && !port; i++) {
        unsigned w = (xce->next + i) % words;
        uint64_t left = xce->owned[w];

        for (; left && !port; left &= left - 1) {
            uint32_t at = w * 64 + (uint32_t)__builtin_ctzll(left);

            if (take(&dom->ports[at]))
                port = at;
            if (MUTANT(sim_evtchn_reports_the_lowest_port) && port)
                port = w * 64 + (uint32_t)__builtin_ctzll(xce->owned[w]);
        }
        if (port)
            xce->next = (w + 1) % words;
    }
    if (port)
        xce->last = port;
    else
        /* Its port was closed between the token and the look: a spurious event on another one is
         * within what event channels promise, a token that answers nothing is not. */
        port = xce->last;
    pthread_mutex_unlock(&xce->lock);
    return port;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    const struct sim_dom_ref *self;
    uint64_t token;
    uint32_t port;
    int rc;

    if (xce->session != sim_session_id())
        return fail(-EBADF);
    rc = sim_dom_get(DOMID_SELF, &self);
    if (rc)
        return fail(rc);
    do {
        if (read(xce->fd, &token, sizeof(token)) != (ssize_t)sizeof(token))
            return MUTANT(sim_evtchn_nothing_pending_is_port_0) ? 0 : -1;
        port = take_next(xce, self->dom);
    } while (!port);
    if (MUTANT(sim_evtchn_fd_stays_readable) &&
        write(xce->fd, &token, sizeof(token)) != (ssize_t)sizeof(token))
        return -1;
    return (int)port;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    static const uint64_t one = 1;
    const struct sim_dom_ref *self;
    uint32_t was;

    if (xce->session != sim_session_id())
        return fail(-EBADF);
    /* Ports of others are passed over in silence, as the driver does. */
    if (!owns(xce, port) || sim_dom_get(DOMID_SELF, &self))
        return 0;
    was = atomic_fetch_and(&self->dom->ports[port].word, ~SIM_PORT_MASKED);
    if ((was & SIM_PORT_MASKED) &&
        ((was & SIM_PORT_PENDING) || MUTANT(sim_evtchn_unmask_gives_an_event)) &&
        write(xce->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
        return -1;
    return 0;
}

int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid)
{
    struct sim_msg msg = {.op = SIM_OP_EVT_RESTRICT, .a = {0, domid}};

    return fail(call(xce, &msg));
}
