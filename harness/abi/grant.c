/* SPDX-License-Identifier: MIT */
/*
 * Grants, from the side that maps them. Sources: Xen 4.17 xen/common/grant_table.c
 * (map_grant_ref, _set_status_v1, unmap_common, acquire_grant_for_copy), Linux 6.1
 * drivers/xen/gntdev.c and gntalloc.c, Xen tools/libs/gnttab/linux.c. Whatever status the
 * hypervisor gives for one reference of a mapping, gntdev turns into EINVAL.
 */
#define CHECK_FAMILY "abi"

#include "abi/abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/grant_table.h>

#define RW (PROT_READ | PROT_WRITE)

static bool all_bytes(const volatile uint8_t *p, size_t n, uint8_t v)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != v)
            return false;
    }
    return true;
}

/* map_grant_ref */
CHECK(grant_map_shares_the_page, .judges = HYPERVISOR, .proves = "abi.grant-map-shares-the-page",
      .title = "A grant mapped read-write is the same memory on both sides")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x5a);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t *p = abi_map(t, h, a->domid, g.ref, RW), got[4];

    ABI_OK(t, p, "mapping");
    expect(t, MUST, all_bytes(p, 4096, 0x5a), "the page does not hold what its owner wrote");
    memcpy(p + 1000, "\x01\x02\x03\x04", 4);
    abi_peek(a, g.pages_id, 1000, got, 4);
    expect(t, MUST, memcmp(got, "\x01\x02\x03\x04", 4) == 0, "the owner does not see the write");
    abi_poke(a, g.pages_id, 4092, "\xaa\xbb\xcc\xdd", 4);
    expect(t, MUST, memcmp(p + 4092, "\xaa\xbb\xcc\xdd", 4) == 0, "the owner's write is not seen");
}

/* _set_status_v1: GTF_reading alone for a read-only mapping */
CHECK(grant_map_readonly_sets_reading_only, .judges = HYPERVISOR,
      .proves = "abi.grant-map-readonly-sets-reading-only",
      .title = "A read-only mapping sets GTF_reading in the owner's table, not GTF_writing")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x11);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t *p;
    unsigned in_use;

    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits before");
    p = abi_map(t, h, a->domid, g.ref, PROT_READ);
    ABI_OK(t, p, "mapping");
    in_use = abi_in_use(a, g.ref);
    note(t, "in-use", "%u", in_use);
    expect_eq(t, MUST, in_use, 1, "in-use bits while mapped read-only");
    expect(t, MUST, all_bytes(p, 4096, 0x11), "the page is not readable as it is");
}

/* _set_status_v1: both bits; unmap_common: GTF_writing goes with the last writable pin */
CHECK(grant_in_use_bits_follow_the_mappings, .judges = HYPERVISOR,
      .proves = "abi.grant-in-use-bits-follow-the-mappings",
      .title = "GTF_writing is cleared with the last writable mapping, GTF_reading with the last")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0);
    xengnttab_handle *h = abi_gnttab(t);
    void *rw, *ro;

    ABI_OK(t, rw = abi_map(t, h, a->domid, g.ref, RW), "mapping");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 3, "in-use bits while mapped read-write");
    ABI_OK(t, ro = abi_map(t, h, a->domid, g.ref, PROT_READ), "second mapping");
    ABI_OK(t, abi_unmap(t, h, rw, 1) == 0, "unmapping");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 1, "in-use bits with the read-only mapping left");
    ABI_OK(t, abi_unmap(t, h, ro, 1) == 0, "unmapping");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits without mappings");
}

