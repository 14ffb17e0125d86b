/* SPDX-License-Identifier: MIT */
#include "frontend/virtio_pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spec/pci.h"
#include "spec/virtio.h"
#include "spec/virtio_pci.h"

#define VPCI_COMMON_BYTES_MIN offsetof(struct virtio_pci_common_cfg, queue_notif_config_data)
#define VPCI_CAPS_MAX         32u
#define VPCI_CAP_FIELD(field) offsetof(struct virtio_pci_cap, field)

static struct fe_virtio_pci *vpci_of(struct fe_virtio *v)
{
    return (struct fe_virtio_pci *)v; /* the first member */
}

/* ---- structures ---- */

int fe_virtio_pci_caps(struct fe_pci_func *f, struct fe_vpci_cap *caps, unsigned max,
                       unsigned *count)
{
    *count = 0;
    for (unsigned i = 0; i < f->nr_caps && *count < max; i++) {
        unsigned at = f->caps[i].offset;
        struct fe_vpci_cap *c = &caps[*count];
        uint64_t head, place, offset, length, extra = 0;
        int rc;

        if (f->caps[i].id != PCI_CAP_VENDOR)
            continue;
        if (at + sizeof(struct virtio_pci_cap) > 256)
            return -EPROTO;
        rc = fe_ecam_read(f->host, f->sbdf, at, 4, &head);
        if (rc)
            return rc;
        rc = fe_ecam_read(f->host, f->sbdf, at + VPCI_CAP_FIELD(bar), 4, &place);
        if (rc)
            return rc;
        rc = fe_ecam_read(f->host, f->sbdf, at + VPCI_CAP_FIELD(offset), 4, &offset);
        if (rc)
            return rc;
        rc = fe_ecam_read(f->host, f->sbdf, at + VPCI_CAP_FIELD(length), 4, &length);
        if (rc)
            return rc;
        if (((head >> 16) & 0xff) >= sizeof(struct virtio_pci_cap) + 4 &&
            at + sizeof(struct virtio_pci_cap) + 4 <= 256) {
            rc = fe_ecam_read(f->host, f->sbdf, at + sizeof(struct virtio_pci_cap), 4, &extra);
            if (rc)
                return rc;
        }
        *c = (struct fe_vpci_cap){
            .cap_offset = (uint8_t)at,
            .cap_len = (uint8_t)(head >> 16),
            .type = (uint8_t)(head >> 24),
            .bar = (uint8_t)place,
            .id = (uint8_t)(place >> 8),
            .offset = (uint32_t)offset,
            .bytes = (uint32_t)length,
            .extra = (uint32_t)extra,
        };
        ++*count;
    }
    return 0;
}

static bool vpci_region_fits(const struct fe_pci_func *f, const struct fe_vpci_cap *c)
{
    return c->bar < FE_PCI_BARS && !f->bars[c->bar].is_io && c->bytes != 0 &&
           (uint64_t)c->offset + c->bytes <= f->bars[c->bar].bytes;
}

static int vpci_find(struct fe_virtio_pci *p)
{
    struct fe_vpci_cap caps[VPCI_CAPS_MAX];
    unsigned count;
    int rc = fe_virtio_pci_caps(&p->func, caps, VPCI_CAPS_MAX, &count);

    if (rc)
        return rc;
    p->common.present = p->notify.present = p->isr.present = p->device.present =
        p->pci_cfg.present = false;
    for (unsigned i = 0; i < count; i++) {
        const struct fe_vpci_cap *c = &caps[i];
        struct fe_vpci_region *r;

        switch (c->type) {
        case VIRTIO_PCI_CAP_COMMON_CFG:
            r = &p->common;
            break;
        case VIRTIO_PCI_CAP_NOTIFY_CFG:
            r = &p->notify;
            break;
        case VIRTIO_PCI_CAP_ISR_CFG:
            r = &p->isr;
            break;
        case VIRTIO_PCI_CAP_DEVICE_CFG:
            r = &p->device;
            break;
        case VIRTIO_PCI_CAP_PCI_CFG:
            r = &p->pci_cfg;
            break;
        default:
            continue;
        }
        /* The first that can be used of each kind is the device's favourite (4.1.4.1); the
         * window of the PCI_CFG capability is set by the driver and lies nowhere yet. */
        if (r->present || (c->type != VIRTIO_PCI_CAP_PCI_CFG && !vpci_region_fits(&p->func, c)))
            continue;
        *r = (struct fe_vpci_region){
            .present = true,
            .cap_offset = c->cap_offset,
            .cap_len = c->cap_len,
            .bar = c->bar,
            .offset = c->offset,
            .bytes = c->bytes,
        };
        if (c->type == VIRTIO_PCI_CAP_NOTIFY_CFG)
            p->notify_multiplier = c->extra;
    }
    if (!p->common.present && !p->notify.present && !p->isr.present)
        return -ENOTSUP;
    if (!p->common.present || p->common.bytes < VPCI_COMMON_BYTES_MIN || !p->notify.present ||
        !p->isr.present)
        return -EPROTO;
    p->virtio.config_bytes = p->device.present ? p->device.bytes : 0;
    return 0;
}

