/* SPDX-License-Identifier: MIT */
/*
 * A guest's accesses as an IOREQ server sees them, and interrupts back. Sources: Xen 4.17
 * xen/common/ioreq.c (ioreq_server_select, ioreq_send, wait_for_io), xen/arch/x86/hvm/emulate.c
 * and xen/arch/arm/ioreq.c (try_fwd_ioserv), xen/arch/x86/hvm/dm.c (set_pci_intx_level),
 * xen/arch/x86/hvm/irq.c. The two observations about a destroyed server were measured on 4.17.
 */
#define CHECK_FAMILY "abi"

#include "abi/abi.h"
#include "abi/dm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t mask_of(unsigned bytes)
{
    return bytes == 8 ? UINT64_MAX : (1ull << (8 * bytes)) - 1;
}

/* The end of an access that has to come. */
static uint64_t access_value(struct abi *a, uint64_t access, int want_err)
{
    uint64_t value = 0;
    int err = 0;

    if (!dm_access_end(a, access, ABI_SOON_MS, &value, &err)) {
        expect(a->t, MUST, false, "the vCPU still waits");
        stop_check(a->t);
    }
    expect_eq(a->t, MUST, err, want_err, "errno of the access");
    return value;
}

CHECK(mmio_read_of_each_width, .judges = HYPERVISOR, .proves = "abi.mmio-read-of-each-width",
      .title = "A read arrives as one COPY request with its address and size; the answer is "
               "truncated to the size (x86)")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_serving(a);

    for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
        uint64_t addr = a->window + 0x118, answer = 0x8877665544332211ull, value;
        uint64_t access = dm_read_start(a, 0, addr, bytes);
        ioreq_t r = *dm_request(d, 0);
        char name[16];

        snprintf(name, sizeof(name), "read-%u", bytes);
        note(t, name, "type=%u size=%u count=%u dir=%u ptr=%u", r.type, r.size, r.count, r.dir,
             r.data_is_ptr);
        expect_eq(t, MUST, r.addr, addr, "address");
        expect_eq(t, MUST, r.size, bytes, "size");
        expect_eq(t, MUST, r.count, 1, "count");
        expect_eq(t, MUST, r.dir, IOREQ_READ, "direction");
        expect_eq(t, MUST, r.type, IOREQ_TYPE_COPY, "type");
        expect_eq(t, MUST, r.data_is_ptr, 0, "data_is_ptr");
        dm_respond(d, 0, answer);
        value = access_value(a, access, 0);
        expect_eq(t, MUST, value & mask_of(bytes), answer & mask_of(bytes),
                  "value that the guest read");
        /* Xen on Arm puts the answer into the register whole: a server has to truncate it. */
        snprintf(name, sizeof(name), "value-%u", bytes);
        note(t, name, "0x%" PRIx64, value);
        if (!a->arm)
            expect_eq(t, MUST, value & ~mask_of(bytes), 0, "what is beyond the width");
    }
}

CHECK(mmio_write_of_each_width, .judges = HYPERVISOR, .proves = "abi.mmio-write-of-each-width",
      .title = "A write arrives as one COPY request that carries the data")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_serving(a);

    for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
        uint64_t addr = a->window + 0x200, data = 0xf1e2d3c4b5a69788ull & mask_of(bytes);
        uint64_t access = dm_write_start(a, 0, addr, bytes, data);
        ioreq_t r = *dm_request(d, 0);

        expect_eq(t, MUST, r.addr, addr, "address");
        expect_eq(t, MUST, r.size, bytes, "size");
        expect_eq(t, MUST, r.count, 1, "count");
        expect_eq(t, MUST, r.dir, IOREQ_WRITE, "direction");
        expect_eq(t, MUST, r.type, IOREQ_TYPE_COPY, "type");
        expect_eq(t, MUST, r.data_is_ptr, 0, "data_is_ptr");
        expect_eq(t, MUST, r.data & mask_of(bytes), data, "data");
        dm_respond(d, 0, 0);
        access_value(a, access, 0);
    }
}

