/* SPDX-License-Identifier: MIT */
#include "check/check.h"

#include <fnmatch.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Begin and end of the section that CHECK fills; absent in a program without checks. */
__attribute__((weak, visibility("hidden"))) extern const struct check *const __start_rp_checks[];
__attribute__((weak, visibility("hidden"))) extern const struct check *const __stop_rp_checks[];

#define DEFERS_MAX 128

struct defer {
    void (*fn)(void *);
    void *arg;
};

/* One entry of the registry. */
typedef const struct check *check_ref;

struct check_ctx {
    void *subject;
    struct check_result *result;
    /* Expectations and notes may come from a thread that the check started; the jumps not. */
    pthread_mutex_t lock;
    pthread_t thread;
    jmp_buf end;
    bool stopped;
    unsigned defer_count;
    struct defer defers[DEFERS_MAX];
};

/* ---- registry ---- */

/* The section sorted, made once. The linker's order follows the command line, which is not
 * something that a list for people should depend on. */
static struct {
    pthread_once_t once;
    const struct check **sorted;
    size_t count;
} registry = {.once = PTHREAD_ONCE_INIT};

static int check_compare(const void *a, const void *b)
{
    const struct check *x = *(const struct check *const *)a;
    const struct check *y = *(const struct check *const *)b;
    int c = strcmp(x->family, y->family);

    if (c == 0)
        c = strcmp(x->file, y->file);
    return c ? c : (x->line > y->line) - (x->line < y->line);
}

static int check_compare_name(const void *a, const void *b)
{
    const struct check *x = *(const struct check *const *)a;
    const struct check *y = *(const struct check *const *)b;
    int c = strcmp(x->family, y->family);

    return c ? c : strcmp(x->name, y->name);
}

static void registry_fill(void)
{
    /* cppcheck-suppress comparePointers ; the linker's names for two ends of one array */
    size_t n = (size_t)(__stop_rp_checks - __start_rp_checks);

    if (n == 0)
        return;
    registry.sorted = malloc(n * sizeof(check_ref));
    if (!registry.sorted) {
        fprintf(stderr, "checks: no memory for the registry\n");
        abort();
    }
    memcpy(registry.sorted, __start_rp_checks, n * sizeof(check_ref));
    qsort(registry.sorted, n, sizeof(check_ref), check_compare_name);
    for (size_t i = 1; i < n; i++) {
        const struct check *a = registry.sorted[i - 1], *b = registry.sorted[i];

        if (check_compare_name(&a, &b) == 0) {
            fprintf(stderr, "checks: %s.%s is defined twice: %s:%d and %s:%d\n", a->family, a->name,
                    a->file, a->line, b->file, b->line);
            abort();
        }
    }
    qsort(registry.sorted, n, sizeof(check_ref), check_compare);
    registry.count = n;
}

const struct check *const *check_all(size_t *count)
{
    pthread_once(&registry.once, registry_fill);
    *count = registry.count;
    return (const struct check *const *)registry.sorted;
}

const struct check *check_find(const char *family, const char *name)
{
    size_t n;
    const struct check *const *all = check_all(&n);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i]->family, family) == 0 && strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}

bool check_matches(const struct check *c, const char *pattern)
{
    char full[256];

    snprintf(full, sizeof(full), "%s.%s", c->family, c->name);
    return fnmatch(pattern, full, 0) == 0;
}

const char *outcome_name(enum outcome o)
{
    static const char *const names[] = {
        [PASS] = "PASS", [SKIP] = "SKIP",   [KNOWN] = "KNOWN", [WARN] = "WARN",
        [FAIL] = "FAIL", [CRASH] = "CRASH", [ERROR] = "ERROR",
    };

    return (unsigned)o < sizeof(names) / sizeof(names[0]) ? names[o] : "?";
}

/* ---- expectations ---- */

/* With t->lock held. */
static void result_raise(struct check_result *r, enum outcome o)
{
    if (o > r->outcome)
        r->outcome = o;
}

static void result_failure(struct check_ctx *t, enum check_level level, const char *file, int line,
                           const char *text)
{
    struct check_result *r = t->result;

    result_raise(r, level == MUST ? FAIL : WARN);
    if (r->failure_count < sizeof(r->failures) / sizeof(r->failures[0])) {
        struct check_failure *f = &r->failures[r->failure_count];

        f->level = level;
        f->line = line;
        snprintf(f->file, sizeof(f->file), "%s", file);
        snprintf(f->text, sizeof(f->text), "%s", text);
    }
    r->failure_count++;
}

void expect_at(struct check_ctx *t, enum check_level level, bool ok, const char *file, int line,
               const char *expr, const char *fmt, ...)
{
    char text[sizeof(((struct check_failure *)0)->text)];
    va_list ap;

    pthread_mutex_lock(&t->lock);
    t->result->expectations++;
    if (!ok) {
        int n;

        va_start(ap, fmt);
        n = vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof(text))
            snprintf(text + n, sizeof(text) - (size_t)n, "%s(expected: %s)", n ? " " : "", expr);
        result_failure(t, level, file, line, text);
    }
    pthread_mutex_unlock(&t->lock);
}

