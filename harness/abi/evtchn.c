/* SPDX-License-Identifier: MIT */
/*
 * Event channels, between two handles of dom0. Sources: Xen 4.17 xen/common/event_channel.c,
 * Linux 6.1 drivers/xen/evtchn.c.
 */
#define CHECK_FAMILY "abi"

#include "abi/abi.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

/* Two connected handles. The binder's first event is taken already. */
struct pair {
    xenevtchn_handle *a, *b;
    int a_port, b_port; /* a is the side that was unbound */
};

static struct pair pair_make(struct check_ctx *t)
{
    struct pair p = {.a = abi_evtchn(t), .b = abi_evtchn(t)};

    p.a_port = xenevtchn_bind_unbound_port(p.a, 0);
    if (p.a_port < 0)
        error_out(t, "bind_unbound_port: %s", strerror(errno));
    p.b_port = xenevtchn_bind_interdomain(p.b, 0, (evtchn_port_t)p.a_port);
    if (p.b_port < 0)
        error_out(t, "bind_interdomain: %s", strerror(errno));
    if (abi_event(t, p.b, ABI_QUIET_MS) == p.b_port)
        xenevtchn_unmask(p.b, (evtchn_port_t)p.b_port);
    return p;
}

CHECK(evtchn_unbound_ports_differ, .judges = HYPERVISOR,
      .proves = "abi.evtchn-unbound-ports-differ",
      .title = "Every unbound port is a new one, and none is port 0")
{
    xenevtchn_handle *h = abi_evtchn(t);
    int one = xenevtchn_bind_unbound_port(h, 0), two = xenevtchn_bind_unbound_port(h, 0);

    expect(t, MUST, one > 0 && two > 0, "ports %d and %d", one, two);
    expect(t, MUST, one != two, "port %d was given twice", one);
    expect_eq(t, MUST, abi_event(t, h, ABI_QUIET_MS), -1, "event on an unbound port");
}

/* evtchn_bind_interdomain: "conservatively always setting a notification on the local port" */
CHECK(evtchn_bind_is_followed_by_an_event, .judges = HYPERVISOR,
      .proves = "abi.evtchn-bind-is-followed-by-an-event",
      .title = "The side that binds gets one event at once, the other side none")
{
    xenevtchn_handle *a = abi_evtchn(t), *b = abi_evtchn(t);
    int pa = xenevtchn_bind_unbound_port(a, 0), pb, got;

    ABI_OK(t, pa > 0, "bind_unbound_port");
    pb = xenevtchn_bind_interdomain(b, 0, (evtchn_port_t)pa);
    ABI_OK(t, pb > 0, "bind_interdomain");
    got = abi_event(t, b, ABI_SOON_MS);
    note(t, "binder", "%s", got == pb ? "event" : "none");
    expect_eq(t, MUST, got, pb, "port of the binder's event");
    expect_eq(t, MUST, abi_event(t, a, ABI_QUIET_MS), -1, "event on the other side");
    xenevtchn_unmask(b, (evtchn_port_t)pb);
    expect_eq(t, MUST, abi_event(t, b, ABI_QUIET_MS), -1, "second event of the binder");
}

CHECK(evtchn_notify_reaches_the_other_side, .judges = HYPERVISOR,
      .proves = "abi.evtchn-notify-reaches-the-other-side",
      .title = "A notification arrives on the far port, in both directions")
{
    struct pair p = pair_make(t);

    ABI_OK(t, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, "notify");
    expect_eq(t, MUST, abi_event(t, p.b, ABI_SOON_MS), p.b_port, "port of the event at b");
    expect_eq(t, MUST, abi_event(t, p.a, 0), -1, "event at the sender");
    ABI_OK(t, xenevtchn_notify(p.b, (evtchn_port_t)p.b_port) == 0, "notify");
    expect_eq(t, MUST, abi_event(t, p.a, ABI_SOON_MS), p.a_port, "port of the event at a");
}

/* evtchn_interrupt disables the port until evtchn_write enables it */
CHECK(evtchn_masked_until_unmasked, .judges = HYPERVISOR,
      .proves = "abi.evtchn-masked-until-unmasked",
      .title = "After an event was taken, the next one waits for the unmasking and is not lost")
{
    struct pair p = pair_make(t);

    ABI_OK(t, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, "notify");
    ABI_OK(t, abi_event(t, p.b, ABI_SOON_MS) == p.b_port, "the first event");
    ABI_OK(t, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, "second notify");
    expect_eq(t, MUST, abi_event(t, p.b, ABI_QUIET_MS), -1, "event while masked");
    ABI_OK(t, xenevtchn_unmask(p.b, (evtchn_port_t)p.b_port) == 0, "unmask");
    expect_eq(t, MUST, abi_event(t, p.b, ABI_SOON_MS), p.b_port, "port of the event after unmask");
}

