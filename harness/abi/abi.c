/* SPDX-License-Identifier: MIT */
#include "abi/abi.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- talking to the domU ---- */

static void json_release(void *v)
{
    json_decref(v);
}

/* 0, a positive errno named by the peer, or the check ends. */
static int peer_call(struct abi *a, json_t **value, const char *call, json_t *args)
{
    const struct abi_subject *s = check_subject(a->t);
    char why[256] = "";
    json_t *whole = json_pack("{s:s}", "call", call), *v = NULL;
    int err;

    if (!whole || (args && json_object_set_new(whole, "args", args) < 0)) {
        json_decref(whole);
        error_out(a->t, "%s: no memory", call);
    }
    err = s->ask(s->ctx, "peer", whole, &v, why, sizeof(why));
    if (err == 0) {
        if (v)
            check_defer(a->t, json_release, v);
        *value = v;
        return 0;
    }
    if (err == -EREMOTEIO) {
        for (int e = 1; e < 134; e++) {
            const char *name = strerrorname_np(e);

            if (name && strcmp(name, why) == 0)
                return e;
        }
    }
    error_out(a->t, "peer call %s: %s", call, why[0] ? why : strerror(-err));
}

static json_t *pack_args(struct abi *a, const char *call, const char *fmt, va_list ap)
{
    json_error_t e;
    json_t *args;

    if (!fmt)
        return NULL;
    args = json_vpack_ex(&e, 0, fmt, ap);
    if (!args)
        error_out(a->t, "%s: arguments: %s", call, e.text);
    return args;
}

json_t *abi_call(struct abi *a, const char *call, const char *fmt, ...)
{
    json_t *args, *value = NULL;
    va_list ap;
    int err;

    va_start(ap, fmt);
    args = pack_args(a, call, fmt, ap);
    va_end(ap);
    err = peer_call(a, &value, call, args);
    if (err)
        error_out(a->t, "peer call %s: %s", call, abi_errno(err));
    return value;
}

int abi_call_errno(struct abi *a, json_t **value, const char *call, const char *fmt, ...)
{
    json_t *args;
    va_list ap;

    va_start(ap, fmt);
    args = pack_args(a, call, fmt, ap);
    va_end(ap);
    *value = NULL;
    return peer_call(a, value, call, args);
}

uint64_t abi_get(struct abi *a, const json_t *value, const char *key)
{
    const json_t *v = json_object_get(value, key);

    if (json_is_integer(v))
        return (uint64_t)json_integer_value(v);
    if (json_is_boolean(v))
        return json_is_true(v);
    if (json_is_string(v)) {
        char *end;
        uint64_t n = strtoull(json_string_value(v), &end, 0);

        if (*end == '\0' && end != json_string_value(v))
            return n;
    }
    error_out(a->t, "the peer's answer has no number \"%s\"", key);
}

static void peer_reset(void *arg)
{
    struct abi *a = arg;
    json_t *v;

    /* A page that the peer cannot take back is one that a check left mapped: say so. */
    int err = abi_call_errno(a, &v, "reset", NULL);

    if (err)
        error_out(a->t, "the domU could not take its pages back: %s", abi_errno(err));
}

struct abi *abi_begin(struct check_ctx *t)
{
    struct abi *a = calloc(1, sizeof(*a));
    json_t *v;

    if (!a)
        error_out(t, "no memory");
    a->t = t;
    check_defer(t, free, a);
    v = abi_call(a, "domain.info", NULL);
    a->domid = (uint16_t)abi_get(a, v, "domid");
    a->nr_vcpus = (unsigned)abi_get(a, v, "nr_vcpus");
    a->arm = abi_get(a, v, "arm") != 0;
    a->window = abi_get(a, v, "window");
    snprintf(a->platform, sizeof(a->platform), "%s",
             json_string_value(json_object_get(v, "platform")));
    check_defer(t, peer_reset, a);
    return a;
}

struct abi_grant abi_grant(struct abi *a, unsigned pages, uint16_t domid, bool readonly,
                           uint8_t pattern)
{
    json_t *v = abi_call(a, "grant.share", "{s:i,s:i,s:b,s:i}", "pages", (int)pages, "domid",
                         (int)domid, "readonly", (int)readonly, "pattern", (int)pattern);

    return (struct abi_grant){.pages_id = abi_get(a, v, "id"),
                              .ref = (uint32_t)abi_get(a, v, "ref"),
                              .gfn = abi_get(a, v, "gfn")};
}

