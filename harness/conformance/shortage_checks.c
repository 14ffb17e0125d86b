/* SPDX-License-Identifier: MIT */
/*
 * Xen and xenstored let a domain have so many event channels, references, nodes, watches and
 * transactions. A backend whose domain has them all, because of whomever, is refused one at
 * whatever moment; and so is a driver a reference.
 */
#define CHECK_FAMILY "shortage"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance/backend.h"
#include "conformance/plug.h"
#include "conformance/service.h"
#include "util/bits.h"

#define SHORTAGE (NEED_DEVICE | NEED_SERVICE | NEED_TESTBED | NEED_SUCCESSOR)

/* More of anything than a backend of one device takes when it begins. */
#define LEFT_MAX  24u
#define SETTLE_NS MS(1000)
#define REQUESTS  12u
#define ROUND_NS  MS(60) /* whoever asks for something now and then asks meanwhile */

/* ---- what there is ---- */

static const char *const scarce[] = {"ports", "guest-ports", "nodes", "watches", "transactions"};

static void restore(struct check_ctx *t, const char *what)
{
    const struct subject *s = check_subject(t);
    char args[64], *value = NULL, why[64];

    snprintf(args, sizeof(args), "{\"what\": \"%s\"}", what);
    (void)s->ask(s->ask_ctx, "quota.restore", args, &value, why, sizeof(why));
    free(value);
}

/* However the check ends. */
static void restore_all(void *arg)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(scarce); i++)
        restore(arg, scarce[i]);
}

/* 0, or why there is no such limit here. */
static int try_leave(struct check_ctx *t, const char *what, unsigned left, char *why,
                     size_t why_bytes)
{
    const struct subject *s = check_subject(t);
    char args[64], *value = NULL;
    int rc;

    snprintf(args, sizeof(args), "{\"what\": \"%s\", \"left\": %u}", what, left);
    rc = s->ask(s->ask_ctx, "quota.leave", args, &value, why, why_bytes);
    free(value);
    return rc;
}

static void leave(struct check_ctx *t, const char *what, unsigned left)
{
    char why[256] = "";
    int rc = try_leave(t, what, left, why, sizeof(why));

    if (rc == -EOPNOTSUPP)
        skip_check(t, "%s", why);
    if (rc)
        error_out(t, "the testbed cannot leave %u %s: %s", left, what, why);
}

struct use {
    char all[512];
};

static void look(struct check_ctx *t, struct use *u)
{
    given_ask_text(t, "machine.use", NULL, "all", u->all, sizeof(u->all));
}

static void expect_use(struct check_ctx *t, const struct use *before, const char *what,
                       unsigned left)
{
    uint64_t deadline = given_now_ns() + SETTLE_NS;
    struct use now;

    look(t, &now);
    while (strcmp(now.all, before->all) && given_now_ns() < deadline) {
        given_pause();
        look(t, &now);
    }
    expect(t, MUST, !strcmp(now.all, before->all),
           "a backend that began with %u %s left has gone, and in use is %s; before it began %s",
           left, what, now.all, before->all);
}

/* ---- a backend that begins ---- */

/*
 * With nothing left, with one left and so on: it serves, or it ends with an error and leaves
 * nothing. With plenty it serves.
 */
static void expect_beginnings(struct check_ctx *t, const char *what)
{
    struct service *s = given_service(t, 0, 0);
    char end[256] = "";
    bool serves = false;
    unsigned left;

    check_defer(t, restore_all, t);
    expect_served(s, s->q, false);
    backend_stop(s->d);
    for (left = 0; left < LEFT_MAX; left += 1 + left / 4) {
        struct use before;

        leave(t, what, left);
        look(t, &before);
        given_ask_text(t, "backend.attempt", NULL, "end", end, sizeof(end));
        serves = !strcmp(end, "serves");
        if (serves)
            break;
        expect(t, MUST, !strcmp(end, "error"),
               "with %u %s left a backend neither serves nor ends by itself with an error: %s",
               left, what, end);
        if (strcmp(end, "error"))
            stop_check(t);
        expect_use(t, &before, what, left);
    }
    if (serves) {
        note(t, "serves with", "%u %s", left, what);
        device_reattach(s->d);
        service_restart(s, 0, 0);
        expect_served(s, s->q, false);
        backend_stop(s->d);
    }
    restore(t, what);
    backend_start(s->d);
    service_restart(s, 0, 0);
    expect_service_recovers(s, "a time without resources");
}

CHECK(of_ports, .judges = DEVICE, .proves = "xen.lifecycle.shortage.1", .needs = SHORTAGE,
      .timeout_ms = 90000,
      .title = "A backend whose domain has no event channels left ends, and leaves nothing behind")
{
    expect_beginnings(t, "ports");
}

