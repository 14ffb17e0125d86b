/* SPDX-License-Identifier: MIT */
/*
 * The ways from a driver's address to bytes that Xen offers, by name. `--memory NAME` of the
 * backend selects one; each is an implementation of gmem/gmem.h and can be exchanged for any
 * other that serves the same kind of address.
 *
 *   name         addresses served             how
 *   auto         grants and guest-physical    each address its own way, mixed within a request
 *   grant-map    grants (bit 63 set)          mapped for the time of the request
 *   foreign-map  guest-physical               mapped for the time of the request
 *
 * All three map everything that a request names in one call a kind of access: device-readable
 * ranges with PROT_READ, for a driver grants them read-only and Xen refuses more; writable ones
 * with PROT_READ | PROT_WRITE. That makes one map and one unmap call for a plain request and two
 * for one with both directions (`auto`: twice that at most, when kinds of address are mixed).
 */
#ifndef RP_XEN_GMEM_STRATEGY_H
#define RP_XEN_GMEM_STRATEGY_H

#include "gmem/gmem.h"
#include "xen/handles.h"

#define GMEM_STRATEGY_DEFAULT "auto"

/* The most pages that one lease may map; a driver that asks for more gets -EFAULT, so that it
 * cannot have the host allocate without bound. 256 MiB. */
#define GMEM_LEASE_PAGES_MAX 65536u

struct gmem_strategy_args {
    struct xen_handles *xen; /* borrowed; outlives the gmem */
    uint16_t domid;          /* whose memory */
};

struct gmem_strategy {
    const char *name;
    const char *summary; /* one line for --help */
    /* *out is released with gmem_destroy. 0 or -ENOMEM. */
    int (*create)(const struct gmem_strategy_args *args, struct gmem **out);
};

/* The table, ended by an entry without a name. */
const struct gmem_strategy *gmem_strategies(void);
/* NULL when there is none of this name. */
const struct gmem_strategy *gmem_strategy_find(const char *name);

#endif
