/* SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include <xen/memory.h>

#include "unit/libxen_fake.h"
#include "util/bits.h"

#define PAGE       4096u
#define PAGES_CALL 256u /* at most, mapped in one call */

struct libxen_fake libxen_fake;
static struct libxen_fake *const fake = &libxen_fake;

void libxen_fake_log(const char *fmt, ...)
{
    size_t used = strlen(fake->log);
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(fake->log + used, sizeof(fake->log) - used, fmt, args);
    va_end(args);
    ck_assert_int_ge(n, 0);
    ck_assert_uint_lt(used + (size_t)n, sizeof(fake->log));
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

/* ---- handles: never looked into, any addresses will do ---- */

xengnttab_handle *xengnttab_open(struct xentoollog_logger *l, unsigned f)
{
    return (void *)16;
}

int xengnttab_close(xengnttab_handle *h)
{
    return 0;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *l, unsigned f)
{
    fake->event_fd = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_ge(fake->event_fd, 0);
    return (void *)32;
}

int xenevtchn_close(xenevtchn_handle *h)
{
    return close(fake->event_fd);
}

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *l, unsigned f)
{
    return (void *)48;
}

int xenforeignmemory_close(xenforeignmemory_handle *h)
{
    return 0;
}

xendevicemodel_handle *xendevicemodel_open(struct xentoollog_logger *l, unsigned f)
{
    return (void *)64;
}

int xendevicemodel_close(xendevicemodel_handle *h)
{
    return 0;
}

/* ---- memory ---- */

uint8_t *libxen_fake_memory_create(uint32_t pages, uint32_t read_only_from)
{
    fake->memory_fd = memfd_create("guest", MFD_CLOEXEC);
    ck_assert_int_eq(ftruncate(fake->memory_fd, (off_t)pages * PAGE), 0);
    fake->memory =
        mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fake->memory_fd, 0);
    ck_assert_ptr_ne(fake->memory, MAP_FAILED);
    for (uint32_t i = 0; i < pages; i++)
        memset(fake->memory + (size_t)i * PAGE, (int)i, PAGE);
    fake->memory_pages = pages;
    fake->read_only_from = read_only_from;
    return fake->memory;
}

void libxen_fake_memory_destroy(void)
{
    munmap(fake->memory, (size_t)fake->memory_pages * PAGE);
    close(fake->memory_fd);
    free(fake->table);
    fake->table = NULL;
}

/* Without `errors`, pages are granted, and one that cannot be had fails the call. */
static void *map_pages(size_t count, const uint64_t *numbers, int prot, int *errors)
{
    uint8_t *base;

    fake->map_calls++;
    fake->last_prot = prot;
    if (fake->map_fails_in && --fake->map_fails_in == 0) {
        errno = EINVAL;
        return NULL;
    }
    base = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    for (size_t i = 0; i < count; i++) {
        bool bad = numbers[i] >= fake->memory_pages ||
                   (!errors && numbers[i] >= fake->read_only_from && (prot & PROT_WRITE));

        if (errors)
            errors[i] = bad ? -EINVAL : 0;
        if (bad && !errors) {
            munmap(base, count * PAGE);
            errno = EINVAL;
            return NULL;
        }
        if (!bad)
            ck_assert_ptr_ne(mmap(base + i * PAGE, PAGE, prot, MAP_SHARED | MAP_FIXED,
                                  fake->memory_fd, (off_t)numbers[i] * PAGE),
                             MAP_FAILED);
    }
    fake->pages_mapped += (long)count;
    return base;
}

static int unmap_pages(void *base, size_t count)
{
    fake->unmap_calls++;
    fake->pages_mapped -= (long)count;
    return munmap(base, count * PAGE);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *h, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot)
{
    uint64_t numbers[PAGES_CALL];

    ck_assert_uint_eq(domid, LIBXEN_FAKE_DOMID);
    ck_assert_uint_le(count, ARRAY_LENGTH(numbers));
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = refs[i];
    return map_pages(count, numbers, prot, NULL);
}

int xengnttab_unmap(xengnttab_handle *h, void *base, uint32_t count)
{
    return unmap_pages(base, count);
}