/* map_grant_ref: pin counts */
CHECK(grant_map_twice_counts, .judges = HYPERVISOR, .proves = "abi.grant-map-twice-counts",
      .title = "A grant mapped twice is in use until both mappings are gone")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x77);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t *one, *two;

    ABI_OK(t, one = abi_map(t, h, a->domid, g.ref, RW), "mapping");
    ABI_OK(t, two = abi_map(t, h, a->domid, g.ref, RW), "second mapping");
    expect(t, MUST, one != two, "both mappings are at %p", (void *)one);
    one[5] = 1;
    expect_eq(t, MUST, two[5], 1, "byte through the other mapping");
    ABI_OK(t, abi_unmap(t, h, one, 1) == 0, "unmapping");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 3, "in-use bits with one mapping left");
    expect_eq(t, MUST, two[6], 0x77, "byte through the mapping that is left");
    ABI_OK(t, abi_unmap(t, h, two, 1) == 0, "unmapping");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits without mappings");
}

/* More than a pin counter takes. */
#define MAPS_MAX 130u

struct maps {
    xengnttab_handle *h;
    unsigned count;
    uint8_t *va[MAPS_MAX];
};

static void maps_end(void *arg)
{
    struct maps *m = arg;

    while (m->count)
        (void)xengnttab_unmap(m->h, m->va[--m->count], 1);
    free(m);
}

/* map_grant_ref: "risk of counter overflow"; a PV dom0 takes two pins for each mapping */
CHECK(
    grant_maps_are_counted_to_a_limit, .judges = HYPERVISOR,
    .proves = "abi.grant-maps-are-counted-to-a-limit",
    .title = "One reference can be mapped 64 or 128 times at once, and all of them come off again")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x3c);
    struct maps *m = calloc(1, sizeof(*m));
    unsigned taken = 0;
    int err = 0;

    if (!m)
        error_out(t, "out of memory");
    m->h = abi_gnttab(t);
    check_defer(t, maps_end, m);
    while (m->count < MAPS_MAX) {
        errno = 0;
        m->va[m->count] = xengnttab_map_grant_ref(m->h, a->domid, g.ref, RW);
        if (!m->va[m->count]) {
            err = errno;
            break;
        }
        m->count++;
    }
    taken = m->count;
    note(t, "mappings", "%u", taken);
    expect(t, MUST, taken == 64 || taken == 128, "the reference was mapped %u times", taken);
    expect_eq(t, MUST, err, EINVAL, "errno of the one too many");
    if (taken)
        expect_eq(t, MUST, m->va[taken - 1][17], 0x3c, "byte through the last mapping");
    while (m->count)
        ABI_OK(t, xengnttab_unmap(m->h, m->va[--m->count], 1) == 0, "unmapping");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits without mappings");
}

/* _set_status_v1: "Attempt to write-pin a r/o grant entry" */
CHECK(grant_readonly_refuses_write_mapping, .judges = HYPERVISOR,
      .proves = "abi.grant-readonly-refuses-write-mapping",
      .title = "A read-only grant cannot be mapped writable")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, true, 0x22);
    xengnttab_handle *h = abi_gnttab(t);

    ABI_REFUSED(t, "map-rw", abi_map(t, h, a->domid, g.ref, RW) != NULL, EINVAL);
    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits after the refusal");
}

/* map_grant_ref with GNTMAP_readonly */
CHECK(grant_readonly_maps_for_reading, .judges = HYPERVISOR,
      .proves = "abi.grant-readonly-maps-for-reading",
      .title = "A read-only grant can be mapped for reading, and a write through it faults")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, true, 0x22);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t *p = abi_map(t, h, a->domid, g.ref, PROT_READ), got;

    ABI_OK(t, p, "mapping");
    expect_eq(t, MUST, p[100], 0x22, "byte read");
    expect(t, MUST, abi_touch(p + 100, true) != 0, "a write did not fault");
    abi_peek(a, g.pages_id, 100, &got, 1);
    expect_eq(t, MUST, got, 0x22, "byte of the owner after the write");
}

/* _set_status_v1: "Bad flags or dom" */
CHECK(grant_of_another_domain_refused, .judges = HYPERVISOR,
      .proves = "abi.grant-of-another-domain-refused",
      .title = "A grant made for another domain cannot be mapped")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, ABI_NO_DOMAIN, false, 0);
    xengnttab_handle *h = abi_gnttab(t);

    ABI_REFUSED(t, "map", abi_map(t, h, a->domid, g.ref, PROT_READ) != NULL, EINVAL);
}