/* wait_for_io: STATE_IORESP_READY -> STATE_IOREQ_NONE */
CHECK(mmio_slot_returns_to_none, .judges = HYPERVISOR, .proves = "abi.mmio-slot-returns-to-none",
      .title = "The guest waits for RESP_READY, and leaves its slot in state NONE")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_serving(a);
    uint64_t access = dm_read_start(a, 0, a->window, 4), value;
    volatile ioreq_t *r = dm_request(d, 0);
    int err;

    r->state = STATE_IOREQ_INPROCESS;
    xenevtchn_notify(d->evt, (evtchn_port_t)d->port[0]);
    expect(t, MUST, !dm_access_end(a, access, ABI_QUIET_MS, &value, &err),
           "the vCPU went on although the request is in process");
    dm_respond(d, 0, 5);
    expect_eq(t, MUST, access_value(a, access, 0), 5, "value that the guest read");
    expect_eq(t, MUST, r->state, STATE_IOREQ_NONE, "state of the slot");
}

CHECK(mmio_each_vcpu_has_its_slot, .judges = HYPERVISOR,
      .proves = "abi.mmio-each-vcpu-has-its-slot",
      .title = "A request of vCPU 1 is in slot 1, also while vCPU 0 waits; each is answered alone")
{
    struct abi *a = abi_begin(t);
    struct dm *d;
    uint64_t one, two;

    if (a->nr_vcpus < 2)
        skip_check(t, "the domain has one vCPU");
    d = dm_serving(a);
    one = dm_read_start(a, 0, a->window + 0x10, 4);
    dm_request(d, 0);
    two = dm_read_start(a, 1, a->window + 0x20, 4);
    expect_eq(t, MUST, dm_request(d, 1)->addr, a->window + 0x20, "address in slot 1");
    expect_eq(t, MUST, d->page->vcpu_ioreq[0].addr, a->window + 0x10, "address in slot 0");
    dm_respond(d, 1, 0x1111);
    expect_eq(t, MUST, access_value(a, two, 0), 0x1111, "value that vCPU 1 read");
    expect_eq(t, MUST, d->page->vcpu_ioreq[0].state, STATE_IOREQ_READY, "state of slot 0");
    dm_respond(d, 0, 0x2222);
    expect_eq(t, MUST, access_value(a, one, 0), 0x2222, "value that vCPU 0 read");
}

/* null_handler on x86; on Arm try_handle_mmio gives up and the guest takes a data abort */
CHECK(
    mmio_unclaimed, .judges = HYPERVISOR, .proves = "abi.mmio-unclaimed",
    .title = "An access that nobody claims reads all ones and loses writes (x86), or aborts (Arm)")
{
    struct abi *a = abi_begin(t);

    for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
        uint64_t access = dm_read_start(a, 0, a->window + 0x8000, bytes), value = 0;
        int err = 0;

        ABI_OK(t, dm_access_end(a, access, ABI_SOON_MS, &value, &err), "the end of the access");
        if (a->arm) {
            expect_eq(t, MUST, err, EFAULT, "errno of the read");
        } else {
            expect_eq(t, MUST, err, 0, "errno of the read");
            expect_eq(t, MUST, value, mask_of(bytes), "value");
        }
    }
    access_value(a, dm_write_start(a, 0, a->window + 0x8000, 4, 1), a->arm ? EFAULT : 0);
}

/* ioreq_server_select: !s->enabled */
CHECK(mmio_disabled_server_is_not_asked, .judges = HYPERVISOR,
      .proves = "abi.mmio-disabled-server-is-not-asked",
      .title = "A server that is not enabled gets no requests")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_serving(a);
    uint64_t access, value = 0;

    ABI_OK(t, xendevicemodel_set_ioreq_server_state(d->h, a->domid, d->id, 0) == 0, "disabling");
    access = dm_read_start(a, 0, a->window, 4);
    value = access_value(a, access, a->arm ? EFAULT : 0);
    if (!a->arm)
        expect_eq(t, MUST, value, 0xffffffff, "value while disabled");
    expect(t, MUST, dm_quiet(d, 0), "a request arrived all the same");
    ABI_OK(t, xendevicemodel_set_ioreq_server_state(d->h, a->domid, d->id, 1) == 0, "enabling");
    access = dm_read_start(a, 0, a->window, 4);
    dm_request(d, 0);
    dm_respond(d, 0, 9);
    expect_eq(t, MUST, access_value(a, access, 0), 9, "value after enabling again");
}

