/* SPDX-License-Identifier: MIT */
/*
 * ringproof-wire: measures a stock iperf3, TCP in one stream, over what Linux itself has between
 * two network namespaces, and prints a line of JSON as a cell does that has our ring there:
 *
 *   veth   a pair of the kernel's own
 *   tap    two TAPs, and a process that copies each frame from one to the other, with the kernel's
 *          offloads (vnet_hdr: checksums and segmentation stay unfinished) or without
 *
 * No privilege is needed where user namespaces are allowed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peers/iperf.h"
#include "peers/peer.h"
#include "peers/thread.h"
#include "testbed/netns.h"
#include "testbed/process.h"
#include "util/bits.h"
#include "util/parse.h"
#include "util/session.h"
#include "util/tap.h"

#define NAME        "ringproof-wire"
#define IPERF3      "/usr/bin/iperf3"
#define IP          "/usr/sbin/ip"
#define SERVER      "10.143.0.1"
#define CLIENT      "10.143.0.2"
#define FOLDER      "/tmp/ringproof-wire-XXXXXX"
#define PATH_BYTES  (sizeof(FOLDER) + 16)
#define READY_NS    10000000000u
#define GRACE_NS    20000000000u
#define FRAME_BYTES (128u << 10) /* as large as offloads make one */
#define BURST       64u

struct options {
    bool veth, offloads, priority;
    unsigned seconds;
};

struct wire {
    const struct options *o;
    char folder[sizeof(FOLDER)];
    const char *names[2]; /* of the interfaces: the server's, in this namespace, and the client's */
    int other;            /* the client's namespace; -1: none */
    int taps[2];
    struct process copier, server, client;
    char why[300];
};

static int fail(struct wire *w, int rc, const char *what)
{
    if (!w->why[0])
        snprintf(w->why, sizeof(w->why), "%s: %s", what, strerror(-rc));
    return rc;
}

/* ---- two TAPs and a copier ---- */

struct tap_to_open {
    const char *name;
    int *fd;
    char *error;
    size_t error_bytes;
};

static int open_tap(void *arg)
{
    const struct tap_to_open *t = arg;

    return tap_open(t->name, 1, t->fd, t->error, t->error_bytes);
}

static void copy_frames(int from, int to, char *frame)
{
    for (unsigned i = 0; i < BURST; i++) {
        ssize_t n = read(from, frame, FRAME_BYTES), done;

        if (n <= 0)
            return;
        done = write(to, frame, (size_t)n); /* what is refused is lost, as on any wire */
        (void)done;
    }
}

static int copy(void *arg)
{
    const struct wire *w = arg;
    char *frame = malloc(FRAME_BYTES);

    while (frame) {
        struct pollfd p[2] = {{.fd = w->taps[0], .events = POLLIN},
                              {.fd = w->taps[1], .events = POLLIN}};

        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        for (unsigned i = 0; i < 2; i++)
            if (p[i].revents & POLLIN)
                copy_frames(w->taps[i], w->taps[!i], frame);
            else if (p[i].revents)
                goto out;
    }
out:
    free(frame);
    return 1;
}

static int make_taps(struct wire *w)
{
    const int spaces[2] = {0, w->other};
    int rc = 0;

    w->names[0] = "rptap0";
    w->names[1] = "rptap1";
    for (unsigned i = 0; i < 2 && !rc; i++) {
        struct tap_to_open t = {w->names[i], &w->taps[i], w->why, sizeof(w->why)};

        rc = netns_do(spaces[i], open_tap, &t);
        if (!rc)
            rc = tap_set_offloads(w->taps[i], w->o->offloads ? tap_offloads(w->taps[i]) : 0);
    }
    if (!rc)
        rc = process_fork(copy, w, 0, &w->copier);
    return rc ? fail(w, rc, "TAPs and their copier") : 0;
}

/* ---- programs ---- */

static int spawn(struct wire *w, struct words *argv, const char *out, int pass_fd, int netns,
                 struct process *p)
{
    char path[PATH_BYTES], log[PATH_BYTES];
    struct words env = {0};
    int fd, rc;