/* _set_status_v1: the flags of an entry that was never filled */
CHECK(grant_reserved_reference_refused, .judges = HYPERVISOR,
      .proves = "abi.grant-reserved-reference-refused",
      .title = "A reserved reference that the toolstack did not fill cannot be mapped")
{
    struct abi *a = abi_begin(t);
    xengnttab_handle *h = abi_gnttab(t);

    ABI_REFUSED(t, "map-ref-7", abi_map(t, h, a->domid, 7, PROT_READ) != NULL, EINVAL);
}

/* tools/libs/guest/xg_dom_boot.c xc_dom_gnttab_seed: GNTTAB_RESERVED_XENSTORE for dom0 */
CHECK(grant_xenstore_reference_is_dom0s, .judges = TOOLSTACK,
      .proves = "abi.grant-xenstore-reference-is-dom0s",
      .title = "Reference 1 of a domU grants its xenstore ring to the store's domain")
{
    struct abi *a = abi_begin(t);
    xengnttab_handle *h = abi_gnttab(t);
    void *p = abi_map(t, h, a->domid, GNTTAB_RESERVED_XENSTORE, RW);

    ABI_OK(t, p, "mapping the ring");
}

/* map_grant_ref: "Bad ref" */
CHECK(grant_reference_beyond_table_refused, .judges = HYPERVISOR,
      .proves = "abi.grant-reference-beyond-table-refused",
      .title = "A reference beyond the owner's table cannot be mapped")
{
    struct abi *a = abi_begin(t);
    xengnttab_handle *h = abi_gnttab(t);

    ABI_REFUSED(t, "map-0x0fffff00", abi_map(t, h, a->domid, 0x0fffff00, PROT_READ) != NULL,
                EINVAL);
    ABI_REFUSED(t, "map-0xffffffff", abi_map(t, h, a->domid, 0xffffffff, PROT_READ) != NULL,
                EINVAL);
}

CHECK(grant_revoked_refused, .judges = HYPERVISOR, .proves = "abi.grant-revoked-refused",
      .title = "A reference that its owner revoked cannot be mapped")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0);
    xengnttab_handle *h = abi_gnttab(t);

    abi_call(a, "grant.revoke", "{s:I}", "ref", (json_int_t)g.ref);
    ABI_REFUSED(t, "map", abi_map(t, h, a->domid, g.ref, PROT_READ) != NULL, EINVAL);
}

/* map_grant_ref: GNTST_bad_domain */
CHECK(grant_of_no_domain_refused, .judges = HYPERVISOR, .proves = "abi.grant-of-no-domain-refused",
      .title = "A reference of a domain that does not exist cannot be mapped")
{
    xengnttab_handle *h = abi_gnttab(t);

    ABI_REFUSED(t, "map", abi_map(t, h, ABI_NO_DOMAIN, 8, PROT_READ) != NULL, EINVAL);
}

/* Linux drivers/xen/grant-table.c gnttab_end_foreign_access_ref */
CHECK(grant_revoke_while_mapped_is_busy, .judges = HYPERVISOR,
      .proves = "abi.grant-revoke-while-mapped-is-busy",
      .title = "The owner cannot revoke what is mapped, and can after the unmapping")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0);
    xengnttab_handle *h = abi_gnttab(t);
    void *p = abi_map(t, h, a->domid, g.ref, RW);
    json_t *v;
    int err;

    ABI_OK(t, p, "mapping");
    err = abi_call_errno(a, &v, "grant.revoke", "{s:I}", "ref", (json_int_t)g.ref);
    note(t, "revoke-mapped", "%s", abi_errno(err));
    expect_eq(t, MUST, err, EBUSY, "errno of the revocation while mapped");
    if (err == 0)
        return; /* it is gone: there is nothing left to revoke */
    ABI_OK(t, abi_unmap(t, h, p, 1) == 0, "unmapping");
    err = abi_call_errno(a, &v, "grant.revoke", "{s:I}", "ref", (json_int_t)g.ref);
    expect_eq(t, MUST, err, 0, "errno of the revocation after unmapping");
}

