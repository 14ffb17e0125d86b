/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <xenstore.h>

#include "util/log.h"
#include "util/parse.h"
#include "xen/store.h"

struct store {
    struct xs_handle *xs;
    struct evloop *loop;
    struct evloop_fd watch_fd;
    bool watching; /* watch_fd is in the loop */
    struct store_watch *watches;
    uint32_t next_token;
    char error[STORE_PATH_BYTES + 128];
};

/* Remember and convert the failure of a libxenstore call. */
static int fail(struct store *s, const char *doing, const char *path, int err)
{
    switch (err) {
    case 0:
        err = EIO;
        break;
    case ENOSPC:
    case EDQUOT:
    case E2BIG:
        snprintf(s->error, sizeof(s->error),
                 "%s %s: the store is full (this domain's quota of nodes or of their size)", doing,
                 path);
        return -EDQUOT;
    case EPIPE:
    case ECONNRESET:
    case EBADF:
        err = ENOTCONN;
        break;
    default:
        break;
    }
    snprintf(s->error, sizeof(s->error), "%s %s: %s", doing, path,
             err == ENOTCONN ? "xenstored has gone" : strerror(err));
    return -err;
}

int store_open(struct evloop *loop, struct store **out)
{
    struct store *s = calloc(1, sizeof(*s));
    int rc;

    if (!s)
        return -ENOMEM;
    s->loop = loop;
    s->xs = xs_open(0);
    if (!s->xs) {
        rc = errno ? -errno : -EIO;
        free(s);
        return rc;
    }
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    while (s->watches)
        store_unwatch(s, s->watches);
    if (s->watching)
        evloop_del(s->loop, &s->watch_fd);
    xs_close(s->xs);
    free(s);
}

const char *store_error(const struct store *s)
{
    return s->error;
}

int store_own_domid(struct store *s, uint16_t *domid)
{
    uint64_t v = 0;
    int rc = store_read_u64(s, STORE_DIRECT, "domid", 0, 0x7fef, &v);

    if (rc && rc != -ENOENT)
        return rc;
    *domid = (uint16_t)v;
    return 0;
}

int store_domain_introduced(struct store *s, uint16_t domid)
{
    /* It says "false" to an error, too. */
    errno = 0;
    if (xs_is_domain_introduced(s->xs, domid))
        return 1;
    return -errno;
}

int store_read(struct store *s, store_txn_t t, const char *path, char **value)
{
    unsigned len;
    char *v = xs_read(s->xs, t, path, &len);

    if (!v)
        return fail(s, "reading", path, errno);
    if (strlen(v) != len) {
        free(v);
        snprintf(s->error, sizeof(s->error), "reading %s: the value is not text", path);
        return -EINVAL;
    }
    *value = v;
    return 0;
}

int store_read_u64(struct store *s, store_txn_t t, const char *path, uint64_t min, uint64_t max,
                   uint64_t *value)
{
    char *text = NULL;
    int rc = store_read(s, t, path, &text);

    if (rc)
        return rc;
    rc = parse_u64(text, min, max, value);
    if (rc)
        snprintf(s->error, sizeof(s->error), "%s: \"%.64s\" is not a number from %llu to %llu",
                 path, text, (unsigned long long)min, (unsigned long long)max);
    free(text);
    return rc;
}

int store_list(struct store *s, store_txn_t t, const char *path, char ***names, unsigned *count)
{
    char **list = xs_directory(s->xs, t, path, count);

    if (!list)
        return fail(s, "listing", path, errno);
    *names = list;
    return 0;
}

int store_write(struct store *s, store_txn_t t, const char *path, const char *value)
{
    if (!xs_write(s->xs, t, path, value, (unsigned)strlen(value)))
        return fail(s, "writing", path, errno);
    return 0;
}

int store_printf(struct store *s, store_txn_t t, const char *path, const char *fmt, ...)
{
    char value[1024];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(value))
        return fail(s, "writing", path, E2BIG);
    return store_write(s, t, path, value);
}

int store_remove(struct store *s, store_txn_t t, const char *path)
{
    if (!xs_rm(s->xs, t, path))
        return fail(s, "removing", path, errno);
    return 0;
}

int store_transact(struct store *s, int (*body)(struct store *s, store_txn_t t, void *user),
                   void *user)
{
    for (unsigned i = 0; i < STORE_RETRIES; i++) {
        store_txn_t t = xs_transaction_start(s->xs);
        int rc;

        if (t == XBT_NULL)
            return fail(s, "starting", "a transaction", errno);
        rc = body(s, t, user);
        if (rc) {
            (void)xs_transaction_end(s->xs, t, true);
            if (rc == -EAGAIN)
                continue;
            return rc;
        }
        if (xs_transaction_end(s->xs, t, false))
            return 0;
        if (errno != EAGAIN)
            return fail(s, "committing", "a transaction", errno);
    }
    return fail(s, "committing", "a transaction", EAGAIN);
}

/* ---- watches ---- */

static struct store_watch *find_watch(struct store *s, uint32_t token)
{
    for (struct store_watch *w = s->watches; w; w = w->next)
        if (w->token == token)
            return w;
    return NULL;
}

static void watch_ready(struct evloop_fd *fd, uint32_t epoll_events)
{
    struct store *s = fd->user;
    char **event;

    /* Each event is looked up anew: the one before may have ended its watch. */
    while ((event = xs_check_watch(s->xs)) != NULL) {
        uint64_t token;
        struct store_watch *w = NULL;

        if (!parse_u64(event[XS_WATCH_TOKEN], 0, UINT32_MAX, &token))
            w = find_watch(s, (uint32_t)token);
        if (w)
            w->fired(w, event[XS_WATCH_PATH]);
        free(event);
    }
    if (errno != EAGAIN) {
        log_error("xenstored has gone (%s): no more changes will be seen", strerror(errno));
        evloop_del(s->loop, &s->watch_fd);
        s->watching = false;
    }
}

int store_watch(struct store *s, struct store_watch *w)
{
    char token[16];
    int rc;

    if (!s->watching) {
        s->watch_fd = (struct evloop_fd){.fd = xs_fileno(s->xs), .ready = watch_ready, .user = s};
        if (s->watch_fd.fd < 0)
            return fail(s, "watching", w->path, errno);
        rc = evloop_add(s->loop, &s->watch_fd, EPOLLIN);
        if (rc)
            return fail(s, "watching", w->path, -rc);
        s->watching = true;
    }
    w->token = ++s->next_token;
    snprintf(token, sizeof(token), "%u", w->token);
    w->next = s->watches;
    s->watches = w;
    if (!xs_watch(s->xs, w->path, token)) {
        rc = fail(s, "watching", w->path, errno);
        s->watches = w->next;
        return rc;
    }
    return 0;
}

void store_unwatch(struct store *s, struct store_watch *w)
{
    char token[16];

    for (struct store_watch **at = &s->watches; *at; at = &(*at)->next) {
        if (*at != w)
            continue;
        *at = w->next;
        snprintf(token, sizeof(token), "%u", w->token);
        (void)xs_unwatch(s->xs, w->path, token);
        return;
    }
}
