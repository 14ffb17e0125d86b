/* SPDX-License-Identifier: MIT */
/* Buffers and rings by guest-physical address, which the backend maps as foreign memory. */
#define CHECK_FAMILY "foreign"

#include "conformance/service.h"
#include "conformance/shapes.h"
#include "util/bits.h"

#define FOREIGN     (NEED_DEVICE | NEED_SERVICE | NEED_FOREIGN)
#define FOREIGN_BLK (NEED_DEVICE | NEED_BLK | NEED_FOREIGN)

/* Far above any guest's memory, below bit 63 and within every architecture's frame numbers. */
#define GPA_NOWHERE 0x0000003ffffff000ull

CHECK(buffers_begin_anywhere, .judges = DEVICE, .proves = "xen.foreign.address.1",
      .needs = FOREIGN_BLK, .timeout_ms = 30000,
      .title = "Buffers at every kind of offset, over page boundaries")
{
    shapes_offsets(t);
}

CHECK(buffers_span_pages, .judges = DEVICE, .proves = "xen.foreign.address.2", .needs = FOREIGN_BLK,
      .timeout_ms = 30000, .title = "Buffers of 1 to 18 frames")
{
    shapes_pages(t);
}

CHECK(directions_share_a_page, .judges = DEVICE, .proves = "xen.foreign.address.3",
      .needs = FOREIGN_BLK, .title = "Readable and writable pieces of a request in one page")
{
    shapes_shared_page(t);
}

CHECK(indirect_tables_anywhere, .judges = DEVICE, .proves = "xen.foreign.address.4",
      .needs = FOREIGN_BLK | NEED_INDIRECT, .title = "Indirect tables anywhere in a page")
{
    shapes_indirect(t);
}

CHECK(frame_without_memory, .judges = DEVICE, .proves = "xen.foreign.fault.1", .needs = FOREIGN,
      .title = "A frame where no memory is: an error, and the device lives")
{
    struct service *s = given_service(t, 0, 0);

    for (unsigned part = 0; part < BAD_TABLE; part++)
        expect_bad_address_handled(s, (enum bad_part)part, gpa_make(GPA_NOWHERE),
                                   "a frame without memory");
}

CHECK(table_without_memory, .judges = DEVICE, .proves = "xen.foreign.fault.1",
      .needs = FOREIGN | NEED_INDIRECT, .title = "The same for an indirect table")
{
    struct service *s = given_service(t, VIRTIO_F(VIRTIO_F_INDIRECT_DESC), 0);

    expect_bad_address_handled(s, BAD_TABLE, gpa_make(GPA_NOWHERE),
                               "an indirect table without memory");
}

CHECK(frame_in_the_bar_window, .judges = DEVICE, .proves = "xen.foreign.fault.2", .needs = FOREIGN,
      .title = "The address of a device's registers is no memory")
{
    struct service *s = given_service(t, 0, 0);

    expect_bad_address_handled(s, BAD_MIDDLE, gpa_make(device_registers(s->d)),
                               "a buffer in the device's registers");
}

CHECK(address_beyond_all_frames, .judges = DEVICE, .proves = "xen.foreign.fault.3",
      .needs = FOREIGN, .title = "Addresses that no frame number reaches")
{
    static const uint64_t bad[] = {0x000ffffffffff000ull, 0x0100000000000000ull,
                                   0x7ffffffffffff000ull};
    struct service *s = given_service(t, 0, 0);

    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
        expect_bad_address_handled(s, BAD_MIDDLE, gpa_make(bad[i]), "an impossible frame");
}

CHECK(ring_without_memory, .judges = DEVICE, .proves = "xen.foreign.fault.4", .needs = FOREIGN,
      .title = "Ring areas where no memory is")
{
    expect_bad_ring_handled(t, gpa_make(GPA_NOWHERE), "a ring without memory");
}