CHECK(evtchn_unmask_alone_is_silent, .judges = HYPERVISOR,
      .proves = "abi.evtchn-unmask-alone-is-silent",
      .title = "Unmasking without a new notification gives no event")
{
    struct pair p = pair_make(t);

    ABI_OK(t, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, "notify");
    ABI_OK(t, abi_event(t, p.b, ABI_SOON_MS) == p.b_port, "the event");
    ABI_OK(t, xenevtchn_unmask(p.b, (evtchn_port_t)p.b_port) == 0, "unmask");
    expect_eq(t, MUST, abi_event(t, p.b, ABI_QUIET_MS), -1, "event after unmask");
}

CHECK(evtchn_notifications_coalesce, .judges = HYPERVISOR,
      .proves = "abi.evtchn-notifications-coalesce",
      .title = "Notifications that were not taken yet are one event")
{
    struct pair p = pair_make(t);

    for (int i = 0; i < 5; i++)
        ABI_OK(t, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, "notify");
    /* While the first is being delivered, one more may become pending: at most two in all. The
     * port is masked by the delivery and pending at most once. */
    expect_eq(t, MUST, abi_event(t, p.b, ABI_SOON_MS), p.b_port, "port of the event");
    expect_eq(t, MUST, abi_event(t, p.b, ABI_QUIET_MS), -1, "second event while masked");
    xenevtchn_unmask(p.b, (evtchn_port_t)p.b_port);
    if (abi_event(t, p.b, ABI_QUIET_MS) == p.b_port)
        xenevtchn_unmask(p.b, (evtchn_port_t)p.b_port);
    expect_eq(t, MUST, abi_event(t, p.b, ABI_QUIET_MS), -1, "third event of five notifications");
}

CHECK(evtchn_fd_is_readable_while_pending, .judges = HYPERVISOR,
      .proves = "abi.evtchn-fd-is-readable-while-pending",
      .title = "The handle's descriptor polls readable exactly while an event waits")
{
    struct pair p = pair_make(t);
    struct pollfd f = {.fd = xenevtchn_fd(p.b), .events = POLLIN};

    expect_eq(t, MUST, poll(&f, 1, 0), 0, "poll before");
    ABI_OK(t, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, "notify");
    expect_eq(t, MUST, poll(&f, 1, ABI_SOON_MS), 1, "poll after the notification");
    expect_eq(t, MUST, poll(&f, 1, 0), 1, "poll again: it stays readable");
    expect_eq(t, MUST, xenevtchn_pending(p.b), p.b_port, "port");
    expect_eq(t, MUST, poll(&f, 1, 0), 0, "poll after the event was taken");
}

/* evtchn_read: O_NONBLOCK */
CHECK(evtchn_nonblocking_pending_is_eagain, .judges = HYPERVISOR,
      .proves = "abi.evtchn-nonblocking-pending-is-eagain",
      .title = "With a non-blocking descriptor and no event, xenevtchn_pending fails with EAGAIN")
{
    struct pair p = pair_make(t);
    int fd = xenevtchn_fd(p.b), flags = fcntl(fd, F_GETFL);

    ABI_OK(t, flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0, "O_NONBLOCK");
    ABI_REFUSED(t, "pending", xenevtchn_pending(p.b) >= 0, EAGAIN);
    ABI_OK(t, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, "notify");
    expect_eq(t, MUST, abi_event(t, p.b, ABI_SOON_MS), p.b_port, "port of an event that is there");
}

CHECK(evtchn_handles_are_separate, .judges = HYPERVISOR,
      .proves = "abi.evtchn-handles-are-separate",
      .title = "An event arrives at the handle that bound the port and at no other")
{
    struct pair p = pair_make(t), q = pair_make(t);

    ABI_OK(t, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, "notify");
    expect_eq(t, MUST, abi_event(t, p.b, ABI_SOON_MS), p.b_port, "port of the event");
    expect_eq(t, MUST, abi_event(t, q.b, ABI_QUIET_MS), -1, "event at another handle");
}

