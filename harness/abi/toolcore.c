/* SPDX-License-Identifier: MIT */
/*
 * xentoolcore_restrict_all: a process gives up all but one domain. Sources: Xen
 * tools/libs/toolcore/handlereg.c and the restrict callback of each library, Linux 6.1
 * drivers/xen/privcmd.c (privcmd_ioctl_restrict) and evtchn.c.
 */
#define CHECK_FAMILY "abi"

#include "abi/abi.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <xentoolcore.h>

CHECK(restrict_all_keeps_one_domain, .judges = HYPERVISOR,
      .proves = "abi.restrict-all-keeps-one-domain",
      .title = "After restrict_all, foreign mapping and device-model operations work for that "
               "domain and are EPERM for others")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *f = abi_foreign(t);
    xendevicemodel_handle *h = abi_dm(t);
    json_t *v = abi_call(a, "pages.alloc", NULL);
    const char *text = json_string_value(json_array_get(json_object_get(v, "gfns"), 0));
    xen_pfn_t gfn = text ? strtoull(text, NULL, 16) : 0;
    unsigned n = 0;

    ABI_OK(t, xentoolcore_restrict_all(a->domid) == 0, "restrict_all");
    ABI_REFUSED(t, "foreign-dom0", abi_fmap(t, f, 0, PROT_READ, 1, &gfn, NULL) != NULL, EPERM);
    ABI_REFUSED(t, "dm-other", xendevicemodel_nr_vcpus(h, ABI_NO_DOMAIN, &n) == 0, EPERM);
    expect(t, MUST, abi_fmap(t, f, a->domid, PROT_READ, 1, &gfn, NULL) != NULL,
           "mapping the domain itself: %s", abi_errno(errno));
    expect(t, MUST, xendevicemodel_nr_vcpus(h, a->domid, &n) == 0, "nr_vcpus of the domain: %s",
           abi_errno(errno));
}

/* xentoolcore__restrict_by_dup2_null */
CHECK(restrict_all_takes_grants_away, .judges = HYPERVISOR,
      .proves = "abi.restrict-all-takes-grants-away",
      .title = "After restrict_all a grant handle that was open is useless: ENOTTY")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0);
    xengnttab_handle *h = abi_gnttab(t), *later;

    ABI_OK(t, xentoolcore_restrict_all(a->domid) == 0, "restrict_all");
    ABI_REFUSED(t, "map", abi_map(t, h, a->domid, g.ref, PROT_READ) != NULL, ENOTTY);
    later = abi_gnttab(t);
    expect(t, MUST, abi_map(t, later, a->domid, g.ref, PROT_READ) != NULL,
           "a handle that was opened later: %s", abi_errno(errno));
}