/* osdep_gnttab_grant_map: one mmap, pages in the order of the references */
CHECK(grant_map_several_in_given_order, .judges = HYPERVISOR,
      .proves = "abi.grant-map-several-in-given-order",
      .title = "Several references become one range, in the order they were given")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g[3] = {abi_grant(a, 1, 0, false, 0xa1), abi_grant(a, 1, 0, false, 0xa2),
                             abi_grant(a, 1, 0, false, 0xa3)};
    uint32_t refs[3] = {g[2].ref, g[0].ref, g[1].ref};
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t *p = abi_map_refs(t, h, 3, a->domid, refs, RW);

    ABI_OK(t, p, "mapping");
    expect_eq(t, MUST, p[0], 0xa3, "first byte of the first page");
    expect_eq(t, MUST, p[4095], 0xa3, "last byte of the first page");
    expect_eq(t, MUST, p[4096], 0xa1, "first byte of the second page");
    expect_eq(t, MUST, p[8192], 0xa2, "first byte of the third page");
    ABI_OK(t, abi_unmap(t, h, p, 3) == 0, "unmapping");
    for (int i = 0; i < 3; i++)
        expect_eq(t, MUST, abi_in_use(a, g[i].ref), 0, "in-use bits after unmapping");
}

/* xengnttab_map_grant_refs: a domain id for each reference, strided */
CHECK(grant_map_refs_takes_a_domid_each, .judges = HYPERVISOR,
      .proves = "abi.grant-map-refs-takes-a-domid-each",
      .title = "xengnttab_map_grant_refs maps references of several domains into one range")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0xb1);
    xengnttab_handle *h = abi_gnttab(t);
    xengntshr_handle *s = abi_gntshr(t);
    uint32_t own_ref, domids[2], refs[2];
    uint8_t *own = xengntshr_share_pages(s, 0, 1, &own_ref, 1), *p;

    ABI_OK(t, own, "sharing a page of dom0");
    own[0] = 0xb2;
    domids[0] = 0;
    domids[1] = a->domid;
    refs[0] = own_ref;
    refs[1] = g.ref;
    p = xengnttab_map_grant_refs(h, 2, domids, refs, RW);
    if (p) {
        expect_eq(t, MUST, p[0], 0xb2, "byte of dom0's page");
        expect_eq(t, MUST, p[4096], 0xb1, "byte of the domU's page");
        expect(t, MUST, xengnttab_unmap(h, p, 2) == 0, "unmapping: %s", abi_errno(errno));
    } else {
        expect(t, MUST, p != NULL, "mapping: %s", abi_errno(errno));
    }
    expect(t, MUST, xengntshr_unshare(s, own, 1) == 0, "unsharing: %s", abi_errno(errno));
}

/* gntdev_mmap: a failure of one page undoes the others */
CHECK(grant_map_several_all_or_nothing, .judges = HYPERVISOR,
      .proves = "abi.grant-map-several-all-or-nothing",
      .title = "One bad reference makes the whole mapping fail and leaves none of it in use")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 2, 0, false, 0xc0);
    uint32_t refs[3] = {g.ref, 0x0fffff00, g.ref + 1};
    xengnttab_handle *h = abi_gnttab(t);

    ABI_REFUSED(t, "map", abi_map_refs(t, h, 3, a->domid, refs, RW) != NULL, EINVAL);
    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits of the first reference");
    expect_eq(t, MUST, abi_in_use(a, g.ref + 1), 0, "in-use bits of the last reference");
}

/* gntdev_ioctl_get_offset_for_vaddr: no mapping of gntdev there any more */
CHECK(grant_unmap_twice_refused, .judges = HYPERVISOR, .proves = "abi.grant-unmap-twice-refused",
      .title = "Unmapping a second time is refused with EINVAL")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0);
    xengnttab_handle *h = abi_gnttab(t);
    void *p = abi_map(t, h, a->domid, g.ref, RW);

    ABI_OK(t, p, "mapping");
    ABI_OK(t, abi_unmap(t, h, p, 1) == 0, "unmapping");
    ABI_REFUSED(t, "unmap-again", xengnttab_unmap(h, p, 1) == 0, EINVAL);
    ABI_REFUSED(t, "unmap-null", xengnttab_unmap(h, NULL, 1) == 0, EINVAL);
}

