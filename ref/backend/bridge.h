/* SPDX-License-Identifier: MIT */
/*
 * Host bridges of one domain, put in front of an IOREQ server: accesses go in, interrupts and
 * claimed ranges come out.
 *
 * What a backend claims of the guest's address space decides who answers where nothing is:
 *
 *   window     the whole ECAM and the whole BAR window. Everything in them is answered, with all
 *              ones where there is no function: a driver may probe. One backend a bridge.
 *   functions  the 4 KiB of ECAM of each function that is there, and BARs where the driver puts
 *              them. Several backends can share a bridge. Elsewhere the access is nobody's: all
 *              ones on x86, a data abort on Arm.
 *   pcidev     as `functions`, but configuration space by function number: for machines whose
 *              hypervisor owns the bridge and decodes ECAM itself.
 *
 * BARs are only ever decoded inside the bridge's own BAR window, as a bridge forwards no more
 * than its window: what a guest writes into a BAR cannot claim another backend's ranges or RAM.
 */
#ifndef RP_BACKEND_BRIDGE_H
#define RP_BACKEND_BRIDGE_H

#include "backend/place.h"
#include "pci/host.h"
#include "xen/ioreq.h"

enum bridge_claim { BRIDGE_CLAIM_WINDOW, BRIDGE_CLAIM_FUNCTIONS, BRIDGE_CLAIM_PCIDEV };

#define BRIDGES_MAX    8u
#define BRIDGE_NO_LINE UINT32_MAX

struct link;

struct bridges_config {
    struct xen_handles *xen; /* borrowed */
    /* Another process has the bridge, and claims and interrupts go there (backend/link.h);
     * borrowed. NULL: they are Xen's. `claim` is functions then. */
    struct link *link;
    uint16_t domid;
    enum bridge_claim claim;
    /* The interrupt line of pin INTA of device 0; pins of further devices follow round in four
     * lines, as PCI 2.2.6 recommends. BRIDGE_NO_LINE: x86, Xen's own routing by device and pin. */
    uint32_t intx_line;
    const struct host_bridge *list; /* copied */
    unsigned count;                 /* 0: a machine without PCI */
};

struct bridges_stats {
    uint64_t msi, msi_failed, intx, intx_failed;
    uint64_t unclaimed; /* accesses that reached us and belong to no function or BAR */
};

struct bridges;

/* -EINVAL: the list contradicts itself. */
int bridges_create(const struct bridges_config *config, struct bridges **out);
void bridges_destroy(struct bridges *b); /* NULL is allowed */

/* The callbacks to give to ioreq_server_create, with the bridges as context. */
const struct ioreq_ops *bridges_ioreq_ops(void);

/*
 * Register what is claimed now with a server, and from now on as functions come and BARs move.
 * The server is borrowed until bridges_disconnect, which is called before it is destroyed.
 * `same_windows`: the predecessor of an adopted server had exactly these windows.
 */
int bridges_connect(struct bridges *b, struct ioreq_server *server, bool same_windows);
void bridges_disconnect(struct bridges *b);

/*
 * Put a function onto the bus, run time included. `interrupts` (may be NULL) is counted up for
 * each interrupt it sends.
 *   -EINVAL  no bridge has this bus    -EEXIST  the place is taken    -ENOSPC  too many ranges
 */
int bridges_attach(struct bridges *b, sbdf_t at, struct pci_function *f, uint64_t *interrupts);
/* A port with a slot. The bus behind it is the guest's choice, and is claimed as the guest chooses.
 */
int bridges_attach_port(struct bridges *b, sbdf_t at, struct pci_port *port);
/* The same into the slot of a port at port_at; its INTx pins are the port's wires. -EINVAL also
 * where the bridge is another process's. */
int bridges_attach_behind(struct bridges *b, sbdf_t at, sbdf_t port_at, struct pci_port *port,
                          struct pci_function *f, uint64_t *interrupts);
void bridges_detach(struct bridges *b, sbdf_t at);

/* Claims what is there over the link of the configuration, and from now on what comes. */
int bridges_connect_link(struct bridges *b);

/* For processes with functions behind bridges of ours: these three are struct link_hub_ops, with
 * the bridges as context. */
int bridges_link_allowed(void *ctx, uint64_t first, uint64_t last);
int bridges_link_msi(void *ctx, uint64_t addr, uint32_t data);
void bridges_link_pin(void *ctx, sbdf_t from, unsigned pin, bool level);

/* Whether a window of registers, or its line, is something that a bridge has. */
bool bridges_have(const struct bridges *b, const struct place *window);

const struct bridges_stats *bridges_get_stats(const struct bridges *b);

#endif
