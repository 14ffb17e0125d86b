/* SPDX-License-Identifier: MIT */
/*
 * libxenctrl over simxen: what xenstored and QEMU import, and the few calls beside it that a
 * toolstack makes for a device model. The library promises no stable ABI; its SONAME is that of
 * the release installed.
 */
/* xenctrl.h is written in GNU C and refuses ISO mode. */
#undef __STRICT_ANSI__
#pragma GCC visibility push(default)
#include <xenctrl.h>
#pragma GCC visibility pop

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/hvm/hvm_op.h>
#include <xen/sched.h>

#include "simxen/core/core.h"

struct xc_interface_core {
    struct sim_active_handle active; /* first */
    bool fake, restricted;
    xc_error error;
};

static int fail(int rc)
{
    if (rc >= 0)
        return rc;
    errno = -rc;
    return -1;
}

static int restrict_cb(struct sim_active_handle *h, domid_t domid)
{
    ((xc_interface *)h)->restricted = true;
    return 0;
}

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild_logger,
                                unsigned open_flags)
{
    xc_interface *xch = calloc(1, sizeof(*xch));
    int rc = 0;

    if (!xch)
        return NULL;
    xch->active.restrict_callback = restrict_cb;
    sim_restrict_register(&xch->active);
    xch->fake = open_flags & XC_OPENFLAG_DUMMY;
    if (!xch->fake)
        rc = sim_session();
    if (rc) {
        xc_interface_close(xch);
        errno = -rc;
        return NULL;
    }
    return xch;
}

int xc_interface_close(xc_interface *xch)
{
    if (!xch)
        return 0;
    sim_restrict_deregister(&xch->active);
    free(xch);
    return 0;
}

const xc_error *xc_get_last_error(xc_interface *xch)
{
    return &xch->error;
}

void xc_clear_last_error(xc_interface *xch)
{
    memset(&xch->error, 0, sizeof(xch->error));
}

/* A restricted handle is /dev/null to the driver, which knows no hypercall. */
static int call(xc_interface *xch, struct sim_msg *msg)
{
    if (xch->fake)
        return -ENOSYS;
    return xch->restricted ? -ENOTTY : sim_call(msg, NULL, NULL);
}

static int dom_op(xc_interface *xch, enum sim_op op, uint32_t domid, uint64_t arg)
{
    struct sim_msg msg = {.op = op, .a = {domid, arg}};

    return fail(call(xch, &msg));
}

int xc_domain_pause(xc_interface *xch, uint32_t domid)
{
    return dom_op(xch, SIM_OP_DOM_PAUSE, domid, 0);
}

int xc_domain_unpause(xc_interface *xch, uint32_t domid)
{
    return dom_op(xch, SIM_OP_DOM_UNPAUSE, domid, 0);
}

int xc_domain_destroy(xc_interface *xch, uint32_t domid)
{
    return dom_op(xch, SIM_OP_DOM_DESTROY, domid, 0);
}

int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason)
{
    return dom_op(xch, SIM_OP_DOM_SHUTDOWN, domid, (uint64_t)reason);
}

int xc_domain_set_target(xc_interface *xch, uint32_t domid, uint32_t target)
{
    return dom_op(xch, SIM_OP_DOM_TARGET, domid, target);
}

/* The domain with the lowest number not below `first`. */
static int next_info(xc_interface *xch, uint64_t first, struct sim_dom_info *info)
{
    struct sim_msg msg = {.op = SIM_OP_DOM_INFO, .a = {first}};
    int rc = call(xch, &msg);

    if (!rc)
        *info = msg.u.dom_info;
    return rc;
}

static void to_dominfo(const struct sim_dom_info *i, xc_dominfo_t *o)
{
    memset(o, 0, sizeof(*o));
    o->domid = i->domid;
    o->dying = !!(i->flags & SIM_DOM_DYING);
    o->shutdown = !!(i->flags & SIM_DOM_SHUTDOWN);
    o->paused = !!(i->flags & SIM_DOM_PAUSED);
    o->running = !(i->flags & (SIM_DOM_DYING | SIM_DOM_SHUTDOWN | SIM_DOM_PAUSED));
    o->hvm = 1;
    o->hap = 1;
    o->shutdown_reason = i->shutdown_reason;
    if (o->shutdown && o->shutdown_reason == SHUTDOWN_crash) {
        o->shutdown = 0;
        o->crashed = 1;
    }
    o->nr_pages = i->ram_bytes / SIM_PAGE;
    o->max_memkb = i->ram_bytes / 1024;
    o->nr_online_vcpus = i->nr_vcpus;
    o->max_vcpu_id = i->nr_vcpus - 1;
    o->gpaddr_bits = 40;
}

