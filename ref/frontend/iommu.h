/* SPDX-License-Identifier: MIT */
/*
 * A driver of a virtual IOMMU (VIRTIO 5.16), and address spaces of the devices behind it.
 *
 * Each request is started and waited for; several may be under way, and they are answered in any
 * order: an UNMAP that meets the device's requests in flight is answered after others that came
 * later. Answers are polled for: they mostly come at once, and each thread waits for its own.
 *
 * The device is not trusted. An answer that does not come fails with -ETIME; from then on, as when
 * its backend was found to have ended, the IOMMU counts as gone and everything fails with -ENODEV
 * at once.
 *
 * Thread-safe. All accesses are made by one vCPU, which is nobody else's when several threads are
 * at work: it becomes the control vCPU of the fe_virtio, too.
 */
#ifndef RP_FRONTEND_IOMMU_H
#define RP_FRONTEND_IOMMU_H

#include "frontend/memory.h"
#include "frontend/virtio.h"

struct fe_iommu;

struct fe_iommu_config {
    struct fe_memory *memory; /* the driver's own, without a translation; borrowed */
    unsigned vcpu;
    uint64_t features_need; /* beside what the addressing needs; -ENOTSUP without */
    uint64_t timeout_ns;    /* of reset and of one request; 0: 10 s */
};

/* Reset, negotiate and start the device behind `v` (borrowed). -ENODEV: no IOMMU; other errors as
 * in virtio.h and memory.h. */
int fe_iommu_create(struct fe_virtio *v, const struct fe_iommu_config *cfg, struct fe_iommu **out);
/* Stop the device, which ends all domains, and free all. -EBUSY as fe_rng_destroy. NULL is allowed.
 */
int fe_iommu_destroy(struct fe_iommu *m);

/* What the device says of itself; the ends are part of the ranges. */
struct fe_iommu_info {
    uint64_t page_bytes; /* the smallest that can be mapped */
    uint64_t input_first, input_last;
    uint32_t domain_first, domain_last;
    uint32_t probe_bytes; /* of properties; 0: it is not to be probed */
    uint64_t features;    /* negotiated */
};
void fe_iommu_get_info(const struct fe_iommu *m, struct fe_iommu_info *info);

/*
 * 0, or what the device answered: -EINVAL (INVAL), -ERANGE (RANGE), -ENOENT (NOENT), -EOPNOTSUPP
 * (UNSUPP), -ENOMEM (NOMEM), -EFAULT (FAULT), -EIO (any other); -EPROTO: it used the request
 * without an answer, or broke the rules of the ring; -EBUSY: too many are under way; -ETIME,
 * -ENODEV.
 */
/* What an endpoint says of itself. */
struct fe_iommu_reserved {
    uint8_t subtype; /* VIRTIO_IOMMU_RESV_MEM_T_*; one that is not known is RESERVED */
    uint64_t first, last;
};
/* Ranges that are not to be mapped: *count of them, at most `max`, which has to be enough
 * (-ENOSPC). An IOMMU without PROBE has none. */
int fe_iommu_probe(struct fe_iommu *m, uint32_t endpoint, struct fe_iommu_reserved *list,
                   unsigned max, unsigned *count);

int fe_iommu_attach(struct fe_iommu *m, uint32_t domain, uint32_t endpoint, bool bypass);
int fe_iommu_detach(struct fe_iommu *m, uint32_t domain, uint32_t endpoint);
int fe_iommu_map(struct fe_iommu *m, uint32_t domain, uint64_t iova, uint64_t bytes, gpa_t phys,
                 enum fe_dma_dir dir);
int fe_iommu_unmap(struct fe_iommu *m, uint32_t domain, uint64_t iova, uint64_t bytes);

/* The same in two steps: *id is to be waited for, once, though the first wait may time out (-ETIME,
 * which means nothing more here). */
int fe_iommu_unmap_start(struct fe_iommu *m, uint32_t domain, uint64_t iova, uint64_t bytes,
                         unsigned *id);
int fe_iommu_detach_start(struct fe_iommu *m, uint32_t domain, uint32_t endpoint, unsigned *id);
int fe_iommu_wait(struct fe_iommu *m, unsigned id, uint64_t timeout_ns);

/* Endpoints without a domain reach everything, or nothing. -ENOTSUP without BYPASS_CONFIG. */
int fe_iommu_set_bypass(struct fe_iommu *m, bool bypass);

struct fe_iommu_fault {
    uint8_t reason; /* VIRTIO_IOMMU_FAULT_R_* */
    uint32_t flags; /* VIRTIO_IOMMU_FAULT_F_* */
    uint32_t endpoint;
    uint64_t address;
};
/* The next report of a fault: 1, or 0 after timeout_ns. */
int fe_iommu_next_fault(struct fe_iommu *m, struct fe_iommu_fault *f, uint64_t timeout_ns);

/*
 * A domain's addresses, given out for memory that fe_memory maps: set fe_memory.translation to it.
 * The lowest that are free are taken, so that an address is soon used again; the upper half of the
 * space is left to others. -ENOMEM. The domain is made by attaching endpoints to it.
 */
int fe_iommu_space_create(struct fe_iommu *m, uint32_t domain, struct fe_translation **out);
/* Nothing is ever mapped there; before anything is. -ENOMEM. */
int fe_iommu_space_reserve(struct fe_translation *x, const struct fe_iommu_reserved *r);
void fe_iommu_space_destroy(struct fe_translation *x); /* NULL is allowed */

#endif
