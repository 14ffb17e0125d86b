/* SPDX-License-Identifier: MIT */
/*
 * ringproof-testpmd: measures DPDK's testpmd as bench/ring measures ours, and prints the same line
 * of JSON. Two processes, each with one forwarding thread on a CPU of its own:
 *
 *   driver   virtio-user, "txonly": takes a packet from its pool, writes it, makes it available,
 *            and gives what was used back to the pool
 *   device   vhost, "rxonly": takes what is available, copies it to memory of its own, uses it,
 *            and drops the copy
 *
 * which is what the two sides of bench/ring do with --copy. What was passed is asked of the
 * device, by telemetry, when the time begins and when it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "peers/peer.h"
#include "peers/telemetry.h"
#include "peers/thread.h"
#include "testbed/process.h"
#include "util/parse.h"

#define GRACE_S     40u
#define START_MS    10000u
#define END_NS      5000000000u
#define LOOK_NS     2000000u
#define FOLDER      "/tmp/ringproof-testpmd-XXXXXX"
#define WORKER      "rte-worker-1" /* the forwarding thread of each: lcore 1 */
#define BURST_MAX   512u           /* testpmd's own */
#define PAYLOAD_MIN 64u            /* a packet with the headers that testpmd writes */
#define PAYLOAD_MAX 1500u

struct options {
    struct peer common;
    const char *program;
    bool packed, in_order, vectorized;
    unsigned size, burst, payload;
};

/* One of the two. */
struct side {
    const char *name;
    unsigned cpu;
    struct process process;
    int leave; /* it ends when this is closed */
    int telemetry;
    struct thread_time worker;
};

struct flow {
    const struct options *o;
    char folder[sizeof(FOLDER)];
    char socket[sizeof(FOLDER) + 8];
    struct side driver, device;
};

/* What one moment of a side's counts says. */
struct moment {
    uint64_t packets, ns, driver_cpu_ns, device_cpu_ns;
};

/* ---- the two processes ---- */

static void add_common(const struct options *o, const struct side *s, struct words *argv)
{
    words_add(argv, o->program);
    words_add(argv, "--no-huge");
    words_add(argv, "--no-pci");
    words_add(argv, "-m");
    words_add(argv, "256");
    words_addf(argv, "--file-prefix=%s", s->name);
    /* Only the forwarding thread has its CPU for itself. */
    words_addf(argv, "--lcores=0@(%u,%u),1@%u", o->common.driver_cpu, o->common.device_cpu, s->cpu);
}

static void add_forwarding(const struct options *o, const char *mode, struct words *argv)
{
    words_add(argv, "--");
    words_add(argv, "--auto-start");
    words_add(argv, "--nb-cores=1");
    words_add(argv, "--no-mlockall");
    words_add(argv, "--total-num-mbufs=16384");
    words_addf(argv, "--burst=%u", o->burst);
    words_addf(argv, "--forward-mode=%s", mode);
}

static int side_start(const struct flow *f, struct side *s, const struct words *argv)
{
    struct words env = {0};
    char log[sizeof(f->folder) + 16];
    int leave[2], rc;

    if (pipe2(leave, O_CLOEXEC))
        return -errno;
    words_add_environment(&env);
    words_set(&env, "RUNTIME_DIRECTORY", f->folder);
    words_set(&env, "XDG_RUNTIME_DIR", f->folder);
    snprintf(log, sizeof(log), "%s/%s.log", f->folder, s->name);
    const struct process_start start = {.argv = argv,
                                        .env = &env,
                                        .log = log,
                                        .stdin_fd = leave[0],
                                        .stdout_fd = -1,
                                        .pass_fd = -1};
    rc = argv->failed || env.failed ? -ENOMEM : process_spawn(&start, &s->process);
    words_fini(&env);
    close(leave[0]);
    if (rc)
        close(leave[1]);
    else
        s->leave = leave[1];
    return rc;
}

static int device_start(struct flow *f)
{
    const uint64_t deadline = monotonic_ns() + (uint64_t)START_MS * 1000000u;
    const struct timespec moment = {.tv_nsec = LOOK_NS};
    struct words argv = {0};
    int rc;

    add_common(f->o, &f->device, &argv);
    words_addf(&argv, "--vdev=net_vhost0,iface=%s,queues=1", f->socket);
    add_forwarding(f->o, "rxonly", &argv);
    rc = side_start(f, &f->device, &argv);
    words_fini(&argv);
    /* A connection that only looked would be taken for a driver. */
    while (!rc && access(f->socket, F_OK)) {
        if (!process_running(&f->device.process))
            rc = -EPIPE;
        else if (monotonic_ns() >= deadline)
            rc = -ETIMEDOUT;
        (void)nanosleep(&moment, NULL);
    }
    return rc;
}