/* What of a page a segment of a copy names; NULL with Xen's word for what is wrong. */
static uint8_t *copied_bytes(uint32_t ref, uint16_t offset, uint16_t len, uint16_t domid,
                             bool written, int16_t *status)
{
    ck_assert_uint_eq(domid, LIBXEN_FAKE_DOMID);
    *status = GNTST_okay;
    if (ref >= fake->memory_pages)
        *status = GNTST_bad_gntref;
    else if (written && ref >= fake->read_only_from)
        *status = GNTST_general_error;
    else if (offset + len > PAGE)
        *status = GNTST_bad_copy_arg;
    return *status == GNTST_okay ? fake->memory + (size_t)ref * PAGE + offset : NULL;
}

/* Each has a status of its own, and those behind one that failed are copied, too. */
int xengnttab_grant_copy(xengnttab_handle *h, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
    fake->copy_calls++;
    if (fake->copy_fails)
        return refuse(EINVAL);
    for (uint32_t i = 0; i < count; i++) {
        xengnttab_grant_copy_segment_t *s = &segs[i];
        uint8_t *at;

        ck_assert(s->flags == GNTCOPY_source_gref || s->flags == GNTCOPY_dest_gref);
        fake->copy_segments++;
        if (s->flags == GNTCOPY_source_gref) {
            at = copied_bytes(s->source.foreign.ref, s->source.foreign.offset, s->len,
                              s->source.foreign.domid, false, &s->status);
            if (at)
                memcpy(s->dest.virt, at, s->len);
        } else {
            at = copied_bytes(s->dest.foreign.ref, s->dest.foreign.offset, s->len,
                              s->dest.foreign.domid, true, &s->status);
            if (at)
                memcpy(at, s->source.virt, s->len);
        }
    }
    return 0;
}

void *xenforeignmemory_map(xenforeignmemory_handle *h, uint32_t domid, int prot, size_t count,
                           const xen_pfn_t *gfns, int *errors)
{
    uint64_t numbers[PAGES_CALL];

    ck_assert_uint_eq(domid, LIBXEN_FAKE_DOMID);
    ck_assert_ptr_nonnull(errors);
    ck_assert_uint_le(count, ARRAY_LENGTH(numbers));
    for (size_t i = 0; i < count; i++)
        numbers[i] = gfns[i];
    return map_pages(count, numbers, prot, errors);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *h, void *base, size_t count)
{
    return unmap_pages(base, count);
}

/* ---- the grant table ---- */

grant_entry_v1_t *libxen_fake_table(void)
{
    if (!fake->table) {
        fake->table = calloc(PAGE / sizeof(*fake->table), sizeof(*fake->table));
        ck_assert_ptr_nonnull(fake->table);
    }
    return fake->table;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *h, domid_t d, unsigned type,
                                   unsigned id, size_t *size)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    ck_assert_uint_eq(type, XENMEM_resource_grant_table);
    *size = PAGE;
    return 0;
}

/* ---- the IOREQ server ---- */

void libxen_fake_give_ports(void)
{
    for (unsigned v = 0; v < fake->vcpus; v++)
        fake->slots[v].vp_eport = LIBXEN_FAKE_REMOTE_PORT + v;
}

static void check_server(domid_t d, ioservid_t id)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    ck_assert_uint_eq(id, LIBXEN_FAKE_SERVER);
}

int xendevicemodel_create_ioreq_server(xendevicemodel_handle *h, domid_t d, int mode,
                                       ioservid_t *id)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    fake->servers_created++;
    *id = LIBXEN_FAKE_SERVER;
    return 0;
}

int xendevicemodel_get_ioreq_server_info(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                         xen_pfn_t *a, xen_pfn_t *b, evtchn_port_t *port)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    if (id != LIBXEN_FAKE_SERVER)
        return refuse(ENOENT);
    *port = 0;
    return 0;
}

int xendevicemodel_set_ioreq_server_state(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                          int on)
{
    check_server(d, id);
    libxen_fake_log(on ? "enable " : "disable ");
    if (on)
        libxen_fake_give_ports();
    return 0;
}

int xendevicemodel_destroy_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id)
{
    check_server(d, id);
    fake->servers_destroyed++;
    libxen_fake_log("destroy ");
    return 0;
}

xenforeignmemory_resource_handle *xenforeignmemory_map_resource(xenforeignmemory_handle *h,
                                                                domid_t d, unsigned type,
                                                                unsigned id, unsigned long frame,
                                                                unsigned long count, void **addr,
                                                                int prot, int flags)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    if (type == XENMEM_resource_grant_table) {
        ck_assert_uint_eq(frame, 0);
        ck_assert_uint_eq(count, 1);
        *addr = libxen_fake_table();
        return (void *)fake->table;
    }
    ck_assert_uint_eq(frame, 1);
    fake->slot_frames = (unsigned)count;
    *addr = fake->slots;
    return (void *)fake->slots;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *h, xenforeignmemory_resource_handle *r)
{
    libxen_fake_log("unmap ");
    return 0;
}

