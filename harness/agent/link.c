/* SPDX-License-Identifier: MIT */
#include "agent/link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/evloop.h"
#include "util/log.h"

int link_init(struct link *l)
{
    memset(l, 0, sizeof(*l));
    l->in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    l->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    l->reader = wire_reader_create(false);
    l->next_id = 1;
    if (l->in < 0 || l->out < 0 || !l->reader || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
        int err = errno ? -errno : -ENOMEM;

        link_fini(l);
        return err;
    }
    return 0;
}

void link_fini(struct link *l)
{
    if (l->in >= 0)
        close(l->in);
    if (l->out >= 0)
        close(l->out);
    wire_reader_destroy(l->reader);
    l->in = l->out = -1;
    l->reader = NULL;
}

int link_send(struct link *l, const struct wire_event *e)
{
    size_t len, done = 0;
    char *line = wire_event_encode(e, &len);

    if (!line) {
        int err = -errno;

        log_error("an event cannot be sent: %s", strerror(-err));
        return err;
    }
    while (done < len) {
        ssize_t n = write(l->out, line + done, len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int err = -errno;

            free(line);
            l->ended = true;
            return err;
        }
        done += (size_t)n;
    }
    free(line);
    return 0;
}

static void peer_serve(struct link *l, const struct wire_call *call)
{
    struct wire_event *e = calloc(1, sizeof(*e));

    if (!e) {
        log_error("no memory to answer a peer call");
        return;
    }
    e->ev = WIRE_PEER_REPLY;
    if (l->peer)
        l->peer(l->peer_ctx, call, &e->call);
    else
        snprintf(e->call.error, sizeof(e->call.error), "this agent serves no peer calls");
    e->call.id = call->id;
    link_send(l, e);
    wire_event_fini(e);
    free(e);
}

/* 1: *q; 0: the runner is gone; -ETIMEDOUT. */
static int request_next(struct link *l, struct wire_request *q, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd p = {.fd = l->in, .events = POLLIN};
        const char *text;
        char why[256];
        size_t len, space;
        void *buf;
        ssize_t n;
        uint64_t now_ns;
        int wait_ms = -1;

        switch (wire_reader_next(l->reader, &text, &len)) {
        case WIRE_MESSAGE:
            if (wire_request_decode(text, len, q, why, sizeof(why)) == 0)
                return 1;
            log_error("bad request: %s", why);
            continue;
        case WIRE_OVERLONG:
            log_error("bad request: longer than %u bytes", WIRE_LINE_MAX);
            continue;
        case WIRE_LOG_LINE:
            continue;
        case WIRE_NO_LINE:
            break;
        }
        if (l->ended)
            return 0;
        if (deadline_ns != UINT64_MAX) {
            now_ns = evloop_now_ns();
            if (now_ns >= deadline_ns)
                return -ETIMEDOUT;
            wait_ms = (int)((deadline_ns - now_ns) / 1000000u) + 1;
        }
        if (poll(&p, 1, wait_ms) <= 0)
            continue;
        buf = wire_reader_space(l->reader, &space);
        n = read(l->in, buf, space);
        if (n > 0)
            wire_reader_fed(l->reader, (size_t)n);
        else if (n == 0 || (errno != EINTR && errno != EAGAIN))
            l->ended = true;
    }
}

int link_next(struct link *l, struct wire_request *q)
{
    for (;;) {
        int rc = request_next(l, q, UINT64_MAX);

        if (rc <= 0)
            return 0;
        if (q->op == WIRE_QUIT) {
            l->ended = true;
            return 0;
        }
        if (q->op == WIRE_PEER_CALL) {
            peer_serve(l, &q->call);
        } else if (q->op == WIRE_ANSWER) {
            log_error("an answer to no question, id %llu", (unsigned long long)q->call.id);
        } else {
            return 1;
        }
        wire_request_fini(q);
    }
}

int link_ask(struct link *l, const char *what, json_t *args, json_t **value, char *why,
             size_t why_bytes)
{
    struct wire_event *e = calloc(1, sizeof(*e));
    struct wire_request *q = calloc(1, sizeof(*q));
    uint64_t deadline_ns = evloop_now_ns() + LINK_ASK_MS * 1000000ull, id = l->next_id++;
    int err = -ENOMEM;

    *value = NULL;
    if (why_bytes)
        why[0] = '\0';
    if (!e || !q)
        goto out;
    e->ev = WIRE_ASK;
    e->call.id = id;
    e->call.args = args;
    snprintf(e->call.name, sizeof(e->call.name), "%s", what);
    err = link_send(l, e);
    if (err) {
        snprintf(why, why_bytes, "the question could not be sent: %s", strerror(-err));
        goto out;
    }
    for (;;) {
        int rc = request_next(l, q, deadline_ns);

        if (rc <= 0) {
            err = rc < 0 ? rc : -EPIPE;
            snprintf(why, why_bytes, rc < 0 ? "no answer within %d s" : "the runner is gone (%d)",
                     rc < 0 ? LINK_ASK_MS / 1000 : 0);
            goto out;
        }
        if (q->op == WIRE_ANSWER && q->call.id == id)
            break;
        if (q->op == WIRE_PEER_CALL)
            peer_serve(l, &q->call);
        else if (q->op == WIRE_QUIT)
            l->ended = true;
        else
            log_error("a request while a check waits for an answer was ignored");
        wire_request_fini(q);
    }
    if (q->call.ok) {
        *value = json_incref(q->call.value);
        err = 0;
    } else {
        snprintf(why, why_bytes, "%s", q->call.error);
        err = strncmp(q->call.error, "not supported", 13) == 0 ? -EOPNOTSUPP : -EREMOTEIO;
    }
    wire_request_fini(q);
out:
    free(e);
    free(q);
    return err;
}
