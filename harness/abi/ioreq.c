/* SPDX-License-Identifier: MIT */
/*
 * IOREQ servers as objects: identities, ranges, states, resources. Sources: Xen 4.17
 * xen/common/ioreq.c (ioreq_server_create and the functions behind it), xen/common/rangeset.c,
 * xen/common/memory.c (acquire_resource), xen/common/dm.c and rcu_lock_remote_domain_by_id.
 */
#define CHECK_FAMILY "abi"

#include "abi/abi.h"
#include "abi/dm.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define MMIO 1 /* is_mmio of map_io_range */

CHECK(ioreq_server_id_is_the_lowest_free, .judges = HYPERVISOR,
      .proves = "abi.ioreq-server-id-is-the-lowest-free",
      .title = "A new server gets the lowest free id")
{
    struct abi *a = abi_begin(t);
    struct dm *one = dm_create(a), *two = dm_create(a), *three;
    ioservid_t freed = one->id;

    note(t, "ids", "%u %u", one->id, two->id);
    expect(t, MUST, two->id > one->id, "the second id is %u, the first %u", two->id, one->id);
    dm_destroy(one);
    three = dm_create(a);
    expect_eq(t, MUST, three->id, freed, "id after the first server was destroyed");
}

/* ioreq_server_create: MAX_NR_IOREQ_SERVERS */
CHECK(ioreq_servers_are_eight, .judges = HYPERVISOR, .proves = "abi.ioreq-servers-are-eight",
      .title = "A domain has at most 8 servers; the next is refused with ENOSPC")
{
    struct abi *a = abi_begin(t);
    xendevicemodel_handle *h = abi_dm(t);
    ioservid_t id[16];
    unsigned n = 0;
    int err = 0;

    while (n < 16 && !err) {
        if (xendevicemodel_create_ioreq_server(h, a->domid, HVM_IOREQSRV_BUFIOREQ_OFF, &id[n]) == 0)
            n++;
        else
            err = errno;
    }
    for (unsigned i = 0; i < n; i++)
        xendevicemodel_destroy_ioreq_server(h, a->domid, id[i]);
    note(t, "errno", "%s", abi_errno(err));
    expect(t, MUST, n >= 1 && id[n - 1] == 7, "%u servers were created", n);
    expect_eq(t, MUST, err, ENOSPC, "errno of the one too many");
}

CHECK(ioreq_bufioreq_mode_is_checked, .judges = HYPERVISOR,
      .proves = "abi.ioreq-bufioreq-mode-is-checked",
      .title = "A buffered-ring mode that does not exist is refused with EINVAL, on Arm any")
{
    struct abi *a = abi_begin(t);
    xendevicemodel_handle *h = abi_dm(t);
    ioservid_t id = 0;
    bool made;

    ABI_REFUSED(t, "mode-3", (made = xendevicemodel_create_ioreq_server(h, a->domid, 3, &id) == 0),
                EINVAL);
    if (made)
        xendevicemodel_destroy_ioreq_server(h, a->domid, id);
    if (!a->arm)
        return;
    ABI_REFUSED(t, "arm-mode-1",
                (made = xendevicemodel_create_ioreq_server(h, a->domid,
                                                           HVM_IOREQSRV_BUFIOREQ_LEGACY, &id) == 0),
                EINVAL);
    if (made)
        xendevicemodel_destroy_ioreq_server(h, a->domid, id);
}

