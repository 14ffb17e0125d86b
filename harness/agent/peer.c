/* SPDX-License-Identifier: MIT */
#include "agent/peer.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/parse.h"

#define PAGES_MAX 256u /* of one allocation */
#define HELD_MAX  512u /* of each kind at once */
#define READ_MAX  256u
/* How long the end of a check waits for a vCPU that was answered just now. */
#define GIVE_BACK_MS 1000u

struct pages {
    uint64_t id;
    void *va;
    unsigned n;
    struct pages *next;
};

struct grant {
    gref_t ref;
    unsigned n;
    uint64_t pages_id;
    struct grant *next;
};

/* One access on a vCPU thread of its own. */
struct access {
    uint64_t id;
    struct fe_platform *platform; /* borrowed */
    pthread_t thread;
    unsigned vcpu, bytes;
    bool write;
    uint64_t addr, value;
    int rc;
    struct access *next;
};

struct irq {
    fe_irq_t irq;
    struct irq *next;
};

struct peer {
    struct fe_platform *platform;
    uint64_t window, next_id;
    unsigned held;
    struct pages *pages;
    struct grant *grants;
    struct access *accesses;
    struct irq *irqs;
};

/* One call in progress. The first error stays. */
struct call {
    struct peer *p;
    const json_t *args;
    struct wire_call *reply;
    bool bad;
};

static void call_fail(struct call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void call_fail(struct call *c, const char *fmt, ...)
{
    va_list ap;

    if (c->bad)
        return;
    c->bad = true;
    va_start(ap, fmt);
    vsnprintf(c->reply->error, sizeof(c->reply->error), fmt, ap);
    va_end(ap);
}

/* The platform's answer. True when it is no error. */
static bool call_rc(struct call *c, int rc)
{
    const char *name;

    if (c->bad)
        return false;
    if (rc >= 0)
        return true;
    name = strerrorname_np(-rc);
    call_fail(c, "%s", name ? name : "EIO");
    return false;
}

enum { MANDATORY = -1 };

/* A number, or text that is one. `otherwise`: the default, or MANDATORY. */
static uint64_t arg_u64(struct call *c, const char *key, int64_t otherwise, uint64_t max)
{
    const json_t *v = json_object_get(c->args, key);
    uint64_t n = 0;

    if (!v && otherwise != MANDATORY)
        return (uint64_t)otherwise;
    if (json_is_integer(v) && json_integer_value(v) >= 0 && (uint64_t)json_integer_value(v) <= max)
        return (uint64_t)json_integer_value(v);
    if (json_is_string(v) && parse_u64(json_string_value(v), 0, max, &n) == 0)
        return n;
    call_fail(c, "%s: a number up to %llu is needed", key, (unsigned long long)max);
    return 0;
}

static bool arg_bool(struct call *c, const char *key)
{
    const json_t *v = json_object_get(c->args, key);

    if (v && !json_is_boolean(v))
        call_fail(c, "%s: true or false is needed", key);
    return json_is_true(v);
}

static void give_u64(json_t *o, const char *key, uint64_t v)
{
    char text[24];

    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)v);
    json_object_set_new(o, key, json_string(text));
}

static bool hold(struct call *c)
{
    if (c->bad)
        return false;
    if (c->p->held >= HELD_MAX) {
        call_fail(c, "more than %u things are held", HELD_MAX);
        return false;
    }
    c->p->held++;
    return true;
}

/* ---- pages and grants ---- */

static struct pages *arg_pages(struct call *c)
{
    uint64_t id = arg_u64(c, "id", MANDATORY, UINT64_MAX);

    for (struct pages *g = c->p->pages; g && !c->bad; g = g->next) {
        if (g->id == id)
            return g;
    }
    call_fail(c, "id: no such pages");
    return NULL;
}

static struct pages *pages_new(struct call *c)
{
    unsigned n = (unsigned)arg_u64(c, "pages", 1, PAGES_MAX);
    uint8_t pattern = (uint8_t)arg_u64(c, "pattern", 0, 0xff);
    struct pages *g;

    if (n == 0)
        call_fail(c, "pages: at least 1 is needed");
    if (!hold(c))
        return NULL;
    g = calloc(1, sizeof(*g));
    if (!g || !call_rc(c, c->p->platform->ops->pages_alloc(c->p->platform, n, 0, &g->va))) {
        call_fail(c, "ENOMEM");
        free(g);
        c->p->held--;
        return NULL;
    }
    g->n = n;
    g->id = c->p->next_id++;
    memset(g->va, pattern, (size_t)n * XEN_PAGE_BYTES);
    g->next = c->p->pages;
    c->p->pages = g;
    return g;
}

