/* SPDX-License-Identifier: MIT */
/*
 * A network interface in the guest, whose other end is the ring (ringproof-netfront), and one in
 * the backend's domain, each in a network namespace of its own; between them a stock iperf3, or
 * streams of which every byte is looked at.
 *
 *     iperf3, transfer -- rpback0 (TAP) -- backend == ring == netfront -- rpfront0 (TAP) -- iperf3,
 * transfer
 *
 * Speeds are noted, never judged.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "runner/guest.h"
#include "runner/measured.h"
#include "runner/transfer.h"
#include "testbed/map.h"
#include "testbed/netns.h"

#define BACKEND_ADDRESS  "10.77.0.1"
#define FRONTEND_ADDRESS "10.77.0.2"
#define BACKEND_NAME     TESTBED_TAP_BACKEND "0"
#define FRONTEND_NAME    TESTBED_TAP_FRONTEND "0"
#define IPERF3           "/usr/bin/iperf3"
#define READY_NS         60000000000u
#define STALL_NS         60000000000u /* longer than TCP's own patience with a lossy network */

struct net {
    struct guest_run g;
    struct process server, client;
    struct measured before;
    uint64_t front_cpu_ns; /* before the work */
};

/* ---- the interface ---- */

static void front_arguments(struct net *n, struct words *argv)
{
    static const char *const addressings[] = {
        [ADDRESSING_GRANTS] = "grants", [ADDRESSING_FOREIGN] = "foreign"};
    const struct scenario_cell *plan = &n->g.cell->plan;
    const struct testbed_map *map = &n->g.cell->map;
    const struct scenario_device *d = &n->g.scenario->devices[0];
    unsigned pairs = plan->queues ? plan->queues : d->queues;
    char text[TESTBED_BRIDGE_BYTES];

    words_addf(argv, "%s/ringproof-netfront", n->g.cell->config->bin_dir);
    words_add(argv, "--platform");
    if (map->intx_line)
        words_addf(argv, "simxen:intx_line=%u", map->intx_line);
    else
        words_add(argv, "simxen");
    if (plan->transport == TRANSPORT_MMIO) {
        words_add(argv, "--mmio");
        words_add(argv, testbed_map_mmio(map, 0, text, sizeof(text)));
    } else {
        words_add(argv, "--host-bridge");
        words_add(argv, testbed_map_bridge(map, 0, text));
        words_add(argv, "--sbdf");
        words_add(argv, d->sbdf);
    }
    words_add(argv, "--addressing");
    words_add(argv, addressings[plan->addressing]);
    words_add(argv, "--ring");
    words_add(argv, plan->ring == RING_PACKED ? "packed" : "split");
    words_add(argv, "--tap");
    words_add(argv, FRONTEND_NAME);
    words_add(argv, "--pairs");
    words_addf(argv, "%u", pairs ? pairs : 1);
    if (n->g.scenario->lose_doorbells) {
        words_add(argv, "--lose-doorbells");
        words_addf(argv, "%u", n->g.scenario->lose_doorbells);
    }
    words_add(argv, "--stats");
    words_add(argv, "netfront.json");
    words_add(argv, "--ready-fd");
    words_add(argv, "1");
}

/* "ready", or the end of the process: then what it said is in the log. */
static int wait_front(struct net *n, int fd)
{
    uint64_t deadline = monotonic_ns() + READY_NS;
    char text[16] = "", end[96];
    ssize_t got = -1;

    while (got < 0 && monotonic_ns() < deadline) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};

        if (poll(&pfd, 1, poll_timeout_ms(deadline)) > 0)
            got = read(fd, text, sizeof(text) - 1);
    }
    if (got > 0 && !strcmp(text, "ready\n"))
        return 0;
    if (got < 0)
        return testbed_fail(n->g.cell, -ETIMEDOUT, "the network frontend was not ready in time");
    if (process_wait(&n->g.process, READY_NS))
        return testbed_fail(n->g.cell, -EPROTO, "the network frontend closed its output");
    return testbed_fail(n->g.cell, -ECHILD, "the network frontend did not start: %s",
                        process_describe_end(&n->g.process, end, sizeof(end)));
}

static int start_front(struct net *n)
{
    struct testbed_cell *c = n->g.cell;
    struct words argv = {0}, extra = {0};
    int ready[2], ret;

    if (pipe2(ready, O_CLOEXEC))
        return testbed_fail(c, -errno, "no pipe");
    front_arguments(n, &argv);
    words_add(&extra, "RINGPROOF_LIBDIR");
    words_add(&extra, c->config->lib_dir);
    ret = c->ops->guest_spawn(c, &argv, &extra, ready[1], &n->g.process);
    close(ready[1]);
    if (!ret)
        ret = wait_front(n, ready[0]);
    close(ready[0]);
    words_fini(&argv);
    words_fini(&extra);
    return ret;
}

