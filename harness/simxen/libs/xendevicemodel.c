/* SPDX-License-Identifier: MIT */
/*
 * libxendevicemodel: the dm_op hypercall.
 *
 * Each function fails as the hypercall of Xen 4.17 does for a guest of the target's architecture:
 * x86 knows all operations but set_irq_level, Arm only those of IOREQ servers, set_irq_level and
 * nr_vcpus. What changes an IOREQ server is a message to the hypervisor process; interrupts go
 * straight to the guest.
 */
#define __XEN_TOOLS__ 1 /* the constants of the toolstack's side */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC visibility push(default)
#include <xendevicemodel.h>
#pragma GCC visibility pop

#include "simxen/core/core.h"
#include "util/mutant.h"

#define DELETE_CACHEATTR UINT32_MAX /* XEN_DOMCTL_DELETE_MEM_CACHEATTR */
#define X86_PCI_GSI0     16u
#define X86_ISA_IRQS     16u
#define DIRTY_VRAM_MAX   ((1u << 30) / SIM_PAGE)

struct xendevicemodel_handle {
    struct sim_active_handle active; /* first: libxentoolcore's list */
    uint64_t session;
    domid_t restricted_to; /* DOMID_INVALID: not */
};

static int fail(int err)
{
    errno = err;
    return -1;
}

static int result(int rc)
{
    return rc < 0 ? fail(-rc) : 0;
}

static int restrict_handle(struct sim_active_handle *active, domid_t domid)
{
    return xendevicemodel_restrict((xendevicemodel_handle *)active, domid);
}

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *logger,
                                           unsigned int open_flags)
{
    xendevicemodel_handle *dmod;
    int rc = sim_session();

    if (rc) {
        errno = -rc;
        return NULL;
    }
    dmod = calloc(1, sizeof(*dmod));
    if (!dmod)
        return NULL;
    dmod->session = sim_session_id();
    dmod->restricted_to = DOMID_INVALID;
    dmod->active.restrict_callback = restrict_handle;
    sim_restrict_register(&dmod->active);
    return dmod;
}

int xendevicemodel_close(xendevicemodel_handle *dmod)
{
    if (!dmod)
        return 0;
    sim_restrict_deregister(&dmod->active);
    free(dmod);
    return 0;
}

int xendevicemodel_restrict(xendevicemodel_handle *dmod, domid_t domid)
{
    if (dmod->restricted_to != DOMID_INVALID && dmod->restricted_to != domid)
        return fail(EINVAL);
    dmod->restricted_to = domid;
    return 0;
}

/*
 * What every operation checks first: privcmd's restriction, then Xen's look-up and policy.
 * `arches`: mask of 1 << enum sim_arch that have the operation.
 */
static int target(const xendevicemodel_handle *dmod, domid_t domid, unsigned arches,
                  const struct sim_dom_ref **dom)
{
    const struct sim_dom_ref *self;

    if (dmod->session != sim_session_id())
        return -EINVAL;
    if (dmod->restricted_to != DOMID_INVALID && dmod->restricted_to != domid)
        return -EPERM;
    if (sim_dom_get(sim_self_domid(), &self) || domid >= DOMID_FIRST_RESERVED ||
        sim_dom_get(domid, dom))
        return -ESRCH;
    if (*dom == self && MUTANT(sim_dm_self_is_no_domain))
        return -ESRCH;
    if ((*dom == self && !MUTANT(sim_domain_may_serve_itself)) ||
        !sim_may_control(self->dom, (*dom)->dom))
        return -EPERM;
    if (!(arches & 1u << (*dom)->dom->arch))
        return -EOPNOTSUPP;
    return 0;
}

#define ON_X86  (1u << SIM_ARCH_X86)
#define ON_ARM  (1u << SIM_ARCH_ARM)
#define ON_BOTH (ON_X86 | ON_ARM)

/* ---- IOREQ servers ---- */

static int server_call(xendevicemodel_handle *dmod, struct sim_msg *msg)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, (domid_t)msg->a[0], ON_BOTH, &dom);

    return rc ? rc : sim_call(msg, NULL, NULL);
}

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                       int handle_bufioreq, ioservid_t *id)
{
    struct sim_msg msg = {.op = SIM_OP_DM_CREATE, .a = {domid, (uint8_t)handle_bufioreq}};
    int rc = server_call(dmod, &msg);

    if (rc == 0)
        *id = (ioservid_t)msg.a[0];
    return result(rc);
}

