/* SPDX-License-Identifier: MIT */
#include "transport/virtio_pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spec/discovery.h"
#include "spec/pci.h"
#include "spec/virtio.h"
#include "spec/virtio_pci.h"
#include "util/bits.h"
#include "util/log.h"
#include "util/mutant.h"

/* BAR 0: a page for each structure, so that a hypervisor can treat the doorbells apart. */
#define BAR_STRUCTURES 0u
#define BAR_MSIX       2u
#define PART_BYTES     0x1000u
#define COMMON_OFFSET  0x0000u
#define ISR_OFFSET     0x1000u
#define DEVICE_OFFSET  0x2000u
#define NOTIFY_OFFSET  0x3000u
#define BAR_BYTES      0x4000u

#define NOTIFY_MULTIPLIER     4u
#define NOTIFY_MULTIPLIER_MAX 64u
/* What names queue 0 in a doorbell with VIRTIO_F_NOTIF_CONFIG_DATA. Any value is legal; this one is
 * no index of a queue, so that a driver that ignores it is found out. */
#define NOTIF_CONFIG_DATA_BASE 0x5100u
#define SELECT_LAST_WORD       1u /* features have 64 bits: words 0 and 1 */
#define EXPRESS_PORT_TYPE      PCI_EXP_TYPE_INTEGRATED_ENDPOINT

struct virtio_pci {
    struct vdev *vdev; /* borrowed */
    struct pci_function *function;
    uint32_t notify_multiplier;
    unsigned cfg_cap; /* offset of the configuration access capability */
#ifdef RP_MUTANTS
    unsigned broken_cap; /* of vendor data */
#endif

    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select;
    uint16_t config_vector;
    uint16_t queue_vectors[VDEV_QUEUES_MAX];
    uint8_t isr;
};

/* ---- interrupts ---- */

/* The pin and the status register follow the ISR while MSI-X is disabled (4.1.4.5.1). */
static void update_intx(struct virtio_pci *vp)
{
    pci_function_set_intx(vp->function, vp->isr && !pci_function_msix_enabled(vp->function));
}

static void raise_interrupt(struct virtio_pci *vp, uint8_t isr_bit, uint16_t vector)
{
    if (pci_function_msix_enabled(vp->function)) {
        /* The configuration bit is set with MSI-X, too (4.1.4.5.1). */
        if (isr_bit == VIRTIO_PCI_ISR_CONFIG && !MUTANT(isr_config_bit_missing))
            vp->isr |= isr_bit;
        if (vector == VIRTIO_MSI_NO_VECTOR && MUTANT(msix_no_vector_delivered))
            vector = 0;
        if (isr_bit == VIRTIO_PCI_ISR_QUEUE && MUTANT(msix_queue_takes_config_vector))
            vector = vp->config_vector;
        /* No vector, no interrupt (4.1.5.3.1, 4.1.5.4.1): out of range is ignored. */
        pci_function_msix_notify(vp->function, vector);
        return;
    }
    if (!MUTANT(pci_isr_not_set))
        vp->isr |= isr_bit;
    update_intx(vp);
}

static void queue_interrupt(void *ctx, unsigned queue)
{
    struct virtio_pci *vp = ctx;

    raise_interrupt(vp, VIRTIO_PCI_ISR_QUEUE, vp->queue_vectors[queue]);
}

static void config_interrupt(void *ctx)
{
    struct virtio_pci *vp = ctx;

    if (MUTANT(config_change_by_queue_vector) && vp->config_vector == VIRTIO_MSI_NO_VECTOR)
        raise_interrupt(vp, VIRTIO_PCI_ISR_CONFIG, vp->queue_vectors[0]);
    raise_interrupt(vp, VIRTIO_PCI_ISR_CONFIG, vp->config_vector);
}

static const struct vdev_transport_ops transport_ops = {
    .queue_interrupt = queue_interrupt,
    .config_interrupt = config_interrupt,
};

static uint8_t isr_read(struct virtio_pci *vp)
{
    uint8_t isr = vp->isr;

    /* Reading clears it and takes the pin back (4.1.4.5). */
    if (!MUTANT(pci_isr_not_cleared))
        vp->isr = 0;
    if (!MUTANT(pci_intx_not_deasserted))
        update_intx(vp);
    return isr;
}

/* A vector that the table does not have cannot be mapped: NO_VECTOR says so (4.1.5.1.2.1). */
static uint16_t vector_check(const struct virtio_pci *vp, uint16_t vector)
{
    if (vector >= pci_function_msix_vectors(vp->function) && !MUTANT(msix_bad_vector_accepted))
        return VIRTIO_MSI_NO_VECTOR;
    return vector;
}

