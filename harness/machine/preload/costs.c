/* SPDX-License-Identifier: MIT */
/*
 * Counts what a backend asks of the real Xen (LD_PRELOAD), as simxen's libraries count it:
 * RINGPROOF_COSTS is a file that it makes, with the counters below as 64-bit words of the machine.
 * Every call goes where it went.
 */
/* The parts of Xen's public headers that device models need are for "tools" only. */
#define __XEN_TOOLS__ 1

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#define EXPORT __attribute__((visibility("default")))

/* testbed/xen_costs.c reads them in this order. */
enum count { EVENTS, INTERRUPTS, GRANTS_MAPPED, FRAMES_MAPPED, UNMAPPED, COPIES, BYTES, COUNTS };

/* NULL: nobody wants to know. Set before the program begins. */
static _Atomic uint64_t *counts;
/* A library may carry out one of its functions by another: asked for was the first. */
static _Thread_local unsigned depth;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("RINGPROOF_COSTS");
    const size_t bytes = COUNTS * sizeof(uint64_t);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    void *map = MAP_FAILED;

    if (fd < 0)
        return;
    if (!ftruncate(fd, (off_t)bytes))
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        counts = map;
}

static void add(enum count which, uint64_t n)
{
    if (counts && depth == 0)
        atomic_fetch_add_explicit(&counts[which], n, memory_order_relaxed);
}

/* The function behind this one's. */
static void *real(const char *name)
{
    void *at = dlsym(RTLD_NEXT, name);

    if (!at)
        abort();
    return at;
}

#define REAL(name) ((__typeof__(&(name)))real(#name))

/* ---- grants ---- */

EXPORT void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
    void *at;

    depth++;
    at = REAL(xengnttab_map_grant_ref)(xgt, domid, ref, prot);
    depth--;
    add(GRANTS_MAPPED, at ? 1 : 0);
    return at;
}

EXPORT void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t *domids,
                                      uint32_t *refs, int prot)
{
    void *at;

    depth++;
    at = REAL(xengnttab_map_grant_refs)(xgt, count, domids, refs, prot);
    depth--;
    add(GRANTS_MAPPED, at ? count : 0);
    return at;
}

EXPORT void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid,
                                             uint32_t *refs, int prot)
{
    void *at;

    depth++;
    at = REAL(xengnttab_map_domain_grant_refs)(xgt, count, domid, refs, prot);
    depth--;
    add(GRANTS_MAPPED, at ? count : 0);
    return at;
}

EXPORT void *xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid, uint32_t ref,
                                            int prot, uint32_t notify_offset,
                                            evtchn_port_t notify_port)
{
    void *at;

    depth++;
    at = REAL(xengnttab_map_grant_ref_notify)(xgt, domid, ref, prot, notify_offset, notify_port);
    depth--;
    add(GRANTS_MAPPED, at ? 1 : 0);
    return at;
}

EXPORT int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
    int rc;

    depth++;
    rc = REAL(xengnttab_unmap)(xgt, start_address, count);
    depth--;
    add(UNMAPPED, rc ? 0 : count);
    return rc;
}

EXPORT int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
                                xengnttab_grant_copy_segment_t *segs)
{
    uint64_t bytes = 0;
    int rc;

    for (uint32_t i = 0; i < count; i++)
        bytes += segs[i].len;
    depth++;
    rc = REAL(xengnttab_grant_copy)(xgt, count, segs);
    depth--;
    add(COPIES, rc ? 0 : count);
    add(BYTES, rc ? 0 : bytes);
    return rc;
}

/* ---- frames ---- */

/* `err` may be NULL: then all were mapped or none. */
static uint64_t frames_mapped(const void *at, size_t pages, const int *err)
{
    uint64_t good = at ? pages : 0;

    for (size_t i = 0; at && err && i < pages; i++)
        good -= err[i] != 0;
    return good;
}

EXPORT void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot,
                                  size_t pages, const xen_pfn_t arr[], int err[])
{
    void *at;

    depth++;
    at = REAL(xenforeignmemory_map)(fmem, dom, prot, pages, arr, err);
    depth--;
    add(FRAMES_MAPPED, frames_mapped(at, pages, err));
    return at;
}

EXPORT void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom, void *addr,
                                   int prot, int flags, size_t pages, const xen_pfn_t arr[],
                                   int err[])
{
    void *at;

    depth++;
    at = REAL(xenforeignmemory_map2)(fmem, dom, addr, prot, flags, pages, arr, err);
    depth--;
    add(FRAMES_MAPPED, frames_mapped(at, pages, err));
    return at;
}

EXPORT int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    int rc;

    depth++;
    rc = REAL(xenforeignmemory_unmap)(fmem, addr, pages);
    depth--;
    add(UNMAPPED, rc ? 0 : pages);
    return rc;
}

/* ---- events and interrupts ---- */

EXPORT int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    add(EVENTS, 1);
    return REAL(xenevtchn_notify)(xce, port);
}

EXPORT int xendevicemodel_inject_msi(xendevicemodel_handle *dmod, domid_t domid, uint64_t msi_addr,
                                     uint32_t msi_data)
{
    add(INTERRUPTS, 1);
    return REAL(xendevicemodel_inject_msi)(dmod, domid, msi_addr, msi_data);
}

EXPORT int xendevicemodel_set_irq_level(xendevicemodel_handle *dmod, domid_t domid,
                                        unsigned int irq, unsigned int level)
{
    add(INTERRUPTS, 1);
    return REAL(xendevicemodel_set_irq_level)(dmod, domid, irq, level);
}

EXPORT int xendevicemodel_set_isa_irq_level(xendevicemodel_handle *dmod, domid_t domid, uint8_t irq,
                                            unsigned int level)
{
    add(INTERRUPTS, 1);
    return REAL(xendevicemodel_set_isa_irq_level)(dmod, domid, irq, level);
}

EXPORT int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *dmod, domid_t domid,
                                             uint16_t segment, uint8_t bus, uint8_t device,
                                             uint8_t intx, unsigned int level)
{
    add(INTERRUPTS, 1);
    return REAL(xendevicemodel_set_pci_intx_level)(dmod, domid, segment, bus, device, intx, level);
}
