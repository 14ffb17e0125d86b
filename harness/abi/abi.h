/* SPDX-License-Identifier: MIT */
/*
 * ABI observations: what the libxen libraries promise to a device model in dom0.
 *
 * The checks of this family run in the dom0 agent. They use the public libxen headers only and
 * the agent of one domU through `peer` calls (agent/peer.h), so that the same binary asks a
 * simulated and a real Xen the same questions. What was observed is kept as notes in canonical
 * text ("errno=EINVAL" is note "errno", value "EINVAL"), for a comparison of testbeds side by
 * side; what must be observed is expected, from Xen 4.17 and Linux 6.1.
 *
 * Everything opened through the functions below is given back when the check ends, however it
 * ends, in reverse order; the peer gives back what it holds last.
 */
#ifndef RP_ABI_ABI_H
#define RP_ABI_ABI_H

/* The parts of Xen's public headers that device models need are for "tools" only. */
#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <xen/xen.h>
#include <xendevicemodel.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include "abi/subject.h"
#include "check/check.h"

/* No domain of a test machine has this id (below DOMID_FIRST_RESERVED). */
#define ABI_NO_DOMAIN 32000u

/* Limit for anything that must happen, and how long nothing must happen. */
#define ABI_SOON_MS  5000
#define ABI_QUIET_MS 100

/* The domU, and this check's use of it. Lives until the check has ended. */
struct abi {
    struct check_ctx *t; /* borrowed */
    uint16_t domid;
    unsigned nr_vcpus;
    bool arm;
    char platform[32];
    uint64_t window; /* guest-physical, at least 64 KiB that nobody claims, 64 KiB-aligned */
};

/* Introduce the check to the domU. Ends the check with ERROR when there is none. */
struct abi *abi_begin(struct check_ctx *t);

/*
 * A service call to the domU's agent; `fmt` and the arguments are jansson's pack format for the
 * call's arguments, NULL for none. abi_call ends the check with ERROR when it fails; the value is
 * borrowed and valid until the check has ended. abi_call_errno gives 0 or the (positive) errno
 * that the domU's platform reported, and *value may be NULL.
 */
json_t *abi_call(struct abi *a, const char *call, const char *fmt, ...);
int abi_call_errno(struct abi *a, json_t **value, const char *call, const char *fmt, ...);

/* Members of a reply; ERROR when missing. u64 values travel as strings ("0x..."). */
uint64_t abi_get(struct abi *a, const json_t *value, const char *key);

/* One page of the domU, filled with a byte, granted. */
struct abi_grant {
    uint64_t pages_id; /* the peer's name for the pages */
    uint32_t ref;      /* first of consecutive references */
    uint64_t gfn;      /* of the first page */
};
struct abi_grant abi_grant(struct abi *a, unsigned pages, uint16_t domid, bool readonly,
                           uint8_t pattern);
/* Bit 0: mapped for reading, bit 1: for writing, as the guest sees it in its own table. */
unsigned abi_in_use(struct abi *a, uint32_t ref);
/* Bytes of the peer's pages, at most 256 in one call. */
void abi_peek(struct abi *a, uint64_t pages_id, unsigned offset, void *bytes, unsigned n);
void abi_poke(struct abi *a, uint64_t pages_id, unsigned offset, const void *bytes, unsigned n);

/* Handles, closed at the end. */
xengnttab_handle *abi_gnttab(struct check_ctx *t);
xengntshr_handle *abi_gntshr(struct check_ctx *t);
xenevtchn_handle *abi_evtchn(struct check_ctx *t);
xenforeignmemory_handle *abi_foreign(struct check_ctx *t);
xendevicemodel_handle *abi_dm(struct check_ctx *t);
/* Close one before the end. */
void abi_evtchn_close(struct check_ctx *t, xenevtchn_handle *h);

/* Grant mappings that end with the check. NULL with errno, as the library gives it. */
void *abi_map(struct check_ctx *t, xengnttab_handle *h, uint32_t domid, uint32_t ref, int prot);
void *abi_map_refs(struct check_ctx *t, xengnttab_handle *h, uint32_t count, uint32_t domid,
                   uint32_t *refs, int prot);
/* The mapping ends now. The library's return value. */
int abi_unmap(struct check_ctx *t, xengnttab_handle *h, void *addr, uint32_t count);
/* Foreign mappings that end with the check. */
void *abi_fmap(struct check_ctx *t, xenforeignmemory_handle *h, uint32_t domid, int prot,
               size_t count, const xen_pfn_t *gfns, int *err);

/* "EINVAL"; 0 is "OK". */
const char *abi_errno(int e);
/* Note and expect: the call's `ok` must be false with this errno. */
void abi_expect_refused(struct check_ctx *t, const char *name, bool ok, int got, int want,
                        const char *file, int line);
#define ABI_REFUSED(t, name, ok, want)                                                             \
    do {                                                                                           \
        int abi_ok_ = (ok);                                                                        \
        int abi_errno_ = errno;                                                                    \
        abi_expect_refused(t, name, abi_ok_, abi_errno_, want, __FILE__, __LINE__);                \
    } while (0)
/* Expect success or stop the check: the rest makes no sense. */
#define ABI_OK(t, cond, what)                                                                      \
    do {                                                                                           \
        bool abi_ok_ = (cond);                                                                     \
        int abi_errno_ = errno;                                                                    \
        expect_at(t, MUST, abi_ok_, __FILE__, __LINE__, #cond, "%s failed: %s", what,              \
                  abi_errno(abi_errno_));                                                          \
        if (!abi_ok_)                                                                              \
            stop_check(t);                                                                         \
    } while (0)

/* The next event of a handle: its port, or -1 when none came within the limit. */
int abi_event(struct check_ctx *t, xenevtchn_handle *h, int timeout_ms);

/* Touch one byte of memory that may fault: 0, or the signal that came. */
int abi_touch(volatile uint8_t *p, bool write);

#endif