void expect_eq_at(struct check_ctx *t, enum check_level level, uint64_t got, uint64_t want,
                  const char *file, int line, const char *what)
{
    char text[sizeof(((struct check_failure *)0)->text)];

    pthread_mutex_lock(&t->lock);
    t->result->expectations++;
    if (got != want) {
        snprintf(text, sizeof(text), "%s is %lld (0x%llx), expected %lld (0x%llx)", what,
                 (long long)got, (unsigned long long)got, (long long)want,
                 (unsigned long long)want);
        result_failure(t, level, file, line, text);
    }
    pthread_mutex_unlock(&t->lock);
}

void note(struct check_ctx *t, const char *name, const char *fmt, ...)
{
    struct check_result *r = t->result;
    va_list ap;

    pthread_mutex_lock(&t->lock);
    if (r->note_count < sizeof(r->notes) / sizeof(r->notes[0])) {
        struct check_note *n = &r->notes[r->note_count++];

        snprintf(n->name, sizeof(n->name), "%s", name);
        va_start(ap, fmt);
        vsnprintf(n->value, sizeof(n->value), fmt, ap);
        va_end(ap);
    } else if (r->outcome != ERROR) {
        /* A note that is lost silently would make two runs look alike that are not. */
        result_raise(r, ERROR);
        snprintf(r->reason, sizeof(r->reason), "no room for note %s", name);
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- ends ---- */

static void check_leave(struct check_ctx *t, const char *how) __attribute__((noreturn));

static void check_leave(struct check_ctx *t, const char *how)
{
    if (!pthread_equal(t->thread, pthread_self())) {
        fprintf(stderr, "checks: %s called by a thread that is not the check's own\n", how);
        abort();
    }
    longjmp(t->end, 1);
}

/* The first reason of the worst outcome stays. */
static void result_reason(struct check_ctx *t, enum outcome o, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

static void result_reason(struct check_ctx *t, enum outcome o, const char *fmt, va_list ap)
{
    struct check_result *r = t->result;

    pthread_mutex_lock(&t->lock);
    if (o > r->outcome) {
        vsnprintf(r->reason, sizeof(r->reason), fmt, ap);
        result_raise(r, o);
    }
    pthread_mutex_unlock(&t->lock);
}

void skip_check(struct check_ctx *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    result_reason(t, SKIP, fmt, ap);
    va_end(ap);
    check_leave(t, "skip_check");
}

void error_out(struct check_ctx *t, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    result_reason(t, ERROR, fmt, ap);
    va_end(ap);
    check_leave(t, "error_out");
}

void stop_check(struct check_ctx *t)
{
    t->stopped = true;
    check_leave(t, "stop_check");
}

void check_defer(struct check_ctx *t, void (*fn)(void *), void *arg)
{
    if (t->defer_count == DEFERS_MAX) {
        fn(arg);
        error_out(t, "more than %d check_defer in one check", DEFERS_MAX);
    }
    t->defers[t->defer_count++] = (struct defer){fn, arg};
}

/* ---- running ---- */

void *check_subject(struct check_ctx *t)
{
    return t->subject;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void check_run(const struct check *c, void *subject, struct check_result *result)
{
    /* Static duration is not possible (checks may nest in tests), the stack frame that setjmp
     * protects must not hold values that change: everything lives in the context. */
    struct check_ctx *t = calloc(1, sizeof(*t));
    uint64_t start_ns = now_ns();

    memset(result, 0, sizeof(*result));
    result->outcome = PASS;
    if (!t) {
        result->outcome = ERROR;
        snprintf(result->reason, sizeof(result->reason), "no memory");
        return;
    }
    t->subject = subject;
    t->result = result;
    t->thread = pthread_self();
    pthread_mutex_init(&t->lock, NULL);

    if (setjmp(t->end) == 0)
        c->run(t);
    /* Taken off the list before it runs, so one that ends the check early is not run again. */
    while (t->defer_count > 0) {
        t->defer_count--;
        if (setjmp(t->end) == 0)
            t->defers[t->defer_count].fn(t->defers[t->defer_count].arg);
    }
    if (t->stopped && result->failure_count == 0 && result->outcome < ERROR) {
        result->outcome = ERROR;
        snprintf(result->reason, sizeof(result->reason),
                 "the check was stopped although no expectation had failed");
    }
    if (result->expectations == 0 && result->outcome == PASS) {
        result->outcome = ERROR;
        snprintf(result->reason, sizeof(result->reason), "no expectation was evaluated");
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
    result->duration_ns = now_ns() - start_ns;
}
