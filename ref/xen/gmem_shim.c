/* SPDX-License-Identifier: MIT */
/*
 * References without mappings: the guest's memory and its grant table (version 1) are this
 * process's, and a lease does with an entry what Xen does for a mapping (xen/grant_table.h,
 * _set_status_v1 of xen/common/grant_table.c). Guest-physical addresses are arithmetic. Rings are
 * mapped as by any other way, for their pages have to be in a row.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "gmem/gref.h"
#include "util/bits.h"
#include "util/mutant.h"
#include "xen/gmem_holder.h"
#include "xen/gmem_ways.h"
#include "xen/gmem_window.h"

#define ENTRIES_PER_FRAME (XEN_PAGE_BYTES / sizeof(grant_entry_v1_t))
/* As often as Xen tries when the guest changes an entry meanwhile. */
#define CHANGES_MAX 5u

struct pins {
    uint32_t readers, writers;
};

struct pin {
    uint32_t ref;
    bool writable;
};

/* Of a lease. */
struct held_pins {
    struct held base;
    unsigned count, max;
    struct pin *pins;
};

struct shim {
    struct holder base;
    struct window *memory;
    xenforeignmemory_resource_handle *table_handle;
    grant_entry_v1_t *table;
    uint32_t entries;
    struct pins *pins; /* of each entry */
};

/* Flags in the low half, the domain in the high one: both are compared and exchanged at once. */
static _Atomic uint32_t *entry_word(grant_entry_v1_t *e)
{
    return (_Atomic uint32_t *)(void *)e;
}

static int entry_mark(const struct shim *m, grant_entry_v1_t *e, bool writable)
{
    uint32_t seen = atomic_load(entry_word(e));

    for (unsigned tries = 0; tries < CHANGES_MAX; tries++) {
        uint32_t want = seen | GTF_reading | (writable ? GTF_writing : 0);

        if ((seen & (GTF_type_mask | GTF_sub_page)) != GTF_permit_access ||
            (seen >> 16 != m->base.args.own_domid && !MUTANT(shim_domain_ignored)))
            return -EFAULT;
        if (writable && seen & GTF_readonly && !MUTANT(shim_readonly_ignored))
            return -EFAULT;
        if (MUTANT(shim_marks_nothing))
            want = seen;
        if (atomic_compare_exchange_weak(entry_word(e), &seen, want))
            return 0;
    }
    return -EFAULT;
}

static void unpin(struct shim *m, const struct pin *pin)
{
    struct pins *p = &m->pins[pin->ref];
    uint32_t clear = 0;

    if (pin->writable)
        p->writers--;
    else
        p->readers--;
    if (!p->writers)
        clear |= GTF_writing;
    if (!p->writers && !p->readers)
        clear |= GTF_reading;
    if (clear && !MUTANT(shim_releases_nothing))
        atomic_fetch_and(entry_word(&m->table[pin->ref]), ~clear);
}

/* Take a reference and find its frame. */
static int pin(struct shim *m, uint32_t ref, bool writable, struct held_pins *h, uint64_t *frame)
{
    struct pins *p;
    void *grown;
    int rc = 0;

    if (ref >= m->entries)
        return -EFAULT;
    p = &m->pins[ref];
    grown = array_fit(h->pins, &h->max, h->count + 1, sizeof(*h->pins));
    if (!grown)
        return -ENOMEM;
    h->pins = grown;
    /* An entry that carries the mark already cannot change. */
    if (writable ? !p->writers : !p->writers && !p->readers)
        rc = entry_mark(m, &m->table[ref], writable);
    if (rc)
        return rc;
    if (writable)
        p->writers++;
    else
        p->readers++;
    h->pins[h->count++] = (struct pin){ref, writable};
    m->base.base.stats.translations++;
    *frame = *(volatile uint32_t *)&m->table[ref].frame;
    return 0;
}

static char *frame_place(const struct shim *m, uint64_t frame)
{
    for (const struct window *w = m->memory; w; w = w->next)
        if (window_has(w, frame, frame))
            return w->base + (frame - w->first) * XEN_PAGE_BYTES;
    return NULL;
}

