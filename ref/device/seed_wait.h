/* SPDX-License-Identifier: MIT */
/*
 * Waits until the kernel's random numbers can be had.
 *
 * A kernel that was just booted on a processor without such an instruction gathers entropy only
 * while somebody is blocked in getrandom(2): who asks with GRND_NONBLOCK alone may be refused for
 * minutes. An event loop cannot block, so a thread does.
 */
#ifndef RP_DEVICE_SEED_WAIT_H
#define RP_DEVICE_SEED_WAIT_H

#include <stdbool.h>

#include "util/evloop.h"

struct seed_wait;

/* False when there is nothing to wait for. */
bool seed_is_missing(void);

/* `ready` is called once, from the loop; the wait can be ended in it. */
int seed_wait_start(struct evloop *loop, void (*ready)(void *user), void *user,
                    struct seed_wait **out);
/* Whether it is over or not. NULL is allowed. */
void seed_wait_end(struct seed_wait *w);

#endif