int xc_domain_getinfo(xc_interface *xch, uint32_t first_domid, unsigned int max_doms,
                      xc_dominfo_t *info)
{
    uint64_t next = first_domid;
    struct sim_dom_info i;
    unsigned n;
    int rc = 0;

    for (n = 0; n < max_doms; n++) {
        rc = next_info(xch, next, &i);
        if (rc)
            break;
        to_dominfo(&i, &info[n]);
        next = (uint64_t)i.domid + 1;
    }
    return n ? (int)n : fail(rc);
}

int xc_domain_getinfolist(xc_interface *xch, uint32_t first_domain, unsigned int max_domains,
                          xc_domaininfo_t *info)
{
    uint64_t next = first_domain;
    struct sim_dom_info i;
    unsigned n;
    int rc;

    for (n = 0; n < max_domains; n++) {
        rc = next_info(xch, next, &i);
        if (rc == -ESRCH)
            break;
        if (rc)
            return fail(rc);
        memset(&info[n], 0, sizeof(info[n]));
        info[n].domain = (domid_t)i.domid;
        info[n].flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
        if (i.flags & SIM_DOM_DYING)
            info[n].flags |= XEN_DOMINF_dying;
        if (i.flags & SIM_DOM_PAUSED)
            info[n].flags |= XEN_DOMINF_paused;
        if (i.flags & SIM_DOM_SHUTDOWN)
            info[n].flags |= XEN_DOMINF_shutdown | i.shutdown_reason << XEN_DOMINF_shutdownshift;
        if (!(i.flags & (SIM_DOM_DYING | SIM_DOM_PAUSED | SIM_DOM_SHUTDOWN)))
            info[n].flags |= XEN_DOMINF_running;
        info[n].tot_pages = info[n].max_pages = i.ram_bytes / SIM_PAGE;
        info[n].nr_online_vcpus = i.nr_vcpus;
        info[n].max_vcpu_id = i.nr_vcpus - 1;
        next = (uint64_t)i.domid + 1;
    }
    return (int)n;
}

int xc_hvm_param_get(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t *value)
{
    struct sim_msg msg = {.op = SIM_OP_PARAM_GET, .a = {dom, param}};
    int rc = call(xch, &msg);

    if (!rc)
        *value = msg.a[0];
    return fail(rc);
}

int xc_hvm_param_set(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t value)
{
    struct sim_msg msg = {.op = SIM_OP_PARAM_SET, .a = {dom, param, value}};

    return fail(call(xch, &msg));
}

int xc_get_hvm_param(xc_interface *xch, uint32_t dom, int param, unsigned long *value)
{
    uint64_t v;
    int rc = xc_hvm_param_get(xch, dom, (uint32_t)param, &v);

    if (!rc)
        *value = v;
    return rc;
}

int xc_set_hvm_param(xc_interface *xch, uint32_t dom, int param, unsigned long value)
{
    return xc_hvm_param_set(xch, dom, (uint32_t)param, value);
}

/* What may ask about a domain's memory is what may map it. */
static int dom_ref(xc_interface *xch, uint32_t domid, const struct sim_dom_ref **d)
{
    const struct sim_dom_ref *self;
    int rc;

    if (xch->fake)
        return -ENOSYS;
    if (xch->restricted)
        return -ENOTTY;
    rc = sim_dom_get(DOMID_SELF, &self);
    if (!rc)
        rc = domid > UINT16_MAX ? -ESRCH : sim_dom_get((uint16_t)domid, d);
    if (!rc && *d != self && !sim_may_control(self->dom, (*d)->dom))
        rc = -EPERM;
    return rc;
}

int xc_domain_maximum_gpfn(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
    const struct sim_dom_ref *d;
    uint64_t top = 0;
    uint32_t i;
    int rc = dom_ref(xch, domid, &d);

    if (rc)
        return fail(rc);
    for (i = 0; i < d->dom->nr_regions && i < SIM_REGIONS_MAX; i++)
        if (d->dom->regions[i].gfn + d->dom->regions[i].nr > top)
            top = d->dom->regions[i].gfn + d->dom->regions[i].nr;
    *gpfns = top ? top - 1 : 0;
    return 0;
}

