/* SPDX-License-Identifier: MIT */
/*
 * VIRTIO 4.1.4.7, 4.1.4.8: capabilities that a function may have. One that has none of a kind keeps
 * the rules of that kind; the note says how many there were.
 */
#define CHECK_FAMILY "pci"

#include "conformance/ring.h"
#include "conformance/service.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "spec/virtio_pci.h"

#define STEPS_MAX          64u /* of a list in 192 bytes of configuration space */
#define EXTENDED_BEGIN     0x100u
#define EXTENDED_ID_SR_IOV 0x10u
#define OF(type, field)    offsetof(struct type, field)

/* The next capability of virtio's of a type, behind `at` (0: the first), or 0. */
static unsigned next_cap(struct device *d, unsigned at, unsigned type)
{
    unsigned next = (unsigned)config_get(d, at ? at + PCI_CAP_NEXT : PCI_REG_CAPABILITIES, 1) &
                    PCI_CAP_POINTER_MASK;

    for (unsigned steps = 0; next && steps < STEPS_MAX; steps++) {
        if (config_get(d, next, 1) == PCI_CAP_VENDOR &&
            config_get(d, next + OF(virtio_pci_cap, cfg_type), 1) == type)
            return next;
        next = (unsigned)config_get(d, next + PCI_CAP_NEXT, 1) & PCI_CAP_POINTER_MASK;
    }
    return 0;
}

CHECK(vendor_data_names_a_vendor, .judges = DEVICE,
      .proves = "pci.vendor-data-capability.device.1 pci.vendor-data-capability.device.2",
      .needs = NEED_PCI, .title = "Not virtio's, and a multiple of four bytes long")
{
    struct device *d = given_device(t);
    unsigned count = 0;

    for (unsigned at = 0; (at = next_cap(d, at, VIRTIO_PCI_CAP_VENDOR_CFG)); count++) {
        uint64_t vendor = config_get(d, at + OF(virtio_pci_vndr_data, vendor_id), 2);
        uint64_t bytes = config_get(d, at + OF(virtio_pci_vndr_data, cap_len), 1);

        expect(t, MUST, vendor != VIRTIO_PCI_VENDOR_ID, "vendor data at 0x%x are virtio's own", at);
        expect(t, MUST, bytes && bytes % 4 == 0, "vendor data at 0x%x have %u bytes", at,
               (unsigned)bytes);
    }
    note(t, "capabilities", "%u", count);
    expect(t, MUST, count < STEPS_MAX, "the list of capabilities does not end");
}

CHECK(vendor_data_are_only_read, .judges = DEVICE, .proves = "pci.vendor-data-capability.device.3",
      .needs = NEED_PCI | NEED_SERVICE, .title = "Reading them changes nothing")
{
    struct service *s = given_service(t, 0, 0);
    uint8_t status = device_status(s->d);

    for (unsigned at = 0; (at = next_cap(s->d, at, VIRTIO_PCI_CAP_VENDOR_CFG));) {
        unsigned bytes = (unsigned)config_get(s->d, at + OF(virtio_pci_cap, cap_len), 1);

        for (unsigned i = 0; i < bytes && at + i < EXTENDED_BEGIN; i++)
            expect_eq(t, MUST, config_get(s->d, at + i, 1), config_get(s->d, at + i, 1),
                      "a byte of vendor data, read twice");
    }
    expect_eq(t, MUST, device_status(s->d), status, "the device status after reading vendor data");
    expect_served(s, s->q, false);
}

static uint64_t bar_bytes(struct device *d, unsigned bar)
{
    return bar < FE_PCI_BARS ? d->pci->func.bars[bar].bytes : 0;
}

