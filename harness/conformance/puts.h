/* SPDX-License-Identifier: MIT */
/* All the devices that a toolstack put into the machine, behind whichever bridge and of whichever
 * backend, as the testbed says it. For checks with NEED_TESTBED. */
#ifndef RP_CONFORMANCE_PUTS_H
#define RP_CONFORMANCE_PUTS_H

#include "conformance/blkdev.h"

#define PUTS_MAX 32u

struct put {
    struct subject subject; /* the bound one, at this device's place, of its backend's domain */
    char backend[80];
    bool late; /* its backend is not there when the check begins */
};

struct puts {
    unsigned count;
    struct put of[PUTS_MAX];
};

struct puts *given_puts(struct check_ctx *t);
/* The host bridge that it is behind. */
struct fe_pci_host *put_host(struct check_ctx *t, const struct put *d);
/* `beside`: the one that was opened before, or NULL. */
struct blk *put_open_disk(struct check_ctx *t, struct put *d, const struct blk *beside);
/* Ask something of the device's backend; one that cannot has broken a MUST, and the check ends. */
void put_must(struct check_ctx *t, const char *what, const struct put *d);

#endif
