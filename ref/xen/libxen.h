/* SPDX-License-Identifier: MIT */
/* Private to ref/xen: what is inside struct xen_handles, and the conversion of errors. */
#ifndef RP_XEN_LIBXEN_H
#define RP_XEN_LIBXEN_H

/* The parts of Xen's public headers that device models need are for "tools" only. */
#define __XEN_TOOLS__ 1

#include <errno.h>
#include <stdint.h>

#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

/* What resources there are; it wants the public headers that those above bring. */
#include <xen/memory.h>

#include "xen/handles.h"

struct xen_handles {
    xengnttab_handle *gnttab;
    xenforeignmemory_handle *foreign;
    xenevtchn_handle *evtchn;
    xendevicemodel_handle *dm;
};

/* After a libxen call that said -1 or NULL: its error, and never 0. */
static inline int xen_error(void)
{
    return errno > 0 ? -errno : -EIO;
}

/* The same for a mapping of guest memory: what the guest's addresses did is -EFAULT; what the
 * host lacks stays itself. */
static inline int xen_map_error(int err)
{
    switch (err) {
    case ENOMEM:
    case EMFILE:
    case ENOSPC:
    case EAGAIN:
        return -ENOMEM;
    default:
        return -EFAULT;
    }
}

#endif