/* ---- common configuration (4.1.4.3) ---- */

enum common_reg {
    REG_DEVICE_FEATURE_SELECT,
    REG_DEVICE_FEATURE,
    REG_DRIVER_FEATURE_SELECT,
    REG_DRIVER_FEATURE,
    REG_CONFIG_VECTOR,
    REG_NUM_QUEUES,
    REG_DEVICE_STATUS,
    REG_CONFIG_GENERATION,
    REG_QUEUE_SELECT,
    REG_QUEUE_SIZE,
    REG_QUEUE_VECTOR,
    REG_QUEUE_ENABLE,
    REG_QUEUE_NOTIFY_OFF,
    REG_QUEUE_DESC_LOW,
    REG_QUEUE_DESC_HIGH,
    REG_QUEUE_DRIVER_LOW,
    REG_QUEUE_DRIVER_HIGH,
    REG_QUEUE_DEVICE_LOW,
    REG_QUEUE_DEVICE_HIGH,
    REG_QUEUE_NOTIF_CONFIG_DATA,
    REG_QUEUE_RESET,
    REG_ADMIN_QUEUE_INDEX,
    REG_ADMIN_QUEUE_NUM,
};

/* 64-bit fields are two registers: a driver may access the halves apart (4.1.3.1). */
static const struct common_field {
    uint8_t offset, bytes;
    enum common_reg reg;
} common_fields[] = {
#define FIELD(name, reg)                                                                           \
    {                                                                                              \
        offsetof(struct virtio_pci_common_cfg, name),                                              \
            sizeof(((struct virtio_pci_common_cfg *)0)->name), reg                                 \
    }
#define HALVES(name, reg)                                                                          \
    {offsetof(struct virtio_pci_common_cfg, name), 4, reg##_LOW},                                  \
    {                                                                                              \
        offsetof(struct virtio_pci_common_cfg, name) + 4, 4, reg##_HIGH                            \
    }
    FIELD(device_feature_select, REG_DEVICE_FEATURE_SELECT),
    FIELD(device_feature, REG_DEVICE_FEATURE),
    FIELD(driver_feature_select, REG_DRIVER_FEATURE_SELECT),
    FIELD(driver_feature, REG_DRIVER_FEATURE),
    FIELD(config_msix_vector, REG_CONFIG_VECTOR),
    FIELD(num_queues, REG_NUM_QUEUES),
    FIELD(device_status, REG_DEVICE_STATUS),
    FIELD(config_generation, REG_CONFIG_GENERATION),
    FIELD(queue_select, REG_QUEUE_SELECT),
    FIELD(queue_size, REG_QUEUE_SIZE),
    FIELD(queue_msix_vector, REG_QUEUE_VECTOR),
    FIELD(queue_enable, REG_QUEUE_ENABLE),
    FIELD(queue_notify_off, REG_QUEUE_NOTIFY_OFF),
    HALVES(queue_desc, REG_QUEUE_DESC),
    HALVES(queue_driver, REG_QUEUE_DRIVER),
    HALVES(queue_device, REG_QUEUE_DEVICE),
    FIELD(queue_notif_config_data, REG_QUEUE_NOTIF_CONFIG_DATA),
    FIELD(queue_reset, REG_QUEUE_RESET),
    FIELD(admin_queue_index, REG_ADMIN_QUEUE_INDEX),
    FIELD(admin_queue_num, REG_ADMIN_QUEUE_NUM),
#undef FIELD
#undef HALVES
};

/* Some registers exist, and the doorbell has its form, by what was negotiated. */
static bool negotiated(const struct virtio_pci *vp, unsigned bit)
{
    return (vdev_status(vp->vdev) & VIRTIO_STATUS_FEATURES_OK) &&
           (vdev_driver_features(vp->vdev, bit / 32) & 1u << bit % 32);
}

static uint32_t half(gpa_t addr, bool high)
{
    return (uint32_t)(addr.raw >> (high ? 32 : 0));
}

static gpa_t with_half(gpa_t addr, bool high, uint32_t value)
{
    if (MUTANT(queue_addr_low_clears_high) && !high)
        return gpa_make(value);
    if (high)
        return gpa_make((addr.raw & UINT32_MAX) | (uint64_t)value << 32);
    return gpa_make((addr.raw & ~(uint64_t)UINT32_MAX) | value);
}

static uint32_t reg_get(struct virtio_pci *vp, enum common_reg reg)
{
    struct vdev_queue_regs q;
    bool exists = vp->queue_select < vdev_num_queues(vp->vdev);

    vdev_queue_get(vp->vdev, vp->queue_select, &q);
    switch (reg) {
    case REG_DEVICE_FEATURE_SELECT:
        return MUTANT(device_feature_select_reads_zero) ? 0 : vp->device_feature_select;
    case REG_DEVICE_FEATURE:
        if (vp->device_feature_select > SELECT_LAST_WORD)
            return MUTANT(feature_select_wraps) ? UINT32_MAX : 0;
        return (uint32_t)(vdev_device_features(vp->vdev) >> (vp->device_feature_select * 32));
    case REG_DRIVER_FEATURE_SELECT:
        return vp->driver_feature_select;
    case REG_DRIVER_FEATURE:
        if (MUTANT(driver_feature_reads_zero))
            return 0;
        return vdev_driver_features(vp->vdev, vp->driver_feature_select);
    case REG_CONFIG_VECTOR:
        return MUTANT(config_vector_unreadable) ? VIRTIO_MSI_NO_VECTOR : vp->config_vector;
    case REG_NUM_QUEUES:
        return vdev_num_queues(vp->vdev);
    case REG_DEVICE_STATUS:
        return vdev_status(vp->vdev);
    case REG_CONFIG_GENERATION:
        return vdev_config_generation(vp->vdev);
    case REG_QUEUE_SELECT:
        return vp->queue_select;
    case REG_QUEUE_SIZE:
        return q.size;
    case REG_QUEUE_VECTOR:
        return exists ? vp->queue_vectors[vp->queue_select] : VIRTIO_MSI_NO_VECTOR;
    case REG_QUEUE_ENABLE:
        return q.enabled;
    case REG_QUEUE_NOTIFY_OFF:
        return exists ? vp->queue_select : 0;
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH:
        return half(q.desc, reg == REG_QUEUE_DESC_HIGH);
    case REG_QUEUE_DRIVER_LOW:
    case REG_QUEUE_DRIVER_HIGH:
        return half(q.driver, reg == REG_QUEUE_DRIVER_HIGH);
    case REG_QUEUE_DEVICE_LOW:
    case REG_QUEUE_DEVICE_HIGH:
        return half(q.device, reg == REG_QUEUE_DEVICE_HIGH);
    case REG_QUEUE_NOTIF_CONFIG_DATA:
        return exists && negotiated(vp, VIRTIO_F_NOTIF_CONFIG_DATA)
                   ? NOTIF_CONFIG_DATA_BASE + vp->queue_select
                   : 0;
    case REG_QUEUE_RESET:
        /* A reset is complete when the write returns: never seen in progress. */
        return MUTANT(queue_reset_stuck) ? 1 : 0;
    /* There are none: VIRTIO_F_ADMIN_VQ is not offered. */
    case REG_ADMIN_QUEUE_INDEX:
        return MUTANT(admin_queues_too_many) ? vdev_num_queues(vp->vdev) + 1 : 0;
    case REG_ADMIN_QUEUE_NUM:
        return MUTANT(admin_queues_too_many) ? 0xffff : 0;
    }
    return 0;
}

static void device_reset(struct virtio_pci *vp)
{
    vdev_set_status(vp->vdev, 0);
    vp->device_feature_select = vp->driver_feature_select = 0;
    vp->queue_select = 0;
    if (!MUTANT(reset_keeps_vectors)) {
        vp->config_vector = VIRTIO_MSI_NO_VECTOR;
        for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
            vp->queue_vectors[i] = VIRTIO_MSI_NO_VECTOR;
    }
    /* No notification after the reset is complete (2.4.1), a held back one included. */
    vp->isr = 0;
    pci_function_msix_forget(vp->function);
    update_intx(vp);
}

static void queue_addr_set(struct virtio_pci *vp, enum common_reg reg, uint32_t value)
{
    struct vdev_queue_regs q;

    vdev_queue_get(vp->vdev, vp->queue_select, &q);
    switch (reg) {
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH:
        q.desc = with_half(q.desc, reg == REG_QUEUE_DESC_HIGH, value);
        break;
    case REG_QUEUE_DRIVER_LOW:
    case REG_QUEUE_DRIVER_HIGH:
        q.driver = with_half(q.driver, reg == REG_QUEUE_DRIVER_HIGH, value);
        break;
    default:
        q.device = with_half(q.device, reg == REG_QUEUE_DEVICE_HIGH, value);
        break;
    }
    vdev_queue_set_addr(vp->vdev, vp->queue_select, q.desc, q.driver, q.device);
}

static void reg_set(struct virtio_pci *vp, enum common_reg reg, uint32_t value)
{
    bool exists = vp->queue_select < vdev_num_queues(vp->vdev);

    switch (reg) {
    case REG_DEVICE_FEATURE_SELECT:
        vp->device_feature_select = value;
        break;
    case REG_DRIVER_FEATURE_SELECT:
        vp->driver_feature_select = value;
        break;
    case REG_DRIVER_FEATURE:
        vdev_set_driver_features(vp->vdev, vp->driver_feature_select, value);
        break;
    case REG_CONFIG_VECTOR:
        vp->config_vector = vector_check(vp, (uint16_t)value);
        break;
    case REG_DEVICE_STATUS:
        if ((uint8_t)value == 0)
            device_reset(vp);
        else
            vdev_set_status(vp->vdev, (uint8_t)value);
        break;
    case REG_QUEUE_SELECT:
        vp->queue_select = (uint16_t)value;
        break;
    case REG_QUEUE_SIZE:
        vdev_queue_set_size(vp->vdev, vp->queue_select, (uint16_t)value);
        break;
    case REG_QUEUE_VECTOR:
        if (exists)
            vp->queue_vectors[vp->queue_select] = vector_check(vp, (uint16_t)value);
        break;
    case REG_QUEUE_ENABLE:
        /* A driver must not write 0 (4.1.4.3.2); only 1 means anything. */
        if (value == 1)
            vdev_queue_enable(vp->vdev, vp->queue_select);
        break;
    case REG_QUEUE_DESC_LOW:
    case REG_QUEUE_DESC_HIGH:
    case REG_QUEUE_DRIVER_LOW:
    case REG_QUEUE_DRIVER_HIGH:
    case REG_QUEUE_DEVICE_LOW:
    case REG_QUEUE_DEVICE_HIGH:
        queue_addr_set(vp, reg, value);
        break;
    case REG_QUEUE_RESET:
        if (value == 1 && exists && negotiated(vp, VIRTIO_F_RING_RESET)) {
            vdev_queue_reset(vp->vdev, vp->queue_select);
            vp->queue_vectors[vp->queue_select] = VIRTIO_MSI_NO_VECTOR;
        }
        break;
    case REG_DEVICE_FEATURE:
    case REG_NUM_QUEUES:
    case REG_CONFIG_GENERATION:
    case REG_QUEUE_NOTIFY_OFF:
    case REG_QUEUE_NOTIF_CONFIG_DATA:
    case REG_ADMIN_QUEUE_INDEX:
    case REG_ADMIN_QUEUE_NUM:
        log_debug_limited("write to a read-only virtio register: ignored");
        break;
    }
}

/*
 * A read may have any width and cover several fields or a part of one. A write has to cover
 * whole registers, as 4.1.3.1 requires of the driver: what covers only a part of one is ignored.
 */
static uint64_t common_read(struct virtio_pci *vp, unsigned offset, unsigned bytes)
{
    uint64_t result = 0;

    for (unsigned i = 0; i < ARRAY_LENGTH(common_fields); i++) {
        const struct common_field *f = &common_fields[i];
        uint32_t value;

        if (f->offset >= offset + bytes || f->offset + f->bytes <= offset)
            continue;
        value = reg_get(vp, f->reg);
        for (unsigned b = 0; b < f->bytes; b++) {
            unsigned at = f->offset + b;

            if (at >= offset && at < offset + bytes)
                result |= (uint64_t)((value >> (b * 8)) & 0xff) << ((at - offset) * 8);
        }
    }
    return result;
}

static void common_write(struct virtio_pci *vp, unsigned offset, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(common_fields); i++) {
        const struct common_field *f = &common_fields[i];
        uint64_t mask = (1ull << (f->bytes * 8)) - 1;

        if (f->offset < offset || f->offset + f->bytes > offset + bytes)
            continue;
        reg_set(vp, f->reg, (uint32_t)(value >> ((f->offset - offset) * 8) & mask));
    }
}

