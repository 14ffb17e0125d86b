/* SPDX-License-Identifier: MIT */
#include "gmem/iommu.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/bits.h"
#include "util/mutant.h"

/* Of one lease, behind the translation: a driver cannot have us allocate without bound. */
#define PIECES_MAX 8192u

/* A domain has a number of its own, for its id is used again. */
struct domain {
    struct domain *next;
    uint32_t id;
    uint64_t serial; /* 0 is nobody's: bypass without a domain */
    bool bypass;
    unsigned endpoints;
    struct iova_table table;
};

struct span {
    uint64_t start, end;
};

/* A lease that is out, or a free one. */
struct held {
    struct held *next, **link; /* who points here */
    struct gmem_lease inner;
    struct iovec *iov;         /* owned; inner.iov */
    struct gmem_range *pieces; /* owned; translated */
    struct span *spans;        /* owned; of addresses as the device knows them */
    unsigned room, span_room, span_count;
    uint64_t born, domain;
};

struct iommu_endpoint {
    struct gmem base;
    struct iommu *iommu;
    struct iommu_endpoint *next;
    uint32_t id;
    struct gmem *inner;
    struct domain *domain; /* NULL: none */
    struct held *out, *free;
};

struct iommu {
    struct iommu_endpoint *endpoints;
    struct domain *domains;
    struct iommu_wait *waits;
    uint64_t clock; /* of leases and waits */
    uint64_t serial;
    bool bypass;
    void (*report)(void *ctx, const struct iommu_fault *f);
    void *report_ctx;
};

/* ---- who waits for whom ---- */

static bool lease_delays(const struct iommu_endpoint *e, const struct held *h,
                         const struct iommu_wait *w)
{
    if (h->born > w->born || h->domain != w->domain || (w->endpoint && w->endpoint != e))
        return false;
    for (unsigned i = 0; i < h->span_count; i++)
        if (h->spans[i].start <= w->end && h->spans[i].end >= w->start)
            return true;
    return false;
}

static bool is_delayed(const struct iommu *m, const struct iommu_wait *w)
{
    for (const struct iommu_endpoint *e = m->endpoints; e; e = e->next)
        for (const struct held *h = e->out; h; h = h->next)
            if (lease_delays(e, h, w))
                return true;
    return false;
}

/* What was kept may be of any endpoint that was in the domain, and a wait outlives that. */
static void forget_kept(struct iommu *m)
{
    for (struct iommu_endpoint *e = m->endpoints; e && !MUTANT(iommu_keeps_unmapped); e = e->next)
        gmem_forget(e->inner);
}

/* 0, or 1 when w->done follows. */
static int settle(struct iommu *m, struct iommu_wait *w)
{
    struct iommu_wait **link = &m->waits;

    w->born = ++m->clock;
    if (!is_delayed(m, w) || MUTANT(iommu_answers_early)) {
        forget_kept(m);
        return 0;
    }
    while (*link)
        link = &(*link)->next;
    w->next = NULL;
    *link = w;
    return 1;
}

/* `h` is in nobody's list any more. */
static void lease_is_back(struct iommu *m, const struct iommu_endpoint *e, const struct held *h)
{
    struct iommu_wait **link = &m->waits;

    while (*link) {
        struct iommu_wait *w = *link;

        if (!lease_delays(e, h, w) || is_delayed(m, w)) {
            link = &w->next;
            continue;
        }
        *link = w->next;
        forget_kept(m);
        w->done(w);
        link = &m->waits;
    }
}

void iommu_wait_end(struct iommu *m, struct iommu_wait *w)
{
    for (struct iommu_wait **link = &m->waits; *link; link = &(*link)->next)
        if (*link == w) {
            *link = w->next;
            return;
        }
}

/* ---- an endpoint's leases ---- */

static void held_free(struct held *h)
{
    free(h->iov);
    free(h->pieces);
    free(h->spans);
    free(h);
}

static struct held *held_take(struct iommu_endpoint *e)
{
    struct held *h = e->free;