/* osdep_gnttab_unmap: get_offset.count != count */
CHECK(grant_unmap_in_part_refused, .judges = HYPERVISOR,
      .proves = "abi.grant-unmap-in-part-refused",
      .title = "A mapping cannot be unmapped with another count than it was made with")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 2, 0, false, 0xd0);
    uint32_t refs[2] = {g.ref, g.ref + 1};
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t *p = abi_map_refs(t, h, 2, a->domid, refs, RW);

    ABI_OK(t, p, "mapping");
    ABI_REFUSED(t, "unmap-1-of-2", xengnttab_unmap(h, p, 1) == 0, EINVAL);
    expect_eq(t, MUST, p[4096], 0xd0, "byte of the second page after the refusal");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 3, "in-use bits after the refusal");
}

/* ---- copy ---- */

static xengnttab_grant_copy_segment_t copy_from(uint32_t ref, uint16_t domid, unsigned offset,
                                                void *to, unsigned len)
{
    xengnttab_grant_copy_segment_t s = {.len = (uint16_t)len, .flags = GNTCOPY_source_gref};

    s.source.foreign.ref = ref;
    s.source.foreign.domid = domid;
    s.source.foreign.offset = (uint16_t)offset;
    s.dest.virt = to;
    s.status = 1; /* no status of Xen */
    return s;
}

static xengnttab_grant_copy_segment_t copy_to(void *from, uint32_t ref, uint16_t domid,
                                              unsigned offset, unsigned len)
{
    xengnttab_grant_copy_segment_t s = {.len = (uint16_t)len, .flags = GNTCOPY_dest_gref};

    s.source.virt = from;
    s.dest.foreign.ref = ref;
    s.dest.foreign.domid = domid;
    s.dest.foreign.offset = (uint16_t)offset;
    s.status = 1;
    return s;
}

CHECK(grant_copy_from_guest, .judges = HYPERVISOR, .proves = "abi.grant-copy-from-guest",
      .title = "A copy from a grant takes exactly the bytes asked for and leaves nothing in use")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, true, 0x31);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t buf[64];
    xengnttab_grant_copy_segment_t s;

    memset(buf, 0xee, sizeof(buf));
    abi_poke(a, g.pages_id, 4091, "\x01\x02\x03\x04\x05", 5);
    s = copy_from(g.ref, a->domid, 4089, buf + 3, 7);
    ABI_OK(t, xengnttab_grant_copy(h, 1, &s) == 0, "grant copy");
    note(t, "status", "%d", s.status);
    expect_eq(t, MUST, s.status, GNTST_okay, "status");
    expect(t, MUST, memcmp(buf, "\xee\xee\xee\x31\x31\x01\x02\x03\x04\x05\xee", 11) == 0,
           "the buffer holds other bytes");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits after the copy");
}

CHECK(grant_copy_to_guest, .judges = HYPERVISOR, .proves = "abi.grant-copy-to-guest",
      .title = "A copy to a grant changes exactly the bytes asked for and leaves nothing in use")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x32);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t out[8];
    xengnttab_grant_copy_segment_t s = copy_to("WXYZ", g.ref, a->domid, 2001, 4);

    ABI_OK(t, xengnttab_grant_copy(h, 1, &s) == 0, "grant copy");
    expect_eq(t, MUST, s.status, GNTST_okay, "status");
    abi_peek(a, g.pages_id, 1999, out, 8);
    expect(t, MUST, memcmp(out, "\x32\x32WXYZ\x32\x32", 8) == 0, "the page holds other bytes");
    expect_eq(t, MUST, abi_in_use(a, g.ref), 0, "in-use bits after the copy");
}