/* ---- the BAR ---- */

static uint64_t bar_read(void *ctx, uint64_t offset, unsigned bytes)
{
    struct virtio_pci *vp = ctx;
    unsigned part = (unsigned)(offset & ~(uint64_t)(PART_BYTES - 1));
    unsigned at = (unsigned)(offset & (PART_BYTES - 1));
    uint64_t value = 0;

    switch (part) {
    case COMMON_OFFSET:
        return at < sizeof(struct virtio_pci_common_cfg) ? common_read(vp, at, bytes) : 0;
    case ISR_OFFSET:
        return at == 0 ? isr_read(vp) : 0;
    case DEVICE_OFFSET:
        vdev_config_read(vp->vdev, at, bytes, &value);
        return value;
    default:
        return 0; /* doorbells are for writing */
    }
}

/* 4.1.5.2, 2.9: the lower half names the queue. What VIRTIO_F_NOTIFICATION_DATA adds above it is a
 * hint, which a device that looks at the ring anyway does not need. */
static void notify_write(struct virtio_pci *vp, unsigned at, uint64_t value)
{
    unsigned queue = (uint16_t)value;

    if (MUTANT(notification_data_is_no_queue) && value > UINT16_MAX)
        return;
    if (negotiated(vp, VIRTIO_F_NOTIF_CONFIG_DATA) && !MUTANT(notif_config_data_ignored))
        queue -= NOTIF_CONFIG_DATA_BASE; /* what is below is no queue then */
    /* With a place for each queue the value has to agree with it (4.1.5.2): a driver that
     * disagrees with itself rings no bell. */
    if (vp->notify_multiplier &&
        (at % vp->notify_multiplier || at / vp->notify_multiplier != queue)) {
        log_warn_limited("doorbell at %#x with value %#x: ignored", at, (unsigned)value);
        return;
    }
    vdev_queue_notify(vp->vdev, queue);
}