unsigned abi_in_use(struct abi *a, uint32_t ref)
{
    return (unsigned)abi_get(a, abi_call(a, "grant.in_use", "{s:I}", "ref", (json_int_t)ref),
                             "in_use");
}

void abi_peek(struct abi *a, uint64_t pages_id, unsigned offset, void *bytes, unsigned n)
{
    json_t *v = abi_call(a, "pages.read", "{s:I,s:i,s:i}", "id", (json_int_t)pages_id, "offset",
                         (int)offset, "bytes", (int)n);
    const char *hex = json_string_value(json_object_get(v, "hex"));
    uint8_t *p = bytes;

    if (!hex || strlen(hex) != 2 * (size_t)n)
        error_out(a->t, "pages.read gave no %u bytes", n);
    for (unsigned i = 0; i < n; i++) {
        const char *at = hex + (size_t)2 * i;
        char two[3] = {at[0], at[1], 0};

        p[i] = (uint8_t)strtoul(two, NULL, 16);
    }
}

void abi_poke(struct abi *a, uint64_t pages_id, unsigned offset, const void *bytes, unsigned n)
{
    const uint8_t *p = bytes;
    char hex[513];

    if (n > 256)
        error_out(a->t, "abi_poke: %u bytes", n);
    for (unsigned i = 0; i < n; i++)
        snprintf(hex + (size_t)2 * i, 3, "%02x", p[i]);
    hex[(size_t)2 * n] = '\0';
    abi_call(a, "pages.write", "{s:I,s:i,s:s}", "id", (json_int_t)pages_id, "offset", (int)offset,
             "hex", hex);
}

/* ---- handles ---- */

static void gnttab_close(void *h)
{
    xengnttab_close(h);
}

static void gntshr_close(void *h)
{
    xengntshr_close(h);
}

static void foreign_close(void *h)
{
    xenforeignmemory_close(h);
}

static void dm_close(void *h)
{
    xendevicemodel_close(h);
}

