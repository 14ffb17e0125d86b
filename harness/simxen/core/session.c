/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "simxen/core/internal.h"

/*
 * A process has one connection, because a drop-in library has nothing to hang a context on: the
 * kernel's device nodes that it replaces are found by name, too.
 */
static struct {
    pthread_mutex_t lock; /* one exchange at a time; guards all but the atomics */
    int fd;
    int end; /* -errno once the connection is known to have ended */
    uint16_t domid;
    struct sim_track *track;
    _Atomic uint64_t id; /* 0: not connected */
    uint64_t last_id;
} session = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void fork_prepare(void)
{
    pthread_mutex_lock(&session.lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&session.lock);
}

static void fork_child(void)
{
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

    session.lock = fresh;
    /* The parent's connection must end when the parent does, not when its children do. */
    if (session.fd >= 0)
        close(session.fd);
    if (session.track)
        munmap(session.track, sizeof(*session.track));
    session.fd = -1;
    session.end = 0;
    session.track = NULL;
    atomic_store(&session.id, 0);
    sim_evtchn_fork_child();
    sim_track_fork_child();
    sim_inject_fork_child();
    sim_domain_fork_child();
    sim_restrict_fork_child();
}

static void fork_register(void)
{
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void sim_eventfd_kick(int fd)
{
    static const uint64_t one = 1;
    ssize_t n;

    do
        n = write(fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

/* sun_path is short and a run folder's name may not be: go through the folder's descriptor. */
static int hv_connect(const char *dir)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int rc, sock = -1;
    int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dirfd < 0)
        return -errno;
    snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/hv.sock", dirfd);
    sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (sock < 0) {
        rc = -errno;
        goto out;
    }
    while ((rc = connect(sock, (struct sockaddr *)&sa, sizeof(sa))) < 0 && errno == EINTR)
        ;
    if (rc < 0) {
        rc = -errno;
        goto out;
    }
    rc = sock;
    sock = -1;
out:
    if (sock >= 0)
        close(sock);
    close(dirfd);
    return rc;
}

static int exchange(int sock, struct sim_msg *msg, int *fds, unsigned *nfds)
{
    union {
        struct cmsghdr hdr;
        char room[CMSG_SPACE(SIM_PROTO_FDS_MAX * sizeof(int))];
    } ctl;
    struct iovec iov = {.iov_base = msg, .iov_len = sizeof(*msg)};
    struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
    unsigned room = nfds ? *nfds : 0, got = 0;
    struct cmsghdr *c;
    ssize_t n;

    if (nfds)
        *nfds = 0;
    do
        n = sendmsg(sock, &mh, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(*msg))
        return -ECONNREFUSED;

    mh.msg_control = &ctl;
    mh.msg_controllen = sizeof(ctl);
    do
        n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return -ECONNREFUSED;

    for (c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
        unsigned nr, i;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        nr = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (i = 0; i < nr; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (got < room)
                fds[got++] = fd;
            else
                close(fd);
        }
    }
    if (nfds)
        *nfds = got;
    if (n != (ssize_t)sizeof(*msg))
        return -EPROTO;
    return msg->err;
}

static int hello(const char *dir, uint16_t domid, int *trackfd)
{
    struct sim_msg msg = {.op = SIM_OP_HELLO, .a = {domid, SIM_PROTO_VERSION}};
    int rc, fd = hv_connect(dir);
    unsigned nfds = 1;

    if (fd < 0)
        return fd;
    *trackfd = -1;
    rc = exchange(fd, &msg, trackfd, &nfds);
    if (!rc && nfds != 1)
        rc = -EPROTO;
    if (!rc)
        return fd;
    if (*trackfd >= 0)
        close(*trackfd);
    close(fd);
    return rc;
}

int sim_connect(const char *dir, uint16_t domid)
{
    int trackfd, fd = hello(dir, domid, &trackfd);

    if (fd >= 0)
        close(trackfd);
    return fd;
}

int sim_connection_call(int connection, struct sim_msg *msg, int *fds, unsigned *nfds)
{
    unsigned none = 0;

    return exchange(connection, msg, fds, nfds ? nfds : &none);
}

static int session_open(void)
{
    const char *dir = getenv("SIMXEN_DIR");
    const char *dom = getenv("SIMXEN_DOMID");
    unsigned long domid = 0;
    int rc = 0, fd, trackfd;
    char *end;
    void *track;

    if (!dir || !*dir)
        return -ENOENT;
    if (dom && *dom) {
        errno = 0;
        domid = strtoul(dom, &end, 10);
        if (errno || *end || domid >= DOMID_FIRST_RESERVED)
            return -EINVAL;
    }
    fd = hello(dir, (uint16_t)domid, &trackfd);
    if (fd < 0)
        return fd;
    track = mmap(NULL, sizeof(*session.track), PROT_READ | PROT_WRITE, MAP_SHARED, trackfd, 0);
    if (track == MAP_FAILED) {
        rc = -errno;
        close(fd);
    } else {
        session.fd = fd;
        session.domid = (uint16_t)domid;
        session.track = track;
        atomic_store(&session.id, ++session.last_id);
    }
    close(trackfd);
    return rc;
}

static int session_locked(void)
{
    if (session.end)
        return session.end;
    return session.fd >= 0 ? 0 : session_open();
}

int sim_session(void)
{
    int rc;

    if (atomic_load_explicit(&session.id, memory_order_acquire))
        return 0;
    pthread_once(&fork_once, fork_register);
    pthread_mutex_lock(&session.lock);
    rc = session_locked();
    pthread_mutex_unlock(&session.lock);
    return rc;
}

uint64_t sim_session_id(void)
{
    return atomic_load(&session.id);
}

int sim_session_fd(void)
{
    return session.fd;
}

uint16_t sim_self_domid(void)
{
    return sim_session() ? DOMID_INVALID : session.domid;
}

struct sim_track *sim_self_track(void)
{
    return sim_session() ? NULL : session.track;
}

int sim_call(struct sim_msg *msg, int *fds, unsigned *nfds)
{
    unsigned none = 0;
    int rc;

    if (!nfds)
        nfds = &none;
    rc = sim_session();
    if (rc) {
        *nfds = 0;
        return rc;
    }
    pthread_mutex_lock(&session.lock);
    rc = session_locked();
    if (!rc) {
        msg->err = -ECONNREFUSED;
        rc = exchange(session.fd, msg, fds, nfds);
        if (rc == -ECONNREFUSED)
            session.end = rc;
    } else {
        *nfds = 0;
    }
    pthread_mutex_unlock(&session.lock);
    return rc;
}
