/* SPDX-License-Identifier: MIT */
/*
 * What the ways of a device model into the hypervisor cost, each by itself: the price list under
 * what a request costs. A check here judges that the operation did what it is for, and notes what
 * it took (check/cost.h); its figures mean something where instructions are counted alone.
 */
#define CHECK_FAMILY "primitive"

#include "abi/abi.h"
#include "check/cost.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/grant_table.h>
#include <xen/version.h>
#include <xencall.h>

#define OPERATIONS 50u
#define PAGES      16u
#define PAGE_BYTES 4096u
#define RW         (PROT_READ | PROT_WRITE)

/* ---- hypercalls ---- */

static void call_close(void *h)
{
    xencall_close(h);
}

struct call {
    xencall_handle *h;
    int version;
};

static void run_call(void *arg, unsigned operations)
{
    struct call *c = arg;

    for (unsigned i = 0; i < operations; i++)
        c->version = xencall2(c->h, __HYPERVISOR_xen_version, XENVER_version, 0);
}

struct notification {
    xenevtchn_handle *from, *to;
    int from_port, to_port;
    int rc;
};

static void run_notify(void *arg, unsigned operations)
{
    struct notification *n = arg;

    for (unsigned i = 0; i < operations; i++)
        n->rc |= xenevtchn_notify(n->from, (evtchn_port_t)n->from_port);
}

CHECK(calls_cost, .judges = HYPERVISOR, .proves = "abi.evtchn-notify-reaches-the-other-side",
      .title = "A hypercall through privcmd, and a notification that nobody takes meanwhile")
{
    struct call call = {.h = xencall_open(NULL, 0)};
    struct notification n = {.from = abi_evtchn(t), .to = abi_evtchn(t)};
    struct cost c;

    if (!call.h)
        error_out(t, "xencall_open: %s", strerror(errno));
    check_defer(t, call_close, call.h);
    note(t, "compiler", "%s", __VERSION__);
    cost_measure(&c, OPERATIONS, run_call, &call);
    expect(t, MUST, call.version >> 16 >= 4, "the hypercall gave %d", call.version);
    cost_note(t, "hypercall", &c);

    n.from_port = xenevtchn_bind_unbound_port(n.from, 0);
    if (n.from_port < 0)
        error_out(t, "bind_unbound_port: %s", strerror(errno));
    n.to_port = xenevtchn_bind_interdomain(n.to, 0, (evtchn_port_t)n.from_port);
    if (n.to_port < 0)
        error_out(t, "bind_interdomain: %s", strerror(errno));
    if (abi_event(t, n.to, ABI_QUIET_MS) == n.to_port)
        xenevtchn_unmask(n.to, (evtchn_port_t)n.to_port);
    cost_measure(&c, OPERATIONS, run_notify, &n);
    expect_eq(t, MUST, n.rc, 0, "what xenevtchn_notify returned");
    expect_eq(t, MUST, abi_event(t, n.to, ABI_SOON_MS), n.to_port, "port of the event");
    cost_note(t, "event notify", &c);
}

/* ---- copies ---- */

struct copies {
    xengnttab_handle *h;
    xengnttab_grant_copy_segment_t segments[PAGES];
    unsigned count;
    const uint8_t *mapped;
    uint8_t *buffer;
    int rc;
};

static void run_copies(void *arg, unsigned operations)
{
    struct copies *c = arg;

    for (unsigned i = 0; i < operations; i++)
        c->rc |= xengnttab_grant_copy(c->h, c->count, c->segments);
}

static void run_memcpy(void *arg, unsigned operations)
{
    struct copies *c = arg;

    for (unsigned i = 0; i < operations; i++) {
        memcpy(c->buffer, c->mapped, PAGE_BYTES);
        __asm__ volatile("" : : "r"(c->buffer) : "memory");
    }
}

static void free_buffer(void *p)
{
    munmap(p, PAGES * PAGE_BYTES);
}

static uint8_t *local_buffer(struct check_ctx *t)
{
    void *p = mmap(NULL, PAGES * PAGE_BYTES, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (p == MAP_FAILED)
        error_out(t, "no memory");
    check_defer(t, free_buffer, p);
    return p;
}

CHECK(copies_cost, .judges = HYPERVISOR, .proves = "abi.grant-copy-from-guest",
      .title = "Grant copies from a guest, and the same from a mapping that is kept")
{
    static const struct {
        const char *row;
        unsigned segments, offset, bytes;
    } shapes[] = {
        {"grant copy, 512 B", 1, 512, 512},
        {"grant copy, 4 KiB", 1, 0, PAGE_BYTES},
        {"grant copy, 16 x 4 KiB", PAGES, 0, PAGE_BYTES},
    };
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, PAGES, 0, true, 0x41);
    struct copies c = {.h = abi_gnttab(t), .buffer = local_buffer(t)};
    struct cost cost;

    abi_poke(a, g.pages_id, 512, "\x42", 1);
    for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        c.count = shapes[i].segments;
        for (unsigned k = 0; k < c.count; k++) {
            xengnttab_grant_copy_segment_t *s = &c.segments[k];

            *s = (xengnttab_grant_copy_segment_t){.len = (uint16_t)shapes[i].bytes,
                                                  .flags = GNTCOPY_source_gref};
            s->source.foreign.ref = g.ref + k;
            s->source.foreign.domid = a->domid;
            s->source.foreign.offset = (uint16_t)shapes[i].offset;
            s->dest.virt = c.buffer + (size_t)k * PAGE_BYTES;
        }
        memset(c.buffer, 0xee, PAGES * PAGE_BYTES);
        cost_measure(&cost, OPERATIONS, run_copies, &c);
        ABI_OK(t, c.rc == 0, "grant copy");
        expect_eq(t, MUST, c.buffer[shapes[i].offset ? 0 : 512], 0x42, "the byte at 512");
        for (unsigned k = 0; k < c.count; k++)
            expect_eq(t, MUST, c.buffer[k * PAGE_BYTES + shapes[i].bytes - 1], 0x41,
                      "the last byte of a segment");
        cost_note(t, shapes[i].row, &cost);
    }
    c.mapped = abi_map(t, c.h, a->domid, g.ref, PROT_READ);
    ABI_OK(t, c.mapped, "mapping");
    memset(c.buffer, 0xee, PAGE_BYTES);
    cost_measure(&cost, OPERATIONS, run_memcpy, &c);
    expect_eq(t, MUST, c.buffer[512], 0x42, "the byte at 512");
    cost_note(t, "memcpy, 4 KiB of a kept mapping", &cost);
}

