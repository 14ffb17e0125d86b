/* SPDX-License-Identifier: MIT */
/* ringproof-ring: measures one row, prints one line of JSON. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ringbench/cpu.h"
#include "ringbench/shared.h"
#include "util/session.h"

#define PING_NS 15000000u
#define GRACE_S 10u

static void too_late(int signal_number)
{
    static const char text[] = "ringproof-ring: no end in sight, given up\n";
    ssize_t done = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)signal_number;
    (void)done;
    _exit(2);
}

static void device_process(struct shared *s, pid_t driver)
{
    struct shared_words *w = s->words;
    uint64_t wall, cpu;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != driver || cpu_pin(s->row->device_cpu))
        _exit(2);
    shared_answer(s);
    while (!__atomic_load_n(&w->ready, __ATOMIC_ACQUIRE))
        ;
    wall = wall_ns();
    cpu = cpu_ns();
    if (s->row->ring == ROW_FLOOR)
        floor_device_run(s);
    else
        device_run(s);
    w->device_cpu_ns = cpu_ns() - cpu;
    w->device_wall_ns = wall_ns() - wall;
    shared_answer(s);
    _exit(0);
}

static const char *error_text(int error)
{
    return error < 0 ? strerror(-error) : virtq_fault_name((enum virtq_fault)error);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static void print_latency(const struct histogram *h)
{
    static const double at[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
    bool first = true;

    printf(", \"latency\": {\"count\": %llu, \"quantiles_ns\": [", (unsigned long long)h->count);
    for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++)
        printf("%s[%g, %llu]", i ? ", " : "", at[i],
               (unsigned long long)histogram_quantile(h, at[i]));
    printf("], \"max_ns\": %llu, \"buckets\": [", (unsigned long long)h->max_ns);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (!h->buckets[i])
            continue;
        printf("%s[%llu, %llu]", first ? "" : ", ", (unsigned long long)histogram_bucket_end(i),
               (unsigned long long)h->buckets[i]);
        first = false;
    }
    printf("]}");
}

static int report(const struct shared *s, const struct driver_result *d, double before,
                  double after)
{
    const struct shared_words *w = s->words;

    if (d->error || w->device_error) {
        fprintf(stderr, "ringproof-ring: %s: %s\n", d->error ? "driver" : "device",
                error_text(d->error ? d->error : w->device_error));
        return 2;
    }
    if (d->buffers == 0) {
        fputs("ringproof-ring: not one buffer came back\n", stderr);
        return 2;
    }
    if (s->row->payload_bytes >= 8 && d->sum != w->device_sum) {
        fputs("ringproof-ring: what the device read is not what the driver wrote\n", stderr);
        return 2;
    }
    printf("{\"ns_per_unit\": %.4f, \"buffers\": %llu, \"checked\": %s, \"huge_pages\": %s, "
           "\"round_trip_ns\": [%.1f, %.1f], \"own_cpu\": [%.4f, %.4f], "
           "\"sleeps\": [%llu, %llu], \"doorbells\": %llu, \"interrupts\": %llu",
           (double)d->wall_ns / (double)d->buffers, (unsigned long long)d->buffers,
           ROW_CHECKED ? "true" : "false", s->huge ? "true" : "false", before, after,
           share(d->cpu_ns, d->wall_ns), share(w->device_cpu_ns, w->device_wall_ns),
           (unsigned long long)d->sleeps, (unsigned long long)w->device_sleeps,
           (unsigned long long)d->doorbells, (unsigned long long)w->device_interrupts);
    if (s->row->latency_ns)
        print_latency(&d->latency);
    puts("}");
    return fflush(stdout) ? 2 : 0;
}

int main(int argc, char **argv)
{
    struct driver_result *result = calloc(1, sizeof(*result));
    struct shared s;
    struct row row;
    double before, after;
    pid_t self = getpid(), child;
    int rc = row_parse(&row, argc, argv), status = 2;

    if (rc || !result) {
        free(result);
        return rc == 1 ? 0 : 3;
    }
    rc = shared_init(&s, &row);
    if (rc) {
        fprintf(stderr, "ringproof-ring: memory to share: %s\n", strerror(-rc));
        free(result);
        return 2;
    }
    if (row.priority)
        session_prefer();
    signal(SIGALRM, too_late);
    alarm((unsigned)((row.measure_ns + row.latency_ns) / 500000000u) + GRACE_S);
    fflush(stdout);
    child = fork();
    if (child == 0)
        device_process(&s, self);
    if (child < 0 || cpu_pin(row.driver_cpu)) {
        fprintf(stderr, "ringproof-ring: CPU %u: %s\n", row.driver_cpu, strerror(errno));
        goto out;
    }
    before = shared_ping(&s, PING_NS);
    if (row.ring == ROW_FLOOR)
        floor_driver_run(&s, result);
    else
        driver_run(&s, result);
    after = shared_ping(&s, PING_NS);
    if (waitpid(child, &rc, 0) != child || !WIFEXITED(rc) || WEXITSTATUS(rc))
        fputs("ringproof-ring: the device's process died\n", stderr);
    else
        status = report(&s, result, before, after);
    child = -1;
out:
    if (child > 0) {
        kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
    shared_fini(&s);
    free(result);
    return status;
}