CHECK(ioreq_unknown_server_refused, .judges = HYPERVISOR,
      .proves = "abi.ioreq-unknown-server-refused",
      .title = "Every operation on a server that does not exist is refused with ENOENT")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);
    xendevicemodel_handle *h = abi_dm(t);
    ioservid_t id = d->id;
    evtchn_port_t port;

    dm_destroy(d);
    ABI_REFUSED(t, "destroy", xendevicemodel_destroy_ioreq_server(h, a->domid, id) == 0, ENOENT);
    ABI_REFUSED(t, "state", xendevicemodel_set_ioreq_server_state(h, a->domid, id, 1) == 0, ENOENT);
    ABI_REFUSED(t, "map-range",
                xendevicemodel_map_io_range_to_ioreq_server(h, a->domid, id, MMIO, a->window,
                                                            a->window + 7) == 0,
                ENOENT);
    ABI_REFUSED(t, "unmap-range",
                xendevicemodel_unmap_io_range_from_ioreq_server(h, a->domid, id, MMIO, a->window,
                                                                a->window + 7) == 0,
                ENOENT);
    ABI_REFUSED(t, "info",
                xendevicemodel_get_ioreq_server_info(h, a->domid, id, NULL, NULL, &port) == 0,
                ENOENT);
    ABI_REFUSED(t, "id-9", xendevicemodel_destroy_ioreq_server(h, a->domid, 9) == 0, ENOENT);
}

/* rcu_lock_remote_domain_by_id: EPERM for the caller itself, ESRCH for none */
CHECK(ioreq_domain_is_checked, .judges = HYPERVISOR, .proves = "abi.ioreq-domain-is-checked",
      .title = "Device-model operations on no domain are ESRCH, on oneself EPERM")
{
    xendevicemodel_handle *h = abi_dm(t);
    ioservid_t id = 0;

    ABI_REFUSED(t, "no-domain", xendevicemodel_create_ioreq_server(h, ABI_NO_DOMAIN, 0, &id) == 0,
                ESRCH);
    ABI_REFUSED(t, "self", xendevicemodel_create_ioreq_server(h, 0, 0, &id) == 0, EPERM);
}

/* rangeset_overlaps_range */
CHECK(ioreq_overlap_in_one_server_refused, .judges = HYPERVISOR,
      .proves = "abi.ioreq-overlap-in-one-server-refused",
      .title = "A range that overlaps one of the same server is refused with EEXIST")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);

    dm_map_range(d, a->window, a->window + 0xfff);
    ABI_REFUSED(t, "same",
                xendevicemodel_map_io_range_to_ioreq_server(d->h, a->domid, d->id, MMIO, a->window,
                                                            a->window + 0xfff) == 0,
                EEXIST);
    ABI_REFUSED(t, "last-byte",
                xendevicemodel_map_io_range_to_ioreq_server(
                    d->h, a->domid, d->id, MMIO, a->window + 0xfff, a->window + 0x1000) == 0,
                EEXIST);
    expect(t, MUST,
           xendevicemodel_map_io_range_to_ioreq_server(d->h, a->domid, d->id, MMIO,
                                                       a->window + 0x1000, a->window + 0x1fff) == 0,
           "a range beside it was refused: %s", abi_errno(errno));
    expect(t, MUST,
           xendevicemodel_map_io_range_to_ioreq_server(d->h, a->domid, d->id, 0, 0x1000, 0x1fff) ==
               0,
           "the same numbers as ports were refused: %s", abi_errno(errno));
}

CHECK(ioreq_overlap_between_servers_allowed, .judges = HYPERVISOR,
      .proves = "abi.ioreq-overlap-between-servers-allowed",
      .title = "Two servers may map the same range")
{
    struct abi *a = abi_begin(t);
    struct dm *one = dm_create(a), *two = dm_create(a);

    dm_map_range(one, a->window, a->window + 0xfff);
    expect(t, MUST,
           xendevicemodel_map_io_range_to_ioreq_server(two->h, a->domid, two->id, MMIO, a->window,
                                                       a->window + 0xfff) == 0,
           "refused: %s", abi_errno(errno));
}

