/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as a device sees it.
 *
 * A virtqueue carries addresses. How an address becomes bytes is a property of the transport
 * design under test: grant map per request, grant copy, foreign map, a cache of either, a bounce
 * region, a shim that owns the guest's memory. A `struct gmem` is one such way. Devices and
 * virtqueues know this interface only; the implementations live in ref/xen. A virtual IOMMU
 * (gmem/iommu.h) is a gmem in front of any of them.
 *
 * The unit is a *lease*: all ranges of one request, resolved together, so that an
 * implementation can map or copy them in one call, and released together. Between get and put
 * the iovecs are valid; after put they must not be touched, and the implementation has given
 * back whatever it does not keep on purpose. A driver that grants per request may revoke its
 * references as soon as it sees the used entry, so put comes before the used entry is published.
 *
 * Rings use the same interface with a lease that lives as long as the queue.
 */
#ifndef RP_GMEM_GMEM_H
#define RP_GMEM_GMEM_H

#include <sys/uio.h>

#include "util/types.h"

/* What the device may do with a range. A streaming grant towards the device is read-only, so
 * asking for more than is needed is an error that Xen will report. */
enum gmem_access {
    GMEM_READ = 1,
    GMEM_WRITE = 2,
    /* The bytes have to be the driver's own while the lease lasts, as those of a ring, which both
     * sides look at: a copy will not do. All ranges of a lease have it, or none. */
    GMEM_SHARED = 4,
};

/* One range in driver addresses, as it came out of a descriptor. */
struct gmem_range {
    gpa_t addr;
    uint32_t len_bytes; /* 0 is refused with -EINVAL */
    uint32_t access;    /* enum gmem_access bits */
};

/*
 * The resolved form of n ranges. Caller storage; gmem_get fills it, gmem_put empties it. The
 * caller supplies `iov` with room for `iov_max` entries before the call. Each range becomes one
 * or more consecutive entries; `iov_count` of them in all, in order.
 */
struct gmem_lease {
    struct iovec *iov; /* borrowed from the caller */
    unsigned iov_max;
    unsigned iov_count;
    /* Number of leading entries that belong to ranges without GMEM_WRITE. Virtio puts the
     * device-readable part first (2.7.4.2), so this is also where the writable part begins. */
    unsigned iov_readable;
    /* Set by the user before put: bytes written to the writable part, from its start. An
     * implementation that copies writes back just these. */
    uint64_t written_bytes;
    void *impl; /* the implementation's own, NULL when the lease is empty */
};

/* Exact counts of what an implementation asked Xen for, for the memory-path tables. */
struct gmem_stats {
    uint64_t leases, ranges;
    uint64_t map_calls, pages_mapped, unmap_calls, pages_unmapped;
    uint64_t copy_calls, copy_segments, bytes_copied;
    uint64_t cache_hits, cache_misses;
    uint64_t translations; /* references taken without a mapping, by the owner of the memory */
    uint64_t errors;
};

struct gmem;

struct gmem_ops {
    const char *name;
    int (*get)(struct gmem *m, const struct gmem_range *ranges, unsigned count,
               struct gmem_lease *lease);
    int (*put)(struct gmem *m, struct gmem_lease *lease);
    /* Drop everything kept across leases (caches, persistent mappings) that no lease has now.
     * Called at the reset of a queue or device. NULL when nothing is kept. */
    void (*forget)(struct gmem *m);
    void (*destroy)(struct gmem *m);
};

/* Implementations embed this as their first member. One thread uses one gmem. */
struct gmem {
    const struct gmem_ops *ops;
    struct gmem_stats stats;
    unsigned leases_out; /* an invariant of ours: 0 whenever destroy is called */
};

/*
 * Resolve `count` ranges. Returns 0, or
 *   -EINVAL  a range is empty, wraps around, or is no address this gmem serves
 *   -EFAULT  Xen refused: a reference or frame is invalid, revoked, or not that writable
 *   -ENOSPC  more iovec entries are needed than iov_max
 *   -EMFILE / -ENOMEM  limits of the host
 * On error nothing is held. `lease->written_bytes` starts at 0.
 */
int gmem_get(struct gmem *m, const struct gmem_range *ranges, unsigned count,
             struct gmem_lease *lease);

/*
 * Release a lease; an empty one (impl == NULL) is allowed. 0, or -EFAULT: what was written did not
 * reach the driver, as an implementation that copies may find out only now. The lease is released
 * in any case.
 */
int gmem_put(struct gmem *m, struct gmem_lease *lease);

/* The driver takes its memory back: nothing is kept but what leases have that are still out. */
void gmem_forget(struct gmem *m);

/* NULL is allowed. */
void gmem_destroy(struct gmem *m);

#endif
