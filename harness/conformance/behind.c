/* SPDX-License-Identifier: MIT */
#include "conformance/behind.h"

#include <stdlib.h>
#include <string.h>

#define RESERVED_MAX 32u

static void iommu_start(struct device *d)
{
    const struct subject *s = d->subject;
    struct behind *b = d->behind;
    const struct fe_iommu_config cfg = {
        .memory = &b->mem,
        /* Not the one that the device is driven by, where there is another. */
        .vcpu = s->platform->nr_vcpus > 1 ? 1 : 0,
        .features_need = given_ring_features(s),
        .timeout_ns = LIMIT_RESET_NS,
    };

    must(d->t, fe_iommu_create(b->v, &cfg, &b->iommu), "starting the IOMMU");
    (void)fe_iommu_set_bypass(b->iommu, false);
    b->domains = 0;
}

static void behind_open(struct device *d)
{
    const struct subject *s = d->subject;
    struct behind *b = calloc(1, sizeof(*b));
    struct subject at = *s;

    if (!b)
        error_out(d->t, "no memory");
    /* From here on device_end gives it back. */
    d->behind = b;
    b->users = 1;
    at.place = s->iommu;
    if (s->iommu.transport == FE_TRANSPORT_PCI && subject_host_init(&at, &b->host))
        error_out(d->t, "no host bridge is known that the IOMMU could be behind");
    must(d->t, fe_place_open(&s->iommu, s->platform, &b->host, &b->v), "opening the IOMMU");
    fe_memory_init(&b->mem, s->platform, s->addressing, s->backend_domid);
    iommu_start(d);
}

static void domain_join(struct device *d)
{
    struct behind *b = d->behind;
    struct fe_iommu_reserved reserved[RESERVED_MAX];
    struct fe_iommu_info info;
    unsigned count;

    fe_iommu_get_info(b->iommu, &info);
    if (b->domains > info.domain_last - info.domain_first)
        error_out(d->t, "the IOMMU has too few domains for this check");
    d->domain = info.domain_first + b->domains++;
    must(d->t, fe_iommu_space_create(b->iommu, d->domain, &d->mem.translation),
         "making an address space");
    must(d->t, fe_iommu_probe(b->iommu, d->subject->endpoint, reserved, RESERVED_MAX, &count),
         "probing the device");
    for (unsigned i = 0; i < count; i++)
        if (fe_iommu_space_reserve(d->mem.translation, &reserved[i]))
            error_out(d->t, "no memory");
    must(d->t, fe_iommu_attach(b->iommu, d->domain, d->subject->endpoint, false),
         "attaching the device to a domain");
}

void behind_begin(struct device *d)
{
    if (d->subject->behind) {
        d->behind = d->subject->behind;
        d->behind->users++;
    } else {
        behind_open(d);
    }
    domain_join(d);
}

void behind_reattach(struct device *d)
{
    struct behind *b = d->behind;

    if (b->users > 1)
        error_out(d->t, "several devices are behind the IOMMU of the backend that was replaced");
    (void)fe_iommu_destroy(b->iommu);
    b->iommu = NULL;
    fe_iommu_space_destroy(d->mem.translation);
    d->mem.translation = NULL;
    must(d->t, b->v->ops->reattach(b->v), "finding the IOMMU of the new backend");
    iommu_start(d);
    domain_join(d);
}

void behind_end(struct device *d)
{
    struct behind *b = d->behind;
    int rc;

    if (!b)
        return;
    fe_iommu_space_destroy(d->mem.translation);
    if (--b->users)
        return;
    rc = fe_iommu_destroy(b->iommu);
    if (rc && !d->gone_on_purpose)
        expect(d->t, MUST, rc == 0, "the IOMMU could not be stopped: %s", strerror(-rc));
    fe_virtio_destroy(b->v);
    free(b);
}