CHECK(ioreq_unmapped_range_refused, .judges = HYPERVISOR,
      .proves = "abi.ioreq-unmapped-range-refused",
      .title = "Unmapping what is not mapped, wholly or in part, is refused with ENOENT")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);

    ABI_REFUSED(t, "nothing",
                xendevicemodel_unmap_io_range_from_ioreq_server(d->h, a->domid, d->id, MMIO,
                                                                a->window, a->window + 7) == 0,
                ENOENT);
    dm_map_range(d, a->window, a->window + 0xfff);
    ABI_REFUSED(t, "more",
                xendevicemodel_unmap_io_range_from_ioreq_server(d->h, a->domid, d->id, MMIO,
                                                                a->window, a->window + 0x1000) == 0,
                ENOENT);
    expect(t, MUST,
           xendevicemodel_unmap_io_range_from_ioreq_server(
               d->h, a->domid, d->id, MMIO, a->window + 0x100, a->window + 0x1ff) == 0,
           "a part of a range was refused: %s", abi_errno(errno));
    ABI_REFUSED(t, "hole",
                xendevicemodel_unmap_io_range_from_ioreq_server(d->h, a->domid, d->id, MMIO,
                                                                a->window, a->window + 0xfff) == 0,
                ENOENT);
}

CHECK(ioreq_backward_range_refused, .judges = HYPERVISOR,
      .proves = "abi.ioreq-backward-range-refused",
      .title = "A range that ends before it begins is refused with EINVAL")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);

    ABI_REFUSED(t, "map",
                xendevicemodel_map_io_range_to_ioreq_server(d->h, a->domid, d->id, MMIO,
                                                            a->window + 8, a->window) == 0,
                EINVAL);
}

/* rangeset_limit(MAX_NR_IO_RANGES): alloc_range fails, ENOMEM */
CHECK(ioreq_ranges_are_256, .judges = HYPERVISOR, .proves = "abi.ioreq-ranges-are-256",
      .title = "A server holds 256 separate ranges of a kind; the next is refused with ENOMEM")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);
    unsigned n = 0;
    int err = 0;

    while (n < 300 && !err) {
        uint64_t at = a->window + (uint64_t)n * 16;

        if (xendevicemodel_map_io_range_to_ioreq_server(d->h, a->domid, d->id, MMIO, at, at + 7) ==
            0)
            n++;
        else
            err = errno;
    }
    note(t, "ranges", "%u", n);
    note(t, "errno", "%s", abi_errno(err));
    expect_eq(t, MUST, n, 256, "ranges");
    expect_eq(t, MUST, err, ENOMEM, "errno of the one too many");
}

CHECK(ioreq_pcidev_mapped_once, .judges = HYPERVISOR, .proves = "abi.ioreq-pcidev-mapped-once",
      .title = "A PCI function is mapped to a server once (EEXIST) and unmapped once (ENOENT)")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);

    ABI_OK(t, xendevicemodel_map_pcidev_to_ioreq_server(d->h, a->domid, d->id, 0, 0, 3, 1) == 0,
           "mapping 0000:00:03.1");
    ABI_REFUSED(t, "again",
                xendevicemodel_map_pcidev_to_ioreq_server(d->h, a->domid, d->id, 0, 0, 3, 1) == 0,
                EEXIST);
    expect(t, MUST,
           xendevicemodel_map_pcidev_to_ioreq_server(d->h, a->domid, d->id, 0, 0, 3, 2) == 0,
           "another function was refused: %s", abi_errno(errno));
    ABI_OK(t, xendevicemodel_unmap_pcidev_from_ioreq_server(d->h, a->domid, d->id, 0, 0, 3, 1) == 0,
           "unmapping");
    ABI_REFUSED(t, "unmap-again",
                xendevicemodel_unmap_pcidev_from_ioreq_server(d->h, a->domid, d->id, 0, 0, 3, 1) ==
                    0,
                ENOENT);
}