CHECK(shared_memory_is_in_its_bar, .judges = DEVICE,
      .proves = "pci.shared-memory-capability.device.1 pci.shared-memory-capability.device.2",
      .needs = NEED_PCI, .title = "Each region within its BAR, with an id of its own")
{
    struct device *d = given_device(t);
    uint32_t ids[8] = {0};
    unsigned count = 0;

    for (unsigned at = 0; (at = next_cap(d, at, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG)); count++) {
        unsigned bar = (unsigned)config_get(d, at + OF(virtio_pci_cap, bar), 1);
        uint64_t id = config_get(d, at + OF(virtio_pci_cap, id), 1);
        uint64_t offset = config_get(d, at + OF(virtio_pci_cap, offset), 4) |
                          config_get(d, at + OF(virtio_pci_cap64, offset_hi), 4) << 32;
        uint64_t length = config_get(d, at + OF(virtio_pci_cap, length), 4) |
                          config_get(d, at + OF(virtio_pci_cap64, length_hi), 4) << 32;
        uint64_t size = bar_bytes(d, bar);

        expect(t, MUST, length <= size && offset <= size - length,
               "region %u is 0x%llx bytes at 0x%llx of BAR %u, which has 0x%llx", (unsigned)id,
               (unsigned long long)length, (unsigned long long)offset, bar,
               (unsigned long long)size);
        expect(t, MUST, !(ids[id / 32] >> id % 32 & 1), "two regions have the id %u", (unsigned)id);
        ids[id / 32] |= 1u << id % 32;
    }
    note(t, "capabilities", "%u", count);
    expect(t, MUST, count < STEPS_MAX, "the list of capabilities does not end");
}

/* Extended capabilities begin at 0x100 (PCIe 7.6); an unimplemented list is zero there. */
static bool has_extended(struct device *d, unsigned id)
{
    unsigned at = EXTENDED_BEGIN;

    for (unsigned steps = 0; at >= EXTENDED_BEGIN && steps < 1024; steps++) {
        uint64_t header = config_get(d, at, 4);

        if (header == 0 || header == UINT32_MAX)
            return false;
        if ((header & 0xffff) == id)
            return true;
        at = (unsigned)(header >> 20) & ~3u;
    }
    return false;
}

CHECK(sr_iov_needs_the_capability, .judges = DEVICE,
      .proves = "basic.reserved-feature-bits.device.9", .needs = NEED_PCI,
      .title = "VIRTIO_F_SR_IOV is offered by a function with that capability only")
{
    struct device *d = given_device(t);

    expect(t, MUST,
           !(d->offered & VIRTIO_F(VIRTIO_F_SR_IOV)) || has_extended(d, EXTENDED_ID_SR_IOV),
           "VIRTIO_F_SR_IOV is offered without an SR-IOV capability");
}

CHECK(admin_queues_follow_the_others, .judges = DEVICE,
      .proves = "pci.common-configuration-structure-layout.device.16 "
                "pci.common-configuration-structure-layout.device.17",
      .needs = NEED_PCI, .title = "Where VIRTIO_F_ADMIN_VQ is offered: their numbers")
{
    struct device *d = given_negotiated(t, VIRTIO_F(VIRTIO_F_ADMIN_VQ));
    bool has = d->v->features & VIRTIO_F(VIRTIO_F_ADMIN_VQ);
    uint64_t queues = common_get(d, FE_VPCI_FIELD(num_queues));
    uint64_t index = has ? common_get(d, FE_VPCI_FIELD(admin_queue_index)) : queues;
    uint64_t count = has ? common_get(d, FE_VPCI_FIELD(admin_queue_num)) : 0;

    note(t, "admin queues", "%u", (unsigned)count);
    expect(t, MUST, index >= queues, "the first admin queue is %u, there are %u others",
           (unsigned)index, (unsigned)queues);
    expect(t, MUST, count <= 0x10000 - index, "%u admin queues from %u on", (unsigned)count,
           (unsigned)index);
}

CHECK(configuration_without_vector_is_silent, .judges = DEVICE,
      .proves = "pci.notification-of-device-configuration-changes.device.1",
      .needs = NEED_PCI | NEED_SERVICE | NEED_MSIX | NEED_IRQ,
      .title = "NO_VECTOR: a configuration change comes by no other vector")
{
    struct service *s = given_service(t, 0, 0);

    must(t, s->d->v->ops->config_vector(s->d->v, FE_NO_VECTOR), "taking the vector away");
    /* DEVICE_NEEDS_RESET is the one change that a driver can bring about. */
    ring_break(s->q);
    ring_kick(s->q);
    if (!device_status_wait(s->d, VIRTIO_STATUS_DEVICE_NEEDS_RESET,
                            VIRTIO_STATUS_DEVICE_NEEDS_RESET, MS(1000)))
        skip_check(t, "the device announces no fault");
    expect_quiet(s->q, MUST, "configuration changes have NO_VECTOR");
}