/* Owner and port of a server, read without tearing; -errno as ioreq_server_get_info. */
static int server_info(const struct sim_dom_ref *dom, ioservid_t id, uint8_t *bufioreq,
                       evtchn_port_t *port)
{
    const struct sim_dom *d = dom->dom;
    const struct sim_ioserver *s;
    uint32_t seq;
    int rc;

    if (id >= SIM_IOSERVERS_MAX)
        return -ENOENT;
    s = &d->ioservers[id];
    do {
        seq = atomic_load_explicit(&d->ioserver_seq, memory_order_acquire);
        rc = s->gen == 0 ? -ENOENT : s->owner_domid != sim_self_domid() ? -EPERM : 0;
        *bufioreq = s->bufioreq;
        *port = s->bufioreq_port;
        atomic_thread_fence(memory_order_acquire);
    } while ((seq & 1) || seq != atomic_load_explicit(&d->ioserver_seq, memory_order_relaxed));
    return rc;
}

int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
                                         xen_pfn_t *ioreq_gfn, xen_pfn_t *bufioreq_gfn,
                                         evtchn_port_t *bufioreq_port)
{
    struct sim_msg msg = {.op = SIM_OP_DM_GFNS, .a = {domid, id}};
    const struct sim_dom_ref *dom;
    evtchn_port_t port = 0;
    uint8_t bufioreq = 0;
    int rc = target(dmod, domid, ON_BOTH, &dom);

    if (rc == 0 && !ioreq_gfn && !bufioreq_gfn && MUTANT(sim_ioreq_info_needs_frames))
        rc = -EINVAL;
    if (rc == 0)
        rc = server_info(dom, id, &bufioreq, &port);
    if (MUTANT(sim_ioreq_ring_has_no_port))
        port = 0;
    /* Only when asked for are the pages put at frames of the guest. */
    if (rc == 0 && (ioreq_gfn || bufioreq_gfn))
        rc = sim_call(&msg, NULL, NULL);
    if (rc)
        return fail(-rc);
    if (ioreq_gfn)
        *ioreq_gfn = msg.a[0];
    if (bufioreq_gfn)
        *bufioreq_gfn = bufioreq == HVM_IOREQSRV_BUFIOREQ_OFF ? 0 : msg.a[1];
    if (bufioreq_port)
        *bufioreq_port = bufioreq == HVM_IOREQSRV_BUFIOREQ_OFF ? 0 : port;
    return 0;
}

static int range_call(xendevicemodel_handle *dmod, enum sim_op op, domid_t domid, ioservid_t id,
                      enum sim_range_type type, uint64_t start, uint64_t end)
{
    struct sim_msg msg = {.op = op, .a = {domid, id, type, start, end}};

    return result(server_call(dmod, &msg));
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                                ioservid_t id, int is_mmio, uint64_t start,
                                                uint64_t end)
{
    return range_call(dmod, SIM_OP_DM_MAP, domid, id, is_mmio ? SIM_RANGE_MMIO : SIM_RANGE_PORT,
                      start, end);
}

int xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                                    ioservid_t id, int is_mmio, uint64_t start,
                                                    uint64_t end)
{
    return range_call(dmod, SIM_OP_DM_UNMAP, domid, id, is_mmio ? SIM_RANGE_MMIO : SIM_RANGE_PORT,
                      start, end);
}

static int pcidev_call(xendevicemodel_handle *dmod, enum sim_op op, domid_t domid, ioservid_t id,
                       uint16_t segment, uint8_t bus, uint8_t device, uint8_t function)
{
    uint64_t sbdf;

    if (device > 0x1f || function > 0x7)
        return fail(EINVAL);
    sbdf =
        XEN_DMOP_PCI_SBDF((uint64_t)segment, (uint64_t)bus, (uint64_t)device, (uint64_t)function);
    return range_call(dmod, op, domid, id, SIM_RANGE_PCI, sbdf, sbdf);
}

int xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                              ioservid_t id, uint16_t segment, uint8_t bus,
                                              uint8_t device, uint8_t function)
{
    return pcidev_call(dmod, SIM_OP_DM_MAP, domid, id, segment, bus, device, function);
}

int xendevicemodel_unmap_pcidev_from_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                                  ioservid_t id, uint16_t segment, uint8_t bus,
                                                  uint8_t device, uint8_t function)
{
    return pcidev_call(dmod, SIM_OP_DM_UNMAP, domid, id, segment, bus, device, function);
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *dmod, domid_t domid, ioservid_t id)
{
    struct sim_msg msg = {.op = SIM_OP_DM_DESTROY, .a = {domid, id}};

    return result(server_call(dmod, &msg));
}

int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *dmod, domid_t domid, ioservid_t id,
                                          int enabled)
{
    struct sim_msg msg = {.op = SIM_OP_DM_STATE, .a = {domid, id, !!enabled}};

    return result(server_call(dmod, &msg));
}

