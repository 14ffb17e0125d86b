/* SPDX-License-Identifier: MIT */
/*
 * ringproof-ringtest: measures a program of Linux's tools/virtio/ringtest as bench/ring measures
 * ours, and prints the same line of JSON. Both have the same two CPUs, and the round trip of a
 * cache line between them is taken before and after.
 *
 * The programs, which are as Linux has them, say nothing of time: they pass a number of buffers and
 * end. Their start is measured by one buffer, and subtracted.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peers/pace.h"
#include "ringbench/cpu.h"
#include "ringbench/shared.h"
#include "util/bits.h"
#include "util/parse.h"

#define PING_NS     15000000u
#define STARTS      3u
#define TRY_BUFFERS 100000u
#define TRIES       3u
#define BUFFERS_MAX 1000000000u
#define GRACE_S     20u

struct options {
    const char *from, *peer;
    unsigned size, depth, driver_cpu, device_cpu;
    uint64_t measure_ns;
    bool priority;
};

static void too_late(int signal_number)
{
    static const char text[] = "ringproof-ringtest: no end in sight, given up\n";
    ssize_t done = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)signal_number;
    (void)done;
    _exit(2);
}

static uint64_t timeval_ns(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_usec * 1000u;
}

/* Passes that many buffers. 0 or -errno. */
static int run(const struct options *o, uint64_t buffers, struct pace *r)
{
    char path[4096], count[24], size[16], depth[16], driver[16], device[16];
    char *const argv[] = {path,   "--run-cycles",    count,  "--ring-size",
                          size,   "--outstanding",   depth,  "--guest-affinity",
                          driver, "--host-affinity", device, NULL};
    uint64_t begin = wall_ns();
    pid_t self = getpid(), child;
    struct rusage used;
    int status;

    *r = (struct pace){0};
    snprintf(path, sizeof(path), "%s/%s", o->from, o->peer);
    snprintf(count, sizeof(count), "%llu", (unsigned long long)buffers);
    snprintf(size, sizeof(size), "%u", o->size);
    snprintf(depth, sizeof(depth), "%u", o->depth);
    snprintf(driver, sizeof(driver), "%u", o->driver_cpu);
    snprintf(device, sizeof(device), "%u", o->device_cpu);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == self)
            execv(path, argv);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &used) != child)
        return -errno;
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -EIO;
    r->wall_ns = wall_ns() - begin;
    r->cpu_ns = timeval_ns(used.ru_utime) + timeval_ns(used.ru_stime);
    return 0;
}

/* What a run takes beside its buffers: the least of a few. */
static int measure_start(const struct options *o, struct pace *start)
{
    *start = (struct pace){UINT64_MAX, UINT64_MAX};
    for (unsigned i = 0; i < STARTS; i++) {
        struct pace one;
        int rc = run(o, 1, &one);

        if (rc)
            return rc;
        start->wall_ns = min_u64(start->wall_ns, one.wall_ns);
        start->cpu_ns = min_u64(start->cpu_ns, one.cpu_ns);
    }
    return 0;
}

/* As many buffers as take about as long as was asked for. */
static int measure(const struct options *o, uint64_t *buffers, struct pace *net)
{
    struct pace start, all;
    int rc = measure_start(o, &start);

    *buffers = TRY_BUFFERS;
    for (unsigned i = 0; rc == 0; i++) {
        rc = run(o, *buffers, &all);
        if (rc)
            break;
        *net = pace_net(all, start);
        if (i == TRIES || net->wall_ns >= o->measure_ns - o->measure_ns / 4)
            break;
        *buffers = pace_buffers(*buffers, net->wall_ns, o->measure_ns, BUFFERS_MAX);
    }
    return rc;
}

/* The round trip of a cache line between the two CPUs; 0 when it could not be measured. */
static double probe(struct shared *s)
{
    pid_t self = getpid(), child = fork();
    double ns;
    int status;

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != self || cpu_pin(s->row->device_cpu))
            _exit(2);
        shared_answer(s);
        _exit(0);
    }
    if (child < 0)
        return 0;
    ns = shared_ping(s, PING_NS);
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status) ? ns
                                                                                            : 0;
}