CHECK(of_the_guests_ports, .judges = DEVICE, .proves = "xen.lifecycle.shortage.2",
      .needs = SHORTAGE, .timeout_ms = 90000,
      .title = "The same where the driver's domain has none left for an IOREQ server")
{
    expect_beginnings(t, "guest-ports");
}

CHECK(of_nodes, .judges = DEVICE, .proves = "xen.lifecycle.shortage.3", .needs = SHORTAGE,
      .timeout_ms = 90000, .title = "The same where the backend's domain has no nodes left")
{
    expect_beginnings(t, "nodes");
}

CHECK(of_watches, .judges = DEVICE, .proves = "xen.lifecycle.shortage.3", .needs = SHORTAGE,
      .timeout_ms = 90000, .title = "The same where the backend's domain has no watches left")
{
    expect_beginnings(t, "watches");
}

CHECK(of_transactions, .judges = DEVICE, .proves = "xen.lifecycle.shortage.3", .needs = SHORTAGE,
      .timeout_ms = 90000, .title = "The same where the backend's domain has no transactions left")
{
    expect_beginnings(t, "transactions");
}

/* ---- one that runs ---- */

/* True: the domain has a limit of it, which is reached. */
static bool leave_nothing(struct check_ctx *t, const char *what)
{
    char why[256] = "";
    int rc = try_leave(t, what, 0, why, sizeof(why));

    if (rc && rc != -EOPNOTSUPP)
        error_out(t, "the testbed cannot leave no %s: %s", what, why);
    return rc == 0;
}

CHECK(beside_service, .judges = DEVICE, .proves = "xen.lifecycle.shortage.4", .needs = SHORTAGE,
      .timeout_ms = 60000,
      .title = "Of a domain that can have nothing more the device serves, and can be reset")
{
    struct service *s = given_service(t, 0, 0);
    unsigned limits = 0;
    uint64_t start;

    expect_served(s, s->q, false);
    check_defer(t, restore_all, t);
    for (unsigned i = 0; i < ARRAY_LENGTH(scarce); i++)
        limits += leave_nothing(t, scarce[i]);
    if (!limits)
        skip_check(t, "the testbed leaves domains what they have");
    start = given_now_ns();
    for (unsigned round = 0; round < 3; round++) {
        while (given_now_ns() < start + round * ROUND_NS)
            given_pause();
        for (unsigned i = 0; i < REQUESTS; i++)
            expect_served(s, s->q, false);
        service_restart(s, 0, 0);
        expect_device_there(s->d, "without resources");
    }
    restore_all(t);
    expect_service_recovers(s, "a time without resources");
}