int xendevicemodel_map_mem_type_to_ioreq_server(xendevicemodel_handle *dmod, domid_t domid,
                                                ioservid_t id, uint16_t type, uint32_t flags)
{
    const struct sim_dom_ref *dom;
    evtchn_port_t port;
    uint8_t bufioreq;
    int rc;

    if (type != HVMMEM_ioreq_server || flags & ~XEN_DMOP_IOREQ_MEM_ACCESS_WRITE)
        return fail(EINVAL);
    rc = target(dmod, domid, ON_X86, &dom);
    if (rc == 0)
        rc = server_info(dom, id, &bufioreq, &port);
    /* Write-trapped RAM needs hardware-assisted paging, which this guest has not. */
    return fail(rc ? -rc : EOPNOTSUPP);
}

/* ---- interrupts ---- */

/*
 * A line of x86 is the wired or of its sources; the control block has one level for each. INTx has
 * four pins a device of bus 0, swizzled onto the GSIs from 16 (hvm_pci_intx_gsi); up to four pins
 * meet on one, and each is remembered by itself in the lines that no GSI uses.
 */
static unsigned intx_gsi(unsigned device, unsigned intx)
{
    return (((device << 2) + (device >> 3) + intx) & 31) + X86_PCI_GSI0;
}

static unsigned intx_pin_line(unsigned device, unsigned intx)
{
    return SIM_X86_GSIS + device * 4 + intx;
}

static unsigned intx_level(struct sim_dom *d, unsigned gsi)
{
    for (unsigned device = 0; device < 32; device++) {
        for (unsigned intx = 0; intx < 4; intx++) {
            if (intx_gsi(device, intx) == gsi &&
                atomic_load(&d->lines[intx_pin_line(device, intx)]))
                return 1;
        }
    }
    return 0;
}

int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *dmod, domid_t domid, uint16_t segment,
                                      uint8_t bus, uint8_t device, uint8_t intx, unsigned int level)
{
    const struct sim_dom_ref *dom;
    unsigned gsi;
    int rc = target(dmod, domid, ON_X86, &dom);

    /* The hypercall carries eight bits of the level. */
    level = (uint8_t)level;
    if (rc == 0 && (segment != 0 || (bus != 0 && !MUTANT(sim_intx_takes_any_bus)) ||
                    device > 0x1f || intx > 3 || level > 1))
        rc = -EINVAL;
    if (rc)
        return fail(-rc);
    gsi = intx_gsi(device, intx);
    atomic_store(&dom->dom->lines[intx_pin_line(device, intx)], (uint8_t)level);
    /* Two pins of one GSI may change at once: what the pins say after the change decides. */
    do {
        level = intx_level(dom->dom, gsi);
        rc = sim_line_set(dom, gsi, level);
    } while (rc == 0 && level != intx_level(dom->dom, gsi));
    return result(rc);
}

int xendevicemodel_set_isa_irq_level(xendevicemodel_handle *dmod, domid_t domid, uint8_t irq,
                                     unsigned int level)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_X86, &dom);

    level = (uint8_t)level;
    if (rc == 0 && (irq >= X86_ISA_IRQS || level > 1))
        rc = -EINVAL;
    /* The timer's IRQ 0 is wired to GSI 2. */
    if (rc == 0)
        rc = sim_line_set(dom, irq ? irq : 2, level);
    return result(rc);
}

int xendevicemodel_set_irq_level(xendevicemodel_handle *dmod, domid_t domid, uint32_t irq,
                                 unsigned int level)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_ARM, &dom);

    level = (uint8_t)level;
    if (rc == 0 && (irq < SIM_ARM_LOCAL_IRQS || irq >= SIM_LINES_MAX || level > 1))
        rc = -EINVAL;
    if (rc == 0)
        rc = sim_line_set(dom, irq, level);
    return result(rc);
}

int xendevicemodel_set_pci_link_route(xendevicemodel_handle *dmod, domid_t domid, uint8_t link,
                                      uint8_t irq)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_X86, &dom);

    /* The links lead to the PIC; a guest that takes INTx from the IOAPIC never sees them. */
    if (rc == 0 && (link > 3 || irq >= X86_ISA_IRQS))
        rc = -EINVAL;
    return result(rc);
}

int xendevicemodel_inject_msi(xendevicemodel_handle *dmod, domid_t domid, uint64_t msi_addr,
                              uint32_t msi_data)
{
    const struct sim_dom_ref *dom;
    /* Xen on Arm has no such operation; a simulated guest there can be given MSIs all the same. */
    int rc = target(dmod, domid, ON_BOTH, &dom);
    unsigned mode = (msi_data >> 8) & 7;

    if (rc == 0 && (msi_data & 0xff) != 0 && mode > 1)
        rc = -EINVAL; /* neither fixed nor lowest priority */
    if (rc == 0)
        rc = sim_msi_inject(dom, msi_addr, msi_data);
    return result(rc);
}

