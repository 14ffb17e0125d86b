/* SPDX-License-Identifier: MIT */
#include "conformance/puts.h"

#include <stdio.h>
#include <stdlib.h>

#define ARGS_BYTES 64u

static sbdf_t sbdf_of_text(struct check_ctx *t, const char *text)
{
    unsigned seg, bus, dev, fn;

    if (sscanf(text, "%4x:%2x:%2x.%1x", &seg, &bus, &dev, &fn) != 4)
        error_out(t, "the testbed says that a device is at '%s'", text);
    return SBDF(seg, bus, dev, fn);
}

struct fe_pci_host *put_host(struct check_ctx *t, const struct put *d)
{
    struct fe_pci_host *h = calloc(1, sizeof(*h));

    if (!h)
        error_out(t, "no memory");
    check_defer(t, free, h);
    if (subject_host_init(&d->subject, h))
        error_out(t, "function %x is behind no host bridge", d->subject.place.sbdf.raw);
    return h;
}

struct puts *given_puts(struct check_ctx *t)
{
    const struct subject *s = check_subject(t);
    struct puts *p = calloc(1, sizeof(*p));

    if (!p)
        error_out(t, "no memory");
    check_defer(t, free, p);
    p->count = (unsigned)given_ask_number(t, "device.info", NULL, "count");
    if (p->count == 0 || p->count > PUTS_MAX)
        error_out(t, "the testbed says that there are %u devices", p->count);
    for (unsigned i = 0; i < p->count; i++) {
        struct put *d = &p->of[i];
        char args[ARGS_BYTES], sbdf[24] = "";

        snprintf(args, sizeof(args), "{\"index\": %u}", i);
        given_ask_text(t, "device.info", args, "sbdf", sbdf, sizeof(sbdf));
        given_ask_text(t, "device.info", args, "backend", d->backend, sizeof(d->backend));
        d->late = given_ask_number(t, "device.info", args, "late") != 0;
        d->subject = *s;
        d->subject.place.sbdf = sbdf_of_text(t, sbdf);
        d->subject.backend_domid = (uint16_t)given_ask_number(t, "device.info", args, "domid");
    }
    return p;
}

struct blk *put_open_disk(struct check_ctx *t, struct put *d, const struct blk *beside)
{
    d->subject.beside = beside ? &beside->d->host : NULL;
    return given_blk_of(given_device_of(t, &d->subject), 0, 0);
}

static int put_try(struct check_ctx *t, const char *what, const struct put *d, char *why,
                   size_t why_bytes)
{
    char args[sizeof(d->backend) + ARGS_BYTES];

    snprintf(args, sizeof(args), "{\"backend\": \"%s\"}", d->backend);
    return given_try(t, what, args, why, why_bytes);
}

void put_must(struct check_ctx *t, const char *what, const struct put *d)
{
    char why[256] = "";
    int rc = put_try(t, what, d, why, sizeof(why));

    expect(t, MUST, rc == 0, "%s of %s: %s", what, d->backend, why);
    if (rc)
        stop_check(t);
}