static int start_interfaces(struct net *n)
{
    struct testbed_cell *c = n->g.cell;
    int ret = netns_interface_up(0, BACKEND_NAME, BACKEND_ADDRESS);

    if (ret)
        return testbed_fail(c, ret, "the backend's interface " BACKEND_NAME ": %s", strerror(-ret));
    ret = start_front(n);
    if (ret)
        return ret;
    ret = netns_interface_up(c->guest_netns, FRONTEND_NAME, FRONTEND_ADDRESS);
    if (ret)
        testbed_fail(c, ret, "the guest's interface " FRONTEND_NAME ": %s", strerror(-ret));
    return ret;
}

/* ---- iperf3 ---- */

/* The file's end in the run folder. */
static int spawn_iperf(struct net *n, struct words *argv, int netns, const char *out,
                       struct process *p)
{
    char path[300], log[300];
    struct words env = {0};
    int fd, ret;

    snprintf(path, sizeof(path), "%s/%s", n->g.cell->run_dir, out);
    snprintf(log, sizeof(log), "%s/iperf3.log", n->g.cell->run_dir);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return testbed_fail(n->g.cell, -errno, "%s: %s", path, strerror(errno));
    words_add_environment(&env);
    const struct process_start start = {.argv = argv,
                                        .env = &env,
                                        .cwd = n->g.cell->run_dir,
                                        .log = log,
                                        .stdin_fd = -1,
                                        .stdout_fd = fd,
                                        .pass_fd = -1,
                                        .netns_fd = netns};
    ret = process_spawn(&start, p);
    close(fd);
    words_fini(&env);
    return ret ? testbed_fail(n->g.cell, ret, IPERF3 ": %s", strerror(-ret)) : 0;
}

/* It says that it listens; a client that comes earlier is refused. */
static int wait_server(struct net *n)
{
    uint64_t deadline = monotonic_ns() + READY_NS;
    char path[300];

    snprintf(path, sizeof(path), "%s/iperf3-server.out", n->g.cell->run_dir);
    while (monotonic_ns() < deadline && process_running(&n->server)) {
        char *text = file_tail(path, 4096);
        bool listens = text && strstr(text, "listening");

        free(text);
        if (listens)
            return 0;
        (void)poll(NULL, 0, 2);
    }
    return testbed_fail(n->g.cell, -ETIMEDOUT, "the iperf3 server does not listen");
}

static int start_iperf(struct net *n)
{
    const struct scenario_iperf3 *f = &n->g.scenario->iperf3;
    struct words server = {0}, client = {0};
    int ret;

    words_add(&server, IPERF3);
    words_add(&server, "--server");
    words_add(&server, "--one-off");
    words_add(&server, "--forceflush");
    words_add(&server, "--bind");
    words_add(&server, BACKEND_ADDRESS);
    words_add(&client, IPERF3);
    words_add(&client, "--client");
    words_add(&client, BACKEND_ADDRESS);
    words_add(&client, "--json");
    words_add(&client, "--connect-timeout");
    words_add(&client, "10000");
    for (unsigned i = 0; i < f->option_count; i++)
        words_add(&client, f->options[i]);
    ret = spawn_iperf(n, &server, 0, "iperf3-server.out", &n->server);
    if (!ret)
        ret = wait_server(n);
    if (!ret)
        ret = spawn_iperf(n, &client, n->g.cell->guest_netns, "iperf3.json", &n->client);
    words_fini(&server);
    words_fini(&client);
    return ret;
}

static json_t *load(struct net *n, const char *name)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s", n->g.cell->run_dir, name);
    return json_load_file(path, 0, NULL);
}

static void note_rate(struct net *n, const char *label, uint64_t bytes, double seconds)
{
    char value[96];

    snprintf(value, sizeof(value), "%" PRIu64 " MiB, %.2f Gbit/s", bytes >> 20,
             seconds > 0 ? (double)bytes * 8 / seconds / 1e9 : 0);
    report_pairs_add(&n->g.check->notes, label, value);
}

/* A sum of iperf3's: noted, and its bytes. */
static uint64_t take_sum(struct net *n, const json_t *end, const char *name, const char *label)
{
    const json_t *sum = json_object_get(end, name);
    json_int_t bytes = json_integer_value(json_object_get(sum, "bytes"));
    json_int_t lost = json_integer_value(json_object_get(sum, "lost_packets"));
    char text[96];

    if (!sum || bytes < 0)
        return 0;
    note_rate(n, label, (uint64_t)bytes, json_number_value(json_object_get(sum, "seconds")));
    if (json_object_get(sum, "lost_packets")) {
        snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " packets",
                 lost, json_integer_value(json_object_get(sum, "packets")));
        report_pairs_add(&n->g.check->notes, "lost", text);
    }
    return (uint64_t)bytes;
}