static void pages_drop(struct peer *p, struct pages *g)
{
    struct pages **at = &p->pages;

    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    p->platform->ops->pages_free(p->platform, g->va, g->n);
    free(g);
    p->held--;
}

static void do_pages_alloc(struct call *c, json_t *out)
{
    struct pages *g = pages_new(c);
    json_t *gfns = json_array();

    for (unsigned i = 0; g && i < g->n; i++) {
        const char *va = (const char *)g->va + (size_t)i * XEN_PAGE_BYTES;
        char text[24];
        uint64_t gfn = 0;

        if (!call_rc(c, c->p->platform->ops->gfn(c->p->platform, va, &gfn)))
            break;
        snprintf(text, sizeof(text), "0x%llx", (unsigned long long)gfn);
        json_array_append_new(gfns, json_string(text));
    }
    if (g)
        json_object_set_new(out, "id", json_integer((json_int_t)g->id));
    json_object_set_new(out, "gfns", gfns);
}

static void do_pages_free(struct call *c, json_t *out)
{
    struct pages *g = arg_pages(c);

    (void)out;
    for (struct grant *r = c->p->grants; g && r; r = r->next) {
        if (r->pages_id == g->id)
            call_fail(c, "id: these pages are still granted");
    }
    if (g && !c->bad)
        pages_drop(c->p, g);
}

/* The part of a page run that a call is about; NULL when it leaves the run. */
static uint8_t *arg_part(struct call *c, uint64_t bytes)
{
    struct pages *g = arg_pages(c);
    uint64_t offset = arg_u64(c, "offset", 0, (uint64_t)PAGES_MAX * XEN_PAGE_BYTES);

    if (!g || c->bad)
        return NULL;
    if (offset + bytes > (uint64_t)g->n * XEN_PAGE_BYTES)
        call_fail(c, "offset: leaves the pages");
    return c->bad ? NULL : (uint8_t *)g->va + offset;
}