CHECK(grant_copy_between_grants, .judges = HYPERVISOR, .proves = "abi.grant-copy-between-grants",
      .title = "Source and destination of a copy may both be grants")
{
    struct abi *a = abi_begin(t);
    struct abi_grant from = abi_grant(a, 1, 0, true, 0x33), to = abi_grant(a, 1, 0, false, 0x34);
    xengnttab_handle *h = abi_gnttab(t);
    xengnttab_grant_copy_segment_t s = copy_from(from.ref, a->domid, 10, NULL, 3000);
    uint8_t out[2];

    s.flags |= GNTCOPY_dest_gref;
    s.dest.foreign.ref = to.ref;
    s.dest.foreign.domid = a->domid;
    s.dest.foreign.offset = 1000;
    ABI_OK(t, xengnttab_grant_copy(h, 1, &s) == 0, "grant copy");
    expect_eq(t, MUST, s.status, GNTST_okay, "status");
    abi_peek(a, to.pages_id, 999, out, 2);
    expect(t, MUST, out[0] == 0x34 && out[1] == 0x33, "the copy does not begin at 1000");
    abi_peek(a, to.pages_id, 3999, out, 2);
    expect(t, MUST, out[0] == 0x33 && out[1] == 0x34, "the copy does not end at 3999");
}

/* gntdev_grant_copy_seg splits a local buffer at page boundaries */
CHECK(grant_copy_local_buffer_spans_pages, .judges = HYPERVISOR,
      .proves = "abi.grant-copy-local-buffer-spans-pages",
      .title = "The local side of a copy may span pages")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x35);
    xengnttab_handle *h = abi_gnttab(t);
    _Alignas(4096) uint8_t buf[2 * 4096];
    xengnttab_grant_copy_segment_t s = copy_from(g.ref, a->domid, 0, buf + 2000, 4096);

    memset(buf, 0, sizeof(buf));
    ABI_OK(t, xengnttab_grant_copy(h, 1, &s) == 0, "grant copy");
    expect_eq(t, MUST, s.status, GNTST_okay, "status");
    expect(t, MUST, all_bytes(buf + 2000, 4096, 0x35), "the copy is not whole");
    expect(t, MUST, all_bytes(buf, 2000, 0) && all_bytes(buf + 6096, sizeof(buf) - 6096, 0),
           "the copy left its buffer");
}

/* gntdev_grant_copy_seg: "Can't cross page if source/dest is a grant ref" */
CHECK(grant_copy_across_page_refused, .judges = HYPERVISOR,
      .proves = "abi.grant-copy-across-page-refused",
      .title = "A copy that leaves the granted page is refused with EINVAL")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 2, 0, false, 0x36);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t buf[200] = {0};
    xengnttab_grant_copy_segment_t s = copy_from(g.ref, a->domid, 4000, buf, 97);

    ABI_REFUSED(t, "from-4000+97", xengnttab_grant_copy(h, 1, &s) == 0, EINVAL);
    expect(t, MUST, all_bytes(buf, sizeof(buf), 0), "bytes were copied all the same");
    s = copy_to(buf, g.ref, a->domid, 4000, 97);
    ABI_REFUSED(t, "to-4000+97", xengnttab_grant_copy(h, 1, &s) == 0, EINVAL);
    s = copy_from(g.ref, a->domid, 4000, buf, 96);
    expect(t, MUST, xengnttab_grant_copy(h, 1, &s) == 0 && s.status == GNTST_okay,
           "a copy up to the end of the page failed");
}