/* A unit is a packet of UDP, or a KiB of TCP, both ways together. */
static void note_measured(struct net *n, const json_t *end)
{
    static const char *const sums[] = {"sum", "sum_bidir_reverse", "sum_received",
                                       "sum_received_bidir_reverse"};
    const double cpu_ns = (double)(process_cpu_ns(&n->g.process) - n->front_cpu_ns);
    bool udp = json_object_get(end, "sum") != NULL;
    double seconds = 0, bytes = 0;
    json_int_t packets = 0, lost = 0;

    for (unsigned i = udp ? 0 : 2; i < (udp ? 2u : 4u); i++) {
        const json_t *sum = json_object_get(end, sums[i]);

        bytes += json_number_value(json_object_get(sum, "bytes"));
        seconds = fmax(seconds, json_number_value(json_object_get(sum, "seconds")));
        packets += json_integer_value(json_object_get(sum, "packets"));
        lost += json_integer_value(json_object_get(sum, "lost_packets"));
    }
    if (!udp)
        measured_note(&n->g, &n->before, (uint64_t)(bytes / 1024), 0, seconds * 1e9, cpu_ns, NULL);
    else if (lost >= 0 && packets > lost)
        measured_note(&n->g, &n->before, (uint64_t)(packets - lost), (uint64_t)lost, seconds * 1e9,
                      cpu_ns, NULL);
}

static void judge_iperf(struct net *n)
{
    json_t *o = load(n, "iperf3.json");
    const json_t *end = json_object_get(o, "end");
    const char *error = json_string_value(json_object_get(o, "error"));
    const json_t *test = json_object_get(json_object_get(o, "start"), "test_start");
    bool reverse = json_integer_value(json_object_get(test, "reverse"));
    bool udp = json_object_get(end, "sum") != NULL;
    uint64_t forward, back, read = 0, written = 0;
    char text[300], ended[96];

    n->g.check->expectations++;
    if (!o) {
        snprintf(text, sizeof(text), "iperf3 wrote no result (%s)",
                 process_describe_end(&n->client, ended, sizeof(ended)));
        guest_broken(&n->g, ERROR, text);
        return;
    }
    if (error) {
        snprintf(text, sizeof(text), "iperf3: %.200s", error);
        guest_broken(&n->g, FAIL, text);
    }
    forward =
        take_sum(n, end, udp ? "sum" : "sum_received", reverse ? "to-frontend" : "to-backend");
    back =
        take_sum(n, end, udp ? "sum_bidir_reverse" : "sum_received_bidir_reverse", "to-frontend");
    if (reverse)
        read = forward;
    else
        written = forward;
    read += back;
    if (!error && !read && !written)
        guest_broken(&n->g, FAIL, "iperf3 moved nothing");
    guest_judge_timeline(&n->g);
    guest_judge_metrics(&n->g, read, written);
    note_measured(n, end);
    json_decref(o);
}

static void run_iperf(struct net *n)
{
    struct process *const ends[] = {&n->client};
    int ret;

    measured_begin(&n->g, &n->before);
    n->front_cpu_ns = process_cpu_ns(&n->g.process);
    ret = start_iperf(n);
    if (ret)
        guest_broken(&n->g, ERROR, n->g.cell->why);
    else if (!guest_attend(&n->g, ends, 1))
        judge_iperf(n);
    process_end(&n->client, SIGTERM, 0);
    process_end(&n->server, SIGTERM, 1000000000u);
}

/* ---- a transfer ---- */

static void judge_stream(struct net *n, unsigned index, const struct transfer_stream *s)
{
    const char *way = s->from == TRANSFER_BACKEND ? "to-frontend" : "to-backend";
    int error = s->receive_error ? s->receive_error : s->send_error;
    char text[200];

    n->g.check->expectations++;
    if (s->differs)
        snprintf(text, sizeof(text),
                 "stream %u %s: what came is not what was sent, at byte %" PRIu64, index, way,
                 s->received_bytes);
    else if (error == -ETIMEDOUT)
        snprintf(text, sizeof(text), "stream %u %s: stalled after %" PRIu64 " bytes", index, way,
                 s->received_bytes);
    else if (error)
        snprintf(text, sizeof(text), "stream %u %s: %s after %" PRIu64 " bytes", index, way,
                 strerror(-error), s->received_bytes);
    else
        return;
    guest_broken(&n->g, FAIL, text);
}

