/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "xen/handles.h"
#include "xen/libxen.h"

int xen_handles_open(struct xen_handles **out, const char **what)
{
    struct xen_handles *x = calloc(1, sizeof(*x));
    int rc;

    if (!x) {
        *what = "memory";
        return -ENOMEM;
    }
    *what = "event channels (libxenevtchn)";
    x->evtchn = xenevtchn_open(NULL, 0);
    if (!x->evtchn)
        goto fail;
    *what = "grant tables (libxengnttab)";
    x->gnttab = xengnttab_open(NULL, 0);
    if (!x->gnttab)
        goto fail;
    *what = "foreign memory (libxenforeignmemory)";
    x->foreign = xenforeignmemory_open(NULL, 0);
    if (!x->foreign)
        goto fail;
    *what = "device model operations (libxendevicemodel)";
    x->dm = xendevicemodel_open(NULL, 0);
    if (!x->dm)
        goto fail;
    *what = NULL;
    *out = x;
    return 0;

fail:
    rc = xen_error();
    xen_handles_close(x);
    return rc;
}

void xen_handles_close(struct xen_handles *x)
{
    if (!x)
        return;
    if (x->dm)
        xendevicemodel_close(x->dm);
    if (x->foreign)
        xenforeignmemory_close(x->foreign);
    if (x->gnttab)
        xengnttab_close(x->gnttab);
    if (x->evtchn)
        xenevtchn_close(x->evtchn);
    free(x);
}

int xen_domain_vcpus(struct xen_handles *x, uint16_t domid, unsigned *vcpus)
{
    unsigned n = 0;

    if (xendevicemodel_nr_vcpus(x->dm, domid, &n))
        return errno == ENOTTY || errno == ENOSYS ? -EOPNOTSUPP : xen_error();
    if (n == 0)
        return -ESRCH;
    *vcpus = n;
    return 0;
}
