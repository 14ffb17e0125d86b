/* SPDX-License-Identifier: MIT */
/*
 * The ways from a driver's address to bytes that Xen offers, by name. `--memory NAME` of the
 * backend selects one; each is an implementation of gmem/gmem.h and can be exchanged for any
 * other that serves the same kind of address.
 *
 *   name              addresses       how
 *   auto              both            each its own way, mixed within a request, as the next two
 *   grant-map         grants          mapped for the time of the request
 *   grant-persistent  grants          mapped once and kept, in a cache of bounded size
 *   grant-copy        grants          copied by Xen; nothing but rings is mapped
 *   foreign-map       guest-physical  mapped for the time of the request
 *   foreign-buckets   guest-physical  mapped by aligned pieces of 1 MiB, which are kept in a cache
 *   foreign-whole     guest-physical  all of the guest's memory mapped in advance
 *   foreign-static    guest-physical  one region mapped in advance, and nothing else, ever: the
 *                                     driver copies to and from it
 *   shim              both            all of the memory mapped in advance, and the grant table
 *                                     itself: a reference is looked up in it
 *
 * What a driver may expect of each:
 *
 * Mapping for the time of a request takes one call a kind of access: device-readable ranges with
 * PROT_READ, for a driver grants them read-only and Xen refuses more; writable ones with
 * PROT_READ | PROT_WRITE. That makes one map and one unmap call for a plain request and two for
 * one with both directions (`auto`: twice that at most, when kinds of address are mixed).
 *
 * *grant-persistent* keeps references mapped that it has given back, up to GMEM_KEPT_PAGES_MAX, so
 * it is only for drivers that promise to leave references as they are until the queue or the
 * device is reset (a *pool*). A driver that takes its references back with each request, as
 * Linux does, finds them in use; unless it unmaps them in an IOMMU first, which has them dropped
 * (gmem/iommu.h).
 *
 * *grant-copy* learns only when it answers whether a buffer can be written. It has memory of its
 * own for what is in flight, up to GMEM_COPY_BYTES_MAX.
 *
 * *shim* is for a backend that owns the guest's memory, such as the host of a guest that runs on
 * an emulated Xen. It does for a reference what Xen does for a mapping: it looks at what was
 * granted and to whom, marks the entry as being read or written, and takes the marks away with
 * the lease. Nobody does that for a process that was killed: the guest goes with its owner.
 */
#ifndef RP_XEN_GMEM_STRATEGY_H
#define RP_XEN_GMEM_STRATEGY_H

#include "gmem/gmem.h"
#include "xen/handles.h"

#define GMEM_STRATEGY_DEFAULT "auto"

/* The most pages that one lease may map; a driver that asks for more gets -EFAULT, so that it
 * cannot have the host allocate without bound. 256 MiB. */
#define GMEM_LEASE_PAGES_MAX 65536u
/* What grant-persistent keeps: pages, and runs of them. */
#define GMEM_KEPT_PAGES_MAX 4096u
#define GMEM_KEPT_RUNS_MAX  1024u
/* What grant-copy has memory for: one lease, and all of them. */
#define GMEM_COPY_LEASE_BYTES_MAX (16u << 20)
#define GMEM_COPY_BYTES_MAX       (64u << 20)
/* What foreign-buckets keeps: 64 MiB. */
#define GMEM_BUCKETS_MAX 64u
/* Ranges of memory that a guest's is described by. */
#define GMEM_BANKS_MAX 8u

/* A range of guest-physical memory, of whole pages. */
struct gmem_bank {
    uint64_t base, bytes;
};

struct gmem_strategy_args {
    struct xen_handles *xen; /* borrowed; outlives the gmem */
    uint16_t domid;          /* whose memory */
    uint16_t own_domid;      /* whom it is granted to */
    /* The guest's memory, or for foreign-static the region that is shared; borrowed. */
    const struct gmem_bank *banks;
    unsigned bank_count;
};

struct gmem_strategy {
    const char *name;
    const char *summary; /* one line for --help */
    /* *out is released with gmem_destroy. 0; -ENOMEM; of those that map in advance -EINVAL without
     * a bank, and what Xen said of the mapping. */
    int (*create)(const struct gmem_strategy_args *args, struct gmem **out);
    bool needs_banks;
};

/* The table, ended by an entry without a name. */
const struct gmem_strategy *gmem_strategies(void);
/* NULL when there is none of this name. */
const struct gmem_strategy *gmem_strategy_find(const char *name);

#endif
