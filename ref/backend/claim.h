/* SPDX-License-Identifier: MIT */
/*
 * Who serves what of a domain: so that two backends do not answer for the same addresses, and
 * that the successor of a killed one goes on where it stopped.
 *
 * Xen itself does not refuse overlapping ranges of different IOREQ servers, and keeps a killed
 * process's server with its ranges: a vCPU that touches them hangs. So each backend keeps a record
 * in Xenstore, taken and changed in transactions:
 *
 *   /local/domain/<own>/data/ringproof/<domid>/<pid>-<start>/
 *       vm              the domain's /vm path: a later domain with this domid is another one
 *       claim           window, functions or pcidev
 *       bridge/<n>      host bridges, in the form of --host-bridge
 *       device/<sbdf>   functions
 *       device/mmio-<base>  windows of virtio-mmio devices, with the line as value
 *       ioreq-server    Xen's id of its server
 *
 * <start> is the process's start time from /proc: together with the pid it names one process for
 * ever. A record whose process is alive and that meets ours is a conflict. One whose process is
 * dead is inherited when it met what we claim: its IOREQ server is adopted. Dead records that do
 * not meet ours stay for their own successor.
 *
 * All backends of a domain have to run in one domain and see each other in /proc.
 */
#ifndef RP_BACKEND_CLAIM_H
#define RP_BACKEND_CLAIM_H

#include "backend/bridge.h"
#include "backend/place.h"
#include "xen/store.h"

#define CLAIM_ERROR_BYTES 512

struct claim;

struct claim_config {
    struct store *store; /* borrowed */
    uint16_t own_domid, domid;
    enum bridge_claim kind;
    const struct host_bridge *bridges; /* copied */
    unsigned bridge_count;
    /* The devices known at the start. */
    const struct place *devices;
    unsigned device_count;
};

/* What a dead process left to this one. */
struct claim_heritage {
    int adopt_id;      /* its server, or IOREQ_ADOPT_NONE */
    bool same_windows; /* it claimed windows, and exactly ours */
};

/*
 * Take a claim. *heritage says what was found of a dead predecessor.
 * -EBUSY: a living backend has some of it; `error` names it. Other errors are Xenstore's, in
 * `error` as well.
 */
int claim_take(const struct claim_config *config, struct claim **out,
               struct claim_heritage *heritage, char error[CLAIM_ERROR_BYTES]);

/* Record the server that now serves this claim: before it is enabled, so that none that routes
 * anything is ever without a record. */
int claim_set_server(struct claim *c, uint16_t id, char error[CLAIM_ERROR_BYTES]);

/* A device that comes, or goes, at run time. -EBUSY as above. */
int claim_add_device(struct claim *c, const struct place *at, char error[CLAIM_ERROR_BYTES]);
void claim_drop_device(struct claim *c, const struct place *at);

/* Forget the claim. `keep_record`: its server object is still there, and the record is left for
 * the next process as if this one had been killed. NULL is allowed. */
void claim_release(struct claim *c, bool keep_record);

#endif
