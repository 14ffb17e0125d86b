/* SPDX-License-Identifier: MIT */
#include "transport/virtio_mmio.h"

#include <errno.h>
#include <stdlib.h>

#include "spec/virtio.h"
#include "spec/virtio_mmio.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

#define VENDOR_ID        0x46525052u /* "RPRF" */
#define SELECT_LAST_WORD 1u          /* features have 64 bits: words 0 and 1 */
#define REG(name)        offsetof(struct virtio_mmio_regs, name)

struct virtio_mmio {
    struct vdev *vdev; /* borrowed */
    const struct virtio_mmio_ops *ops;
    void *ctx;

    uint32_t device_features_sel, driver_features_sel, queue_sel;
    uint32_t interrupts; /* InterruptStatus */
    bool level;
};

/* ---- interrupts ---- */

static void update_line(struct virtio_mmio *vm)
{
    bool level = vm->interrupts != 0;

    if (level == vm->level)
        return;
    vm->level = level;
    vm->ops->line(vm->ctx, level);
}

static void raise_interrupt(struct virtio_mmio *vm, uint32_t bit)
{
    if (!MUTANT(mmio_interrupt_status_not_set))
        vm->interrupts |= bit;
    if (MUTANT(mmio_interrupt_status_has_more))
        vm->interrupts |= VIRTIO_MMIO_INT_QUEUE | VIRTIO_MMIO_INT_CONFIG;
    update_line(vm);
}

static void queue_interrupt(void *ctx, unsigned queue)
{
    raise_interrupt(ctx, VIRTIO_MMIO_INT_QUEUE);
}

static void config_interrupt(void *ctx)
{
    raise_interrupt(ctx, VIRTIO_MMIO_INT_CONFIG);
}

static const struct vdev_transport_ops transport_ops = {
    .queue_interrupt = queue_interrupt,
    .config_interrupt = config_interrupt,
};

static uint32_t interrupt_status(struct virtio_mmio *vm)
{
    uint32_t now = vm->interrupts;

    if (MUTANT(mmio_interrupt_status_cleared_by_reading)) {
        vm->interrupts = 0;
        update_line(vm);
    }
    return now;
}

static void interrupt_ack(struct virtio_mmio *vm, uint32_t bits)
{
    if (MUTANT(mmio_ack_ignored))
        return;
    if (MUTANT(mmio_ack_clears_all))
        bits = UINT32_MAX;
    vm->interrupts &= ~bits;
    if (!MUTANT(mmio_line_not_lowered))
        update_line(vm);
}

/* ---- control registers (4.2.2) ---- */

static uint32_t device_features(const struct virtio_mmio *vm)
{
    if (vm->device_features_sel > SELECT_LAST_WORD)
        return MUTANT(feature_select_wraps) ? UINT32_MAX : 0;
    return (uint32_t)(vdev_device_features(vm->vdev) >> (vm->device_features_sel * 32));
}

static bool negotiated(const struct virtio_mmio *vm, unsigned bit)
{
    return (vdev_status(vm->vdev) & VIRTIO_STATUS_FEATURES_OK) &&
           (vdev_driver_features(vm->vdev, bit / 32) & 1u << bit % 32);
}

static uint32_t queue_ready(const struct virtio_mmio *vm)
{
    struct vdev_queue_regs q;

    vdev_queue_get(vm->vdev, MUTANT(mmio_ready_is_queue_0s) ? 0 : vm->queue_sel, &q);
    return q.enabled;
}

static uint32_t queue_size_max(const struct virtio_mmio *vm)
{
    struct vdev_queue_regs q;

    if (!MUTANT(mmio_size_max_follows))
        return vdev_queue_size_max(vm->vdev, vm->queue_sel);
    vdev_queue_get(vm->vdev, vm->queue_sel, &q);
    return q.size;
}

static uint32_t reg_get(struct virtio_mmio *vm, unsigned offset)
{
    switch (offset) {
    case REG(magic_value):
        return MUTANT(mmio_magic_wrong) ? VIRTIO_MMIO_MAGIC + 1 : VIRTIO_MMIO_MAGIC;
    case REG(version):
        return MUTANT(mmio_version_legacy) ? 1 : VIRTIO_MMIO_VERSION;
    case REG(device_id):
        return vdev_get_type(vm->vdev)->device_id;
    case REG(vendor_id):
        return VENDOR_ID;
    case REG(device_features):
        return device_features(vm);
    case REG(queue_size_max):
        return queue_size_max(vm);
    case REG(queue_ready):
        return queue_ready(vm);
    case REG(interrupt_status):
        return interrupt_status(vm);
    case REG(status):
        return vdev_status(vm->vdev);
    case REG(shm_len_low):
    case REG(shm_len_high):
    case REG(shm_base_low):
    case REG(shm_base_high):
        /* No device type here has a shared memory region. */
        return MUTANT(mmio_shm_reads_zero) ? 0 : UINT32_MAX;
    case REG(queue_reset):
        /* A reset is complete when the write returns: never seen in progress. */
        return MUTANT(queue_reset_stuck) ? 1 : 0;
    case REG(config_generation):
        return vdev_config_generation(vm->vdev);
    default:
        return 0; /* reserved, or for writing only */
    }
}

static void device_reset(struct virtio_mmio *vm)
{
    vdev_set_status(vm->vdev, 0);
    vm->device_features_sel = vm->driver_features_sel = 0;
    vm->queue_sel = 0;
    if (MUTANT(mmio_reset_keeps_interrupts))
        return;
    vm->interrupts = 0;
    update_line(vm);
}

static gpa_t with_half(gpa_t addr, bool high, uint32_t value)
{
    if (MUTANT(queue_addr_low_clears_high) && !high)
        return gpa_make(value);
    if (high)
        return gpa_make((addr.raw & UINT32_MAX) | (uint64_t)value << 32);
    return gpa_make((addr.raw & ~(uint64_t)UINT32_MAX) | value);
}