    if (!h)
        return calloc(1, sizeof(*h));
    e->free = h->next;
    h->span_count = 0;
    return h;
}

static void held_give(struct iommu_endpoint *e, struct held *h)
{
    h->next = e->free;
    e->free = h;
}

/* Room for so many pieces behind the translation, and for twice as many entries of the inner way.
 */
static int held_room(struct held *h, unsigned pieces)
{
    unsigned room = h->room ? h->room : 16;
    void *p;

    if (pieces > PIECES_MAX)
        return -ENOSPC;
    while (room < pieces)
        room *= 2;
    if (room == h->room)
        return 0;
    p = realloc(h->pieces, room * sizeof(*h->pieces));
    if (!p)
        return -ENOMEM;
    h->pieces = p;
    p = realloc(h->iov, 2 * (size_t)room * sizeof(*h->iov));
    if (!p)
        return -ENOMEM;
    h->iov = p;
    h->room = room;
    return 0;
}

static int held_spans(struct held *h, const struct gmem_range *ranges, unsigned count)
{
    if (count > h->span_room) {
        void *p = realloc(h->spans, count * sizeof(*h->spans));

        if (!p)
            return -ENOMEM;
        h->spans = p;
        h->span_room = count;
    }
    for (unsigned i = 0; i < count; i++)
        h->spans[i] =
            (struct span){ranges[i].addr.raw, ranges[i].addr.raw + (ranges[i].len_bytes - 1)};
    h->span_count = count;
    return 0;
}

static bool bypasses(const struct iommu_endpoint *e)
{
    if (MUTANT(iommu_translates_nothing))
        return true;
    return e->domain ? e->domain->bypass : e->iommu->bypass;
}

static int refuse(const struct iommu_endpoint *e, uint64_t addr, uint32_t access)
{
    const struct iommu_fault f = {
        .reason = e->domain ? IOMMU_FAULT_MAPPING : IOMMU_FAULT_DOMAIN,
        .endpoint = e->id,
        .addr = addr,
        .access = access,
    };

    if (e->iommu->report)
        e->iommu->report(e->iommu->report_ctx, &f);
    return -EFAULT;
}

static const struct iova_mapping *mapping_of(const struct iommu_endpoint *e, uint64_t addr)
{
    const struct iova_mapping *m = e->domain ? iova_find(&e->domain->table, addr) : NULL;
    const struct domain *d = MUTANT(iommu_domains_shared) ? e->iommu->domains : NULL;

    for (; d && !m; d = d->next)
        m = iova_find(&d->table, addr);
    return m;
}

static int translate(const struct iommu_endpoint *e, const struct gmem_range *r, struct held *h,
                     unsigned *count)
{
    uint64_t addr = r->addr.raw, left = r->len_bytes;
    uint32_t access = r->access & (GMEM_READ | GMEM_WRITE);

    while (left) {
        const struct iova_mapping *m = mapping_of(e, addr);
        uint64_t bytes;
        int rc;

        if (!m || (access & ~m->access && !MUTANT(iommu_access_ignored)))
            return refuse(e, addr, access);
        bytes = min_u64(left - 1, m->end - addr) + 1;
        rc = held_room(h, *count + 1);
        if (rc)
            return rc;
        h->pieces[(*count)++] =
            (struct gmem_range){gpa_make(m->phys + (addr - m->start)), (uint32_t)bytes, r->access};
        addr += bytes;
        left -= bytes;
    }
    return 0;
}

/* What lies in a row here and is of one range is one entry, however many mappings it came from. */
static int entries_join(const struct gmem_lease *from, const struct gmem_range *ranges,
                        struct gmem_lease *to)
{
    uint64_t left = 0; /* of the range in hand */