CHECK(evtchn_one_handle_many_ports, .judges = HYPERVISOR,
      .proves = "abi.evtchn-one-handle-many-ports",
      .title = "One handle reports the events of all its ports, each once")
{
    enum { N = 20 };
    xenevtchn_handle *a = abi_evtchn(t), *b = abi_evtchn(t);
    int pa[N], pb[N], seen[N] = {0};

    for (int i = 0; i < N; i++) {
        pa[i] = xenevtchn_bind_unbound_port(a, 0);
        ABI_OK(t, pa[i] > 0, "bind_unbound_port");
        pb[i] = xenevtchn_bind_interdomain(b, 0, (evtchn_port_t)pa[i]);
        ABI_OK(t, pb[i] > 0, "bind_interdomain");
    }
    for (int i = 0; i < N; i++)
        ABI_OK(t, xenevtchn_notify(b, (evtchn_port_t)pb[i]) == 0, "notify");
    for (int i = 0; i < N; i++) {
        int got = abi_event(t, a, ABI_SOON_MS);

        for (int k = 0; k < N; k++)
            seen[k] += pa[k] == got;
    }
    for (int i = 0; i < N; i++)
        expect_eq(t, MUST, seen[i], 1, "events of a port");
    expect_eq(t, MUST, abi_event(t, a, ABI_QUIET_MS), -1, "one event more");
}

/* evtchn_bind_interdomain: the remote port is not one, or is not unbound */
CHECK(evtchn_bind_to_no_port_refused, .judges = HYPERVISOR,
      .proves = "abi.evtchn-bind-to-no-port-refused",
      .title = "Binding to a port that is not unbound is refused with EINVAL")
{
    struct pair p = pair_make(t);
    xenevtchn_handle *c = abi_evtchn(t);

    ABI_REFUSED(t, "free-port", xenevtchn_bind_interdomain(c, 0, 4000) >= 0, EINVAL);
    ABI_REFUSED(t, "huge-port", xenevtchn_bind_interdomain(c, 0, 0x7fffffff) >= 0, EINVAL);
    ABI_REFUSED(t, "bound-port", xenevtchn_bind_interdomain(c, 0, (evtchn_port_t)p.a_port) >= 0,
                EINVAL);
}

/* evtchn_bind_interdomain: remote_domid != ld->domain_id */
CHECK(evtchn_bind_to_port_of_another_refused, .judges = HYPERVISOR,
      .proves = "abi.evtchn-bind-to-port-of-another-refused",
      .title = "Binding to a port that was made for another domain is refused with EINVAL")
{
    struct abi *a = abi_begin(t);
    xenevtchn_handle *h = abi_evtchn(t);
    int port = xenevtchn_bind_unbound_port(h, a->domid);

    ABI_OK(t, port > 0, "bind_unbound_port");
    ABI_REFUSED(t, "bind", xenevtchn_bind_interdomain(h, 0, (evtchn_port_t)port) >= 0, EINVAL);
}

CHECK(evtchn_bind_to_no_domain_refused, .judges = HYPERVISOR,
      .proves = "abi.evtchn-bind-to-no-domain-refused",
      .title = "Binding to a domain that does not exist is refused with ESRCH")
{
    xenevtchn_handle *h = abi_evtchn(t);

    ABI_REFUSED(t, "bind", xenevtchn_bind_interdomain(h, ABI_NO_DOMAIN, 1) >= 0, ESRCH);
}

/* evtchn_ioctl NOTIFY: find_evtchn */
CHECK(evtchn_notify_needs_own_port, .judges = HYPERVISOR,
      .proves = "abi.evtchn-notify-needs-own-port",
      .title = "A handle can only notify ports that it bound; others are ENOTCONN")
{
    struct pair p = pair_make(t);

    ABI_REFUSED(t, "port-of-another-handle", xenevtchn_notify(p.a, (evtchn_port_t)p.b_port) == 0,
                ENOTCONN);
    ABI_REFUSED(t, "free-port", xenevtchn_notify(p.a, 4000) == 0, ENOTCONN);
    expect_eq(t, MUST, abi_event(t, p.a, ABI_QUIET_MS), -1, "event after a refused notification");
}

/* evtchn_send: ECS_UNBOUND "silently drop the notification" */
CHECK(evtchn_notify_unbound_is_silent, .judges = HYPERVISOR,
      .proves = "abi.evtchn-notify-unbound-is-silent",
      .title = "Notifying an unbound port succeeds and does nothing")
{
    xenevtchn_handle *h = abi_evtchn(t);
    int port = xenevtchn_bind_unbound_port(h, 0);

    ABI_OK(t, port > 0, "bind_unbound_port");
    expect(t, MUST, xenevtchn_notify(h, (evtchn_port_t)port) == 0, "notify: %s", abi_errno(errno));
    expect_eq(t, MUST, abi_event(t, h, ABI_QUIET_MS), -1, "event");
}