static int vpci_region_access(const struct fe_vpci_region *r, unsigned offset, unsigned bytes)
{
    if (!r->present || bytes > r->bytes || offset > r->bytes - bytes)
        return -ERANGE;
    return 0;
}

static int vpci_read(struct fe_virtio_pci *p, const struct fe_vpci_region *r, unsigned offset,
                     unsigned bytes, uint64_t *value)
{
    int rc = vpci_region_access(r, offset, bytes);

    if (rc)
        return rc;
    return fe_pci_bar_read(&p->func, p->virtio.vcpu, r->bar, (uint64_t)r->offset + offset, bytes,
                           value);
}

static int vpci_write(struct fe_virtio_pci *p, const struct fe_vpci_region *r, unsigned offset,
                      unsigned bytes, uint64_t value)
{
    int rc = vpci_region_access(r, offset, bytes);

    if (rc)
        return rc;
    return fe_pci_bar_write(&p->func, p->virtio.vcpu, r->bar, (uint64_t)r->offset + offset, bytes,
                            value);
}

int fe_vpci_common_read(struct fe_virtio_pci *p, unsigned field, unsigned bytes, uint64_t *value)
{
    return vpci_read(p, &p->common, field, bytes, value);
}

int fe_vpci_common_write(struct fe_virtio_pci *p, unsigned field, unsigned bytes, uint64_t value)
{
    return vpci_write(p, &p->common, field, bytes, value);
}

/* ---- ops ---- */

static int vpci_status_read(struct fe_virtio *v, uint8_t *status)
{
    uint64_t value;
    int rc = fe_vpci_common_read(vpci_of(v), FE_VPCI_FIELD(device_status), &value);

    if (rc == 0)
        *status = (uint8_t)value;
    return rc;
}

static int vpci_status_write(struct fe_virtio *v, uint8_t status)
{
    return fe_vpci_common_write(vpci_of(v), FE_VPCI_FIELD(device_status), status);
}

static int vpci_device_features(struct fe_virtio *v, unsigned word, uint32_t *bits)
{
    struct fe_virtio_pci *p = vpci_of(v);
    uint64_t value;
    int rc = fe_vpci_common_write(p, FE_VPCI_FIELD(device_feature_select), word);

    if (rc)
        return rc;
    rc = fe_vpci_common_read(p, FE_VPCI_FIELD(device_feature), &value);
    if (rc == 0)
        *bits = (uint32_t)value;
    return rc;
}

static int vpci_driver_features(struct fe_virtio *v, unsigned word, uint32_t bits)
{
    struct fe_virtio_pci *p = vpci_of(v);
    int rc = fe_vpci_common_write(p, FE_VPCI_FIELD(driver_feature_select), word);

    if (rc)
        return rc;
    return fe_vpci_common_write(p, FE_VPCI_FIELD(driver_feature), bits);
}

static int vpci_driver_features_read(struct fe_virtio *v, unsigned word, uint32_t *bits)
{
    struct fe_virtio_pci *p = vpci_of(v);
    uint64_t value;
    int rc = fe_vpci_common_write(p, FE_VPCI_FIELD(driver_feature_select), word);

    if (rc)
        return rc;
    rc = fe_vpci_common_read(p, FE_VPCI_FIELD(driver_feature), &value);
    if (rc == 0)
        *bits = (uint32_t)value;
    return rc;
}

static int vpci_num_queues(struct fe_virtio *v, unsigned *n)
{
    uint64_t value;
    int rc = fe_vpci_common_read(vpci_of(v), FE_VPCI_FIELD(num_queues), &value);

    if (rc)
        return rc;
    *n = value > FE_VIRTIO_QUEUES_MAX ? FE_VIRTIO_QUEUES_MAX : (unsigned)value;
    return 0;
}