    snprintf(path, sizeof(path), "%s/%s", w->folder, out);
    snprintf(log, sizeof(log), "%s/log", w->folder);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(w, -errno, path);
    words_add_environment(&env);
    const struct process_start start = {.argv = argv,
                                        .env = &env,
                                        .log = log,
                                        .stdin_fd = -1,
                                        .stdout_fd = fd,
                                        .pass_fd = pass_fd,
                                        .netns_fd = netns};
    rc = argv->failed || env.failed ? -ENOMEM : process_spawn(&start, p);
    close(fd);
    words_fini(&env);
    return rc ? fail(w, rc, argv->failed ? "a program" : argv->items[0]) : 0;
}

static int make_veth(struct wire *w)
{
    /* The namespace is the child's descriptor 3. */
    static const char *const line[] = {IP,        "link",    "add",   "name",
                                       "rpveth0", "type",    "veth",  "peer",
                                       "name",    "rpveth1", "netns", "/proc/self/fd/3"};
    struct process p = PROCESS_INIT;
    struct words argv = {0};
    int rc;

    w->names[0] = "rpveth0";
    w->names[1] = "rpveth1";
    for (unsigned i = 0; i < ARRAY_LENGTH(line); i++)
        words_add(&argv, line[i]);
    rc = spawn(w, &argv, "ip.out", w->other, 0, &p);
    words_fini(&argv);
    if (!rc)
        rc = process_wait(&p, READY_NS);
    if (!rc && p.status)
        rc = -EIO;
    process_end(&p, SIGKILL, READY_NS);
    return rc ? fail(w, rc, "a pair of veth") : 0;
}

static int make(struct wire *w)
{
    int rc = netns_isolate(w->why, sizeof(w->why));

    if (rc)
        return rc;
    rc = netns_create(&w->other);
    if (rc)
        return fail(w, rc, "a second network namespace");
    rc = w->o->veth ? make_veth(w) : make_taps(w);
    if (rc)
        return rc;
    rc = netns_interface_up(0, w->names[0], SERVER);
    if (!rc)
        rc = netns_interface_up(w->other, w->names[1], CLIENT);
    return rc ? fail(w, rc, "addresses") : 0;
}

/* ---- iperf3 ---- */

static int start_server(struct wire *w)
{
    static const char *const line[] = {IPERF3,         "--server", "--one-off",
                                       "--forceflush", "--bind",   SERVER};
    const uint64_t deadline = monotonic_ns() + READY_NS;
    char path[PATH_BYTES];
    struct words argv = {0};
    int rc;

    for (unsigned i = 0; i < ARRAY_LENGTH(line); i++)
        words_add(&argv, line[i]);
    rc = spawn(w, &argv, "server.out", -1, 0, &w->server);
    words_fini(&argv);
    snprintf(path, sizeof(path), "%s/server.out", w->folder);
    /* It says that it listens; a client that comes earlier is refused. */
    while (!rc) {
        char *text = file_tail(path, 4096);
        bool listens = text && strstr(text, "listening");

        free(text);
        if (listens)
            return 0;
        if (!process_running(&w->server) || monotonic_ns() >= deadline)
            return fail(w, -ETIMEDOUT, "the iperf3 server does not listen");
        (void)poll(NULL, 0, 2);
    }
    return rc;
}

static int start_client(struct wire *w)
{
    struct words argv = {0};
    int rc;

    words_add(&argv, IPERF3);
    words_add(&argv, "--client");
    words_add(&argv, SERVER);
    words_add(&argv, "--json");
    words_add(&argv, "--connect-timeout");
    words_add(&argv, "10000");
    words_add(&argv, "--time");
    words_addf(&argv, "%u", w->o->seconds);
    rc = spawn(w, &argv, "client.json", -1, w->other, &w->client);
    words_fini(&argv);
    return rc;
}

/* Of the time in which it wanted a CPU, the part in which it had one. While it is not reaped. */
static double own_part(const struct process *p)
{
    const struct thread_time t = {p->pid, p->pid};
    uint64_t ran, waited;

    if (thread_cpu_ns(&t, &ran) || thread_waited_ns(&t, &waited) || ran + waited == 0)
        return 0;
    return (double)ran / (double)(ran + waited);
}