static void bar_write(void *ctx, uint64_t offset, unsigned bytes, uint64_t value)
{
    struct virtio_pci *vp = ctx;
    unsigned part = (unsigned)(offset & ~(uint64_t)(PART_BYTES - 1));
    unsigned at = (unsigned)(offset & (PART_BYTES - 1));

    switch (part) {
    case COMMON_OFFSET:
        if (at < sizeof(struct virtio_pci_common_cfg))
            common_write(vp, at, bytes, value);
        break;
    case DEVICE_OFFSET:
        vdev_config_write(vp->vdev, at, bytes, &value);
        break;
    case NOTIFY_OFFSET:
        if (bytes >= 2)
            notify_write(vp, at, value);
        break;
    default:
        break;
    }
}

static const struct pci_bar_ops bar_ops = {.read = bar_read, .write = bar_write};

/* The MSI-X BAR holds nothing but the table and the PBA. */
static uint64_t msix_bar_read(void *ctx, uint64_t offset, unsigned bytes)
{
    return 0;
}
static void msix_bar_write(void *ctx, uint64_t offset, unsigned bytes, uint64_t value) {}

static const struct pci_bar_ops msix_bar_ops = {.read = msix_bar_read, .write = msix_bar_write};

/* ---- configuration access through PCI configuration space (4.1.4.9) ---- */

