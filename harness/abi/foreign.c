/* SPDX-License-Identifier: MIT */
/*
 * Foreign mapping. Sources: Xen tools/libs/foreignmemory/{core,linux}.c, Linux 6.1
 * drivers/xen/privcmd.c (privcmd_ioctl_mmap_batch, privcmd_fault), Xen 4.17
 * xen/common/memory.c and the p2m code: a frame that is no memory is EINVAL, a domain that does
 * not exist ESRCH, and a page's error is a negative errno.
 */
#define CHECK_FAMILY "abi"

#include "abi/abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RW (PROT_READ | PROT_WRITE)

/* Beyond the memory of any guest, within the width of every p2m. */
#define BAD_GFN ((xen_pfn_t)0xfffff000)

/* Pages of the domU that nobody granted: their name and their frames. */
static uint64_t guest_pages(struct abi *a, unsigned n, uint8_t pattern, xen_pfn_t *gfns)
{
    json_t *v = abi_call(a, "pages.alloc", "{s:i,s:i}", "pages", (int)n, "pattern", (int)pattern);
    const json_t *list = json_object_get(v, "gfns");

    for (unsigned i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        if (!text)
            error_out(a->t, "pages.alloc gave no frame %u", i);
        gfns[i] = strtoull(text, NULL, 16);
    }
    return abi_get(a, v, "id");
}

CHECK(foreign_map_shares_the_page, .judges = HYPERVISOR,
      .proves = "abi.foreign-map-shares-the-page",
      .title = "A foreign page mapped read-write is the same memory on both sides")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t gfn;
    uint64_t id = guest_pages(a, 1, 0x61, &gfn);
    uint8_t *p = abi_fmap(t, h, a->domid, RW, 1, &gfn, NULL), out[2];

    ABI_OK(t, p, "mapping");
    expect_eq(t, MUST, p[4095], 0x61, "last byte of the page");
    p[17] = 0x62;
    abi_peek(a, id, 16, out, 2);
    expect(t, MUST, out[0] == 0x61 && out[1] == 0x62, "the owner sees %02x %02x", out[0], out[1]);
    abi_poke(a, id, 0, "\x63", 1);
    expect_eq(t, MUST, p[0], 0x63, "byte that the owner wrote");
}

CHECK(foreign_map_several_in_given_order, .judges = HYPERVISOR,
      .proves = "abi.foreign-map-several-in-given-order",
      .title = "Several frames become one range, in the order they were given, repeated ones too")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t g[2], order[3];
    int err[3] = {1, 1, 1};
    uint8_t *p;

    guest_pages(a, 1, 0x71, &g[0]);
    guest_pages(a, 1, 0x72, &g[1]);
    order[0] = g[1];
    order[1] = g[0];
    order[2] = g[1];
    ABI_OK(t, p = abi_fmap(t, h, a->domid, RW, 3, order, err), "mapping");
    for (int i = 0; i < 3; i++)
        expect_eq(t, MUST, err[i], 0, "error of a good page");
    expect_eq(t, MUST, p[0], 0x72, "first page");
    expect_eq(t, MUST, p[4096], 0x71, "second page");
    p[5] = 0x73;
    expect_eq(t, MUST, p[8192 + 5], 0x73, "byte through the second mapping of a frame");
}

CHECK(foreign_map_error_of_each_page, .judges = HYPERVISOR,
      .proves = "abi.foreign-map-error-of-each-page",
      .title = "With an error array a bad frame has -EINVAL there, and the other pages are mapped")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t g[3], beyond;
    int err[3] = {1, 1, 1}, far_err = 1;
    uint8_t *p, *far;

    guest_pages(a, 1, 0x74, &g[0]);
    g[1] = BAD_GFN;
    guest_pages(a, 1, 0x75, &g[2]);
    p = abi_fmap(t, h, a->domid, RW, 3, g, err);
    ABI_OK(t, p, "mapping in part");
    note(t, "bad-page", "%d", err[1]);
    expect_eq(t, MUST, err[0], 0, "error of the first page");
    expect_eq(t, MUST, err[1], -EINVAL, "error of the bad page");
    expect_eq(t, MUST, err[2], 0, "error of the last page");
    expect_eq(t, MUST, p[0], 0x74, "first page");
    expect_eq(t, MUST, p[8192], 0x75, "last page");
    /* A PV dom0 drops what does not fit into a page table entry: the first page again, not an
     * error. Nobody promises it, so it is observed alone. */
    beyond = g[0] | (xen_pfn_t)1 << 44;
    far = abi_fmap(t, h, a->domid, RW, 1, &beyond, &far_err);
    note(t, "beyond-40-bits", "%s", !far || far_err ? "refused" : far[0] == 0x74 ? "wraps" : "?");
}