static int vpci_queue_size_max(struct fe_virtio *v, unsigned queue, uint16_t *size)
{
    struct fe_virtio_pci *p = vpci_of(v);
    uint64_t value;
    int rc = fe_vpci_common_write(p, FE_VPCI_FIELD(queue_select), queue);

    if (rc)
        return rc;
    rc = fe_vpci_common_read(p, FE_VPCI_FIELD(queue_size), &value);
    if (rc == 0)
        *size = (uint16_t)value;
    return rc;
}

/* 64-bit fields are written as two halves (4.1.3.1). */
static int vpci_write64(struct fe_virtio_pci *p, unsigned field, uint64_t value)
{
    int rc = fe_vpci_common_write(p, field, 4, value & 0xffffffff);

    if (rc)
        return rc;
    return fe_vpci_common_write(p, field + 4, 4, value >> 32);
}

static int vpci_set_vector(struct fe_virtio_pci *p, unsigned field, uint16_t vector)
{
    uint64_t value;
    int rc = fe_vpci_common_write(p, field, 2, vector);

    if (rc)
        return rc;
    /* The device answers NO_VECTOR when it cannot map the event (4.1.5.1.2.2). */
    rc = fe_vpci_common_read(p, field, 2, &value);
    if (rc)
        return rc;
    return value == vector ? 0 : -EIO;
}

static bool vpci_has(const struct fe_virtio_pci *p, unsigned bit)
{
    return p->virtio.features & VIRTIO_F(bit);
}

static unsigned vpci_doorbell_bytes(const struct fe_virtio_pci *p)
{
    return vpci_has(p, VIRTIO_F_NOTIFICATION_DATA) ? 4 : 2;
}

/* Where the selected queue's doorbell is, and what to write there (4.1.5.2). */
static int vpci_queue_doorbell(struct fe_virtio_pci *p, unsigned queue)
{
    uint64_t value, at, name = queue;
    int rc = fe_vpci_common_read(p, FE_VPCI_FIELD(queue_notify_off), &value);

    if (rc)
        return rc;
    at = value * p->notify_multiplier;
    if (at + vpci_doorbell_bytes(p) > p->notify.bytes)
        return -EPROTO;
    if (vpci_has(p, VIRTIO_F_NOTIF_CONFIG_DATA)) {
        rc = fe_vpci_common_read(p, FE_VPCI_FIELD(queue_notif_config_data), &name);
        if (rc)
            return rc;
    }
    p->notify_offset[queue] = p->notify.offset + (uint32_t)at;
    p->notify_name[queue] = (uint16_t)name;
    return 0;
}

static int vpci_queue_setup(struct fe_virtio *v, unsigned queue, const struct fe_queue_setup *s)
{
    struct fe_virtio_pci *p = vpci_of(v);
    int rc;

    if (queue >= FE_VIRTIO_QUEUES_MAX)
        return -EINVAL;
    rc = fe_vpci_common_write(p, FE_VPCI_FIELD(queue_select), queue);
    if (rc)
        return rc;
    rc = fe_vpci_common_write(p, FE_VPCI_FIELD(queue_size), s->size);
    if (rc)
        return rc;
    rc = vpci_write64(p, offsetof(struct virtio_pci_common_cfg, queue_desc), s->desc.raw);
    if (rc)
        return rc;
    rc = vpci_write64(p, offsetof(struct virtio_pci_common_cfg, queue_driver), s->driver.raw);
    if (rc)
        return rc;
    rc = vpci_write64(p, offsetof(struct virtio_pci_common_cfg, queue_device), s->device.raw);
    if (rc)
        return rc;
    if (p->func.msix.cap_offset) {
        rc = vpci_set_vector(p, offsetof(struct virtio_pci_common_cfg, queue_msix_vector),
                             s->vector);
        if (rc)
            return rc;
    }
    rc = vpci_queue_doorbell(p, queue);
    if (rc)
        return rc;
    return fe_vpci_common_write(p, FE_VPCI_FIELD(queue_enable), 1);
}

