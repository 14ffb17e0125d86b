/* SPDX-License-Identifier: MIT */
/*
 * What an operation costs by the machine's own clock: many batches of the same operation, told by
 * the median of the batches and the middle 80 %.
 *
 * The clock is the processor's counter (TSC, CNTVCT), the same for all domains of a machine. On a
 * machine that counts instructions (testbed qemu with --icount) a nanosecond of it is one executed
 * instruction of the whole machine, Xen's and every domain's; x86's TSC then counts just that. On
 * any other machine the figures are no more than ticks of a clock.
 */
#ifndef RP_CHECK_COST_H
#define RP_CHECK_COST_H

#include <stdint.h>

#include "check/check.h"

#define COST_BATCHES 40u
/* Before them, so that caches and tables of whoever works are filled. */
#define COST_WARM_UP 2u

struct cost {
    uint64_t ticks[COST_BATCHES];
    unsigned batches;    /* of them measured */
    unsigned operations; /* in each */
};

uint64_t cost_now(void);
/* Ticks that make a nanosecond of a machine's clock that counts instructions. */
double cost_ticks_of_ns(void);

/* `run` does the operation so many times. */
void cost_measure(struct cost *c, unsigned operations, void (*run)(void *arg, unsigned operations),
                  void *arg);

struct cost_told {
    double median, low, high; /* ns for one operation: middle batch, and between which 80 % are */
};
/* False without a batch. */
bool cost_tell(const struct cost *c, double ticks_of_ns, struct cost_told *told);

/* A row of notes (check/check.h): "row", "median", "low", "high", "batches", "operations". An error
 * of the check without a batch. */
void cost_note(struct check_ctx *t, const char *row, const struct cost *c);

#endif
