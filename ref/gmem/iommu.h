/* SPDX-License-Identifier: MIT */
/*
 * A virtual IOMMU: who may reach which memory by which addresses, in this process.
 *
 * An *endpoint* is the DMA side of a device: a gmem over the device's own way to memory, whichever
 * that is. It is attached to at most one *domain*, an address space that ends with its last
 * endpoint. What a device asks for is translated, range by range, into the addresses that the
 * driver gave the IOMMU; anything that is not mapped, or not for that kind of access, is refused
 * with -EFAULT and told to the reporter. An endpoint without a domain reaches nothing, or
 * everything by its own address (*bypass*).
 *
 * Taking away. A mapping that is removed, and a domain that an endpoint leaves, are gone at once:
 * no lease finds them any more. What was leased before stays with its lease, for a request in
 * flight cannot be stopped halfway; so the operation is *answered* only when every such lease was
 * given back, and what the endpoints' ways have kept mapped is dropped, too. Until then it waits. A
 * ring's lease lives as long as its queue: taking the memory of a running queue away is answered
 * when the queue, or its device, was reset.
 *
 * The kind of address is no matter here: frames, and references in the form of gmem/gref.h.
 */
#ifndef RP_GMEM_IOMMU_H
#define RP_GMEM_IOMMU_H

#include "gmem/gmem.h"
#include "gmem/iova.h"

struct iommu;

enum iommu_fault_reason {
    IOMMU_FAULT_DOMAIN,  /* the endpoint has none */
    IOMMU_FAULT_MAPPING, /* nothing is mapped there, or not for this */
};

struct iommu_fault {
    enum iommu_fault_reason reason;
    uint32_t endpoint;
    uint64_t addr;   /* the first that was refused */
    uint32_t access; /* enum gmem_access bits that were asked for */
};

/* An operation that waits for leases. Caller storage, which stays until `done`, or until it was
 * forgotten (iommu_wait_end). */
struct iommu_wait {
    void (*done)(struct iommu_wait *w);
    /* private */
    struct iommu_wait *next;
    uint64_t born, domain;
    uint64_t start, end;
    const struct iommu_endpoint *endpoint; /* NULL: all of the domain's */
};

int iommu_create(struct iommu **out);
/* No endpoint is left. NULL is allowed. */
void iommu_destroy(struct iommu *m);

/* Who is told of faults, from inside of gmem_get; NULL: nobody. -EBUSY: somebody is already. */
int iommu_set_reporter(struct iommu *m, void (*report)(void *ctx, const struct iommu_fault *f),
                       void *ctx);

/* A device's memory as endpoint `id`; `inner` is borrowed, and outlives it. -EEXIST: there is such
 * an endpoint. -ENOMEM. */
int gmem_iommu_create(struct iommu *m, uint32_t id, struct gmem *inner, struct gmem **out);

/*
 * The operations of VIRTIO 5.16.6. `domain` of attach is made when there is none.
 *   0          done
 *   1          done, and leases of before are out: w->done follows
 *   -ENODEV    there is no such endpoint
 *   -ENOENT    there is no such domain, or (detach) the endpoint is in another one
 *   -EPERM     the domain bypasses, or does not, and the operation is for the other kind
 *   others     as those of iova_map and iova_unmap
 * An endpoint that is attached while it is in another domain leaves that first.
 */
int iommu_attach(struct iommu *m, uint32_t domain, uint32_t endpoint, bool bypass,
                 struct iommu_wait *w);
int iommu_detach(struct iommu *m, uint32_t domain, uint32_t endpoint, struct iommu_wait *w);
int iommu_map(struct iommu *m, uint32_t domain, const struct iova_mapping *mapping);
int iommu_unmap(struct iommu *m, uint32_t domain, uint64_t start, uint64_t end,
                struct iommu_wait *w);

bool iommu_has_endpoint(const struct iommu *m, uint32_t id);

/* Nobody waits for this answer any more. */
void iommu_wait_end(struct iommu *m, struct iommu_wait *w);

/* Endpoints without a domain: do they bypass? */
void iommu_set_bypass(struct iommu *m, bool bypass);

/* Every endpoint leaves its domain, and nobody waits. */
void iommu_reset(struct iommu *m);

#endif