/* gnttab_copy_one, per operation; gntdev_copy hands the statuses on and goes on */
CHECK(grant_copy_status_of_each_segment, .judges = HYPERVISOR,
      .proves = "abi.grant-copy-status-of-each-segment",
      .title = "A segment that fails has its own status, and the others are copied")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x37),
                     other = abi_grant(a, 1, ABI_NO_DOMAIN, false, 0x38);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t buf[5][16];
    xengnttab_grant_copy_segment_t s[5] = {
        copy_from(g.ref, a->domid, 0, buf[0], 16),
        copy_from(0x0fffff00, a->domid, 0, buf[1], 16),
        copy_from(other.ref, a->domid, 0, buf[2], 16),
        copy_from(g.ref, ABI_NO_DOMAIN, 0, buf[3], 16),
        copy_from(g.ref, a->domid, 16, buf[4], 16),
    };

    memset(buf, 0, sizeof(buf));
    ABI_OK(t, xengnttab_grant_copy(h, 5, s) == 0, "grant copy");
    for (int i = 0; i < 5; i++) {
        char name[16];

        name[0] = 's';
        name[1] = (char)('0' + i);
        name[2] = '\0';
        note(t, name, "%d", s[i].status);
    }
    expect_eq(t, MUST, s[0].status, GNTST_okay, "status of a good segment");
    expect_eq(t, MUST, s[1].status, GNTST_bad_gntref, "status for a reference beyond the table");
    expect_eq(t, MUST, s[2].status, GNTST_general_error, "status for another domain's grant");
    expect_eq(t, MUST, s[3].status, GNTST_bad_domain, "status for a domain that does not exist");
    expect_eq(t, MUST, s[4].status, GNTST_okay, "status of a good segment behind bad ones");
    expect(t, MUST, all_bytes(buf[0], 16, 0x37) && all_bytes(buf[4], 16, 0x37),
           "the good segments were not copied");
    expect(t, MUST, all_bytes(buf[1], 48, 0), "a bad segment was copied");
}

CHECK(grant_copy_to_readonly_refused, .judges = HYPERVISOR,
      .proves = "abi.grant-copy-to-readonly-refused",
      .title = "A copy to a read-only grant has the status GNTST_general_error and no effect")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, true, 0x39);
    xengnttab_handle *h = abi_gnttab(t);
    xengnttab_grant_copy_segment_t s = copy_to("evil", g.ref, a->domid, 0, 4);
    uint8_t out[4];

    ABI_OK(t, xengnttab_grant_copy(h, 1, &s) == 0, "grant copy");
    note(t, "status", "%d", s.status);
    expect_eq(t, MUST, s.status, GNTST_general_error, "status");
    abi_peek(a, g.pages_id, 0, out, 4);
    expect(t, MUST, all_bytes(out, 4, 0x39), "the page was changed");
}

/* ---- notification when a mapping ends ---- */

/* __unmap_grant_pages: UNMAP_NOTIFY_CLEAR_BYTE */
CHECK(grant_unmap_clears_the_notify_byte, .judges = HYPERVISOR,
      .proves = "abi.grant-unmap-clears-the-notify-byte",
      .title = "A mapping with a notify offset clears that byte, and no other, when it ends")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x41);
    xengnttab_handle *h = abi_gnttab(t);
    uint8_t *p = xengnttab_map_grant_ref_notify(h, a->domid, g.ref, RW, 77, (evtchn_port_t)-1),
            out[3];

    ABI_OK(t, p, "mapping with a notify offset");
    abi_peek(a, g.pages_id, 76, out, 3);
    expect(t, MUST, all_bytes(out, 3, 0x41), "the byte changed before the unmapping");
    expect(t, MUST, xengnttab_unmap(h, p, 1) == 0, "unmapping: %s", abi_errno(errno));
    abi_peek(a, g.pages_id, 76, out, 3);
    expect(t, MUST, out[0] == 0x41 && out[1] == 0 && out[2] == 0x41,
           "bytes 76 to 78 are %02x %02x %02x after the unmapping", out[0], out[1], out[2]);
}

