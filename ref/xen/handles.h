/* SPDX-License-Identifier: MIT */
/*
 * The libxen handles of one process, and libxen's conventions turned into ours.
 *
 * ref/xen is the only module of the reference that includes libxen's headers: whoever uses it
 * sees opaque types, 0 or -errno, and nothing else. A process opens one set. The kernel drivers
 * behind the handles give everything back when the process dies; a clean end closes them after
 * the last user.
 *
 * Handles do not survive fork(): a child may only exec or close them (see libxen's headers).
 */
#ifndef RP_XEN_HANDLES_H
#define RP_XEN_HANDLES_H

#include "util/types.h"

struct xen_handles;

/*
 * Open the grant table, foreign memory, event channel and device model interfaces. All
 * descriptors are close-on-exec. On an error *what names the interface that failed (static
 * storage) and nothing stays open:
 *   -ENOENT, -ENODEV  the kernel has no such driver: not a Xen domain, or a module is missing
 *   -EACCES, -EPERM   not root, or the policy refuses
 *   -ENOMEM, -EMFILE
 */
int xen_handles_open(struct xen_handles **out, const char **what);

/* NULL is allowed. Mappings, servers and ports have to be gone before. */
void xen_handles_close(struct xen_handles *x);

/*
 * The number of vCPUs of a domain, which is the number of IOREQ slots.
 *   -ESRCH       no such domain
 *   -EOPNOTSUPP  the hypervisor (before 4.13) cannot tell
 *   -EPERM       this process may not be its device model
 */
int xen_domain_vcpus(struct xen_handles *x, uint16_t domid, unsigned *vcpus);

#endif