static int vpci_notify(struct fe_virtio *v, unsigned vcpu, unsigned queue, uint16_t next)
{
    struct fe_virtio_pci *p = vpci_of(v);
    uint32_t value;

    if (queue >= FE_VIRTIO_QUEUES_MAX)
        return -EINVAL;
    value = p->notify_name[queue];
    if (vpci_has(p, VIRTIO_F_NOTIFICATION_DATA))
        value |= (uint32_t)next << VIRTIO_NOTIFY_NEXT_OFF_SHIFT;
    return fe_pci_bar_write(&p->func, vcpu, p->notify.bar, p->notify_offset[queue],
                            vpci_doorbell_bytes(p), value);
}

static int vpci_isr_read(struct fe_virtio *v, unsigned vcpu, uint8_t *isr)
{
    struct fe_virtio_pci *p = vpci_of(v);
    uint64_t value;
    int rc = vpci_region_access(&p->isr, 0, 1);

    if (rc == 0)
        rc = fe_pci_bar_read(&p->func, vcpu, p->isr.bar, p->isr.offset, 1, &value);
    if (rc == 0)
        *isr = (uint8_t)value;
    return rc;
}

static int vpci_config_vector(struct fe_virtio *v, uint16_t vector)
{
    struct fe_virtio_pci *p = vpci_of(v);

    if (!p->func.msix.cap_offset)
        return 0;
    return vpci_set_vector(p, offsetof(struct virtio_pci_common_cfg, config_msix_vector), vector);
}

static int vpci_config_generation(struct fe_virtio *v, uint32_t *generation)
{
    uint64_t value;
    int rc = fe_vpci_common_read(vpci_of(v), FE_VPCI_FIELD(config_generation), &value);

    if (rc == 0)
        *generation = (uint32_t)value;
    return rc;
}

static int vpci_config_read(struct fe_virtio *v, unsigned offset, unsigned bytes, uint64_t *value)
{
    struct fe_virtio_pci *p = vpci_of(v);

    return vpci_read(p, &p->device, offset, bytes, value);
}

static int vpci_config_write(struct fe_virtio *v, unsigned offset, unsigned bytes, uint64_t value)
{
    struct fe_virtio_pci *p = vpci_of(v);

    return vpci_write(p, &p->device, offset, bytes, value);
}

/* The shared line, with MSI-X off: a function uses one or the other (PCI 3.0 6.8.3.3). */
static int vpci_line_get(struct fe_virtio_pci *p, uint16_t *vector, fe_irq_t *irq)
{
    struct fe_platform *pl = p->virtio.platform;
    int rc = p->func.irq_pin ? pl->ops->irq_intx(pl, p->func.sbdf, p->func.irq_pin, irq) : -ENOTSUP;

    if (rc)
        return rc;
    if (p->func.msix.cap_offset)
        rc = fe_pci_msix_enable(&p->func, false);
    if (rc) {
        pl->ops->irq_free(pl, *irq);
        return rc;
    }
    *vector = FE_NO_VECTOR;
    p->intx_users++;
    return 0;
}

static int vpci_irq_get(struct fe_virtio *v, unsigned vcpu, uint16_t *vector, fe_irq_t *irq)
{
    struct fe_virtio_pci *p = vpci_of(v);
    struct fe_platform *pl = v->platform;
    unsigned max = p->func.msix.vectors, i;
    struct fe_msi msi;
    int rc;

    if (max > FE_VIRTIO_QUEUES_MAX + 1)
        max = FE_VIRTIO_QUEUES_MAX + 1;
    if (!p->func.msix.cap_offset)
        return vpci_line_get(p, vector, irq);

    for (i = 0; i < max && p->vectors[i].used; i++)
        ;
    if (i == max)
        return -ENOSPC;
    rc = pl->ops->irq_msi(pl, vcpu, &msi, irq);
    if (rc == -EOPNOTSUPP) /* a platform without MSIs */
        return vpci_line_get(p, vector, irq);
    if (rc)
        return rc;
    rc = fe_pci_msix_set(&p->func, i, &msi, false);
    if (rc == 0)
        rc = fe_pci_msix_enable(&p->func, true);
    if (rc) {
        pl->ops->irq_free(pl, *irq);
        return rc;
    }
    p->vectors[i].used = true;
    p->vectors[i].msi = msi;
    *vector = (uint16_t)i;
    return 0;
}

static void vpci_irq_put(struct fe_virtio *v, uint16_t vector, fe_irq_t irq)
{
    struct fe_virtio_pci *p = vpci_of(v);

    if (vector != FE_NO_VECTOR && vector <= FE_VIRTIO_QUEUES_MAX) {
        fe_pci_msix_mask(&p->func, vector, true);
        p->vectors[vector].used = false;
    } else if (p->intx_users) {
        p->intx_users--;
    }
    if (irq)
        v->platform->ops->irq_free(v->platform, irq);
}

