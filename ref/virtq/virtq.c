/* SPDX-License-Identifier: MIT */
#include "virtq/virtq.h"

#include <errno.h>

#include "spec/virtq_packed.h"
#include "spec/virtq_split.h"
#include "util/bits.h"

static const char *const fault_names[VIRTQ_FAULT_COUNT] = {
    [VIRTQ_OK] = "none",
    [VIRTQ_FAULT_AVAIL_IDX] = "avail-idx",
    [VIRTQ_FAULT_HEAD_RANGE] = "head-range",
    [VIRTQ_FAULT_NEXT_RANGE] = "next-range",
    [VIRTQ_FAULT_CHAIN_LOOP] = "chain-loop",
    [VIRTQ_FAULT_CHAIN_LONG] = "chain-long",
    [VIRTQ_FAULT_CHAIN_ORDER] = "chain-order",
    [VIRTQ_FAULT_CHAIN_BYTES] = "chain-bytes",
    [VIRTQ_FAULT_DESC_WRAP] = "desc-wrap",
    [VIRTQ_FAULT_INDIRECT_UNOFFERED] = "indirect-unoffered",
    [VIRTQ_FAULT_INDIRECT_NESTED] = "indirect-nested",
    [VIRTQ_FAULT_INDIRECT_NEXT] = "indirect-next",
    [VIRTQ_FAULT_INDIRECT_LEN] = "indirect-len",
    [VIRTQ_FAULT_INDIRECT_LONG] = "indirect-long",
    [VIRTQ_FAULT_INDIRECT_ADDR] = "indirect-addr",
    [VIRTQ_FAULT_INDIRECT_MIXED] = "indirect-mixed",
    [VIRTQ_FAULT_CHAIN_PARTIAL] = "chain-partial",
    [VIRTQ_FAULT_RING_OVERRUN] = "ring-overrun",
    [VIRTQ_FAULT_USED_IDX] = "used-idx",
    [VIRTQ_FAULT_USED_ID] = "used-id",
    [VIRTQ_FAULT_USED_STALE] = "used-stale",
    [VIRTQ_FAULT_USED_LEN] = "used-len",
};

const char *virtq_fault_name(enum virtq_fault fault)
{
    if ((unsigned)fault >= VIRTQ_FAULT_COUNT)
        return "unknown";
    return fault_names[fault];
}

int virtq_layout_init(struct virtq_layout *layout, enum virtq_format format, unsigned size)
{
    if (size == 0 || size > VIRTQ_SIZE_MAX)
        return -EINVAL;
    if (format == VIRTQ_PACKED) {
        *layout = (struct virtq_layout){
            .desc_bytes = size * (uint32_t)sizeof(struct pvirtq_desc),
            .driver_bytes = sizeof(struct pvirtq_event_suppress),
            .device_bytes = sizeof(struct pvirtq_event_suppress),
            .desc_align = VIRTQ_PACKED_DESC_ALIGN,
            .driver_align = VIRTQ_PACKED_EVENT_ALIGN,
            .device_align = VIRTQ_PACKED_EVENT_ALIGN,
        };
        return 0;
    }
    if (!is_pow2(size))
        return -EINVAL;
    *layout = (struct virtq_layout){
        .desc_bytes = size * (uint32_t)sizeof(struct virtq_desc),
        .driver_bytes = (uint32_t)(sizeof(struct virtq_avail) + (size + 1) * sizeof(le16_t)),
        .device_bytes = (uint32_t)(sizeof(struct virtq_used) +
                                   size * sizeof(struct virtq_used_elem) + sizeof(le16_t)),
        .desc_align = VIRTQ_SPLIT_DESC_ALIGN,
        .driver_align = VIRTQ_SPLIT_AVAIL_ALIGN,
        .device_align = VIRTQ_SPLIT_USED_ALIGN,
    };
    return 0;
}

int virtq_layout_check(const struct virtq_layout *layout, gpa_t desc, gpa_t driver, gpa_t device)
{
    if (!is_aligned(desc.raw, layout->desc_align) ||
        !is_aligned(driver.raw, layout->driver_align) ||
        !is_aligned(device.raw, layout->device_align))
        return -EINVAL;
    if (range_wraps(desc.raw, layout->desc_bytes) ||
        range_wraps(driver.raw, layout->driver_bytes) ||
        range_wraps(device.raw, layout->device_bytes))
        return -EINVAL;
    return 0;
}

bool virtq_layout_fits(const struct virtq_layout *layout, const struct virtq_areas *areas)
{
    return areas->desc != NULL && areas->driver != NULL && areas->device != NULL &&
           is_aligned((uintptr_t)areas->desc, layout->desc_align) &&
           is_aligned((uintptr_t)areas->driver, layout->driver_align) &&
           is_aligned((uintptr_t)areas->device, layout->device_align);
}

uint32_t virtq_layout_place(const struct virtq_layout *layout, bool page_each, uint32_t *desc_off,
                            uint32_t *driver_off, uint32_t *device_off)
{
    uint64_t at = 0;

    *desc_off = 0;
    at = align_up(layout->desc_bytes, page_each ? XEN_PAGE_BYTES : layout->driver_align);
    *driver_off = (uint32_t)at;
    at = align_up(at + layout->driver_bytes, page_each ? XEN_PAGE_BYTES : layout->device_align);
    *device_off = (uint32_t)at;
    return (uint32_t)(at + layout->device_bytes);
}