/* ioreq_server_select: rangeset_contains_range of first and last byte */
CHECK(mmio_range_must_hold_all_bytes, .judges = HYPERVISOR,
      .proves = "abi.mmio-range-must-hold-all-bytes",
      .title = "An access that is only partly in a server's range is not the server's")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_create(a);
    uint64_t access;

    dm_map_page(d);
    dm_map_range(d, a->window, a->window + 0x103);
    dm_enable(d);
    access = dm_read_start(a, 0, a->window + 0x100, 8);
    expect(t, MUST, dm_quiet(d, 0), "the server was asked");
    access_value(a, access, a->arm ? EFAULT : 0);
    access = dm_read_start(a, 0, a->window + 0x100, 4);
    dm_request(d, 0);
    dm_respond(d, 0, 3);
    expect_eq(t, MUST, access_value(a, access, 0), 3, "value of an access that fits");
}

/* FOR_EACH_IOREQ_SERVER counts down */
CHECK(mmio_highest_id_wins, .judges = HYPERVISOR, .proves = "abi.mmio-highest-id-wins",
      .title = "Of two servers with the same range, the one with the higher id is asked")
{
    struct abi *a = abi_begin(t);
    struct dm *low = dm_serving(a), *high = dm_serving(a);
    uint64_t access = dm_read_start(a, 0, a->window, 4);

    expect(t, MUST, high->id > low->id, "ids are %u and %u", low->id, high->id);
    dm_request(high, 0);
    expect(t, MUST, dm_quiet(low, 0), "both servers were asked");
    dm_respond(high, 0, 2);
    expect_eq(t, MUST, access_value(a, access, 0), 2, "value");
    dm_destroy(high);
    access = dm_read_start(a, 0, a->window, 4);
    dm_request(low, 0);
    dm_respond(low, 0, 1);
    expect_eq(t, MUST, access_value(a, access, 0), 1, "value from the one that is left");
}

CHECK(mmio_unmapped_range_is_not_asked, .judges = HYPERVISOR,
      .proves = "abi.mmio-unmapped-range-is-not-asked",
      .title = "After a range is unmapped its server gets no more requests for it")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_serving(a);
    uint64_t access;

    ABI_OK(t,
           xendevicemodel_unmap_io_range_from_ioreq_server(d->h, a->domid, d->id, 1, a->window,
                                                           a->window + 0xff) == 0,
           "unmapping");
    access = dm_read_start(a, 0, a->window, 4);
    expect(t, MUST, dm_quiet(d, 0), "the server was asked");
    access_value(a, access, a->arm ? EFAULT : 0);
    access = dm_read_start(a, 0, a->window + 0x100, 4);
    dm_request(d, 0);
    dm_respond(d, 0, 8);
    expect_eq(t, MUST, access_value(a, access, 0), 8, "value from the rest of the range");
}

CHECK(mmio_destroy_after_drain_is_clean, .judges = HYPERVISOR,
      .proves = "abi.mmio-destroy-after-drain-is-clean",
      .title = "Disable, answer what waits, destroy: the guest goes on and reads all ones")
{
    struct abi *a = abi_begin(t);
    struct dm *d = dm_serving(a);
    uint64_t access = dm_read_start(a, 0, a->window, 4), value;

    dm_request(d, 0);
    ABI_OK(t, xendevicemodel_set_ioreq_server_state(d->h, a->domid, d->id, 0) == 0, "disabling");
    dm_respond(d, 0, 0x44);
    expect_eq(t, MUST, access_value(a, access, 0), 0x44, "value answered after disabling");
    dm_destroy(d);
    value = access_value(a, dm_read_start(a, 0, a->window, 4), a->arm ? EFAULT : 0);
    if (!a->arm)
        expect_eq(t, MUST, value, 0xffffffff, "value after the destruction");
}

