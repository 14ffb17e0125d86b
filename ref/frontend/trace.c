/* SPDX-License-Identifier: MIT */
#include "frontend/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_BYTES 88u
#define LINE_BYTES (TEXT_BYTES + 64u)

struct event {
    uint64_t ns, last_ns; /* of the first and the last of `times` in a row that were the same */
    uint64_t times;
    char text[TEXT_BYTES];
};

struct trace {
    struct fe_platform platform; /* first: handed out */
    struct fe_platform *inner;
    FILE *echo; /* borrowed */
    pthread_mutex_t lock;
    uint64_t begin_ns;
    uint64_t
        count; /* of all events, equal ones in a row as one; the last FE_TRACE_EVENTS are there */
    struct event events[FE_TRACE_EVENTS];
};

static struct trace *trace_of(struct fe_platform *p)
{
    return (struct trace *)p;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int line(const struct event *e, char *buf, size_t size)
{
    if (e->times == 1)
        return snprintf(buf, size, "%11.1f us  %s\n", (double)e->ns / 1000, e->text);
    return snprintf(buf, size, "%11.1f us  %s (%" PRIu64 " times until %.1f us)\n",
                    (double)e->ns / 1000, e->text, e->times, (double)e->last_ns / 1000);
}

static void record(struct trace *t, const char *fmt, va_list ap)
{
    struct event e = {.times = 1};
    char text[LINE_BYTES];

    vsnprintf(e.text, sizeof(e.text), fmt, ap);
    pthread_mutex_lock(&t->lock);
    struct event *before = t->count ? &t->events[(t->count - 1) % FE_TRACE_EVENTS] : NULL;
    e.ns = e.last_ns = now_ns() - t->begin_ns;
    if (before && !strcmp(before->text, e.text)) {
        before->times++;
        before->last_ns = e.ns;
    } else {
        t->events[t->count++ % FE_TRACE_EVENTS] = e;
    }
    if (t->echo && line(&e, text, sizeof(text)) > 0)
        fputs(text, t->echo);
    pthread_mutex_unlock(&t->lock);
}

static void event(struct fe_platform *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void event(struct fe_platform *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    record(trace_of(p), fmt, ap);
    va_end(ap);
}

/* "" or why an operation failed. */
static const char *failure(int rc, char *buf, size_t size)
{
    buf[0] = 0;
    if (rc < 0)
        snprintf(buf, size, ": %s", strerror(-rc));
    return buf;
}

/* ---- the platform ---- */

static int trace_mmio_read(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                           uint64_t *value)
{
    struct fe_platform *inner = trace_of(p)->inner;
    int rc = inner->ops->mmio_read(inner, vcpu, addr, bytes, value);
    char why[40];

    event(p, "vcpu %u read  %u at 0x%" PRIx64 " = 0x%" PRIx64 "%s", vcpu, bytes, addr,
          rc ? 0 : *value, failure(rc, why, sizeof(why)));
    return rc;
}

static int trace_mmio_write(struct fe_platform *p, unsigned vcpu, uint64_t addr, unsigned bytes,
                            uint64_t value)
{
    struct fe_platform *inner = trace_of(p)->inner;
    int rc = inner->ops->mmio_write(inner, vcpu, addr, bytes, value);
    char why[40];

    event(p, "vcpu %u write %u at 0x%" PRIx64 " = 0x%" PRIx64 "%s", vcpu, bytes, addr, value,
          failure(rc, why, sizeof(why)));
    return rc;
}

static int trace_pages_alloc(struct fe_platform *p, unsigned n, unsigned flags, void **va)
{
    struct fe_platform *inner = trace_of(p)->inner;

    return inner->ops->pages_alloc(inner, n, flags, va);
}

static void trace_pages_free(struct fe_platform *p, void *va, unsigned n)
{
    struct fe_platform *inner = trace_of(p)->inner;

    inner->ops->pages_free(inner, va, n);
}

static int trace_gfn(struct fe_platform *p, const void *va, uint64_t *gfn)
{
    struct fe_platform *inner = trace_of(p)->inner;

    return inner->ops->gfn(inner, va, gfn);
}

static int trace_grant(struct fe_platform *p, void *va, unsigned n, uint16_t peer, unsigned flags,
                       gref_t *first)
{
    struct fe_platform *inner = trace_of(p)->inner;
    int rc = inner->ops->grant(inner, va, n, peer, flags, first);
    char why[40];

    event(p, "grant %u pages to %u, flags 0x%x: gref %u%s", n, peer, flags, rc ? 0 : first->raw,
          failure(rc, why, sizeof(why)));
    return rc;
}

static int trace_grant_at(struct fe_platform *p, void *va, unsigned n, uint16_t peer,
                          unsigned flags, gref_t first)
{
    struct fe_platform *inner = trace_of(p)->inner;
    int rc = inner->ops->grant_at(inner, va, n, peer, flags, first);
    char why[40];

    event(p, "grant %u pages to %u, flags 0x%x: at gref %u%s", n, peer, flags, first.raw,
          failure(rc, why, sizeof(why)));
    return rc;
}

static int trace_revoke(struct fe_platform *p, gref_t first, unsigned n)
{
    struct fe_platform *inner = trace_of(p)->inner;
    int rc = inner->ops->revoke(inner, first, n);
    char why[40];

    event(p, "revoke %u pages from gref %u%s", n, first.raw, failure(rc, why, sizeof(why)));
    return rc;
}

static int trace_grant_in_use(struct fe_platform *p, gref_t ref, unsigned *in_use)
{
    struct fe_platform *inner = trace_of(p)->inner;

    return inner->ops->grant_in_use(inner, ref, in_use);
}

static int trace_irq_msi(struct fe_platform *p, unsigned vcpu, struct fe_msi *msi, fe_irq_t *irq)
{
    struct fe_platform *inner = trace_of(p)->inner;

    return inner->ops->irq_msi(inner, vcpu, msi, irq);
}

static int trace_irq_intx(struct fe_platform *p, sbdf_t sbdf, unsigned pin, fe_irq_t *irq)
{
    struct fe_platform *inner = trace_of(p)->inner;

    return inner->ops->irq_intx(inner, sbdf, pin, irq);
}

static int trace_irq_line(struct fe_platform *p, unsigned number, fe_irq_t *irq)
{
    struct fe_platform *inner = trace_of(p)->inner;

    return inner->ops->irq_line(inner, number, irq);
}

static void trace_irq_free(struct fe_platform *p, fe_irq_t irq)
{
    struct fe_platform *inner = trace_of(p)->inner;

    inner->ops->irq_free(inner, irq);
}

static int trace_irq_wait(struct fe_platform *p, fe_irq_t irq, uint64_t timeout_ns)
{
    struct fe_platform *inner = trace_of(p)->inner;
    int rc = inner->ops->irq_wait(inner, irq, timeout_ns);

    if (rc == 1)
        event(p, "interrupt %" PRIu64, (uint64_t)irq);
    else if (timeout_ns)
        event(p, "no interrupt %" PRIu64 " within %" PRIu64 " us", (uint64_t)irq,
              timeout_ns / 1000);
    return rc;
}

static int trace_store_read(struct fe_platform *p, const char *path, char **value)
{
    struct fe_platform *inner = trace_of(p)->inner;
    int rc = inner->ops->store_read(inner, path, value);
    char why[40];

    event(p, "store %s = %.32s%s", path, rc ? "" : *value, failure(rc, why, sizeof(why)));
    return rc;
}

static void trace_close(struct fe_platform *p)
{
    struct trace *t = trace_of(p);

    fe_platform_close(t->inner);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static const struct fe_platform_ops trace_ops = {
    .close = trace_close,
    .mmio_read = trace_mmio_read,
    .mmio_write = trace_mmio_write,
    .pages_alloc = trace_pages_alloc,
    .pages_free = trace_pages_free,
    .gfn = trace_gfn,
    .grant = trace_grant,
    .grant_at = trace_grant_at,
    .revoke = trace_revoke,
    .grant_in_use = trace_grant_in_use,
    .irq_msi = trace_irq_msi,
    .irq_intx = trace_irq_intx,
    .irq_line = trace_irq_line,
    .irq_free = trace_irq_free,
    .irq_wait = trace_irq_wait,
    .store_read = trace_store_read,
};

/* ---- what is remembered ---- */

struct fe_platform *fe_trace_create(struct fe_platform *inner, FILE *echo)
{
    struct trace *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->platform = *inner;
    t->platform.ops = &trace_ops;
    t->inner = inner;
    t->echo = echo;
    t->begin_ns = now_ns();
    pthread_mutex_init(&t->lock, NULL);
    return &t->platform;
}

void fe_trace_note(struct fe_platform *p, const char *fmt, ...)
{
    va_list ap;

    if (p->ops != &trace_ops)
        return;
    va_start(ap, fmt);
    record(trace_of(p), fmt, ap);
    va_end(ap);
}

void fe_trace_begin(struct fe_platform *p, const char *what)
{
    struct trace *t = trace_of(p);

    if (p->ops != &trace_ops)
        return;
    pthread_mutex_lock(&t->lock);
    t->count = 0;
    t->begin_ns = now_ns();
    if (t->echo)
        fprintf(t->echo, "\n%s\n", what);
    pthread_mutex_unlock(&t->lock);
}

const char *fe_trace_tail(struct fe_platform *p, char *buf, size_t size)
{
    struct trace *t = trace_of(p);
    size_t used = 0, room = 0;
    char text[LINE_BYTES];

    buf[0] = 0;
    if (p->ops != &trace_ops)
        return buf;
    pthread_mutex_lock(&t->lock);
    uint64_t kept = t->count < FE_TRACE_EVENTS ? t->count : FE_TRACE_EVENTS, first = t->count;
    while (kept--) {
        int n = line(&t->events[(first - 1) % FE_TRACE_EVENTS], text, sizeof(text));

        if (n < 0 || room + (size_t)n >= size)
            break;
        room += (size_t)n;
        first--;
    }
    for (; first < t->count; first++)
        used += (size_t)line(&t->events[first % FE_TRACE_EVENTS], buf + used, size - used);
    pthread_mutex_unlock(&t->lock);
    return buf;
}