/* XEN_DMOP_no_gfns: nothing is mapped into the guest by asking for the port only */
CHECK(ioreq_info_without_frames, .judges = HYPERVISOR, .proves = "abi.ioreq-info-without-frames",
      .title = "Asking for the port alone succeeds, before and after map_resource")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);
    evtchn_port_t port = 77;

    expect(t, MUST,
           xendevicemodel_get_ioreq_server_info(d->h, a->domid, d->id, NULL, NULL, &port) == 0,
           "before: %s", abi_errno(errno));
    note(t, "port-without-ring", "%u", port);
    expect_eq(t, MUST, port, 0, "port of a server without a buffered ring");
    dm_map_page(d);
    expect(t, MUST,
           xendevicemodel_get_ioreq_server_info(d->h, a->domid, d->id, NULL, NULL, &port) == 0,
           "after: %s", abi_errno(errno));
}

/* hvm_map_ioreq_gfn: EPERM once the page was taken as a resource; Arm has no gfns at all */
CHECK(ioreq_frames_by_gfn_after_resource_refused, .judges = HYPERVISOR,
      .proves = "abi.ioreq-frames-by-gfn-after-resource-refused",
      .title = "After map_resource the frames have no gfn: EPERM, on Arm EOPNOTSUPP")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);
    xen_pfn_t gfn = 0, buf = 0;
    evtchn_port_t port;

    dm_map_page(d);
    ABI_REFUSED(t, "info",
                xendevicemodel_get_ioreq_server_info(d->h, a->domid, d->id, &gfn, &buf, &port) == 0,
                a->arm ? EOPNOTSUPP : EPERM);
}

CHECK(ioreq_nr_vcpus, .judges = HYPERVISOR, .proves = "abi.ioreq-nr-vcpus",
      .title = "xendevicemodel_nr_vcpus is the number of vCPUs that the domain sees")
{
    struct abi *a = abi_begin(t);
    xendevicemodel_handle *h = abi_dm(t);
    unsigned n = 0;

    ABI_OK(t, xendevicemodel_nr_vcpus(h, a->domid, &n) == 0, "nr_vcpus");
    expect_eq(t, MUST, n, a->nr_vcpus, "vCPUs");
}

/* ---- resources ---- */

static void *map_frames(struct dm *d, unsigned type, unsigned id, unsigned long frame, unsigned n,
                        int flags)
{
    void *addr = NULL;
    xenforeignmemory_resource_handle *r = xenforeignmemory_map_resource(
        d->fmem, d->a->domid, type, id, frame, n, &addr, PROT_READ | PROT_WRITE, flags);

    if (!r)
        return NULL;
    xenforeignmemory_unmap_resource(d->fmem, r);
    return addr;
}

CHECK(resource_errors, .judges = HYPERVISOR, .proves = "abi.resource-errors",
      .title = "map_resource: no server ENOENT, no such frame EINVAL, no ring ENOENT, no type "
               "EOPNOTSUPP, odd flags EINVAL")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);
    const unsigned type = XENMEM_resource_ioreq_server;

    ABI_REFUSED(t, "no-server", map_frames(d, type, 7, 1, 1, 0) != NULL, ENOENT);
    ABI_REFUSED(t, "frame-9", map_frames(d, type, d->id, 9, 1, 0) != NULL, EINVAL);
    ABI_REFUSED(t, "no-ring", map_frames(d, type, d->id, 0, 1, 0) != NULL, ENOENT);
    ABI_REFUSED(t, "type-99", map_frames(d, 99, d->id, 0, 1, 0) != NULL, EOPNOTSUPP);
    ABI_REFUSED(t, "flags", map_frames(d, type, d->id, 1, 1, MAP_FIXED) != NULL, EINVAL);
}

CHECK(resource_of_no_domain_refused, .judges = HYPERVISOR,
      .proves = "abi.resource-of-no-domain-refused",
      .title = "map_resource of a domain that does not exist is refused with ESRCH")
{
    xenforeignmemory_handle *h = abi_foreign(t);
    void *addr = NULL;

    ABI_REFUSED(t, "map",
                xenforeignmemory_map_resource(h, ABI_NO_DOMAIN, XENMEM_resource_ioreq_server, 0, 1,
                                              1, &addr, PROT_READ | PROT_WRITE, 0) != NULL,
                ESRCH);
}