static bool cfg_target(const struct virtio_pci *vp, unsigned *bar, uint32_t *offset,
                       uint32_t *bytes)
{
    unsigned cap = vp->cfg_cap;

    *bar = pci_function_peek(vp->function, cap + offsetof(struct virtio_pci_cap, bar), 1);
    *offset = pci_function_peek(vp->function, cap + offsetof(struct virtio_pci_cap, offset), 4);
    *bytes = pci_function_peek(vp->function, cap + offsetof(struct virtio_pci_cap, length), 4);
    /* Only the structures' BAR can be meant; other sizes and unaligned offsets are the
     * driver's mistake (4.1.4.9.2). */
    if (MUTANT(pci_cfg_window_bar_ignored))
        *bar = BAR_STRUCTURES;
    return *bar == BAR_STRUCTURES && (*bytes == 1 || *bytes == 2 || *bytes == 4) &&
           *offset % *bytes == 0;
}

static bool touches_cfg_data(const struct virtio_pci *vp, unsigned offset, unsigned bytes)
{
    unsigned data = vp->cfg_cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);

    return offset < data + 4 && offset + bytes > data;
}

static void config_before_read(void *ctx, unsigned offset, unsigned bytes)
{
    struct virtio_pci *vp = ctx;
    uint32_t at, width;
    unsigned bar;

#ifdef RP_MUTANTS
    if (MUTANT(vendor_data_read_counts) && offset == vp->broken_cap + 6)
        pci_function_poke(vp->function, offset, 1, pci_function_peek(vp->function, offset, 1) + 1);
#endif
    if (!touches_cfg_data(vp, offset, bytes) || MUTANT(pci_cfg_access_dead_read))
        return;
    if (cfg_target(vp, &bar, &at, &width))
        pci_function_poke(vp->function,
                          vp->cfg_cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), width,
                          (uint32_t)pci_function_bar_read(vp->function, bar, at, width));
}