static void usage(FILE *f)
{
    fputs("usage: ringproof-ringtest --from DIR --peer NAME [OPTION]...\n"
          "Measures a program of Linux's ringtest; one line of JSON as ringproof-ring has it.\n"
          "  --from DIR        where it is (bench/peers/build.sh --path)\n"
          "  --peer NAME       ring, virtio_ring_0_9, virtio_ring_inorder\n"
          "  --size N          entries of the ring (default 256)\n"
          "  --depth N         buffers outstanding at most (default: as many as fit)\n"
          "  --driver-cpu N    (default 0)\n"
          "  --device-cpu N    (default 1)\n"
          "  --measure-ms N    (default 60)\n"
          "  --priority        before others, where that is allowed\n",
          f);
}

static int take(struct options *o, int option, const char *value)
{
    uint64_t ms;

    switch (option) {
    case 'f':
        o->from = value;
        return 0;
    case 'n':
        o->peer = value;
        return strchr(value, '/') ? -EINVAL : 0;
    case 's':
        return parse_u32(value, 1, VIRTQ_SIZE_MAX, &o->size) || !is_pow2(o->size) ? -EINVAL : 0;
    case 'd':
        return parse_u32(value, 1, VIRTQ_SIZE_MAX, &o->depth);
    case 'g':
        return parse_u32(value, 0, 1023, &o->driver_cpu);
    case 'h':
        return parse_u32(value, 0, 1023, &o->device_cpu);
    case 'm':
        if (parse_u64(value, 1, 3600000, &ms))
            return -EINVAL;
        o->measure_ns = ms * 1000000;
        return 0;
    case 'p':
        o->priority = true;
        return 0;
    default:
        return -EINVAL;
    }
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option table[] = {{"from", required_argument, NULL, 'f'},
                                          {"peer", required_argument, NULL, 'n'},
                                          {"size", required_argument, NULL, 's'},
                                          {"depth", required_argument, NULL, 'd'},
                                          {"driver-cpu", required_argument, NULL, 'g'},
                                          {"device-cpu", required_argument, NULL, 'h'},
                                          {"measure-ms", required_argument, NULL, 'm'},
                                          {"priority", no_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, '?'},
                                          {0}};
    int option, index = 0;

    *o = (struct options){.size = 256, .device_cpu = 1, .measure_ns = 60000000};
    while ((option = getopt_long(argc, argv, "", table, &index)) != -1)
        if (option == '?' || take(o, option, optarg)) {
            usage(stderr);
            return -EINVAL;
        }
    if (o->depth == 0)
        o->depth = o->size;
    if (optind != argc || !o->from || !o->peer || o->driver_cpu == o->device_cpu) {
        usage(stderr);
        return -EINVAL;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o;
    struct row row;
    struct shared s;
    struct pace net = {0};
    double before, after, own;
    uint64_t buffers = 0;
    int rc = parse(argc, argv, &o);

    if (rc)
        return 3;
    row = (struct row){.ring = ROW_FLOOR,
                       .size = 1,
                       .depth = 1,
                       .driver_cpu = o.driver_cpu,
                       .device_cpu = o.device_cpu};
    rc = shared_init(&s, &row);
    if (rc) {
        fprintf(stderr, "ringproof-ringtest: memory to share: %s\n", strerror(-rc));
        return 2;
    }
    if (o.priority)
        cpu_prefer_session();
    signal(SIGALRM, too_late);
    alarm((unsigned)(o.measure_ns / 250000000u) + GRACE_S);
    rc = cpu_pin(o.driver_cpu);
    before = rc ? 0 : probe(&s);
    if (rc == 0)
        rc = measure(&o, &buffers, &net);
    after = rc ? 0 : probe(&s);
    shared_fini(&s);
    if (rc || before <= 0 || after <= 0) {
        fprintf(stderr, "ringproof-ringtest: %s: %s\n", o.peer,
                rc ? strerror(-rc) : "no round trip");
        return 2;
    }
    own = pace_own_cpu(net);
    printf("{\"ns_per_unit\": %.4f, \"buffers\": %llu, \"round_trip_ns\": [%.1f, %.1f], "
           "\"own_cpu\": [%.4f, %.4f]}\n",
           (double)net.wall_ns / (double)buffers, (unsigned long long)buffers, before, after, own,
           own);
    return fflush(stdout) ? 2 : 0;
}