#define OPEN(t, type, call, closer)                                                                \
    do {                                                                                           \
        type *h_ = call;                                                                           \
        if (!h_)                                                                                   \
            error_out(t, "%s: %s", #call, strerror(errno));                                        \
        check_defer(t, closer, h_);                                                                \
        return h_;                                                                                 \
    } while (0)

xengnttab_handle *abi_gnttab(struct check_ctx *t)
{
    OPEN(t, xengnttab_handle, xengnttab_open(NULL, 0), gnttab_close);
}

xengntshr_handle *abi_gntshr(struct check_ctx *t)
{
    OPEN(t, xengntshr_handle, xengntshr_open(NULL, 0), gntshr_close);
}

xenforeignmemory_handle *abi_foreign(struct check_ctx *t)
{
    OPEN(t, xenforeignmemory_handle, xenforeignmemory_open(NULL, 0), foreign_close);
}

xendevicemodel_handle *abi_dm(struct check_ctx *t)
{
    OPEN(t, xendevicemodel_handle, xendevicemodel_open(NULL, 0), dm_close);
}

/* What can end before its check does: a slot that the deferred call looks at. */
struct abi_held {
    enum { HELD_EVTCHN, HELD_GRANT, HELD_FOREIGN } kind;
    void *handle;
    void *addr;
    size_t count;
    struct abi_subject *subject;
    struct abi_held *next;
};

static void held_release(struct abi_held *h)
{
    switch (h->kind) {
    case HELD_EVTCHN:
        xenevtchn_close(h->handle);
        break;
    case HELD_GRANT:
        xengnttab_unmap(h->handle, h->addr, (uint32_t)h->count);
        break;
    case HELD_FOREIGN:
        xenforeignmemory_unmap(h->handle, h->addr, h->count);
        break;
    }
}

static void held_end(void *arg)
{
    struct abi_held *h = arg;

    for (struct abi_held **at = &h->subject->held; *at; at = &(*at)->next) {
        if (*at == h) {
            *at = h->next;
            held_release(h);
            break;
        }
    }
    free(h);
}

static void held_add(struct check_ctx *t, int kind, void *handle, void *addr, size_t count)
{
    struct abi_held *h = calloc(1, sizeof(*h));

    if (!h)
        error_out(t, "no memory");
    h->kind = kind;
    h->handle = handle;
    h->addr = addr;
    h->count = count;
    h->subject = check_subject(t);
    h->next = h->subject->held;
    h->subject->held = h;
    check_defer(t, held_end, h);
}

/* Off the list: the deferred call then frees the slot and nothing else. */
static void held_forget(struct check_ctx *t, const void *handle, const void *addr)
{
    struct abi_subject *s = check_subject(t);

    for (struct abi_held **at = &s->held; *at; at = &(*at)->next) {
        if ((*at)->handle == handle && (*at)->addr == addr) {
            *at = (*at)->next;
            return;
        }
    }
}

xenevtchn_handle *abi_evtchn(struct check_ctx *t)
{
    xenevtchn_handle *h = xenevtchn_open(NULL, 0);

    if (!h)
        error_out(t, "xenevtchn_open: %s", strerror(errno));
    held_add(t, HELD_EVTCHN, h, NULL, 0);
    return h;
}

void abi_evtchn_close(struct check_ctx *t, xenevtchn_handle *h)
{
    held_forget(t, h, NULL);
    expect(t, MUST, xenevtchn_close(h) == 0, "xenevtchn_close: %s", strerror(errno));
}

void *abi_map(struct check_ctx *t, xengnttab_handle *h, uint32_t domid, uint32_t ref, int prot)
{
    void *p = xengnttab_map_grant_ref(h, domid, ref, prot);

    if (p)
        held_add(t, HELD_GRANT, h, p, 1);
    return p;
}

void *abi_map_refs(struct check_ctx *t, xengnttab_handle *h, uint32_t count, uint32_t domid,
                   uint32_t *refs, int prot)
{
    void *p = xengnttab_map_domain_grant_refs(h, count, domid, refs, prot);

    if (p)
        held_add(t, HELD_GRANT, h, p, count);
    return p;
}

int abi_unmap(struct check_ctx *t, xengnttab_handle *h, void *addr, uint32_t count)
{
    int rc = xengnttab_unmap(h, addr, count);

    if (rc == 0)
        held_forget(t, h, addr);
    return rc;
}

void *abi_fmap(struct check_ctx *t, xenforeignmemory_handle *h, uint32_t domid, int prot,
               size_t count, const xen_pfn_t *gfns, int *err)
{
    void *p = xenforeignmemory_map(h, domid, prot, count, gfns, err);

    if (p)
        held_add(t, HELD_FOREIGN, h, p, count);
    return p;
}

/* ---- expectations ---- */

const char *abi_errno(int e)
{
    const char *name = e == 0 ? "OK" : strerrorname_np(e);

    return name ? name : "?";
}

void abi_expect_refused(struct check_ctx *t, const char *name, bool ok, int got, int want,
                        const char *file, int line)
{
    char label[64];

    snprintf(label, sizeof(label), "%s.errno", name);
    note(t, label, "%s", ok ? "OK" : abi_errno(got));
    expect_at(t, MUST, !ok, file, line, "refused", "%s succeeded, it must be refused with %s", name,
              abi_errno(want));
    if (!ok)
        expect_at(t, MUST, got == want, file, line, abi_errno(want), "%s was refused with %s", name,
                  abi_errno(got));
}

int abi_event(struct check_ctx *t, xenevtchn_handle *h, int timeout_ms)
{
    struct pollfd p = {.fd = xenevtchn_fd(h), .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        error_out(t, "poll: %s", strerror(errno));
    return n == 0 ? -1 : xenevtchn_pending(h);
}

/* Where the fault handler returns to; only set while abi_touch touches. */
static _Thread_local sigjmp_buf touch_back;

static void touch_fault(int sig)
{
    siglongjmp(touch_back, sig);
}

int abi_touch(volatile uint8_t *p, bool write)
{
    struct sigaction sa = {.sa_handler = touch_fault}, old_segv, old_bus;
    int sig;

    sigemptyset(&sa.sa_mask);
    sigaction(SIGSEGV, &sa, &old_segv);
    sigaction(SIGBUS, &sa, &old_bus);
    sig = sigsetjmp(touch_back, 1);
    if (sig == 0) {
        if (write)
            *p = 0x99;
        else
            (void)*p;
    }
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    return sig;
}
