/* SPDX-License-Identifier: MIT */
#include "agent/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/log.h"

#define ALTSTACK_BYTES 65536

struct run {
    struct link *link;
    timer_t timer;
    bool have_timer;
    void *altstack;
    /* What the handlers write. `timeout` is a whole line; a fault's line is put together from
     * the text before and behind the reason. */
    char *timeout;
    size_t timeout_len;
    char fault_before[512];
    size_t fault_before_len;
};

/* A signal handler has no argument that leads to its context. Set while a check runs. */
static struct run *volatile running;

static void write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
}

static void on_alarm(int sig)
{
    struct run *r = running;

    (void)sig;
    if (!r)
        return;
    /* The main thread may be inside a write of its own: begin a new line. */
    write_all(r->link->out, "\n", 1);
    write_all(r->link->out, r->timeout, r->timeout_len);
    _exit(AGENT_EXIT_TIMEOUT);
}

/* stpcpy is async-signal-safe, snprintf is not. */
static size_t put_hex(char *out, uintptr_t v)
{
    size_t n = 0;
    int shift = (int)sizeof(v) * 8 - 4;

    while (shift > 0 && (v >> shift) == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        out[n++] = "0123456789abcdef"[(v >> shift) & 15];
    return n;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    static const char behind[] = "\",\"failures\":[],\"notes\":[]}\n";
    struct run *r = running;
    const char *name = sig == SIGSEGV   ? "SIGSEGV"
                       : sig == SIGBUS  ? "SIGBUS"
                       : sig == SIGFPE  ? "SIGFPE"
                       : sig == SIGABRT ? "SIGABRT"
                                        : "SIGILL";
    char text[64] = "the check faulted: ";
    char *at = text + strlen(text);

    (void)context;
    if (!r) {
        signal(sig, SIG_DFL);
        raise(sig);
        return;
    }
    at = stpcpy(at, name);
    if (sig != SIGABRT) {
        at = stpcpy(at, " at 0x");
        at += put_hex(at, (uintptr_t)info->si_addr);
    }
    write_all(r->link->out, "\n", 1);
    write_all(r->link->out, r->fault_before, r->fault_before_len);
    write_all(r->link->out, text, (size_t)(at - text));
    write_all(r->link->out, behind, sizeof(behind) - 1);
    _exit(AGENT_EXIT_FAULT);
}

struct run *run_create(struct link *l)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction alarm = {.sa_handler = on_alarm};
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct run *r = calloc(1, sizeof(*r));
    stack_t stack = {.ss_size = ALTSTACK_BYTES};

    if (!r)
        return NULL;
    r->link = l;
    r->altstack = malloc(ALTSTACK_BYTES);
    if (!r->altstack)
        goto fail;
    /* A stack overflow is a fault as well, and needs another stack to be reported from. */
    stack.ss_sp = r->altstack;
    if (sigaltstack(&stack, NULL) < 0 || timer_create(CLOCK_MONOTONIC, &ev, &r->timer) < 0)
        goto fail;
    r->have_timer = true;
    sigemptyset(&alarm.sa_mask);
    sigemptyset(&fault.sa_mask);
    sigaction(SIGALRM, &alarm, NULL);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigaction(faults[i], &fault, NULL);
    return r;
fail:
    run_destroy(r);
    return NULL;
}

void run_destroy(struct run *r)
{
    stack_t none = {.ss_flags = SS_DISABLE};

    if (!r)
        return;
    if (r->have_timer)
        timer_delete(r->timer);
    sigaltstack(&none, NULL);
    free(r->altstack);
    free(r);
}

/* What a timeout says, as a result of the ordinary form. */
static int prepare(struct run *r, const struct check *c, uint32_t timeout_ms)
{
    struct wire_event *e = calloc(1, sizeof(*e));
    struct check_failure *f;

    if (!e)
        return -ENOMEM;
    e->ev = WIRE_RESULT;
    snprintf(e->result.check, sizeof(e->result.check), "%s.%s", c->family, c->name);
    e->result.r.outcome = FAIL;
    e->result.r.duration_ns = (uint64_t)timeout_ms * 1000000u;
    e->result.r.expectations = 1;
    e->result.r.failure_count = 1;
    f = &e->result.r.failures[0];
    f->level = MUST;
    f->line = c->line;
    snprintf(f->file, sizeof(f->file), "%s", c->file);
    snprintf(f->text, sizeof(f->text), "timed out: the check did not end within %u ms",
             (unsigned)timeout_ms);
    r->timeout = wire_event_encode(e, &r->timeout_len);
    /* Names are C identifiers: nothing to escape. */
    r->fault_before_len = (size_t)snprintf(
        r->fault_before, sizeof(r->fault_before),
        WIRE_PREFIX "{\"ev\":\"result\",\"check\":\"%s\",\"outcome\":\"ERROR\",\"expectations\":0,"
                    "\"duration_ns\":0,\"reason\":\"",
        e->result.check);
    free(e);
    return r->timeout ? 0 : -ENOMEM;
}

uint32_t run_limit_ms(const struct check *c, uint32_t timeout_ms)
{
    if (timeout_ms)
        return timeout_ms;
    return c->timeout_ms ? c->timeout_ms : RUN_TIMEOUT_MS;
}

int run_check(struct run *r, const struct check *c, void *subject, const struct run_hooks *hooks,
              uint32_t timeout_ms)
{
    static const struct run_hooks none = {.met = NULL};
    struct wire_event *e = calloc(1, sizeof(*e));
    struct itimerspec when = {0}, never = {0};
    int err;

    timeout_ms = run_limit_ms(c, timeout_ms);
    hooks = hooks ? hooks : &none;
    err = e ? prepare(r, c, timeout_ms) : -ENOMEM;
    if (err) {
        free(e);
        return err;
    }
    when.it_value.tv_sec = timeout_ms / 1000;
    when.it_value.tv_nsec = (long)(timeout_ms % 1000) * 1000000;
    running = r;
    timer_settime(r->timer, 0, &when, NULL);
    if (hooks->begin)
        hooks->begin(subject, c);
    if (!hooks->met ||
        hooks->met(subject, c->needs, e->result.r.reason, sizeof(e->result.r.reason)))
        check_run(c, subject, &e->result.r);
    else
        e->result.r.outcome = SKIP;
    if (hooks->tail && e->result.r.outcome >= WARN)
        hooks->tail(subject, e->result.r.trace, sizeof(e->result.r.trace));
    timer_settime(r->timer, 0, &never, NULL);
    running = NULL;
    e->ev = WIRE_RESULT;
    snprintf(e->result.check, sizeof(e->result.check), "%s.%s", c->family, c->name);
    err = link_send(r->link, e);
    free(r->timeout);
    r->timeout = NULL;
    free(e);
    return err;
}

int run_result(struct run *r, const char *full_name, enum outcome o, const char *reason)
{
    struct wire_event *e = calloc(1, sizeof(*e));
    int err;

    if (!e)
        return -ENOMEM;
    e->ev = WIRE_RESULT;
    e->result.r.outcome = o;
    snprintf(e->result.check, sizeof(e->result.check), "%s", full_name);
    snprintf(e->result.r.reason, sizeof(e->result.r.reason), "%s", reason);
    err = link_send(r->link, e);
    free(e);
    return err;
}