/* privcmd_fault: VM_FAULT_SIGBUS */
CHECK(foreign_bad_page_faults, .judges = HYPERVISOR, .proves = "abi.foreign-bad-page-faults",
      .title = "Touching a page that could not be mapped is a fault, not somebody's memory")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t g[2];
    int err[2], sig;
    uint8_t *p;

    guest_pages(a, 1, 0x76, &g[0]);
    g[1] = BAD_GFN;
    ABI_OK(t, p = abi_fmap(t, h, a->domid, RW, 2, g, err), "mapping in part");
    /* The page behind the address is not in the physical map, and Linux answers an abort that it
     * cannot name with a SIGKILL. */
    if (a->arm)
        skip_check(t, "on Arm the fault cannot be survived");
    sig = abi_touch(p + 4096, false);
    note(t, "read", "%s", sig ? "fault" : "OK");
    expect(t, MUST, sig != 0, "a read did not fault");
    expect(t, MUST, abi_touch(p + 4096, true) != 0, "a write did not fault");
    expect_eq(t, MUST, abi_touch(p, true), 0, "signal of a write to the good page");
}

/* xenforeignmemory_map2: errno = -err[i] */
CHECK(foreign_map_without_error_array, .judges = HYPERVISOR,
      .proves = "abi.foreign-map-without-error-array",
      .title = "Without an error array one bad frame makes the whole mapping fail with EINVAL")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t g[2];

    guest_pages(a, 1, 0x77, &g[0]);
    g[1] = BAD_GFN;
    ABI_REFUSED(t, "map", abi_fmap(t, h, a->domid, RW, 2, g, NULL) != NULL, EINVAL);
}

CHECK(foreign_map_of_no_domain_refused, .judges = HYPERVISOR,
      .proves = "abi.foreign-map-of-no-domain-refused",
      .title = "Mapping a domain that does not exist fails with ESRCH, a page's error is -ESRCH")
{
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t gfn = 0x100;
    int err = 1;
    void *p;

    ABI_REFUSED(t, "map", abi_fmap(t, h, ABI_NO_DOMAIN, RW, 1, &gfn, NULL) != NULL, ESRCH);
    p = abi_fmap(t, h, ABI_NO_DOMAIN, RW, 1, &gfn, &err);
    note(t, "map-err", "%s %d", p ? "mapping" : "NULL", err);
    expect(t, MUST, p == NULL || err == -ESRCH, "the page's error is %d", err);
}

CHECK(foreign_map_of_nothing_refused, .judges = HYPERVISOR,
      .proves = "abi.foreign-map-of-nothing-refused",
      .title = "Mapping zero pages fails with EINVAL")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t gfn = 0;

    ABI_REFUSED(t, "map-0", xenforeignmemory_map(h, a->domid, RW, 0, &gfn, NULL) != NULL, EINVAL);
}

CHECK(foreign_map_readonly_is_readonly, .judges = HYPERVISOR,
      .proves = "abi.foreign-map-readonly-is-readonly",
      .title = "A page mapped for reading can be read; a write faults and changes nothing")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t gfn;
    uint64_t id = guest_pages(a, 1, 0x78, &gfn);
    uint8_t *p = abi_fmap(t, h, a->domid, PROT_READ, 1, &gfn, NULL), out;

    ABI_OK(t, p, "mapping");
    expect_eq(t, MUST, p[3], 0x78, "byte");
    expect(t, MUST, abi_touch(p + 3, true) != 0, "a write did not fault");
    abi_peek(a, id, 3, &out, 1);
    expect_eq(t, MUST, out, 0x78, "byte after the write");
}

CHECK(foreign_unmap_ends_access, .judges = HYPERVISOR, .proves = "abi.foreign-unmap-ends-access",
      .title = "After unmapping, an access faults; another mapping of the frame stays")
{
    struct abi *a = abi_begin(t);
    xenforeignmemory_handle *h = abi_foreign(t);
    xen_pfn_t gfn;
    uint8_t *one, *two;

    guest_pages(a, 1, 0x79, &gfn);
    one = xenforeignmemory_map(h, a->domid, RW, 1, &gfn, NULL);
    ABI_OK(t, one, "mapping");
    two = abi_fmap(t, h, a->domid, RW, 1, &gfn, NULL);
    ABI_OK(t, two, "second mapping");
    ABI_OK(t, xenforeignmemory_unmap(h, one, 1) == 0, "unmapping");
    expect(t, MUST, abi_touch(one, false) != 0, "a read after unmapping did not fault");
    expect_eq(t, MUST, two[9], 0x79, "byte through the other mapping");
}
