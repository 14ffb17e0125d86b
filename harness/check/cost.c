/* SPDX-License-Identifier: MIT */
#include "check/cost.h"

#include <stdlib.h>
#include <string.h>

uint64_t cost_now(void)
{
    uint64_t now;

    /* Behind everything that is measured, also on a processor that looks ahead. */
#if defined(__x86_64__)
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    now = (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(now) : : "memory");
#else
#error "which counter has this processor?"
#endif
    return now;
}

double cost_ticks_of_ns(void)
{
#if defined(__x86_64__)
    /* QEMU's TSC has 1 GHz where it counts instructions. */
    return 1;
#else
    uint64_t hz;

    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
    return (double)hz / 1e9;
#endif
}

void cost_measure(struct cost *c, unsigned operations, void (*run)(void *arg, unsigned operations),
                  void *arg)
{
    *c = (struct cost){.operations = operations};
    for (unsigned i = 0; i < COST_WARM_UP; i++)
        run(arg, operations);
    for (; c->batches < COST_BATCHES; c->batches++) {
        uint64_t begin = cost_now();

        run(arg, operations);
        c->ticks[c->batches] = cost_now() - begin;
    }
}

static int ascending(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The quantile q of n >= 1 ascending values, between two of them by their distance. */
static double quantile(const uint64_t *ascending_values, unsigned n, double q)
{
    double at = q * (n - 1);
    unsigned k = (unsigned)at;
    double here = (double)ascending_values[k];

    return k + 1 < n ? here + (at - k) * ((double)ascending_values[k + 1] - here) : here;
}

bool cost_tell(const struct cost *c, double ticks_of_ns, struct cost_told *told)
{
    uint64_t ticks[COST_BATCHES];
    unsigned n = c->batches;

    if (n == 0 || n > COST_BATCHES || c->operations == 0)
        return false;
    memcpy(ticks, c->ticks, n * sizeof(*ticks));
    qsort(ticks, n, sizeof(*ticks), ascending);
    double one = ticks_of_ns * c->operations;
    *told = (struct cost_told){.median = quantile(ticks, n, 0.5) / one,
                               .low = quantile(ticks, n, 0.1) / one,
                               .high = quantile(ticks, n, 0.9) / one};
    return true;
}

void cost_note(struct check_ctx *t, const char *row, const struct cost *c)
{
    struct cost_told told;

    if (!cost_tell(c, cost_ticks_of_ns(), &told))
        error_out(t, "%s: nothing was measured", row);
    note(t, "row", "%s", row);
    note(t, "median", "%.2f", told.median);
    note(t, "low", "%.2f", told.low);
    note(t, "high", "%.2f", told.high);
    note(t, "batches", "%u", c->batches);
    note(t, "operations", "%u", c->operations);
}