static void judge_transfer(struct net *n, const struct transfer *t)
{
    static const char *const labels[] = {
        [TRANSFER_BACKEND] = "to-frontend", [TRANSFER_FRONTEND] = "to-backend"};
    uint64_t bytes[TRANSFER_SIDES] = {0}, took[TRANSFER_SIDES] = {0};
    const struct transfer_stream *s;
    unsigned count;

    s = transfer_streams(t, &count);
    for (unsigned i = 0; i < count; i++) {
        judge_stream(n, i, &s[i]);
        bytes[s[i].from] += s[i].received_bytes;
        if (s[i].took_ns > took[s[i].from])
            took[s[i].from] = s[i].took_ns;
    }
    for (unsigned i = 0; i < TRANSFER_SIDES; i++)
        if (bytes[i])
            note_rate(n, labels[i], bytes[i], (double)took[i] / 1e9);
    guest_judge_timeline(&n->g);
    guest_judge_metrics(&n->g, bytes[TRANSFER_BACKEND], bytes[TRANSFER_FRONTEND]);
}

static void run_transfer(struct net *n)
{
    const struct scenario_transfer *f = &n->g.scenario->transfer;
    const struct transfer_plan plan = {
        .bytes = f->bytes,
        .streams = {[TRANSFER_BACKEND] = f->direction == DIRECTION_TO_BACKEND ? 0 : f->streams,
                    [TRANSFER_FRONTEND] = f->direction == DIRECTION_TO_FRONTEND ? 0 : f->streams},
        .stall_ns = STALL_NS,
        .address = {[TRANSFER_BACKEND] = BACKEND_ADDRESS, [TRANSFER_FRONTEND] = FRONTEND_ADDRESS},
        .netns = {[TRANSFER_FRONTEND] = n->g.cell->guest_netns},
        .seed = n->g.options->seed,
    };
    struct transfer *t;
    char why[200];

    if (transfer_start(&plan, &t, why, sizeof(why))) {
        guest_broken(&n->g, ERROR, why);
        return;
    }
    struct process *const ends[] = {transfer_process(t, TRANSFER_BACKEND),
                                    transfer_process(t, TRANSFER_FRONTEND)};
    n->g.transfer = t;
    if (!guest_attend(&n->g, ends, TRANSFER_SIDES))
        judge_transfer(n, t);
    n->g.transfer = NULL;
    transfer_destroy(t);
}

/* ---- afterwards ---- */

/* Nothing is proved by a run in which nothing was lost. */
static void judge_loss(struct net *n, const char *what, uint64_t count)
{
    char text[100];

    snprintf(text, sizeof(text), "%" PRIu64, count);
    report_pairs_add(&n->g.check->notes, what, text);
    if (count)
        return;
    snprintf(text, sizeof(text), "%s: none, though the scenario has some lost", what);
    guest_broken(&n->g, ERROR, text);
}

static void judge_losses(struct net *n, uint64_t interrupts)
{
    json_t *stats = load(n, "netfront.json");
    const json_t *doorbells = json_object_get(stats, "doorbells_lost");

    if (n->g.scenario->lose_interrupts)
        judge_loss(n, "interrupts-lost", interrupts);
    if (n->g.scenario->lose_doorbells)
        judge_loss(n, "doorbells-lost", (uint64_t)json_integer_value(doorbells));
    json_decref(stats);
}

/* What the frontend itself saw, and how it ended: it takes its memory back, which a backend that
 * keeps a page prevents. */
static void judge_front(struct net *n)
{
    char text[200], end[96];
    uint64_t interrupts = 0;

    if (n->g.scenario->lose_interrupts &&
        n->g.cell->ops->domain_lost_interrupts(n->g.cell, &interrupts))
        guest_broken(&n->g, ERROR, n->g.cell->why);

    (void)process_signal(&n->g.process, SIGCONT);
    process_end(&n->g.process, SIGTERM, READY_NS);
    n->g.check->expectations++;
    if (!WIFEXITED(n->g.process.status) || WEXITSTATUS(n->g.process.status)) {
        snprintf(text, sizeof(text), "the network frontend ended with %s",
                 process_describe_end(&n->g.process, end, sizeof(end)));
        guest_broken(&n->g, FAIL, text);
    }
    judge_losses(n, interrupts);
}

void net_run(const struct run_options *o, struct testbed_cell *c, const struct job *job,
             uint64_t deadline_ns, struct report_cell *cell)
{
    struct net n = {.server = PROCESS_INIT, .client = PROCESS_INIT};
    bool iperf = job->plan.scenario->run == RUN_IPERF3;
    int ret;

    if (guest_begin(&n.g, iperf ? "iperf3" : "the transfer", o, c, job, deadline_ns, cell))
        return;
    if (iperf && access(IPERF3, X_OK)) {
        guest_broken(&n.g, SKIP, "iperf3 is not installed");
        guest_end(&n.g);
        return;
    }
    ret = start_interfaces(&n);
    if (ret)
        guest_broken(&n.g, ret == -ECHILD ? FAIL : ERROR, c->why);
    else if (iperf)
        run_iperf(&n);
    else
        run_transfer(&n);
    if (n.g.process.pid)
        judge_front(&n);
    guest_end(&n.g);
}