static int driver_start(struct flow *f)
{
    const struct options *o = f->o;
    struct words argv = {0};
    int rc;

    add_common(o, &f->driver, &argv);
    /* The vectors of a packed ring are those of AVX-512, which have to be asked for. */
    if (o->vectorized)
        words_add(&argv, "--force-max-simd-bitwidth=512");
    words_addf(&argv,
               "--vdev=net_virtio_user0,path=%s,queues=1,queue_size=%u,packed_vq=%d,in_order=%d,"
               "vectorized=%d,mrg_rxbuf=0",
               f->socket, o->size, o->packed, o->in_order, o->vectorized);
    add_forwarding(o, "txonly", &argv);
    words_addf(&argv, "--txd=%u", o->size);
    words_addf(&argv, "--rxd=%u", o->size);
    words_addf(&argv, "--txpkts=%u", o->payload);
    rc = side_start(f, &f->driver, &argv);
    words_fini(&argv);
    return rc;
}

static int side_watch(const struct flow *f, struct side *s)
{
    int rc = telemetry_connect(f->folder, s->name, START_MS, &s->telemetry);

    return rc ? rc : thread_find(s->process.pid, WORKER, &s->worker);
}

static void side_end(struct side *s)
{
    if (s->telemetry >= 0)
        close(s->telemetry);
    if (s->leave >= 0)
        close(s->leave);
    if (s->process.pid && process_wait(&s->process, END_NS))
        (void)process_end(&s->process, SIGKILL, END_NS);
}

/* ---- measuring ---- */

static int take_moment(struct flow *f, struct moment *m)
{
    struct telemetry_stats stats;
    int rc = telemetry_stats(f->device.telemetry, &stats);

    m->ns = wall_ns();
    m->packets = stats.received;
    if (!rc)
        rc = thread_cpu_ns(&f->driver.worker, &m->driver_cpu_ns);
    return rc ? rc : thread_cpu_ns(&f->device.worker, &m->device_cpu_ns);
}

static void let_pass(uint64_t ns)
{
    const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u),
                               .tv_nsec = (long)(ns % 1000000000u)};

    (void)nanosleep(&t, NULL);
}

/* Until packets come. */
static int wait_for_packets(struct flow *f)
{
    const uint64_t deadline = monotonic_ns() + (uint64_t)START_MS * 1000000u;
    struct moment m = {0};
    int rc = 0;

    while (!rc && m.packets == 0) {
        rc = monotonic_ns() < deadline ? take_moment(f, &m) : -ETIMEDOUT;
        if (!rc && m.packets == 0)
            let_pass(LOOK_NS);
    }
    return rc;
}

static int measure(struct flow *f, struct moment *begin, struct moment *end)
{
    const uint64_t measure_ns = f->o->common.measure_ns;
    int rc = wait_for_packets(f);

    if (rc)
        return rc;
    let_pass(measure_ns / 10); /* as bench/ring warms up */
    rc = take_moment(f, begin);
    if (rc)
        return rc;
    let_pass(measure_ns);
    rc = take_moment(f, end);
    if (!rc && end->packets <= begin->packets)
        rc = -ETIMEDOUT;
    return rc;
}

static int report(struct options *o, const struct moment *begin, const struct moment *end)
{
    const double ns = (double)(end->ns - begin->ns);
    const double own[] = {(double)(end->driver_cpu_ns - begin->driver_cpu_ns) / ns,
                          (double)(end->device_cpu_ns - begin->device_cpu_ns) / ns};
    const uint64_t packets = end->packets - begin->packets;

    return peer_report(&o->common, ns / (double)packets, "packets", packets, own);
}

static void explain(const struct flow *f, const char *what, int rc)
{
    const struct side *sides[] = {&f->driver, &f->device};

    fprintf(stderr, "ringproof-testpmd: %s: %s\n", what, strerror(-rc));
    for (unsigned i = 0; i < 2; i++) {
        char path[sizeof(f->folder) + 16];
        char *tail;

        snprintf(path, sizeof(path), "%s/%s.log", f->folder, sides[i]->name);
        tail = file_tail(path, 1024);
        if (tail && *tail)
            fprintf(stderr, "---- %s\n%s\n", sides[i]->name, tail);
        free(tail);
    }
}