/* A device is attached: it comes, or the toolstack is told that it does not. */
static void expect_answered_attach(struct check_ctx *t, struct service *s, const char *what)
{
    char path[112], args[160], state[16] = "", why[256] = "", folder[80] = "";
    int rc = given_try(t, "device.attach", NULL, why, sizeof(why));

    if (rc) {
        given_ask_text(t, "device.info", NULL, "store", folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/state", folder);
        snprintf(args, sizeof(args), "{\"path\": \"%s\"}", path);
        given_ask_text(t, "store.read", args, "value", state, sizeof(state));
    }
    note(t, what, "%s", rc ? "refused" : "served");
    expect(
        t, MUST, rc == 0 || !strcmp(state, "6"),
        "without %s left a device that is attached neither comes nor is refused: its state is %s",
        what, state);
    expect_eq(t, MUST, given_ask_number(t, "backend.alive", NULL, "alive"), 1,
              "whether the backend runs");
    if (rc)
        return;
    device_reattach(s->d);
    service_restart(s, 0, 0);
    expect_served(s, s->q, false);
    plug_out(t, 0);
}

CHECK(beside_an_attach, .judges = DEVICE, .proves = "xen.lifecycle.shortage.5", .needs = SHORTAGE,
      .timeout_ms = 90000,
      .title = "A device that comes then is served or refused, and comes when there is plenty")
{
    struct service *s;

    need_pluggable(t, 0);
    s = given_service(t, 0, 0);
    check_defer(t, restore_all, t);
    for (unsigned i = 0; i < ARRAY_LENGTH(scarce); i++) {
        s->d->gone_on_purpose = true;
        plug_out(t, 0);
        if (leave_nothing(t, scarce[i]))
            expect_answered_attach(t, s, scarce[i]);
        restore(t, scarce[i]);
        plug_in(t, 0, NULL);
        device_reattach(s->d);
        service_restart(s, 0, 0);
        expect_served(s, s->q, false);
    }
}

/* ---- a driver without references ---- */

#define HOG_PAGES 64u
#define HOGS_MAX  4096u
#define FREED     3u

/* Pages that are granted over and over, until there is no reference left. */
struct hog {
    struct device *d;
    void *va;
    struct {
        gref_t first;
        unsigned pages; /* 0: given back */
    } got[HOGS_MAX];
    unsigned count;
};

static void hog_give_back(void *arg)
{
    struct hog *h = arg;
    struct fe_platform *p = h->d->mem.platform;

    while (h->count--)
        if (h->got[h->count].pages)
            (void)p->ops->revoke(p, h->got[h->count].first, h->got[h->count].pages);
    p->ops->pages_free(p, h->va, HOG_PAGES);
    free(h);
}

/* Some single references first, which can be given back one by one. */
static struct hog *given_no_references(struct device *d)
{
    struct fe_platform *p = d->mem.platform;
    struct hog *h = calloc(1, sizeof(*h));
    unsigned pages = 1;
    int rc;

    if (!h)
        error_out(d->t, "out of memory");
    h->d = d;
    rc = p->ops->pages_alloc(p, HOG_PAGES, 0, &h->va);
    if (rc) {
        free(h);
        error_out(d->t, "%u pages: %s", HOG_PAGES, strerror(-rc));
    }
    check_defer(d->t, hog_give_back, h);
    while (pages && h->count < HOGS_MAX) {
        rc = p->ops->grant(p, h->va, pages, d->mem.backend_domid, FE_GRANT_READONLY,
                           &h->got[h->count].first);
        if (rc == -ENOSPC) {
            pages /= 2;
            continue;
        }
        if (rc)
            error_out(d->t, "granting %u pages: %s", pages, strerror(-rc));
        h->got[h->count++].pages = pages;
        if (h->count == FREED)
            pages = HOG_PAGES;
    }
    if (pages)
        skip_check(d->t, "the domain's grant table has no end");
    return h;
}

static void expect_no_mapping(struct device *d, void *va, unsigned pages, unsigned left)
{
    struct fe_mapping map;
    int rc = fe_dma_map(&d->mem, va, (size_t)pages * XEN_PAGE_BYTES, FE_DMA_TO_DEVICE, &map);

    expect(d->t, MUST, rc == -ENOSPC, "mapping %u pages with %u references left gives %s", pages,
           left, rc ? strerror(-rc) : "success");
    if (rc == 0)
        (void)fe_dma_unmap(&d->mem, &map);
}

/* As many pages as there are references, each by itself, and not one more. */
static void expect_mappings(struct device *d, void *va, unsigned left)
{
    struct fe_mapping map[FREED];
    unsigned n = 0;
    int rc = 0;

    while (n < left && rc == 0) {
        rc = fe_dma_map(&d->mem, va, XEN_PAGE_BYTES, FE_DMA_TO_DEVICE, &map[n]);
        n += rc == 0;
    }
    expect_eq(d->t, MUST, n, left, "pages that could be mapped of as many as references are left");
    expect_no_mapping(d, va, 1, 0);
    while (n)
        must(d->t, fe_dma_unmap(&d->mem, &map[--n]), "unmapping");
}

CHECK(of_references, .judges = DRIVER, .proves = "xen.lifecycle.shortage.6",
      .needs = NEED_DEVICE | NEED_SERVICE | NEED_GRANTS | NEED_STREAMING, .timeout_ms = 60000,
      .title = "Without references a driver's mapping fails, nothing is lost, and its ring goes on")
{
    struct service *s = given_service(t, 0, 0);
    struct fe_platform *p = s->d->mem.platform;
    struct request *r = given_request(s);
    struct piece pieces[REQUEST_PIECES_MAX];
    struct hog *h;
    uint16_t head;

    h = given_no_references(s->d);
    note(t, "grants until none was left", "%u", h->count);
    expect_no_mapping(s->d, h->va, 1, 0);
    head = ring_chain(s->q, 0, pieces, request_pieces(r, pieces, 1));
    ring_offer(s->q, head);
    ring_kick(s->q);
    expect_answered(r, expect_used(s->q, head));
    for (unsigned i = 0; i < FREED; i++) {
        must(t, p->ops->revoke(p, h->got[i].first, h->got[i].pages), "giving a reference back");
        h->got[i].pages = 0;
    }
    expect_no_mapping(s->d, h->va, FREED + 1, FREED);
    expect_mappings(s->d, h->va, FREED);
    /* What was given back is there again. */
    expect_mappings(s->d, h->va, FREED);
    request_release(r);
    /* The rest goes back before the device is negotiated anew: that takes references. */
    for (unsigned i = FREED; i < h->count; i++) {
        must(t, p->ops->revoke(p, h->got[i].first, h->got[i].pages), "giving references back");
        h->got[i].pages = 0;
    }
    expect_service_recovers(s, "a time without references");
}
