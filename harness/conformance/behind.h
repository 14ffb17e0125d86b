/* SPDX-License-Identifier: MIT */
/*
 * The IOMMU in front of a check's devices. The first device of the check that is behind it starts
 * its driver; each such device is attached to a domain of its own, and all memory that it is given
 * is translated, so that checks of every kind run as they are. With the last device the IOMMU is
 * reset, which ends all domains.
 */
#ifndef RP_CONFORMANCE_BEHIND_H
#define RP_CONFORMANCE_BEHIND_H

#include "conformance/given.h"
#include "frontend/iommu.h"

struct behind {
    struct fe_pci_host host;
    struct fe_virtio *v;
    struct fe_memory mem; /* of the IOMMU's driver itself */
    struct fe_iommu *iommu;
    unsigned domains; /* that were given out */
    unsigned users;   /* devices */
};

/* For device_open, and the end of what it opened: `d` has its subject and its memory so far. */
void behind_begin(struct device *d);
/* The backend was replaced: as at the beginning, for the only device. */
void behind_reattach(struct device *d);
void behind_end(struct device *d);

#endif