static int run(struct options *o)
{
    struct flow f = {.o = o, .folder = FOLDER};
    struct moment begin, end;
    const char *what = "the device's process";
    int rc;

    f.driver = (struct side){
        .name = "driver", .cpu = o->common.driver_cpu, .process = PROCESS_INIT, .leave = -1};
    f.device = (struct side){
        .name = "device", .cpu = o->common.device_cpu, .process = PROCESS_INIT, .leave = -1};
    f.driver.telemetry = f.device.telemetry = -1;
    if (!mkdtemp(f.folder)) {
        rc = -errno;
        fprintf(stderr, "ringproof-testpmd: %s: %s\n", f.folder, strerror(-rc));
        return rc;
    }
    snprintf(f.socket, sizeof(f.socket), "%s/socket", f.folder);
    rc = device_start(&f);
    if (!rc)
        rc = side_watch(&f, &f.device);
    if (!rc) {
        what = "the driver's process";
        rc = driver_start(&f);
    }
    if (!rc)
        rc = side_watch(&f, &f.driver);
    if (!rc) {
        what = "packets";
        rc = measure(&f, &begin, &end);
    }
    side_end(&f.driver);
    side_end(&f.device);
    if (rc)
        explain(&f, what, rc);
    remove_tree(f.folder);
    return rc ? rc : report(o, &begin, &end);
}

/* ---- options ---- */

enum { PROGRAM = 1, SIZE, BURST, PAYLOAD, PACKED, IN_ORDER, VECTORIZED, HELP };

static void usage(FILE *f)
{
    fputs("usage: ringproof-testpmd [OPTION]...\n"
          "Measures DPDK's testpmd: virtio-user sends, vhost takes. One line of JSON as\n"
          "ringproof-ring has it.\n"
          "  --packed --in-order --vectorized\n"
          "  --size N          entries of the ring, a power of two (default 256)\n"
          "  --batch N         packets at once (default 32)\n"
          "  --payload BYTES   of a packet, 64 to 1500 (default 64)\n"
          "  --testpmd PATH    (default /usr/bin/dpdk-testpmd)\n" PEER_USAGE,
          f);
}

static int take(void *to, int option, const char *value)
{
    struct options *o = to;

    switch (option) {
    case PROGRAM:
        o->program = value;
        return 0;
    case SIZE:
        return parse_u32(value, 32, 4096, &o->size) || o->size & (o->size - 1) ? -EINVAL : 0;
    case BURST:
        return parse_u32(value, 1, BURST_MAX, &o->burst);
    case PAYLOAD:
        return parse_u32(value, PAYLOAD_MIN, PAYLOAD_MAX, &o->payload);
    case PACKED:
        o->packed = true;
        return 0;
    case IN_ORDER:
        o->in_order = true;
        return 0;
    case VECTORIZED:
        o->vectorized = true;
        return 0;
    default:
        return peer_take(&o->common, option, value);
    }
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option table[] = {{"testpmd", required_argument, NULL, PROGRAM},
                                          {"size", required_argument, NULL, SIZE},
                                          {"batch", required_argument, NULL, BURST},
                                          {"payload", required_argument, NULL, PAYLOAD},
                                          {"packed", no_argument, NULL, PACKED},
                                          {"in-order", no_argument, NULL, IN_ORDER},
                                          {"vectorized", no_argument, NULL, VECTORIZED},
                                          PEER_OPTIONS,
                                          {"help", no_argument, NULL, HELP},
                                          {0}};
    const struct peer_parser parser = {table, HELP, take, usage};

    *o = (struct options){.common = PEER_DEFAULTS("ringproof-testpmd"),
                          .program = "/usr/bin/dpdk-testpmd",
                          .size = 256,
                          .burst = 32,
                          .payload = 64};
    return peer_parse(&parser, argc, argv, o);
}

int main(int argc, char **argv)
{
    struct options o;
    int rc = parse(argc, argv, &o);

    if (rc)
        return rc == 1 ? 0 : 3;
    rc = peer_begin(&o.common, GRACE_S);
    if (!rc)
        rc = run(&o);
    peer_end(&o.common);
    return rc ? 2 : 0;
}