static void do_pages_read(struct call *c, json_t *out)
{
    unsigned n = (unsigned)arg_u64(c, "bytes", MANDATORY, READ_MAX);
    const volatile uint8_t *p = arg_part(c, n);
    char hex[2 * READ_MAX + 1] = "";

    for (unsigned i = 0; p && i < n; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", p[i]);
    json_object_set_new(out, "hex", json_string(hex));
}

static void do_pages_write(struct call *c, json_t *out)
{
    const char *hex = json_string_value(json_object_get(c->args, "hex"));
    size_t n = hex ? strlen(hex) / 2 : 0;
    volatile uint8_t *p;

    (void)out;
    if (!hex || strlen(hex) % 2 || strspn(hex, "0123456789abcdefABCDEF") != strlen(hex))
        call_fail(c, "hex: an even number of hexadecimal digits is needed");
    p = arg_part(c, n);
    for (size_t i = 0; p && i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

        p[i] = (uint8_t)strtoul(two, NULL, 16);
    }
}

static void do_page_gfn(struct call *c, json_t *out)
{
    struct pages *g = arg_pages(c);
    uint64_t page = arg_u64(c, "page", 0, PAGES_MAX), gfn = 0;

    if (!g)
        return;
    if (page >= g->n)
        call_fail(c, "page: only %u pages", g->n);
    if (!c->bad && call_rc(c, c->p->platform->ops->gfn(
                                  c->p->platform, (char *)g->va + page * XEN_PAGE_BYTES, &gfn)))
        give_u64(out, "gfn", gfn);
}

static void grant_pages(struct call *c, struct pages *g, bool at, json_t *out)
{
    const struct fe_platform_ops *ops = c->p->platform->ops;
    uint16_t domid = (uint16_t)arg_u64(c, "domid", 0, UINT16_MAX);
    unsigned flags = arg_bool(c, "readonly") ? FE_GRANT_READONLY : 0;
    gref_t ref = gref_make(at ? (uint32_t)arg_u64(c, "ref", MANDATORY, UINT32_MAX) : 0);
    struct grant *r;

    if (!g || !hold(c))
        return;
    r = calloc(1, sizeof(*r));
    if (!r || !call_rc(c, at ? ops->grant_at(c->p->platform, g->va, g->n, domid, flags, ref)
                             : ops->grant(c->p->platform, g->va, g->n, domid, flags, &ref))) {
        call_fail(c, "ENOMEM");
        free(r);
        c->p->held--;
        return;
    }
    r->ref = ref;
    r->n = g->n;
    r->pages_id = g->id;
    r->next = c->p->grants;
    c->p->grants = r;
    json_object_set_new(out, "ref", json_integer(ref.raw));
}

static void do_grant_share(struct call *c, json_t *out)
{
    struct pages *g = pages_new(c);
    uint64_t gfn = 0;

    if (g && call_rc(c, c->p->platform->ops->gfn(c->p->platform, g->va, &gfn))) {
        give_u64(out, "gfn", gfn);
        json_object_set_new(out, "id", json_integer((json_int_t)g->id));
        grant_pages(c, g, false, out);
    }
    if (g && c->bad)
        pages_drop(c->p, g);
}

static void do_grant_add(struct call *c, json_t *out)
{
    grant_pages(c, arg_pages(c), false, out);
}

static void do_grant_at(struct call *c, json_t *out)
{
    grant_pages(c, arg_pages(c), true, out);
}

static void do_grant_revoke(struct call *c, json_t *out)
{
    uint32_t ref = (uint32_t)arg_u64(c, "ref", MANDATORY, UINT32_MAX);

    (void)out;
    for (struct grant **at = &c->p->grants; *at && !c->bad; at = &(*at)->next) {
        struct grant *r = *at;

        if (r->ref.raw != ref)
            continue;
        if (call_rc(c, c->p->platform->ops->revoke(c->p->platform, r->ref, r->n))) {
            *at = r->next;
            free(r);
            c->p->held--;
        }
        return;
    }
    call_fail(c, "ref: %u is not the first of a grant", ref);
}

static void do_grant_in_use(struct call *c, json_t *out)
{
    gref_t ref = gref_make((uint32_t)arg_u64(c, "ref", MANDATORY, UINT32_MAX));
    unsigned in_use = 0;

    if (!c->bad && call_rc(c, c->p->platform->ops->grant_in_use(c->p->platform, ref, &in_use)))
        json_object_set_new(out, "in_use", json_integer(in_use));
}

/* ---- accesses ---- */

static void *access_run(void *arg)
{
    struct access *a = arg;
    const struct fe_platform_ops *ops = a->platform->ops;

    a->rc = a->write ? ops->mmio_write(a->platform, a->vcpu, a->addr, a->bytes, a->value)
                     : ops->mmio_read(a->platform, a->vcpu, a->addr, a->bytes, &a->value);
    return NULL;
}

static struct access arg_access(struct call *c, bool write)
{
    struct access a = {
        .platform = c->p->platform,
        .vcpu = (unsigned)arg_u64(c, "vcpu", 0, c->p->platform->nr_vcpus - 1),
        .bytes = (unsigned)arg_u64(c, "bytes", MANDATORY, 8),
        .addr = arg_u64(c, "addr", MANDATORY, UINT64_MAX),
        .write = write,
    };

    if (write)
        a.value = arg_u64(c, "value", MANDATORY, UINT64_MAX);
    if (a.bytes != 1 && a.bytes != 2 && a.bytes != 4 && a.bytes != 8)
        call_fail(c, "bytes: 1, 2, 4 or 8 is needed");
    for (struct access *x = c->p->accesses; x; x = x->next) {
        if (x->vcpu == a.vcpu)
            call_fail(c, "vcpu: %u is still waiting for another access", a.vcpu);
    }
    return a;
}

static void do_mmio_read(struct call *c, json_t *out)
{
    struct access a = arg_access(c, false);

    if (c->bad)
        return;
    access_run(&a);
    if (call_rc(c, a.rc))
        give_u64(out, "value", a.value);
}

static void do_mmio_write(struct call *c, json_t *out)
{
    struct access a = arg_access(c, true);

    (void)out;
    if (c->bad)
        return;
    access_run(&a);
    call_rc(c, a.rc);
}

static void do_mmio_start(struct call *c, json_t *out)
{
    struct access a = arg_access(c, json_object_get(c->args, "value") != NULL), *copy;
    int err;

    if (!hold(c))
        return;
    copy = malloc(sizeof(*copy));
    if (!copy) {
        c->p->held--;
        call_fail(c, "ENOMEM");
        return;
    }
    *copy = a;
    copy->id = c->p->next_id++;
    err = pthread_create(&copy->thread, NULL, access_run, copy);
    if (err) {
        c->p->held--;
        free(copy);
        call_rc(c, -err);
        return;
    }
    copy->next = c->p->accesses;
    c->p->accesses = copy;
    json_object_set_new(out, "id", json_integer((json_int_t)copy->id));
}

/* True when the access has ended: it is off the list, *done is its copy. */
static bool access_end(struct peer *p, struct access *a, uint64_t timeout_ms, struct access *done)
{
    struct timespec ts;
    struct access **at = &p->accesses;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += (time_t)(timeout_ms / 1000);
    ts.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    if (pthread_clockjoin_np(a->thread, NULL, CLOCK_MONOTONIC, &ts) != 0)
        return false;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    *done = *a;
    free(a);
    p->held--;
    return true;
}

static void do_mmio_wait(struct call *c, json_t *out)
{
    uint64_t id = arg_u64(c, "id", MANDATORY, UINT64_MAX);
    uint64_t timeout_ms = arg_u64(c, "timeout_ms", MANDATORY, 60000);
    struct access *a = c->p->accesses, done;

    while (a && a->id != id)
        a = a->next;
    if (!a)
        call_fail(c, "id: no such access");
    if (!a || c->bad)
        return;
    if (!access_end(c->p, a, timeout_ms, &done)) {
        json_object_set_new(out, "done", json_false());
        return;
    }
    json_object_set_new(out, "done", json_true());
    json_object_set_new(out, "errno", json_integer(-done.rc));
    give_u64(out, "value", done.value);
}

/* ---- interrupts ---- */

static void irq_keep(struct call *c, fe_irq_t irq, json_t *out)
{
    struct irq *i = calloc(1, sizeof(*i));

    if (!i) {
        c->p->platform->ops->irq_free(c->p->platform, irq);
        c->p->held--;
        call_fail(c, "ENOMEM");
        return;
    }
    i->irq = irq;
    i->next = c->p->irqs;
    c->p->irqs = i;
    json_object_set_new(out, "irq", json_integer(irq));
}

static void do_irq_msi(struct call *c, json_t *out)
{
    unsigned vcpu = (unsigned)arg_u64(c, "vcpu", 0, c->p->platform->nr_vcpus - 1);
    struct fe_msi msi = {0, 0};
    fe_irq_t irq = 0;

    if (!hold(c))
        return;
    if (!call_rc(c, c->p->platform->ops->irq_msi(c->p->platform, vcpu, &msi, &irq))) {
        c->p->held--;
        return;
    }
    irq_keep(c, irq, out);
    give_u64(out, "addr", msi.addr);
    give_u64(out, "data", msi.data);
}

static void do_irq_intx(struct call *c, json_t *out)
{
    const char *text = json_string_value(json_object_get(c->args, "sbdf"));
    unsigned pin = (unsigned)arg_u64(c, "pin", MANDATORY, 4);
    fe_irq_t irq = 0;
    sbdf_t sbdf = SBDF(0, 0, 0, 0);

    if (pin == 0)
        call_fail(c, "pin: 1 to 4");
    if (!text || parse_sbdf(text, &sbdf) < 0)
        call_fail(c, "sbdf: like 0000:00:01.0");
    if (!hold(c))
        return;
    if (!call_rc(c, c->p->platform->ops->irq_intx(c->p->platform, sbdf, pin, &irq))) {
        c->p->held--;
        return;
    }
    irq_keep(c, irq, out);
}

static struct irq **arg_irq(struct call *c)
{
    fe_irq_t irq = (fe_irq_t)arg_u64(c, "irq", MANDATORY, UINT32_MAX);
    struct irq **at = &c->p->irqs;

    while (*at && (*at)->irq != irq)
        at = &(*at)->next;
    if (!*at) {
        call_fail(c, "irq: no such interrupt");
        return NULL;
    }
    return c->bad ? NULL : at;
}

static void do_irq_wait(struct call *c, json_t *out)
{
    struct irq **at = arg_irq(c);
    uint64_t timeout_ms = arg_u64(c, "timeout_ms", MANDATORY, 60000);
    int rc;

    if (!at || c->bad)
        return;
    rc = c->p->platform->ops->irq_wait(c->p->platform, (*at)->irq, timeout_ms * 1000000u);
    if (call_rc(c, rc))
        json_object_set_new(out, "fired", json_boolean(rc > 0));
}

static void irq_drop(struct peer *p, struct irq **at)
{
    struct irq *i = *at;

    *at = i->next;
    p->platform->ops->irq_free(p->platform, i->irq);
    free(i);
    p->held--;
}

static void do_irq_free(struct call *c, json_t *out)
{
    struct irq **at = arg_irq(c);

    (void)out;
    if (at && *at)
        irq_drop(c->p, at);
}

/* ---- the whole ---- */

static void do_domain_info(struct call *c, json_t *out)
{
    json_object_set_new(out, "domid", json_integer(c->p->platform->domid));
    const struct fe_platform *p = c->p->platform;

    json_object_set_new(out, "nr_vcpus",
                        json_integer(p->domain_vcpus ? p->domain_vcpus : p->nr_vcpus));
    json_object_set_new(out, "arm", json_boolean(c->p->platform->arm));
    json_object_set_new(out, "platform", json_string(c->p->platform->name));
    give_u64(out, "window", c->p->window);
}

/* 0, or the first error; what could not be given back stays on its list. */
static int peer_give_back(struct peer *p)
{
    struct access done;
    int err = 0;

    for (struct access *a = p->accesses, *next; a; a = next) {
        next = a->next;
        if (!access_end(p, a, GIVE_BACK_MS, &done) && !err)
            err = -EINPROGRESS;
    }
    while (p->irqs)
        irq_drop(p, &p->irqs);
    for (struct grant **at = &p->grants; *at;) {
        struct grant *r = *at;
        int rc = p->platform->ops->revoke(p->platform, r->ref, r->n);

        if (rc == 0) {
            *at = r->next;
            free(r);
            p->held--;
        } else {
            at = &r->next;
            if (!err)
                err = rc;
        }
    }
    for (struct pages *g = p->pages, *next; g; g = next) {
        bool granted = false;

        next = g->next;
        for (struct grant *r = p->grants; r; r = r->next)
            granted |= r->pages_id == g->id;
        if (!granted)
            pages_drop(p, g);
    }
    return err;
}

static void do_reset(struct call *c, json_t *out)
{
    (void)out;
    call_rc(c, peer_give_back(c->p));
}

static const struct {
    const char *name;
    void (*run)(struct call *c, json_t *out);
} calls[] = {
    {"domain.info", do_domain_info},   {"reset", do_reset},
    {"pages.alloc", do_pages_alloc},   {"pages.free", do_pages_free},
    {"pages.read", do_pages_read},     {"pages.write", do_pages_write},
    {"page.gfn", do_page_gfn},         {"grant.share", do_grant_share},
    {"grant.add", do_grant_add},       {"grant.at", do_grant_at},
    {"grant.revoke", do_grant_revoke}, {"grant.in_use", do_grant_in_use},
    {"mmio.read", do_mmio_read},       {"mmio.write", do_mmio_write},
    {"mmio.start", do_mmio_start},     {"mmio.wait", do_mmio_wait},
    {"irq.msi", do_irq_msi},           {"irq.intx", do_irq_intx},
    {"irq.wait", do_irq_wait},         {"irq.free", do_irq_free},
};

void peer_serve_call(void *ctx, const struct wire_call *call, struct wire_call *reply)
{
    struct call c = {.p = ctx, .args = call->args, .reply = reply};
    json_t *out = json_object();

    for (size_t i = 0; out && i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(calls[i].name, call->name) != 0)
            continue;
        calls[i].run(&c, out);
        reply->ok = !c.bad;
        if (c.bad)
            json_decref(out);
        else
            reply->value = out;
        return;
    }
    json_decref(out);
    snprintf(reply->error, sizeof(reply->error), "no such call: %.200s", call->name);
}

struct peer *peer_create(struct fe_platform *p, uint64_t window)
{
    struct peer *r = calloc(1, sizeof(*r));

    if (r) {
        r->platform = p;
        r->window = window;
        r->next_id = 1;
    }
    return r;
}

void peer_destroy(struct peer *p)
{
    if (!p)
        return;
    peer_give_back(p);
    while (p->grants) {
        struct grant *r = p->grants;

        p->grants = r->next;
        free(r);
    }
    while (p->pages) {
        struct pages *g = p->pages;

        /* Still mapped by the other domain: the pages go with this domain, not before. */
        p->pages = g->next;
        free(g);
    }
    /* A thread whose access never ended still uses its struct: leave it to the end of the
     * process. */
    free(p);
}