static void config_written(void *ctx, unsigned offset, unsigned bytes)
{
    struct virtio_pci *vp = ctx;
    uint32_t at, width, value;
    unsigned bar;

    if (MUTANT(pci_bar_move_resets) && offset >= PCI_REG_BAR0 &&
        offset < PCI_REG_BAR0 + 4 * PCI_BAR_COUNT)
        vdev_set_status(vp->vdev, 0);
    if (!touches_cfg_data(vp, offset, bytes) || MUTANT(pci_cfg_access_dead_write))
        return;
    if (!cfg_target(vp, &bar, &at, &width))
        return;
    value = pci_function_peek(
        vp->function, vp->cfg_cap + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data), width);
    pci_function_bar_write(vp->function, bar, at, width, value);
}

static void config_msix_switched(void *ctx, bool enabled)
{
    update_intx(ctx);
}

static void config_reset(void *ctx)
{
    device_reset(ctx);
}

static const struct pci_config_hooks config_hooks = {
    .before_read = config_before_read,
    .written = config_written,
    .msix_switched = config_msix_switched,
    .reset = config_reset,
};

/* ---- building the function ---- */

struct any_cap {
    struct virtio_pci_cap cap;
    uint8_t extra[4];
};

/* Returns the offset of the capability or -errno. */
static int add_cap(struct pci_function *f, uint8_t cfg_type, uint32_t offset, uint32_t length,
                   const le32_t *extra)
{
    unsigned bytes = sizeof(struct virtio_pci_cap) + (extra ? sizeof(*extra) : 0);
    struct any_cap any = {
        .cap = {.cap_len = (uint8_t)bytes,
                .cfg_type = cfg_type,
                .bar = BAR_STRUCTURES,
                .offset = le32_make(offset),
                .length = le32_make(length)},
    };

    if (MUTANT(cap_len_short) && extra)
        any.cap.cap_len = sizeof(struct virtio_pci_cap);
    if (MUTANT(cap_len_long) && !extra)
        any.cap.cap_len += 8;
    if (extra)
        memcpy(any.extra, extra, sizeof(*extra));
    return pci_function_add_capability(f, PCI_CAP_VENDOR, (const uint8_t *)&any + 2, bytes);
}

#ifdef RP_MUTANTS
/* Capabilities that a device may have, and none of ours has, each with a fault. */
static int add_broken_capabilities(struct virtio_pci *vp)
{
    struct any_vendor {
        struct virtio_pci_vndr_data data;
        uint8_t more[2];
    } vendor = {.data = {.cap_len = sizeof(vendor),
                         .cfg_type = VIRTIO_PCI_CAP_VENDOR_CFG,
                         .vendor_id = le16_make(0x1ae0)}};
    struct virtio_pci_cap64 memory = {.cap = {.cap_len = sizeof(memory),
                                              .cfg_type = VIRTIO_PCI_CAP_SHARED_MEMORY_CFG,
                                              .bar = BAR_STRUCTURES,
                                              .length = le32_make(PART_BYTES)}};
    struct pci_function *f = vp->function;
    int rc = 0;

    if (MUTANT(vendor_data_is_virtios))
        vendor.data.vendor_id = le16_make(VIRTIO_PCI_VENDOR_ID);
    if (MUTANT(vendor_data_length_odd))
        vendor.data.cap_len--;
    if (MUTANT(shared_memory_beyond_bar))
        memory.offset_hi = le32_make(1);
    if (MUTANT(vendor_data_is_virtios) || MUTANT(vendor_data_length_odd) ||
        MUTANT(vendor_data_read_counts))
        rc = pci_function_add_capability(f, PCI_CAP_VENDOR, (const uint8_t *)&vendor + 2,
                                         sizeof(vendor));
    vp->broken_cap = rc > 0 ? (unsigned)rc : 0;
    for (unsigned i = 0; rc >= 0 && i < 1 + (unsigned)MUTANT(shared_memory_same_id); i++)
        if (MUTANT(shared_memory_beyond_bar) || MUTANT(shared_memory_same_id))
            rc = pci_function_add_capability(f, PCI_CAP_VENDOR, (const uint8_t *)&memory + 2,
                                             sizeof(memory));
    return rc < 0 ? rc : 0;
}
#endif