static int vpci_present(struct fe_virtio *v)
{
    struct fe_virtio_pci *p = vpci_of(v);

    return fe_pci_present(p->func.host, p->func.sbdf);
}

static int vpci_enable(struct fe_virtio_pci *p)
{
    return fe_pci_command(&p->func, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
}

static int vpci_reattach(struct fe_virtio *v)
{
    struct fe_virtio_pci *p = vpci_of(v);
    struct fe_pci_func now;
    int rc = fe_pci_func_open(p->func.host, p->func.sbdf, &now);

    if (rc)
        return rc;
    if (now.vendor != p->func.vendor || now.device != p->func.device)
        return -ENODEV;
    /* The addresses are still ours in the window; the new device has to fit them. */
    for (unsigned i = 0; i < FE_PCI_BARS; i++) {
        if (now.bars[i].bytes != p->func.bars[i].bytes ||
            now.bars[i].is_64bit != p->func.bars[i].is_64bit)
            return -ENODEV;
        if (!now.bars[i].bytes || now.bars[i].is_io)
            continue;
        rc = fe_pci_bar_set(&now, i, p->func.bars[i].addr);
        if (rc)
            return rc;
    }
    p->func = now;
    rc = vpci_find(p);
    if (rc)
        return rc;
    rc = vpci_enable(p);
    if (rc)
        return rc;
    for (unsigned i = 0; i <= FE_VIRTIO_QUEUES_MAX; i++) {
        if (!p->vectors[i].used)
            continue;
        rc = fe_pci_msix_set(&p->func, i, &p->vectors[i].msi, false);
        if (rc == 0)
            rc = fe_pci_msix_enable(&p->func, true);
        if (rc)
            return rc;
    }
    return 0;
}

static void vpci_destroy(struct fe_virtio *v)
{
    struct fe_virtio_pci *p = vpci_of(v);

    fe_pci_func_close(&p->func);
    free(p);
}

static const struct fe_virtio_ops vpci_ops = {
    .name = "virtio-pci",
    .status_read = vpci_status_read,
    .status_write = vpci_status_write,
    .device_features = vpci_device_features,
    .driver_features = vpci_driver_features,
    .driver_features_read = vpci_driver_features_read,
    .num_queues = vpci_num_queues,
    .queue_size_max = vpci_queue_size_max,
    .queue_setup = vpci_queue_setup,
    .notify = vpci_notify,
    .isr_read = vpci_isr_read,
    .config_vector = vpci_config_vector,
    .config_generation = vpci_config_generation,
    .config_read = vpci_config_read,
    .config_write = vpci_config_write,
    .irq_get = vpci_irq_get,
    .irq_put = vpci_irq_put,
    .reattach = vpci_reattach,
    .present = vpci_present,
    .destroy = vpci_destroy,
};

struct fe_virtio_pci *fe_virtio_pci_of(struct fe_virtio *v)
{
    return v && v->ops == &vpci_ops ? vpci_of(v) : NULL;
}

int fe_virtio_pci_create(struct fe_pci_host *h, sbdf_t sbdf, struct fe_virtio_pci **out)
{
    struct fe_virtio_pci *p = calloc(1, sizeof(*p));
    int rc;

    *out = NULL;
    if (!p)
        return -ENOMEM;
    p->virtio.ops = &vpci_ops;
    p->virtio.platform = h->platform;
    p->virtio.vcpu = h->vcpu;

    rc = fe_pci_func_open(h, sbdf, &p->func);
    if (rc)
        goto out;
    rc = -ENODEV;
    if (p->func.vendor != VIRTIO_PCI_VENDOR_ID || p->func.device < VIRTIO_PCI_DEVICE_ID_BASE ||
        p->func.device > VIRTIO_PCI_DEVICE_ID_LAST)
        goto out;
    p->virtio.device_id = p->func.device - VIRTIO_PCI_DEVICE_ID_BASE;
    rc = vpci_find(p);
    if (rc)
        goto out;
    rc = fe_pci_bars_assign(&p->func);
    if (rc)
        goto out;
    rc = vpci_enable(p);
    if (rc)
        goto out;
    *out = p;
    return 0;

out:
    vpci_destroy(&p->virtio);
    return rc;
}
