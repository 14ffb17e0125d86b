/* SPDX-License-Identifier: MIT */
/* Xenstore says what devices there are. Their service is not its affair: it goes on when nobody
 * answers there. */
#define CHECK_FAMILY "store"

#include <stdlib.h>

#include "conformance/backend.h"
#include "conformance/plug.h"
#include "conformance/service.h"

#define HALTS (NEED_DEVICE | NEED_SERVICE | NEED_TESTBED | NEED_STORE_HALT)

#define REQUESTS 12u
#define ROUND_NS MS(60) /* whoever asks the store now and then asks meanwhile */

/* However the check ends: who waits for the store would wait for ever. */
static void store_goes_on(void *arg)
{
    const struct subject *s = check_subject(arg);
    char *value = NULL, why[64];

    (void)s->ask(s->ask_ctx, "store.unpause", NULL, &value, why, sizeof(why));
    free(value);
}

static void store_pause(struct check_ctx *t)
{
    given_ask(t, "store.pause", NULL);
    check_defer(t, store_goes_on, t);
}

/* All of a device's life but its coming and going. */
static void expect_life(struct service *s)
{
    uint64_t start = given_now_ns();

    for (unsigned round = 0; round < 3; round++) {
        while (given_now_ns() < start + round * ROUND_NS)
            given_pause();
        for (unsigned i = 0; i < REQUESTS; i++)
            expect_served(s, s->q, false);
        service_restart(s, 0, 0);
        expect_device_there(s->d, "without a store");
    }
    /* What a doorbell or an access waited for, too. */
    expect(s->d->t, MUST, given_now_ns() - start < LIMIT_RESET_NS,
           "without a store it takes %u ms to serve %u requests",
           (unsigned)((given_now_ns() - start) / MS(1)), 3 * REQUESTS);
}

CHECK(stands_still, .judges = DEVICE, .proves = "xen.lifecycle.store.3", .needs = HALTS,
      .timeout_ms = 60000,
      .title = "xenstored answers nobody: requests, resets and negotiations go on")
{
    struct service *s = given_service(t, 0, 0);

    expect_served(s, s->q, false);
    store_pause(t);
    expect_life(s);
    given_ask(t, "store.unpause", NULL);
    expect_served(s, s->q, false);
}

CHECK(changes_are_seen_afterwards, .judges = DEVICE, .proves = "xen.lifecycle.store.4",
      .needs = HALTS, .timeout_ms = 60000,
      .title = "After xenstored has answered nobody for a while devices go and come as before")
{
    struct service *s;

    need_pluggable(t, 0);
    s = given_service(t, 0, 0);
    store_pause(t);
    expect_life(s);
    given_ask(t, "store.unpause", NULL);
    s->d->gone_on_purpose = true;
    plug_out(t, 0);
    plug_in(t, 0, NULL);
    device_reattach(s->d);
    service_restart(s, 0, 0);
    expect_served(s, s->q, false);
}

CHECK(ends, .judges = DEVICE, .proves = "xen.lifecycle.store.5", .needs = HALTS,
      .timeout_ms = 60000,
      .title = "xenstored has ended: the device stays and serves, and the backend lives")
{
    struct service *s = given_service(t, 0, 0);

    expect_served(s, s->q, false);
    given_ask(t, "store.end", NULL);
    expect_life(s);
    expect_eq(t, MUST, given_ask_number(t, "backend.alive", NULL, "alive"), 1,
              "whether the backend runs");
}

CHECK(
    comes_back_empty, .judges = DEVICE, .proves = "xen.lifecycle.store.6",
    .needs = HALTS | NEED_SUCCESSOR, .timeout_ms = 60000,
    .title = "A new xenstored that knows nothing: service goes on, and a successor serves from it")
{
    struct service *s = given_service(t, 0, 0);

    expect_served(s, s->q, false);
    given_ask(t, "store.end", NULL);
    expect_life(s);
    given_ask(t, "store.begin", NULL);
    expect_life(s);
    expect_eq(t, MUST, given_ask_number(t, "backend.alive", NULL, "alive"), 1,
              "whether the backend runs");
    /* What it would say to the old one it says to nobody, and ends in order all the same. */
    backend_stop(s->d);
    backend_start(s->d);
    service_restart(s, 0, 0);
    expect_served(s, s->q, false);
    expect_life(s);
}