/* 4.1.4.11, in the form of spec/discovery.h. */
static int add_told_domid(struct pci_function *f, uint16_t domid, bool in_register)
{
    uint8_t body[DISCOVERY_DVSEC_BYTES - 4];
    struct discovery_vendor_data data = {
        .cap_len = sizeof(data),
        .cfg_type = VIRTIO_PCI_CAP_VENDOR_CFG,
        .vendor_id = le16_make(DISCOVERY_VENDOR_ID),
        .version = le16_make(DISCOVERY_VERSION),
        .domid = le16_make(domid),
    };

    if (MUTANT(discovery_capability_wrong_domid))
        data.domid = le16_make(++domid);
    if (in_register) {
        discovery_dvsec_fill(body, DISCOVERY_DVSEC_DEVICE, DISCOVERY_DVSEC_BYTES, domid);
        return pci_function_add_ext_capability(f, DISCOVERY_DVSEC_ID, 1, body,
                                               DISCOVERY_DVSEC_BYTES);
    }
    return pci_function_add_capability(f, PCI_CAP_VENDOR, (const uint8_t *)&data + 2, sizeof(data));
}

static int add_capabilities(struct virtio_pci *vp)
{
    struct pci_function *f = vp->function;
    unsigned config_bytes = vdev_get_type(vp->vdev)->config_bytes;
    le32_t multiplier = le32_make(vp->notify_multiplier);
    uint32_t notify_offset = NOTIFY_OFFSET, notify_bytes = PART_BYTES;
    const le32_t no_data = {0};
    int rc;

    rc = add_cap(f, VIRTIO_PCI_CAP_COMMON_CFG, COMMON_OFFSET, sizeof(struct virtio_pci_common_cfg),
                 NULL);
    if (rc >= 0 && !MUTANT(isr_cap_missing))
        rc = add_cap(f, VIRTIO_PCI_CAP_ISR_CFG, ISR_OFFSET, 1, NULL);
    if (rc >= 0 && config_bytes)
        rc = add_cap(f, VIRTIO_PCI_CAP_DEVICE_CFG, DEVICE_OFFSET, config_bytes, NULL);
    if (MUTANT(notify_offset_odd))
        notify_offset++, notify_bytes--;
    if (MUTANT(notify_area_short_of_data))
        notify_bytes = (vdev_num_queues(vp->vdev) - 1) * vp->notify_multiplier + 2;
    if (MUTANT(notify_area_short))
        notify_bytes = (vdev_num_queues(vp->vdev) - 1) * vp->notify_multiplier + 1;
    if (rc >= 0)
        rc = add_cap(f, VIRTIO_PCI_CAP_NOTIFY_CFG, notify_offset, notify_bytes, &multiplier);
    if (rc < 0)
        return rc;
    if (MUTANT(pci_cfg_cap_missing))
        return 0;
#ifdef RP_MUTANTS
    if (MUTANT(shared_memory_same_id)) /* there is no room for all of them */
        return add_broken_capabilities(vp);
#endif
    rc = add_cap(f, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, &no_data);
    if (rc < 0)
        return rc;
    vp->cfg_cap = (unsigned)rc;
    pci_function_set_mask(f, vp->cfg_cap + offsetof(struct virtio_pci_cap, bar), 0xff, 0);
    for (unsigned i = offsetof(struct virtio_pci_cap, offset);
         i < sizeof(struct virtio_pci_cfg_cap); i++)
        pci_function_set_mask(f, vp->cfg_cap + i, 0xff, 0);
    pci_function_set_hooks(f, &config_hooks, vp);
#ifdef RP_MUTANTS
    rc = add_broken_capabilities(vp);
    if (rc)
        return rc;
#endif
    return 0;
}

static int add_msix(struct virtio_pci *vp, unsigned vectors, unsigned bar_flags)
{
    uint32_t table_bytes = (uint32_t)align_up(vectors * PCI_MSIX_ENTRY_BYTES, PART_BYTES);
    uint64_t size = PART_BYTES;
    int rc;

    while (size < (uint64_t)table_bytes + PART_BYTES)
        size *= 2;
    rc = pci_function_add_bar(vp->function, BAR_MSIX, size, bar_flags, &msix_bar_ops, vp);
    if (rc == 0)
        rc = pci_function_add_msix(vp->function, vectors, BAR_MSIX, 0, table_bytes);
    return rc;
}