/* Measured: the vCPU waits on a port that is gone; one event on a new server's port wakes it, and
 * the slot that it then looks at is NONE, which ends the wait with data 0. */
CHECK(mmio_destroy_in_flight_hangs_the_vcpu, .judges = HYPERVISOR,
      .proves = "abi.mmio-destroy-in-flight-hangs-the-vcpu",
      .title = "Destroying a server with a request pending leaves the vCPU waiting; a new server "
               "and one event free it")
{
    struct abi *a = abi_begin(t);
    struct dm *d, *next;
    uint64_t access, value = 0;
    int err = 0;

    if (a->arm)
        skip_check(t, "on Arm a new server does not free the vCPU");
    d = dm_serving(a);
    access = dm_read_start(a, 0, a->window, 4);
    dm_request(d, 0);
    xendevicemodel_destroy_ioreq_server(d->h, a->domid, d->id);
    expect(t, MUST, !dm_access_end(a, access, ABI_QUIET_MS, &value, &err),
           "the vCPU went on, with value 0x%" PRIx64, value);
    next = dm_serving(a);
    xenevtchn_notify(next->evt, (evtchn_port_t)next->port[0]);
    value = access_value(a, access, 0);
    note(t, "value", "0x%" PRIx64, value);
    expect_eq(t, MUST, value, 0, "value that the freed vCPU read");
}

/* ---- interrupts ---- */

static bool irq_fired(struct abi *a, uint64_t irq, int timeout_ms)
{
    return abi_get(a,
                   abi_call(a, "irq.wait", "{s:I,s:i}", "irq", (json_int_t)irq, "timeout_ms",
                            timeout_ms),
                   "fired") != 0;
}

CHECK(msi_reaches_the_guest, .judges = HYPERVISOR, .proves = "abi.msi-reaches-the-guest",
      .title = "An injected MSI fires once, and only the vector that it names")
{
    struct abi *a = abi_begin(t);
    xendevicemodel_handle *h = abi_dm(t);
    json_t *one, *two;
    uint64_t irq, other;
    int err = abi_call_errno(a, &one, "irq.msi", NULL);

    if (err)
        skip_check(t, "the domU cannot take MSIs: %s", abi_errno(err));
    two = abi_call(a, "irq.msi", NULL);
    irq = abi_get(a, one, "irq");
    other = abi_get(a, two, "irq");
    expect(t, MUST, !irq_fired(a, irq, 0), "it fired before the injection");
    ABI_OK(t,
           xendevicemodel_inject_msi(h, a->domid, abi_get(a, one, "addr"),
                                     (uint32_t)abi_get(a, one, "data")) == 0,
           "inject_msi");
    expect(t, MUST, irq_fired(a, irq, ABI_SOON_MS), "it did not fire");
    expect(t, MUST, !irq_fired(a, irq, ABI_QUIET_MS), "it fired twice");
    expect(t, MUST, !irq_fired(a, other, 0), "another vector fired");
}

CHECK(intx_is_a_level, .judges = HYPERVISOR, .proves = "abi.intx-is-a-level",
      .title = "An asserted INTx line stays high until it is deasserted")
{
    struct abi *a = abi_begin(t);
    xendevicemodel_handle *h = abi_dm(t);
    json_t *v;
    uint64_t irq;
    int err;

    if (a->arm)
        skip_check(t, "set_pci_intx_level is x86's; Arm's lines are SPIs");
    err = abi_call_errno(a, &v, "irq.intx", "{s:s,s:i}", "sbdf", "0000:00:05.0", "pin", 1);
    if (err)
        skip_check(t, "the domU has no INTx: %s", abi_errno(err));
    irq = abi_get(a, v, "irq");
    expect(t, MUST, !irq_fired(a, irq, 0), "the line is high before");
    ABI_OK(t, xendevicemodel_set_pci_intx_level(h, a->domid, 0, 0, 5, 0, 1) == 0, "asserting");
    expect(t, MUST, irq_fired(a, irq, ABI_SOON_MS), "the line did not become high");
    expect(t, MUST, irq_fired(a, irq, ABI_QUIET_MS), "the line did not stay high");
    ABI_OK(t, xendevicemodel_set_pci_intx_level(h, a->domid, 0, 0, 5, 0, 0) == 0, "deasserting");
    expect(t, MUST, !irq_fired(a, irq, ABI_QUIET_MS), "the line stayed high");
}

