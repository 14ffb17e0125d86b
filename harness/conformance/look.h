/* SPDX-License-Identifier: MIT */
/* A scan that counts what it costs, from whatever thread makes the accesses. */
#ifndef RP_CONFORMANCE_LOOK_H
#define RP_CONFORMANCE_LOOK_H

#include "conformance/given.h"

#define LOOK_MAX 32u

/* Starts zeroed; adds up over several looks. */
struct look {
    unsigned accesses, faults;
    unsigned found;
    sbdf_t at[LOOK_MAX];
    bool too_many;
};

/* One place: is a function there? 0 (see `found`), or an error of the platform; an access that
 * aborts is none. */
int look_at(struct fe_pci_host *h, struct look *l, sbdf_t at);
/* As an operating system scans: functions 1 to 7 where function 0 says that there are more. */
int look_everywhere(struct fe_pci_host *h, struct look *l);
/* The same behind every host bridge that the guest knows of. */
int look_machine(const struct subject *s, struct look *l);

bool look_has(const struct look *l, sbdf_t at);

#endif