int xc_domain_nr_gpfns(xc_interface *xch, uint32_t domid, xen_pfn_t *gpfns)
{
    int rc = xc_domain_maximum_gpfn(xch, domid, gpfns);

    if (rc >= 0)
        *gpfns += 1;
    return rc;
}

/*
 * All of a domain's memory is there from its creation: frames that it has are populated already,
 * others cannot be added.
 */
int xc_domain_populate_physmap(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                               unsigned int extent_order, unsigned int mem_flags,
                               xen_pfn_t *extent_start)
{
    const struct sim_dom_ref *d;
    unsigned long i;
    uint64_t frame, last;
    int rc = dom_ref(xch, domid, &d);

    if (rc)
        return fail(rc);
    if (extent_order >= 20)
        return fail(-EINVAL);
    for (i = 0; i < nr_extents; i++) {
        last = extent_start[i] + (UINT64_C(1) << extent_order) - 1;
        if (sim_gfn_to_frame(d->dom, extent_start[i], 1u << SIM_REGION_RAM, &frame) ||
            sim_gfn_to_frame(d->dom, last, 1u << SIM_REGION_RAM, &frame))
            break;
    }
    if (i == 0 && nr_extents)
        return fail(-ENOSYS);
    return (int)i;
}

int xc_domain_populate_physmap_exact(xc_interface *xch, uint32_t domid, unsigned long nr_extents,
                                     unsigned int extent_order, unsigned int mem_flags,
                                     xen_pfn_t *extent_start)
{
    int rc =
        xc_domain_populate_physmap(xch, domid, nr_extents, extent_order, mem_flags, extent_start);

    if (rc >= 0 && (unsigned long)rc != nr_extents) {
        errno = EBUSY;
        rc = -1;
    }
    return rc < 0 ? -1 : 0;
}

/* ---- what simxen has nothing to do it with: physical devices, memory that moves ---- */

static int unsupported(void)
{
    errno = ENOSYS;
    return -1;
}

int xc_domain_add_to_physmap(xc_interface *xch, uint32_t domid, unsigned int space,
                             unsigned long idx, xen_pfn_t gpfn)
{
    return unsupported();
}

int xc_domain_decrease_reservation_exact(xc_interface *xch, uint32_t domid,
                                         unsigned long nr_extents, unsigned int extent_order,
                                         xen_pfn_t *extent_start)
{
    return unsupported();
}

int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb)
{
    return unsupported();
}

int xc_domain_bind_pt_pci_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq, uint8_t bus,
                              uint8_t device, uint8_t intx)
{
    return unsupported();
}

int xc_domain_unbind_pt_irq(xc_interface *xch, uint32_t domid, uint8_t machine_irq,
                            uint8_t irq_type, uint8_t bus, uint8_t device, uint8_t intx,
                            uint8_t isa_irq)
{
    return unsupported();
}

int xc_domain_update_msi_irq(xc_interface *xch, uint32_t domid, uint32_t gvec, uint32_t pirq,
                             uint32_t gflags, uint64_t gtable)
{
    return unsupported();
}

int xc_domain_unbind_msi_irq(xc_interface *xch, uint32_t domid, uint32_t gvec, uint32_t pirq,
                             uint32_t gflags)
{
    return unsupported();
}

int xc_domain_iomem_permission(xc_interface *xch, uint32_t domid, unsigned long first_mfn,
                               unsigned long nr_mfns, uint8_t allow_access)
{
    return unsupported();
}

int xc_domain_ioport_mapping(xc_interface *xch, uint32_t domid, uint32_t first_gport,
                             uint32_t first_mport, uint32_t nr_ports, uint32_t add_mapping)
{
    return unsupported();
}

int xc_domain_memory_mapping(xc_interface *xch, uint32_t domid, unsigned long first_gfn,
                             unsigned long first_mfn, unsigned long nr_mfns, uint32_t add_mapping)
{
    return unsupported();
}

int xc_physdev_map_pirq(xc_interface *xch, uint32_t domid, int index, int *pirq)
{
    return unsupported();
}

int xc_physdev_map_pirq_msi(xc_interface *xch, uint32_t domid, int index, int *pirq, int devfn,
                            int bus, int entry_nr, uint64_t table_base)
{
    return unsupported();
}

int xc_physdev_unmap_pirq(xc_interface *xch, uint32_t domid, int pirq)
{
    return unsupported();
}