/* ---- mappings ---- */

struct mappings {
    struct abi *a;
    xengnttab_handle *gnttab;
    xenforeignmemory_handle *fmem;
    uint32_t refs[PAGES];
    xen_pfn_t gfns[PAGES];
    unsigned pages;
    bool failed;
};

static void touch(const struct mappings *m, uint8_t *p)
{
    for (unsigned i = 0; i < m->pages; i++)
        (*(volatile uint8_t *)(p + (size_t)i * PAGE_BYTES))++;
}

static void run_grant_map(void *arg, unsigned operations)
{
    struct mappings *m = arg;

    for (unsigned i = 0; i < operations; i++) {
        uint8_t *p = xengnttab_map_domain_grant_refs(m->gnttab, m->pages, m->a->domid, m->refs, RW);

        if (p)
            touch(m, p);
        m->failed |= !p || xengnttab_unmap(m->gnttab, p, m->pages);
    }
}

static void run_foreign_map(void *arg, unsigned operations)
{
    struct mappings *m = arg;

    for (unsigned i = 0; i < operations; i++) {
        uint8_t *p = xenforeignmemory_map(m->fmem, m->a->domid, RW, m->pages, m->gfns, NULL);

        if (p)
            touch(m, p);
        m->failed |= !p || xenforeignmemory_unmap(m->fmem, p, m->pages);
    }
}

/* Every operation adds one to a byte of each page, as its owner has to see. */
static void measure_mappings(struct mappings *m, uint64_t pages_id, const char *row,
                             void (*run)(void *arg, unsigned operations))
{
    const uint8_t want = (uint8_t)((COST_WARM_UP + COST_BATCHES) * OPERATIONS);
    struct cost cost;
    uint8_t byte = 0;

    for (unsigned i = 0; i < m->pages; i++)
        abi_poke(m->a, pages_id, i * PAGE_BYTES, &byte, 1);
    cost_measure(&cost, OPERATIONS, run, m);
    ABI_OK(m->a->t, !m->failed, row);
    abi_peek(m->a, pages_id, (m->pages - 1) * PAGE_BYTES, &byte, 1);
    expect_eq(m->a->t, MUST, byte, want, "the byte that every mapping counted in");
    cost_note(m->a->t, row, &cost);
}

CHECK(grant_maps_cost, .judges = HYPERVISOR, .proves = "abi.grant-map-shares-the-page",
      .title = "Granted pages mapped, touched and unmapped: one, and sixteen in a call")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, PAGES, 0, false, 0);
    struct mappings m = {.a = a, .gnttab = abi_gnttab(t), .pages = 1};

    for (unsigned i = 0; i < PAGES; i++)
        m.refs[i] = g.ref + i;
    measure_mappings(&m, g.pages_id, "grant map, touch, unmap, 1 page", run_grant_map);
    m.pages = PAGES;
    measure_mappings(&m, g.pages_id, "grant map, touch, unmap, 16 pages", run_grant_map);
    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits at the end");
}

CHECK(foreign_maps_cost, .judges = HYPERVISOR, .proves = "abi.foreign-map-shares-the-page",
      .title = "Frames mapped by number, touched and unmapped: one, and sixteen in a call")
{
    struct abi *a = abi_begin(t);
    struct mappings m = {.a = a, .fmem = abi_foreign(t), .pages = 1};
    json_t *v = abi_call(a, "pages.alloc", "{s:i}", "pages", (int)PAGES);
    uint64_t id = abi_get(a, v, "id");

    for (unsigned i = 0; i < PAGES; i++)
        m.gfns[i] = abi_get(
            a, abi_call(a, "page.gfn", "{s:I,s:i}", "id", (json_int_t)id, "page", (int)i), "gfn");
    measure_mappings(&m, id, "foreign map, touch, unmap, 1 page", run_foreign_map);
    m.pages = PAGES;
    measure_mappings(&m, id, "foreign map, touch, unmap, 16 pages", run_foreign_map);
}
