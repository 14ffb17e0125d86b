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
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peers/pace.h"
#include "peers/peer.h"
#include "util/bits.h"
#include "util/parse.h"

#define STARTS      3u
#define TRY_BUFFERS 100000u
#define TRIES       3u
#define BUFFERS_MAX 1000000000u
#define GRACE_S     20u

struct options {
    struct peer common;
    const char *from, *peer;
    unsigned size, depth;
};

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
    snprintf(driver, sizeof(driver), "%u", o->common.driver_cpu);
    snprintf(device, sizeof(device), "%u", o->common.device_cpu);
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
        if (i == TRIES || net->wall_ns >= o->common.measure_ns - o->common.measure_ns / 4)
            break;
        *buffers = pace_buffers(*buffers, net->wall_ns, o->common.measure_ns, BUFFERS_MAX);
    }
    return rc;
}

static void usage(FILE *f)
{
    fputs("usage: ringproof-ringtest --from DIR --peer NAME [OPTION]...\n"
          "Measures a program of Linux's ringtest; one line of JSON as ringproof-ring has it.\n"
          "  --from DIR        where it is (bench/peers/build.sh --path)\n"
          "  --peer NAME       ring, virtio_ring_0_9, virtio_ring_inorder\n"
          "  --size N          entries of the ring (default 256)\n"
          "  --depth N         buffers outstanding at most (default: as many as fit)\n" PEER_USAGE,
          f);
}

static int take(void *to, int option, const char *value)
{
    struct options *o = to;

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
    default:
        return peer_take(&o->common, option, value);
    }
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option table[] = {{"from", required_argument, NULL, 'f'},
                                          {"peer", required_argument, NULL, 'n'},
                                          {"size", required_argument, NULL, 's'},
                                          {"depth", required_argument, NULL, 'd'},
                                          PEER_OPTIONS,
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    const struct peer_parser parser = {table, 'h', take, usage};
    int rc;

    *o = (struct options){.common = PEER_DEFAULTS("ringproof-ringtest"), .size = 256};
    rc = peer_parse(&parser, argc, argv, o);
    if (o->depth == 0)
        o->depth = o->size;
    if (rc || (o->from && o->peer))
        return rc;
    usage(stderr);
    return -EINVAL;
}

int main(int argc, char **argv)
{
    struct options o;
    struct pace net = {0};
    uint64_t buffers = 0;
    int rc = parse(argc, argv, &o);

    if (rc)
        return rc == 1 ? 0 : 3;
    rc = peer_begin(&o.common, GRACE_S);
    if (rc == 0) {
        rc = measure(&o, &buffers, &net);
        if (rc)
            fprintf(stderr, "ringproof-ringtest: %s: %s\n", o.peer, strerror(-rc));
    }
    if (rc == 0) {
        double own = pace_own_cpu(net);

        rc = peer_report(&o.common, (double)net.wall_ns / (double)buffers, "buffers", buffers,
                         (const double[]){own, own});
    }
    peer_end(&o.common);
    return rc ? 2 : 0;
}