static int build(struct virtio_pci *vp, const struct virtio_pci_options *o)
{
    const struct vdev_type *type = vdev_get_type(vp->vdev);
    unsigned bar_flags = o->bars_32bit ? 0 : PCI_BAR_64BIT;
    unsigned vectors = o->vectors ? o->vectors : vdev_num_queues(vp->vdev) + 1;
    struct pci_ident ident = {
        .vendor_id = VIRTIO_PCI_VENDOR_ID,
        .device_id = (uint16_t)(VIRTIO_PCI_DEVICE_ID_BASE + type->device_id),
        .subsystem_vendor_id =
            o->subsystem_vendor_id ? o->subsystem_vendor_id : VIRTIO_PCI_VENDOR_ID,
        .subsystem_id = o->subsystem_id ? o->subsystem_id
                                        : (uint16_t)(VIRTIO_PCI_SUBSYSTEM_ID_MIN + type->device_id),
        .class_code = type->class_code,
        .revision = MUTANT(pci_revision_zero) ? 0 : VIRTIO_PCI_REVISION_MIN,
        .interrupt_pin = o->interrupt_pin ? o->interrupt_pin : 1,
    };
    int rc;

    if (MUTANT(msix_one_vector))
        vectors = 1;
    if (MUTANT(pci_device_id_without_type))
        ident.device_id = VIRTIO_PCI_DEVICE_ID_BASE;
    if (vectors > PCI_MSIX_ENTRIES_MAX || type->config_bytes > PART_BYTES)
        return -EINVAL;
    rc = pci_function_create(&ident, &vp->function);
    if (rc)
        return rc;
    rc = pci_function_add_bar(vp->function, BAR_STRUCTURES, BAR_BYTES, bar_flags, &bar_ops, vp);
    if (rc == 0 && !o->no_msix)
        rc = add_msix(vp, vectors, bar_flags);
    if (rc == 0)
        rc = add_capabilities(vp);
    if (rc == 0 && o->tells_domid) {
        rc = add_told_domid(vp->function, o->told_domid, o->told_in_register);
        rc = rc < 0 ? rc : 0;
    }
    if (rc == 0 && !o->not_express) {
        rc = pci_function_add_express(vp->function,
                                      o->in_slot ? PCI_EXP_TYPE_ENDPOINT : EXPRESS_PORT_TYPE);
        if (rc > 0)
            rc = 0;
    }
    return rc;
}

int virtio_pci_create(struct vdev *d, const struct virtio_pci_options *options,
                      struct virtio_pci **out)
{
    static const struct virtio_pci_options defaults = {0};
    const struct virtio_pci_options *o = options ? options : &defaults;
    uint32_t multiplier = o->notify_multiplier, doorbell_bytes = 2;
    struct virtio_pci *vp;
    int rc;

    if (multiplier == 0)
        multiplier = NOTIFY_MULTIPLIER;
    else if (multiplier == UINT32_MAX)
        multiplier = 0;
    if (vdev_device_features(d) & VIRTIO_F(VIRTIO_F_NOTIFICATION_DATA))
        doorbell_bytes = 4; /* 4.1.4.4.1 */
    if (multiplier > NOTIFY_MULTIPLIER_MAX ||
        (multiplier && (!is_pow2(multiplier) || multiplier < doorbell_bytes)))
        return -EINVAL;
    vp = calloc(1, sizeof(*vp));
    if (!vp)
        return -ENOMEM;
    vp->vdev = d;
    vp->notify_multiplier = multiplier;
    vp->config_vector = VIRTIO_MSI_NO_VECTOR;
    for (unsigned i = 0; i < VDEV_QUEUES_MAX; i++)
        vp->queue_vectors[i] = VIRTIO_MSI_NO_VECTOR;
    rc = build(vp, o);
    if (rc) {
        virtio_pci_destroy(vp);
        return rc;
    }
    vdev_attach_transport(d, &transport_ops, vp);
    *out = vp;
    return 0;
}

void virtio_pci_destroy(struct virtio_pci *vp)
{
    if (!vp)
        return;
    vdev_attach_transport(vp->vdev, NULL, NULL);
    pci_function_destroy(vp->function);
    free(vp);
}

struct pci_function *virtio_pci_function(struct virtio_pci *vp)
{
    return vp->function;
}

int virtio_pci_notify_location(const struct virtio_pci *vp, unsigned queue, unsigned *bar,
                               uint32_t *offset_bytes)
{
    if (queue >= vdev_num_queues(vp->vdev))
        return -EINVAL;
    *bar = BAR_STRUCTURES;
    *offset_bytes = NOTIFY_OFFSET + queue * vp->notify_multiplier;
    return 0;
}