static void queue_addr_set(struct virtio_mmio *vm, unsigned offset, uint32_t value)
{
    bool high = offset & 4;
    struct vdev_queue_regs q;

    vdev_queue_get(vm->vdev, vm->queue_sel, &q);
    switch (offset & ~4u) {
    case REG(queue_desc_low):
        q.desc = with_half(q.desc, high, value);
        break;
    case REG(queue_driver_low):
        q.driver = with_half(q.driver, high, value);
        break;
    default:
        q.device = with_half(q.device, high, value);
        break;
    }
    vdev_queue_set_addr(vm->vdev, vm->queue_sel, q.desc, q.driver, q.device);
}

static void queue_ready_set(struct virtio_mmio *vm, uint32_t value)
{
    if (value == 1)
        vdev_queue_enable(vm->vdev, vm->queue_sel);
    else if (value == 0 && !MUTANT(mmio_queue_ready_stays))
        vdev_queue_disable(vm->vdev, vm->queue_sel);
}

static void reg_set(struct virtio_mmio *vm, unsigned offset, uint32_t value)
{
    switch (offset) {
    case REG(device_features_sel):
        vm->device_features_sel = value;
        break;
    case REG(driver_features_sel):
        vm->driver_features_sel = value;
        break;
    case REG(driver_features):
        vdev_set_driver_features(vm->vdev, vm->driver_features_sel, value);
        break;
    case REG(queue_sel):
        vm->queue_sel = value;
        break;
    case REG(queue_size):
        /* What does not fit 16 bits is no size; 0 is refused as any other. */
        vdev_queue_set_size(vm->vdev, vm->queue_sel, value > UINT16_MAX ? 0 : (uint16_t)value);
        break;
    case REG(queue_ready):
        queue_ready_set(vm, value);
        break;
    case REG(queue_notify):
        /* With VIRTIO_F_NOTIFICATION_DATA the upper half is a hint (2.9). */
        if (negotiated(vm, VIRTIO_F_NOTIFICATION_DATA) && !MUTANT(mmio_doorbell_data_taken_whole))
            value &= VIRTIO_NOTIFY_VQN_MASK;
        vdev_queue_notify(vm->vdev, value);
        break;
    case REG(interrupt_ack):
        interrupt_ack(vm, value);
        break;
    case REG(status):
        /* Status has eight bits: a value above them is none that 2.1 knows. */
        if (value == 0)
            device_reset(vm);
        else if (value <= UINT8_MAX)
            vdev_set_status(vm->vdev, (uint8_t)value);
        break;
    case REG(queue_desc_low):
    case REG(queue_desc_high):
    case REG(queue_driver_low):
    case REG(queue_driver_high):
    case REG(queue_device_low):
    case REG(queue_device_high):
        queue_addr_set(vm, offset, value);
        break;
    case REG(shm_sel):
        break; /* no region is like any other */
    case REG(queue_reset):
        /* Without the feature the register has no meaning: vdev looks at it. */
        if (value == 1)
            vdev_queue_reset(vm->vdev, vm->queue_sel);
        break;
    default:
        if (MUTANT(mmio_reserved_write_resets))
            device_reset(vm);
        log_debug_limited("write of %#x to virtio-mmio register %#x: ignored", value, offset);
        break;
    }
}

/* ---- accesses ---- */

static bool is_control_access(unsigned offset, unsigned bytes)
{
    return bytes == 4 && is_aligned(offset, 4);
}

uint64_t virtio_mmio_read(struct virtio_mmio *vm, unsigned offset, unsigned bytes)
{
    uint64_t value = 0;

    if (offset >= VIRTIO_MMIO_CONFIG)
        vdev_config_read(vm->vdev, offset - VIRTIO_MMIO_CONFIG, bytes, &value);
    else if (is_control_access(offset, bytes))
        value = reg_get(vm, offset);
    return value;
}

void virtio_mmio_write(struct virtio_mmio *vm, unsigned offset, unsigned bytes, uint64_t value)
{
    if (offset >= VIRTIO_MMIO_CONFIG)
        vdev_config_write(vm->vdev, offset - VIRTIO_MMIO_CONFIG, bytes, &value);
    else if (is_control_access(offset, bytes))
        reg_set(vm, offset, (uint32_t)value);
    else if (MUTANT(mmio_any_width_taken))
        reg_set(vm, offset & ~3u, (uint32_t)value);
    else
        log_debug_limited("write of %u bytes at virtio-mmio offset %#x: ignored", bytes, offset);
}

int virtio_mmio_create(struct vdev *d, const struct virtio_mmio_ops *ops, void *ctx,
                       struct virtio_mmio **out)
{
    struct virtio_mmio *vm;

    if (vdev_get_type(d)->config_bytes > VIRTIO_MMIO_BYTES - VIRTIO_MMIO_CONFIG)
        return -EINVAL;
    /* This transport has no place where a driver could read the data. */
    if (vdev_device_features(d) & VIRTIO_F(VIRTIO_F_NOTIF_CONFIG_DATA))
        return -EINVAL;
    vm = calloc(1, sizeof(*vm));
    if (!vm)
        return -ENOMEM;
    *vm = (struct virtio_mmio){.vdev = d, .ops = ops, .ctx = ctx};
    vdev_attach_transport(d, &transport_ops, vm);
    *out = vm;
    return 0;
}

void virtio_mmio_destroy(struct virtio_mmio *vm)
{
    if (!vm)
        return;
    vdev_attach_transport(vm->vdev, NULL, NULL);
    vm->interrupts = 0;
    update_line(vm);
    free(vm);
}