/* The lines that Arm's bridges use (libxl's GUEST_VIRTIO_PCI_SPI_FIRST), by the usual swizzle. */
#define SPI_FIRST 44u

CHECK(spi_is_taken_once, .judges = HYPERVISOR, .proves = "abi.spi-is-taken-once",
      .title = "A raised SPI reaches the guest once; that it is lowered is not seen")
{
    struct abi *a = abi_begin(t);
    xendevicemodel_handle *h = abi_dm(t);
    uint32_t line = SPI_FIRST + 5 % 4; /* pin A of device 5 */
    json_t *v;
    uint64_t irq;
    int err;

    if (!a->arm)
        skip_check(t, "set_irq_level is Arm's");
    err = abi_call_errno(a, &v, "irq.intx", "{s:s,s:i}", "sbdf", "0000:00:05.0", "pin", 1);
    if (err)
        skip_check(t, "the domU has no INTx: %s", abi_errno(err));
    irq = abi_get(a, v, "irq");
    expect(t, MUST, !irq_fired(a, irq, 0), "it fired before it was raised");
    ABI_OK(t, xendevicemodel_set_irq_level(h, a->domid, line, 1) == 0, "raising");
    expect(t, MUST, irq_fired(a, irq, ABI_SOON_MS), "it did not fire");
    expect(t, MUST, !irq_fired(a, irq, ABI_QUIET_MS), "it fired again without being raised");
    ABI_OK(t, xendevicemodel_set_irq_level(h, a->domid, line, 1) == 0, "raising what is raised");
    expect(t, MUST, irq_fired(a, irq, ABI_SOON_MS), "raised again it did not fire");
    ABI_OK(t, xendevicemodel_set_irq_level(h, a->domid, line, 0) == 0, "lowering");
    expect(t, MUST, !irq_fired(a, irq, ABI_QUIET_MS), "it fired by being lowered");
    ABI_OK(t, xendevicemodel_set_irq_level(h, a->domid, line, 1) == 0, "raising once more");
    ABI_OK(t, xendevicemodel_set_irq_level(h, a->domid, line, 0) == 0, "lowering at once");
    expect(t, MUST, irq_fired(a, irq, ABI_SOON_MS), "what was raised and lowered did not fire");
}

CHECK(intx_arguments_are_checked, .judges = HYPERVISOR, .proves = "abi.intx-arguments-are-checked",
      .title = "INTx of a segment, bus, device, pin or level that cannot be is refused with EINVAL")
{
    struct abi *a = abi_begin(t);
    xendevicemodel_handle *h = abi_dm(t);

    if (a->arm)
        skip_check(t, "set_pci_intx_level is x86's");
    ABI_REFUSED(t, "segment-1", xendevicemodel_set_pci_intx_level(h, a->domid, 1, 0, 5, 0, 0) == 0,
                EINVAL);
    ABI_REFUSED(t, "bus-1", xendevicemodel_set_pci_intx_level(h, a->domid, 0, 1, 5, 0, 0) == 0,
                EINVAL);
    ABI_REFUSED(t, "device-32", xendevicemodel_set_pci_intx_level(h, a->domid, 0, 0, 32, 0, 0) == 0,
                EINVAL);
    ABI_REFUSED(t, "pin-4", xendevicemodel_set_pci_intx_level(h, a->domid, 0, 0, 5, 4, 0) == 0,
                EINVAL);
    ABI_REFUSED(t, "level-2", xendevicemodel_set_pci_intx_level(h, a->domid, 0, 0, 5, 0, 2) == 0,
                EINVAL);
    ABI_REFUSED(t, "no-domain",
                xendevicemodel_set_pci_intx_level(h, ABI_NO_DOMAIN, 0, 0, 5, 0, 0) == 0, ESRCH);
}