/* gntdev_put_map: UNMAP_NOTIFY_SEND_EVENT */
CHECK(grant_unmap_sends_the_notify_event, .judges = HYPERVISOR,
      .proves = "abi.grant-unmap-sends-the-notify-event",
      .title = "A mapping with a notify port sends an event when it ends")
{
    struct abi *a = abi_begin(t);
    struct abi_grant g = abi_grant(a, 1, 0, false, 0x42);
    xengnttab_handle *h = abi_gnttab(t);
    xenevtchn_handle *far = abi_evtchn(t), *near = abi_evtchn(t);
    int far_port = xenevtchn_bind_unbound_port(far, 0);
    int near_port = xenevtchn_bind_interdomain(near, 0, (evtchn_port_t)far_port);
    uint8_t *p;
    int got;

    if (far_port < 0 || near_port < 0)
        error_out(t, "no event channel: %s", strerror(errno));
    p = xengnttab_map_grant_ref_notify(h, a->domid, g.ref, RW, (uint32_t)-1,
                                       (evtchn_port_t)near_port);
    ABI_OK(t, p, "mapping with a notify port");
    expect_eq(t, MUST, abi_event(t, far, ABI_QUIET_MS), -1, "event before the unmapping");
    expect(t, MUST, xengnttab_unmap(h, p, 1) == 0, "unmapping: %s", abi_errno(errno));
    got = abi_event(t, far, ABI_SOON_MS);
    expect_eq(t, MUST, got, far_port, "port of the event after the unmapping");
}

/* ---- sharing dom0's own pages ---- */

CHECK(gntshr_pages_map_back, .judges = HYPERVISOR, .proves = "abi.gntshr-pages-map-back",
      .title = "Pages that dom0 shares with itself map back as the same memory")
{
    xengntshr_handle *s = abi_gntshr(t);
    xengnttab_handle *h = abi_gnttab(t);
    uint32_t refs[2] = {0, 0};
    uint8_t *own = xengntshr_share_pages(s, 0, 2, refs, 1), *p;

    ABI_OK(t, own, "sharing");
    expect(t, MUST, all_bytes(own, 8192, 0), "shared pages are not zeroed");
    expect(t, MUST, refs[0] >= 8 && refs[1] >= 8 && refs[0] != refs[1],
           "references %u and %u: reserved, or the same", refs[0], refs[1]);
    p = abi_map_refs(t, h, 2, 0, refs, RW);
    if (p) {
        own[4096] = 0x51;
        expect_eq(t, MUST, p[4096], 0x51, "byte through the mapping");
        p[1] = 0x52;
        expect_eq(t, MUST, own[1], 0x52, "byte through the shared page");
        expect(t, MUST, abi_unmap(t, h, p, 2) == 0, "unmapping: %s", abi_errno(errno));
    } else {
        expect(t, MUST, p != NULL, "mapping: %s", abi_errno(errno));
    }
    expect(t, MUST, xengntshr_unshare(s, own, 2) == 0, "unsharing: %s", abi_errno(errno));
}

CHECK(gntshr_readonly_refuses_write_mapping, .judges = HYPERVISOR,
      .proves = "abi.gntshr-readonly-refuses-write-mapping",
      .title = "A page shared read-only cannot be mapped writable")
{
    xengntshr_handle *s = abi_gntshr(t);
    xengnttab_handle *h = abi_gnttab(t);
    uint32_t ref = 0;
    uint8_t *own = xengntshr_share_pages(s, 0, 1, &ref, 0);

    ABI_OK(t, own, "sharing");
    own[0] = 0x53;
    ABI_REFUSED(t, "map-rw", abi_map(t, h, 0, ref, RW) != NULL, EINVAL);
    expect(t, MUST, xengntshr_unshare(s, own, 1) == 0, "unsharing: %s", abi_errno(errno));
}

CHECK(gntshr_unshare_ends_access, .judges = HYPERVISOR, .proves = "abi.gntshr-unshare-ends-access",
      .title = "After unsharing, the reference cannot be mapped")
{
    xengntshr_handle *s = abi_gntshr(t);
    xengnttab_handle *h = abi_gnttab(t);
    uint32_t ref = 0;
    void *own = xengntshr_share_pages(s, 0, 1, &ref, 1);

    ABI_OK(t, own, "sharing");
    ABI_OK(t, xengntshr_unshare(s, own, 1) == 0, "unsharing");
    ABI_REFUSED(t, "map", abi_map(t, h, 0, ref, PROT_READ) != NULL, EINVAL);
}