/* Bytes in one page; what follows what was there before becomes one entry with it. */
static int piece_add(const struct shim *m, uint64_t frame, uint32_t offset, uint32_t bytes,
                     unsigned own_from, struct gmem_lease *lease)
{
    char *at = frame_place(m, frame);
    struct iovec *last = lease->iov_count ? &lease->iov[lease->iov_count - 1] : NULL;

    if (!at)
        return -EFAULT;
    at += offset;
    if (lease->iov_count > own_from && (char *)last->iov_base + last->iov_len == at) {
        last->iov_len += bytes;
        return 0;
    }
    if (lease->iov_count == lease->iov_max)
        return -ENOSPC;
    lease->iov[lease->iov_count++] = (struct iovec){at, bytes};
    return 0;
}

static int range_get(struct holder *holder, const struct gmem_range *range, struct held *held,
                     struct gmem_lease *lease)
{
    struct shim *m = (struct shim *)holder;
    struct held_pins *h = (struct held_pins *)held;
    bool grant = gpa_is_grant(range->addr), writable = range->access & GMEM_WRITE;
    uint32_t left = range->len_bytes, offset = range->addr.raw & (XEN_PAGE_BYTES - 1), pages;
    uint64_t number = range->addr.raw >> XEN_PAGE_SHIFT_BITS;
    unsigned own_from = lease->iov_count;
    gref_t first;
    int rc = 0;

    if (grant) {
        rc = gref_decode(range->addr, range->len_bytes, &first, &offset, &pages);
        number = first.raw;
    } else if (range->addr.raw + left > GREF_ADDR_BIT) {
        rc = -EINVAL;
    }
    for (; left && !rc; number++) {
        uint32_t bytes = (uint32_t)min_u64(XEN_PAGE_BYTES - offset, left);
        uint64_t frame = number;

        if (grant)
            rc = pin(m, (uint32_t)number, writable, h, &frame);
        if (!rc)
            rc = piece_add(m, frame, offset, bytes, own_from, lease);
        left -= bytes;
        offset = 0;
    }
    return rc;
}

static void pins_drop(struct holder *holder, struct held *held)
{
    struct held_pins *h = (struct held_pins *)held;

    while (h->count)
        unpin((struct shim *)holder, &h->pins[--h->count]);
}

static void pins_fini(struct held *held)
{
    free(((struct held_pins *)held)->pins);
}

static void shim_destroy(struct gmem *g)
{
    struct shim *m = (struct shim *)g;

    if (m->table_handle)
        (void)xenforeignmemory_unmap_resource(m->base.args.xen->foreign, m->table_handle);
    windows_unmap(&m->base.args, m->memory, &m->base.base.stats);
    holder_fini(&m->base);
    free(m->pins);
    free(m);
}

static int map_table(struct shim *m)
{
    xenforeignmemory_handle *foreign = m->base.args.xen->foreign;
    void *at = NULL;
    size_t bytes;

    if (xenforeignmemory_resource_size(foreign, m->base.args.domid, XENMEM_resource_grant_table,
                                       XENMEM_resource_grant_table_id_shared, &bytes))
        return xen_error();
    m->entries = (uint32_t)(bytes / XEN_PAGE_BYTES * ENTRIES_PER_FRAME);
    m->pins = calloc(m->entries, sizeof(*m->pins));
    if (!m->pins)
        return -ENOMEM;
    m->table_handle =
        xenforeignmemory_map_resource(foreign, m->base.args.domid, XENMEM_resource_grant_table,
                                      XENMEM_resource_grant_table_id_shared, 0,
                                      bytes / XEN_PAGE_BYTES, &at, PROT_READ | PROT_WRITE, 0);
    m->table = at;
    return m->table_handle ? 0 : xen_error();
}

int gmem_shim_create(const struct gmem_strategy_args *args, struct gmem **out)
{
    static const struct gmem_ops gmem_ops = {
        .name = "shim", .get = holder_get, .put = holder_put, .destroy = shim_destroy};
    static const struct holder_ops ops = {.held_bytes = sizeof(struct held_pins),
                                          .shared_direct = true,
                                          .range_get = range_get,
                                          .held_drop = pins_drop,
                                          .held_fini = pins_fini};
    struct shim *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return -ENOMEM;
    rc = holder_init(&m->base, &gmem_ops, &ops, args, "auto",
                     1u << PERMAP_GRANT | 1u << PERMAP_FRAME);
    if (!rc)
        rc = windows_map_banks(args, &m->base.base.stats, &m->memory);
    if (!rc)
        rc = map_table(m);
    if (rc)
        shim_destroy(&m->base.base);
    else
        *out = &m->base.base;
    return rc;
}