/* ioreq_server_max_frames: the ring's, and one for every 128 vCPUs */
CHECK(resource_size_of_ioreq_server, .judges = HYPERVISOR,
      .proves = "abi.resource-size-of-ioreq-server",
      .title = "The size of an IOREQ server's resource is the ring's page and the slots' pages")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);
    size_t bytes = 0, slots = (a->nr_vcpus * sizeof(ioreq_t) + 4095) / 4096;

    ABI_OK(t,
           xenforeignmemory_resource_size(d->fmem, a->domid, XENMEM_resource_ioreq_server, d->id,
                                          &bytes) == 0,
           "resource_size");
    note(t, "bytes", "%zu", bytes);
    expect_eq(t, MUST, bytes, (1 + slots) * 4096, "bytes");
}

/* ioreq_server_update_evtchn happens when the server is enabled */
CHECK(ioreq_ports_appear_when_enabled, .judges = HYPERVISOR,
      .proves = "abi.ioreq-ports-appear-when-enabled",
      .title = "The slots carry their event ports from the moment the server is enabled")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);

    dm_map_page(d);
    note(t, "before", "%s", d->page->vcpu_ioreq[0].vp_eport ? "port" : "0");
    expect_eq(t, MUST, d->page->vcpu_ioreq[0].vp_eport, 0, "vCPU 0's port before");
    dm_enable(d);
    for (unsigned i = 0; i < a->nr_vcpus && i < DM_VCPUS_MAX; i++) {
        expect(t, MUST, d->page->vcpu_ioreq[i].vp_eport != 0, "vCPU %u has no port", i);
        for (unsigned k = 0; k < i; k++)
            expect(t, MUST, d->page->vcpu_ioreq[i].vp_eport != d->page->vcpu_ioreq[k].vp_eport,
                   "vCPUs %u and %u share a port", i, k);
    }
    expect_eq(t, MUST, d->page->vcpu_ioreq[a->nr_vcpus].vp_eport, 0, "port behind the last vCPU");
}

CHECK(resource_ring_and_slots_together, .judges = HYPERVISOR,
      .proves = "abi.resource-ring-and-slots-together",
      .title = "The buffered ring and the slots map together, and the ring has its own port")
{
    struct abi *a = abi_begin(t);
    xendevicemodel_handle *h = abi_dm(t);
    xenforeignmemory_handle *f = abi_foreign(t);
    xenforeignmemory_resource_handle *r;
    evtchn_port_t port = 0;
    uint8_t *addr = NULL;
    ioservid_t id = 0;
    bool zero = true;

    if (a->arm)
        skip_check(t, "no buffered ring on Arm");
    ABI_OK(t,
           xendevicemodel_create_ioreq_server(h, a->domid, HVM_IOREQSRV_BUFIOREQ_ATOMIC, &id) == 0,
           "create_ioreq_server");
    r = xenforeignmemory_map_resource(f, a->domid, XENMEM_resource_ioreq_server, id, 0, 2,
                                      (void **)&addr, PROT_READ | PROT_WRITE, 0);
    expect(t, MUST, r != NULL, "map_resource: %s", abi_errno(errno));
    if (r) {
        for (unsigned i = 0; i < 2 * 4096; i++)
            zero &= addr[i] == 0;
        expect(t, MUST, zero, "the pages are not zeroed");
        xenforeignmemory_unmap_resource(f, r);
    }
    expect(t, MUST, xendevicemodel_get_ioreq_server_info(h, a->domid, id, NULL, NULL, &port) == 0,
           "info: %s", abi_errno(errno));
    expect(t, MUST, port != 0, "the ring has no port");
    expect(t, MUST, xendevicemodel_destroy_ioreq_server(h, a->domid, id) == 0, "destroy: %s",
           abi_errno(errno));
}
