/* SPDX-License-Identifier: MIT */
#include "simxen/xenbus/xenbus.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char usage[] =
    "usage: simxen-xenbus --domid N --socket PATH [--ready-fd FD]\n"
    "The xenbus driver of simulated domain N ($SIMXEN_DIR names the simulation): serves its store\n"
    "on PATH, through the domain's own ring. Ends with the domain, with the simulation, and on\n"
    "SIGTERM.\n";

static void session_ended(struct evloop_fd *w, uint32_t events)
{
    struct bus *b = w->user;

    evloop_stop(b->loop, 0);
}

static void signalled(struct evloop_fd *w, uint32_t events)
{
    struct bus *b = w->user;

    evloop_stop(b->loop, 0);
}

static int signals_init(struct bus *b)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    b->signal_watch = (struct evloop_fd){.fd = fd, .ready = signalled, .user = b};
    return evloop_add(b->loop, &b->signal_watch, EPOLLIN);
}

static int run(struct bus *b, const char *socket_path, int ready_fd)
{
    int rc;

    rc = signals_init(b);
    if (!rc)
        rc = sim_session();
    if (!rc)
        rc = ring_open(b);
    if (rc)
        return rc;
    /* hv never sends without being asked: all that this can report is the end. */
    b->session_watch =
        (struct evloop_fd){.fd = sim_session_fd(), .ready = session_ended, .user = b};
    rc = evloop_add(b->loop, &b->session_watch, EPOLLRDHUP);
    if (!rc)
        rc = bus_listen(b, socket_path);
    if (rc)
        return rc;
    if (ready_fd >= 0) {
        if (write(ready_fd, "ready\n", 6) != 6)
            return -errno;
        close(ready_fd);
    }
    return evloop_run(b->loop);
}

static bool parse_number(const char *s, unsigned long max, unsigned long *out)
{
    char *end;

    errno = 0;
    *out = strtoul(s, &end, 10);
    return !errno && end != s && !*end && *out <= max;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"domid", required_argument, NULL, 'd'},
        {"socket", required_argument, NULL, 's'},
        {"ready-fd", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct bus b = {.evt_fd = -1, .listen_fd = -1, .dir_fd = -1, .signal_watch = {.fd = -1}};
    const char *socket_path = NULL, *domid = NULL;
    unsigned long n, ready_fd = 0;
    bool ready = false, ok = true;
    int rc, opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case 'd':
            domid = optarg;
            ok &= parse_number(optarg, DOMID_FIRST_RESERVED - 1, &n);
            break;
        case 's':
            socket_path = optarg;
            break;
        case 'f':
            ready = parse_number(optarg, INT32_MAX, &ready_fd);
            ok &= ready;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            ok = false;
        }
    }
    if (!ok || !domid || !socket_path || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    setenv("SIMXEN_DOMID", domid, 1);

    rc = evloop_create(&b.loop);
    if (!rc)
        rc = run(&b, socket_path, ready ? (int)ready_fd : -1);
    if (rc)
        fprintf(stderr, "simxen-xenbus: domain %s: %s\n", domid, strerror(-rc));
    bus_fini(&b);
    ring_close(&b);
    if (b.signal_watch.fd >= 0)
        close(b.signal_watch.fd);
    evloop_destroy(b.loop);
    return rc ? 1 : 0;
}