static int transfer(struct wire *w, struct iperf_sum *sum, double own[2])
{
    char path[PATH_BYTES], why[201];
    struct pollfd ended[2];
    int rc = start_server(w);

    if (!rc)
        rc = start_client(w);
    if (rc)
        return rc;
    ended[0] = (struct pollfd){.fd = w->client.pidfd, .events = POLLIN};
    ended[1] = (struct pollfd){.fd = w->copier.pidfd, .events = POLLIN}; /* -1: veth has none */
    if (poll(ended, 2, (int)((w->o->seconds * 1000000000ull + GRACE_NS) / 1000000u)) <= 0)
        return fail(w, -ETIMEDOUT, "iperf3");
    if (!ended[0].revents)
        return fail(w, -EPIPE, "the copier");
    own[0] = own_part(&w->client);
    own[1] = own_part(&w->server);
    snprintf(path, sizeof(path), "%s/client.json", w->folder);
    rc = iperf_read(path, sum, why);
    if (rc)
        snprintf(w->why, sizeof(w->why), "iperf3: %s", why);
    return rc;
}

static int measure(const struct options *o)
{
    struct wire w = {.o = o,
                     .folder = FOLDER,
                     .other = -1,
                     .taps = {-1, -1},
                     .copier = PROCESS_INIT,
                     .server = PROCESS_INIT,
                     .client = PROCESS_INIT};
    struct process *const processes[] = {&w.client, &w.server, &w.copier};
    struct iperf_sum sum = {0};
    double own[2] = {0, 0};
    int rc;

    if (!mkdtemp(w.folder)) {
        fprintf(stderr, NAME ": %s: %s\n", w.folder, strerror(errno));
        return -errno;
    }
    if (o->priority)
        session_prefer();
    rc = make(&w);
    if (!rc)
        rc = transfer(&w, &sum, own);
    for (unsigned i = 0; i < ARRAY_LENGTH(processes); i++)
        if (processes[i]->pid)
            (void)process_end(processes[i], SIGTERM, READY_NS);
    for (unsigned i = 0; i < 2; i++)
        if (w.taps[i] >= 0)
            close(w.taps[i]);
    if (w.other >= 0)
        close(w.other);
    remove_tree(w.folder);
    if (rc) {
        fprintf(stderr, NAME ": %s\n", w.why);
        return rc;
    }
    printf("{\"ns_per_unit\": %.4f, \"own_cpu\": [%.4f, %.4f], \"bytes\": %.0f}\n",
           sum.seconds * 1e9 / (sum.bytes / 1024), own[0], own[1], sum.bytes);
    return fflush(stdout) ? -EIO : 0;
}

/* ---- options ---- */

static void usage(FILE *f)
{
    fputs(
        "usage: " NAME " [OPTION]...\n"
        "Measures iperf3, TCP in one stream, over what Linux has between two network namespaces;\n"
        "one line of JSON.\n"
        "  --wire veth|tap   (default veth) tap: two of them, and a copier\n"
        "  --offloads        of the TAPs; veth has them always\n"
        "  --seconds N       1 to 60 (default 1)\n"
        "  --priority        before others, where that is allowed\n",
        f);
}

static int take(void *to, int option, const char *value)
{
    struct options *o = to;

    switch (option) {
    case 'w':
        o->veth = strcmp(value, "veth") == 0;
        return o->veth || !strcmp(value, "tap") ? 0 : -EINVAL;
    case 'o':
        o->offloads = true;
        return 0;
    case 's':
        return parse_u32(value, 1, 60, &o->seconds);
    case 'p':
        o->priority = true;
        return 0;
    default:
        return -EINVAL;
    }
}

int main(int argc, char **argv)
{
    static const struct option table[] = {
        {"wire", required_argument, NULL, 'w'},    {"offloads", no_argument, NULL, 'o'},
        {"seconds", required_argument, NULL, 's'}, {"priority", no_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},          {0}};
    const struct peer_parser parser = {table, 'h', take, usage};
    struct options o = {.veth = true, .seconds = 1};
    int rc = peer_parse(&parser, argc, argv, &o);

    if (rc)
        return rc == 1 ? 0 : 3;
    return measure(&o) ? 2 : 0;
}