    to->iov_count = to->iov_readable = 0;
    for (unsigned i = 0; i < from->iov_count; i++) {
        const struct iovec *v = &from->iov[i];
        struct iovec *last = left ? &to->iov[to->iov_count - 1] : NULL;

        if (last && (char *)last->iov_base + last->iov_len == (char *)v->iov_base) {
            last->iov_len += v->iov_len;
        } else {
            if (to->iov_count == to->iov_max)
                return -ENOSPC;
            to->iov[to->iov_count++] = *v;
        }
        if (!left)
            left = (ranges++)->len_bytes;
        left -= v->iov_len;
        if (i < from->iov_readable)
            to->iov_readable = to->iov_count;
    }
    return 0;
}

static int endpoint_get(struct gmem *g, const struct gmem_range *ranges, unsigned count,
                        struct gmem_lease *lease)
{
    struct iommu_endpoint *e = (struct iommu_endpoint *)g;
    struct held *h = held_take(e);
    const struct gmem_range *pieces = ranges;
    unsigned n = 0;
    int rc;

    if (!h)
        return -ENOMEM;
    rc = held_spans(h, ranges, count);
    if (!rc && bypasses(e)) {
        n = count;
        rc = held_room(h, n);
    } else {
        for (unsigned i = 0; i < count && !rc; i++)
            rc = translate(e, &ranges[i], h, &n);
        pieces = h->pieces;
    }
    if (!rc) {
        h->inner = (struct gmem_lease){.iov = h->iov, .iov_max = 2 * h->room};
        rc = gmem_get(e->inner, pieces, n, &h->inner);
    }
    if (rc) {
        held_give(e, h);
        return rc;
    }
    rc = entries_join(&h->inner, ranges, lease);
    if (rc) {
        (void)gmem_put(e->inner, &h->inner);
        held_give(e, h);
        return rc;
    }
    h->born = ++e->iommu->clock;
    h->domain = e->domain ? e->domain->serial : 0;
    h->next = e->out;
    h->link = &e->out;
    if (h->next)
        h->next->link = &h->next;
    e->out = h;
    lease->impl = h;
    return 0;
}

static int endpoint_put(struct gmem *g, struct gmem_lease *lease)
{
    struct iommu_endpoint *e = (struct iommu_endpoint *)g;
    struct held *h = lease->impl;
    int rc;

    h->inner.written_bytes = lease->written_bytes;
    rc = gmem_put(e->inner, &h->inner);
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    lease_is_back(e->iommu, e, h);
    held_give(e, h);
    return rc;
}

static void endpoint_forget(struct gmem *g)
{
    gmem_forget(((struct iommu_endpoint *)g)->inner);
}

/* ---- domains ---- */

static struct domain *domain_find(const struct iommu *m, uint32_t id)
{
    struct domain *d = m->domains;

    while (d && d->id != id)
        d = d->next;
    return d;
}

static struct iommu_endpoint *endpoint_find(const struct iommu *m, uint32_t id)
{
    struct iommu_endpoint *e = m->endpoints;

    while (e && e->id != id)
        e = e->next;
    return e;
}

static struct domain *domain_make(struct iommu *m, uint32_t id, bool bypass)
{
    struct domain *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    *d = (struct domain){.next = m->domains, .id = id, .serial = ++m->serial, .bypass = bypass};
    m->domains = d;
    return d;
}

/* The endpoint's domain goes with its last one. */
static void leave(struct iommu_endpoint *e)
{
    struct domain *d = e->domain;

    e->domain = NULL;
    if (!d || --d->endpoints || MUTANT(iommu_domain_survives))
        return;
    for (struct domain **link = &e->iommu->domains; *link; link = &(*link)->next)
        if (*link == d) {
            *link = d->next;
            break;
        }
    iova_fini(&d->table);
    free(d);
}

static void wait_for_endpoint(struct iommu_wait *w, const struct iommu_endpoint *e)
{
    w->domain = e->domain ? e->domain->serial : 0;
    w->endpoint = e;
    w->start = 0;
    w->end = UINT64_MAX;
}

int iommu_attach(struct iommu *m, uint32_t domain, uint32_t endpoint, bool bypass,
                 struct iommu_wait *w)
{
    struct iommu_endpoint *e = endpoint_find(m, endpoint);
    struct domain *d = domain_find(m, domain);
    bool moves;

