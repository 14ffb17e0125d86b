/* SPDX-License-Identifier: MIT */
/* IOREQ servers for the checks of this folder: one with its page, ports and a range. */
#ifndef RP_ABI_DM_H
#define RP_ABI_DM_H

#include "abi/abi.h"

#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/memory.h>

#define DM_VCPUS_MAX 8

struct dm {
    struct abi *a; /* borrowed */
    xendevicemodel_handle *h;
    xenforeignmemory_handle *fmem;
    xenevtchn_handle *evt;
    ioservid_t id;
    bool exists;
    shared_iopage_t *page; /* NULL until mapped */
    xenforeignmemory_resource_handle *res;
    int port[DM_VCPUS_MAX]; /* local, 0: not bound */
};

/* Create a server (no buffered ring) that is destroyed at the end of the check. */
struct dm *dm_create(struct abi *a);
/* Map its synchronous page; needs no enabling. */
void dm_map_page(struct dm *d);
/* Enable, and bind the port of every vCPU (page mapped before). */
void dm_enable(struct dm *d);
void dm_map_range(struct dm *d, uint64_t start, uint64_t end);
/* Disable, drop ports and page, destroy; what the end of the check does when it is left. */
void dm_destroy(struct dm *d);
/* All of the above for a range of one page at the domU's free window. */
struct dm *dm_serving(struct abi *a);

/* Wait for a request of a vCPU: its slot, in state READY. Ends the check when none comes. */
ioreq_t *dm_request(struct dm *d, unsigned vcpu);
/* No request of this vCPU for a while. */
bool dm_quiet(struct dm *d, unsigned vcpu);
/* Answer it: state, then the notification. */
void dm_respond(struct dm *d, unsigned vcpu, uint64_t data);

/* An access of the domU on a thread of its own, and its end. */
uint64_t dm_read_start(struct abi *a, unsigned vcpu, uint64_t addr, unsigned bytes);
uint64_t dm_write_start(struct abi *a, unsigned vcpu, uint64_t addr, unsigned bytes,
                        uint64_t value);
/* True when it has ended: *value what was read, *err the (positive) errno. */
bool dm_access_end(struct abi *a, uint64_t access, unsigned timeout_ms, uint64_t *value, int *err);

#endif
