/* SPDX-License-Identifier: MIT */
#include "conformance/backend.h"

void backend_stop(struct device *d)
{
    char why[256] = "";
    int rc;

    d->gone_on_purpose = true;
    rc = given_try(d->t, "backend.stop", NULL, why, sizeof(why));
    if (rc)
        expect(d->t, MUST, rc == 0, "the backend does not end in order: %s", why);
}

void backend_kill(struct device *d)
{
    d->gone_on_purpose = true;
    given_ask(d->t, "backend.kill", NULL);
}

void backend_come_up(struct check_ctx *t)
{
    char why[256] = "";
    int rc = given_try(t, "backend.start", NULL, why, sizeof(why));

    expect(t, MUST, rc == 0, "the backend does not start: %s", why);
    if (rc)
        stop_check(t);
    expect_eq(t, MUST, given_ask_number(t, "backend.alive", NULL, "alive"), 1,
              "whether the backend runs after its start");
}

void backend_start(struct device *d)
{
    backend_come_up(d->t);
    device_reattach(d);
}
