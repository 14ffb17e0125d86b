/* SPDX-License-Identifier: MIT */
#include "peers/peer.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ringbench/cpu.h"
#include "util/parse.h"
#include "util/session.h"

#define PING_NS 15000000u

int peer_take(struct peer *p, int option, const char *value)
{
    uint64_t ms;

    switch (option) {
    case PEER_DRIVER_CPU:
        return parse_u32(value, 0, CPU_SETSIZE - 1, &p->driver_cpu) ? -EINVAL : 0;
    case PEER_DEVICE_CPU:
        return parse_u32(value, 0, CPU_SETSIZE - 1, &p->device_cpu) ? -EINVAL : 0;
    case PEER_MEASURE:
        if (parse_u64(value, 1, 3600000, &ms))
            return -EINVAL;
        p->measure_ns = ms * 1000000;
        return 0;
    case PEER_PRIORITY:
        p->priority = true;
        return 0;
    default:
        return -ENOENT;
    }
}

int peer_parse(const struct peer_parser *p, int argc, char **argv, void *to)
{
    int option;

    while ((option = getopt_long(argc, argv, "", p->table, NULL)) != -1) {
        if (option == p->help) {
            p->usage(stdout);
            return 1;
        }
        if (option == '?' || p->take(to, option, optarg)) {
            p->usage(stderr);
            return -EINVAL;
        }
    }
    if (optind == argc)
        return 0;
    p->usage(stderr);
    return -EINVAL;
}

static void too_late(int signal_number)
{
    static const char text[] = "no end in sight, given up\n";
    ssize_t done = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)signal_number;
    (void)done;
    _exit(2);
}

/* The round trip of a cache line between the two CPUs; 0 when it could not be measured. */
static double probe(struct peer *p)
{
    pid_t self = getpid(), child = fork();
    double ns = 0;
    int status;

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != self || cpu_pin(p->device_cpu))
            _exit(2);
        shared_answer(&p->shared);
        _exit(0);
    }
    if (child < 0)
        return 0;
    ns = shared_ping(&p->shared, PING_NS);
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status) ? ns
                                                                                            : 0;
}

/* This process is on the driver's CPU for that, and no longer. */
static int round_trip(struct peer *p, double *ns)
{
    int rc;

    if (!CPU_ISSET(p->device_cpu, &p->before_pin))
        return -EINVAL; /* nobody would answer */
    rc = cpu_pin(p->driver_cpu);
    *ns = rc ? 0 : probe(p);
    (void)sched_setaffinity(0, sizeof(p->before_pin), &p->before_pin);
    return rc ? rc : *ns > 0 ? 0 : -EIO;
}

static int explain(const struct peer *p, const char *what, int rc)
{
    if (rc)
        fprintf(stderr, "%s: %s: %s\n", p->program, what, strerror(-rc));
    return rc;
}

int peer_begin(struct peer *p, unsigned grace_s)
{
    int rc;

    if (p->driver_cpu == p->device_cpu)
        return explain(p, "the two sides need a CPU each", -EINVAL);
    p->row = (struct row){.ring = ROW_FLOOR,
                          .size = 1,
                          .depth = 1,
                          .driver_cpu = p->driver_cpu,
                          .device_cpu = p->device_cpu};
    rc = shared_init(&p->shared, &p->row);
    if (rc)
        return explain(p, "memory to share", rc);
    if (p->priority)
        session_prefer();
    signal(SIGALRM, too_late);
    alarm((unsigned)(p->measure_ns / 250000000u) + grace_s);
    if (sched_getaffinity(0, sizeof(p->before_pin), &p->before_pin))
        return explain(p, "its CPUs", -errno);
    return explain(p, "round trip of a cache line", round_trip(p, &p->round_trip_ns));
}

int peer_report(struct peer *p, double ns_per_unit, const char *units_name, uint64_t units,
                const double own_cpu[2])
{
    double after = 0;
    int rc = explain(p, "round trip of a cache line", round_trip(p, &after));

    if (rc)
        return rc;
    printf("{\"ns_per_unit\": %.4f, \"%s\": %llu, \"round_trip_ns\": [%.1f, %.1f], "
           "\"own_cpu\": [%.4f, %.4f]}\n",
           ns_per_unit, units_name, (unsigned long long)units, p->round_trip_ns, after, own_cpu[0],
           own_cpu[1]);
    return fflush(stdout) ? -EIO : 0;
}

void peer_end(struct peer *p)
{
    shared_fini(&p->shared);
}