int xendevicemodel_map_io_range_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                                int mmio, uint64_t first, uint64_t last)
{
    check_server(d, id);
    for (unsigned i = 0; i < fake->range_count; i++) {
        if (first <= fake->ranges[i].last && fake->ranges[i].first <= last)
            return refuse(EEXIST);
    }
    ck_assert_uint_lt(fake->range_count, ARRAY_LENGTH(fake->ranges));
    fake->ranges[fake->range_count++] = (struct libxen_fake_range){first, last};
    libxen_fake_log("+%llx-%llx ", (unsigned long long)first, (unsigned long long)last);
    return 0;
}

int xendevicemodel_unmap_io_range_from_ioreq_server(xendevicemodel_handle *h, domid_t d,
                                                    ioservid_t id, int mmio, uint64_t first,
                                                    uint64_t last)
{
    check_server(d, id);
    for (unsigned i = 0; i < fake->range_count; i++) {
        if (fake->ranges[i].first == first && fake->ranges[i].last == last) {
            fake->ranges[i] = fake->ranges[--fake->range_count];
            libxen_fake_log("-%llx-%llx ", (unsigned long long)first, (unsigned long long)last);
            return 0;
        }
    }
    return refuse(ENOENT);
}

int xendevicemodel_map_pcidev_to_ioreq_server(xendevicemodel_handle *h, domid_t d, ioservid_t id,
                                              uint16_t seg, uint8_t bus, uint8_t dev, uint8_t fn)
{
    check_server(d, id);
    libxen_fake_log("+dev%x.%x ", dev, fn);
    return 0;
}

int xendevicemodel_unmap_pcidev_from_ioreq_server(xendevicemodel_handle *h, domid_t d,
                                                  ioservid_t id, uint16_t seg, uint8_t bus,
                                                  uint8_t dev, uint8_t fn)
{
    check_server(d, id);
    libxen_fake_log("-dev%x.%x ", dev, fn);
    return 0;
}

/* ---- event channels ---- */

void libxen_fake_fire(unsigned vcpu)
{
    uint64_t one = 1;

    fake->pending_port = LIBXEN_FAKE_LOCAL_PORT + vcpu;
    ck_assert_int_eq(write(fake->event_fd, &one, sizeof(one)), sizeof(one));
}

int xenevtchn_fd(xenevtchn_handle *h)
{
    return fake->event_fd;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t d,
                                                     evtchn_port_t remote)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    ck_assert_uint_ge(remote, LIBXEN_FAKE_REMOTE_PORT);
    if (fake->ports_taken)
        return refuse(EINVAL);
    fake->ports_bound++;
    return (int)(LIBXEN_FAKE_LOCAL_PORT + remote - LIBXEN_FAKE_REMOTE_PORT);
}

int xenevtchn_unbind(xenevtchn_handle *h, evtchn_port_t port)
{
    fake->ports_unbound++;
    return 0;
}

int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
    ck_assert_uint_lt(port - LIBXEN_FAKE_LOCAL_PORT, LIBXEN_FAKE_VCPUS_MAX);
    fake->notified[port - LIBXEN_FAKE_LOCAL_PORT]++;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h)
{
    uint64_t n;

    ck_assert_int_eq(read(fake->event_fd, &n, sizeof(n)), sizeof(n));
    return (int)fake->pending_port;
}

int xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port)
{
    return 0;
}

/* ---- interrupt lines ---- */

int xendevicemodel_set_irq_level(xendevicemodel_handle *h, domid_t d, unsigned irq, unsigned level)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    libxen_fake_log("line%u=%u ", irq, level);
    return 0;
}

int xendevicemodel_set_isa_irq_level(xendevicemodel_handle *h, domid_t d, uint8_t irq,
                                     unsigned level)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    libxen_fake_log("isa%u=%u ", irq, level);
    return 0;
}

int xendevicemodel_set_pci_intx_level(xendevicemodel_handle *h, domid_t d, uint16_t seg,
                                      uint8_t bus, uint8_t dev, uint8_t intx, unsigned level)
{
    ck_assert_uint_eq(d, LIBXEN_FAKE_DOMID);
    libxen_fake_log("pin%u=%u ", dev * 4u + intx, level);
    return 0;
}