int xendevicemodel_inject_event(xendevicemodel_handle *dmod, domid_t domid, int vcpu,
                                uint8_t vector, uint8_t type, uint32_t error_code, uint8_t insn_len,
                                uint64_t extra)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_X86, &dom);

    if (rc == 0 && (vcpu < 0 || (uint32_t)vcpu >= dom->dom->nr_vcpus))
        rc = -EINVAL;
    /* These vCPUs execute no instructions that an exception could be put into. */
    return fail(rc ? -rc : EOPNOTSUPP);
}

/* ---- the domain ---- */

int xendevicemodel_nr_vcpus(xendevicemodel_handle *dmod, domid_t domid, unsigned int *vcpus)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_BOTH, &dom);

    if (rc == 0)
        *vcpus = dom->dom->nr_vcpus + (MUTANT(sim_dm_counts_one_vcpu_more) ? 1 : 0);
    return result(rc);
}

int xendevicemodel_shutdown(xendevicemodel_handle *dmod, domid_t domid, unsigned int reason)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_SHUTDOWN, .a = {domid, reason}};
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_X86, &dom);

    return result(rc ? rc : sim_call(&msg, NULL, NULL));
}

/* ---- memory ---- */

static uint64_t max_gfn(const struct sim_dom *d)
{
    uint64_t last = 0;

    for (uint32_t i = 0; i < d->nr_regions && i < SIM_REGIONS_MAX; i++) {
        if (d->regions[i].nr && d->regions[i].gfn + d->regions[i].nr - 1 > last)
            last = d->regions[i].gfn + d->regions[i].nr - 1;
    }
    return last;
}

int xendevicemodel_track_dirty_vram(xendevicemodel_handle *dmod, domid_t domid, uint64_t first_pfn,
                                    uint32_t nr, unsigned long *dirty_bitmap)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_X86, &dom);

    if (rc == 0 && nr > DIRTY_VRAM_MAX)
        rc = -EINVAL;
    if (rc == 0 && atomic_load(&dom->dom->flags) & SIM_DOM_DYING)
        rc = -ESRCH;
    if (rc)
        return fail(-rc);
    /* Nothing here records writes. Saying that all was written is always right. */
    if (nr && dirty_bitmap)
        memset(dirty_bitmap, 0xff, (nr + 7) / 8);
    return 0;
}

int xendevicemodel_modified_memory_bulk(xendevicemodel_handle *dmod, domid_t domid,
                                        struct xen_dm_op_modified_memory_extent *extents,
                                        uint32_t nr)
{
    const struct sim_dom_ref *dom;

    /* Outside of a live migration Xen looks at nothing else. */
    return result(target(dmod, domid, ON_X86, &dom));
}

int xendevicemodel_modified_memory(xendevicemodel_handle *dmod, domid_t domid, uint64_t first_pfn,
                                   uint32_t nr)
{
    struct xen_dm_op_modified_memory_extent extent = {.first_pfn = first_pfn, .nr = nr};

    return xendevicemodel_modified_memory_bulk(dmod, domid, &extent, 1);
}

int xendevicemodel_set_mem_type(xendevicemodel_handle *dmod, domid_t domid, hvmmem_type_t mem_type,
                                uint64_t first_pfn, uint32_t nr)
{
    const struct sim_dom_ref *dom;
    uint64_t last = first_pfn + nr - 1;
    int rc = target(dmod, domid, ON_X86, &dom);

    if (rc == 0 && (first_pfn > last || last > max_gfn(dom->dom)))
        rc = -EINVAL;
    if (rc == 0 && (mem_type > HVMMEM_ioreq_server || mem_type == HVMMEM_unused))
        rc = -EINVAL;
    if (rc)
        return fail(-rc);
    /* All of the guest's memory is and stays ordinary RAM. */
    return mem_type == HVMMEM_ram_rw ? 0 : fail(EOPNOTSUPP);
}

int xendevicemodel_relocate_memory(xendevicemodel_handle *dmod, domid_t domid, uint32_t size,
                                   uint64_t src_gfn, uint64_t dst_gfn)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_X86, &dom);

    /* Where the guest's frames are is fixed when it is built. */
    return size == 0 ? result(rc) : fail(rc ? -rc : EOPNOTSUPP);
}

int xendevicemodel_pin_memory_cacheattr(xendevicemodel_handle *dmod, domid_t domid, uint64_t start,
                                        uint64_t end, uint32_t type)
{
    const struct sim_dom_ref *dom;
    int rc = target(dmod, domid, ON_X86, &dom);

    if (rc == 0 && end < start)
        rc = -EINVAL;
    switch (type) {
    case 0: /* UC */
    case 1: /* WC */
    case 4: /* WT */
    case 5: /* WP */
    case 6: /* WB */
    case 7: /* UC- */
        return result(rc);
    case DELETE_CACHEATTR:
        return fail(rc ? -rc : ENOENT);
    default:
        return fail(rc ? -rc : EINVAL);
    }
}