/* evtchn_ioctl UNBIND */
CHECK(evtchn_unbind_needs_own_port, .judges = HYPERVISOR,
      .proves = "abi.evtchn-unbind-needs-own-port",
      .title = "Unbinding a port of somebody else is ENOTCONN, one out of range EINVAL")
{
    struct pair p = pair_make(t);

    ABI_REFUSED(t, "port-of-another-handle", xenevtchn_unbind(p.a, (evtchn_port_t)p.b_port) == 0,
                ENOTCONN);
    ABI_REFUSED(t, "huge-port", xenevtchn_unbind(p.a, 0x7fffffff) == 0, EINVAL);
    ABI_OK(t, xenevtchn_unbind(p.a, (evtchn_port_t)p.a_port) == 0, "unbinding the own port");
    ABI_REFUSED(t, "again", xenevtchn_unbind(p.a, (evtchn_port_t)p.a_port) == 0, ENOTCONN);
    ABI_REFUSED(t, "notify-after", xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0, ENOTCONN);
}

/* evtchn_close: the far end becomes ECS_UNBOUND for the same domain */
CHECK(
    evtchn_far_end_survives_a_close, .judges = HYPERVISOR,
    .proves = "abi.evtchn-far-end-survives-a-close",
    .title = "When one side closes, the other becomes unbound: silent, and free to be bound again")
{
    struct pair p = pair_make(t);
    xenevtchn_handle *c = abi_evtchn(t);
    int pc;

    abi_evtchn_close(t, p.b);
    expect(t, MUST, xenevtchn_notify(p.a, (evtchn_port_t)p.a_port) == 0,
           "notifying after the close: %s", abi_errno(errno));
    pc = xenevtchn_bind_interdomain(c, 0, (evtchn_port_t)p.a_port);
    ABI_OK(t, pc > 0, "binding again");
    ABI_OK(t, abi_event(t, c, ABI_SOON_MS) == pc, "the binder's event");
    xenevtchn_unmask(c, (evtchn_port_t)pc);
    ABI_OK(t, xenevtchn_notify(c, (evtchn_port_t)pc) == 0, "notify");
    expect_eq(t, MUST, abi_event(t, p.a, ABI_SOON_MS), p.a_port, "port of the event");
}

/* evtchn_bind_virq */
CHECK(evtchn_virq_out_of_range_refused, .judges = HYPERVISOR,
      .proves = "abi.evtchn-virq-out-of-range-refused",
      .title = "A virtual interrupt that does not exist is refused with EINVAL")
{
    xenevtchn_handle *h = abi_evtchn(t);

    ABI_REFUSED(t, "virq-24", xenevtchn_bind_virq(h, NR_VIRQS) >= 0, EINVAL);
}

/* evtchn_bind_virq: virq_to_evtchn already set. xenstored has bound it. */
CHECK(evtchn_virq_bound_once, .judges = HYPERVISOR, .proves = "abi.evtchn-virq-bound-once",
      .title = "A virtual interrupt that another process bound is refused with EEXIST")
{
    xenevtchn_handle *h = abi_evtchn(t);

    ABI_REFUSED(t, "virq-dom-exc", xenevtchn_bind_virq(h, VIRQ_DOM_EXC) >= 0, EEXIST);
}

/* evtchn_ioctl RESTRICT_DOMID */
CHECK(evtchn_restricted_to_one_domain, .judges = HYPERVISOR,
      .proves = "abi.evtchn-restricted-to-one-domain",
      .title =
          "A restricted handle can bind to ports of its domain only, makes none of its own, and "
          "cannot be restricted again")
{
    struct abi *a = abi_begin(t);
    xenevtchn_handle *h = abi_evtchn(t), *other = abi_evtchn(t);
    int port = xenevtchn_bind_unbound_port(other, 0);

    ABI_OK(t, port > 0, "bind_unbound_port");
    ABI_REFUSED(t, "restrict-0", xenevtchn_restrict(h, 0) == 0, EINVAL);
    ABI_OK(t, xenevtchn_restrict(h, a->domid) == 0, "restrict");
    ABI_REFUSED(t, "restrict-again", xenevtchn_restrict(h, a->domid) == 0, EACCES);
    ABI_REFUSED(t, "interdomain", xenevtchn_bind_interdomain(h, 0, (evtchn_port_t)port) >= 0,
                EACCES);
    ABI_REFUSED(t, "unbound", xenevtchn_bind_unbound_port(h, 0) >= 0, EACCES);
    ABI_REFUSED(t, "virq", xenevtchn_bind_virq(h, VIRQ_DOM_EXC) >= 0, EACCES);
    ABI_REFUSED(t, "unbound-own", xenevtchn_bind_unbound_port(h, a->domid) >= 0, EACCES);
}