    if (!e)
        return -ENODEV;
    if (d && d->bypass != bypass && !MUTANT(iommu_bypass_mixed))
        return -EPERM;
    if (d && (e->domain == d || MUTANT(iommu_second_not_attached)))
        return 0;
    if (!d)
        d = domain_make(m, domain, bypass);
    if (!d)
        return -ENOMEM;
    moves = e->domain != NULL;
    wait_for_endpoint(w, e);
    d->endpoints++;
    leave(e);
    e->domain = d;
    return moves ? settle(m, w) : 0;
}

int iommu_detach(struct iommu *m, uint32_t domain, uint32_t endpoint, struct iommu_wait *w)
{
    struct iommu_endpoint *e = endpoint_find(m, endpoint);

    if (!e)
        return -ENODEV;
    if (!e->domain || e->domain->id != domain)
        return -ENOENT;
    if (MUTANT(iommu_detach_forgotten))
        return 0;
    wait_for_endpoint(w, e);
    leave(e);
    return settle(m, w);
}

int iommu_map(struct iommu *m, uint32_t domain, const struct iova_mapping *mapping)
{
    struct domain *d = domain_find(m, domain);

    if (!d)
        return -ENOENT;
    return d->bypass ? -EPERM : iova_map(&d->table, mapping);
}

int iommu_unmap(struct iommu *m, uint32_t domain, uint64_t start, uint64_t end,
                struct iommu_wait *w)
{
    struct domain *d = domain_find(m, domain);
    int rc;

    if (!d)
        return -ENOENT;
    if (d->bypass)
        return -EPERM;
    if (MUTANT(iommu_unmap_forgotten))
        return 0;
    rc = iova_unmap(&d->table, start, end);
    if (rc)
        return rc;
    w->domain = d->serial;
    w->endpoint = NULL;
    w->start = start;
    w->end = end;
    return settle(m, w);
}

bool iommu_has_endpoint(const struct iommu *m, uint32_t id)
{
    return endpoint_find(m, id) != NULL;
}

void iommu_set_bypass(struct iommu *m, bool bypass)
{
    m->bypass = bypass;
    if (!bypass)
        forget_kept(m);
}

void iommu_reset(struct iommu *m)
{
    m->waits = NULL;
    for (struct iommu_endpoint *e = m->endpoints; e; e = e->next)
        leave(e);
    forget_kept(m);
}

/* ---- creation ---- */

static void endpoint_destroy(struct gmem *g)
{
    struct iommu_endpoint *e = (struct iommu_endpoint *)g;

    leave(e);
    for (struct iommu_endpoint **link = &e->iommu->endpoints; *link; link = &(*link)->next)
        if (*link == e) {
            *link = e->next;
            break;
        }
    while (e->free) {
        struct held *h = e->free;

        e->free = h->next;
        held_free(h);
    }
    free(e);
}

int gmem_iommu_create(struct iommu *m, uint32_t id, struct gmem *inner, struct gmem **out)
{
    static const struct gmem_ops ops = {.name = "iommu",
                                        .get = endpoint_get,
                                        .put = endpoint_put,
                                        .forget = endpoint_forget,
                                        .destroy = endpoint_destroy};
    struct iommu_endpoint *e;

    if (endpoint_find(m, id))
        return -EEXIST;
    e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->base.ops = &ops;
    e->iommu = m;
    e->id = id;
    e->inner = inner;
    e->next = m->endpoints;
    m->endpoints = e;
    *out = &e->base;
    return 0;
}

int iommu_create(struct iommu **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : -ENOMEM;
}

void iommu_destroy(struct iommu *m)
{
    if (!m)
        return;
    assert(!m->endpoints);
    free(m);
}

int iommu_set_reporter(struct iommu *m, void (*report)(void *ctx, const struct iommu_fault *f),
                       void *ctx)
{
    if (report && m->report)
        return -EBUSY;
    m->report = report;
    m->report_ctx = ctx;
    return 0;
}
