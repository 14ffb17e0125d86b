/* SPDX-License-Identifier: MIT */
/*
 * An IOREQ server: how a process becomes (part of) a guest's machine.
 *
 * Xen suspends a vCPU that touches a range which a server has registered, writes a request into
 * that vCPU's slot of the server's synchronous page and signals the slot's event channel. The
 * server reads the request, performs it, writes the response and signals back. States of a slot
 * (xen/hvm/ioreq.h): NONE, READY (Xen), INPROCESS, RESP_READY (server), NONE (Xen).
 *
 * Each vCPU has its own slot and its own port, and each is served: an event makes the server look
 * at all of them. The ports are made by Xen when the server is enabled and are read from the
 * slots then, which is why enabling comes before binding: Xen's signal of a request in between is
 * not lost, for a port that is bound gets one event at once.
 *
 * Requests come from the guest through Xen. Their sizes, counts and addresses are checked here;
 * the callbacks see accesses of 1, 2, 4 or 8 bytes and nothing else. What makes no sense is
 * answered with all ones, for a request without an answer hangs its vCPU for good.
 *
 * Death. When the process is killed, the server object stays, its ranges are still routed to it
 * and a vCPU that touches them hangs until somebody answers. A successor that knows the id adopts
 * the object (struct ioreq_config, adopt_id): it maps the pages, binds the ports again, answers
 * what waits in the slots, the requests included that the predecessor had begun, and the guest
 * goes on. A new server does not help such a vCPU.
 *
 * One thread, that of the loop.
 */
#ifndef RP_XEN_IOREQ_H
#define RP_XEN_IOREQ_H

#include "util/evloop.h"
#include "util/types.h"
#include "xen/handles.h"

struct ioreq_server;

/* All values lie within the width of the access: the server truncates. */
struct ioreq_ops {
    /* An access in a registered MMIO range, perhaps unaligned or passing its end. Returns the
     * value; all ones where nothing is. */
    uint64_t (*read)(void *ctx, uint64_t addr, unsigned bytes);
    void (*write)(void *ctx, uint64_t addr, unsigned bytes, uint64_t value);
    /* A configuration access of a registered function, decoded by the hypervisor's own bridge.
     * May be NULL when no function is registered. */
    uint64_t (*config_read)(void *ctx, sbdf_t at, unsigned offset, unsigned bytes);
    void (*config_write)(void *ctx, sbdf_t at, unsigned offset, unsigned bytes, uint64_t value);
};

#define IOREQ_ADOPT_NONE (-1)

struct ioreq_config {
    struct xen_handles *xen; /* borrowed */
    struct evloop *loop;     /* borrowed */
    uint16_t domid;
    unsigned vcpus; /* slots; see xen_domain_vcpus */
    bool buffered;  /* a buffered ring as well (x86 only); drained in order, before answers */
    int adopt_id;   /* the id of a dead predecessor's server, or IOREQ_ADOPT_NONE */
    const struct ioreq_ops *ops; /* borrowed */
    void *ctx;
};

/* What was asked; exact. */
struct ioreq_stats {
    uint64_t events;        /* notifications taken */
    uint64_t requests;      /* slots answered, all kinds together */
    uint64_t reads, writes; /* single accesses of MMIO, repetitions counted one by one */
    uint64_t config_reads, config_writes;
    uint64_t buffered; /* requests from the buffered ring */
    uint64_t invalidates;
    uint64_t refused;  /* malformed, or of a kind that nobody serves */
    uint64_t replayed; /* found waiting at adoption */
};

/*
 * Create (or adopt) a server and map its pages. It is disabled, or as the predecessor left it.
 *   -ESRCH   no such domain
 *   -ENOENT  adopt_id names no server
 *   -EPERM   adopt_id names a server of another domain's, or this process may not
 *   -EBUSY   adopt_id names a server that a living process serves; it is left alone
 *   -ENOSPC  the domain has its 8 servers already
 *   -EINVAL  vcpus 0 or more than the hypervisor maps
 *   -EOPNOTSUPP  the hypervisor has no IOREQ servers (Arm without CONFIG_IOREQ_SERVER)
 */
int ioreq_server_create(const struct ioreq_config *config, struct ioreq_server **out);

/* Disable, answer what still waits, give back ports and pages, destroy the object. A vCPU never
 * notices more than all ones. NULL is allowed. */
void ioreq_server_destroy(struct ioreq_server *s);

/* Xen's id of the server: what a successor needs to adopt it. */
uint16_t ioreq_server_id(const struct ioreq_server *s);

/*
 * Route [first, last] (both included) to this server. On an adopted server, what is routed
 * already stays so, and what is missing is added: page by page, for Xen tells nothing else than
 * that there is an overlap. Xen does not compare servers with each other: of two with one range,
 * one gets the accesses. -ENOSPC: more than 256 ranges; -EEXIST: overlaps another range of this
 * server.
 */
int ioreq_server_map_mmio(struct ioreq_server *s, uint64_t first, uint64_t last);
/* The same for a range of which it is known that the predecessor registered either exactly it or
 * nothing of it: one call however large it is. */
int ioreq_server_map_mmio_whole(struct ioreq_server *s, uint64_t first, uint64_t last);
int ioreq_server_unmap_mmio(struct ioreq_server *s, uint64_t first, uint64_t last);

/* The same for the configuration accesses of a function that the hypervisor's bridge decodes. */
int ioreq_server_map_function(struct ioreq_server *s, sbdf_t at);
int ioreq_server_unmap_function(struct ioreq_server *s, sbdf_t at);

/* Enable, bind all ports, answer what waits, and serve from the loop on. */
int ioreq_server_enable(struct ioreq_server *s);

/* Xen has it no longer: the domain was destroyed. */
bool ioreq_server_lost(const struct ioreq_server *s);

const struct ioreq_stats *ioreq_server_stats(const struct ioreq_server *s);

#endif
